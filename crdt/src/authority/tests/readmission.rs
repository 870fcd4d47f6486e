//! §3: what a device has that comes back.

use super::support::{Area, LIFE, Part, Who, Whole, World, agency, delegating, device};
use crate::authority::{Cause, Refusal, StatementVerdict, Uncovered};
use crate::id::{Class, EntryId, Incarnation, LogId};
use crate::statement::{Act, Audience, Caveats, Marks, Reopening, Right, Statement};

/// The device that comes back, and the life in which it does.
const UNIT: Who = (1, 4);
const BACK: Incarnation = Incarnation(2);

/// A device that writes in all of its agency's compartments and in one by a grant of its own, until it
/// is revoked; three entries are kept. The closure, and its logs of its first life and of the other.
fn revoked(right: Right) -> (World, EntryId, [LogId; 2]) {
    let mut world = World::new();
    world.grant((1, 0), Whole, UNIT, right);
    world.grant((2, 0), Part, UNIT, Right::Write);
    for _ in 0..3 {
        world.write(UNIT);
    }
    let log = world.record_log(UNIT);
    let authority = world.log(UNIT, Whole, Class::Authority);
    let mut keep = vec![world.mark(log, 3)];
    for _ in 0..3 {
        world.append(authority);
    }
    keep.push(world.mark(authority, 3));
    keep.sort_unstable();
    let closed = world.revoke((1, 0), Whole, UNIT, Marks::Inline(keep));
    let back = LogId { incarnation: BACK, ..log };
    world.append(back);
    world.judge();
    assert_eq!((world.counting(log), world.counting(back)), (3, 0));
    (world, closed, [log, back])
}

fn readmit(world: &mut World, area: Area, right: Right, closed: EntryId) -> EntryId {
    let reopening = Reopening { incarnation: BACK, cites: vec![closed.into()] };
    world.readmit((1, 0), area, UNIT, right, reopening)
}

/// The device says something in the life in which it is back.
fn say_back(world: &mut World, to: Who, right: Right) -> EntryId {
    let log = LogId { incarnation: BACK, ..world.log(UNIT, Whole, Class::Authority) };
    let place = world.append(log);
    let card = super::support::card(to, (to.0, 0));
    let audience = Audience::Device { agency: agency(to.0), card };
    let caveats = delegating();
    let grant = Statement::Grant { audience, right, caveats, reopening: None };
    world.take(Whole, place, grant, None).expect("it is sound by itself");
    place.id
}

#[test]
fn a_readmission_closes_the_old_routes() {
    let (mut world, closed, [log, back]) = revoked(Right::Admin);
    let grant = readmit(&mut world, Whole, Right::Read, closed);
    assert_eq!(world.verdict(grant), StatementVerdict::Counts);
    assert_eq!((world.right(UNIT), world.right_here(UNIT)), (Some(Right::Read), Some(Right::Read)));
    assert!(world.compartment.is_reader(&device(UNIT)));
    assert_eq!(world.counting(back), 0);
    let cause = world.compartment.quarantine(&back, 0, &world.held);
    assert_eq!(cause, Some(Cause::Readmitted(grant.into())));
    assert_eq!(world.counting(log), 3, "what was kept of the other life stays");
}

#[test]
fn a_readmission_with_the_old_right_gives_it_back() {
    let (mut world, closed, [log, back]) = revoked(Right::Write);
    readmit(&mut world, Whole, Right::Write, closed);
    assert_eq!(world.right(UNIT), Some(Right::Write));
    assert_eq!((world.counting(log), world.counting(back)), (3, 1));
}

#[test]
fn what_is_granted_later_names_a_readmitted_incarnation_or_does_not_reach_it() {
    let (mut world, closed, [_, back]) = revoked(Right::Write);
    readmit(&mut world, Whole, Right::Read, closed);
    for area in [Whole, Part] {
        world.grant((1, 0), area, UNIT, Right::Write);
    }
    let audience = Audience::Agency(agency(1));
    let caveats = Caveats::default();
    let to_all = Statement::Grant { audience, right: Right::Write, caveats, reopening: None };
    world.say((2, 0), Part, to_all);
    assert_eq!((world.right_here(UNIT), world.counting(back)), (Some(Right::Read), 0));
    readmit(&mut world, Part, Right::Write, closed);
    assert_eq!((world.right_here(UNIT), world.counting(back)), (Some(Right::Write), 1));
    assert_eq!(world.right(UNIT), Some(Right::Read), "in that compartment alone");
}

#[test]
fn a_readmission_in_a_compartment_closes_the_old_routes_there() {
    let mut world = World::new();
    world.grant((1, 0), Whole, UNIT, Right::Write);
    let closed = world.revoke((1, 0), Part, UNIT, Marks::NONE);
    let back = LogId { incarnation: BACK, ..world.record_log(UNIT) };
    world.append(back);
    readmit(&mut world, Part, Right::Read, closed);
    assert_eq!((world.right_here(UNIT), world.counting(back)), (Some(Right::Read), 0));
    assert_eq!(world.coalition.right_in(&device(UNIT), BACK), Some(Right::Write));
}

#[test]
fn who_could_not_close_a_device_readmits_nothing() {
    let mut world = World::new();
    world.grant((1, 0), Whole, UNIT, Right::Admit);
    world.grant((1, 0), Whole, (1, 5), Right::Admin);
    world.write(UNIT);
    let log = world.record_log(UNIT);
    let reopening = || Reopening { incarnation: LIFE, cites: vec![EntryId([9; 32]).into()] };
    for by in [(2, 0), (1, 5), UNIT, (0, 1)] {
        for area in [Whole, Part] {
            world.readmit(by, area, UNIT, Right::Read, reopening());
            assert_eq!(world.counting(log), 1, "{by:?} in {area:?}");
        }
    }
    // Nor does a desk narrow another; its own agency's narrows a device that it could revoke.
    world.certify(1, (1, 1));
    world.readmit((1, 1), Whole, (1, 0), Right::Read, reopening());
    assert_eq!(world.coalition.right_in(&device((1, 0)), LIFE), Some(Right::Admin));
    world.readmit((1, 1), Whole, UNIT, Right::Read, reopening());
    assert_eq!(world.counting(log), 0);
}

#[test]
fn a_readmission_takes_nothing_from_other_incarnations() {
    let mut world = World::new();
    world.grant((1, 0), Whole, UNIT, Right::Write);
    let logs = [LIFE, BACK, Incarnation(3)];
    let logs = logs.map(|incarnation| LogId { incarnation, ..world.record_log(UNIT) });
    logs.into_iter().for_each(|log| {
        world.append(log);
    });
    world.judge();
    readmit(&mut world, Whole, Right::Read, EntryId([9; 32]));
    assert_eq!(logs.map(|log| world.counting(log)), [1, 0, 1]);
    assert_eq!(world.right(UNIT), Some(Right::Write));
}

#[test]
fn what_a_readmitted_device_grants_hangs_on_its_own_routes() {
    let (mut world, closed, _) = revoked(Right::Admit);
    readmit(&mut world, Whole, Right::Read, closed);
    let grant = say_back(&mut world, (1, 6), Right::Write);
    let refused = StatementVerdict::Uncovered(Uncovered::MayNotGrant);
    assert_eq!((world.verdict(grant), world.right((1, 6))), (refused, None));
    readmit(&mut world, Whole, Right::Admit, closed);
    assert_eq!(world.verdict(grant), StatementVerdict::Counts);
    assert_eq!(world.right((1, 6)), Some(Right::Write));
}

#[test]
fn what_the_revoked_incarnation_granted_stays_as_its_closure_keeps_it() {
    let mut world = World::new();
    world.grant((1, 0), Whole, UNIT, Right::Admit);
    world.grant(UNIT, Whole, (1, 6), Right::Write);
    let keep = world.marks(world.log(UNIT, Whole, Class::Authority), 1);
    let closed = world.revoke((1, 0), Whole, UNIT, keep);
    assert_eq!(world.right((1, 6)), Some(Right::Write));
    readmit(&mut world, Whole, Right::Read, closed);
    assert_eq!(world.right((1, 6)), Some(Right::Write));
}

/// Else a device that is to be lost would write down, for a life to come, what it has now.
#[test]
fn only_a_desk_names_an_incarnation() {
    let mut world = World::new();
    world.grant((1, 0), Whole, UNIT, Right::Admin);
    let reopening = Reopening { incarnation: BACK, cites: vec![EntryId([9; 32]).into()] };
    let planted = world.readmit(UNIT, Whole, UNIT, Right::Admin, reopening);
    assert_eq!(world.verdict(planted), StatementVerdict::NoDesk);
    let refused = world.coalition.refused();
    assert_eq!(refused.get(&planted), Some(&(device(UNIT), Refusal::NoRight)));
    let keep = world.marks(world.log(UNIT, Whole, Class::Authority), 1);
    let closed = world.revoke((1, 0), Whole, UNIT, keep);
    readmit(&mut world, Whole, Right::Read, closed);
    assert_eq!(world.right(UNIT), Some(Right::Read));
}

#[test]
fn who_readmitted_and_is_closed_gives_no_old_route_back() {
    let mut world = World::new();
    world.certify(1, (1, 1));
    world.grant((1, 1), Whole, UNIT, Right::Write);
    let back = LogId { incarnation: BACK, ..world.record_log(UNIT) };
    world.append(back);
    let keep = world.marks(back, 1);
    let closed = world.revoke((1, 1), Whole, UNIT, keep);
    assert_eq!(world.counting(back), 1);
    // The other desk lets it read in that life, and is found out.
    readmit(&mut world, Whole, Right::Read, closed);
    assert_eq!((world.right(UNIT), world.counting(back)), (Some(Right::Read), 0));
    world.root_act(1, Act::Revoke { device: device((1, 0)), keep: Marks::NONE });
    assert_eq!((world.right(UNIT), world.counting(back)), (None, 0));
}

#[test]
fn a_desk_comes_back_as_a_desk() {
    let mut world = World::new();
    let act = Act::Revoke { device: device((1, 0)), keep: Marks::NONE };
    let closed = world.root_act(1, act);
    let reopening = Reopening { incarnation: BACK, cites: vec![closed] };
    world.certify_again(1, (1, 0), Some(reopening));
    assert_eq!(world.coalition.right_in(&device((1, 0)), BACK), Some(Right::Admin));
    assert_eq!(world.coalition.right_in(&device((1, 0)), LIFE), None);
}
