//! Whose a relay's house is: what each device wrote of what is held, and what is left to each however much
//! others write.
//!
//! Half of the quota is shared out: equally among the agencies of which something is held, and of an
//! agency's part equally among its devices. What a device wrote does not go for want of room while it is
//! within its part, or its agency within its own. The rest goes by urgency and age. Since the parts are
//! half of the quota at most, there is always something that may go; and since an agency has one part
//! however many devices it enrols, it takes nothing of another's.

use std::collections::BTreeMap;

use tearline_crdt::id::{AgencyNo, CoalitionId, DeviceId};

use super::Arrived;

/// An agency, as a coalition counts it; `None` of a device that is not known any more.
pub(super) type Agency = Option<(CoalitionId, AgencyNo)>;

/// What is held, by who wrote it.
#[derive(Debug, Default)]
pub(super) struct Shares(BTreeMap<DeviceId, Share>);

/// What is held of a device.
#[derive(Debug, Default)]
pub(super) struct Share {
    pub(super) bytes: u64,
    /// What goes first of it; `None` where that is to be looked up.
    pub(super) first: Option<Arrived>,
}

impl Shares {
    /// More came.
    pub(super) fn add(&mut self, row: Arrived, bytes: u64) {
        let share = self.0.entry(row.device).or_default();
        share.bytes = share.bytes.saturating_add(bytes);
        // Of one that is known, what came may be less urgent; of the same place there is more now.
        if share
            .first
            .is_some_and(|first| (row.rank, row.hour, row.no) <= (first.rank, first.hour, first.no))
        {
            share.first = None;
        }
    }

    /// Something went.
    pub(super) fn remove(&mut self, device: &DeviceId, bytes: u64) {
        let Some(share) = self.0.get_mut(device) else { return };
        share.bytes = share.bytes.saturating_sub(bytes);
        share.first = None;
        if share.bytes == 0 {
            self.0.remove(device);
        }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> u64 {
        self.0.values().map(|share| share.bytes).sum()
    }

    pub(super) fn devices(&self) -> impl Iterator<Item = &DeviceId> {
        self.0.keys()
    }

    pub(super) fn share_mut(&mut self, device: &DeviceId) -> Option<&mut Share> {
        self.0.get_mut(device)
    }

    /// The devices whose entries may go for want of room, if `coming` came of this device besides.
    pub(super) fn over(
        &self,
        quota_bytes: u64,
        coming: Option<(DeviceId, u64)>,
        agency_of: impl Fn(&DeviceId) -> Agency,
    ) -> Vec<DeviceId> {
        let mut agencies: BTreeMap<Agency, BTreeMap<DeviceId, u64>> = BTreeMap::new();
        let held = self.0.iter().map(|(device, share)| (*device, share.bytes));
        for (device, bytes) in held.chain(coming) {
            *agencies.entry(agency_of(&device)).or_default().entry(device).or_default() += bytes;
        }
        let part = quota_bytes / SHARED_PART / (agencies.len() as u64).max(1);
        let mut over = Vec::new();
        for devices in agencies.values() {
            if devices.values().sum::<u64>() > part {
                let own_part = part / (devices.len() as u64).max(1);
                over.extend(devices.iter().filter(|(_, b)| **b > own_part).map(|(d, _)| *d));
            }
        }
        over
    }
}

/// This part of the quota is shared out.
const SHARED_PART: u64 = 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use tearline_crdt::logbook::LogNo;

    fn shares(held: &[(u8, u64)]) -> Shares {
        let mut shares = Shares::default();
        for (device, bytes) in held {
            let device = DeviceId([*device; 32]);
            let row = Arrived { device, rank: 0, hour: 0, no: LogNo(0), end: 1, bytes: *bytes };
            shares.add(row, *bytes);
        }
        shares
    }

    /// Ten devices of each agency.
    fn agency_of(device: &DeviceId) -> Agency {
        Some((CoalitionId([0; 32]), AgencyNo(u16::from(device.0[0] / 10))))
    }

    fn over(held: &[(u8, u64)], coming: Option<(u8, u64)>) -> Vec<u8> {
        let coming = coming.map(|(device, bytes)| (DeviceId([device; 32]), bytes));
        let over = shares(held).over(1_000, coming, agency_of);
        over.iter().map(|device| device.0[0]).collect()
    }

    #[test]
    fn each_agency_and_in_it_each_device_keeps_its_part() {
        assert_eq!(over(&[(10, 900), (20, 240)], None), [10]);
        assert_eq!(over(&[(10, 900), (20, 260)], None), [10, 20]);
        // In an agency that is over its part those of its devices keep theirs that write little.
        assert_eq!(over(&[(10, 900), (11, 100), (20, 240)], None), [10]);
        // An agency that enrols more devices takes nothing of another's part.
        assert_eq!(over(&[(10, 200), (11, 200), (12, 200), (20, 250)], None), [10, 11, 12]);
        assert_eq!(over(&[(10, 1_000)], Some((20, 100))), [10]);
    }

    proptest! {
        /// Whoever wrote what: past the quota there is something that may go.
        #[test]
        fn past_the_quota_there_is_always_something_that_may_go(
            held in prop::collection::vec((0u8..60, 1u64..400), 1..40),
        ) {
            let total: u64 = held.iter().map(|(_, bytes)| bytes).sum();
            prop_assert!(total <= 1_000 || !over(&held, None).is_empty());
        }
    }
}
