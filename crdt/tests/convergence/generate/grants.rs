//! Certificates and grants, and what brings closed devices back.

use std::collections::BTreeSet;

use tearline_crdt::id::{AgencyNo, CompartmentId, EntryId, StatementId};
use tearline_crdt::statement::{Audience, Caveats, Reopening, Right, Statement};

use super::{Actor, Draft};
use crate::cast;

impl Draft {
    /// A desk enrols a device of its agency, in the ordinary way.
    pub(super) fn enrol(&mut self, to: Actor) {
        let desk = self.desk_of(to.agency);
        let right = self.right();
        let right = if self.rng.chance(70) { right.max(Right::Write) } else { right };
        self.grant(desk, self.whole(), to, right, None);
    }

    /// Some grant by somebody to somebody.
    pub(super) fn some_grant(&mut self) {
        match self.rng.below(12) {
            // A device that may grant on to another of its agency.
            0..=3 => {
                let from = self.unit();
                let to = Actor { n: self.rng.within(2, 5) as u8, ..from };
                let right = self.right();
                self.grant(from, self.whole(), to, right, None);
            }
            4 | 5 => {
                let to = self.unit();
                self.enrol(to);
            }
            // To another agency's device, or by whoever.
            6 => {
                let (from, to) = (self.anybody(), self.anybody());
                let right = self.right();
                self.grant(from, self.whole(), to, right, None);
            }
            7..=9 => {
                let (from, to) = (self.anybody(), self.anybody());
                let (area, right) = (self.compartment(), self.right());
                self.grant(from, area, to, right, None);
            }
            10 => {
                let (area, from, right) = (self.area(), self.desk(), self.right());
                let to = if self.rng.chance(80) { self.agency() } else { self.founders + 1 };
                let audience = Audience::Agency(AgencyNo(u16::from(to)));
                let caveats = self.caveats();
                let grant = Statement::Grant { audience, right, caveats, reopening: None };
                self.say(from, area, grant);
            }
            _ => self.some_certificate(),
        }
    }

    /// A chain of grants that goes deeper than routes may.
    pub(super) fn deep_chain(&mut self) {
        let agency = self.agency();
        let mut from = self.desk_of(agency);
        for step in 0..self.rng.within(4, 10) {
            let to = Actor { agency, n: 2 + (step % 4) as u8 };
            let caveats = Caveats { may_delegate: true, ..Caveats::default() };
            self.grant_with(from, self.whole(), to, Right::Admit, caveats, None);
            from = to;
        }
    }

    /// More routes to one device than are kept, each with another limit.
    pub(super) fn many_routes(&mut self) {
        let agency = self.agency();
        let (desk, to) = (self.desk_of(agency), self.unit_of(agency));
        for n in 0..18 {
            let caveats = Caveats {
                not_before_ms: Some(n),
                may_delegate: self.rng.chance(50),
                ..Caveats::default()
            };
            self.grant_with(desk, self.whole(), to, Right::Write, caveats, None);
        }
        let caveats = Caveats { quota_bytes: Some(1), ..Caveats::default() };
        self.grant_with(desk, self.whole(), to, Right::Read, caveats, None);
    }

    /// A device says that it is a desk, by a root or by none.
    pub(super) fn some_certificate(&mut self) {
        let agency = self.agency();
        let root = match self.rng.below(8) {
            0 => 99,
            1 | 2 => agency + 100,
            _ => agency,
        };
        let desk = self.desk_of(agency);
        let n = if self.rng.chance(90) { desk.n } else { 2 };
        let mut certificate = cast::certificate(root, agency, n);
        if self.rng.chance(5) {
            certificate.signature = [0; 64];
        }
        self.enrolled.insert(desk);
        let (carrier, area) = (self.anybody(), self.area());
        let carrier = if self.rng.chance(70) { desk } else { carrier };
        let area = if self.rng.chance(90) { self.whole() } else { area };
        self.say(carrier, area, Statement::Desk(certificate));
    }

    /// A grant with limits as they come.
    pub(super) fn grant(
        &mut self,
        from: Actor,
        area: CompartmentId,
        to: Actor,
        right: Right,
        reopening: Option<Reopening>,
    ) -> EntryId {
        let caveats = self.caveats();
        self.grant_with(from, area, to, right, caveats, reopening)
    }

    /// A grant to a device, under a card that is mostly the one it always had.
    pub(super) fn grant_with(
        &mut self,
        from: Actor,
        area: CompartmentId,
        to: Actor,
        right: Right,
        caveats: Caveats,
        reopening: Option<Reopening>,
    ) -> EntryId {
        let sponsor = match self.rng.below(16) {
            0 => cast::device(to.agency, 1).0,
            1 => self.anybody().id().0,
            _ => cast::device(to.agency, 0).0,
        };
        let mut card = match self.rng.below(16) {
            0 => cast::second_card(to.agency, to.n, sponsor),
            _ => cast::card(to.agency, to.n, sponsor),
        };
        if self.rng.chance(3) {
            card.signature = [0; 64];
        }
        let named = if self.rng.chance(95) { to.agency } else { self.agency() };
        self.enrolled.insert(to);
        let audience = Audience::Device { agency: AgencyNo(u16::from(named)), card };
        self.say(from, area, Statement::Grant { audience, right, caveats, reopening })
    }

    /// A closed device comes back with a new life: by its desk, its root, or somebody else.
    pub(super) fn reopen(&mut self) {
        let Some(closing) = self.rng.one(&self.closings).cloned() else { return };
        let Some(device) = self.rng.one(&closing.devices).copied() else { return };
        let all = self.closings.iter().filter(|c| c.devices.contains(&device)).map(|c| c.id);
        let all: BTreeSet<StatementId> = all.collect();
        let cites: Vec<StatementId> =
            if self.rng.chance(70) { all.into_iter().collect() } else { vec![closing.id] };
        let incarnation = self.new_life(device);
        let reopening = Some(Reopening { incarnation, cites });
        if device.is_desk() {
            let root = device.agency + if self.rng.chance(70) { 0 } else { 100 };
            let (agency, n) = (device.agency, device.n);
            let certificate = cast::reopening_certificate(root, agency, n, reopening);
            let carrier = if self.rng.chance(50) { device } else { self.desk() };
            self.say(carrier, self.whole(), Statement::Desk(certificate));
        } else {
            let by = self.desk_of(device.agency);
            let by = if self.rng.chance(80) { by } else { self.anybody() };
            let area = if self.rng.chance(75) { self.whole() } else { self.compartment() };
            let right = if self.rng.chance(60) { Right::Write } else { self.right() };
            self.grant(by, area, device, right, reopening);
        }
        let area = self.compartment();
        self.write(device, area);
        self.use_rights(device);
    }

    /// The device does what it may.
    pub(super) fn use_rights(&mut self, actor: Actor) {
        let (area, right) = (self.compartment(), self.right());
        match self.rng.below(4) {
            0 => {
                let to = Actor { n: self.rng.within(2, 5) as u8, ..actor };
                self.grant(actor, self.whole(), to, right, None);
            }
            1 => self.epoch_in(area, actor),
            _ => self.write_record(actor, area),
        }
    }

    pub(super) fn right(&mut self) -> Right {
        match self.rng.below(10) {
            0 => Right::Relay,
            1 => Right::Read,
            2..=4 => Right::Write,
            5..=8 => Right::Admit,
            _ => Right::Admin,
        }
    }

    pub(super) fn caveats(&mut self) -> Caveats {
        let mut caveats = Caveats { may_delegate: self.rng.chance(60), ..Caveats::default() };
        if self.rng.chance(60) {
            return caveats;
        }
        let rng = &mut self.rng;
        let kinds = || vec![vec![1], vec![1, 2], vec![2, 3], vec![1, 2, 3]];
        caveats.kinds = rng.chance(20).then(|| rng.one(&kinds()).cloned()).flatten();
        caveats.classes = rng.chance(30).then(|| rng.pick(&[0b1_1111, 0b1_0001, 0b0_0011, 0]));
        caveats.not_before_ms = rng.chance(15).then(|| rng.below(4) as u64);
        caveats.not_after_ms = rng.chance(15).then(|| rng.below(4) as u64);
        caveats.quota_bytes = rng.chance(40).then(|| rng.below(4) as u64);
        caveats.history = rng.chance(20);
        caveats
    }
}
