//! §5: adoption.

use std::collections::BTreeSet;

use super::support::{Part, Whole, World, device};
use crate::authority::{Adoption, StatementVerdict};
use crate::id::{Class, LogId, StatementId};
use crate::statement::{Act, Marks, Right, Statement};

/// A device of agency 1 that wrote two entries, and of which nothing is kept.
fn closed_by(close: impl FnOnce(&mut World)) -> (World, LogId) {
    let mut world = World::new();
    world.grant((1, 0), Whole, (1, 4), Right::Write);
    world.write((1, 4));
    world.write((1, 4));
    close(&mut world);
    let log = world.record_log((1, 4));
    assert_eq!(world.counting(log), 0);
    (world, log)
}

fn by_desk(world: &mut World) {
    world.revoke((1, 0), Whole, (1, 4), Marks::NONE);
}

fn by_root(world: &mut World) {
    world.root_act(1, Act::Revoke { device: device((1, 4)), keep: Marks::NONE });
}

fn by_act(world: &mut World) {
    world.act(Act::Revoke { device: device((1, 4)), keep: Marks::NONE });
}

#[test]
fn an_adopt_lets_count_what_it_names() {
    let (mut world, log) = closed_by(by_desk);
    let marks = world.marks(log, 1);
    world.say((1, 0), Whole, Statement::Adopt { marks });
    assert_eq!(world.counting(log), 1);
    assert_eq!(world.right((1, 4)), None, "it opens no standing");
}

#[test]
fn what_an_adopted_entry_counts_by_is_named() {
    let adopts: [fn(&mut World, Marks) -> StatementId; 3] = [
        |world, marks| world.say((1, 0), Part, Statement::Adopt { marks }).into(),
        |world, marks| world.root_act(1, Act::Adopt { marks }),
        |world, marks| world.act(Act::Adopt { marks }),
    ];
    for adopt in adopts {
        let (mut world, log) = closed_by(by_desk);
        let adoption = |world: &World, seq| world.compartment.adoption(&world.coalition, &log, seq);
        let closed = adoption(&world, 0).unwrap().closed;
        assert_eq!(closed.len(), 1);
        // The word of another agency's desk adopts nothing here.
        let marks = world.marks(log, 1);
        world.say((2, 0), Part, Statement::Adopt { marks: marks.clone() });
        assert_eq!(adoption(&world, 0).unwrap().adopted, BTreeSet::new());
        let id = adopt(&mut world, marks);
        assert_eq!(world.counting(log), 1);
        let expected = Adoption { closed: closed.clone(), adopted: BTreeSet::from([id]) };
        assert_eq!(adoption(&world, 0), Some(expected));
        assert_eq!(adoption(&world, 1), Some(Adoption { closed, adopted: BTreeSet::new() }));
        let own = world.record_log((1, 0));
        assert_eq!(world.compartment.adoption(&world.coalition, &own, 0), None);
    }
}

#[test]
fn adopt_never_reaches_above_its_signer() {
    let adopts: [fn(&mut World, Marks); 3] = [
        |world, marks| {
            world.say((1, 0), Whole, Statement::Adopt { marks });
        },
        |world, marks| {
            world.root_act(1, Act::Adopt { marks });
        },
        |world, marks| {
            world.act(Act::Adopt { marks });
        },
    ];
    let closures: [fn(&mut World); 3] = [by_desk, by_root, by_act];
    for (rank, adopt) in adopts.iter().enumerate() {
        for (above, close) in closures.iter().enumerate() {
            let (mut world, log) = closed_by(close);
            let marks = world.marks(log, 2);
            adopt(&mut world, marks);
            let counts = if above <= rank { 2 } else { 0 };
            assert_eq!(world.counting(log), counts, "rank {rank} over {above}");
        }
    }
}

#[test]
fn a_desk_adopts_for_its_own_agency_and_others_not_at_all() {
    let (mut world, log) = closed_by(by_desk);
    world.grant((1, 0), Whole, (1, 5), Right::Admin);
    let marks = world.marks(log, 2);
    world.say((2, 0), Whole, Statement::Adopt { marks: marks.clone() });
    world.root_act(2, Act::Adopt { marks: marks.clone() });
    let id = world.say((1, 5), Whole, Statement::Adopt { marks });
    assert_eq!(world.verdict(id), StatementVerdict::NoStanding);
    assert_eq!(world.counting(log), 0);
}

#[test]
fn an_adopt_in_a_compartment_overrides_a_closure_of_the_coalition_there() {
    let (mut world, log) = closed_by(by_desk);
    let marks = world.marks(log, 2);
    world.say((1, 0), Part, Statement::Adopt { marks });
    assert_eq!(world.counting(log), 2);
}

#[test]
fn logs_of_statements_are_adopted_by_acts_alone() {
    let mut world = World::new();
    world.grant((1, 0), Whole, (1, 4), Right::Admit);
    world.grant((1, 4), Whole, (1, 5), Right::Write);
    world.revoke((1, 0), Whole, (1, 4), Marks::NONE);
    let log = world.log((1, 4), Whole, Class::Authority);
    let marks = world.marks(log, 1);
    world.say((1, 0), Whole, Statement::Adopt { marks: marks.clone() });
    world.root_act(1, Act::Adopt { marks: marks.clone() });
    assert_eq!(world.right((1, 5)), None);
    world.act(Act::Adopt { marks });
    assert_eq!(world.right((1, 5)), Some(Right::Write));
}

#[test]
fn a_replaced_root_adopts_nothing() {
    let (mut world, log) = closed_by(by_desk);
    let desks = world.marks(world.log((1, 0), Whole, Class::Authority), 3);
    let act = super::support::replace_root(1, &[1], 33, desks);
    world.certify(33, (1, 1));
    world.certify(33, (1, 0));
    world.act(act);
    let marks = world.marks(log, 2);
    world.root_act(1, Act::Adopt { marks: marks.clone() });
    assert_eq!(world.counting(log), 0);
    world.root_act(33, Act::Adopt { marks });
    assert_eq!(world.counting(log), 2);
}
