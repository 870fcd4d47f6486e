//! The naive evaluator: `docs/protocol/authority.md`, section by section, and nothing else. It sees
//! the complete set, computes everything anew in every round, and is meant to be read beside the
//! document. It shares no code with the evaluator that it judges but the types of statements.

mod acts;
mod adoption;
mod closures;
mod entries;
mod epochs;
mod reach;
mod records;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::id::{CompartmentId, DeviceId, EntryId, LogId, StatementId};
use tearline_crdt::keys::DeviceCard;
use tearline_crdt::statement::{Act, DeskCertificate, Mark, RootAct};

use crate::answers::{Answers, AreaAnswers, ClosureAnswers, DeviceAnswers};
use crate::bug::Bug;
use crate::world::{Held, Placed};
use acts::Known;
use adoption::Adopt;
use closures::{Author, Closure, Source};
use entries::Ground;
use reach::Drawing;

/// The evaluator, with what it holds.
pub(crate) struct Naive<'a> {
    held: &'a Held,
    bug: Option<Bug>,
    coalition: CompartmentId,
    acts: BTreeMap<StatementId, Known>,
}

/// What is known after the coalition's logs.
struct Whole {
    /// Acts in force.
    in_force: BTreeSet<StatementId>,
    positive: Drawing,
    ground: Ground,
    counting: BTreeSet<EntryId>,
}

/// The answers that follow from what a peer holds, with a bug if one is wanted.
pub(crate) fn evaluate(held: &Held, bug: Option<Bug>) -> Answers {
    evaluate_with_leads(held, bug).0
}

/// The answers, and for each log the mark that leads to the branch to be held: the greatest of
/// counting adopts, else of the keeps of valid closures.
pub(crate) fn evaluate_with_leads(
    held: &Held,
    bug: Option<Bug>,
) -> (Answers, BTreeMap<LogId, Mark>) {
    let coalition = CompartmentId(held.charter.id().0);
    let mut naive = Naive { held, bug, coalition, acts: BTreeMap::new() };
    naive.acts = naive.acts_known();
    naive.answers()
}

impl Naive<'_> {
    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn statements_in(&self, area: CompartmentId) -> impl Iterator<Item = &Placed> {
        self.held.statements.values().filter(move |placed| placed.log.compartment == area)
    }

    fn logs_in(&self, area: CompartmentId) -> impl Iterator<Item = &LogId> {
        self.held.branches.keys().filter(move |log| log.compartment == area)
    }

    fn answers(&self) -> (Answers, BTreeMap<LogId, Mark>) {
        let whole = self.whole();
        let mut answers = Answers {
            members: whole.positive.members.clone(),
            acts: whole.in_force.clone(),
            areas: BTreeMap::new(),
        };
        let mut leads = self.leads(&whole.ground);
        let area = self.area_answers(&whole.positive, &whole.ground, &whole.counting);
        answers.areas.insert(self.coalition, area);
        for opening in &self.held.openings {
            let (id, area, mut more) = self.compartment(opening.id(), &whole);
            answers.areas.insert(id, area);
            leads.append(&mut more);
        }
        (answers, leads)
    }

    /// The coalition: §2 to §7 from its own statements alone.
    fn whole(&self) -> Whole {
        // §3, positive reach: whatever was approved by whoever ever could.
        let certificates = self.certificates();
        let every_place = |_: &Placed| true;
        let mut reached: BTreeSet<StatementId> = BTreeSet::new();
        let (members, positive, source) = loop {
            let members = self.members(&reached);
            let grants = self.grants(self.coalition, &every_place);
            let positive = self.draw_coalition(&members, &certificates, &grants);
            let more = self.acts.keys().filter(|id| self.is_approved(**id, &positive, &every_place));
            let before = reached.len();
            let more: Vec<StatementId> = more.copied().collect();
            reached.extend(more);
            if reached.len() == before {
                let source = Source {
                    members: members.clone(),
                    certificates: certificates.clone(),
                    grants,
                };
                break (members, positive, source);
            }
        };
        let narrowing = |id: &&StatementId| self.acts.get(id).is_some_and(|k| k.act.is_narrowing());
        let mut in_force: BTreeSet<StatementId> = reached.iter().filter(narrowing).copied().collect();

        // §4: all in positive reach.
        let without = |device: DeviceId| {
            let Source { certificates, grants, .. } = &source;
            self.draw_coalition_without(&members, certificates, grants, Some(device))
        };
        let mut closures = self.closures_by_acts(&in_force, &source, &positive);
        closures.extend(self.closures_by_roots(self.coalition, &positive));
        let of_devices = |place: &dyn Fn(&Placed) -> bool| {
            self.closures_by_devices(self.coalition, &positive, &without, place)
        };
        let base = closures.clone();
        closures.extend(of_devices(&every_place));

        // §7: begin with nothing, and add what counts until nothing more does.
        let mut counting: BTreeSet<EntryId> = BTreeSet::new();
        loop {
            let counts = |placed: &Placed| counting.contains(&placed.item.id);
            let members = self.members(&in_force);
            let grants = self.grants(self.coalition, &counts);
            let drawing = self.draw_coalition(&members, &certificates, &grants);
            let mut adopts = self.adopts(self.coalition, &drawing, &counts);
            for known in in_force.iter().filter_map(|id| self.acts.get(id)) {
                if matches!(known.act, Act::Adopt { .. }) {
                    adopts.insert(Adopt { author: Author::Act, marks: known.marks.clone() });
                }
            }
            let mut ground = Ground {
                area: self.coalition,
                reopened: self.reopened(self.coalition, &drawing, &counts),
                counting: drawing,
                closures: closures.clone(),
                adopts,
            };
            if self.has(Bug::RevocationsNeedPlace) {
                ground.closures.clone_from(&base);
                let place = |placed: &Placed| self.place_counts(placed, &ground);
                let found = of_devices(&place);
                ground.closures.extend(found);
            }
            let place = |placed: &Placed| {
                self.has(Bug::QuarantinedApprovals) || self.place_counts(placed, &ground)
            };
            let widening = self.acts.iter().filter(|(_, known)| !known.act.is_narrowing());
            let approved: Vec<StatementId> = widening
                .filter(|(id, _)| self.is_approved(**id, &ground.counting, &place))
                .map(|(id, _)| *id)
                .collect();
            let more = self.counting_statements(&ground);
            let before = (counting.len(), in_force.len());
            in_force.extend(approved);
            counting.extend(more);
            if before == (counting.len(), in_force.len()) {
                return Whole { in_force, positive, ground, counting };
            }
        }
    }

    /// A compartment: its own statements on top of its coalition's.
    fn compartment(
        &self,
        area: CompartmentId,
        whole: &Whole,
    ) -> (CompartmentId, AreaAnswers, BTreeMap<LogId, Mark>) {
        let every_place = |_: &Placed| true;
        let all = self.grants(area, &every_place);
        let positive = self.draw_compartment(area, &whole.positive, &all, None);
        let without = |device: DeviceId| {
            let members = &whole.positive.members;
            let grants = self.grants(self.coalition, &every_place);
            let coalition = self.draw_coalition_without(
                members,
                &self.certificates(),
                &grants,
                Some(device),
            );
            self.draw_compartment(area, &coalition, &all, Some(device))
        };
        let mut closures = whole.ground.closures.clone();
        closures.extend(self.closures_by_roots(area, &whole.positive));
        closures.extend(self.closures_by_devices(area, &positive, &without, &every_place));

        let mut counting: BTreeSet<EntryId> = BTreeSet::new();
        loop {
            let counts = |placed: &Placed| counting.contains(&placed.item.id);
            let grants = self.grants(area, &counts);
            let drawing = self.draw_compartment(area, &whole.ground.counting, &grants, None);
            let mut reopened = whole.ground.reopened.clone();
            reopened.extend(self.reopened(area, &drawing, &counts));
            let mut adopts = whole.ground.adopts.clone();
            adopts.extend(self.adopts(area, &drawing, &counts));
            let closures = closures.clone();
            let ground = Ground { area, counting: drawing, closures, reopened, adopts };
            let before = counting.len();
            counting.extend(self.counting_statements(&ground));
            if counting.len() > before {
                continue;
            }
            let mut answers = self.area_answers(&positive, &ground, &counting);
            let lifts = counting.union(&whole.counting).copied().collect();
            answers.records =
                self.records(area, &positive, &ground.counting, &whole.in_force, &lifts);
            answers.epochs = self.epochs(&ground, &counting, &whole.in_force);
            answers.current = self.current(&ground, &answers.epochs);
            let leads = self.leads(&ground);
            return (area, answers, leads);
        }
    }

    /// What is answered of every area.
    fn area_answers(
        &self,
        positive: &Drawing,
        ground: &Ground,
        counting: &BTreeSet<EntryId>,
    ) -> AreaAnswers {
        let mut answers = AreaAnswers::default();
        for (id, device) in &positive.devices {
            let entry: &mut DeviceAnswers = answers.devices.entry(*id).or_default();
            entry.agencies = device.agencies.clone();
            entry.desk = device.desk;
            entry.positive = device.routes.keys().map(reach::Key::answer).collect();
        }
        for (id, device) in &ground.counting.devices {
            let entry: &mut DeviceAnswers = answers.devices.entry(*id).or_default();
            entry.counting = device.routes.keys().map(reach::Key::answer).collect();
        }
        for (id, entry) in &mut answers.devices {
            entry.live = self.is_live(id, &ground.closures, &ground.reopened);
        }
        answers.closures = ground.closures.iter().map(closure_answers).collect();
        answers.logs = self.limits(ground);
        answers.statements = counting.clone();
        answers
    }

    /// For each forked log: the greatest mark of counting adopts, else of valid keeps.
    fn leads(&self, ground: &Ground) -> BTreeMap<LogId, Mark> {
        let mut leads = BTreeMap::new();
        for log in self.held.forks.keys().filter(|log| log.compartment == ground.area) {
            let digest = log.digest();
            let speaking =
                ground.adopts.iter().filter(|a| a.speaks_of(log, &ground.counting, self.bug));
            let adopted = speaking.filter_map(|adopt| adopt.mark(log).copied());
            let keeps = ground.closures.iter().filter(|c| c.devices.contains(&log.device));
            let keeps = keeps.flat_map(|c| c.marks.iter().copied().filter(|m| m.log == digest));
            let greatest = |marks: &mut dyn Iterator<Item = Mark>| {
                marks.max_by_key(|mark| (mark.count, mark.head))
            };
            let mut adopted = adopted;
            let mut keeps = keeps;
            if let Some(mark) = greatest(&mut adopted).or_else(|| greatest(&mut keeps)) {
                leads.insert(*log, mark);
            }
        }
        leads
    }

    fn certificate_holds(&self, certificate: &DeskCertificate) -> bool {
        let mut bytes = Vec::new();
        certificate.encode(&mut bytes);
        remembered(bytes, || certificate.holds())
    }

    fn card_holds(&self, card: &DeviceCard) -> bool {
        let mut bytes = Vec::new();
        card.encode(&mut bytes);
        remembered(bytes, || card.holds())
    }

    fn root_act_holds(&self, act: &RootAct) -> bool {
        let mut bytes = self.coalition.0.to_vec();
        act.encode(&mut bytes);
        remembered(bytes, || act.holds(&self.held.charter.id()))
    }
}

fn closure_answers(closure: &Closure) -> ClosureAnswers {
    ClosureAnswers {
        id: closure.id,
        devices: closure.devices.clone(),
        marks: closure.marks.clone(),
    }
}

/// Signatures are checked once for each thread: they are the same in all histories.
fn remembered(bytes: Vec<u8>, check: impl FnOnce() -> bool) -> bool {
    thread_local! {
        static CHECKED: RefCell<BTreeMap<Vec<u8>, bool>> = const { RefCell::new(BTreeMap::new()) };
    }
    CHECKED.with_borrow_mut(|checked| *checked.entry(bytes).or_insert_with(check))
}
