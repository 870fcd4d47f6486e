//! A second branch of a forked log: fetched because a mark names an entry of it that the branch which
//! came first does not have.
//!
//! It is fetched from the mark backwards: whoever knows the id of an entry knows that of the entry
//! before it, so that each piece is known to be of the branch that is named before it is stored, and no
//! peer can make this one store another. Its chunks lie under a number of their own. It *joins* the
//! log where it comes down to what is held of it; then the log can go on along it ([`Logbook::turn`]),
//! and back. Of the two branches one is *followed*: it is what all else here takes for the log. The
//! other is kept *aside*: for peers that ask for it, and for the day a mark names it.
//!
//! There is at most one such branch of a log. The one that came first is never given up: somebody was
//! told that it is stored here. Of one that is given up the chunks are removed in pieces; the number that
//! they lie under is written down in the batch that gives it up, and is nobody else's until they are gone.

use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use crate::bounds::SEGMENT_ENTRIES_MAX;
use crate::codec::{DecodeError, Reader, Write as _};
use crate::entry::run::{Head, VerifiedRun};
use crate::id::{EntryId, LogId};
use crate::store::{Batch, Space, Store, StoreError, damaged, scan_keys};
use crate::time::WallTime;

use super::{
    Line, LogNo, LogState, Logbook, Passed, StoredEntry, Stretch, chunk_key, chunks, detach,
    entry_on, read_head, read_line, write_chunks,
};

/// What is resident of a second branch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Fetched {
    /// The number of its chunks.
    pub(super) no: LogNo,
    /// What it continues: what lies before is not fetched.
    pub(super) from: Head,
    /// Where it ends.
    to: Head,
    /// Where the log ends along the branch that came first, while that is not followed.
    first_ends: Option<Head>,
}

/// Which of a log's branches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Branching {
    /// The one that is followed.
    Followed,
    /// The other.
    Aside,
}

/// A stretch of a branch that ends where somebody asked for, and what it continues.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Piece {
    /// Where it begins.
    pub from: Head,
    /// Its entries.
    pub stretch: Stretch,
}

impl Logbook {
    /// Where the branch that is followed lies.
    pub(super) fn line(&self, log: &LogId, state: &LogState) -> Line {
        let followed = self.fetched.get(log).filter(|fetched| fetched.first_ends.is_some());
        let then = followed.map(|fetched| (fetched.from.next, fetched.no));
        Line { no: state.no, then, end: state.head.next }
    }

    /// Where the other lies, and where it parts from the log. What is fetched may not join it yet.
    fn line_aside(&self, log: &LogId) -> Option<(Line, u64)> {
        let (state, fetched) = (self.state(log)?, self.fetched.get(log)?);
        let (then, end) = match fetched.first_ends {
            Some(end) => (None, end.next),
            None => (Some((fetched.from.next, fetched.no)), fetched.to.next),
        };
        Some((Line { no: state.no, then, end }, fetched.from.next))
    }

    /// The logs of which a second branch is held.
    pub fn branching(&self) -> impl Iterator<Item = &LogId> {
        self.fetched.keys()
    }

    /// Whether there are any.
    #[must_use]
    pub fn is_branching(&self) -> bool {
        !self.fetched.is_empty()
    }

    /// Whether a number is that of the chunks that hold the log's entry at a position.
    pub(super) fn is_followed(&self, log: &LogId, no: LogNo, seq: u64) -> bool {
        let Some(state) = self.state(log).filter(|state| seq < state.head.next) else {
            return false;
        };
        let line = self.line(log, &state);
        let of = line.then.filter(|(at, _)| seq >= *at).map_or(line.no, |(_, no)| no);
        of == no
    }

    /// What the branch that is being fetched continues: the entry that is wanted next is this one. `None`
    /// if none is, or if it has come down to the log.
    pub fn fetching(&self, store: &dyn Store, log: &LogId) -> Result<Option<Head>, StoreError> {
        let fetched = self.fetched.get(log).filter(|fetched| fetched.first_ends.is_none());
        match fetched {
            Some(fetched) if !self.joins(store, log)? => Ok(Some(fetched.from)),
            _ => Ok(None),
        }
    }

    /// Whether the second branch is the one that is followed.
    #[must_use]
    pub fn follows_fetched(&self, log: &LogId) -> bool {
        self.fetched.get(log).is_some_and(|fetched| fetched.first_ends.is_some())
    }

    /// From where on the two branches of a log are other ones, as far as they are held.
    #[must_use]
    pub fn parts_at(&self, log: &LogId) -> Option<u64> {
        self.fetched.get(log).map(|fetched| fetched.from.next)
    }

    /// Whether what is being fetched of a log leads to this entry in its place before position `count`,
    /// whether or not it has come down to the log.
    pub fn leads_to(
        &self,
        store: &dyn Store,
        log: &LogId,
        (count, head): (u64, EntryId),
    ) -> Result<bool, StoreError> {
        let Some((line, parts)) = self.line_aside(log).filter(|(line, _)| line.then.is_some())
        else {
            return Ok(false);
        };
        let within = count > parts && count <= line.end;
        Ok(within && entry_on(store, log, &line, count - 1)?.id == head)
    }

    /// Whether the second branch continues what all branches of the log share, as it is held.
    fn joins(&self, store: &dyn Store, log: &LogId) -> Result<bool, StoreError> {
        let (Some(state), Some(fetched)) = (self.state(log), self.fetched.get(log)) else {
            return Ok(false);
        };
        if fetched.first_ends.is_some() {
            return Ok(true);
        }
        let Some(last) = fetched.from.next.checked_sub(1) else { return Ok(true) };
        if fetched.from.next > state.shared.next {
            return Ok(false);
        }
        Ok(self.entry(store, log, last)?.is_some_and(|entry| entry.id == fetched.from.id))
    }

    /// Which branch has this entry in its place before position `count`.
    pub fn branch_with(
        &self,
        store: &dyn Store,
        log: &LogId,
        (count, head): (u64, EntryId),
    ) -> Result<Option<Branching>, StoreError> {
        let Some(last) = count.checked_sub(1) else { return Ok(None) };
        if self.entry(store, log, last)?.is_some_and(|entry| entry.id == head) {
            return Ok(Some(Branching::Followed));
        }
        let aside = self.line_aside(log).filter(|(line, _)| last < line.end);
        let Some((line, _)) = aside else { return Ok(None) };
        let there = self.joins(store, log)? && entry_on(store, log, &line, last)?.id == head;
        Ok(there.then_some(Branching::Aside))
    }

    /// Puts a verified run before what is fetched of a log, or begins a second branch with it. Whoever
    /// calls has made sure that it leads to an entry that is named. False if it does not end where what
    /// is fetched begins, or if all numbers are used up.
    pub fn fetch(&mut self, batch: &mut Batch, run: &VerifiedRun, arrived: WallTime) -> bool {
        let log = *run.log();
        let fetched = match self.fetched.get(&log) {
            None => match self.next_no() {
                Some(no) => Fetched { no, from: *run.from(), to: *run.to(), first_ends: None },
                None => return false,
            },
            Some(fetched) => {
                let Fetched { from, first_ends, .. } = fetched;
                let to = run.to();
                if first_ends.is_some() || (from.next, from.id) != (to.next, to.id) {
                    return false;
                }
                Fetched { from: *run.from(), ..*fetched }
            }
        };
        write_chunks(batch, fetched.no, run, run.from().next..run.to().next, arrived);
        self.set_fetched(batch, &log, fetched);
        true
    }

    /// Follows the other branch, from where it parts on. Returns that position. What is asked here of
    /// the log is of that branch from now on.
    pub fn turn(
        &mut self,
        store: &dyn Store,
        batch: &mut Batch,
        log: &LogId,
    ) -> Result<Option<u64>, StoreError> {
        let (Some(state), Some(fetched)) = (self.state(log), self.fetched.get(log)) else {
            return Ok(None);
        };
        let Some(at) = state.proven_at else { return Ok(None) };
        if !self.joins(store, log)? {
            return Ok(None);
        }
        let (head, first_ends) = match fetched.first_ends {
            Some(first) => (first, None),
            None => (fetched.to, Some(state.head)),
        };
        let fetched = Fetched { first_ends, ..*fetched };
        let before = self.fetched.insert(*log, fetched);
        let id = Arc::new(*log);
        self.logs.insert(Arc::clone(&id), LogState { head, ..state }.into());
        let ends = self.shared_before(store, log, &LogState { head, ..state }, at);
        // Where that cannot be read, nothing has changed.
        self.logs.insert(Arc::clone(&id), state.into());
        self.fetched.extend(before.map(|before| (*log, before)));
        let (forked_at, shared) = ends?;
        self.set_fetched(batch, log, fetched);
        let state = LogState { head, ..state };
        self.set(batch, &id, LogState { forked_at: Some(forked_at), shared, ..state });
        Ok(Some(fetched.from.next))
    }

    /// Gives up what was fetched of a log, if that is not followed: it is not here any more.
    /// [`Logbook::clear_given_up`] removes it.
    pub fn give_up(&mut self, batch: &mut Batch, log: &LogId) {
        let fetched = self.fetched.get(log).filter(|fetched| fetched.first_ends.is_none());
        let (Some(Fetched { no, .. }), Some(state)) = (fetched.copied(), self.state(log)) else {
            return;
        };
        let first = state.no;
        self.part_with_fetched(batch, log, first);
        self.note_given_up(batch, no);
    }

    /// Forgets that a second branch of a log is held; returns the number of its chunks.
    pub(super) fn part_with_fetched(
        &mut self,
        batch: &mut Batch,
        log: &LogId,
        first: LogNo,
    ) -> Option<LogNo> {
        let Fetched { no, .. } = self.fetched.remove(log)?;
        batch.remove(Space::Meta, key(first));
        self.ids.remove(&no);
        Some(no)
    }

    /// Writes down that the chunks of a number are to be removed.
    pub(super) fn note_given_up(&mut self, batch: &mut Batch, no: LogNo) {
        batch.put(Space::Meta, given_up_key(no), Vec::new());
        self.given_up.insert(no);
    }

    /// Whether [`Logbook::clear_given_up`] has work.
    #[must_use]
    pub fn has_given_up(&self) -> bool {
        !self.given_up.is_empty()
    }

    /// Removes a bounded number of chunks of branches that were given up. To be called, each time with a
    /// batch that is applied, until [`Logbook::has_given_up`] says no.
    pub fn clear_given_up(
        &mut self,
        store: &dyn Store,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let Some(no) = self.given_up.first().copied() else { return Ok(()) };
        let mut chunks = 0;
        let prefix = no.0.to_be_bytes();
        scan_keys(store, (Space::Entries, &prefix), &[], &mut |key| {
            for space in [Space::Entries, Space::Boxes, Space::Ids] {
                batch.remove(space, key.to_vec());
            }
            chunks += 1;
            if chunks < CLEARED_PER_BATCH {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        if chunks < CLEARED_PER_BATCH {
            batch.remove(Space::Meta, given_up_key(no));
            self.given_up.remove(&no);
        }
        Ok(())
    }

    /// An entry of the branch that is not followed; `None` where that is not held, or shares the position
    /// with the other.
    pub fn entry_aside(
        &self,
        store: &dyn Store,
        log: &LogId,
        seq: u64,
    ) -> Result<Option<StoredEntry>, StoreError> {
        match self.line_aside(log) {
            Some((line, parts)) if (parts..line.end).contains(&seq) => {
                entry_on(store, log, &line, seq).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Visits the entries of the branch that is not followed, from a position on that lies beyond where
    /// it parts; those before that the two share, or they are not here.
    pub(crate) fn visit_aside(
        &self,
        store: &dyn Store,
        log: &LogId,
        from: u64,
        visit: &mut dyn FnMut(u64, Passed<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let Some((line, parts)) = self.line_aside(log) else { return Ok(()) };
        let from = from.max(parts);
        chunks(store, &line, from, &mut |chunk| {
            chunk.walk(store, log, &mut |seq, walked| {
                if seq < from {
                    return ControlFlow::Continue(());
                }
                if seq >= line.end {
                    return ControlFlow::Break(());
                }
                visit(seq, Passed { epoch: walked.header.epoch, walked })
            })
        })
    }

    /// [`Logbook::detach`] for the branch that is not followed.
    pub fn detach_aside(
        &self,
        store: &dyn Store,
        batch: &mut Batch,
        log: &LogId,
        seqs: &BTreeSet<u64>,
    ) -> Result<u64, StoreError> {
        let Some((line, _)) = self.line_aside(log) else { return Ok(0) };
        detach::detach_in(store, batch, line.then.map_or(line.no, |(_, no)| no), seqs)
    }

    /// The last entries of a branch before the end of a span, in whole segments: as many as lie in the
    /// span and fit `bytes_max`, at least one segment, the last of which holds the entry before that end.
    /// `None` where that entry is not this one.
    pub fn piece(
        &self,
        store: &dyn Store,
        log: &LogId,
        (span, head): (Range<u64>, EntryId),
        bytes_max: usize,
    ) -> Result<Option<Piece>, StoreError> {
        let end = span.end;
        let line = match (self.branch_with(store, log, (end, head))?, self.state(log)) {
            (Some(Branching::Followed), Some(state)) => self.line(log, &state),
            (Some(Branching::Aside), _) => match self.line_aside(log) {
                Some((line, _)) => line,
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        let segments = segments_before(store, log, &line, end)?;
        let Some(last) = segments.last() else { return Ok(None) };
        let upto = last.end;
        let fits = segments.iter().find(|segment| {
            segment.from.next >= span.start && last.total - segment.before <= bytes_max
        });
        let from = fits.unwrap_or(last).from;
        if self.has_holes(line.no, from.next..upto) {
            // Who asks for a piece lacks all of it: another has it whole.
            return Ok(None);
        }
        let stretch = read_line(store, &line, from.next..upto, usize::MAX)?;
        if let Some(stretch) = &stretch {
            let next = stretch.first.saturating_add(stretch.count as u64);
            if next < upto {
                // What leads to the entry is not all here.
                return Err(damaged(Space::Entries, &chunk_key(line.no_at(next), next)));
            }
        }
        Ok(stretch.map(|stretch| Piece { from, stretch }))
    }

    fn set_fetched(&mut self, batch: &mut Batch, log: &LogId, fetched: Fetched) {
        let Some(state) = self.state(log) else { return };
        let Fetched { no, from, to, first_ends } = fetched;
        let mut value = Vec::new();
        value.number(u64::from(no.0));
        for head in [Some(from), Some(to), first_ends].into_iter().flatten() {
            value.number(head.next).raw(&head.id.0).raw(&head.epoch.0);
        }
        batch.put(Space::Meta, key(state.no), value);
        let id = self.id_of(log).map_or_else(|| Arc::new(*log), Arc::clone);
        self.ids.insert(no, id);
        self.fetched.insert(*log, fetched);
    }

    pub(super) fn load_fetched(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let mut outcome = Ok(());
        store.scan(Space::Meta, PREFIX, &[], &mut |key, value| {
            let log = read_key(PREFIX, key).and_then(|no| self.ids.get(&no)).cloned();
            match (log, read(value)) {
                (Some(log), Ok(fetched)) => {
                    self.fetched.insert(*log, fetched);
                    self.ids.insert(fetched.no, log);
                    ControlFlow::Continue(())
                }
                _ => {
                    outcome = Err(damaged(Space::Meta, key));
                    ControlFlow::Break(())
                }
            }
        })?;
        store.scan(Space::Meta, GIVEN_UP_PREFIX, &[], &mut |key, _| {
            match read_key(GIVEN_UP_PREFIX, key) {
                Some(no) => drop(self.given_up.insert(no)),
                None => outcome = Err(damaged(Space::Meta, key)),
            }
            ControlFlow::Continue(())
        })?;
        outcome
    }
}

/// Most chunks of a branch that was given up which one batch removes: about 2 MiB of entries, which are
/// read for it.
pub(super) const CLEARED_PER_BATCH: usize = 256;

/// A segment of a branch.
struct Segment {
    from: Head,
    /// The position after its last entry.
    end: u64,
    /// Bytes of the entries that are looked at before it, and before its end.
    before: usize,
    total: usize,
}

/// The segments of a branch before a position that are looked at: those that begin up to two segments'
/// length before it. The last holds the entry before it.
fn segments_before(
    store: &dyn Store,
    log: &LogId,
    line: &Line,
    end: u64,
) -> Result<Vec<Segment>, StoreError> {
    let mut first = end.saturating_sub(2 * SEGMENT_ENTRIES_MAX as u64);
    loop {
        match segments_from(store, log, line, first, end) {
            // Those behind what is damaged may do.
            Err(StoreError::Damaged { space: Space::Entries | Space::Boxes, key }) => {
                let last = key.get(4..).and_then(|last| last.try_into().ok());
                let next = last.map_or(0, |last| u64::from_be_bytes(last).saturating_add(1));
                if next <= first || next >= end {
                    return Err(damaged(Space::Entries, &key));
                }
                first = next;
            }
            segments => return segments,
        }
    }
}

/// Those that begin at a position or behind it.
fn segments_from(
    store: &dyn Store,
    log: &LogId,
    line: &Line,
    first: u64,
    end: u64,
) -> Result<Vec<Segment>, StoreError> {
    let (mut segments, mut total) = (Vec::new(), 0);
    // What each entry of the segment at hand continues, and how many bytes come before it.
    let mut heads: Vec<(Head, usize)> = Vec::new();
    chunks(store, line, first, &mut |chunk| {
        if heads.last().is_none_or(|(head, _)| head.next != chunk.head.next) {
            // What is before it is not looked at, or cannot be read.
            heads = vec![(chunk.head, total)];
        }
        chunk.walk(store, log, &mut |seq, entry| {
            total += entry.stored_bytes();
            let end_here = seq.saturating_add(1);
            let after = Head { next: end_here, id: entry.id, epoch: entry.header.epoch };
            if entry.short.signature.is_none() {
                heads.push((after, total));
                return ControlFlow::Continue(());
            }
            let covered = entry.header.covers.map_or(0, |covers| usize::from(covers.count));
            let begin = heads.len().checked_sub(covered + 1).and_then(|at| heads.get(at));
            if let Some((from, before)) = begin.copied().filter(|(from, _)| from.next >= first) {
                segments.push(Segment { from, end: end_here, before, total });
            }
            heads = vec![(after, total)];
            if end_here >= end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    })?;
    segments.retain(|segment| segment.from.next < end);
    let whole = segments.last().is_some_and(|segment| segment.end >= end);
    Ok(if whole { segments } else { Vec::new() })
}

/// Before the number of a log of which a second branch is held, in [`Space::Meta`].
const PREFIX: &[u8] = b"fetched/";

/// `prefix || log number (4, big-endian)`.
fn key(no: LogNo) -> Vec<u8> {
    [PREFIX, &no.0.to_be_bytes()].concat()
}

/// Before the numbers of branches that were given up, in [`Space::Meta`].
const GIVEN_UP_PREFIX: &[u8] = b"given-up/";

fn given_up_key(no: LogNo) -> Vec<u8> {
    [GIVEN_UP_PREFIX, &no.0.to_be_bytes()].concat()
}

fn read_key(prefix: &[u8], key: &[u8]) -> Option<LogNo> {
    let no = key.get(prefix.len()..)?.try_into().ok()?;
    Some(LogNo(u32::from_be_bytes(no)))
}

/// `number of its chunks (number) || from (head) || to (head) || where the first branch ends (head)?`.
fn read(value: &[u8]) -> Result<Fetched, DecodeError> {
    let mut reader = Reader::new(value);
    let no = LogNo(reader.number_max(u64::from(u32::MAX), "log number")? as u32);
    let (from, to) = (read_head(&mut reader)?, read_head(&mut reader)?);
    let first_ends = if reader.left() > 0 { Some(read_head(&mut reader)?) } else { None };
    reader.finish()?;
    Ok(Fetched { no, from, to, first_ends })
}
