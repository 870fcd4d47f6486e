//! `inbox`: what waits for a decision, and what it would come to.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::context::Context;
use super::device::device_label;
use super::output::Outcome;
use super::render::{self, Table, agency, facts, short, time};
use crate::control::trust::{Named, Quarantine, Quarantined, QuarantinedInFull, Supposed};
use crate::control::{Empty, Request};
use crate::failure::Failure;

/// Show what waits for a decision: entries that are quarantined
///
/// Those of devices whose standing ended, and beyond forks. They are stored and passed on, and nothing
/// follows from them: no list, search or export of records has them until they are adopted.
#[derive(Args, Debug)]
pub(super) struct Inbox {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List them: the same as `inbox` alone
    #[command(after_help = "\
Example:
  tearline inbox list")]
    List,
    /// Show one in full: what counts now, and what would count if it were adopted
    #[command(after_help = "\
Example:
  tearline inbox
  tearline inbox show 4be1a09c
  tearline grant adopt 4be1a09c")]
    Show {
        /// The entry's id, or the beginning of it
        entry: String,
    },
}

impl Inbox {
    pub(super) const fn name(&self) -> &'static str {
        match self.verb {
            None | Some(Verb::List) => "inbox",
            Some(Verb::Show { .. }) => "inbox.show",
        }
    }

    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self.verb {
            None | Some(Verb::List) => list(context),
            Some(Verb::Show { entry }) => show(context, entry),
        }
    }
}

fn list(context: &Context) -> Result<Outcome, Failure> {
    let answer = context.ask::<Quarantine>(Request::Quarantine(Empty {}))?;
    let mut table = Table::new(&[
        "entry",
        "device",
        "compartment",
        "what",
        "record",
        "kind",
        "title",
        "fields",
        "at",
        "why",
    ]);
    for one in &answer.typed.entries {
        table.row([
            short(&one.entry),
            device_label(&one.device),
            one.compartment.clone(),
            one.what.clone(),
            one.record.as_deref().map(short).unwrap_or_default(),
            one.kind.clone().unwrap_or_default(),
            one.title.clone().unwrap_or_default(),
            one.fields.join(", "),
            one.at.as_deref().map(time).unwrap_or_default(),
            one.why.clone(),
        ]);
    }
    let text = table.text("nothing is quarantined here");
    let more = answer.typed.more;
    let entries = &answer.typed.entries;
    let none = entries.is_empty();
    let ways: BTreeSet<Option<String>> = entries.iter().map(|one| one.adopt.clone()).collect();
    let mut outcome = Outcome::new(answer.data, text).without(&answer.typed.unread);
    if more {
        outcome = outcome.hint("there are more than are listed");
    }
    if !none {
        outcome = outcome.hint(format!("read one: {}", context.home.command("inbox show ENTRY")));
        outcome =
            ways.iter().fold(outcome, |outcome, way| outcome.hint(adoption(context, way, "ENTRY")));
    }
    Ok(outcome)
}

fn show(context: &Context, entry: String) -> Result<Outcome, Failure> {
    let answer = context.ask::<QuarantinedInFull>(Request::QuarantineShow(Named { id: entry }))?;
    let text = in_full(&answer.typed);
    let Quarantined { entry, adopt, .. } = &answer.typed.entry;
    let hint = adoption(context, adopt, &short(entry));
    Ok(Outcome::new(answer.data, text).hint(hint))
}

/// How an entry comes to count.
fn adoption(context: &Context, way: &Option<String>, entry: &str) -> String {
    match way.as_deref() {
        Some("grant adopt") => {
            let command = context.home.command(&format!("grant adopt {entry}"));
            format!("let what this agency's devices wrote count: {command}")
        }
        Some(way) => {
            let command = context.home.command(&format!("{way} {entry}"));
            format!("let it count together with the other founders: {command}")
        }
        None => {
            "what this device has no command for, its author's agency or the founders let count"
                .into()
        }
    }
}

fn in_full(one: &QuarantinedInFull) -> String {
    let Quarantined {
        entry, device, compartment, class, what, record, kind, title, at, why, ..
    } = &one.entry;
    let mut head = vec![
        ("QUARANTINED", why.clone()),
        ("entry", entry.clone()),
        ("by", format!("{}, {}", device_label(device), agency(&device.agency))),
        ("compartment", compartment.clone()),
        ("class", class.clone()),
        ("what", what.clone()),
    ];
    let optional = [("record", record), ("kind", kind), ("title", title)];
    head.extend(optional.into_iter().filter_map(|(name, text)| Some((name, text.clone()?))));
    head.extend(at.as_deref().map(|at| ("written", time(at))));
    if one.would_be.is_empty() {
        return facts(head);
    }
    head.push(("label", one.label.clone()));
    if let Some(label) = one.label_now.as_ref().filter(|label| **label != one.label) {
        head.push(("label now", label.clone()));
    }
    head.push(("if adopted", one.would_be.clone()));
    if one.beside_others {
        head.push((
            "note",
            "it builds on quarantined entries of other logs: it counts once those are adopted, too"
                .into(),
        ));
    }
    let none = if one.hidden { "the record is restricted" } else { "no field would change" };
    facts(head) + "\n" + &changes(&one.changes).text(none)
}

fn changes(changes: &[Supposed]) -> Table {
    let mut table = Table::new(&["field", "counts now", "if adopted", "note"]);
    let shown = |value: &Option<Value>| value.as_ref().map_or_else(String::new, render::value);
    for one in changes {
        let then = if one.concurrent.is_empty() {
            shown(&one.then)
        } else {
            one.concurrent.iter().map(render::value).collect::<Vec<_>>().join(" | ")
        };
        let by = if one.by_it { "" } else { "by an entry before it" };
        table.row([one.field.clone(), shown(&one.now), then, by.into()]);
    }
    table
}
