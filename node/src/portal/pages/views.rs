//! Records in space and time: a map and a timeline, drawn here, each beside the list of what it shows.

use askama::Template;
use axum::http::StatusCode;

use super::super::call::{Call, Done};
use super::super::drawing::{self, Event as Mark, Ground, Spot};
use super::super::frame::Frame;
use super::super::html;
use super::records::{Line, line, query};
use crate::audit::{Event, Outcome};
use crate::index::Query;

/// Most records of a map or a timeline.
const ROWS_MAX: usize = 300;
/// What narrows a view.
const FILTERS: [&str; 6] = ["q", "kind", "tlp", "class", "from", "until"];

#[derive(Template)]
#[template(path = "view.html")]
struct View<'a> {
    f: Frame,
    /// "/map" or "/timeline".
    path: &'static str,
    q: &'a str,
    drawing: String,
    caption: &'static str,
    rows: Vec<Line>,
    places: Vec<String>,
    full: bool,
    list: String,
}

pub(in super::super) fn map(call: &Call) -> Done {
    let mut asked = query(call, ROWS_MAX)?;
    // On a device that is out with a field pack the map begins with its area.
    let area = if FILTERS.into_iter().any(|name| call.query.has(name)) {
        None
    } else {
        call.state.service.area_now()?
    };
    asked.areas.extend(area);
    asked.placed = true;
    let found = call.state.service.find_for(call.session()?.viewer(), asked)?;
    let full = found.next.is_some();
    let q = area.map_or_else(|| call.query.text("q").to_owned(), |area| area.term());
    let f = Frame::new(call, call.language.words().map);
    let spots: Vec<Spot> = found
        .rows
        .iter()
        .filter_map(|seen| {
            Some(Spot {
                place: seen.place?,
                href: format!("/record/{}", seen.row.record),
                title: seen.row.title.clone(),
                class: seen.row.class.clone(),
            })
        })
        .collect();
    let places = spots.iter().map(|spot| super::super::geo::show(spot.place)).collect();
    let closer = match call.query.with("q", "") {
        others if others.is_empty() => String::new(),
        others => format!("{others}&"),
    };
    let typed: String = form_urlencoded::byte_serialize(call.query.text("q").as_bytes()).collect();
    let typed = if typed.is_empty() { typed } else { format!("{typed}+") };
    let ground = Ground {
        area,
        closer: &format!("/map?{closer}q={typed}"),
        count: Some(&|n| f.w.shown_items.of(f.language, n as u64)),
    };
    let drawing = drawing::map(&spots, &ground);
    finish(call, f, ("/map", &q), found, drawing, places, full)
}

pub(in super::super) fn timeline(call: &Call) -> Done {
    let asked = Query { timed: true, ..query(call, ROWS_MAX)? };
    let mut found = call.state.service.find_for(call.session()?.viewer(), asked)?;
    let full = found.next.is_some();
    found.rows.sort_by_key(|seen| std::cmp::Reverse(seen.event_ms));
    let f = Frame::new(call, call.language.words().timeline);
    let marks: Vec<Mark> = found
        .rows
        .iter()
        .filter_map(|seen| {
            Some(Mark {
                at_ms: seen.event_ms?,
                href: format!("/record/{}", seen.row.record),
                title: seen.row.title.clone(),
                class: seen.row.class.clone(),
            })
        })
        .collect();
    let drawing = drawing::timeline(&marks);
    finish(call, f, ("/timeline", call.query.text("q")), found, drawing, Vec::new(), full)
}

fn finish(
    call: &Call,
    f: Frame,
    (path, q): (&'static str, &str),
    found: crate::service::desk::SeenPage,
    drawing: String,
    places: Vec<String>,
    full: bool,
) -> Done {
    let records = found.rows.iter().map(|seen| seen.row.record.clone()).collect();
    call.note(Event::Consultation, records, "", Outcome::Asked)?;
    let now_ms = call.now_ms();
    let caption = if path == "/map" { f.w.map_caption } else { f.w.timeline_caption };
    let page = View {
        path,
        q,
        drawing,
        caption,
        places,
        rows: found.rows.into_iter().map(|seen| line(&f, seen, now_ms)).collect(),
        full,
        list: call.query.with("after", ""),
        f,
    };
    Ok(html::page(StatusCode::OK, &page))
}
