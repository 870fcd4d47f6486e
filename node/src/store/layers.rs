//! What a key holds now, newest layer first: what was applied and not flushed (`active`), what is
//! being flushed (`frozen`), what was flushed and not yet merged into pages (`recent`), and the
//! pages.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, Mutex, PoisonError};

use tearline_crdt::store::memory::first_after_prefix;
use tearline_crdt::store::{Space, StoreError, Visit, damaged};

use super::Failure;
use super::index::PageEntry;
use super::run::{Extent, RunReader, Slot};
use super::seal::{Kind, Nonce, Sealer};
use super::values::ValuesReader;

/// Keys of one layer that a scan takes at first: many look for one key and what follows it.
const SCAN_KEYS_FIRST: usize = 2;
/// Keys of one layer that a scan takes at once: eight times as many each time, up to this.
const SCAN_KEYS_MAX: usize = 256;
/// Pages kept in memory.
const CACHE_PAGES_MAX: usize = 256;

/// A space's byte and a key.
pub(super) type FullKey = Vec<u8>;

/// The space's byte, then the key. Full keys sort by space, then by key.
pub(super) fn full_key(space: Space, key: &[u8]) -> FullKey {
    let mut full = Vec::with_capacity(1 + key.len());
    full.push(space as u8);
    full.extend_from_slice(key);
    full
}

/// The space and the key of a full key.
pub(super) fn split_key(full: &[u8]) -> (Space, &[u8]) {
    let (space, key) = full.split_first().map_or((0, full), |(space, key)| (*space, key));
    (Space::ALL.get(usize::from(space)).copied().unwrap_or(Space::Meta), key)
}

/// Writes that are not durable yet.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    /// The newest write to each key; `None` is a removal.
    pub(super) writes: BTreeMap<FullKey, Option<Vec<u8>>>,
    /// Bytes of all keys and values written, replaced ones included.
    pub(super) bytes: usize,
    /// Whether the flush is to overwrite all that is no longer in use.
    pub(super) forget: bool,
}

/// The layers of a store.
#[derive(Default)]
pub(super) struct Layers {
    /// Applied, not flushed.
    pub(super) active: Overlay,
    /// Being flushed. Stays when the flush fails, so that reads go on seeing it.
    pub(super) frozen: Option<Arc<Overlay>>,
    /// Flushed, not merged.
    pub(super) recent: BTreeMap<FullKey, Slot>,
    /// Pages by their first key.
    pub(super) pages: BTreeMap<FullKey, PageEntry>,
    /// Why the store refuses writes.
    pub(super) failed: Option<Failure>,
}

/// What a key was found to hold.
pub(super) enum Found {
    /// The value.
    Value(Vec<u8>),
    /// The value is in the values file.
    Stored(Extent),
    /// There is none.
    Nothing,
}

impl Layers {
    /// The page in which a key is, if it is in any.
    pub(super) fn page_of(&self, full: &[u8]) -> Option<&PageEntry> {
        self.pages
            .range::<[u8], _>((Bound::Unbounded, Bound::Included(full)))
            .next_back()
            .map(|(_, page)| page)
    }

    /// What the durable layers hold under a key.
    pub(super) fn find_durable(&self, pages: &Pages, full: &[u8]) -> Result<Option<Slot>, Failure> {
        if let Some(slot) = self.recent.get(full) {
            return Ok(Some(slot.clone()));
        }
        match self.page_of(full) {
            Some(page) => pages.find(page, full),
            None => Ok(None),
        }
    }

    /// What a key holds.
    pub(super) fn find(&self, pages: &Pages, full: &[u8]) -> Result<Found, Failure> {
        for overlay in [Some(&self.active), self.frozen.as_deref()].into_iter().flatten() {
            if let Some(write) = overlay.writes.get(full) {
                return Ok(write.clone().map_or(Found::Nothing, Found::Value));
            }
        }
        Ok(match self.find_durable(pages, full)? {
            Some(Slot::Inline(value)) => Found::Value(value.into_vec()),
            Some(Slot::Stored(extent)) => Found::Stored(extent),
            Some(Slot::Gone) | None => Found::Nothing,
        })
    }

    /// Part of a scan forward, of about `keys_max` keys: what keys in `[from, end)` hold, for all
    /// `from <= key < upto`.
    fn ahead(
        &self,
        pages: &Pages,
        from: &[u8],
        end: &[u8],
        keys_max: usize,
    ) -> Result<(BTreeMap<FullKey, Found>, FullKey), Failure> {
        let next_page = (Bound::Excluded(from), Bound::Excluded(end));
        let mut upto = self
            .pages
            .range::<[u8], _>(next_page)
            .next()
            .map_or(end, |(first, _)| first.as_slice());
        let bounds = |upto| (Bound::Included(from), Bound::Excluded(upto));
        for overlay in self.overlays() {
            let mut far = overlay.writes.range::<[u8], _>(bounds(upto));
            upto = far.nth(keys_max).map_or(upto, |(key, _)| key);
        }
        let mut far = self.recent.range::<[u8], _>(bounds(upto));
        upto = far.nth(keys_max).map_or(upto, |(key, _)| key);
        self.between(pages, self.page_of(from), from, upto, keys_max)
    }

    /// Part of a scan back: what keys in `[start, end)` hold, for all `downto <= key < end`.
    fn behind(
        &self,
        pages: &Pages,
        start: &[u8],
        end: &[u8],
    ) -> Result<(BTreeMap<FullKey, Found>, FullKey), Failure> {
        let page =
            self.pages.range::<[u8], _>((Bound::Unbounded, Bound::Excluded(end))).next_back();
        let mut downto = page.map_or(start, |(first, _)| start.max(first));
        let bounds = |downto| (Bound::Included(downto), Bound::Excluded(end));
        for overlay in self.overlays() {
            let mut far = overlay.writes.range::<[u8], _>(bounds(downto)).rev();
            downto = far.nth(SCAN_KEYS_MAX).map_or(downto, |(key, _)| key);
        }
        let mut far = self.recent.range::<[u8], _>(bounds(downto)).rev();
        downto = far.nth(SCAN_KEYS_MAX).map_or(downto, |(key, _)| key);
        let page = page.map(|(_, page)| page);
        let (found, _) = self.between(pages, page, downto, end, usize::MAX)?;
        Ok((found, downto.to_vec()))
    }

    /// What the keys in `[from, upto)` hold, which one page covers; `upto` comes back lower where
    /// the page has more than `keys_max` of them.
    fn between(
        &self,
        pages: &Pages,
        page: Option<&PageEntry>,
        from: &[u8],
        upto: &[u8],
        keys_max: usize,
    ) -> Result<(BTreeMap<FullKey, Found>, FullKey), Failure> {
        let mut upto = upto.to_vec();
        let mut found = BTreeMap::new();
        let mut set = |key: &[u8], slot: Slot| {
            match slot {
                Slot::Inline(value) => found.insert(key.to_vec(), Found::Value(value.into_vec())),
                Slot::Stored(extent) => found.insert(key.to_vec(), Found::Stored(extent)),
                Slot::Gone => found.remove(key),
            };
        };
        if let Some(page) = page {
            let text = pages.text(page)?;
            let mut run = RunReader::new(&text);
            let mut keys = 0;
            while let Some((key, slot)) = run.next().map_err(|_| PAGE_DAMAGED)? {
                if key < from {
                    continue;
                }
                if key >= upto.as_slice() {
                    break;
                }
                if keys == keys_max {
                    upto = key.to_vec();
                    break;
                }
                keys += 1;
                set(key, slot.to_slot());
            }
        }
        let bounds = (Bound::Included(from), Bound::Excluded(upto.as_slice()));
        for (key, slot) in self.recent.range::<[u8], _>(bounds) {
            set(key, slot.clone());
        }
        for overlay in self.overlays() {
            for (key, write) in overlay.writes.range::<[u8], _>(bounds) {
                match write {
                    Some(value) => found.insert(key.clone(), Found::Value(value.clone())),
                    None => found.remove(key),
                };
            }
        }
        Ok((found, upto))
    }

    /// Unflushed layers, oldest first.
    fn overlays(&self) -> impl Iterator<Item = &Overlay> {
        self.frozen.as_deref().into_iter().chain([&self.active])
    }
}

/// Scans forward. `part` reads a part of the layers: the lock on them is held only meanwhile, and
/// not while the caller's code runs. What was collected stays true in between, because nothing can
/// be applied while the store is borrowed, and values are freed only when they were replaced.
pub(super) fn scan(
    reader: &Reading<'_>,
    space: Space,
    prefix: &[u8],
    from: &[u8],
    visit: &mut Visit<'_>,
) -> Result<(), StoreError> {
    let start = full_key(space, prefix);
    let end = first_after_prefix(&start).unwrap_or_default();
    let mut at = start.max(full_key(space, from));
    let mut keys_max = SCAN_KEYS_FIRST;
    while at < end {
        let (found, upto) = reader
            .layers(|layers| layers.ahead(reader.pages, &at, &end, keys_max))
            .map_err(|failure| failure.at(&at))?;
        for (full, found) in found {
            if reader.visit(&full, found, visit)? == ControlFlow::Break(()) {
                return Ok(());
            }
        }
        at = upto;
        keys_max = SCAN_KEYS_MAX.min(8 * keys_max);
    }
    Ok(())
}

/// Scans back; see [`scan`].
pub(super) fn scan_back(
    reader: &Reading<'_>,
    space: Space,
    prefix: &[u8],
    visit: &mut Visit<'_>,
) -> Result<(), StoreError> {
    let start = full_key(space, prefix);
    let mut end = first_after_prefix(&start).unwrap_or_default();
    while start < end {
        let (found, downto) = reader
            .layers(|layers| layers.behind(reader.pages, &start, &end))
            .map_err(|failure| failure.at(&start))?;
        for (full, found) in found.into_iter().rev() {
            if reader.visit(&full, found, visit)? == ControlFlow::Break(()) {
                return Ok(());
            }
        }
        end = downto;
    }
    Ok(())
}

/// What a read needs: the layers behind their lock, and the values file.
pub(super) struct Reading<'a> {
    pub(super) lock: &'a std::sync::RwLock<Layers>,
    pub(super) pages: &'a Pages,
}

impl Reading<'_> {
    /// Reads under the lock.
    fn layers<T>(&self, read: impl FnOnce(&Layers) -> T) -> T {
        read(&self.lock.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The value of a key.
    pub(super) fn get(&self, full: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self
            .layers(|layers| layers.find(self.pages, full))
            .map_err(|failure| failure.at(full))?;
        self.load(full, found)
    }

    fn load(&self, full: &[u8], found: Found) -> Result<Option<Vec<u8>>, StoreError> {
        match found {
            Found::Value(value) => Ok(Some(value)),
            Found::Nothing => Ok(None),
            Found::Stored(extent) => {
                let read = self.read(full, &extent);
                if read.is_ok() {
                    return read.map(Some);
                }
                // Who does not borrow the store reads beside its flushes: the value may have been
                // replaced since it was found, and its place used anew.
                match self.layers(|layers| layers.find(self.pages, full)) {
                    Ok(Found::Value(value)) => Ok(Some(value)),
                    Ok(Found::Nothing) => Ok(None),
                    Ok(Found::Stored(now)) if now != extent => self.read(full, &now).map(Some),
                    _ => read.map(Some),
                }
            }
        }
    }

    fn read(&self, full: &[u8], extent: &Extent) -> Result<Vec<u8>, StoreError> {
        let read = self.pages.values.read(&self.pages.sealer, Kind::Value, full, extent);
        let (space, key) = split_key(full);
        read.map_err(|failure| failure.at(full))?.ok_or_else(|| damaged(space, key))
    }

    fn visit(
        &self,
        full: &[u8],
        found: Found,
        visit: &mut Visit<'_>,
    ) -> Result<ControlFlow<()>, StoreError> {
        match self.load(full, found)? {
            Some(value) => Ok(visit(split_key(full).1, &value)),
            None => Ok(ControlFlow::Continue(())),
        }
    }
}

const PAGE_DAMAGED: Failure = Failure::Damaged { what: "a page of keys" };

/// Reads pages, and keeps the last ones.
pub(super) struct Pages {
    pub(super) values: ValuesReader,
    pub(super) sealer: Arc<Sealer>,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    /// By the nonce of the page, which no two pages share; with when it was last used.
    texts: BTreeMap<Nonce, (u64, Arc<Vec<u8>>)>,
    clock: u64,
}

impl Pages {
    /// Reads from a values file.
    pub(super) fn new(values: ValuesReader, sealer: Arc<Sealer>) -> Self {
        Self { values, sealer, cache: Mutex::default() }
    }

    /// A page's run.
    pub(super) fn text(&self, page: &PageEntry) -> Result<Arc<Vec<u8>>, Failure> {
        if let Some(text) = self.cached(&page.extent.nonce) {
            return Ok(text);
        }
        let text = self
            .values
            .read(&self.sealer, Kind::Page, &page.no.to_be_bytes(), &page.extent)?
            .ok_or(PAGE_DAMAGED)?;
        Ok(self.keep(page.extent.nonce, text))
    }

    /// A key's slot in a page.
    fn find(&self, page: &PageEntry, full: &[u8]) -> Result<Option<Slot>, Failure> {
        RunReader::new(&self.text(page)?).find(full).map_err(|_| PAGE_DAMAGED)
    }

    fn cached(&self, nonce: &Nonce) -> Option<Arc<Vec<u8>>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.clock += 1;
        let clock = cache.clock;
        let (used, text) = cache.texts.get_mut(nonce)?;
        *used = clock;
        Some(Arc::clone(text))
    }

    fn keep(&self, nonce: Nonce, text: Vec<u8>) -> Arc<Vec<u8>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.texts.len() >= CACHE_PAGES_MAX {
            let oldest = cache.texts.iter().min_by_key(|(_, (used, _))| *used);
            if let Some(oldest) = oldest.map(|(nonce, _)| *nonce) {
                cache.texts.remove(&oldest);
            }
        }
        let text = Arc::new(text);
        let used = cache.clock;
        cache.texts.insert(nonce, (used, Arc::clone(&text)));
        text
    }
}
