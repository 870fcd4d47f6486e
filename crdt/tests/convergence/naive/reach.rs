//! §3: who could ever do what. The same drawing serves §7, from fewer statements.

use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::bounds::{ROUTE_DEPTH_MAX, ROUTES_PER_DEVICE_MAX};
use tearline_crdt::charter::Member;
use tearline_crdt::id::{AgencyNo, CompartmentId, DeviceId, StatementId};
use tearline_crdt::keys::{DeviceCard, RootKey};
use tearline_crdt::statement::{Act, Audience, Caveats, DeskCertificate, Right, Statement};

use super::Naive;
use crate::answers::Route;
use crate::bug::Bug;
use crate::world::Placed;

/// What statements draw, in the coalition or in a compartment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Drawing {
    /// Roots by member.
    pub(crate) members: BTreeMap<AgencyNo, BTreeSet<RootKey>>,
    pub(crate) devices: BTreeMap<DeviceId, Device>,
}

/// A device with a route.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Device {
    pub(crate) agencies: BTreeSet<AgencyNo>,
    pub(crate) desk: bool,
    pub(crate) routes: Routes,
}

/// A device's routes, in the order in which they are kept, each with the cards it is under.
pub(crate) type Routes = BTreeMap<Key, BTreeSet<DeviceCard>>;

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
    pub(crate) audience: &'a Audience,
    pub(crate) right: Right,
    pub(crate) caveats: &'a Caveats,
}

/// One grant to one device that is admissible but for the issuer's routes.
struct Gift {
    issuer: DeviceId,
    to: DeviceId,
    card: Option<DeviceCard>,
    right: Right,
    caveats: Caveats,
    /// What the route gives at the most.
    at_most: Right,
}

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

impl Device {
    /// Whether it has a route with at least this right.
    pub(crate) fn may(&self, right: Right) -> bool {
        self.routes.keys().any(|route| route.right() >= right)
    }
}

impl Drawing {
    /// Whether the device has any route.
    pub(crate) fn reaches(&self, device: &DeviceId) -> bool {
        self.devices.get(device).is_some_and(|device| !device.routes.is_empty())
    }

    /// The agencies that a device is of.
    pub(crate) fn agencies(&self, device: &DeviceId) -> BTreeSet<AgencyNo> {
        self.devices.get(device).map(|device| device.agencies.clone()).unwrap_or_default()
    }

    /// The agency of a root, by number.
    pub(crate) fn agency_of_root(&self, root: &RootKey) -> Option<AgencyNo> {
        let mut of = self.members.iter().filter(|(_, roots)| roots.contains(root));
        of.next().map(|(no, _)| *no)
    }
}

impl Naive<'_> {
    /// §3: members and their roots, from the acts in force.
    pub(super) fn members(
        &self,
        in_force: &BTreeSet<StatementId>,
    ) -> BTreeMap<AgencyNo, BTreeSet<RootKey>> {
        let founders = &self.held.charter.founders;
        let mut chosen: BTreeMap<AgencyNo, &Member> = BTreeMap::new();
        let acts = in_force.iter().filter_map(|id| self.acts.get(id));
        for known in acts.clone() {
            let Act::Admit { member, .. } = &known.act else { continue };
            let other = chosen.get(&member.no);
            let smaller = |other: &&Member| {
                let less = (member.root, encoded(member)) < (other.root, encoded(other));
                if self.has(Bug::GreatestRoot) { !less } else { less }
            };
            if other.is_none_or(smaller) {
                chosen.insert(member.no, member);
            }
        }
        for founder in founders {
            chosen.insert(founder.no, founder);
        }
        let mut roots: BTreeMap<AgencyNo, BTreeSet<RootKey>> =
            chosen.iter().map(|(no, member)| (*no, BTreeSet::from([member.root]))).collect();
        for known in acts {
            if let Act::ReplaceRoot { agency, root, .. } = &known.act
                && let Some(of) = roots.get_mut(agency)
                && !self.has(Bug::OldRootsOnly)
            {
                of.insert(*root);
            }
        }
        let mut taken = BTreeSet::new();
        for of in roots.values_mut() {
            of.retain(|root| taken.insert(*root));
        }
        roots
    }

    /// §3: desks and routes in the coalition.
    pub(super) fn draw_coalition(
        &self,
        members: &BTreeMap<AgencyNo, BTreeSet<RootKey>>,
        certificates: &[&DeskCertificate],
        grants: &[Grant<'_>],
    ) -> Drawing {
        self.draw_coalition_without(members, certificates, grants, None)
    }

    /// The same as if nobody had a route through one device.
    pub(super) fn draw_coalition_without(
        &self,
        members: &BTreeMap<AgencyNo, BTreeSet<RootKey>>,
        certificates: &[&DeskCertificate],
        grants: &[Grant<'_>],
        without: Option<DeviceId>,
    ) -> Drawing {
        let mut drawing = Drawing { members: members.clone(), devices: BTreeMap::new() };
        for certificate in certificates {
            if let Some(agency) = drawing.agency_of_root(&certificate.root)
                && self.certificate_holds(certificate)
            {
                let card = certificate.desk.clone();
                let desk = drawing.devices.entry(card.device).or_default();
                desk.desk = true;
                desk.agencies.insert(agency);
                let route = Key::new(1, Right::Admin, full());
                desk.routes.entry(route).or_default().insert(card);
            }
        }
        let desks = drawing.clone();
        // A device's agency says which grants it may give, and a grant says of which agency a
        // device is: drawn again until nothing changes.
        loop {
            let gifts: Vec<Gift> =
                grants.iter().filter_map(|g| self.gift_in_coalition(g, &desks, &drawing)).collect();
            let base = desks.devices.iter().map(|(id, desk)| (*id, desk.routes.clone())).collect();
            let routes = self.spread(base, &gifts, without);
            let mut next = desks.clone();
            next.devices.values_mut().for_each(|desk| desk.routes.clear());
            for (device, routes) in routes {
                next.devices.entry(device).or_default().routes = routes;
            }
            for grant in grants {
                if let Audience::Device { agency, card } = grant.audience
                    && let Some(device) = next.devices.get_mut(&card.device)
                    && device.routes.values().any(|cards| cards.contains(card))
                    && self.gift_in_coalition(grant, &desks, &drawing).is_some()
                {
                    device.agencies.insert(*agency);
                }
            }
            next.devices.retain(|_, device| !device.routes.is_empty());
            if next == drawing {
                return next;
            }
            drawing = next;
        }
    }

    /// §3: "if its card holds, the card's sponsor is a desk, and sponsor and issuer are of the
    /// agency that the grant names". "A desk needs no grant and gets none."
    fn gift_in_coalition(
        &self,
        grant: &Grant<'_>,
        desks: &Drawing,
        drawing: &Drawing,
    ) -> Option<Gift> {
        let Audience::Device { agency, card } = grant.audience else { return None };
        let sponsor = desks.devices.get(&DeviceId(card.sponsor));
        let sponsored = sponsor.is_some_and(|desk| desk.agencies.contains(agency));
        let own = drawing.agencies(&grant.issuer).contains(agency);
        let good = (sponsored || self.has(Bug::AnySponsor))
            && (own || self.has(Bug::AnyIssuer))
            && !desks.devices.contains_key(&card.device)
            && self.card_holds(card);
        good.then(|| Gift {
            issuer: grant.issuer,
            to: card.device,
            card: Some(card.clone()),
            right: grant.right,
            caveats: grant.caveats.clone(),
            at_most: Right::Admin,
        })
    }

    /// §3: routes in a compartment.
    pub(super) fn draw_compartment(
        &self,
        area: CompartmentId,
        coalition: &Drawing,
        grants: &[Grant<'_>],
        without: Option<DeviceId>,
    ) -> Drawing {
        let audience = self.audience(area);
        let is_in = |device: &Device| {
            audience.iter().any(|(no, root)| {
                device.agencies.contains(no)
                    && coalition.members.get(no).is_some_and(|roots| roots.contains(root))
            })
        };
        let at_most = |device: &Device| {
            if is_in(device) || self.has(Bug::OpenAudience) { Right::Admin } else { Right::Relay }
        };
        let mut gifts = Vec::new();
        for grant in grants {
            let gift = |to: DeviceId, device: &Device| Gift {
                issuer: grant.issuer,
                to,
                card: None,
                right: grant.right,
                caveats: grant.caveats.clone(),
                at_most: at_most(device),
            };
            match grant.audience {
                Audience::Device { card, .. } => {
                    if let Some(device) = coalition.devices.get(&card.device)
                        && device.routes.values().any(|cards| cards.contains(card))
                    {
                        gifts.push(gift(card.device, device));
                    }
                }
                Audience::Agency(agency) => {
                    for (id, device) in &coalition.devices {
                        if device.agencies.contains(agency) {
                            gifts.push(gift(*id, device));
                        }
                    }
                }
            }
        }
        let base = coalition.devices.iter().filter(|(_, device)| is_in(device));
        let base = base.map(|(id, device)| (*id, device.routes.clone())).collect();
        let mut drawing =
            Drawing { members: coalition.members.clone(), devices: BTreeMap::new() };
        for (id, routes) in self.spread(base, &gifts, without) {
            let Some(device) = coalition.devices.get(&id) else { continue };
            if !routes.is_empty() {
                drawing.devices.insert(id, Device { routes, ..device.clone() });
            }
        }
        drawing
    }

    /// §3: routes from routes, the shorter first: those of one depth are made by those of the depth
    /// before, and of each device the 16 smallest are kept.
    fn spread(
        &self,
        base: BTreeMap<DeviceId, Routes>,
        gifts: &[Gift],
        without: Option<DeviceId>,
    ) -> BTreeMap<DeviceId, Routes> {
        let mut kept: BTreeMap<DeviceId, Routes> = BTreeMap::new();
        let deepest = if self.has(Bug::AnyDepth) { 3 * ROUTE_DEPTH_MAX } else { ROUTE_DEPTH_MAX };
        for depth in 1..=deepest {
            let mut new: Vec<(DeviceId, Key, BTreeSet<DeviceCard>)> = Vec::new();
            for (device, routes) in &base {
                for (route, cards) in routes.iter().filter(|(route, _)| route.depth == depth) {
                    new.push((*device, route.clone(), cards.clone()));
                }
            }
            for gift in gifts {
                let issuer = kept.get(&gift.issuer);
                let before = issuer.into_iter().flatten().filter(|(r, _)| r.depth + 1 == depth);
                for (route, _) in before {
                    if self.covers(route, gift.right, &gift.caveats) {
                        let right = gift.right.min(gift.at_most);
                        let limits = self.inherited(route, &gift.caveats);
                        let cards = gift.card.iter().cloned().collect();
                        new.push((gift.to, Key::new(depth, right, limits), cards));
                    }
                }
            }
            for (device, route, cards) in new {
                if Some(device) != without {
                    kept.entry(device).or_default().entry(route).or_default().extend(cards);
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
                    && within(&stated.incarnations, &own.incarnations, |a, b| a <= b))
    }

    /// §3: "the limits that the grant states and where it states none those of the issuer's route,
    /// ... the grant's word on granting on".
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
            incarnations: stated.incarnations.or(own.incarnations),
            may_delegate: stated.may_delegate,
        }
    }

    /// The agencies for which a compartment was opened.
    fn audience(&self, area: CompartmentId) -> Vec<(AgencyNo, RootKey)> {
        let opening = self.held.openings.iter().find(|opening| opening.id() == area);
        opening.map(|opening| opening.audience.clone()).unwrap_or_default()
    }

    /// The certificates in the coalition's logs. They prove themselves, so every place will do.
    pub(super) fn certificates(&self) -> Vec<&DeskCertificate> {
        let certificates = self.statements_in(self.coalition).filter_map(|placed| {
            match placed.item.statement() {
                Statement::Desk { certificate, .. } => Some(certificate),
                _ => None,
            }
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
        Statement::Grant { audience, right, caveats, .. } => {
            Some(Grant { issuer: placed.log.device, audience, right: *right, caveats })
        }
        _ => None,
    }
}

fn within<T>(stated: &Option<T>, own: &Option<T>, good: impl Fn(&T, &T) -> bool) -> bool {
    match (stated, own) {
        (Some(stated), Some(own)) => good(stated, own),
        _ => true,
    }
}

/// A desk's limits: none, and it may grant on.
fn full() -> Caveats {
    Caveats { may_delegate: true, ..Caveats::default() }
}

fn encoded(member: &Member) -> Vec<u8> {
    let mut bytes = Vec::new();
    member.encode(&mut bytes);
    bytes
}
