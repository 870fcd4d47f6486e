//! What every [`Store`] promises, as tests: one function per rule, each on a fresh store. A rule
//! that fails panics with its reason.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::{Batch, KEY_BYTES_MAX, Space, Store, StoreError, VALUE_BYTES_MAX};

/// A store and the world round it: what is needed to close it and to look behind its back.
pub trait StoreUnderTest {
    /// The store.
    fn store(&mut self) -> &mut dyn Store;

    /// Ends the store without a flush and opens it again on the same medium.
    fn reopen(&mut self);

    /// The bytes by which the medium holds this value now, sealed or not.
    fn raw_bytes(&mut self, space: Space, key: &[u8]) -> Vec<u8>;

    /// Whether these bytes occur anywhere on the medium.
    fn medium_holds(&mut self, needle: &[u8]) -> bool;
}

/// One promise, checked on a fresh store.
pub type Rule = fn(&mut dyn StoreUnderTest);

/// Runs every rule, each on a store that `fresh` makes.
pub fn run_all(fresh: &mut dyn FnMut() -> Box<dyn StoreUnderTest>) {
    let rules: [(&str, Rule); 18] = [
        ("an empty store holds nothing", an_empty_store_holds_nothing),
        ("reads see writes before a flush", reads_see_writes_before_a_flush),
        ("empty keys and values are values", empty_keys_and_values_are_values),
        ("spaces are apart", spaces_are_apart),
        ("keys are visited in order", keys_are_visited_in_order),
        ("a prefix bounds a scan", a_prefix_bounds_a_scan),
        ("a prefix of 0xff has an end", a_prefix_of_ff_has_an_end),
        ("a scan starts at `from`", a_scan_starts_at_from),
        ("a scan stops when told", a_scan_stops_when_told),
        ("a later write wins", a_later_write_wins),
        ("removal removes", removal_removes),
        ("bounds are refused whole", bounds_are_refused_whole),
        ("values at the bound are kept", values_at_the_bound_are_kept),
        ("what is flushed survives", what_is_flushed_survives),
        ("unflushed batches survive whole and in order", unflushed_batches_survive_in_order),
        ("scrubbed values leave the medium", scrubbed_values_leave_the_medium),
        ("what is forgotten leaves the medium", forgotten_values_leave_the_medium),
        ("many small and scrubbed writes read back", many_writes_read_back),
    ];
    for (name, rule) in rules {
        // Named before it runs, so that the output of a failed test says which rule it was.
        println!("store rule: {name}");
        rule(&mut *fresh());
    }
    for seed in 0..8 {
        println!("store rule: agrees with a map, seed {seed}");
        agrees_with_a_map(&mut *fresh(), seed);
    }
}

/// No space has a key, no scan visits anything, an empty batch changes nothing.
pub fn an_empty_store_holds_nothing(test: &mut dyn StoreUnderTest) {
    test.store().apply(Batch::default()).expect("an empty batch");
    test.store().flush().expect("a flush of nothing");
    for space in Space::ALL {
        assert_eq!(get(test, space, b""), None);
        assert_eq!(get(test, space, b"a"), None);
        assert_eq!(forward(test, space, b"", b""), []);
        assert_eq!(backward(test, space, b""), []);
    }
}

/// A value is there as soon as its batch was applied.
pub fn reads_see_writes_before_a_flush(test: &mut dyn StoreUnderTest) {
    for space in Space::ALL {
        put(test, space, b"key", b"value");
        assert_eq!(get(test, space, b"key"), Some(b"value".to_vec()));
        assert_eq!(forward(test, space, b"k", b""), [pair(b"key", b"value")]);
        assert_eq!(backward(test, space, b"k"), [pair(b"key", b"value")]);
    }
}

/// The empty key sorts first; an empty value is not an absent one.
pub fn empty_keys_and_values_are_values(test: &mut dyn StoreUnderTest) {
    for space in Space::ALL {
        put(test, space, b"", b"at the empty key");
        put(test, space, b"b", b"");
        assert_eq!(get(test, space, b""), Some(b"at the empty key".to_vec()));
        assert_eq!(get(test, space, b"b"), Some(Vec::new()));
        let both = [pair(b"", b"at the empty key"), pair(b"b", b"")];
        assert_eq!(forward(test, space, b"", b""), both);
        remove(test, space, b"b");
        assert_eq!(get(test, space, b"b"), None);
    }
}

/// One key has a value of its own in each space, and no scan leaves its space.
pub fn spaces_are_apart(test: &mut dyn StoreUnderTest) {
    let mut batch = Batch::default();
    for space in Space::ALL {
        batch.put(space, *b"", [space as u8, 0]);
        batch.put(space, *b"\xff\xff", [space as u8, 1]);
    }
    test.store().apply(batch).expect("a batch over all spaces");
    remove(test, Space::Rows, b"\xff\xff");
    for space in Space::ALL {
        let mut expected = vec![pair(b"", &[space as u8, 0])];
        if space != Space::Rows {
            expected.push(pair(b"\xff\xff", &[space as u8, 1]));
        }
        assert_eq!(forward(test, space, b"", b""), expected, "{space:?}");
        expected.reverse();
        assert_eq!(backward(test, space, b""), expected, "{space:?}");
    }
}

/// Ascending in `scan`, descending in `scan_back`, by unsigned bytes; a prefix before what it
/// begins; whatever the order of writing.
pub fn keys_are_visited_in_order(test: &mut dyn StoreUnderTest) {
    let sorted: [&[u8]; 9] =
        [b"", b"\0", b"\0\0", b"\x01", b"a", b"a\0", b"ab", b"\x80", b"\xff\xff"];
    for space in Space::ALL {
        for index in [4, 1, 8, 0, 7, 3, 6, 2, 5] {
            let key = sorted.get(index).copied().unwrap_or_default();
            put(test, space, key, key);
        }
        let mut expected = sorted.map(|key| pair(key, key)).to_vec();
        assert_eq!(forward(test, space, b"", b""), expected, "{space:?}");
        expected.reverse();
        assert_eq!(backward(test, space, b""), expected, "{space:?}");
    }
}

/// Only keys that begin with the prefix, the key that equals it included.
pub fn a_prefix_bounds_a_scan(test: &mut dyn StoreUnderTest) {
    for space in Space::ALL {
        for key in [&b"a"[..], b"ab", b"ab\0", b"ab\xff\xff", b"ac", b"b"] {
            put(test, space, key, b"v");
        }
        let within = [&b"ab"[..], b"ab\0", b"ab\xff\xff"];
        assert_eq!(keys(&forward(test, space, b"ab", b"")), within);
        let mut back = keys(&backward(test, space, b"ab"));
        back.reverse();
        assert_eq!(back, within);
        assert_eq!(forward(test, space, b"abc", b""), []);
        assert_eq!(backward(test, space, b"abc"), []);
    }
}

/// There is no next prefix after 0xff, and the scan still finds all and only its keys.
pub fn a_prefix_of_ff_has_an_end(test: &mut dyn StoreUnderTest) {
    for space in Space::ALL {
        for key in [&b"\xfe\xff"[..], b"\xff", b"\xff\0", b"\xff\xff", b"\xff\xff\xff\x01"] {
            put(test, space, key, b"v");
        }
        let one = [&b"\xff"[..], b"\xff\0", b"\xff\xff", b"\xff\xff\xff\x01"];
        let two = [&b"\xff\xff"[..], b"\xff\xff\xff\x01"];
        for (prefix, expected) in [(&b"\xff"[..], &one[..]), (b"\xff\xff", &two[..])] {
            assert_eq!(keys(&forward(test, space, prefix, b"")), expected);
            let mut back = keys(&backward(test, space, prefix));
            back.reverse();
            assert_eq!(back, expected);
        }
        assert_eq!(keys(&forward(test, space, b"\xfe\xff", b"")), [b"\xfe\xff"]);
        assert_eq!(keys(&backward(test, space, b"\xfe\xff")), [b"\xfe\xff"]);
        remove(test, space, b"\xff\xff");
        assert_eq!(keys(&backward(test, space, b"\xff\xff")), [b"\xff\xff\xff\x01"]);
    }
}

/// From the first key `>= from`, whether or not that key exists; never before the prefix, and
/// nothing when `from` is past it.
pub fn a_scan_starts_at_from(test: &mut dyn StoreUnderTest) {
    for space in Space::ALL {
        for key in [&b"p1"[..], b"p3", b"p5", b"q1"] {
            put(test, space, key, b"v");
        }
        type Case<'a> = (&'a [u8], &'a [u8], &'a [&'a [u8]]);
        let cases: [Case<'_>; 8] = [
            (b"p", b"p1", &[b"p1", b"p3", b"p5"]),
            (b"p", b"p1\0", &[b"p3", b"p5"]),
            (b"p", b"p4", &[b"p5"]),
            (b"p", b"p6", &[]),
            (b"p", b"q", &[]),
            (b"p", b"a", &[b"p1", b"p3", b"p5"]),
            (b"", b"p5", &[b"p5", b"q1"]),
            (b"", b"\xff\xff", &[]),
        ];
        for (prefix, from, expected) in cases {
            assert_eq!(keys(&forward(test, space, prefix, from)), expected, "{prefix:?} {from:?}");
        }
    }
}

/// After a break nothing more is visited.
pub fn a_scan_stops_when_told(test: &mut dyn StoreUnderTest) {
    for space in Space::ALL {
        for key in [b"a", b"b", b"c"] {
            put(test, space, key, b"v");
        }
        for stop_after in 1..=3 {
            let mut seen = 0;
            let mut visit = |_: &[u8], _: &[u8]| {
                seen += 1;
                if seen == stop_after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            test.store().scan(space, b"", b"", &mut visit).expect("a scan that stops");
            assert_eq!(seen, stop_after);
            let mut seen = 0;
            let mut visit = |_: &[u8], _: &[u8]| {
                seen += 1;
                if seen == stop_after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            test.store().scan_back(space, b"", &mut visit).expect("a scan back that stops");
            assert_eq!(seen, stop_after);
        }
    }
}

/// Within a batch and between batches.
pub fn a_later_write_wins(test: &mut dyn StoreUnderTest) {
    for space in Space::ALL {
        put(test, space, b"kept", b"old");
        let mut batch = Batch::default();
        batch.put(space, *b"twice", *b"first");
        batch.put(space, *b"twice", *b"second, and longer");
        batch.put(space, *b"gone", *b"never seen");
        batch.remove(space, *b"gone");
        batch.remove(space, *b"kept");
        batch.put(space, *b"kept", *b"new");
        test.store().apply(batch).expect("a batch");
        let expected = [pair(b"kept", b"new"), pair(b"twice", b"second, and longer")];
        assert_eq!(forward(test, space, b"", b""), expected);
        put(test, space, b"twice", b"3rd");
        assert_eq!(get(test, space, b"twice"), Some(b"3rd".to_vec()));
        flush(test);
        test.reopen();
        let expected = [pair(b"kept", b"new"), pair(b"twice", b"3rd")];
        assert_eq!(forward(test, space, b"", b""), expected);
    }
}

/// A removed key is absent, also after a flush and a reopening; removing what is not there is fine.
pub fn removal_removes(test: &mut dyn StoreUnderTest) {
    for space in Space::ALL {
        put(test, space, b"a", b"1");
        put(test, space, b"b", b"2");
        flush(test);
        remove(test, space, b"a");
        remove(test, space, b"never there");
        for reopened in [false, true] {
            assert_eq!(get(test, space, b"a"), None, "{space:?}, reopened: {reopened}");
            assert_eq!(forward(test, space, b"", b""), [pair(b"b", b"2")]);
            assert_eq!(backward(test, space, b""), [pair(b"b", b"2")]);
            flush(test);
            test.reopen();
        }
    }
}

/// A key or value one byte above its bound: the batch is refused, and nothing of it applied.
pub fn bounds_are_refused_whole(test: &mut dyn StoreUnderTest) {
    for space in Space::ALL {
        for (key_bytes, value_bytes) in [(KEY_BYTES_MAX + 1, 1), (1, VALUE_BYTES_MAX + 1)] {
            let mut batch = Batch::default();
            batch.put(space, *b"before", *b"x");
            batch.put(space, vec![7; key_bytes], vec![7; value_bytes]);
            batch.put(space, *b"after", *b"x");
            match test.store().apply(batch) {
                Err(StoreError::TooLarge { space: at, key_bytes: key, value_bytes: value }) => {
                    assert_eq!((at, key, value), (space, key_bytes, value_bytes));
                }
                other => assert!(other.is_err(), "accepted {key_bytes}, {value_bytes}: {other:?}"),
            }
            assert_eq!(forward(test, space, b"", b""), []);
        }
        let mut batch = Batch::default();
        batch.put(space, *b"before", *b"x");
        batch.remove(space, vec![7; KEY_BYTES_MAX + 1]);
        assert!(matches!(test.store().apply(batch), Err(StoreError::TooLarge { .. })));
        assert_eq!(forward(test, space, b"", b""), []);
        // A key that cannot be there is merely absent.
        assert_eq!(get(test, space, &[7; KEY_BYTES_MAX + 1]), None);
        // A refusal is no failure of the medium.
        put(test, space, b"still", b"writes");
        assert_eq!(get(test, space, b"still"), Some(b"writes".to_vec()));
    }
}

/// The longest key and the largest value.
pub fn values_at_the_bound_are_kept(test: &mut dyn StoreUnderTest) {
    let key = vec![0xff; KEY_BYTES_MAX];
    let value: Vec<u8> = (0..VALUE_BYTES_MAX).map(|i| (i % 251) as u8).collect();
    for space in Space::ALL {
        put(test, space, &key, &value);
        assert!(get(test, space, &key).as_ref() == Some(&value), "{space:?}");
    }
    flush(test);
    test.reopen();
    for space in Space::ALL {
        assert!(get(test, space, &key).as_ref() == Some(&value), "{space:?}, reopened");
        assert_eq!(keys(&forward(test, space, &key, &key)), [&key[..]]);
    }
}

/// Everything applied before a flush is there after the store was opened again.
pub fn what_is_flushed_survives(test: &mut dyn StoreUnderTest) {
    for round in 0..4u8 {
        for space in Space::ALL {
            let mut batch = Batch::default();
            batch.put(space, [round], [round; 100]);
            batch.put(space, *b"same", [round; 10]);
            if let Some(before) = round.checked_sub(2) {
                batch.remove(space, [before]);
            }
            test.store().apply(batch).expect("a batch");
        }
        flush(test);
        test.reopen();
        for space in Space::ALL {
            let mut expected: Vec<_> = (round.saturating_sub(1)..=round)
                .map(|round| pair(&[round], &[round; 100]))
                .collect();
            expected.push(pair(b"same", &[round; 10]));
            assert_eq!(forward(test, space, b"", b""), expected, "{space:?}, round {round}");
        }
    }
}

/// Without a flush any number of the last batches may be lost, but none in part and none before
/// one that is still there.
pub fn unflushed_batches_survive_in_order(test: &mut dyn StoreUnderTest) {
    put(test, Space::Meta, b"flushed", b"yes");
    flush(test);
    for n in 1..=20u8 {
        let mut batch = Batch::default();
        for space in Space::ALL {
            batch.put(space, *b"counter", vec![n; usize::from(n) * 20]);
            batch.put(space, [n], [n]);
        }
        test.store().apply(batch).expect("a batch");
    }
    test.reopen();
    assert_eq!(get(test, Space::Meta, b"flushed"), Some(b"yes".to_vec()));
    let counter = get(test, Space::Logs, b"counter");
    let last = counter.and_then(|value| value.first().copied()).unwrap_or(0);
    for space in Space::ALL {
        let expected = (last > 0).then(|| vec![last; usize::from(last) * 20]);
        assert_eq!(get(test, space, b"counter"), expected, "{space:?}");
        for n in 1..=20u8 {
            assert_eq!(get(test, space, &[n]).is_some(), n <= last, "{space:?}, batch {n}");
        }
    }
}

/// After removal or replacement and a flush, the medium holds the old bytes of a scrubbed value no
/// more, in any form; and its neighbours are whole.
pub fn scrubbed_values_leave_the_medium(test: &mut dyn StoreUnderTest) {
    for space in Space::ALL.into_iter().filter(|space| space.scrubbed()) {
        for (key, fill) in [(&b"left"[..], 0x51), (b"mid", 0x52), (b"right", 0x53)] {
            put(test, space, key, &[fill; 900]);
        }
        flush(test);
        let old = test.raw_bytes(space, b"mid");
        assert!(test.medium_holds(&old), "the search finds what is there");
        put(test, space, b"mid", &[0x54; 700]);
        flush(test);
        assert!(!test.medium_holds(&old), "{space:?}: replaced, and still on the medium");
        let old = test.raw_bytes(space, b"mid");
        remove(test, space, b"mid");
        flush(test);
        assert!(!test.medium_holds(&old), "{space:?}: removed, and still on the medium");
        test.reopen();
        assert!(!test.medium_holds(&old), "{space:?}: back after a reopening");
        let whole = [pair(b"left", &[0x51; 900]), pair(b"right", &[0x53; 900])];
        assert_eq!(forward(test, space, b"", b""), whole);
    }
}

/// Once a batch that asks to forget is flushed, no removed or replaced value of an erasable space is
/// on the medium, however short or old; and all else is.
pub fn forgotten_values_leave_the_medium(test: &mut dyn StoreUnderTest) {
    let spaces = || Space::ALL.into_iter().filter(|space| space.erasable());
    for (round, len) in [(0u8, 24), (1, 400), (2, 3_000)] {
        let fill = |space: Space, n: u8| vec![0x40 + (space as u8) * 4 + n; len];
        let mut old = Vec::new();
        for version in [0, 1] {
            for space in spaces() {
                put(test, space, b"kept", &fill(space, 3));
                put(test, space, b"gone", &fill(space, version));
            }
            flush(test);
            old.extend(spaces().map(|space| test.raw_bytes(space, b"gone")));
        }
        for space in spaces() {
            remove(test, space, b"gone");
        }
        flush(test);
        let batch = Batch { forget: true, ..Batch::default() };
        test.store().apply(batch).expect("a batch that only forgets");
        flush(test);
        for _ in 0..2 {
            for old in &old {
                assert!(!test.medium_holds(old), "round {round}: forgotten, and on the medium");
            }
            for space in spaces() {
                assert_eq!(get(test, space, b"kept"), Some(fill(space, 3)));
                assert_eq!(get(test, space, b"gone"), None);
            }
            test.reopen();
        }
    }
}

/// A few thousand values per space, written out of order, partly replaced and removed.
pub fn many_writes_read_back(test: &mut dyn StoreUnderTest) {
    const KEYS: u32 = 2_000;
    for space in [Space::Boxes, Space::Records, Space::External] {
        let mut batch = Batch::default();
        for n in 0..KEYS {
            let mixed = n.wrapping_mul(2_654_435_761);
            batch.put(space, mixed.to_be_bytes(), vec![n as u8; 40]);
        }
        test.store().apply(batch).expect("a large batch");
        let mut batch = Batch::default();
        for n in (0..KEYS).step_by(3) {
            let mixed = n.wrapping_mul(2_654_435_761);
            if n % 2 == 0 {
                batch.remove(space, mixed.to_be_bytes());
            } else {
                batch.put(space, mixed.to_be_bytes(), *b"replaced");
            }
        }
        test.store().apply(batch).expect("a large batch");
        flush(test);
        test.reopen();
        for n in 0..KEYS {
            let mixed = n.wrapping_mul(2_654_435_761);
            let expected = match (n % 3, n % 2) {
                (0, 0) => None,
                (0, _) => Some(b"replaced".to_vec()),
                _ => Some(vec![n as u8; 40]),
            };
            assert_eq!(get(test, space, &mixed.to_be_bytes()), expected, "{space:?} {n}");
        }
        let found = keys(&forward(test, space, b"", b""));
        assert!(found.is_sorted(), "{space:?} is out of order");
        assert_eq!(found.len(), (0..KEYS).filter(|n| n % 6 != 0).count());
    }
}

/// Random batches, flushes, reopenings and scans agree with an ordered map.
pub fn agrees_with_a_map(test: &mut dyn StoreUnderTest, seed: u64) {
    let mut dice = Dice(seed);
    let mut map: BTreeMap<(Space, Vec<u8>), Vec<u8>> = BTreeMap::new();
    for _ in 0..60 {
        let mut batch = Batch::default();
        for _ in 0..dice.below(30) {
            let (space, key) = (dice.space(), dice.key());
            if dice.below(4) == 0 {
                map.remove(&(space, key.clone()));
                batch.remove(space, key);
            } else {
                let value = vec![dice.below(256) as u8; dice.below(600) as usize];
                map.insert((space, key.clone()), value.clone());
                batch.put(space, key, value);
            }
        }
        test.store().apply(batch).expect("a batch");
        if dice.below(3) == 0 {
            flush(test);
            if dice.below(3) == 0 {
                test.reopen();
            }
        }
        let (space, prefix, from) = (dice.space(), dice.key(), dice.key());
        let mut expected: Vec<_> = map
            .iter()
            .filter(|((at, key), _)| *at == space && key.starts_with(&prefix))
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect();
        expected.reverse();
        assert_eq!(backward(test, space, &prefix), expected);
        expected.reverse();
        expected.retain(|(key, _)| *key >= from);
        assert_eq!(forward(test, space, &prefix, &from), expected);
    }
    for ((space, key), value) in &map {
        assert_eq!(get(test, *space, key).as_ref(), Some(value));
    }
}

type Pair = (Vec<u8>, Vec<u8>);

fn pair(key: &[u8], value: &[u8]) -> Pair {
    (key.to_vec(), value.to_vec())
}

fn keys(pairs: &[Pair]) -> Vec<Vec<u8>> {
    pairs.iter().map(|(key, _)| key.clone()).collect()
}

fn put(test: &mut dyn StoreUnderTest, space: Space, key: &[u8], value: &[u8]) {
    let mut batch = Batch::default();
    batch.put(space, key, value);
    test.store().apply(batch).expect("a put");
}

fn remove(test: &mut dyn StoreUnderTest, space: Space, key: &[u8]) {
    let mut batch = Batch::default();
    batch.remove(space, key);
    test.store().apply(batch).expect("a removal");
}

fn flush(test: &mut dyn StoreUnderTest) {
    test.store().flush().expect("a flush");
}

fn get(test: &mut dyn StoreUnderTest, space: Space, key: &[u8]) -> Option<Vec<u8>> {
    test.store().get(space, key).expect("a get")
}

fn forward(test: &mut dyn StoreUnderTest, space: Space, prefix: &[u8], from: &[u8]) -> Vec<Pair> {
    let mut found = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        found.push(pair(key, value));
        ControlFlow::Continue(())
    };
    test.store().scan(space, prefix, from, &mut visit).expect("a scan");
    found
}

fn backward(test: &mut dyn StoreUnderTest, space: Space, prefix: &[u8]) -> Vec<Pair> {
    let mut found = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        found.push(pair(key, value));
        ControlFlow::Continue(())
    };
    test.store().scan_back(space, prefix, &mut visit).expect("a scan back");
    found
}

/// A small generator (splitmix64), so that a failing seed fails again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn space(&mut self) -> Space {
        let at = self.below(Space::ALL.len() as u64) as usize;
        Space::ALL.get(at).copied().unwrap_or(Space::Meta)
    }

    /// Short keys over few bytes, so that prefixes and replacements are common.
    fn key(&mut self) -> Vec<u8> {
        let bytes = self.below(4);
        (0..bytes).filter_map(|_| [0, 1, 0x7f, 0xff].get(self.below(4) as usize)).copied().collect()
    }
}
