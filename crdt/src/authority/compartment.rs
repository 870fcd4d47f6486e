//! A compartment: who may read and write it, and under which keys.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::entry::merkle_root;
use crate::epoch::decode_boxes;
use crate::id::{AgencyNo, CompartmentId, DeviceId, EntryId, EpochId, Incarnation, LogId};
use crate::seal::SecretBox;
use crate::statement::{Audience, EpochStatement, Mark, Opening, Right, Statement};

use super::closure::{Author, Cause, Closure, Limit, Limits, closures};
use super::fact::{Fact, Logs, Place, Remembered};
use super::gathered::Gathered;
use super::positive::Devices;
use super::reach::{Reach, Standing, audience};
use super::readmitted::Readmitted;
use super::route::Route;
use super::steward::Words;
use super::{Coalition, Scope, StatementFault, StatementVerdict, is_before_fork};

/// A compartment, as its statements and its coalition's make it.
#[derive(Clone, Debug)]
pub struct Compartment {
    id: CompartmentId,
    pub(super) opening: Opening,
    pub(super) facts: BTreeMap<EntryId, Fact>,
    audience: BTreeSet<AgencyNo>,
    pub(super) positive: Devices,
    pub(super) counting: Reach,
    pub(super) closures: Vec<Arc<Closure>>,
    limits: Limits,
    pub(super) counted: BTreeSet<EntryId>,
    epochs: BTreeMap<EpochId, EpochState>,
    /// Epochs whose parents have not all come, by one that has not.
    orphans: BTreeMap<EpochId, BTreeMap<EpochId, EpochStatement>>,
    /// Who said epochs of another depth than that of the parents which came afterwards.
    misled: Vec<DeviceId>,
    /// For whom each seal of an epoch has boxes.
    pub(super) seals: BTreeMap<EpochId, BTreeMap<EntryId, Seal>>,
    /// Epochs of which boxes are gone: who could read them is not known any more.
    bare: BTreeSet<EpochId>,
    pub(super) words: Words,
}

/// Whose a seal is, and for which devices it has boxes.
#[derive(Clone, Debug)]
pub(super) struct Seal {
    pub(super) by: DeviceId,
    pub(super) devices: BTreeSet<DeviceId>,
}

/// Why an epoch that counts is not written under.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unclean {
    /// An act has retired it, or its boxes were destroyed because one had: who reads it is not asked.
    Retired,
    /// None who made it has a box of it.
    Unsealed,
    /// A device sealed it to another that may not read.
    Spoiled {
        /// Who did.
        by: DeviceId,
        /// To whom.
        to: DeviceId,
    },
}

impl fmt::Display for Unclean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retired => f.write_str("it was retired"),
            Self::Unsealed => f.write_str("its maker has no box of it"),
            Self::Spoiled { by, to } => write!(f, "{by} sealed it to {to}, which may not read"),
        }
    }
}

/// An epoch that is known: its parents are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EpochState {
    /// Its statement.
    pub statement: EpochStatement,
    /// Whether any statement that says so counts.
    pub counts: bool,
    /// Why it is not for live readers alone; `None` if it is.
    pub unclean: Option<Unclean>,
    /// Whether an act has retired it.
    pub retired: bool,
}

impl Compartment {
    /// A compartment with no more than its opening.
    #[must_use]
    pub fn new(opening: Opening) -> Self {
        Self {
            id: opening.id(),
            opening,
            facts: BTreeMap::new(),
            audience: BTreeSet::new(),
            positive: Devices::default(),
            counting: Reach::default(),
            closures: Vec::new(),
            limits: Limits::default(),
            counted: BTreeSet::new(),
            epochs: BTreeMap::new(),
            orphans: BTreeMap::new(),
            misled: Vec::new(),
            seals: BTreeMap::new(),
            bare: BTreeSet::new(),
            words: Words::default(),
        }
    }

    /// The compartment's id.
    #[must_use]
    pub const fn id(&self) -> CompartmentId {
        self.id
    }

    /// The opening.
    #[must_use]
    pub const fn opening(&self) -> &Opening {
        &self.opening
    }

    /// The agencies of the audience that are of the coalition, as the opener meant them.
    #[must_use]
    pub const fn audience(&self) -> &BTreeSet<AgencyNo> {
        &self.audience
    }

    /// The devices that have a standing here by what counts; closed ones, too.
    #[must_use]
    pub const fn devices(&self) -> &BTreeMap<DeviceId, Standing> {
        &self.counting.devices
    }

    /// The standing of a device whose standing was not ended.
    #[must_use]
    pub fn live(&self, device: &DeviceId) -> Option<&Standing> {
        self.counting.devices.get(device).filter(|_| self.limits.is_live(device))
    }

    /// The highest right of a live device.
    #[must_use]
    pub fn right(&self, device: &DeviceId) -> Option<Right> {
        self.open(device).map(|route| route.right).max()
    }

    /// The highest right that a device has in one incarnation, if no closure is active for that.
    #[must_use]
    pub fn right_in(&self, device: &DeviceId, life: Incarnation) -> Option<Right> {
        let standing = self.counting.devices.get(device);
        standing.filter(|_| self.limits.is_open(&(*device, life)))?.right_in(life)
    }

    /// How many bytes of records an incarnation of a device may write here: the widest limit of the
    /// routes that let it write. `None` if one has no limit, or none is known.
    #[must_use]
    pub fn quota(&self, device: &DeviceId, life: Incarnation) -> Option<u64> {
        let routes = self.counting.devices.get(device)?.routes_in(life);
        let quotas = routes
            .filter(|route| route.right >= Right::Write)
            .map(|route| route.caveats.quota_bytes);
        quotas.reduce(|a, b| Some(a?.max(b?))).flatten()
    }

    /// The routes of the incarnations of a device for which no closure is active.
    pub(super) fn open<'a>(&'a self, device: &'a DeviceId) -> impl Iterator<Item = &'a Route> {
        let standing = self.counting.devices.get(device).into_iter();
        standing.flat_map(move |standing| self.limits.open(device, standing))
    }

    /// All closures here, the coalition's among them.
    #[must_use]
    pub fn closures(&self) -> &[Arc<Closure>] {
        &self.closures
    }

    /// The closures of a device here, the coalition's among them.
    pub fn closures_of(&self, device: &DeviceId) -> impl Iterator<Item = &Closure> {
        self.limits.closures_of(device)
    }

    /// Those of them that no citation lifts for one life of it here.
    pub fn active_in(
        &self,
        device: &DeviceId,
        life: Incarnation,
    ) -> impl Iterator<Item = &Closure> {
        self.limits.active_in(device, life)
    }

    /// The devices that may hold the keys.
    pub fn readers(&self) -> impl Iterator<Item = (&DeviceId, &Standing)> {
        self.counting.devices.iter().filter(|(device, _)| self.is_reader(device))
    }

    /// Whether a device may read here now.
    #[must_use]
    pub fn is_reader(&self, device: &DeviceId) -> bool {
        self.right(device) >= Some(Right::Read)
    }

    /// Whether a log's entries are worth storing: whether its device could ever have written here.
    #[must_use]
    pub fn admits(&self, log: &LogId) -> bool {
        self.positive.parts(&log.device).any(|(_, part)| part.right() >= Right::Write)
    }

    /// Whether a device has no reach here, by all that is held.
    #[must_use]
    pub fn is_stranger(&self, device: &DeviceId) -> bool {
        !self.positive.contains(device)
    }

    /// Adds a statement. Returns whether it is new and may have consequences, which
    /// [`Compartment::evaluate`] draws.
    pub fn insert(
        &mut self,
        place: Place,
        statement: Statement,
        payload: Option<&[u8]>,
    ) -> Result<bool, StatementFault> {
        match &statement {
            Statement::Grant { audience: Audience::Device { card, .. }, .. } => card.check()?,
            Statement::Desk(_)
            | Statement::Propose { .. }
            | Statement::Approve { .. }
            | Statement::RootAct(_) => {
                return Err(StatementFault::Misplaced);
            }
            Statement::Seal { epoch, boxes_root } => {
                let boxes = payload.and_then(|payload| decode_boxes(payload).ok());
                let boxes = boxes.ok_or(StatementFault::Boxes)?;
                if merkle_root(boxes.iter().map(SecretBox::leaf)) != *boxes_root {
                    return Err(StatementFault::OtherBoxes);
                }
                let devices = boxes.iter().map(|sealed| sealed.device).collect();
                let seal = Seal { by: place.log.device, devices };
                self.seals.entry(*epoch).or_default().insert(place.id, seal);
            }
            Statement::Epoch(epoch) => self.insert_epoch(epoch.clone())?,
            Statement::Found(_) | Statement::Unknown { .. } => return Ok(false),
            _ => {}
        }
        Ok(Fact::new(place, statement, payload).join(&mut self.facts))
    }

    /// Adds the seal of an epoch whose boxes were destroyed because it is retired. Whoever had one, the
    /// epoch is not written under any more.
    pub fn insert_bare(&mut self, place: Place, epoch: EpochId, statement: Statement) -> bool {
        self.bare.insert(epoch);
        Fact::new(place, statement, None).join(&mut self.facts)
    }

    /// The authors of statements that were taken, and that what came since shows to be of another depth than
    /// their parents: [`StatementFault::Depth`] is held against each. They are forgotten, as if they had come last.
    pub fn take_misled(&mut self) -> Vec<DeviceId> {
        std::mem::take(&mut self.misled)
    }

    /// Takes an epoch if its parents are known, and those that waited for it.
    fn insert_epoch(&mut self, statement: EpochStatement) -> Result<(), StatementFault> {
        let id = statement.id(&self.id);
        let mut outcome = Ok(());
        let mut ready = vec![(id, statement)];
        while let Some((next, statement)) = ready.pop() {
            let missing = statement.parents.iter().find(|parent| !self.epochs.contains_key(parent));
            if let Some(missing) = missing {
                self.orphans.entry(*missing).or_default().insert(next, statement);
                continue;
            }
            let parents = statement.parents.iter().filter_map(|parent| self.epochs.get(parent));
            let deepest = parents.map(|parent| parent.statement.depth).max().unwrap_or(0);
            if deepest.checked_add(1) == Some(statement.depth) {
                let (counts, unclean, retired) = (false, Some(Unclean::Unsealed), false);
                self.epochs.insert(next, EpochState { statement, counts, unclean, retired });
                ready.extend(self.orphans.remove(&next).unwrap_or_default());
            } else if next == id {
                outcome = Err(StatementFault::Depth);
            } else {
                self.forget_epoch(&next);
            }
        }
        outcome
    }

    fn forget_epoch(&mut self, id: &EpochId) {
        let (area, misled) = (self.id, &mut self.misled);
        self.facts.retain(|_, fact| match &fact.statement {
            Statement::Epoch(epoch) if epoch.id(&area) == *id => {
                misled.push(fact.issuer());
                false
            }
            _ => true,
        });
    }

    /// How many epochs wait for one.
    #[cfg(test)]
    pub(super) fn waiting(&self, parent: &EpochId) -> usize {
        self.orphans.get(parent).map_or(0, BTreeMap::len)
    }

    /// Draws all answers anew; to be called when statements came here or the coalition's answers
    /// changed. Returns whether any changed.
    pub fn evaluate(&mut self, coalition: &Coalition, logs: &dyn Logs) -> bool {
        let logs = &Remembered::new(logs);
        Fact::find(&mut self.facts, logs);
        let facts: Vec<&Fact> = self.facts.values().collect();
        let early: Vec<&Fact> =
            facts.iter().copied().filter(|fact| is_before_fork(fact, logs)).collect();
        let above = &coalition.positive;
        let positive = above.devices.compartment(&above.roots, &self.opening, &early);
        let readmitted = Readmitted::new(&early, &positive, above).with(&coalition.readmitted);
        let mut own = closures(&facts, &positive, above, &coalition.id());
        own.extend(coalition.closures().iter().cloned());
        let above = coalition.limits.gathered();
        let mut limits = Limits::new(own.iter().cloned(), Some(above));
        let mut counted = BTreeSet::new();
        let counting = loop {
            let counting = Reach::compartment(
                (&coalition.counting, &readmitted),
                &self.opening,
                &facts,
                &|fact| counted.contains(&fact.place.id),
            );
            let (above, id) = ((&coalition.counting, &readmitted), coalition.id());
            limits.count(Gathered::new(&facts, &counted, &counting, above, &id));
            let mut more = BTreeSet::new();
            let area = Scope { reach: &counting, limits: &limits, logs, coalition: false };
            let mut places: BTreeMap<LogId, Limit> = BTreeMap::new();
            for fact in &facts {
                if !counted.contains(&fact.place.id) && area.counts(fact, &mut places) {
                    more.insert(fact.place.id);
                }
            }
            if more.is_empty() {
                break counting;
            }
            counted.extend(more);
        };
        let audience = audience(&coalition.counting, &self.opening);
        let changed = positive != self.positive
            || counting != self.counting
            || own != self.closures
            || counted != self.counted
            || audience != self.audience;
        self.audience = audience;
        self.positive = positive;
        self.counting = counting;
        self.closures = own;
        self.limits = limits;
        self.counted = counted;
        let words = self.words(coalition);
        let spoken = words != self.words;
        self.words = words;
        self.judge_epochs(coalition) || changed || spoken
    }

    fn judge_epochs(&mut self, coalition: &Coalition) -> bool {
        let mut makers: BTreeMap<EpochId, BTreeSet<DeviceId>> = BTreeMap::new();
        for fact in self.facts.values().filter(|fact| self.counted.contains(&fact.place.id)) {
            if let Statement::Epoch(epoch) = &fact.statement {
                makers.entry(epoch.id(&self.id)).or_default().insert(fact.issuer());
            }
        }
        let readers: BTreeSet<DeviceId> = self.readers().map(|(device, _)| *device).collect();
        let mut changed = false;
        for (id, epoch) in &mut self.epochs {
            let makers = makers.get(id);
            // Who seals at a place that does not count, and reads no more, gives nobody a secret that
            // somebody did not give him: what he could open is unclean by his own box.
            let seals = self.seals.get(id).into_iter().flatten();
            let seals = seals.filter(|(place, seal)| {
                self.counted.contains(*place) || readers.contains(&seal.by)
            });
            let retired = coalition.is_epoch_retired(id);
            let gone = retired || self.bare.contains(id);
            let judged = EpochState {
                counts: makers.is_some(),
                unclean: if gone {
                    Some(Unclean::Retired)
                } else {
                    unclean(makers, seals.map(|(_, seal)| seal), &readers)
                },
                retired,
                statement: epoch.statement.clone(),
            };
            changed |= judged != *epoch;
            *epoch = judged;
        }
        changed
    }

    /// The epochs that are known.
    #[must_use]
    pub const fn epochs(&self) -> &BTreeMap<EpochId, EpochState> {
        &self.epochs
    }

    /// Whether a device may have a box of an epoch: there is one, or some are gone.
    #[must_use]
    pub fn may_be_boxed(&self, epoch: &EpochId, device: &DeviceId) -> bool {
        self.bare.contains(epoch) || self.boxed(epoch).any(|boxed| boxed == device)
    }

    /// For whom there is a box of an epoch, by whomever.
    pub fn boxed(&self, epoch: &EpochId) -> impl Iterator<Item = &DeviceId> {
        let seals = self.seals.get(epoch).into_iter().flat_map(BTreeMap::values);
        seals.flat_map(|seal| &seal.devices)
    }

    /// The epoch to write under, of those that `can_open` names.
    pub fn current_epoch(&self, can_open: impl Fn(&EpochId) -> bool) -> Option<EpochId> {
        self.epochs
            .iter()
            .filter(|(id, epoch)| epoch.is_written_under() && can_open(id))
            .max_by_key(|(id, epoch)| (epoch.statement.depth, **id))
            .map(|(id, _)| *id)
    }

    /// The description that names the compartment, of those that `is_open` says were opened: of those
    /// that count the opener's last, else that of the deepest epoch, then the greatest id; where none
    /// counts, the opener's first.
    pub fn description(&self, is_open: impl Fn(&EntryId) -> bool) -> Option<EntryId> {
        let opened = || {
            self.facts.values().filter_map(|fact| match &fact.statement {
                Statement::Describe { epoch } if is_open(&fact.place.id) => {
                    Some((fact.place, self.epochs.get(epoch)?.statement.depth))
                }
                _ => None,
            })
        };
        let is_own = |place: &Place| place.log.device == self.opening.opener;
        let counting = opened().filter(|(place, _)| self.counted.contains(&place.id));
        let last = counting.max_by_key(|(place, depth)| {
            (is_own(place).then_some((*depth, place.seq)), *depth, place.id)
        });
        let first = || {
            let own = opened().filter(|(place, _)| is_own(place));
            own.min_by_key(|(place, depth)| (*depth, place.seq, place.id))
        };
        last.or_else(first).map(|(place, _)| place.id)
    }

    /// How far a log of the compartment counts.
    #[must_use]
    pub fn limit(&self, log: &LogId, logs: &dyn Logs) -> Limit {
        let logs = Remembered::new(logs);
        self.limits.of(log, self.counting.devices.get(&log.device), &logs, false, None)
    }

    /// Entries of a log below this position an adoption lets count, whatever `closer` ends.
    #[must_use]
    pub fn adopted_over(&self, log: &LogId, closer: Author) -> u64 {
        self.limits.adopted_over(log, self.counting.devices.get(&log.device), closer)
    }

    /// The greatest of the marks that choose a branch of a forked log: how many of its entries, and the last
    /// of them. Only where that one is held anything counts beyond the fork.
    #[must_use]
    pub fn choice(&self, log: &LogId, logs: &dyn Logs) -> Option<(u64, EntryId)> {
        self.limits.choice(log, self.counting.devices.get(&log.device), logs)
    }

    /// How far it would count if an adopt on this one's word named a mark of it, too.
    #[must_use]
    pub fn if_adopted(&self, log: &LogId, (by, mark): (Author, &Mark), logs: &dyn Logs) -> Limit {
        let logs = Remembered::new(logs);
        let standing = self.counting.devices.get(&log.device);
        let supposed = (mark.log == log.digest()).then_some((by, mark.count, mark.head));
        self.limits.of(log, standing, &logs, false, supposed)
    }

    /// The statements that are held, by entry id.
    pub fn statements(&self) -> impl Iterator<Item = (&Place, &Statement)> {
        self.facts.values().map(|fact| (&fact.place, &fact.statement))
    }

    /// What became of a statement of the compartment's logs; `None` if it is not held. `origin` names
    /// the originator of the record that begins with an entry, if it is known.
    #[must_use]
    pub fn verdict(
        &self,
        id: &EntryId,
        origin: &dyn Fn(&EntryId) -> Option<AgencyNo>,
        logs: &dyn Logs,
    ) -> Option<StatementVerdict> {
        let fact = self.facts.get(id)?;
        if let Some(verdict) = self.verdict_on_word(fact, origin) {
            return Some(verdict);
        }
        if fact.statement.is_narrowing() {
            let closed = self.closures.iter().any(|closure| closure.id == fact.id());
            return Some(if closed {
                StatementVerdict::Counts
            } else {
                StatementVerdict::NotAbove
            });
        }
        let scope = Scope { reach: &self.counting, limits: &self.limits, logs, coalition: false };
        let epoch = match &fact.statement {
            Statement::Epoch(epoch) => Some(epoch.id(&self.id)),
            Statement::Seal { epoch, .. } => Some(*epoch),
            _ => None,
        };
        let unclean = epoch.and_then(|id| self.epochs.get(&id)).and_then(|epoch| epoch.unclean);
        match (scope.verdict(fact, self.counted.contains(id)), unclean) {
            (StatementVerdict::Counts, Some(unclean)) => Some(StatementVerdict::Unclean(unclean)),
            (verdict, _) => Some(verdict),
        }
    }

    /// Whether a device never could read here, by all that is held.
    pub(super) fn is_no_reader(&self, device: &DeviceId) -> bool {
        self.positive.parts(device).all(|(_, part)| part.right() < Right::Read)
    }

    /// Why an entry of a log at a position is quarantined; `None` if it counts.
    #[must_use]
    pub fn quarantine(&self, log: &LogId, seq: u64, logs: &dyn Logs) -> Option<Cause> {
        let limit = self.limit(log, logs);
        limit.cause.filter(|_| seq >= limit.next)
    }
}

impl EpochState {
    /// Whether it is one to write under, for whoever can open it.
    #[must_use]
    pub const fn is_written_under(&self) -> bool {
        self.counts && self.unclean.is_none() && !self.retired
    }
}

/// Why an epoch of these makers is not for live readers alone, by the seals that matter.
fn unclean<'a>(
    makers: Option<&BTreeSet<DeviceId>>,
    seals: impl Iterator<Item = &'a Seal>,
    readers: &BTreeSet<DeviceId>,
) -> Option<Unclean> {
    let mut unsealed = true;
    for Seal { by, devices } in seals {
        if let Some(to) = devices.iter().find(|device| !readers.contains(device)) {
            return Some(Unclean::Spoiled { by: *by, to: *to });
        }
        unsealed &= makers.is_none_or(|makers| makers.is_disjoint(devices));
    }
    unsealed.then_some(Unclean::Unsealed)
}
