//! Members, desks and routes, as they follow from the statements that count
//! (`docs/protocol/authority.md`, sections 3 and 7).

use std::collections::{BTreeMap, BTreeSet};

use crate::bounds::{ROUTE_DEPTH_MAX, ROUTES_PER_DEVICE_MAX};
use crate::charter::{Charter, Member};
use crate::id::{AgencyNo, Class, CoalitionId, DeviceId, StatementId};
use crate::keys::{DeviceCard, RootKey};
use crate::statement::{Act, Audience, Caveats, Opening, Right, Statement};

use super::fact::{Fact, MarkSet};
use super::positive::Positive;
use super::route::Route;

/// A member of a coalition and the roots that have stood for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seat {
    /// The agency, with the root that it came with.
    pub member: Member,
    /// Its roots: the first, and those that replaced one.
    pub roots: BTreeSet<RootKey>,
    /// Those that replaced one: if there are any, they alone adopt and reopen.
    pub replacing: BTreeSet<RootKey>,
}

impl Seat {
    /// Whether a root was not replaced.
    #[must_use]
    pub fn is_standing(&self, root: &RootKey) -> bool {
        let standing = if self.replacing.is_empty() { &self.roots } else { &self.replacing };
        standing.contains(root)
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
    /// Its routes, in order; at least one.
    pub routes: Vec<Route>,
}

impl Standing {
    /// The highest right that a route gives.
    #[must_use]
    pub fn right(&self) -> Right {
        self.routes.iter().map(|route| route.right).max().unwrap_or(Right::Relay)
    }

    /// Whether a route lets it write logs of a class.
    #[must_use]
    pub fn writes(&self, class: Class) -> bool {
        self.routes.iter().any(|route| route.writes(class))
    }

    /// Whether the epochs that were there before the device are sealed to it.
    #[must_use]
    pub fn reads_history(&self) -> bool {
        self.routes.iter().any(Route::reads_history)
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
        positive: &Positive,
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
        let devices = with_grants(desks(source.facts, &seats), &grants);
        Self { seats, devices, acts }
    }

    /// Draws a compartment's reach on top of its coalition's.
    pub(super) fn compartment(
        coalition: &Self,
        opening: &Opening,
        facts: &[&Fact],
        counts: &dyn Fn(&Fact) -> bool,
    ) -> Self {
        let audience = audience(coalition, opening);
        let devices = coalition
            .devices
            .iter()
            .filter(|(_, standing)| audience.contains(&standing.agency))
            .map(|(device, standing)| (*device, standing.clone()))
            .collect();
        let grants: Vec<&Fact> = facts.iter().copied().filter(|fact| counts(fact)).collect();
        let within = Within::Compartment { coalition, audience: &audience };
        Self {
            seats: BTreeMap::new(),
            devices: extend(devices, &grants, &within),
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
        let mut seat =
            Seat { roots: BTreeSet::from([member.root]), replacing: BTreeSet::new(), member };
        seat.replacing = replacing(acts, no);
        seat.roots.extend(seat.replacing.iter().copied());
        (no, seat)
    };
    members.into_iter().map(with_roots).collect()
}

/// The roots that acts put in the place of an agency's, by approvals that count.
fn replacing(acts: &BTreeMap<StatementId, InForce>, no: AgencyNo) -> BTreeSet<RootKey> {
    acts.values()
        .filter_map(|held| match &held.act {
            Act::ReplaceRoot { agency, root, .. } if *agency == no && held.widely => Some(*root),
            _ => None,
        })
        .collect()
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
            for root in replacing(acts, founder.no).into_iter().chain([founder.root]) {
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

    /// Whether enough founders approved an act by approvals that count.
    pub(super) fn are_enough(&self, id: &StatementId, counts: &dyn Fn(&Fact) -> bool) -> bool {
        let approvals = self.approvals.get(id).into_iter().flatten();
        let approved: BTreeSet<AgencyNo> = approvals
            .filter(|fact| counts(fact))
            .filter_map(|fact| self.founders.get(&fact.issuer()))
            .flatten()
            .copied()
            .collect();
        approved.len() >= self.quorum
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
fn desks(facts: &[&Fact], seats: &BTreeMap<AgencyNo, Seat>) -> BTreeMap<DeviceId, Standing> {
    let mut desks: BTreeMap<DeviceId, Standing> = BTreeMap::new();
    for fact in facts {
        let Statement::Desk(certificate) = &fact.statement else { continue };
        let Some(agency) = root_of(seats, &certificate.root) else { continue };
        let card = certificate.desk.clone();
        let standing = Standing { agency, card, desk: true, routes: vec![Route::desk()] };
        let held = desks.entry(certificate.desk.device).or_insert_with(|| standing.clone());
        if (standing.agency, &standing.card) < (held.agency, &held.card) {
            *held = standing;
        }
    }
    desks
}

/// The devices that grants in the coalition give a standing, beside the desks.
fn with_grants(
    desks: BTreeMap<DeviceId, Standing>,
    grants: &[&Fact],
) -> BTreeMap<DeviceId, Standing> {
    let within = Within::Coalition { desks: &desks.clone() };
    extend(desks, grants, &within)
}

/// Where routes are drawn.
enum Within<'a> {
    Coalition { desks: &'a BTreeMap<DeviceId, Standing> },
    Compartment { coalition: &'a Reach, audience: &'a BTreeSet<AgencyNo> },
}

/// What grants say, by issuer. Equal ones give no more than one.
type ByIssuer<'a> = BTreeMap<DeviceId, BTreeSet<(&'a Audience, Right, &'a Caveats)>>;

/// Follows grants from the devices that have routes, depth by depth, so that the routes of a device
/// that are kept do not depend on the order of the grants. Whose a device is, and under which card,
/// the shortest of its routes decide.
fn extend(
    mut devices: BTreeMap<DeviceId, Standing>,
    facts: &[&Fact],
    within: &Within<'_>,
) -> BTreeMap<DeviceId, Standing> {
    let mut by_issuer = ByIssuer::new();
    for fact in facts {
        if let Statement::Grant { audience, right, caveats, .. } = &fact.statement {
            by_issuer.entry(fact.issuer()).or_default().insert((audience, *right, caveats));
        }
    }
    for depth in 1..ROUTE_DEPTH_MAX {
        Found::new(&devices, &by_issuer, within, depth).spread(&mut devices, within);
    }
    devices
}

/// What the grants of one depth give: for each whom they go to no more than he keeps. One to an agency
/// stays one until all are found, since grants and devices together may be more than memory has room
/// for.
#[derive(Default)]
struct Found {
    /// By device and agency, with the smallest card and whether it is a desk.
    devices: BTreeMap<DeviceId, BTreeMap<AgencyNo, (DeviceCard, bool, Kept)>>,
    agencies: BTreeMap<AgencyNo, Kept>,
}

impl Found {
    fn new(
        devices: &BTreeMap<DeviceId, Standing>,
        by_issuer: &ByIssuer<'_>,
        within: &Within<'_>,
        depth: u8,
    ) -> Self {
        let mut found = Self::default();
        for (issuer, grants) in by_issuer {
            let Some(by) = devices.get(issuer) else { continue };
            let routes: Vec<&Route> = by.routes.iter().filter(|r| r.depth == depth).collect();
            for (audience, right, caveats) in grants {
                let mut given = routes.iter().filter_map(|r| r.grant(*right, caveats).ok());
                let Some(first) = given.next() else { continue };
                let Some((no, kept)) = found.of(audience, by, within) else { continue };
                [first].into_iter().chain(given).for_each(|route| kept.add(within.clip(no, route)));
            }
        }
        found
    }

    /// Where what a grant gives is to be kept, if the issuer's standing lets it reach anybody.
    fn of(
        &mut self,
        audience: &Audience,
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
        let as_one = self.devices.entry(device).or_default();
        let (held, _, kept) =
            as_one.entry(no).or_insert_with(|| (card.clone(), desk, Kept::default()));
        if card < held {
            *held = card.clone();
        }
        Some((no, kept))
    }

    /// Gives it to the devices.
    fn spread(self, devices: &mut BTreeMap<DeviceId, Standing>, within: &Within<'_>) {
        for (device, as_agencies) in self.devices {
            for (agency, (card, desk, kept)) in as_agencies {
                let none = || Standing { agency, card, desk, routes: Vec::new() };
                kept.give(devices.entry(device).or_insert_with(none), agency);
            }
        }
        let Within::Compartment { coalition, .. } = within else { return };
        if self.agencies.is_empty() {
            return;
        }
        for (device, held) in &coalition.devices {
            let Some(kept) = self.agencies.get(&held.agency) else { continue };
            let none = || Standing { routes: Vec::new(), ..held.clone() };
            kept.give(devices.entry(*device).or_insert_with(none), held.agency);
        }
    }

    /// How many routes it has.
    #[cfg(test)]
    fn routes(&self) -> usize {
        let devices = self.devices.values().flat_map(BTreeMap::values).map(|(_, _, kept)| kept);
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

    /// Adds them to a device's, if it is the agency's.
    fn give(&self, to: &mut Standing, agency: AgencyNo) {
        if to.agency == agency {
            to.routes.extend(self.0.iter().cloned());
            to.routes.sort_unstable();
            to.routes.dedup();
            to.routes.truncate(ROUTES_PER_DEVICE_MAX);
        }
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
