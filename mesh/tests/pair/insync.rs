//! Who says that two peers are in sync, and when.

use tearline_crdt::id::{Class, CompartmentId};
use tearline_mesh::wire::Frame;
use tearline_mesh::{Link, PeerFault};

use crate::forger::{link_as, shared};
use crate::world::{World, keys};

fn in_sync(world: &World, peer: usize) -> bool {
    world.peers[peer].replica.peers().iter().any(|state| state.in_sync)
}

/// How many entries of all logs of a compartment are durable at a peer.
fn durable(world: &World, peer: usize, id: CompartmentId) -> u64 {
    let replica = &world.peers[peer].replica;
    let area = &replica.areas()[&id];
    let logs = replica.logbook().logs_of(id).map(|(log, _)| log);
    logs.map(|log| area.frontier.head(&tearline_crdt::frontier::LogKey::of(log)).next).sum()
}

/// A link is run to its end; at every moment who says that it is in sync is.
fn runs_honestly(world: &mut World, all: CompartmentId, dialer: usize, what: &str) {
    let link = world.connect(dialer, 1 - dialer);
    loop {
        let equal = durable(world, 0, all) == durable(world, 1, all);
        for peer in 0..2 {
            assert!(equal || !in_sync(world, peer), "{peer} after {what}, dialed by {dialer}");
        }
        if !world.step() {
            break;
        }
    }
    assert!(world.digests_equal(0, 1), "{what}");
    assert!(in_sync(world, 0) && in_sync(world, 1), "never said after {what}");
    world.cut(link);
}

#[test]
fn nobody_says_in_sync_while_anything_is_missing() {
    for dialer in [0, 1] {
        let (mut world, all) = shared(2);
        for class in [Class::Priority, Class::Routine] {
            for n in 0..40 {
                let name = format!("{n} {}", "long ".repeat(60));
                world.write(0, all, class, &[&name]);
                world.settle();
            }
        }
        runs_honestly(&mut world, all, dialer, "a long absence, remembered");
        for _ in 0..40 {
            let name = "long ".repeat(60);
            world.write(0, all, Class::Routine, &[&name]);
            world.write(1, all, Class::Immediate, &[&name]);
            world.settle();
        }
        // Nothing is remembered of each other, so that they compare.
        world.crash(0);
        world.crash(1);
        runs_honestly(&mut world, all, dialer, "comparing");
    }
}

#[test]
fn an_answer_to_nothing_is_out_of_turn() {
    let (mut world, _) = shared(2);
    link_as(&mut world, 0, 2, Link(900));
    world.inject(0, Link(900), Frame::Same.encode());
    assert_eq!(world.peers[0].fault_of(keys(2).id()), Some(PeerFault::OutOfTurn("same")));
}
