//! A thread: all entries of one record, judged together.
//!
//! The verdict is a least fixpoint: an entry is judged once all that it depends on is materialised
//! and all earlier entries of its own log about the record are judged; until then it waits. Judged
//! entries never change their verdict, so arriving entries are judged on top. Nothing but entries
//! decides: not their order of arrival, not a clock, not how large the document has become by
//! concurrent work.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::bounds::RECORD_OPS_MAX;
use crate::document::{self, Document, Held};
use crate::entry::sealed::EntryKind;
use crate::gate::{self, Admitted, Expected, GateFault};
use crate::id::{AgencyNo, Class, CompartmentId, DeviceId, EntryId, LogId, RecordId};
use crate::logbook::LogNo;
use crate::time::WallTime;

use super::super::genesis::{Genesis, LabelStatement, Writers, decode_change, record_id};
use super::super::kind::Kind;
use super::super::label::{Label, Release, effective};
use super::{Opened, RecordState, Standings};

/// Where an entry is in this store.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Place {
    pub(crate) no: LogNo,
    pub(crate) seq: u64,
}

/// What became of an entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Something that it depends on is not there, or its payload is not.
    Waiting,
    /// It counts.
    Materialised,
    /// It does not count, anywhere.
    Void(Fault),
    /// It counts, but Automerge failed on it here: an alarm of this peer, not a verdict.
    HeldBack,
    /// Of a kind that this version does not know.
    Unknown,
}

/// Why an entry does not count.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    /// The payload is malformed.
    #[error("its payload is malformed")]
    Payload,
    /// The record has another genesis, or the record's id is not bound to this one.
    #[error("it is no genesis of this record")]
    Genesis,
    /// Its author may not write this record.
    #[error("its author may not write this record")]
    Writer,
    /// Its change does not pass the gate.
    #[error("its change does not pass the gate: {0}")]
    Gate(GateFault),
    /// It depends on something that is no change of this record.
    #[error("it depends on what is no change of this record")]
    Dependency,
    /// The record would have more operations than the format allows.
    #[error("the record is full")]
    Full,
}

/// What a materialised change contributes to the judgement of those after it.
#[derive(Clone, Copy, Debug)]
struct Judged {
    hash: [u8; 32],
    max_op: u64,
}

#[derive(Debug)]
struct Slot {
    /// The entry; without its payload once it is judged.
    opened: Opened,
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
}

/// About what an entry takes in memory without its payload, and its change's place in the history.
const SLOT_BYTES: usize = 512;

/// All entries of one record.
#[derive(Debug)]
pub(crate) struct Thread {
    record: RecordId,
    slots: BTreeMap<Place, Slot>,
    ids: BTreeMap<EntryId, Place>,
    /// What is not judged yet.
    unjudged: BTreeSet<Place>,
    /// How many changes each run of each log has.
    runs: BTreeMap<(LogNo, u32), u64>,
    /// Changes that count and are not merged yet.
    unmerged: Vec<Admitted>,
    document: Document,
    beginning: Option<Beginning>,
    labels: Vec<(EntryId, Label)>,
    releases: Vec<Release>,
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
}

impl Thread {
    pub(crate) fn new(record: RecordId) -> Self {
        Self {
            record,
            slots: BTreeMap::new(),
            ids: BTreeMap::new(),
            unjudged: BTreeSet::new(),
            runs: BTreeMap::new(),
            unmerged: Vec::new(),
            document: Document::empty(),
            beginning: None,
            labels: Vec::new(),
            releases: Vec::new(),
        }
    }

    /// Whether an entry can be judged on top of what is judged already. One that was closed to us
    /// when later entries of its log were judged without it cannot: the thread is to be built anew.
    pub(crate) fn fits(&self, place: Place) -> bool {
        let after = place..=Place { no: place.no, seq: u64::MAX };
        self.slots.range(after).all(|(place, _)| self.unjudged.contains(place))
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn weight(&self) -> usize {
        let waiting = self.unjudged.iter().filter_map(|place| self.slots.get(place));
        let payloads = waiting.map(|slot| slot.opened.payload.as_ref().map_or(0, Vec::len));
        SLOT_BYTES * self.slots.len() + self.document.weight() + payloads.sum::<usize>()
    }

    /// Adds an entry that fits; [`Thread::evaluate`] judges it.
    pub(crate) fn add(&mut self, opened: Opened) {
        let place = opened.place;
        if self.slots.contains_key(&place) {
            return;
        }
        self.ids.insert(opened.id, place);
        self.unjudged.insert(place);
        self.slots.insert(place, Slot { opened, verdict: Verdict::Waiting, change: None });
    }

    /// Judges all that can be judged: log by log in their order, until nothing is ready. Returns
    /// whether anything was materialised.
    pub(crate) fn evaluate(&mut self, standings: &dyn Standings) -> bool {
        let mut changed = false;
        loop {
            let before = self.unjudged.len();
            let mut from = Place { no: LogNo(0), seq: 0 };
            while let Some(first) = self.unjudged.range(from..).next().copied() {
                let mut next = Some(first);
                while let Some(place) = next.filter(|place| self.is_ready(place)) {
                    changed |= self.settle(place, standings);
                    let rest = place..=Place { no: place.no, seq: u64::MAX };
                    next = self.unjudged.range(rest).next().copied();
                }
                from = Place { no: LogNo(first.no.0.saturating_add(1)), seq: 0 };
                if from.no == first.no {
                    break;
                }
            }
            if self.unjudged.len() == before {
                break;
            }
        }
        self.merge();
        changed
    }

    /// Judges one entry. Returns whether it counts.
    fn settle(&mut self, place: Place, standings: &dyn Standings) -> bool {
        self.unjudged.remove(&place);
        let Some(slot) = self.slots.get_mut(&place) else { return false };
        let payload = slot.opened.payload.take().unwrap_or_default();
        let opened = slot.opened.clone();
        let (verdict, change) = self.judge(&opened, &payload, standings);
        if change.is_some() {
            *self.runs.entry((place.no, opened.header.run)).or_default() += 1;
        }
        let counts = verdict == Verdict::Materialised;
        if let Some(slot) = self.slots.get_mut(&place) {
            slot.verdict = verdict;
            slot.change = change;
        }
        counts
    }

    /// Merges what counts, all at once.
    fn merge(&mut self) {
        let unmerged = std::mem::take(&mut self.unmerged);
        let batch: Vec<&Admitted> = unmerged.iter().collect();
        for (index, _) in self.document.merge_accepted(&batch) {
            let hash = batch.get(index).map(|change| change.hash());
            let mut slots = self.slots.values_mut();
            if let Some(slot) = slots.find(|slot| slot.change.map(|change| change.hash) == hash) {
                slot.verdict = Verdict::HeldBack;
            }
        }
    }

    /// Whether the first unjudged entry of a log can be judged: its payload is there and its
    /// dependencies count.
    fn is_ready(&self, place: &Place) -> bool {
        let Some(Slot { opened, .. }) = self.slots.get(place) else { return false };
        let done = |place: &Place| {
            self.slots.get(place).is_some_and(|slot| {
                matches!(slot.verdict, Verdict::Materialised | Verdict::HeldBack)
            })
        };
        let began = opened.header.kind == EntryKind::GENESIS || self.beginning.is_some();
        opened.payload.is_some()
            && began
            && opened.header.own_deps.iter().all(|seq| done(&Place { no: place.no, seq: *seq }))
            && opened.header.deps.iter().all(|id| self.ids.get(id).is_some_and(done))
    }

    fn judge(
        &mut self,
        opened: &Opened,
        payload: &[u8],
        standings: &dyn Standings,
    ) -> (Verdict, Option<Judged>) {
        let outcome = match opened.header.kind {
            EntryKind::GENESIS => self.judge_genesis(opened, payload),
            EntryKind::CHANGE => self.judge_change(opened, payload, standings),
            EntryKind::LABEL => self.judge_label(opened, payload, standings).map(|()| None),
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

    fn judge_genesis(
        &mut self,
        opened: &Opened,
        payload: &[u8],
    ) -> Result<Option<(Judged, bool)>, Fault> {
        let digest = opened.log.digest();
        let bound = opened.box_hash.is_some_and(|b| record_id(&digest, &b) == self.record);
        let alone = opened.header.deps.is_empty() && opened.header.own_deps.is_empty();
        if !bound || !alone || self.beginning.is_some() {
            return Err(Fault::Genesis);
        }
        let genesis = Genesis::decode(payload).map_err(|_| Fault::Payload)?;
        let judged = self.admit(opened, genesis.change, &[], 0)?;
        self.beginning = Some(Beginning {
            id: opened.id,
            log: opened.log,
            kind: genesis.kind,
            writers: genesis.writers,
            wall: opened.header.wall,
        });
        self.labels.push((opened.id, genesis.label));
        Ok(Some(judged))
    }

    fn judge_change(
        &mut self,
        opened: &Opened,
        payload: &[u8],
        standings: &dyn Standings,
    ) -> Result<Option<(Judged, bool)>, Fault> {
        self.check_writer(opened, standings, true)?;
        let change = decode_change(payload).map_err(|_| Fault::Payload)?;
        let no = opened.place.no;
        let own = opened.header.own_deps.iter().map(|seq| Place { no, seq: *seq });
        let others = opened.header.deps.iter().filter_map(|id| self.ids.get(id).copied());
        let mut deps = Vec::new();
        let mut max_op = 0;
        for place in own.chain(others) {
            let judged = self.slots.get(&place).and_then(|slot| slot.change);
            let judged = judged.ok_or(Fault::Dependency)?;
            deps.push(judged.hash);
            max_op = max_op.max(judged.max_op);
        }
        if deps.is_empty() {
            return Err(Fault::Dependency);
        }
        deps.sort_unstable();
        self.admit(opened, change, &deps, max_op).map(Some)
    }

    /// Through the gate, then into the history. The verdict is theirs; should Automerge fail later,
    /// that is only noted.
    fn admit(
        &mut self,
        opened: &Opened,
        change: &[u8],
        deps: &[[u8; 32]],
        max_op: u64,
    ) -> Result<(Judged, bool), Fault> {
        let run = opened.header.run;
        let expected = Expected {
            actor: document::actor(&opened.log.digest(), &self.record, run),
            seq: self.changes_in_run(opened.place.no, run) + 1,
            deps,
            start_op: max_op + 1,
        };
        let admitted = gate::admit(change, &expected).map_err(Fault::Gate)?;
        if admitted.max_op() > RECORD_OPS_MAX as u64 {
            return Err(Fault::Full);
        }
        let judged = Judged { hash: admitted.hash(), max_op: admitted.max_op() };
        match self.document.accept(&admitted) {
            Ok(fresh) => {
                self.unmerged.extend(fresh.then_some(admitted));
                Ok((judged, false))
            }
            Err(Held::Unsound(fault)) => Err(Fault::Gate(fault)),
            Err(_) => Ok((judged, true)),
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

    pub(crate) fn summary(&self, standings: &dyn Standings) -> Option<Summary> {
        let Beginning { id, log, kind, wall, .. } = self.beginning.as_ref()?;
        let state = standings.state(&log.compartment, id);
        // Whoever's entry does not count must not make the record urgent.
        let counts = |slot: &&Slot| slot.verdict == Verdict::Materialised;
        let classes = self.slots.values().filter(counts).map(|slot| slot.opened.log.class);
        Some(Summary {
            compartment: log.compartment,
            kind: *kind,
            class: classes.min().unwrap_or(log.class),
            origin: standings.agency(&log.compartment, &log.device).unwrap_or_default(),
            device: log.device,
            label: self.label(),
            fields: if state.hides() { Map::new() } else { self.document.to_json() },
            state,
            genesis: *id,
            created: *wall,
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

    pub(crate) fn writers(&self) -> Option<Writers> {
        self.beginning.as_ref().map(|beginning| beginning.writers)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Opened, &Verdict)> {
        self.slots.values().map(|slot| (&slot.opened, &slot.verdict))
    }

    /// The fields that a change touches; none if the entry is no change that counts.
    pub(crate) fn fields(&self, place: &Place) -> Vec<String> {
        let change = self.slots.get(place).and_then(|slot| slot.change);
        change.map(|change| self.document.fields_of(&change.hash)).unwrap_or_default()
    }

    /// The changes that no other change depends on.
    pub(crate) fn heads(&self) -> Vec<&Opened> {
        let changes = || self.slots.values().filter(|slot| slot.change.is_some());
        let mut heads: BTreeMap<Place, &Opened> =
            changes().map(|slot| (slot.opened.place, &slot.opened)).collect();
        for slot in changes() {
            let no = slot.opened.place.no;
            for seq in &slot.opened.header.own_deps {
                heads.remove(&Place { no, seq: *seq });
            }
            for place in slot.opened.header.deps.iter().filter_map(|id| self.ids.get(id)) {
                heads.remove(place);
            }
        }
        heads.into_values().collect()
    }

    /// What a new change by `log` builds on: seq of its actor, and the highest operation.
    pub(crate) fn next_seq(&self, no: Option<LogNo>, run: u32) -> u64 {
        no.map_or(1, |no| self.changes_in_run(no, run) + 1)
    }

    /// The first entry of a log that carries a key box for the record under an epoch; its seq.
    pub(crate) fn box_seq(&self, no: LogNo) -> Option<(u64, super::KeyBox)> {
        let first = Place { no, seq: 0 };
        self.slots
            .range(first..)
            .take_while(|(place, _)| place.no == no)
            .find_map(|(place, slot)| slot.opened.key_box.map(|key_box| (place.seq, key_box)))
    }
}
