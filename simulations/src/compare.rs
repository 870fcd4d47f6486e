//! Two runs side by side: goals, latency by class, bytes.
//!
//! Read from the documents that `run` leaves ([`crate::report::data`]), so that runs of another day, another
//! scenario or another program can be compared.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::report::put;

/// What is compared of a run.
#[derive(Clone, Debug, Deserialize)]
pub struct Ran {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    peers: u64,
    trace_hash: String,
    events: u64,
    written: Written,
    violation: Option<Value>,
    agreed_after_seconds: Option<f64>,
    goals: Vec<Goal>,
    latency: BTreeMap<String, Latency>,
    links: Vec<Link>,
    store_bytes: StoreBytes,
}

#[derive(Clone, Debug, Deserialize)]
struct Written {
    records: u64,
    text_bytes: u64,
}

#[derive(Clone, Debug, Deserialize)]
struct Goal {
    goal: String,
    measured: String,
    verdict: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Latency {
    deliveries: u64,
    delivered_percent: Option<f64>,
    seconds: BTreeMap<String, Option<f64>>,
    bound_seconds: BTreeMap<String, Option<f64>>,
}

#[derive(Clone, Debug, Deserialize)]
struct Link {
    between: [String; 2],
    sent_bytes: u64,
    delivered_bytes: u64,
    lost_bytes: u64,
    frames: u64,
}

#[derive(Clone, Debug, Deserialize)]
struct StoreBytes {
    mean: u64,
    most: u64,
}

/// A number of both runs; `None` where one has none.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// What it is.
    pub what: String,
    /// In which unit: `s`, `%`, `B`, or nothing.
    pub unit: &'static str,
    /// Of the first run.
    pub a: Option<f64>,
    /// Of the second.
    pub b: Option<f64>,
}

/// A goal in both runs: what was measured, and whether it was reached.
#[derive(Clone, Debug, PartialEq)]
pub struct GoalPair {
    /// The goal.
    pub goal: String,
    /// Of the first run.
    pub a: Option<Judged>,
    /// Of the second.
    pub b: Option<Judged>,
}

/// What was measured for a goal.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// For people.
    pub measured: String,
    /// Whether it was reached.
    pub reached: bool,
}

/// Two runs side by side.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// What the two are called: scenario and seed.
    pub names: [String; 2],
    /// Whether the two went the same way, event by event.
    pub equal: bool,
    /// What an oracle found in each.
    pub violations: [Option<String>; 2],
    /// Goals of either.
    pub goals: Vec<GoalPair>,
    /// Times of each class.
    pub latency: Vec<(String, Vec<Pair>)>,
    /// Bytes, frames and stores.
    pub totals: Vec<Pair>,
    /// Bytes over each link of either, those with the most first.
    pub links: Vec<Pair>,
}

const PERCENTILES: [&str; 4] = ["p50", "p90", "p95", "p100"];
/// Most links that are listed for people.
const LINKS_MAX: usize = 20;

impl Comparison {
    /// Puts two runs side by side.
    #[must_use]
    pub fn of(a: &Ran, b: &Ran) -> Self {
        let found = |ran: &Ran| {
            let part = |key: &str| ran.violation.as_ref()?.get(key)?.as_str();
            Some(format!("{}: {}", part("oracle")?, part("what")?))
        };
        Self {
            names: [a, b].map(|ran| format!("{}, seed {}", ran.scenario, ran.seed)),
            equal: a.trace_hash == b.trace_hash,
            violations: [found(a), found(b)],
            goals: goals(a, b),
            latency: latency(a, b),
            totals: totals(a, b),
            links: links(a, b),
        }
    }

    /// The comparison as a document's `data`.
    #[must_use]
    pub fn data(&self) -> Value {
        let goal = |judged: &Option<Judged>| {
            let verdict = |judged: &Judged| if judged.reached { "PASS" } else { "FAIL" };
            let judged = judged.as_ref();
            judged.map(|j| json!({ "measured": j.measured, "verdict": verdict(j) }))
        };
        let goals = self
            .goals
            .iter()
            .map(|pair| json!({ "goal": pair.goal, "a": goal(&pair.a), "b": goal(&pair.b) }));
        let pair = |pair: &Pair| json!({ "what": pair.what, "unit": pair.unit, "a": pair.a, "b": pair.b, "times": pair.times() });
        let pairs = |all: &[Pair]| all.iter().map(pair).collect::<Vec<Value>>();
        let latency = self.latency.iter().map(|(class, all)| (class.clone(), pairs(all).into()));
        json!({
            "runs": self.names,
            "equal": self.equal,
            "violations": self.violations,
            "goals": goals.collect::<Vec<Value>>(),
            "latency": latency.collect::<serde_json::Map<String, Value>>(),
            "totals": pairs(&self.totals),
            "links": pairs(&self.links),
        })
    }

    /// The comparison as lines of text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        let [a, b] = &self.names;
        put(&mut out, format_args!("A  {a}\nB  {b}"));
        if self.equal {
            put(&mut out, format_args!("the two went the same way, event by event"));
        }
        for (name, found) in ["A", "B"].iter().zip(&self.violations) {
            if let Some(found) = found {
                put(&mut out, format_args!("VIOLATION in {name}  {found}"));
            }
        }
        for GoalPair { goal, a, b } in &self.goals {
            let side =
                |judged: &Option<Judged>| judged.as_ref().map_or("-".to_owned(), Judged::text);
            put(&mut out, format_args!("{goal:<32} {:>24} {:>24}", side(a), side(b)));
        }
        for (class, pairs) in &self.latency {
            put(&mut out, format_args!("{class}"));
            pairs.iter().for_each(|pair| pair.put(&mut out));
        }
        put(&mut out, format_args!("bytes"));
        self.totals.iter().for_each(|pair| pair.put(&mut out));
        put(&mut out, format_args!("bytes sent over links"));
        self.links.iter().take(LINKS_MAX).for_each(|pair| pair.put(&mut out));
        if self.links.len() > LINKS_MAX {
            put(&mut out, format_args!("  and {} links more", self.links.len() - LINKS_MAX));
        }
        out
    }
}

impl Judged {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{} {}", self.measured, if self.reached { "PASS" } else { "FAIL" })
    }
}

impl Pair {
    /// How many times as much the second has; `None` where there is nothing to compare with.
    #[must_use]
    pub fn times(&self) -> Option<f64> {
        let (a, b) = (self.a?, self.b?);
        (a > 0.0).then(|| b / a)
    }

    /// The two numbers and their ratio, for people.
    #[must_use]
    pub fn texts(&self) -> [String; 3] {
        let side = |value: Option<f64>| match (value, self.unit) {
            (None, _) => "-".to_owned(),
            (Some(value), "s") => crate::quantity::short((value * 1e9) as u64),
            (Some(value), "%") => format!("{value:.1} %"),
            (Some(value), unit) => format!("{value:.0} {unit}").trim_end().to_owned(),
        };
        let times = self.times().map_or("-".to_owned(), |times| format!("{times:.2} times"));
        [side(self.a), side(self.b), times]
    }

    fn put(&self, out: &mut String) {
        let [a, b, times] = self.texts();
        put(out, format_args!("  {:<30} {a:>16} {b:>16} {times:>12}", self.what));
    }
}

fn goals(a: &Ran, b: &Ran) -> Vec<GoalPair> {
    let of = |ran: &Ran, name: &str| {
        let goal = ran.goals.iter().find(|goal| goal.goal == name)?;
        Some(Judged { measured: goal.measured.clone(), reached: goal.verdict == "PASS" })
    };
    let mut names: Vec<&str> = a.goals.iter().map(|goal| goal.goal.as_str()).collect();
    for Goal { goal, .. } in &b.goals {
        if !names.contains(&goal.as_str()) {
            names.push(goal);
        }
    }
    let pair = |name: &str| GoalPair { goal: name.to_owned(), a: of(a, name), b: of(b, name) };
    names.into_iter().map(pair).collect()
}

fn latency(a: &Ran, b: &Ran) -> Vec<(String, Vec<Pair>)> {
    let classes: BTreeSet<&String> = a.latency.keys().chain(b.latency.keys()).collect();
    let of_class = |class: &String| {
        let sides = [a, b].map(|ran| ran.latency.get(class));
        let mut pairs = vec![
            pair("deliveries", "", sides, |side| Some(side.deliveries as f64)),
            pair("arrived", "%", sides, |side| side.delivered_percent),
        ];
        for percentile in PERCENTILES {
            let took = |side: &Latency| side.seconds.get(percentile).copied().flatten();
            let bound = |side: &Latency| side.bound_seconds.get(percentile).copied().flatten();
            pairs.push(pair(percentile, "s", sides, took));
            pairs.push(pair(&format!("{percentile} at the best"), "s", sides, bound));
        }
        (class.clone(), pairs)
    };
    classes.into_iter().map(of_class).collect()
}

/// A figure of a run: what it is, its unit, and how it is read.
type Figure<'a> = (&'a str, &'static str, &'a dyn Fn(&Ran) -> Option<f64>);

fn totals(a: &Ran, b: &Ran) -> Vec<Pair> {
    let sum = |ran: &Ran, of: fn(&Link) -> u64| ran.links.iter().map(of).sum::<u64>() as f64;
    let sides = [Some(a), Some(b)];
    let all: [Figure<'_>; 11] = [
        ("peers", "", &|ran| Some(ran.peers as f64)),
        ("records", "", &|ran| Some(ran.written.records as f64)),
        ("text written", "B", &|ran| Some(ran.written.text_bytes as f64)),
        ("sent", "B", &|ran| Some(sum(ran, |link| link.sent_bytes))),
        ("arrived", "B", &|ran| Some(sum(ran, |link| link.delivered_bytes))),
        ("lost", "B", &|ran| Some(sum(ran, |link| link.lost_bytes))),
        ("frames", "", &|ran| Some(sum(ran, |link| link.frames))),
        ("store, mean", "B", &|ran| Some(ran.store_bytes.mean as f64)),
        ("store, largest", "B", &|ran| Some(ran.store_bytes.most as f64)),
        ("until all held the same", "s", &|ran| ran.agreed_after_seconds),
        ("events", "", &|ran| Some(ran.events as f64)),
    ];
    all.into_iter().map(|(what, unit, of)| pair(what, unit, sides, of)).collect()
}

fn links(a: &Ran, b: &Ran) -> Vec<Pair> {
    let mut sent: BTreeMap<String, [Option<f64>; 2]> = BTreeMap::new();
    for (side, ran) in [a, b].into_iter().enumerate() {
        for Link { between: [from, to], sent_bytes, .. } in &ran.links {
            let name = format!("{} - {}", from.min(to), from.max(to));
            let place = sent.entry(name).or_default().get_mut(side);
            // There may be two between the same posts.
            place.into_iter().for_each(|sum| *sum = Some(sum.unwrap_or(0.0) + *sent_bytes as f64));
        }
    }
    let pair = |(what, [a, b]): (String, [Option<f64>; 2])| Pair { what, unit: "B", a, b };
    let mut links: Vec<Pair> = sent.into_iter().map(pair).collect();
    let most = |pair: &Pair| pair.a.unwrap_or(0.0).max(pair.b.unwrap_or(0.0));
    links.sort_by(|one, other| most(other).total_cmp(&most(one)));
    links
}

fn pair<T>(
    what: &str,
    unit: &'static str,
    sides: [Option<&T>; 2],
    of: impl Fn(&T) -> Option<f64>,
) -> Pair {
    let [a, b] = sides.map(|side| side.and_then(&of));
    Pair { what: what.to_owned(), unit, a, b }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(seed: u64, verdict: &str, p50: f64, sent: u64) -> Ran {
        let link = |from: &str, to: &str, sent: u64| json!({ "between": [from, to], "sent_bytes": sent, "delivered_bytes": sent, "lost_bytes": 0, "frames": 2 });
        serde_json::from_value(json!({
            "scenario": "x", "seed": seed, "peers": 3, "trace_hash": format!("{seed}"), "events": 10,
            "written": { "records": 2, "text_bytes": 600 }, "violation": null, "agreed_after_seconds": null,
            "goals": [{ "goal": "all p50 < 2 s", "measured": "1", "verdict": verdict }],
            "latency": { "flash": { "deliveries": 4, "delivered_percent": 100.0, "seconds": { "p50": p50 },
                                    "bound_seconds": { "p50": 1.0 } } },
            "links": [link("a", "b", sent), link("b", "a", 1), link("b", "c", 5)],
            "store_bytes": { "mean": 100, "most": 200 },
        }))
        .unwrap()
    }

    #[test]
    fn two_runs_stand_side_by_side() {
        let (mut a, b) = (ran(1, "FAIL", 4.0, 100), ran(2, "PASS", 1.0, 50));
        a.goals.push(Goal { goal: "only a".into(), measured: "0".into(), verdict: "PASS".into() });
        let compared = Comparison::of(&a, &b);
        assert!(!compared.equal && Comparison::of(&a, &a).equal);
        let reached: Vec<[Option<bool>; 2]> = compared
            .goals
            .iter()
            .map(|pair| [&pair.a, &pair.b].map(|side| side.as_ref().map(|j| j.reached)))
            .collect();
        assert_eq!(reached, [[Some(false), Some(true)], [Some(true), None]]);
        let (_, flash) = &compared.latency[0];
        let p50 = flash.iter().find(|pair| pair.what == "p50").unwrap();
        assert_eq!((p50.a, p50.b, p50.times()), (Some(4.0), Some(1.0), Some(0.25)));
        let first = &compared.links[0];
        assert_eq!((first.what.as_str(), first.a, first.b), ("a - b", Some(101.0), Some(51.0)));
        let text = compared.text();
        assert!(text.contains("0.25 times") && text.contains("1 FAIL"), "{text}");
        assert_eq!(compared.data()["totals"][3]["a"], 106.0);
    }
}
