//! Shards: a sweep in parts, each on a machine of its own, and the parts put together again.
//!
//! Runs know nothing of each other, so a scheduler that starts the same command with another number is all
//! that a large sweep takes. What the parts come to is what the whole would have come to.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::report;
use crate::sweep::{Broke, Swept};

/// Most parts of one sweep.
pub const SHARDS_MAX: u32 = 10_000;

/// One part of a sweep.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Shard {
    /// Which part, from 1.
    pub index: u32,
    /// Of how many.
    pub of: u32,
}

/// What a sweep, or a part of one, came to: a document's `data`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// The scenario's name.
    pub scenario: String,
    /// SHA-256 of its text, in hexadecimal digits.
    pub scenario_sha256: String,
    /// The program that ran it.
    pub program: String,
    /// How many hours work went on, instead of what the scenario says.
    pub hours: Option<u64>,
    /// How many peers there were, instead of what the scenario says.
    pub peers: Option<u32>,
    /// The first and the last seed of the whole sweep.
    pub seeds: [u64; 2],
    /// Which part this is; `None`: the whole.
    pub shard: Option<Shard>,
    /// In how many runs something broke.
    pub violations: usize,
    /// The runs, by seed.
    pub runs: Vec<OfSeed>,
    /// What differs from machine to machine.
    pub machine: Machine,
}

/// What one seed came to. Of a run that broke only the violation is said.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OfSeed {
    /// The seed.
    pub seed: u64,
    /// Its trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_hash: Option<String>,
    /// How many events it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
    /// How many of its goals were missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goals_missed: Option<usize>,
    /// What broke: `oracle` and `what`.
    pub violation: Option<Value>,
}

/// What differs from machine to machine.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// How long it took; of parts, all of them together.
    pub seconds: f64,
}

/// Why results cannot be put together.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MergeError {
    /// There are none.
    #[error("there is nothing to put together")]
    Nothing,
    /// A whole among them.
    #[error("{0} is a whole sweep and no part of one")]
    Whole(String),
    /// Parts of two sweeps.
    #[error(
        "{0} is of another sweep than {1}: scenario, program, hours, peers, seeds and number of parts must agree"
    )]
    Other(String, String),
    /// A part that is there twice.
    #[error("{0} and {1} are the same part")]
    Twice(String, String),
    /// Parts that are not there.
    #[error("parts are missing of {of}: {}", .missing.iter().map(u32::to_string).collect::<Vec<_>>().join(", "))]
    Missing {
        /// Their numbers.
        missing: Vec<u32>,
        /// How many there should be.
        of: u32,
    },
    /// A part without the runs that it should have.
    #[error("{0} does not hold a run for each of its seeds, or counts what broke wrong")]
    Incomplete(String),
}

impl Shard {
    /// Reads `3/8`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let unreadable = || {
            format!(
                "{text:?} is no part of a sweep: 1/{SHARDS_MAX} to {SHARDS_MAX}/{SHARDS_MAX}, as 3/8"
            )
        };
        let (index, of) = text.split_once('/').ok_or_else(unreadable)?;
        let number = |text: &str| text.parse::<u32>().map_err(|_| unreadable());
        let shard = Self { index: number(index)?, of: number(of)? };
        if shard.is_one() { Ok(shard) } else { Err(unreadable()) }
    }

    const fn is_one(self) -> bool {
        self.index >= 1 && self.index <= self.of && self.of <= SHARDS_MAX
    }

    /// Its seeds: every `of`-th, so that slow stretches are shared out.
    pub fn seeds(self, seeds: RangeInclusive<u64>) -> impl Iterator<Item = u64> {
        seeds.skip(self.index.saturating_sub(1) as usize).step_by(self.of.max(1) as usize)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl Results {
    /// The first run that broke.
    #[must_use]
    pub fn first_broken(&self) -> Option<&OfSeed> {
        self.runs.iter().find(|run| run.violation.is_some())
    }

    /// The results as lines of text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for run in &self.runs {
            let Some(violation) = &run.violation else { continue };
            let part = |key: &str| violation.get(key).and_then(Value::as_str).unwrap_or("?");
            text.push_str(&format!("seed {}: {}: {}\n", run.seed, part("oracle"), part("what")));
        }
        let shard = self.shard.map_or(String::new(), |shard| format!("part {shard}: "));
        let (seeds, broken, seconds) = (self.runs.len(), self.violations, self.machine.seconds);
        text.push_str(&format!("{shard}{seeds} seeds, {broken} violations, {seconds:.1} s\n"));
        text
    }

    /// What two parts of one sweep have in common.
    fn sweep(&self) -> impl PartialEq + '_ {
        let of = self.shard.map(|shard| shard.of);
        (
            &self.scenario,
            &self.scenario_sha256,
            &self.program,
            self.hours,
            self.peers,
            self.seeds,
            of,
        )
    }

    /// Whether it holds what it says.
    fn is_complete(&self) -> bool {
        let (Some(shard), [from, to]) = (self.shard, self.seeds) else { return false };
        let broken = self.runs.iter().filter(|run| run.violation.is_some()).count();
        shard.is_one()
            && broken == self.violations
            && shard.seeds(from..=to).eq(self.runs.iter().map(|run| run.seed))
    }
}

impl OfSeed {
    /// Of a seed that was swept.
    #[must_use]
    pub fn of(swept: &Swept) -> Self {
        let seed = swept.seed;
        match &swept.result {
            Ok(ran) => Self {
                seed,
                trace_hash: Some(ran.trace_hash.clone()),
                events: Some(ran.events),
                goals_missed: Some(ran.goals_missed),
                violation: None,
            },
            Err(broke) => {
                let violation = Some(what_broke(broke));
                Self { seed, trace_hash: None, events: None, goals_missed: None, violation }
            }
        }
    }
}

/// What broke, for programs.
#[must_use]
pub fn what_broke(broke: &Broke) -> Value {
    match broke {
        Broke::Violated(violation) => report::violation(violation),
        Broke::Panicked => json!({ "oracle": "panic", "what": "a panic: stderr says where" }),
        Broke::Failed(why) => json!({ "oracle": "failed", "what": why }),
    }
}

/// Puts the parts of a sweep together; each comes with what messages call it.
pub fn merge(parts: Vec<(String, Results)>) -> Result<Results, MergeError> {
    let (first_name, first) = parts.first().cloned().ok_or(MergeError::Nothing)?;
    let of = first.shard.map_or(0, |shard| shard.of);
    let mut by_index: BTreeMap<u32, (String, Results)> = BTreeMap::new();
    for (name, part) in parts {
        let Some(shard) = part.shard else { return Err(MergeError::Whole(name)) };
        if part.sweep() != first.sweep() {
            return Err(MergeError::Other(name, first_name));
        }
        if !part.is_complete() {
            return Err(MergeError::Incomplete(name));
        }
        if let Some((other, _)) = by_index.insert(shard.index, (name.clone(), part)) {
            return Err(MergeError::Twice(other, name));
        }
    }
    let missing: Vec<u32> = (1..=of).filter(|index| !by_index.contains_key(index)).collect();
    if !missing.is_empty() {
        return Err(MergeError::Missing { missing, of });
    }
    let mut whole = Results { shard: None, violations: 0, runs: Vec::new(), ..first };
    whole.machine.seconds = 0.0;
    for (_, (_, part)) in by_index {
        whole.violations += part.violations;
        whole.machine.seconds += part.machine.seconds;
        whole.runs.extend(part.runs);
    }
    whole.runs.sort_unstable_by_key(|run| run.seed);
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(index: u32, of: u32) -> (String, Results) {
        let shard = Shard { index, of };
        let run = |seed| OfSeed {
            seed,
            trace_hash: Some(format!("{seed}")),
            events: Some(seed),
            goals_missed: Some(0),
            violation: (seed == 4).then(|| json!({ "oracle": "blame", "what": "x" })),
        };
        let runs: Vec<OfSeed> = shard.seeds(1..=7).map(run).collect();
        let results = Results {
            scenario: "x".to_owned(),
            scenario_sha256: "00".to_owned(),
            program: "1".to_owned(),
            hours: None,
            peers: Some(9),
            seeds: [1, 7],
            shard: Some(shard),
            violations: runs.iter().filter(|run| run.violation.is_some()).count(),
            runs,
            machine: Machine { seconds: 1.0 },
        };
        (format!("{index}.json"), results)
    }

    #[test]
    fn parts_hold_every_seed_once_and_make_the_whole() {
        let whole = merge(vec![part(3, 3), part(1, 3), part(2, 3)]).unwrap();
        let seeds: Vec<u64> = whole.runs.iter().map(|run| run.seed).collect();
        assert_eq!(seeds, [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!((whole.violations, whole.shard, whole.machine.seconds), (1, None, 3.0));
        assert_eq!(whole.first_broken().map(|run| run.seed), Some(4));
        let (_, one) = part(1, 1);
        assert_eq!((one.runs, one.violations), (whole.runs, whole.violations));
    }

    #[test]
    fn what_is_not_the_whole_of_one_sweep_is_refused() {
        let changed = |change: fn(&mut Results)| {
            let (name, mut results) = part(2, 2);
            change(&mut results);
            merge(vec![part(1, 2), (name, results)])
        };
        let other = Err(MergeError::Other("2.json".to_owned(), "1.json".to_owned()));
        assert_eq!(changed(|part| part.peers = None), other);
        assert_eq!(changed(|part| part.seeds = [1, 8]), other);
        let incomplete = Err(MergeError::Incomplete("2.json".to_owned()));
        assert_eq!(changed(|part| part.runs.truncate(1)), incomplete);
        assert_eq!(changed(|part| part.violations = 0), incomplete);
        assert_eq!(changed(|part| part.shard = None), Err(MergeError::Whole("2.json".to_owned())));
        assert_eq!(merge(vec![]), Err(MergeError::Nothing));
        let twice = merge(vec![part(1, 2), part(1, 2)]);
        assert_eq!(twice, Err(MergeError::Twice("1.json".to_owned(), "1.json".to_owned())));
        let missing = merge(vec![part(2, 3)]).unwrap_err();
        assert_eq!(missing.to_string(), "parts are missing of 3: 1, 3");
    }

    #[test]
    fn a_part_is_said_as_3_of_8() {
        assert_eq!(Shard::parse("3/8"), Ok(Shard { index: 3, of: 8 }));
        for bad in ["", "3", "0/8", "9/8", "1/0", "a/b", "1/10001", "-1/2"] {
            assert!(Shard::parse(bad).is_err(), "{bad}");
        }
    }
}
