//! Re-authoring: this device says again what it did on top of something that came to be quarantined.
//!
//! Who edits a record builds on what others wrote in it. If that is quarantined later, because its
//! device was lost, the edit waits with it, on every peer, however honest its author is. Only the author
//! can free it: its own device writes it anew, without what it waited for (`docs/protocol/entry.md`).
//! It does so by itself, for the logs of its present incarnation, with its standing as it is now: a
//! device that was revoked says nothing again.
//!
//! The shelf notes the records where there is something to say, and has them judged in order; what is
//! here decides when. A decision that is corrected within minutes (an adoption) should leave one entry
//! and not two. So nothing is said before a delay has passed since the first record was noted, while the
//! peer ran: in a time in which it was off it heard of no correction. How long it waited is written down
//! ahead, in steps of a tenth of the delay, so that each start counts for one at least: a peer that is
//! started again every few minutes gets there, too, after ten starts at the latest. What is adopted after
//! it was said again stays replaced, and is not shown twice. Then a few records are taken at a time, each
//! flush being the occasion for the next few.
//!
//! What fails for want of room, quota or keys stays noted and is tried again. What this device may not write
//! any more is struck off: should it be allowed again, its log's limit or routes move, and its records
//! are judged and noted again.

use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::id::{LogId, RecordId};
use tearline_crdt::record::shelf::{Draft, DraftError, Shelf};
use tearline_crdt::store::{Batch, Space, Store, StoreError, damaged};
use tearline_crdt::time::{MonoTime, Now};

use super::author::ActError;
use super::{Replica, Room};

/// How long what waits for something quarantined is left, in ms, if nothing else is set: time enough for
/// who quarantined too much to adopt it.
pub const REAUTHOR_AFTER_MS: u64 = 600_000;
/// How often records are tried again that could not be written to, in ms.
const RETRY_EVERY_MS: u64 = 600_000;
/// In how many steps the wait is written down.
const STEPS: u64 = 10;
/// How long was waited, in [`Space::Meta`]: `ms (number)`.
const KEY: &[u8] = b"reauthor/waited";
/// Most records that are looked at for one input. Each may take as long as a record's thread takes to
/// build.
const REAUTHORED_PER_INPUT_MAX: usize = 4;

/// Where re-authoring stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reauthoring {
    after_ms: u64,
    /// How long was waited before the process started, in ms.
    before_ms: u64,
    /// How long is written down as waited, in ms: up to a step more than was. 0 while no record is noted.
    written_ms: u64,
    /// Since when this process waits.
    since: Option<MonoTime>,
    /// From when on it goes on with what was left once.
    retry: Option<MonoTime>,
    /// The last record that was looked at in this round.
    at: Option<RecordId>,
}

impl Default for Reauthoring {
    fn default() -> Self {
        Self {
            after_ms: REAUTHOR_AFTER_MS,
            before_ms: 0,
            written_ms: 0,
            since: None,
            retry: None,
            at: None,
        }
    }
}

impl Reauthoring {
    /// Whether it goes on.
    fn is_due(&mut self, now: MonoTime) -> bool {
        match self.retry {
            Some(retry) => now >= retry,
            None => self.waited_ms(now) >= self.after_ms,
        }
    }

    fn waited_ms(&mut self, now: MonoTime) -> u64 {
        let since = *self.since.get_or_insert(now);
        self.before_ms.saturating_add(now.0.saturating_sub(since.0))
    }

    /// What is to be written down now as waited, if that is more than is.
    fn ahead_ms(&mut self, now: MonoTime) -> Option<u64> {
        let waited = self.waited_ms(now);
        let begun = self.written_ms > 0 && waited < self.written_ms;
        let step = self.after_ms.div_ceil(STEPS).max(1);
        (!begun).then(|| waited.saturating_add(step).min(self.after_ms.max(1)))
    }
}

impl<S: Store> Replica<S> {
    /// From now on says again what waits for something quarantined after so long, in ms.
    pub const fn reauthor_after(&mut self, after_ms: u64) {
        self.reauthoring.after_ms = after_ms;
    }

    /// Reads how long was waited before.
    pub(super) fn load_reauthoring(&mut self) -> Result<(), StoreError> {
        let Some(value) = self.store.get(Space::Meta, KEY)? else { return Ok(()) };
        let waited = decode(&value).map_err(|_| damaged(Space::Meta, KEY))?;
        (self.reauthoring.before_ms, self.reauthoring.written_ms) = (waited, waited);
        Ok(())
    }

    /// Whether the next input goes on with records that are noted.
    pub(super) fn is_reauthoring(&self) -> bool {
        self.shelf.has_stuck() && self.reauthoring.at.is_some()
    }

    /// Says again what is due, in a bounded number of records.
    pub(super) fn reauthor_due(&mut self, now: Now) -> Result<(), StoreError> {
        if !self.shelf.has_stuck() {
            return self.waited_enough();
        }
        if self.shelf.has_moved() || self.room < Room::Everything {
            return Ok(());
        }
        if !self.reauthoring.is_due(now.mono) {
            return self.note_waited(now.mono);
        }
        let after = self.reauthoring.at;
        let records = self.shelf.stuck(&self.store, after, REAUTHORED_PER_INPUT_MAX)?;
        let mut done = Batch::default();
        for record in &records {
            if self.reauthor(now, *record)? {
                Shelf::stuck_is_done(&mut done, record);
            }
        }
        self.apply(done)?;
        self.reauthoring.at = records.last().copied();
        if records.len() < REAUTHORED_PER_INPUT_MAX {
            let left = !self.shelf.stuck(&self.store, None, 1)?.is_empty();
            self.reauthoring.at = None;
            if !left {
                return self.waited_enough();
            }
            self.reauthoring.retry = Some(now.mono.plus_ms(RETRY_EVERY_MS));
        }
        Ok(())
    }

    /// Writes down how long was waited, if a step is over.
    fn note_waited(&mut self, now: MonoTime) -> Result<(), StoreError> {
        let Some(waited) = self.reauthoring.ahead_ms(now) else { return Ok(()) };
        self.reauthoring.written_ms = waited;
        let (mut batch, mut value) = (Batch::default(), Vec::new());
        value.number(waited);
        batch.put(Space::Meta, KEY, value);
        self.apply(batch)
    }

    /// Nothing is noted any more: what is noted next waits for itself.
    fn waited_enough(&mut self) -> Result<(), StoreError> {
        let written = self.reauthoring.written_ms > 0;
        let after_ms = self.reauthoring.after_ms;
        self.reauthoring = Reauthoring { after_ms, ..Reauthoring::default() };
        let mut batch = Batch::default();
        if written {
            batch.remove(Space::Meta, KEY);
        }
        self.apply(batch)
    }

    /// Says again what this device has stuck in a record; false if that is to be tried again.
    fn reauthor(&mut self, now: Now, record: RecordId) -> Result<bool, StoreError> {
        let own = self.device();
        let logs = self.records(|reader| reader.to_reauthor(record, &own))?;
        let incarnation = self.incarnation;
        let mut done = true;
        for LogId { compartment, class, .. } in
            logs.into_iter().filter(|log| log.incarnation == incarnation)
        {
            match self.write(now, compartment, class, vec![Draft::Reauthor { record }]) {
                Ok(_) => {}
                Err(ActError::Store(error))
                | Err(ActError::Draft { error: DraftError::Store(error), .. }) => {
                    return Err(error);
                }
                Err(ActError::NoKeys | ActError::NoRoom | ActError::Quota { .. })
                | Err(ActError::Draft { error: DraftError::Retired, .. }) => done = false,
                Err(_) => {}
            }
        }
        Ok(done)
    }
}

fn decode(value: &[u8]) -> Result<u64, DecodeError> {
    let mut reader = Reader::new(value);
    let waited = reader.number("waited")?;
    reader.finish()?;
    Ok(waited)
}
