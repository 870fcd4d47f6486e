//! Attachments: files that belong to a record.
//!
//! What the record says of one is its *manifest*, in a field of its own, so that files which are attached
//! apart stand side by side: name, media type, length, hash, a thumbnail, and the key. The file itself stands
//! in no log. It is cut into *blocks*, sealed under that key, and named by the hash of the list of their
//! hashes. List and blocks, one after the other, are the *sealed file*: whoever has its beginning goes on
//! where it ends, and every item of it is checked when it is whole. No key is needed for that.
//!
//! The key is drawn for one file and stands in the record's sealed payload alone. So who destroys a record
//! has destroyed what its files say, too, wherever their blocks are.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::hash::{Digest, Domain};
use crate::id::{AttachmentId, RecordId};
use crate::seal::{self, BrokenSeal, Key, TAG_BYTES};
use crate::store::{Batch, Space, Store, StoreError};

/// Largest file, in bytes.
pub const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Most files of a record.
pub const PER_RECORD_MAX: usize = 16;
/// Longest name of a file, in bytes.
pub const NAME_BYTES_MAX: usize = 255;
/// Longest media type, in bytes.
pub const MEDIA_TYPE_BYTES_MAX: usize = 127;
/// Largest thumbnail, in bytes.
pub const THUMBNAIL_BYTES_MAX: usize = 2_048;
/// Bytes of a file in a block.
pub const BLOCK_BYTES: usize = 16 * 1024;
/// Most blocks of a file. Their list is no longer than a block.
const BLOCKS_MAX: u64 = FILE_BYTES_MAX / BLOCK_BYTES as u64;
const _: () = assert!(BLOCKS_MAX as usize * HASH_BYTES <= BLOCK_BYTES);
const HASH_BYTES: usize = 32;
/// Before an attachment's id, the field that has its manifest.
const FIELD: &str = "attachment_";

/// Whether a field has a manifest. Only attaching writes it.
#[must_use]
pub fn is_attachment(field: &str) -> bool {
    field.starts_with(FIELD)
}

/// What a record says of a file.
#[derive(Clone, Eq, PartialEq)]
pub struct Manifest {
    /// Its sealed form.
    pub id: AttachmentId,
    /// What it is called.
    pub name: String,
    /// Its media type (RFC 6838).
    pub media_type: String,
    /// Its length, in bytes.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: Digest,
    /// A small picture of it, JPEG in base64; empty if there is none.
    pub thumbnail: String,
    /// What its blocks are sealed under.
    pub key: Key,
}

impl std::fmt::Debug for Manifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Manifest({}, {} bytes)", self.id.short(), self.bytes)
    }
}

impl Manifest {
    /// The field that has it.
    #[must_use]
    pub fn field(&self) -> String {
        format!("{FIELD}{}", self.id)
    }

    /// What stands there.
    #[must_use]
    pub fn value(&self) -> Value {
        json!({
            "name": self.name,
            "media_type": self.media_type,
            "bytes": self.bytes,
            "sha256": hex(&self.sha256),
            "thumbnail": self.thumbnail,
            "key": hex(&self.key),
        })
    }

    /// Reads it from a field, if it is one within all bounds.
    #[must_use]
    pub fn read(field: &str, value: &Value) -> Option<Self> {
        let id = field.strip_prefix(FIELD)?.parse().ok()?;
        let text = |name: &str, bytes_max: usize| {
            let text = value.get(name)?.as_str()?;
            (text.len() <= bytes_max).then(|| text.to_owned())
        };
        let digest = |name: &str| text(name, 64)?.parse().ok().map(|AttachmentId(bytes)| bytes);
        let bytes = value.get("bytes")?.as_u64()?;
        (1..=FILE_BYTES_MAX).contains(&bytes).then_some(())?;
        Some(Self {
            id,
            name: text("name", NAME_BYTES_MAX).filter(|name| is_file_name(name))?,
            media_type: text("media_type", MEDIA_TYPE_BYTES_MAX)?,
            bytes,
            sha256: digest("sha256")?,
            thumbnail: text("thumbnail", THUMBNAIL_BYTES_MAX.div_ceil(3) * 4)?,
            key: Zeroizing::new(digest("key")?),
        })
    }

    /// The manifests among a record's fields, by name.
    #[must_use]
    pub fn all(fields: &Map<String, Value>) -> Vec<Self> {
        let read = |(field, value): (&String, &Value)| Self::read(field, value);
        let mut all: Vec<Self> = fields.iter().filter_map(read).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name).then(a.id.cmp(&b.id)));
        all.truncate(PER_RECORD_MAX);
        all
    }

    /// How its sealed file is laid out.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        Layout { bytes: self.bytes }
    }

    /// Opens a block, from 0.
    pub fn open(&self, block: u64, sealed: &[u8]) -> Result<Vec<u8>, BrokenSeal> {
        seal::open(&self.key, &nonce(block), &[], sealed)
    }
}

/// Whether a text can be a file's name, leads nowhere else, and looks like what it is: controls of direction
/// (Unicode Standard Annex 9, section 2) make `cod.exe` of what reads as `exe.doc`.
#[must_use]
pub fn is_file_name(name: &str) -> bool {
    let turns = |c| {
        let marks = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}');
        marks || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let bad = |c: char| c.is_control() || matches!(c, '/' | '\\') || turns(c);
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.contains(bad)
        && name != "."
        && name != ".."
}

/// How a sealed file is laid out: the list is item 0, the blocks follow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Layout {
    /// The file's length.
    bytes: u64,
}

impl Layout {
    /// How many blocks there are.
    #[must_use]
    pub const fn blocks(&self) -> u64 {
        self.bytes.div_ceil(BLOCK_BYTES as u64)
    }

    /// The length of the sealed file.
    #[must_use]
    pub const fn sealed_bytes(&self) -> u64 {
        self.bytes + self.blocks() * (HASH_BYTES + TAG_BYTES) as u64
    }

    /// The length of an item.
    #[must_use]
    pub const fn item_bytes(&self, item: u64) -> usize {
        if item == 0 {
            return self.blocks() as usize * HASH_BYTES;
        }
        let before = (item - 1) * BLOCK_BYTES as u64;
        let left = self.bytes.saturating_sub(before);
        let plain = if left < BLOCK_BYTES as u64 { left as usize } else { BLOCK_BYTES };
        plain + TAG_BYTES
    }

    /// The item at a place of the sealed file, and how far into it that is.
    #[must_use]
    pub const fn item_at(&self, at: u64) -> (u64, usize) {
        let list = self.item_bytes(0) as u64;
        if at < list {
            return (0, at as usize);
        }
        let block = (BLOCK_BYTES + TAG_BYTES) as u64;
        (1 + (at - list) / block, ((at - list) % block) as usize)
    }

    /// Where an item begins.
    #[must_use]
    pub const fn begin(&self, item: u64) -> u64 {
        if item == 0 {
            return 0;
        }
        self.item_bytes(0) as u64 + (item - 1) * (BLOCK_BYTES + TAG_BYTES) as u64
    }

    /// Whether a whole item is what the id says; a block by the list, which was checked before.
    #[must_use]
    pub fn holds(&self, id: &AttachmentId, list: &[u8], item: u64, bytes: &[u8]) -> bool {
        if bytes.len() != self.item_bytes(item) {
            return false;
        }
        if item == 0 {
            return *id == name_of(self.bytes, bytes);
        }
        let at = (item - 1) as usize * HASH_BYTES;
        list.get(at..at + HASH_BYTES) == Some(Domain::AttachmentBlock.hash(&[bytes]).as_slice())
    }
}

/// Seals a file under a fresh key. Returns its id and the items of its sealed form.
#[must_use]
pub fn seal_file(plain: &[u8], key: &Key) -> (AttachmentId, Vec<Vec<u8>>) {
    let mut items = vec![Vec::new()];
    let mut list = Vec::new();
    for (block, bytes) in plain.chunks(BLOCK_BYTES).enumerate() {
        let sealed = seal::seal(key, &nonce(block as u64), &[], bytes);
        list.extend(Domain::AttachmentBlock.hash(&[&sealed]));
        items.push(sealed);
    }
    let id = name_of(plain.len() as u64, &list);
    if let Some(first) = items.first_mut() {
        *first = list;
    }
    (id, items)
}

fn name_of(bytes: u64, list: &[u8]) -> AttachmentId {
    AttachmentId(Domain::Attachment.hash(&[&bytes.to_be_bytes(), list]))
}

/// The key is of one file, so that the block's number is enough.
fn nonce(block: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce.iter_mut().skip(4).zip(block.to_be_bytes()).for_each(|(to, from)| *to = from);
    nonce
}

fn hex(bytes: &[u8; 32]) -> String {
    AttachmentId(*bytes).to_string()
}

/// Writes down an item, or its beginning.
pub fn put(batch: &mut Batch, record: &RecordId, id: &AttachmentId, item: u64, bytes: Vec<u8>) {
    batch.put(Space::Attachments, item_key(record, id, item), bytes);
}

/// Takes an item away.
pub fn remove(batch: &mut Batch, record: &RecordId, id: &AttachmentId, item: u64) {
    batch.remove(Space::Attachments, item_key(record, id, item));
}

/// An item, or its beginning; empty if there is nothing of it.
pub fn item(
    store: &dyn Store,
    record: &RecordId,
    id: &AttachmentId,
    item: u64,
) -> Result<Vec<u8>, StoreError> {
    Ok(store.get(Space::Attachments, &item_key(record, id, item))?.unwrap_or_default())
}

/// The items of a sealed file that are not here whole: those that did not come yet, and those that are damaged.
/// Reads all of it.
pub fn lacking(
    store: &dyn Store,
    record: &RecordId,
    id: &AttachmentId,
    layout: Layout,
) -> Result<BTreeSet<u64>, StoreError> {
    let mut lacking = BTreeSet::new();
    for n in 0..=layout.blocks() {
        match item(store, record, id, n) {
            Ok(bytes) if bytes.len() == layout.item_bytes(n) => {}
            Ok(_) | Err(StoreError::Damaged { .. }) => drop(lacking.insert(n)),
            Err(error) => return Err(error),
        }
    }
    Ok(lacking)
}

/// The record and the file of which a row holds an item; `None` of what is no key of one.
#[must_use]
pub fn of_row(key: &[u8]) -> Option<(RecordId, AttachmentId)> {
    let (record, rest) = key.split_first_chunk()?;
    let (id, _) = rest.split_first_chunk()?;
    Some((RecordId(*record), AttachmentId(*id)))
}

/// How much of a sealed file is here, from its beginning on, as far as a few looks tell: what is damaged and
/// was looked at ends it. [`lacking`] knows.
pub fn held(
    store: &dyn Store,
    record: &RecordId,
    id: &AttachmentId,
    layout: Layout,
) -> Result<u64, StoreError> {
    // Items come in their order, so the last is the only one that may be less than whole.
    let (mut low, mut high) = (0, layout.blocks() + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        match store.get(Space::Attachments, &item_key(record, id, middle)) {
            Ok(Some(_)) => low = middle + 1,
            Ok(None) | Err(StoreError::Damaged { .. }) => high = middle,
            Err(error) => return Err(error),
        }
    }
    let Some(last) = low.checked_sub(1) else { return Ok(0) };
    let bytes = item(store, record, id, last)?.len().min(layout.item_bytes(last));
    Ok(layout.begin(last) + bytes as u64)
}

/// Drops all that is held of a record's files.
pub(crate) fn forget(
    store: &dyn Store,
    batch: &mut Batch,
    record: &RecordId,
) -> Result<(), StoreError> {
    store.scan(Space::Attachments, &record.0, &[], &mut |key, _| {
        batch.remove(Space::Attachments, key.to_vec());
        std::ops::ControlFlow::Continue(())
    })
}

fn item_key(record: &RecordId, id: &AttachmentId, item: u64) -> Vec<u8> {
    [&record.0[..], &id.0, &item.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    fn file(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|n| (n % 251) as u8).collect()
    }

    fn manifest(plain: &[u8]) -> (Manifest, Vec<Vec<u8>>) {
        let key = Zeroizing::new([7; 32]);
        let (id, items) = seal_file(plain, &key);
        let manifest = Manifest {
            id,
            name: "scene.jpg".into(),
            media_type: "image/jpeg".into(),
            bytes: plain.len() as u64,
            sha256: [3; 32],
            thumbnail: "AAAA".into(),
            key,
        };
        (manifest, items)
    }

    #[test]
    fn a_sealed_file_opens_and_every_item_of_it_is_checked() {
        for bytes in [1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 5] {
            let plain = file(bytes);
            let (manifest, items) = manifest(&plain);
            let layout = manifest.layout();
            assert_eq!(items.len() as u64, layout.blocks() + 1);
            assert_eq!(items.concat().len() as u64, layout.sealed_bytes());
            let mut opened = Vec::new();
            for (n, sealed) in items.iter().enumerate() {
                let n = n as u64;
                assert!(layout.holds(&manifest.id, &items[0], n, sealed));
                assert_eq!(layout.item_at(layout.begin(n)), (n, 0));
                assert_eq!(layout.item_at(layout.begin(n) + sealed.len() as u64 - 1).0, n);
                let mut other = sealed.clone();
                other[0] ^= 1;
                assert!(!layout.holds(&manifest.id, &items[0], n, &other));
                if n > 0 {
                    opened.extend(manifest.open(n - 1, sealed).unwrap());
                    assert!(manifest.open(n, sealed).is_err(), "a block has one place");
                }
            }
            assert_eq!(opened, plain);
            let longer = Layout { bytes: bytes as u64 + 1 };
            assert!(!longer.holds(&manifest.id, &items[0], 0, &items[0]));
        }
    }

    #[test]
    fn a_manifest_reads_back_from_its_field_within_bounds_alone() {
        let (manifest, _) = manifest(&file(10));
        let (field, value) = (manifest.field(), manifest.value());
        assert!(is_attachment(&field) && !is_attachment("attachments"));
        assert_eq!(Manifest::read(&field, &value), Some(manifest));
        for (name, bad) in [
            ("name", json!("../etc/passwd")),
            ("name", json!("")),
            ("bytes", json!(0)),
            ("bytes", json!(FILE_BYTES_MAX + 1)),
            ("key", json!("00")),
            ("thumbnail", json!("A".repeat(4_000))),
            ("media_type", json!(7)),
        ] {
            let mut other = value.clone();
            other[name] = bad.clone();
            assert_eq!(Manifest::read(&field, &other), None, "{name}: {bad}");
        }
    }

    #[test]
    fn what_is_held_is_known_to_the_byte_and_forgotten_with_its_record() {
        let (manifest, items) = manifest(&file(3 * BLOCK_BYTES + 5));
        let (record, layout) = (RecordId([1; 16]), manifest.layout());
        let mut store = MemoryStore::default();
        let at = |store: &MemoryStore| held(store, &record, &manifest.id, layout).unwrap();
        assert_eq!(at(&store), 0);
        for (n, sealed) in items.iter().enumerate() {
            for upto in [sealed.len() / 2, sealed.len()] {
                let mut batch = Batch::default();
                put(&mut batch, &record, &manifest.id, n as u64, sealed[..upto].to_vec());
                store.apply(batch).unwrap();
                assert_eq!(at(&store), layout.begin(n as u64) + upto as u64);
            }
        }
        assert_eq!(at(&store), layout.sealed_bytes());
        let mut batch = Batch::default();
        forget(&store, &mut batch, &record).unwrap();
        store.apply(batch).unwrap();
        assert_eq!(at(&store), 0);
    }
}
