//! Scenes in which a rare rule decides, that moves drawn one by one would seldom meet.

use std::collections::BTreeSet;

use tearline_crdt::id::{AgencyNo, Class, StatementId};
use tearline_crdt::statement::{
    Act, Audience, Caveats, Erasure, Marks, Reopening, Right, Statement,
};

use super::acts::sorted;
use super::{Actor, Closing, Draft};
use crate::cast;

impl Draft {
    /// One of the scenes.
    pub(super) fn scene(&mut self) {
        match self.rng.below(15) {
            0 => self.wider_limits(),
            1 => self.two_of_one_number(),
            2 => self.take_back(),
            3 => self.erase_what_others_wrote(),
            4 => self.beyond_the_audience(),
            5 => self.old_root_adopts(),
            6 => self.foreign_desk_adopts(),
            7..=9 => self.branches_are_chosen(),
            10 | 11 => self.comes_back_with_less(),
            12 | 13 => self.names_somebodys_life(),
            _ => self.second_card(),
        }
    }

    /// A device grants more than its own limits allow.
    fn wider_limits(&mut self) {
        let agency = self.agency();
        let (desk, one) = (self.desk_of(agency), self.unit_of(agency));
        let two = Actor { agency, n: 5 };
        let own = [
            Caveats { classes: Some(1), ..Caveats::default() },
            Caveats { not_after_ms: Some(5), ..Caveats::default() },
            Caveats { quota_bytes: Some(1), ..Caveats::default() },
            Caveats { kinds: Some(vec![1]), ..Caveats::default() },
        ];
        let wider = [
            Caveats { classes: Some(31), ..Caveats::default() },
            Caveats { not_after_ms: Some(6), ..Caveats::default() },
            Caveats { quota_bytes: Some(2), ..Caveats::default() },
            Caveats { kinds: Some(vec![1, 2]), ..Caveats::default() },
        ];
        let n = self.rng.below(own.len());
        let own = Caveats { may_delegate: true, ..own[n].clone() };
        self.grant_with(desk, self.whole(), one, Right::Admit, own, None);
        self.grant_with(one, self.whole(), two, Right::Write, wider[n].clone(), None);
    }

    /// Two admissions under one number, both approved, each with its desk.
    fn two_of_one_number(&mut self) {
        let no = self.founders + 1;
        for root in [no, no + 100] {
            let act = Act::Admit { member: cast::member(no, root), cites: Vec::new() };
            self.approved_act(0, act, None);
            let n = u8::from(root != no);
            let desk = Actor { agency: no, n };
            let certificate = cast::certificate(root, no, n);
            self.say(desk, self.whole(), Statement::Desk(certificate));
        }
    }

    /// A device that is no desk revokes whom it alone let in, and lets it in again.
    fn take_back(&mut self) {
        let agency = self.agency();
        let (desk, one, two) = (self.desk_of(agency), self.unit_of(agency), Actor { agency, n: 5 });
        let may = Caveats { may_delegate: true, ..Caveats::default() };
        self.grant_with(desk, self.whole(), one, Right::Admit, may.clone(), None);
        self.grant_with(one, self.whole(), two, Right::Write, may.clone(), None);
        let area = self.compartment();
        self.write(two, area);
        self.revoke_by(one, self.whole(), two);
        let cites = self.closings.last().map(|closing| closing.id).into_iter().collect();
        let incarnation = self.new_life(two);
        let reopening = Some(Reopening { incarnation, cites });
        self.grant_with(one, self.whole(), two, Right::Write, may, reopening);
        self.write(two, area);
    }

    /// A device with several rights is revoked and comes back with one of them, which it uses and gives
    /// on; it may be given more, and who brought it back may be closed.
    fn comes_back_with_less(&mut self) {
        let agency = self.agency();
        let (desk, one, two) = (self.desk_of(agency), self.unit_of(agency), Actor { agency, n: 5 });
        let may = Caveats { may_delegate: true, ..Caveats::default() };
        let (whole, area) = (self.whole(), self.compartment());
        self.grant_with(desk, whole, one, Right::Admin, may.clone(), None);
        if self.rng.chance(30) {
            self.grant_with(desk, area, one, Right::Write, may.clone(), None);
        }
        self.write(one, area);
        let back_in = if self.rng.chance(70) { whole } else { area };
        self.revoke_by(desk, back_in, one);
        let cites: Vec<StatementId> = self.closings.last().map(|one| one.id).into_iter().collect();
        let incarnation = self.new_life(one);
        let reopening = Some(Reopening { incarnation, cites });
        for _ in 0..self.rng.within(1, 2) {
            let right = self.right();
            self.grant(desk, back_in, one, right, reopening.clone());
        }
        self.write(one, area);
        let given = self.right();
        self.grant(one, whole, two, given, None);
        self.write(two, area);
        if self.rng.chance(30) {
            let caveats = Caveats { may_delegate: true, ..Caveats::default() };
            self.grant_with(desk, area, one, Right::Write, caveats, None);
        }
        if self.rng.chance(30) {
            let act = Act::Revoke { device: desk.id(), keep: Marks::NONE };
            if let Some(act) = cast::root_act(agency, &self.coalition, act) {
                self.say(one, whole, Statement::RootAct(act));
            }
        }
    }

    /// Somebody names the life that another device writes in, whether or not it was ever revoked: a
    /// desk, or a device that may grant on, or whoever.
    fn names_somebodys_life(&mut self) {
        let agency = self.agency();
        let (desk, one, two) = (self.desk_of(agency), self.unit_of(agency), Actor { agency, n: 5 });
        let (whole, area) = (self.whole(), self.compartment());
        let may = Caveats { may_delegate: true, ..Caveats::default() };
        self.grant_with(desk, whole, one, Right::Admit, may.clone(), None);
        self.grant_with(desk, whole, two, Right::Admit, may, None);
        self.write(two, area);
        let lives: Vec<_> = self.logs_of(two.id()).iter().map(|log| log.incarnation).collect();
        let incarnation = self.rng.pick(&lives);
        let cites = vec![self.closings.last().map_or(StatementId([0xcc; 32]), |one| one.id)];
        let reopening = Some(Reopening { incarnation, cites });
        let by = match self.rng.below(4) {
            0 => desk,
            1 => self.desk(),
            2 => self.anybody(),
            _ => one,
        };
        let right = self.right();
        let place = if self.rng.chance(60) { whole } else { area };
        self.grant(by, place, two, right, reopening);
        self.write(two, area);
        let to = self.unit_of(agency);
        self.grant(two, whole, to, right, None);
    }

    /// Several agencies write to one record, its originator erases it, and others add their own.
    fn erase_what_others_wrote(&mut self) {
        let area = self.compartment();
        let opening = self.openings.iter().find(|opening| opening.id() == area);
        let Some(opening) = opening else { return };
        let members: Vec<u8> = opening.audience.iter().map(|(no, _)| no.0 as u8).collect();
        let owner = Actor { agency: self.rng.pick(&members), n: 0 };
        let genesis = self.write(owner, area);
        let mut others = Vec::new();
        for _ in 0..3 {
            let writer = Actor { agency: self.rng.pick(&members), n: 0 };
            others.push(self.write(writer, area));
        }
        self.records.push((area, genesis, others.clone()));
        let listed = sorted(others.iter().copied().take(2).collect());
        self.say(owner, area, Statement::Erase(Erasure { genesis, others: listed }));
        let adding = Actor { agency: self.rng.pick(&members), n: 0 };
        let entries = sorted(others);
        self.say(adding, area, Statement::EraseAlso { genesis, entries });
        if self.rng.chance(40) {
            let holder = Actor { agency: self.rng.pick(&members), n: 0 };
            let hold = self.say(holder, area, Statement::Hold { genesis });
            self.liftable.push(hold.into());
            if self.rng.chance(50) {
                let by = if self.rng.chance(70) { holder } else { owner };
                self.say(by, area, Statement::Lift { lifted: hold.into() });
            }
        }
    }

    /// A desk of the audience grants to devices and agencies outside it.
    fn beyond_the_audience(&mut self) {
        let area = self.compartment();
        let opening = self.openings.iter().find(|opening| opening.id() == area);
        let Some(desk) = opening.and_then(|opening| {
            opening.audience.first().map(|(no, _)| Actor { agency: no.0 as u8, n: 0 })
        }) else {
            return;
        };
        let to = self.unit();
        self.grant(desk, area, to, Right::Write, None);
        let agency = AgencyNo(u16::from(self.agency()));
        let caveats = self.caveats();
        let audience = Audience::Agency(agency);
        let grant = Statement::Grant { audience, right: Right::Read, caveats, reopening: None };
        self.say(desk, area, grant);
        self.write(to, area);
        self.say(to, area, Statement::Revoke { device: to.id(), keep: Marks::NONE });
    }

    /// A root is replaced; the old one, and the new one, adopt what a desk has closed.
    fn old_root_adopts(&mut self) {
        let agency = self.agency();
        let unit = self.unit_of(agency);
        let area = self.compartment();
        self.enrol(unit);
        self.write(unit, area);
        self.write(unit, area);
        let number = AgencyNo(u16::from(agency));
        let root = cast::root(agency + 100);
        // Everything is kept, so that only the roots' standing changes.
        let devices: Vec<Actor> = (0..cast::DEVICES).map(|n| Actor { agency, n }).collect();
        let marks = self.exact_marks(&devices);
        let keep = Marks::Inline(marks);
        let replaced = vec![cast::root(agency)];
        let act = Act::ReplaceRoot { agency: number, root, replaced, keep };
        self.closings.push(Closing { id: act.id(&self.coalition, 0), devices });
        self.approved_act(0, act, None);
        let desk = self.desk_of(agency);
        let revoke = Statement::Revoke { device: unit.id(), keep: Marks::NONE };
        let id = self.say(desk, self.whole(), revoke);
        self.closings.push(Closing { id: id.into(), devices: vec![unit] });
        let root = agency + if self.rng.chance(70) { 0 } else { 100 };
        let marks = Marks::Inline(self.exact_marks(&[unit]));
        let act = cast::root_act(root, &self.coalition, Act::Adopt { marks });
        let Some(act) = act else { return };
        let carrier = self.desk();
        self.say(carrier, self.whole(), Statement::RootAct(act));
    }

    /// A record log is forked, and a desk of another agency chooses a branch of it.
    fn foreign_desk_adopts(&mut self) {
        let area = self.compartment();
        let opening = self.openings.iter().find(|opening| opening.id() == area);
        let audience = opening.map(|opening| opening.audience.clone()).unwrap_or_default();
        let Some((no, _)) = audience.first() else { return };
        let author = Actor { agency: no.0 as u8, n: 0 };
        self.write(author, area);
        let logs = self.logs_of(author.id());
        let log = logs.into_iter().find(|l| l.compartment == area && l.class != Class::Authority);
        let Some(log) = log else { return };
        self.fork_log(log);
        let marks = Marks::Inline(self.exact_marks(&[author]));
        let agency = self.agency();
        let desk = self.desk_of(agency);
        self.say_with(desk, self.whole(), Statement::Adopt { marks }, None, BTreeSet::new());
    }

    /// A record log is forked. Two closures keep a branch each, perhaps the same; its life is opened
    /// again in spite of one or both; and perhaps an adopt names a branch, too.
    fn branches_are_chosen(&mut self) {
        let agency = self.agency();
        let (desk, unit, area) = (self.desk_of(agency), self.unit_of(agency), self.compartment());
        self.grant(desk, self.whole(), unit, Right::Write, None);
        for _ in 0..3 {
            self.write(unit, area);
        }
        let logs = self.logs_of(unit.id());
        let log = logs.into_iter().find(|l| l.compartment == area && l.class != Class::Authority);
        let Some(log) = log else { return };
        self.fork_log(log);
        // Then one branch is longer than the other.
        for _ in 0..self.rng.below(3) {
            self.write(unit, area);
        }
        let mut cites: Vec<StatementId> = Vec::new();
        for _ in 0..2 {
            let keep = Marks::Inline(self.branch_mark(log).into_iter().collect());
            let by = if self.rng.chance(85) { desk } else { unit };
            let id = self.say(by, area, Statement::Revoke { device: unit.id(), keep });
            self.closings.push(Closing { id: id.into(), devices: vec![unit] });
            if self.rng.chance(70) {
                cites.push(id.into());
            }
        }
        if self.rng.chance(60) {
            cites.sort_unstable();
            let incarnation = log.incarnation;
            let reopening = Some(Reopening { incarnation, cites });
            self.grant_with(desk, self.whole(), unit, Right::Write, Caveats::default(), reopening);
        }
        if self.rng.chance(50) {
            let marks = Marks::Inline(self.branch_mark(log).into_iter().collect());
            self.say(desk, self.whole(), Statement::Adopt { marks });
        }
    }

    /// A device signs a second card of itself, and somebody grants under it.
    fn second_card(&mut self) {
        let unit = self.unit();
        let sponsor = if self.rng.chance(50) { unit.agency } else { self.agency() };
        let card = cast::second_card(unit.agency, unit.n, cast::device(sponsor, 0).0);
        let audience = Audience::Device { agency: AgencyNo(u16::from(sponsor)), card };
        let by = if self.rng.chance(50) { unit } else { self.desk_of(unit.agency) };
        let caveats = self.caveats();
        let grant = Statement::Grant { audience, right: Right::Write, caveats, reopening: None };
        self.say(by, self.whole(), grant);
        let desk = self.desk_of(unit.agency);
        self.revoke_by(desk, self.whole(), unit);
    }
}
