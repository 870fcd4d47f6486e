//! What a greeting says to those who have no part in what a peer holds, and to those who have.

use std::collections::BTreeSet;

use tearline_crdt::entry::fork::ForkProof;
use tearline_crdt::entry::run::{Head, write_segment};
use tearline_crdt::frontier::{LogKey, NodeHash};
use tearline_crdt::id::{Class, CompartmentId, LogId};
use tearline_mesh::wire::Frame;
use tearline_mesh::{Input, Link, Urgency};

use crate::forger::{self, run_frame, shared, tag};
use crate::world::{World, keys};

/// The digest and roots with which a peer greets a device that opens with this nonce.
fn greeting(
    world: &mut World,
    peer: usize,
    seed: u8,
    link: Link,
    nonce: [u8; 8],
) -> (NodeHash, BTreeSet<NodeHash>) {
    world.peers[peer].sent.clear();
    world.input(peer, Input::Up { link, device: keys(seed).id(), dialer: false, thin: false });
    world.inject(peer, link, Frame::Open { digest: [1; 16], nonce }.encode());
    let hello = world.peers[peer].sent.iter().find_map(|bytes| {
        let frame = Frame::decode(bytes).unwrap();
        if let Frame::Hello { digest, areas } = frame { Some((digest, areas)) } else { None }
    });
    let (digest, areas) = hello.unwrap();
    (digest, areas.into_iter().map(|(_, root)| root).collect())
}

fn world() -> (World, CompartmentId) {
    let (mut world, all) = shared(3);
    world.write(0, all, Class::Flash, &["s"]);
    world.settle();
    world.meet(1, 0);
    assert!(world.digests_equal(0, 1));
    (world, all)
}

#[test]
fn a_stranger_is_named_nothing() {
    let (mut world, _) = world();
    for peer in 0..2 {
        let (_, roots) = greeting(&mut world, peer, 77, Link(900 + peer as u64), [5; 8]);
        assert_eq!(roots.len(), 0, "peer {peer}");
    }
}

#[test]
fn a_member_is_named_what_is_its_own_and_under_other_names_each_time() {
    let (mut world, _) = world();
    let coalition = world.peers[0].replica.areas().keys().count();
    assert_eq!(coalition, 2, "the coalition and the compartment");
    let hidden = {
        let id = world.peers[0].replica.areas().keys().find_map(|id| {
            let id = tearline_crdt::id::CoalitionId(id.0);
            world.peers[0].replica.coalition(id).map(|_| id)
        });
        world.open_named(0, id.unwrap(), &[1, 2], 7)
    };
    world.meet(1, 0);
    assert!(world.peers[1].replica.areas().contains_key(&hidden));
    let mut seen = Vec::new();
    for (peer, nonce) in [(0, [5; 8]), (0, [6; 8]), (1, [5; 8])] {
        let link = Link(900 + seen.len() as u64);
        let (digest, roots) = greeting(&mut world, peer, 3, link, nonce);
        assert_eq!(roots.len(), 2, "not the compartment that it is not in");
        seen.push((digest, roots));
        world.input(peer, Input::Down { link });
    }
    for (n, (digest, roots)) in seen.iter().enumerate() {
        for (other_digest, other_roots) in &seen[..n] {
            assert_ne!(digest, other_digest);
            assert!(roots.is_disjoint(other_roots), "the same roots are called the same");
        }
    }
}

#[test]
fn members_who_did_not_know_each_other_share_all_once_they_do() {
    let mut world = World::new(3);
    let coalition = world.coalition();
    // Peers 1 and 2 know of the founder and themselves; each came in without hearing of the other.
    world.connect(1, 2);
    world.settle();
    let before = world.peers[1].replica.coalition(coalition).unwrap().members().count();
    assert!(before >= 2);
    world.connect(1, 0);
    world.connect(2, 0);
    world.settle();
    assert!(world.digests_equal(1, 2) && world.digests_equal(0, 1));
    let both = world.open(1, coalition, &[2, 3]);
    let record = world.write(1, both, Class::Flash, &["between us"])[0];
    world.settle();
    assert!(world.show(2, record).is_some());
    for peer in &world.peers {
        assert!(peer.replica.faults().is_empty());
    }
}

/// Frames are what an observer would see if links were not sealed, and what relays and members outside the
/// audience are sent.
#[test]
fn content_and_record_ids_are_never_in_clear() {
    const CANARY: &str = "canary-4711";
    let (mut world, all) = shared(3);
    let record = world.write(0, all, Class::Flash, &[CANARY])[0];
    world.settle();
    world.meet(1, 0);
    world.meet(2, 1);
    let holds = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|part| part == what);
    for peer in 0..3 {
        assert!(world.show(peer, record).is_some_and(|shown| shown.fields["name"] == CANARY));
        for frame in &world.peers[peer].sent {
            assert!(!holds(frame, CANARY.as_bytes()) && !holds(frame, &record.0));
        }
    }
    // Nor in what peers keep of logs.
    let log = world.peers[0].replica.own_log(all, Class::Flash);
    let replica = &world.peers[2].replica;
    let entry = replica.logbook().entry(replica.store(), &log, 0).unwrap().unwrap();
    let payload = entry.payload.unwrap();
    for bytes in [&entry.sealed[..], &payload[..]] {
        assert!(!holds(bytes, CANARY.as_bytes()) && !holds(bytes, &record.0));
    }
}

#[test]
fn who_has_no_right_is_told_no_position_and_no_proof() {
    let (mut world, all) = world();
    let log = world.peers[0].replica.own_log(all, Class::Flash);
    // Of a compartment of the first two the third knows the name, and what is in it.
    let coalition = world.peers[0].replica.compartment(all).unwrap().opening().coalition;
    let both = world.open_named(0, coalition, &[1, 2], 7);
    world.meet(1, 0);
    world.write(0, both, Class::Flash, &["s"]);
    world.settle();
    let hidden = LogId { compartment: both, ..log };
    // A stranger, and a member of the coalition alone.
    for (n, (seed, id, log)) in [(77, all, log), (3, both, hidden)].into_iter().enumerate() {
        let link = Link(900 + n as u64);
        greeting(&mut world, 0, seed, link, [5; 8]);
        let area = tag(&world, 0, seed, id);
        let hello = Frame::Hello { digest: [1; 16], areas: vec![(area, [2; 16])] };
        world.inject(0, link, hello.encode());
        world.input(0, Input::Sent { link, urgency: Urgency::Control });
        world.settle();
        world.peers[0].sent.clear();
        for (key, author) in
            [(log, None), (log, Some(log)), (forger::log(id, Class::Flash, 3, 9), None)]
                .map(|(log, author)| (LogKey::of(&log), author))
        {
            let author = author.map(|log| (log.device, log.incarnation));
            for first in [0, 1, 9] {
                let (entries, boxes) = (vec![7; 100], vec![]);
                let author = author.filter(|_| first == 0);
                let run = Frame::Run {
                    area,
                    key,
                    author,
                    knows: None,
                    hops: None,
                    left_out: false,
                    first,
                    count: 1,
                    entries,
                    boxes,
                };
                world.inject(0, link, run.encode());
            }
        }
        // A fork is proven while it listens.
        let forked = forger::log(id, Class::Routine, 2, 9);
        let branches = [(0, 2), (1, 1)].map(|(peer, seed)| {
            let sealed = [forger::sealed(peer as u8)];
            let run = write_segment(&forked, &Head::EMPTY, keys(2).signer(), &sealed).unwrap();
            let from = Link(950 + 2 * n as u64 + peer as u64);
            forger::link_as(&mut world, peer, seed, from);
            let area = tag(&world, peer, seed, id);
            world.inject(peer, from, run_frame(area, &run));
            let replica = &world.peers[peer].replica;
            replica.logbook().branch(replica.store(), &forked, 0).unwrap().unwrap()
        });
        let [one, other] = branches;
        let proof = ForkProof::new(one, other).unwrap().encode();
        let theirs = tag(&world, 0, 2, id);
        let from = Link(950 + 2 * n as u64);
        world.inject(0, from, Frame::Fork { area: theirs, proof }.encode());
        assert_eq!(world.peers[0].replica.logbook().state(&forked).unwrap().proven_at, Some(0));
        world.input(0, Input::Down { link: from });
        let told: Vec<_> =
            world.peers[0].sent.iter().map(|bytes| Frame::decode(bytes).unwrap()).collect();
        let for_it = |frame: &&Frame| match frame {
            Frame::Positions { area: of, .. } | Frame::Have { area: of, .. } => *of == area,
            Frame::Fork { area: of, .. } | Frame::Run { area: of, .. } => *of == area,
            Frame::Evidence { area: of, .. } | Frame::Nodes { area: of, .. } => *of == area,
            _ => false,
        };
        let for_it: Vec<_> = told.iter().filter(for_it).collect();
        assert!(for_it.is_empty(), "{seed}: {for_it:?}");
        assert!(
            world.peers[0].replica.counted_faults().is_empty(),
            "{:?}",
            world.peers[0].replica.counted_faults()
        );
    }
}
