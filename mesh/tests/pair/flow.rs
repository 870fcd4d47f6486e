//! What is on its way, refused, and asked for again: no link stands still while there is something
//! that one side lacks.

use tearline_crdt::entry::run::{Head, NewEntry, VerifiedRun, write_segment};
use tearline_crdt::id::{Class, CompartmentId};
use tearline_mesh::{Input, Link};

use crate::forger::{link_as, log, run_frame, sealed, shared, tag};
use crate::world::{World, keys};

/// Entries of another device, in one segment each, of so many bytes.
fn segments(all: CompartmentId, seed: u8, sizes: &[(usize, usize)]) -> Vec<VerifiedRun> {
    let log = log(all, Class::Routine, seed, 9);
    let mut head = Head::EMPTY;
    let segment = |&(count, bytes): &(usize, usize)| {
        let entry = |n| NewEntry { payload: Some(vec![n; bytes]), ..sealed(n) };
        let entries: Vec<NewEntry> = (0..count as u8).map(entry).collect();
        let run = write_segment(&log, &head, keys(seed).signer(), &entries).unwrap();
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
    let runs = segments(all, 3, &[(2, 20_000), (3, 60)]);
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
