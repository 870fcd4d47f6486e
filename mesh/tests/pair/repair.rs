//! What rots in a store costs what it holds: the rest goes on, others are not kept waiting, nobody is blamed,
//! and what can be fetched again is.

use proptest::prelude::*;
use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::{Class, CompartmentId, LogId, RecordId};
use tearline_crdt::store::{Space, Store as _};
use tearline_mesh::replica::Room;
use tearline_mesh::wire::Frame;
use tearline_mesh::{Event, Input};

use crate::world::World;

/// Peers that share a compartment which peer 0 opened, each with a log of its own. Nobody is linked.
struct Stage {
    world: World,
    shared: CompartmentId,
}

fn stage(peers: usize) -> Stage {
    let mut world = World::new(peers);
    let coalition = world.coalition();
    for peer in 1..peers {
        world.connect(peer, 0);
    }
    world.settle();
    let audience: Vec<u16> = (1..=peers as u16).collect();
    let shared = world.open(0, coalition, &audience);
    world.settle();
    (1..20).for_each(|n| world.cut(tearline_mesh::Link(n)));
    Stage { world, shared }
}

/// Writes records one by one, so that each lies in a chunk of its own once others have them.
fn write(world: &mut World, peer: usize, shared: CompartmentId, count: usize) -> Vec<RecordId> {
    let record = |n: usize| {
        let record = world.write(peer, shared, Class::Routine, &[&format!("{peer}-{n}")])[0];
        world.settle();
        record
    };
    (0..count).map(record).collect()
}

fn chunk(world: &World, peer: usize, log: &LogId, last: u64) -> Vec<u8> {
    let no = world.peers[peer].replica.logbook().state(log).unwrap().no;
    [&no.0.to_be_bytes()[..], &last.to_be_bytes()].concat()
}

fn rot(world: &mut World, peer: usize, log: &LogId, last: u64) {
    let key = chunk(world, peer, log, last);
    assert!(world.peers[peer].replica.store_mut().rot(Space::Entries, &key), "no such chunk");
}

fn unreadable(world: &World, peer: usize) -> Vec<(u64, u64)> {
    world.peers[peer].replica.unreadable().map(|gap| (gap.first, gap.count)).collect()
}

fn nobody_is_blamed(world: &World) {
    for peer in &world.peers {
        assert_eq!(peer.count(|event| matches!(event, Event::Fault { .. })), 0);
    }
}

fn shows(world: &mut World, peer: usize, records: &[RecordId]) -> Vec<bool> {
    records.iter().map(|record| world.show(peer, *record).is_some()).collect()
}

/// Who lacks what is damaged gets what is before it, does not wait for it, and gets what is behind it once it
/// has it from another.
#[test]
fn what_is_intact_before_and_behind_damage_is_given() {
    let Stage { mut world, shared } = stage(3);
    let link = world.connect(0, 1);
    let records = write(&mut world, 1, shared, 5);
    world.cut(link);
    let log = world.peers[1].replica.own_log(shared, Class::Routine);
    rot(&mut world, 0, &log, 2);
    world.meet(2, 0);
    assert_eq!(shows(&mut world, 2, &records), [true, true, false, false, false]);
    assert_eq!(unreadable(&world, 0), [(2, 1)]);
    // Both know it while they are linked: neither calls the other in sync, and neither waits.
    let link = world.connect(2, 0);
    world.settle();
    for (peer, gone) in [(0, 0), (2, 1)] {
        let [state] = &world.peers[peer].replica.peers()[..] else { panic!("one link") };
        assert!(!state.in_sync && state.gone == gone && state.withheld == 1 - gone, "{state:?}");
        assert_eq!((state.entries_ahead, state.entries_behind), (0, 0));
    }
    let sent = world.peers[0].sent.len();
    world.run_for(4 * 3_600_000);
    assert!(world.peers[0].sent.len() < sent + 100, "nobody asks for ever");
    // Another gives what lies between; the rest comes from either.
    let other = world.connect(2, 1);
    world.settle();
    assert_eq!(shows(&mut world, 2, &records), [true; 5]);
    world.cut(other);
    // Who has it all again gives it back.
    world.run_for(700_000);
    assert_eq!(unreadable(&world, 0), []);
    assert_eq!(shows(&mut world, 0, &records), [true; 5]);
    for peer in [0, 2] {
        assert!(world.peers[peer].replica.peers()[0].in_sync);
    }
    assert!(world.digests_equal(0, 2));
    world.cut(link);
    nobody_is_blamed(&world);
}

/// What is met anywhere is fetched from a peer that holds the log, also by its author, and survives a power cut.
#[test]
fn what_rotted_is_fetched_again_from_who_has_it() {
    let Stage { mut world, shared } = stage(2);
    let link = world.connect(0, 1);
    let records = write(&mut world, 1, shared, 6);
    let log = world.peers[1].replica.own_log(shared, Class::Routine);
    for peer in [0, 1] {
        [0, 3, 4].into_iter().for_each(|last| rot(&mut world, peer, &log, last));
        // Asked who has them not yet.
        for last in [0, 4] {
            let replica = &mut world.peers[peer].replica;
            let error = replica.logbook().entry(replica.store(), &log, last).unwrap_err();
            replica.met(&error).unwrap();
            world.drain(peer);
        }
        assert_eq!(unreadable(&world, peer), [(0, 1), (3, 2)]);
        world.settle();
        assert_eq!(unreadable(&world, peer), [], "peer {peer}");
        assert_eq!(shows(&mut world, peer, &records), [true; 6]);
        assert_eq!(world.peers[peer].replica.fetched_again(), 3);
        world.crash(peer);
        assert_eq!(shows(&mut world, peer, &records), [true; 6]);
        let next = world.connect(0, 1);
        world.settle();
        assert_ne!(next, link);
    }
    let more = write(&mut world, 1, shared, 1);
    assert_eq!(shows(&mut world, 0, &more), [true], "the log goes on");
    nobody_is_blamed(&world);
}

/// Each has what the other lost.
#[test]
fn two_peers_with_different_damage_heal_each_other() {
    let Stage { mut world, shared } = stage(2);
    let link = world.connect(0, 1);
    let records: Vec<RecordId> = [0, 1].map(|peer| write(&mut world, peer, shared, 4)).concat();
    world.cut(link);
    let logs = [0, 1].map(|peer| world.peers[peer].replica.own_log(shared, Class::Routine));
    for (peer, lost) in [(0, [0, 2]), (1, [1, 3])] {
        for log in &logs {
            lost.into_iter().for_each(|last| rot(&mut world, peer, log, last));
            let replica = &mut world.peers[peer].replica;
            for last in lost {
                let error = replica.logbook().entry(replica.store(), log, last).unwrap_err();
                replica.met(&error).unwrap();
            }
        }
        assert_eq!(unreadable(&world, peer).len(), 4);
    }
    world.meet(0, 1);
    for peer in [0, 1] {
        assert_eq!(unreadable(&world, peer), []);
        assert_eq!(shows(&mut world, peer, &records), [true; 8]);
    }
    // What both lost stays lost, is named, and keeps nobody from anything.
    for peer in [0, 1] {
        rot(&mut world, peer, &logs[0], 1);
        let replica = &mut world.peers[peer].replica;
        let error = replica.logbook().entry(replica.store(), &logs[0], 1).unwrap_err();
        replica.met(&error).unwrap();
    }
    let link = world.connect(1, 0);
    let more = write(&mut world, 0, shared, 1);
    assert_eq!(shows(&mut world, 1, &more), [true]);
    let asks = |world: &World| {
        let frames = world.peers.iter().flat_map(|peer| &peer.sent);
        frames.filter(|bytes| matches!(Frame::decode(bytes), Ok(Frame::Ask { .. }))).count()
    };
    let before = asks(&world);
    world.run_for(6_000_000);
    assert!(asks(&world) <= before + 22, "once in ten minutes each, at most");
    assert_eq!(unreadable(&world, 0), [(1, 1)]);
    world.cut(link);
    nobody_is_blamed(&world);
}

/// A power cut or a full disk in the middle of a repair costs the repair, which begins again.
#[test]
fn a_repair_that_breaks_off_begins_again() {
    let Stage { mut world, shared } = stage(2);
    let link = world.connect(0, 1);
    let records = write(&mut world, 1, shared, 3);
    world.cut(link);
    let log = world.peers[1].replica.own_log(shared, Class::Routine);
    let meet_it = |world: &mut World| {
        let replica = &mut world.peers[0].replica;
        let error = replica.logbook().entry(replica.store(), &log, 1).unwrap_err();
        replica.met(&error).unwrap();
        world.drain(0);
    };
    // At each step of it.
    for steps in 0.. {
        rot(&mut world, 0, &log, 1);
        meet_it(&mut world);
        world.connect(0, 1);
        let settled = !world.steps(steps);
        let lost = world.peers[0].replica.store().batches_unflushed() > 0;
        if lost {
            // The cut takes what was put in its place; what was damaged before is so still.
            world.crash(0);
            rot(&mut world, 0, &log, 1);
        } else {
            world.crash(0);
        }
        let replica = &world.peers[0].replica;
        if replica.logbook().entry(replica.store(), &log, 1).is_err() {
            meet_it(&mut world);
            world.meet(0, 1);
        }
        assert_eq!(shows(&mut world, 0, &records), [true; 3]);
        assert_eq!(unreadable(&world, 0), []);
        if settled {
            break;
        }
    }
    // On a full disk nothing is asked for; when there is room it is.
    rot(&mut world, 0, &log, 1);
    world.input(0, Input::Room { room: Room::Statements });
    meet_it(&mut world);
    world.connect(0, 1);
    world.settle();
    assert_eq!(unreadable(&world, 0), [(1, 1)]);
    world.input(0, Input::Room { room: Room::Everything });
    world.settle();
    world.run_for(700_000);
    assert_eq!(unreadable(&world, 0), []);
    nobody_is_blamed(&world);
}

/// What was erased since is not put back by a repair, and what holds erased entries is destroyed though it
/// cannot be read.
#[test]
fn what_is_erased_stays_so_when_its_chunk_comes_again() {
    let Stage { mut world, shared } = stage(3);
    let links = [world.connect(0, 1), world.connect(2, 1)];
    let records = world.write(1, shared, Class::Routine, &["one", "canary", "three"]);
    world.settle();
    links.into_iter().for_each(|link| world.cut(link));
    let log = world.peers[1].replica.own_log(shared, Class::Routine);
    rot(&mut world, 0, &log, 2);
    let now = world.now();
    let erase = tearline_mesh::replica::Word::Erase { basis: "Article 17".into() };
    world.peers[1].replica.speak(now, records[1], &erase).unwrap();
    world.drain(1);
    world.settle();
    world.meet(0, 1);
    world.wait(31 * 24 * 3_600_000);
    world.meet(0, 1);
    world.run_for(700_000);
    assert_eq!(unreadable(&world, 0), []);
    assert_eq!(shows(&mut world, 0, &records), [true, false, true]);
    let replica = &world.peers[0].replica;
    let entry = replica.logbook().entry(replica.store(), &log, 1).unwrap().unwrap();
    assert!(entry.payload.is_none() && entry.key_box.is_none());
    nobody_is_blamed(&world);
}

/// A peer that answers with other entries is blamed, and what it gave is not stored.
#[test]
fn who_repairs_with_other_entries_is_blamed() {
    let Stage { mut world, shared } = stage(2);
    let link = world.connect(0, 1);
    write(&mut world, 1, shared, 3);
    let log = world.peers[1].replica.own_log(shared, Class::Routine);
    rot(&mut world, 0, &log, 1);
    let replica = &mut world.peers[0].replica;
    let error = replica.logbook().entry(replica.store(), &log, 1).unwrap_err();
    replica.met(&error).unwrap();
    world.drain(0);
    let key = LogKey::of(&log);
    let mut changed = false;
    while !changed {
        world.deliver_changed(|frame| match frame {
            Frame::Piece { entries, key: of, .. } if *of == key => {
                entries[50] ^= 1;
                changed = true;
                true
            }
            _ => false,
        });
        assert!(world.step(), "it is given");
    }
    world.settle();
    assert_eq!(world.peers[0].count(|event| matches!(event, Event::Fault { .. })), 1);
    assert_eq!(unreadable(&world, 0), [(1, 1)]);
    world.cut(link);
}

/// What rots.
const SPACES: [Space; 8] = [
    Space::Entries,
    Space::Boxes,
    Space::Ids,
    Space::Records,
    Space::Waiting,
    Space::Proofs,
    Space::Erasing,
    Space::Disclosed,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Any values of two peers rot, or rows of logs of records are lost: nothing ends, nobody is blamed, and what
    /// is whole anywhere arrives.
    #[test]
    fn whatever_rots_costs_no_more_than_it_holds(
        hurts in prop::collection::vec((0usize..2, any::<prop::sample::Index>(), any::<bool>()), 1..12),
        written in prop::collection::vec((0usize..3, 1usize..4), 1..8),
        crash: bool,
    ) {
        let Stage { mut world, shared } = stage(3);
        let links = [world.connect(0, 1), world.connect(2, 1)];
        let mut records = Vec::new();
        for (peer, count) in &written {
            records.extend(write(&mut world, *peer, shared, *count));
        }
        links.into_iter().for_each(|link| world.cut(link));
        let authority: Vec<[u8; 4]> = (0..2)
            .flat_map(|peer| {
                let logs = world.peers[peer].replica.logbook().logs();
                let of = logs.filter(|(log, _)| log.class == Class::Authority);
                of.map(|(_, state)| state.no.0.to_be_bytes()).collect::<Vec<_>>()
            })
            .collect();
        for (peer, at, gone) in hurts {
            let store = world.peers[peer].replica.store_mut();
            let mut keys = Vec::new();
            for space in SPACES {
                store.scan(space, &[], &[], &mut |key, _| {
                    let of_log = matches!(space, Space::Entries | Space::Boxes | Space::Ids);
                    // What says who may read is no matter of a moment: without it a peer does not start.
                    if !(of_log && authority.iter().any(|no| key.starts_with(no))) {
                        keys.push((space, key.to_vec()));
                    }
                    std::ops::ControlFlow::Continue(())
                }).ok();
            }
            if keys.is_empty() {
                continue;
            }
            let (space, key) = keys[at.index(keys.len())].clone();
            if gone && space == Space::Entries {
                let mut batch = tearline_crdt::store::Batch::default();
                batch.remove(space, key);
                store.apply(batch).unwrap();
                store.flush().unwrap();
            } else {
                store.rot(space, &key);
            }
        }
        if crash {
            [0, 1].into_iter().for_each(|peer| world.crash(peer));
        }
        // Peer 2 has it all, and writes on.
        let more = write(&mut world, 2, shared, 1)[0];
        for (a, b) in [(0, 1), (2, 0), (1, 2), (0, 1)] {
            world.meet(a, b);
        }
        for peer in [0, 1] {
            let replica = &mut world.peers[peer].replica;
            let logs: Vec<(LogId, u64)> =
                replica.logbook().logs().map(|(log, state)| (*log, state.head.next)).collect();
            for (log, end) in logs {
                for seq in 0..end {
                    if let Err(error) = replica.logbook().entry(replica.store(), &log, seq) {
                        replica.met(&error).unwrap();
                    }
                }
            }
            world.drain(peer);
        }
        for (a, b) in [(0, 2), (1, 2), (0, 1)] {
            world.meet(a, b);
        }
        nobody_is_blamed(&world);
        for peer in [0, 1] {
            prop_assert_eq!(unreadable(&world, peer), []);
            let all: Vec<(LogId, _)> = world.peers[2]
                .replica
                .logbook()
                .logs()
                .map(|(log, state)| (*log, state.head))
                .collect();
            for (log, expected) in all {
                prop_assert_eq!(world.peers[peer].replica.logbook().head(&log), expected);
            }
            for record in records.iter().chain([&more]) {
                let shown = world.peers[peer].replica.records(|reader| reader.show(*record));
                // A listing that rotted is named; all else is there.
                if let Ok(shown) = shown {
                    prop_assert!(shown.is_some(), "{} at {}", record, peer);
                } else {
                    let rotten = world.peers[peer].replica.store().get(Space::Records, &record.0);
                    prop_assert!(rotten.is_err());
                }
            }
        }
    }
}
