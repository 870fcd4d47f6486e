//! What an operator may not see changes nothing that he is answered.

use super::{Browser, Stage, quote};

/// A page without what differs from one moment to the next: the time that it was made at, and ages.
fn still(body: &str) -> String {
    let mut out = String::new();
    let mut rest = body;
    loop {
        let begins =
            ["<p class=\"clock\">", "<p class=\"print-label foot\"", "<span class=\"ago\">"];
        let first = begins.iter().filter_map(|begin| rest.find(begin)).min();
        let Some(at) = first else { return out + rest };
        let (before, behind) = rest.split_at(at);
        out += before;
        let end = if behind.starts_with("<p") { "</p>" } else { "</span>" };
        rest = behind.split_once(end).map_or("", |(_, behind)| behind);
    }
}

/// All that an operator is answered: pages, and what is refused to whoever guesses.
fn answers(browser: &mut Browser, seen: &str, guessed: &str) -> Vec<(String, u16, String)> {
    let mut answers = Vec::new();
    let words = quote("secret smuggler CT9999Z");
    let pages = [
        "/board".to_owned(),
        "/board?show=all".into(),
        "/records".into(),
        "/records?kind=vehicle".into(),
        "/records?tlp=red".into(),
        "/records?class=flash".into(),
        "/records?kind=grouping".into(),
        format!("/records?q={words}"),
        "/records?q=smuggl*".into(),
        "/records?q=near:13.1,14.1,50km".into(),
        "/map".into(),
        "/timeline".into(),
        "/sharing".into(),
        "/help".into(),
        format!("/record/{seen}"),
        format!("/record/{seen}/why"),
        format!("/record/{guessed}"),
        format!("/record/{guessed}/why"),
    ];
    for path in pages {
        let answer = browser.get(&path).unwrap();
        answers.push((path.replace(guessed, "X"), answer.status, still(&answer.body)));
    }
    let record = ("record", guessed);
    let posts: [(String, Vec<(&str, &str)>); 7] = [
        (format!("/record/{guessed}/note"), vec![("content", "a")]),
        (format!("/record/{guessed}/edit"), vec![("set.plate", "a")]),
        (format!("/record/{guessed}/resolve"), vec![("field", "plate"), ("take", "1")]),
        (format!("/record/{guessed}/say"), vec![("said", "recall"), ("sure", "yes")]),
        ("/board/mark".into(), vec![record, ("act", "acknowledge"), ("stamp", "9")]),
        (
            "/new/vehicle".into(),
            vec![("set.plate", "CT 9999 Z"), ("act", "check"), ("tlp", "AMBER")],
        ),
        (
            "/new/person".into(),
            vec![("set.name", "secret smuggler"), ("act", "check"), ("tlp", "AMBER")],
        ),
    ];
    for (path, fields) in posts {
        let answer = browser.post(&path, &fields).unwrap();
        // What he sent is given back to him.
        let body = still(&answer.body).replace(guessed, "X");
        answers.push((path.replace(guessed, "X"), answer.status, body));
    }
    answers
}

#[test]
fn no_answer_tells_of_a_record_that_an_operator_may_not_see() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::new(folder.path()).unwrap();
    let amber = ["--label", "TLP:AMBER"];
    let new =
        |arguments: &[&str], label: &[&str]| stage.record(&[arguments, label].concat()).unwrap();
    let seen = new(&["--kind", "vehicle", "--set", "plate=CT 1234 A"], &amber);
    let mut officer = stage.operator("Amina", "watch-officer", "AMBER").unwrap();
    officer.get("/settings").unwrap();
    let before = answers(&mut officer, &seen, &"0".repeat(32));
    let hidden_labels: [&[&str]; 3] = [
        &["--label", "TLP:RED"],
        &["--label", "TLP:AMBER+STRICT"],
        &["--label", "TLP:AMBER purpose=Immigration"],
    ];
    let refs = format!("object_refs={seen}");
    let of = format!("sighting_of_ref={seen}");
    let kinds: [&[&str]; 4] = [
        &["--kind", "vehicle", "--class", "flash", "--set", "plate=CT 9999 Z"],
        &["--kind", "note", "--set", "content=secret smuggler", "--set", &refs],
        &["--kind", "person", "--class", "immediate", "--set", "name=secret smuggler"],
        &["--kind", "sighting", "--set", &of, "--set", "latitude=13.1", "--set", "longitude=14.1"],
    ];
    let mut hidden = Vec::new();
    for label in hidden_labels {
        for kind in kinds {
            hidden.push(new(kind, label));
            let after = answers(&mut officer, &seen, &hidden[hidden.len() - 1]);
            for (before, after) in before.iter().zip(after) {
                assert_eq!(*before, after, "{kind:?} {label:?}");
            }
        }
    }
    // For their purpose, those that name it are there, and no others.
    let set = officer.post("/purpose", &[("purpose", "Immigration")]).unwrap();
    assert_eq!(set.status, 303);
    for (n, record) in hidden.iter().enumerate() {
        let status = officer.get(&format!("/record/{record}")).unwrap().status;
        assert_eq!(status, if n / kinds.len() == 2 { 200 } else { 404 }, "{n}");
    }
    let mut other = stage.operator("Moussa", "analyst", "RED").unwrap();
    let status = other.get(&format!("/record/{}", hidden[0])).unwrap().status;
    assert_eq!(status, 200, "who may see it does");
}
