//! Presence: who may read a compartment knows where its units are, the latest alone, until it expires.

use tearline_crdt::id::CompartmentId;
use tearline_crdt::time::{Now, WallTime};
use tearline_mesh::replica::Position;
use tearline_mesh::wire::Frame;
use tearline_mesh::{Input, PeerFault};

use crate::world::World;

const MINUTE_MS: u64 = 60_000;

fn at(latitude_e7: i32) -> Position {
    Position { latitude_e7, longitude_e7: 144_900_000, accuracy_m: 50 }
}

fn be_at(world: &mut World, peer: usize, id: CompartmentId, latitude_e7: i32, lasts_s: u64) {
    let now = world.now();
    world.peers[peer].replica.be_at(now, id, at(latitude_e7), lasts_s).unwrap();
    world.drain(peer);
    world.run_for(10_000);
}

/// The latitudes that a peer shows.
fn shown(world: &mut World, peer: usize) -> Vec<i32> {
    world.input(peer, Input::Tick);
    let all = world.peers[peer].replica.presences().into_iter();
    all.map(|presence| presence.position.latitude_e7).collect()
}

/// Three agencies in a line, the first and the last linked by the second alone.
fn line(audience: &[u16]) -> (World, CompartmentId) {
    let mut world = World::new(3);
    let coalition = world.coalition();
    (1..3).for_each(|peer| world.meet(peer, 0));
    let shared = world.open(0, coalition, audience);
    (1..3).for_each(|peer| world.meet(peer, 0));
    world.meet(2, 1);
    world.connect(0, 1);
    world.connect(1, 2);
    world.settle();
    (world, shared)
}

#[test]
fn the_latest_position_reaches_all_readers_and_expires() {
    let (mut world, shared) = line(&[1, 2, 3]);
    be_at(&mut world, 0, shared, 130_500_000, 600);
    assert!((0..3).all(|peer| shown(&mut world, peer) == [130_500_000]));
    be_at(&mut world, 0, shared, 130_600_000, 600);
    be_at(&mut world, 2, shared, 131_000_000, 3_600);
    for peer in 0..3 {
        let mut all = shown(&mut world, peer);
        all.sort_unstable();
        assert_eq!(all, [130_600_000, 131_000_000], "{peer}");
    }
    world.run_for(11 * MINUTE_MS);
    assert!((0..3).all(|peer| shown(&mut world, peer) == [131_000_000]));
    // What is taken back is gone at once; a start forgets all.
    be_at(&mut world, 2, shared, 0, 0);
    assert!((0..3).all(|peer| shown(&mut world, peer).is_empty()));
    be_at(&mut world, 2, shared, 1, 600);
    assert_eq!(shown(&mut world, 0), [1]);
    world.crash(0);
    assert!(shown(&mut world, 0).is_empty());
    assert!(world.peers.iter().all(|peer| peer.replica.faults().is_empty()));
}

#[test]
fn who_may_not_read_hears_nothing_and_who_comes_later_hears_what_holds() {
    let (mut world, shared) = line(&[1, 2]);
    be_at(&mut world, 0, shared, 7, 3_600);
    assert_eq!((shown(&mut world, 1), shown(&mut world, 2)), (vec![7], vec![]));
    let heard = world.peers[1].sent.iter().map(|bytes| Frame::decode(bytes).unwrap());
    assert!(!heard.into_iter().any(|frame| matches!(frame, Frame::Presence { .. })));
    world.crash(1);
    world.connect(1, 0);
    world.settle();
    world.run_for(10_000);
    assert_eq!(shown(&mut world, 1), [7]);
}

#[test]
fn a_position_that_its_device_did_not_sign_is_blamed_and_a_flood_is_not_passed_on() {
    let (mut world, shared) = line(&[1, 2, 3]);
    be_at(&mut world, 0, shared, 7, 3_600);
    let of_presence = |bytes: &&Vec<u8>| matches!(Frame::decode(bytes), Ok(Frame::Presence { .. }));
    world.peers[1].sent.clear();
    // So often as it is said, it is passed on once in six seconds at most.
    for n in 0..30 {
        let now = world.now();
        world.peers[0].replica.be_at(now, shared, at(n), 3_600).unwrap();
        world.drain(0);
        world.run_for(1_000);
    }
    let passed = world.peers[1].sent.iter().filter(of_presence).count();
    assert!((3..=6).contains(&passed), "{passed}");
    world.run_for(10_000);
    assert_eq!(shown(&mut world, 2), [29]);

    // What another says in its name is the sender's fault.
    let now = world.now();
    world.peers[0].replica.be_at(now, shared, at(1), 3_600).unwrap();
    world.drain(0);
    let mut forged = false;
    while !forged {
        world.deliver_changed(|frame| match frame {
            Frame::Presence { cards, .. } => {
                cards[0][50] ^= 1;
                forged = true;
                true
            }
            _ => false,
        });
        assert!(forged || world.step());
    }
    world.settle();
    let faults: Vec<_> =
        world.peers.iter().flat_map(|peer| &peer.closed).map(|(_, f)| *f).collect();
    assert_eq!(faults, [Some(PeerFault::Presence)]);
}

#[test]
fn a_clock_that_was_ahead_leaves_no_old_place_behind() {
    let (mut world, shared) = line(&[1, 2, 3]);
    let ahead = |world: &mut World, by_ms: u64, latitude_e7: i32| {
        let now = world.now();
        let wrong = Now { wall: WallTime(now.wall.0 + by_ms), ..now };
        world.peers[0].replica.be_at(wrong, shared, at(latitude_e7), 3_600).unwrap();
        world.drain(0);
        world.run_for(10_000);
    };
    // By less than clocks differ: it is believed.
    ahead(&mut world, 5 * MINUTE_MS, 1);
    assert!((1..3).all(|peer| shown(&mut world, peer) == [1]));
    be_at(&mut world, 0, shared, 2, 3_600);
    assert!((1..3).all(|peer| shown(&mut world, peer) == [2]));
    // It forgets that by a start, is told so, and counts on.
    world.crash(0);
    world.connect(0, 1);
    world.settle();
    be_at(&mut world, 0, shared, 3, 3_600);
    assert!((1..3).all(|peer| shown(&mut world, peer) == [3]));
    // By more, nobody takes it; and when the clock is right again all do.
    ahead(&mut world, 60 * MINUTE_MS, 4);
    assert!((1..3).all(|peer| shown(&mut world, peer) == [3]));
    be_at(&mut world, 0, shared, 5, 3_600);
    assert!((1..3).all(|peer| shown(&mut world, peer) == [5]));
    // What it takes back after a start is gone, too.
    ahead(&mut world, 5 * MINUTE_MS, 6);
    world.crash(0);
    world.connect(0, 1);
    world.settle();
    be_at(&mut world, 0, shared, 0, 0);
    assert!((1..3).all(|peer| shown(&mut world, peer).is_empty()));
    assert!(world.peers.iter().all(|peer| peer.replica.faults().is_empty()));
}
