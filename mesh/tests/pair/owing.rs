//! Peers that owe something: who withholds entries, or says nothing, pays; who is slow does not.

use tearline_crdt::entry::run::{Head, write_segment};
use tearline_crdt::frontier::{Leaf, LogKey, Prefix, Subtree};
use tearline_crdt::id::{Class, CompartmentId, DeviceId};
use tearline_mesh::fault::LinkFault;
use tearline_mesh::wire::Frame;
use tearline_mesh::{Input, Link, PeerFault};

use crate::forger::{link_as, log, run_frame, sealed, shared, tag};
use crate::world::{World, keys};

/// Who claims entries at peer 0, and over which link.
const CLAIMER: u8 = 3;
const LINK: Link = Link(900);
/// How long it may give none.
const AFTER_MS: u64 = 600_000;

/// A member that is linked to peer 0 and does nothing by itself.
fn linked() -> (World, CompartmentId) {
    let (mut world, all) = shared(3);
    link_as(&mut world, 0, CLAIMER, LINK);
    (world, all)
}

/// The member says that it holds so much of a log, and nothing else.
fn claim(world: &mut World, all: CompartmentId, incarnation: u64, next: u64) {
    let key = LogKey::of(&log(all, Class::Flash, CLAIMER, incarnation));
    let leaves = Subtree::Leaves(vec![Leaf { key, next, head: [7; 8] }]);
    let area = tag(world, 0, CLAIMER, all);
    let frame = Frame::Nodes { area, nodes: vec![(Prefix::default(), leaves)] };
    world.input(0, Input::Frame { link: LINK, bytes: frame.encode() });
}

/// How often peer 0 described what it holds since its frames were last forgotten.
fn descriptions(world: &World) -> usize {
    let frames = world.peers[0].sent.iter().map(|bytes| Frame::decode(bytes).unwrap());
    frames.filter(|frame| matches!(frame, Frame::Nodes { .. })).count()
}

fn fault(world: &World) -> Option<PeerFault> {
    world.peers[0].fault_of(keys(CLAIMER).id())
}

/// Time passes for peer 0, which is asked to look at it as its driver would.
fn pass(world: &mut World, ms: u64) {
    world.run_for(ms);
    world.input(0, Input::Tick);
}

#[test]
fn who_claims_entries_and_gives_none_is_asked_and_then_blamed() {
    let (mut world, all) = linked();
    world.peers[0].sent.clear();
    claim(&mut world, all, 9, 5);
    pass(&mut world, AFTER_MS);
    assert_eq!((descriptions(&world), fault(&world)), (4, None), "it was asked");
    pass(&mut world, AFTER_MS / 4);
    assert_eq!(fault(&world), Some(PeerFault::Withheld));
    assert!(world.peers[0].closed.iter().any(|(link, _)| *link == LINK));
    let record = world.write(1, all, Class::Routine, &["honest"])[0];
    world.meet(1, 0);
    assert!(world.show(0, record).is_some() && world.digests_equal(0, 1));
    assert_eq!(world.peers[0].replica.faults().len(), 1);
}

/// A peer may have lost what it claimed, or have learnt that it does not count.
#[test]
fn what_is_not_claimed_any_more_is_not_owed() {
    let (mut world, all) = linked();
    claim(&mut world, all, 9, 5);
    world.peers[0].sent.clear();
    pass(&mut world, AFTER_MS / 4);
    assert_eq!(descriptions(&world), 1);
    world.input(0, Input::Frame { link: LINK, bytes: Frame::Same.encode() });
    pass(&mut world, 10 * AFTER_MS);
    assert_eq!((descriptions(&world), fault(&world)), (1, None));
    // To claim it again and again is not to have lost it.
    for round in 0.. {
        assert!(round < 4, "it claims without end");
        claim(&mut world, all, 9, 5);
        pass(&mut world, AFTER_MS / 4);
        if fault(&world).is_some() {
            break;
        }
        world.input(0, Input::Frame { link: LINK, bytes: Frame::Same.encode() });
    }
    assert_eq!(fault(&world), Some(PeerFault::Withheld));
}

#[test]
fn who_is_slow_is_not_blamed() {
    let (mut world, all) = linked();
    claim(&mut world, all, 9, 40);
    // A frame takes as long as it takes.
    for _ in 0..1_000 {
        pass(&mut world, 5_000);
        world.input(0, Input::Coming { link: LINK });
    }
    assert_eq!(fault(&world), None);
    // And there may be long breaks between frames.
    let log = log(all, Class::Flash, CLAIMER, 9);
    let area = tag(&world, 0, CLAIMER, all);
    let mut head = Head::EMPTY;
    for _ in 0..40 {
        pass(&mut world, AFTER_MS - 1_000);
        let run = write_segment(&log, &head, keys(CLAIMER).signer(), &[sealed(1)]).unwrap();
        head = *run.to();
        world.input(0, Input::Frame { link: LINK, bytes: run_frame(area, &run) });
    }
    world.settle();
    pass(&mut world, 10 * AFTER_MS);
    assert_eq!(fault(&world), None, "nothing is owed any more");
    assert_eq!(world.peers[0].replica.logbook().head(&log).next, 40);
}

#[test]
fn who_makes_a_link_and_says_nothing_is_blamed() {
    let (mut world, _) = shared(3);
    let device = keys(CLAIMER).id();
    world.input(0, Input::Up { link: LINK, device, dialer: false, thin: false });
    pass(&mut world, 59_000);
    assert_eq!(fault(&world), None);
    pass(&mut world, 1_000);
    assert_eq!(fault(&world), Some(PeerFault::NoGreeting));
}

/// However many strangers misbehave, the members that did are named.
#[test]
fn strangers_do_not_push_members_out_of_the_list_of_offenders() {
    let (mut world, _) = linked();
    let fault = PeerFault::Link(LinkFault::Babble);
    let flood = |world: &mut World, from: u64| {
        for n in from..from + 4_200 {
            let link = Link(10_000 + n);
            let mut device = DeviceId([200; 32]);
            device.0[..8].copy_from_slice(&n.to_be_bytes());
            world.input(0, Input::Up { link, device, dialer: false, thin: false });
            world.input(0, Input::Broke { link, fault });
        }
    };
    flood(&mut world, 0);
    let names = |world: &World| world.peers[0].replica.counted_faults().clone();
    assert_eq!(names(&world).len(), 4_096);
    world.input(0, Input::Broke { link: LINK, fault });
    assert_eq!(names(&world)[&keys(CLAIMER).id()], [("babble", 1)].into());
    flood(&mut world, 10_000);
    assert_eq!(names(&world).len(), 4_096);
    assert!(names(&world).contains_key(&keys(CLAIMER).id()));
}
