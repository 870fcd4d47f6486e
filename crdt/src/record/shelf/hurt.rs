//! Judging past damage: where a value of a record cannot be read, the record cannot be judged, and all
//! others can.
//!
//! What arrives of such a record is listed, and what is shown of it stays as it was; where the listing itself
//! is damaged, it stays in its log, unlisted. If its standing
//! changed it is shown no more: what was quarantined would stay in sight otherwise. Whoever asks for the
//! record is told what is damaged.

use std::ops::{ControlFlow, Range};

use crate::id::RecordId;
use crate::store::{Scan, Space, Store, StoreError, scan_past_damage};

use super::{Listing, Opened, Shelf, Work};

/// Passes over damage of a value; no other error.
pub(super) fn past_damage(error: StoreError) -> Result<(), StoreError> {
    if matches!(error, StoreError::Damaged { .. }) { Ok(()) } else { Err(error) }
}

/// A record's listing; none where it is damaged.
pub(super) fn listing(store: &dyn Store, record: &RecordId) -> Result<Option<Listing>, StoreError> {
    match Listing::load(store, record) {
        Err(StoreError::Damaged { .. }) => Ok(None),
        loaded => loaded,
    }
}

impl Work<'_, '_> {
    /// Passes over an entry of a record whose listing cannot be read. What is erased is destroyed all the same.
    pub(super) fn take_unlisted(
        &mut self,
        shelf: &mut Shelf,
        opened: &Opened,
        error: StoreError,
    ) -> Result<(), StoreError> {
        past_damage(error)?;
        if self.erasure(opened).is_some() || shelf.erased.contains_key(&opened.header.record) {
            shelf.queue(self.batch, opened.place);
        }
        Ok(())
    }

    /// Of a record whose standing changed: shows it no more if it could not be judged because a value is
    /// damaged.
    pub(super) fn hide_if_damaged(
        &mut self,
        record: RecordId,
        judged: Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let Err(error) = judged else { return Ok(()) };
        past_damage(error)?;
        let listing = match self.listings.remove(&record) {
            Some(listing) => Some(listing),
            None => listing(self.desk.store, &record)?,
        };
        if let Some(mut listing) = listing {
            self.remove(record, &mut listing)?;
            self.listings.insert(record, listing);
        }
        Ok(())
    }

    /// The records that list entries of this log in these positions. Reads all listings: for positions that
    /// cannot be read.
    pub(super) fn listed_in(&self, spans: &[Range<u64>]) -> Result<Vec<RecordId>, StoreError> {
        let mut records = Vec::new();
        let (store, no) = (self.desk.store, self.no);
        let scan: &Scan<'_> = &|from, visit| store.scan(Space::Records, &[], from, visit);
        let within = |listing: &Listing| {
            let mut here = listing.places.iter().filter(|place| place.no == no);
            here.any(|place| spans.iter().any(|span| span.contains(&place.seq)))
        };
        scan_past_damage(scan, &[], &mut |key, value| {
            if let (Ok(id), Ok(value)) = (key.try_into(), value)
                && Listing::decode(value).is_ok_and(|listing| within(&listing))
            {
                records.push(RecordId(id));
            }
            ControlFlow::Continue(())
        })?;
        Ok(records)
    }
}
