//! Second branches of forked logs: fetched from the mark backwards, followed from where they join.

use super::*;
use crate::logbook::fetched::{Branching, CLEARED_PER_BATCH, Piece};

/// One branch in a book: this many entries in segments of one to three, the first `common` as every
/// other branch has them.
fn branch(log: LogId, common: u8, own: u8, salt: u8) -> (Book, Vec<VerifiedRun>) {
    let mut book = Book::default();
    let mut runs = Vec::new();
    for n in 0..common {
        runs.push(book.write(log, &[new(n, 3_000)]));
    }
    for n in 0..own {
        let entries: Vec<_> = (0..=n % 3).map(|m| new(salt + 4 * n + m, 3_000)).collect();
        runs.push(book.write(log, &entries));
    }
    (book, runs)
}

/// What proves that two books hold different branches from a position on.
fn proof(one: &Book, other: &Book, log: &LogId, seq: u64) -> ForkProof {
    let [one, other] = [one, other].map(|book| book.book.branch(&book.store, log, seq).unwrap());
    ForkProof::new(one.unwrap(), other.unwrap()).unwrap()
}

fn ids(book: &Book, log: &LogId) -> Vec<EntryId> {
    let mut ids = Vec::new();
    book.book
        .entries(&book.store, log, 0, &mut |_, entry| {
            ids.push(entry.id);
            ControlFlow::Continue(())
        })
        .unwrap();
    ids
}

fn reload(book: &Book) -> Logbook {
    Logbook::load(&book.store).unwrap()
}

fn verified(log: &LogId, Piece { from, stretch }: &Piece) -> VerifiedRun {
    stretch.run(*log).verify(from).unwrap()
}

/// Fetches what leads to a mark from another book, in pieces of this size. Returns how many.
fn fetch(from: &Book, to: &mut Book, log: &LogId, mark: (u64, EntryId), bytes: usize) -> usize {
    let mut wanted = Some(mark);
    let mut pieces = 0;
    while let Some(mark) = wanted {
        let span = to.book.state(log).unwrap().shared.next..mark.0;
        let piece = from.book.piece(&from.store, log, (span, mark.1), bytes).unwrap().unwrap();
        let run = verified(log, &piece);
        let last = run.entries().iter().find(|entry| entry.seq + 1 == mark.0).unwrap();
        assert_eq!(last.id, mark.1);
        let mut batch = Batch::default();
        assert!(to.book.fetch(&mut batch, &run, WallTime::default()));
        assert!(!to.book.fetch(&mut batch, &run, WallTime::default()), "it is there");
        to.store.apply(batch).unwrap();
        assert_eq!(reload(to).fetched, to.book.fetched);
        wanted = to.book.fetching(&to.store, log).unwrap().map(|head| (head.next, head.id));
        pieces += 1;
    }
    pieces
}

fn turn(book: &mut Book, log: &LogId) -> Option<u64> {
    let mut batch = Batch::default();
    let at = book.book.turn(&book.store, &mut batch, log).unwrap();
    book.store.apply(batch).unwrap();
    at
}

#[test]
fn a_branch_that_is_fetched_backwards_is_followed_and_given_back_byte_for_byte() {
    let log = log(Class::Routine, 1);
    for (common, ours, theirs, bytes) in
        [(0, 1, 1, 0), (5, 3, 9, 0), (5, 9, 3, 9_000), (20, 1, 30, 60_000), (3, 6, 6, usize::MAX)]
    {
        let (mut here, _) = branch(log, common, ours, 60);
        let (mut there, runs) = branch(log, common, theirs, 130);
        let at = u64::from(common);
        let proof = proof(&here, &there, &log, at);
        here.fork(&proof);
        there.fork(&proof);
        let (first, second) = (ids(&here, &log), ids(&there, &log));
        let mark = (there.book.head(&log).next, *second.last().unwrap());
        assert_eq!(here.book.branch_with(&here.store, &log, mark).unwrap(), None);
        let pieces = fetch(&there, &mut here, &log, mark, bytes);
        assert!(bytes > 0 || pieces >= usize::from(theirs), "{pieces}");
        // It changes nothing before it is followed.
        assert_eq!(ids(&here, &log), first);
        let aside = here.book.branch_with(&here.store, &log, mark).unwrap();
        assert_eq!(aside, Some(Branching::Aside));
        assert_eq!(turn(&mut here, &log), Some(at));
        let again = reload(&here);
        assert_eq!((&again.logs, &again.fetched), (&here.book.logs, &here.book.fetched));
        assert_eq!(ids(&here, &log), second);
        assert_eq!(here.book.head(&log), there.book.head(&log));
        assert_eq!(here.book.state(&log).unwrap().shared, there.book.state(&log).unwrap().shared);
        let followed = here.book.branch_with(&here.store, &log, mark).unwrap();
        assert_eq!(followed, Some(Branching::Followed));
        let all = |book: &Book| {
            let read = book.book.read(&book.store, &log, 0..u64::MAX, 1 << 20).unwrap();
            read.unwrap()
        };
        assert_eq!(all(&here), all(&there));
        for (run, seq) in
            runs.iter().flat_map(|run| run.entries().iter().map(move |e| (run, e.seq)))
        {
            let [one, other] =
                [&here, &there].map(|book| book.book.branch(&book.store, &log, seq).unwrap());
            assert_eq!(one.unwrap().id(), other.unwrap().id(), "{:?}", run.to());
        }
        // And back.
        let mark = (first.len() as u64, *first.last().unwrap());
        let aside = here.book.branch_with(&here.store, &log, mark).unwrap();
        assert_eq!(aside, Some(Branching::Aside));
        assert_eq!(turn(&mut here, &log), Some(at));
        assert_eq!(ids(&here, &log), first);
    }
}

#[test]
fn a_branch_is_served_from_either_side_and_only_by_an_entry_of_it() {
    let log = log(Class::Routine, 1);
    let (mut here, _) = branch(log, 4, 5, 60);
    let (there, _) = branch(log, 4, 7, 130);
    let proof = proof(&here, &there, &log, 4);
    here.fork(&proof);
    let (first, second) = (ids(&here, &log), ids(&there, &log));
    let end = |ids: &[EntryId], n: usize| (n as u64, ids[n - 1]);
    let piece = |book: &Book, (end, head), bytes| {
        book.book.piece(&book.store, &log, (0..end, head), bytes).unwrap()
    };
    fetch(&there, &mut here, &log, end(&second, second.len()), 20_000);
    for _ in 0..2 {
        for ids in [&first, &second] {
            for n in 1..=ids.len() {
                let piece = piece(&here, end(ids, n), 7_000).unwrap();
                let run = verified(&log, &piece);
                let found = run.entries().iter().find(|entry| entry.seq + 1 == n as u64).unwrap();
                assert_eq!(found.id, ids[n - 1]);
            }
        }
        let elsewhere = [(5, EntryId([9; 32])), (0, EntryId([0; 32])), (99, second[4])];
        for mark in elsewhere {
            assert_eq!(piece(&here, mark, 7_000), None);
        }
        turn(&mut here, &log);
    }
}

#[test]
fn what_is_fetched_waits_for_the_log_to_come_up_to_it_and_can_be_given_up() {
    let log = log(Class::Routine, 1);
    let (there, runs) = branch(log, 6, 4, 130);
    let (other, _) = branch(log, 6, 2, 60);
    let proof = proof(&there, &other, &log, 6);
    let mut here = Book::default();
    runs[..2].iter().for_each(|run| assert!(here.append(run).is_some()));
    here.fork(&proof);
    let ids = ids(&there, &log);
    let mark = (ids.len() as u64, ids[ids.len() - 1]);
    // Down to where the branches part, and no further yet.
    let mut wanted = mark;
    while wanted.0 > 6 {
        let wants = (0..wanted.0, wanted.1);
        let piece = there.book.piece(&there.store, &log, wants, 0).unwrap().unwrap();
        let mut batch = Batch::default();
        assert!(here.book.fetch(&mut batch, &verified(&log, &piece), WallTime::default()));
        here.store.apply(batch).unwrap();
        wanted = here.book.fetching(&here.store, &log).unwrap().map(|h| (h.next, h.id)).unwrap();
    }
    assert_eq!(here.book.branch_with(&here.store, &log, mark).unwrap(), None);
    assert_eq!(turn(&mut here, &log), None);
    runs[2..6].iter().for_each(|run| assert!(here.append(run).is_some()));
    assert_eq!(here.book.fetching(&here.store, &log).unwrap(), None);
    let aside = here.book.branch_with(&here.store, &log, mark).unwrap();
    assert_eq!(aside, Some(Branching::Aside));
    give_up(&mut here, &log);
    assert_eq!(here.book.branch_with(&here.store, &log, mark).unwrap(), None);
    assert!(here.book.fetched.is_empty() && reload(&here).fetched.is_empty());
    while here.book.has_given_up() {
        clear(&mut here);
    }
    assert_eq!(here.store.keys(Space::Entries), 6, "one chunk for each segment of the log");
    // What is followed is not given up.
    fetch(&there, &mut here, &log, mark, usize::MAX);
    turn(&mut here, &log);
    let mut batch = Batch::default();
    here.book.give_up(&mut batch, &log);
    assert!(batch.is_empty());
}

fn give_up(book: &mut Book, log: &LogId) {
    let mut batch = Batch::default();
    book.book.give_up(&mut batch, log);
    assert_eq!(batch.writes.len(), 2, "however long the branch is");
    book.store.apply(batch).unwrap();
}

/// Removes a piece of what was given up; how many chunks it had.
fn clear(book: &mut Book) -> usize {
    let before = book.store.keys(Space::Entries);
    let mut batch = Batch::default();
    book.book.clear_given_up(&book.store, &mut batch).unwrap();
    book.store.apply(batch).unwrap();
    before - book.store.keys(Space::Entries)
}

/// However long it is, however often the peer stops, and whatever is damaged in it.
#[test]
fn what_is_given_up_is_removed_in_pieces_and_its_number_is_nobody_elses_until_then() {
    let log = log(Class::Routine, 1);
    let (mut here, _) = branch(log, 2, 1, 60);
    let (mut there, _) = branch(log, 2, 1, 130);
    for n in 0..2 * CLEARED_PER_BATCH {
        there.write(log, &[new(n as u8, 10)]);
    }
    let proof = proof(&here, &there, &log, 2);
    here.fork(&proof);
    there.fork(&proof);
    let kept = here.all(Space::Entries);
    let theirs = ids(&there, &log);
    let mark = (theirs.len() as u64, *theirs.last().unwrap());
    fetch(&there, &mut here, &log, mark, 0);
    let second = here.book.fetched[&log].no;
    let chunks = here.store.keys(Space::Entries) - kept.len();
    assert!(chunks > CLEARED_PER_BATCH, "{chunks}");
    let (key, _) = here.all(Space::Entries).into_iter().next_back().unwrap();
    here.put(Space::Entries, &key, Some(b"rotten".to_vec()));
    give_up(&mut here, &log);
    assert_eq!(here.book.branch_with(&here.store, &log, mark).unwrap(), None);
    // It is chosen again before it is gone: what comes lies elsewhere.
    fetch(&there, &mut here, &log, mark, 0);
    assert_ne!(here.book.fetched[&log].no, second);
    let mut pieces = Vec::new();
    while here.book.has_given_up() {
        here.book = reload(&here);
        assert_ne!(here.book.next_no(), Some(second));
        pieces.push(clear(&mut here));
    }
    assert!(
        pieces.len() > 1 && pieces.iter().all(|piece| *piece <= CLEARED_PER_BATCH),
        "{pieces:?}"
    );
    assert_eq!(pieces.iter().sum::<usize>(), chunks);
    assert!(!reload(&here).has_given_up());
    let aside = here.book.branch_with(&here.store, &log, mark).unwrap();
    assert_eq!(aside, Some(Branching::Aside), "what came the second time is whole");
    give_up(&mut here, &log);
    while here.book.has_given_up() {
        clear(&mut here);
    }
    assert_eq!(here.all(Space::Entries), kept);
    let boxes = |book: &Book| book.all(Space::Boxes).into_iter().map(|(key, _)| key);
    assert!(boxes(&here).all(|key| kept.iter().any(|(of, _)| *of == key)));
    assert_eq!(here.store.keys(Space::Ids), kept.len());
}

#[test]
fn each_branch_is_detached_and_searched_by_itself() {
    let log = log(Class::Routine, 1);
    let (mut here, _) = branch(log, 2, 3, 60);
    let (there, _) = branch(log, 2, 3, 130);
    let proof = proof(&here, &there, &log, 2);
    here.fork(&proof);
    let (first, second) = (ids(&here, &log), ids(&there, &log));
    fetch(&there, &mut here, &log, (second.len() as u64, second[second.len() - 1]), usize::MAX);
    let gone = |book: &Book| {
        let mut gone = [Vec::new(), Vec::new()];
        let note = |gone: &mut Vec<u64>, seq, entry: StoredEntry| {
            gone.extend(entry.payload.is_none().then_some(seq));
            ControlFlow::Continue(())
        };
        let (book, store) = (&book.book, &book.store);
        book.entries(store, &log, 0, &mut |seq, entry| note(&mut gone[0], seq, entry)).unwrap();
        let mut aside = |seq, entry: Passed<'_>| note(&mut gone[1], seq, entry.stored());
        book.visit_aside(store, &log, 0, &mut aside).unwrap();
        gone
    };
    let search = |book: &Book, id: EntryId| {
        let mut search = find::Search::new(BTreeSet::from([id]));
        let found = search.go_on(&book.store, &book.book, &log.compartment, 99).unwrap();
        (found.contains_key(&id), search.take_aside().contains_key(&id))
    };
    for followed in [&first, &second] {
        let aside = if followed == &first { &second } else { &first };
        assert_eq!(search(&here, followed[3]), (true, false));
        assert_eq!(search(&here, aside[3]), (false, true));
        assert_eq!(search(&here, followed[1]), (true, false));
        turn(&mut here, &log);
    }
    let mut batch = Batch::default();
    here.book.detach(&here.store, &mut batch, &log, &BTreeSet::from([1, 2])).unwrap();
    here.store.apply(batch).unwrap();
    assert_eq!(gone(&here), [vec![1, 2], vec![]]);
    let mut batch = Batch::default();
    here.book.detach_aside(&here.store, &mut batch, &log, &BTreeSet::from([3])).unwrap();
    here.store.apply(batch).unwrap();
    assert_eq!(gone(&here), [vec![1, 2], vec![3]]);
    turn(&mut here, &log);
    assert_eq!(gone(&here), [vec![1, 3], vec![2]]);
    assert_eq!((ids(&here, &log), ids(&there, &log)), (second.clone(), second));
}

/// What a visit past damage shows: the entries, and the spans of those that cannot be read.
fn past_damage(book: &Book, log: &LogId) -> (BTreeMap<u64, EntryId>, Vec<Range<u64>>) {
    let (mut shown, mut unread) = (BTreeMap::new(), Vec::new());
    book.book
        .entries_past_damage(&book.store, log, 0, &mut |seqs, entry| {
            match entry {
                Ok(entry) => drop(shown.insert(seqs.start, entry.id)),
                Err(error) => {
                    assert!(error.is_damage());
                    unread.push(seqs);
                }
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    (shown, unread)
}

#[test]
fn what_is_damaged_hides_its_own_entries_and_no_others() {
    let log = log(Class::Routine, 1);
    let (mut here, _) = branch(log, 7, 6, 60);
    let (mut there, _) = branch(log, 7, 9, 130);
    let proof = proof(&here, &there, &log, 7);
    here.fork(&proof);
    there.fork(&proof);
    let theirs = ids(&there, &log);
    fetch(&there, &mut here, &log, (theirs.len() as u64, *theirs.last().unwrap()), 20_000);
    for turned in [false, true] {
        if turned {
            assert!(turn(&mut here, &log).is_some());
        }
        let all: BTreeMap<u64, EntryId> = (0..).zip(ids(&here, &log)).collect();
        assert_eq!(past_damage(&here, &log), (all.clone(), vec![]));
        let mut hidden = BTreeSet::new();
        for (key, value) in here.all(Space::Entries) {
            here.put(Space::Entries, &key, Some(value[..9].to_vec()));
            let (shown, unread) = past_damage(&here, &log);
            assert!(unread.len() <= 1, "one chunk is damaged: {unread:?}");
            let missing: BTreeSet<u64> = unread.into_iter().flatten().collect();
            let expected = all.iter().filter(|(seq, _)| !missing.contains(seq));
            assert_eq!(shown, expected.map(|(seq, id)| (*seq, *id)).collect());
            hidden.extend(missing);
            here.put(Space::Entries, &key, Some(value));
        }
        assert_eq!(hidden, all.keys().copied().collect(), "each entry is in a chunk");
    }
}
