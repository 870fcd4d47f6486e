//! A line for datagrams between two daemons: as slow, as far, as lossy as is wanted, and cut at will.
//!
//! Each end is a UDP port of this machine. What comes in at one goes out of the other, to where that
//! end was last called from. A datagram takes the line for as long as its bytes take at the line's rate,
//! and arrives after the delay; on a line that is half duplex, two that are on the air at once destroy
//! each other. Which are lost is drawn from a seed. The threads of a line sleep, as the line would;
//! tests wait for what comes of it.

#![expect(clippy::indexing_slicing, reason = "an end is 0 or 1")]

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How a line is.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// In each direction; of both together, if it is half duplex.
    pub bits_per_s: u32,
    /// From one end to the other.
    pub delay: Duration,
    /// Of a thousand datagrams.
    pub lost_per_mille: u64,
    /// Which of them.
    pub seed: u64,
    /// Whether one end at a time can be heard.
    pub half_duplex: bool,
}

/// What one end sent and the other got, and what was lost on the way.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Carried {
    /// Datagrams that arrived.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Datagrams that did not.
    pub lost: u64,
}

/// A line; gone when dropped.
#[derive(Debug)]
pub struct Line {
    ends: [SocketAddr; 2],
    state: Arc<Mutex<State>>,
}

/// From when to when something was on the air, or the line was cut.
type Span = (Instant, Instant);

#[derive(Debug)]
struct State {
    weather: Weather,
    luck: u64,
    callers: [Option<SocketAddr>; 2],
    free_at: [Instant; 2],
    on_air: [VecDeque<Span>; 2],
    cut_since: Option<Instant>,
    cuts: Vec<Span>,
    carried: [Carried; 2],
    closed: bool,
}

/// A datagram on its way.
struct OnAir {
    bytes: Vec<u8>,
    span: Span,
    lost: bool,
}

/// Datagrams that wait at one end; what is more is lost.
const WAITING_MAX: usize = 64;
/// Transmissions of one end that another can have overlapped with.
const SPANS_MAX: usize = 2 * WAITING_MAX;
/// Largest datagram.
const DATAGRAM_BYTES_MAX: usize = 2_048;
/// How often a thread looks whether its line is gone.
const LOOK: Duration = Duration::from_millis(100);

impl Line {
    /// A line that is up.
    ///
    /// # Errors
    /// When the system gives no port.
    pub fn open(weather: Weather) -> io::Result<Self> {
        let sockets = [socket()?, socket()?];
        let ends = [sockets[0].local_addr()?, sockets[1].local_addr()?];
        let state = Arc::new(Mutex::new(State {
            weather,
            luck: weather.seed,
            callers: [None; 2],
            free_at: [Instant::now(); 2],
            on_air: [VecDeque::new(), VecDeque::new()],
            cut_since: None,
            cuts: Vec::new(),
            carried: [Carried::default(); 2],
            closed: false,
        }));
        for side in 0..2 {
            let (near, far) = (sockets[side].try_clone()?, sockets[1 - side].try_clone()?);
            let (sender, receiver) = sync_channel(WAITING_MAX);
            let (taking, giving) = (Arc::clone(&state), Arc::clone(&state));
            thread::spawn(move || take(side, &near, &taking, &sender));
            thread::spawn(move || give(side, &far, &giving, &receiver));
        }
        Ok(Self { ends, state })
    }

    /// Where the daemon at one end, 0 or 1, calls the other.
    #[must_use]
    pub const fn end(&self, side: usize) -> SocketAddr {
        self.ends[side]
    }

    /// Loses everything from now on, and what is on the air.
    pub fn cut(&self) {
        lock(&self.state).cut_since = Some(Instant::now());
    }

    /// Carries again.
    pub fn heal(&self) {
        let mut state = lock(&self.state);
        if let Some(since) = state.cut_since.take() {
            state.cuts.push((since, Instant::now()));
        }
    }

    /// What the daemon at one end sent.
    #[must_use]
    pub fn carried(&self, side: usize) -> Carried {
        lock(&self.state).carried[side]
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        lock(&self.state).closed = true;
    }
}

impl State {
    /// A datagram comes in at an end.
    fn begin(&mut self, side: usize, bytes: Vec<u8>) -> OnAir {
        let micros = bytes.len() as u64 * 8_000_000 / u64::from(self.weather.bits_per_s.max(1));
        let begun = self.free_at[side].max(Instant::now());
        let span = (begun, begun + Duration::from_micros(micros));
        self.free_at[side] = span.1;
        self.on_air[side].push_back(span);
        if self.on_air[side].len() > SPANS_MAX {
            self.on_air[side].pop_front();
        }
        let lost = self.draw() % 1_000 < self.weather.lost_per_mille;
        OnAir { bytes, span, lost }
    }

    /// Whether a datagram whose time on the air is over did not get through.
    fn is_lost(&self, side: usize, datagram: &OnAir) -> bool {
        let touches = |other: &Span| other.0 < datagram.span.1 && datagram.span.0 < other.1;
        datagram.lost
            || self.cuts.iter().any(touches)
            || self.cut_since.is_some_and(|since| since < datagram.span.1)
            || self.weather.half_duplex && self.on_air[1 - side].iter().any(touches)
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    const fn draw(&mut self) -> u64 {
        self.luck = self.luck.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.luck;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
}

fn socket() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_read_timeout(Some(LOOK))?;
    Ok(socket)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes what the daemon at one end sends, until the line is gone.
fn take(side: usize, socket: &UdpSocket, state: &Mutex<State>, onward: &SyncSender<OnAir>) {
    let mut buffer = [0; DATAGRAM_BYTES_MAX];
    loop {
        let came = socket.recv_from(&mut buffer);
        let mut state = lock(state);
        if state.closed {
            return;
        }
        // Nobody there, or nobody there any more.
        let Ok((count, from)) = came else { continue };
        state.callers[side] = Some(from);
        let datagram = state.begin(side, buffer[..count].to_vec());
        if onward.try_send(datagram).is_err() {
            state.carried[side].lost += 1;
        }
    }
}

/// Gives to the daemon at the other end what arrives there.
fn give(side: usize, socket: &UdpSocket, state: &Mutex<State>, arriving: &Receiver<OnAir>) {
    while let Ok(datagram) = arriving.recv() {
        let delay = lock(state).weather.delay;
        thread::sleep((datagram.span.1 + delay).saturating_duration_since(Instant::now()));
        let mut state = lock(state);
        let to = state.callers[1 - side].filter(|_| !state.is_lost(side, &datagram));
        let carried = &mut state.carried[side];
        match to {
            Some(to) if socket.send_to(&datagram.bytes, to).is_ok() => {
                carried.frames += 1;
                carried.bytes += datagram.bytes.len() as u64;
            }
            _ => carried.lost += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Weather = Weather {
        bits_per_s: 10_000_000,
        delay: Duration::ZERO,
        lost_per_mille: 0,
        seed: 1,
        half_duplex: false,
    };
    const WAIT_MAX: Duration = Duration::from_secs(20);

    /// Two sockets at a line's ends, which have called each other.
    fn callers(line: &Line) -> [UdpSocket; 2] {
        let sockets = [0, 1].map(|side| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            socket.connect(line.end(side)).unwrap();
            socket.set_read_timeout(Some(WAIT_MAX)).unwrap();
            socket
        });
        // The first call of either may find nobody to go to.
        while line.carried(0).frames == 0 || line.carried(1).frames == 0 {
            for socket in &sockets {
                socket.send(b"hello").unwrap();
            }
            thread::yield_now();
        }
        sockets
    }

    fn settled(line: &Line, side: usize, datagrams: u64) -> Carried {
        loop {
            let carried = line.carried(side);
            if carried.frames + carried.lost >= datagrams {
                return carried;
            }
            thread::yield_now();
        }
    }

    fn received(socket: &UdpSocket) -> Vec<u8> {
        let mut buffer = [0; 64];
        loop {
            let count = socket.recv(&mut buffer).unwrap();
            if &buffer[..count] != b"hello" {
                return buffer[..count].to_vec();
            }
        }
    }

    #[test]
    fn it_carries_is_cut_and_heals() {
        let line = Line::open(FAST).unwrap();
        let [a, b] = callers(&line);
        a.send(b"across").unwrap();
        assert_eq!(received(&b), b"across");
        b.send(b"back").unwrap();
        assert_eq!(received(&a), b"back");
        line.cut();
        let before = line.carried(0);
        a.send(b"lost").unwrap();
        let after = settled(&line, 0, before.frames + before.lost + 1);
        assert_eq!((after.frames, after.lost), (before.frames, before.lost + 1));
        line.heal();
        a.send(b"again").unwrap();
        assert_eq!(received(&b), b"again");
    }

    #[test]
    fn what_is_lost_follows_from_the_seed() {
        let draws = |seed: u64| {
            let line = Line::open(Weather { seed, lost_per_mille: 300, ..FAST }).unwrap();
            let mut state = lock(&line.state);
            (0..200).map(|_| state.begin(0, vec![0]).lost).collect::<Vec<_>>()
        };
        assert_eq!(draws(5), draws(5));
        assert_ne!(draws(5), draws(6));
        let lost = draws(5).into_iter().filter(|lost| *lost).count();
        assert!((30..=90).contains(&lost), "{lost} of 200 at 30 %");
    }

    #[test]
    fn a_slow_line_takes_its_time_and_two_at_once_destroy_each_other() {
        let weather = Weather { bits_per_s: 8_000, half_duplex: true, ..FAST };
        let line = Line::open(weather).unwrap();
        let mut state = lock(&line.state);
        let first = state.begin(0, vec![0; 100]);
        let second = state.begin(0, vec![0; 100]);
        assert_eq!(first.span.1 - first.span.0, Duration::from_millis(100));
        assert!(second.span.0 >= first.span.1, "one after the other");
        assert!(!state.is_lost(0, &first));
        let other = state.begin(1, vec![0; 10]);
        assert!(state.is_lost(0, &first) && state.is_lost(1, &other));
        state.weather.half_duplex = false;
        assert!(!state.is_lost(0, &first) && !state.is_lost(1, &other));
    }
}
