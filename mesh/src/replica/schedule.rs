//! Rotation on schedule: an epoch that was written under for long enough is followed by another, so
//! that a secret which leaked unnoticed opens no more than one period.
//!
//! How old an epoch is, each peer counts by itself: from when it first held the epoch's keys, by its
//! own wall clock. Peers need not agree on it. A desk of the opener's agency begins the next one; where
//! none does, any other desk of the audience after a quarter of the period more. If several do so at
//! once, all peers write under the same one of theirs (`docs/protocol/authority.md`, section 9). An
//! epoch under which nobody wrote protects nothing and needs no successor.
//!
//! A clock that runs ahead and is put back would make an epoch young for years: an epoch from the
//! future counts from now.

use std::ops::ControlFlow;

use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::entry::NO_EPOCH;
use tearline_crdt::entry::run::VerifiedRun;
use tearline_crdt::id::{CompartmentId, EpochId};
use tearline_crdt::statement::Right;
use tearline_crdt::store::{Batch, Space, Store, StoreError};
use tearline_crdt::time::{Now, WallTime};

use super::Replica;
use super::author::ActError;

/// What this peer knows of an epoch whose keys it holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Age {
    /// When it first held the keys.
    since: WallTime,
    /// Whether anything is sealed under it.
    written: bool,
}

/// The epoch that a compartment is written under.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EpochAge {
    /// Its id.
    pub epoch: EpochId,
    /// When this peer first held its keys.
    pub since: WallTime,
    /// Whether anything is sealed under it.
    pub written: bool,
    /// From when on a desk of the opener's agency begins the next one, if anything is sealed under this
    /// one by then; `None` if that never happens by itself.
    pub due: Option<WallTime>,
}

/// How often epochs are looked at, in ms.
const LOOK_EVERY_MS: u64 = 60_000;

impl<S: Store> Replica<S> {
    /// From now on begins new epochs in place of those that are older than this, in ms; `None` leaves
    /// that to removals and to the operator.
    pub const fn rotate_after(&mut self, period_ms: Option<u64>) {
        self.rotate_after_ms = period_ms;
    }

    /// The epoch that a compartment is written under, and when the next is due; `None` while there is
    /// none that this device can open.
    #[must_use]
    pub fn epoch_age(&self, id: CompartmentId) -> Option<EpochAge> {
        let epoch = self.compartment(id)?.current_epoch(|epoch| self.can_open(epoch))?;
        let Age { since, written } = *self.ages.get(&epoch)?;
        let due = self.rotate_after_ms.map(|period| WallTime(since.0.saturating_add(period)));
        Some(EpochAge { epoch, since, written, due })
    }

    /// Begins the epochs that are due. Looks once a minute, whatever comes in.
    pub(super) fn rotate_due(&mut self, now: Now) -> Result<(), StoreError> {
        if self.next_look.is_some_and(|at| now.mono < at) {
            return Ok(());
        }
        self.next_look = Some(now.mono.plus_ms(LOOK_EVERY_MS));
        self.mend_ages(now.wall)?;
        let ids: Vec<CompartmentId> =
            self.areas.keys().filter(|id| self.is_due(**id, now.wall)).copied().collect();
        for id in ids {
            // What may not be done now is tried again at the next look.
            if let Err(ActError::Store(error)) = self.rotate(now, id) {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether this device is to begin a new epoch of a compartment.
    fn is_due(&self, id: CompartmentId, wall: WallTime) -> bool {
        let Some(period) = self.rotate_after_ms else { return false };
        let Some(compartment) = self.compartment(id) else { return false };
        let desk = compartment.live(&self.device()).filter(|own| own.desk);
        let Some(desk) = desk.filter(|_| self.own_right(id) >= Some(Right::Write)) else {
            return false;
        };
        let opener = compartment.devices().get(&compartment.opening().opener);
        let period = if opener.is_some_and(|opener| opener.agency == desk.agency) {
            period
        } else {
            period.saturating_add(period / 4)
        };
        // One that others began, and that cannot be opened yet, is young.
        let current = compartment.current_epoch(|_| true);
        let age = current.and_then(|epoch| self.ages.get(&epoch));
        age.is_some_and(|age| age.written && wall.0.saturating_sub(age.since.0) >= period)
    }

    /// Gives those epochs an age that have none or one from the future: from now on.
    fn mend_ages(&mut self, wall: WallTime) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for epoch in self.epoch_keys.keys() {
            let known = self.ages.get(epoch).copied();
            if known.is_none_or(|age| age.since > wall) {
                let written = known.is_none_or(|age| age.written);
                let age = Age { since: wall, written };
                self.ages.insert(*epoch, age);
                batch.put(Space::Meta, age_key(epoch), age.encode());
            }
        }
        self.apply(batch)
    }

    /// Notes since when an epoch's keys are held, and whether entries wait for them.
    pub(super) fn note_held(&mut self, batch: &mut Batch, epoch: EpochId) {
        // While statements are read from the store no clock was read.
        if self.replaying || self.ages.contains_key(&epoch) {
            return;
        }
        let mut waits = false;
        let scanned = self.store.scan(Space::Waiting, &epoch.0, &[], &mut |_, _| {
            waits = true;
            ControlFlow::Break(())
        });
        let age = Age { since: self.wall, written: waits || scanned.is_err() };
        self.ages.insert(epoch, age);
        batch.put(Space::Meta, age_key(&epoch), age.encode());
    }

    /// Notes that entries are sealed under epochs.
    pub(super) fn note_written(&mut self, batch: &mut Batch, run: &VerifiedRun) {
        for entry in run.entries().iter().filter(|entry| entry.epoch != NO_EPOCH) {
            if let Some(age) = self.ages.get_mut(&entry.epoch).filter(|age| !age.written) {
                age.written = true;
                batch.put(Space::Meta, age_key(&entry.epoch), age.encode());
            }
        }
    }

    /// Reads since when epochs are held.
    pub(super) fn load_ages(&mut self) -> Result<(), StoreError> {
        let mut bad = None;
        let ages = &mut self.ages;
        self.store.scan(Space::Meta, AGE_PREFIX, &[], &mut |key, value| {
            let id = key.get(AGE_PREFIX.len()..).and_then(|id| id.try_into().ok());
            match (id.map(EpochId), Age::decode(value)) {
                (Some(id), Ok(age)) => {
                    ages.insert(id, age);
                    ControlFlow::Continue(())
                }
                _ => {
                    bad = Some(tearline_crdt::store::damaged(Space::Meta, key));
                    ControlFlow::Break(())
                }
            }
        })?;
        bad.map_or(Ok(()), Err)
    }
}

impl Age {
    /// `first held, ms (number) || written under (1)`.
    fn encode(self) -> Vec<u8> {
        let mut out = Vec::new();
        out.number(self.since.0).raw(&[u8::from(self.written)]);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let since = WallTime(reader.number("first held")?);
        let at = reader.at();
        let written = match reader.u8("written under")? {
            0 => false,
            1 => true,
            _ => return reader.invalid(at, "written under"),
        };
        reader.finish()?;
        Ok(Self { since, written })
    }
}

const AGE_PREFIX: &[u8] = b"epoch/";

fn age_key(epoch: &EpochId) -> Vec<u8> {
    [AGE_PREFIX, &epoch.0].concat()
}
