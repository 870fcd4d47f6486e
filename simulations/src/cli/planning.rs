//! Commands for who plans: a first scenario from what there is, and the least that is enough.

use std::io::Write as _;
use std::ops::RangeInclusive;
use std::path::Path;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::results::seeds;
use super::{ChangeArgs, Failure, Said, scenario_of, text_of};
use crate::goal::Goal;
use crate::quantity::Rate;
use crate::scenario::ScenarioError;
use crate::size::{self, Probe, Vary};

#[derive(Args, Debug)]
pub(super) struct SizeArgs {
    /// A name that `list` shows, or a .toml file
    #[arg(value_name = "SCENARIO")]
    scenario: String,
    /// What is to be reached: "flash p95 < 1 h"
    #[arg(long, value_parser = Goal::parse)]
    goal: Goal,
    /// What is varied
    #[arg(long, value_enum)]
    vary: What,
    /// The group whose links are varied: what a [[link]] says after `from`
    #[arg(long, value_name = "FROM", required_if_eq("vary", "links.rate"))]
    link: Option<String>,
    /// The seeds, first and last; each has to meet the goal
    #[arg(long, value_name = "A..B", default_value = "1..3", value_parser = seeds)]
    seeds: RangeInclusive<u64>,
    #[command(flatten)]
    changes: ChangeArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// The rate of the links of one group
    #[value(name = "links.rate")]
    Rate,
    /// How many relays there are
    #[value(name = "relays")]
    Relays,
}

pub(super) fn size(args: &SizeArgs) -> Result<Said, Failure> {
    let scenario = scenario_of(&args.scenario)?;
    let vary = match (args.vary, &args.link) {
        (What::Rate, Some(from)) => Vary::Rate(from.clone()),
        (What::Rate, None) => return Err(Failure::usage("links.rate needs --link FROM")),
        (What::Relays, _) => Vary::Relays,
    };
    let shown = |value: u64| match vary {
        Vary::Rate(_) => Rate(value).to_string(),
        Vary::Relays => format!("{value} relays"),
    };
    let mut probes = Vec::new();
    let mut text = String::new();
    let mut say = |probe: &Probe| {
        let line = one_line(probe, &shown(probe.value));
        // A search takes long: whoever waits sees how it goes.
        let _ = writeln!(std::io::stderr(), "{line}");
        text.push_str(&format!("{line}\n"));
        probes.push(one_probe(probe));
    };
    let changes = args.changes.changes();
    let least = size::size(&scenario, &args.goal, &vary, args.seeds.clone(), changes, &mut say)
        .map_err(|error| Failure::usage(error.to_string()))?;
    text.push_str(&match least {
        Some(value) => format!("{} meets {}\n", shown(value), args.goal),
        None => format!("nothing that was tried meets {}\n", args.goal),
    });
    let data = json!({
        "scenario": scenario.name.get_ref(),
        "goal": args.goal.to_string(),
        "seeds": [args.seeds.start(), args.seeds.end()],
        "least": least,
        "unit": match vary { Vary::Rate(_) => "bit/s", Vary::Relays => "relays" },
        "probes": probes,
    });
    Ok(Said { data, text, good: least.is_some() })
}

fn one_line(probe: &Probe, value: &str) -> String {
    let verdict = if probe.meets { "PASS" } else { "FAIL" };
    let seeds: Vec<String> = probe
        .seeds
        .iter()
        .map(|(seed, judged)| match judged {
            Ok(verdict) => format!("seed {seed}: {}", verdict.measured),
            Err(why) => format!("seed {seed}: {why}"),
        })
        .collect();
    format!("{verdict}  {value:<12} {}", seeds.join(", "))
}

fn one_probe(probe: &Probe) -> Value {
    let seed = |(seed, judged): &(u64, Result<crate::goal::Verdict, String>)| match judged {
        Ok(verdict) => {
            json!({ "seed": seed, "measured": verdict.measured, "value": verdict.value })
        }
        Err(why) => json!({ "seed": seed, "measured": null, "why": why }),
    };
    let seeds: Vec<Value> = probe.seeds.iter().map(seed).collect();
    json!({ "value": probe.value, "meets": probe.meets, "seeds": seeds })
}

pub(super) fn new(posts: &Path) -> Result<Said, Failure> {
    made_of(posts, crate::posts::scenario)
}

pub(super) fn contacts(file: &Path) -> Result<Said, Failure> {
    made_of(file, crate::contacts::scenario)
}

/// A scenario that is made of a file, with the file's name.
fn made_of(
    file: &Path,
    make: fn(&str, &str, &str) -> Result<String, ScenarioError>,
) -> Result<Said, Failure> {
    let source = file.display().to_string();
    let text = text_of(&source)?;
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().to_lowercase());
    let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    let name: String = stem.unwrap_or_default().chars().map(plain).collect();
    let toml = make(&text, &source, &name).map_err(|error| Failure::usage(error.to_string()))?;
    Ok(Said { data: json!({ "name": name, "toml": toml }), text: toml, good: true })
}
