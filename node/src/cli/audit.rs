//! `audit`: who did what on this peer.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::context::Context;
use super::output::{Outcome, data};
use super::render::{Table, facts, short, time};
use crate::audit::{Chain, Link, Outcome as Done, Verified};
use crate::control::desk::{AuditPage, AuditRead, AuditShow};
use crate::control::{Empty, Request};
use crate::failure::{Failure, Kind};
use crate::files::open_named;
use crate::part::Part;

/// Longest line of an exported log.
const LINE_BYTES_MAX: u64 = 1024 * 1024;

/// Show, verify and export the audit log: who did what on this peer
#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Show the log, newest first
    #[command(after_help = "\
Example:
  tearline audit show
  tearline audit show --event consultation --operator 'Amina Issa' --limit 20")]
    Show {
        /// Only this event: login, collection, change, consultation, disclosure, combination, erasure,
        /// administration
        #[arg(long)]
        event: Option<String>,
        /// Only this operator; `console` is the command line
        #[arg(long)]
        operator: Option<String>,
        /// Only about this record: its id in full
        #[arg(long)]
        record: Option<String>,
        /// Most entries
        #[arg(long)]
        limit: Option<u32>,
        /// Those before this one
        #[arg(long, value_name = "NUMBER")]
        before: Option<u64>,
    },
    /// Check that nothing of the log was altered, taken out or cut off
    #[command(after_help = "\
Example:
  tearline audit verify
  tearline audit verify march.jsonl        (what was exported; needs no daemon and no key)

Ends with 9 if something does not hold. Compare the head with one that you noted elsewhere.")]
    Verify {
        /// An exported log; this peer's own if absent
        file: Option<PathBuf>,
    },
    /// Write the log to a file, one JSON document a line, oldest first
    #[command(after_help = "\
Example:
  tearline audit export march.jsonl")]
    Export {
        /// Where to
        file: PathBuf,
    },
}

impl Audit {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Show { .. } => "audit.show",
            Self::Verify { .. } => "audit.verify",
            Self::Export { .. } => "audit.export",
        }
    }

    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Show { event, operator, record, limit, before } => {
                let show = AuditShow { event, operator, record, limit, before };
                let answer = context.ask::<AuditPage>(Request::AuditShow(show))?;
                let mut outcome = Outcome::new(answer.data, table(&answer.typed.entries));
                if let Some(next) = answer.typed.next {
                    outcome = outcome.hint(format!("there is more: --before {next}"));
                }
                Ok(outcome)
            }
            Self::Verify { file: None } => {
                let answer = context.ask::<Verified>(Request::AuditVerify(Empty {}))?;
                Ok(verdict(answer.data, &answer.typed))
            }
            Self::Verify { file: Some(file) } => {
                let verified = verify(&file)?;
                Ok(verdict(data(&verified)?, &verified))
            }
            Self::Export { file } => export(context, file),
        }
    }
}

fn table(entries: &[Link]) -> String {
    let mut table =
        Table::new(&["no", "when", "event", "who", "as", "purpose", "act", "records", "outcome"]);
    for Link { entry, .. } in entries {
        let more = entry.records.len().saturating_sub(1) as u64 + entry.more_records;
        let records = match (entry.records.first(), more) {
            (None, _) => String::new(),
            (Some(first), 0) => short(first),
            (Some(first), more) => format!("{} and {more} more", short(first)),
        };
        table.row([
            entry.seq.to_string(),
            time(&entry.at),
            entry.event.name().to_owned(),
            entry.operator.clone(),
            entry.role.clone(),
            entry.purpose.clone(),
            [entry.act.as_str(), entry.detail.as_str()].join(" ").trim_end().to_owned(),
            records,
            match entry.outcome {
                Done::Asked => "asked",
                Done::Done => "done",
                Done::Refused => "refused",
            }
            .to_owned(),
        ]);
    }
    table.text("nothing was written down")
}

fn verdict(document: serde_json::Value, verified: &Verified) -> Outcome {
    let text = facts([
        ("entries", format!("{} from {} on", verified.entries, verified.first)),
        ("head", verified.head.clone()),
        ("verdict", if verified.faults.is_empty() { "it holds" } else { "BROKEN" }.to_owned()),
    ]);
    let broken = !verified.faults.is_empty();
    Outcome::new(document, text)
        .warn(verified.faults.iter().cloned())
        .short_of(Kind::Integrity, broken)
}

fn verify(file: &std::path::Path) -> Result<Verified, Failure> {
    let failed =
        |e: std::io::Error| Failure::io(format_args!("cannot read {}", file.display()), &e);
    let mut reader = BufReader::new(open_named(file)?);
    let mut chain: Option<Chain> = None;
    for number in 1_u64.. {
        let mut line = String::new();
        if (&mut reader).take(LINE_BYTES_MAX).read_line(&mut line).map_err(failed)? == 0 {
            break;
        }
        let link: Link = serde_json::from_str(&line).map_err(|_| {
            Failure::usage(format!(
                "line {number} of {} is no entry of an audit log",
                file.display()
            ))
            .hint("give what `tearline audit export` wrote")
        })?;
        chain.get_or_insert_with(|| Chain::new(link.entry.seq)).add(&link);
    }
    Ok(chain.unwrap_or_else(|| Chain::new(0)).verified())
}

fn export(context: &Context, file: PathBuf) -> Result<Outcome, Failure> {
    let part = Part::begin(file)?;
    let failed = |e: std::io::Error| {
        Failure::io(format_args!("cannot write {}", part.place().display()), &e)
    };
    let mut out: BufWriter<&File> = BufWriter::new(part.file());
    let (mut from, mut entries) = (0, 0_u64);
    loop {
        let answer = context.ask::<AuditPage>(Request::AuditRead(AuditRead { from }))?;
        for link in &answer.typed.entries {
            let line = serde_json::to_string(link).map_err(|e| Failure::bug(e.to_string()))?;
            writeln!(out, "{line}").map_err(failed)?;
            entries += 1;
        }
        match answer.typed.next {
            Some(next) => from = next,
            None => break,
        }
    }
    out.flush().map_err(failed)?;
    drop(out);
    let place = part.take_place()?;
    let text = facts([("written", place.display().to_string()), ("entries", entries.to_string())]);
    Ok(Outcome::new(json!({ "file": place, "entries": entries }), text))
}
