//! §4: closures, and what reopens.

use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::id::{AgencyNo, CompartmentId, DeviceId, Incarnation, LogId, StatementId};
use tearline_crdt::keys::RootKey;
use tearline_crdt::statement::{Act, Audience, DeskCertificate, Mark, Reopening, RootAct, Statement};

use super::Naive;
use super::reach::{Drawing, Grant};
use crate::bug::Bug;
use crate::world::Placed;

/// A valid closure.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Closure {
    pub(crate) id: StatementId,
    pub(crate) author: Author,
    pub(crate) devices: BTreeSet<DeviceId>,
    pub(crate) marks: Vec<Mark>,
}

/// Whose word a closure or an adopt is (§5).
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Author {
    /// The whole.
    Act,
    /// A root of this agency.
    Root(AgencyNo),
    /// A device.
    Device { id: DeviceId, agencies: BTreeSet<AgencyNo>, desk: bool },
}

/// Which closures do not apply to which incarnation of a device.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Reopened {
    pub(crate) device: DeviceId,
    pub(crate) incarnation: Incarnation,
    pub(crate) cites: BTreeSet<StatementId>,
}

/// What the coalition's positive reach was drawn from, to draw it again with something left out.
pub(crate) struct Source<'a> {
    pub(crate) members: BTreeMap<AgencyNo, BTreeSet<RootKey>>,
    pub(crate) certificates: Vec<&'a DeskCertificate>,
    pub(crate) grants: Vec<Grant<'a>>,
}

impl Naive<'_> {
    /// §4, the rows of acts in force.
    pub(super) fn closures_by_acts(
        &self,
        in_force: &BTreeSet<StatementId>,
        source: &Source<'_>,
        positive: &Drawing,
    ) -> BTreeSet<Closure> {
        let mut closures = BTreeSet::new();
        for id in in_force {
            let Some(known) = self.acts.get(id) else { continue };
            let devices = match &known.act {
                Act::Revoke { device, .. } => BTreeSet::from([*device]),
                Act::Retire { agency, .. } if !self.has(Bug::RetireClosesNothing) => {
                    devices_of(positive, *agency)
                }
                Act::ReplaceRoot { agency, .. } if !self.has(Bug::ReplaceClosesNothing) => {
                    self.devices_of_older_roots(*agency, source, positive, |root| {
                        in_force.iter().any(|id| {
                            self.acts.get(id).is_some_and(|known| {
                                matches!(&known.act, Act::ReplaceRoot { agency: of, root: new, .. }
                                    if of == agency && new == root)
                            })
                        })
                    })
                }
                _ => continue,
            };
            let marks = known.marks.clone();
            closures.insert(Closure { id: *id, author: Author::Act, devices, marks });
        }
        closures
    }

    /// §4, replace root: "the agency's devices that would have no route in the coalition if
    /// certificates by its other roots than those that replaced one did not exist".
    fn devices_of_older_roots(
        &self,
        agency: AgencyNo,
        source: &Source<'_>,
        positive: &Drawing,
        replaced_one: impl Fn(&RootKey) -> bool,
    ) -> BTreeSet<DeviceId> {
        let is_older = |root: &RootKey| {
            positive.agency_of_root(root) == Some(agency) && !replaced_one(root)
        };
        let certificates: Vec<_> =
            source.certificates.iter().copied().filter(|c| !is_older(&c.root)).collect();
        let without = self.draw_coalition(&source.members, &certificates, &source.grants);
        devices_of(positive, agency).into_iter().filter(|id| !without.reaches(id)).collect()
    }

    /// §4, the rows of revocations by devices, in one area's logs.
    pub(super) fn closures_by_devices(
        &self,
        area: CompartmentId,
        positive: &Drawing,
        without: &dyn Fn(DeviceId) -> Drawing,
        place: &dyn Fn(&Placed) -> bool,
    ) -> BTreeSet<Closure> {
        let mut closures = BTreeSet::new();
        for placed in self.statements_in(area) {
            let Statement::Revoke { device, keep } = placed.item.statement() else { continue };
            let issuer = placed.log.device;
            if self.has(Bug::RevocationsNeedPlace) && !place(placed) {
                continue;
            }
            let above = || is_above(&issuer, device, positive, without);
            if positive.reaches(&issuer) && (self.has(Bug::AnybodyRevokes) || above()) {
                closures.insert(Closure {
                    id: placed.item.id.into(),
                    author: author(&issuer, positive),
                    devices: BTreeSet::from([*device]),
                    marks: keep.resolve(placed.item.payload.as_deref()),
                });
            }
        }
        closures
    }

    /// §4, the row of a root's act.
    pub(super) fn closures_by_roots(
        &self,
        area: CompartmentId,
        positive: &Drawing,
    ) -> BTreeSet<Closure> {
        let mut closures = BTreeSet::new();
        for (act, marks) in self.root_acts(area, positive) {
            let Act::Revoke { device, .. } = &act.act else { continue };
            let Some(agency) = positive.agency_of_root(&act.root) else { continue };
            let own = positive.agencies(device).contains(&agency);
            if own && !self.has(Bug::RootsCloseNothing) {
                closures.insert(Closure {
                    id: act.id(&self.held.charter.id()),
                    author: Author::Root(agency),
                    devices: BTreeSet::from([*device]),
                    marks,
                });
            }
        }
        closures
    }

    /// The root's acts in an area's logs that hold, by a root of a member, with their marks.
    pub(super) fn root_acts(
        &self,
        area: CompartmentId,
        drawing: &Drawing,
    ) -> Vec<(&RootAct, Vec<Mark>)> {
        let mut acts = Vec::new();
        for placed in self.statements_in(area) {
            let Statement::RootAct(act) = placed.item.statement() else { continue };
            if drawing.agency_of_root(&act.root).is_some() && self.root_act_holds(act) {
                let marks = act.act.marks();
                let marks = marks.map(|marks| marks.resolve(placed.item.payload.as_deref()));
                acts.push((act, marks.unwrap_or_default()));
            }
        }
        acts
    }

    /// §4: the citations of certificates and grants that count.
    pub(super) fn reopened(
        &self,
        area: CompartmentId,
        drawing: &Drawing,
        counts: &dyn Fn(&Placed) -> bool,
    ) -> BTreeSet<Reopened> {
        let mut all = BTreeSet::new();
        if self.has(Bug::NothingReopens) {
            return all;
        }
        for placed in self.statements_in(area) {
            let (devices, reopening) = match placed.item.statement() {
                Statement::Desk { certificate, reopening: Some(reopening) }
                    if drawing.agency_of_root(&certificate.root).is_some()
                        && self.certificate_holds(certificate) =>
                {
                    (BTreeSet::from([certificate.desk.device]), reopening)
                }
                Statement::Grant { audience, reopening: Some(reopening), .. } if counts(placed) => {
                    let devices = match audience {
                        Audience::Device { card, .. } => BTreeSet::from([card.device]),
                        Audience::Agency(agency) => devices_of(drawing, *agency),
                    };
                    (devices, reopening)
                }
                _ => continue,
            };
            let Reopening { incarnation, cites } = reopening;
            for device in devices {
                let cites = cites.iter().copied().collect();
                all.insert(Reopened { device, incarnation: *incarnation, cites });
            }
        }
        all
    }

    /// §4: whether a closure of a device is active for an incarnation.
    pub(super) fn is_active(
        &self,
        closure: &Closure,
        device: &DeviceId,
        incarnation: Incarnation,
        reopened: &BTreeSet<Reopened>,
    ) -> bool {
        closure.devices.contains(device)
            && !reopened.iter().any(|r| {
                r.device == *device
                    && r.incarnation == incarnation
                    && (r.cites.contains(&closure.id) || self.has(Bug::ReopensAll))
            })
    }

    /// §4: live "if no closure there applies to it, or if there is an incarnation for which none is
    /// active".
    pub(super) fn is_live(
        &self,
        device: &DeviceId,
        closures: &BTreeSet<Closure>,
        reopened: &BTreeSet<Reopened>,
    ) -> bool {
        let none_active = |incarnation| {
            !closures.iter().any(|closure| self.is_active(closure, device, incarnation, reopened))
        };
        let mut named = reopened.iter().filter(|r| r.device == *device);
        !closures.iter().any(|closure| closure.devices.contains(device))
            || named.any(|r| none_active(r.incarnation))
    }

    /// §4: whether position `seq` of the branch held is within a mark of its log.
    pub(super) fn is_within(&self, mark: &Mark, log: &LogId, seq: u64) -> bool {
        if seq >= mark.count {
            return false;
        }
        let leads = match self.held.at(log, mark.count - 1) {
            Some(held) => held == mark.head,
            None => !self.has(Bug::ShortLogsLeadNowhere),
        };
        leads || seq < self.held.fork(log) || self.has(Bug::AnyHead)
    }
}

/// §4: above a device is "the device; or a desk of the device's agency while the device is no desk;
/// or another without which the device would have no route in the area".
fn is_above(
    issuer: &DeviceId,
    device: &DeviceId,
    positive: &Drawing,
    without: &dyn Fn(DeviceId) -> Drawing,
) -> bool {
    if issuer == device {
        return true;
    }
    let Some(below) = positive.devices.get(device) else { return false };
    let own_desk = positive.devices.get(issuer).is_some_and(|desk| {
        desk.desk && !below.desk && !desk.agencies.is_disjoint(&below.agencies)
    });
    own_desk || !without(*issuer).reaches(device)
}

/// A device as the author of a statement.
pub(super) fn author(id: &DeviceId, drawing: &Drawing) -> Author {
    let device = drawing.devices.get(id);
    Author::Device {
        id: *id,
        agencies: drawing.agencies(id),
        desk: device.is_some_and(|device| device.desk),
    }
}

/// The devices of an agency.
pub(super) fn devices_of(drawing: &Drawing, agency: AgencyNo) -> BTreeSet<DeviceId> {
    let of = drawing.devices.iter().filter(|(_, device)| device.agencies.contains(&agency));
    of.map(|(id, _)| *id).collect()
}
