//! Records as they are here, for programs of an agency's own: found, followed, and brought in.
//!
//! `GET /api/records` is search and feed in one: what matches `q`, in the order in which its present state
//! came here, from a cursor on. Whoever keeps the last cursor and asks again gets what is new and what
//! changed, each once.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tearline_crdt::id::RecordId;
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::label::Label;
use tearline_crdt::record::shelf::Detail;

use super::call::Call;
use super::media;
use super::place::List;
use super::problem::Problem;
use super::rooms::{collection_id, room, rooms};
use super::time;
use crate::exchange::{Draft, faults, stix};
use crate::index::{Query, Row};
use crate::pass::Operation;
use crate::service::edge::{Edge, Guest, Room, Walk, properties};

/// `GET /api/compartments`
pub(super) fn compartments(call: &Call<'_>) -> Result<Response, Problem> {
    let shape = |room: &Room| {
        json!({
            "id": collection_id(room), "name": room.name,
            "can_read": room.readable, "can_write": room.writable,
        })
    };
    let all: Vec<Value> = rooms(call)?.iter().map(shape).collect();
    Ok(answer(&json!({ "compartments": all })))
}

/// `GET /api/records`
pub(super) fn list(call: &Call<'_>) -> Result<Response, Problem> {
    call.query.only(&["q", "since", "limit"])?;
    let q = call.query.one("q")?.unwrap_or_default();
    let limit = call.query.limit(PAGE_DEFAULT, PAGE_MAX)?;
    let found = find(call.edge(), &call.guest, q, call.query.one("since")?, limit)?;
    let records: Vec<Value> = found.records.into_iter().map(|(_, record)| record).collect();
    Ok(answer(&json!({ "records": records, "more": found.more, "cursor": found.cursor })))
}

/// Records that were found.
pub(super) struct Found {
    /// The records, each with the cursor after it.
    pub(super) records: Vec<(String, Value)>,
    /// Whether there are more.
    pub(super) more: bool,
    /// The cursor after the last of them.
    pub(super) cursor: String,
    /// The cursor before the first of all.
    pub(super) begins: String,
}

/// What matches, after a cursor.
pub(super) fn find(
    edge: &Edge,
    guest: &Guest,
    q: &str,
    since: Option<&str>,
    limit: usize,
) -> Result<Found, Problem> {
    let query = Query::parse(q).map_err(|error| Problem::bad(error.to_string()))?;
    let list = List::of(&format!("records\n{q}"));
    let after_us = since.map_or(Some(0), |text| list.stamp(text)).ok_or_else(|| {
        Problem::bad("since is no cursor of this list: it goes with the q that it came with")
    })?;
    let walk = Walk {
        query,
        records: None,
        after_us,
        limit,
        recalled: true,
        located: false,
        as_stix: false,
    };
    let walked = edge
        .walk(&guest.to(Operation::Search), &walk, &mut |row, detail| Some(shape(&row, detail)))?;
    let last_us = walked.kept.last().map_or(after_us, |(stamp_us, _)| *stamp_us);
    Ok(Found {
        records: walked.kept.into_iter().map(|(us, record)| (list.next(us), record)).collect(),
        more: walked.more,
        cursor: list.next(last_us),
        begins: list.next(0),
    })
}

/// `GET /api/records/{record}`
pub(super) fn show(call: &Call<'_>) -> Result<Response, Problem> {
    let record: RecordId = call.place("record").parse().map_err(|_| Problem::not_found())?;
    let seen = call.edge().record(&call.guest, Operation::Read, record)?;
    let (row, detail) = seen.ok_or_else(Problem::not_found)?;
    Ok(answer(&shape(&row, detail)))
}

/// What is brought in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Brought {
    records: Vec<One>,
}

/// A record that is brought in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    id: String,
    kind: String,
    #[serde(default)]
    label: Option<String>,
    fields: Map<String, Value>,
}

/// Whether `POST /api/compartments/{collection}/records` may be asked.
pub(super) fn may_add(call: &Call<'_>) -> Result<(), Problem> {
    target(call).map(|_| ())
}

/// The compartment that records are brought into.
fn target(call: &Call<'_>) -> Result<Room, Problem> {
    if !media::is_json(&call.headers) {
        let detail = format!("send {}, and say so", media::JSON);
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let room = room(call)?;
    if !room.writable {
        let detail = "the pass does not allow to bring records into it";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    Ok(room)
}

/// `POST /api/compartments/{collection}/records`: what is answered is durable. Each record has an `id` of its
/// sender's, by which the same sent again changes nothing, and another state of it changes its record.
pub(super) fn add(call: &Call<'_>) -> Result<Response, Problem> {
    let room = target(call)?;
    let brought: Brought = serde_json::from_slice(&call.body)
        .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
    let count = brought.records.len();
    if count > RECORDS_MAX {
        let detail = format!("more than {RECORDS_MAX} records; send them in parts");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    let mut refused: Vec<(usize, String)> = Vec::new();
    let mut drafts = Vec::new();
    for (n, one) in brought.records.into_iter().enumerate() {
        match one.draft(n) {
            Ok(draft) => drafts.push(draft),
            Err(reason) => refused.push((n, reason)),
        }
    }
    for problem in call.edge().take(&call.guest, room.id, drafts)? {
        refused.push((problem.place.parse().unwrap_or_default(), problem.reason));
    }
    refused.sort();
    let taken = count.saturating_sub(refused.len());
    let refused: Vec<Value> =
        refused.into_iter().map(|(n, reason)| json!({ "record": n, "reason": reason })).collect();
    Ok(answer(&json!({ "taken": taken, "refused": refused })))
}

impl One {
    /// The record has the id by which its sender knows it, as a STIX object has.
    fn draft(self, n: usize) -> Result<Draft, String> {
        let Self { id, kind, label, mut fields } = self;
        let kind: Kind = kind.parse().map_err(|_| format!("{kind:?} is no kind of record"))?;
        if kind == Kind::Object {
            return Err("objects of other types come in by TAXII".into());
        }
        if !stix::is_uuid(&id) {
            return Err("id is to be a UUID of your own for it, drawn at random".into());
        }
        let stix_id = format!("{}--{}", stix::native_type(kind), id.to_ascii_lowercase());
        if fields.insert("id".into(), stix_id.into()).is_some() {
            return Err("fields.id is made of the record's id; leave it out".into());
        }
        if let Some(label) = &label {
            label.parse::<Label>().map_err(|error| format!("label: {error}"))?;
        }
        let faults = faults(kind, &fields);
        if let Some(fault) = faults.first() {
            return Err(format!("{}: {}", fault.path, fault.reason));
        }
        Ok(Draft { kind, fields, marking: label, place: n.to_string(), partial: false })
    }
}

/// A record as it is here.
fn shape(row: &Row, detail: Detail) -> Value {
    let conflicts: Vec<&String> = detail.conflicts.keys().collect();
    let mut whole = json!({
        "record": row.record.to_string(),
        "kind": row.kind_name(),
        "title": row.title,
        "label": row.label,
        "class": row.class.name(),
        "agency": row.origin.0,
        "created": detail.created.to_string(),
        "changed_here": time::text(row.stamp_us),
        "recalled": row.recalled,
        "conflicts": conflicts,
    });
    if let Some(members) = whole.as_object_mut() {
        members.insert("fields".into(), properties(detail).into());
    }
    whole
}

fn answer(whole: &Value) -> Response {
    media::reply(StatusCode::OK, media::JSON, whole.to_string())
}

/// Records of a page, if the request does not say, and at most.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1_000;
/// Most records of one request.
const RECORDS_MAX: usize = 20_000;
