//! Which first messages of the other side are read: each once, and not too many.
//!
//! A first message can be recorded and sent again by anybody. Its check tells it from others, so that a
//! repetition costs nothing; those that were recorded before this side's last start are bounded by a
//! budget, and each of them works once.

use std::collections::{BTreeSet, VecDeque};

use tearline_crdt::time::MonoTime;

use super::ThinFault;
use super::noise::Check;

/// First messages of the other side that are remembered, so that none is answered twice.
const CHECKS_REMEMBERED_MAX: usize = 1_024;
/// First messages that are answered at once, and how long until another may be: each costs four curve
/// operations.
const HANDSHAKES_AT_ONCE_MAX: u32 = 8;
const HANDSHAKE_MS: u64 = 5_000;

/// The first messages that were read, and how many more may be.
#[derive(Debug)]
pub(super) struct Admission {
    read: BTreeSet<Check>,
    order: VecDeque<Check>,
    /// So many may be read, as of a time.
    allowed: (u32, MonoTime),
}

impl Default for Admission {
    fn default() -> Self {
        let allowed = (HANDSHAKES_AT_ONCE_MAX, MonoTime(0));
        Self { read: BTreeSet::new(), order: VecDeque::new(), allowed }
    }
}

impl Admission {
    /// Whether this one was read.
    pub(super) fn is_known(&self, check: &Check) -> bool {
        self.read.contains(check)
    }

    /// Lets one be read, or not now.
    pub(super) fn admit(&mut self, now: MonoTime, check: Check) -> Result<(), ThinFault> {
        let (allowed, since) = self.allowed;
        let more = now.0.saturating_sub(since.0) / HANDSHAKE_MS;
        let total = u64::from(allowed).saturating_add(more);
        let (allowed, since) = if total >= u64::from(HANDSHAKES_AT_ONCE_MAX) {
            (HANDSHAKES_AT_ONCE_MAX, now)
        } else {
            (total as u32, since.plus_ms(more * HANDSHAKE_MS))
        };
        let Some(left) = allowed.checked_sub(1) else {
            self.allowed = (0, since);
            return Err(ThinFault::Busy);
        };
        self.allowed = (left, since);
        if self.order.len() >= CHECKS_REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.read.remove(&oldest);
        }
        self.read.insert(check);
        self.order.push_back(check);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(n: usize) -> Check {
        (n as u64).to_be_bytes()
    }

    #[test]
    fn so_many_are_read_at_once_and_one_more_after_a_while() {
        let mut admission = Admission::default();
        for n in 0..HANDSHAKES_AT_ONCE_MAX as usize {
            assert_eq!(admission.admit(MonoTime(100), check(n)), Ok(()));
        }
        let refused = Err(ThinFault::Busy);
        assert_eq!(admission.admit(MonoTime(100), check(90)), refused);
        assert!(admission.is_known(&check(0)) && !admission.is_known(&check(90)));
        // Attempts that were refused do not put the next off.
        assert_eq!(admission.admit(MonoTime(99 + HANDSHAKE_MS), check(90)), refused);
        assert_eq!(admission.admit(MonoTime(100 + HANDSHAKE_MS), check(90)), Ok(()));
        assert_eq!(admission.admit(MonoTime(100 + HANDSHAKE_MS), check(91)), refused);
        let later = MonoTime(u64::MAX);
        let again = (0..2 * HANDSHAKES_AT_ONCE_MAX as usize)
            .filter(|n| admission.admit(later, check(100 + n)).is_ok());
        assert_eq!(again.count(), HANDSHAKES_AT_ONCE_MAX as usize);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut admission = Admission::default();
        for n in 0..=CHECKS_REMEMBERED_MAX {
            let now = MonoTime(n as u64 * HANDSHAKE_MS);
            assert_eq!(admission.admit(now, check(n)), Ok(()));
        }
        assert!(!admission.is_known(&check(0)) && admission.is_known(&check(1)));
        assert_eq!((admission.read.len(), admission.order.len()), (1_024, 1_024));
    }
}
