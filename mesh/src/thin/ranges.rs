//! Sets of byte positions, as ranges that neither touch nor overlap.

use std::collections::BTreeMap;

/// A set of positions: each range by its start, with the position after its end.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds `from..to`; says how many positions were not in the set before.
    pub(super) fn insert(&mut self, from: u64, to: u64) -> u64 {
        if from >= to {
            return 0;
        }
        let (mut start, mut end, mut known) = (from, to, 0);
        // Those that overlap or touch all start at or before `to`, and end at or after `from`.
        while let Some((s, e)) = self.0.range(..=to).next_back().map(|(s, e)| (*s, *e)) {
            if e < from {
                break;
            }
            self.0.remove(&s);
            known += e.min(to).saturating_sub(s.max(from));
            start = start.min(s);
            end = end.max(e);
        }
        self.0.insert(start, end);
        (to - from).saturating_sub(known)
    }

    /// Takes `from..to` out.
    pub(super) fn remove(&mut self, from: u64, to: u64) {
        if from >= to {
            return;
        }
        while let Some((s, e)) = self.0.range(..to).next_back().map(|(s, e)| (*s, *e)) {
            if e <= from {
                return;
            }
            self.0.remove(&s);
            if e > to {
                self.0.insert(to, e);
            }
            if s < from {
                self.0.insert(s, from);
            }
        }
    }

    /// The lowest range.
    pub(super) fn first(&self) -> Option<(u64, u64)> {
        self.0.first_key_value().map(|(s, e)| (*s, *e))
    }

    /// The ranges, from the lowest on.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|(s, e)| (*s, *e))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many ranges there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_are_the_set_that_they_stand_for(
            steps in proptest::collection::vec((any::<bool>(), 0u64..60, 0u64..20), 0..40)
        ) {
            let mut ranges = Ranges::default();
            let mut set = BTreeSet::new();
            for (insert, from, len) in steps {
                let to = from + len;
                if insert {
                    let new = (from..to).filter(|at| set.insert(*at)).count() as u64;
                    prop_assert_eq!(ranges.insert(from, to), new);
                } else {
                    ranges.remove(from, to);
                    set.retain(|at| !(from..to).contains(at));
                }
                let held: BTreeSet<u64> = ranges.iter().flat_map(|(s, e)| s..e).collect();
                prop_assert_eq!(&held, &set);
                let all: Vec<_> = ranges.iter().collect();
                let apart = all.windows(2).all(|pair| pair[0].1 < pair[1].0);
                prop_assert!(apart, "ranges that touch: {:?}", all);
                prop_assert_eq!(ranges.first().map(|(s, _)| s), set.first().copied());
            }
        }
    }
}
