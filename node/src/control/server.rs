//! The daemon's end of the control socket. Each client has a task of its own, and a bound on
//! everything: how many there are, how long a line may be, how long one may take to send it or to
//! take the answer. Whoever exceeds one is told why, where that is possible, and dropped. A request
//! that was taken is carried through, also when its client has gone away; but one that reports how
//! far it is, an import or an export, is told that nobody listens any more, and ends there.

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
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::{
    Envelope, PROTOCOL_VERSION, Progress, REPLY_BYTES_MAX, REQUEST_BYTES_MAX, Reply, Request,
    Service,
};
use crate::failure::Failure;
use crate::files::own_uid;
use crate::home::{Home, Lock};

/// The bounds of a server.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Most clients at once.
    pub clients_max: u32,
    /// How long a client may take to send a whole request, from connecting or from the last answer.
    pub request_wait: Duration,
    /// How long a client may take to take one line of an answer.
    pub reply_wait: Duration,
    /// How long running requests may take to end once the server is asked to stop.
    pub stop_wait: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            clients_max: 32,
            request_wait: Duration::from_secs(60),
            reply_wait: Duration::from_secs(30),
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
    let places = Arc::new(Semaphore::new(bounds.clients_max as usize));
    let mut clients = JoinSet::new();
    let (close, closing) = watch::channel(());
    tokio::pin!(shutdown);
    loop {
        while clients.try_join_next().is_some() {}
        let stream = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.socket.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "cannot accept a command");
                    // Out of file descriptors, as a rule: the error stays until a client leaves.
                    tokio::select! {
                        () = &mut shutdown => break,
                        () = tokio::time::sleep(ACCEPT_PAUSE) => continue,
                    }
                }
            },
        };
        let service = Arc::clone(&service);
        let place = Arc::clone(&places).try_acquire_owned();
        let (uid, closing) = (listener.uid, closing.clone());
        if place.is_err() && clients.len() >= bounds.clients_max as usize + TURNED_AWAY_MAX {
            continue;
        }
        clients.spawn(async move {
            let mut client = Client::new(stream, bounds);
            match (client.uid == Some(uid), place) {
                (false, _) => {
                    warn!("another user's command was turned away");
                    client.refuse(Failure::denied("this daemon belongs to another user")).await;
                }
                (true, Err(_)) => {
                    let busy = Failure::failed("the daemon serves too many commands at once");
                    client.refuse(busy.hint("try again, or raise limits.commands_max")).await;
                }
                (true, Ok(place)) => {
                    client.attend(service, closing).await;
                    drop(place);
                }
            }
        });
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

    /// Answers requests until the client goes, sends what is no request, or stalls, or until the
    /// server closes while nothing is asked.
    async fn attend(&mut self, service: Arc<dyn Service>, mut closing: watch::Receiver<()>) {
        loop {
            let request = tokio::select! {
                biased;
                _ = closing.changed() => return,
                request = self.request() => request,
            };
            match request {
                Ok(request) => {
                    if self.answer(Arc::clone(&service), request).await.is_err() {
                        debug!("a command went away before its answer");
                        return;
                    }
                }
                Err(NoRequest::Gone) => return,
                Err(NoRequest::Refused(failure)) => return self.refuse(failure).await,
            }
        }
    }

    async fn request(&mut self) -> Result<Request, NoRequest> {
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
    async fn answer(&mut self, service: Arc<dyn Service>, request: Request) -> io::Result<()> {
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
        let mut alive = Ok(());
        let result = loop {
            tokio::select! {
                biased;
                Some(report) = reported.recv(), if alive.is_ok() => {
                    alive = self.send(&Reply::Progress(report)).await;
                    gone.store(alive.is_err(), Ordering::Relaxed);
                }
                result = &mut call => break result,
            }
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

    /// Says why, as far as the client listens. The connection ends afterwards.
    async fn refuse(&mut self, failure: Failure) {
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
/// Clients above the bound that are still told so, before further ones are dropped unheard.
const TURNED_AWAY_MAX: usize = 32;
/// Most bytes read off a client that is being dropped.
const DRAIN_BYTES_MAX: u64 = 4 * REQUEST_BYTES_MAX as u64;
/// Longest time that reading them off may take.
const DRAIN_WAIT: Duration = Duration::from_secs(2);
/// How long to wait after the system refused to accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests;
