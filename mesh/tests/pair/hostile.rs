//! Strangers, members and forked devices that do what they must not, or only what nobody expected.

use tearline_crdt::frontier::{Leaf, LogKey};
use tearline_crdt::id::{Class, RecordId};
use tearline_crdt::statement::{Opening, Statement};
use tearline_crdt::time::WallTime;
use tearline_mesh::invitation::Invited;
use tearline_mesh::wire::Frame;
use tearline_mesh::{Input, Link};

use crate::forger::{link_as, open_frame};
use crate::world::{World, keys};

fn cut_all(world: &mut World, peer: usize) {
    let links: Vec<Link> = world.peers[peer].replica.peers().iter().map(|p| p.link).collect();
    links.into_iter().for_each(|link| world.cut(link));
}

/// The logs that a peer sent entries of since its frames were last forgotten.
fn logs_sent(world: &World, peer: usize) -> Vec<LogKey> {
    let frames = world.peers[peer].sent.iter().map(|bytes| Frame::decode(bytes).unwrap());
    let key = |frame| if let Frame::Run { key, .. } = frame { Some(key) } else { None };
    frames.filter_map(key).collect()
}

#[test]
fn who_comes_back_is_sent_nothing_of_compartments_that_it_is_not_in() {
    let mut world = World::new(3);
    let coalition = world.coalition();
    world.connect(2, 0);
    world.settle();
    let ab = world.open(0, coalition, &[1, 2]);
    let ac = world.open(0, coalition, &[1, 3]);
    world.write(0, ac, Class::Routine, &["x"]);
    world.settle();
    cut_all(&mut world, 0);
    let long = "n".repeat(400);
    world.write(0, ab, Class::Flash, &["secret"]);
    for _ in 0..60 {
        world.write(0, ab, Class::Routine, &[&long]);
        world.settle();
    }
    world.write(0, ac, Class::Priority, &["y"]);
    world.settle();
    world.peers[0].sent.clear();
    world.connect(2, 0);
    world.settle();
    let sent = logs_sent(&world, 0);
    assert!(!sent.is_empty());
    for class in [Class::Authority, Class::Flash, Class::Routine] {
        let key = LogKey::of(&world.peers[0].replica.own_log(ab, class));
        assert!(!sent.contains(&key), "{class:?}");
    }
    let late = world.write(0, ac, Class::Routine, &["late"]);
    world.settle();
    assert!(world.show(2, late[0]).is_some());
}

#[test]
fn only_links_with_devices_of_standing_are_vouched_for_and_once() {
    let mut world = World::new(2);
    let coalition = world.coalition();
    world.peers.iter_mut().for_each(|peer| peer.vouched.clear());
    cut_all(&mut world, 0);
    let link = world.connect(1, 0);
    world.settle();
    world.open(0, coalition, &[1, 2]);
    world.settle();
    assert_eq!((&world.peers[0].vouched, &world.peers[1].vouched), (&vec![link], &vec![link]));

    let stranger = Link(901);
    world.input(0, Input::Up { link: stranger, device: keys(51).id(), dialer: false, thin: false });
    let open = open_frame(&world, 0, keys(51).id());
    world.input(0, Input::Frame { link: stranger, bytes: open });
    world.settle();
    assert!(world.peers[0].replica.peers().iter().any(|peer| peer.link == stranger && peer.live));
    assert_eq!(world.peers[0].vouched, [link]);
}

#[test]
fn strangers_introduce_nothing_and_members_only_what_its_opener_signed() {
    let mut world = World::new(2);
    let coalition = world.coalition();
    world.connect(1, 0);
    world.settle();
    let areas = world.peers[0].replica.areas().len();
    let intro = |opening: &Opening| {
        Frame::Intro { opening: Statement::Open(opening.clone()).encode() }.encode()
    };
    let members = world.peers[0].replica.coalition(coalition).unwrap().members();
    let audience: Vec<_> = members.map(|member| (member.no, member.root)).collect();
    let sound = Opening::sign(keys(2).signer(), coalition, audience.clone(), [9; 16]);
    let stranger = keys(50);
    let link = Link(900);
    world.input(0, Input::Up { link, device: stranger.id(), dialer: false, thin: false });
    let open = open_frame(&world, 0, stranger.id());
    world.inject(0, link, open);
    world.inject(0, link, intro(&sound));
    world.settle();
    assert_eq!(world.peers[0].replica.areas().len(), areas, "a stranger introduced one");
    // Of a member: in another's name, and for an audience without itself.
    let forged = Opening { opener: keys(1).id(), ..sound.clone() };
    let foreign = Opening::sign(keys(2).signer(), coalition, audience[..1].to_vec(), [9; 16]);
    for (n, opening) in [forged, foreign].iter().enumerate() {
        let link = Link(901 + n as u64);
        link_as(&mut world, 0, 2, link);
        world.inject(0, link, intro(opening));
        world.settle();
        assert!(world.peers[0].closed.iter().any(|(closed, _)| *closed == link), "{opening:?}");
    }
    assert_eq!(world.peers[0].replica.areas().len(), areas);
}

#[test]
fn a_device_reads_what_was_resealed_to_it_before_it_saw_the_epochs() {
    let mut world = World::new(3);
    let late = world.peers.pop().unwrap();
    let coalition = world.coalition();
    world.peers.push(late);
    let link = world.connect(1, 0);
    world.settle();
    let ids: Vec<_> = (0..16).map(|n| world.open_named(0, coalition, &[1, 2], n)).collect();
    let mut records: Vec<RecordId> = Vec::new();
    for id in &ids {
        records.extend(world.write(0, *id, Class::Routine, &["r"]));
        world.settle();
    }
    // The opener is away; the desk of the device's agency seals to it.
    world.cut(link);
    let expires = WallTime(world.now().wall.0 + 3_600_000);
    let invited = Invited::Device { history: true };
    let invitation =
        world.peers[1].replica.invite(coalition, invited, expires, vec![], "").unwrap();
    world.drain(1);
    world.settle();
    let request = world.request(&invitation.value, 2);
    world.peers[2].replica.join(invitation.value.inviter, request);
    world.connect(2, 1);
    world.settle();
    let shown = |world: &mut World| records.iter().filter(|r| world.show(2, **r).is_some()).count();
    assert_eq!(shown(&mut world), 16);
    world.crash(2);
    assert_eq!(shown(&mut world), 16);
}

/// Peers 1 and 2 of a coalition of `size`, all in one compartment, and a clone of the last peer.
fn forked(size: usize) -> (World, tearline_crdt::id::CompartmentId, usize) {
    let mut world = World::new(size);
    let coalition = world.coalition();
    let agencies: Vec<u16> = (1..=size as u16).collect();
    (1..size).for_each(|peer| world.meet(peer, 0));
    let all = world.open(0, coalition, &agencies);
    (1..size).for_each(|peer| world.meet(peer, 0));
    let clone = world.clone_of(size - 1);
    (world, all, clone)
}

#[test]
fn a_proof_reaches_whoever_comes_later() {
    let (mut world, all, clone) = forked(4);
    world.write(clone, all, Class::Routine, &["other branch"]);
    world.write(3, all, Class::Routine, &["first"]);
    world.settle();
    let log = world.peers[3].replica.own_log(all, Class::Routine);
    let at = |world: &World, peer: usize| {
        world.peers[peer].replica.logbook().state(&log).and_then(|state| state.forked_at)
    };
    world.meet(3, 0);
    world.meet(3, 1);
    world.meet(2, 0);
    world.meet(clone, 1);
    assert_eq!((at(&world, 1), at(&world, 2)), (Some(0), None));
    // They hold the same entries; only what they know of them differs.
    world.meet(1, 2);
    assert_eq!(at(&world, 2), Some(0));
    world.crash(1);
    world.meet(1, 0);
    assert_eq!(at(&world, 0), Some(0), "told again after a restart");
}

#[test]
fn a_forked_log_does_not_hold_up_the_honest() {
    let (mut world, all, clone) = forked(3);
    world.write(clone, all, Class::Routine, &["other"]);
    world.write(2, all, Class::Routine, &["one"]);
    world.settle();
    world.meet(2, 1);
    world.meet(clone, 1);
    let long = "n".repeat(400);
    for _ in 0..60 {
        world.write(2, all, Class::Routine, &[&long]);
        world.settle();
    }
    world.meet(2, 0);
    // Peer 1 has the proof and the log's beginning, peer 0 one whole branch.
    world.connect(0, 1);
    world.settle();
    let honest = world.write(0, all, Class::Routine, &["honest"]);
    world.settle();
    assert!(world.show(1, honest[0]).is_some());
}

#[test]
fn positions_name_each_log_once() {
    let mut world = World::new(2);
    let coalition = world.coalition();
    let link = world.connect(1, 0);
    world.settle();
    let ab = world.open(0, coalition, &[1, 2]);
    world.write(0, ab, Class::Routine, &["x"; 8]);
    world.settle();
    let area = |frame: &Vec<u8>| match Frame::decode(frame).unwrap() {
        Frame::Have { area, .. } => Some(area),
        _ => None,
    };
    let area = world.peers[1].sent.iter().rev().find_map(area).unwrap();
    let key = LogKey::of(&world.peers[0].replica.own_log(ab, Class::Routine));
    let positions = vec![Leaf { key, next: 2, head: [1; 8] }; 2];
    world.inject(0, link, Frame::Positions { area, positions }.encode());
    assert!(world.peers[0].closed.iter().any(|(closed, _)| *closed == link));
}
