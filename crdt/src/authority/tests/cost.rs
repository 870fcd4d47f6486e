//! What hostile statements cost: each product of two numbers that their authors choose is tried, and
//! steps are counted, not time.

use std::cell::Cell;

use super::crowd::member;
use super::support::{Held, Part, Whole, World, agency, device};
use crate::authority::Logs;
use crate::bounds::ROUTES_PER_DEVICE_MAX;
use crate::hash::sha256;
use crate::id::{EntryId, EpochId, LogId};
use crate::statement::{Act, EpochStatement, Mark, Marks, Right, Statement};

/// Logs that count how often an entry is read.
struct Counting<'a> {
    held: &'a Held,
    reads: Cell<u64>,
}

impl Logs for Counting<'_> {
    fn held(&self, log: &LogId) -> u64 {
        self.held.held(log)
    }

    fn id_at(&self, log: &LogId, seq: u64) -> Option<EntryId> {
        self.reads.set(self.reads.get() + 1);
        self.held.id_at(log, seq)
    }

    fn forked_at(&self, log: &LogId) -> Option<u64> {
        self.held.forked_at(log)
    }

    fn proven_at(&self, log: &LogId) -> Option<u64> {
        self.held.proven_at(log)
    }
}

impl World {
    /// How many entries are read to draw all answers.
    fn reads(&mut self) -> u64 {
        let logs = Counting { held: &self.held, reads: Cell::new(0) };
        self.coalition.evaluate(&logs);
        self.compartment.evaluate(&self.coalition, &logs);
        logs.reads.get()
    }

    /// How many are read to tell how far a log counts.
    fn reads_of(&self, log: LogId) -> u64 {
        let logs = Counting { held: &self.held, reads: Cell::new(0) };
        let _ = self.compartment.limit(&log, &logs);
        logs.reads.get()
    }
}

#[test]
fn grants_to_an_agency_cost_what_there_are_of_them_and_of_its_devices() {
    for equal in [true, false] {
        let mut world = World::new();
        world.crowd(1_000);
        world.grant_agency(agency(1), 10_000, equal);
        world.judge();
        for n in 0..1_000 {
            let standing = world.compartment.live(&member(n)).unwrap();
            // The one that the coalition's grant gives, and those of the compartment.
            let given = if equal { 1 } else { ROUTES_PER_DEVICE_MAX };
            assert_eq!(standing.routes.len(), given);
        }
    }
}

#[test]
fn a_statement_is_looked_for_in_its_log_until_it_is_found() {
    let mut world = World::new();
    world.crowd(100);
    assert_eq!(world.reads(), 100);
    assert_eq!(world.reads(), 0, "it stays where it was found");
    world.grant_agency(agency(1), 10, false);
    assert_eq!(world.reads(), 10);
}

#[test]
fn a_forked_log_is_read_once_for_each_position_that_marks_name() {
    let mut world = World::new();
    world.grant((1, 0), Whole, (1, 4), Right::Write);
    let log = world.record_log((1, 4));
    for _ in 0..40 {
        world.write((1, 4));
    }
    world.fork(log, 10);
    let digest = log.digest();
    for n in 0..100 {
        // Beyond the fork, on no branch that is held.
        let head = EntryId(sha256(&[n]));
        let marks = Marks::Inline(vec![Mark { log: digest, count: 20, head }]);
        world.put(Part, Statement::Adopt { marks: marks.clone() });
        world.put(Part, Statement::Revoke { device: device((1, 4)), keep: marks });
    }
    world.judge();
    assert_eq!(world.counting(log), 10);
    assert_eq!(world.reads_of(log), 1, "100 closures and 100 adoptions");
}

#[test]
fn epochs_that_wait_are_looked_at_when_what_they_wait_for_comes() {
    let mut world = World::new();
    let commitment = |n: u64| sha256(&n.to_be_bytes());
    let first = EpochStatement { parents: vec![], depth: 1, commitment: commitment(0) };
    let mut last = first.id(&world.compartment.id());
    let mut chain = Vec::new();
    for n in 1..=2_000 {
        let parents = vec![last];
        let next = EpochStatement { parents, depth: n + 1, commitment: commitment(n) };
        last = next.id(&world.compartment.id());
        chain.push(next);
    }
    // The last first: each waits for the one before it alone.
    for epoch in chain.into_iter().rev() {
        world.insert(Statement::Epoch(epoch));
    }
    assert_eq!(world.compartment.waiting(&last), 0);
    assert_eq!(world.compartment.waiting(&first.id(&world.compartment.id())), 1);
    assert!(world.compartment.epochs().is_empty());
    world.insert(Statement::Epoch(first));
    assert_eq!(world.compartment.epochs().len(), 2_001);
    assert_eq!(world.compartment.waiting(&EpochId([0; 32])), 0);
}

#[test]
fn what_is_said_of_a_record_again_and_again_is_kept_once() {
    let mut world = World::new();
    let genesis = world.write((1, 0));
    let entries: Vec<EntryId> = (0..50).map(|_| world.write((1, 0))).collect();
    for _ in 0..100 {
        world.put(Part, Statement::EraseAlso { genesis, entries: entries.clone() });
    }
    for _ in 0..1_000 {
        world.put(Part, Statement::Recall { genesis });
    }
    world.judge();
    assert_eq!(world.compartment.kept(&entries[0], &genesis), (1, 1));
}

#[test]
fn a_revocation_by_another_device_draws_nothing_anew() {
    // Each device of the crowd revokes its neighbour, over whom it is not. That is told from what was
    // drawn once: whose grants are on all routes.
    let mut world = World::new();
    world.crowd(1_000);
    for n in 0..1_000 {
        let log =
            LogId { device: member(n), ..world.log((1, 0), Whole, crate::id::Class::Authority) };
        let keep = Marks::NONE;
        world.put_at(Whole, log, Statement::Revoke { device: member((n + 1) % 1_000), keep });
    }
    world.judge();
    assert!(world.coalition.closures().is_empty());
    let positive = &world.coalition.positive.devices;
    assert_eq!(positive.cut(&member(7)), [device((1, 0))].into());
    world.act(Act::Revoke { device: member(7), keep: Marks::NONE });
    assert_eq!(world.coalition.closures().len(), 1);
}
