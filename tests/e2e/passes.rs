//! A pass from minting to its end, on the shipped binary: minted, narrowed without the daemon,
//! checked, revoked for good, and dead after the device's store was rebuilt.

use std::io;

use serde_json::Value;
use tearline_tests::daemon::{self, Daemon, Outcome};

/// Exit codes of the program.
const DONE: i32 = 0;
const USAGE: i32 = 2;
const NOT_FOUND: i32 = 4;
const DENIED: i32 = 5;
const UNREACHABLE: i32 = 6;

#[test]
fn a_pass_is_minted_narrowed_checked_and_ended() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut guard = Daemon::init(folder.path(), "Border Guard", "NE")?;
    guard.start()?;
    done(guard.command(&["coalition", "create", "--name", "Drill"])?);
    let mint = ["pass", "mint", "--holder", "TAXII client", "--purpose", "BorderMonitoring"];
    let minted = done(guard.command(&[&mint[..], &["--compartments", "home"]].concat())?);
    let (id, token) = (text(&minted["pass"]), text(&minted["token"]));
    assert_eq!(minted["right"], "read");

    // The holder, elsewhere, without a daemon or a home.
    let nowhere = folder.path().join("nowhere");
    let holder = |arguments: &[&str]| daemon::command(&nowhere, arguments);
    let narrowed = done(holder(&["pass", "narrow", "--kinds", "sighting", token])?);
    let narrower = text(&narrowed["token"]);
    let inspected = done(holder(&["pass", "inspect", narrower])?);
    assert_eq!(inspected["terms"]["pass"], id);
    assert_eq!(inspected["scope"]["kinds"], serde_json::json!(["sighting"]));
    assert_eq!(inspected["narrowings"].as_array().map(Vec::len), Some(1));
    assert_eq!(inspected["signed"], "not-checked");
    assert_eq!(holder(&["pass", "narrow", token])?.code, USAGE, "it limits nothing");
    let same = done(holder(&["pass", "narrow", "--label-max", "RED", "--right", "write", token])?);
    assert_eq!((&same["token"], &same["blocks"]), (&minted["token"], &1.into()));
    assert_eq!(holder(&["pass", "inspect", "hello"])?.code, USAGE);
    assert_eq!(holder(&["pass", "list"])?.code, UNREACHABLE);
    assert!(!nowhere.exists());

    let read = |token| verdict(&guard, "read", "sighting", token);
    allowed(&read(token)?);
    allowed(&read(narrower)?);
    allowed(&verdict(&guard, "search", "person", token)?);
    denied(&verdict(&guard, "read", "person", narrower)?, "kind");
    denied(&verdict(&guard, "write", "sighting", token)?, "right");
    let changed = format!("{}AA", text(&minted["token"]));
    denied(&read(&changed)?, "malformed");
    let above = ["pass", "mint", "--holder", "x", "--purpose", "Security", "--until", "91d"];
    assert_eq!(guard.command(&[&above[..], &["--compartments", "home"]].concat())?.code, USAGE);
    let elsewhere = guard.command(&[&mint[..], &["--compartments", "elsewhere"]].concat())?;
    assert_eq!(elsewhere.code, NOT_FOUND);

    let listed = done(guard.command(&["pass", "list"])?);
    assert_eq!(listed["passes"][0]["holder"], "TAXII client");
    assert_eq!(listed["passes"][0]["compartment_names"], serde_json::json!(["home"]));
    assert_eq!(listed["passes"][0]["state"], "valid");
    assert!(!listed.to_string().contains(token), "a list shows no token");

    // The narrower one alone, then the pass itself; both outlast a power cut.
    let revoked = done(guard.command(&["pass", "revoke", narrower])?);
    assert_eq!((revoked["block"].as_u64(), revoked["revoked"].as_bool()), (Some(1), Some(true)));
    guard.kill()?;
    guard.start()?;
    denied(&verdict(&guard, "read", "sighting", narrower)?, "revoked");
    allowed(&verdict(&guard, "read", "sighting", token)?);
    let revoked = done(guard.command(&["pass", "revoke", &id[..8]])?);
    assert_eq!((revoked["pass"].as_str(), revoked["block"].as_u64()), (Some(id), Some(0)));
    guard.kill()?;
    guard.start()?;
    denied(&verdict(&guard, "read", "sighting", token)?, "revoked");
    let listed = done(guard.command(&["pass", "list"])?);
    assert_eq!(listed["passes"][0]["state"], "revoked");
    assert_eq!(guard.command(&["pass", "revoke", "ffffffff"])?.code, NOT_FOUND);
    Ok(())
}

#[test]
fn a_pass_is_no_good_at_another_device_or_in_another_life() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut first = Daemon::init(folder.path(), "Border Guard", "NE")?;
    let mut second = Daemon::init(folder.path(), "Customs", "TD")?;
    for daemon in [&mut first, &mut second] {
        daemon.start()?;
        done(daemon.command(&["coalition", "create", "--name", "Drill"])?);
    }
    let mint = ["pass", "mint", "--holder", "script", "--purpose", "Security"];
    let minted = done(first.command(&[&mint[..], &["--compartments", "home"]].concat())?);
    let token = text(&minted["token"]);
    allowed(&verdict(&first, "read", "sighting", token)?);
    denied(&verdict(&second, "read", "sighting", token)?, "signature");
    assert_eq!(done(first.command(&["pass", "inspect", token])?)["signed"], "here");
    assert_eq!(done(second.command(&["pass", "inspect", token])?)["signed"], "not-here");

    first.kill()?;
    done(first.command(&["doctor", "--new-life"])?);
    first.start()?;
    denied(&verdict(&first, "read", "sighting", token)?, "former-life");
    let listed = done(first.command(&["pass", "list"])?);
    assert_eq!(listed["passes"][0]["state"], "former-life");
    Ok(())
}

/// What the daemon says to a request. A machine that is too busy denies too; then once more.
fn verdict(daemon: &Daemon, operation: &str, kind: &str, token: &str) -> io::Result<Outcome> {
    let request = ["--operation", operation, "--compartment", "home", "--kind", kind];
    loop {
        let outcome = daemon
            .command(&[&["pass", "check"], &request[..], &["--label", "GREEN", token]].concat())?;
        if outcome.document["reason"] != "bound" {
            return Ok(outcome);
        }
    }
}

fn allowed(outcome: &Outcome) {
    assert_eq!((outcome.code, &outcome.document["allowed"]), (DONE, &Value::Bool(true)));
}

fn denied(outcome: &Outcome, reason: &str) {
    assert_eq!(outcome.code, DENIED, "{}", outcome.document);
    assert_eq!(outcome.document["reason"], reason, "{}", outcome.document);
}

fn done(outcome: Outcome) -> Value {
    assert_eq!(outcome.code, DONE, "{}", outcome.document);
    outcome.document
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
