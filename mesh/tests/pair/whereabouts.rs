//! Whereabouts: each member comes to know where all others say that they are, and nobody else.

use tearline_mesh::Event;
use tearline_mesh::invitation::Invited;
use tearline_mesh::replica::Whereabouts;

use crate::world::{World, keys};

fn announce(world: &mut World, peer: usize, address: &str) {
    let now = world.now();
    world.peers[peer].replica.announce(now, &[address.to_owned()]).unwrap();
    world.drain(peer);
    world.settle();
}

fn known(world: &World, peer: usize) -> Vec<String> {
    let all = world.peers[peer].replica.whereabouts();
    let mut all: Vec<String> = all.flat_map(|card: &Whereabouts| card.addresses.clone()).collect();
    all.sort();
    all
}

#[test]
fn members_learn_of_each_other_over_a_third_and_say_nothing_twice() {
    let mut world = World::new(3);
    world.coalition();
    (1..3).for_each(|peer| world.meet(peer, 0));
    for peer in 0..3 {
        announce(&mut world, peer, &format!("/{peer}"));
    }
    world.meet(1, 0);
    world.meet(2, 0);
    world.meet(1, 0);
    let all = ["/0", "/1", "/2"];
    assert!((0..3).all(|peer| known(&world, peer) == all));
    let heard = Event::Whereabouts(keys(3).id());
    assert_eq!(world.peers[1].count(|event| *event == heard), 1);
    // What both know is not said again, and is there after a start.
    (0..3).for_each(|_| world.meet(1, 0));
    world.peers.iter_mut().for_each(|peer| peer.sent.clear());
    world.meet(1, 0);
    let sent: usize = world.peers.iter().flat_map(|peer| &peer.sent).map(Vec::len).sum();
    assert!(sent <= 40, "{sent}");
    world.crash(1);
    assert_eq!(known(&world, 1), all);
    // Who moves says so to whoever is linked, and the later word counts.
    world.connect(1, 0);
    world.connect(2, 0);
    world.settle();
    announce(&mut world, 2, "/elsewhere");
    assert!((0..3).all(|peer| known(&world, peer) == ["/0", "/1", "/elsewhere"]));
    assert!(world.peers.iter().all(|peer| peer.replica.faults().is_empty()));
}

#[test]
fn who_comes_in_is_known_to_all_that_are_linked() {
    let mut world = World::new(3);
    let late = world.peers.pop().unwrap();
    let coalition = world.coalition();
    world.connect(1, 0);
    world.settle();
    world.peers.push(late);
    announce(&mut world, 2, "/late");
    world.join(coalition, 2, Invited::Agency);
    world.settle();
    // The word of where it is may come before that it is in.
    assert_eq!(known(&world, 1), ["/late"]);
}
