//! Whatever is detached, the chain says the same: ids, heads, signatures and proofs; and what was
//! detached is nowhere in the store. Entries are found by their ids.

use std::collections::BTreeSet;

use super::super::find::Search;
use super::*;

/// A book of which these entries were detached, in so many batches.
fn detach(book: &mut Book, log: &LogId, seqs: &BTreeSet<u64>) -> u64 {
    let mut batch = Batch::default();
    let detached = book.book.detach(&book.store, &mut batch, log, seqs).unwrap();
    assert_eq!(batch.is_empty(), detached == 0);
    book.store.apply(batch).unwrap();
    detached
}

fn holds_bytes(book: &Book, needle: &[u8]) -> bool {
    let spaces = [Space::Entries, Space::Boxes];
    spaces
        .into_iter()
        .flat_map(|space| book.all(space))
        .any(|(_, value)| value.windows(needle.len()).any(|at| at == needle))
}

fn subset(end: u64, chosen: &[prop::sample::Index]) -> BTreeSet<u64> {
    chosen.iter().map(|index| index.index(end as usize) as u64).collect()
}

fn sizes() -> impl Strategy<Value = Vec<Vec<usize>>> {
    let size = prop_oneof![6 => 0usize..300, 2 => 2_000usize..9_000];
    prop::collection::vec(prop::collection::vec(size, 1..20), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_subset_of_any_log_can_be_detached(
        segments in sizes(),
        class in prop_oneof![Just(Class::Routine), Just(Class::Flash)],
        chosen in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let log = log(class, 1);
        let (whole, _) = Book::of(log, &segments);
        let (mut book, _) = Book::of(log, &segments);
        let end = book.book.head(&log).next;
        let mut gone = subset(end, &chosen);
        prop_assert_eq!(detach(&mut book, &log, &gone), gone.len() as u64);
        prop_assert_eq!(detach(&mut book, &log, &gone), 0, "it is done");
        gone.extend(subset(end, &again));
        detach(&mut book, &log, &gone);

        prop_assert_eq!(book.book.head(&log), whole.book.head(&log));
        prop_assert!(book.is_sound(&log));
        for seq in 0..end {
            let (before, after) = (whole.entry(&log, seq), book.entry(&log, seq));
            let mut expected = before.clone();
            if gone.contains(&seq) {
                expected.detached = before.payload.is_some() || before.key_box.is_some();
                (expected.payload, expected.key_box) = (None, None);
                prop_assert!(after.box_hash.is_some() == before.key_box.is_some());
            }
            prop_assert_eq!(after, expected);
            prop_assert_eq!(book.branch(&log, seq), whole.branch(&log, seq));
        }

        // What is forwarded verifies, and leaves at the receiver what it left here, however it is
        // cut.
        let mut receiver = Book::default();
        while receiver.book.head(&log).next < end {
            let head = receiver.book.head(&log);
            let bytes_max = cut.index(20_000);
            let stretch = book.read(&log, head.next..end, bytes_max).unwrap();
            let run = stretch.run(log).verify(&head).unwrap();
            prop_assert!(receiver.append(&run).is_some());
        }
        prop_assert_eq!(receiver.book.head(&log), whole.book.head(&log));
        for seq in 0..end {
            prop_assert_eq!(receiver.entry(&log, seq), book.entry(&log, seq));
        }
    }

    /// What arrives in full is stored as if it had been detached here.
    #[test]
    fn a_run_is_detached_before_it_is_stored(
        segments in sizes(),
        chosen in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let log = log(Class::Routine, 1);
        let (mut book, runs) = Book::of(log, &segments);
        let gone = subset(book.book.head(&log).next, &chosen);
        detach(&mut book, &log, &gone);
        let mut receiver = Book::default();
        for run in &runs {
            let screened = run.detached(|entry| gone.contains(&entry.seq)).unwrap();
            let any = run.entries().iter().any(|entry| gone.contains(&entry.seq));
            prop_assert_eq!(screened.is_some(), any);
            let stored = screened.as_ref().unwrap_or(run);
            prop_assert_eq!((stored.from(), stored.to()), (run.from(), run.to()));
            let boxes = stored.boxes();
            let read = UnverifiedRun {
                log,
                count: stored.entries().len(),
                entries: stored.bytes(),
                boxes: &boxes,
            };
            let back = read.verify(run.from()).unwrap();
            prop_assert_eq!(back.entries(), stored.entries());
            prop_assert!(receiver.append(stored).is_some());
        }
        prop_assert!(receiver.is_sound(&log));
        for seq in 0..book.book.head(&log).next {
            prop_assert_eq!(receiver.entry(&log, seq), book.entry(&log, seq));
        }
    }

    #[test]
    fn an_entry_is_found_by_its_id(
        segments in sizes(),
        chosen in prop::collection::vec(any::<prop::sample::Index>(), 1..8),
        chunks_max in 1usize..6,
    ) {
        let [log, other] = [1, 2].map(|incarnation| log(Class::Routine, incarnation));
        let (mut book, _) = Book::of(log, &segments);
        book.write(other, &[new(7, 40), new(8, 40)]);
        let end = book.book.head(&log).next;
        let mut places: BTreeMap<_, _> = subset(end, &chosen)
            .into_iter()
            .map(|seq| (book.entry(&log, seq).id, (log, seq)))
            .collect();
        places.insert(book.entry(&other, 1).id, (other, 1));
        let mut wanted: BTreeSet<EntryId> = places.keys().copied().collect();
        let absent = EntryId([0xff; 32]);
        wanted.insert(absent);
        let mut search = Search::new(wanted.clone());
        let mut found = BTreeMap::new();
        while !search.is_over() {
            found.extend(
                search.go_on(&book.store, &book.book, &log.compartment, chunks_max).unwrap(),
            );
        }
        prop_assert_eq!(found, places);
        prop_assert_eq!(search.missing(), &BTreeSet::from([absent]));

        let elsewhere = CompartmentId([9; 32]);
        let mut search = Search::new(wanted);
        prop_assert!(search.go_on(&book.store, &book.book, &elsewhere, 9).unwrap().is_empty());
        prop_assert!(search.is_over());
    }
}

#[test]
fn what_was_detached_is_not_in_the_store() {
    let log = log(Class::Priority, 1);
    let (mut book, _) = Book::of(log, &[vec![200, 210, 220, 230], vec![3_000, 9_000, 240]]);
    let seqs = BTreeSet::from([0, 3, 5, 99]);
    assert!((1..=7).all(|n| holds_bytes(&book, &[n; 50])));
    assert_eq!(detach(&mut book, &log, &seqs), 3);
    for n in 1..=7u8 {
        let gone = seqs.contains(&u64::from(n - 1));
        assert_eq!(holds_bytes(&book, &[n; 50]), !gone, "payload {n}");
        // Headers are 40 such bytes, boxes 16.
        let boxed = book.all(Space::Boxes).iter().any(|(_, boxes)| boxes.contains(&n));
        assert_eq!(boxed, !gone && n % 3 != 2, "box {n}");
    }
    let other = LogId { incarnation: Incarnation(9), ..log };
    assert_eq!(detach(&mut book, &other, &seqs), 0);
}

/// A chunk without boxes has none in the space of boxes.
#[test]
fn the_last_box_of_a_chunk_takes_the_value_with_it() {
    let log = log(Class::Flash, 1);
    let (mut book, _) = Book::of(log, &[vec![10, 10, 10]]);
    assert_eq!(book.store.keys(Space::Boxes), 1);
    detach(&mut book, &log, &BTreeSet::from([0]));
    assert_eq!(book.all(Space::Boxes)[0].1, [3; 16]);
    detach(&mut book, &log, &BTreeSet::from([1, 2]));
    assert_eq!(book.store.keys(Space::Boxes), 0);
}

/// The bound of a segment is on what its author wrote: one at the bound passes when detaching made
/// it longer, and a sender reads it.
#[test]
fn a_segment_at_its_bound_may_be_detached() {
    let log = log(Class::Routine, 1);
    let entry = |n: usize, bytes: usize| NewEntry {
        epoch: EpochId([1; 32]),
        sealed: vec![n as u8; bytes],
        key_box: Some([n as u8; 16]),
        payload: Some(Vec::new()),
    };
    let of = |last| {
        let mut entries: Vec<_> = (0..255).map(|n| entry(n, 1_020)).collect();
        entries.push(entry(255, last));
        write_segment(&log, &Head::EMPTY, &signer(), &entries)
    };
    let least = of(100).unwrap().bytes().len() - 100;
    let last = SEGMENT_BYTES_MAX - least - 1;
    let run = of(last).unwrap();
    assert_eq!(run.bytes().len(), SEGMENT_BYTES_MAX);
    assert!(of(last + 1).is_err());
    let mut book = Book::default();
    book.append(&run).unwrap();
    assert_eq!(detach(&mut book, &log, &(0..256).collect()), 256);
    let stretch = book.read(&log, 0..256, 1).unwrap();
    let growth = stretch.entries.len() - run.bytes().len();
    assert_eq!(growth, SEGMENT_GROWTH_BYTES_MAX);
    assert!(stretch.run(log).verify(&Head::EMPTY).is_ok());

    // Who claims more than an author may write is refused: here by one byte of a payload.
    let mut longer = book.read(&log, 0..256, 1).unwrap();
    let first = 1 + 32 + 2 + 1_020 + 32;
    assert_eq!(longer.entries[first], 0, "the length of the payload that is gone");
    longer.entries[first] = 1;
    let fault = longer.run(log).verify(&Head::EMPTY).unwrap_err();
    assert_eq!(fault, crate::entry::run::RunFault::SegmentTooLarge { seq: 255 });
}
