//! Confidentiality: no record is shown at a peer without the right to read it; and the word that is in
//! every record of a compartment is in no frame, and on no disk of a peer without the right.

use std::borrow::Cow;

use tearline_crdt::hash::sha256;
use tearline_crdt::store::memory::MemoryStore;

use super::Found;
use crate::peer::Seen;
use crate::world::World;

/// The word of a compartment: no other text of the run begins with it, and no cipher makes it by chance.
#[must_use]
pub fn canary(seed: u64, compartment: u32) -> String {
    let from = [&seed.to_be_bytes()[..], &compartment.to_be_bytes()].concat();
    let hash = sha256(&from).iter().take(6).map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("{PREFIX}{hash}")
}

/// How all canary words begin.
const PREFIX: &str = "canary-";

/// A peer was shown a record.
pub(crate) fn shown(world: &World, post: u32, seen: &Seen) -> Option<Found> {
    let record = world.books.record(&seen.record);
    let name = world.plan.posts.get(post as usize).map_or("", |p| p.name.as_str());
    if record.is_some_and(|record| record.closed_to.contains(&post)) {
        return Some(Found(format!(
            "{name} was shown a record that was written when its author knew that {name} had no standing any more"
        )));
    }
    let meant = record.map(|record| record.compartment);
    let number = meant.or_else(|| world.numbers.get(&seen.compartment).copied());
    let readable = number.is_some_and(|number| world.plan.reads(post, number));
    if readable {
        return None;
    }
    Some(Found(format!("{name} was shown a record of a compartment that it may not read")))
}

/// A frame that is handed to a transport.
pub(crate) fn in_the_clear(world: &World, frame: &[u8]) -> Option<Found> {
    let word = holds(frame, PREFIX.as_bytes())?;
    let number = (0..world.compartments.len() as u32)
        .find(|number| word.starts_with(canary(world.plan.seed, *number).as_bytes()))?;
    let name = world.plan.compartments.get(number as usize).map_or("", |c| c.name.as_str());
    Some(Found(format!("a frame carries the text of a record of {name} in the clear")))
}

/// All disks, of peers that are down too. What many disks share is looked through once for each choice of
/// words; on a disk that was written since, more than is left of it.
pub(crate) fn on_disks(world: &World) -> Option<Found> {
    let mut looked_through: Vec<(&MemoryStore, Vec<u32>)> = Vec::new();
    for peer in &world.peers {
        let closed: Vec<u32> = (0..world.compartments.len() as u32)
            .filter(|number| !world.plan.reads(peer.number, *number))
            .collect();
        if closed.is_empty() {
            continue;
        }
        let words: Vec<(u32, String)> =
            closed.iter().map(|number| (*number, canary(world.plan.seed, *number))).collect();
        let there = |(key, value): (&[u8], Cow<'_, [u8]>)| {
            let holds_word = |word: &str| {
                [key, &value].iter().any(|part| holds(part, word.as_bytes()).is_some())
            };
            holds_word(PREFIX).then(|| words.iter().find(|(_, word)| holds_word(word))).flatten()
        };
        let memory = &peer.store().memory;
        let shares =
            |(other, of): &(&MemoryStore, Vec<u32>)| memory.shares_with(other) && *of == closed;
        let known = looked_through.iter().any(shares);
        let beneath = || memory.beneath().filter(|_| !known).find_map(&there);
        if let Some((number, _)) = memory.written().find_map(&there).or_else(beneath) {
            let compartment = world.plan.compartments.get(*number as usize);
            let name = compartment.map_or("", |compartment| compartment.name.as_str());
            let post = world.plan.posts.get(peer.number as usize).map_or("", |p| p.name.as_str());
            return Some(Found(format!("the disk of {post} holds the text of a record of {name}")));
        }
        if !known {
            looked_through.push((memory, closed));
        }
    }
    None
}

/// Where a word begins in bytes: they and what follows.
fn holds<'a>(bytes: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let (first, _) = word.split_first()?;
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        rest = rest.get(at..)?;
        if rest.starts_with(word) {
            return Some(rest);
        }
        rest = rest.get(1..)?;
    }
    None
}
