//! §3 and §7: who can do what, from the statements that count.

use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::bounds::{ROUTE_DEPTH_MAX, ROUTES_PER_DEVICE_MAX};
use tearline_crdt::charter::Member;
use tearline_crdt::id::{AgencyNo, CompartmentId, DeviceId, Incarnation, LogId, StatementId};
use tearline_crdt::keys::{DeviceCard, RootKey};
use tearline_crdt::statement::{
    Act, Audience, Caveats, DeskCertificate, Reopening, Right, Statement,
};

use super::Naive;
use crate::answers::Route;
use crate::bug::Bug;
use crate::world::Placed;

/// What statements draw, in the coalition or in a compartment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Drawing {
    /// Roots by member.
    pub(crate) members: BTreeMap<AgencyNo, Roots>,
    pub(crate) devices: BTreeMap<DeviceId, Device>,
    pub(crate) readmitted: Lives,
}

/// Incarnations of devices.
pub(crate) type Lives = BTreeSet<(DeviceId, Incarnation)>;

/// Whose a route is: a device's, in every incarnation or in one that is named.
type Holder = (DeviceId, Option<Incarnation>);

/// Routes of devices.
type Routes = BTreeMap<Holder, BTreeSet<Key>>;

/// The roots of a member.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Roots {
    pub(crate) all: BTreeSet<RootKey>,
    /// Those that acts in force name as replaced.
    pub(crate) replaced: BTreeSet<RootKey>,
}

impl Roots {
    /// §3: "Those of them are standing that no replace-root act in force for the number names as replaced."
    pub(crate) fn is_standing(&self, root: &RootKey) -> bool {
        self.all.contains(root) && !self.replaced.contains(root)
    }
}

/// A device with a route.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Device {
    pub(crate) agency: AgencyNo,
    pub(crate) card: DeviceCard,
    pub(crate) desk: bool,
    /// In the order in which they are kept, by the incarnation that is named.
    pub(crate) routes: BTreeMap<Option<Incarnation>, BTreeSet<Key>>,
}

/// A route, in the order of §3: depth ascending, right descending, encoded limits ascending.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Key {
    depth: u8,
    right: std::cmp::Reverse<Right>,
    encoded: Vec<u8>,
    limits: Caveats,
}

/// A grant, whether it counts or not.
#[derive(Clone, Debug)]
pub(crate) struct Grant<'a> {
    pub(crate) issuer: DeviceId,
    /// The incarnation in whose log it stands.
    pub(crate) life: Incarnation,
    pub(crate) audience: &'a Audience,
    pub(crate) right: Right,
    pub(crate) caveats: &'a Caveats,
    /// The incarnation that it names.
    pub(crate) names: Option<Incarnation>,
}

/// One grant to one device that is admissible but for the issuer's routes.
struct Gift {
    issuer: DeviceId,
    life: Incarnation,
    to: DeviceId,
    names: Option<Incarnation>,
    right: Right,
    caveats: Caveats,
    /// What the route gives at the most.
    at_most: Right,
    /// In the coalition: as whose it comes, under which card.
    of: Option<Own>,
}

/// As whose a device comes, under which card.
type Own = (AgencyNo, DeviceCard);

/// Whose each device is.
type Cards = BTreeMap<DeviceId, Own>;

impl Key {
    pub(crate) fn new(depth: u8, right: Right, limits: Caveats) -> Self {
        let mut encoded = Vec::new();
        limits.encode(&mut encoded);
        Self { depth, right: std::cmp::Reverse(right), encoded, limits }
    }

    pub(crate) const fn right(&self) -> Right {
        self.right.0
    }

    pub(crate) const fn limits(&self) -> &Caveats {
        &self.limits
    }

    pub(crate) fn answer(&self) -> Route {
        Route { depth: self.depth, right: self.right.0, limits: self.limits.clone() }
    }
}

impl Drawing {
    /// §3: the routes of an incarnation of a device: those that name it, and if it was not readmitted
    /// those of every incarnation.
    pub(crate) fn routes(&self, device: &DeviceId, life: Incarnation) -> Vec<&Key> {
        let Some(of) = self.devices.get(device) else { return Vec::new() };
        let every = !self.readmitted.contains(&(*device, life));
        let named =
            of.routes.iter().filter(|(named, _)| **named == Some(life) || named.is_none() && every);
        named.flat_map(|(_, routes)| routes).collect()
    }

    /// Whether the incarnation of a log has a route with at least this right.
    pub(crate) fn may(&self, log: &LogId, right: Right) -> bool {
        let routes = self.routes(&log.device, log.incarnation);
        routes.iter().any(|route| route.right() >= right)
    }

    /// The agency of a device.
    pub(crate) fn agency(&self, device: &DeviceId) -> Option<AgencyNo> {
        self.devices.get(device).map(|device| device.agency)
    }

    /// The agency of a root.
    pub(crate) fn agency_of_root(&self, root: &RootKey) -> Option<AgencyNo> {
        let mut of = self.members.iter().filter(|(_, roots)| roots.all.contains(root));
        of.next().map(|(no, _)| *no)
    }

    /// Whether a root is one of its agency's standing ones.
    pub(crate) fn is_standing(&self, root: &RootKey) -> bool {
        self.members.values().any(|roots| roots.is_standing(root))
    }
}

impl Naive<'_> {
    /// §7: members and their roots, from the acts in force, and those of them that give roots.
    pub(super) fn members(
        &self,
        in_force: &BTreeSet<StatementId>,
        giving: &BTreeSet<StatementId>,
    ) -> BTreeMap<AgencyNo, Roots> {
        let mut chosen: BTreeMap<AgencyNo, &Member> = BTreeMap::new();
        for known in in_force.iter().filter_map(|id| self.acts.get(id)) {
            let Act::Admit { member, .. } = &known.act else { continue };
            let smaller = |other: &&Member| {
                let less = (member.root, encoded(member)) < (other.root, encoded(other));
                if self.has(Bug::GreatestRoot) { !less } else { less }
            };
            if chosen.get(&member.no).is_none_or(smaller) {
                chosen.insert(member.no, member);
            }
        }
        for founder in &self.held.charter.founders {
            chosen.insert(founder.no, founder);
        }
        let mut members: BTreeMap<AgencyNo, Roots> = BTreeMap::new();
        for (no, member) in chosen {
            members.entry(no).or_default().all.insert(member.root);
        }
        for known in giving.iter().filter_map(|id| self.acts.get(id)) {
            if let Act::ReplaceRoot { agency, root, .. } = &known.act
                && let Some(of) = members.get_mut(agency)
                && !self.has(Bug::OldRootsOnly)
            {
                of.all.insert(*root);
            }
        }
        for known in in_force.iter().filter_map(|id| self.acts.get(id)) {
            if let Act::ReplaceRoot { agency, replaced, .. } = &known.act
                && let Some(of) = members.get_mut(agency)
            {
                of.replaced.extend(replaced);
            }
        }
        // "A root of several members is that of the smallest number."
        let mut taken = BTreeSet::new();
        for of in members.values_mut() {
            of.all.retain(|root| taken.insert(*root));
        }
        members
    }

    /// §3: desks and routes in the coalition.
    pub(super) fn draw_coalition(
        &self,
        members: &BTreeMap<AgencyNo, Roots>,
        certificates: &[&DeskCertificate],
        grants: &[Grant<'_>],
        readmitted: &Lives,
    ) -> Drawing {
        let (members, readmitted) = (members.clone(), readmitted.clone());
        let mut drawing = Drawing { members, devices: BTreeMap::new(), readmitted };
        let mut base = Routes::new();
        // "Of several certificates for it the smallest agency's, then card's, counts."
        let mut desks: BTreeMap<DeviceId, (AgencyNo, &DeviceCard)> = BTreeMap::new();
        for certificate in certificates {
            if let Some(agency) = drawing.agency_of_root(&certificate.root) {
                let one = (agency, &certificate.desk);
                let least = desks.entry(certificate.desk.device).or_insert(one);
                *least = one.min(*least);
            }
        }
        for id in desks.keys() {
            base.insert((*id, None), BTreeSet::from([Key::new(1, Right::Admin, full())]));
        }
        // "A certificate by a root of its device's agency gives it a desk's."
        for certificate in certificates {
            let (agency, id) = (drawing.agency_of_root(&certificate.root), certificate.desk.device);
            let own = agency.is_some() && desks.get(&id).map(|(no, _)| *no) == agency;
            if let Some(Reopening { incarnation, .. }) =
                certificate.reopening.as_ref().filter(|_| own)
            {
                let route = Key::new(1, Right::Admin, full());
                base.insert((id, Some(*incarnation)), BTreeSet::from([route]));
            }
        }
        let mut gifts = Vec::new();
        for grant in grants {
            let Audience::Device { agency, card } = grant.audience else { continue };
            let sponsor = desks.get(&DeviceId(card.sponsor)).map(|(agency, _)| *agency);
            let sponsored = sponsor == Some(*agency) || self.has(Bug::AnySponsor);
            if sponsored && !desks.contains_key(&card.device) && self.card_holds(card) {
                gifts.push(Gift {
                    issuer: grant.issuer,
                    life: grant.life,
                    to: card.device,
                    names: grant.names,
                    right: grant.right,
                    caveats: grant.caveats.clone(),
                    at_most: Right::Admin,
                    of: Some((*agency, card.clone())),
                });
            }
        }
        let mut cards: Cards =
            desks.iter().map(|(id, (agency, card))| (*id, (*agency, (*card).clone()))).collect();
        for ((id, named), routes) in self.spread(base, &gifts, &mut cards, &drawing.readmitted) {
            let Some((agency, card)) = cards.get(&id).cloned() else { continue };
            let none =
                Device { agency, card, desk: desks.contains_key(&id), routes: BTreeMap::new() };
            let device = drawing.devices.entry(id).or_insert(none);
            device.routes.insert(named, routes);
        }
        drawing
    }

    /// §3: routes in a compartment.
    pub(super) fn draw_compartment(
        &self,
        area: CompartmentId,
        coalition: &Drawing,
        grants: &[Grant<'_>],
        readmitted: &Lives,
    ) -> Drawing {
        let audience = self.audience(area);
        let is_in = |device: &Device| {
            audience.iter().any(|(no, root)| {
                let members = coalition.members.get(no);
                device.agency == *no && members.is_some_and(|roots| roots.all.contains(root))
            })
        };
        let mut gifts = Vec::new();
        for grant in grants {
            for (id, device) in &coalition.devices {
                let meant = match grant.audience {
                    Audience::Device { agency, card } => {
                        (*agency, card.device) == (device.agency, *id) && self.card_holds(card)
                    }
                    Audience::Agency(agency) => *agency == device.agency,
                };
                if meant {
                    let inside = is_in(device) || self.has(Bug::OpenAudience);
                    gifts.push(Gift {
                        issuer: grant.issuer,
                        life: grant.life,
                        to: *id,
                        names: grant.names,
                        right: grant.right,
                        caveats: grant.caveats.clone(),
                        at_most: if inside { Right::Admin } else { Right::Relay },
                        of: None,
                    });
                }
            }
        }
        let base = coalition.devices.iter().filter(|(_, device)| is_in(device));
        let base = base.flat_map(|(id, device)| {
            device.routes.iter().map(|(named, routes)| ((*id, *named), routes.clone()))
        });
        let (members, readmitted) = (coalition.members.clone(), readmitted.clone());
        let mut drawing = Drawing { members, devices: BTreeMap::new(), readmitted };
        let base: Routes = base.collect();
        let drawn = self.spread(base, &gifts, &mut Cards::new(), &drawing.readmitted);
        for ((id, named), routes) in drawn {
            if let Some(above) = coalition.devices.get(&id) {
                let none = || Device { routes: BTreeMap::new(), ..above.clone() };
                let device = drawing.devices.entry(id).or_insert_with(none);
                device.routes.insert(named, routes);
            }
        }
        drawing
    }

    /// §3: routes from routes, the shorter first: those of one depth are made by those of the depth
    /// before, and of each device the 16 smallest are kept. "Whose a device is, and under which card,
    /// its shortest routes decide: of several the smallest."
    fn spread(
        &self,
        base: Routes,
        gifts: &[Gift],
        cards: &mut Cards,
        readmitted: &Lives,
    ) -> Routes {
        let mut kept = Routes::new();
        let deepest = if self.has(Bug::AnyDepth) { 3 * ROUTE_DEPTH_MAX } else { ROUTE_DEPTH_MAX };
        for depth in 1..=deepest {
            let mut new: Vec<(Holder, Key, Option<&Own>)> = Vec::new();
            for (to, routes) in &base {
                let here = routes.iter().filter(|route| route.depth == depth);
                new.extend(here.map(|route| (*to, route.clone(), None)));
            }
            for gift in gifts {
                let agency = cards.get(&gift.issuer).map(|(agency, _)| *agency);
                let may = gift.of.as_ref().is_none_or(|(of, _)| agency == Some(*of));
                if !may && !self.has(Bug::AnyIssuer) {
                    continue;
                }
                let names = gift.names.filter(|_| !self.has(Bug::NamesNobody));
                // "The routes of a grant's issuer are those of the incarnation in whose log it stands."
                let life = (gift.issuer, gift.life);
                let every = !readmitted.contains(&life) || self.has(Bug::OldRoutesGrant);
                let named = kept.get(&(gift.issuer, Some(gift.life)));
                let other = kept.get(&(gift.issuer, None)).filter(|_| every);
                let issuer = named.into_iter().chain(other).flatten();
                for route in issuer.filter(|r| r.depth + 1 == depth) {
                    if self.covers(route, gift.right, &gift.caveats) {
                        let right = gift.right.min(gift.at_most);
                        let limits = self.inherited(route, &gift.caveats);
                        let key = Key::new(depth, right, limits);
                        new.push(((gift.to, names), key, gift.of.as_ref()));
                    }
                }
            }
            let mut first = Cards::new();
            for ((device, _), _, of) in &new {
                let Some(of) = of.filter(|_| !cards.contains_key(device)) else { continue };
                let chosen = first.entry(*device).or_insert_with(|| of.clone());
                let better =
                    if self.has(Bug::GreatestCard) { *of > *chosen } else { *of < *chosen };
                if better {
                    chosen.clone_from(of);
                }
            }
            cards.extend(first);
            for (to, route, of) in new {
                let own = cards.get(&to.0).map(|(agency, _)| *agency);
                if of.is_none_or(|(agency, _)| own == Some(*agency)) {
                    kept.entry(to).or_default().insert(route);
                }
            }
            for routes in kept.values_mut() {
                while routes.len() > ROUTES_PER_DEVICE_MAX && !self.has(Bug::AllRoutes) {
                    routes.pop_last();
                }
            }
        }
        kept
    }

    /// §3: when a route covers a grant.
    pub(super) fn covers(&self, route: &Key, right: Right, stated: &Caveats) -> bool {
        let own = route.limits();
        own.may_delegate
            && route.right() >= Right::Admit
            && (route.right() >= right || self.has(Bug::WiderRight))
            && (route.depth < ROUTE_DEPTH_MAX || self.has(Bug::AnyDepth))
            && (self.has(Bug::WiderLimits)
                || within(&stated.kinds, &own.kinds, |a, b| a.iter().all(|kind| b.contains(kind)))
                    && within(&stated.classes, &own.classes, |a, b| a & !b == 0)
                    && within(&stated.not_before_ms, &own.not_before_ms, |a, b| a >= b)
                    && within(&stated.not_after_ms, &own.not_after_ms, |a, b| a <= b)
                    && within(&stated.quota_bytes, &own.quota_bytes, |a, b| a <= b)
                    && (own.history || !stated.history))
    }

    /// §3: "the limits that the grant states and where it states none those of the issuer's route,
    /// ... the grant's word on granting on and on history".
    fn inherited(&self, route: &Key, stated: &Caveats) -> Caveats {
        if self.has(Bug::ForgottenLimits) {
            return stated.clone();
        }
        let own = route.limits();
        Caveats {
            kinds: stated.kinds.clone().or_else(|| own.kinds.clone()),
            classes: stated.classes.or(own.classes),
            not_before_ms: stated.not_before_ms.or(own.not_before_ms),
            not_after_ms: stated.not_after_ms.or(own.not_after_ms),
            quota_bytes: stated.quota_bytes.or(own.quota_bytes),
            may_delegate: stated.may_delegate,
            history: stated.history,
        }
    }

    /// The agencies for which a compartment was opened.
    pub(super) fn audience(&self, area: CompartmentId) -> Vec<(AgencyNo, RootKey)> {
        let opening = self.held.openings.iter().find(|opening| opening.id() == area);
        opening.map(|opening| opening.audience.clone()).unwrap_or_default()
    }

    /// The certificates in the coalition's logs that hold. They prove themselves, so every place will do (§1).
    pub(super) fn certificates(&self) -> Vec<&DeskCertificate> {
        let certificates =
            self.statements_in(self.coalition).filter_map(|placed| match placed.item.statement() {
                Statement::Desk(certificate) if self.certificate_holds(certificate) => {
                    Some(certificate)
                }
                _ => None,
            });
        certificates.collect()
    }

    /// The grants in an area's logs.
    pub(super) fn grants(
        &self,
        area: CompartmentId,
        counts: &dyn Fn(&Placed) -> bool,
    ) -> Vec<Grant<'_>> {
        let placed = self.statements_in(area).filter(|placed| counts(placed));
        placed.filter_map(grant_of).collect()
    }
}

/// The statement as a grant.
pub(super) fn grant_of(placed: &Placed) -> Option<Grant<'_>> {
    match placed.item.statement() {
        Statement::Grant { audience, right, caveats, reopening } => Some(Grant {
            issuer: placed.log.device,
            life: placed.log.incarnation,
            audience,
            right: *right,
            caveats,
            names: names(audience, reopening.as_ref()),
        }),
        _ => None,
    }
}

/// §3: the incarnation that a grant names, if it is one to a device.
fn names(audience: &Audience, reopening: Option<&Reopening>) -> Option<Incarnation> {
    let reopening = reopening.filter(|_| matches!(audience, Audience::Device { .. }));
    reopening.map(|reopening| reopening.incarnation)
}

fn within<T>(stated: &Option<T>, own: &Option<T>, good: impl Fn(&T, &T) -> bool) -> bool {
    match (stated, own) {
        (Some(stated), Some(own)) => good(stated, own),
        _ => true,
    }
}

/// A desk's limits: none. It may grant on, and give history.
fn full() -> Caveats {
    Caveats { may_delegate: true, history: true, ..Caveats::default() }
}

fn encoded(member: &Member) -> Vec<u8> {
    let mut bytes = Vec::new();
    member.encode(&mut bytes);
    bytes
}
