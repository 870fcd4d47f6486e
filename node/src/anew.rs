//! Beginning anew: a device whose store is damaged, or whose home was put back from a copy.
//!
//! A *new life* is a new incarnation: the device begins new logs, so that it forks none of those that
//! others hold more of than it does. Its store stays.
//!
//! A *rebuild* is a new life without the store, which is moved aside to `store.damaged-N`. No later
//! erasure reaches what is in there. So the new store gets a key of its own, and the old key goes with
//! the old store, as a file beside its values that is protected as the device's own secrets are: who
//! destroys that file has destroyed the store.
//!
//! A store that is *gone*, its folder removed or on a disk that is not mounted, must not be begun again by
//! itself: the device would write its logs a second time. So the home names the life that has a store, and
//! such a life does not start without one.
//!
//! A rebuild has three steps, in an order in which none that is cut off forks a log or loses a key:
//! the old key is put into the store; the device gets another key and another life; the store is
//! moved. A store with a key file of another key than the device's was cut off before the last step.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use zeroize::Zeroize as _;

use crate::failure::{Failure, Kind};
use crate::files::{overwrite, read_whole, regular, replace_secret, sync_parent, write_atomically};
use crate::home::{Home, Kept, Lock};
use crate::protection::{Opener, Protection};
use crate::store::{self, Checked, OpenError, StoreKey};

/// The key of a store that is moved aside, in its folder.
pub(crate) const KEY: &str = "store.key";
/// Names the life that has a store.
const MADE: &str = "store.made";
/// Most bytes of it.
const MADE_BYTES_MAX: usize = 64;
/// How the names of stores begin that were moved aside.
const ASIDE_PREFIX: &str = "store.damaged-";

/// The key that a store which was moved aside is sealed under.
struct OldKey([u8; 32]);

impl Kept for OldKey {
    const HEADER: &[u8] = b"tearline store key 1 - secret, opens the store beside it\n";
    const WAY_BACK: &str = "put a copy of this very file back; without one, move the folder that it is in \
        out of the home: what is in it opens to nobody any more";

    fn write_fields(&self, out: &mut Vec<u8>) {
        out.raw(&self.0);
    }

    fn read_fields(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(reader.array("store key")?))
    }
}

impl Drop for OldKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// How the store of a home is.
#[derive(Debug)]
pub enum Condition {
    /// There is none, or nothing was ever written to it.
    Empty,
    /// A rebuild was cut off before it moved it.
    HalfMoved,
    /// It opens, and every value reads.
    Whole(Checked),
    /// It does not.
    Damaged(OpenError),
}

impl Home {
    /// Reads the store through. Fails where that says nothing of the store: it is in use, it has
    /// another key, its medium fails.
    pub fn examine_store(&self, _lock: &Lock, opener: &mut Opener) -> Result<Condition, Failure> {
        let identity = self.read_identity(opener)?;
        if !self.store().exists() {
            return Ok(Condition::Empty);
        }
        if self.is_half_moved(&identity.store_key, opener)? {
            return Ok(Condition::HalfMoved);
        }
        match store::check_folder(&self.store(), &StoreKey::new(identity.store_key)) {
            Ok(checked) if checked.damaged() > 0 => Ok(Condition::Damaged(OpenError::Damaged {
                what: "values do not match their seals",
            })),
            Ok(Checked { values: 0, .. }) => Ok(Condition::Empty),
            Ok(checked) => Ok(Condition::Whole(checked)),
            Err(error @ (OpenError::Damaged { .. } | OpenError::Version { .. })) => {
                Ok(Condition::Damaged(error))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Fails if this life of the device had a store and there is none now.
    pub fn expect_store(&self, incarnation: u64) -> Result<(), Failure> {
        let folder = self.store();
        if !store::is_new(&folder)? {
            return Ok(());
        }
        let made = read_whole(&self.made(), MADE_BYTES_MAX)?;
        if made.is_none_or(|made| made != made_text(incarnation)) {
            return Ok(());
        }
        let what =
            format!("the store of this device is gone: {} is missing or empty", folder.display());
        Err(Failure::new(Kind::Integrity, what).hint(format!(
            "put it back, or mount the disk that it is on; if it is lost: {}",
            self.command("doctor --rebuild")
        )))
    }

    /// Notes that this life of the device has a store.
    pub fn note_store(&self, incarnation: u64) -> Result<(), Failure> {
        let text = made_text(incarnation);
        if read_whole(&self.made(), MADE_BYTES_MAX)?.is_some_and(|made| made == text) {
            return Ok(());
        }
        write_atomically(&self.made(), &text)
    }

    fn made(&self) -> PathBuf {
        self.root().join(MADE)
    }

    /// Moves the store aside and begins a new life of the device: the next start makes an empty
    /// store, which the peers refill. Returns where the old store is now; `None` if there was none.
    pub fn rebuild(&self, _lock: &Lock, opener: &mut Opener) -> Result<Option<PathBuf>, Failure> {
        let (mut identity, protection) = self.read_device(opener)?;
        let store = self.store();
        let is_there = store.exists();
        if !self.is_half_moved(&identity.store_key, opener)? {
            if is_there {
                let old = OldKey(identity.store_key).encode(&protection)?;
                write_atomically(&store.join(KEY), &old)?;
            }
            identity.renew_store_key()?;
            identity.reincarnate()?;
            replace_secret(&self.device_key(), &identity.encode(&protection)?)?;
        }
        if !is_there {
            return Ok(None);
        }
        Ok(Some(store::quarantine_damaged(&store)?))
    }

    /// Begins a new life of the device on the store that it has. Returns the new incarnation.
    pub fn begin_new_life(&self, _lock: &Lock, opener: &mut Opener) -> Result<u64, Failure> {
        let (mut identity, protection) = self.read_device(opener)?;
        identity.reincarnate()?;
        replace_secret(&self.device_key(), &identity.encode(&protection)?)?;
        Ok(identity.incarnation)
    }

    /// The stores that were moved aside, in the order of their names.
    pub fn old_stores(&self) -> Result<Vec<PathBuf>, Failure> {
        let io = |e: io::Error| {
            Failure::io(format_args!("cannot read the folder {}", self.root().display()), &e)
        };
        let mut found = Vec::new();
        for entry in fs::read_dir(self.root()).map_err(io)? {
            let entry = entry.map_err(io)?;
            let is_folder = entry.file_type().map_err(io)?.is_dir();
            if is_folder && entry.file_name().to_string_lossy().starts_with(ASIDE_PREFIX) {
                found.push(entry.path());
            }
        }
        found.sort();
        Ok(found)
    }

    /// Destroys a store that was moved aside: its key, and then its files.
    pub fn destroy_old_store(&self, folder: &Path) -> Result<(), Failure> {
        let io =
            |e: io::Error| Failure::io(format_args!("cannot destroy {}", folder.display()), &e);
        match regular(File::options().write(true), &folder.join(KEY)) {
            Ok(key) => overwrite(key).map_err(io)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(error)),
        }
        fs::remove_dir_all(folder).and_then(|()| sync_parent(folder)).map_err(io)
    }

    /// Writes the keys of old stores again under another protection.
    pub(crate) fn protect_old_keys(
        &self,
        opener: &mut Opener,
        protection: &Protection,
    ) -> Result<(), Failure> {
        let folders = self.old_stores()?.into_iter().chain([self.store()]);
        for path in folders.map(|folder| folder.join(KEY)) {
            if let Some((key, _)) = OldKey::read(&path, opener)? {
                replace_secret(&path, &key.encode(protection)?)?;
            }
        }
        Ok(())
    }

    /// Whether a rebuild was cut off between the device's new key and the move of its store.
    fn is_half_moved(&self, device: &[u8; 32], opener: &mut Opener) -> Result<bool, Failure> {
        let old = OldKey::read(&self.store().join(KEY), opener)?;
        Ok(old.is_some_and(|(old, _)| old.0 != *device))
    }
}

fn made_text(incarnation: u64) -> Vec<u8> {
    format!("{incarnation:016x}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use tearline_crdt::store::{Batch, Space, Store as _};

    use super::*;
    use crate::home::Identity;
    use crate::protection::{KeyFile, Method, Secret, Sources};
    use crate::store::SledStore;

    struct Case {
        folder: tempfile::TempDir,
        home: Home,
        lock: Lock,
        opener: Opener,
    }

    impl Case {
        /// A sealed home whose store holds a value.
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let home = Home::at(folder.path().join("home")).unwrap();
            home.create().unwrap();
            let lock = home.lock().unwrap();
            let (opener, protection) = stick(&folder, "stick");
            home.write_keys(&lock, &Identity::generate().unwrap(), None, &protection).unwrap();
            let mut case = Self { folder, home, lock, opener };
            case.write();
            case
        }

        fn write(&mut self) {
            let key = StoreKey::new(self.identity().store_key);
            let mut store = SledStore::open(&self.home.store(), &key).unwrap();
            let mut batch = Batch::default();
            batch.put(Space::Entries, *b"key", *b"value");
            store.apply(batch).unwrap();
            store.flush().unwrap();
        }

        fn identity(&mut self) -> Identity {
            self.home.read_identity(&mut self.opener).unwrap()
        }

        fn condition(&mut self) -> Result<Condition, Failure> {
            self.home.examine_store(&self.lock, &mut self.opener)
        }

        fn rebuild(&mut self) -> Option<PathBuf> {
            self.home.rebuild(&self.lock, &mut self.opener).unwrap()
        }

        fn cut_values(&self) {
            let values =
                File::options().write(true).open(self.home.store().join("values")).unwrap();
            values.set_len(values.metadata().unwrap().len() - 1).unwrap();
        }
    }

    /// An opener that has a new key file, and a protection under it.
    fn stick(folder: &tempfile::TempDir, name: &str) -> (Opener, Protection) {
        let path = folder.path().join(name);
        let secret = Secret::KeyFile(KeyFile::create(&path).unwrap());
        let sources = Sources { key_file: Some(path), ..Sources::default() };
        (Opener::new(sources), Protection::under(Some(&secret)).unwrap())
    }

    #[test]
    fn a_store_is_looked_at_before_anything_is_done() {
        let mut case = Case::new();
        assert!(matches!(case.condition(), Ok(Condition::Whole(Checked { values: 1, .. }))));
        let aside = case.folder.path().join("aside");
        fs::rename(case.home.store(), &aside).unwrap();
        assert!(matches!(case.condition(), Ok(Condition::Empty)));
        fs::rename(&aside, case.home.store()).unwrap();

        // The device's key of another home.
        let (own, foreign) = (fs::read(case.home.device_key()).unwrap(), Identity::generate());
        let (_, protection) = case.home.read_device(&mut case.opener).unwrap();
        let foreign = foreign.unwrap().encode(&protection).unwrap();
        write_atomically(&case.home.device_key(), &foreign).unwrap();
        let refused = case.condition().unwrap_err();
        assert_eq!(refused.kind, Kind::Denied, "{refused}");
        assert!(refused.hint.unwrap().contains("device.key"));
        write_atomically(&case.home.device_key(), &own).unwrap();

        case.cut_values();
        assert!(matches!(case.condition(), Ok(Condition::Damaged(OpenError::Damaged { .. }))));
    }

    #[test]
    fn a_life_that_had_a_store_does_not_begin_another() {
        let mut case = Case::new();
        let life = case.identity().incarnation;
        let aside = case.folder.path().join("aside");
        let mislay = |case: &Case| fs::rename(case.home.store(), &aside).unwrap();
        mislay(&case);
        case.home.expect_store(life).unwrap();
        case.home.note_store(life).unwrap();
        let refused = case.home.expect_store(life).unwrap_err();
        assert_eq!(refused.kind, Kind::Integrity, "{refused}");
        assert!(refused.hint.unwrap().contains("--rebuild"));
        // A disk that is not mounted leaves an empty folder.
        fs::create_dir(case.home.store()).unwrap();
        assert!(case.home.expect_store(life).is_err());
        fs::remove_dir(case.home.store()).unwrap();
        fs::rename(&aside, case.home.store()).unwrap();
        case.home.expect_store(life).unwrap();
        mislay(&case);
        assert_eq!(case.rebuild(), None);
        let after = case.identity().incarnation;
        assert_ne!(after, life);
        case.home.expect_store(after).unwrap();
    }

    #[test]
    fn a_rebuild_keeps_the_device_and_its_protection_and_gives_the_old_key_to_the_old_store() {
        let mut case = Case::new();
        let before = case.identity();
        let aside = case.rebuild().unwrap();
        let after = case.identity();
        assert_eq!(case.home.device_method().unwrap(), Some(Method::KeyFile));
        assert_eq!(after.device_seed, before.device_seed);
        assert_ne!(after.incarnation, before.incarnation);
        assert_ne!(after.store_key, before.store_key);
        assert_eq!(case.home.old_stores().unwrap(), [aside.as_path()]);
        let opens = |key: [u8; 32]| store::check_folder(&aside, &StoreKey::new(key));
        assert!(matches!(opens(after.store_key), Err(OpenError::WrongKey)));
        let (old, protection) = OldKey::read(&aside.join(KEY), &mut case.opener).unwrap().unwrap();
        assert!(matches!(protection, Protection::Sealed(_)));
        assert_eq!(opens(old.0).unwrap().values, 1);

        // Another protection is that of the old key, too.
        let (mut other, protection) = stick(&case.folder, "other");
        case.home.protect(&case.lock, &mut case.opener, &protection).unwrap();
        assert!(OldKey::read(&aside.join(KEY), &mut case.opener).is_err());
        assert!(OldKey::read(&aside.join(KEY), &mut other).unwrap().is_some());
    }

    #[test]
    fn a_destroyed_store_is_gone_and_its_key_is_overwritten() {
        let mut case = Case::new();
        let aside = case.rebuild().unwrap();
        case.write();
        let second = case.rebuild().unwrap();
        assert_eq!(case.home.old_stores().unwrap(), [aside.clone(), second.clone()]);
        // Another name for the bytes of the key, to look at them afterwards.
        let other = case.folder.path().join("other");
        fs::hard_link(aside.join(KEY), &other).unwrap();
        case.home.destroy_old_store(&aside).unwrap();
        assert!(fs::read(&other).unwrap().iter().all(|byte| *byte == 0));
        assert_eq!(case.home.old_stores().unwrap(), [second]);
    }

    /// A rebuild that is cut off after each of its steps, and said again.
    #[test]
    fn a_rebuild_that_broke_off_is_finished_by_saying_it_again() {
        for done in 0..=1 {
            let mut case = Case::new();
            let (mut identity, protection) = case.home.read_device(&mut case.opener).unwrap();
            let before = (identity.store_key, identity.incarnation);
            let old = OldKey(identity.store_key).encode(&protection).unwrap();
            write_atomically(&case.home.store().join(KEY), &old).unwrap();
            if done == 1 {
                identity.renew_store_key().unwrap();
                identity.reincarnate().unwrap();
                let file = identity.encode(&protection).unwrap();
                replace_secret(&case.home.device_key(), &file).unwrap();
            }
            let found = case.condition().unwrap();
            match done {
                0 => assert!(matches!(found, Condition::Whole(_)), "{found:?}"),
                _ => assert!(matches!(found, Condition::HalfMoved), "{found:?}"),
            }
            let half = case.identity().incarnation;
            let aside = case.rebuild().unwrap();
            let after = case.identity();
            assert_eq!(after.incarnation == half, done == 1, "one rebuild is one new life");
            assert!(after.store_key != before.0 && after.incarnation != before.1);
            let (old, _) = OldKey::read(&aside.join(KEY), &mut case.opener).unwrap().unwrap();
            assert_eq!(old.0, before.0);
            case.write();
            assert!(matches!(case.condition(), Ok(Condition::Whole(_))));
        }
    }

    #[test]
    fn a_new_life_keeps_the_store_and_its_key() {
        let mut case = Case::new();
        let before = case.identity();
        let life = case.home.begin_new_life(&case.lock, &mut case.opener).unwrap();
        let after = case.identity();
        assert!(after.incarnation == life && life != before.incarnation);
        assert_eq!(after.store_key, before.store_key);
        assert!(matches!(case.condition(), Ok(Condition::Whole(_))));
    }
}
