//! Excess: devices that begin logs in too many incarnations, and agreeing on what to do with them.
//!
//! A peer takes logs of as many incarnations of a device as a device may have in an area, and of one
//! more: with it the device is proven to make them up. From then on nobody names logs of it in that
//! area, sends or takes any; what is stored stays, and counts as far as a keep or an adopt names it. In
//! their place the frontier has one leaf, which is the same wherever the proof is, so that peers
//! that met other incarnations hold the same as soon as both hold a proof. Any proof will do.

use tearline_crdt::entry::excess::{EXCESS_INCARNATIONS, ExcessProof};
use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::{Class, CompartmentId, DeviceId, Incarnation, LogId};
use tearline_crdt::statement::Statement;
use tearline_crdt::store::{Batch, Store, StoreError};

use super::lag::lag_key;
use super::sync::Outcome;
use super::{Barrier, Link, Replica};
use crate::fault::PeerFault;
use crate::wire::Frame;

impl<S: Store> Replica<S> {
    /// Whether a log may begin here.
    pub(super) fn has_room_for(&self, log: &LogId) -> bool {
        let LogId { compartment, device, incarnation, .. } = *log;
        if self.logbook.has_excess(compartment, device) {
            return false;
        }
        let held = self.logbook.incarnations(compartment, device);
        held.len() < EXCESS_INCARNATIONS || held.contains_key(&incarnation)
    }

    /// A log began: its device may have too many incarnations now.
    pub(super) fn note_incarnation(&mut self, log: &LogId) -> Result<(), StoreError> {
        let LogId { compartment, device, .. } = *log;
        if self.logbook.has_excess(compartment, device) {
            return Ok(());
        }
        let proof = self.logbook.prove_excess(&self.store, compartment, device);
        self.past_damage(proof)?.map_or(Ok(()), |proof| self.keep_excess(&proof))
    }

    /// Draws the proofs that a crash came before.
    pub(super) fn load_excesses(&mut self) -> Result<(), StoreError> {
        let mut logs: Vec<LogId> = self.logbook.logs().map(|(log, _)| *log).collect();
        logs.sort_by_key(|log| (log.compartment, log.device));
        logs.dedup_by_key(|log| (log.compartment, log.device));
        logs.iter().try_for_each(|log| self.note_incarnation(log))
    }

    /// A frame that may bring a proof.
    pub(super) fn on_excess(&mut self, link: Link, id: CompartmentId, proof: &[u8]) -> Outcome {
        if !self.may_ask(link, EXCESS_INCARNATIONS) {
            return Ok(Err(PeerFault::Endless));
        }
        let Some(proof) = ExcessProof::decode(proof).filter(|proof| proof.compartment() == id)
        else {
            return Ok(Err(PeerFault::ForkProof));
        };
        let first = Statement::decode(proof.first()).ok();
        let any = LogId {
            compartment: id,
            class: Class::Authority,
            device: proof.device(),
            incarnation: Incarnation(0),
        };
        if self.admits(&any, first.as_ref()) {
            self.keep_excess(&proof)?;
        }
        Ok(Ok(()))
    }

    /// Keeps a proof that is news; everybody who shares the area is told once that is durable. Records
    /// are judged again with the next input.
    fn keep_excess(&mut self, proof: &ExcessProof) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        if !self.logbook.exceed(&mut batch, proof) {
            return Ok(());
        }
        let id = proof.compartment();
        self.keep_all_beyond(&mut batch, id, proof.device())?;
        self.apply(batch)?;
        self.excesses.push((Barrier(self.next_barrier), id, proof.device()));
        self.stale.insert(id);
        self.redraw()?;
        self.seals_wanted = true;
        Ok(())
    }

    /// The proofs up to a barrier are durable: the logs are not named any more, and everybody who
    /// shares the area is told. Whether there are any.
    pub(super) fn spread_excesses(&mut self, barrier: Barrier) -> Result<bool, StoreError> {
        let excesses = std::mem::take(&mut self.excesses);
        let (durable, waiting): (Vec<_>, Vec<_>) =
            excesses.into_iter().partition(|(covered_by, ..)| *covered_by <= barrier);
        self.excesses = waiting;
        for (_, id, device) in &durable {
            self.unname(*id, *device);
            let sharing = self.sessions.iter().filter(|(_, s)| s.shared.contains(id));
            let links: Vec<Link> = sharing.map(|(link, _)| *link).collect();
            for link in links {
                self.say_excess(link, *id, *device)?;
                self.mark_in_sync(link);
            }
        }
        Ok(!durable.is_empty())
    }

    /// Puts one leaf in the place of a device's logs. Nothing of them is on its way any more.
    fn unname(&mut self, id: CompartmentId, device: DeviceId) {
        let Some(area) = self.areas.get_mut(&id) else { return };
        let logs = area.logs.iter().filter(|(_, log)| log.device == device);
        let keys: Vec<LogKey> = logs.map(|(key, _)| *key).collect();
        area.frontier.set_excess(&id, &device, keys.iter().copied());
        for session in self.sessions.values_mut() {
            for key in keys.iter().copied().chain([LogKey::of_excess(&id, &device)]) {
                session.forget_log(&lag_key(id, key));
            }
        }
        self.forget_digests();
    }

    /// The device that a leaf of the frontier here says has too many incarnations.
    pub(super) fn excess_at(&self, id: CompartmentId, key: &LogKey) -> Option<DeviceId> {
        let named = self.areas.get(&id)?.frontier.head(key).next > 0;
        let mut devices = self.logbook.excesses(id).filter(|_| named);
        devices.find(|device| LogKey::of_excess(&id, device) == *key).copied()
    }

    /// Says that a device has too many incarnations, a few times in a session at most, and not before
    /// that is durable.
    pub(super) fn say_excess(
        &mut self,
        link: Link,
        id: CompartmentId,
        device: DeviceId,
    ) -> Result<(), StoreError> {
        let key = LogKey::of_excess(&id, &device);
        if !self.may_hear(link, id)
            || self.excess_at(id, &key).is_none()
            || !self.may_accuse(link, lag_key(id, key))
        {
            return Ok(());
        }
        let proof = self.logbook.excess_proof(&self.store, &id, &device)?;
        let Some(proof) = proof else { return Ok(()) };
        let area = self.tag_of(link, &id);
        self.say(link, Frame::Fork { area, proof });
        Ok(())
    }
}
