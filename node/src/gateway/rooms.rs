//! Collections: the compartments that a pass lets its holder take records out of, or bring them into.

use axum::http::StatusCode;

use super::call::Call;
use super::problem::Problem;
use crate::exchange::stix;
use crate::pass::Operation;
use crate::service::edge::Room;

pub(super) fn rooms(call: &Call<'_>) -> Result<Vec<Room>, Problem> {
    Ok(call.edge().rooms(&call.guest, Operation::Export, Operation::Import)?)
}

/// The compartment that a path names.
pub(super) fn room(call: &Call<'_>) -> Result<Room, Problem> {
    let named = call.place("collection");
    let found = rooms(call)?.into_iter().find(|room| collection_id(room) == named);
    found.ok_or_else(Problem::not_found)
}

/// A compartment that may be read.
pub(super) fn readable_room(call: &Call<'_>) -> Result<Room, Problem> {
    let room = room(call)?;
    if room.readable {
        return Ok(room);
    }
    Err(Problem::new(StatusCode::FORBIDDEN, "the pass does not allow to take records out of it"))
}

/// A UUID, as TAXII 2.1 wants it (section 5.2.1): the beginning of the compartment's random id.
pub(super) fn collection_id(room: &Room) -> String {
    stix::uuid(std::array::from_fn(|n| room.id.0.get(n).copied().unwrap_or_default()))
}
