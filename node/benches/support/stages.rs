//! What each stage of import and sync costs alone, on one thread, with the daemon's own code on the
//! daemon's own store: the limit that a whole is measured against.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use tearline_crdt::bounds::SEGMENT_BYTES_MAX;
use tearline_crdt::change::first_change;
use tearline_crdt::entropy::SeededEntropy;
use tearline_crdt::entry::run::{UnverifiedRun, write_segment};
use tearline_crdt::entry::sealed::LogCipher;
use tearline_crdt::epoch::EpochKeys;
use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::{AgencyNo, Class, CompartmentId, DeviceId, EpochId, Incarnation, LogId};
use tearline_crdt::keys::Signer;
use tearline_crdt::logbook::Logbook;
use tearline_crdt::record::label::Label;
use tearline_crdt::record::shelf::{
    Desk, Draft, Projection, RecordView, Shelf, Standings, Writing,
};
use tearline_crdt::store::{Batch, Store, StoreError};
use tearline_crdt::time::WallTime;
use tearline_mesh::wire::Frame;
use tearline_node::exchange::{Item, stix};
use tearline_node::index::{self, Index, Row};
use tearline_node::store::{SledStore, StoreKey};

/// A stage.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Stage {
    /// Read the file's JSON.
    Parse,
    /// Look whether the object is here already.
    LookUp,
    /// Build the Automerge change.
    Build,
    /// Draw the record's key, seal header and payload.
    Seal,
    /// Hash the entries into the chain, sign one of 256.
    Chain,
    /// Read entries back from the log, and put them into a frame.
    Send,
    /// Take a frame apart.
    Frame,
    /// Verify a frame's chain and signature.
    Verify,
    /// Open an entry, gate its change, list its record.
    Judge,
    /// Build the index row and its block.
    Index,
    /// Apply the batch, flush it, sync it to the medium.
    Store,
}

/// What the stages cost.
pub(crate) struct Stages {
    times: BTreeMap<Stage, Duration>,
    objects: u64,
}

impl Stages {
    /// Microseconds for each object, in all of these stages together.
    pub(crate) fn micros(&self, stages: &[Stage]) -> f64 {
        let all: Duration = stages.iter().filter_map(|stage| self.times.get(stage)).sum();
        all.as_secs_f64() * 1e6 / self.objects.max(1) as f64
    }

    /// Objects a second, where these stages follow each other on one thread.
    pub(crate) fn rate(&self, stages: &[Stage]) -> f64 {
        1e6 / self.micros(stages)
    }

    /// How many objects were measured.
    pub(crate) const fn objects(&self) -> u64 {
        self.objects
    }

    fn time<T>(&mut self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let (result, spent) = timed(work);
        self.add(stage, spent);
        result
    }

    fn add(&mut self, stage: Stage, spent: Duration) {
        *self.times.entry(stage).or_default() += spent;
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let result = work();
    (result, began.elapsed())
}

/// Objects that an import writes together.
const OBJECTS_PER_ACT: usize = 256;
/// Bytes of objects, as text, that it writes together.
const BYTES_PER_ACT: usize = 128 * 1024;

/// Takes the objects of a file through all stages, each timed by itself. So many acts or frames
/// share a flush as the daemon lets share one.
pub(crate) fn measure(
    file: &Path,
    folder: &Path,
    acts_per_flush: u64,
) -> Result<Stages, Box<dyn Error>> {
    let mut stages = Stages { times: BTreeMap::new(), objects: 0 };
    stages.time(Stage::Parse, || {
        stix::read(File::open(file)?, &mut |item| {
            drop(item);
            ControlFlow::Continue(())
        })
    })?;
    let label: Label = "TLP:AMBER".parse()?;
    let mut bench = Bench::new(folder, acts_per_flush)?;
    let mut waiting = Vec::new();
    let mut bytes = 0;
    let mut outcome = Ok(());
    stix::read(File::open(file)?, &mut |item| {
        let Item::Draft(draft) = item else { return ControlFlow::Continue(()) };
        bytes += serde_json::to_string(&draft.fields).map_or(0, |text| text.len());
        let label = label.clone();
        waiting.push(Draft::New { kind: draft.kind, fields: draft.fields, label });
        if waiting.len() < OBJECTS_PER_ACT && bytes < BYTES_PER_ACT {
            return ControlFlow::Continue(());
        }
        bytes = 0;
        outcome = bench.act(&mut stages, std::mem::take(&mut waiting));
        if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    outcome?;
    if !waiting.is_empty() {
        bench.act(&mut stages, waiting)?;
    }
    bench.flush(&mut stages)?;
    Ok(stages)
}

/// A peer of one device, taken apart.
struct Bench {
    store: SledStore,
    logbook: Logbook,
    shelf: Shelf,
    keys: BTreeMap<EpochId, EpochKeys>,
    signer: Signer,
    cipher: LogCipher,
    entropy: SeededEntropy,
    index: Timed,
    now: WallTime,
    acts_per_flush: u64,
    unflushed: u64,
}

impl Bench {
    fn new(folder: &Path, acts_per_flush: u64) -> Result<Self, Box<dyn Error>> {
        let signer = Signer::from_seed(&[1; 32]);
        let log = LogId {
            compartment: CompartmentId([2; 32]),
            class: Class::Routine,
            device: DeviceId(signer.public()),
            incarnation: Incarnation(1),
        };
        let (epoch, keys) = (EpochId([3; 32]), EpochKeys::of(&[4; 32]));
        Ok(Self {
            store: SledStore::open(folder, &StoreKey::new([5; 32]))?,
            logbook: Logbook::default(),
            shelf: Shelf::default(),
            keys: BTreeMap::from([(epoch, keys.clone())]),
            signer,
            cipher: LogCipher::new(log, epoch, keys),
            entropy: SeededEntropy::new(6),
            index: Timed::default(),
            now: WallTime(1_767_225_600_000),
            acts_per_flush,
            unflushed: 0,
        })
    }

    fn act(&mut self, stages: &mut Stages, drafts: Vec<Draft>) -> Result<(), Box<dyn Error>> {
        let log = *self.cipher.log();
        stages.objects += drafts.len() as u64;
        let fields = drafts.iter().filter_map(|draft| match draft {
            Draft::New { fields, .. } => Some(fields),
            _ => None,
        });
        let fields: Vec<_> = fields.cloned().collect();
        stages.time(Stage::LookUp, || {
            fields
                .iter()
                .filter_map(|fields| fields.get("id")?.as_str())
                .try_for_each(|id| index::external(&self.store, &log.compartment, id).map(drop))
        })?;
        let (built, building) = timed(|| {
            let build = |fields| first_change([7; 16], self.now.0 as i64, fields);
            fields.iter().map(build).collect::<Result<Vec<_>, _>>()
        });
        drop(built?);
        stages.add(Stage::Build, building);
        let (prepared, preparing) = timed(|| {
            let mut writing = Writing {
                store: &self.store,
                logbook: &self.logbook,
                keys: &self.keys,
                standings: &OneAgency,
                cipher: &self.cipher,
                next_seq: self.logbook.head(&log).next,
                now: self.now,
                entropy: &mut self.entropy,
            };
            self.shelf.prepare(&mut writing, drafts)
        });
        // To prepare is to build and to seal.
        stages.add(Stage::Seal, preparing.saturating_sub(building));
        let prepared = prepared.map_err(|(n, error)| format!("object {n}: {error}"))?;
        let head = self.logbook.head(&log);
        let run = stages
            .time(Stage::Chain, || write_segment(&log, &head, &self.signer, &prepared.entries))?;
        let frame = Frame::Run {
            area: [0; 8],
            key: LogKey::of(&log),
            author: None,
            first: head.next,
            count: run.entries().len(),
            entries: run.bytes().to_vec(),
            boxes: run.entries().iter().filter_map(|entry| entry.key_box).flatten().collect(),
        };
        let frame = frame.encode();
        let frame = stages.time(Stage::Frame, || Frame::decode(&frame))?;
        let Frame::Run { count, entries, boxes, .. } = &frame else { return Ok(()) };
        let unverified = UnverifiedRun { log, count: *count, entries, boxes };
        let run = stages.time(Stage::Verify, || unverified.verify(&head))?;
        let (batch, taking) = timed(|| {
            let mut batch = Batch::default();
            let no = self.logbook.append(&mut batch, &run).ok_or("the run does not follow")?;
            let mut desk = Desk {
                store: &self.store,
                logbook: &self.logbook,
                keys: &self.keys,
                standings: &OneAgency,
                projection: &mut self.index,
                now: self.now,
            };
            self.shelf.take(&mut desk, &mut batch, no, &run)?;
            Ok::<_, Box<dyn Error>>(batch)
        });
        let indexing = std::mem::take(&mut self.index.spent);
        stages.add(Stage::Index, indexing);
        stages.add(Stage::Judge, taking.saturating_sub(indexing));
        let batch = batch?;
        stages.time(Stage::Store, || self.store.apply(batch))?;
        self.unflushed += 1;
        if self.unflushed >= self.acts_per_flush {
            self.flush(stages)?;
        }
        stages.time(Stage::Send, || {
            let span = head.next..self.logbook.head(&log).next;
            let stretch = self.logbook.read(&self.store, &log, span, SEGMENT_BYTES_MAX)?;
            Ok::<_, StoreError>(stretch.map(|stretch| {
                let (entries, boxes) = (stretch.entries, stretch.boxes);
                let (area, key) = ([0; 8], LogKey::of(&log));
                let (first, count) = (stretch.first, stretch.count);
                Frame::Run { area, key, author: None, first, count, entries, boxes }.encode()
            }))
        })?;
        Ok(())
    }

    fn flush(&mut self, stages: &mut Stages) -> Result<(), StoreError> {
        self.unflushed = 0;
        stages.time(Stage::Store, || self.store.flush())
    }
}

/// All devices are of one agency.
struct OneAgency;

impl Standings for OneAgency {
    fn agency(&self, _: &CompartmentId, _: &DeviceId) -> Option<AgencyNo> {
        Some(AgencyNo(1))
    }
}

/// The index, kept as the daemon keeps it, and what that took.
#[derive(Default)]
struct Timed {
    index: Index,
    spent: Duration,
}

impl Projection for Timed {
    fn record(
        &mut self,
        _: &dyn Store,
        batch: &mut Batch,
        view: &RecordView<'_>,
    ) -> Result<(), StoreError> {
        let began = Instant::now();
        let row = Row {
            record: view.record,
            version: view.version,
            compartment: view.compartment,
            class: view.class,
            origin: view.origin,
            device: view.device,
            tlp: view.label.tlp as u8,
            label: view.label.to_string(),
            created_ms: view.created.0,
            received_ms: view.received.0,
            ..Row::describe(view.kind, view.fields)
        };
        self.index.put(batch, row.bounded());
        self.spent += began.elapsed();
        Ok(())
    }

    fn finish(&mut self, batch: &mut Batch) {
        let began = Instant::now();
        self.index.finish(batch);
        self.spent += began.elapsed();
    }
}
