//! Detaching entries that are stored: their chunk is written anew without their payloads, and their
//! key boxes leave the space that is overwritten when a value is replaced.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::{Chunk, LogNo, Logbook, scan_chunks};
use crate::codec::{Reader, Write as _};
use crate::entry::run::ShortEntry;
use crate::epoch::{KEY_BOX_BYTES, KeyBox};
use crate::id::LogId;
use crate::store::{Batch, Space, Store, StoreError};

impl Logbook {
    /// Takes payload and key box from entries of a log. Positions that the log does not have, and
    /// entries that have neither, are passed over. Of a chunk that is damaged nothing stays. Returns how many
    /// entries lost something.
    ///
    /// The chunks are read from the store: what the batch already holds of this log is not seen, so
    /// a batch takes one call for a log. Every later [`Logbook::read`] forwards the detached form.
    pub fn detach(
        &self,
        store: &dyn Store,
        batch: &mut Batch,
        log: &LogId,
        seqs: &BTreeSet<u64>,
    ) -> Result<u64, StoreError> {
        let Some(state) = self.state(log) else { return Ok(0) };
        let line = self.line(log, &state);
        let at = line.then.map_or(line.end, |(at, _)| at);
        let (before, beyond) = (seqs.range(..at), seqs.range(at..line.end.max(at)));
        let mut detached = detach_in(store, batch, line.no, &before.copied().collect())?;
        if let Some((_, no)) = line.then {
            detached += detach_in(store, batch, no, &beyond.copied().collect())?;
        }
        Ok(detached)
    }
}

/// The same in the chunks of a number.
pub(super) fn detach_in(
    store: &dyn Store,
    batch: &mut Batch,
    no: LogNo,
    seqs: &BTreeSet<u64>,
) -> Result<u64, StoreError> {
    let mut detached = 0;
    let mut next = seqs.first().copied();
    while let Some(seq) = next {
        let mut beyond = None;
        let scanned = scan_chunks(store, no, seq, &mut |chunk| {
            detached += rewrite(store, batch, &chunk, seqs)?;
            beyond = chunk.end();
            Ok(ControlFlow::Break(()))
        });
        match scanned {
            // Nobody can take parts out of what cannot be read: all of it goes.
            Err(StoreError::Damaged { space: Space::Entries | Space::Boxes, key }) => {
                let last = key.get(4..).and_then(|last| last.try_into().ok());
                beyond = last.map(|last| u64::from_be_bytes(last).saturating_add(1));
                detached += seqs.range(seq..beyond.unwrap_or(seq).max(seq)).count() as u64;
                batch.remove(Space::Entries, key.clone());
                batch.remove(Space::Boxes, key);
            }
            scanned => scanned?,
        }
        next = beyond.and_then(|end| seqs.range(end.max(seq.saturating_add(1))..).next()).copied();
    }
    Ok(detached)
}

/// Writes a chunk anew, if any of these entries is in it and has anything to lose. Returns how many.
fn rewrite(
    store: &dyn Store,
    batch: &mut Batch,
    chunk: &Chunk<'_>,
    seqs: &BTreeSet<u64>,
) -> Result<u64, StoreError> {
    let damaged = || crate::store::damaged(Space::Entries, chunk.key);
    let old_boxes = chunk.boxes(store)?;
    let mut boxes = old_boxes.chunks_exact(KEY_BOX_BYTES);
    let mut kept_boxes = Vec::with_capacity(old_boxes.len());
    let mut value = chunk.preamble();
    let mut reader = Reader::new(chunk.entries);
    let mut detached = 0;
    for seq in chunk.head.next..chunk.end().ok_or_else(damaged)? {
        let mut short = ShortEntry::decode(&mut reader).map_err(|_| damaged())?;
        let key_box: Option<KeyBox> = if short.has_box {
            let salt = boxes.next().ok_or_else(damaged)?;
            Some(salt.try_into().map_err(|_| damaged())?)
        } else {
            None
        };
        if seqs.contains(&seq) && short.detach(key_box.as_ref()) {
            detached += 1;
        } else {
            kept_boxes.raw(key_box.as_ref().map_or(&[], |salt| salt.as_slice()));
        }
        short.encode(&mut value);
    }
    reader.finish().map_err(|_| damaged())?;
    if detached > 0 {
        batch.put(Space::Entries, chunk.key, value);
    }
    if kept_boxes.len() < old_boxes.len() {
        if kept_boxes.is_empty() {
            batch.remove(Space::Boxes, chunk.key);
        } else {
            batch.put(Space::Boxes, chunk.key, kept_boxes);
        }
    }
    Ok(detached)
}
