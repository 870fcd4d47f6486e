//! What an author's next entry of a record builds on: the heads, and what follows from those for
//! its place in the author's line.

use std::collections::{BTreeMap, BTreeSet};

use crate::hash::Digest;
use crate::logbook::LogNo;

use super::super::{KeyBox, Opened};
use super::{Place, Slot, Thread, has_line};

impl Thread {
    /// The materialised changes that no other depends on.
    pub(crate) fn heads(&self) -> Vec<&Opened> {
        self.heads_among(|_| true)
    }

    /// The last materialised changes that entries build on, directly or not; of all, if there are
    /// none.
    pub(crate) fn heads_behind(&self, entries: impl Iterator<Item = Place>) -> Vec<&Opened> {
        let behind = self.behind(entries.collect());
        let heads = self.heads_among(|place| behind.contains(place));
        if heads.is_empty() { self.heads() } else { heads }
    }

    /// The heads, as if there were no others than those.
    fn heads_among(&self, is_there: impl Fn(&Place) -> bool) -> Vec<&Opened> {
        let changes = || {
            let slots = self.slots.values().filter(|slot| self.is_materialised(slot));
            slots.map(|slot| &slot.opened).filter(|opened| is_there(&opened.place))
        };
        let mut heads: BTreeMap<Place, &Opened> =
            changes().map(|opened| (opened.place, opened)).collect();
        for opened in changes() {
            for place in self.deps_of(opened) {
                heads.remove(&place);
            }
        }
        heads.into_values().collect()
    }

    /// The run of a log's next change, if it builds on these. The last one goes on if all that is in it is materialised and
    /// built on: the change's actor must have made just so many changes before it, as Automerge
    /// counts them, and the change must stay sound once what waits in the line, or is quarantined,
    /// comes to count. Else a new one begins, which is always possible.
    pub(crate) fn next_run(&self, no: Option<LogNo>, heads: &[&Opened]) -> u32 {
        let Some(no) = no else { return 0 };
        let behind = self.behind(heads.iter().map(|head| head.place).collect());
        let in_lines = || {
            let of_log = self.slots.range(log_span(no)).map(|(_, slot)| slot);
            of_log.filter(|slot| has_line(&slot.opened))
        };
        let run = |slot: &Slot| slot.opened.header.run;
        let Some(last) = in_lines().map(run).max() else { return 0 };
        let mut line = in_lines().filter(|slot| run(slot) == last);
        let goes_on =
            line.all(|slot| self.is_materialised(slot) && behind.contains(&slot.opened.place));
        if goes_on {
            return last;
        }
        let used: BTreeSet<u32> = in_lines().map(run).collect();
        last.checked_add(1).or_else(|| (0..last).find(|run| !used.contains(run))).unwrap_or(last)
    }

    /// Whether it is a change that the document is to hold.
    pub(super) fn is_materialised(&self, slot: &Slot) -> bool {
        slot.change.is_some() && !self.superseded.contains(&slot.opened.place)
    }

    /// The place that a log's next change has in its run.
    pub(crate) fn next_seq(&self, no: Option<LogNo>, run: u32) -> u64 {
        no.map_or(1, |no| self.changes_in_run(no, run) + 1)
    }

    /// How many entries of a log are listed.
    pub(crate) fn entries_of(&self, no: LogNo) -> usize {
        self.slots.range(log_span(no)).count()
    }

    /// The first entry of a log that carries a key box for the record under an epoch; its seq.
    pub(crate) fn box_seq(&self, no: LogNo) -> Option<(u64, KeyBox)> {
        self.slots
            .range(log_span(no))
            .find_map(|(place, slot)| slot.opened.key_box.map(|key_box| (place.seq, key_box)))
    }

    /// The hash of an entry's change, if it counts.
    pub(crate) fn hash(&self, place: &Place) -> Option<Digest> {
        self.slots.get(place)?.change.map(|change| change.hash)
    }

    /// What no document shows: other changes than those that are materialised.
    pub(crate) fn outside(&self) -> impl Iterator<Item = &Opened> {
        let outside = |slot: &&Slot| slot.change.is_none() && has_line(&slot.opened);
        self.slots.values().filter(outside).map(|slot| &slot.opened)
    }
}

fn log_span(no: LogNo) -> std::ops::RangeInclusive<Place> {
    Place { no, seq: 0 }..=Place { no, seq: u64::MAX }
}
