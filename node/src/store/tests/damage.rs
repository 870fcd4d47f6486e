//! Bit rot and cut files: an error or no harm, never a panic and never a wrong value.
//! `TEARLINE_FLIPS` sets how many bytes of each file are flipped.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tearline_crdt::store::{Scan, scan_past_damage};

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
            Err(error) if error.is_damage() => damaged = true,
            Err(other) => panic!("{other}"),
        }
    }
    match contents(&store) {
        Ok(found) => assert!(found == *expected, "a scan sees something else"),
        Err(error) if error.is_damage() => damaged = true,
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
    assert_eq!(check_folder(dir.path(), &StoreKey::new(KEY)).unwrap().values, 0);
    let (dir, expected, images) = sample();
    let key = StoreKey::new(KEY);
    let counted = check_folder(dir.path(), &key).unwrap();
    assert_eq!((counted.values, counted.damaged()), (expected.len() as u64, 0));
    let after = files(dir.path()).into_iter().map(|path| (path.clone(), fs::read(path).unwrap()));
    assert!(after.collect::<Vec<_>>() == images, "a check changed a file");

    let store = open(dir.path());
    assert_eq!(store.checker().check(&mut |_| {}).unwrap().bytes, counted.bytes);
    assert!(matches!(check_folder(dir.path(), &key), Err(OpenError::InUse { .. })));
    let stored = stored(&store);
    drop(store);
    // Every other one: the rest can be read, so it opens; reading it through names what cannot.
    let hurt: Vec<_> = stored.into_iter().step_by(2).collect();
    hurt.iter().for_each(|(_, extent)| flip(dir.path(), extent.offset));
    let checked = check_folder(dir.path(), &key).unwrap();
    let beside = open(dir.path()).checker().check(&mut |_| {}).unwrap();
    for checked in [checked, beside] {
        let named: Vec<_> = checked
            .damaged
            .iter()
            .map(|error| match error {
                StoreError::Damaged { space, key } => (*space, key.clone()),
                other => panic!("{other}"),
            })
            .collect();
        assert!(named.iter().eq(hurt.iter().map(|(key, _)| key)), "{named:?}");
        assert_eq!(checked.values + checked.damaged(), expected.len() as u64);
    }
}

/// The sample's values that are in the values file, and where.
fn stored(store: &SledStore) -> Vec<((Space, Vec<u8>), run::Extent)> {
    let layers = store.shared.layers.read().unwrap();
    let found = model(39).into_keys().filter_map(|(space, key)| {
        let slot = layers.find_durable(&store.shared.pages, &full_key(space, &key)).unwrap();
        match slot {
            Some(run::Slot::Stored(extent)) => Some(((space, key), extent)),
            _ => None,
        }
    });
    found.collect()
}

/// Changes a bit of the values file.
fn flip(dir: &Path, at: u64) {
    let values = dir.join("values");
    let mut bytes = fs::read(&values).unwrap();
    bytes[at as usize] ^= 1;
    fs::write(&values, bytes).unwrap();
}

#[test]
fn a_scan_past_damage_names_what_is_damaged_and_goes_on() {
    let (dir, expected, _) = sample();
    let store = open(dir.path());
    let hurt: Vec<_> = stored(&store).into_iter().step_by(3).collect();
    drop(store);
    hurt.iter().for_each(|(_, extent)| flip(dir.path(), extent.offset));
    let store = open(dir.path());
    let (mut found, mut damaged) = (Model::new(), Vec::new());
    for space in Space::ALL {
        let scan: &Scan<'_> = &|from, visit| store.scan(space, b"", from, visit);
        scan_past_damage(scan, b"", &mut |key, value| {
            match value {
                Ok(value) => drop(found.insert((space, key.to_vec()), value.to_vec())),
                Err(error) => {
                    assert!(matches!(&error, StoreError::Damaged { key: of, .. } if of == key));
                    damaged.push((space, key.to_vec()));
                }
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    }
    assert!(damaged.len() > 3 && damaged.iter().eq(hurt.iter().map(|(key, _)| key)), "{damaged:?}");
    let rest = expected.into_iter().filter(|(key, _)| !damaged.contains(key));
    assert!(found == rest.collect::<Model>(), "what is whole was not all found");
}

/// Without a page of keys nobody knows what there is: nothing goes on as if it were less.
#[test]
fn a_rotten_page_of_keys_is_told_from_a_rotten_value_wherever_it_is_met() {
    let (dir, expected, images) = sample();
    let store = open(dir.path());
    let pages: Vec<_> = store.shared.layers.read().unwrap().pages.clone().into_iter().collect();
    drop(store);
    assert!(pages.len() > 1, "one page has all keys");
    let keys_damaged = |error: &StoreError| matches!(error, StoreError::KeysDamaged { .. });
    for (nth, (_, page)) in pages.iter().enumerate() {
        for part in 0..4 {
            restore(dir.path(), &images);
            flip(dir.path(), page.extent.offset + u64::from(page.extent.len) * part / 4);
            let checked = check_folder(dir.path(), &StoreKey::new(KEY));
            assert!(matches!(checked, Err(OpenError::Damaged { .. })), "{checked:?}");
            let mut store = open(dir.path());
            let read = store.checker().check(&mut |_| {}).unwrap_err();
            assert!(keys_damaged(&read), "{read}");
            let mut hidden = 0;
            for ((space, key), value) in &expected {
                match store.get(*space, key) {
                    Ok(found) => assert_eq!(found.as_ref(), Some(value)),
                    Err(error) => {
                        assert!(keys_damaged(&error), "{error}");
                        hidden += 1;
                    }
                }
            }
            assert!(hidden > 0 || nth > 0, "the page holds nothing");
            let scanned = contents(&store).unwrap_err();
            assert!(keys_damaged(&scanned), "{scanned}");
            let refused = (40..200)
                .find_map(|n| store.apply(step(n)).and_then(|()| store.flush()).err())
                .unwrap();
            assert!(keys_damaged(&refused), "{refused}");
            let again = store.apply(step(0)).unwrap_err();
            assert!(keys_damaged(&again), "{again}");
        }
    }
}

/// Places at which a bit is flipped.
const FLIPS: usize = 25;
