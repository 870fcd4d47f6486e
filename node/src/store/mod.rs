//! The store on disk: sealed, crash-safe, and able to forget.
//!
//! A store is a folder: `values`, a file of sealed bytes; `index`, a small sled database that says
//! what is in it; and `lock`. Applied batches are held in memory until they are flushed, together,
//! as one atomic change: so a crash loses whole batches and only unflushed ones, and a flush of a
//! thousand batches costs one or two syncs. Reads never touch sled: they go through the layers in
//! memory to a page of keys, and from there to the value.
//!
//! - `seal`: how values are sealed, and why a damaged one is noticed.
//! - `values`: the file, and how scrubbed values are overwritten in it. `zeroed`: what need not be.
//! - `run`: packed keys. `index`: what sled holds. `layers`: what a key holds now.
//! - `open`: what is looked at before anything is changed.
//! - `flush`: the order of writes, merging, and free space.
//! - `spare`: bytes that an opening on a full disk gives back.
//!
//! What the folder gives away to one without the key: sizes, how many changes there were, and when.
//! What it cannot notice is its own past: a whole folder put back from a copy opens as it was. A
//! restored peer therefore starts a new incarnation.

mod flush;
mod index;
mod layers;
mod open;
mod run;
mod seal;
mod spare;
#[cfg(test)]
mod tests;
mod values;
mod zeroed;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use tearline_crdt::store::{Batch, Space, Store, StoreError, Visit};

pub(crate) use self::open::check_clock;
pub use self::open::{Checked, check_folder, is_new};
pub use self::seal::StoreKey;

use crate::files::{regular, sync_parent};

use self::flush::{Flush, Limits, Writer};
use self::layers::{Layers, Pages, Reading, full_key, split_key};
use self::open::{Found, Opened};
use self::seal::Sealer;
use self::values::StoreId;

/// A [`Store`] on disk.
pub struct SledStore {
    shared: Arc<Shared>,
}

/// Flushes a store from any thread: the driver goes on while the medium works.
///
/// The folder stays locked until the store and all its flushers are dropped.
#[derive(Clone)]
pub struct Flusher {
    shared: Arc<Shared>,
}

/// Reads a store through from any thread, as a [`Flusher`] flushes it.
#[derive(Clone)]
pub struct Checker {
    shared: Arc<Shared>,
}

struct Shared {
    dir: PathBuf,
    id: StoreId,
    layers: RwLock<Layers>,
    pages: Pages,
    writer: Mutex<Writer>,
    unflushed_bytes_max: usize,
    _lock: Lock,
}

/// Why a store could not be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the store in {} is in use by another process; stop that one first", dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// The key is not the one that the store was made with.
    #[error("the store was made with another key than that of this device")]
    WrongKey,
    /// The store is of another version.
    #[error(
        "the store has version {found}, this program knows {known}; use the program that \
             wrote it, or start with an empty store and let the peers refill it"
    )]
    Version {
        /// Its version.
        found: u8,
        /// Ours.
        known: u8,
    },
    /// The clock of the machine is before 1970, which the engine does not take.
    #[error("the clock of this machine shows a time before 1970: set it, and try again")]
    Clock,
    /// The store does not hang together.
    #[error("the store is damaged ({what})")]
    Damaged {
        /// What was found.
        what: &'static str,
    },
    /// The medium refused.
    #[error("the store's medium failed ({during}): {cause}; check its space, rights and health")]
    Medium {
        /// What was being done.
        during: &'static str,
        /// What the operating system or the engine said.
        cause: String,
    },
}

/// What to do about a store that is damaged as a whole.
pub(crate) const DAMAGED_FIX: &str = "`tearline doctor --rebuild` says what is lost, asks, and moves it \
    aside: the peers refill an empty one; or put a backup back: `tearline backup restore`";
/// What to do about a store of which some values are damaged.
pub(crate) const VALUES_DAMAGED_FIX: &str = "`tearline doctor` names what is damaged; export what is \
    needed, stop the daemon, then `tearline doctor --rebuild`: the peers refill the store";
/// What to do about a store of another key.
const WRONG_KEY_FIX: &str = "nothing was changed; put the device.key back that belongs to this store. If \
    `tearline doctor --rebuild` broke off, say it again. A store whose key is lost opens to nobody: \
    move it out of the home, and `tearline doctor --rebuild` begins an empty one";

impl OpenError {
    const fn damaged(what: &'static str) -> Self {
        Self::Damaged { what }
    }
}

impl From<OpenError> for crate::failure::Failure {
    fn from(error: OpenError) -> Self {
        use crate::failure::Kind;
        let what = error.to_string();
        match error {
            OpenError::Damaged { .. } => Self::new(Kind::Integrity, what).hint(DAMAGED_FIX),
            OpenError::WrongKey => Self::denied(what).hint(WRONG_KEY_FIX),
            OpenError::InUse { .. }
            | OpenError::Version { .. }
            | OpenError::Clock
            | OpenError::Medium { .. } => Self::failed(what),
        }
    }
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Medium { during, cause } => Self::Medium { during, cause },
            Failure::Damaged { what } => Self::Damaged { what },
        }
    }
}

/// What can go wrong below the contract's errors, which name a key.
#[derive(Clone, Debug)]
enum Failure {
    /// The medium refused.
    Medium {
        /// What was being done.
        during: &'static str,
        /// What was said.
        cause: String,
    },
    /// Bytes are not what was written.
    Damaged {
        /// Which.
        what: &'static str,
    },
}

impl Failure {
    fn medium(during: &'static str, cause: impl ToString) -> Self {
        Self::Medium { during, cause: cause.to_string() }
    }

    /// The error of a read that was looking for this full key.
    fn at(self, full: &[u8]) -> StoreError {
        let (space, key) = split_key(full);
        let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        self.during(|| match key {
            [] => format!("looking for {space:?} keys"),
            _ => format!("looking for {space:?} keys from {digits} on"),
        })
    }

    /// The error of the operation that failed.
    fn during(self, doing: impl FnOnce() -> String) -> StoreError {
        match self {
            Self::Medium { during, cause } => StoreError::Medium { during, cause },
            Self::Damaged { what } => StoreError::KeysDamaged { what, during: doing() },
        }
    }

    /// The error of every write after it.
    fn refusal(&self) -> StoreError {
        match self {
            Self::Medium { during, cause } => StoreError::Medium {
                during: "refusing writes until the store is opened again",
                cause: format!("earlier, {during}: {cause}"),
            },
            Self::Damaged { what } => {
                let during = "found by an earlier write: none is taken any more".into();
                StoreError::KeysDamaged { what, during }
            }
        }
    }
}

impl SledStore {
    /// Opens the store in a folder, or makes one.
    pub fn open(dir: &Path, key: &StoreKey) -> Result<Self, OpenError> {
        Self::open_with(dir, key, Limits::default())
    }

    fn open_with(dir: &Path, key: &StoreKey, limits: Limits) -> Result<Self, OpenError> {
        check_clock(SystemTime::now())?;
        let io = |during| move |cause: io::Error| OpenError::from(Failure::medium(during, cause));
        if !dir.is_dir() {
            fs::create_dir_all(dir).map_err(io("making the store's folder"))?;
            sync_parent(dir).map_err(io("syncing what holds the store's folder"))?;
        }
        let lock = lock(dir)?;
        let sealer = Arc::new(Sealer::new(key));
        open::make_if_new(dir, &sealer)?;
        spare::give_back_if_full(dir);
        let Opened { id, layers, pages, writer } =
            Found::in_folder(dir, &sealer)?.open(dir, limits)?;
        let shared = Shared {
            dir: dir.to_path_buf(),
            id,
            layers: RwLock::new(layers),
            pages,
            writer: Mutex::new(writer),
            unflushed_bytes_max: limits.unflushed_bytes_max,
            _lock: lock,
        };
        let store = Self { shared: Arc::new(shared) };
        let shared = &store.shared;
        if free_space_bytes(dir).is_ok_and(|free| free >= store.upkeep_bytes()) {
            let writer = shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
            Flush { writer, lock: &shared.layers, pages: &shared.pages }.forget_if_due()?;
            spare::keep(dir);
        } else {
            // What is to be overwritten is, before the next flush is done.
            tracing::warn!(dir = %dir.display(), "the disk is nearly full");
        }
        Ok(store)
    }

    /// The store's id: random, made with it.
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        self.shared.id
    }

    /// A handle that flushes this store from any thread.
    #[must_use]
    pub fn flusher(&self) -> Flusher {
        Flusher { shared: Arc::clone(&self.shared) }
    }

    /// A handle that reads this store through from any thread.
    #[must_use]
    pub fn checker(&self) -> Checker {
        Checker { shared: Arc::clone(&self.shared) }
    }

    /// Bytes of all files of the store.
    pub fn size_on_disk_bytes(&self) -> io::Result<u64> {
        folder_bytes(&self.shared.dir)
    }

    /// What the store's own upkeep may write at once: every page anew in a merge, and a copy of the
    /// index at the next start.
    #[must_use]
    pub fn upkeep_bytes(&self) -> u64 {
        let layers = self.shared.layers.read().unwrap_or_else(PoisonError::into_inner);
        let pages = layers.pages.len() as u64 * flush::PAGE_BYTES_MAX as u64;
        drop(layers);
        let index = index::copy_bytes(&self.shared.dir.join(open::INDEX)).unwrap_or(0);
        pages.saturating_add(index)
    }

    /// What was applied and will be written by the next flushes.
    #[must_use]
    pub fn unflushed_bytes(&self) -> u64 {
        let layers = self.shared.layers.read().unwrap_or_else(PoisonError::into_inner);
        let frozen = layers.frozen.as_ref().map_or(0, |frozen| frozen.bytes);
        layers.active.bytes as u64 + frozen as u64
    }

    fn reading(&self) -> Reading<'_> {
        self.shared.reading()
    }
}

impl Flusher {
    /// Makes every batch that was applied before the call survive a power cut. Batches that are
    /// applied meanwhile may become durable or not.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.shared.flush()
    }
}

impl Checker {
    /// Reads every value, and goes on where one is damaged. Those that change meanwhile are read as they
    /// were or as they are.
    pub fn check(&self, progress: &mut dyn FnMut(&Checked)) -> Result<Checked, StoreError> {
        open::check_values(&self.shared.reading(), progress)
    }

    /// Visits every value from a place on, in the order of the store, and goes on where one is damaged, until
    /// `visit` breaks. No lock is held while that runs.
    pub(crate) fn walk(
        &self,
        from: (Space, &[u8]),
        visit: &mut open::Walk<'_>,
    ) -> Result<(), StoreError> {
        open::walk_values(&self.shared.reading(), from, visit)
    }

    /// Reads one value.
    pub(crate) fn check_one(&self, space: Space, key: &[u8]) -> Result<(), StoreError> {
        self.shared.reading().get(&full_key(space, key)).map(drop)
    }
}

impl Shared {
    fn reading(&self) -> Reading<'_> {
        Reading { lock: &self.layers, pages: &self.pages }
    }

    fn flush(&self) -> Result<(), StoreError> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        Flush { writer, lock: &self.layers, pages: &self.pages }.run()
    }
}

impl Store for SledStore {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.reading().get(&full_key(space, key))
    }

    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        from: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        layers::scan(&self.reading(), space, prefix, from, visit)
    }

    fn scan_back(
        &self,
        space: Space,
        prefix: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        layers::scan_back(&self.reading(), space, prefix, visit)
    }

    fn apply(&mut self, batch: Batch) -> Result<(), StoreError> {
        batch.check()?;
        let mut layers = self.shared.layers.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(failure) = &layers.failed {
            return Err(failure.refusal());
        }
        if layers.active.bytes > self.shared.unflushed_bytes_max {
            drop(layers);
            self.shared.flush()?;
            layers = self.shared.layers.write().unwrap_or_else(PoisonError::into_inner);
        }
        layers.active.forget |= batch.forget;
        for (space, key, value) in batch.writes {
            layers.active.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
            layers.active.writes.insert(full_key(space, &key), value);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.shared.flush()
    }
}

/// Moves the store in `dir` aside, to the first free `dir.damaged-<n>`, and returns where it is
/// now. The next [`SledStore::open`] makes an empty store, which the peers refill. What was never
/// sent to anyone is only in the folder moved aside: keep it until that is settled.
pub fn quarantine_damaged(dir: &Path) -> Result<PathBuf, OpenError> {
    let _lock = lock(dir)?;
    let io = |cause: io::Error| OpenError::from(Failure::medium("moving the store aside", cause));
    for n in 1..=u32::MAX {
        let mut name = dir.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".damaged-{n}"));
        let aside = dir.with_file_name(name);
        if !aside.try_exists().map_err(io)? {
            fs::rename(dir, &aside).map_err(io)?;
            sync_parent(dir).map_err(io)?;
            return Ok(aside);
        }
    }
    Err(io(io::ErrorKind::AlreadyExists.into()))
}

/// The lock on a store's folder. The system lets go of it when the process ends.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    /// Lets go at once: a child that was made meanwhile and has not become another program yet holds
    /// a copy of the file.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Takes the lock on a store's folder.
fn lock(dir: &Path) -> Result<Lock, OpenError> {
    let io = |cause: io::Error| OpenError::from(Failure::medium("locking the store", cause));
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    let file = regular(&mut options, &dir.join("lock")).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { dir: dir.to_path_buf() }),
        Err(TryLockError::Error(cause)) => Err(io(cause)),
    }
}

/// Bytes that an ordinary user may still write to the medium that holds this path. A daemon that
/// finds little left stops taking in before a write fails: after that the store refuses.
pub fn free_space_bytes(path: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

fn folder_bytes(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let found = entry.metadata()?;
        bytes += if found.is_dir() { folder_bytes(&entry.path())? } else { found.len() };
    }
    Ok(bytes)
}
