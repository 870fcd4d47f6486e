//! Step 1: the daemons come up, NE founds a coalition, everybody else joins it by an invitation
//! that names a link of its own. LAKE is then linked to the relay alone.

use std::time::Instant;

use super::radio::status;
use super::{
    ALL, Actor, KILO, LAKE, NE, RELAY, SPREAD_WAIT, Step, Story, dialled_at, if_there, lasted,
    until,
};
use crate::control::reply::{Coalition, Invitation, Joined, Peer, PeerState};
use crate::control::{CoalitionCreate, Empty, Join, PeerAdd, PeerInvite, PeerNamed, Request};
use crate::failure::Failure;

pub(super) fn play(story: &mut Story<'_>, step: &mut Step) -> Result<(), Failure> {
    let begun = Instant::now();
    for actor in ALL.iter().chain([&RELAY]) {
        story.stage.enter(actor)?;
    }
    let measured = format!("{} in {}", ALL.len() + 1, lasted(begun.elapsed()));
    step.check("daemons up, each a process of its own", measured, "7", true);

    let create = CoalitionCreate {
        name: "Exercise LAKE".into(),
        erasure_delay_hours: Some(0),
        ..CoalitionCreate::default()
    };
    let founded: Coalition = story.stage.ask(&NE, Request::CoalitionCreate(create))?;
    let begun = Instant::now();
    for actor in ALL.iter().chain([&RELAY]).filter(|actor| **actor != NE) {
        join(story, actor, &founded)?;
    }
    step.note("four agencies, KILO and the relay joined by invitation", lasted(begun.elapsed()));

    let agencies = ALL.iter().filter(|actor| actor.agency.is_some()).count();
    let kilo = status(story, &KILO)?;
    let mut seen = 0;
    for actor in &ALL {
        let complete = |coalition: &Coalition| {
            coalition.agencies.len() == agencies
                && coalition.agencies.iter().any(|agency| {
                    agency.country == "NE" && agency.devices.iter().any(|d| d.device == kilo.device)
                })
        };
        until("the coalition's members", SPREAD_WAIT, || {
            let answer = story.stage.ask::<Coalition>(actor, Request::CoalitionShow(Empty {}));
            Ok(if_there(answer)?.filter(complete))
        })?;
        seen += 1;
    }
    step.equal("peers that see all five agencies, and KILO as a device of NE", seen, ALL.len());
    behind_the_relay(story, step)
}

/// Takes LAKE's link to NE away, and gives it one to the relay.
fn behind_the_relay(story: &mut Story<'_>, step: &mut Step) -> Result<(), Failure> {
    let peer = story.address_of_ne(&LAKE)?;
    let link = story.stage.link_to(&RELAY)?;
    let address = dialled_at(link.address().port(), &status(story, &RELAY)?)?;
    let _: Peer =
        story.stage.ask(&LAKE, Request::PeerAdd(PeerAdd { address, interest: Vec::new() }))?;
    let _: Peer = story.stage.ask(&LAKE, Request::PeerRemove(PeerNamed { peer }))?;
    story.link(&LAKE)?.cut();
    let (peers, _) = until("LAKE's link to the relay", SPREAD_WAIT, || {
        let linked = |peer: &Peer| matches!(peer.state, PeerState::Live | PeerState::CatchingUp);
        let peers = status(story, &LAKE)?.peers;
        let linked: Vec<Peer> = peers.into_iter().filter(linked).collect();
        Ok(linked.iter().all(|peer| peer.relay).then_some(linked).filter(|l| !l.is_empty()))
    })?;
    story.links.insert(LAKE.name, link);
    step.equal("links of LAKE, all of them to the blind relay", peers.len(), 1);
    Ok(())
}

fn join(story: &mut Story<'_>, actor: &Actor, founded: &Coalition) -> Result<(), Failure> {
    let link = story.stage.link_to(&NE)?;
    let address = format!("/ip4/127.0.0.1/tcp/{}", link.address().port());
    story.links.insert(actor.name, link);
    let invite = PeerInvite {
        name: actor.agency.is_none().then(|| actor.name.to_owned()),
        device: actor.agency.is_none(),
        right: actor.relay.then(|| "relay".to_owned()),
        expires_s: INVITATION_S,
        addresses: vec![address],
        ..PeerInvite::default()
    };
    let invitation: Invitation = story.stage.ask(&NE, Request::PeerInvite(invite))?;
    let join = Join { invitation: invitation.invitation, certificate: None, wait_s: None };
    let joined: Joined = story.stage.ask(actor, Request::Join(join))?;
    if joined.coalition != founded.coalition {
        return Err(Failure::failed(format!("{} joined another coalition", actor.name)));
    }
    Ok(())
}

/// How long an invitation of the exercise works.
const INVITATION_S: u64 = 600;
