//! The real evaluator, `tearline_crdt::authority`, under the same deliveries and beside the naive one.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use tearline_crdt::authority::{self, Cause, Coalition, Compartment, Limit, Logs, Place, Standing};
use tearline_crdt::id::{AgencyNo, CompartmentId, DeviceId, EntryId, EpochId, LogId};
use tearline_crdt::statement::Opening;

use crate::answers::{
    Answers, AreaAnswers, ClosureAnswers, DeviceAnswers, EpochAnswers, Reason, RecordAnswers, Route,
};
use crate::deliver::{Evaluator, converges};
use crate::world::{Held, History, Item, Placed};

/// The real evaluator and the logs that it asks about.
struct Real {
    area: CompartmentId,
    coalition: Coalition,
    compartments: BTreeMap<CompartmentId, Compartment>,
    logs: Held,
}

impl Logs for Held {
    fn held(&self, log: &LogId) -> u64 {
        self.len(log)
    }

    fn id_at(&self, log: &LogId, seq: u64) -> Option<EntryId> {
        self.at(log, seq)
    }

    fn forked_at(&self, log: &LogId) -> Option<u64> {
        self.forks.get(log).copied()
    }

    fn proven_at(&self, log: &LogId) -> Option<u64> {
        self.forked_at(log)
    }
}

impl Real {
    /// A statement that is wrong in itself is refused, and decides nothing.
    fn insert(&mut self, placed: &Placed) {
        let Some(statement) = placed.item.statement.clone() else { return };
        let place = Place { log: placed.log, seq: placed.seq, id: placed.item.id };
        let payload = placed.item.payload.as_deref();
        if placed.log.compartment == self.area {
            self.coalition.insert(place, statement, payload).ok();
        } else if let Some(compartment) = self.compartments.get_mut(&placed.log.compartment) {
            compartment.insert(place, statement, payload).ok();
        }
    }
}

impl Real {
    fn coalition_answers(&self, asked: &AreaAnswers) -> AreaAnswers {
        let closures = self.coalition.closures().iter().map(|closure| ClosureAnswers {
            id: closure.id,
            devices: closure.devices.clone(),
            marks: Vec::new(),
        });
        let limit = |log: &LogId| limit(&self.coalition.limit(log, &self.logs), self.logs.len(log));
        AreaAnswers {
            devices: devices(self.coalition.devices(), |id| self.coalition.live(id).is_some()),
            closures: closures.collect(),
            logs: asked.logs.keys().map(|log| (*log, limit(log))).collect(),
            ..AreaAnswers::default()
        }
    }

    fn compartment_answers(&self, compartment: &Compartment, asked: &AreaAnswers) -> AreaAnswers {
        let limit = |log: &LogId| limit(&compartment.limit(log, &self.logs), self.logs.len(log));
        let epochs = compartment.epochs().iter().map(|(id, state)| {
            let answers = EpochAnswers {
                known: true,
                clean: state.unclean.is_none(),
                counts: state.counts,
                retired: state.retired,
                readers: BTreeSet::new(),
            };
            (*id, answers)
        });
        let mut current = BTreeMap::new();
        let writers: BTreeSet<DeviceId> =
            asked.epochs.values().flat_map(|epoch| epoch.readers.iter().copied()).collect();
        for writer in writers {
            let opens = |epoch: &EpochId| {
                asked.epochs.get(epoch).is_some_and(|epoch| epoch.readers.contains(&writer))
            };
            if let Some(epoch) = compartment.current_epoch(opens) {
                current.insert(writer, epoch);
            }
        }
        let mut records: BTreeMap<EntryId, BTreeMap<AgencyNo, RecordAnswers>> = BTreeMap::new();
        for (genesis, peers) in &asked.records {
            let Some(originator) = asked.authors.get(genesis) else { continue };
            for peer in peers.keys() {
                let state = compartment.record_state(genesis, *originator, *peer);
                let answers = RecordAnswers {
                    erased: state.erased.is_some(),
                    restricted: state.restricted,
                    recalled: state.recalled,
                    held: state.held,
                };
                records.entry(*genesis).or_default().insert(*peer, answers);
            }
        }
        let mut destroyed: BTreeMap<AgencyNo, BTreeSet<EntryId>> = BTreeMap::new();
        for peer in asked.destroyed.keys() {
            let entries = asked.authors.iter();
            let gone = entries
                .filter(|(entry, of)| compartment.erasures_of(entry, **of, *peer).next().is_some());
            destroyed.insert(*peer, gone.map(|(entry, _)| *entry).collect());
        }
        let forked = self.logs.forks.keys().filter(|log| log.compartment == compartment.id());
        let chosen = forked.filter_map(|log| Some((*log, compartment.choice(log, &self.logs)?)));
        AreaAnswers {
            devices: devices(compartment.devices(), |id| compartment.live(id).is_some()),
            chosen: chosen.collect(),
            logs: asked.logs.keys().map(|log| (*log, limit(log))).collect(),
            records,
            destroyed,
            readers: compartment.readers().map(|(id, _)| *id).collect(),
            epochs: epochs.collect(),
            current,
            ..AreaAnswers::default()
        }
    }
}

fn route(route: &authority::Route) -> Route {
    Route { depth: route.depth, right: route.right, limits: route.caveats.clone() }
}

fn devices(
    standings: &BTreeMap<DeviceId, Standing>,
    live: impl Fn(&DeviceId) -> bool,
) -> BTreeMap<DeviceId, DeviceAnswers> {
    let answers = standings.iter().map(|(id, standing)| {
        let every = std::iter::once((None, &standing.routes));
        let named = standing.lives.iter().map(|(life, of)| (Some(*life), &of.routes));
        let routes = every.chain(named).filter(|(_, routes)| !routes.is_empty());
        let routes = routes.map(|(named, routes)| (named, routes.iter().map(route).collect()));
        let readmitted = standing.lives.iter().filter(|(_, life)| life.readmitted.is_some());
        let answers = DeviceAnswers {
            agency: Some(standing.agency),
            card: Some(standing.card.clone()),
            desk: standing.desk,
            counting: routes.collect(),
            readmitted: readmitted.map(|(life, _)| *life).collect(),
            live: live(id),
            ..DeviceAnswers::default()
        };
        (*id, answers)
    });
    answers.collect()
}

/// The limit of a log of which so much is held.
fn limit(limit: &Limit, held: u64) -> (u64, Option<Reason>) {
    let reason = limit.cause.as_ref().map(|cause| match cause {
        Cause::Standing | Cause::Readmitted(_) => Reason::Standing,
        Cause::Fork | Cause::Branch(_) => Reason::Branch,
        Cause::Closed(_) => Reason::Closure,
    });
    (limit.next.min(held), reason.filter(|_| limit.next < held))
}

impl Evaluator for Real {
    fn new(history: &History) -> Self {
        let openings = history.openings.iter();
        let open = |opening: &Opening| (opening.id(), Compartment::new(opening.clone()));
        Self {
            area: history.coalition_area(),
            coalition: Coalition::new(history.charter.clone()),
            compartments: openings.map(open).collect(),
            logs: Held::nothing(history),
        }
    }

    fn entry(&mut self, placed: &Placed) {
        self.insert(placed);
        self.logs.branches.entry(placed.log).or_default().push(placed.item.id);
    }

    fn loose(&mut self, placed: &Placed) {
        self.insert(placed);
    }

    fn fork(&mut self, log: &LogId, seq: u64) {
        let lowest = self.logs.forks.entry(*log).or_insert(seq);
        *lowest = seq.min(*lowest);
    }

    fn switch(&mut self, log: &LogId, branch: &[Rc<Item>]) {
        self.logs.branches.insert(*log, branch.iter().map(|item| item.id).collect());
        for (seq, item) in branch.iter().enumerate() {
            self.insert(&Placed { log: *log, seq: seq as u64, item: Rc::clone(item) });
        }
    }

    fn answers(&mut self, asked: &Answers) -> Answers {
        self.coalition.evaluate(&self.logs);
        for compartment in self.compartments.values_mut() {
            compartment.evaluate(&self.coalition, &self.logs);
        }
        let seats = self.coalition.seats().iter().map(|(no, seat)| (*no, seat.roots.clone()));
        let acts = self.coalition.proposals().into_iter().filter(|(_, act)| act.in_force);
        let mut answers = Answers {
            coalition: self.area,
            members: BTreeMap::new(),
            seats: seats.collect(),
            acts: acts.map(|(id, _)| id).collect(),
            areas: BTreeMap::new(),
        };
        let asked_here = asked.areas.get(&self.area);
        if let Some(asked) = asked_here {
            answers.areas.insert(self.area, self.coalition_answers(asked));
        }
        for (id, compartment) in &self.compartments {
            if let Some(asked) = asked.areas.get(id) {
                answers.areas.insert(*id, self.compartment_answers(compartment, asked));
            }
        }
        answers
    }

    /// What the real evaluator does not show: positive reach, marks, the closures of compartments, and
    /// statements one by one. They show in what does.
    fn comparable(mut answers: Answers) -> Answers {
        answers.members.clear();
        for (id, area) in &mut answers.areas {
            area.devices.retain(|_, device| !device.counting.is_empty());
            for device in area.devices.values_mut() {
                device.reach.clear();
            }
            if *id != answers.coalition {
                area.closures.clear();
            }
            let closures = std::mem::take(&mut area.closures).into_iter();
            area.closures =
                closures.map(|closure| ClosureAnswers { marks: Vec::new(), ..closure }).collect();
            area.statements.clear();
            area.epochs.retain(|_, epoch| epoch.known);
            area.epochs.values_mut().for_each(|epoch| epoch.readers.clear());
            let authors = std::mem::take(&mut area.authors);
            for entries in area.destroyed.values_mut() {
                entries.retain(|entry| authors.contains_key(entry));
            }
        }
        answers
    }
}

#[test]
fn replicas_agree_with_each_other_and_with_the_document() {
    converges::<Real>();
}
