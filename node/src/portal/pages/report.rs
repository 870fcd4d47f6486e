//! A new report: the form of a kind, made from its schema, with a look for duplicates before it is written.

use std::collections::BTreeMap;

use askama::Template;
use axum::http::StatusCode;
use tearline_crdt::record::common::Common;
use tearline_crdt::record::kind::Kind as RecordKind;
use tearline_crdt::record::schema::{Field, Shape};

use super::super::call::{Call, Done};
use super::super::form::Form;
use super::super::frame::{Choice, Frame, Moment, label};
use super::super::html::{self, Trouble};
use super::record::asked_fields;
use super::records::{Line, classes, colours, line, rooms};
use crate::audit::{Event, Outcome};
use crate::control::{RecordNew, Request, reply};
use crate::index::Query;
use crate::service::kept::DraftReport;

/// Kinds that are offered, the most frequent first.
const KINDS: [RecordKind; 20] = [
    RecordKind::Sighting,
    RecordKind::Incident,
    RecordKind::Alert,
    RecordKind::Crossing,
    RecordKind::Seizure,
    RecordKind::Person,
    RecordKind::Vehicle,
    RecordKind::Vessel,
    RecordKind::TravelDocument,
    RecordKind::Phone,
    RecordKind::Organisation,
    RecordKind::Location,
    RecordKind::Aircraft,
    RecordKind::Container,
    RecordKind::Weapon,
    RecordKind::Commodity,
    RecordKind::Case,
    RecordKind::Request,
    RecordKind::Task,
    RecordKind::Report,
];
/// Of what all records may say, what a form asks for.
const COMMON: [&str; 3] = ["name", "description", "confidence"];
/// What identifies a thing: a record that has the same is perhaps the same.
const IDENTIFYING: [&str; 13] = [
    "plate",
    "vin",
    "imo",
    "mmsi",
    "call_sign",
    "registration",
    "number",
    "document_number",
    "iso_6346",
    "imei",
    "imsi",
    "e164",
    "name",
];
/// Most records that are shown as perhaps the same.
const DUPLICATES_MAX: usize = 5;

/// A field of a form.
pub(super) struct Input {
    pub(super) name: String,
    pub(super) label: String,
    pub(super) help: String,
    pub(super) value: String,
    /// "text", "number", "select", "list" or "area".
    pub(super) widget: &'static str,
    pub(super) choices: Vec<Choice>,
}

/// The fields that a form of a kind has, but for a place's two numbers.
pub(super) fn fields_of(kind: RecordKind) -> impl Iterator<Item = &'static Field> {
    let common = Common::FIELDS.iter().filter(|field| COMMON.contains(&field.name));
    let own = kind.fields().iter().filter(|field| {
        !matches!(field.name, "latitude" | "longitude")
            && !matches!(field.shape, Shape::Group(_) | Shape::List(Shape::Group(_)))
    });
    let own_names = kind.fields();
    common.filter(move |field| own_names.iter().all(|own| own.name != field.name)).chain(own)
}

pub(super) fn has_place(kind: RecordKind) -> bool {
    kind.fields().iter().any(|field| field.name == "latitude")
}

/// The fields of a form with the values that they have.
pub(super) fn inputs(f: &Frame, kind: RecordKind, values: &BTreeMap<String, String>) -> Vec<Input> {
    let value = |name: &str| values.get(name).cloned().unwrap_or_default();
    let mut inputs: Vec<Input> = fields_of(kind)
        .map(|field| {
            let value = value(field.name);
            let mut choices = Vec::new();
            let widget = match field.shape {
                Shape::Word { words, .. } => {
                    choices.push(Choice::new("", "", &value));
                    choices.extend(words.iter().map(|word| Choice::new(word, word, &value)));
                    // What an import brought is no word of the list, and stays what it is.
                    if !choices.iter().any(|choice| choice.chosen) {
                        choices.push(Choice::new(&value, &value, &value));
                    }
                    "select"
                }
                Shape::Flag => {
                    choices.push(Choice::new("", "", &value));
                    choices.push(Choice::new("true", f.w.yes, &value));
                    choices.push(Choice::new("false", f.w.no, &value));
                    "select"
                }
                Shape::Count(_) | Shape::Number(..) => "number",
                Shape::List(_) => "list",
                _ if matches!(field.name, "description" | "content" | "abstract") => "area",
                _ => "text",
            };
            Input {
                name: field.name.to_owned(),
                label: label(field.name),
                help: field.help.trim().to_owned(),
                value,
                widget,
                choices,
            }
        })
        .collect();
    if has_place(kind) {
        let place = Input {
            name: "place".into(),
            label: f.w.place.into(),
            help: f.w.place_help.into(),
            value: value("place"),
            widget: "text",
            choices: Vec::new(),
        };
        inputs.insert(inputs.len().min(2), place);
    }
    inputs
}

#[derive(Template)]
#[template(path = "choose.html")]
struct Choose {
    f: Frame,
    kinds: Vec<(&'static str, &'static str)>,
}

pub(in super::super) fn choose(call: &Call) -> Done {
    let f = Frame::new(call, call.language.words().new_report);
    let kinds = KINDS.iter().map(|kind| (kind.name(), f.w.kind(kind.name()))).collect();
    Ok(html::page(StatusCode::OK, &Choose { f, kinds }))
}

#[derive(Template)]
#[template(path = "new.html")]
struct New {
    f: Frame,
    kind: &'static str,
    kind_text: &'static str,
    inputs: Vec<Input>,
    zone: Option<String>,
    rooms: Vec<Choice>,
    colours: Vec<Choice>,
    classes: Vec<Choice>,
    problem: String,
    hint: String,
    duplicates: Vec<Line>,
    checked: bool,
    /// When the draft was kept that the form begins with.
    draft: Option<Moment>,
    /// The form's fields that duplicates are looked for by.
    identifying: String,
}

pub(in super::super) fn form(call: &Call) -> Done {
    let session = call.session()?;
    let kind = kind_of(call)?;
    let draft = call.state.service.draft_of(&session.name, session.generation, kind.name())?;
    match draft {
        Some(draft) => {
            let typed = Form::of(draft.fields);
            page_of(call, &typed, StatusCode::OK, None, None, Some(draft.at_ms))
        }
        None => new_page(call, StatusCode::OK, None, None),
    }
}

/// Keeps what is typed, or forgets it.
pub(in super::super) fn draft(call: &Call) -> Done {
    let (session, kind) = (call.session()?, kind_of(call)?);
    let told = |name: &str| name.starts_with("set.") || DRAFT_FIELDS.contains(&name);
    let fields = call.form.fields().filter(|(name, value)| told(name) && !value.is_empty());
    let fields: Vec<(String, String)> =
        fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let keeps = call.form.text("act") != "discard";
    let draft = DraftReport { generation: session.generation, at_ms: call.now_ms(), fields };
    let draft = keeps.then_some(&draft);
    call.state.service.keep_draft(&session.name, kind.name(), draft)?;
    let done = if keeps { "draft" } else { "discarded" };
    // A script that keeps what is typed reads the status alone.
    if call.form.text("act") == "draft" && call.live {
        return Ok(html::plain(StatusCode::OK));
    }
    Ok(html::redirect(&format!("/new/{}?done={done}", kind.name())))
}

/// Fields of a draft beside those of the kind.
const DRAFT_FIELDS: [&str; 4] = ["tlp", "room", "class", "mrz"];

fn kind_of(call: &Call) -> Result<RecordKind, Trouble> {
    let named = call.place("kind");
    let kind = KINDS.into_iter().find(|kind| kind.name() == named);
    kind.ok_or_else(Trouble::not_found)
}

/// The form, with what was typed; with what is wrong with it, or what is perhaps the same.
fn new_page(
    call: &Call,
    status: StatusCode,
    problem: Option<&Trouble>,
    duplicates: Option<Vec<Line>>,
) -> Done {
    page_of(call, &call.form, status, problem, duplicates, None)
}

fn page_of(
    call: &Call,
    form: &Form,
    status: StatusCode,
    problem: Option<&Trouble>,
    duplicates: Option<Vec<Line>>,
    draft_ms: Option<u64>,
) -> Done {
    let kind = kind_of(call)?;
    let f = Frame::new(call, call.language.words().new_report);
    let identifying: Vec<String> = fields_of(kind)
        .filter(|field| IDENTIFYING.contains(&field.name))
        .map(|field| format!("set.{}", field.name))
        .collect();
    let typed: BTreeMap<String, String> =
        form.beginning("set.").map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let chosen = |name, default| match form.text(name) {
        "" => default,
        value => value,
    };
    let max = call.session()?.label_max;
    let page = New {
        kind: kind.name(),
        kind_text: f.w.kind(kind.name()),
        inputs: inputs(&f, kind, &typed),
        zone: (kind == RecordKind::TravelDocument).then(|| form.text("mrz").to_owned()),
        rooms: rooms(call, form.text("room"))?,
        colours: colours(max, chosen("tlp", "AMBER")),
        classes: classes(f.w, chosen("class", "routine")),
        problem: problem.map(|trouble| what_is_wrong(&f, trouble)).unwrap_or_default(),
        hint: problem.map(|trouble| trouble.hint.clone()).unwrap_or_default(),
        checked: duplicates.is_some(),
        duplicates: duplicates.unwrap_or_default(),
        draft: draft_ms.map(|ms| f.moment_ms(ms)),
        identifying: identifying.join(" "),
        f,
    };
    Ok(html::page(status, &page))
}

fn what_is_wrong(f: &Frame, trouble: &Trouble) -> String {
    match (trouble.by_mesh, trouble.detail.as_str()) {
        (true, detail) => format!("{} {detail}", f.w.refused_text),
        (false, "") => f.w.failed_text.to_owned(),
        (false, detail) => detail.to_owned(),
    }
}

pub(in super::super) fn write(call: &Call) -> Done {
    match try_to_write(call) {
        // Whatever is wrong, what was typed is not lost.
        Err(trouble) if trouble.status != StatusCode::NOT_FOUND => {
            new_page(call, trouble.status, Some(&trouble), None)
        }
        done => done,
    }
}

fn try_to_write(call: &Call) -> Done {
    let kind = kind_of(call)?;
    let form = &call.form;
    let asked = asked_fields(call, kind)?;
    let set: BTreeMap<String, String> = asked
        .into_iter()
        .map(|(name, (_, value))| (name, value))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    if form.text("act") != "write" {
        let found = duplicates(call, &set)?;
        // Nothing like it: it is written at once.
        if !found.is_empty() || form.text("act") == "check" {
            return new_page(call, StatusCode::OK, None, Some(found));
        }
    }
    let zone = form.text("mrz");
    let room = form.text("room");
    let new = RecordNew {
        kind: kind.name().into(),
        compartment: (!room.is_empty()).then(|| room.to_owned()),
        class: Some(form.text("class").to_owned()).filter(|class| !class.is_empty()),
        label: Some(format!("TLP:{}", form.text("tlp"))),
        set,
        mrz: (!zone.is_empty()).then(|| zone.to_owned()),
        ..RecordNew::default()
    };
    let written: reply::Written = call.ask(Request::RecordNew(new))?;
    let done = if written.doubts.is_empty() { "written" } else { "doubtful" };
    call.note(Event::Collection, vec![written.record.clone()], "written", Outcome::Done)?;
    call.state.service.keep_draft(&call.session()?.name, kind.name(), None)?;
    Ok(html::redirect(&format!("/record/{}?done={done}", written.record)))
}

/// Records that have the same number or name, as far as the operator may see them.
fn duplicates(call: &Call, set: &BTreeMap<String, String>) -> Result<Vec<Line>, Trouble> {
    let f = Frame::new(call, "");
    let (viewer, now_ms) = (call.session()?.viewer(), call.now_ms());
    let mut found: Vec<Line> = Vec::new();
    for name in IDENTIFYING {
        let Some(value) = set.get(name) else { continue };
        // What looks like a term of a query is only words here.
        let words: Vec<String> =
            value.split_whitespace().map(|word| word.replace([':', '"', '*'], " ")).collect();
        let Ok(query) = Query::parse(&words.join(" ")) else { continue };
        if query.words.is_empty() {
            continue;
        }
        let query = Query { limit: DUPLICATES_MAX, ..query };
        for seen in call.state.service.find_for(viewer, query)?.rows {
            let known = found.iter().any(|line| line.record == seen.row.record);
            if !known && found.len() < DUPLICATES_MAX {
                found.push(line(&f, seen, now_ms));
            }
        }
    }
    let records = found.iter().map(|line| line.record.clone()).collect();
    call.note(Event::Consultation, records, "duplicates", Outcome::Asked)?;
    Ok(found)
}
