//! The time by which a relay keeps house.
//!
//! While it runs its monotonic clock counts. What passed while it was off only the wall clock can tell, and
//! one that starts a year ahead must not empty the house: of each time off half the retention counts at
//! most. A clock that goes back takes nothing away. What has passed is written down by the hour; what a
//! crash forgets of it, the next start counts as time off.

use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::store::{Batch, Space, Store, StoreError, damaged};
use tearline_crdt::time::{MonoTime, WallTime};

/// A relay's time. It begins with the wall clock, and is no time of day afterwards.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Clock {
    ms: u64,
    /// What the wall clock showed last.
    wall: WallTime,
    /// The monotonic clock at the last look; `None` since the start.
    mono: Option<MonoTime>,
    /// The hour that is written down.
    written: Option<u32>,
}

impl Clock {
    /// Goes on where it stood, if it was written down, or begins.
    pub(super) fn start(
        store: &impl Store,
        wall: WallTime,
        retention_ms: u64,
    ) -> Result<Self, StoreError> {
        let Some(value) = store.get(Space::Meta, KEY)? else {
            return Ok(Self { ms: wall.0, wall, mono: None, written: None });
        };
        let (ms, before) = decode(&value).map_err(|_| damaged(Space::Meta, KEY))?;
        let off_ms = wall.0.saturating_sub(before.0).min(retention_ms / OFF_PART);
        Ok(Self { ms: ms.saturating_add(off_ms), wall, mono: None, written: None })
    }

    /// Counts what has run since the last look.
    pub(super) fn run(&mut self, mono: MonoTime, wall: WallTime) {
        let ran_ms = self.mono.map_or(0, |before| mono.0.saturating_sub(before.0));
        self.ms = self.ms.saturating_add(ran_ms);
        (self.mono, self.wall) = (Some(mono), wall);
    }

    /// The hour.
    pub(super) fn hour(&self) -> u32 {
        u32::try_from(self.ms / HOUR_MS).unwrap_or(u32::MAX)
    }

    /// Writes down where it stands, once an hour.
    pub(super) fn write_if_due(&mut self, batch: &mut Batch) {
        let hour = self.hour();
        if self.written != Some(hour) {
            self.written = Some(hour);
            let mut value = Vec::new();
            value.number(self.ms).number(self.wall.0);
            batch.put(Space::Meta, KEY, value);
        }
    }
}

/// `passed, ms (number) || wall time, ms (number)`.
fn decode(value: &[u8]) -> Result<(u64, WallTime), DecodeError> {
    let mut reader = Reader::new(value);
    let read = (reader.number("passed")?, WallTime(reader.number("wall time")?));
    reader.finish()?;
    Ok(read)
}

const KEY: &[u8] = b"relay time";
/// This part of the retention is the most that counts of a time off.
const OFF_PART: u64 = 2;
pub(super) const HOUR_MS: u64 = 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;
    use tearline_crdt::store::memory::MemoryStore;

    const NOON: u64 = 1_700_000_000_000;
    const KEPT_MS: u64 = 30 * 24 * HOUR_MS;

    /// What is counted of so many hours that run, and a wall clock that stands there at the next start.
    fn after(ran_hours: u64, wall_ms: u64) -> u64 {
        let mut store = MemoryStore::default();
        let mut clock = Clock::start(&store, WallTime(NOON), KEPT_MS).unwrap();
        let begun = clock.ms;
        for hour in 0..=ran_hours {
            let ms = hour * HOUR_MS;
            clock.run(MonoTime(ms), WallTime(NOON + ms));
            let mut batch = Batch::default();
            clock.write_if_due(&mut batch);
            store.apply(batch).unwrap();
        }
        let clock = Clock::start(&store, WallTime(wall_ms), KEPT_MS).unwrap();
        (clock.ms - begun) / HOUR_MS
    }

    #[test]
    fn what_runs_counts_and_of_a_time_off_half_the_retention_at_most() {
        assert_eq!(after(5, NOON + 5 * HOUR_MS), 5);
        assert_eq!(after(5, NOON + 105 * HOUR_MS), 105);
        assert_eq!(after(5, NOON + 365 * 24 * HOUR_MS), 5 + KEPT_MS / 2 / HOUR_MS);
        assert_eq!(after(5, 0), 5);
    }
}
