//! Lags: what a peer lacks of a log, what of it is on its way, and how much that may be.
//!
//! Every run that is sent is answered: by what the peer holds then, by its position if the run does
//! not continue its log, or by a refusal. Whatever the answer, what it is about is not on its way any
//! more; else the window would stay closed for logs that have nothing to do with it.

use std::collections::VecDeque;

use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::CompartmentId;
use tearline_crdt::time::MonoTime;

use super::session::Session;

/// How far the other side is in one log.
#[derive(Clone, Debug, Default)]
pub(super) struct Lag {
    /// What they hold, as far as they said.
    pub(super) acked: u64,
    /// What we sent.
    pub(super) sent: u64,
    /// Frames sent and not acknowledged.
    pub(super) flight: VecDeque<Flight>,
    /// Until when it is held back, because the peer is to get it over another link.
    pub(super) held_until: Option<MonoTime>,
    /// Over how many hops it comes to the peer, if it is pushed along a tree.
    pub(super) hops: Option<u8>,
    /// Up to where another brings it to the peer: until it has so much, or says where it is, nothing is sent.
    pub(super) wait: Option<u64>,
    /// Up to where it was missing when that was last compared; 0 for what is new since.
    pub(super) owed: u64,
}

impl Lag {
    /// They hold this much, and nothing is on its way.
    pub(super) const fn at(next: u64) -> Self {
        let flight = VecDeque::new();
        Self { acked: next, sent: next, flight, held_until: None, hops: None, wait: None, owed: 0 }
    }
}

/// A run frame that was sent and not acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    /// Seq of its first entry.
    pub(super) first: u64,
    /// Seq after its last entry.
    pub(super) end: u64,
    /// Its size.
    pub(super) bytes: usize,
    /// When it was sent.
    pub(super) at: MonoTime,
}

/// How much may be on its way to a peer. What was sent cannot be overtaken, so the window follows
/// what the link carries in a moment: it doubles while acknowledgements come at once and halves
/// when they come late (additive increase is too slow for a link that is up for minutes a day).
#[derive(Clone, Copy, Debug)]
pub(super) struct Window(pub(super) usize);

/// Smallest and largest window. The smallest is what a 64 kbit/s link carries in half a second.
const WINDOW_BYTES_MIN: usize = 4 * 1024;
const WINDOW_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Acknowledgements that come sooner widen the window; later ones narrow it.
const ACK_SOON_MS: u64 = 300;
const ACK_LATE_MS: u64 = 800;

impl Window {
    pub(super) const START: Self = Self(2 * WINDOW_BYTES_MIN);

    /// An acknowledgement came after so many ms.
    pub(super) fn acknowledged(&mut self, after_ms: u64) {
        if after_ms <= ACK_SOON_MS {
            self.0 = (self.0 * 2).min(WINDOW_BYTES_MAX);
        } else if after_ms >= ACK_LATE_MS {
            self.0 = (self.0 / 2).max(WINDOW_BYTES_MIN);
        }
    }
}

/// A log of an area, in the order in which logs are sent: most urgent class first.
pub(super) type LagKey = (u8, CompartmentId, LogKey);

pub(super) fn lag_key(area: CompartmentId, key: LogKey) -> LagKey {
    (key.0.first().map_or(0, |byte| byte >> 4), area, key)
}

impl Session {
    /// Nothing of a log is on its way any more, and nothing of it waits.
    pub(super) fn drop_lag(&mut self, key: &LagKey) {
        self.open.lacking.remove(key);
        if let Some(lag) = self.lag.remove(key) {
            let flight: usize = lag.flight.iter().map(|flight| flight.bytes).sum();
            self.unacked = self.unacked.saturating_sub(flight);
        }
    }

    /// Nothing more is owed of a log, whatever was said of it.
    pub(super) fn forget_log(&mut self, key: &LagKey) {
        self.drop_lag(key);
        self.declined.remove(key);
        self.gone.remove(key);
        self.open.forget(key);
    }

    /// Forgets all of an area that is not followed any more.
    pub(super) fn part_with(&mut self, id: CompartmentId) {
        self.names.retain(|_, named| *named != id);
        self.shared.remove(&id);
        self.started.remove(&id);
        self.said.remove(&id);
        let lags: Vec<LagKey> = self.lag.keys().filter(|key| key.1 == id).copied().collect();
        lags.iter().for_each(|key| self.drop_lag(key));
        self.declined.retain(|key| key.1 != id);
        self.gone.retain(|key, _| key.1 != id);
        self.open.part_with(id);
        self.side.part_with(id);
        self.strays.retain(|(area, _)| *area != id);
        self.asked.retain(|key, _| key.1 != id);
        self.asking.retain(|key, _| key.1 != id);
        self.owed.retain(|(area, _)| *area != id);
    }

    /// The peer holds a log up to a position, of which we hold so much. Returns what was on its way
    /// and has arrived.
    pub(super) fn arrived(&mut self, key: &LagKey, next: u64, own: u64) -> Vec<Flight> {
        let Some(lag) = self.lag.get_mut(key) else { return Vec::new() };
        lag.acked = lag.acked.max(next);
        lag.sent = lag.sent.max(next);
        lag.wait.take_if(|upto| *upto <= next);
        let mut arrived = Vec::new();
        while let Some(flight) = lag.flight.pop_front_if(|flight| flight.end <= next) {
            self.unacked = self.unacked.saturating_sub(flight.bytes);
            arrived.push(flight);
        }
        if lag.acked >= lag.owed {
            self.open.lacking.remove(key);
        }
        if lag.acked >= own {
            self.drop_lag(key);
        }
        arrived
    }

    /// Of a log of which they lack something, that is owed up to here: it was compared.
    pub(super) fn owe(&mut self, key: LagKey, own: u64) {
        if let Some(lag) = self.lag.get_mut(&key) {
            lag.owed = own;
            self.open.lacking.insert(key);
            self.side.note_missing(key);
        }
    }

    /// Another brings the peer a log, up to a position; whether that is news, and something of it was to
    /// be sent. What is on its way is as if it had not been sent.
    pub(super) fn hold_off(&mut self, key: &LagKey, upto: u64) -> bool {
        let Some(lag) = self.lag.get_mut(key) else { return false };
        let flight: usize = lag.flight.drain(..).map(|flight| flight.bytes).sum();
        self.unacked = self.unacked.saturating_sub(flight);
        lag.sent = lag.acked;
        lag.wait.replace(upto).is_none()
    }

    /// The peer does not take a run that begins there. What it says of one that was sent before it
    /// asked for the log anew says nothing of what was sent since.
    pub(super) fn declines(&mut self, key: &LagKey, first: u64) {
        let lag = self.lag.get(key);
        if lag.is_some_and(|lag| lag.flight.iter().any(|flight| flight.first == first)) {
            self.declined.insert(*key);
            self.drop_lag(key);
        }
    }
}
