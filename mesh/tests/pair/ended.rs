//! Devices whose standing has ended: they are told why by whomever they meet, and nothing else.

use tearline_crdt::entry::run::VerifiedRun;
use tearline_crdt::entry::stray::Stray;
use tearline_crdt::id::{AgencyNo, CoalitionId, CompartmentId, DeviceId, StatementId};
use tearline_crdt::logbook::Logbook;
use tearline_crdt::statement::{Act, DeskCertificate, Marks, RootAct, Statement};
use tearline_crdt::store::memory::MemoryStore;
use tearline_crdt::store::{Batch, Store as _};
use tearline_crdt::time::WallTime;
use tearline_mesh::replica::KeepBy::Arrival;
use tearline_mesh::wire::Frame;
use tearline_mesh::{Event, Input, Link};

use crate::forger::{link_as, tag};
use crate::strays::{desk_log, other_branch, stage};
use crate::world::{World, keys, root};

/// Whether a peer knows that a device was closed by a statement.
fn knows(world: &World, peer: usize, coalition: CoalitionId, device: &DeviceId) -> bool {
    let coalition = world.peers[peer].replica.coalition(coalition).unwrap();
    coalition.live(device).is_none() && coalition.closures_of(device).next().is_some()
}

fn lose(world: &mut World, coalition: CoalitionId, device: DeviceId) -> StatementId {
    let now = world.now();
    let lost =
        world.peers[2].replica.lost(now, coalition, device, (WallTime(u64::MAX), Arrival)).unwrap();
    world.drain(2);
    world.settle();
    lost.value.statement
}

/// What a peer says to another of whom it knows that it has ended: the statements in it. Anything but
/// greetings without names and statements that travel alone is refused.
fn told(world: &mut World, by: usize, to: usize, dials: bool) -> Vec<Statement> {
    world.peers[by].sent.clear();
    let (dialer, listener) = if dials { (by, to) } else { (to, by) };
    world.meet(dialer, listener);
    let mut told = Vec::new();
    for bytes in &world.peers[by].sent {
        match Frame::decode(bytes).unwrap() {
            Frame::Open { .. } => assert!(dials),
            Frame::Hello { areas, .. } => assert_eq!(areas, []),
            Frame::Stray { stray, .. } => {
                let stray = Stray::decode(&stray).unwrap().unwrap();
                told.push(Statement::decode(stray.statement()).unwrap());
            }
            // Who dials asks whether the other brings its admission.
            Frame::Nodes { nodes, .. } => {
                assert!(dials && nodes.iter().all(|(prefix, _)| prefix.nibbles().is_empty()));
            }
            other => panic!("{other:?}"),
        }
    }
    told
}

#[test]
fn who_was_ended_is_told_why_by_whomever_it_meets_and_nothing_else() {
    for dials in [true, false] {
        let (mut world, coalition) = stage();
        let unit = keys(5).id();
        let log = desk_log(&world, coalition);
        let lost = lose(&mut world, coalition, unit);
        // What is said afterwards it is not told, nor what others say of themselves.
        let now = world.now();
        let no = Act::Retire { agency: AgencyNo(9), keep: Marks::of(vec![]).unwrap().0 };
        world.peers[0].replica.propose(now, coalition, no, None).unwrap();
        world.drain(0);
        world.settle();
        world.open(2, coalition, &[1, 3]);
        world.meet(0, 2);
        let before = world.peers[4].replica.logbook().head(&log);
        let told = told(&mut world, 0, 4, dials);
        let [Statement::Desk(desk), Statement::Revoke { device, .. }] = told.as_slice() else {
            panic!("{told:?}");
        };
        assert_eq!((desk.desk.device, *device), (keys(3).id(), unit));
        assert!(knows(&world, 4, coalition, &unit), "dials: {dials}");
        let known = world.peers[4].replica.coalition(coalition).unwrap();
        assert!(known.closures_of(&unit).all(|closure| closure.id == lost));
        assert_eq!(world.peers[4].replica.logbook().head(&log), before);
        // It knows so after a restart, and says nothing of it to who knows.
        world.crash(4);
        assert!(knows(&world, 4, coalition, &unit));
        assert!(world.peers[4].replica.right(CompartmentId(coalition.0), &unit).is_none());
    }
}

#[test]
fn a_retired_agency_is_told_by_which_act() {
    let (mut world, coalition) = stage();
    let now = world.now();
    let (keep, _) = Marks::of(vec![]).unwrap();
    let retire = Act::Retire { agency: AgencyNo(4), keep };
    let act = world.peers[0].replica.propose(now, coalition, retire, None).unwrap().value;
    world.drain(0);
    world.settle();
    world.meet(1, 0);
    let told = told(&mut world, 1, 3, false);
    assert!(told.iter().all(|statement| {
        matches!(statement, Statement::Desk(desk) if desk.desk.device == keys(1).id())
            || matches!(statement, Statement::Propose { act: Act::Retire { .. }, .. })
    }));
    let known = world.peers[3].replica.coalition(coalition).unwrap();
    assert!(known.closures_of(&keys(4).id()).any(|closure| closure.id == act));
    assert!(known.is_retired(AgencyNo(4)));
}

/// Whoever ended it may be known to it by nothing yet: a desk of a root that replaced its agency's.
#[test]
fn who_was_ended_by_whom_it_never_heard_of_is_told_why_that_one_could() {
    let (mut world, coalition) = stage();
    let (unit, next) = (keys(5).id(), keys(9));
    let now = world.now();
    let (keep, _) = Marks::of(vec![]).unwrap();
    let replaced = Act::ReplaceRoot {
        agency: AgencyNo(3),
        root: root(9).public(),
        replaced: vec![root(3).public()],
        keep: keep.clone(),
    };
    let desk = DeskCertificate::sign(&root(9), &next, None);
    let ends = Act::Revoke { device: unit, keep };
    let ends = RootAct::sign(&root(9), &coalition, ends).unwrap();
    let founder = &mut world.peers[0].replica;
    founder.propose(now, coalition, replaced, None).unwrap();
    founder.certify(now, coalition, desk, next.kem_key()).unwrap();
    founder.root_act(now, coalition, ends, None).unwrap();
    world.drain(0);
    world.settle();
    world.meet(1, 0);
    let told = told(&mut world, 1, 4, false);
    assert!(knows(&world, 4, coalition, &unit), "{told:?}");
    let closures = |world: &World, peer: usize| {
        let coalition = world.peers[peer].replica.coalition(coalition).unwrap();
        coalition.closures_of(&unit).map(|closure| closure.id).collect::<Vec<_>>()
    };
    assert_eq!(closures(&world, 4), closures(&world, 1));
}

#[test]
fn what_an_ended_device_was_told_it_passes_on_and_it_ends_in_its_log() {
    let (mut world, coalition) = stage();
    let unit = keys(5).id();
    lose(&mut world, coalition, unit);
    world.meet(0, 2);
    world.meet(4, 0);
    // Who has not heard takes the device for a member, and hears of it from the device itself.
    world.meet(1, 4);
    assert!(knows(&world, 1, coalition, &unit));
    let strays = tearline_crdt::frontier::LogKey::of_strays(&CompartmentId(coalition.0));
    let named = |world: &World| {
        let areas = world.peers[1].replica.areas();
        areas[&CompartmentId(coalition.0)].frontier.is_named(&strays)
    };
    assert!(named(&world));
    world.meet(1, 3);
    assert!(knows(&world, 3, coalition, &unit) && world.digests_equal(1, 3));
    // The log comes, and has it at its place.
    world.meet(1, 0);
    assert!(!named(&world) && world.digests_equal(0, 1));
    world.meet(3, 1);
    assert!(world.digests_equal(1, 3) && world.digests_equal(0, 3));
    world.crash(1);
    assert!(!named(&world) && world.digests_equal(0, 1));
    for peer in &world.peers {
        assert!(peer.replica.counted_faults().is_empty(), "{:?}", peer.replica.faults());
    }
}

#[test]
fn who_was_closed_in_one_compartment_is_told_there_and_in_sync_with_all_else() {
    let (mut world, coalition) = stage();
    let unit = keys(5).id();
    let all = world.open(2, coalition, &[1, 3]);
    world.meet(4, 2);
    let now = world.now();
    world.peers[2].replica.revoke(now, all, unit, vec![]).unwrap();
    world.drain(2);
    world.settle();
    world.meet(0, 2);
    world.meet(4, 0);
    let closed = |world: &World, peer: usize| {
        world.peers[peer].replica.compartment(all).unwrap().right(&unit).is_none()
    };
    assert!(closed(&world, 4) && closed(&world, 0));
    assert!(world.peers[4].replica.coalition(coalition).unwrap().live(&unit).is_some());
    assert!(world.digests_equal(0, 4));
    world.peers.iter_mut().for_each(|peer| peer.sent.clear());
    world.meet(4, 0);
    let bytes: usize = world.peers.iter().flat_map(|p| &p.sent).map(Vec::len).sum();
    assert!(bytes <= 40, "{bytes} bytes");
}

/// The only entry of a run, as it travels alone.
fn alone(run: &VerifiedRun, head_of: &World, log: &tearline_crdt::id::LogId) -> Stray {
    let replica = &head_of.peers[2].replica;
    let (mut logbook, mut store) = (Logbook::default(), MemoryStore::default());
    let mut head = tearline_crdt::entry::run::Head::EMPTY;
    if run.from().next > 0 {
        let before = replica.logbook().read(replica.store(), log, 0..run.from().next, usize::MAX);
        let before = before.unwrap().unwrap().run(*log).verify(&head).unwrap();
        head = *before.to();
        let mut batch = Batch::default();
        logbook.append(&mut batch, &before, WallTime::default()).unwrap();
        store.apply(batch).unwrap();
    }
    let mut batch = Batch::default();
    logbook.append(&mut batch, run, WallTime::default()).unwrap();
    store.apply(batch).unwrap();
    let entry = logbook.entry(&store, log, head.next).unwrap().unwrap();
    Stray::new(entry.signed.unwrap(), entry.sealed, entry.payload).unwrap()
}

#[test]
fn a_statement_in_whose_place_another_stands_proves_a_fork_in_either_order() {
    for first in [true, false] {
        let (mut world, coalition) = stage();
        let log = desk_log(&world, coalition);
        let at = world.peers[2].replica.logbook().head(&log).next;
        let other = other_branch(&world, &log, at);
        let stray = alone(&other, &world, &log).encode();
        lose(&mut world, coalition, keys(5).id());
        if !first {
            world.meet(1, 2);
        }
        link_as(&mut world, 1, 3, Link(900));
        let area = tag(&world, 1, 3, log.compartment);
        world.inject(1, Link(900), Frame::Stray { area, stray }.encode());
        world.input(1, Input::Down { link: Link(900) });
        if first {
            world.meet(1, 2);
        }
        let forked = |event: &Event| *event == Event::Forked(log);
        assert_eq!(world.peers[1].count(forked), 1, "first: {first}");
        assert_eq!(
            world.peers[1].replica.logbook().state(&log).unwrap().proven_at,
            Some(at),
            "first: {first}"
        );
        (0..2).for_each(|_| world.meet(0, 1));
        assert!(knows(&world, 0, coalition, &keys(5).id()), "first: {first}");
        assert!(world.digests_equal(0, 1), "first: {first}");
    }
}
