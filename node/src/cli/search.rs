//! `search` and `why`.

use clap::Args;

use super::context::Context;
use super::output::Outcome;
use super::record::{Page, paged};
use super::render::{Table, agency, facts, short};
use crate::control::reply::{Rows, Why as Grounds};
use crate::control::{self, Request};
use crate::failure::Failure;

/// Find records that this device can read
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline search white pickup
  tearline search kind:alert Diffa --limit 5")]
pub(super) struct Search {
    /// Words and FIELD:VALUE terms, all of which must match
    #[arg(required = true)]
    query: Vec<String>,
    #[command(flatten)]
    page: Page,
}

impl Search {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let Page { limit, after } = self.page;
        let request = control::Search { query: self.query.join(" "), limit, after };
        let answer = context.ask::<Rows>(Request::Search(request))?;
        Ok(paged(answer.data, &answer.typed, "no record that you can see matches"))
    }
}

/// Show why this device can read a record, and who else can
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline why 4be1a09c")]
pub(super) struct Why {
    /// The record's id, or the beginning of it
    record: String,
}

impl Why {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let request = Request::Why(control::Why { record: self.record });
        let answer = context.ask::<Grounds>(request)?;
        let why = &answer.typed;
        let mut grounds = Table::new(&["because", ""]);
        for reason in &why.because {
            grounds.row([&reason.rule, &reason.detail]);
        }
        let mut holders = Table::new(&["device", "agency", "holds it"]);
        for holder in &why.holders {
            let holds = match holder.holds {
                Some(true) => "yes",
                Some(false) => "not all",
                None => "not known",
            };
            holders.row([short(&holder.device), agency(&holder.agency), holds.to_owned()]);
        }
        let head = facts([
            ("record", why.record.clone()),
            ("label", why.label.clone()),
            ("compartment", format!("{} ({})", why.compartment_name, short(&why.compartment))),
        ]);
        let text = format!(
            "{head}\n{}\n{}",
            grounds.text("no grounds are known"),
            holders.text("nobody else is in the audience")
        );
        Ok(Outcome::new(answer.data, text))
    }
}
