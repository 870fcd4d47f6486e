//! Peers that dialled this one, and are off; and where peers are.

use std::io;

use serde_json::{Value, json};

use crate::trust::{Pair, USAGE, done, pair, text, until};

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

#[test]
fn where_a_unit_is_reaches_the_readers_and_is_taken_back() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { guard, customs } = pair(folder.path())?;
    let say = ["presence", "say", "--compartment", "all", "--at"];
    done(guard.command(&[&say[..], &["-13.05,14.49"]].concat())?);
    let listed = || -> io::Result<Value> {
        Ok(done(customs.command(&["presence", "list"])?)["presences"].take())
    };
    until(|| Ok(listed()?[0]["latitude"] == json!(-13.05)))?;
    let seen = listed()?[0].take();
    assert_eq!(
        (&seen["longitude"], &seen["compartment_name"]),
        (&json!(14.49), &json!("all")),
        "{seen}"
    );
    assert_eq!(seen["agency"]["country"], "NE", "{seen}");
    assert_eq!(guard.command(&[&say[..], &["91,0"]].concat())?.code, USAGE);
    done(guard.command(&["presence", "end", "--compartment", "all"])?);
    until(|| Ok(listed()? == json!([])))
}
