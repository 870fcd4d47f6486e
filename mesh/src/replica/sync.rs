//! Frontier sync: finding what moved, and pushing it.
//!
//! To compare an area, one side describes its frontier's root. Whoever gets a description of a
//! subtree compares it with its own: branches that differ are answered by descriptions one level
//! down; leaves are compared log by log. A log in which we are ahead becomes a *lag* of the peer
//! and is pushed; in one in which we are behind we say our position, so that the peer pushes. The
//! number of frames grows with the logs that moved and the logarithm of the logs there are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, Range};

use tearline_crdt::entry::run::Head;
use tearline_crdt::frontier::{Leaf, LogKey, NodeHash, Prefix, Subtree, forked_tag, head_tag};
use tearline_crdt::id::{Class, CompartmentId, LogId};
use tearline_crdt::logbook::Stretch;
use tearline_crdt::store::{Store, StoreError};

use super::area::Body;
use super::fork::View;
use super::lag::{Flight, Lag, LagKey, lag_key};
use super::session::Phase;
use super::{Link, Output, Replica};
use crate::fault::PeerFault;
use crate::urgency::Urgency;
use crate::wire::{Frame, NODES_MAX, POSITIONS_MAX, Tag};

/// Most bytes of entries that a run frame aims at; a larger segment goes alone.
pub(super) const RUN_BYTES: usize = 128 * 1024;
/// A run on its way out.
pub(super) struct Outgoing {
    pub(super) frame: Frame,
    /// Seq after its last entry.
    pub(super) end: u64,
    /// Bytes of its entries and key boxes.
    pub(super) bytes: usize,
}

/// The result of a peer's frame: ours to handle, theirs to answer for.
pub(super) type Outcome = Result<Result<(), PeerFault>, StoreError>;

impl<S: Store> Replica<S> {
    /// Describes an area's root to the peer, which answers where it differs.
    pub(super) fn start_comparison(&mut self, link: Link, id: CompartmentId) {
        let area = self.tag_of(link, &id);
        let Some(session) = self.sessions.get_mut(&link) else { return };
        session.started.insert(id);
        let Some(held) = self.areas.get(&id) else { return };
        let root = Prefix::default();
        let description = held.frontier.describe(&root);
        self.describe(link, area, vec![(root, description)]);
    }

    /// Compares the areas in which the peer's right became known: those that it may name, and
    /// coalitions' own, which nobody introduces.
    pub(super) fn start_new_comparisons(&mut self, link: Link) {
        let Some(session) = self.sessions.get(&link) else { return };
        if session.phase != Phase::Live {
            return;
        }
        let device = session.device;
        let named: BTreeSet<CompartmentId> = session.names.values().copied().collect();
        let waiting: Vec<CompartmentId> = self
            .areas
            .iter()
            .filter(|(id, area)| {
                (matches!(area.body, Body::Coalition(_)) || named.contains(*id))
                    && !session.started.contains(*id)
                    && self.right(**id, &device).is_some()
            })
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            self.name(link, id);
            self.start_comparison(link, id);
        }
    }

    /// Compares the areas again in which other logs are named than before.
    pub(super) fn compare_renamed(&mut self, link: Link) {
        let Some(session) = self.sessions.get(&link) else { return };
        let device = session.device;
        let shared = self.renamed.iter().filter(|id| session.started.contains(*id));
        let shared: Vec<CompartmentId> =
            shared.filter(|id| self.right(**id, &device).is_some()).copied().collect();
        shared.into_iter().for_each(|id| self.start_comparison(link, id));
    }

    pub(super) fn on_nodes(
        &mut self,
        link: Link,
        tag: Tag,
        nodes: Vec<(Prefix, Subtree)>,
    ) -> Outcome {
        if !nodes.windows(2).all(|pair| matches!(pair, [(a, _), (b, _)] if a < b)) {
            return Ok(Err(PeerFault::LogKey));
        }
        let logs: usize = nodes.iter().map(|(_, subtree)| subtree.len().max(1)).sum();
        if let Err(fault) = self.charge(link, logs.max(1)) {
            return Ok(Err(fault));
        }
        let Some(id) = self.area_of(link, tag) else { return Ok(Ok(())) };
        self.owe_answer(link, Some(id));
        if self.served_area(link, tag).is_none() {
            return Ok(Ok(()));
        }
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
                    let frontier = self.areas.get(&id).map(|area| &area.frontier);
                    let own = frontier.map_or(0, |frontier| frontier.below(&prefix).count());
                    if let Err(fault) = self.charge(link, own.saturating_sub(theirs.len())) {
                        return Ok(Err(fault));
                    }
                    self.compare_subtree(link, id, &prefix, &theirs, &mut positions)?;
                }
            }
        }
        for part in descend.chunks(NODES_MAX) {
            self.describe(link, tag, part.to_vec());
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
                all.entry(*key).or_insert_with(|| Leaf {
                    key: *key,
                    next: 0,
                    head: head_tag(&Head::EMPTY.id),
                });
            }
        }
        all.into_values().try_for_each(|leaf| self.compare_log(link, id, leaf, positions))
    }

    /// Compares one log: pushes, or notes our position where the peer is ahead.
    pub(super) fn compare_log(
        &mut self,
        link: Link,
        id: CompartmentId,
        theirs: Leaf,
        positions: &mut Vec<Leaf>,
    ) -> Result<(), StoreError> {
        let Some(area) = self.areas.get(&id) else { return Ok(()) };
        let own = area.frontier.leaf(&theirs.key);
        let forked = area.frontier.is_forked(&theirs.key);
        let Some(log) = area.logs.get(&theirs.key).map(|log| **log) else {
            if theirs == own {
                return Ok(());
            }
            if Self::is_of_strays(id, &theirs.key) {
                return self.compare_strays(link, id, theirs.next);
            }
            if let Some(device) = self.excess_at(id, &theirs.key) {
                return self.say_excess(link, id, device);
            }
            if let Some(choice) = area.choices.get(&theirs.key).copied() {
                return self.compare_branch(link, id, (&choice, theirs), positions);
            }
            if theirs.next <= own.next || self.want(link, lag_key(id, theirs.key), theirs.next) {
                positions.push(own);
            }
            return Ok(());
        };
        if self.logbook.has_excess(id, log.device) {
            // They hear it by the leaf that stands here in the place of the logs.
            return Ok(());
        }
        if !self.admits(&log, None) {
            // It is as if nothing of it were here.
            return Ok(());
        }
        if self.lacks_what_is_gone(link, &log, theirs.next) {
            return if forked { self.say_fork(link, &log) } else { Ok(()) };
        }
        let held = match self.tag_at(&log, theirs.next) {
            Err(error @ StoreError::Damaged { .. }) => {
                self.note_gap(&error)?;
                self.lacks_unreadable(link, &log, theirs.next);
                return Ok(());
            }
            held => held?,
        };
        let same = held == Some(theirs.head);
        let they_know = held.map(forked_tag) == Some(theirs.head);
        if forked {
            let view = View { same, they_know, ahead: held.is_none() };
            return self.compare_forked(link, &log, &theirs, view, positions);
        }
        if they_know || held.is_none() {
            // They are ahead, or have a proof that we have not: they answer our position with it.
            if theirs.next <= own.next || self.want(link, lag_key(id, theirs.key), theirs.next) {
                positions.push(own);
            }
            return Ok(());
        }
        if !same {
            return self.dispute(link, &log, theirs.next);
        }
        if theirs.next < own.next {
            self.push_from(link, id, theirs.key, theirs.next);
        }
        Ok(())
    }

    /// The tag of the head that a log had here when it was so long; `None` if it never was.
    pub(super) fn tag_at(&self, log: &LogId, next: u64) -> Result<Option<[u8; 8]>, StoreError> {
        let head = self.logbook.head(log);
        let Some(last) = next.checked_sub(1).filter(|_| next != head.next) else {
            return Ok(Some(head_tag(if next == 0 { &Head::EMPTY.id } else { &head.id })));
        };
        let begins = self.logbook.begins(log);
        if next == begins.next {
            return Ok(Some(head_tag(&begins.id)));
        }
        if let Some(gap) = self.gap_from(log, last).filter(|gap| gap.span.end == next) {
            return Ok(Some(head_tag(&gap.last)));
        }
        let entry = self.logbook.entry(&self.store, log, last)?;
        Ok(entry.map(|entry| head_tag(&entry.id)))
    }

    pub(super) fn say_positions(&mut self, link: Link, area: Tag, mut positions: Vec<Leaf>) {
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
        let asks = |leaf: &&Leaf| {
            let session = self.sessions.get(&link);
            session.is_none_or(|session| !session.is_answer(&lag_key(id, leaf.key), leaf.next))
        };
        let asked = theirs.iter().filter(asks).count();
        if let Err(fault) = self.charge(link, asked) {
            return Ok(Err(fault));
        }
        let mut positions = Vec::new();
        for leaf in theirs {
            let Some(area) = self.areas.get(&id) else { break };
            let own = area.frontier.head(&leaf.key).next;
            let forked = area.frontier.is_forked(&leaf.key);
            let chosen = area.choices.contains_key(&leaf.key);
            if leaf.next >= own
                && let Some(session) = self.sessions.get_mut(&link)
            {
                session.forget_log(&lag_key(id, leaf.key));
            }
            if leaf.next > own && !(forked || chosen) {
                // They got ahead meanwhile; they know where we are from what we sent.
                continue;
            }
            let mut ahead = Vec::new();
            self.compare_log(link, id, *leaf, &mut ahead)?;
            if forked || chosen {
                positions.append(&mut ahead);
            }
        }
        self.say_positions(link, tag, positions);
        if let Some(session) = self.sessions.get_mut(&link) {
            session.side.is_known();
        }
        if self.sessions.get(&link).is_some_and(|session| !session.in_sync) {
            // It may have been the last that was open.
            self.mark_in_sync(link);
        }
        Ok(Ok(()))
    }

    /// The area of a tag, if the peer may be served from it. A peer whose standing we do not know
    /// yet gets nothing; the comparison starts when we learn of it.
    pub(super) fn served_area(&mut self, link: Link, tag: Tag) -> Option<CompartmentId> {
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
    pub(super) fn push_from(&mut self, link: Link, id: CompartmentId, key: LogKey, next: u64) {
        let own = self.areas.get(&id).map_or(0, |area| area.frontier.head(&key).next);
        let Some(session) = self.sessions.get_mut(&link) else { return };
        let lag_key = lag_key(id, key);
        let continues = |flight: &Flight| (flight.first..flight.end).contains(&next);
        if session.lag.get(&lag_key).is_some_and(|lag| lag.flight.iter().any(continues)) {
            // What continues it there is on its way, and will be answered.
            session.arrived(&lag_key, next, u64::MAX);
        } else {
            session.drop_lag(&lag_key);
            session.declined.remove(&lag_key);
            session.lag.insert(lag_key, Lag::at(next));
        }
        session.in_sync = false;
        session.owe(lag_key, own);
    }

    pub(super) fn on_have(&mut self, link: Link, tag: Tag, logs: &[(LogKey, u64)]) -> Outcome {
        let Some(id) = self.area_of(link, tag) else { return Ok(Ok(())) };
        self.hear(link, id);
        let Some(area) = self.areas.get(&id) else { return Ok(Ok(())) };
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(Ok(())) };
        let mut told = Vec::new();
        for (key, next) in logs {
            let key_in_order = lag_key(id, *key);
            let Some(lag) = session.lag.get(&key_in_order) else { continue };
            let own = area.frontier.head(key).next;
            // What was sent may be more than is shared, once a fork is proven.
            let held = area.logs.get(key).map_or(0, |log| self.logbook.head(log).next);
            if *next > held.max(lag.sent) {
                return Ok(Err(PeerFault::Acknowledged));
            }
            for flight in session.arrived(&key_in_order, *next, own) {
                session.window.acknowledged(self.clock.0.saturating_sub(flight.at.0));
            }
            if !session.lag.contains_key(&key_in_order) {
                // Who was a beginner can keep the proof now.
                let log = area.logs.get(key).filter(|_| area.frontier.is_forked(key));
                told.extend(log.map(|log| **log));
            }
        }
        if session.lag.is_empty() {
            self.mark_in_sync(link);
        }
        told.iter().try_for_each(|log| self.say_fork(link, log))?;
        Ok(Ok(()))
    }

    /// The peer takes no more of these logs now.
    pub(super) fn on_decline(&mut self, link: Link, tag: Tag, logs: &[(LogKey, u64)]) {
        let Some(id) = self.area_of(link, tag) else { return };
        let Some(session) = self.sessions.get_mut(&link) else { return };
        for (key, first) in logs {
            let key = lag_key(id, *key);
            if session.asking.remove(&key).is_some() {
                self.repairs.look();
            }
            session.declines(&key, *first);
        }
    }

    /// Gives each idle lane of a link its next frame: what was said first, then the most urgent runs.
    pub(super) fn pump(&mut self, link: Link) -> Result<(), StoreError> {
        if self.sessions.get(&link).is_none_or(|session| !session.is_heard()) {
            return Ok(());
        }
        self.give_answers(link);
        self.say_brings(link);
        while let Some((urgency, bytes)) = self.next_frame(link)? {
            let Some(session) = self.sessions.get_mut(&link) else { return Ok(()) };
            session.busy.fill(urgency);
            session.bytes_out += bytes.len() as u64;
            self.outputs.push_back(Output::Send { link, urgency, bytes });
        }
        Ok(())
    }

    fn next_frame(&mut self, link: Link) -> Result<Option<(Urgency, Vec<u8>)>, StoreError> {
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(None) };
        if session.busy.has(Urgency::Control) {
            // A run means nothing before the greeting that comes before it.
            if !session.control.is_empty() {
                return Ok(None);
            }
            return self.next_run_or_piece(link);
        }
        let said = match session.unqueue() {
            Some(frame) => Some(frame),
            None => self.next_stray(link)?,
        };
        match said {
            Some(frame) => Ok(Some((Urgency::Control, frame))),
            None => self.next_run_or_piece(link),
        }
    }

    fn next_run_or_piece(&mut self, link: Link) -> Result<Option<(Urgency, Vec<u8>)>, StoreError> {
        let run = self.next_run(link)?;
        if run.is_some() {
            return Ok(run);
        }
        let piece = self.next_piece(link)?;
        if piece.is_some() {
            return Ok(piece);
        }
        let payloads = self.next_payloads(link)?;
        if payloads.is_some() { Ok(payloads) } else { self.next_part(link) }
    }

    fn next_run(&mut self, link: Link) -> Result<Option<(Urgency, Vec<u8>)>, StoreError> {
        let Some(key) = self.next_log(link) else { return Ok(None) };
        let (_, id, log_key) = key;
        let device = self.sessions.get(&link).map(|session| session.device);
        if device.is_none_or(|device| self.right(id, &device).is_none()) {
            // Its right ended while this waited.
            if let Some(session) = self.sessions.get_mut(&link) {
                session.drop_lag(&key);
            }
            self.sessions.look_again(link);
            return Ok(None);
        }
        let Some(session) = self.sessions.get(&link) else { return Ok(None) };
        let from = session.lag.get(&key).map_or(0, |lag| lag.sent);
        let bytes_max = (session.window.0 / 2).min(RUN_BYTES);
        let run = self.stretch_within(id, log_key, from..u64::MAX, bytes_max);
        let run = match self.past_damage(run)? {
            Some((log, stretch)) => {
                let stretch = self.without_aside(link, &log, stretch)?;
                Some(self.outgoing(self.tag_of(link, &id), (log, log_key), stretch))
            }
            None => None,
        };
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(None) };
        session.cursor = Some(key);
        let Some(Outgoing { mut frame, end, bytes }) = run else {
            // The position is inside a segment, and no honest peer is there; or what follows is damaged
            // here, or gone meanwhile. It gets no more of it.
            session.drop_lag(&key);
            self.sessions.look_again(link);
            let log = self.areas.get(&id).and_then(|area| area.logs.get(&log_key)).map(|log| **log);
            if let Some(log) = log
                && !self.lacks_what_is_gone(link, &log, from)
            {
                self.lacks_unreadable(link, &log, from);
            }
            return Ok(None);
        };
        if let Some(lag) = session.lag.get_mut(&key) {
            lag.sent = end;
            lag.flight.push_back(Flight { first: from, end, bytes, at: self.clock });
            session.unacked += bytes;
            if let Frame::Run { hops, .. } = &mut frame {
                *hops = lag.hops;
            }
        }
        let urgency = Urgency::from_u8(key.0).unwrap_or(Urgency::Routine);
        Ok(Some((urgency, frame.encode())))
    }

    /// The run of a log from a position on that is durable and fits, for a peer who calls the area so;
    /// `None` also where that is known to be damaged.
    pub(super) fn run_from(
        &self,
        area: Tag,
        id: CompartmentId,
        key: LogKey,
        from: u64,
        bytes_max: usize,
    ) -> Result<Option<Outgoing>, StoreError> {
        self.run_within(area, id, key, from..u64::MAX, bytes_max)
    }

    /// The same, of what lies whole in a span.
    pub(super) fn run_within(
        &self,
        area: Tag,
        id: CompartmentId,
        key: LogKey,
        span: Range<u64>,
        bytes_max: usize,
    ) -> Result<Option<Outgoing>, StoreError> {
        let stretch = self.stretch_within(id, key, span, bytes_max)?;
        Ok(stretch.map(|(log, stretch)| self.outgoing(area, (log, key), stretch)))
    }

    fn stretch_within(
        &self,
        id: CompartmentId,
        key: LogKey,
        span: Range<u64>,
        bytes_max: usize,
    ) -> Result<Option<(LogId, Stretch)>, StoreError> {
        let Some(held) = self.areas.get(&id) else { return Ok(None) };
        let Some(log) = held.logs.get(&key).map(|log| **log) else { return Ok(None) };
        let durable = held.frontier.head(&key).next.min(span.end);
        let upto = self.readable_to(&log, span.start, durable);
        let stretch = self.logbook.read(&self.store, &log, span.start..upto, bytes_max)?;
        Ok(stretch.map(|stretch| (log, stretch)))
    }

    fn outgoing(&self, area: Tag, (log, key): (LogId, LogKey), stretch: Stretch) -> Outgoing {
        let (id, from) = (log.compartment, stretch.first);
        let end = from + stretch.count as u64;
        let bytes = stretch.entries.len() + stretch.boxes.len();
        let frame = Frame::Run {
            area,
            key,
            author: (from == 0).then_some((log.device, log.incarnation)),
            knows: stretch.detached.then(|| self.authority_known(id)).flatten(),
            hops: None,
            left_out: stretch.left_out,
            first: from,
            count: stretch.count,
            entries: stretch.entries,
            boxes: stretch.boxes,
        };
        Outgoing { frame, end, bytes }
    }

    /// The log to send from next: of the most urgent idle lane that has anything unsent, in turns. The
    /// window does not hold back what is more urgent than routine.
    fn next_log(&self, link: Link) -> Option<LagKey> {
        let session = self.sessions.get(&link)?;
        let unsent = |(key, lag): (&LagKey, &Lag)| {
            let (_, id, log) = key;
            if lag.held_until.is_some() || lag.wait.is_some() {
                return None;
            }
            let head = self.areas.get(id)?.frontier.head(log).next;
            (lag.sent < head).then_some(*key)
        };
        let is_full = session.unacked >= session.window.0;
        let idle = Class::ALL.into_iter().map(|class| class as u8).filter(|class| {
            let busy = Urgency::from_u8(*class).is_none_or(|lane| session.busy.has(lane));
            !(busy || is_full && *class >= PRIORITY)
        });
        let of_class = |class: u8| {
            let (least, most) = (CompartmentId([0; 32]), CompartmentId([0xff; 32]));
            let span = (class, least, LogKey([0; 16]))..=(class, most, LogKey([0xff; 16]));
            session.lag.range(span)
        };
        let first = idle.filter_map(|class| of_class(class).find_map(unsent)).next()?;
        let class = first.0;
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
const PRIORITY: u8 = Class::Priority as u8;
