//! The time that a delay counts: what passes between hiding a record and destroying it.
//!
//! A wall clock cannot be asked. It is wrong when a machine starts without a battery, it is set, and
//! one that is put ahead by a year would destroy at once what a hold could still have saved. So each
//! peer *reckons*. What its monotonic clock counts while it runs has passed. What only the wall clock
//! claims (a *leap*: the peer was off or asleep, or the clock was set) counts too, because a peer that
//! runs for an hour a day would else destroy nothing for months; but at most a third of the shortest
//! delay, however far the leap. One leap so brings a destruction forward by no more than that. A clock
//! that goes back takes nothing away, and leaps again only past the latest time that it had shown.
//!
//! What was reckoned is written down with each date that counts from it, and from time to time while
//! something is to be destroyed. A crash forgets at most the time since then, which is a leap at the
//! next start.

use tearline_crdt::authority::Compartment;
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

/// How often it is written down while something is to be destroyed, in ms.
const WRITE_EVERY_MS: u64 = 3_600_000;
/// By how much the clocks may differ before dates are shown anew, in ms.
const DATED_WITHIN_MS: u64 = 1_000;
/// This part of a delay a leap may count at most.
const LEAP_PART: u64 = 3;

impl Reckoning {
    /// Where it stands.
    pub(super) const fn now(&self) -> Reckoned {
        self.now
    }

    /// How far the wall clock is past where it would be had it run on evenly.
    fn leap_ms(&self, now: Now) -> u64 {
        self.latest.map_or(0, |latest| now.wall.0.saturating_sub(self.run_on(latest, now).0))
    }

    /// Counts what has passed; of a leap no more than `leap_ms_max`. Where nothing waits for its day the
    /// wall clock is taken as it is.
    fn look(&mut self, now: Now, leap_ms_max: u64, waits: bool) {
        let ran = self.ran_ms(now);
        let leap = self.leap_ms(now).min(leap_ms_max);
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

    /// `reckoned, ms (number) || latest wall time, ms (number)`.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.number(self.now.0).number(self.latest.unwrap_or_default().0);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let now = Reckoned(reader.number("reckoned")?);
        let latest = Some(WallTime(reader.number("latest wall time")?));
        reader.finish()?;
        Ok(Self { now, latest, mono: None, written: now, dated: None })
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
        let leap_ms_max = if leaps { self.leap_ms_max() } else { 0 };
        // What is to be destroyed, and when, is not known before all that was said was looked at.
        let waits = self.next_due.is_some() || !self.said.is_empty();
        self.reckoning.look(now, leap_ms_max, waits || self.reckoning.mono.is_none());
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

    /// How much of one leap counts.
    fn leap_ms_max(&self) -> u64 {
        let coalitions = self.areas.values().filter_map(|area| match &area.body {
            Body::Coalition(coalition) => Some(coalition.charter().erasure_delay_hours),
            Body::Compartment(Compartment { .. }) => None,
        });
        coalitions.min().map_or(0, |hours| u64::from(hours) * HOUR_MS / LEAP_PART)
    }
}

pub(super) const HOUR_MS: u64 = 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    const LEAP_MS_MAX: u64 = 24 * HOUR_MS;
    const YEAR_MS: u64 = 365 * 24 * HOUR_MS;
    const NOON: u64 = 1_700_000_000_000;

    /// What is counted of each of these steps: hours that run, and ms by which the wall clock is moved
    /// beside that.
    fn counted(steps: &[(u64, i64)]) -> Vec<u64> {
        let mut reckoning = Reckoning::default();
        let (mut mono, mut wall) = (5_000, NOON);
        let mut look = |mono, wall| {
            reckoning.look(Now { mono: MonoTime(mono), wall: WallTime(wall) }, LEAP_MS_MAX, true);
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
    fn what_runs_counts_and_a_leap_counts_up_to_its_bound() {
        let hour = HOUR_MS as i64;
        assert_eq!(counted(&[(3, 0), (1, 0)]), [3 * HOUR_MS, HOUR_MS]);
        assert_eq!(counted(&[(1, 8 * hour)]), [9 * HOUR_MS], "a night asleep");
        let bound = LEAP_MS_MAX as i64;
        assert_eq!(counted(&[(0, bound)]), [LEAP_MS_MAX]);
        assert_eq!(counted(&[(0, bound + 1)]), [LEAP_MS_MAX]);
        assert_eq!(counted(&[(1, YEAR_MS as i64)]), [HOUR_MS + LEAP_MS_MAX]);
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
        reckoning.look(at(NOON + YEAR_MS), LEAP_MS_MAX, false);
        reckoning.look(at(NOON), LEAP_MS_MAX, false);
        let before = reckoning.now;
        reckoning.look(at(NOON + HOUR_MS), LEAP_MS_MAX, true);
        assert_eq!(reckoning.now, before.plus_ms(HOUR_MS));
    }

    #[test]
    fn it_reads_back_and_is_shown_as_the_wall_clock_has_it() {
        let mut reckoning = Reckoning::default();
        reckoning.look(Now { mono: MonoTime(9), wall: WallTime(NOON) }, LEAP_MS_MAX, true);
        let again = Reckoning::decode(&reckoning.encode()).unwrap();
        assert_eq!((again.now, again.latest, again.mono), (reckoning.now, reckoning.latest, None));
        assert!(Reckoning::decode(&[0]).is_err());
        for wall in [0, NOON, NOON + YEAR_MS] {
            reckoning.look(Now { mono: MonoTime(9), wall: WallTime(wall) }, LEAP_MS_MAX, true);
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
            reckoning.look(now, LEAP_MS_MAX, true);
            reckoning.shown(Reckoned(NOON + HOUR_MS)).0
        };
        assert_eq!(shown(5, NOON), NOON + HOUR_MS);
        assert_eq!(shown(1_005, NOON + 1_009), NOON + HOUR_MS, "a reading took 9 ms");
        assert_eq!(shown(2_005, NOON + 1_990), NOON + HOUR_MS);
        let put_back = shown(2_005, NOON - HOUR_MS);
        assert_eq!(put_back, NOON + HOUR_MS - HOUR_MS - 2_009, "the clock was set");
    }
}
