//! What the gateway and the portal have in common: HTTP/1.1 connections with a bound on how many there are, how long
//! the head of a request may take to come and how large it may be, and the status of what went wrong.
//!
//! A connection has a *seat*. Once all are taken, whoever comes takes that of a connection that waits for its client
//! (for the rest of a request, the next one, or to be read): of the network with the most seats, the one that waits
//! longest. So whoever opens connections and sends nothing loses his own.

mod seats;

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

pub(crate) use self::seats::Seat;
use self::seats::Seats;
use crate::failure::Kind;

/// How long a client may take to send the head of a request, and to send the next one.
const HEAD_WAIT: Duration = Duration::from_secs(15);
/// Most bytes and lines of a head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const HEAD_LINES_MAX: usize = 64;
/// How long a connection may last: a client that takes no answers does not keep its seat.
const CONNECTION_MAX: Duration = Duration::from_secs(3_600);
/// How long open requests may take to end once the daemon is asked to stop.
const STOP_WAIT: Duration = Duration::from_secs(1);
/// How long to wait after the system refused to accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// An address that is listened on. Nothing is answered before it is told how, nor after it is stopped or dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    address: SocketAddr,
    socket: Mutex<Option<TcpListener>>,
    stop: watch::Sender<bool>,
}

impl Listener {
    /// Binds an address.
    pub(crate) fn bind(runtime: &Handle, address: SocketAddr) -> io::Result<Self> {
        let socket = StdListener::bind(address)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let _entered = runtime.enter();
        let socket = Mutex::new(Some(TcpListener::from_std(socket)?));
        let (stop, _) = watch::channel(false);
        Ok(Self { address, socket, stop })
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks it to end.
    pub(crate) fn stop(&self) {
        let _ = self.stop.send(true);
    }

    /// Hears when it is asked to end, for answers that go on.
    pub(crate) fn ending(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Begins to answer, if it does not yet, with TLS if that is given. `what` is served, for the log. A request has its connection's [`Seat`]
    /// among its extensions.
    pub(crate) fn answer<A, F>(
        &self,
        runtime: &Handle,
        what: &'static str,
        tls: Option<TlsAcceptor>,
        connections_max: usize,
        respond: A,
    ) where
        A: Fn(Request) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(socket) = socket else { return };
        info!(address = %self.address, "{what} is served");
        let seats = Seats::new(connections_max);
        runtime.spawn(serve(socket, what, tls, seats, respond, self.stop.subscribe()));
    }
}

async fn serve<A, F>(
    socket: TcpListener,
    what: &'static str,
    tls: Option<TlsAcceptor>,
    seats: Arc<Seats>,
    respond: A,
    mut stop: watch::Receiver<bool>,
) where
    A: Fn(Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let next = async {
            let (stream, from) = socket.accept().await?;
            Ok::<_, io::Error>((stream, seats.take(from.ip()).await))
        };
        let accepted = tokio::select! {
            _ = stop.changed() => break,
            next = next => next,
        };
        match accepted {
            Ok((stream, seat)) => {
                let (tls, respond, seat) = (tls.clone(), respond.clone(), Arc::new(seat));
                connections.spawn(async move {
                    let conversation = timeout(CONNECTION_MAX, begin(stream, tls, &seat, respond));
                    tokio::select! {
                        biased;
                        () = seat.lost() => debug!("a connection to {what} gave way to another"),
                        done = conversation => {
                            if let Ok(Err(error)) = done {
                                debug!(%error, "a connection to {what} ended early");
                            }
                        }
                    }
                    seat.leave();
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection to {what}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(socket);
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(STOP_WAIT, ended).await;
}

async fn begin<A, F>(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    seat: &Arc<Seat>,
    respond: A,
) -> Result<(), Box<dyn Error + Send + Sync>>
where
    A: Fn(Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    match tls {
        Some(tls) => {
            let stream = timeout(HEAD_WAIT, tls.accept(stream)).await??;
            converse(stream, seat, respond).await?;
        }
        None => converse(stream, seat, respond).await?,
    }
    Ok(())
}

async fn converse<A, F>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    seat: &Arc<Seat>,
    respond: A,
) -> hyper::Result<()>
where
    A: Fn(Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let seat = Arc::clone(seat);
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Arc::clone(&seat));
        let answer = respond(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEAD_LINES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

/// The status of a kind of failure.
pub(crate) const fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Usage => StatusCode::BAD_REQUEST,
        Kind::Denied => StatusCode::FORBIDDEN,
        Kind::Waits => StatusCode::CONFLICT,
        Kind::Unreachable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Failed | Kind::Incomplete | Kind::Integrity | Kind::Bug => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}
