//! Forks: proving that an author wrote two logs in the place of one, and agreeing on what is shared.
//!
//! Two peers that hold other entries at one position of a log each hold half of a proof. A proof of
//! a late position says too little: what both hold before it may differ, too. So they look for the
//! lowest position at which they differ. Each says what it holds at a few positions, *rungs*, and
//! the other answers with rungs between the last that is the same and the first that is not, until
//! these are neighbours. Entries before the fork go on being taken and passed on, as far as their
//! segments lie before it; what lies beyond stays where it is and does not count. So all peers end
//! with the same of a forked log, whatever branches they hold.

use std::collections::BTreeSet;
use std::sync::Arc;

use tearline_crdt::codec::{DecodeError, Reader};
use tearline_crdt::entry::fork::{Branch, ForkProof};
use tearline_crdt::entry::run::Head;
use tearline_crdt::frontier::{Leaf, LogKey};
use tearline_crdt::id::LogId;
use tearline_crdt::store::{Batch, Store, StoreError};
use tearline_crdt::time::Now;

use super::lag::{LagKey, lag_key};
use super::repair::unless_damaged;
use super::sync::Outcome;
use super::{Barrier, Event, Link, Output, Replica};
use crate::fault::PeerFault;
use crate::wire::{Frame, Tag};

/// Most positions that one evidence frame proves. Each takes up to 700 bytes.
const RUNGS_MAX: u64 = 12;
/// What saying evidence is charged at: to prove a position, a segment is read twice, and a segment may
/// take as many reads as 4 positions do.
const ASKED_PER_EVIDENCE: usize = 2 * 4 * RUNGS_MAX as usize;
/// How often a proof is said in one session: a peer may not be able to keep it at first.
const SAID_MAX: u8 = 4;

/// What a peer's leaf of a forked log says, beside what is held here.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// It holds the same up to its position, and has no proof.
    pub(super) same: bool,
    /// It holds the same up to its position, and knows that the log is forked.
    pub(super) they_know: bool,
    /// Its position is beyond all that is held here.
    pub(super) ahead: bool,
}

impl<S: Store> Replica<S> {
    /// Compares a log of which a fork is proven here.
    pub(super) fn compare_forked(
        &mut self,
        link: Link,
        log: &LogId,
        theirs: &Leaf,
        view: View,
        positions: &mut Vec<Leaf>,
    ) -> Result<(), StoreError> {
        let id = log.compartment;
        let Some(area) = self.areas.get(&id) else { return Ok(()) };
        let own = area.frontier.leaf(&theirs.key);
        if view.same || view.they_know {
            if theirs.next < own.next {
                self.push_from(link, id, theirs.key, theirs.next);
            }
            // A beginner is told when it has the beginning; who knows more than we do of the log has
            // a higher proof.
            let beginner = theirs.next == 0 && own.next > 0;
            let told = view.they_know && theirs.next <= own.next;
            return if beginner || told { Ok(()) } else { self.say_fork(link, log) };
        }
        if view.ahead {
            if self.logbook.head(log).next == own.next {
                positions.push(own);
            }
            return self.say_fork(link, log);
        }
        if theirs.next <= own.next {
            return self.dispute(link, log, theirs.next);
        }
        self.say_fork(link, log)
    }

    /// The peer holds another entry before this position: begins to look for the first such entry.
    pub(super) fn dispute(&mut self, link: Link, log: &LogId, next: u64) -> Result<(), StoreError> {
        let Some(last) = next.checked_sub(1) else { return Ok(()) };
        let key = lag_key(log.compartment, LogKey::of(log));
        let first =
            self.sessions.get_mut(&link).is_some_and(|session| session.disputed.insert(key));
        if first { self.say_evidence(link, log, 0, last) } else { Ok(()) }
    }

    /// Says what we hold at some positions from `low` to `high`, and before them.
    fn say_evidence(
        &mut self,
        link: Link,
        log: &LogId,
        low: u64,
        high: u64,
    ) -> Result<(), StoreError> {
        let area = self.tag_of(link, &log.compartment);
        let evidence = self.evidence(area, log, low, high)?;
        self.say(link, evidence);
        Ok(())
    }

    /// What we hold at some positions from `low` to `high`, and before them, for a peer who calls the
    /// area so.
    pub(super) fn evidence(
        &self,
        area: Tag,
        log: &LogId,
        low: u64,
        high: u64,
    ) -> Result<Frame, StoreError> {
        let mut branches = Vec::new();
        for seq in rungs(low, high) {
            // What cannot be read is passed over, as what is not held.
            if let Some(own) = unless_damaged(self.logbook.branch(&self.store, log, seq))? {
                own.encode(&mut branches);
            }
        }
        Ok(Frame::Evidence { area, branches })
    }

    pub(super) fn on_evidence(&mut self, now: Now, link: Link, tag: Tag, bytes: &[u8]) -> Outcome {
        let Some(id) = self.served_area(link, tag) else { return Ok(Ok(())) };
        let theirs = match branches(bytes) {
            Ok(theirs) => theirs,
            Err(error) => return Ok(Err(PeerFault::Malformed(error))),
        };
        let Some(log) = theirs.first().map(|branch| *branch.log()) else { return Ok(Ok(())) };
        if log.compartment != id || theirs.iter().any(|branch| *branch.log() != log) {
            return Ok(Err(PeerFault::LogKey));
        }
        let seqs: Vec<u64> = theirs.iter().filter_map(Branch::seq).collect();
        if seqs.len() < theirs.len() || !seqs.windows(2).all(|p| matches!(p, [a, b] if a < b)) {
            return Ok(Err(PeerFault::ForkProof));
        }
        if let Err(fault) = self.charge(link, theirs.len()) {
            return Ok(Err(fault));
        }
        let mut shared = 0;
        let mut proof = None;
        for (seq, theirs) in seqs.into_iter().zip(theirs) {
            let own = self.logbook.entry(&self.store, &log, seq);
            let Some(own) = self.past_damage(own)? else { break };
            if own.id == theirs.id() {
                shared = seq.saturating_add(1);
                continue;
            }
            let own = self.logbook.branch(&self.store, &log, seq);
            match self.past_damage(own)?.map(|own| ForkProof::new(own, theirs)) {
                Some(Ok(found)) => proof = Some(found),
                Some(Err(_)) => return Ok(Err(PeerFault::ForkProof)),
                None => {}
            }
            break;
        }
        let Some(proof) = proof else { return Ok(Ok(())) };
        let news = self.keep_fork(now, &proof)?;
        let known = self.logbook.state(&log).and_then(|state| state.proven_at);
        if known.is_some_and(|known| known < proof.seq()) {
            self.say_fork(link, &log)?;
        } else if shared < proof.seq() {
            // Each step of a search is news; who goes on without any searches nothing.
            let asked = if news { 0 } else { ASKED_PER_EVIDENCE };
            if let Err(fault) = self.charge(link, asked) {
                return Ok(Err(fault));
            }
            self.say_evidence(link, &log, shared, proof.seq())?;
        }
        Ok(Ok(()))
    }

    pub(super) fn on_fork(&mut self, now: Now, link: Link, tag: Tag, proof: &[u8]) -> Outcome {
        let Some(id) = self.area_of(link, tag) else { return Ok(Ok(())) };
        match ForkProof::decode(proof) {
            Some(proof) if proof.log().compartment == id => {
                // News are their author's doing.
                let sound = self.keep_fork(now, &proof)? || self.may_ask(link, 1);
                Ok(if sound { Ok(()) } else { Err(PeerFault::Endless) })
            }
            Some(_) => Ok(Err(PeerFault::ForkProof)),
            None => self.on_excess(link, id, proof),
        }
    }

    /// Keeps a proof that is news; whether it is. What the log says counts up to the fork from now on;
    /// everybody who shares the area is told once that is durable.
    pub(super) fn keep_fork(&mut self, now: Now, proof: &ForkProof) -> Result<bool, StoreError> {
        let log = *proof.log();
        let before = self.logbook.state(&log);
        if before.is_none() && !(self.has_room_for(&log) && self.admits(&log, None)) {
            return Ok(false);
        }
        let mut batch = Batch::default();
        let forked = self.logbook.fork(&self.store, &mut batch, proof).map(Some);
        // Where it cannot be read what the branches share, the proof is kept when it comes again: whoever
        // compares the log says it.
        if self.past_damage(forked)? != Some(true) {
            return Ok(false);
        }
        self.keep_beyond(&mut batch, &log)?;
        self.apply(batch)?;
        if let Some(area) = self.areas.get_mut(&log.compartment) {
            area.logs.insert(LogKey::of(&log), Arc::new(log));
        }
        if before.is_none_or(|state| state.proven_at.is_none()) {
            self.outputs.push_back(Output::Event(Event::Forked(log)));
        }
        self.forks.push((Barrier(self.next_barrier), log));
        self.note_incarnation(&log)?;
        self.stale.insert(log.compartment);
        self.redraw()?;
        self.seals_wanted = true;
        self.open_waiting(now)?;
        Ok(true)
    }

    /// The proofs up to a barrier are durable: everybody who shares the area is told them, and what
    /// is shared of the log here. Whether there are any.
    pub(super) fn spread_forks(&mut self, barrier: Barrier) -> Result<bool, StoreError> {
        let forks = std::mem::take(&mut self.forks);
        let (durable, waiting): (Vec<_>, Vec<_>) =
            forks.into_iter().partition(|(covered_by, _)| *covered_by <= barrier);
        self.forks = waiting;
        let durable: BTreeSet<LogId> = durable.into_iter().map(|(_, log)| log).collect();
        for log in &durable {
            let key = LogKey::of(log);
            let said = self.areas.get(&log.compartment).map(|area| area.frontier.head(&key));
            let durable = self.durable_head(log).or(said);
            self.advertise(log, durable.unwrap_or(Head::EMPTY));
            let links: Vec<Link> = self
                .sessions
                .iter()
                .filter(|(_, session)| session.shared.contains(&log.compartment))
                .map(|(link, _)| *link)
                .collect();
            for link in links {
                self.tell_fork(link, log)?;
            }
        }
        if !durable.is_empty() {
            self.forget_digests();
        }
        Ok(!durable.is_empty())
    }

    fn tell_fork(&mut self, link: Link, log: &LogId) -> Result<(), StoreError> {
        let key = LogKey::of(log);
        let Some(area) = self.areas.get(&log.compartment) else { return Ok(()) };
        let position = area.frontier.leaf(&key);
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(()) };
        let lag_key = lag_key(log.compartment, key);
        session.accused.remove(&lag_key);
        session.disputed.remove(&lag_key);
        session.declined.remove(&lag_key);
        session.open.wanted.remove(&lag_key);
        if session.lag.get(&lag_key).is_some_and(|lag| lag.sent >= position.next) {
            session.drop_lag(&lag_key);
        }
        let device = session.device;
        self.say_fork(link, log)?;
        if self.right(log.compartment, &device).is_some() {
            let area = self.tag_of(link, &log.compartment);
            self.say_positions(link, area, vec![position]);
        }
        Ok(())
    }

    /// Where a log ends here, if all of it is durable.
    pub(super) fn durable_head(&self, log: &LogId) -> Option<Head> {
        let waits = self.arrivals.iter().any(|(_, arrival)| arrival.log == *log);
        (!waits).then(|| self.logbook.head(log))
    }

    /// Advertises a log up to a head that is durable; of a forked one, what its branches share; one of a
    /// device with too many incarnations not at all.
    pub(super) fn advertise(&mut self, log: &LogId, durable: impl Into<Arc<Head>>) {
        let durable = durable.into();
        let key = LogKey::of(log);
        if self.logbook.has_excess(log.compartment, log.device) || !self.admits(log, None) {
            return;
        }
        let proven = self.logbook.state(log).filter(|state| {
            state.proven_at.is_some() && !self.forks.iter().any(|(_, waits)| waits == log)
        });
        let shared = proven.map(|state| state.shared);
        let Some(area) = self.areas.get_mut(&log.compartment) else { return };
        match shared {
            Some(shared) if shared.next < durable.next => area.frontier.set_forked(key, shared),
            Some(_) => area.frontier.set_forked(key, durable),
            None => area.frontier.set(key, durable),
        }
    }

    /// Says that a log is forked, a few times in a session at most, and not before that is durable.
    pub(super) fn say_fork(&mut self, link: Link, log: &LogId) -> Result<(), StoreError> {
        let waits = self.forks.iter().any(|(_, waits)| waits == log);
        if waits || !self.may_hear(link, log.compartment) {
            return Ok(());
        }
        let key = lag_key(log.compartment, LogKey::of(log));
        if !self.may_accuse(link, key) {
            return Ok(());
        }
        let Some(proof) = self.logbook.proof(&self.store, log)? else { return Ok(()) };
        let area = self.tag_of(link, &log.compartment);
        self.say(link, Frame::Fork { area, proof });
        Ok(())
    }

    /// Whether a proof may be said once more in a session.
    pub(super) fn may_accuse(&mut self, link: Link, key: LagKey) -> bool {
        let Some(session) = self.sessions.get_mut(&link) else { return false };
        let said = session.accused.entry(key).or_default();
        *said = said.saturating_add(1);
        *said <= SAID_MAX
    }
}

/// Positions spread evenly from `low` to `high`, both among them, and the one before.
fn rungs(low: u64, high: u64) -> Vec<u64> {
    let span = high.saturating_sub(low);
    let steps = span.min(RUNGS_MAX - 2);
    let rung = |n: u64| low + span / steps.max(1) * n + span % steps.max(1) * n / steps.max(1);
    let before = low.checked_sub(1);
    let spread = (0..steps).map(rung);
    before.into_iter().chain(spread).chain(std::iter::once(high)).collect()
}

fn branches(bytes: &[u8]) -> Result<Vec<Branch>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let mut branches = Vec::new();
    while reader.left() > 0 {
        if branches.len() as u64 >= RUNGS_MAX {
            return reader.invalid(reader.at(), "branches");
        }
        branches.push(Branch::decode(&mut reader)?);
    }
    Ok(branches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rungs_ascend_are_bounded_and_close_in_on_any_position() {
        for high in [0, 1, 5, 10, 11, 12, 1_000, u64::MAX - 1] {
            for first in [0, 1, high / 3, high.saturating_sub(1), high] {
                let (mut low, mut differs) = (0, high);
                let mut rounds = 0;
                while low < differs {
                    let rungs = rungs(low, differs);
                    assert!(rungs.len() as u64 <= RUNGS_MAX);
                    assert!(rungs.windows(2).all(|pair| pair[0] < pair[1]), "{rungs:?}");
                    low = rungs.iter().filter(|seq| **seq < first).max().map_or(0, |seq| seq + 1);
                    differs = *rungs.iter().find(|seq| **seq >= first).unwrap();
                    rounds += 1;
                }
                assert_eq!(differs, first.min(high));
                assert!(rounds <= 21);
            }
        }
    }
}
