//! Branches that marks choose: of a forked log all peers come to hold the one that counts.
//!
//! Past a fork a peer holds what reached it first. A keep or an adopt can name an entry of another
//! branch; then what it names counts for whoever holds it. So that this is everybody, the frontier has
//! a leaf for each forked log of which the chosen branch is here: how many of its entries are named, and
//! the last of them. It says the same wherever that branch is held, whatever else is. Who lacks it asks
//! those who have the leaf, from the named entry backwards ([`tearline_crdt::logbook::fetched`]): each
//! piece is known to lead there before it is stored, and whoever sends another is at fault. When the
//! branch has come down to the log, the log turns to it: what the other said of records is taken off,
//! and what this one says is put there.
//!
//! Of several marks that choose the greatest is followed: if they lead along one branch it holds the
//! others, and if not, nothing counts beyond the fork wherever it is.

use std::collections::BTreeMap;
use std::ops::Range;

use tearline_crdt::entry::run::{Head, UnverifiedRun, VerifiedRun};
use tearline_crdt::frontier::{Leaf, LogKey, NodeHash, head_tag};
use tearline_crdt::id::{Class, CompartmentId, EntryId, LogId};
use tearline_crdt::logbook::fetched::Branching;
use tearline_crdt::logbook::find::Search;
use tearline_crdt::record::shelf::Turned;
use tearline_crdt::store::{Batch, Store, StoreError};
use tearline_crdt::time::Now;

use super::held::HeldLogs;
use super::ingest::WORK_PER_INPUT_MAX;
use super::lag::{LagKey, lag_key};
use super::stripped::Content;
use super::sync::{Outcome, RUN_BYTES};
use super::{Barrier, Link, Replica, Room};
use crate::fault::PeerFault;
use crate::urgency::Urgency;
use crate::wire::{Frame, Tag};

/// What an answer to an ask is charged at: to find where it begins, the entries of two segments are read.
const ASKED_PER_PIECE: usize = 8;

/// Which branch of a forked log a mark chooses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Choice {
    /// The log.
    pub(super) log: LogId,
    /// How many of its entries are named.
    pub(super) count: u64,
    /// The last of them.
    pub(super) head: EntryId,
}

/// A piece frame, taken apart.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) key: LogKey,
    pub(super) knows: Option<NodeHash>,
    pub(super) from: Head,
    pub(super) count: usize,
    pub(super) entries: Vec<u8>,
    pub(super) boxes: Vec<u8>,
}

impl<S: Store> Replica<S> {
    /// Draws which branches marks choose in an area; names those that are here, and looks for those that
    /// are not.
    pub(super) fn choose_branches(&mut self, id: CompartmentId) -> Result<(), StoreError> {
        let Some(compartment) = self.compartment(id) else { return Ok(()) };
        let logs = HeldLogs::new(&self.logbook, &self.store);
        let forked = self.logbook.logs_of(id).filter(|(log, state)| {
            state.proven_at.is_some()
                && log.class != Class::Authority
                && !self.logbook.has_excess(id, log.device)
        });
        let chosen = forked.filter_map(|(log, _)| {
            let (count, head) = compartment.choice(log, &logs)?;
            Some((LogKey::of_branch(log), Choice { log: *log, count, head }))
        });
        let chosen: BTreeMap<LogKey, Choice> = chosen.collect();
        logs.outcome()?;
        let Some(area) = self.areas.get_mut(&id) else { return Ok(()) };
        let before = std::mem::replace(&mut area.choices, chosen.clone());
        for (key, choice) in &before {
            if chosen.get(key) != Some(choice) {
                self.unname_branch(id, *key, &choice.log);
            }
        }
        self.turn_back(id)?;
        for (key, choice) in chosen {
            let is_new = before.get(&key) != Some(&choice);
            if !self.settle_branch(&choice)? && is_new {
                // Whoever has it says so.
                self.say_branch(id, key);
            }
        }
        let links: Vec<Link> = self.sessions.keys().copied().collect();
        links.into_iter().try_for_each(|link| self.ask_branches(link))
    }

    /// Logs of which nothing is chosen any more go on along the branch that came first: somebody may choose
    /// that, and has to see it.
    fn turn_back(&mut self, id: CompartmentId) -> Result<(), StoreError> {
        let Some(area) = self.areas.get(&id) else { return Ok(()) };
        let logs = self.logbook.branching().filter(|log| {
            let number = self.logbook.state(log).map(|state| state.no);
            log.compartment == id
                && self.logbook.follows_fetched(log)
                && !area.choices.contains_key(&LogKey::of_branch(log))
                && number.is_some_and(|no| !self.shelf.is_turning(no))
        });
        let logs: Vec<LogId> = logs.copied().collect();
        logs.iter().try_for_each(|log| self.begin_turn(log))
    }

    /// Another branch is chosen, or none: nothing is said of this one any more.
    fn unname_branch(&mut self, id: CompartmentId, key: LogKey, log: &LogId) {
        self.branches.retain(|(_, waits)| waits != log);
        for session in self.sessions.values_mut() {
            session.open.wanted.remove(&lag_key(id, key));
        }
        let Some(area) = self.areas.get_mut(&id) else { return };
        if area.frontier.is_named(&key) {
            area.frontier.set_branch(log, None);
            self.forget_digests();
            self.say_branch(id, key);
        }
    }

    /// Says to all who share an area whether a chosen branch is here.
    fn say_branch(&mut self, id: CompartmentId, key: LogKey) {
        let Some(leaf) = self.areas.get(&id).map(|area| area.frontier.leaf(&key)) else { return };
        let sharing = self.sessions.iter().filter(|(_, s)| s.started.contains(&id));
        let links: Vec<Link> = sharing.map(|(link, _)| *link).collect();
        for link in links {
            if self.may_hear(link, id) {
                let area = self.tag_of(link, &id);
                self.say_positions(link, area, vec![leaf]);
            }
        }
    }

    /// Does what a choice asks for, as far as it can be done now: the log turns to the branch if it is
    /// here; if it is not, and what is here leads elsewhere, that makes room. Whether it is here.
    fn settle_branch(&mut self, choice: &Choice) -> Result<bool, StoreError> {
        let Choice { log, count, head } = *choice;
        let Some(no) = self.logbook.state(&log).map(|state| state.no) else { return Ok(false) };
        let turning = self.shelf.is_turning(no);
        let there = self.logbook.branch_with(&self.store, &log, (count, head))?;
        match there {
            Some(Branching::Followed) => {}
            Some(Branching::Aside) if turning => {}
            Some(Branching::Aside) => self.begin_turn(&log)?,
            None if turning => {}
            None if self.logbook.follows_fetched(&log) => self.begin_turn(&log)?,
            None if !self.logbook.leads_to(&self.store, &log, (count, head))? => {
                if let Some(from) = self.logbook.parts_at(&log) {
                    let mut batch = Batch::default();
                    self.logbook.give_up(&mut batch, &log);
                    self.apply(batch)?;
                    self.look_again(&log, from);
                }
            }
            None => {}
        }
        if there.is_some() {
            self.name_branch(choice);
        }
        Ok(there.is_some())
    }

    /// Names a chosen branch that is here, once that is durable.
    fn name_branch(&mut self, choice: &Choice) {
        let Choice { log, count, head } = *choice;
        let replaying = self.replaying;
        let Some(area) = self.areas.get_mut(&log.compartment) else { return };
        let named = area.frontier.head(&LogKey::of_branch(&log));
        if (named.next, named.id) == (count, head) {
            return;
        }
        if replaying {
            area.frontier.set_branch(&log, Some((count, head)));
            return;
        }
        self.branches.push((Barrier(self.next_barrier), log));
        self.flush_wanted = true;
    }

    /// The chosen branches that came up to a barrier are durable: everybody who shares the area is told.
    pub(super) fn spread_branches(&mut self, barrier: Barrier) -> Result<(), StoreError> {
        let branches = std::mem::take(&mut self.branches);
        let (durable, waiting): (Vec<_>, Vec<_>) =
            branches.into_iter().partition(|(covered_by, _)| *covered_by <= barrier);
        self.branches = waiting;
        for (_, log) in durable {
            let (id, key) = (log.compartment, LogKey::of_branch(&log));
            let choice = self.areas.get(&id).and_then(|area| area.choices.get(&key)).copied();
            let Some(Choice { count, head, .. }) = choice else { continue };
            if self.logbook.branch_with(&self.store, &log, (count, head))?.is_none() {
                continue;
            }
            if let Some(area) = self.areas.get_mut(&id) {
                area.frontier.set_branch(&log, Some((count, head)));
            }
            self.forget_digests();
            self.arrived_here(&lag_key(id, key), count);
            self.say_branch(id, key);
        }
        Ok(())
    }

    /// Compares what a peer says of a chosen branch.
    pub(super) fn compare_branch(
        &mut self,
        link: Link,
        id: CompartmentId,
        (choice, theirs): (&Choice, Leaf),
        positions: &mut Vec<Leaf>,
    ) -> Result<(), StoreError> {
        let Some(area) = self.areas.get(&id) else { return Ok(()) };
        let own = area.frontier.leaf(&theirs.key);
        if own.next > 0 {
            if theirs.next == 0 {
                positions.push(own);
            }
        } else if (theirs.next, theirs.head) == (choice.count, head_tag(&choice.head)) {
            self.want(link, lag_key(id, theirs.key), theirs.next);
            self.ask_branch(link, id, theirs.key)?;
        }
        Ok(())
    }

    /// Asks a peer for all branches that it said it has and that are not here.
    pub(super) fn ask_branches(&mut self, link: Link) -> Result<(), StoreError> {
        let Some(session) = self.sessions.get(&link) else { return Ok(()) };
        let wanted: Vec<LagKey> = session.open.wanted.keys().copied().collect();
        wanted.into_iter().try_for_each(|(_, id, key)| self.ask_branch(link, id, key))
    }

    /// Asks a peer that has a chosen branch for the next piece of it, if none is on its way from there.
    fn ask_branch(&mut self, link: Link, id: CompartmentId, key: LogKey) -> Result<(), StoreError> {
        let choice = self.areas.get(&id).and_then(|area| area.choices.get(&key)).copied();
        let Some(choice) = choice.filter(|_| self.room == Room::Everything) else { return Ok(()) };
        let Some((first, end, head)) = self.lacking(&choice)? else { return Ok(()) };
        let area = self.tag_of(link, &id);
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(()) };
        let lag_key = lag_key(id, key);
        if !session.open.wanted.contains_key(&lag_key) || session.asking.contains_key(&lag_key) {
            return Ok(());
        }
        session.asking.insert(lag_key, (end, head));
        self.say(link, Frame::Ask { area, key, first, end, head });
        Ok(())
    }

    /// What is to be asked for next of a chosen branch: where what all branches share ends here, and the
    /// place and id of the entry that what is held of the branch continues.
    fn lacking(&self, choice: &Choice) -> Result<Option<(u64, u64, EntryId)>, StoreError> {
        let Choice { log, count, head } = *choice;
        let Some(state) = self.logbook.state(&log) else { return Ok(None) };
        let busy = self.shelf.is_turning(state.no) || self.logbook.follows_fetched(&log);
        if busy || self.logbook.branch_with(&self.store, &log, (count, head))?.is_some() {
            return Ok(None);
        }
        let first = state.shared.next;
        if !self.logbook.leads_to(&self.store, &log, (count, head))? {
            return Ok(Some((first, count, head)));
        }
        let from = self.logbook.fetching(&self.store, &log)?;
        Ok(from.filter(|from| from.next > first).map(|from| (first, from.next, from.id)))
    }

    /// A peer lacks what leads to an entry. It is given when its turn has come.
    pub(super) fn on_ask(
        &mut self,
        link: Link,
        tag: Tag,
        key: LogKey,
        wants: (Range<u64>, EntryId),
    ) -> Result<(), PeerFault> {
        let Some(id) = self.served_area(link, tag) else { return Ok(()) };
        self.charge(link, ASKED_PER_PIECE)?;
        if let Some(session) = self.sessions.get_mut(&link) {
            session.asked.insert(lag_key(id, key), wants);
        }
        Ok(())
    }

    /// The next piece that a peer asked for, of the most urgent idle lane; that there is none, where
    /// that is so.
    pub(super) fn next_piece(
        &mut self,
        link: Link,
    ) -> Result<Option<(Urgency, Vec<u8>)>, StoreError> {
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(None) };
        let lane = |key: &LagKey| Urgency::from_u8(key.0).unwrap_or(Urgency::Routine);
        let idle = session.asked.keys().find(|key| !session.busy.has(lane(key))).copied();
        let Some(lag_key) = idle else { return Ok(None) };
        let Some((span, head)) = session.asked.remove(&lag_key) else { return Ok(None) };
        let bytes_max = (session.window.0 / 2).min(RUN_BYTES);
        let (_, id, key) = lag_key;
        let device = session.device;
        let area = self.tag_of(link, &id);
        let end = span.end;
        let named = self.areas.get(&id).filter(|area| area.frontier.is_named(&key));
        let choice = named.and_then(|area| area.choices.get(&key)).copied();
        let log = choice.map(|choice| choice.log).or_else(|| self.whole_log(id, &key, end));
        let piece = match log.filter(|_| self.right(id, &device).is_some()) {
            Some(log) => {
                let piece = self.logbook.piece(&self.store, &log, (span, head), bytes_max);
                self.past_damage(piece)?
            }
            None => None,
        };
        let frame = match piece {
            Some(piece) => Frame::Piece {
                area,
                key,
                knows: piece.stretch.detached.then(|| self.authority_known(id)).flatten(),
                from: piece.from,
                count: piece.stretch.count,
                entries: piece.stretch.entries,
                boxes: piece.stretch.boxes,
            },
            None => Frame::Decline { area, logs: vec![(key, end)] },
        };
        Ok(Some((lane(&lag_key), frame.encode())))
    }

    /// The log of a key that is durable here up to a position: what a peer cannot read of it any more is given
    /// again.
    fn whole_log(&self, id: CompartmentId, key: &LogKey, end: u64) -> Option<LogId> {
        let area = self.areas.get(&id)?;
        let log = **area.logs.get(key)?;
        let durable = area.frontier.head(key).next;
        (end > 0 && end == self.readable_to(&log, end - 1, durable.min(end))).then_some(log)
    }

    pub(super) fn on_piece(&mut self, now: Now, link: Link, tag: Tag, piece: &Incoming) -> Outcome {
        let Some(id) = self.area_of(link, tag).filter(|id| self.may_bring(link, *id)) else {
            return Ok(Ok(()));
        };
        let key = piece.key;
        let asked = self.sessions.get_mut(&link);
        let asked = asked.and_then(|session| session.asking.remove(&lag_key(id, key)));
        let Some((end, head)) = asked else {
            return Ok(Err(PeerFault::OutOfTurn("piece")));
        };
        let area = self.areas.get(&id);
        if let Some(log) = area.and_then(|area| area.logs.get(&key)).map(|log| **log) {
            return self.on_repair(now, link, (log, (end, head)), piece);
        }
        let choice = area.and_then(|area| area.choices.get(&key)).copied();
        // Whoever was asked for what is not chosen any more did nothing wrong.
        let Some(choice) = choice else { return Ok(Ok(())) };
        let Incoming { from, count, entries, boxes, .. } = piece;
        let unverified = UnverifiedRun { log: choice.log, count: *count, entries, boxes };
        let run = match unverified.verify(from) {
            Ok(run) => run,
            Err(fault) => return Ok(Err(PeerFault::Run(fault))),
        };
        if !ends_with(&run, end, &head) {
            return Ok(Err(PeerFault::OtherBranch));
        }
        let wanted = self.lacking(&choice)?.is_some_and(|(_, e, h)| (e, h) == (end, head));
        if wanted && self.room == Room::Everything {
            let content = match self.content_of(&run, piece.knows) {
                Content::Sound => Content::Sound,
                _ => {
                    self.conclude(now)?;
                    self.content_of(&run, piece.knows)
                }
            };
            match content {
                Content::Sound => {}
                // It is asked for again when more is known.
                Content::Unexplained => return Ok(self.charge(link, *count)),
                Content::Stripped => return Ok(Err(PeerFault::Stripped)),
            }
            self.give_back(link, *count);
            if !self.keep_piece(&choice, &run)? {
                return Ok(Ok(()));
            }
            self.settle_branch(&choice)?;
        }
        self.ask_branch(link, id, key)?;
        Ok(Ok(()))
    }

    /// Stores a piece without what is erased; whether there was room.
    fn keep_piece(&mut self, choice: &Choice, run: &VerifiedRun) -> Result<bool, StoreError> {
        let standings =
            super::Standings::new(&self.areas, &self.heard, self.keys.id(), self.reckoning.now());
        let Ok(screened) = self.shelf.screen(&self.epoch_keys, &standings, run) else {
            return Ok(false);
        };
        let run = screened.as_ref().unwrap_or(run);
        let mut batch = Batch::default();
        if !self.logbook.fetch(&mut batch, run, self.wall) {
            return Ok(false);
        }
        if let Some(area) = self.areas.get_mut(&choice.log.compartment) {
            for entry in run.entries() {
                if let Some(spoken) = area.spoken.get_mut(&entry.id) {
                    (spoken.place, spoken.aside) = (Some((choice.log, entry.seq)), true);
                    self.said.insert(choice.log.compartment);
                }
                if area.listed.contains_key(&entry.id) {
                    area.listed_aside.insert(entry.id, choice.log);
                }
            }
        }
        self.apply(batch)?;
        Ok(true)
    }

    fn begin_turn(&mut self, log: &LogId) -> Result<(), StoreError> {
        let Some(from) = self.logbook.parts_at(log) else { return Ok(()) };
        let Some(no) = self.logbook.state(log).map(|state| state.no) else { return Ok(()) };
        let mut batch = Batch::default();
        self.shelf.turn(&mut batch, no, from);
        self.apply(batch)
    }

    /// Goes on with logs that turn to another branch, as far as one input may.
    pub(super) fn turn_more(&mut self, now: Now) -> Result<(), StoreError> {
        while self.spent < WORK_PER_INPUT_MAX && self.shelf.has_turns() && !self.has_erasures() {
            let mut batch = Batch::default();
            let Turned { no, work, left } =
                self.at_desk(now, |shelf, desk| shelf.turn_more(desk, &mut batch))?;
            self.spent += work;
            let log = no.and_then(|no| self.logbook.log(no)).copied();
            let Some(log) = log else {
                self.apply(batch)?;
                continue;
            };
            if let (true, Some(no)) = (left, no) {
                self.follow(&mut batch, &log)?;
                let from = self.logbook.parts_at(&log).unwrap_or_default();
                self.shelf.turned(&mut batch, no, from);
                self.apply(batch)?;
                self.redraw_limits(log.compartment)?;
                self.look_again(&log, from);
                continue;
            }
            self.apply(batch)?;
            let done = no.is_some_and(|no| !self.shelf.is_turning(no));
            self.turn_back(log.compartment)?;
            let key = LogKey::of_branch(&log);
            let choice = self.areas.get(&log.compartment).and_then(|area| area.choices.get(&key));
            if let Some(choice) = choice.copied().filter(|_| done)
                && !self.settle_branch(&choice)?
            {
                let links: Vec<Link> = self.sessions.keys().copied().collect();
                links.into_iter().try_for_each(|link| self.ask_branches(link))?;
            }
        }
        Ok(())
    }

    /// The log goes on along its other branch, if that joins it still.
    fn follow(&mut self, batch: &mut Batch, log: &LogId) -> Result<(), StoreError> {
        let before = self.logbook.state(log).map(|state| state.shared);
        self.logbook.turn(&self.store, batch, log)?;
        if self.logbook.state(log).map(|state| state.shared) != before {
            self.forks.push((Barrier(self.next_barrier), *log));
        }
        Ok(())
    }

    /// Looks again for what statements name, which may be elsewhere since a log turned.
    fn look_again(&mut self, log: &LogId, from: u64) {
        let Some(area) = self.areas.get_mut(&log.compartment) else { return };
        let moved =
            |place: &Option<(LogId, u64)>| place.is_some_and(|(of, seq)| of == *log && seq >= from);
        let spoken = area.spoken.values_mut().map(|spoken| &mut spoken.place);
        let places = spoken.chain(area.listed.values_mut());
        places.filter(|place| moved(place)).for_each(|place| *place = None);
        area.listed_aside.retain(|_, of| of != log);
        let ids = area.spoken.keys().chain(area.listed.keys()).copied().collect();
        area.search = Some(Search::new(ids));
        self.said.insert(log.compartment);
    }
}

/// Whether a run leads to this entry before a position, and no further than its segment does.
pub(super) fn ends_with(run: &VerifiedRun, end: u64, head: &EntryId) -> bool {
    let is_before = |seq: u64| seq.saturating_add(1) < end;
    let mut from_it = run.entries().iter().skip_while(|entry| is_before(entry.seq)).peekable();
    let is_it = from_it.peek().is_some_and(|e| (e.seq.saturating_add(1), &e.id) == (end, head));
    let segment_end = from_it.find(|entry| entry.signed.is_some());
    is_it && segment_end.is_some() && from_it.next().is_none()
}
