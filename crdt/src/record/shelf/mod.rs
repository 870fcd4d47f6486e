//! The shelf: from verified entries to records.
//!
//! For every record the store holds the list of its entries and nothing else; what the record says
//! follows from them. An entry is *materialised* when its dependencies are and it passes the gate;
//! the verdict is a pure function of the record's entries, whatever their order of arrival
//! (`thread`). A record that is no more than its genesis, as nearly all of an import are, is read
//! off its one change without opening a document.
//!
//! Which of them are quarantined the caller says ([`Standings`]); when that changes, the records
//! that it touches are judged again (`moved`).
//!
//! Documents are not kept: a small cache holds the threads that were used last (`cache`).
//!
//! `aside` says which records lack entries that stay with other peers, and takes those that come.
//!
//! `erase` destroys what records hold; `restate` shows them anew when statements about them change.

mod aside;
mod begun;
mod cache;
mod census;
mod disclosed;
mod erase;
mod hurt;
mod later;
mod listing;
mod moved;
mod open;
mod prepare;
mod read;
mod reauthor;
mod rebase;
mod restate;
#[cfg(test)]
mod tests;
mod thread;
mod turn;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};

use serde_json::{Map, Value};

use crate::codec::{DecodeError, Reader as Bytes};
use crate::entry::NO_EPOCH;
use crate::entry::run::{VerifiedEntry, VerifiedRun};
use crate::entry::sealed::{EntryKind, LogCipher, SealedHeader};
use crate::epoch::{EpochKeys, KeyBox};
use crate::hash::Digest;
use crate::id::{AgencyNo, Class, CompartmentId, DeviceId, EpochId, LogId, RecordId};
use crate::logbook::{LogNo, Logbook};
use crate::store::{Batch, Space, Store, StoreError, scan_keys};
use crate::time::WallTime;

use super::kind::Kind;
use super::label::Label;
use super::receipt::{self, Receipts};

pub use aside::{Aside, Gist};
use begun::Content;
pub use begun::{Beginning, Begun};
use cache::Cache;
pub use census::Census;
pub use erase::{RecordState, Stewardship, Tombstone};
pub use erase::{genesis_of, holds_waiting, places_of, record_aside, record_at};
pub(crate) use listing::Listing;
use listing::{ENTRIES_PER_LOG_MAX, Listed};
pub(crate) use open::Opened;
use open::{Recall, Source, entry_of};
pub use prepare::{Draft, DraftError, Prepared, Writing, Written, last_wall};
pub use read::{AsIf, Detail, EntryView, Quarantine, Reader, Verdict};
pub(crate) use thread::Place;
use thread::Thread;
use turn::Turn;
pub use turn::Turned;

/// What a record came to, after one of its entries arrived. For indexes and inboxes.
#[derive(Debug)]
pub struct RecordView<'a> {
    /// The record.
    pub record: RecordId,
    /// Rises with every change of what the record says here; not comparable between peers.
    pub version: u64,
    /// Where it is.
    pub compartment: CompartmentId,
    /// What it is about.
    pub kind: Kind,
    /// The most urgent class of its entries that count.
    pub class: Class,
    /// The agency whose device began it.
    pub origin: AgencyNo,
    /// The device that began it.
    pub device: DeviceId,
    /// The label that holds.
    pub label: &'a Label,
    /// Its properties.
    pub fields: &'a Map<String, Value>,
    /// Whether a field has concurrent values.
    pub conflicted: bool,
    /// Whether its content is hidden: then it has no fields here.
    pub restricted: bool,
    /// Whether it is not to be relied on.
    pub recalled: bool,
    /// When its author says it began.
    pub created: WallTime,
    /// When the first entry of it that opened came to this peer.
    pub arrived: WallTime,
}

/// Something built from records, kept in the same store in the same batch.
pub trait Projection {
    /// A record is new or has changed.
    fn record(
        &mut self,
        store: &dyn Store,
        batch: &mut Batch,
        view: &RecordView<'_>,
    ) -> Result<(), StoreError>;

    /// Nothing of a record counts any more, or not yet: it is not to be found. Its version is above
    /// that of all that was shown of it.
    fn removed(
        &mut self,
        store: &dyn Store,
        batch: &mut Batch,
        record: &RecordId,
    ) -> Result<(), StoreError>;

    /// A record is erased: nothing of it may stay, in any version of it.
    fn erased(
        &mut self,
        store: &dyn Store,
        batch: &mut Batch,
        record: &RecordId,
    ) -> Result<(), StoreError>;

    /// The last record of this batch was shown: write what was held back for it.
    fn finish(&mut self, batch: &mut Batch);
}

/// Builds nothing.
impl Projection for () {
    fn record(
        &mut self,
        _store: &dyn Store,
        _batch: &mut Batch,
        _view: &RecordView<'_>,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn removed(
        &mut self,
        _store: &dyn Store,
        _batch: &mut Batch,
        _record: &RecordId,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn erased(
        &mut self,
        _store: &dyn Store,
        _batch: &mut Batch,
        _record: &RecordId,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn finish(&mut self, _batch: &mut Batch) {}
}

/// What the authority logs say of devices and their logs, and of records. When a limit or an answer of
/// [`Standings::allows`] changes, the shelf is told ([`Shelf::limit_moved`],
/// [`Shelf::routes_moved`]).
pub trait Standings: Stewardship {
    /// The device's agency, as the compartment's coalition has it; `None` for a stranger.
    fn agency(&self, compartment: &CompartmentId, device: &DeviceId) -> Option<AgencyNo>;

    /// Position from which on entries of the log are quarantined; `u64::MAX` where all count.
    fn limit(&self, log: &LogId) -> u64;

    /// Whether one route of the log's device that counts allows its class, a record kind and an
    /// author's time together.
    fn allows(&self, log: &LogId, kind: Kind, wall: WallTime) -> bool;
}

/// What the shelf works with while it takes entries.
#[expect(missing_debug_implementations, reason = "holds trait objects of its caller")]
pub struct Desk<'a> {
    /// The store.
    pub store: &'a dyn Store,
    /// The logs.
    pub logbook: &'a Logbook,
    /// The epochs that this device can open.
    pub keys: &'a BTreeMap<EpochId, EpochKeys>,
    /// Who is whose.
    pub standings: &'a dyn Standings,
    /// What is built from the records.
    pub projection: &'a mut dyn Projection,
    /// Now.
    pub now: WallTime,
}

/// The records of a peer.
#[derive(Debug, Default)]
pub struct Shelf {
    threads: Cache,
    opened: Vec<EpochId>,
    /// What is erased: about 100 bytes each.
    erased: BTreeMap<RecordId, Tombstone>,
    /// Whether entries are queued to be detached.
    erasing: bool,
    /// Positions whose standing changed, by log.
    moved: BTreeMap<LogNo, Range<u64>>,
    /// Records that were judged again since a standing changed last.
    judged: BTreeSet<RecordId>,
    /// Positions that runs left for later, by log.
    later: BTreeMap<LogNo, Range<u64>>,
    stuck: reauthor::Stuck,
    /// Logs that go on along another branch.
    turns: BTreeMap<LogNo, Turn>,
    /// Where to go on through the branches that are kept aside, if they are to be gone through.
    aside: Option<Option<(LogId, u64)>>,
}

/// Most waiting entries opened in one batch.
const WAITING_PER_BATCH: usize = 1_024;

impl Shelf {
    /// Takes a verified run that was just appended to its log: opens what it can, judges it, and
    /// writes what follows into the batch.
    pub fn take(
        &mut self,
        desk: &mut Desk<'_>,
        batch: &mut Batch,
        no: LogNo,
        run: &VerifiedRun,
    ) -> Result<(), StoreError> {
        self.take_own(desk, batch, (no, run), &Begun::default())
    }

    /// The same with a run of this device's own, in which these records begin.
    pub fn take_own(
        &mut self,
        desk: &mut Desk<'_>,
        batch: &mut Batch,
        (no, run): (LogNo, &VerifiedRun),
        begun: &Begun,
    ) -> Result<(), StoreError> {
        let mut work = Work::new(desk, batch, *run.log(), no, Some(run));
        for entry in run.entries() {
            work.take(self, entry, begun)?;
        }
        work.finish(self).map(|_| ())
    }

    /// An epoch's keys came: its waiting entries can be opened now.
    pub fn epoch_opened(&mut self, epoch: EpochId) {
        self.opened.push(epoch);
        self.look_aside();
    }

    /// Whether [`Shelf::open_waiting`] has work.
    #[must_use]
    pub fn has_opened_epochs(&self) -> bool {
        !self.opened.is_empty()
    }

    /// Opens a bounded number of entries of one log that waited for an epoch. To be called, each
    /// time with a batch that is applied, until [`Shelf::has_opened_epochs`] says no. Returns how much
    /// work it was, in operations of documents.
    pub fn open_waiting(
        &mut self,
        desk: &mut Desk<'_>,
        batch: &mut Batch,
    ) -> Result<usize, StoreError> {
        let Some(epoch) = self.opened.last().copied() else { return Ok(0) };
        let mut log = None;
        let mut seqs = Vec::new();
        scan_keys(desk.store, (Space::Waiting, &epoch.0), &[], &mut |key| {
            let Ok((no, seq)) = read_waiting(key) else { return ControlFlow::Continue(()) };
            if *log.get_or_insert(no) != no || seqs.len() >= WAITING_PER_BATCH {
                return ControlFlow::Break(());
            }
            batch.remove(Space::Waiting, key.to_vec());
            seqs.push(seq);
            ControlFlow::Continue(())
        })?;
        let Some(no) = log else {
            self.opened.pop();
            return Ok(0);
        };
        let opened = seqs.len() * thread::ENTRY_WORK;
        let Some(log) = desk.logbook.log(no).copied() else { return Ok(opened) };
        let mut work = Work::new(desk, batch, log, no, None);
        for seq in seqs {
            work.take_stored(self, seq)?;
        }
        Ok(work.finish(self)? + opened)
    }

    /// Keeps so many documents at the most between uses, and builds the others anew. It changes what work is
    /// done and nothing else.
    pub fn keep_documents(&mut self, most: usize) {
        self.threads.keep_at_most(most);
    }

    /// How many records of a compartment there are here.
    pub fn census(&self, store: &dyn Store, id: CompartmentId) -> Result<Census, StoreError> {
        Census::load(store, &id)
    }

    /// The answers of a reader.
    pub fn reader<'a>(
        &'a mut self,
        store: &'a dyn Store,
        logbook: &'a Logbook,
        keys: &'a BTreeMap<EpochId, EpochKeys>,
        standings: &'a dyn Standings,
    ) -> Reader<'a> {
        Reader::new(self, store, logbook, keys, standings)
    }
}

/// A record's version; `None` where there is no such record. Costs one read.
pub fn version(store: &dyn Store, record: &RecordId) -> Result<Option<u64>, StoreError> {
    Ok(Listing::load(store, record)?.map(|listing| listing.version))
}

/// One pass over entries of one log.
struct Work<'w, 'd> {
    desk: &'w mut Desk<'d>,
    batch: &'w mut Batch,
    log: LogId,
    log_digest: Digest,
    no: LogNo,
    /// The run being taken: its entries are not in the store yet.
    run: Option<&'w VerifiedRun>,
    ciphers: BTreeMap<EpochId, LogCipher>,
    /// Listings that changed in this pass.
    listings: BTreeMap<RecordId, Listing>,
    /// Records that were not known before this pass, and by how many more or fewer are shown.
    fresh: u64,
    shown: i64,
    /// Listed entries that are to be judged in the threads of their records: all of a record at
    /// once, because each judgement costs as much as the record is large.
    pending: BTreeMap<RecordId, Vec<Opened>>,
    /// Bytes of their payloads.
    pending_bytes: usize,
    /// What judging has cost, and the positions that were left for later because of it.
    spent: usize,
    deferred: Option<Range<u64>>,
    /// Records whose threads are to be built anew.
    stale: BTreeSet<RecordId>,
    /// Where entries came, or were opened, of which rebases may have disclosed something.
    disclosable: Option<Range<u64>>,
    recall: RefCell<Recall>,
}

/// Bytes of payloads that wait in a pass before they are judged. A frame has less.
const PENDING_BYTES_MAX: usize = 1024 * 1024;

impl<'w, 'd> Work<'w, 'd> {
    fn new(
        desk: &'w mut Desk<'d>,
        batch: &'w mut Batch,
        log: LogId,
        no: LogNo,
        run: Option<&'w VerifiedRun>,
    ) -> Self {
        let log_digest = log.digest();
        Self {
            desk,
            batch,
            log,
            log_digest,
            no,
            run,
            ciphers: BTreeMap::new(),
            listings: BTreeMap::new(),
            fresh: 0,
            shown: 0,
            pending: BTreeMap::new(),
            pending_bytes: 0,
            spent: 0,
            deferred: None,
            stale: BTreeSet::new(),
            disclosable: None,
            recall: RefCell::default(),
        }
    }

    fn take(
        &mut self,
        shelf: &mut Shelf,
        entry: &VerifiedEntry,
        begun: &Begun,
    ) -> Result<(), StoreError> {
        let Some(run) = self.run else { return Ok(()) };
        if entry.epoch == NO_EPOCH {
            return self.take_clear(run.sealed(entry));
        }
        let place = Place { no: self.no, seq: entry.seq };
        if !self.desk.keys.contains_key(&entry.epoch) {
            self.batch.put(Space::Waiting, waiting_key(&entry.epoch, place), Vec::new());
            self.disclosable(entry.seq);
            return Ok(());
        }
        let known = begun.get(&entry.seq).filter(|_| entry.payload.is_some());
        let known = known.filter(|known| entry.key_box == Some(known.key_box));
        if let Some((beginning, opened)) =
            known.and_then(|known| Some((known, known.opened(place, self.log, entry)?)))
        {
            debug_assert_eq!(self.open(run, entry)?.as_ref(), Some(&opened));
            return self.judge(shelf, opened, Some(&beginning.content));
        }
        match self.open(run, entry) {
            Err(error) => {
                let (sealed, box_hash) = (run.sealed(entry), entry.box_hash.as_ref());
                let header = self.header(entry.epoch, entry.seq, sealed, box_hash);
                self.take_unopened(shelf, place, header, error)
            }
            opened => opened?.map_or(Ok(()), |opened| self.judge(shelf, opened, None)),
        }
    }

    /// Opens an entry of the run, whose epoch's keys are here.
    fn open(
        &mut self,
        run: &VerifiedRun,
        entry: &VerifiedEntry,
    ) -> Result<Option<Opened>, StoreError> {
        let (sealed, box_hash) = (run.sealed(entry), entry.box_hash.as_ref());
        let Some(header) = self.header(entry.epoch, entry.seq, sealed, box_hash) else {
            return Ok(None);
        };
        let own_box = entry.key_box;
        let key_box = match header.box_seq {
            None => own_box,
            Some(seq) => self.box_at(seq)?,
        };
        let payload = self.payload(entry, &header, run.payload(entry), key_box.as_ref());
        Ok(Some(Opened {
            place: Place { no: self.no, seq: entry.seq },
            log: self.log,
            epoch: entry.epoch,
            id: entry.id,
            header,
            payload,
            key_box: own_box,
            disclosed: None,
        }))
    }

    /// What rebases may disclose of this position decides something now, or nothing any more.
    fn disclosable(&mut self, seq: u64) {
        let span = self.disclosable.get_or_insert(seq..seq);
        *span = span.start.min(seq)..span.end.max(seq.saturating_add(1));
    }

    /// Keeps what a clear entry says, if this version knows it.
    fn take_clear(&mut self, clear: &[u8]) -> Result<(), StoreError> {
        let Ok(receipts) = Receipts::decode(clear) else { return Ok(()) };
        receipt::keep(self.desk.store, self.batch, &self.log.device, &receipts)
    }

    fn take_stored(&mut self, shelf: &mut Shelf, seq: u64) -> Result<(), StoreError> {
        let place = Place { no: self.no, seq };
        self.disclosable(seq);
        match self.source().open(place) {
            Err(error) => {
                let header = self.source().header(place).or_else(hurt::unless_damaged)?;
                self.take_unopened(shelf, place, header, error)
            }
            opened => opened?.map_or(Ok(()), |opened| self.judge(shelf, opened, None)),
        }
    }

    fn cipher(&mut self, epoch: EpochId) -> Option<&LogCipher> {
        let keys = self.desk.keys.get(&epoch)?;
        let log = self.log;
        Some(self.ciphers.entry(epoch).or_insert_with(|| LogCipher::new(log, epoch, keys.clone())))
    }

    fn header(
        &mut self,
        epoch: EpochId,
        seq: u64,
        sealed: &[u8],
        box_hash: Option<&Digest>,
    ) -> Option<SealedHeader> {
        self.cipher(epoch)?.open_header(seq, sealed, box_hash).ok()
    }

    fn payload(
        &mut self,
        entry: &VerifiedEntry,
        header: &SealedHeader,
        sealed: Option<&[u8]>,
        key_box: Option<&KeyBox>,
    ) -> Option<Vec<u8>> {
        let cipher = self.cipher(entry.epoch)?;
        cipher.open_payload(entry.seq, (header, &entry.sealed_hash), key_box?, sealed?).ok()
    }

    /// The key box of another entry of this log.
    fn box_at(&self, seq: u64) -> Result<Option<KeyBox>, StoreError> {
        if let Some(run) = self.run.filter(|run| seq >= run.from().next) {
            return Ok(entry_of(run, seq).and_then(|entry| entry.key_box));
        }
        let entry = self.desk.logbook.entry(self.desk.store, &self.log, seq)?;
        Ok(entry.and_then(|entry| entry.key_box))
    }

    /// `content`: what it says, where that is known.
    fn judge(
        &mut self,
        shelf: &mut Shelf,
        opened: Opened,
        content: Option<&Content>,
    ) -> Result<(), StoreError> {
        let record = opened.header.record;
        let listing = match self.listings.remove(&record) {
            Some(listing) => Some(listing),
            None => match Listing::load(self.desk.store, &record) {
                Err(error) => return self.take_unlisted(shelf, &opened, error),
                loaded => loaded?,
            },
        };
        let fresh = listing.is_none();
        self.fresh += u64::from(fresh);
        let mut listing = listing.unwrap_or_else(|| Listing::begin(self.desk.now));
        let erasure = self.erasure(&opened);
        if erasure.is_some() || shelf.erased.contains_key(&record) {
            self.take_erased(shelf, &opened, listing, erasure);
            return Ok(());
        }
        match listing.note(opened.place) {
            Listed::There => {}
            Listed::InsteadOfLast => drop(shelf.threads.take(&record)),
            Listed::Beyond => {
                self.listings.insert(record, listing);
                return Ok(());
            }
        }
        disclosed::note(self.batch, &opened);
        let closed = self.desk.standings.limit(&self.log) <= opened.place.seq;
        if closed && !shelf.threads.contains(&record) {
            // Nothing follows from it: it is listed, to be shown beside what counts.
        } else if !fresh || !self.show_genesis(&opened, content, &mut listing)? {
            self.pending_bytes += opened.payload.as_ref().map_or(0, Vec::len);
            self.pending.entry(record).or_default().push(opened);
        }
        self.listings.insert(record, listing);
        if self.pending_bytes > PENDING_BYTES_MAX { self.judge_pending(shelf) } else { Ok(()) }
    }

    /// The short way for a record that is no more than a genesis: gate, read off, project. False
    /// if that does not settle it.
    fn show_genesis(
        &mut self,
        opened: &Opened,
        content: Option<&Content>,
        listing: &mut Listing,
    ) -> Result<bool, StoreError> {
        let read = || Content::read(opened, &self.log_digest);
        debug_assert!(content.is_none() || content == read().as_ref());
        let read = if content.is_none() { read() } else { None };
        let Some(content) = content.or(read.as_ref()) else { return Ok(false) };
        let Opened { place, log, header, .. } = opened;
        let standings = self.desk.standings;
        if standings.limit(log) <= place.seq || !standings.allows(log, content.kind, header.wall) {
            return Ok(false);
        }
        let origin = self.desk.standings.agency(&self.log.compartment, &self.log.device);
        let state = self.desk.standings.state(&self.log, &opened.id);
        let hidden = Map::new();
        let fields = if state.hides() { &hidden } else { &content.fields };
        let view = RecordView {
            record: opened.header.record,
            version: self.turn(listing, true),
            compartment: self.log.compartment,
            kind: content.kind,
            class: self.log.class,
            origin: origin.unwrap_or_default(),
            device: self.log.device,
            label: &content.label,
            fields,
            conflicted: false,
            restricted: state.hides(),
            recalled: state.recalled,
            created: opened.header.wall,
            arrived: listing.arrived,
        };
        self.desk.projection.record(self.desk.store, self.batch, &view)?;
        Ok(true)
    }

    /// Judges what is pending, record by record, in the order of the log, as far as there is work
    /// left.
    fn judge_pending(&mut self, shelf: &mut Shelf) -> Result<(), StoreError> {
        self.pending_bytes = 0;
        let mut pending: Vec<_> = std::mem::take(&mut self.pending).into_iter().collect();
        pending.sort_by_key(|(_, fresh)| fresh.first().map(|opened| opened.place));
        for (record, fresh) in pending {
            if shelf.erased.contains_key(&record) || self.stale.contains(&record) {
                continue;
            }
            if self.spent >= later::PASS_WORK_MAX {
                self.defer(shelf, &record, &fresh);
                continue;
            }
            if let Some(mut listing) = self.listings.remove(&record) {
                let judged = self.judge_thread(shelf, record, &mut listing, fresh);
                self.listings.insert(record, listing);
                judged.or_else(hurt::past_damage)?;
            }
        }
        Ok(())
    }

    /// The long way: all entries of the record, judged together.
    fn judge_thread(
        &mut self,
        shelf: &mut Shelf,
        record: RecordId,
        listing: &mut Listing,
        fresh: Vec<Opened>,
    ) -> Result<(), StoreError> {
        if fresh.iter().any(|opened| opened.header.kind == EntryKind::REBASE) {
            self.stale.insert(record);
        }
        if self.stale.contains(&record) {
            return Ok(());
        }
        let fits = |thread: &Thread| fresh.iter().all(|opened| thread.fits(opened));
        let mut thread = match shelf.threads.take(&record).filter(fits) {
            Some(thread) => thread,
            None => {
                let except = fresh.iter().map(|opened| opened.place).collect();
                self.load_thread(record, listing, &except)?
            }
        };
        fresh.into_iter().for_each(|opened| thread.add(opened));
        let counts = self.evaluate(&mut thread)?;
        self.spent += thread.work();
        if thread.is_stale() {
            self.stale.insert(record);
            return Ok(());
        }
        let lacks_label = thread.lacks_label();
        if counts || lacks_label {
            let shown = self.show_thread(&thread, listing)?;
            if lacks_label && !shown {
                self.remove(record, listing)?;
            }
        }
        shelf.threads.keep(record, thread);
        Ok(())
    }

    /// Builds a thread anew, once all of this pass is listed; shows the record, or removes it.
    fn rebuild(&mut self, shelf: &mut Shelf, record: RecordId) -> Result<(), StoreError> {
        let Some(mut listing) = self.listings.remove(&record) else { return Ok(()) };
        let erased = shelf.erased.contains_key(&record);
        let built = if erased { Ok(()) } else { self.rebuild_listed(shelf, record, &mut listing) };
        self.listings.insert(record, listing);
        built
    }

    fn rebuild_listed(
        &mut self,
        shelf: &mut Shelf,
        record: RecordId,
        listing: &mut Listing,
    ) -> Result<(), StoreError> {
        let mut thread = self.load_thread(record, listing, &BTreeSet::new())?;
        self.evaluate(&mut thread)?;
        self.spent += thread.work();
        if let Some(stone) = self.erasure_of(&thread) {
            let places = listing.places.iter().copied().chain(thread.places());
            shelf.bury(self.batch, record, places.collect(), stone);
            self.turn(listing, false);
            return self.desk.projection.erased(self.desk.store, self.batch, &record);
        }
        if !self.show_thread(&thread, listing)? {
            self.remove(record, listing)?;
        }
        shelf.keep_noting_stuck(self.batch, thread);
        Ok(())
    }

    /// Shows a record no more, if it was ever shown.
    fn remove(&mut self, record: RecordId, listing: &mut Listing) -> Result<(), StoreError> {
        if listing.version > 0 {
            self.turn(listing, false);
            self.desk.projection.removed(self.desk.store, self.batch, &record)?;
        }
        Ok(())
    }

    fn evaluate(&self, thread: &mut Thread) -> Result<bool, StoreError> {
        let source = self.source();
        thread.evaluate(self.desk.standings, &mut |opened| source.payload(opened))
    }

    /// Projects what a thread says; false if there is nothing that counts.
    fn show_thread(&mut self, thread: &Thread, listing: &mut Listing) -> Result<bool, StoreError> {
        let Some(summary) = thread.summary(self.desk.standings) else { return Ok(false) };
        self.turn(listing, true);
        let view = summary.view(thread, listing);
        self.desk.projection.record(self.desk.store, self.batch, &view)?;
        Ok(true)
    }

    /// The record gets a new version, which is shown or not.
    fn turn(&mut self, listing: &mut Listing, shown: bool) -> u64 {
        self.shown += i64::from(shown) - i64::from(listing.shown);
        listing.shown = shown;
        listing.version += 1;
        listing.version
    }

    fn load_thread(
        &self,
        record: RecordId,
        listing: &Listing,
        except: &BTreeSet<Place>,
    ) -> Result<Thread, StoreError> {
        let places = listing.places.iter().copied().filter(|place| !except.contains(place));
        let standings = self.desk.standings;
        self.source().thread(record, places, &|log, seq| standings.limit(log) > seq)
    }

    const fn source(&self) -> Source<'_> {
        let Desk { store, logbook, keys, .. } = *self.desk;
        let run = match self.run {
            Some(run) => Some((self.no, run)),
            None => None,
        };
        Source { store, logbook, keys, run, recall: Some(&self.recall) }
    }

    /// Writes what follows; returns the work that was done.
    fn finish(mut self, shelf: &mut Shelf) -> Result<usize, StoreError> {
        self.judge_pending(shelf)?;
        let disclosable = self.disclosable.take();
        if let Some(span) = disclosable.clone() {
            for record in disclosed::records(self.desk.store, &self.log, span)? {
                self.stale.insert(record);
                if !self.listings.contains_key(&record)
                    && let Some(listing) = hurt::listing(self.desk.store, &record)?
                {
                    self.listings.insert(record, listing);
                }
            }
        }
        for record in std::mem::take(&mut self.stale) {
            if self.spent < later::PASS_WORK_MAX {
                self.rebuild(shelf, record).or_else(hurt::past_damage)?;
            } else {
                self.defer_stale(shelf, &record, disclosable.as_ref());
            }
        }
        if let Some(span) = self.deferred.take() {
            shelf.leave(self.batch, self.no, span);
        }
        self.desk.projection.finish(self.batch);
        Census::change(self.desk.store, self.batch, &self.log.compartment, self.fresh, self.shown)?;
        for (record, listing) in self.listings {
            self.batch.put(Space::Records, record.0, listing.encode());
        }
        Ok(self.spent)
    }
}

/// `epoch (32) || log number (4, big-endian) || seq (8, big-endian)`.
pub(crate) fn waiting_key(epoch: &EpochId, place: Place) -> Vec<u8> {
    let mut key = epoch.0.to_vec();
    key.extend(place.no.0.to_be_bytes());
    key.extend(place.seq.to_be_bytes());
    key
}

fn read_waiting(key: &[u8]) -> Result<(LogNo, u64), DecodeError> {
    let mut reader = Bytes::new(key);
    reader.take(32, "epoch")?;
    let no = LogNo(u32::from_be_bytes(reader.array("log number")?));
    let seq = u64::from_be_bytes(reader.array("seq")?);
    reader.finish()?;
    Ok((no, seq))
}
