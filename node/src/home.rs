//! The home folder: everything that one device keeps on disk.
//!
//! ```text
//! HOME/            0700
//!   config.toml    settings, for people to edit
//!   device.key     0600  this device's secrets; in clear or sealed, as [`crate::protection`] says
//!   agency.key     0600  the agency's root, on the device that founded it; belongs offline
//!   store/         records, logs, keys of compartments; sealed under the store key
//!   store.made     the life of the device that has this store
//!   store.damaged-N/  a store that was moved aside, with its key
//!   operators      0600  who works at the portal; sealed under a key of the device
//!   audit/         who did what on this peer; sealed under a key of the device
//!   scratch/       files on their way through import and export; emptied at each start
//!   run.lock       held by the running daemon: its process id and its socket
//!   control.sock   where the daemon answers
//! ```

mod key_file;

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process;
use std::thread;
use std::time::Duration;

use tearline_crdt::hash::sha256;

pub use self::key_file::{Agency, Identity, KeyFileError};
pub(crate) use self::key_file::{Kept, check_name};
use crate::failure::Failure;
use crate::files::{
    Exposure, create_private, new_private_file, overwrite, own_uid, private, random_name, regular,
    replace_secret, write_atomically,
};
use crate::protection::{Method, Opener, Protection};

/// The environment variable that names the home folder.
pub const HOME_VARIABLE: &str = "TEARLINE_HOME";
/// Longest path of a Unix socket, in bytes: `sun_path` of Linux without its final zero.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// A home folder; it need not exist yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// The folder at this path.
    pub fn at(path: impl Into<PathBuf>) -> Result<Self, Failure> {
        let path = path.into();
        let root = std::path::absolute(&path)
            .map_err(|e| Failure::io(format_args!("cannot use the home {}", path.display()), &e))?;
        Ok(Self { root })
    }

    /// The folder that the command line or else the environment names.
    pub fn locate(named: Option<PathBuf>) -> Result<Self, Failure> {
        locate_in(named, |name| env::var_os(name).filter(|value| !value.is_empty())).map_or_else(
            || {
                Err(Failure::usage("there is no home folder to use")
                    .hint("name one: --home DIR, or set TEARLINE_HOME"))
            },
            Self::at,
        )
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    /// The device's secrets.
    #[must_use]
    pub fn device_key(&self) -> PathBuf {
        self.root.join("device.key")
    }

    /// The agency's root.
    #[must_use]
    pub fn agency_key(&self) -> PathBuf {
        self.root.join("agency.key")
    }

    /// The store's folder.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// The command line that runs `arguments` for this home, for hints.
    #[must_use]
    pub fn command(&self, arguments: &str) -> String {
        let default = Self::locate(None);
        if default.is_ok_and(|default| default == *self) {
            format!("tearline {arguments}")
        } else {
            format!("tearline --home {} {arguments}", quoted(&self.root.to_string_lossy()))
        }
    }

    /// Makes the folder, for its owner alone. An empty one that is there is closed to others; one
    /// that holds files is checked, because they may be meant for others.
    pub fn create(&self) -> Result<(), Failure> {
        create_private(&self.root)?;
        let io = |e: io::Error| {
            Failure::io(format_args!("cannot use the folder {}", self.root.display()), &e)
        };
        if fs::read_dir(&self.root).map_err(io)?.next().is_none() {
            fs::set_permissions(&self.root, Permissions::from_mode(0o700)).map_err(io)?;
        }
        self.check_root()
    }

    /// Fails if the folder is not there, belongs to somebody else, or lets others in.
    pub fn check_root(&self) -> Result<(), Failure> {
        match private(&self.root) {
            Ok(()) => Ok(()),
            Err(Exposure::Missing) => {
                Err(Failure::failed(format!("there is no home at {}", self.root.display()))
                    .hint(self.init_hint()))
            }
            Err(exposure) => Err(exposure.failure(&self.root, "700")),
        }
    }

    /// Fails when the home holds an identity or an agency's root, which must not be overwritten.
    pub fn refuse_if_initialised(&self) -> Result<(), Failure> {
        let held = [(self.device_key(), "an identity"), (self.agency_key(), "an agency's root")];
        for (path, what) in held {
            if fs::symlink_metadata(&path).is_ok() {
                let what = format!("{} already holds {what}", self.root.display());
                return Err(Failure::failed(what).hint(format!(
                    "it was left as it is; use another --home, or move {} away",
                    path.display()
                )));
            }
        }
        Ok(())
    }

    /// Writes a new device's secrets, and with them an agency's root if there is one. Refuses when
    /// the home holds either. The caller holds the lock.
    pub fn write_keys(
        &self,
        _lock: &Lock,
        identity: &Identity,
        agency: Option<&Agency>,
        protection: &Protection,
    ) -> Result<(), Failure> {
        self.refuse_if_initialised()?;
        if let Some(agency) = agency {
            write_atomically(&self.agency_key(), &agency.encode(protection)?)?;
        }
        // Last, because it is what makes a home one.
        write_atomically(&self.device_key(), &identity.encode(protection)?)
    }

    /// Adds an agency's root to a device, protected as the device's own secrets are.
    pub fn write_agency(
        &self,
        _lock: &Lock,
        agency: &Agency,
        opener: &mut Opener,
    ) -> Result<(), Failure> {
        let (_, protection) = self.read_device(opener)?;
        if fs::symlink_metadata(self.agency_key()).is_ok() {
            let what = format!("{} already holds an agency's root", self.root.display());
            return Err(Failure::failed(what).hint("it was left as it is"));
        }
        write_atomically(&self.agency_key(), &agency.encode(&protection)?)
    }

    /// Writes all secrets again under another protection, and overwrites the old files.
    pub fn protect(
        &self,
        _lock: &Lock,
        opener: &mut Opener,
        protection: &Protection,
    ) -> Result<(), Failure> {
        let identity = self.read_identity(opener)?;
        // First, so that after a crash between the two the device's file says what opened before.
        if let Some(agency) = self.read_agency(opener)? {
            replace_secret(&self.agency_key(), &agency.encode(protection)?)?;
        }
        self.protect_old_keys(opener, protection)?;
        replace_secret(&self.device_key(), &identity.encode(protection)?)
    }

    /// The device's secrets.
    pub fn read_identity(&self, opener: &mut Opener) -> Result<Identity, Failure> {
        self.read_device(opener).map(|(identity, _)| identity)
    }

    /// The agency's root, where it is here.
    pub fn read_agency(&self, opener: &mut Opener) -> Result<Option<Agency>, Failure> {
        self.check_root()?;
        let found = Agency::read(&self.agency_key(), opener)?;
        Ok(found.map(|(agency, _)| agency))
    }

    /// What it takes to open the device's secrets: nothing when they are in clear.
    pub fn device_method(&self) -> Result<Option<Method>, Failure> {
        self.check_root()?;
        Identity::method(&self.device_key())?.ok_or_else(|| self.no_identity())
    }

    /// What it takes to open the agency's root: nothing when it is in clear. `None` if it is not
    /// here.
    pub fn agency_method(&self) -> Result<Option<Option<Method>>, Failure> {
        self.check_root()?;
        Agency::method(&self.agency_key())
    }

    pub(crate) fn read_device(
        &self,
        opener: &mut Opener,
    ) -> Result<(Identity, Protection), Failure> {
        self.check_root()?;
        Identity::read(&self.device_key(), opener)?.ok_or_else(|| self.no_identity())
    }

    fn no_identity(&self) -> Failure {
        if let Err(failure) = self.refuse_if_half_restored() {
            return failure;
        }
        Failure::failed(format!("{} holds no identity yet", self.root.display()))
            .hint(self.init_hint())
    }

    /// A new empty file in the home, for its owner alone, that goes away with the value.
    pub fn scratch_file(&self) -> Result<ScratchFile, Failure> {
        let folder = self.scratch();
        create_private(&folder)?;
        let path = folder.join(random_name()?);
        let file = new_private_file(&path)
            .map_err(|e| Failure::io(format_args!("cannot write {}", path.display()), &e))?;
        Ok(ScratchFile { path, file })
    }

    /// Removes what crashed commands left behind.
    pub fn empty_scratch(&self) -> Result<(), Failure> {
        for left in fs::read_dir(self.scratch()).into_iter().flatten().flatten() {
            let _ = regular(File::options().write(true), &left.path()).and_then(overwrite);
        }
        match fs::remove_dir_all(self.scratch()) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(Failure::io(format_args!("cannot empty {}", self.scratch().display()), &e))
            }
            _ => Ok(()),
        }
    }

    /// Takes the home for this process, until the value is dropped or the process dies in
    /// whatever way.
    pub fn lock(&self) -> Result<Lock, Failure> {
        let path = self.lock_path();
        let io = |e: io::Error| Failure::io(format_args!("cannot lock {}", path.display()), &e);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = regular(&mut options, &path).map_err(io)?;
        let mut looks = 0..LOCK_LOOKS_MAX;
        let locked = loop {
            match file.try_lock() {
                Err(fs::TryLockError::WouldBlock) if looks.next().is_some() => {
                    thread::sleep(LOOK_AGAIN);
                }
                locked => break locked,
            }
        };
        match locked {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let who = match self.running() {
                    Some(pid) => format!("a daemon is already running for this home, pid {pid}"),
                    None => "another command is using this home".to_owned(),
                };
                return Err(Failure::failed(who)
                    .hint(format!("ask it: {}; or stop it first", self.command("status"))));
            }
            Err(fs::TryLockError::Error(e)) => return Err(io(e)),
        }
        let socket = self.derived_socket()?;
        let socket = socket.as_os_str().as_bytes();
        let who = [process::id().to_string().as_bytes(), b"\n", socket, b"\n"].concat();
        // Over what is there: an emptied file may find the disk full.
        file.write_all(&who).map_err(io)?;
        file.set_len(who.len() as u64).map_err(io)?;
        let lock = Lock { _file: file };
        self.sweep(&lock)?;
        Ok(lock)
    }

    /// Whether a process holds the home. The look takes a moment, which [`Home::lock`] waits for.
    pub fn is_held(&self) -> Result<bool, Failure> {
        let path = self.lock_path();
        let failed =
            |e: io::Error| Failure::io(format_args!("cannot look at {}", path.display()), &e);
        let file = match regular(OpenOptions::new().read(true), &path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(fs::TryLockError::WouldBlock) => Ok(true),
            Err(fs::TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// The process id that the last holder of the lock wrote down.
    #[must_use]
    pub fn running(&self) -> Option<u32> {
        self.recorded().and_then(|(pid, _)| pid.parse().ok())
    }

    /// Where the daemon listens: in the home if the path fits a socket, otherwise in a folder of
    /// this user's with a short path. A command asks the lock file, because its environment may
    /// differ from the daemon's.
    pub fn socket(&self) -> Result<PathBuf, Failure> {
        let derived = self.derived_socket()?;
        if derived.starts_with(&self.root) {
            return Ok(derived);
        }
        Ok(self.recorded().map_or(derived, |(_, socket)| PathBuf::from(socket)))
    }

    /// Where a daemon with this environment listens. Makes the short folder if that is needed.
    fn derived_socket(&self) -> Result<PathBuf, Failure> {
        let inside = self.root.join("control.sock");
        if inside.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
            return Ok(inside);
        }
        let runtime = env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty());
        let folder = short_folder(runtime, own_uid());
        create_private(&folder)?;
        private(&folder).map_err(|exposure| exposure.failure(&folder, "700"))?;
        if folder.is_symlink() {
            return Err(Failure::failed(format!("{} is a symbolic link", folder.display()))
                .hint("use a shorter --home"));
        }
        let hash = sha256(self.root.as_os_str().as_bytes());
        let mut name = String::new();
        for byte in hash.iter().take(8) {
            let _ = write!(name, "{byte:02x}");
        }
        let path = folder.join(name + ".sock");
        if path.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            return Err(Failure::failed(format!(
                "the path of the control socket is too long: {}",
                path.display()
            ))
            .hint("use a shorter --home"));
        }
        Ok(path)
    }

    fn recorded(&self) -> Option<(String, String)> {
        let mut text = String::new();
        let file = regular(File::options().read(true), &self.lock_path()).ok()?;
        file.take(LOCK_FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
        let (pid, rest) = text.split_once('\n')?;
        Some((pid.to_owned(), rest.strip_suffix('\n')?.to_owned()))
    }

    fn lock_path(&self) -> PathBuf {
        self.root.join("run.lock")
    }

    fn scratch(&self) -> PathBuf {
        self.root.join("scratch")
    }

    fn init_hint(&self) -> String {
        format!("make one: {}", self.command("init --agency NAME --country CC"))
    }
}

/// How often a lock is tried again that somebody may only be looking at, and after how long.
const LOCK_LOOKS_MAX: usize = 10;
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A home that this process holds.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// A file in the home's scratch folder; removed when dropped.
#[derive(Debug)]
pub struct ScratchFile {
    path: PathBuf,
    /// The open file.
    pub file: File,
}

impl ScratchFile {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        // It may hold records in clear.
        let _ = self.file.try_clone().and_then(overwrite);
        let _ = fs::remove_file(&self.path);
    }
}

fn locate_in(
    named: Option<PathBuf>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Option<PathBuf> {
    named
        .or_else(|| variable(HOME_VARIABLE).map(PathBuf::from))
        .or_else(|| Some(PathBuf::from(variable("XDG_DATA_HOME")?).join("tearline")))
        .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".local/share/tearline")))
}

/// A word as a shell reads it back.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

fn short_folder(runtime: Option<OsString>, uid: u32) -> PathBuf {
    match runtime {
        Some(runtime) => PathBuf::from(runtime).join("tearline"),
        None => PathBuf::from(format!("/tmp/tearline-{uid}")),
    }
}

/// Longest content of the lock file: a process id and a path.
const LOCK_FILE_BYTES_MAX: u64 = 8 * 1024;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::failure::Kind;
    use crate::protection::{KeyFile, Secret, Sources};

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().join("home")).unwrap();
        home.create().unwrap();
        (folder, home)
    }

    fn write(home: &Home) {
        let lock = home.lock().unwrap();
        home.write_keys(&lock, &Identity::generate().unwrap(), None, &Protection::Clear).unwrap();
    }

    #[test]
    fn the_home_is_the_named_one_then_the_environments_then_the_users() {
        let all = |name: &str| {
            Some(OsString::from(match name {
                HOME_VARIABLE => "/env",
                "XDG_DATA_HOME" => "/data",
                _ => "/user",
            }))
        };
        assert_eq!(locate_in(Some("/flag".into()), all), Some("/flag".into()));
        assert_eq!(locate_in(None, all), Some("/env".into()));
        let without = |name: &str| all(name).filter(|_| name != HOME_VARIABLE);
        assert_eq!(locate_in(None, without), Some("/data/tearline".into()));
        let user = |name: &str| all(name).filter(|_| name == "HOME");
        assert_eq!(locate_in(None, user), Some("/user/.local/share/tearline".into()));
        assert_eq!(locate_in(None, |_| None), None);
    }

    #[test]
    fn an_identity_is_written_once_and_reads_back() {
        let (_folder, home) = home();
        let mut opener = Opener::default();
        let failure = home.read_identity(&mut opener).unwrap_err();
        assert!(failure.hint.unwrap().contains("init"));
        let lock = home.lock().unwrap();
        let agency = Agency::generate("A", "NE").unwrap();
        let write = |identity: &Identity, agency: Option<&Agency>| {
            home.write_keys(&lock, identity, agency, &Protection::Clear)
        };
        write(&Identity::generate().unwrap(), Some(&agency)).unwrap();
        let first = home.read_identity(&mut opener).unwrap();
        let kept = home.read_agency(&mut opener).unwrap().unwrap();
        assert_eq!(kept.root_seed, agency.root_seed);
        let again = write(&Identity::generate().unwrap(), None).unwrap_err();
        assert_eq!(again.kind, Kind::Failed);
        fs::remove_file(home.device_key()).unwrap();
        assert!(write(&first, None).is_err(), "a root alone is kept too");
        fs::remove_file(home.agency_key()).unwrap();
        write(&first, None).unwrap();
        let mode = fs::metadata(home.device_key()).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        let files = fs::read_dir(home.root()).unwrap().count();
        assert_eq!(files, 2, "the key and the lock; no temporary file is left");
    }

    /// A key file in a folder, an opener that has it, and a protection under it.
    fn stick(folder: &Path, name: &str) -> (Opener, Protection) {
        let path = folder.join(name);
        let secret = Secret::KeyFile(KeyFile::create(&path).unwrap());
        let sources = Sources { key_file: Some(path), ..Sources::default() };
        (Opener::new(sources), Protection::under(Some(&secret)).unwrap())
    }

    #[test]
    fn another_protection_takes_the_place_of_the_old_one() {
        let (folder, home) = home();
        let lock = home.lock().unwrap();
        let (identity, agency) =
            (Identity::generate().unwrap(), Agency::generate("A", "NE").unwrap());
        home.write_keys(&lock, &identity, Some(&agency), &Protection::Clear).unwrap();
        assert_eq!(home.device_method().unwrap(), None);
        let old = folder.path().join("old");
        fs::hard_link(home.device_key(), &old).unwrap();
        let (mut first, protection) = stick(folder.path(), "first");
        home.protect(&lock, &mut Opener::default(), &protection).unwrap();
        assert!(fs::read(&old).unwrap().iter().all(|byte| *byte == 0), "the clear file is gone");
        assert_eq!(home.device_method().unwrap(), Some(Method::KeyFile));
        assert_eq!(home.agency_method().unwrap(), Some(Some(Method::KeyFile)));
        assert_eq!(home.read_identity(&mut first).unwrap().device_seed, identity.device_seed);
        let kept = home.read_agency(&mut first).unwrap().unwrap();
        assert_eq!(kept.root_seed, agency.root_seed);

        let before = fs::read(home.device_key()).unwrap();
        let (mut second, protection) = stick(folder.path(), "second");
        let refused = home.protect(&lock, &mut second, &protection).unwrap_err();
        assert_eq!(refused.kind, Kind::Denied, "what opens is still the first");
        assert_eq!(fs::read(home.device_key()).unwrap(), before);
        home.protect(&lock, &mut first, &protection).unwrap();
        assert!(home.read_identity(&mut first).is_err());
        assert!(home.read_identity(&mut second).is_ok());
    }

    #[test]
    fn a_change_that_was_cut_in_the_middle_is_finished_by_doing_it_again() {
        let (folder, home) = home();
        let lock = home.lock().unwrap();
        let agency = Agency::generate("A", "NE").unwrap();
        let (mut old, protection) = stick(folder.path(), "old");
        let identity = Identity::generate().unwrap();
        home.write_keys(&lock, &identity, Some(&agency), &protection).unwrap();
        let (mut new, protection) = stick(folder.path(), "new");
        // As a crash between the two files leaves it.
        replace_secret(&home.agency_key(), &agency.encode(&protection).unwrap()).unwrap();
        assert!(home.protect(&lock, &mut old, &protection).is_err());
        old.also_try(Secret::KeyFile(KeyFile::read(&folder.path().join("new")).unwrap()));
        home.protect(&lock, &mut old, &protection).unwrap();
        assert!(home.read_identity(&mut new).is_ok());
        assert!(home.read_agency(&mut new).unwrap().is_some());
    }

    #[test]
    fn a_root_that_comes_later_is_protected_as_the_device_is() {
        let (folder, home) = home();
        let lock = home.lock().unwrap();
        let (mut opener, protection) = stick(folder.path(), "stick");
        home.write_keys(&lock, &Identity::generate().unwrap(), None, &protection).unwrap();
        let agency = Agency::generate("A", "NE").unwrap();
        home.write_agency(&lock, &agency, &mut opener).unwrap();
        assert_eq!(home.agency_method().unwrap(), Some(Some(Method::KeyFile)));
        assert!(home.write_agency(&lock, &agency, &mut opener).is_err(), "it is there");
    }

    #[test]
    fn secrets_that_others_may_read_are_refused() {
        let (_folder, home) = home();
        write(&home);
        fs::set_permissions(home.device_key(), Permissions::from_mode(0o640)).unwrap();
        assert!(
            home.read_identity(&mut Opener::default())
                .unwrap_err()
                .hint
                .unwrap()
                .starts_with("chmod 600")
        );
        fs::set_permissions(home.device_key(), Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(home.root(), Permissions::from_mode(0o750)).unwrap();
        assert!(
            home.read_identity(&mut Opener::default())
                .unwrap_err()
                .hint
                .unwrap()
                .starts_with("chmod 700")
        );
    }

    #[test]
    fn a_key_file_is_a_regular_file() {
        let (_folder, home) = home();
        write(&home);
        fs::remove_file(home.device_key()).unwrap();
        // Of the kinds that are neither file nor folder, the one that the standard library makes.
        let _socket = std::os::unix::net::UnixListener::bind(home.device_key()).unwrap();
        for mode in [0o600, 0o644] {
            fs::set_permissions(home.device_key(), Permissions::from_mode(mode)).unwrap();
            let failure = home.read_identity(&mut Opener::default()).unwrap_err();
            assert!(failure.what.contains("no regular file"), "{mode:o}: {}", failure.what);
            assert!(!failure.hint.unwrap().contains("chmod"), "{mode:o}");
        }
    }

    #[test]
    fn an_empty_folder_is_closed_and_one_with_files_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let open = || fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let home = Home::at(folder.path()).unwrap();
        open();
        home.create().unwrap();
        assert_eq!(fs::metadata(folder.path()).unwrap().mode() & 0o777, 0o700);
        fs::write(folder.path().join("index.html"), "").unwrap();
        open();
        assert!(home.create().is_err());
        assert_eq!(fs::metadata(folder.path()).unwrap().mode() & 0o777, 0o755);
    }

    #[test]
    fn a_cut_key_file_is_an_integrity_failure() {
        let (_folder, home) = home();
        write(&home);
        let bytes = fs::read(home.device_key()).unwrap();
        write_atomically(&home.device_key(), &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(home.read_identity(&mut Opener::default()).unwrap_err().kind, Kind::Integrity);
    }

    #[test]
    fn one_process_holds_the_home_and_says_who_it_is() {
        let (_folder, home) = home();
        let lock = home.lock().unwrap();
        let failure = home.lock().unwrap_err();
        assert!(failure.what.contains(&process::id().to_string()), "{failure}");
        drop(lock);
        home.lock().unwrap();
    }

    #[test]
    fn a_long_home_has_its_socket_elsewhere_and_both_sides_agree() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().as_os_str().len();
        let fitting = SOCKET_PATH_BYTES_MAX - base - "//control.sock".len();
        let fits = Home::at(folder.path().join("h".repeat(fitting))).unwrap();
        assert_eq!(fits.socket().unwrap(), fits.root().join("control.sock"));
        let long = Home::at(folder.path().join("h".repeat(fitting + 1))).unwrap();
        long.create().unwrap();
        let derived = long.socket().unwrap();
        assert!(!derived.starts_with(long.root()));
        assert!(derived.as_os_str().len() <= SOCKET_PATH_BYTES_MAX);
        let _lock = long.lock().unwrap();
        assert_eq!(long.socket().unwrap(), derived);
        assert_eq!(short_folder(None, 7), PathBuf::from("/tmp/tearline-7"));
        assert_eq!(
            short_folder(Some("/run/user/7".into()), 7),
            PathBuf::from("/run/user/7/tearline")
        );
    }

    #[test]
    fn hints_can_be_pasted_into_a_shell() {
        let home = Home::at("/tmp/it's here").unwrap();
        assert_eq!(home.command("run"), "tearline --home '/tmp/it'\\''s here' run");
        assert_eq!(Home::at("/srv/ne").unwrap().command("run"), "tearline --home /srv/ne run");
    }

    #[test]
    fn a_scratch_file_goes_away() {
        let (_folder, home) = home();
        let scratch = home.scratch_file().unwrap();
        let path = scratch.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        drop(scratch);
        assert!(!path.exists());
        home.empty_scratch().unwrap();
        home.empty_scratch().unwrap();
    }
}
