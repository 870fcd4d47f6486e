//! Vouching: telling the driver which devices have a standing here. The transport keeps links of others for
//! as long as it may take to find that out, and carries circuits for none of them.

use std::collections::BTreeSet;

use tearline_crdt::authority::Coalition;
use tearline_crdt::id::DeviceId;
use tearline_crdt::store::Store;

use super::{Link, Output, Replica};

impl<S: Store> Replica<S> {
    /// Tells the driver, once, that a link is with a device that has a standing.
    pub(super) fn vouch(&mut self, link: Link) {
        let Some(session) = self.sessions.get(&link) else { return };
        let device = session.device;
        if session.vouched || !session.is_heard() || !self.has_standing(&device) {
            return;
        }
        if let Some(session) = self.sessions.get_mut(&link) {
            session.vouched = true;
        }
        self.outputs.push_back(Output::Vouch { link });
        self.compare_whereabouts(link);
    }

    /// Tells the driver which devices have lost their last standing. One that regains it on a link that is
    /// still up is vouched for again.
    pub(super) fn unvouch(&mut self) {
        let now = self.devices_with_standing();
        let own = self.device();
        let before = std::mem::replace(&mut self.vouched_for, now);
        for device in before.difference(&self.vouched_for).filter(|device| **device != own) {
            let sessions = self.sessions.values_mut();
            for session in sessions.filter(|session| session.device == *device) {
                session.vouched = false;
            }
            self.outputs.push_back(Output::Unvouch { device: *device });
        }
    }

    /// The devices that have a standing in a coalition: their links are vouched for.
    #[must_use]
    pub fn devices_with_standing(&self) -> BTreeSet<DeviceId> {
        let live = |coalition: &Coalition| {
            let devices = coalition.devices().keys();
            devices.filter(|device| coalition.live(device).is_some()).copied().collect::<Vec<_>>()
        };
        self.coalitions().flat_map(live).collect()
    }
}
