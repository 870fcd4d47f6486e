//! §6 and §7: which entries and which statements count.

use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::id::{Class, CompartmentId, EntryId, LogId};
use tearline_crdt::statement::{Mark, Right, Statement};

use super::Naive;
use super::adoption::{Adopt, outranks};
use super::closures::{Author, Closure, Reopened};
use super::reach::{Drawing, grant_of};
use crate::answers::Reason;
use crate::bug::Bug;
use crate::world::Placed;

/// All on which the verdicts in an area depend.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Ground {
    pub(crate) area: CompartmentId,
    /// Counting routes.
    pub(crate) counting: Drawing,
    pub(crate) closures: BTreeSet<Closure>,
    pub(crate) reopened: BTreeSet<Reopened>,
    pub(crate) adopts: BTreeSet<Adopt>,
}

impl Naive<'_> {
    /// §6: the first rule that the entry at a position of the branch held fails.
    pub(super) fn verdict(&self, log: &LogId, seq: u64, ground: &Ground) -> Option<Reason> {
        if !self.has(Bug::NoStanding) && !self.has_standing(log, ground) {
            Some(Reason::Standing)
        } else if !self.has(Bug::NoForks) && !self.is_on_branch(log, seq, ground) {
            Some(Reason::Branch)
        } else if !self.is_open(log, seq, ground) {
            Some(Reason::Closure)
        } else {
            None
        }
    }

    /// §6, rule 1.
    pub(super) fn has_standing(&self, log: &LogId, ground: &Ground) -> bool {
        let routes = ground.counting.routes(&log.device, log.incarnation);
        routes.iter().any(|route| {
            let class = route.limits().classes.is_none_or(|set| set & 1 << (log.class as u8) != 0);
            ground.area == self.coalition
                || route.right() >= Right::Write && (class || log.class == Class::Authority)
        })
    }

    /// §6, rule 2.
    fn is_on_branch(&self, log: &LogId, seq: u64, ground: &Ground) -> bool {
        if seq < self.held.fork(log) {
            return true;
        }
        if log.class == Class::Authority && !self.has(Bug::AuthorityBranches) {
            return false;
        }
        let choices = self.choices(log, ground);
        let named = choices.iter().any(|(mark, own)| !own && seq < mark.count);
        let along = |(mark, _): &(Mark, bool)| self.leads(log, mark);
        let all = if self.has(Bug::ChoicesUnite) {
            choices.iter().any(|choice| along(choice) && seq < choice.0.count)
        } else {
            choices.iter().all(along)
        };
        named && all && !self.has(Bug::LostForks)
    }

    /// §6: the marks of a log that choose a branch, and whether the forker himself said them.
    pub(super) fn choices(&self, log: &LogId, ground: &Ground) -> Vec<(Mark, bool)> {
        let digest = log.digest();
        let beyond = |mark: &Mark| mark.count > self.held.fork(log);
        let adopted = self.speaking(log, ground).map(|(_, mark)| (*mark, false));
        let mut choices: Vec<(Mark, bool)> = adopted.collect();
        for closure in &ground.closures {
            let active = self.is_active(closure, &log.device, log.incarnation, &ground.reopened);
            let chooses = active && !self.is_overridden(log, closure, ground)
                || closure.devices.contains(&log.device) && self.has(Bug::ReopenedChoose)
                || active && self.has(Bug::OverriddenChoose);
            let own = matches!(&closure.author, Author::Device { id, .. } if *id == log.device);
            let own = own && !self.has(Bug::ForkersChoose);
            let marks = closure.marks.iter().filter(|mark| mark.log == digest && chooses);
            choices.extend(marks.map(|mark| (*mark, own)));
        }
        choices.retain(|(mark, _)| beyond(mark));
        choices
    }

    /// §6: whether a mark beyond the fork, of an adopt, overrides a closure.
    fn is_overridden(&self, log: &LogId, closure: &Closure, ground: &Ground) -> bool {
        self.speaking(log, ground).any(|(adopt, mark)| {
            mark.count > self.held.fork(log) && outranks(&adopt.author, &closure.author)
        })
    }

    /// §6: whether the branch that is held has the mark's entry at its last position.
    fn leads(&self, log: &LogId, mark: &Mark) -> bool {
        match self.held.at(log, mark.count - 1) {
            Some(held) => held == mark.head || self.has(Bug::AnyHead),
            None => self.has(Bug::ShortLogsLeadOn),
        }
    }

    /// The adopts that speak of a log, with their marks of it.
    fn speaking<'a>(
        &self,
        log: &'a LogId,
        ground: &'a Ground,
    ) -> impl Iterator<Item = (&'a Adopt, &'a Mark)> {
        let bug = self.bug;
        let speaking =
            ground.adopts.iter().filter(move |a| a.speaks_of(log, &ground.counting, bug));
        speaking.filter_map(|adopt| adopt.mark(log).map(|mark| (adopt, mark)))
    }

    /// §6, rule 3.
    fn is_open(&self, log: &LogId, seq: u64, ground: &Ground) -> bool {
        let digest = log.digest();
        let kept = |closure: &Closure| {
            let overridden = self.is_overridden(log, closure, ground);
            let keeps =
                |mark: &Mark| seq < mark.count && (seq < self.held.fork(log) || !overridden);
            !self.has(Bug::NoKeep)
                && closure.marks.iter().any(|mark| mark.log == digest && keeps(mark))
        };
        let adopted = |closure: &Closure| {
            !self.has(Bug::NoAdopts)
                && self.speaking(log, ground).any(|(adopt, mark)| {
                    (outranks(&adopt.author, &closure.author) || self.has(Bug::NoRank))
                        && seq < mark.count
                })
        };
        let active: Vec<&Closure> = ground
            .closures
            .iter()
            .filter(|c| self.is_active(c, &log.device, log.incarnation, &ground.reopened))
            .collect();
        let open = |closure: &&Closure| kept(closure) || adopted(closure);
        if self.has(Bug::KeepsUnite) && !active.is_empty() {
            return active.iter().any(open);
        }
        active.iter().all(open)
    }

    /// §7: whether the place of a statement counts.
    pub(super) fn place_counts(&self, placed: &Placed, ground: &Ground) -> bool {
        self.held.at(&placed.log, placed.seq) == Some(placed.item.id)
            && self.verdict(&placed.log, placed.seq, ground).is_none()
    }

    /// §7: the widening statements of an area's logs that count on this ground, acts aside.
    pub(super) fn counting_statements(&self, ground: &Ground) -> BTreeSet<EntryId> {
        let mut counting = BTreeSet::new();
        for placed in self.statements_in(ground.area) {
            let issuer = ground.counting.devices.get(&placed.log.device);
            let desk = issuer.is_some_and(|issuer| issuer.desk);
            let mut routes = ground.counting.routes(&placed.log.device, placed.log.incarnation);
            if self.has(Bug::OldRoutesGrant) {
                routes = issuer.into_iter().flat_map(|of| of.routes.values().flatten()).collect();
            }
            let may = |right| ground.counting.may(&placed.log, right);
            let good = match placed.item.statement() {
                Statement::Grant { .. } => grant_of(placed).is_some_and(|grant| {
                    let anybody = self.has(Bug::AnybodyNames) || self.has(Bug::AnybodyReopens);
                    let may_name = desk || grant.names.is_none() || anybody;
                    let mut routes = routes.iter();
                    may_name && routes.any(|route| self.covers(route, grant.right, grant.caveats))
                }),
                Statement::Adopt { .. } => desk,
                Statement::Epoch(_) | Statement::Seal { .. } | Statement::Describe { .. } => {
                    ground.area != self.coalition && may(Right::Write)
                }
                Statement::Lift { .. } => true,
                _ => false,
            };
            let placed_well =
                || self.has(Bug::QuarantinedWidens) || self.place_counts(placed, ground);
            if good && placed_well() {
                counting.insert(placed.item.id);
            }
        }
        counting
    }

    /// For each log held in an area: how many entries count, and why the next does not.
    pub(super) fn limits(&self, ground: &Ground) -> BTreeMap<LogId, (u64, Option<Reason>)> {
        let mut limits = BTreeMap::new();
        for log in self.logs_in(ground.area) {
            let verdicts: Vec<Option<Reason>> =
                (0..self.held.len(log)).map(|seq| self.verdict(log, seq, ground)).collect();
            let counting = verdicts.iter().take_while(|verdict| verdict.is_none()).count();
            // No rule lets an entry count after one that does not.
            assert!(verdicts.iter().skip(counting).all(Option::is_some), "{log:?}: {verdicts:?}");
            limits.insert(*log, (counting as u64, verdicts.get(counting).copied().flatten()));
        }
        limits
    }
}
