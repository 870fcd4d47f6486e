//! Attachments on the shipped binary: what a camera says stays at home, the thumbnail comes with the record,
//! the file on request, and all of it goes with the record.

use std::fs;
use std::io;

use serde_json::{Value, json};

use crate::trust::{DONE, NOT_FOUND, Pair, USAGE, done, pair, path, sighting, text, until};

/// A PNG of one pixel.
const PIXEL: [u8; 70] = [
    137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 1, 0, 0, 0, 1, 8, 6, 0,
    0, 0, 31, 21, 196, 137, 0, 0, 0, 13, 73, 68, 65, 84, 120, 218, 99, 100, 248, 207, 80, 15, 0, 3,
    134, 1, 128, 90, 52, 125, 107, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130,
];
/// Where its first chunk ends.
const HEADER: usize = 33;

/// A photo that says who took it, and one that does not.
fn photos() -> (Vec<u8>, Vec<u8>) {
    let plain = PIXEL.to_vec();
    let mut said = plain.clone();
    let author = b"Author\0KILO-4711";
    let chunk = [&(author.len() as u32).to_be_bytes()[..], b"tEXt", author, &[0; 4]].concat();
    said.splice(HEADER..HEADER, chunk);
    (said, plain)
}

fn files(record: &str, daemon: &tearline_tests::daemon::Daemon) -> io::Result<Vec<Value>> {
    let answer = daemon.command(&["record", "attachments", record])?;
    Ok(answer.document["attachments"].as_array().cloned().unwrap_or_default())
}

#[test]
fn a_photo_travels_stripped_on_request_and_goes_with_its_record() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { guard, customs } = pair(folder.path())?;
    let (said, plain) = photos();
    let [photo, paper, out] =
        ["photo.png", "paper.pdf", "out"].map(|name| path(folder.path(), name));
    fs::write(&photo, &said)?;
    let large: Vec<u8> =
        (0..1_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(&paper, &large)?;
    let record = sighting(&guard, "with a photo")?;

    let attached = done(guard.command(&["record", "attach", &record, &photo])?);
    assert_eq!(
        (&attached["name"], &attached["media_type"], &attached["bytes"]),
        (&json!("photo.png"), &json!("image/png"), &json!(plain.len()))
    );
    assert!(!text(&attached["thumbnail"]).is_empty());
    assert_eq!(
        guard.command(&["record", "attach", &record, &photo])?.code,
        USAGE,
        "its name is taken"
    );
    assert_eq!(guard.command(&["record", "attach", &record, &paper])?.code, USAGE, "not as it is");
    done(guard.command(&["record", "attach", &record, &paper, "--as-is"])?);

    // What the record says of them comes by itself, and no more.
    until(|| Ok(files(&record, &customs)?.len() == 2))?;
    for file in files(&record, &customs)? {
        assert_eq!(file["held_bytes"], 0, "{file}");
    }
    let shown = done(customs.command(&["record", "show", &record])?);
    assert_eq!(shown["fields"]["attachments"], json!(["paper.pdf", "photo.png"]), "{shown}");
    assert!(!shown.to_string().contains("\"key\""), "{shown}");
    assert_eq!(
        customs.command(&["record", "fetch", &record, "other", "-o", &out])?.code,
        NOT_FOUND
    );
    for (name, expected) in [("photo.png", &plain), ("paper.pdf", &large)] {
        done(customs.command(&["record", "fetch", &record, name, "-o", &out])?);
        assert!(fs::read(&out)? == *expected, "{name}");
    }

    // To others they are artifacts.
    let stix = path(folder.path(), "all.json");
    done(customs.command(&["export", "--format", "stix", "--out", &stix])?);
    let bundle: Value = serde_json::from_slice(&fs::read(&stix)?)?;
    let objects = bundle["objects"].as_array().cloned().unwrap_or_default();
    let types: Vec<&str> = objects.iter().map(|object| text(&object["type"])).collect();
    assert_eq!(types.iter().filter(|name| **name == "artifact").count(), 2, "{types:?}");
    assert_eq!(types.iter().filter(|name| **name == "relationship").count(), 2, "{types:?}");

    // They go with their record.
    done(guard.command(&["record", "erase", &record, "--basis", "Article 17"])?);
    until(|| Ok(customs.command(&["record", "attachments", &record])?.code == NOT_FOUND))?;
    assert_eq!(
        customs.command(&["record", "fetch", &record, "photo.png", "-o", &out])?.code,
        NOT_FOUND
    );
    assert_eq!(guard.command(&["status"])?.code, DONE);
    Ok(())
}
