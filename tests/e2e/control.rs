//! Daemons that stand still, clients that ask nothing, and commands that are killed.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tearline_tests::daemon::Daemon;

use crate::trust::until;

/// More clients than may be connected to a daemon at once, and fewer than the files of this process.
const IDLE: usize = 400;

#[test]
fn a_daemon_that_stands_still_is_given_up_and_does_nothing_later() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut daemon = Daemon::init(folder.path(), "A", "NE")?;
    daemon.start()?;
    daemon.ask("coalition.create", &json!({ "name": "Drill" }))?;
    daemon.signal("STOP")?;
    let write = ["record", "new", "--kind", "vehicle", "--set", "plate=XK-204"];
    let given_up = daemon.command(&write)?;
    let said = given_up.document.to_string();
    assert_eq!(given_up.code, 6, "{said}");
    assert!(said.contains("took up nothing") && said.contains("kill -CONT"), "{said}");
    daemon.signal("CONT")?;
    let listed = daemon.ask("record.list", &json!({}))?;
    assert_eq!(listed["records"], json!([]), "what was given up is not done later");
    assert_eq!(daemon.command(&write)?.code, 0);
    daemon.stop()
}

#[test]
fn clients_that_ask_nothing_leave_room_for_who_asks() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut daemon = Daemon::init(folder.path(), "A", "NE")?;
    daemon.start()?;
    let idle = (0..IDLE).map(|_| UnixStream::connect(daemon.socket()));
    let mut idle = idle.collect::<io::Result<Vec<_>>>()?;
    assert_eq!(daemon.command(&["status"])?.code, 0);
    let first = idle.swap_remove(0);
    first.set_read_timeout(Some(Duration::from_secs(60)))?;
    let said: Vec<_> = BufReader::new(first).lines().collect::<io::Result<_>>()?;
    assert_eq!(said, ["\"ready\""], "it was dropped");
    daemon.stop()
}

/// A daemon holds its home before it listens, and after it did.
#[test]
fn stop_waits_for_whoever_holds_the_home() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let daemon = Daemon::init(folder.path(), "A", "NE")?;
    let lock = File::options().append(true).create(true).open(daemon.home().join("run.lock"))?;
    lock.lock()?;
    let waited = daemon.command(&["stop", "--wait", "1s"])?;
    assert_eq!(waited.code, 7, "{}", waited.document);
    drop(lock);
    let none = daemon.command(&["stop"])?;
    assert_eq!((none.code, &none.document["stopped"]), (0, &json!(false)), "{}", none.document);
    Ok(())
}

#[test]
fn what_a_killed_export_left_goes_with_the_next() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut daemon = Daemon::init(folder.path(), "A", "NE")?;
    daemon.start()?;
    daemon.ask("coalition.create", &json!({ "name": "Drill" }))?;
    let place = folder.path().join("out.json");
    let place = place.to_str().ok_or(io::ErrorKind::InvalidData)?;
    let arguments = ["export", "--format", "stix", "--out", place];
    let left = || -> io::Result<usize> {
        let names = std::fs::read_dir(folder.path())?.map(|found| Ok(found?.file_name()));
        let names = names.collect::<io::Result<Vec<_>>>()?;
        Ok(names.iter().filter(|name| name.to_string_lossy().starts_with(".out.json.")).count())
    };
    daemon.signal("STOP")?;
    let mut killed = daemon.begin(&arguments)?;
    until(|| Ok(left()? == 1))?;
    killed.kill()?;
    killed.wait()?;
    daemon.signal("CONT")?;
    assert_eq!(left()?, 1);
    let done = daemon.command(&arguments)?;
    assert_eq!(done.code, 0, "{}", done.document);
    assert_eq!(left()?, 0);
    assert!(Path::new(place).is_file());
    daemon.stop()
}
