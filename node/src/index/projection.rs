//! The index as a projection of the records.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tearline_crdt::id::{EntryId, LogId, RecordId};
use tearline_crdt::record::receipt::Receipts;
use tearline_crdt::record::shelf::{Projection, RecordView};
use tearline_crdt::store::{Batch, Store, StoreError};

use super::{Index, Row};

/// Keeps the index in step with the records.
#[derive(Debug)]
pub struct Indexing(pub Arc<Mutex<Index>>);

impl Indexing {
    fn index(&self) -> MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Projection for Indexing {
    fn record(
        &mut self,
        _store: &dyn Store,
        batch: &mut Batch,
        view: &RecordView<'_>,
    ) -> Result<(), StoreError> {
        let row = Row {
            record: view.record,
            version: view.version,
            compartment: view.compartment,
            class: view.class,
            origin: view.origin,
            device: view.device,
            tlp: if view.label.unknown { 5 } else { view.label.tlp as u8 },
            label: view.label.to_string(),
            created_ms: view.created.0,
            received_ms: view.received.0,
            conflicted: view.conflicted,
            restricted: view.restricted,
            recalled: view.recalled,
            ..Row::describe(view.kind, view.fields)
        };
        self.index().put(batch, row.bounded());
        Ok(())
    }

    fn removed(
        &mut self,
        store: &dyn Store,
        batch: &mut Batch,
        record: &RecordId,
    ) -> Result<(), StoreError> {
        self.index().remove(store, batch, record)
    }

    /// Nothing is kept of receipts here yet: they are in their logs.
    fn receipt(
        &mut self,
        _store: &dyn Store,
        _batch: &mut Batch,
        _log: &LogId,
        _entry: &EntryId,
        _receipts: &Receipts,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn finish(&mut self, batch: &mut Batch) {
        self.index().finish(batch);
    }
}
