//! A device that is restored from a backup: it went on after the backup was made, and what it wrote
//! then is with its peer. It comes back in a new life, forks no log, and both come to hold the same.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tearline_tests::daemon::Daemon;

/// How long a record may take to be readable at the other end.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);

/// Exit codes of the program.
const DONE: i32 = 0;
const DENIED: i32 = 5;
const INTEGRITY: i32 = 9;

#[test]
fn a_restored_device_forks_nothing_and_catches_up() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let passphrase = folder.path().join("passphrase");
    fs::write(&passphrase, "correct horse battery\n")?;
    fs::set_permissions(&passphrase, Permissions::from_mode(0o600))?;
    let passphrase = passphrase.display().to_string();
    let mut guard = Daemon::init(folder.path(), "Border Guard", "NE")?;
    let mut customs = Daemon::init(folder.path(), "Customs", "TD")?;
    guard.start()?;
    customs.start()?;
    guard.ask("coalition.create", &json!({ "name": "Drill" }))?;
    let invited = guard.ask("peer.invite", &json!({ "expires_s": 3600 }))?;
    customs.ask("join", &json!({ "invitation": invited["invitation"] }))?;
    guard.ask("compartment.open", &json!({ "name": "all", "rel": ["NE", "TD"] }))?;
    let kept = write(&guard, "XK-1")?;
    arrives(&customs, &kept, "XK-1")?;
    let mint = ["pass", "mint", "--holder", "x", "--purpose", "Security", "--compartments", "all"];
    let minted = guard.command(&mint)?;
    assert_eq!(minted.code, DONE, "{}", minted.document);

    guard.kill()?;
    let file = folder.path().join("guard.backup").display().to_string();
    let sealed = ["--passphrase-file", &passphrase];
    let create = ["backup", "create", &file];
    let made = guard.command(&[&create[..], &sealed].concat())?;
    assert_eq!(made.code, DONE, "{}", made.document);
    assert_eq!(made.document["records"], 1, "{}", made.document);

    // What comes after the backup: a new record, and another value in the old one.
    guard.start()?;
    let lost = write(&guard, "XK-2")?;
    edit(&guard, &kept, "XK-1B")?;
    arrives(&customs, &lost, "XK-2")?;
    arrives(&customs, &kept, "XK-1B")?;
    guard.kill()?;

    let mut restored = Daemon::at(folder.path().join("restored"))?;
    let restore = ["backup", "restore", &file];
    let closed = restored.command(&restore)?;
    assert_ne!(closed.code, DONE, "{}", closed.document);
    fs::write(folder.path().join("other"), "another passphrase")?;
    fs::set_permissions(folder.path().join("other"), Permissions::from_mode(0o600))?;
    let other = folder.path().join("other").display().to_string();
    let wrong = restored.command(&[&restore[..], &["--passphrase-file", &other]].concat())?;
    assert_eq!(wrong.code, DENIED, "{}", wrong.document);
    let torn = folder.path().join("torn");
    let bytes = fs::read(&file)?;
    fs::write(&torn, &bytes[..bytes.len() / 2])?;
    let torn = torn.display().to_string();
    let refused =
        restored.command(&[&["backup", "restore", torn.as_str()][..], &sealed].concat())?;
    assert_eq!(refused.code, INTEGRITY, "{}", refused.document);
    let done = restored.command(&[&restore[..], &["--in-clear"], &sealed].concat())?;
    assert_eq!(done.code, DONE, "{}", done.document);

    // It writes before it may have heard from its peer, in every log that it wrote in before.
    restored.start()?;
    let listed = restored.command(&["pass", "list"])?.document;
    assert_eq!(listed["passes"][0]["state"], "former-life", "{listed}");
    let after = write(&restored, "XK-3")?;
    edit(&restored, &kept, "XK-1C")?;
    arrives(&customs, &after, "XK-3")?;
    arrives(&customs, &kept, "XK-1C")?;
    arrives(&restored, &lost, "XK-2")?;
    arrives(&restored, &kept, "XK-1B")?;
    let last = write(&customs, "XK-4")?;
    arrives(&restored, &last, "XK-4")?;
    converge(&restored, &customs, &[&kept, &lost, &after, &last])?;
    for daemon in [&restored, &customs] {
        let doctor = daemon.ask("doctor", &json!({}))?;
        let checks = doctor["checks"].as_array().cloned().unwrap_or_default();
        let misconduct = checks.iter().find(|check| check["name"] == "misconduct");
        let status = misconduct.map(|check| check["status"].clone()).unwrap_or_default();
        assert_eq!(status, "pass", "no log is forked: {doctor}");
    }
    Ok(())
}

fn write(daemon: &Daemon, plate: &str) -> io::Result<String> {
    let fields = json!({ "plate": plate });
    let arguments = json!({ "kind": "vehicle", "compartment": "all", "fields": fields });
    let written = daemon.ask("record.new", &arguments)?;
    Ok(written["record"].as_str().unwrap_or_default().to_owned())
}

fn edit(daemon: &Daemon, record: &str, plate: &str) -> io::Result<Value> {
    daemon.ask("record.edit", &json!({ "record": record, "set": { "plate": plate } }))
}

/// Waits until a record shows a plate, among others perhaps.
fn arrives(daemon: &Daemon, record: &str, plate: &str) -> io::Result<()> {
    within(&format!("{plate} does not arrive"), || {
        let shown = daemon.ask("record.show", &json!({ "record": record }));
        shown.is_ok_and(|shown| shown.to_string().contains(&format!("\"{plate}\"")))
    })
}

/// Waits until both show the same of every record.
fn converge(one: &Daemon, other: &Daemon, records: &[&str]) -> io::Result<()> {
    let fields = |daemon: &Daemon, record: &str| {
        let shown = daemon.ask("record.show", &json!({ "record": record })).ok()?;
        Some((shown["fields"].clone(), shown["conflicts"].clone()))
    };
    for record in records {
        within(&format!("{record} stays different"), || {
            let (here, there) = (fields(one, record), fields(other, record));
            here.is_some() && here == there
        })?;
    }
    Ok(())
}

fn within(what: &str, mut done: impl FnMut() -> bool) -> io::Result<()> {
    let deadline = Instant::now() + ARRIVAL_MAX;
    while !done() {
        if Instant::now() > deadline {
            return Err(io::Error::other(what.to_owned()));
        }
        std::thread::yield_now();
    }
    Ok(())
}
