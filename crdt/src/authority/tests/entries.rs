//! §6: which entries count.

use super::support::{Part, Whole, World, agency, delegating, device};
use crate::authority::{Author, Cause};
use crate::id::{Class, EntryId, Incarnation, LogId};
use crate::statement::{Act, Caveats, Mark, Marks, Reopening, Right, Statement};

/// A device of agency 1 whose log of three entries is forked at position 1.
fn forked() -> (World, LogId) {
    let mut world = World::new();
    world.grant((1, 0), Whole, (1, 4), Right::Write);
    for _ in 0..3 {
        world.write((1, 4));
    }
    let log = world.record_log((1, 4));
    world.fork(log, 1);
    (world, log)
}

#[test]
fn an_entry_needs_a_standing() {
    let mut world = World::new();
    world.grant((1, 0), Whole, (1, 4), Right::Read);
    for who in [(1, 4), (0, 1)] {
        world.write(who);
        let log = world.record_log(who);
        assert_eq!(world.counting(log), 0);
        assert_eq!(world.compartment.quarantine(&log, 0, &world.held), Some(Cause::Standing));
    }
    assert!(!world.compartment.admits(&world.record_log((1, 4))));
}

#[test]
fn an_entry_needs_the_class_of_its_log() {
    let mut world = World::new();
    let caveats = Caveats { classes: Some(1 << Class::Routine as u8), ..delegating() };
    world.grant_with((1, 0), Whole, (1, 4), Right::Write, caveats);
    let flash = world.log((1, 4), Part, Class::Flash);
    world.write((1, 4));
    world.append(flash);
    assert_eq!(world.counting(world.record_log((1, 4))), 1);
    assert_eq!(world.counting(flash), 0);
}

#[test]
fn beyond_a_fork_nothing_counts_by_itself() {
    let (world, log) = forked();
    assert_eq!(world.counting(log), 1);
    assert_eq!(world.compartment.quarantine(&log, 1, &world.held), Some(Cause::Fork));
}

#[test]
fn an_adopt_chooses_a_branch() {
    let (mut world, log) = forked();
    let marks = world.marks(log, 2);
    world.say((1, 0), Whole, Statement::Adopt { marks });
    assert_eq!(world.counting(log), 2);
}

#[test]
fn a_keep_chooses_a_branch_but_nobody_chooses_his_own() {
    let (mut world, log) = forked();
    let keep = world.marks(log, 3);
    world.revoke((1, 4), Whole, (1, 4), keep.clone());
    assert_eq!(world.counting(log), 1);
    world.revoke((1, 0), Whole, (1, 4), keep);
    assert_eq!(world.counting(log), 3);
}

#[test]
fn what_an_adopt_would_do_is_what_it_does() {
    let (mut world, log) = forked();
    world.root_act(1, Act::Revoke { device: device((1, 4)), keep: world.marks(log, 2) });
    let mark = world.mark(log, 3);
    let limit = |world: &World, by| world.compartment.if_adopted(&log, (by, &mark), &world.held);
    for (by, next) in [
        (Author::Desk(agency(1)), 2),
        (Author::Desk(agency(2)), 2),
        (Author::Root(agency(1)), 3),
        (Author::Whole, 3),
    ] {
        assert_eq!(limit(&world, by).next, next, "{by:?}");
    }
    world.say((1, 0), Whole, Statement::Adopt { marks: Marks::Inline(vec![mark]) });
    assert_eq!(world.counting(log), 2);
    world.root_act(1, Act::Adopt { marks: Marks::Inline(vec![mark]) });
    assert_eq!(world.counting(log), 3);
}

#[test]
fn adopts_of_different_branches_leave_what_is_before_the_fork() {
    let (mut world, log) = forked();
    let marks = world.marks(log, 3);
    world.say((1, 0), Whole, Statement::Adopt { marks });
    let mark = Mark { head: EntryId([7; 32]), ..world.mark(log, 3) };
    world.say((1, 0), Whole, Statement::Adopt { marks: Marks::Inline(vec![mark]) });
    assert_eq!(world.counting(log), 1);
}

#[test]
fn a_closure_that_does_not_apply_any_more_chooses_no_branch() {
    let (mut world, log) = forked();
    let keep = world.marks(log, 3);
    let first = world.revoke((1, 0), Whole, (1, 4), keep).into();
    assert_eq!(world.counting(log), 3);
    let other = Mark { head: EntryId([7; 32]), ..world.mark(log, 3) };
    let other = Marks::Inline(vec![other]);
    let second = world.revoke((1, 0), Whole, (1, 4), other).into();
    assert_eq!(world.counting(log), 1);
    // Both branches are kept by somebody; now that neither has to be, neither counts.
    world.reopen((1, 0), (1, 4), vec![first, second], log.incarnation);
    assert_eq!(world.counting(log), 1);
    let adopt = Statement::Adopt { marks: world.marks(log, 3) };
    world.say((1, 0), Whole, adopt);
    assert_eq!(world.counting(log), 3);
}

#[test]
fn who_is_overridden_chooses_no_branch() {
    let (mut world, log) = forked();
    let adopt = Statement::Adopt { marks: world.marks(log, 2) };
    world.say((1, 0), Whole, adopt);
    for head in [world.mark(log, 3).head, EntryId([7; 32])] {
        let mark = Mark { head, ..world.mark(log, 3) };
        world.revoke((1, 0), Whole, (1, 4), Marks::Inline(vec![mark]));
        assert_eq!(world.counting(log), 2, "as far as the adopt goes");
    }
}

#[test]
fn the_way_back_from_an_adopt_is_a_closure_of_who_said_it() {
    let (mut world, log) = forked();
    let keep = world.marks(log, 3);
    world.act(Act::Adopt { marks: keep });
    assert_eq!(world.counting(log), 3);
    // A stolen second desk names a branch that nobody has, and the whole's word does not help.
    world.certify(1, (1, 1));
    let said = world.log((1, 1), Whole, Class::Authority);
    let before = world.marks(said, 1);
    let other = Mark { head: EntryId([7; 32]), ..world.mark(log, 3) };
    world.say((1, 1), Whole, Statement::Adopt { marks: Marks::Inline(vec![other]) });
    assert_eq!(world.counting(log), 1);
    let cause = world.compartment.quarantine(&log, 1, &world.held);
    assert_eq!(cause, Some(Cause::Branch(other.head)));
    let mark = world.mark(log, 2);
    let again = world.compartment.if_adopted(&log, (Author::Whole, &mark), &world.held);
    assert_eq!(again.next, 1, "to adopt it again would not help");
    let closed = world.root_act(1, Act::Revoke { device: device((1, 1)), keep: before });
    assert_eq!(world.counting(log), 3);
    let reopening = Reopening { incarnation: Incarnation(2), cites: vec![closed] };
    world.certify_again(1, (1, 1), Some(reopening));
    assert_eq!(world.right((1, 1)), Some(Right::Admin));
    assert_eq!(world.counting(log), 3, "what it said in the life that is closed stays closed");
}

#[test]
fn a_mark_that_is_not_held_leads_nowhere_beyond_a_fork() {
    let (mut world, log) = forked();
    let mark = Mark { count: 9, head: EntryId([7; 32]), ..world.mark(log, 3) };
    world.say((1, 0), Whole, Statement::Adopt { marks: Marks::Inline(vec![mark]) });
    assert_eq!(world.counting(log), 1);
}

#[test]
fn statements_beyond_a_fork_never_count() {
    let mut world = World::new();
    world.grant((1, 0), Whole, (1, 4), Right::Admit);
    world.grant((1, 4), Whole, (1, 5), Right::Write);
    let log = world.log((1, 4), Whole, Class::Authority);
    world.fork(log, 0);
    let marks = world.marks(log, 1);
    world.act(Act::Adopt { marks });
    assert_eq!(world.right((1, 5)), None);
}

#[test]
fn a_new_closure_makes_nothing_count() {
    let (mut world, log) = forked();
    world.revoke((1, 0), Whole, (1, 4), Marks::NONE);
    for count in 1..=3 {
        let keep = world.marks(log, count);
        world.revoke((1, 0), Part, (1, 4), keep);
        assert_eq!(world.counting(log), 0);
    }
}

#[test]
fn what_is_quarantined_widens_nothing() {
    let mut world = World::new();
    world.grant((1, 0), Whole, (1, 4), Right::Admit);
    let log = world.log((1, 4), Whole, Class::Authority);
    world.grant((1, 4), Whole, (1, 5), Right::Write);
    world.grant((1, 4), Whole, (1, 6), Right::Write);
    let keep = world.marks(log, 1);
    world.revoke((1, 0), Whole, (1, 4), keep);
    assert_eq!(world.right((1, 5)), Some(Right::Write));
    assert_eq!(world.right((1, 6)), None);
    assert!(world.coalition.admits(&device((1, 6)), None), "what it wrote is kept, not shown");
}
