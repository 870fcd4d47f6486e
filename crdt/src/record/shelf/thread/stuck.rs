//! What a device wrote that is stuck: it waits, directly or not, for an entry that is quarantined.

use std::collections::{BTreeMap, BTreeSet};

use crate::entry::sealed::EntryKind;
use crate::id::DeviceId;

use super::super::Opened;
use super::{Place, Slot, Thread, Turn, Verdict};

impl Thread {
    /// The changes of a device that wait for what is quarantined, each after those that it builds
    /// on, else by their author's clock. Those that it has replaced already are among them.
    pub(crate) fn stuck(&self, device: &DeviceId) -> Vec<&Opened> {
        let caught = self.caught();
        let own: BTreeMap<Place, &Opened> = caught
            .iter()
            .filter_map(|place| Some((*place, &self.slots.get(place)?.opened)))
            .filter(|(_, opened)| opened.log.device == *device)
            .collect();
        // How many of these each one comes after, and which come after it.
        let mut left: BTreeMap<Place, usize> = BTreeMap::new();
        let mut after: BTreeMap<Place, Vec<Place>> = BTreeMap::new();
        let mut ready = BTreeSet::new();
        let mut before_in_log: Option<Place> = None;
        for (place, opened) in &own {
            let line = before_in_log.filter(|before| before.no == place.no);
            let mut before: BTreeSet<Place> = self.deps_of(opened).chain(line).collect();
            before.retain(|before| own.contains_key(before));
            for before in &before {
                after.entry(*before).or_default().push(*place);
            }
            if before.is_empty() {
                ready.insert((opened.header.wall, *place));
            }
            left.insert(*place, before.len());
            before_in_log = Some(*place);
        }
        let mut sorted = Vec::new();
        while let Some((_, place)) = ready.pop_first() {
            sorted.extend(own.get(&place));
            for next in after.get(&place).into_iter().flatten() {
                let Some(count) = left.get_mut(next) else { continue };
                *count -= 1;
                if *count == 0 {
                    ready.extend(own.get(next).map(|opened| (opened.header.wall, *next)));
                }
            }
        }
        sorted
    }

    /// The changes that wait for what is quarantined.
    fn caught(&self) -> BTreeSet<Place> {
        let quarantined = |place: &Place| {
            let slot = self.slots.get(place);
            slot.is_some_and(|slot| matches!(slot.verdict, Verdict::Quarantined(_)))
        };
        let mut waiting: Vec<&Slot> =
            self.unjudged.iter().filter_map(|turn| self.slots.get(&turn.place)).collect();
        let mut caught = BTreeSet::new();
        loop {
            let before = waiting.len();
            waiting.retain(|slot| {
                let stops = |place: &Place| quarantined(place) || caught.contains(place);
                let turn = Turn::of(&slot.opened);
                let line = self.unjudged.range(turn.start_of_line()..turn);
                let stopped = self.deps_of(&slot.opened).any(|place| stops(&place))
                    || line.map(|turn| turn.place).any(|place| stops(&place));
                if stopped && slot.opened.header.kind != EntryKind::GENESIS {
                    caught.insert(slot.opened.place);
                }
                !stopped
            });
            if waiting.len() == before {
                return caught;
            }
        }
    }

    /// Whether its device said an entry again.
    pub(crate) fn is_superseded(&self, place: &Place) -> bool {
        self.superseded.contains(place)
    }
}
