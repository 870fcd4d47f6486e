//! How batches become durable, and how what was flushed becomes pages.
//!
//! A flush takes everything applied since the last one as *one* change: (1) values are sealed and
//! put into the values file; (2) the file is synced; (3) one atomic batch, with a packed list of
//! what changed, goes to the index, which is synced; (4) replaced and removed values of scrubbed
//! spaces are overwritten, and the file is synced again. A crash before (3) leaves bytes that
//! nothing refers to; a crash after it finds, in the index, what is still to be overwritten.
//!
//! A batch may ask to *forget*. Then, after (4), the changes are merged into pages and everything that
//! nothing refers to is overwritten, but for what is known to be zero; the index says that this is due
//! until it is done. Values of
//! spaces that can be forgotten are never kept in the index or in pages, of whose old bytes sled's
//! file may keep copies.
//!
//! From time to time the changes are merged into pages of sorted keys, which takes a random key a
//! few microseconds instead of a rewritten leaf. Then everything in the values file that no page
//! refers to is free.

use std::collections::BTreeMap;
use std::mem;
use std::ops::Bound;
use std::sync::{Arc, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};

use tearline_crdt::store::StoreError;

use super::Failure;
use super::index::{Change, Delta, Index, PageEntry, Stretches};
use super::layers::{FullKey, Layers, Overlay, Pages, split_key};
use super::run::{INLINE_BYTES_MAX, RunReader, RunWriter, Slot, SlotView};
use super::seal::Kind;
use super::values::ValuesFile;

/// A change of at most this many bytes is kept in the index itself, so that a small flush syncs
/// one file and not two.
const DELTA_INLINE_BYTES_MAX: usize = 1_536;
/// Packed changes are cut into pieces of about this size.
const DELTA_BYTES_MAX: usize = 256 * 1024;
/// Stretches in one value of the index: at most 20 bytes each, so below sled's limits.
const SCRUB_STRETCHES_MAX: usize = 50;

/// A page above this is split.
pub(super) const PAGE_BYTES_MAX: usize = 8 * 1024;
/// What a split aims at.
const PAGE_BYTES_AIM: usize = 6 * 1024;

/// Merge when so many keys wait. Waiting keys cost memory, about 150 bytes each, and time when the
/// store is opened.
const RECENT_KEYS_MAX: usize = 65_536;
/// But let so many wait for each page, that a page is rewritten for several random keys at once,
const RECENT_KEYS_PER_PAGE: usize = 8;
/// up to this many in all.
const RECENT_KEYS_MAX_EVER: usize = 4 * RECENT_KEYS_MAX;
/// Merge when so many flushes wait.
const DELTAS_MAX: usize = 4_096;
/// Merge when the values file grew by this much, or by a quarter if that is more: only then is
/// space found again.
const PLACED_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// Flush before more is applied when so many bytes are unflushed, to bound memory.
const UNFLUSHED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// When to flush and merge unasked. Tests set smaller limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) recent_keys_max: usize,
    pub(super) deltas_max: usize,
    pub(super) placed_bytes_min: u64,
    pub(super) unflushed_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            recent_keys_max: RECENT_KEYS_MAX,
            deltas_max: DELTAS_MAX,
            placed_bytes_min: PLACED_BYTES_MIN,
            unflushed_bytes_max: UNFLUSHED_BYTES_MAX,
        }
    }
}

/// The one writer of a store.
pub(super) struct Writer {
    pub(super) index: Index,
    pub(super) values: ValuesFile,
    pub(super) limits: Limits,
    /// Number of the next delta or list of stretches.
    pub(super) next_seq: u64,
    pub(super) next_page: u64,
    /// Deltas that wait for a merge.
    pub(super) deltas: Vec<u64>,
    /// Lists of stretches that were overwritten; their removal goes with the next change.
    pub(super) scrubbed: Vec<u64>,
    /// The note that everything unused is to be overwritten, while that is due.
    pub(super) forgetting: Option<u64>,
}

/// What the writer works on.
pub(super) struct Flush<'a> {
    pub(super) writer: MutexGuard<'a, Writer>,
    pub(super) lock: &'a RwLock<Layers>,
    pub(super) pages: &'a Pages,
}

impl Flush<'_> {
    /// Makes durable what was applied, and merges if it is time.
    pub(super) fn run(mut self) -> Result<(), StoreError> {
        let frozen = {
            let mut layers = self.layers();
            if let Some(failure) = &layers.failed {
                return Err(failure.refusal());
            }
            let overlay = Arc::new(mem::take(&mut layers.active));
            layers.frozen = Some(Arc::clone(&overlay));
            overlay
        };
        let done = self.flush(&frozen).and_then(|()| self.merge_if_due());
        done.map_err(|failure| {
            let mut layers = self.layers();
            layers.failed = Some(failure.clone());
            failure.during(|| "writing".into())
        })
    }

    fn layers(&self) -> RwLockWriteGuard<'_, Layers> {
        self.lock.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush(&mut self, frozen: &Overlay) -> Result<(), Failure> {
        if frozen.writes.is_empty() && !frozen.forget {
            self.layers().frozen = None;
            return Ok(());
        }
        let (slots, stretches) = self.put_values(frozen)?;
        let mut change = Change::default();
        let deltas = self.put_deltas(&slots, &mut change)?;
        let scrubs = self.note_stretches(&stretches, &mut change);
        if frozen.forget && self.writer.forgetting.is_none() {
            let seq = self.seq();
            change.add_scrub(seq, &[]);
            self.writer.forgetting = Some(seq);
        }
        self.commit(change)?;
        let writer = &mut *self.writer;
        writer.deltas.extend(deltas);
        if !stretches.is_empty() {
            writer.values.scrub(&stretches)?;
        }
        writer.scrubbed = scrubs;
        let mut layers = self.layers();
        layers.recent.extend(slots);
        layers.frozen = None;
        drop(layers);
        self.forget_if_due()
    }

    /// Overwrites everything that nothing refers to, if that was asked for and is not done.
    pub(super) fn forget_if_due(&mut self) -> Result<(), Failure> {
        let Some(note) = self.writer.forgetting else { return Ok(()) };
        self.rewrite_pages()?;
        let used = self.used()?;
        self.writer.values.forget(used)?;
        self.writer.forgetting = None;
        self.writer.scrubbed.push(note);
        Ok(())
    }

    /// Syncs the values, changes the index, durably, and writes down beside the values that it did.
    fn commit(&mut self, change: Change) -> Result<(), Failure> {
        let (writer, sealer) = (&mut *self.writer, &self.pages.sealer);
        writer.values.sync()?;
        writer.index.apply(change, sealer)?;
        writer.values.confirm(sealer, writer.index.tip())
    }

    /// Puts long values and those of erasable spaces into the values file. Returns what every key holds, and what
    /// is to be overwritten.
    fn put_values(
        &mut self,
        frozen: &Overlay,
    ) -> Result<(BTreeMap<FullKey, Slot>, Stretches), Failure> {
        let mut slots = BTreeMap::new();
        let mut stretches = Stretches::new();
        for (full, write) in &frozen.writes {
            let space = split_key(full).0;
            if space.scrubbed()
                && let Some(Slot::Stored(old)) = self.find_durable(full)?
            {
                stretches.push((old.offset, u64::from(old.len)));
            }
            let slot = match write {
                None => Slot::Gone,
                Some(value) if !space.erasable() && value.len() <= INLINE_BYTES_MAX => {
                    Slot::Inline(value.as_slice().into())
                }
                Some(value) => {
                    let values = &mut self.writer.values;
                    Slot::Stored(values.put(
                        &self.pages.sealer,
                        Kind::Value,
                        full,
                        value.clone(),
                    )?)
                }
            };
            slots.insert(full.clone(), slot);
        }
        Ok((slots, join(stretches)))
    }

    fn find_durable(&self, full: &[u8]) -> Result<Option<Slot>, Failure> {
        let layers = self.lock.read().unwrap_or_else(PoisonError::into_inner);
        layers.find_durable(self.pages, full)
    }

    fn put_deltas(
        &mut self,
        slots: &BTreeMap<FullKey, Slot>,
        change: &mut Change,
    ) -> Result<Vec<u64>, Failure> {
        let mut runs = Vec::new();
        let mut run = RunWriter::default();
        for (full, slot) in slots {
            run.push(full, slot.view());
            if run.len() >= DELTA_BYTES_MAX {
                runs.push(run.take());
            }
        }
        if run.len() > 0 {
            runs.push(run.take());
        }
        let inline = runs.len() == 1 && runs.iter().all(|run| run.len() <= DELTA_INLINE_BYTES_MAX);
        let mut seqs = Vec::new();
        for run in runs {
            let seq = self.seq();
            let delta = if inline {
                Delta::Inline(run)
            } else {
                let values = &mut self.writer.values;
                let name = seq.to_be_bytes();
                Delta::Stored(values.put(&self.pages.sealer, Kind::Delta, &name, run)?)
            };
            change.add_delta(seq, &delta);
            seqs.push(seq);
        }
        Ok(seqs)
    }

    fn note_stretches(&mut self, stretches: &[(u64, u64)], change: &mut Change) -> Vec<u64> {
        for done in mem::take(&mut self.writer.scrubbed) {
            change.remove_scrub(done);
        }
        let mut seqs = Vec::new();
        for part in stretches.chunks(SCRUB_STRETCHES_MAX) {
            let seq = self.seq();
            change.add_scrub(seq, part);
            seqs.push(seq);
        }
        seqs
    }

    fn seq(&mut self) -> u64 {
        let seq = self.writer.next_seq;
        self.writer.next_seq += 1;
        seq
    }

    fn merge_if_due(&mut self) -> Result<(), Failure> {
        let layers = self.lock.read().unwrap_or_else(PoisonError::into_inner);
        let (recent, pages) = (layers.recent.len(), layers.pages.len());
        drop(layers);
        let Writer { limits, values, deltas, .. } = &*self.writer;
        let grown = values.placed_bytes() >= limits.placed_bytes_min.max(values.end() / 4);
        let recent_max =
            (pages * RECENT_KEYS_PER_PAGE).clamp(limits.recent_keys_max, RECENT_KEYS_MAX_EVER);
        if recent >= recent_max || deltas.len() >= limits.deltas_max || grown {
            self.merge()
        } else {
            Ok(())
        }
    }

    /// Merges what was flushed into the pages, and finds out what is free.
    pub(super) fn merge(&mut self) -> Result<(), Failure> {
        self.rewrite_pages()?;
        let used = self.used()?;
        self.writer.values.reclaim(used)
    }

    /// Merges what was flushed into the pages.
    fn rewrite_pages(&mut self) -> Result<(), Failure> {
        let recent = self.layers().recent.clone();
        let mut change = Change::default();
        let mut rewritten: Vec<(Option<FullKey>, Vec<PageEntry>)> = Vec::new();
        let mut left = recent.iter().peekable();
        while let Some((full, _)) = left.peek() {
            let (page, upto) = self.page_to_merge(full);
            let within = |key: &FullKey| upto.as_ref().is_none_or(|upto| key < upto);
            let news = std::iter::from_fn(|| left.next_if(|(key, _)| within(key)));
            let text = page.as_ref().map(|page| self.pages.text(page)).transpose()?;
            let keys = merged(text.as_deref().map_or(&[], Vec::as_slice), news)?;
            let first = page.as_ref().map(|page| page.first.clone());
            let entries = self.write_pages(page.map(|page| page.no), &keys, &mut change)?;
            change.end_group();
            rewritten.push((first, entries));
        }
        for done in mem::take(&mut self.writer.deltas) {
            change.remove_delta(done);
        }
        for done in mem::take(&mut self.writer.scrubbed) {
            change.remove_scrub(done);
        }
        self.commit(change)?;
        let mut layers = self.layers();
        layers.recent.clear();
        for (first, entries) in rewritten {
            if let Some(first) = first {
                layers.pages.remove(&first);
            }
            for entry in entries {
                layers.pages.insert(entry.first.clone(), entry);
            }
        }
        Ok(())
    }

    /// The page into which a key goes, and the first key that goes into the one after it. The
    /// lowest page takes all keys below it.
    fn page_to_merge(&self, full: &[u8]) -> (Option<PageEntry>, Option<FullKey>) {
        let layers = self.lock.read().unwrap_or_else(PoisonError::into_inner);
        let page = layers.page_of(full).or_else(|| layers.pages.values().next()).cloned();
        let upto = page.as_ref().and_then(|page| {
            let after = (Bound::Excluded(page.first.as_slice()), Bound::Unbounded);
            layers.pages.range::<[u8], _>(after).next().map(|(first, _)| first.clone())
        });
        (page, upto)
    }

    /// Writes keys as one page or, if they are too many, several of about equal size. The first
    /// takes over the number of the page that they replace.
    fn write_pages(
        &mut self,
        mut no: Option<u64>,
        keys: &[(FullKey, SlotView<'_>)],
        change: &mut Change,
    ) -> Result<Vec<PageEntry>, Failure> {
        let bytes: usize = keys.iter().map(|(key, slot)| packed_bytes(key, slot)).sum();
        let parts = if bytes > PAGE_BYTES_MAX { bytes.div_ceil(PAGE_BYTES_AIM) } else { 1 };
        let mut entries = Vec::new();
        let mut run = RunWriter::default();
        let mut rest = keys;
        while let Some((first, _)) = rest.first() {
            let mut taken = 0;
            let part = rest.iter().take_while(|(key, slot)| {
                let more = taken < bytes.div_ceil(parts);
                taken += packed_bytes(key, slot);
                more
            });
            let (part, after) = rest.split_at(part.count());
            rest = after;
            part.iter().for_each(|(key, slot)| run.push(key, *slot));
            let no = no.take().unwrap_or_else(|| {
                let fresh = self.writer.next_page;
                self.writer.next_page += 1;
                fresh
            });
            let (name, sealer) = (no.to_be_bytes(), &self.pages.sealer);
            let extent = self.writer.values.put(sealer, Kind::Page, &name, run.take())?;
            let refers = part.iter().any(|(_, slot)| matches!(slot, SlotView::Stored(_)));
            let entry = PageEntry { no, first: first.clone(), extent, refers };
            change.set_page(&entry);
            entries.push(entry);
        }
        if let Some(empty) = no {
            change.remove_page(empty);
        }
        Ok(entries)
    }

    /// What is in use: all that a page is at or refers to. Everything was just merged, so there is
    /// nothing else.
    pub(super) fn used(&self) -> Result<Stretches, Failure> {
        let layers = self.lock.read().unwrap_or_else(PoisonError::into_inner);
        let pages: Vec<PageEntry> = layers.pages.values().cloned().collect();
        drop(layers);
        let mut used = Stretches::new();
        for page in pages {
            used.push((page.extent.offset, u64::from(page.extent.len)));
            if !page.refers {
                continue;
            }
            let text = self.pages.text(&page)?;
            let mut run = RunReader::new(&text);
            while let Some((_, slot)) =
                run.next().map_err(|_| Failure::Damaged { what: "a page of keys" })?
            {
                if let SlotView::Stored(extent) = slot {
                    used.push((extent.offset, u64::from(extent.len)));
                }
            }
        }
        Ok(used)
    }
}

/// The keys of a page with newer slots laid over them, those that hold nothing left out.
fn merged<'a>(
    page: &'a [u8],
    news: impl Iterator<Item = (&'a FullKey, &'a Slot)>,
) -> Result<Vec<(FullKey, SlotView<'a>)>, Failure> {
    let mut keys = Vec::new();
    let mut add = |key: Vec<u8>, slot| {
        if slot != SlotView::Gone {
            keys.push((key, slot));
        }
    };
    let mut news = news.peekable();
    let mut run = RunReader::new(page);
    while let Some((key, old)) =
        run.next().map_err(|_| Failure::Damaged { what: "a page of keys" })?
    {
        while let Some((before, slot)) = news.next_if(|(new, _)| new.as_slice() < key) {
            add(before.clone(), slot.view());
        }
        let new = news.next_if(|(new, _)| new.as_slice() == key);
        add(key.to_vec(), new.map_or(old, |(_, slot)| slot.view()));
    }
    news.for_each(|(key, slot)| add(key.clone(), slot.view()));
    Ok(keys)
}

/// About how many bytes a key and its slot take in a run.
fn packed_bytes(key: &[u8], slot: &SlotView<'_>) -> usize {
    key.len() + 4 + if let SlotView::Inline(value) = slot { value.len() } else { 20 }
}

/// Joins stretches that touch.
fn join(mut stretches: Stretches) -> Stretches {
    stretches.sort_unstable();
    let mut joined = Stretches::new();
    for (offset, len) in stretches {
        match joined.last_mut() {
            Some((at, before)) if *at + *before == offset => *before += len,
            _ => joined.push((offset, len)),
        }
    }
    joined
}
