//! A byte of the values file that is not what was written: it takes what it belongs to, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tearline_tests::daemon::{Daemon, Outcome, program};

use crate::trust::{Pair, pair, sighting, until};

const DONE: i32 = 0;
const INCOMPLETE: i32 = 7;
const INTEGRITY: i32 = 9;
/// Records in the store, and the one with which a block of the index is full and stays as it is.
const RECORDS: usize = 90;
const FILLS_A_BLOCK: usize = 64;
/// Places that are tried in what each of two records took, until a record and the index were hurt.
const PLACES: usize = 24;
/// Records of which the keys take several pages, and places that are tried in these.
const SIGHTED: usize = 1_500;
const PAGES_TRIED: usize = 16;
/// Records whose entries lie apart, and how often one is hurt and comes back.
const LOGGED: usize = 12;
const FETCHED: usize = 2;

#[test]
fn a_rotten_byte_hides_no_more_than_what_it_is_in() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut daemon = Daemon::init(folder.path(), "Border Guard", "NE")?;
    daemon.start()?;
    daemon.ask("coalition.create", &json!({ "name": "Drill" }))?;
    let mut all = BTreeSet::new();
    let values = daemon.home().join("store/values");
    let mut images = Vec::new();
    for n in 0..RECORDS {
        if [FILLS_A_BLOCK - 1, FILLS_A_BLOCK, RECORDS - 1].contains(&n) {
            images.push(fs::read(&values)?);
        }
        all.insert(write(&daemon, n)?);
    }
    daemon.stop()?;
    let sound = fs::read(&values)?;
    let (store, kept) = (daemon.home().join("store"), folder.path().join("kept"));
    copy(&store, &kept)?;
    let new = |before: &[u8], after: &[u8]| -> Vec<usize> {
        (0..after.len()).filter(|at| before.get(*at) != after.get(*at)).collect()
    };
    let written = [new(&images[0], &images[1]), new(&images[2], &sound)];
    let (mut hurt, mut gaps) = (0, 0);
    // By turns in what the one and the other write left.
    let places = (0..PLACES).flat_map(|place| {
        written.iter().filter_map(move |all| all.get(all.len() * place / PLACES).copied())
    });
    for at in places {
        if hurt > 0 && gaps > 0 {
            break;
        }
        fs::remove_dir_all(&store)?;
        copy(&kept, &store)?;
        let file = fs::File::options().write(true).open(&values)?;
        file.write_all_at(&[sound[at] ^ 1], at as u64)?;
        if daemon.start().is_err() {
            continue;
        }
        let exported = daemon.command(&["export", "--format", "geojson"])?;
        let (out, unread) = exported_records(&exported);
        let lost = unread.len();
        assert_eq!(
            exported.code,
            if lost == 0 { DONE } else { INCOMPLETE },
            "{}",
            exported.document
        );
        assert!(out.is_disjoint(&unread) && lost < RECORDS / 2, "{}", exported.document);
        assert_eq!(&out | &unread, all, "at {at}: {}", exported.document);
        let listed = daemon.command(&["record", "list", "--limit", "1000"])?;
        let rows = listed.document["records"].as_array().map_or(0, Vec::len);
        let parts = listed.document["unread"]["index_parts"].as_u64().unwrap_or_default();
        let named = listed.document["unread"]["records"].as_array().map_or(0, Vec::len);
        assert!(rows + named == RECORDS || parts > 0, "at {at}: {}", listed.document);
        assert_eq!(listed.code, if rows == RECORDS { DONE } else { INCOMPLETE });
        gaps += u64::from(parts > 0);
        if let Some(record) = unread.first() {
            hurt += 1;
            let shown = daemon.command(&["record", "show", &record[..8]])?;
            assert_eq!(shown.code, INTEGRITY, "{}", shown.document);
            let damage = daemon.ask("status", &json!({}))?["damage"].take();
            assert!(damage.as_str().is_some_and(|what| what.contains("damaged")), "{damage}");
            let said = Command::new(program()?)
                .arg("--home")
                .arg(daemon.home())
                .args(["export", "--format", "csv"])
                .stdin(Stdio::null())
                .output()?;
            assert_eq!(said.status.code(), Some(INCOMPLETE));
            let errors = String::from_utf8_lossy(&said.stderr).into_owned();
            assert!(errors.contains(record) && errors.contains("cannot be read"), "{errors}");
            let counted = format!("in all, {lost} records cannot be read");
            assert!(errors.contains(&counted) && errors.contains("tearline doctor"), "{errors}");
            let doctor = daemon.command(&["doctor"])?;
            assert_eq!(doctor.code, INTEGRITY, "{}", doctor.document);
            let checks = doctor.document["checks"].as_array().cloned().unwrap_or_default();
            let named = |check: &&Value| check["name"] == "value" && check["status"] == "damaged";
            assert_eq!(checks.iter().filter(named).count(), 1, "{}", doctor.document);
            // What is written meanwhile rests on nothing that is damaged.
            let fresh = write(&daemon, RECORDS)?;
            assert_eq!(daemon.command(&["record", "show", &fresh])?.code, DONE);
        }
        daemon.kill()?;
    }
    assert!(hurt > 0 && gaps > 0, "no byte hurt a record ({hurt}) or the index ({gaps})");
    Ok(())
}

/// A page of keys says what there is. Where one is rotten no answer is given as if it were all, by no
/// command: all that need it end alike.
#[test]
fn a_rotten_page_of_keys_ends_what_needs_it_with_what_to_do() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut daemon = Daemon::init(folder.path(), "Border Guard", "NE")?;
    daemon.start()?;
    daemon.ask("coalition.create", &json!({ "name": "Drill", "erasure_delay_hours": 0 }))?;
    let object = |n: usize| {
        let id = format!("identity--00000000-0000-4000-8000-{n:012}");
        json!({ "type": "identity", "spec_version": "2.1", "id": id, "name": format!("white {n}") })
    };
    let objects: Vec<Value> = (0..SIGHTED).map(object).collect();
    let bundle = folder.path().join("seen.json");
    let id = "bundle--7b82b010-b1c0-4dae-981f-7756374a17df";
    fs::write(&bundle, json!({ "type": "bundle", "id": id, "objects": objects }).to_string())?;
    let bundle = bundle.display().to_string();
    let import = ["import", &bundle, "--compartment", "home"];
    let imported = daemon.command(&import)?;
    assert_eq!(imported.code, DONE, "{}", imported.document);
    let (record, erased) = (write(&daemon, 0)?, write(&daemon, 1)?);
    let values = daemon.home().join("store/values");
    let before = fs::read(&values)?;
    // To forget what it held, the store writes all keys into pages.
    let erase = daemon.command(&["record", "erase", &erased, "--basis", "Article 17"])?;
    assert_eq!(erase.code, DONE, "{}", erase.document);
    while daemon.command(&["record", "receipts", &erased])?.code != DONE {
        std::thread::yield_now();
    }
    daemon.stop()?;
    let (store, kept) = (daemon.home().join("store"), folder.path().join("kept"));
    copy(&store, &kept)?;
    let sound = fs::read(&values)?;
    let written =
        (0..sound.len()).filter(|at| sound[*at] != 0 && before.get(*at) != sound.get(*at));
    let written: Vec<usize> = written.collect();
    let out = folder.path().join("backup");
    let (out, stick) =
        (out.display().to_string(), folder.path().join("stick").display().to_string());
    let backup = ["backup", "create", &out, "--new-key-file", &stick];
    let asked: [&[&str]; 6] = [
        &import,
        &["record", "list", "--limit", "1000"],
        &["search", "white"],
        &["export", "--format", "csv"],
        &["record", "show", &record],
        &["record", "new", "--kind", "vehicle", "--compartment", "home", "--set", "plate=XK"],
    ];
    let (mut refused, mut met) = (0, 0);
    for place in 0..PAGES_TRIED {
        fs::remove_dir_all(&store)?;
        copy(&kept, &store)?;
        let at = written[written.len() * (2 * place + 1) / (2 * PAGES_TRIED)];
        let file = fs::File::options().write(true).open(&values)?;
        file.write_all_at(&[sound[at] ^ 1], at as u64)?;
        let doctor = daemon.command(&["doctor"])?;
        let whole = doctor.code == DONE;
        let keys = doctor.document.to_string().contains("a page of keys");
        assert!(whole || doctor.code == INTEGRITY, "at {at}: {}", doctor.document);
        let saved = daemon.command(&backup)?;
        assert_eq!(saved.code, if whole { DONE } else { INTEGRITY }, "{}", saved.document);
        let _ = fs::remove_file(&out);
        let _ = fs::remove_file(&stick);
        if !keys {
            continue;
        }
        let ends_well = |ended: &Outcome| {
            let said = ended.document.to_string();
            assert_eq!(ended.code, INTEGRITY, "at {at}: {said}");
            assert!(said.contains("is damaged") && said.contains("doctor --rebuild"), "{said}");
        };
        if daemon.start().is_err() {
            refused += 1;
            ends_well(&daemon.command(&["run"])?);
            continue;
        }
        for arguments in asked {
            let ended = daemon.command(arguments)?;
            if ended.code != DONE {
                met += 1;
                ends_well(&ended);
            }
        }
        assert_eq!(daemon.command(&["doctor"])?.code, INTEGRITY);
        assert_eq!(daemon.command(&["status"])?.code, DONE, "the daemon is there to be asked");
        daemon.kill()?;
    }
    assert!(refused > 0 && met > 0, "refused at the start {refused}, met by a command {met}");
    Ok(())
}

/// What a log lost on one device comes back from another, and both say so until it has.
#[test]
fn what_rotted_of_a_log_is_fetched_again_from_a_peer() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { mut guard, mut customs } = pair(folder.path())?;
    let values = guard.home().join("store/values");
    let before = fs::read(&values)?;
    let mut records = BTreeSet::new();
    for n in 0..LOGGED {
        let record = sighting(&customs, &format!("boat {n}"))?;
        until(|| Ok(guard.command(&["record", "show", &record])?.code == DONE))?;
        records.insert(record);
    }
    guard.stop()?;
    customs.stop()?;
    let sound = fs::read(&values)?;
    let (store, kept) = (guard.home().join("store"), folder.path().join("kept"));
    copy(&store, &kept)?;
    let written: Vec<usize> = (0..sound.len())
        .filter(|at| sound[*at] != 0 && before.get(*at) != sound.get(*at))
        .collect();
    let mut fetched = 0;
    for place in 0..PLACES {
        fs::remove_dir_all(&store)?;
        copy(&kept, &store)?;
        let at = written[written.len() * (2 * place + 1) / (2 * PLACES)];
        let file = fs::File::options().write(true).open(&values)?;
        file.write_all_at(&[sound[at] ^ 1], at as u64)?;
        let doctor = guard.command(&["doctor"])?.document.to_string();
        if !(doctor.contains("damaged: Entries") || doctor.contains("damaged: Boxes")) {
            continue;
        }
        if guard.start().is_err() {
            // It was of a log of statements.
            continue;
        }
        // Nobody is there who has it, and nobody reads it: it is found and named, and still after a start.
        for starts in 0..2 {
            if starts > 0 {
                guard.stop()?;
                guard.start()?;
            }
            until(|| {
                let status = guard.ask("status", &json!({}))?;
                let is_named = status["unreadable"].as_array().map(Vec::len) == Some(1);
                Ok(is_named
                    && status["damage"].is_string()
                    && status["patrol"]["ended"].is_string())
            })?;
        }
        assert_eq!(guard.command(&["doctor"])?.code, INTEGRITY);
        customs.start()?;
        until(|| Ok(guard.ask("status", &json!({}))?["unreadable"] == json!([])))?;
        assert_eq!(guard.ask("status", &json!({}))?["damage"], Value::Null);
        let doctor = guard.command(&["doctor"])?.document;
        let checks = doctor["checks"].as_array().cloned().unwrap_or_default();
        let sound = |check: &Value| check["status"] != "damaged";
        assert!(checks.iter().all(sound), "{doctor}");
        for record in &records {
            assert_eq!(guard.command(&["record", "show", record])?.code, DONE);
        }
        // A kill takes nothing of it.
        guard.kill()?;
        customs.stop()?;
        assert!(!guard.command(&["doctor"])?.document.to_string().contains("is damaged"));
        fetched += 1;
        if fetched == FETCHED {
            return Ok(());
        }
    }
    assert!(fetched > 0, "no byte was of a log");
    Ok(())
}

/// Copies a folder.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn write(daemon: &Daemon, n: usize) -> io::Result<String> {
    let fields = json!({ "plate": format!("XK-{n}"), "latitude": 13.0, "longitude": 14.0 });
    let arguments = json!({ "kind": "vehicle", "compartment": "home", "fields": fields });
    let written = daemon.ask("record.new", &arguments)?;
    Ok(written["record"].as_str().unwrap_or_default().to_owned())
}

/// The records that came out, and those that are named as unreadable.
fn exported_records(exported: &Outcome) -> (BTreeSet<String>, BTreeSet<String>) {
    let content = exported.document["content"].as_str().unwrap_or_default();
    let collection: Value = serde_json::from_str(content).unwrap_or_default();
    let names = |list: &Value, name: &str| -> BTreeSet<String> {
        let items = list.as_array().into_iter().flatten();
        items.filter_map(|item| Some(item[name].as_str()?.to_owned())).collect()
    };
    (names(&collection["features"], "id"), names(&exported.document["unread"]["records"], "record"))
}
