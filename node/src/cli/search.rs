//! `search` and `why`.

use clap::Args;

use super::context::Context;
use super::device::device_label;
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
  tearline search kind:alert Diffa --limit 5
  tearline search --pattern \"[vehicle:plate = 'CT 1234 A'] FOLLOWEDBY [sighting:latitude > 13] WITHIN 3600 SECONDS\"")]
pub(super) struct Search {
    /// Words and FIELD:VALUE terms, all of which must match
    #[arg(required_unless_present = "pattern")]
    query: Vec<String>,
    /// A STIX pattern: find only what was observed as it says
    #[arg(long)]
    pattern: Option<String>,
    #[command(flatten)]
    page: Page,
}

impl Search {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let Page { limit, after } = self.page;
        let request =
            control::Search { query: self.query.join(" "), pattern: self.pattern, limit, after };
        let answer = context.ask::<Rows>(Request::Search(request))?;
        Ok(paged(answer.data, &answer.typed, "no record that you can see matches"))
    }
}

/// Show why this device can read a record or not: the rules, the statements that decided, and who else
/// can
///
/// A record that this device may not know of gives the same answer as one that there is not.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline why 4be1a09c

What a statement says in full, and why it counts: `grant explain STATEMENT`.")]
pub(super) struct Why {
    /// The record's id, or the beginning of it
    record: String,
}

impl Why {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let request = Request::Why(control::Why { record: self.record });
        let answer = context.ask::<Grounds>(request)?;
        let why = &answer.typed;
        let mut grounds = Table::new(&["because", "in full", "authority.md"]);
        let mut decided = Table::new(&["of", "statement", "what", "by", "agency"]);
        for reason in &why.because {
            let section = match reason.section.as_str() {
                "" => String::new(),
                section => format!("§{section}"),
            };
            grounds.row([reason.rule.clone(), reason.detail.clone(), section]);
            for one in &reason.by {
                decided.row([
                    reason.rule.clone(),
                    short(&one.statement),
                    one.what.clone(),
                    device_label(&one.issuer),
                    agency(&one.issuer.agency),
                ]);
            }
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
            ("state", why.state.clone()),
            ("label", why.label.clone()),
            ("compartment", format!("{} ({})", why.compartment_name, short(&why.compartment))),
        ]);
        let text = format!(
            "{head}\n{}\n{}\n{}",
            grounds.text("no grounds are known"),
            decided.text("no statement decided"),
            holders.text("nobody else is in the audience")
        );
        Ok(Outcome::new(answer.data, text))
    }
}
