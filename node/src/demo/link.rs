//! A link between two daemons: a forwarder of TCP connections that can be slowed and cut. What one
//! end sends waits at the link as it would at a modem: a few kilobytes, not what a loopback
//! connection's buffers would take.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::failure::Failure;

/// A link; gone when dropped.
#[derive(Debug)]
pub(super) struct Link {
    address: SocketAddr,
    condition: watch::Sender<Condition>,
    task: AbortHandle,
}

/// What all connections over a link share.
#[derive(Debug)]
struct Lanes {
    condition: watch::Receiver<Condition>,
    there: Lane,
    back: Lane,
}

/// One direction: when it is free again.
type Lane = Mutex<Instant>;

/// How a link is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Condition {
    up: bool,
    /// In each direction; `None` does not slow it.
    bits_per_second: Option<u64>,
}

impl Link {
    /// A link that is up and forwards to `target`.
    pub(super) fn open(runtime: &Handle, target: SocketAddr) -> Result<Self, Failure> {
        let failed = |e: std::io::Error| Failure::io("cannot make a link", &e);
        let _inside = runtime.enter();
        let listener = listen().map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (condition, seen) = watch::channel(Condition { up: true, bits_per_second: None });
        let lanes = Arc::new(Lanes {
            condition: seen,
            there: Mutex::new(Instant::now()),
            back: Mutex::new(Instant::now()),
        });
        let task = runtime.spawn(forward(listener, target, lanes)).abort_handle();
        Ok(Self { address, condition, task })
    }

    /// Where to connect to in order to get to the target.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks all connections and takes no new ones: what an end sends afterwards is not carried.
    pub(super) fn cut(&self) {
        self.condition.send_modify(|condition| condition.up = false);
    }

    /// Takes connections again.
    pub(super) fn heal(&self) {
        self.condition.send_modify(|condition| condition.up = true);
    }

    /// Sets the speed of each direction.
    pub(super) fn limit(&self, bits_per_second: Option<u64>) {
        self.condition.send_modify(|condition| condition.bits_per_second = bits_per_second);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(listener: TcpListener, target: SocketAddr, lanes: Arc<Lanes>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((near, _)) = listener.accept().await else { continue };
        if lanes.condition.borrow().up && connections.len() < CONNECTIONS_MAX {
            connections.spawn(join(near, target, Arc::clone(&lanes)));
        }
    }
}

/// Carries one connection until either end closes it or the link is cut.
async fn join(near: TcpStream, target: SocketAddr, lanes: Arc<Lanes>) {
    let Ok(far) = dial(target).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let mut watched = lanes.condition.clone();
    tokio::select! {
        () = carry(near_in, far_out, &lanes, &lanes.there) => {}
        () = carry(far_in, near_out, &lanes, &lanes.back) => {}
        _ = watched.wait_for(|condition| !condition.up) => {}
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, lanes: &Lanes, lane: &Lane) {
    let mut buffer = [0; CHUNK_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let Condition { up, bits_per_second } = *lanes.condition.borrow();
        if !up {
            return;
        }
        if let Some(bits_per_second) = bits_per_second {
            let micros = count as u64 * 8 * 1_000_000 / bits_per_second.max(1);
            // Whoever comes while the lane is taken waits in line: connections share it.
            let mut free_at = lane.lock().await;
            *free_at = free_at.max(Instant::now()) + Duration::from_micros(micros);
            sleep_until(*free_at).await;
        }
        let Some(chunk) = buffer.get(..count) else { return };
        if to.write_all(chunk).await.is_err() {
            return;
        }
    }
}

fn listen() -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    socket.listen(16)
}

async fn dial(target: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.connect(target).await
}

/// What is carried at once: a third of a second at 12 kbit/s.
const CHUNK_BYTES: usize = 512;
/// What may wait at the link. The system may double it.
const SOCKET_BUFFER_BYTES: u32 = 4 * 1024;
/// Most connections over one link at once.
const CONNECTIONS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener as Listener, TcpStream as Stream};
    use std::thread;

    use tokio::runtime::Runtime;

    use super::*;

    /// A peer that sends back what it gets.
    fn echo() -> SocketAddr {
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                thread::spawn(move || {
                    let mut back = stream.try_clone().unwrap();
                    let _ = std::io::copy(&mut stream, &mut back);
                });
            }
        });
        address
    }

    fn round_trip(stream: &mut Stream, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        stream.write_all(bytes)?;
        let mut back = vec![0; bytes.len()];
        stream.read_exact(&mut back)?;
        Ok(back)
    }

    #[test]
    fn it_carries_is_cut_and_heals() {
        let runtime = Runtime::new().unwrap();
        let link = Link::open(runtime.handle(), echo()).unwrap();
        let mut stream = Stream::connect(link.address()).unwrap();
        assert_eq!(round_trip(&mut stream, b"across").unwrap(), b"across");
        link.cut();
        assert!(round_trip(&mut stream, b"lost").is_err());
        let refused = Stream::connect(link.address()).and_then(|mut s| round_trip(&mut s, b"lost"));
        assert!(refused.is_err());
        link.heal();
        let mut stream = Stream::connect(link.address()).unwrap();
        assert_eq!(round_trip(&mut stream, b"again").unwrap(), b"again");
    }

    #[test]
    fn it_is_no_faster_than_it_was_told() {
        let runtime = Runtime::new().unwrap();
        let link = Link::open(runtime.handle(), echo()).unwrap();
        link.limit(Some(400_000));
        let mut stream = Stream::connect(link.address()).unwrap();
        let begun = std::time::Instant::now();
        let mut second = Stream::connect(link.address()).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| round_trip(&mut stream, &[7; 5_000]).unwrap());
            round_trip(&mut second, &[7; 5_000]).unwrap();
        });
        assert!(begun.elapsed() >= Duration::from_millis(200), "10 kB at 50 kB/s");
    }
}
