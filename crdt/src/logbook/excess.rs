//! Devices that began logs in too many incarnations: kept proofs, and what they do to logs.
//!
//! Peers hold different logs of such a device, and none has to hold any. So all of them count as
//! forked from their beginning on: entries count as far as a keep or an adopt names them, and nothing
//! is appended any more.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::entry::excess::{EXCESS_INCARNATIONS, ExcessProof};
use crate::entry::fork::{Branch, ForkProof};
use crate::entry::run::Head;
use crate::id::{Class, CompartmentId, DeviceId, Incarnation, LogId};
use crate::statement::Statement;
use crate::store::{Batch, Space, Store, StoreError};

use super::{LogState, Logbook};

impl Logbook {
    /// Whether a device is proven to have too many incarnations in an area.
    #[must_use]
    pub fn has_excess(&self, compartment: CompartmentId, device: DeviceId) -> bool {
        self.excesses.contains(&(compartment, device))
    }

    /// The devices that are proven to have too many incarnations in an area.
    pub fn excesses(&self, compartment: CompartmentId) -> impl Iterator<Item = &DeviceId> {
        let span = (compartment, DeviceId([0; 32]))..=(compartment, DeviceId([0xff; 32]));
        self.excesses.range(span).map(|(_, device)| device)
    }

    /// Of each incarnation of a device in an area the log of the most urgent class that is held.
    #[must_use]
    pub fn incarnations(
        &self,
        compartment: CompartmentId,
        device: DeviceId,
    ) -> BTreeMap<Incarnation, LogId> {
        let mut held = BTreeMap::new();
        for (log, _) in self.logs_by(compartment, device) {
            held.entry(log.incarnation).or_insert(**log);
        }
        held
    }

    /// The logs of a device in an area, most urgent class first.
    fn logs_by(
        &self,
        compartment: CompartmentId,
        device: DeviceId,
    ) -> impl Iterator<Item = (&Arc<LogId>, LogState)> {
        Class::ALL.into_iter().flat_map(move |class| {
            let log = |life| LogId { compartment, class, device, incarnation: Incarnation(life) };
            let logs = self.logs.range::<LogId, _>(log(0)..=log(u64::MAX));
            logs.map(|(log, kept)| (log, kept.state()))
        })
    }

    /// The proof that a device has too many incarnations in an area, drawn from the logs that are
    /// held; `None` if these do not show it.
    pub fn prove_excess(
        &self,
        store: &dyn Store,
        compartment: CompartmentId,
        device: DeviceId,
    ) -> Result<Option<ExcessProof>, StoreError> {
        let held = self.incarnations(compartment, device);
        if held.len() < EXCESS_INCARNATIONS {
            return Ok(None);
        }
        let mut branches = Vec::new();
        let mut first = Vec::new();
        for log in held.values().take(EXCESS_INCARNATIONS) {
            branches.extend(self.beginning(store, log)?);
            let entry = self.entry(store, log, 0)?;
            let desk = entry
                .filter(|entry| matches!(Statement::decode(&entry.sealed), Ok(Statement::Desk(_))));
            if let (Some(entry), true) = (desk, first.is_empty()) {
                first = entry.sealed;
            }
        }
        Ok(ExcessProof::new(branches, first))
    }

    /// What proves that a device began a log: its first entry, or the proof of its fork.
    fn beginning(&self, store: &dyn Store, log: &LogId) -> Result<Option<Branch>, StoreError> {
        if let Some(branch) = self.branch(store, log, 0)? {
            return Ok(Some(branch));
        }
        let proof = self.proof(store, log)?.and_then(|proof| ForkProof::decode(&proof));
        Ok(proof.map(|proof| proof.branch().clone()))
    }

    /// Keeps a proof. Returns whether it is news.
    pub fn exceed(&mut self, batch: &mut Batch, proof: &ExcessProof) -> bool {
        let (compartment, device) = (proof.compartment(), proof.device());
        if !self.excesses.insert((compartment, device)) {
            return false;
        }
        batch.put(Space::Proofs, excess_key(&compartment, &device), proof.encode());
        let logs: Vec<(Arc<LogId>, LogState)> = self
            .logs_by(compartment, device)
            .map(|(log, state)| (Arc::clone(log), state))
            .collect();
        for (log, state) in logs {
            let forked =
                LogState { forked_at: Some(0), proven_at: Some(0), shared: Head::EMPTY, ..state };
            self.set(batch, &log, forked);
        }
        true
    }

    /// The proof that a device has too many incarnations in an area, encoded, where there is one.
    pub fn excess_proof(
        &self,
        store: &dyn Store,
        compartment: &CompartmentId,
        device: &DeviceId,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        store.get(Space::Proofs, &excess_key(compartment, device))
    }

    pub(super) fn load_excesses(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        store.scan(Space::Proofs, &[], &[], &mut |key, _| {
            if let Some((compartment, device)) = read_excess_key(key) {
                self.excesses.insert((compartment, device));
            }
            ControlFlow::Continue(())
        })
    }
}

/// `compartment (32) || device (32)`: shorter than the key of a fork's proof.
fn excess_key(compartment: &CompartmentId, device: &DeviceId) -> Vec<u8> {
    [compartment.0, device.0].concat()
}

fn read_excess_key(key: &[u8]) -> Option<(CompartmentId, DeviceId)> {
    let (compartment, device) = key.split_first_chunk()?;
    Some((CompartmentId(*compartment), DeviceId(device.try_into().ok()?)))
}
