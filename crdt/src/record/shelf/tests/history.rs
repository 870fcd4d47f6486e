//! Histories: what devices of two agencies do, each knowing a part of it all, and how it reaches
//! others.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::*;
use super::peer::{COMPARTMENT, Peer, Planted, Roll, epoch};
use crate::document::{EditError, Patch, Segment};
use crate::entropy::{Entropy as _, SeededEntropy};
use crate::entry::run::{NewEntry, write_segment};
use crate::id::{EntryId, Incarnation};
use crate::keys::Signer;
use crate::record::genesis::LabelStatement;

/// Devices; the even ones are of one agency, the odd ones of another.
pub(super) const DEVICES: u8 = 4;

/// What a device does at one time. Numbers choose among what there is, modulo.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) device: u8,
    pub(super) class: Class,
    /// Written under the second epoch.
    pub(super) late: bool,
    /// A change of a record that it seals before it learns more, for the second place of this act
    /// and under the other epoch: no author may do so, because its own line of changes forks.
    pub(super) stale: Option<(u16, Change)>,
    /// What it learns before: a log, and how many of its entries.
    pub(super) pulls: Vec<(u8, u8)>,
    /// What it writes, under one signature.
    pub(super) acts: Vec<Act>,
}

#[derive(Clone, Debug)]
pub(super) enum Act {
    New(Kind, u8),
    Edit {
        record: u16,
        change: Change,
    },
    /// A change by one who takes all devices for his agency's.
    Intrude {
        record: u16,
        change: Change,
    },
    Label {
        record: u16,
        label: u8,
    },
    /// Lifts the statement of that number, among those that the device knows.
    Release {
        record: u16,
        label: u8,
        cites: u8,
    },
    /// A note about the record.
    Comment {
        record: u16,
    },
    /// An entry that no shelf prepares: of any kind, on any entry of the record.
    Forge {
        record: u16,
        kind: u8,
        on: Option<u8>,
        label: u8,
    },
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Set(u8, u8),
    Unset(u8),
    Element(u8, u8),
    Nested(u8, u8),
    List(u8),
}

pub(super) type History = Vec<Step>;

/// What reaches a peer next.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) log: u8,
    pub(super) entries: u8,
    pub(super) then: Then,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Then {
    Nothing,
    /// All that was delivered so far comes again.
    Again,
    /// The peer starts anew.
    Restart,
    /// The keys of the second epoch come.
    LateKeys,
}

pub(super) fn histories() -> impl Strategy<Value = History> {
    prop::collection::vec(steps(), 1..24)
}

pub(super) fn deliveries() -> impl Strategy<Value = Vec<Delivery>> {
    let then = prop_oneof![
        8 => Just(Then::Nothing),
        1 => Just(Then::Again),
        1 => Just(Then::Restart),
        1 => Just(Then::LateKeys),
    ];
    let delivery = (any::<u8>(), 1u8..9, then);
    prop::collection::vec(
        delivery.prop_map(|(log, entries, then)| Delivery { log, entries, then }),
        0..40,
    )
}

fn steps() -> impl Strategy<Value = Step> {
    let class = prop_oneof![3 => Just(Class::Routine), 1 => Just(Class::Flash)];
    let pulls = prop::collection::vec((any::<u8>(), 1u8..9), 0..4);
    let acts = prop::collection::vec(acts(), 1..4);
    let stale = prop::option::weighted(0.15, (0u16..3, changes()));
    (0..DEVICES, class, prop::bool::weighted(0.2), stale, pulls, acts).prop_map(
        |(device, class, late, stale, pulls, acts)| Step {
            device,
            class,
            late,
            stale,
            pulls,
            acts,
        },
    )
}

fn acts() -> impl Strategy<Value = Act> {
    let kind = prop_oneof![2 => Just(Kind::Case), 1 => Just(Kind::Person)];
    prop_oneof![
        2 => (kind, 0u8..4).prop_map(|(kind, n)| Act::New(kind, n)),
        10 => (0u16..3, changes()).prop_map(|(record, change)| Act::Edit { record, change }),
        1 => (0u16..4, changes()).prop_map(|(record, change)| Act::Intrude { record, change }),
        2 => (0u16..4, 0u8..6).prop_map(|(record, label)| Act::Label { record, label }),
        1 => (0u16..4, 0u8..6, any::<u8>())
            .prop_map(|(record, label, cites)| Act::Release { record, label, cites }),
        1 => (0u16..4).prop_map(|record| Act::Comment { record }),
        2 => (0u16..3, 0u8..6, any::<Option<u8>>(), 0u8..6)
            .prop_map(|(record, kind, on, label)| Act::Forge { record, kind, on, label }),
    ]
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (0u8..2, any::<u8>()).prop_map(|(field, n)| Change::Set(field, n)),
        1 => (0u8..3).prop_map(Change::Unset),
        2 => (0u8..3, any::<u8>()).prop_map(|(index, n)| Change::Element(index, n)),
        2 => (0u8..3, any::<u8>()).prop_map(|(field, n)| Change::Nested(field, n)),
        1 => (0u8..4).prop_map(Change::List),
    ]
}

impl Change {
    fn patch(&self) -> Patch {
        let name = |n: u8| Segment::Name(format!("field{n}"));
        let list = Segment::Name("list".to_owned());
        let mut patch = Patch::default();
        match *self {
            Self::Set(field, n) => patch.set(vec![name(field)], json!(format!("text {n}"))),
            Self::Unset(field) => patch.unset(vec![name(field)]),
            Self::Element(at, n) => patch.set(vec![list, Segment::Index(at.into())], json!(n)),
            Self::Nested(field, n) => {
                patch.set(vec![Segment::Name("map".to_owned()), name(field)], json!(n));
            }
            Self::List(n) => patch.set(vec![list], json!((0..n).collect::<Vec<_>>())),
        }
        patch
    }
}

fn fields(n: u8) -> Map<String, Value> {
    let Value::Object(fields) = json!({
        "field0": "first", "list": (0..n).collect::<Vec<_>>(), "map": { "field0": 0.5 },
    }) else {
        unreachable!()
    };
    fields
}

fn label(n: u8) -> Label {
    let text = ["TLP:CLEAR", "TLP:GREEN H1", "TLP:AMBER purpose=SAR", "TLP:RED", "UNKNOWN"];
    text.get(usize::from(n)).unwrap_or(&"TLP:AMBER caveat=\"REL NE\"").parse().unwrap()
}

/// A device that writes.
struct Device {
    peer: Peer,
    signer: Signer,
    entropy: SeededEntropy,
}

impl Device {
    fn log(&self, class: Class) -> LogId {
        let device = DeviceId(self.signer.public());
        LogId { compartment: COMPARTMENT, class, device, incarnation: Incarnation(1) }
    }
}

/// The devices, and a peer that saw everything in the order in which it was written.
pub(super) struct World {
    devices: Vec<Device>,
    pub(super) roll: Roll,
    pub(super) archive: Peer,
    /// In the order in which they were begun.
    pub(super) records: Vec<RecordId>,
    now: u64,
}

impl World {
    /// Acts a history out.
    pub(super) fn play(history: &[Step]) -> Self {
        let signer = |n: u8| Signer::from_seed(&[n + 1; 32]);
        let agency = |n: u8| (DeviceId(signer(n).public()), AgencyNo(u16::from(n % 2)));
        let roll = Roll((0..DEVICES).map(agency).collect(), BTreeMap::new(), BTreeSet::new());
        let devices = (0..DEVICES).map(|n| {
            let mut peer = Peer::new(&roll, Planted::Nothing);
            peer.open_late_epoch();
            Device { peer, signer: signer(n), entropy: SeededEntropy::new(n.into()) }
        });
        let mut archive = Peer::new(&roll, Planted::Nothing);
        archive.open_late_epoch();
        let devices = devices.collect();
        let mut world = Self { devices, roll, archive, records: Vec::new(), now: 1_000 };
        for step in history {
            world.step(step);
        }
        world
    }

    fn step(&mut self, step: &Step) {
        self.now += 1;
        let logs: Vec<LogId> = self.archive.logbook.logs().map(|(log, _)| *log).collect();
        let device = &mut self.devices[usize::from(step.device)];
        let log = device.log(step.class);
        let cipher = |late| {
            let (epoch, keys) = epoch(late);
            LogCipher::new(log, epoch, keys)
        };
        let next_seq = device.peer.logbook.head(&log).next;
        let stale = step.stale.as_ref().and_then(|(record, change)| {
            let draft =
                Draft::Edit { record: *pick(&self.records, *record)?, patch: change.patch() };
            let place = (cipher(!step.late), next_seq + 1);
            device.prepare(draft, &self.roll, (&place.0, place.1), self.now)
        });
        for (log, entries) in &step.pulls {
            if let Some(log) = pick(&logs, *log) {
                device.peer.pull(&self.archive, log, u64::from(*entries));
            }
        }
        let cipher = cipher(step.late);
        let mut entries = Vec::new();
        let mut changed = Vec::new();
        for act in &step.acts {
            let seq = next_seq + entries.len() as u64;
            if let Act::Forge { record, kind, on, label } = act {
                let record = pick(&self.records, *record);
                entries
                    .extend(record.map(|r| device.forge(&cipher, seq, *r, (*kind, *on, *label))));
                continue;
            }
            let Some(draft) = device.draft(act, &self.records) else { continue };
            let agencies = self.roll.0.keys().map(|id| (*id, AgencyNo(9))).collect();
            let anybody = Roll(agencies, BTreeMap::new(), BTreeSet::new());
            let intrudes = matches!(act, Act::Intrude { .. });
            let standings = if intrudes { &anybody } else { &self.roll };
            let Some(prepared) = device.prepare(draft, standings, (&cipher, seq), self.now) else {
                continue;
            };
            let record = prepared.written[0].record;
            if matches!(act, Act::New(..) | Act::Comment { .. }) {
                self.records.push(record);
            } else if changed.contains(&record) {
                // It would have to build on the other, which is in no log yet.
                continue;
            }
            changed.push(record);
            entries.extend(prepared.entries);
        }
        if entries.len() == 1 {
            entries.extend(stale.into_iter().flat_map(|prepared| prepared.entries));
        }
        if entries.is_empty() {
            return;
        }
        let head = device.peer.logbook.head(&log);
        let run = write_segment(&log, &head, &device.signer, &entries).unwrap();
        assert!(device.peer.take(&run));
        assert!(self.archive.take(&run));
    }

    /// A fresh peer, after a delivery and then all that it left out.
    pub(super) fn deliver(&self, deliveries: &[Delivery], planted: Planted) -> Peer {
        let mut peer = Peer::new(&self.roll, planted);
        let logs: Vec<LogId> = self.archive.logbook.logs().map(|(log, _)| *log).collect();
        let mut runs = Vec::new();
        for delivery in deliveries {
            let Some(log) = pick(&logs, delivery.log) else { continue };
            runs.extend(peer.pull(&self.archive, log, u64::from(delivery.entries)));
            match delivery.then {
                Then::Nothing => {}
                Then::Again => assert!(runs.iter().all(|run| !peer.take(run))),
                Then::Restart => peer.restart(),
                Then::LateKeys => peer.open_late_epoch(),
            }
        }
        for log in logs.iter().rev() {
            while peer.pull(&self.archive, log, 256).is_some() {}
            assert_eq!(peer.logbook.head(log), self.archive.logbook.head(log));
        }
        peer.open_late_epoch();
        peer
    }
}

impl Device {
    /// Seals a draft for a place in its log; `None` if the shelf refuses it.
    fn prepare(
        &mut self,
        draft: Draft,
        standings: &Roll,
        (cipher, next_seq): (&LogCipher, u64),
        now: u64,
    ) -> Option<Prepared> {
        let mut writing = Writing {
            store: &self.peer.store,
            logbook: &self.peer.logbook,
            keys: &self.peer.keys,
            standings,
            cipher,
            next_seq,
            now: WallTime(now),
            entropy: &mut self.entropy,
        };
        let prepared = self.peer.shelf.prepare(&mut writing, vec![draft]);
        if let Err((_, error)) = &prepared {
            assert!(is_expected(error), "{error}");
        }
        prepared.ok()
    }

    fn draft(&mut self, act: &Act, records: &[RecordId]) -> Option<Draft> {
        Some(match act {
            Act::New(kind, n) => Draft::New { kind: *kind, fields: fields(*n), label: label(*n) },
            Act::Edit { record, change } | Act::Intrude { record, change } => {
                Draft::Edit { record: *pick(records, *record)?, patch: change.patch() }
            }
            Act::Label { record, label: n } => {
                Draft::Label { record: *pick(records, *record)?, label: label(*n), cites: vec![] }
            }
            Act::Release { record, label: n, cites } => {
                let record = *pick(records, *record)?;
                let cited = self.entry(record, *cites, |entry| entry.kind != EntryKind::CHANGE)?;
                Draft::Label { record, label: label(*n), cites: vec![cited] }
            }
            Act::Comment { record } => {
                let about = pick(records, *record)?;
                let Value::Object(fields) =
                    json!({ "content": "seen", "object_refs": [about.to_string()] })
                else {
                    unreachable!()
                };
                Draft::New { kind: Kind::Note, fields, label: label(1) }
            }
            Act::Forge { .. } => return None,
        })
    }

    /// An entry of a record that this device knows.
    fn entry(
        &mut self,
        record: RecordId,
        n: u8,
        is_meant: impl Fn(&EntryView) -> bool,
    ) -> Option<EntryId> {
        let entries = self.peer.show(record)?.entries;
        let meant: Vec<EntryId> =
            entries.iter().filter(|entry| is_meant(entry)).map(|entry| entry.id).collect();
        pick(&meant, n).copied()
    }

    /// An entry whose payload is a label statement whatever its kind says.
    fn forge(
        &mut self,
        cipher: &LogCipher,
        seq: u64,
        record: RecordId,
        (kind, on, n): (u8, Option<u8>, u8),
    ) -> NewEntry {
        // Where there are entries that do not count, rather on one of those.
        let void = |entry: &EntryView| matches!(entry.verdict, Verdict::Void(_));
        let on = on.and_then(|on| {
            self.entry(record, on, void).or_else(|| self.entry(record, on, |_| true))
        });
        let header = SealedHeader {
            kind: EntryKind(kind),
            record,
            wall: WallTime(0),
            run: 0,
            box_seq: None,
            own_deps: vec![],
            deps: on.into_iter().collect(),
        };
        let key_box: KeyBox = self.entropy.array();
        let cites = on.filter(|_| n % 2 == 0).into_iter().collect();
        let payload = LabelStatement { label: label(n), cites }.encode();
        let sealed = cipher.seal_header(seq, &header);
        let hash = crate::hash::sha256(&sealed);
        let payload = cipher.seal_payload(seq, &hash, &key_box, &payload);
        NewEntry { epoch: cipher.epoch(), sealed, key_box: Some(key_box), payload }
    }
}

fn is_expected(error: &DraftError) -> bool {
    matches!(
        error,
        DraftError::NoRecord
            | DraftError::NotWriter
            | DraftError::Edit(EditError::NoPlace | EditError::NoChange)
    )
}

fn pick<T>(from: &[T], n: impl Into<usize>) -> Option<&T> {
    from.get(n.into().checked_rem(from.len())?)
}
