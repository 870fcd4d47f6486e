//! A link in virtual time: for each direction a server that sends one frame after the other.
//!
//! A frame takes its bytes by the rate, then the latency and a jitter of its own. Of the frames that wait
//! the most urgent is next. Frames of one urgency arrive in order, and none before the control frames that
//! were given before it; others overtake each other, as streams of one connection do. Packets that are lost
//! are sent again a round trip later, and cost their bytes each time. With half duplex one direction waits
//! while the other sends.
//!
//! What a frame costs on the wire is more than its bytes: [`wire_bytes`].

use std::collections::VecDeque;

use tearline_mesh::{Link, Urgency};

use crate::agenda::{NEVER, Nanos};
use crate::draws::Draws;
use crate::plan;
use crate::quantity::SECOND;

/// What of a packet is a frame's: a QUIC packet that fits an Ethernet frame through a tunnel.
pub const PACKET_BYTES: u64 = 1_200;
/// What a packet costs beside: IP and UDP headers 28, QUIC's header and tag and a stream's header 32.
pub const PACKET_OVERHEAD_BYTES: u64 = 60;
/// How much later than a round trip a sender finds out that a packet was lost.
const RETRY_AFTER: Nanos = SECOND / 20;
/// How long an end waits for anything to come through, as the transports do.
const IDLE: Nanos = 30 * SECOND;
/// How often one packet is lost at the most; then it is let through, so that every frame ends.
const LOSSES_MAX: u32 = 64;

/// What a frame costs on the wire.
#[must_use]
pub const fn wire_bytes(frame_bytes: usize) -> u64 {
    let bytes = frame_bytes as u64;
    bytes + PACKET_OVERHEAD_BYTES * packets(bytes)
}

const fn packets(bytes: u64) -> u64 {
    bytes.div_ceil(PACKET_BYTES)
}

/// Bytes on the wire, each counted where it happens.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Given to the medium.
    pub sent: u64,
    /// Arrived.
    pub delivered: u64,
    /// Lost: packets that were sent again, and what was under way when the contact ended.
    pub lost: u64,
    /// Frames that were given to the medium.
    pub frames: u64,
    /// Their bytes without what packets cost, each once.
    pub frame_bytes: u64,
}

impl Counts {
    /// The counts of two directions, or of two links, together.
    pub const fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.frames += other.frames;
        self.frame_bytes += other.frame_bytes;
    }
}

/// A frame that arrives.
#[derive(Debug)]
pub struct Arrival {
    /// At which end.
    pub end: usize,
    /// The frame.
    pub bytes: Vec<u8>,
}

/// A link.
#[derive(Debug)]
pub struct Line {
    /// What it is.
    pub plan: plan::Line,
    /// The connection over it, while there is one.
    pub link: Option<Link>,
    /// Which end dialled it.
    pub dialer: usize,
    /// Whether the next contact is to come, is on, or is over.
    contacts: usize,
    /// Whether there is a contact.
    pub open: bool,
    /// When the connection is made.
    pub connects: Nanos,
    directions: [Direction; 2],
    /// When the ends give up a connection over which nothing comes through.
    gives_up: Nanos,
    /// Its place in the agenda.
    pub due: Nanos,
    /// Frames since either end had news, and what the two ends had then.
    pub idle_frames: u32,
    /// The news of both ends when frames were last counted anew.
    pub news: u64,
    /// From each end, routine frames that went before a flash.
    pub inversions: [u32; 2],
    /// A planted bug: the least urgent goes first.
    pub inverted: bool,
    draws: Draws,
}

#[derive(Debug, Default)]
struct Direction {
    /// Whether nothing comes through.
    stopped: bool,
    /// By urgency: the replica gives one of each at the most.
    waiting: [Option<Vec<u8>>; 5],
    sending: Option<Sending>,
    flying: VecDeque<Flight>,
    /// When the last frame of each urgency arrives.
    last: [Nanos; 5],
    counts: Counts,
}

#[derive(Debug)]
struct Sending {
    until: Nanos,
    /// How much later than others it arrives, for what was lost of it.
    late: Nanos,
    urgency: Urgency,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Flight {
    at: Nanos,
    bytes: Vec<u8>,
}

impl Line {
    /// A link that is down.
    #[must_use]
    pub fn new(plan: plan::Line, draws: Draws) -> Self {
        let open = plan.windows.is_none();
        Self {
            plan,
            link: None,
            dialer: 0,
            contacts: 0,
            open,
            connects: NEVER,
            directions: Default::default(),
            gives_up: NEVER,
            due: NEVER,
            idle_frames: 0,
            news: 0,
            inversions: [0; 2],
            inverted: false,
            draws,
        }
    }

    /// Which end a post is at.
    #[must_use]
    pub const fn end_of(&self, post: u32) -> usize {
        if self.plan.between[0] == post { 0 } else { 1 }
    }

    /// When something happens here by itself.
    #[must_use]
    pub fn next(&self) -> Nanos {
        let of = |direction: &Direction| {
            if direction.stopped {
                return NEVER;
            }
            let sent = direction.sending.as_ref().map_or(NEVER, |sending| sending.until);
            direction.flying.front().map_or(NEVER, |flight| flight.at).min(sent)
        };
        let [a, b] = &self.directions;
        of(a).min(of(b)).min(self.connects).min(self.next_edge()).min(self.gives_up)
    }

    fn next_edge(&self) -> Nanos {
        let window = self.plan.windows.as_ref().and_then(|windows| windows.get(self.contacts));
        window.map_or(NEVER, |(from, to)| if self.open { *to } else { *from })
    }

    /// Begins or ends contacts until this moment.
    pub fn pass_edges(&mut self, now: Nanos) {
        while self.next_edge() <= now {
            self.contacts += usize::from(self.open);
            self.open = !self.open;
        }
    }

    /// Contacts are of no account any more: from here on there is always one, and nothing is lost.
    pub fn heal(&mut self) {
        self.plan.windows = None;
        self.plan.loss = 0.0;
        self.open = true;
    }

    /// Stops directions, from each end, or lets them go: what was under way comes then, at once and in order.
    pub fn stop(&mut self, stopped: [bool; 2], now: Nanos) {
        for (direction, stopped) in self.directions.iter_mut().zip(stopped) {
            if direction.stopped && !stopped {
                if let Some(sending) = &mut direction.sending {
                    sending.until = sending.until.max(now);
                }
                direction.flying.iter_mut().for_each(|flight| flight.at = flight.at.max(now));
            }
            direction.stopped = stopped;
        }
        self.gives_up = match stopped {
            [false, false] => NEVER,
            _ => self.gives_up.min(now.saturating_add(IDLE)),
        };
    }

    /// Whether nothing comes through in one direction, or in both.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.directions.iter().any(|direction| direction.stopped)
    }

    /// Whether the ends give up the connection now, because they have waited for something to come through.
    pub fn given_up(&mut self, now: Nanos) -> bool {
        let gives_up = self.gives_up <= now;
        if gives_up {
            self.gives_up = NEVER;
        }
        gives_up
    }

    /// Takes a frame from an end's replica. False where there was one of its urgency: the replica owes
    /// to wait.
    pub fn give(&mut self, end: usize, urgency: Urgency, bytes: Vec<u8>) -> bool {
        let Some(direction) = self.directions.get_mut(end) else { return false };
        let place = direction.waiting.get_mut(urgency as usize);
        let same = |sending: &Sending| sending.urgency == urgency;
        let busy = direction.sending.as_ref().is_some_and(same);
        match place {
            Some(place) if place.is_none() && !busy => {
                *place = Some(bytes);
                true
            }
            _ => false,
        }
    }

    /// Sends what waits, where the medium is free.
    pub fn send(&mut self, now: Nanos) {
        // Whoever dialled goes first at half duplex, and then whoever has waited.
        let order = if self.draws.chance(0.5) { [0, 1] } else { [1, 0] };
        for end in order {
            let taken = self.directions.iter().enumerate().any(|(at, direction)| {
                let waits = self.plan.half_duplex && !direction.stopped;
                direction.sending.is_some() && (at == end || waits)
            });
            let stopped = self.directions.get(end).is_some_and(|direction| direction.stopped);
            if !taken && !stopped {
                self.send_from(now, end);
            }
        }
    }

    fn send_from(&mut self, now: Nanos, end: usize) {
        let Some(direction) = self.directions.get_mut(end) else { return };
        let mut order = Urgency::ALL;
        if self.inverted {
            order.reverse();
        }
        for urgency in order {
            let waiting = direction.waiting.get_mut(urgency as usize).and_then(Option::take);
            let Some(bytes) = waiting else { continue };
            let mut cost = wire_bytes(bytes.len());
            let (mut late, mut left) = (0, packets(bytes.len() as u64));
            let whole = left;
            if self.plan.loss > 0.0 {
                for _ in 0..LOSSES_MAX {
                    left = (0..left).filter(|_| self.draws.chance(self.plan.loss)).count() as u64;
                    if left == 0 {
                        break;
                    }
                    let again = (cost_of(&bytes, left, whole)).min(cost);
                    cost += again;
                    direction.counts.lost += again;
                    late += 2 * self.plan.latency + RETRY_AFTER;
                }
            }
            direction.counts.sent += cost;
            direction.counts.frames += 1;
            direction.counts.frame_bytes += bytes.len() as u64;
            let takes =
                (u128::from(cost) * 8 * u128::from(SECOND) / u128::from(self.plan.rate)) as Nanos;
            direction.sending = Some(Sending { until: now + takes.max(1), late, urgency, bytes });
            return;
        }
    }

    /// The frame of an end that is through now, if there is one: it flies.
    pub fn sent(&mut self, now: Nanos, end: usize) -> Option<Urgency> {
        let direction = self.directions.get_mut(end)?;
        let stopped = direction.stopped;
        let Sending { late, urgency, bytes, .. } =
            direction.sending.take_if(|sending| sending.until <= now && !stopped)?;
        let jitter = self.draws.below(self.plan.jitter.saturating_add(1));
        let [control, ..] = direction.last;
        let last = direction.last.get_mut(urgency as usize)?;
        let at = (now + self.plan.latency + late + jitter).max(*last).max(control);
        *last = at;
        let place = direction.flying.iter().rposition(|flight| flight.at <= at);
        direction.flying.insert(place.map_or(0, |place| place + 1), Flight { at, bytes });
        Some(urgency)
    }

    /// A frame that has arrived by now.
    pub fn arrived(&mut self, now: Nanos) -> Option<Arrival> {
        for (end, direction) in self.directions.iter_mut().enumerate() {
            let comes = |flight: &Flight| flight.at <= now && !direction.stopped;
            if direction.flying.front().is_some_and(comes) {
                let Flight { bytes, .. } = direction.flying.pop_front()?;
                direction.counts.delivered += wire_bytes(bytes.len());
                return Some(Arrival { end: 1 - end, bytes });
            }
        }
        None
    }

    /// The connection is gone, and all that was under way with it.
    pub fn cut(&mut self) {
        self.link = None;
        self.connects = NEVER;
        self.inversions = [0; 2];
        for direction in &mut self.directions {
            direction.counts.lost += direction.in_flight();
            direction.waiting = Default::default();
            direction.sending = None;
            direction.flying.clear();
            direction.last = [0; 5];
        }
    }

    /// Forgets a byte that was lost: a simulator with a bug in its books.
    pub fn miscount(&mut self) {
        for direction in &mut self.directions {
            direction.counts.lost = direction.counts.lost.saturating_sub(1);
        }
    }

    /// Bytes of both directions.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.directions.iter().for_each(|direction| counts.add(&direction.counts));
        counts
    }

    /// Bytes that were sent and have neither arrived nor been lost: what is sent now, and what flies.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.directions.iter().map(Direction::in_flight).sum()
    }

    /// Bytes of frames that wait or are under way: what this link keeps in memory.
    #[must_use]
    pub fn held(&self) -> u64 {
        let of = |direction: &Direction| {
            direction.in_flight()
                + direction.waiting.iter().flatten().map(|frame| frame.len() as u64).sum::<u64>()
        };
        self.directions.iter().map(of).sum()
    }
}

impl Direction {
    fn in_flight(&self) -> u64 {
        let sending = self.sending.iter().map(|sending| sending.bytes.len());
        let flying = self.flying.iter().map(|flight| flight.bytes.len());
        sending.chain(flying).map(wire_bytes).sum()
    }
}

/// What it costs to send some packets of a frame again: an equal share of it.
const fn cost_of(frame: &[u8], again: u64, whole: u64) -> u64 {
    let cost = wire_bytes(frame.len());
    if whole == 0 { cost } else { (cost * again).div_ceil(whole) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(rate: u64, latency: Nanos) -> Line {
        let plan = plan::Line {
            between: [0, 1],
            rate,
            latency,
            jitter: 0,
            loss: 0.0,
            half_duplex: false,
            windows: None,
        };
        Line::new(plan, Draws::of(1, "line", 0))
    }

    /// Carries out all that happens by itself; when each frame arrived, and its first byte.
    fn run(line: &mut Line) -> Vec<(Nanos, u8)> {
        let mut arrivals = vec![];
        line.send(0);
        while line.next() != NEVER {
            let now = line.next();
            for end in [0, 1] {
                let _ = line.sent(now, end);
            }
            while let Some(arrival) = line.arrived(now) {
                arrivals.push((now, arrival.bytes[0]));
            }
            line.send(now);
        }
        arrivals
    }

    #[test]
    fn a_frame_takes_its_bytes_by_the_rate_and_the_latency() {
        let mut line = line(8_000, SECOND);
        assert!(line.give(0, Urgency::Routine, vec![1; 940]));
        assert!(!line.give(0, Urgency::Routine, vec![2; 1]), "one of each urgency");
        assert!(line.give(0, Urgency::Flash, vec![3; 440]));
        // The flash first: 500 bytes at 1,000 a second. Then 1,000 of routine.
        assert_eq!(run(&mut line), [(3 * SECOND / 2, 3), (5 * SECOND / 2, 1)]);
        let counts = line.counts();
        assert_eq!(
            (counts.sent, counts.delivered, counts.lost, counts.frames),
            (1_500, 1_500, 0, 2)
        );
    }

    #[test]
    fn a_direction_that_is_stopped_loses_nothing_and_gives_all_when_it_is_let_go() {
        let mut line = line(8_000, SECOND);
        assert!(line.give(0, Urgency::Routine, vec![1; 940]));
        assert!(line.give(1, Urgency::Routine, vec![2; 940]));
        line.send(0);
        line.stop([true, false], 0);
        let goes_on = |line: &mut Line| {
            let now = line.next();
            line.sent(now, 1).map(|_| line.next()).and_then(|now| line.arrived(now))
        };
        assert!(goes_on(&mut line).is_some_and(|arrival| arrival.end == 0));
        assert!(line.is_stopped() && line.given_up(IDLE));
        assert_eq!(line.next(), NEVER);
        assert!(line.sent(9 * SECOND, 0).is_none() && line.arrived(9 * SECOND).is_none());
        line.stop([false, false], 10 * SECOND);
        assert_eq!(run(&mut line), [(11 * SECOND, 1)]);
        let counts = line.counts();
        assert_eq!((counts.sent, counts.delivered, counts.lost), (2_000, 2_000, 0));
    }

    #[test]
    fn at_half_duplex_one_direction_waits() {
        for (half_duplex, last) in [(false, SECOND), (true, 2 * SECOND)] {
            let mut line = line(8_000, 0);
            line.plan.half_duplex = half_duplex;
            for end in [0, 1] {
                assert!(line.give(end, Urgency::Routine, vec![0; 940]));
            }
            assert_eq!(run(&mut line).last().map(|(at, _)| *at), Some(last));
        }
    }

    #[test]
    fn frames_of_one_urgency_stay_in_order_and_none_overtakes_control() {
        let mut overtaken = 0;
        for seed in 0..50 {
            let mut line = line(8_000_000, SECOND);
            (line.plan.jitter, line.draws) = (10 * SECOND, Draws::of(seed, "line", 0));
            let mut order = vec![];
            for (number, urgency) in [
                (1, Urgency::Routine),
                (2, Urgency::Flash),
                (3, Urgency::Control),
                (4, Urgency::Routine),
                (5, Urgency::Flash),
            ] {
                assert!(line.give(0, urgency, vec![number; 10]));
                line.send(order.len() as Nanos);
                let now = line.directions[0].sending.as_ref().unwrap().until;
                line.sent(now, 0);
                order.push(number);
            }
            let arrived: Vec<u8> = run(&mut line).into_iter().map(|(_, number)| number).collect();
            let at = |number| arrived.iter().position(|n| *n == number).unwrap();
            assert!(
                at(1) < at(4) && at(2) < at(5) && at(3) < at(4) && at(3) < at(5),
                "{arrived:?}"
            );
            overtaken += usize::from(at(2) < at(1));
        }
        assert!((5..45).contains(&overtaken), "{overtaken}");
    }

    #[test]
    fn what_is_lost_is_sent_again_and_counted() {
        let mut line = line(8_000_000, SECOND);
        line.plan.loss = 0.5;
        assert!(line.give(0, Urgency::Routine, vec![7; 120_000]));
        assert_eq!(run(&mut line).len(), 1);
        let counts = line.counts();
        assert_eq!(counts.delivered, wire_bytes(120_000));
        assert_eq!(counts.sent, counts.delivered + counts.lost);
        assert!(counts.lost > counts.delivered / 2 && counts.lost < 2 * counts.delivered);
        assert!(line.give(0, Urgency::Routine, vec![7; 120_000]));
        line.send(0);
        line.cut();
        let counts = line.counts();
        assert_eq!(counts.sent, counts.delivered + counts.lost, "a cut loses what is under way");
    }

    /// Frames of one size that come at random, at 70 % of the rate: the mean wait of an M/D/1 queue is
    /// `load / (2 (1 - load))` times what a frame takes (Pollaczek and Khinchine). The replica holds what
    /// waits, one frame is given at a time. 20 streams of 20,000 frames; within 3 %.
    #[test]
    fn the_delay_of_a_link_is_that_of_an_m_d_1_queue() {
        let takes = SECOND;
        let load = 0.7;
        let (mut waited, mut count) = (0_f64, 0_u64);
        for seed in 0..20 {
            let mut line = line(8 * (940 + PACKET_OVERHEAD_BYTES), 0);
            let mut draws = Draws::of(seed, "arrivals", 0);
            let (mut free, mut at) = (0, 0);
            for _ in 0..20_000 {
                at += draws.exponential((takes as f64 / load) as Nanos);
                let begins = free.max(at);
                assert!(line.give(0, Urgency::Routine, vec![0; 940]));
                line.send(begins);
                free = line.next();
                assert!(line.sent(free, 0).is_some() && line.arrived(free).is_some());
                waited += (free - takes - at) as f64;
                count += 1;
            }
        }
        let mean = waited / count as f64 / takes as f64;
        let formula = load / (2.0 * (1.0 - load));
        assert!((mean / formula - 1.0).abs() < 0.03, "{mean} to {formula}");
    }
}
