//! Refusals: runs that are not taken now, and asking for them again.
//!
//! A run is refused where its author has no standing here, where it goes beyond a fork, where content
//! is gone from it that nothing here erases, where it goes beyond its author's quota ([`super::quota`]), or
//! where there is no room ([`super::room`]). Its log is remembered, and
//! what comes of it meanwhile is refused, too: the position would only bring the same run again. When
//! what is known here has changed, the peer hears the position.

use std::collections::BTreeSet;

use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::CompartmentId;
use tearline_crdt::store::{Store, StoreError};

use super::ingest::Incoming;
use super::lag::lag_key;
use super::{Link, Replica};
use crate::fault::PeerFault;
use crate::wire::{Frame, Tag};

/// What was refused in a session.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// Logs of which there is something here.
    held: BTreeSet<(CompartmentId, LogKey)>,
    /// Other logs.
    others: BTreeSet<(CompartmentId, LogKey)>,
    /// Areas of which there were more others than are remembered.
    more: BTreeSet<CompartmentId>,
    /// What was charged for them.
    charged: usize,
}

/// Most refused logs that are remembered for a session beside those of which there is something here.
const OTHERS_MAX: usize = 1_024;

impl Refused {
    pub(super) fn insert(&mut self, id: CompartmentId, key: LogKey, held: bool) {
        if held {
            self.held.insert((id, key));
        } else if self.others.len() < OTHERS_MAX {
            self.others.insert((id, key));
        } else if !self.others.contains(&(id, key)) {
            self.more.insert(id);
        }
    }

    /// Whether a log was refused, or may have been.
    pub(super) fn contains(&self, id: CompartmentId, key: LogKey, held: bool) -> bool {
        let known = self.held.contains(&(id, key)) || self.others.contains(&(id, key));
        known || !held && self.more.contains(&id)
    }

    /// Whether nothing was.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.others.is_empty()
    }

    pub(super) fn remove(&mut self, id: CompartmentId, key: LogKey) {
        self.held.remove(&(id, key));
        self.others.remove(&(id, key));
    }
}

impl<S: Store> Replica<S> {
    /// Refuses a run, to be asked for again. Its sender is charged for the entries that were
    /// verified, and for one at least, until it is asked again.
    pub(super) fn refuse(
        &mut self,
        link: Link,
        tag: Tag,
        id: CompartmentId,
        run: &Incoming,
        verified: usize,
    ) -> Result<(), PeerFault> {
        let charged = verified.max(1);
        self.put_off(link, tag, id, run, charged);
        self.charge(link, charged)
    }

    /// Refuses a run, to be asked for again, and gives back what it was charged then.
    pub(super) fn put_off(
        &mut self,
        link: Link,
        tag: Tag,
        id: CompartmentId,
        run: &Incoming,
        charged: usize,
    ) {
        let held = self.areas.get(&id).is_some_and(|area| area.logs.contains_key(&run.key));
        if let Some(session) = self.sessions.get_mut(&link) {
            session.refused.insert(id, run.key, held);
            session.refused.charged = session.refused.charged.saturating_add(charged);
        }
        self.say(link, Frame::Decline { area: tag, logs: vec![(run.key, run.first)] });
        self.note_not_taken(link, &lag_key(id, run.key));
    }

    /// Asks for what was refused: what is known here has changed.
    pub(super) fn ask_again(&mut self) -> Result<(), StoreError> {
        let links: Vec<Link> = self.sessions.keys().copied().collect();
        for link in links {
            let Some(session) = self.sessions.get_mut(&link) else { continue };
            let Refused { held, others, more, charged } = std::mem::take(&mut session.refused);
            session.give_back(charged);
            let logs = held.into_iter().chain(others);
            logs.for_each(|(id, key)| self.say_position(link, id, key));
            for id in more.into_iter().filter(|id| self.may_hear(link, *id)).collect::<Vec<_>>() {
                self.start_comparison(link, id);
            }
            self.ask_branches(link)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_log_that_is_held_is_remembered_and_others_up_to_a_bound() {
        let mut refused = Refused::default();
        let id = CompartmentId([1; 32]);
        let key = |n: usize| LogKey((n as u128).to_be_bytes());
        (0..OTHERS_MAX).for_each(|n| refused.insert(id, key(n), false));
        (0..2 * OTHERS_MAX).for_each(|n| refused.insert(id, key(10_000 + n), true));
        assert!(refused.contains(id, key(OTHERS_MAX - 1), false));
        assert!(!refused.contains(id, key(OTHERS_MAX), false));
        assert!(refused.contains(id, key(10_000 + 2 * OTHERS_MAX - 1), true));
        refused.insert(id, key(OTHERS_MAX), false);
        assert!(refused.contains(id, key(OTHERS_MAX), false), "as far as is known");
        assert!(!refused.contains(id, key(OTHERS_MAX), true));
        assert!(!refused.contains(CompartmentId([2; 32]), key(OTHERS_MAX), false));
        refused.remove(id, key(0));
        assert!(refused.contains(id, key(0), false) && !refused.contains(id, key(0), true));
    }
}
