//! `record`: write, read and correct records.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde_json::{Map, Value};
use tearline_crdt::record::kind::Kind as RecordKind;
use tearline_crdt::record::mrz::ZONE_TEXT_BYTES_MAX;

use super::aside;
use super::attachment::{self, Attach, Fetch};
use super::context::Context;
use super::device::device_label;
use super::grant::declared;
use super::output::Outcome;
use super::render::{self, Table, agency, clean, facts, short, standing, time};
use crate::control::RecordSay;
use crate::control::reply::{History, Record as Shown, Resolved, Row, Rows, Written};
use crate::control::trust::{Hold, Named, Receipts, RecordRelease, Released, Said};
use crate::control::{
    RecordEdit, RecordHistory, RecordList, RecordNew, RecordResolve, RecordShow, Request,
};
use crate::exchange::read_object;
use crate::failure::{Failure, Kind};
use crate::files::read_text;
use crate::release::{COARSE_KM_MAX, CoarseTime};

/// Write, show, correct and list records
#[derive(Debug, Subcommand)]
pub(super) enum Record {
    New(New),
    /// Show a record, with concurrent values side by side
    #[command(after_help = "\
Example:
  tearline record show 4be1a09c")]
    Show {
        /// The record's id, or the beginning of it
        record: String,
    },
    /// List records, the latest change first
    #[command(after_help = "\
Example:
  tearline record list --compartment 'Northern shore' --kind alert")]
    List {
        /// Only of this compartment
        #[arg(long, value_name = "C")]
        compartment: Option<String>,
        /// Only of this kind, or of this type of imported objects, as the list shows it
        #[arg(long)]
        kind: Option<String>,
        /// Those of which entries were left aside by interest, and with whom these stay
        #[arg(long, conflicts_with_all = ["compartment", "kind", "after"])]
        aside: bool,
        #[command(flatten)]
        page: Page,
    },
    Edit(Edit),
    /// Show what was written to a record, by whom and when
    #[command(after_help = "\
Example:
  tearline record history 4be1a09c")]
    History {
        /// The record's id, or the beginning of it
        record: String,
    },
    /// Settle a field that has several values
    #[command(after_help = "\
Example:
  tearline record show 4be1a09c          shows the values with their numbers
  tearline record resolve 4be1a09c --field state --take 2")]
    Resolve {
        /// The record's id, or the beginning of it
        record: String,
        /// The field
        #[arg(long)]
        field: String,
        /// The number of the value that shall hold
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        take: u32,
    },
    /// Release fields of a record to another audience, as a new record that is linked to it
    #[command(after_help = "\
Example:
  tearline record release 4be1a09c --rel NG --fields plate,colour --label 'TLP:GREEN' --dry-run
  tearline record release 4be1a09c --rel NG --fields latitude,longitude --coarse-place 10

A release is looked through first: values of fields that are held back, numbers and places in texts, exact places,
numbers of a series, names of other records. If it tells more than its fields, nothing is released and the exit code
is 8. What is later said of the record (erase, recall, restrict, hold) is said of its releases, too.")]
    Release {
        /// The record's id, or the beginning of it
        record: String,
        /// To this compartment
        #[arg(long, value_name = "C", required_unless_present = "rel")]
        compartment: Option<String>,
        /// To this audience: agencies by name, number or country
        #[arg(
            long,
            value_name = "AGENCIES",
            value_delimiter = ',',
            conflicts_with = "compartment"
        )]
        rel: Vec<String>,
        /// Only these fields
        #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
        fields: Vec<String>,
        /// Its label [default: the record's]
        #[arg(long)]
        label: Option<String>,
        /// Give places as the middle of squares with this side, in kilometres
        #[arg(long, value_name = "KM", value_parser = clap::value_parser!(u32).range(1..=i64::from(COARSE_KM_MAX)))]
        coarse_place: Option<u32>,
        /// Give times to the hour, day or month
        #[arg(long, value_name = "STEP", value_parser = CoarseTime::ALL.map(CoarseTime::name))]
        coarse_time: Option<String>,
        /// Show what would be released, what it tells beside, and who would receive it
        #[arg(long)]
        dry_run: bool,
        /// Release it although it tells more than its fields
        #[arg(long)]
        despite_leaks: bool,
    },
    /// Hide a record's content while a request is examined
    #[command(after_help = "\
Example:
  tearline record restrict 4be1a09c
  tearline record lift 4be1a09c           ends it")]
    Restrict {
        /// The record's id, or the beginning of it
        record: String,
    },
    /// Keep a record, whoever asks to destroy it
    ///
    /// A hold of the record's agency binds all peers, one of another agency its own. While it binds,
    /// an erasure only hides.
    #[command(after_help = "\
Example:
  tearline record hold 4be1a09c
  tearline record lift 4be1a09c           ends it")]
    Hold {
        /// The record's id, or the beginning of it
        record: String,
    },
    /// Say that a record is not to be relied on
    #[command(after_help = "\
Example:
  tearline record recall 4be1a09c")]
    Recall {
        /// The record's id, or the beginning of it
        record: String,
    },
    /// Destroy a record on all peers that obey: it cannot be undone
    ///
    /// Peers hide it at once, destroy it when the coalition's delay is over, and answer with signed
    /// receipts. Whoever kept a copy and a key keeps them: a receipt is a promise.
    #[command(after_help = "\
Example:
  tearline record erase 4be1a09c --basis 'GDPR Article 17(1)(d), case 2026/114'
  tearline record receipts 4be1a09c")]
    Erase {
        /// The record's id, or the beginning of it
        record: String,
        /// The legal basis, for auditors; sealed for the compartment's readers
        #[arg(long)]
        basis: String,
    },
    /// End a hold or a restriction
    ///
    /// Of a record, all holds and restrictions that devices of this agency said; or one, by its own id.
    #[command(after_help = "\
Example:
  tearline record lift 4be1a09c
  tearline why 4be1a09c                   names who said what of it")]
    Lift {
        /// The record's id or the statement's, or the beginning of it
        #[arg(value_name = "RECORD|STATEMENT")]
        statement: String,
    },
    Attach(Attach),
    /// List the files of a record, and how much of each is here
    #[command(after_help = "\
Example:
  tearline record attachments 4be1a09c")]
    Attachments {
        /// The record's id, or the beginning of it
        record: String,
    },
    Fetch(Fetch),
    /// Show who obeyed what was said of a record, and who has not answered
    #[command(after_help = "\
Example:
  tearline record receipts 4be1a09c

Ends with exit code 7 while answers are missing.")]
    Receipts {
        /// The record's id, or the beginning of it; that of an erased record in full
        record: String,
    },
}

/// Write a new record
///
/// It goes to the agency's own drafts unless --compartment or --rel says otherwise; with --rel to
/// the compartment of exactly that audience, which is opened if there is none.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline record new --kind vehicle --rel NE,TD --class flash --label 'TLP:AMBER' \\
      --set plate='CT 1234 A' --set colour=white
  tearline record new --kind report --compartment 'Northern shore' report.json
  tearline record new --kind travel-document --mrz scan.txt --set status=lost

A number whose form or check digit is wrong is written as it is, with a warning: what was seen may be wrong.")]
pub(super) struct New {
    /// What it is about
    #[arg(long, value_parser = kinds())]
    kind: String,
    /// The compartment to write it to: name, id, or the beginning of its id
    #[arg(long, value_name = "C")]
    compartment: Option<String>,
    /// The audience to write it to: agencies by name, number or country
    #[arg(long, value_name = "AGENCIES", value_delimiter = ',', conflicts_with = "compartment")]
    rel: Vec<String>,
    /// How urgent it is
    #[arg(long, value_parser = CLASSES)]
    class: Option<String>,
    /// Its label [default: the coalition's]
    #[arg(long)]
    label: Option<String>,
    /// A field and its value; may be given many times
    #[arg(long, value_name = "FIELD=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    /// A file with the machine-readable zone of a travel document, which fills its fields; - reads stdin
    #[arg(long, value_name = "FILE")]
    mrz: Option<PathBuf>,
    /// A file with its fields as a JSON object; - reads stdin
    file: Option<PathBuf>,
}

/// Correct a record
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline record edit 4be1a09c --set colour=grey --unset marks")]
pub(super) struct Edit {
    /// The record's id, or the beginning of it
    record: String,
    /// A field and its new value; may be given many times
    #[arg(
        long,
        value_name = "FIELD=VALUE",
        value_parser = assignment,
        required_unless_present = "unset"
    )]
    set: Vec<(String, String)>,
    /// A field to remove; may be given many times
    #[arg(long, value_name = "FIELD")]
    unset: Vec<String>,
    /// How urgent the change is
    #[arg(long, value_parser = CLASSES)]
    class: Option<String>,
}

fn say(context: &Context, record: String, said: Said) -> Result<Outcome, Failure> {
    declared(context, Request::RecordSay(RecordSay { record, said }))
}

fn released(made: &Released) -> String {
    let to = match (made.compartment_name.as_str(), made.compartment.as_str()) {
        (_, "") => "a compartment that would be opened".to_owned(),
        ("", id) => short(id),
        (name, _) => clean(name),
    };
    let mut text = facts([
        (
            "released",
            if made.released.is_empty() { "nothing yet".into() } else { made.released.clone() },
        ),
        ("to", to),
        ("label", made.label.clone()),
        ("fields", made.fields.join(", ")),
    ]);
    let mut fields = Table::new(&["field", "as it is", "released"]);
    for change in made.changes.iter().filter(|_| made.released.is_empty()) {
        let after = match &change.after {
            None => "held back".to_owned(),
            Some(after) if *after == change.before => "the same".into(),
            Some(after) => clean(&render::value(after)),
        };
        fields.row([clean(&change.field), clean(&render::value(&change.before)), after]);
    }
    let mut leaks = Table::new(&["tells beside", "in", "found"]);
    for leak in &made.leaks {
        leaks.row([leak.kind.clone(), clean(&leak.field), clean(&leak.found)]);
    }
    let mut receivers = Table::new(&["received by", "agency", "because"]);
    for receiver in &made.receivers {
        let because: Vec<String> = receiver
            .because
            .iter()
            .map(|by| format!("{}, by {}", by.what, by.issuer.agency.name))
            .collect();
        receivers.row([
            device_label(&receiver.device),
            agency(&receiver.device.agency),
            clean(&because.join("; ")),
        ]);
    }
    for table in [fields, leaks, receivers] {
        let shown = table.text("");
        if !shown.is_empty() {
            text.push('\n');
            text.push_str(&shown);
        }
    }
    text
}

fn receipts(context: &Context, record: String) -> Result<Outcome, Failure> {
    let answer = context.ask::<Receipts>(Request::RecordReceipts(RecordShow { record }))?;
    let mut table = Table::new(&["statement", "asks", "agency", "device", "answer", "at"]);
    for statement in &answer.typed.statements {
        for (n, of) in statement.answers.iter().enumerate() {
            let first = n == 0;
            let unanswered = || match &of.last_heard {
                _ if of.device.standing.has_ended() => {
                    format!("{}, never answered", standing(&of.device.standing))
                }
                _ if of.ended => "ended here, never answered".into(),
                Some(heard) => format!("none; last heard {}", time(heard)),
                None => "none; never heard here".into(),
            };
            table.row([
                if first { short(&statement.statement) } else { String::new() },
                if first { statement.asks.clone() } else { String::new() },
                agency(&of.device.agency),
                device_label(&of.device),
                of.outcome.clone().unwrap_or_else(unanswered),
                of.at.as_deref().map(time).unwrap_or_default(),
            ]);
        }
    }
    let open: usize = answer.typed.statements.iter().map(|statement| statement.open).sum();
    let none = match answer.typed.lifted.last() {
        Some(lift) => format!(
            "nothing is asked about this record any more: {}, by {} of {}",
            lift.what,
            device_label(&lift.issuer),
            agency(&lift.issuer.agency)
        ),
        None => "nothing was asked about this record".into(),
    };
    let mut text = table.text(&none);
    if !answer.typed.statements.is_empty() && !answer.typed.relays.is_empty() {
        let relays: Vec<String> = answer.typed.relays.iter().map(device_label).collect();
        text += &format!(
            "\nrelays that may hold it sealed, and give no receipts: {}\n",
            relays.join(", ")
        );
    }
    let holds = &answer.typed.holds;
    if !holds.is_empty() {
        text += "\n";
        text += &facts(holds.iter().map(|hold| ("held", held(hold))));
    }
    let bound = holds.iter().map(|hold| &hold.statement).map(|id| lifts(context, id));
    let bound: Vec<String> = bound.collect();
    let outcome = Outcome::new(answer.data, text).short_of(Kind::Incomplete, open > 0);
    if open == 0 {
        return Ok(outcome);
    }
    Ok(if bound.is_empty() {
        outcome.hint(format!("{open} have not done yet what was asked: look again later"))
    } else {
        let outcome = outcome.hint(format!(
            "{open} have not done yet what was asked; whom a hold binds does not destroy it before the hold is \
             lifted by who said it"
        ));
        bound.into_iter().fold(outcome, Outcome::hint)
    })
}

/// A hold that stands, for people.
fn held(hold: &Hold) -> String {
    let by = hold.by.as_ref().map_or_else(|| "the founders together".into(), agency);
    let whom = if hold.everywhere { "for all who hold it" } else { "for that agency's own peers" };
    let heard = hold.heard.as_deref().map(|at| format!(", heard {}", time(at)));
    format!("by {by}, {whom}{}: {}", heard.unwrap_or_default(), short(&hold.statement))
}

/// What lifts a hold.
fn lifts(context: &Context, statement: &str) -> String {
    let command = context.home.command(&format!("record lift {}", short(statement)));
    format!("at a desk of that agency: {command}; of the founders: `coalition propose lift`")
}

/// A page of a list.
#[derive(Args, Clone, Debug)]
pub(super) struct Page {
    /// Most rows
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) limit: Option<u32>,
    /// Go on where the last page ended
    #[arg(long, value_name = "CURSOR")]
    pub(super) after: Option<String>,
}

impl Record {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::New(_) => "record.new",
            Self::Show { .. } => "record.show",
            Self::List { .. } => "record.list",
            Self::Edit(_) => "record.edit",
            Self::History { .. } => "record.history",
            Self::Resolve { .. } => "record.resolve",
            Self::Release { .. } => "record.release",
            Self::Restrict { .. }
            | Self::Hold { .. }
            | Self::Recall { .. }
            | Self::Erase { .. } => "record.say",
            Self::Lift { .. } => "record.lift",
            Self::Receipts { .. } => "record.receipts",
            Self::Attach(_) => "record.attach",
            Self::Attachments { .. } => "record.attachments",
            Self::Fetch(_) => "record.fetch",
        }
    }

    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Release {
                record,
                compartment,
                rel,
                fields,
                label,
                coarse_place,
                coarse_time,
                dry_run,
                despite_leaks,
            } => {
                let coarse_km = coarse_place;
                let release = RecordRelease {
                    record,
                    compartment,
                    rel,
                    fields,
                    label,
                    coarse_km,
                    coarse_time,
                    dry_run,
                    despite_leaks,
                    stamp: None,
                };
                let answer = context.ask::<Released>(Request::RecordRelease(release))?;
                Ok(Outcome::new(answer.data, released(&answer.typed)))
            }
            Self::Restrict { record } => say(context, record, Said::Restrict),
            Self::Hold { record } => say(context, record, Said::Hold),
            Self::Recall { record } => say(context, record, Said::Recall),
            Self::Erase { record, basis } => {
                let outcome = say(context, record, Said::Erase { basis })?;
                // Of a record that is destroyed only the whole id is known.
                let id = outcome.data.get("record").and_then(Value::as_str).unwrap_or_default();
                let receipts = context.home.command(&format!("record receipts {id}"));
                Ok(outcome.hint(format!("who has obeyed: {receipts}")))
            }
            Self::Lift { statement } => {
                declared(context, Request::RecordLift(Named { id: statement }))
            }
            Self::Receipts { record } => receipts(context, record),
            Self::Attach(attach) => attach.run(context),
            Self::Attachments { record } => attachment::list(context, record),
            Self::Fetch(fetch) => fetch.run(context),
            Self::New(new) => new.run(context),
            Self::Show { record } => {
                let request = Request::RecordShow(RecordShow { record });
                let answer = context.ask::<Shown>(request)?;
                let conflicts = !answer.typed.conflicts.is_empty();
                let mut outcome = Outcome::new(answer.data, detail(&answer.typed));
                for with in &answer.typed.left_aside {
                    let (entries, from) = (with.entries, aside::called(with));
                    outcome = outcome.hint(format!(
                        "not here yet: {entries} of its entries stay with {from}; fetch them: \
                         tearline record fetch {}",
                        short(&answer.typed.record)
                    ));
                }
                Ok(if conflicts {
                    outcome.hint("settle a field: tearline record resolve ID --field F --take N")
                } else {
                    outcome
                })
            }
            Self::List { aside: true, page, .. } => aside::list(context, page.limit),
            Self::List { compartment, kind, page, .. } => {
                let Page { limit, after } = page;
                let request = RecordList { compartment, kind, limit, after };
                let answer = context.ask::<Rows>(Request::RecordList(request))?;
                Ok(paged(answer.data, &answer.typed, "no records"))
            }
            Self::Edit(edit) => edit.run(context),
            Self::History { record } => {
                let request = Request::RecordHistory(RecordHistory { record });
                let answer = context.ask::<History>(request)?;
                Ok(Outcome::new(answer.data, history(&answer.typed)))
            }
            Self::Resolve { record, field, take } => {
                let request = Request::RecordResolve(RecordResolve { record, field, take });
                let answer = context.ask::<Resolved>(request)?;
                let done = &answer.typed;
                let text =
                    format!("{} = {}\n", clean(&done.field), clean(&render::value(&done.value)));
                Ok(Outcome::new(answer.data, text))
            }
        }
    }
}

impl New {
    fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let fields = match &self.file {
            Some(path) => read_fields(context, path)?,
            None => Map::new(),
        };
        let mrz = match &self.mrz {
            Some(zone) if self.file.as_ref().is_some_and(|file| file == zone) => {
                return Err(Failure::usage("the zone and the fields come from one file each"));
            }
            Some(zone) => Some(read_zone(context, zone)?),
            None => None,
        };
        let request = RecordNew {
            kind: self.kind,
            compartment: self.compartment,
            rel: self.rel,
            class: self.class,
            label: self.label,
            fields,
            set: once_each(self.set)?,
            mrz,
        };
        let answer = context.ask::<Written>(Request::RecordNew(request))?;
        Ok(written(answer.data, &answer.typed))
    }
}

impl Edit {
    fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let set = once_each(self.set)?;
        if let Some(field) = self.unset.iter().find(|field| set.contains_key(*field)) {
            return Err(Failure::usage(format!("{field:?} is both set and unset")));
        }
        let request = RecordEdit { record: self.record, set, unset: self.unset, class: self.class };
        let answer = context.ask::<Written>(Request::RecordEdit(request))?;
        Ok(written(answer.data, &answer.typed))
    }
}

/// A page of rows, for people.
pub(super) fn paged(data: Value, rows: &Rows, none: &str) -> Outcome {
    let mut table = Table::new(&[
        "record",
        "kind",
        "title",
        "label",
        "class",
        "from",
        "compartment",
        "arrived",
        "flags",
    ]);
    for row in &rows.records {
        let Row { record, kind, title, label, class, originator, compartment_name, .. } = row;
        table.row([
            &short(record),
            kind,
            title,
            label,
            class,
            &originator.name,
            compartment_name,
            &time(&row.received),
            &notes(&row.flags, row.erasure_due.as_deref()),
        ]);
    }
    let outcome = Outcome::new(data, table.text(none)).before(rows.coming);
    let outcome = outcome.beside(rows.left_aside).without(&rows.unread);
    match &rows.next {
        Some(next) => {
            outcome.hint(format!("there is more: --after {}, or a greater --limit", clean(next)))
        }
        None => outcome,
    }
}

/// What is to be known of a record, with the time at which it is destroyed.
fn notes(flags: &[String], due: Option<&str>) -> String {
    let with_time = |flag: &String| match due.filter(|_| flag == "erasure-due") {
        Some(due) => format!("erasure due {}", time(due)),
        None => flag.clone(),
    };
    flags.iter().map(with_time).collect::<Vec<_>>().join(", ")
}

fn written(data: Value, written: &Written) -> Outcome {
    let entry = written.entry.as_deref().map_or("nothing to change".into(), short);
    let compartment = format!("{} ({})", written.compartment_name, short(&written.compartment));
    let text = facts([
        ("record", written.record.clone()),
        ("compartment", compartment),
        ("entry", entry),
        ("class", written.class.clone()),
    ]);
    let doubts = written.doubts.iter();
    let doubts =
        doubts.map(|doubt| format!("{}: {}; it is kept as given", doubt.field, doubt.reason));
    Outcome::new(data, text).warn(doubts)
}

fn detail(record: &Shown) -> String {
    let mut text = format!("[{}] {}\n\n", clean(&record.label), clean(&record.title));
    let compartment = format!("{} ({})", record.compartment_name, short(&record.compartment));
    let mut head = vec![
        ("record", record.record.clone()),
        ("kind", record.kind.clone()),
        ("from", agency(&record.originator)),
        ("compartment", compartment),
        ("class", record.class.clone()),
        ("created", time(&record.created)),
        ("changed", time(&record.modified)),
    ];
    if !record.flags.is_empty() {
        head.push(("note", notes(&record.flags, record.erasure_due.as_deref())));
    }
    head.extend(record.holds.iter().map(|hold| ("held", held(hold))));
    text += &facts(head);
    text.push('\n');
    text += &facts(record.fields.iter().map(|(name, value)| (name.as_str(), render::value(value))));
    for conflict in &record.conflicts {
        text += &format!("\n{} has {} values:\n", clean(&conflict.field), conflict.values.len());
        let mut table = Table::new(&["take", "value", "from", "device", "written"]);
        for one in &conflict.values {
            table.row([
                one.no.to_string(),
                render::value(&one.value),
                agency(&one.agency),
                short(&one.device),
                time(&one.at),
            ]);
        }
        text += &table.text("none");
    }
    text
}

fn history(history: &History) -> String {
    let mut table =
        Table::new(&["written", "entry", "what", "fields", "from", "device", "class", "verdict"]);
    for entry in &history.entries {
        table.row([
            time(&entry.at),
            short(&entry.entry),
            entry.what.clone(),
            entry.fields.join(", "),
            agency(&entry.agency),
            short(&entry.device),
            entry.class.clone(),
            entry.verdict.clone(),
        ]);
    }
    table.text("no entries")
}

/// The names of all kinds.
fn kinds() -> PossibleValuesParser {
    PossibleValuesParser::new(RecordKind::ALL.map(RecordKind::name))
}

/// Reads `FIELD=VALUE`.
fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((field, value)) if !field.trim().is_empty() => {
            Ok((field.trim().to_owned(), value.to_owned()))
        }
        _ => Err("a field and its value, as in colour=white".into()),
    }
}

fn once_each(set: Vec<(String, String)>) -> Result<BTreeMap<String, String>, Failure> {
    let mut fields = BTreeMap::new();
    for (field, value) in set {
        if fields.insert(field.clone(), value).is_some() {
            return Err(Failure::usage(format!("{field:?} is set twice")));
        }
    }
    Ok(fields)
}

fn read_fields(context: &Context, path: &Path) -> Result<Map<String, Value>, Failure> {
    let bytes = if path == Path::new("-") {
        context.stdin(FIELDS_BYTES_MAX as u64)?
    } else {
        read_text(path, FIELDS_BYTES_MAX)?.into_bytes()
    };
    read_object(bytes.as_slice())
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

fn read_zone(context: &Context, path: &Path) -> Result<String, Failure> {
    let bytes = if path == Path::new("-") {
        context.stdin(ZONE_TEXT_BYTES_MAX as u64)?
    } else {
        read_text(path, ZONE_TEXT_BYTES_MAX)?.into_bytes()
    };
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Names of the classes that a record can be written in.
pub(super) const CLASSES: [&str; 4] = ["flash", "immediate", "priority", "routine"];

/// Largest file of a record's fields. One change holds at most 64 KiB; JSON may take more.
const FIELDS_BYTES_MAX: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_read_and_doubles_refused() {
        assert_eq!(assignment("a.b= c=d"), Ok(("a.b".into(), " c=d".into())));
        assert_eq!(assignment("a="), Ok(("a".into(), String::new())));
        assert!(assignment("=x").is_err() && assignment("x").is_err());
        let twice = vec![("a".into(), "1".into()), ("a".into(), "1".into())];
        assert!(once_each(twice).is_err());
    }
}
