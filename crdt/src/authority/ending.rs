//! Endings: by which statements a device can tell that its standing has ended.
//!
//! Who has ended is served no more, so that what ended it does not come with the logs. It may hear what
//! every member heard of it, and no more: the statements that closed it, and those which show that who
//! said them could. The latter prove themselves or take away, too, so that each travels alone
//! ([`crate::entry::stray`]).

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{DeviceId, StatementId};
use crate::keys::RootKey;
use crate::statement::{Act, Statement};

use super::fact::{Fact, Place};
use super::{Coalition, Compartment};

/// Why a statement is told: of several for one reason one is enough.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Told {
    /// A root's word that a device is a desk.
    Desk(RootKey, DeviceId),
    /// What ended the standing, or replaced a root, as a device said it.
    Said(StatementId, DeviceId),
}

impl Coalition {
    /// Where the statements are that ended a device's standing, and those which show that who said them
    /// could, in the order in which they explain each other. There are none while it is live, or if it
    /// never was of the coalition.
    #[must_use]
    pub fn ending_of(&self, device: &DeviceId) -> Vec<Place> {
        if self.live(device).is_some() {
            return Vec::new();
        }
        let mut named: BTreeSet<StatementId> =
            self.closures_of(device).map(|closure| closure.id).collect();
        if named.is_empty() {
            return Vec::new();
        }
        loop {
            let told = self.told(&named);
            let replaced = self.replaced_for(&told);
            let before = named.len();
            named.extend(replaced);
            if named.len() == before {
                let mut told: Vec<&Fact> = told.into_values().collect();
                told.sort_by_key(|fact| self.stage(fact));
                return told.into_iter().map(|fact| fact.place).collect();
            }
        }
    }

    /// When a statement is told: one may explain those after it.
    fn stage(&self, fact: &Fact) -> u8 {
        let acts = || self.positive.acts.values().map(|held| &held.act);
        let replacing = |by: &RootKey| {
            acts().any(|act| matches!(act, Act::ReplaceRoot { root, .. } if root == by))
        };
        let replaces = |id: &StatementId| {
            let held = self.positive.acts.get(id);
            held.is_some_and(|held| matches!(held.act, Act::ReplaceRoot { .. }))
        };
        match &fact.statement {
            Statement::Desk(certificate) => 2 * u8::from(replacing(&certificate.root)),
            _ if self.says(fact).is_some_and(|id| replaces(&id)) => 1,
            _ => 3,
        }
    }

    /// What says these closures and acts, one statement of each device, and the certificates of those
    /// devices.
    fn told(&self, named: &BTreeSet<StatementId>) -> BTreeMap<Told, &Fact> {
        let mut told: BTreeMap<Told, &Fact> = BTreeMap::new();
        let mut tell = |why: Told, fact| {
            let best = told.entry(why).or_insert(fact);
            if rank(fact, &why) < rank(best, &why) {
                *best = fact;
            }
        };
        let mut issuers = BTreeSet::new();
        for fact in self.facts.values() {
            if let Some(id) = self.says(fact).filter(|id| named.contains(id)) {
                issuers.insert(fact.issuer());
                tell(Told::Said(id, fact.issuer()), fact);
            }
        }
        for fact in self.facts.values() {
            if let Statement::Desk(certificate) = &fact.statement
                && issuers.contains(&certificate.desk.device)
                && self.positive.agencies_of(&certificate.root).next().is_some()
            {
                tell(Told::Desk(certificate.root, certificate.desk.device), fact);
            }
        }
        told
    }

    /// The name of the closure or act that a statement says or approves.
    fn says(&self, fact: &Fact) -> Option<StatementId> {
        match &fact.statement {
            Statement::Revoke { .. } => Some(fact.id()),
            Statement::RootAct(root) => Some(root.id(&self.id)),
            Statement::Propose { number, act } => Some(act.id(&self.id, *number)),
            Statement::Approve { act } => Some(*act),
            _ => None,
        }
    }

    /// The acts in force that replaced roots of the agencies by whose roots these statements stand.
    fn replaced_for(&self, told: &BTreeMap<Told, &Fact>) -> BTreeSet<StatementId> {
        let roots = told.values().filter_map(|fact| match &fact.statement {
            Statement::Desk(certificate) => Some(certificate.root),
            Statement::RootAct(act) => Some(act.root),
            _ => None,
        });
        let roots: BTreeSet<RootKey> = roots.collect();
        let agencies: BTreeSet<_> =
            roots.iter().flat_map(|root| self.positive.agencies_of(root)).collect();
        let replaces =
            |act: &Act| matches!(act, Act::ReplaceRoot { agency, .. } if agencies.contains(agency));
        let acts = self.positive.acts.iter().filter(|(_, held)| replaces(&held.act));
        acts.map(|(id, _)| *id).collect()
    }
}

impl Compartment {
    /// Where the statements are that ended a device's standing here alone; what ended it in the whole
    /// coalition is told there.
    #[must_use]
    pub fn ending_of(&self, device: &DeviceId) -> Vec<Place> {
        if self.live(device).is_some() {
            return Vec::new();
        }
        let named: BTreeSet<StatementId> =
            self.closures_of(device).map(|closure| closure.id).collect();
        let said = self.facts.values().filter(|fact| {
            matches!(fact.statement, Statement::Revoke { .. }) && named.contains(&fact.id())
        });
        said.map(|fact| fact.place).collect()
    }
}

/// Which of several copies is told: an act before its approval, one with the list of its marks, a
/// certificate in its own device's log; else the smallest.
fn rank(fact: &Fact, why: &Told) -> (bool, bool, bool, Place) {
    let approves = matches!(fact.statement, Statement::Approve { .. });
    let foreign = matches!(why, Told::Desk(_, desk) if fact.issuer() != *desk);
    (approves, fact.marks.is_empty(), foreign, fact.place)
}
