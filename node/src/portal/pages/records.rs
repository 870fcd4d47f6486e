//! The list of records, filtered by what stands in the URL.

use askama::Template;
use axum::http::StatusCode;
use tearline_crdt::record::kind::Kind as RecordKind;
use tearline_crdt::record::vocabulary::{Tlp, Vocabulary as _};
use tearline_crdt::time::WallTime;

use super::super::call::{Call, Done};
use super::super::form::Form;
use super::super::frame::{Badge, Choice, Frame, Moment, tlp};
use super::super::html::{self, Trouble};
use super::super::words::Words;
use crate::audit::{Event, Outcome};
use crate::control::trust;
use crate::control::{self, Empty, Request, reply};
use crate::index::Query;
use crate::operators::{Right, SavedView};
use crate::service::desk::Seen;

/// Rows of a page.
const ROWS: usize = 50;

/// A record in a list.
pub(super) struct Line {
    pub(super) record: String,
    pub(super) kind: String,
    pub(super) title: String,
    pub(super) badge: Badge,
    pub(super) class: String,
    pub(super) class_text: &'static str,
    pub(super) room: String,
    pub(super) origin: String,
    pub(super) received: Moment,
    pub(super) event: Option<Moment>,
    pub(super) ago: String,
    pub(super) flags: Vec<&'static str>,
}

pub(super) fn line(f: &Frame, seen: Seen, now_ms: u64) -> Line {
    let Seen { row, event_ms, .. } = seen;
    let received_ms = WallTime::parse(&row.received).map_or(now_ms, |time| time.0);
    Line {
        kind: f.w.kind(&row.kind).to_owned(),
        title: if row.title.is_empty() { f.w.untitled.into() } else { row.title },
        badge: Badge::of(&row.label),
        class_text: f.w.class(&row.class),
        class: row.class,
        room: row.compartment_name,
        origin: agency(&row.originator),
        received: f.moment(&row.received),
        event: event_ms.map(|ms| f.moment_ms(ms)),
        ago: f.ago(received_ms, now_ms),
        flags: flags(f.w, &row.flags),
        record: row.record,
    }
}

/// What is to be told of a record. What is erased is hidden too, which need not be said.
pub(super) fn flags(w: &'static Words, flags: &[String]) -> Vec<&'static str> {
    let is_erased = flags.iter().any(|flag| flag == "erasure-due");
    let told = flags.iter().filter(|flag| !(is_erased && *flag == "restricted"));
    told.map(|flag| w.flag(flag)).collect()
}

pub(super) fn agency(agency: &reply::AgencyRef) -> String {
    if agency.country.is_empty() {
        return agency.name.clone();
    }
    format!("{} ({})", agency.name, agency.country)
}

pub(super) fn device(device: &trust::Device) -> String {
    device.name.clone().unwrap_or_else(|| short(&device.device))
}

/// The beginning of an id, for people.
pub(super) fn short(id: &str) -> String {
    id.chars().take(8).collect()
}

#[derive(Template)]
#[template(path = "records.html")]
struct Records<'a> {
    f: Frame,
    q: &'a str,
    from: &'a str,
    until: &'a str,
    kinds: Vec<Choice>,
    colours: Vec<Choice>,
    classes: Vec<Choice>,
    rooms: Vec<Choice>,
    rows: Vec<Line>,
    next: Option<String>,
    first: Option<String>,
    filtered: bool,
    lost: usize,
    reports: bool,
    map: String,
    views: Vec<SavedView>,
}

/// What the filters of a page ask for.
pub(super) fn query(call: &Call, limit: usize) -> Result<Query, Trouble> {
    let form = &call.query;
    let bad = |detail: String| Trouble { detail, ..Trouble::new(StatusCode::BAD_REQUEST) };
    let mut query = Query::parse(form.text("q")).map_err(|error| bad(error.to_string()))?;
    let mut add = |field: &str, value: &str| {
        if value.is_empty() {
            return Ok(());
        }
        let parsed = Query::parse(&format!("{field}:{value}"));
        let parsed = parsed.map_err(|error| bad(error.to_string()))?;
        query.kinds.extend(parsed.kinds);
        query.types.extend(parsed.types);
        query.classes.extend(parsed.classes);
        query.tlps.extend(parsed.tlps);
        query.event_from = query.event_from.or(parsed.event_from);
        query.event_to = query.event_to.or(parsed.event_to);
        Ok::<_, Trouble>(())
    };
    for (field, name) in [
        ("kind", "kind"),
        ("tlp", "tlp"),
        ("class", "class"),
        ("since", "from"),
        ("until", "until"),
    ] {
        add(field, form.text(name))?;
    }
    let room = form.text("room");
    if !room.is_empty() {
        let id = crate::service::compartment_id(room).ok_or_else(Trouble::not_found)?;
        query.compartment = Some(id);
    }
    let after = form.text("after");
    if !after.is_empty() {
        query.after = Some(after.parse().map_err(|()| bad(String::new()))?);
    }
    query.limit = limit;
    Ok(query)
}

pub(super) fn kinds(w: &'static Words, chosen: &str) -> Vec<Choice> {
    let mut kinds: Vec<Choice> = RecordKind::ALL
        .iter()
        .map(|kind| Choice::new(kind.name(), w.kind(kind.name()), chosen))
        .collect();
    kinds.sort_by(|a, b| a.text.cmp(&b.text));
    kinds
}

pub(super) fn colours(max: Tlp, chosen: &str) -> Vec<Choice> {
    let shown = Tlp::ALL.iter().filter(|colour| **colour <= max);
    shown.map(|colour| Choice::new(colour.word(), &tlp(colour.word()), chosen)).collect()
}

pub(super) fn classes(w: &'static Words, chosen: &str) -> Vec<Choice> {
    let classes =
        tearline_crdt::id::Class::ALL.into_iter().filter(|class| class.name() != "authority");
    classes.map(|class| Choice::new(class.name(), w.class(class.name()), chosen)).collect()
}

/// The compartments of this device, by name.
pub(super) fn rooms(call: &Call, chosen: &str) -> Result<Vec<Choice>, Trouble> {
    let listed: reply::Compartments = call.ask_peer(Request::CompartmentList(Empty {}))?;
    let listed = listed.compartments.into_iter();
    Ok(listed.map(|room| Choice::new(&room.compartment, &room.name, chosen)).collect())
}

pub(in super::super) fn list(call: &Call) -> Done {
    let session = call.session()?;
    let found = call.state.service.find_for(session.viewer(), query(call, ROWS)?)?;
    let records = found.rows.iter().map(|seen| seen.row.record.clone()).collect();
    call.note(Event::Consultation, records, "", Outcome::Asked)?;
    let form = &call.query;
    let (f, now_ms) = (Frame::new(call, call.language.words().records), call.now_ms());
    let w = f.w;
    let names = ["q", "kind", "tlp", "class", "room", "from", "until"];
    let page = Records {
        q: form.text("q"),
        from: form.text("from"),
        until: form.text("until"),
        kinds: kinds(w, form.text("kind")),
        colours: colours(session.label_max, form.text("tlp")),
        classes: classes(w, form.text("class")),
        rooms: rooms(call, form.text("room"))?,
        next: found.next.map(|next| form.with("after", &next.to_string())),
        first: (!form.text("after").is_empty()).then(|| form.with("after", "")),
        filtered: names.iter().any(|name| !form.text(name).is_empty()),
        lost: found.lost,
        reports: call.may(Right::Report),
        map: form.with("after", ""),
        views: session.settings.views.clone(),
        rows: found.rows.into_iter().map(|seen| line(&f, seen, now_ms)).collect(),
        f,
    };
    Ok(html::page(StatusCode::OK, &page))
}

/// Most views of an operator, and longest name and query of one, in bytes.
const VIEWS_MAX: usize = 20;
const VIEW_NAME_BYTES_MAX: usize = 120;
const VIEW_QUERY_BYTES_MAX: usize = 1024;

/// Keeps the filters of the list under a name, or forgets them.
pub(in super::super) fn keep_view(call: &Call) -> Done {
    let (name, form) = (call.form.text("name").to_owned(), &call.form);
    // What was typed into the address is a form again, and nothing else.
    let query = Form::parse(form.text("query").as_bytes(), VIEW_QUERY_BYTES_MAX)?;
    let query = query.with("after", "");
    if !(1..=VIEW_NAME_BYTES_MAX).contains(&name.len()) || query.len() > VIEW_QUERY_BYTES_MAX {
        return Err(Trouble::new(StatusCode::BAD_REQUEST));
    }
    let mut settings = call.session()?.settings.clone();
    settings.views.retain(|view| view.name != name);
    if form.text("act") != "remove" {
        if settings.views.len() >= VIEWS_MAX {
            return Err(Trouble::bad(call.language.words().too_many_views));
        }
        settings.views.push(SavedView { name, query: query.clone() });
    }
    call.keep_settings(&settings)?;
    Ok(html::redirect(&format!("/records?{}", with_done(&query))))
}

fn with_done(query: &str) -> String {
    if query.is_empty() { "done=settings".into() } else { format!("{query}&done=settings") }
}

/// What has this record's id in it, and may be seen.
pub(super) fn naming(call: &Call, record: &str) -> Result<Vec<Seen>, Trouble> {
    let query = Query { words: vec![record.to_owned()], limit: NAMING_MAX, ..Query::default() };
    Ok(call.state.service.find_for(call.session()?.viewer(), query)?.rows)
}

/// Most records that are listed as naming one.
pub(super) const NAMING_MAX: usize = 60;

/// A record as the daemon shows it.
pub(super) fn shown(call: &Call, record: &str) -> Result<reply::Record, Trouble> {
    call.ask(Request::RecordShow(control::RecordShow { record: record.into() }))
}
