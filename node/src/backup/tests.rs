//! A home goes into a file and comes out as a new life of the same device; a file that is not as it
//! was written makes no home.

use std::fs;
use std::path::PathBuf;

use tearline_crdt::store::Visit;

use super::*;
use crate::protection::{KeyFile, NewSources, Secret, Sources};

struct Case {
    folder: tempfile::TempDir,
    opener: Opener,
    sealing: Sealing,
    home: Home,
}

impl Case {
    /// A home with these values in its store, and a key file for backups.
    fn new(values: &[(Space, Vec<u8>, Vec<u8>)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stick = folder.path().join("stick");
        let secret = Secret::KeyFile(KeyFile::create(&stick).unwrap());
        let opener = Opener::new(Sources { key_file: Some(stick), ..Sources::default() });
        let home = Home::at(folder.path().join("home")).unwrap();
        home.create().unwrap();
        let lock = home.lock().unwrap();
        let identity = Identity::generate().unwrap();
        let agency = Agency::generate("A", "NE").unwrap();
        home.write_keys(&lock, &identity, Some(&agency), &Protection::Clear).unwrap();
        write_atomically(&home.config(), b"name = \"KILO\" # mine\n").unwrap();
        let mut store = SledStore::open(&home.store(), &StoreKey::new(identity.store_key)).unwrap();
        let mut batch = Batch::default();
        for (space, key, value) in values {
            batch.put(*space, key.as_slice(), value.as_slice());
        }
        store.apply(batch).unwrap();
        store.flush().unwrap();
        Self { folder, opener, sealing: Sealing::new(&secret).unwrap(), home }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn create(&mut self) -> (PathBuf, Contents) {
        let file = self.path("backup");
        let lock = self.home.lock().unwrap();
        let made = create(
            &self.home,
            &lock,
            &mut self.opener,
            &self.sealing,
            &file,
            WallTime(1_700_000_000_000),
        );
        (file, made.unwrap())
    }

    fn restore(&mut self, file: &Path, name: &str) -> Result<(Home, Restored), Failure> {
        let home = Home::at(self.path(name)).unwrap();
        let restored = restore(file, &home, &mut self.opener, |opener| {
            opener.protection_for_new(&NewSources::default())
        })?;
        Ok((home, restored))
    }
}

fn values() -> Vec<(Space, Vec<u8>, Vec<u8>)> {
    let mut values = vec![
        (Space::Logs, vec![0, 0, 0, 1], vec![1; 40]),
        (Space::Records, vec![7; 16], vec![2; 300]),
        (Space::Entries, vec![1; 12], vec![3; tearline_crdt::store::VALUE_BYTES_MAX]),
        (Space::Secrets, vec![2], Vec::new()),
    ];
    values.extend((0..500_u16).map(|n| (Space::Rows, n.to_be_bytes().to_vec(), vec![5; 700])));
    values
}

fn dump(home: &Home, opener: &mut Opener) -> Vec<(Space, Vec<u8>, Vec<u8>)> {
    let identity = home.read_identity(opener).unwrap();
    let store = SledStore::open(&home.store(), &StoreKey::new(identity.store_key)).unwrap();
    let mut all = Vec::new();
    for space in Space::ALL {
        let visit: &mut Visit<'_> = &mut |key, value| {
            all.push((space, key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        };
        store.scan(space, &[], &[], visit).unwrap();
    }
    all
}

#[test]
fn a_home_comes_back_whole_and_in_a_new_life() {
    let mut case = Case::new(&values());
    let (file, made) = case.create();
    assert_eq!((made.logs, made.records, made.name.as_str()), (1, 1, "KILO"));
    assert_eq!(made.agency.as_deref(), Some("A (NE)"));
    assert_eq!(made.created, "2023-11-14T22:13:20.000Z");
    assert_eq!(made.file_bytes, fs::metadata(&file).unwrap().len());
    assert_eq!(inspect(&file, &mut case.opener).unwrap(), made);

    let (new, restored) = case.restore(&file, "new").unwrap();
    assert_eq!(restored.contents, made);
    let old = case.home.read_identity(&mut case.opener).unwrap();
    let again = new.read_identity(&mut case.opener).unwrap();
    assert_eq!(again.device_seed, old.device_seed);
    assert_eq!(again.agreement_seed, old.agreement_seed);
    assert_eq!(again.incarnation, restored.incarnation);
    assert_ne!(again.incarnation, old.incarnation);
    assert_ne!(again.store_key, old.store_key);
    let root = |home: &Home, opener: &mut Opener| home.read_agency(opener).unwrap().unwrap();
    let (old_root, new_root) = (root(&case.home, &mut case.opener), root(&new, &mut case.opener));
    assert_eq!(new_root.root_seed, old_root.root_seed);
    assert_eq!(fs::read(new.config()).unwrap(), fs::read(case.home.config()).unwrap());
    assert_eq!(dump(&new, &mut case.opener), dump(&case.home, &mut case.opener));
    assert!(new.device_method().unwrap().is_some(), "sealed under what opened the backup");
}

#[test]
fn nothing_of_the_home_can_be_read_in_the_file() {
    let secret = b"a canary that must not be found".to_vec();
    let mut case = Case::new(&[(Space::Entries, vec![1], secret.clone())]);
    let (file, _) = case.create();
    let bytes = fs::read(file).unwrap();
    let seed = case.home.read_identity(&mut case.opener).unwrap().device_seed;
    for part in [&secret[..8], &seed[..8], b"KILO"] {
        assert!(!bytes.windows(part.len()).any(|window| window == part));
    }
}

#[test]
fn nothing_is_overwritten() {
    let mut case = Case::new(&values());
    let (file, _) = case.create();
    let before = fs::read(&file).unwrap();
    let lock = case.home.lock().unwrap();
    let again =
        create(&case.home, &lock, &mut case.opener, &case.sealing, &file, WallTime(0)).unwrap_err();
    assert!(again.what.contains("is there already"), "{again}");
    drop(lock);
    assert_eq!(fs::read(&file).unwrap(), before);
    assert!(case.restore(&file, "home").is_err(), "a home that is one");
    case.restore(&file, "new").unwrap();
    assert!(case.restore(&file, "new").is_err(), "restored before");
    fs::create_dir_all(case.path("other/store")).unwrap();
    fs::set_permissions(case.path("other"), std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .unwrap();
    assert!(case.restore(&file, "other").is_err(), "a store without an identity");
    assert!(case.path("other/store").exists());
    assert_eq!(fs::read_dir(case.folder.path()).unwrap().count(), 5, "no file is left behind");
}

#[test]
fn a_file_that_is_not_as_it_was_written_makes_no_home() {
    let mut case = Case::new(&values());
    let (file, _) = case.create();
    let whole = fs::read(&file).unwrap();
    let bad = case.path("bad");
    let half = whole.len() / 2;
    let mut changed = whole.clone();
    changed[half] ^= 1;
    let mut moved = whole.clone();
    let (one, two) = (half, half + stream::CHUNK_BYTES);
    moved[one..one + 40].copy_from_slice(&whole[two..two + 40]);
    for (bytes, says) in [
        (whole[..half].to_vec(), "are not what was sealed"),
        (changed, "are not what was sealed"),
        (moved, "are not what was sealed"),
        ([&whole[..], b"x"].concat(), "are not what was sealed"),
        (whole[..20].to_vec(), "no backup of Tearline"),
        (b"PK".to_vec(), "no backup of Tearline"),
    ] {
        fs::write(&bad, &bytes).unwrap();
        for failure in
            [inspect(&bad, &mut case.opener).unwrap_err(), case.restore(&bad, "new").err().unwrap()]
        {
            assert_eq!(failure.kind, Kind::Integrity, "{failure}");
            assert!(failure.what.contains(says), "{failure}");
        }
    }
    assert!(!case.path("new").exists(), "nothing is written before all is checked");
    let other = KeyFile::create(&case.path("other")).unwrap();
    drop(other);
    let sources = Sources { key_file: Some(case.path("other")), ..Sources::default() };
    let denied = inspect(&file, &mut Opener::new(sources)).unwrap_err();
    assert_eq!(denied.kind, Kind::Denied);
}

#[test]
fn content_that_is_out_of_order_or_cut_under_a_good_seal_is_refused() {
    let mut case = Case::new(&[]);
    let identity = Identity::generate().unwrap();
    let subject = || {
        Item::Subject(Subject {
            created: WallTime(1),
            device: device_id(&identity).0,
            incarnation: 1,
            name: "A".into(),
        })
    };
    let device = || Item::Device(identity.fields());
    let config = || Item::Config(Zeroizing::default());
    let stored = || Item::Stored { space: Space::Meta, key: vec![1], value: Zeroizing::default() };
    let end = |stored| Item::End { stored };
    let mut try_items = |items: Vec<Item>| {
        let mut out = Sealed::begin(Vec::new(), &case.sealing).unwrap();
        items.iter().for_each(|item| item.write(&mut out).unwrap());
        let path = case.folder.path().join("made");
        fs::write(&path, out.finish().unwrap()).unwrap();
        inspect(&path, &mut case.opener)
    };
    assert!(try_items(vec![subject(), device(), config(), stored(), end(1)]).is_ok());
    let other = Item::Device(Identity::generate().unwrap().fields());
    for items in [
        vec![],
        vec![subject(), device(), config()],
        vec![subject(), device(), config(), stored(), end(2)],
        vec![subject(), device(), config(), stored(), end(0)],
        vec![device(), subject(), config(), end(0)],
        vec![subject(), config(), end(0)],
        vec![subject(), device(), config(), config(), end(0)],
        vec![subject(), device(), config(), end(0), end(0)],
        vec![subject(), other, config(), end(0)],
    ] {
        assert_eq!(try_items(items).unwrap_err().kind, Kind::Integrity);
    }
}
