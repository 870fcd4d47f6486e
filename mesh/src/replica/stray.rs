//! Strays: what takes away, at places that a peer's logs do not reach.
//!
//! What takes away counts wherever it stands, and so does what a root signed. Past a fork, or in logs
//! of a device with too many incarnations, peers take no more of a log, so that some would hold such a
//! statement and others never. There it travels alone: each peer keeps those that it holds, beside its
//! logs, and says which they are by a leaf of its own in the area's frontier. Where these leaves differ,
//! peers compare ids and send each other what the other lacks.
//!
//! A stray can also come before what precedes it in its log, as to a device whose standing has ended
//! ([`super::ending`]). It is kept until the log comes, which has the same entry at its place; or its
//! author signed two, and forked the log.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, ControlFlow};

use tearline_crdt::authority::Place;
use tearline_crdt::entry::fork::ForkProof;
use tearline_crdt::entry::run::VerifiedRun;
use tearline_crdt::entry::stray::Stray;
use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::{Class, CompartmentId, DeviceId, EntryId, LogId};
use tearline_crdt::statement::Statement;
use tearline_crdt::store::{Batch, Space, Store, StoreError};
use tearline_crdt::time::Now;

use super::area::{Area, Fact};
use super::repair::unless_damaged;
use super::sync::Outcome;
use super::{Barrier, Link, Replica};
use crate::fault::PeerFault;
use crate::wire::{Frame, IDS_MAX, Tag};

/// A stray that is kept here.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeptStray {
    log: LogId,
    seq: u64,
    durable: bool,
}

/// A stray that waits for a flush.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewStray {
    covered_by: Barrier,
    pub(super) area: CompartmentId,
    id: EntryId,
    source: Option<Link>,
}

/// Whether a statement counts where its log does not.
const fn travels_alone(statement: &Statement) -> bool {
    statement.is_narrowing() || matches!(statement, Statement::Desk(_) | Statement::RootAct(_))
}

impl<S: Store> Replica<S> {
    /// Keeps what of a log travels alone, now that a fork of it is proven.
    pub(super) fn keep_beyond(&mut self, batch: &mut Batch, log: &LogId) -> Result<(), StoreError> {
        let proven_at = self.logbook.state(log).and_then(|state| state.proven_at);
        let Some(at) = proven_at.filter(|_| log.class == Class::Authority) else { return Ok(()) };
        let mut found = Vec::new();
        self.logbook.entries_past_damage(&self.store, log, at, &mut |_, entry| {
            // What cannot be read is looked at when it has come again.
            let Ok(entry) = entry else { return ControlFlow::Continue(()) };
            let statement = Statement::decode(&entry.sealed);
            if statement.is_ok_and(|statement| travels_alone(&statement)) {
                let signed = entry.signed;
                let stray = signed.and_then(|s| Stray::new(s, entry.sealed, entry.payload));
                found.extend(stray);
            }
            ControlFlow::Continue(())
        })?;
        found.iter().for_each(|stray| self.keep_stray(batch, stray, None));
        Ok(())
    }

    /// Keeps what travels alone of the logs of a device that has too many.
    pub(super) fn keep_all_beyond(
        &mut self,
        batch: &mut Batch,
        id: CompartmentId,
        device: DeviceId,
    ) -> Result<(), StoreError> {
        let logs = self.logbook.logs_of(id).filter(|(log, _)| log.device == device);
        let logs: Vec<LogId> = logs.map(|(log, _)| *log).collect();
        logs.iter().try_for_each(|log| self.keep_beyond(batch, log))
    }

    fn keep_stray(&mut self, batch: &mut Batch, stray: &Stray, source: Option<Link>) {
        let (area, id, log) = (stray.log().compartment, stray.id(), *stray.log());
        let Some(kept) = self.areas.get_mut(&area).map(|area| &mut area.strays) else { return };
        if kept.contains_key(&id) {
            return;
        }
        kept.insert(id, KeptStray { log, seq: stray.seq(), durable: false });
        batch.put(Space::Meta, stray_key(&area, &id), stray.encode());
        let covered_by = Barrier(self.next_barrier);
        self.strays.push(NewStray { covered_by, area, id, source });
    }

    /// Reads the strays of an area, each as a fact at its place.
    pub(super) fn load_strays(
        &mut self,
        batch: &mut Batch,
        id: CompartmentId,
    ) -> Result<(), StoreError> {
        let mut strays = Vec::new();
        let mut bad = None;
        let prefix = [STRAY_PREFIX, &id.0].concat();
        self.store.scan(
            Space::Meta,
            &prefix,
            &[],
            &mut |key, value| match Stray::decode(value) {
                Ok(Some(stray)) => {
                    strays.push(stray);
                    ControlFlow::Continue(())
                }
                _ => {
                    bad = Some(tearline_crdt::store::damaged(Space::Meta, key));
                    ControlFlow::Break(())
                }
            },
        )?;
        if let Some(error) = bad {
            return Err(error);
        }
        for stray in strays {
            if let Some(area) = self.areas.get_mut(&id) {
                let kept = KeptStray { log: *stray.log(), seq: stray.seq(), durable: true };
                area.strays.insert(stray.id(), kept);
            }
            self.take_stray_fact(batch, &stray);
        }
        Ok(())
    }

    fn take_stray_fact(&mut self, batch: &mut Batch, stray: &Stray) {
        let fact = Fact {
            id: stray.id(),
            seq: stray.seq(),
            log: *stray.log(),
            statement: stray.statement(),
            payload: stray.payload(),
            detached: false,
        };
        self.take_fact(batch, &fact);
    }

    /// The strays of an area that peers are told of: durable, and of devices that could ever count.
    pub(super) fn named_strays(&self, id: CompartmentId) -> BTreeMap<EntryId, LogId> {
        let Some(area) = self.areas.get(&id) else { return BTreeMap::new() };
        let named = area.strays.iter().filter(|(_, s)| s.durable && self.admits(&s.log, None));
        named.map(|(id, stray)| (*id, stray.log)).collect()
    }

    /// Advertises the strays of an area.
    pub(super) fn name_strays(&mut self, id: CompartmentId) {
        let of_strays = LogKey::of_strays(&id);
        let idle = |area: &Area| area.strays.is_empty() && !area.frontier.is_named(&of_strays);
        if self.areas.get(&id).is_none_or(idle) {
            return;
        }
        let named = self.named_strays(id);
        if let Some(area) = self.areas.get_mut(&id) {
            area.frontier.set_strays(&id, named.keys());
        }
    }

    /// The strays up to a barrier are durable: everybody who shares the area gets them. Whether there
    /// are any.
    pub(super) fn spread_strays(&mut self, barrier: Barrier) -> Result<bool, StoreError> {
        let strays = std::mem::take(&mut self.strays);
        let (durable, waiting): (Vec<_>, Vec<_>) =
            strays.into_iter().partition(|stray| stray.covered_by <= barrier);
        self.strays = waiting;
        for stray in &durable {
            let kept = self.areas.get_mut(&stray.area).map(|area| &mut area.strays);
            if let Some(kept) = kept.and_then(|kept| kept.get_mut(&stray.id)) {
                kept.durable = true;
            }
        }
        let areas: BTreeSet<CompartmentId> = durable.iter().map(|stray| stray.area).collect();
        areas.iter().for_each(|id| self.name_strays(*id));
        for NewStray { area, id, source, .. } in &durable {
            let sharing = self.sessions.iter().filter(|(link, session)| {
                Some(**link) != *source
                    && session.started.contains(area)
                    && self.right(*area, &session.device).is_some()
            });
            let links: Vec<Link> = sharing.map(|(link, _)| *link).collect();
            for link in links {
                self.send_strays(link, *area, &BTreeSet::from([*id]))?;
            }
        }
        if !durable.is_empty() {
            self.forget_digests();
        }
        Ok(!durable.is_empty())
    }

    /// Sends strays, each after the proof that its log is forked.
    fn send_strays(
        &mut self,
        link: Link,
        id: CompartmentId,
        ids: &BTreeSet<EntryId>,
    ) -> Result<(), StoreError> {
        let named = self.named_strays(id);
        let sent: Vec<(EntryId, LogId)> =
            named.into_iter().filter(|(stray, _)| ids.contains(stray)).collect();
        let logs: BTreeSet<LogId> = sent.iter().map(|(_, log)| *log).collect();
        for log in logs {
            if self.logbook.has_excess(id, log.device) {
                self.say_excess(link, id, log.device)?;
            } else {
                self.say_fork(link, &log)?;
            }
        }
        if let Some(session) = self.sessions.get_mut(&link) {
            session.strays.extend(sent.into_iter().map(|(stray, _)| (id, stray)));
        }
        Ok(())
    }

    /// The next stray that a peer lacks, if it may still have it.
    pub(super) fn next_stray(&mut self, link: Link) -> Result<Option<Vec<u8>>, StoreError> {
        loop {
            let Some(session) = self.sessions.get_mut(&link) else { return Ok(None) };
            let device = session.device;
            let (id, stray) = if let Some(place) = session.endings.pop_front() {
                (place.log.compartment, self.stray_at(&place)?)
            } else {
                let Some((id, stray)) = session.strays.pop_first() else { return Ok(None) };
                if self.right(id, &device).is_none() {
                    continue;
                }
                (id, unless_damaged(self.kept_stray(&id, &stray))?)
            };
            let Some(stray) = stray else { continue };
            let area = self.tag_of(link, &id);
            return Ok(Some(Frame::Stray { area, stray }.encode()));
        }
    }

    /// A stray as it travels, if it is kept here.
    pub(super) fn kept_stray(
        &self,
        area: &CompartmentId,
        id: &EntryId,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(Space::Meta, &stray_key(area, id))
    }

    /// A statement as it travels alone, from wherever it is here.
    fn stray_at(&self, place: &Place) -> Result<Option<Vec<u8>>, StoreError> {
        let Place { log, seq, id } = place;
        let kept = unless_damaged(self.kept_stray(&log.compartment, id))?;
        if kept.is_some() {
            return Ok(kept);
        }
        let held = unless_damaged(self.logbook.entry(&self.store, log, *seq))?;
        let held = held.filter(|entry| entry.id == *id);
        let stray = held.and_then(|entry| Stray::new(entry.signed?, entry.sealed, entry.payload));
        Ok(stray.map(|stray| stray.encode()))
    }

    /// The peer's strays of an area are others than ours.
    pub(super) fn compare_strays(
        &mut self,
        link: Link,
        id: CompartmentId,
        theirs: u64,
    ) -> Result<(), StoreError> {
        if theirs == 0 {
            let all = self.named_strays(id).into_keys().collect();
            return self.send_strays(link, id, &all);
        }
        self.say_strays(link, id, (EntryId([0; 32]), EntryId([0xff; 32])), false);
        Ok(())
    }

    /// Says which strays are here, of those after the first and up to the last id of a span.
    fn say_strays(
        &mut self,
        link: Link,
        id: CompartmentId,
        span: (EntryId, EntryId),
        answer: bool,
    ) {
        let named: Vec<EntryId> = self.named_strays(id).into_keys().collect();
        let area = self.tag_of(link, &id);
        let within = |stray: &EntryId| span.0 < *stray && *stray <= span.1;
        let named: Vec<EntryId> = named.into_iter().filter(within).collect();
        let mut after = span.0;
        let mut parts = named.chunks(IDS_MAX).peekable();
        loop {
            let ids = parts.next().unwrap_or_default().to_vec();
            let rest = parts.peek().is_some();
            let last = ids.last().copied().filter(|_| rest).unwrap_or(span.1);
            self.say(link, Frame::Strays { area, answer, span: (after, last), ids });
            after = last;
            if !rest {
                return;
            }
        }
    }

    pub(super) fn on_strays(
        &mut self,
        link: Link,
        tag: Tag,
        answer: bool,
        span: (EntryId, EntryId),
        ids: &[EntryId],
    ) -> Outcome {
        let Some(id) = self.served_area(link, tag) else { return Ok(Ok(())) };
        let named = self.named_strays(id);
        let within = (Bound::Excluded(span.0), Bound::Included(span.1));
        let sound = span.0 < span.1
            && ids.windows(2).all(|pair| matches!(pair, [a, b] if a < b))
            && ids.iter().all(|stray| span.0 < *stray && *stray <= span.1);
        if !sound {
            return Ok(Err(PeerFault::Stray));
        }
        let theirs: BTreeSet<EntryId> = ids.iter().copied().collect();
        let own = named.range(within).map(|(stray, _)| *stray);
        let lacked: BTreeSet<EntryId> = own.filter(|stray| !theirs.contains(stray)).collect();
        if !self.may_ask(link, ids.len().saturating_add(named.len()).max(1)) {
            return Ok(Err(PeerFault::Endless));
        }
        self.send_strays(link, id, &lacked)?;
        let kept = self.areas.get(&id).map(|area| &area.strays);
        let new = |stray: &EntryId| kept.is_some_and(|kept| !kept.contains_key(stray));
        if !answer && theirs.iter().any(new) {
            self.say_strays(link, id, span, true);
        }
        Ok(Ok(()))
    }

    pub(super) fn on_stray(&mut self, now: Now, link: Link, tag: Tag, bytes: &[u8]) -> Outcome {
        if !self.may_ask(link, 1) {
            return Ok(Err(PeerFault::Endless));
        }
        let Some(id) = self.area_of(link, tag).filter(|id| self.may_bring(link, *id)) else {
            return Ok(Ok(()));
        };
        let stray = match Stray::decode(bytes) {
            Ok(Some(stray)) if stray.log().compartment == id => stray,
            Ok(_) => return Ok(Err(PeerFault::Stray)),
            Err(error) => return Ok(Err(PeerFault::Malformed(error))),
        };
        let statement = Statement::decode(stray.statement()).ok();
        let Some(statement) = statement.filter(travels_alone) else {
            return Ok(Err(PeerFault::Stray));
        };
        let known = self.areas.get(&id).is_some_and(|a| a.strays.contains_key(&stray.id()));
        if known || !self.is_lacked(now, &stray, &statement)? {
            return Ok(Ok(()));
        }
        let mut batch = Batch::default();
        self.keep_stray(&mut batch, &stray, Some(link));
        self.take_stray_fact(&mut batch, &stray);
        self.apply(batch)?;
        Ok(Ok(()))
    }

    /// Whether a stray is at a place that is not held here, of a log that is worth storing. Where another
    /// entry is held there, its author is proven to have forked the log.
    fn is_lacked(
        &mut self,
        now: Now,
        stray: &Stray,
        statement: &Statement,
    ) -> Result<bool, StoreError> {
        let (log, seq) = (*stray.log(), stray.seq());
        let state = self.logbook.state(&log);
        if state.and_then(|state| state.proven_at).is_some_and(|at| at <= seq) {
            return Ok(true);
        }
        if state.is_none_or(|state| state.head.next <= seq) {
            if !self.admits(&log, Some(statement)) {
                self.conclude(now)?;
            }
            return Ok(self.admits(&log, Some(statement)));
        }
        self.dispute_stray(now, stray)
    }

    /// Proves a fork by a stray in whose place another entry is held; whether it is one.
    fn dispute_stray(&mut self, now: Now, stray: &Stray) -> Result<bool, StoreError> {
        let own = self.logbook.branch(&self.store, stray.log(), stray.seq());
        let own = self.past_damage(own)?.filter(|own| own.id() != stray.id());
        match own.map(|own| ForkProof::new(own, stray.branch())) {
            Some(Ok(proof)) => self.keep_fork(now, &proof),
            Some(Err(_)) | None => Ok(false),
        }
    }

    /// A run comes where strays of its log are: those that are in it are kept there alone from now on.
    /// Returns those in whose places it has other entries.
    pub(super) fn cover_strays(&mut self, batch: &mut Batch, run: &VerifiedRun) -> Vec<EntryId> {
        let (log, span) = (*run.log(), run.from().next..run.to().next);
        let Some(area) = self.areas.get_mut(&log.compartment) else { return Vec::new() };
        let reached = |kept: &KeptStray| kept.log == log && span.contains(&kept.seq);
        if !area.strays.values().any(reached) {
            return Vec::new();
        }
        for entry in run.entries() {
            if area.strays.remove(&entry.id).is_some() {
                batch.remove(Space::Meta, stray_key(&log.compartment, &entry.id));
            }
        }
        self.stale.insert(log.compartment);
        area.strays.iter().filter(|(_, kept)| reached(kept)).map(|(id, _)| *id).collect()
    }

    /// Proves by strays that a log was forked, now that it has other entries in their places.
    pub(super) fn dispute_strays(
        &mut self,
        now: Now,
        area: CompartmentId,
        strays: &[EntryId],
    ) -> Result<(), StoreError> {
        for id in strays {
            let stray = unless_damaged(self.store.get(Space::Meta, &stray_key(&area, id)))?;
            if let Some(Ok(Some(stray))) = stray.map(|bytes| Stray::decode(&bytes)) {
                self.dispute_stray(now, &stray)?;
            }
        }
        Ok(())
    }

    /// Whether a leaf of a frontier names strays.
    pub(super) fn is_of_strays(id: CompartmentId, key: &LogKey) -> bool {
        LogKey::of_strays(&id) == *key
    }
}

const STRAY_PREFIX: &[u8] = b"stray/";

/// `prefix || area (32) || entry id (32)`.
fn stray_key(area: &CompartmentId, id: &EntryId) -> Vec<u8> {
    [STRAY_PREFIX, &area.0, &id.0].concat()
}
