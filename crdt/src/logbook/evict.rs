//! Eviction: a peer that holds what it cannot read lets go of the beginnings of logs.
//!
//! What goes is always a beginning, in whole chunks that end with a segment. The log's head stays, and
//! with it the chain: entries go on being taken and checked, and a digest says the same as before. From
//! where on entries are still here is [`LogState::begins`]; whoever lacks what lies before it is told so,
//! and does not wait for it here.
//!
//! A fork that is proven below that point, or whose far side is to go, leaves nothing to compare with.
//! Such a log begins anew: its number is given up with all its chunks, the proof stays, and what its
//! branches share is taken again from whoever has it.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::{LogNo, LogState, Logbook, scan_chunks};
use crate::entry::run::Head;
use crate::id::{EpochId, LogId};
use crate::record::shelf::{Place, waiting_key};
use crate::store::{Batch, Space, Store, StoreError};

/// Most chunks that one batch removes: about 2 MiB of entries, which are read for it.
const EVICTED_PER_BATCH: usize = 256;

/// What one call removed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Evicted {
    /// Bytes of entries and key boxes.
    pub bytes: u64,
    /// Whether nothing more before that position can go.
    pub is_over: bool,
}

impl Logbook {
    /// From where on entries of a log are here: 0 unless its beginning was let go of.
    #[must_use]
    pub fn begins(&self, log: &LogId) -> Head {
        self.state(log).map_or(Head::EMPTY, |state| state.begins)
    }

    /// Bytes of entries and key boxes of a log in the chunks from the one that holds a position on.
    pub fn stored_bytes(
        &self,
        store: &dyn Store,
        log: &LogId,
        from: u64,
    ) -> Result<u64, StoreError> {
        let mut bytes = 0;
        let Some(state) = self.state(log) else { return Ok(0) };
        scan_chunks(store, state.no, from, &mut |chunk| {
            bytes += (chunk.entries.len() + chunk.boxes(store)?.len()) as u64;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(bytes)
    }

    /// Removes the first entries of a log, up to a position at most and a bounded number of them: to be
    /// called, each time with a batch that is applied, until it is over or enough went. What waits for
    /// the keys of these entries goes with them. Of a forked log nothing beyond what its branches share
    /// goes.
    pub fn evict(
        &mut self,
        store: &dyn Store,
        batch: &mut Batch,
        log: &LogId,
        (upto, bytes_wanted): (u64, u64),
    ) -> Result<Evicted, StoreError> {
        let Some(state) = self.state(log) else {
            return Ok(Evicted { bytes: 0, is_over: true });
        };
        let upto = upto.min(state.shared.next);
        let mut going = Going::from(state.begins);
        let mut chunks = 0;
        scan_chunks(store, state.no, state.begins.next, &mut |chunk| {
            if chunk.end().is_none_or(|end| end > upto) || going.whole.bytes >= bytes_wanted {
                return Ok(ControlFlow::Break(()));
            }
            chunks += 1;
            going.bytes += (chunk.entries.len() + chunk.boxes(store)?.len()) as u64;
            let mut signed = false;
            let _whole = chunk.walk(store, log, &mut |seq, entry| {
                let (id, epoch) = (entry.id, entry.header.epoch);
                going.waiting.push((epoch, seq));
                going.last = Head { next: seq.saturating_add(1), id, epoch };
                signed = entry.short.signature.is_some();
                ControlFlow::Continue(())
            })?;
            going.keys.push(chunk.key.to_vec());
            if signed {
                going.note_whole();
            }
            Ok(if chunks < EVICTED_PER_BATCH {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            })
        })?;
        let Going { keys, waiting, whole, begins, .. } = going;
        for key in keys.into_iter().take(whole.keys) {
            for space in [Space::Entries, Space::Boxes, Space::Ids] {
                batch.remove(space, key.clone());
            }
        }
        for (epoch, seq) in waiting.into_iter().take(whole.entries) {
            batch.remove(Space::Waiting, waiting_key(&epoch, Place { no: state.no, seq }));
        }
        if whole.keys > 0 {
            self.cut_holes(batch, state.no, 0..begins.next);
            self.set(batch, &Arc::new(*log), LogState { begins, ..state });
        }
        let is_over = whole.keys == 0 || begins.next >= upto;
        Ok(Evicted { bytes: whole.bytes, is_over })
    }

    /// Gives up all that is held of a log that is proven to be forked: of it nothing is here but the
    /// proof. [`Logbook::clear_given_up`] removes the chunks. False if all numbers are used up.
    pub fn begin_anew(&mut self, batch: &mut Batch, log: &LogId) -> bool {
        let Some(state) = self.state(log) else { return false };
        let (Some(at), Some(no)) = (state.proven_at, self.next_no()) else { return false };
        self.give_up_all(batch, log, state.no);
        let fresh = LogState { proven_at: Some(at), forked_at: Some(at), ..LogState::new(no) };
        self.set(batch, &Arc::new(*log), fresh);
        true
    }

    /// Gives up the number of a log, and that of its second branch.
    pub(super) fn give_up_all(&mut self, batch: &mut Batch, log: &LogId, no: LogNo) {
        batch.remove(Space::Logs, no.0.to_be_bytes());
        self.cut_holes(batch, no, 0..u64::MAX);
        self.ids.remove(&no);
        let fetched = self.part_with_fetched(batch, log, no);
        for no in fetched.into_iter().chain([no]) {
            self.note_given_up(batch, no);
        }
    }
}

/// What one call finds to remove.
struct Going {
    keys: Vec<Vec<u8>>,
    waiting: Vec<(EpochId, u64)>,
    bytes: u64,
    last: Head,
    /// As far as segments are whole.
    whole: Whole,
    begins: Head,
}

struct Whole {
    keys: usize,
    entries: usize,
    bytes: u64,
}

impl Going {
    const fn from(begins: Head) -> Self {
        let whole = Whole { keys: 0, entries: 0, bytes: 0 };
        Self { keys: vec![], waiting: vec![], bytes: 0, last: begins, whole, begins }
    }

    fn note_whole(&mut self) {
        self.whole =
            Whole { keys: self.keys.len(), entries: self.waiting.len(), bytes: self.bytes };
        self.begins = self.last;
    }
}
