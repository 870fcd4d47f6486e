//! How often one pass may ask: a token bucket for each (Turner, "New directions in communications", 1986).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::pass::PassId;
use crate::pass::register::MINTED_MAX;

/// Requests that a pass may make in a second, over time: ten pages of a thousand objects for each of twenty
/// programs that share it.
const REQUESTS_PER_S: u32 = 200;
/// Requests that it may make at once after a pause.
const REQUESTS_AT_ONCE_MAX: u32 = 400;
/// Requests without a pass that holds, in a second and at once: what guessing or a forgotten program
/// costs has a bound.
const STRANGERS_PER_S: u32 = 20;
const STRANGERS_AT_ONCE_MAX: u32 = 100;

/// The buckets of all passes.
#[derive(Debug, Default)]
pub(super) struct Rates {
    passes: BTreeMap<PassId, Bucket>,
    strangers: Option<Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Rates {
    /// Whether a pass may ask now.
    pub(super) fn pass(&mut self, pass: PassId, now: Instant) -> bool {
        if self.passes.len() >= MINTED_MAX && !self.passes.contains_key(&pass) {
            // As many as there can be: those that were not shown for long are full again anyway.
            self.passes.retain(|_, bucket| now.saturating_duration_since(bucket.at) < IDLE);
            if self.passes.len() >= MINTED_MAX {
                self.passes.pop_first();
            }
        }
        let full = Bucket { left: f64::from(REQUESTS_AT_ONCE_MAX), at: now };
        let bucket = self.passes.entry(pass).or_insert(full);
        bucket.take(now, REQUESTS_PER_S, REQUESTS_AT_ONCE_MAX)
    }

    /// Whether somebody without a pass is answered now.
    pub(super) fn stranger(&mut self, now: Instant) -> bool {
        let full = Bucket { left: f64::from(STRANGERS_AT_ONCE_MAX), at: now };
        let bucket = self.strangers.get_or_insert(full);
        bucket.take(now, STRANGERS_PER_S, STRANGERS_AT_ONCE_MAX)
    }
}

impl Bucket {
    fn take(&mut self, now: Instant, per_s: u32, most: u32) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * f64::from(per_s)).min(f64::from(most));
        self.at = now;
        let may = self.left >= 1.0;
        self.left -= f64::from(u8::from(may));
        may
    }
}

/// After how long a bucket is full whatever was taken.
const IDLE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_asks_so_often_and_others_are_not_held_up() {
        let (mut rates, now) = (Rates::default(), Instant::now());
        let (one, other) = (PassId([1; 16]), PassId([2; 16]));
        let asked = (0..1_000).filter(|_| rates.pass(one, now)).count();
        assert_eq!(asked, REQUESTS_AT_ONCE_MAX as usize);
        assert!(rates.pass(other, now));
        let later = now + Duration::from_secs(1);
        let asked = (0..1_000).filter(|_| rates.pass(one, later)).count();
        assert_eq!(asked, REQUESTS_PER_S as usize);
        let strangers = (0..1_000).filter(|_| rates.stranger(now)).count();
        assert_eq!(strangers, STRANGERS_AT_ONCE_MAX as usize);
    }

    #[test]
    fn the_buckets_have_a_bound() {
        let (mut rates, now) = (Rates::default(), Instant::now());
        for n in 0..2 * MINTED_MAX {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&n.to_be_bytes());
            assert!(rates.pass(PassId(id), now));
        }
        assert_eq!(rates.passes.len(), MINTED_MAX);
    }
}
