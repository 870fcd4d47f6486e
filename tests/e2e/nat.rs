//! Two peers, each behind a router that translates addresses and lets nothing in, and a relay in the open:
//! `tests/run-netns` makes the namespaces and names them here. Without them nothing is tested, and that is
//! said.

use std::io;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tearline_tests::daemon::{self, Daemon};

use crate::namespaces::places;
use crate::trust::{done, text, until};

const NAT: &str = "TEARLINE_NAT";
const NO_NAT: &str = "no routers here; as root and with nftables, run tests/run-netns";

/// Bytes of the records that go over the direct link.
const CARRIED_BYTES: u64 = 30 * 20_000;

/// Has a daemon listen at addresses of QUIC from its next start on.
fn listen(daemon: &Daemon, addresses: &[String]) -> io::Result<()> {
    let list = json!(addresses).to_string();
    done(daemon.command(&["config", "set", "listen", &list])?);
    Ok(())
}

fn id(daemon: &Daemon) -> io::Result<String> {
    Ok(text(&done(daemon.command(&["id"])?)["device"]).to_owned())
}

/// A founder, another agency, and a relay of the first that has a standing and nothing to store: all are in
/// the open until they know each other.
fn founded(folder: &Path, space: &str, host: &str) -> io::Result<[Daemon; 3]> {
    let at = |port: u16| vec![format!("/ip4/{host}/udp/{port}/quic-v1")];
    let mut guard = Daemon::init(folder, "Border Guard", "NE")?;
    let mut customs = Daemon::init(folder, "Customs", "TD")?;
    let home = folder.join("relay");
    done(daemon::command(&home, &["init", "--unit", "Relay"])?);
    let mut relay = Daemon::at(home)?;
    listen(&guard, &at(4_102))?;
    listen(&customs, &at(4_103))?;
    listen(&relay, &at(4_101))?;
    guard.start_in(space)?;
    customs.start_in(space)?;
    relay.start_in_with(space, &["--relay"])?;
    done(guard.command(&["coalition", "create", "--name", "Drill"])?);
    let invited = done(guard.command(&["device", "enrol", "Relay", "--right", "relay"])?);
    done(relay.command(&["join", text(&invited["invitation"])])?);
    let invited = done(guard.command(&["peer", "invite"])?);
    done(customs.command(&["join", text(&invited["invitation"])])?);
    done(guard.command(&["compartment", "open", "--name", "all", "--rel", "NE,TD"])?);
    done(guard.command(&["grant", "revoke", "Relay", "--compartment", "all"])?);
    let members = |daemon: &Daemon| -> io::Result<usize> {
        let shown = done(daemon.command(&["device", "list"])?);
        Ok(shown["devices"].as_array().map_or(0, Vec::len))
    };
    until(|| Ok(members(&relay)? == 3 && members(&customs)? == 3))?;
    until(|| Ok(customs.command(&["compartment", "show", "all"])?.code == 0))?;
    Ok([guard, customs, relay])
}

/// What a peer says of another.
fn peer(daemon: &Daemon, device: &str) -> io::Result<Value> {
    let peers = done(daemon.command(&["peer", "list"])?);
    let mut peers = peers["peers"].as_array().cloned().unwrap_or_default().into_iter();
    Ok(peers.find(|peer| peer["device"] == device).unwrap_or_default())
}

/// Bytes that came to a host in the open, over the wire between the routers.
fn came_to(space: &str) -> io::Result<u64> {
    let told =
        Command::new("ip").args(["-n", space, "-s", "-j", "link", "show", "wire0"]).output()?;
    let told: Value = serde_json::from_slice(&told.stdout)?;
    let bytes = &told[0]["stats64"]["rx"]["bytes"];
    bytes.as_u64().ok_or_else(|| io::Error::other(format!("no count of bytes: {told}")))
}

fn write(daemon: &Daemon, name: &str, words: usize) -> io::Result<String> {
    let (name, words) = (format!("name={name}"), format!("description={}", "river ".repeat(words)));
    let new = [
        "record",
        "new",
        "--kind",
        "object",
        "--compartment",
        "all",
        "--set",
        &name,
        "--set",
        &words,
    ];
    Ok(text(&done(daemon.command(&new)?)["record"]).to_owned())
}

fn comes(daemon: &Daemon, record: &str) -> io::Result<()> {
    until(|| Ok(daemon.command(&["record", "show", record])?.code == 0))
}

#[test]
fn behind_routers_a_circuit_becomes_a_direct_link() -> io::Result<()> {
    let Some([open, inside, beyond]) = places(NAT, NO_NAT) else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let (space, host) = &open;
    let [mut guard, mut customs, mut relay] = founded(folder.path(), space, host)?;
    let (guard_id, customs_id) = (id(&guard)?, id(&customs)?);
    let at = text(&done(relay.command(&["status"])?)["addresses"][0]).to_owned();
    let circuit = format!("{at}/p2p-circuit");
    for (daemon, (space, host)) in [(&mut guard, &inside), (&mut customs, &beyond)] {
        daemon.stop()?;
        listen(daemon, &[format!("/ip4/{host}/udp/4101/quic-v1"), circuit.clone()])?;
        daemon.start_in(space)?;
        done(daemon.command(&["peer", "add", &at])?);
    }
    // Neither can be dialled: where the other waits is at the relay.
    let peer_of_guard = text(&done(guard.command(&["status"])?)["addresses"][0]).to_owned();
    let peer_of_guard = peer_of_guard.rsplit('/').next().unwrap_or_default().to_owned();
    done(customs.command(&["peer", "add", &format!("{circuit}/p2p/{peer_of_guard}")])?);
    until(|| Ok(peer(&customs, &guard_id)?["by"].is_string()))?;
    println!("linked by {}", peer(&customs, &guard_id)?["by"]);
    until(|| {
        let (here, there) = (peer(&customs, &guard_id)?, peer(&guard, &customs_id)?);
        Ok(here["by"] == "quic" && there["by"] == "quic")
    })?;

    // What goes over it does not pass the relay.
    let before = came_to(space)?;
    let mut last = String::new();
    for n in 0..30 {
        last = write(&guard, &format!("direct {n}"), 20_000 / "river ".len())?;
    }
    comes(&customs, &last)?;
    let passed = came_to(space)? - before;
    println!("{passed} bytes came to the relay, of {CARRIED_BYTES} that were written");
    assert!(passed < CARRIED_BYTES / 10, "{passed} bytes came to the relay");
    // Nor does it need the relay any more.
    relay.kill()?;
    let record = write(&guard, "without the relay", 1)?;
    comes(&customs, &record)?;
    assert_eq!(peer(&customs, &guard_id)?["by"], "quic");
    Ok(())
}
