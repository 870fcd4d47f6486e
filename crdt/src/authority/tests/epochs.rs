//! §9: epochs.

use super::support::{Part, Whole, World, device};
use crate::authority::{Refusal, StatementVerdict, Unclean};
use crate::id::{EpochId, Incarnation};
use crate::statement::{Act, Caveats, Marks, Right, Statement};

fn current(world: &World) -> Option<EpochId> {
    world.compartment.current_epoch(|_| true)
}

#[test]
fn epoch_choice() {
    let mut world = World::new();
    let readers = [(1, 0), (2, 0)];
    let first = world.epoch((1, 0), &[], &readers);
    assert_eq!(current(&world), Some(first));
    // The deepest, then the greatest, of those that one can open.
    let deeper = [world.epoch((1, 0), &[first], &readers), world.epoch((2, 0), &[first], &readers)];
    assert_eq!(current(&world), deeper.into_iter().max());
    assert_eq!(world.compartment.current_epoch(|id| *id == first), Some(first));
    let joined = world.epoch(
        (1, 0),
        &{
            let mut both = deeper;
            both.sort();
            both
        },
        &readers,
    );
    assert_eq!(current(&world), Some(joined));
    // One that an act retired is written under no more.
    world.act(Act::RetireEpoch { epoch: joined });
    assert_eq!(current(&world), deeper.into_iter().max());
}

#[test]
fn a_removed_reader_opens_no_later_epoch() {
    let mut world = World::new();
    world.grant((1, 0), Whole, (1, 4), Right::Read);
    let with = world.epoch((1, 0), &[], &[(1, 0), (1, 4)]);
    assert_eq!(current(&world), Some(with));
    world.revoke((1, 0), Whole, (1, 4), Marks::NONE);
    assert!(world.compartment.epochs()[&with].unclean.is_some());
    assert_eq!(current(&world), None, "nobody writes under what it can read");
    let without = world.epoch((1, 0), &[with], &[(1, 0)]);
    assert_eq!(current(&world), Some(without));
    // Somebody who seals for it all the same makes the epoch one that nobody uses.
    world.seal((2, 0), without, &[(1, 4)]);
    assert_eq!(current(&world), None);
}

#[test]
fn a_relay_opens_nothing() {
    let mut world = World::new();
    world.grant((1, 0), Whole, (1, 4), Right::Relay);
    assert!(!world.compartment.readers().any(|(id, _)| *id == device((1, 4))));
    let epoch = world.epoch((1, 0), &[], &[(1, 0), (1, 4)]);
    assert!(world.compartment.epochs()[&epoch].unclean.is_some());
    assert_eq!(current(&world), None);
}

#[test]
fn an_epoch_counts_if_its_author_may_write() {
    let mut world = World::new();
    world.grant((1, 0), Whole, (1, 4), Right::Read);
    let epoch = world.epoch((1, 4), &[], &[(1, 4)]);
    assert_eq!(current(&world), None);
    // It is known all the same: what was sealed under it is opened.
    assert!(world.compartment.epochs().contains_key(&epoch));
    world.grant((1, 0), Part, (1, 4), Right::Write);
    assert_eq!(current(&world), Some(epoch));
}

#[test]
fn an_epoch_is_known_when_its_parents_are() {
    let mut world = World::new();
    let first = world.epoch((1, 0), &[], &[(1, 0)]);
    let second = world.epoch((1, 0), &[first], &[(1, 0)]);
    let statement = |id| world.compartment.epochs()[&id].statement.clone();
    let (parent, child) = (statement(first), statement(second));
    let mut late = World::new();
    late.say((1, 0), Part, Statement::Epoch(child));
    assert!(late.compartment.epochs().is_empty());
    late.say((1, 0), Part, Statement::Epoch(parent));
    assert_eq!(late.compartment.epochs().len(), 2);
}

#[test]
fn what_was_there_before_a_reader_is_closed_to_it() {
    let mut world = World::new();
    let (desk, unit, late) = ((1, 0), (1, 4), (1, 5));
    world.grant(desk, Whole, unit, Right::Write);
    let first = world.epoch(desk, &[], &[desk, unit]);
    world.grant(desk, Whole, late, Right::Write);
    let closed = |world: &World, epoch: &EpochId| {
        [desk, unit, late].map(|who| world.compartment.is_closed_to(epoch, &device(who)))
    };
    assert_eq!(closed(&world, &first), [false, false, true]);
    let second = world.epoch(unit, &[first], &[desk, unit, late]);
    assert_eq!(closed(&world, &second), [false; 3]);
    assert_eq!(world.compartment.closed_beside(&second), [first].into());
    assert_eq!(world.compartment.closed_beside(&first), [].into(), "whose readers read both");
    // What the maker of an epoch sealed does not count any more once his log does not.
    world.revoke(desk, Whole, unit, Marks::NONE);
    assert_eq!(closed(&world, &second), [false, true, true]);
}

#[test]
fn history_is_given_by_any_route_that_reads() {
    let mut world = World::new();
    let first = world.epoch((1, 0), &[], &[(1, 0)]);
    let history = |right, history| (right, Caveats { history, ..Caveats::default() });
    for (n, given, reads) in [
        (4, vec![history(Right::Read, true)], true),
        (5, vec![history(Right::Relay, true), history(Right::Write, false)], false),
        (6, vec![history(Right::Write, false), history(Right::Read, true)], true),
    ] {
        for (right, caveats) in given {
            world.grant_with((1, 0), Whole, (1, n), right, caveats);
        }
        assert_eq!(world.compartment.reads_history(&device((1, n))), reads, "{n}");
        assert_eq!(world.compartment.is_closed_to(&first, &device((1, n))), !reads, "{n}");
    }
}

#[test]
fn only_boxes_that_somebody_answers_for_need_not_be_sealed_again() {
    let mut world = World::new();
    let (desk, other, unit, reader) = ((1, 0), (2, 0), (2, 4), (1, 4));
    world.grant(other, Whole, unit, Right::Write);
    world.grant(desk, Whole, reader, Right::Read);
    let epoch = world.epoch(desk, &[], &[desk, other]);
    let is_sealed =
        |world: &World, asks| world.compartment.is_sealed(&epoch, &device(reader), &device(asks));
    world.seal(unit, epoch, &[reader]);
    assert!(is_sealed(&world, unit) && !is_sealed(&world, desk) && !is_sealed(&world, other));
    world.seal(other, epoch, &[reader]);
    assert!(!is_sealed(&world, desk), "a desk of another agency may have sealed nothing");
    world.seal(desk, epoch, &[reader]);
    assert!(is_sealed(&world, desk) && is_sealed(&world, unit));
}

#[test]
fn an_epoch_is_clean_if_its_maker_has_a_box_of_it() {
    let mut world = World::new();
    let used = world.epoch((1, 0), &[], &[(1, 0), (2, 0)]);
    let bare = world.epoch((2, 0), &[used], &[]);
    assert_eq!(world.compartment.epochs()[&bare].unclean, Some(Unclean::Unsealed));
    assert_eq!(current(&world), Some(used), "whoever made nothing that opens stops nobody");
    // Another's word for it helps if that one has a box.
    let statement = world.compartment.epochs()[&bare].statement.clone();
    world.seal((1, 0), bare, &[(1, 0)]);
    assert_eq!(current(&world), Some(used));
    world.say((1, 0), Part, Statement::Epoch(statement));
    assert_eq!(current(&world), Some(bare));
}

#[test]
fn who_spoils_an_epoch_is_named() {
    let mut world = World::new();
    let epoch = world.epoch((1, 0), &[], &[(1, 0), (2, 0)]);
    world.seal((2, 0), epoch, &[(0, 9)]);
    assert_eq!(current(&world), None);
    let spoiled = Unclean::Spoiled { by: device((2, 0)), to: device((0, 9)) };
    assert_eq!(world.compartment.epochs()[&epoch].unclean, Some(spoiled));
    let refused = world.compartment.refused(&world.coalition);
    let blamed: Vec<_> = refused.values().collect();
    assert_eq!(blamed, [&(device((2, 0)), Refusal::SealedToStranger)]);
    for id in world.compartment.statements().map(|(place, _)| place.id) {
        assert_eq!(world.verdict(id), StatementVerdict::Unclean(spoiled));
    }
}

#[test]
fn who_is_removed_spoils_no_epoch() {
    let mut world = World::new();
    world.grant((1, 0), Whole, (1, 4), Right::Write);
    let with = world.epoch((1, 0), &[], &[(1, 0), (1, 4)]);
    let revoked = world.revoke((1, 0), Whole, (1, 4), Marks::NONE);
    let without = world.epoch((1, 0), &[with], &[(1, 0)]);
    world.seal((1, 4), without, &[(0, 9)]);
    assert_eq!(current(&world), Some(without));
    // Once he reads again, he may have been given what he seals.
    world.reopen((1, 0), (1, 4), vec![revoked.into()], Incarnation(2));
    assert_eq!(current(&world), Some(with));
}

#[test]
fn a_compartment_keeps_its_first_name_when_nothing_counts_that_its_opener_said() {
    let mut world = World::new();
    let name = |world: &World| world.compartment.description(|_| true);
    let epoch = world.epoch((1, 0), &[], &[(1, 0), (2, 0)]);
    let describe = |world: &mut World, who| world.say(who, Part, Statement::Describe { epoch });
    let first = describe(&mut world, (1, 0));
    let second = describe(&mut world, (1, 0));
    assert_eq!(name(&world), Some(second));
    world.root_act(1, Act::Revoke { device: device((1, 0)), keep: Marks::NONE });
    assert_eq!(name(&world), Some(first));
    describe(&mut world, (1, 0));
    assert_eq!(name(&world), Some(first), "who is removed renames nothing");
    let by_another = describe(&mut world, (2, 0));
    assert_eq!(name(&world), Some(by_another));
}

#[test]
fn a_compartment_is_called_what_its_opener_said_last_else_what_counts_deepest() {
    let mut world = World::new();
    let name = |world: &World| world.compartment.description(|_| true);
    world.grant((1, 0), Whole, (1, 4), Right::Write);
    let first = world.epoch((1, 0), &[], &[(1, 0), (1, 4), (2, 0)]);
    let deep = world.epoch((1, 0), &[first], &[(1, 0), (1, 4), (2, 0)]);
    let describe =
        |world: &mut World, who, epoch| world.say(who, Part, Statement::Describe { epoch });
    assert_eq!(name(&world), None);
    let others: Vec<_> = (0..3).map(|_| describe(&mut world, (2, 0), first)).collect();
    assert_eq!(name(&world), others.iter().max().copied());
    let deeper = describe(&mut world, (1, 4), deep);
    assert_eq!(name(&world), Some(deeper));
    assert_eq!(world.compartment.description(|id| *id != deeper), others.iter().max().copied());
    world.revoke((1, 0), Whole, (1, 4), Marks::NONE);
    describe(&mut world, (1, 4), deep);
    assert_eq!(name(&world), others.iter().max().copied(), "who is removed renames nothing");
    // The opener's last, though another's is of a deeper epoch.
    describe(&mut world, (1, 0), first);
    let last = describe(&mut world, (1, 0), first);
    describe(&mut world, (2, 0), deep);
    assert_eq!(name(&world), Some(last));
}
