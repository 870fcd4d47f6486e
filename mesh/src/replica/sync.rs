//! Frontier sync: finding what moved, and pushing it.
//!
//! To compare an area, one side describes its frontier's root. Whoever gets a description of a
//! subtree compares it with its own: branches that differ are answered by descriptions one level
//! down; leaves are compared log by log. A log in which we are ahead becomes a *lag* of the peer
//! and is pushed; in one in which we are behind we say our position, so that the peer pushes. The
//! number of frames grows with the logs that moved and the logarithm of the logs there are.

use std::collections::BTreeMap;
use std::ops::Bound;

use tearline_crdt::codec::Reader;
use tearline_crdt::entry::fork::{Branch, ForkProof};
use tearline_crdt::frontier::{Leaf, LogKey, NodeHash, Prefix, Subtree, head_tag};
use tearline_crdt::id::{CompartmentId, LogId};
use tearline_crdt::store::{Batch, Store, StoreError};

use super::session::{Flight, Lag, LagKey, lag_key};
use super::{Barrier, Event, Link, Output, Replica};
use crate::fault::PeerFault;
use crate::wire::{Frame, NODES_MAX, POSITIONS_MAX, Tag};

/// Most bytes of entries that a run frame aims at; a larger segment goes alone.
const RUN_BYTES: usize = 128 * 1024;
/// Most comparison frames that a peer may send while nothing that it sends is stored. Comparing
/// a million logs takes fewer.
const IDLE_NODES_MAX: u32 = 20_000;

/// The result of a peer's frame: ours to handle, theirs to answer for.
type Outcome = Result<Result<(), PeerFault>, StoreError>;

impl<S: Store> Replica<S> {
    /// Describes an area's root to the peer, which answers where it differs.
    pub(super) fn start_comparison(&mut self, link: Link, id: CompartmentId) {
        let area = self.tag_of(link, &id);
        let Some(session) = self.sessions.get_mut(&link) else { return };
        session.started.insert(id);
        let Some(held) = self.areas.get(&id) else { return };
        let root = Prefix::default();
        let description = held.frontier.describe(&root);
        self.say(link, Frame::Nodes { area, nodes: vec![(root, description)] });
    }

    /// Compares again all shared areas in which the peer's right became known.
    pub(super) fn start_new_comparisons(&mut self, link: Link) {
        let Some(session) = self.sessions.get(&link) else { return };
        let device = session.device;
        let waiting: Vec<CompartmentId> = session
            .shared
            .difference(&session.started)
            .copied()
            .filter(|id| self.right(*id, &device).is_some())
            .collect();
        waiting.into_iter().for_each(|id| self.start_comparison(link, id));
    }

    pub(super) fn on_nodes(
        &mut self,
        link: Link,
        tag: Tag,
        nodes: Vec<(Prefix, Subtree)>,
    ) -> Outcome {
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(Ok(())) };
        session.idle_nodes += 1;
        if session.idle_nodes > IDLE_NODES_MAX {
            return Ok(Err(PeerFault::Endless));
        }
        let Some(id) = self.served_area(link, tag) else { return Ok(Ok(())) };
        let mut descend = Vec::new();
        let mut positions = Vec::new();
        for (prefix, subtree) in nodes {
            match subtree {
                Subtree::Branches(theirs) => {
                    self.compare_branches(id, &prefix, &theirs, &mut descend);
                }
                Subtree::Leaves(theirs) => {
                    if theirs.iter().any(|leaf| !prefix.holds(&leaf.key)) {
                        return Ok(Err(PeerFault::LogKey));
                    }
                    self.compare_subtree(link, id, &prefix, &theirs, &mut positions)?;
                }
            }
        }
        for part in descend.chunks(NODES_MAX) {
            self.say(link, Frame::Nodes { area: tag, nodes: part.to_vec() });
        }
        self.say_positions(link, tag, positions);
        Ok(Ok(()))
    }

    /// Describes our branches that differ from theirs; those that they lack are described, too, by
    /// what we hold, and those that we lack by nothing, so that they push.
    fn compare_branches(
        &self,
        id: CompartmentId,
        prefix: &Prefix,
        theirs: &[(u8, NodeHash)],
        descend: &mut Vec<(Prefix, Subtree)>,
    ) {
        let Some(area) = self.areas.get(&id) else { return };
        let theirs: BTreeMap<u8, NodeHash> = theirs.iter().copied().collect();
        if prefix.nibbles().len() >= tearline_crdt::frontier::DEPTH_MAX {
            return;
        }
        for branch in 0..16 {
            let child = prefix.child(branch);
            let own = area.frontier.hash(&child);
            let their = theirs.get(&branch).copied().unwrap_or(tearline_crdt::frontier::EMPTY);
            if own != their {
                descend.push((child.clone(), area.frontier.describe(&child)));
            }
        }
    }

    /// Compares all logs below a path with the peer's complete list of them.
    fn compare_subtree(
        &mut self,
        link: Link,
        id: CompartmentId,
        prefix: &Prefix,
        theirs: &[Leaf],
        positions: &mut Vec<Leaf>,
    ) -> Result<(), StoreError> {
        let mut all: BTreeMap<LogKey, Leaf> = theirs.iter().map(|leaf| (leaf.key, *leaf)).collect();
        if let Some(area) = self.areas.get(&id) {
            for (key, _) in area.frontier.below(prefix) {
                all.entry(*key).or_insert(Leaf { key: *key, next: 0, head: [0; 8] });
            }
        }
        all.into_values().try_for_each(|leaf| self.compare_log(link, id, leaf, positions))
    }

    /// Compares one log: pushes, or notes our position where the peer is ahead.
    fn compare_log(
        &mut self,
        link: Link,
        id: CompartmentId,
        theirs: Leaf,
        positions: &mut Vec<Leaf>,
    ) -> Result<(), StoreError> {
        let Some(area) = self.areas.get(&id) else { return Ok(()) };
        let own = area.frontier.head(&theirs.key);
        let log = area.logs.get(&theirs.key).copied();
        if let Some(log) = log
            && self.logbook.state(&log).is_some_and(|state| state.forked_at.is_some())
        {
            // Which branch either holds no longer matters; only a beginner needs one.
            if theirs.next == 0 && own.next > 0 {
                self.push_from(link, id, theirs.key, 0);
            }
            return self.say_fork(link, &log);
        }
        if theirs.next > own.next {
            positions.push(Leaf { key: theirs.key, next: own.next, head: head_tag(&own.id) });
            return Ok(());
        }
        let Some(log) = log else { return Ok(()) };
        // They have a proof that we have not: they answer our position with it.
        let their_tag = theirs.head.map(|byte| !byte);
        let forked_there = theirs.next.checked_sub(1).is_some_and(|last| {
            let entry = self.logbook.entry(&self.store, &log, last);
            entry.is_ok_and(|entry| entry.is_some_and(|entry| head_tag(&entry.id) == their_tag))
        });
        if forked_there {
            positions.push(Leaf { key: theirs.key, next: own.next, head: head_tag(&own.id) });
            return Ok(());
        }
        let common = match theirs.next.checked_sub(1) {
            None => true,
            Some(_) if theirs.next == own.next => head_tag(&own.id) == theirs.head,
            Some(last) => self
                .logbook
                .entry(&self.store, &log, last)?
                .is_some_and(|entry| head_tag(&entry.id) == theirs.head),
        };
        if !common {
            return self.send_evidence(link, &log, theirs.next - 1);
        }
        if theirs.next < own.next {
            self.push_from(link, id, theirs.key, theirs.next);
        }
        Ok(())
    }

    /// The peer holds another branch of a log: ours of that position makes with theirs a proof.
    fn send_evidence(&mut self, link: Link, log: &LogId, seq: u64) -> Result<(), StoreError> {
        let key = lag_key(log.compartment, LogKey::of(log));
        let first = self.sessions.get_mut(&link).is_some_and(|session| session.accused.insert(key));
        if !first {
            return Ok(());
        }
        let Some(own) = self.logbook.branch(&self.store, log, seq)? else { return Ok(()) };
        let area = self.tag_of(link, &log.compartment);
        let mut branch = Vec::new();
        own.encode(&mut branch);
        self.say(link, Frame::Evidence { area, branch });
        Ok(())
    }

    pub(super) fn on_evidence(&mut self, link: Link, tag: Tag, branch: &[u8]) -> Outcome {
        let Some(id) = self.served_area(link, tag) else { return Ok(Ok(())) };
        let mut reader = Reader::new(branch);
        let theirs = match Branch::decode(&mut reader).and_then(|b| reader.finish().map(|()| b)) {
            Ok(theirs) if theirs.log().compartment == id => theirs,
            Ok(_) => return Ok(Err(PeerFault::LogKey)),
            Err(error) => return Ok(Err(PeerFault::Malformed(error))),
        };
        let Some(seq) = theirs.seq() else { return Ok(Err(PeerFault::ForkProof)) };
        if self.logbook.state(theirs.log()).is_some_and(|state| state.forked_at.is_some()) {
            self.say_fork(link, &theirs.log().clone())?;
            return Ok(Ok(()));
        }
        let Some(own) = self.logbook.branch(&self.store, theirs.log(), seq)? else {
            return Ok(Ok(()));
        };
        match ForkProof::new(own, theirs) {
            Ok(proof) => {
                self.keep_fork(&proof)?;
                Ok(Ok(()))
            }
            Err(_) => Ok(Err(PeerFault::ForkProof)),
        }
    }

    pub(super) fn on_fork(&mut self, link: Link, tag: Tag, proof: &[u8]) -> Outcome {
        let Some(id) = self.area_of(link, tag) else { return Ok(Ok(())) };
        match ForkProof::decode(proof) {
            Some(proof) if proof.log().compartment == id => {
                self.keep_fork(&proof)?;
                Ok(Ok(()))
            }
            _ => Ok(Err(PeerFault::ForkProof)),
        }
    }

    /// Keeps a new proof and tells everybody who shares the area.
    fn keep_fork(&mut self, proof: &ForkProof) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        if !self.logbook.fork(&mut batch, proof) {
            return Ok(());
        }
        self.apply(batch)?;
        let log = *proof.log();
        if let Some(area) = self.areas.get_mut(&log.compartment) {
            area.frontier.set_forked(LogKey::of(&log));
        }
        self.forget_digests();
        // How far the log counts has changed; the records are judged with the next input.
        self.stale.insert(log.compartment);
        self.redraw()?;
        self.outputs.push_back(Output::Event(Event::Forked(log)));
        self.forks.push((Barrier(self.next_barrier), log));
        Ok(())
    }

    /// The proofs up to a barrier are durable: everybody who shares the area is told.
    pub(super) fn spread_forks(&mut self, barrier: Barrier) -> Result<(), StoreError> {
        let forks = std::mem::take(&mut self.forks);
        let (durable, waiting): (Vec<_>, Vec<_>) =
            forks.into_iter().partition(|(covered_by, _)| *covered_by <= barrier);
        self.forks = waiting;
        for (_, log) in durable {
            let links: Vec<Link> = self
                .sessions
                .iter()
                .filter(|(_, session)| session.shared.contains(&log.compartment))
                .map(|(link, _)| *link)
                .collect();
            for link in links {
                if let Some(session) = self.sessions.get_mut(&link) {
                    session.accused.remove(&lag_key(log.compartment, LogKey::of(&log)));
                }
                self.say_fork(link, &log)?;
            }
        }
        Ok(())
    }

    fn say_positions(&mut self, link: Link, area: Tag, mut positions: Vec<Leaf>) {
        positions.sort_by_key(|leaf| leaf.key);
        positions.dedup_by_key(|leaf| leaf.key);
        for part in positions.chunks(POSITIONS_MAX) {
            self.say(link, Frame::Positions { area, positions: part.to_vec() });
        }
    }

    pub(super) fn on_positions(&mut self, link: Link, tag: Tag, theirs: &[Leaf]) -> Outcome {
        let Some(id) = self.served_area(link, tag) else { return Ok(Ok(())) };
        if !theirs.windows(2).all(|pair| matches!(pair, [a, b] if a.key < b.key)) {
            return Ok(Err(PeerFault::LogKey));
        }
        for leaf in theirs {
            let own = self.areas.get(&id).map_or(0, |a| a.frontier.head(&leaf.key).next);
            if leaf.next > own {
                // They got ahead meanwhile; they know where we are from what we sent.
                continue;
            }
            if leaf.next == own
                && let Some(session) = self.sessions.get_mut(&link)
            {
                drop_lag(&mut session.unacked, &mut session.lag, &lag_key(id, leaf.key));
            }
            self.compare_log(link, id, *leaf, &mut Vec::new())?;
        }
        Ok(Ok(()))
    }

    /// The area of a tag, if the peer may be served from it. A peer whose standing we do not know
    /// yet gets nothing; the comparison starts when we learn of it.
    fn served_area(&mut self, link: Link, tag: Tag) -> Option<CompartmentId> {
        let id = self.area_of(link, tag)?;
        let session = self.sessions.get_mut(&link)?;
        let device = session.device;
        let may = self.right(id, &device).is_some();
        let session = self.sessions.get_mut(&link)?;
        if may {
            session.started.insert(id);
            return Some(id);
        }
        session.started.remove(&id);
        None
    }

    /// Pushes a log from a position on: the peer said that it is there.
    fn push_from(&mut self, link: Link, id: CompartmentId, key: LogKey, next: u64) {
        let Some(session) = self.sessions.get_mut(&link) else { return };
        let lag_key = lag_key(id, key);
        drop_lag(&mut session.unacked, &mut session.lag, &lag_key);
        session.in_sync = false;
        session.declined.remove(&lag_key);
        session.lag.insert(lag_key, Lag::at(next));
    }

    pub(super) fn on_have(
        &mut self,
        link: Link,
        tag: Tag,
        logs: &[(LogKey, u64)],
    ) -> Result<(), PeerFault> {
        let Some(id) = self.area_of(link, tag) else { return Ok(()) };
        let Some(area) = self.areas.get(&id) else { return Ok(()) };
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(()) };
        for (key, next) in logs {
            let key_in_order = lag_key(id, *key);
            let Some(lag) = session.lag.get_mut(&key_in_order) else { continue };
            let own = area.frontier.head(key).next;
            if *next > own.max(lag.sent) {
                return Err(PeerFault::Acknowledged);
            }
            lag.acked = lag.acked.max(*next);
            lag.sent = lag.sent.max(*next);
            while let Some(flight) = lag.flight.front().copied().filter(|f| f.end <= *next) {
                lag.flight.pop_front();
                session.unacked = session.unacked.saturating_sub(flight.bytes);
                session.window.acknowledged(self.clock.0.saturating_sub(flight.at.0));
            }
            if lag.acked >= own {
                drop_lag(&mut session.unacked, &mut session.lag, &key_in_order);
            }
        }
        if session.lag.is_empty() {
            self.mark_in_sync(link);
        }
        Ok(())
    }

    /// The peer takes no more of these logs: nothing of them is on its way or waits.
    pub(super) fn on_decline(&mut self, link: Link, tag: Tag, logs: &[LogKey]) {
        let Some(id) = self.area_of(link, tag) else { return };
        let Some(session) = self.sessions.get_mut(&link) else { return };
        for key in logs {
            let key = lag_key(id, *key);
            if session.lag.contains_key(&key) {
                session.declined.insert(key);
                drop_lag(&mut session.unacked, &mut session.lag, &key);
            }
        }
    }

    /// Says that a log is forked, once in a session.
    pub(super) fn say_fork(&mut self, link: Link, log: &LogId) -> Result<(), StoreError> {
        let key = lag_key(log.compartment, LogKey::of(log));
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(()) };
        if !session.accused.insert(key) {
            return Ok(());
        }
        let Some(proof) = self.logbook.proof(&self.store, log)? else { return Ok(()) };
        let area = self.tag_of(link, &log.compartment);
        self.say(link, Frame::Fork { area, proof });
        Ok(())
    }

    /// Gives an idle link its next frame: what was said first, then the most urgent run.
    pub(super) fn pump(&mut self, link: Link) -> Result<(), StoreError> {
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(()) };
        if session.busy {
            return Ok(());
        }
        let bytes = match session.unqueue() {
            Some(frame) => Some(frame),
            None => self.next_run(link)?,
        };
        let Some(bytes) = bytes else { return Ok(()) };
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(()) };
        session.busy = true;
        session.bytes_out += bytes.len() as u64;
        self.outputs.push_back(Output::Send { link, bytes });
        Ok(())
    }

    fn next_run(&mut self, link: Link) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(key) = self.next_log(link) else { return Ok(None) };
        let (_, id, log_key) = key;
        let device = self.sessions.get(&link).map(|session| session.device);
        if device.is_none_or(|device| self.right(id, &device).is_none()) {
            // Its right ended while this waited.
            if let Some(session) = self.sessions.get_mut(&link) {
                drop_lag(&mut session.unacked, &mut session.lag, &key);
            }
            return Ok(None);
        }
        let Some(area) = self.areas.get(&id) else { return Ok(None) };
        let durable = area.frontier.head(&log_key).next;
        let Some(log) = area.logs.get(&log_key).copied() else { return Ok(None) };
        let Some(session) = self.sessions.get(&link) else { return Ok(None) };
        let from = session.lag.get(&key).map_or(0, |lag| lag.sent);
        let frame_bytes = (session.window.0 / 2).min(RUN_BYTES);
        let stretch = self.logbook.read(&self.store, &log, from..durable, frame_bytes)?;
        let area = self.tag_of(link, &id);
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(None) };
        session.cursor = Some(key);
        let Some(stretch) = stretch else {
            // The position is inside a segment: no honest peer is there. It gets no more of it.
            drop_lag(&mut session.unacked, &mut session.lag, &key);
            return Ok(None);
        };
        let end = from + stretch.count as u64;
        let size = stretch.entries.len() + stretch.boxes.len();
        if let Some(lag) = session.lag.get_mut(&key) {
            lag.sent = end;
            lag.flight.push_back(Flight { end, bytes: size, at: self.clock });
            session.unacked += size;
        }
        let frame = Frame::Run {
            area,
            key: log_key,
            author: (from == 0).then_some((log.device, log.incarnation)),
            first: from,
            count: stretch.count,
            entries: stretch.entries,
            boxes: stretch.boxes,
        };
        Ok(Some(frame.encode()))
    }

    /// The log to send from next: of the most urgent class that has anything unsent, in turns. The
    /// window does not hold back what is more urgent than routine.
    fn next_log(&self, link: Link) -> Option<LagKey> {
        let session = self.sessions.get(&link)?;
        let unsent = |(key, lag): (&LagKey, &Lag)| {
            let (_, id, log) = key;
            let head = self.areas.get(id)?.frontier.head(log).next;
            (lag.sent < head).then_some(*key)
        };
        let first = session.lag.iter().find_map(unsent)?;
        let class = first.0;
        if session.unacked >= session.window.0 && class >= PRIORITY {
            return None;
        }
        let after = session.cursor.filter(|cursor| cursor.0 == class).unwrap_or(first);
        session
            .lag
            .range((Bound::Excluded(after), Bound::Unbounded))
            .take_while(|(key, _)| key.0 == class)
            .find_map(unsent)
            .or(Some(first))
    }
}

/// The least urgent classes, which wait for the window.
const PRIORITY: u8 = tearline_crdt::id::Class::Priority as u8;

fn drop_lag(unacked: &mut usize, lags: &mut BTreeMap<LagKey, Lag>, key: &LagKey) {
    if let Some(lag) = lags.remove(key) {
        let flight: usize = lag.flight.iter().map(|flight| flight.bytes).sum();
        *unacked = unacked.saturating_sub(flight);
    }
}
