//! What a run leaves for later. Judging a record costs as much as the record is large, and a run of a
//! few bytes an entry can name thousands of large records. So a run is judged up to a bound of work;
//! the positions beyond it are written down in the same batch, and judged in pieces between other
//! inputs. Until then projections show these records as they were. No verdict depends on it.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use crate::id::RecordId;
use crate::logbook::LogNo;
use crate::store::{Batch, Space, Store, StoreError, damaged};

use super::hurt::past_damage;
use super::{Desk, Opened, Shelf, Work, moved};

/// How much work one pass does before it leaves the rest: operations of the documents that it builds,
/// and [`super::thread::ENTRY_WORK`] for each of their entries. About a fifth of a second, and what the
/// last record takes.
pub(super) const PASS_WORK_MAX: usize = 32 * 1024;
/// Entries that a piece looks at before it looks at its work.
const ENTRIES_PER_LOOK: usize = 8;

/// Before the numbers of logs with work left, in [`Space::Meta`].
const PREFIX: &[u8] = b"later/";

impl Shelf {
    /// Whether [`Shelf::judge_later`] has work.
    #[must_use]
    pub fn has_later(&self) -> bool {
        !self.later.is_empty()
    }

    /// Judges records that a run left for later, up to a bound of work. To be called again, with a
    /// batch of its own that is applied, after other inputs had their turn.
    pub fn judge_later(
        &mut self,
        desk: &mut Desk<'_>,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let Some((no, span)) = self.later.pop_first() else { return Ok(()) };
        batch.remove(Space::Meta, moved::key_in(PREFIX, no));
        let Some(log) = desk.logbook.log(no).copied() else { return Ok(()) };
        let mut work = Work::new(desk, batch, log, no, None);
        let mut from = span.start;
        let rest = loop {
            let (next, records) = work.walk(&(from..span.end), ENTRIES_PER_LOOK)?;
            for (record, found) in records {
                work.judge_again(self, record, found.genesis).or_else(past_damage)?;
            }
            match next {
                Some(next) if work.spent < PASS_WORK_MAX => from = next,
                next => break next,
            }
        };
        work.finish(self)?;
        if let Some(next) = rest {
            self.leave(batch, no, next..span.end);
        }
        Ok(())
    }

    /// Leaves positions of a log for later, durably with the batch.
    pub(super) fn leave(&mut self, batch: &mut Batch, no: LogNo, span: Range<u64>) {
        let left = self.later.entry(no).or_insert_with(|| span.clone());
        *left = left.start.min(span.start)..left.end.max(span.end);
        batch.put(Space::Meta, moved::key_in(PREFIX, no), moved::write(left));
    }
}

impl Work<'_, '_> {
    /// Leaves a record's entries for later. A reader who asks before builds the record anew.
    pub(super) fn defer(&mut self, shelf: &mut Shelf, record: &RecordId, fresh: &[Opened]) {
        drop(shelf.threads.take(record));
        fresh.iter().for_each(|opened| self.put_off(opened.place.seq));
    }

    /// Leaves a record for later that is to be built anew: what this log has of it, or what is disclosed
    /// of these positions.
    pub(super) fn defer_stale(
        &mut self,
        shelf: &mut Shelf,
        record: &RecordId,
        disclosable: Option<&Range<u64>>,
    ) {
        drop(shelf.threads.take(record));
        let here = self.no;
        let listed = self.listings.get(record).into_iter().flat_map(|listing| &listing.places);
        let own = listed.filter(|place| place.no == here).map(|place| place.seq);
        let disclosed = disclosable.into_iter().flat_map(|span| [span.start, span.end - 1]);
        let seqs: Vec<u64> = own.chain(disclosed).collect();
        seqs.into_iter().for_each(|seq| self.put_off(seq));
    }

    fn put_off(&mut self, seq: u64) {
        let left = self.deferred.get_or_insert(seq..seq.saturating_add(1));
        *left = left.start.min(seq)..left.end.max(seq.saturating_add(1));
    }
}

/// What was left when the process ended.
pub(super) fn load(store: &dyn Store) -> Result<BTreeMap<LogNo, Range<u64>>, StoreError> {
    let mut later = BTreeMap::new();
    let mut outcome = Ok(());
    store.scan(
        Space::Meta,
        PREFIX,
        &[],
        &mut |key, value| match moved::read(PREFIX, key, value) {
            Ok((no, span)) => {
                later.insert(no, span);
                ControlFlow::Continue(())
            }
            Err(_) => {
                outcome = Err(damaged(Space::Meta, key));
                ControlFlow::Break(())
            }
        },
    )?;
    outcome.map(|()| later)
}
