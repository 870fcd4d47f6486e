//! Penalties: who misbehaved on a link gets none for a while, longer each time.
//!
//! A penalty is not a verdict. It keeps a hostile member from costing the same again at once, and an
//! honest one of another version from being shut out: the first is short, each further one twice as long,
//! and they are forgotten when there was no reason for one for long enough. The operator ends one with
//! `peer resume`, and a restart ends all. Strangers get none: a new key costs them nothing, and what they
//! may do is bounded where links are made.

use std::collections::BTreeMap;

use tearline_crdt::id::DeviceId;
use tearline_crdt::time::MonoTime;

/// The first penalty and the longest.
const WAIT_MS_MIN: u64 = 5_000;
const WAIT_MS_MAX: u64 = 3_600_000;
/// How long after a penalty the next is the first again.
const FORGOTTEN_MS: u64 = 6 * 3_600_000;

/// The penalties of devices that have a standing or an address here; no more than there are of these.
#[derive(Debug, Default)]
pub(super) struct Penalties(BTreeMap<DeviceId, Penalty>);

#[derive(Debug)]
struct Penalty {
    times: u32,
    until: MonoTime,
}

impl Penalties {
    /// A device misbehaved. Returns until when it gets no link.
    pub(super) fn blame(&mut self, device: DeviceId, now: MonoTime) -> MonoTime {
        self.0.retain(|_, penalty| penalty.until.plus_ms(FORGOTTEN_MS) > now);
        let penalty = self.0.entry(device).or_insert(Penalty { times: 0, until: now });
        let wait = WAIT_MS_MIN.saturating_mul(1 << penalty.times.min(16)).min(WAIT_MS_MAX);
        penalty.times = penalty.times.saturating_add(1);
        penalty.until = now.plus_ms(wait);
        penalty.until
    }

    /// Until when a device gets no link; `None` if it may have one.
    pub(super) fn until(&self, device: &DeviceId, now: MonoTime) -> Option<MonoTime> {
        self.0.get(device).map(|penalty| penalty.until).filter(|until| *until > now)
    }

    /// When the next penalty ends.
    pub(super) fn next_end(&self, now: MonoTime) -> Option<MonoTime> {
        self.0.values().map(|penalty| penalty.until).filter(|until| *until > now).min()
    }

    /// The operator lets a device have a link.
    pub(super) fn release(&mut self, device: &DeviceId) {
        self.0.remove(device);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: DeviceId = DeviceId([1; 32]);

    #[test]
    fn a_penalty_is_short_at_first_grows_and_ends_and_is_forgotten() {
        let mut penalties = Penalties::default();
        let mut now = MonoTime(1_000);
        let mut waits = Vec::new();
        for _ in 0..20 {
            let until = penalties.blame(DEVICE, now);
            assert_eq!(penalties.until(&DEVICE, now), Some(until));
            assert_eq!(penalties.next_end(now), Some(until));
            assert_eq!(penalties.until(&DeviceId([2; 32]), now), None);
            waits.push(until.0 - now.0);
            now = until;
            assert_eq!((penalties.until(&DEVICE, now), penalties.next_end(now)), (None, None));
        }
        assert_eq!(waits[..3], [WAIT_MS_MIN, 2 * WAIT_MS_MIN, 4 * WAIT_MS_MIN]);
        assert_eq!(waits.last(), Some(&WAIT_MS_MAX));
        now = now.plus_ms(FORGOTTEN_MS);
        assert_eq!(penalties.blame(DEVICE, now).0, now.0 + WAIT_MS_MIN);
        penalties.release(&DEVICE);
        assert_eq!(penalties.until(&DEVICE, now), None);
    }
}
