//! The naive evaluator: `docs/protocol/authority.md`, section by section, and nothing else. It sees
//! the complete set, computes everything anew in every round, and is meant to be read beside the
//! document. It shares no code with the evaluator that it judges but the types of statements.

mod acts;
mod adoption;
mod closures;
mod entries;
mod epochs;
mod positive;
mod reach;
mod records;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::id::{AgencyNo, Class, CompartmentId, DeviceId, EntryId, LogId, StatementId};
use tearline_crdt::keys::{DeviceCard, RootKey};
use tearline_crdt::statement::{Act, DeskCertificate, Mark, RootAct};

use crate::answers::{Answers, AreaAnswers, ClosureAnswers, DeviceAnswers};
use crate::bug::Bug;
use crate::world::{Held, Placed};
use acts::Known;
use adoption::Adopt;
use closures::{Author, Closure};
use entries::Ground;
use positive::Positive;
use reach::{Lives, Roots};

/// The evaluator, with what it holds.
pub(crate) struct Naive<'a> {
    held: &'a Held,
    bug: Option<Bug>,
    coalition: CompartmentId,
    acts: BTreeMap<StatementId, Known>,
    certified: BTreeMap<DeviceId, BTreeSet<RootKey>>,
}

/// What is known after the coalition's logs.
struct Whole {
    /// Acts in force.
    in_force: BTreeSet<StatementId>,
    positive: Positive,
    /// Incarnations that are readmitted.
    readmitted: Lives,
    ground: Ground,
    counting: BTreeSet<EntryId>,
}

/// The answers that follow from what a peer holds, with a bug if one is wanted.
pub(crate) fn evaluate(held: &Held, bug: Option<Bug>) -> Answers {
    evaluate_with_leads(held, bug).0
}

/// The answers, and for each log the mark that leads to the branch to be held: the greatest of those
/// that choose.
pub(crate) fn evaluate_with_leads(
    held: &Held,
    bug: Option<Bug>,
) -> (Answers, BTreeMap<LogId, Mark>) {
    let coalition = CompartmentId(held.charter.id().0);
    let (acts, certified) = (BTreeMap::new(), BTreeMap::new());
    let mut naive = Naive { held, bug, coalition, acts, certified };
    naive.acts = naive.acts_known();
    naive.certified = naive.certified();
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
            coalition: self.coalition,
            members: members_answers(&whole.positive.members),
            seats: members_answers(&whole.ground.counting.members),
            acts: whole.in_force.clone(),
            areas: BTreeMap::new(),
        };
        let mut leads = self.leads_to(&whole.ground);
        let area = self.area_answers(&whole.positive, &whole.ground, &whole.counting);
        answers.areas.insert(self.coalition, area);
        for opening in &self.held.openings {
            let (id, area, mut more) = self.compartment(opening.id(), &whole);
            answers.areas.insert(id, area);
            leads.append(&mut more);
        }
        (answers, leads)
    }

    /// Whether a statement is before the fork of its log.
    fn is_before_fork(&self, placed: &Placed) -> bool {
        placed.seq < self.held.fork(&placed.log)
    }

    /// The coalition: §2 to §7 from its own statements alone.
    fn whole(&self) -> Whole {
        // §3, positive reach: whatever was approved before forks.
        let certificates = self.certificates();
        let before_fork = |placed: &Placed| self.is_before_fork(placed);
        let mut reached: BTreeSet<StatementId> = BTreeSet::new();
        loop {
            let founders = self.founders(&reached);
            let more =
                self.acts.keys().filter(|id| self.is_approved(**id, &founders, &before_fork));
            let more: Vec<StatementId> = more.copied().collect();
            let before = reached.len();
            reached.extend(more);
            if reached.len() == before {
                break;
            }
        }
        let members = self.all_members(&reached);
        let grants = self.grants(self.coalition, &before_fork);
        let positive = self.positive(&members, &certificates, &grants);
        let readmitted = self.readmitted(self.coalition, &positive);

        // §2: "For a narrowing act all approvals count."
        let founders = self.founders(&reached);
        let every_place = |_: &Placed| true;
        let narrowing = self.acts.iter().filter(|(_, known)| known.act.is_narrowing());
        let narrowing = narrowing.filter(|(id, _)| self.is_approved(**id, &founders, &every_place));
        let mut in_force: BTreeSet<StatementId> = narrowing.map(|(id, _)| *id).collect();

        // §4: all in positive reach.
        let without = |device: DeviceId| {
            let mut others = grants.clone();
            others.retain(|grant| grant.issuer != device);
            self.positive(&members, &certificates, &others)
        };
        let mut closures = self.closures_by_acts(&in_force, &grants, &positive);
        closures.extend(self.closures_by_roots(&positive));
        let of_devices = |place: &dyn Fn(&Placed) -> bool| {
            self.closures_by_devices(self.coalition, &positive, &without, place)
        };
        let base = closures.clone();
        closures.extend(of_devices(&every_place));

        // §7: begin with nothing, and judge by what counted in the round before.
        let mut counting: BTreeSet<EntryId> = BTreeSet::new();
        let mut giving: BTreeSet<StatementId> = BTreeSet::new();
        loop {
            let counts = |placed: &Placed| counting.contains(&placed.item.id);
            let members = self.members(&in_force, &giving);
            let grants = self.grants(self.coalition, &counts);
            let drawing = self.draw_coalition(&members, &certificates, &grants, &readmitted);
            let mut adopts = self.adopts(self.coalition, &drawing, &counts);
            for known in in_force.iter().filter_map(|id| self.acts.get(id)) {
                if matches!(known.act, Act::Adopt { .. }) {
                    adopts.insert(Adopt { author: Author::Act, marks: known.marks.clone() });
                }
            }
            let drawn = (&drawing, &readmitted);
            let reopened = self.reopened(self.coalition, drawn, &closures, &in_force, &counts);
            let mut ground = Ground {
                area: self.coalition,
                counting: drawing,
                closures: closures.clone(),
                reopened,
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
            let founders = self.founders(&giving);
            let widely = self.acts.keys().filter(|id| self.is_approved(**id, &founders, &place));
            let widely: Vec<StatementId> = widely.copied().collect();
            let more = self.counting_statements(&ground);
            let before = (counting.len(), in_force.len(), giving.len());
            in_force.extend(widely.iter().copied());
            giving.extend(widely);
            if self.has(Bug::ClosedRootsGive) {
                giving.extend(in_force.iter().copied());
            }
            counting.extend(more);
            if before == (counting.len(), in_force.len(), giving.len()) {
                return Whole { in_force, positive, readmitted, ground, counting };
            }
        }
    }

    /// A compartment: its own statements on top of its coalition's.
    fn compartment(
        &self,
        area: CompartmentId,
        whole: &Whole,
    ) -> (CompartmentId, AreaAnswers, BTreeMap<LogId, Mark>) {
        let before_fork = |placed: &Placed| self.is_before_fork(placed);
        let every_place = |_: &Placed| true;
        let all = self.grants(area, &before_fork);
        let positive = self.positive_in(area, &whole.positive, &all);
        let without = |device: DeviceId| {
            let of_others =
                |placed: &Placed| self.is_before_fork(placed) && placed.log.device != device;
            let coalition = self.positive(
                &whole.positive.members,
                &self.certificates(),
                &self.grants(self.coalition, &of_others),
            );
            self.positive_in(area, &coalition, &self.grants(area, &of_others))
        };
        let mut closures = whole.ground.closures.clone();
        closures.extend(self.closures_by_devices(area, &positive, &without, &every_place));

        let mut readmitted = self.readmitted(area, &positive);
        readmitted.extend(&whole.readmitted);

        let mut counting: BTreeSet<EntryId> = BTreeSet::new();
        loop {
            let counts = |placed: &Placed| counting.contains(&placed.item.id);
            let grants = self.grants(area, &counts);
            let coalition = &whole.ground.counting;
            let drawing = self.draw_compartment(area, coalition, &grants, &readmitted);
            // "In a compartment those of the coalition and those of the compartment work." Those of
            // the coalition cite what is closed here alone too.
            let in_coalition = |placed: &Placed| whole.counting.contains(&placed.item.id);
            let drawn = (coalition, &readmitted);
            let mut reopened =
                self.reopened(self.coalition, drawn, &closures, &whole.in_force, &in_coalition);
            reopened.extend(self.reopened(area, drawn, &closures, &whole.in_force, &counts));
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
            let records =
                self.records(area, &positive, &ground.counting, &whole.in_force, &counting);
            (answers.records, answers.destroyed) = (records.answers, records.destroyed);
            answers.authors = self.authors(area, &positive, &ground.counting);
            answers.readers = self.live_readers(&ground);
            answers.epochs = self.epochs(&ground, &counting, &whole.in_force);
            answers.current = self.current(&ground, &answers.epochs);
            let leads = self.leads_to(&ground);
            return (area, answers, leads);
        }
    }

    /// What is answered of every area.
    fn area_answers(
        &self,
        positive: &Positive,
        ground: &Ground,
        counting: &BTreeSet<EntryId>,
    ) -> AreaAnswers {
        let mut answers = AreaAnswers::default();
        for id in positive.devices() {
            let entry: &mut DeviceAnswers = answers.devices.entry(id).or_default();
            entry.reach = positive.agencies(&id);
        }
        for (id, device) in &ground.counting.devices {
            let entry: &mut DeviceAnswers = answers.devices.entry(*id).or_default();
            entry.agency = Some(device.agency);
            entry.card = Some(device.card.clone());
            entry.desk = device.desk;
            let routes = device.routes.iter();
            entry.counting = routes
                .map(|(named, routes)| (*named, routes.iter().map(reach::Key::answer).collect()))
                .collect();
            let readmitted = ground.counting.readmitted.iter().filter(|(of, _)| of == id);
            entry.readmitted = readmitted.map(|(_, life)| *life).collect();
        }
        for (id, entry) in &mut answers.devices {
            entry.live = self.is_live(id, &ground.closures, &ground.reopened);
        }
        answers.closures = ground.closures.iter().map(closure_answers).collect();
        answers.logs = self.limits(ground);
        let counts = |log: &LogId| log.class != Class::Authority && self.has_standing(log, ground);
        let leads = self.leads_to(ground).into_iter().filter(|(log, _)| counts(log));
        answers.chosen = leads.map(|(log, mark)| (log, (mark.count, mark.head))).collect();
        answers.statements = counting.clone();
        answers
    }

    /// For each forked log: the greatest of the marks that choose.
    fn leads_to(&self, ground: &Ground) -> BTreeMap<LogId, Mark> {
        let forked = self.held.forks.keys().filter(|log| log.compartment == ground.area);
        let greatest = |log: &LogId| {
            let choices = self.choices(log, ground).into_iter().map(|(mark, _)| mark);
            choices.max_by_key(|mark| (mark.count, mark.head))
        };
        forked.filter_map(|log| greatest(log).map(|mark| (*log, mark))).collect()
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

fn members_answers(members: &BTreeMap<AgencyNo, Roots>) -> BTreeMap<AgencyNo, BTreeSet<RootKey>> {
    members.iter().map(|(no, roots)| (*no, roots.all.clone())).collect()
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
