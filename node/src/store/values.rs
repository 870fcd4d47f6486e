//! The values file: sealed bytes at offsets, where they can truly be overwritten.
//!
//! The index says which bytes are in use; the file itself has no structure but a short header. New
//! bytes go where nothing is, never over what a durable index refers to. Free space is not kept in
//! step with every write, where one slip would overwrite a live value: it is worked out anew from
//! the references (see [`ValuesFile::reclaim`]), and until the first time new bytes go to the end.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;

use super::Failure;
use super::index::Tip;
use super::run::Extent;
use super::seal::{Kind, NONCE_BYTES, Sealer, TAG_BYTES};
use super::zeroed::Zeroed;
use crate::files::regular;

/// Bytes before the first value: a magic, the store's id, and the last [`ValuesFile::confirm`]ation.
pub(super) const HEADER_BYTES: usize = 128;
const CONFIRMATION_AT: usize = 64;
const CONFIRMATION_BYTES: usize = NONCE_BYTES + Tip::BYTES + TAG_BYTES;
const CONFIRMATION_NAME: &[u8] = b"confirmation";
const _: () = assert!(CONFIRMATION_AT + CONFIRMATION_BYTES <= HEADER_BYTES);
const MAGIC: &[u8; 16] = b"tearline values\x01";

/// Largest sealed piece: a value at its bound or a run, with room for a tag.
pub(super) const EXTENT_BYTES_MAX: u32 = 1024 * 1024;

/// Bytes that one system call writes at most.
const WRITE_BYTES_MAX: usize = 1024 * 1024;
/// A free tail of this length is given back to the file system.
const TAIL_BYTES_MIN: u64 = 1024 * 1024;
/// Longest piece that counts as short: a key box, a short entry.
const SHORT_BYTES_MAX: u64 = 5 * 1024;
/// What short pieces take of a long free stretch, or of the end, at once.
const SHORT_REGION_BYTES: u64 = 64 * 1024;
/// Zeros, to overwrite with.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// The store's id: random, made with the store, so that its files cannot be mixed with another's.
pub(super) type StoreId = [u8; 16];

/// Reads sealed bytes. Cheap to clone and to share between threads.
#[derive(Clone)]
pub(super) struct ValuesReader {
    file: Arc<File>,
}

impl ValuesReader {
    /// The text at an extent; `None` if what is there is not what was written.
    pub(super) fn read(
        &self,
        sealer: &Sealer,
        kind: Kind,
        name: &[u8],
        extent: &Extent,
    ) -> Result<Option<Vec<u8>>, Failure> {
        if extent.len > EXTENT_BYTES_MAX || i64::try_from(extent.end()).is_err() {
            return Ok(None);
        }
        let mut sealed = vec![0; extent.len as usize];
        match self.file.read_exact_at(&mut sealed, extent.offset) {
            Ok(()) => Ok(sealer.unseal(kind, name, &extent.nonce, sealed)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(cause) => Err(Failure::medium("reading a value", cause)),
        }
    }
}

/// A free stretch that is being filled from its front.
#[derive(Clone, Copy, Debug, Default)]
struct Region {
    at: u64,
    until: u64,
}

/// Lets calls to the system fail, and keeps what a power cut would leave if it took everything
/// that was not synced.
#[cfg(test)]
pub(super) struct Fault {
    /// Calls that still succeed.
    pub(super) calls_left: u32,
    /// The values file.
    pub(super) path: std::path::PathBuf,
    /// Its copy as of the last sync.
    pub(super) synced_copy: std::path::PathBuf,
}

/// The file, with one writer.
pub(super) struct ValuesFile {
    file: Arc<File>,
    /// The free stretches that are being filled, with short pieces and with long ones.
    short: Region,
    long: Region,
    /// Where the file ends, with what is still to be written.
    end: u64,
    /// The other free stretches, by length.
    free: BTreeSet<(u64, u64)>,
    /// Bytes that wait for one large write, and their offset.
    buffer: Vec<u8>,
    buffer_at: u64,
    /// Whether anything was written since the last sync.
    dirty: bool,
    /// Bytes placed since free space was last worked out.
    placed_bytes: u64,
    /// What holds nothing but zeros.
    zeroed: Zeroed,
    #[cfg(test)]
    pub(super) fault: Option<Fault>,
    /// Bytes overwritten so far.
    #[cfg(test)]
    pub(super) overwritten_bytes: u64,
}

impl ValuesFile {
    /// Makes a new file with nothing but its header. What was there is gone.
    pub(super) fn create(path: &Path, id: &StoreId) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file = regular(options.create(true).write(true).truncate(true), path)?;
        file.write_all_at(&header(id), 0)?;
        file.set_len(HEADER_BYTES as u64)?;
        file.sync_all()
    }

    /// Opens the file of the store with this id; `None` if it is not that store's.
    pub(super) fn open(path: &Path, id: &StoreId) -> io::Result<Option<Self>> {
        let file = regular(OpenOptions::new().read(true).write(true), path)?;
        file.sync_all()?;
        let end = file.metadata()?.len();
        let mut found = header(&StoreId::default());
        if end < HEADER_BYTES as u64 {
            return Ok(None);
        }
        file.read_exact_at(&mut found, 0)?;
        if found != header(id) {
            return Ok(None);
        }
        let mut zeroed = Zeroed::default();
        zeroed.add(end, u64::MAX);
        Ok(Some(Self {
            file: Arc::new(file),
            short: Region::default(),
            long: Region::default(),
            end,
            free: BTreeSet::new(),
            buffer: Vec::new(),
            buffer_at: 0,
            dirty: false,
            placed_bytes: 0,
            zeroed,
            #[cfg(test)]
            fault: None,
            #[cfg(test)]
            overwritten_bytes: 0,
        }))
    }

    /// A reader.
    pub(super) fn reader(&self) -> ValuesReader {
        ValuesReader { file: Arc::clone(&self.file) }
    }

    /// Where the used part of the file ends.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    /// Bytes placed since the last [`ValuesFile::reclaim`].
    pub(super) const fn placed_bytes(&self) -> u64 {
        self.placed_bytes
    }

    /// Seals and places bytes. They are on the medium after [`ValuesFile::sync`].
    pub(super) fn put(
        &mut self,
        sealer: &Sealer,
        kind: Kind,
        name: &[u8],
        text: Vec<u8>,
    ) -> Result<Extent, Failure> {
        let (nonce, sealed) = sealer.seal(kind, name, text)?;
        let offset = self.place(sealed.len() as u64);
        let joins = self.buffer_at + self.buffer.len() as u64 == offset;
        if !joins || self.buffer.len() + sealed.len() > WRITE_BYTES_MAX {
            self.write_buffer()?;
            self.buffer_at = offset;
        }
        self.buffer.extend_from_slice(&sealed);
        Ok(Extent { offset, len: sealed.len() as u32, nonce })
    }

    /// Writes down what the index adds up to after a change that is durable there. An index that
    /// is found behind it has lost changes. (sled takes damage in its log for the log's end, and so
    /// goes back in time.) Not synced on its own: a power cut may take it, and then the one before
    /// it is still true of an index that went on.
    pub(super) fn confirm(&mut self, sealer: &Sealer, tip: &Tip) -> Result<(), Failure> {
        let (_, sealed) = sealer.seal_whole(CONFIRMATION_NAME, tip.encode())?;
        self.attempt("confirming a change", |file| {
            file.write_all_at(&sealed, CONFIRMATION_AT as u64)
        })
    }

    /// What the index added up to when that was last confirmed; `None` if it never was, or if that
    /// cannot be read: it may be torn.
    pub(super) fn confirmed(&self, sealer: &Sealer) -> Result<Option<Tip>, Failure> {
        let mut sealed = [0; CONFIRMATION_BYTES];
        self.file
            .read_exact_at(&mut sealed, CONFIRMATION_AT as u64)
            .map_err(|cause| Failure::medium("reading the confirmation", cause))?;
        let text = sealer.unseal_whole(CONFIRMATION_NAME, &sealed);
        Ok(text.and_then(|(_, text)| Tip::decode(&text)))
    }

    /// Makes everything put so far durable.
    pub(super) fn sync(&mut self) -> Result<(), Failure> {
        self.write_buffer()?;
        if self.dirty {
            self.attempt("syncing values", sync_data)?;
            self.dirty = false;
            #[cfg(test)]
            if let Some(fault) = &self.fault {
                std::fs::copy(&fault.path, &fault.synced_copy).unwrap();
            }
        }
        Ok(())
    }

    /// Overwrites stretches `(offset, len)` with zeros, durably. What was there is gone as far as
    /// the medium lets it: a flash translation layer or a copy-on-write file system may keep it.
    pub(super) fn scrub(&mut self, stretches: &[(u64, u64)]) -> Result<(), Failure> {
        for (offset, len) in stretches {
            let mut at = *offset;
            while at < offset.saturating_add(*len) {
                let n = (offset + len - at).min(ZEROS.len() as u64) as usize;
                let zeros = ZEROS.get(..n).unwrap_or_default();
                self.attempt("overwriting a removed value", |file| file.write_all_at(zeros, at))?;
                at += n as u64;
            }
            self.dirty = true;
            self.zeroed.add(*offset, offset.saturating_add(*len));
            #[cfg(test)]
            {
                self.overwritten_bytes += len;
            }
        }
        self.sync()
    }

    /// Works out what is free, given every stretch in use. Fails if two overlap or one is beyond
    /// the end, for then the index is damaged.
    pub(super) fn reclaim(&mut self, used: Vec<(u64, u64)>) -> Result<(), Failure> {
        self.write_buffer()?;
        let (free, end) = self.find_free(used)?;
        self.set_free(free, end)
    }

    /// As [`ValuesFile::reclaim`], and overwrites what is free and not known to be zero before it is
    /// used again or goes back to the file system.
    pub(super) fn forget(&mut self, used: Vec<(u64, u64)>) -> Result<(), Failure> {
        self.write_buffer()?;
        let (free, end) = self.find_free(used)?;
        let gaps = free.iter().flat_map(|(gap, at)| self.zeroed.others(*at, *gap));
        let stretches: Vec<(u64, u64)> = gaps.chain(self.tail(end)?).collect();
        let stretches = self.written(stretches)?;
        self.scrub(&stretches)?;
        self.set_free(free, end)
    }

    /// The parts of free stretches that hold something but zeros, in pieces; it is known of the others
    /// from then on that they do not. After a start nothing is known of what earlier processes overwrote:
    /// reading it costs less than to write it again, and wears nothing. What is read is on the medium: the
    /// file is synced when it is opened, and after each pass.
    fn written(&mut self, stretches: Vec<(u64, u64)>) -> Result<Vec<(u64, u64)>, Failure> {
        let mut written = Vec::new();
        let mut piece = vec![0; ZEROS.len()];
        for (offset, len) in stretches {
            let end = offset.saturating_add(len);
            let mut at = offset;
            while at < end {
                let n = (end - at).min(ZEROS.len() as u64);
                let found = piece.get_mut(..n as usize).unwrap_or_default();
                let read = self.file.read_exact_at(found, at);
                read.map_err(|cause| Failure::medium("reading free space", cause))?;
                if ZEROS.starts_with(found) {
                    self.zeroed.add(at, at + n);
                } else {
                    written.push((at, n));
                }
                at += n;
            }
        }
        Ok(written)
    }

    /// What may hold something from here to the file's end.
    fn tail(&self, from: u64) -> Result<Vec<(u64, u64)>, Failure> {
        let found = self.file.metadata();
        let found = found.map_err(|cause| Failure::medium("measuring the values file", cause))?;
        Ok(self.zeroed.others(from, found.len().saturating_sub(from)))
    }

    /// The free stretches, by length, and where the part in use ends.
    fn find_free(&self, mut used: Vec<(u64, u64)>) -> Result<(BTreeSet<(u64, u64)>, u64), Failure> {
        used.sort_unstable();
        let mut free = BTreeSet::new();
        let mut end = HEADER_BYTES as u64;
        for (offset, len) in used {
            match offset.checked_sub(end) {
                None => return Err(Failure::Damaged { what: "two values claim the same bytes" }),
                Some(0) => {}
                Some(gap) => {
                    free.insert((gap, end));
                }
            }
            end = offset.saturating_add(len);
        }
        if end > self.end {
            return Err(Failure::Damaged { what: "a value ends beyond its file" });
        }
        Ok((free, end))
    }

    fn set_free(&mut self, free: BTreeSet<(u64, u64)>, end: u64) -> Result<(), Failure> {
        if self.end - end >= TAIL_BYTES_MIN {
            // What goes back to the file system is out of reach of every later pass.
            let tail = self.tail(end)?;
            self.scrub(&tail)?;
            self.attempt("shortening the values file", |file| file.set_len(end))?;
            self.zeroed.add(end, u64::MAX);
        }
        self.free = free;
        (self.short, self.long) = (Region::default(), Region::default());
        self.end = end;
        self.placed_bytes = 0;
        Ok(())
    }

    /// Finds room for a piece: behind the last one of its sort, else in another free stretch, else
    /// at the end. Pieces that are written together so lie together; and short ones, which may
    /// live long, do not lie between long ones, where they would keep freed space in shreds.
    fn place(&mut self, len: u64) -> u64 {
        self.placed_bytes += len;
        let short = len <= SHORT_BYTES_MAX;
        let mut region = if short { self.short } else { self.long };
        if region.until - region.at < len {
            if region.until > region.at {
                self.free.insert((region.until - region.at, region.at));
            }
            region = self.next_region(len, short);
        }
        let offset = region.at;
        region.at += len;
        self.zeroed.remove(offset, region.at);
        *(if short { &mut self.short } else { &mut self.long }) = region;
        offset
    }

    /// The longest free stretch for long pieces; for short ones, the longest of those that are of
    /// no use to long ones, or a part of a longer one.
    fn next_region(&mut self, len: u64, short: bool) -> Region {
        let fits = |found: Option<&(u64, u64)>| found.copied().filter(|(gap, _)| *gap >= len);
        let shred = self.free.range(..=(SHORT_REGION_BYTES, u64::MAX)).next_back();
        let shred = fits(shred).filter(|_| short);
        if let Some((gap, at)) = shred.or_else(|| fits(self.free.last())) {
            self.free.remove(&(gap, at));
            let taken = if short { gap.min(SHORT_REGION_BYTES) } else { gap };
            if gap > taken {
                self.free.insert((gap - taken, at + taken));
            }
            return Region { at, until: at + taken };
        }
        let at = self.end;
        self.end += if short { SHORT_REGION_BYTES } else { len };
        Region { at, until: self.end }
    }

    fn write_buffer(&mut self) -> Result<(), Failure> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let (buffer, at) = (std::mem::take(&mut self.buffer), self.buffer_at);
        self.attempt("writing values", |file| file.write_all_at(&buffer, at))?;
        self.dirty = true;
        self.buffer_at = at + buffer.len() as u64;
        Ok(())
    }

    fn attempt(
        &mut self,
        during: &'static str,
        call: impl FnOnce(&File) -> io::Result<()>,
    ) -> Result<(), Failure> {
        #[cfg(test)]
        if let Some(fault) = &mut self.fault {
            match fault.calls_left.checked_sub(1) {
                Some(less) => fault.calls_left = less,
                None => return Err(Failure::medium(during, "a failure for a test")),
            }
        }
        call(&self.file).map_err(|cause| Failure::medium(during, cause))
    }
}

fn header(id: &StoreId) -> [u8; 32] {
    let mut header = [0; 32];
    let (magic, rest) = header.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    rest.copy_from_slice(id);
    header
}

/// Makes what was written to an open file durable. One that was removed meanwhile would go with the
/// process: nothing in it is durable.
pub(super) fn sync_data(file: &File) -> io::Result<()> {
    if file.metadata()?.nlink() == 0 {
        return Err(io::Error::other("the file was removed while it was open"));
    }
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::super::seal::StoreKey;
    use super::*;

    fn fresh(dir: &tempfile::TempDir) -> (ValuesFile, Sealer) {
        let path = dir.path().join("values");
        ValuesFile::create(&path, &[9; 16]).unwrap();
        let file = ValuesFile::open(&path, &[9; 16]).unwrap().unwrap();
        (file, Sealer::new(&StoreKey::new([3; 32])))
    }

    #[test]
    fn another_stores_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(fresh(&dir));
        let path = dir.path().join("values");
        assert!(ValuesFile::open(&path, &[8; 16]).unwrap().is_none());
        std::fs::write(&path, b"short").unwrap();
        assert!(ValuesFile::open(&path, &[9; 16]).unwrap().is_none());
    }

    #[test]
    fn free_space_is_used_again_and_live_bytes_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let (mut file, sealer) = fresh(&dir);
        let put = |file: &mut ValuesFile, fill: u8, len: usize| {
            (fill, len, file.put(&sealer, Kind::Value, b"k", vec![fill; len]).unwrap())
        };
        let first: Vec<_> = (0..100).map(|n| put(&mut file, n, 1_000)).collect();
        file.sync().unwrap();
        let end = file.end();
        let kept: Vec<_> = first.into_iter().filter(|(n, ..)| n % 4 == 0).collect();
        file.reclaim(kept.iter().map(|(.., e)| (e.offset, u64::from(e.len))).collect()).unwrap();
        let mut live = kept;
        live.extend((0..150).map(|n| put(&mut file, n, 400)));
        file.sync().unwrap();
        assert!(file.end() <= end, "150 values of 400 bytes fit into 75 of 1,000");
        let reader = file.reader();
        for (fill, len, extent) in &live {
            let text = reader.read(&sealer, Kind::Value, b"k", extent).unwrap();
            assert_eq!(text, Some(vec![*fill; *len]));
        }
        let used = live.iter().map(|(.., e)| (e.offset, u64::from(e.len))).collect::<Vec<_>>();
        file.reclaim(used.clone()).unwrap();
        let twice = [&used[..], &used[3..4]].concat();
        assert!(matches!(file.reclaim(twice), Err(Failure::Damaged { .. })));
        let beyond = [&used[..], &[(end * 2, 10)]].concat();
        assert!(matches!(file.reclaim(beyond), Err(Failure::Damaged { .. })));
    }

    /// Each round replaces a long piece and leaves a short one behind.
    #[test]
    fn short_pieces_do_not_shred_the_space_of_long_ones() {
        let dir = tempfile::tempdir().unwrap();
        let (mut file, sealer) = fresh(&dir);
        let mut live = Vec::new();
        for round in 0..20 {
            let mut last = None;
            for _ in 0..50 {
                live.push(file.put(&sealer, Kind::Value, b"s", vec![1; 400]).unwrap());
                last = Some(file.put(&sealer, Kind::Value, b"l", vec![2; 32_000]).unwrap());
            }
            let stretch = |extent: &Extent| (extent.offset, u64::from(extent.len));
            file.reclaim(live.iter().chain(&last).map(stretch).collect()).unwrap();
            let used = live.len() as u64 * 416 + 51 * 32_016;
            assert!(file.end() < 2 * used, "round {round}: {} for {used} bytes", file.end());
        }
    }

    #[test]
    fn a_free_tail_goes_back_to_the_file_system() {
        let dir = tempfile::tempdir().unwrap();
        let (mut file, sealer) = fresh(&dir);
        for _ in 0..5 {
            file.put(&sealer, Kind::Value, b"k", vec![1; 400_000]).unwrap();
        }
        file.sync().unwrap();
        file.reclaim(Vec::new()).unwrap();
        assert_eq!(file.overwritten_bytes, 5 * 400_016, "it holds nothing by then");
        let len = std::fs::metadata(dir.path().join("values")).unwrap().len();
        assert_eq!(len, HEADER_BYTES as u64);
    }

    #[test]
    fn an_extent_that_is_not_there_reads_as_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (mut file, sealer) = fresh(&dir);
        let extent = file.put(&sealer, Kind::Value, b"k", vec![5; 100]).unwrap();
        file.sync().unwrap();
        let reader = file.reader();
        let read = |extent: Extent| reader.read(&sealer, Kind::Value, b"k", &extent).unwrap();
        assert_eq!(read(extent), Some(vec![5; 100]));
        assert_eq!(read(Extent { offset: extent.offset + 1, ..extent }), None);
        assert_eq!(read(Extent { offset: u64::MAX, ..extent }), None);
        assert_eq!(read(Extent { len: u32::MAX, ..extent }), None);
        assert_eq!(read(Extent { len: 3, ..extent }), None);
    }
}
