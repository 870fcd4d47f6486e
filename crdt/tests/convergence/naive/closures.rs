//! §4: closures, and what reopens.

use std::collections::BTreeSet;

use tearline_crdt::id::{AgencyNo, CompartmentId, DeviceId, Incarnation, StatementId};
use tearline_crdt::keys::RootKey;
use tearline_crdt::statement::{
    Act, Audience, DeskCertificate, Mark, Reopening, RootAct, Statement,
};

use super::Naive;
use super::adoption::outranks;
use super::positive::Positive;
use super::reach::{Drawing, Grant, Lives};
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
    Device { id: DeviceId, agency: Option<AgencyNo>, desk: bool },
}

/// A citation that works: one closure does not apply to one incarnation of a device.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Reopened {
    pub(crate) device: DeviceId,
    pub(crate) incarnation: Incarnation,
    pub(crate) closure: Closure,
}

impl Naive<'_> {
    /// §4, the rows of acts in force.
    pub(super) fn closures_by_acts(
        &self,
        in_force: &BTreeSet<StatementId>,
        grants: &[Grant<'_>],
        positive: &Positive,
    ) -> BTreeSet<Closure> {
        let mut closures = BTreeSet::new();
        for id in in_force {
            let Some(known) = self.acts.get(id) else { continue };
            let devices = match &known.act {
                Act::Revoke { device, .. } => BTreeSet::from([*device]),
                Act::Retire { agency, .. } if !self.has(Bug::RetireClosesNothing) => {
                    positive.devices_of(*agency)
                }
                Act::ReplaceRoot { agency, replaced, .. }
                    if !self.has(Bug::ReplaceClosesNothing) =>
                {
                    self.devices_behind(*agency, replaced, grants, positive)
                }
                _ => continue,
            };
            let marks = known.marks.clone();
            closures.insert(Closure { id: *id, author: Author::Act, devices, marks });
        }
        closures
    }

    /// §4, replace root: "the agency's devices that would have no route as such in the coalition if,
    /// members and roots being what they are, certificates by the roots that it replaces did not exist".
    fn devices_behind(
        &self,
        agency: AgencyNo,
        roots: &[RootKey],
        grants: &[Grant<'_>],
        positive: &Positive,
    ) -> BTreeSet<DeviceId> {
        let mut certificates = self.certificates();
        certificates.retain(|certificate| !roots.contains(&certificate.root));
        let left = self.positive(&positive.members, &certificates, grants).devices_of(agency);
        positive.devices_of(agency).difference(&left).copied().collect()
    }

    /// §4, the rows of revocations by devices, in one area's logs.
    pub(super) fn closures_by_devices(
        &self,
        area: CompartmentId,
        positive: &Positive,
        without: &dyn Fn(DeviceId) -> Positive,
        place: &dyn Fn(&Placed) -> bool,
    ) -> BTreeSet<Closure> {
        let mut closures = BTreeSet::new();
        for placed in self.statements_in(area) {
            let Statement::Revoke { device, keep } = placed.item.statement() else { continue };
            let issuer = placed.log.device;
            if self.has(Bug::RevocationsNeedPlace) && !place(placed) {
                continue;
            }
            let above = self.above(&issuer, device, positive, without);
            if let Some(agency) = above {
                let desk = positive.is_desk(&issuer, agency);
                closures.insert(Closure {
                    id: placed.item.id.into(),
                    author: Author::Device { id: issuer, agency: Some(agency), desk },
                    devices: BTreeSet::from([*device]),
                    marks: keep.resolve(placed.item.payload.as_deref()),
                });
            }
        }
        closures
    }

    /// §4: as which agency's an issuer is above a device, if it is: the smallest as whose desk it is,
    /// else the smallest that both are of, else the smallest that it is of.
    fn above(
        &self,
        issuer: &DeviceId,
        device: &DeviceId,
        positive: &Positive,
        without: &dyn Fn(DeviceId) -> Positive,
    ) -> Option<AgencyNo> {
        let (by, of) = (positive.agencies(issuer), positive.agencies(device));
        let shared: Vec<AgencyNo> = by.intersection(&of).copied().collect();
        let as_desk = shared
            .iter()
            .find(|no| positive.is_desk(issuer, **no) && !positive.is_desk(device, **no));
        let speaks = as_desk.or(shared.first()).or(by.first()).copied();
        let above = issuer == device
            || as_desk.is_some()
            || self.has(Bug::AnybodyRevokes)
            || !of.is_empty() && !without(*issuer).reaches(device);
        speaks.filter(|_| above)
    }

    /// §4, the row of a root's act.
    pub(super) fn closures_by_roots(&self, positive: &Positive) -> BTreeSet<Closure> {
        let mut closures = BTreeSet::new();
        for (act, marks) in self.root_acts() {
            let Act::Revoke { device, .. } = &act.act else { continue };
            let (by, of) = (positive.agencies_of_root(&act.root), positive.agencies(device));
            let shared = by.intersection(&of).next();
            if let Some(agency) = shared.filter(|_| !self.has(Bug::RootsCloseNothing)) {
                closures.insert(Closure {
                    id: act.id(&self.held.charter.id()),
                    author: Author::Root(*agency),
                    devices: BTreeSet::from([*device]),
                    marks,
                });
            }
        }
        closures
    }

    /// The root's acts in the coalition's logs that hold, with the marks of any copy that is held with
    /// its list.
    pub(super) fn root_acts(&self) -> Vec<(&RootAct, Vec<Mark>)> {
        let mut acts: Vec<(&RootAct, Vec<Mark>)> = Vec::new();
        for placed in self.statements_in(self.coalition) {
            let Statement::RootAct(act) = placed.item.statement() else { continue };
            if !self.root_act_holds(act) {
                continue;
            }
            let marks = act.act.marks();
            let marks = marks.map(|marks| marks.resolve(placed.item.payload.as_deref()));
            let marks = marks.unwrap_or_default();
            match acts.iter_mut().find(|(known, _)| known.root == act.root && known.act == act.act)
            {
                None => acts.push((act, marks)),
                Some((_, known)) if known.is_empty() => *known = marks,
                Some(_) => {}
            }
        }
        acts
    }

    /// §4: the citations in an area's logs that work. "If the incarnation is readmitted; if the
    /// certificate is by a standing root, or the grant counts and is by a desk of the device's agency; if it names the agency that
    /// the device is of by what counts; and for each closure if its author would be overridden by an
    /// adopt of that root or desk, or is an act that is cited by an admission of the device's
    /// agency in force."
    pub(super) fn reopened(
        &self,
        area: CompartmentId,
        (coalition, readmitted): (&Drawing, &Lives),
        closures: &BTreeSet<Closure>,
        in_force: &BTreeSet<StatementId>,
        counts: &dyn Fn(&Placed) -> bool,
    ) -> BTreeSet<Reopened> {
        let mut all = BTreeSet::new();
        for placed in self.statements_in(area) {
            let (by, agency, card, reopening) = match placed.item.statement() {
                Statement::Desk(certificate)
                    if area == self.coalition
                        && coalition.is_standing(&certificate.root)
                        && self.certificate_holds(certificate) =>
                {
                    let DeskCertificate { desk, reopening: Some(reopening), root, .. } =
                        certificate
                    else {
                        continue;
                    };
                    let Some(agency) = coalition.agency_of_root(root) else { continue };
                    (Author::Root(agency), agency, desk, reopening)
                }
                Statement::Grant {
                    audience: Audience::Device { agency, card },
                    reopening: Some(reopening),
                    ..
                } if counts(placed) && self.card_holds(card) => {
                    let by = author(&placed.log.device, coalition);
                    let own = matches!(&by, Author::Device { agency: of, desk: true, .. }
                        if *of == Some(*agency));
                    if !own && !self.has(Bug::AnybodyReopens) {
                        continue;
                    }
                    (by, *agency, card, reopening)
                }
                _ => continue,
            };
            let device = coalition.devices.get(&card.device);
            if device.is_none_or(|device| device.agency != agency) {
                continue;
            }
            let Reopening { incarnation, cites } = reopening;
            if !readmitted.contains(&(card.device, *incarnation))
                && !self.has(Bug::AnybodyReopens)
                && !self.has(Bug::OldRoutesReturn)
            {
                continue;
            }
            for closure in closures {
                let permitted = in_force.iter().filter_map(|id| self.acts.get(id)).any(|known| {
                    matches!(&known.act, Act::Admit { member, cites }
                        if member.no == agency && cites.contains(&closure.id))
                });
                let lifts = outranks(&by, &closure.author)
                    || closure.author == Author::Act && permitted
                    || self.has(Bug::AnyReopens);
                let cited = cites.contains(&closure.id) || self.has(Bug::ReopensAll);
                if cited && lifts && !self.has(Bug::NothingReopens) {
                    let (device, closure) = (card.device, closure.clone());
                    all.insert(Reopened { device, incarnation: *incarnation, closure });
                }
            }
        }
        all
    }

    /// §3: the incarnations that are readmitted by what stands in an area's logs: by certificates of
    /// members' roots, and before forks by grants of who is above the device as its agency's desk.
    pub(super) fn readmitted(&self, area: CompartmentId, positive: &Positive) -> Lives {
        let mut lives = Lives::new();
        for placed in self.statements_in(area) {
            let (device, reopening) = match placed.item.statement() {
                Statement::Desk(certificate)
                    if area == self.coalition
                        && self.certificate_holds(certificate)
                        && !positive.agencies_of_root(&certificate.root).is_empty() =>
                {
                    (certificate.desk.device, &certificate.reopening)
                }
                Statement::Grant { audience: Audience::Device { card, .. }, reopening, .. }
                    if self.card_holds(card) && self.is_before_fork(placed) =>
                {
                    let (by, of) = (placed.log.device, card.device);
                    let agencies = positive.agencies(&by);
                    let above = agencies
                        .intersection(&positive.agencies(&of))
                        .any(|no| positive.is_desk(&by, *no) && !positive.is_desk(&of, *no));
                    if !above && !self.has(Bug::AnybodyReadmits) {
                        continue;
                    }
                    (of, reopening)
                }
                _ => continue,
            };
            if let Some(Reopening { incarnation, .. }) = reopening
                && !self.has(Bug::OldRoutesReturn)
            {
                lives.insert((device, *incarnation));
            }
        }
        lives
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
                r.device == *device && r.incarnation == incarnation && r.closure == *closure
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
}

/// A device as the author of a statement.
pub(super) fn author(id: &DeviceId, drawing: &Drawing) -> Author {
    let desk = drawing.devices.get(id).is_some_and(|device| device.desk);
    Author::Device { id: *id, agency: drawing.agency(id), desk }
}
