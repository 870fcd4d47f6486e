//! Logs of random segments: read back in pieces, after a restart, and from damaged stores.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::entry::fork::ForkProof;
use crate::entry::run::{NewEntry, write_segment};
use crate::id::{Class, DeviceId, Incarnation};
use crate::keys::Signer;
use crate::store::memory::MemoryStore;

fn signer() -> Signer {
    Signer::from_seed(&[7; 32])
}

fn log(class: Class) -> LogId {
    let device = DeviceId(signer().public());
    LogId { compartment: CompartmentId([1; 32]), class, device, incarnation: Incarnation(1) }
}

/// What is drawn of an entry: bytes of its payload (none: it has none), and whether it has a box.
type Drawn = (Option<usize>, bool);

fn entry(seq: u64, (payload, boxed): Drawn) -> NewEntry {
    let byte = seq as u8;
    NewEntry {
        epoch: EpochId([byte / 16 + 1; 32]),
        sealed: vec![byte; 40],
        key_box: boxed.then_some([byte; KEY_BOX_BYTES]),
        payload: payload.map(|bytes| vec![byte; bytes]),
    }
}

/// A log of these segments, written one by one.
fn written(class: Class, segments: &[Vec<Drawn>]) -> (MemoryStore, Logbook, Vec<VerifiedRun>) {
    let (mut store, mut book) = (MemoryStore::new(), Logbook::default());
    let mut runs = Vec::new();
    for segment in segments {
        let head = book.head(&log(class));
        let entries: Vec<_> =
            (head.next..).zip(segment).map(|(n, drawn)| entry(n, *drawn)).collect();
        let run = write_segment(&log(class), &head, &signer(), &entries).unwrap();
        let mut batch = Batch::default();
        book.append(&mut batch, &run).unwrap();
        store.apply(batch).unwrap();
        runs.push(run);
    }
    (store, book, runs)
}

fn segments() -> impl Strategy<Value = Vec<Vec<Drawn>>> {
    let payload = prop_oneof![
        1 => Just(None),
        6 => (0..600_usize).prop_map(Some),
        2 => (CHUNK_BYTES - 300..CHUNK_BYTES + 300).prop_map(Some),
    ];
    let segment = prop::collection::vec((payload, any::<bool>()), 1..24);
    prop::collection::vec(segment, 1..6)
}

fn class() -> impl Strategy<Value = Class> {
    prop_oneof![Just(Class::Flash), Just(Class::Routine)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_split_of_a_log_reads_back_as_it_was_written(
        class in class(),
        segments in segments(),
        budgets in prop::collection::vec(1..40_000_usize, 1..8),
    ) {
        let (store, book, runs) = written(class, &segments);
        let log = log(class);
        let bytes: Vec<u8> = runs.iter().flat_map(|run| run.bytes().to_vec()).collect();
        let (mut head, mut read) = (Head::EMPTY, Vec::new());
        let end = book.head(&log).next;
        for budget in budgets.iter().cycle() {
            let Some(stretch) = book.read(&store, &log, head.next..end, *budget).unwrap() else {
                break;
            };
            prop_assert_eq!(stretch.first, head.next);
            head = *stretch.run(log).verify(&head).unwrap().to();
            read.extend(stretch.entries);
        }
        prop_assert_eq!(head, book.head(&log));
        prop_assert_eq!(read, bytes);
    }

    #[test]
    fn every_entry_is_found_and_proven_after_a_restart(class in class(), segments in segments()) {
        let (store, book, runs) = written(class, &segments);
        let log = log(class);
        let again = Logbook::load(&store).unwrap();
        prop_assert_eq!(again.state(&log), book.state(&log));
        for run in &runs {
            for expected in run.entries() {
                let found = again.entry(&store, &log, expected.seq).unwrap().unwrap();
                prop_assert_eq!(found.id, expected.id);
                prop_assert_eq!(found.epoch, expected.epoch);
                prop_assert_eq!(found.key_box, expected.key_box);
                prop_assert_eq!(found.sealed.as_slice(), run.sealed(expected));
                prop_assert_eq!(found.payload.as_deref(), run.payload(expected));
                let branch = again.branch(&store, &log, expected.seq).unwrap().unwrap();
                prop_assert!(branch.holds());
                prop_assert_eq!((branch.seq(), branch.id()), (Some(expected.seq), expected.id));
            }
        }
        let end = again.head(&log).next;
        prop_assert_eq!(again.entry(&store, &log, end).unwrap(), None);
        prop_assert_eq!(again.read(&store, &log, end..u64::MAX, 1).unwrap(), None);
    }

    /// Below the store's checksums; a caller may still meet them with a store of its own.
    #[test]
    fn damaged_values_are_an_error_or_another_log_and_never_a_panic(
        segments in segments(),
        space in prop_oneof![Just(Space::Entries), Just(Space::Boxes), Just(Space::Logs)],
        (which, at) in any::<(Index, Index)>(),
        to in any::<Option<u8>>(),
    ) {
        let (mut store, book, _) = written(Class::Routine, &segments);
        let mut values = Vec::new();
        store.scan(space, &[], &[], &mut |key, value| {
            values.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        }).unwrap();
        prop_assume!(!values.is_empty());
        let (key, mut value) = values[which.index(values.len())].clone();
        let at = at.index(value.len());
        match to {
            Some(byte) => value[at] = byte,
            None => value.truncate(at),
        }
        let mut batch = Batch::default();
        batch.put(space, key, value);
        store.apply(batch).unwrap();
        let log = log(Class::Routine);
        for seq in 0..book.head(&log).next {
            let _ = book.entry(&store, &log, seq);
            let _ = book.branch(&store, &log, seq);
        }
        let _ = book.read(&store, &log, 0..u64::MAX, 100_000);
        let _ = Logbook::load(&store);
    }
}

#[test]
fn a_run_that_does_not_continue_the_log_is_not_taken() {
    let (_, mut book, runs) =
        written(Class::Routine, &[vec![(Some(9), true)], vec![(None, false)]]);
    let mut batch = Batch::default();
    for run in &runs {
        assert_eq!(book.append(&mut batch, run), None);
    }
    assert!(batch.is_empty());
}

#[test]
fn a_forked_log_takes_nothing_more_even_after_a_restart() {
    let (mut store, mut book, _) = written(Class::Routine, &[vec![(Some(9), true)]]);
    let log = log(Class::Routine);
    let other = written(Class::Routine, &[vec![(Some(8), true)]]);
    let branches = (
        book.branch(&store, &log, 0).unwrap().unwrap(),
        other.1.branch(&other.0, &log, 0).unwrap().unwrap(),
    );
    let proof = ForkProof::new(branches.0, branches.1).unwrap();
    let mut batch = Batch::default();
    assert!(book.fork(&mut batch, &proof));
    assert!(!book.fork(&mut batch, &proof), "it is known");
    store.apply(batch).unwrap();
    let next =
        write_segment(&log, &book.head(&log), &signer(), &[entry(1, (None, false))]).unwrap();
    for mut book in [book, Logbook::load(&store).unwrap()] {
        assert_eq!(book.state(&log).unwrap().forked_at, Some(0));
        assert_eq!(book.append(&mut Batch::default(), &next), None);
    }
}

#[test]
fn logs_of_one_compartment_are_listed_by_class_and_those_of_others_are_not() {
    let mut book = Logbook::default();
    for (n, class) in [(2, Class::Routine), (1, Class::Routine), (1, Class::Flash)] {
        let log = LogId { compartment: CompartmentId([n; 32]), ..log(class) };
        let run = write_segment(&log, &Head::EMPTY, &signer(), &[entry(0, (None, false))]).unwrap();
        book.append(&mut Batch::default(), &run).unwrap();
    }
    let classes: Vec<_> = book.logs_of(CompartmentId([1; 32])).map(|(log, _)| log.class).collect();
    assert_eq!(classes, [Class::Flash, Class::Routine]);
}
