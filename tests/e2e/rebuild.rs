//! A damaged store: found, never served, and rebuilt from the peers in a new incarnation.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tearline_tests::daemon::Daemon;

/// How long the peers may take to refill a store.
const REFILL_MAX: Duration = Duration::from_secs(60);

/// Exit code of the program for damage.
const INTEGRITY: i32 = 9;
const FAILED: i32 = 1;
const USAGE: i32 = 2;

/// sled takes damage in its log for the log's end: the last change, here a whole import, would be as
/// if it had never been.
#[test]
fn a_flipped_bit_in_the_last_change_is_found() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut daemon = Daemon::init(folder.path(), "Border Guard", "NE")?;
    daemon.start()?;
    daemon.ask("coalition.create", &json!({ "name": "Drill" }))?;
    let db = daemon.home().join("store/index/db");
    let before = std::fs::read(&db)?;
    write_to(&daemon, "home", "XK-204")?;
    daemon.stop()?;
    let healthy = daemon.command(&["doctor"])?;
    assert_eq!(healthy.code, 0, "{}", healthy.document);

    let mut bytes = std::fs::read(&db)?;
    let same = |at: &usize| bytes.get(*at) == before.get(*at);
    let changed: Vec<usize> = (0..bytes.len()).filter(|at| !same(at)).collect();
    let at = changed.get(changed.len() / 2).copied().ok_or(io::Error::other("nothing changed"))?;
    bytes[at] ^= 1;
    std::fs::write(&db, &bytes)?;
    let doctor = daemon.command(&["doctor"])?;
    assert_eq!(doctor.code, INTEGRITY, "{}", doctor.document);
    let refused = daemon.command(&["run"])?;
    assert_eq!(refused.code, INTEGRITY, "{}", refused.document);
    assert_eq!(std::fs::read(&db)?, bytes, "a refused start changed a file");
    Ok(())
}

/// What is no damage is not called damage.
#[test]
fn a_store_that_cannot_be_opened_is_not_called_damaged() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let daemon = Daemon::init(folder.path(), "Border Guard", "NE")?;
    std::fs::write(daemon.home().join("store"), "a file")?;
    let refused = daemon.command(&["run"])?;
    assert_eq!(refused.code, FAILED, "{}", refused.document);
    Ok(())
}

/// A store that is not there is not begun again by itself, nor is one written to that is gone.
#[test]
fn a_store_that_is_gone_is_noticed() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut daemon = Daemon::init(folder.path(), "Border Guard", "NE")?;
    let never_run = daemon.command(&["doctor"])?;
    assert_eq!(never_run.code, 0, "{}", never_run.document);
    daemon.start()?;
    daemon.ask("coalition.create", &json!({ "name": "Drill" }))?;
    std::fs::remove_dir_all(daemon.home().join("store"))?;
    let fields =
        ["record", "new", "--kind", "vehicle", "--compartment", "home", "--set", "plate=X"];
    let refused = daemon.command(&fields)?;
    assert_eq!(refused.code, FAILED, "{}", refused.document);
    assert!(refused.document.to_string().contains("removed"), "{}", refused.document);
    daemon.kill()?;
    for _ in 0..2 {
        let gone = daemon.command(&["run"])?;
        assert_eq!(gone.code, INTEGRITY, "{}", gone.document);
        assert_eq!(daemon.command(&["doctor"])?.code, INTEGRITY);
        // As a disk that is not mounted leaves it.
        std::fs::create_dir_all(daemon.home().join("store"))?;
    }
    let before = daemon.command(&["id"])?.document["incarnation"].clone();
    assert_eq!(daemon.command(&["doctor", "--rebuild", "--yes"])?.code, 0);
    assert_ne!(daemon.command(&["id"])?.document["incarnation"], before);
    daemon.start()
}

#[test]
fn a_damaged_store_is_refused_and_rebuilt_from_the_peers() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut founder = Daemon::init(folder.path(), "Border Guard", "NE")?;
    let mut guest = Daemon::init(folder.path(), "Customs", "TD")?;
    founder.start()?;
    guest.start()?;
    founder.ask("coalition.create", &json!({ "name": "Drill" }))?;
    let invited = founder.ask("peer.invite", &json!({ "expires_s": 3600 }))?;
    guest.ask("join", &json!({ "invitation": invited["invitation"] }))?;
    founder.ask("compartment.open", &json!({ "name": "all", "rel": ["NE", "TD"] }))?;
    let first = write(&founder, "XK-204")?;
    arrives(&guest, &first)?;

    // The founder itself: nobody but its peers holds the coalition then.
    founder.kill()?;
    cut_in_half(&founder.home().join("store").join("values"))?;
    let refused = founder.command(&["run"])?;
    assert_eq!(refused.code, INTEGRITY, "{}", refused.document);
    let said = refused.document.to_string();
    assert!(said.contains("doctor --rebuild"), "{said}");
    let doctor = founder.command(&["doctor"])?;
    assert_eq!(doctor.code, INTEGRITY, "{}", doctor.document);
    assert!(doctor.document.to_string().contains("the store is damaged"), "{}", doctor.document);
    // Nobody is there to be asked.
    let asked = founder.command(&["doctor", "--rebuild"])?;
    assert_eq!(asked.code, USAGE, "{}", asked.document);
    assert!(asked.document.to_string().contains("what no peer has"), "{}", asked.document);
    let rebuilt = founder.command(&["doctor", "--rebuild", "--yes"])?;
    assert_eq!(rebuilt.code, 0, "{}", rebuilt.document);
    let doctor = founder.command(&["doctor"])?.document.to_string();
    assert!(doctor.contains("store.damaged-1"), "{doctor}");

    founder.start()?;
    let invited = guest.ask("peer.invite", &json!({ "expires_s": 3600 }))?;
    founder.ask("join", &json!({ "invitation": invited["invitation"] }))?;
    arrives(&founder, &first)?;
    let second = write(&founder, "XK-205")?;
    arrives(&guest, &second)?;
    // When nothing is missing the old store is destroyed, also beside the running daemon.
    let destroy = ["doctor", "--destroy-old-stores"];
    assert_eq!(founder.command(&destroy)?.code, USAGE);
    assert!(founder.home().join("store.damaged-1/store.key").exists());
    let destroyed = founder.command(&[&destroy[..], &["--yes"]].concat())?;
    assert_eq!(destroyed.code, 0, "{}", destroyed.document);
    assert!(!founder.home().join("store.damaged-1").exists());
    assert!(!founder.command(&["doctor"])?.document.to_string().contains("old stores"));
    arrives(&founder, &first)?;
    let doctor = guest.ask("doctor", &json!({}))?;
    let faults = doctor["checks"].as_array().into_iter().flatten();
    for check in faults.filter(|check| check["name"] == "misconduct") {
        assert_eq!(check["status"], "pass", "a rebuilt device forks nothing: {check}");
    }
    Ok(())
}

fn write(daemon: &Daemon, plate: &str) -> io::Result<String> {
    write_to(daemon, "all", plate)
}

fn write_to(daemon: &Daemon, compartment: &str, plate: &str) -> io::Result<String> {
    let fields = json!({ "plate": plate });
    let arguments = json!({ "kind": "vehicle", "compartment": compartment, "fields": fields });
    let written = daemon.ask("record.new", &arguments)?;
    Ok(written["record"].as_str().unwrap_or_default().to_owned())
}

fn arrives(daemon: &Daemon, record: &str) -> io::Result<Value> {
    let deadline = Instant::now() + REFILL_MAX;
    loop {
        match daemon.ask("record.show", &json!({ "record": record })) {
            Ok(shown) => return Ok(shown),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::yield_now(),
        }
    }
}

fn cut_in_half(file: &Path) -> io::Result<()> {
    let file = std::fs::File::options().write(true).open(file)?;
    file.set_len(file.metadata()?.len() / 2)
}
