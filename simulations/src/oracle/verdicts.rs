//! Verdicts: all honest readers of a compartment show as many records, and what does not count of it at one
//! does not count at any, entry by entry.

use std::collections::BTreeSet;

use tearline_crdt::authority::Cause;
use tearline_crdt::id::{CompartmentId, EntryId, LogId};
use tearline_crdt::store::StoreError;

use super::Found;
use crate::world::World;

/// Most entries that are compared. What a run quarantines is less.
const ENTRIES_MAX: usize = 1_000_000;

/// Two honest readers of which one shows more, or that quarantine differently.
pub(crate) fn differing(world: &World) -> Option<Found> {
    for (number, id) in (0..).zip(&world.compartments) {
        let readers = (0..world.plan.posts.len() as u32)
            .filter(|post| world.is_honest(*post) && world.plan.reads(*post, number));
        let mut first: Option<(u32, Verdicts)> = None;
        for post in readers {
            let verdicts = match verdicts(world, post, *id) {
                Ok(verdicts) => verdicts,
                Err(found) => return Some(found),
            };
            let Some((other, expected)) = &first else {
                first = Some((post, verdicts));
                continue;
            };
            if *expected == verdicts {
                continue;
            }
            let name =
                |post: u32| world.plan.posts.get(post as usize).map_or("", |p| p.name.as_str());
            let area = world.plan.compartments.get(number as usize).map_or("", |c| c.name.as_str());
            let (a, b) = (name(*other), name(post));
            let count = |verdicts: &Verdicts| {
                let (shown, quarantined) = (verdicts.shown, verdicts.quarantined.len());
                format!("shows {shown} records and quarantines {quarantined} entries")
            };
            let (here, there) = (count(expected), count(&verdicts));
            return Some(Found(format!(
                "of {area} {a} {here} and {b} {there}, and they are not the same"
            )));
        }
    }
    None
}

/// What a reader makes of a compartment.
#[derive(Debug, Default, Eq, PartialEq)]
struct Verdicts {
    shown: u64,
    quarantined: BTreeSet<(LogId, u64, EntryId)>,
}

fn verdicts(world: &World, post: u32, id: CompartmentId) -> Result<Verdicts, Found> {
    let replica = world.peers.get(post as usize).and_then(|peer| peer.replica.as_ref());
    let Some(replica) = replica else { return Ok(Verdicts::default()) };
    let failed = |error: StoreError| Found(format!("a store in memory could not be read: {error}"));
    let shown = replica.counts(id).map_err(failed)?.records.shown;
    let (entries, unread) = replica.quarantined(ENTRIES_MAX).map_err(failed)?;
    if !unread.is_empty() {
        return Err(Found::plain("a store in memory holds what cannot be read"));
    }
    let of = entries.into_iter().filter(|entry| {
        // Of a forked log each holds the branch that came first: past the fork none counts anywhere.
        let forked = matches!(entry.cause, Cause::Fork | Cause::Branch(_));
        entry.log.compartment == id && !forked
    });
    let quarantined = of.map(|entry| (entry.log, entry.seq, entry.id)).collect();
    Ok(Verdicts { shown, quarantined })
}
