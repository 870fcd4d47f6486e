//! A session: the streams of one conversation, under the keys of its last handshake.
//!
//! It outlives silence of any length, and its keys. It ends when one side lost it, by a restart, or
//! when the other side does what no honest one does.

use tearline_crdt::time::MonoTime;

use super::ThinFault;
use super::flight::{Flight, Part};
use super::frame::{Ack, Body, Fragment};
use super::noise::{Conversation, FRAMES_PER_KEY_MAX, Keys, Unopened};
use super::order::{GiveOrder, TakeOrder};
use super::received::Received;
use super::stream::{ReceiveStream, SendStream};
use crate::urgency::Urgency;

/// Silence after which every other question is a first message: the other side may have lost its keys.
const SILENT_TIMEOUTS: u32 = 4;

pub(super) struct Session {
    pub(super) conversation: Conversation,
    keys: Keys,
    /// Those before, under which frames may still come.
    previous: Option<Keys>,
    /// Frames of the other side that carried fragments.
    came: Received,
    /// The last ping that is to be answered.
    pong: Option<u32>,
    sending: [SendStream; Urgency::ALL.len()],
    receiving: [ReceiveStream; Urgency::ALL.len()],
    give_order: GiveOrder,
    take_order: TakeOrder,
    flight: Flight,
    /// Something came that the other side does not know of.
    ack_owed: bool,
    /// A question is due.
    ask: Option<Ask>,
}

/// What to ask a side that is silent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ask {
    /// By a frame that was on its way, if there is one.
    Again,
    /// By a ping.
    Ping,
}

/// A data frame, taken.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) over: bool,
    pub(super) messages: Vec<(Urgency, Vec<u8>)>,
}

/// A frame to send.
pub(super) struct Ready {
    pub(super) bytes: Vec<u8>,
    pub(super) over: bool,
}

impl Session {
    pub(super) fn new(
        now: MonoTime,
        conversation: Conversation,
        keys: Keys,
        first_round_trip_ms: u64,
    ) -> Self {
        Self {
            conversation,
            keys,
            previous: None,
            came: Received::default(),
            pong: None,
            sending: Default::default(),
            receiving: Default::default(),
            give_order: GiveOrder::default(),
            take_order: TakeOrder::default(),
            flight: Flight::new(now, first_round_trip_ms),
            ack_owed: false,
            ask: None,
        }
    }

    /// Goes on under new keys.
    pub(super) fn renew(&mut self, now: MonoTime, keys: Keys) {
        self.previous = Some(std::mem::replace(&mut self.keys, keys));
        self.came = Received::default();
        self.pong = None;
        self.ack_owed = false;
        self.ask = None;
        let parts = self.flight.restart(now);
        self.lost(&parts);
    }

    /// Frames sent or received under the keys, whichever is more.
    pub(super) fn frames_under_keys(&self) -> u32 {
        self.keys.sent.max(self.keys.received.next())
    }

    pub(super) fn has_room(&self, urgency: Urgency) -> bool {
        self.sending.get(urgency as usize).is_some_and(SendStream::has_room)
    }

    /// Takes a message to send, for which there is room.
    pub(super) fn push(&mut self, urgency: Urgency, message: &[u8]) {
        let head = self.give_order.head(urgency);
        if let Some(stream) = self.sending.get_mut(urgency as usize) {
            stream.push(&head, message);
        }
    }

    /// The streams in which another message may be given, each said once.
    pub(super) fn made_room(&mut self) -> impl Iterator<Item = Urgency> {
        let streams = Urgency::ALL.into_iter().zip(&mut self.sending);
        streams.filter_map(|(urgency, stream)| stream.made_room().then_some(urgency))
    }

    /// Asks at once, so that it is known soon whether the other side is there.
    pub(super) fn ask(&mut self) {
        self.ask = self.ask.or(Some(Ask::Ping));
    }

    /// Says that something came, as an answer to the other side's question.
    pub(super) const fn answer(&mut self) {
        self.ack_owed = true;
    }

    /// Bytes of streams that came more than once.
    pub(super) fn repeated_bytes(&self) -> u64 {
        self.receiving.iter().map(|stream| stream.repeated_bytes).sum()
    }

    const fn is_silent(&self) -> bool {
        self.flight.timeouts() > 0
    }

    /// How many streams may be sent, so many frames from here: while the other side is silent only the
    /// most urgent, which do not wait for it to be heard.
    fn open_streams(&self, frames: usize) -> usize {
        if !self.flight.has_room(frames) {
            0
        } else if self.is_silent() && self.ask != Some(Ask::Again) {
            Urgency::Flash as usize + 1
        } else {
            Urgency::ALL.len()
        }
    }

    fn has_fragments(&self, frames: usize) -> bool {
        self.sending.iter().take(self.open_streams(frames)).any(SendStream::is_ready)
    }

    /// Whether there is a frame to send.
    pub(super) fn is_ready(&self) -> bool {
        let wanted = self.ack_owed || self.ask.is_some() || self.has_fragments(1);
        wanted && self.keys.sent < FRAMES_PER_KEY_MAX
    }

    /// The next frame: the most urgent fragments, what came of theirs, and whether the turn is over.
    pub(super) fn next(&mut self, now: MonoTime, turns: bool, last: bool) -> Option<Ready> {
        if !self.is_ready() {
            return None;
        }
        let mut body = Body::default();
        if self.ack_owed {
            body.ack =
                self.came.ack().map(|(highest, missing)| Ack { highest: highest as u16, missing });
            body.pong = self.pong.map(|number| number as u16);
        }
        let parts = self.fill(&mut body);
        body.ping = parts.is_empty() && self.ask.is_some();
        let asks = body.ping || !parts.is_empty();
        self.ack_owed = false;
        self.pong = None;
        self.ask = None;
        body.over = turns && (last || !self.has_fragments(2));
        let over = body.over;
        let (number, bytes) = self.keys.seal(&body.encode())?;
        if asks {
            self.flight.sent(now, number, parts, !turns || over);
        }
        Some(Ready { bytes, over })
    }

    fn fill(&mut self, body: &mut Body) -> Vec<Part> {
        let mut parts = Vec::new();
        let open = self.open_streams(1);
        for (urgency, stream) in Urgency::ALL.into_iter().zip(&mut self.sending).take(open) {
            while let Some((from, bytes)) = body.room().and_then(|room| stream.take(room)) {
                parts.push(Part { urgency, from, to: from + bytes.len() as u64 });
                body.fragments.push(Fragment { urgency, offset: from as u16, bytes });
            }
        }
        parts
    }

    /// Opens and takes a data frame. Nothing changes when it does not open.
    pub(super) fn take(&mut self, now: MonoTime, frame: &[u8]) -> Result<Taken, ThinFault> {
        let (number, bytes, current) = match self.keys.open(frame) {
            Ok((number, bytes)) => (number, bytes, true),
            Err(Unopened::Repeated) => return Err(ThinFault::Repeated),
            Err(Unopened::Sealed) => {
                let previous = self.previous.as_ref().ok_or(ThinFault::Sealed)?;
                let (number, bytes) = previous.open(frame).map_err(|_| ThinFault::Sealed)?;
                (number, bytes, false)
            }
        };
        self.take_opened(now, number, &bytes, current)
    }

    /// Takes the content of a frame that was opened under the present keys or those before.
    pub(super) fn take_opened(
        &mut self,
        now: MonoTime,
        number: u32,
        bytes: &[u8],
        current: bool,
    ) -> Result<Taken, ThinFault> {
        let body = Body::decode(bytes)?;
        let mut taken = Taken { over: body.over, messages: Vec::new() };
        let mut items = Vec::new();
        for Fragment { urgency, offset, bytes } in &body.fragments {
            let Some(stream) = self.receiving.get_mut(*urgency as usize) else { continue };
            let from = stream.locate(*offset, bytes.len()).ok_or(ThinFault::Window)?;
            stream.take(from, bytes, &mut items)?;
            for item in items.drain(..) {
                self.take_order.take(*urgency, item, &mut taken.messages)?;
            }
        }
        if !current {
            // What is under the old keys is sent again: neither acknowledged nor believed.
            if let Some(previous) = &mut self.previous {
                previous.received.note(number);
            }
            return Ok(taken);
        }
        self.previous = None;
        self.keys.received.note(number);
        if !body.fragments.is_empty() {
            self.came.note(number);
            self.ack_owed = true;
        } else if body.ping {
            self.pong = Some(number);
            self.ack_owed = true;
        }
        let was_silent = self.is_silent();
        self.flight.heard();
        let outcome = self.flight.on_ack(now, self.keys.sent, body.ack, body.pong)?;
        for part in &outcome.came {
            if let Some(stream) = self.sending.get_mut(part.urgency as usize) {
                stream.acknowledged(part.from, part.to);
            }
        }
        self.lost(&outcome.lost);
        if was_silent && body.pong.is_none() && !self.flight.is_empty() {
            // It is there again: what came of what was on its way?
            self.ask = Some(Ask::Ping);
        }
        Ok(taken)
    }

    fn lost(&mut self, parts: &[Part]) {
        for part in parts {
            if let Some(stream) = self.sending.get_mut(part.urgency as usize) {
                stream.lost(part.from, part.to);
            }
        }
    }

    /// When time alone changes something. A question is put when the turn is ours.
    pub(super) fn deadline(&self, turns: bool, opens_at: MonoTime) -> Option<MonoTime> {
        let ask_at = if self.ask.is_none() { self.flight.ask_at(turns) } else { None };
        let ask_at = ask_at.map(|at| at.max(opens_at));
        [ask_at, self.flight.overtaken_at()].into_iter().flatten().min()
    }

    /// Time passed. Says whether the other side may have lost its keys.
    pub(super) fn on_time(&mut self, now: MonoTime, turns: bool, opens_at: MonoTime) -> bool {
        let lost = self.flight.overtaken(now);
        self.lost(&lost);
        let due = self.flight.ask_at(turns).is_some_and(|at| at.max(opens_at) <= now);
        if self.ask.is_some() || !due {
            return false;
        }
        let again = self.flight.timed_out();
        self.ask = Some(if again.is_empty() { Ask::Ping } else { Ask::Again });
        self.lost(&again);
        let timeouts = self.flight.timeouts();
        timeouts >= SILENT_TIMEOUTS && timeouts.is_multiple_of(2)
    }

    /// The question was put by other means.
    pub(super) fn asked(&mut self, now: MonoTime) {
        self.ask = None;
        self.flight.asked(now);
    }

    /// How long an answer may take.
    pub(super) fn wait_ms(&self) -> u64 {
        self.flight.wait_ms()
    }
}
