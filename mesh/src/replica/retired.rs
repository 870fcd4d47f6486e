//! Retired epochs: what an act in force ended is destroyed here, and so are the boxes that carried the
//! epoch's secret, in every authority log that this peer holds. Without them a device's key opens nothing
//! of the epoch any more, not even from an old copy of a log that a peer sends.
//!
//! A seal without its boxes keeps its id, its place and its signature; it is forwarded as it is, and taken
//! from others without boxes once the act is known here ([`super::stripped`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tearline_crdt::entry::run::{RunFault, VerifiedEntry, VerifiedRun};
use tearline_crdt::id::{Class, CompartmentId, EpochId, LogId};
use tearline_crdt::statement::Statement;
use tearline_crdt::store::{Batch, Store, StoreError};

use super::Replica;

impl<S: Store> Replica<S> {
    /// Destroys the payload secrets of epochs that an act has retired, and all boxes of them, and judges
    /// again what was sealed under them: none of it opens any more.
    pub(super) fn retire_epochs(&mut self, id: CompartmentId) -> Result<(), StoreError> {
        let retired: BTreeSet<EpochId> = self.retired(id).collect();
        self.destroy_boxes(id, &retired)?;
        let keys = &mut self.epoch_keys;
        let mut batch = Batch::default();
        for epoch in retired {
            if let Some(keys) = keys.get_mut(&epoch).filter(|keys| keys.secret().is_some()) {
                keys.retire();
                keys.store(&mut batch, epoch);
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        batch.forget = true;
        let logs = self.logbook.logs_of(id).filter(|(log, _)| log.class != Class::Authority);
        for (_, state) in logs {
            self.shelf.routes_moved(&mut batch, state.no);
        }
        self.apply(batch)
    }

    /// The epochs of a compartment that are retired and of which something may be left here.
    fn retired(&self, id: CompartmentId) -> impl Iterator<Item = EpochId> {
        let area = self.areas.get(&id);
        let boxed = area.into_iter().flat_map(|area| area.boxes.keys());
        let known = self.compartment(id).into_iter().flat_map(|compartment| {
            compartment.epochs().keys().filter(|epoch| self.epoch_keys.contains_key(*epoch))
        });
        boxed.chain(known).copied().filter(move |epoch| self.is_retired(id, epoch))
    }

    fn is_retired(&self, id: CompartmentId, epoch: &EpochId) -> bool {
        let above = self.compartment(id).map(|compartment| compartment.opening().coalition);
        let above = above.and_then(|above| self.coalition(above));
        above.is_some_and(|coalition| coalition.is_epoch_retired(epoch))
    }

    fn destroy_boxes(
        &mut self,
        id: CompartmentId,
        retired: &BTreeSet<EpochId>,
    ) -> Result<(), StoreError> {
        let Some(area) = self.areas.get_mut(&id) else { return Ok(()) };
        let mut places: BTreeMap<LogId, BTreeSet<u64>> = BTreeMap::new();
        if area.boxes.keys().any(|epoch| retired.contains(epoch)) {
            let boxes = Arc::make_mut(&mut area.boxes);
            let gone = boxes.extract_if(.., |epoch, _| retired.contains(epoch));
            for (log, seq) in gone.flat_map(|(_, places)| places) {
                places.entry(log).or_default().insert(seq);
            }
        }
        let mut batch = Batch::default();
        for (log, seqs) in places {
            self.logbook.detach(&self.store, &mut batch, &log, &seqs)?;
            batch.forget = true;
        }
        self.apply(batch)
    }

    /// A run of authority entries without the boxes of retired epochs, as it is to be stored; `None` if it
    /// holds none.
    pub(super) fn without_retired(
        &self,
        run: &VerifiedRun,
    ) -> Result<Option<VerifiedRun>, RunFault> {
        run.detached(|entry| self.is_retired_seal(run, entry))
    }

    /// Whether an authority entry is the seal of an epoch that is retired, as far as is known here.
    pub(super) fn is_retired_seal(&self, run: &VerifiedRun, entry: &VerifiedEntry) -> bool {
        let epoch = sealed_epoch(run, entry);
        epoch.is_some_and(|epoch| self.is_retired(run.log().compartment, &epoch))
    }
}

/// The epoch that an authority entry seals, if it seals one.
pub(super) fn sealed_epoch(run: &VerifiedRun, entry: &VerifiedEntry) -> Option<EpochId> {
    match Statement::decode(run.sealed(entry)) {
        Ok(Statement::Seal { epoch, .. }) => Some(epoch),
        _ => None,
    }
}
