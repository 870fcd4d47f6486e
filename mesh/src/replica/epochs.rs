//! Epochs: who begins one, and to whom it is sealed.
//!
//! A reader with history is sealed all epochs. One without it is sealed those alone that are made
//! while it is a reader, by who makes them. So that it lacks nothing that is written from then on,
//! who grants that it reads begins an epoch in each compartment that it reads, and whoever writes and
//! finds a reader whom the current epoch is closed to begins another.

use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::authority::Compartment;
use tearline_crdt::entry::merkle_root;
use tearline_crdt::entry::sealed::LogCipher;
use tearline_crdt::epoch::{BOXES_MAX, EpochKeys, box_context, encode_boxes};
use tearline_crdt::id::{Class, CoalitionId, CompartmentId, DeviceId, EpochId};
use tearline_crdt::keys::{DeviceCard, KemKey};
use tearline_crdt::seal::{BoxEntropy, Key, SecretBox};
use tearline_crdt::statement::{EpochStatement, PARENTS_MAX, Right, Statement};
use tearline_crdt::store::{Batch, Store, StoreError};
use tearline_crdt::time::Now;

use super::area::{Area, Body};
use super::author::{Statements, random};
use super::{ActError, Done, Replica};

impl<S: Store> Replica<S> {
    /// Begins a new epoch of a compartment, for all that may read it now.
    pub fn rotate(&mut self, now: Now, id: CompartmentId) -> Result<Done<EpochId>, ActError> {
        self.conclude(now)?;
        self.compartment(id).ok_or(ActError::NoCompartment)?;
        if self.own_right(id) < Some(Right::Write) {
            return Err(ActError::Denied { needed: Right::Write });
        }
        self.wall = now.wall;
        let name = self.areas.get(&id).and_then(|area| area.name.clone()).unwrap_or_default();
        let mut statements = Vec::new();
        let value = self.begin_epoch(id, &name, &mut statements)?;
        let ticket = self.state(now, id, statements)?;
        Ok(Done { value, ticket })
    }

    /// Has a compartment an epoch to write under that all who may read it can open, as before a write: what
    /// is missing is sealed, or another begun.
    pub fn ready_epoch(&mut self, now: Now, id: CompartmentId) -> Result<Done<EpochId>, ActError> {
        self.conclude(now)?;
        self.compartment(id).ok_or(ActError::NoCompartment)?;
        if self.own_right(id) < Some(Right::Write) {
            return Err(ActError::Denied { needed: Right::Write });
        }
        self.wall = now.wall;
        let value = self.epoch_to_write(now, id)?;
        let ticket = self.put(Batch::default())?;
        Ok(Done { value, ticket })
    }

    /// Appends what begins an epoch of a compartment, and names the compartment under it: some of its
    /// readers may be able to open no other.
    pub(super) fn begin_epoch(
        &mut self,
        id: CompartmentId,
        name: &str,
        statements: &mut Statements,
    ) -> Result<EpochId, ActError> {
        let (epoch, made) = self.new_epoch(id)?;
        statements.extend(made);
        if !name.is_empty() {
            let keys = self.epoch_keys.get(&epoch).cloned().ok_or(ActError::NoKeys)?;
            let log = self.own_log(id, Class::Authority);
            let seq = self.logbook.head(&log).next + statements.len() as u64;
            let sealed = LogCipher::new(log, epoch, keys).seal_rest(seq, name.as_bytes());
            statements.push((Statement::Describe { epoch }, Some(sealed)));
        }
        Ok(epoch)
    }

    /// A new epoch of a compartment, following the heads of those that are known, and seals of it to
    /// all readers whose keys are known. Its secret is kept here.
    fn new_epoch(&mut self, id: CompartmentId) -> Result<(EpochId, Statements), ActError> {
        let compartment = self.compartment(id).ok_or(ActError::NoCompartment)?;
        let epochs = compartment.epochs();
        let followed: BTreeSet<EpochId> =
            epochs.values().flat_map(|epoch| epoch.statement.parents.iter().copied()).collect();
        let mut heads: Vec<(u64, EpochId)> = epochs
            .iter()
            .filter(|(epoch, _)| !followed.contains(*epoch))
            .map(|(epoch, state)| (state.statement.depth, *epoch))
            .collect();
        heads.sort_unstable_by(|a, b| b.cmp(a));
        heads.truncate(PARENTS_MAX);
        let deepest = heads.first().map_or(0, |(depth, _)| *depth);
        let mut parents: Vec<EpochId> = heads.into_iter().map(|(_, epoch)| epoch).collect();
        parents.sort_unstable();
        let secret = Key::new(random(&mut *self.entropy));
        let commitment = EpochKeys::commitment(&secret);
        let statement = EpochStatement { parents, depth: deepest.saturating_add(1), commitment };
        let epoch = statement.id(&id);
        let mut cards = readers(self.compartment(id));
        // Its maker's own box is in the first statement: who holds that can go on after a restart.
        cards.sort_unstable_by_key(|card| card.device != self.device());
        let mut batch = Batch::default();
        self.hold_epoch(&mut batch, epoch, EpochKeys::of(&secret));
        self.apply(batch)?;
        let mut statements = vec![(Statement::Epoch(statement), None)];
        statements.extend(self.seals(id, epoch, &secret, &cards));
        Ok((epoch, statements))
    }

    /// A device's ML-KEM key, once the statement that brought the device in brought it, too.
    fn kem_key(&self, coalition: CoalitionId, card: &DeviceCard) -> Option<&KemKey> {
        self.areas.get(&CompartmentId(coalition.0))?.kem_keys.get(&card.kem_hash)
    }

    /// Whether a device can be sealed to: its keys are known and sound.
    fn can_seal_to(&self, compartment: &Compartment, card: &DeviceCard) -> bool {
        let kem = self.kem_key(compartment.opening().coalition, card);
        kem.is_some_and(|kem| SecretBox::can_be_for(card, kem))
    }

    /// Seals a secret to devices, as many in one statement as its payload takes. One whose ML-KEM
    /// key is not known has to wait; one with a weak or invalid key gets no box: the fault is its
    /// own.
    fn seals(
        &mut self,
        id: CompartmentId,
        epoch: EpochId,
        secret: &[u8; 32],
        cards: &[DeviceCard],
    ) -> Statements {
        let Some(compartment) = self.compartment(id) else { return Vec::new() };
        let coalition = compartment.opening().coalition;
        let context = box_context(&id.0, &EpochKeys::commitment(secret));
        let mut statements = Vec::new();
        for cards in cards.chunks(BOXES_MAX) {
            let mut boxes = Vec::new();
            for card in cards {
                let entropy = BoxEntropy::new(random(&mut *self.entropy));
                let Some(kem) = self.kem_key(coalition, card) else { continue };
                boxes.extend(SecretBox::seal(card, kem, &context, secret, &entropy));
            }
            if boxes.is_empty() {
                continue;
            }
            let boxes_root = merkle_root(boxes.iter().map(SecretBox::leaf));
            let payload = encode_boxes(&boxes);
            statements.push((Statement::Seal { epoch, boxes_root }, Some(payload)));
        }
        statements
    }

    /// Seals epochs whose secrets we hold to readers with history that have no box that they can rely
    /// on: the compartment's opener for all, once its standing has ended every desk; a desk for the
    /// devices of its own agency. A bounded number of statements is written at a time.
    pub(super) fn seal_missing(&mut self, now: Now) -> Result<(), StoreError> {
        if !std::mem::take(&mut self.seals_wanted) {
            return Ok(());
        }
        let own = self.device();
        let ids: Vec<CompartmentId> = self
            .areas
            .iter()
            .filter(|(_, area)| matches!(area.body, Body::Compartment(_)))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let Some(compartment) = self.compartment(id) else { continue };
            let Some(standing) = compartment.live(&own) else { continue };
            let (desk, agency) = (standing.desk, standing.agency);
            let opener = compartment.opening().opener;
            let opener = opener == own || desk && compartment.live(&opener).is_none();
            if self.own_right(id) < Some(Right::Write) {
                continue;
            }
            let wanted = compartment.readers().filter(|(device, other)| {
                **device != own
                    && (opener || desk && other.agency == agency)
                    && compartment.reads_history(device)
            });
            let wanted: Vec<DeviceCard> = wanted.map(|(_, other)| other.card.clone()).collect();
            let mut statements = Vec::new();
            for (epoch, cards) in self.missing(compartment, &wanted) {
                statements.extend(self.seals_of(id, epoch, &cards));
                if statements.len() >= SEALS_PER_INPUT_MAX {
                    self.seals_wanted = true;
                    break;
                }
            }
            if statements.is_empty() {
                continue;
            }
            match self.state(now, id, statements) {
                Err(ActError::Store(error)) => return Err(error),
                _ if self.seals_wanted => return Ok(()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Begins an epoch wherever the current one is closed to readers: this device has just granted
    /// that they read. Where it may not, or cannot, whoever writes next does.
    pub(super) fn welcome(&mut self, now: Now) -> Result<(), StoreError> {
        let is_compartment = |area: &Area| matches!(area.body, Body::Compartment(_));
        let areas = self.areas.iter().filter(|(_, area)| is_compartment(area));
        let ids: Vec<CompartmentId> = areas.map(|(id, _)| *id).collect();
        for id in ids {
            if self.has_newcomers(id)
                && let Err(ActError::Store(error)) = self.rotate(now, id)
            {
                return Err(error);
            }
        }
        Ok(())
    }

    /// The epochs of a compartment whose keys are not here, but retired ones; and whether each is closed to
    /// this device for good. One that is younger than all that it has may be on its way.
    pub(super) fn unopened(&self, id: CompartmentId) -> impl Iterator<Item = (EpochId, bool)> {
        let own = self.device();
        let compartment = self.compartment(id).into_iter();
        compartment.flat_map(move |compartment| {
            let epochs = compartment.epochs();
            let opened = epochs.iter().filter(|(epoch, _)| self.can_open(epoch));
            let deepest = opened.map(|(_, state)| state.statement.depth).max();
            let unopened = epochs.iter().filter(|(epoch, s)| !self.can_open(epoch) && !s.retired);
            unopened.map(move |(epoch, state)| {
                let older = deepest >= Some(state.statement.depth);
                (*epoch, older && compartment.is_closed_to(epoch, &own))
            })
        })
    }

    /// The epochs to be sealed to some readers, each with those that lack it.
    fn missing(
        &self,
        compartment: &Compartment,
        wanted: &[DeviceCard],
    ) -> BTreeMap<EpochId, Vec<DeviceCard>> {
        let own = self.device();
        let mut missing: BTreeMap<EpochId, Vec<DeviceCard>> = BTreeMap::new();
        for card in wanted {
            let lacks = |epoch: &EpochId| {
                let keys = self.epoch_keys.get(epoch);
                keys.is_some_and(|keys| keys.secret().is_some())
                    && !compartment.is_sealed(epoch, &card.device, &own)
            };
            let mut lacking = compartment.epochs().keys().filter(|epoch| lacks(epoch)).peekable();
            if lacking.peek().is_none() || !self.can_seal_to(compartment, card) {
                continue;
            }
            for epoch in lacking {
                missing.entry(*epoch).or_default().push(card.clone());
            }
        }
        missing
    }

    fn seals_of(&mut self, id: CompartmentId, epoch: EpochId, cards: &[DeviceCard]) -> Statements {
        let Some(keys) = self.epoch_keys.get(&epoch).cloned() else { return Vec::new() };
        let Some(secret) = keys.secret() else { return Vec::new() };
        self.seals(id, epoch, secret, cards)
    }

    /// Whether the current epoch is closed to readers whom a new one could be sealed to.
    fn has_newcomers(&self, id: CompartmentId) -> bool {
        let Some(compartment) = self.compartment(id) else { return false };
        let current = compartment.current_epoch(|epoch| self.can_open(epoch));
        current.is_some_and(|epoch| {
            compartment.readers().any(|(device, standing)| {
                compartment.is_closed_to(&epoch, device)
                    && self.can_seal_to(compartment, &standing.card)
            })
        })
    }

    /// The epoch to write under. A new one is made where none of those that count is for live readers
    /// alone, or the current one is closed to some of them or to us; whoever may have it and was left
    /// out by its maker is sealed to first.
    pub(super) fn epoch_to_write(
        &mut self,
        now: Now,
        id: CompartmentId,
    ) -> Result<EpochId, ActError> {
        let own = self.device();
        let compartment = self.compartment(id).ok_or(ActError::NoCompartment)?;
        let Some(epoch) = compartment.current_epoch(|epoch| self.can_open(epoch)) else {
            // A box that is here was tried when its epoch came. One that is not may never come.
            return Ok(self.rotate(now, id)?.value);
        };
        if self.has_newcomers(id) {
            return Ok(self.rotate(now, id)?.value);
        }
        let boxed: BTreeSet<&DeviceId> = compartment.boxed(&epoch).collect();
        let left_out = compartment.readers().filter(|(device, standing)| {
            **device != own
                && !boxed.contains(device)
                && compartment.reads_history(device)
                && self.can_seal_to(compartment, &standing.card)
        });
        let left_out: Vec<DeviceCard> =
            left_out.map(|(_, standing)| standing.card.clone()).collect();
        let statements = self.seals_of(id, epoch, &left_out);
        if !statements.is_empty() {
            self.state(now, id, statements)?;
        }
        Ok(epoch)
    }
}

/// Most seals that are written for one input: each is up to a payload long.
const SEALS_PER_INPUT_MAX: usize = 16;

fn readers(compartment: Option<&Compartment>) -> Vec<DeviceCard> {
    let readers = compartment.into_iter().flat_map(Compartment::readers);
    readers.map(|(_, standing)| standing.card.clone()).collect()
}
