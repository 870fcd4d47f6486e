//! The audit log, for those who check it.

use askama::Template;
use axum::http::StatusCode;

use super::super::call::{Call, Done};
use super::super::frame::{Choice, Frame, Moment};
use super::super::html;
use super::records::short;
use crate::audit::{Entry, Event, Link, Outcome, Verified};

/// Entries of a page.
const ENTRIES: u32 = 100;

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage<'a> {
    f: Frame,
    events: Vec<Choice>,
    operator: &'a str,
    record: &'a str,
    entries: Vec<Line>,
    next: Option<String>,
    verified: Option<Verified>,
}

struct Line {
    seq: u64,
    at: Moment,
    event: &'static str,
    operator: String,
    role: String,
    purpose: String,
    act: String,
    records: String,
    outcome: &'static str,
    refused: bool,
}

pub(in super::super) fn show(call: &Call) -> Done {
    page(call, None)
}

pub(in super::super) fn verify(call: &Call) -> Done {
    let verified = call.state.books.audit.verify()?;
    call.note(Event::Administration, Vec::new(), &verified.head, Outcome::Done)?;
    page(call, Some(verified))
}

fn page(call: &Call, verified: Option<Verified>) -> Done {
    let form = &call.query;
    let (event, operator, record) =
        (form.text("event"), form.text("operator"), form.text("record"));
    let wanted = |entry: &Entry| {
        (event.is_empty() || entry.event.name() == event)
            && (operator.is_empty() || entry.operator == operator)
            && (record.is_empty() || entry.records.iter().any(|id| id == record))
    };
    // Who looks is seen, too.
    call.note(Event::Administration, Vec::new(), "audit log read", Outcome::Asked)?;
    let before = form.text("before").parse().ok();
    let (links, next) = call.state.books.audit.page(before, ENTRIES, &wanted)?;
    let f = Frame::new(call, call.language.words().audit);
    let events = Event::ALL.iter();
    let events = std::iter::once(Choice::new("", f.w.any, event))
        .chain(events.map(|known| Choice::new(known.name(), f.w.event(known.name()), event)))
        .collect();
    let entries = links.into_iter().map(|link| line(&f, link)).collect();
    let next = next.map(|next| form.with("before", &next.to_string()));
    let page = AuditPage { f, events, operator, record, entries, next, verified };
    Ok(html::page(StatusCode::OK, &page))
}

fn line(f: &Frame, link: Link) -> Line {
    let Entry {
        seq,
        at,
        event,
        operator,
        role,
        purpose,
        act,
        records,
        more_records,
        detail,
        outcome,
    } = link.entry;
    let more = records.len().saturating_sub(3) as u64 + more_records;
    let mut shown: Vec<String> = records.iter().take(3).map(|id| short(id)).collect();
    if more > 0 {
        shown.push(format!("+{more}"));
    }
    Line {
        seq,
        at: f.moment(&at),
        event: f.w.event(event.name()),
        operator,
        role: role.parse().map_or(role, |role| f.w.role(role).to_owned()),
        purpose,
        act: [act.as_str(), detail.as_str()].join(" ").trim_end().to_owned(),
        records: shown.join(" "),
        outcome: match outcome {
            Outcome::Asked => f.w.outcome_asked,
            Outcome::Done => f.w.outcome_done,
            Outcome::Refused => f.w.outcome_refused,
        },
        refused: outcome == Outcome::Refused,
    }
}
