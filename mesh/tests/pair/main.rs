//! The replica in virtual time: meeting, syncing, losing and regaining links.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod alert;
mod asking;
mod boxes;
mod branches;
mod bundles;
mod delay;
mod durable;
mod ended;
mod excess;
mod files;
mod flow;
mod forger;
mod forks;
mod frames;
mod gossip;
mod govern;
mod greeting;
mod history;
mod hostile;
mod insync;
mod interest;
mod joining;
mod lacks;
mod load;
mod lost;
mod member;
mod owing;
mod pieces;
mod presence;
mod quota;
mod reauthor;
mod receipts;
mod refusals;
mod relay;
mod repair;
mod room;
mod scattered;
mod schedule;
mod sources;
mod strangers;
mod strays;
mod stripped;
mod table;
mod thin;
mod whereabouts;
mod world;

use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::{AgencyNo, Class, EpochId};
use tearline_crdt::statement::Statement;
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
        let members = peer.replica.coalition(coalition).unwrap().members().count();
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
fn what_becomes_durable_while_peers_greet_each_other_is_not_left_behind() {
    for writer in [0, 1] {
        let mut world = World::new(2);
        let coalition = world.coalition();
        world.meet(1, 0);
        let shared = world.open(0, coalition, &[1, 2]);
        world.meet(1, 0);
        // In sync, or one side is already ahead, so that they do not find each other equal.
        for ahead in [None, Some(0), Some(1)] {
            for steps in 0..8 {
                if let Some(ahead) = ahead {
                    world.write(ahead, shared, Class::Priority, &["earlier"]);
                    world.settle();
                }
                let link = world.connect(1, 0);
                world.steps(steps);
                let record = world.write(writer, shared, Class::Routine, &["now"])[0];
                world.settle();
                let there = world.show(1 - writer, record).is_some();
                assert!(there, "by {writer}, {ahead:?} ahead, after {steps}");
                world.cut(link);
            }
        }
    }
}

#[test]
fn what_is_opened_while_peers_greet_each_other_is_introduced() {
    for opener in [0, 1] {
        let mut world = World::new(2);
        let coalition = world.coalition();
        world.meet(1, 0);
        for steps in 0..8 {
            let link = world.connect(1, 0);
            world.steps(steps);
            let now = world.now();
            let audience = [1, 2].map(AgencyNo).to_vec();
            let replica = &mut world.peers[opener].replica;
            let id = replica.open_another(now, coalition, audience, "new").unwrap().value;
            world.drain(opener);
            let record = world.write(opener, id, Class::Routine, &["now"])[0];
            world.settle();
            assert!(world.show(1 - opener, record).is_some(), "by {opener}, after {steps}");
            assert!(world.digests_equal(0, 1), "by {opener}, after {steps}");
            world.cut(link);
        }
    }
}

/// At every moment: who says that all is equal, of what was durable when the peer was asked.
#[test]
fn nobody_is_held_to_have_what_was_not_sent_to_it_yet() {
    for writer in [0, 1] {
        for steps in 0..8 {
            let mut world = World::new(2);
            let coalition = world.coalition();
            world.meet(1, 0);
            let shared = world.open(0, coalition, &[1, 2]);
            world.meet(1, 0);
            let link = world.connect(1, 0);
            world.steps(steps);
            world.write(writer, shared, Class::Routine, &["now"]);
            let log = world.peers[writer].replica.own_log(shared, Class::Routine);
            loop {
                let replica = &world.peers[writer].replica;
                let durable = replica.areas()[&shared].frontier.head(&LogKey::of(&log)).next > 0;
                let there = world.peers[1 - writer].replica.logbook().head(&log).next > 0;
                let (heard, _) = replica.heard(&log, 0);
                assert!(there || heard.is_empty(), "by {writer}, after {steps}");
                let in_sync = replica.peers().iter().any(|state| state.in_sync);
                assert!(there || !durable || !in_sync, "by {writer}, after {steps}");
                if !world.step() {
                    break;
                }
            }
            world.cut(link);
            assert!(!world.peers[writer].replica.heard(&log, 0).0.is_empty());
        }
    }
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
    let [Frame::Behind, Frame::Run { .. }, Frame::Same] = replies.as_slice() else {
        panic!("{replies:?}");
    };
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

#[test]
fn garbage_lies_and_false_acknowledgements_are_blamed_and_change_nothing() {
    use tearline_mesh::wire::FRAME_BYTES_MAX;
    let no_opening = Statement::Describe { epoch: EpochId([9; 32]) };
    let frames: Vec<(Vec<u8>, &str)> = vec![
        (vec![], "malformed-frame"),
        (vec![99, 1, 2], "malformed-frame"),
        (vec![0; FRAME_BYTES_MAX + 1], "oversize-frame"),
        (Frame::Same.encode(), "out-of-turn"),
        (Frame::JoinAnswer { answer: vec![1] }.encode(), "out-of-turn"),
        (Frame::Intro { opening: vec![9, 9] }.encode(), "malformed-frame"),
        (Frame::Intro { opening: no_opening.encode() }.encode(), "bad-introduction"),
    ];
    for (bytes, name) in frames {
        let mut world = World::new(2);
        let coalition = world.coalition();
        let link = world.connect(1, 0);
        let shared = world.open(0, coalition, &[1, 2]);
        let record = world.write(0, shared, Class::Routine, &["kept"])[0];
        world.settle();
        let before = world.peers[0].replica.pair_digest(&world.peers[1].replica.device());
        world.inject(0, link, bytes);
        let attacker = world.peers[1].replica.device();
        let counted = &world.peers[0].replica.faults()[&attacker];
        assert_eq!(counted.get(name), Some(&1), "{name}: {counted:?}");
        assert!(
            world.peers[0].closed.iter().any(|(closed, fault)| *closed == link && fault.is_some())
        );
        let after = world.peers[0].replica.pair_digest(&attacker);
        assert_eq!(before, after);
        assert!(world.show(0, record).is_some());
        // It may come again, and honest sync goes on.
        world.connect(1, 0);
        world.settle();
        assert!(world.digests_equal(0, 1));
    }
}

#[test]
fn a_run_that_does_not_verify_is_blamed_on_its_sender_and_not_stored() {
    let mut world = World::new(2);
    let coalition = world.coalition();
    let shared = world.open(0, coalition, &[1, 2]);
    world.write(0, shared, Class::Routine, &["one", "two"]);
    world.settle();
    let link = world.connect(1, 0);
    world.settle();
    let runs: Vec<Vec<u8>> = world.peers[0]
        .sent
        .iter()
        .filter(|bytes| matches!(Frame::decode(bytes).unwrap(), Frame::Run { .. }))
        .cloned()
        .collect();
    // Replayed: the receiver is ahead of it and says so; nobody is blamed.
    let digest = world.peers[1].replica.pair_digest(&world.peers[0].replica.device());
    for run in &runs {
        world.inject(1, link, run.clone());
    }
    assert!(world.peers[1].replica.faults().is_empty());
    assert_eq!(world.peers[1].replica.pair_digest(&world.peers[0].replica.device()), digest);
    // Changed, to a peer that lacks it.
    let mut world = World::new(2);
    let coalition = world.coalition();
    let shared = world.open(0, coalition, &[1, 2]);
    let link = world.connect(1, 0);
    world.settle();
    world.write(0, shared, Class::Flash, &["new"]);
    world.deliver_changed(|frame| match frame {
        Frame::Run { entries, .. } => {
            let last = entries.len() - 1;
            entries[last] ^= 1;
            true
        }
        _ => false,
    });
    world.settle();
    let sender = world.peers[0].replica.device();
    assert_eq!(world.peers[1].replica.faults()[&sender].get("bad-signature"), Some(&1));
    assert!(world.peers[1].closed.iter().any(|(closed, _)| *closed == link));
}

#[test]
fn a_flash_overtakes_what_is_routine() {
    let mut world = World::new(2);
    let coalition = world.coalition();
    let shared = world.open(0, coalition, &[1, 2]);
    let link = world.connect(1, 0);
    world.settle();
    world.cut(link);
    let routine: Vec<String> = (0..3_000).map(|n| format!("routine {n}")).collect();
    for part in routine.chunks(20) {
        let names: Vec<&str> = part.iter().map(String::as_str).collect();
        world.write(0, shared, Class::Routine, &names);
    }
    world.settle();
    world.connect(1, 0);
    world.steps(12);
    let flash = world.write(0, shared, Class::Flash, &["now"])[0];
    let routine_held = |world: &World| {
        let logs = world.peers[1].replica.logbook().logs_of(shared);
        logs.filter(|(log, _)| log.class == Class::Routine).map(|(_, s)| s.head.next).sum::<u64>()
    };
    while world.show(1, flash).is_none() {
        assert!(world.steps(1), "the flash never came");
    }
    assert!(routine_held(&world) < 3_000, "all routine entries came first");
    world.settle();
    assert_eq!(routine_held(&world), 3_000);
}

#[test]
fn a_hundred_scattered_changes_cost_at_most_four_kilobytes() {
    let mut world = World::new(2);
    let coalition = world.coalition();
    let all = world.open(0, coalition, &[1, 2]);
    // Forty logs that move: devices are dear to make, compartments are not.
    let mut logs = vec![all];
    for n in 0..39u16 {
        logs.push(world.open_named(0, coalition, &[1, 2], n));
    }
    let link = world.connect(1, 0);
    world.settle();
    for id in &logs {
        world.write(0, *id, Class::Routine, &["before"]);
    }
    world.settle();
    world.cut(link);
    for n in 0..100 {
        world.write(0, logs[n * 7 % logs.len()], Class::Routine, &["changed"]);
    }
    world.settle();
    world.peers.iter_mut().for_each(|peer| peer.sent.clear());
    world.connect(1, 0);
    world.settle();
    let first = Frame::decode(&world.peers[0].sent[1]).unwrap();
    assert!(matches!(first, Frame::Run { .. }), "the first reply carries entries");
    let bytes: usize = world.peers.iter().map(|peer| protocol_bytes(&peer.sent)).sum();
    assert!(bytes <= 4_000, "{bytes} bytes beyond the entries");
    assert!(world.digests_equal(0, 1));
}

#[test]
fn changes_scattered_over_many_records_of_many_devices_cost_as_little() {
    use scattered::{BEYOND_BYTES_MAX, Scattered};
    let mut scattered = Scattered::new(50);
    for forgets in [false, true] {
        scattered.change();
        if forgets {
            scattered.forget();
        }
        let meeting = scattered.meet();
        assert!(meeting.beyond <= BEYOND_BYTES_MAX, "{meeting:?}, forgets: {forgets}");
        assert!(meeting.entries >= 100 * 120, "all changes were sent, {meeting:?}");
        assert!(forgets || meeting.before_entries == 1, "the first reply carries entries");
    }
}

/// A cloned machine writes on: whatever the segments that either of the two signed, the peers that
/// heard one each find the proof when they meet, pass it on, and blame nobody but the author.
#[test]
fn a_fork_within_segments_of_any_lengths_is_proven_and_spread() {
    for (ours, clones) in [(1, 1), (3, 3), (3, 5), (5, 3), (1, 4), (200, 7)] {
        let mut world = World::new(4);
        let coalition = world.coalition();
        let shared = world.open(0, coalition, &[1, 2, 3, 4]);
        for peer in 1..4 {
            let link = world.connect(peer, 0);
            world.settle();
            world.cut(link);
        }
        let clone = world.clone_of(0);
        for (author, hearer, count) in [(0, 1, ours), (clone, 2, clones)] {
            world.write(author, shared, Class::Routine, &vec!["seen"; count]);
            world.settle();
            let link = world.connect(hearer, author);
            world.settle();
            world.cut(link);
        }
        world.connect(1, 2);
        world.connect(3, 1);
        world.settle();
        let log = world.peers[0].replica.own_log(shared, Class::Routine);
        for peer in [1, 2, 3] {
            let replica = &world.peers[peer].replica;
            let forked = |event: &Event| *event == Event::Forked(log);
            assert_eq!(world.peers[peer].count(forked), 1, "peer {peer} of {ours}/{clones}");
            assert!(replica.logbook().state(&log).unwrap().forked_at.is_some());
            assert!(replica.counted_faults().is_empty(), "{:?}", replica.faults());
        }
    }
}
