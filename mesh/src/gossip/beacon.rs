//! Beacons: who is the tree's root, and which neighbour leads to it over the fewest hops.
//!
//! The device with the smallest id that is heard is the root; it sends a beacon each period. Everybody
//! passes a beacon on when it is new, and once more when it comes over fewer hops; so all peers know how far
//! from the root they and their neighbours are, and the neighbour that is nearest to it is the *parent*. That
//! is the spanning tree of IEEE 802.1D with messages instead of bridges. What makes it end: a device that
//! hears no new beacon for [`DEAD_MS`] takes itself for the root, and a root that hears a smaller one
//! gives way. Nothing is signed: who lies about its hops shapes the tree and nothing else.
//!
//! Parents make no circle: of the same beacon a parent told of fewer hops than its child, or of as many and
//! is smaller.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use tearline_crdt::id::DeviceId;
use tearline_crdt::time::MonoTime;

use super::budget::{Budget, Rate};
use super::wire::Beacon;

/// A root sends a beacon so often.
pub const PERIOD_MS: u64 = 10_000;
/// A root of which nothing new was heard for so long is forgotten: three beacons.
pub const DEAD_MS: u64 = 3 * PERIOD_MS;
/// Who has not heard of a root since it began waits so long for one, and up to as long again, the longer the
/// larger its id.
pub const START_MS: u64 = 2_000;
/// Parents are chosen so long after the first copy of a beacon, so that the copy with the fewest hops has
/// come by then.
pub const SETTLE_MS: u64 = 2_000;

/// Beacons that are passed on at once.
pub const PASSES_BURST: u32 = 64;
/// How often one is passed on, whatever others make up: half of what a neighbour takes of us, so that nobody
/// has us blamed.
const PASSES: Rate = Rate { burst: PASSES_BURST, every_ms: 1_000 };

/// What is known of the root.
#[derive(Debug)]
pub(super) struct Beacons {
    me: DeviceId,
    /// The newest beacon of the root, with our own hops.
    root: Option<Beacon>,
    /// What neighbours said of that beacon: their hops.
    ways: BTreeMap<DeviceId, u8>,
    /// When we send a beacon of our own, unless there is news of a root.
    speak_at: MonoTime,
    /// Seq of our last own beacon.
    spoken: u64,
    settle_at: Option<MonoTime>,
    passes: Budget,
}

impl Beacons {
    pub(super) fn new(me: DeviceId, now: MonoTime) -> Self {
        let mut beacons = Self {
            me,
            root: None,
            ways: BTreeMap::new(),
            speak_at: now,
            spoken: 0,
            settle_at: None,
            passes: Budget::full(PASSES, now),
        };
        beacons.speak_at = now.plus_ms(START_MS + beacons.share_of(START_MS));
        beacons
    }

    /// When [`Self::speak`] or [`Self::settle`] is due.
    pub(super) fn deadline(&self) -> MonoTime {
        self.settle_at.map_or(self.speak_at, |at| at.min(self.speak_at))
    }

    /// The beacon as the neighbours are to hear it of us.
    pub(super) const fn beacon(&self) -> Option<Beacon> {
        self.root
    }

    /// A neighbour's beacon. Whether it is to be passed on.
    pub(super) fn heard(&mut self, now: MonoTime, from: DeviceId, beacon: Beacon) -> bool {
        if beacon.root >= self.me {
            if self.root.is_none() && beacon.root > self.me {
                self.speak_at = now;
            }
            return false;
        }
        let hops = beacon.hops.saturating_add(1);
        let same = self.root.filter(|root| (root.root, root.seq) == (beacon.root, beacon.seq));
        if same.is_some() {
            self.ways.insert(from, beacon.hops);
        }
        let worse = self.root.is_some_and(|root| match beacon.root.cmp(&root.root) {
            Ordering::Less => false,
            Ordering::Equal => (beacon.seq, root.hops) <= (root.seq, hops),
            Ordering::Greater => true,
        });
        if worse || !self.passes.take(PASSES, now) {
            return false;
        }
        if same.is_none() {
            self.ways = BTreeMap::from([(from, beacon.hops)]);
            self.speak_at = self.dead_at(now);
            self.settle_at.get_or_insert(now.plus_ms(SETTLE_MS));
        }
        self.root = Some(Beacon { hops, ..beacon });
        true
    }

    /// Whether it is time for a beacon of our own; then we are the root.
    pub(super) fn speak(&mut self, now: MonoTime) -> bool {
        if self.speak_at > now {
            return false;
        }
        self.spoken = self.spoken.saturating_add(1);
        self.root = Some(Beacon { root: self.me, seq: self.spoken, hops: 0 });
        self.ways.clear();
        self.speak_at = now.plus_ms(PERIOD_MS);
        self.settle_at.get_or_insert(now.plus_ms(SETTLE_MS));
        true
    }

    /// Whether it is time to choose a parent.
    pub(super) fn settle(&mut self, now: MonoTime) -> bool {
        self.settle_at.take_if(|at| *at <= now).is_some()
    }

    /// A neighbour leads nowhere any more.
    pub(super) fn lost(&mut self, device: &DeviceId) {
        self.ways.remove(device);
    }

    /// The neighbour with the fewest hops to the root, if it is nearer than we are, or as near and smaller.
    /// Of several, the present parent; else the smallest.
    pub(super) fn best(&self, present: Option<DeviceId>) -> Option<DeviceId> {
        let own = (self.root?.hops, self.me);
        let nearer = self.ways.iter().filter(|(device, hops)| (**hops, **device) < own);
        let best = nearer.min_by_key(|(device, hops)| (**hops, present != Some(**device)));
        best.map(|(device, _)| *device)
    }

    /// When a root of which nothing more is heard is dead. The smaller we are the sooner we find that, so
    /// that mostly the one who is to be the next root speaks first.
    fn dead_at(&self, now: MonoTime) -> MonoTime {
        now.plus_ms(DEAD_MS + self.share_of(PERIOD_MS))
    }

    /// As much of a time as there are smaller ids than ours.
    fn share_of(&self, ms: u64) -> u64 {
        let [first, second, ..] = self.me.0;
        ms * u64::from(u16::from_be_bytes([first, second])) / 65_536
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(byte: u8) -> DeviceId {
        DeviceId([byte; 32])
    }

    fn beacon(root: u8, seq: u64, hops: u8) -> Beacon {
        Beacon { root: device(root), seq, hops }
    }

    /// Device 9, at time 0.
    fn ninth() -> Beacons {
        Beacons::new(device(9), MonoTime(0))
    }

    #[test]
    fn a_beacon_is_passed_on_when_it_is_new_and_when_it_came_over_fewer_hops() {
        let mut beacons = ninth();
        let mut heard = |from, of| beacons.heard(MonoTime(5), device(from), of);
        assert!(heard(1, beacon(3, 1, 4)));
        assert!(!heard(2, beacon(3, 1, 4)));
        assert!(heard(4, beacon(3, 1, 3)));
        assert!(heard(4, beacon(3, 2, 9)));
        assert!(!heard(4, beacon(3, 1, 0)), "it is old");
        assert!(!heard(4, beacon(5, 7, 0)), "a smaller root is known");
        assert!(heard(4, beacon(2, 1, 7)));
        assert_eq!(beacons.beacon(), Some(beacon(2, 1, 8)));
    }

    #[test]
    fn the_parent_is_who_has_the_fewest_hops_and_the_present_one_wins_ties() {
        let mut beacons = ninth();
        for (from, hops) in [(1, 4), (5, 2), (4, 2), (6, 3), (12, 3)] {
            beacons.heard(MonoTime(5), device(from), beacon(3, 1, hops));
        }
        assert_eq!(beacons.best(None), Some(device(4)));
        assert_eq!(beacons.best(Some(device(5))), Some(device(5)));
        assert_eq!(beacons.best(Some(device(6))), Some(device(4)));
        beacons.lost(&device(4));
        beacons.lost(&device(5));
        assert_eq!(beacons.best(None), Some(device(6)), "as near as we are and smaller");
        beacons.lost(&device(6));
        assert_eq!(beacons.best(None), None, "others may be our children");
    }

    #[test]
    fn parents_are_chosen_a_while_after_the_first_copy() {
        let mut beacons = ninth();
        beacons.heard(MonoTime(100), device(1), beacon(3, 1, 4));
        beacons.heard(MonoTime(1_000), device(1), beacon(3, 2, 4));
        assert!(!beacons.settle(MonoTime(99 + SETTLE_MS)), "new beacons put it off no further");
        assert!(beacons.settle(MonoTime(100 + SETTLE_MS)));
        assert!(!beacons.settle(MonoTime(u64::MAX)));
    }

    #[test]
    fn who_hears_nothing_new_takes_itself_for_the_root_and_gives_way_to_a_smaller_one() {
        let mut beacons = ninth();
        let MonoTime(dead) = beacons.dead_at(MonoTime(0));
        assert!((DEAD_MS..DEAD_MS + PERIOD_MS).contains(&dead));
        beacons.heard(MonoTime(7), device(1), beacon(3, 8, 4));
        beacons.heard(MonoTime(900), device(2), beacon(3, 8, 4));
        assert!(beacons.settle(MonoTime(7 + SETTLE_MS)));
        assert_eq!(beacons.deadline(), MonoTime(dead + 7));
        assert!(!beacons.speak(MonoTime(dead + 6)));
        assert!(beacons.speak(MonoTime(dead + 7)));
        assert_eq!((beacons.beacon(), beacons.best(None)), (Some(beacon(9, 1, 0)), None));
        assert!(beacons.speak(MonoTime(dead + 7 + PERIOD_MS)));
        assert_eq!(beacons.beacon(), Some(beacon(9, 2, 0)));
        assert!(beacons.heard(MonoTime(dead), device(1), beacon(3, 1, 4)), "it started again");
        assert_eq!(beacons.beacon(), Some(beacon(3, 1, 5)));
    }

    #[test]
    fn who_is_smaller_than_the_root_speaks_at_once() {
        let mut beacons = ninth();
        assert!(!beacons.heard(MonoTime(7), device(1), beacon(9, 5, 1)), "our own");
        assert!(!beacons.speak(MonoTime(7)));
        assert!(!beacons.heard(MonoTime(7), device(1), beacon(10, 5, 0)));
        assert!(beacons.speak(MonoTime(7)));
        assert!(!beacons.heard(MonoTime(8), device(1), beacon(10, 6, 0)));
        assert!(!beacons.speak(MonoTime(8)), "the others hear it in time");
    }

    #[test]
    fn the_smaller_a_device_the_sooner_it_speaks() {
        let at = |byte| Beacons::new(device(byte), MonoTime(0)).deadline().0;
        assert_eq!(at(0), START_MS);
        assert!(at(1) < at(2) && at(255) < 2 * START_MS);
        let dead = |byte| Beacons::new(device(byte), MonoTime(0)).dead_at(MonoTime(0)).0;
        assert_eq!(dead(0), DEAD_MS);
        assert!(dead(1) < dead(2) && dead(255) < DEAD_MS + PERIOD_MS);
    }

    #[test]
    fn no_more_is_passed_on_than_the_neighbours_take() {
        let mut beacons = ninth();
        let passed =
            (1..1_000).filter(|seq| beacons.heard(MonoTime(0), device(1), beacon(3, *seq, 4)));
        assert_eq!(passed.count(), PASSES_BURST as usize);
        assert!(!beacons.heard(MonoTime(999), device(1), beacon(3, 2_000, 4)));
        assert!(beacons.heard(MonoTime(1_000), device(1), beacon(3, 2_000, 4)));
    }

    #[test]
    fn no_hops_are_too_many_to_count() {
        let mut beacons = ninth();
        assert!(beacons.heard(MonoTime(0), device(1), beacon(3, u64::MAX, u8::MAX)));
        assert_eq!(beacons.beacon(), Some(beacon(3, u64::MAX, u8::MAX)));
        assert_eq!(beacons.best(None), Some(device(1)));
    }
}
