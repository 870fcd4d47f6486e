//! What the documents must hold: decisions in one form, a changelog in one form, links that lead
//! somewhere, and the commands of the README.

use std::path::{Component, Path, PathBuf};

use tearline_crdt::record::vocabulary::{Purpose, Vocabulary as _};

use crate::assert_none;
use crate::workspace::{self, Text};

/// The commands that a newcomer runs on a machine with the Rust toolchain and a C compiler.
const README_COMMANDS: [&str; 2] = ["cargo run --release -- demo", "cargo test --workspace"];

const ADR_HEADINGS: [&str; 4] = ["## Context", "## Options", "## Decision", "## Consequences"];

/// Keep a Changelog 1.1.0.
const CHANGE_KINDS: [&str; 6] =
    ["### Added", "### Changed", "### Deprecated", "### Removed", "### Fixed", "### Security"];

#[test]
fn every_decision_record_has_its_four_headings() {
    let records: Vec<Text> =
        workspace::texts().into_iter().filter(|file| is_decision(&file.path)).collect();
    assert!(!records.is_empty(), "docs/adr was not found");
    assert_none(&records.iter().flat_map(decision_findings).collect::<Vec<_>>());
    for (number, record) in (1..).zip(&records) {
        assert!(
            record.path.starts_with(&format!("docs/adr/{number:04}-")),
            "decision records are numbered without gaps: {}",
            record.path
        );
    }
    let bad = Text { path: "docs/adr/0001-x.md".to_owned(), text: "# 2. X".to_owned() };
    assert_eq!(decision_findings(&bad).len(), 1 + ADR_HEADINGS.len());
}

#[test]
fn the_changelog_keeps_its_form() {
    assert_none(&changelog_findings(&workspace::read("CHANGELOG.md")));
    let good = "# Changelog\n\n## [Unreleased]\n\n### Added\n- x\n\n## [0.1.0] - 2026-01-31\n";
    assert_none(&changelog_findings(good));
    for bad in [
        "",
        "# Changelog\n",
        "# Changelog\n## [Unreleased]\n### News\n",
        "# Changelog\n## [Unreleased]\n## 0.1.0\n",
        "# Changelog\n## [Unreleased]\n## [0.1.0] - 31.1.2026\n",
    ] {
        assert!(!changelog_findings(bad).is_empty(), "{bad:?}");
    }
}

#[test]
fn relative_links_lead_to_files() {
    let texts = workspace::texts();
    let pages: Vec<&Text> = texts.iter().filter(|file| file.is("md")).collect();
    assert!(pages.iter().any(|page| page.path == "README.md"), "README.md was not found");
    let exists = |path: &Path| workspace::root().join(path).exists();
    assert_none(&pages.iter().flat_map(|page| dead_links(page, &exists)).collect::<Vec<_>>());
    let text = "[a](b.md#c) [d](https://example.org) [e](#f) `[g](h.md)`\n```\n[i](j.md)\n```\n";
    let page = Text { path: "docs/x.md".to_owned(), text: text.to_owned() };
    assert_eq!(dead_links(&page, &|path| path == Path::new("docs/b.md")).len(), 0);
    assert_eq!(dead_links(&page, &|_| false).len(), 1);
}

#[test]
fn the_readme_names_the_two_commands() {
    let readme = workspace::read("README.md");
    for command in README_COMMANDS {
        assert!(readme.contains(command), "README.md does not say `{command}`");
    }
}

/// Whoever mints a pass must name a purpose, and finds all of them in one place.
#[test]
fn every_purpose_of_a_pass_is_listed() {
    let page = workspace::read("docs/operating.md");
    let list = page.split("\n\n").find(|part| part.starts_with("`--purpose` must be named"));
    let list = list.expect("docs/operating.md does not list the purposes of passes");
    // Every second part lies between backticks; the first is the flag, and the last an example.
    let mut words: Vec<&str> = list.split('`').skip(1).step_by(2).skip(1).collect();
    assert_eq!(words.pop(), Some("purpose=SAR"));
    assert_eq!(words, Purpose::WORDS);
}

fn is_decision(path: &str) -> bool {
    path.strip_prefix("docs/adr/")
        .is_some_and(|name| name.starts_with(|c: char| c.is_ascii_digit()) && name.ends_with(".md"))
}

fn decision_findings(file: &Text) -> Vec<String> {
    let path = &file.path;
    let mut findings = Vec::new();
    let number = path.trim_start_matches("docs/adr/").split('-').next().unwrap_or_default();
    let number = number.trim_start_matches('0');
    if !file.text.starts_with(&format!("# {number}. ")) {
        findings.push(format!("{path}: does not begin with \"# {number}. \" and its title"));
    }
    for heading in ADR_HEADINGS {
        if !file.text.lines().any(|line| line == heading) {
            findings.push(format!("{path}: has no \"{heading}\""));
        }
    }
    findings
}

fn changelog_findings(text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    if !text.starts_with("# Changelog\n") {
        findings.push("CHANGELOG.md does not begin with \"# Changelog\"".to_owned());
    }
    let releases: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
    if releases.first() != Some(&"## [Unreleased]") {
        findings.push("CHANGELOG.md: the first release is not \"## [Unreleased]\"".to_owned());
    }
    for release in releases.iter().skip(1) {
        if !is_release(release) {
            findings
                .push(format!("CHANGELOG.md: \"{release}\" is not \"## [x.y.z] - YYYY-MM-DD\""));
        }
    }
    for line in text.lines().filter(|line| line.starts_with("### ")) {
        if !CHANGE_KINDS.contains(&line) {
            findings.push(format!("CHANGELOG.md: \"{line}\" is not a kind of change"));
        }
    }
    findings
}

fn is_release(line: &str) -> bool {
    let parts = line.strip_prefix("## [").and_then(|rest| rest.split_once("] - "));
    let Some((version, date)) = parts else { return false };
    let shape: String = date.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    let numbers: Vec<&str> = version.split('.').collect();
    shape == "9999-99-99" && numbers.len() == 3 && numbers.iter().all(|n| n.parse::<u32>().is_ok())
}

fn dead_links(page: &Text, exists: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let folder = Path::new(&page.path).parent().unwrap_or(Path::new(""));
    let mut findings = Vec::new();
    let mut fenced = false;
    for (number, line) in (1..).zip(page.text.lines()) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        // Every second part lies between backticks.
        for prose in line.split('`').step_by(2) {
            for target in targets(prose) {
                let file = target.split('#').next().unwrap_or_default();
                if file.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                if !exists(&normal(&folder.join(file))) {
                    findings.push(format!("{}:{number}: {target} leads nowhere", page.path));
                }
            }
        }
    }
    findings
}

/// The targets of `[text](target)` in a line.
fn targets(prose: &str) -> impl Iterator<Item = &str> {
    prose.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                parts.pop();
            }
            Component::CurDir => {}
            other => parts.push(other),
        }
    }
    parts
}
