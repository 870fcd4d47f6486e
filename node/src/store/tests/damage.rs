//! Bit rot and cut files: an error or no harm, never a panic and never a wrong value.
//! `TEARLINE_FLIPS` sets how many bytes of each file are flipped.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

/// A store with pages, deltas and scrubbed values, and its files.
fn sample() -> (tempfile::TempDir, Model, Vec<(PathBuf, Vec<u8>)>) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    for n in 0..40 {
        store.apply(step(n)).unwrap();
        store.flush().unwrap();
    }
    drop(store);
    // Opened once more, so that sled has written a snapshot.
    drop(open(dir.path()));
    let files = files(dir.path());
    let images = files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    (dir, model(39), images)
}

/// Opens the damaged store and reads everything in every way.
fn examine(dir: &Path, expected: &Model) -> &'static str {
    let opened =
        catch_unwind(AssertUnwindSafe(|| SledStore::open_with(dir, &StoreKey::new(KEY), SMALL)));
    let mut store = match opened.expect("opening panics") {
        Err(OpenError::Damaged { .. }) => return "refused as damaged",
        Err(OpenError::Version { .. }) => return "refused as of another version",
        Err(OpenError::WrongKey) => return "refused as of another key",
        Err(error @ (OpenError::InUse { .. } | OpenError::Clock | OpenError::Medium { .. })) => {
            assert!(!error.to_string().contains("lock"), "{error}");
            return "refused as unreadable";
        }
        Ok(store) => store,
    };
    let mut damaged = false;
    for ((space, key), value) in expected {
        match store.get(*space, key) {
            Ok(found) => assert_eq!(found.as_ref(), Some(value), "a wrong value"),
            Err(StoreError::Damaged { .. }) => damaged = true,
            Err(other) => panic!("{other}"),
        }
    }
    match contents(&store) {
        Ok(found) => assert!(found == *expected, "a scan sees something else"),
        Err(StoreError::Damaged { .. }) => damaged = true,
        Err(other) => panic!("{other}"),
    }
    // Writing may find the damage too; it must not spread.
    for n in 40..45 {
        if store.apply(step(n)).and_then(|()| store.flush()).is_err() {
            return "refused on writing";
        }
    }
    if damaged { "a value is refused" } else { "no harm" }
}

fn restore(dir: &Path, images: &[(PathBuf, Vec<u8>)]) {
    for path in files(dir) {
        if !images.iter().any(|(kept, _)| *kept == path) {
            fs::remove_file(path).unwrap();
        }
    }
    for (path, bytes) in images {
        fs::write(path, bytes).unwrap();
    }
}

/// Positions of the bytes that say something: not deep inside long stretches of one byte.
fn telling(bytes: &[u8]) -> Vec<usize> {
    (0..bytes.len())
        .filter(|at| {
            let near = &bytes[at.saturating_sub(8)..(at + 8).min(bytes.len())];
            near.iter().any(|byte| *byte != near[0])
        })
        .collect()
}

#[test]
fn a_flipped_byte_is_noticed_or_harmless() {
    let flips: usize =
        std::env::var("TEARLINE_FLIPS").map_or(40, |text| text.parse().expect("a number"));
    let (dir, expected, images) = sample();
    assert_eq!(examine(dir.path(), &expected), "no harm");
    let mut outcomes: BTreeMap<(String, &str), u32> = BTreeMap::new();
    for (path, bytes) in &images {
        let telling = telling(bytes);
        let stride = telling.len().div_ceil(flips).max(1);
        for (nth, at) in telling.iter().step_by(stride).enumerate() {
            restore(dir.path(), &images);
            let mut bad = bytes.clone();
            bad[*at] ^= 1 << (nth % 8);
            fs::write(path, &bad).unwrap();
            let name = path.strip_prefix(dir.path()).unwrap().display().to_string();
            let outcome = examine(dir.path(), &expected);
            *outcomes.entry((name, outcome)).or_default() += 1;
        }
    }
    println!("{outcomes:#?}");
    let noticed = outcomes.iter().filter(|((_, outcome), _)| *outcome != "no harm");
    assert!(noticed.map(|(_, count)| count).sum::<u32>() > 10, "{outcomes:?}");
}

#[test]
fn a_cut_or_missing_file_is_noticed_or_harmless() {
    let (dir, expected, images) = sample();
    let mut outcomes: BTreeMap<(String, &str), u32> = BTreeMap::new();
    for (path, bytes) in &images {
        let name = path.strip_prefix(dir.path()).unwrap().display().to_string();
        for part in 0..8 {
            restore(dir.path(), &images);
            fs::write(path, &bytes[..bytes.len() * part / 8]).unwrap();
            let outcome = examine(dir.path(), &expected);
            *outcomes.entry((name.clone(), outcome)).or_default() += 1;
        }
        restore(dir.path(), &images);
        fs::remove_file(path).unwrap();
        let outcome = examine(dir.path(), &expected);
        *outcomes.entry((name, outcome)).or_default() += 1;
    }
    println!("{outcomes:#?}");
}

#[test]
fn a_missing_index_is_not_taken_for_a_new_store() {
    let (dir, ..) = sample();
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    let refused = SledStore::open(dir.path(), &StoreKey::new(KEY)).err();
    assert!(matches!(refused, Some(OpenError::Damaged { .. })), "{refused:?}");
}

#[test]
fn an_unfinished_snapshot_is_no_obstacle() {
    let (dir, expected, _) = sample();
    fs::write(dir.path().join("index/snap.FFFFFFFFFFFFFFFF.generating"), b"half").unwrap();
    assert_eq!(examine(dir.path(), &expected), "no harm");
}

#[test]
fn values_of_another_store_are_refused() {
    let (dir, ..) = sample();
    let (other, ..) = sample();
    fs::copy(other.path().join("values"), dir.path().join("values")).unwrap();
    let refused = SledStore::open(dir.path(), &StoreKey::new(KEY)).err();
    assert!(matches!(refused, Some(OpenError::Damaged { .. })), "{refused:?}");
}

#[test]
fn a_creation_that_was_cut_short_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    fs::rename(dir.path().join("index"), dir.path().join("index.new")).unwrap();
    fs::remove_file(dir.path().join("index.new/db")).unwrap();
    let mut store = open(dir.path());
    assert_eq!(last_step(&store), None);
    store.apply(step(0)).unwrap();
    store.flush().unwrap();
    drop(store);
    check(&open(dir.path()), Some(0));
}

/// A store whose last change is its largest, as after one import: and the state it should have.
fn sample_of_one_change() -> (tempfile::TempDir, Model) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = SledStore::open(dir.path(), &StoreKey::new(KEY)).unwrap();
    let mut batch = Batch::default();
    for n in 0_u64..200 {
        batch.put(Space::Rows, n.to_be_bytes(), vec![n as u8; 10]);
    }
    let expected = batch.writes.iter().cloned();
    let expected = expected.map(|(space, key, value)| ((space, key), value.unwrap())).collect();
    store.apply(batch).unwrap();
    store.flush().unwrap();
    (dir, expected)
}

/// sled takes damage in its log for the log's end. The store must not: neither when that costs one
/// change, nor by what sled does to a log that it believes has ended.
#[test]
fn a_flipped_bit_loses_no_change_and_a_refused_store_stays_as_it_was() {
    let (dir, expected) = sample_of_one_change();
    let images: Vec<_> =
        files(dir.path()).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    let path = dir.path().join("index/db");
    let (_, bytes) = images.iter().find(|(of, _)| *of == path).unwrap();
    let telling = telling(bytes);
    let mut refused = 0;
    for nth in 0..FLIPS {
        restore(dir.path(), &images);
        let at = telling[(2 * nth + 1) * telling.len() / (2 * FLIPS)];
        let mut bad = bytes.clone();
        bad[at] ^= 1 << (nth % 8);
        fs::write(&path, &bad).unwrap();
        match SledStore::open(dir.path(), &StoreKey::new(KEY)) {
            Ok(store) => assert!(contents(&store).unwrap() == expected, "lost by a flip at {at}"),
            Err(OpenError::Damaged { .. }) => {
                refused += 1;
                assert!(fs::read(&path).unwrap() == bad, "a refusal changed the index");
                let again = SledStore::open(dir.path(), &StoreKey::new(KEY)).err();
                assert!(matches!(again, Some(OpenError::Damaged { .. })), "{again:?}");
                let checked = check_folder(dir.path(), &StoreKey::new(KEY));
                assert!(matches!(checked, Err(OpenError::Damaged { .. })), "{checked:?}");
            }
            Err(other) => panic!("a flip at {at}: {other}"),
        }
    }
    assert!(refused > 0, "no flip hit anything");
}

#[test]
fn a_check_reads_every_value_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(check_folder(dir.path(), &StoreKey::new(KEY)).unwrap(), Checked::default());
    let (dir, expected, images) = sample();
    let key = StoreKey::new(KEY);
    let counted = check_folder(dir.path(), &key).unwrap();
    assert_eq!(counted.values, expected.len() as u64);
    let after = files(dir.path()).into_iter().map(|path| (path.clone(), fs::read(path).unwrap()));
    assert!(after.collect::<Vec<_>>() == images, "a check changed a file");

    let store = open(dir.path());
    assert_eq!(store.checker().check(&mut |_| {}).unwrap(), counted);
    assert!(matches!(check_folder(dir.path(), &key), Err(OpenError::InUse { .. })));
    let extent = stored_extent(&store);
    drop(store);
    let values = dir.path().join("values");
    let mut bytes = fs::read(&values).unwrap();
    bytes[extent.offset as usize] ^= 1;
    fs::write(&values, bytes).unwrap();
    assert!(matches!(check_folder(dir.path(), &key), Err(OpenError::Damaged { .. })));
    // The rest of it can be read, so it opens; reading it through says what is wrong.
    let failed = open(dir.path()).checker().check(&mut |_| {});
    assert!(matches!(failed, Err(StoreError::Damaged { .. })), "{failed:?}");
}

/// Where one of the sample's values is.
fn stored_extent(store: &SledStore) -> run::Extent {
    let layers = store.shared.layers.read().unwrap();
    let found = model(39).into_keys().find_map(|(space, key)| {
        let slot = layers.find_durable(&store.shared.pages, &full_key(space, &key)).unwrap();
        match slot {
            Some(run::Slot::Stored(extent)) => Some(extent),
            _ => None,
        }
    });
    found.unwrap()
}

/// Places at which a bit is flipped.
const FLIPS: usize = 25;
