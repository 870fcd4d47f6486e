//! A byte of the values file that is not what was written: it takes what it belongs to, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tearline_tests::daemon::{Daemon, Outcome, program};

const DONE: i32 = 0;
const INCOMPLETE: i32 = 7;
const INTEGRITY: i32 = 9;
/// Records in the store, and the one with which a block of the index is full and stays as it is.
const RECORDS: usize = 90;
const FILLS_A_BLOCK: usize = 64;
/// Places that are tried in what each of two records took, until a record and the index were hurt.
const PLACES: usize = 24;

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
            // What is written meanwhile rests on nothing that is damaged.
            let fresh = write(&daemon, RECORDS)?;
            assert_eq!(daemon.command(&["record", "show", &fresh])?.code, DONE);
        }
        daemon.kill()?;
    }
    assert!(hurt > 0 && gaps > 0, "no byte hurt a record ({hurt}) or the index ({gaps})");
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
