//! The logbook, as verdicts ask of it.

use std::cell::RefCell;

use tearline_crdt::authority::Logs;
use tearline_crdt::id::{EntryId, LogId};
use tearline_crdt::logbook::Logbook;
use tearline_crdt::store::{Store, StoreError};

/// Most places that verdicts could not read which are remembered at once.
const UNREAD_MAX: usize = 64;

/// The logbook, as verdicts ask of it. A failing store is reported when the verdicts are drawn.
pub(super) struct HeldLogs<'a> {
    logbook: &'a Logbook,
    store: &'a dyn Store,
    failed: RefCell<Option<StoreError>>,
    unread: RefCell<Vec<StoreError>>,
}

impl<'a> HeldLogs<'a> {
    pub(super) const fn new(logbook: &'a Logbook, store: &'a dyn Store) -> Self {
        Self { logbook, store, failed: RefCell::new(None), unread: RefCell::new(Vec::new()) }
    }

    /// What was asked for and cannot be read because it is damaged: it counted as if it were not held.
    pub(super) fn unread(&self) -> Vec<StoreError> {
        self.unread.take()
    }

    pub(super) fn outcome(self) -> Result<(), StoreError> {
        self.failed.into_inner().map_or(Ok(()), Err)
    }
}

impl Logs for HeldLogs<'_> {
    fn held(&self, log: &LogId) -> u64 {
        self.logbook.head(log).next
    }

    fn id_at(&self, log: &LogId, seq: u64) -> Option<EntryId> {
        match self.logbook.entry(self.store, log, seq) {
            Ok(entry) => entry.map(|entry| entry.id),
            Err(error @ StoreError::Damaged { .. }) => {
                let mut unread = self.unread.borrow_mut();
                if unread.len() < UNREAD_MAX {
                    unread.push(error);
                }
                None
            }
            Err(error) => {
                self.failed.replace(Some(error));
                None
            }
        }
    }

    fn forked_at(&self, log: &LogId) -> Option<u64> {
        self.logbook.state(log).and_then(|state| state.forked_at)
    }

    fn proven_at(&self, log: &LogId) -> Option<u64> {
        self.logbook.state(log).and_then(|state| state.proven_at)
    }
}
