//! Budgets: how often something may be done, as a bucket that is full at first and gains one turn each
//! so many milliseconds.

use tearline_crdt::time::MonoTime;

/// How large a bucket is and how fast it fills.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// Turns at once.
    pub(super) burst: u32,
    /// Time for one more.
    pub(super) every_ms: u64,
}

/// The turns that are left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    left: u64,
    /// Up to when turns were added.
    at: MonoTime,
}

impl Budget {
    /// A full bucket.
    pub(super) fn full(rate: Rate, now: MonoTime) -> Self {
        Self { left: u64::from(rate.burst), at: now }
    }

    /// Takes a turn, if there is one.
    pub(super) fn take(&mut self, rate: Rate, now: MonoTime) -> bool {
        let every_ms = rate.every_ms.max(1);
        let more = now.0.saturating_sub(self.at.0) / every_ms;
        self.at = self.at.plus_ms(more.saturating_mul(every_ms));
        self.left = self.left.saturating_add(more).min(u64::from(rate.burst));
        let taken = self.left.checked_sub(1);
        self.left = taken.unwrap_or(0);
        taken.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let rate = Rate { burst: 3, every_ms: 100 };
        let mut budget = Budget::full(rate, MonoTime(1_000));
        let mut taken = |at| budget.take(rate, MonoTime(at));
        assert_eq!([1_000, 1_000, 1_000, 1_000].map(&mut taken), [true, true, true, false]);
        assert_eq!([1_099, 1_100, 1_101].map(&mut taken), [false, true, false]);
        assert_eq!([1_199, 1_200].map(&mut taken), [false, true], "what is over counts on");
        assert_eq!([9_999; 4].map(&mut taken), [true, true, true, false], "never above the burst");
        assert_eq!([0, u64::MAX].map(&mut taken), [false, true], "a clock may say anything");
    }
}
