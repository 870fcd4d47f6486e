//! The replica in virtual time: meeting, syncing, losing and regaining links.

mod world;

use tearline_crdt::id::Class;
use tearline_mesh::invitation::Invited;
use tearline_mesh::wire::Frame;
use tearline_mesh::{Event, PeerFault};

use world::{World, protocol_bytes};

fn in_sync(event: &Event) -> bool {
    matches!(event, Event::InSync(_))
}

#[test]
fn agencies_join_by_invitation_and_share_records() {
    let mut world = World::new(3);
    let coalition = world.coalition();
    for peer in &world.peers {
        let members = peer.replica.coalition(coalition).unwrap().members().len();
        assert!(members >= 2);
    }
    let (ab, _ac) = (world.connect(1, 0), world.connect(2, 0));
    world.settle();
    let shared = world.open(0, coalition, &[1, 2]);
    let records = world.write(0, shared, Class::Routine, &["one", "two", "three"]);
    world.settle();
    for record in &records {
        let there = world.show(1, *record).expect("agency 2 is in the audience");
        assert_eq!(there.fields.get("count"), Some(&3.into()));
        assert!(world.show(2, *record).is_none(), "agency 3 is not");
    }
    assert!(world.peers[2].replica.compartment(shared).is_none());
    assert_eq!(world.peers[1].replica.areas()[&shared].name.as_deref(), Some("shared"));
    assert!(world.digests_equal(0, 1) && world.digests_equal(0, 2));
    world.cut(ab);
}

#[test]
fn news_flow_both_ways_after_a_cut() {
    let mut world = World::new(2);
    let coalition = world.coalition();
    let link = world.connect(1, 0);
    world.settle();
    let shared = world.open(0, coalition, &[1, 2]);
    world.cut(link);
    let a = world.write(0, shared, Class::Flash, &["from 0"]);
    let b = world.write(1, shared, Class::Routine, &["from 1"]);
    world.settle();
    world.connect(0, 1);
    world.settle();
    assert!(world.show(1, a[0]).is_some() && world.show(0, b[0]).is_some());
    assert!(world.digests_equal(0, 1));
}

#[test]
fn meeting_again_in_sync_costs_at_most_40_bytes() {
    let mut world = World::new(2);
    let coalition = world.coalition();
    let link = world.connect(1, 0);
    let shared = world.open(0, coalition, &[1, 2]);
    world.write(0, shared, Class::Routine, &["one"]);
    world.settle();
    world.cut(link);
    for (dialer, listener) in [(0, 1), (1, 0)] {
        world.peers.iter_mut().for_each(|peer| peer.sent.clear());
        let before = world.peers[dialer].count(in_sync);
        let link = world.connect(dialer, listener);
        world.settle();
        let bytes: usize = world.peers.iter().flat_map(|p| &p.sent).map(Vec::len).sum();
        assert!(bytes <= 40, "{bytes} bytes");
        assert_eq!(world.peers[dialer].count(in_sync), before + 1);
        world.cut(link);
    }
}

#[test]
fn a_listener_that_moved_answers_with_entries() {
    let mut world = World::new(2);
    let coalition = world.coalition();
    let link = world.connect(1, 0);
    let shared = world.open(0, coalition, &[1, 2]);
    world.settle();
    world.cut(link);
    let news = world.write(0, shared, Class::Priority, &["news"]);
    world.settle();
    world.peers.iter_mut().for_each(|peer| peer.sent.clear());
    world.connect(1, 0);
    world.settle();
    let replies: Vec<Frame> =
        world.peers[0].sent.iter().map(|bytes| Frame::decode(bytes).unwrap()).collect();
    assert!(matches!(replies.as_slice(), [Frame::Behind, Frame::Run { .. }]), "{replies:?}");
    assert!(world.show(1, news[0]).is_some());
}

#[test]
fn a_dialer_that_moved_pushes_at_once() {
    let mut world = World::new(2);
    let coalition = world.coalition();
    let link = world.connect(1, 0);
    let shared = world.open(0, coalition, &[1, 2]);
    world.settle();
    world.cut(link);
    let news = world.write(1, shared, Class::Priority, &["news"]);
    world.settle();
    world.peers.iter_mut().for_each(|peer| peer.sent.clear());
    world.connect(1, 0);
    world.settle();
    assert!(world.show(0, news[0]).is_some());
    let frames = &world.peers[1].sent;
    assert!(frames.iter().all(|f| !matches!(Frame::decode(f).unwrap(), Frame::Nodes { .. })));
    assert!(protocol_bytes(frames) < 150);
}

#[test]
fn a_device_joins_and_reads_what_came_before_it() {
    let mut world = World::new(2);
    // Peer 1 joins as a device of agency 1, after the compartment was opened and written to.
    let coalition = {
        let mut alone = World::new(1);
        let coalition = alone.coalition();
        world.peers[0] = alone.peers.remove(0);
        coalition
    };
    let drafts = world.open(0, coalition, &[1]);
    let before = world.write(0, drafts, Class::Routine, &["before"]);
    world.settle();
    world.join(coalition, 1, Invited::Device);
    world.settle();
    assert!(world.show(1, before[0]).is_some(), "the desk reseals the epoch to its new device");
    let own = world.write(1, drafts, Class::Flash, &["from the field"]);
    world.settle();
    assert!(world.show(0, own[0]).is_some());
}

#[test]
fn an_invitation_is_good_once_and_for_its_purpose() {
    let mut world = World::new(3);
    let coalition = {
        let mut alone = World::new(1);
        let coalition = alone.coalition();
        world.peers[0] = alone.peers.remove(0);
        coalition
    };
    let invitation = world.invite(coalition, Invited::Agency);
    for (peer, joins) in [(1, 1), (2, 0)] {
        let request = world.request(&invitation, peer);
        world.peers[peer].replica.join(invitation.inviter, request);
        world.connect(peer, 0);
        world.settle();
        let joined = world.peers[peer].count(|e| matches!(e, Event::Joined(_)));
        assert_eq!(joined, joins, "peer {peer}");
    }
    let second = world.peers[2].replica.device();
    assert_eq!(world.peers[0].fault_of(second), Some(PeerFault::Join));
}

#[test]
fn a_stranger_learns_nothing_and_gets_nothing() {
    let mut world = World::new(2);
    let coalition = {
        let mut alone = World::new(1);
        let coalition = alone.coalition();
        world.peers[0] = alone.peers.remove(0);
        coalition
    };
    let own = world.open(0, coalition, &[1]);
    world.write(0, own, Class::Flash, &["secret"]);
    world.settle();
    world.connect(1, 0);
    world.settle();
    assert!(world.peers[1].replica.areas().is_empty());
    for frame in &world.peers[0].sent {
        let frame = Frame::decode(frame).unwrap();
        assert!(matches!(frame, Frame::Same | Frame::Hello { .. }), "{frame:?}");
    }
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_and_the_rest_comes_again() {
    let mut world = World::new(2);
    let coalition = world.coalition();
    world.connect(1, 0);
    let shared = world.open(0, coalition, &[1, 2]);
    for round in 0..20 {
        let names: Vec<String> = (0..10).map(|n| format!("{round}/{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let acked_before = world.peers[0].count(|e| matches!(e, Event::Durable(_)));
        let records = world.write(0, shared, Class::Routine, &names);
        if round % 2 == 0 {
            world.settle();
            assert!(world.peers[0].count(|e| matches!(e, Event::Durable(_))) > acked_before);
        }
        let crashed = round % 2;
        world.crash(crashed);
        world.connect(1, 0);
        world.settle();
        if round % 2 == 0 {
            for record in records {
                assert!(world.show(0, record).is_some() && world.show(1, record).is_some());
            }
        }
        assert!(world.digests_equal(0, 1), "round {round}");
    }
}

#[test]
fn records_travel_through_a_third_peer() {
    let mut world = World::new(3);
    let coalition = world.coalition();
    let all = world.open(0, coalition, &[1, 2, 3]);
    world.connect(1, 0);
    world.settle();
    world.connect(2, 1);
    world.settle();
    let record = world.write(2, all, Class::Immediate, &["relayed"])[0];
    world.settle();
    assert!(world.show(0, record).is_some());
}
