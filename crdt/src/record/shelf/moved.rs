//! What quarantine does to records: when the limit of a log moves, or the routes of its device, the
//! records that have entries in the span are judged again, and projected again.
//!
//! What is to be done is written down in the batch that moves the limit, so that a peer that stops
//! half-way goes on where it was. It is done in pieces: each walks the log's chunks once, opens the
//! sealed headers, and takes up each record that they are about once. Most records are no more than
//! a genesis; for those neither a payload nor a document is opened unless they come to count.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use crate::codec::{DecodeError, Reader as Bytes, Write as _};
use crate::entry::sealed::{EntryKind, SealedHeader};
use crate::hash::sha256;
use crate::id::{Class, RecordId};
use crate::logbook::{LogNo, StoredEntry};
use crate::store::{Batch, Space, Store, StoreError, damaged};

use super::later::PASS_WORK_MAX;
use super::thread::{ENTRY_WORK, Place};
use super::{Desk, Listing, Opened, Shelf, Work, disclosed};

/// Most entries that one batch walks over, and most bytes of geneses that it holds meanwhile, not
/// counting the last.
pub(super) const MOVED_PER_BATCH: usize = 1_024;
const MOVED_BYTES_PER_BATCH: usize = 4 * 1024 * 1024;
/// Of most records it is remembered that they were judged: about 2 MiB. Further ones are judged once
/// for each batch that comes by them, to the same answer.
const JUDGED_MAX: usize = 65_536;
/// What a log takes of which there is nothing to judge, and what an entry takes that is passed by, in
/// operations of documents.
const LOG_WORK: usize = 64;
const PASSED_WORK: usize = 2;

impl Shelf {
    /// A log's limit moves from one position to another, either way. To be called with the batch
    /// that makes it so; [`Shelf::judge_moved`] does the work, and until it is done projections
    /// show records as they were.
    pub fn limit_moved(&mut self, batch: &mut Batch, no: LogNo, from: u64, to: u64) {
        if from == to {
            return;
        }
        self.threads.clear();
        self.judged.clear();
        let (start, end) = (from.min(to), from.max(to));
        let span = self.moved.entry(no).or_insert(start..end);
        *span = span.start.min(start)..span.end.max(end);
        batch.put(Space::Meta, key(no), write(span));
    }

    /// What the routes of a log's device allow changes. As [`Shelf::limit_moved`], for the whole
    /// log.
    pub fn routes_moved(&mut self, batch: &mut Batch, no: LogNo) {
        self.limit_moved(batch, no, 0, u64::MAX);
    }

    /// Whether [`Shelf::judge_moved`] has work.
    #[must_use]
    pub fn has_moved(&self) -> bool {
        !self.moved.is_empty()
    }

    /// Judges the records of a bounded number of entries again whose standing changed, up to a bound of
    /// work. To be called, each time with a batch that is applied, until [`Shelf::has_moved`] says no.
    /// Returns how much work it was, in operations of documents.
    pub fn judge_moved(
        &mut self,
        desk: &mut Desk<'_>,
        batch: &mut Batch,
    ) -> Result<usize, StoreError> {
        let Some((no, span)) = self.moved.pop_first() else { return Ok(0) };
        let log = desk.logbook.log(no).copied().filter(|log| log.class != Class::Authority);
        let Some(log) = log else {
            batch.remove(Space::Meta, key(no));
            return Ok(LOG_WORK);
        };
        let mut work = Work::new(desk, batch, log, no, None);
        let (mut next, records) = work.walk(&span, MOVED_PER_BATCH)?;
        let mut records: Vec<_> = records.into_iter().collect();
        records.sort_by_key(|(record, found)| (found.first, *record));
        for (record, Found { first, genesis }) in records {
            if self.judged.contains(&record) {
                continue;
            }
            let remembers = self.judged.len() < JUDGED_MAX;
            if remembers && work.spent >= PASS_WORK_MAX {
                // The next piece walks from here again and passes over what is judged.
                next = Some(first);
                break;
            }
            let judged = work.judge_again(self, record, genesis);
            work.hide_if_damaged(record, judged)?;
            if remembers {
                self.judged.insert(record);
            }
        }
        let spent = work.finish(self)? + LOG_WORK;
        match next {
            Some(next) => {
                let rest = next..span.end;
                batch.put(Space::Meta, key(no), write(&rest));
                self.moved.insert(no, rest);
            }
            None => batch.remove(Space::Meta, key(no)),
        }
        if self.moved.is_empty() {
            self.judged.clear();
        }
        Ok(spent)
    }
}

/// What [`Shelf::limit_moved`] left to be done.
pub(super) fn load(store: &dyn Store) -> Result<BTreeMap<LogNo, Range<u64>>, StoreError> {
    let mut moved = BTreeMap::new();
    let mut outcome = Ok(());
    store.scan(Space::Meta, PREFIX, &[], &mut |key, value| match read(PREFIX, key, value) {
        Ok((no, span)) => {
            moved.insert(no, span);
            ControlFlow::Continue(())
        }
        Err(_) => {
            outcome = Err(damaged(Space::Meta, key));
            ControlFlow::Break(())
        }
    })?;
    outcome.map(|()| moved)
}

/// What a walk finds of a record.
pub(super) struct Found {
    /// The first position about it; the beginning of the walk if a rebase discloses what is about it.
    first: u64,
    /// The first genesis that the walk came by.
    pub(super) genesis: Option<FoundGenesis>,
}

/// A genesis, as a stored entry.
type FoundGenesis = (u64, SealedHeader, StoredEntry);

impl Work<'_, '_> {
    /// Goes over a part of the log. Returns where to go on, and which records its entries are about.
    pub(super) fn walk(
        &mut self,
        span: &Range<u64>,
        entries_max: usize,
    ) -> Result<(Option<u64>, BTreeMap<RecordId, Found>), StoreError> {
        let mut records: BTreeMap<RecordId, Found> = BTreeMap::new();
        let (mut next, mut entries, mut bytes) = (None, 0, 0);
        let mut unread = Vec::new();
        let (store, logbook, log) = (self.desk.store, self.desk.logbook, self.log);
        logbook.visit_past_damage(store, &log, span.start, &mut |seqs, entry| {
            let seq = seqs.start;
            if seq >= span.end {
                return ControlFlow::Break(());
            }
            let Ok(entry) = entry else {
                unread.push(seqs);
                return ControlFlow::Continue(());
            };
            if entries >= entries_max || bytes >= MOVED_BYTES_PER_BATCH {
                next = Some(seq);
                return ControlFlow::Break(());
            }
            entries += 1;
            if let Some(header) = self.header(entry.epoch, seq, entry.sealed(), entry.box_hash()) {
                let found = Found { first: seq, genesis: None };
                let genesis = &mut records.entry(header.record).or_insert(found).genesis;
                if genesis.is_none() && header.kind == EntryKind::GENESIS {
                    let stored = entry.stored();
                    bytes += stored.payload.as_ref().map_or(0, Vec::len);
                    *genesis = Some((seq, header, stored));
                }
            }
            ControlFlow::Continue(())
        })?;
        self.spent += entries * PASSED_WORK;
        if !unread.is_empty() {
            for record in self.listed_in(&unread)? {
                records.entry(record).or_insert(Found { first: span.start, genesis: None });
            }
        }
        let walked = span.start..next.unwrap_or(span.end);
        for record in disclosed::records(store, &log, walked)? {
            records.entry(record).or_insert(Found { first: span.start, genesis: None });
        }
        Ok((next, records))
    }

    /// Judges a record again from what is stored, and shows or removes it.
    pub(super) fn judge_again(
        &mut self,
        shelf: &mut Shelf,
        record: RecordId,
        genesis: Option<FoundGenesis>,
    ) -> Result<(), StoreError> {
        drop(shelf.threads.take(&record));
        self.spent += ENTRY_WORK;
        if shelf.erased.contains_key(&record) {
            return Ok(());
        }
        let listing = match self.listings.remove(&record) {
            Some(listing) => Some(listing),
            None => Listing::load(self.desk.store, &record)?,
        };
        let Some(mut listing) = listing else { return Ok(()) };
        let genesis = genesis.filter(|(seq, ..)| self.is_the_genesis(&listing, *seq));
        let settled = match genesis {
            // All that is in the record rests on it.
            Some((seq, ..)) if self.desk.standings.limit(&self.log) <= seq => {
                self.remove(record, &mut listing)?;
                true
            }
            Some(genesis) if listing.places.len() == 1 => {
                let opened = self.open_genesis(genesis);
                self.show_genesis(&opened, None, &mut listing)?
            }
            _ => false,
        };
        self.listings.insert(record, listing);
        if settled { Ok(()) } else { self.rebuild(shelf, record) }
    }

    /// Whether no other entry can begin the record. A record's id is bound to the log of its
    /// genesis, so that only an earlier entry of this log could.
    fn is_the_genesis(&self, listing: &Listing, seq: u64) -> bool {
        let here = Place { no: self.no, seq };
        listing.places.iter().all(|place| place.no != here.no || *place >= here)
    }

    fn open_genesis(&mut self, (seq, header, stored): FoundGenesis) -> Opened {
        let hash = sha256(&stored.sealed);
        let key_box = stored.key_box.as_ref();
        let payload = self.cipher(stored.epoch).and_then(|cipher| {
            cipher.open_payload(seq, (&header, &hash), key_box?, stored.payload.as_ref()?).ok()
        });
        Opened {
            place: Place { no: self.no, seq },
            log: self.log,
            epoch: stored.epoch,
            id: stored.id,
            header,
            payload,
            key_box: stored.key_box,
            disclosed: None,
        }
    }
}

/// Before the numbers of logs with work to be done, in [`Space::Meta`].
const PREFIX: &[u8] = b"moved/";

/// `prefix || log number (4, big-endian)`.
pub(super) fn key_in(prefix: &[u8], no: LogNo) -> Vec<u8> {
    [prefix, &no.0.to_be_bytes()].concat()
}

fn key(no: LogNo) -> Vec<u8> {
    key_in(PREFIX, no)
}

/// `start (number) || end (number)`.
pub(super) fn write(span: &Range<u64>) -> Vec<u8> {
    let mut out = Vec::new();
    out.number(span.start).number(span.end);
    out
}

pub(super) fn read(
    prefix: &[u8],
    key: &[u8],
    value: &[u8],
) -> Result<(LogNo, Range<u64>), DecodeError> {
    let mut reader = Bytes::new(key.get(prefix.len()..).unwrap_or_default());
    let no = LogNo(u32::from_be_bytes(reader.array("log number")?));
    reader.finish()?;
    let mut reader = Bytes::new(value);
    let span = reader.number("start")?..reader.number("end")?;
    reader.finish()?;
    Ok((no, span))
}
