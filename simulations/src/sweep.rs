//! Sweeps: one scenario under many seeds, each a run of its own, some at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use crate::oracle::Violation;
use crate::plan::{Changes, Plan};
use crate::scenario::Scenario;
use crate::world::{Sabotage, run};

/// What became of one seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Swept {
    /// The seed.
    pub seed: u64,
    /// What came of it.
    pub result: Result<Ran, Broke>,
}

/// A run that went to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Ran {
    /// Its trace.
    pub trace_hash: String,
    /// How many events it had.
    pub events: u64,
    /// How many of its goals were missed.
    pub goals_missed: usize,
}

/// A run that did not.
#[derive(Clone, Debug, PartialEq)]
pub enum Broke {
    /// An oracle found something.
    Violated(Violation),
    /// The code that ships, or the simulator, panicked.
    Panicked,
    /// The run could not be carried out.
    Failed(String),
}

/// Runs all seeds, `jobs` at a time; the results by seed.
#[must_use]
pub fn sweep(
    scenario: &Scenario,
    seeds: impl Iterator<Item = u64> + Send,
    changes: Changes,
    jobs: usize,
    sabotage: Option<Sabotage>,
) -> Vec<Swept> {
    let seeds = Mutex::new(seeds);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let next = seeds.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(seed) = next else { break };
                    let plan = Plan::of(scenario, seed, changes);
                    let swept = Swept { seed, result: attempt(&plan, sabotage) };
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(swept);
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|swept| swept.seed);
    done
}

/// One run, with panics caught.
pub(crate) fn attempt(plan: &Plan, sabotage: Option<Sabotage>) -> Result<Ran, Broke> {
    match catch_unwind(AssertUnwindSafe(|| run(plan, sabotage))) {
        Err(_) => Err(Broke::Panicked),
        Ok(Err(error)) => Err(Broke::Failed(error.to_string())),
        Ok(Ok(outcome)) => match outcome.violation {
            Some(violation) => Err(Broke::Violated(violation)),
            None => Ok(Ran {
                trace_hash: outcome.trace_hash,
                events: outcome.events,
                goals_missed: outcome.goals.iter().filter(|goal| !goal.reached).count(),
            }),
        },
    }
}

impl Broke {
    /// Whether it is the same kind of finding.
    #[must_use]
    pub fn is_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Violated(a), Self::Violated(b)) => a.oracle == b.oracle,
            (Self::Panicked, Self::Panicked) => true,
            _ => false,
        }
    }
}

impl std::fmt::Display for Broke {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Violated(violation) => violation.fmt(f),
            Self::Panicked => f.write_str("a panic"),
            Self::Failed(why) => write!(f, "it could not be run: {why}"),
        }
    }
}
