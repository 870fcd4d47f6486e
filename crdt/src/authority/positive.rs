//! Positive reach: who could ever do what (`docs/protocol/authority.md`, section 3).
//!
//! It follows from widening statements before forks alone, as if nothing had ever been taken away,
//! chosen or limited. So it grows with every statement, and shrinks by proofs of forks alone: what was
//! judged by it, such as a revocation, is not undone by statements that come later. A device may be of
//! several agencies here; each of them has a say over it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::bounds::ROUTE_DEPTH_MAX;
use crate::id::{AgencyNo, DeviceId, StatementId};
use crate::keys::RootKey;
use crate::statement::{Act, Audience, Opening, Right, Statement};

use super::closure::Author;
use super::fact::Fact;
use super::reach::{InForce, Source, Voters, proposed};

/// A coalition's positive reach.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Positive {
    /// All roots that each agency ever had: those that it came with, by whichever admission, and those that
    /// replaced one.
    pub(super) roots: BTreeMap<AgencyNo, BTreeSet<RootKey>>,
    pub(super) devices: Devices,
    pub(super) acts: BTreeMap<StatementId, InForce>,
}

/// The devices that have reach, as each of the agencies that they are of.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Devices(BTreeMap<DeviceId, BTreeMap<AgencyNo, Part>>);

/// What a device could do as one agency's.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Part {
    pub(super) desk: bool,
    /// Its steps, each with the devices without whose grants it would not be.
    steps: BTreeMap<Step, Cut>,
}

/// Devices, ascending, without whose grants something would not be. On a route there are no more than
/// it has hands; where routes unite, those that are on all of them.
type Cut = Vec<DeviceId>;

/// A route without its limits: depth, right, and whether it grants on.
type Step = (u8, Right, bool);

/// The step of a desk.
const DESK: Step = (1, Right::Admin, true);

/// A grant, as far as positive reach asks. Equal ones give no more than one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Gift {
    issuer: DeviceId,
    /// As which agency's the issuer must have the route, if it matters.
    of: Option<AgencyNo>,
    to: To,
    right: Right,
    /// What it gives at the most.
    at_most: Right,
    may_delegate: bool,
}

/// To whom a grant goes. One to an agency stays one: what it gives is spread over the agency's devices
/// after all that comes to the same is found.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum To {
    Device(DeviceId, AgencyNo),
    Agency(AgencyNo),
}

impl Positive {
    /// Draws a coalition's, from the facts for which `early` holds. Certificates count always.
    ///
    /// Who may approve follows from founders' roots alone, and these only grow with acts in force,
    /// so that acts are a least fixpoint; all else is drawn from them once.
    pub(super) fn new(source: &Source<'_>, early: &dyn Fn(&Fact) -> bool) -> Self {
        let mut acts: BTreeMap<StatementId, InForce> = BTreeMap::new();
        loop {
            let voters = Voters::new(source, &acts);
            let mut more = proposed(source);
            more.retain(|id, held| {
                held.widely = voters.are_enough(id, early);
                held.widely || held.act.is_narrowing() && voters.are_enough(id, &|_| true)
            });
            if more == acts {
                break;
            }
            acts = more;
        }
        let roots = roots(source, &acts);
        let facts: Vec<&Fact> = source.facts.iter().copied().filter(|fact| early(fact)).collect();
        let devices = Devices::coalition(&roots, &facts);
        Self { roots, devices, acts }
    }

    /// The agencies that a root is of.
    pub(super) fn agencies_of(&self, root: &RootKey) -> impl Iterator<Item = AgencyNo> {
        let of = self.roots.iter().filter(move |(_, roots)| roots.contains(root));
        of.map(|(no, _)| *no)
    }
}

fn roots(
    source: &Source<'_>,
    acts: &BTreeMap<StatementId, InForce>,
) -> BTreeMap<AgencyNo, BTreeSet<RootKey>> {
    let founders = &source.charter.founders;
    let mut roots: BTreeMap<AgencyNo, BTreeSet<RootKey>> = BTreeMap::new();
    for founder in founders {
        roots.entry(founder.no).or_default().insert(founder.root);
    }
    for held in acts.values().filter(|held| held.widely) {
        if let Act::Admit { member, .. } = &held.act
            && !founders.iter().any(|founder| founder.no == member.no)
        {
            roots.entry(member.no).or_default().insert(member.root);
        }
    }
    for held in acts.values().filter(|held| held.widely) {
        if let Act::ReplaceRoot { agency, root, .. } = &held.act
            && let Some(of) = roots.get_mut(agency)
        {
            of.insert(*root);
        }
    }
    roots
}

impl Devices {
    /// Those that certificates and grants give reach in a coalition.
    pub(super) fn coalition(
        roots: &BTreeMap<AgencyNo, BTreeSet<RootKey>>,
        facts: &[&Fact],
    ) -> Self {
        let mut devices = Self::default();
        for fact in facts {
            let Statement::Desk(certificate) = &fact.statement else { continue };
            for (no, of) in roots {
                if of.contains(&certificate.root) {
                    let part = devices.part((certificate.desk.device, *no));
                    *part = Part { desk: true, steps: BTreeMap::from([(DESK, Cut::new())]) };
                }
            }
        }
        let mut gifts = BTreeSet::new();
        for fact in facts {
            let Statement::Grant {
                audience: Audience::Device { agency, card },
                right,
                caveats,
                ..
            } = &fact.statement
            else {
                continue;
            };
            let is_desk = |device| devices.of(&device, *agency).is_some_and(|part| part.desk);
            if is_desk(DeviceId(card.sponsor)) && !is_desk(card.device) {
                gifts.insert(Gift {
                    issuer: fact.issuer(),
                    of: Some(*agency),
                    to: To::Device(card.device, *agency),
                    right: *right,
                    at_most: Right::Admin,
                    may_delegate: caveats.may_delegate,
                });
            }
        }
        devices.spread(&gifts, None);
        devices
    }

    /// Those that have reach in a compartment, where `self` is the coalition's.
    pub(super) fn compartment(
        &self,
        roots: &BTreeMap<AgencyNo, BTreeSet<RootKey>>,
        opening: &Opening,
        facts: &[&Fact],
    ) -> Self {
        let is_in = |(no, root): &&(AgencyNo, RootKey)| {
            roots.get(no).is_some_and(|roots| roots.contains(root))
        };
        let audience: BTreeSet<AgencyNo> =
            opening.audience.iter().filter(is_in).map(|(no, _)| *no).collect();
        let mut devices = self.clone();
        devices.0.values_mut().for_each(|parts| parts.retain(|no, _| audience.contains(no)));
        devices.0.retain(|_, parts| !parts.is_empty());
        devices.spread(&self.gifts(&audience, facts), Some(self));
        for (device, parts) in &mut devices.0 {
            for (no, part) in parts {
                part.desk = self.of(device, *no).is_some_and(|above| above.desk);
            }
        }
        devices
    }

    /// What grants give in a compartment of an audience, where `self` is the coalition's.
    fn gifts(&self, audience: &BTreeSet<AgencyNo>, facts: &[&Fact]) -> BTreeSet<Gift> {
        let mut gifts = BTreeSet::new();
        for fact in facts {
            let Statement::Grant { audience: to, right, caveats, .. } = &fact.statement else {
                continue;
            };
            let (no, to) = match to {
                Audience::Device { agency, card } if self.of(&card.device, *agency).is_some() => {
                    (agency, To::Device(card.device, *agency))
                }
                Audience::Device { .. } => continue,
                Audience::Agency(no) => (no, To::Agency(*no)),
            };
            gifts.insert(Gift {
                issuer: fact.issuer(),
                of: None,
                to,
                right: *right,
                at_most: if audience.contains(no) { Right::Admin } else { Right::Relay },
                may_delegate: caveats.may_delegate,
            });
        }
        gifts
    }

    /// Follows gifts, depth by depth. In a compartment, whoever has no reach `above`, in the coalition,
    /// has none.
    fn spread(&mut self, gifts: &BTreeSet<Gift>, above: Option<&Self>) {
        let members = above.map(Self::by_agency).unwrap_or_default();
        for depth in 1..ROUTE_DEPTH_MAX {
            for ((to, step), cut) in self.carried(gifts, depth) {
                let (one, no) = match to {
                    To::Device(device, no) => (Some(device), no),
                    To::Agency(no) => (None, no),
                };
                let all = members.get(&no).filter(|_| one.is_none()).into_iter().flatten();
                for device in all.copied().chain(one) {
                    let base = above.and_then(|above| above.of(&device, no)).map(Part::cut);
                    let cut = unite(cut.clone(), &base.unwrap_or_default());
                    meet(self.part((device, no)).steps.entry(step), cut);
                }
            }
        }
    }

    /// What gifts of devices that have steps at a depth come to: for each whom they go to at most one
    /// step of each right.
    fn carried(&self, gifts: &BTreeSet<Gift>, depth: u8) -> BTreeMap<(To, Step), Cut> {
        let mut carried = BTreeMap::new();
        for gift in gifts {
            let covers = |((at, right, on), _): &(&Step, &Cut)| {
                *at == depth && *on && *right >= Right::Admit && *right >= gift.right
            };
            let parts = self.parts(&gift.issuer);
            let parts = parts.filter(|(no, _)| gift.of.is_none_or(|of| of == *no));
            let by = parts.flat_map(|(_, part)| part.steps.iter().filter(covers));
            let Some(cut) = by.map(|(_, cut)| cut.clone()).reduce(|a, b| common(a, &b)) else {
                continue;
            };
            let step = (depth + 1, gift.right.min(gift.at_most), gift.may_delegate);
            meet(carried.entry((gift.to, step)), unite(cut, &[gift.issuer]));
        }
        carried
    }

    fn part(&mut self, (device, no): (DeviceId, AgencyNo)) -> &mut Part {
        self.0.entry(device).or_default().entry(no).or_default()
    }

    /// What a device could do as an agency's.
    pub(super) fn of(&self, device: &DeviceId, no: AgencyNo) -> Option<&Part> {
        self.0.get(device)?.get(&no)
    }

    /// What a device could do, as each agency's that it is of.
    pub(super) fn parts<'a>(
        &'a self,
        device: &DeviceId,
    ) -> impl Iterator<Item = (AgencyNo, &'a Part)> + use<'a> {
        self.0.get(device).into_iter().flatten().map(|(no, part)| (*no, part))
    }

    /// Whether a device has reach at all.
    pub(super) fn contains(&self, device: &DeviceId) -> bool {
        self.0.contains_key(device)
    }

    /// The devices without whose grants a device would have no reach.
    pub(super) fn cut(&self, device: &DeviceId) -> BTreeSet<DeviceId> {
        let cuts = self.parts(device).map(|(_, part)| part.cut());
        cuts.reduce(|a, b| common(a, &b)).unwrap_or_default().into_iter().collect()
    }

    /// The devices of an agency.
    pub(super) fn of_agency(&self, no: AgencyNo) -> BTreeSet<DeviceId> {
        let devices = self.0.iter().filter(|(_, parts)| parts.contains_key(&no));
        devices.map(|(device, _)| *device).collect()
    }

    /// The devices by agency.
    fn by_agency(&self) -> BTreeMap<AgencyNo, Vec<DeviceId>> {
        let mut members: BTreeMap<AgencyNo, Vec<DeviceId>> = BTreeMap::new();
        for (device, parts) in &self.0 {
            parts.keys().for_each(|no| members.entry(*no).or_default().push(*device));
        }
        members
    }

    /// The agencies as whose a device has a right.
    pub(super) fn speakers<'a>(
        &'a self,
        device: &DeviceId,
        right: Right,
    ) -> impl Iterator<Item = AgencyNo> + use<'a> {
        self.parts(device).filter(move |(_, part)| part.right() >= right).map(|(no, _)| no)
    }
}

impl Part {
    /// The highest right.
    pub(super) fn right(&self) -> Right {
        self.steps.keys().map(|(_, right, _)| *right).max().unwrap_or(Right::Relay)
    }

    /// The devices without whose grants it would have no step.
    fn cut(&self) -> Cut {
        self.steps.values().cloned().reduce(|a, b| common(a, &b)).unwrap_or_default()
    }

    /// On whose word the device speaks as this agency's.
    pub(super) const fn author(&self, no: AgencyNo) -> Author {
        if self.desk { Author::Desk(no) } else { Author::Device(no) }
    }
}

/// What would not be without those of one, or of the other.
fn unite(mut cut: Cut, more: &[DeviceId]) -> Cut {
    cut.extend(more);
    cut.sort_unstable();
    cut.dedup();
    cut
}

/// What is in both.
fn common(mut cut: Cut, other: &Cut) -> Cut {
    cut.retain(|device| other.binary_search(device).is_ok());
    cut
}

/// Another way to the same: what is on both remains.
fn meet<K: Ord>(entry: Entry<'_, K, Cut>, cut: Cut) {
    match entry {
        Entry::Vacant(vacant) => {
            vacant.insert(cut);
        }
        Entry::Occupied(mut held) => held.get_mut().retain(|one| cut.binary_search(one).is_ok()),
    }
}

#[cfg(test)]
mod tests;
