//! Attachments: who fetches a file gets it whole, from whoever has it, and goes on where it stopped.

use std::ops::ControlFlow;

use tearline_crdt::attachment::{Manifest, seal_file};
use tearline_crdt::document::{Patch, Segment};
use tearline_crdt::hash::sha256;
use tearline_crdt::id::{Class, CoalitionId, CompartmentId, RecordId};
use tearline_crdt::record::shelf::Draft;
use tearline_crdt::seal::Key;
use tearline_crdt::store::{Space, Store as _};
use tearline_mesh::replica::{Fetched, Room, Word};
use tearline_mesh::wire::Frame;
use tearline_mesh::{Event, Input, PeerFault};

use crate::world::World;

const HOUR_MS: u64 = 3_600_000;
/// A few parts, and not a whole number of blocks.
const FILE_BYTES: usize = 300_001;

struct Stage {
    world: World,
    coalition: CoalitionId,
    shared: CompartmentId,
    record: RecordId,
    manifest: Manifest,
    plain: Vec<u8>,
}

/// Three agencies share a compartment; the first has attached a file to a record there.
fn stage() -> Stage {
    stage_of(&[1, 2, 3])
}

fn stage_of(audience: &[u16]) -> Stage {
    let mut world = World::new(3);
    let coalition = world.coalition_with_delay(72);
    (1..3).for_each(|peer| world.meet(peer, 0));
    let shared = world.open(0, coalition, audience);
    (1..3).for_each(|peer| world.meet(peer, 0));
    let record = world.write(0, shared, Class::Routine, &["with a photo"])[0];
    let plain: Vec<u8> = (0..FILE_BYTES).map(|n| (n % 253) as u8).collect();
    let key = Key::new([9; 32]);
    let (id, items) = seal_file(&plain, &key);
    let manifest = Manifest {
        id,
        name: "scene.jpg".into(),
        media_type: "image/jpeg".into(),
        bytes: plain.len() as u64,
        sha256: sha256(&plain),
        thumbnail: String::new(),
        key,
    };
    let mut patch = Patch::default();
    patch.set(vec![Segment::Name(manifest.field())], manifest.value());
    world.act(0, shared, Class::Routine, vec![Draft::Edit { record, patch }]);
    world.peers[0].replica.keep_file(&record, &id, items).unwrap();
    world.settle();
    (1..3).for_each(|peer| world.meet(peer, 0));
    Stage { world, coalition, shared, record, manifest, plain }
}

impl Stage {
    /// What a peer reads in its record of the file.
    fn manifest_at(&mut self, peer: usize) -> Option<Manifest> {
        Manifest::all(&self.world.show(peer, self.record)?.fields).pop()
    }

    fn fetch(&mut self, peer: usize) -> Fetched {
        let now = self.world.now();
        let manifest = self.manifest_at(peer).unwrap();
        let replica = &mut self.world.peers[peer].replica;
        let fetched = replica.fetch(now, self.shared, self.record, &manifest).unwrap();
        self.world.drain(peer);
        fetched
    }

    fn held(&self, peer: usize) -> u64 {
        self.world.peers[peer].replica.file(&self.record, &self.manifest).unwrap().held_bytes
    }

    fn read(&self, peer: usize) -> Option<Vec<u8>> {
        self.world.peers[peer].replica.read_file(&self.record, &self.manifest).unwrap()
    }

    /// Bytes of parts that a peer sent.
    fn parts(&self, peer: usize) -> usize {
        let frames = self.world.peers[peer].sent.iter();
        let part = |bytes: &Vec<u8>| match Frame::decode(bytes).unwrap() {
            Frame::Part { bytes, .. } => bytes.len(),
            _ => 0,
        };
        frames.map(part).sum()
    }

    fn blamed(&self, peer: usize) -> bool {
        !self.world.peers[peer].replica.faults().is_empty()
    }
}

#[test]
fn a_file_comes_on_request_and_from_whoever_has_it() {
    let mut stage = stage();
    assert_eq!(stage.manifest_at(1), Some(stage.manifest.clone()));
    assert_eq!((stage.held(1), stage.read(1)), (0, None), "nothing of it travels by itself");
    let link = stage.world.connect(1, 0);
    stage.world.settle();
    stage.world.peers[0].sent.clear();
    assert!(stage.fetch(1).is_coming);
    stage.world.settle();
    assert_eq!(stage.read(1).as_ref(), Some(&stage.plain));
    assert_eq!(stage.parts(0) as u64, stage.manifest.layout().sealed_bytes(), "each byte once");
    let record = stage.record;
    assert_eq!(stage.world.peers[1].count(|event| *event == Event::Fetched(record)), 1);
    // The third gets it from the second, and never met the first again.
    stage.world.cut(link);
    stage.world.meet(2, 1);
    stage.fetch(2);
    stage.world.meet(2, 1);
    assert_eq!(stage.read(2).as_ref(), Some(&stage.plain));
    assert!((0..3).all(|peer| !stage.blamed(peer)));
}

#[test]
fn a_fetch_goes_on_where_it_stopped_also_after_a_start_and_from_another() {
    let mut stage = stage();
    stage.world.meet(2, 0);
    stage.fetch(2);
    stage.world.meet(2, 0);
    assert!(stage.read(2).is_some());
    let link = stage.world.connect(1, 0);
    stage.world.settle();
    stage.world.peers.iter_mut().for_each(|peer| peer.sent.clear());
    stage.fetch(1);
    while stage.held(1) < 100_000 {
        assert!(stage.world.step());
    }
    stage.world.cut(link);
    stage.world.settle();
    let held = stage.held(1);
    assert!(held < stage.manifest.layout().sealed_bytes());
    stage.world.crash(1);
    assert!(stage.held(1) <= held);
    // The first is away; the third has it.
    let resumed = stage.held(1);
    stage.world.connect(1, 2);
    stage.world.settle();
    stage.fetch(1);
    stage.world.settle();
    assert_eq!(stage.read(1).as_ref(), Some(&stage.plain));
    assert_eq!(stage.parts(2) as u64, stage.manifest.layout().sealed_bytes() - resumed);
    assert!((0..3).all(|peer| !stage.blamed(peer)));
}

/// A line of 2,400 bit/s that is cut each half minute, while both ends start again now and then, and one holder gives way to
/// another: what comes again is one part for each cut.
#[test]
fn over_a_line_that_is_cut_again_and_again_a_file_comes_with_one_part_for_each_cut() {
    for (rate, up_ms) in [(300, 30_000), (20_000, 1_500)] {
        let mut stage = stage();
        stage.world.meet(2, 0);
        stage.fetch(2);
        stage.world.meet(2, 0);
        assert!(stage.read(2).is_some());
        stage.world.peers.iter_mut().for_each(|peer| peer.sent.clear());
        let sealed = stage.manifest.layout().sealed_bytes();
        let (mut cuts, mut largest) = (0u64, 0);
        while stage.read(1).is_none() {
            let held = stage.held(1);
            let link = stage.world.connect(1, if cuts % 2 == 0 { 0 } else { 2 });
            stage.world.rates.insert(link, rate);
            stage.fetch(1);
            stage.world.run_for(up_ms);
            assert!(stage.held(1) > held || cuts == 0, "it gets on: {held} after {cuts} cuts");
            match cuts % 5 {
                1 => stage.world.crash(1),
                2 => stage.world.crash(0),
                3 => stage.world.crash(2),
                _ => stage.world.cut(link),
            }
            cuts += 1;
            assert!(cuts < 300, "never");
        }
        for frame in stage.world.peers.iter().flat_map(|peer| &peer.sent) {
            if let Frame::Part { bytes, .. } = Frame::decode(frame).unwrap() {
                largest = largest.max(bytes.len() as u64);
            }
        }
        let moved = (stage.parts(0) + stage.parts(2)) as u64;
        println!("{moved} bytes for {sealed}, {cuts} cuts, parts of up to {largest}");
        assert!(cuts > 5 && moved <= sealed + cuts * largest, "{moved} for {sealed}, {cuts} cuts");
        assert!((0..3).all(|peer| !stage.blamed(peer)));
    }
}

#[test]
fn who_sends_a_part_that_is_not_what_its_id_says_is_blamed_and_another_asked() {
    let mut stage = stage();
    let link = stage.world.connect(1, 0);
    stage.world.settle();
    stage.fetch(1);
    let mut forged = false;
    while !forged {
        stage.world.deliver_changed(|frame| match frame {
            Frame::Part { from, bytes, .. } if *from > 0 && !forged => {
                bytes[0] ^= 1;
                forged = true;
                true
            }
            _ => false,
        });
        assert!(forged || stage.world.step());
    }
    stage.world.settle();
    assert_eq!(stage.world.peers[1].closed, [(link, Some(PeerFault::Attachment))]);
    assert!(stage.read(1).is_none());
    stage.world.meet(1, 0);
    stage.world.meet(1, 0);
    assert_eq!(stage.read(1).as_ref(), Some(&stage.plain));
}

#[test]
fn who_has_nothing_says_so_and_is_asked_again_later() {
    let mut stage = stage();
    stage.world.meet(2, 1);
    stage.world.connect(1, 2);
    stage.world.settle();
    stage.fetch(1);
    stage.world.settle();
    assert_eq!(stage.held(1), 0);
    // It comes to have it.
    stage.world.meet(2, 0);
    stage.fetch(2);
    stage.world.meet(2, 0);
    stage.world.run_for(2 * 60_000);
    assert_eq!(stage.read(1).as_ref(), Some(&stage.plain));
    assert!((0..3).all(|peer| !stage.blamed(peer)));
}

#[test]
fn who_may_not_read_gets_nothing_of_a_file() {
    let mut stage = stage_of(&[1, 2]);
    stage.world.connect(2, 0);
    stage.world.settle();
    // It heard of everything, and asks in the area that it shares.
    let (now, area) = (stage.world.now(), CompartmentId(stage.coalition.0));
    let replica = &mut stage.world.peers[2].replica;
    assert!(replica.fetch(now, area, stage.record, &stage.manifest).unwrap().is_coming);
    stage.world.drain(2);
    stage.world.settle();
    assert_eq!((stage.parts(0), stage.held(2)), (0, 0));
}

#[test]
fn a_file_is_destroyed_with_its_record_and_comes_no_more() {
    let mut stage = stage();
    stage.world.meet(1, 0);
    stage.fetch(1);
    stage.world.meet(1, 0);
    assert!(stage.held(1) > 0);
    let now = stage.world.now();
    let word = Word::Erase { basis: "Article 17".into() };
    stage.world.peers[0].replica.speak(now, stage.record, &word).unwrap();
    stage.world.drain(0);
    (1..3).for_each(|peer| stage.world.meet(peer, 0));
    stage.world.wait(100 * HOUR_MS);
    for peer in 0..3 {
        stage.world.input(peer, Input::Tick);
        stage.world.settle();
        let mut items = 0;
        let store = stage.world.peers[peer].replica.store();
        let count = &mut |_: &[u8], _: &[u8]| {
            items += 1;
            ControlFlow::Continue(())
        };
        store.scan(Space::Attachments, &[], &[], count).unwrap();
        assert_eq!((stage.held(peer), items), (0, 0), "{peer}");
    }
}

/// All rows of attachments at a peer.
fn rows(stage: &Stage, peer: usize) -> Vec<Vec<u8>> {
    let mut rows = Vec::new();
    let store = stage.world.peers[peer].replica.store();
    let mut note = |key: &[u8], _: &[u8]| {
        rows.push(key.to_vec());
        ControlFlow::Continue(())
    };
    store.scan(Space::Attachments, &[], &[], &mut note).unwrap();
    rows
}

#[test]
fn what_rotted_of_a_file_is_not_given_and_stops_nothing() {
    let mut stage = stage();
    for key in rows(&stage, 0) {
        assert!(stage.world.peers[0].replica.store_mut().rot(Space::Attachments, &key));
    }
    stage.world.connect(1, 0);
    stage.world.settle();
    stage.fetch(1);
    stage.world.settle();
    assert_eq!((stage.held(1), stage.read(1)), (0, None));
    let after = stage.world.write(0, stage.shared, Class::Routine, &["after that"])[0];
    stage.world.settle();
    assert!(stage.world.show(1, after).is_some());
    assert!(!stage.blamed(0) && !stage.blamed(1));
}

#[test]
fn what_rotted_of_a_file_is_fetched_again_and_no_more_of_it() {
    let mut stage = stage();
    stage.world.connect(1, 0);
    stage.world.settle();
    stage.fetch(1);
    stage.world.settle();
    assert!(stage.read(1).is_some());
    let rows = rows(&stage, 1);
    // The list of blocks, and one block.
    for key in [&rows[0], &rows[12]] {
        assert!(stage.world.peers[1].replica.store_mut().rot(Space::Attachments, key));
    }
    assert_eq!(stage.read(1), None);
    let whole = stage.manifest.layout().sealed_bytes();
    stage.world.peers[0].sent.clear();
    let fetched = stage.fetch(1);
    assert!(fetched.is_coming && fetched.held_bytes < whole);
    // It goes on after a start.
    stage.world.step();
    stage.world.crash(1);
    assert_eq!(stage.read(1), None);
    stage.world.connect(1, 0);
    stage.world.settle();
    stage.fetch(1);
    stage.world.settle();
    assert_eq!(stage.read(1).as_ref(), Some(&stage.plain));
    assert!((stage.parts(0) as u64) < whole, "{} of {whole}", stage.parts(0));
    assert!((0..3).all(|peer| !stage.blamed(peer)));
}

#[test]
fn without_room_nothing_of_a_file_is_asked_for() {
    let mut stage = stage();
    stage.world.connect(1, 0);
    stage.world.settle();
    stage.world.peers[0].sent.clear();
    stage.world.input(1, Input::Room { room: Room::Statements });
    assert!(!stage.fetch(1).is_coming);
    stage.world.wait(HOUR_MS);
    assert_eq!((stage.held(1), stage.parts(0)), (0, 0));
    stage.world.input(1, Input::Room { room: Room::Everything });
    stage.world.settle();
    assert_eq!(stage.read(1).as_ref(), Some(&stage.plain));
}
