//! Bounded memory: what a peer stores is bounded by what was written for it and by who takes part.

use super::Found;
use crate::world::World;

/// What a store takes beside everything else.
const BASE_BYTES: u64 = 256 * 1024;
/// What one entry takes beside its text, in the log, the index and the lists of its record.
const ENTRY_BYTES: u64 = 4 * 1024;
/// What one device takes: its card, its keys, its grant, and a box for each epoch of a compartment.
const DEVICE_BYTES: u64 = 8 * 1024;
/// How often text is stored: sealed, and read.
const TEXT_COPIES: u64 = 4;

pub(crate) fn check(world: &World, post: u32) -> Option<Found> {
    let peer = world.peers.get(post as usize)?;
    let bytes = peer.store().memory.bytes();
    let devices = world.plan.posts.len() as u64;
    // A post in a new life makes compartments begin new epochs, sealed to all.
    let lives = 1 + world.plan.faults.len() as u64;
    let areas = 1 + world.compartments.len() as u64;
    let most = BASE_BYTES
        + ENTRY_BYTES * world.books.entries
        + TEXT_COPIES * world.books.text_bytes
        + DEVICE_BYTES * devices * areas * lives;
    if bytes <= most {
        return None;
    }
    let name = world.plan.posts.get(post as usize).map_or("", |p| p.name.as_str());
    Some(Found(format!("{name} stores {bytes} bytes; what there is takes at most {most}")))
}
