//! Gossip among 20 daemons on real sockets, each linked to four others: what one writes is readable at all,
//! through kills and partitions, and hardly anything is sent twice.

use std::io;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use tearline_tests::daemon::Daemon;

use crate::trust::{text, until};

pub(crate) const SIZE: usize = 20;
/// Each daemon dials the ones that are so far behind it in the ring.
const STEPS: [usize; 2] = [1, 6];

/// Daemons in one compartment, as neighbours only.
pub(crate) struct Mesh {
    pub(crate) daemons: Vec<Daemon>,
    devices: Vec<Value>,
    pub(crate) compartment: Value,
    /// What runs had brought to each when its counts were last added up.
    pub(crate) counted: Vec<[u64; 2]>,
    /// Bytes of entries that came, and those of them that were there already.
    pub(crate) carried: [u64; 2],
    /// Records whose writing was acknowledged.
    written: Vec<String>,
}

#[test]
fn twenty_daemons_get_everything_about_once_through_kills_and_partitions() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut mesh = Mesh::new(folder.path(), |_, state| Ok(state["addresses"][0].clone()))?;
    mesh.takes_shape()?;
    let begun = Instant::now();
    mesh.write(7)?;
    mesh.everybody_has_everything()?;
    println!("one record is readable at {SIZE} daemons after {} ms", begun.elapsed().as_millis());
    for (killed, parted) in [(3, 16), (0, 9)] {
        mesh.write(killed)?;
        mesh.count(killed)?;
        mesh.daemons[killed].kill()?;
        mesh.others_write(killed)?;
        mesh.daemons[killed].start()?;
        mesh.counted[killed] = [0; 2];
        mesh.everybody_has_everything()?;

        mesh.part(parted, "peer.pause")?;
        mesh.write(parted)?;
        mesh.others_write(parted)?;
        mesh.part(parted, "peer.resume")?;
        mesh.everybody_has_everything()?;
    }
    (0..SIZE).try_for_each(|peer| mesh.count(peer))?;
    let [bytes, again] = mesh.carried;
    println!(
        "{} records: {bytes} bytes of entries came, {again} of them again",
        mesh.written.len()
    );
    // How much comes again hangs on how busy the machine is: 2 to 7 % were seen, and without gossip it is more than half.
    // The bound of 5 % is asserted where time is virtual (`mesh/tests/pair/gossip.rs`).
    assert!(bytes > 0 && again * 4 <= bytes, "{again} of {bytes} bytes came again");
    Ok(())
}

impl Mesh {
    /// Daemons of which each is dialled where `reach` says, by who dials and what the other says of itself.
    pub(crate) fn new(
        folder: &Path,
        mut reach: impl FnMut([usize; 2], &Value) -> io::Result<Value>,
    ) -> io::Result<Self> {
        let countries: Vec<String> = ('A'..='T').map(|letter| format!("X{letter}")).collect();
        let mut daemons = Vec::new();
        for country in &countries {
            let mut daemon = Daemon::init(folder, &format!("Agency {country}"), country)?;
            daemon.start()?;
            daemons.push(daemon);
        }
        let founder = &daemons[0];
        founder.ask("coalition.create", &json!({ "name": "Drill" }))?;
        for daemon in &daemons[1..] {
            let invited = founder.ask("peer.invite", &json!({ "expires_s": 3600 }))?;
            daemon.ask("join", &json!({ "invitation": invited["invitation"] }))?;
        }
        let opening = json!({ "name": "all", "rel": countries });
        let compartment = founder.ask("compartment.open", &opening)?["compartment"].clone();
        let states: Vec<Value> = daemons.iter().map(status).collect::<io::Result<_>>()?;
        for (peer, daemon) in daemons.iter().enumerate() {
            if peer > 0 {
                // By the address of its invitation.
                daemon.ask("peer.remove", &json!({ "peer": states[0]["device"] }))?;
            }
            for to in STEPS.map(|step| (peer + step) % SIZE) {
                daemon.ask("peer.add", &json!({ "address": reach([peer, to], &states[to])? }))?;
            }
        }
        let devices = states.iter().map(|state| state["device"].clone()).collect();
        let counted = vec![[0; 2]; SIZE];
        Ok(Self { daemons, devices, compartment, counted, carried: [0; 2], written: Vec::new() })
    }

    /// Waits until everybody has joined the tree: all but the root have a parent in it.
    pub(crate) fn takes_shape(&mut self) -> io::Result<()> {
        until(|| self.agrees())?;
        until(|| {
            let mut parents = 0;
            for daemon in &self.daemons {
                let state = status(daemon)?;
                let peers = state["peers"].as_array().cloned().unwrap_or_default();
                assert!(peers.len() <= 2 * STEPS.len(), "{peers:?}");
                let ways = peers.iter().filter_map(|peer| peer["gossip"].as_array()).flatten();
                parents += ways.filter(|with| with["way"] == "parent").count();
            }
            Ok(parents == SIZE - 1)
        })?;
        // What was sent until then was sent over every link.
        (0..SIZE).try_for_each(|peer| self.count(peer))?;
        self.carried = [0; 2];
        Ok(())
    }

    /// Adds up what came to a daemon.
    pub(crate) fn count(&mut self, peer: usize) -> io::Result<()> {
        let state = status(&self.daemons[peer])?;
        let now = ["carried_bytes", "again_bytes"].map(|name| state[name].as_u64().unwrap_or(0));
        for (of, now) in now.into_iter().enumerate() {
            self.carried[of] += now - self.counted[peer][of];
        }
        self.counted[peer] = now;
        Ok(())
    }

    fn write(&mut self, peer: usize) -> io::Result<()> {
        let number = self.written.len();
        let class = ["flash", "immediate", "priority", "routine"][number % 4];
        let draft = json!({
            "kind": "vehicle",
            "compartment": self.compartment,
            "label": "TLP:AMBER",
            "fields": { "plate": format!("{peer:02}-{number:04}") },
            "class": class,
        });
        let written = self.daemons[peer].ask("record.new", &draft)?;
        self.written.push(text(&written["record"]).to_owned());
        Ok(())
    }

    /// Some of those write that one cannot hear now.
    fn others_write(&mut self, deaf: usize) -> io::Result<()> {
        (1..SIZE).step_by(3).try_for_each(|step| self.write((deaf + step) % SIZE))
    }

    /// Says so of all links of one.
    fn part(&self, peer: usize, verb: &str) -> io::Result<()> {
        for step in STEPS.into_iter().flat_map(|step| [step, SIZE - step]) {
            let other = &self.devices[(peer + step) % SIZE];
            self.daemons[peer].ask(verb, &json!({ "peer": other }))?;
        }
        Ok(())
    }

    pub(crate) fn agrees(&self) -> io::Result<bool> {
        let mut first = None;
        for daemon in &self.daemons {
            let digest = status(daemon)?["compartments"][0]["digest"].take();
            if digest.is_null() || first.get_or_insert_with(|| digest.clone()) != &digest {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn everybody_has_everything(&self) -> io::Result<()> {
        until(|| self.agrees())?;
        for daemon in &self.daemons {
            for record in &self.written {
                daemon.ask("record.show", &json!({ "record": record }))?;
            }
        }
        Ok(())
    }
}

fn status(daemon: &Daemon) -> io::Result<Value> {
    daemon.ask("status", &json!({}))
}
