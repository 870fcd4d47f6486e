//! Gossip driven by replicas: news go to everybody about once, whoever lies or is silent in a tree delays
//! them and no more, and what is wrong with them is blamed on who sent it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use tearline_crdt::entry::run::{Head, write_segment};
use tearline_crdt::frontier::{LogKey, head_tag};
use tearline_crdt::id::{Class, CompartmentId, DeviceId, LogId, RecordId};
use tearline_mesh::gossip::wire::{
    ANNOUNCEMENTS_MAX, Announcement, Beacon, MembershipMessage, TreeMessage,
};
use tearline_mesh::gossip::{Message, News};
use tearline_mesh::replica::Way;
use tearline_mesh::wire::{FRAME_BYTES_MAX, Frame, Tag};
use tearline_mesh::{Input, Link};

use crate::forger::{link_as, log, run_frame, sealed, shared, tag};
use crate::world::{World, keys};

/// How long it takes until there is a root, everybody has heard of it, and has chosen a parent.
const TREE_MS: u64 = 20_000;
/// News that somebody has to ask for are everywhere by then.
const SPREAD_MS: u64 = 12_000;

/// Peers in one compartment, linked in a ring, and each to the one `skips` further on.
fn mesh(size: usize, skips: &[usize]) -> (World, CompartmentId) {
    let (mut world, all) = shared(size);
    for step in [&[1], skips].concat() {
        (0..size).for_each(|peer| {
            world.connect(peer, (peer + step) % size);
        });
    }
    world.run_for(TREE_MS);
    (world, all)
}

/// Bytes that came, and those of them that were there already.
fn carried(world: &World) -> (u64, u64) {
    let carried = world.peers.iter().map(|peer| peer.replica.carried());
    carried.fold((0, 0), |sum, c| (sum.0 + c.bytes, sum.1 + c.again_bytes))
}

/// Each peer in turns writes a record of each class; who has to say more.
fn write_all(world: &mut World, all: CompartmentId) -> Vec<RecordId> {
    let mut records = Vec::new();
    for round in 0..2 {
        for peer in 0..world.peers.len() {
            let class = [Class::Flash, Class::Immediate, Class::Priority, Class::Routine]
                [(peer + round) % 4];
            records.extend(world.write(peer, all, class, &[&format!("{round}/{peer}")]));
            world.run_for(500);
        }
    }
    records
}

fn everybody_has(world: &mut World, records: &[RecordId]) {
    for peer in 0..world.peers.len() {
        for record in records {
            assert!(world.show(peer, *record).is_some(), "peer {peer} lacks {record}");
        }
        assert!(world.digests_equal(0, peer) || peer == 0);
    }
}

fn is_gossip(frame: &Frame) -> bool {
    matches!(frame, Frame::Gossip { .. } | Frame::Run { hops: Some(_), .. })
}

fn nobody_is_blamed(world: &World) {
    for peer in &world.peers {
        assert!(peer.replica.counted_faults().is_empty(), "{:?}", peer.replica.counted_faults());
    }
}

#[test]
fn two_peers_alone_say_nothing_of_gossip_and_send_each_entry_once() {
    let (mut world, all) = shared(2);
    world.connect(1, 0);
    world.run_for(TREE_MS);
    let (_, before) = carried(&world);
    let records = write_all(&mut world, all);
    world.run_for(TREE_MS);
    everybody_has(&mut world, &records);
    let sent = world.peers.iter().flat_map(|peer| &peer.sent);
    assert!(!sent.map(|bytes| Frame::decode(bytes).unwrap()).any(|frame| is_gossip(&frame)));
    assert_eq!(carried(&world).1, before);
    assert!(world.peers.iter().all(|peer| peer.replica.deadline().is_none()));
}

#[test]
fn a_flash_reaches_all_through_a_line_each_of_them_once() {
    let (mut world, all) = shared(6);
    (1..6).for_each(|peer| {
        world.connect(peer, peer - 1);
    });
    world.run_for(TREE_MS);
    for writer in [0, 3, 5] {
        let (bytes, again) = carried(&world);
        let record = world.write(writer, all, Class::Flash, &["at once"])[0];
        // A flush and the link's latency for each hop, no timer.
        world.run_for(5 * 30);
        everybody_has(&mut world, &[record]);
        let now = carried(&world);
        let one = (now.0 - bytes) / 5;
        assert!(one > 100 && (now.0 - bytes).is_multiple_of(5), "{one}");
        assert_eq!(now.1, again);
    }
    nobody_is_blamed(&world);
}

#[test]
fn a_mesh_gets_everything_about_once_and_comes_to_rest() {
    let (mut world, all) = mesh(12, &[3]);
    let parents = |world: &World| {
        let peers = world.peers.iter();
        let ways = peers.map(|p| {
            world
                .peers
                .iter()
                .filter_map(|o| p.replica.ways(&o.replica.device()).get(&all).copied())
                .collect::<Vec<Way>>()
        });
        ways.map(|ways| ways.iter().filter(|way| **way == Way::Parent).count())
            .collect::<Vec<usize>>()
    };
    let mut found = parents(&world);
    found.sort_unstable();
    assert_eq!(found, [[0].as_slice(), &[1; 11]].concat(), "one root, and everybody has a parent");
    let before = carried(&world);
    let records = write_all(&mut world, all);
    world.run_for(SPREAD_MS);
    everybody_has(&mut world, &records);
    let (bytes, again) = (carried(&world).0 - before.0, carried(&world).1 - before.1);
    assert!(again * 20 <= bytes, "{again} of {bytes} bytes came again");
    for peer in &world.peers {
        assert!(
            peer.replica.peers().iter().all(|state| state.in_sync && state.entries_behind == 0)
        );
    }
    nobody_is_blamed(&world);
}

/// The same without gossip: so a count of copies can fail, and comparing alone is enough.
#[test]
fn without_gossip_everything_comes_all_the_same_and_often() {
    let (mut world, all) = shared(12);
    world.loses = Some(Box::new(|_, _, frame| matches!(frame, Frame::Gossip { .. })));
    for step in [1, 3] {
        (0..12).for_each(|peer| {
            world.connect(peer, (peer + step) % 12);
        });
    }
    world.run_for(TREE_MS);
    let before = carried(&world);
    let records = write_all(&mut world, all);
    world.run_for(SPREAD_MS);
    everybody_has(&mut world, &records);
    let (bytes, again) = (carried(&world).0 - before.0, carried(&world).1 - before.1);
    assert!(again * 2 > bytes, "{again} of {bytes} bytes came again");
    nobody_is_blamed(&world);
}

#[test]
fn what_is_said_in_trees_may_be_lost_from_any_moment_on() {
    for lost in 0..3 {
        let (mut world, all) = mesh(8, &[3]);
        world.loses = Some(Box::new(move |peer, _, frame| match (lost, frame) {
            (0, Frame::Gossip { .. }) => true,
            (1, Frame::Gossip { message: Message::Tree(message), .. }) => {
                matches!(message, TreeMessage::Announce { .. })
            }
            // One passes on nothing of others, and says everything that belongs to it.
            (2, Frame::Run { hops: Some(2..), .. }) => peer == 2,
            _ => false,
        }));
        let records = write_all(&mut world, all);
        world.run_for(2 * TREE_MS);
        everybody_has(&mut world, &records);
        nobody_is_blamed(&world);
    }
}

#[test]
fn long_runs_are_announced_and_fetched_once() {
    let (mut world, all) = mesh(6, &[2]);
    let names: Vec<String> = (0..80).map(|n| format!("{n} {}", "x".repeat(400))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let before = carried(&world);
    let records = world.write(1, all, Class::Routine, &names);
    world.run_for(SPREAD_MS);
    everybody_has(&mut world, &records);
    let now = carried(&world);
    assert!(now.0 - before.0 > 5 * 16 * 1024, "{}", now.0 - before.0);
    assert_eq!(now.1, before.1);
}

#[test]
fn who_comes_back_gets_what_it_lacks_and_the_others_nothing() {
    let (mut world, all) = mesh(8, &[3]);
    for gone in [0, 5] {
        world.crash(gone);
        let records = write_all_but(&mut world, all, gone);
        let before = carried(&world);
        for other in [(gone + 1) % 8, (gone + 7) % 8, (gone + 3) % 8] {
            world.connect(gone, other);
            world.run_for(1_000);
        }
        world.run_for(TREE_MS);
        everybody_has(&mut world, &records);
        assert_eq!(
            carried(&world).1,
            before.1,
            "what gossip brought is not compared into others again"
        );
    }
    nobody_is_blamed(&world);
}

fn write_all_but(world: &mut World, all: CompartmentId, gone: usize) -> Vec<RecordId> {
    let mut records = Vec::new();
    for peer in (0..world.peers.len()).filter(|peer| *peer != gone) {
        records.extend(world.write(
            peer,
            all,
            Class::Priority,
            &[&format!("without {gone}: {peer}")],
        ));
        world.run_for(500);
    }
    world.run_for(SPREAD_MS);
    records
}

#[test]
fn who_may_not_have_a_compartment_hears_nothing_of_its_gossip() {
    let mut world = World::new(4);
    let coalition = world.coalition();
    (1..4).for_each(|peer| world.meet(peer, 0));
    let three = world.open(0, coalition, &[1, 2, 3]);
    let heard = Rc::new(RefCell::new(BTreeSet::new()));
    let hears = Rc::clone(&heard);
    world.loses = Some(Box::new(move |peer, link, frame| {
        if peer == 0 && is_gossip(frame) {
            hears.borrow_mut().insert(link);
        }
        false
    }));
    world.connect(3, 0);
    (1..3).for_each(|peer| {
        world.connect(peer, 0);
    });
    world.run_for(TREE_MS);
    let record = world.write(0, three, Class::Flash, &["not for all"])[0];
    world.run_for(TREE_MS);
    assert!(world.show(1, record).is_some() && world.show(2, record).is_some());
    assert!(world.show(3, record).is_none());
    let stranger = world.peers[3].replica.device();
    assert!(world.peers[0].replica.ways(&stranger).is_empty());
    assert_eq!(*heard.borrow(), BTreeSet::from([world.link(1, 0), world.link(2, 0)]));
}

const HOSTILE: u8 = 4;

/// Peers 0, 1 and 2 in a tree, and the device of peer 3, which its replica leaves alone, as a neighbour
/// of peer 0.
struct Beset {
    world: World,
    all: CompartmentId,
    link: Link,
    /// What the compartment is called on its links.
    area: Tag,
}

impl Beset {
    fn new() -> Self {
        let (mut world, all) = shared(4);
        (1..3).for_each(|peer| {
            world.connect(peer, 0);
        });
        let area = tag(&world, 0, HOSTILE, all);
        let mut beset = Self { world, all, link: Link(9_000), area };
        beset.comes();
        beset.world.run_for(TREE_MS);
        beset
    }

    /// The hostile device comes, again, and is taken for a neighbour.
    fn comes(&mut self) {
        self.link.0 += 1;
        link_as(&mut self.world, 0, HOSTILE, self.link);
        self.says(Message::Membership(MembershipMessage::Accept));
        let ways = self.world.peers[0].replica.ways(&keys(HOSTILE).id());
        assert!(ways.contains_key(&self.all), "it is a neighbour");
    }

    fn sends(&mut self, bytes: Vec<u8>) {
        self.world.input(0, Input::Frame { link: self.link, bytes });
    }

    fn says(&mut self, message: Message) {
        let area = self.area;
        self.sends(Frame::Gossip { area, message }.encode());
    }

    fn tells(&mut self, message: TreeMessage) {
        self.says(Message::Tree(message));
    }

    /// What peer 0 has sent since it had sent so much.
    fn said_since(&self, count: usize) -> Vec<Frame> {
        let sent = &self.world.peers[0].sent[count..];
        sent.iter().map(|bytes| Frame::decode(bytes).unwrap()).collect()
    }

    /// How far the peers hold a log.
    fn held(&self, log: &LogId) -> [u64; 3] {
        [0, 1, 2].map(|peer: usize| self.world.peers[peer].replica.logbook().head(log).next)
    }

    /// Nothing is held against the device in this session.
    fn is_well(&self) -> bool {
        self.world.peers[0].closed.iter().all(|(link, _)| *link != self.link)
    }

    /// Its link was closed for this, and the others are well.
    fn is_blamed(&mut self, name: &str) {
        let world = &mut self.world;
        let closed = world.peers[0].closed.iter().find(|(link, _)| *link == self.link);
        let fault = closed.and_then(|(_, fault)| *fault);
        assert_eq!(fault.map(|fault| fault.name()), Some(name));
        let faults = world.peers[0].replica.counted_faults();
        assert!(faults[&keys(HOSTILE).id()].contains_key(name) && faults.len() == 1);
        let record = world.write(1, self.all, Class::Flash, &["goes on"])[0];
        world.run_for(1_000);
        assert!(world.show(2, record).is_some(), "{name}");
        let others = &world.peers[1..3];
        assert!(others.iter().all(|peer| peer.replica.counted_faults().is_empty()), "{name}");
    }
}

fn announced(log: u64, next: u64) -> Announcement {
    let mut key = [0x40; 16];
    key[8..].copy_from_slice(&log.to_be_bytes());
    Announcement { news: News { log: LogKey(key), next }, head: [9; 8], hops: 1, pushed: true }
}

#[test]
fn too_much_and_too_long_gossip_is_blamed_on_its_sender() {
    let repeat = |count: usize, message: TreeMessage| vec![Message::Tree(message); count];
    let announce = |logs: std::ops::Range<u64>| {
        let announcements = logs.map(|log| announced(log, 1)).collect();
        TreeMessage::Announce { announcements }
    };
    let ask = TreeMessage::Ask { news: announced(1, 5).news, held: 0, head: [0; 8], repair: true };
    let nobody = Beacon { root: DeviceId([0; 32]), seq: 1, hops: 0 };
    let floods: [(&str, Vec<Message>); 6] = [
        ("gossip-flood", repeat(200, TreeMessage::Graft)),
        ("gossip-flood", repeat(600, announce(0..1))),
        ("malformed-frame", repeat(1, announce(0..ANNOUNCEMENTS_MAX as u64 + 1))),
        ("endless", repeat(3_300, ask)),
        ("endless", repeat(3_300, TreeMessage::Beacon(nobody))),
        ("endless", vec![Message::Membership(MembershipMessage::Join); 3_300]),
    ];
    let mut beset = Beset::new();
    for (name, messages) in floods {
        let (last, before) = messages.split_last().unwrap();
        before.iter().for_each(|message| beset.says(message.clone()));
        beset.says(last.clone());
        beset.is_blamed(name);
        beset.comes();
    }
    beset.sends(vec![18; FRAME_BYTES_MAX + 1]);
    beset.is_blamed("oversize-frame");
}

#[test]
fn gossip_of_an_area_that_was_not_named_is_not_heard_and_charged() {
    let mut beset = Beset::new();
    let before = beset.world.peers[0].sent.len();
    let message = Message::Tree(TreeMessage::Graft);
    let wrong = Frame::Gossip { area: [7; 8], message }.encode();
    (0..3_000).for_each(|_| beset.sends(wrong.clone()));
    assert!(beset.is_well() && beset.said_since(before).is_empty(), "nothing is said to it");
    (0..300).for_each(|_| beset.sends(wrong.clone()));
    beset.is_blamed("endless");
}

#[test]
fn forged_news_are_blamed_and_replayed_ones_charged_and_neither_is_passed_on() {
    let mut beset = Beset::new();
    let of = log(beset.all, Class::Flash, HOSTILE, 9);
    let run = |of| write_segment(of, &Head::EMPTY, keys(HOSTILE).signer(), &[sealed(1)]).unwrap();
    let mut frame = Frame::decode(&run_frame(beset.area, &run(&of))).unwrap();
    if let Frame::Run { hops, .. } = &mut frame {
        *hops = Some(1);
    }
    beset.sends(frame.encode());
    beset.world.run_for(1_000);
    assert_eq!(beset.held(&of), [1; 3], "it is sound");
    let before = beset.world.peers[0].sent.len();
    (0..3_000).for_each(|_| beset.sends(frame.encode()));
    assert!(beset.is_well(), "a link may repeat itself");
    (0..200).for_each(|_| beset.sends(frame.encode()));
    beset.is_blamed("endless");
    let again = |frame: &Frame| matches!(frame, Frame::Run { key, .. } if *key == LogKey::of(&of));
    assert!(!beset.said_since(before).iter().any(again));

    beset.comes();
    let of = log(beset.all, Class::Flash, HOSTILE, 10);
    let mut forged = run_frame(beset.area, &run(&of));
    *forged.last_mut().unwrap() ^= 1;
    beset.sends(forged);
    beset.is_blamed("bad-signature");
    assert_eq!(beset.held(&of), [0; 3]);
}

#[test]
fn who_says_that_it_holds_another_branch_is_shown_ours() {
    let mut beset = Beset::new();
    let of = log(beset.all, Class::Routine, HOSTILE, 9);
    let segment =
        |n| write_segment(&of, &Head::EMPTY, keys(HOSTILE).signer(), &[sealed(n)]).unwrap();
    beset.sends(run_frame(beset.area, &segment(1)));
    beset.world.run_for(1_000);
    let announcement = |head| {
        let news = News { log: LogKey::of(&of), next: 1 };
        let announcements = vec![Announcement { news, head, hops: 1, pushed: true }];
        TreeMessage::Announce { announcements }
    };
    for (n, differs) in [(1, false), (2, true)] {
        let before = beset.world.peers[0].sent.len();
        beset.tells(announcement(head_tag(&segment(n).to().id)));
        beset.world.run_for(1_000);
        let shown = |frame: &Frame| matches!(frame, Frame::Evidence { .. });
        assert_eq!(beset.said_since(before).iter().any(shown), differs);
    }
}

#[test]
fn a_root_without_a_right_is_not_told_on() {
    let mut beset = Beset::new();
    let root = DeviceId([0; 32]);
    let before = beset.world.peers[0].sent.len();
    beset.tells(TreeMessage::Beacon(Beacon { root, seq: 1, hops: 0 }));
    beset.world.run_for(TREE_MS);
    let beacons = beset.said_since(before).into_iter().filter_map(|frame| match frame {
        Frame::Gossip { message: Message::Tree(TreeMessage::Beacon(beacon)), .. } => Some(beacon),
        _ => None,
    });
    let beacons: Vec<Beacon> = beacons.collect();
    assert!(!beacons.is_empty() && beacons.iter().all(|beacon| beacon.root != root));
}
