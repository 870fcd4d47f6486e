//! Sizing: the least of something with which a goal is met.
//!
//! What is varied goes over a ladder of values, from the least. A run for each seed says whether a value
//! meets the goal; the search halves the ladder each time, as if what meets the goal were met by all that
//! is more. Every probe is shown, so that whoever reads it sees what that rests on.

use std::ops::RangeInclusive;

use toml::Spanned;

use crate::goal::{Goal, Verdict};
use crate::plan::{Changes, Plan};
use crate::quantity::Rate;
use crate::run;
use crate::scenario::{Posts, Scenario};

/// What is varied.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Vary {
    /// The rate of the links that a group has, by the group's name.
    Rate(String),
    /// How many relays there are: of one group, its posts; of several, the first of them.
    Relays,
}

/// Rates that links have, in bit/s: radios, satellites, lines.
const RATES: [u64; 17] = [
    300,
    600,
    1_200,
    2_400,
    4_800,
    9_600,
    19_200,
    38_400,
    64_000,
    128_000,
    256_000,
    512_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    100_000_000,
];
/// Most relays of one group that are tried.
const RELAYS_MAX: u32 = 16;

/// A value that was tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// The value: bit/s, or a number of relays.
    pub value: u64,
    /// What each seed came to, up to the first that did not meet the goal.
    pub seeds: Vec<(u64, Result<Verdict, String>)>,
    /// Whether all seeds met the goal.
    pub meets: bool,
}

/// Why there is nothing to search.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SizeError {
    /// No link is from such a group.
    #[error("no [[link]] is from {0:?}")]
    NoLink(String),
    /// There is no relay.
    #[error("no [[post]] is a relay")]
    NoRelay,
}

/// Searches for the least value with which all seeds meet a goal; every probe is said as it is done. `None` if
/// the greatest does not.
pub fn size(
    scenario: &Scenario,
    goal: &Goal,
    vary: &Vary,
    seeds: RangeInclusive<u64>,
    changes: Changes,
    say: &mut dyn FnMut(&Probe),
) -> Result<Option<u64>, SizeError> {
    let mut scenario = scenario.clone();
    scenario.goals = vec![Spanned::new(0..0, goal.clone())];
    let values = values(&scenario, vary)?;
    let mut meets = |value: u64| {
        let probe = probe(&with(&scenario, vary, value), value, seeds.clone(), changes);
        say(&probe);
        probe.meets
    };
    // All below `from` were too little; `to` and all above it are enough, if it is one of them.
    let (mut from, mut to) = (0, values.len());
    while from < to {
        let middle = from.midpoint(to);
        match values.get(middle) {
            Some(value) if !meets(*value) => from = middle + 1,
            _ => to = middle,
        }
    }
    Ok(values.get(to).copied())
}

fn values(scenario: &Scenario, vary: &Vary) -> Result<Vec<u64>, SizeError> {
    match vary {
        Vary::Rate(from) => {
            let has = scenario.links.iter().any(|links| links.from.get_ref() == from);
            if has { Ok(RATES.to_vec()) } else { Err(SizeError::NoLink(from.clone())) }
        }
        Vary::Relays => {
            let groups: Vec<&Posts> = scenario.posts.iter().filter(|posts| posts.relay).collect();
            let most = match groups.as_slice() {
                [] => return Err(SizeError::NoRelay),
                [one] => relays_with_links(scenario, one),
                several => several.len() as u32,
            };
            Ok((0..=u64::from(most)).collect())
        }
    }
}

/// How many relays of a group would have a link.
fn relays_with_links(scenario: &Scenario, group: &Posts) -> u32 {
    let name = group.name.get_ref();
    let count = |name: &str| {
        let from = scenario.posts.iter().find(|posts| posts.means(name));
        from.map_or(0, |from| if from.name.get_ref() == name { from.count } else { 1 })
    };
    let with_links = scenario.links.iter().map(|links| {
        match (links.from.get_ref() == name, links.to.get_ref() == name) {
            (true, _) => RELAYS_MAX,
            (false, true) => count(links.from.get_ref()).saturating_mul(links.each),
            (false, false) => 0,
        }
    });
    with_links.max().unwrap_or(0).clamp(1, RELAYS_MAX)
}

/// The scenario with a value in it.
fn with(scenario: &Scenario, vary: &Vary, value: u64) -> Scenario {
    let mut changed = scenario.clone();
    match vary {
        Vary::Rate(from) => {
            let links = changed.links.iter_mut().filter(|links| links.from.get_ref() == from);
            links.for_each(|links| links.rate = Rate(value));
        }
        Vary::Relays => {
            let groups = scenario.posts.iter().filter(|posts| posts.relay).count();
            let mut left = value;
            changed.posts.retain_mut(|posts| {
                let stays = !posts.relay || left > 0;
                if posts.relay && groups == 1 {
                    (posts.count, left) = (value as u32, 0);
                } else if posts.relay {
                    left = left.saturating_sub(1);
                }
                stays
            });
            let known = changed.posts.clone();
            let is_known = |name: &str| known.iter().any(|posts| posts.means(name));
            changed.links.retain(|l| is_known(l.from.get_ref()) && is_known(l.to.get_ref()));
            changed.faults.retain(|fault| fault.posts.get_ref().iter().all(|name| is_known(name)));
        }
    }
    changed
}

fn probe(scenario: &Scenario, value: u64, seeds: RangeInclusive<u64>, changes: Changes) -> Probe {
    let mut probe = Probe { value, seeds: Vec::new(), meets: true };
    for seed in seeds {
        let plan = Plan::of(scenario, seed, changes);
        let judged = match plan.island() {
            Some((group, a, b)) => Err(format!("nothing joins {a} and {b} for {group}")),
            None => match run(&plan, None) {
                Err(error) => Err(error.to_string()),
                Ok(outcome) => match (outcome.violation, outcome.goals.into_iter().next()) {
                    (Some(violation), _) => Err(violation.to_string()),
                    (None, Some(verdict)) => Ok(verdict),
                    (None, None) => Err("no goal was judged".to_owned()),
                },
            },
        };
        probe.meets = judged.as_ref().is_ok_and(|verdict| verdict.reached);
        probe.seeds.push((seed, judged));
        if !probe.meets {
            break;
        }
    }
    probe
}
