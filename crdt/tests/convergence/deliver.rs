//! Delivers a history to replicas: in any order that keeps each log's own, in batches, with
//! repetitions, through partitions, and with another branch of a forked log here than there. What
//! a replica holds is kept beside it, so that the naive evaluator can judge the very same set.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use tearline_crdt::id::{Class, LogId};

use crate::answers::Answers;
use crate::bug::Bug;
use crate::naive::{evaluate, evaluate_with_leads};
use crate::rng::Rng;
use crate::shrink::{shrink, tell};
use crate::world::{Choice, Held, History, Item, Placed, travels_loose};
use crate::{generate, histories};

/// An evaluator under test. It is told what comes, as it comes.
pub(crate) trait Evaluator {
    /// An empty one.
    fn new(history: &History) -> Self;
    /// The next entry of the branch that is held of a log.
    fn entry(&mut self, placed: &Placed);
    /// A statement at some place that is not on the branch held.
    fn loose(&mut self, placed: &Placed);
    /// A proof that the log is forked at a position.
    fn fork(&mut self, log: &LogId, seq: u64);
    /// Another branch is held from now on.
    fn switch(&mut self, log: &LogId, branch: &[Rc<Item>]);
    /// What follows: as much of what the naive evaluator answers as this one is asked about.
    fn answers(&mut self, asked: &Answers) -> Answers;
    /// The part of the naive evaluator's answers that this one gives too.
    fn comparable(answers: Answers) -> Answers {
        answers
    }
}

/// A difference between two answers, in words.
pub(crate) type Difference = String;

/// Something that reaches a replica.
#[derive(Clone, Debug)]
enum Event {
    Entry(Placed),
    Loose(Placed),
    Fork(LogId, u64),
}

/// An evaluator and what it holds.
struct Replica<E> {
    held: Held,
    /// Positions of each log that came.
    choice: Choice,
    evaluator: E,
}

/// Fewest and most replicas of one history.
const REPLICAS: (usize, usize) = (3, 5);
/// Most branches that marks lead to, one after the other, before nothing changes.
const SWITCHES_MAX: usize = 12;

/// Asserts that replicas converge, over all histories; tells the least in which they do not.
pub(crate) fn converges<E: Evaluator>() {
    for seed in 0..histories() {
        let history = generate::history(seed);
        if disagreement::<E>(&history).is_some() {
            let least = shrink(&history, &|history| disagreement::<E>(history).is_some());
            let wrong = disagreement::<E>(&least).unwrap_or_default();
            panic!("{wrong}\n{}", tell(&least));
        }
    }
}

/// Delivers a history to several replicas, and says what is wrong with their answers: with those of
/// the naive evaluator on the way and in the end, and with each other's in the end.
pub(crate) fn disagreement<E: Evaluator>(history: &History) -> Option<Difference> {
    let mut rng = Rng::new(history.seed ^ 0xde11);
    let count = rng.within(REPLICAS.0, REPLICAS.1);
    let mut last: Option<Answers> = None;
    for n in 0..count {
        let mut replica = Replica::<E>::new(history, &mut rng);
        if let Some(wrong) = replica.deliver(history, &mut rng) {
            return Some(format!("replica {n} on the way: {wrong}"));
        }
        replica.settle(history, &mut rng);
        let answers = match replica.compare() {
            Ok(answers) => answers,
            Err(wrong) => return Some(format!("replica {n} in the end: {wrong}")),
        };
        let common = settled_alike(history, answers);
        if let Some(wrong) = last.as_ref().and_then(|last| difference(last, &common)) {
            return Some(format!("replica {n} and the one before: {wrong}"));
        }
        last = Some(common);
    }
    None
}

impl<E: Evaluator> Replica<E> {
    fn new(history: &History, rng: &mut Rng) -> Self {
        let forked = history.logs.iter().filter(|log| log.fork().is_some());
        let choice = forked.map(|log| (log.id, rng.below(log.branches.len()))).collect();
        Self { held: Held::nothing(history), choice, evaluator: E::new(history) }
    }

    /// Gives it everything, and compares now and then.
    fn deliver(&mut self, history: &History, rng: &mut Rng) -> Option<Difference> {
        let mut queues = self.queues(history);
        // A partition: some of it comes only after all the rest.
        let late: BTreeSet<usize> = (0..queues.len()).filter(|_| rng.chance(15)).collect();
        let total: usize = queues.iter().map(Vec::len).sum();
        let look = [rng.below(total.max(1)), rng.below(total.max(1))];
        let mut came: Vec<Event> = Vec::new();
        loop {
            let waiting = |late_too: bool| -> Vec<usize> {
                let all = queues.iter().enumerate().filter(|(_, queue)| !queue.is_empty());
                all.map(|(n, _)| n).filter(|n| late_too || !late.contains(n)).collect()
            };
            let open = waiting(false);
            let open = if open.is_empty() { waiting(true) } else { open };
            let from = rng.one(&open).copied()?;
            for _ in 0..rng.within(1, 6) {
                let Some(event) = queues[from].pop() else { break };
                self.take(&event);
                came.push(event);
                if look.contains(&came.len())
                    && let Err(wrong) = self.compare()
                {
                    return Some(format!("after {} of {total} events: {wrong}", came.len()));
                }
            }
            if rng.chance(10)
                && let Some(again) = rng.one(&came).cloned()
                && !matches!(again, Event::Entry(_))
            {
                self.take(&again);
            }
        }
    }

    /// The answers, if they are those of the naive evaluator.
    fn compare(&mut self) -> Result<Answers, Difference> {
        let right = evaluate(&self.held, None);
        let answers = self.evaluator.answers(&right);
        match difference(&E::comparable(right), &answers) {
            None => Ok(answers),
            Some(wrong) => Err(wrong),
        }
    }

    /// What there is to come, by what must keep its order; each backwards.
    fn queues(&self, history: &History) -> Vec<Vec<Event>> {
        let mut queues = Vec::new();
        for log in &history.logs {
            let chosen = self.choice.get(&log.id).copied().unwrap_or(0);
            let mut on_branch = BTreeSet::new();
            let mut entries = Vec::new();
            for (seq, item) in log.branches[chosen].iter().enumerate() {
                on_branch.insert(item.id);
                let item = Rc::clone(item);
                entries.push(Event::Entry(Placed { log: log.id, seq: seq as u64, item }));
            }
            entries.reverse();
            queues.push(entries);
            let mut loose = BTreeMap::new();
            for branch in &log.branches {
                for (seq, item) in branch.iter().enumerate() {
                    let travels = item.statement.as_ref().is_some_and(travels_loose);
                    if travels && !on_branch.contains(&item.id) {
                        let item = Rc::clone(item);
                        loose.insert(item.id, Placed { log: log.id, seq: seq as u64, item });
                    }
                }
            }
            queues.extend(loose.into_values().map(|placed| vec![Event::Loose(placed)]));
            if let Some(fork) = log.fork() {
                // A later proof as well, which changes nothing.
                queues.push(vec![Event::Fork(log.id, fork)]);
                queues.push(vec![Event::Fork(log.id, fork + 1)]);
            }
        }
        queues
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::Entry(placed) => {
                if placed.item.statement.is_some() {
                    self.held.insert(&placed.log, placed.seq, &placed.item);
                }
                self.held.branches.entry(placed.log).or_default().push(placed.item.id);
                self.evaluator.entry(placed);
            }
            Event::Loose(placed) => {
                self.held.insert(&placed.log, placed.seq, &placed.item);
                self.evaluator.loose(placed);
            }
            Event::Fork(log, seq) => {
                let lowest = self.held.forks.entry(*log).or_insert(*seq);
                *lowest = (*seq).min(*lowest);
                self.evaluator.fork(log, *seq);
            }
        }
    }

    /// Beyond a fork a replica holds the branch that marks lead to, as the network fetches it: up to
    /// the mark, or more of it; where none does, all replicas take the first here.
    fn settle(&mut self, history: &History, rng: &mut Rng) {
        for _ in 0..SWITCHES_MAX {
            let (_, leads) = evaluate_with_leads(&self.held, None);
            let mut changed = false;
            for log in &history.logs {
                let Some(mark) = leads.get(&log.id) else { continue };
                let held = self.held.at(&log.id, mark.count - 1) == Some(mark.head);
                let to = log.branch_with(mark.count - 1, mark.head).filter(|_| !held);
                if let Some(to) = to {
                    let branch = &log.branches[to];
                    // What a log of statements says further on counts wherever it says it.
                    let all = log.id.class == Class::Authority || rng.chance(50);
                    let end = if all { branch.len() } else { mark.count as usize };
                    self.switch(&log.id, &branch[..end]);
                    changed = true;
                }
            }
            if !changed {
                return;
            }
        }
    }

    fn switch(&mut self, log: &LogId, branch: &[Rc<Item>]) {
        self.held.branches.insert(*log, branch.iter().map(|item| item.id).collect());
        for (seq, item) in branch.iter().enumerate() {
            if item.statement.is_some() {
                self.held.insert(log, seq as u64, item);
            }
        }
        self.evaluator.switch(log, branch);
    }
}

/// What peers that hold everything must agree on, whatever branch of an unresolved fork they hold
/// beyond it: all but the epochs that were stated there, and records that began there.
fn settled_alike(history: &History, mut answers: Answers) -> Answers {
    let forked: BTreeSet<_> = history
        .logs
        .iter()
        .filter(|log| log.fork().is_some())
        .map(|log| log.id.compartment)
        .collect();
    for (id, area) in &mut answers.areas {
        if forked.contains(id) {
            area.epochs.clear();
            area.current.clear();
            area.records.clear();
            area.destroyed.clear();
            area.authors.clear();
            area.logs.values_mut().for_each(|(_, reason)| *reason = None);
        }
    }
    answers
}

/// The first difference between the right answers and others.
pub(crate) fn difference(right: &Answers, other: &Answers) -> Option<Difference> {
    if right == other {
        return None;
    }
    let mut said = Vec::new();
    say(&mut said, "members", &right.members, &other.members);
    say(&mut said, "seats", &right.seats, &other.seats);
    say(&mut said, "acts", &right.acts, &other.acts);
    for (id, area) in &right.areas {
        let Some(others) = other.areas.get(id) else {
            said.push(format!("area {} is missing", id.short()));
            continue;
        };
        let of = |what: &str| format!("{what} in {}", id.short());
        for (device, right) in &area.devices {
            if others.devices.get(device) != Some(right) {
                let other = others.devices.get(device);
                said.push(format!("device {}: {right:?} or {other:?}", device.short()));
            }
        }
        say(&mut said, &of("devices"), &area.devices, &others.devices);
        say(&mut said, &of("closures"), &area.closures, &others.closures);
        for (log, right) in &area.logs {
            if others.logs.get(log) != Some(right) {
                said.push(format!("{log:?}: {right:?} or {:?}", others.logs.get(log)));
            }
        }
        say(&mut said, &of("branches chosen"), &area.chosen, &others.chosen);
        say(&mut said, &of("statements"), &area.statements, &others.statements);
        for (record, right) in &area.records {
            if others.records.get(record) != Some(right) {
                let other = others.records.get(record);
                said.push(format!("record {}: {right:?} or {other:?}", record.short()));
            }
        }
        say(&mut said, &of("what is destroyed"), &area.destroyed, &others.destroyed);
        say(&mut said, &of("authors"), &area.authors, &others.authors);
        say(&mut said, &of("readers"), &area.readers, &others.readers);
        say(&mut said, &of("epochs"), &area.epochs, &others.epochs);
        say(&mut said, &of("current epochs"), &area.current, &others.current);
    }
    said.truncate(6);
    Some(said.join("\n  "))
}

fn say<T: PartialEq + std::fmt::Debug>(said: &mut Vec<String>, what: &str, right: &T, other: &T) {
    if right != other {
        said.push(format!("{what}: {right:?} or {other:?}"));
    }
}

/// The naive evaluator as one under test: with a bug it must be caught, without it never.
pub(crate) struct NaiveReplica<const BUG: usize>(Held);

/// The number of no bug.
pub(crate) const NO_BUG: usize = usize::MAX;

impl<const BUG: usize> Evaluator for NaiveReplica<BUG> {
    fn new(history: &History) -> Self {
        Self(Held::nothing(history))
    }

    fn entry(&mut self, placed: &Placed) {
        if placed.item.statement.is_some() {
            self.0.insert(&placed.log, placed.seq, &placed.item);
        }
        self.0.branches.entry(placed.log).or_default().push(placed.item.id);
    }

    fn loose(&mut self, placed: &Placed) {
        self.0.insert(&placed.log, placed.seq, &placed.item);
    }

    fn fork(&mut self, log: &LogId, seq: u64) {
        let lowest = self.0.forks.entry(*log).or_insert(seq);
        *lowest = seq.min(*lowest);
    }

    fn switch(&mut self, log: &LogId, branch: &[Rc<Item>]) {
        self.0.branches.insert(*log, branch.iter().map(|item| item.id).collect());
        for (seq, item) in branch.iter().enumerate() {
            if item.statement.is_some() {
                self.0.insert(log, seq as u64, item);
            }
        }
    }

    fn answers(&mut self, _: &Answers) -> Answers {
        evaluate(&self.0, Bug::ALL.get(BUG).copied())
    }
}
