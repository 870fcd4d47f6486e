//! The sled store: the conformance suite, damage, failures and kills.

mod damage;
mod erase;
mod forget;
mod kill;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use tearline_crdt::store::conformance::{StoreUnderTest, run_all};

use super::values::Fault;
use super::*;

const KEY: [u8; 32] = [0x11; 32];

struct UnderTest {
    dir: tempfile::TempDir,
    store: Option<SledStore>,
    limits: Limits,
}

impl UnderTest {
    fn new(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SledStore::open_with(dir.path(), &StoreKey::new(KEY), limits).unwrap();
        Self { dir, store: Some(store), limits }
    }
}

impl StoreUnderTest for UnderTest {
    fn store(&mut self) -> &mut dyn Store {
        self.store.as_mut().unwrap()
    }

    fn reopen(&mut self) {
        self.store = None;
        let key = StoreKey::new(KEY);
        self.store = Some(SledStore::open_with(self.dir.path(), &key, self.limits).unwrap());
    }

    fn raw_bytes(&mut self, space: Space, key: &[u8]) -> Vec<u8> {
        raw_bytes(self.store.as_ref().unwrap(), space, key)
    }

    fn medium_holds(&mut self, needle: &[u8]) -> bool {
        medium_holds(self.dir.path(), needle)
    }
}

/// The sealed bytes of a scrubbed value.
fn raw_bytes(store: &SledStore, space: Space, key: &[u8]) -> Vec<u8> {
    let layers = store.shared.layers.read().unwrap();
    match layers.find_durable(&store.shared.pages, &full_key(space, key)).unwrap() {
        Some(run::Slot::Stored(extent)) => {
            let file = fs::read(store.shared.dir.join("values")).unwrap();
            file[extent.offset as usize..extent.end() as usize].to_vec()
        }
        other => panic!("a scrubbed value is not in the values file: {other:?}"),
    }
}

/// Whether any 16 bytes of the needle are in any file below the folder.
fn medium_holds(dir: &Path, needle: &[u8]) -> bool {
    let parts: std::collections::BTreeSet<&[u8]> = needle.chunks_exact(16).collect();
    assert!(!parts.is_empty(), "too short to search for");
    files(dir).iter().any(|path| fs::read(path).unwrap().windows(16).any(|at| parts.contains(at)))
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Limits so low that nearly every flush merges.
const SMALL: Limits = Limits {
    recent_keys_max: 3,
    deltas_max: 2,
    placed_bytes_min: 10_000,
    unflushed_bytes_max: 20_000,
};

/// The state that a store should have.
type Model = BTreeMap<(Space, Vec<u8>), Vec<u8>>;

/// Slots that [`step`] writes to. It writes five at a time, so each is written every 20 steps.
const SLOTS: u64 = 97;

/// The batch with this number: five writes to slots over all spaces, of all sizes, some removals.
/// The number itself is under `Meta`, `step`.
fn step(n: u64) -> Batch {
    let mut batch = Batch::default();
    for i in 0..5 {
        let slot = (n * 5 + i) % SLOTS;
        let space = Space::ALL[slot as usize % Space::ALL.len()];
        let key = [&[slot as u8 % 3][..], &slot.to_be_bytes()].concat();
        let len = [0, 40, 300, 512, 513, 3_000][(n + i) as usize % 6];
        if (n + i).is_multiple_of(5) {
            batch.remove(space, key);
        } else {
            batch.put(space, key, vec![(n * 31 + i) as u8; len]);
        }
    }
    batch.put(Space::Meta, *b"step", n.to_be_bytes());
    batch
}

/// The state after the steps `0..=last`.
fn model(last: u64) -> Model {
    let mut model = Model::new();
    for n in last.saturating_sub(2 * SLOTS)..=last {
        for (space, key, value) in step(n).writes {
            match value {
                Some(value) => model.insert((space, key), value),
                None => model.remove(&(space, key)),
            };
        }
    }
    model
}

/// The number of the last step that is in the store.
fn last_step(store: &SledStore) -> Option<u64> {
    let value = store.get(Space::Meta, b"step").unwrap()?;
    Some(u64::from_be_bytes(value.try_into().unwrap()))
}

/// Everything in the store.
fn contents(store: &SledStore) -> Result<Model, StoreError> {
    let mut found = Model::new();
    for space in Space::ALL {
        let mut visit = |key: &[u8], value: &[u8]| {
            found.insert((space, key.to_vec()), value.to_vec());
            ControlFlow::Continue(())
        };
        store.scan(space, b"", b"", &mut visit)?;
    }
    Ok(found)
}

/// Checks that the store is exactly at some step that is not before `acknowledged`.
fn check(store: &SledStore, acknowledged: Option<u64>) -> Option<u64> {
    let last = last_step(store);
    assert!(last >= acknowledged, "step {acknowledged:?} was acknowledged, {last:?} is there");
    let expected = last.map(model).unwrap_or_default();
    assert!(contents(store).unwrap() == expected, "not the state after step {last:?}");
    last
}

fn open(dir: &Path) -> SledStore {
    SledStore::open_with(dir, &StoreKey::new(KEY), SMALL).unwrap()
}

#[test]
fn keeps_the_contract_while_nothing_is_merged() {
    run_all(&mut || Box::new(UnderTest::new(Limits::default())));
}

#[test]
fn keeps_the_contract_while_everything_is_merged() {
    run_all(&mut || Box::new(UnderTest::new(SMALL)));
}

#[test]
fn another_key_is_refused_and_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    store.apply(step(1)).unwrap();
    store.flush().unwrap();
    let id = store.id();
    drop(store);
    let refused = SledStore::open(dir.path(), &StoreKey::new([0x12; 32])).err();
    assert!(matches!(refused, Some(OpenError::WrongKey)), "{refused:?}");
    let store = open(dir.path());
    assert_eq!(store.id(), id);
    assert_eq!(last_step(&store), Some(1));
}

#[test]
fn a_second_opening_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let refused = SledStore::open(dir.path(), &StoreKey::new(KEY)).err();
    assert!(matches!(refused, Some(OpenError::InUse { .. })), "{refused:?}");
    assert!(matches!(quarantine_damaged(dir.path()), Err(OpenError::InUse { .. })));
    let flusher = store.flusher();
    drop(store);
    let refused = SledStore::open(dir.path(), &StoreKey::new(KEY)).err();
    assert!(matches!(refused, Some(OpenError::InUse { .. })), "a flusher is still there");
    drop(flusher);
    open(dir.path());
}

#[test]
fn a_store_moved_aside_makes_room_for_an_empty_one() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("store");
    for n in 1..=2 {
        let mut store = open(&dir);
        assert_eq!(last_step(&store), None);
        store.apply(step(n)).unwrap();
        store.flush().unwrap();
        drop(store);
        let aside = quarantine_damaged(&dir).unwrap();
        assert_eq!(aside, parent.path().join(format!("store.damaged-{n}")));
        assert_eq!(last_step(&open(&aside)), Some(n));
    }
}

#[test]
fn free_space_is_told() {
    let dir = tempfile::tempdir().unwrap();
    assert!(free_space_bytes(dir.path()).unwrap() > 0);
    assert!(free_space_bytes(&dir.path().join("absent")).is_err());
}

/// The values come back from the pages, from lists of changes in both places, and from memory, and
/// a scan over them all sees each key once.
#[test]
fn layers_agree() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = SledStore::open(dir.path(), &StoreKey::new(KEY)).unwrap();
    let mut model = Model::new();
    for round in 0..6u8 {
        let mut batch = Batch::default();
        for n in 0..3_000u32 {
            let key = n.wrapping_mul(2_654_435_761).to_be_bytes();
            if n % 7 == u32::from(round) {
                batch.remove(Space::Records, key);
                model.remove(&(Space::Records, key.to_vec()));
            } else if n % 5 == u32::from(round) || round == 0 {
                batch.put(Space::Records, key, [round; 40]);
                model.insert((Space::Records, key.to_vec()), vec![round; 40]);
            }
        }
        store.apply(batch).unwrap();
        match round {
            0 | 2 => {
                store.flush().unwrap();
                let writer = store.shared.writer.lock().unwrap();
                let (lock, pages) = (&store.shared.layers, &store.shared.pages);
                Flush { writer, lock, pages }.merge().unwrap();
            }
            1 | 3 | 4 => store.flush().unwrap(),
            _ => {}
        }
        assert!(contents(&store).unwrap() == model, "round {round}");
        let mut back = Vec::new();
        let mut visit = |key: &[u8], _: &[u8]| {
            back.push(key.to_vec());
            ControlFlow::Continue(())
        };
        store.scan_back(Space::Records, b"", &mut visit).unwrap();
        assert!(back.iter().rev().eq(model.keys().map(|(_, key)| key)), "round {round}");
    }
    assert_eq!(fs::read_dir(dir.path().join("index/blobs")).unwrap().count(), 0);
    let layers = store.shared.layers.read().unwrap();
    assert!(layers.pages.len() > 10 && !layers.recent.is_empty());
    assert!(!layers.active.writes.is_empty());
}

#[test]
fn too_much_unflushed_is_flushed_unasked() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    for n in 0..40 {
        store.apply(step(n)).unwrap();
    }
    drop(store);
    let last = check(&open(dir.path()), None);
    assert!(last > Some(10), "only {last:?} is there");
}

#[test]
fn space_of_removed_and_replaced_values_is_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let mut sizes = Vec::new();
    for round in 0..30u8 {
        for n in 0..20u8 {
            let mut batch = Batch::default();
            batch.put(Space::Rows, [n], vec![round ^ n; 5_000]);
            batch.put(Space::Boxes, [n], vec![round ^ n; 1_000]);
            batch.put(Space::Records, [round, n], [round; 100]);
            if round > 2 {
                batch.remove(Space::Records, [round - 3, n]);
            }
            store.apply(batch).unwrap();
            store.flush().unwrap();
        }
        sizes.push(fs::metadata(dir.path().join("values")).unwrap().len());
    }
    assert!(sizes[29] <= 3 * 20 * 6_000, "{sizes:?}");
    assert!(store.size_on_disk_bytes().unwrap() >= sizes[29]);
}

#[test]
fn flushing_from_another_thread_keeps_what_was_applied_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let flusher = store.flusher();
    let (ask, asked) = std::sync::mpsc::sync_channel::<u64>(4);
    let (tell, told) = std::sync::mpsc::sync_channel::<u64>(400);
    let thread = std::thread::spawn(move || {
        for n in asked {
            flusher.flush().unwrap();
            tell.send(n).unwrap();
        }
    });
    for n in 0..300 {
        store.apply(step(n)).unwrap();
        if n % 3 == 0 {
            ask.send(n).unwrap();
        }
        if n % 7 == 0 {
            assert!(contents(&store).unwrap() == model(n), "step {n}");
        }
    }
    drop(ask);
    thread.join().unwrap();
    let acknowledged = told.into_iter().max();
    assert_eq!(acknowledged, Some(297));
    drop(store);
    check(&open(dir.path()), acknowledged);
}

/// Every call to the values file fails once. The store then refuses writes and still reads; and
/// after a power cut that took all that was not synced, everything acknowledged is there, and
/// nothing that was to be overwritten is.
#[test]
fn a_failure_anywhere_loses_nothing_that_was_acknowledged() {
    let mut failures = 0;
    for calls_left in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let copies = tempfile::tempdir().unwrap();
        let (path, synced_copy) = (dir.path().join("values"), copies.path().join("values"));
        let mut store = open(dir.path());
        fs::copy(&path, &synced_copy).unwrap();
        store.shared.writer.lock().unwrap().values.fault =
            Some(Fault { calls_left, path: path.clone(), synced_copy: synced_copy.clone() });
        let mut acknowledged = None;
        let mut failed = false;
        for n in 0..25 {
            let done = store.apply(step(n)).and_then(|()| store.flush());
            match done {
                Ok(()) => acknowledged = Some(n),
                Err(StoreError::Medium { .. }) => {
                    assert!(contents(&store).unwrap() == model(n), "reads go on after a failure");
                    assert!(matches!(store.apply(step(n)), Err(StoreError::Medium { .. })));
                    assert!(matches!(store.flush(), Err(StoreError::Medium { .. })));
                    failed = true;
                    break;
                }
                Err(other) => panic!("{other}"),
            }
        }
        drop(store);
        if !failed {
            break;
        }
        failures += 1;
        fs::copy(&synced_copy, &path).unwrap();
        let mut store = open(dir.path());
        let last = check(&store, acknowledged);
        let next = last.map_or(0, |last| last + 1);
        store.apply(step(next)).unwrap();
        store.flush().unwrap();
        check(&store, Some(next));
    }
    assert!(failures > 50, "{failures} failures");
}

/// A power cut between the durable removal of a scrubbed value and its overwriting: opening the
/// store makes up for it.
#[test]
fn interrupted_overwriting_is_finished_when_the_store_is_opened() {
    let mut made_up_for = 0;
    for calls_left in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        let copies = tempfile::tempdir().unwrap();
        let (path, synced_copy) = (dir.path().join("values"), copies.path().join("values"));
        let mut store = SledStore::open(dir.path(), &StoreKey::new(KEY)).unwrap();
        let mut batch = Batch::default();
        batch.put(Space::Secrets, *b"epoch", [0x77; 200]);
        batch.put(Space::Secrets, *b"other", [0x78; 200]);
        store.apply(batch).unwrap();
        store.flush().unwrap();
        let sealed = raw_bytes(&store, Space::Secrets, b"epoch");
        fs::copy(&path, &synced_copy).unwrap();
        store.shared.writer.lock().unwrap().values.fault =
            Some(Fault { calls_left, path: path.clone(), synced_copy: synced_copy.clone() });
        let mut batch = Batch::default();
        batch.remove(Space::Secrets, *b"epoch");
        store.apply(batch).unwrap();
        let done = store.flush().is_ok();
        drop(store);
        fs::copy(&synced_copy, &path).unwrap();
        let held = medium_holds(dir.path(), &sealed);
        assert!(!(done && held), "acknowledged, and not overwritten");
        let store = SledStore::open(dir.path(), &StoreKey::new(KEY)).unwrap();
        assert_eq!(store.get(Space::Secrets, b"other").unwrap(), Some(vec![0x78; 200]));
        match store.get(Space::Secrets, b"epoch").unwrap() {
            Some(_) => assert!(!done, "acknowledged, and still there"),
            None => {
                assert!(!medium_holds(dir.path(), &sealed), "failed after {calls_left} calls");
                made_up_for += u32::from(held);
            }
        }
    }
    assert!(made_up_for > 0, "no failure came between the removal and the overwriting");
}
