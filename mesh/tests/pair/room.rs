//! A disk that is nearly full: content waits with the peers, what takes content away goes on.

use tearline_crdt::id::Class;
use tearline_mesh::Input;
use tearline_mesh::replica::{ActError, Room, Word};

use crate::world::{World, draft};

#[test]
fn content_waits_with_its_sender_until_there_is_room_and_words_do_not_wait() {
    let mut world = World::new(2);
    let coalition = world.coalition();
    world.connect(1, 0);
    world.settle();
    let shared = world.open(0, coalition, &[1, 2]);
    let old = world.write(0, shared, Class::Routine, &["old"])[0];
    world.settle();
    assert!(world.show(1, old).is_some());

    world.input(1, Input::Room { room: Room::Statements });
    let new = world.write(0, shared, Class::Flash, &["new"])[0];
    world.settle();
    assert!(world.show(1, new).is_none());
    let state = |world: &World, peer: usize| world.peers[peer].replica.peers()[0].clone();
    assert!(state(&world, 1).refused && !state(&world, 0).in_sync);
    assert!(world.peers.iter().all(|peer| peer.closed.is_empty()), "nobody is to blame");
    let now = world.now();
    let written = world.peers[1].replica.write(now, shared, Class::Routine, vec![draft("own")]);
    assert!(matches!(written, Err(ActError::NoRoom)), "{written:?}");
    // An erasure reaches it, is obeyed, and is answered.
    let erase = Word::Erase { basis: "Article 17".into() };
    world.peers[0].replica.speak(now, old, &erase).unwrap();
    world.drain(0);
    world.settle();
    assert!(world.show(1, old).is_none());

    world.input(1, Input::Room { room: Room::Everything });
    world.settle();
    assert!(world.show(1, new).is_some(), "it was asked for");
    assert!(!state(&world, 1).refused && world.digests_equal(0, 1));
}

#[test]
fn a_peer_without_any_room_writes_nothing_and_catches_up_on_a_new_link() {
    let mut world = World::new(2);
    let coalition = world.coalition();
    world.connect(1, 0);
    world.settle();
    world.input(1, Input::Room { room: Room::Nothing });
    let flushes = |world: &World| world.peers[1].replica.store().flushes();
    let before = flushes(&world);
    let shared = world.open(0, coalition, &[1, 2]);
    let record = world.write(0, shared, Class::Routine, &["new"])[0];
    world.settle();
    world.input(1, Input::Tick);
    world.settle();
    assert_eq!(flushes(&world), before);
    let now = world.now();
    let opened = world.peers[1].replica.open_compartment(now, coalition, vec![], "x");
    assert!(opened.is_err());

    world.input(1, Input::Room { room: Room::Everything });
    world.settle();
    assert!(world.peers[1].closed.iter().all(|(_, fault)| fault.is_none()));
    world.meet(1, 0);
    assert!(world.show(1, record).is_some() && world.digests_equal(0, 1));
}
