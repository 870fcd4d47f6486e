//! Two KISS modems that hear each other. Each has a TCP port for its host, as a software modem has;
//! what one host writes, the other reads. They say nothing of their own, and know no rate: the hosts
//! keep to theirs.

#![expect(clippy::indexing_slicing, reason = "an end is 0 or 1, and a test fails by panicking")]

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Two modems; gone when dropped.
#[derive(Debug)]
pub struct Modems {
    ports: [SocketAddr; 2],
    air: Arc<Mutex<Air>>,
}

#[derive(Debug, Default)]
struct Air {
    hosts: [Option<TcpStream>; 2],
    carried_bytes: u64,
    off: bool,
    closed: bool,
}

/// What is read from a host at once.
const READ_BYTES: usize = 512;

impl Modems {
    /// Two modems that are on.
    ///
    /// # Errors
    /// When the system gives no port.
    pub fn start() -> io::Result<Self> {
        let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listeners = [listen()?, listen()?];
        let ports = [listeners[0].local_addr()?, listeners[1].local_addr()?];
        let air = Arc::new(Mutex::new(Air::default()));
        for (side, listener) in listeners.into_iter().enumerate() {
            let air = Arc::clone(&air);
            thread::spawn(move || serve(side, &listener, &air));
        }
        Ok(Self { ports, air })
    }

    /// Where the host of a modem, 0 or 1, finds it.
    #[must_use]
    pub const fn port(&self, side: usize) -> SocketAddr {
        self.ports[side]
    }

    /// Bytes that crossed, in both directions together.
    #[must_use]
    pub fn carried_bytes(&self) -> u64 {
        lock(&self.air).carried_bytes
    }

    /// Drops both hosts, and every one that comes while they are off.
    pub fn switch(&self, on: bool) {
        let mut air = lock(&self.air);
        air.off = !on;
        if air.off {
            air.drop_hosts();
        }
    }
}

impl Air {
    fn drop_hosts(&mut self) {
        for host in self.hosts.iter().flatten() {
            let _ = host.shutdown(Shutdown::Both);
        }
        self.hosts = [None, None];
    }
}

impl Drop for Modems {
    fn drop(&mut self) {
        let mut air = lock(&self.air);
        air.closed = true;
        air.drop_hosts();
        drop(air);
        // Those that wait for a host get one, and see that it is over.
        for port in self.ports {
            let _ = TcpStream::connect(port);
        }
    }
}

fn lock(air: &Mutex<Air>) -> MutexGuard<'_, Air> {
    air.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One modem: one host after the other.
fn serve(side: usize, listener: &TcpListener, air: &Mutex<Air>) {
    while let Ok((mut host, _)) = listener.accept() {
        {
            let mut air = lock(air);
            if air.closed {
                return;
            }
            if air.off {
                continue;
            }
            air.hosts[side] = host.try_clone().ok();
        }
        let mut buffer = [0; READ_BYTES];
        while let Ok(count @ 1..) = host.read(&mut buffer) {
            let mut air = lock(air);
            // Nobody listens, or hears all of it: so it is on the air.
            let heard = air.hosts[1 - side].as_mut();
            if heard.is_some_and(|host| host.write_all(&buffer[..count]).is_ok()) {
                air.carried_bytes += count as u64;
            }
        }
        lock(air).hosts[side] = None;
    }
}
