//! At the limits: what concurrent changes come to that are together more than a record may hold, and
//! what entries that wait take in memory.

use proptest::prelude::*;

use super::super::ENTRIES_PER_LOG_MAX;
use super::super::thread::PAYLOADS_BYTES_MAX;
use super::history::{Act, Change, History, World, deliveries, moves};
use super::peer::{Peer, Picture, Planted, Said};
use super::*;
use crate::bounds::{CHANGE_OPS_MAX, RECORD_OPS_MAX};

/// Most elements of a list in one change, which makes the list, too.
const ELEMENTS_MAX: usize = CHANGE_OPS_MAX - 1;

/// A record of device 0, and changes of it by devices that know nothing of each other's.
fn side_by_side(edits: impl IntoIterator<Item = (u8, Class, Change)>) -> History {
    let comment = |device| step(device, Class::Routine, false, vec![Act::Comment { record: 0 }]);
    let mut history = vec![step(0, Class::Routine, false, vec![Act::New(Kind::Case, 0)])];
    history.extend((1..4).map(comment));
    for (device, class, change) in edits {
        let mut edit = step(device, class, false, vec![Act::Edit { record: 0, change }]);
        edit.pulls.clear();
        history.push(edit);
    }
    history
}

/// What is said of the record that was changed.
fn case(picture: &Picture) -> &Said {
    let said = picture.records.values().filter_map(|(said, _)| said.as_ref());
    said.max_by_key(|said| said.entries.len()).unwrap()
}

fn count(said: &Said, verdict: &Verdict) -> usize {
    said.entries.values().filter(|entry| entry.3 == *verdict).count()
}

/// Lists by two devices in turn that have so many operations in all.
fn lists(mut ops: usize) -> Vec<(u8, Class, Change)> {
    let mut edits = Vec::new();
    while ops > 0 {
        // None like the one before it, and none empty.
        let next = (ELEMENTS_MAX - edits.len()).min(ops - 1);
        edits.push((1 + edits.len() as u8 % 2, Class::Routine, Change::Fill(next as u16)));
        ops -= next + 1;
    }
    edits
}

#[test]
fn concurrent_changes_are_held_back_from_the_limit_on() {
    let mut world = World::play(&side_by_side([]));
    let record = world.records[0];
    let begun = world.archive.thread(record).document().ops();
    for (over, held) in [(0, false), (1, true)] {
        let edits = lists(RECORD_OPS_MAX - begun + over);
        let changes = edits.len() + 1;
        let turns = [one_by_one(&[0, 1, 2, 3]), one_by_one(&[3, 2, 1, 0])];
        let picture = outcome(&side_by_side(edits), &turns, Planted::Nothing).unwrap();
        let [held_back, materialised] =
            [Verdict::HeldBack, Verdict::Materialised].map(|v| count(case(&picture), &v));
        assert_eq!((held_back > 0, held_back + materialised), (held, changes));
    }
}

/// A device that sees that the record is full does not write what nobody would have; one that
/// does not see it goes on.
#[test]
fn nothing_is_written_on_top_of_a_full_record() {
    let mut history = side_by_side(lists(RECORD_OPS_MAX));
    let entries = |history: &History| {
        let picture = outcome(history, &[], Planted::Nothing).unwrap();
        case(&picture).entries.len()
    };
    let before = entries(&history);
    let edit = |device| {
        let change = Change::Set(0, 7);
        step(device, Class::Routine, false, vec![Act::Edit { record: 0, change }])
    };
    history.push(edit(3));
    assert_eq!(entries(&history), before);
    let mut unaware = edit(2);
    unaware.pulls.clear();
    history.push(unaware);
    assert_eq!(entries(&history), before + 1);
}

/// What nobody would list is not written.
#[test]
fn an_author_is_told_that_his_log_has_its_share_of_a_record() {
    let forge = |_| Act::Forge { record: 0, kind: 7, on: None, label: 0 };
    let of_device = |acts| step(0, Class::Routine, false, acts);
    let mut history = vec![of_device(vec![Act::New(Kind::Case, 0)])];
    // All but two: the genesis, and one more.
    let others: Vec<Act> = (0..ENTRIES_PER_LOG_MAX - 2).map(forge).collect();
    history.extend(others.chunks(200).map(|acts| of_device(acts.to_vec())));
    for n in 0..2 {
        let change = Change::Set(0, n);
        history.push(of_device(vec![Act::Edit { record: 0, change }]));
    }
    let mut world = World::play(&history);
    let picture = world.archive.picture();
    assert_eq!(only(&picture).entries.len(), ENTRIES_PER_LOG_MAX);
    assert_eq!(count(only(&picture), &Verdict::Materialised), 2);
    let log = *world.archive.logbook.logs().next().unwrap().0;
    assert_eq!(world.archive.logbook.head(&log).next, ENTRIES_PER_LOG_MAX as u64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    /// Which changes are held back, and what comes of that, is the same in every order of arrival.
    #[test]
    fn what_is_held_back_is_the_same_in_every_order(
        edits in prop::collection::vec(
            (0u8..4, any::<bool>(), 500..=ELEMENTS_MAX as u16),
            24..36,
        ),
        deliveries in prop::collection::vec(deliveries(), 2),
        last in prop_oneof![2 => Just(vec![]), 1 => moves()],
    ) {
        let edits = edits.into_iter().map(|(device, flash, elements)| {
            let class = if flash { Class::Flash } else { Class::Routine };
            (device, class, Change::Fill(elements))
        });
        let history = side_by_side(edits);
        let outcome = outcome_after(&history, &deliveries, &last, Planted::Nothing);
        prop_assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
    }
}

/// Payloads that wait are in memory up to a bound, and judged like any others beyond it.
#[test]
fn payloads_that_wait_are_bounded_in_memory() {
    let kib = 20..60;
    let texts = kib.clone().map(|kib| (1, Class::Routine, Change::Text(kib)));
    let mut world = World::play(&side_by_side(texts));
    let record = world.records[0];
    let total: usize = kib.map(|kib| usize::from(kib) * 1024).sum();
    assert!(total > PAYLOADS_BYTES_MAX + 256 * 1024);
    let log = |n: u8| *world.archive.logbook.log(crate::logbook::LogNo(n.into())).unwrap();
    let (first, second) = (log(0), log(1));
    let mut peer = Peer::new(&world.roll, Planted::Nothing);
    while peer.pull(&world.archive, &second, 7).is_some() {}
    for _ in 0..2 {
        let weight = peer.thread(record).weight();
        assert!(weight < PAYLOADS_BYTES_MAX + 64 * 1024, "{weight}");
        assert!(weight > PAYLOADS_BYTES_MAX - 64 * 1024, "{weight}");
        peer.restart();
    }
    while peer.pull(&world.archive, &first, 7).is_some() {}
    let [here, there] = [&mut peer, &mut world.archive].map(|peer| peer.picture());
    assert_eq!(case(&here), case(&there));
    assert_eq!(count(case(&here), &Verdict::Materialised), 41);
}

/// A run that names more large records than one pass may build is judged in pieces, also after a
/// restart, and ends as if it had been judged at once.
#[test]
fn a_run_is_judged_up_to_a_bound_of_work_and_the_rest_later() {
    const LARGE: usize = 5;
    const FILLS: usize = 9;
    let of_all =
        |act: &dyn Fn(usize) -> Act| step(0, Class::Routine, false, (0..LARGE).map(act).collect());
    let mut history = vec![of_all(&|n| Act::New(Kind::Case, n as u8))];
    for fill in 0..FILLS {
        history.push(of_all(&|record| Act::Edit {
            record: record as u16,
            change: Change::Fill((ELEMENTS_MAX - fill) as u16),
        }));
    }
    history.push(of_all(&|record| Act::Edit { record: record as u16, change: Change::Set(0, 7) }));
    let mut world = World::play(&history);
    let log = *world.archive.logbook.logs().next().unwrap().0;
    let last = world.archive.logbook.head(&log).next - LARGE as u64;
    let mut peer = Peer::new(&world.roll, Planted::Nothing);
    while peer.logbook.head(&log).next < last {
        let left = last - peer.logbook.head(&log).next;
        peer.pull(&world.archive, &log, left).unwrap();
        while peer.judge_later() {}
    }
    peer.restart();
    let before: Vec<_> = world.records.iter().map(|record| peer.row(record)).collect();
    peer.pull(&world.archive, &log, LARGE as u64).unwrap();
    assert!(peer.shelf.has_later());
    let records = world.records.iter().zip(&before);
    let behind = records.filter(|(record, before)| peer.row(record) == **before).count();
    assert!((1..LARGE).contains(&behind), "{behind} of {LARGE} records are left");
    // Whoever asks meanwhile is told all.
    assert_eq!(peer.show(world.records[LARGE - 1]).unwrap().entries.len(), FILLS + 2);
    peer.restart();
    assert!(peer.judge_later());
    // Nothing is said of how often a record was shown.
    let said = |peer: &mut Peer| {
        let records = peer.picture().records.into_iter();
        records.map(|(record, (said, _))| (record, said)).collect::<Vec<_>>()
    };
    assert!(said(&mut peer) == said(&mut world.archive));
    assert!(world.records.iter().zip(&before).all(|(record, before)| peer.row(record) != *before));
    // The same bound holds when the last changes cease to count.
    let shown: Vec<_> = world.records.iter().map(|record| peer.row(record)).collect();
    peer.limit(&log, last);
    let mut pieces = 0;
    loop {
        let rows = world.records.iter().zip(&shown);
        let judged = rows.filter(|(record, shown)| peer.row(record) != **shown).count();
        if !peer.judge_moved() {
            assert_eq!(judged, LARGE);
            break;
        }
        pieces += 1;
        peer.restart();
    }
    assert!((2..LARGE).contains(&pieces), "{pieces} pieces for {LARGE} records");
}
