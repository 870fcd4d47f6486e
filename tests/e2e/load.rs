//! Load: 20 daemons, each linked to four others, write 50 records a second in all, while one at a time is
//! killed and one parted from all others. Then all hold the same, and every record that was acknowledged.
//!
//! All daemons share the cores of one machine. On two cores the build for tests carried 26 records a second, the
//! release build all 50. So this is short by itself, and the bound is asserted where the length is said, which is
//! for the program as it is shipped:
//! `TEARLINE_PROGRAM=$PWD/target/release/tearline TEARLINE_LOAD_SECONDS=120 cargo test --workspace --test e2e --
//! load_ --nocapture`.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tearline_tests::daemon;
use tearline_tests::proxy::Proxy;

use crate::gossip::{Mesh, SIZE};
use crate::trust::{text, until};

/// How long is written, if nothing else is said.
const SECONDS: u64 = 16;
/// Records a second, in all.
const RECORDS_PER_S: u32 = 50;
/// Who writes for whom: each of so many threads for every so manieth daemon.
const WRITERS: usize = 5;
/// Killed and parted in one round, and how long a round is.
const ROUNDS: [[usize; 2]; 4] = [[3, 16], [0, 9], [12, 5], [18, 1]];
const ROUND: Duration = Duration::from_secs(4);
/// A whole of which the others take their share.
const CLASSES: [&str; 8] =
    ["routine", "routine", "priority", "routine", "routine", "priority", "immediate", "flash"];

/// A line from one daemon to another.
struct Edge {
    ends: [usize; 2],
    proxy: Proxy,
}

#[test]
fn load_with_kills_and_partitions_loses_nothing_that_was_acknowledged() -> io::Result<()> {
    let asked = std::env::var("TEARLINE_LOAD_SECONDS").ok().and_then(|text| text.parse().ok());
    let seconds = asked.unwrap_or(SECONDS);
    let folder = tempfile::tempdir()?;
    let mut edges = Vec::new();
    let mut mesh = Mesh::new(folder.path(), |ends, state| {
        let (port, peer) = tcp(state)?;
        let proxy = Proxy::to(port)?;
        let address = format!("/ip4/127.0.0.1/tcp/{}/p2p/{peer}", proxy.port());
        edges.push(Edge { ends, proxy });
        Ok(Value::from(address))
    })?;
    mesh.takes_shape()?;
    let (written, over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let begun = Instant::now();
    let sockets: Vec<_> = mesh.daemons.iter().map(daemon::Daemon::socket).collect();
    let compartment = mesh.compartment.clone();
    thread::scope(|scope| -> io::Result<()> {
        for writer in 0..WRITERS {
            let (sockets, compartment) = (&sockets, &compartment);
            let (written, over) = (&written, &over);
            scope.spawn(move || {
                let pace = Duration::from_secs(1) * WRITERS as u32 / RECORDS_PER_S;
                let mut due = Instant::now();
                for n in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let by = (n * WRITERS + writer) % SIZE;
                    let draft = json!({
                        "kind": "vehicle",
                        "compartment": compartment,
                        "label": "TLP:AMBER",
                        "fields": { "plate": format!("{writer}-{n:05}") },
                        "class": CLASSES[n % CLASSES.len()],
                    });
                    // Of one that is killed nothing was acknowledged.
                    if let Ok(record) = daemon::ask(&sockets[by], "record.new", &draft) {
                        let record = (by, text(&record["record"]).to_owned());
                        written.lock().unwrap_or_else(PoisonError::into_inner).push(record);
                    }
                    due += pace;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                }
            });
        }
        let mut chaos = || {
            for [killed, parted] in ROUNDS.into_iter().cycle() {
                if begun.elapsed() + ROUND > Duration::from_secs(seconds) {
                    return Ok(());
                }
                let part = |is: bool| {
                    let own = edges.iter().filter(|edge| edge.ends.contains(&parted));
                    own.for_each(|edge| edge.proxy.part(is));
                };
                part(true);
                mesh.count(killed)?;
                mesh.daemons[killed].kill()?;
                thread::sleep(ROUND / 2);
                mesh.daemons[killed].start()?;
                mesh.counted[killed] = [0; 2];
                part(false);
                thread::sleep(ROUND / 2);
            }
            Ok(())
        };
        let outcome = chaos();
        // Less than a round is without kills and partitions.
        thread::sleep(Duration::from_secs(seconds).saturating_sub(begun.elapsed()));
        over.store(true, Ordering::Relaxed);
        outcome
    })?;
    let (took, written) = (begun.elapsed(), written.into_inner().unwrap_or_default());
    let healed = Instant::now();
    until(|| mesh.agrees())?;
    println!(
        "{} records in {} s; all hold the same {} ms after the last",
        written.len(),
        took.as_secs(),
        healed.elapsed().as_millis(),
    );
    // Each is there at another than its writer; that all hold the same was seen.
    for (by, record) in &written {
        mesh.daemons[(by + 1) % SIZE].ask("record.show", &json!({ "record": record }))?;
    }
    assert!(!written.is_empty());
    (0..SIZE).try_for_each(|peer| mesh.count(peer))?;
    let [bytes, again] = mesh.carried;
    println!(
        "{bytes} bytes of entries came, {again} of them again ({} ‰)",
        again * 1_000 / bytes.max(1)
    );
    // The bound is of a mesh that carries the load: where the machine does not, it is said, and not judged.
    let carried = written.len() as u64 >= seconds * u64::from(RECORDS_PER_S) * 9 / 10;
    match (asked.is_some(), carried) {
        (true, false) => {
            println!("SKIPPED: this machine does not carry the load of the bound of 5 %");
        }
        (judged, _) => {
            let percent_max = if judged { 5 } else { 25 };
            assert!(again * 100 <= bytes * percent_max, "{again} of {bytes} bytes came again");
        }
    }
    Ok(())
}

/// The TCP port of a daemon, and its name in addresses.
fn tcp(state: &Value) -> io::Result<(u16, String)> {
    let addresses = state["addresses"].as_array().cloned().unwrap_or_default();
    let tcp = addresses.iter().map(text).find_map(|address| {
        let (port, peer) = address.split_once("/tcp/")?.1.split_once("/p2p/")?;
        Some((port.parse().ok()?, peer.to_owned()))
    });
    tcp.ok_or(io::Error::other("it listens on no TCP port"))
}
