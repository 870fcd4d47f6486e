//! Reading stretches of a branch: whole segments, up to the first value that is damaged.

use std::ops::{ControlFlow, Range};

use super::{CHUNK_BYTES, Chunk, Line, Stretch, chunk_key, chunks};
use crate::bounds::SEGMENT_BYTES_MAX;
use crate::codec::Reader;
use crate::entry::NO_EPOCH;
use crate::entry::run::ShortEntry;
use crate::entry::run::detach::SEGMENT_GROWTH_BYTES_MAX;
use crate::epoch::KEY_BOX_BYTES;
use crate::store::{Space, Store, StoreError, damaged};

/// Entries of a branch within a span of positions, as [`Logbook::read`](super::Logbook::read) gives them.
pub(super) fn read_line(
    store: &dyn Store,
    line: &Line,
    span: Range<u64>,
    bytes_max: usize,
) -> Result<Option<Stretch>, StoreError> {
    let (from, end) = (span.start, span.end);
    let mut reading = Reading::new(span, bytes_max);
    let mut ended = false;
    let read = chunks(store, line, from, &mut |chunk| {
        let flow = reading.take(store, &chunk)?;
        ended = flow.is_break();
        Ok(flow)
    });
    let next = reading.next();
    let missing = !ended && next < end;
    let read = read.and_then(|()| {
        let key = chunk_key(line.no_at(next), next);
        if missing { Err(damaged(Space::Entries, &key)) } else { Ok(()) }
    });
    match read {
        // What is whole before it is given; whoever goes on from there meets it.
        Err(StoreError::Damaged { .. }) if reading.whole.0 > 0 => Ok(reading.finish()),
        read => read.map(|()| reading.finish()),
    }
}

/// Collects whole segments from consecutive chunks.
struct Reading {
    span: Range<u64>,
    bytes_max: usize,
    stretch: Stretch,
    /// The stretch's length at the last signed entry: entries, bytes, boxes.
    whole: (usize, usize, usize),
    /// Whether an entry was passed whose payload or key box is gone.
    detached: bool,
}

impl Reading {
    fn new(span: Range<u64>, bytes_max: usize) -> Self {
        let first = span.start;
        let stretch = Stretch {
            first,
            epoch: NO_EPOCH,
            count: 0,
            entries: vec![],
            boxes: vec![],
            detached: false,
            left_out: false,
        };
        Self { span, bytes_max, stretch, whole: (0, 0, 0), detached: false }
    }

    fn take(
        &mut self,
        store: &dyn Store,
        chunk: &Chunk<'_>,
    ) -> Result<ControlFlow<()>, StoreError> {
        let damaged = || damaged(Space::Entries, chunk.key);
        let boxes = chunk.boxes(store)?;
        let mut boxes = boxes.chunks_exact(KEY_BOX_BYTES);
        let mut reader = Reader::new(chunk.entries);
        let first = chunk.head.next;
        let end = chunk.end().ok_or_else(damaged)?;
        let mut epoch = chunk.head.epoch;
        for seq in first..end {
            let start = reader.at();
            let short = ShortEntry::decode(&mut reader).map_err(|_| damaged())?;
            let salt = if short.has_box { Some(boxes.next().ok_or_else(damaged)?) } else { None };
            let before = epoch;
            epoch = short.epoch.unwrap_or(epoch);
            if seq < self.span.start {
                continue;
            }
            if self.stretch.count == 0 {
                self.stretch.epoch = before;
            }
            if seq != self.next() {
                return Err(self.missing(chunk));
            }
            if seq >= self.span.end {
                return Ok(ControlFlow::Break(()));
            }
            let bytes = chunk.entries.get(start..reader.at()).ok_or_else(damaged)?;
            let size = self.stretch.entries.len() + bytes.len();
            if size > self.bytes_max && self.whole.0 > 0 {
                return Ok(ControlFlow::Break(()));
            }
            let slack = CHUNK_BYTES + SEGMENT_GROWTH_BYTES_MAX + bytes.len();
            if size > SEGMENT_BYTES_MAX.max(self.bytes_max).saturating_add(slack) {
                return Err(damaged());
            }
            self.detached |= short.is_detached();
            self.stretch.count += 1;
            self.stretch.entries.extend_from_slice(bytes);
            self.stretch.boxes.extend_from_slice(salt.unwrap_or_default());
            if short.signature.is_some() {
                let Stretch { count, entries, boxes, .. } = &self.stretch;
                self.whole = (*count, entries.len(), boxes.len());
                self.stretch.detached = self.detached;
            }
        }
        chunk.finish(reader)?;
        Ok(ControlFlow::Continue(()))
    }

    /// The entry that comes next is not where it should be: before this chunk.
    fn missing(&self, chunk: &Chunk<'_>) -> StoreError {
        let no = chunk.key.get(..4).unwrap_or_default();
        damaged(Space::Entries, &[no, &self.next().to_be_bytes()].concat())
    }

    /// Position of the entry that comes next.
    const fn next(&self) -> u64 {
        self.span.start.saturating_add(self.stretch.count as u64)
    }

    fn finish(mut self) -> Option<Stretch> {
        let (count, entries, boxes) = self.whole;
        self.stretch.count = count;
        self.stretch.entries.truncate(entries);
        self.stretch.boxes.truncate(boxes);
        (count > 0).then_some(self.stretch)
    }
}
