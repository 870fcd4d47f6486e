//! Every package that can reach a build on this platform has a licence that `deny.toml` allows.
//! cargo-deny checks the same list and reads the licence files too; this reads what the packages
//! declare, through `cargo metadata`, so that it works with the Rust toolchain alone.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::assert_none;
use crate::workspace::{self, cargo};

#[test]
fn every_licence_is_allowed() {
    let allowed = Allowed::read(&workspace::toml("deny.toml"));
    assert_none(&unlicensed(&metadata(), &allowed));
}

#[test]
fn a_licence_that_is_not_allowed_is_caught() {
    let deny =
        "[licenses]\nallow = [\"MIT\"]\nexceptions = [{ crate = \"odd\", allow = [\"ISC\"] }]";
    let allowed = Allowed::read(&deny.parse().expect("TOML"));
    let packages = |name: &str, licence: Value| serde_json::json!({ "packages": [{ "name": name, "license": licence }] });
    assert_none(&unlicensed(&packages("a", "MIT".into()), &allowed));
    assert_none(&unlicensed(&packages("odd", "MIT AND ISC".into()), &allowed));
    for (name, licence) in [("a", "GPL-3.0".into()), ("a", "ISC".into()), ("a", Value::Null)] {
        assert_eq!(unlicensed(&packages(name, licence), &allowed).len(), 1);
    }
    assert!(!unlicensed(&serde_json::json!({}), &allowed).is_empty(), "nothing was read");
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = |id: &str| ["MIT", "ISC", "A WITH x"].contains(&id);
    for good in ["MIT", "MIT OR GPL", "GPL/MIT", "(GPL OR MIT) AND ISC", "A WITH x OR GPL"] {
        assert!(satisfied(good, &allowed), "{good}");
    }
    for bad in ["", "GPL", "MIT AND GPL", "A", "(MIT", "MIT OR", "MIT ISC", "ISC AND (GPL OR A)"] {
        assert!(!satisfied(bad, &allowed), "{bad}");
    }
}

/// What `deny.toml` says about licences.
struct Allowed {
    everywhere: BTreeSet<String>,
    /// (crate, licence)
    exceptions: BTreeSet<(String, String)>,
}

impl Allowed {
    fn read(deny: &toml::Table) -> Self {
        let licences = deny.get("licenses");
        let list = |value: Option<&toml::Value>| -> Vec<toml::Value> {
            value.and_then(toml::Value::as_array).cloned().unwrap_or_default()
        };
        let texts = |value: Option<&toml::Value>| -> Vec<String> {
            list(value).iter().filter_map(toml::Value::as_str).map(str::to_owned).collect()
        };
        let mut exceptions = BTreeSet::new();
        for row in list(licences.and_then(|l| l.get("exceptions"))) {
            let name = row.get("crate").and_then(toml::Value::as_str).unwrap_or_default();
            for licence in texts(row.get("allow")) {
                exceptions.insert((name.to_owned(), licence));
            }
        }
        let everywhere = texts(licences.and_then(|l| l.get("allow"))).into_iter().collect();
        Self { everywhere, exceptions }
    }

    fn has(&self, package: &str, licence: &str) -> bool {
        self.everywhere.contains(licence)
            || self.exceptions.contains(&(package.to_owned(), licence.to_owned()))
    }
}

fn unlicensed(metadata: &Value, allowed: &Allowed) -> Vec<String> {
    let Some(packages) = metadata.get("packages").and_then(Value::as_array) else {
        return vec!["cargo metadata lists no packages".to_owned()];
    };
    packages
        .iter()
        .filter_map(|package| {
            let name = package.get("name").and_then(Value::as_str).unwrap_or_default();
            let licence = package.get("license").and_then(Value::as_str).unwrap_or_default();
            let fine = satisfied(licence, &|id| allowed.has(name, id));
            (!fine).then(|| format!("{name}: the licence \"{licence}\" is not allowed"))
        })
        .collect()
}

/// Metadata of the packages that this platform can build: exactly those that `cargo test` has
/// fetched, so that no network is needed.
fn metadata() -> Value {
    let about = cargo(&["-vV"]).expect("cargo runs");
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host line");
    let args = ["metadata", "--locked", "--format-version", "1", "--filter-platform", host];
    let offline = [&args[..], &["--offline"]].concat();
    let printed = cargo(&offline).or_else(|_| cargo(&args)).expect("cargo metadata");
    serde_json::from_str(&printed).expect("cargo metadata prints JSON")
}

/// Whether a licence expression (SPDX, or the older form with `/` for OR) is met by allowed ids.
fn satisfied(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, allowed };
    parser.any() == Some(true) && parser.words.is_empty()
}

/// `any := all ("OR" all)*`, `all := one ("AND" one)*`, `one := "(" any ")" | id ["WITH" id]`.
struct Parser<'a> {
    words: &'a [&'a str],
    allowed: &'a dyn Fn(&str) -> bool,
}

impl<'a> Parser<'a> {
    fn any(&mut self) -> Option<bool> {
        let mut met = self.all()?;
        while self.take("OR") {
            met |= self.all()?;
        }
        Some(met)
    }

    fn all(&mut self) -> Option<bool> {
        let mut met = self.one()?;
        while self.take("AND") {
            met &= self.one()?;
        }
        Some(met)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let met = self.any()?;
            return self.take(")").then_some(met);
        }
        let id = self.next()?;
        if self.take("WITH") {
            let exception = self.next()?;
            return Some((self.allowed)(&format!("{id} WITH {exception}")));
        }
        Some((self.allowed)(id))
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.words.first() == Some(&word);
        if found {
            self.next();
        }
        found
    }

    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }
}
