//! Which records disclose an entry. A closed entry does not say what it is about; when it arrives,
//! or its log counts further or less far than before, the records are judged again that disclose it.
//!
//! For each log that a rebase discloses entries of, a row names those. Rows hold no keys: those are in
//! the rebase alone, which an erasure destroys.

use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};

use crate::codec::{DecodeError, Reader, Write as _};
use crate::hash::Digest;
use crate::id::{LogId, RecordId};
use crate::store::{Batch, Space, Store, StoreError, damaged};

use super::super::rebase::DISCLOSED_MAX;
use super::Opened;
use super::open::disclosures;
use super::thread::Place;

/// Notes what a rebase discloses, whether or not it counts now.
pub(super) fn note(batch: &mut Batch, opened: &Opened) {
    for (n, disclosure) in disclosures(opened).into_iter().flatten().enumerate() {
        let mut seqs = Vec::new();
        seqs.number(disclosure.entries.len() as u64);
        for (seq, _) in &disclosure.entries {
            seqs.number(*seq);
        }
        let key = key(&disclosure.log, opened.header.record, opened.place, n as u32);
        batch.put(Space::Disclosed, key, seqs);
    }
}

/// The records that disclose entries in a part of a log.
pub(super) fn records(
    store: &dyn Store,
    log: &LogId,
    span: Range<u64>,
) -> Result<BTreeSet<RecordId>, StoreError> {
    let mut records = BTreeSet::new();
    let mut outcome = Ok(());
    store.scan(Space::Disclosed, &log.digest(), &[], &mut |key, value| match read(key, value) {
        Ok((record, seqs)) => {
            if seqs.iter().any(|seq| span.contains(seq)) {
                records.insert(record);
            }
            ControlFlow::Continue(())
        }
        Err(_) => {
            outcome = Err(damaged(Space::Disclosed, key));
            ControlFlow::Break(())
        }
    })?;
    outcome.map(|()| records)
}

/// `log digest (32) || record (16) || the rebase's log number (4, big-endian) || its seq (8,
/// big-endian) || which of its disclosures (4, big-endian)`.
fn key(log: &LogId, record: RecordId, rebase: Place, n: u32) -> Vec<u8> {
    let mut key = log.digest().to_vec();
    key.raw(&record.0)
        .raw(&rebase.no.0.to_be_bytes())
        .raw(&rebase.seq.to_be_bytes())
        .raw(&n.to_be_bytes());
    key
}

/// A row's record, and `count (number) || seqs (numbers)`.
fn read(key: &[u8], value: &[u8]) -> Result<(RecordId, Vec<u64>), DecodeError> {
    let mut reader = Reader::new(key);
    let _: Digest = reader.array("log digest")?;
    let record = RecordId(reader.array("record")?);
    let mut reader = Reader::new(value);
    let count = reader.count(DISCLOSED_MAX, "disclosed entries")?;
    let mut seqs = Vec::with_capacity(count);
    for _ in 0..count {
        seqs.push(reader.number("seq")?);
    }
    reader.finish()?;
    Ok((record, seqs))
}
