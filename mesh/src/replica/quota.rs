//! Quotas: how many bytes of records a device may write in a compartment, where its grants limit that.
//!
//! A quota is flow control of each peer, and decides nothing that peers must agree on: what is stored
//! counts or not whatever its author has written. Its author writes no record past it. Whoever is sent
//! more refuses that, as what finds no room: it stays with its sender, nobody is blamed, because the
//! grant that allows it may be held there, and it is asked for again when statements come.
//!
//! A flash must get out: the first [`QUOTA_FLASH_BYTES`] of flashes count for nothing, at their author and at all
//! who are sent them. What erases, restricts and revokes is in authority logs, which no quota limits.
//!
//! Receipts answer for what was carried out, and an author at its quota still owes them. So it writes them
//! all the same, and peers take somewhat more than the quota. What authority logs hold is not limited:
//! statements that take away must come.
//!
//! The incarnations of a device have their routes together, and share their quota, so that a device does
//! not begin it anew with a new life; one that was readmitted has its own of both.

use std::collections::BTreeSet;

use tearline_crdt::entry::run::{NewEntry, VerifiedRun};
use tearline_crdt::epoch::KEY_BOX_BYTES;
use tearline_crdt::id::{Class, CompartmentId, DeviceId, Incarnation, LogId};
use tearline_crdt::store::Store;

use super::Replica;
use super::author::{ActError, ENTRY_OVERHEAD_BYTES};

/// How many bytes past a quota peers still take, for receipts and the like: those of some 5,000 statements
/// at 200 bytes each.
pub const QUOTA_RECEIPTS_BYTES: u64 = 1_000_000;

/// How many bytes of flashes a device may write in a compartment whatever its quota: about 60 alerts.
pub const QUOTA_FLASH_BYTES: u64 = 65_536;

/// A quota, and how much of it is used, as far as that is known here.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Quota {
    /// Bytes that may be written.
    pub bytes: u64,
    /// Bytes that were, but for what is reserved for flashes.
    pub used_bytes: u64,
    /// What is left of that, in bytes.
    pub flash_bytes: u64,
}

impl Quota {
    /// What is left of it, in bytes.
    #[must_use]
    pub const fn left_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.used_bytes)
    }

    /// Whether more was written than may be, receipts left aside: by a device that did not know of all that
    /// it wrote in a former life, or heeds no quota.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.used_bytes > self.bytes.saturating_add(QUOTA_RECEIPTS_BYTES)
    }

    /// What so many bytes more in a class use of it.
    fn uses(&self, class: Class, bytes: u64) -> u64 {
        if class == Class::Flash { bytes.saturating_sub(self.flash_bytes) } else { bytes }
    }
}

impl<S: Store> Replica<S> {
    /// The quota of an incarnation of a device in a compartment; `None` if nothing limits it.
    #[must_use]
    pub fn quota(&self, id: CompartmentId, device: &DeviceId, life: Incarnation) -> Option<Quota> {
        let compartment = self.compartment(id)?;
        let bytes = compartment.quota(device, life)?;
        let standing = compartment.devices().get(device)?;
        let alone = standing.readmitted_by(life).is_some();
        let shares = |other: &Incarnation| {
            *other == life || !alone && standing.readmitted_by(*other).is_none()
        };
        let written = self.logbook.written(id, *device).filter(|(other, _)| shares(other));
        let (mut used_bytes, mut flashes) = (0_u64, 0_u64);
        for (incarnation, bytes) in written {
            let (compartment, device, class) = (id, *device, Class::Flash);
            let log = LogId { compartment, class, device, incarnation };
            let of_flashes = self.logbook.state(&log).map_or(0, |state| state.written);
            used_bytes = used_bytes.saturating_add(bytes.saturating_sub(of_flashes));
            flashes = flashes.saturating_add(of_flashes);
        }
        let used_bytes = used_bytes.saturating_add(flashes.saturating_sub(QUOTA_FLASH_BYTES));
        let flash_bytes = QUOTA_FLASH_BYTES.saturating_sub(flashes);
        Some(Quota { bytes, used_bytes, flash_bytes })
    }

    /// The quotas of a compartment's devices: one for all lives that have it together, and one for each
    /// that was readmitted; of lives that wrote something, and of this device's own.
    #[must_use]
    pub fn quotas(&self, id: CompartmentId) -> BTreeSet<(DeviceId, Quota)> {
        let Some(compartment) = self.compartment(id) else { return BTreeSet::new() };
        let of = |device: &DeviceId| {
            let quotas = self.quotas_of(id, device).into_iter();
            quotas.map(|quota| (*device, quota)).collect::<Vec<_>>()
        };
        compartment.devices().keys().flat_map(of).collect()
    }

    /// The quotas of one device in a compartment.
    #[must_use]
    pub fn quotas_of(&self, id: CompartmentId, device: &DeviceId) -> BTreeSet<Quota> {
        let written = self.logbook.written(id, *device).map(|(life, _)| life);
        let own = (*device == self.device()).then_some(self.incarnation);
        written.chain(own).filter_map(|life| self.quota(id, device, life)).collect()
    }

    /// Fails if entries of records would go beyond this device's quota in a compartment.
    pub(super) fn needs_quota(
        &self,
        id: CompartmentId,
        class: Class,
        entries: &[NewEntry],
    ) -> Result<(), ActError> {
        let Some(quota) = self.quota(id, &self.device(), self.incarnation) else { return Ok(()) };
        let needed: usize = entries.iter().map(bytes_at_most).sum();
        let (left, needed) = (quota.left_bytes(), quota.uses(class, needed as u64));
        if needed <= left {
            return Ok(());
        }
        Err(ActError::Quota { quota: quota.bytes, left, needed })
    }

    /// Whether a run goes beyond what is stored of its author here.
    pub(super) fn exceeds_quota(&self, run: &VerifiedRun) -> bool {
        let log = run.log();
        if log.class == Class::Authority {
            return false;
        }
        let quota = self.quota(log.compartment, &log.device, log.incarnation);
        quota.is_some_and(|quota| {
            let most = quota.bytes.saturating_add(QUOTA_RECEIPTS_BYTES);
            let uses = quota.uses(log.class, run.written());
            uses > 0 && quota.used_bytes.saturating_add(uses) > most
        })
    }
}

/// How many bytes an entry counts for when it is written, at most.
fn bytes_at_most(entry: &NewEntry) -> usize {
    let payload = entry.payload.as_ref().map_or(0, Vec::len);
    entry.sealed.len() + payload + ENTRY_OVERHEAD_BYTES + KEY_BOX_BYTES
}
