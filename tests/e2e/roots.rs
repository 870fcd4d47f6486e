//! Roots of agencies on the shipped binary: one is lost and replaced, and replaced again; an agency leaves
//! and comes back.

use std::io;
use std::path::Path;

use serde_json::{Value, json};
use tearline_tests::daemon::{self, Daemon};

use crate::trust::{
    DENIED, DONE, USAGE, WAITS, done, enrolled, new_sighting, path, sighting, text, until,
};

/// Three agencies that founded a coalition in which two decide, and a compartment of theirs.
struct Trio {
    guard: Daemon,
    customs: Daemon,
    police: Daemon,
}

fn trio(folder: &Path) -> io::Result<Trio> {
    let mut guard = Daemon::init(folder, "Border Guard", "NE")?;
    let mut customs = Daemon::init(folder, "Customs", "TD")?;
    let mut police = Daemon::init(folder, "Police", "NG")?;
    let mut create = vec!["coalition".to_owned(), "create".into(), "--name".into(), "Drill".into()];
    create.extend(["--quorum".into(), "2".into()]);
    for (peer, name) in [(&mut customs, "Customs,TD"), (&mut police, "Police,NG")] {
        peer.start()?;
        let root = text(&done(peer.command(&["id"])?)["root"]).to_owned();
        create.extend(["--founder".into(), format!("{name},{root}")]);
    }
    guard.start()?;
    done(guard.command(&create.iter().map(String::as_str).collect::<Vec<_>>())?);
    for peer in [&customs, &police] {
        let invited = done(guard.command(&["peer", "invite"])?);
        done(peer.command(&["join", text(&invited["invitation"])])?);
    }
    done(guard.command(&["compartment", "open", "--name", "all", "--rel", "NE,TD,NG"])?);
    let taken = guard.command(&["compartment", "open", "--name", "all", "--rel", "NE,TD"])?;
    assert_eq!(taken.code, USAGE, "{}", taken.document);
    for peer in [&customs, &police] {
        until(|| Ok(peer.command(&["compartment", "show", "all"])?.code == DONE))?;
    }
    Ok(Trio { guard, customs, police })
}

impl Trio {
    /// Two founders decide: one proposes, the other approves. What the proposal says.
    fn decide(&self, act: &[&str]) -> io::Result<Value> {
        let proposed = self.guard.command(&[&["coalition", "amend"][..], act].concat())?;
        assert_eq!(proposed.code, WAITS, "{}", proposed.document);
        let id = text(&proposed.document["proposal"]);
        until(|| Ok(self.police.command(&["coalition", "approve", id])?.code == DONE))?;
        until(|| Ok(self.shown(&self.guard, id)?["in_force"] == true))?;
        self.shown(&self.guard, id)
    }

    /// A proposal as a peer lists it; null if it does not know it.
    fn shown(&self, at: &Daemon, id: &str) -> io::Result<Value> {
        let known = done(at.command(&["coalition", "proposals"])?);
        let known = known["proposals"].as_array().cloned().unwrap_or_default();
        Ok(known.into_iter().find(|one| one["proposal"] == id).unwrap_or_default())
    }

    /// The roots of a country's agency, as a founder knows them.
    fn roots(&self, country: &str) -> io::Result<Value> {
        let shown = done(self.guard.command(&["coalition", "show"])?);
        let agencies = shown["agencies"].as_array().cloned().unwrap_or_default();
        let of = agencies.into_iter().find(|one| one["country"] == country);
        Ok(of.unwrap_or_default()["roots"].clone())
    }

    fn has_ended(&self, device: &str) -> io::Result<bool> {
        let list = done(self.guard.command(&["device", "list"])?);
        let devices = list["devices"].as_array().cloned().unwrap_or_default();
        let of = devices.into_iter().find(|one| one["device"] == device).unwrap_or_default();
        Ok(of["standing"]["state"] != "live")
    }
}

/// A home of the same agency with another root, and that root.
fn with_new_root(folder: &Path, name: &str) -> io::Result<(Daemon, String)> {
    let home = folder.join(name);
    done(daemon::command(&home, &["init", "--agency", "Customs", "--country", "TD"])?);
    let root = text(&done(daemon::command(&home, &["id"])?)["root"]).to_owned();
    Ok((Daemon::at(home)?, root))
}

#[test]
fn a_root_is_replaced_and_replaced_again() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let trio = trio(folder.path())?;
    let Trio { guard, customs, police } = &trio;
    let kept = sighting(customs, "kept")?;
    until(|| Ok(guard.command(&["record", "show", &kept])?.code == DONE))?;
    let mut kilo = enrolled(folder.path(), customs, "KILO", &[])?;
    let unit = text(&done(kilo.command(&["id"])?)["device"]).to_owned();
    let own = done(customs.command(&["id"])?);
    let (old_desk, old) = (text(&own["device"]), text(&own["root"]));
    let (mut next, root) = with_new_root(folder.path(), "next")?;

    // The desk that would end by it neither proposes nor approves it: it would be in force by its approval,
    // and give no root by it.
    let replace = ["replace-root", "TD", "--root", &root];
    let act = [&["coalition", "amend"][..], &replace].concat();
    let refused = customs.command(&act)?;
    assert_eq!(refused.code, DENIED, "{}", refused.document);
    let proposed = guard.command(&act)?;
    assert_eq!(proposed.code, WAITS, "{}", proposed.document);
    assert_eq!(proposed.document["root_given"], false);
    assert!(proposed.document["terms"].to_string().contains(&format!("in the place of {old}")));
    let id = text(&proposed.document["proposal"]);
    until(|| Ok(!trio.shown(customs, id)?.is_null()))?;
    let refused = customs.command(&["coalition", "approve", id])?;
    assert_eq!(refused.code, DENIED, "{}", refused.document);
    assert!(refused.document.to_string().contains("this very desk"), "{}", refused.document);
    assert_eq!(trio.roots("TD")?, json!([old]));

    let given = trio.decide(&replace)?;
    assert_eq!(given["root_given"], true, "{given}");
    assert_eq!(trio.roots("TD")?, json!([root]));
    assert!(trio.has_ended(old_desk)?);
    assert_eq!(
        guard.command(&["record", "show", &kept])?.code,
        DONE,
        "what it wrote before is kept"
    );

    // The agency goes on: a desk that the new root certifies, and that root's word on the old one's devices.
    next.start()?;
    let invited = done(police.command(&["peer", "invite"])?);
    assert_eq!(
        done(next.command(&["join", text(&invited["invitation"])])?)["agency"]["country"],
        "TD"
    );
    until(|| Ok(next.command(&["compartment", "show", "all"])?.code == DONE))?;
    let mut written = String::new();
    until(|| {
        let new = new_sighting(&next, "goes on")?;
        written = text(&new.document["record"]).to_owned();
        Ok(new.code == DONE)
    })?;
    until(|| Ok(guard.command(&["record", "show", &written])?.code == DONE))?;
    let draft = path(folder.path(), "revoke.txt");
    done(guard.command(&["root", "draft", "revoke", old_desk, "--out", &draft])?);
    let sign = |by: &Daemon, out: &str| {
        let root = by.home().join("agency.key").display().to_string();
        let offline = folder.path().join("nowhere");
        daemon::command(&offline, &["root", "sign", &draft, "--root", &root, "--out", out])
    };
    let signed = path(folder.path(), "signed.txt");
    let refused = sign(customs, &signed)?;
    assert_eq!(refused.code, DENIED, "the old root: {}", refused.document);
    done(sign(&next, &signed)?);
    done(guard.command(&["root", "apply", &signed])?);

    // What stood behind the old root alone comes back when the founders say so.
    kilo.kill()?;
    done(kilo.command(&["doctor", "--new-life"])?);
    let life = text(&done(kilo.command(&["id"])?)["incarnation"]).to_owned();
    kilo.start()?;
    assert!(trio.has_ended(&unit)?);
    let readmit = ["--readmit", "--incarnation", &life];
    let issue = [&["grant", "issue", "--device", &unit, "--right", "write"][..], &readmit].concat();
    let early = next.command(&issue)?;
    assert_eq!(early.code, DENIED, "{}", early.document);
    assert!(early.document.to_string().contains("amend admit"), "{}", early.document);
    trio.decide(&["admit", "--name", "Customs", "--country", "TD", "--root", &root])?;
    until(|| Ok(next.command(&issue)?.code == DONE))?;
    until(|| Ok(!trio.has_ended(&unit)?))?;

    // Replaced in its turn, it goes as the first one went, and neither comes back.
    let (_third, third_root) = with_new_root(folder.path(), "third")?;
    let next_desk = text(&done(next.command(&["id"])?)["device"]).to_owned();
    let given = trio.decide(&["replace-root", "TD", "--root", &third_root])?;
    let terms = given["terms"].to_string();
    assert!(terms.contains(old) && terms.contains(&root), "{terms}");
    assert_eq!(trio.roots("TD")?, json!([third_root]));
    assert!(trio.has_ended(&next_desk)?);
    let back = guard.command(&["coalition", "amend", "replace-root", "TD", "--root", old])?;
    assert_eq!(back.code, DENIED, "{}", back.document);
    Ok(())
}

#[test]
fn an_agency_that_was_retired_comes_back_in_a_new_life() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut trio = trio(folder.path())?;
    let own = done(trio.customs.command(&["id"])?);
    let (desk, root) = (text(&own["device"]).to_owned(), text(&own["root"]).to_owned());
    let before = sighting(&trio.customs, "before")?;
    until(|| Ok(trio.guard.command(&["record", "show", &before])?.code == DONE))?;

    trio.decide(&["retire", "TD"])?;
    until(|| trio.has_ended(&desk))?;
    let ask = ["root", "draft", "desk", "--root", &root, "--readmit"];
    let mut refused = Value::Null;
    until(|| {
        let drafted = trio.customs.command(&ask)?;
        refused = drafted.document;
        assert_eq!(drafted.code, DENIED, "{refused}");
        Ok(refused.to_string().contains("--new-life"))
    })?;

    // In a new life: the one that it had is what the retirement ended.
    trio.customs.kill()?;
    done(trio.customs.command(&["doctor", "--new-life"])?);
    trio.customs.start()?;
    let draft = path(folder.path(), "desk.txt");
    let drafted = done(trio.customs.command(&[&ask[..], &["--out", &draft]].concat())?);
    let life = text(&done(trio.customs.command(&["id"])?)["incarnation"]).to_owned();
    assert!(text(&drafted["what"]).contains(&life), "{drafted}");
    let signed = path(folder.path(), "signed.txt");
    done(trio.customs.command(&["root", "sign", &draft, "--out", &signed])?);
    let early = trio.guard.command(&["root", "apply", &signed])?;
    assert_eq!(early.code, DENIED, "{}", early.document);
    assert!(early.document.to_string().contains("amend admit"), "{}", early.document);
    trio.decide(&["admit", "--name", "Customs", "--country", "TD", "--root", &root])?;
    done(trio.guard.command(&["root", "apply", &signed])?);
    assert!(!trio.has_ended(&desk)?);
    let mut written = String::new();
    until(|| {
        let new = new_sighting(&trio.customs, "again")?;
        written = text(&new.document["record"]).to_owned();
        Ok(new.code == DONE)
    })?;
    until(|| Ok(trio.guard.command(&["record", "show", &written])?.code == DONE))?;
    assert_eq!(trio.police.command(&["record", "show", &before])?.code, DONE);
    Ok(())
}
