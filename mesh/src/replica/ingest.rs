//! Ingest: what happens to entries between the wire and the acknowledgement.
//!
//! A run is put on the head of its log (a gap or an overlap is answered by our position), verified,
//! admitted by its author's standing, stored with all that follows from it in one batch, flushed,
//! and then acknowledged and passed on.

use std::collections::BTreeMap;

use tearline_crdt::entry::run::{Head, UnverifiedRun, VerifiedRun};
use tearline_crdt::frontier::{LogKey, NodeHash};
use tearline_crdt::id::{Class, CompartmentId, DeviceId, Incarnation, LogId};
use tearline_crdt::statement::Statement;
use tearline_crdt::store::{Batch, Store, StoreError};
use tearline_crdt::time::Now;

use super::area::Fact;
use super::stripped::Content;
use super::{Barrier, Event, Link, Output, Replica, Ticket};
use crate::fault::PeerFault;
use crate::wire::{Frame, Tag};

/// A run frame, taken apart.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) key: LogKey,
    pub(super) author: Option<(DeviceId, Incarnation)>,
    pub(super) knows: Option<NodeHash>,
    pub(super) first: u64,
    pub(super) count: usize,
    pub(super) entries: Vec<u8>,
    pub(super) boxes: Vec<u8>,
}

/// Entries that are stored and wait for a flush.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) log: LogId,
    pub(super) from: u64,
    pub(super) to: Head,
    pub(super) source: Option<Link>,
    pub(super) ticket: Option<Ticket>,
}

/// Most logs of one device in one area: one a class for each incarnation that a grant admits.
const LOGS_PER_DEVICE_MAX: usize = 5 * tearline_crdt::bounds::INCARNATIONS_PER_GRANT_MAX;
/// Most refused logs that are remembered for a session.
const REFUSED_MAX: usize = 1_024;

impl<S: Store> Replica<S> {
    pub(super) fn on_run(
        &mut self,
        now: Now,
        link: Link,
        tag: Tag,
        run: Incoming,
    ) -> Result<Result<(), PeerFault>, StoreError> {
        let decline = Frame::Decline { area: tag, logs: vec![run.key] };
        let Some(id) = self.area_of(link, tag) else {
            self.say(link, decline);
            return Ok(Ok(()));
        };
        let log = match self.log_of(id, &run) {
            Ok(Some(log)) => log,
            Ok(None) => {
                self.say(link, decline);
                return Ok(Ok(()));
            }
            Err(fault) => return Ok(Err(fault)),
        };
        let proven_at = self.logbook.state(&log).and_then(|state| state.proven_at);
        if proven_at.is_some_and(|at| run.first.saturating_add(run.count as u64) > at) {
            self.say(link, decline);
            self.say_fork(link, &log)?;
            return Ok(Ok(()));
        }
        let head = self.logbook.head(&log);
        if run.first != head.next {
            self.say_position(link, id, run.key);
            return Ok(Ok(()));
        }
        let unverified =
            UnverifiedRun { log, count: run.count, entries: &run.entries, boxes: &run.boxes };
        let verified = match unverified.verify(&head) {
            Ok(verified) => verified,
            Err(fault) => return Ok(Err(PeerFault::Run(fault))),
        };
        let content = if self.admits_run(&log, &verified) {
            self.content_of(&verified, run.knows)
        } else {
            Content::Unexplained
        };
        match content {
            Content::Sound => {}
            Content::Unexplained => {
                if let Some(session) = self.sessions.get_mut(&link)
                    && session.refused.len() < REFUSED_MAX
                {
                    session.refused.insert((id, run.key));
                }
                self.say(link, decline);
                return Ok(Ok(()));
            }
            Content::Stripped => return Ok(Err(PeerFault::Stripped)),
        }
        if let Some(session) = self.sessions.get_mut(&link) {
            session.idle_asked = 0;
        }
        self.take(now, &verified, Some(link), None)?;
        Ok(Ok(()))
    }

    /// Says where a log is here; if what is stored of it is not durable yet, when it is.
    fn say_position(&mut self, link: Link, id: CompartmentId, key: LogKey) {
        let Some(area) = self.areas.get(&id) else { return };
        let pending =
            |arrival: &Arrival| arrival.log.compartment == id && LogKey::of(&arrival.log) == key;
        if self.arrivals.iter().any(|(_, arrival)| pending(arrival)) {
            if let Some(session) = self.sessions.get_mut(&link) {
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
        let links: Vec<Link> = self.sessions.keys().copied().collect();
        for link in links {
            let Some(session) = self.sessions.get_mut(&link) else { continue };
            let owed = std::mem::take(&mut session.owed);
            owed.into_iter().for_each(|(id, key)| self.say_position(link, id, key));
        }
    }

    fn log_of(&self, id: CompartmentId, run: &Incoming) -> Result<Option<LogId>, PeerFault> {
        let Some(area) = self.areas.get(&id) else { return Ok(None) };
        if let Some(log) = area.logs.get(&run.key) {
            return Ok(Some(*log));
        }
        let Some((device, incarnation)) = run.author else { return Ok(None) };
        let class = run.key.0.first().and_then(|byte| Class::from_u8(byte >> 4));
        let Some(class) = class else { return Err(PeerFault::LogKey) };
        let log = LogId { compartment: id, class, device, incarnation };
        if LogKey::of(&log) != run.key {
            return Err(PeerFault::LogKey);
        }
        Ok(self.has_room_for(&log).then_some(log))
    }

    /// Whether a log may begin here: a device may have only so many in one area.
    pub(super) fn has_room_for(&self, log: &LogId) -> bool {
        let Some(area) = self.areas.get(&log.compartment) else { return false };
        let of_device = area.logs.values().filter(|other| other.device == log.device);
        of_device.count() < LOGS_PER_DEVICE_MAX
    }

    fn admits_run(&self, log: &LogId, run: &VerifiedRun) -> bool {
        let first = run.entries().first().filter(|entry| entry.seq == 0);
        let first = first.and_then(|entry| Statement::decode(run.sealed(entry)).ok());
        self.admits(log, first.as_ref())
    }

    /// Stores a verified run and all that follows from it, in one batch. It becomes visible to
    /// peers, and its ticket durable, with the next flush.
    pub(super) fn take(
        &mut self,
        now: Now,
        run: &VerifiedRun,
        source: Option<Link>,
        ticket: Option<Ticket>,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        let log = *run.log();
        let standings = super::Standings { areas: &self.areas, own: self.keys.id(), now: now.wall };
        let screened = if log.class == Class::Authority {
            self.without_retired(run)
        } else {
            self.shelf.screen(&self.epoch_keys, &standings, run)
        };
        // What was verified decodes; should it not, it is not stored.
        let Ok(screened) = screened else { return Ok(()) };
        let run = screened.as_ref().unwrap_or(run);
        let Some(no) = self.logbook.append(&mut batch, run) else { return Ok(()) };
        if let Some(area) = self.areas.get_mut(&log.compartment) {
            area.logs.insert(LogKey::of(&log), log);
        }
        if run.from().next == 0 {
            self.draw_new(&mut batch, &log, no)?;
        }
        self.notice(run);
        if log.class == Class::Authority {
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
            self.at_desk(now, |shelf, desk| shelf.take(desk, &mut batch, no, run))?;
        }
        self.apply(batch)?;
        let arrival = Arrival { log, from: run.from().next, to: *run.to(), source, ticket };
        self.arrivals.push((Barrier(self.next_barrier), arrival));
        self.erase_more(now)?;
        if log.class == Class::Authority {
            self.read_names();
            self.redraw()?;
            self.seals_wanted = true;
            self.open_waiting(now)?;
        }
        Ok(())
    }

    /// Opens entries that waited for an epoch whose keys came, and judges records again of which
    /// other entries count now.
    pub(super) fn open_waiting(&mut self, now: Now) -> Result<(), StoreError> {
        while self.shelf.has_opened_epochs() || self.shelf.has_moved() {
            let mut batch = Batch::default();
            self.at_desk(now, |shelf, desk| {
                if shelf.has_moved() {
                    shelf.judge_moved(desk, &mut batch)
                } else {
                    shelf.open_waiting(desk, &mut batch)
                }
            })?;
            self.apply(batch)?;
        }
        self.erase_more(now)?;
        self.obey(now)
    }

    /// Destroys what is queued to be.
    pub(super) fn erase_more(&mut self, now: Now) -> Result<(), StoreError> {
        while self.shelf.has_erasures() {
            let mut batch = Batch::default();
            self.at_desk(now, |shelf, desk| shelf.erase_more(desk, &mut batch))?;
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
            self.publish(&arrival, key, &mut haves);
        }
        let mut answered = Vec::new();
        for ((link, id), logs) in haves {
            let area = self.tag_of(link, &id);
            let logs: Vec<(LogKey, u64)> = logs.into_iter().collect();
            self.say(link, Frame::Have { area, logs });
            answered.push(link);
        }
        let forked = self.spread_forks(barrier)?;
        if authority || forked {
            self.on_authority_changed()?;
        }
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
        Ok(())
    }

    fn publish(
        &mut self,
        arrival: &Arrival,
        key: LogKey,
        haves: &mut BTreeMap<(Link, CompartmentId), BTreeMap<LogKey, u64>>,
    ) {
        let Arrival { log, from, to, source, ticket } = arrival;
        let device = source.and_then(|link| self.sessions.get(&link)).map(|s| s.device);
        self.advertise(log, *to);
        self.note_moved(log.compartment, key, *from, to.next, device);
        if let Some(link) = source {
            haves.entry((*link, log.compartment)).or_default().insert(key, to.next);
            let entries = to.next.saturating_sub(*from);
            self.outputs.push_back(Output::Event(Event::Received { log: *log, entries }));
        }
        if let Some(ticket) = ticket {
            self.outputs.push_back(Output::Event(Event::Durable(*ticket)));
        }
    }

    /// Standings changed: offer what peers may hold now, compare where their right became known,
    /// and ask again for what was refused.
    fn on_authority_changed(&mut self) -> Result<(), StoreError> {
        let links: Vec<Link> = self.sessions.keys().copied().collect();
        for link in links {
            self.retry_intros(link)?;
            self.introduce_missing(link);
            self.start_new_comparisons(link);
            let Some(session) = self.sessions.get_mut(&link) else { continue };
            let refused = std::mem::take(&mut session.refused);
            refused.into_iter().for_each(|(id, key)| self.say_position(link, id, key));
        }
        Ok(())
    }
}
