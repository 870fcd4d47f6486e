//! The same file once more: what it says anew is taken, what people edited since is kept, whoever imported
//! it last and however the record stands.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tearline_tests::daemon::{self, Daemon};

use crate::trust::{DONE, Pair, done, pair_with_delay, text, until};

const INCOMPLETE: i32 = 7;

/// A folder for files, and the desk of an agency with the compartment "all", which it shares with another.
struct Scene {
    folder: tempfile::TempDir,
    desk: Daemon,
    _other: Daemon,
}

impl Scene {
    fn set() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let Pair { guard, customs } = pair_with_delay(folder.path(), "72h")?;
        Ok(Self { folder, desk: guard, _other: customs })
    }

    /// A device of the same agency.
    fn unit(&self) -> io::Result<Daemon> {
        let home = self.folder.path().join("kilo");
        done(daemon::command(&home, &["init", "--unit", "KILO"])?);
        let mut unit = Daemon::at(home)?;
        unit.start()?;
        let invited = done(self.desk.command(&["device", "enrol", "KILO", "--history"])?);
        done(unit.command(&["join", text(&invited["invitation"])])?);
        Ok(unit)
    }

    /// Imports one object by a device; the exit code and the report.
    fn import(&self, by: &Daemon, object: &Value, more: &[&str]) -> io::Result<(i32, Value)> {
        let path = self.folder.path().join("in.json");
        fs::write(&path, json!([object]).to_string())?;
        let path = path.display().to_string();
        let outcome =
            by.command(&[&["import", &path, "--compartment", "all"][..], more].concat())?;
        Ok((outcome.code, outcome.document))
    }
}

/// A version of an indicator; a property without a value is left out.
fn indicator(fields: &[(&str, &str)]) -> Value {
    let mut object = json!({
        "type": "indicator",
        "spec_version": "2.1",
        "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3c001",
    });
    for (name, value) in fields {
        object[*name] = json!(value);
    }
    object
}

/// Created, updated, unchanged, rejected, kept.
fn counts(report: &Value) -> [u64; 5] {
    ["created", "updated", "unchanged", "rejected", "kept"]
        .map(|name| report[name].as_u64().unwrap_or(u64::MAX))
}

const CREATED: [u64; 5] = [1, 0, 0, 0, 0];
const UPDATED: [u64; 5] = [0, 1, 0, 0, 0];
const UPDATED_KEPT: [u64; 5] = [0, 1, 0, 0, 1];
const UNCHANGED: [u64; 5] = [0, 0, 1, 0, 0];
const UNCHANGED_KEPT: [u64; 5] = [0, 0, 1, 0, 1];

fn only_record(daemon: &Daemon) -> io::Result<String> {
    let rows = done(daemon.command(&["record", "list"])?);
    let rows = rows["records"].as_array().cloned().unwrap_or_default();
    assert_eq!(rows.len(), 1, "{rows:?}");
    Ok(text(&rows[0]["record"]).to_owned())
}

fn field(daemon: &Daemon, record: &str, name: &str) -> io::Result<Value> {
    Ok(done(daemon.command(&["record", "show", record])?)["fields"][name].take())
}

fn edit(daemon: &Daemon, record: &str, change: &[&str]) -> io::Result<()> {
    done(daemon.command(&[&["record", "edit", record][..], change].concat())?);
    Ok(())
}

#[test]
fn what_was_edited_stays_until_the_file_says_something_new() -> io::Result<()> {
    let scene = Scene::set()?;
    let desk = &scene.desk;
    let import = |fields: &[(&str, &str)]| -> io::Result<Value> {
        let (code, report) = scene.import(desk, &indicator(fields), &[])?;
        assert_eq!(code, DONE, "{report}");
        Ok(report)
    };
    let first = [("name", "a"), ("pattern", "p"), ("x_gone", "here")];
    assert_eq!(counts(&import(&first)?), CREATED);
    assert_eq!(counts(&import(&first)?), UNCHANGED);
    let record = only_record(desk)?;
    edit(desk, &record, &["--set", "name=ours", "--set", "x_ours=seen"])?;
    let report = import(&first)?;
    assert_eq!(counts(&report), UNCHANGED_KEPT);
    assert_eq!(report["kept_edits"], json!([{ "record": record, "fields": ["name", "x_ours"] }]));
    assert_eq!(field(desk, &record, "name")?, "ours");

    // A later version: what is new in it is taken, and what left it goes, also where it was edited.
    edit(desk, &record, &["--set", "x_gone=edited"])?;
    let second = [("name", "a"), ("pattern", "q")];
    assert_eq!(counts(&import(&second)?), UPDATED_KEPT);
    assert_eq!(field(desk, &record, "name")?, "ours");
    assert_eq!(field(desk, &record, "x_ours")?, "seen");
    assert_eq!(field(desk, &record, "pattern")?, "q");
    assert_eq!(field(desk, &record, "x_gone")?, Value::Null);
    // Whoever writes it anew keeps it: that version does not have it, as it did not before.
    edit(desk, &record, &["--set", "x_gone=again"])?;
    assert_eq!(counts(&import(&second)?), UNCHANGED_KEPT);
    assert_eq!(field(desk, &record, "x_gone")?, "again");

    // What the file says anew of what was edited is taken.
    let third = [("name", "b"), ("pattern", "q")];
    assert_eq!(counts(&import(&third)?), UPDATED_KEPT);
    assert_eq!(field(desk, &record, "name")?, "b");

    // Also if somebody wrote the same here before: from then on it is what the file says.
    edit(desk, &record, &["--set", "pattern=[file:size = 1]", "--unset", "name"])?;
    let fourth = [("pattern", "[file:size = 1]")];
    assert_eq!(counts(&import(&fourth)?), UPDATED_KEPT);
    edit(desk, &record, &["--set", "pattern=[file:size = 2]", "--set", "name=c"])?;
    assert_eq!(counts(&import(&fourth)?), UNCHANGED_KEPT);
    assert_eq!(field(desk, &record, "pattern")?, "[file:size = 2]");
    assert_eq!(field(desk, &record, "name")?, "c");

    let history = done(desk.command(&["record", "history", &record])?);
    let whats: Vec<&str> = history["entries"]
        .as_array()
        .map(|entries| entries.iter().map(|entry| text(&entry["what"])).collect())
        .unwrap_or_default();
    assert_eq!(whats.iter().filter(|what| **what == "brought").count(), 3, "{whats:?}");

    let path = scene.folder.path().join("in.json");
    let output = Command::new(daemon::program()?)
        .arg("--home")
        .arg(desk.home())
        .arg("import")
        .arg(&path)
        .args(["--compartment", "all"])
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("kept an edit here"), "{said}");
    Ok(())
}

/// An object of more operations than one change holds begins with several entries: all are brought.
#[test]
fn a_long_object_is_brought_whole() -> io::Result<()> {
    let scene = Scene::set()?;
    let mut long = indicator(&[("name", "a")]);
    long["x_list"] = json!((0..3_000).collect::<Vec<u32>>());
    long["x_z"] = json!("z");
    let (code, report) = scene.import(&scene.desk, &long, &[])?;
    assert_eq!((code, counts(&report)), (DONE, CREATED), "{report}");
    let record = only_record(&scene.desk)?;
    edit(&scene.desk, &record, &["--set", "x_list=none", "--set", "x_z=y"])?;
    let (_, report) = scene.import(&scene.desk, &long, &[])?;
    assert_eq!(counts(&report), UNCHANGED_KEPT, "{report}");
    assert_eq!(report["kept_edits"][0]["fields"], json!(["x_list", "x_z"]));
    Ok(())
}

#[test]
fn the_last_import_is_known_whoever_made_it() -> io::Result<()> {
    let scene = Scene::set()?;
    let (desk, unit) = (&scene.desk, scene.unit()?);
    let (code, report) = scene.import(desk, &indicator(&[("name", "a"), ("pattern", "p")]), &[])?;
    assert_eq!((code, counts(&report)), (DONE, CREATED), "{report}");
    let record = only_record(desk)?;
    until(|| Ok(unit.command(&["record", "show", &record])?.code == DONE))?;
    let second = indicator(&[("name", "b"), ("pattern", "p")]);
    let mut report = Value::Null;
    // The unit may read before its right to write has come.
    until(|| {
        let (code, said) = scene.import(&unit, &second, &[])?;
        report = said;
        Ok(code == DONE)
    })?;
    assert_eq!(counts(&report), UPDATED);
    until(|| Ok(field(desk, &record, "name")? == "b"))?;

    edit(desk, &record, &["--set", "name=ours"])?;
    let (_, report) = scene.import(desk, &second, &[])?;
    assert_eq!(counts(&report), UNCHANGED_KEPT, "{report}");
    until(|| Ok(field(&unit, &record, "name")? == "ours"))?;
    let (_, report) = scene.import(&unit, &second, &[])?;
    assert_eq!(counts(&report), UNCHANGED_KEPT, "{report}");
    // What the desk brought first is news again.
    let (_, report) = scene.import(desk, &indicator(&[("name", "a"), ("pattern", "p")]), &[])?;
    assert_eq!(counts(&report), UPDATED, "{report}");
    assert_eq!(field(desk, &record, "name")?, "a");
    Ok(())
}

#[test]
fn a_restricted_record_is_unchanged_or_it_is_said_what_to_do() -> io::Result<()> {
    let scene = Scene::set()?;
    let desk = &scene.desk;
    let first = indicator(&[("name", "a")]);
    assert_eq!(scene.import(desk, &first, &[])?.0, DONE);
    let record = only_record(desk)?;
    edit(desk, &record, &["--set", "name=ours"])?;
    let restricted = done(desk.command(&["record", "restrict", &record])?);
    let (code, report) = scene.import(desk, &first, &[])?;
    assert_eq!((code, counts(&report)), (DONE, UNCHANGED), "{report}");
    assert_eq!(report["kept_edits"], json!([]), "nothing of it is told");

    let second = indicator(&[("name", "b")]);
    let (code, report) = scene.import(desk, &second, &[])?;
    assert_eq!((code, counts(&report)), (INCOMPLETE, [0, 0, 0, 1, 0]), "{report}");
    let reason = text(&report["problems"][0]["reason"]);
    for said in [&record[..], "restricted", "name", "tearline record lift", "import the file again"]
    {
        assert!(reason.contains(said), "{reason}");
    }
    // It does not leave the house as an empty object.
    for format in ["stix", "csv", "geojson"] {
        let export = done(desk.command(&["export", "--format", format])?);
        assert_eq!([&export["records"], &export["hidden"]], [0, 1], "{export}");
        assert!(!text(&export["content"]).contains(&record[..8]), "{export}");
    }
    done(desk.command(&["record", "lift", text(&restricted["statement"])])?);
    let (code, report) = scene.import(desk, &second, &[])?;
    assert_eq!((code, counts(&report)), (DONE, UPDATED), "{report}");
    assert_eq!(field(desk, &record, "name")?, "b");

    done(desk.command(&["record", "erase", &record, "--basis", "Article 17"])?);
    let (_, report) = scene.import(desk, &second, &[])?;
    assert_eq!(counts(&report), UNCHANGED, "{report}");
    let (code, report) = scene.import(desk, &first, &[])?;
    assert_eq!(code, INCOMPLETE, "{report}");
    assert!(text(&report["problems"][0]["reason"]).contains("erased"), "{report}");
    Ok(())
}

/// A restriction goes into the flash log of a record that is not in one; a change does not.
#[test]
fn a_label_that_is_taken_is_said_beside_what_is_refused() -> io::Result<()> {
    let scene = Scene::set()?;
    let desk = &scene.desk;
    assert_eq!(scene.import(desk, &indicator(&[("name", "a")]), &[])?.0, DONE);
    let record = only_record(desk)?;
    let hurried = ["--class", "flash", "--label", "TLP:RED"];
    let (code, report) = scene.import(desk, &indicator(&[("name", "b")]), &hurried)?;
    assert_eq!((code, counts(&report)), (INCOMPLETE, [0, 1, 0, 1, 0]), "{report}");
    let reason = text(&report["problems"][0]["reason"]);
    assert!(reason.contains("its label is TLP:RED now") && reason.contains("flash"), "{reason}");
    let shown = done(desk.command(&["record", "show", &record])?);
    assert_eq!((&shown["label"], &shown["fields"]["name"]), (&json!("TLP:RED"), &json!("a")));
    Ok(())
}

#[test]
fn a_missing_file_stops_no_other() -> io::Result<()> {
    let scene = Scene::set()?;
    let path = |name: &str| scene.folder.path().join(name).display().to_string();
    fs::write(path("good.json"), json!([indicator(&[("name", "a")])]).to_string())?;
    fs::write(path("empty.json"), r#"{"type":"bundle","id":"bundle--1"}"#)?;
    let (missing, empty, good) = (path("missing.json"), path("empty.json"), path("good.json"));
    let folder = scene.folder.path().display().to_string();
    let import = |files: &[&str]| {
        scene.desk.command(&[&["import", "--compartment", "all"][..], files].concat())
    };
    let outcome = import(&[&missing, &folder, &empty, &good])?;
    let report = &outcome.document;
    assert_eq!((outcome.code, counts(report)), (INCOMPLETE, CREATED), "{report}");
    assert_eq!(report["broken_files"], 3);
    let problems = report["problems"].as_array().cloned().unwrap_or_default();
    for (problem, (file, reason)) in problems.iter().zip([
        (&missing, "No such file"),
        (&folder, "a folder"),
        (&empty, "no STIX bundle with objects"),
    ]) {
        assert_eq!((&problem["file"], &problem["place"]), (&json!(file), &json!("the file")));
        assert!(text(&problem["reason"]).contains(reason), "{problem}");
    }
    // Where that is all there is, nothing was done.
    assert_eq!(import(&[&missing])?.code, 1);
    assert_eq!(import(&[&missing, &empty])?.code, 1);
    fs::write(path("none.json"), "[]")?;
    assert_eq!(import(&[&path("none.json"), &missing])?.code, INCOMPLETE);
    Ok(())
}

/// What the core has no time for waits, and reading waits for it: the daemon's build here asserts how much.
#[test]
fn more_than_can_be_brought_in_time_is_brought_in_order() -> io::Result<()> {
    const OBJECTS: usize = 1_000;
    let scene = Scene::set()?;
    let version = |n: usize, name: &str, second: u32| {
        let mut object = indicator(&[("name", name)]);
        object["id"] = json!(format!("indicator--8e2e2d2b-17d4-4cbf-938f-{n:012x}"));
        object["modified"] = json!(format!("2026-01-01T00:00:{second:02}Z"));
        object
    };
    let import = |objects: &[Value]| -> io::Result<Value> {
        let path = scene.folder.path().join("many.json");
        fs::write(&path, json!(objects).to_string())?;
        let path = path.display().to_string();
        let outcome = scene.desk.command(&["import", &path, "--compartment", "all"])?;
        assert_eq!(outcome.code, DONE, "{}", outcome.document);
        Ok(outcome.document)
    };
    let all = |name: &str, second| -> Vec<Value> {
        (0..OBJECTS).map(|n| version(n, name, second)).collect()
    };
    assert_eq!(counts(&import(&all("first", 1))?), [OBJECTS as u64, 0, 0, 0, 0]);
    let twice = [all("second", 2), all("third", 3)].concat();
    assert_eq!(counts(&import(&twice)?), [0, 2 * OBJECTS as u64, 0, 0, 0]);
    let thirds = done(scene.desk.command(&["search", "third", "--limit", "1000"])?);
    assert_eq!(thirds["records"].as_array().map(Vec::len), Some(OBJECTS));
    Ok(())
}

/// Each is compared with what all before it brought.
#[test]
fn many_versions_in_one_file_come_to_the_last() -> io::Result<()> {
    const VERSIONS: usize = 60;
    let scene = Scene::set()?;
    let version = |n: usize| {
        let modified = format!("2026-01-01T00:{:02}:{:02}Z", n / 60, n % 60);
        let mut object = indicator(&[("name", "a"), ("modified", &modified)]);
        (0..n).for_each(|field| object[format!("p{field}")] = json!({ "list": [n, field] }));
        object
    };
    let versions: Vec<Value> = (0..VERSIONS).map(version).collect();
    let path = scene.folder.path().join("versions.json");
    fs::write(&path, json!(versions).to_string())?;
    let path = path.display().to_string();
    let import = || -> io::Result<Value> {
        let outcome = scene.desk.command(&["import", &path, "--compartment", "all"])?;
        assert_eq!(outcome.code, DONE, "{}", outcome.document);
        Ok(outcome.document)
    };
    assert_eq!(counts(&import()?), [1, VERSIONS as u64 - 1, 0, 0, 0]);
    assert_eq!(counts(&import()?), [0, 0, VERSIONS as u64, 0, 0]);
    let record = only_record(&scene.desk)?;
    let last = VERSIONS - 1;
    let shown = done(scene.desk.command(&["record", "show", &record])?);
    let field = format!("p{}", last - 1);
    assert_eq!(shown["fields"][&field], json!({ "list": [last, last - 1] }), "{shown}");
    Ok(())
}

#[test]
fn a_record_from_a_file_is_read_as_strictly_as_an_import() -> io::Result<()> {
    let scene = Scene::set()?;
    let path = scene.folder.path().join("fields.json");
    let new = |text: &str| -> io::Result<(i32, Value)> {
        fs::write(&path, text)?;
        let file = path.display().to_string();
        let outcome = scene.desk.command(&["record", "new", "--kind", "vehicle", &file])?;
        Ok((outcome.code, outcome.document))
    };
    for (text, said) in [
        (r#"{"plate":"A","plate":"B"}"#, "occurs twice"),
        (r#"{"plate":"A","x":18446744073709551616}"#, "cannot be kept"),
        (r#"["plate"]"#, "no JSON object"),
    ] {
        let (code, failure) = new(text)?;
        assert!(code != DONE && failure.to_string().contains(said), "{text}: {failure}");
    }
    let (code, written) = new("\u{feff}{\"plate\":\"XK-204\"}")?;
    assert_eq!(code, DONE, "{written}");
    assert_eq!(field(&scene.desk, text(&written["record"]), "plate")?, "XK-204");
    Ok(())
}

/// What docs/import.md shows works as it is typed, from the folder of the clone.
#[test]
fn the_examples_of_the_documents_work_as_typed() -> io::Result<()> {
    let scene = Scene::set()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/import.md"))?;
    let commands: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("tearline ")).collect();
    let imports = || commands.iter().filter(|command| command.starts_with("import "));
    for command in imports() {
        let output = Command::new(daemon::program()?)
            .current_dir(&root)
            .env("TEARLINE_HOME", scene.desk.home())
            .args(command.split_whitespace())
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(DONE), "{command}: {said}");
        let created = said.lines().find(|line| line.starts_with("created"));
        assert!(created.is_some_and(|line| !line.ends_with(" 0")), "{command}: {said}");
    }
    for file in fs::read_dir(root.join("docs/examples"))? {
        let name = format!("docs/examples/{}", file?.file_name().to_string_lossy());
        assert!(imports().any(|command| command.contains(&name)), "no command shows {name}");
    }
    Ok(())
}

#[test]
fn a_version_by_another_is_a_note_once() -> io::Result<()> {
    let scene = Scene::set()?;
    let by = |author: u8, modified: &str, name: &str| {
        let author = format!("identity--8e2e2d2b-17d4-4cbf-938f-98ee46b3c10{author}");
        let times = [("created", "2026-01-01T00:00:00.000Z"), ("modified", modified)];
        indicator(&[&[("created_by_ref", &*author), ("name", name)][..], &times].concat())
    };
    let import = |object: &Value| scene.import(&scene.desk, object, &[]);
    let (first, second) = ("2026-01-02T00:00:00.000Z", "2026-01-03T00:00:00.000Z");
    let own = by(1, first, "As it is");
    let (_, brought) = scene.import(&scene.desk, &own, &["--label", "TLP:RED"])?;
    assert_eq!(counts(&brought), [1, 0, 0, 0, 0]);
    let other = by(2, second, "Otherwise");
    assert_eq!(counts(&import(&other)?.1), [1, 0, 0, 0, 0]);
    assert_eq!(counts(&import(&other)?.1), [0, 0, 1, 0, 0]);
    assert_eq!(counts(&import(&own)?.1), [0, 0, 1, 0, 0]);
    let notes = done(scene.desk.command(&["record", "list", "--kind", "note"])?);
    let rows = notes["records"].as_array().cloned().unwrap_or_default();
    assert_eq!(rows.len(), 1, "{notes}");
    let note = done(scene.desk.command(&["record", "show", text(&rows[0]["record"])])?);
    assert_eq!(note["fields"]["content"], "{\"name\":\"Otherwise\"}", "{note}");
    // It tells of a record, and is shown to nobody who is not shown that.
    assert!(note["label"].to_string().contains("TLP:RED"), "{note}");
    assert_eq!(note["fields"]["object_refs"], json!([own["id"]]));
    assert_eq!(counts(&import(&by(1, second, "Anew"))?.1), [0, 1, 0, 0, 0]);
    // Of what is restricted nothing is told.
    let indicators = done(scene.desk.command(&["record", "list", "--kind", "indicator"])?);
    let record = text(&indicators["records"][0]["record"]).to_owned();
    done(scene.desk.command(&["record", "restrict", &record])?);
    let third = "2026-01-04T00:00:00.000Z";
    assert_eq!(counts(&import(&by(2, third, "Yet otherwise"))?.1), [0, 0, 0, 1, 0]);
    Ok(())
}
