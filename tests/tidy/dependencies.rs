//! What Cargo.lock may hold. `deny.toml` is the one list of bans and version floors; cargo-deny
//! reads it where it is installed, and this test reads it everywhere. Most floors stand for
//! faults that no advisory database lists, so a clean audit says nothing about them.

use crate::assert_none;
use crate::workspace;

/// Families that are banned by the beginning of their name, which cargo-deny cannot express.
const BANNED_FAMILIES: [(&str, &str); 2] = [
    ("pqcrypto", "PQClean is archived: RUSTSEC-2024-0381, RUSTSEC-2026-0161"),
    ("libcrux", "a dozen advisories in 2026; needs a review of its own first"),
];

/// Floors that must never be dropped from `deny.toml`: the bytes of a stranger reach these first.
const FLOORS_AT_LEAST: [&str; 6] =
    ["libp2p-yamux", "yamux", "quinn-proto", "rustls-webpki", "snow", "libp2p-gossipsub"];

/// A row of `bans.deny`.
#[derive(Debug, Eq, PartialEq)]
struct Ban {
    name: String,
    /// Versions below it are banned; without it, all are.
    floor: Option<Version>,
    reason: String,
}

/// `major.minor.patch`, and whether it is a release (a pre-release sorts below its release).
type Version = (u64, u64, u64, bool);

#[test]
fn nothing_below_a_floor_and_nothing_banned() {
    let bans = bans(&workspace::toml("deny.toml"));
    let lock = locked(&workspace::toml("Cargo.lock"));
    assert!(lock.len() > 50, "Cargo.lock was not read: {} packages", lock.len());
    assert_none(&broken_bans(&bans, &lock));
}

#[test]
fn the_floors_that_matter_are_in_the_list() {
    let bans = bans(&workspace::toml("deny.toml"));
    for name in FLOORS_AT_LEAST {
        assert!(
            bans.iter().any(|ban| ban.name == name && ban.floor.is_some()),
            "deny.toml has lost its floor for {name}"
        );
    }
}

#[test]
fn everything_comes_from_crates_io() {
    assert_none(&foreign_sources(&workspace::toml("Cargo.lock")));
}

#[test]
fn each_floor_and_ban_catches_a_lock_that_breaks_it() {
    let bans = bans(&workspace::toml("deny.toml"));
    for ban in &bans {
        let below = match ban.floor {
            Some((major, minor, patch, _)) => (major, minor, patch, false),
            None => (9, 9, 9, true),
        };
        let found = broken_bans(&bans, &[(ban.name.clone(), below)]);
        assert!(!found.is_empty(), "{ban:?} let {below:?} pass");
        if let Some(floor) = ban.floor {
            assert_none(&broken_bans(&bans, &[(ban.name.clone(), floor)]));
        }
    }
    assert!(!broken_bans(&[], &[("libcrux-psq".to_owned(), (1, 0, 0, true))]).is_empty());
}

#[test]
fn a_foreign_source_is_caught() {
    let lock =
        "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"git+https://example.org/a\"";
    assert_eq!(foreign_sources(&lock.parse().expect("TOML")).len(), 1);
}

#[test]
fn versions_sort_as_cargo_sorts_them() {
    assert!(version("0.13.9") < version("0.13.10"));
    assert!(version("1.0.0-alpha.2") < version("1.0.0"));
    assert_eq!(version("0.12.1+wasi-0.2"), Some((0, 12, 1, true)));
    assert_eq!(version("one"), None);
}

fn broken_bans(bans: &[Ban], lock: &[(String, Version)]) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, version) in lock {
        for ban in bans.iter().filter(|ban| ban.name == *name) {
            match ban.floor {
                Some(floor) if *version < floor => {
                    findings.push(format!("{name} {version:?} is below {floor:?}: {}", ban.reason));
                }
                Some(_) => {}
                None => findings.push(format!("{name} is banned: {}", ban.reason)),
            }
        }
        for (family, reason) in BANNED_FAMILIES {
            if name.starts_with(family) {
                findings.push(format!("{name} is banned: {reason}"));
            }
        }
    }
    findings
}

fn bans(deny: &toml::Table) -> Vec<Ban> {
    let rows = deny.get("bans").and_then(|bans| bans.get("deny")).and_then(toml::Value::as_array);
    rows.into_iter()
        .flatten()
        .filter_map(|row| {
            let spec = row.get("crate")?.as_str()?;
            let text = |key: &str| row.get(key).and_then(toml::Value::as_str);
            let reason = text("reason").or_else(|| text("use-instead"))?.to_owned();
            let (name, floor) = match spec.split_once(":<") {
                Some((name, floor)) => (name, Some(version(floor)?)),
                None => (spec, None),
            };
            Some(Ban { name: name.to_owned(), floor, reason })
        })
        .collect()
}

fn locked(lock: &toml::Table) -> Vec<(String, Version)> {
    packages(lock)
        .filter_map(|package| {
            let name = package.get("name")?.as_str()?;
            Some((name.to_owned(), version(package.get("version")?.as_str()?)?))
        })
        .collect()
}

fn foreign_sources(lock: &toml::Table) -> Vec<String> {
    packages(lock)
        .filter_map(|package| {
            let source = package.get("source")?.as_str()?;
            let known = source == "registry+https://github.com/rust-lang/crates.io-index";
            (!known).then(|| format!("{:?} comes from {source}", package.get("name")))
        })
        .collect()
}

fn packages(lock: &toml::Table) -> impl Iterator<Item = &toml::Value> {
    lock.get("package").and_then(toml::Value::as_array).into_iter().flatten()
}

fn version(text: &str) -> Option<Version> {
    let text = text.split('+').next()?;
    let (numbers, release) = match text.split_once('-') {
        Some((numbers, _)) => (numbers, false),
        None => (text, true),
    };
    let mut numbers = numbers.split('.').map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()??, release))
}
