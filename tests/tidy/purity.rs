//! What must not reach the pure crates. `tearline-crdt`, `tearline-mesh` without its `net` feature
//! and the simulator are functions of their arguments; a runtime, a socket or a database among
//! their dependencies would be the first sign that they are not.
//!
//! Automerge itself can draw randomness (for actor ids that we never let it choose), so randomness
//! is checked among our own direct dependencies, and the rest everywhere below.

use crate::assert_none;
use crate::workspace::{self, cargo};

/// Crates that do I/O, keep time or run tasks. Banned anywhere below a pure crate.
const IMPURE_ANYWHERE: [&str; 14] = [
    "async-std",
    "axum",
    "futures-timer",
    "hyper",
    "if-watch",
    "libp2p",
    "mio",
    "quinn",
    "reqwest",
    "rustls",
    "sled",
    "smol",
    "socket2",
    "tokio",
];

/// Crates that a pure crate must not choose by itself.
const IMPURE_DIRECT: [&str; 7] =
    ["chrono", "getrandom", "rand", "rand_core", "tempfile", "time", "uuid"];

/// Bans that the clippy.toml of a pure crate must carry.
const CLIPPY_BANS: [&str; 7] = [
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "std::thread::spawn",
    "std::fs::File::open",
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::sync::mpsc::channel",
];

#[test]
fn no_runtime_socket_or_database_below_the_pure_crates() {
    let trees: [&[&str]; 3] = [
        &["-p", "tearline-crdt"],
        &["-p", "tearline-mesh", "--no-default-features"],
        &["-p", "tearline-simulations"],
    ];
    for package in trees {
        let args = ["tree", "-e", "normal", "--offline", "--locked", "--prefix", "none"];
        let tree = cargo(&[&args[..], package].concat()).expect("cargo tree");
        assert!(tree.contains("automerge"), "the tree of {package:?} was not read:\n{tree}");
        assert_none(&impure(&tree, &package.join(" ")));
    }
}

#[test]
fn the_check_sees_what_is_there() {
    let tree = "tearline-x v0.1.0 (x)\ntokio v1.54.1\nlibp2p-core v0.44.0\ntokenizer v1.0.0\n";
    assert_eq!(impure(tree, "x").len(), 2);
    let args = ["tree", "-p", "tearline-node", "-e", "normal", "--offline", "--locked"];
    let node = cargo(&[&args[..], &["--prefix", "none"]].concat()).expect("cargo tree");
    assert!(!impure(&node, "node").is_empty(), "the node has a runtime, and it was not seen");
}

#[test]
fn the_pure_crates_choose_no_clock_and_no_randomness() {
    for package in ["crdt", "mesh", "simulations"] {
        assert_none(&impure_direct(package, &workspace::toml(&format!("{package}/Cargo.toml"))));
    }
    let bad = "[dependencies]\ngetrandom = \"0.4\"\ntokio = { version = \"1\", optional = true }";
    assert_eq!(impure_direct("x", &bad.parse().expect("TOML")).len(), 1);
}

#[test]
fn clippy_bans_clocks_threads_files_and_unordered_maps_there() {
    for package in ["crdt", "mesh", "simulations"] {
        let bans = workspace::read(&format!("{package}/clippy.toml"));
        for ban in CLIPPY_BANS {
            assert!(bans.contains(&format!("\"{ban}\"")), "{package}/clippy.toml lost {ban}");
        }
    }
}

fn impure(tree: &str, of: &str) -> Vec<String> {
    tree.lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| {
            IMPURE_ANYWHERE.iter().any(|bad| {
                name.strip_prefix(bad).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            })
        })
        .map(|name| format!("{of} reaches {name}"))
        .collect()
}

/// Direct dependencies that are always built (an optional one belongs to a feature).
fn impure_direct(package: &str, manifest: &toml::Table) -> Vec<String> {
    manifest
        .get("dependencies")
        .and_then(toml::Value::as_table)
        .into_iter()
        .flatten()
        .filter(|(_, spec)| spec.get("optional").and_then(toml::Value::as_bool) != Some(true))
        .filter(|(name, _)| {
            IMPURE_DIRECT.contains(&name.as_str()) || IMPURE_ANYWHERE.contains(&name.as_str())
        })
        .map(|(name, _)| format!("{package} depends on {name}"))
        .collect()
}
