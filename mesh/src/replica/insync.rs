//! In sync: when it is said that two peers hold the same.
//!
//! That nothing is on its way to the peer is not enough: it may not have looked yet at what was described
//! to it, and what it said that it holds may not have come. So each counts three things until they are
//! settled. A *description* is answered by [`Frame::Same`] when whoever got it owes nothing in the area
//! any more: what the description lacked has arrived, and where it differed otherwise that was said
//! before. So is [`Frame::Behind`], after what follows it. A log in which the peer said that it is ahead
//! is *wanted* until it is durable here. And an area that the greeting showed to differ is *awaited* until
//! the dialer describes it.

use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::frontier::{LogKey, Prefix, Subtree};
use tearline_crdt::id::{Class, CompartmentId};
use tearline_crdt::store::Store;

use super::lag::LagKey;
use super::session::{Phase, Session};
use super::{Event, Link, Output, Replica};
use crate::fault::PeerFault;
use crate::wire::{Frame, Tag};

/// What two peers have said to each other that they hold, as far as it is not settled.
#[derive(Debug, Default)]
pub(super) struct Open {
    /// Descriptions of ours that the peer has not answered.
    asked: u32,
    /// Descriptions of theirs that we have not answered, by area; and without one, that we said that they
    /// are behind.
    owed: BTreeMap<Option<CompartmentId>, u32>,
    /// Logs that they said are longer there, and how long.
    pub(super) wanted: BTreeMap<LagKey, u64>,
    /// Of these, what they have not said again since they were asked again ([`super::owing`]).
    unsaid: BTreeSet<LagKey>,
    /// Logs of ours that a comparison showed them to lack, and of which they have not got that much.
    pub(super) lacking: BTreeSet<LagKey>,
    /// Areas that they are about to describe.
    pub(super) awaited: BTreeSet<CompartmentId>,
}

impl Open {
    /// What they said of logs is to be said again. It counts until they have answered.
    pub(super) fn ask_again(&mut self) {
        self.unsaid = self.wanted.keys().copied().collect();
    }

    /// Forgets what they said of a log.
    pub(super) fn forget(&mut self, key: &LagKey) {
        self.wanted.remove(key);
        self.unsaid.remove(key);
    }

    /// Forgets what they said of the logs of an area.
    pub(super) fn part_with(&mut self, id: CompartmentId) {
        self.wanted.retain(|key, _| key.1 != id);
        self.unsaid.retain(|key| key.1 != id);
        self.awaited.remove(&id);
    }

    pub(super) fn is_settled(&self) -> bool {
        self.asked == 0 && self.wanted.is_empty() && self.awaited.is_empty()
    }
}

impl Session {
    /// Whether both hold the same, as far as is known.
    pub(super) fn is_in_sync(&self) -> bool {
        self.in_sync && self.is_settled()
    }

    fn is_settled(&self) -> bool {
        self.phase == Phase::Live
            && self.lag.is_empty()
            && self.strays.is_empty()
            && self.asked.is_empty()
            && self.open.is_settled()
    }

    /// Whether something that a comparison of an area, or of any, showed to be missing waits for the peer or
    /// is on its way to it. What is new since then is not asked for: in a busy mesh there is always some.
    fn owes(&self, area: Option<CompartmentId>) -> bool {
        let Some(id) = area else {
            let nothing = self.open.lacking.is_empty() && self.strays.is_empty();
            return !(nothing && self.asked.is_empty());
        };
        let lacks = |class: Class| {
            let class = class as u8;
            let span = (class, id, LogKey([0; 16]))..=(class, id, LogKey([0xff; 16]));
            self.open.lacking.range(span).next().is_some()
        };
        Class::ALL.into_iter().any(lacks)
            || self.strays.iter().any(|(area, _)| *area == id)
            || self.asked.keys().any(|(_, area, _)| *area == id)
    }
}

impl<S: Store> Replica<S> {
    /// Describes what is held here; the peer answers.
    pub(super) fn describe(&mut self, link: Link, area: Tag, nodes: Vec<(Prefix, Subtree)>) {
        self.await_answer(link);
        self.say(link, Frame::Nodes { area, nodes });
    }

    /// The peer will say when it owes nothing more.
    pub(super) fn await_answer(&mut self, link: Link) {
        if let Some(session) = self.sessions.get_mut(&link) {
            session.open.asked = session.open.asked.saturating_add(1);
            session.in_sync = false;
        }
    }

    /// The peer is to hear when nothing more is owed to it: in an area that it described, or of all that
    /// it was said to lack.
    pub(super) fn owe_answer(&mut self, link: Link, area: Option<CompartmentId>) {
        if let Some(session) = self.sessions.get_mut(&link) {
            let owed = session.open.owed.entry(area).or_default();
            *owed = owed.saturating_add(1);
            area.iter().for_each(|id| {
                session.open.awaited.remove(id);
            });
        }
    }

    /// The peer said that a log is as long as this there. Whether it is to bring what is missing.
    pub(super) fn want(&mut self, link: Link, key: LagKey, next: u64) -> bool {
        if let Some(session) = self.sessions.get_mut(&link) {
            session.open.wanted.insert(key, next);
            session.open.unsaid.remove(&key);
            session.in_sync = false;
        }
        self.is_to_bring(link, key)
    }

    /// A log is durable here up to a position.
    pub(super) fn arrived_here(&mut self, key: &LagKey, next: u64) {
        self.sessions.change(
            |session| (1..=next).contains(&session.claims(key)),
            |_, session| session.forget_claims(key),
        );
    }

    /// Says that nothing more is owed, where that was to be said.
    pub(super) fn give_answers(&mut self, link: Link) {
        let Some(session) = self.sessions.get(&link).filter(|s| !s.open.owed.is_empty()) else {
            return;
        };
        let device = session.device;
        // An area in which the peer's right is not known is not compared.
        let is_served =
            |id: &CompartmentId| session.started.contains(id) && self.right(*id, &device).is_some();
        let due = session
            .open
            .owed
            .keys()
            .filter(|area| area.as_ref().is_none_or(is_served) && !session.owes(**area));
        let due: Vec<Option<CompartmentId>> = due.copied().collect();
        for area in due {
            let session = self.sessions.get_mut(&link);
            let owed = session.and_then(|session| session.open.owed.remove(&area));
            (0..owed.unwrap_or_default()).for_each(|_| self.say(link, Frame::Same));
        }
    }

    /// The peer owes nothing more of what one description lacked.
    pub(super) fn on_answered(&mut self, link: Link) -> Result<(), PeerFault> {
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(()) };
        match session.open.asked.checked_sub(1) {
            Some(asked) => session.open.asked = asked,
            None => return Err(PeerFault::OutOfTurn(Frame::Same.name())),
        }
        if session.open.asked == 0 {
            let unsaid = std::mem::take(&mut session.open.unsaid);
            session.open.wanted.retain(|key, _| !unsaid.contains(key));
        }
        self.repairs.look();
        self.mark_in_sync(link);
        Ok(())
    }

    /// Remembers that all is equal now, if it is.
    pub(super) fn mark_in_sync(&mut self, link: Link) {
        let Some(session) = self.sessions.get(&link).filter(|session| session.is_settled()) else {
            return;
        };
        let device = session.device;
        let mut shared =
            self.areas.keys().filter(|id| self.right(**id, &device).is_some()).peekable();
        // With a stranger there is nothing to remember, and there may be many.
        if shared.peek().is_none() || !shared.all(|id| session.started.contains(id)) {
            return;
        }
        let digest = self.pair_digest(&device);
        let memory = self.memories.entry(device).or_default();
        memory.digest = Some(digest);
        memory.moved.clear();
        let Some(session) = self.sessions.get_mut(&link) else { return };
        if !session.in_sync {
            session.in_sync = true;
            self.outputs.push_back(Output::Event(Event::InSync(device)));
        }
    }

    /// Remembers of all links on which nothing is open any more that all is equal.
    pub(super) fn mark_settled(&mut self) {
        let settled = self.sessions.iter().filter(|(_, s)| !s.in_sync && s.is_settled());
        let settled: Vec<Link> = settled.map(|(link, _)| *link).collect();
        settled.into_iter().for_each(|link| self.mark_in_sync(link));
    }
}
