//! Devices that make up incarnations: peers that met different ones come to hold the same.

use tearline_crdt::bounds::INCARNATIONS_MAX;
use tearline_crdt::entry::NO_EPOCH;
use tearline_crdt::entry::run::{Head, NewEntry, write_segment};
use tearline_crdt::frontier::LogKey;
use tearline_crdt::hash::Domain;
use tearline_crdt::id::{Class, CompartmentId};
use tearline_crdt::statement::Statement;
use tearline_crdt::time::WallTime;
use tearline_mesh::invitation::{Invitation, Invited, JoinAnswer};
use tearline_mesh::replica::ActError;
use tearline_mesh::wire::Frame;
use tearline_mesh::{Input, Link, Urgency};

use crate::forger::{link_as, log, run_frame, sealed, shared, tag};
use crate::world::{World, draft, keys};

const CAP: u64 = INCARNATIONS_MAX as u64;
/// Who makes them up.
const SEED: u8 = 4;

/// The device begins a log of each of these incarnations at a peer.
fn feed(world: &mut World, to: usize, all: CompartmentId, first: u64, count: u64) {
    let link = Link(900 + first);
    link_as(world, to, SEED, link);
    let area = tag(world, to, SEED, all);
    for incarnation in first..first + count {
        let log = log(all, Class::Routine, SEED, incarnation);
        let run = write_segment(&log, &Head::EMPTY, keys(SEED).signer(), &[sealed(1)]).unwrap();
        world.input(to, Input::Frame { link, bytes: run_frame(area, &run) });
    }
    world.settle();
    world.input(to, Input::Down { link });
}

/// The logs of the device that a peer stores, and those that it names to others.
fn held(world: &World, peer: usize, all: CompartmentId) -> (usize, usize) {
    let replica = &world.peers[peer].replica;
    let logs = replica.logbook().logs_of(all).filter(|(log, _)| log.device == keys(SEED).id());
    let named = |log| {
        let key = LogKey::of(log);
        replica.areas()[&all].frontier.head(&key).next > 0
    };
    let logs: Vec<_> = logs.map(|(log, _)| *log).collect();
    (logs.len(), logs.iter().filter(|log| named(log)).count())
}

fn all_equal(world: &World, peers: &[usize]) {
    for (n, one) in peers.iter().enumerate() {
        for other in &peers[..n] {
            assert!(world.digests_equal(*one, *other), "{one} and {other}");
        }
    }
}

#[test]
fn peers_that_met_other_incarnations_of_a_device_come_in_sync_and_stay_so() {
    let (mut world, all) = shared(4);
    let record = world.write(3, all, Class::Flash, &["before it was stolen"])[0];
    world.settle();
    world.meet(3, 0);
    assert!(world.show(0, record).is_some());
    world.meet(1, 0);
    assert!(world.show(1, record).is_some());
    // With the life in which it wrote this that is as many as a device may have.
    feed(&mut world, 0, all, 1_000, CAP - 1);
    feed(&mut world, 1, all, 2_000, CAP - 1);
    assert_eq!(held(&world, 0, all), (64, 64));
    world.meet(2, 0);
    assert!(world.show(2, record).is_some(), "as many as it may have");
    all_equal(&world, &[0, 2]);
    world.meet(2, 1);
    world.meet(0, 1);
    world.meet(2, 0);
    all_equal(&world, &[0, 1, 2]);
    for peer in 0..3 {
        let (stored, named) = held(&world, peer, all);
        assert!(stored <= INCARNATIONS_MAX + 1, "{stored}");
        assert_eq!(named, 0);
        assert!(world.show(peer, record).is_none(), "it counts for nobody");
        assert!(world.peers[peer].replica.counted_faults().is_empty());
        // Who said too much is named, and pays with nothing but that.
        let named = world.peers[peer].replica.faults();
        assert_eq!(named[&keys(4).id()], [("too-many-lives", 1)].into());
    }
    // However many more it makes up, and over a restart.
    world.crash(0);
    let before = held(&world, 0, all);
    feed(&mut world, 0, all, 3_000, 3 * CAP);
    assert_eq!(held(&world, 0, all), before);
    all_equal(&world, &[0, 1, 2]);
    // The honest go on.
    let news = world.write(1, all, Class::Routine, &["news"])[0];
    world.meet(0, 1);
    world.meet(2, 0);
    assert!(world.show(2, news).is_some());
    all_equal(&world, &[0, 1, 2]);
}

#[test]
fn peers_that_are_linked_while_it_happens_and_the_device_itself_come_in_sync() {
    let (mut world, all) = shared(4);
    world.connect(1, 0);
    world.connect(2, 1);
    world.settle();
    feed(&mut world, 0, all, 1_000, 2 * CAP);
    feed(&mut world, 2, all, 2_000, 2 * CAP);
    all_equal(&world, &[0, 1, 2]);
    assert!(world.peers[1].replica.peers().iter().all(|peer| peer.in_sync));
    assert_eq!(held(&world, 1, all).1, 0);
    world.meet(3, 0);
    all_equal(&world, &[0, 3]);
    let now = world.now();
    let replica = &mut world.peers[3].replica;
    let refused = replica.write(now, all, Class::Routine, vec![draft("mine")]);
    assert!(matches!(refused, Err(ActError::Forked)), "{refused:?}");
}

#[test]
fn a_desk_that_is_known_by_its_own_logs_alone_is_proven_to_whoever_holds_none_of_them() {
    let mut world = World::new(3);
    let coalition = world.coalition();
    let area = CompartmentId(coalition.0);
    // The founder's own log is what says that it is a desk: the thief begins others with it.
    let founder = &world.peers[0].replica;
    let own = founder.own_log(area, Class::Authority);
    let entry = founder.logbook().entry(founder.store(), &own, 0).unwrap().unwrap();
    assert!(matches!(Statement::decode(&entry.sealed), Ok(Statement::Desk(_))));
    let certificate =
        NewEntry { epoch: NO_EPOCH, sealed: entry.sealed.clone(), key_box: None, payload: None };
    let link = Link(900);
    link_as(&mut world, 1, 1, link);
    let name = tag(&world, 1, 1, area);
    for incarnation in 1_000..1_000 + CAP {
        let log = log(area, Class::Authority, 1, incarnation);
        let certificate = std::slice::from_ref(&certificate);
        let run = write_segment(&log, &Head::EMPTY, keys(1).signer(), certificate).unwrap();
        world.input(1, Input::Frame { link, bytes: run_frame(name, &run) });
    }
    world.settle();
    let thief = keys(1).id();
    let replica = &world.peers[1].replica;
    let proof = replica.logbook().excess_proof(replica.store(), &area, &thief).unwrap().unwrap();

    // A newcomer holds the charter and nothing else.
    let charter = world.peers[1].replica.coalition(coalition).unwrap().charter().clone();
    let mut world = World::new(3);
    let inviter = keys(2).id();
    let invitation = Invitation {
        coalition,
        inviter,
        invited: Invited::Agency,
        expires: WallTime(u64::MAX),
        secret: [1; 16],
        addresses: vec![],
    };
    let request = world.request(&invitation, 2);
    world.peers[2].replica.join(inviter, request);
    world.input(2, Input::Up { link, device: inviter, dialer: true, thin: false });
    let answer = JoinAnswer::Welcome(charter).encode();
    world.inject(2, link, Frame::JoinAnswer { answer }.encode());
    world.input(2, Input::Sent { link, urgency: Urgency::Control });
    let open = world.peers[2].sent.iter().map(|bytes| Frame::decode(bytes).unwrap());
    let mut nonce = open.filter_map(|frame| match frame {
        Frame::Open { nonce, .. } => Some(nonce),
        _ => None,
    });
    let parts: [&[u8]; 4] = [&area.0, &nonce.next_back().unwrap(), &keys(3).id().0, &inviter.0];
    let name = Domain::SessionTag.hash(&parts)[..8].try_into().unwrap();
    let hello = Frame::Hello { digest: [1; 16], areas: vec![(name, [2; 16])] };
    world.inject(2, link, hello.encode());
    // It knows the device by nothing but what the proof brings.
    let statement = entry.sealed.len() + 2;
    let bare = [&proof[..proof.len() - statement], &[0]].concat();
    for (proof, kept) in [(bare, false), (proof, true)] {
        world.inject(2, link, Frame::Fork { area: name, proof }.encode());
        assert_eq!(world.peers[2].replica.logbook().has_excess(area, thief), kept);
    }
    assert!(world.peers[2].replica.counted_faults().is_empty());
}
