//! Drives one thin link: its machine, a line, and one sleep.
//!
//! A line is two channels of link frames. Behind them stands a modem ([`kiss`]) or whatever else carries
//! datagrams. The line counts as free when the last frame was carried at its rate: what a modem or a
//! system has taken can no longer be overtaken.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use futures::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tearline_crdt::time::MonoTime;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::thin::kiss::{Decoder, encode};
use crate::thin::{Action, Event, Line, Machine, SendError, ThinFault};
use crate::urgency::Urgency;

/// Link frames to and from a line. What comes while the channel is full may be lost, as on the line.
#[derive(Debug)]
pub struct LinkFrames {
    /// What came.
    pub received: mpsc::Receiver<Vec<u8>>,
    /// What is to be sent.
    pub transmit: mpsc::Sender<Vec<u8>>,
}

/// What the driver is told to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ThinCommand {
    /// Send a frame of the mesh. One at a time and urgency: the next after [`ThinEvent::Room`].
    Send {
        /// In which stream.
        urgency: Urgency,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// The line is there again.
    Contact,
}

/// What happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ThinEvent {
    /// A session began.
    Up {
        /// Whether this side began it.
        dialer: bool,
    },
    /// The session is lost.
    Down {
        /// What the other side did wrong, if that is why.
        fault: Option<ThinFault>,
    },
    /// One whole frame of the mesh.
    Frame {
        /// The frame.
        bytes: Vec<u8>,
    },
    /// There is room for the next frame of an urgency.
    Room {
        /// In which stream.
        urgency: Urgency,
    },
    /// A frame was not taken.
    Refused {
        /// In which stream.
        urgency: Urgency,
        /// Why.
        reason: SendError,
    },
}

/// Carries a link until its commands, its events or its line end. It never waits for whoever reads the
/// events: what they do not take is queued, and while anything is, nothing is taken from the line.
pub async fn carry(
    mut machine: Machine,
    line: Line,
    frames: LinkFrames,
    mut commands: mpsc::Receiver<ThinCommand>,
    events: mpsc::Sender<ThinEvent>,
) {
    let LinkFrames { mut received, transmit } = frames;
    let start = Instant::now();
    let now = || MonoTime(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX));
    let mut waiting = VecDeque::new();
    let mut outgoing = None;
    let mut free_at = None;
    machine.handle(now(), Event::Tick);
    loop {
        while let Some(action) = machine.poll_action() {
            match action {
                Action::Transmit { bytes } => outgoing = Some(bytes),
                Action::Up { dialer } => waiting.push_back(ThinEvent::Up { dialer }),
                Action::Down { fault } => waiting.push_back(ThinEvent::Down { fault }),
                Action::Deliver { bytes, .. } => waiting.push_back(ThinEvent::Frame { bytes }),
                Action::Room { urgency } => waiting.push_back(ThinEvent::Room { urgency }),
            }
        }
        let wake = [machine.deadline(), free_at].into_iter().flatten().min();
        let sleep = async {
            match wake {
                Some(at) => tokio::time::sleep_until(start + Duration::from_millis(at.0)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            permit = events.reserve(), if !waiting.is_empty() => match permit {
                Ok(permit) => {
                    if let Some(event) = waiting.pop_front() {
                        permit.send(event);
                    }
                }
                Err(_) => return,
            },
            permit = transmit.reserve(), if outgoing.is_some() => match (permit, outgoing.take()) {
                (Ok(permit), Some(bytes)) => {
                    free_at = Some(now().plus_ms(line.air_ms(bytes.len())));
                    permit.send(bytes);
                }
                _ => return,
            },
            frame = received.recv(), if waiting.is_empty() => match frame {
                Some(bytes) => machine.handle(now(), Event::Received { bytes }),
                None => return,
            },
            command = commands.recv() => match command {
                Some(ThinCommand::Send { urgency, bytes }) => {
                    if let Err(reason) = machine.send(now(), urgency, &bytes) {
                        waiting.push_back(ThinEvent::Refused { urgency, reason });
                    }
                }
                Some(ThinCommand::Contact) => machine.handle(now(), Event::Contact),
                None => return,
            },
            () = sleep => {
                let is_free = free_at.is_some_and(|at| at <= now());
                free_at = free_at.filter(|_| !is_free);
                machine.handle(now(), if is_free { Event::Sent } else { Event::Tick });
            }
        }
    }
}

/// Carries link frames over a connection to a KISS modem, until either ends.
pub async fn kiss(
    modem: impl AsyncRead + AsyncWrite,
    received: mpsc::Sender<Vec<u8>>,
    transmit: mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    let (reader, writer) = modem.split();
    tokio::select! {
        ended = kiss_in(reader, received) => ended,
        ended = kiss_out(writer, transmit) => ended,
    }
}

async fn kiss_in(
    mut reader: impl AsyncRead + Unpin,
    received: mpsc::Sender<Vec<u8>>,
) -> io::Result<()> {
    let mut decoder = Decoder::default();
    let mut buffer = [0; READ_BYTES];
    loop {
        let count = reader.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        for frame in buffer.iter().take(count).filter_map(|byte| decoder.push(*byte)) {
            if received.send(frame).await.is_err() {
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
    writer.close().await
}

/// What is read from a modem at once.
const READ_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tearline_crdt::entropy::SeededEntropy;
    use tearline_crdt::keys::DeviceKeys;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::thin::Config;

    /// A TCP stream of tokio as `futures` reads and writes it.
    struct Modem(TcpStream);

    impl AsyncRead for Modem {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let mut buffer = tokio::io::ReadBuf::new(buffer);
            let read = tokio::io::AsyncRead::poll_read(Pin::new(&mut self.0), cx, &mut buffer);
            read.map_ok(|()| buffer.filled().len())
        }
    }

    impl AsyncWrite for Modem {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            tokio::io::AsyncWrite::poll_write(Pin::new(&mut self.0), cx, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            tokio::io::AsyncWrite::poll_flush(Pin::new(&mut self.0), cx)
        }

        fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            tokio::io::AsyncWrite::poll_shutdown(Pin::new(&mut self.0), cx)
        }
    }

    struct End {
        commands: mpsc::Sender<ThinCommand>,
        events: mpsc::Receiver<ThinEvent>,
    }

    fn end(side: u8, line: Line, modem: TcpStream) -> End {
        let [own, peer] = [side, 1 - side].map(|n| DeviceKeys::from_seeds(&[n + 1; 32], &[n; 32]));
        let entropy = Box::new(SeededEntropy::new(u64::from(side)));
        let config = Config::new(line, side == 0);
        let machine = Machine::new(&own, peer.id(), peer.agreement(), config, entropy).unwrap();
        let (to_machine, received) = mpsc::channel(4);
        let (transmit, from_machine) = mpsc::channel(1);
        let (commands, command_queue) = mpsc::channel(4);
        let (event_queue, events) = mpsc::channel(4);
        tokio::spawn(kiss(Modem(modem), to_machine, from_machine));
        let frames = LinkFrames { received, transmit };
        tokio::spawn(carry(machine, line, frames, command_queue, event_queue));
        End { commands, events }
    }

    /// Two drivers over a real connection, as between a host and its modem.
    #[tokio::test]
    async fn frames_cross_a_kiss_connection() {
        let line = Line { bits_per_s: 10_000_000, half_duplex: None };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (dialed, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let mut a = end(0, line, dialed.unwrap());
        let mut b = end(1, line, accepted.unwrap().0);
        assert_eq!(a.events.recv().await, Some(ThinEvent::Up { dialer: true }));
        let message = vec![0xc0; 5_000];
        let send = ThinCommand::Send { urgency: Urgency::Flash, bytes: message.clone() };
        a.commands.send(send).await.unwrap();
        assert_eq!(b.events.recv().await, Some(ThinEvent::Up { dialer: false }));
        assert_eq!(b.events.recv().await, Some(ThinEvent::Frame { bytes: message }));
        assert_eq!(a.events.recv().await, Some(ThinEvent::Room { urgency: Urgency::Flash }));
        let send = ThinCommand::Send { urgency: Urgency::Flash, bytes: Vec::new() };
        a.commands.send(send).await.unwrap();
        let reason = SendError::Size { bytes: 0 };
        let refused = ThinEvent::Refused { urgency: Urgency::Flash, reason };
        assert_eq!(a.events.recv().await, Some(refused));
    }
}
