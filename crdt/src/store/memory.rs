//! A store in memory: for simulated peers and for tests. It keeps the promise of durability to the
//! letter and no better: what was applied and not flushed is lost when the peer crashes, so that a
//! simulation finds every place that acknowledges too early.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, ControlFlow};

use super::{Batch, Space, Store, StoreError, Visit, damaged};

/// Ordered maps, and what it takes to go back to the last flush.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    spaces: BTreeMap<Space, BTreeMap<Vec<u8>, Vec<u8>>>,
    /// The batches since the last flush, oldest first, each as the writes that undo it.
    unflushed: Vec<Undo>,
    batches: u64,
    flushes: u64,
    forgets: u64,
    value_bytes: u64,
    /// Values that do not match their seals any more.
    rotten: BTreeSet<(Space, Vec<u8>)>,
}

/// What the keys of one batch held before it, newest write first.
type Undo = Vec<(Space, Vec<u8>, Option<Vec<u8>>)>;

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A power cut: goes back to the last flush.
    pub fn crash(&mut self) {
        self.crash_keeping(0);
    }

    /// A power cut after which the first `batches` of the unflushed batches are there all the
    /// same: a medium may make more durable than it was asked to, but never out of order.
    pub fn crash_keeping(&mut self, batches: usize) {
        while self.unflushed.len() > batches {
            for (space, key, before) in self.unflushed.pop().into_iter().flatten() {
                self.write(space, key, before);
            }
        }
        self.unflushed.clear();
    }

    /// A value rots: whoever reads it is told that it is damaged, until another is put in its place. Whether
    /// there is one.
    pub fn rot(&mut self, space: Space, key: &[u8]) -> bool {
        let there = self.spaces.get(&space).is_some_and(|map| map.contains_key(key));
        there && self.rotten.insert((space, key.to_vec()))
    }

    /// Whether a value can be read.
    fn check(&self, space: Space, key: &[u8]) -> Result<(), StoreError> {
        let rotten = !self.rotten.is_empty() && self.rotten.contains(&(space, key.to_vec()));
        if rotten { Err(damaged(space, key)) } else { Ok(()) }
    }

    /// Batches applied so far, not counting empty ones.
    #[must_use]
    pub const fn batches(&self) -> u64 {
        self.batches
    }

    /// Batches that a crash now would lose.
    #[must_use]
    pub const fn batches_unflushed(&self) -> usize {
        self.unflushed.len()
    }

    /// Flushes so far.
    #[must_use]
    pub const fn flushes(&self) -> u64 {
        self.flushes
    }

    /// Batches so far that asked to forget.
    #[must_use]
    pub const fn forgets(&self) -> u64 {
        self.forgets
    }

    /// Keys in a space.
    #[must_use]
    pub fn keys(&self, space: Space) -> usize {
        self.spaces.get(&space).map_or(0, BTreeMap::len)
    }

    /// Bytes of all keys and values.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.value_bytes
    }

    /// Sets or removes one value; returns what was there.
    fn write(&mut self, space: Space, key: Vec<u8>, value: Option<Vec<u8>>) -> Option<Vec<u8>> {
        if !self.rotten.is_empty() {
            self.rotten.remove(&(space, key.clone()));
        }
        let map = self.spaces.entry(space).or_default();
        let key_bytes = key.len() as u64;
        let added = value.as_ref().map_or(0, |value| key_bytes + value.len() as u64);
        let before = match value {
            Some(value) => map.insert(key, value),
            None => map.remove(&key),
        };
        let gone = before.as_ref().map_or(0, |value| key_bytes + value.len() as u64);
        self.value_bytes = (self.value_bytes + added).saturating_sub(gone);
        before
    }
}

impl Store for MemoryStore {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.check(space, key)?;
        Ok(self.spaces.get(&space).and_then(|map| map.get(key)).cloned())
    }

    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        from: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let Some(map) = self.spaces.get(&space) else { return Ok(()) };
        let start = Bound::Included(prefix.max(from));
        for (key, value) in map.range::<[u8], _>((start, Bound::Unbounded)) {
            if !key.starts_with(prefix) {
                break;
            }
            self.check(space, key)?;
            if visit(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn scan_back(
        &self,
        space: Space,
        prefix: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let Some(map) = self.spaces.get(&space) else { return Ok(()) };
        let after = first_after_prefix(prefix);
        let end = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        for (key, value) in map.range::<[u8], _>((Bound::Included(prefix), end)).rev() {
            self.check(space, key)?;
            if visit(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn apply(&mut self, batch: Batch) -> Result<(), StoreError> {
        batch.check()?;
        if batch.is_empty() {
            return Ok(());
        }
        let mut undo = Undo::with_capacity(batch.writes.len());
        for (space, key, value) in batch.writes {
            let before = self.write(space, key.clone(), value);
            undo.push((space, key, before));
        }
        undo.reverse();
        self.unflushed.push(undo);
        self.batches += 1;
        self.forgets += u64::from(batch.forget);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.unflushed.clear();
        self.flushes += 1;
        Ok(())
    }
}

/// The smallest byte string above all that begin with `prefix`; none above a prefix of 0xff only.
#[must_use]
pub fn first_after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut after = prefix.get(..=last)?.to_vec();
    *after.last_mut()? += 1;
    Some(after)
}

#[cfg(test)]
mod tests {
    use super::super::conformance::{StoreUnderTest, run_all};
    use super::*;

    struct UnderTest(MemoryStore);

    impl StoreUnderTest for UnderTest {
        fn store(&mut self) -> &mut dyn Store {
            &mut self.0
        }

        fn reopen(&mut self) {
            self.0.crash();
        }

        fn raw_bytes(&mut self, space: Space, key: &[u8]) -> Vec<u8> {
            self.0.get(space, key).unwrap().unwrap()
        }

        fn medium_holds(&mut self, needle: &[u8]) -> bool {
            format!("{:?}", self.0).contains(format!("{needle:?}").trim_matches(['[', ']']))
        }
    }

    #[test]
    fn keeps_the_contract() {
        run_all(&mut || Box::new(UnderTest(MemoryStore::new())));
    }

    #[test]
    fn a_crash_goes_back_to_the_flush() {
        let mut store = MemoryStore::new();
        let put = |store: &mut MemoryStore, key: &str, value: Option<&str>| {
            let mut batch = Batch::default();
            batch.put(Space::Meta, *b"other", *b"x");
            match value {
                Some(value) => batch.put(Space::Meta, key, value),
                None => batch.remove(Space::Meta, key),
            }
            store.apply(batch).unwrap();
        };
        put(&mut store, "a", Some("1"));
        store.flush().unwrap();
        let flushed = store.clone();
        put(&mut store, "a", Some("2"));
        put(&mut store, "a", None);
        put(&mut store, "b", Some("3"));
        assert_eq!((store.batches(), store.batches_unflushed(), store.flushes()), (4, 3, 1));

        let mut cut = store.clone();
        cut.crash();
        assert_eq!(cut.spaces, flushed.spaces);
        assert_eq!(cut.bytes(), flushed.bytes());

        let mut cut = store.clone();
        cut.crash_keeping(1);
        assert_eq!(cut.get(Space::Meta, b"a").unwrap(), Some(b"2".to_vec()));
        assert_eq!(cut.batches_unflushed(), 0, "what survived a crash is on the medium");

        let mut cut = store;
        cut.crash_keeping(2);
        assert_eq!(cut.get(Space::Meta, b"a").unwrap(), None);
        assert_eq!(cut.keys(Space::Meta), 1);
        assert_eq!(cut.bytes(), 6);
    }

    #[test]
    fn a_prefix_ends_where_it_should() {
        assert_eq!(first_after_prefix(b""), None);
        assert_eq!(first_after_prefix(&[0xff, 0xff]), None);
        assert_eq!(first_after_prefix(&[1, 0xff, 0xff]), Some(vec![2]));
        assert_eq!(first_after_prefix(&[1, 2]), Some(vec![1, 3]));
    }
}
