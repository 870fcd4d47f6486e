//! Gaps: what cannot be read of a log any more, and filling them.
//!
//! A chunk that is damaged or gone takes its own entries and no others. What leads to its end is known
//! all the same: the chunk behind it names the entry before its own first, and the log's state the last of
//! all. An entry's id proves that of the entry before it. So whoever holds the log can give these entries
//! again, and nobody can give others.

use std::ops::{ControlFlow, Range};

use super::{Chunk, LogNo, Logbook, chunk_key, scan_chunks, write_chunks};
use crate::codec::Reader;
use crate::entry::run::{ShortEntry, VerifiedRun};
use crate::epoch::KEY_BOX_BYTES;
use crate::id::{EntryId, LogId};
use crate::store::{Batch, Scan, Space, Store, StoreError, scan_keys, scan_past_damage};
use crate::time::WallTime;

/// A stretch of a log that cannot be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Gap {
    /// The number of its chunks.
    no: LogNo,
    /// The positions.
    pub span: Range<u64>,
    /// The entry before its end.
    pub last: EntryId,
}

/// How far before a position the chunk is looked for that ends before it, at first: a chunk of 8 KiB
/// rarely has as many entries.
const LOOK_BACK: u64 = 512;

impl Logbook {
    /// The log of a damaged value, and one of the positions that it takes.
    #[must_use]
    pub fn position_of(&self, error: &StoreError) -> Option<(LogId, u64)> {
        let StoreError::Damaged { space: Space::Entries | Space::Boxes, key } = error else {
            return None;
        };
        let (no, last) = key.split_first_chunk::<4>()?;
        let log = self.log(LogNo(u32::from_be_bytes(*no)))?;
        Some((*log, u64::from_be_bytes(last.try_into().ok()?)))
    }

    /// The whole stretch around a position of a log that cannot be read; `None` if the entry there can be
    /// read, or is not held.
    pub fn gap(&self, store: &dyn Store, log: &LogId, seq: u64) -> Result<Option<Gap>, StoreError> {
        let Some(part) = self.part(log, seq) else { return Ok(None) };
        let mut back = LOOK_BACK;
        loop {
            let from = seq.saturating_sub(back).max(part.span.start);
            match part.look(store, from, seq)? {
                Look::Further => back = back.saturating_mul(8),
                Look::Sound => return Ok(None),
                Look::Gap(gap) => return Ok(Some(gap)),
            }
        }
    }

    /// Puts entries into a gap that was just found: those of a run that leads to its end. Returns from
    /// where on it is filled; `None` if the run does not lead there, and nothing is written.
    pub fn fill(
        &self,
        store: &dyn Store,
        batch: &mut Batch,
        gap: &Gap,
        run: &VerifiedRun,
        arrived: WallTime,
    ) -> Result<Option<u64>, StoreError> {
        let is_last = |seq: u64| seq.checked_add(1) == Some(gap.span.end);
        let leads = run.entries().iter().any(|entry| is_last(entry.seq) && entry.id == gap.last);
        if !leads {
            return Ok(None);
        }
        let span = gap.span.start.max(run.from().next)..gap.span.end;
        let prefix = gap.no.0.to_be_bytes();
        let begin = chunk_key(gap.no, span.start);
        for space in [Space::Entries, Space::Boxes, Space::Ids] {
            scan_keys(store, (space, &prefix), &begin, &mut |key| {
                if key >= chunk_key(gap.no, span.end).as_slice() {
                    return ControlFlow::Break(());
                }
                batch.remove(space, key);
                ControlFlow::Continue(())
            })?;
        }
        let first = span.start;
        let arrived = self.arrived_by(store, gap, run.log())?.map_or(arrived, |by| by.min(arrived));
        write_chunks(batch, gap.no, run, span, arrived);
        Ok(Some(first))
    }

    /// When what is in a gap was here at the latest: a log comes in order, so before what lies behind the
    /// gap. A branch that is fetched comes backwards, and says nothing of it.
    fn arrived_by(
        &self,
        store: &dyn Store,
        gap: &Gap,
        log: &LogId,
    ) -> Result<Option<WallTime>, StoreError> {
        if self.state(log).is_none_or(|state| state.no != gap.no) {
            return Ok(None);
        }
        let mut by = None;
        let scanned = scan_chunks(store, gap.no, gap.span.end, &mut |chunk| {
            by = Some(chunk.arrived);
            Ok(ControlFlow::Break(()))
        });
        match scanned {
            Err(StoreError::Damaged { .. }) | Ok(()) => Ok(by),
            Err(error) => Err(error),
        }
    }

    /// The chunks of one number that hold a position.
    fn part(&self, log: &LogId, seq: u64) -> Option<Part> {
        let state = self.state(log).filter(|state| state.holds(seq))?;
        let line = self.line(log, &state);
        let (begins, ends) = (state.begins.next, (state.head.next, state.head.id));
        let parts = line.then.zip(self.fetched.get(log));
        let (start, (end, last)) = match parts {
            Some(((at, _), _)) if at <= seq => (at, ends),
            Some(((at, _), fetched)) => (begins, (at, fetched.from.id)),
            None => (begins, ends),
        };
        Some(Part { no: line.no_at(seq), span: start..end, last })
    }
}

/// The chunks of one number, as far as a log goes along them.
struct Part {
    no: LogNo,
    span: Range<u64>,
    last: EntryId,
}

enum Look {
    /// The entry can be read.
    Sound,
    /// It cannot, and what else.
    Gap(Gap),
    /// It cannot, and where that begins lies further back.
    Further,
}

impl Part {
    /// Looks through the chunks from the one that holds `from` to the first whole one that does not end
    /// before `seq`.
    fn look(&self, store: &dyn Store, from: u64, seq: u64) -> Result<Look, StoreError> {
        let mut read_to = (from == self.span.start).then_some(from);
        let mut behind = Some((self.span.end, self.last));
        let mut outcome = Ok(());
        let prefix = self.no.0.to_be_bytes();
        let scan: &Scan<'_> = &|from, visit| store.scan(Space::Entries, &prefix, from, visit);
        scan_past_damage(scan, &chunk_key(self.no, from), &mut |key, value| {
            let chunk = value.ok().and_then(|value| Chunk::decode(key, value).ok());
            let Some(chunk) = chunk else { return ControlFlow::Continue(()) };
            match chunk.is_whole(store) {
                Ok(true) => {}
                Ok(false) => return ControlFlow::Continue(()),
                Err(error) => {
                    outcome = Err(error);
                    return ControlFlow::Break(());
                }
            }
            if chunk.head.next > seq {
                if chunk.head.next < self.span.end {
                    behind = Some((chunk.head.next, chunk.head.id));
                }
                return ControlFlow::Break(());
            }
            read_to = chunk.end();
            if read_to.is_none_or(|end| end > seq) {
                behind = None;
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        outcome?;
        Ok(match (behind, read_to) {
            (None, _) => Look::Sound,
            (Some(_), None) => Look::Further,
            (Some((end, last)), Some(start)) => {
                Look::Gap(Gap { no: self.no, span: start..end, last })
            }
        })
    }
}

impl Chunk<'_> {
    /// Whether all that it should hold can be read, and it lies where it belongs.
    fn is_whole(&self, store: &dyn Store) -> Result<bool, StoreError> {
        let boxes = match self.boxes(store) {
            Err(StoreError::Damaged { .. }) => return Ok(false),
            boxes => boxes?,
        };
        let mut reader = Reader::new(self.entries);
        let mut boxed = 0;
        for _ in 0..self.count {
            let Ok(entry) = ShortEntry::decode(&mut reader) else { return Ok(false) };
            boxed += usize::from(entry.has_box);
        }
        let last = self.end().and_then(|end| end.checked_sub(1));
        let there = last.and_then(|last| self.key.get(4..).map(|key| key == last.to_be_bytes()));
        Ok(there == Some(true)
            && self.count > 0
            && reader.finish().is_ok()
            && boxed * KEY_BOX_BYTES <= boxes.len())
    }
}
