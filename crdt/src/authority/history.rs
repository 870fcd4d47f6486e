//! History: which epochs of a compartment a reader is sealed (`docs/protocol/authority.md`, section 9).
//!
//! A reader with *history* is sealed all of them. One without it reads *from now*: what is made for
//! all live readers while it is one, and nothing that was there before. No clock says which epochs
//! those are, so nobody seals it one that exists: who would write makes another.

use std::collections::BTreeSet;

use crate::id::{DeviceId, EpochId};

use super::{Compartment, Route};

impl Compartment {
    /// Whether a device is to be sealed epochs that exist.
    #[must_use]
    pub fn reads_history(&self, device: &DeviceId) -> bool {
        self.open(device).any(Route::reads_history)
    }

    /// Whether an epoch is closed to a reader for good: it has no history, and no box by a statement
    /// that counts.
    #[must_use]
    pub fn is_closed_to(&self, epoch: &EpochId, reader: &DeviceId) -> bool {
        !self.reads_history(reader) && self.sealers(epoch, reader).all(|(_, counts)| !counts)
    }

    /// The known epochs that are closed to some of the readers of another.
    #[must_use]
    pub fn closed_beside(&self, epoch: &EpochId) -> BTreeSet<EpochId> {
        let others = self.epochs().keys().filter(|other| *other != epoch);
        let closed =
            others.filter(|other| self.boxed(epoch).any(|reader| self.is_closed_to(other, reader)));
        closed.copied().collect()
    }

    /// Whether a reader has a box of an epoch that its sealers need not seal again: one by the device
    /// that asks, by the opener, or by a device of the reader's own agency. A box that others sealed,
    /// desks of other agencies too, may hold nothing.
    #[must_use]
    pub fn is_sealed(&self, epoch: &EpochId, reader: &DeviceId, own: &DeviceId) -> bool {
        let agency = self.devices().get(reader).map(|standing| standing.agency);
        let vouched = |sealer: &DeviceId| {
            let of = self.devices().get(sealer).map(|standing| standing.agency);
            *sealer == self.opening().opener || of.is_some() && of == agency
        };
        self.sealers(epoch, reader)
            .any(|(sealer, counts)| sealer == own || counts && vouched(sealer))
    }

    /// In whose logs a reader has boxes of an epoch, and whether the statements count.
    fn sealers(
        &self,
        epoch: &EpochId,
        reader: &DeviceId,
    ) -> impl Iterator<Item = (&DeviceId, bool)> {
        let seals = self.seals.get(epoch).into_iter().flatten();
        seals
            .filter(move |(_, seal)| seal.devices.contains(reader))
            .map(|(id, seal)| (&seal.by, self.counted.contains(id)))
    }
}
