//! A receiver's stages, from frames to what is durable; and the sender's, back to frames.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use tearline_crdt::bounds::SEGMENT_BYTES_MAX;
use tearline_crdt::entry::run::{UnverifiedRun, VerifiedRun};
use tearline_crdt::frontier::LogKey;
use tearline_crdt::logbook::Logbook;
use tearline_crdt::record::shelf::{Desk, Shelf};
use tearline_crdt::store::{Batch, Store, StoreError};
use tearline_crdt::time::WallTime;
use tearline_mesh::wire::Frame;

use crate::stages::{self, Broken, FLUSH_EVERY, NOW, OneAgency, Stages, TimedIndex, timed};

/// Takes runs through all stages, each timed by itself.
pub(crate) fn receive(written: &[VerifiedRun], folder: &Path) -> Result<Stages, Broken> {
    let frames: Vec<Vec<u8>> = written.iter().map(frame).collect();
    stages::alone(|| receive_frames(&frames, folder))?
}

fn receive_frames(frames: &[Vec<u8>], folder: &Path) -> Result<Stages, Broken> {
    let log = stages::log();
    let mut stages = Stages::default();
    let mut store = stages::store(folder)?;
    let mut logbook = Logbook::default();
    let mut shelf = Shelf::default();
    let keys = BTreeMap::from([stages::epoch()]);
    let mut index = TimedIndex::default();
    let mut flushed = Instant::now();
    for (n, bytes) in frames.iter().enumerate() {
        let head = logbook.head(&log);
        let frame = stages.time("frame", || Frame::decode(bytes))?;
        let Frame::Run { count, entries, boxes, .. } = &frame else {
            return Err("not a run".into());
        };
        stages.objects += *count as u64;
        let unverified = UnverifiedRun { log, count: *count, entries, boxes };
        let run = stages.time("verify", || unverified.verify(&head))?;
        let (batch, judging) = timed(|| {
            let mut batch = Batch::default();
            let no = logbook
                .append(&mut batch, &run, WallTime::default())
                .ok_or("the run does not follow")?;
            let mut desk = Desk {
                store: &store,
                logbook: &logbook,
                keys: &keys,
                standings: &OneAgency,
                projection: &mut index,
                now: NOW,
            };
            shelf.take(&mut desk, &mut batch, no, &run)?;
            Ok::<_, Broken>(batch)
        });
        let indexing = std::mem::take(&mut index.spent);
        stages.add("index", indexing);
        stages.add("judge", judging.saturating_sub(indexing));
        let batch = batch?;
        stages.time("store", || store.apply(batch))?;
        if flushed.elapsed() >= FLUSH_EVERY || n + 1 == frames.len() {
            stages.time("store", || store.flush())?;
            flushed = Instant::now();
        }
    }
    send(&mut stages, &store, &logbook)?;
    Ok(stages)
}

/// Reads all entries back from the log, and frames them.
fn send(stages: &mut Stages, store: &dyn Store, logbook: &Logbook) -> Result<(), StoreError> {
    let log = stages::log();
    let (mut next, end) = (0, logbook.head(&log).next);
    while next < end {
        let count = stages.time("send", || {
            let stretch = logbook.read(store, &log, next..end, SEGMENT_BYTES_MAX / 2)?;
            let Some(stretch) = stretch else { return Ok(0) };
            let (first, count) = (stretch.first, stretch.count);
            let (entries, boxes) = (stretch.entries, stretch.boxes);
            let (area, key) = ([0; 8], LogKey::of(&log));
            let frame = Frame::Run {
                area,
                key,
                author: None,
                knows: None,
                hops: None,
                left_out: false,
                first,
                count,
                entries,
                boxes,
            };
            std::hint::black_box(frame.encode());
            Ok::<_, StoreError>(count)
        })?;
        next += count.max(1) as u64;
    }
    Ok(())
}

fn frame(run: &VerifiedRun) -> Vec<u8> {
    let frame = Frame::Run {
        area: [0; 8],
        key: LogKey::of(run.log()),
        author: None,
        knows: None,
        hops: None,
        left_out: false,
        first: run.from().next,
        count: run.entries().len(),
        entries: run.bytes().to_vec(),
        boxes: run.entries().iter().filter_map(|entry| entry.key_box).flatten().collect(),
    };
    frame.encode()
}
