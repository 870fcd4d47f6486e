//! What is refused, and what comes again.

use super::support::{
    ELSEWHERE, Part, Who, Whole, World, agency, card, delegating, device, keys, root,
};
use crate::authority::{Place, StatementFault, StatementVerdict};
use crate::hash::sha256;
use crate::id::{Class, EpochId, Incarnation, LogId};
use crate::statement::{
    Act, Audience, DeskCertificate, EpochStatement, Marks, Right, RootAct, Statement,
};

/// A place in the log of somebody.
fn place(world: &mut World, who: Who, area: super::support::Area) -> Place {
    world.append(world.log(who, area, Class::Authority))
}

fn grant(to: Who) -> Statement {
    let audience = Audience::Device { agency: agency(to.0), card: card(to, (to.0, 0)) };
    Statement::Grant { audience, right: Right::Write, caveats: delegating(), reopening: None }
}

#[test]
fn what_is_not_signed_is_refused() {
    let mut world = World::new();
    let place = place(&mut world, (1, 0), Whole);
    let mut certificate = keys((1, 1), |keys| DeskCertificate::sign(&root(1), keys, None));
    certificate.signature = [0; 64];
    let refused = world.take(Whole, place, Statement::Desk(certificate), None);
    assert_eq!(refused, Err(StatementFault::Certificate));

    let mut unsigned = grant((1, 4));
    if let Statement::Grant { audience: Audience::Device { card, .. }, .. } = &mut unsigned {
        card.signature = [0; 64];
    }
    assert_eq!(world.take(Whole, place, unsigned.clone(), None), Err(StatementFault::Card));
    assert_eq!(world.take(Part, place, unsigned, None), Err(StatementFault::Card));

    let act = Act::Revoke { device: device((1, 0)), keep: Marks::NONE };
    let other = crate::id::CoalitionId([9; 32]);
    let act = RootAct::sign(&root(1), &other, act).unwrap();
    let refused = world.take(Whole, place, Statement::RootAct(act), None);
    assert_eq!(refused, Err(StatementFault::RootAct));
}

#[test]
fn what_has_no_place_in_a_log_is_refused() {
    let mut world = World::new();
    let place = place(&mut world, (1, 0), Whole);
    let genesis = place.id;
    let refused = world.take(Whole, place, Statement::Hold { genesis }, None);
    assert_eq!(refused, Err(StatementFault::Misplaced));
    let act = Act::Hold { genesis }.id(&world.coalition.id(), 0);
    let refused = world.take(Part, place, Statement::Approve { act }, None);
    assert_eq!(refused, Err(StatementFault::Misplaced));
}

#[test]
fn boxes_that_are_not_those_named_are_refused() {
    let mut world = World::new();
    let place = place(&mut world, (1, 0), Part);
    let seal = Statement::Seal { epoch: EpochId([1; 32]), boxes_root: [2; 32] };
    let none = crate::epoch::encode_boxes(&[]);
    for payload in [None, Some(&b"no boxes"[..]), Some(&[][..])] {
        assert_eq!(world.take(Part, place, seal.clone(), payload), Err(StatementFault::Boxes));
    }
    assert_eq!(world.take(Part, place, seal, Some(&none)), Err(StatementFault::OtherBoxes));
}

#[test]
fn an_epoch_of_another_depth_is_refused() {
    let mut world = World::new();
    let place = place(&mut world, (1, 0), Part);
    let epoch = EpochStatement { parents: Vec::new(), depth: 2, commitment: [0; 32] };
    let refused = world.take(Part, place, Statement::Epoch(epoch), None);
    assert_eq!(refused, Err(StatementFault::Depth));
    assert!(world.compartment.epochs().is_empty());
}

/// Whose it is does not depend on which came first.
#[test]
fn an_epoch_of_another_depth_than_its_parents_is_refused_when_they_come() {
    let parent = EpochStatement { parents: Vec::new(), depth: 1, commitment: [0; 32] };
    let child = |world: &World| {
        let parents = vec![parent.id(&world.compartment.id())];
        Statement::Epoch(EpochStatement { parents, depth: 3, commitment: [1; 32] })
    };
    let mut late = World::new();
    let (first, second) = (place(&mut late, (1, 0), Part), place(&mut late, (1, 0), Part));
    let wrong = child(&late);
    assert_eq!(late.take(Part, second, wrong, None), Ok(true));
    assert!(late.compartment.take_misled().is_empty());
    assert_eq!(late.take(Part, first, Statement::Epoch(parent.clone()), None), Ok(true));
    assert_eq!(late.compartment.take_misled(), [device((1, 0))]);
    assert!(late.compartment.take_misled().is_empty());

    let mut world = World::new();
    let (first, second) = (place(&mut world, (1, 0), Part), place(&mut world, (1, 0), Part));
    assert_eq!(world.take(Part, first, Statement::Epoch(parent.clone()), None), Ok(true));
    let wrong = child(&world);
    assert_eq!(world.take(Part, second, wrong, None), Err(StatementFault::Depth));
    let held = |world: &World| {
        world.compartment.statements().map(|(place, _)| place.id).collect::<Vec<_>>()
    };
    assert_eq!(held(&late), held(&world));
    assert_eq!(late.compartment.epochs(), world.compartment.epochs());
}

#[test]
fn strangers_say_what_they_like_and_nothing_follows() {
    let mut world = World::new();
    let before = world.coalition.devices().clone();
    let granted = world.say((0, 1), Whole, grant((1, 4)));
    world.revoke((0, 1), Whole, (1, 0), Marks::NONE);
    world.propose((0, 1), Act::Retire { agency: agency(1), keep: Marks::NONE });
    world.say((0, 1), Part, grant((1, 4)));
    assert_eq!(world.verdict(granted), StatementVerdict::NoStanding);
    assert_eq!(*world.coalition.devices(), before);
    assert!(world.coalition.closures().is_empty());
    assert!(!world.coalition.admits(&device((0, 1)), None));
}

#[test]
fn a_stranger_comes_in_by_his_certificate_alone() {
    let world = World::new();
    let certificate =
        |n| keys((1, 7), |keys| Statement::Desk(DeskCertificate::sign(&root(n), keys, None)));
    let admits = |first: &Statement| world.coalition.admits(&device((1, 7)), Some(first));
    assert!(admits(&certificate(1)));
    assert!(!admits(&certificate(9)));
    assert!(!admits(&grant((1, 7))));
}

#[test]
fn a_replay_changes_nothing() {
    let mut world = World::new();
    world.grant((1, 0), Whole, (1, 4), Right::Write);
    let log = world.log((1, 0), Whole, Class::Authority);
    world.revoke((1, 0), Whole, (1, 4), Marks::NONE);
    assert_eq!(world.right((1, 4)), None);
    // The same entry again.
    let old =
        Place { log, seq: 1, id: crate::authority::Logs::id_at(&world.held, &log, 1).unwrap() };
    assert_eq!(world.take(Whole, old, grant((1, 4)), None), Ok(false));
    // The same statement in a new entry, and in a new life of the device that said it.
    world.grant((1, 0), Whole, (1, 4), Right::Write);
    let life = LogId { incarnation: Incarnation(2), ..log };
    let again = world.append(life);
    assert_eq!(world.take(Whole, again, grant((1, 4)), None), Ok(true));
    assert_eq!(world.right((1, 4)), None);
}

#[test]
fn a_statement_on_a_branch_that_is_not_held_does_not_count() {
    let mut world = World::new();
    let log = world.log((1, 0), Whole, Class::Authority);
    let id = crate::id::EntryId([5; 32]);
    for seq in [0, 9] {
        let elsewhere = Place { log, seq, id };
        world.take(Whole, elsewhere, grant((1, 4)), None).unwrap();
        assert_eq!(world.right((1, 4)), None);
    }
}

#[test]
fn statements_and_their_lists_come_in_either_order() {
    let mut world = World::new();
    world.grant((1, 0), Whole, (1, 4), Right::Write);
    world.write((1, 4));
    let log = world.record_log((1, 4));
    let mark = world.mark(log, 1);
    let mut body = Vec::new();
    crate::codec::Write::number(&mut body, 1);
    crate::codec::Write::raw(&mut body, &mark.log);
    crate::codec::Write::number(&mut body, mark.count);
    crate::codec::Write::raw(&mut body, &mark.head.0);
    let keep = Marks::Wide(sha256(&body));
    let revoke = Statement::Revoke { device: device((1, 4)), keep };
    let place = place(&mut world, (1, 0), Whole);
    assert_eq!(world.take(Whole, place, revoke.clone(), Some(b"another")), Ok(true));
    assert_eq!(world.counting(log), 0, "what is not named is not kept");
    assert_eq!(world.take(Whole, place, revoke.clone(), Some(&body)), Ok(true));
    assert_eq!(world.counting(log), 1);
    assert_eq!(world.take(Whole, place, revoke, None), Ok(false));
    assert_eq!(world.counting(log), 1);
}

#[test]
fn a_log_of_another_area_is_not_of_this_one() {
    let mut world = World::new();
    world.grant((1, 0), Whole, (1, 4), Right::Write);
    let log = LogId { compartment: ELSEWHERE, ..world.record_log((1, 4)) };
    world.append(log);
    let keep = world.marks(log, 1);
    world.revoke((1, 0), Whole, (1, 4), keep);
    world.write((1, 4));
    assert_eq!(world.counting(world.record_log((1, 4))), 0, "the keep names another log");
}
