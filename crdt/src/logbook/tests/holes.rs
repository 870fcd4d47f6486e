//! What is left out has its place in the chain, and what comes for it makes the log what it was.

use std::collections::{BTreeMap, BTreeSet};

use super::super::holes::{LEFT_OUT_BYTES_MIN, STRETCHES_PER_LOG_MAX};
use super::*;

const SENDER: DeviceId = DeviceId([9; 32]);

/// A book that got a log without the payloads of these entries.
fn with_holes(whole: &Book, log: &LogId, aside: &BTreeSet<u64>) -> Book {
    let mut book = Book::default();
    let end = whole.book.head(log).next;
    while book.book.head(log).next < end {
        let head = book.book.head(log);
        let stretch = whole.read(log, head.next..end, 30_000).unwrap();
        let offered = stretch.offered().unwrap();
        for seen in &offered {
            let entry = whole.entry(log, seen.seq);
            let said = (seen.epoch, &seen.sealed, seen.box_hash);
            assert_eq!(said, (entry.epoch, &entry.sealed, entry.box_hash));
        }
        let offered: BTreeSet<u64> = offered.iter().map(|offered| offered.seq).collect();
        let stretch = stretch.leave_out(&(aside & &offered)).unwrap();
        let run = stretch.run(*log).verify(&head).unwrap();
        let lacking = run.entries().iter().filter(|entry| entry.lacks_payload());
        let holes: BTreeSet<u64> = lacking.map(|entry| entry.seq).collect();
        assert_eq!(stretch.left_out, !holes.is_empty());
        book.append(&run).unwrap();
        let mut batch = Batch::default();
        assert!(book.book.has_room_for_holes(log, &holes));
        book.book.note_holes(&mut batch, log, &holes, SENDER);
        book.store.apply(batch).unwrap();
    }
    book
}

fn holes(book: &Logbook) -> BTreeSet<u64> {
    let holes: BTreeSet<u64> = book.holes().flat_map(|hole| hole.span).collect();
    let counted: u64 = book.holes_by_device().map(|(.., count)| count).sum();
    assert_eq!(counted, holes.len() as u64);
    holes
}

fn fill(book: &mut Book, log: &LogId, payloads: &BTreeMap<u64, Vec<u8>>) -> BTreeSet<u64> {
    let mut batch = Batch::default();
    let filled = book.book.fill_holes(&book.store, &mut batch, log, payloads).unwrap();
    book.store.apply(batch).unwrap();
    // As after a start in between, once more.
    let mut batch = Batch::default();
    let again = book.book.fill_holes(&book.store, &mut batch, log, payloads).unwrap();
    assert_eq!((&again, batch.is_empty()), (&filled, true));
    let filled = filled.filled;
    if let Some(no) = book.book.state(log).map(|state| state.no) {
        book.book.close_holes(&mut batch, no, &filled);
    }
    book.store.apply(batch).unwrap();
    filled
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_left_out_and_filled_makes_the_same_log(
        sizes in prop::collection::vec(prop::collection::vec(
            prop_oneof![6 => 0usize..300, 2 => 2_000usize..9_000], 1..20), 1..5),
        chosen in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        first in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        bytes_max in 1usize..9_000,
    ) {
        let log = log(Class::Routine, 1);
        let (whole, _) = Book::of(log, &sizes);
        let end = whole.book.head(&log).next;
        let chosen: BTreeSet<u64> = chosen.iter().map(|i| i.index(end as usize) as u64).collect();
        let mut book = with_holes(&whole, &log, &chosen);
        let large = |seq: &&u64| {
            whole.entry(&log, **seq).payload.is_some_and(|p| p.len() > LEFT_OUT_BYTES_MIN)
        };
        let left: BTreeSet<u64> = chosen.iter().filter(large).copied().collect();
        prop_assert_eq!(holes(&book.book), left.clone());
        prop_assert_eq!(book.book.head(&log), whole.book.head(&log));
        for seq in 0..end {
            prop_assert_eq!(book.book.hole(&log, seq).is_some(), left.contains(&seq));
        }

        // They come in two parts, by frames of some size, and the list survives a start in between.
        let early: BTreeSet<u64> = first.iter().map(|i| i.index(end as usize) as u64).collect();
        for wanted in [early, (0..end).collect()] {
            let mut rest = wanted;
            while let Some(from) = rest.first().copied() {
                let (payloads, next) =
                    whole.book.payloads(&whole.store, &log, &rest, bytes_max).unwrap();
                prop_assert!(next > from);
                let payloads: BTreeMap<u64, Vec<u8>> =
                    payloads.into_iter().map(|(offered, payload)| (offered.seq, payload)).collect();
                let expected: BTreeSet<u64> =
                    payloads.keys().copied().filter(|seq| holes(&book.book).contains(seq)).collect();
                prop_assert_eq!(fill(&mut book, &log, &payloads), expected);
                rest = rest.split_off(&next);
            }
            let loaded = Logbook::load(&book.store).unwrap();
            prop_assert_eq!(holes(&loaded), holes(&book.book));
            book.book = loaded;
        }
        prop_assert!(holes(&book.book).is_empty() && book.all(Space::Meta).is_empty());
        for seq in 0..end {
            prop_assert_eq!(book.entry(&log, seq), whole.entry(&log, seq));
        }
        prop_assert!(book.is_sound(&log));
    }
}

#[test]
fn another_payload_fills_nothing_and_what_is_erased_is_no_hole() {
    let log = log(Class::Routine, 1);
    let (whole, _) = Book::of(log, &[vec![200; 6]]);
    let all: BTreeSet<u64> = (0..6).collect();
    let mut book = with_holes(&whole, &log, &all);
    let payload = |seq| whole.entry(&log, seq).payload.unwrap();
    assert!(fill(&mut book, &log, &BTreeMap::from([(1, payload(2)), (2, vec![])])).is_empty());
    assert_eq!(holes(&book.book), all);
    let no = book.book.state(&log).unwrap().no;
    let mut batch = Batch::default();
    let erased = BTreeSet::from([2, 3]);
    book.book.detach(&book.store, &mut batch, &log, &erased).unwrap();
    book.book.close_holes(&mut batch, no, &erased);
    book.store.apply(batch).unwrap();
    assert_eq!(holes(&book.book), BTreeSet::from([0, 1, 4, 5]));
    let payloads: BTreeMap<u64, Vec<u8>> = (0..6).map(|seq| (seq, payload(seq))).collect();
    assert_eq!(fill(&mut book, &log, &payloads), BTreeSet::from([0, 1, 4, 5]));
    assert!(book.entry(&log, 3).payload.is_none(), "what is erased never returns");
}

#[test]
fn a_log_holds_so_many_stretches_of_holes_and_not_one_more() {
    let log = log(Class::Routine, 1);
    let (mut book, _) = Book::of(log, &[vec![1]]);
    let every_other = |count: usize| (0..count as u64).map(|n| 2 * n).collect::<BTreeSet<u64>>();
    let most = every_other(STRETCHES_PER_LOG_MAX);
    assert!(book.book.has_room_for_holes(&log, &most));
    assert!(!book.book.has_room_for_holes(&log, &every_other(most.len() + 1)));
    book.book.note_holes(&mut Batch::default(), &log, &most, SENDER);
    assert!(!book.book.has_room_for_holes(&log, &BTreeSet::from([1_000_001])));
}
