//! Other ways through a log: a chunk at once, and on behind what is damaged.
//!
//! A chunk lies under the position of its last entry. So the key of one that cannot be read says where the
//! next begins, and how many entries are missing between: a list of what a log holds ends at no value that
//! rotted.

use std::ops::{ControlFlow, Range};

use super::{Line, Logbook, Passed, StoredEntry, chunk_key, chunks};
use crate::id::LogId;
use crate::store::{Space, Store, StoreError, damaged};
use crate::time::WallTime;

/// Called with each entry, or with the positions of entries that one damaged value holds and with what is
/// wrong, until it breaks.
pub type VisitAll<'a> =
    dyn FnMut(Range<u64>, Result<StoredEntry, StoreError>) -> ControlFlow<()> + 'a;

/// The same with entries that are not copied out.
pub(crate) type VisitPassed<'a> =
    dyn FnMut(Range<u64>, Result<Passed<'_>, StoreError>) -> ControlFlow<()> + 'a;

impl Logbook {
    /// The entries of the chunk that holds a position, with theirs; of no log, and where it is not here, none.
    pub(crate) fn entries_around(
        &self,
        store: &dyn Store,
        log: &LogId,
        seq: u64,
    ) -> Result<Vec<(u64, StoredEntry)>, StoreError> {
        let mut found = Vec::new();
        let Some(state) = self.state(log).filter(|state| state.holds(seq)) else {
            return Ok(found);
        };
        let line = self.line(log, &state);
        chunks(store, &line, seq, &mut |chunk| {
            let walked = chunk.walk(store, log, &mut |at, entry| {
                found.push((at, entry.stored()));
                ControlFlow::Continue(())
            });
            walked.map(|_| ControlFlow::Break(()))
        })?;
        if found.last().is_some_and(|(last, _)| *last >= seq) {
            return Ok(found);
        }
        Err(damaged(Space::Entries, &chunk_key(line.no, seq)))
    }

    /// How many entries of a log, from its first, had come here before a time, by the clock of this peer. What
    /// came behind one that had not is not counted, and nothing behind what is damaged.
    pub fn held_before(
        &self,
        store: &dyn Store,
        log: &LogId,
        time: WallTime,
    ) -> Result<u64, StoreError> {
        let Some(state) = self.state(log) else { return Ok(0) };
        let line = self.line(log, &state);
        let mut held = 0;
        let outcome = chunks(store, &line, 0, &mut |chunk| {
            if chunk.head.next != held || chunk.arrived >= time {
                return Ok(ControlFlow::Break(()));
            }
            held = chunk.end().ok_or_else(|| damaged(Space::Entries, chunk.key))?;
            Ok(ControlFlow::Continue(()))
        });
        match outcome {
            Err(StoreError::Damaged { space: Space::Entries, .. }) | Ok(()) => Ok(held),
            Err(error) => Err(error),
        }
    }

    /// When the entry at a position came to this peer, by its clock; `None` where there is none.
    pub fn arrived(
        &self,
        store: &dyn Store,
        log: &LogId,
        seq: u64,
    ) -> Result<Option<WallTime>, StoreError> {
        let mut arrived = None;
        let Some(state) = self.state(log).filter(|state| state.holds(seq)) else {
            return Ok(None);
        };
        chunks(store, &self.line(log, &state), seq, &mut |chunk| {
            arrived = Some(chunk.arrived);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(arrived)
    }

    /// Visits the entries of a log in order, from a position on, as they are stored; in the place of those
    /// that cannot be read, what is damaged.
    pub fn entries_past_damage(
        &self,
        store: &dyn Store,
        log: &LogId,
        from: u64,
        visit: &mut VisitAll<'_>,
    ) -> Result<(), StoreError> {
        self.visit_past_damage(store, log, from, &mut |seqs, entry| {
            visit(seqs, entry.map(|entry| entry.stored()))
        })
    }

    /// The same with entries that are not copied out.
    pub(crate) fn visit_past_damage(
        &self,
        store: &dyn Store,
        log: &LogId,
        from: u64,
        visit: &mut VisitPassed<'_>,
    ) -> Result<(), StoreError> {
        let Some(state) = self.state(log) else { return Ok(()) };
        let line = self.line(log, &state);
        let mut next = from;
        loop {
            let visited = self.visit(store, log, next, &mut |seq, entry| {
                next = seq.saturating_add(1);
                visit(seq..next, Ok(entry))
            });
            let Err(error) = visited else { return Ok(()) };
            let Some(end) = behind(&line, next, &error) else { return Err(error) };
            // What is damaged may be of the branch that is not followed.
            if end > next && visit(next..end, Err(error)).is_break() {
                return Ok(());
            }
            next = end;
        }
    }
}

/// Where to go on behind a damaged chunk that was met at a position.
fn behind(line: &Line, next: u64, error: &StoreError) -> Option<u64> {
    let StoreError::Damaged { space: Space::Entries | Space::Boxes, key } = error else {
        return None;
    };
    let (no, last) = key.split_first_chunk::<4>()?;
    let end = u64::from_be_bytes(last.try_into().ok()?).checked_add(1)?.min(line.end);
    let parts = line.then.filter(|(at, _)| *no == line.no.0.to_be_bytes() && next <= *at);
    match parts {
        Some((at, _)) => Some(end.min(at)),
        None => Some(end).filter(|end| *end > next),
    }
}
