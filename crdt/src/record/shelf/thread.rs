//! A thread: all entries of one record, judged together.
//!
//! Entries that are *quarantined* are set aside first: those beyond their log's limit, and those
//! that no route of their device allows. Nothing follows from them.
//!
//! The verdict on the others is a least fixpoint: an entry is judged once all that it depends on
//! counts and all earlier entries of its own line (its log and run) are judged or quarantined;
//! until then it waits. Judged entries never change this verdict, so arriving entries are judged on
//! top; when a limit or a route moves, the thread is built anew. Nothing but entries, limits and
//! routes decides: not the order of arrival, not a clock, not how large the document has become by
//! concurrent work.
//!
//! Where concurrent changes together are more than a record may hold, some are *held back*: they
//! count, and no document has them. Which ones does depend on the order of judgement. So that is
//! one that all peers know: line by line, by the ids of their logs; and when a change comes to count
//! in a thread that is full, the thread is built anew.
//!
//! Only so much of what waits is in memory ([`PAYLOADS_BYTES_MAX`]). Other payloads are read from
//! their logs when it is their turn.
//!
//! What comes of that *counts*, and of what counts all is *materialised* but what its own device
//! replaced (`EntryKind::REAUTHOR`) and nothing else builds on. Replacing takes no part in the
//! fixpoint: an entry that is replaced still counts for those that depend on it. Otherwise two
//! devices whose replacements build on what the other replaced would leave two answers, or none;
//! so there is one, and nothing that others built on is lost.

mod author;
mod brought;
mod stuck;
mod verdict;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use serde_json::{Map, Value};

use crate::bounds::RECORD_OPS_MAX;
use crate::document::{Document, Held};
use crate::entry::sealed::{EntryKind, SealedHeader};
use crate::gate::{Admitted, Expected};
use crate::id::{AgencyNo, Class, CompartmentId, DeviceId, EntryId, LogId, RecordId};
use crate::logbook::LogNo;
use crate::store::StoreError;
use crate::time::WallTime;

use super::super::edge;
use super::super::genesis::{Carried, Genesis, LabelStatement, Writers, decode_change};
use super::super::kind::Kind;
use super::super::label::{Label, Release, effective};
use super::super::rebase;
use super::{Listing, Opened, RecordState, RecordView, Standings};

pub(super) use verdict::Fault;
pub use verdict::{Quarantine, Verdict};
use waiting::Waiting;

/// Where an entry is in this store.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Place {
    pub(crate) no: LogNo,
    pub(crate) seq: u64,
}

/// What a materialised change contributes to the judgement of those after it.
#[derive(Clone, Copy, Debug)]
struct Judged {
    hash: [u8; 32],
    max_op: u64,
}

/// An entry's turn: the changes of one line are judged in the order of their log, and lines in the
/// order of their logs' ids, which every peer knows alike.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Turn {
    log: LogId,
    run: u32,
    place: Place,
}

impl Turn {
    /// Of an entry that has its place in a line.
    const fn of(opened: &Opened) -> Self {
        Self { log: opened.log, run: opened.header.run, place: opened.place }
    }

    const fn end_of_line(&self) -> Self {
        Self { place: Place { seq: u64::MAX, ..self.place }, ..*self }
    }
}

#[derive(Debug)]
struct Slot {
    /// The entry; without its payload once it is judged, or if that is `stored`.
    opened: Opened,
    /// Whether its payload is to be read when it is judged.
    stored: bool,
    /// Whether it is a label statement that only adds a restriction.
    restricts: bool,
    verdict: Verdict,
    change: Option<Judged>,
}

/// The record's beginning.
#[derive(Clone, Debug)]
struct Beginning {
    id: EntryId,
    log: LogId,
    kind: Kind,
    writers: Writers,
    wall: WallTime,
    released_from: Option<RecordId>,
}

/// About what an entry takes in memory without its payload and what it names, and its change's place
/// in the history.
const SLOT_BYTES: usize = 512;
/// What it costs to read and open an entry, in operations of a document.
pub(super) const ENTRY_WORK: usize = 16;
/// Most bytes of payloads of waiting entries that a thread keeps in memory. A share of what all
/// threads take together; much more than what entries that wait for each other commonly have.
pub(crate) const PAYLOADS_BYTES_MAX: usize = 1024 * 1024;

/// Reads the payload of an entry in clear; `None` where it is gone or does not open.
pub(crate) type ReadPayload<'a> = dyn FnMut(&Opened) -> Result<Option<Vec<u8>>, StoreError> + 'a;

/// All entries of one record.
#[derive(Debug)]
pub(crate) struct Thread {
    record: RecordId,
    slots: BTreeMap<Place, Slot>,
    ids: BTreeMap<EntryId, Place>,
    /// Changes that are not judged yet.
    unjudged: BTreeSet<Turn>,
    /// Entries that are no changes and are not judged yet. They are in no line.
    apart: BTreeSet<Place>,
    /// For what each of these waits.
    waiting: Waiting,
    /// What was added since the last judgement.
    fresh: Vec<Place>,
    /// How many changes each run of each log has.
    runs: BTreeMap<(LogNo, u32), u64>,
    /// Changes that count and were not looked at yet for the document.
    unmerged: Vec<(Place, Admitted)>,
    /// What entries that count replace.
    replaced: BTreeSet<Place>,
    /// What of that is not materialised.
    superseded: BTreeSet<Place>,
    /// Whether the document holds other changes than it is to: the thread is to be built anew.
    stale: bool,
    /// Whether changes that count are missing in the history: there was no room for them.
    full: bool,
    /// Bytes of the payloads that are kept.
    payload_bytes: usize,
    /// How many other entries the entries' headers name.
    named: usize,
    document: Document,
    beginning: Option<Beginning>,
    labels: Vec<(EntryId, Label)>,
    releases: Vec<Release>,
    /// Releases of the record that changes which count have named.
    released_to: BTreeSet<RecordId>,
}

/// What a thread says, for projections.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) compartment: CompartmentId,
    pub(crate) kind: Kind,
    pub(crate) class: Class,
    pub(crate) origin: AgencyNo,
    pub(crate) device: DeviceId,
    pub(crate) label: Label,
    /// None where the record's state hides them.
    pub(crate) fields: Map<String, Value>,
    pub(crate) state: RecordState,
    pub(crate) genesis: EntryId,
    pub(crate) created: WallTime,
    /// Of whatever state the record is.
    pub(crate) releases: Vec<RecordId>,
    pub(crate) released_from: Option<RecordId>,
}

impl Thread {
    pub(crate) fn new(record: RecordId) -> Self {
        Self {
            record,
            slots: BTreeMap::new(),
            ids: BTreeMap::new(),
            unjudged: BTreeSet::new(),
            apart: BTreeSet::new(),
            waiting: Waiting::default(),
            fresh: Vec::new(),
            runs: BTreeMap::new(),
            unmerged: Vec::new(),
            replaced: BTreeSet::new(),
            superseded: BTreeSet::new(),
            stale: false,
            full: false,
            payload_bytes: 0,
            named: 0,
            document: Document::empty(),
            beginning: None,
            labels: Vec::new(),
            releases: Vec::new(),
            released_to: BTreeSet::new(),
        }
    }

    /// Whether an entry can be judged on top of what is judged already. One that was closed to us
    /// when later entries of its line were judged without it cannot: the thread is to be built anew.
    pub(crate) fn fits(&self, opened: &Opened) -> bool {
        let Place { no, seq } = opened.place;
        let after = opened.place..=Place { no, seq: u64::MAX };
        !has_line(opened)
            || self.slots.range(after).all(|(place, slot)| {
                let turn = Turn::of(&slot.opened);
                let quarantined = matches!(slot.verdict, Verdict::Quarantined(_));
                let elsewhere = turn.run != opened.header.run || !has_line(&slot.opened);
                place.seq == seq || quarantined || elsewhere || self.unjudged.contains(&turn)
            })
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn weight(&self) -> usize {
        let slots = SLOT_BYTES * self.slots.len() + size_of::<EntryId>() * self.named;
        slots + self.document.weight() + self.payload_bytes
    }

    /// About what it costs to build it, in operations.
    pub(crate) fn work(&self) -> usize {
        self.document.ops() + ENTRY_WORK * self.slots.len()
    }

    pub(crate) fn contains(&self, place: &Place) -> bool {
        self.slots.contains_key(place)
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        self.slots.keys().copied()
    }

    /// Whether the payload of an entry that waits is here, and not in memory.
    pub(super) fn is_stored(&self, place: &Place) -> bool {
        self.slots.get(place).is_some_and(|slot| slot.stored)
    }

    pub(crate) fn opened(&self, place: &Place) -> Option<&Opened> {
        self.slots.get(place).map(|slot| &slot.opened)
    }

    /// The genesis that counts, and its log.
    pub(crate) fn genesis(&self) -> Option<(EntryId, LogId)> {
        self.beginning.as_ref().map(|beginning| (beginning.id, beginning.log))
    }

    /// Adds an entry that fits; [`Thread::evaluate`] judges it.
    pub(crate) fn add(&mut self, mut opened: Opened) {
        let place = opened.place;
        if self.slots.contains_key(&place) {
            return;
        }
        self.ids.insert(opened.id, place);
        if has_line(&opened) {
            self.unjudged.insert(Turn::of(&opened));
        } else {
            self.apart.insert(place);
            self.waiting.look_at(place);
        }
        self.fresh.push(place);
        let restricts = opened.header.kind == EntryKind::LABEL && restricts(&opened);
        let bytes = opened.payload.as_ref().map_or(0, Vec::len);
        let stored = self.payload_bytes + bytes > PAYLOADS_BYTES_MAX;
        if stored {
            opened.payload = None;
        } else {
            self.payload_bytes += bytes;
        }
        let SealedHeader { deps, own_deps, replaces, .. } = &opened.header;
        self.named += deps.len() + own_deps.len() + replaces.len();
        let verdict = Verdict::Waiting;
        self.slots.insert(place, Slot { opened, stored, restricts, verdict, change: None });
    }

    /// Judges all that can be judged: line by line in the order of their log, until nothing is
    /// ready. Returns whether anything came to count.
    pub(crate) fn evaluate(
        &mut self,
        standings: &dyn Standings,
        read: &mut ReadPayload<'_>,
    ) -> Result<bool, StoreError> {
        let changes = self.changes();
        for place in std::mem::take(&mut self.fresh) {
            self.set_aside(place, standings);
        }
        let mut counts = false;
        loop {
            let before = (self.unjudged.len(), self.apart.len());
            counts |= self.evaluate_lines(standings, read)?;
            counts |= self.evaluate_apart(standings, read)?;
            if (self.unjudged.len(), self.apart.len()) == before {
                break;
            }
        }
        self.merge();
        self.stale |= self.full && changes > 0 && self.changes() > changes;
        Ok(counts)
    }

    /// How many changes are judged, and count.
    fn changes(&self) -> u64 {
        self.runs.values().sum()
    }

    /// Goes once through all lines, each as far as it is ready.
    fn evaluate_lines(
        &mut self,
        standings: &dyn Standings,
        read: &mut ReadPayload<'_>,
    ) -> Result<bool, StoreError> {
        let mut changed = false;
        let mut from = Bound::Unbounded;
        while let Some(first) = self.unjudged.range((from, Bound::Unbounded)).next().copied() {
            let mut next = Some(first);
            while let Some(turn) = next.filter(|turn| self.is_ready(&turn.place)) {
                changed |= self.settle(turn.place, standings, read)?;
                next = self.unjudged.range(turn..=turn.end_of_line()).next().copied();
            }
            from = Bound::Excluded(first.end_of_line());
        }
        Ok(changed)
    }

    /// Sets an unjudged entry aside if it is quarantined, as far as that is known: without the
    /// genesis nobody knows the record's kind.
    fn set_aside(&mut self, place: Place, standings: &dyn Standings) {
        let Some(slot) = self.slots.get_mut(&place) else { return };
        let Opened { log, header, .. } = &slot.opened;
        let quarantine = if standings.limit(log) <= place.seq {
            Quarantine::Closed
        } else {
            match &self.beginning {
                // What a rebase discloses is judged for itself.
                Some(_) if header.kind == EntryKind::REBASE => return,
                Some(beginning) if header.kind != EntryKind::GENESIS => {
                    if standings.allows(log, beginning.kind, header.wall) {
                        return;
                    }
                    Quarantine::Route
                }
                // A genesis says itself what it is about.
                _ => return,
            }
        };
        slot.verdict = Verdict::Quarantined(quarantine);
        slot.stored = false;
        self.payload_bytes -= slot.opened.payload.take().map_or(0, |payload| payload.len());
        let turn = Turn::of(&slot.opened);
        self.unjudged.remove(&turn);
        self.apart.remove(&place);
    }

    /// Judges one entry. Returns whether it counts.
    fn settle(
        &mut self,
        place: Place,
        standings: &dyn Standings,
        read: &mut ReadPayload<'_>,
    ) -> Result<bool, StoreError> {
        let Some(slot) = self.slots.get_mut(&place) else { return Ok(false) };
        let payload = if std::mem::take(&mut slot.stored) {
            read(&slot.opened)?
        } else {
            self.payload_bytes -= slot.opened.payload.as_ref().map_or(0, Vec::len);
            slot.opened.payload.take()
        };
        // It may have been erased meanwhile: then it waits, as if it had not been there.
        let Some(payload) = payload else { return Ok(false) };
        self.unjudged.remove(&Turn::of(&slot.opened));
        self.apart.remove(&place);
        let opened = slot.opened.clone();
        let began = self.beginning.is_some();
        let (verdict, change) = self.judge(&opened, &payload, standings);
        if change.is_some() {
            *self.runs.entry((place.no, opened.header.run)).or_default() += 1;
        }
        let counts = verdict == Verdict::Materialised;
        let replaces = counts || verdict == Verdict::HeldBack;
        if replaces && opened.header.kind == EntryKind::REAUTHOR {
            let replaced = opened.header.replaces.iter();
            self.replaced.extend(replaced.map(|seq| Place { no: place.no, seq: *seq }));
        }
        if let Some(slot) = self.slots.get_mut(&place) {
            slot.verdict = verdict;
            slot.change = change;
        }
        if replaces {
            self.waiting.came(place, opened.id);
        }
        if self.beginning.is_some() != began {
            self.apart.iter().for_each(|place| self.waiting.look_at(*place));
            let waiting: Vec<Place> = self
                .unjudged
                .iter()
                .map(|turn| turn.place)
                .chain(self.apart.iter().copied())
                .collect();
            waiting.into_iter().for_each(|place| self.set_aside(place, standings));
        }
        Ok(counts)
    }

    /// Merges what is to be materialised, all at once.
    fn merge(&mut self) {
        let superseded = self.supersede();
        let unmerged = std::mem::take(&mut self.unmerged);
        let fresh: BTreeSet<Place> = unmerged.iter().map(|(place, _)| *place).collect();
        let counts = |place: &&Place| self.slots.get(place).is_some_and(|at| at.change.is_some());
        let mut turned = self.superseded.symmetric_difference(&superseded).filter(counts);
        self.stale |= turned.any(|place| !fresh.contains(place));
        self.superseded = superseded;
        let meant = unmerged.iter().filter(|(place, _)| !self.superseded.contains(place));
        let batch: Vec<&Admitted> = meant.map(|(_, change)| change).collect();
        for (hash, _) in self.document.merge_accepted(&batch) {
            let mut slots = self.slots.values_mut();
            let is_it = |slot: &&mut Slot| slot.change.is_some_and(|change| change.hash == hash);
            if let Some(slot) = slots.find(is_it) {
                slot.verdict = Verdict::HeldBack;
            }
        }
    }

    /// What is replaced, and not needed by a change that counts and is not.
    fn supersede(&self) -> BTreeSet<Place> {
        if self.replaced.is_empty() {
            return BTreeSet::new();
        }
        let changes = self.slots.iter().filter(|(_, slot)| slot.change.is_some());
        let kept = changes.map(|(place, _)| *place).filter(|place| !self.replaced.contains(place));
        let needed = self.behind(kept.collect());
        let can_be = |place: &&Place| {
            self.slots.get(place).is_some_and(|slot| {
                let counts = matches!(slot.verdict, Verdict::Materialised | Verdict::HeldBack);
                has_line(&slot.opened) && (counts || slot.verdict == Verdict::Waiting)
            })
        };
        let replaced = self.replaced.iter().filter(can_be).copied();
        replaced.filter(|place| !needed.contains(place)).collect()
    }

    /// These entries, and all that they depend on, as far as it is here.
    fn behind(&self, from: BTreeSet<Place>) -> BTreeSet<Place> {
        let mut rest: Vec<Place> = from.iter().copied().collect();
        let mut all = from;
        while let Some(place) = rest.pop() {
            let Some(slot) = self.slots.get(&place) else { continue };
            rest.extend(self.deps_of(&slot.opened).filter(|dep| all.insert(*dep)));
        }
        all
    }

    /// Where the entries are that one depends on.
    fn deps_of<'a>(&'a self, opened: &'a Opened) -> impl Iterator<Item = Place> + 'a {
        let no = opened.place.no;
        let own = opened.header.own_deps.iter().map(move |seq| Place { no, seq: *seq });
        own.chain(opened.header.deps.iter().filter_map(|id| self.ids.get(id).copied()))
    }

    /// What became of an entry.
    fn verdict(&self, slot: &Slot) -> Verdict {
        if self.superseded.contains(&slot.opened.place) {
            Verdict::Replaced
        } else {
            slot.verdict.clone()
        }
    }

    /// Whether it is to be built anew from its entries: the document holds what is replaced now, or
    /// lacks what is needed again, or what it has room for is to be seen.
    pub(crate) const fn is_stale(&self) -> bool {
        self.stale
    }

    /// Whether changes that count have no room. Then no other change can build on all.
    pub(crate) const fn is_full(&self) -> bool {
        self.full
    }

    fn judge(
        &mut self,
        opened: &Opened,
        payload: &[u8],
        standings: &dyn Standings,
    ) -> (Verdict, Option<Judged>) {
        if opened.log.class == Class::Flash && self.builds_on_less_urgent(opened) {
            return (Verdict::Void(Fault::Flash), None);
        }
        let outcome = match opened.header.kind {
            EntryKind::GENESIS => match self.judge_genesis(opened, payload, standings) {
                Ok(Err(quarantine)) => return (Verdict::Quarantined(quarantine), None),
                Ok(Ok(judged)) => Ok(Some(judged)),
                Err(fault) => Err(fault),
            },
            EntryKind::CHANGE | EntryKind::BROUGHT => {
                self.judge_change(opened, payload, standings).map(Some)
            }
            EntryKind::REAUTHOR => self.judge_reauthor(opened, payload, standings),
            EntryKind::LABEL => self.judge_label(opened, payload, standings).map(|()| None),
            EntryKind::REBASE => rebase::decode(payload, opened.log.compartment, self.record)
                .map(|_| None)
                .map_err(|_| Fault::Payload),
            _ => return (Verdict::Unknown, None),
        };
        match outcome {
            Ok(Some((change, held))) => {
                (if held { Verdict::HeldBack } else { Verdict::Materialised }, Some(change))
            }
            Ok(None) => (Verdict::Materialised, None),
            Err(fault) => (Verdict::Void(fault), None),
        }
    }

    /// Whether an entry waits for one that is no flash. A restriction waits for nothing.
    fn builds_on_less_urgent(&self, opened: &Opened) -> bool {
        if self.slots.get(&opened.place).is_some_and(|slot| slot.restricts) {
            return false;
        }
        let mut deps = self.deps_of(opened).filter_map(|place| self.slots.get(&place));
        deps.any(|slot| slot.opened.log.class != Class::Flash)
    }

    fn judge_genesis(
        &mut self,
        opened: &Opened,
        payload: &[u8],
        standings: &dyn Standings,
    ) -> Result<Result<(Judged, bool), Quarantine>, Fault> {
        if self.beginning.is_some() {
            return Err(Fault::Genesis);
        }
        let wall = opened.header.wall;
        let genesis = Genesis::decode(payload).map_err(|_| Fault::Payload)?;
        if !standings.allows(&opened.log, genesis.kind, wall) {
            return Ok(Err(Quarantine::Route));
        }
        let implied = opened.implied(&opened.log.digest());
        let judged = self.admit(opened, &genesis.change, &[], 0)?;
        self.beginning = Some(Beginning {
            id: opened.id,
            log: opened.log,
            kind: genesis.kind,
            writers: genesis.writers,
            wall,
            released_from: genesis.change.change(&implied).as_ref().and_then(edge::released_from),
        });
        self.labels.push((opened.id, genesis.label));
        Ok(Ok(judged))
    }

    /// As a change. Where the values are there already, it has none.
    fn judge_reauthor(
        &mut self,
        opened: &Opened,
        payload: &[u8],
        standings: &dyn Standings,
    ) -> Result<Option<(Judged, bool)>, Fault> {
        if opened.header.replaces.is_empty() {
            return Err(Fault::Replaces);
        }
        if decode_change(payload).is_ok_and(|change| change.is_none()) {
            return self.check_writer(opened, standings, true).map(|()| None);
        }
        self.judge_change(opened, payload, standings).map(Some)
    }

    fn judge_change(
        &mut self,
        opened: &Opened,
        payload: &[u8],
        standings: &dyn Standings,
    ) -> Result<(Judged, bool), Fault> {
        self.check_writer(opened, standings, true)?;
        let change = decode_change(payload).map_err(|_| Fault::Payload)?;
        let mut deps = Vec::new();
        let mut max_op = 0;
        for place in self.deps_of(opened) {
            let judged = self.slots.get(&place).and_then(|slot| slot.change);
            let judged = judged.ok_or(Fault::Dependency)?;
            deps.push(judged.hash);
            max_op = max_op.max(judged.max_op);
        }
        if deps.is_empty() {
            return Err(Fault::Dependency);
        }
        deps.sort_unstable();
        self.admit(opened, &change, &deps, max_op)
    }

    /// Through the gate, then into the history, if that has room. The verdict is theirs; should
    /// Automerge fail later, that is only noted.
    fn admit(
        &mut self,
        opened: &Opened,
        change: &Carried<'_>,
        deps: &[[u8; 32]],
        max_op: u64,
    ) -> Result<(Judged, bool), Fault> {
        let implied = opened.implied(&opened.log.digest());
        let expected = Expected {
            actor: implied.actor,
            seq: self.changes_in_run(opened.place.no, opened.header.run) + 1,
            deps,
            start_op: max_op + 1,
        };
        let admitted = change.admit(&implied, &expected).map_err(Fault::Gate)?;
        if admitted.max_op() > RECORD_OPS_MAX as u64 {
            return Err(Fault::Full);
        }
        let released_to = edge::releases(admitted.change());
        let judged = Judged { hash: admitted.hash(), max_op: admitted.max_op() };
        match self.document.accept(&admitted) {
            Ok(fresh) => {
                self.unmerged.extend(fresh.then_some((opened.place, admitted)));
                self.released_to.extend(released_to);
                Ok((judged, false))
            }
            Err(Held::Unsound(fault)) => Err(Fault::Gate(fault)),
            Err(_) => {
                self.full = true;
                self.released_to.extend(released_to);
                Ok((judged, true))
            }
        }
    }

    /// How many changes of a run are judged. Entries of a log are judged in its order, so that
    /// these are the ones before the next.
    fn changes_in_run(&self, no: LogNo, run: u32) -> u64 {
        self.runs.get(&(no, run)).copied().unwrap_or(0)
    }

    /// Labels are statements of the originator; whoever may write adds restrictions, too, but only
    /// the originator releases.
    fn judge_label(
        &mut self,
        opened: &Opened,
        payload: &[u8],
        standings: &dyn Standings,
    ) -> Result<(), Fault> {
        let statement = LabelStatement::decode(payload).map_err(|_| Fault::Payload)?;
        self.check_writer(opened, standings, statement.cites.is_empty())?;
        let LabelStatement { label, cites } = statement;
        if cites.is_empty() {
            self.labels.push((opened.id, label));
        } else {
            let cites = cites.into_iter().collect();
            self.releases.push(Release { entry: opened.id, cites, label });
        }
        Ok(())
    }

    /// Whether an entry's author may write the record: a device of the originating agency, or,
    /// where `open` and the genesis says so, any of the compartment's.
    fn check_writer(
        &self,
        opened: &Opened,
        standings: &dyn Standings,
        open: bool,
    ) -> Result<(), Fault> {
        let Some(beginning) = &self.beginning else { return Err(Fault::Genesis) };
        if opened.log.compartment != beginning.log.compartment {
            return Err(Fault::Writer);
        }
        if open && beginning.writers == Writers::Compartment {
            return Ok(());
        }
        let agency = |log: &LogId| standings.agency(&log.compartment, &log.device);
        let own = opened.log.device == beginning.log.device;
        let same = agency(&opened.log).is_some_and(|a| Some(a) == agency(&beginning.log));
        if own || same { Ok(()) } else { Err(Fault::Writer) }
    }

    pub(crate) const fn record(&self) -> RecordId {
        self.record
    }

    pub(crate) fn summary(&self, standings: &dyn Standings) -> Option<Summary> {
        let beginning = self.beginning.as_ref().filter(|_| !self.lacks_label())?;
        let Beginning { id, log, kind, wall, released_from, .. } = beginning;
        let state = standings.state(log, id);
        // Whoever's entry does not count, or says nothing, must not make the record urgent.
        let counts = |slot: &&Slot| {
            slot.opened.header.kind != EntryKind::REBASE
                && self.verdict(slot) == Verdict::Materialised
        };
        let classes = self.slots.values().filter(counts).map(|slot| slot.opened.log.class);
        Some(Summary {
            compartment: log.compartment,
            kind: *kind,
            class: classes.min().unwrap_or(log.class),
            origin: standings.agency(&log.compartment, &log.device).unwrap_or_default(),
            device: log.device,
            label: self.label(),
            fields: if state.hides() { Map::new() } else { self.document.to_json() },
            releases: self.released_to.iter().copied().collect(),
            state,
            genesis: *id,
            created: *wall,
            released_from: *released_from,
        })
    }

    /// The label that holds.
    pub(crate) fn label(&self) -> Label {
        effective(self.labels.iter().map(|(id, label)| (*id, label)), &self.releases)
    }

    /// Whether a field has concurrent values.
    pub(crate) fn is_conflicted(&self) -> bool {
        self.document.has_conflicts()
    }

    pub(crate) const fn document(&self) -> &Document {
        &self.document
    }

    pub(crate) fn kind(&self) -> Option<Kind> {
        self.beginning.as_ref().map(|beginning| beginning.kind)
    }

    pub(crate) fn writers(&self) -> Option<Writers> {
        self.beginning.as_ref().map(|beginning| beginning.writers)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Opened, Verdict)> {
        self.slots.values().map(|slot| (&slot.opened, self.verdict(slot)))
    }

    /// The fields that a change touches; none if the entry is no change that counts.
    pub(crate) fn fields(&self, place: &Place) -> Vec<String> {
        let change = self.slots.get(place).and_then(|slot| slot.change);
        change.map(|change| self.document.fields_of(&change.hash)).unwrap_or_default()
    }
}

impl Summary {
    /// What a projection is told of a record.
    pub(super) fn view<'a>(&'a self, thread: &Thread, listing: &Listing) -> RecordView<'a> {
        let hidden = self.state.hides();
        RecordView {
            record: thread.record(),
            version: listing.version,
            compartment: self.compartment,
            kind: self.kind,
            class: self.class,
            origin: self.origin,
            device: self.device,
            label: &self.label,
            fields: &self.fields,
            conflicted: thread.is_conflicted() && !hidden,
            restricted: hidden,
            recalled: self.state.recalled,
            created: self.created,
            arrived: listing.arrived,
        }
    }
}

/// Whether an entry has a place in the line of its log and run: changes do, and what begins with
/// one.
const fn has_line(opened: &Opened) -> bool {
    matches!(
        opened.header.kind,
        EntryKind::GENESIS | EntryKind::CHANGE | EntryKind::REAUTHOR | EntryKind::BROUGHT
    )
}

/// Whether a label statement only adds a restriction.
fn restricts(opened: &Opened) -> bool {
    let statement = opened.payload.as_deref().map(LabelStatement::decode);
    statement.is_some_and(|statement| statement.is_ok_and(|label| label.cites.is_empty()))
}
