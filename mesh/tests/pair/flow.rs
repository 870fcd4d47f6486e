//! What is on its way, refused, and asked for again: no link stands still while there is something
//! that one side lacks.

use tearline_crdt::entry::fork::ForkProof;
use tearline_crdt::entry::run::{Head, NewEntry, VerifiedRun, write_segment};
use tearline_crdt::frontier::{Leaf, LogKey, head_tag};
use tearline_crdt::id::{Class, CompartmentId, Incarnation, LogId};
use tearline_mesh::wire::Frame;
use tearline_mesh::{Input, Link, PeerFault, Urgency};

use crate::forger::{link_as, log, run_frame, sealed, shared, tag};
use crate::world::{World, keys};

/// Segments of a log of the third device, each of so many entries of so many bytes.
fn segments(log: &LogId, sizes: &[(usize, usize)]) -> Vec<VerifiedRun> {
    let mut head = Head::EMPTY;
    let segment = |&(count, bytes): &(usize, usize)| {
        let entry = |n| NewEntry { payload: Some(vec![n; bytes]), ..sealed(n) };
        let entries: Vec<NewEntry> = (0..count as u8).map(entry).collect();
        let run = write_segment(log, &head, keys(3).signer(), &entries).unwrap();
        head = *run.to();
        run
    };
    sizes.iter().map(segment).collect()
}

fn feed(world: &mut World, to: usize, all: CompartmentId, seed: u8, runs: &[VerifiedRun]) {
    let area = tag(world, to, seed, all);
    for run in runs {
        let bytes = run_frame(area, run);
        world.input(to, Input::Frame { link: Link(900 + to as u64), bytes });
    }
}

#[test]
fn a_peer_that_got_ahead_meanwhile_does_not_close_the_window() {
    let (mut world, all) = shared(3);
    let runs = segments(&log(all, Class::Routine, 3, 9), &[(2, 20_000), (3, 60)]);
    for peer in [0, 1] {
        link_as(&mut world, peer, 3, Link(900 + peer as u64));
    }
    let link = world.connect(1, 0);
    world.settle();
    // Both hear the beginning at once and push it to each other; one has the rest already.
    feed(&mut world, 0, all, 3, &runs);
    feed(&mut world, 1, all, 3, &runs[..1]);
    world.settle();
    let record = world.write(1, all, Class::Routine, &["another author's"])[0];
    world.settle();
    assert!(world.show(0, record).is_some());
    assert!(world.digests_equal(0, 1));
    for peer in &world.peers[..2] {
        let states = peer.replica.peers();
        let state = states.iter().find(|state| state.link == link).unwrap();
        assert!(state.in_sync, "{state:?}");
    }
}

#[test]
fn what_a_log_goes_on_with_while_its_beginning_is_asked_for_comes_too() {
    for (dialer, listener) in [(0, 1), (1, 0)] {
        let (mut world, all) = shared(3);
        for (life, steps) in (0..14).enumerate() {
            let log = LogId {
                incarnation: Incarnation(100 + life as u64),
                ..log(all, Class::Flash, 3, 0)
            };
            let runs = segments(&log, &[(1, 3_000); 6]);
            // Neither remembers the other, so they compare what they hold.
            world.crash(0);
            world.crash(1);
            link_as(&mut world, 0, 3, Link(900));
            feed(&mut world, 0, all, 3, &runs[..4]);
            world.settle();
            let link = world.connect(dialer, listener);
            world.steps(steps);
            feed(&mut world, 0, all, 3, &runs[4..]);
            world.settle();
            let heads = [0, 1].map(|peer| world.peers[peer].replica.logbook().head(&log).next);
            assert_eq!(heads, [6, 6], "after {steps} steps, {dialer} dials");
            world.cut(link);
        }
    }
}

/// What a peer said of refused runs and of positions since its frames were last forgotten.
fn answers(world: &World, peer: usize, key: LogKey) -> (Vec<u64>, Vec<u64>) {
    let (mut declined, mut positions) = (Vec::new(), Vec::new());
    for bytes in &world.peers[peer].sent {
        match Frame::decode(bytes).unwrap() {
            Frame::Decline { logs, .. } => {
                declined.extend(logs.iter().filter(|(log, _)| *log == key).map(|(_, seq)| *seq));
            }
            Frame::Positions { positions: said, .. } => {
                positions.extend(said.iter().filter(|leaf| leaf.key == key).map(|leaf| leaf.next));
            }
            _ => {}
        }
    }
    (declined, positions)
}

#[test]
fn what_follows_a_refused_run_is_refused_until_something_has_changed() {
    let (mut world, all) = shared(3);
    let log = log(all, Class::Routine, 3, 9);
    let key = LogKey::of(&log);
    let runs = segments(&log, &[(2, 60), (1, 60), (1, 60)]);
    link_as(&mut world, 0, 3, Link(900));
    feed(&mut world, 0, all, 3, &runs[..1]);
    world.settle();
    world.peers[0].sent.clear();
    let stripped = runs[1].detached(|_| true).unwrap().unwrap();
    feed(&mut world, 0, all, 3, &[stripped]);
    feed(&mut world, 0, all, 3, &runs[2..]);
    world.settle();
    assert_eq!(answers(&world, 0, key), (vec![2, 3], vec![]));
    world.peers[0].sent.clear();
    world.meet(1, 0);
    let coalition = world.peers[0].replica.compartment(all).unwrap().opening().coalition;
    world.open_named(0, coalition, &[1, 2, 3], 7);
    assert_eq!(answers(&world, 0, key), (vec![], vec![2]), "statements came");
    // What it takes after all is not refused any more.
    feed(&mut world, 0, all, 3, &runs[1..2]);
    feed(&mut world, 0, all, 3, &runs[1..2]);
    world.settle();
    assert_eq!(answers(&world, 0, key), (vec![], vec![2, 3]));
}

#[test]
fn a_late_refusal_says_nothing_of_what_was_sent_since() {
    let (mut world, all) = shared(3);
    let log = log(all, Class::Flash, 3, 9);
    let runs = segments(&log, &[(1, 60); 3]);
    link_as(&mut world, 0, 3, Link(900));
    link_as(&mut world, 0, 2, Link(901));
    feed(&mut world, 0, all, 3, &runs[..2]);
    world.settle();
    let area = tag(&world, 0, 2, all);
    // The device at the other end has the first entry and refuses something from before that.
    let key = LogKey::of(&log);
    world.inject(0, Link(901), Frame::Have { area, logs: vec![(key, 1)] }.encode());
    let leaf = Leaf { key, next: 1, head: head_tag(&runs[0].to().id) };
    world.inject(0, Link(901), Frame::Positions { area, positions: vec![leaf] }.encode());
    world.inject(0, Link(901), Frame::Decline { area, logs: vec![(key, 0)] }.encode());
    world.input(0, Input::Sent { link: Link(901), urgency: Urgency::Flash });
    world.settle();
    world.peers[0].sent.clear();
    feed(&mut world, 0, all, 3, &runs[2..]);
    world.settle();
    let sent = world.peers[0].sent.iter().filter(|bytes| {
        matches!(Frame::decode(bytes).unwrap(), Frame::Run { key: sent, .. } if sent == key)
    });
    assert_eq!(sent.count(), 1, "the log's next entry goes out");
}

#[test]
fn who_acknowledges_more_than_is_shared_since_a_fork_was_proven_is_honest() {
    let (mut world, all) = shared(4);
    let log = log(all, Class::Routine, 3, 9);
    let runs = segments(&log, &[(1, 60); 10]);
    for (peer, link) in [(0, 900), (3, 903)] {
        link_as(&mut world, peer, 3, Link(link));
    }
    feed(&mut world, 0, all, 3, &runs);
    // Peer 3 heard another sixth entry.
    feed(&mut world, 3, all, 3, &runs[..5]);
    let other = [sealed(77)];
    let other = write_segment(&log, runs[4].to(), keys(3).signer(), &other).unwrap();
    feed(&mut world, 3, all, 3, &[other]);
    world.settle();
    let branch = |peer: usize| {
        let replica = &world.peers[peer].replica;
        replica.logbook().branch(replica.store(), &log, 5).unwrap().unwrap()
    };
    let proof = ForkProof::new(branch(0), branch(3)).unwrap().encode();
    // All of it is on its way when the proof comes.
    link_as(&mut world, 0, 2, Link(901));
    let (area, key) = (tag(&world, 0, 2, all), LogKey::of(&log));
    let at = |next: u64| Leaf { key, next, head: head_tag(&runs[next as usize - 1].to().id) };
    let positions = |next| Frame::Positions { area, positions: vec![at(next)] }.encode();
    world.inject(0, Link(901), positions(3));
    let theirs = tag(&world, 0, 3, all);
    world.inject(0, Link(900), Frame::Fork { area: theirs, proof }.encode());
    assert_eq!(world.peers[0].replica.logbook().state(&log).unwrap().proven_at, Some(5));
    world.inject(0, Link(901), positions(3));
    world.inject(0, Link(901), Frame::Have { area, logs: vec![(key, 10)] }.encode());
    assert!(
        world.peers[0].replica.counted_faults().is_empty(),
        "{:?}",
        world.peers[0].replica.faults()
    );
    // More than there ever was it cannot have.
    world.inject(0, Link(901), positions(3));
    world.inject(0, Link(901), Frame::Have { area, logs: vec![(key, 11)] }.encode());
    assert_eq!(world.peers[0].fault_of(keys(2).id()), Some(PeerFault::Acknowledged));
}

#[test]
fn a_position_that_is_said_twice_brings_what_follows_it_once() {
    let (mut world, all) = shared(3);
    let log = log(all, Class::Flash, 3, 9);
    let runs = segments(&log, &[(1, 60); 3]);
    link_as(&mut world, 0, 3, Link(900));
    feed(&mut world, 0, all, 3, &runs);
    world.settle();
    link_as(&mut world, 0, 2, Link(901));
    let (area, key) = (tag(&world, 0, 2, all), LogKey::of(&log));
    let leaf = Leaf { key, next: 1, head: head_tag(&runs[0].to().id) };
    world.peers[0].sent.clear();
    for _ in 0..5 {
        let positions = vec![leaf];
        world.inject(0, Link(901), Frame::Positions { area, positions }.encode());
    }
    let firsts: Vec<u64> = world.peers[0]
        .sent
        .iter()
        .filter_map(|bytes| match Frame::decode(bytes).unwrap() {
            Frame::Run { key: sent, first, .. } if sent == key => Some(first),
            _ => None,
        })
        .collect();
    assert_eq!(firsts, [1]);
}

#[test]
fn who_refuses_a_log_is_not_taken_for_one_that_holds_it() {
    let (mut world, all) = shared(3);
    link_as(&mut world, 0, 2, Link(901));
    let area = tag(&world, 0, 2, all);
    let refused = world.peers[0].replica.own_log(all, Class::Flash);
    let taken = world.peers[0].replica.own_log(all, Class::Immediate);
    world.write(0, all, Class::Flash, &["one"]);
    world.settle();
    let logs = vec![(LogKey::of(&refused), 0)];
    world.inject(0, Link(901), Frame::Decline { area, logs }.encode());
    world.write(0, all, Class::Immediate, &["two"]);
    world.settle();
    let logs = vec![(LogKey::of(&taken), 1)];
    world.inject(0, Link(901), Frame::Have { area, logs }.encode());
    let device = keys(2).id();
    let heard = |world: &World, log| world.peers[0].replica.heard(log, 0).0.contains(&device);
    assert!(heard(&world, &taken) && !heard(&world, &refused));
    assert!(world.peers[0].replica.peers().iter().all(|state| !state.in_sync));
    world.input(0, Input::Down { link: Link(901) });
    assert!(heard(&world, &taken) && !heard(&world, &refused));
}

#[test]
fn who_asks_without_end_is_found_out_whatever_it_brings_beside() {
    let (mut world, all) = shared(3);
    let log = log(all, Class::Flash, 3, 9);
    link_as(&mut world, 0, 3, Link(900));
    let area = tag(&world, 0, 3, all);
    let mut head = Head::EMPTY;
    for asked in 0.. {
        assert!(asked < 100, "positions of logs that nobody has, again and again");
        let run = write_segment(&log, &head, keys(3).signer(), &[sealed(1)]).unwrap();
        head = *run.to();
        feed(&mut world, 0, all, 3, &[run]);
        let leaf = |n: u128| Leaf { key: LogKey((n << 64).to_be_bytes()), next: 1, head: [7; 8] };
        let positions = (1..=1_024).map(leaf).collect();
        let frame = Frame::Positions { area, positions };
        world.input(0, Input::Frame { link: Link(900), bytes: frame.encode() });
        if !world.peers[0].replica.faults().is_empty() {
            break;
        }
    }
    assert_eq!(world.peers[0].fault_of(keys(3).id()), Some(PeerFault::Endless));
}
