//! What one frame of a member may make a peer compute without a break: the longest that one input took,
//! be it the frame or a piece of what it left for later. Records are as large as they may be.
//!
//! `cargo bench -p tearline-mesh --bench frame`. It fails above the bound.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "it measures with what tests the same, which fails by panicking"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "../tests/pair/forger.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod forger;
#[path = "../tests/pair/world.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod world;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::Value;
use tearline_crdt::bounds::{RECORD_OPS_MAX, SEGMENT_ENTRIES_MAX};
use tearline_crdt::document::{Patch, Segment};
use tearline_crdt::entropy::SeededEntropy;
use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::{Class, CompartmentId, Incarnation, LogId, RecordId};
use tearline_crdt::record::shelf::Draft;
use tearline_mesh::replica::Setup;
use tearline_mesh::wire::{FRAME_BYTES_MAX, Frame};
use tearline_mesh::{Input, Link, Replica};

use world::{World, draft, keys};

/// What one frame may take.
const FRAME_TIME_MAX: Duration = Duration::from_secs(2);
/// Operations of one change of a large record.
const OPS_PER_CHANGE: usize = 1_000;
/// Large records of which one run changes each, and lives of the device that change one at once.
const RECORDS: usize = 64;
const LIVES: usize = 60;
/// Who writes.
const SEED: u8 = 2;

struct Bench {
    world: World,
    all: CompartmentId,
    links: u64,
    value: u64,
}

impl Bench {
    fn new() -> Self {
        let (world, all) = forger::shared(2);
        Self { world, all, links: 1_000, value: 1_000 }
    }

    fn edit(&mut self, record: RecordId, values: usize) -> Draft {
        self.value += 1;
        let value: Value = match values {
            1 => self.value.into(),
            _ => (0..values).map(|n| Value::from(n as u64)).collect(),
        };
        let field = if values == 1 { "count".into() } else { format!("list {}", self.value) };
        let mut patch = Patch::default();
        patch.set(vec![Segment::Name(field)], value);
        Draft::Edit { record, patch }
    }

    /// A record with nearly as many operations as one may have.
    fn large(&mut self) -> RecordId {
        let record = self.world.act(1, self.all, Class::Routine, vec![draft("large")])[0];
        // Beside those changes it keeps room for one segment of small ones.
        let changes = (RECORD_OPS_MAX - 3 * SEGMENT_ENTRIES_MAX) / (OPS_PER_CHANGE + 1);
        for _ in 0..changes {
            let edit = self.edit(record, OPS_PER_CHANGE);
            self.world.act(1, self.all, Class::Routine, vec![edit]);
        }
        record
    }

    /// Changes a record so often by one value each.
    fn small(&mut self, record: RecordId, count: usize) {
        for _ in 0..count {
            let edit = self.edit(record, 1);
            self.world.act(1, self.all, Class::Routine, vec![edit]);
        }
    }

    /// Brings what the writer has beyond what the other peer holds: entries of the largest frame, and
    /// the longest that an input took.
    fn carry(
        &mut self,
        writer: &Replica<tearline_crdt::store::memory::MemoryStore>,
    ) -> (usize, Duration) {
        let log = writer.own_log(self.all, Class::Routine);
        self.links += 1;
        let link = Link(self.links);
        forger::link_as(&mut self.world, 0, SEED, link);
        let area = forger::tag(&self.world, 0, SEED, self.all);
        let mut worst = (0, Duration::ZERO);
        loop {
            let held = self.held(&log);
            let end = writer.logbook().head(&log).next;
            let read = writer.logbook().read(writer.store(), &log, held..end, FRAME_BYTES_MAX / 2);
            let Some(stretch) = read.unwrap() else { break };
            let count = stretch.count;
            let frame = Frame::Run {
                area,
                key: LogKey::of(&log),
                author: (held == 0).then_some((log.device, log.incarnation)),
                knows: None,
                hops: None,
                left_out: false,
                first: held,
                count,
                entries: stretch.entries,
                boxes: stretch.boxes,
            };
            let bytes = frame.encode();
            let now = self.world.now();
            let began = Instant::now();
            self.world.peers[0].replica.handle(now, Input::Frame { link, bytes }).unwrap();
            worst = (worst.0.max(count), worst.1.max(began.elapsed()));
            self.world.drain(0);
            // What was left for later is judged in pieces, each between other inputs.
            loop {
                let began = Instant::now();
                let more = self.world.step();
                worst.1 = worst.1.max(began.elapsed());
                if !more {
                    break;
                }
            }
            assert!(self.held(&log) > held, "{:?}", self.world.peers[0].replica.faults());
        }
        self.world.input(0, Input::Down { link });
        worst
    }

    fn held(&self, log: &LogId) -> u64 {
        self.world.peers[0].replica.logbook().head(log).next
    }

    fn bring(&mut self) -> (usize, Duration) {
        self.world.settle();
        let writer = self.world.peers.remove(1);
        let worst = self.carry(&writer.replica);
        self.world.peers.push(writer);
        worst
    }
}

fn main() -> ExitCode {
    let mut failed = false;
    let mut row = |what: &str, took: Duration| {
        let fits = took <= FRAME_TIME_MAX;
        failed |= !fits;
        let verdict = if fits { "PASS" } else { "FAIL" };
        println!(
            "{what:66} {:>9.3} s {:>4} s  {verdict}",
            took.as_secs_f64(),
            FRAME_TIME_MAX.as_secs()
        );
    };
    let mut bench = Bench::new();

    let record = bench.large();
    let (_, took) = bench.bring();
    row("building a record of 20,000 operations, its largest frame", took);
    for warm in [true, false] {
        bench.small(record, SEGMENT_ENTRIES_MAX);
        if !warm {
            bench.world.crash(0);
        }
        let (count, took) = bench.bring();
        let state = if warm { "in memory" } else { "on disk" };
        row(&format!("{count} changes of that record, {state}"), took);
    }

    let records: Vec<RecordId> = (0..RECORDS).map(|_| bench.large()).collect();
    bench.bring();
    let edits = records.iter().map(|record| bench.edit(*record, 1)).collect();
    bench.world.act(1, bench.all, Class::Routine, edits);
    bench.world.crash(0);
    let (count, took) = bench.bring();
    row(&format!("one change of each of {count} such records on disk"), took);

    // One of the records, changed by many lives of the device at once.
    let shared = records[0];
    let base = bench.world.peers[1].replica.store().clone();
    for life in 0..LIVES {
        let setup = Setup {
            keys: keys(SEED),
            incarnation: Incarnation(100 + life as u64),
            entropy: Box::new(SeededEntropy::new(life as u64)),
            projection: Box::new(()),
        };
        let mut replica = Replica::open(base.clone(), setup).unwrap();
        let now = bench.world.now();
        for _ in 0..3 {
            let edit = bench.edit(shared, 1);
            replica.write(now, bench.all, Class::Routine, vec![edit]).unwrap();
        }
        bench.carry(&replica);
    }
    bench.small(shared, SEGMENT_ENTRIES_MAX);
    bench.world.crash(0);
    let (count, took) = bench.bring();
    row(&format!("{count} changes of a record that {LIVES} lives changed at once"), took);
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
