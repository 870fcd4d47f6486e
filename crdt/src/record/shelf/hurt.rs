//! Judging past damage: where a value of a record cannot be read, the record cannot be judged, and all
//! others can.
//!
//! What arrives of such a record is listed, and what is shown of it stays as it was; where the listing itself
//! is damaged, it stays in its log, unlisted. If its standing
//! changed it is shown no more: what was quarantined would stay in sight otherwise. Whoever asks for the
//! record is told what is damaged.

use std::ops::{ControlFlow, Range};

use crate::entry::sealed::SealedHeader;
use crate::id::RecordId;
use crate::logbook::LogNo;
use crate::store::{Batch, Scan, Space, Store, StoreError, scan_past_damage};

use super::{Desk, Listing, Opened, Place, Shelf, Work};

/// Passes over damage of a value; no other error.
pub(super) fn past_damage(error: StoreError) -> Result<(), StoreError> {
    if matches!(error, StoreError::Damaged { .. }) { Ok(()) } else { Err(error) }
}

/// Nothing in the place of what is damaged.
pub(super) fn unless_damaged<T>(error: StoreError) -> Result<Option<T>, StoreError> {
    past_damage(error).map(|()| None)
}

/// A record's listing; none where it is damaged.
pub(super) fn listing(store: &dyn Store, record: &RecordId) -> Result<Option<Listing>, StoreError> {
    Listing::load(store, record).or_else(unless_damaged)
}

impl Shelf {
    /// Entries of a log that could not be read are there again: those that are not on the shelf come there,
    /// and the records that they are about are judged again. To be called from the beginning of the span
    /// on, each time with a batch that is applied; returns where to go on.
    pub fn healed(
        &mut self,
        desk: &mut Desk<'_>,
        batch: &mut Batch,
        no: LogNo,
        span: Range<u64>,
    ) -> Result<Option<u64>, StoreError> {
        let Some(log) = desk.logbook.log(no).copied() else { return Ok(None) };
        self.threads.clear();
        let mut work = Work::new(desk, batch, log, no, None);
        let next = work.enter(self, span)?;
        work.finish(self)?;
        Ok(next)
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

    /// Lists an entry that cannot be opened because what it rests on is damaged, as far as it is known of
    /// which record it is: that is judged when it can be.
    pub(super) fn take_unopened(
        &mut self,
        shelf: &mut Shelf,
        place: Place,
        header: Option<SealedHeader>,
        error: StoreError,
    ) -> Result<(), StoreError> {
        past_damage(error)?;
        let Some(record) = header.map(|header| header.record) else { return Ok(()) };
        if shelf.erased.contains_key(&record) {
            shelf.queue(self.batch, place);
            return Ok(());
        }
        let listing = match self.listings.remove(&record) {
            Some(listing) => Some(listing),
            None => match Listing::load(self.desk.store, &record) {
                Err(error) => return past_damage(error),
                loaded => loaded?,
            },
        };
        self.fresh += u64::from(listing.is_none());
        let mut listing = listing.unwrap_or_else(|| Listing::begin(self.desk.now));
        listing.note(place);
        drop(shelf.threads.take(&record));
        self.listings.insert(record, listing);
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
