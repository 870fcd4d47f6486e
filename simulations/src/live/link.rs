//! A link of an exercise: a TCP forwarder on loopback that carries so many bits a second, so much later, and
//! can be cut.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::line::PACKET_BYTES;

/// Most pieces of one direction that are on their way at once: whoever sends more waits.
const PIECES_MAX: usize = 4_096;
/// Most connections of one link at once. The two ends hold one, and a second for a moment.
const CONNECTIONS_MAX: usize = 16;

/// A link. It ends, with what it carries, when it is dropped.
#[derive(Debug)]
pub(super) struct Link {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    up: bool,
    ended: bool,
    target: SocketAddr,
    rate: u64,
    latency: Duration,
    connections: Vec<TcpStream>,
}

impl Link {
    /// A link that is down, with so many bits a second in each direction.
    pub(super) fn new(target: SocketAddr, rate: u64, latency: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Mutex::new(Shared {
            up: false,
            ended: false,
            target,
            rate,
            latency,
            connections: Vec::new(),
        }));
        let of_thread = Arc::clone(&shared);
        thread::Builder::new().spawn(move || accept(&listener, &of_thread))?;
        Ok(Self { address, shared })
    }

    /// Where it is dialled.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it leads from now on.
    pub(super) fn lead_to(&self, target: SocketAddr) {
        lock(&self.shared).target = target;
    }

    /// Puts it up, or cuts it with what is on it.
    pub(super) fn put(&self, up: bool) {
        let mut shared = lock(&self.shared);
        shared.up = up;
        if !up {
            shared.cut();
        }
    }
}

impl Shared {
    fn cut(&mut self) {
        for stream in self.connections.drain(..) {
            // Of one that is gone already nothing is left to end.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.put(false);
        lock(&self.shared).ended = true;
        // The thread that waits for connections sees one.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, shared: &Mutex<Shared>) {
    for near in listener.incoming() {
        let (target, rate, latency) = {
            let known = lock(shared);
            if known.ended {
                return;
            }
            if !known.up {
                continue;
            }
            (known.target, known.rate, known.latency)
        };
        let joined = near.and_then(|near| {
            let far = TcpStream::connect(target)?;
            let own = [near.try_clone()?, far.try_clone()?];
            for (from, to) in [(near.try_clone()?, far.try_clone()?), (far, near)] {
                carry(from, to, rate, latency)?;
            }
            Ok(own)
        });
        // Whoever cannot be joined sees the connection end.
        let Ok(own) = joined else { continue };
        let mut known = lock(shared);
        if known.connections.len() >= 2 * CONNECTIONS_MAX {
            known.cut();
        }
        known.connections.extend(own);
        // It may have been cut while they were joined.
        if !known.up {
            known.cut();
        }
    }
}

/// Carries one direction: one thread gives the medium its time, the other hands over what has arrived.
fn carry(from: TcpStream, to: TcpStream, rate: u64, latency: Duration) -> io::Result<()> {
    let (pieces, arriving) = sync_channel(PIECES_MAX);
    thread::Builder::new().spawn(move || {
        let _ = send(from, &pieces, rate, latency);
    })?;
    thread::Builder::new().spawn(move || {
        let _ = arrive(to, &arriving);
    })?;
    Ok(())
}

type Piece = (Instant, Vec<u8>);

fn send(
    mut from: TcpStream,
    pieces: &SyncSender<Piece>,
    rate: u64,
    latency: Duration,
) -> io::Result<()> {
    let mut buffer = [0; PACKET_BYTES as usize];
    let mut free = Instant::now();
    loop {
        let read = from.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        let takes = Duration::from_secs_f64(read as f64 * 8.0 / rate.max(1) as f64);
        free = free.max(Instant::now()) + takes;
        thread::sleep(free.saturating_duration_since(Instant::now()));
        if pieces.send((free + latency, bytes.to_vec())).is_err() {
            return Ok(());
        }
    }
}

fn arrive(mut to: TcpStream, arriving: &Receiver<Piece>) -> io::Result<()> {
    while let Ok((at, bytes)) = arriving.recv() {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        to.write_all(&bytes)?;
    }
    // The other end said that nothing more comes.
    to.shutdown(Shutdown::Write)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says back what it hears, on one connection after the other.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::Builder::new()
            .spawn(move || {
                for stream in listener.incoming() {
                    let (mut stream, mut bytes) = (stream.unwrap(), [0; 4]);
                    while stream.read_exact(&mut bytes).is_ok() {
                        stream.write_all(&bytes).unwrap();
                    }
                }
            })
            .unwrap();
        address
    }

    #[test]
    fn a_link_carries_while_it_is_up_and_nothing_after_a_cut() {
        let link = Link::new(echo(), 1_000_000, Duration::from_millis(1)).unwrap();
        let asks = || -> io::Result<(TcpStream, [u8; 4])> {
            let mut stream = TcpStream::connect(link.address())?;
            stream.write_all(b"ping")?;
            let mut bytes = [0; 4];
            stream.read_exact(&mut bytes)?;
            Ok((stream, bytes))
        };
        assert!(asks().is_err(), "it is down");
        link.put(true);
        let (mut stream, said) = asks().unwrap();
        assert_eq!(&said, b"ping");
        link.put(false);
        assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0, "it was cut");
        link.put(true);
        link.lead_to(echo());
        assert!(asks().is_ok());
    }
}
