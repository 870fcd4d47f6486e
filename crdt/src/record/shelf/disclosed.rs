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
use crate::store::{Batch, Scan, Space, Store, StoreError, scan_past_damage};

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
    let digest = log.digest();
    let scan: &Scan<'_> = &|from, visit| store.scan(Space::Disclosed, &digest, from, visit);
    scan_past_damage(scan, &[], &mut |key, value| {
        let Ok(record) = read_key(key) else { return ControlFlow::Continue(()) };
        // A record of which it cannot be read what it discloses may disclose any.
        let may = match value.ok().and_then(|value| read_seqs(value).ok()) {
            Some(seqs) => seqs.iter().any(|seq| span.contains(seq)),
            None => true,
        };
        if may {
            records.insert(record);
        }
        ControlFlow::Continue(())
    })?;
    Ok(records)
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

/// A row's record.
fn read_key(key: &[u8]) -> Result<RecordId, DecodeError> {
    let mut reader = Reader::new(key);
    let _: Digest = reader.array("log digest")?;
    Ok(RecordId(reader.array("record")?))
}

/// `count (number) || seqs (numbers)`.
fn read_seqs(value: &[u8]) -> Result<Vec<u64>, DecodeError> {
    let mut reader = Reader::new(value);
    let count = reader.count(DISCLOSED_MAX, "disclosed entries")?;
    let mut seqs = Vec::with_capacity(count);
    for _ in 0..count {
        seqs.push(reader.number("seq")?);
    }
    reader.finish()?;
    Ok(seqs)
}
