//! The time that a delay counts: what passes between hiding a record and destroying it.
//!
//! A wall clock cannot be asked. It is wrong when a machine starts without a battery, it is set, and
//! one that is put ahead by a year would destroy at once what a hold could still have saved. So each
//! peer *reckons*. What its monotonic clock counts while it runs has passed. What only the wall clock
//! claims (a *leap*: the peer was off or asleep, or the clock was set) counts too, because a peer that
//! runs for an hour a day would else destroy nothing for months; but it is paid from an *allowance*,
//! and what that does not cover is forgotten. The allowance is a third of the shortest delay at most.
//! Leaps spend it, and running alone regains it: 23 ms for each ms, so that the hour that runs pays for
//! the rest of its day. A restart regains nothing. A clock that goes back takes nothing away, and leaps
//! again only past the latest time that it had shown.
//!
//! For a delay *d* that gives, whatever the wall clock shows:
//! - who ran for *r* has counted at least *r* and at most *d*/3 + 24 *r*: nothing is destroyed before
//!   the peer ran for *d*/36 (two hours of 72), and all is after it ran for *d*;
//! - by a wall clock that is right nothing is counted that did not pass; and a peer that pays for each
//!   time that it is off, by running for a 23rd part of it before, counts all that passed. After a time
//!   off for which it cannot pay it counts a third of the delay at once if it had run for *d*/69 (an
//!   hour and three minutes), and so is done two thirds of the delay after its start at the latest, if
//!   it runs on or for an hour of each day.
//!
//! What was reckoned is written down with each date that counts from it, and each minute of running
//! while something is to be destroyed. A crash forgets at most the time since then, what it regained
//! with it; to the next start that time is part of a leap.

use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::store::{Batch, Space, Store, StoreError};
use tearline_crdt::time::{MonoTime, Now, WallTime};

use super::Replica;
use super::area::Body;

/// Milliseconds as a peer reckons them. They begin with the first reading of its wall clock, and are no
/// time of day afterwards.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Reckoned(pub(super) u64);

impl Reckoned {
    /// This plus `ms` milliseconds, saturating.
    pub(super) const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// What has been reckoned.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Reckoning {
    now: Reckoned,
    /// What leaps spent of the allowance, in ms, and running has not regained.
    spent_ms: u64,
    /// The latest that the wall clock showed, run on since; `None` before it was read at all.
    latest: Option<WallTime>,
    /// The monotonic clock at the last look; `None` since the replica was opened.
    mono: Option<MonoTime>,
    /// What is written down.
    written: Reckoned,
    /// A reckoned time and the time of day that it had: dates are shown from here, so that they stay
    /// while the clocks differ by what a reading takes.
    dated: Option<(Reckoned, WallTime)>,
}

/// How often it is written down while something is to be destroyed, in ms. A peer that is cut off again
/// and again within this time counts nothing but leaps, and regains nothing for them.
const WRITE_EVERY_MS: u64 = 60_000;
/// By how much the clocks may differ before dates are shown anew, in ms.
const DATED_WITHIN_MS: u64 = 1_000;
/// This part of a delay is the most that leaps count beside what running regains.
const ALLOWANCE_PART: u64 = 3;
/// How many ms of leaps a ms of running regains: an hour of each day pays for the day.
const REGAINED_PER_MS: u64 = 23;

impl Reckoning {
    /// Where it stands.
    pub(super) const fn now(&self) -> Reckoned {
        self.now
    }

    /// How far the wall clock is past where it would be had it run on evenly.
    fn leap_ms(&self, now: Now) -> u64 {
        self.latest.map_or(0, |latest| now.wall.0.saturating_sub(self.run_on(latest, now).0))
    }

    /// Counts what has passed; of a leap what is left of an allowance of `allowance_ms_max`. Where
    /// nothing waits for its day the wall clock is taken as it is.
    fn look(&mut self, now: Now, allowance_ms_max: u64, waits: bool) {
        let ran = self.ran_ms(now);
        self.spent_ms = self.spent_ms.saturating_sub(ran.saturating_mul(REGAINED_PER_MS));
        let leap = self.leap_ms(now).min(allowance_ms_max.saturating_sub(self.spent_ms));
        self.spent_ms += leap;
        match self.latest {
            None => self.now = Reckoned(now.wall.0),
            Some(_) => self.now = self.now.plus_ms(ran).plus_ms(leap),
        }
        let latest = self.latest.filter(|_| waits).map(|latest| self.run_on(latest, now));
        self.latest = Some(latest.unwrap_or(now.wall).max(now.wall));
        self.mono = Some(now.mono);
        if self.shown(self.now).0.abs_diff(now.wall.0) > DATED_WITHIN_MS || self.dated.is_none() {
            self.dated = Some((self.now, now.wall));
        }
    }

    fn ran_ms(&self, now: Now) -> u64 {
        self.mono.map_or(0, |before| now.mono.0.saturating_sub(before.0))
    }

    fn run_on(&self, wall: WallTime, now: Now) -> WallTime {
        WallTime(wall.0.saturating_add(self.ran_ms(now)))
    }

    /// The time of day at which so much will be reckoned, by the wall clock as it was at the last look.
    pub(super) fn shown(&self, at: Reckoned) -> WallTime {
        let (from, wall) = self.dated.unwrap_or_default();
        let ahead = wall.0.saturating_add(at.0.saturating_sub(from.0));
        WallTime(ahead.saturating_sub(from.0.saturating_sub(at.0)))
    }

    /// `reckoned, ms (number) || latest wall time, ms (number) || spent, ms (number)`.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let latest = self.latest.unwrap_or_default();
        out.number(self.now.0).number(latest.0).number(self.spent_ms);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let now = Reckoned(reader.number("reckoned")?);
        let latest = Some(WallTime(reader.number("latest wall time")?));
        let spent_ms = reader.number("spent")?;
        reader.finish()?;
        Ok(Self { now, spent_ms, latest, mono: None, written: now, dated: None })
    }
}

const KEY: &[u8] = b"reckoning";

impl<S: Store> Replica<S> {
    /// Reads what was reckoned before.
    pub(super) fn load_reckoning(&mut self) -> Result<(), StoreError> {
        if let Some(value) = self.store.get(Space::Meta, KEY)? {
            self.reckoning = Reckoning::decode(&value)
                .map_err(|_| tearline_crdt::store::damaged(Space::Meta, KEY))?;
        }
        Ok(())
    }

    /// Counts what has passed since the last look.
    pub(super) fn reckon(&mut self, now: Now) {
        let leaps = self.reckoning.leap_ms(now) > 0;
        let allowance_ms_max = if leaps { self.allowance_ms_max() } else { 0 };
        // What is to be destroyed, and when, is not known before all that was said was looked at.
        let waits = self.next_due.is_some() || !self.said.is_empty();
        self.reckoning.look(now, allowance_ms_max, waits || self.reckoning.mono.is_none());
    }

    /// Writes down what was reckoned.
    pub(super) fn note_reckoned(&mut self, batch: &mut Batch) {
        self.reckoning.written = self.reckoning.now;
        batch.put(Space::Meta, KEY, self.reckoning.encode());
    }

    /// Writes it down if that was long ago and something waits for its day.
    pub(super) fn note_reckoned_if_due(&mut self) -> Result<(), StoreError> {
        let since = self.reckoning.now.0.saturating_sub(self.reckoning.written.0);
        if self.next_due.is_none() || since < WRITE_EVERY_MS {
            return Ok(());
        }
        let mut batch = Batch::default();
        self.note_reckoned(&mut batch);
        self.apply(batch)
    }

    /// How much leaps may spend.
    fn allowance_ms_max(&self) -> u64 {
        let coalitions = self.areas.values().filter_map(|area| match &area.body {
            Body::Coalition(coalition) => Some(coalition.charter().erasure_delay_hours),
            Body::Compartment(_) => None,
        });
        coalitions.min().map_or(0, |hours| u64::from(hours) * HOUR_MS / ALLOWANCE_PART)
    }
}

pub(super) const HOUR_MS: u64 = 3_600_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DELAY_MS: u64 = 72 * HOUR_MS;
    const ALLOWANCE_MS_MAX: u64 = DELAY_MS / ALLOWANCE_PART;
    const YEAR_MS: u64 = 365 * 24 * HOUR_MS;
    const NOON: u64 = 1_700_000_000_000;

    /// What is counted of each of these steps: hours that run, and ms by which the wall clock is moved
    /// beside that.
    fn counted(steps: &[(u64, i64)]) -> Vec<u64> {
        let mut reckoning = Reckoning::default();
        let (mut mono, mut wall) = (5_000, NOON);
        let mut look = |mono, wall| {
            reckoning.look(
                Now { mono: MonoTime(mono), wall: WallTime(wall) },
                ALLOWANCE_MS_MAX,
                true,
            );
            reckoning.now.0
        };
        let mut before = look(mono, wall);
        assert_eq!(before, NOON);
        let count = |(hours, moved): &(u64, i64)| {
            mono += hours * HOUR_MS;
            wall = (wall + hours * HOUR_MS).saturating_add_signed(*moved);
            let after = look(mono, wall);
            let counted = after - before;
            before = after;
            counted
        };
        steps.iter().map(count).collect()
    }

    #[test]
    fn what_runs_counts_and_a_leap_counts_up_to_its_allowance() {
        let hour = HOUR_MS as i64;
        assert_eq!(counted(&[(3, 0), (1, 0)]), [3 * HOUR_MS, HOUR_MS]);
        assert_eq!(counted(&[(1, 8 * hour)]), [9 * HOUR_MS], "a night asleep");
        let bound = ALLOWANCE_MS_MAX as i64;
        assert_eq!(counted(&[(0, bound)]), [ALLOWANCE_MS_MAX]);
        assert_eq!(counted(&[(0, bound + 1)]), [ALLOWANCE_MS_MAX]);
        assert_eq!(counted(&[(1, YEAR_MS as i64)]), [HOUR_MS + ALLOWANCE_MS_MAX]);
    }

    #[test]
    fn leaps_spend_an_allowance_that_running_alone_regains() {
        let leap = ALLOWANCE_MS_MAX as i64;
        let counts = |steps: &[(u64, i64)]| counted(steps).iter().sum::<u64>();
        assert_eq!(counts(&[(0, leap); 3]), ALLOWANCE_MS_MAX, "three at once count as one");
        assert_eq!(counted(&[(0, leap), (1, leap)]), [ALLOWANCE_MS_MAX, 24 * HOUR_MS]);
        assert_eq!(
            counts(&[(0, leap), (100, 0), (0, leap), (0, leap)]),
            100 * HOUR_MS + 2 * ALLOWANCE_MS_MAX
        );
        // The soonest of all: a year ahead every hour. 72 hours are not counted before two have passed.
        let ahead = (1, YEAR_MS as i64);
        assert_eq!(counts(&[(0, YEAR_MS as i64), ahead]), DELAY_MS - 24 * HOUR_MS);
        assert_eq!(counts(&[(0, YEAR_MS as i64), ahead, ahead]), DELAY_MS);
    }

    /// What happens to a peer: it runs, it is off, or its clock is set, for or by so many ms.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Runs(u64),
        Off(u64),
        Set(i64),
        /// It starts again at once, from what was written.
        Restarts,
        Writes,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..3 * HOUR_MS).prop_map(Step::Runs),
            2 => (0..10 * ALLOWANCE_MS_MAX).prop_map(Step::Off),
            2 => (-(YEAR_MS as i64)..YEAR_MS as i64).prop_map(Step::Set),
            1 => Just(Step::Restarts),
            2 => Just(Step::Writes),
        ]
    }

    /// A peer with something to destroy, and what truly passed.
    struct Peer {
        reckoning: Reckoning,
        written: Vec<u8>,
        begun: Reckoned,
        mono: u64,
        wall: u64,
        passed: u64,
        ran: u64,
        /// What ran and is not forgotten, and what of that is written down.
        lasts: u64,
        kept: u64,
    }

    impl Peer {
        fn new() -> Self {
            let mut peer = Self {
                reckoning: Reckoning::default(),
                written: Vec::new(),
                begun: Reckoned(NOON),
                mono: 7,
                wall: NOON,
                passed: 0,
                ran: 0,
                lasts: 0,
                kept: 0,
            };
            peer.look();
            peer.written = peer.reckoning.encode();
            peer
        }

        fn look(&mut self) {
            let now = Now { mono: MonoTime(self.mono), wall: WallTime(self.wall) };
            self.reckoning.look(now, ALLOWANCE_MS_MAX, true);
        }

        fn counted(&self) -> u64 {
            self.reckoning.now.0 - self.begun.0
        }

        fn passes(&mut self, ms: u64) {
            self.passed += ms;
            self.wall += ms;
        }

        fn starts(&mut self) {
            self.reckoning = Reckoning::decode(&self.written).unwrap();
            self.lasts = self.kept;
            self.mono = 3;
            self.look();
        }

        fn takes(&mut self, step: Step) {
            match step {
                Step::Runs(ms) => {
                    self.passes(ms);
                    self.mono += ms;
                    self.ran += ms;
                    self.lasts += ms;
                    self.look();
                }
                Step::Off(ms) => {
                    self.passes(ms);
                    self.starts();
                }
                Step::Set(ms) => {
                    self.wall = self.wall.saturating_add_signed(ms);
                    self.look();
                }
                Step::Restarts => self.starts(),
                Step::Writes => {
                    self.written = self.reckoning.encode();
                    self.kept = self.lasts;
                }
            }
        }
    }

    proptest! {
        /// Never more than what ran allows, and never less than what ran and was not forgotten.
        #[test]
        fn what_is_counted_stays_within_what_ran(steps in prop::collection::vec(step(), 0..60)) {
            let mut peer = Peer::new();
            for step in steps {
                peer.takes(step);
                prop_assert!(peer.counted() <= ALLOWANCE_MS_MAX + (1 + REGAINED_PER_MS) * peer.ran);
                prop_assert!(peer.counted() >= peer.lasts);
                // So nothing is destroyed before a 36th of the delay, and all is after the whole of it.
                prop_assert!(peer.counted() < DELAY_MS || peer.ran >= DELAY_MS / 36);
                prop_assert!(peer.counted() >= DELAY_MS || peer.lasts < DELAY_MS);
            }
        }

        /// By a clock that is right nothing counts that did not pass.
        #[test]
        fn a_right_clock_destroys_nothing_early(steps in prop::collection::vec(step(), 0..60)) {
            let mut peer = Peer::new();
            for step in steps.into_iter().filter(|step| !matches!(step, Step::Set(_))) {
                peer.takes(step);
                prop_assert!(peer.counted() <= peer.passed);
            }
        }

        /// Who runs for a 23rd part of the time that it is off then, counts all that passes.
        #[test]
        fn who_runs_enough_counts_all(runs in prop::collection::vec(0..=HOUR_MS, 1..60)) {
            let mut peer = Peer::new();
            for ran in runs {
                peer.takes(Step::Runs(ran));
                peer.takes(Step::Writes);
                peer.takes(Step::Off(ran * REGAINED_PER_MS));
                prop_assert_eq!(peer.counted(), peer.passed);
                peer.takes(Step::Writes);
            }
        }

        /// After a time off of any length: a third of the delay at once, and the rest as it runs.
        #[test]
        fn after_any_time_off_two_thirds_of_the_delay_are_left_at_most(
            before in prop::collection::vec(step(), 0..30),
            off in ALLOWANCE_MS_MAX..YEAR_MS,
        ) {
            let mut peer = Peer::new();
            before.into_iter().filter(|step| !matches!(step, Step::Set(_))).for_each(|step| peer.takes(step));
            peer.takes(Step::Runs(DELAY_MS.div_ceil(69)));
            peer.takes(Step::Writes);
            let counted = peer.counted();
            peer.takes(Step::Off(off));
            prop_assert_eq!(peer.counted(), counted + ALLOWANCE_MS_MAX);
            peer.takes(Step::Runs(DELAY_MS - ALLOWANCE_MS_MAX));
            prop_assert!(peer.counted() >= counted + DELAY_MS);
        }
    }

    /// A clock that is put back and forth, as one without a battery is at each start.
    #[test]
    fn a_clock_that_goes_back_takes_nothing_away_and_leaps_once() {
        let (hour, year) = (HOUR_MS as i64, YEAR_MS as i64);
        let steps = [(1, -year), (1, year), (1, -(NOON as i64)), (1, 10 * hour)];
        assert_eq!(counted(&steps), [HOUR_MS; 4]);
        assert_eq!(
            counted(&[(1, -year), (1, year + 5 * hour), (1, -5 * hour), (1, 5 * hour)]),
            [HOUR_MS, 6 * HOUR_MS, HOUR_MS, HOUR_MS]
        );
    }

    #[test]
    fn where_nothing_waits_a_clock_that_was_ahead_is_forgotten() {
        let mut reckoning = Reckoning::default();
        let at = |wall| Now { mono: MonoTime(0), wall: WallTime(wall) };
        reckoning.look(at(NOON + YEAR_MS), ALLOWANCE_MS_MAX, false);
        reckoning.look(at(NOON), ALLOWANCE_MS_MAX, false);
        let before = reckoning.now;
        reckoning.look(at(NOON + HOUR_MS), ALLOWANCE_MS_MAX, true);
        assert_eq!(reckoning.now, before.plus_ms(HOUR_MS));
    }

    #[test]
    fn it_reads_back_and_is_shown_as_the_wall_clock_has_it() {
        let mut reckoning = Reckoning::default();
        reckoning.look(Now { mono: MonoTime(9), wall: WallTime(NOON) }, ALLOWANCE_MS_MAX, true);
        let later = Now { mono: MonoTime(9), wall: WallTime(NOON + HOUR_MS) };
        reckoning.look(later, ALLOWANCE_MS_MAX, true);
        assert_eq!(reckoning.spent_ms, HOUR_MS);
        let again = Reckoning::decode(&reckoning.encode()).unwrap();
        let both = [&again, &reckoning].map(|one| (one.now, one.latest, one.spent_ms));
        assert_eq!((both[0], again.mono), (both[1], None));
        assert!(Reckoning::decode(&[0]).is_err());
        for wall in [0, NOON, NOON + YEAR_MS] {
            reckoning.look(Now { mono: MonoTime(9), wall: WallTime(wall) }, ALLOWANCE_MS_MAX, true);
            let shown = |at: Reckoned| reckoning.shown(at).0;
            assert_eq!(shown(reckoning.now.plus_ms(7)), wall + 7);
            assert_eq!(shown(Reckoned(reckoning.now.0 - 7)), wall.saturating_sub(7));
        }
    }

    /// A date that is shown stays, though one clock was read a little after the other.
    #[test]
    fn a_date_stays_while_the_clocks_differ_by_little() {
        let mut reckoning = Reckoning::default();
        let mut shown = |mono: u64, wall: u64| {
            let now = Now { mono: MonoTime(mono), wall: WallTime(wall) };
            reckoning.look(now, ALLOWANCE_MS_MAX, true);
            reckoning.shown(Reckoned(NOON + HOUR_MS)).0
        };
        assert_eq!(shown(5, NOON), NOON + HOUR_MS);
        assert_eq!(shown(1_005, NOON + 1_009), NOON + HOUR_MS, "a reading took 9 ms");
        assert_eq!(shown(2_005, NOON + 1_990), NOON + HOUR_MS);
        let put_back = shown(2_005, NOON - HOUR_MS);
        assert_eq!(put_back, NOON + HOUR_MS - HOUR_MS - 2_009, "the clock was set");
    }
}
