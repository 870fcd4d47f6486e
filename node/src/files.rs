//! Files and folders for their owner alone: how they are made, replaced and checked.
//!
//! A file comes into being whole: written beside its place, flushed, moved there, and the folder
//! flushed. A secret that others may read is refused, as `ssh` does.
//!
//! What is opened here is a regular file: a pipe waits for somebody who may never come, and a device
//! may never end. What is read whole has a bound.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
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
    let old = match regular(OpenOptions::new().write(true), path) {
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

/// Ends the names of files in the making, and those of no others.
const PART_SUFFIX: &str = ".tearline";

/// A name beside a file's place that nobody else uses.
pub(crate) fn beside(path: &Path) -> Result<PathBuf, Failure> {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}{PART_SUFFIX}", random_name()?));
    Ok(path.with_file_name(name))
}

/// Whether [`beside`] gives such a name to a file of this name.
pub(crate) fn is_beside(found: &OsStr, name: &OsStr) -> bool {
    let rest = found.as_bytes().strip_prefix(b".");
    let rest = rest.and_then(|rest| rest.strip_prefix(name.as_bytes()));
    let digits = rest.and_then(|rest| rest.strip_prefix(b"."));
    digits.and_then(|digits| digits.strip_suffix(PART_SUFFIX.as_bytes())).is_some_and(|digits| {
        digits.len() == RANDOM_NAME_DIGITS && digits.iter().all(u8::is_ascii_hexdigit)
    })
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
    /// Neither a file nor a folder: a pipe, a device.
    Special,
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
            Self::Special => Failure::failed(format!("{path} is no regular file"))
                .hint("put the file itself there: a pipe or a device is not read"),
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
    if !metadata.is_file() && !metadata.is_dir() {
        return Err(Exposure::Special);
    }
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

/// Opens a regular file, and nothing else: neither waits for the other end of a pipe nor takes what is
/// found there for a file.
pub(crate) fn regular(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = options.custom_flags(flags.bits().cast_signed()).open(path).map_err(|error| {
        // What a pipe without a reader, or a socket, answers.
        if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) {
            not_regular()
        } else {
            error
        }
    })?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, NOT_REGULAR)
}

/// Why what is no file is not read.
pub(crate) const NOT_REGULAR: &str = "it is no regular file";

/// Opens a file that a user named, to be read to its end.
pub(crate) fn open_named(path: &Path) -> Result<File, Failure> {
    let shown = path.display();
    if path.is_dir() {
        return Err(Failure::usage(format!("{shown} is a folder; name files")));
    }
    regular(OpenOptions::new().read(true), path).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => Failure::usage(format!("{shown} is not a regular file"))
            .hint("write what it gives to a file first"),
        _ => Failure::io(format_args!("cannot read {shown}"), &error),
    })
}

/// All of a file that holds no secret; none if there is no file, refused if it has more than
/// `bytes_max` bytes.
pub(crate) fn read_whole(path: &Path, bytes_max: usize) -> Result<Option<Vec<u8>>, Failure> {
    if matches!(path.symlink_metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    open_named(path)?
        .take(bytes_max as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Failure::io(format_args!("cannot read {}", path.display()), &e))?;
    if bytes.len() > bytes_max {
        return Err(Failure::failed(format!(
            "{} has more than {bytes_max} bytes, the most that is read of it",
            path.display()
        )));
    }
    Ok(Some(bytes))
}

/// As [`read_whole`], of a file that must be there and hold text.
pub(crate) fn read_text(path: &Path, bytes_max: usize) -> Result<String, Failure> {
    let shown = path.display();
    let bytes = read_whole(path, bytes_max)?
        .ok_or_else(|| Failure::failed(format!("there is no file {shown}")))?;
    String::from_utf8(bytes).map_err(|error| {
        Failure::usage(format!(
            "{shown} is no text: byte {} is not UTF-8",
            error.utf8_error().valid_up_to()
        ))
    })
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
    read_at_most(open_named(path)?, path, bytes_max).map(Some)
}

/// The bytes of a secret file that the user named: it may be another user's or a group's, as
/// service managers hand them out, but not everybody's.
pub(crate) fn read_named_secret(
    path: &Path,
    bytes_max: usize,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let file = open_named(path)?;
    let found = file
        .metadata()
        .map_err(|e| Failure::io(format_args!("cannot read {}", path.display()), &e))?;
    if found.mode() & 0o007 != 0 {
        return Err(Exposure::Open { mode: found.mode() & 0o777 }
            .failure(path, "o=")
            .hint(format!("chmod o= {0}, or mount its medium with umask=077", path.display())));
    }
    read_at_most(file, path, bytes_max)
}

/// Digits of a [random name](random_name).
const RANDOM_NAME_DIGITS: usize = 16;

/// A name of random hexadecimal digits.
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

fn read_at_most(file: File, path: &Path, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // Reserved whole, so that no grown copy of the secret is left behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(bytes_max + 1));
    file.take(bytes_max as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Failure::io(format_args!("cannot read {}", path.display()), &e))?;
    Ok(bytes)
}

/// Puts zeros over all that a file holds.
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

    /// A pipe that nobody writes to, a device that never ends, and a folder, each by its name and by a
    /// link to it.
    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        for (n, path) in [pipe.as_path(), Path::new("/dev/zero"), folder.path()].iter().enumerate()
        {
            let link = folder.path().join(format!("link-{n}"));
            std::os::unix::fs::symlink(path, &link).unwrap();
            for path in [*path, link.as_path()] {
                let refused = read_whole(path, 10).unwrap_err();
                assert_eq!(refused.kind, crate::failure::Kind::Usage, "{refused}");
                assert!(refused.what.contains(&path.display().to_string()), "{refused}");
                for options in [OpenOptions::new().read(true), OpenOptions::new().write(true)] {
                    let refused = regular(options, path);
                    assert!(refused.is_err(), "{}", path.display());
                }
            }
        }
        fs::set_permissions(&pipe, Permissions::from_mode(0o600)).unwrap();
        assert!(read_secret(&pipe, 10).is_err() && read_named_secret(&pipe, 10).is_err());
        assert!(replace_secret(&pipe, b"new").is_err());
    }

    #[test]
    fn a_file_is_read_up_to_its_bound_and_not_past_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert_eq!(read_whole(&path, 10).unwrap(), None);
        assert!(read_text(&path, 10).unwrap_err().what.contains("no file"));
        fs::write(&path, [b'x'; 10]).unwrap();
        assert_eq!(read_text(&path, 10).unwrap(), "x".repeat(10));
        let refused = read_whole(&path, 9).unwrap_err();
        assert!(refused.what.contains("more than 9 bytes"), "{refused}");
        assert!(refused.what.contains(&path.display().to_string()), "{refused}");
        fs::write(&path, b"ab\xff").unwrap();
        let no_text = read_text(&path, 10).unwrap_err();
        assert!(no_text.what.contains("byte 2") && no_text.kind == crate::failure::Kind::Usage);
        // As long as the medium lets it be, and read no further than the bound.
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(read_whole(&path, 10).is_err());
    }
}
