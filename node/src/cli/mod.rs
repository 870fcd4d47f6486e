//! The command line: the tree of verbs, and how each of them ends.
//!
//! A verb acts on the home folder itself or asks the daemon, and comes to an `Outcome` or a
//! [`Failure`]. For people the outcome is text on stdout; with `--json` it is one document,
//! `{"schema":"tearline.VERB/1","data":...}`, and a failure is one document too,
//! `{"schema":"tearline.error/1","error":...}`. Everything else goes to stderr.

mod anew;
mod aside;
mod attachment;
mod audit;
mod backup;
mod bundle;
mod coalition;
mod compartment;
mod context;
mod cot;
mod demo;
mod device;
mod exchange;
mod field;
mod grant;
mod inbox;
mod keys;
mod offline;
mod operator;
mod output;
mod pass;
mod peer;
mod presence;
mod record;
pub mod render;
mod root;
mod run;
mod search;
mod secrets;
mod settings;
mod stop;
mod taxii;
mod when;

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use self::context::Context;
pub(crate) use self::device::initialise;
use self::output::{Outcome, print_failure, print_outcome, print_stderr};
use crate::core_dumps;
use crate::daemon::Start;
use crate::failure::{Failure, Kind};
use crate::home::Home;
use crate::logging;

/// Runs one command line; `start` makes the inside of a daemon for `tearline run`.
pub fn main(arguments: impl IntoIterator<Item = OsString>, start: Start) -> ExitCode {
    // A panic's message may quote what it stumbled over: say where, never what.
    set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        print_stderr(&format!("internal error at {place}\n"));
    }));
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let json = arguments.iter().take_while(|a| *a != "--").any(|a| a == "--json");
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, json),
    };
    let name = cli.verb.name();
    let result = catch_unwind(AssertUnwindSafe(|| {
        core_dumps::forbid()?;
        let sources = cli.global.opens.sources(!cli.global.flags.no_input);
        let home = Home::locate(cli.global.home)?;
        let context = Context::new(home, cli.global.flags, sources, start);
        if !matches!(cli.verb, Verb::Run(_)) {
            let flags = &context.flags;
            logging::start(&logging::filter("warn", flags.quiet, flags.verbose));
        }
        cli.verb.run(&context)
    }));
    match result {
        Ok(Ok(outcome)) => print_outcome(name, outcome, &cli.global.flags),
        Ok(Err(failure)) => print_failure(&failure, json),
        Err(_) => print_failure(&Failure::bug(format!("`{name}` broke off")), json),
    }
}

/// Ends a command line that clap did not take, or that asked for help.
fn refuse(error: &clap::Error, json: bool) -> ExitCode {
    let help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if help || !json {
        // Whoever closed the other end does not want the rest.
        let _ = error.print();
        return if help { ExitCode::SUCCESS } else { Kind::Usage.into() };
    }
    // Up to the usage, which begins after an empty line, as one line.
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).take_while(|l| !l.is_empty()).collect();
    let what = lines.join(" ");
    print_failure(&Failure::usage(what.trim_start_matches("error: ")).hint("tearline --help"), json)
}

/// Share border-threat records between agencies of several nations, with no server in the middle.
#[derive(Debug, Parser)]
#[command(
    name = "tearline",
    version,
    propagate_version = true,
    after_help = "\
Example:
  tearline demo                 see it work: seven daemons on this machine, fictional agencies
  tearline init --agency 'Garde nationale' --country NE
  tearline run                  then, in another terminal: tearline status

Exit codes: 0 done, 1 failed, 2 usage, 4 not found or not visible (the same answer), 5 denied by
policy, 6 daemon unreachable, 7 incomplete, 8 waits for a signature or a decision, 9 integrity,
255 a defect of this program."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Args, Clone, Debug)]
struct Global {
    /// The home folder: keys, settings and store of one device [default: $TEARLINE_HOME, or
    /// ~/.local/share/tearline]
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "DIR")]
    home: Option<PathBuf>,
    #[command(flatten)]
    opens: secrets::Opens,
    #[command(flatten)]
    flags: Flags,
}

/// How to speak.
#[derive(Args, Clone, Copy, Debug, Default)]
struct Flags {
    /// Print one JSON document on stdout
    #[arg(long, global = true, help_heading = GLOBAL)]
    json: bool,
    /// Say less on stderr; wins over -v
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    quiet: bool,
    /// Say more on stderr; twice for still more
    #[arg(short, long, global = true, help_heading = GLOBAL, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Never wait for a person: fail instead of reading from a terminal
    #[arg(long, global = true, help_heading = GLOBAL)]
    no_input: bool,
}

/// Under which heading help lists the flags that every verb takes.
const GLOBAL: &str = "Global options";

#[derive(Debug, Subcommand)]
enum Verb {
    Demo(demo::Demo),
    Init(device::Init),
    Id(device::Id),
    #[command(subcommand)]
    Keys(keys::Keys),
    #[command(subcommand)]
    Backup(backup::Backup),
    #[command(subcommand)]
    Root(root::Root),
    Run(run::Run),
    Stop(stop::Stop),
    Status(run::Status),
    Doctor(run::Doctor),
    #[command(subcommand)]
    Config(settings::Config),
    Join(peer::Join),
    #[command(subcommand)]
    Peer(peer::Peer),
    #[command(subcommand)]
    Presence(presence::Presence),
    #[command(subcommand)]
    Coalition(coalition::Coalition),
    #[command(subcommand)]
    Compartment(compartment::Compartment),
    #[command(subcommand)]
    Grant(grant::Grant),
    #[command(subcommand)]
    Device(device::Device),
    Inbox(inbox::Inbox),
    #[command(subcommand)]
    Pass(pass::Pass),
    #[command(subcommand)]
    Record(record::Record),
    Search(search::Search),
    Why(search::Why),
    Import(exchange::Import),
    Export(exchange::Export),
    #[command(subcommand)]
    Bundle(bundle::Bundle),
    #[command(subcommand)]
    Field(field::Field),
    #[command(subcommand)]
    Operator(operator::Operator),
    #[command(subcommand)]
    Audit(audit::Audit),
    #[command(subcommand)]
    Taxii(taxii::Taxii),
    #[command(subcommand)]
    Cot(cot::Cot),
}

impl Verb {
    /// The verb's name in the schema of its document.
    const fn name(&self) -> &'static str {
        match self {
            Self::Demo(_) => "demo",
            Self::Init(_) => "init",
            Self::Id(_) => "id",
            Self::Keys(verb) => verb.name(),
            Self::Backup(verb) => verb.name(),
            Self::Root(verb) => verb.name(),
            Self::Run(_) => "run",
            Self::Stop(_) => "stop",
            Self::Status(_) => "status",
            Self::Doctor(_) => "doctor",
            Self::Config(verb) => verb.name(),
            Self::Join(_) => "join",
            Self::Peer(verb) => verb.name(),
            Self::Presence(verb) => verb.name(),
            Self::Coalition(verb) => verb.name(),
            Self::Compartment(verb) => verb.name(),
            Self::Grant(verb) => verb.name(),
            Self::Device(verb) => verb.name(),
            Self::Inbox(verb) => verb.name(),
            Self::Pass(verb) => verb.name(),
            Self::Record(verb) => verb.name(),
            Self::Search(_) => "search",
            Self::Why(_) => "why",
            Self::Import(_) => "import",
            Self::Export(_) => "export",
            Self::Bundle(verb) => verb.name(),
            Self::Field(verb) => verb.name(),
            Self::Operator(verb) => verb.name(),
            Self::Audit(verb) => verb.name(),
            Self::Taxii(verb) => verb.name(),
            Self::Cot(verb) => verb.name(),
        }
    }

    fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Demo(verb) => verb.run(context),
            Self::Init(verb) => verb.run(context),
            Self::Id(verb) => verb.run(context),
            Self::Keys(verb) => verb.run(context),
            Self::Backup(verb) => verb.run(context),
            Self::Root(verb) => verb.run(context),
            Self::Run(verb) => verb.run(context),
            Self::Stop(verb) => verb.run(context),
            Self::Status(verb) => verb.run(context),
            Self::Doctor(verb) => verb.run(context),
            Self::Config(verb) => verb.run(context),
            Self::Join(verb) => verb.run(context),
            Self::Peer(verb) => verb.run(context),
            Self::Presence(verb) => verb.run(context),
            Self::Coalition(verb) => verb.run(context),
            Self::Compartment(verb) => verb.run(context),
            Self::Grant(verb) => verb.run(context),
            Self::Device(verb) => verb.run(context),
            Self::Inbox(verb) => verb.run(context),
            Self::Pass(verb) => verb.run(context),
            Self::Record(verb) => verb.run(context),
            Self::Search(verb) => verb.run(context),
            Self::Why(verb) => verb.run(context),
            Self::Import(verb) => verb.run(context),
            Self::Export(verb) => verb.run(context),
            Self::Bundle(verb) => verb.run(context),
            Self::Field(verb) => verb.run(context),
            Self::Operator(verb) => verb.run(context),
            Self::Audit(verb) => verb.run(context),
            Self::Taxii(verb) => verb.run(context),
            Self::Cot(verb) => verb.run(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_has_help_and_an_example() {
        fn check(command: &clap::Command, path: &str) {
            assert!(command.get_about().is_some(), "{path} has no help");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{path} {} has no help", argument.get_id());
            }
            let leaves: Vec<_> = command.get_subcommands().collect();
            if leaves.is_empty() {
                let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(example.contains(&format!("  {path}")), "{path} has no example: {example}");
            }
            leaves.iter().for_each(|leaf| check(leaf, &format!("{path} {}", leaf.get_name())));
        }
        check(&Cli::command(), "tearline");
    }

    #[test]
    fn global_flags_stand_before_or_after_the_verb() {
        for line in ["tearline --json --home H status", "tearline status --home H --json"] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert!(cli.global.flags.json);
            assert_eq!(cli.global.home, Some(PathBuf::from("H")));
        }
        let cli = Cli::try_parse_from(["tearline", "-vv", "record", "show", "ab"]).unwrap();
        assert_eq!((cli.global.flags.verbose, cli.verb.name()), (2, "record.show"));
    }
}
