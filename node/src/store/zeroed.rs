//! What of the values file is known to hold nothing but zeros, so that it is not overwritten again: a
//! pass that forgets then costs what was freed since the last one, and not all that is free.
//!
//! It is known of what this process overwrote, and of what lies beyond the file's end.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;

/// Stretches by where they begin, with where they end; none touches another.
#[derive(Debug, Default)]
pub(super) struct Zeroed(BTreeMap<u64, u64>);

impl Zeroed {
    /// There are zeros from here to there.
    pub(super) fn add(&mut self, mut from: u64, mut to: u64) {
        if from >= to {
            return;
        }
        while let Some((begin, end)) = last(self.0.range(..=to))
            && end >= from
        {
            self.0.remove(&begin);
            from = from.min(begin);
            to = to.max(end);
        }
        self.0.insert(from, to);
    }

    /// Something is put there.
    pub(super) fn remove(&mut self, from: u64, to: u64) {
        if from >= to {
            return;
        }
        while let Some((begin, end)) = last(self.0.range(..to))
            && end > from
        {
            self.0.remove(&begin);
            if begin < from {
                self.0.insert(begin, from);
            }
            if end > to {
                self.0.insert(to, end);
            }
        }
    }

    /// The parts `(offset, len)` of a stretch that may hold something.
    pub(super) fn others(&self, offset: u64, len: u64) -> Vec<(u64, u64)> {
        let (mut at, end) = (offset, offset.saturating_add(len));
        let mut others = Vec::new();
        let before = self.0.range(..=offset).next_back();
        let within = self.0.range(offset..end).filter(|(begin, _)| **begin > offset);
        for (from, to) in before.into_iter().chain(within) {
            if *from > at {
                others.push((at, from - at));
            }
            at = at.max(*to);
        }
        if at < end {
            others.push((at, end - at));
        }
        others
    }
}

/// The last of some stretches.
fn last(mut stretches: Range<'_, u64, u64>) -> Option<(u64, u64)> {
    stretches.next_back().map(|(begin, end)| (*begin, *end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BYTES: u64 = 64;

    proptest! {
        /// As if each byte were noted for itself.
        #[test]
        fn it_knows_of_each_byte_what_was_said_last(
            said in proptest::collection::vec((any::<bool>(), 0..BYTES, 0..BYTES), 1..40),
            asked in (0..BYTES, 0..BYTES),
        ) {
            let mut zeroed = Zeroed::default();
            let mut bytes = [false; BYTES as usize];
            for (is_zero, one, other) in said {
                let (from, to) = (one.min(other), one.max(other));
                if is_zero { zeroed.add(from, to) } else { zeroed.remove(from, to) }
                bytes[from as usize..to as usize].fill(is_zero);
                let ends: Vec<(u64, u64)> = zeroed.0.iter().map(|(a, b)| (*a, *b)).collect();
                prop_assert!(ends.iter().all(|(from, to)| from < to));
                prop_assert!(ends.windows(2).all(|two| two[0].1 < two[1].0), "none touch: {ends:?}");
            }
            let (from, to) = (asked.0.min(asked.1), asked.0.max(asked.1));
            let mut others = [false; BYTES as usize];
            for (offset, len) in zeroed.others(from, to - from) {
                prop_assert!(len > 0);
                others[offset as usize..(offset + len) as usize].fill(true);
            }
            for at in 0..BYTES {
                let expected = (from..to).contains(&at) && !bytes[at as usize];
                prop_assert_eq!(others[at as usize], expected, "byte {}", at);
            }
        }
    }
}
