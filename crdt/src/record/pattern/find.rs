//! Finding matches among observations. A match is a set of different observations, of which one that counts
//! for several is as many; each part of a pattern has all sets that satisfy it. Of repetitions those that lie next to each other in time are tried: if any
//! are within a time, so are some neighbours.

use std::collections::BTreeSet;

use super::{Observing, Pattern, Qualifier};
use crate::time::WallTime;

/// An observation, as far as it matters here.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When first and last.
    pub from: WallTime,
    /// Not before `from`.
    pub to: WallTime,
    /// How many times.
    pub count: u64,
    /// Which blocks of the pattern it satisfies.
    pub shown: Vec<bool>,
}

/// There are more sets of observations to look at than can be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("over {SETS_MAX} combinations of observations would have to be tried")]
pub struct TooMany;

/// Most sets that are tried.
const SETS_MAX: usize = 100_000;

/// A set of observations by their places, in order.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Set(Vec<usize>);

impl Pattern {
    /// The observations that take part in a match, by their places.
    pub fn find(&self, seen: &[Seen]) -> Result<BTreeSet<usize>, TooMany> {
        let most = demand(&self.root);
        let mut times = Vec::new();
        for (place, one) in seen.iter().enumerate().filter(|(_, one)| one.shown.contains(&true)) {
            let count = usize::try_from(one.count).unwrap_or(usize::MAX).min(most).max(1);
            if times.len() + count > SETS_MAX {
                return Err(TooMany);
            }
            times.extend(std::iter::repeat_n((place, one), count));
        }
        let mut search =
            Search { seen: times.iter().map(|(_, one)| *one).collect(), left: SETS_MAX };
        let sets = search.sets(&self.root)?;
        let found = sets.into_iter().flat_map(|Set(places)| places);
        Ok(found.filter_map(|at| times.get(at).map(|(place, _)| *place)).collect())
    }
}

/// How many observations a match has at most.
fn demand(of: &Observing) -> usize {
    match of {
        Observing::Block(_) => 1,
        Observing::Either(parts) => parts.iter().map(demand).max().unwrap_or_default(),
        Observing::All(parts) | Observing::Followed(parts) => {
            parts.iter().map(demand).fold(0, usize::saturating_add)
        }
        Observing::Qualified(part, Qualifier::Repeats(times)) => {
            demand(part).saturating_mul(*times)
        }
        Observing::Qualified(part, _) => demand(part),
    }
}

struct Search<'a> {
    seen: Vec<&'a Seen>,
    left: usize,
}

impl Search<'_> {
    fn sets(&mut self, of: &Observing) -> Result<Vec<Set>, TooMany> {
        match of {
            Observing::Block(block) => {
                let shows = |seen: &Seen| seen.shown.get(*block).copied().unwrap_or(false);
                let places = self.seen.iter().enumerate().filter(|(_, seen)| shows(seen));
                let sets: Vec<Set> = places.map(|(place, _)| Set(vec![place])).collect();
                self.spend(sets.len())?;
                Ok(sets)
            }
            Observing::Either(parts) => {
                let mut all = BTreeSet::new();
                for part in parts {
                    all.extend(self.sets(part)?);
                }
                Ok(all.into_iter().collect())
            }
            Observing::All(parts) => self.joined(parts, false),
            Observing::Followed(parts) => self.joined(parts, true),
            Observing::Qualified(part, qualifier) => self.qualified(part, *qualifier),
        }
    }

    /// One set of each part, all of different observations; in order, if that matters.
    fn joined(&mut self, parts: &[Observing], in_order: bool) -> Result<Vec<Set>, TooMany> {
        let mut parts = parts.iter();
        let Some(first) = parts.next() else { return Ok(Vec::new()) };
        let mut all = self.sets(first)?;
        for part in parts {
            let next = self.sets(part)?;
            let mut joined = BTreeSet::new();
            for before in &all {
                self.spend(next.len())?;
                let fits = next.iter().filter(|after| {
                    before.is_apart(after) && (!in_order || self.follows(before, after))
                });
                joined.extend(fits.map(|after| before.with(after)));
            }
            all = joined.into_iter().collect();
        }
        Ok(all)
    }

    /// Whether all of one set can have been before, or when, all of another were.
    fn follows(&self, before: &Set, after: &Set) -> bool {
        let begun = self.of(before).map(|seen| seen.from).max();
        let ended = self.of(after).map(|seen| seen.to).min();
        begun <= ended
    }

    fn qualified(&mut self, part: &Observing, qualifier: Qualifier) -> Result<Vec<Set>, TooMany> {
        let sets = self.sets(part)?;
        Ok(match qualifier {
            Qualifier::Within(ms) => sets.into_iter().filter(|set| self.span(set) <= ms).collect(),
            Qualifier::Between(start, stop) => {
                let within = |seen: &Seen| seen.from < stop && seen.to >= start;
                sets.into_iter().filter(|set| self.of(set).all(within)).collect()
            }
            Qualifier::Repeats(times) => self.repeated(sets, times)?,
        })
    }

    /// So many sets next to each other that have no observation in common.
    fn repeated(&mut self, mut sets: Vec<Set>, times: usize) -> Result<Vec<Set>, TooMany> {
        sets.sort_by_key(|set| (self.of(set).map(|seen| seen.from).max(), set.clone()));
        let mut found = BTreeSet::new();
        for first in 0..sets.len() {
            let mut taken = Set(Vec::new());
            let mut count = 0;
            for set in sets.iter().skip(first) {
                self.spend(1)?;
                if taken.is_apart(set) {
                    taken = taken.with(set);
                    count += 1;
                }
                if count >= times {
                    found.insert(taken);
                    break;
                }
            }
        }
        Ok(found.into_iter().collect())
    }

    /// The least time that a set can have taken.
    fn span(&self, set: &Set) -> u64 {
        let begun = self.of(set).map(|seen| seen.from.0).max().unwrap_or_default();
        let ended = self.of(set).map(|seen| seen.to.0).min().unwrap_or_default();
        begun.saturating_sub(ended)
    }

    fn of<'s>(&'s self, set: &'s Set) -> impl Iterator<Item = &'s Seen> {
        set.0.iter().filter_map(|place| self.seen.get(*place).copied())
    }

    fn spend(&mut self, sets: usize) -> Result<(), TooMany> {
        self.left = self.left.checked_sub(sets).ok_or(TooMany)?;
        Ok(())
    }
}

impl Set {
    fn is_apart(&self, other: &Self) -> bool {
        self.0.iter().all(|place| other.0.binary_search(place).is_err())
    }

    fn with(&self, other: &Self) -> Self {
        let mut places = [self.0.as_slice(), &other.0].concat();
        places.sort_unstable();
        Self(places)
    }
}
