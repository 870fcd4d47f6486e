//! Forgetting: what was removed or replaced is on no medium any more, whatever a crash leaves.

use super::super::values::HEADER_BYTES;
use super::*;

/// Asserts that the values file has nothing but its header and what is in use.
pub(super) fn assert_only_live_bytes(store: &SledStore) {
    let writer = store.shared.writer.lock().unwrap();
    let (lock, pages) = (&store.shared.layers, &store.shared.pages);
    let mut used = Flush { writer, lock, pages }.used().unwrap();
    assert!(store.shared.layers.read().unwrap().recent.is_empty(), "all of it is in pages");
    used.push((0, HEADER_BYTES as u64));
    used.sort_unstable();
    let file = fs::read(store.shared.dir.join("values")).unwrap();
    let mut at = 0;
    for (offset, len) in used.into_iter().chain([(file.len() as u64, 0)]) {
        let gap = &file[at as usize..offset as usize];
        let dirty = gap.iter().filter(|byte| **byte != 0).count();
        assert_eq!(dirty, 0, "of {} bytes from {at} on that nothing refers to", gap.len());
        at = offset + len;
    }
}

fn forget(store: &mut SledStore) -> Result<(), StoreError> {
    store.apply(Batch { forget: true, ..Batch::default() })?;
    store.flush()
}

#[test]
fn nothing_is_left_but_what_is_in_use() {
    for limits in [SMALL, Limits::default()] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = SledStore::open_with(dir.path(), &StoreKey::new(KEY), limits).unwrap();
        for n in 0..60 {
            store.apply(step(n)).unwrap();
            store.flush().unwrap();
        }
        forget(&mut store).unwrap();
        assert_only_live_bytes(&store);
        check(&store, Some(59));
        store.apply(step(60)).unwrap();
        store.flush().unwrap();
        drop(store);
        let store = open(dir.path());
        check(&store, Some(60));
        assert!(store.shared.writer.lock().unwrap().forgetting.is_none());
    }
}

/// A short value that sled held would stay in its file's old segments.
#[test]
fn values_that_can_be_forgotten_are_in_the_values_file_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = SledStore::open(dir.path(), &StoreKey::new(KEY)).unwrap();
    let mut batch = Batch::default();
    for space in Space::ALL {
        batch.put(space, *b"short", *b"content");
    }
    store.apply(batch).unwrap();
    store.flush().unwrap();
    let layers = store.shared.layers.read().unwrap();
    for space in Space::ALL {
        let slot = layers.find_durable(&store.shared.pages, &full_key(space, b"short")).unwrap();
        let apart = matches!(slot, Some(run::Slot::Stored(_)));
        assert_eq!(apart, space.erasable(), "{space:?}");
    }
    let content = [Space::Boxes, Space::Secrets, Space::Rows, Space::Summaries, Space::Entries];
    assert!(content.into_iter().all(Space::erasable));
}

/// Every call to the values file fails once while the store forgets, and a power cut takes what was
/// not synced. If the flush was acknowledged, all was forgotten; else it is once the store is open
/// again, or the batch that asked for it is not there.
#[test]
fn interrupted_forgetting_is_finished_when_the_store_is_opened() {
    let (mut made_up_for, mut done_at_once) = (0, 0);
    for calls_left in 0..40 {
        let dir = tempfile::tempdir().unwrap();
        let copies = tempfile::tempdir().unwrap();
        let (path, synced_copy) = (dir.path().join("values"), copies.path().join("values"));
        let mut store = open(dir.path());
        let mut old = Vec::new();
        for version in 1..=3u8 {
            let mut batch = Batch::default();
            batch.put(Space::Rows, *b"erased", [version; 300]);
            batch.put(Space::Rows, *b"kept", [0x70 + version; 300]);
            batch.put(Space::Entries, *b"chunk", [0x60 + version; 30]);
            store.apply(batch).unwrap();
            store.flush().unwrap();
            old.push(raw_bytes(&store, Space::Rows, b"erased"));
        }
        assert!(
            old.iter().any(|old| medium_holds(dir.path(), old)),
            "there is something to forget"
        );
        fs::copy(&path, &synced_copy).unwrap();
        store.shared.writer.lock().unwrap().values.fault =
            Some(Fault { calls_left, path: path.clone(), synced_copy: synced_copy.clone() });
        let mut batch = Batch { forget: true, ..Batch::default() };
        batch.remove(Space::Rows, *b"erased");
        store.apply(batch).unwrap();
        let done = store.flush().is_ok();
        drop(store);
        fs::copy(&synced_copy, &path).unwrap();
        let held = |old: &Vec<Vec<u8>>| old.iter().any(|old| medium_holds(dir.path(), old));
        assert!(!(done && held(&old)), "acknowledged after {calls_left} calls, and still there");
        let interrupted = !done && held(&old);
        let store = open(dir.path());
        assert_eq!(store.get(Space::Rows, b"kept").unwrap(), Some(vec![0x73; 300]));
        assert_eq!(store.get(Space::Entries, b"chunk").unwrap(), Some(vec![0x63; 30]));
        match store.get(Space::Rows, b"erased").unwrap() {
            Some(_) => assert!(!done, "acknowledged, and still there"),
            None => {
                assert!(!held(&old), "after {calls_left} calls: on the medium");
                made_up_for += u32::from(interrupted);
            }
        }
        done_at_once += u32::from(done);
    }
    assert!(made_up_for > 0 && done_at_once > 0, "{made_up_for} and {done_at_once}");
}

/// Bytes that were overwritten so far.
fn overwritten_bytes(store: &SledStore) -> u64 {
    store.shared.writer.lock().unwrap().values.overwritten_bytes
}

/// What is free and zero already is not overwritten again; and a thousand erasures that one flush
/// forgets cost about what one erasure of as many bytes does.
#[test]
fn a_pass_overwrites_what_was_freed_since_the_last_one() {
    const VALUES: u32 = 2_300;
    const VALUE_BYTES: usize = 2_000;
    let dir = tempfile::tempdir().unwrap();
    let mut store = SledStore::open(dir.path(), &StoreKey::new(KEY)).unwrap();
    let mut batch = Batch::default();
    for n in 0..VALUES {
        batch.put(Space::Rows, n.to_be_bytes(), [n as u8; VALUE_BYTES]);
    }
    store.apply(batch).unwrap();
    store.flush().unwrap();
    let erase = |store: &mut SledStore, values: std::ops::Range<u32>| {
        let before = overwritten_bytes(store);
        let mut batch = Batch { forget: true, ..Batch::default() };
        values.for_each(|n| batch.remove(Space::Rows, n.to_be_bytes()));
        store.apply(batch).unwrap();
        store.flush().unwrap();
        assert_only_live_bytes(store);
        overwritten_bytes(store) - before
    };
    let value_bytes = VALUE_BYTES as u64 + 16;
    let first = erase(&mut store, 0..1_000);
    assert!(first >= 1_000 * value_bytes, "{first}");
    assert_eq!(erase(&mut store, 0..0), 0, "there is nothing new to forget");

    // A thousand, each in a batch of its own, as they are applied between two flushes.
    let before = overwritten_bytes(&store);
    for n in 1_000..2_000u32 {
        let mut batch = Batch { forget: true, ..Batch::default() };
        batch.remove(Space::Rows, n.to_be_bytes());
        store.apply(batch).unwrap();
    }
    store.flush().unwrap();
    assert_only_live_bytes(&store);
    let many = overwritten_bytes(&store) - before;
    assert!(many >= 1_000 * value_bytes && many <= first + first / 4, "{many} for {first}");

    // A hundred, each with a pass of its own, beside 4 MB that are free: a value and the pages and
    // lists that the change replaced, and not what is free.
    let alone: Vec<u64> = (2_000..2_100).map(|n| erase(&mut store, n..n + 1)).collect();
    let most = alone.iter().copied().max().unwrap();
    assert!(most <= value_bytes + 3 * flush::PAGE_BYTES_MAX as u64, "{most}");
    // New values in the place of old ones are forgotten, too.
    let mut batch = Batch::default();
    for n in 0..300u32 {
        batch.put(Space::Rows, n.to_be_bytes(), [0x77; VALUE_BYTES]);
    }
    store.apply(batch).unwrap();
    store.flush().unwrap();
    assert!(erase(&mut store, 0..300) >= 300 * value_bytes);
}
