//! What README walks a new user through, on the shipped binary: two agencies, an invitation, a
//! compartment, a STIX file in on one side and out on the other; and a third agency that the
//! compartment is not for.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tearline_tests::daemon::{Daemon, Outcome};

/// How long a record may take to be readable at the other end.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);

/// Exit codes of the program.
const DONE: i32 = 0;
const NOT_FOUND: i32 = 4;
const DENIED: i32 = 5;
const UNREACHABLE: i32 = 6;
const INCOMPLETE: i32 = 7;

struct Drill {
    folder: tempfile::TempDir,
    border_guard: Daemon,
    customs: Daemon,
    outsider: Daemon,
}

impl Drill {
    fn start() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut drill = Self {
            border_guard: Daemon::init(folder.path(), "Border Guard", "NE")?,
            customs: Daemon::init(folder.path(), "Customs", "TD")?,
            outsider: Daemon::init(folder.path(), "Coast Watch", "CM")?,
            folder,
        };
        drill.border_guard.start()?;
        drill.customs.start()?;
        drill.outsider.start()?;
        done(drill.border_guard.command(&["coalition", "create", "--name", "Drill"])?);
        for guest in [&drill.customs, &drill.outsider] {
            let invited = done(drill.border_guard.command(&["peer", "invite"])?);
            done(guest.command(&["join", text(&invited["invitation"])])?);
        }
        let open = ["compartment", "open", "--name", "all", "--rel", "NE,TD"];
        done(drill.border_guard.command(&open)?);
        Ok(drill)
    }

    /// Imports a file on one side and waits until all its good objects are on the other.
    fn import(&self, file: &Path, expected: usize) -> io::Result<Outcome> {
        let outcome = self.border_guard.command(&[
            "import",
            &file.display().to_string(),
            "--compartment",
            "all",
        ])?;
        let deadline = Instant::now() + ARRIVAL_MAX;
        while self.exported()?.len() < expected {
            if Instant::now() > deadline {
                return Err(io::Error::other("the records do not arrive"));
            }
            std::thread::yield_now();
        }
        Ok(outcome)
    }

    /// What the other side has, by STIX id.
    fn exported(&self) -> io::Result<BTreeMap<String, Value>> {
        let out = self.folder.path().join("out.json");
        let shown = out.display().to_string();
        done(self.customs.command(&["export", "--format", "stix", "--out", &shown])?);
        by_id(&out)
    }
}

fn done(outcome: Outcome) -> Value {
    assert_eq!(outcome.code, DONE, "{}", outcome.document);
    outcome.document
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn by_id(file: &Path) -> io::Result<BTreeMap<String, Value>> {
    let bundle: Value = serde_json::from_slice(&std::fs::read(file)?)?;
    let objects = bundle["objects"].as_array().cloned().unwrap_or_default();
    Ok(objects.into_iter().map(|object| (text(&object["id"]).to_owned(), object)).collect())
}

fn sighting(number: u8, summary: &str, modified: &str) -> Value {
    json!({
        "type": "sighting",
        "spec_version": "2.1",
        "id": format!("sighting--8e2e2d2b-17d4-4cbf-938f-98ee46b3c{number:03x}"),
        "created": "2024-05-01T10:00:00.000Z",
        "modified": modified,
        "first_seen": "2024-05-01T09:30:00.000Z",
        "sighting_of_ref": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
        "description": summary,
        "count": 2,
        "x_ratio": 1.0,
        "x_huge": 18_446_744_073_709_551_615_u64,
        "x_nested": [{ "a": [null, true, "é"] }, []],
    })
}

#[test]
fn a_stix_file_goes_in_on_one_side_and_comes_out_on_the_other() -> io::Result<()> {
    let drill = Drill::start()?;
    let first = "2024-05-01T10:00:00.000Z";
    let location = json!({
        "type": "location",
        "spec_version": "2.1",
        "id": "location--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
        "created": first,
        "modified": first,
        "name": "Ford of Kilo",
        "latitude": 13.25,
        "longitude": 14.5,
        "object_marking_refs": ["marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"],
    });
    let unknown = json!({
        "type": "x-caravan",
        "id": "x-caravan--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
        "camels": 40,
    });
    let good = [sighting(1, "white pickup", first), location, unknown];
    let file = drill.folder.path().join("in.json");
    let mut objects = good.to_vec();
    objects.insert(1, json!({ "type": "sighting" }));
    write_bundle(&file, &objects)?;

    let outcome = drill.import(&file, good.len())?;
    assert_eq!(outcome.code, INCOMPLETE, "{}", outcome.document);
    let report = &outcome.document;
    assert_eq!((&report["created"], &report["rejected"]), (&json!(3), &json!(1)), "{report}");
    let place = text(&report["problems"][0]["place"]);
    assert_eq!(place, "objects[1]", "{report}");

    let there = drill.exported()?;
    for object in &good {
        assert_eq!(there.get(text(&object["id"])), Some(object));
    }

    for (query, hits) in [
        ("pickup", 1),
        ("kind:sighting", 1),
        ("kind:vehicle", 0),
        ("since:2024-05-01 until:2024-05-02 kind:sighting", 1),
        ("near:13.2,14.5,10km", 1),
        ("near:20,14.5,10km", 0),
        ("label:TLP:RED", 1),
        ("until:2023-05-01", 0),
        ("camels", 0),
    ] {
        let found = done(drill.customs.command(&["search", query])?);
        let count = found["records"].as_array().map_or(0, Vec::len);
        assert_eq!(count, hits, "{query}: {found}");
    }

    // Coast Watch is a member, and the compartment is not for it: no such record, no such name.
    let listed = done(drill.customs.command(&["record", "list"])?);
    let record = text(&listed["records"][0]["record"]);
    for arguments in [["record", "show", record], ["compartment", "show", "all"]] {
        let refused = drill.outsider.command(&arguments)?;
        assert_eq!(refused.code, NOT_FOUND, "{arguments:?}: {}", refused.document);
    }
    Ok(())
}

#[test]
fn an_invitation_is_good_once() -> io::Result<()> {
    let drill = Drill::start()?;
    let invited = done(drill.border_guard.command(&["peer", "invite"])?);
    let invitation = text(&invited["invitation"]);
    let again = done(drill.customs.command(&["join", invitation])?);
    assert_eq!(again["already"], true, "a member uses nothing up: {again}");
    let (first, second) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let mut first = Daemon::init(first.path(), "Gendarmerie", "NG")?;
    let mut second = Daemon::init(second.path(), "Forest Service", "NG")?;
    first.start()?;
    second.start()?;
    done(first.command(&["join", invitation])?);
    let used = second.command(&["join", invitation])?;
    assert_eq!(used.code, DENIED, "{}", used.document);
    Ok(())
}

#[test]
fn versions_of_an_object_make_one_record_and_the_latest_counts() -> io::Result<()> {
    let drill = Drill::start()?;
    let file = drill.folder.path().join("in.json");
    let (first, second) = ("2024-05-01T10:00:00.000Z", "2024-05-02T10:00:00.000Z");
    let later = sighting(1, "grey pickup", second);
    write_bundle(&file, &[sighting(1, "white pickup", first), later.clone()])?;
    let report = done(drill.import(&file, 1)?);
    assert_eq!((&report["created"], &report["updated"]), (&json!(1), &json!(1)), "{report}");
    // The same once more is an older version and one that is there.
    let report = done(drill.import(&file, 1)?);
    assert_eq!(report["unchanged"], json!(2), "{report}");
    let deadline = Instant::now() + ARRIVAL_MAX;
    while drill.exported()?.values().ne([&later]) {
        assert!(Instant::now() < deadline, "the later version does not arrive");
        std::thread::yield_now();
    }
    Ok(())
}

#[test]
fn the_examples_of_the_documents_go_in() -> io::Result<()> {
    let drill = Drill::start()?;
    let examples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
    let path = |name: &str| examples.join(name).display().to_string();
    let (bundle, posts) = (path("sightings.json"), path("posts.geojson"));
    let (table, mapping) = (path("seen.csv"), path("seen.toml"));
    for (arguments, records) in
        [(vec![bundle], 5), (vec![posts], 2), (vec![table, "--map".to_owned(), mapping], 3)]
    {
        let mut command = vec!["import", "--compartment", "all"];
        command.extend(arguments.iter().map(String::as_str));
        let report = done(drill.border_guard.command(&command)?);
        assert_eq!(report["created"], json!(records), "{arguments:?}: {report}");
    }
    let found = done(drill.border_guard.command(&["search", "near:13.25,14.5,10km"])?);
    assert_eq!(found["records"].as_array().map_or(0, Vec::len), 3, "{found}");
    Ok(())
}

#[test]
fn real_files_come_out_as_they_went_in() -> io::Result<()> {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/stix");
    let file = data.join("poisonivy.json");
    if !file.is_file() {
        println!("NOT RUN: there is no {}", file.display());
        return Ok(());
    }
    let drill = Drill::start()?;
    let objects = by_id(&file)?;
    done(drill.import(&file, objects.len())?);
    assert_eq!(drill.exported()?, objects);
    Ok(())
}

#[test]
fn an_object_that_is_marked_stricter_later_is_kept_so() -> io::Result<()> {
    let drill = Drill::start()?;
    let file = drill.folder.path().join("in.json");
    let label = || -> io::Result<Value> {
        let listed = done(drill.border_guard.command(&["record", "list"])?);
        Ok(listed["records"][0]["label"].clone())
    };
    let import = |object: &Value, more: &[&str]| -> io::Result<Value> {
        write_bundle(&file, std::slice::from_ref(object))?;
        let file = file.display().to_string();
        let command = [&["import", &file, "--compartment", "all"], more].concat();
        Ok(done(drill.border_guard.command(&command)?))
    };
    let first = sighting(1, "white pickup", "2024-05-01T10:00:00.000Z");
    import(&first, &[])?;
    assert_eq!(label()?, "TLP:AMBER");
    let mut marked = sighting(1, "white pickup", "2024-05-02T10:00:00.000Z");
    let strict = "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003";
    marked["object_marking_refs"] = json!([strict]);
    assert_eq!(import(&marked, &[])?["updated"], 1);
    assert_eq!(label()?, "TLP:AMBER+STRICT");
    assert_eq!(import(&marked, &[])?["unchanged"], 1);
    // A version that is not marked any more makes nothing weaker, nor does one that is older.
    let later = sighting(1, "white pickup", "2024-05-03T10:00:00.000Z");
    assert_eq!(import(&later, &[])?["updated"], 1);
    assert_eq!(import(&first, &["--label", "TLP:RED"])?["unchanged"], 1);
    assert_eq!(label()?, "TLP:AMBER+STRICT");
    assert_eq!(import(&later, &["--label", "TLP:RED"])?["updated"], 1);
    assert_eq!(label()?, "TLP:RED");
    Ok(())
}

#[test]
fn stop_ends_the_daemon_and_has_nothing_to_do_without_one() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut daemon = Daemon::init(folder.path(), "Border Guard", "NE")?;
    for _ in 0..2 {
        daemon.start()?;
        let pid = daemon.ask("status", &json!({}))?["pid"].clone();
        assert_eq!(done(daemon.command(&["stop"])?), json!({ "stopped": true, "pid": pid }));
        assert_eq!(daemon.command(&["status"])?.code, UNREACHABLE);
        assert_eq!(done(daemon.command(&["stop"])?), json!({ "stopped": false, "pid": null }));
    }
    let nowhere = tearline_tests::daemon::command(&folder.path().join("none"), &["stop"])?;
    assert_eq!(nowhere.code, UNREACHABLE);
    Ok(())
}

fn write_bundle(file: &Path, objects: &[Value]) -> io::Result<()> {
    let id = "bundle--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f";
    let bundle = json!({ "type": "bundle", "id": id, "objects": objects });
    std::fs::write(file, bundle.to_string())
}
