//! A TCP line between two daemons that can be parted: then nothing more passes and nobody is told, as when
//! a network fails. What was sent meanwhile comes when it is joined again.
//!
//! Each connection has two threads; they end with it, or with the proxy.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A line to one daemon; gone when dropped.
#[derive(Debug)]
pub struct Proxy {
    at: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    to: SocketAddr,
    inner: Mutex<Inner>,
    joined: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    parted: bool,
    closed: bool,
    /// Both ends of each connection, to end them with the proxy.
    streams: Vec<TcpStream>,
}

/// What is read at once.
const READ_BYTES: usize = 16 * 1024;

impl Proxy {
    /// A line that is joined, to who listens at a port of this machine.
    ///
    /// # Errors
    /// When the system gives no port.
    pub fn to(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let at = listener.local_addr()?;
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let state = Arc::new(State { to, inner: Mutex::default(), joined: Condvar::new() });
        let serving = Arc::clone(&state);
        thread::spawn(move || serve(&listener, &serving));
        Ok(Self { at, state })
    }

    /// The port at which it is dialled.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.at.port()
    }

    /// From now on carries nothing, or carries again.
    pub fn part(&self, parted: bool) {
        lock(&self.state).parted = parted;
        self.state.joined.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut inner = lock(&self.state);
        inner.closed = true;
        inner.parted = false;
        for stream in inner.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(inner);
        self.state.joined.notify_all();
        // Who waits for a connection gets one, and sees that it is over.
        let _ = TcpStream::connect(self.at);
    }
}

fn lock(state: &State) -> MutexGuard<'_, Inner> {
    state.inner.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits while the line is parted; whether it is still there.
fn is_joined(state: &State) -> bool {
    let inner = state.joined.wait_while(lock(state), |inner| inner.parted);
    !inner.unwrap_or_else(PoisonError::into_inner).closed
}

fn serve(listener: &TcpListener, state: &Arc<State>) {
    while let Ok((near, _)) = listener.accept() {
        if lock(state).closed {
            return;
        }
        let state = Arc::clone(state);
        thread::spawn(move || carry(&near, &state));
    }
}

/// Carries one connection until either side ends it.
fn carry(near: &TcpStream, state: &Arc<State>) -> Option<()> {
    if !is_joined(state) {
        return None;
    }
    let far = TcpStream::connect(state.to).ok()?;
    for stream in [near, &far] {
        let _ = stream.set_nodelay(true);
        lock(state).streams.push(stream.try_clone().ok()?);
    }
    let back = (far.try_clone().ok()?, near.try_clone().ok()?, Arc::clone(state));
    let backwards = thread::spawn(move || pass(&back.0, &back.1, &back.2));
    pass(near, &far, state);
    let _ = backwards.join();
    Some(())
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, state: &State) {
    let mut buffer = [0; READ_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let part = buffer.get(..count).unwrap_or_default();
        if !is_joined(state) || to.write_all(part).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
