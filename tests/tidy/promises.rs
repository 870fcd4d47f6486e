//! What the documents promise, a test shows: every test that a page names is there, and no promise of the
//! threat model stands without one.

use crate::assert_none;
use crate::workspace::{self, Text};

const THREATS: &str = "docs/threat-model.md";
/// The part of the threat model whose paragraphs are promises.
const PROMISES: &str = "## What holds in this version";
/// How the list of a promise's tests begins, each behind the path of its file.
const SHOWN: &str = "Shown by ";

#[test]
fn every_promise_of_the_threat_model_names_tests_that_are_there() {
    let sources = sources();
    let page = workspace::read(THREATS);
    assert!(promises(&page).len() > 10, "{THREATS} has no promises");
    assert_none(&promise_findings(&page, &sources));
    let source = |text: &str| Text { path: "a/b.rs".to_owned(), text: text.to_owned() };
    let sources = [source("#[test]\nfn holds() {}\nfn helper() {}\n")];
    let page = |shown: &str| {
        format!("# T\n{PROMISES}\n\n**A.** It holds.\n{shown}\n\n## Else\n\n**B.** No.\n")
    };
    assert_none(&promise_findings(&page("Shown by `a/b.rs` `holds`."), &sources));
    for bad in [
        "",
        "Shown by nothing.",
        "Shown by `a/b.rs`.",
        "Shown by `holds`.",
        "Shown by `a/c.rs` `holds`.",
        "Shown by `a/b.rs` `hold`.",
        "Shown by `a/b.rs` `helper`.",
        "Shown by `a/b.rs` `holds`, `gone`.",
    ] {
        assert_eq!(promise_findings(&page(bad), &sources).len(), 1, "{bad:?}");
    }
}

#[test]
fn every_test_that_a_table_names_is_there() {
    let sources = sources();
    let pages: Vec<Text> = workspace::texts()
        .into_iter()
        .filter(|file| file.is("md") && file.path.starts_with("docs/"))
        .collect();
    let named: usize = pages.iter().map(|page| tabled(&page.text).len()).sum();
    assert!(named > 20, "no table names tests");
    assert_none(&pages.iter().flat_map(|page| table_findings(page, &sources)).collect::<Vec<_>>());
    let text = "| misdeed | test |\n|---|---|\n| `x` | `holds` |\n| y | `gone` |\n\n| a | b |\n|---|---|\n| c | `d` |\n";
    let page = Text { path: "docs/x.md".to_owned(), text: text.to_owned() };
    let source =
        Text { path: "a/b.rs".to_owned(), text: "    #[test]\n    fn holds() {\n".to_owned() };
    let findings = table_findings(&page, &[source]);
    assert_eq!(findings, ["docs/x.md: there is no test `gone`"]);
}

fn sources() -> Vec<Text> {
    let sources: Vec<Text> = workspace::texts().into_iter().filter(|file| file.is("rs")).collect();
    assert!(!sources.is_empty(), "no sources were found");
    sources
}

/// The promises: title, and the list of their tests.
fn promises(page: &str) -> Vec<(&str, Option<&str>)> {
    let part = page.split_once(PROMISES).map_or("", |(_, rest)| rest);
    let part = part.split("\n## ").next().unwrap_or_default();
    let begun = part.split("\n**").skip(1);
    begun
        .map(|promise| {
            let title = promise.split("**").next().unwrap_or_default();
            let shown = promise.rsplit_once(&format!("\n{SHOWN}"));
            (title, shown.map(|(_, shown)| shown))
        })
        .collect()
}

fn promise_findings(page: &str, sources: &[Text]) -> Vec<String> {
    let mut findings = Vec::new();
    for (title, shown) in promises(page) {
        if let Err(what) =
            shown.map_or(Err("no test".to_owned()), |shown| are_there(shown, sources))
        {
            findings.push(format!("{THREATS}: \"{title}\" names {what}"));
        }
    }
    findings
}

/// Whether a list names tests, each in the file before it.
fn are_there(shown: &str, sources: &[Text]) -> Result<(), String> {
    let mut file = None;
    let mut count = 0;
    for name in spans(shown) {
        if name.ends_with(".rs") {
            file = sources.iter().find(|source| source.path == name);
            if file.is_none() {
                return Err(format!("no file: `{name}`"));
            }
        } else if file.is_some_and(|file| has_test(file, name)) {
            count += 1;
        } else {
            return Err(format!("a test that is not there: `{name}`"));
        }
    }
    if count == 0 { Err("no test".to_owned()) } else { Ok(()) }
}

/// The tests that tables name whose last column is headed so.
fn tabled(text: &str) -> Vec<&str> {
    let mut named = Vec::new();
    let mut in_table = false;
    for line in text.lines() {
        let last = line.strip_prefix('|').and_then(|row| row.trim_end().strip_suffix('|'));
        let last = last.and_then(|row| row.rsplit('|').next()).map(str::trim);
        match last {
            None => in_table = false,
            Some("test") => in_table = true,
            Some(cell) if in_table => named.extend(spans(cell)),
            Some(_) => {}
        }
    }
    named
}

fn table_findings(page: &Text, sources: &[Text]) -> Vec<String> {
    let missing = |name: &&str| !sources.iter().any(|source| has_test(source, name));
    let missing = tabled(&page.text).into_iter().filter(missing);
    missing.map(|name| format!("{}: there is no test `{name}`", page.path)).collect()
}

/// What stands between backticks.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether a source has a test of this name: its attribute stands above it, with no other function
/// between.
fn has_test(source: &Text, name: &str) -> bool {
    let mut marked = false;
    source.text.lines().map(str::trim).any(|line| {
        if line == "#[test]" {
            marked = true;
        }
        let Some(function) = line.strip_prefix("fn ") else { return false };
        let named = function.strip_prefix(name).is_some_and(|rest| rest.starts_with('('));
        std::mem::take(&mut marked) && named
    })
}
