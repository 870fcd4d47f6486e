//! What commands leave behind that were killed: files of secrets that were written and not yet moved
//! to their place, backups in the making, and homes that were restored by half. The former two go when the home
//! is taken next, the latter when a restore is said again.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::anew;
use crate::failure::Failure;
use crate::files::{
    create_private, is_beside, new_private_file, overwrite, regular, sync_parent, write_atomically,
};
use crate::home::{Home, Lock};
use crate::part;

/// Stands in a store from the first step of a restore to the last.
const RESTORING: &str = "restoring";
/// The files of secrets, which are written under the lock alone.
const SECRETS: [&str; 3] = ["device.key", "agency.key", anew::KEY];

impl Home {
    /// Overwrites and removes what was to become a file of secrets, and was not moved there.
    pub(crate) fn sweep(&self, _lock: &Lock) -> Result<(), Failure> {
        for folder in [self.root().to_owned(), self.store()] {
            for left in fs::read_dir(&folder).into_iter().flatten().flatten() {
                if is_leftover(&left.file_name()) {
                    destroy(left.path())?;
                }
            }
        }
        if self.device_key().exists() {
            // The restore had come to its end.
            let _ = fs::remove_file(self.restoring());
        }
        if let Ok(place) = fs::read(self.making()) {
            // On a medium that is not there now it is left to whoever makes the same file again.
            part::sweep(Path::new(OsStr::from_bytes(&place)));
            let _ = fs::remove_file(self.making());
        }
        Ok(())
    }

    /// Notes where a file is being made outside of the home.
    pub(crate) fn begin_part(&self, _lock: &Lock, place: &Path) -> Result<(), Failure> {
        let note = self.making();
        write_atomically(&note, place.as_os_str().as_bytes())
    }

    /// It is there, or was given up.
    pub(crate) fn end_part(&self, _lock: &Lock) -> Result<(), Failure> {
        let note = self.making();
        fs::remove_file(&note)
            .map_err(|e| Failure::io(format_args!("cannot remove {}", note.display()), &e))
    }

    fn making(&self) -> PathBuf {
        self.root().join("making")
    }

    /// Fails where a restore into this home broke off.
    pub(crate) fn refuse_if_half_restored(&self) -> Result<(), Failure> {
        if !self.is_half_restored() {
            return Ok(());
        }
        Err(Failure::failed(format!("a restore into {} broke off", self.root().display())).hint(
            format!("say it again: {}; or remove the folder", self.command("backup restore FILE")),
        ))
    }

    fn is_half_restored(&self) -> bool {
        self.restoring().exists() && !self.device_key().exists()
    }

    /// Clears away what a restore left that broke off, and notes that another begins. Refuses where
    /// there is anything else.
    pub(crate) fn begin_restore(&self, lock: &Lock) -> Result<(), Failure> {
        if self.is_half_restored() {
            self.undo_restore(lock)?;
        }
        self.refuse_if_initialised()?;
        if self.store().symlink_metadata().is_ok() {
            let what = format!("{} holds a store already", self.root().display());
            return Err(Failure::failed(what).hint("restore into a new folder: --home NEW"));
        }
        create_private(&self.store())?;
        let note = self.restoring();
        new_private_file(&note)
            .and_then(|file| file.sync_all())
            .and_then(|()| sync_parent(&note))
            .map_err(|e| Failure::io(format_args!("cannot write {}", note.display()), &e))
    }

    /// Removes what a restore wrote that did not come to its end.
    pub(crate) fn undo_restore(&self, _lock: &Lock) -> Result<(), Failure> {
        if self.agency_key().exists() {
            destroy(self.agency_key())?;
        }
        let store = self.store();
        let io = |e: io::Error| Failure::io(format_args!("cannot clear {}", store.display()), &e);
        for left in fs::read_dir(&store).map_err(io)? {
            let left = left.map_err(io)?;
            if left.file_type().map_err(io)?.is_dir() {
                fs::remove_dir_all(left.path()).map_err(io)?;
            } else if left.file_name() != RESTORING {
                fs::remove_file(left.path()).map_err(io)?;
            }
        }
        // The note goes last.
        fs::remove_dir_all(&store).map_err(io)
    }

    /// The home is whole.
    pub(crate) fn end_restore(&self, _lock: &Lock) -> Result<(), Failure> {
        let note = self.restoring();
        fs::remove_file(&note)
            .and_then(|()| sync_parent(&note))
            .map_err(|e| Failure::io(format_args!("cannot remove {}", note.display()), &e))
    }

    fn restoring(&self) -> PathBuf {
        self.store().join(RESTORING)
    }
}

/// Overwrites a file and removes it.
fn destroy(path: PathBuf) -> Result<(), Failure> {
    regular(File::options().write(true), &path)
        .and_then(overwrite)
        .and_then(|()| fs::remove_file(&path))
        .map_err(|e| Failure::io(format_args!("cannot destroy {}", path.display()), &e))
}

/// Whether [`write_atomically`](crate::files::write_atomically) gives such a name to a file of secrets
/// before it moves it to its place.
fn is_leftover(name: &OsStr) -> bool {
    SECRETS.iter().any(|secret| is_beside(name, OsStr::new(secret)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::beside;
    use crate::home::{Agency, Identity, Kept as _};
    use crate::protection::Protection;

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().join("home")).unwrap();
        home.create().unwrap();
        (folder, home)
    }

    #[test]
    fn secrets_that_were_not_moved_to_their_place_are_overwritten_when_the_home_is_taken() {
        let (folder, home) = home();
        create_private(&home.store()).unwrap();
        let places = [home.device_key(), home.agency_key(), home.store().join(anew::KEY)];
        let others = [home.root().join("note.txt"), home.config(), home.root().join("device")];
        let mut kept = Vec::new();
        for (n, place) in places.iter().enumerate() {
            // As a kill before the move leaves it; with another name for the bytes.
            let left = beside(place).unwrap();
            fs::write(&left, b"secret").unwrap();
            let other = folder.path().join(n.to_string());
            fs::hard_link(&left, &other).unwrap();
            kept.push((left, other));
        }
        let strange = [home.root().join(".device.key.short"), home.root().join(".device.key")];
        let strange = strange.into_iter().chain(others.iter().map(|path| beside(path).unwrap()));
        let strange: Vec<PathBuf> = strange.collect();
        strange.iter().for_each(|path| fs::write(path, b"not ours").unwrap());
        drop(home.lock().unwrap());
        for (left, other) in kept {
            assert!(!left.exists(), "{}", left.display());
            assert_eq!(fs::read(other).unwrap(), [0; 6]);
        }
        for path in strange {
            assert_eq!(fs::read(&path).unwrap(), b"not ours", "{}", path.display());
        }
    }

    #[test]
    fn a_backup_that_was_killed_in_the_making_goes_when_the_home_is_taken() {
        let (folder, home) = home();
        let place = folder.path().join("kb");
        let lock = home.lock().unwrap();
        home.begin_part(&lock, &place).unwrap();
        // As a kill leaves it: nobody holds its lock.
        let left = beside(&place).unwrap();
        fs::write(&left, b"half").unwrap();
        fs::write(&place, b"another's").unwrap();
        drop(lock);
        drop(home.lock().unwrap());
        assert!(!left.exists() && !home.making().exists());
        assert_eq!(fs::read(&place).unwrap(), b"another's");
        let lock = home.lock().unwrap();
        home.begin_part(&lock, &place).unwrap();
        home.end_part(&lock).unwrap();
        assert!(!home.making().exists());
    }

    /// A restore that is killed after each of its steps.
    #[test]
    fn a_restore_that_broke_off_is_begun_again_and_nothing_else_is_taken_for_one() {
        let agency = Agency::generate("A", "NE").unwrap();
        let agency = agency.encode(&Protection::Clear).unwrap();
        for steps in 0..=3 {
            let (_folder, home) = home();
            let lock = home.lock().unwrap();
            home.begin_restore(&lock).unwrap();
            if steps > 0 {
                fs::create_dir(home.store().join("index")).unwrap();
                fs::write(home.store().join("values"), b"half").unwrap();
            }
            if steps > 1 {
                write_atomically(&home.agency_key(), &agency).unwrap();
            }
            if steps > 2 {
                let identity = Identity::generate().unwrap().encode(&Protection::Clear).unwrap();
                write_atomically(&home.device_key(), &identity).unwrap();
            }
            drop(lock);
            let lock = home.lock().unwrap();
            if steps > 2 {
                home.refuse_if_half_restored().unwrap();
                assert!(home.begin_restore(&lock).is_err(), "it is a home");
                assert!(home.store().join("values").exists() && home.agency_key().exists());
                continue;
            }
            let told = home.refuse_if_half_restored().unwrap_err();
            assert!(told.hint.unwrap().contains("backup restore"));
            home.begin_restore(&lock).unwrap();
            assert!(!home.agency_key().exists() && !home.store().join("values").exists());
            home.end_restore(&lock).unwrap();
            home.refuse_if_half_restored().unwrap();
            assert!(home.begin_restore(&lock).is_err(), "a store without a note is somebody's");
        }
    }
}
