//! A paused peer on the shipped binary: neither end gets a link, whoever dials, until it is resumed.

use std::io;

use serde_json::{Value, json};
use tearline_tests::daemon::Daemon;

use crate::trust::{DONE, NOT_FOUND, Pair, USAGE, done, pair, sighting, text, until};

fn only_peer(daemon: &Daemon) -> io::Result<Value> {
    Ok(daemon.ask("peer.list", &json!({}))?["peers"][0].take())
}

#[test]
fn a_paused_peer_gets_no_link_and_catches_up_when_it_is_resumed() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { mut guard, customs } = pair(folder.path())?;
    let device = text(&done(customs.command(&["id"])?)["device"]).to_owned();
    let own = text(&done(guard.command(&["id"])?)["device"]).to_owned();
    for (peer, code) in [("nobody", NOT_FOUND), (own.as_str(), USAGE)] {
        assert_eq!(guard.command(&["peer", "pause", peer])?.code, code, "{peer}");
    }
    // Customs dials; the other side has no address of it, and pauses it all the same.
    assert_eq!(done(guard.command(&["peer", "pause", &device[..8]])?)["state"], "paused");
    until(|| Ok(only_peer(&guard)?["by"].is_null()))?;
    let kept = sighting(&guard, "kept back")?;
    guard.kill()?;
    guard.start()?;
    // It comes again, finds the door shut, and says so.
    until(|| {
        let peer = only_peer(&customs)?;
        Ok(peer["state"] == "waiting" && peer["reason"].is_string() && peer["again_ms"].is_u64())
    })?;
    assert_eq!(only_peer(&guard)?["state"], "paused");
    assert_eq!(customs.command(&["record", "show", &kept])?.code, NOT_FOUND);
    let doctor = guard.command(&["doctor"])?.document.to_string();
    assert!(!doctor.contains("not connected"), "{doctor}");
    done(guard.command(&["peer", "resume", &device])?);
    until(|| Ok(customs.command(&["record", "show", &kept])?.code == DONE))
}
