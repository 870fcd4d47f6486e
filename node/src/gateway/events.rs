//! `GET /api/events`: records as they come and change, as server-sent events (HTML Living Standard, section
//! 9.2). Each event's id is a cursor of `GET /api/records`, so that a client that comes back with its
//! `Last-Event-ID` misses nothing.
//!
//! The pass is checked anew for every batch: a stream ends when its pass does.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use hyper::body::Frame;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::State;
use super::call::Call;
use super::media;
use super::problem::Problem;
use super::records::{Found, find};
use super::server::in_turn;
use super::share::{self, Share};
use crate::service::edge::Guest;

/// Most streams at once.
pub(super) const STREAMS_MAX: usize = 32;
/// Records of one batch, and batches that may wait for a slow client.
const BATCH_RECORDS_MAX: usize = 100;
const BATCHES_MAX: usize = 2;
/// How often a client hears that nothing is new, and how long it may take to take a batch.
const HEARTBEAT: Duration = Duration::from_secs(15);
const TAKE_WAIT: Duration = Duration::from_secs(60);
/// How long news are gathered before they are looked at.
const PAUSE: Duration = Duration::from_millis(200);
/// What is sent once nothing more is new.
const NOTHING_NEW: &str = ": nothing new\n\n";

/// The route.
pub(super) fn stream(call: &Call<'_>) -> Result<Response, Problem> {
    call.query.only(&["q", "since"])?;
    let last = call.headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let since = match last {
        Some(last) => Some(last.to_owned()),
        None => call.query.one("since")?.map(str::to_owned),
    };
    let q = call.query.one("q")?.unwrap_or_default().to_owned();
    // What makes no sense is said before the stream begins.
    let found = find(call.edge(), &call.guest, &q, since.as_deref(), 1)?;
    let own = Arc::clone(&call.share.streams).try_acquire_owned().map_err(|_| {
        let most = share::STREAMS_MAX;
        let detail = format!("{most} streams of this pass are open, which is the most");
        Problem::new(StatusCode::TOO_MANY_REQUESTS, detail)
    })?;
    let place = Arc::clone(&call.state.streams).try_acquire_owned().map_err(|_| {
        let detail = format!("{STREAMS_MAX} streams are open, which is the most");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })?;
    let (batches, taken) = mpsc::channel(BATCHES_MAX);
    let since = since.unwrap_or(found.begins);
    let (state, guest) = (Arc::clone(call.state), call.guest.clone());
    let follow = Follow { state, guest, share: Arc::clone(&call.share), q, since };
    // What a stream waits for is news, and not its client.
    let work = call.seat.work();
    Handle::current().spawn(async move {
        let _held = (own, place, work);
        follow.run(batches).await;
    });
    let mut response = media::reply(StatusCode::OK, media::EVENTS, String::new());
    *response.body_mut() = Body::new(Batches(taken));
    // A proxy that holds back what it is sent would hold back all of it.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response.headers_mut().remove(header::CONTENT_LENGTH);
    Ok(response)
}

/// A stream under way.
struct Follow {
    state: Arc<State>,
    guest: Guest,
    share: Arc<Share>,
    q: String,
    since: String,
}

impl Follow {
    async fn run(mut self, batches: mpsc::Sender<Bytes>) {
        let mut news = self.state.edge.news();
        loop {
            news.mark_unchanged();
            let Ok(Some((batch, more))) = self.batch().await else { return };
            let sent = timeout(TAKE_WAIT, batches.send(batch)).await;
            if !matches!(sent, Ok(Ok(()))) {
                return;
            }
            if !more {
                // A heartbeat also finds out who has gone, and whether the pass still holds.
                let _ = timeout(HEARTBEAT, news.changed()).await;
                sleep(PAUSE).await;
            }
        }
    }

    /// What is new, and whether there is more; `None` if the pass does not hold any more.
    async fn batch(&mut self) -> Result<Option<(Bytes, bool)>, Problem> {
        let (guest, q, since) = (self.guest.clone(), self.q.clone(), self.since.clone());
        let found = in_turn(&self.state, &self.share, move |state| {
            let Some(guest) = state.edge.admit_again(&guest)? else { return Ok(None) };
            find(&state.edge, &guest, &q, Some(&since), BATCH_RECORDS_MAX).map(Some)
        });
        let Some(Found { records, more, cursor, .. }) = found.await? else { return Ok(None) };
        self.since = cursor;
        let mut batch = text(&records);
        if !more {
            batch.push_str(NOTHING_NEW);
        }
        Ok(Some((Bytes::from(batch), more)))
    }
}

/// Records as events, each with the cursor after it.
fn text(records: &[(String, Value)]) -> String {
    records.iter().fold(String::new(), |mut text, (cursor, record)| {
        // JSON as it is written here is one line.
        let _ = write!(text, "id: {cursor}\nevent: record\ndata: {record}\n\n");
        text
    })
}

/// A body that is sent batch by batch.
struct Batches(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Batches {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|batch| batch.map(|bytes| Ok(Frame::data(bytes))))
    }
}
