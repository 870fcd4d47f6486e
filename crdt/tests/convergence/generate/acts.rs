//! Closures, adopts and acts of the whole.

use std::collections::BTreeSet;

use tearline_crdt::id::{AgencyNo, Class, CompartmentId, StatementId};
use tearline_crdt::keys::RootKey;
use tearline_crdt::statement::{Act, Erasure, Marks, Statement};

use super::{AGENCIES, Actor, Closing, Draft};
use crate::cast;

impl Draft {
    /// A revocation by somebody who may, or who may not.
    pub(super) fn revoke(&mut self) {
        let target = self.anybody();
        let by = match self.rng.below(12) {
            0..=4 => self.desk_of(target.agency),
            5 | 6 => target,
            7 | 8 => self.unit_of(target.agency),
            _ => self.anybody(),
        };
        let area = if self.rng.chance(70) { self.whole() } else { self.compartment() };
        self.revoke_by(by, area, target);
        // Mutual.
        if self.rng.chance(15) {
            self.revoke_by(target, area, by);
        }
        if self.rng.chance(60) {
            self.use_rights(target);
        }
    }

    pub(super) fn revoke_by(&mut self, by: Actor, area: CompartmentId, target: Actor) {
        let marks = self.marks(&[target]);
        let (keep, payload) = self.state(marks);
        let revoke = Statement::Revoke { device: target.id(), keep };
        let id = self.say_with(by, area, revoke, payload, BTreeSet::new());
        self.closings.push(Closing { id: id.into(), devices: vec![target] });
    }

    /// A root revokes or adopts. Anybody carries it.
    pub(super) fn root_act(&mut self) {
        let target = if self.rng.chance(40) { self.desk() } else { self.unit() };
        let root = match self.rng.below(10) {
            0 => target.agency + 100,
            1 => self.agency(),
            _ => target.agency,
        };
        let marks = self.marks(&[target]);
        let (marks, payload) = self.state(marks);
        let revoke = self.rng.chance(50);
        let act = if revoke {
            Act::Revoke { device: target.id(), keep: marks }
        } else {
            Act::Adopt { marks }
        };
        let Some(act) = cast::root_act(root, &self.coalition, act) else { return };
        if revoke {
            self.closings.push(Closing { id: act.id(&self.coalition), devices: vec![target] });
        }
        let (carrier, area) = (self.anybody(), self.area());
        let area = if self.rng.chance(80) { self.whole() } else { area };
        // Somebody else carries it, too, perhaps without its list.
        if self.rng.chance(20) {
            let (again, whole) = (self.anybody(), self.whole());
            let payload = payload.clone().filter(|_| self.rng.chance(50));
            let act = Statement::RootAct(act.clone());
            self.say_with(again, whole, act, payload, BTreeSet::new());
        }
        self.say_with(carrier, area, Statement::RootAct(act), payload, BTreeSet::new());
    }

    /// A device adopts, mostly a desk for its own agency.
    pub(super) fn adopt(&mut self) {
        let by = if self.rng.chance(90) { self.desk() } else { self.anybody() };
        let closed: Vec<Actor> = self
            .closings
            .iter()
            .flat_map(|closing| closing.devices.iter().copied())
            .filter(|device| device.agency == by.agency)
            .collect();
        let of = match self.rng.below(8) {
            0 => self.anybody(),
            1..=5 if !closed.is_empty() => self.rng.pick(&closed),
            _ => self.unit_of(by.agency),
        };
        let marks = self.marks(&[of]);
        let (marks, payload) = self.state(marks);
        let area = if self.rng.chance(70) { self.whole() } else { self.compartment() };
        self.say_with(by, area, Statement::Adopt { marks }, payload, BTreeSet::new());
    }

    /// A log is forked, and keeps or adopts choose branches.
    pub(super) fn fork_and_choose(&mut self) {
        let author = if self.rng.chance(50) { self.desk() } else { self.unit() };
        let authority = self.rng.chance(50);
        let logs: Vec<_> = self
            .logs_of(author.id())
            .into_iter()
            .filter(|log| (log.class == Class::Authority) == authority)
            .collect();
        let Some(log) = self.rng.one(&logs).copied() else { return };
        self.fork_log(log);
        for _ in 0..self.rng.within(1, 4) {
            let target =
                if log.compartment == self.whole() { self.whole() } else { log.compartment };
            if log.class == Class::Authority {
                let right = self.right();
                let to = Actor { n: self.rng.within(2, 5) as u8, ..author };
                self.grant(author, target, to, right, None);
            } else {
                self.write(author, target);
            }
        }
        for _ in 0..self.rng.within(1, 2) {
            let marks = self.marks(&[author]);
            let (marks, payload) = self.state(marks);
            match self.rng.below(5) {
                0 | 1 => self.act_with(0, Act::Adopt { marks }, payload),
                2 => {
                    let desk = self.desk_of(author.agency);
                    let whole = self.whole();
                    self.say_with(
                        desk,
                        whole,
                        Statement::Adopt { marks },
                        payload,
                        BTreeSet::new(),
                    );
                }
                3 => {
                    let act = cast::root_act(author.agency, &self.coalition, Act::Adopt { marks });
                    let Some(act) = act else { return };
                    let carrier = self.desk();
                    let whole = self.whole();
                    let act = Statement::RootAct(act);
                    self.say_with(carrier, whole, act, payload, BTreeSet::new());
                }
                _ => {
                    let desk = self.desk_of(author.agency);
                    self.revoke_by(desk, self.whole(), author);
                }
            }
        }
    }

    /// An act of the whole, with more or fewer approvals than it needs.
    pub(super) fn act(&mut self) {
        let target = self.anybody();
        let (marks, payload) = {
            let marks = self.marks(&[target]);
            self.state(marks)
        };
        match self.rng.below(12) {
            0..=2 => self.admit(),
            3 => {
                let agency = self.agency();
                let devices: Vec<Actor> = (0..cast::DEVICES).map(|n| Actor { agency, n }).collect();
                let marks = self.marks(&devices);
                let (keep, payload) = self.state(marks);
                let number = self.rng.below(2) as u64;
                let act = Act::Retire { agency: AgencyNo(u16::from(agency)), keep };
                self.closings.push(Closing { id: act.id(&self.coalition, number), devices });
                self.act_with(number, act, payload);
            }
            4 => self.replace_root(),
            5 | 6 => {
                let number = self.rng.below(2) as u64;
                let act = Act::Revoke { device: target.id(), keep: marks };
                let devices = vec![target];
                self.closings.push(Closing { id: act.id(&self.coalition, number), devices });
                self.act_with(number, act, payload);
            }
            7 | 8 => self.act_with(0, Act::Adopt { marks }, payload),
            9 => {
                let epoch = self.rng.one(&self.epochs).map(|epoch| epoch.id).unwrap_or_default();
                self.act_with(0, Act::RetireEpoch { epoch }, None);
            }
            _ => self.act_on_record(),
        }
    }

    /// An agency joins: with a root, or two of one number, or under a founder's number.
    fn admit(&mut self) {
        let new = self.founders + 1 + self.rng.below(usize::from(AGENCIES - self.founders)) as u8;
        let new = if self.rng.chance(95) { new } else { 1 };
        let root = if self.rng.chance(80) { new } else { new + 100 };
        let cites: BTreeSet<StatementId> = self
            .closings
            .iter()
            .filter(|closing| closing.devices.len() > 1)
            .map(|closing| closing.id)
            .filter(|_| self.rng.chance(20))
            .collect();
        let act =
            Act::Admit { member: cast::member(new, root), cites: cites.into_iter().collect() };
        self.act_with(0, act, None);
        if !self.agencies.contains(&new) {
            self.agencies.push(new);
        }
        for n in 0..2 {
            let desk = Actor { agency: new, n };
            let certificate = cast::certificate(root, new, n);
            self.enrolled.insert(desk);
            self.say(desk, self.whole(), Statement::Desk(certificate));
        }
        self.enrol(Actor { agency: new, n: 2 });
    }

    fn replace_root(&mut self) {
        let agency = self.agency();
        let devices: Vec<Actor> = (0..cast::DEVICES).map(|n| Actor { agency, n }).collect();
        let marks = self.marks(&devices);
        let (keep, payload) = self.state(marks);
        // Mostly the first root, by another; and that one, or both, by a third.
        let next = agency + if self.rng.chance(70) { 100 } else { 200 };
        let mut replaced: Vec<RootKey> = [agency, agency + 100, agency + 200]
            .into_iter()
            .filter(|one| *one != next && self.rng.chance(if *one == agency { 85 } else { 35 }))
            .map(cast::root)
            .collect();
        replaced.sort_unstable();
        let root = cast::root(next);
        let act = Act::ReplaceRoot { agency: AgencyNo(u16::from(agency)), root, replaced, keep };
        self.closings.push(Closing { id: act.id(&self.coalition, 0), devices });
        self.act_with(0, act, payload);
        // The new root certifies a desk, which grants again.
        let certificate = cast::certificate(next, agency, 1);
        let desk = Actor { agency, n: 1 };
        self.say(desk, self.whole(), Statement::Desk(certificate));
        let to = self.unit_of(agency);
        let right = self.right();
        self.grant(desk, self.whole(), to, right, None);
    }

    fn act_on_record(&mut self) {
        let Some((_, genesis, others)) = self.rng.one(&self.records).cloned() else { return };
        let number = self.rng.below(3) as u64;
        let act = match self.rng.below(5) {
            0 => Act::Erase(Erasure { genesis, others: sorted(others) }),
            1 => Act::Restrict { genesis },
            2 => Act::Hold { genesis },
            3 => Act::Lift { lifted: self.rng.pick(&self.liftable.clone()) },
            _ => Act::Recall { genesis },
        };
        if matches!(act, Act::Restrict { .. } | Act::Hold { .. }) {
            self.liftable.push(act.id(&self.coalition, number));
        }
        self.act_with(number, act, None);
    }

    /// Proposes an act and approves it, mostly by as many founders as it needs.
    pub(super) fn act_with(&mut self, number: u64, act: Act, payload: Option<Vec<u8>>) {
        let mut founders: Vec<u8> = (1..=self.founders).collect();
        self.rng.shuffle(&mut founders);
        let quorum = usize::from(self.charter.quorum);
        let approvals = match self.rng.below(10) {
            0 | 1 => quorum - 1,
            2 => quorum + 1,
            _ => quorum,
        };
        let id = act.id(&self.coalition, number);
        let first = founders.first().copied().unwrap_or(1);
        let proposer = if self.rng.chance(90) { self.desk_of(first) } else { self.anybody() };
        let approve = |n: usize| founders.get(n).copied();
        let place = if self.rng.chance(97) { self.whole() } else { self.compartment() };
        let propose = Statement::Propose { number, act };
        self.say_with(proposer, place, propose, payload, BTreeSet::new());
        for n in 1..approvals {
            let Some(agency) = approve(n) else { continue };
            let desk =
                if self.rng.chance(90) { self.desk_of(agency) } else { self.unit_of(agency) };
            self.say(desk, self.whole(), Statement::Approve { act: id });
        }
    }

    /// An act that all founders' first desks approve.
    pub(super) fn approved_act(&mut self, number: u64, act: Act, payload: Option<Vec<u8>>) {
        let id = act.id(&self.coalition, number);
        let first = Actor { agency: 1, n: 0 };
        let propose = Statement::Propose { number, act };
        self.say_with(first, self.whole(), propose, payload, BTreeSet::new());
        for agency in 2..=self.founders {
            self.say(Actor { agency, n: 0 }, self.whole(), Statement::Approve { act: id });
        }
    }

    /// Nothing is kept of a stolen device.
    pub(super) fn lose(&mut self) {
        let target = self.unit();
        let desk = self.desk_of(target.agency);
        let revoke = Statement::Revoke { device: target.id(), keep: Marks::NONE };
        let id = self.say(desk, self.whole(), revoke);
        self.closings.push(Closing { id: id.into(), devices: vec![target] });
        self.use_rights(target);
    }
}

pub(super) fn sorted(
    mut entries: Vec<tearline_crdt::id::EntryId>,
) -> Vec<tearline_crdt::id::EntryId> {
    entries.sort_unstable();
    entries.dedup();
    entries
}
