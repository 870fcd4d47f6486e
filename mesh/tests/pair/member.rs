//! A member with a valid key that does all that it can think of, one after the other: honest peers come to
//! hold the same, what they keep for it is bounded, and what can be told is held against it by name.

use tearline_crdt::entry::run::{Head, write_segment};
use tearline_crdt::frontier::{Leaf, LogKey, Prefix, Subtree, head_tag};
use tearline_crdt::id::{Class, CompartmentId};
use tearline_mesh::wire::Frame;
use tearline_mesh::{Event, Input, Link};

use crate::forger::{link_as, log, run_frame, sealed, shared, tag};
use crate::world::{World, keys};

/// The member, by the seed of its keys; peers 0 and 1 are honest.
const SEED: u8 = 3;

fn says_in_sync(world: &World, peer: usize, link: Link) -> bool {
    let peers = world.peers[peer].replica.peers();
    peers.iter().any(|state| state.link == link && state.in_sync)
}

fn counted(world: &World, peer: usize) -> Vec<&'static str> {
    let faults = world.peers[peer].replica.counted_faults();
    faults.get(&keys(SEED).id()).map_or(vec![], |named| named.keys().copied().collect())
}

/// Describes logs that it does not have: one that is here, longer than anybody wrote it, and one that is
/// nowhere.
fn claim(world: &mut World, all: CompartmentId) {
    let link = Link(900);
    link_as(world, 0, SEED, link);
    assert!(says_in_sync(world, 0, link));
    let area = tag(world, 0, SEED, all);
    let real = world.peers[0].replica.own_log(all, Class::Routine);
    let frontier = &world.peers[0].replica.areas()[&all].frontier;
    let mut leaves: Vec<Leaf> =
        frontier.below(&Prefix::default()).map(|(key, _)| frontier.leaf(key)).collect();
    leaves.retain(|leaf| leaf.key != LogKey::of(&real));
    let unheard = log(all, Class::Flash, SEED, 77);
    for key in [LogKey::of(&real), LogKey::of(&unheard)] {
        leaves.push(Leaf { key, next: 1_000, head: head_tag(&Head::EMPTY.id) });
    }
    leaves.sort_by_key(|leaf| leaf.key);
    let nodes = vec![(Prefix::default(), Subtree::Leaves(leaves))];
    world.inject(0, link, Frame::Nodes { area, nodes }.encode());
    // It may have lost them since, so that it is nobody's fault; but nobody says that all is equal.
    assert!(!says_in_sync(world, 0, link));
    assert_eq!(counted(world, 0), Vec::<&str>::new());
    // It stays silent about them; who does not lie is served all the same.
    let record = world.write(0, all, Class::Immediate, &["while it withholds"])[0];
    world.settle();
    world.meet(1, 0);
    assert!(world.show(1, record).is_some());
    assert!(!says_in_sync(world, 0, link));
    world.input(0, Input::Down { link });
}

/// Has the whole area compared with nothing until it is let go.
fn ask_without_end(world: &mut World, all: CompartmentId) {
    let link = Link(901);
    link_as(world, 0, SEED, link);
    let area = tag(world, 0, SEED, all);
    let nodes = vec![(Prefix::default(), Subtree::Leaves(vec![]))];
    let frame = Frame::Nodes { area, nodes }.encode();
    let logs = world.peers[0].replica.areas()[&all].frontier.len();
    let held: usize = world.peers[0].replica.areas().values().map(|a| a.frontier.len()).sum();
    // Each time one for what it says, and one for each log that it lacks.
    let most = (50_000 + 4 * held) / (1 + logs);
    let before: usize = world.peers[0].sent.iter().map(Vec::len).sum();
    for n in 0..=most {
        world.input(0, Input::Frame { link, bytes: frame.clone() });
        if world.peers[0].closed.iter().any(|(closed, _)| *closed == link) {
            assert_eq!(n, most);
            break;
        }
    }
    world.settle();
    // What it did not acknowledge it was sent once, however often it asked.
    let sent: usize = world.peers[0].sent.iter().map(Vec::len).sum::<usize>() - before;
    assert!(sent < 64 * 1024, "{sent} bytes");
    assert_eq!(counted(world, 0), ["endless"]);
}

fn send_garbage(world: &mut World) {
    let link = Link(902);
    link_as(world, 0, SEED, link);
    world.inject(0, link, vec![0xff; 4_096]);
    assert!(world.peers[0].closed.iter().any(|(closed, fault)| *closed == link && fault.is_some()));
    assert_eq!(counted(world, 0), ["endless", "malformed-frame"]);
}

/// Tells the one this and the other that, and each again and again.
fn equivocate(world: &mut World, all: CompartmentId) {
    let log = log(all, Class::Routine, SEED, 78);
    for (peer, content) in [(0, 1), (1, 2)] {
        let link = Link(910 + peer as u64);
        link_as(world, peer, SEED, link);
        let area = tag(world, peer, SEED, all);
        let run =
            write_segment(&log, &Head::EMPTY, keys(SEED).signer(), &[sealed(content)]).unwrap();
        for _ in 0..20 {
            world.inject(peer, link, run_frame(area, &run));
        }
        assert_eq!(world.peers[peer].replica.logbook().head(&log).next, 1);
        world.input(peer, Input::Down { link });
    }
    (0..2).for_each(|_| world.meet(1, 0));
    for peer in 0..2 {
        let forked = world.peers[peer].count(|event| *event == Event::Forked(log));
        assert_eq!(forked, 1, "{peer}");
    }
}

#[test]
fn a_member_that_lies_withholds_repeats_and_equivocates_harms_itself_alone() {
    let (mut world, all) = shared(3);
    world.write(0, all, Class::Routine, &["honest"]);
    world.settle();
    (1..3).for_each(|peer| world.meet(peer, 0));
    claim(&mut world, all);
    ask_without_end(&mut world, all);
    send_garbage(&mut world);
    equivocate(&mut world, all);
    // Honest peers hold the same, say so, and blame nobody else.
    let link = world.connect(1, 0);
    let record = world.write(1, all, Class::Routine, &["at the end"])[0];
    world.settle();
    assert!(world.show(0, record).is_some() && world.digests_equal(0, 1));
    assert!(says_in_sync(&world, 0, link) && says_in_sync(&world, 1, link));
    for peer in 0..2 {
        let blamed = world.peers[peer].replica.counted_faults().keys();
        assert!(blamed.into_iter().all(|device| *device == keys(SEED).id()), "{peer}");
    }
}
