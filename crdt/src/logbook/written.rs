//! How much each device wrote: what quotas are about.
//!
//! Bytes are counted as the author wrote them, once, when entries are appended: what is erased of them
//! later is not given back, so that peers count alike. Entries of authority logs are not counted: they
//! are taken whatever a device has written. Nor is a branch that was fetched, which is what somebody
//! above its author chose.

use crate::id::{Class, CompartmentId, DeviceId, Incarnation, LogId};

use super::Logbook;

impl Logbook {
    /// How many bytes a device wrote to logs of records in a compartment, as far as they are here, by
    /// its incarnations.
    pub fn written(
        &self,
        compartment: CompartmentId,
        device: DeviceId,
    ) -> impl Iterator<Item = (Incarnation, u64)> {
        let lives = self.written.range(
            (compartment, device, Incarnation(0))..=(compartment, device, Incarnation(u64::MAX)),
        );
        lives.map(|((_, _, life), bytes)| (*life, *bytes))
    }

    /// A log counts so much now, and counted so much before: of one that begins anew it is counted again.
    pub(super) fn count_written(&mut self, log: &LogId, before: u64, now: u64) {
        if log.class != Class::Authority && before != now {
            let life = (log.compartment, log.device, log.incarnation);
            let bytes = self.written.entry(life).or_default();
            *bytes = bytes.saturating_sub(before).saturating_add(now);
        }
    }
}
