//! `grant`: rights of devices and agencies.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::context::Context;
use super::device::{device_label, late_work, lost_text};
use super::offline::by_root;
use super::output::Outcome;
use super::render::{Table, agency, facts, short, standing, time};
use super::when::{KEEP_BY, When, now, since};
use crate::control::Request;
use crate::control::trust::{
    Declared, Explained, GrantIssue, GrantList, GrantRevoke, Grants, Limits, Lost, Named, Proposed,
    RightChange,
};
use crate::failure::{Failure, Kind};
use crate::size;

/// Give, show, explain and end rights
#[derive(Debug, Subcommand)]
pub(super) enum Grant {
    Issue(Issue),
    /// List who may do what, and who said so
    #[command(after_help = "\
Example:
  tearline grant list
  tearline grant list --compartment 'Northern shore'")]
    List {
        /// Of this compartment; of the coalition if absent
        #[arg(long, value_name = "C")]
        compartment: Option<String>,
    },
    /// Say why a statement counts or does not: the rule, and the statements that decided
    #[command(
        after_help = "\
Example:
  tearline grant list --json          names the statements
  tearline grant explain 4be1a09c",
        visible_alias = "show"
    )]
    Explain {
        /// The statement's id, or the beginning of it
        statement: String,
    },
    /// End a device's standing, everywhere or in one compartment
    #[command(after_help = "\
Example:
  tearline grant revoke KILO
  tearline grant revoke KILO --compartment 'Northern shore' --since 2h --dry-run
  tearline grant revoke 4be1a09c --root /media/safe/agency.key

A desk is ended by its agency's root, whose key file --root names, or by a quorum: `coalition propose
revoke`. Where the root's machine has no link: `root draft`, `root sign`, `root apply`.
What came of the device since that time is quarantined. Without --since it is ended from now on, and what
it wrote until now counts; `coalition propose revoke` and `root draft revoke` have the same rule. What the
device granted, opened and sealed since is void, and is listed; by own-dates all of that, because statements
have none. A device that is in other hands is `device lost`: that also begins new keys.")]
    Revoke {
        /// The device: its name here, its id, or the beginning of it
        device: String,
        /// Only in this compartment
        #[arg(long, value_name = "C")]
        compartment: Option<String>,
        /// Since when what it wrote does not count: a time, a time of day, or so long ago [default: now]
        #[arg(long, value_name = "TIME", value_parser = since, allow_hyphen_values = true)]
        since: Option<String>,
        /// By what that is told: what this peer held by then, or what the entries say of themselves, which
        /// who has the device's keys chooses [default: arrival]
        #[arg(long, value_parser = KEEP_BY, requires = "since")]
        by: Option<String>,
        /// By the root of the device's agency, in this key file, which the daemon does not see
        #[arg(long, value_name = "FILE", conflicts_with = "compartment")]
        root: Option<PathBuf>,
        /// Say who would lose what, and do nothing
        #[arg(long, conflicts_with = "root")]
        dry_run: bool,
    },
    /// Let a quarantined entry count, and those before it in its log
    #[command(after_help = "\
Example:
  tearline inbox                      lists what is quarantined
  tearline inbox show 4be1a09c        shows what would count
  tearline grant adopt 4be1a09c

A desk adopts what devices of its own agency wrote. What devices of others wrote, or beyond a fork,
their own agency or a quorum adopts: `coalition propose adopt`. What the root of the agency ended, its
root adopts.")]
    Adopt {
        /// The entry's id, or the beginning of it
        entry: String,
        /// By the root of the agency, in this key file, which the daemon does not see
        #[arg(long, value_name = "FILE")]
        root: Option<PathBuf>,
    },
}

/// Give a device, or in a compartment an agency, a right
///
/// What is given lies within what this device has. In the coalition a grant gives a right in all
/// compartments of its agency; in a compartment, in that one.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline grant issue --device KILO --right read
  tearline grant issue --device KILO --right write --kind sighting,alert --until 2026-12-31T00:00:00Z
  tearline grant issue --device KILO --right write --quota 20MiB
  tearline grant issue --agency NG --right relay --compartment 'Northern shore'
  tearline grant issue --device KILO --right read --history --compartment 'Northern shore'
  tearline grant issue --device KILO --right write --readmit --incarnation 00000000075bcd15")]
pub(super) struct Issue {
    /// The device: its name here, its id, or the beginning of it
    #[arg(long, value_name = "DEVICE", required_unless_present = "agency")]
    device: Option<String>,
    /// All devices of an agency; in a compartment
    #[arg(long, value_name = "AGENCY", requires = "compartment", conflicts_with = "device")]
    agency: Option<String>,
    /// In this compartment; in the coalition if absent
    #[arg(long, value_name = "C")]
    compartment: Option<String>,
    /// The right; each includes those before it
    #[arg(long, value_parser = RIGHTS)]
    right: String,
    #[command(flatten)]
    limits: LimitArgs,
    /// Lift what closed the device's standing, for its new life
    #[arg(long, requires = "incarnation", requires = "device")]
    readmit: bool,
    /// That life, as `tearline id` shows it on the device
    #[arg(long, value_name = "HEX", requires = "readmit")]
    incarnation: Option<String>,
    /// Say whose rights it would change, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// The words for rights, the least first.
pub(super) const RIGHTS: [&str; 5] = ["relay", "read", "write", "admit", "admin"];

/// What narrows a grant.
#[derive(Args, Debug)]
pub(super) struct LimitArgs {
    /// Only records of these kinds
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    kind: Vec<String>,
    /// Only entries of these classes
    #[arg(long, value_name = "CLASSES", value_delimiter = ',')]
    class: Vec<String>,
    /// Not before this, by the author's clock: a time, or a length of time from now
    #[arg(long, value_name = "TIME", value_parser = When::parse, allow_hyphen_values = true)]
    from: Option<When>,
    /// Not from this on, by the author's clock: a time, or a length of time from now
    #[arg(long, value_name = "TIME", value_parser = When::parse, allow_hyphen_values = true)]
    until: Option<When>,
    /// Records of at most so much in each compartment, as they are stored: a number and B, KiB, MiB or GiB
    #[arg(long, value_name = "SIZE", value_parser = size::read)]
    quota: Option<u64>,
    /// It may be granted on, within what is given
    #[arg(long)]
    delegate: bool,
    /// It reads what was written before it came, too
    #[arg(long)]
    history: bool,
}

impl From<LimitArgs> for Limits {
    fn from(args: LimitArgs) -> Self {
        let now = now();
        let time = |when: When| when.after(now).to_string();
        Self {
            kinds: args.kind,
            classes: args.class,
            not_before: args.from.map(time),
            not_after: args.until.map(time),
            quota_bytes: args.quota,
            delegate: args.delegate,
            history: args.history,
        }
    }
}

impl Grant {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Issue(_) => "grant.issue",
            Self::List { .. } => "grant.list",
            Self::Explain { .. } => "grant.explain",
            Self::Revoke { .. } => "grant.revoke",
            Self::Adopt { .. } => "grant.adopt",
        }
    }

    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Issue(issue) => issue.run(context),
            Self::List { compartment } => {
                let answer =
                    context.ask::<Grants>(Request::GrantList(GrantList { compartment }))?;
                let mut table = Table::new(&[
                    "statement",
                    "for",
                    "agency",
                    "standing",
                    "right",
                    "limits",
                    "by",
                    "verdict",
                ]);
                for grant in &answer.typed.grants {
                    table.row([
                        short(&grant.statement),
                        grant
                            .device
                            .as_ref()
                            .map_or_else(|| "all its devices".into(), device_label),
                        agency(&grant.agency),
                        standing(&grant.standing),
                        grant.right.clone(),
                        grant.limits.clone(),
                        device_label(&grant.issuer),
                        grant.verdict.clone(),
                    ]);
                }
                Ok(Outcome::new(answer.data, table.text("no grants")))
            }
            Self::Explain { statement } => {
                let request = Request::GrantExplain(Named { id: statement });
                let answer = context.ask::<Explained>(request)?;
                let explained = &answer.typed;
                let text = facts([
                    ("statement", explained.statement.clone()),
                    ("says", explained.what.clone()),
                    (
                        "by",
                        format!(
                            "{} of {}",
                            device_label(&explained.issuer),
                            agency(&explained.issuer.agency)
                        ),
                    ),
                    ("verdict", explained.verdict.clone()),
                    ("rule", explained.rule.clone()),
                    ("decided by", explained.by.join(", ")),
                ]);
                let basis = explained.basis.as_ref().map(|basis| ("basis", basis.clone()));
                Ok(Outcome::new(answer.data, text + &facts(basis)))
            }
            Self::Revoke { device, since, by, root: Some(root), .. } => {
                by_root(context, Proposed::Revoke { device, since, by }, &root)
            }
            Self::Revoke { device, compartment, since, by, root: None, dry_run } => {
                let revoke = GrantRevoke { device, compartment, since, by, dry_run };
                let request = Request::GrantRevoke(revoke);
                let answer = context.ask::<Lost>(request)?;
                let mut text = lost_text(&answer.typed);
                if dry_run {
                    text += &changes_text(&answer.typed.changes);
                    return Ok(Outcome::new(answer.data, text));
                }
                Ok(Outcome::new(answer.data, text).hint(late_work(context)))
            }
            Self::Adopt { entry, root: Some(root) } => {
                by_root(context, Proposed::Adopt { entry }, &root)
            }
            Self::Adopt { entry, root: None } => {
                declared(context, Request::GrantAdopt(Named { id: entry }))
            }
        }
    }
}

impl Issue {
    fn run(self, context: &Context) -> Result<Outcome, Failure> {
        declared(
            context,
            Request::GrantIssue(GrantIssue {
                device: self.device,
                agency: self.agency,
                compartment: self.compartment,
                right: self.right,
                limits: self.limits.into(),
                readmit: self.incarnation.filter(|_| self.readmit),
                dry_run: self.dry_run,
            }),
        )
    }
}

/// Whose rights something would change.
fn changes_text(changes: &[RightChange]) -> String {
    let mut table = Table::new(&["device", "agency", "where", "has", "would have"]);
    let right = |right: &Option<String>| right.clone().unwrap_or_else(|| "none".into());
    for change in changes {
        table.row([
            device_label(&change.device),
            agency(&change.device.agency),
            change.name.clone(),
            right(&change.before),
            right(&change.after),
        ]);
    }
    format!("\nWhat would change\n{}", table.text("no device's highest right"))
}

/// A statement that was written, for people.
pub(super) fn declared(context: &Context, request: Request) -> Result<Outcome, Failure> {
    let answer = context.ask::<Declared>(request)?;
    let said = &answer.typed;
    let what = if said.already {
        let by = said.by.iter().map(|one| {
            format!(", by {} of {}", device_label(&one.issuer), agency(&one.issuer.agency))
        });
        format!("nothing: {} was said before{}", said.what, by.collect::<String>())
    } else {
        said.what.clone()
    };
    if said.statement.is_empty() {
        let text = facts([("would say", what)]) + &changes_text(&said.changes);
        return Ok(Outcome::new(answer.data, text));
    }
    let mut lines = vec![("said", what), ("statement", said.statement.clone())];
    lines.extend(said.due.as_deref().map(|due| ("destroyed here", time(due))));
    if !said.also.is_empty() {
        let also: Vec<String> = said.also.iter().map(|id| short(id)).collect();
        lines.push(("also", also.join(", ")));
    }
    if !said.entries.is_empty() {
        let entries: Vec<String> = said.entries.iter().map(|id| short(id)).collect();
        lines.push(("entries", entries.join(", ")));
    }
    let missed = said.unreached.clone();
    if !missed.is_empty() {
        lines.push(("not reached", missed.join(", ")));
    }
    let text = facts(lines);
    let mut outcome =
        Outcome::new(answer.data, text).short_of(Kind::Incomplete, !missed.is_empty());
    if said.what == "erase" && said.due.is_none() {
        outcome
            .warnings
            .push("it is hidden, and not destroyed: somebody said that it is to be held".into());
        outcome = outcome.hint(
            "`tearline why RECORD` names who held it; `tearline record lift STATEMENT` ends what this agency said",
        );
    }
    Ok(if missed.is_empty() {
        outcome
    } else {
        outcome.hint(
            "these were released of the record: say it at a desk that has a say where they are",
        )
    })
}
