//! What follows from one input may be more than one input may take: it is done in pieces. What follows
//! from many is done once.

use std::ops::ControlFlow;

use tearline_crdt::bounds::SEGMENT_ENTRIES_MAX;
use tearline_crdt::document::{Patch, Segment};
use tearline_crdt::entry::run::{Head, NewEntry, write_segment};
use tearline_crdt::entry::{NO_EPOCH, merkle_root};
use tearline_crdt::epoch::{EpochKeys, box_context, encode_boxes};
use tearline_crdt::id::{Class, EntryId, RecordId};
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::label::Label;
use tearline_crdt::record::shelf::Draft;
use tearline_crdt::seal::{BoxEntropy, SecretBox};
use tearline_crdt::statement::{EpochStatement, Statement};
use tearline_crdt::store::{Space, Store as _};
use tearline_mesh::replica::Word;
use tearline_mesh::{Input, Link};

use crate::forger::{link_as, log, run_frame, sealed, shared, tag};
use crate::world::{World, keys};

/// What one input opens of entries that waited.
const OPENED_MAX: usize = 128 * 1024 / 16;

#[test]
fn entries_that_waited_for_an_epochs_box_are_opened_in_pieces() {
    let (mut world, all) = shared(3);
    let link = Link(900);
    link_as(&mut world, 0, 3, link);
    let area = tag(&world, 0, 3, all);
    let secret = [7; 32];
    let commitment = EpochKeys::commitment(&secret);
    let statement = EpochStatement { parents: vec![], depth: 1, commitment };
    let epoch = statement.id(&all);
    let me = keys(1);
    let sealed_to_me = SecretBox::seal(
        &me.card(me.id().0),
        me.kem_key(),
        &box_context(&all.0, &commitment),
        &secret,
        &BoxEntropy::new([5; 64]),
    );
    let boxes = vec![sealed_to_me.unwrap()];
    let boxes_root = merkle_root(boxes.iter().map(SecretBox::leaf));
    let said = [
        (Statement::Epoch(statement), None),
        (Statement::Seal { epoch, boxes_root }, Some(encode_boxes(&boxes))),
    ];
    let mut heads = [Head::EMPTY; 2];
    let mut say = |world: &mut World, class: Class, entries: &[NewEntry]| {
        let head = &mut heads[usize::from(class != Class::Authority)];
        let run = write_segment(&log(all, class, 3, 9), head, keys(3).signer(), entries).unwrap();
        *head = *run.to();
        let bytes = run_frame(area, &run);
        world.input(0, Input::Frame { link, bytes });
    };
    let [announced, boxed] = said.map(|(statement, payload)| NewEntry {
        epoch: NO_EPOCH,
        sealed: statement.encode(),
        key_box: None,
        payload,
    });
    say(&mut world, Class::Authority, &[announced]);
    // A member withholds the box until many wait for it.
    let segments = OPENED_MAX / SEGMENT_ENTRIES_MAX + 2;
    for _ in 0..segments {
        let entry = |n| NewEntry { epoch, ..sealed(n as u8) };
        let entries: Vec<NewEntry> = (0..SEGMENT_ENTRIES_MAX).map(entry).collect();
        say(&mut world, Class::Routine, &entries);
        world.settle();
    }
    let waiting = |world: &World| {
        let mut count = 0;
        let mut counted = |_: &[u8], _: &[u8]| {
            count += 1;
            ControlFlow::Continue(())
        };
        let store = world.peers[0].replica.store();
        store.scan(Space::Waiting, &epoch.0, &[], &mut counted).unwrap();
        count
    };
    let all_of_them = segments * SEGMENT_ENTRIES_MAX;
    assert_eq!(waiting(&world), all_of_them);
    say(&mut world, Class::Authority, &[boxed]);
    while waiting(&world) == all_of_them {
        assert!(world.step(), "nothing is ever opened");
    }
    assert_eq!(waiting(&world), all_of_them - OPENED_MAX, "as many as one input opens");
    world.settle();
    assert_eq!(waiting(&world), 0);
}

#[test]
fn erasures_of_many_records_are_carried_out_in_pieces() {
    const RECORDS: usize = 70;
    const PER_INPUT: usize = 64;
    let mut world = World::new(2);
    let coalition = world.coalition_with_delay(1);
    world.meet(1, 0);
    let all = world.open(0, coalition, &[1, 2]);
    world.meet(1, 0);
    let names: Vec<String> = (0..RECORDS).map(|n| n.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let records: Vec<RecordId> = world.write(1, all, Class::Routine, &names);
    world.settle();
    for record in &records {
        let now = world.now();
        let word = Word::Erase { basis: "Article 17".into() };
        world.peers[1].replica.speak(now, *record, &word).unwrap();
        world.drain(1);
    }
    world.settle();
    world.meet(1, 0);
    let erased = |world: &World| {
        let stones = records.iter().map(|record| world.peers[0].replica.tombstone(record));
        stones.flatten().count()
    };
    assert_eq!(erased(&world), 0);
    // The delay is over for all of them at once.
    world.wait(3_700_000);
    world.input(0, Input::Tick);
    assert_eq!(erased(&world), PER_INPUT, "as many as one input carries out");
    world.settle();
    assert_eq!(erased(&world), RECORDS);
}

#[test]
fn what_follows_from_statements_that_come_between_two_flushes_is_drawn_once() {
    const STATEMENTS: u64 = 40;
    let (mut world, all) = shared(3);
    let link = Link(900);
    link_as(&mut world, 0, 3, link);
    let area = tag(&world, 0, 3, all);
    let before = world.peers[0].replica.times_drawn();
    let mut head = Head::EMPTY;
    for n in 0..STATEMENTS {
        let sealed = Statement::Hold { genesis: EntryId([n as u8; 32]) }.encode();
        let entry = NewEntry { epoch: NO_EPOCH, sealed, key_box: None, payload: None };
        let log = log(all, Class::Authority, 3, 9);
        let run = write_segment(&log, &head, keys(3).signer(), &[entry]).unwrap();
        head = *run.to();
        world.input(0, Input::Frame { link, bytes: run_frame(area, &run) });
    }
    world.settle();
    let held = world.peers[0].replica.logbook().head(&log(all, Class::Authority, 3, 9)).next;
    assert_eq!((held, world.peers[0].replica.times_drawn() - before), (STATEMENTS, 1));
}

#[test]
fn what_erasures_of_many_records_missed_is_said_at_once() {
    const RECORDS: usize = 20;
    let (mut world, all) = shared(2);
    let case = || {
        let fields = serde_json::Map::from_iter([("name".to_owned(), "case".into())]);
        Draft::New { kind: Kind::Case, fields, label: Label::unrestricted() }
    };
    let cases = (0..RECORDS).map(|_| case()).collect();
    let records = world.act(1, all, Class::Routine, cases);
    world.settle();
    world.meet(0, 1);
    for record in &records {
        let mut patch = Patch::default();
        patch.set(vec![Segment::Name("name".into())], "changed".into());
        world.act(0, all, Class::Routine, vec![Draft::Edit { record: *record, patch }]);
    }
    world.settle();
    for record in &records {
        let now = world.now();
        let word = Word::Erase { basis: "Article 17".into() };
        world.peers[1].replica.speak(now, *record, &word).unwrap();
        world.drain(1);
    }
    world.settle();
    let before = world.peers[0].replica.times_drawn();
    world.meet(0, 1);
    let compartment = world.peers[0].replica.compartment(all).unwrap();
    let missed = compartment.statements().filter(|(place, statement)| {
        place.log.device == keys(1).id() && matches!(statement, Statement::EraseAlso { .. })
    });
    assert_eq!(missed.count(), RECORDS);
    let drawn = world.peers[0].replica.times_drawn() - before;
    assert!(drawn <= 4, "{drawn} times for {RECORDS} records");
}
