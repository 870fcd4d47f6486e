//! Acts of the founders on records: what they say of one reaches what was released of it, and it is named to who
//! signs.

use std::io;

use serde_json::{Value, json};
use tearline_tests::daemon::{self, Daemon};

use crate::trust::{DONE, NOT_FOUND, Pair, WAITS, done, pair, sighting, text, until};

/// The proposals that a peer lists.
fn proposals(peer: &Daemon) -> io::Result<Vec<Value>> {
    let listed = done(peer.command(&["coalition", "proposals"])?)["proposals"].take();
    Ok(listed.as_array().cloned().unwrap_or_default())
}

/// One of them, once it has come.
fn proposal(peer: &Daemon, id: &str) -> io::Result<Value> {
    let mut found = Value::Null;
    until(|| {
        let one = proposals(peer)?.into_iter().find(|one| one["proposal"] == id);
        found = one.unwrap_or_default();
        Ok(!found.is_null())
    })?;
    Ok(found)
}

fn flags(peer: &Daemon, record: &str) -> io::Result<Value> {
    Ok(peer.command(&["record", "show", record])?.document["flags"].take())
}

#[test]
fn what_the_founders_say_of_a_record_reaches_its_releases_and_names_it() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { guard, customs } = pair(folder.path())?;
    // A third agency without devices, so that the two share another compartment.
    let third = folder.path().join("third");
    done(daemon::command(&third, &["init", "--agency", "Third", "--country", "CM"])?);
    let root = text(&done(daemon::command(&third, &["id"])?)["root"]).to_owned();
    let admit =
        ["coalition", "amend", "admit", "--name", "Third", "--country", "CM", "--root", &root];
    let admitted = guard.command(&admit)?;
    assert_eq!(admitted.code, WAITS, "{}", admitted.document);
    let id = text(&admitted.document["proposal"]).to_owned();
    proposal(&customs, &id)?;
    done(customs.command(&["coalition", "approve", &id])?);
    until(|| Ok(proposal(&guard, &id)?["in_force"] == true))?;
    done(guard.command(&["compartment", "open", "--name", "three", "--rel", "NE,TD,CM"])?);

    let record = sighting(&guard, "barge")?;
    let release = |compartment: &str| {
        let release = ["record", "release", &record, "--compartment", compartment];
        Ok::<String, io::Error>(text(&done(guard.command(&release)?)["released"]).to_owned())
    };
    let (seen, unseen) = (release("three")?, release("home")?);
    for known in [&record, &seen] {
        until(|| Ok(customs.command(&["record", "show", known])?.code == DONE))?;
    }
    until(|| {
        let shown = done(customs.command(&["record", "show", &record])?);
        let fields = shown["fields"].as_object().cloned().unwrap_or_default();
        Ok(fields.keys().filter(|name| name.starts_with("released_to")).count() == 2)
    })?;
    assert_eq!(customs.command(&["record", "show", &unseen])?.code, NOT_FOUND);

    let proposed = guard.command(&["coalition", "propose", "recall", &record])?;
    assert_eq!(proposed.code, WAITS, "{}", proposed.document);
    let proposed = proposed.document;
    let id = text(&proposed["proposal"]).to_owned();
    assert_eq!(proposed["also"].as_array().map(Vec::len), Some(2), "{proposed}");
    assert_eq!(proposed["unreached"], json!([]));
    // It is named, where it may be read.
    let shown = proposal(&customs, &id)?;
    assert_eq!([&shown["record"], &shown["title"]], [&json!(record), &json!("barge")], "{shown}");
    assert_eq!(shown["what"], format!("recall record {record}, \"barge\""));
    let of = |peer: &Daemon, record: &str| {
        let all = proposals(peer)?;
        Ok::<Option<Value>, io::Error>(all.into_iter().find(|one| one["record"] == record))
    };
    until(|| Ok(proposals(&customs)?.len() == 4))?;
    assert!(of(&customs, &seen)?.is_some() && of(&customs, &unseen)?.is_none());
    let hidden = of(&guard, &unseen)?.unwrap_or_default();

    // One signature is for the record and its releases, as far as the founder sees them.
    let approved = done(customs.command(&["coalition", "approve", &id])?);
    let also = of(&customs, &seen)?.map(|one| one["proposal"].clone());
    assert_eq!((&approved["also"], &approved["unreached"]), (&json!([also]), &json!([unseen])));
    let again = done(customs.command(&["coalition", "approve", &id])?);
    assert_eq!(again["already"], true, "{again}");
    for peer in [&guard, &customs] {
        for recalled in [&record, &seen] {
            until(|| Ok(flags(peer, recalled)? == json!(["recalled"])))?;
        }
    }
    assert_eq!(flags(&guard, &unseen)?, json!([]));
    done(customs.command(&["coalition", "approve", text(&hidden["proposal"])])?);
    until(|| Ok(flags(&guard, &unseen)? == json!(["recalled"])))?;
    // Said again it says nothing.
    let again = done(guard.command(&["coalition", "propose", "recall", &record])?);
    assert_eq!((&again["already"], proposals(&guard)?.len()), (&json!(true), 4));
    Ok(())
}
