//! One record: what it says, under which label, who said what and when, what does not agree, and what it is
//! linked with.

use std::collections::BTreeMap;

use askama::Template;
use axum::http::StatusCode;
use serde_json::Value;
use tearline_crdt::attachment::is_attachment;
use tearline_crdt::record::kind::Kind as RecordKind;

use super::super::call::{Call, Done};
use super::super::drawing::{self, Node};
use super::super::frame::{Badge, Frame, Moment};
use super::super::html::{self, Trouble};
use super::super::{form::Form, geo};
use super::files::{self, File};
use super::records::{Line, NAMING_MAX, agency, flags, line, naming, short, shown};
use super::report::{Input, inputs};
use crate::control::{
    RecordEdit, RecordHistory, RecordNew, RecordResolve, Request, Why, reply, trust,
};
use crate::operators::Right;
use crate::service::desk::Seen;

/// Longest note, in bytes.
const NOTE_BYTES_MAX: usize = 8 * 1024;

#[derive(Template)]
#[template(path = "record.html")]
struct RecordPage {
    f: Frame,
    id: String,
    title: String,
    kind: String,
    badge: Badge,
    class: String,
    class_text: &'static str,
    room: String,
    origin: String,
    created: Moment,
    modified: Moment,
    flags: Vec<&'static str>,
    erasure_due: Option<Moment>,
    holds: Vec<Hold>,
    hidden: bool,
    place: Option<String>,
    fields: Vec<(String, Vec<Part>)>,
    conflicts: Vec<Conflict>,
    history: Vec<Step>,
    linked: Vec<Line>,
    linked_full: bool,
    graph: String,
    inputs: Vec<Input>,
    edits: bool,
    notes: bool,
    withholds: bool,
    releases: bool,
    files: Vec<File>,
}

/// A hold that stands.
struct Hold {
    by: String,
    whom: &'static str,
    heard: Option<Moment>,
    statement: String,
}

/// A part of a value: text, or another record that it names.
struct Part {
    text: String,
    link: Option<Linked>,
}

/// Another record.
struct Linked {
    path: String,
    title: String,
    kind: String,
}

/// Records by what a record calls them.
type Named = BTreeMap<String, Seen>;

struct Conflict {
    field: String,
    values: Vec<ConflictValue>,
}

struct ConflictValue {
    no: u32,
    text: String,
    agency: String,
    device: String,
    at: Moment,
}

struct Step {
    at: Moment,
    agency: String,
    device: String,
    class: &'static str,
    what: &'static str,
    fields: String,
    verdict: String,
    counts: bool,
}

pub(in super::super) fn show(call: &Call) -> Done {
    let id = call.place("record").to_owned();
    let record = shown(call, &id)?;
    let history: reply::History =
        call.ask(Request::RecordHistory(RecordHistory { record: id.clone() }))?;
    let badge = Badge::of(&record.label);
    let title = if record.title.is_empty() {
        call.language.words().untitled.to_owned()
    } else {
        record.title.clone()
    };
    let f = Frame::new(call, title.clone()).labelled(&badge.text);
    let now_ms = call.now_ms();
    let named = named(call, &record)?;
    let linked = linked(call, &record, &named)?;
    let graph = graph(&f, &record, &linked);
    let linked_full = linked.len() >= NAMING_MAX;
    let hidden = record.flags.iter().any(|flag| flag == "restricted");
    let withholds = call.may(Right::Withhold);
    let kind: RecordKind = record.kind.parse().unwrap_or(RecordKind::Object);
    let edits = call.may(Right::Change) && record.writable && !hidden;
    let page = RecordPage {
        kind: f.w.kind(&record.kind).to_owned(),
        class_text: f.w.class(&record.class),
        class: record.class.clone(),
        room: record.compartment_name.clone(),
        origin: agency(&record.originator),
        created: f.moment(&record.created),
        modified: f.moment(&record.modified),
        flags: flags(f.w, &record.flags),
        erasure_due: record.erasure_due.as_ref().map(|due| f.moment(due)),
        holds: record.holds.iter().map(|hold| this_hold(&f, hold)).collect(),
        hidden,
        place: place(&record),
        fields: fields(&f, &record, &named),
        conflicts: record.conflicts.iter().map(|conflict| this_conflict(&f, conflict)).collect(),
        history: history.entries.iter().rev().map(|entry| step(&f, entry)).collect(),
        linked: linked.into_iter().map(|seen| line(&f, seen, now_ms)).collect(),
        linked_full,
        graph,
        inputs: if edits { inputs(&f, kind, &values(&record)) } else { Vec::new() },
        edits,
        notes: call.may(Right::Report),
        withholds,
        releases: call.may(Right::Release) && !hidden,
        files: if hidden { Vec::new() } else { files::of(call, &f, &id)? },
        id,
        title,
        badge,
        f,
    };
    Ok(html::page(StatusCode::OK, &page))
}

fn this_hold(f: &Frame, hold: &trust::Hold) -> Hold {
    Hold {
        by: hold.by.as_ref().map_or_else(|| f.w.held_founders.to_owned(), agency),
        whom: if hold.everywhere { f.w.held_everywhere } else { f.w.held_own },
        heard: hold.heard.as_ref().map(|heard| f.moment(heard)),
        statement: short(&hold.statement),
    }
}

fn place(record: &reply::Record) -> Option<String> {
    let number = |name| record.fields.get(name).and_then(Value::as_f64);
    Some(geo::show((number("latitude")?, number("longitude")?)))
}

/// The fields with their values, each record that one names as a link. Files have a list of their own.
fn fields(f: &Frame, record: &reply::Record, named: &Named) -> Vec<(String, Vec<Part>)> {
    let mut fields = Vec::new();
    for (name, value) in record.fields.iter().filter(|(name, _)| !is_attachment(name)) {
        let parts = values_of(value).iter().map(|value| part(f, value, record, named)).collect();
        fields.push((name.clone(), parts));
    }
    fields
}

fn values_of(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values.as_slice(),
        value => std::slice::from_ref(value),
    }
}

fn part(f: &Frame, value: &Value, record: &reply::Record, named: &Named) -> Part {
    let text = text_of(value);
    let link =
        named.get(&text).filter(|seen| seen.row.record != record.record).map(|seen| Linked {
            path: format!("/record/{}", seen.row.record),
            title: if seen.row.title.is_empty() {
                f.w.untitled.into()
            } else {
                seen.row.title.clone()
            },
            kind: f.w.kind(&seen.row.kind).to_owned(),
        });
    Part { text, link }
}

/// Whether a value names a record: by its id, or as STIX does.
fn is_name(text: &str) -> bool {
    let hex =
        |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    match text.split_once("--") {
        Some((kind, uuid)) => !kind.is_empty() && uuid.len() == 36 && hex(uuid),
        None => text.len() == 32 && hex(text),
    }
}

/// What stands behind the names that a record's fields have in them, as far as the operator may see it.
fn named(call: &Call, record: &reply::Record) -> Result<Named, Trouble> {
    let texts = record.fields.values().flat_map(values_of).filter_map(Value::as_str);
    let names = texts.filter(|text| is_name(text)).map(str::to_owned).take(NAMING_MAX).collect();
    let Some(compartment) = crate::service::compartment_id(&record.compartment) else {
        return Ok(Named::new());
    };
    Ok(call.state.service.named_for(call.session()?.viewer(), compartment, names)?)
}

/// A value as text.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        value => value.to_string(),
    }
}

/// The values of a record, as the fields of a form say them.
fn values(record: &reply::Record) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::Array(items) => items.iter().map(text_of).collect::<Vec<_>>().join("\n"),
        value => text_of(value),
    };
    let mut values: BTreeMap<String, String> =
        record.fields.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    let number = |name| record.fields.get(name).and_then(Value::as_f64);
    if let (Some(latitude), Some(longitude)) = (number("latitude"), number("longitude")) {
        values.insert("place".into(), format!("{latitude}, {longitude}"));
    }
    values
}

fn this_conflict(f: &Frame, conflict: &reply::Conflict) -> Conflict {
    let values = conflict.values.iter().map(|value| ConflictValue {
        no: value.no,
        text: text_of(&value.value),
        agency: agency(&value.agency),
        device: short(&value.device),
        at: f.moment(&value.at),
    });
    Conflict { field: conflict.field.clone(), values: values.collect() }
}

fn step(f: &Frame, entry: &reply::HistoryEntry) -> Step {
    Step {
        at: f.moment(&entry.at),
        agency: agency(&entry.agency),
        device: short(&entry.device),
        class: f.w.class(&entry.class),
        what: f.w.step(&entry.what),
        fields: told_fields(f, &entry.fields),
        counts: entry.verdict == "counts",
        verdict: if entry.verdict == "counts" { f.w.counts.into() } else { entry.verdict.clone() },
    }
}

/// The fields of a change; how files are kept is of no use to people.
fn told_fields(f: &Frame, fields: &[String]) -> String {
    let mut told: Vec<&str> =
        fields.iter().map(String::as_str).filter(|name| !is_attachment(name)).collect();
    if told.len() < fields.len() {
        told.push(f.w.files);
    }
    told.join(", ")
}

/// The records that name this one and those that it names, as far as the operator may see them.
fn linked(call: &Call, record: &reply::Record, named: &Named) -> Result<Vec<Seen>, Trouble> {
    let mut linked = naming(call, &record.record)?;
    linked.extend(named.values().cloned());
    let mut known = std::collections::BTreeSet::from([record.record.clone()]);
    linked.retain(|seen| known.insert(seen.row.record.clone()));
    linked.truncate(NAMING_MAX);
    Ok(linked)
}

fn graph(f: &Frame, record: &reply::Record, linked: &[Seen]) -> String {
    let node = |id: &str, title: &str, kind: &str| Node {
        href: format!("/record/{id}"),
        title: if title.is_empty() { f.w.untitled.into() } else { title.to_owned() },
        kind: f.w.kind(kind).to_owned(),
    };
    let around: Vec<Node> = linked
        .iter()
        .take(drawing::NEIGHBOURS_MAX)
        .map(|seen| node(&seen.row.record, &seen.row.title, &seen.row.kind))
        .collect();
    if around.is_empty() {
        return String::new();
    }
    drawing::graph(&node(&record.record, &record.title, &record.kind), &around)
}

pub(in super::super) fn edit(call: &Call) -> Done {
    let id = call.place("record").to_owned();
    let record = shown(call, &id)?;
    let kind: RecordKind = record.kind.parse().unwrap_or(RecordKind::Object);
    let was = values(&record);
    let asked = asked_fields(call, kind)?;
    // What the form shows and nobody changed is not written again.
    let set: BTreeMap<String, String> = asked
        .into_iter()
        .filter(|(name, (shown, _))| was.get(name) != Some(shown))
        .map(|(name, (_, value))| (name, value))
        .collect();
    let (unset, set): (BTreeMap<_, _>, BTreeMap<_, _>) =
        set.into_iter().partition(|(_, value)| value.is_empty());
    let unset = unset.into_keys().filter(|name| record.fields.contains_key(name)).collect();
    let class = Some(call.form.text("class")).filter(|class| !class.is_empty());
    let edit = RecordEdit { record: id.clone(), set, unset, class: class.map(str::to_owned) };
    let written: reply::Written = call.ask(Request::RecordEdit(edit))?;
    let done = if written.entry.is_some() { "changed" } else { "unchanged" };
    Ok(html::redirect(&format!("/record/{id}?done={done}")))
}

/// What a form says of the fields of a kind: as it stood there, and as the daemon takes it. Empty: it is to
/// have none. Of fields that are not in the form nothing is said.
pub(super) fn asked_fields(
    call: &Call,
    kind: RecordKind,
) -> Result<BTreeMap<String, (String, String)>, Trouble> {
    let form: &Form = &call.form;
    let mut asked = BTreeMap::new();
    for field in super::report::fields_of(kind) {
        let name = format!("set.{}", field.name);
        if !form.has(&name) {
            continue;
        }
        let text = form.text(&name).to_owned();
        let value = match field.shape {
            tearline_crdt::record::schema::Shape::List(_) if !text.is_empty() => {
                let items: Vec<&str> =
                    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
                serde_json::json!(items).to_string()
            }
            _ => text.clone(),
        };
        asked.insert(field.name.to_owned(), (text, value));
    }
    let place = form.text("set.place");
    if super::report::has_place(kind) && form.has("set.place") {
        let (latitude, longitude) = match (place, geo::read(place)) {
            ("", _) => (String::new(), String::new()),
            (_, Some((latitude, longitude))) => (latitude.to_string(), longitude.to_string()),
            (_, None) => {
                let detail = call.language.words().no_place.to_owned();
                return Err(Trouble { detail, ..Trouble::new(StatusCode::BAD_REQUEST) });
            }
        };
        asked.insert("latitude".into(), (latitude.clone(), latitude));
        asked.insert("longitude".into(), (longitude.clone(), longitude));
    }
    Ok(asked)
}

pub(in super::super) fn resolve(call: &Call) -> Done {
    let id = call.place("record").to_owned();
    let resolve = RecordResolve {
        record: id.clone(),
        field: call.form.text("field").to_owned(),
        take: call.form.text("take").parse().unwrap_or_default(),
    };
    let _: reply::Resolved = call.ask(Request::RecordResolve(resolve))?;
    Ok(html::redirect(&format!("/record/{id}?done=resolved")))
}

pub(in super::super) fn note(call: &Call) -> Done {
    let id = call.place("record").to_owned();
    let text = call.form.text("content");
    if !(1..=NOTE_BYTES_MAX).contains(&text.len()) {
        return Err(Trouble::new(StatusCode::BAD_REQUEST));
    }
    let record = shown(call, &id)?;
    // A note goes where its record is, under the record's own label.
    let new = RecordNew {
        kind: RecordKind::Note.name().into(),
        compartment: Some(record.compartment),
        label: Some(record.label),
        fields: serde_json::Map::from_iter([
            ("object_refs".to_owned(), serde_json::json!([id])),
            ("content".to_owned(), text.into()),
            ("authors".to_owned(), serde_json::json!([call.session()?.name])),
        ]),
        ..RecordNew::default()
    };
    let _: reply::Written = call.ask(Request::RecordNew(new))?;
    Ok(html::redirect(&format!("/record/{id}?done=noted")))
}

#[derive(Template)]
#[template(path = "why.html")]
struct WhyPage {
    f: Frame,
    id: String,
    why: reply::Why,
    badge: Badge,
    reasons: Vec<WhyReason>,
    holders: Vec<(String, String, &'static str)>,
}

struct WhyReason {
    rule: String,
    detail: String,
    by: Vec<String>,
}

pub(in super::super) fn why(call: &Call) -> Done {
    let id = call.place("record").to_owned();
    let why: reply::Why = call.ask(Request::Why(Why { record: id.clone() }))?;
    let badge = Badge::of(&why.label);
    let f = Frame::new(call, call.language.words().why).labelled(&badge.text);
    let reasons = why.because.iter().map(|reason| WhyReason {
        rule: reason.rule.clone(),
        detail: reason.detail.clone(),
        by: reason
            .by
            .iter()
            .map(|by| {
                format!("{} · {} · {}", by.what, agency(&by.issuer.agency), short(&by.statement))
            })
            .collect(),
    });
    let holders = why.holders.iter().map(|holder| {
        let holds = match holder.holds {
            Some(true) => f.w.yes,
            Some(false) => f.w.no,
            None => f.w.unknown,
        };
        (agency(&holder.agency), short(&holder.device), holds)
    });
    let page =
        WhyPage { reasons: reasons.collect(), holders: holders.collect(), id, badge, why, f };
    Ok(html::page(StatusCode::OK, &page))
}
