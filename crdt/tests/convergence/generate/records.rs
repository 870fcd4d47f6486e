//! Records, what is said of them, and epochs.

use std::collections::BTreeSet;

use tearline_crdt::codec::Write as _;
use tearline_crdt::entry::merkle_root;
use tearline_crdt::hash::Digest;
use tearline_crdt::id::{CompartmentId, DeviceId, EpochId};
use tearline_crdt::keys::KEM_CIPHERTEXT_BYTES;
use tearline_crdt::seal::{SecretBox, TAG_BYTES};
use tearline_crdt::statement::{EpochStatement, Erasure, Statement};

use super::acts::sorted;
use super::{Actor, Draft, EpochAt};
use crate::cast;

impl Draft {
    /// A device begins a record, or adds to one.
    pub(super) fn write_record(&mut self, author: Actor, area: CompartmentId) {
        let entry = self.write(author, area);
        let mine = self.records.iter().position(|(of, _, _)| *of == area);
        match mine.filter(|_| self.rng.chance(50)) {
            Some(n) => {
                if let Some((_, _, others)) = self.records.get_mut(n) {
                    others.push(entry);
                }
            }
            None => self.records.push((area, entry, Vec::new())),
        }
        for _ in 0..self.rng.below(3) {
            self.write(author, area);
        }
    }

    /// Something is said of a record, mostly by a device of its originator.
    pub(super) fn judge_record(&mut self) {
        let Some((area, genesis, others)) = self.rng.one(&self.records).cloned() else { return };
        let author = self.logs.iter().find_map(|(id, log)| {
            let mut items = log.branches.iter().flatten();
            items.any(|item| item.id == genesis).then_some(id.device)
        });
        let own = author.and_then(|device| self.agency_of(device)).unwrap_or(1);
        for _ in 0..self.rng.within(1, 3) {
            let by = match self.rng.below(10) {
                0..=5 => self.desk_of(own),
                6 => self.unit_of(own),
                7 | 8 => self.desk(),
                _ => self.anybody(),
            };
            let area = if self.rng.chance(92) { area } else { self.area() };
            let what = match self.rng.below(10) {
                0..=2 => Statement::Erase(Erasure { genesis, others: sorted(others.clone()) }),
                3 => {
                    let entries = sorted(others.iter().copied().chain([genesis]).collect());
                    Statement::EraseAlso { genesis, entries }
                }
                4 => Statement::Restrict { genesis },
                5 | 6 => Statement::Hold { genesis },
                7 | 8 => {
                    let liftable = self.liftable.clone();
                    match self.rng.one(&liftable) {
                        None => continue,
                        Some(lifted) => Statement::Lift { lifted: *lifted },
                    }
                }
                _ => Statement::Recall { genesis },
            };
            let liftable = matches!(what, Statement::Restrict { .. } | Statement::Hold { .. });
            let id = self.say(by, area, what);
            if liftable {
                self.liftable.push(id.into());
            }
        }
    }

    fn agency_of(&self, device: DeviceId) -> Option<u8> {
        let mut all = (0..=6).flat_map(|agency| (0..cast::DEVICES).map(move |n| (agency, n)));
        all.find(|(agency, n)| cast::device(*agency, *n) == device).map(|(agency, _)| agency)
    }

    /// Somebody makes an epoch, and boxes of it.
    pub(super) fn epoch(&mut self) {
        let (area, by) = (self.compartment(), self.anybody());
        self.epoch_in(area, by);
    }

    pub(super) fn epoch_in(&mut self, area: CompartmentId, by: Actor) {
        let here: Vec<EpochAt> =
            self.epochs.iter().filter(|epoch| epoch.area == area).copied().collect();
        let mut parents: BTreeSet<EpochId> = BTreeSet::new();
        let mut depth = 1;
        for _ in 0..self.rng.below(3) {
            if let Some(parent) = self.rng.one(&here) {
                parents.insert(parent.id);
                depth = depth.max(parent.depth + 1);
            }
        }
        match self.rng.below(12) {
            0 => {
                parents.insert(EpochId([0xdd; 32]));
            }
            1 => depth += 5,
            _ => {}
        }
        let commitment = [self.rng.below(250) as u8; 32];
        let parents = parents.into_iter().collect();
        let epoch = EpochStatement { parents, depth, commitment };
        let id = epoch.id(&area);
        self.epochs.push(EpochAt { area, id, depth });
        self.say(by, area, Statement::Epoch(epoch));
        for _ in 0..self.rng.within(1, 2) {
            let sealer = if self.rng.chance(85) { by } else { self.anybody() };
            self.seal(area, sealer, id);
        }
        if self.rng.chance(20) {
            self.say(by, area, Statement::Describe { epoch: id });
        }
    }

    /// Boxes for the sealer, for the audience's desks, and for whom else the sealer likes.
    fn seal(&mut self, area: CompartmentId, by: Actor, epoch: EpochId) {
        let opening = self.openings.iter().find(|opening| opening.id() == area);
        let audience = opening.map(|opening| opening.audience.clone()).unwrap_or_default();
        let mut boxes = BTreeSet::new();
        // Some forget themselves.
        if by.n < 5 {
            boxes.insert(by.id());
        }
        for (agency, _) in audience {
            if self.rng.chance(80) {
                boxes.insert(cast::device(agency.0 as u8, 0));
            }
        }
        for _ in 0..self.rng.below(3) {
            if self.rng.chance(40) {
                boxes.insert(self.anybody().id());
            }
        }
        let (boxes_root, payload) = sealed(&boxes);
        let seal = Statement::Seal { epoch, boxes_root };
        self.say_with(by, area, seal, Some(payload), boxes);
    }
}

/// The payload of a seal and the root of its boxes. Nobody opens them here, so nothing is in them.
fn sealed(boxes: &BTreeSet<DeviceId>) -> (Digest, Vec<u8>) {
    let mut payload = Vec::new();
    payload.number(boxes.len() as u64);
    let mut leaves = Vec::new();
    for device in boxes {
        let encapsulation = vec![0; 32 + KEM_CIPHERTEXT_BYTES];
        let sealed = [0; 32 + TAG_BYTES];
        let closed = SecretBox { device: *device, suite: 1, encapsulation, sealed };
        closed.encode(&mut payload);
        leaves.push(closed.leaf());
    }
    (merkle_root(leaves), payload)
}
