//! From an entry's id to its place, for statements that name entries of which nobody here may know
//! more than the id.
//!
//! Beside each chunk lie the first four bytes of its entries' ids. A search passes over these, a
//! few hundred kilobytes for a hundred thousand entries, and opens only chunks that may hold what
//! it looks for; the whole id decides. Whoever makes ids that begin alike makes a search open more
//! chunks and find no more.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::{Chunk, LogNo, Logbook, chunk_key};
use crate::id::{CompartmentId, EntryId, LogId};
use crate::store::{Scan, Space, Store, StoreError, scan_past_damage};

/// Bytes of an id that are kept beside a chunk.
const BEGINNING_BYTES: usize = 4;

/// What is kept of an entry's id.
pub(super) fn beginning(id: &EntryId) -> impl Iterator<Item = u8> {
    id.0.into_iter().take(BEGINNING_BYTES)
}

/// A search that goes on in pieces. Entries that are appended to logs it has passed are not found:
/// those are screened when they arrive.
#[derive(Clone, Debug)]
pub struct Search {
    wanted: BTreeSet<EntryId>,
    /// What is of a branch that is kept aside, and where in it.
    aside: BTreeMap<EntryId, (LogId, u64)>,
    /// The key from which it goes on; `None` when it is over.
    from: Option<Vec<u8>>,
    /// Chunks that may hold what it looks for and cannot be read.
    unread: Vec<Vec<u8>>,
}

/// Most of these that are remembered at once.
const UNREAD_MAX: usize = 64;

impl Search {
    /// A search for entries of a compartment.
    #[must_use]
    pub const fn new(wanted: BTreeSet<EntryId>) -> Self {
        Self { wanted, aside: BTreeMap::new(), from: Some(Vec::new()), unread: Vec::new() }
    }

    /// Whether there is nothing more to look for or to look through.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.from.is_none() || self.wanted.is_empty()
    }

    /// What was not found yet.
    #[must_use]
    pub const fn missing(&self) -> &BTreeSet<EntryId> {
        &self.wanted
    }

    /// What is damaged that may hold what it looks for: once that is there again it is to be looked for anew.
    #[must_use]
    pub fn take_unread(&mut self) -> Vec<StoreError> {
        let unread = std::mem::take(&mut self.unread);
        unread.iter().map(|key| crate::store::damaged(Space::Entries, key)).collect()
    }

    /// What was found in branches that are kept aside, and where in them.
    #[must_use]
    pub fn take_aside(&mut self) -> BTreeMap<EntryId, (LogId, u64)> {
        std::mem::take(&mut self.aside)
    }

    /// Looks through up to `chunks_max` chunks of the compartment's logs.
    pub fn go_on(
        &mut self,
        store: &dyn Store,
        logbook: &Logbook,
        compartment: &CompartmentId,
        chunks_max: usize,
    ) -> Result<BTreeMap<EntryId, (LogId, u64)>, StoreError> {
        let mut found = BTreeMap::new();
        let mut left = chunks_max;
        while let Some(from) = self.from.take().filter(|_| !self.wanted.is_empty()) {
            let Some(no) = next_log(logbook, compartment, &from) else { break };
            let prefix = no.0.to_be_bytes();
            let begin = from.max(prefix.to_vec());
            let mut hits = Vec::new();
            let mut stopped = None;
            let scan: &Scan<'_> = &|from, visit| store.scan(Space::Ids, &prefix, from, visit);
            scan_past_damage(scan, &begin, &mut |key, ids| {
                if left == 0 {
                    stopped = Some(key.to_vec());
                    return ControlFlow::Break(());
                }
                left -= 1;
                // What cannot be read may be it.
                let may_be = ids.map_or(true, |ids| {
                    ids.chunks_exact(BEGINNING_BYTES).any(|start| self.may_want(start))
                });
                if may_be {
                    hits.push(key.to_vec());
                }
                ControlFlow::Continue(())
            })?;
            for key in hits {
                match self.open(store, logbook, no, &key, &mut found) {
                    Err(StoreError::Damaged { .. }) => {
                        if self.unread.len() < UNREAD_MAX {
                            self.unread.push(key);
                        }
                    }
                    opened => opened?,
                }
            }
            if stopped.is_some() {
                self.from = stopped;
                return Ok(found);
            }
            self.from = no.0.checked_add(1).map(|next| next.to_be_bytes().to_vec());
        }
        Ok(found)
    }

    /// Whether an id that begins so is looked for.
    fn may_want(&self, start: &[u8]) -> bool {
        let mut least = EntryId([0; 32]);
        least.0.iter_mut().zip(start).for_each(|(to, from)| *to = *from);
        self.wanted.range(least..).next().is_some_and(|id| id.0.starts_with(start))
    }

    fn open(
        &mut self,
        store: &dyn Store,
        logbook: &Logbook,
        no: LogNo,
        key: &[u8],
        found: &mut BTreeMap<EntryId, (LogId, u64)>,
    ) -> Result<(), StoreError> {
        let damaged = || crate::store::damaged(Space::Entries, key);
        let Some(log) = logbook.log(no) else { return Ok(()) };
        let value = store.get(Space::Entries, key)?.ok_or_else(damaged)?;
        let chunk = Chunk::decode(key, &value).map_err(|_| damaged())?;
        let passed = chunk.walk(store, log, &mut |seq, entry| {
            if self.wanted.contains(&entry.id) && !logbook.is_followed(log, no, seq) {
                self.aside.insert(entry.id, (*log, seq));
            } else if self.wanted.remove(&entry.id) {
                found.insert(entry.id, (*log, seq));
            }
            ControlFlow::Continue(())
        });
        passed.map(|_| ())
    }
}

/// The first log of a compartment, by number, whose chunks end at this key or after it.
fn next_log(logbook: &Logbook, compartment: &CompartmentId, from: &[u8]) -> Option<LogNo> {
    let last = |no: &LogNo| chunk_key(*no, u64::MAX);
    // Whatever is below the number in the key was passed.
    let passed = from.first_chunk().map_or(0, |no| u32::from_be_bytes(*no));
    let mut logs = logbook
        .ids
        .range(LogNo(passed)..)
        .filter(|(no, log)| log.compartment == *compartment && last(no).as_slice() >= from);
    logs.next().map(|(no, _)| *no)
}
