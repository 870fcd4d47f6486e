//! What people are told: that what they asked for is under way, has ended, or was done before.

use std::io;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use tearline_tests::daemon::{self, Daemon};

use crate::trust::{
    DENIED, DONE, NOT_FOUND, Pair, WAITS, done, enrolled, pair, pair_with_delay, sighting, text,
    until,
};

#[test]
fn an_erasure_says_when_and_why() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { guard, customs } = pair_with_delay(folder.path(), "72h")?;
    let record = sighting(&guard, "seen")?;
    let other = sighting(&guard, "other")?;
    until(|| Ok(customs.command(&["record", "show", &other])?.code == DONE))?;
    let basis = ["--basis", "Article 17"];
    let erased = done(guard.command(&[&["record", "erase", &record[..8]][..], &basis].concat())?);
    assert_eq!(erased["record"], record.as_str());
    let due = text(&erased["due"]).to_owned();
    assert!(!due.is_empty(), "{erased}");
    let shown = done(guard.command(&["record", "show", &record])?);
    assert_eq!(shown["flags"], json!(["restricted", "erasure-due"]));
    assert_eq!(shown["erasure_due"], due.as_str());
    let listed = done(guard.command(&["record", "list"])?);
    let rows = listed["records"].as_array().cloned().unwrap_or_default();
    let of = |record: &str| rows.iter().find(|row| row["record"] == record).cloned();
    assert_eq!(of(&record).unwrap_or_default()["erasure_due"], due.as_str());
    assert_eq!(of(&other).unwrap_or_default()["erasure_due"], Value::Null);
    let explained = done(guard.command(&["grant", "explain", text(&erased["statement"])])?);
    assert_eq!(explained["basis"], "Article 17");

    // Founders who are asked to sign an erasure read the basis, too.
    let propose = ["coalition", "propose", "erase", &other, "--basis", "Order 7/2026"];
    let proposed = guard.command(&propose)?;
    assert_eq!(proposed.code, WAITS, "{}", proposed.document);
    let why = json!("on the basis: Order 7/2026");
    let mut known = Value::Null;
    until(|| {
        known = done(customs.command(&["coalition", "proposals"])?)["proposals"][0].take();
        Ok(!known.is_null())
    })?;
    assert!(known["terms"].as_array().is_some_and(|terms| terms.contains(&why)), "{known}");
    done(customs.command(&["coalition", "approve", text(&known["proposal"])])?);
    until(|| {
        let shown = done(guard.command(&["record", "show", &other])?);
        Ok(shown["erasure_due"].is_string())
    })
}

/// What `doctor` found in one check.
fn check(daemon: &Daemon, name: &str) -> io::Result<Value> {
    let checks = daemon.command(&["doctor"])?.document["checks"].take();
    let checks = checks.as_array().cloned().unwrap_or_default();
    Ok(checks.into_iter().find(|check| check["name"] == name).unwrap_or_default())
}

/// What `status` says of the compartment of both.
fn counts(daemon: &Daemon) -> io::Result<(u64, u64)> {
    let shown = done(daemon.command(&["compartment", "show", "all"])?);
    let count = |name: &str| shown[name].as_u64().unwrap_or_default();
    Ok((count("records"), count("unshown")))
}

#[test]
fn records_are_counted_as_they_are_listed_and_came_when_they_came() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { guard, customs } = pair(folder.path())?;
    let kilo = enrolled(folder.path(), &guard, "KILO", &[])?;
    let kept = sighting(&guard, "kept")?;
    until(|| Ok(customs.command(&["record", "show", &kept])?.code == DONE))?;
    let arrived = |record: &str| -> io::Result<Value> {
        let rows = done(customs.command(&["record", "list"])?)["records"].take();
        let rows = rows.as_array().cloned().unwrap_or_default();
        let row = rows.into_iter().find(|row| row["record"] == record);
        Ok(row.unwrap_or_default()["received"].take())
    };
    let before = arrived(&kept)?;
    assert!(before.is_string());
    let mut gone = None;
    until(|| {
        let new = ["record", "new", "--kind", "object", "--compartment", "all", "--set", "name=x"];
        let written = kilo.command(&new)?;
        gone = written.document["record"].as_str().map(str::to_owned);
        Ok(written.code == DONE)
    })?;
    let gone = gone.unwrap_or_default();
    until(|| Ok(customs.command(&["record", "show", &gone])?.code == DONE))?;
    assert_eq!(counts(&customs)?, (2, 0));
    done(guard.command(&["device", "lost", "KILO", "--since", "1h"])?);
    until(|| Ok(customs.command(&["record", "show", &gone])?.code != DONE))?;
    until(|| Ok(counts(&customs)? == (1, 1)))?;
    // Judged anew, a record has not come anew; nor has one that was changed.
    done(guard.command(&["record", "edit", &kept, "--set", "name=changed"])?);
    until(
        || Ok(done(customs.command(&["record", "show", &kept])?)["fields"]["name"] == "changed"),
    )?;
    assert_eq!(arrived(&kept)?, before);
    done(guard.command(&["record", "erase", &kept, "--basis", "Article 17"])?);
    until(|| Ok(counts(&customs)?.0 <= 1))
}

/// A list that goes to a program or a file has all of each cell, and a reference takes what `show` takes.
#[test]
fn nothing_is_cut_where_nobody_looks_on() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut guard = Daemon::init(folder.path(), "Border Guard", "NE")?;
    guard.start()?;
    done(guard.command(&["coalition", "create", "--name", "Drill"])?);
    let title = "pickup ".repeat(20);
    let name = format!("name={title}");
    let made = done(guard.command(&["record", "new", "--kind", "case", "--set", &name])?);
    let case = text(&made["record"]);
    let output = Command::new(daemon::program()?)
        .arg("--home")
        .arg(guard.home())
        .args(["record", "list"])
        .stdin(Stdio::null())
        .output()?;
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(listed.contains(title.trim_end()) && !listed.contains('…'), "{listed}");

    let about = format!("object_refs={}", &case[..8]);
    let note = ["record", "new", "--kind", "note", "--set", "content=seen", "--set", &about];
    let note = done(guard.command(&note)?);
    let shown = done(guard.command(&["record", "show", text(&note["record"])])?);
    assert_eq!(shown["fields"]["object_refs"], json!([case]));
    let wrong = ["record", "new", "--kind", "note", "--set", "content=x", "--set"];
    let refused = guard.command(&[&wrong[..], &["object_refs=ffffffff"]].concat())?;
    assert_eq!(refused.code, NOT_FOUND, "{}", refused.document);
    Ok(())
}

/// Another agency's record is not edited but written about, by the command that the refusal names.
#[test]
fn who_may_not_edit_is_told_what_he_may_do() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { guard, customs } = pair(folder.path())?;
    let record = sighting(&guard, "seen")?;
    until(|| Ok(customs.command(&["record", "show", &record])?.code == DONE))?;
    let refused = customs.command(&["record", "edit", &record, "--set", "name=x"])?;
    assert_eq!(refused.code, DENIED, "{}", refused.document);
    let hint = text(&refused.document["hint"]);
    let named = hint.split('`').nth(1).and_then(|command| command.strip_prefix("tearline "));
    let named = named.unwrap_or_default().replace("RECORD", &record).replace("TEXT", "doubtful");
    let command: Vec<&str> = named.split_whitespace().chain(["--compartment", "all"]).collect();
    let note = done(customs.command(&command)?);
    let shown = done(customs.command(&["record", "show", text(&note["record"])])?);
    assert_eq!(shown["fields"]["object_refs"], json!([record]));
    Ok(())
}

#[test]
fn who_will_not_hear_is_named() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { mut guard, customs } = pair(folder.path())?;
    let unlinked = |name: &str| -> io::Result<Value> {
        let open = ["compartment", "open", "--name", name, "--rel", "NE,TD"];
        Ok(done(customs.command(&open)?)["unlinked"].take())
    };
    assert_eq!(unlinked("first")?, json!([]));
    guard.kill()?;
    until(|| Ok(unlinked("second")?[0]["country"] == "NE"))?;
    // Of a peer that dials us nothing is known but that it is in the coalition.
    drop(customs);
    guard.start()?;
    let status = done(guard.command(&["status"])?);
    assert_eq!((&status["peers"], &status["known"]), (&json!([]), &json!(1)));
    Ok(())
}

#[test]
fn who_was_ended_by_others_is_told() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { guard, customs } = pair(folder.path())?;
    sighting(&guard, "from before")?;
    let kilo = enrolled(folder.path(), &guard, "KILO", &[])?;
    // What it is not to read is no fault of it.
    until(|| {
        let shown = kilo.command(&["compartment", "show", "all"])?.document;
        Ok(shown["closed"].as_u64() > Some(0) && shown["waiting"] == 0)
    })?;
    let keys = check(&kilo, "keys")?;
    assert_eq!(keys["status"], "pass", "{keys}");
    assert!(text(&keys["message"]).contains("before this device came"), "{keys}");
    assert_eq!(done(kilo.command(&["status"])?)["ended"], Value::Null);

    let lost = done(guard.command(&["device", "lost", "KILO", "--since", "1s"])?);
    // It is sent nothing any more, but why.
    until(|| Ok(done(kilo.command(&["status"])?)["ended"]["state"] == "ended"))?;
    let ended = done(kilo.command(&["status"])?)["ended"].take();
    assert_eq!(ended["by"][0]["statement"], lost["statement"], "{ended}");
    assert_eq!(check(&kilo, "standing")?["status"], "fail");

    // An agency that was retired knows by what; the others see it at the end of their lists.
    let proposed = guard.command(&["coalition", "amend", "retire", "TD"])?;
    assert_eq!(proposed.code, WAITS, "{}", proposed.document);
    until(|| {
        let approve = ["coalition", "approve", text(&proposed.document["proposal"])];
        Ok(customs.command(&approve)?.code == DONE)
    })?;
    until(|| Ok(done(customs.command(&["status"])?)["ended"]["state"] == "retired"))?;
    let ended = done(customs.command(&["status"])?)["ended"].take();
    let said: Vec<&str> =
        ended["by"].as_array().into_iter().flatten().map(|one| text(&one["what"])).collect();
    assert!(said.contains(&"propose to retire Customs (TD)"), "{ended}");
    assert_eq!(check(&customs, "standing")?["status"], "fail");
    let new = ["record", "new", "--kind", "object", "--compartment", "all", "--set", "name=x"];
    let refused = customs.command(&new)?;
    assert_eq!(refused.code, DENIED, "{}", refused.document);
    assert!(text(&refused.document["what"]).contains("was retired from the coalition"));
    let explain = ["grant", "explain", text(&ended["by"][0]["statement"])];
    assert_eq!(done(customs.command(&explain)?)["verdict"], "it counts");
    until(|| {
        let agencies = done(guard.command(&["coalition", "show"])?)["agencies"].take();
        let standing = &agencies[1]["standing"];
        Ok(standing["state"] == "retired" && standing["since"].is_string())
    })?;
    let is_over = |peer: &Value| {
        ["ended", "retired"].contains(&peer["standing"]["state"].as_str().unwrap_or_default())
    };
    until(|| {
        let peers = done(guard.command(&["status"])?)["peers"].take();
        Ok(peers.as_array().is_some_and(|all| all.len() == 2 && all.iter().all(is_over)))
    })
}
