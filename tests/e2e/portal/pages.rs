//! What pages are made of: well-formed, held together by tokens, in every language, whatever records say.

use roxmltree::{Document, Node};
use serde_json::json;

use super::{Browser, Stage, done, text};

/// What people have broken pages with.
const HOSTILE: [&str; 12] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "javascript:alert(1)",
    "{{7*7}}{% raw %}",
    "<!--<svg/onload=alert(1)>",
    "]]><script>alert(1)</script>",
    "&lt;b&gt; &amp; &#60;",
    "\u{202e}gnp.exe\u{2066}",
    "<style>*{display:none}</style>",
];

/// What pages are not made of.
const FORBIDDEN: [&str; 7] = ["style", "iframe", "object", "embed", "base", "template", "noscript"];

pub(super) fn check(path: &str, body: &str) {
    let text =
        body.strip_prefix("<!DOCTYPE html>\n").unwrap_or_else(|| panic!("{path}: no doctype"));
    let page = Document::parse(text).unwrap_or_else(|error| panic!("{path}: {error}\n{text}"));
    let of = |name: &'static str| page.descendants().filter(move |node| node.has_tag_name(name));
    let is = |node: &Node<'_, '_>, name: &str| node.tag_name().name() == name;
    assert_eq!(of("h1").count(), 1, "{path}: one heading of the first order");
    for landmark in ["main", "header"] {
        assert_eq!(of(landmark).count(), 1, "{path}: {landmark}");
    }
    let skip = page.descendants().find(|node| is(node, "a")).and_then(|a| a.attribute("href"));
    assert_eq!(skip, Some("#main"), "{path}: the first link skips to the content");
    // One script, which is ours and stands in no page.
    let scripts: Vec<Node<'_, '_>> = of("script").collect();
    let own = |script: &Node<'_, '_>| {
        script.attribute("src").is_some_and(|src| src.starts_with("/assets/"))
            && script.text().unwrap_or_default().is_empty()
    };
    assert!(scripts.len() == 1 && scripts.iter().all(own), "{path}: {} scripts", scripts.len());
    let mut ids = std::collections::BTreeSet::new();
    for node in page.descendants().filter(Node::is_element) {
        let name = node.tag_name().name();
        assert!(!FORBIDDEN.contains(&name), "{path}: <{name}>");
        for attribute in node.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            assert!(!name.starts_with("on") && name != "style", "{path}: {name}={value}");
            if matches!(name, "href" | "src" | "action" | "formaction") {
                let local = value.starts_with('/') && !value.starts_with("//")
                    || value.starts_with('#')
                    || name == "src" && value.starts_with("data:image/jpeg;base64,");
                assert!(local, "{path}: {name}={value}");
            }
            if name == "id" {
                assert!(ids.insert(value.to_owned()), "{path}: two have the id {value}");
            }
        }
        if is(&node, "form") {
            let tokens = node.descendants().filter(|field| field.attribute("name") == Some("csrf"));
            let posts = node.attribute("method") == Some("post");
            assert_eq!(tokens.count(), usize::from(posts), "{path}: a form's token");
        }
    }
    for field in page.descendants().filter(Node::is_element) {
        let visible = matches!(field.tag_name().name(), "input" | "select" | "textarea")
            && field.attribute("type") != Some("hidden");
        if visible {
            let id =
                field.attribute("id").unwrap_or_else(|| panic!("{path}: a field without an id"));
            let labelled = of("label").any(|label| label.attribute("for") == Some(id));
            assert!(labelled, "{path}: {id} has no label");
        }
    }
    for cell in of("th") {
        assert!(cell.attribute("scope").is_some(), "{path}: a heading without a scope");
    }
}

fn walk(browser: &mut Browser, paths: &[String]) {
    for language in ["en", "fr", "ar"] {
        for path in paths {
            let joint = if path.contains('?') { '&' } else { '?' };
            let path = format!("{path}{joint}lang={language}");
            let answer = browser.get(&path).unwrap();
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
            check(&path, &answer.body);
            let direction = if language == "ar" { "rtl" } else { "ltr" };
            let begin = format!("<html lang=\"{language}\" dir=\"{direction}\"");
            assert!(answer.body.contains(&begin), "{path}");
        }
    }
}

#[test]
fn pages_are_well_formed_whatever_records_say() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::new(folder.path()).unwrap();
    let plate = "CT 1234 A";
    let vehicle = stage.record(&["--kind", "vehicle", "--set", &format!("plate={plate}")]).unwrap();
    for (n, hostile) in HOSTILE.iter().enumerate() {
        let name = format!("name={hostile}");
        let content = format!("content={hostile}");
        let refs = format!("object_refs={vehicle}");
        let latitude = format!("latitude={n}");
        stage
            .record(&[
                "--kind",
                "incident",
                "--set",
                &name,
                "--set",
                &latitude,
                "--set",
                "longitude=14.1",
            ])
            .unwrap();
        stage.record(&["--kind", "note", "--set", &content, "--set", &refs]).unwrap();
    }
    let mut officer = stage.operator("<b>Amina</b>", "watch-officer", "RED").unwrap();
    let record = format!("/record/{vehicle}");
    let quoted = super::quote(HOSTILE[0]);
    let paths = [
        "/board",
        "/board?show=all",
        "/records",
        "/map",
        "/timeline",
        &record,
        &format!("{record}/why"),
        &format!("{record}/withhold"),
        &format!("{record}/release"),
        "/releases",
        "/devices",
        "/inbox",
        "/bundles",
        "/new",
        "/new/sighting",
        "/new/travel-document",
        "/new/vehicle",
        "/mesh",
        "/sharing",
        "/settings",
        "/help",
        "/about",
        &format!("/records?q={quoted}"),
        &format!("/map?q={quoted}"),
        "/records?kind=incident&tlp=amber&class=routine&from=2020-01-01&until=2099-12-31",
    ]
    .map(str::to_owned);
    walk(&mut officer, &paths);
    for (path, status) in [
        ("/nowhere", 404),
        ("/audit", 403),
        ("/records?q=%22open", 400),
        ("/records?after=zz", 400),
        ("/records?room=00", 404),
        (&*format!("/record/{}", super::quote(HOSTILE[0])), 404),
        ("/new/<script>", 400),
    ] {
        let answer = officer.get(path).unwrap();
        if status != 400 || answer.body.starts_with("<!") {
            assert_eq!(answer.status, status, "{path}");
            check(path, &answer.body);
        }
    }
    let mut admin = stage.operator("Root", "admin", "RED").unwrap();
    walk(&mut admin, &["/operators".into(), "/mesh".into(), "/sharing".into()]);
    let mut auditor = stage.operator("Moussa", "auditor", "RED").unwrap();
    walk(
        &mut auditor,
        &["/audit".into(), "/audit?event=login".into(), "/audit?operator=%3Cb%3E".into()],
    );
    let verified = auditor.post("/audit/verify", &[]).unwrap();
    check("/audit/verify", &verified.body);
    let mut stranger = Browser::new(&stage.address);
    walk(&mut stranger, &["/login".into(), "/setup".into()]);
}

#[test]
fn a_report_is_written_acknowledged_changed_and_recalled() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::new(folder.path()).unwrap();
    let mut officer = stage.operator("Amina", "watch-officer", "RED").unwrap();
    officer.get("/new/vehicle").unwrap();
    let form = [("tlp", "AMBER"), ("class", "flash"), ("set.plate", "CT 1234 A"), ("act", "try")];
    let written = officer.post("/new/vehicle", &form).unwrap();
    assert_eq!(written.status, 303, "{}", written.body);
    let path = written.header("location").split('?').next().unwrap().to_owned();
    // The same plate again: it is shown first.
    let again = officer.post("/new/vehicle", &form).unwrap();
    assert_eq!(again.status, 200);
    assert!(again.body.contains(&format!("href=\"{path}\"")), "{}", again.body);
    // What is wrong is said, and what was typed is kept.
    let wrong = [("tlp", "AMBER"), ("set.place", "by the lake"), ("set.name", "Amina's <note>")];
    let wrong = officer.post("/new/incident", &wrong).unwrap();
    assert_eq!(wrong.status, 400);
    check("/new/incident", &wrong.body);
    assert!(wrong.body.contains("value=\"by the lake\""), "{}", wrong.body);
    let board = officer.get("/board").unwrap().body;
    let record = path.trim_start_matches("/record/").to_owned();
    let stamp = super::between(&board, "name=\"stamp\" value=\"", "\"").to_owned();
    let mark = |act| [("record", record.as_str()), ("stamp", stamp.as_str()), ("act", act)];
    assert_eq!(officer.post("/board/mark", &mark("acknowledge")).unwrap().status, 303);
    assert!(!officer.get("/board").unwrap().body.contains(&path));
    assert!(officer.get("/board?show=all").unwrap().body.contains(&path));
    assert_eq!(officer.post("/board/mark", &mark("snooze")).unwrap().status, 400, "no reason");
    // It changes, and is back.
    let edit = [("set.plate", "CT 1234 A"), ("set.colour", "white"), ("set.make", "")];
    let edited = officer.post(&format!("{path}/edit"), &edit).unwrap();
    assert!(edited.header("location").ends_with("done=changed"), "{}", edited.body);
    assert!(officer.get("/board").unwrap().body.contains(&path));
    let shown = done(stage.daemon.command(&["record", "show", &record]).unwrap());
    assert_eq!(shown["fields"]["colour"], "white");
    assert_eq!(
        officer.post(&format!("{path}/note"), &[("content", "Sold in March.")]).unwrap().status,
        303
    );
    assert!(officer.get(&path).unwrap().body.contains("Sold in March."));
    let recall = [("said", "recall")];
    assert_eq!(officer.post(&format!("{path}/say"), &recall).unwrap().status, 400, "not sure");
    let recall = [("said", "recall"), ("sure", "yes")];
    assert_eq!(officer.post(&format!("{path}/say"), &recall).unwrap().status, 303);
    assert!(officer.get(&path).unwrap().body.contains("recalled"));
    // All of it is in the log, with who and for what, and the log holds.
    let log = done(stage.daemon.command(&["audit", "show", "--limit", "200"]).unwrap());
    let entries = log["entries"].as_array().cloned().unwrap_or_default();
    for (event, act) in [
        ("collection", "POST /new/{kind}"),
        ("change", "POST /record/{record}/edit"),
        ("consultation", "GET /record/{record}"),
        ("erasure", "POST /record/{record}/say"),
    ] {
        let found = entries.iter().map(|link| &link["entry"]).any(|entry| {
            entry["event"] == event
                && entry["act"] == act
                && entry["operator"] == "Amina"
                && entry["role"] == "watch-officer"
                && entry["purpose"] == "NonSpecified"
                && (event == "collection" || entry["records"] == json!([record]))
        });
        assert!(found, "{event} {act}");
    }
    let verified = done(stage.daemon.command(&["audit", "verify"]).unwrap());
    assert_eq!(verified["faults"], json!([]));
}

#[test]
fn an_exported_log_that_was_altered_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::new(folder.path()).unwrap();
    stage.record(&["--kind", "incident", "--set", "name=a"]).unwrap();
    let file = folder.path().join("log.jsonl");
    let path = file.to_string_lossy().into_owned();
    let exported = done(stage.daemon.command(&["audit", "export", &path]).unwrap());
    assert_eq!(text(&exported["file"]), path);
    done(stage.daemon.command(&["audit", "verify", &path]).unwrap());
    let log = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    std::fs::write(&file, log.replace("\"console\"", "\"somebody\"")).unwrap();
    assert_eq!(stage.daemon.command(&["audit", "verify", &path]).unwrap().code, 9);
    std::fs::write(&file, [&lines[..1], &lines[2..]].concat().join("\n")).unwrap();
    assert_eq!(stage.daemon.command(&["audit", "verify", &path]).unwrap().code, 9);
}
