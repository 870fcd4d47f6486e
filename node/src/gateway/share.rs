//! How much of the gateway one pass may take at once, so that those of others find room beside it.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use tokio::sync::Semaphore;

use crate::pass::PassId;

/// Most requests of one pass at once, worked on or waiting: a quarter of all connections.
pub(super) const CALLS_MAX: usize = 32;
/// Of these, most that are worked on at once: a quarter of all turns.
const TURNS_MAX: usize = 4;
/// Of these, most whose body is read or worked on: half of all places for bodies.
const BODIES_MAX: usize = 1;
/// Most streams of events of one pass at once: a quarter of all.
pub(super) const STREAMS_MAX: usize = 8;

/// What one pass may take. It lasts as long as a request or a stream of the pass.
#[derive(Debug)]
pub(super) struct Share {
    /// Places for requests.
    pub(super) calls: Arc<Semaphore>,
    /// Turns for what waits for the core.
    pub(super) turns: Arc<Semaphore>,
    /// Places for bodies.
    pub(super) bodies: Arc<Semaphore>,
    /// Places for streams of events.
    pub(super) streams: Arc<Semaphore>,
}

impl Share {
    fn whole() -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self {
            calls: places(CALLS_MAX),
            turns: places(TURNS_MAX),
            bodies: places(BODIES_MAX),
            streams: places(STREAMS_MAX),
        }
    }
}

/// The shares of all passes that are in use.
#[derive(Debug, Default)]
pub(super) struct Shares(BTreeMap<PassId, Weak<Share>>);

impl Shares {
    /// The share of a pass. Narrower ones have the same.
    pub(super) fn of(&mut self, pass: PassId) -> Arc<Share> {
        if let Some(share) = self.0.get(&pass).and_then(Weak::upgrade) {
            return share;
        }
        if self.0.len() >= KEPT_MAX {
            self.0.retain(|_, share| share.strong_count() > 0);
        }
        let share = Arc::new(Share::whole());
        self.0.insert(pass, Arc::downgrade(&share));
        share
    }
}

/// Shares after which those that are in use no more are looked for. Connections and streams, of which
/// there are fewer, bound the others.
const KEPT_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(n: u16) -> PassId {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&n.to_be_bytes());
        PassId(id)
    }

    #[test]
    fn a_pass_takes_its_share_and_no_more() {
        let mut shares = Shares::default();
        let (one, again, other) = (shares.of(pass(1)), shares.of(pass(1)), shares.of(pass(2)));
        let held: Vec<_> =
            (0..CALLS_MAX).map(|_| Arc::clone(&one.calls).try_acquire_owned().unwrap()).collect();
        assert!(Arc::clone(&again.calls).try_acquire_owned().is_err(), "one share for one pass");
        assert!(Arc::clone(&other.calls).try_acquire_owned().is_ok());
        drop(held);
        assert!(Arc::clone(&again.calls).try_acquire_owned().is_ok());
    }

    #[test]
    fn shares_that_nobody_uses_are_let_go() {
        let mut shares = Shares::default();
        let used = shares.of(pass(0));
        for n in 1..2_000 {
            let _ = shares.of(pass(n));
        }
        assert!(shares.0.len() <= KEPT_MAX);
        assert!(Arc::ptr_eq(&used, &shares.of(pass(0))));
    }
}
