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
//! and not two. So nothing is said before a delay has passed since the first record was noted, counted
//! by the monotonic clock and anew from each start. What is adopted after it was said again stays
//! replaced, and is not shown twice. Then a few records are taken at a time, each flush being the
//! occasion for the next few.
//!
//! What fails for want of room or keys stays noted and is tried again. What this device may not write
//! any more is struck off: should it be allowed again, its log's limit or routes move, and its records
//! are judged and noted again.

use tearline_crdt::id::{LogId, RecordId};
use tearline_crdt::record::shelf::{Draft, DraftError, Shelf};
use tearline_crdt::store::{Batch, Store, StoreError};
use tearline_crdt::time::{MonoTime, Now};

use super::author::ActError;
use super::{Replica, Room};

/// How long what waits for something quarantined is left, in ms, if nothing else is set: time enough for
/// who quarantined too much to adopt it.
pub const REAUTHOR_AFTER_MS: u64 = 600_000;
/// How often records are tried again that could not be written to, in ms.
const RETRY_EVERY_MS: u64 = 600_000;
/// Most records that are looked at for one input. Each may take as long as a record's thread takes to
/// build.
const REAUTHORED_PER_INPUT_MAX: usize = 4;

/// Where re-authoring stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reauthoring {
    after_ms: u64,
    /// From when on it goes on; `None` while no record is noted.
    due: Option<MonoTime>,
    /// The last record that was looked at in this round.
    at: Option<RecordId>,
}

impl Default for Reauthoring {
    fn default() -> Self {
        Self { after_ms: REAUTHOR_AFTER_MS, due: None, at: None }
    }
}

impl<S: Store> Replica<S> {
    /// From now on says again what waits for something quarantined after so long, in ms.
    pub const fn reauthor_after(&mut self, after_ms: u64) {
        self.reauthoring.after_ms = after_ms;
    }

    /// Whether the next input goes on with records that are noted.
    pub(super) fn is_reauthoring(&self) -> bool {
        self.shelf.has_stuck() && self.reauthoring.at.is_some()
    }

    /// Says again what is due, in a bounded number of records.
    pub(super) fn reauthor_due(&mut self, now: Now) -> Result<(), StoreError> {
        if !self.shelf.has_stuck() || self.shelf.has_moved() || self.room < Room::Everything {
            return Ok(());
        }
        let after_ms = self.reauthoring.after_ms;
        let due = *self.reauthoring.due.get_or_insert(now.mono.plus_ms(after_ms));
        if now.mono < due {
            return Ok(());
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
            self.reauthoring.due = left.then(|| now.mono.plus_ms(RETRY_EVERY_MS));
        }
        Ok(())
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
                Err(ActError::NoKeys | ActError::NoRoom)
                | Err(ActError::Draft { error: DraftError::Retired, .. }) => done = false,
                Err(_) => {}
            }
        }
        Ok(done)
    }
}
