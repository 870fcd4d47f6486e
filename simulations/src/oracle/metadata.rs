//! Declared metadata and keys: whoever may not read a compartment learns no id of its records and no secret of
//! its epochs, from a frame or on its disk. Which device writes how much, when and how urgently in which opaque
//! compartment is declared (`docs/threat-model.md`), and lies open.
//!
//! Ids and secrets are drawn at random, so one that is found in bytes is there.

use std::collections::BTreeMap;

use tearline_crdt::id::RecordId;
use tearline_crdt::store::{Space, Store as _};

use super::{Found, Oracle};
use crate::world::World;

/// In runs of up to so many posts every frame is looked through; of larger ones, disks alone.
const POSTS_MAX: usize = 64;
/// How much of an id or a secret is looked for.
const WORD: usize = 16;
/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// What only readers may know, and whose readers.
#[derive(Debug)]
pub(crate) struct Taints {
    words: BTreeMap<[u8; WORD], (Oracle, u32)>,
    /// Whether any word begins with two bytes.
    begins: Vec<bool>,
}

impl Default for Taints {
    fn default() -> Self {
        Self { words: BTreeMap::new(), begins: vec![false; 1 << 16] }
    }
}

impl Taints {
    pub(crate) fn record(&mut self, id: &RecordId, compartment: u32) {
        self.add(&id.0, Oracle::Metadata, compartment);
    }

    fn add(&mut self, bytes: &[u8], oracle: Oracle, compartment: u32) {
        let Some(word) = bytes.first_chunk::<WORD>() else { return };
        self.words.insert(*word, (oracle, compartment));
        if let Some(begins) = begin(word).and_then(|at| self.begins.get_mut(at)) {
            *begins = true;
        }
    }

    /// The first word in bytes that is of a compartment which is closed.
    fn found(&self, bytes: &[u8], closed: impl Fn(u32) -> bool) -> Option<(Oracle, u32)> {
        let here = |at: &[u8]| {
            begin(at).filter(|begin| self.begins.get(*begin) == Some(&true))?;
            self.words.get(at).filter(|(_, number)| closed(*number)).copied()
        };
        bytes.windows(WORD).find_map(here)
    }
}

fn begin(bytes: &[u8]) -> Option<usize> {
    let [a, b] = bytes.first_chunk::<2>()?;
    Some(usize::from(*a) << 8 | usize::from(*b))
}

/// Notes the secrets of all epochs that are on a disk of a reader.
pub(crate) fn note_secrets(world: &mut World) {
    let epochs: BTreeMap<_, _> = world
        .compartments
        .iter()
        .zip(0..)
        .flat_map(|(id, number)| {
            let replicas = world.peers.iter().filter_map(|peer| peer.replica.as_ref());
            let known = replicas.filter_map(|replica| replica.compartment(*id));
            known.flat_map(|compartment| compartment.epochs().keys()).map(move |e| (e.0, number))
        })
        .collect();
    for peer in &world.peers {
        for (epoch, number) in &epochs {
            let reads = world.plan.reads(peer.number, *number);
            let held = reads.then(|| peer.store().get(Space::Secrets, epoch).ok().flatten());
            // The key of sealed headers, and the secret.
            for key in held.flatten().iter().flat_map(|kept| kept.chunks(KEY_BYTES)) {
                world.taints.add(key, Oracle::Confidentiality, *number);
            }
        }
    }
}

/// A frame that a post is given.
pub(crate) fn in_frame(world: &World, to: u32, frame: &[u8]) -> Option<(Oracle, Found)> {
    if world.plan.posts.len() > POSTS_MAX {
        return None;
    }
    let (oracle, number) = world.taints.found(frame, |number| !world.plan.reads(to, number))?;
    Some((oracle, say(world, oracle, number, to, "was sent")))
}

/// All disks of peers that may not read something, at the end.
pub(crate) fn on_disks(world: &World) -> Option<(Oracle, Found)> {
    world.peers.iter().find_map(|peer| {
        let closed = |number: u32| !world.plan.reads(peer.number, number);
        if !(0..world.compartments.len() as u32).any(closed) {
            return None;
        }
        let found = peer.store().memory.written().find_map(|(key, value)| {
            world.taints.found(key, closed).or_else(|| world.taints.found(&value, closed))
        });
        let (oracle, number) = found?;
        Some((oracle, say(world, oracle, number, peer.number, "has on its disk")))
    })
}

fn say(world: &World, oracle: Oracle, number: u32, post: u32, how: &str) -> Found {
    let area = world.plan.compartments.get(number as usize).map_or("", |c| c.name.as_str());
    let post = world.plan.posts.get(post as usize).map_or("", |p| p.name.as_str());
    let what = match oracle {
        Oracle::Metadata => "the id of a record",
        _ => "the secret of an epoch",
    };
    Found(format!("{post}, which may not read {area}, {how} {what} of it"))
}
