//! Other people's numbers and formats, as the shipped program takes them: numbers that are probably
//! misread, documents filled from their machine-readable zone, feeds of AIS receivers.

use std::fs;
use std::io;

use serde_json::{Value, json};
use tearline_tests::daemon::Daemon;

use crate::trust::done;

const DONE: i32 = 0;
const USAGE: i32 = 2;
const INCOMPLETE: i32 = 7;

fn agency(folder: &tempfile::TempDir) -> io::Result<Daemon> {
    let mut daemon = Daemon::init(folder.path(), "Border Guard", "NE")?;
    daemon.start()?;
    daemon.ask("coalition.create", &json!({ "name": "Drill" }))?;
    Ok(daemon)
}

fn rows(daemon: &Daemon, query: &[&str]) -> io::Result<Vec<Value>> {
    let found = daemon.command(&[&["search"][..], query].concat())?;
    assert_eq!(found.code, DONE, "{query:?}: {}", found.document);
    Ok(found.document["records"].as_array().cloned().unwrap_or_default())
}

#[test]
fn a_number_is_written_as_it_was_seen_and_found_in_any_writing() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let daemon = agency(&folder)?;
    let new = ["record", "new", "--compartment", "home", "--kind"];
    let set = "container_number=CSQU 305438 4";
    let written = daemon.command(&[&new[..], &["container", "--set", set]].concat())?;
    assert_eq!(written.code, DONE, "{}", written.document);
    let doubts = &written.document["doubts"];
    assert_eq!(doubts[0]["field"], "container_number", "{doubts}");
    assert!(doubts[0]["reason"].to_string().contains("should be 3"), "{doubts}");
    let record = written.document["record"].as_str().unwrap_or_default().to_owned();
    let right = ["record", "edit", &record, "--set", "container_number=CSQU3054383"];
    assert_eq!(daemon.command(&right)?.document["doubts"], json!([]));
    let misspelt = daemon.command(&["record", "edit", &record, "--set", "tpye=x"])?;
    let doubts = &misspelt.document["doubts"];
    assert_eq!(doubts[0]["field"], "tpye", "{doubts}");
    assert!(doubts[0]["reason"].to_string().contains("perhaps `type`"), "{doubts}");
    let own = ["record", "edit", &record, "--set", "x_ours=1", "--unset", "tpye"];
    assert_eq!(daemon.command(&own)?.document["doubts"], json!([]));
    let plate = daemon.command(&[&new[..], &["vehicle", "--set", "plate=CT 1234 A"]].concat())?;
    assert_eq!(plate.document["doubts"], json!([]));
    let one = json!([record]);
    for query in [&["csqu3054383"][..], &["CSQU", "305438/3"], &["CSQU-305438-3"]] {
        let found: Vec<Value> =
            rows(&daemon, query)?.iter().map(|row| row["record"].clone()).collect();
        assert_eq!(Value::Array(found), one, "{query:?}");
    }
    for query in [&["ct1234a"][..], &["CT-1234-A", "kind:vehicle"], &["СТ 1234 А"]] {
        assert_eq!(rows(&daemon, query)?.len(), 1, "{query:?}");
    }
    assert_eq!(rows(&daemon, &["CT1234B"])?.len(), 0);

    let (table, map) = (folder.path().join("ships.csv"), folder.path().join("map.toml"));
    fs::write(&table, "Name,IMO\nright,9074729\nwrong,9074728\n")?;
    fs::write(&map, "kind = \"vessel\"\n[fields]\nname = \"Name\"\nimo = \"IMO\"\n")?;
    let (table, map) = (table.display().to_string(), map.display().to_string());
    let import = daemon.command(&["import", "--compartment", "home", "--map", &map, &table])?;
    let report = &import.document;
    assert_eq!((import.code, &report["created"]), (DONE, &json!(2)), "{report}");
    assert_eq!(report["doubtful"], 1, "{report}");
    assert!(report["doubts"][0]["place"].to_string().contains("row 3"), "{report}");
    Ok(())
}

#[test]
fn a_document_is_filled_from_its_zone() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let daemon = agency(&folder)?;
    let path = folder.path().join("scan.txt");
    let lines = [
        "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<",
        "L898902C36UTO7408122F1204159ZE184226B<<<<<10",
    ];
    let zone = path.display().to_string();
    let new = |kind: &str, more: &[&str]| {
        let command = ["record", "new", "--compartment", "home", "--kind", kind, "--mrz", &zone];
        daemon.command(&[&command[..], more].concat())
    };
    fs::write(&path, lines.join("\n").to_lowercase())?;
    let written = new("travel-document", &["--set", "status=lost"])?;
    assert_eq!((written.code, &written.document["doubts"]), (DONE, &json!([])));
    let record = written.document["record"].as_str().unwrap_or_default().to_owned();
    let shown = daemon.command(&["record", "show", &record])?.document;
    let fields = &shown["fields"];
    for (field, value) in [
        ("number", json!("L898902C3")),
        ("issuing_state", json!("UTO")),
        ("date_of_birth", json!("1974-08-12")),
        ("expiry", json!("2012-04-15")),
        ("status", json!("lost")),
        ("mrz_lines", json!(lines)),
    ] {
        assert_eq!(fields[field], value, "{fields}");
    }
    assert_eq!(fields["names"][0]["family"], "ERIKSSON", "{fields}");

    // A digit that was misread: written all the same, and said.
    fs::write(&path, lines.join("\n").replace("7408122", "7408172"))?;
    let written = new("travel-document", &[])?;
    assert_eq!(written.code, DONE, "{}", written.document);
    let reasons = written.document["doubts"].to_string();
    assert!(reasons.contains("date of birth") && reasons.contains("whole zone"), "{reasons}");

    let before = daemon.command(&["record", "list"])?.document;
    fs::write(&path, "no zone at all")?;
    assert_eq!(new("travel-document", &[])?.code, USAGE);
    fs::write(&path, lines.join("\n"))?;
    assert_eq!(new("vehicle", &[])?.code, USAGE);
    assert_eq!(daemon.command(&["record", "list"])?.document, before);
    Ok(())
}

/// A position and a name of one ship, each in a sentence with its checksum.
const POSITION: &str = "!AIVDM,1,1,,A,19NWwR@P1TP99t03KfP3Q2n1P000,0*";
const NAME: &str = "!AIVDM,1,1,,A,H9NWwR@EHE:1@E=@000000000000,0*";

fn summed(sentence: &str) -> String {
    let body = sentence.trim_start_matches('!').trim_end_matches('*');
    format!("{sentence}{:02X}\n", body.bytes().fold(0, |sum, byte| sum ^ byte))
}

#[test]
fn the_same_feed_again_changes_nothing_and_a_shorter_one_takes_nothing_away() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let daemon = agency(&folder)?;
    let import = |name: &str, feed: String| -> io::Result<(i32, Value)> {
        let path = folder.path().join(name);
        fs::write(&path, feed)?;
        let path = path.display().to_string();
        let outcome = daemon.command(&["import", "--compartment", "home", &path])?;
        Ok((outcome.code, outcome.document))
    };
    let both = format!("{}{}", summed(POSITION), summed(NAME));
    let (code, report) = import("feed.nmea", both.clone())?;
    assert_eq!((code, &report["created"]), (DONE, &json!(2)), "{report}");
    let (code, report) = import("feed.txt", both)?;
    assert_eq!((code, &report["created"], &report["unchanged"]), (DONE, &json!(0), &json!(2)));
    let (code, report) = import("feed.ais", summed(POSITION))?;
    assert_eq!((code, &report["unchanged"]), (DONE, &json!(2)), "{report}");
    let (code, report) = import("broken.ais", format!("{}{POSITION}00\n", summed(POSITION)))?;
    assert_eq!((code, &report["rejected"]), (INCOMPLETE, &json!(1)), "{report}");
    assert_eq!(report["problems"][0]["place"], "line 2", "{report}");

    let vessels = rows(&daemon, &["kind:vessel"])?;
    assert_eq!(vessels.len(), 1);
    let id = vessels[0]["record"].as_str().unwrap_or_default();
    let vessel = daemon.command(&["record", "show", id])?.document;
    let named = vessel["fields"]["name"].as_str().unwrap_or_default();
    assert_eq!(named, "EVER TEST", "{vessel}");
    let sightings = rows(&daemon, &["kind:sighting"])?;
    let id = sightings[0]["record"].as_str().unwrap_or_default();
    let sighting = daemon.command(&["record", "show", id])?.document;
    assert_eq!(sighting["fields"]["sighting_of_ref"], vessel["fields"]["id"]);

    // Outside, the sighting still names its vessel.
    let export = daemon.command(&["export", "--format", "stix"])?.document;
    let bundle: Value = serde_json::from_str(export["content"].as_str().unwrap_or_default())?;
    let ids: Vec<&Value> =
        bundle["objects"].as_array().into_iter().flatten().map(|object| &object["id"]).collect();
    assert!(ids.contains(&&vessel["fields"]["id"]) && ids.contains(&&sighting["fields"]["id"]));
    Ok(())
}

#[test]
fn an_event_of_misp_goes_in_once_and_under_a_label_that_is_not_weaker() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let daemon = agency(&folder)?;
    let event = |distribution: u8, plate: &str| {
        json!({ "Event": {
            "info": "Pickups at the ford", "uuid": "57c4445b-c548-4654-af0b-4be3950d210f",
            "timestamp": "1472541011", "distribution": distribution,
            "Object": [{
                "name": "vehicle", "uuid": "57c4448a-fb04-457d-87e7-4127950d210f", "distribution": "5",
                "Attribute": [{ "object_relation": "license-plate-number", "value": plate }],
            }],
            "Attribute": [{ "uuid": "57c4448b-454c-4d17-90d1-4d2f950d210f", "value": "locky" }],
        } })
    };
    let import = |event: &Value| -> io::Result<Value> {
        let path = folder.path().join("event.json");
        fs::write(&path, event.to_string())?;
        let path = path.display().to_string();
        let command = ["import", "--compartment", "home", "--label", "TLP:CLEAR", &path];
        let outcome = daemon.command(&command)?;
        assert_eq!(outcome.code, DONE, "{}", outcome.document);
        Ok(outcome.document)
    };
    assert_eq!(import(&event(3, "CT 1234 A"))?["created"], 3);
    assert_eq!(import(&event(3, "CT 1234 A"))?["unchanged"], 3);
    let found = rows(&daemon, &["ct1234a"])?;
    assert_eq!((&found[0]["kind"], &found[0]["label"]), (&json!("vehicle"), &json!("TLP:GREEN")));
    assert_eq!(rows(&daemon, &["kind:x-misp-attribute", "locky"])?.len(), 1);
    assert_eq!(rows(&daemon, &["kind:report", "ford"])?.len(), 1);
    assert_eq!(import(&event(0, "CT 1234 A"))?["updated"], 3);
    assert_eq!(rows(&daemon, &["ct1234a"])?[0]["label"], "TLP:RED");
    Ok(())
}

#[test]
fn a_feed_of_misp_has_what_may_go_out_and_takes_its_place_whole() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let daemon = agency(&folder)?;
    let phone = |n: u8| {
        json!({
            "uuid": format!("57c4448a-fb04-457d-87e7-4127950d210{n}"), "type": "phone-number",
            "category": "Person", "value": format!("+227 20 00 00 0{n}"),
            "timestamp": "1767312000", "distribution": "5",
        })
    };
    let event = json!({ "Event": {
        "info": "Phones", "uuid": "57c4445b-c548-4654-af0b-4be3950d210f", "date": "2026-01-02",
        "timestamp": "1767312000", "distribution": "3", "Tag": [{ "name": "tlp:green" }],
        "Attribute": [phone(1), phone(2)],
    } });
    let file = folder.path().join("event.json");
    fs::write(&file, event.to_string())?;
    let import = ["import", "--format", "misp", "--compartment", "home", "--label", "TLP:GREEN"];
    done(daemon.command(&[&import[..], &[&file.display().to_string()]].concat())?);
    let vehicle =
        ["record", "new", "--kind", "vehicle", "--set", "plate=NE 1", "--label", "TLP:RED"];
    done(daemon.command(&vehicle)?);
    let phones = rows(&daemon, &["kind:phone"])?;
    let second = phones.iter().find(|row| row["title"] == "+22720000002").cloned();
    let second = second.unwrap_or_default()["record"].as_str().unwrap_or_default().to_owned();
    done(daemon.command(&["record", "recall", &second])?);

    let feed = folder.path().join("feed");
    let shown = feed.display().to_string();
    let export = ["export", "--format", "misp-feed", "--out", &shown];
    let said = done(daemon.command(&export)?);
    assert_eq!((&said["records"], &said["hidden"]), (&json!(3), &json!(1)), "{said}");
    let read = |name: &str| -> io::Result<Value> {
        Ok(serde_json::from_slice(&fs::read(feed.join(name))?)?)
    };
    let manifest = read("manifest.json")?;
    assert_eq!(manifest.as_object().map(serde_json::Map::len), Some(2), "{manifest}");
    let mut whole = event;
    whole["Event"]["Attribute"] = json!([phone(1)]);
    assert_eq!(read("57c4445b-c548-4654-af0b-4be3950d210f.json")?, whole);
    let own =
        manifest.as_object().into_iter().flatten().find(|(_, one)| one["info"] == "vehicle: NE 1");
    let own = own.map(|(id, _)| id.clone()).unwrap_or_default();
    let own = &read(&format!("{own}.json"))?["Event"];
    assert_eq!((&own["distribution"], &own["Tag"][0]["name"]), (&json!("0"), &json!("tlp:red")));
    assert_eq!(fs::read_to_string(feed.join("hashes.csv"))?.lines().count(), 2);

    // Into a folder that is not empty nothing is written, and nothing lies beside it.
    assert_eq!(daemon.command(&export)?.code, 2);
    assert_eq!(daemon.command(&["export", "--format", "misp-feed"])?.code, 2);
    let left = fs::read_dir(folder.path())?.filter_map(Result::ok);
    let left: Vec<_> = left
        .map(|one| one.file_name())
        .filter(|name| name.to_string_lossy().starts_with('.'))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

#[test]
fn a_pattern_finds_what_was_observed_as_it_says() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let daemon = agency(&folder)?;
    let uuid = |n: u8| format!("8e2e2d2b-17d4-4cbf-938f-98ee46b3c0{n:02x}");
    let address = |n: u8, value: &str| json!({ "type": "ipv4-addr", "id": format!("ipv4-addr--{}", uuid(n)), "value": value });
    let observed = |n: u8, of: u8, minute: u8| {
        let at = format!("2026-05-01T10:{minute:02}:00.000Z");
        json!({
            "type": "observed-data", "id": format!("observed-data--{}", uuid(n)), "first_observed": at,
            "last_observed": at, "number_observed": 1, "object_refs": [format!("ipv4-addr--{}", uuid(of))],
        })
    };
    let path = folder.path().join("observed.json");
    let objects = [
        address(1, "198.51.100.7"),
        address(2, "203.0.113.9"),
        observed(3, 1, 0),
        observed(4, 2, 10),
        observed(5, 1, 50),
    ];
    fs::write(&path, json!(objects).to_string())?;
    let path = path.display().to_string();
    assert_eq!(daemon.command(&["import", "--compartment", "home", &path])?.code, DONE);
    let new = ["record", "new", "--compartment", "home", "--kind"];
    let seen = ["--set", "description=pickup", "--set", "first_seen=2026-05-01T10:05:00Z"];
    daemon.command(&[&new[..], &["sighting"], &seen].concat())?;
    daemon.command(&[&new[..], &["vehicle", "--set", "plate=CT 1234 A"]].concat())?;

    let found = |pattern: &str, more: &[&str]| -> io::Result<Vec<String>> {
        let command = [&["search", "--pattern", pattern][..], more].concat();
        let found = daemon.command(&command)?;
        assert_eq!(found.code, DONE, "{pattern}: {}", found.document);
        let records = found.document["records"].as_array().cloned().unwrap_or_default();
        let mut kinds: Vec<String> =
            records.iter().filter_map(|row| Some(row["kind"].as_str()?.to_owned())).collect();
        kinds.sort_unstable();
        Ok(kinds)
    };
    let near = "[ipv4-addr:value ISSUBSET '198.51.100.0/24']";
    let other = "[ipv4-addr:value = '203.0.113.9']";
    let two = ["observed-data", "observed-data"];
    assert_eq!(found(near, &[])?, two);
    assert_eq!(found(near, &["--limit", "1"])?, two[..1]);
    assert_eq!(found(&format!("({near} AND {other}) WITHIN 900 SECONDS"), &[])?, two);
    assert_eq!(found(&format!("({other} FOLLOWEDBY {near}) WITHIN 900 SECONDS"), &[])?, [""; 0]);
    assert_eq!(found("[vehicle:plate LIKE 'CT%']", &[])?, ["vehicle"]);
    assert_eq!(found("[vehicle:plate LIKE 'CT%']", &["kind:sighting"])?, [""; 0]);
    let both =
        "[sighting:description MATCHES '^pick'] FOLLOWEDBY [ipv4-addr:value = '203.0.113.9']";
    assert_eq!(found(both, &[])?, ["observed-data", "sighting"]);
    for (bad, said) in [("[a:b = 1", "at character 9"), ("[a:b MATCHES '(?=x)']", "looking around")]
    {
        let refused = daemon.command(&["search", "--pattern", bad])?;
        assert_eq!(refused.code, USAGE, "{}", refused.document);
        assert!(refused.document.to_string().contains(said), "{}", refused.document);
    }

    // What an indicator looks for is read when it is written.
    let indicator = [&new[..], &["object", "--set", "type=indicator", "--set"]].concat();
    let refused = daemon.command(&[&indicator[..], &["pattern=[vehicle:plate = 'X'"]].concat())?;
    assert_eq!(refused.code, USAGE, "{}", refused.document);
    assert!(refused.document.to_string().contains("at character 21"), "{}", refused.document);
    let written = daemon.command(&[&indicator[..], &["pattern=[vehicle:plate = 'X']"]].concat())?;
    assert_eq!(written.code, DONE, "{}", written.document);
    Ok(())
}
