//! §9: epochs.

use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::id::{DeviceId, EntryId, EpochId, Incarnation, StatementId};
use tearline_crdt::statement::{Act, EpochStatement, Right, Statement};

use super::Naive;
use super::closures::Closure;
use super::entries::Ground;
use super::reach::Key;
use crate::answers::EpochAnswers;
use crate::bug::Bug;

impl Naive<'_> {
    /// §9: the epochs of a compartment.
    pub(super) fn epochs(
        &self,
        ground: &Ground,
        counting: &BTreeSet<EntryId>,
        in_force: &BTreeSet<StatementId>,
    ) -> BTreeMap<EpochId, EpochAnswers> {
        let mut stated: BTreeMap<EpochId, (&EpochStatement, bool)> = BTreeMap::new();
        let mut makers: BTreeSet<(EpochId, DeviceId)> = BTreeSet::new();
        for placed in self.statements_in(ground.area) {
            if let Statement::Epoch(epoch) = placed.item.statement() {
                let id = epoch.id(&ground.area);
                let (_, counts) = stated.entry(id).or_insert((epoch, false));
                if counting.contains(&placed.item.id) {
                    *counts = true;
                    makers.insert((id, placed.log.device));
                }
            }
        }
        let known = self.known(&stated);
        let mut epochs = BTreeMap::new();
        for (id, (_, counts)) in &stated {
            let readers = self.readers(ground, counting, *id);
            let retired = in_force
                .iter()
                .filter_map(|act| self.acts.get(act))
                .any(|known| matches!(&known.act, Act::RetireEpoch { epoch } if epoch == id));
            let own = |reader: &DeviceId| makers.contains(&(*id, *reader));
            let clean = !retired
                && readers.iter().all(|reader| self.is_live_reader(reader, ground))
                && (readers.iter().any(own) || self.has(Bug::SelflessMakers));
            let answers = EpochAnswers {
                known: known.contains(id),
                clean: clean || self.has(Bug::AnyReaders),
                counts: *counts,
                retired: retired && !self.has(Bug::RetiredEpochs),
                readers,
            };
            epochs.insert(*id, answers);
        }
        epochs
    }

    /// §9: "known when all its parents are and its depth is one more than the deepest of them".
    fn known(&self, stated: &BTreeMap<EpochId, (&EpochStatement, bool)>) -> BTreeSet<EpochId> {
        let mut known: BTreeMap<EpochId, u64> = BTreeMap::new();
        loop {
            let before = known.len();
            for (id, (epoch, _)) in stated {
                let depths = epoch.parents.iter().map(|parent| known.get(parent).copied());
                let depths: Option<Vec<u64>> = if self.has(Bug::AnyParents) {
                    Some(depths.flatten().collect())
                } else {
                    depths.collect()
                };
                let Some(depths) = depths else { continue };
                let depth = depths.into_iter().max().unwrap_or(0).checked_add(1);
                if depth == Some(epoch.depth) || self.has(Bug::AnyEpochDepth) {
                    known.insert(*id, epoch.depth);
                }
            }
            if known.len() == before {
                return known.into_keys().collect();
            }
        }
    }

    /// §9: "the devices for which a seal has a box of it that counts, or whose author is a live
    /// reader".
    fn readers(
        &self,
        ground: &Ground,
        counting: &BTreeSet<EntryId>,
        epoch: EpochId,
    ) -> BTreeSet<DeviceId> {
        let seals = self.statements_in(ground.area).filter(|placed| {
            matches!(placed.item.statement(), Statement::Seal { epoch: of, .. } if *of == epoch)
        });
        let seals = seals.filter(|placed| {
            counting.contains(&placed.item.id)
                || self.is_live_reader(&placed.log.device, ground)
                || self.has(Bug::AnySeals)
        });
        seals.flat_map(|placed| placed.item.boxes.iter().copied()).collect()
    }

    /// §9: "a device with a counting route with right read in the compartment, of an incarnation for
    /// which no closure of it is active there". One that nothing names stands for all such.
    fn is_live_reader(&self, reader: &DeviceId, ground: &Ground) -> bool {
        let Some(device) = ground.counting.devices.get(reader) else { return false };
        let reads = |routes: &BTreeSet<Key>| routes.iter().any(|r| r.right() >= Right::Read);
        let is_open = |life: Incarnation| {
            let active = |c: &&Closure| self.is_active(c, reader, life, &ground.reopened);
            !ground.closures.iter().any(|closure| active(&closure))
        };
        let closed = ground.closures.iter().any(|closure| closure.devices.contains(reader));
        let nameless = !closed && device.routes.get(&None).is_some_and(reads);
        let reopened = ground.reopened.iter().filter(|reopened| reopened.device == *reader);
        let named = device.routes.keys().copied().flatten();
        let mut lives = named.chain(reopened.map(|reopened| reopened.incarnation));
        let may = |life| {
            ground.counting.routes(reader, life).iter().any(|route| route.right() >= Right::Read)
        };
        nameless || lives.any(|life| is_open(life) && may(life))
    }

    /// The live readers of a compartment.
    pub(super) fn live_readers(&self, ground: &Ground) -> BTreeSet<DeviceId> {
        let devices = ground.counting.devices.keys();
        devices.filter(|device| self.is_live_reader(device, ground)).copied().collect()
    }

    /// §9: the current epoch of each device that can open one.
    pub(super) fn current(
        &self,
        ground: &Ground,
        epochs: &BTreeMap<EpochId, EpochAnswers>,
    ) -> BTreeMap<DeviceId, EpochId> {
        let mut depths: BTreeMap<EpochId, u64> = BTreeMap::new();
        for placed in self.statements_in(ground.area) {
            if let Statement::Epoch(epoch) = placed.item.statement() {
                depths.insert(epoch.id(&ground.area), epoch.depth);
            }
        }
        let mut current: BTreeMap<DeviceId, (u64, EpochId)> = BTreeMap::new();
        for (id, epoch) in epochs {
            if !(epoch.known && epoch.clean && epoch.counts) || epoch.retired {
                continue;
            }
            let rank = (depths.get(id).copied().unwrap_or(0), *id);
            for reader in &epoch.readers {
                let best = current.entry(*reader).or_insert(rank);
                *best = rank.max(*best);
            }
        }
        current.into_iter().map(|(device, (_, epoch))| (device, epoch)).collect()
    }
}
