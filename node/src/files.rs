//! Files and folders for their owner alone: how they are made, replaced and checked.
//!
//! A file comes into being whole: written beside its place, flushed, moved there, and the folder
//! flushed. A secret that others may read is refused, as `ssh` does.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::failure::Failure;

/// Replaces a file by new bytes, readable by its owner alone: after a crash there is the old file
/// or the new one, whole.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let io = |e: io::Error| Failure::io(format_args!("cannot write {}", path.display()), &e);
    let folder = folder_of(path);
    let temporary = beside(path)?;
    let written = new_private_file(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| File::open(folder)?.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(io)
}

/// Replaces a file of secrets as [`write_atomically`] does, and then overwrites the bytes of the
/// old one where they lay. On a medium that writes elsewhere (flash, snapshots, copy on write) the
/// old bytes may survive that.
pub(crate) fn replace_secret(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let io = |e: io::Error| Failure::io(format_args!("cannot overwrite {}", path.display()), &e);
    let old = match OpenOptions::new().write(true).open(path) {
        Ok(file) => Some(file),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(io(e)),
    };
    write_atomically(path, bytes)?;
    old.map_or(Ok(()), overwrite).map_err(io)
}

/// The folder that a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A name beside a file's place that nobody else uses.
pub(crate) fn beside(path: &Path) -> Result<PathBuf, Failure> {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", random_name()?));
    Ok(path.with_file_name(name))
}

/// This process's user id.
#[must_use]
pub fn own_uid() -> u32 {
    rustix::process::getuid().as_raw()
}

/// Why a file or folder does not keep a secret.
pub(crate) enum Exposure {
    /// It is not there.
    Missing,
    /// Somebody else's.
    NotOurs {
        /// Whose.
        uid: u32,
    },
    /// Others may read or write it.
    Open {
        /// Its permissions.
        mode: u32,
    },
    /// It cannot be looked at.
    Io(io::Error),
}

impl Exposure {
    /// The failure of whoever needed it; `mode_wanted` as for `chmod`.
    pub(crate) fn failure(&self, path: &Path, mode_wanted: &str) -> Failure {
        let path = path.display();
        match self {
            Self::Missing => Failure::failed(format!("{path} is missing")),
            Self::NotOurs { uid } => {
                Failure::failed(format!("{path} belongs to user {uid}, not to you"))
                    .hint("run tearline as the user that made it")
            }
            Self::Open { mode } => {
                Failure::failed(format!("{path} is open to other users (mode {mode:03o})"))
                    .hint(format!("chmod {mode_wanted} {path}"))
            }
            Self::Io(error) => Failure::io(format_args!("cannot look at {path}"), error),
        }
    }
}

/// Whether a file or folder is this user's, and closed to everybody else.
pub(crate) fn private(path: &Path) -> Result<(), Exposure> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => fs::metadata(path),
        other => other,
    };
    let metadata = metadata.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Exposure::Missing,
        _ => Exposure::Io(error),
    })?;
    if metadata.uid() != own_uid() {
        return Err(Exposure::NotOurs { uid: metadata.uid() });
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(Exposure::Open { mode: metadata.mode() & 0o777 });
    }
    Ok(())
}

/// Makes a folder, and those above it, for this user alone; what was made survives a power cut.
pub(crate) fn create_private(path: &Path) -> Result<(), Failure> {
    let made: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .and_then(|()| made.into_iter().try_for_each(sync_parent))
        .map_err(|e| Failure::io(format_args!("cannot make the folder {}", path.display()), &e))
}

/// Makes the entry of a file or folder in the folder above it durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// A new file for this user alone; fails if there is one.
pub(crate) fn new_private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// The bytes of a secret file of this home; none if there is no file; refused if others may read
/// it. A file longer than `bytes_max` gives one byte more than that.
pub(crate) fn read_secret(
    path: &Path,
    bytes_max: usize,
) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    match private(path) {
        Ok(()) => {}
        Err(Exposure::Missing) => return Ok(None),
        Err(exposure) => return Err(exposure.failure(path, "600")),
    }
    read_at_most(path, bytes_max).map(Some)
}

/// The bytes of a secret file that the user named: it may be another user's or a group's, as
/// service managers hand them out, but not everybody's.
pub(crate) fn read_named_secret(
    path: &Path,
    bytes_max: usize,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let found = fs::metadata(path)
        .map_err(|e| Failure::io(format_args!("cannot read {}", path.display()), &e))?;
    if found.mode() & 0o007 != 0 {
        return Err(Exposure::Open { mode: found.mode() & 0o777 }
            .failure(path, "o=")
            .hint(format!("chmod o= {0}, or mount its medium with umask=077", path.display())));
    }
    read_at_most(path, bytes_max)
}

/// A name of 16 random digits.
pub(crate) fn random_name() -> Result<String, Failure> {
    let mut bytes = [0; 8];
    random(&mut bytes)?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}

/// Fills with the system's randomness.
pub(crate) fn random(out: &mut [u8]) -> Result<(), Failure> {
    getrandom::fill(out)
        .map_err(|error| Failure::failed(format!("the system gives no randomness: {error}")))
}

fn read_at_most(path: &Path, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // Reserved whole, so that no grown copy of the secret is left behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(bytes_max + 1));
    File::open(path)
        .and_then(|file| file.take(bytes_max as u64 + 1).read_to_end(&mut bytes))
        .map_err(|e| Failure::io(format_args!("cannot read {}", path.display()), &e))?;
    Ok(bytes)
}

pub(crate) fn overwrite(mut file: File) -> io::Result<()> {
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(0))?;
    io::copy(&mut io::repeat(0).take(len), &mut file)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_name_alone_is_in_the_folder_where_one_is() {
        assert_eq!(folder_of(Path::new("file")), Path::new("."));
        assert_eq!(folder_of(Path::new("folder/file")), Path::new("folder"));
    }

    #[test]
    fn a_replaced_secret_is_overwritten_where_it_lay() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("secret"), folder.path().join("other"));
        replace_secret(&path, b"old secret").unwrap();
        // Another name for the bytes, to look at them after they were replaced.
        fs::hard_link(&path, &other).unwrap();
        replace_secret(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read(&other).unwrap(), [0; 10]);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left behind");
    }

    #[test]
    fn a_secret_that_everybody_may_read_is_refused_and_a_long_one_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, [7; 10]).unwrap();
        for (mode, taken) in [(0o600, true), (0o640, true), (0o604, false), (0o602, false)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_named_secret(&path, 10).is_ok(), taken, "{mode:o}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read_named_secret(&path, 10).unwrap().len(), 10);
        assert_eq!(read_named_secret(&path, 8).unwrap().len(), 9);
        assert!(read_secret(&folder.path().join("none"), 10).unwrap().is_none());
    }
}
