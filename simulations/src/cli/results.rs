//! Commands on many runs: a sweep, its parts put together, two runs side by side.
#![expect(
    clippy::disallowed_methods,
    reason = "the program writes results and says how long they took; the simulator does not"
)]

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tearline_crdt::hash::sha256;

use super::{
    ChangeArgs, Failure, Said, joined, parsed, scenario_text, schema, text_of, write_document,
    write_report,
};
use crate::compare::Comparison;
use crate::plan::Plan;
use crate::report;
use crate::shards::{Machine, OfSeed, Results, Shard, merge};
use crate::sweep::sweep;

#[derive(Args, Debug)]
pub(super) struct SweepArgs {
    /// A name that `list` shows, or a .toml file
    #[arg(value_name = "SCENARIO")]
    scenario: String,
    /// The seeds, first and last
    #[arg(long, value_name = "A..B", default_value = "1..20", value_parser = seeds)]
    seeds: RangeInclusive<u64>,
    /// How many runs go on at a time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,
    /// Only part I of N of the seeds; `merge` puts the parts together
    #[arg(long, value_name = "I/N", value_parser = Shard::parse)]
    shard: Option<Shard>,
    /// Write the results there, as JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    changes: ChangeArgs,
}

pub(super) fn sweep_seeds(args: &SweepArgs) -> Result<Said, Failure> {
    let source = scenario_text(&args.scenario)?;
    let scenario = parsed(&source, &args.scenario)?;
    let changes = args.changes.changes();
    joined(&Plan::of(&scenario, *args.seeds.start(), changes), &args.scenario)?;
    let began = Instant::now();
    let part = args.shard.unwrap_or(Shard { index: 1, of: 1 });
    let seeds = part.seeds(args.seeds.clone());
    let swept = sweep(&scenario, seeds, changes, usize::from(args.jobs), None);
    let runs: Vec<OfSeed> = swept.iter().map(OfSeed::of).collect();
    let results = Results {
        scenario: scenario.name.get_ref().clone(),
        scenario_sha256: sha256(source.as_bytes()).iter().map(|b| format!("{b:02x}")).collect(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        hours: args.changes.hours,
        peers: args.changes.peers,
        seeds: [*args.seeds.start(), *args.seeds.end()],
        shard: args.shard,
        violations: runs.iter().filter(|run| run.violation.is_some()).count(),
        runs,
        machine: Machine { seconds: began.elapsed().as_secs_f64() },
    };
    said(&results, &args.scenario, "sweep", args.out.as_deref())
}

pub(super) fn merge_parts(files: &[PathBuf], out: Option<&Path>) -> Result<Said, Failure> {
    let part = |file: &PathBuf| Ok((file.display().to_string(), document(file, "sweep")?));
    let parts = files.iter().map(part).collect::<Result<Vec<_>, Failure>>()?;
    let whole = merge(parts).map_err(|error| Failure::failed(error.to_string()))?;
    said(&whole, &whole.scenario, "merge", out)
}

fn said(results: &Results, name: &str, verb: &str, out: Option<&Path>) -> Result<Said, Failure> {
    let data = json!(results);
    let mut text = results.text();
    if let Some(run) = results.first_broken() {
        let again = format!("tearline-sim shrink {name} --seed {}", run.seed);
        text.push_str(&format!("to make the first small: {again}\n"));
    }
    if let Some(file) = out {
        write_document(file, verb, &data)?;
        text.push_str(&format!("{}\n", file.display()));
    }
    Ok(Said { data, text, good: results.violations == 0 })
}

pub(super) fn compare(a: &Path, b: &Path, out: Option<&Path>) -> Result<Said, Failure> {
    let compared = Comparison::of(&document(a, "run")?, &document(b, "run")?);
    let data = compared.data();
    let mut text = compared.text();
    if let Some(folder) = out {
        write_report(folder, &report::comparison(&compared), "compare", &data)?;
        text.push_str(&format!("report {}\n", folder.join("index.html").display()));
    }
    Ok(Said { data, text, good: true })
}

/// The data of a document that another command left.
fn document<T: DeserializeOwned>(file: &Path, verb: &str) -> Result<T, Failure> {
    let name = file.display().to_string();
    let wrong = |what: String| Failure::usage(format!("{name} is no result of {verb}: {what}"));
    let text = text_of(&name)?;
    let mut document: Value = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    let known = document.get("schema").and_then(Value::as_str) == Some(&schema(verb));
    match document.get_mut("data").map(Value::take) {
        Some(data) if known => serde_json::from_value(data).map_err(|e| wrong(e.to_string())),
        _ => Err(wrong(format!("its schema is not {}", schema(verb)))),
    }
}

/// `1..200`: both belong to it.
pub(super) fn seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("seeds are said as 1..200")?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text:?} is no seed"));
    let (from, to) = (number(from)?, number(to)?);
    if from > to || to - from >= SEEDS_MAX {
        return Err(format!(
            "the first seed comes before the last, and there are at most {SEEDS_MAX}"
        ));
    }
    Ok(from..=to)
}

/// Most seeds of one sweep.
const SEEDS_MAX: u64 = 1_000_000;
