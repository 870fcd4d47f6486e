//! News as they come, drafts, views, and what one shift leaves to the next.

use std::io::BufRead as _;

use super::pages::check;
use super::{Stage, done};

/// The next event of a stream: its name and data.
fn next(stream: &mut impl std::io::BufRead) -> (String, String) {
    let (mut name, mut data) = (String::new(), String::new());
    for line in stream.lines() {
        let line = line.unwrap();
        if let Some(text) = line.strip_prefix("event: ") {
            text.clone_into(&mut name);
        } else if let Some(text) = line.strip_prefix("data: ") {
            text.clone_into(&mut data);
        } else if line.is_empty() && !name.is_empty() {
            return (name, data);
        }
    }
    (name, data)
}

#[test]
fn a_stream_tells_of_what_an_operator_may_see_and_of_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::new(folder.path()).unwrap();
    stage.record(&["--kind", "incident", "--label", "TLP:AMBER", "--set", "name=a"]).unwrap();
    let amina = stage.operator("Amina", "watch-officer", "AMBER").unwrap();
    let (status, mut stream) = amina.open("/events").unwrap();
    assert_eq!(status, 200);
    let first = next(&mut stream);
    assert_eq!(first.0, "news");
    // One that he may not see, and then one that he may: there is one event, and it is of the second.
    stage
        .record(&[
            "--kind", "incident", "--class", "flash", "--label", "TLP:RED", "--set", "name=b",
        ])
        .unwrap();
    let new = ["--kind", "incident", "--class", "flash", "--label", "TLP:AMBER", "--set", "name=c"];
    stage.record(&new).unwrap();
    let second = next(&mut stream);
    assert_eq!(second.0, "news");
    assert_ne!(second.1, first.1);
    assert!(!second.1.contains("\"flash\":0"), "{}", second.1);
    let mut red = stage.operator("Moussa", "viewer", "RED").unwrap();
    red.get("/board").unwrap();
    // What ends a session ends its stream.
    done(stage.daemon.command(&["operator", "role", "Amina", "viewer"]).unwrap());
    stage.record(&["--kind", "incident", "--label", "TLP:AMBER", "--set", "name=d"]).unwrap();
    assert_eq!(next(&mut stream).0, "ended");
    let stranger = super::Browser::new(&stage.address);
    assert_eq!(stranger.open("/events").unwrap().0, 303);
}

#[test]
fn a_draft_is_kept_until_its_report_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::new(folder.path()).unwrap();
    let mut amina = stage.operator("Amina", "analyst", "RED").unwrap();
    amina.get("/new/vehicle").unwrap();
    let typed = [("set.plate", "CT 1234 A"), ("tlp", "GREEN"), ("act", "draft")];
    assert_eq!(amina.post("/new/vehicle/draft", &typed).unwrap().status, 303);
    let form = amina.get("/new/vehicle").unwrap();
    check("/new/vehicle", &form.body);
    assert!(form.body.contains("value=\"CT 1234 A\"") && form.body.contains("This is your draft"));
    assert!(!amina.get("/new/incident").unwrap().body.contains("This is your draft"));
    // It is nobody else's.
    let mut other = stage.operator("Moussa", "analyst", "RED").unwrap();
    assert!(!other.get("/new/vehicle").unwrap().body.contains("CT 1234 A"));
    let write = [("set.plate", "CT 1234 A"), ("tlp", "GREEN"), ("act", "write")];
    assert_eq!(amina.post("/new/vehicle", &write).unwrap().status, 303);
    assert!(!amina.get("/new/vehicle").unwrap().body.contains("This is your draft"));
    // Who comes after under the same name does not find it.
    assert_eq!(amina.post("/new/vehicle/draft", &typed).unwrap().status, 303);
    done(stage.daemon.command(&["operator", "remove", "Amina"]).unwrap());
    let mut next = stage.operator("Amina", "analyst", "RED").unwrap();
    assert!(!next.get("/new/vehicle").unwrap().body.contains("CT 1234 A"));
}

#[test]
fn a_shift_leaves_a_note_to_those_who_see_as_much() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::new(folder.path()).unwrap();
    let mut amina = stage.operator("Amina", "watch-officer", "RED").unwrap();
    amina.get("/board").unwrap();
    let note = [("handover", "KILO calls at six.\n<b>Answer</b>")];
    assert_eq!(amina.post("/board/shift", &note).unwrap().status, 303);
    let mut peer = stage.operator("Moussa", "watch-officer", "RED").unwrap();
    let board = peer.get("/board").unwrap();
    check("/board", &board.body);
    assert!(board.body.contains("KILO calls at six."));
    let mut low = stage.operator("Low", "watch-officer", "AMBER").unwrap();
    assert!(!low.get("/board").unwrap().body.contains("KILO"));
    // Views of the list are an operator's own.
    peer.get("/records").unwrap();
    let view = [("name", "Flash <1>"), ("query", "class=flash&after=1&q=%22a"), ("act", "keep")];
    let kept = peer.post("/records/views", &view).unwrap();
    assert_eq!(
        kept.header("location"),
        "/records?class=flash&q=%22a&done=settings",
        "{}",
        kept.body
    );
    let list = peer.get("/records?kind=incident").unwrap();
    check("/records", &list.body);
    assert!(
        list.body.contains("Flash &#60;1&#62;")
            && list.body.contains("href=\"/records?class=flash&#38;q=%22a\"")
    );
    let remove = [("name", "Flash <1>"), ("act", "remove")];
    assert_eq!(peer.post("/records/views", &remove).unwrap().status, 303);
    assert!(!peer.get("/records").unwrap().body.contains("Flash &#60;1&#62;"));
}
