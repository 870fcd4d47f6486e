//! Peers that dialled this one, and are off.

use std::io;

use serde_json::Value;

use crate::trust::{Pair, done, pair, text, until};

#[test]
fn who_dialled_and_is_off_is_listed_apart_by_name_with_when_it_was_heard() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { guard, mut customs } = pair(folder.path())?;
    let device = text(&done(customs.command(&["id"])?)["device"]).to_owned();
    let listed = |list: &str| -> io::Result<Option<Value>> {
        let peers = done(guard.command(&["peer", "list"])?)[list].take();
        let peers = peers.as_array().cloned().unwrap_or_default();
        Ok(peers.into_iter().find(|peer| peer["device"] == device))
    };
    until(|| Ok(listed("peers")?.is_some() && listed("heard")?.is_none()))?;
    customs.stop()?;
    until(|| Ok(listed("heard")?.is_some()))?;
    assert!(listed("peers")?.is_none());
    let heard = listed("heard")?.unwrap_or_default();
    assert_eq!(heard["state"], "stale", "{heard}");
    assert!(heard["last_heard"].is_string(), "{heard}");
    customs.start()?;
    until(|| Ok(listed("peers")?.is_some() && listed("heard")?.is_none()))
}
