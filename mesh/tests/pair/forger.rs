//! A member that does by hand what an honest replica would not.

use tearline_crdt::entry::run::{NewEntry, VerifiedRun};
use tearline_crdt::frontier::LogKey;
use tearline_crdt::hash::Domain;
use tearline_crdt::id::{Class, CompartmentId, DeviceId, EpochId, Incarnation, LogId};
use tearline_mesh::wire::{Frame, Tag};
use tearline_mesh::{Input, Link};

use crate::world::{World, keys};

const NONCE: [u8; 8] = [5; 8];

/// The `Open` of a device that holds all that a peer believes it should.
pub(crate) fn open_frame(world: &World, to: usize, device: DeviceId) -> Vec<u8> {
    let listener = &world.peers[to].replica;
    let known = listener.pair_digest(&device);
    let parts: [&[u8]; 5] = [&[0; 32], &NONCE, &device.0, &listener.device().0, &known];
    let hash = Domain::SessionRoot.hash(&parts);
    Frame::Open { digest: hash[..16].try_into().unwrap(), nonce: NONCE }.encode()
}

/// The link of the device with these keys to a peer, with which it is in sync.
pub(crate) fn link_as(world: &mut World, to: usize, seed: u8, link: Link) {
    let device = keys(seed).id();
    world.input(to, Input::Up { link, device, dialer: false, thin: false });
    let frame = open_frame(world, to, device);
    world.inject(to, link, frame);
}

/// What an area is called on that link.
pub(crate) fn tag(world: &World, to: usize, seed: u8, id: CompartmentId) -> Tag {
    let listener = world.peers[to].replica.device();
    let hash = Domain::SessionTag.hash(&[&id.0, &NONCE, &keys(seed).id().0, &listener.0]);
    hash[..8].try_into().unwrap()
}

/// A log of the device with these keys, of a life in which it runs no replica.
pub(crate) fn log(id: CompartmentId, class: Class, seed: u8, incarnation: u64) -> LogId {
    LogId { compartment: id, class, device: keys(seed).id(), incarnation: Incarnation(incarnation) }
}

/// An entry that nobody can open.
pub(crate) fn sealed(n: u8) -> NewEntry {
    NewEntry {
        epoch: EpochId([7; 32]),
        sealed: vec![n; 60],
        key_box: None,
        payload: Some(vec![n; 60]),
    }
}

pub(crate) fn run_frame(area: Tag, run: &VerifiedRun) -> Vec<u8> {
    Frame::Run {
        area,
        key: LogKey::of(run.log()),
        author: (run.from().next == 0).then_some((run.log().device, run.log().incarnation)),
        knows: None,
        hops: None,
        left_out: false,
        first: run.from().next,
        count: run.entries().len(),
        entries: run.bytes().to_vec(),
        boxes: run.boxes(),
    }
    .encode()
}

/// All peers in one compartment, each of which has met the first.
pub(crate) fn shared(size: usize) -> (World, CompartmentId) {
    let mut world = World::new(size);
    let coalition = world.coalition();
    let agencies: Vec<u16> = (1..=size as u16).collect();
    (1..size).for_each(|peer| world.meet(peer, 0));
    let all = world.open(0, coalition, &agencies);
    (1..size).for_each(|peer| world.meet(peer, 0));
    (world, all)
}

/// The frames that carry what a peer holds of a log and another does not.
pub(crate) fn runs(world: &World, from: usize, to: usize, log: &LogId, area: Tag) -> Vec<Vec<u8>> {
    let replica = &world.peers[from].replica;
    let end = replica.logbook().head(log).next;
    let mut head = world.peers[to].replica.logbook().head(log);
    let mut frames = Vec::new();
    while head.next < end {
        let read = replica.logbook().read(replica.store(), log, head.next..end, 8 * 1024);
        let run = read.unwrap().unwrap().run(*log).verify(&head).unwrap();
        head = *run.to();
        frames.push(run_frame(area, &run));
    }
    frames
}
