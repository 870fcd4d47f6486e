//! A home that was put back from a copy of its folder, which is no backup: its device writes a second
//! history. It is told so, in words that help, as soon as it meets a peer that knows the first.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tearline_tests::daemon::Daemon;

/// How long two daemons may take to find out what the other knows.
const MEETING_MAX: Duration = Duration::from_secs(60);

const FAILED: i32 = 1;
const NOT_FOUND: i32 = 4;

#[test]
fn a_forked_device_cannot_write_and_says_why() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut first = Daemon::init(folder.path(), "Border Guard", "NE")?;
    let mut second = Daemon::init(folder.path(), "Customs", "TD")?;
    first.start()?;
    second.start()?;
    first.ask("coalition.create", &json!({ "name": "Drill" }))?;
    let invited = first.ask("peer.invite", &json!({ "expires_s": 3600 }))?;
    second.ask("join", &json!({ "invitation": invited["invitation"] }))?;
    first.ask("compartment.open", &json!({ "name": "all", "rel": ["NE", "TD"] }))?;
    let before = write(&first, "XK-204")?;
    arrives(&second, &before)?;

    first.stop()?;
    let copy = folder.path().join("copy");
    copy_files(first.home(), &copy)?;
    first.start()?;
    let lost = write(&first, "XK-205")?;
    arrives(&second, &lost)?;
    first.stop()?;
    second.stop()?;
    fs::remove_dir_all(first.home())?;
    copy_files(&copy, first.home())?;

    // Nobody is there who could tell it: what it writes now is its second history.
    first.start()?;
    let later = write(&first, "XK-206")?;
    second.start()?;
    let forks = |daemon: &Daemon| -> io::Result<Vec<Value>> {
        let status = daemon.ask("status", &json!({}))?;
        Ok(status["forks"].as_array().cloned().unwrap_or_default())
    };
    for (daemon, own) in [(&first, true), (&second, false)] {
        let deadline = Instant::now() + MEETING_MAX;
        let fork = loop {
            if let Some(fork) = forks(daemon)?.pop() {
                break fork;
            }
            if Instant::now() > deadline {
                return Err(io::Error::other("the fork is not noticed"));
            }
            std::thread::yield_now();
        };
        assert_eq!((&fork["own"], &fork["current"]), (&json!(own), &json!(own)), "{fork}");
        assert_eq!(fork["compartment_name"], "all", "{fork}");
        let doctor = daemon.command(&["doctor"])?;
        assert_eq!(doctor.code, if own { FAILED } else { 0 }, "{}", doctor.document);
        assert!(doctor.document.to_string().contains("\"forks\""), "{}", doctor.document);
    }
    let refused = first.command(&[
        "record",
        "new",
        "--kind",
        "vehicle",
        "--compartment",
        "all",
        "--set",
        "plate=XK-207",
    ])?;
    assert_eq!(refused.code, FAILED, "{}", refused.document);
    let said = refused.document.to_string();
    assert!(said.contains("forked from entry") && said.contains("backup restore"), "{said}");
    // The other side goes on.
    let after = write(&second, "XK-208")?;
    arrives(&first, &after)?;
    // In a new life it keeps what it has, and forks nothing of what it writes.
    first.stop()?;
    let anew = first.command(&["doctor", "--new-life"])?;
    assert_eq!(anew.code, 0, "{}", anew.document);
    first.start()?;
    let again = write(&first, "XK-209")?;
    arrives(&second, &again)?;
    arrives(&first, &before)?;
    assert!(forks(&first)?.iter().all(|fork| fork["current"] == false), "{:?}", forks(&first)?);

    // Its agency chooses one history: who holds the other fetches it, and sets the other aside.
    let waits = |daemon: &Daemon, record: &str| -> io::Result<Value> {
        let inbox = daemon.command(&["inbox"])?.document;
        let entries = inbox["entries"].as_array().cloned().unwrap_or_default();
        Ok(entries.into_iter().find(|one| one["record"] == record).unwrap_or_default())
    };
    let of = |one: &Value, what: &str| one[what].as_str().unwrap_or_default().to_owned();
    let other = of(&waits(&second, &lost)?, "entry");
    let chosen = of(&waits(&first, &later)?, "entry");
    let adopted = first.command(&["grant", "adopt", &chosen])?;
    assert_eq!(adopted.code, 0, "{}", adopted.document);
    arrives(&first, &later)?;
    arrives(&second, &later)?;
    assert_eq!(waits(&second, &lost)?, Value::Null);
    assert_eq!(second.command(&["record", "show", &lost])?.code, NOT_FOUND);
    let missing = second.command(&["coalition", "propose", "adopt", &other])?;
    assert_eq!(missing.code, NOT_FOUND, "{}", missing.document);
    assert!(missing.document.to_string().contains("another branch"), "{}", missing.document);
    let digest = |daemon: &Daemon| -> io::Result<Value> {
        let status = daemon.ask("status", &json!({}))?;
        let all = status["compartments"].as_array().into_iter().flatten();
        let mut all = all.filter(|compartment| compartment["name"] == "all");
        Ok(all.next().map(|compartment| compartment["digest"].clone()).unwrap_or_default())
    };
    let deadline = Instant::now() + MEETING_MAX;
    while digest(&first)? != digest(&second)? {
        if Instant::now() > deadline {
            return Err(io::Error::other("the digests differ"));
        }
        std::thread::yield_now();
    }
    assert!(digest(&first)?.is_string());
    first.stop()
}

fn write(daemon: &Daemon, plate: &str) -> io::Result<String> {
    let fields = json!({ "plate": plate });
    let arguments = json!({ "kind": "vehicle", "compartment": "all", "fields": fields });
    let written = daemon.ask("record.new", &arguments)?;
    Ok(written["record"].as_str().unwrap_or_default().to_owned())
}

fn arrives(daemon: &Daemon, record: &str) -> io::Result<()> {
    let deadline = Instant::now() + MEETING_MAX;
    loop {
        match daemon.ask("record.show", &json!({ "record": record })) {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::yield_now(),
        }
    }
}

/// Copies a folder with its permissions, as an operator would.
fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_files(&entry.path(), &to.join(entry.file_name()))?;
        } else if kind.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
