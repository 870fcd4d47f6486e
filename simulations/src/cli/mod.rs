//! The command line of `tearline-sim`.
//!
//! With `--json` a command prints one document, `{"schema":"tearline-sim.VERB/1","data":...}`, and a
//! failure is one too, `{"schema":"tearline-sim.error/1","error":...}`. Everything else goes to stderr.
//! Exit codes as `tearline` has them: 0 done, 1 failed (a goal was missed, an oracle found something), 2
//! usage (the command, or the scenario, makes no sense).
#![expect(
    clippy::disallowed_methods,
    reason = "the program reads scenarios, writes reports and says how long it took; the simulator does not"
)]

mod planning;
mod results;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use serde_json::{Value, json};

use crate::library::{self, SCENARIOS};
use crate::live::{self, LiveError, Terms};
use crate::outcome::MARK_EVERY;
use crate::plan::{Changes, Plan};
use crate::quantity::HOUR;
use crate::report::{self, Took};
use crate::scenario::Scenario;
use crate::shards::what_broke;
use crate::shrink::{Shrunk, shrink};
use crate::{Outcome, run, run_in_full};

/// Simulate a mesh before it is built: the code that ships, in virtual time.
#[derive(Debug, Parser)]
#[command(
    name = "tearline-sim",
    version,
    after_help = "\
Examples:
  tearline-sim list
  tearline-sim run lake-chad --seed 7 --out report     then open report/index.html
  tearline-sim show lake-chad > mine.toml              to begin a scenario of your own
  tearline-sim sweep chaos --seeds 1..200 --jobs 2
  tearline-sim shrink chaos --seed 13 --out small.toml
  tearline-sim run land-border --hours 1 --live --speed 10
  tearline-sim new --posts posts.csv > mine.toml
  tearline-sim size lake-chad --goal \"flash p95 < 12 h\" --vary links.rate --link post-ne
  tearline-sim compare before/run.json after/run.json --out compared

A SCENARIO is a name that `list` shows, or a file that ends in .toml.

Exit codes: 0 done, 1 failed (a goal was missed, or an oracle found something), 2 usage."
)]
struct Cli {
    /// One JSON document on stdout
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Carry out one run and judge it by the scenario's goals
    Run(RunArgs),
    /// Carry out the same run twice; it must go the same way, event by event
    Replay(ReplayArgs),
    /// Carry out a run for each of many seeds; no oracle may find anything
    Sweep(results::SweepArgs),
    /// Put the parts of a sweep together
    Merge {
        /// What `sweep --shard I/N --out FILE` left, one file for each part
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Write the whole there, as JSON
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show two runs side by side
    Compare {
        /// The run.json that `run --out DIR` left
        a: PathBuf,
        /// The run.json of the other
        b: PathBuf,
        /// Write a page there: index.html and compare.json
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Make a run that breaks small
    Shrink(ShrinkArgs),
    /// The scenarios that come with the program
    List,
    /// Print a scenario that comes with the program
    Show {
        /// Its name
        name: String,
    },
    /// Begin a scenario with a table of posts: CSV of name,agency,lat,lon,kind,link
    New {
        /// The table
        #[arg(long, value_name = "FILE")]
        posts: PathBuf,
    },
    /// Search for the least rate or the fewest relays with which a goal is met
    Size(planning::SizeArgs),
    /// Make a scenario of a contact trace: the ONE's events, or CSV of HOST,HOST,FROM,TO in seconds
    Contacts {
        /// The trace
        file: PathBuf,
    },
    /// Check scenarios
    Validate {
        /// Files, or names
        #[arg(required = true, value_name = "SCENARIO")]
        scenarios: Vec<String>,
    },
}

#[derive(Args, Debug)]
struct Which {
    /// A name that `list` shows, or a .toml file
    #[arg(value_name = "SCENARIO")]
    scenario: String,
    /// What everything random is drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    changes: ChangeArgs,
}

#[derive(Args, Debug)]
struct ChangeArgs {
    /// How many hours work goes on, instead of what the scenario says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_680))]
    hours: Option<u64>,
    /// How many peers there are: groups of several posts grow or shrink in proportion
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    peers: Option<u32>,
}

#[derive(Args, Debug)]
struct RunArgs {
    #[command(flatten)]
    which: Which,
    /// Write a report there: index.html and run.json
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Every peer verifies and opens everything itself: slower, and nothing else changes
    #[arg(long)]
    full_crypto: bool,
    /// Play it as an exercise: in real time, with real daemons on loopback
    #[arg(long, conflicts_with_all = ["out", "full_crypto"])]
    live: bool,
    /// With --live: the tearline program [default: the one beside this one]
    #[arg(long, value_name = "FILE", requires = "live")]
    program: Option<PathBuf>,
    /// With --live: so many seconds of the scenario in a second
    #[arg(long, value_name = "N", requires = "live", default_value_t = 1.0, value_parser = speed)]
    speed: f64,
}

#[derive(Args, Debug)]
struct ReplayArgs {
    #[command(flatten)]
    which: Which,
    /// The second time every peer verifies and opens everything itself
    #[arg(long)]
    full_crypto: bool,
}

#[derive(Args, Debug)]
struct ShrinkArgs {
    #[command(flatten)]
    which: Which,
    /// Where the small scenario goes [default: SCENARIO-SEED.toml]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How many runs it may take
    #[arg(long, value_name = "N", default_value_t = 400)]
    runs: usize,
}

/// What a command came to: the document's data, text for people, and whether it is good.
struct Said {
    data: Value,
    text: String,
    good: bool,
}

/// Why a command did nothing.
struct Failure {
    what: String,
    usage: bool,
}

/// Runs one command line.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, json),
    };
    let said = match &cli.verb {
        Verb::Run(args) => carry_out(args),
        Verb::Replay(args) => replay(args),
        Verb::Sweep(args) => results::sweep_seeds(args),
        Verb::Merge { files, out } => results::merge_parts(files, out.as_deref()),
        Verb::Compare { a, b, out } => results::compare(a, b, out.as_deref()),
        Verb::Shrink(args) => make_small(args),
        Verb::List => Ok(list()),
        Verb::Show { name } => show(name),
        Verb::New { posts } => planning::new(posts),
        Verb::Size(args) => planning::size(args),
        Verb::Contacts { file } => planning::contacts(file),
        Verb::Validate { scenarios } => validate(scenarios),
    };
    match said {
        Ok(said) => {
            let printed = if json {
                print(&format!(
                    "{}\n",
                    json!({ "schema": schema(cli.verb.name()), "data": said.data })
                ))
            } else {
                print(&said.text)
            };
            let code = if said.good && printed { SUCCESS } else { FAILED };
            ExitCode::from(code)
        }
        Err(failure) => fail(&failure, json),
    }
}

const SUCCESS: u8 = 0;
const FAILED: u8 = 1;
const USAGE: u8 = 2;

impl Verb {
    const fn name(&self) -> &'static str {
        match self {
            Self::Run(_) => "run",
            Self::Replay(_) => "replay",
            Self::Sweep(_) => "sweep",
            Self::Merge { .. } => "merge",
            Self::Compare { .. } => "compare",
            Self::Shrink(_) => "shrink",
            Self::List => "list",
            Self::Show { .. } => "show",
            Self::New { .. } => "new",
            Self::Size(_) => "size",
            Self::Contacts { .. } => "contacts",
            Self::Validate { .. } => "validate",
        }
    }
}

impl Failure {
    fn usage(what: impl Into<String>) -> Self {
        Self { what: what.into(), usage: true }
    }

    fn failed(what: impl Into<String>) -> Self {
        Self { what: what.into(), usage: false }
    }
}

fn carry_out(args: &RunArgs) -> Result<Said, Failure> {
    let plan = plan_of(&args.which)?;
    if args.live {
        let interrupted = on_signals()?;
        let terms = Terms { program: args.program.clone(), speed: args.speed, interrupted };
        return exercise(&plan, &terms);
    }
    let (outcome, took) = timed(&plan, args.full_crypto)?;
    let data = report::data(&outcome, took);
    let mut text = report::text(&outcome, took);
    if let Some(folder) = &args.out {
        let page = report::page(&outcome, &plan.about, took);
        write_report(folder, &page, "run", &data)?;
        text.push_str(&format!("report {}\n", folder.join("index.html").display()));
    }
    Ok(Said { data, text, good: outcome.is_good() })
}

/// Set by the first SIGINT, SIGTERM or SIGHUP; the second ends the program at once.
fn on_signals() -> Result<Arc<AtomicBool>, Failure> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let ends =
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&interrupted));
        let sets = ends.and_then(|_| signal_hook::flag::register(signal, Arc::clone(&interrupted)));
        sets.map_err(|error| Failure::failed(format!("signal {signal} cannot be taken: {error}")))?;
    }
    Ok(interrupted)
}

/// What happens is said on stderr as it happens.
fn exercise(plan: &Plan, terms: &Terms) -> Result<Said, Failure> {
    let played = live::play(plan, terms, &mut |line| {
        // Whoever does not look on is not waited for.
        let _ = writeln!(std::io::stderr(), "{line}");
    });
    let played = played.map_err(|error| match error {
        LiveError::Unplayable { .. } | LiveError::NoProgram { .. } => {
            Failure::usage(error.to_string())
        }
        error => Failure::failed(error.to_string()),
    })?;
    Ok(Said { data: played.data(), text: played.text(), good: played.is_good() })
}

fn speed(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| (0.1..=SPEED_MAX).contains(number));
    number.ok_or_else(|| format!("a number from 0.1 to {SPEED_MAX}"))
}

/// How much faster than in truth an exercise can go.
const SPEED_MAX: f64 = 1_000.0;

fn replay(args: &ReplayArgs) -> Result<Said, Failure> {
    let plan = plan_of(&args.which)?;
    let (first, _) = timed(&plan, false)?;
    let (second, _) = timed(&plan, args.full_crypto)?;
    let equal = first.trace_hash == second.trace_hash;
    let parted = first.marks.iter().zip(&second.marks).position(|(a, b)| a != b);
    let from = parted.map_or(first.marks.len(), |mark| mark) as u64 * MARK_EVERY;
    let text = if equal {
        format!("equal: {} events, trace {}\n", first.events, first.trace_hash)
    } else {
        format!("NOT EQUAL: the runs part in the {MARK_EVERY} events after event {from}\n")
    };
    let data = json!({
        "scenario": first.scenario,
        "seed": first.seed,
        "equal": equal,
        "trace_hash": [first.trace_hash, second.trace_hash],
        "events": [first.events, second.events],
        "parted_after_event": (!equal).then_some(from),
    });
    Ok(Said { data, text, good: equal })
}

fn make_small(args: &ShrinkArgs) -> Result<Said, Failure> {
    let plan = plan_of(&args.which)?;
    let Some(Shrunk { plan, broke, runs, complete }) = shrink(&plan, args.runs, None) else {
        let seed = args.which.seed;
        return Err(Failure::failed(format!("nothing breaks in {} with seed {seed}", plan.name)));
    };
    let file = args.out.clone();
    let file = file.unwrap_or_else(|| PathBuf::from(format!("{}-{}.toml", plan.name, plan.seed)));
    let head = format!("# {broke}\n# tearline-sim run {} --seed {}\n", file.display(), plan.seed);
    std::fs::write(&file, head + &plan.to_toml()).map_err(|error| cannot_write(&file, &error))?;
    let (posts, writes, faults) = (plan.posts.len(), plan.writes.len(), plan.faults.len());
    let more = if complete { "" } else { "; the runs were used up: --runs N allows more" };
    let text = format!(
        "{broke}\n{posts} posts, {} links, {writes} writes, {faults} faults after {runs} runs{more}\n{}\n",
        plan.lines.len(),
        file.display()
    );
    let data = json!({
        "violation": what_broke(&broke),
        "posts": posts,
        "links": plan.lines.len(),
        "writes": writes,
        "faults": faults,
        "runs": runs,
        "complete": complete,
        "file": file,
    });
    Ok(Said { data, text, good: true })
}

fn list() -> Said {
    let mut text = String::new();
    let mut all = Vec::new();
    for (name, _) in SCENARIOS {
        let Some(scenario) = library::named(name) else { continue };
        let posts: u32 = scenario.posts.iter().map(|posts| posts.count).sum();
        text.push_str(&format!("{name:<14} {posts:>4} peers  {}\n", scenario.about));
        all.push(json!({ "name": name, "peers": posts, "about": scenario.about }));
    }
    Said { data: json!({ "scenarios": all }), text, good: true }
}

fn show(name: &str) -> Result<Said, Failure> {
    let text = library::text_of(name).ok_or_else(|| unknown(name))?;
    Ok(Said { data: json!({ "name": name, "toml": text }), text: text.to_owned(), good: true })
}

fn validate(names: &[String]) -> Result<Said, Failure> {
    let mut text = String::new();
    for name in names {
        let scenario = scenario_of(name)?;
        let plan = Plan::of(&scenario, 1, Changes::default());
        joined(&plan, name)?;
        let (posts, links) = (plan.posts.len(), plan.lines.len());
        let (writes, goals) = (plan.writes.len(), plan.goals.len());
        text.push_str(&format!(
            "{name}: {posts} posts, {links} links, {writes} records with seed 1, {goals} goals\n"
        ));
    }
    Ok(Said { data: json!({ "valid": names }), text, good: true })
}

/// A run and how long it took.
fn timed(plan: &Plan, full_crypto: bool) -> Result<(Outcome, Took), Failure> {
    let began = Instant::now();
    let outcome = if full_crypto { run_in_full(plan) } else { run(plan, None) };
    let outcome = outcome.map_err(|error| Failure::failed(error.to_string()))?;
    Ok((outcome, Took::since(began)))
}

fn plan_of(which: &Which) -> Result<Plan, Failure> {
    let scenario = scenario_of(&which.scenario)?;
    let plan = Plan::of(&scenario, which.seed, which.changes.changes());
    joined(&plan, &which.scenario)?;
    Ok(plan)
}

fn scenario_of(name: &str) -> Result<Scenario, Failure> {
    parsed(&scenario_text(name)?, name)
}

fn parsed(text: &str, name: &str) -> Result<Scenario, Failure> {
    Scenario::parse(text, name).map_err(|error| Failure::usage(error.to_string()))
}

/// The text of a scenario that comes with the program, or of a file.
fn scenario_text(name: &str) -> Result<String, Failure> {
    let is_file = Path::new(name).extension().is_some_and(|extension| extension == "toml");
    if is_file {
        return text_of(name);
    }
    library::text_of(name).map(str::to_owned).ok_or_else(|| unknown(name))
}

/// A file's text.
fn text_of(name: &str) -> Result<String, Failure> {
    let text = std::fs::read(name)
        .map_err(|error| Failure::usage(format!("{name} cannot be read: {error}")))?;
    if text.len() > FILE_BYTES_MAX {
        let most = FILE_BYTES_MAX / 1_000_000;
        return Err(Failure::usage(format!("{name} is larger than {most} MB")));
    }
    String::from_utf8(text).map_err(|_| Failure::usage(format!("{name} is no text in UTF-8")))
}

/// Largest file: a plan with a million contacts, or what half a million runs came to.
const FILE_BYTES_MAX: usize = 64_000_000;

/// Refuses a plan in which some can never hold the same.
fn joined(plan: &Plan, name: &str) -> Result<(), Failure> {
    let Some((group, a, b)) = plan.island() else { return Ok(()) };
    Err(Failure::usage(format!(
        "{name}: no chain of links joins {a} and {b} for {group}, over posts of its agencies alone; \
         add a [[link]], or a post of theirs on the way"
    )))
}

fn unknown(name: &str) -> Failure {
    let names: Vec<&str> = SCENARIOS.iter().map(|(name, _)| *name).collect();
    Failure::usage(format!(
        "there is no scenario {name:?}: {}, or a file that ends in .toml",
        names.join(", ")
    ))
}

/// A page for people and a document for programs.
fn write_report(folder: &Path, page: &str, verb: &str, data: &Value) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| cannot_write(folder, &error))?;
    let file = folder.join("index.html");
    std::fs::write(&file, page).map_err(|error| cannot_write(&file, &error))?;
    write_document(&folder.join(format!("{verb}.json")), verb, data)
}

fn write_document(file: &Path, verb: &str, data: &Value) -> Result<(), Failure> {
    let document = json!({ "schema": schema(verb), "data": data });
    std::fs::write(file, format!("{document}\n")).map_err(|error| cannot_write(file, &error))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("{} cannot be written: {error}", path.display()))
}

impl ChangeArgs {
    fn changes(&self) -> Changes {
        Changes { length: self.hours.map(|hours| hours * HOUR), peers: self.peers }
    }
}

fn schema(verb: &str) -> String {
    format!("tearline-sim.{verb}/1")
}

/// Ends a command line that clap did not take, or that asked for help.
fn refuse(error: &clap::Error, json: bool) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) || !json {
        // Whoever closed the other end does not want the rest.
        let _ = error.print();
        return ExitCode::from(error.exit_code() as u8);
    }
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).take_while(|l| !l.is_empty()).collect();
    fail(&Failure::usage(lines.join(" ").trim_start_matches("error: ")), json)
}

fn fail(failure: &Failure, json: bool) -> ExitCode {
    let kind = if failure.usage { "usage" } else { "failed" };
    if json {
        let error = json!({ "kind": kind, "what": failure.what });
        print(&format!("{}\n", json!({ "schema": schema("error"), "error": error })));
    } else {
        let _ = writeln!(std::io::stderr(), "error: {}", failure.what);
    }
    ExitCode::from(if failure.usage { USAGE } else { FAILED })
}

/// Whether all of it was taken. A reader that closed the pipe has seen enough.
fn print(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => true,
        Err(error) => error.kind() == std::io::ErrorKind::BrokenPipe,
    }
}
