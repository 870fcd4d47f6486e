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

    /// The changes that wait for what is quarantined: whatever is reached from there along
    /// dependencies and lines.
    fn caught(&self) -> BTreeSet<Place> {
        let mut after: BTreeMap<Place, Vec<Place>> = BTreeMap::new();
        let mut before_in_line: Option<&Turn> = None;
        for turn in &self.unjudged {
            let Some(slot) = self.slots.get(&turn.place) else { continue };
            let line = before_in_line.filter(|b| (b.log, b.run) == (turn.log, turn.run));
            for before in self.deps_of(&slot.opened).chain(line.map(|before| before.place)) {
                after.entry(before).or_default().push(turn.place);
            }
            before_in_line = Some(turn);
        }
        let is_quarantined = |slot: &Slot| matches!(slot.verdict, Verdict::Quarantined(_));
        let mut reached: Vec<Place> = after
            .keys()
            .filter(|place| self.slots.get(place).is_some_and(is_quarantined))
            .copied()
            .collect();
        let mut caught = BTreeSet::new();
        while let Some(place) = reached.pop() {
            let next = after.get(&place).into_iter().flatten();
            let next = next.filter(|place| {
                let slot = self.slots.get(place);
                slot.is_some_and(|slot| slot.opened.header.kind != EntryKind::GENESIS)
            });
            reached.extend(next.filter(|place| caught.insert(**place)));
        }
        caught
    }

    /// Whether a device has changes that wait for what is quarantined and were not said again.
    pub(crate) fn has_stuck(&self, device: &DeviceId) -> bool {
        let open = |turn: &Turn| turn.log.device == *device && !self.is_superseded(&turn.place);
        self.unjudged.iter().any(open)
            && self.stuck(device).iter().any(|opened| !self.is_superseded(&opened.place))
    }

    /// Whether its device said an entry again.
    pub(crate) fn is_superseded(&self, place: &Place) -> bool {
        self.superseded.contains(place)
    }
}
