//! Entries whose content somebody took away.

use tearline_crdt::document::{Patch, Segment};
use tearline_crdt::entry::NO_EPOCH;
use tearline_crdt::entry::fork::ForkProof;
use tearline_crdt::entry::run::{
    Head, NewEntry, UnverifiedRun, VerifiedEntry, VerifiedRun, write_segment,
};
use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::{Class, CompartmentId, EpochId, LogId, RecordId};
use tearline_crdt::record::shelf::Draft;
use tearline_crdt::statement::Statement;
use tearline_mesh::replica::Word;
use tearline_mesh::wire::Frame;
use tearline_mesh::{Link, PeerFault};

use crate::forger::{link_as, run_frame, runs, shared, tag};
use crate::world::{World, keys};

/// The frame of all that a peer holds of a log, without payloads and key boxes.
fn stripped(
    world: &World,
    holder: usize,
    log: &LogId,
    area: [u8; 8],
    knows: Option<[u8; 16]>,
) -> Vec<u8> {
    stripped_of(world, holder, log, area, knows, &|_, _| true)
}

/// The same, of entries that are such.
fn stripped_of(
    world: &World,
    holder: usize,
    log: &LogId,
    area: [u8; 8],
    knows: Option<[u8; 16]>,
    such: &dyn Fn(&VerifiedRun, &VerifiedEntry) -> bool,
) -> Vec<u8> {
    let replica = &world.peers[holder].replica;
    let stretch = replica.logbook().read(replica.store(), log, 0..99, 100_000).unwrap().unwrap();
    let run: UnverifiedRun<'_> = stretch.run(*log);
    let whole = run.verify(&Head::EMPTY).unwrap();
    let run = whole.detached(|entry| such(&whole, entry)).unwrap().unwrap();
    Frame::Run {
        area,
        key: LogKey::of(log),
        author: Some((log.device, log.incarnation)),
        knows,
        hops: None,
        left_out: false,
        first: 0,
        count: run.entries().len(),
        entries: run.bytes().to_vec(),
        boxes: run.boxes(),
    }
    .encode()
}

/// Peers 0 and 2 hold a flash, peer 1 does not yet.
fn vital() -> (World, CompartmentId, LogId, RecordId) {
    let (mut world, all) = shared(3);
    let record = world.write(0, all, Class::Flash, &["vital"])[0];
    world.settle();
    world.meet(2, 0);
    let log = world.peers[0].replica.own_log(all, Class::Flash);
    (world, all, log, record)
}

#[test]
fn what_a_forwarder_strips_is_not_taken_and_comes_whole_from_another() {
    let (mut world, all, log, record) = vital();
    link_as(&mut world, 1, 3, Link(901));
    let area = tag(&world, 1, 3, all);
    // Whatever it says that it knows, what it says is not what peer 1 knows.
    for knows in [None, Some([9; 16])] {
        let frame = stripped(&world, 2, &log, area, knows);
        world.peers[1].sent.clear();
        world.inject(1, Link(901), frame);
        let declined = world.peers[1].sent.iter().any(|bytes| {
            matches!(Frame::decode(bytes).unwrap(), Frame::Decline { logs, .. } if logs == [(LogKey::of(&log), 0)])
        });
        assert!(declined, "{knows:?}");
        assert!(world.peers[1].replica.logbook().state(&log).is_none());
        assert!(world.peers[1].replica.faults().is_empty());
    }
    world.meet(1, 0);
    assert!(world.show(1, record).is_some());
    assert!(world.digests_equal(0, 1));
}

#[test]
fn who_strips_what_nobody_can_have_erased_is_blamed() {
    let (mut world, all, log, record) = vital();
    link_as(&mut world, 1, 3, Link(901));
    let area = tag(&world, 1, 3, all);
    let knows = world.peers[1].replica.authority_known(all);
    assert!(knows.is_some() && knows == world.peers[2].replica.authority_known(all));
    let frame = stripped(&world, 2, &log, area, knows);
    world.inject(1, Link(901), frame);
    assert_eq!(world.peers[1].fault_of(keys(3).id()), Some(PeerFault::Stripped));
    assert!(world.peers[1].replica.logbook().state(&log).is_none());
    world.meet(1, 0);
    assert!(world.show(1, record).is_some());
}

#[test]
fn authority_entries_are_never_stripped() {
    let (mut world, all, ..) = vital();
    let coalition = world.peers[0].replica.compartment(all).unwrap().opening().coalition;
    let other = world.open_named(0, coalition, &[1, 2, 3], 7);
    let log = world.peers[0].replica.own_log(other, Class::Authority);
    world.meet(2, 0);
    // Peer 1 hears of the compartment from who strips the boxes.
    link_as(&mut world, 1, 3, Link(901));
    let opening = world.peers[0].replica.compartment(other).unwrap().opening().clone();
    let opening = Statement::Open(opening).encode();
    world.inject(1, Link(901), Frame::Intro { opening }.encode());
    let area = tag(&world, 1, 3, other);
    let frame = stripped(&world, 2, &log, area, None);
    world.inject(1, Link(901), frame);
    assert_eq!(world.peers[1].fault_of(keys(3).id()), Some(PeerFault::Stripped));
    world.meet(1, 0);
    assert!(world.digests_equal(0, 1));
}

#[test]
fn a_seal_without_boxes_is_not_taken_while_its_epoch_is_not_retired() {
    let (mut world, all, ..) = vital();
    let coalition = world.peers[0].replica.compartment(all).unwrap().opening().coalition;
    let other = world.open_named(0, coalition, &[1, 2, 3], 7);
    let log = world.peers[0].replica.own_log(other, Class::Authority);
    world.meet(2, 0);
    link_as(&mut world, 1, 3, Link(901));
    let opening = world.peers[0].replica.compartment(other).unwrap().opening().clone();
    let opening = Statement::Open(opening).encode();
    world.inject(1, Link(901), Frame::Intro { opening }.encode());
    let area = tag(&world, 1, 3, other);
    let seals = |run: &VerifiedRun, entry: &VerifiedEntry| {
        matches!(Statement::decode(run.sealed(entry)), Ok(Statement::Seal { .. }))
    };
    // The act that retires it may be on its way.
    let frame = stripped_of(&world, 2, &log, area, None, &seals);
    world.inject(1, Link(901), frame);
    assert!(world.peers[1].replica.faults().is_empty());
    assert!(world.peers[1].replica.logbook().state(&log).is_none());
    // It is not, if both know the same.
    let knows = world.peers[1].replica.authority_known(other);
    assert!(knows.is_some());
    let frame = stripped_of(&world, 2, &log, area, knows, &seals);
    world.inject(1, Link(901), frame);
    assert_eq!(world.peers[1].fault_of(keys(3).id()), Some(PeerFault::Stripped));
    world.meet(1, 0);
    assert!(world.digests_equal(0, 1));
}

#[test]
fn what_was_erased_is_passed_on_without_its_content() {
    let (mut world, _, log, record) = vital();
    let now = world.now();
    let order = Word::Erase { basis: "order 7".into() };
    world.peers[0].replica.speak(now, record, &order).unwrap();
    world.drain(0);
    world.settle();
    world.meet(2, 0);
    let gone = |world: &World, peer: usize| {
        let replica = &world.peers[peer].replica;
        replica.logbook().entry(replica.store(), &log, 0).unwrap().map(|e| e.payload.is_none())
    };
    assert_eq!(gone(&world, 2), Some(true));
    world.meet(1, 2);
    world.meet(1, 2);
    assert_eq!(gone(&world, 1), Some(true));
    assert!(world.peers[1].replica.faults().is_empty());
    assert!(world.digests_equal(1, 2));
}

#[test]
fn where_an_authority_log_is_forked_nobody_can_tell_who_stripped() {
    let (mut world, all, log, record) = vital();
    // A member forks its authority log, and whatever its branches erase is no part of the frontier.
    let forked = crate::forger::log(all, Class::Authority, 3, 9);
    let statement = |n: u8| NewEntry {
        epoch: NO_EPOCH,
        sealed: Statement::Describe { epoch: EpochId([n; 32]) }.encode(),
        key_box: None,
        payload: None,
    };
    let branches = [1, 2].map(|n| {
        let run = write_segment(&forked, &Head::EMPTY, keys(3).signer(), &[statement(n)]).unwrap();
        link_as(&mut world, n as usize, 3, Link(910 + u64::from(n)));
        let area = tag(&world, n as usize, 3, all);
        world.inject(n as usize, Link(910 + u64::from(n)), run_frame(area, &run));
        let replica = &world.peers[n as usize].replica;
        replica.logbook().branch(replica.store(), &forked, 0).unwrap().unwrap()
    });
    let [one, other] = branches;
    let proof = ForkProof::new(one, other).unwrap().encode();
    for peer in [1, 2] {
        let (link, area) = (Link(910 + peer as u64), tag(&world, peer, 3, all));
        world.inject(peer, link, Frame::Fork { area, proof: proof.clone() }.encode());
    }
    let knows = world.peers[2].replica.authority_known(all);
    let area = tag(&world, 1, 3, all);
    let frame = stripped(&world, 2, &log, area, knows);
    world.inject(1, Link(911), frame);
    assert!(
        world.peers[1].replica.counted_faults().is_empty(),
        "{:?}",
        world.peers[1].replica.faults()
    );
    world.meet(1, 0);
    assert!(world.show(1, record).is_some());
}

/// Peer 0 wrote a record and changed it, in two logs, and erased it; peer 1 has heard of that and of
/// the change alone, whose entry no statement lists.
#[test]
fn what_its_record_explains_is_asked_for_when_the_record_is_destroyed() {
    let (mut world, all) = shared(2);
    let record = world.write(0, all, Class::Routine, &["r"])[0];
    world.settle();
    let clone = world.clone_of(0);
    let mut patch = Patch::default();
    patch.set(vec![Segment::Name("count".into())], 9.into());
    world.act(clone, all, Class::Priority, vec![Draft::Edit { record, patch }]);
    world.settle();
    let now = world.now();
    let order = Word::Erase { basis: "order 7".into() };
    world.peers[0].replica.speak(now, record, &order).unwrap();
    world.drain(0);
    world.settle();
    link_as(&mut world, 1, 1, Link(901));
    let area = tag(&world, 1, 1, all);
    let logs = [Class::Authority, Class::Priority, Class::Routine]
        .map(|class| world.peers[0].replica.own_log(all, class));
    let news = runs(&world, 0, 1, &logs[0], area);
    news.into_iter().for_each(|frame| world.inject(1, Link(901), frame));
    let change = stripped(&world, clone, &logs[1], area, None);
    world.inject(1, Link(901), change.clone());
    assert!(world.peers[1].replica.logbook().state(&logs[1]).is_none(), "nothing explains it yet");
    world.peers[1].sent.clear();
    let genesis = runs(&world, 0, 1, &logs[2], area);
    genesis.into_iter().for_each(|frame| world.inject(1, Link(901), frame));
    let key = LogKey::of(&logs[1]);
    let asked = world.peers[1].sent.iter().any(|bytes| match Frame::decode(bytes).unwrap() {
        Frame::Positions { positions, .. } => positions.iter().any(|leaf| leaf.key == key),
        _ => false,
    });
    assert!(asked);
    world.inject(1, Link(901), change);
    assert_eq!(world.peers[1].replica.logbook().head(&logs[1]).next, 1);
}
