//! Opening entries: with the keys of their epochs, or with what a rebase of their record discloses.
//!
//! Who has an epoch's keys opens its entries with those and nothing else. An entry whose epoch is
//! closed here opens by the first disclosure that fits, in the order of the rebases' ids; which one
//! that is follows from the entries that are held alone. One fits if its key opens the payload beside
//! its header, which names the record; a genesis is of the record that its key box makes.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use crate::change::strip::Implied;
use crate::document;
use crate::entry::run::{VerifiedEntry, VerifiedRun};
use crate::entry::sealed::{EntryKind, LogCipher, SealedHeader};
use crate::epoch::{EpochKeys, KeyBox};
use crate::hash::{Digest, sha256};
use crate::id::{EntryId, EpochId, LogId, RecordId};
use crate::logbook::{LogNo, Logbook, StoredEntry};
use crate::seal::Key;
use crate::store::{Store, StoreError};

use super::super::genesis::record_id;
use super::super::rebase::{self, Disclosure};
use super::prepare::change_time;
use super::thread::{Place, Thread};

/// Most rebases of one record in one log that disclose: the first so many. An author writes no more.
pub(super) const REBASES_PER_LOG_MAX: usize = 256;

/// An entry, opened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Opened {
    pub(crate) place: Place,
    pub(crate) log: LogId,
    pub(crate) epoch: EpochId,
    pub(crate) id: EntryId,
    pub(crate) header: SealedHeader,
    /// The payload in clear; `None` where it is gone or does not open.
    pub(crate) payload: Option<Vec<u8>>,
    /// The key box in it.
    pub(crate) key_box: Option<KeyBox>,
    /// The record key by which it opened, if a rebase disclosed it.
    pub(crate) disclosed: Option<Key>,
}

impl Opened {
    /// What its header says of the change in it. `log` is the digest of its log.
    pub(crate) fn implied(&self, log: &Digest) -> Implied {
        let SealedHeader { kind, record, wall, run, .. } = &self.header;
        let actor = document::actor(log, record, *run);
        Implied { actor, time: change_time(*wall), first: *kind == EntryKind::GENESIS }
    }
}

/// Where entries are: in the store, or in a run that is being taken.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) logbook: &'a Logbook,
    pub(super) keys: &'a BTreeMap<EpochId, EpochKeys>,
    pub(super) run: Option<(LogNo, &'a VerifiedRun)>,
    /// What a pass over many records has read; `None` where one is looked at.
    pub(super) recall: Option<&'a RefCell<Recall>>,
}

/// What a pass has read last. Entries of records that are judged one after the other lie side by side, and a
/// chunk is read, and its headers hashed, as a whole.
#[derive(Default)]
pub(super) struct Recall {
    /// Chunks, the latest last.
    chunks: VecDeque<(LogId, Vec<(u64, StoredEntry)>)>,
    ciphers: BTreeMap<(LogId, EpochId), Rc<LogCipher>>,
}

/// Most chunks that a pass recalls, and most ciphers.
const RECALLED_CHUNKS: usize = 16;
const RECALLED_CIPHERS: usize = 64;

impl Recall {
    fn entry(
        &mut self,
        source: &Source<'_>,
        log: &LogId,
        seq: u64,
    ) -> Result<Option<StoredEntry>, StoreError> {
        let within = |(of, entries): &&(LogId, Vec<(u64, StoredEntry)>)| {
            let first = entries.first().map_or(u64::MAX, |(first, _)| *first);
            of == log && entries.last().is_some_and(|(last, _)| (first..=*last).contains(&seq))
        };
        if !self.chunks.iter().rev().any(|chunk| within(&chunk)) {
            let entries = source.logbook.entries_around(source.store, log, seq)?;
            if self.chunks.len() >= RECALLED_CHUNKS {
                self.chunks.pop_front();
            }
            self.chunks.push_back((*log, entries));
        }
        let chunk = self.chunks.iter().rev().find(within);
        let found = chunk.and_then(|(_, entries)| {
            let at = entries.binary_search_by_key(&seq, |(seq, _)| *seq).ok()?;
            Some(entries.get(at)?.1.clone())
        });
        Ok(found)
    }

    fn cipher(&mut self, log: &LogId, epoch: EpochId, keys: &EpochKeys) -> Rc<LogCipher> {
        if self.ciphers.len() >= RECALLED_CIPHERS {
            self.ciphers.clear();
        }
        let known = self.ciphers.entry((*log, epoch));
        Rc::clone(known.or_insert_with(|| Rc::new(LogCipher::new(*log, epoch, keys.clone()))))
    }
}

impl Source<'_> {
    fn entry(&self, log: &LogId, place: Place) -> Result<Option<StoredEntry>, StoreError> {
        let in_run = self.run.filter(|(no, run)| *no == place.no && place.seq >= run.from().next);
        let Some((_, run)) = in_run else {
            return match self.recall {
                Some(recall) => recall.borrow_mut().entry(self, log, place.seq),
                None => self.logbook.entry(self.store, log, place.seq),
            };
        };
        Ok(entry_of(run, place.seq).map(|entry| StoredEntry {
            detached: entry.detached,
            id: entry.id,
            epoch: entry.epoch,
            sealed: run.sealed(entry).to_vec(),
            key_box: entry.key_box,
            box_hash: entry.box_hash,
            payload: run.payload(entry).map(<[u8]>::to_vec),
            signed: None,
        }))
    }

    /// The key box that opens an entry with this header.
    fn box_of(
        &self,
        log: &LogId,
        no: LogNo,
        header: &SealedHeader,
        own: Option<KeyBox>,
    ) -> Result<Option<KeyBox>, StoreError> {
        let Some(seq) = header.box_seq else { return Ok(own) };
        Ok(self.entry(log, Place { no, seq })?.and_then(|entry| entry.key_box))
    }

    /// The header of an entry, opened with its epoch's keys.
    pub(super) fn header(&self, place: Place) -> Result<Option<SealedHeader>, StoreError> {
        let Some(log) = self.logbook.log(place.no).copied() else { return Ok(None) };
        let Some(entry) = self.entry(&log, place)? else { return Ok(None) };
        let Some(keys) = self.keys.get(&entry.epoch) else { return Ok(None) };
        let cipher = LogCipher::new(log, entry.epoch, keys.clone());
        Ok(cipher.open_header(place.seq, &entry.sealed, entry.box_hash.as_ref()).ok())
    }

    /// Opens an entry with its epoch's keys.
    pub(super) fn open(&self, place: Place) -> Result<Option<Opened>, StoreError> {
        let Some(log) = self.logbook.log(place.no).copied() else { return Ok(None) };
        let Some(entry) = self.entry(&log, place)? else { return Ok(None) };
        let Some(keys) = self.keys.get(&entry.epoch) else { return Ok(None) };
        let cipher = match self.recall {
            Some(recall) => recall.borrow_mut().cipher(&log, entry.epoch, keys),
            None => Rc::new(LogCipher::new(log, entry.epoch, keys.clone())),
        };
        let Ok(header) = cipher.open_header(place.seq, &entry.sealed, entry.box_hash.as_ref())
        else {
            return Ok(None);
        };
        let key_box = self.box_of(&log, place.no, &header, entry.key_box)?;
        let hash = sha256(&entry.sealed);
        let payload = key_box.zip(entry.payload.as_ref()).and_then(|(key_box, payload)| {
            cipher.open_payload(place.seq, (&header, &hash), &key_box, payload).ok()
        });
        Ok(Some(opened(place, log, &entry, header, payload, None)))
    }

    /// Opens an entry with what a rebase of a record discloses of it.
    fn open_disclosed(
        &self,
        record: RecordId,
        place: Place,
        (log, key): (&LogId, &Key),
        header: &SealedHeader,
    ) -> Result<Option<Opened>, StoreError> {
        let Some(entry) = self.entry(log, place)? else { return Ok(None) };
        if self.keys.contains_key(&entry.epoch) {
            return Ok(None);
        }
        if !is_of(record, log, header, entry.box_hash) {
            return Ok(None);
        }
        Ok(open_payload(log, place.seq, key, header, &entry).map(|payload| {
            opened(place, *log, &entry, header.clone(), Some(payload), Some(key.clone()))
        }))
    }

    /// The payload of an opened entry, read again.
    pub(super) fn payload(&self, opened: &Opened) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(key) = &opened.disclosed else {
            return Ok(self.open(opened.place)?.and_then(|opened| opened.payload));
        };
        let entry = self.entry(&opened.log, opened.place)?;
        Ok(entry.and_then(|entry| {
            open_payload(&opened.log, opened.place.seq, key, &opened.header, &entry)
        }))
    }

    /// The record key of an opened entry.
    pub(super) fn record_key(&self, opened: &Opened) -> Result<Option<Key>, StoreError> {
        if let Some(key) = &opened.disclosed {
            return Ok(Some(key.clone()));
        }
        let Some(keys) = self.keys.get(&opened.epoch) else { return Ok(None) };
        let Opened { log, place, header, .. } = opened;
        let key_box = self.box_of(log, place.no, header, opened.key_box)?;
        Ok(key_box.and_then(|key_box| keys.record_key(log, &key_box)))
    }

    /// All entries of a record that open: those in these places, and what those rebases among them
    /// disclose that `counts` says yes to.
    pub(super) fn thread(
        &self,
        record: RecordId,
        places: impl Iterator<Item = Place>,
        counts: &dyn Fn(&LogId, u64) -> bool,
    ) -> Result<Thread, StoreError> {
        let mut thread = Thread::new(record);
        let mut rebases = Vec::new();
        for place in places {
            let opened = self.open(place)?.filter(|opened| opened.header.record == record);
            let Some(opened) = opened else { continue };
            if counts(&opened.log, place.seq) {
                rebases.extend(disclosures(&opened).map(|all| (place, opened.id, all)));
            }
            thread.add(opened);
        }
        rebases.sort_unstable_by_key(|(place, ..)| *place);
        let mut of_log: BTreeMap<LogNo, usize> = BTreeMap::new();
        rebases.retain(|(place, ..)| {
            let count = of_log.entry(place.no).or_default();
            *count += 1;
            *count <= REBASES_PER_LOG_MAX
        });
        rebases.sort_unstable_by_key(|(_, id, _)| *id);
        for Disclosure { log, key, entries } in rebases.into_iter().flat_map(|(.., all)| all) {
            let Some(state) = self.logbook.state(&log) else { continue };
            let no = state.no;
            for (seq, header) in entries {
                let place = Place { no, seq };
                if !thread.contains(&place)
                    && let Some(opened) =
                        self.open_disclosed(record, place, (&log, &key), &header)?
                {
                    thread.add(opened);
                }
            }
        }
        Ok(thread)
    }
}

/// What an entry discloses, if it is a rebase.
pub(super) fn disclosures(opened: &Opened) -> Option<Vec<Disclosure>> {
    let payload = opened.payload.as_ref().filter(|_| opened.header.kind == EntryKind::REBASE)?;
    rebase::decode(payload, opened.log.compartment, opened.header.record).ok()
}

/// An entry of a run. They follow each other without a gap.
pub(super) fn entry_of(run: &VerifiedRun, seq: u64) -> Option<&VerifiedEntry> {
    run.entries().get(usize::try_from(seq.checked_sub(run.from().next)?).ok()?)
}

fn opened(
    place: Place,
    log: LogId,
    entry: &StoredEntry,
    header: SealedHeader,
    payload: Option<Vec<u8>>,
    disclosed: Option<Key>,
) -> Opened {
    let StoredEntry { id, epoch, key_box, .. } = *entry;
    Opened { place, log, epoch, id, header, payload, key_box, disclosed }
}

fn open_payload(
    log: &LogId,
    seq: u64,
    key: &Key,
    header: &SealedHeader,
    entry: &StoredEntry,
) -> Option<Vec<u8>> {
    let hash = sha256(&entry.sealed);
    let payload = entry.payload.as_ref()?;
    LogCipher::open_payload_with(key, (log, &entry.epoch), seq, (header, &hash), payload).ok()
}

/// Whether what a rebase of the record says of an entry can be: a genesis is of the record that its key
/// box makes, and of the other kinds those are disclosed that are judged.
fn is_of(record: RecordId, log: &LogId, header: &SealedHeader, box_hash: Option<Digest>) -> bool {
    match header.kind {
        EntryKind::GENESIS => {
            box_hash.is_some_and(|hash| record_id(&log.digest(), &hash) == record)
        }
        EntryKind::CHANGE | EntryKind::REAUTHOR | EntryKind::LABEL | EntryKind::BROUGHT => true,
        _ => false,
    }
}
