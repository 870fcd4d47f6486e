//! Ingest: what happens to entries between the wire and the acknowledgement.
//!
//! A run is put on the head of its log (a gap or an overlap is answered by our position), verified,
//! admitted by its author's standing, stored with all that follows from it in one batch, flushed,
//! and then acknowledged and passed on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tearline_crdt::codec::Reader;
use tearline_crdt::entry::run::{Head, RunFault, ShortEntry, UnverifiedRun, VerifiedRun};
use tearline_crdt::frontier::{LogKey, NodeHash};
use tearline_crdt::id::{Class, CoalitionId, CompartmentId, DeviceId, Incarnation, LogId};
use tearline_crdt::record::shelf::Begun;
use tearline_crdt::statement::Statement;
use tearline_crdt::store::{Batch, Store, StoreError};
use tearline_crdt::time::Now;

use super::area::Fact;
use super::gossip::IN_VAIN;
use super::lag::lag_key;
use super::stripped::Content;
use super::{Barrier, Event, Link, Output, Replica, Room, Ticket};
use crate::fault::PeerFault;
use crate::wire::{Frame, Tag};

/// Most work of opening, judging and destroying that one input causes, in operations of documents:
/// about a second, and what the last piece takes. What is left is gone on with after the next flush.
pub(super) const WORK_PER_INPUT_MAX: usize = 128 * 1024;
/// What a batch of entries takes that are destroyed.
const ERASURE_WORK: usize = 8 * 1024;
/// What it costs to remove a piece of a branch that was given up.
const GIVEN_UP_WORK: usize = 4 * 1024;

/// A run frame, taken apart.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) key: LogKey,
    pub(super) author: Option<(DeviceId, Incarnation)>,
    pub(super) knows: Option<NodeHash>,
    pub(super) left_out: bool,
    pub(super) first: u64,
    pub(super) count: usize,
    pub(super) entries: Vec<u8>,
    pub(super) boxes: Vec<u8>,
}

impl Incoming {
    /// It as entries of a log.
    pub(super) fn unverified(&self, log: LogId) -> UnverifiedRun<'_> {
        UnverifiedRun { log, count: self.count, entries: &self.entries, boxes: &self.boxes }
    }
}

/// Entries that are stored and wait for a flush.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) log: LogId,
    pub(super) from: u64,
    pub(super) to: Arc<Head>,
    /// Bytes of the entries' content.
    pub(super) bytes: usize,
    pub(super) source: Option<Link>,
    pub(super) ticket: Option<Ticket>,
}

/// Who brought a run.
#[derive(Debug)]
pub(super) enum Origin<'a> {
    /// A peer, which left out the payloads of these.
    Peer(Link, BTreeSet<u64>),
    /// This device wrote it.
    Own {
        /// What becomes durable with it.
        ticket: Option<Ticket>,
        /// The records that begin in it.
        begun: &'a Begun,
    },
}

/// Why a verified run was not stored. Nothing was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotTaken {
    /// It begins a log, and all numbers that this peer can give to logs are used up.
    #[error("this peer cannot hold one more log")]
    Full,
    /// It does not continue its log as it is here, or goes beyond a proven fork.
    #[error("the log went on or was forked meanwhile")]
    Moved,
    /// What is erased cannot be taken out of it.
    #[error("what is erased cannot be taken out: {0}")]
    Erased(RunFault),
}

impl<S: Store> Replica<S> {
    pub(super) fn on_run(
        &mut self,
        now: Now,
        link: Link,
        tag: Tag,
        run: Incoming,
    ) -> Result<Result<(), PeerFault>, StoreError> {
        let Some(id) = self.area_of(link, tag).filter(|id| self.may_bring(link, *id)) else {
            if self.is_with_standing(link) {
                self.say(link, Frame::Decline { area: tag, logs: vec![(run.key, run.first)] });
            }
            return Ok(self.charge(link, 1));
        };
        if !self.room.takes(&run.key) {
            // That there is no room is not its sender's doing.
            self.put_off(link, tag, id, &run, 0);
            return Ok(Ok(()));
        }
        let held = self.areas.get(&id).is_some_and(|area| area.logs.contains_key(&run.key));
        let refused =
            self.sessions.get(&link).is_some_and(|s| s.refused.contains(id, run.key, held));
        let log = match self.log_of(id, &run) {
            Ok(Some(log)) => log,
            Ok(None) if refused => return Ok(self.refuse(link, tag, id, &run, 0)),
            Ok(None) => {
                // Whose log it is stands beside its first entry.
                self.say_position(link, id, run.key);
                return Ok(Ok(()));
            }
            Err(fault) => return Ok(Err(fault)),
        };
        if !self.relay_takes(&log, &run)? {
            self.put_off(link, tag, id, &run, 0);
            return Ok(Ok(()));
        }
        if self.logbook.has_excess(id, log.device) {
            self.say_excess(link, id, log.device)?;
            return Ok(self.refuse(link, tag, id, &run, 0));
        }
        if self.logbook.state(&log).is_none() && !self.has_room_for(&log) {
            return Ok(self.refuse(link, tag, id, &run, 0));
        }
        let proven_at = self.logbook.state(&log).and_then(|state| state.proven_at);
        if proven_at.is_some_and(|at| run.first.saturating_add(run.count as u64) > at) {
            self.say_fork(link, &log)?;
            return Ok(self.refuse(link, tag, id, &run, 0));
        }
        let head = self.logbook.head(&log);
        let unverified = run.unverified(log);
        if !self.admits_run(&log, &run) {
            self.conclude(now)?;
        }
        if !self.admits_run(&log, &run) {
            // Nobody is named for what he did not sign.
            let named = run.first == head.next && self.would_note(&log);
            if named {
                if let Err(fault) = self.memo.verify(&unverified, &head) {
                    return Ok(Err(PeerFault::Run(fault)));
                }
                self.note_stranger(log);
            }
            let verified = if named { run.count } else { 0 };
            return Ok(self.refuse(link, tag, id, &run, verified));
        }
        // What is here already is left out. If that is of another branch, the signature shows it.
        let held = head.next.checked_sub(run.first).and_then(|held| usize::try_from(held).ok());
        let Some(unverified) = held.and_then(|held| unverified.without_first(held)) else {
            if refused {
                return Ok(self.refuse(link, tag, id, &run, 0));
            }
            self.say_position(link, id, run.key);
            return Ok(Ok(()));
        };
        let verified = match self.memo.verify(&unverified, &head) {
            Ok(verified) => verified,
            Err(
                RunFault::Signature { .. } | RunFault::Coverage { .. } | RunFault::Epoch { .. },
            ) if run.first < head.next => {
                self.say_position(link, id, run.key);
                return Ok(self.charge(link, IN_VAIN));
            }
            Err(RunFault::Signature { .. }) if run.first > 0 => {
                // The position names the last entry here, and who holds another shows that.
                self.say_position(link, id, run.key);
                return Ok(self.charge(link, IN_VAIN));
            }
            Err(fault) => return Ok(Err(PeerFault::Run(fault))),
        };
        if run.left_out && log.class <= Class::Flash {
            return Ok(Err(PeerFault::Stripped));
        }
        let mut holes = self.left_out_of(&verified, run.left_out);
        let content = match self.content_beside(&verified, run.knows, &holes) {
            Content::Sound => Content::Sound,
            _ => {
                self.conclude(now)?;
                holes = self.left_out_of(&verified, run.left_out);
                self.content_beside(&verified, run.knows, &holes)
            }
        };
        match content {
            Content::Sound => {}
            Content::Unexplained => return Ok(self.refuse(link, tag, id, &run, run.count)),
            Content::Stripped => return Ok(Err(PeerFault::Stripped)),
        }
        if !self.logbook.has_room_for_holes(&log, &holes) {
            self.put_off(link, tag, id, &run, 0);
            return Ok(Ok(()));
        }
        if self.exceeds_quota(&verified) {
            self.conclude(now)?;
            if self.exceeds_quota(&verified) {
                return Ok(self.refuse(link, tag, id, &run, run.count));
            }
        }
        if let Some(session) = self.sessions.get_mut(&link) {
            session.refused.remove(id, run.key);
        }
        let origin = Origin::Peer(link, holes);
        if self.take(now, &verified, origin, Batch::default())?.is_err() {
            // It is sound: that there is no room here is nobody's fault.
            return Ok(self.refuse(link, tag, id, &run, run.count));
        }
        self.complete(&verified)?;
        self.give_back(link, verified.entries().len());
        if let Some(session) = self.sessions.get_mut(&link) {
            session.gives(self.clock);
        }
        Ok(Ok(()))
    }

    /// Whether runs of an area are taken from a peer: it has a right there, or brings what shows it.
    pub(super) fn may_bring(&self, link: Link, id: CompartmentId) -> bool {
        let device = self.sessions.get(&link).map(|session| session.device);
        let served = device.is_some_and(|device| self.right(id, &device).is_some());
        served || self.coalition(CoalitionId(id.0)).is_some()
    }

    /// Says where a log is here; when what is stored of it is durable, and the peer may hear it.
    /// Where another brings the log, the peer hears that instead.
    pub(super) fn say_position(&mut self, link: Link, id: CompartmentId, key: LogKey) {
        if self.is_put_off(link, lag_key(id, key)) {
            return;
        }
        let hears = self.may_hear(link, id);
        let Some(area) = self.areas.get(&id) else { return };
        let pending =
            |arrival: &Arrival| arrival.log.compartment == id && LogKey::of(&arrival.log) == key;
        if !hears || self.arrivals.iter().any(|(_, arrival)| pending(arrival)) {
            if let Some(session) = self.sessions.get_mut(&link)
                && area.logs.contains_key(&key)
            {
                session.owed.insert((id, key));
            }
            return;
        }
        let positions = vec![area.frontier.leaf(&key)];
        let area = self.tag_of(link, &id);
        self.say(link, Frame::Positions { area, positions });
    }

    /// Says the positions that waited for a flush.
    fn say_owed(&mut self) {
        let owing = self.sessions.iter().filter(|(_, session)| !session.owed.is_empty());
        let links: Vec<Link> = owing.map(|(link, _)| *link).collect();
        for link in links {
            let Some(session) = self.sessions.get_mut(&link) else { continue };
            let owed = std::mem::take(&mut session.owed);
            owed.into_iter().for_each(|(id, key)| self.say_position(link, id, key));
        }
    }

    fn log_of(&self, id: CompartmentId, run: &Incoming) -> Result<Option<LogId>, PeerFault> {
        let Some(area) = self.areas.get(&id) else { return Ok(None) };
        if let Some(log) = area.logs.get(&run.key) {
            return Ok(Some(**log));
        }
        let Some((device, incarnation)) = run.author else { return Ok(None) };
        let class = run.key.0.first().and_then(|byte| Class::from_u8(byte >> 4));
        let Some(class) = class else { return Err(PeerFault::LogKey) };
        let log = LogId { compartment: id, class, device, incarnation };
        if LogKey::of(&log) != run.key {
            return Err(PeerFault::LogKey);
        }
        Ok(Some(log))
    }

    /// Whether a run is worth verifying. What its first statement says of its author counts only if it
    /// holds by itself.
    fn admits_run(&self, log: &LogId, run: &Incoming) -> bool {
        let mut reader = Reader::new(&run.entries);
        let begins = run.first == 0 && log.class == Class::Authority;
        let first = begins.then(|| ShortEntry::decode(&mut reader).ok()).flatten();
        let first = first.and_then(|entry| Statement::decode(entry.sealed).ok());
        self.admits(log, first.as_ref())
    }

    /// Stores a verified run and all that follows from it, in one batch with what is in it already, or
    /// says why not. It becomes visible to peers, and its ticket durable, with the next flush.
    pub(super) fn take(
        &mut self,
        now: Now,
        run: &VerifiedRun,
        origin: Origin<'_>,
        mut batch: Batch,
    ) -> Result<Result<(), NotTaken>, StoreError> {
        let (source, ticket, begun) = match &origin {
            Origin::Peer(link, _) => (Some(*link), None, &self.begun_in(run)),
            Origin::Own { ticket, begun } => (None, *ticket, *begun),
        };
        let log = *run.log();
        let standings =
            super::Standings::new(&self.areas, &self.heard, self.keys.id(), self.reckoning.now());
        let screened = if log.class == Class::Authority {
            self.without_retired(run)
        } else {
            self.shelf.screen(&self.epoch_keys, &standings, run)
        };
        let screened = match screened {
            Ok(screened) => screened,
            Err(fault) => return Ok(Err(NotTaken::Erased(fault))),
        };
        let run = screened.as_ref().unwrap_or(run);
        let Some(no) = self.logbook.append(&mut batch, run, now.wall) else {
            let begins = self.logbook.state(&log).is_none() && run.from().next == 0;
            return Ok(Err(if begins { NotTaken::Full } else { NotTaken::Moved }));
        };
        if let Some(area) = self.areas.get_mut(&log.compartment) {
            area.logs.insert(LogKey::of(&log), Arc::clone(run.shared_log()));
        }
        if run.from().next == 0 {
            self.draw_new(&mut batch, &log, no)?;
        }
        self.note_arrived(&mut batch, run, no)?;
        if let Origin::Peer(link, holes) = &origin {
            self.note_left_out(&mut batch, run, (*link, holes));
        }
        self.notice(run);
        let mut disputed = Vec::new();
        if log.class == Class::Authority {
            disputed = self.cover_strays(&mut batch, run);
            for entry in run.entries() {
                self.take_fact(
                    &mut batch,
                    &Fact {
                        id: entry.id,
                        seq: entry.seq,
                        log,
                        statement: run.sealed(entry),
                        payload: run.payload(entry),
                        detached: entry.detached,
                    },
                );
            }
        } else {
            self.note_written(&mut batch, run);
            self.at_desk(now, |shelf, desk| shelf.take_own(desk, &mut batch, (no, run), begun))?;
        }
        self.apply(batch)?;
        if run.from().next == 0 {
            self.note_incarnation(&log)?;
        }
        let (from, to, bytes) = (run.from().next, Arc::clone(run.shared_to()), run.bytes().len());
        let arrival = Arrival { log, from, to, bytes, source, ticket };
        self.arrivals.push((Barrier(self.next_barrier), arrival));
        self.dispute_strays(now, log.compartment, &disputed)?;
        self.erase_more(now)?;
        Ok(Ok(()))
    }

    /// The records that begin in another's run, where a replica of this process has built them.
    fn begun_in(&self, run: &VerifiedRun) -> Begun {
        self.memo.begun(run, |epoch| {
            self.epoch_keys.get(epoch).is_some_and(|keys| keys.secret().is_some())
        })
    }

    /// Draws what follows from the statements that came, if any did. Each evaluation looks at all that
    /// are held, so that it waits for the flush that makes them durable, or for what is judged by them;
    /// whatever came until then is drawn at once.
    pub(super) fn conclude(&mut self, now: Now) -> Result<(), StoreError> {
        if self.stale.is_empty() {
            return Ok(());
        }
        self.read_names();
        self.redraw()?;
        self.seals_wanted = true;
        self.open_waiting(now)
    }

    /// Goes on with what earlier inputs left.
    pub(super) fn go_on(&mut self, now: Now) -> Result<(), StoreError> {
        if self.shelf.has_opened_epochs() || self.shelf.has_moved() || self.shelf.has_turns() {
            self.open_waiting(now)
        } else {
            self.erase_more(now)
        }
    }

    /// Whether something is left that the next input goes on with, as far as there is room for it.
    pub(super) fn has_left(&self) -> bool {
        let now = self.shelf.has_opened_epochs()
            || self.shelf.has_moved()
            || self.shelf.has_turns()
            || self.has_erasures()
            || self.is_over_quota()
            || !self.said.is_empty();
        self.room > Room::Nothing && now
            || self.room == Room::Everything && (self.shelf.has_later() || self.is_reauthoring())
    }

    /// Opens entries that waited for an epoch whose keys came, and judges records again of which
    /// other entries count now: so much of it as one input may take.
    pub(super) fn open_waiting(&mut self, now: Now) -> Result<(), StoreError> {
        while self.spent < WORK_PER_INPUT_MAX
            && (self.shelf.has_opened_epochs() || self.shelf.has_moved())
        {
            let mut batch = Batch::default();
            self.spent += self.at_desk(now, |shelf, desk| {
                if shelf.has_moved() {
                    shelf.judge_moved(desk, &mut batch)
                } else {
                    shelf.open_waiting(desk, &mut batch)
                }
            })?;
            self.apply(batch)?;
        }
        self.erase_more(now)?;
        self.turn_more(now)?;
        self.look_at_awaiting();
        self.obey(now)
    }

    /// Judges a bounded part of the records that runs left for later. The flush of what that writes is
    /// the occasion for the next part.
    pub(super) fn judge_later(&mut self, now: Now) -> Result<(), StoreError> {
        if self.room < Room::Everything || !self.shelf.has_later() {
            return Ok(());
        }
        let mut batch = Batch::default();
        let standings =
            super::Standings::new(&self.areas, &self.heard, self.keys.id(), self.reckoning.now());
        let mut desk = tearline_crdt::record::shelf::Desk {
            store: &self.store,
            logbook: &self.logbook,
            keys: &self.epoch_keys,
            standings: &standings,
            projection: &mut *self.projection,
            now: now.wall,
        };
        self.shelf.judge_later(&mut desk, &mut batch)?;
        self.apply(batch)
    }

    /// Whether something is left to be destroyed, or of a branch that was given up: what is erased may
    /// be in that.
    pub(super) fn has_erasures(&self) -> bool {
        self.logbook.has_given_up() || self.shelf.has_erasures(&self.logbook)
    }

    /// Destroys what is queued to be, as much as one input may. What was given up goes first: the last of
    /// what is erased asks the store to forget all that was removed.
    pub(super) fn erase_more(&mut self, now: Now) -> Result<(), StoreError> {
        while self.spent < WORK_PER_INPUT_MAX && self.logbook.has_given_up() {
            self.spent += GIVEN_UP_WORK;
            let mut batch = Batch::default();
            self.logbook.clear_given_up(&self.store, &mut batch)?;
            self.apply(batch)?;
        }
        while self.spent < WORK_PER_INPUT_MAX
            && self.shelf.has_erasures(&self.logbook)
            && !self.hiding
        {
            self.spent += ERASURE_WORK;
            let mut batch = Batch::default();
            let erased = self.at_desk(now, |shelf, desk| shelf.erase_more(desk, &mut batch))?;
            if let Some((no, seqs)) = erased {
                self.logbook.close_holes(&mut batch, no, &seqs);
            }
            self.apply(batch)?;
        }
        Ok(())
    }

    /// What was stored before a flush is durable: advertise it, pass it on, acknowledge it.
    pub(super) fn on_flushed(&mut self, barrier: Barrier) -> Result<(), StoreError> {
        self.flushes_out = self.flushes_out.saturating_sub(1);
        let arrivals = std::mem::take(&mut self.arrivals);
        let (durable, waiting): (Vec<_>, Vec<_>) =
            arrivals.into_iter().partition(|(covered_by, _)| *covered_by <= barrier);
        self.arrivals = waiting;
        let mut haves: BTreeMap<(Link, CompartmentId), BTreeMap<LogKey, u64>> = BTreeMap::new();
        let mut authority = false;
        for (_, arrival) in durable {
            let key = LogKey::of(&arrival.log);
            authority |= arrival.log.class == Class::Authority;
            self.publish(&arrival, key, &mut haves)?;
        }
        let mut answered = Vec::new();
        for ((link, id), logs) in haves {
            if !self.may_hear(link, id) {
                if let Some(session) = self.sessions.get_mut(&link) {
                    session.owed.extend(logs.into_keys().map(|key| (id, key)));
                }
                continue;
            }
            let area = self.tag_of(link, &id);
            let logs: Vec<(LogKey, u64)> = logs.into_iter().collect();
            self.say(link, Frame::Have { area, logs });
            answered.push(link);
        }
        let forked = self.spread_forks(barrier)?;
        let exceeded = self.spread_excesses(barrier)?;
        self.spread_branches(barrier)?;
        let strayed = self.spread_strays(barrier)?;
        if authority || forked || exceeded || strayed {
            self.on_authority_changed()?;
        }
        self.tell_filled(barrier);
        self.say_owed();
        self.answer_joins(barrier);
        let tickets = std::mem::take(&mut self.tickets);
        for (covered_by, ticket) in tickets {
            if covered_by <= barrier {
                self.outputs.push_back(Output::Event(Event::Durable(ticket)));
            } else {
                self.tickets.push((covered_by, ticket));
            }
        }
        answered.into_iter().for_each(|link| self.mark_in_sync(link));
        self.mark_settled();
        Ok(())
    }

    fn publish(
        &mut self,
        arrival: &Arrival,
        key: LogKey,
        haves: &mut BTreeMap<(Link, CompartmentId), BTreeMap<LogKey, u64>>,
    ) -> Result<(), StoreError> {
        let Arrival { log, from, to, bytes, source, ticket } = arrival;
        let device = source.and_then(|link| self.sessions.get(&link)).map(|s| s.device);
        self.advertise(log, Arc::clone(to));
        if log.class == Class::Flash {
            self.flashes.note(lag_key(log.compartment, key), to.next, self.wall);
        }
        let (lag_key, entries) = (lag_key(log.compartment, key), to.next.saturating_sub(*from));
        let has_excess = self.logbook.has_excess(log.compartment, log.device);
        if !has_excess {
            self.note_moved(log.compartment, key, *from, to.next, device);
        }
        for (link, next) in self.note_brought(&lag_key, to.next, (*source, entries)) {
            haves.entry((link, log.compartment)).or_default().entry(key).or_insert(next);
        }
        self.arrived_here(&lag_key, to.next);
        if !has_excess {
            self.spread(log.compartment, key, *from, to.next, *bytes)?;
        }
        self.ask_behind_gone(log.compartment, key, to.next);
        if let Some(link) = source {
            haves.entry((*link, log.compartment)).or_default().insert(key, to.next);
            self.outputs.push_back(Output::Event(Event::Received { log: *log, entries }));
        }
        if let Some(ticket) = ticket {
            self.outputs.push_back(Output::Event(Event::Durable(*ticket)));
        }
        Ok(())
    }

    /// Standings changed: offer what peers may hold now, compare where their right became known,
    /// and ask again for what was refused.
    fn on_authority_changed(&mut self) -> Result<(), StoreError> {
        self.sessions.touch_all();
        let links: Vec<Link> = self.sessions.keys().copied().collect();
        for link in links {
            self.retry_intros(link)?;
            self.introduce_missing(link);
            self.start_new_comparisons(link);
            self.compare_renamed(link);
            self.tell_endings(link);
        }
        self.renamed.clear();
        self.keep_early_whereabouts()?;
        self.ask_again()
    }
}
