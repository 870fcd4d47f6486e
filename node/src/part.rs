//! A file in the making. What takes long to write lies beside its place, as `.NAME.DIGITS.tearline`, random
//! digits, and takes that place when it is whole; until then what was there stays, and after a failure, too.
//!
//! Whoever writes such a file holds its lock. A command that is killed leaves its file behind, which nobody
//! locks any more: so the next command that makes the same file knows it, and removes it. A medium without locks
//! leaves everything alone.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::files::{beside, folder_of, is_beside, new_private_file, own_uid, regular, sync_parent};

/// A file in the making; it is removed with this value unless it took its place.
#[derive(Debug)]
pub(crate) struct Part {
    place: PathBuf,
    path: PathBuf,
    file: File,
}

impl Part {
    /// Begins a file for this user alone, and removes those of the same place that killed commands left.
    pub(crate) fn begin(place: PathBuf) -> Result<Self, Failure> {
        let failure =
            |e: io::Error| Failure::io(format_args!("cannot write {}", place.display()), &e);
        sweep(&place);
        loop {
            let path = beside(&place)?;
            let file = new_private_file(&path).map_err(failure)?;
            // Before it was locked another command may have taken it for one that was left.
            if lock(&file).map_err(failure)? {
                return Ok(Self { place, path, file });
            }
        }
    }

    /// The file, to be written to.
    pub(crate) const fn file(&self) -> &File {
        &self.file
    }

    /// Where it is, for another process to write to.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where it belongs.
    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// Puts it where it belongs, durably.
    pub(crate) fn take_place(self) -> Result<PathBuf, Failure> {
        self.file
            .sync_all()
            .and_then(|()| fs::rename(&self.path, &self.place))
            .and_then(|()| sync_parent(&self.place))
            .map_err(|e| Failure::io(format_args!("cannot write {}", self.place.display()), &e))?;
        Ok(self.place.clone())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // There is none any more if it took its place.
        let _ = fs::remove_file(&self.path);
    }
}

/// A folder in the making; it is removed with this value unless it took its place.
#[derive(Debug)]
pub(crate) struct PartFolder {
    place: PathBuf,
    path: PathBuf,
    /// The folder, locked as a file in the making is.
    _lock: File,
}

impl PartFolder {
    /// Begins a folder for this user alone, whose place is free or an empty folder, and removes those of the same
    /// place that killed commands left, with what is in them.
    pub(crate) fn begin(place: &Path) -> Result<Self, Failure> {
        let shown = place.display();
        let failure = |e: io::Error| Failure::io(format_args!("cannot write {shown}"), &e);
        let place = std::path::absolute(place).map_err(failure)?;
        match fs::read_dir(&place).map(|mut found| found.next().is_some()) {
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(true) => {
                return Err(Failure::usage(format!("{shown} is not empty"))
                    .hint("name a new folder, and let it take the other's place"));
            }
            Err(error) => return Err(failure(error)),
        }
        sweep_folders(&place);
        loop {
            let path = beside(&place)?;
            DirBuilder::new().mode(0o700).create(&path).map_err(failure)?;
            match File::open(&path) {
                // Before it was locked another command may have taken it for one that was left.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => {
                    let folder = opened.map_err(failure)?;
                    if lock(&folder).map_err(failure)? {
                        return Ok(Self { place, path, _lock: folder });
                    }
                }
            }
        }
    }

    /// Where it is, for another process to write into.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts it where it belongs, durably.
    pub(crate) fn take_place(self) -> Result<PathBuf, Failure> {
        let synced = |folder: &Path| -> io::Result<()> {
            for found in fs::read_dir(folder)? {
                File::open(found?.path())?.sync_all()?;
            }
            File::open(folder)?.sync_all()
        };
        synced(&self.path)
            .and_then(|()| fs::rename(&self.path, &self.place))
            .and_then(|()| sync_parent(&self.place))
            .map_err(|e| Failure::io(format_args!("cannot write {}", self.place.display()), &e))?;
        Ok(self.place.clone())
    }
}

impl Drop for PartFolder {
    fn drop(&mut self) {
        // There is none any more if it took its place.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Locks a new file; false if somebody else has it, or had it and removed it.
fn lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(false),
        // Where there are no locks nobody sweeps.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file.metadata()?.nlink() > 0),
    }
}

/// Removes what was left of a file in the making. What cannot be removed hinders nobody.
pub(crate) fn sweep(place: &Path) {
    let name = place.file_name().unwrap_or_default();
    for found in fs::read_dir(folder_of(place)).into_iter().flatten().flatten() {
        let is_file = found.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && is_beside(&found.file_name(), name) {
            let _ = remove_if_left(&found.path());
        }
    }
}

fn remove_if_left(path: &Path) -> io::Result<()> {
    let file = regular(OpenOptions::new().read(true), path)?;
    if file.metadata()?.uid() == own_uid() && file.try_lock().is_ok() {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Removes what was left of a folder in the making.
fn sweep_folders(place: &Path) {
    let name = place.file_name().unwrap_or_default();
    for found in fs::read_dir(folder_of(place)).into_iter().flatten().flatten() {
        let is_folder = found.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && is_beside(&found.file_name(), name) {
            let _ = remove_folder_if_left(&found.path());
        }
    }
}

fn remove_folder_if_left(path: &Path) -> io::Result<()> {
    let folder = File::open(path)?;
    if folder.metadata()?.uid() == own_uid() && folder.try_lock().is_ok() {
        fs::remove_dir_all(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_part_takes_its_place_or_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("out");
        fs::write(&place, "before").unwrap();
        let part = Part::begin(place.clone()).unwrap();
        part.file().write_all(b"half").unwrap();
        assert_eq!((fs::read(&place).unwrap(), names(folder.path())), (b"before".to_vec(), 2));
        drop(part);
        assert_eq!((fs::read(&place).unwrap(), names(folder.path())), (b"before".to_vec(), 1));
        let part = Part::begin(place.clone()).unwrap();
        fs::write(part.path(), "after").unwrap();
        part.take_place().unwrap();
        assert_eq!((fs::read(&place).unwrap(), names(folder.path())), (b"after".to_vec(), 1));
    }

    #[test]
    fn what_a_killed_command_left_goes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("out");
        let living = Part::begin(place.clone()).unwrap();
        let left = beside(&place).unwrap();
        fs::write(&left, "left").unwrap();
        // Of another file, of none, and what is no file.
        let other = beside(&folder.path().join("outer")).unwrap();
        let alike = [
            ".out.0123456789abcdef",
            ".out.0123456789abcde.tearline",
            ".out.0123456789abcdeg.tearline",
            ".out.",
            ".out..tearline",
            "out.0123456789abcdef.tearline",
        ];
        let kept: Vec<PathBuf> = alike
            .iter()
            .map(|name| folder.path().join(name))
            .chain([other, place.clone()])
            .collect();
        kept.iter().for_each(|path| fs::write(path, "kept").unwrap());
        let (link, inside) = (beside(&place).unwrap(), beside(&place).unwrap());
        symlink(&place, &link).unwrap();
        fs::create_dir(&inside).unwrap();

        let next = Part::begin(place.clone()).unwrap();
        assert!(!left.exists());
        assert!(living.path().exists() && link.is_symlink() && inside.is_dir());
        for path in kept {
            assert_eq!(fs::read(&path).unwrap(), b"kept", "{}", path.display());
        }
        fs::write(living.path(), "first").unwrap();
        living.take_place().unwrap();
        fs::write(next.path(), "second").unwrap();
        next.take_place().unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"second");
    }

    #[test]
    fn a_folder_that_a_killed_command_left_goes_with_what_is_in_it_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("feed");
        let living = PartFolder::begin(&place).unwrap();
        let (left, other) = (beside(&place).unwrap(), beside(&folder.path().join("fee")).unwrap());
        let (link, file) = (beside(&place).unwrap(), beside(&place).unwrap());
        for path in [&left, &other] {
            fs::create_dir(path).unwrap();
            fs::write(path.join("manifest.json"), "clear").unwrap();
        }
        symlink(&other, &link).unwrap();
        fs::write(&file, "kept").unwrap();
        let next = PartFolder::begin(&place).unwrap();
        assert!(!left.exists());
        assert!(living.path().is_dir() && other.is_dir() && link.is_symlink() && file.is_file());
        drop(living);
        fs::write(next.path().join("manifest.json"), "whole").unwrap();
        next.take_place().unwrap();
        assert_eq!(fs::read(place.join("manifest.json")).unwrap(), b"whole");
    }

    #[test]
    fn a_file_that_another_command_takes_for_a_leftover_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = new_private_file(&path).unwrap();
        let swept = File::open(&path).unwrap();
        swept.try_lock().unwrap();
        assert!(!lock(&file).unwrap(), "it is being swept");
        fs::remove_file(&path).unwrap();
        drop(swept);
        assert!(!lock(&file).unwrap(), "it was swept");
        assert!(lock(&new_private_file(&path).unwrap()).unwrap());
    }
}
