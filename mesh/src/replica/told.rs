//! What authority logs come to, shared by the replicas of one process ([`Memo`](crate::memo::Memo)).
//!
//! A replica that starts reads the statements of its areas and draws the answers. Another that holds the
//! same authority logs, to the same heads, would draw the same: it takes them as they are, and opens for
//! itself what only its own keys open. Both then share one copy, until either hears something new.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tearline_crdt::codec::Write as _;
use tearline_crdt::epoch::decode_boxes;
use tearline_crdt::hash::{Digest, sha256};
use tearline_crdt::id::{Class, CompartmentId, DeviceId, EpochId, LogId};
use tearline_crdt::keys::KemKey;
use tearline_crdt::statement::Statement;
use tearline_crdt::store::{Store, StoreError};

use super::Replica;
use super::area::Body;

/// What the authority logs of an area come to, whoever holds them: for replicas of one process that hold the
/// same ones.
#[derive(Clone, Debug)]
pub struct Told {
    body: Body,
    boxes: Arc<BTreeMap<EpochId, BTreeSet<(LogId, u64)>>>,
    kem_keys: Arc<BTreeMap<Digest, KemKey>>,
    /// Where boxes for each device are, and where the area is named: what each holder opens for itself.
    boxes_for: Arc<BTreeMap<DeviceId, Vec<(LogId, u64)>>>,
    names: Arc<Vec<(LogId, u64)>>,
}

impl<S: Store> Replica<S> {
    /// Keeps so many documents at the most between uses, where there are many replicas in one process.
    pub fn keep_documents(&mut self, most: usize) {
        self.shelf.keep_documents(most);
    }

    /// Where the statements of an area lie.
    pub(super) fn authority_places(&self, id: CompartmentId) -> Vec<(LogId, u64)> {
        let logs = self.logbook.logs_of(id).filter(|(log, _)| log.class == Class::Authority);
        logs.flat_map(|(log, state)| (0..state.head.next).map(|seq| (*log, seq))).collect()
    }

    /// A hash of the authority logs that decide what an area is; `None` where nothing is remembered, or where
    /// what they come to hangs on more than their heads.
    pub(super) fn heads(&self, id: CompartmentId) -> Option<Digest> {
        if !self.memo.remembers() || self.logbook.excesses(id).next().is_some() {
            return None;
        }
        let mut bytes = id.0.to_vec();
        for (log, state) in self.logbook.logs_of(id) {
            if state.proven_at.is_some() || state.begins.next > 0 {
                return None;
            }
            if log.class == Class::Authority {
                bytes.raw(&log.encode()).number(state.head.next).raw(&state.head.id.0);
            }
        }
        if let Body::Compartment(compartment) = &self.areas.get(&id)?.body {
            bytes.raw(&self.heads(CompartmentId(compartment.opening().coalition.0))?);
        }
        Some(sha256(&bytes))
    }

    /// Takes what another replica drew from the same logs. Returns where what is left to be done lies.
    pub(super) fn take_told(&mut self, id: CompartmentId, told: Told) -> Vec<(LogId, u64)> {
        let Told { body, boxes, kem_keys, boxes_for, names } = told;
        if let Some(area) = self.areas.get_mut(&id) {
            (area.body, area.boxes, area.kem_keys) = (body, boxes, kem_keys);
        }
        self.foretold.insert(id);
        let own = boxes_for.get(&self.device()).into_iter().flatten();
        let mut places: Vec<(LogId, u64)> = own.chain(names.iter()).copied().collect();
        places.sort_unstable();
        places
    }

    /// Remembers what the authority logs of an area came to, unless something is closed there, or gone: then
    /// more decides than their heads.
    pub(super) fn note_told(&mut self, id: CompartmentId, heads: Digest) -> Result<(), StoreError> {
        let mut boxes_for: BTreeMap<DeviceId, Vec<(LogId, u64)>> = BTreeMap::new();
        let mut names = Vec::new();
        for (log, seq) in self.authority_places(id) {
            let Some(entry) = self.logbook.entry(&self.store, &log, seq)? else { continue };
            if entry.detached {
                return Ok(());
            }
            match Statement::decode(&entry.sealed) {
                Ok(Statement::Describe { .. }) => names.push((log, seq)),
                Ok(Statement::Seal { .. }) => {
                    let boxes = entry.payload.as_deref().and_then(|boxes| decode_boxes(boxes).ok());
                    for sealed in boxes.into_iter().flatten() {
                        let places = boxes_for.entry(sealed.device).or_default();
                        if places.last() != Some(&(log, seq)) {
                            places.push((log, seq));
                        }
                    }
                }
                _ => {}
            }
        }
        let Some(area) = self.areas.get(&id) else { return Ok(()) };
        let closures = match &area.body {
            Body::Coalition(coalition) => coalition.closures(),
            Body::Compartment(compartment) => compartment.closures(),
        };
        if !closures.is_empty() || !area.strays.is_empty() {
            return Ok(());
        }
        let told = Told {
            body: area.body.clone(),
            boxes: Arc::clone(&area.boxes),
            kem_keys: Arc::clone(&area.kem_keys),
            boxes_for: Arc::new(boxes_for),
            names: Arc::new(names),
        };
        self.memo.note_told(heads, told);
        Ok(())
    }
}
