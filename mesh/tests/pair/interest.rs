//! Payloads that a peer does not want stay where they are, are listed, and come when they are wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use serde_json::{Map, json};
use tearline_crdt::document::{Patch, Segment};
use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::{Class, CompartmentId, DeviceId, RecordId};
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::label::Label;
use tearline_crdt::record::shelf::{Draft, Verdict};
use tearline_mesh::interest::Interest;
use tearline_mesh::replica::Word;
use tearline_mesh::wire::Frame;
use tearline_mesh::{Event, Input, Link, PeerFault};

use crate::forger::{link_as, shared, tag};
use crate::world::{World, keys};

/// Of a length that is worth leaving out.
const TEXT: &str = "long enough that it is worth more than the hash which stands in its place: ";

fn draft(kind: Kind, place: Option<(f64, f64)>, text: &str) -> Draft {
    let mut fields = Map::new();
    fields.insert("description".into(), format!("{TEXT}{text} {}", "x".repeat(300)).into());
    if let Some((latitude, longitude)) = place {
        fields.insert("where".into(), json!({ "latitude": latitude, "longitude": longitude }));
    }
    let label: Label = "TLP:AMBER".parse().unwrap();
    Draft::New { kind, fields, label }
}

fn write(world: &mut World, peer: usize, id: CompartmentId, class: Class, kind: Kind) -> RecordId {
    let record = world.act(peer, id, class, vec![draft(kind, None, "one")])[0];
    world.settle();
    record
}

fn edit(world: &mut World, peer: usize, id: CompartmentId, class: Class, record: RecordId) {
    let mut patch = Patch::default();
    let text = format!("{TEXT} changed {}", "y".repeat(200));
    patch.set(vec![Segment::Name("description".into())], text.into());
    world.act(peer, id, class, vec![Draft::Edit { record, patch }]);
    world.settle();
}

fn wants(world: &mut World, peer: usize, of: usize, interest: Option<&str>) {
    let device = world.peers[of].replica.device();
    let interest: Option<Interest> = interest.map(|text| text.parse().unwrap());
    world.peers[peer].replica.set_interest(device, interest).unwrap();
    world.drain(peer);
    world.settle();
}

/// How many entries a peer lacks, by who left them out.
fn aside(world: &World, peer: usize) -> BTreeMap<DeviceId, u64> {
    world.peers[peer].replica.left_aside(&|_| true)
}

fn count_aside(world: &World, peer: usize) -> u64 {
    aside(world, peer).values().sum()
}

fn fetch(world: &mut World, peer: usize, record: RecordId) -> u64 {
    let now = world.now();
    let count = world.peers[peer].replica.fetch_record(now, record).unwrap();
    world.drain(peer);
    world.settle();
    count
}

/// Bytes of runs and payloads that a peer sent.
fn sent(world: &World, peer: usize) -> usize {
    let counted = |bytes: &&Vec<u8>| {
        matches!(Frame::decode(bytes).unwrap(), Frame::Run { .. } | Frame::Payloads { .. })
    };
    world.peers[peer].sent.iter().filter(counted).map(Vec::len).sum()
}

fn nobody_is_blamed(world: &World) {
    for peer in &world.peers {
        assert!(peer.replica.faults().is_empty(), "{:?}", peer.replica.faults());
        assert!(peer.closed.iter().all(|(_, fault)| fault.is_none()));
    }
}

/// The reader shows in full what is shown anywhere.
fn same(world: &mut World, one: usize, other: usize, record: RecordId) {
    let (a, b) = (world.show(one, record).unwrap(), world.show(other, record).unwrap());
    assert_eq!((a.fields, a.label, a.kind), (b.fields, b.label, b.kind));
    let counts = |detail: &tearline_crdt::record::shelf::Detail| {
        detail.entries.iter().all(|entry| entry.verdict == Verdict::Materialised)
    };
    assert!(counts(&world.show(other, record).unwrap()));
}

#[test]
fn what_is_not_wanted_stays_aside_and_comes_when_it_is_asked_for() {
    let (mut world, all) = shared(2);
    wants(&mut world, 1, 0, Some("kind=alert"));
    let alert = write(&mut world, 0, all, Class::Routine, Kind::Alert);
    let case = write(&mut world, 0, all, Class::Routine, Kind::Case);
    let flash = write(&mut world, 0, all, Class::Flash, Kind::Case);
    world.peers[0].sent.clear();
    world.connect(1, 0);
    world.settle();
    assert!(world.digests_equal(0, 1));
    assert!(world.show(1, alert).is_some() && world.show(1, flash).is_some());
    assert!(world.show(1, case).is_none());
    let sender = world.peers[0].replica.device();
    assert_eq!(aside(&world, 1), BTreeMap::from([(sender, 1)]));
    let of_case = world.peers[1].replica.records(|reader| reader.aside(case)).unwrap().unwrap();
    assert_eq!((of_case.compartment, of_case.with), (all, BTreeMap::from([(sender, 1)])));
    let listed = world.peers[1].replica.records(|reader| reader.all_aside(9, &|_| true)).unwrap();
    assert_eq!(listed.iter().map(|aside| aside.record).collect::<Vec<_>>(), [case]);
    let states = world.peers[1].replica.peers();
    assert!(states[0].in_sync && states[0].left_aside == 1, "{states:?}");
    let theirs = world.peers[0].replica.interest_of(&keys(2).id()).unwrap().to_string();
    assert_eq!(theirs, "kind=alert");

    assert_eq!(fetch(&mut world, 1, case), 1);
    same(&mut world, 0, 1, case);
    assert_eq!(count_aside(&world, 1), 0);
    let filled = |event: &Event| matches!(event, Event::Filled { entries: 1, .. });
    assert_eq!(world.peers[1].count(filled), 1);
    nobody_is_blamed(&world);
}

#[test]
fn the_bytes_of_what_is_left_aside_are_saved() {
    let send = |interest| {
        let (mut world, all) = shared(2);
        wants(&mut world, 1, 0, interest);
        let drafts = (0..100).map(|n| draft(Kind::Report, None, &n.to_string())).collect();
        world.act(0, all, Class::Routine, drafts);
        write(&mut world, 0, all, Class::Priority, Kind::Alert);
        world.peers[0].sent.clear();
        world.connect(1, 0);
        world.settle();
        assert!(world.digests_equal(0, 1));
        sent(&world, 0)
    };
    let (all, alerts) = (send(None), send(Some("kind=alert")));
    assert!(alerts * 3 < all, "{alerts} of {all} bytes");
}

#[test]
fn area_class_and_time_decide_and_later_entries_of_a_record_go_with_it() {
    let (mut world, all) = shared(2);
    world.wait(10_000_000);
    let since = tearline_crdt::time::WallTime(world.now().wall.0 - 5_000_000);
    let old = {
        world.wait(1);
        let record = world.act(0, all, Class::Routine, vec![draft(Kind::Sighting, None, "new")])[0];
        world.settle();
        record
    };
    let there =
        world.act(0, all, Class::Routine, vec![draft(Kind::Sighting, Some((12.5, 14.5)), "in")])[0];
    let elsewhere =
        world.act(0, all, Class::Routine, vec![draft(Kind::Sighting, Some((2.5, 14.5)), "out")])[0];
    let urgent = world.act(
        0,
        all,
        Class::Priority,
        vec![draft(Kind::Sighting, Some((2.5, 14.5)), "urgent")],
    )[0];
    world.settle();
    edit(&mut world, 0, all, Class::Routine, there);
    edit(&mut world, 0, all, Class::Routine, elsewhere);
    let interest = format!("area=14,12,15.5,13,since={since} or class>=priority");
    wants(&mut world, 1, 0, Some(&interest));
    world.connect(1, 0);
    world.settle();
    for record in [old, there, urgent] {
        same(&mut world, 0, 1, record);
    }
    assert!(world.show(1, elsewhere).is_none());
    assert_eq!(count_aside(&world, 1), 2);
    // What is moved into the area is wanted from then on, and so is what it builds on.
    let mut patch = Patch::default();
    patch.set(vec![Segment::Name("where".into())], json!({ "latitude": 12.1, "longitude": 14.1 }));
    world.act(0, all, Class::Routine, vec![Draft::Edit { record: elsewhere, patch }]);
    world.settle();
    same(&mut world, 0, 1, elsewhere);
    assert_eq!(count_aside(&world, 1), 0);
    nobody_is_blamed(&world);
}

#[test]
fn what_is_wanted_more_widely_comes_also_after_a_start() {
    for offline in [false, true] {
        let (mut world, all) = shared(2);
        wants(&mut world, 1, 0, Some("kind=alert"));
        let records: Vec<RecordId> =
            (0..3).map(|_| write(&mut world, 0, all, Class::Routine, Kind::Case)).collect();
        let report = write(&mut world, 0, all, Class::Routine, Kind::Report);
        let link = world.connect(1, 0);
        world.settle();
        assert_eq!(count_aside(&world, 1), 4);
        if offline {
            world.cut(link);
            wants(&mut world, 1, 0, Some("kind=alert|case"));
            world.crash(1);
            assert_eq!(count_aside(&world, 1), 4, "the list outlives a start");
            world.peers[0].sent.clear();
            world.connect(0, 1);
            world.settle();
        } else {
            wants(&mut world, 1, 0, Some("kind=alert|case"));
        }
        for record in records {
            same(&mut world, 0, 1, record);
        }
        assert!(world.show(1, report).is_none());
        assert_eq!(count_aside(&world, 1), 1);
        // Once asked, a peer is not asked again.
        world.crash(1);
        world.peers[1].sent.clear();
        world.connect(0, 1);
        world.settle();
        let lacks = |bytes: &Vec<u8>| matches!(Frame::decode(bytes).unwrap(), Frame::Lack { .. });
        assert!(!world.peers[1].sent.iter().any(lacks));
        wants(&mut world, 1, 0, None);
        same(&mut world, 0, 1, report);
        nobody_is_blamed(&world);
    }
}

#[test]
fn what_is_fetched_goes_on_after_a_start_of_both_ends() {
    const RECORDS: usize = 60;
    let (mut world, all) = shared(2);
    wants(&mut world, 1, 0, Some("kind=alert"));
    let drafts =
        (0..RECORDS).map(|n| draft(Kind::Report, None, &format!("{n} {}", "z".repeat(3_000))));
    let records = world.act(0, all, Class::Routine, drafts.collect());
    world.settle();
    world.meet(1, 0);
    assert_eq!(count_aside(&world, 1), RECORDS as u64);
    let holes = |world: &World| -> BTreeSet<u64> {
        world.peers[1].replica.logbook().holes().flat_map(|hole| hole.span).collect()
    };
    // Nothing that is durable is asked for again, whoever was down.
    let only = |world: &mut World, lacked: &BTreeSet<u64>| {
        let mut sent = 0;
        for bytes in std::mem::take(&mut world.peers[0].sent) {
            if let Frame::Payloads { payloads, .. } = Frame::decode(&bytes).unwrap() {
                sent += payloads.len();
                assert!(payloads.iter().all(|(seq, _)| lacked.contains(seq)));
            }
        }
        sent
    };
    wants(&mut world, 1, 0, None);
    world.peers[0].sent.clear();
    for _ in 0..3 {
        let lacked = holes(&world);
        world.connect(1, 0);
        while world.step() && holes(&world).len() + 8 > lacked.len() {}
        assert!(only(&mut world, &lacked) >= 8);
        world.crash(0);
        world.crash(1);
    }
    let lacked = holes(&world);
    assert!(!lacked.is_empty() && lacked.len() < RECORDS, "{} were left", lacked.len());
    world.connect(1, 0);
    world.settle();
    assert_eq!((only(&mut world, &lacked), count_aside(&world, 1)), (lacked.len(), 0));
    for record in records {
        same(&mut world, 0, 1, record);
    }
    nobody_is_blamed(&world);
}

#[test]
fn holes_are_filled_from_a_third_peer_and_passed_on_as_holes() {
    let (mut world, all) = shared(4);
    wants(&mut world, 1, 0, Some("kind=alert"));
    let case = write(&mut world, 0, all, Class::Routine, Kind::Case);
    let alert = write(&mut world, 0, all, Class::Routine, Kind::Alert);
    world.meet(1, 0);
    world.meet(3, 0);
    // Peer 2 meets only who has holes: it gets all that there is.
    let link = world.connect(2, 1);
    world.settle();
    assert!(world.show(2, alert).is_some() && world.show(2, case).is_none());
    assert_eq!(aside(&world, 2), BTreeMap::from([(keys(2).id(), 1)]));
    assert!(world.digests_equal(1, 2));
    // Peer 3 has it, and nothing was asked to be left out there.
    world.connect(1, 3);
    world.settle();
    same(&mut world, 0, 1, case);
    assert_eq!((count_aside(&world, 1), count_aside(&world, 2)), (0, 1));
    world.cut(link);
    world.meet(2, 1);
    same(&mut world, 0, 2, case);
    nobody_is_blamed(&world);
}

#[test]
fn what_is_erased_while_it_is_a_hole_never_returns() {
    for delay in [0, 1] {
        let (mut world, all) = shared(3);
        wants(&mut world, 1, 0, Some("kind=alert"));
        let case = write(&mut world, 0, all, Class::Routine, Kind::Case);
        edit(&mut world, 0, all, Class::Routine, case);
        let other = write(&mut world, 0, all, Class::Routine, Kind::Case);
        world.meet(1, 0);
        world.meet(2, 0);
        assert_eq!(count_aside(&world, 1), 3);
        let now = world.now();
        let word = Word::Erase { basis: "order".into() };
        world.peers[0].replica.speak(now, case, &word).unwrap();
        world.drain(0);
        world.settle();
        if delay == 0 {
            world.meet(1, 0);
            assert_eq!(count_aside(&world, 1), 1, "what is erased is no hole");
        }
        // Peer 2 has not heard of it, and has all of it.
        world.connect(1, 2);
        world.settle();
        world.connect(1, 0);
        world.settle();
        assert_eq!(count_aside(&world, 1), 0);
        assert!(world.show(1, case).is_none());
        same(&mut world, 0, 1, other);
        let log = world.peers[0].replica.own_log(all, Class::Routine);
        for seq in 0..2 {
            let replica = &world.peers[1].replica;
            let entry = replica.logbook().entry(replica.store(), &log, seq).unwrap().unwrap();
            assert!(entry.payload.is_none() && entry.key_box.is_none());
        }
        nobody_is_blamed(&world);
    }
}

#[test]
fn a_label_comes_whatever_is_wanted_and_nothing_is_shown_without_it() {
    let (mut world, all) = shared(3);
    let case = write(&mut world, 0, all, Class::Priority, Kind::Case);
    let label: Label = "TLP:RED".parse().unwrap();
    world.act(0, all, Class::Routine, vec![Draft::Label { record: case, label, cites: vec![] }]);
    world.settle();
    wants(&mut world, 1, 0, Some("class>=priority"));
    world.connect(1, 0);
    world.settle();
    same(&mut world, 0, 1, case);
    assert_eq!(
        world.show(1, case).unwrap().label.to_string(),
        world.show(0, case).unwrap().label.to_string()
    );
}

#[test]
fn a_flash_without_its_payload_is_its_senders_fault() {
    let (mut world, all) = shared(2);
    let flash = world.write(0, all, Class::Flash, &["vital"])[0];
    world.settle();
    link_as(&mut world, 1, 1, Link(901));
    let area = tag(&world, 1, 1, all);
    let log = world.peers[0].replica.own_log(all, Class::Flash);
    let replica = &world.peers[0].replica;
    let stretch = replica.logbook().read(replica.store(), &log, 0..9, 100_000).unwrap().unwrap();
    let stretch = stretch.leave_out(&(0..9).collect()).unwrap();
    assert!(stretch.left_out);
    let frame = Frame::Run {
        area,
        key: LogKey::of(&log),
        author: Some((log.device, log.incarnation)),
        knows: None,
        hops: None,
        left_out: true,
        first: 0,
        count: stretch.count,
        entries: stretch.entries,
        boxes: stretch.boxes,
    };
    world.inject(1, Link(901), frame.encode());
    assert_eq!(world.peers[1].fault_of(keys(1).id()), Some(PeerFault::Stripped));
    world.meet(1, 0);
    assert!(world.show(1, flash).is_some());
}

#[test]
fn another_payload_an_endless_interest_and_endless_questions_are_faults() {
    let (mut world, all) = shared(2);
    wants(&mut world, 1, 0, Some("kind=alert"));
    let case = write(&mut world, 0, all, Class::Routine, Kind::Case);
    world.meet(1, 0);
    let key = LogKey::of(&world.peers[0].replica.own_log(all, Class::Routine));
    link_as(&mut world, 1, 1, Link(901));
    let area = tag(&world, 1, 1, all);
    let payloads = vec![(0, vec![7; 300])];
    world.inject(1, Link(901), Frame::Payloads { area, key, done: true, payloads }.encode());
    assert_eq!(world.peers[1].fault_of(keys(1).id()), Some(PeerFault::Payload));
    assert!(world.show(1, case).is_none());

    let area = tag(&world, 0, 2, all);
    for (n, garbage) in
        [vec![1], vec![1, 9], vec![1, 1, 16], vec![1, 1, 4, 0]].into_iter().enumerate()
    {
        let link = Link(910 + n as u64);
        link_as(&mut world, 0, 2, link);
        world.inject(0, link, Frame::Interest { interest: garbage }.encode());
        let closed = world.peers[0].closed.last().copied();
        assert!(matches!(closed, Some((of, Some(PeerFault::Malformed(_)))) if of == link));
    }
    let floods = [
        Frame::Interest { interest: vec![1, 0] },
        Frame::Lack { area, key, any: true, spans: iter::once(0..4_096).collect() },
        Frame::Payloads { area, key, done: false, payloads: vec![(9, vec![1; 9])] },
        Frame::Payloads { area, key, done: false, payloads: vec![] },
    ];
    for (n, flood) in floods.into_iter().enumerate() {
        let link = Link(920 + n as u64);
        link_as(&mut world, 0, 2, link);
        let is_closed =
            |world: &World| world.peers[0].closed.last() == Some(&(link, Some(PeerFault::Endless)));
        for _ in 0..100_000 {
            if is_closed(&world) {
                break;
            }
            world.input(0, Input::Frame { link, bytes: flood.encode() });
        }
        assert!(is_closed(&world), "{}", flood.name());
    }
}

#[test]
fn who_answers_without_end_and_brings_nothing_is_blamed() {
    let (mut world, all) = shared(2);
    wants(&mut world, 1, 0, Some("kind=alert"));
    let case = write(&mut world, 0, all, Class::Routine, Kind::Case);
    world.meet(1, 0);
    let key = LogKey::of(&world.peers[0].replica.own_log(all, Class::Routine));
    let link = Link(901);
    link_as(&mut world, 1, 1, link);
    let area = tag(&world, 1, 1, all);
    // It is asked over this link, and says again and again that it goes on looking.
    let now = world.now();
    assert_eq!(world.peers[1].replica.fetch_record(now, case).unwrap(), 1);
    world.drain(1);
    let empty = Frame::Payloads { area, key, done: false, payloads: Vec::new() }.encode();
    let answers = (1..10_000).find(|_| {
        world.input(1, Input::Frame { link, bytes: empty.clone() });
        world.peers[1].fault_of(keys(1).id()) == Some(PeerFault::Endless)
    });
    // As many as an honest one may need, and no more.
    assert_eq!(answers, Some(257));
}
