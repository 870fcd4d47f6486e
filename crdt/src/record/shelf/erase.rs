//! Erasing: what records and entries hold is destroyed, and where they stood stays known.
//!
//! To erase a record is two things. At once, in one batch, it is hidden for good: a *tombstone* says
//! which statement did it and when, the projection takes it out, and every entry of it is put into a
//! queue. Then, a bounded number in each batch, the queued entries are detached: payload and key box
//! leave the store, header and chain stay. The last of these batches asks the store to forget what it
//! removed or replaced, so that once it is flushed no copy is left where the medium allows that.
//!
//! What arrives later of an erased record is detached before it is stored ([`Shelf::screen`]). What
//! was stored before its epoch could be opened, and is of an erased record, goes into the queue when
//! it is opened. Peers that read nothing obey by the ids that the statement lists.
//!
//! The listing stays as it was: with the sealed headers, which open as before, it is what an auditor
//! follows. The sealed header of an entry tells its record, author, time and what it depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::super::genesis::record_id;
use super::disclosed;
use super::later;
use super::moved;
use super::open::Source;
use super::read_waiting;
use super::thread::{Place, Thread};
use super::{
    Census, Desk, ENTRIES_PER_LOG_MAX, Listed, Listing, Opened, Shelf, Standings, Work, entry_of,
};
use crate::attachment;
use crate::codec::{DecodeError, Reader, Write as _};
use crate::entry::run::{RunFault, VerifiedEntry, VerifiedRun};
use crate::entry::sealed::{EntryKind, LogCipher, SealedHeader};
use crate::epoch::EpochKeys;
use crate::id::{Class, EntryId, EpochId, LogId, RecordId, StatementId};
use crate::logbook::{LogNo, Logbook};
use crate::store::{Batch, Space, Store, StoreError, scan_keys};
use crate::time::WallTime;

/// Most entries that one batch detaches. Each may lie in a chunk of its own, of which the largest is
/// one entry at its bound.
pub(super) const DETACHED_PER_BATCH_MAX: usize = 256;
/// Waiting entries that are looked up at a time.
const WAITING_PER_SCAN: usize = 256;
/// Most entries whose headers one batch opens in search of those that a listing leaves out.
const SEARCHED_PER_BATCH_MAX: u64 = 256;

/// How a record stands, as statements about it have it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RecordState {
    /// Its content is hidden, until that is lifted.
    pub restricted: bool,
    /// It is not to be relied on.
    pub recalled: bool,
    /// The statement by which it is to be destroyed now.
    pub erased: Option<StatementId>,
}

impl RecordState {
    /// Whether its content may not be shown.
    #[must_use]
    pub const fn hides(&self) -> bool {
        self.restricted || self.erased.is_some()
    }
}

/// What statements say of records and their entries, at this peer.
pub trait Stewardship {
    /// How the record with this genesis, in this log, stands.
    fn state(&self, log: &LogId, genesis: &EntryId) -> RecordState;

    /// Whether a statement that this peer obeys names this entry, in this log, as erased: true for the
    /// genesis of every record whose [state](Stewardship::state) is erased.
    fn is_erased(&self, log: &LogId, entry: &EntryId) -> bool;
}

/// What is kept of an erased record: what an auditor asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tombstone {
    /// Its genesis.
    pub genesis: EntryId,
    /// By which statement.
    pub statement: StatementId,
    /// When this peer began to destroy it.
    pub at: WallTime,
}

impl Tombstone {
    /// `genesis (32) || statement (32) || when, ms (number)`.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(70);
        out.raw(&self.genesis.0).raw(&self.statement.0).number(self.at.0);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let genesis = EntryId(reader.array("genesis")?);
        let statement = StatementId(reader.array("statement")?);
        let at = WallTime(reader.number("when")?);
        reader.finish()?;
        Ok(Self { genesis, statement, at })
    }
}

impl Shelf {
    /// The shelf of a store: knows what is erased, and what is still to be done.
    pub fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let mut shelf = Self::default();
        let mut damaged = None;
        store.scan(Space::Erased, &[], &[], &mut |key, value| match (
            <[u8; 16]>::try_from(key),
            Tombstone::decode(value),
        ) {
            (Ok(record), Ok(tombstone)) => {
                shelf.erased.insert(RecordId(record), tombstone);
                ControlFlow::Continue(())
            }
            _ => {
                damaged = Some(crate::store::damaged(Space::Erased, key));
                ControlFlow::Break(())
            }
        })?;
        scan_keys(store, (Space::Erasing, &[]), &[], &mut |_| {
            shelf.erasing = true;
            ControlFlow::Break(())
        })?;
        shelf.load_turns(store)?;
        shelf.look_aside();
        shelf.moved = moved::load(store)?;
        shelf.later = later::load(store)?;
        damaged.map_or(Ok(shelf), Err)
    }

    /// What is kept of a record, if it is erased.
    #[must_use]
    pub fn tombstone(&self, record: &RecordId) -> Option<&Tombstone> {
        self.erased.get(record)
    }

    /// Takes out of a run what is erased, before the run is appended to its log: entries that
    /// statements name, and those of erased records. `None` if it may stay as it is; authority entries
    /// always do.
    pub fn screen(
        &self,
        keys: &BTreeMap<EpochId, EpochKeys>,
        standings: &dyn Standings,
        run: &VerifiedRun,
    ) -> Result<Option<VerifiedRun>, RunFault> {
        let log = run.log();
        if log.class == Class::Authority {
            return Ok(None);
        }
        let is_named = |entry: &&VerifiedEntry| standings.is_erased(log, &entry.id);
        let mut gone: BTreeSet<u64> =
            run.entries().iter().filter(is_named).map(|e| e.seq).collect();
        if gone.is_empty() && self.erased.is_empty() {
            return Ok(None);
        }
        let mut ciphers = BTreeMap::new();
        let mut headers = Vec::new();
        let mut records = BTreeSet::new();
        for entry in run.entries() {
            let Some(keys) = keys.get(&entry.epoch) else { continue };
            let cipher = ciphers
                .entry(entry.epoch)
                .or_insert_with(|| LogCipher::new(*log, entry.epoch, keys.clone()));
            let box_hash = entry.box_hash.as_ref();
            let opened = cipher.open_header(entry.seq, run.sealed(entry), box_hash);
            let Ok(header) = opened else { continue };
            let begins = gone.contains(&entry.seq)
                && header.kind == EntryKind::GENESIS
                && standings.state(log, &entry.id).erased.is_some();
            if begins || self.erased.contains_key(&header.record) {
                records.insert(header.record);
            }
            headers.push((entry.seq, header.record));
        }
        let of_erased = headers.iter().filter(|(_, record)| records.contains(record));
        gone.extend(of_erased.map(|(seq, _)| *seq));
        run.detached(|entry| gone.contains(&entry.seq))
    }

    /// Whether an entry, about to be taken, is of a record that is erased here: as far as its header
    /// can be opened.
    #[must_use]
    pub fn is_of_erased(
        &self,
        keys: &BTreeMap<EpochId, EpochKeys>,
        run: &VerifiedRun,
        entry: &VerifiedEntry,
    ) -> bool {
        let Some(keys) = keys.get(&entry.epoch).filter(|_| !self.erased.is_empty()) else {
            return false;
        };
        let cipher = LogCipher::new(*run.log(), entry.epoch, keys.clone());
        let header = cipher.open_header(entry.seq, run.sealed(entry), entry.box_hash.as_ref());
        header.is_ok_and(|header| self.erased.contains_key(&header.record))
    }

    /// Hides a record for good, and begins to destroy what it holds; [`Shelf::erase_more`] does the
    /// rest. False if it is not here, or is erased already. Takes a batch of its own.
    pub fn erase(
        &mut self,
        desk: &mut Desk<'_>,
        batch: &mut Batch,
        record: RecordId,
        genesis: EntryId,
        statement: StatementId,
    ) -> Result<bool, StoreError> {
        if self.erased.contains_key(&record) {
            return Ok(false);
        }
        attachment::forget(desk.store, batch, &record)?;
        let Some(mut listing) = Listing::load(desk.store, &record)? else { return Ok(false) };
        let tombstone = Tombstone { genesis, statement, at: desk.now };
        let Desk { store, logbook, keys, .. } = *desk;
        let source = Source { store, logbook, keys, run: None, recall: None };
        // What is disclosed is destroyed whether or not the rebase counts now.
        let thread = source.thread(record, listing.places.iter().copied(), &|_, _| true)?;
        let places = listing.places.iter().copied().chain(thread.places());
        self.bury(batch, record, places.collect(), tombstone);
        if let Some(log) = listing.places.first().and_then(|place| logbook.log(place.no))
            && std::mem::take(&mut listing.shown)
        {
            Census::change(store, batch, &log.compartment, 0, -1)?;
            batch.put(Space::Records, record.0, listing.encode());
        }
        desk.projection.erased(desk.store, batch, &record)?;
        desk.projection.finish(batch);
        Ok(true)
    }

    /// The same of a record that begins in a branch which is kept aside: what is there is gone through, and
    /// nothing of it needs to be listed here.
    pub fn erase_aside_record(
        &mut self,
        desk: &mut Desk<'_>,
        batch: &mut Batch,
        record: RecordId,
        genesis: EntryId,
        statement: StatementId,
    ) -> Result<(), StoreError> {
        let listed = self.erase(desk, batch, record, genesis, statement)?;
        if !listed && !self.erased.contains_key(&record) {
            let stone = Tombstone { genesis, statement, at: desk.now };
            self.bury(batch, record, BTreeSet::new(), stone);
        }
        Ok(())
    }

    /// Begins to destroy what these entries hold, of which no more may be known here than that they
    /// are in these places. Places of logs that are not here, and of authority logs, are passed over.
    pub fn erase_entries(
        &mut self,
        logbook: &Logbook,
        batch: &mut Batch,
        places: impl IntoIterator<Item = (LogId, u64)>,
    ) {
        for (log, seq) in places {
            let Some(state) = logbook.state(&log).filter(|_| log.class != Class::Authority) else {
                continue;
            };
            self.queue(batch, Place { no: state.no, seq });
        }
    }

    /// Whether [`Shelf::erase_more`] has work. Once it has none, and the batches until then are
    /// flushed, all that was to be destroyed is.
    #[must_use]
    pub fn has_erasures(&self, logbook: &Logbook) -> bool {
        self.erasing || self.aside.is_some() && logbook.is_branching()
    }

    /// Destroys what a bounded number of entries of one log hold. To be called, each time with a
    /// batch of its own that is applied, until [`Shelf::has_erasures`] says no. Returns which entries of a
    /// log were destroyed: they are [no holes](Logbook::close_holes) any more.
    pub fn erase_more(
        &mut self,
        desk: &mut Desk<'_>,
        batch: &mut Batch,
    ) -> Result<Option<(LogNo, BTreeSet<u64>)>, StoreError> {
        // The last of what is queued is what asks the store to forget.
        if desk.logbook.is_branching() && self.aside.is_some() {
            return self.erase_aside(desk, batch).map(|()| None);
        }
        self.aside = None;
        let (jobs, more) = next_jobs(desk.store)?;
        self.erasing = more;
        let mut seqs = BTreeSet::new();
        let Some(no) = jobs.first().map(|job| job.place.no) else { return Ok(None) };
        let log = desk.logbook.log(no).copied();
        for job in jobs {
            batch.remove(Space::Erasing, job.encode());
            let Some(log) = log else { continue };
            let Some(record) = job.record else {
                seqs.insert(job.place.seq);
                continue;
            };
            let end = desk.logbook.head(&log).next;
            let upto = end.min(job.place.seq.saturating_add(SEARCHED_PER_BATCH_MAX));
            for seq in job.place.seq..upto {
                let header = match open_header(desk, &log, seq) {
                    // What is put in its place is detached before it is stored.
                    Err(StoreError::Damaged { .. }) => continue,
                    header => header?,
                };
                seqs.extend(header.filter(|header| header.record == record).map(|_| seq));
            }
            if upto < end {
                let place = Place { no, seq: upto };
                batch.put(Space::Erasing, Job { place, record: Some(record) }.encode(), Vec::new());
                self.erasing = true;
            }
        }
        if let Some(log) = log {
            desk.logbook.detach(desk.store, batch, &log, &seqs)?;
        }
        batch.forget = !self.erasing;
        Ok(Some((no, seqs)))
    }

    /// Puts a tombstone and queues all that is listed, and the search for what is not.
    pub(super) fn bury(
        &mut self,
        batch: &mut Batch,
        record: RecordId,
        places: BTreeSet<Place>,
        stone: Tombstone,
    ) {
        drop(self.threads.take(&record));
        batch.put(Space::Erased, record.0, stone.encode());
        self.erased.insert(record, stone);
        self.look_aside();
        let mut of_log: BTreeMap<LogNo, (usize, u64)> = BTreeMap::new();
        for place in &places {
            let (count, last) = of_log.entry(place.no).or_default();
            *count += 1;
            *last = place.seq.max(*last);
            self.queue(batch, *place);
        }
        for (no, (count, last)) in of_log {
            if count >= ENTRIES_PER_LOG_MAX {
                let place = Place { no, seq: last.saturating_add(1) };
                batch.put(Space::Erasing, Job { place, record: Some(record) }.encode(), Vec::new());
            }
        }
    }

    pub(super) fn queue(&mut self, batch: &mut Batch, place: Place) {
        batch.put(Space::Erasing, Job { place, record: None }.encode(), Vec::new());
        self.erasing = true;
        self.look_aside();
    }
}

impl Work<'_, '_> {
    /// The statement by which an entry that begins a record asks for that to be destroyed.
    pub(super) fn erasure(&self, opened: &Opened) -> Option<Tombstone> {
        if opened.header.kind != EntryKind::GENESIS {
            return None;
        }
        let (genesis, at) = (opened.id, self.desk.now);
        let statement = self.desk.standings.state(&self.log, &genesis).erased?;
        Some(Tombstone { genesis, statement, at })
    }

    /// The statement by which a record is to be destroyed whose genesis was disclosed.
    pub(super) fn erasure_of(&self, thread: &Thread) -> Option<Tombstone> {
        let (genesis, log) = thread.genesis()?;
        let statement = self.desk.standings.state(&log, &genesis).erased?;
        Some(Tombstone { genesis, statement, at: self.desk.now })
    }

    /// Takes an entry of an erased record, or the one that shows that the record is.
    pub(super) fn take_erased(
        &mut self,
        shelf: &mut Shelf,
        opened: &Opened,
        mut listing: Listing,
        fresh: Option<Tombstone>,
    ) {
        let record = opened.header.record;
        let listed = listing.note(opened.place) != Listed::Beyond;
        if let Some(stone) = fresh {
            // No row of it can be there: a record is shown from its genesis on.
            shelf.bury(self.batch, record, listing.places.iter().copied().collect(), stone);
        }
        let of_run = self.run.and_then(|run| entry_of(run, opened.place.seq));
        let is_empty = of_run.is_some_and(|e| e.payload.is_none() && e.key_box.is_none());
        if !is_empty || self.desk.logbook.hole(&self.log, opened.place.seq).is_some() {
            shelf.queue(self.batch, opened.place);
        }
        if listed {
            self.turn(&mut listing, false);
        }
        self.listings.insert(record, listing);
    }
}

/// The record that begins at a place, if one does, whether or not it is erased. Where the epoch is
/// closed here, a record that discloses the entry may be bound to it.
pub fn record_at(desk: &Desk<'_>, log: &LogId, seq: u64) -> Result<Option<RecordId>, StoreError> {
    let Some(entry) = desk.logbook.entry(desk.store, log, seq)? else { return Ok(None) };
    let Some(header) = open_header(desk, log, seq)? else {
        let records = disclosed::records(desk.store, log, seq..seq.saturating_add(1))?;
        let bound = entry.box_hash.map(|hash| record_id(&log.digest(), &hash));
        return Ok(bound.filter(|record| records.contains(record)));
    };
    Ok((header.kind == EntryKind::GENESIS).then_some(header.record))
}

/// The record that begins at a place of the branch of a log that is kept aside, if one does and this device
/// has the keys.
pub fn record_aside(
    desk: &Desk<'_>,
    log: &LogId,
    seq: u64,
) -> Result<Option<RecordId>, StoreError> {
    let Some(entry) = desk.logbook.entry_aside(desk.store, log, seq)? else { return Ok(None) };
    let Some(keys) = desk.keys.get(&entry.epoch) else { return Ok(None) };
    let cipher = LogCipher::new(*log, entry.epoch, keys.clone());
    let header = cipher.open_header(seq, &entry.sealed, entry.box_hash.as_ref()).ok();
    Ok(header.filter(|header| header.kind == EntryKind::GENESIS).map(|header| header.record))
}

/// Where the entries of a record are that are listed here, whether or not it can be shown.
pub fn places_of(
    store: &dyn Store,
    logbook: &Logbook,
    record: &RecordId,
) -> Result<Vec<(LogId, u64)>, StoreError> {
    let listing = Listing::load(store, record)?;
    let places = listing.into_iter().flat_map(|listing| listing.places);
    Ok(places.filter_map(|place| Some((*logbook.log(place.no)?, place.seq))).collect())
}

/// The entry that begins a record, whether or not it is erased; `None` if it is not here.
pub fn genesis_of(desk: &Desk<'_>, record: &RecordId) -> Result<Option<EntryId>, StoreError> {
    let Some(listing) = Listing::load(desk.store, record)? else { return Ok(None) };
    // A record's id is bound to one log, in which the first such entry begins it.
    let places: BTreeSet<Place> = listing.places.into_iter().collect();
    for place in places {
        let Some(log) = desk.logbook.log(place.no).copied() else { continue };
        if record_at(desk, &log, place.seq)?.as_ref() == Some(record) {
            let entry = desk.logbook.entry(desk.store, &log, place.seq)?;
            return Ok(entry.map(|entry| entry.id));
        }
    }
    Ok(None)
}

/// Whether an entry that waits for an epoch's keys holds anything yet. Of which record it is nobody can
/// say before they come.
pub fn holds_waiting(
    store: &dyn Store,
    logbook: &Logbook,
    epoch: &EpochId,
) -> Result<bool, StoreError> {
    let mut from = Vec::new();
    loop {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        scan_keys(store, (Space::Waiting, &epoch.0), &from, &mut |key| {
            keys.push(key.to_vec());
            if keys.len() < WAITING_PER_SCAN {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        for key in &keys {
            let Ok((no, seq)) = read_waiting(key) else { continue };
            let Some(log) = logbook.log(no) else { continue };
            let holds = match logbook.entry(store, log, seq) {
                Err(StoreError::Damaged { .. }) => true,
                entry => entry?.is_some_and(|e| e.payload.is_some() || e.key_box.is_some()),
            };
            if holds {
                return Ok(true);
            }
        }
        let Some(last) = keys.pop().filter(|_| keys.len() + 1 >= WAITING_PER_SCAN) else {
            return Ok(false);
        };
        // The next key after it.
        from = last;
        from.push(0);
    }
}

fn open_header(desk: &Desk<'_>, log: &LogId, seq: u64) -> Result<Option<SealedHeader>, StoreError> {
    let Some(entry) = desk.logbook.entry(desk.store, log, seq)? else { return Ok(None) };
    let Some(keys) = desk.keys.get(&entry.epoch) else { return Ok(None) };
    let cipher = LogCipher::new(*log, entry.epoch, keys.clone());
    Ok(cipher.open_header(seq, &entry.sealed, entry.box_hash.as_ref()).ok())
}

/// What the queue holds: an entry to be detached; or, with a record, the position in a log from
/// which on entries of that record are to be looked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Job {
    place: Place,
    record: Option<RecordId>,
}

impl Job {
    /// `log number (4, big-endian) || seq (8, big-endian) || record (16)?`.
    fn encode(&self) -> Vec<u8> {
        let mut key = self.place.no.0.to_be_bytes().to_vec();
        key.raw(&self.place.seq.to_be_bytes());
        key.raw(self.record.as_ref().map_or(&[], |record| record.0.as_slice()));
        key
    }

    fn decode(key: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(key);
        let no = LogNo(u32::from_be_bytes(reader.array("log number")?));
        let seq = u64::from_be_bytes(reader.array("seq")?);
        let searches = reader.left() > 0;
        let record = searches.then(|| reader.array("record").map(RecordId)).transpose()?;
        reader.finish()?;
        Ok(Self { place: Place { no, seq }, record })
    }
}

/// The next jobs of one log, as many as one batch does, and whether there are others.
fn next_jobs(store: &dyn Store) -> Result<(Vec<Job>, bool), StoreError> {
    let mut jobs: Vec<Job> = Vec::new();
    let mut more = false;
    let mut damaged = None;
    scan_keys(store, (Space::Erasing, &[]), &[], &mut |key| {
        let Ok(job) = Job::decode(key) else {
            damaged = Some(crate::store::damaged(Space::Erasing, key));
            return ControlFlow::Break(());
        };
        let searches = jobs.iter().any(|job| job.record.is_some());
        let other = jobs.first().is_some_and(|first| first.place.no != job.place.no);
        more = searches || other || jobs.len() >= DETACHED_PER_BATCH_MAX;
        if more {
            return ControlFlow::Break(());
        }
        jobs.push(job);
        ControlFlow::Continue(())
    })?;
    damaged.map_or(Ok((jobs, more)), Err)
}
