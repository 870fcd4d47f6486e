//! A server of TAXII 2.1 (OASIS, "TAXII Version 2.1", 2021): one API root, and in it a collection for each
//! compartment that the pass lets its holder read or write.
//!
//! A collection holds the present state of each record, and no earlier one: `match[version]` chooses among
//! what several agencies have under one id. What is recalled, restricted or erased is not in it. A record
//! is added anew when it changes, which makes it the collection's last.

mod filter;
pub(super) mod page;
pub(super) mod post;
pub(super) mod status;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::call::Call;
use super::media;
use super::problem::Problem;
use super::rooms::{collection_id, room, rooms};
use super::server::BODY_BYTES_MAX;
use crate::service::edge::Room;

/// `GET /taxii2/` (section 4.1).
pub(super) fn discovery(call: &Call<'_>) -> Result<Response, Problem> {
    let name = call.edge().coalition_name()?;
    answer(
        call,
        &json!({
            "title": "Tearline",
            "description": format!("Records of {name} that this pass may see"),
            "default": API_ROOT,
            "api_roots": [API_ROOT],
        }),
    )
}

/// `GET /taxii2/mesh/` (section 4.2).
pub(super) fn api_root(call: &Call<'_>) -> Result<Response, Problem> {
    answer(
        call,
        &json!({
            "title": "Tearline",
            "versions": [media::TAXII],
            "max_content_length": BODY_BYTES_MAX,
        }),
    )
}

/// `GET .../collections/` (section 5.1).
pub(super) fn collections(call: &Call<'_>) -> Result<Response, Problem> {
    let rooms = rooms(call)?;
    let collections: Vec<Value> = rooms.iter().map(shape).collect();
    // A list without items is left out (section 1.6.5).
    let whole = if rooms.is_empty() { json!({}) } else { json!({ "collections": collections }) };
    answer(call, &whole)
}

/// `GET .../collections/{collection}/` (section 5.2).
pub(super) fn collection(call: &Call<'_>) -> Result<Response, Problem> {
    let room = room(call)?;
    answer(call, &shape(&room))
}

fn shape(room: &Room) -> Value {
    json!({
        "id": collection_id(room),
        "title": room.name,
        "can_read": room.readable,
        "can_write": room.writable,
        "media_types": [media::STIX],
    })
}

/// An answer in TAXII's media type, if that is taken.
fn answer(call: &Call<'_>, whole: &Value) -> Result<Response, Problem> {
    answer_with(call, StatusCode::OK, whole)
}

fn answer_with(call: &Call<'_>, status: StatusCode, whole: &Value) -> Result<Response, Problem> {
    check_accept(call)?;
    Ok(media::reply(status, media::TAXII, whole.to_string()))
}

/// Fails where an answer of TAXII 2.1 is not taken: before anything is done.
fn check_accept(call: &Call<'_>) -> Result<(), Problem> {
    if media::takes_taxii(&call.headers) {
        return Ok(());
    }
    let detail = format!("answers here are {}; accept that", media::TAXII);
    Err(Problem::new(StatusCode::NOT_ACCEPTABLE, detail))
}

const API_ROOT: &str = "/taxii2/mesh/";
