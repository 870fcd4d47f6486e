//! History: which epochs of a compartment may be sealed to a reader (`docs/protocol/authority.md`,
//! section 9).
//!
//! A reader with *history* may be sealed all of them. One without it reads *from now*: from the
//! first epoch on that was made for it. No clock says which epochs are older than a device, and a
//! box alone does not, either: whoever may write can put a worthless box of an old epoch into his
//! log. So the beginning of a reader is an epoch of which a desk, or the opener, has sealed it a box,
//! and it may be sealed that and all that *follows*. An epoch follows those that its maker knew, by
//! its hash, so nobody can make an old one follow a new one.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{DeviceId, EpochId};

use super::Compartment;

impl Compartment {
    /// The known epochs that whoever has their secrets may seal to a reader.
    #[must_use]
    pub fn open_to(&self, reader: &DeviceId) -> BTreeSet<EpochId> {
        let epochs = self.epochs();
        if self.live(reader).is_some_and(super::Standing::reads_history) {
            return epochs.keys().copied().collect();
        }
        let mut by_depth: Vec<_> =
            epochs.iter().map(|(id, epoch)| (epoch.statement.depth, *id, epoch)).collect();
        by_depth.sort_unstable_by_key(|(depth, id, _)| (*depth, *id));
        let mut open = BTreeSet::new();
        for (_, id, epoch) in by_depth {
            let follows = epoch.statement.parents.iter().any(|parent| open.contains(parent));
            if follows || self.sealers(&id, reader).any(|sealer| self.is_trusted(sealer)) {
                open.insert(id);
            }
        }
        open
    }

    /// The known epochs that are closed to some of the readers of another.
    #[must_use]
    pub fn closed_beside(&self, epoch: &EpochId) -> BTreeSet<EpochId> {
        let mut closed = BTreeSet::new();
        let has_history =
            |reader: &&DeviceId| self.live(reader).is_some_and(super::Standing::reads_history);
        for reader in self.boxed(epoch).filter(|reader| !has_history(reader)) {
            let open = self.open_to(reader);
            closed.extend(self.epochs().keys().filter(|other| !open.contains(other)));
        }
        closed.remove(epoch);
        closed
    }

    /// Whether a reader has a box of an epoch that its sealers need not seal again: one by the device
    /// that asks, by a desk, by the opener, or by a device of the reader's own agency. A box that
    /// others sealed may hold nothing.
    #[must_use]
    pub fn is_sealed(&self, epoch: &EpochId, reader: &DeviceId, own: &DeviceId) -> bool {
        let agency = |device| self.devices().get(device).map(|standing| standing.agency);
        self.sealers(epoch, reader).any(|sealer| {
            sealer == own
                || self.is_trusted(sealer)
                || agency(sealer).is_some() && agency(sealer) == agency(reader)
        })
    }

    /// The devices for whom there is a box of an epoch.
    pub fn boxed(&self, epoch: &EpochId) -> impl Iterator<Item = &DeviceId> {
        self.boxes.get(epoch).into_iter().flat_map(BTreeMap::keys)
    }

    fn sealers(&self, epoch: &EpochId, reader: &DeviceId) -> impl Iterator<Item = &DeviceId> {
        self.boxes.get(epoch).and_then(|boxes| boxes.get(reader)).into_iter().flatten()
    }

    fn is_trusted(&self, sealer: &DeviceId) -> bool {
        *sealer == self.opening().opener || self.live(sealer).is_some_and(|standing| standing.desk)
    }
}
