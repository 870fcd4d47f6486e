//! What entries wait for that are in no line, such as labels.
//!
//! Each waits for one entry at a time, and is looked at again when that one counts: so a chain of them
//! costs as many looks as it has links, in whatever order they came.

use std::collections::{BTreeMap, BTreeSet};

use crate::entry::sealed::EntryKind;
use crate::id::EntryId;
use crate::store::StoreError;

use super::super::Standings;
use super::{Place, ReadPayload, Slot, Thread, Verdict};

/// Which entries outside lines are to be looked at, and which wait for what.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    due: BTreeSet<Place>,
    on: BTreeMap<Awaited, Vec<Place>>,
    /// How often an entry was looked at.
    #[cfg(test)]
    looks: usize,
}

/// An entry that another waits for: one of its own log, or whichever has an id.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Awaited {
    Place(Place),
    Id(EntryId),
}

/// Whether an entry can be judged.
enum Turn {
    Ready,
    Waits(Awaited),
    /// Not before the record begins, or, without its payload, at all.
    Rests,
}

impl Waiting {
    /// An entry is to be looked at.
    pub(super) fn look_at(&mut self, place: Place) {
        self.due.insert(place);
    }

    /// An entry counts: who waited for it is to be looked at.
    pub(super) fn came(&mut self, place: Place, id: EntryId) {
        for awaited in [Awaited::Place(place), Awaited::Id(id)] {
            self.due.extend(self.on.remove(&awaited).unwrap_or_default());
        }
    }
}

impl Thread {
    /// Judges all entries outside lines that can be judged. Returns whether anything came to count.
    pub(super) fn evaluate_apart(
        &mut self,
        standings: &dyn Standings,
        read: &mut ReadPayload<'_>,
    ) -> Result<bool, StoreError> {
        let mut counts = false;
        while let Some(place) = self.waiting.due.pop_first() {
            if !self.apart.contains(&place) {
                continue;
            }
            #[cfg(test)]
            {
                self.waiting.looks += 1;
            }
            match self.turn(&place) {
                Turn::Ready => counts |= self.settle(place, standings, read)?,
                Turn::Waits(awaited) => self.waiting.on.entry(awaited).or_default().push(place),
                Turn::Rests => {}
            }
        }
        Ok(counts)
    }

    /// Whether an entry whose turn it is can be judged.
    pub(super) fn is_ready(&self, place: &Place) -> bool {
        matches!(self.turn(place), Turn::Ready)
    }

    /// An entry can be judged if its payload is there and its dependencies count. A restriction holds
    /// whatever became of the content that its author saw; a release was for that content alone.
    fn turn(&self, place: &Place) -> Turn {
        let Some(Slot { opened, stored, restricts, .. }) = self.slots.get(place) else {
            return Turn::Rests;
        };
        let done = |place: &Place| {
            self.slots.get(place).is_some_and(|slot| {
                matches!(slot.verdict, Verdict::Materialised | Verdict::HeldBack)
            })
        };
        let began = opened.header.kind == EntryKind::GENESIS || self.beginning.is_some();
        if began && *restricts {
            return Turn::Ready;
        }
        if !began || !*stored && opened.payload.is_none() {
            return Turn::Rests;
        }
        let own = opened.header.own_deps.iter().map(|seq| Place { no: place.no, seq: *seq });
        let own = own.filter(|place| !done(place)).map(Awaited::Place);
        let others = opened.header.deps.iter();
        let others = others.filter(|id| !self.ids.get(id).is_some_and(done));
        let mut missing = own.chain(others.copied().map(Awaited::Id));
        missing.next().map_or(Turn::Ready, Turn::Waits)
    }

    /// How often entries outside lines were looked at.
    #[cfg(test)]
    pub(crate) const fn looks(&self) -> usize {
        self.waiting.looks
    }
}
