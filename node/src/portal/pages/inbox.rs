//! The quarantine inbox: what does not count, what it would change if it did, and the word that lets it.

use askama::Template;
use axum::http::StatusCode;

use super::super::call::{Call, Done};
use super::super::frame::{Badge, Frame, Moment, label};
use super::super::html::{self, Trouble};
use super::record::text_of;
use super::records::{agency, device};
use crate::audit::{Event, Outcome};
use crate::control::trust::{Named, Quarantined};

#[derive(Template)]
#[template(path = "inbox.html")]
struct InboxPage {
    f: Frame,
    entries: Vec<Entry>,
    more: bool,
}

struct Entry {
    entry: String,
    device: String,
    agency: String,
    room: String,
    class: &'static str,
    what: String,
    title: String,
    kind: String,
    at: Option<Moment>,
    why: String,
    adopts: bool,
    proposes: bool,
}

pub(in super::super) fn list(call: &Call) -> Done {
    let found = call.state.service.quarantine_for(call.session()?.viewer())?;
    let records = found.entries.iter().filter_map(|one| one.record.clone()).take(NOTED_MAX);
    call.note(Event::Consultation, records.collect(), "inbox", Outcome::Asked)?;
    let f = Frame::new(call, call.language.words().inbox);
    let entries = found.entries.into_iter().map(|one| entry(&f, one)).collect();
    Ok(html::page(StatusCode::OK, &InboxPage { f, entries, more: found.more }))
}

/// Most records of a list that are named in the audit log.
const NOTED_MAX: usize = 300;

fn entry(f: &Frame, one: Quarantined) -> Entry {
    Entry {
        device: device(&one.device),
        agency: agency(&one.device.agency),
        class: f.w.class(&one.class),
        kind: one.kind.as_deref().map(|kind| f.w.kind(kind).to_owned()).unwrap_or_default(),
        title: one.title.unwrap_or_default(),
        at: one.at.as_ref().map(|at| f.moment(at)),
        adopts: one.adopt.as_deref() == Some("grant adopt"),
        proposes: one.adopt.as_deref().is_some_and(|adopt| adopt != "grant adopt"),
        room: one.compartment,
        what: one.what,
        why: one.why,
        entry: one.entry,
    }
}

#[derive(Template)]
#[template(path = "quarantined.html")]
struct QuarantinedPage {
    f: Frame,
    one: Entry,
    would_be: String,
    beside_others: bool,
    hidden: bool,
    badge: Option<Badge>,
    changes: Vec<Change>,
}

struct Change {
    label: String,
    now: String,
    then: String,
    by_it: bool,
}

pub(in super::super) fn show(call: &Call) -> Done {
    let session = call.session()?;
    let found = call.state.service.quarantined_for(session.viewer(), call.place("entry").into())?;
    let records = found.entry.record.iter().cloned().collect();
    call.note(Event::Consultation, records, "quarantined", Outcome::Asked)?;
    let f = Frame::new(call, call.language.words().inbox);
    let value = |value: Option<&serde_json::Value>| value.map(text_of).unwrap_or_default();
    let badge = (!found.label.is_empty()).then(|| Badge::of(&found.label));
    let page = QuarantinedPage {
        would_be: found.would_be,
        beside_others: found.beside_others,
        hidden: found.hidden,
        changes: found
            .changes
            .iter()
            .map(|one| Change {
                label: label(&one.field),
                now: value(one.now.as_ref()),
                then: match one.concurrent.as_slice() {
                    [] => value(one.then.as_ref()),
                    several => several.iter().map(text_of).collect::<Vec<_>>().join(" · "),
                },
                by_it: one.by_it,
            })
            .collect(),
        one: entry(&f, found.entry),
        badge,
        f,
    };
    Ok(html::page(StatusCode::OK, &page))
}

pub(in super::super) fn adopt(call: &Call) -> Done {
    if call.form.text("sure") != "yes" {
        return Err(Trouble::bad(call.language.words().say_sure));
    }
    let id = call.place("entry").to_owned();
    call.note(Event::Administration, Vec::new(), &format!("adopt {id}"), Outcome::Asked)?;
    call.state.service.adopt_for(call.session()?.viewer(), Named { id })?;
    Ok(html::redirect("/inbox?done=adopted"))
}
