//! Several sources at once: a daemon that was away gets 20,000 records from two that have them, and hardly a byte twice.

use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tearline_tests::daemon::Daemon;

use crate::trust::{Pair, done, enrolled, pair, path, text, until};

/// Records of each of the two.
const RECORDS: usize = 10_000;
/// How long the build for tests may take for them on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(420);

#[test]
fn twenty_thousand_records_come_from_two_daemons_and_hardly_a_byte_twice() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { guard, customs } = pair(folder.path())?;
    let mut unit = enrolled(folder.path(), &guard, "KILO", &[])?;
    let state = done(customs.command(&["status"])?);
    done(unit.command(&["peer", "add", text(&state["addresses"][0])])?);
    let linked = |unit: &Daemon| -> io::Result<usize> {
        let state = done(unit.command(&["status"])?);
        let peers = state["peers"].as_array().cloned().unwrap_or_default();
        Ok(peers.iter().filter(|peer| peer["state"] == "live").count())
    };
    until(|| Ok(linked(&unit)? == 2))?;
    unit.stop()?;

    let map = path(folder.path(), "map.toml");
    fs::write(&map, "kind = \"sighting\"\n[fields]\ndescription = \"Remark\"\n")?;
    for (daemon, name) in [(&guard, "guard"), (&customs, "customs")] {
        let rows: String = (0..RECORDS).map(|n| format!("white pickup {name} {n}\n")).collect();
        let file = path(folder.path(), &format!("{name}.csv"));
        fs::write(&file, format!("Remark\n{rows}"))?;
        let report =
            done(daemon.command(&["import", "--compartment", "all", "--map", &map, &file])?);
        assert_eq!(report["created"], RECORDS, "{report}");
    }
    within(
        || Ok(records(&guard)? == 2 * RECORDS as u64 && records(&customs)? == records(&guard)?),
    )?;

    unit.start()?;
    let begun = Instant::now();
    within(|| Ok(records(&unit)? == 2 * RECORDS as u64))?;
    let took = begun.elapsed();
    let state = done(unit.command(&["status"])?);
    let [bytes, again] =
        ["carried_bytes", "again_bytes"].map(|count| state[count].as_u64().unwrap_or_default());
    let brought: Vec<Value> = state["peers"].as_array().cloned().unwrap_or_default();
    let brought: Vec<u64> =
        brought.iter().filter_map(|peer| peer["received_bytes"].as_u64()).collect();
    println!("{bytes} bytes of entries in {took:?}, {again} of them again; {brought:?} by link");
    assert!(bytes > 1_000_000 && again * 20 <= bytes, "{again} of {bytes} bytes came again");
    Ok(())
}

/// Records that a daemon shows in the compartment.
fn records(daemon: &Daemon) -> io::Result<u64> {
    let state = done(daemon.command(&["status"])?);
    let compartments = state["compartments"].as_array().cloned().unwrap_or_default();
    let all = compartments.iter().find(|compartment| compartment["name"] == "all");
    Ok(all.and_then(|all| all["records"].as_u64()).unwrap_or_default())
}

#[track_caller]
fn within(mut is_so: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let begun = Instant::now();
    while !is_so()? {
        assert!(begun.elapsed() < WAIT_MAX, "it did not come to be in time");
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}
