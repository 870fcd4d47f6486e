//! The line that events come and go by: TCP, UDP (also to many at once, as TAK programs without a server do), or TLS with
//! certificates on both sides, as TAK servers ask for. In the clear only this machine is spoken to, unless that is said.

use std::io::{self, Read, Write as _};
use std::net::ToSocketAddrs as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned,
};

use crate::exchange::cot::{Cutter, EVENT_BYTES_MAX};
use crate::failure::{Failure, Kind};
use crate::tls;

/// Where events go, or come in.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    scheme: Scheme,
    host: String,
    address: SocketAddr,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Scheme {
    Tcp,
    Udp,
    Tls,
}

/// Files of certificates (PEM): who is believed, and who we are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Papers<'a> {
    /// Authorities that are believed.
    pub(crate) authorities: Option<&'a Path>,
    /// Our certificate and its key.
    pub(crate) own: Option<(&'a Path, &'a Path)>,
}

impl Line {
    /// Reads `tcp://HOST:PORT`, `udp://` or `tls://`. In the clear beyond this machine only where that is said.
    pub(crate) fn of(text: &str, plain: bool) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            Failure::usage(format!("{text:?} is no line for events: {why}")).hint(
                "write for example tcp://127.0.0.1:8087, tls://tak.example.org:8089 or udp://239.2.3.1:6969",
            )
        };
        let (scheme, place) = text.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
        let scheme = match scheme {
            "tcp" => Scheme::Tcp,
            "udp" => Scheme::Udp,
            "tls" => Scheme::Tls,
            _ => return Err(wrong("it is neither tcp, udp nor tls")),
        };
        let (host, _) = place.rsplit_once(':').ok_or_else(|| wrong("it has no port"))?;
        let mut found = place.to_socket_addrs().map_err(|_| wrong("there is no such host"))?;
        let address = found.next().ok_or_else(|| wrong("there is no such host"))?;
        if scheme != Scheme::Tls && !address.ip().is_loopback() && !plain {
            return Err(wrong("without TLS it can be read and forged on the way")
                .hint("use tls://, or accept it: --plain"));
        }
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { scheme, host, address })
    }

    fn failed(&self, what: &str, error: &io::Error) -> Failure {
        Failure::new(Kind::Unreachable, format!("cannot {what} {}: {error}", self.address))
    }

    fn shown(&self, address: SocketAddr) -> String {
        let scheme = match self.scheme {
            Scheme::Tcp => "tcp",
            Scheme::Udp => "udp",
            Scheme::Tls => "tls",
        };
        format!("{scheme}://{address}")
    }
}

/// Sends events: over one connection, or each in a datagram.
pub(crate) fn send(line: &Line, papers: Papers<'_>, events: &[String]) -> Result<(), Failure> {
    let tls = match line.scheme {
        Scheme::Tls => Some(tls::client_config(papers.authorities, papers.own)?),
        Scheme::Tcp | Scheme::Udp => None,
    };
    try_send(line, tls, events).map_err(|error| line.failed("send events to", &error))
}

fn try_send(line: &Line, tls: Option<Arc<ClientConfig>>, events: &[String]) -> io::Result<()> {
    if line.scheme == Scheme::Udp {
        let any: IpAddr = match line.address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        return events
            .iter()
            .try_for_each(|one| socket.send_to(one.as_bytes(), line.address).map(|_| ()));
    }
    let mut stream = TcpStream::connect_timeout(&line.address, WAIT_MAX)?;
    stream.set_write_timeout(Some(WAIT_MAX))?;
    stream.set_read_timeout(Some(WAIT_MAX))?;
    let text = events.concat();
    let Some(config) = tls else { return stream.write_all(text.as_bytes()) };
    let name = ServerName::try_from(line.host.clone()).map_err(io::Error::other)?;
    let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    stream.write_all(text.as_bytes())?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// What is heard on a line.
#[derive(Debug)]
pub(crate) struct Heard {
    /// Where it is listened.
    pub(crate) at: String,
    /// The events, as they came. Whoever does not take them holds up those who send.
    pub(crate) events: Receiver<String>,
}

/// Listens for events, for as long as the process lives.
pub(crate) fn listen(line: &Line, papers: Papers<'_>) -> Result<Heard, Failure> {
    let tls = match (line.scheme, papers.own) {
        (Scheme::Tls, None) => {
            return Err(Failure::usage("who listens over TLS shows a certificate")
                .hint("name its file and that of its key: --cert FILE --key FILE"));
        }
        (Scheme::Tls, Some(own)) => {
            if papers.authorities.is_none() && !line.address.ip().is_loopback() {
                return Err(Failure::usage("anybody could send events there").hint(
                    "name the file of the authority whose certificates senders show: --ca FILE",
                ));
            }
            Some(tls::server_config(own, papers.authorities)?)
        }
        (Scheme::Tcp | Scheme::Udp, _) => None,
    };
    let (sender, events) = sync_channel(EVENTS_WAITING_MAX);
    let failed = |error: io::Error| line.failed("listen at", &error);
    let address = if line.scheme == Scheme::Udp {
        let socket = datagrams(line.address).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        thread::spawn(move || take_datagrams(&socket, &sender));
        address
    } else {
        let listener = TcpListener::bind(line.address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        thread::spawn(move || take_connections(&listener, tls.as_ref(), &sender));
        address
    };
    Ok(Heard { at: line.shown(address), events })
}

/// A socket for datagrams to this machine, or to a group.
fn datagrams(address: SocketAddr) -> io::Result<UdpSocket> {
    match address {
        SocketAddr::V4(group) if group.ip().is_multicast() => {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, group.port()))?;
            socket.join_multicast_v4(group.ip(), &Ipv4Addr::UNSPECIFIED)?;
            Ok(socket)
        }
        SocketAddr::V6(group) if group.ip().is_multicast() => {
            let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, group.port()))?;
            socket.join_multicast_v6(group.ip(), 0)?;
            Ok(socket)
        }
        address => UdpSocket::bind(address),
    }
}

fn take_datagrams(socket: &UdpSocket, events: &SyncSender<String>) {
    let mut buffer = vec![0; EVENT_BYTES_MAX];
    loop {
        // What one sender's machine answers is no reason not to hear the others.
        let Ok(count) = socket.recv(&mut buffer) else { continue };
        let mut cutter = Cutter::default();
        cutter.take(buffer.get(..count).unwrap_or_default());
        while let Ok(Some(event)) = cutter.cut() {
            if events.send(event).is_err() {
                return;
            }
        }
    }
}

fn take_connections(
    listener: &TcpListener,
    tls: Option<&Arc<ServerConfig>>,
    events: &SyncSender<String>,
) {
    let seats = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let Some(seat) = Seat::take(&seats) else { continue };
        let (tls, events) = (tls.cloned(), events.clone());
        thread::spawn(move || {
            let _seat = seat;
            // How a connection ends is its sender's business; what came before is taken.
            let _ = take_connection(stream, tls, &events);
        });
    }
}

/// A place among the connections.
struct Seat(Arc<AtomicUsize>);

impl Seat {
    fn take(seats: &Arc<AtomicUsize>) -> Option<Self> {
        let seat = Self(Arc::clone(seats));
        (seats.fetch_add(1, Ordering::Relaxed) < CONNECTIONS_MAX).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Who does not say soon who he is leaves his place to others.
fn shake_hands(connection: &mut ServerConnection, stream: &mut TcpStream) -> io::Result<()> {
    let end = Instant::now() + WAIT_MAX;
    while connection.is_handshaking() {
        if connection.wants_write() {
            connection.write_tls(stream)?;
            continue;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        if connection.read_tls(stream)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Err(error) = connection.process_new_packets() {
            // It hears why.
            let _ = connection.write_tls(stream);
            return Err(io::Error::other(error));
        }
    }
    stream.set_read_timeout(Some(SILENCE_MAX))
}

fn take_connection(
    mut stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    events: &SyncSender<String>,
) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(WAIT_MAX))?;
    match tls {
        None => take_stream(stream, events),
        Some(config) => {
            let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
            shake_hands(&mut connection, &mut stream)?;
            take_stream(StreamOwned::new(connection, stream), events)
        }
    }
}

fn take_stream(mut stream: impl Read, events: &SyncSender<String>) -> io::Result<()> {
    let (mut cutter, mut buffer) = (Cutter::default(), [0; 8 * 1024]);
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        cutter.take(buffer.get(..count).unwrap_or_default());
        while let Some(event) = cutter.cut().map_err(io::Error::other)? {
            events.send(event).map_err(io::Error::other)?;
        }
    }
}

/// How long a connection may take to be made, or to take what is sent.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a connection may say nothing before it ends: TAK programs say every few seconds that they are there.
const SILENCE_MAX: Duration = Duration::from_secs(300);
/// Most connections at once.
const CONNECTIONS_MAX: usize = 32;
/// Most events that wait to be taken: 16 MiB.
const EVENTS_WAITING_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_spoken_in_the_clear_beyond_this_machine_unless_that_is_said() {
        for (to, plain, good) in [
            ("tcp://127.0.0.1:8087", false, true),
            ("udp://[::1]:6969", false, true),
            ("udp://239.2.3.1:6969", false, false),
            ("udp://239.2.3.1:6969", true, true),
            ("tcp://192.0.2.1:8087", false, false),
            ("tls://192.0.2.1:8089", false, true),
            ("http://127.0.0.1:8087", true, false),
            ("127.0.0.1:8087", true, false),
            ("tcp://127.0.0.1", true, false),
        ] {
            assert_eq!(Line::of(to, plain).is_ok(), good, "{to} {plain}");
        }
    }

    #[test]
    fn anybody_is_heard_on_this_machine_alone() {
        let away = Line::of("tls://192.0.2.1:8089", false).unwrap();
        let own = Some((Path::new("a"), Path::new("b")));
        for own in [None, own] {
            let papers = Papers { authorities: None, own };
            assert_eq!(listen(&away, papers).unwrap_err().kind, Kind::Usage);
        }
    }

    #[test]
    fn events_are_heard_as_they_are_sent() {
        let sent = ["<event a='1'></event>".to_owned(), "<event a='2'></event>".to_owned()];
        for to in ["tcp://127.0.0.1:0", "udp://127.0.0.1:0"] {
            let line = Line::of(to, false).unwrap();
            let heard = listen(&line, Papers::default()).unwrap();
            let there = Line::of(&heard.at, false).unwrap();
            send(&there, Papers::default(), &sent).unwrap();
            let got: Vec<String> = sent.iter().map(|_| heard.events.recv().unwrap()).collect();
            assert_eq!(got, sent, "{to}");
        }
    }

    #[test]
    fn connections_have_a_bound() {
        let seats = Arc::new(AtomicUsize::new(0));
        let all: Vec<_> = (0..CONNECTIONS_MAX).filter_map(|_| Seat::take(&seats)).collect();
        assert_eq!(all.len(), CONNECTIONS_MAX);
        assert!(Seat::take(&seats).is_none());
        drop(all);
        assert!(Seat::take(&seats).is_some());
    }
}
