//! Histories: what devices of two agencies do, each knowing a part of it all, and how it reaches
//! others.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::*;
use super::peer::{COMPARTMENT, Peer, Planted, Roll, Rule, epoch};
use crate::document::{EditError, Patch, Segment};
use crate::entropy::{Entropy as _, SeededEntropy};
use crate::entry::run::{NewEntry, write_segment};
use crate::id::{EntryId, Incarnation};
use crate::keys::Signer;
use crate::record::genesis::{Carried, LabelStatement, encode_change};
use crate::record::rebase::{self, Disclosure};

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
    /// What it learns then of what counts.
    pub(super) moves: Vec<Move>,
    /// How far its clock is behind.
    pub(super) slow: u64,
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
    /// What a source says of the record.
    Bring {
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
    /// What waits for something quarantined is said again.
    Reauthor {
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
    /// A list of so many elements: much of what a change, and a record, may have in operations.
    Fill(u16),
    /// A text of so many KiB.
    Text(u8),
}

pub(super) type History = Vec<Step>;

/// What counts changes.
#[derive(Clone, Debug)]
pub(super) enum Move {
    /// Of that log only so many entries.
    Limit(u8, u8),
    /// All of that log.
    NoLimit(u8),
    /// Of that device only what the rule allows.
    Rule(u8, Rule),
    /// Of that device anything.
    NoRule(u8),
}

/// What reaches a peer next.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) log: u8,
    pub(super) entries: u8,
    pub(super) then: Then,
}

#[derive(Clone, Debug)]
pub(super) enum Then {
    Nothing,
    /// All that was delivered so far comes again.
    Again,
    /// The peer starts anew.
    Restart,
    /// The keys of the second epoch come.
    LateKeys,
    /// What counts changes.
    Move(Move),
    /// A piece of what is to be judged again is.
    JudgeMoved,
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
        4 => one_move().prop_map(Then::Move),
        4 => Just(Then::JudgeMoved),
    ];
    let delivery = (any::<u8>(), 1u8..9, then);
    prop::collection::vec(
        delivery.prop_map(|(log, entries, then)| Delivery { log, entries, then }),
        0..40,
    )
}

pub(super) fn moves() -> impl Strategy<Value = Vec<Move>> {
    prop::collection::vec(one_move(), 0..6)
}

fn one_move() -> impl Strategy<Value = Move> {
    let kind = prop::option::of(prop_oneof![Just(Kind::Case), Just(Kind::Person)]);
    let until = prop_oneof![2 => 1_001u64..1_024, 1 => Just(u64::MAX)];
    let limit = prop_oneof![1 => Just(0u8), 5 => 1u8..6];
    let rule = (kind, until).prop_map(|(kind, until)| Rule { kind, until });
    prop_oneof![
        4 => (any::<u8>(), limit).prop_map(|(log, at)| Move::Limit(log, at)),
        2 => any::<u8>().prop_map(Move::NoLimit),
        2 => (0..DEVICES, rule).prop_map(|(device, rule)| Move::Rule(device, rule)),
        1 => (0..DEVICES).prop_map(Move::NoRule),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let class = prop_oneof![3 => Just(Class::Routine), 1 => Just(Class::Flash)];
    let pulls = prop::collection::vec((any::<u8>(), 1u8..9), 0..6);
    let acts = prop::collection::vec(acts(), 1..4);
    let stale = prop::option::weighted(0.15, (0u16..3, changes()));
    let moves = prop_oneof![2 => Just(vec![]), 1 => moves()];
    (0..DEVICES, class, prop::bool::weighted(0.2), stale, pulls, moves, acts).prop_map(
        |(device, class, late, stale, pulls, moves, acts)| Step {
            device,
            class,
            late,
            stale,
            pulls,
            moves,
            slow: 0,
            acts,
        },
    )
}

fn acts() -> impl Strategy<Value = Act> {
    let kind = prop_oneof![2 => Just(Kind::Case), 1 => Just(Kind::Person)];
    prop_oneof![
        2 => (kind, 0u8..4).prop_map(|(kind, n)| Act::New(kind, n)),
        10 => (0u16..3, changes()).prop_map(|(record, change)| Act::Edit { record, change }),
        3 => (0u16..3, changes()).prop_map(|(record, change)| Act::Bring { record, change }),
        1 => (0u16..4, changes()).prop_map(|(record, change)| Act::Intrude { record, change }),
        2 => (0u16..4, 0u8..6).prop_map(|(record, label)| Act::Label { record, label }),
        1 => (0u16..4, 0u8..6, any::<u8>())
            .prop_map(|(record, label, cites)| Act::Release { record, label, cites }),
        1 => (0u16..4).prop_map(|record| Act::Comment { record }),
        4 => (0u16..3).prop_map(|record| Act::Reauthor { record }),
        3 => (0u16..3, 0u8..9, any::<Option<u8>>(), 0u8..6)
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
            Self::Fill(n) => patch.set(vec![list], json!((0..n).collect::<Vec<_>>())),
            Self::Text(kib) => {
                patch.set(vec![name(0)], json!("x".repeat(usize::from(kib) * 1024)));
            }
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
    /// Whether the first epoch is closed to some whom the second is open to.
    discloses: bool,
}

impl Device {
    fn log(&self, class: Class) -> LogId {
        let device = DeviceId(self.signer.public());
        LogId { compartment: COMPARTMENT, class, device, incarnation: Incarnation(1) }
    }
}

/// What a liar does to disclosures.
pub(super) type Rewrite = dyn Fn(&mut Vec<Disclosure>);

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
        Self::play_before(history, false)
    }

    /// The same, where there may be newcomers: peers without the keys of the first epoch.
    pub(super) fn play_before(history: &[Step], newcomers: bool) -> Self {
        let signer = |n: u8| Signer::from_seed(&[n + 1; 32]);
        let agency = |n: u8| (DeviceId(signer(n).public()), AgencyNo(u16::from(n % 2)));
        let roll = Roll { agencies: (0..DEVICES).map(agency).collect(), ..Roll::default() };
        let devices = (0..DEVICES).map(|n| {
            let mut peer = Peer::new(&roll, Planted::Nothing);
            peer.open_epochs();
            let entropy = SeededEntropy::new(n.into());
            Device { peer, signer: signer(n), entropy, discloses: newcomers }
        });
        let mut archive = Peer::new(&roll, Planted::Nothing);
        archive.open_epochs();
        let devices = devices.collect();
        let mut world = Self { devices, roll, archive, records: Vec::new(), now: 1_000 };
        for step in history {
            world.act(step);
        }
        world
    }

    /// A device writes, under the second epoch, a rebase of all that it knows of a record, changed.
    pub(super) fn lie(&mut self, by: u8, record: RecordId, rewrite: &Rewrite) {
        let logs: Vec<LogId> = self.archive.logbook.logs().map(|(log, _)| *log).collect();
        let device = &mut self.devices[usize::from(by)];
        for log in logs {
            while device.peer.pull(&self.archive, &log, 256).is_some() {}
        }
        let entries = device.peer.show(record).unwrap().entries;
        let mut all = Vec::new();
        for entry in entries.iter().filter(|entry| entry.kind != EntryKind::REBASE) {
            let Peer { store, logbook, keys, .. } = &device.peer;
            let source = Source { store, logbook, keys, run: None, recall: None };
            let place = Place { no: logbook.state(&entry.log).unwrap().no, seq: entry.seq };
            let opened = source.open(place).unwrap().unwrap();
            let key = source.record_key(&opened).unwrap().unwrap();
            all.push(Disclosure { log: entry.log, key, entries: vec![(entry.seq, opened.header)] });
        }
        rewrite(&mut all);
        let header = SealedHeader {
            kind: EntryKind::REBASE,
            ..SealedHeader::genesis(record, WallTime(self.now))
        };
        let [payload] = rebase::encode(&all).try_into().unwrap();
        self.append(by, Class::Routine, &header, &payload);
    }

    /// A device releases a record in its flash log.
    pub(super) fn hasten(&mut self, by: u8, record: RecordId) {
        let genesis = self.archive.show(record).unwrap().genesis;
        let header = SealedHeader {
            kind: EntryKind::LABEL,
            deps: vec![genesis],
            ..SealedHeader::genesis(record, WallTime(self.now))
        };
        let statement = LabelStatement { label: label(0), cites: vec![genesis] };
        self.append(by, Class::Flash, &header, &statement.encode());
    }

    /// A device writes an entry, under the second epoch, whatever it says.
    fn append(&mut self, by: u8, class: Class, header: &SealedHeader, payload: &[u8]) {
        let device = &mut self.devices[usize::from(by)];
        let log = device.log(class);
        let head = device.peer.logbook.head(&log);
        let (id, keys) = epoch(true);
        let cipher = LogCipher::new(log, id, keys);
        let key_box: KeyBox = device.entropy.array();
        let sealed = cipher.seal_header(head.next, header);
        let hash = crate::hash::sha256(&sealed);
        let payload = cipher.seal_payload(head.next, (header, &hash), &key_box, payload);
        let entry = NewEntry { epoch: id, sealed, key_box: Some(key_box), payload };
        let run = write_segment(&log, &head, &device.signer, &[entry]).unwrap();
        assert!(device.peer.take(&run) && self.archive.take(&run));
    }

    pub(super) fn act(&mut self, step: &Step) {
        self.now += 1;
        let now = self.now - step.slow;
        let logs: Vec<LogId> = self.archive.logbook.logs().map(|(log, _)| *log).collect();
        let names = self.names();
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
            device.prepare(draft, None, (&place.0, place.1), now)
        });
        for (log, entries) in &step.pulls {
            if let Some(log) = pick(&logs, *log) {
                device.peer.pull(&self.archive, log, u64::from(*entries));
            }
        }
        step.moves.iter().for_each(|one| device.peer.learn(one, &logs, &names));
        let cipher = cipher(step.late);
        let mut entries = Vec::new();
        let mut begun = Begun::default();
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
            let agencies = names.iter().map(|id| (*id, AgencyNo(9))).collect();
            let rules = BTreeMap::new();
            let anybody = Roll { agencies, rules, ..device.peer.roll.clone() };
            let intrudes = matches!(act, Act::Intrude { .. });
            let standings = intrudes.then_some(&anybody);
            let Some(prepared) = device.prepare(draft, standings, (&cipher, seq), now) else {
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
            begun.extend(prepared.begun);
        }
        if entries.len() == 1 {
            entries.extend(stale.into_iter().flat_map(|prepared| prepared.entries));
        }
        if entries.is_empty() {
            return;
        }
        let head = device.peer.logbook.head(&log);
        let run = write_segment(&log, &head, &device.signer, &entries).unwrap();
        assert!(device.peer.take_own(&run, &begun));
        assert!(self.archive.take_own(&run, &begun));
    }

    /// A fresh peer, after a delivery and then all that it left out, for which these moves are the
    /// last.
    pub(super) fn deliver(&self, deliveries: &[Delivery], last: &[Move], planted: Planted) -> Peer {
        let mut peer = Peer::new(&self.roll, planted);
        self.deliver_to(&mut peer, deliveries);
        peer.open_epochs();
        self.aim(last).settle(&mut peer);
        peer
    }

    /// A peer that lacks the keys of the first epoch, in the same way.
    pub(super) fn deliver_to_newcomer(&self, deliveries: &[Delivery], last: &[Move]) -> Peer {
        let mut peer = Peer::newcomer(&self.roll);
        self.deliver_to(&mut peer, deliveries);
        self.aim(last).settle(&mut peer);
        peer
    }

    fn deliver_to(&self, peer: &mut Peer, deliveries: &[Delivery]) {
        let logs: Vec<LogId> = self.archive.logbook.logs().map(|(log, _)| *log).collect();
        let names = self.names();
        let mut runs = Vec::new();
        for delivery in deliveries {
            let Some(log) = pick(&logs, delivery.log) else { continue };
            runs.extend(peer.pull(&self.archive, log, u64::from(delivery.entries)));
            match &delivery.then {
                Then::Nothing => {}
                Then::Again => assert!(runs.iter().all(|run| !peer.take(run))),
                Then::Restart => peer.restart(),
                Then::LateKeys => peer.open_epochs(),
                Then::Move(one) => peer.learn(one, &logs, &names),
                Then::JudgeMoved => {
                    peer.judge_moved();
                }
            }
        }
        for log in logs.iter().rev() {
            while peer.pull(&self.archive, log, 256).is_some() {}
            assert_eq!(peer.logbook.head(log), self.archive.logbook.head(log));
        }
    }

    /// A fresh peer to which these moves are known before anything comes.
    pub(super) fn deliver_at_once(&self, last: &[Move]) -> Peer {
        let mut peer = Peer::new(&self.roll, Planted::Nothing);
        peer.open_epochs();
        self.aim(last).settle(&mut peer);
        for (log, _) in self.archive.logbook.logs() {
            while peer.pull(&self.archive, log, 256).is_some() {}
        }
        peer
    }

    /// In which of a device's logs what is its own of a record is stuck.
    pub(super) fn stuck_logs(&mut self, device: u8, record: RecordId) -> Vec<LogId> {
        let Device { peer, signer, .. } = &mut self.devices[usize::from(device)];
        let Peer { shelf, store, logbook, keys, roll, .. } = peer;
        let mut reader = shelf.reader(store, logbook, keys, roll);
        reader.to_reauthor(record, &DeviceId(signer.public())).unwrap()
    }

    /// The number of a device's log among those of the history.
    pub(super) fn log(&self, device: u8, class: Class) -> u8 {
        let log = self.devices[usize::from(device)].log(class);
        self.archive.logbook.logs().position(|(known, _)| *known == log).unwrap() as u8
    }

    /// The archive learns these moves, too.
    pub(super) fn settle(&mut self, last: &[Move]) {
        self.aim(last).settle(&mut self.archive);
    }

    /// The devices, by number.
    fn names(&self) -> Vec<DeviceId> {
        self.devices.iter().map(|device| DeviceId(device.signer.public())).collect()
    }

    /// What these moves come to.
    fn aim(&self, last: &[Move]) -> Aim {
        let logs: Vec<LogId> = self.archive.logbook.logs().map(|(log, _)| *log).collect();
        let names = self.names();
        let mut roll = self.roll.clone();
        last.iter().for_each(|one| one.apply(&mut roll, &logs, &names));
        Aim { roll, logs, names }
    }
}

/// What counts in the end.
struct Aim {
    roll: Roll,
    logs: Vec<LogId>,
    names: Vec<DeviceId>,
}

impl Aim {
    /// Brings a peer to know it, and all that follows.
    fn settle(&self, peer: &mut Peer) {
        self.logs.iter().for_each(|log| peer.limit(log, self.roll.limit(log)));
        self.names.iter().for_each(|name| peer.rule(*name, self.roll.rules.get(name).copied()));
        while peer.judge_moved() {}
    }
}

impl Move {
    fn apply(&self, roll: &mut Roll, logs: &[LogId], devices: &[DeviceId]) {
        match self {
            Self::Limit(log, at) => {
                roll.limits.extend(pick(logs, *log).map(|log| (*log, u64::from(*at))));
            }
            Self::NoLimit(log) => {
                roll.limits.extend(pick(logs, *log).map(|log| (*log, u64::MAX)));
            }
            Self::Rule(device, rule) => {
                roll.rules.extend(pick(devices, *device).map(|device| (*device, *rule)));
            }
            Self::NoRule(device) => {
                pick(devices, *device).map(|device| roll.rules.remove(device));
            }
        }
    }
}

impl Peer {
    /// What counts changes for this peer.
    fn learn(&mut self, one: &Move, logs: &[LogId], devices: &[DeviceId]) {
        let mut aim = self.roll.clone();
        one.apply(&mut aim, logs, devices);
        logs.iter().for_each(|log| self.limit(log, aim.limit(log)));
        devices.iter().for_each(|device| self.rule(*device, aim.rules.get(device).copied()));
    }
}

impl Device {
    /// Seals a draft for a place in its log, with the peer's standings if no others are given;
    /// `None` if the shelf refuses it.
    fn prepare(
        &mut self,
        draft: Draft,
        standings: Option<&Roll>,
        (cipher, next_seq): (&LogCipher, u64),
        now: u64,
    ) -> Option<Prepared> {
        let discloses = self.discloses && cipher.epoch() == epoch(true).0;
        let closed = discloses.then_some(epoch(false).0).into_iter().collect();
        let mut writing = Writing {
            store: &self.peer.store,
            logbook: &self.peer.logbook,
            keys: &self.peer.keys,
            standings: standings.unwrap_or(&self.peer.roll),
            cipher,
            closed: &closed,
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
            Act::Bring { record, change } => {
                Draft::Bring { record: *pick(records, *record)?, patch: change.patch() }
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
            Act::Reauthor { record } => Draft::Reauthor { record: *pick(records, *record)? },
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

    /// An entry whose payload is a label statement whatever its kind says, or no stripped change, or which
    /// only replaces.
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
            replaces: (seq.saturating_sub(n.into())..seq).collect(),
        };
        let key_box: KeyBox = self.entropy.array();
        let cites = on.filter(|_| n % 2 == 0).into_iter().collect();
        let payload = match header.kind {
            EntryKind::REAUTHOR if n % 2 == 0 => encode_change(&Carried::Plain(&[])),
            EntryKind::CHANGE | EntryKind::BROUGHT if n % 2 == 0 => {
                encode_change(&Carried::Stripped(vec![n].into()))
            }
            _ => LabelStatement { label: label(n), cites }.encode(),
        };
        let sealed = cipher.seal_header(seq, &header);
        let hash = crate::hash::sha256(&sealed);
        let payload = cipher.seal_payload(seq, (&header, &hash), &key_box, &payload);
        NewEntry { epoch: cipher.epoch(), sealed, key_box: Some(key_box), payload }
    }
}

fn is_expected(error: &DraftError) -> bool {
    matches!(
        error,
        DraftError::NoRecord
            | DraftError::NotWriter
            | DraftError::NotGranted { .. }
            | DraftError::Flash
            | DraftError::Edit(EditError::NoPlace | EditError::NoChange | EditError::Full)
    )
}

fn pick<T>(from: &[T], n: impl Into<usize>) -> Option<&T> {
    from.get(n.into().checked_rem(from.len())?)
}
