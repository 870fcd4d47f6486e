//! The logbook: all logs of a peer, on a [`Store`].
//!
//! A log is kept as chunks of about 8 KiB of entries in short form, each chunk under the log's
//! local number and the seq of its *last* entry, so that one forward scan finds the chunk that
//! holds a position. Key boxes of a chunk lie under the same key in a space of their own. What is
//! resident is one [`LogState`] per log, never per entry.
//!
//! - [`find`]: from an entry's id to its place, by the beginnings of all ids.
//! - `excess`: devices with too many incarnations.
//! - `detach`: entries lose payload and key box, and stay in their chain.
//! - [`visit`]: by the chunk, and past what is damaged.
//! - `read`: stretches to be sent, up to what is damaged.
//! - [`gap`]: what cannot be read any more, and filling it.
//! - [`holes`]: entries whose payload stays elsewhere.
//! - [`evict`]: the beginnings of logs are let go of.
//! - `written`: how much each device wrote.
//! - [`fetched`]: a second branch of a forked log, and which of the two the log goes on along.

mod detach;
pub mod evict;
mod excess;
pub mod fetched;
pub mod find;
pub mod gap;
pub mod holes;
mod read;
mod state;
pub mod visit;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use crate::bounds::SEGMENT_ENTRIES_MAX;
use crate::codec::{DecodeError, Reader, Write as _};
use crate::entry::Header;
use crate::entry::fork::{Branch, ForkProof, SignedHeader};
use crate::entry::run::{Head, ShortEntry, UnverifiedRun, VerifiedRun};
use crate::epoch::{KEY_BOX_BYTES, KeyBox};
use crate::hash::Digest;
use crate::id::{Class, CompartmentId, DeviceId, EntryId, EpochId, Incarnation, LogId};
use crate::store::{Batch, Space, Store, StoreError};
use crate::time::WallTime;

use fetched::Fetched;
use read::read_line;
use state::{Kept, read_head, read_state};
pub use state::{LogNo, LogState};

/// Where a chunk is closed. Small enough that one read is cheap, large enough that a store's cost
/// per value is shared by a dozen entries.
const CHUNK_BYTES: usize = 8 * 1024;

/// All logs of a peer.
#[derive(Debug, Default)]
pub struct Logbook {
    /// Ids of logs are long, and lie in several maps: one copy of each.
    logs: BTreeMap<Arc<LogId>, Kept>,
    ids: BTreeMap<LogNo, Arc<LogId>>,
    /// Devices with too many incarnations, and where.
    excesses: BTreeSet<(CompartmentId, DeviceId)>,
    /// Second branches of forked logs.
    fetched: BTreeMap<LogId, Fetched>,
    /// The numbers of branches that were given up and are not removed yet.
    given_up: BTreeSet<LogNo>,
    /// Bytes that each incarnation of a device wrote to logs of records in a compartment.
    written: BTreeMap<(CompartmentId, DeviceId, Incarnation), u64>,
    /// Entries whose payload stays elsewhere.
    holes: holes::Holes,
}

/// Where the chunks of one branch of a log lie: those of a number, from a position on those of another.
#[derive(Clone, Copy, Debug)]
struct Line {
    no: LogNo,
    then: Option<(u64, LogNo)>,
    end: u64,
}

impl Line {
    /// The number of the chunks that hold a position.
    fn no_at(&self, seq: u64) -> LogNo {
        self.then.filter(|(at, _)| *at <= seq).map_or(self.no, |(_, no)| no)
    }
}

/// A stretch of a log, as a sender forwards it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stretch {
    /// The head that it continues.
    pub first: u64,
    /// The epoch of the entry before.
    pub epoch: EpochId,
    /// How many entries.
    pub count: usize,
    /// The entries in short form.
    pub entries: Vec<u8>,
    /// Their key boxes.
    pub boxes: Vec<u8>,
    /// Whether the payload or the key box of any of them is gone.
    pub detached: bool,
    /// Whether payloads are left out that their holder may have: holes of ours, or what the receiver does not
    /// want.
    pub left_out: bool,
}

/// One stored entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredEntry {
    /// Its id.
    pub id: EntryId,
    /// Its epoch.
    pub epoch: EpochId,
    /// The sealed header, or the statement.
    pub sealed: Vec<u8>,
    /// The key box, where present.
    pub key_box: Option<KeyBox>,
    /// The hash of the key box, present or destroyed.
    pub box_hash: Option<Digest>,
    /// The payload, where present.
    pub payload: Option<Vec<u8>>,
    /// Whether payload or key box are gone that its author wrote.
    pub detached: bool,
    /// The signed header, where the entry is signed.
    pub signed: Option<SignedHeader>,
}

impl Logbook {
    /// Reads the logs' states. Fails on a damaged store, never panics.
    pub fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let mut book = Self::default();
        let mut damaged = None;
        store.scan(Space::Logs, &[], &[], &mut |key, value| match read_state(key, value) {
            Ok((log, state)) => {
                book.count_written(&log, 0, state.written);
                let log = Arc::new(log);
                book.ids.insert(state.no, Arc::clone(&log));
                book.logs.insert(log, state.into());
                ControlFlow::Continue(())
            }
            Err(_) => {
                damaged = Some(crate::store::damaged(Space::Logs, key));
                ControlFlow::Break(())
            }
        })?;
        book.load_excesses(store)?;
        book.load_fetched(store)?;
        book.load_holes(store)?;
        damaged.map_or(Ok(book), Err)
    }

    /// A log's state.
    #[must_use]
    pub fn state(&self, log: &LogId) -> Option<LogState> {
        self.logs.get(log).map(Kept::state)
    }

    /// A log's head; the empty one if there is no such log.
    #[must_use]
    pub fn head(&self, log: &LogId) -> Head {
        self.logs.get(log).map_or(Head::EMPTY, |state| *state.head)
    }

    /// The same as it is kept.
    #[must_use]
    pub fn shared_head(&self, log: &LogId) -> Option<&Arc<Head>> {
        self.logs.get(log).map(|state| &state.head)
    }

    /// The log of a number.
    #[must_use]
    pub fn log(&self, no: LogNo) -> Option<&LogId> {
        self.ids.get(&no).map(|log| &**log)
    }

    /// All logs, by compartment, then class.
    pub fn logs(&self) -> impl Iterator<Item = (&LogId, LogState)> {
        self.logs.iter().map(|(log, kept)| (&**log, kept.state()))
    }

    /// The logs of a compartment, most urgent class first.
    pub fn logs_of(&self, id: CompartmentId) -> impl Iterator<Item = (&LogId, LogState)> {
        self.kept_of(id).map(|(log, kept)| (&**log, kept.state()))
    }

    /// Their ids, as they are kept.
    pub fn ids_of(&self, id: CompartmentId) -> impl Iterator<Item = &Arc<LogId>> {
        self.kept_of(id).map(|(log, _)| log)
    }

    /// A log's id as it is kept.
    #[must_use]
    pub fn id_of(&self, log: &LogId) -> Option<&Arc<LogId>> {
        self.logs.get_key_value(log).map(|(log, _)| log)
    }

    fn kept_of(&self, id: CompartmentId) -> impl Iterator<Item = (&Arc<LogId>, &Kept)> {
        let first = LogId {
            compartment: id,
            class: Class::Authority,
            device: DeviceId([0; 32]),
            incarnation: Incarnation(0),
        };
        self.logs.range(first..).take_while(move |(log, _)| log.compartment == id)
    }

    /// Puts a verified run behind its log's head, with when it came. The caller applies the batch, and lets nobody see
    /// the new state before it is flushed. Returns the log's number, or `None` when the run does
    /// not continue the log as it is now, goes beyond a proven fork, or all numbers are used up; then
    /// nothing is written.
    pub fn append(
        &mut self,
        batch: &mut Batch,
        run: &VerifiedRun,
        arrived: WallTime,
    ) -> Option<LogNo> {
        let state = match self.state(run.log()) {
            Some(state) => state,
            None => LogState::new(self.next_no()?),
        };
        let beyond = state.proven_at.is_some_and(|at| run.to().next > at);
        if state.head != *run.from() || beyond {
            return None;
        }
        write_chunks(batch, state.no, run, run.from().next..run.to().next, arrived);
        let written = state.written.saturating_add(run.written());
        let state = LogState { head: *run.to(), shared: *run.to(), written, ..state };
        self.set_ending(batch, run.shared_log(), state, Arc::clone(run.shared_to()));
        Some(state.no)
    }

    /// Keeps a proven fork, of a log that is not here yet, too: nothing from there on is appended to
    /// the log any more; what is stored stays. Returns whether it is lower than what was proven.
    pub fn fork(
        &mut self,
        store: &dyn Store,
        batch: &mut Batch,
        proof: &ForkProof,
    ) -> Result<bool, StoreError> {
        let log = proof.log();
        let at = proof.seq();
        let mut state = self.state(log);
        if state.and_then(|state| state.proven_at).is_some_and(|known| known <= at) {
            return Ok(false);
        }
        if let Some(LogState { no, .. }) = state.filter(|state| at < state.begins.next) {
            // What the branches share is not here to be found.
            if self.next_no().is_none() {
                return Ok(false);
            }
            self.give_up_all(batch, log, no);
            state = None;
        }
        let Some(state) = state.or_else(|| self.next_no().map(LogState::new)) else {
            return Ok(false);
        };
        let (forked_at, shared) = self.shared_before(store, log, &state, at)?;
        batch.put(Space::Proofs, log.encode(), proof.encode());
        let forked = LogState { forked_at: Some(forked_at), proven_at: Some(at), shared, ..state };
        self.set(batch, &Arc::new(*log), forked);
        Ok(true)
    }

    /// From where on entries do not count that are forked at a position, and where what all branches share
    /// ends.
    fn shared_before(
        &self,
        store: &dyn Store,
        log: &LogId,
        state: &LogState,
        at: u64,
    ) -> Result<(u64, Head), StoreError> {
        if state.head.next <= at {
            return Ok((at, state.head));
        }
        let shared = self.segment_end(store, log, state.begins, at)?;
        Ok((shared.next, shared))
    }

    /// Where the last whole segment ends that lies before a position that is held.
    fn segment_end(
        &self,
        store: &dyn Store,
        log: &LogId,
        begins: Head,
        at: u64,
    ) -> Result<Head, StoreError> {
        let mut end = begins;
        let from = at.saturating_sub(SEGMENT_ENTRIES_MAX as u64);
        self.walk(store, log, from, &mut |seq, entry| {
            if seq >= at {
                return ControlFlow::Break(());
            }
            if entry.short.signature.is_some() {
                let Walked { id, header, .. } = &entry;
                end = Head { next: seq.saturating_add(1), id: *id, epoch: header.epoch };
            }
            ControlFlow::Continue(())
        })?;
        Ok(end)
    }

    /// The number of a new log; `None` if there is none left.
    fn next_no(&self) -> Option<LogNo> {
        let last = self.ids.keys().next_back().max(self.given_up.last());
        last.map_or(Some(0), |no| no.0.checked_add(1)).map(LogNo)
    }

    /// The proof of a log's fork, encoded, where there is one.
    pub fn proof(&self, store: &dyn Store, log: &LogId) -> Result<Option<Vec<u8>>, StoreError> {
        store.get(Space::Proofs, &log.encode())
    }

    fn set(&mut self, batch: &mut Batch, log: &Arc<LogId>, state: LogState) {
        let ends = self.shared_head(log).filter(|known| ***known == state.head).cloned();
        self.set_ending(batch, log, state, ends.unwrap_or_else(|| Arc::new(state.head)));
    }

    fn set_ending(
        &mut self,
        batch: &mut Batch,
        log: &Arc<LogId>,
        state: LogState,
        ends: Arc<Head>,
    ) {
        batch.put(Space::Logs, state.no.0.to_be_bytes(), state.encode(log));
        let before = self.state(log).map_or(0, |state| state.written);
        self.count_written(log, before, state.written);
        let log = Arc::clone(self.id_of(log).unwrap_or(log));
        self.ids.insert(state.no, Arc::clone(&log));
        self.logs.insert(log, state.kept(ends));
    }

    /// Entries of a log from `from` within a span of positions, in whole segments: as many as fit
    /// `bytes_max` and come before what is damaged, at least one segment. `None` if there are none, or not
    /// any more. The span must begin where a segment does.
    pub fn read(
        &self,
        store: &dyn Store,
        log: &LogId,
        span: Range<u64>,
        bytes_max: usize,
    ) -> Result<Option<Stretch>, StoreError> {
        let from = span.start;
        let Some(state) = self.state(log).filter(|state| state.holds(from)) else {
            return Ok(None);
        };
        let end = span.end.min(state.head.next);
        let line = self.line(log, &state);
        let stretch = read_line(store, &line, from..end, bytes_max)?;
        Ok(stretch.map(|stretch| {
            let span = from..from.saturating_add(stretch.count as u64);
            Stretch { left_out: self.has_holes(state.no, span), ..stretch }
        }))
    }

    /// One entry; `None` beyond the log's end, and before where it begins here.
    pub fn entry(
        &self,
        store: &dyn Store,
        log: &LogId,
        seq: u64,
    ) -> Result<Option<StoredEntry>, StoreError> {
        let Some(state) = self.state(log).filter(|state| state.holds(seq)) else {
            return Ok(None);
        };
        entry_on(store, log, &self.line(log, &state), seq).map(Some)
    }

    /// Visits the entries of a log in order, from a position on, as they are stored.
    pub fn entries(
        &self,
        store: &dyn Store,
        log: &LogId,
        from: u64,
        visit: &mut dyn FnMut(u64, StoredEntry) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.visit(store, log, from, &mut |seq, entry| visit(seq, entry.stored()))
    }

    /// Visits the entries of a log in order, from a position on.
    pub(crate) fn visit(
        &self,
        store: &dyn Store,
        log: &LogId,
        from: u64,
        visit: &mut dyn FnMut(u64, Passed<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.walk(store, log, from, &mut |seq, walked| {
            if seq < from {
                return ControlFlow::Continue(());
            }
            visit(seq, Passed { epoch: walked.header.epoch, walked })
        })
    }

    /// Visits the entries of a log in order, from the beginning of the chunk that holds `from`.
    fn walk(
        &self,
        store: &dyn Store,
        log: &LogId,
        from: u64,
        visit: &mut dyn FnMut(u64, Walked<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let Some(state) = self.state(log).filter(|state| from < state.head.next) else {
            return Ok(());
        };
        let line = self.line(log, &state);
        chunks(store, &line, from, &mut |chunk| chunk.walk(store, log, visit))
    }

    /// What proves which entry a log has at a position; `None` where that is not here.
    pub fn branch(
        &self,
        store: &dyn Store,
        log: &LogId,
        seq: u64,
    ) -> Result<Option<Branch>, StoreError> {
        if self.state(log).is_none_or(|state| !state.holds(seq)) {
            return Ok(None);
        }
        let mut signed = None;
        self.walk(store, log, seq, &mut |at, entry| {
            signed = entry.signed().filter(|_| at >= seq).map(|signed| (at, signed));
            let beyond = at.saturating_sub(seq) >= SEGMENT_ENTRIES_MAX as u64;
            if beyond || signed.is_some() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        let Some((at, signed)) = signed else { return Ok(None) };
        if at == seq {
            return Ok(Some(Branch::signed(signed)));
        }
        let count = signed.header.covers.map_or(0, |covers| u64::from(covers.count));
        let first = at.saturating_sub(count);
        let mut ids = Vec::new();
        self.walk(store, log, first, &mut |covered, entry| {
            if (first..at).contains(&covered) {
                ids.push(entry.id);
            }
            if covered < at { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let index = seq.checked_sub(first).and_then(|index| usize::try_from(index).ok());
        Ok(index.and_then(|index| Branch::covered(signed, &ids, index)))
    }
}

/// One entry of a branch.
fn entry_on(
    store: &dyn Store,
    log: &LogId,
    line: &Line,
    seq: u64,
) -> Result<StoredEntry, StoreError> {
    let mut found = None;
    chunks(store, line, seq, &mut |chunk| {
        chunk.walk(store, log, &mut |at, entry| {
            if at < seq {
                return ControlFlow::Continue(());
            }
            found = (at == seq).then(|| entry.stored());
            ControlFlow::Break(())
        })
    })?;
    found.ok_or_else(|| crate::store::damaged(Space::Entries, &chunk_key(line.no_at(seq), seq)))
}

/// Visits the chunks of a branch from the one that holds `from` on. The last before another number
/// goes on is cut where that begins.
fn chunks(
    store: &dyn Store,
    line: &Line,
    from: u64,
    visit: &mut dyn FnMut(Chunk<'_>) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let at = line.then.map_or(u64::MAX, |(at, _)| at);
    if from < at {
        let mut over = false;
        scan_chunks(store, line.no, from, &mut |chunk| {
            if chunk.head.next >= at {
                return Ok(ControlFlow::Break(()));
            }
            let flow = visit(chunk.cut_at(at))?;
            over = flow.is_break();
            Ok(flow)
        })?;
        if over {
            return Ok(());
        }
    }
    let Some((at, no)) = line.then else { return Ok(()) };
    scan_chunks(store, no, from.max(at), visit)
}

/// Visits the chunks of a number from the one that holds `from` on.
fn scan_chunks(
    store: &dyn Store,
    no: LogNo,
    from: u64,
    visit: &mut dyn FnMut(Chunk<'_>) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let mut outcome = Ok(());
    let prefix = no.0.to_be_bytes();
    store.scan(Space::Entries, &prefix, &chunk_key(no, from), &mut |key, value| {
        let result = Chunk::decode(key, value)
            .map_err(|_| crate::store::damaged(Space::Entries, key))
            .and_then(&mut *visit);
        match result {
            Ok(flow) => flow,
            Err(error) => {
                outcome = Err(error);
                ControlFlow::Break(())
            }
        }
    })?;
    outcome
}

/// `log number (4, big-endian) || seq of the chunk's last entry (8, big-endian)`.
fn chunk_key(no: LogNo, last: u64) -> Vec<u8> {
    let mut key = no.0.to_be_bytes().to_vec();
    key.extend(last.to_be_bytes());
    key
}

/// Writes the entries of a run in a span of positions.
fn write_chunks(
    batch: &mut Batch,
    no: LogNo,
    run: &VerifiedRun,
    span: Range<u64>,
    arrived: WallTime,
) {
    let before = run.entries().iter().rev().find(|entry| entry.seq < span.start);
    let mut head = before.map_or(*run.from(), |entry| Head {
        next: entry.seq + 1,
        id: entry.id,
        epoch: entry.epoch,
    });
    let mut start = before.map_or(0, |entry| entry.end);
    let mut boxes = Vec::new();
    let mut ids = Vec::new();
    let mut count = 0;
    let within = run.entries().iter().filter(|entry| span.contains(&entry.seq));
    let mut entries = within.peekable();
    while let Some(entry) = entries.next() {
        boxes.extend(entry.key_box.into_iter().flatten());
        ids.extend(find::beginning(&entry.id));
        count += 1;
        let next_end = entries.peek().map_or(usize::MAX, |next| next.end);
        if next_end - start <= CHUNK_BYTES {
            continue;
        }
        let key = chunk_key(no, entry.seq);
        let bytes = run.bytes().get(start..entry.end).unwrap_or_default();
        let chunk = Chunk { key: &key, head, count, arrived, entries: bytes, cut: false };
        let mut value = chunk.preamble();
        value.raw(bytes);
        if !boxes.is_empty() {
            batch.put(Space::Boxes, key.clone(), std::mem::take(&mut boxes));
        }
        batch.put(Space::Ids, key.clone(), std::mem::take(&mut ids));
        batch.put(Space::Entries, key, value);
        head = Head { next: entry.seq + 1, id: entry.id, epoch: entry.epoch };
        start = entry.end;
        count = 0;
    }
}

/// What an entry in short form has beside its sealed header and payload, at most: flags, epoch, lengths,
/// hashes of what is gone, what the signature covers and the signature, and its key box.
const SHORT_BYTES: usize = 1 + 32 + 2 * 5 + 2 * 32 + 33 + 64 + KEY_BOX_BYTES;
/// Where the moment stands in a stored chunk at which it came here.
pub(crate) fn arrival_in(value: &[u8]) -> Option<Range<usize>> {
    let mut reader = Reader::new(value);
    reader.number("first seq").ok()?;
    reader.take(64, "previous id and epoch").ok()?;
    reader.number("entry count").ok()?;
    let from = reader.at();
    reader.number("arrived").ok()?;
    Some(from..reader.at())
}

/// Room for what stands before a chunk's entries.
const PREAMBLE_BYTES_MAX: usize = 10 + 32 + 32 + 10 + 10;

/// A stored chunk: `first seq (number) || previous id (32) || previous epoch (32) ||
/// count (number) || when it came here, ms (number) || entries`.
struct Chunk<'a> {
    key: &'a [u8],
    head: Head,
    count: u64,
    arrived: WallTime,
    entries: &'a [u8],
    /// Whether more lies behind the entries that are looked at.
    cut: bool,
}

impl<'a> Chunk<'a> {
    fn decode(key: &'a [u8], value: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(value);
        let next = reader.number("first seq")?;
        let id = EntryId(reader.array("previous id")?);
        let epoch = EpochId(reader.array("previous epoch")?);
        let count = reader.number("entry count")?;
        let arrived = WallTime(reader.number("arrived")?);
        let entries = reader.take(reader.left(), "entries")?;
        Ok(Self { key, head: Head { next, id, epoch }, count, arrived, entries, cut: false })
    }

    /// Of its entries those before a position.
    const fn cut_at(self, at: u64) -> Self {
        let count = at.saturating_sub(self.head.next);
        if self.count > count { Self { count, cut: true, ..self } } else { self }
    }

    /// The position after its last entry.
    const fn end(&self) -> Option<u64> {
        self.head.next.checked_add(self.count)
    }

    /// What stands before the entries.
    fn preamble(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(self.entries.len() + PREAMBLE_BYTES_MAX);
        let Head { next, id, epoch } = &self.head;
        value.number(*next).raw(&id.0).raw(&epoch.0).number(self.count).number(self.arrived.0);
        value
    }

    fn boxes(&self, store: &dyn Store) -> Result<Vec<u8>, StoreError> {
        Ok(store.get(Space::Boxes, self.key)?.unwrap_or_default())
    }

    fn walk(
        &self,
        store: &dyn Store,
        log: &LogId,
        visit: &mut dyn FnMut(u64, Walked<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, StoreError> {
        let damaged = || crate::store::damaged(Space::Entries, self.key);
        let boxes = self.boxes(store)?;
        let mut boxes = boxes.chunks_exact(KEY_BOX_BYTES);
        let mut reader = Reader::new(self.entries);
        let mut head = self.head;
        for _ in 0..self.count {
            let short = ShortEntry::decode(&mut reader).map_err(|_| damaged())?;
            let key_box: Option<KeyBox> = if short.has_box {
                let salt = boxes.next().ok_or_else(damaged)?;
                Some(salt.try_into().map_err(|_| damaged())?)
            } else {
                None
            };
            let header = short.header(log, &head, key_box.as_ref());
            let (id, epoch) = (header.id(), header.epoch);
            if visit(head.next, Walked { id, header, short, key_box }).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            let next = head.next.checked_add(1).ok_or_else(damaged)?;
            head = Head { next, id, epoch };
        }
        self.finish(reader)?;
        Ok(ControlFlow::Continue(()))
    }

    /// Nothing is left behind the last entry, unless that was cut off.
    fn finish(&self, reader: Reader<'_>) -> Result<(), StoreError> {
        let whole = self.cut || reader.finish().is_ok();
        if whole { Ok(()) } else { Err(crate::store::damaged(Space::Entries, self.key)) }
    }
}

/// An entry as it is passed by.
struct Walked<'a> {
    id: EntryId,
    header: Header,
    short: ShortEntry<'a>,
    key_box: Option<KeyBox>,
}

/// An entry of a visit, before it is copied out.
pub(crate) struct Passed<'a> {
    /// Its epoch.
    pub(crate) epoch: EpochId,
    walked: Walked<'a>,
}

impl Passed<'_> {
    /// Its id.
    pub(crate) const fn id(&self) -> EntryId {
        self.walked.id
    }

    /// The sealed header, or the statement.
    pub(crate) const fn sealed(&self) -> &[u8] {
        self.walked.short.sealed
    }

    /// The hash of the key box, present or destroyed.
    pub(crate) const fn box_hash(&self) -> Option<&Digest> {
        self.walked.header.key_box.as_ref()
    }

    /// All of it.
    pub(crate) fn stored(&self) -> StoredEntry {
        self.walked.stored()
    }
}

impl Walked<'_> {
    /// About how many bytes it takes in a stretch.
    fn stored_bytes(&self) -> usize {
        self.short.sealed.len() + self.short.payload.map_or(0, <[u8]>::len) + SHORT_BYTES
    }

    fn signed(&self) -> Option<SignedHeader> {
        let signature = self.short.signature?;
        Some(SignedHeader { header: self.header.clone(), signature })
    }

    fn stored(&self) -> StoredEntry {
        StoredEntry {
            id: self.id,
            epoch: self.header.epoch,
            sealed: self.short.sealed.to_vec(),
            key_box: self.key_box,
            box_hash: self.header.key_box,
            payload: self.short.payload.map(<[u8]>::to_vec),
            detached: self.short.is_detached(),
            signed: self.signed(),
        }
    }
}

impl Stretch {
    /// As a run of `log`, to be verified by whoever receives it.
    #[must_use]
    pub fn run(&self, log: LogId) -> UnverifiedRun<'_> {
        UnverifiedRun { log, count: self.count, entries: &self.entries, boxes: &self.boxes }
    }
}

#[cfg(test)]
mod tests;
