//! What is put into the logbook comes out of it, byte for byte, in any stretches, after a reload;
//! and what is damaged is said to be damaged.

mod detach;
mod evict;
mod fetched;
mod gap;
mod holes;

use proptest::prelude::*;

use super::*;
use crate::bounds::SEGMENT_BYTES_MAX;
use crate::entry::NO_EPOCH;
use crate::entry::run::detach::SEGMENT_GROWTH_BYTES_MAX;
use crate::entry::run::{NewEntry, write_segment};
use crate::id::{Class, DeviceId, Incarnation};
use crate::keys::Signer;
use crate::store::memory::MemoryStore;

fn signer() -> Signer {
    Signer::from_seed(&[1; 32])
}

fn log(class: Class, incarnation: u64) -> LogId {
    LogId {
        compartment: CompartmentId([1; 32]),
        class,
        device: DeviceId(signer().public()),
        incarnation: Incarnation(incarnation),
    }
}

/// An entry of about `bytes` bytes; every third carries no box, every fifth is of another epoch.
fn new(n: u8, bytes: usize) -> NewEntry {
    NewEntry {
        epoch: EpochId([1 + n % 5 / 4; 32]),
        sealed: vec![n; 40],
        key_box: (n % 3 != 2).then_some([n; 16]),
        payload: Some(vec![n; bytes]),
    }
}

#[derive(Debug, Default)]
struct Book {
    store: MemoryStore,
    book: Logbook,
}

impl Book {
    /// A book with one log, a segment for each list of sizes.
    fn of(log: LogId, segments: &[Vec<usize>]) -> (Self, Vec<VerifiedRun>) {
        let mut book = Self::default();
        let mut n = 0;
        let write = |sizes: &Vec<usize>| {
            let entry = |bytes: &usize| {
                n += 1;
                new(n, *bytes)
            };
            let entries: Vec<_> = sizes.iter().map(entry).collect();
            book.write(log, &entries)
        };
        let runs = segments.iter().map(write).collect();
        (book, runs)
    }

    fn write(&mut self, log: LogId, entries: &[NewEntry]) -> VerifiedRun {
        let run = write_segment(&log, &self.book.head(&log), &signer(), entries).unwrap();
        assert!(self.append(&run).is_some());
        run
    }

    fn append(&mut self, run: &VerifiedRun) -> Option<LogNo> {
        let mut batch = Batch::default();
        let no = self.book.append(&mut batch, run, WallTime::default());
        assert_eq!(no.is_none(), batch.is_empty());
        self.store.apply(batch).unwrap();
        no
    }

    fn fork(&mut self, proof: &ForkProof) -> bool {
        let mut batch = Batch::default();
        let new = self.book.fork(&self.store, &mut batch, proof).unwrap();
        assert_eq!(new, !batch.is_empty());
        self.store.apply(batch).unwrap();
        new
    }

    fn read(&self, log: &LogId, span: Range<u64>, bytes_max: usize) -> Option<Stretch> {
        self.book.read(&self.store, log, span, bytes_max).unwrap()
    }

    fn entry(&self, log: &LogId, seq: u64) -> StoredEntry {
        self.book.entry(&self.store, log, seq).unwrap().unwrap()
    }

    fn branch(&self, log: &LogId, seq: u64) -> Option<Branch> {
        self.book.branch(&self.store, log, seq).unwrap()
    }

    fn put(&mut self, space: Space, key: &[u8], value: Option<Vec<u8>>) {
        self.store
            .apply(Batch { writes: vec![(space, key.to_vec(), value)], forget: false })
            .unwrap();
    }

    /// All keys and values of a space.
    fn all(&self, space: Space) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut all = Vec::new();
        let keep = &mut |key: &[u8], value: &[u8]| {
            all.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        };
        self.store.scan(space, &[], &[], keep).unwrap();
        all
    }

    /// Of a log that is damaged: whether what is read of it from its beginning on ends with one of these runs,
    /// and is what they say.
    fn gives_what_is_whole(&self, log: &LogId, runs: &[VerifiedRun]) -> bool {
        let end = self.book.head(log).next;
        let stretch = match self.book.read(&self.store, log, 0..end, usize::MAX) {
            Ok(Some(stretch)) => stretch,
            Ok(None) => return false,
            Err(error) => return matches!(error, StoreError::Damaged { .. }),
        };
        let count = stretch.count as u64;
        let verified = stretch.run(*log).verify(&Head::EMPTY).unwrap();
        let given = runs.iter().take_while(|run| run.to().next <= count);
        let ids: Vec<EntryId> =
            given.flat_map(VerifiedRun::entries).map(|entry| entry.id).collect();
        count <= end && verified.entries().iter().map(|entry| entry.id).eq(ids)
    }

    /// Asks for everything in every way; whether all of it could be answered.
    fn is_sound(&self, log: &LogId) -> bool {
        let end = self.book.head(log).next;
        let mut sound = Logbook::load(&self.store).is_ok();
        let whole = self.book.read(&self.store, log, 0..end, usize::MAX);
        sound &= whole.is_ok_and(|s| s.is_some_and(|s| s.count as u64 == end));
        for seq in 0..end {
            sound &= self.book.entry(&self.store, log, seq).is_ok_and(|entry| entry.is_some());
            sound &= self.book.branch(&self.store, log, seq).is_ok_and(|b| b.is_some());
        }
        sound
    }
}

fn boxes(run: &VerifiedRun) -> Vec<u8> {
    run.entries().iter().filter_map(|entry| entry.key_box).flatten().collect()
}

/// Two entries of which the first two together end at `end` in short form, and a third.
fn ending_at(end: usize) -> Vec<NewEntry> {
    let of = |bytes| vec![new(1, 100), new(2, bytes), new(3, 10)];
    let log = log(Class::Routine, 1);
    let guess = write_segment(&log, &Head::EMPTY, &signer(), &of(4_000)).unwrap();
    of(4_000 + end - guess.entries()[1].end)
}

#[test]
fn a_head_is_there_once_for_all_who_append_a_run() {
    let log = log(Class::Routine, 1);
    let (one, runs) = Book::of(log, &[vec![10, 10]]);
    let mut other = Book::default();
    let run = runs.first().unwrap();
    other.append(run);
    for book in [&one, &other] {
        assert!(Arc::ptr_eq(book.book.shared_head(&log).unwrap(), run.shared_to()));
        assert_eq!(book.book.head(&log), *run.to());
    }
}

#[test]
fn a_chunk_ends_at_its_bound_and_not_past_it() {
    let log = log(Class::Routine, 1);
    for (end, lasts) in [(CHUNK_BYTES, [1, 2]), (CHUNK_BYTES + 1, [0, 2])] {
        let mut book = Book::default();
        let run = book.write(log, &ending_at(end));
        assert_eq!(run.entries()[1].end, end);
        let keys: Vec<_> = book.all(Space::Entries).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, lasts.map(|last| chunk_key(LogNo(0), last)), "{end}");
        let whole = book.read(&log, 0..3, usize::MAX).unwrap();
        assert_eq!((whole.entries.as_slice(), whole.boxes), (run.bytes(), boxes(&run)));
        assert!(book.is_sound(&log));
    }
}

#[test]
fn an_entry_larger_than_a_chunk_has_one_of_its_own() {
    let log = log(Class::Routine, 1);
    let (book, runs) = Book::of(log, &[vec![10, CHUNK_BYTES * 8, 10, 10]]);
    let lasts = [0, 1, 3].map(|last| chunk_key(LogNo(0), last));
    assert_eq!(book.all(Space::Entries).into_iter().map(|(key, _)| key).collect::<Vec<_>>(), lasts);
    assert_eq!(book.read(&log, 0..4, 1).unwrap().entries, runs[0].bytes());
    assert!(book.is_sound(&log));
}

#[test]
fn a_run_is_appended_once_and_where_it_continues() {
    let log = log(Class::Routine, 1);
    let (source, runs) = Book::of(log, &[vec![10, 10], vec![10], vec![10]]);
    let mut book = Book::default();
    assert_eq!(book.append(&runs[1]), None, "there is a gap");
    assert_eq!(book.append(&runs[0]), Some(LogNo(0)));
    assert_eq!(book.append(&runs[0]), None, "it is there");
    let both = source.read(&log, 0..3, usize::MAX).unwrap();
    let both = both.run(log).verify(&Head::EMPTY).unwrap();
    assert_eq!(book.append(&both), None, "it overlaps");
    for run in &runs[1..] {
        assert_eq!(book.append(run), Some(LogNo(0)));
    }
    assert_eq!(book.book.logs, source.book.logs);
    assert_eq!(book.all(Space::Entries), source.all(Space::Entries));
    assert_eq!(book.all(Space::Boxes), source.all(Space::Boxes));
}

#[test]
fn a_stretch_has_as_many_segments_as_fit_and_at_least_one() {
    let [log, other] = [1, 2].map(|incarnation| log(Class::Routine, incarnation));
    let (book, runs) = Book::of(log, &[vec![3_000; 4], vec![50; 2], vec![9_000]]);
    let [one, two] = [runs[0].bytes().len(), runs[0].bytes().len() + runs[1].bytes().len()];
    for (bytes_max, count) in
        [(0, 4), (one, 4), (two - 1, 4), (two, 6), (two + 1, 6), (usize::MAX, 7)]
    {
        assert_eq!(book.read(&log, 0..7, bytes_max).unwrap().count, count, "{bytes_max}");
    }
    // A span ends where its last whole segment does.
    for (end, count) in [(3, None), (4, Some(4)), (5, Some(4)), (6, Some(6)), (99, Some(7))] {
        let stretch = book.read(&log, 0..end, usize::MAX);
        assert_eq!(stretch.map(|stretch| stretch.count), count, "{end}");
    }
    assert_eq!(book.read(&log, 7..99, usize::MAX), None);
    assert_eq!(book.read(&log, u64::MAX..u64::MAX, usize::MAX), None);
    assert_eq!(book.read(&other, 0..9, usize::MAX), None);
}

#[test]
fn a_loaded_book_is_the_one_that_was_kept() {
    let mut book = Book::default();
    let logs = [(Class::Flash, 1), (Class::Routine, 2), (Class::Routine, 1), (Class::Priority, 1)];
    for round in 0..3 {
        for (class, incarnation) in logs {
            book.write(log(class, incarnation), &[new(round, 900), new(7, 9_000)]);
        }
    }
    let forked = log(Class::Routine, 1);
    assert!(book.fork(&forked_at(&book, forked, 2)));
    let loaded = Logbook::load(&book.store).unwrap();
    assert_eq!((&loaded.logs, &loaded.ids), (&book.book.logs, &book.book.ids));
    assert_eq!(loaded.state(&forked).unwrap().forked_at, Some(2));
    for (n, (class, incarnation)) in logs.into_iter().enumerate() {
        let log = log(class, incarnation);
        assert_eq!(loaded.state(&log).unwrap().no, LogNo(n as u32));
        assert_eq!(loaded.log(LogNo(n as u32)), Some(&log));
        assert_eq!(loaded.head(&log), book.book.head(&log));
    }
    let ordered: Vec<_> =
        loaded.logs_of(CompartmentId([1; 32])).map(|(log, _)| log.class).collect();
    assert_eq!(ordered, [Class::Flash, Class::Priority, Class::Routine, Class::Routine]);
    assert_eq!(loaded.logs_of(CompartmentId([0; 32])).count(), 0);
    // It goes on where the other stopped, with a number of its own for a new log.
    book.book = loaded;
    book.write(log(Class::Routine, 2), &[new(9, 10)]);
    book.write(log(Class::Routine, 3), &[new(9, 10)]);
    assert_eq!(book.book.state(&log(Class::Routine, 3)).unwrap().no, LogNo(4));
}

#[test]
fn when_the_numbers_are_used_up_no_log_begins() {
    let mut book = Book::default();
    let first = log(Class::Routine, 1);
    book.write(first, &[new(0, 10)]);
    let (_, value) = book.all(Space::Logs).remove(0);
    book.put(Space::Logs, &[0; 4], None);
    book.put(Space::Logs, &[0xff; 4], Some(value));
    book.book = Logbook::load(&book.store).unwrap();
    let other = log(Class::Routine, 2);
    let run = write_segment(&other, &Head::EMPTY, &signer(), &[new(0, 10)]).unwrap();
    assert_eq!(book.append(&run), None);
    book.write(first, &[new(1, 10)]);
}

#[test]
fn every_box_comes_back_with_its_entry_and_apart_from_it() {
    let log = log(Class::Routine, 1);
    let (mut book, runs) = Book::of(log, &[vec![3_000; 7], vec![10; 3]]);
    for entry in runs.iter().flat_map(VerifiedRun::entries) {
        assert_eq!(book.entry(&log, entry.seq).key_box, entry.key_box);
    }
    let kept: usize = book.all(Space::Boxes).iter().map(|(_, value)| value.len()).sum();
    assert_eq!(kept, runs.iter().map(|run| boxes(run).len()).sum::<usize>());
    // Entries without boxes leave none.
    let bare = NewEntry { key_box: None, ..new(0, 10) };
    let before = book.store.keys(Space::Boxes);
    book.write(log, &[bare.clone(), bare]);
    assert_eq!(book.store.keys(Space::Boxes), before);
    assert!(book.is_sound(&log));
    // A chunk whose boxes are gone, or fewer, is damaged.
    for (key, value) in book.all(Space::Boxes) {
        for damaged in [None, Some(vec![]), Some(value[..value.len() - 1].to_vec())] {
            book.put(Space::Boxes, &key, damaged);
            assert!(!book.is_sound(&log));
            assert!(book.gives_what_is_whole(&log, &runs));
        }
        book.put(Space::Boxes, &key, Some(value));
    }
    assert!(book.is_sound(&log));
}

/// A proof that a log's position has another entry, too.
fn forked_at(book: &Book, log: LogId, seq: u64) -> ForkProof {
    let head = match seq.checked_sub(1) {
        None => Head::EMPTY,
        Some(last) => {
            let StoredEntry { id, epoch, .. } = book.entry(&log, last);
            Head { next: seq, id, epoch }
        }
    };
    let other = write_segment(&log, &head, &signer(), &[new(200, 10)]).unwrap();
    let signed = other.entries()[0].signed.as_deref().unwrap().clone();
    ForkProof::new(book.branch(&log, seq).unwrap(), Branch::signed(signed)).unwrap()
}

#[test]
fn every_position_has_a_branch_that_its_author_signed() {
    for class in [Class::Flash, Class::Routine] {
        let [log, other] = [1, 2].map(|incarnation| log(class, incarnation));
        let (book, runs) = Book::of(log, &[vec![3_000; 6], vec![10], vec![10; 4]]);
        for entry in runs.iter().flat_map(VerifiedRun::entries) {
            let branch = book.branch(&log, entry.seq).unwrap();
            assert!(branch.holds());
            assert_eq!((branch.seq(), branch.id()), (Some(entry.seq), entry.id));
            assert_eq!(book.entry(&log, entry.seq).id, entry.id);
        }
        assert_eq!(book.branch(&log, 11), None);
        assert_eq!(book.branch(&log, u64::MAX), None);
        assert_eq!(book.branch(&other, 0), None);
    }
}

#[test]
fn a_proven_fork_ends_its_log_and_is_kept() {
    let log = log(Class::Routine, 1);
    let (mut book, _) = Book::of(log, &[vec![10; 6], vec![10]]);
    let proofs = [5, 3, 0].map(|seq| forked_at(&book, log, seq));
    let run = write_segment(&log, &book.book.head(&log), &signer(), &[new(0, 1)]).unwrap();
    for (n, proof) in proofs.iter().enumerate() {
        assert!(book.fork(proof), "a lower position is news");
        for known in &proofs[..=n] {
            assert!(!book.fork(known), "what is known, or higher, is not");
        }
        assert_eq!(book.append(&run), None);
        book.book = Logbook::load(&book.store).unwrap();
        let state = book.book.state(&log).unwrap();
        // No signature covers a part of the first segment.
        assert_eq!((state.proven_at, state.forked_at), (Some(proof.seq()), Some(0)));
        assert_eq!(state.shared, Head::EMPTY);
        let stored = book.store.get(Space::Proofs, &log.encode()).unwrap().unwrap();
        assert_eq!(ForkProof::decode(&stored).as_ref(), Some(proof));
    }
    // What is there can still be read, to show it to others.
    assert!(book.is_sound(&log));
    assert_eq!(book.book.head(&log).next, 7);
}

#[test]
fn what_branches_share_ends_with_a_segment_and_is_taken_after_the_proof() {
    let log = log(Class::Routine, 1);
    let (book, runs) = Book::of(log, &[vec![10; 2], vec![10; 3], vec![10; 2]]);
    for (seq, shared, runs_taken) in [(6, 5, 2), (5, 5, 2), (4, 2, 1), (2, 2, 1), (1, 0, 0)] {
        let proof = forked_at(&book, log, seq);
        // Who holds a branch keeps it, and knows what it shares with the other.
        let mut holder = Book { store: book.store.clone(), book: Logbook::default() };
        holder.book = Logbook::load(&holder.store).unwrap();
        assert!(holder.fork(&proof));
        let state = holder.book.state(&log).unwrap();
        assert_eq!((state.forked_at, state.head.next), (Some(shared), 7));
        let end = shared.checked_sub(1).map_or(Head::EMPTY.id, |last| book.entry(&log, last).id);
        assert_eq!((state.shared.next, state.shared.id), (shared, end));
        // Who hears the proof first takes that and no more.
        let mut late = Book::default();
        assert!(late.fork(&proof));
        let taken = runs.iter().take_while(|run| late.append(run).is_some()).count();
        assert_eq!(taken, runs_taken, "fork at {seq}");
        assert_eq!(late.book.state(&log).unwrap().shared, state.shared);
        assert_eq!(Logbook::load(&late.store).unwrap().logs, late.book.logs);
    }
}

#[test]
fn a_truncated_value_or_key_is_damage() {
    let log = log(Class::Routine, 1);
    let (mut book, runs) = Book::of(log, &[vec![3_000, 3_000, 3_000, 10], vec![10]]);
    for (key, value) in book.all(Space::Entries) {
        for len in (0..80).chain((80..value.len()).step_by(61)).chain([value.len() - 1]) {
            book.put(Space::Entries, &key, Some(value[..len].to_vec()));
            assert!(!book.is_sound(&log), "{len}");
            assert!(book.gives_what_is_whole(&log, &runs), "{len}");
        }
        book.put(Space::Entries, &key, Some(value));
    }
    assert!(book.is_sound(&log));
    let (key, value) = book.all(Space::Logs).remove(0);
    for len in 0..value.len() {
        book.put(Space::Logs, &key, Some(value[..len].to_vec()));
        assert!(matches!(
            Logbook::load(&book.store),
            Err(StoreError::Damaged { space: Space::Logs, .. })
        ));
    }
    book.put(Space::Logs, &key, Some([value.as_slice(), &[0]].concat()));
    assert!(Logbook::load(&book.store).is_err());
    book.put(Space::Logs, &key, Some(value.clone()));
    assert!(Logbook::load(&book.store).is_ok());
    book.put(Space::Logs, &key[..3], Some(value));
    assert!(Logbook::load(&book.store).is_err());
}

/// No stretch may leave out what is missing: whoever gets it would blame the sender. What is whole before
/// it is given.
#[test]
fn a_missing_or_misplaced_chunk_is_damage() {
    let log = log(Class::Routine, 1);
    let (mut book, runs) = Book::of(log, &[vec![10], vec![10, 10], vec![10]]);
    let chunks = book.all(Space::Entries);
    for (key, value) in &chunks {
        let moved = |to: u64, count: u8| {
            let mut moved = Vec::new();
            moved.number(to).raw(&value[1..65]).raw(&[count]).raw(&value[66..]);
            moved
        };
        let (first, count) = (u64::from(value[0]), value[65]);
        assert_eq!(&moved(first, count), value);
        for damaged in [
            None,
            Some(moved(first + 1, count)),
            Some(moved(u64::MAX, count)),
            Some(moved(u64::MAX - 1, count)),
            Some(moved(first, count - 1)),
            Some(moved(first, count + 1)),
        ] {
            let what = format!("{damaged:?}");
            book.put(Space::Entries, key, damaged);
            let found = book.book.gap(&book.store, &log, first).unwrap();
            assert!(found.is_some_and(|gap| gap.span.start == first), "{what}");
            assert!(book.gives_what_is_whole(&log, &runs), "{what}");
        }
        book.put(Space::Entries, key, Some(value.clone()));
    }
    assert!(book.is_sound(&log));
}

fn segments() -> impl Strategy<Value = Vec<Vec<usize>>> {
    let bytes = prop_oneof![8 => 0usize..400, 2 => 2_000usize..5_000, 1 => 7_800usize..9_000];
    prop::collection::vec(prop::collection::vec(bytes, 1..12), 1..7)
}

fn class() -> impl Strategy<Value = Class> {
    prop_oneof![Just(Class::Routine), Just(Class::Flash)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// However a log is read, sent on and put together again, it is the same log.
    #[test]
    fn any_split_into_stretches_reads_back_the_same_bytes(
        class in class(),
        segments in segments(),
        asks in prop::collection::vec((1u64..20, 0usize..30_000), 1..8),
    ) {
        let log = log(class, 1);
        let (book, runs) = Book::of(log, &segments);
        let end = book.book.head(&log).next;
        let mut copy = Book::default();
        let (mut bytes, mut salts) = (Vec::new(), Vec::new());
        for (entries, bytes_max) in asks.iter().cycle() {
            let head = copy.book.head(&log);
            if head.next == end {
                break;
            }
            let narrow = book.read(&log, head.next..head.next + entries, *bytes_max);
            let Some(stretch) = narrow.or_else(|| book.read(&log, head.next..end, *bytes_max)) else {
                return Err(TestCaseError::fail("there is more"));
            };
            prop_assert_eq!(stretch.first, head.next);
            let run = stretch.run(log).verify(&head).unwrap();
            prop_assert!(copy.append(&run).is_some());
            bytes.extend(stretch.entries);
            salts.extend(stretch.boxes);
        }
        prop_assert_eq!(bytes, runs.iter().flat_map(VerifiedRun::bytes).copied().collect::<Vec<_>>());
        prop_assert_eq!(salts, runs.iter().flat_map(boxes).collect::<Vec<_>>());
        prop_assert_eq!(copy.book.head(&log), book.book.head(&log));
        for entry in runs.iter().flat_map(VerifiedRun::entries) {
            prop_assert_eq!(copy.entry(&log, entry.seq), book.entry(&log, entry.seq));
            prop_assert_eq!(copy.entry(&log, entry.seq).id, entry.id);
        }
        prop_assert_eq!(Logbook::load(&copy.store).unwrap().logs, copy.book.logs);
    }

    /// Whatever a value was changed to, the answer is an answer or an error.
    #[test]
    fn no_damage_panics(
        class in class(),
        segments in segments(),
        space in prop_oneof![Just(Space::Entries), Just(Space::Boxes), Just(Space::Logs)],
        at in any::<(prop::sample::Index, prop::sample::Index)>(),
        with in prop::collection::vec(any::<u8>(), 0..12),
    ) {
        let log = log(class, 1);
        let (mut book, _) = Book::of(log, &segments);
        let all = book.all(space);
        prop_assume!(!all.is_empty());
        let (key, mut value) = all[at.0.index(all.len())].clone();
        // Half of the damage is in the first bytes, where what steers the reading is.
        let bound = if with.len() % 2 == 0 { value.len() } else { value.len().min(70) };
        let from = at.1.index(bound);
        let to = (from + with.len()).min(value.len());
        value.splice(from..to, with);
        book.put(space, &key, Some(value));
        book.is_sound(&log);
        if let Ok(loaded) = Logbook::load(&book.store) {
            book.book = loaded;
            let heads: Vec<_> = book.book.logs().map(|(log, state)| (*log, state.head)).collect();
            for (log, head) in heads {
                let ends = [0, 1, head.next / 2, head.next.saturating_sub(1), head.next, u64::MAX];
                for seq in ends {
                    let _: Result<_, StoreError> = book.book.entry(&book.store, &log, seq);
                    let _: Result<_, StoreError> = book.book.branch(&book.store, &log, seq);
                    let _: Result<_, StoreError> =
                        book.book.read(&book.store, &log, seq..u64::MAX, 10_000);
                }
            }
        }
    }
}

#[test]
fn what_had_come_before_a_time_is_told_and_nothing_behind_what_had_not() {
    let log = log(Class::Routine, 1);
    let mut book = Book::default();
    // Its own clock went back once.
    for (at, count) in [(10, 3), (20, 2), (15, 1), (30, 1)] {
        let entries: Vec<_> = (0..count).map(|n| new(n, 40)).collect();
        let head = book.book.head(&log);
        let run = write_segment(&log, &head, &signer(), &entries).unwrap();
        let mut batch = Batch::default();
        book.book.append(&mut batch, &run, WallTime(at)).unwrap();
        book.store.apply(batch).unwrap();
    }
    let held = |book: &Book, time| book.book.held_before(&book.store, &log, WallTime(time));
    let times = [0, 10, 11, 16, 20, 21, 30, 31, u64::MAX];
    let told = |book: &Book| times.map(|time| held(book, time).unwrap());
    assert_eq!(told(&book), [0, 0, 3, 3, 3, 6, 6, 7, 7]);
    // Also after a restart, and of what lost its content.
    book.book = Logbook::load(&book.store).unwrap();
    let mut batch = Batch::default();
    book.book.detach(&book.store, &mut batch, &log, &BTreeSet::from([0, 3, 6])).unwrap();
    book.store.apply(batch).unwrap();
    assert_eq!(told(&book), [0, 0, 3, 3, 3, 6, 6, 7, 7]);
    // What is damaged ends it.
    let (key, _) = book.all(Space::Entries)[1].clone();
    book.put(Space::Entries, &key, Some(b"rotten".to_vec()));
    assert_eq!(told(&book), [0, 0, 3, 3, 3, 3, 3, 3, 3]);
}

#[test]
fn what_a_device_wrote_is_counted_by_its_lives_and_stays_counted() {
    let (mut book, runs) = Book::of(log(Class::Routine, 1), &[vec![300, 20], vec![9_000]]);
    let other = book.write(log(Class::Flash, 1), &[new(9, 50)]).written();
    let later = book.write(log(Class::Routine, 2), &[new(10, 70)]).written();
    let statement =
        NewEntry { epoch: NO_EPOCH, sealed: vec![11; 40], key_box: None, payload: None };
    book.write(log(Class::Authority, 1), &[statement]);
    let first: u64 = runs.iter().map(VerifiedRun::written).sum::<u64>() + other;
    let boxes = runs.iter().map(|run| boxes(run).len() + run.bytes().len()).sum::<usize>() as u64;
    assert_eq!(first - other, boxes, "entries in short form, and their key boxes");
    let of = log(Class::Routine, 1);
    let count = |book: &Logbook| {
        book.written(of.compartment, of.device)
            .map(|(life, bytes)| (life.0, bytes))
            .collect::<Vec<_>>()
    };
    let expected = vec![(1, first), (2, later)];
    assert_eq!(count(&book.book), expected);
    assert_eq!(count(&Logbook::load(&book.store).unwrap()), expected);
    // Whoever gets it without what was erased since counts the same.
    let bare = runs[0].detached(|_| true).unwrap().unwrap();
    assert!(bare.bytes().len() < runs[0].bytes().len());
    let stretch = Stretch {
        first: 0,
        epoch: NO_EPOCH,
        count: bare.entries().len(),
        entries: bare.bytes().to_vec(),
        boxes: bare.boxes(),
        detached: true,
        left_out: false,
    };
    let received = stretch.run(of).verify(&Head::EMPTY).unwrap();
    assert_eq!((bare.written(), received.written()), (runs[0].written(), runs[0].written()));
}
