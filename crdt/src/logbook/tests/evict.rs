//! Whatever beginning goes, the rest is as it was: it is read, continued, proven and loaded alike; and of
//! what went nothing is left.

use super::*;

/// Lets go of a log up to a position; how many bytes went.
fn evict(book: &mut Book, log: &LogId, upto: u64, bytes_wanted: u64) -> u64 {
    let mut bytes = 0;
    loop {
        let mut batch = Batch::default();
        let wanted = (upto, bytes_wanted - bytes);
        let evicted = book.book.evict(&book.store, &mut batch, log, wanted).unwrap();
        assert_eq!(evicted.bytes == 0, batch.is_empty());
        book.store.apply(batch).unwrap();
        bytes += evicted.bytes;
        if evicted.is_over || bytes >= bytes_wanted {
            return bytes;
        }
    }
}

#[test]
fn a_beginning_goes_in_whole_segments_and_the_rest_is_as_before() {
    let log = log(Class::Routine, 1);
    let sizes: Vec<Vec<usize>> = (0..40).map(|n| vec![3_000; 1 + n % 9]).collect();
    let (whole, runs) = Book::of(log, &sizes);
    let ends: Vec<u64> = runs.iter().map(|run| run.to().next).collect();
    let end = *ends.last().unwrap();
    for upto in [0, 1, ends[0], ends[3] + 1, ends[20], end - 1, end, end + 7] {
        let (mut book, _) = Book::of(log, &sizes);
        let before = book.book.stored_bytes(&book.store, &log, 0).unwrap();
        let went = evict(&mut book, &log, upto, u64::MAX);
        let begins = book.book.begins(&log);
        let expected = ends.iter().copied().filter(|end| *end <= upto).max().unwrap_or_default();
        assert_eq!(begins.next, expected);
        let left = if begins.next < end {
            book.book.stored_bytes(&book.store, &log, begins.next).unwrap()
        } else {
            0
        };
        assert_eq!(before - went, left);
        let loaded = Logbook::load(&book.store).unwrap();
        assert_eq!(loaded.logs, book.book.logs);
        assert_eq!(book.book.head(&log), whole.book.head(&log));
        for seq in 0..end {
            let held = seq >= begins.next;
            let entry = book.book.entry(&book.store, &log, seq).unwrap();
            assert_eq!(entry, held.then(|| whole.entry(&log, seq)), "{seq} of {upto}");
            assert_eq!(book.branch(&log, seq), whole.branch(&log, seq).filter(|_| held));
        }
        assert_eq!(book.read(&log, 0..end, usize::MAX).is_some(), begins.next == 0 && end > 0);
        let rest = book.read(&log, begins.next..end, usize::MAX);
        assert_eq!(rest, whole.read(&log, begins.next..end, usize::MAX));
        let kept = book.all(Space::Entries).into_iter().chain(book.all(Space::Ids));
        assert!(kept.map(|(key, _)| key).all(|key| key >= chunk_key(LogNo(0), begins.next)));
        // It goes on.
        book.write(log, &[new(1, 10)]);
        assert_eq!(book.entry(&log, end).payload, Some(vec![1; 10]));
    }
}

#[test]
fn no_more_goes_than_is_wanted_but_for_a_piece() {
    let log = log(Class::Routine, 1);
    let (mut book, _) = Book::of(log, &vec![vec![1_000; 4]; 60]);
    let whole = book.book.stored_bytes(&book.store, &log, 0).unwrap();
    let went = evict(&mut book, &log, u64::MAX, whole / 3);
    assert!((whole / 3..whole / 3 + 5_000).contains(&went), "{went} of {whole}");
}

#[test]
fn a_log_whose_fork_is_proven_where_nothing_is_left_begins_anew() {
    let log = log(Class::Routine, 1);
    let (mut book, _) = Book::of(log, &vec![vec![100]; 20]);
    let (mut other, _) = Book::of(log, &vec![vec![100]; 5]);
    other.write(log, &[new(99, 100)]);
    let ours = book.branch(&log, 5).unwrap();
    let proof = ForkProof::new(ours, other.branch(&log, 5).unwrap()).unwrap();
    evict(&mut book, &log, 12, u64::MAX);
    assert!(book.fork(&proof));
    let state = book.book.state(&log).unwrap();
    assert_eq!((state.head, state.proven_at, state.begins), (Head::EMPTY, Some(5), Head::EMPTY));
    assert_ne!(state.no, LogNo(0));
    assert_eq!(Logbook::load(&book.store).unwrap().logs, book.book.logs);
    while book.book.has_given_up() {
        let mut batch = Batch::default();
        book.book.clear_given_up(&book.store, &mut batch).unwrap();
        book.store.apply(batch).unwrap();
    }
    assert!(book.all(Space::Entries).is_empty());
    // What both branches share is taken again, and no more.
    for seq in 0..5 {
        let shared = other.read(&log, seq..seq + 1, usize::MAX).unwrap();
        let run = shared.run(log).verify(&book.book.head(&log)).unwrap();
        assert!(book.append(&run).is_some());
    }
    let beyond = other.read(&log, 5..6, usize::MAX).unwrap();
    assert_eq!(book.append(&beyond.run(log).verify(&book.book.head(&log)).unwrap()), None);
}

#[test]
fn beyond_a_fork_nothing_goes_alone() {
    let log = log(Class::Routine, 1);
    let (mut book, _) = Book::of(log, &vec![vec![100]; 20]);
    let (mut other, _) = Book::of(log, &vec![vec![100]; 5]);
    other.write(log, &[new(99, 100)]);
    let ours = book.branch(&log, 5).unwrap();
    let proof = ForkProof::new(ours, other.branch(&log, 5).unwrap()).unwrap();
    assert!(book.fork(&proof));
    evict(&mut book, &log, u64::MAX, u64::MAX);
    assert_eq!(book.book.begins(&log).next, 5);
    let mut batch = Batch::default();
    assert!(book.book.begin_anew(&mut batch, &log));
    book.store.apply(batch).unwrap();
    assert_eq!(book.book.head(&log), Head::EMPTY);
    assert!(book.book.has_given_up());
}
