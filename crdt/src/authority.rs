//! Who may do what: what follows from all statements of a coalition and its compartments.
//!
//! Statements are a set that only grows. Every answer here is a pure function of that set: the
//! order in which statements came decides nothing. [`Coalition`] and [`Compartment`] keep the set
//! and the answers drawn from it, and draw them anew when the set grows.

use std::collections::{BTreeMap, BTreeSet};

use crate::charter::{Charter, Member};
use crate::hash::Domain;
use crate::id::{AgencyNo, Class, CoalitionId, CompartmentId, DeviceId, EntryId, EpochId};
use crate::keys::{self, DeviceCard};
use crate::statement::{Approval, Audience, EpochStatement, Opening, Right, Statement};

/// A device's standing in its coalition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Standing {
    /// Whose device it is.
    pub agency: AgencyNo,
    /// Its public keys.
    pub card: DeviceCard,
    /// The highest right that any route gives it.
    pub right: Right,
    /// The classes that it may write, as a bit set.
    pub classes: u8,
    /// Whether its agency's root named it a desk.
    pub desk: bool,
}

/// All classes.
const CLASSES_ALL: u8 = 0b1_1111;

/// A coalition, as its statements make it.
#[derive(Clone, Debug)]
pub struct Coalition {
    id: CoalitionId,
    charter: Charter,
    facts: BTreeMap<EntryId, (DeviceId, Statement)>,
    members: BTreeMap<AgencyNo, Member>,
    devices: BTreeMap<DeviceId, Standing>,
}

impl Coalition {
    /// A coalition with no more than its charter.
    #[must_use]
    pub fn new(charter: Charter) -> Self {
        let members = charter.founders.iter().map(|m| (m.no, m.clone())).collect();
        Self {
            id: charter.id(),
            charter,
            facts: BTreeMap::new(),
            members,
            devices: BTreeMap::new(),
        }
    }

    /// The coalition's id.
    #[must_use]
    pub const fn id(&self) -> CoalitionId {
        self.id
    }

    /// The name under which the coalition's own log is kept and synced.
    #[must_use]
    pub const fn compartment(&self) -> CompartmentId {
        CompartmentId(self.id.0)
    }

    /// The charter.
    #[must_use]
    pub const fn charter(&self) -> &Charter {
        &self.charter
    }

    /// The agencies, by number.
    #[must_use]
    pub const fn members(&self) -> &BTreeMap<AgencyNo, Member> {
        &self.members
    }

    /// The devices that have a standing.
    #[must_use]
    pub const fn devices(&self) -> &BTreeMap<DeviceId, Standing> {
        &self.devices
    }

    /// The number for an agency that a founder lets in: above all that are taken, and of those the
    /// founder's own, so that two founders who do not hear of each other give no number twice.
    #[must_use]
    pub fn next_agency(&self, founder: AgencyNo) -> AgencyNo {
        let founders = &self.charter.founders;
        let place = founders.iter().position(|member| member.no == founder).unwrap_or(0);
        let last = self.members.keys().next_back().map_or(0, |no| no.0);
        let own = |no: &u16| usize::from(*no) % founders.len().max(1) == place;
        AgencyNo((last.saturating_add(1)..=u16::MAX).find(own).unwrap_or(u16::MAX))
    }

    /// Adds a statement. Returns whether any answer changed.
    pub fn insert(&mut self, id: EntryId, issuer: DeviceId, statement: Statement) -> bool {
        if !self.remember(id, issuer, statement) {
            return false;
        }
        let before = (self.members.clone(), self.devices.clone());
        self.evaluate();
        before != (self.members.clone(), self.devices.clone())
    }

    /// Adds a statement whose consequences [`Coalition::evaluate`] draws, with those of others.
    /// Its signatures are checked here, once. Returns whether it is new and may have any.
    pub fn remember(&mut self, id: EntryId, issuer: DeviceId, mut statement: Statement) -> bool {
        if let Statement::Admit { member, approvals } = &mut statement {
            let bytes = Statement::admission_bytes(&self.id, member);
            approvals.retain(|a| keys::verify(&a.desk.0, Domain::Admission, &bytes, &a.signature));
        }
        let counts = match &statement {
            Statement::Desk(certificate) => certificate.holds(),
            Statement::Grant { audience: Audience::Device { card, .. }, .. } => card.holds(),
            Statement::Grant { .. } => true,
            Statement::Admit { approvals, .. } => !approvals.is_empty(),
            Statement::Found(_)
            | Statement::Open(_)
            | Statement::Epoch(_)
            | Statement::Reseal { .. }
            | Statement::Describe { .. }
            | Statement::Unknown { .. } => false,
        };
        counts && self.facts.insert(id, (issuer, statement)).is_none()
    }

    /// Draws members and devices from the set, as a least fixpoint: a statement counts once its
    /// issuer's standing follows from others that count.
    pub fn evaluate(&mut self) {
        self.members = self.charter.founders.iter().map(|m| (m.no, m.clone())).collect();
        self.devices.clear();
        loop {
            let members = self.admitted();
            let devices = self.standings(&members);
            if members == self.members && devices == self.devices {
                return;
            }
            (self.members, self.devices) = (members, devices);
        }
    }

    /// Founders, and whom a quorum of them admitted. Of two admissions to one number the one with
    /// the smaller root key counts.
    fn admitted(&self) -> BTreeMap<AgencyNo, Member> {
        let mut members: BTreeMap<AgencyNo, Member> =
            self.charter.founders.iter().map(|m| (m.no, m.clone())).collect();
        let founders: BTreeSet<AgencyNo> = members.keys().copied().collect();
        for (_, statement) in self.facts.values() {
            let Statement::Admit { member, approvals } = statement else { continue };
            if founders.contains(&member.no) || !self.quorum(approvals) {
                continue;
            }
            let seat = members.entry(member.no).or_insert_with(|| member.clone());
            if (member.root, member) < (seat.root, seat) {
                *seat = member.clone();
            }
        }
        members
    }

    fn quorum(&self, approvals: &[Approval]) -> bool {
        let agencies: BTreeSet<AgencyNo> = approvals
            .iter()
            .filter_map(|a| self.devices.get(&a.desk))
            .filter(|standing| standing.desk)
            .map(|standing| standing.agency)
            .filter(|no| self.charter.founders.iter().any(|founder| founder.no == *no))
            .collect();
        agencies.len() >= usize::from(self.charter.quorum)
    }

    fn standings(&self, members: &BTreeMap<AgencyNo, Member>) -> BTreeMap<DeviceId, Standing> {
        let mut devices = BTreeMap::new();
        for (_, statement) in self.facts.values() {
            let Statement::Desk(certificate) = statement else { continue };
            let Some(agency) = members.values().find(|m| m.root == certificate.root) else {
                continue;
            };
            devices.entry(certificate.desk.device).or_insert_with(|| Standing {
                agency: agency.no,
                card: certificate.desk.clone(),
                right: Right::Admin,
                classes: CLASSES_ALL,
                desk: true,
            });
        }
        for (issuer, statement) in self.facts.values() {
            let Statement::Grant { audience, right, caveats } = statement else { continue };
            let Audience::Device { agency, card } = audience else { continue };
            // Grants are narrowed along their route: here the route is root, desk, device.
            let Some(by) = devices.get(issuer) else { continue };
            if !by.desk || by.agency != *agency {
                continue;
            }
            // The device itself says whose it is; no agency can claim another's.
            let sponsor = devices.get(&DeviceId(card.sponsor));
            if !sponsor.is_some_and(|sponsor: &Standing| sponsor.desk && sponsor.agency == *agency)
            {
                continue;
            }
            let classes = caveats.classes.unwrap_or(CLASSES_ALL) & CLASSES_ALL;
            let granted = Standing {
                agency: *agency,
                card: card.clone(),
                right: *right,
                classes,
                desk: false,
            };
            devices
                .entry(card.device)
                .and_modify(|standing| {
                    if standing.agency == *agency {
                        standing.right = standing.right.max(*right);
                        standing.classes |= classes;
                    }
                })
                .or_insert(granted);
        }
        devices
    }

    /// Whether entries of a device's coalition log are worth storing. A desk that the set does not
    /// know yet introduces itself by the certificate in its first entry.
    #[must_use]
    pub fn admits(&self, device: &DeviceId, first: Option<&Statement>) -> bool {
        if self.devices.contains_key(device) {
            return true;
        }
        matches!(first, Some(Statement::Desk(certificate))
            if certificate.desk.device == *device
                && self.members.values().any(|m| m.root == certificate.root)
                && certificate.holds())
    }
}

/// A compartment, as its statements make it.
#[derive(Clone, Debug)]
pub struct Compartment {
    id: CompartmentId,
    opening: Opening,
    epochs: BTreeMap<EpochId, EpochStatement>,
}

/// Why an epoch's statement does not count.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EpochFault {
    /// A parent has not arrived yet: try again when it has.
    #[error("a parent epoch is missing")]
    ParentMissing,
    /// The depth is not one more than the deepest parent's.
    #[error("the epoch's depth does not follow from its parents")]
    Depth,
}

impl Compartment {
    /// A compartment with no more than its opening.
    #[must_use]
    pub fn new(opening: Opening) -> Self {
        Self { id: opening.id(), opening, epochs: BTreeMap::new() }
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

    /// The epochs whose statements count.
    #[must_use]
    pub const fn epochs(&self) -> &BTreeMap<EpochId, EpochStatement> {
        &self.epochs
    }

    /// Whether an agency is in the audience: the one that the opener meant by its number.
    #[must_use]
    pub fn includes(&self, coalition: &Coalition, agency: AgencyNo) -> bool {
        let member = coalition.members().get(&agency);
        member.is_some_and(|member| self.opening.audience.contains(&(agency, member.root)))
    }

    /// What a device may do here: what its coalition lets it do, if its agency is in the audience.
    #[must_use]
    pub fn right(&self, coalition: &Coalition, device: &DeviceId) -> Option<Right> {
        let standing = coalition.devices().get(device)?;
        self.includes(coalition, standing.agency).then_some(standing.right)
    }

    /// Whether a device's log of a class counts here.
    #[must_use]
    pub fn may_write(&self, coalition: &Coalition, device: &DeviceId, class: Class) -> bool {
        let Some(standing) = coalition.devices().get(device) else { return false };
        self.includes(coalition, standing.agency)
            && standing.right >= Right::Write
            && standing.classes & (1 << class as u8) != 0
    }

    /// The devices that hold the keys.
    pub fn readers<'a>(
        &'a self,
        coalition: &'a Coalition,
    ) -> impl Iterator<Item = (&'a DeviceId, &'a Standing)> {
        coalition
            .devices()
            .iter()
            .filter(|(_, s)| self.includes(coalition, s.agency) && s.right >= Right::Read)
    }

    /// Adds an epoch's statement.
    pub fn insert_epoch(&mut self, epoch: EpochStatement) -> Result<EpochId, EpochFault> {
        let mut deepest = 0;
        for parent in &epoch.parents {
            let parent = self.epochs.get(parent).ok_or(EpochFault::ParentMissing)?;
            deepest = deepest.max(parent.depth);
        }
        if deepest.checked_add(1) != Some(epoch.depth) {
            return Err(EpochFault::Depth);
        }
        let id = epoch.id(&self.id);
        self.epochs.insert(id, epoch);
        Ok(id)
    }

    /// The epoch to write under, of those that `can_open` names: the greatest (depth, id).
    pub fn current_epoch(&self, can_open: impl Fn(&EpochId) -> bool) -> Option<EpochId> {
        self.epochs
            .iter()
            .filter(|(id, _)| can_open(id))
            .max_by_key(|(id, epoch)| (epoch.depth, **id))
            .map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{DeviceKeys, Signer};
    use crate::statement::{Caveats, DeskCertificate};

    fn device(n: u8) -> DeviceKeys {
        DeviceKeys::from_seeds(&[n; 32], &[n + 100; 32])
    }

    fn member(no: u16, root: u8) -> Member {
        let root = Signer::from_seed(&[root; 32]).public();
        Member { no: AgencyNo(no), name: format!("Agency {no}"), country: "NE".into(), root }
    }

    fn charter(quorum: u16, founders: &[u16]) -> Charter {
        Charter {
            name: "Drill".into(),
            nonce: [0; 16],
            quorum,
            limits_version: 1,
            erasure_delay_hours: 0,
            default_label: vec![],
            agreement: None,
            founders: founders.iter().map(|no| member(*no, 200 + *no as u8)).collect(),
        }
    }

    fn desk(root: u8, n: u8) -> Statement {
        Statement::Desk(DeskCertificate::sign(&Signer::from_seed(&[root; 32]), &device(n)))
    }

    /// Device `n` stands under the desk with the agency's number.
    fn grant(agency: u16, n: u8, right: Right) -> Statement {
        let card = device(n).card(device(agency as u8).id().0);
        Statement::Grant {
            audience: Audience::Device { agency: AgencyNo(agency), card },
            right,
            caveats: Caveats::default(),
        }
    }

    fn admit(coalition: &Coalition, member: Member, by: &[u8]) -> Statement {
        let bytes = Statement::admission_bytes(&coalition.id(), &member);
        let mut approvals: Vec<_> = by
            .iter()
            .map(|n| Approval {
                desk: device(*n).id(),
                signature: device(*n).signer().sign(Domain::Admission, &bytes),
            })
            .collect();
        approvals.sort_by_key(|a| a.desk);
        Statement::Admit { member, approvals }
    }

    /// Statements of a coalition of two founders (quorum 2), a third agency, and a stranger.
    fn history() -> (Coalition, Vec<(DeviceId, Statement)>) {
        let empty = Coalition::new(charter(2, &[1, 2]));
        let statements = vec![
            (device(1).id(), desk(201, 1)),
            (device(2).id(), desk(202, 2)),
            (device(1).id(), admit(&empty, member(3, 203), &[1, 2])),
            (device(3).id(), desk(203, 3)),
            (device(3).id(), grant(3, 4, Right::Write)),
            (device(4).id(), grant(3, 5, Right::Write)),
            (device(1).id(), grant(3, 6, Right::Write)),
            (device(9).id(), desk(209, 9)),
            (device(9).id(), admit(&empty, member(9, 209), &[1, 9])),
        ];
        (empty, statements)
    }

    #[test]
    fn a_quorum_admits_and_nothing_less_does() {
        let (mut coalition, statements) = history();
        for (n, (issuer, statement)) in statements.into_iter().enumerate() {
            coalition.insert(EntryId([n as u8; 32]), issuer, statement);
        }
        let agencies: Vec<u16> = coalition.members().keys().map(|no| no.0).collect();
        assert_eq!(agencies, [1, 2, 3]);
        let devices: BTreeSet<_> = coalition.devices().keys().copied().collect();
        let expected = [1, 2, 3, 4].map(|n| device(n).id()).into_iter().collect();
        // Device 4 is no desk and cannot enrol 5; desk 1 cannot enrol 6 for agency 3.
        assert_eq!(devices, expected);
    }

    #[test]
    fn founders_who_do_not_hear_of_each_other_give_no_number_twice() {
        let coalition = Coalition::new(charter(1, &[1, 2, 3]));
        let given: Vec<u16> = [1, 2, 3].map(|no| coalition.next_agency(AgencyNo(no)).0).to_vec();
        assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), 3, "{given:?}");
        assert!(given.iter().all(|no| *no > 3));
        let alone = Coalition::new(charter(1, &[1]));
        assert_eq!(alone.next_agency(AgencyNo(1)), AgencyNo(2));
    }

    #[test]
    fn no_agency_claims_the_device_of_another() {
        let (mut coalition, mut statements) = history();
        // Device 4 stands under desk 3; desk 1 enrols it for agency 1, under smaller entry ids, too.
        let card = device(4).card(device(3).id().0);
        let theft = Statement::Grant {
            audience: Audience::Device { agency: AgencyNo(1), card: card.clone() },
            right: Right::Write,
            caveats: Caveats::default(),
        };
        let forged = DeviceCard { sponsor: device(1).id().0, ..card };
        let forgery = Statement::Grant {
            audience: Audience::Device { agency: AgencyNo(1), card: forged },
            right: Right::Write,
            caveats: Caveats::default(),
        };
        statements.insert(0, (device(1).id(), theft));
        statements.insert(0, (device(1).id(), forgery));
        for (n, (issuer, statement)) in statements.into_iter().enumerate() {
            coalition.insert(EntryId([n as u8; 32]), issuer, statement);
        }
        let standing = &coalition.devices()[&device(4).id()];
        assert_eq!(
            (standing.agency, &standing.card),
            (AgencyNo(3), &device(4).card(device(3).id().0))
        );
    }

    #[test]
    fn the_order_of_statements_decides_nothing() {
        let (empty, statements) = history();
        let build = |order: &[usize]| {
            let mut coalition = empty.clone();
            for n in order {
                let (issuer, statement) = statements[*n].clone();
                coalition.insert(EntryId([*n as u8; 32]), issuer, statement);
            }
            (coalition.members, coalition.devices)
        };
        let count = statements.len();
        let forward: Vec<usize> = (0..count).collect();
        let expected = build(&forward);
        for shift in 0..count {
            for stride in [1, 2, 4, 5, 7, 8] {
                let order: Vec<usize> = (0..count).map(|i| (shift + i * stride) % count).collect();
                assert_eq!(build(&order), expected, "order {order:?}");
            }
        }
    }

    #[test]
    fn a_stranger_or_a_bare_grant_is_not_stored() {
        let (mut coalition, statements) = history();
        assert!(coalition.admits(&device(1).id(), Some(&desk(201, 1))));
        assert!(!coalition.admits(&device(1).id(), None));
        assert!(!coalition.admits(&device(9).id(), Some(&desk(209, 9))));
        assert!(!coalition.admits(&device(9).id(), Some(&desk(201, 1))));
        let (issuer, statement) = statements[0].clone();
        coalition.insert(EntryId([0; 32]), issuer, statement);
        assert!(coalition.admits(&device(1).id(), None));
    }

    #[test]
    fn an_epochs_depth_must_follow_and_the_deepest_openable_is_written_under() {
        let mut compartment = Compartment::new(Opening::sign(
            device(1).signer(),
            CoalitionId([1; 32]),
            vec![(AgencyNo(1), member(1, 201).root)],
            [0; 16],
        ));
        let epoch = |parents: Vec<EpochId>, depth, n| EpochStatement {
            parents,
            depth,
            commitment: [n; 32],
            frontier: [0; 32],
            boxes_root: [0; 32],
        };
        let one = compartment.insert_epoch(epoch(vec![], 1, 1)).unwrap();
        assert_eq!(compartment.insert_epoch(epoch(vec![one], 3, 2)), Err(EpochFault::Depth));
        assert_eq!(compartment.insert_epoch(epoch(vec![], u64::MAX, 2)), Err(EpochFault::Depth));
        assert_eq!(
            compartment.insert_epoch(epoch(vec![EpochId([9; 32])], 2, 2)),
            Err(EpochFault::ParentMissing)
        );
        let two = compartment.insert_epoch(epoch(vec![one], 2, 2)).unwrap();
        assert_eq!(compartment.current_epoch(|_| true), Some(two));
        assert_eq!(compartment.current_epoch(|id| *id == one), Some(one));
        assert_eq!(compartment.current_epoch(|_| false), None);
    }

    #[test]
    fn an_empty_audience_means_nobody() {
        let (mut coalition, statements) = history();
        let (issuer, statement) = statements[0].clone();
        coalition.insert(EntryId([0; 32]), issuer, statement);
        let compartment = |audience| {
            Compartment::new(Opening::sign(device(1).signer(), coalition.id(), audience, [0; 16]))
        };
        let nobody = compartment(vec![]);
        assert_eq!(nobody.right(&coalition, &device(1).id()), None);
        assert!(!nobody.may_write(&coalition, &device(1).id(), Class::Routine));
        assert_eq!(nobody.readers(&coalition).count(), 0);
        let own = compartment(vec![(AgencyNo(1), member(1, 201).root)]);
        assert!(own.may_write(&coalition, &device(1).id(), Class::Routine));
        // Another agency under the number is not who was meant.
        let other = compartment(vec![(AgencyNo(1), member(1, 202).root)]);
        assert!(!other.may_write(&coalition, &device(1).id(), Class::Routine));
        assert_eq!(other.readers(&coalition).count(), 0);
    }
}
