//! How much there is.

use std::ops::ControlFlow;

use tearline_crdt::id::CompartmentId;
use tearline_crdt::record::shelf::Census;
use tearline_crdt::store::{Space, Store, StoreError};

use super::Replica;

/// How much there is of a compartment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Entries held.
    pub entries: u64,
    /// Records of which an entry could be opened, and those of them that are shown.
    pub records: Census,
    /// Entries that wait for an epoch's keys which this device is to have.
    pub waiting: u64,
    /// Entries of epochs that are closed to this device for good: it reads from a later one on.
    pub closed: u64,
}

impl<S: Store> Replica<S> {
    /// How much there is of a compartment.
    pub fn counts(&self, id: CompartmentId) -> Result<Counts, StoreError> {
        let mut counts = Counts::default();
        for (_, state) in self.logbook.logs_of(id) {
            counts.entries += state.head.next - state.begins.next;
        }
        // For the keys of a retired epoch nothing waits any more.
        for (epoch, closed) in self.unopened(id) {
            let count = if closed { &mut counts.closed } else { &mut counts.waiting };
            self.store.scan(Space::Waiting, &epoch.0, &[], &mut |_, _| {
                *count += 1;
                ControlFlow::Continue(())
            })?;
        }
        counts.records = self.shelf.census(&self.store, id)?;
        Ok(counts)
    }
}
