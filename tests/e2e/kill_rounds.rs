//! `kill -9` of a writing, syncing daemon at random moments: what was acknowledged is there
//! afterwards, every start succeeds, and in the end both sides hold the same.
//!
//! `TEARLINE_KILLS` sets the number of kills (10 by default). SIGKILL leaves the page cache alone;
//! what a power cut does to unsynced writes is tested in the store's own suite.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tearline_tests::daemon::{Daemon, ask};

/// Longest time that a daemon lives before it is killed, in ms.
const LIFE_MS_MAX: u64 = 250;
/// How long the two may take to agree in the end.
const AGREE_MAX: Duration = Duration::from_secs(120);

#[test]
fn kill_rounds_lose_nothing_that_was_acknowledged() -> io::Result<()> {
    let rounds = std::env::var("TEARLINE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    let folder = tempfile::tempdir()?;
    let mut writer = Daemon::init(folder.path(), "A", "NE")?;
    let mut reader = Daemon::init(folder.path(), "B", "TD")?;
    writer.start()?;
    reader.start()?;
    writer.ask("coalition.create", &json!({ "name": "Drill" }))?;
    let invitation = writer.ask("peer.invite", &json!({ "expires_s": 3600 }))?;
    reader.ask("join", &json!({ "invitation": invitation["invitation"] }))?;
    let opened = writer.ask("compartment.open", &json!({ "name": "all", "rel": ["NE", "TD"] }))?;
    let compartment = opened["compartment"].clone();

    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..rounds {
        let life = Duration::from_millis(5 + pseudo_random(round) % LIFE_MS_MAX);
        let (told, hears) = sync_channel::<(Vec<String>, String)>(1);
        let (socket, target) = (writer.socket(), compartment.clone());
        let writing = thread::spawn(move || {
            let mut done = Vec::new();
            let ended = loop {
                match write_one(&socket, &target, round, done.len()) {
                    Ok(id) => done.push(id),
                    Err(error) => break error.to_string(),
                }
            };
            let _ = told.send((done, ended));
        });
        // The writer writes until its daemon dies under it.
        match hears.recv_timeout(life) {
            Err(RecvTimeoutError::Timeout) => {}
            other => return Err(io::Error::other(format!("writing ended early: {other:?}"))),
        }
        writer.kill()?;
        acknowledged.extend(hears.recv().map_err(io::Error::other)?.0);
        writing.join().map_err(|_| io::Error::other("the writer panicked"))?;
        if round % 5 == 4 {
            reader.kill()?;
            reader.start()?;
        }
        writer.start()?;
        if let Some(last) = acknowledged.last() {
            writer.ask("record.show", &json!({ "record": last }))?;
        }
    }

    let deadline = Instant::now() + AGREE_MAX;
    while digest(&writer)? != digest(&reader).unwrap_or(Value::Null) {
        if Instant::now() > deadline {
            return Err(io::Error::other("the two do not come to agree"));
        }
        thread::yield_now();
    }
    for id in &acknowledged {
        writer.ask("record.show", &json!({ "record": id }))?;
        reader.ask("record.show", &json!({ "record": id }))?;
    }
    println!("{rounds} kills, {} acknowledged records, none lost", acknowledged.len());
    assert!(rounds < 5 || acknowledged.len() > 10, "hardly anything was written");
    Ok(())
}

fn write_one(
    socket: &std::path::Path,
    compartment: &Value,
    round: u64,
    n: usize,
) -> io::Result<String> {
    let written = ask(
        socket,
        "record.new",
        &json!({
            "kind": "vehicle",
            "compartment": compartment,
            "label": "TLP:AMBER",
            "fields": { "plate": format!("{round:03}-{n:04}") },
        }),
    )?;
    written["record"].as_str().map(str::to_owned).ok_or(io::Error::other("no record id"))
}

fn digest(daemon: &Daemon) -> io::Result<Value> {
    let status = daemon.ask("status", &json!({}))?;
    let compartments = status["compartments"].as_array().cloned().unwrap_or_default();
    let all = compartments.into_iter().find(|c| c["name"] == "all");
    Ok(all.map(|c| c["digest"].clone()).unwrap_or(Value::Null))
}

/// Moments that differ from round to round and not from run to run.
fn pseudo_random(round: u64) -> u64 {
    let mut x = round.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 31;
    x.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33
}
