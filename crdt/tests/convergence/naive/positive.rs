//! §3: positive reach, who could ever do what.

use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::bounds::ROUTE_DEPTH_MAX;
use tearline_crdt::id::{AgencyNo, CompartmentId, DeviceId, StatementId};
use tearline_crdt::keys::RootKey;
use tearline_crdt::statement::{Act, Audience, DeskCertificate, Right};

use super::Naive;
use super::reach::{Grant, Roots};
use crate::bug::Bug;

/// What positive reach there is in an area.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Positive {
    pub(crate) members: BTreeMap<AgencyNo, Roots>,
    desks: BTreeSet<(AgencyNo, DeviceId)>,
    routes: BTreeSet<Route>,
}

/// A route without limits.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Route {
    device: DeviceId,
    agency: AgencyNo,
    depth: u8,
    right: Right,
    may_delegate: bool,
}

impl Positive {
    /// The agencies as whose a device has reach.
    pub(crate) fn agencies(&self, device: &DeviceId) -> BTreeSet<AgencyNo> {
        self.agencies_with(device, Right::Relay)
    }

    /// The agencies as whose a device has a right.
    pub(crate) fn agencies_with(&self, device: &DeviceId, right: Right) -> BTreeSet<AgencyNo> {
        let own = self.routes.iter().filter(|r| r.device == *device && r.right >= right);
        own.map(|route| route.agency).collect()
    }

    pub(crate) fn reaches(&self, device: &DeviceId) -> bool {
        !self.agencies(device).is_empty()
    }

    pub(crate) fn is_desk(&self, device: &DeviceId, of: AgencyNo) -> bool {
        self.desks.contains(&(of, *device))
    }

    /// The devices of an agency.
    pub(crate) fn devices_of(&self, agency: AgencyNo) -> BTreeSet<DeviceId> {
        let own = self.routes.iter().filter(|route| route.agency == agency);
        own.map(|route| route.device).collect()
    }

    pub(crate) fn devices(&self) -> BTreeSet<DeviceId> {
        self.routes.iter().map(|route| route.device).collect()
    }

    /// The agencies of a root.
    pub(crate) fn agencies_of_root(&self, root: &RootKey) -> BTreeSet<AgencyNo> {
        let of = self.members.iter().filter(|(_, roots)| roots.all.contains(root));
        of.map(|(no, _)| *no).collect()
    }

    /// One more step along all grants that are carried, until there is none.
    fn spread(&mut self, carried: impl Fn(&Self, &Route) -> Vec<Route>) {
        loop {
            let more: Vec<Route> = self
                .routes
                .iter()
                .filter(|r| r.may_delegate && r.right >= Right::Admit && r.depth < ROUTE_DEPTH_MAX)
                .flat_map(|route| carried(self, route))
                .collect();
            let before = self.routes.len();
            self.routes.extend(more);
            if self.routes.len() == before {
                return;
            }
        }
    }
}

impl Naive<'_> {
    /// §3: all roots of all numbers, from the acts approved before forks.
    pub(super) fn all_members(
        &self,
        approved: &BTreeSet<StatementId>,
    ) -> BTreeMap<AgencyNo, Roots> {
        let founders = &self.held.charter.founders;
        let mut members: BTreeMap<AgencyNo, Roots> = BTreeMap::new();
        for founder in founders {
            members.entry(founder.no).or_default().all.insert(founder.root);
        }
        let acts = || approved.iter().filter_map(|id| self.acts.get(id)).map(|known| &known.act);
        for act in acts() {
            if let Act::Admit { member, .. } = act
                && founders.iter().all(|founder| founder.no != member.no)
            {
                members.entry(member.no).or_default().all.insert(member.root);
            }
        }
        for act in acts() {
            if let Act::ReplaceRoot { agency, root, .. } = act
                && let Some(of) = members.get_mut(agency)
                && !self.has(Bug::OldRootsOnly)
            {
                of.all.insert(*root);
            }
        }
        members
    }

    /// §3: positive reach in the coalition.
    pub(super) fn positive(
        &self,
        members: &BTreeMap<AgencyNo, Roots>,
        certificates: &[&DeskCertificate],
        grants: &[Grant<'_>],
    ) -> Positive {
        let mut positive = Positive { members: members.clone(), ..Positive::default() };
        for certificate in certificates {
            for agency in positive.agencies_of_root(&certificate.root) {
                let device = certificate.desk.device;
                positive.desks.insert((agency, device));
                let (depth, right, may_delegate) = (1, Right::Admin, true);
                positive.routes.insert(Route { device, agency, depth, right, may_delegate });
            }
        }
        positive.spread(|positive, from| {
            let own = grants.iter().filter(|g| g.issuer == from.device && g.right <= from.right);
            let to = own.filter_map(|grant| {
                let Audience::Device { agency, card } = grant.audience else { return None };
                let sponsored = positive.is_desk(&DeviceId(card.sponsor), *agency);
                let good = *agency == from.agency
                    && (sponsored || self.has(Bug::AnySponsor))
                    && !positive.is_desk(&card.device, *agency)
                    && self.card_holds(card);
                good.then_some(Route {
                    device: card.device,
                    agency: *agency,
                    depth: from.depth + 1,
                    right: grant.right,
                    may_delegate: grant.caveats.may_delegate,
                })
            });
            to.collect()
        });
        positive
    }

    /// §3: positive reach in a compartment.
    pub(super) fn positive_in(
        &self,
        area: CompartmentId,
        coalition: &Positive,
        grants: &[Grant<'_>],
    ) -> Positive {
        let audience = self.audience(area);
        let is_in = |agency: AgencyNo| {
            audience.iter().any(|(no, root)| {
                *no == agency && coalition.members.get(no).is_some_and(|of| of.all.contains(root))
            })
        };
        let mut positive = coalition.clone();
        positive.routes.retain(|route| is_in(route.agency));
        positive.spread(|_, from| {
            let own = grants.iter().filter(|g| g.issuer == from.device && g.right <= from.right);
            let mut to = Vec::new();
            for grant in own {
                let (devices, agency) = match grant.audience {
                    Audience::Device { agency, card } if self.card_holds(card) => {
                        (BTreeSet::from([card.device]), *agency)
                    }
                    Audience::Device { .. } => continue,
                    Audience::Agency(agency) => (coalition.devices_of(*agency), *agency),
                };
                let devices =
                    devices.into_iter().filter(|d| coalition.agencies(d).contains(&agency));
                let inside = is_in(agency) || self.has(Bug::OpenAudience);
                let right = if inside { grant.right } else { Right::Relay };
                to.extend(devices.map(|device| Route {
                    device,
                    agency,
                    depth: from.depth + 1,
                    right,
                    may_delegate: grant.caveats.may_delegate,
                }));
            }
            to
        });
        positive
    }
}
