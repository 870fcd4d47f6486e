//! The index: a small sled database that says what the values file holds.
//!
//! It has five kinds of key. `0`: format version, store id and a proof of the key. `1 || seq`: what
//! one flush changed (a run, or where in the values file it is). `2 || page`: where a page of keys
//! is. `3 || seq`: stretches of the values file that are still to be overwritten. `4`: the *tip*,
//! what the rest must add up to.
//!
//! Why so little in sled: its leaves hold at most 16 items, whatever their size, and each change
//! rewrites them; leaves above an eighth of a mebibyte become files of their own that it never
//! syncs; and random keys cost it 35 us each and, in large batches, gigabytes of memory. As a
//! journal of small values it is quick, small and quick to open.
//!
//! sled is guarded: it does not sync its file to the medium when it flushes (we do); it may panic
//! on a damaged file (caught); it can leave a half-written snapshot that it later trips over
//! (removed before it looks); what it recovers is compared with the tip, and with what the values file
//! says that the tip should be; and it meets damage in a copy first ([`Rehearsal`]).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::hash::sha256;

use super::run::Extent;
use super::seal::{NONCE_BYTES, Nonce, Sealer};
use super::values::{StoreId, sync_data};
use super::{Failure, OpenError};
use crate::files::{new_private_file, regular};

/// Version of everything in a store's folder.
pub(super) const STORE_VERSION: u8 = 7;

/// sled's page cache. Everything is read once, when the store is opened.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;
/// How often sled looks for segments to clean up.
const CLEAN_EVERY_MS: u64 = 1_000;
/// Changes that one sled batch holds at most while pages are rewritten.
const BATCH_OPS_MAX: usize = 512;

/// How the names of copies begin.
const COPY_PREFIX: &str = "index.copy-";
/// Where a copy goes when there is no room beside the index: memory, on Linux.
const MEMORY: &str = "/dev/shm";
/// What sled may write to an index that it opens: a segment and a snapshot.
pub(super) const OPENING_BYTES: u64 = 2 * 1024 * 1024;
/// What sled says when its lock is taken.
const LOCK_ERROR: &str = "could not acquire lock";
/// How long and how often to wait for it: 10 s in all.
const LOCK_RETRY_DELAY: Duration = Duration::from_millis(5);
const LOCK_TRIES_MAX: u32 = 2_000;

const HEADER: u8 = 0;
const DELTA: u8 = 1;
const PAGE: u8 = 2;
const SCRUB: u8 = 3;
const TIP: u8 = 4;

/// What one flush changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Delta {
    /// The run itself.
    Inline(Vec<u8>),
    /// Where it is.
    Stored(Extent),
}

/// Where a page is and what it begins with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct PageEntry {
    /// Its number, which is its name in the seal.
    pub(super) no: u64,
    /// Its lowest key.
    pub(super) first: Vec<u8>,
    /// Where it is.
    pub(super) extent: Extent,
    /// Whether any of its slots is in the values file.
    pub(super) refers: bool,
}

/// Kind and number of a value of the index: its key.
type Name = (u8, u64);

/// Stretches `(offset, len)` of the values file.
pub(super) type Stretches = Vec<(u64, u64)>;

/// All that the index holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// By sequence number, ascending.
    pub(super) deltas: Vec<(u64, Delta)>,
    /// By number.
    pub(super) pages: Vec<PageEntry>,
    /// By sequence number, ascending.
    pub(super) scrubs: Vec<(u64, Stretches)>,
}

/// One atomic change of the index.
#[derive(Debug, Default)]
pub(super) struct Change {
    ops: Vec<(Name, Option<Vec<u8>>)>,
    /// Ends of groups of operations that belong together, so that a large change may be cut.
    groups: Vec<usize>,
}

impl Change {
    /// Adds what a flush changed.
    pub(super) fn add_delta(&mut self, seq: u64, delta: &Delta) {
        let mut text = Vec::new();
        match delta {
            Delta::Inline(run) => {
                text.push(0);
                text.raw(run);
            }
            Delta::Stored(extent) => {
                text.push(1);
                extent.encode(&mut text);
            }
        }
        self.ops.push(((DELTA, seq), Some(text)));
    }

    /// Removes it.
    pub(super) fn remove_delta(&mut self, seq: u64) {
        self.ops.push(((DELTA, seq), None));
    }

    /// Adds or replaces a page.
    pub(super) fn set_page(&mut self, page: &PageEntry) {
        let mut text = vec![u8::from(page.refers)];
        text.bytes(&page.first);
        page.extent.encode(&mut text);
        self.ops.push(((PAGE, page.no), Some(text)));
    }

    /// Removes a page.
    pub(super) fn remove_page(&mut self, no: u64) {
        self.ops.push(((PAGE, no), None));
    }

    /// Adds stretches that must be overwritten once this change is durable.
    pub(super) fn add_scrub(&mut self, seq: u64, stretches: &[(u64, u64)]) {
        let mut text = Vec::new();
        for (offset, len) in stretches {
            text.number(*offset).number(*len);
        }
        self.ops.push(((SCRUB, seq), Some(text)));
    }

    /// Removes them: they were overwritten.
    pub(super) fn remove_scrub(&mut self, seq: u64) {
        self.ops.push(((SCRUB, seq), None));
    }

    /// What was added so far may be applied apart from what comes.
    pub(super) fn end_group(&mut self) {
        self.groups.push(self.ops.len());
    }
}

/// The open index.
pub(super) struct Index {
    db: sled::Db,
    file: File,
    /// The nonce of every delta, page and list of stretches.
    nonces: BTreeMap<Name, Nonce>,
    tip: Tip,
}

/// What all deltas, pages and scrubs add up to: their number, and their nonces, added bitwise. A
/// value that sled lost, or brought back from the past, shows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Tip {
    /// Changes so far.
    generation: u64,
    values: u64,
    nonces: Nonce,
}

impl Tip {
    /// Bytes of its encoding.
    pub(super) const BYTES: usize = 2 * size_of::<u64>() + NONCE_BYTES;

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::BYTES);
        out.raw(&self.generation.to_be_bytes()).raw(&self.values.to_be_bytes()).raw(&self.nonces);
        out
    }

    pub(super) fn decode(text: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(text);
        let generation = u64::from_be_bytes(reader.array("generation").ok()?);
        let values = u64::from_be_bytes(reader.array("values").ok()?);
        let nonces = reader.array("nonces").ok()?;
        reader.finish().ok()?;
        Some(Self { generation, values, nonces })
    }

    /// Whether an index that adds up to this holds every change that another tip counts.
    pub(super) fn covers(&self, confirmed: &Self) -> bool {
        self.generation > confirmed.generation || self == confirmed
    }

    fn toggle(&mut self, nonce: &Nonce) {
        for (sum, byte) in self.nonces.iter_mut().zip(nonce) {
            *sum ^= byte;
        }
    }
}

impl Index {
    /// Makes a new index in `dir`, which appears as a whole or not at all.
    pub(super) fn create(dir: &Path, id: &StoreId, sealer: &Sealer) -> Result<(), Failure> {
        let parent = dir.parent().unwrap_or(dir);
        let making = parent.join("index.new");
        let io = |cause: io::Error| Failure::medium("making the index", cause);
        if making.exists() {
            fs::remove_dir_all(&making).map_err(io)?;
        }
        let (db, file) = open_sled(&making)?;
        let mut header = vec![STORE_VERSION];
        header.raw(id);
        let (_, proof) = sealer.seal_whole(&key_proof_name(id), Vec::new())?;
        header.raw(&proof);
        let (_, tip) = sealer.seal_whole(&[TIP], Tip::default().encode())?;
        guarded("making the index", || {
            db.insert([HEADER], header)?;
            db.insert([TIP], tip)?;
            db.flush()
        })?;
        file.sync_all().map_err(io)?;
        drop(db);
        for entry in fs::read_dir(&making).map_err(io)? {
            File::open(entry.map_err(io)?.path()).and_then(|f| f.sync_all()).map_err(io)?;
        }
        File::open(&making).and_then(|f| f.sync_all()).map_err(io)?;
        fs::rename(&making, dir).map_err(io)?;
        File::open(parent).and_then(|f| f.sync_all()).map_err(io)
    }

    /// Opens the index that a [`Rehearsal`] found to be whole.
    pub(super) fn open(dir: &Path, sealer: &Sealer, found: Rehearsal) -> Result<Self, OpenError> {
        // What a killed process left is not on the medium yet. sled would write a snapshot that
        // refers to it, and the caller would build on it; a power cut could then take it away.
        match File::open(dir.join("db")).and_then(|file| file.sync_all()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Failure::medium("syncing the index", error).into());
            }
            _ => {}
        }
        let (db, file) = open_healed(dir)?;
        if read_tip(&db, sealer)? != Some(found.tip) {
            return Err(OpenError::damaged("the index reads differently from its copy"));
        }
        Ok(Self { db, file, nonces: found.nonces, tip: found.tip })
    }

    /// What it adds up to.
    pub(super) const fn tip(&self) -> &Tip {
        &self.tip
    }

    /// Applies a change, in several atomic pieces if it has groups, and makes it durable.
    pub(super) fn apply(&mut self, change: Change, sealer: &Sealer) -> Result<(), Failure> {
        let Change { ops, groups } = change;
        self.tip.generation += 1;
        let mut ops = ops.into_iter();
        let mut done = 0;
        let mut cuts: Vec<usize> = Vec::new();
        for end in groups {
            if end >= cuts.last().copied().unwrap_or(0) + BATCH_OPS_MAX {
                cuts.push(end);
            }
        }
        cuts.push(usize::MAX);
        for cut in cuts {
            let mut batch = sled::Batch::default();
            for (name, text) in ops.by_ref().take(cut - done) {
                let key = numbered(name);
                match text {
                    Some(text) => {
                        let (nonce, sealed) = sealer.seal_whole(&key, text)?;
                        self.note(name, Some(nonce));
                        batch.insert(key, sealed);
                    }
                    None => {
                        self.note(name, None);
                        batch.remove(key);
                    }
                }
            }
            done = cut;
            let (_, tip) = sealer.seal_whole(&[TIP], self.tip.encode())?;
            batch.insert(&[TIP], tip);
            guarded("writing the index", || self.db.apply_batch(batch))?;
            // sled frees memory a little at a time, once per so many calls; a large batch is one
            // call and leaves much to free.
            for _ in 0..8 {
                sled::pin().flush();
            }
        }
        guarded("flushing the index", || self.db.flush())?;
        sync_data(&self.file).map_err(|cause| Failure::medium("syncing the index", cause))
    }

    /// Keeps the tip in step.
    fn note(&mut self, name: Name, nonce: Option<Nonce>) {
        note(&mut self.nonces, &mut self.tip, name, nonce);
    }
}

/// Keeps a tip in step with the nonces.
fn note(nonces: &mut BTreeMap<Name, Nonce>, tip: &mut Tip, name: Name, nonce: Option<Nonce>) {
    let before = match nonce {
        Some(nonce) => {
            tip.toggle(&nonce);
            nonces.insert(name, nonce)
        }
        None => nonces.remove(&name),
    };
    if let Some(before) = before {
        tip.toggle(&before);
    }
    tip.values = nonces.len() as u64;
}

/// What an index was found to hold, read from a copy of it: sled repairs what it opens, and where it
/// meets damage it overwrites everything behind that. So the original is opened only when the copy
/// turns out to be whole, and a store that is refused stays as it was found.
pub(super) struct Rehearsal {
    /// The store's id.
    pub(super) id: StoreId,
    nonces: BTreeMap<Name, Nonce>,
    tip: Tip,
}

impl Rehearsal {
    /// Copies the index in `dir` to a folder beside it, or to memory if it does not fit there, reads it
    /// all in the copy, and removes that.
    pub(super) fn of(dir: &Path, sealer: &Sealer) -> Result<(Self, Contents), OpenError> {
        let mut name = [0; 8];
        getrandom::fill(&mut name).map_err(|cause| Failure::medium("drawing a name", cause))?;
        let name = format!("{:x}", u64::from_be_bytes(name));
        let copying = |cause| Failure::medium("copying the index", cause);
        let beside = dir.with_file_name(format!("{COPY_PREFIX}{name}"));
        let fits =
            super::free_space_bytes(dir).map_err(copying)? >= copy_bytes(dir).map_err(copying)?;
        let copy = Duplicate(if fits || !Path::new(MEMORY).is_dir() {
            beside
        } else {
            Path::new(MEMORY).join(memory_prefix(dir.parent().unwrap_or(dir)) + &name)
        });
        copy_folder(dir, &copy.0).map_err(copying)?;
        let (db, _) = open_healed(&copy.0)?;
        let header = guarded("reading the header", || db.get([HEADER]))?
            .ok_or(OpenError::damaged("the index has no header"))?;
        let id = check_header(&header, sealer)?;
        let mut found = Self { id, nonces: BTreeMap::new(), tip: Tip::default() };
        let contents = found.read_all(&db, sealer)?;
        Ok((found, contents))
    }

    /// What the index adds up to.
    pub(super) const fn tip(&self) -> &Tip {
        &self.tip
    }

    fn read_all(&mut self, db: &sled::Db, sealer: &Sealer) -> Result<Contents, OpenError> {
        let mut contents = Contents::default();
        let mut items = db.iter();
        while let Some((key, sealed)) = guarded("reading the index", || items.next().transpose())? {
            let Some((kind, no)) = key.split_first() else {
                return Err(OpenError::damaged("the index has an empty key"));
            };
            if matches!(*kind, HEADER | TIP) {
                continue;
            }
            let (nonce, text) = sealer
                .unseal_whole(&key, &sealed)
                .ok_or(OpenError::damaged("a value of the index does not match its seal"))?;
            let no = no.try_into().map_or(u64::MAX, u64::from_be_bytes);
            note(&mut self.nonces, &mut self.tip, (*kind, no), Some(nonce));
            contents
                .read(*kind, no, &text)
                .map_err(|_| OpenError::damaged("a value of the index cannot be read"))?;
        }
        let tip = read_tip(db, sealer)?;
        self.tip.generation = tip.map_or(0, |tip| tip.generation);
        if tip != Some(self.tip) {
            return Err(OpenError::damaged("the index does not add up to its tip"));
        }
        Ok(contents)
    }
}

/// The tip that an index holds.
fn read_tip(db: &sled::Db, sealer: &Sealer) -> Result<Option<Tip>, OpenError> {
    let Some(sealed) = guarded("reading the tip", || db.get([TIP]))? else { return Ok(None) };
    let (_, text) = sealer
        .unseal_whole(&[TIP], &sealed)
        .ok_or(OpenError::damaged("the tip of the index does not match its seal"))?;
    Ok(Tip::decode(&text))
}

/// A copy of an index, as long as the value lives.
struct Duplicate(PathBuf);

impl Drop for Duplicate {
    /// Removes it. sled may still be writing its last words into it; then it stays until the store
    /// is opened again.
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Removes what interrupted rehearsals left, as far as that can be done.
pub(super) fn remove_copies(store_dir: &Path) {
    let in_memory = memory_prefix(store_dir);
    for (folder, prefix) in [(store_dir, COPY_PREFIX), (Path::new(MEMORY), &in_memory)] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// How the names of a store's copies in memory begin.
fn memory_prefix(store_dir: &Path) -> String {
    let hash = sha256(store_dir.as_os_str().as_bytes());
    let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("tearline-{hash}-")
}

/// What a copy of the index in `dir` takes, opened.
pub(super) fn copy_bytes(dir: &Path) -> io::Result<u64> {
    Ok(super::folder_bytes(dir)?.saturating_add(OPENING_BYTES))
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &place)?;
        } else {
            let mut copy = new_private_file(&place)?;
            io::copy(&mut regular(File::options().read(true), &entry.path())?, &mut copy)?;
        }
    }
    Ok(())
}

impl Contents {
    fn read(&mut self, kind: u8, no: u64, text: &[u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(text);
        match kind {
            DELTA => {
                let at = reader.at();
                let delta = match reader.u8("kind of delta")? {
                    0 => Delta::Inline(reader.take(reader.left(), "run")?.to_vec()),
                    1 => Delta::Stored(Extent::decode(&mut reader)?),
                    _ => return reader.invalid(at, "kind of delta"),
                };
                self.deltas.push((no, delta));
            }
            PAGE => {
                let refers = reader.u8("refers")? != 0;
                let first = reader.bytes(super::run::FULL_KEY_BYTES_MAX, "first key")?.to_vec();
                let extent = Extent::decode(&mut reader)?;
                self.pages.push(PageEntry { no, first, extent, refers });
            }
            SCRUB => {
                let mut stretches = Stretches::new();
                while reader.left() > 0 {
                    stretches.push((reader.number("offset")?, reader.number("length")?));
                }
                self.scrubs.push((no, stretches));
            }
            _ => return reader.invalid(0, "kind of key"),
        }
        reader.finish()
    }
}

fn numbered((kind, no): Name) -> Vec<u8> {
    [&[kind][..], &no.to_be_bytes()].concat()
}

fn key_proof_name(id: &StoreId) -> Vec<u8> {
    [&[HEADER, STORE_VERSION][..], id].concat()
}

/// Checks the header: `version || store id || sealed nothing`.
fn check_header(header: &[u8], sealer: &Sealer) -> Result<StoreId, OpenError> {
    let mut reader = Reader::new(header);
    let short = |_| OpenError::damaged("the index's header is too short");
    let version = reader.u8("version").map_err(short)?;
    if version != STORE_VERSION {
        return Err(OpenError::Version { found: version, known: STORE_VERSION });
    }
    let id: StoreId = reader.array("store id").map_err(short)?;
    let proof = reader.take(reader.left(), "proof of the key").map_err(short)?;
    match sealer.unseal_whole(&key_proof_name(&id), proof) {
        Some(_) => Ok(id),
        None => Err(OpenError::WrongKey),
    }
}

/// Opens sled; if that fails because of its snapshot, once more without one. A snapshot only
/// saves sled reading its log.
fn open_healed(dir: &Path) -> Result<(sled::Db, File), OpenError> {
    let io = |cause| OpenError::from(Failure::medium("looking for sled's snapshots", cause));
    for unfinished in snapshots(dir).map_err(io)? {
        if unfinished.extension().is_some_and(|end| end == "generating") {
            tracing::warn!(file = %unfinished.display(), "removing an unfinished snapshot");
            fs::remove_file(&unfinished).map_err(io)?;
        }
    }
    match open_sled(dir) {
        Ok(opened) => Ok(opened),
        Err(Failure::Damaged { .. }) => {
            let snapshots = snapshots(dir).map_err(io)?;
            if snapshots.is_empty() {
                return Err(OpenError::damaged("sled cannot read its log"));
            }
            for snapshot in snapshots {
                tracing::warn!(file = %snapshot.display(), "removing a snapshot sled cannot read");
                fs::remove_file(&snapshot).map_err(io)?;
            }
            Ok(open_sled(dir)?)
        }
        Err(failure) => Err(failure.into()),
    }
}

fn snapshots(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("snap.")) {
            found.push(path);
        }
    }
    Ok(found)
}

fn open_sled(dir: &Path) -> Result<(sled::Db, File), Failure> {
    let config = sled::Config::new()
        .path(dir)
        .cache_capacity(CACHE_BYTES)
        .mode(sled::Mode::HighThroughput)
        .flush_every_ms(Some(CLEAN_EVERY_MS));
    // A store that this process just closed may still be writing its last segment, and holds
    // sled's lock meanwhile. Another process cannot: the store's own lock is taken first.
    let mut tries = LOCK_TRIES_MAX;
    let db = loop {
        match guarded("opening the index", || config.open()) {
            Err(Failure::Medium { cause, .. }) if tries > 0 && cause.contains(LOCK_ERROR) => {
                tries -= 1;
                sled::pin().flush();
                std::thread::sleep(LOCK_RETRY_DELAY);
            }
            opened => break opened?,
        }
    };
    let file = File::open(dir.join("db"))
        .map_err(|cause| Failure::medium("opening the index's file", cause))?;
    Ok((db, file))
}

/// Calls sled. A panic or a report of corruption there is damage, anything else the medium.
fn guarded<T>(during: &'static str, call: impl FnOnce() -> sled::Result<T>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(cause))) => Err(Failure::medium(during, cause)),
        Ok(Err(_)) => Err(Failure::Damaged { what: "sled reports corruption" }),
        Err(_) => Err(Failure::Damaged { what: "sled panicked" }),
    }
}
