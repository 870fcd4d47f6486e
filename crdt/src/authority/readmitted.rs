//! Readmitted incarnations (`docs/protocol/authority.md`, section 3).
//!
//! Who brings a device back names one incarnation of it and says what that may do. Nothing that the device
//! was given before, or by others, is to come back with it: such an incarnation has the routes of the
//! statements that name it, and no others. So naming takes away, and is judged as what takes away is: by
//! positive reach, before all rounds. Whoever names could have closed the device instead. That what he
//! gave ends with his own standing opens nothing again: the incarnation stays named.

use std::collections::BTreeMap;

use crate::id::{DeviceId, EntryId, Incarnation};
use crate::statement::{Audience, Statement};

use super::closure::desk_above;
use super::fact::Fact;
use super::positive::{Devices, Positive};

/// The incarnations that have no other routes than those that name them, and the smallest statement that
/// says so.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Readmitted(BTreeMap<DeviceId, BTreeMap<Incarnation, EntryId>>);

impl Readmitted {
    /// Those of an area's own facts, which are all before forks or prove themselves. `devices` is the
    /// area's reach, `positive` the coalition's.
    pub(super) fn new(early: &[&Fact], devices: &Devices, positive: &Positive) -> Self {
        let mut readmitted = Self::default();
        for fact in early {
            let (device, reopening) = match &fact.statement {
                Statement::Desk(certificate) => {
                    let of_member = positive.agencies_of(&certificate.root).next().is_some();
                    let reopening = certificate.reopening.as_ref().filter(|_| of_member);
                    (certificate.desk.device, reopening)
                }
                Statement::Grant { audience: Audience::Device { card, .. }, reopening, .. } => {
                    let above = desk_above(&fact.issuer(), &card.device, devices).is_some();
                    (card.device, reopening.as_ref().filter(|_| above))
                }
                _ => continue,
            };
            if let Some(reopening) = reopening {
                readmitted.add(device, reopening.incarnation, fact.place.id);
            }
        }
        readmitted
    }

    fn add(&mut self, device: DeviceId, life: Incarnation, by: EntryId) {
        let least = self.0.entry(device).or_default().entry(life).or_insert(by);
        *least = by.min(*least);
    }

    /// These and those of the coalition above.
    pub(super) fn with(mut self, above: &Self) -> Self {
        for (device, life, by) in above.all() {
            self.add(device, life, by);
        }
        self
    }

    fn all(&self) -> impl Iterator<Item = (DeviceId, Incarnation, EntryId)> {
        self.0
            .iter()
            .flat_map(|(device, lives)| lives.iter().map(move |(life, by)| (*device, *life, *by)))
    }

    /// The incarnations of a device, and by which statement.
    pub(super) fn of(&self, device: &DeviceId) -> impl Iterator<Item = (Incarnation, EntryId)> {
        self.0.get(device).into_iter().flatten().map(|(life, by)| (*life, *by))
    }

    pub(super) fn contains(&self, device: &DeviceId, life: Incarnation) -> bool {
        self.0.get(device).is_some_and(|lives| lives.contains_key(&life))
    }
}
