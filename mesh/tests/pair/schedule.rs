//! Epochs that are old enough are followed by others.

use tearline_crdt::id::{Class, CompartmentId, EpochId};
use tearline_crdt::time::{MonoTime, Now, WallTime};
use tearline_mesh::Input;

use crate::world::World;

const DAY_MS: u64 = 86_400_000;
const PERIOD_MS: u64 = 40 * DAY_MS;
const MINUTE_MS: u64 = 60_000;

/// Desks of two agencies, in touch; the first opened a compartment of both.
fn stage() -> (World, CompartmentId) {
    let mut world = World::new(2);
    let coalition = world.coalition();
    world.connect(1, 0);
    world.settle();
    let shared = world.open(0, coalition, &[1, 2]);
    world.peers.iter_mut().for_each(|peer| peer.replica.rotate_after(Some(PERIOD_MS)));
    (world, shared)
}

fn tick(world: &mut World, peer: usize) {
    world.input(peer, Input::Tick);
    world.settle();
}

fn current(world: &World, peer: usize, shared: CompartmentId) -> EpochId {
    let replica = &world.peers[peer].replica;
    let compartment = replica.compartment(shared).unwrap();
    compartment.current_epoch(|epoch| replica.can_open(epoch)).unwrap()
}

#[test]
fn rotation_on_schedule() {
    let (mut world, shared) = stage();
    let first = current(&world, 0, shared);
    // Nobody wrote under it: it needs no successor.
    world.wait(PERIOD_MS);
    tick(&mut world, 0);
    assert_eq!(current(&world, 0, shared), first);
    assert!(!world.peers[0].replica.epoch_age(shared).unwrap().written);
    // Then somebody does. The opener's agency is the first whose turn it is.
    world.write(1, shared, Class::Routine, &["one"]);
    world.settle();
    assert_eq!(current(&world, 0, shared), first);
    world.wait(MINUTE_MS);
    tick(&mut world, 1);
    assert_eq!(current(&world, 1, shared), first);
    tick(&mut world, 0);
    let second = current(&world, 0, shared);
    assert_ne!(second, first);
    assert_eq!(current(&world, 1, shared), second);
    let age = world.peers[0].replica.epoch_age(shared).unwrap();
    assert_eq!((age.epoch, age.written), (second, false));
    assert_eq!(age.due, Some(WallTime(age.since.0 + PERIOD_MS)));

    // Where it does not, another agency's desk steps in, a quarter of the period later.
    world.write(0, shared, Class::Routine, &["two"]);
    world.settle();
    world.wait(PERIOD_MS + PERIOD_MS / 4 - DAY_MS);
    tick(&mut world, 1);
    assert_eq!(current(&world, 1, shared), second);
    world.wait(DAY_MS);
    tick(&mut world, 1);
    let third = current(&world, 1, shared);
    assert_ne!(third, second);
    assert_eq!(current(&world, 0, shared), third);
    tick(&mut world, 0);
    assert_eq!(current(&world, 0, shared), third);

    // Without a period, never.
    world.write(0, shared, Class::Routine, &["three"]);
    world.settle();
    world.peers.iter_mut().for_each(|peer| peer.replica.rotate_after(None));
    world.wait(10 * PERIOD_MS);
    tick(&mut world, 0);
    tick(&mut world, 1);
    assert_eq!(current(&world, 0, shared), third);
    assert_eq!(world.peers[0].replica.epoch_age(shared).unwrap().due, None);
}

#[test]
fn epochs_that_both_sides_of_a_partition_begin_become_one() {
    let mut world = World::new(2);
    let coalition = world.coalition();
    let shared = world.open(0, coalition, &[1, 2]);
    world.meet(1, 0);
    world.peers.iter_mut().for_each(|peer| peer.replica.rotate_after(Some(PERIOD_MS)));
    world.write(0, shared, Class::Routine, &["before"]);
    world.settle();
    world.meet(1, 0);
    let before = current(&world, 0, shared);
    world.wait(PERIOD_MS * 2);
    tick(&mut world, 0);
    tick(&mut world, 1);
    let (one, other) = (current(&world, 0, shared), current(&world, 1, shared));
    assert!(one != before && other != before && one != other);
    let apart = [
        world.write(0, shared, Class::Routine, &["here"])[0],
        world.write(1, shared, Class::Routine, &["there"])[0],
    ];
    world.settle();
    world.meet(1, 0);
    world.meet(1, 0);
    assert_eq!(current(&world, 0, shared), current(&world, 1, shared));
    for peer in 0..2 {
        assert!(apart.iter().all(|record| world.show(peer, *record).is_some()), "{peer}");
    }
    assert!(world.digests_equal(0, 1));
}

#[test]
fn a_clock_that_jumps_rotates_once_and_ages_outlast_a_restart() {
    let (mut world, shared) = stage();
    world.write(0, shared, Class::Routine, &["one"]);
    world.settle();
    let held = world.peers[0].replica.epoch_age(shared).unwrap();
    world.crash(0);
    world.peers[0].replica.rotate_after(Some(PERIOD_MS));
    assert_eq!(world.peers[0].replica.epoch_age(shared), Some(held));
    let real = world.now();
    let mut depths = Vec::new();
    let jumps = [u64::MAX, real.wall.0, 0, real.wall.0 + DAY_MS, real.wall.0 + 2 * DAY_MS];
    for (n, wall) in (1..).zip(jumps) {
        // Something is written under whatever epoch there is.
        let now = Now { mono: MonoTime(real.mono.0 + n * MINUTE_MS), wall: WallTime(wall) };
        let draft = crate::world::draft("more");
        let replica = &mut world.peers[0].replica;
        replica.write(now, shared, Class::Routine, vec![draft]).unwrap();
        replica.handle(now, Input::Tick).unwrap();
        world.drain(0);
        world.settle();
        let replica = &world.peers[0].replica;
        let epoch = current(&world, 0, shared);
        depths.push(replica.compartment(shared).unwrap().epochs()[&epoch].statement.depth);
        let age = replica.epoch_age(shared).unwrap();
        assert!(age.since.0 <= wall, "an epoch from the future: {age:?} at {wall}");
    }
    // At the end of time, which is past any age; after that, from 0 on, the longest way is 2 days.
    assert_eq!(depths[0], 2);
    let real_time = depths[3] - depths[2];
    assert!(real_time <= 1, "{depths:?}");
    assert_eq!(depths[1], 2, "{depths:?}");
    assert_eq!(depths[2], 2, "{depths:?}");
    assert_eq!(depths[4], depths[3], "{depths:?}");
}
