//! Interest: payloads that a peer does not want stay with who has them, and come when they are wanted.
//!
//! A peer says over a link what it wants whole ([`Frame::Interest`], before its first other word). Its
//! neighbour goes on sending it every log, so that digests agree and verdicts are the same, but leaves out the
//! payloads of what the interest does not take; headers and key boxes stay ([`crate::interest`]). A run says so.
//! The receiver lists these entries as *holes* ([`tearline_crdt::logbook::holes`]) and passes them on as such:
//! whoever gets them knows that they are not erased, and blames nobody.
//!
//! What is of a record, the sender judges by what it knows of it. What it cannot open is sent whole, but for
//! what class and time say; and so is a label, which may restrict what is shown. Of an entry that the receiver
//! cannot open, too, nothing is judged but class and the time at which it came here: who relays blindly learns
//! nothing of records by what it is not sent.
//!
//! Holes are filled over links on which nothing, or something else, was asked to be left out; when an interest
//! is widened; and when somebody asks for a record ([`Replica::fetch_record`]). So are those of a record of which a later
//! entry came whole, and labels, from whoever has them. One question for one log is under way on a link at a
//! time ([`Frame::Lack`]); its answers ([`Frame::Payloads`]) go in the lane of the log's class, when no run waits.
//! Each payload is known by the hash in its entry's header to be what the author wrote, whoever brings it. What
//! is here stays here: a transfer goes on, after a cut or a start, with what still is a hole.
//!
//! A flash without its payload is its sender's fault. That a peer leaves out more than it was asked to is not:
//! it may lack it itself. It is no more than a delay, until another is asked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::{ControlFlow, Range};

use tearline_crdt::entry::run::VerifiedRun;
use tearline_crdt::entry::sealed::EntryKind;
use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::{Class, CompartmentId, DeviceId, LogId, RecordId};
use tearline_crdt::logbook::LogNo;
use tearline_crdt::logbook::holes::{Filling, Hole, Offered};
use tearline_crdt::record::shelf::{EntryView, Gist, Verdict};
use tearline_crdt::statement::Right;
use tearline_crdt::store::{Batch, Space, Store, StoreError, damaged};
use tearline_crdt::time::{MonoTime, Now};

use super::lag::lag_key;
use super::offer::Ciphers;
use super::repair::unless_damaged;
use super::session::{Phase, Session};
use super::sync::{Outcome, RUN_BYTES};
use super::{Event, Link, Output, Replica, Room, Ticket};
use crate::fault::PeerFault;
use crate::interest::Interest;
use crate::urgency::Urgency;
use crate::wire::aside::{LACKED_MAX, SPANS_MAX};
use crate::wire::{Frame, Tag};

/// What is wanted here, and of whom.
#[derive(Debug, Default)]
pub(super) struct Interests {
    /// What this peer wants whole of each device; everything of the others.
    own: BTreeMap<DeviceId, Interest>,
    /// The devices of which something else is wanted than when they were asked for holes last.
    changed: BTreeSet<DeviceId>,
    /// Holes that are wanted whatever the interests say.
    wanted: BTreeMap<(LogNo, u64), Wanted>,
    /// How many were wanted since the process began.
    wants: u64,
    /// What records are, by their version.
    pub(super) gists: BTreeMap<RecordId, (u64, Option<Gist>)>,
}

/// A hole that is wanted.
#[derive(Debug)]
struct Wanted {
    /// As which of all that were wanted.
    n: u64,
    /// Who has it not.
    without: BTreeSet<Link>,
}

/// What one session says of payloads.
#[derive(Debug, Default)]
pub(super) struct Aside {
    /// What the peer wants whole, if not everything.
    theirs: Option<Interest>,
    /// What it had sent when it had said that.
    said_bytes: u64,
    /// What it asked for.
    asked: VecDeque<Asked>,
    /// What it was asked for.
    asking: Option<Asking>,
    /// From where on holes are still to be asked for.
    from: Option<(LogNo, u64)>,
    /// When all are asked for once more, and how often they were.
    again: Option<MonoTime>,
    rounds: u32,
    /// Whether something that is wanted of whoever has it may be asked for.
    look: bool,
}

/// A peer lacks payloads of a log.
#[derive(Debug)]
struct Asked {
    id: CompartmentId,
    key: LogKey,
    any: bool,
    seqs: BTreeSet<u64>,
}

/// Holes of one log, as many as a frame has room for.
struct Lacked {
    log: LogId,
    no: LogNo,
    seqs: BTreeSet<u64>,
}

/// A peer was asked for payloads of a log.
#[derive(Debug)]
struct Asking {
    id: CompartmentId,
    key: LogKey,
    no: LogNo,
    seqs: BTreeSet<u64>,
    /// Since when nothing came.
    since: MonoTime,
    /// Answers without a payload that were not the last.
    idle: u64,
}

/// Most holes that are wanted at a time whatever the interests say. Where more are, the quarter that has waited longest
/// for somebody who has it makes room: it is wanted again when it is asked for again.
const WANTED_MAX: usize = 65_536;
/// Most answers without a payload that are not the last, while one question waits: each says that so many entries were
/// looked at as are for one frame, and answers to questions that were given up may come, too.
const IDLE_ANSWERS_MAX: u64 = LACKED_MAX.div_ceil(LOOKS_MAX as u64) * ASKED_MAX as u64;
/// Most questions of one peer that wait for their answer. An honest one has one.
const ASKED_MAX: usize = 4;
/// What it costs to ask for more than may wait, and to change an interest.
const ASKED_MUCH_COST: usize = 64;
/// What a payload costs that fills nothing.
const IDLE_PAYLOAD_COST: usize = 4;
/// Bytes of payloads that a frame aims at on a thin link, and that are looked at for it.
const THIN_BYTES: usize = 1_024;
/// How often payloads are looked at, of which none is wanted, before a frame is sent all the same.
const LOOKS_MAX: usize = 64;
/// How long until those are asked again that had not all, in ms: at first, and how often that doubles.
const AGAIN_MS: u64 = 600_000;
const AGAIN_DOUBLES_MAX: u32 = 7;
/// Before what is wanted of a device, in [`Space::Meta`].
const PREFIX: &[u8] = b"interest/";
/// Before the devices of which something else is wanted since they were asked, in [`Space::Meta`].
const CHANGED: &[u8] = b"interest-changed/";

/// After so long without an answer a question is given up, in ms.
const fn silent_ms(thin: bool) -> u64 {
    if thin { 30 * 60_000 } else { 60_000 }
}

impl<S: Store> Replica<S> {
    pub(super) fn load_interests(&mut self) -> Result<(), StoreError> {
        let mut bad = None;
        let own = &mut self.interests.own;
        self.store.scan(Space::Meta, PREFIX, &[], &mut |key, value| {
            let device = key.get(PREFIX.len()..).and_then(|device| device.try_into().ok());
            match (device.map(DeviceId), Interest::decode(value)) {
                (Some(device), Ok(interest)) => {
                    own.extend(interest.map(|interest| (device, interest)));
                    ControlFlow::Continue(())
                }
                _ => {
                    bad = Some(damaged(Space::Meta, key));
                    ControlFlow::Break(())
                }
            }
        })?;
        let changed = &mut self.interests.changed;
        self.store.scan(Space::Meta, CHANGED, &[], &mut |key, _| {
            let device = key.get(CHANGED.len()..).and_then(|device| device.try_into().ok());
            changed.extend(device.map(DeviceId));
            ControlFlow::Continue(())
        })?;
        bad.map_or(Ok(()), Err)
    }

    /// From now on wants this whole of a device, and of everything else the headers; with none, everything. What
    /// was left out before and is wanted now is asked for.
    pub fn set_interest(
        &mut self,
        device: DeviceId,
        interest: Option<Interest>,
    ) -> Result<Ticket, StoreError> {
        let mut batch = Batch::default();
        let key = [PREFIX, &device.0].concat();
        match &interest {
            Some(interest) => batch.put(Space::Meta, key, interest.encode()),
            None => batch.remove(Space::Meta, key),
        }
        let before = self.interests.own.get(&device).cloned();
        match interest {
            Some(interest) => drop(self.interests.own.insert(device, interest)),
            None => drop(self.interests.own.remove(&device)),
        }
        if before.as_ref() != self.interests.own.get(&device) {
            self.interests.changed.insert(device);
            batch.put(Space::Meta, [CHANGED, &device.0].concat(), Vec::new());
            let of = self.sessions.iter().filter(|(_, s)| s.device == device && s.is_heard());
            let links: Vec<Link> = of.map(|(link, _)| *link).collect();
            for link in links {
                self.say_interest(link, true);
                if let Some(session) = self.sessions.get_mut(&link) {
                    session.aside.from = Some((LogNo(0), 0));
                }
            }
        }
        self.put(batch)
    }

    /// What is wanted whole of a device; `None` for everything.
    #[must_use]
    pub fn interest(&self, device: &DeviceId) -> Option<&Interest> {
        self.interests.own.get(device)
    }

    /// What a linked device wants whole of this one; `None` for everything.
    #[must_use]
    pub fn interest_of(&self, device: &DeviceId) -> Option<&Interest> {
        let of = self.sessions.values().filter(|session| session.device == *device);
        of.filter_map(|session| session.aside.theirs.as_ref()).next()
    }

    /// How many entries stay with other peers, by who left them out, as far as `may` says yes to where they are.
    pub fn left_aside(&self, may: &dyn Fn(&CompartmentId) -> bool) -> BTreeMap<DeviceId, u64> {
        let mut all: BTreeMap<DeviceId, u64> = BTreeMap::new();
        for (compartment, with, entries) in self.logbook.holes_by_device() {
            if may(&compartment) {
                *all.entry(with).or_default() += entries;
            }
        }
        all
    }

    /// Asks for all that stays elsewhere of a record, whoever has it, until it is here or the process ends. Returns
    /// how many entries that are.
    pub fn fetch_record(&mut self, now: Now, record: RecordId) -> Result<u64, StoreError> {
        self.clock = self.clock.max(now.mono);
        let count = self.want_record(record)?;
        self.settle_outputs()?;
        Ok(count)
    }

    /// An entry is wanted whatever the interests say.
    fn want_payload(&mut self, log: &LogId, seq: u64) {
        let Some(no) = self.logbook.state(log).map(|state| state.no) else { return };
        let logbook = &self.logbook;
        let is_hole = |no, seq| logbook.log(no).is_some_and(|log| logbook.hole(log, seq).is_some());
        self.interests.want((no, seq), is_hole);
        self.sessions.values_mut().for_each(|session| session.aside.look = true);
    }

    /// Says what is wanted, if that is not everything, or was said otherwise.
    pub(super) fn say_interest(&mut self, link: Link, again: bool) {
        let Some(device) = self.sessions.get(&link).map(|session| session.device) else { return };
        // What this peer is after is no business of who can read nothing.
        let reads = self.areas.keys().any(|id| self.right(*id, &device) >= Some(Right::Read));
        let wants = self.interests.own.get(&device);
        let wants = if reads { wants.cloned() } else { wants.and_then(Interest::blind) };
        let interest = match wants {
            Some(interest) => interest.encode(),
            None if again => Interest::encode_everything(),
            None => return,
        };
        self.say(link, Frame::Interest { interest });
    }

    pub(super) fn on_interest(&mut self, link: Link, interest: &[u8]) -> Result<(), PeerFault> {
        let theirs = Interest::decode(interest)?;
        if let Some(session) = self.sessions.get_mut(&link) {
            session.aside.theirs = theirs;
            session.aside.said_bytes = session.bytes_in;
        }
        self.charge(link, ASKED_MUCH_COST)
    }

    /// A link is live: holes are asked for over it, unless it is one over which the same is left out again.
    pub(super) fn begin_to_fill(&mut self, link: Link) {
        let Some(session) = self.sessions.get(&link) else { return };
        let Interests { own, changed, .. } = &self.interests;
        let asks = !own.contains_key(&session.device) || changed.contains(&session.device);
        let Some(session) = self.sessions.get_mut(&link) else { return };
        session.aside.look = true;
        if asks {
            session.aside.from = Some((LogNo(0), 0));
        }
    }

    /// Notes what was left out of a run that is being stored, in the batch that stores it.
    pub(super) fn note_left_out(
        &mut self,
        batch: &mut Batch,
        run: &VerifiedRun,
        (link, holes): (Link, &BTreeSet<u64>),
    ) {
        let Some(with) = self.sessions.get(&link).map(|session| session.device) else { return };
        let lacks = run.entries().iter().filter(|e| holes.contains(&e.seq) && e.lacks_payload());
        let holes: BTreeSet<u64> = lacks.map(|entry| entry.seq).collect();
        let Some(first) = holes.first().copied() else { return };
        let log = *run.log();
        self.logbook.note_holes(batch, &log, &holes, with);
        let Some(no) = self.logbook.state(&log).map(|state| state.no) else { return };
        let own = self.interests.own.get(&with).cloned();
        let others: Vec<Link> = self
            .sessions
            .iter()
            .filter(|(_, s)| s.device != with && self.interests.own.get(&s.device) != own.as_ref())
            .map(|(link, _)| *link)
            .collect();
        for other in others {
            if let Some(session) = self.sessions.get_mut(&other) {
                let from = session.aside.from.unwrap_or((no, first));
                session.aside.from = Some(from.min((no, first)));
                session.aside.rounds = 0;
            }
        }
    }

    /// Of a run that was stored: labels that were left out of it are wanted, and what is left aside of records of
    /// which it has more.
    pub(super) fn complete(&mut self, run: &VerifiedRun) -> Result<(), StoreError> {
        let log = *run.log();
        if log.class == Class::Authority || self.logbook.holes().next().is_none() {
            return Ok(());
        }
        let mut ciphers = Ciphers::default();
        let mut records: BTreeMap<RecordId, Vec<u64>> = BTreeMap::new();
        for entry in run.entries() {
            let offered = Offered {
                seq: entry.seq,
                epoch: entry.epoch,
                sealed: run.sealed(entry).to_vec(),
                box_hash: entry.box_hash,
            };
            let Some(header) = ciphers.open(&self.epoch_keys, &log, &offered) else { continue };
            let is_label = header.kind == EntryKind::LABEL;
            if entry.lacks_payload() && is_label {
                self.want_payload(&log, entry.seq);
            } else if entry.payload.is_some() && !is_label {
                records.entry(header.record).or_default().push(entry.seq);
            }
        }
        for (record, seqs) in records {
            let aside = unless_damaged(self.records(|reader| reader.aside(record)))?;
            if aside.is_none() {
                continue;
            }
            let detail = unless_damaged(self.records(|reader| reader.browse(record)))?;
            let waits = detail.is_none_or(|detail| {
                let of_run = |e: &&EntryView| e.log == log && seqs.contains(&e.seq);
                detail.entries.iter().filter(of_run).any(|e| e.verdict == Verdict::Waiting)
            });
            if waits {
                self.want_record(record)?;
            }
        }
        Ok(())
    }

    /// All holes of a record are wanted. Returns how many there are.
    fn want_record(&mut self, record: RecordId) -> Result<u64, StoreError> {
        let places = tearline_crdt::record::shelf::places_of(&self.store, &self.logbook, &record)?;
        let mut count = 0;
        for (log, seq) in places {
            if self.logbook.hole(&log, seq).is_some() {
                self.want_payload(&log, seq);
                count += 1;
            }
        }
        Ok(count)
    }

    /// Asks for payloads over the links that were touched, and over those whose time has come.
    pub(super) fn tend_asides(&mut self) -> Result<(), StoreError> {
        if self.room < Room::Everything {
            return Ok(());
        }
        let now = self.clock;
        let due = |session: &Session| session.aside.due(session.thin).is_some_and(|at| at <= now);
        let late: Vec<Link> =
            self.sessions.asking().filter(|(_, s)| due(s)).map(|(link, _)| *link).collect();
        for link in late {
            let Some(session) = self.sessions.get_mut(&link) else { continue };
            match session.aside.asking.take() {
                Some(asking) => self.pass_over(link, &asking),
                None => {
                    session.aside.again = None;
                    session.aside.from = Some((LogNo(0), 0));
                }
            }
        }
        let asks = |session: &Session| session.phase == Phase::Live && session.aside.may_ask();
        let touched = self.sessions.touched().iter();
        let links: Vec<Link> =
            touched.filter(|link| self.sessions.get(link).is_some_and(asks)).copied().collect();
        links.into_iter().try_for_each(|link| self.ask_for_payloads(link))
    }

    /// When a question is given up, or asked again.
    pub(super) fn next_aside(&self) -> Option<MonoTime> {
        let due = self.sessions.asking().filter_map(|(_, session)| session.aside.due(session.thin));
        due.min().filter(|_| self.room == Room::Everything)
    }

    /// A peer has not what it was asked for.
    fn pass_over(&mut self, link: Link, asking: &Asking) {
        for seq in &asking.seqs {
            if let Some(wanted) = self.interests.wanted.get_mut(&(asking.no, *seq)) {
                wanted.without.insert(link);
            }
        }
    }

    /// Asks a peer for what is wanted, or for what follows of what its interest may take, if it is not asked for
    /// anything.
    fn ask_for_payloads(&mut self, link: Link) -> Result<(), StoreError> {
        let Some(session) = self.sessions.get(&link) else { return Ok(()) };
        let (device, from) = (session.device, session.aside.from);
        let may =
            |id: &CompartmentId| session.started.contains(id) && self.right(*id, &device).is_some();
        let wanted = if session.aside.look { self.wanted_of(link, &may) } else { None };
        let looked = wanted.is_none();
        let wanted = wanted.map(|lacked| (lacked, true));
        let behind = || Some((self.holes_behind(from?, &may)?, false));
        let next = wanted.or_else(behind);
        if let Some(session) = self.sessions.get_mut(&link) {
            session.aside.look &= !looked;
        }
        let Some((Lacked { log, no, seqs }, any)) = next else {
            return if from.is_some() { self.asked_for_all(link) } else { Ok(()) };
        };
        let (id, key) = (log.compartment, LogKey::of(&log));
        let area = self.tag_of(link, &id);
        let spans = spans_of(&seqs);
        let (end, since) = (spans.last().map_or(0, |span| span.end), self.clock);
        if let Some(session) = self.sessions.get_mut(&link) {
            if !any {
                session.aside.from = Some((no, end));
            }
            session.aside.asking = Some(Asking { id, key, no, seqs, since, idle: 0 });
        }
        self.say(link, Frame::Lack { area, key, any, spans });
        Ok(())
    }

    /// A peer was asked for all holes once.
    fn asked_for_all(&mut self, link: Link) -> Result<(), StoreError> {
        let is_lacking = self.logbook.holes().next().is_some();
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(()) };
        let asks_again = !self.interests.own.contains_key(&session.device) && !session.thin;
        let again = self.clock.plus_ms(AGAIN_MS << session.aside.rounds);
        session.aside.from = None;
        session.aside.again = (asks_again && is_lacking).then_some(again);
        session.aside.rounds = (session.aside.rounds + 1).min(AGAIN_DOUBLES_MAX);
        if self.interests.changed.remove(&session.device) {
            let mut batch = Batch::default();
            batch.remove(Space::Meta, [CHANGED, &session.device.0].concat());
            self.apply(batch)?;
        }
        Ok(())
    }

    /// The first holes of a log that are wanted whatever the interests say, and may be asked for here.
    fn wanted_of(&self, link: Link, may: &dyn Fn(&CompartmentId) -> bool) -> Option<Lacked> {
        let mut found: Option<Lacked> = None;
        for ((no, seq), wanted) in &self.interests.wanted {
            if found.as_ref().is_some_and(|all| all.no != *no || all.seqs.len() >= SPANS_MAX) {
                break;
            }
            let Some(log) = self.logbook.log(*no).filter(|log| may(&log.compartment)) else {
                continue;
            };
            if !wanted.without.contains(&link) && self.logbook.hole(log, *seq).is_some() {
                let begun = || Lacked { log: *log, no: *no, seqs: BTreeSet::new() };
                found.get_or_insert_with(begun).seqs.insert(*seq);
            }
        }
        found
    }

    /// The first holes of a log from a place on that may be asked for.
    fn holes_behind(
        &self,
        (no, seq): (LogNo, u64),
        may: &dyn Fn(&CompartmentId) -> bool,
    ) -> Option<Lacked> {
        let mut found: Option<Lacked> = None;
        let behind = self.logbook.holes_from(no, seq).filter(|hole| may(&hole.log.compartment));
        for Hole { log, no, span, .. } in behind.take(SPANS_MAX) {
            let all = found.get_or_insert_with(|| Lacked { log, no, seqs: BTreeSet::new() });
            let room = (LACKED_MAX as usize).saturating_sub(all.seqs.len());
            if all.no != no || room == 0 {
                break;
            }
            all.seqs.extend(span.take(room));
        }
        found
    }

    /// A peer lacks payloads.
    pub(super) fn on_lack(
        &mut self,
        link: Link,
        tag: Tag,
        (key, any): (LogKey, bool),
        spans: Vec<Range<u64>>,
    ) -> Result<(), PeerFault> {
        let seqs: BTreeSet<u64> = spans.into_iter().flatten().collect();
        let id = self.served_area(link, tag);
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(()) };
        if session.aside.asked.len() >= ASKED_MAX {
            return self.charge(link, ASKED_MUCH_COST);
        }
        // Who may not have them hears that there are none.
        let Some(id) = id else {
            self.say(link, Frame::Payloads { area: tag, key, done: true, payloads: Vec::new() });
            return Ok(());
        };
        session.aside.asked.push_back(Asked { id, key, any, seqs });
        Ok(())
    }

    /// The next payloads for a peer that asked for some, when the lane of their class is free.
    pub(super) fn next_payloads(
        &mut self,
        link: Link,
    ) -> Result<Option<(Urgency, Vec<u8>)>, StoreError> {
        let Some(session) = self.sessions.get(&link) else { return Ok(None) };
        let Some(Asked { id, key, .. }) = session.aside.asked.front() else { return Ok(None) };
        let lane = Urgency::from_u8(lag_key(*id, *key).0).unwrap_or(Urgency::Routine);
        if session.busy.has(lane) {
            return Ok(None);
        }
        let thin = session.thin;
        let bytes_max = if thin { THIN_BYTES } else { (session.window.0 / 2).min(RUN_BYTES) };
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(None) };
        let Some(mut asked) = session.aside.asked.pop_front() else { return Ok(None) };
        let area = self.tag_of(link, &asked.id);
        let mut payloads = Vec::new();
        for _ in 0..LOOKS_MAX {
            payloads = self.payloads_for(link, &mut asked, bytes_max)?;
            if !payloads.is_empty() || asked.seqs.is_empty() {
                break;
            }
        }
        let (key, done) = (asked.key, asked.seqs.is_empty());
        if payloads.is_empty()
            && let Err(fault) = self.charge(link, 1)
        {
            self.blame(link, fault);
            return Ok(None);
        }
        if !done && let Some(session) = self.sessions.get_mut(&link) {
            session.aside.asked.push_front(asked);
        }
        let frame = Frame::Payloads { area, key, done, payloads };
        Ok(Some((lane, frame.encode())))
    }

    /// Takes from what a peer asked for as much as is looked at at a time, and returns what it gets of that.
    fn payloads_for(
        &mut self,
        link: Link,
        asked: &mut Asked,
        bytes_max: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let (id, key) = (asked.id, asked.key);
        let device = self.sessions.get(&link).map(|session| session.device);
        let may = device.is_some_and(|device| self.right(id, &device).is_some());
        let held = self.areas.get(&id).filter(|_| may);
        let log = held.and_then(|area| area.logs.get(&key)).map(|log| **log);
        let Some(log) = log.filter(|log| self.admits(log, None)) else {
            asked.seqs.clear();
            return Ok(Vec::new());
        };
        let durable = held.map_or(0, |area| area.frontier.head(&key).next);
        asked.seqs.retain(|seq| *seq < durable);
        let found = self.logbook.payloads(&self.store, &log, &asked.seqs, bytes_max);
        let Some((found, next)) = self.past_damage(found.map(Some))? else {
            // What lies behind what is damaged is asked for again.
            asked.seqs.clear();
            return Ok(Vec::new());
        };
        asked.seqs = asked.seqs.split_off(&next);
        let theirs = self.sessions.get(&link).and_then(|session| session.aside.theirs.clone());
        let mut found: Vec<(Offered, Vec<u8>)> = found;
        if let Some(theirs) = theirs.filter(|_| !asked.any) {
            let offered: Vec<Offered> = found.iter().map(|(offered, _)| offered.clone()).collect();
            let wanted = self.judge(link, &theirs, &log, &offered)?;
            found.retain(|(offered, _)| wanted.contains(&offered.seq));
        }
        Ok(found.into_iter().map(|(offered, payload)| (offered.seq, payload)).collect())
    }

    /// Payloads came.
    pub(super) fn on_payloads(
        &mut self,
        now: Now,
        link: Link,
        tag: Tag,
        (key, done): (LogKey, bool),
        payloads: Vec<(u64, Vec<u8>)>,
    ) -> Outcome {
        let clock = self.clock;
        let Some(id) = self.area_of(link, tag).filter(|id| self.may_bring(link, *id)) else {
            return Ok(self.charge(link, payloads.len() + 1));
        };
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(Ok(())) };
        let asking = session.aside.asking.as_mut().filter(|a| (a.id, a.key) == (id, key));
        let mut answered = None;
        let mut unasked = 0;
        if let Some(asking) = asking {
            let before = asking.seqs.len();
            for (seq, _) in &payloads {
                asking.seqs.remove(seq);
            }
            if payloads.is_empty() && !done {
                asking.idle += 1;
                if asking.idle > IDLE_ANSWERS_MAX {
                    return Ok(Err(PeerFault::Endless));
                }
            }
            // What was not asked for is no answer to wait on.
            if payloads.is_empty() || asking.seqs.len() < before {
                asking.since = clock;
            }
            answered = if done { session.aside.asking.take() } else { None };
            session.aside.look |= done;
        } else {
            unasked = 1;
        }
        if let Some(asking) = answered {
            self.pass_over(link, &asking);
        }
        let log = self.areas.get(&id).and_then(|area| area.logs.get(&key)).map(|log| **log);
        let Some(log) = log.filter(|_| self.room == Room::Everything) else {
            return Ok(self.charge(link, payloads.len() + unasked));
        };
        let brought = payloads.len();
        let is_hole = |(seq, _): &(u64, Vec<u8>)| self.logbook.hole(&log, *seq).is_some();
        let holes: BTreeMap<u64, Vec<u8>> = payloads.into_iter().filter(is_hole).collect();
        let idle = brought.saturating_sub(holes.len());
        let Filling { filled, other } = self.fill_holes(now, &log, &holes)?;
        if !other.is_empty() {
            return Ok(Err(PeerFault::Payload));
        }
        self.give_back(link, filled.len());
        if let Some(session) = self.sessions.get_mut(&link).filter(|_| brought > 0) {
            session.gives(clock);
        }
        Ok(self.charge(link, idle * IDLE_PAYLOAD_COST + unasked))
    }

    /// Puts payloads into the holes that they are for, and what follows from them on the shelf. Returns which holes
    /// were filled.
    pub(super) fn fill_holes(
        &mut self,
        now: Now,
        log: &LogId,
        payloads: &BTreeMap<u64, Vec<u8>>,
    ) -> Result<Filling, StoreError> {
        let mut batch = Batch::default();
        let filling = self.logbook.fill_holes(&self.store, &mut batch, log, payloads);
        let filling = self.past_damage(filling.map(Some))?.unwrap_or_default();
        let filled = &filling.filled;
        let Some(no) = self.logbook.state(log).map(|state| state.no) else { return Ok(filling) };
        let Some(last) = filled.last().copied() else { return Ok(filling) };
        let bytes = payloads.iter().filter(|(seq, _)| filled.contains(seq));
        let bytes: usize = bytes.map(|(_, payload)| payload.len()).sum();
        self.note_bytes(&mut batch, log, (no, last.saturating_add(1)), bytes as u64)?;
        self.apply(batch)?;
        // Closed with what follows: whoever starts in between gets them again.
        let mut batch = Batch::default();
        self.at_desk(now, |shelf, desk| shelf.filled(desk, &mut batch, no, filled))?;
        self.logbook.close_holes(&mut batch, no, filled);
        self.apply(batch)?;
        for seq in filled {
            self.interests.wanted.remove(&(no, *seq));
        }
        let entries = filled.len() as u64;
        self.outputs.push_back(Output::Event(Event::Filled { log: *log, entries }));
        self.erase_more(now)?;
        Ok(filling)
    }

    /// Fills holes with what a run has, which was found to be of its log.
    pub(super) fn fill_from(&mut self, now: Now, run: &VerifiedRun) -> Result<(), StoreError> {
        let holes = run.entries().iter().filter(|e| self.logbook.hole(run.log(), e.seq).is_some());
        let payloads: BTreeMap<u64, Vec<u8>> =
            holes.filter_map(|entry| Some((entry.seq, run.payload(entry)?.to_vec()))).collect();
        if payloads.is_empty() {
            return Ok(());
        }
        self.fill_holes(now, run.log(), &payloads).map(|_| ())
    }

    /// A link is down: it says nothing of who has what.
    pub(super) fn forget_without(&mut self, link: Link) {
        for wanted in self.interests.wanted.values_mut() {
            wanted.without.remove(&link);
        }
    }
}

impl Interests {
    /// A hole is wanted. Where too many are, those go that are none any more, or else those that have waited longest.
    fn want(&mut self, place: (LogNo, u64), is_hole: impl Fn(LogNo, u64) -> bool) {
        if self.wanted.len() >= WANTED_MAX {
            self.wanted.retain(|(no, seq), _| is_hole(*no, *seq));
        }
        if self.wanted.len() >= WANTED_MAX {
            let mut all: Vec<u64> = self.wanted.values().map(|wanted| wanted.n).collect();
            let last = *all.select_nth_unstable(WANTED_MAX / 4 - 1).1;
            self.wanted.retain(|_, wanted| wanted.n > last);
        }
        self.wanted.insert(place, Wanted { n: self.wants, without: BTreeSet::new() });
        self.wants = self.wants.saturating_add(1);
    }
}

impl Aside {
    /// What the peer wants whole; `None` for everything.
    pub(super) const fn theirs(&self) -> Option<&Interest> {
        self.theirs.as_ref()
    }

    /// Whether there may be something to ask for, and nothing was asked for.
    const fn may_ask(&self) -> bool {
        self.asking.is_none() && (self.look || self.from.is_some())
    }

    /// What the peer had sent when it said what it wants, which it may before its first word.
    pub(super) const fn said_bytes(&self) -> u64 {
        self.said_bytes
    }

    /// Whether it is looked at again, as time passes.
    pub(super) const fn waits(&self) -> bool {
        self.asking.is_some() || self.again.is_some()
    }

    /// When it is looked at what was asked for.
    fn due(&self, thin: bool) -> Option<MonoTime> {
        let asked = self.asking.as_ref().map(|asking| asking.since.plus_ms(silent_ms(thin)));
        asked.or(self.again)
    }
}

/// Positions as spans.
fn spans_of(seqs: &BTreeSet<u64>) -> Vec<Range<u64>> {
    let mut spans: Vec<Range<u64>> = Vec::new();
    for seq in seqs {
        match spans.last_mut().filter(|span| span.end == *seq) {
            Some(span) => span.end = seq.saturating_add(1),
            None => spans.push(*seq..seq.saturating_add(1)),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_bounded_and_the_latest_is_always_among_it() {
        let mut interests = Interests::default();
        for seq in 0..WANTED_MAX as u64 {
            interests.want((LogNo(1), seq), |_, _| true);
        }
        let latest = WANTED_MAX as u64;
        interests.want((LogNo(0), latest), |_, _| true);
        assert_eq!(interests.wanted.len(), WANTED_MAX - WANTED_MAX / 4 + 1);
        let first = interests.wanted.keys().find(|(no, _)| *no == LogNo(1));
        assert_eq!(first, Some(&(LogNo(1), latest / 4)), "what waited longest went");
        for seq in latest..latest + latest / 4 - 1 {
            interests.want((LogNo(1), seq), |_, _| true);
        }
        interests.want((LogNo(2), 7), |no, _| no == LogNo(0));
        let left: Vec<(LogNo, u64)> = interests.wanted.keys().copied().collect();
        assert_eq!(left, [(LogNo(0), latest), (LogNo(2), 7)], "those that are filled went");
    }
}
