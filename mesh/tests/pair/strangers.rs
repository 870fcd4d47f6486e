//! What a greeting says to those who have no part in what a peer holds, and to those who have.

use std::collections::BTreeSet;

use tearline_crdt::frontier::NodeHash;
use tearline_crdt::id::{Class, CompartmentId};
use tearline_mesh::wire::Frame;
use tearline_mesh::{Input, Link};

use crate::forger::shared;
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
    world.input(peer, Input::Up { link, device: keys(seed).id(), dialer: false });
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
