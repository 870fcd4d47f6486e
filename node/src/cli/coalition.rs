//! `coalition`: the agencies that share.

use clap::Subcommand;

use super::context::Context;
use super::output::Outcome;
use super::render::{Table, facts, short};
use crate::control::reply::Coalition as Shown;
use crate::control::{CoalitionCreate, Empty, Request};
use crate::failure::Failure;

/// Found a coalition, and show who is in it
#[derive(Debug, Subcommand)]
pub(super) enum Coalition {
    /// Found a coalition, with this agency as its first member
    #[command(after_help = "\
Example:
  tearline coalition create --name 'Lake Chad task force'
  tearline peer invite                   then ask the others in")]
    Create {
        /// Its name
        #[arg(long)]
        name: String,
        /// How many founding agencies an act of the whole needs [default: 1]
        #[arg(long, value_name = "K", value_parser = clap::value_parser!(u16).range(1..=256))]
        quorum: Option<u16>,
    },
    /// Show the coalition's agencies and devices
    #[command(after_help = "\
Example:
  tearline coalition show")]
    Show,
}

impl Coalition {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "coalition.create",
            Self::Show => "coalition.show",
        }
    }

    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let (request, created) = match self {
            Self::Create { name, quorum } => {
                (Request::CoalitionCreate(CoalitionCreate { name, quorum }), true)
            }
            Self::Show => (Request::CoalitionShow(Empty {}), false),
        };
        let answer = context.ask::<Shown>(request)?;
        let outcome = Outcome::new(answer.data, text(&answer.typed));
        if !created {
            return Ok(outcome);
        }
        Ok(outcome.hint(format!("ask others in: {}", context.home.command("peer invite"))))
    }
}

fn text(coalition: &Shown) -> String {
    let mut table = Table::new(&["no", "agency", "country", "founder", "devices"]);
    for member in &coalition.agencies {
        let device = |d: &crate::control::reply::Device| short(&d.device);
        table.row([
            member.no.to_string(),
            member.name.clone(),
            member.country.clone(),
            if member.founder { "yes" } else { "no" }.to_owned(),
            member.devices.iter().map(device).collect::<Vec<_>>().join(", "),
        ]);
    }
    facts([
        ("coalition", coalition.name.clone()),
        ("id", coalition.coalition.clone()),
        ("quorum", coalition.quorum.to_string()),
    ]) + "\n"
        + &table.text("no agencies")
}
