//! What is held against each device: the misdeeds that were counted as they came, and what by all that
//! is held gives nothing.
//!
//! A lie that bytes show is counted once, when they come. That a statement gives nothing, or that the
//! author of a log has no standing, follows from what else is held and may pass; so it is not counted
//! but drawn, and peers that hold the same sets say the same. It costs no link: who brought it may be
//! honest.

use std::collections::BTreeMap;

use tearline_crdt::authority::Refusal;
use tearline_crdt::id::{DeviceId, LogId};
use tearline_crdt::store::Store;

use super::Replica;
use super::area::Body;

/// How often each device did what, by the names of the misdeeds.
pub type Misdeeds = BTreeMap<DeviceId, BTreeMap<&'static str, u64>>;

/// Most devices against which faults are counted. A device of a coalition takes the place of a stranger;
/// those of further strangers are in the log alone.
const FAULTY_DEVICES_MAX: usize = 4_096;
/// Most logs of strangers that are remembered, about 100 bytes each.
pub const STRANGERS_MAX: usize = 1_024;

impl<S: Store> Replica<S> {
    /// Counts a fault of a device, if there is a place for it.
    pub(super) fn note_fault(&mut self, device: DeviceId, name: &'static str) {
        if self.faults.len() >= FAULTY_DEVICES_MAX && !self.faults.contains_key(&device) {
            if !self.is_of_a_coalition(&device) {
                return;
            }
            let stranger = self.faults.keys().find(|known| !self.is_of_a_coalition(known)).copied();
            let Some(stranger) = stranger else { return };
            self.faults.remove(&stranger);
        }
        let count = self.faults.entry(device).or_default().entry(name).or_default();
        *count = count.saturating_add(1);
    }

    /// Whether a device has, or had, a standing in a coalition.
    #[must_use]
    pub fn is_of_a_coalition(&self, device: &DeviceId) -> bool {
        self.coalitions().any(|coalition| coalition.devices().contains_key(device))
    }

    /// What is held against each device: what was counted since the start, and what its statements
    /// lack by all that is held now.
    #[must_use]
    pub fn faults(&self) -> Misdeeds {
        let mut all = self.faults.clone();
        let mut add = |device: DeviceId, refusal: Refusal| {
            *all.entry(device).or_default().entry(refusal.name()).or_default() += 1;
        };
        for area in self.areas.values() {
            let refused = match &area.body {
                Body::Coalition(coalition) => coalition.refused(),
                Body::Compartment(compartment) => {
                    let above = self.coalition(compartment.opening().coalition);
                    above.map(|above| compartment.refused(above)).unwrap_or_default()
                }
            };
            refused.into_values().for_each(|(device, refusal)| add(device, refusal));
        }
        let strangers = self.strangers.iter().filter(|log| self.is_stranger(log));
        strangers.for_each(|log| add(log.device, Refusal::NoStanding));
        let own = self.device();
        for (device, name) in self.proven().filter(|(device, _)| *device != own) {
            *all.entry(device).or_default().entry(name).or_default() += 1;
        }
        all
    }

    /// Who was proven to have written two histories of a log, or to have more lives than a device may.
    fn proven(&self) -> impl Iterator<Item = (DeviceId, &'static str)> {
        let exceeds = |log: &LogId| self.logbook.has_excess(log.compartment, log.device);
        let forked = self
            .logbook
            .logs()
            .filter(move |(log, state)| state.forked_at.is_some() && !exceeds(log))
            .map(|(log, _)| (log.device, "forked-log"));
        let excesses = self.areas.keys().flat_map(|id| self.logbook.excesses(*id));
        forked.chain(excesses.map(|device| (*device, "too-many-lives")))
    }

    /// What was counted against each device since the start.
    #[must_use]
    pub const fn counted_faults(&self) -> &Misdeeds {
        &self.faults
    }

    /// Whether a log that is declined would be remembered.
    pub(super) fn would_note(&self, log: &LogId) -> bool {
        self.strangers.len() < STRANGERS_MAX
            && !self.strangers.contains(log)
            && self.is_stranger(log)
    }

    /// Remembers a log of which something is declined that its author signed.
    pub(super) fn note_stranger(&mut self, log: LogId) {
        if self.would_note(&log) {
            self.strangers.insert(log);
        }
    }

    fn is_stranger(&self, log: &LogId) -> bool {
        match self.areas.get(&log.compartment).map(|area| &area.body) {
            Some(Body::Coalition(coalition)) => coalition.is_stranger(&log.device),
            Some(Body::Compartment(compartment)) => compartment.is_stranger(&log.device),
            None => false,
        }
    }
}
