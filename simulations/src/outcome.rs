//! What a run came to.

use std::collections::BTreeMap;

use tearline_crdt::id::Class;

use crate::agenda::{NEVER, Nanos};
use crate::arrival::Contacts;
use crate::goal::Verdict;
use crate::line::Counts;
use crate::oracle::Violation;
use crate::staleness::{Parts, Staleness};
use crate::world::World;

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// How many peers there were.
    pub peers: usize,
    /// Virtual time from the first to the last event.
    pub lasted: Nanos,
    /// When the contacts ended.
    pub horizon: Nanos,
    /// SHA-256 over all events, in hexadecimal digits.
    pub trace_hash: String,
    /// The beginning of that hash after each [`MARK_EVERY`] events.
    pub marks: Vec<[u8; 8]>,
    /// How many events there were.
    pub events: u64,
    /// Records that were written, changes of them, and what posts could not write.
    pub written: Written,
    /// When the contacts had ended: how long it took until all held the same.
    pub agreed_after: Option<Nanos>,
    /// What an oracle found.
    pub violation: Option<Violation>,
    /// Deliveries.
    pub latencies: Latencies,
    /// What was delivered by when.
    pub goals: Vec<Verdict>,
    /// Each link, with what passed over it.
    pub lines: Vec<LineOutcome>,
    /// Bytes that peers store: the mean, and the most of one.
    pub store_bytes: StoreBytes,
    /// How far behind posts were.
    pub staleness: Staleness,
    /// In how many parts the mesh lay, step by step.
    pub parts: Vec<Parts>,
    /// What failed until the contacts ended.
    pub faults: Vec<FaultOutcome>,
}

pub use crate::trace::MARK_EVERY;

/// What was written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Written {
    /// New records.
    pub records: u64,
    /// Changes of them.
    pub edits: u64,
    /// What a post could not write because it was down or had lost its disk.
    pub missed: u64,
    /// Bytes of text.
    pub text_bytes: u64,
}

/// A link, with what passed over it.
#[derive(Clone, Debug)]
pub struct LineOutcome {
    /// Its ends.
    pub between: [String; 2],
    /// Bits in a second.
    pub rate: u64,
    /// How long there was contact until the contacts ended.
    pub contact: Nanos,
    /// Bytes until the end of the run, both directions.
    pub counts: Counts,
}

/// A fault.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FaultOutcome {
    /// When it began.
    pub from: Nanos,
    /// When it was over.
    pub to: Nanos,
    /// What it was, as scenarios call it.
    pub kind: String,
    /// Whom it hit.
    pub posts: String,
}

/// Bytes that peers store.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct StoreBytes {
    /// Of all peers.
    pub mean: u64,
    /// Of one peer.
    pub most: u64,
}

/// One record at one reader.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Delivery {
    /// How long it took; [`NEVER`] if it had not come when the contacts ended.
    pub took: Nanos,
    /// How long it takes at least; [`NEVER`] if the contacts bring it to nobody.
    pub bound: Nanos,
}

/// All deliveries, by class.
#[derive(Clone, Debug, Default)]
pub struct Latencies(BTreeMap<Class, Vec<Delivery>>);

/// Deliveries of some records, the fastest first.
#[derive(Debug)]
pub struct Of(Vec<Delivery>);

impl Outcome {
    pub(crate) fn of(world: World) -> Self {
        let latencies = Latencies::measured(&world);
        let goals = world.plan.goals.iter().map(|goal| goal.judge(&latencies)).collect();
        let horizon = world.plan.horizon();
        let name = |post: u32| {
            world.plan.posts.get(post as usize).map(|post| post.name.clone()).unwrap_or_default()
        };
        // What the plan says: when faults are over, the lines forget their contacts.
        let lines = world.plan.lines.iter().zip(&world.lines).map(|(plan, line)| LineOutcome {
            between: plan.between.map(name),
            rate: plan.rate,
            contact: plan.windows.as_ref().map_or(horizon, |windows| {
                windows.iter().map(|(from, to)| to.min(&horizon).saturating_sub(*from)).sum()
            }),
            counts: line.counts(),
        });
        let lines = lines.collect();
        let faults = world.plan.faults.iter().map(|fault| FaultOutcome {
            from: fault.at,
            to: fault.at.saturating_add(fault.lasts).min(horizon),
            kind: fault.kind.name().to_owned(),
            posts: fault.posts.iter().map(|post| name(*post)).collect::<Vec<_>>().join(", "),
        });
        let faults = faults.collect();
        let (staleness, parts) = (Staleness::measured(&world), Parts::of(&world.plan));
        let bytes: Vec<u64> = world.peers.iter().map(|peer| peer.store().memory.bytes()).collect();
        let records = world.books.records.len() as u64;
        let events = world.trace.events();
        let (trace_hash, marks) = world.trace.finish();
        Self {
            scenario: world.plan.name,
            seed: world.plan.seed,
            peers: world.plan.posts.len(),
            lasted: world.now,
            horizon,
            trace_hash,
            marks,
            events,
            written: Written {
                records,
                edits: world.books.entries - records,
                missed: world.not_written,
                text_bytes: world.books.text_bytes,
            },
            agreed_after: world.agreed.map(|at| at.saturating_sub(horizon)),
            violation: world.violation,
            latencies,
            goals,
            lines,
            store_bytes: StoreBytes {
                mean: bytes.iter().sum::<u64>() / (bytes.len() as u64).max(1),
                most: bytes.iter().copied().max().unwrap_or(0),
            },
            staleness,
            parts,
            faults,
        }
    }

    /// Whether no oracle found anything and every goal was reached.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.violation.is_none() && self.goals.iter().all(|goal| goal.reached)
    }
}

impl Latencies {
    fn measured(world: &World) -> Self {
        let horizon = world.plan.horizon();
        let mut contacts = Contacts::of(&world.plan);
        let mut classes: BTreeMap<Class, Vec<Delivery>> = BTreeMap::new();
        let honest = |post: u32| world.honest.get(post as usize) == Some(&true);
        for record in world.books.records.iter().filter(|record| honest(record.by)) {
            let earliest =
                contacts.earliest(record.by, record.at, record.bytes, record.compartment);
            let deliveries = classes.entry(record.class).or_default();
            for ((post, had), earliest) in (0..).zip(&record.had).zip(earliest) {
                if post == record.by || !honest(post) || !world.plan.reads(post, record.compartment)
                {
                    continue;
                }
                let since = |at: Nanos| if at <= horizon { at - record.at } else { NEVER };
                deliveries.push(Delivery { took: since(*had), bound: since(earliest) });
            }
        }
        classes.values_mut().for_each(|all| all.sort_unstable_by_key(|d| d.took));
        Self(classes)
    }

    /// Deliveries of a class, or of all.
    #[must_use]
    pub fn of(&self, class: Option<Class>) -> Of {
        let mut all: Vec<Delivery> = self
            .0
            .iter()
            .filter(|(known, _)| class.is_none_or(|class| class == **known))
            .flat_map(|(_, deliveries)| deliveries.iter().copied())
            .collect();
        all.sort_unstable_by_key(|delivery| delivery.took);
        Of(all)
    }

    /// The classes of which there is something.
    pub fn classes(&self) -> impl Iterator<Item = Class> {
        self.0.keys().copied()
    }
}

impl Of {
    /// How many there should be.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.0.len()
    }

    /// Times, the shortest first; [`NEVER`] at the end.
    #[must_use]
    pub fn times(&self) -> Vec<Nanos> {
        self.0.iter().map(|delivery| delivery.took).collect()
    }

    /// The least times that the contacts allow, the shortest first.
    #[must_use]
    pub fn bounds(&self) -> Vec<Nanos> {
        let mut bounds: Vec<Nanos> = self.0.iter().map(|delivery| delivery.bound).collect();
        bounds.sort_unstable();
        bounds
    }

    /// The time that so many of a hundred took at most; `None` if there is nothing.
    #[must_use]
    pub fn percentile(&self, percent: u8) -> Option<Nanos> {
        at_percent(&self.times(), percent)
    }

    /// The mean of those that arrived.
    #[must_use]
    pub fn mean(&self) -> Option<Nanos> {
        let arrived: Vec<Nanos> = self.times().into_iter().filter(|took| *took != NEVER).collect();
        let sum: u128 = arrived.iter().map(|took| u128::from(*took)).sum();
        (!arrived.is_empty()).then(|| (sum / arrived.len() as u128) as Nanos)
    }

    /// How many of a hundred arrived.
    #[must_use]
    pub fn delivered_percent(&self) -> Option<f64> {
        let arrived = self.0.iter().filter(|delivery| delivery.took != NEVER).count();
        (!self.0.is_empty()).then(|| arrived as f64 * 100.0 / self.0.len() as f64)
    }

    /// How many of a hundred could have arrived.
    #[must_use]
    pub fn possible_percent(&self) -> Option<f64> {
        let possible = self.0.iter().filter(|delivery| delivery.bound != NEVER).count();
        (!self.0.is_empty()).then(|| possible as f64 * 100.0 / self.0.len() as f64)
    }

    /// How many times as long as the contacts allow so many of a hundred took at most, of those that could
    /// arrive; infinite where too few did.
    #[must_use]
    pub fn stretch(&self, percent: u8) -> Option<f64> {
        let possible = self.0.iter().filter(|delivery| delivery.bound != NEVER);
        let mut times: Vec<f64> = possible
            .map(|Delivery { took, bound }| match *took {
                NEVER => f64::INFINITY,
                took => took as f64 / (*bound).max(1) as f64,
            })
            .collect();
        times.sort_unstable_by(f64::total_cmp);
        at_percent(&times, percent)
    }
}

/// The value below or at which so many of a hundred lie: the nearest rank.
pub(crate) fn at_percent<T: Copy>(sorted: &[T], percent: u8) -> Option<T> {
    let rank = (sorted.len() * usize::from(percent)).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_nearest_rank() {
        let sorted = [10, 20, 30, 40];
        let at = |percent| at_percent(&sorted, percent);
        assert_eq!([at(1), at(25), at(26), at(50), at(100)], [10, 10, 20, 20, 40].map(Some));
        assert_eq!(at_percent::<u64>(&[], 50), None);
    }

    #[test]
    fn what_did_not_arrive_counts_as_later_than_all() {
        let of = |took, bound| Delivery { took, bound };
        let all = Of(vec![of(10, 10), of(30, 20), of(NEVER, 5), of(NEVER, NEVER)]);
        assert_eq!((all.percentile(50), all.percentile(75)), (Some(30), Some(NEVER)));
        assert_eq!(all.mean(), Some(20));
        assert_eq!((all.delivered_percent(), all.possible_percent()), (Some(50.0), Some(75.0)));
        assert_eq!((all.stretch(34), all.stretch(100)), (Some(1.5), Some(f64::INFINITY)));
    }
}
