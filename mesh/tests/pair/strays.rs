//! What takes away reaches everybody, also from beyond a fork; and what no longer could count is not
//! fought over.

use tearline_crdt::entry::NO_EPOCH;
use tearline_crdt::entry::fork::{Branch, ForkProof};
use tearline_crdt::entry::run::{Head, NewEntry, VerifiedRun, write_segment};
use tearline_crdt::id::{Class, CoalitionId, CompartmentId, LogId, StatementId};
use tearline_crdt::logbook::Logbook;
use tearline_crdt::statement::Statement;
use tearline_crdt::store::memory::MemoryStore;
use tearline_crdt::store::{Batch, Store as _};
use tearline_crdt::time::WallTime;
use tearline_mesh::invitation::Invited;
use tearline_mesh::replica::KeepBy::Arrival;
use tearline_mesh::wire::Frame;
use tearline_mesh::{Input, Link, PeerFault};

use crate::forger::{link_as, run_frame, tag};
use crate::world::{World, keys};

/// Peers 0, 1, 2 and 3 are desks of four agencies; peer 4 is a further device of the third.
pub(crate) fn stage() -> (World, CoalitionId) {
    let mut world = World::new(5);
    let unit = world.peers.pop().unwrap();
    let coalition = world.coalition();
    (1..4).for_each(|peer| world.meet(peer, 0));
    world.peers.push(unit);
    let expires = WallTime(world.now().wall.0 + 3_600_000);
    let desk = &mut world.peers[2].replica;
    let act =
        desk.invite(coalition, Invited::Device { history: true }, expires, vec![], "").unwrap();
    world.drain(2);
    world.settle();
    let request = world.request(&act.value, 4);
    world.peers[4].replica.join(act.value.inviter, request);
    world.meet(4, 2);
    for peer in [0, 1, 3] {
        world.meet(peer, 2);
    }
    (world, coalition)
}

/// The desk of the third agency's own log in the coalition.
pub(crate) fn desk_log(world: &World, coalition: CoalitionId) -> LogId {
    world.peers[2].replica.own_log(CompartmentId(coalition.0), Class::Authority)
}

/// Another entry of the desk at a position: an approval of what nobody proposed.
pub(crate) fn other_branch(world: &World, log: &LogId, seq: u64) -> VerifiedRun {
    let replica = &world.peers[2].replica;
    let id = |seq| replica.logbook().entry(replica.store(), log, seq).unwrap().unwrap().id;
    let before = seq.checked_sub(1).map(|last| Head { next: seq, id: id(last), epoch: NO_EPOCH });
    let head = before.unwrap_or(Head::EMPTY);
    let sealed = Statement::Approve { act: StatementId([9; 32]) }.encode();
    let entry = NewEntry { epoch: NO_EPOCH, sealed, key_box: None, payload: None };
    write_segment(log, &head, keys(3).signer(), &[entry]).unwrap()
}

fn no_faults(world: &World) {
    for peer in &world.peers {
        assert!(peer.replica.counted_faults().is_empty(), "{:?}", peer.replica.faults());
    }
}

#[test]
fn a_revocation_beyond_a_fork_holds_for_all_whoever_heard_which_branch() {
    for order in [[(0, 1), (1, 0), (3, 1)], [(1, 0), (0, 1), (3, 0)]] {
        let (mut world, coalition) = stage();
        let log = desk_log(&world, coalition);
        let unit = keys(5).id();
        let at = world.peers[2].replica.logbook().head(&log).next;
        let now = world.now();
        let lost = world.peers[2]
            .replica
            .lost(now, coalition, unit, (WallTime(u64::MAX), Arrival))
            .unwrap();
        world.drain(2);
        world.settle();
        // One peer hears the revocation; whoever has the desk's key tells the other something else.
        world.meet(0, 2);
        let other = other_branch(&world, &log, at);
        link_as(&mut world, 1, 3, Link(900));
        let area = tag(&world, 1, 3, log.compartment);
        world.inject(1, Link(900), run_frame(area, &other));
        world.input(1, Input::Down { link: Link(900) });
        let closed = |world: &World, peer: usize| {
            let coalition = world.peers[peer].replica.coalition(coalition).unwrap();
            coalition.closures_of(&unit).any(|closure| closure.id == lost.value.statement)
        };
        assert_eq!([0, 1, 3].map(|peer| closed(&world, peer)), [true, false, false]);
        for (dialer, listener) in order {
            world.meet(dialer, listener);
        }
        world.meet(1, 3);
        assert_eq!([0, 1, 3].map(|peer| closed(&world, peer)), [true; 3], "{order:?}");
        for (one, other) in [(0, 1), (1, 3)] {
            world.meet(one, other);
            assert!(world.digests_equal(one, other), "{one} and {other}, {order:?}");
        }
        // And they say nothing more of it, also after a restart.
        let digest = world.peers[1].replica.pair_digest(&keys(1).id());
        for peer in [0, 1, 3] {
            world.crash(peer);
        }
        assert_eq!([0, 1, 3].map(|peer| closed(&world, peer)), [true; 3], "{order:?}");
        assert_eq!(world.peers[1].replica.pair_digest(&keys(1).id()), digest);
        world.peers.iter_mut().for_each(|peer| peer.sent.clear());
        world.meet(0, 1);
        let bytes: usize = world.peers.iter().flat_map(|p| &p.sent).map(Vec::len).sum();
        assert!(bytes <= 40, "{bytes} bytes");
        no_faults(&world);
    }
}

#[test]
fn peers_that_are_linked_when_a_fork_is_proven_hear_what_takes_away_at_once() {
    let (mut world, coalition) = stage();
    let log = desk_log(&world, coalition);
    let unit = keys(5).id();
    let at = world.peers[2].replica.logbook().head(&log).next;
    let now = world.now();
    world.peers[2].replica.lost(now, coalition, unit, (WallTime(u64::MAX), Arrival)).unwrap();
    world.drain(2);
    world.settle();
    let other = other_branch(&world, &log, at);
    link_as(&mut world, 1, 3, Link(900));
    let area = tag(&world, 1, 3, log.compartment);
    world.inject(1, Link(900), run_frame(area, &other));
    world.connect(3, 1);
    world.settle();
    world.meet(0, 2);
    world.connect(0, 1);
    world.settle();
    for peer in [0, 1, 3] {
        let replica = &world.peers[peer].replica;
        assert!(replica.coalition(coalition).unwrap().live(&unit).is_none(), "{peer}");
    }
    assert!(world.digests_equal(0, 1) && world.digests_equal(1, 3));
    no_faults(&world);
}

#[test]
fn what_does_not_travel_alone_or_does_not_hold_is_a_fault() {
    let (world, coalition) = stage();
    let log = desk_log(&world, coalition);
    let replica = &world.peers[2].replica;
    let grant = (0..replica.logbook().head(&log).next)
        .map(|seq| replica.logbook().entry(replica.store(), &log, seq).unwrap().unwrap())
        .find(|entry| matches!(Statement::decode(&entry.sealed), Ok(Statement::Grant { .. })));
    let grant = grant.unwrap();
    let signed = grant.signed.unwrap();
    let stray =
        tearline_crdt::entry::stray::Stray::new(signed, grant.sealed, grant.payload).unwrap();
    let mut broken = stray.encode();
    *broken.last_mut().unwrap() ^= 1;
    for bytes in [stray.encode(), broken] {
        let (mut world, coalition) = stage();
        link_as(&mut world, 1, 2, Link(900));
        link_as(&mut world, 0, 2, Link(901));
        let area = tag(&world, 0, 2, CompartmentId(coalition.0));
        let frame = Frame::Stray { area, stray: bytes }.encode();
        world.inject(0, Link(901), frame);
        assert_eq!(world.peers[0].fault_of(keys(2).id()), Some(PeerFault::Stray));
    }
}

/// What proves which entry a log begins with.
pub(crate) fn first_of(run: &VerifiedRun) -> Branch {
    let (mut logbook, mut store) = (Logbook::default(), MemoryStore::default());
    let mut batch = Batch::default();
    logbook.append(&mut batch, run, WallTime::default()).unwrap();
    store.apply(batch).unwrap();
    logbook.branch(&store, run.log(), 0).unwrap().unwrap()
}

#[test]
fn who_could_never_have_written_by_what_is_before_a_fork_is_named_by_nobody() {
    let (mut world, coalition) = stage();
    let log = desk_log(&world, coalition);
    let all = world.open(0, coalition, &[1, 2, 3, 4]);
    (1..4).for_each(|peer| world.meet(peer, 0));
    world.meet(4, 2);
    for n in 0..3 {
        world.write(4, all, Class::Routine, &["of the unit"]);
        world.settle();
        world.meet(4, 0);
        if n == 0 {
            world.meet(1, 0);
        }
    }
    let units = world.peers[4].replica.own_log(all, Class::Routine);
    let held = [0, 1].map(|peer| world.peers[peer].replica.logbook().head(&units).next);
    assert_eq!(held, [3, 1]);
    // The desk's log is forked where it let the unit in.
    let replica = &world.peers[2].replica;
    let first = replica.logbook().entry(replica.store(), &log, 0).unwrap().unwrap();
    assert!(matches!(Statement::decode(&first.sealed), Ok(Statement::Grant { .. })));
    let mine = replica.logbook().branch(replica.store(), &log, 0).unwrap().unwrap();
    let others = first_of(&other_branch(&world, &log, 0));
    let proof = ForkProof::new(mine, others).unwrap().encode();
    for peer in [0, 1] {
        let link = Link(900 + peer as u64);
        link_as(&mut world, peer, 4, link);
        let area = tag(&world, peer, 4, log.compartment);
        world.inject(peer, link, Frame::Fork { area, proof: proof.clone() }.encode());
        world.input(peer, Input::Down { link });
    }
    for _ in 0..2 {
        world.meet(0, 1);
    }
    assert!(world.digests_equal(0, 1));
    let held = [0, 1].map(|peer| world.peers[peer].replica.logbook().head(&units).next);
    assert_eq!(held, [3, 1], "what is stored stays");
    let digest = world.peers[0].replica.pair_digest(&keys(2).id());
    world.crash(0);
    assert_eq!(world.peers[0].replica.pair_digest(&keys(2).id()), digest);
    world.peers.iter_mut().for_each(|peer| peer.sent.clear());
    world.meet(1, 0);
    let bytes: usize = world.peers.iter().flat_map(|p| &p.sent).map(Vec::len).sum();
    assert!(bytes <= 40, "{bytes} bytes");
    no_faults(&world);
}
