//! The daemon's end of the control socket. Each client has a task of its own, and a bound on
//! everything: how many there are, how long a line may be, how long one may take to send it or to
//! take the answer. Whoever exceeds one is told why, where that is possible, and dropped. Who asks
//! nothing is dropped soon, and those who come meanwhile wait for his place; other users have places
//! of their own, where they are turned away.
//!
//! A request whose client has gone before it was taken up is not begun. One that was taken up is carried
//! through, also when its client goes away; but one that reports how far it is, an import or an export,
//! is told that nobody listens any more or that the server closes, and ends there.

use std::fs::{self, Permissions};
use std::future::Future;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tracing::{debug, info, warn};

use super::{
    Envelope, HEARTBEAT, PROTOCOL_VERSION, Progress, REPLY_BYTES_MAX, REQUEST_BYTES_MAX, Reply,
    Request, Service,
};
use crate::failure::Failure;
use crate::files::own_uid;
use crate::home::{Home, Lock};

/// The bounds of a server.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Most requests that are worked on at once.
    pub commands_max: u32,
    /// Most clients that are connected and have not asked yet. Further ones wait to be taken.
    pub asking_max: usize,
    /// How long a client may take to send its request after it was told that it may.
    pub request_wait: Duration,
    /// How long a client may take to take one line of an answer.
    pub reply_wait: Duration,
    /// How often a client hears that its request is being worked on.
    pub heartbeat: Duration,
    /// How long running requests may take to end once the server is asked to stop.
    pub stop_wait: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            commands_max: 32,
            // With the wait below a thousand clients that ask nothing are gone in 8 s, and who came
            // after them is heard before it gives up.
            asking_max: 256,
            request_wait: Duration::from_secs(2),
            reply_wait: Duration::from_secs(30),
            heartbeat: HEARTBEAT,
            stop_wait: Duration::from_secs(1),
        }
    }
}

/// A bound control socket; its file is removed when dropped.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    uid: u32,
}

impl Listener {
    /// Binds the home's socket, for its owner alone. The lock says that no other daemon is alive,
    /// so a socket file that is there is one that a killed daemon left.
    pub fn bind(home: &Home, _lock: &Lock) -> Result<Self, Failure> {
        let path = home.socket()?;
        let failed =
            |e: io::Error| Failure::io(format_args!("cannot listen at {}", path.display()), &e);
        remove_stale(&path).map_err(failed)?;
        let socket = UnixListener::bind(&path).map_err(failed)?;
        let listener = Self { socket, path, uid: own_uid() };
        fs::set_permissions(&listener.path, Permissions::from_mode(0o600)).map_err(|e| {
            Failure::io(format_args!("cannot protect {}", listener.path.display()), &e)
        })?;
        Ok(listener)
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Serves clients until `shutdown` is done, then lets running requests end, within a bound.
pub async fn serve(
    listener: Listener,
    service: Arc<dyn Service>,
    bounds: Bounds,
    shutdown: impl Future<Output = ()>,
) {
    let asking = Arc::new(Semaphore::new(bounds.asking_max));
    let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
    let commands = Arc::new(Semaphore::new(bounds.commands_max as usize));
    let mut clients = JoinSet::new();
    let (close, closing) = watch::channel(());
    tokio::pin!(shutdown);
    loop {
        while clients.try_join_next().is_some() {}
        let next = async {
            let place = Arc::clone(&asking).acquire_owned().await;
            (place, listener.socket.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = &mut shutdown => break,
            (Ok(place), accepted) = next => (place, accepted),
        };
        let client = match accepted {
            Ok((stream, _)) => Client::new(stream, bounds),
            Err(error) => {
                warn!(%error, "cannot accept a command");
                // Out of file descriptors, as a rule: the error stays until a client leaves.
                tokio::select! {
                    () = &mut shutdown => break,
                    () = tokio::time::sleep(ACCEPT_PAUSE) => continue,
                }
            }
        };
        if client.uid == Some(listener.uid) {
            let (service, commands) = (Arc::clone(&service), Arc::clone(&commands));
            clients.spawn(client.attend(place, service, commands, closing.clone()));
        } else if let Ok(turned_away) = Arc::clone(&strangers).try_acquire_owned() {
            warn!("another user's command was turned away");
            let denied = Failure::denied("this daemon belongs to another user");
            clients.spawn(client.refuse(turned_away, denied));
        }
    }
    info!(running = clients.len(), "the control socket closes");
    drop((listener, close));
    let ended = timeout(bounds.stop_wait, async { while clients.join_next().await.is_some() {} });
    if ended.await.is_err() {
        warn!(running = clients.len(), "requests were still running and are left behind");
    }
}

/// One connection.
struct Client {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    uid: Option<u32>,
    bounds: Bounds,
}

/// What came instead of a request.
enum NoRequest {
    /// The client is gone, or too slow to be worth an answer.
    Gone,
    /// The client is to be told this, and dropped.
    Refused(Failure),
}

impl Client {
    fn new(stream: UnixStream, bounds: Bounds) -> Self {
        let uid = stream.peer_cred().ok().map(|peer| peer.uid());
        let (reader, writer) = stream.into_split();
        Self { reader: BufReader::new(reader), writer, uid, bounds }
    }

    /// Answers a request, unless the client goes, sends what is no request, or stalls, or the server
    /// closes while nothing is asked. The client has its `place` until its request is taken up.
    async fn attend(
        mut self,
        place: OwnedSemaphorePermit,
        service: Arc<dyn Service>,
        commands: Arc<Semaphore>,
        mut closing: watch::Receiver<()>,
    ) {
        let request = tokio::select! {
            biased;
            _ = closing.changed() => return,
            request = self.request() => request,
        };
        match request.and_then(|request| Ok((take_up(commands, &request)?, request))) {
            Ok((command, request)) => {
                drop(place);
                if self.answer(service, request, closing).await.is_err() {
                    debug!("a command went away before its answer");
                }
                drop(command);
            }
            Err(NoRequest::Gone) => {}
            Err(NoRequest::Refused(failure)) => self.refuse(place, failure).await,
        }
    }

    async fn request(&mut self) -> Result<Request, NoRequest> {
        self.send(&Reply::Ready).await.map_err(|_| NoRequest::Gone)?;
        let mut line = Vec::new();
        let mut bounded = (&mut self.reader).take(REQUEST_BYTES_MAX as u64 + 1);
        match timeout(self.bounds.request_wait, bounded.read_until(b'\n', &mut line)).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) => return Err(NoRequest::Gone),
            Err(_) => {
                debug!("a command sent no request in time");
                return Err(NoRequest::Gone);
            }
        }
        if line.len() > REQUEST_BYTES_MAX {
            let what = format!("the request is longer than {REQUEST_BYTES_MAX} bytes");
            return Err(NoRequest::Refused(Failure::usage(what)));
        }
        if !line.ends_with(b"\n") {
            return Err(NoRequest::Gone);
        }
        parse(&line).map_err(NoRequest::Refused)
    }

    /// Carries out a request. An error means that the client is gone.
    async fn answer(
        &mut self,
        service: Arc<dyn Service>,
        request: Request,
        mut closing: watch::Receiver<()>,
    ) -> io::Result<()> {
        // Whoever has gone by now does not know that it was done.
        self.send(&Reply::Working).await?;
        let verb = request.verb();
        debug!(verb, "begins");
        let (reports, mut reported) = mpsc::channel(PROGRESS_REPORTS_MAX);
        let gone = Arc::new(AtomicBool::new(false));
        let client_gone = Arc::clone(&gone);
        let mut call = spawn_blocking(move || {
            service.call(request, &mut |report: Progress| {
                // A slow client misses reports; it does not slow the work down.
                let _ = reports.try_send(report);
                if client_gone.load(Ordering::Relaxed) {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })
        });
        let mut beats = interval_at(Instant::now() + self.bounds.heartbeat, self.bounds.heartbeat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut alive = Ok(());
        let mut ending = false;
        let result = loop {
            let reply = tokio::select! {
                biased;
                _ = closing.changed(), if !ending => {
                    ending = true;
                    gone.store(true, Ordering::Relaxed);
                    continue;
                }
                _ = beats.tick(), if alive.is_ok() => Reply::Working,
                Some(report) = reported.recv(), if alive.is_ok() => Reply::Progress(report),
                result = &mut call => break result,
            };
            alive = self.send(&reply).await;
            gone.fetch_or(alive.is_err(), Ordering::Relaxed);
        };
        alive?;
        let reply = match result {
            Ok(Ok(value)) => Reply::Ok(value),
            Ok(Err(failure)) => Reply::Error(failure),
            Err(_) => {
                warn!(verb, "panicked");
                Reply::Error(Failure::bug(format!("the daemon panicked during `{verb}`")))
            }
        };
        debug!(verb, ok = matches!(reply, Reply::Ok(_)), "ends");
        self.send(&reply).await
    }

    /// Says why, as far as the client listens. The connection ends afterwards, and then its place.
    async fn refuse(mut self, _place: OwnedSemaphorePermit, failure: Failure) {
        if self.send(&Reply::Error(failure)).await.is_err() || self.writer.shutdown().await.is_err()
        {
            return;
        }
        // Closing with unread bytes would reset the connection before the answer is read.
        let mut rest = (&mut self.reader).take(DRAIN_BYTES_MAX);
        let _ = timeout(DRAIN_WAIT, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    }

    async fn send(&mut self, reply: &Reply) -> io::Result<()> {
        let line = encode(reply)?;
        match timeout(self.bounds.reply_wait, self.writer.write_all(&line)).await {
            Ok(written) => written,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// A place among the requests that are worked on. To be ended a daemon is never too busy.
fn take_up(
    commands: Arc<Semaphore>,
    request: &Request,
) -> Result<Option<OwnedSemaphorePermit>, NoRequest> {
    match commands.try_acquire_owned() {
        Ok(place) => Ok(Some(place)),
        Err(_) if matches!(request, Request::Stop(_)) => Ok(None),
        Err(_) => {
            let busy = Failure::failed("the daemon works on too many commands; nothing was done");
            Err(NoRequest::Refused(busy.hint("try again, or raise limits.commands_max")))
        }
    }
}

/// Reads a line as a request of this version.
fn parse(line: &[u8]) -> Result<Request, Failure> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let garbled = |error: serde_json::Error| {
        Failure::usage(format!("this is no request of the control protocol: {error}"))
    };
    let Version { version } = serde_json::from_slice(line).map_err(garbled)?;
    if version != PROTOCOL_VERSION {
        return Err(Failure::failed(format!(
            "the daemon speaks version {PROTOCOL_VERSION} of the control protocol, this command \
             version {version}"
        ))
        .hint("restart the daemon, so that both are of one version"));
    }
    let Envelope { request, .. } = serde_json::from_slice(line).map_err(garbled)?;
    Ok(request)
}

fn encode(reply: &Reply) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(reply)?;
    if line.len() >= REPLY_BYTES_MAX {
        let what = format!("the answer is longer than {REPLY_BYTES_MAX} bytes");
        let failure = Failure::failed(what).hint("ask for less at once: --limit");
        line = serde_json::to_vec(&Reply::Error(failure))?;
    }
    line.push(b'\n');
    Ok(line)
}

/// Removes a socket file that nobody listens on. Anything else at its place is left alone.
fn remove_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt as _;

    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is another file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Progress reports that may wait for a slow client.
const PROGRESS_REPORTS_MAX: usize = 16;
/// Most clients of other users that are told so at once; further ones are dropped unheard.
const STRANGERS_MAX: usize = 8;
/// Most bytes read off a client that is being dropped.
const DRAIN_BYTES_MAX: u64 = 4 * REQUEST_BYTES_MAX as u64;
/// Longest time that reading them off may take.
const DRAIN_WAIT: Duration = Duration::from_secs(2);
/// How long to wait after the system refused to accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests;
