//! Planted bugs: an evaluator that is wrong in a known way must be caught by the same comparison that
//! the real one passes. A test that cannot fail shows nothing.

use std::collections::BTreeSet;
use std::rc::Rc;

use tearline_crdt::id::LogId;
use tearline_crdt::statement::Statement;

use crate::answers::Answers;
use crate::bug::Bug;
use crate::deliver::{Evaluator, NO_BUG, NaiveReplica, converges, disagreement};
use crate::naive::evaluate;
use crate::world::{Held, History, Item, Placed};
use crate::{generate, histories};

/// The first seed whose history shows the bug.
fn caught<E: Evaluator>() -> Option<u64> {
    (0..histories()).find(|seed| disagreement::<E>(&generate::history(*seed)).is_some())
}

const fn number(bug: Bug) -> usize {
    let mut n = 0;
    while n < Bug::ALL.len() {
        if Bug::ALL[n] as usize == bug as usize {
            return n;
        }
        n += 1;
    }
    NO_BUG
}

#[test]
fn arrival_order_decides() {
    assert!(caught::<Hasty>().is_some());
}

#[test]
fn the_branch_seen_first_wins() {
    assert!(caught::<FirstBranch>().is_some());
}

#[test]
fn several_keeps_unite() {
    assert!(caught::<NaiveReplica<{ number(Bug::KeepsUnite) }>>().is_some());
}

#[test]
fn an_adopt_overrides_above_its_authors_rank() {
    assert!(caught::<NaiveReplica<{ number(Bug::NoRank) }>>().is_some());
}

#[test]
fn what_is_quarantined_widens() {
    assert!(caught::<NaiveReplica<{ number(Bug::QuarantinedWidens) }>>().is_some());
}

#[test]
fn the_old_routes_of_who_is_readmitted_return() {
    assert!(caught::<NaiveReplica<{ number(Bug::OldRoutesReturn) }>>().is_some());
}

#[test]
fn the_naive_evaluator_itself_is_not_caught() {
    converges::<NaiveReplica<NO_BUG>>();
}

/// Judges a grant when it comes, and never again: what its issuer may do only by a statement that
/// comes later is lost.
struct Hasty {
    right: NaiveReplica<NO_BUG>,
    held: Held,
    refused: BTreeSet<tearline_crdt::id::EntryId>,
}

impl Evaluator for Hasty {
    fn new(history: &History) -> Self {
        let refused = BTreeSet::new();
        Self { right: NaiveReplica::new(history), held: Held::nothing(history), refused }
    }

    fn entry(&mut self, placed: &Placed) {
        if let Some(Statement::Grant { .. }) = placed.item.statement {
            let known = evaluate(&self.held, None).areas;
            let known = known.get(&placed.log.compartment);
            let device = known.and_then(|area| area.devices.get(&placed.log.device));
            if device.is_none_or(|device| device.counting.is_empty()) {
                self.refused.insert(placed.item.id);
            }
        }
        let mut placed = placed.clone();
        if self.refused.contains(&placed.item.id) {
            placed.item = Rc::new(nothing(&placed.item));
        }
        self.right.entry(&placed);
        if placed.item.statement.is_some() {
            self.held.insert(&placed.log, placed.seq, &placed.item);
        }
        self.held.branches.entry(placed.log).or_default().push(placed.item.id);
    }

    fn loose(&mut self, placed: &Placed) {
        self.right.loose(placed);
        self.held.insert(&placed.log, placed.seq, &placed.item);
    }

    fn fork(&mut self, log: &LogId, seq: u64) {
        self.right.fork(log, seq);
    }

    fn switch(&mut self, log: &LogId, branch: &[Rc<Item>]) {
        self.right.switch(log, branch);
    }

    fn answers(&mut self, asked: &Answers) -> Answers {
        self.right.answers(asked)
    }
}

/// Believes the branch of a forked log that came first, and no proof.
struct FirstBranch(NaiveReplica<NO_BUG>);

impl Evaluator for FirstBranch {
    fn new(history: &History) -> Self {
        Self(NaiveReplica::new(history))
    }

    fn entry(&mut self, placed: &Placed) {
        self.0.entry(placed);
    }

    fn loose(&mut self, placed: &Placed) {
        self.0.loose(placed);
    }

    fn fork(&mut self, _: &LogId, _: u64) {}

    fn switch(&mut self, _: &LogId, _: &[Rc<Item>]) {}

    fn answers(&mut self, asked: &Answers) -> Answers {
        self.0.answers(asked)
    }
}

fn nothing(item: &Item) -> Item {
    Item {
        id: item.id,
        statement: Some(Statement::Unknown { kind: 99, bytes: Vec::new() }),
        payload: None,
        boxes: BTreeSet::new(),
    }
}
