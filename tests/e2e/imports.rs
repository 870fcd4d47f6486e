//! What an import makes of files that are half good, of the same file once more, and of what another
//! agency brought in before.

use std::fs;
use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tearline_tests::daemon::{Daemon, program};

const DONE: i32 = 0;
const FAILED: i32 = 1;
const USAGE: i32 = 2;
const INCOMPLETE: i32 = 7;

/// How long a record may take to the other side.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);

fn agency(folder: &tempfile::TempDir) -> io::Result<Daemon> {
    let mut daemon = Daemon::init(folder.path(), "Border Guard", "NE")?;
    daemon.start()?;
    daemon.ask("coalition.create", &json!({ "name": "Drill" }))?;
    Ok(daemon)
}

fn indicator(number: u8, name: &str) -> Value {
    json!({
        "type": "indicator",
        "spec_version": "2.1",
        "id": format!("indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3c{number:03x}"),
        "name": name,
    })
}

#[test]
fn a_broken_file_stops_neither_the_others_nor_the_report() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let daemon = agency(&folder)?;
    let files = [
        ("first.json", format!("[{},{{\"type\":\"indicator\"}}]", indicator(1, "a"))),
        ("broken.json", format!("[{},{{\"x\":", indicator(2, "b"))),
        ("last.json", format!("\u{feff}[{{\"x\":1e999}},{}]", indicator(3, "c"))),
    ];
    let mut command = vec!["import".to_owned(), "--compartment".into(), "home".into()];
    for (name, text) in &files {
        let path = folder.path().join(name);
        fs::write(&path, text)?;
        command.push(path.display().to_string());
    }
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let outcome = daemon.command(&command)?;
    let report = &outcome.document;
    assert_eq!(outcome.code, INCOMPLETE, "{report}");
    assert_eq!((&report["created"], &report["rejected"]), (&json!(3), &json!(2)), "{report}");
    assert_eq!(report["broken_files"], json!(1), "{report}");
    let problems = report["problems"].as_array().cloned().unwrap_or_default();
    let places: Vec<(String, String)> = problems
        .iter()
        .map(|problem| {
            let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
            (text("file").rsplit('/').next().unwrap_or_default().to_owned(), text("place"))
        })
        .collect();
    let expected =
        [("first.json", "objects[1]"), ("broken.json", "the file"), ("last.json", "objects[0]")];
    assert_eq!(places, expected.map(|(file, place)| (file.to_owned(), place.to_owned())));

    // A file of which nothing can be read is no report but a failure.
    let broken = folder.path().join("nothing.json");
    fs::write(&broken, "nothing")?;
    let path = broken.display().to_string();
    let alone = daemon.command(&["import", "--compartment", "home", &path])?;
    assert_eq!(alone.code, FAILED, "{}", alone.document);
    Ok(())
}

#[test]
fn a_quote_that_does_not_close_is_named_with_what_it_took() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let daemon = agency(&folder)?;
    let map = folder.path().join("map.toml");
    fs::write(&map, "kind = \"sighting\"\n[fields]\ndescription = \"Remark\"\n")?;
    let import = |name: &str, text: String| -> io::Result<(i32, Value)> {
        let path = folder.path().join(name);
        fs::write(&path, text)?;
        let (path, map) = (path.display().to_string(), map.display().to_string());
        let outcome = daemon.command(&["import", "--compartment", "home", "--map", &map, &path])?;
        Ok((outcome.code, outcome.document))
    };
    let rows = "white pickup,1\n".repeat(50);
    let (code, report) = import("open.csv", format!("Remark,N\nseen,1\n\"two men,2\n{rows}"))?;
    assert_eq!((code, &report["created"]), (INCOMPLETE, &json!(1)), "{report}");
    let reason = report["problems"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("in row 3, at line 3"), "{reason}");
    assert!(reason.contains("50 lines"), "{reason}");
    let (code, failure) = import("first.csv", format!("Remark,N\n\"two men,2\n{rows}"))?;
    assert_eq!(code, FAILED, "{failure}");
    assert!(failure.to_string().contains("in row 2, at line 2"), "{failure}");

    let names: Vec<String> = (0..3_000).map(|n| format!("column {n}")).collect();
    let (code, failure) = import("wide.csv", format!("{}\n", names.join(",")))?;
    assert_eq!(code, FAILED);
    let said = failure.to_string();
    assert!(said.contains("and 2980 more") && said.len() < 2_000, "{said}");
    Ok(())
}

#[test]
fn a_type_is_asked_for_by_the_word_that_is_shown() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let daemon = agency(&folder)?;
    let path = folder.path().join("in.json");
    let object = |of: &str| {
        let mut object = indicator(1, of);
        object["type"] = json!(of);
        object["id"] = json!(format!("{of}--8e2e2d2b-17d4-4cbf-938f-98ee46b3c001"));
        object
    };
    fs::write(
        &path,
        json!([object("malware"), object("x-camp"), object("indicator")]).to_string(),
    )?;
    let import =
        daemon.command(&["import", "--compartment", "home", &path.display().to_string()])?;
    assert_eq!(import.code, DONE, "{}", import.document);
    for word in ["malware", "x-camp"] {
        let term = format!("kind:{word}");
        for command in [&["search", &term][..], &["record", "list", "--kind", word]] {
            let found = daemon.command(command)?;
            assert_eq!(found.code, DONE, "{}", found.document);
            let rows = found.document["records"].as_array().cloned().unwrap_or_default();
            assert_eq!(rows.len(), 1, "{rows:?}");
            assert_eq!(rows[0]["kind"], word);
        }
    }
    // A type of STIX of which there is none is no mistake; a word that nobody knows is.
    assert_eq!(daemon.command(&["search", "kind:campaign"])?.code, DONE);
    for command in [&["search", "kind:malwre"][..], &["record", "list", "--kind", "malwre"]] {
        let unknown = daemon.command(command)?;
        assert_eq!(unknown.code, USAGE, "{}", unknown.document);
        let said = unknown.document.to_string();
        assert!(said.contains("vehicle") && said.contains("x-camp"), "{said}");
    }
    Ok(())
}

#[test]
fn what_came_by_standard_input_is_said_to_be_there() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let daemon = agency(&folder)?;
    let file = folder.path().join("in.json");
    fs::write(&file, format!("[7,{}]", indicator(1, "a")))?;
    let output = Command::new(program()?)
        .arg("--home")
        .arg(daemon.home())
        .args(["import", "-", "--format", "stix", "--compartment", "home"])
        .stdin(Stdio::from(fs::File::open(&file)?))
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(INCOMPLETE), "{said}");
    assert!(said.contains("standard input") && !said.contains("scratch"), "{said}");
    Ok(())
}

#[test]
fn the_same_features_once_more_change_nothing() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let daemon = agency(&folder)?;
    let feature = |name: &str| {
        json!({
            "type": "Feature", "id": 7, "properties": { "name": name },
            "geometry": { "type": "Point", "coordinates": [14.5, 13.25] },
        })
    };
    let import = |file: &str, name: &str| -> io::Result<Value> {
        let path = folder.path().join(file);
        let collection = json!({ "type": "FeatureCollection", "features": [feature(name)] });
        fs::write(&path, collection.to_string())?;
        let path = path.display().to_string();
        let outcome = daemon.command(&["import", "--compartment", "home", &path])?;
        assert_eq!(outcome.code, DONE, "{}", outcome.document);
        Ok(outcome.document)
    };
    assert_eq!(import("posts.geojson", "Bol")?["created"], 1);
    assert_eq!(import("posts.geojson", "Bol")?["unchanged"], 1);
    assert_eq!(import("posts.geojson", "Bol, new post")?["updated"], 1);
    // Most programs count features from 0 in every file: another file's 7 is another place.
    assert_eq!(import("fords.geojson", "Kilo")?["created"], 1);
    Ok(())
}

#[test]
fn another_agency_cannot_take_an_id_first() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let ours = agency(&folder)?;
    let mut theirs = Daemon::init(folder.path(), "Customs", "TD")?;
    theirs.start()?;
    let invited = ours.ask("peer.invite", &json!({ "expires_s": 3600 }))?;
    theirs.ask("join", &json!({ "invitation": invited["invitation"] }))?;
    ours.ask("compartment.open", &json!({ "name": "all", "rel": ["NE", "TD"] }))?;

    let import = |daemon: &Daemon, name: &str| -> io::Result<Value> {
        let path = folder.path().join("in.json");
        fs::write(&path, format!("[{}]", indicator(1, name)))?;
        let path = path.display().to_string();
        let deadline = Instant::now() + ARRIVAL_MAX;
        loop {
            let outcome = daemon.command(&["import", "--compartment", "all", &path])?;
            if outcome.code == DONE {
                return Ok(outcome.document);
            }
            // The compartment and its keys may be on their way.
            assert!(Instant::now() < deadline, "{}", outcome.document);
        }
    };
    assert_eq!(import(&theirs, "harmless")?["created"], 1);
    let deadline = Instant::now() + ARRIVAL_MAX;
    while ours.ask("record.list", &json!({}))?["records"].as_array().is_none_or(Vec::is_empty) {
        assert!(Instant::now() < deadline, "their record does not arrive");
        std::thread::yield_now();
    }
    assert_eq!(import(&ours, "armed")?["created"], 1);
    assert_eq!(import(&ours, "armed")?["unchanged"], 1);
    assert_eq!(import(&ours, "armed, two men")?["updated"], 1);
    Ok(())
}

/// The file names another author, another compartment and a signature. None of that is believed.
#[test]
fn an_imported_record_is_its_importers_whatever_the_file_says() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let daemon = agency(&folder)?;
    let mut claim = indicator(1, "claimed");
    for (name, value) in [
        ("created_by_ref", json!("identity--8e2e2d2b-17d4-4cbf-938f-98ee46b3c001")),
        ("originator", json!({ "country": "TD", "name": "Customs" })),
        ("agency", json!("TD")),
        ("device", json!("0".repeat(64))),
        ("compartment", json!("all")),
        ("audience", json!(["NE", "TD"])),
        ("signature", json!("00")),
    ] {
        claim[name] = value;
    }
    let path = folder.path().join("claim.json");
    fs::write(&path, format!("[{claim}]"))?;
    let path = path.display().to_string();
    let outcome = daemon.command(&["import", "--compartment", "home", &path])?;
    assert_eq!(outcome.code, DONE, "{}", outcome.document);
    let rows = daemon.ask("record.list", &json!({}))?;
    let rows = rows["records"].as_array().cloned().unwrap_or_default();
    assert_eq!(rows.len(), 1, "{rows:?}");
    let own = daemon.ask("status", &json!({}))?;
    assert_eq!(rows[0]["originator"], own["agency"]);
    assert_eq!(rows[0]["originator"]["country"], "NE");
    assert_eq!(rows[0]["compartment_name"], "home");
    Ok(())
}
