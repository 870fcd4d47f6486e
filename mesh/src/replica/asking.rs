//! Asking: what a peer may have computed here beyond what it brings.
//!
//! Most frames cost their receiver more than their sender: a position of 25 bytes is a read of the
//! store, and a run that is refused was perhaps verified first. So whatever is asked, or sent in vain,
//! is charged to the session, an entry that is stored gives a part of it back, and one who goes on past
//! the bound repeats itself without end. What answers us is free: a position that says that our run
//! has arrived, and the runs that come again because we asked for them again.

use tearline_crdt::store::Store;

use super::lag::LagKey;
use super::session::Session;
use super::{Link, Replica};
use crate::fault::PeerFault;

/// Most logs, branches and positions that a peer may have compared beyond what it brings: about what
/// it may hold that we do not, and for each log that we hold what a full comparison asks for on the
/// way down, and once more.
const IDLE_ASKED_MAX: usize = 50_000;
const ASKED_PER_LOG_MAX: usize = 4;
/// What an entry of it that is stored gives back: what finding a log costs, twice.
const ASKED_PER_ENTRY: usize = 2 * ASKED_PER_LOG_MAX;

impl Session {
    /// Gives back what was charged.
    pub(super) const fn give_back(&mut self, asked: usize) {
        self.idle_asked = self.idle_asked.saturating_sub(asked);
    }

    /// Whether a position answers what is on its way: it says that a run has arrived.
    pub(super) fn is_answer(&self, key: &LagKey, next: u64) -> bool {
        let sent = self.lag.get(key).and_then(|lag| lag.flight.front());
        sent.is_some_and(|flight| flight.end <= next)
    }
}

impl<S: Store> Replica<S> {
    /// A peer brought entries that were stored: it may ask for as much more.
    pub(super) fn give_back(&mut self, link: Link, entries: usize) {
        if let Some(session) = self.sessions.get_mut(&link) {
            session.give_back(entries.saturating_mul(ASKED_PER_ENTRY));
        }
    }

    /// Charges a peer for what it wants compared, or had looked at in vain.
    pub(super) fn charge(&mut self, link: Link, asked: usize) -> Result<(), PeerFault> {
        if self.may_ask(link, asked) { Ok(()) } else { Err(PeerFault::Endless) }
    }

    /// Charges a peer, and says whether it may ask for so much.
    pub(super) fn may_ask(&mut self, link: Link, asked: usize) -> bool {
        let held: usize = self.areas.values().map(|area| area.frontier.len()).sum();
        let Some(session) = self.sessions.get_mut(&link) else { return false };
        if !session.is_heard() {
            // A bundle has an end, and somebody here wanted it read.
            return true;
        }
        session.idle_asked = session.idle_asked.saturating_add(asked);
        session.idle_asked <= IDLE_ASKED_MAX.saturating_add(held.saturating_mul(ASKED_PER_LOG_MAX))
    }
}
