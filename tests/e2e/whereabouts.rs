//! Members that dial each other by themselves: two who only ever knew the peer that invited them go on
//! without it.

use std::io;

use serde_json::{Value, json};
use tearline_tests::daemon::{self, Daemon};

use crate::trust::{DONE, done, sighting, text, until};

/// Starts a daemon that says to others where it listens, which is on loopback.
fn said(folder: &std::path::Path, name: &str, country: &str) -> io::Result<Daemon> {
    let mut daemon = Daemon::init(folder, name, country)?;
    daemon.start()?;
    let address = text(&done(daemon.command(&["status"])?)["addresses"][0]).to_owned();
    let (address, _) = address.split_once("/p2p/").unwrap_or_default();
    daemon.stop()?;
    let announce = json!([address]).to_string();
    done(daemon::command(daemon.home(), &["config", "set", "announce", &announce])?);
    daemon.start()?;
    Ok(daemon)
}

#[test]
fn members_dial_each_other_where_they_say_that_they_are() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut guard = said(folder.path(), "Border Guard", "NE")?;
    let mut customs = said(folder.path(), "Customs", "TD")?;
    let police = said(folder.path(), "Police", "NG")?;
    done(guard.command(&["coalition", "create", "--name", "Drill"])?);
    for guest in [&customs, &police] {
        let invited = done(guard.command(&["peer", "invite"])?);
        done(guest.command(&["join", text(&invited["invitation"])])?);
    }
    done(guard.command(&["compartment", "open", "--name", "all", "--rel", "NE,TD,NG"])?);
    until(|| Ok(customs.command(&["compartment", "show", "all"])?.code == DONE))?;
    let device = text(&done(police.command(&["id"])?)["device"]).to_owned();
    let linked = |daemon: &Daemon| -> io::Result<bool> {
        let peers = done(daemon.command(&["peer", "list"])?)["peers"].take();
        let peers = peers.as_array().cloned().unwrap_or_default();
        Ok(peers.iter().any(|peer| peer["device"] == device && peer["by"].is_string()))
    };
    until(|| linked(&customs))?;
    guard.stop()?;
    // It is remembered who is where.
    customs.stop()?;
    customs.start()?;
    until(|| linked(&customs))?;
    let record = sighting(&customs, "without the inviter")?;
    until(|| Ok(police.command(&["record", "show", &record])?.code == DONE))
}

#[test]
fn who_was_removed_is_dialled_no_more_wherever_it_says_that_it_is() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut guard = said(folder.path(), "Border Guard", "NE")?;
    let mut customs = said(folder.path(), "Customs", "TD")?;
    done(guard.command(&["coalition", "create", "--name", "Drill"])?);
    let invited = done(guard.command(&["peer", "invite"])?);
    done(customs.command(&["join", text(&invited["invitation"])])?);
    let id = |daemon: &Daemon| {
        io::Result::Ok(text(&done(daemon.command(&["id"])?)["device"]).to_owned())
    };
    let (guard_id, customs_id) = (id(&guard)?, id(&customs)?);
    let seen = |daemon: &Daemon, of: &str| -> io::Result<Option<Value>> {
        let peers = daemon.ask("peer.list", &json!({}))?["peers"].take();
        let peers = peers.as_array().cloned().unwrap_or_default();
        Ok(peers.into_iter().find(|peer| peer["device"] == of))
    };
    // Both dial each other if nobody forbids it.
    let address = text(&done(customs.command(&["status"])?)["addresses"][0]).to_owned();
    done(guard.command(&["peer", "add", &address])?);
    until(|| Ok(seen(&guard, &customs_id)?.is_some_and(|peer| peer["state"] == "live")))?;
    done(customs.command(&["peer", "remove", &guard_id])?);
    until(|| Ok(seen(&customs, &guard_id)?.is_some_and(|peer| peer["dialled_us"] == true)))?;
    let listed = seen(&customs, &guard_id)?.unwrap_or_default();
    assert!(text(&listed["from"]).starts_with('/') && listed["addresses"] == json!([]), "{listed}");

    done(guard.command(&["peer", "remove", &customs_id])?);
    let is_apart = || -> io::Result<bool> {
        let both = [seen(&guard, &customs_id)?, seen(&customs, &guard_id)?];
        Ok(both
            .into_iter()
            .flatten()
            .all(|peer| peer["by"].is_null() && peer["again_ms"].is_null()))
    };
    until(is_apart)?;
    guard.stop()?;
    customs.stop()?;
    guard.start()?;
    customs.start()?;
    for (daemon, other) in [(&guard, &customs_id), (&customs, &guard_id)] {
        let peer = seen(daemon, other)?.unwrap_or_default();
        assert!(peer["by"].is_null() && peer["again_ms"].is_null(), "{peer}");
    }
    let address = text(&done(customs.command(&["status"])?)["addresses"][0]).to_owned();
    done(guard.command(&["peer", "add", &address])?);
    until(|| Ok(seen(&guard, &customs_id)?.is_some_and(|peer| peer["by"].is_string())))
}
