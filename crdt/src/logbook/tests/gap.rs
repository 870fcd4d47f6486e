//! What is damaged is found with its exact bounds, and is as before once it is filled.

use super::super::gap::Gap;
use super::*;

/// Puts something else, or nothing, in the place of chunks.
fn hurt(book: &mut Book, space: Space, key: &[u8], gone: bool) {
    book.put(space, key, (!gone).then(|| b"rotten".to_vec()));
}

fn gap(book: &Book, log: &LogId, seq: u64) -> Option<Gap> {
    book.book.gap(&book.store, log, seq).unwrap()
}

/// Fills a gap from a run that begins at the segment which holds `from`.
fn fill(book: &mut Book, gap: &Gap, run: &VerifiedRun) -> Option<u64> {
    let mut batch = Batch::default();
    let filled = book.book.fill(&book.store, &mut batch, gap, run, WallTime::default()).unwrap();
    assert_eq!(filled.is_none(), batch.is_empty());
    book.store.apply(batch).unwrap();
    filled
}

/// The log from a position on where a segment begins, up to another where one ends, as a peer gives it.
fn given(whole: &Book, log: &LogId, span: Range<u64>) -> VerifiedRun {
    let head = match span.start.checked_sub(1) {
        None => Head::EMPTY,
        Some(last) => {
            let StoredEntry { id, epoch, .. } = whole.entry(log, last);
            Head { next: span.start, id, epoch }
        }
    };
    let stretch = whole.read(log, span, usize::MAX).unwrap();
    stretch.run(*log).verify(&head).unwrap()
}

proptest! {
    #[test]
    fn whatever_is_damaged_is_found_and_filled(
        sizes in segments(),
        hurts in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), any::<bool>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let log = log(Class::Routine, 1);
        let (whole, runs) = Book::of(log, &sizes);
        let end = whole.book.head(&log).next;
        let chunks = whole.all(Space::Entries);
        let mut book = Book { store: whole.store.clone(), book: Logbook::load(&whole.store).unwrap() };
        let mut lost = BTreeSet::new();
        for (at, gone, of_boxes) in hurts {
            let at = at.index(chunks.len());
            let (key, _) = &chunks[at];
            let first = at.checked_sub(1).map_or(0, |before| last_of(&chunks[before].0) + 1);
            let boxed = whole.store.get(Space::Boxes, key).unwrap().is_some();
            let space = if of_boxes && boxed { Space::Boxes } else { Space::Entries };
            // A box more than there are entries with one is passed over.
            let gone = gone || space == Space::Boxes;
            hurt(&mut book, space, key, gone);
            lost.extend(first..=last_of(key));
        }
        for seq in 0..end {
            let found = gap(&book, &log, seq);
            prop_assert_eq!(found.is_some(), lost.contains(&seq), "{}", seq);
            let Some(found) = found else { continue };
            prop_assert!(found.span.clone().all(|seq| lost.contains(&seq)));
            prop_assert!(!lost.contains(&found.span.end));
            prop_assert!(found.span.start == 0 || !lost.contains(&(found.span.start - 1)));
            prop_assert_eq!(found.last, whole.entry(&log, found.span.end - 1).id);
        }
        // Filled from the end downwards, in any pieces.
        let starts: Vec<u64> = runs.iter().map(|run| run.from().next).collect();
        let mut tries = 0;
        while let Some(last) = lost.last().copied() {
            tries += 1;
            prop_assert!(tries <= 3 * end);
            let found = gap(&book, &log, last).unwrap();
            let upto = runs.iter().map(|run| run.to().next).find(|next| *next > last).unwrap();
            let begins: Vec<u64> = starts.iter().copied().filter(|start| *start <= last).collect();
            let from = begins[cut.index(begins.len())];
            let mut elsewhere = found.clone();
            elsewhere.last = EntryId([9; 32]);
            let run = given(&whole, &log, from..upto);
            prop_assert_eq!(fill(&mut book, &elsewhere, &run), None);
            let first = fill(&mut book, &found, &run).unwrap();
            prop_assert_eq!(first, from.max(found.span.start));
            lost.retain(|seq| !(first..found.span.end).contains(seq));
        }
        prop_assert!(book.is_sound(&log));
        prop_assert_eq!(book.read(&log, 0..end, usize::MAX), whole.read(&log, 0..end, usize::MAX));
        let ids = |book: &Book| -> Vec<u8> {
            book.all(Space::Ids).into_iter().flat_map(|(_, ids)| ids).collect()
        };
        prop_assert_eq!(ids(&book), ids(&whole));
    }
}

fn last_of(key: &[u8]) -> u64 {
    u64::from_be_bytes(key[4..].try_into().unwrap())
}

#[test]
fn what_was_filled_was_here_before_what_follows_it() {
    let log = log(Class::Routine, 1);
    let (whole, runs) = Book::of(log, &[vec![10; 3], vec![10; 3]]);
    let mut book = Book { store: whole.store.clone(), book: Logbook::load(&whole.store).unwrap() };
    let (key, _) = &whole.all(Space::Entries)[0];
    hurt(&mut book, Space::Entries, key, false);
    let held = |book: &Book| book.book.held_before(&book.store, &log, WallTime(1)).unwrap();
    assert_eq!((held(&whole), held(&book)), (6, 0));
    let found = gap(&book, &log, 0).unwrap();
    let run = given(&whole, &log, 0..runs[0].to().next);
    let mut batch = Batch::default();
    book.book.fill(&book.store, &mut batch, &found, &run, WallTime(9)).unwrap().unwrap();
    book.store.apply(batch).unwrap();
    assert_eq!(held(&book), 6);
}
