//! `compartment`: audiences.

use clap::Subcommand;

use super::context::Context;
use super::device::device_label;
use super::output::Outcome;
use super::render::{Table, agencies, agency, facts, short, time};
use crate::control::reply::{Compartment as Shown, CompartmentDetail, Compartments, Epoch, Opened};
use crate::control::trust::Rotated;
use crate::control::{CompartmentOpen, CompartmentShow, Empty, Request};
use crate::failure::Failure;
use crate::size;

/// Open and show compartments: audiences, each with its own keys
#[derive(Debug, Subcommand)]
pub(super) enum Compartment {
    /// Open the compartment with exactly this audience, or find the one there is
    #[command(after_help = "\
Example:
  tearline compartment open --name 'Northern shore' --rel NE,TD

This agency is always in the audience. Agencies outside it do not learn that there is one.")]
    Open {
        /// Its name, which its readers see
        #[arg(long)]
        name: String,
        /// Its audience: agencies by name, number or country
        #[arg(long, value_name = "AGENCIES", value_delimiter = ',', required = true)]
        rel: Vec<String>,
    },
    /// List the compartments that this device can read
    #[command(after_help = "\
Example:
  tearline compartment list")]
    List,
    /// Begin new keys for those who may read now
    #[command(after_help = "\
Example:
  tearline compartment rotate 'Northern shore'

Who was removed opens nothing that is written from then on. It happens by itself when a reader's
standing ends, and when the keys are older than the setting `epochs.rotate_after`.")]
    Rotate {
        /// Its name, its id, or the beginning of its id
        compartment: String,
    },
    /// Show a compartment and its logs
    #[command(after_help = "\
Example:
  tearline compartment show 'Northern shore'")]
    Show {
        /// Its name, its id, or the beginning of its id
        compartment: String,
    },
}

impl Compartment {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Open { .. } => "compartment.open",
            Self::List => "compartment.list",
            Self::Show { .. } => "compartment.show",
            Self::Rotate { .. } => "compartment.rotate",
        }
    }

    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Open { name, rel } => {
                let asked = name.clone();
                let request = Request::CompartmentOpen(CompartmentOpen { name, rel });
                let answer = context.ask::<Opened>(request)?;
                let opened = &answer.typed;
                let text = facts([
                    (if opened.opened { "opened" } else { "found" }, opened.name.clone()),
                    ("id", opened.compartment.clone()),
                    ("audience", agencies(&opened.agencies)),
                ]);
                let mut outcome = Outcome::new(answer.data, text);
                if opened.name != asked {
                    outcome.warnings.push(format!(
                        "{asked:?} was not opened: exactly this audience has a compartment already, called {:?}",
                        opened.name
                    ));
                }
                if !opened.unlinked.is_empty() {
                    outcome.warnings.push(format!(
                        "no link to {} now: they hear of it over other members, or when there is a \
                         link",
                        agencies(&opened.unlinked)
                    ));
                    outcome = outcome.hint("to link to a peer yourself: tearline peer add ADDRESS");
                }
                Ok(outcome)
            }
            Self::List => {
                let answer = context.ask::<Compartments>(Request::CompartmentList(Empty {}))?;
                Ok(Outcome::new(answer.data, table(&answer.typed.compartments)))
            }
            Self::Rotate { compartment } => {
                let request = Request::CompartmentRotate(CompartmentShow { compartment });
                let answer = context.ask::<Rotated>(request)?;
                let text = facts([
                    ("epoch", answer.typed.epoch.clone()),
                    ("readers", answer.typed.readers.to_string()),
                ]);
                Ok(Outcome::new(answer.data, text))
            }
            Self::Show { compartment } => {
                let request = Request::CompartmentShow(CompartmentShow { compartment });
                let answer = context.ask::<CompartmentDetail>(request)?;
                Ok(Outcome::new(answer.data, detail(&answer.typed)))
            }
        }
    }
}

/// Compartments, for people.
pub(super) fn table(compartments: &[Shown]) -> String {
    let mut table = Table::new(&[
        "compartment",
        "name",
        "audience",
        "records",
        "not shown",
        "entries",
        "waiting",
        "digest",
    ]);
    for compartment in compartments {
        let followed = if compartment.followed { "" } else { " (not followed)" };
        let name = format!("{}{followed}", compartment.name);
        table.row([
            short(&compartment.compartment),
            name,
            agencies(&compartment.agencies),
            compartment.records.to_string(),
            compartment.unshown.to_string(),
            compartment.entries.to_string(),
            compartment.waiting.to_string(),
            short(&compartment.digest),
        ]);
    }
    table.text("no compartments yet")
}

/// When the next epoch begins by itself.
fn next(epoch: &Epoch) -> String {
    match (&epoch.due, epoch.written) {
        (Some(due), true) => time(due),
        (Some(due), false) => format!("{}, if something is written by then", time(due)),
        (None, _) => "when a reader's standing ends".into(),
    }
}

fn detail(detail: &CompartmentDetail) -> String {
    let summary = &detail.summary;
    let epoch = detail.epoch.as_ref();
    let mut logs = Table::new(&["device", "agency", "class", "length", "head"]);
    for log in &detail.logs {
        logs.row([
            short(&log.device),
            agency(&log.agency),
            log.class.clone(),
            log.length.to_string(),
            short(&log.head),
        ]);
    }
    let quotas = detail.quotas.iter().map(|one| {
        let (used, quota) = (size::text(one.used_bytes), size::text(one.quota_bytes));
        ("quota", format!("{}: {used} of {quota} written", device_label(&one.device)))
    });
    facts([
        ("compartment", summary.name.clone()),
        ("id", summary.compartment.clone()),
        ("audience", agencies(&summary.agencies)),
        (
            "records",
            format!(
                "{}, and {} not shown: quarantined, erased or without a beginning",
                summary.records, summary.unshown
            ),
        ),
        (
            "entries",
            format!(
                "{}, {} waiting for keys, {} from before this device came",
                summary.entries, summary.waiting, summary.closed
            ),
        ),
        ("digest", summary.digest.clone()),
        ("epoch", epoch.map_or_else(|| "none that opens".into(), |epoch| epoch.epoch.clone())),
        ("begun", epoch.map_or_else(String::new, |epoch| time(&epoch.since))),
        ("next epoch", epoch.map_or_else(String::new, next)),
    ]) + &facts(quotas)
        + "\n"
        + &logs.text("no logs yet")
}
