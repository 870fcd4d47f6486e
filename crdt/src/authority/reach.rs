//! Members, desks and routes, as they follow from the statements that count
//! (`docs/protocol/authority.md`, sections 3 and 7).

use std::collections::{BTreeMap, BTreeSet};

use crate::bounds::{ROUTE_DEPTH_MAX, ROUTES_PER_DEVICE_MAX};
use crate::charter::{Charter, Member};
use crate::id::{AgencyNo, CoalitionId, DeviceId, EntryId, Incarnation, StatementId};
use crate::keys::{DeviceCard, RootKey};
use crate::statement::{Act, Audience, Caveats, Opening, Reopening, Right, Statement};

use super::fact::{Fact, MarkSet};
use super::positive::Positive;
use super::readmitted::Readmitted;
use super::route::Route;

/// A member of a coalition and the roots that have stood for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seat {
    /// The agency, with the root that it came with.
    pub member: Member,
    /// Its roots: the first, and those that replaced one.
    pub roots: BTreeSet<RootKey>,
    /// Those of them, and others, that were replaced: they adopt and reopen nothing.
    pub replaced: BTreeSet<RootKey>,
}

impl Seat {
    /// Whether a root was not replaced.
    #[must_use]
    pub fn is_standing(&self, root: &RootKey) -> bool {
        self.roots.contains(root) && !self.replaced.contains(root)
    }

    /// The roots that were not replaced, ascending. There are several where acts that did not know of each
    /// other gave some, and none where an act took one and had not enough approvals that count to give one.
    pub fn standing(&self) -> impl Iterator<Item = &RootKey> {
        self.roots.difference(&self.replaced)
    }
}

/// A device's standing, as routes make it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Standing {
    /// Whose device it is.
    pub agency: AgencyNo,
    /// Its public keys.
    pub card: DeviceCard,
    /// Whether a root of its agency named it a desk.
    pub desk: bool,
    /// The routes of all its incarnations but those that were readmitted, in order.
    pub routes: Vec<Route>,
    /// The incarnations of which a statement speaks that counts or readmits.
    pub lives: BTreeMap<Incarnation, Life>,
}

/// What is said of one incarnation of a device by name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Life {
    /// The routes that it has and others have not, in order.
    pub routes: Vec<Route>,
    /// The statement that readmitted it: it has no other routes then.
    pub readmitted: Option<EntryId>,
}

impl Standing {
    /// A standing without routes yet.
    fn new(agency: AgencyNo, card: DeviceCard, desk: bool, readmitted: &Readmitted) -> Self {
        let (routes, lives) = (Vec::new(), BTreeMap::new());
        let mut standing = Self { agency, card, desk, routes, lives };
        standing.readmit(readmitted);
        standing
    }

    /// Notes which of its incarnations were readmitted.
    fn readmit(&mut self, readmitted: &Readmitted) {
        for (life, by) in readmitted.of(&self.card.device) {
            self.lives.entry(life).or_default().readmitted = Some(by);
        }
    }

    /// The routes of an incarnation.
    pub fn routes_in(&self, life: Incarnation) -> impl Iterator<Item = &Route> {
        let named = self.lives.get(&life);
        let every =
            self.routes.iter().filter(move |_| named.is_none_or(|life| life.readmitted.is_none()));
        every.chain(named.into_iter().flat_map(|life| &life.routes))
    }

    /// The highest right that a route of an incarnation gives.
    #[must_use]
    pub fn right_in(&self, life: Incarnation) -> Option<Right> {
        self.routes_in(life).map(|route| route.right).max()
    }

    /// The statement that readmitted an incarnation.
    #[must_use]
    pub fn readmitted_by(&self, life: Incarnation) -> Option<EntryId> {
        self.lives.get(&life)?.readmitted
    }

    /// The routes that name an incarnation, or none.
    fn routes_of(&mut self, life: Option<Incarnation>) -> &mut Vec<Route> {
        match life {
            None => &mut self.routes,
            Some(life) => &mut self.lives.entry(life).or_default().routes,
        }
    }
}

/// An act that is in force.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct InForce {
    pub(super) act: Act,
    pub(super) marks: MarkSet,
    /// Whether approvals that count suffice: a narrowing act is in force by all others, too.
    pub(super) widely: bool,
}

/// Members, devices and acts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Reach {
    pub(super) seats: BTreeMap<AgencyNo, Seat>,
    pub(super) devices: BTreeMap<DeviceId, Standing>,
    pub(super) acts: BTreeMap<StatementId, InForce>,
}

/// What a coalition's reach is drawn from.
pub(super) struct Source<'a> {
    pub(super) id: CoalitionId,
    pub(super) charter: &'a Charter,
    pub(super) facts: &'a [&'a Fact],
}

impl Reach {
    /// Draws a coalition's reach from the facts for which `counts` holds, and the round before this
    /// one. Narrowing acts are in force as positive reach says.
    pub(super) fn next_round(
        source: &Source<'_>,
        (positive, readmitted): (&Positive, &Readmitted),
        before: &Self,
        counts: &dyn Fn(&Fact) -> bool,
    ) -> Self {
        let voters = Voters::new(source, &before.acts);
        let mut acts = proposed(source);
        acts.retain(|id, held| {
            held.widely = voters.are_enough(id, counts);
            held.widely || held.act.is_narrowing() && positive.acts.contains_key(id)
        });
        let seats = seats(source, &acts);
        let grants: Vec<&Fact> = source.facts.iter().copied().filter(|fact| counts(fact)).collect();
        let desks = desks(source.facts, &seats, readmitted);
        let within = Within::Coalition { desks: &desks };
        let devices = extend(desks.clone(), &grants, &within, readmitted);
        Self { seats, devices, acts }
    }

    /// Draws a compartment's reach on top of its coalition's.
    pub(super) fn compartment(
        (coalition, readmitted): (&Self, &Readmitted),
        opening: &Opening,
        facts: &[&Fact],
        counts: &dyn Fn(&Fact) -> bool,
    ) -> Self {
        let audience = audience(coalition, opening);
        let devices = coalition
            .devices
            .iter()
            .filter(|(_, standing)| audience.contains(&standing.agency))
            .map(|(device, standing)| {
                let mut standing = standing.clone();
                standing.readmit(readmitted);
                (*device, standing)
            })
            .collect();
        let grants: Vec<&Fact> = facts.iter().copied().filter(|fact| counts(fact)).collect();
        let within = Within::Compartment { coalition, audience: &audience };
        Self {
            seats: BTreeMap::new(),
            devices: extend(devices, &grants, &within, readmitted),
            acts: BTreeMap::new(),
        }
    }

    /// The acts whose closures an agency's root and desks may lift: those that admissions of it cite.
    pub(super) fn permitted(&self, agency: AgencyNo) -> BTreeSet<StatementId> {
        self.acts
            .values()
            .filter_map(|held| match &held.act {
                Act::Admit { member, cites } if member.no == agency && held.widely => Some(cites),
                _ => None,
            })
            .flatten()
            .copied()
            .collect()
    }

    /// Whose a root is.
    pub(super) fn root_of(&self, root: &RootKey) -> Option<AgencyNo> {
        root_of(&self.seats, root)
    }
}

/// Founders, and whom acts in force admitted.
fn seats(source: &Source<'_>, acts: &BTreeMap<StatementId, InForce>) -> BTreeMap<AgencyNo, Seat> {
    let founders = &source.charter.founders;
    let mut members: BTreeMap<AgencyNo, Member> =
        founders.iter().map(|member| (member.no, member.clone())).collect();
    for InForce { act, widely, .. } in acts.values() {
        let Act::Admit { member, .. } = act else { continue };
        if !widely || founders.iter().any(|founder| founder.no == member.no) {
            continue;
        }
        let seat = members.entry(member.no).or_insert_with(|| member.clone());
        if (member.root, encoded(member)) < (seat.root, encoded(seat)) {
            *seat = member.clone();
        }
    }
    let with_roots = |(no, member): (AgencyNo, Member)| {
        let roots = given(acts, no).chain([member.root]).collect();
        (no, Seat { roots, replaced: replaced(acts, no), member })
    };
    members.into_iter().map(with_roots).collect()
}

/// The roots that acts gave an agency in the place of others, by approvals that count.
fn given(
    acts: &BTreeMap<StatementId, InForce>,
    no: AgencyNo,
) -> impl Iterator<Item = RootKey> + use<'_> {
    acts.values().filter_map(move |held| match &held.act {
        Act::ReplaceRoot { agency, root, .. } if *agency == no && held.widely => Some(*root),
        _ => None,
    })
}

/// The roots of an agency that acts in force replaced.
fn replaced(acts: &BTreeMap<StatementId, InForce>, no: AgencyNo) -> BTreeSet<RootKey> {
    let replaced = acts.values().filter_map(|held| match &held.act {
        Act::ReplaceRoot { agency, replaced, .. } if *agency == no => Some(replaced),
        _ => None,
    });
    replaced.flatten().copied().collect()
}

/// Who approved which act, and for whom.
pub(super) struct Voters<'a> {
    /// The founders for whom each device may approve: those by whose roots it is certified.
    founders: BTreeMap<DeviceId, BTreeSet<AgencyNo>>,
    approvals: BTreeMap<StatementId, Vec<&'a Fact>>,
    quorum: usize,
}

impl<'a> Voters<'a> {
    pub(super) fn new(source: &Source<'a>, acts: &BTreeMap<StatementId, InForce>) -> Self {
        let mut roots: BTreeMap<RootKey, BTreeSet<AgencyNo>> = BTreeMap::new();
        for founder in &source.charter.founders {
            for root in given(acts, founder.no).chain([founder.root]) {
                roots.entry(root).or_default().insert(founder.no);
            }
        }
        let mut founders: BTreeMap<DeviceId, BTreeSet<AgencyNo>> = BTreeMap::new();
        let mut approvals: BTreeMap<StatementId, Vec<&Fact>> = BTreeMap::new();
        for fact in source.facts.iter().copied() {
            match &fact.statement {
                Statement::Desk(certificate) => {
                    if let Some(by) = roots.get(&certificate.root) {
                        founders.entry(certificate.desk.device).or_default().extend(by);
                    }
                }
                Statement::Propose { number, act } => {
                    approvals.entry(act.id(&source.id, *number)).or_default().push(fact);
                }
                Statement::Approve { act } => approvals.entry(*act).or_default().push(fact),
                _ => {}
            }
        }
        Self { founders, approvals, quorum: usize::from(source.charter.quorum) }
    }

    /// The founders that approved an act by approvals that count.
    pub(super) fn approved(
        &self,
        id: &StatementId,
        counts: &dyn Fn(&Fact) -> bool,
    ) -> BTreeSet<AgencyNo> {
        let approvals = self.approvals.get(id).into_iter().flatten();
        approvals
            .filter(|fact| counts(fact))
            .filter_map(|fact| self.founders.get(&fact.issuer()))
            .flatten()
            .copied()
            .collect()
    }

    /// Whether they are enough.
    pub(super) fn are_enough(&self, id: &StatementId, counts: &dyn Fn(&Fact) -> bool) -> bool {
        self.approved(id, counts).len() >= self.quorum
    }
}

/// The acts of which a proposal is held, with their marks where any proposal has them.
pub(super) fn proposed(source: &Source<'_>) -> BTreeMap<StatementId, InForce> {
    let mut proposed: BTreeMap<StatementId, InForce> = BTreeMap::new();
    for fact in source.facts {
        let Statement::Propose { number, act } = &fact.statement else { continue };
        let marks = || fact.marks.clone();
        let new = || InForce { act: act.clone(), marks: marks(), widely: false };
        let held = proposed.entry(act.id(&source.id, *number)).or_insert_with(new);
        if held.marks.is_empty() {
            held.marks = marks();
        }
    }
    proposed
}

fn root_of(seats: &BTreeMap<AgencyNo, Seat>, root: &RootKey) -> Option<AgencyNo> {
    seats.iter().find(|(_, seat)| seat.roots.contains(root)).map(|(no, _)| *no)
}

fn encoded(member: &Member) -> Vec<u8> {
    let mut out = Vec::new();
    member.encode(&mut out);
    out
}

/// The agencies of a compartment's audience: those whose number and root the opener meant.
pub(super) fn audience(coalition: &Reach, opening: &Opening) -> BTreeSet<AgencyNo> {
    opening
        .audience
        .iter()
        .filter(|(no, root)| coalition.seats.get(no).is_some_and(|seat| seat.roots.contains(root)))
        .map(|(no, _)| *no)
        .collect()
}

/// The desks. Of several certificates for one device that of the smallest agency, then card, counts.
fn desks(
    facts: &[&Fact],
    seats: &BTreeMap<AgencyNo, Seat>,
    readmitted: &Readmitted,
) -> BTreeMap<DeviceId, Standing> {
    let certificates = || {
        facts.iter().filter_map(|fact| {
            let Statement::Desk(certificate) = &fact.statement else { return None };
            Some((root_of(seats, &certificate.root)?, certificate))
        })
    };
    let mut chosen: BTreeMap<DeviceId, (AgencyNo, &DeviceCard)> = BTreeMap::new();
    for (agency, certificate) in certificates() {
        let one = (agency, &certificate.desk);
        let least = chosen.entry(certificate.desk.device).or_insert(one);
        *least = one.min(*least);
    }
    let desk = |(device, (agency, card)): (DeviceId, (AgencyNo, &DeviceCard))| {
        let mut standing = Standing::new(agency, card.clone(), true, readmitted);
        standing.routes.push(Route::desk());
        (device, standing)
    };
    let mut desks: BTreeMap<DeviceId, Standing> = chosen.into_iter().map(desk).collect();
    for (agency, certificate) in certificates() {
        let Some(Reopening { incarnation, .. }) = certificate.reopening else { continue };
        let held = desks.get_mut(&certificate.desk.device);
        if let Some(held) = held.filter(|held| held.agency == agency) {
            *held.routes_of(Some(incarnation)) = vec![Route::desk()];
        }
    }
    desks
}

/// Where routes are drawn.
enum Within<'a> {
    Coalition { desks: &'a BTreeMap<DeviceId, Standing> },
    Compartment { coalition: &'a Reach, audience: &'a BTreeSet<AgencyNo> },
}

/// What grants say, by issuer, and in which incarnation he says it. Equal ones give no more than one.
type ByIssuer<'a> = BTreeMap<(DeviceId, Incarnation), BTreeSet<Gift<'a>>>;

/// To whom, what, and the incarnation that is named.
type Gift<'a> = (&'a Audience, Right, &'a Caveats, Option<Incarnation>);

/// The incarnation of a device that a grant names.
pub(super) fn named(audience: &Audience, reopening: Option<&Reopening>) -> Option<Incarnation> {
    let to_device = matches!(audience, Audience::Device { .. });
    reopening.filter(|_| to_device).map(|reopening| reopening.incarnation)
}

/// Follows grants from the devices that have routes, depth by depth, so that the routes of a device
/// that are kept do not depend on the order of the grants. Whose a device is, and under which card,
/// the shortest of its routes decide.
fn extend(
    mut devices: BTreeMap<DeviceId, Standing>,
    facts: &[&Fact],
    within: &Within<'_>,
    readmitted: &Readmitted,
) -> BTreeMap<DeviceId, Standing> {
    let by_issuer = by_issuer(facts);
    for depth in 1..ROUTE_DEPTH_MAX {
        let found = Found::new(&devices, &by_issuer, within, depth);
        found.spread(&mut devices, within, readmitted);
    }
    devices
}

fn by_issuer<'a>(facts: &[&'a Fact]) -> ByIssuer<'a> {
    let mut by_issuer = ByIssuer::new();
    for fact in facts {
        if let Statement::Grant { audience, right, caveats, reopening } = &fact.statement {
            let gift = (audience, *right, caveats, named(audience, reopening.as_ref()));
            let issuer = (fact.issuer(), fact.place.log.incarnation);
            by_issuer.entry(issuer).or_default().insert(gift);
        }
    }
    by_issuer
}

/// What the grants of one depth give: for each whom they go to no more than he keeps. One to an agency
/// stays one until all are found, since grants and devices together may be more than memory has room
/// for.
#[derive(Default)]
struct Found {
    devices: BTreeMap<DeviceId, BTreeMap<AgencyNo, AsOne>>,
    agencies: BTreeMap<AgencyNo, Kept>,
}

/// What a device is given as one agency's.
struct AsOne {
    /// The smallest card.
    card: DeviceCard,
    desk: bool,
    /// By the incarnation that is named.
    routes: BTreeMap<Option<Incarnation>, Kept>,
}

impl Found {
    fn new(
        devices: &BTreeMap<DeviceId, Standing>,
        by_issuer: &ByIssuer<'_>,
        within: &Within<'_>,
        depth: u8,
    ) -> Self {
        let mut found = Self::default();
        for ((issuer, life), grants) in by_issuer {
            let Some(by) = devices.get(issuer) else { continue };
            let routes: Vec<&Route> = by.routes_in(*life).filter(|r| r.depth == depth).collect();
            for (audience, right, caveats, named) in grants {
                let mut given = routes.iter().filter_map(|r| r.grant(*right, caveats).ok());
                let Some(first) = given.next() else { continue };
                let Some((no, kept)) = found.of((audience, *named), by, within) else { continue };
                [first].into_iter().chain(given).for_each(|route| kept.add(within.clip(no, route)));
            }
        }
        found
    }

    /// Where what a grant gives is to be kept, if the issuer's standing lets it reach anybody.
    fn of(
        &mut self,
        (audience, named): (&Audience, Option<Incarnation>),
        by: &Standing,
        within: &Within<'_>,
    ) -> Option<(AgencyNo, &mut Kept)> {
        let (device, no, card, desk) = match (within, audience) {
            (Within::Coalition { desks }, Audience::Device { agency, card }) => {
                let sponsor = desks.get(&DeviceId(card.sponsor)).map(|desk| desk.agency);
                let own = sponsor == Some(*agency) && by.agency == *agency;
                (own && !desks.contains_key(&card.device)).then_some((
                    card.device,
                    *agency,
                    card,
                    false,
                ))?
            }
            (Within::Coalition { .. }, Audience::Agency(_)) => return None,
            (Within::Compartment { coalition, .. }, Audience::Device { agency, card }) => {
                let held = coalition.devices.get(&card.device);
                let held = held.filter(|held| held.agency == *agency)?;
                (card.device, held.agency, &held.card, held.desk)
            }
            (Within::Compartment { .. }, Audience::Agency(no)) => {
                return Some((*no, self.agencies.entry(*no).or_default()));
            }
        };
        let as_one = self.devices.entry(device).or_default().entry(no).or_insert_with(|| {
            let (card, routes) = (card.clone(), BTreeMap::new());
            AsOne { card, desk, routes }
        });
        if *card < as_one.card {
            as_one.card = card.clone();
        }
        Some((no, as_one.routes.entry(named).or_default()))
    }

    /// Gives it to the devices.
    fn spread(
        self,
        devices: &mut BTreeMap<DeviceId, Standing>,
        within: &Within<'_>,
        readmitted: &Readmitted,
    ) {
        for (device, as_agencies) in self.devices {
            for (agency, AsOne { card, desk, routes }) in as_agencies {
                let none = || Standing::new(agency, card, desk, readmitted);
                let to = devices.entry(device).or_insert_with(none);
                if to.agency == agency {
                    routes.iter().for_each(|(named, kept)| kept.give(to.routes_of(*named)));
                }
            }
        }
        let Within::Compartment { coalition, .. } = within else { return };
        if self.agencies.is_empty() {
            return;
        }
        for (device, held) in &coalition.devices {
            let Some(kept) = self.agencies.get(&held.agency) else { continue };
            let none = || Standing::new(held.agency, held.card.clone(), held.desk, readmitted);
            kept.give(&mut devices.entry(*device).or_insert_with(none).routes);
        }
    }

    /// How many routes it has.
    #[cfg(test)]
    fn routes(&self) -> usize {
        let as_agencies = self.devices.values().flat_map(BTreeMap::values);
        let devices = as_agencies.flat_map(|as_one| as_one.routes.values());
        devices.chain(self.agencies.values()).map(|kept| kept.0.len()).sum()
    }
}

/// The smallest of the routes that were given, as many as a device keeps.
#[derive(Default)]
struct Kept(BTreeSet<Route>);

impl Kept {
    fn add(&mut self, route: Route) {
        let is_full = self.0.len() >= ROUTES_PER_DEVICE_MAX;
        if is_full && self.0.last().is_some_and(|last| *last <= route) {
            return;
        }
        self.0.insert(route);
        if self.0.len() > ROUTES_PER_DEVICE_MAX {
            self.0.pop_last();
        }
    }

    /// Adds them to a device's.
    fn give(&self, to: &mut Vec<Route>) {
        to.extend(self.0.iter().cloned());
        to.sort_unstable();
        to.dedup();
        to.truncate(ROUTES_PER_DEVICE_MAX);
    }
}

impl Within<'_> {
    /// Who is not of the audience may relay at most.
    fn clip(&self, agency: AgencyNo, route: Route) -> Route {
        let outside = match self {
            Self::Coalition { .. } => false,
            Self::Compartment { audience, .. } => !audience.contains(&agency),
        };
        Route { right: if outside { Right::Relay } else { route.right }, ..route }
    }
}

#[cfg(test)]
mod tests;
