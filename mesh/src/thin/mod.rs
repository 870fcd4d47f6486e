//! The thin link: one conversation between two known devices over a line of a few hundred bytes a
//! second, as a state machine without I/O. `docs/protocol/thin.md` describes it to the byte.
//!
//! It carries what a libp2p substream carries, the frames of [`crate::wire`], in link frames of at most
//! 200 bytes that may be lost, repeated and reordered. Five streams, one of each [`Urgency`], are cut
//! into fragments; whenever the line is free the most urgent go next, so that a flash waits for one
//! link frame and no more. What came is acknowledged frame by frame, and nothing is sent again that
//! came. Keys and half-sent messages are kept through silence of any length; only a restart of one side
//! begins anew, with two messages of 132 bytes together.
//!
//! Its methods are of four kinds: *events*, [`Machine::handle`]; *actions*, [`Machine::poll_action`],
//! to be drained to `None` after every event and every message; *messages*, [`Machine::send`];
//! *questions*, which take `&self`.
//!
//! ```text
//! loop {
//!     while let Some(action) = machine.poll_action() { carry it out }
//!     let event = wait for a link frame, a line that is free, or machine.deadline();
//!     machine.handle(now, event);
//! }
//! ```
//! A machine holds at most 5.8 MiB, whatever the other side sends: in each direction and stream one
//! message of 512 KiB and 16 KiB on its way, and 512 KiB that wait for control; buffers that grow may
//! take twice that. Without the keys nobody makes it hold anything.

mod admission;
mod fault;
mod flight;
mod frame;
pub mod kiss;
mod machine;
mod noise;
mod order;
mod ranges;
mod received;
mod session;
mod stream;
#[cfg(test)]
mod tests;
mod turn;

use std::collections::BTreeMap;

pub use fault::ThinFault;
pub use frame::LINK_FRAME_BYTES_MAX;
pub use machine::Machine;
pub use noise::{HANDSHAKE_BYTES_MAX, PairError};
pub use stream::MESSAGE_BYTES_MAX;
pub use turn::HalfDuplex;

use crate::urgency::Urgency;

/// How the line is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Line {
    /// What it carries, in bit/s. The driver says that the line is free no sooner than this allows.
    pub bits_per_s: u32,
    /// For a line on which one side speaks at a time.
    pub half_duplex: Option<HalfDuplex>,
}

impl Line {
    /// How long the line is taken by so many bytes, in ms, rounded up.
    #[must_use]
    pub fn air_ms(&self, bytes: usize) -> u64 {
        (bytes as u64 * 8 * 1_000).div_ceil(u64::from(self.bits_per_s.max(1)))
    }

    /// A round trip, before one was measured.
    fn first_round_trip_ms(&self) -> u64 {
        let guard_ms = self.half_duplex.map_or(0, |line| line.guard_ms);
        FIRST_ROUND_TRIP_MS + 2 * (self.air_ms(LINK_FRAME_BYTES_MAX) + guard_ms)
    }
}

/// How a machine is set up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Config {
    /// The line.
    pub line: Line,
    /// Whether this side begins the session. Both may.
    pub dials: bool,
    /// After so many frames new keys are made.
    pub renew_frames: u32,
}

impl Config {
    /// For a line, with keys that are renewed after 65,536 frames.
    #[must_use]
    pub const fn new(line: Line, dials: bool) -> Self {
        Self { line, dials, renew_frames: RENEW_FRAMES }
    }
}

/// Time in the air, there and back, that a first guess allows for.
const FIRST_ROUND_TRIP_MS: u64 = 2_000;
/// Frames after which keys are renewed: half a day of a line of 2,400 bit/s.
const RENEW_FRAMES: u32 = 1 << 16;
const _: () = assert!(RENEW_FRAMES < noise::FRAMES_PER_KEY_MAX / 2);
/// What happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A link frame came; it may be anything.
    Received {
        /// The frame.
        bytes: Vec<u8>,
    },
    /// The line is free for the next frame: the last was carried, at the line's rate.
    Sent,
    /// The line is there again, as far as the driver knows.
    Contact,
    /// Time passed; to be said at [`Machine::deadline`].
    Tick,
}

/// What the driver owes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Send this link frame now, then say [`Event::Sent`]. At most one is out.
    Transmit {
        /// The frame.
        bytes: Vec<u8>,
    },
    /// A session began; the other device is proven. Messages of every urgency may be given.
    Up {
        /// Whether this side began it.
        dialer: bool,
    },
    /// The session is lost; what was not delivered of it never will be.
    Down {
        /// What the other side did wrong, if that is why.
        fault: Option<ThinFault>,
    },
    /// One whole message.
    Deliver {
        /// Of which stream.
        urgency: Urgency,
        /// The message.
        bytes: Vec<u8>,
    },
    /// The last message of this urgency is sent, or nearly: there is room for the next.
    Room {
        /// Of which stream.
        urgency: Urgency,
    },
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SendError {
    /// There is no session.
    #[error("there is no session")]
    Down,
    /// The last of this urgency is not sent.
    #[error("the last message of this urgency is not sent")]
    Full,
    /// It is empty, or too large.
    #[error("a message of {bytes} bytes; it must have 1 to {MESSAGE_BYTES_MAX}")]
    Size {
        /// Its size.
        bytes: usize,
    },
}

/// What was counted, for people.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Link frames sent, and their bytes.
    pub frames_out: u64,
    /// Bytes of link frames sent.
    pub bytes_out: u64,
    /// Handshake messages sent.
    pub handshakes_out: u64,
    /// First messages of the other side that were read, at the price of curve operations.
    pub handshakes_in: u64,
    /// Faults, by name.
    pub faults: BTreeMap<&'static str, u64>,
}

impl Counters {
    /// Faults of any name: link frames that were not taken.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.faults.values().sum()
    }
}
