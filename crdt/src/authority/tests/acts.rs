//! §2: acts of the whole.

use super::support::{Whole, World, agency, device, member, replace_root};
use crate::authority::StatementVerdict;
use crate::statement::{Act, Marks, Right, Statement};

fn revoke(who: super::support::Who) -> Act {
    Act::Revoke { device: device(who), keep: Marks::NONE }
}

#[test]
fn an_act_needs_as_many_founders_as_the_quorum() {
    let mut world = World::of(3, 2);
    let proposed = revoke((3, 0));
    let id = world.propose((1, 0), proposed);
    assert!(!world.coalition.proposals()[&id].in_force);
    // The same founder again, by another desk, is still one.
    world.certify(1, (1, 1));
    let second = world.say((1, 1), Whole, Statement::Approve { act: id });
    let waits = StatementVerdict::Waits { approved: 1, needed: 2 };
    assert_eq!(world.verdict(second), waits);
    assert_eq!(world.right((3, 0)), Some(Right::Admin));
    world.say((2, 0), Whole, Statement::Approve { act: id });
    assert!(world.coalition.proposals()[&id].in_force);
    assert_eq!(world.right((3, 0)), None);
}

#[test]
fn who_is_no_founders_desk_approves_nothing() {
    let mut world = World::of(2, 2);
    world.grant((2, 0), Whole, (2, 5), Right::Admin);
    let id = world.propose((1, 0), revoke((2, 0)));
    world.say((2, 5), Whole, Statement::Approve { act: id });
    world.say((0, 0), Whole, Statement::Approve { act: id });
    assert!(!world.coalition.proposals()[&id].in_force);
}

#[test]
fn a_widening_act_waits_for_approvals_at_places_that_count() {
    let mut world = World::of(3, 2);
    world.root_act(2, revoke((2, 0)));
    let id = world.propose((1, 0), Act::Admit { member: member(7, 7), cites: Vec::new() });
    world.say((2, 0), Whole, Statement::Approve { act: id });
    assert!(world.coalition.member(agency(7)).is_none());
    world.say((3, 0), Whole, Statement::Approve { act: id });
    assert!(world.coalition.member(agency(7)).is_some());
}

#[test]
fn a_narrowing_act_takes_approvals_at_every_place() {
    let mut world = World::of(3, 2);
    world.root_act(2, revoke((2, 0)));
    let id = world.propose((1, 0), revoke((3, 0)));
    world.say((2, 0), Whole, Statement::Approve { act: id });
    assert_eq!(world.right((3, 0)), None);
}

#[test]
fn a_root_that_replaces_one_needs_approvals_that_count() {
    let mut world = World::of(3, 2);
    world.root_act(2, revoke((2, 0)));
    let act = replace_root(3, &[3], 33, Marks::NONE);
    let id = world.propose((1, 0), act);
    world.say((2, 0), Whole, Statement::Approve { act: id });
    // It closes what stands behind the old root, and gives no new one.
    assert_eq!(world.right((3, 0)), None);
    world.certify(33, (3, 1));
    assert_eq!(world.right((3, 1)), None);
    // What two founders approve at places that count gives it.
    world.say((3, 1), Whole, Statement::Approve { act: id });
    let mut world = World::of(3, 2);
    let act = replace_root(3, &[3], 33, Marks::NONE);
    world.act(act);
    world.certify(33, (3, 1));
    assert_eq!(world.right((3, 1)), Some(Right::Admin));
}

#[test]
fn the_number_tells_acts_of_equal_content_apart() {
    let coalition = World::new().coalition.id();
    assert_ne!(revoke((1, 0)).id(&coalition, 0), revoke((1, 0)).id(&coalition, 1));
}
