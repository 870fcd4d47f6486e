//! A peer as a driver runs it, what it says in the end, and the judge of several such pictures.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::super::*;
use crate::document::Conflicts;
use crate::id::{EntryId, StatementId};
use crate::store::memory::MemoryStore;

/// The compartment of all histories.
pub(super) const COMPARTMENT: CompartmentId = CompartmentId([2; 32]);

/// The epochs that are written under: the second is one whose keys may come late.
pub(super) fn epoch(late: bool) -> (EpochId, EpochKeys) {
    let n = 3 + u8::from(late);
    (EpochId([n; 32]), EpochKeys::of(&[n; 32]))
}

/// Which device is of which agency, and what of their logs counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Roll {
    pub(super) agencies: BTreeMap<DeviceId, AgencyNo>,
    pub(super) limits: BTreeMap<LogId, u64>,
    pub(super) rules: BTreeMap<DeviceId, Rule>,
    /// How records stand, by their geneses.
    pub(super) states: BTreeMap<EntryId, RecordState>,
    /// Which entries are erased.
    pub(super) erased: BTreeSet<EntryId>,
}

/// What the routes of a device allow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Rule {
    /// Records of this kind; of any, if it names none.
    pub(super) kind: Option<Kind>,
    /// What is written before.
    pub(super) until: u64,
}

impl Stewardship for Roll {
    fn state(&self, _: &LogId, genesis: &EntryId) -> RecordState {
        self.states.get(genesis).copied().unwrap_or_default()
    }

    fn is_erased(&self, _: &LogId, entry: &EntryId) -> bool {
        self.erased.contains(entry)
    }
}

impl Standings for Roll {
    fn agency(&self, _: &CompartmentId, device: &DeviceId) -> Option<AgencyNo> {
        self.agencies.get(device).copied()
    }

    fn limit(&self, log: &LogId) -> u64 {
        self.limits.get(log).copied().unwrap_or(u64::MAX)
    }

    fn allows(&self, log: &LogId, kind: Kind, wall: WallTime) -> bool {
        let rule = self.rules.get(&log.device);
        rule.is_none_or(|rule| rule.kind.is_none_or(|only| only == kind) && wall.0 < rule.until)
    }
}

/// A fault in a peer, to see that the judge finds it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Planted {
    Nothing,
    /// It drops entries whose dependencies come later, instead of keeping them until then.
    DropsWhatWaits,
    /// It never opens what came before the epoch's keys.
    LeavesClosed,
    /// It does not judge records again when limits and routes move.
    LeavesMoved,
}

/// A store, and what works on it.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) store: MemoryStore,
    pub(super) logbook: Logbook,
    pub(super) shelf: Shelf,
    pub(super) keys: BTreeMap<EpochId, EpochKeys>,
    pub(super) roll: Roll,
    shown: Shown,
    planted: Planted,
}

impl Peer {
    /// A peer that has the keys of the first epoch.
    pub(super) fn new(roll: &Roll, planted: Planted) -> Self {
        Self {
            store: MemoryStore::new(),
            logbook: Logbook::default(),
            shelf: Shelf::default(),
            keys: BTreeMap::from([epoch(false)]),
            roll: roll.clone(),
            shown: Shown::default(),
            planted,
        }
    }

    /// A peer that has the keys of the second epoch alone.
    pub(super) fn newcomer(roll: &Roll) -> Self {
        Self { keys: BTreeMap::from([epoch(true)]), ..Self::new(roll, Planted::Nothing) }
    }

    /// Takes a run; false if it does not follow what is there.
    pub(super) fn take(&mut self, run: &VerifiedRun) -> bool {
        self.take_own(run, &Begun::default())
    }

    /// The same, of a device that wrote it and knows what begins in it.
    pub(super) fn take_own(&mut self, run: &VerifiedRun, begun: &Begun) -> bool {
        let mut batch = Batch::default();
        let erased = self.erased_in(run);
        let screened = self.shelf.screen(&self.keys, &self.roll, run).unwrap();
        let run = screened.as_ref().unwrap_or(run);
        let Some(no) = self.logbook.append(&mut batch, run, WallTime::default()) else {
            assert!(batch.is_empty());
            return false;
        };
        let mut desk = Desk {
            store: &self.store,
            logbook: &self.logbook,
            keys: &self.keys,
            standings: &self.roll,
            projection: &mut self.shown,
            now: WallTime(9),
        };
        self.shelf.take_own(&mut desk, &mut batch, (no, run), begun).unwrap();
        for gone in erased {
            let holds = |value: &Vec<u8>| value.windows(gone.len()).any(|at| at == gone);
            assert!(!batch.writes.iter().any(|(_, _, value)| value.as_ref().is_some_and(holds)));
        }
        self.store.apply(batch).unwrap();
        self.destroy();
        if self.planted == Planted::DropsWhatWaits {
            self.drop_what_waits();
        }
        true
    }

    /// Key boxes and payloads of a run's entries that are known to be erased.
    fn erased_in(&self, run: &VerifiedRun) -> Vec<Vec<u8>> {
        let log = *run.log();
        let is_erased = |entry: &&VerifiedEntry| {
            let header = self.keys.get(&entry.epoch).and_then(|keys| {
                let cipher = LogCipher::new(log, entry.epoch, keys.clone());
                cipher.open_header(entry.seq, run.sealed(entry), entry.box_hash.as_ref()).ok()
            });
            self.roll.erased.contains(&entry.id)
                || header.is_some_and(|header| self.shelf.tombstone(&header.record).is_some())
        };
        let parts = |entry: &VerifiedEntry| {
            let key_box = entry.key_box.map(Vec::from);
            [key_box, run.payload(entry).map(Vec::from)].into_iter().flatten()
        };
        run.entries().iter().filter(is_erased).flat_map(parts).collect()
    }

    /// Begins to erase a record; whether it was here and not erased.
    pub(super) fn erase(&mut self, record: RecordId, genesis: EntryId, by: StatementId) -> bool {
        let mut batch = Batch::default();
        let mut desk = Desk {
            store: &self.store,
            logbook: &self.logbook,
            keys: &self.keys,
            standings: &self.roll,
            projection: &mut self.shown,
            now: WallTime(9),
        };
        let begun = self.shelf.erase(&mut desk, &mut batch, record, genesis, by).unwrap();
        assert_eq!(begun, !batch.is_empty());
        self.store.apply(batch).unwrap();
        begun
    }

    /// Destroys what is queued.
    pub(super) fn destroy(&mut self) {
        while self.shelf.has_erasures(&self.logbook) {
            self.destroy_some();
        }
    }

    /// Destroys as much as one batch does; whether that batch asks to forget.
    pub(super) fn destroy_some(&mut self) -> bool {
        let mut batch = Batch::default();
        let mut desk = Desk {
            store: &self.store,
            logbook: &self.logbook,
            keys: &self.keys,
            standings: &self.roll,
            projection: &mut self.shown,
            now: WallTime(9),
        };
        self.shelf.erase_more(&mut desk, &mut batch).unwrap();
        let forget = batch.forget;
        self.store.apply(batch).unwrap();
        forget
    }

    /// A statement about a record came or was lifted.
    pub(super) fn restate(&mut self, record: RecordId) {
        let mut batch = Batch::default();
        let mut desk = Desk {
            store: &self.store,
            logbook: &self.logbook,
            keys: &self.keys,
            standings: &self.roll,
            projection: &mut self.shown,
            now: WallTime(9),
        };
        self.shelf.restate(&mut desk, &mut batch, record).unwrap();
        self.store.apply(batch).unwrap();
    }

    pub(super) fn genesis_of(&mut self, record: RecordId) -> Option<EntryId> {
        let desk = Desk {
            store: &self.store,
            logbook: &self.logbook,
            keys: &self.keys,
            standings: &self.roll,
            projection: &mut self.shown,
            now: WallTime(9),
        };
        genesis_of(&desk, &record).unwrap()
    }

    /// Whether the projection has a record.
    pub(super) fn shows(&self, record: &RecordId) -> bool {
        self.shown.0.contains_key(record)
    }

    pub(super) fn row(&self, record: &RecordId) -> Row {
        self.shown.0[record].clone()
    }

    /// How many records are projected.
    pub(super) fn rows(&self) -> usize {
        self.shown.0.len()
    }

    /// Takes up to `entries` further entries of a log from another peer, as the wire carries them.
    pub(super) fn pull(&mut self, from: &Self, log: &LogId, entries: u64) -> Option<VerifiedRun> {
        let head = self.logbook.head(log);
        let span = head.next..head.next.saturating_add(entries);
        let stretch = from.logbook.read(&from.store, log, span, 16 * 1024).unwrap()?;
        let run = stretch.run(*log).verify(&head).unwrap();
        assert!(self.take(&run));
        Some(run)
    }

    /// The keys come of the epoch that this peer lacks.
    pub(super) fn open_epochs(&mut self) {
        if self.planted == Planted::LeavesClosed {
            return;
        }
        for (id, keys) in [epoch(false), epoch(true)] {
            if self.keys.insert(id, keys).is_none() {
                self.shelf.epoch_opened(id);
            }
        }
        while self.shelf.has_opened_epochs() {
            let mut batch = Batch::default();
            let mut desk = Desk {
                store: &self.store,
                logbook: &self.logbook,
                keys: &self.keys,
                standings: &self.roll,
                projection: &mut self.shown,
                now: WallTime(9),
            };
            self.shelf.open_waiting(&mut desk, &mut batch).unwrap();
            self.store.apply(batch).unwrap();
        }
    }

    /// Another position from which on a log is quarantined. The records are judged again later.
    pub(super) fn limit(&mut self, log: &LogId, to: u64) {
        let from = self.roll.limit(log);
        self.roll.limits.insert(*log, to);
        if let Some(state) = self.logbook.state(log) {
            let mut batch = Batch::default();
            self.shelf.limit_moved(&mut batch, state.no, from, to);
            self.store.apply(batch).unwrap();
        }
    }

    /// Another rule for what a device may write. The records are judged again later.
    pub(super) fn rule(&mut self, device: DeviceId, rule: Option<Rule>) {
        let before = match rule {
            Some(rule) => self.roll.rules.insert(device, rule),
            None => self.roll.rules.remove(&device),
        };
        if before == rule {
            return;
        }
        let mut batch = Batch::default();
        for (log, state) in self.logbook.logs() {
            if log.device == device {
                self.shelf.routes_moved(&mut batch, state.no);
            }
        }
        self.store.apply(batch).unwrap();
    }

    /// Does one piece of what is left to be judged again; false if there is none.
    pub(super) fn judge_moved(&mut self) -> bool {
        if !self.shelf.has_moved() || self.planted == Planted::LeavesMoved {
            return false;
        }
        let mut batch = Batch::default();
        let mut desk = Desk {
            store: &self.store,
            logbook: &self.logbook,
            keys: &self.keys,
            standings: &self.roll,
            projection: &mut self.shown,
            now: WallTime(9),
        };
        self.shelf.judge_moved(&mut desk, &mut batch).unwrap();
        self.store.apply(batch).unwrap();
        true
    }

    /// Does one piece of what a run left for later; false if there is none.
    pub(super) fn judge_later(&mut self) -> bool {
        if !self.shelf.has_later() {
            return false;
        }
        let mut batch = Batch::default();
        let mut desk = Desk {
            store: &self.store,
            logbook: &self.logbook,
            keys: &self.keys,
            standings: &self.roll,
            projection: &mut self.shown,
            now: WallTime(9),
        };
        self.shelf.judge_later(&mut desk, &mut batch).unwrap();
        self.store.apply(batch).unwrap();
        true
    }

    /// Starts anew on what is stored.
    pub(super) fn restart(&mut self) {
        self.logbook = Logbook::load(&self.store).unwrap();
        self.shelf = Shelf::load(&self.store).unwrap();
    }

    /// A record in full.
    pub(super) fn show(&mut self, record: RecordId) -> Option<Detail> {
        let mut reader = self.shelf.reader(&self.store, &self.logbook, &self.keys, &self.roll);
        reader.show(record).unwrap()
    }

    /// A record as it would be if quarantined entries of it counted.
    pub(super) fn as_if(&mut self, record: RecordId, counts: AsIf) -> Option<Detail> {
        let reader = self.shelf.reader(&self.store, &self.logbook, &self.keys, &self.roll);
        reader.as_if(record, counts).unwrap()
    }

    /// What an agency's devices brought last.
    pub(super) fn brought(&mut self, record: RecordId, by: AgencyNo) -> Map<String, Value> {
        let mut reader = self.shelf.reader(&self.store, &self.logbook, &self.keys, &self.roll);
        reader.brought(record, by).unwrap()
    }

    /// A record's thread.
    pub(super) fn thread(&mut self, record: RecordId) -> &Thread {
        let mut reader = self.shelf.reader(&self.store, &self.logbook, &self.keys, &self.roll);
        reader.load(record).unwrap();
        self.shelf.threads.thread(&record).unwrap()
    }

    pub(super) fn records(&self) -> Vec<RecordId> {
        let mut records = Vec::new();
        let keep = &mut |key: &[u8], _: &[u8]| {
            records.push(RecordId(key.try_into().unwrap()));
            ControlFlow::Continue(())
        };
        self.store.scan(Space::Records, &[], &[], keep).unwrap();
        records
    }

    /// All that this peer says.
    pub(super) fn picture(&mut self) -> Picture {
        while self.judge_later() {}
        let mut records = BTreeMap::new();
        for record in self.records() {
            let said = self.show(record);
            let said = said.map(|detail| Said::of(&detail, self.brought(record, detail.origin)));
            let row = self.shown.0.get(&record).cloned();
            let current = version(&self.store, &record).unwrap();
            let row = row.filter(|row| current == Some(row.version));
            records.insert(record, (said, row));
        }
        let census = self.shelf.census(&self.store, COMPARTMENT).unwrap();
        let shown = records.values().filter(|(_, row)| row.is_some()).count();
        assert_eq!(census.shown, shown as u64, "the census is wrong");
        Picture { begun: census.begun, waiting: self.store.keys(Space::Waiting), records }
    }

    fn drop_what_waits(&mut self) {
        for record in self.records() {
            let mut listing = Listing::load(&self.store, &record).unwrap().unwrap();
            let entries = self.thread(record).entries();
            let judged = entries.filter(|(_, verdict)| *verdict != Verdict::Waiting);
            listing.places = judged.map(|(opened, _)| opened.place).collect();
            let mut batch = Batch::default();
            batch.put(Space::Records, record.0, listing.encode());
            self.store.apply(batch).unwrap();
        }
        self.restart();
    }
}

/// What the projection was last told of each record.
#[derive(Debug, Default)]
struct Shown(BTreeMap<RecordId, Row>);

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) version: u64,
    class: Class,
    pub(super) conflicted: bool,
    pub(super) restricted: bool,
    pub(super) recalled: bool,
    of: About,
}

impl Row {
    /// The fields, as JSON.
    pub(super) fn fields(&self) -> &str {
        &self.of.fields
    }
}

/// What both the projection and a reader are told. Fields as the bytes of their JSON.
#[derive(Clone, Debug, PartialEq)]
struct About {
    kind: Kind,
    origin: AgencyNo,
    device: DeviceId,
    created: WallTime,
    label: Label,
    fields: String,
}

impl Projection for Shown {
    fn record(
        &mut self,
        _: &dyn Store,
        _: &mut Batch,
        view: &RecordView<'_>,
    ) -> Result<(), StoreError> {
        let of = About {
            kind: view.kind,
            origin: view.origin,
            device: view.device,
            created: view.created,
            label: view.label.clone(),
            fields: serde_json::to_string(view.fields).unwrap(),
        };
        let row = Row {
            version: view.version,
            class: view.class,
            conflicted: view.conflicted,
            restricted: view.restricted,
            recalled: view.recalled,
            of,
        };
        let before = self.0.insert(view.record, row);
        assert!(before.is_none_or(|before| before.version < view.version));
        Ok(())
    }

    fn removed(
        &mut self,
        store: &dyn Store,
        _: &mut Batch,
        record: &RecordId,
    ) -> Result<(), StoreError> {
        // It was shown before, or in this pass.
        let shown = self.0.remove(record).is_some();
        assert!(shown || version(store, record)?.is_some());
        Ok(())
    }

    fn erased(
        &mut self,
        _: &dyn Store,
        _: &mut Batch,
        record: &RecordId,
    ) -> Result<(), StoreError> {
        self.0.remove(record);
        Ok(())
    }

    fn finish(&mut self, _: &mut Batch) {}
}

/// What a reader is told of an entry: its id, its kind, the fields that it touches, its verdict.
type Judgement = (EntryId, EntryKind, Vec<String>, Verdict);

/// What a reader is told of a record.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Said {
    of: About,
    pub(super) conflicts: Conflicts,
    /// What devices of its agency brought last.
    pub(super) brought: Map<String, Value>,
    pub(super) entries: BTreeMap<(LogId, u64), Judgement>,
}

impl Said {
    /// The fields, as JSON.
    pub(super) fn fields(&self) -> &str {
        &self.of.fields
    }

    fn of(detail: &Detail, brought: Map<String, Value>) -> Self {
        let of = About {
            kind: detail.kind,
            origin: detail.origin,
            device: detail.device,
            created: detail.created,
            label: detail.label.clone(),
            fields: serde_json::to_string(&detail.fields).unwrap(),
        };
        let entry = |entry: &EntryView| {
            let what = (entry.id, entry.kind, entry.fields.clone(), entry.verdict.clone());
            ((entry.log, entry.seq), what)
        };
        let entries = detail.entries.iter().map(entry).collect();
        Self { of, conflicts: detail.conflicts.clone(), brought, entries }
    }
}

/// All that a peer says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Picture {
    begun: u64,
    waiting: usize,
    pub(super) records: BTreeMap<RecordId, (Option<Said>, Option<Row>)>,
}

impl Picture {
    /// The class of the first record, as the index has it.
    pub(super) fn class(&self) -> Class {
        self.records.values().next().unwrap().1.as_ref().unwrap().class
    }
}

/// Where pictures differ: from each other, or the projection's from the reader's.
pub(super) fn divergence(pictures: &[(String, Picture)]) -> Option<String> {
    let (first_name, first) = pictures.first()?;
    for (name, picture) in pictures {
        if (picture.begun, picture.waiting) != (first.begun, first.waiting) {
            return Some(format!(
                "{first_name}: {} begun, {} waiting; {name}: {} begun, {} waiting",
                first.begun, first.waiting, picture.begun, picture.waiting
            ));
        }
        if !picture.records.keys().eq(first.records.keys()) {
            return Some(format!("{first_name} and {name} have other records"));
        }
        for (record, (said, row)) in &picture.records {
            let (first_said, first_row) = &first.records[record];
            if said != first_said {
                return Some(format!(
                    "{record} at {first_name}: {first_said:#?}\nat {name}: {said:#?}"
                ));
            }
            let told = |row: &Option<Row>| row.clone().map(|row| Row { version: 0, ..row });
            if told(row) != told(first_row) {
                return Some(format!(
                    "{record}, as the index of {first_name} has it: {first_row:#?}\n\
                     of {name}: {row:#?}"
                ));
            }
            let read = said.as_ref().map(|said| (&said.of, !said.conflicts.is_empty()));
            if read != row.as_ref().map(|row| (&row.of, row.conflicted)) {
                return Some(format!("{record} at {name}: index {row:#?}\nreader {said:#?}"));
            }
        }
    }
    None
}
