//! How the tree and its source files look.

use std::path::Path;

use crate::assert_none;
use crate::workspace::{self, Text};

/// Everything that may lie at the top.
const TOP_LEVEL: [&str; 20] = [
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SECURITY.md",
    "clippy.toml",
    "crdt",
    "deny.toml",
    "docs",
    "mesh",
    "node",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "simulations",
    "tests",
];

const RUST_LINES_MAX: usize = 800;

/// Words that mark unfinished work, in two halves so that this list does not find itself.
const UNFINISHED: [(&str, &str); 7] = [
    ("to", "do!"),
    ("unimple", "mented!"),
    ("FIX", "ME"),
    ("place", "holder"),
    ("for", " now"),
    ("simpl", "ified"),
    ("in a", " real"),
];

/// The beginning of paths that exist on one machine only, in two halves likewise.
const MACHINE_PATHS: [(&str, &str); 3] = [("/wo", "rk/"), ("/ro", "ot/"), ("/ho", "me/")];

#[test]
fn only_the_usual_entries_lie_at_the_top() {
    assert_none(&strange_entries(&workspace::paths()));
    assert_eq!(strange_entries(&["notes.txt".to_owned(), "crdt/src/lib.rs".to_owned()]).len(), 1);
}

#[test]
fn rust_files_are_short_documented_and_allow_nothing() {
    let texts = workspace::texts();
    let rust: Vec<&Text> = texts.iter().filter(|file| file.is("rs")).collect();
    assert!(rust.len() > 10, "the sources were not found");
    assert_none(&rust.iter().flat_map(|file| rust_findings(file)).collect::<Vec<_>>());
}

#[test]
fn a_bad_rust_file_is_caught() {
    let findings = |text: String| rust_findings(&Text { path: "x.rs".to_owned(), text }).len();
    let lines = |count| format!("//! Doc.\n{}", "\n".repeat(count));
    assert_eq!(findings(lines(RUST_LINES_MAX - 1)), 0);
    assert_eq!(findings(lines(RUST_LINES_MAX)), 1, "too long");
    assert_eq!(findings("fn main() {}".to_owned()), 1, "no module documentation");
    for attribute in ["#[", "#![", "#[cfg_attr(test, "] {
        let line = format!("{attribute}{}dead_code)]", concat!("al", "low("));
        assert_eq!(findings(format!("//! Doc.\n{line}\n")), 1, "{line}");
    }
    let marker = concat!("X", "XX");
    assert_eq!(findings(format!("//! Doc.\n// {marker} look again\n")), 1);
    assert_eq!(findings(format!("//! Doc.\nlet unspecified = \"{marker}\";\n")), 0);
}

#[test]
fn nothing_is_left_unfinished_and_no_path_of_a_machine_is_named() {
    let texts = workspace::texts();
    assert_none(&texts.iter().flat_map(word_findings).collect::<Vec<_>>());
    for (first, second) in UNFINISHED.into_iter().chain(MACHINE_PATHS) {
        let text = format!("a line\nwith {first}{second} in it\n");
        assert_eq!(word_findings(&Text { path: "x.md".to_owned(), text }).len(), 1, "{second}");
    }
    let text = "she looks for nowhere in a realm of forms".to_owned();
    assert_none(&word_findings(&Text { path: "x.rs".to_owned(), text }));
}

#[test]
fn every_member_takes_the_lints_of_the_workspace() {
    let root = workspace::toml("Cargo.toml");
    let workspace = root.get("workspace");
    let rust = workspace.and_then(|w| w.get("lints")).and_then(|lints| lints.get("rust"));
    assert_eq!(
        rust.and_then(|lints| lints.get("unsafe_code")).and_then(toml::Value::as_str),
        Some("forbid"),
    );
    let members = workspace.and_then(|w| w.get("members")).and_then(toml::Value::as_array);
    let names: Vec<&str> = members.into_iter().flatten().filter_map(toml::Value::as_str).collect();
    assert_eq!(names.len(), 5, "{names:?}");
    for name in names {
        assert!(takes_lints(&workspace::toml(&format!("{name}/Cargo.toml"))), "{name}");
    }
    assert!(!takes_lints(&toml::Table::new()));
}

#[test]
fn panics_can_be_caught_in_a_release_build() {
    // The gate catches Automerge's panics; `panic = "abort"` would silently switch it off.
    let profile = workspace::toml("Cargo.toml");
    let release = profile.get("profile").and_then(|p| p.get("release"));
    assert_eq!(release.and_then(|r| r.get("panic")).and_then(toml::Value::as_str), Some("unwind"));
}

fn strange_entries(paths: &[String]) -> Vec<String> {
    let mut tops: Vec<&str> = paths.iter().filter_map(|path| path.split('/').next()).collect();
    tops.dedup();
    tops.into_iter()
        .filter(|top| !TOP_LEVEL.contains(top))
        .map(|top| format!("{top} does not belong at the top of the repository"))
        .collect()
}

fn rust_findings(file: &Text) -> Vec<String> {
    let path = &file.path;
    let mut findings = Vec::new();
    let lines = file.text.lines().count();
    if lines > RUST_LINES_MAX {
        findings.push(format!("{path}: {lines} lines, more than {RUST_LINES_MAX}"));
    }
    if !file.text.starts_with("//! ") {
        findings.push(format!("{path}: does not begin with //! and what the module is for"));
    }
    for (number, line) in (1..).zip(file.text.lines()) {
        let line = line.trim_start();
        let attribute = line.starts_with("#[") || line.starts_with("#![");
        if attribute && line.contains(concat!("al", "low(")) {
            findings.push(format!("{path}:{number}: #[expect(lint, reason = ...)] instead"));
        }
        // In data it is the code of an unspecified nationality; in a comment it is a mark.
        let comment = line.split_once("//").map_or("", |(_, comment)| comment);
        if comment.contains(concat!("X", "XX")) {
            findings.push(format!("{path}:{number}: a mark of unfinished work"));
        }
    }
    findings
}

fn word_findings(file: &Text) -> Vec<String> {
    // Data files hold other people's words.
    if Path::new(&file.path).extension().is_some_and(|e| e == "json") {
        return Vec::new();
    }
    let lower = |text: &str| text.to_lowercase();
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        for (first, second) in UNFINISHED {
            let word = lower(&format!("{first}{second}"));
            if contains_word(&lower(line), &word) {
                findings.push(format!("{}:{number}: \"{first}{second}\"", file.path));
            }
        }
        for (first, second) in MACHINE_PATHS {
            if line.contains(&format!("{first}{second}")) {
                findings.push(format!("{}:{number}: a path of one machine", file.path));
            }
        }
    }
    findings
}

/// Whether `word` stands in `line` and is not the beginning or end of a longer word.
fn contains_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|part| part.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|part| part.chars().next());
        let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        !letter(before) && (!letter(after) || !word.ends_with(char::is_alphanumeric))
    })
}

fn takes_lints(manifest: &toml::Table) -> bool {
    let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
    lints.and_then(toml::Value::as_bool) == Some(true)
}
