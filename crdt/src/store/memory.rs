//! A store in memory: for simulated peers and for tests. It keeps the promise of durability to the
//! letter and no better: what was applied and not flushed is lost when the peer crashes, so that a
//! simulation finds every place that acknowledges too early.

mod common;

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use super::{Batch, Space, Store, StoreError, Visit, damaged};
pub use common::Common;
use common::Value;

/// Ordered maps, and what it takes to go back to the last flush. What was there when it was last
/// [shared](Self::share) lies beneath, one copy for all clones.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    beneath: Arc<BTreeMap<Space, Values>>,
    /// What was written since; nothing where a value beneath was removed.
    spaces: BTreeMap<Space, BTreeMap<Key, Option<Value>>>,
    /// The batches since the last flush, oldest first, each as the writes that undo it.
    unflushed: Vec<Undo>,
    batches: u64,
    flushes: u64,
    forgets: u64,
    value_bytes: u64,
    /// Values that do not match their seals any more.
    rotten: BTreeSet<(Space, Vec<u8>)>,
    /// What it has in common with other stores.
    common: Option<Common>,
}

type Values = BTreeMap<Key, Value>;

/// What the keys of one batch held before it, newest write first.
type Undo = Vec<(Space, Key, Option<Value>)>;

/// A key. A short one, as nearly all are, lies in the map itself, so that a look-up touches nothing else.
#[derive(Clone, Debug)]
enum Key {
    Short { len: u8, bytes: [u8; SHORT_BYTES_MAX] },
    Long(Box<[u8]>),
}

const SHORT_BYTES_MAX: usize = 22;

impl From<Vec<u8>> for Key {
    fn from(key: Vec<u8>) -> Self {
        let mut bytes = [0; SHORT_BYTES_MAX];
        match bytes.get_mut(..key.len()) {
            Some(short) => {
                short.copy_from_slice(&key);
                Self::Short { len: key.len() as u8, bytes }
            }
            None => Self::Long(key.into()),
        }
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Self::Long(bytes) => bytes,
        }
    }
}

impl Key {
    fn bytes(&self) -> &[u8] {
        self.borrow()
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes().cmp(other.bytes())
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Key {}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that keeps one copy of the values that it has in common with others.
    #[must_use]
    pub fn with_common(common: Common) -> Self {
        Self { common: Some(common), ..Self::default() }
    }

    /// An empty store that has as much in common with others as this one.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self { common: self.common.clone(), ..Self::default() }
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
        self.value(space, key).is_some() && self.rotten.insert((space, key.to_vec()))
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
        self.merged(space, &[]).count()
    }

    /// Bytes of all keys and values.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.value_bytes
    }

    /// Makes one copy of what is flushed do for all clones that follow.
    pub fn share(&mut self) {
        if !self.unflushed.is_empty() {
            return;
        }
        let beneath = Arc::make_mut(&mut self.beneath);
        for (space, written) in std::mem::take(&mut self.spaces) {
            let values = beneath.entry(space).or_default();
            for (key, value) in written {
                match value {
                    Some(value) => values.insert(key, value),
                    None => values.remove(&key),
                };
            }
        }
    }

    /// Whether what another store shared lies beneath this one, too.
    #[must_use]
    pub fn shares_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.beneath, &other.beneath)
    }

    /// Visits what was written since it was last shared, and lies above it.
    pub fn written(&self) -> impl Iterator<Item = (&[u8], Cow<'_, [u8]>)> {
        let all = self.spaces.values().flatten();
        all.filter_map(|(key, value)| Some((key.bytes(), value.as_ref()?.bytes())))
    }

    /// Visits what lies beneath, whatever was written since.
    pub fn beneath(&self) -> impl Iterator<Item = (&[u8], Cow<'_, [u8]>)> {
        self.beneath.values().flatten().map(|(key, value)| (key.bytes(), value.bytes()))
    }

    fn value(&self, space: Space, key: &[u8]) -> Option<&Value> {
        match self.spaces.get(&space).and_then(|written| written.get(key)) {
            Some(written) => written.as_ref(),
            None => self.beneath.get(&space)?.get(key),
        }
    }

    /// The values of a space from a key on.
    fn merged(&self, space: Space, from: &[u8]) -> impl Iterator<Item = (&[u8], &Value)> {
        let span = (Bound::Included(from), Bound::Unbounded);
        let written = self.spaces.get(&space).map(|map| map.range::<[u8], _>(span));
        let beneath = self.beneath.get(&space).map(|map| map.range::<[u8], _>(span));
        Merged {
            written: written.into_iter().flatten().peekable(),
            beneath: beneath.into_iter().flatten().peekable(),
            back: false,
        }
    }

    /// Those before a key, the last first.
    fn merged_back(
        &self,
        space: Space,
        span: (Bound<&[u8]>, Bound<&[u8]>),
    ) -> impl Iterator<Item = (&[u8], &Value)> {
        let written = self.spaces.get(&space).map(|map| map.range::<[u8], _>(span).rev());
        let beneath = self.beneath.get(&space).map(|map| map.range::<[u8], _>(span).rev());
        Merged {
            written: written.into_iter().flatten().peekable(),
            beneath: beneath.into_iter().flatten().peekable(),
            back: true,
        }
    }

    /// Sets or removes one value; returns what was there.
    fn write(&mut self, space: Space, key: Key, value: Option<Value>) -> Option<Value> {
        if !self.rotten.is_empty() {
            self.rotten.remove(&(space, key.bytes().to_vec()));
        }
        let beneath = self.beneath.get(&space).and_then(|values| values.get(&key)).cloned();
        let written = self.spaces.entry(space).or_default();
        let key_bytes = key.bytes().len() as u64;
        let bytes = |value: &Value| key_bytes + value.len() as u64;
        let added = value.as_ref().map_or(0, bytes);
        let before = match (value, &beneath) {
            (None, None) => written.remove(&key),
            (value, _) => written.insert(key, value),
        };
        let before = before.unwrap_or(beneath);
        let gone = before.as_ref().map_or(0, bytes);
        self.value_bytes = (self.value_bytes + added).saturating_sub(gone);
        before
    }
}

/// What was written, and of what lies beneath what was not written since, in one order.
struct Merged<W: Iterator, B: Iterator> {
    written: Peekable<W>,
    beneath: Peekable<B>,
    back: bool,
}

impl<'a, W, B> Iterator for Merged<W, B>
where
    W: Iterator<Item = (&'a Key, &'a Option<Value>)>,
    B: Iterator<Item = (&'a Key, &'a Value)>,
{
    type Item = (&'a [u8], &'a Value);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (written, beneath) = (self.written.peek(), self.beneath.peek());
            let order = match (written, beneath) {
                (Some((written, _)), Some((beneath, _))) => {
                    let order = written.cmp(beneath);
                    if self.back { order.reverse() } else { order }
                }
                (Some(_), None) => Ordering::Less,
                (None, _) => Ordering::Greater,
            };
            if order == Ordering::Greater {
                return self.beneath.next().map(|(key, value)| (key.bytes(), value));
            }
            if order == Ordering::Equal {
                self.beneath.next();
            }
            if let Some((key, Some(value))) = self.written.next() {
                return Some((key.bytes(), value));
            }
        }
    }
}

impl Store for MemoryStore {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.check(space, key)?;
        Ok(self.value(space, key).map(|value| value.bytes().into_owned()))
    }

    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        from: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        for (key, value) in self.merged(space, prefix.max(from)) {
            if !key.starts_with(prefix) {
                break;
            }
            self.check(space, key)?;
            if visit(key, &value.bytes()) == ControlFlow::Break(()) {
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
        let after = first_after_prefix(prefix);
        let end = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        for (key, value) in self.merged_back(space, (Bound::Included(prefix), end)) {
            self.check(space, key)?;
            if visit(key, &value.bytes()) == ControlFlow::Break(()) {
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
            let key = Key::from(key);
            let value = value.map(|value| Value::new(space, value, self.common.as_ref()));
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
        assert_eq!(all(&cut), all(&flushed));
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

    /// All values of a space in order, checked against the order from the back.
    fn all(store: &MemoryStore) -> Vec<(Vec<u8>, Vec<u8>)> {
        let (mut forth, mut back) = (Vec::new(), Vec::new());
        let note = |to: &mut Vec<_>, key: &[u8], value: &[u8]| {
            to.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        };
        store.scan(Space::Meta, &[], &[], &mut |key, value| note(&mut forth, key, value)).unwrap();
        store.scan_back(Space::Meta, &[], &mut |key, value| note(&mut back, key, value)).unwrap();
        back.reverse();
        assert_eq!(forth, back);
        forth
    }

    #[test]
    fn keys_of_all_lengths_sort_by_their_bytes() {
        let keys: Vec<Vec<u8>> = (0..40).flat_map(|len| [vec![0; len], vec![9; len]]).collect();
        for (one, other) in keys.iter().flat_map(|a| keys.iter().map(move |b| (a, b))) {
            let (a, b) = (Key::from(one.clone()), Key::from(other.clone()));
            assert_eq!((a.bytes(), a.cmp(&b), a == b), (&one[..], one.cmp(other), one == other));
        }
    }

    #[test]
    fn clones_share_what_lies_beneath_and_differ_in_what_they_write() {
        let mut store = MemoryStore::new();
        let write = |store: &mut MemoryStore, key: &str, value: Option<&str>| {
            let mut batch = Batch::default();
            match value {
                Some(value) => batch.put(Space::Meta, key, value),
                None => batch.remove(Space::Meta, key),
            }
            store.apply(batch).unwrap();
        };
        let said = |store: &MemoryStore| {
            let all = all(store).into_iter();
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            all.map(|(key, value)| text(key) + &text(value)).collect::<Vec<_>>().join(" ")
        };
        for key in ["b", "d", "f"] {
            write(&mut store, key, Some("0"));
        }
        store.share();
        assert_eq!(Arc::strong_count(&store.beneath), 1);
        store.flush().unwrap();
        store.share();
        let mut clone = store.clone();
        assert_eq!(Arc::strong_count(&store.beneath), 2);
        assert!(store.spaces.is_empty());
        write(&mut clone, "a", Some("1"));
        write(&mut clone, "d", Some("1"));
        write(&mut clone, "f", None);
        write(&mut clone, "g", Some("1"));
        write(&mut clone, "g", None);
        assert_eq!((said(&clone), clone.bytes()), ("a1 b0 d1".to_owned(), 6));
        assert_eq!(clone.keys(Space::Meta), 3);
        assert_eq!((said(&store), store.bytes()), ("b0 d0 f0".to_owned(), 6));
        clone.crash_keeping(1);
        assert_eq!(said(&clone), "a1 b0 d0 f0");
        clone.share();
        assert_eq!((said(&clone), said(&store)), ("a1 b0 d0 f0".to_owned(), "b0 d0 f0".to_owned()));
    }

    /// A chunk of entries as it is stored, that came at a moment.
    fn chunk(arrived: u64, entries: u8) -> Vec<u8> {
        use crate::codec::Write as _;
        let mut value = Vec::new();
        value.number(300).raw(&[7; 64]).number(1).number(arrived).raw(&[entries; 100]);
        value
    }

    #[test]
    fn stores_have_values_in_common_and_each_says_when_they_came() {
        let common = Common::default();
        let moment = |n: u64| 1_700_000_000_000 + n;
        let mut stores: Vec<MemoryStore> = (0..3)
            .map(|n| {
                let mut store = MemoryStore::with_common(common.clone());
                let mut batch = Batch::default();
                batch.put(Space::Entries, *b"a", chunk(moment(n), 1));
                batch.put(Space::Entries, *b"b", chunk(n, 1));
                batch.put(Space::Logs, *b"c", vec![3; 100]);
                batch.put(Space::Ids, *b"d", vec![3; 4]);
                store.apply(batch).unwrap();
                store
            })
            .collect();
        // One for the chunk, one for the log, and one each where the moment has fewer bytes than today's.
        assert_eq!(common.len(), 2 + 3);
        for (n, store) in (0..).zip(&stores) {
            assert_eq!(store.get(Space::Entries, b"a").unwrap(), Some(chunk(moment(n), 1)));
            assert_eq!(store.get(Space::Entries, b"b").unwrap(), Some(chunk(n, 1)));
            assert_eq!(store.get(Space::Logs, b"c").unwrap(), Some(vec![3; 100]));
            assert_eq!(store.get(Space::Ids, b"d").unwrap(), Some(vec![3; 4]));
            let scanned = |visit: &mut Visit<'_>| store.scan(Space::Entries, b"", b"", visit);
            let mut seen = 0;
            scanned(&mut |key, value| {
                assert_eq!(store.get(Space::Entries, key).unwrap().as_deref(), Some(value));
                seen += 1;
                ControlFlow::Continue(())
            })
            .unwrap();
            assert_eq!(seen, 2);
        }
        stores.pop();
        for n in 0..10_000_u64 {
            let mut batch = Batch::default();
            batch.put(Space::Logs, *b"c", [&n.to_be_bytes()[..], &[0; 100]].concat());
            stores[0].apply(batch).unwrap();
            stores[0].flush().unwrap();
        }
        assert!(common.len() < 5_000, "what nobody holds is let go of: {}", common.len());
    }

    #[test]
    fn a_prefix_ends_where_it_should() {
        assert_eq!(first_after_prefix(b""), None);
        assert_eq!(first_after_prefix(&[0xff, 0xff]), None);
        assert_eq!(first_after_prefix(&[1, 0xff, 0xff]), Some(vec![2]));
        assert_eq!(first_after_prefix(&[1, 2]), Some(vec![1, 3]));
    }
}
