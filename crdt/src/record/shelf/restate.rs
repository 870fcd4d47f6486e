//! Stating a record anew: a statement about it came or was lifted, and what is built from it must
//! say so.

use super::{Census, Desk, Listing, Shelf};
use crate::id::RecordId;
use crate::store::{Batch, Space, StoreError};

impl Shelf {
    /// Shows a record to the projection as it stands now, under a new version. Nothing happens for a
    /// record that is not here, not readable, or erased. Takes a batch of its own.
    pub fn restate(
        &mut self,
        desk: &mut Desk<'_>,
        batch: &mut Batch,
        record: RecordId,
    ) -> Result<(), StoreError> {
        if self.erased.contains_key(&record) {
            return Ok(());
        }
        let Some(mut listing) = Listing::load(desk.store, &record)? else { return Ok(()) };
        self.reader(desk.store, desk.logbook, desk.keys, desk.standings).load(record)?;
        let Some(thread) = self.threads.thread(&record) else { return Ok(()) };
        let Some(summary) = thread.summary(desk.standings) else { return Ok(()) };
        Census::change(desk.store, batch, &summary.compartment, 0, i64::from(!listing.shown))?;
        listing.shown = true;
        listing.version += 1;
        let view = summary.view(thread, &listing);
        desk.projection.record(desk.store, batch, &view)?;
        desk.projection.finish(batch);
        batch.put(Space::Records, record.0, listing.encode());
        Ok(())
    }
}
