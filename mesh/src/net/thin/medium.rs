//! What carries link frames: a UDP socket, or a KISS modem behind TCP or on a serial line.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::termios::{ControlModes, OptionalActions, tcgetattr, tcsetattr};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::sync::{mpsc, watch};

use super::address::Medium;
use crate::thin::LINK_FRAME_BYTES_MAX;
use crate::thin::kiss::{Decoder, encode};

/// The host's ends of what carries link frames.
#[derive(Debug)]
pub(super) struct LinkFrames {
    /// What came, and where from. What comes while the channel is full is lost, as on the line.
    pub(super) received: mpsc::Receiver<(Vec<u8>, Origin)>,
    /// What is to be sent.
    pub(super) transmit: mpsc::Sender<Vec<u8>>,
    /// Where what is sent goes, if the other side has no fixed place.
    pub(super) origin: watch::Sender<Origin>,
}

/// Where a datagram came from; none for what comes over a modem.
pub(super) type Origin = Option<SocketAddr>;

/// The same from the side of the medium.
pub(super) struct Ports {
    received: mpsc::Sender<(Vec<u8>, Origin)>,
    transmit: mpsc::Receiver<Vec<u8>>,
    origin: watch::Receiver<Origin>,
}

/// Link frames that wait between a medium and its machine.
const FRAMES_MAX: usize = 16;
/// What is read from a modem at once.
const READ_BYTES: usize = 512;

/// Both sides of a medium.
pub(super) fn channels() -> (LinkFrames, Ports) {
    let (received, receiver) = mpsc::channel(FRAMES_MAX);
    let (transmit, transmitter) = mpsc::channel(1);
    let (origin, origins) = watch::channel(None);
    let frames = LinkFrames { received: receiver, transmit, origin };
    (frames, Ports { received, transmit: transmitter, origin: origins })
}

/// An opened medium.
pub(super) enum Open {
    Udp(UdpSocket, Option<SocketAddr>),
    Tcp(TcpStream),
    Serial(pipe::Receiver, pipe::Sender),
}

impl Medium {
    /// How people call it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Udp { .. } => "udp",
            Self::KissTcp { .. } => "kiss",
            Self::KissSerial { .. } => "serial",
        }
    }

    /// Fails if this host lacks what the medium needs of it: a port that nobody has, a serial line of
    /// that speed. Where the other side is, is seen when it is asked.
    pub fn check_here(&self) -> io::Result<()> {
        match self {
            Self::Udp { bind, .. } => std::net::UdpSocket::bind(bind).map(drop),
            Self::KissTcp { .. } => Ok(()),
            Self::KissSerial { path, baud } => open_line(path, *baud).map(drop),
        }
    }

    /// Whether two need the same thing of this host, which only one can have.
    #[must_use]
    pub fn collides(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Udp { bind, .. }, Self::Udp { bind: others, .. }) => {
                bind.port() != 0 && bind.port() == others.port()
            }
            (Self::KissTcp { at }, Self::KissTcp { at: others }) => at == others,
            (Self::KissSerial { path, .. }, Self::KissSerial { path: others, .. }) => {
                path == others
            }
            _ => false,
        }
    }
}

/// Opens a medium.
pub(super) async fn open(medium: &Medium) -> io::Result<Open> {
    match medium {
        Medium::Udp { bind, to } => {
            let to = match to {
                Some(to) => Some(resolve(to, bind).await?),
                None => None,
            };
            Ok(Open::Udp(UdpSocket::bind(bind_for(bind, to)).await?, to))
        }
        Medium::KissTcp { at } => Ok(Open::Tcp(TcpStream::connect(at).await?)),
        Medium::KissSerial { path, baud } => {
            let (reader, writer) = open_serial(path, *baud)?;
            Ok(Open::Serial(reader, writer))
        }
    }
}

/// An address of the family that we are bound in, or of any if we are bound nowhere.
async fn resolve(to: &str, bind: &SocketAddr) -> io::Result<SocketAddr> {
    let fits = |to: &SocketAddr| bind.port() == 0 || to.is_ipv4() == bind.is_ipv4();
    lookup_host(to)
        .await?
        .find(fits)
        .ok_or_else(|| io::Error::other(format!("{to} has no address that fits bind={bind}")))
}

/// Where to bind: as it is said, and if nothing is, in the family of the other side.
fn bind_for(bind: &SocketAddr, to: Option<SocketAddr>) -> SocketAddr {
    match to {
        Some(SocketAddr::V6(_)) if bind.port() == 0 => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
        _ => *bind,
    }
}

/// Carries link frames until the medium fails or the machine goes.
pub(super) async fn carry(open: Open, ports: Ports) -> io::Result<()> {
    let Ports { received, transmit, origin } = ports;
    match open {
        Open::Udp(socket, to) => tokio::select! {
            ended = udp_in(&socket, &received) => ended,
            ended = udp_out(&socket, to, transmit, origin) => ended,
        },
        Open::Tcp(stream) => {
            stream.set_nodelay(true)?;
            let (reader, writer) = stream.into_split();
            kiss(reader, writer, &received, transmit).await
        }
        Open::Serial(reader, writer) => kiss(reader, writer, &received, transmit).await,
    }
}

async fn udp_in(socket: &UdpSocket, received: &mpsc::Sender<(Vec<u8>, Origin)>) -> io::Result<()> {
    // One byte more than a link frame has, so that a longer datagram is seen to be one.
    let mut buffer = [0; LINK_FRAME_BYTES_MAX + 1];
    loop {
        // That nobody listens there yet, as an earlier datagram came to hear, is no failure.
        let Ok((count, from)) = socket.recv_from(&mut buffer).await else { continue };
        let frame = buffer.get(..count).unwrap_or_default().to_vec();
        match received.try_send((frame, Some(from))) {
            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => {}
            Err(mpsc::error::TrySendError::Closed(_)) => return Ok(()),
        }
    }
}

async fn udp_out(
    socket: &UdpSocket,
    to: Option<SocketAddr>,
    mut transmit: mpsc::Receiver<Vec<u8>>,
    origin: watch::Receiver<Origin>,
) -> io::Result<()> {
    while let Some(frame) = transmit.recv().await {
        let to = to.or(*origin.borrow());
        if let Some(to) = to {
            // What cannot be sent now is lost, as on the line.
            let _ = socket.send_to(&frame, to).await;
        }
    }
    Ok(())
}

async fn kiss(
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
    received: &mpsc::Sender<(Vec<u8>, Origin)>,
    transmit: mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    tokio::select! {
        ended = kiss_in(reader, received) => ended,
        ended = kiss_out(writer, transmit) => ended,
    }
}

async fn kiss_in(
    mut reader: impl AsyncRead + Unpin,
    received: &mpsc::Sender<(Vec<u8>, Origin)>,
) -> io::Result<()> {
    let mut decoder = Decoder::default();
    let mut buffer = [0; READ_BYTES];
    loop {
        let count = reader.read(&mut buffer).await?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the modem went away"));
        }
        for frame in buffer.iter().take(count).filter_map(|byte| decoder.push(*byte)) {
            if received.send((frame, None)).await.is_err() {
                return Ok(());
            }
        }
    }
}

async fn kiss_out(
    mut writer: impl AsyncWrite + Unpin,
    mut transmit: mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    while let Some(frame) = transmit.recv().await {
        writer.write_all(&encode(&frame)).await?;
        writer.flush().await?;
    }
    writer.shutdown().await
}

/// Both ends of a serial line at a speed.
///
/// What tokio calls the ends of a pipe are any file that can be waited for; their checks for a pipe are
/// left out.
fn open_serial(path: &str, baud: u32) -> io::Result<(pipe::Receiver, pipe::Sender)> {
    let line = open_line(path, baud)?;
    let reader = pipe::Receiver::from_file_unchecked(line.try_clone()?.into())?;
    Ok((reader, pipe::Sender::from_file_unchecked(line.into())?))
}

/// Opens a serial line at a speed: raw bytes, no flow control, whatever the modem's carrier says.
fn open_line(path: &str, baud: u32) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let line = rustix::fs::open(path, flags, Mode::empty())?;
    let mut settings = tcgetattr(&line)?;
    settings.make_raw();
    settings.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
    settings.control_modes -= ControlModes::CRTSCTS;
    settings.set_speed(baud)?;
    tcsetattr(&line, OptionalActions::Now, &settings)?;
    Ok(line)
}
