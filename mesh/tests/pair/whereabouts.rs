//! Whereabouts: each member comes to know where all others say that they are, and nobody else.

use tearline_crdt::store::{Batch, Space};
use tearline_mesh::Event;
use tearline_mesh::invitation::Invited;
use tearline_mesh::replica::Whereabouts;
use tearline_mesh::wire::Frame;
use tearline_mesh::{Input, PeerFault};

use crate::world::{World, keys};

fn announce(world: &mut World, peer: usize, address: &str) {
    let now = world.now();
    world.peers[peer].replica.announce(now, &[address.to_owned()]).unwrap();
    world.drain(peer);
    world.run_for(MINUTE_MS);
}

/// Of each device so often a card is kept.
const MINUTE_MS: u64 = 60_000;

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

/// What a device signs that is set up as peer `peer` is, at each of these addresses in turn, a minute apart.
fn signed(peer: u8, addresses: &[&str]) -> Vec<Vec<u8>> {
    let mut world = World::new(3);
    world.coalition();
    (1..3).for_each(|peer| world.meet(peer, 0));
    let mut cards = Vec::new();
    for address in addresses {
        world.wait(MINUTE_MS);
        announce(&mut world, usize::from(peer), address);
        let mut said = world.peers[usize::from(peer)].replica.whereabouts();
        cards.push(said.find(|card| card.addresses == [*address]).unwrap().encode());
    }
    cards
}

/// The whereabouts that a peer said since its list was cleared.
fn said(world: &World, peer: usize) -> Vec<usize> {
    let frames = world.peers[peer].sent.iter().map(|bytes| Frame::decode(bytes).unwrap());
    let cards = |frame| match frame {
        Frame::Whereabouts { cards, .. } => Some(cards.len()),
        _ => None,
    };
    frames.filter_map(cards).filter(|cards| *cards > 0).collect()
}

#[test]
fn of_a_device_that_signs_without_end_one_card_a_minute_is_kept_and_said_on() {
    let addresses: Vec<String> = (0..10).map(|n| format!("/{n}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let flood = signed(1, &addresses);
    let mut world = World::new(3);
    world.coalition();
    let link = world.connect(1, 0);
    world.connect(2, 0);
    world.settle();
    world.peers[0].sent.clear();
    for card in &flood {
        let frame = Frame::Whereabouts { known: [0; 8], cards: vec![card.clone()] };
        world.input(0, Input::Frame { link, bytes: frame.encode() });
        world.settle();
    }
    assert_eq!(known(&world, 0), ["/0"]);
    // To the other, and to who claims to hold something else, once.
    assert_eq!(said(&world, 0), [1, 1]);
    // The latest of the rest has its turn, and those between never had.
    world.run_for(2 * MINUTE_MS);
    assert_eq!((known(&world, 0), known(&world, 2)), (vec!["/9".to_owned()], vec!["/9".into()]));
    let heard = Event::Whereabouts(keys(2).id());
    assert_eq!(world.peers[0].count(|event| *event == heard), 2);
    // Who goes on pays.
    let later = signed(1, &["/x"; 1]);
    let frame = Frame::Whereabouts { known: [0; 8], cards: later };
    for _ in 0..100_000 {
        world.input(0, Input::Frame { link, bytes: frame.encode() });
        if !world.peers[0].closed.is_empty() {
            break;
        }
    }
    assert_eq!(world.peers[0].closed, [(link, Some(PeerFault::Endless))]);
}

#[test]
fn what_a_frame_brings_is_said_on_in_one() {
    let cards = [signed(1, &["/1"]), signed(2, &["/2"])].concat();
    let mut world = World::new(4);
    world.coalition();
    (1..4).for_each(|peer| world.meet(peer, 0));
    let link = world.connect(1, 0);
    world.connect(3, 0);
    world.settle();
    world.peers[0].sent.clear();
    let frame = Frame::Whereabouts { known: [0; 8], cards };
    world.input(0, Input::Frame { link, bytes: frame.encode() });
    world.settle();
    assert_eq!(said(&world, 0), [2, 2]);
    assert_eq!(known(&world, 3), ["/1", "/2"]);
}

#[test]
fn a_restored_device_counts_on_from_its_latest_card_that_others_hold() {
    let mut world = World::new(2);
    world.coalition();
    world.meet(1, 0);
    // Its clock was ahead when it signed, and is right now.
    world.clock_error_ms = 365 * 24 * 3_600_000;
    announce(&mut world, 1, "/before");
    world.meet(1, 0);
    world.clock_error_ms = 0;
    let device = world.peers[1].replica.device();
    let mut batch = Batch::default();
    batch.remove(Space::Meta, [&b"whereabouts/"[..], &device.0].concat());
    world.peers[1].replica.put(batch).unwrap();
    world.drain(1);
    world.settle();
    world.crash(1);
    announce(&mut world, 1, "/after");
    world.connect(1, 0);
    world.settle();
    world.run_for(2 * MINUTE_MS);
    assert_eq!(
        (known(&world, 0), known(&world, 1)),
        (vec!["/after".to_owned()], vec!["/after".into()])
    );
}
