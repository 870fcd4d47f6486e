//! `demo`: an exercise with real daemons on this machine.

use clap::Args;

use super::context::Context;
use super::output::{Outcome, data};
use crate::demo::{self, Plan};
use crate::failure::{Failure, Kind};

/// Play an exercise: seven real daemons on this machine, five fictional agencies
///
/// Everything runs in a folder of its own that is removed at the end. Every number shown is
/// measured, and stands beside its bound.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline demo                 play it, then leave the daemons up to look around
  tearline demo --check         play it and end: exit code 0, or 1 if anything failed
  tearline demo --json          the same, as one JSON document")]
pub(super) struct Demo {
    /// End when the story ends: exit code 0, or 1 if anything failed
    #[arg(long)]
    check: bool,
    /// Start daemons that quarantine nothing: the exercise must fail, and say which promise broke
    #[arg(long)]
    sabotage: bool,
    /// Listen for peers on this port and the ones after it [default: free ports]
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u16).range(1_024..=65_000))]
    port: Option<u16>,
    /// What the exercise's chances are drawn from [default: drawn]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl Demo {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let plan = Plan {
            stay: !self.check && !context.flags.json,
            port: self.port,
            seed: self.seed,
            sabotage: self.sabotage,
            quiet: context.flags.quiet || context.flags.json,
        };
        let report = demo::play(&plan)?;
        let failed = report.failed();
        let text = report.summary();
        Ok(Outcome::new(data(&report)?, text).short_of(Kind::Failed, failed))
    }
}
