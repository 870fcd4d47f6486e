//! Quarantine: a device is revoked and adopted again; all records that it wrote vanish from the
//! index and come back. On one core, with the daemon's own index, on a store in memory and on the
//! daemon's own store, which is flushed in the end.
//!
//! `cargo bench -p tearline-node --bench quarantine`; `-- --json` prints one document a table.
//! `TEARLINE_BENCH_RECORDS` sets the number of records (10,000). The bound is for 10,000 and grows
//! with their number.

#[path = "support/sightings.rs"]
#[expect(dead_code, reason = "this bench writes no files")]
mod sightings;
#[path = "support/table.rs"]
#[expect(dead_code, reason = "this bench has no rates and no notes")]
mod table;

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tearline_crdt::document::{Patch, Segment};
use tearline_crdt::entropy::SeededEntropy;
use tearline_crdt::entry::run::write_segment;
use tearline_crdt::entry::sealed::LogCipher;
use tearline_crdt::epoch::EpochKeys;
use tearline_crdt::id::{
    AgencyNo, Class, CompartmentId, DeviceId, EntryId, EpochId, Incarnation, LogId, RecordId,
};
use tearline_crdt::keys::Signer;
use tearline_crdt::logbook::Logbook;
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::label::Label;
use tearline_crdt::record::shelf::{
    self, Desk, Draft, RecordState, Shelf, Standings, Stewardship, Writing,
};
use tearline_crdt::store::memory::MemoryStore;
use tearline_crdt::store::{Batch, Store};
use tearline_crdt::time::WallTime;
use tearline_node::index::{Index, Indexing, Query, Row};
use tearline_node::store::{SledStore, StoreKey};

use table::{Bound, Table, judged};

type Broken = Box<dyn Error>;

/// How long a revocation of a device may take that wrote [`RECORDS`] records.
const SECONDS_MAX: f64 = 2.0;
/// Records, if nothing else is asked for.
const RECORDS: u64 = 10_000;
/// Records that are written together.
const RECORDS_PER_ACT: u64 = 250;
const NOW: WallTime = WallTime(1_767_225_600_000);

fn main() -> Result<(), Broken> {
    let folder = tempfile::tempdir()?;
    let records = sightings::count(RECORDS);
    let mut passed = true;
    for edited in [false, true] {
        let what = if edited { "records with one change each" } else { "records" };
        let mut table = Table::new(format!("quarantine of a device that wrote {records} {what}"));
        measure("in memory", MemoryStore::new(), records, edited, &mut table)?;
        let store = folder.path().join(format!("store-{edited}"));
        let store = SledStore::open(&store, &StoreKey::new([5; 32]))?;
        measure("on disk, flushed", store, records, edited, &mut table)?;
        passed &= table.print();
    }
    Ok(judged(passed)?)
}

/// Revokes the device and adopts what it wrote again.
fn measure(
    place: &str,
    store: impl Store,
    records: u64,
    edited: bool,
    table: &mut Table,
) -> Result<(), Broken> {
    let mut peer = Peer::new(store);
    peer.write(records, edited)?;
    let seconds = SECONDS_MAX * records as f64 / RECORDS as f64;
    for (what, limit, left) in [("revoked", 0, 0), ("adopted", u64::MAX, records.min(10))] {
        let took = peer.limit(limit)?;
        let found = peer.found()?;
        if found as u64 != left {
            return Err(format!("{found} records are found where {left} are to be").into());
        }
        let bound = Bound::AtMost(seconds);
        table.check(format!("{what}, {place}"), took.as_secs_f64(), "s", bound, None);
    }
    Ok(())
}

/// From which position on the one log is quarantined.
struct Limit(u64);

impl Stewardship for Limit {
    fn state(&self, _: &LogId, _: &EntryId) -> RecordState {
        RecordState::default()
    }

    fn is_erased(&self, _: &LogId, _: &EntryId) -> bool {
        false
    }
}

impl Standings for Limit {
    fn agency(&self, _: &CompartmentId, _: &DeviceId) -> Option<AgencyNo> {
        Some(AgencyNo(1))
    }

    fn limit(&self, _: &LogId) -> u64 {
        self.0
    }

    fn allows(&self, _: &LogId, _: Kind, _: WallTime) -> bool {
        true
    }
}

struct Peer<S> {
    store: S,
    logbook: Logbook,
    shelf: Shelf,
    keys: BTreeMap<EpochId, EpochKeys>,
    limit: Limit,
    indexing: Indexing,
    signer: Signer,
}

impl<S: Store> Peer<S> {
    fn new(store: S) -> Self {
        Self {
            store,
            logbook: Logbook::default(),
            shelf: Shelf::default(),
            keys: BTreeMap::from([(EpochId([3; 32]), EpochKeys::of(&[4; 32]))]),
            limit: Limit(u64::MAX),
            indexing: Indexing::default(),
            signer: Signer::from_seed(&[1; 32]),
        }
    }

    fn log(&self) -> LogId {
        LogId {
            compartment: CompartmentId([2; 32]),
            class: Class::Routine,
            device: DeviceId(self.signer.public()),
            incarnation: Incarnation(1),
        }
    }

    fn write(&mut self, records: u64, edited: bool) -> Result<(), Broken> {
        let mut begun = Vec::new();
        for first in (0..records).step_by(RECORDS_PER_ACT as usize) {
            let drafts = (first..records.min(first + RECORDS_PER_ACT)).map(new);
            begun.extend(self.act(drafts.collect())?);
        }
        for records in begun.chunks(RECORDS_PER_ACT as usize).filter(|_| edited) {
            self.act(records.iter().map(|record| edit(*record)).collect())?;
        }
        self.store.flush()?;
        Ok(())
    }

    fn act(&mut self, drafts: Vec<Draft>) -> Result<Vec<RecordId>, Broken> {
        let log = self.log();
        let head = self.logbook.head(&log);
        let (epoch, keys) = self.keys.first_key_value().ok_or("no keys")?;
        let mut writing = Writing {
            store: &self.store,
            logbook: &self.logbook,
            keys: &self.keys,
            standings: &self.limit,
            cipher: &LogCipher::new(log, *epoch, keys.clone()),
            closed: &std::collections::BTreeSet::new(),
            next_seq: head.next,
            now: NOW,
            entropy: &mut SeededEntropy::new(head.next),
        };
        let prepared = self.shelf.prepare(&mut writing, drafts);
        let prepared = prepared.map_err(|(n, error)| format!("draft {n}: {error}"))?;
        let run = write_segment(&log, &head, &self.signer, &prepared.entries)?;
        let mut batch = Batch::default();
        let no = self
            .logbook
            .append(&mut batch, &run, WallTime::default())
            .ok_or("the run does not follow")?;
        let mut desk = Desk {
            store: &self.store,
            logbook: &self.logbook,
            keys: &self.keys,
            standings: &self.limit,
            projection: &mut self.indexing,
            now: NOW,
        };
        self.shelf.take(&mut desk, &mut batch, no, &run)?;
        self.store.apply(batch)?;
        Ok(prepared.written.into_iter().map(|written| written.record).collect())
    }

    /// Moves the limit; returns how long it took until all that follows was durable.
    fn limit(&mut self, to: u64) -> Result<Duration, Broken> {
        let no = self.logbook.state(&self.log()).ok_or("no log")?.no;
        let began = Instant::now();
        let mut batch = Batch::default();
        self.shelf.limit_moved(&mut batch, no, self.limit.0, to);
        self.limit = Limit(to);
        self.store.apply(batch)?;
        while self.shelf.has_moved() {
            let mut batch = Batch::default();
            let mut desk = Desk {
                store: &self.store,
                logbook: &self.logbook,
                keys: &self.keys,
                standings: &self.limit,
                projection: &mut self.indexing,
                now: NOW,
            };
            self.shelf.judge_moved(&mut desk, &mut batch)?;
            self.store.apply(batch)?;
        }
        self.store.flush()?;
        Ok(began.elapsed())
    }

    /// How many of the records a search finds; ten at most.
    fn found(&self) -> Result<usize, Broken> {
        let query = Query { limit: 10, ..Query::parse("post")? };
        let current =
            &mut |row: &Row| Ok(shelf::version(&self.store, &row.record)? == Some(row.version));
        let index = Index::open(&self.store)?;
        Ok(index.search(&self.store, &query, current)?.rows.len())
    }
}

fn new(n: u64) -> Draft {
    let text = |text: String| Value::String(text);
    let mut fields = Map::new();
    fields.insert("summary".into(), text(format!("White pickup near post {}", n % 41)));
    fields.insert("where_name".into(), text(format!("Checkpoint {}, south of the ford", n % 7)));
    fields.insert("first_seen".into(), text("2026-01-01T10:00:00.000Z".into()));
    fields.insert("id".into(), text(format!("sighting--00000000-0000-4000-8000-{n:012x}")));
    fields.insert("count".into(), json!(1 + n % 5));
    fields.insert("lat".into(), json!(13.083_31));
    fields.insert("lon".into(), json!(14.461_92));
    let label = "TLP:AMBER".parse().unwrap_or_else(|_| Label::most_restrictive());
    Draft::New { kind: Kind::Sighting, fields, label }
}

fn edit(record: RecordId) -> Draft {
    let mut patch = Patch::default();
    patch.set(vec![Segment::Name("count".into())], json!(9));
    Draft::Edit { record, patch }
}
