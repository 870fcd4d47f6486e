//! §4: closures, and what opens a standing again.

use super::support::{
    LIFE, Part, Whole, World, agency, device, member, replace_root, root, root_key,
};
use crate::authority::{Cause, StatementVerdict};
use crate::id::{Class, Incarnation, LogId, StatementId};
use crate::statement::{Act, Marks, Reopening, Right, RootAct, Statement};

/// A device of agency 1 that wrote three entries.
fn writer() -> (World, LogId) {
    let mut world = World::new();
    world.grant((1, 0), Whole, (1, 4), Right::Write);
    for _ in 0..3 {
        world.write((1, 4));
    }
    let log = world.record_log((1, 4));
    assert_eq!(world.counting(log), 3);
    (world, log)
}

#[test]
fn a_desk_revokes_the_devices_of_its_agency_and_keeps_what_it_names() {
    let (mut world, log) = writer();
    let keep = world.marks(log, 2);
    let id = world.revoke((1, 0), Whole, (1, 4), keep);
    assert_eq!((world.right((1, 4)), world.right_here((1, 4))), (None, None));
    assert_eq!(world.counting(log), 2);
    let cause = world.compartment.quarantine(&log, 2, &world.held);
    assert_eq!(cause, Some(Cause::Closed(id.into())));
}

#[test]
fn a_log_without_a_mark_keeps_nothing() {
    let (mut world, log) = writer();
    world.revoke((1, 0), Whole, (1, 4), Marks::NONE);
    assert_eq!(world.counting(log), 0);
}

#[test]
fn of_several_keeps_the_common_minimum_counts() {
    let (mut world, log) = writer();
    for count in [3, 1, 2] {
        let keep = world.marks(log, count);
        world.revoke((1, 0), Whole, (1, 4), keep);
    }
    assert_eq!(world.counting(log), 1);
}

#[test]
fn a_revocation_in_a_compartment_ends_there() {
    let (mut world, log) = writer();
    world.revoke((1, 0), Part, (1, 4), Marks::NONE);
    assert_eq!(world.right((1, 4)), Some(Right::Write));
    assert_eq!(world.right_here((1, 4)), None);
    assert_eq!(world.counting(log), 0);
}

#[test]
fn who_is_not_above_a_device_revokes_nothing() {
    let (mut world, log) = writer();
    world.grant((1, 0), Whole, (1, 5), Right::Admin);
    for by in [(2, 0), (1, 5), (0, 1)] {
        let id = world.revoke(by, Whole, (1, 4), Marks::NONE);
        assert_eq!(world.verdict(id), StatementVerdict::NotAbove, "{by:?}");
    }
    assert_eq!(world.counting(log), 3);
    // Nor does a desk close another; a root does, or an act.
    world.certify(1, (1, 1));
    let id = world.revoke((1, 1), Whole, (1, 0), Marks::NONE);
    assert_eq!(world.verdict(id), StatementVerdict::NotAbove);
}

#[test]
fn who_alone_let_a_device_in_is_above_it() {
    let (mut world, _) = writer();
    world.grant((1, 0), Whole, (1, 5), Right::Admit);
    world.grant((1, 5), Whole, (1, 6), Right::Write);
    world.revoke((1, 5), Whole, (1, 6), Marks::NONE);
    assert_eq!(world.right((1, 6)), None);
}

#[test]
fn everybody_revokes_himself() {
    let (mut world, _) = writer();
    world.revoke((1, 0), Whole, (1, 0), Marks::NONE);
    assert_eq!(world.right((1, 0)), None);
}

#[test]
fn narrowing_counts_anywhere() {
    // A desk that is closed, in a log that is forked before its word.
    let (mut world, log) = writer();
    let id = world.revoke((1, 0), Whole, (1, 4), Marks::NONE);
    world.root_act(1, Act::Revoke { device: device((1, 0)), keep: Marks::NONE });
    let authority = world.log((1, 0), Whole, Class::Authority);
    world.fork(authority, 2);
    assert_eq!(world.verdict(id), StatementVerdict::Counts);
    assert_eq!(world.counting(log), 0);
    assert!(world.coalition.closures().iter().any(|closure| closure.id == id.into()));
}

#[test]
fn mutual_revocations_both_hold() {
    let retire = |no| Act::Retire { agency: agency(no), keep: Marks::NONE };
    for order in [[(1, 2), (2, 1)], [(2, 1), (1, 2)]] {
        let (mut world, log) = writer();
        for (by, target) in order {
            world.propose((by, 0), retire(target));
        }
        assert_eq!((world.right((1, 0)), world.right((2, 0))), (None, None));
        assert_eq!(world.counting(log), 0);
    }
}

#[test]
fn retire_wins_over_admit() {
    let admit = Act::Admit { member: member(3, 3), cites: Vec::new() };
    let retire = Act::Retire { agency: agency(3), keep: Marks::NONE };
    for order in [[&admit, &retire], [&retire, &admit]] {
        let mut world = World::new();
        world.certify(3, (3, 0));
        order.into_iter().for_each(|act| {
            world.act(act.clone());
        });
        assert!(world.coalition.is_retired(agency(3)));
        assert_eq!(world.right((3, 0)), None);
    }
}

#[test]
fn a_root_closes_devices_of_its_own_agency() {
    let (mut world, _) = writer();
    world.root_act(2, Act::Revoke { device: device((1, 0)), keep: Marks::NONE });
    assert_eq!(world.right((1, 0)), Some(Right::Admin));
    world.root_act(1, Act::Revoke { device: device((1, 0)), keep: Marks::NONE });
    assert_eq!(world.right((1, 0)), None);
}

#[test]
fn retirement_closes_all_devices_of_an_agency() {
    let (mut world, log) = writer();
    // What the desk granted counts only if its log is kept as well.
    let mut keep = vec![world.mark(log, 3)];
    world.act(Act::Retire { agency: agency(1), keep: Marks::Inline(keep.clone()) });
    assert_eq!(world.counting(log), 0);
    let (mut world, _) = writer();
    keep.push(world.mark(world.log((1, 0), Whole, Class::Authority), 2));
    keep.sort_unstable();
    world.act(Act::Retire { agency: agency(1), keep: Marks::Inline(keep) });
    assert_eq!((world.right((1, 0)), world.right((1, 4))), (None, None));
    assert_eq!(world.counting(log), 3);
    assert!(world.coalition.is_retired(agency(1)));
    assert_eq!(world.right((2, 0)), Some(Right::Admin));
}

#[test]
fn a_replaced_root_takes_with_it_what_stands_behind_it_alone() {
    let (mut world, _) = writer();
    world.certify(1, (1, 1));
    world.certify(33, (1, 1));
    world.act(replace_root(1, &[1], 33, Marks::NONE));
    assert_eq!((world.right((1, 0)), world.right((1, 4))), (None, None));
    assert_eq!(world.right((1, 1)), Some(Right::Admin));
}

#[test]
fn a_root_that_replaced_another_is_replaced_in_turn() {
    let (mut world, _) = writer();
    world.certify(33, (1, 1));
    world.act(replace_root(1, &[1], 33, Marks::NONE));
    world.certify(34, (1, 2));
    world.act(replace_root(1, &[1, 33], 34, Marks::NONE));
    assert_eq!((world.right((1, 1)), world.right((1, 2))), (None, Some(Right::Admin)));
    let seat = &world.coalition.seats()[&agency(1)];
    assert_eq!(seat.standing().collect::<Vec<_>>(), [&root_key(34)]);
    // None of the old roots comes back by being given again.
    world.act(replace_root(1, &[34], 1, Marks::NONE));
    assert_eq!(world.coalition.seats()[&agency(1)].standing().count(), 0);
}

#[test]
fn who_stands_behind_two_roots_ends_when_both_are_replaced() {
    let (mut world, _) = writer();
    world.certify(33, (1, 1));
    world.certify(1, (1, 1));
    world.act(replace_root(1, &[1], 33, Marks::NONE));
    assert_eq!(world.right((1, 1)), Some(Right::Admin));
    world.act(replace_root(1, &[33], 34, Marks::NONE));
    assert_eq!(world.right((1, 1)), Some(Right::Admin), "the first act named another root");
    world.act(replace_root(1, &[1, 33], 34, Marks::NONE));
    assert_eq!(world.right((1, 1)), None);
}

#[test]
fn a_citation_opens_one_life_again_and_leaves_the_others_closed() {
    let (mut world, log) = writer();
    let closed: StatementId = world.revoke((1, 0), Whole, (1, 4), Marks::NONE).into();
    world.reopen((1, 0), (1, 4), vec![closed], Incarnation(2));
    assert_eq!(world.right((1, 4)), Some(Right::Write));
    assert_eq!(world.counting(log), 0);
    let fresh = LogId { incarnation: Incarnation(2), ..log };
    world.append(fresh);
    assert_eq!(world.counting(fresh), 1);
    // A closure that is not cited closes every life.
    world.revoke((1, 0), Whole, (1, 4), Marks::NONE);
    assert_eq!(world.counting(fresh), 0);
}

#[test]
fn a_citation_reaches_no_higher_than_its_author() {
    let (mut world, _) = writer();
    let by_root = world.root_act(1, Act::Revoke { device: device((1, 4)), keep: Marks::NONE });
    world.reopen((1, 0), (1, 4), vec![by_root], Incarnation(2));
    assert_eq!(world.right((1, 4)), None);
    // Who is no desk of the agency opens nothing.
    let (mut world, _) = writer();
    world.grant((1, 0), Whole, (1, 5), Right::Admin);
    let closed: StatementId = world.revoke((1, 0), Whole, (1, 4), Marks::NONE).into();
    world.reopen((1, 5), (1, 4), vec![closed], Incarnation(2));
    assert_eq!(world.right((1, 4)), None);
}

#[test]
fn a_root_opens_its_desk_again() {
    let (mut world, _) = writer();
    let closed = world.root_act(1, Act::Revoke { device: device((1, 0)), keep: Marks::NONE });
    let reopening = Reopening { incarnation: Incarnation(2), cites: vec![closed] };
    world.certify_again(2, (1, 0), Some(reopening.clone()));
    assert_eq!(world.right((1, 0)), None);
    world.certify_again(1, (1, 0), Some(reopening));
    assert_eq!(world.right((1, 0)), Some(Right::Admin));
}

#[test]
fn what_an_act_closed_opens_when_an_admission_cites_it() {
    let mut world = World::new();
    world.act(Act::Admit { member: member(7, 7), cites: Vec::new() });
    world.certify(7, (7, 0));
    let retired = world.act(Act::Retire { agency: agency(7), keep: Marks::NONE });
    let reopening = Reopening { incarnation: Incarnation(2), cites: vec![retired] };
    world.certify_again(7, (7, 0), Some(reopening));
    assert_eq!(world.right((7, 0)), None);
    world.act(Act::Admit { member: member(7, 7), cites: vec![retired] });
    assert_eq!(world.right((7, 0)), Some(Right::Admin));
    assert!(!world.coalition.is_retired(agency(7)));
    assert_eq!(world.counting(world.log((7, 0), Whole, Class::Authority)), 0, "{LIFE:?} is closed");
}

/// The act has one name, whoever signs it; a copy counts by its own root.
#[test]
fn a_foreign_roots_copy_of_an_act_does_not_count_beside_the_right_one() {
    let (mut world, log) = writer();
    let act = || Act::Revoke { device: device((1, 4)), keep: Marks::NONE };
    let copy = |world: &mut World, no: u8| {
        let signed = RootAct::sign(&root(no), &world.coalition.id(), act()).unwrap();
        world.say((1, 0), Whole, Statement::RootAct(signed))
    };
    let foreign = copy(&mut world, 2);
    assert_eq!(world.verdict(foreign), StatementVerdict::NotAbove);
    assert_eq!(world.counting(log), 3);
    let right = copy(&mut world, 1);
    assert_eq!(world.verdict(right), StatementVerdict::Counts);
    assert_eq!(world.verdict(foreign), StatementVerdict::NotAbove);
    assert_eq!(world.counting(log), 0);
}
