//! Forked logs: all peers end with the same of them, whatever branches they heard first.

use tearline_crdt::authority::{Author, Cause};
use tearline_crdt::entry::run::{Head, write_segment};
use tearline_crdt::id::{Class, CompartmentId, LogId, RecordId};
use tearline_crdt::statement::Mark;
use tearline_mesh::wire::Frame;
use tearline_mesh::{Event, Link};

use crate::forger::{link_as, log, run_frame, sealed, shared, tag};
use crate::world::{World, keys};

/// What a peer holds of a log: how much, what of it counts, and the lowest proven fork.
fn held(world: &World, peer: usize, log: &LogId) -> (u64, Option<u64>, Option<u64>) {
    let state = world.peers[peer].replica.logbook().state(log);
    state.map_or((0, None, None), |state| (state.shared.next, state.forked_at, state.proven_at))
}

fn no_faults(world: &World) {
    for peer in &world.peers {
        assert!(peer.replica.counted_faults().is_empty(), "{:?}", peer.replica.faults());
    }
}

/// Peer 3 and its clone write after some common entries, `ours` and `clones` records in segments of
/// one; peer 1 hears the one, peer 2 the other.
struct Branches {
    world: World,
    all: CompartmentId,
    /// What was written before the fork.
    records: Vec<RecordId>,
    /// What peers 1 and 2 heard of it beyond.
    beyond: [Vec<RecordId>; 2],
}

fn branches(common: usize, ours: usize, clones: usize) -> Branches {
    let (mut world, all) = shared(4);
    let mut records = Vec::new();
    for _ in 0..common {
        records.extend(world.write(3, all, Class::Routine, &["common"]));
        world.settle();
    }
    let clone = world.clone_of(3);
    let beyond = [(3, 1, ours), (clone, 2, clones)].map(|(author, hearer, count)| {
        let mut written = Vec::new();
        for n in 0..count {
            let name = format!("{author}/{n}");
            written.extend(world.write(author, all, Class::Routine, &[&name]));
            world.settle();
        }
        world.meet(hearer, author);
        written
    });
    Branches { world, all, records, beyond }
}

#[test]
fn peers_with_two_branches_find_where_they_part_and_are_in_sync() {
    for (common, ours, clones) in [(0, 1, 1), (2, 1, 1), (3, 9, 5), (1, 40, 60), (30, 1, 50)] {
        let Branches { mut world, all, records, .. } = branches(common, ours, clones);
        let log = world.peers[3].replica.own_log(all, Class::Routine);
        for _ in 0..3 {
            world.meet(1, 2);
        }
        let at = common as u64;
        let expected = (at, Some(at), Some(at));
        assert_eq!(held(&world, 1, &log), expected, "{common}/{ours}/{clones}");
        assert_eq!(held(&world, 2, &log), expected, "{common}/{ours}/{clones}");
        assert!(world.digests_equal(1, 2), "{common}/{ours}/{clones}");
        for peer in [1, 2] {
            assert_eq!(world.peers[peer].count(|event| *event == Event::Forked(log)), 1);
            for record in &records {
                assert!(world.show(peer, *record).is_some(), "what is before the fork counts");
            }
        }
        no_faults(&world);
        let named = world.peers[1].replica.faults();
        assert_eq!(named[&keys(4).id()], [("forked-log", 1)].into());
        // In sync again costs no more than ever.
        world.peers.iter_mut().for_each(|peer| peer.sent.clear());
        world.meet(1, 2);
        let bytes: usize = world.peers.iter().flat_map(|p| &p.sent).map(Vec::len).sum();
        assert!(bytes <= 40, "{bytes} bytes");
    }
}

#[test]
fn who_knows_neither_branch_gets_what_precedes_the_fork_and_the_proof() {
    for common in [0, 1, 4] {
        let Branches { mut world, all, records, .. } = branches(common, 3, 2);
        let log = world.peers[3].replica.own_log(all, Class::Routine);
        world.meet(1, 2);
        world.meet(1, 2);
        for _ in 0..2 {
            world.meet(0, 1);
            world.meet(0, 2);
        }
        let at = common as u64;
        assert_eq!(held(&world, 0, &log), (at, Some(at), Some(at)), "common {common}");
        for record in &records {
            assert!(world.show(0, *record).is_some(), "common {common}");
        }
        assert!(world.digests_equal(0, 1) && world.digests_equal(0, 2), "common {common}");
        no_faults(&world);
    }
}

#[test]
fn what_counted_before_the_proof_counts_no_longer_after_it() {
    let Branches { mut world, all, records, beyond } = branches(1, 2, 1);
    let log = world.peers[3].replica.own_log(all, Class::Routine);
    let shown = |world: &mut World| {
        let all = records.iter().chain(&beyond[0]);
        all.map(|record| world.show(1, *record).is_some()).collect::<Vec<_>>()
    };
    assert_eq!(shown(&mut world), [true, true, true]);
    world.meet(1, 2);
    assert_eq!(shown(&mut world), [true, false, false]);
    let stored = world.peers[1].replica.logbook().head(&log).next;
    assert_eq!(stored, 3, "entries stay stored");
    let before = world.peers[1].replica.pair_digest(&keys(3).id());
    world.crash(1);
    assert_eq!(world.peers[1].replica.pair_digest(&keys(3).id()), before);
    assert_eq!(shown(&mut world), [true, false, false]);
    assert!(world.digests_equal(1, 2));
}

#[test]
fn who_holds_another_branch_than_the_chosen_one_says_so_and_adopts_no_other() {
    let Branches { mut world, all, beyond, .. } = branches(1, 2, 1);
    let log = world.peers[3].replica.own_log(all, Class::Routine);
    for _ in 0..3 {
        world.meet(1, 2);
    }
    let last = |world: &World, peer: usize| {
        let found = world.peers[peer].replica.quarantined(10).unwrap().0;
        found.into_iter().rfind(|one| one.log == log)
    };
    let [other, chosen] = [1, 2].map(|peer| last(&world, peer).unwrap());
    assert_eq!((chosen.cause, other.cause), (Cause::Fork, Cause::Fork));
    let compartment = world.peers[1].replica.compartment(all).unwrap();
    let desk = Author::Desk(compartment.devices()[&log.device].agency);
    assert_eq!(world.peers[1].replica.if_adopted(&other, desk).unwrap(), None);
    assert_eq!(world.peers[2].replica.if_adopted(&chosen, desk).unwrap(), None);
    let mark = Mark { log: log.digest(), count: chosen.seq + 1, head: chosen.id };
    let now = world.now();
    world.peers[3].replica.adopt(now, all, vec![mark]).unwrap();
    world.drain(3);
    world.settle();
    // Neither of these holds it.
    world.meet(0, 3);
    world.meet(1, 0);
    for record in beyond.iter().flatten() {
        assert!(world.show(1, *record).is_none());
    }
    let elsewhere = Cause::Branch(chosen.id);
    assert_eq!(last(&world, 1).unwrap().cause, elsewhere);
    for by in [desk, Author::Whole] {
        assert_eq!(world.peers[1].replica.if_adopted(&other, by).unwrap(), Some(elsewhere));
    }
    world.crash(1);
    assert_eq!(last(&world, 1).unwrap().cause, elsewhere);
    // Once it is there nothing is quarantined any more.
    for _ in 0..2 {
        world.meet(1, 2);
        world.meet(2, 0);
    }
    for peer in [1, 2] {
        assert_eq!(last(&world, peer), None);
        assert!(world.show(peer, beyond[1][0]).is_some());
        assert!(beyond[0].iter().all(|record| world.show(peer, *record).is_none()));
    }
    no_faults(&world);
}

#[test]
fn one_content_signed_in_two_ways_is_a_fork_of_its_author_and_nobody_elses_fault() {
    let (mut world, all) = shared(3);
    let log = log(all, Class::Routine, 3, 9);
    let new: Vec<_> = (0..3).map(sealed).collect();
    let signer = keys(3);
    let one = write_segment(&log, &Head::EMPTY, signer.signer(), &new[..1]).unwrap();
    let two = write_segment(&log, one.to(), signer.signer(), &new[1..2]).unwrap();
    let whole = write_segment(&log, &Head::EMPTY, signer.signer(), &new).unwrap();
    let area = [0, 1].map(|peer| tag(&world, peer, 3, all));
    link_as(&mut world, 0, 3, Link(900));
    world.inject(0, Link(900), run_frame(area[0], &one));
    world.inject(0, Link(900), run_frame(area[0], &two));
    link_as(&mut world, 1, 3, Link(901));
    world.inject(1, Link(901), run_frame(area[1], &whole));
    for _ in 0..3 {
        world.meet(1, 0);
    }
    no_faults(&world);
    assert_eq!(held(&world, 0, &log).2, Some(0));
    assert!(world.digests_equal(0, 1));
    let honest = world.write(1, all, Class::Routine, &["honest"])[0];
    world.settle();
    world.meet(1, 0);
    assert!(world.show(0, honest).is_some());
}

#[test]
fn what_continues_another_branch_is_asked_about_and_not_held_against_who_brings_it() {
    let (mut world, all) = shared(2);
    let log = log(all, Class::Routine, 2, 9);
    let signer = keys(2);
    let segment =
        |head: &Head, n| write_segment(&log, head, signer.signer(), &[sealed(n)]).unwrap();
    let [here, there] = [1, 2].map(|n| segment(&Head::EMPTY, n));
    let area = tag(&world, 0, 2, all);
    link_as(&mut world, 0, 2, Link(900));
    world.inject(0, Link(900), run_frame(area, &here));
    world.settle();
    // Where it is put the previous entry is left out: only the signature shows that it is another.
    let further = run_frame(area, &segment(there.to(), 3));
    let before = world.peers[0].sent.len();
    world.inject(0, Link(900), further.clone());
    world.settle();
    let position = |bytes: &Vec<u8>| matches!(Frame::decode(bytes), Ok(Frame::Positions { .. }));
    assert!(world.peers[0].sent[before..].iter().any(position), "so its bearer sees the fork");
    assert!(world.peers[0].replica.faults().is_empty());
    assert_eq!(held(&world, 0, &log).0, 1);
    // Whoever goes on with it pays.
    (0..3_200).for_each(|_| world.inject(0, Link(900), further.clone()));
    assert_eq!(world.peers[0].replica.faults()[&signer.id()], [("endless", 1)].into());
}
