//! When a log goes on along another branch: what the one that was followed says of records is taken off
//! the shelf, entry by entry, and then what the other says is put there. Both in pieces; how far that has
//! come is written down with each, so that a peer that stops half-way goes on where it was.
//!
//! Of the branch that is kept aside nothing is on the shelf. But what is erased is destroyed there, too:
//! whenever something is, or keys came by which more of it can be read, and after each start, it is gone
//! through once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};

use super::later::PASS_WORK_MAX;
use super::moved::{MOVED_PER_BATCH, key_in};
use super::thread::{ENTRY_WORK, Place};
use super::{Desk, Shelf, Work, hurt, waiting_key};
use crate::codec::{DecodeError, Reader, Write as _};
use crate::entry::NO_EPOCH;
use crate::entry::sealed::LogCipher;
use crate::id::{EpochId, RecordId};
use crate::logbook::LogNo;
use crate::store::{Batch, Space, Store, StoreError, damaged};

/// How far the records have come after a log turned, or before it does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Turn {
    /// What the branch says that is left is taken off, from this position on.
    Leaving(u64),
    /// What the branch says that is followed now is put there, from this position on.
    Entering(u64),
}

/// What a piece of work came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Turned {
    /// Of which log.
    pub no: Option<LogNo>,
    /// In operations of documents.
    pub work: usize,
    /// Whether all is taken off: the log can go on along the other branch, in the same batch.
    pub left: bool,
}

/// Most entries that one piece puts on the shelf.
const ENTERED_PER_BATCH: usize = 256;

impl Shelf {
    /// A log is to go on along another branch, from a position on. [`Shelf::turn_more`] does the work.
    pub fn turn(&mut self, batch: &mut Batch, no: LogNo, from: u64) {
        self.set_turn(batch, no, Some(Turn::Leaving(from)));
    }

    /// It does: what that branch says from this position on is to be put on the shelf. For the batch
    /// in which [`Shelf::turn_more`] said that all else is off.
    pub fn turned(&mut self, batch: &mut Batch, no: LogNo, from: u64) {
        self.threads.clear();
        self.set_turn(batch, no, Some(Turn::Entering(from)));
        self.look_aside();
    }

    /// Whether [`Shelf::turn_more`] has work.
    #[must_use]
    pub fn has_turns(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Whether a log is on its way to another branch, or has not quite arrived there.
    #[must_use]
    pub fn is_turning(&self, no: LogNo) -> bool {
        self.turns.contains_key(&no)
    }

    /// Does a bounded part of it. To be called, each time with a batch that is applied, until
    /// [`Shelf::has_turns`] says no; not while entries wait to be destroyed, which are known by their
    /// places.
    pub fn turn_more(
        &mut self,
        desk: &mut Desk<'_>,
        batch: &mut Batch,
    ) -> Result<Turned, StoreError> {
        let Some((no, turn)) = self.turns.first_key_value().map(|(no, turn)| (*no, *turn)) else {
            return Ok(Turned { no: None, work: 0, left: false });
        };
        let Some(log) = desk.logbook.log(no).copied() else {
            self.set_turn(batch, no, None);
            return Ok(Turned { no: None, work: ENTRY_WORK, left: false });
        };
        let mut work = Work::new(desk, batch, log, no, None);
        let (next, left) = match turn {
            Turn::Leaving(from) => {
                let next = work.leave_from(self, from)?;
                (next.map(Turn::Leaving), next.is_none())
            }
            Turn::Entering(from) => (work.enter_from(self, from)?.map(Turn::Entering), false),
        };
        let spent = work.finish(self)? + ENTRY_WORK;
        // What that queued to be destroyed is known by its place: it goes first.
        let (next, left) = match next {
            None if left && self.erasing => (Some(Turn::Leaving(u64::MAX)), false),
            next => (next, left),
        };
        self.set_turn(batch, no, next);
        Ok(Turned { no: Some(no), work: spent, left })
    }

    fn set_turn(&mut self, batch: &mut Batch, no: LogNo, turn: Option<Turn>) {
        match turn {
            Some(turn) => {
                self.turns.insert(no, turn);
                batch.put(Space::Meta, key_in(PREFIX, no), turn.encode());
            }
            None => {
                self.turns.remove(&no);
                batch.remove(Space::Meta, key_in(PREFIX, no));
            }
        }
    }

    /// Something was erased, or can be read now: branches that are kept aside are to be gone through.
    pub fn look_aside(&mut self) {
        self.aside = Some(None);
    }

    /// Goes through a bounded part of the branches that are kept aside, and destroys what is erased
    /// there.
    pub(super) fn erase_aside(
        &mut self,
        desk: &Desk<'_>,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let Some(at) = self.aside.take() else { return Ok(()) };
        let (after, from) = at.map_or((None, 0), |(log, from)| (Some(log), from));
        let mut logs = desk.logbook.branching();
        let Some(log) = logs.find(|log| after.is_none_or(|after| **log >= after)).copied() else {
            return Ok(());
        };
        let from = if after == Some(log) { from } else { 0 };
        let (mut gone, mut next, mut passed) = (BTreeSet::new(), None, 0);
        let mut ciphers: BTreeMap<EpochId, LogCipher> = BTreeMap::new();
        let visited = desk.logbook.visit_aside(desk.store, &log, from, &mut |seq, entry| {
            if passed >= MOVED_PER_BATCH || gone.len() >= super::erase::DETACHED_PER_BATCH_MAX {
                next = Some(seq);
                return ControlFlow::Break(());
            }
            passed += 1;
            let header = desk.keys.get(&entry.epoch).and_then(|keys| {
                let cipher = ciphers
                    .entry(entry.epoch)
                    .or_insert_with(|| LogCipher::new(log, entry.epoch, keys.clone()));
                cipher.open_header(seq, entry.sealed(), entry.box_hash()).ok()
            });
            let of_erased = header.is_some_and(|header| self.erased.contains_key(&header.record));
            if of_erased || desk.standings.is_erased(&log, &entry.id()) {
                gone.insert(seq);
            }
            ControlFlow::Continue(())
        });
        // What lies behind what is damaged there is of no log that is followed.
        visited.or_else(hurt::past_damage)?;
        batch.forget = desk.logbook.detach_aside(desk.store, batch, &log, &gone)? > 0;
        self.aside = match next {
            Some(next) => Some(Some((log, next))),
            None => logs.next().map(|log| Some((*log, 0))),
        };
        Ok(())
    }

    /// What was left to be done when the process ended.
    pub(super) fn load_turns(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let mut outcome = Ok(());
        store.scan(Space::Meta, PREFIX, &[], &mut |key, value| match read(key, value) {
            Ok((no, turn)) => {
                self.turns.insert(no, turn);
                ControlFlow::Continue(())
            }
            Err(_) => {
                outcome = Err(damaged(Space::Meta, key));
                ControlFlow::Break(())
            }
        })?;
        outcome
    }
}

impl Work<'_, '_> {
    /// Takes a part of the log off: its entries are listed no more, nor do they wait for keys. Returns
    /// where to go on.
    fn leave_from(&mut self, shelf: &mut Shelf, from: u64) -> Result<Option<u64>, StoreError> {
        let (store, logbook, log, no) = (self.desk.store, self.desk.logbook, self.log, self.no);
        let mut records: BTreeMap<RecordId, BTreeSet<u64>> = BTreeMap::new();
        let (mut next, mut passed) = (None, 0);
        logbook.visit_past_damage(store, &log, from, &mut |seqs, entry| {
            let seq = seqs.start;
            let Ok(entry) = entry else { return ControlFlow::Continue(()) };
            if passed >= MOVED_PER_BATCH {
                next = Some(seq);
                return ControlFlow::Break(());
            }
            passed += 1;
            self.batch.remove(Space::Waiting, waiting_key(&entry.epoch, Place { no, seq }));
            if let Some(header) = self.header(entry.epoch, seq, entry.sealed(), entry.box_hash()) {
                records.entry(header.record).or_default().insert(seq);
            }
            ControlFlow::Continue(())
        })?;
        let mut records: Vec<_> = records.into_iter().collect();
        records.sort_by_key(|(_, seqs)| seqs.first().copied());
        for (record, seqs) in records {
            if self.spent >= PASS_WORK_MAX {
                // The next piece passes over what is off already.
                next = seqs.first().copied();
                break;
            }
            self.take_off(shelf, record, &seqs)?;
        }
        Ok(next)
    }

    fn take_off(
        &mut self,
        shelf: &mut Shelf,
        record: RecordId,
        seqs: &BTreeSet<u64>,
    ) -> Result<(), StoreError> {
        let Some(mut listing) = hurt::listing(self.desk.store, &record)? else { return Ok(()) };
        let listed = listing.places.len();
        let no = self.no;
        listing.places.retain(|place| place.no != no || !seqs.contains(&place.seq));
        if listing.places.len() == listed {
            return Ok(());
        }
        drop(shelf.threads.take(&record));
        self.listings.insert(record, listing);
        self.spent += ENTRY_WORK;
        self.rebuild(shelf, record)
    }

    /// Puts a part of the log there. Returns where to go on.
    fn enter_from(&mut self, shelf: &mut Shelf, from: u64) -> Result<Option<u64>, StoreError> {
        self.enter(shelf, from..u64::MAX)
    }

    /// Puts the entries in a span of positions there, as many as one batch takes; what is there already
    /// stays. Returns where to go on.
    pub(super) fn enter(
        &mut self,
        shelf: &mut Shelf,
        span: Range<u64>,
    ) -> Result<Option<u64>, StoreError> {
        let (store, logbook, log, no) = (self.desk.store, self.desk.logbook, self.log, self.no);
        let (mut next, mut opened, mut passed) = (None, Vec::new(), 0);
        let mut clear = Vec::new();
        logbook.visit_past_damage(store, &log, span.start, &mut |seqs, entry| {
            let seq = seqs.start;
            if seq >= span.end {
                return ControlFlow::Break(());
            }
            // What is damaged comes when it is there again.
            let Ok(entry) = entry else { return ControlFlow::Continue(()) };
            if passed >= ENTERED_PER_BATCH {
                next = Some(seq);
                return ControlFlow::Break(());
            }
            passed += 1;
            if entry.epoch == NO_EPOCH {
                clear.push(entry.sealed().to_vec());
            } else if self.desk.keys.contains_key(&entry.epoch) {
                opened.push(seq);
            } else {
                let key = waiting_key(&entry.epoch, Place { no, seq });
                self.batch.put(Space::Waiting, key, Vec::new());
                self.disclosable(seq);
            }
            ControlFlow::Continue(())
        })?;
        clear.iter().try_for_each(|clear| self.take_clear(clear))?;
        opened.into_iter().try_for_each(|seq| self.take_stored(shelf, seq))?;
        Ok(next)
    }
}

impl Turn {
    /// `0 or 1 || position (number)`.
    fn encode(self) -> Vec<u8> {
        let (phase, at) = match self {
            Self::Leaving(at) => (0, at),
            Self::Entering(at) => (1, at),
        };
        let mut out = vec![phase];
        out.number(at);
        out
    }
}

/// Before the numbers of logs that turn, in [`Space::Meta`].
const PREFIX: &[u8] = b"turn/";

fn read(key: &[u8], value: &[u8]) -> Result<(LogNo, Turn), DecodeError> {
    let mut reader = Reader::new(key.get(PREFIX.len()..).unwrap_or_default());
    let no = LogNo(u32::from_be_bytes(reader.array("log number")?));
    reader.finish()?;
    let mut reader = Reader::new(value);
    let (phase, at) = (reader.u8("phase")?, reader.number("position")?);
    reader.finish()?;
    match phase {
        0 => Ok((no, Turn::Leaving(at))),
        1 => Ok((no, Turn::Entering(at))),
        _ => Err(DecodeError::Invalid { at: 0, what: "phase" }),
    }
}
