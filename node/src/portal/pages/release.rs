//! Release: which fields, how coarse, to whom; what that would be, what it tells beside, and who would receive it.

use std::collections::BTreeSet;

use askama::Template;
use axum::http::StatusCode;
use serde_json::Value;
use tearline_crdt::record::edge;

use super::super::call::{Call, Done};
use super::super::frame::{Badge, Choice, Frame, Moment, label};
use super::super::html::{self, Trouble};
use super::super::words::Words;
use super::record::text_of;
use super::records::{agency, colours, device, short, shown};
use crate::audit::{Event, Outcome};
use crate::control::trust::{RecordRelease, Released};
use crate::control::{Empty, Request, reply};
use crate::release::{CoarseTime, FILES};
use crate::service::prepared::Prepared;

#[derive(Template)]
#[template(path = "release.html")]
struct ReleasePage {
    f: Frame,
    id: String,
    title: String,
    badge: Badge,
    fields: Vec<FieldChoice>,
    agencies: Vec<FieldChoice>,
    rooms: Vec<Choice>,
    colours: Vec<Choice>,
    squares: Vec<Choice>,
    times: Vec<Choice>,
    reason: String,
    problem: Option<Trouble>,
    preview: Option<Preview>,
    countersigned: bool,
}

struct FieldChoice {
    name: String,
    label: String,
    value: String,
    chosen: bool,
}

/// What a release would be.
struct Preview {
    stamp: String,
    badge: Badge,
    room: String,
    changes: Vec<Change>,
    leaks: Vec<Found>,
    receivers: Vec<Receiver>,
}

struct Change {
    label: String,
    before: String,
    /// `None`: it is held back.
    after: Option<String>,
    coarser: bool,
}

struct Found {
    what: &'static str,
    label: String,
    found: String,
}

struct Receiver {
    device: String,
    agency: String,
    because: Vec<String>,
}

/// Sides of squares that are offered, in kilometres.
const SQUARES_KM: [u32; 5] = [1, 5, 10, 50, 200];

pub(in super::super) fn form(call: &Call) -> Done {
    page(call, StatusCode::OK, None, None)
}

pub(in super::super) fn act(call: &Call) -> Done {
    match try_to_act(call) {
        Err(trouble) if trouble.status != StatusCode::NOT_FOUND => {
            let preview = preview(call).ok();
            page(call, trouble.status, Some(trouble), preview)
        }
        done => done,
    }
}

fn try_to_act(call: &Call) -> Done {
    let form = &call.form;
    let act = form.text("act");
    if act == "preview" {
        let preview = preview(call)?;
        return page(call, StatusCode::OK, None, Some(preview));
    }
    if form.text("sure") != "yes" {
        return Err(Trouble::bad(call.language.words().say_sure));
    }
    let session = call.session()?;
    let mut release = asked(call)?;
    release.stamp = Some(form.text("stamp").to_owned());
    release.despite_leaks = form.text("despite") == "yes";
    if session.role.is_countersigned() {
        let (by, reason) = (session.name.clone(), form.text("reason").to_owned());
        call.note_record(&release.record, "release prepared")?;
        call.state.service.prepare_release(session.viewer(), release, by, reason)?;
        return Ok(html::redirect(&format!("/record/{}?done=prepared", call.place("record"))));
    }
    let released: Released = call.ask(Request::RecordRelease(release))?;
    Ok(html::redirect(&format!("/record/{}?done=released", released.released)))
}

/// What the form asks for.
fn asked(call: &Call) -> Result<RecordRelease, Trouble> {
    let form = &call.form;
    let record = shown(call, call.place("record"))?;
    let fields: Vec<String> = form.all("field").map(str::to_owned).collect();
    if fields.is_empty() {
        return Err(Trouble::bad(call.language.words().pick_fields));
    }
    let room = form.text("room");
    let rel: Vec<String> = form.all("rel").map(str::to_owned).collect();
    if room.is_empty() == rel.is_empty() {
        return Err(Trouble::bad(call.language.words().pick_audience));
    }
    let badge = Badge::of(&record.label);
    let colour = form.text("tlp");
    let chosen = format!("TLP:{colour}");
    let label = (!colour.is_empty() && chosen != badge.text)
        .then(|| format!("{chosen} {}", badge.rest).trim().to_owned());
    let text = |name| Some(form.text(name)).filter(|text| !text.is_empty());
    Ok(RecordRelease {
        record: record.record,
        compartment: (!room.is_empty()).then(|| room.to_owned()),
        rel,
        fields,
        label,
        coarse_km: text("square").and_then(|km| km.parse().ok()),
        coarse_time: text("step").map(str::to_owned),
        ..RecordRelease::default()
    })
}

fn preview(call: &Call) -> Result<Preview, Trouble> {
    let would_be: Released =
        call.ask(Request::RecordRelease(RecordRelease { dry_run: true, ..asked(call)? }))?;
    Ok(previewed(call.language.words(), would_be))
}

fn previewed(w: &'static Words, would_be: Released) -> Preview {
    let changes = would_be.changes.into_iter().map(|change| Change {
        label: label(&change.field),
        before: told(&change.before),
        coarser: change.after.as_ref().is_some_and(|after| *after != change.before),
        after: change.after.as_ref().map(told),
    });
    let leaks = would_be.leaks.into_iter().map(|leak| Found {
        what: w.leak(&leak.kind),
        label: label(&leak.field),
        found: leak.found,
    });
    let receivers = would_be.receivers.iter().map(|receiver| Receiver {
        device: device(&receiver.device),
        agency: agency(&receiver.device.agency),
        because: receiver
            .because
            .iter()
            .map(|by| {
                format!("{} · {} · {}", by.what, agency(&by.issuer.agency), short(&by.statement))
            })
            .collect(),
    });
    Preview {
        stamp: would_be.stamp,
        badge: Badge::of(&would_be.label),
        room: would_be.compartment_name,
        changes: changes.collect(),
        leaks: leaks.collect(),
        receivers: receivers.collect(),
    }
}

/// A value in one line, lists item by item.
fn told(value: &Value) -> String {
    match value {
        Value::Array(values) => values.iter().map(text_of).collect::<Vec<_>>().join(" · "),
        value => text_of(value),
    }
}

fn page(
    call: &Call,
    status: StatusCode,
    problem: Option<Trouble>,
    preview: Option<Preview>,
) -> Done {
    let record = shown(call, call.place("record"))?;
    let session = call.session()?;
    let (form, sent) = (&call.form, call.method == "POST");
    let badge = Badge::of(&record.label);
    let f = Frame::new(call, call.language.words().release).labelled(&badge.text);
    let picked = |list: &str, name: &str| form.all(list).any(|picked| picked == name);
    let told_of = |name: &str| !edge::is_reserved(name) && name != FILES;
    let own = record.fields.iter().filter(|(name, _)| told_of(name));
    let fields = own.map(|(name, value)| FieldChoice {
        label: label(name),
        value: told(value),
        // Nothing goes that nobody picked.
        chosen: sent && picked("field", name),
        name: name.clone(),
    });
    let coalition: reply::Coalition = call.ask_peer(Request::CoalitionShow(Empty {}))?;
    // Who has it already is not offered.
    let all: reply::Compartments = call.ask_peer(Request::CompartmentList(Empty {}))?;
    let held = all.compartments.iter().find(|room| room.compartment == record.compartment);
    let have: BTreeSet<u16> =
        held.iter().flat_map(|room| &room.agencies).filter_map(|one| one.no).collect();
    let others = coalition.agencies.iter().filter(|one| !one.standing.has_ended());
    let agencies = others.filter(|one| !have.contains(&one.no)).map(|one| {
        let name = one.no.to_string();
        let chosen = picked("rel", &name);
        FieldChoice { label: one.name.clone(), value: one.country.clone(), chosen, name }
    });
    let colour = badge.text.trim_start_matches("TLP:").to_owned();
    let chosen_colour = if sent { form.text("tlp") } else { &colour };
    let mut squares = vec![Choice::new("", f.w.as_is, form.text("square"))];
    squares.extend(
        SQUARES_KM
            .iter()
            .map(|km| Choice::new(&km.to_string(), &format!("{km} km"), form.text("square"))),
    );
    let mut times = vec![Choice::new("", f.w.as_is, form.text("step"))];
    times.extend(
        CoarseTime::ALL
            .iter()
            .map(|step| Choice::new(step.name(), f.w.step_of_time(*step), form.text("step"))),
    );
    let told = |room: &&reply::Compartment| {
        room.agencies.iter().any(|one| one.no.is_none_or(|no| !have.contains(&no)))
    };
    let chosen_room = form.text("room");
    let rooms = all.compartments.iter().filter(told);
    let rooms = rooms.map(|room| Choice::new(&room.compartment, &room.name, chosen_room)).collect();
    let page = ReleasePage {
        fields: fields.collect(),
        agencies: agencies.collect(),
        rooms,
        colours: colours(session.label_max, chosen_colour),
        squares,
        times,
        reason: form.text("reason").to_owned(),
        problem,
        preview,
        countersigned: session.role.is_countersigned(),
        title: if record.title.is_empty() { f.w.untitled.into() } else { record.title },
        id: record.record,
        badge,
        f,
    };
    Ok(html::page(status, &page))
}

#[derive(Template)]
#[template(path = "releases.html")]
struct ReleasesPage {
    f: Frame,
    waiting: Vec<Waiting>,
}

/// A release that waits for a second signature.
struct Waiting {
    id: String,
    record: String,
    by: String,
    at: Moment,
    reason: String,
    own: bool,
    preview: Option<Preview>,
    problem: String,
}

pub(in super::super) fn list(call: &Call) -> Done {
    let session = call.session()?;
    let waiting = call.state.service.prepared_for(session.viewer())?;
    let records = waiting.iter().map(|(prepared, _)| prepared.release.record.clone()).collect();
    call.note(Event::Consultation, records, "prepared releases", Outcome::Asked)?;
    let f = Frame::new(call, call.language.words().releases);
    let waiting = waiting.into_iter().map(|(prepared, would_be)| {
        let Prepared { id, release, by, at_ms, reason } = prepared;
        let (preview, problem) = match would_be {
            Ok(would_be) => (Some(previewed(f.w, would_be)), String::new()),
            Err(failure) => (None, failure.what),
        };
        let own = by == session.name;
        Waiting {
            id,
            record: release.record,
            at: f.moment_ms(at_ms),
            by,
            reason,
            own,
            preview,
            problem,
        }
    });
    let waiting = waiting.collect();
    Ok(html::page(StatusCode::OK, &ReleasesPage { f, waiting }))
}

pub(in super::super) fn decide(call: &Call) -> Done {
    let form = &call.form;
    let signs = match form.text("act") {
        "sign" => true,
        "refuse" => false,
        _ => return Err(Trouble::new(StatusCode::BAD_REQUEST)),
    };
    if form.text("sure") != "yes" {
        return Err(Trouble::bad(call.language.words().say_sure));
    }
    let session = call.session()?;
    let id = form.text("release").to_owned();
    let (viewer, signer) = (session.viewer(), session.name.clone());
    let record = call.state.service.prepared_record(viewer, id.clone())?;
    let what = if signs { "sign the release" } else { "refuse the release" };
    let note =
        |records, detail: &str, outcome| call.note(Event::Disclosure, records, detail, outcome);
    note(vec![record.clone()], &format!("{what} {id}"), Outcome::Asked)?;
    let released = match call.state.service.decide_release(viewer, id.clone(), signer, signs) {
        Ok(released) => released,
        Err(failure) => {
            note(vec![record], &format!("{what} {id}"), Outcome::Refused)?;
            return Err(failure.into());
        }
    };
    let mut records = vec![record];
    records.extend(released.as_ref().map(|released| released.released.clone()));
    note(records, &format!("{what} {id}"), Outcome::Done)?;
    Ok(html::redirect(match released {
        Some(_) => "/releases?done=released",
        None => "/releases?done=refused",
    }))
}

impl Words {
    fn leak(&self, kind: &str) -> &'static str {
        match kind {
            "withheld" => self.leak_withheld,
            "identifier" => self.leak_identifier,
            "exact-place" => self.leak_place,
            "series" => self.leak_series,
            "reference" => self.leak_reference,
            _ => "?",
        }
    }

    const fn step_of_time(&self, step: CoarseTime) -> &'static str {
        match step {
            CoarseTime::Hour => self.to_hour,
            CoarseTime::Day => self.to_day,
            CoarseTime::Month => self.to_month,
        }
    }
}
