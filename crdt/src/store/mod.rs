//! What the replica needs of a disk: an ordered map in a few spaces, atomic batches, a flush that
//! means durable, and one space whose values can truly be overwritten.
//!
//! Implementations: [`memory::MemoryStore`] here, sled in the node. Both run `conformance`.

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
pub mod memory;

use std::ops::ControlFlow;

/// A part of the store's key space. Keys of one space sort by their bytes.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Space {
    /// Single values: format version, counters.
    Meta = 0,
    /// Log number (u32 BE) -> the log's state.
    Logs = 1,
    /// Log number (u32 BE), last seq (u64 BE) -> a chunk of entries in short form.
    Entries = 2,
    /// The key boxes of a chunk, under the chunk's key. The one space that is *scrubbed*: removing
    /// or replacing a value overwrites the bytes on disk, where the medium lets it.
    Boxes = 3,
    /// Record id -> which entries it has and where its row is.
    Records = 4,
    /// Block number (u64 BE) -> a block of index rows.
    Rows = 5,
    /// Block number (u64 BE) -> the block's summary: what a query needs to skip it.
    Summaries = 6,
    /// Keyed hash of an external id -> record id.
    External = 7,
    /// Entries that wait for something: reason, then log number and seq.
    Waiting = 8,
    /// Peers that the operator configured, and what is remembered of them.
    Peers = 9,
    /// Proofs of misconduct, and other findings that must survive.
    Proofs = 10,
    /// The epochs' secrets that this device could open.
    Secrets = 11,
    /// The beginnings of the entry ids of a chunk, under the chunk's key.
    Ids = 12,
    /// Record id -> what is kept of an erased record.
    Erased = 13,
    /// Entries that are still to be detached: log number (u32 BE), seq (u64 BE).
    Erasing = 14,
    /// Which records disclose an entry: log digest, seq (u64 BE), record id -> nothing.
    Disclosed = 15,
    /// Items of attachments' sealed files: record id, attachment id, item (u64 BE).
    Attachments = 16,
}

impl Space {
    /// All spaces, for suites and repair.
    pub const ALL: [Self; 17] = [
        Self::Meta,
        Self::Logs,
        Self::Entries,
        Self::Boxes,
        Self::Records,
        Self::Rows,
        Self::Summaries,
        Self::External,
        Self::Waiting,
        Self::Peers,
        Self::Proofs,
        Self::Secrets,
        Self::Ids,
        Self::Erased,
        Self::Erasing,
        Self::Disclosed,
        Self::Attachments,
    ];

    /// Whether removed and replaced values are overwritten on disk.
    #[must_use]
    pub const fn scrubbed(self) -> bool {
        matches!(self, Self::Boxes | Self::Secrets)
    }

    /// Whether values are kept where they can be overwritten, and nowhere else: those that are
    /// scrubbed, and those that say what records hold and so must be gone once a batch asked to
    /// [forget](Batch::forget).
    #[must_use]
    pub const fn erasable(self) -> bool {
        self.scrubbed() || matches!(self, Self::Rows | Self::Summaries | Self::Entries)
    }
}

/// Longest key.
pub const KEY_BYTES_MAX: usize = 128;
/// Largest value. A chunk of entries, a block of rows and the largest single entry fit.
pub const VALUE_BYTES_MAX: usize = 512 * 1024;

/// Why the store could not do it. Nothing of the batch was applied, unless the variant says so.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The medium refused: full disk, I/O error, lost permission. After it the store refuses
    /// writes until it is opened again, because what is on disk is not known.
    #[error("the store's medium failed ({during}): {cause}")]
    Medium {
        /// What was being done.
        during: &'static str,
        /// What the operating system or the engine said.
        cause: String,
    },
    /// A value does not match its checksum or cannot be unsealed. All others are as before.
    #[error("the store is damaged: {space:?} value under key {} does not match its seal", hex(.key))]
    Damaged {
        /// The space.
        space: Space,
        /// The key.
        key: Vec<u8>,
    },
    /// What says where values are does not match its seal: which keys there are in that part of the store
    /// is not known, and so nothing that needs one of them can be answered or written.
    #[error("the store is damaged: {what} does not match its seal ({during})")]
    KeysDamaged {
        /// What.
        what: &'static str,
        /// What was looked for, or done.
        during: String,
    },
    /// A key or value above its bound: an error of the caller.
    #[error(
        "a key or value in {space:?} is above its bound: key {key_bytes}, value {value_bytes} bytes"
    )]
    TooLarge {
        /// The space.
        space: Space,
        /// Bytes of the key.
        key_bytes: usize,
        /// Bytes of the value.
        value_bytes: usize,
    },
}

impl StoreError {
    /// Whether bytes are not what was written; else the medium or the caller is at fault.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::KeysDamaged { .. })
    }
}

/// Writes that happen together or not at all. A later write to a key wins over an earlier one.
#[derive(Debug, Default)]
pub struct Batch {
    /// (space, key, value or removal), in order.
    pub writes: Vec<(Space, Vec<u8>, Option<Vec<u8>>)>,
    /// The flush that makes this batch durable also overwrites all values of [erasable] spaces that
    /// were removed or replaced until then, however long ago, where the medium lets it. It costs
    /// about a pass over the keys of the store and over what was freed since the last one: for
    /// erasures, which are rare.
    ///
    /// [erasable]: Space::erasable
    pub forget: bool,
}

impl Batch {
    /// Sets a value.
    pub fn put(&mut self, space: Space, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.writes.push((space, key.into(), Some(value.into())));
    }

    /// Removes a value.
    pub fn remove(&mut self, space: Space, key: impl Into<Vec<u8>>) {
        self.writes.push((space, key.into(), None));
    }

    /// Whether it writes and asks nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.writes.is_empty() && !self.forget
    }

    /// Refuses a key or value above its bound. Every store asks before it applies anything.
    pub fn check(&self) -> Result<(), StoreError> {
        for (space, key, value) in &self.writes {
            let (key_bytes, value_bytes) = (key.len(), value.as_ref().map_or(0, Vec::len));
            if key_bytes > KEY_BYTES_MAX || value_bytes > VALUE_BYTES_MAX {
                return Err(StoreError::TooLarge { space: *space, key_bytes, value_bytes });
            }
        }
        Ok(())
    }
}

/// Called with each key and value of a scan, until it breaks.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// A store. Reads see every applied batch, flushed or not.
pub trait Store {
    /// The value under a key.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Visits the keys `>= from` that begin with `prefix`, in ascending order.
    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        from: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError>;

    /// Visits the keys that begin with `prefix`, in descending order.
    fn scan_back(
        &self,
        space: Space,
        prefix: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError>;

    /// Applies a batch atomically: after a crash either all of it is there or nothing.
    fn apply(&mut self, batch: Batch) -> Result<(), StoreError>;

    /// Makes every batch applied so far survive a power cut. Only what was flushed may be
    /// acknowledged, announced or sent.
    fn flush(&mut self) -> Result<(), StoreError>;
}

/// A scan of some space that begins at a key.
pub type Scan<'a> = dyn Fn(&[u8], &mut Visit<'_>) -> Result<(), StoreError> + 'a;

/// Called with each key, and its value or what is wrong with that, until it breaks.
pub type VisitAll<'a> = dyn FnMut(&[u8], Result<&[u8], StoreError>) -> ControlFlow<()> + 'a;

/// Visits what a scan visits from a key on, and does not end where a value is damaged: the error is in its
/// place.
pub fn scan_past_damage(
    scan: &Scan<'_>,
    from: &[u8],
    visit: &mut VisitAll<'_>,
) -> Result<(), StoreError> {
    let mut from = from.to_vec();
    loop {
        let (space, key) = match scan(&from, &mut |key, value| visit(key, Ok(value))) {
            Err(StoreError::Damaged { space, key }) if key >= from => (space, key),
            scanned => return scanned,
        };
        if visit(&key, Err(damaged(space, &key))).is_break() {
            return Ok(());
        }
        from = key;
        // The first key after it.
        from.push(0);
    }
}

/// Visits the keys of a space from one on that begin with `prefix`, whether or not their values can be read:
/// where keys say what is needed.
pub fn scan_keys(
    store: &dyn Store,
    (space, prefix): (Space, &[u8]),
    from: &[u8],
    visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let scan: &Scan<'_> = &|from, visit| store.scan(space, prefix, from, visit);
    scan_past_damage(scan, from, &mut |key, _| visit(key))
}

/// The error for a value that passed its seal but does not decode: written by another version, or
/// by a hand that held the store's key.
#[must_use]
pub fn damaged(space: Space, key: &[u8]) -> StoreError {
    StoreError::Damaged { space, key: key.to_vec() }
}

fn hex(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}
