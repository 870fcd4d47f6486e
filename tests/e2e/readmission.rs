//! Readmission on the shipped binary: a device that comes back has what the readmission says, and
//! nothing of what it had before.

use std::io;

use serde_json::Value;

use crate::trust::{
    DENIED, DONE, Pair, USAGE, done, enrolled, new_sighting, pair, reason, sighting, text, until,
};

#[test]
fn a_device_that_is_readmitted_with_less_does_no_more_than_that() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { guard, customs } = pair(folder.path())?;
    let mut kilo = enrolled(folder.path(), &guard, "KILO", &[])?;
    let before = sighting(&kilo, "before")?;
    until(|| Ok(customs.command(&["record", "show", &before])?.code == DONE))?;

    // It begins a new life while nobody reaches it, and writes on.
    let mut others = Vec::new();
    for peer in [&guard, &customs] {
        others.push(text(&done(peer.command(&["id"])?)["device"]).to_owned());
    }
    for peer in &others {
        done(kilo.command(&["peer", "pause", peer])?);
    }
    kilo.kill()?;
    let first = text(&done(kilo.command(&["id"])?)["incarnation"]).to_owned();
    done(kilo.command(&["doctor", "--new-life"])?);
    let life = text(&done(kilo.command(&["id"])?)["incarnation"]).to_owned();
    kilo.start()?;
    let record = sighting(&kilo, "unheard of")?;

    // Meanwhile its desk ends it, and lets that life read.
    let issue = |right: &str, more: &[&str]| {
        let issue = ["grant", "issue", "--device", "KILO", "--right", right];
        guard.command(&[&issue[..], more].concat())
    };
    let named = ["--readmit", "--incarnation", life.as_str()];
    let early = issue("read", &named)?;
    assert_eq!(early.code, DENIED, "nothing is to be reopened: {}", early.document);
    // A life is named to readmit it; other grants are for all lives.
    assert_eq!(issue("write", &["--incarnation", &life])?.code, USAGE);
    let ended = done(guard.command(&["grant", "revoke", "KILO"])?);
    let again = done(guard.command(&["grant", "revoke", "KILO"])?);
    assert_eq!((&ended["already"], &again["already"]), (&false.into(), &true.into()));
    assert!(again["statement"].is_null() && again["kept"] == ended["kept"], "{again}");
    assert_eq!(issue("write", &[])?.code, DENIED);
    // Not that which was ended: whoever had the device wrote on in it.
    let lost = issue("read", &["--readmit", "--incarnation", &first])?;
    assert_eq!(lost.code, DENIED, "{}", lost.document);
    assert!(lost.document.to_string().contains("--new-life"), "{}", lost.document);
    let said = done(issue("read", &named)?);
    assert!(text(&said["what"]).contains(&life), "{said}");
    let statement = text(&said["statement"]);
    assert_eq!(issue("write", &[])?.code, DENIED, "it would not reach that life");
    until(|| Ok(customs.command(&["grant", "explain", statement])?.code == DONE))?;

    // What it wrote is set aside on every peer, which says by which rule and whose word.
    for peer in &others {
        done(kilo.command(&["peer", "resume", peer])?);
    }
    let mut why = Value::Null;
    until(|| {
        let told = customs.command(&["why", &record])?;
        why = told.document;
        Ok(told.code == DONE && why["state"] == "quarantined")
    })?;
    let why = reason(&why, "quarantine");
    assert_eq!(why["section"], "6.1", "{why}");
    assert_eq!(why["by"][0]["statement"], statement, "{why}");
    assert!(text(&why["detail"]).contains("readmitted"), "{why}");
    let explained = done(customs.command(&["grant", "explain", statement])?);
    assert_eq!(explained["verdict"], "it counts");
    assert!(text(&explained["what"]).contains(&life), "{explained}");
    assert_eq!(customs.command(&["record", "show", &before])?.code, DONE, "it was kept");
    let asked = sighting(&customs, "to be read")?;
    until(|| Ok(kilo.command(&["record", "show", &asked])?.code == DONE))?;
    let refused = new_sighting(&kilo, "refused")?;
    assert_eq!(refused.code, DENIED, "{}", refused.document);

    // Readmitted with the old right it is as before, and what it wrote counts.
    done(issue("write", &named)?);
    until(|| Ok(customs.command(&["record", "show", &record])?.code == DONE))?;
    let mut again = String::new();
    until(|| {
        let new = new_sighting(&kilo, "again")?;
        again = text(&new.document["record"]).to_owned();
        Ok(new.code == DONE)
    })?;
    until(|| Ok(customs.command(&["record", "show", &again])?.code == DONE))?;

    // Ended once more, it comes back in another life: in this one it would have all that this had.
    done(guard.command(&["grant", "revoke", "KILO"])?);
    let refused = issue("read", &named)?;
    assert_eq!(refused.code, DENIED, "{}", refused.document);
    done(issue("read", &["--readmit", "--incarnation", "00000000075bcd15"])?);
    Ok(())
}
