//! The stream of news of a tab (server-sent events, HTML Standard section 9.2). It says that something came that
//! its operator may see, and nothing of what: the page asks for itself again, and is made as any page is. What he
//! may not see moves nothing in it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::StatusCode;
use hyper::body::Frame;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::{interval, sleep};

use super::State;
use super::call::{Call, Done};
use super::html::{self, Trouble};
use super::session::Token;
use crate::service::sight::Viewer;

/// Most streams of a portal. A tab that gets none is asked for by hand, as without a script.
pub(super) const STREAMS_MAX: usize = 32;
/// Most of one operator: nobody takes all.
const OWN_STREAMS_MAX: usize = 6;
/// How often a stream says that it lives, and its session is looked at.
const BEAT: Duration = Duration::from_secs(15);
/// The least time between two looks at what came.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// Messages that wait for a browser; one that takes none is let go.
const MESSAGES_MAX: usize = 4;

/// The latest that an operator may see, and the latest flash of that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Latest {
    newest_us: u64,
    flash_us: u64,
}

impl Latest {
    fn of(state: &State, viewer: Viewer) -> Option<Self> {
        let newest = state.service.newest_for(viewer, false).ok()?;
        let flash = state.service.newest_for(viewer, true).ok()?;
        Some(Self { newest_us: newest, flash_us: flash })
    }

    fn message(self) -> Bytes {
        let Self { newest_us, flash_us } = self;
        // Browsers count in doubles: milliseconds are exact there.
        let (newest, flash) = (newest_us / 1_000, flash_us / 1_000);
        format!("event: news\ndata: {{\"newest\":{newest},\"flash\":{flash}}}\n\n").into()
    }
}

/// One of the streams of an operator, until it is dropped.
struct Own(Arc<State>, String);

impl Own {
    fn take(state: &Arc<State>, name: &str) -> Option<Self> {
        let mut held = state.streams_of.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(name.to_owned()).or_default();
        if *count >= OWN_STREAMS_MAX {
            return None;
        }
        *count += 1;
        Some(Self(Arc::clone(state), name.to_owned()))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let mut held = self.0.streams_of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.1);
            }
        }
    }
}

/// The stream of a tab.
pub(super) fn stream(call: &Call) -> Done {
    let full = || Trouble::new(StatusCode::SERVICE_UNAVAILABLE);
    let own = Own::take(&call.state, &call.session()?.name).ok_or_else(full)?;
    let place = Arc::clone(&call.state.streams).try_acquire_owned();
    let place = (own, place.map_err(|_| full())?);
    let news = call.state.service.news()?;
    let (sender, messages) = mpsc::channel(MESSAGES_MAX);
    let (state, token) = (Arc::clone(&call.state), call.token.clone());
    call.state.runtime.spawn(tell(state, token, news, sender, place));
    Ok(html::stream(Body::new(Messages(messages))))
}

/// Tells a tab of what comes until it goes, its session ends, or the portal does.
async fn tell(
    state: Arc<State>,
    token: Token,
    mut news: watch::Receiver<u64>,
    messages: mpsc::Sender<Bytes>,
    _place: (Own, OwnedSemaphorePermit),
) {
    let mut stop = state.stop.clone();
    let mut beat = interval(BEAT);
    let mut told = None;
    loop {
        // A session may get another purpose while its tab is open.
        let Some(viewer) = super::server::viewer_of(&state, &token) else {
            let _ = messages.try_send(Bytes::from_static(b"event: ended\ndata:\n\n"));
            return;
        };
        news.mark_unchanged();
        let of = Arc::clone(&state);
        let latest = spawn_blocking(move || Latest::of(&of, viewer)).await.ok().flatten();
        let Some(latest) = latest else { return };
        if told != Some(latest) {
            told = Some(latest);
            if messages.try_send(latest.message()).is_err() {
                return;
            }
        }
        tokio::select! {
            changed = news.changed() => if changed.is_err() { return },
            _ = beat.tick() => {
                if messages.try_send(Bytes::from_static(b":\n\n")).is_err() {
                    return;
                }
            }
            _ = stop.changed() => return,
            () = messages.closed() => return,
        }
        sleep(LOOK_PAUSE).await;
    }
}

/// The body of a stream.
struct Messages(mpsc::Receiver<Bytes>);

impl HttpBody for Messages {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|message| message.map(|bytes| Ok(Frame::data(bytes))))
    }
}
