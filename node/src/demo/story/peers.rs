//! Step 1: the daemons come up, NE founds a coalition, everybody else joins it by an invitation
//! that names a link of its own.

use std::time::Instant;

use super::{ALL, Actor, KILO, NE, SPREAD_WAIT, Step, Story, if_there, lasted, until};
use crate::control::reply::{Coalition, Invitation, Joined};
use crate::control::{CoalitionCreate, Empty, Join, PeerInvite, Request};
use crate::failure::Failure;

pub(super) fn play(story: &mut Story<'_>, step: &mut Step) -> Result<(), Failure> {
    let begun = Instant::now();
    for actor in &ALL {
        story.stage.enter(actor)?;
    }
    let measured = format!("{} in {}", ALL.len(), lasted(begun.elapsed()));
    step.check("daemons up, each a process of its own", measured, "6", true);

    let create = CoalitionCreate {
        name: "Exercise LAKE".into(),
        erasure_delay_hours: Some(0),
        ..CoalitionCreate::default()
    };
    let founded: Coalition = story.stage.ask(&NE, Request::CoalitionCreate(create))?;
    let begun = Instant::now();
    for actor in ALL.iter().filter(|actor| **actor != NE) {
        join(story, actor, &founded)?;
    }
    step.note("four agencies and KILO joined by invitation", lasted(begun.elapsed()));

    let agencies = ALL.iter().filter(|actor| actor.agency.is_some()).count();
    let kilo: crate::control::reply::Status = story.stage.ask(&KILO, Request::Status(Empty {}))?;
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
    Ok(())
}

fn join(story: &mut Story<'_>, actor: &Actor, founded: &Coalition) -> Result<(), Failure> {
    let link = story.stage.link_to(&NE)?;
    let address = format!("/ip4/127.0.0.1/tcp/{}", link.address().port());
    story.links.insert(actor.name, link);
    let invite = PeerInvite {
        name: actor.agency.is_none().then(|| actor.name.to_owned()),
        device: actor.agency.is_none(),
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
