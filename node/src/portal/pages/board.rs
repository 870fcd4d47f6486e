//! The watch board: what is new and changed since the last shift, the most urgent first.

use askama::Template;
use axum::http::StatusCode;
use tearline_crdt::id::Class;

use super::super::call::{Call, Done};
use super::super::frame::{Choice, Frame, Moment};
use super::super::html::{self, Trouble};
use super::super::mark::{Mark, REASON_BYTES_MAX};
use super::records::{Line, line};
use crate::audit::{Event, Outcome};
use crate::index::Query;
use crate::operators::Right;
use crate::service::desk::Seen;
use crate::service::kept::Handover;

/// Most rows of the board, and most urgent ones beside the newest.
const ROWS_MAX: usize = 200;
const URGENT_MAX: usize = 100;

#[derive(Template)]
#[template(path = "board.html")]
struct Board {
    f: Frame,
    groups: Vec<Group>,
    open: usize,
    closed: usize,
    all: bool,
    full: bool,
    /// When the last shift ended, if one has.
    since: Option<Moment>,
    marks: bool,
    people: Vec<Choice>,
    handovers: Vec<Note>,
}

/// What a shift left to the next.
struct Note {
    by: String,
    at: Moment,
    text: String,
}

/// Most notes of earlier shifts.
const NOTES_SHOWN: usize = 3;

struct Group {
    class: &'static str,
    text: &'static str,
    rows: Vec<BoardRow>,
}

struct BoardRow {
    line: Line,
    is_new: bool,
    open: bool,
    snoozed: bool,
    mark: Mark,
    stamp_us: u64,
}

/// Where an operator begins.
pub(in super::super) fn home(call: &Call) -> Done {
    let place = if call.may(Right::Consult) {
        "/board"
    } else if call.may(Right::Audit) {
        "/audit"
    } else {
        "/operators"
    };
    let done = call.query.text("done");
    let known = if done == "purpose" { "?done=purpose" } else { "" };
    Ok(html::redirect(&format!("{place}{known}")))
}

pub(in super::super) fn show(call: &Call) -> Done {
    let session = call.session()?;
    let (viewer, shift_us) = (session.viewer(), session.settings.shift_us);
    let all = call.query.text("show") == "all";
    let service = &call.state.service;
    let newest = Query { limit: ROWS_MAX, ..Query::default() };
    let urgent = Query {
        limit: URGENT_MAX,
        classes: [Class::Flash as u8, Class::Immediate as u8].into(),
        ..Query::default()
    };
    let found = service.find_for(viewer, newest)?;
    let full =
        found.next.is_some() && found.rows.last().is_some_and(|last| last.stamp_us > shift_us);
    let mut rows: Vec<Seen> = found.rows;
    for seen in service.find_for(viewer, urgent)?.rows {
        if !rows.iter().any(|known| known.row.record == seen.row.record) {
            rows.push(seen);
        }
    }
    let now_ms = call.now_ms();
    let f = Frame::new(call, call.language.words().board);
    let mut rows: Vec<BoardRow> = rows
        .into_iter()
        .map(|seen| {
            let mark = Mark::decode(seen.mark.as_deref());
            BoardRow {
                open: mark.is_open(seen.stamp_us, now_ms),
                snoozed: mark.snoozed_until_ms > now_ms,
                is_new: tearline_crdt::time::WallTime::parse(&seen.row.received)
                    .is_some_and(|time| time.0.saturating_mul(1_000) > shift_us),
                stamp_us: seen.stamp_us,
                mark,
                line: line(&f, seen, now_ms),
            }
        })
        // What somebody put off or took over stays in sight after the shift ends, until it is done.
        .filter(|row| row.stamp_us > shift_us || !row.mark.assigned_to.is_empty() && row.open)
        .collect();
    let open = rows.iter().filter(|row| row.open).count();
    let closed = rows.len() - open;
    rows.retain(|row| all || row.open);
    let records = rows.iter().map(|row| row.line.record.clone()).collect();
    call.note(Event::Consultation, records, "", Outcome::Asked)?;
    let mut groups = Vec::new();
    for class in Class::ALL {
        let (mine, rest): (Vec<BoardRow>, Vec<BoardRow>) =
            rows.into_iter().partition(|row| row.line.class == class.name());
        rows = rest;
        if !mine.is_empty() {
            groups.push(Group { class: class.name(), text: f.w.class(class.name()), rows: mine });
        }
    }
    // Those whose class is none of these are shown all the same.
    if !rows.is_empty() {
        groups.push(Group { class: "routine", text: f.w.class("routine"), rows });
    }
    let people = call.state.books.operators.list(now_ms).into_iter();
    let people = people
        .filter(|one| {
            one.role.parse().is_ok_and(|role: crate::operators::Role| role.may(Right::Mark))
        })
        .map(|one| Choice::new(&one.name, &one.name, &session.name))
        .collect();
    let since = (shift_us > 0).then(|| f.moment_ms(shift_us / 1_000));
    let marks = call.may(Right::Mark);
    let handovers = service.handovers_for(viewer, NOTES_SHOWN)?.into_iter();
    let handovers =
        handovers.map(|note| Note { at: f.moment_ms(note.at_ms), by: note.by, text: note.text });
    let handovers = handovers.collect();
    let page = Board { f, groups, open, closed, all, full, since, marks, people, handovers };
    Ok(html::page(StatusCode::OK, &page))
}

pub(in super::super) fn mark(call: &Call) -> Done {
    let session = call.session()?;
    let form = &call.form;
    let record = form.text("record");
    let stamp_us: u64 = form.text("stamp").parse().unwrap_or_default();
    let mut mark = Mark::decode(call.state.service.mark_of(session.viewer(), record)?.as_deref());
    let reason = form.text("reason");
    let done = match form.text("act") {
        "acknowledge" => {
            mark.acknowledged_by.clone_from(&session.name);
            mark.acknowledged_us = stamp_us;
            "acknowledged"
        }
        "reopen" => {
            mark = Mark { assigned_to: mark.assigned_to, ..Mark::default() };
            "reopened"
        }
        "assign" => {
            let to = form.text("to");
            let people = call.state.books.operators.list(call.now_ms());
            if !to.is_empty() && !people.iter().any(|one| one.name == to) {
                return Err(Trouble::new(StatusCode::BAD_REQUEST));
            }
            mark.assigned_to = to.to_owned();
            "assigned"
        }
        "snooze" => {
            let minutes: u64 = form.text("minutes").parse().unwrap_or_default();
            let sound = (1..=SNOOZE_MINUTES_MAX).contains(&minutes)
                && (1..=REASON_BYTES_MAX).contains(&reason.len());
            if !sound {
                let detail = call.language.words().reason_needed.to_owned();
                let status = StatusCode::BAD_REQUEST;
                return Err(Trouble { detail, ..Trouble::new(status) });
            }
            mark.snoozed_until_ms = call.now_ms() + minutes * 60_000;
            mark.snoozed_by.clone_from(&session.name);
            mark.reason = reason.to_owned();
            "snoozed"
        }
        _ => return Err(Trouble::new(StatusCode::BAD_REQUEST)),
    };
    call.note(Event::Change, vec![record.to_owned()], done, Outcome::Asked)?;
    call.state.service.mark_for(session.viewer(), record.to_owned(), mark.encode())?;
    Ok(html::redirect(&format!("/board?done={done}")))
}

/// Longest that something is put off: three days.
const SNOOZE_MINUTES_MAX: u64 = 3 * 24 * 60;

/// Ends the operator's shift: what is here now is not new any more.
pub(in super::super) fn shift(call: &Call) -> Done {
    let mut settings = call.session()?.settings.clone();
    settings.shift_us = call.state.service.latest_us()?;
    call.note(Event::Login, Vec::new(), "shift ended", Outcome::Done)?;
    let text = call.form.text("handover");
    if !text.is_empty() {
        let session = call.session()?;
        call.state.service.hand_over(&Handover {
            by: session.name.clone(),
            at_ms: call.now_ms(),
            text: text.to_owned(),
            label_max: session.label_max,
        })?;
    }
    call.keep_settings(&settings)?;
    Ok(html::redirect("/board?done=shift"))
}
