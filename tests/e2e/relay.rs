//! A blind relay on the shipped binary: two agencies that are never up together share a record by it, and
//! it knows nothing of that.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::Value;
use tearline_tests::daemon::{self, Daemon};

use crate::trust::{DENIED, DONE, NOT_FOUND, Pair, done, pair, sighting, text, until};

const QUOTA: [&str; 3] = ["--relay", "--relay-quota", "8MiB"];
/// What is planted, and must be nowhere in the relay's files.
const CANARY: &str = "canary-4711-heron";

/// The digest of a compartment, which a relay knows by its id alone.
fn digest(daemon: &Daemon, id: &str) -> io::Result<Option<Value>> {
    let status = done(daemon.command(&["status"])?);
    let all = status["compartments"].as_array().cloned().unwrap_or_default();
    let mut of = all.into_iter().filter(|one| one["compartment"] == id);
    Ok(of.next().map(|mut one| one["digest"].take()))
}

/// Whether a text is in a file of a folder, or in the name of one.
fn holds(folder: &Path, needle: &[u8]) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let (path, kind) =
            (entry.as_ref().map(fs::DirEntry::path), entry.as_ref().map(fs::DirEntry::file_type));
        let (Ok(path), Ok(kind)) = (path, kind) else { continue };
        let kind = kind?;
        let found = if kind.is_dir() {
            holds(&path, needle)?
        } else {
            kind.is_file() && fs::read(&path)?.windows(needle.len()).any(|at| at == needle)
        };
        if found || path.to_string_lossy().as_bytes().windows(needle.len()).any(|at| at == needle) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn agencies_that_are_never_up_together_share_records_by_a_relay() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { mut guard, mut customs } = pair(folder.path())?;
    let home = folder.path().join("relay");
    done(daemon::command(&home, &["init", "--unit", "Relay"])?);
    let mut relay = Daemon::at(home.clone())?;
    relay.start_with(&QUOTA)?;
    let invited = done(guard.command(&["device", "enrol", "Relay", "--right", "relay"])?);
    done(relay.command(&["join", text(&invited["invitation"])])?);
    let status = done(relay.command(&["status"])?);
    assert_eq!(status["relay"]["quota_bytes"], 8 << 20, "{status}");
    done(customs.command(&["peer", "add", text(&status["addresses"][0])])?);
    until(|| {
        let peers = done(customs.command(&["peer", "list"])?)["peers"].take();
        let peers = peers.as_array().cloned().unwrap_or_default();
        Ok(peers.iter().any(|peer| peer["relay"] == true && peer["state"] == "live"))
    })?;
    let all =
        text(&done(guard.command(&["compartment", "show", "all"])?)["compartment"]).to_owned();
    let same = |a: &Daemon, b: &Daemon| -> io::Result<bool> {
        let (one, other) = (digest(a, &all)?, digest(b, &all)?);
        Ok(one.is_some() && one == other)
    };
    until(|| same(&relay, &customs))?;

    customs.stop()?;
    let record = sighting(&guard, CANARY)?;
    until(|| same(&relay, &guard))?;
    guard.stop()?;
    customs.start()?;
    until(|| Ok(customs.command(&["record", "show", &record])?.code == DONE))?;
    let shown = done(customs.command(&["record", "show", &record])?).to_string();
    assert!(shown.contains(CANARY), "{shown}");
    // And back, past a restart of the relay.
    let answer = sighting(&customs, "seen by customs")?;
    until(|| same(&relay, &customs))?;
    customs.stop()?;
    relay.kill()?;
    relay.start_with(&QUOTA)?;
    guard.start()?;
    until(|| Ok(guard.command(&["record", "show", &answer])?.code == DONE))?;

    // `doctor` looks at its room, at clocks and at what ends.
    let doctor = done(relay.command(&["doctor"])?);
    let checks = doctor["checks"].as_array().cloned().unwrap_or_default();
    for name in ["relay", "clock", "expiry", "addresses", "disk"] {
        let check = checks.iter().find(|check| check["name"] == name);
        assert!(check.is_some_and(|check| check["status"] == "pass"), "{name}: {doctor}");
    }

    // It is asked for no receipt, and named.
    done(guard.command(&["record", "erase", &record, "--basis", "Article 17"])?);
    let receipts = guard.command(&["record", "receipts", &record])?.document;
    let devices = |of: &Value| of.as_array().map_or(0, Vec::len);
    assert_eq!(devices(&receipts["statements"][0]["answers"]), 2, "{receipts}");
    assert_eq!(receipts["relays"][0]["name"], "Relay", "{receipts}");

    // The relay holds it, and has nothing of it to show.
    let house = done(relay.command(&["status"])?)["relay"].take();
    assert!(house["held_bytes"].as_u64() > Some(0) && house["evicted_bytes"] == 0, "{house}");
    assert_eq!(relay.command(&["record", "show", &record])?.code, NOT_FOUND);
    relay.stop()?;
    assert!(!holds(&home, CANARY.as_bytes())?, "the relay's files hold what it must not know");
    // Who may read is no relay.
    assert_eq!(daemon::command(customs.home(), &["run", "--relay"])?.code, DENIED);
    Ok(())
}
