//! The mesh: how each peer is, why, and what is on its way.

use askama::Template;
use axum::http::StatusCode;

use super::super::call::{Call, Done};
use super::super::frame::{Frame, Moment};
use super::super::html;
use super::records::{agency, short};
use crate::control::reply::{self, PeerState, Status};
use crate::control::{Empty, Request};

#[derive(Template)]
#[template(path = "mesh.html")]
struct Mesh {
    f: Frame,
    status: Status,
    started: Moment,
    coalition: String,
    agency: String,
    peers: Vec<PeerRow>,
    rooms: Vec<RoomRow>,
    alarms: Vec<String>,
}

struct PeerRow {
    agency: String,
    device: String,
    state: &'static str,
    state_text: &'static str,
    relay: bool,
    by: String,
    cause: String,
    heard: Option<Moment>,
    ago: String,
    missing: String,
    lacks: String,
    again: String,
    flash: Option<Moment>,
    sent: String,
    received: String,
}

struct RoomRow {
    name: String,
    agencies: String,
    entries: u64,
    waiting: u64,
    digest: String,
}

pub(in super::super) fn show(call: &Call) -> Done {
    let status: Status = call.ask_peer(Request::Status(Empty {}))?;
    let f = Frame::new(call, call.language.words().mesh);
    let now_ms = call.now_ms();
    let coalition = status.coalition.as_ref();
    let page = Mesh {
        started: f.moment(&status.started),
        coalition: coalition.map(|coalition| coalition.name.clone()).unwrap_or_default(),
        agency: status.agency.as_ref().map(agency).unwrap_or_default(),
        peers: status.peers.iter().map(|peer| row(&f, peer, now_ms)).collect(),
        rooms: status.compartments.iter().map(room).collect(),
        alarms: alarms(&status),
        status,
        f,
    };
    Ok(html::page(StatusCode::OK, &page))
}

fn alarms(status: &Status) -> Vec<String> {
    let mut alarms = Vec::new();
    alarms.extend(status.ended.as_ref().map(ToString::to_string));
    alarms.extend(
        [&status.store_failure, &status.damage, &status.shortage].into_iter().flatten().cloned(),
    );
    alarms.extend(status.forks.iter().map(ToString::to_string));
    alarms
}

fn row(f: &Frame, peer: &reply::Peer, now_ms: u64) -> PeerRow {
    let w = f.w;
    let (state, state_text) = match peer.state {
        PeerState::Live => ("live", w.state_live),
        PeerState::CatchingUp => ("catching-up", w.state_catching_up),
        PeerState::Ended => ("blocked", w.state_ended),
        PeerState::Waiting => ("waiting", w.state_waiting),
        PeerState::Stale => ("stale", w.state_stale),
        PeerState::Blocked => ("blocked", w.state_blocked),
        PeerState::Paused => ("waiting", w.state_paused),
    };
    let count = |n: Option<u64>| n.map_or(w.unknown.to_owned(), |n| n.to_string());
    let heard_ms = peer
        .last_heard
        .as_ref()
        .and_then(|at| tearline_crdt::time::WallTime::parse(at).map(|time| time.0));
    PeerRow {
        agency: peer.agency.as_ref().map(agency).unwrap_or_default(),
        device: short(&peer.device),
        state,
        state_text,
        relay: peer.relay,
        by: peer.by.clone().unwrap_or_default(),
        cause: peer.reason.clone().unwrap_or_default(),
        heard: heard_ms.map(|ms| f.moment_ms(ms)),
        ago: heard_ms.map(|ms| f.ago(ms, now_ms)).unwrap_or_default(),
        missing: count(peer.missing),
        lacks: count(peer.lacks),
        again: peer
            .again_ms
            .map(|ms| f.w.seconds.of(f.language, ms.div_ceil(1_000)))
            .unwrap_or_default(),
        flash: peer.flash_since.as_ref().map(|since| f.moment(since)),
        sent: bytes(peer.sent_bytes),
        received: bytes(peer.received_bytes),
    }
}

fn room(room: &reply::Compartment) -> RoomRow {
    let agencies: Vec<String> = room.agencies.iter().map(agency).collect();
    RoomRow {
        name: room.name.clone(),
        agencies: agencies.join(", "),
        entries: room.entries,
        waiting: room.waiting,
        digest: short(&room.digest),
    }
}

/// Bytes for people.
pub(super) fn bytes(n: u64) -> String {
    match n {
        0..1_024 => format!("{n} B"),
        1_024..1_048_576 => format!("{} KiB", n / 1_024),
        1_048_576..1_073_741_824 => format!("{} MiB", n / 1_048_576),
        _ => format!("{} GiB", n / 1_073_741_824),
    }
}
