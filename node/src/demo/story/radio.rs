//! KILO goes out on the lake, where a radio of 2,400 bit/s is all that links it, and comes back into harbour.

use std::time::Duration;

use super::{Actor, KILO, NE, SPREAD_WAIT, Step, Story, until};
use crate::control::reply::{Peer, Status};
use crate::control::{Empty, PeerAdd, PeerNamed, Request};
use crate::demo::line::{Line, Weather};
use crate::failure::Failure;

/// The radio between NE and KILO: the line of the thin link's promises, on a day on which no frame is lost.
pub(super) const RADIO: Weather = Weather {
    bits_per_s: 2_400,
    delay: Duration::from_millis(600),
    lost_per_mille: 0,
    seed: 1,
    half_duplex: false,
};

/// KILO leaves its cable; the radio links it to NE.
pub(super) fn out(story: &mut Story<'_>, step: &mut Step) -> Result<(), Failure> {
    let line = Line::open(RADIO).map_err(|e| Failure::io("cannot make the radio line", &e))?;
    let (post, unit) = (status(story, &NE)?.device, status(story, &KILO)?.device);
    for (actor, end, other) in [(&NE, 0, &unit), (&KILO, 1, &post)] {
        let address = format!("udp://{}/{other}?rate={}", line.end(end), RADIO.bits_per_s);
        let _: Peer =
            story.stage.ask(actor, Request::PeerAdd(PeerAdd { address, interest: Vec::new() }))?;
    }
    story.radio = Some(line);
    let peer = story.address_of_ne(&KILO)?;
    let _: Peer = story.stage.ask(&KILO, Request::PeerRemove(PeerNamed { peer }))?;
    story.link(&KILO)?.cut();
    linked_by(story, |by| by == "udp")?;
    step.note(
        "KILO is out on the lake: a radio links it to NE",
        format!("{} bit/s, {} ms each way", RADIO.bits_per_s, RADIO.delay.as_millis()),
    );
    Ok(())
}

/// KILO is in harbour: on its cable again.
pub(super) fn back(story: &mut Story<'_>, step: &mut Step) -> Result<(), Failure> {
    story.link(&KILO)?.heal();
    let address = story.address_of_ne(&KILO)?;
    let _: Peer =
        story.stage.ask(&KILO, Request::PeerAdd(PeerAdd { address, interest: Vec::new() }))?;
    linked_by(story, |by| by != "udp")?;
    let [there, back] = story.carried_by_radio();
    step.note(
        "KILO is in harbour, on its cable; the radio carried, to it and from it",
        format!("{} and {} bytes in {} and {} frames", there.1, back.1, there.0, back.0),
    );
    Ok(())
}

/// Waits until NE and KILO are linked by something of which this holds.
fn linked_by(story: &Story<'_>, holds: impl Fn(&str) -> bool) -> Result<(), Failure> {
    let devices = [status(story, &NE)?.device, status(story, &KILO)?.device];
    for (actor, other) in [(&NE, 1), (&KILO, 0)] {
        until("the link between NE and KILO", SPREAD_WAIT, || {
            let peers = status(story, actor)?.peers;
            let mut peers =
                peers.into_iter().filter(|peer| Some(&peer.device) == devices.get(other));
            Ok(peers.any(|peer| peer.by.as_deref().is_some_and(&holds)).then_some(()))
        })?;
    }
    Ok(())
}

pub(super) fn status(story: &Story<'_>, actor: &Actor) -> Result<Status, Failure> {
    story.stage.ask(actor, Request::Status(Empty {}))
}
