//! What a peer is known to lack, linked or not.

use tearline_crdt::id::Class;
use tearline_mesh::replica::Lacks;

use crate::forger::shared;
use crate::world::World;

fn lacks(world: &World, peer: usize, of: usize) -> Option<Lacks> {
    world.peers[peer].replica.lacks(&world.peers[of].replica.device())
}

#[test]
fn what_a_peer_lacks_is_known_also_while_it_is_away() {
    let (mut world, all) = shared(2);
    world.meet(1, 0);
    assert_eq!(lacks(&world, 0, 1), Some(Lacks::default()));
    world.wait(60_000);
    let written = world.now().wall;
    world.write(0, all, Class::Flash, &["first"]);
    world.settle();
    world.wait(60_000);
    world.write(0, all, Class::Flash, &["second"]);
    world.write(0, all, Class::Routine, &["third"]);
    world.settle();
    let away = lacks(&world, 0, 1).unwrap();
    assert_eq!(away.entries, 3);
    let since = away.flash_since.unwrap();
    assert!((written.0..written.0 + 30_000).contains(&since.0), "{since} after {written}");
    let link = world.connect(1, 0);
    world.settle();
    assert_eq!(lacks(&world, 0, 1), Some(Lacks::default()));
    let state = |world: &World, peer: usize| world.peers[peer].replica.peers()[0].clone();
    assert!(state(&world, 0).entries_behind == 0 && state(&world, 1).entries_ahead == 0);
    world.cut(link);
    // After a start nothing is known, until they meet.
    world.crash(0);
    assert_eq!(lacks(&world, 0, 1), None);
    world.write(0, all, Class::Routine, &["fourth"]);
    world.settle();
    // Whoever compares hears how much is to come before it comes.
    let link = world.connect(0, 1);
    let mut ahead = 0;
    while world.step() {
        let peers = world.peers[1].replica.peers();
        ahead = ahead.max(peers.iter().map(|peer| peer.entries_ahead).sum::<u64>());
    }
    assert_eq!(ahead, 1);
    world.cut(link);
}
