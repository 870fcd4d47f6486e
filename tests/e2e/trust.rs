//! Trust on the shipped binary: two founders who decide together, a device that is enrolled, lost and
//! read back from quarantine, and what is said of records.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tearline_crdt::hash::sha256;
use tearline_tests::daemon::{self, Daemon, Outcome};

/// Exit codes of the program.
pub(crate) const DONE: i32 = 0;
pub(crate) const USAGE: i32 = 2;
pub(crate) const NOT_FOUND: i32 = 4;
pub(crate) const DENIED: i32 = 5;
const INCOMPLETE: i32 = 7;
pub(crate) const WAITS: i32 = 8;

/// Two agencies that founded a coalition with a quorum of both, and a compartment of theirs.
pub(crate) struct Pair {
    pub(crate) guard: Daemon,
    pub(crate) customs: Daemon,
}

pub(crate) fn pair(folder: &Path) -> io::Result<Pair> {
    pair_with_delay(folder, "0h")
}

/// The same, with so much time from an erasure to the destruction.
pub(crate) fn pair_with_delay(folder: &Path, delay: &str) -> io::Result<Pair> {
    let mut guard = Daemon::init(folder, "Border Guard", "NE")?;
    let mut customs = Daemon::init(folder, "Customs", "TD")?;
    guard.start()?;
    customs.start()?;
    let root = done(customs.command(&["id"])?)["root"].as_str().unwrap_or_default().to_owned();
    let founder = format!("Customs,TD,{root}");
    let create = ["coalition", "create", "--name", "Drill", "--quorum", "2", "--founder", &founder];
    done(guard.command(&[&create[..], &["--erasure-delay", delay]].concat())?);
    let invited = done(guard.command(&["peer", "invite"])?);
    done(customs.command(&["join", text(&invited["invitation"])])?);
    done(guard.command(&["compartment", "open", "--name", "all", "--rel", "NE,TD"])?);
    until(|| Ok(customs.command(&["compartment", "show", "all"])?.code == DONE))?;
    Ok(Pair { guard, customs })
}

/// A further device of a desk's agency, on these terms, that has the compartment `all`.
pub(crate) fn enrolled(
    folder: &Path,
    desk: &Daemon,
    name: &str,
    terms: &[&str],
) -> io::Result<Daemon> {
    let home = folder.join(name);
    done(daemon::command(&home, &["init", "--unit", name])?);
    let mut unit = Daemon::at(home)?;
    unit.start()?;
    let invited = done(desk.command(&[&["device", "enrol", name][..], terms].concat())?);
    done(unit.command(&["join", text(&invited["invitation"])])?);
    until(|| Ok(unit.command(&["compartment", "show", "all"])?.code == DONE))?;
    Ok(unit)
}

#[test]
fn founders_decide_together() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { guard, customs } = pair(folder.path())?;
    let record = sighting(&guard, "kept")?;
    // Nobody ends himself by a slip.
    let own = text(&done(guard.command(&["id"])?)["device"]).to_owned();
    for act in
        [["device", "lost", &own, "--since", "10m"], ["grant", "revoke", &own, "--since", "10m"]]
    {
        assert_eq!(guard.command(&act)?.code, DENIED);
    }
    let proposed = guard.command(&["coalition", "propose", "hold", &record])?;
    assert_eq!(proposed.code, WAITS, "{}", proposed.document);
    assert_eq!(proposed.document["waiting_for"][0]["country"], "TD");
    assert_eq!(proposed.document["needed"], 2);
    // To say it again changes nothing.
    let again = guard.command(&["coalition", "propose", "hold", &record])?;
    let mut same = proposed.document.clone();
    same["already"] = true.into();
    assert_eq!((again.code, &again.document), (WAITS, &same));
    // What is signed is shown in full, and who asks for it.
    let genesis =
        text(&done(guard.command(&["record", "history", &record])?)["entries"][0]["entry"])
            .to_owned();
    assert_eq!(proposed.document["terms"], serde_json::json!([format!("first entry {genesis}")]));
    assert_eq!(proposed.document["by"][0]["agency"]["country"], "NE");
    let id = text(&proposed.document["proposal"]);
    until(|| {
        let known = done(customs.command(&["coalition", "proposals"])?);
        Ok(known["proposals"].as_array().is_some_and(|list| list.len() == 1))
    })?;
    let approved = done(customs.command(&["coalition", "approve", &id[..8]])?);
    assert_eq!(approved["in_force"], true);
    until(|| {
        let known = done(guard.command(&["coalition", "proposals"])?);
        Ok(known["proposals"][0]["in_force"] == true)
    })?;
    for again in [&["coalition", "propose", "hold", &record][..], &["coalition", "approve", id]] {
        let again = done(guard.command(again)?);
        assert_eq!((text(&again["proposal"]), &again["already"]), (id, &true.into()));
    }
    assert_eq!(customs.command(&["coalition", "approve", "ffffffff"])?.code, NOT_FOUND);
    let explained = done(guard.command(&["grant", "explain", id])?);
    assert_eq!(
        (text(&explained["verdict"]), explained["by"].as_array().map(Vec::len)),
        ("it counts", Some(2))
    );

    // The hold of both stops the erasure of one.
    let basis = ["--basis", "Article 17"];
    let said = done(guard.command(&[&["record", "erase", &record][..], &basis].concat())?);
    assert!(said["due"].is_null(), "{said}");
    until(|| {
        let receipts = guard.command(&["record", "receipts", &record])?.document;
        let answers = receipts["statements"][0]["answers"].as_array().cloned();
        let answers = answers.unwrap_or_default();
        Ok(answers.len() == 2 && answers.iter().all(|answer| answer["outcome"] == "refused"))
    })?;
    // Whose hold it is, is said where the record is shown and where receipts are waited for.
    let held = serde_json::json!(["restricted", "held"]);
    let shown = done(customs.command(&["record", "show", &record])?);
    assert_eq!((&shown["flags"], &shown["holds"][0]["everywhere"]), (&held, &true.into()));
    let listed = done(customs.command(&["record", "list"])?);
    assert_eq!(listed["records"][0]["flags"], held, "{listed}");
    let receipts = guard.command(&["record", "receipts", &record])?;
    assert_eq!(
        (receipts.code, text(&receipts.document["holds"][0]["statement"])),
        (INCOMPLETE, id)
    );
    // Another agency's hold binds its own peers, and is named to all.
    let other = sighting(&guard, "held by customs alone")?;
    until(|| Ok(customs.command(&["record", "show", &other])?.code == DONE))?;
    let said = done(customs.command(&["record", "hold", &other])?);
    let holds = |peer: &Daemon| -> io::Result<Value> {
        Ok(done(peer.command(&["record", "show", &other])?)["holds"].take())
    };
    until(|| Ok(holds(&guard)?[0]["statement"] == said["statement"]))?;
    for (peer, here) in [(&guard, false), (&customs, true)] {
        let hold = holds(peer)?[0].take();
        assert_eq!((text(&hold["by"]["country"]), &hold["here"]), ("TD", &here.into()));
        assert!(hold["everywhere"] == false && hold["heard"].is_string(), "{hold}");
        let shown = done(peer.command(&["record", "show", &other])?);
        assert_eq!(shown["flags"].as_array().map(Vec::len), Some(usize::from(here)));
    }
    done(customs.command(&["record", "lift", &other])?);
    until(|| Ok(holds(&guard)? == serde_json::json!([])))
}

#[test]
fn a_device_is_enrolled_lost_and_read_back_from_quarantine() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { guard, customs } = pair(folder.path())?;
    let home = folder.path().join("kilo");
    done(daemon::command(&home, &["init", "--unit", "KILO"])?);
    let mut kilo = Daemon::at(home)?;
    kilo.start()?;
    let old = sighting(&guard, "old")?;
    let invited = done(guard.command(&["device", "enrol", "KILO", "--expires", "1h"])?);
    assert_eq!(invited["history"], false);
    // An agency of its own is no further device, and finds that nothing was changed.
    let mut other = Daemon::init(folder.path(), "Coast Guard", "NG")?;
    other.start()?;
    let refused = other.command(&["join", text(&invited["invitation"])])?;
    assert_eq!(refused.code, DENIED, "{}", refused.document);
    assert!(refused.document.to_string().contains("the root of Coast Guard"));
    assert_eq!(done(other.command(&["status"])?)["peers"], serde_json::json!([]));
    let joined = done(kilo.command(&["join", text(&invited["invitation"])])?);
    let listed = done(guard.command(&["device", "list"])?);
    let devices = listed["devices"].as_array().cloned().unwrap_or_default();
    let enrolled = devices.iter().find(|device| device["name"] == "KILO");
    assert_eq!(enrolled.map(|device| &device["check"]), Some(&joined["check"]));
    // A device has a name at others when they give it one, and its own at home.
    let own = done(guard.command(&["id"])?);
    let at_home = devices.iter().find(|device| device["device"] == own["device"]);
    assert_eq!(at_home.map(|device| &device["name"]), Some(&own["name"]));
    assert!(own["name"].is_string());
    let listed = done(customs.command(&["device", "list"])?);
    let devices = listed["devices"].as_array().cloned().unwrap_or_default();
    let elsewhere = devices.iter().find(|device| device["device"] == own["device"]);
    assert_eq!(elsewhere.map(|device| &device["name"]), Some(&Value::Null));
    // A name is for one, so that who says it is understood.
    let other = own["device"].as_str().unwrap_or_default();
    for taken in [
        &["device", "enrol", "kilo"][..],
        &["device", "enrol", " "],
        &["device", "name", other, "KILO"],
        &["device", "name", other, "LIMA\n"],
        &["compartment", "open", "--name", "", "--rel", "NE"],
    ] {
        let taken = guard.command(taken)?;
        assert_eq!(taken.code, USAGE, "{}", taken.document);
    }
    until(|| Ok(kilo.command(&["compartment", "show", "all"])?.code == DONE))?;
    let record = sighting(&kilo, "honest")?;
    until(|| Ok(customs.command(&["record", "show", &record])?.code == DONE))?;

    // It reads what was there before it once a grant says so.
    assert_eq!(kilo.command(&["record", "show", &old])?.code, NOT_FOUND);
    let history = ["--right", "read", "--history", "--compartment", "all"];
    done(guard.command(&[&["grant", "issue", "--device", "KILO"][..], &history].concat())?);
    until(|| Ok(kilo.command(&["record", "show", &old])?.code == DONE))?;
    let grants = done(guard.command(&["grant", "list", "--compartment", "all"])?);
    assert_eq!(grants["grants"][0]["limits"], "with history");

    // Another agency cannot; a rehearsal does nothing.
    let device = text(&done(kilo.command(&["id"])?)["device"]).to_owned();
    let foreign = customs.command(&["device", "lost", &device, "--since", "1h"])?;
    assert_eq!(foreign.code, DENIED, "{}", foreign.document);
    assert!(text(&foreign.document["hint"]).contains("coalition propose revoke"));
    let rehearsed =
        done(guard.command(&["device", "lost", "KILO", "--since", "1h", "--dry-run"])?);
    assert!(rehearsed["statement"].is_null());
    let would_lose = |changes: &Value| {
        let all = changes.as_array().cloned().unwrap_or_default();
        all.iter().any(|one| {
            one["device"]["name"] == "KILO" && one["name"] == "all" && one["after"].is_null()
        })
    };
    assert!(would_lose(&rehearsed["changes"]), "{rehearsed}");
    // So does a rehearsed revocation, and a grant: each says whose right would be which.
    let revoke = ["grant", "revoke", "KILO", "--compartment", "all", "--dry-run"];
    let rehearsed = done(guard.command(&revoke)?);
    assert!(would_lose(&rehearsed["changes"]), "{rehearsed}");
    let more = ["--right", "admit", "--compartment", "all", "--dry-run"];
    let rehearsed =
        done(guard.command(&[&["grant", "issue", "--device", "KILO"][..], &more].concat())?);
    let change = &rehearsed["changes"][0];
    assert_eq!(
        (&change["before"], &change["after"]),
        (&"write".into(), &"admit".into()),
        "{rehearsed}"
    );
    assert_eq!(rehearsed["statement"], "");
    assert_eq!(done(guard.command(&["grant", "list", "--compartment", "all"])?), grants);
    assert_eq!(customs.command(&["record", "show", &record])?.code, DONE);

    let lost = done(guard.command(&["device", "lost", "KILO", "--since", "1h"])?);
    let statement = text(&lost["statement"]);
    // To say it again changes nothing, and says so.
    let again = done(guard.command(&["device", "lost", "KILO", "--since", "1h"])?);
    assert_eq!([&again["statement"], &again["already"]], [&Value::Null, &Value::Bool(true)]);
    assert_eq!(again["device"]["standing"]["by"], serde_json::json!([statement]));
    // Every list says that it has ended, behind those that have not.
    let ended = |list: &Value| {
        let last = list.as_array().and_then(|list| list.last().cloned()).unwrap_or_default();
        let device = if last["device"].is_object() { &last["device"] } else { &last };
        device["device"] == lost["device"]["device"]
            && last["standing"]["state"] == "ended"
            && last["standing"]["since"].is_string()
    };
    until(|| Ok(ended(&done(guard.command(&["device", "list"])?)["devices"])))?;
    // Its own lists are empty because of that, and say so.
    until(|| Ok(kilo.command(&["record", "list"])?.code == DENIED))?;
    // Its link was closed, and it came again: it is told so, and nothing more is waited for.
    let told = |peers: &Value| {
        let last = peers.as_array().and_then(|all| all.last());
        let told = last.is_some_and(|peer| peer["state"] == "ended" && peer["missing"].is_null());
        ended(peers) && told
    };
    until(|| Ok(told(&done(guard.command(&["status"])?)["peers"])))?;
    until(|| Ok(told(&done(guard.command(&["peer", "list"])?)["peers"])))?;
    assert!(ended(&done(guard.command(&["grant", "list"])?)["grants"]));
    let shown = done(guard.command(&["coalition", "show"])?);
    assert!(ended(&shown["agencies"][0]["devices"]), "{shown}");
    // What it wrote is quarantined by now, and is listed with its title all the same.
    let exposed = lost["exposed"].as_array().cloned().unwrap_or_default();
    let exposed: Vec<&Value> =
        exposed.iter().filter_map(|one| one["records"].as_array()).flatten().collect();
    let own = exposed.iter().find(|one| one["record"] == record.as_str());
    assert!(own.is_some_and(|one| one["title"] == "honest" && one["quarantined"] == true));
    let shared = exposed.iter().find(|one| one["record"] == old.as_str());
    assert!(shared.is_some_and(|one| one["title"] == "old" && one["quarantined"] == false));
    assert!(lost["rotated"].to_string().contains("all"), "{lost}");
    assert!(lost["void"].is_array(), "{lost}");
    until(|| Ok(customs.command(&["record", "show", &record])?.code == NOT_FOUND))?;
    let explained = done(customs.command(&["grant", "explain", &statement[..12]])?);
    assert_eq!(explained["verdict"], "it counts");
    let why = done(customs.command(&["why", &record[..8]])?);
    assert_eq!(why["state"], "quarantined");
    let by = &reason(&why, "quarantine")["by"][0];
    assert_eq!(by["statement"], statement);
    assert_eq!(by["issuer"]["agency"]["country"], "NE");
    assert!(by["what"].as_str().is_some_and(|what| what.starts_with("revoke device")), "{by}");
    // It can be read before it is decided on, and there alone.
    let held = done(guard.command(&["inbox"])?);
    let of_record = |one: &&Value| one["record"] == record.as_str();
    let held = held["entries"].as_array().cloned().unwrap_or_default();
    let one = held.iter().find(of_record).cloned().unwrap_or_default();
    let entry = text(&one["entry"]).to_owned();
    assert!(text(&one["why"]).contains(statement), "{one}");
    assert_eq!(one["adopt"], "grant adopt");
    until(|| {
        let held = done(customs.command(&["inbox"])?);
        let mut held = held["entries"].as_array().cloned().unwrap_or_default().into_iter();
        let one = held.find(|one| of_record(&one)).unwrap_or_default();
        Ok(one["adopt"] == "coalition propose adopt")
    })?;
    assert_eq!([&one["kind"], &one["title"]], ["object", "honest"], "{one}");
    assert_eq!(one["fields"], serde_json::json!(["name"]));
    let full = done(guard.command(&["inbox", "show", &entry[..8]])?);
    assert_eq!(full["would_be"], "counts", "{full}");
    let name = serde_json::json!({
        "field": "name", "now": null, "then": "honest", "concurrent": [], "by_it": true
    });
    assert_eq!(full["changes"], serde_json::json!([name]));
    assert_eq!(guard.command(&["inbox", "show", "ffffffff"])?.code, NOT_FOUND);
    assert_eq!(guard.command(&["record", "show", &record])?.code, NOT_FOUND);
    let found = done(guard.command(&["search", "honest"])?);
    assert_eq!(found["records"], serde_json::json!([]));

    // The other agency's word does not bring it back; its own agency's does.
    let _ = customs.command(&["grant", "adopt", &entry])?;
    let adopted = done(guard.command(&["grant", "adopt", &entry])?);
    assert!(adopted["entries"].to_string().contains(&entry), "{adopted}");
    until(|| Ok(customs.command(&["record", "show", &record])?.code == DONE))?;
    // Who asks is told of both: what ended the standing, and what lets the record count.
    let by = reason(&done(customs.command(&["why", &record])?), "adoption")["by"].clone();
    let named = by.as_array().into_iter().flatten().map(|one| text(&one["statement"]));
    assert_eq!(named.collect::<Vec<_>>(), [statement, text(&adopted["statement"])]);
    let explained = done(customs.command(&["grant", "explain", text(&adopted["statement"])])?);
    assert_eq!(explained["by"].as_array().map(Vec::len), Some(1), "{explained}");
    let again = done(guard.command(&["grant", "adopt", &entry])?);
    assert_eq!([&again["already"], &again["statement"]], [&true.into(), &adopted["statement"]]);
    // What was adopted counts whatever else this agency says of the device.
    let again = done(guard.command(&["device", "lost", "KILO", "--since", "1h"])?);
    assert_eq!([&again["statement"], &again["already"]], [&Value::Null, &Value::Bool(true)]);
    assert_eq!(
        again["kept"].as_array().map(|logs| logs.iter().any(|log| log["kept"] == 1)),
        Some(true)
    );

    // It comes back in a new life, if the desk says so.
    kilo.kill()?;
    done(kilo.command(&["doctor", "--new-life"])?);
    let life = text(&done(kilo.command(&["id"])?)["incarnation"]).to_owned();
    kilo.start()?;
    let issue = ["grant", "issue", "--device", "KILO", "--right", "write"];
    let readmit = [&issue[..], &["--readmit", "--incarnation", &life]].concat();
    let readmitted = done(guard.command(&readmit)?);
    let again = done(guard.command(&readmit)?);
    assert_eq!([&again["already"], &again["statement"]], [&true.into(), &readmitted["statement"]]);
    let granted = done(guard.command(&["grant", "list"])?);
    let grants = granted["grants"].as_array().into_iter().flatten();
    let former = |grant: &&Value| text(&grant["verdict"]).contains("for a former life");
    let device = &lost["device"]["device"];
    let (old, new): (Vec<_>, Vec<_>) =
        grants.filter(|grant| grant["device"]["device"] == *device).partition(former);
    assert_eq!((old.len(), new.len()), (1, 1), "{granted}");
    until(|| Ok(kilo.command(&["compartment", "show", "all"])?.code == DONE))?;
    let mut written = String::new();
    until(|| {
        let new = new_sighting(&kilo, "again")?;
        written = text(&new.document["record"]).to_owned();
        Ok(new.code == DONE)
    })?;
    until(|| Ok(customs.command(&["record", "show", &written])?.code == DONE))
}

/// What a device may do is said when it is enrolled.
#[test]
fn a_device_has_what_it_was_enrolled_with() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { guard, customs } = pair(folder.path())?;
    let refused = guard.command(&["device", "enrol", "X", "--right", "relay", "--history"])?;
    assert_eq!(refused.code, USAGE, "{}", refused.document);
    let enrol = |name: &str, terms: &[&str]| enrolled(folder.path(), &guard, name, terms);

    let reader = enrol("gate", &["--right", "read"])?;
    let record = sighting(&guard, "seen")?;
    until(|| Ok(reader.command(&["record", "show", &record])?.code == DONE))?;
    let refused = new_sighting(&reader, "read only")?;
    assert_eq!(refused.code, DENIED, "{}", refused.document);

    // Of a file, what its grant does not cover is named, and the rest goes in.
    let patrol = enrol("patrol", &["--kind", "sighting,alert"])?;
    let uuid = "8e2e2d2b-17d4-4cbf-938f-98ee46b3c001";
    let object = |kind: &str| serde_json::json!({ "type": kind, "id": format!("{kind}--{uuid}") });
    let mixed = [object("indicator"), object("sighting"), object("malware")];
    let path = folder.path().join("mixed.json");
    fs::write(&path, serde_json::json!(mixed).to_string())?;
    let path = path.display().to_string();
    let imported = patrol.command(&["import", &path, "--compartment", "all"])?;
    let report = &imported.document;
    assert_eq!(imported.code, INCOMPLETE, "{report}");
    assert_eq!((&report["created"], &report["rejected"]), (&1.into(), &2.into()), "{report}");
    let problems = report["problems"].as_array().into_iter().flatten();
    let places: Vec<&str> = problems.filter_map(|problem| problem["place"].as_str()).collect();
    let named =
        [format!("objects[0] (indicator--{uuid})"), format!("objects[2] (malware--{uuid})")];
    assert_eq!(places, named, "{report}");
    until(|| {
        let listed = done(customs.command(&["record", "list"])?);
        Ok(listed["records"].as_array().is_some_and(|records| records.len() == 2))
    })
}

#[test]
fn a_quota_is_said_where_it_ends_what_is_written() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { guard, customs } = pair(folder.path())?;
    let refused = guard.command(&["device", "enrol", "X", "--quota", "4KB"])?;
    assert_eq!(refused.code, USAGE, "{}", refused.document);
    let unit = enrolled(folder.path(), &guard, "patrol", &["--quota", "4KiB"])?;
    let granted = done(guard.command(&["grant", "list"])?);
    let grants = granted["grants"].as_array().cloned().unwrap_or_default();
    assert!(grants.iter().any(|grant| grant["limits"] == "at most 4KiB"), "{granted}");
    // Its keys may come after the compartment.
    until(|| Ok(new_sighting(&unit, "first")?.code == DONE))?;
    let mut written = 1;
    let ended = loop {
        let new = new_sighting(&unit, "more")?;
        if new.code != DONE {
            break new;
        }
        written += 1;
        assert!(written < 40, "4 KiB hold no 40 records");
    };
    assert_eq!(ended.code, DENIED, "{}", ended.document);
    let said = ended.document.to_string();
    for part in ["at most 4KiB of records in", "all", "are left", "tearline grant issue"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let there = |count: usize| {
        let listed = done(customs.command(&["record", "list"])?);
        Ok(listed["records"].as_array().is_some_and(|records| records.len() == count))
    };
    until(|| there(written))?;
    let shown = done(unit.command(&["compartment", "show", "all"])?);
    let [quota] = shown["quotas"].as_array().map_or(&[][..], Vec::as_slice) else {
        return Err(io::Error::other(format!("one quota: {shown}")));
    };
    assert_eq!((&quota["device"]["name"], &quota["quota_bytes"]), (&"patrol".into(), &4096.into()));
    assert!(
        quota["used_bytes"].as_u64().is_some_and(|used| (1..=4_096).contains(&used)),
        "{quota}"
    );

    let issue = ["grant", "issue", "--device", "patrol", "--right", "write", "--quota", "1MiB"];
    done(guard.command(&issue)?);
    until(|| Ok(new_sighting(&unit, "on")?.code == DONE))?;
    until(|| there(written + 1))
}

#[test]
fn what_is_said_of_a_record_reaches_its_releases() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { guard, customs } = pair(folder.path())?;
    let new =
        ["record", "new", "--kind", "report", "--set", "name=Source", "--set", "content=Text"];
    let record = text(&done(guard.command(&new)?)["record"]).to_owned();
    assert_eq!(customs.command(&["record", "show", &record])?.code, NOT_FOUND);
    let release = ["record", "release", &record, "--compartment", "all", "--fields", "name"];
    let released = text(&done(guard.command(&release)?)["released"]).to_owned();
    until(|| Ok(customs.command(&["record", "show", &released])?.code == DONE))?;
    let shown = done(customs.command(&["record", "show", &released])?);
    assert!(shown["fields"].get("content").is_none(), "{shown}");
    assert_eq!(shown["fields"]["released_from"], record.as_str());
    let out = folder.path().join("all.json");
    done(guard.command(&["export", "--format", "stix", "--out", &out.display().to_string()])?);
    let out = fs::read_to_string(out)?;
    assert_eq!(out.matches("Source").count(), 2, "{out}");
    assert!(!out.contains("released_"), "{out}");

    let foreign = customs.command(&["record", "erase", &released, "--basis", "none"])?;
    assert_eq!(foreign.code, DENIED, "{}", foreign.document);
    done(guard.command(&["record", "recall", &record])?);
    until(|| {
        let shown = done(customs.command(&["record", "show", &released])?);
        Ok(shown["flags"] == serde_json::json!(["recalled"]))
    })?;
    let restricted = done(guard.command(&["record", "restrict", &released])?);
    until(|| {
        let shown = done(customs.command(&["record", "show", &released])?);
        Ok(shown["fields"].as_object().is_some_and(serde_json::Map::is_empty))
    })?;
    let again = done(guard.command(&["record", "restrict", &released])?);
    assert_eq!([&again["already"], &again["statement"]], [&true.into(), &restricted["statement"]]);
    let lift = ["record", "lift", text(&restricted["statement"])];
    assert_eq!(customs.command(&lift)?.code, DENIED, "another agency's word");
    done(guard.command(&["record", "lift", &released])?);
    let again = done(guard.command(&["record", "lift", &released])?);
    assert_eq!(
        (&again["already"], text(&again["by"][0]["issuer"]["agency"]["country"])),
        (&true.into(), "NE")
    );
    let receipts = done(guard.command(&["record", "receipts", &released])?);
    assert_eq!(receipts["lifted"].as_array().map(Vec::len), Some(1), "{receipts}");
    until(|| {
        let shown = done(customs.command(&["record", "show", &released])?);
        Ok(shown["fields"]["name"] == "Source")
    })?;
    let erased = done(guard.command(&["record", "erase", &record, "--basis", "Article 17"])?);
    assert_eq!(erased["also"], serde_json::json!([released]));
    // Said again, hidden or destroyed, it says nothing.
    let length = || -> io::Result<Value> {
        Ok(done(guard.command(&["compartment", "show", "home"])?)["logs"].take())
    };
    until(|| Ok(customs.command(&["record", "show", &released])?.code == NOT_FOUND))?;
    let before = length()?;
    let again = done(guard.command(&["record", "erase", &record, "--basis", "Article 18"])?);
    assert_eq!((&again["already"], &erased["already"]), (&Value::Bool(true), &Value::Bool(false)));
    assert_eq!(again["statement"], erased["statement"], "{again}");
    assert_eq!((&again["also"], length()?), (&serde_json::json!([]), before));
    until(|| {
        let receipts = guard.command(&["record", "receipts", &released])?;
        assert!([DONE, INCOMPLETE].contains(&receipts.code), "{}", receipts.document);
        Ok(receipts.code == DONE)
    })
}

#[test]
fn an_erasure_reaches_releases_of_releases_of_a_restricted_record() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { guard, customs } = pair(folder.path())?;
    let new = ["record", "new", "--kind", "case", "--compartment", "all", "--set", "name=Source"];
    let record = text(&done(guard.command(&new)?)["record"]).to_owned();
    let other = text(&done(guard.command(&new)?)["record"]).to_owned();
    let mut releases = Vec::new();
    let mut source = record.clone();
    for to in ["home", "all"] {
        let release = guard.command(&["record", "release", &source, "--compartment", to])?;
        source = text(&done(release)["released"]).to_owned();
        releases.push(source.clone());
    }
    until(|| Ok(customs.command(&["record", "show", &releases[1]])?.code == DONE))?;
    // Nobody says by hand what was released as what.
    let forged = format!("released_to_{other}=true");
    for act in [
        ["record", "edit", &record, "--set", &forged],
        ["record", "edit", &record, "--unset", "released_from"],
    ] {
        assert_eq!(guard.command(&act)?.code, USAGE);
    }
    done(guard.command(&["record", "restrict", &record])?);
    until(|| Ok(customs.command(&["why", &record])?.document["state"] == "hidden"))?;
    let refused = guard.command(&["record", "release", &record, "--compartment", "home"])?;
    assert_eq!(refused.code, DENIED, "{}", refused.document);
    let erased = done(guard.command(&["record", "erase", &record, "--basis", "Article 17"])?);
    releases.reverse();
    assert_eq!(erased["also"], serde_json::json!(releases));
    assert_eq!(erased["unreached"], serde_json::json!([]));
    until(|| Ok(customs.command(&["record", "show", &releases[0]])?.code == NOT_FOUND))?;
    assert_eq!(customs.command(&["record", "show", &other])?.code, DONE);
    Ok(())
}

#[test]
fn why_names_the_statements_that_decided() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { guard, customs } = pair(folder.path())?;
    let desk = text(&done(guard.command(&["id"])?)["device"]).to_owned();
    let record = sighting(&guard, "seen")?;
    until(|| Ok(customs.command(&["record", "show", &record])?.code == DONE))?;
    let why = done(customs.command(&["why", &record])?);
    assert_eq!(why["state"], "shown");
    for (rule, what) in
        [("audience", "open a compartment"), ("grant", "desk "), ("epoch", "seal epoch ")]
    {
        let by = &reason(&why, rule)["by"][0];
        assert!(by["what"].as_str().is_some_and(|said| said.starts_with(what)), "{rule}: {by}");
        let explained = done(customs.command(&["grant", "explain", text(&by["statement"])])?);
        assert_eq!(explained["what"], by["what"]);
    }

    // Hidden, held, and destroyed.
    done(guard.command(&["record", "restrict", &record])?);
    done(guard.command(&["record", "recall", &record])?);
    until(|| Ok(customs.command(&["why", &record])?.document["state"] == "hidden"))?;
    let mut said = Vec::new();
    until(|| {
        let why = done(customs.command(&["why", &record])?);
        said = reason(&why, "said")["by"].as_array().cloned().unwrap_or_default();
        Ok(said.len() == 2)
    })?;
    assert!(said.iter().all(|one| one["issuer"]["device"] == desk.as_str()), "{said:?}");
    let erased = done(guard.command(&["record", "erase", &record, "--basis", "Article 17"])?);
    until(|| Ok(customs.command(&["why", &record])?.document["state"] == "erased"))?;
    let why = done(customs.command(&["why", &record[..8]])?);
    assert_eq!(reason(&why, "said")["by"][0]["statement"], erased["statement"]);

    // What may not be known is not there.
    let new = ["record", "new", "--kind", "report", "--set", "name=Own", "--set", "content=Text"];
    let own = text(&done(guard.command(&new)?)["record"]).to_owned();
    assert_eq!(done(guard.command(&["why", &own])?)["state"], "shown");
    for hidden in [own.as_str(), "00000000-0000-4000-8000-000000000000"] {
        let answer = customs.command(&["why", hidden])?;
        assert_eq!(answer.code, NOT_FOUND, "{}", answer.document);
    }
    Ok(())
}

/// A request to a root as it would be if it were for this one.
fn for_another_root(draft: &str, root: &str) -> io::Result<String> {
    let bytes = |digits: &str| -> io::Result<Vec<u8>> {
        let pairs = (0..digits.len()).step_by(2).map(|at| digits.get(at..at + 2).unwrap_or("?"));
        pairs.map(|pair| u8::from_str_radix(pair, 16).map_err(io::Error::other)).collect()
    };
    let (prefix, digits) = draft.split_once('\n').unwrap_or_default();
    let mut body = bytes(&digits.replace('\n', ""))?;
    body.truncate(body.len() - 4);
    // Behind version, kind and coalition.
    body[34..66].copy_from_slice(&bytes(root)?);
    let checksum = sha256(&body);
    body.extend_from_slice(&checksum[..4]);
    let digits: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{prefix}\n{digits}\n"))
}

#[test]
fn a_seized_desk_is_revoked_by_its_root_and_another_goes_on() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { mut guard, customs } = pair(folder.path())?;
    let own = done(guard.command(&["id"])?);
    let (seized, root) = (text(&own["device"]).to_owned(), text(&own["root"]).to_owned());
    let kept = sighting(&guard, "kept")?;
    until(|| Ok(customs.command(&["record", "show", &kept])?.code == DONE))?;
    // The root lies elsewhere, where there is no home.
    let safe = path(folder.path(), "agency.key");
    fs::copy(guard.home().join("agency.key"), &safe)?;
    let offline = folder.path().join("nowhere");
    let sign = |draft: &str, root: &str, out: &str| {
        daemon::command(&offline, &["root", "sign", draft, "--root", root, "--out", out])
    };
    guard.kill()?;

    let draft = path(folder.path(), "revoke.txt");
    // Statements have no time: since one, none are kept.
    let all = done(customs.command(&["root", "draft", "revoke", &seized, "--since", "1h"])?);
    let void = all["void"].to_string();
    assert!(void.contains("seal epoch ") && void.contains("compartment rotate"), "{void}");
    let drafted = done(customs.command(&["root", "draft", "revoke", &seized, "--out", &draft])?);
    assert_eq!(drafted["void"], serde_json::json!([]));
    // Another agency's root does not sign it; and if it were made to, nothing comes of it.
    let foreign = path(folder.path(), "foreign.txt");
    let other = customs.home().join("agency.key").display().to_string();
    let refused = sign(&draft, &other, &foreign)?;
    assert_eq!(refused.code, DENIED, "{}", refused.document);
    assert!(refused.document.to_string().contains(&root) && !Path::new(&foreign).exists());
    let readdressed = path(folder.path(), "readdressed.txt");
    let other_root = text(&done(customs.command(&["id"])?)["root"]).to_owned();
    fs::write(&readdressed, for_another_root(&fs::read_to_string(&draft)?, &other_root)?)?;
    done(sign(&readdressed, &other, &foreign)?);
    let refused = customs.command(&["root", "apply", &foreign])?;
    assert_eq!(refused.code, DENIED, "{}", refused.document);
    let signed = path(folder.path(), "signed.txt");
    done(sign(&draft, &safe, &signed)?);
    let applied = done(customs.command(&["root", "apply", &signed])?);
    assert_eq!(applied["rotated"], serde_json::json!(["all"]));
    // Another root's word does not pass for it now, and the same word again does nothing.
    let refused = customs.command(&["root", "apply", &foreign])?;
    assert_eq!(refused.code, DENIED, "{}", refused.document);
    let again = done(customs.command(&["root", "apply", &signed])?);
    assert_eq!((&again["already"], &again["rotated"]), (&true.into(), &serde_json::json!([])));
    assert_eq!(again["statement"], applied["statement"]);
    let ended = |device: &str| -> io::Result<bool> {
        let list = done(customs.command(&["device", "list"])?);
        let devices = list["devices"].as_array().cloned().unwrap_or_default();
        Ok(devices.iter().any(|one| one["device"] == device && one["standing"]["state"] == "ended"))
    };
    assert!(ended(&seized)?);
    assert_eq!(customs.command(&["record", "show", &kept])?.code, DONE);

    // A new desk, certified by the same root.
    let home = folder.path().join("second");
    done(daemon::command(&home, &["init", "--unit", "Second desk"])?);
    let mut second = Daemon::at(home)?;
    second.start()?;
    let draft = path(folder.path(), "desk.txt");
    done(second.command(&["root", "draft", "desk", "--root", &root, "--out", &draft])?);
    let refused = sign(&draft, &other, &path(folder.path(), "no.txt"))?;
    assert_eq!(refused.code, DENIED, "{}", refused.document);
    let certificate = path(folder.path(), "certificate.txt");
    done(sign(&draft, &safe, &certificate)?);
    let invited = done(customs.command(&["peer", "invite"])?);
    let join = ["join", text(&invited["invitation"]), "--certificate", &certificate];
    assert_eq!(done(second.command(&join)?)["agency"]["country"], "NE");
    until(|| Ok(second.command(&["compartment", "list"])?.document.to_string().contains("TD")))?;
    let compartments = done(second.command(&["compartment", "list"])?);
    let list = compartments["compartments"].as_array().cloned().unwrap_or_default();
    let shared = list.iter().find(|one| one["agencies"].to_string().contains("TD"));
    let shared = text(&shared.cloned().unwrap_or_default()["compartment"]).to_owned();
    let mut written = String::new();
    until(|| {
        let new = ["record", "new", "--kind", "object", "--compartment", &shared];
        let new = second.command(&[&new[..], &["--set", "name=again"]].concat())?;
        written = text(&new.document["record"]).to_owned();
        Ok(new.code == DONE)
    })?;
    until(|| Ok(customs.command(&["record", "show", &written])?.code == DONE))?;
    let answer = sighting(&customs, "answer")?;
    until(|| Ok(second.command(&["record", "show", &answer])?.code == DONE))?;
    // It is a desk: it takes devices in. In one step, where the root's file is at hand, it is ended.
    done(second.command(&["device", "enrol", "KILO"])?);
    let device = text(&done(second.command(&["id"])?)["device"]).to_owned();
    done(customs.command(&["grant", "revoke", &device, "--root", &safe])?);
    assert!(ended(&device)?);
    Ok(())
}

pub(crate) fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_string_lossy().into_owned()
}

/// The ground of an answer of `why` that has this rule.
pub(crate) fn reason(why: &Value, rule: &str) -> Value {
    let because = why["because"].as_array().cloned().unwrap_or_default();
    let found = because.into_iter().find(|reason| reason["rule"] == rule);
    assert!(found.is_some(), "no {rule}: {why}");
    found.unwrap_or_default()
}

pub(crate) fn sighting(daemon: &Daemon, name: &str) -> io::Result<String> {
    let new = new_sighting(daemon, name)?;
    Ok(text(&done(new)["record"]).to_owned())
}

pub(crate) fn new_sighting(daemon: &Daemon, name: &str) -> io::Result<Outcome> {
    let name = format!("name={name}");
    daemon.command(&["record", "new", "--kind", "object", "--compartment", "all", "--set", &name])
}

/// Looks until it is so.
#[track_caller]
pub(crate) fn until(mut is_so: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let begun = Instant::now();
    while !is_so()? {
        assert!(begun.elapsed() < WAIT_MAX, "it did not come to be in time");
        thread::sleep(POLL);
    }
    Ok(())
}

/// How long peers may take on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

pub(crate) fn done(outcome: Outcome) -> Value {
    assert_eq!(outcome.code, DONE, "{}", outcome.document);
    outcome.document
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
