//! A thread: all entries of one record, judged together.
//!
//! The verdict is a least fixpoint: an entry is judged once all that it depends on is materialised
//! and all earlier entries of its own log about the record are judged; until then it waits. Judged
//! entries never change their verdict, so arriving entries are judged on top. Nothing but entries
//! decides: not their order of arrival, not a clock, not how large the document has become by
//! concurrent work.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::bounds::RECORD_OPS_MAX;
use crate::document::{self, Document, Held};
use crate::entry::sealed::EntryKind;
use crate::gate::{self, Expected, GateFault};
use crate::id::{AgencyNo, Class, CompartmentId, DeviceId, EntryId, LogId, RecordId};
use crate::logbook::LogNo;
use crate::time::WallTime;

use super::super::genesis::{Genesis, LabelStatement, Writers, decode_change, record_id};
use super::super::kind::Kind;
use super::super::label::{Label, Release, effective};
use super::{Opened, Standings};

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
    opened: Opened,
    verdict: Verdict,
    change: Option<Judged>,
}

/// The record's beginning.
#[derive(Clone, Debug)]
struct Beginning {
    log: LogId,
    kind: Kind,
    writers: Writers,
    wall: WallTime,
}

/// All entries of one record.
#[derive(Debug)]
pub(crate) struct Thread {
    record: RecordId,
    slots: BTreeMap<Place, Slot>,
    ids: BTreeMap<EntryId, Place>,
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
    pub(crate) fields: Map<String, Value>,
    pub(crate) created: WallTime,
}

impl Thread {
    pub(crate) fn new(record: RecordId) -> Self {
        Self {
            record,
            slots: BTreeMap::new(),
            ids: BTreeMap::new(),
            document: Document::empty(),
            beginning: None,
            labels: Vec::new(),
            releases: Vec::new(),
        }
    }

    /// Adds an entry; [`Thread::evaluate`] judges it.
    pub(crate) fn add(&mut self, opened: Opened) {
        let no = opened.place.no;
        let after = opened.place..=Place { no, seq: u64::MAX };
        if self.slots.range(after).any(|(_, slot)| slot.verdict != Verdict::Waiting) {
            // It was closed to us when later entries of its log were judged without it.
            self.forget();
        }
        self.ids.insert(opened.id, opened.place);
        self.slots.entry(opened.place).or_insert(Slot {
            opened,
            verdict: Verdict::Waiting,
            change: None,
        });
    }

    /// Forgets every verdict; all entries will be judged anew.
    fn forget(&mut self) {
        for slot in self.slots.values_mut() {
            slot.verdict = Verdict::Waiting;
            slot.change = None;
        }
        self.document = Document::empty();
        self.beginning = None;
        self.labels.clear();
        self.releases.clear();
    }

    /// Judges all that can be judged. Returns whether anything was materialised.
    pub(crate) fn evaluate(&mut self, standings: &dyn Standings) -> bool {
        let mut changed = false;
        loop {
            let ready: Vec<Place> = self
                .slots
                .iter()
                .filter(|(place, slot)| {
                    slot.verdict == Verdict::Waiting && self.is_ready(place, &slot.opened)
                })
                .map(|(place, _)| *place)
                .collect();
            if ready.is_empty() {
                return changed;
            }
            for place in ready {
                let Some(slot) = self.slots.get(&place) else { continue };
                let opened = slot.opened.clone();
                let (verdict, change) = self.judge(&opened, standings);
                changed |= verdict == Verdict::Materialised;
                if let Some(slot) = self.slots.get_mut(&place) {
                    slot.verdict = verdict;
                    slot.change = change;
                }
            }
        }
    }

    /// Whether an entry's payload is there, its dependencies are materialised, and the entries of
    /// its log before it are judged.
    fn is_ready(&self, place: &Place, opened: &Opened) -> bool {
        let done = |place: &Place| {
            self.slots.get(place).is_some_and(|slot| {
                matches!(slot.verdict, Verdict::Materialised | Verdict::HeldBack)
            })
        };
        let first = Place { no: place.no, seq: 0 };
        let earlier_judged =
            self.slots.range(first..*place).all(|(_, slot)| slot.verdict != Verdict::Waiting);
        let began = opened.header.kind == EntryKind::GENESIS || self.beginning.is_some();
        opened.payload.is_some()
            && began
            && earlier_judged
            && opened.header.own_deps.iter().all(|seq| done(&Place { no: place.no, seq: *seq }))
            && opened.header.deps.iter().all(|id| self.ids.get(id).is_some_and(done))
    }

    fn judge(&mut self, opened: &Opened, standings: &dyn Standings) -> (Verdict, Option<Judged>) {
        let Some(payload) = opened.payload.as_deref() else { return (Verdict::Waiting, None) };
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
        let bound = opened.key_box.is_some_and(|b| record_id(&digest, &b) == self.record);
        let alone = opened.header.deps.is_empty() && opened.header.own_deps.is_empty();
        if !bound || !alone || self.beginning.is_some() {
            return Err(Fault::Genesis);
        }
        let genesis = Genesis::decode(payload).map_err(|_| Fault::Payload)?;
        let judged = self.admit(opened, genesis.change, &[], 0)?;
        self.beginning = Some(Beginning {
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

    /// Through the gate, then into the document. The verdict is the gate's and the history's; that
    /// Automerge fails is only noted.
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
            seq: self.changes_in_run(opened.place, run) + 1,
            deps,
            start_op: max_op + 1,
        };
        let admitted = gate::admit(change, &expected).map_err(Fault::Gate)?;
        if admitted.max_op() > RECORD_OPS_MAX as u64 {
            return Err(Fault::Full);
        }
        let judged = Judged { hash: admitted.hash(), max_op: admitted.max_op() };
        match self.document.apply(&admitted) {
            Ok(()) => Ok((judged, false)),
            Err(Held::Unsound(fault)) => Err(Fault::Gate(fault)),
            Err(_) => Ok((judged, true)),
        }
    }

    /// How many changes of a run come before a place in its log.
    fn changes_in_run(&self, place: Place, run: u32) -> u64 {
        let first = Place { no: place.no, seq: 0 };
        self.slots
            .range(first..place)
            .filter(|(_, slot)| slot.change.is_some() && slot.opened.header.run == run)
            .count() as u64
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
        let Beginning { log, kind, wall, .. } = self.beginning.as_ref()?;
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
            fields: self.document.to_json(),
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
        no.map_or(1, |no| self.changes_in_run(Place { no, seq: u64::MAX }, run) + 1)
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
