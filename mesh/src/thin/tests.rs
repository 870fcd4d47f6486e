//! Two machines and a line between them, in virtual time. The line has a rate, a delay, and loss,
//! repetition and reordering by a seed; it may be cut, and carry one way at a time.

mod bounds;
mod delivery;
mod hostile;
mod sessions;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use tearline_crdt::entropy::{Entropy as _, SeededEntropy};
use tearline_crdt::keys::DeviceKeys;
use tearline_crdt::time::MonoTime;

use super::noise::{ANSWER, DATA, NO_CONVERSATION, OPEN, Pair, Wish};
use super::*;

/// Steps without time passing after which a machine counts as spinning.
const STEPS_MAX: usize = 1_000;

/// What a line does to frames.
#[derive(Clone)]
struct Weather {
    delay_ms: u64,
    /// Of a thousand frames.
    lost: u16,
    repeated: u16,
    /// Frames arrive up to so much later, each by itself.
    late_ms_max: u64,
    /// Whether the line is cut at a time.
    cut: fn(u64) -> bool,
}

impl Weather {
    const fn fair(delay_ms: u64) -> Self {
        Self { delay_ms, lost: 0, repeated: 0, late_ms_max: 0, cut: |_| false }
    }
}

#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Happening {
    Sent(usize),
    Arrived { to: usize, from_ms: u64, bytes: Vec<u8> },
    Given { to: usize, urgency: u8, message: Vec<u8> },
}

/// A side: its machine and what stands above it.
struct Side {
    machine: Machine,
    config: Config,
    /// Messages that wait for room, by urgency.
    waiting: [VecDeque<Vec<u8>>; 5],
    delivered: Vec<(u64, Urgency, Vec<u8>)>,
    /// What the machine took, in order.
    given: Vec<(Urgency, Vec<u8>)>,
    ups: Vec<bool>,
    downs: Vec<Option<ThinFault>>,
    /// When its last transmission ends.
    speaks_until_ms: u64,
}

struct World {
    sides: [Side; 2],
    line: Line,
    weather: Weather,
    now_ms: u64,
    order: u64,
    queue: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    luck: SeededEntropy,
    /// When frames were sent that did not arrive.
    lost_at_ms: Vec<u64>,
    /// All frames that were sent, and by whom.
    sent: Vec<(u64, usize, Vec<u8>)>,
}

const FULL: Line = Line { bits_per_s: 2_400, half_duplex: None };
const HALF: Line = Line {
    bits_per_s: 2_400,
    half_duplex: Some(HalfDuplex { guard_ms: 100, turn_frames_max: 20 }),
};

fn keys(side: usize) -> DeviceKeys {
    DeviceKeys::from_seeds(&[side as u8 + 1; 32], &[side as u8 + 101; 32])
}

fn machine(side: usize, config: Config, seed: u64) -> Machine {
    let peer = keys(1 - side);
    let entropy = Box::new(SeededEntropy::new(seed * 2 + side as u64));
    Machine::new(&keys(side), peer.id(), peer.agreement(), config, entropy).unwrap()
}

impl World {
    /// A world in which the first side dials.
    fn new(line: Line, weather: Weather, seed: u64) -> Self {
        Self::with(line, weather, seed, [true, false].map(|dials| Config::new(line, dials)))
    }

    fn with(line: Line, weather: Weather, seed: u64, configs: [Config; 2]) -> Self {
        let mut side = 0;
        let sides = configs.map(|config| {
            side += 1;
            Side {
                machine: machine(side - 1, config, seed),
                config,
                waiting: Default::default(),
                delivered: Vec::new(),
                given: Vec::new(),
                ups: Vec::new(),
                downs: Vec::new(),
                speaks_until_ms: 0,
            }
        });
        Self {
            sides,
            line,
            weather,
            now_ms: 0,
            order: 0,
            queue: BinaryHeap::new(),
            luck: SeededEntropy::new(seed),
            lost_at_ms: Vec::new(),
            sent: Vec::new(),
        }
    }

    fn now(&self) -> MonoTime {
        MonoTime(self.now_ms)
    }

    fn at(&mut self, ms: u64, happening: Happening) {
        self.order += 1;
        self.queue.push(Reverse((ms, self.order, happening)));
    }

    /// A message for a side to send, from a time on.
    fn give_at(&mut self, ms: u64, side: usize, urgency: Urgency, message: Vec<u8>) {
        self.at(ms, Happening::Given { to: side, urgency: urgency as u8, message });
    }

    fn give(&mut self, side: usize, urgency: Urgency, message: Vec<u8>) {
        self.give_at(self.now_ms, side, urgency, message);
    }

    /// A device that lost all but its keys.
    fn restart(&mut self, side: usize) {
        let config = self.sides[side].config;
        self.sides[side].machine = machine(side, config, self.now_ms + 1);
        self.event(side, Event::Tick);
    }

    /// Runs until a time, or until nothing is left to happen.
    fn run_until(&mut self, until_ms: u64) {
        self.run_while(until_ms, |_| true);
        self.now_ms = self.now_ms.max(until_ms);
    }

    fn run_while(&mut self, until_ms: u64, go_on: impl Fn(&Self) -> bool) {
        let mut steps = 0;
        while go_on(self) {
            let happens = self.queue.peek().map(|Reverse((ms, ..))| *ms);
            let deadlines = self.sides.iter().filter_map(|side| side.machine.deadline());
            let ticks = deadlines.map(|at| at.0.max(self.now_ms)).min();
            let Some(next) = [happens, ticks].into_iter().flatten().min() else { return };
            if next > until_ms {
                return;
            }
            steps = if next > self.now_ms { 0 } else { steps + 1 };
            assert!(steps < STEPS_MAX, "a machine spins at {next} ms");
            self.now_ms = next;
            if happens == Some(next) {
                if let Some(Reverse((_, _, happening))) = self.queue.pop() {
                    self.happen(happening);
                }
            } else {
                for side in 0..2 {
                    if self.sides[side].machine.deadline().is_some_and(|at| at.0 <= next) {
                        self.event(side, Event::Tick);
                    }
                }
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Sent(side) => self.event(side, Event::Sent),
            Happening::Arrived { to, from_ms, bytes } => {
                let deaf =
                    self.line.half_duplex.is_some() && self.sides[to].speaks_until_ms > from_ms;
                if deaf {
                    self.lost_at_ms.push(from_ms);
                } else {
                    self.event(to, Event::Received { bytes });
                }
            }
            Happening::Given { to, urgency, message } => {
                self.sides[to].waiting[usize::from(urgency)].push_back(message);
                self.feed(to);
                self.drain(to);
            }
        }
    }

    fn event(&mut self, side: usize, event: Event) {
        let now = self.now();
        self.sides[side].machine.handle(now, event);
        self.drain(side);
    }

    /// Gives a machine what waits and has room.
    fn feed(&mut self, side: usize) {
        let now = self.now();
        let Side { machine, waiting, given, .. } = &mut self.sides[side];
        for (urgency, waiting) in Urgency::ALL.into_iter().zip(waiting) {
            while let Some(message) = waiting.front() {
                if machine.send(now, urgency, message).is_err() {
                    break;
                }
                given.extend(waiting.pop_front().map(|message| (urgency, message)));
            }
        }
    }

    fn drain(&mut self, side: usize) {
        while let Some(action) = self.sides[side].machine.poll_action() {
            match action {
                Action::Transmit { bytes } => self.transmit(side, bytes),
                Action::Up { dialer } => {
                    self.sides[side].ups.push(dialer);
                    self.feed(side);
                }
                Action::Room { .. } => self.feed(side),
                Action::Down { fault } => self.sides[side].downs.push(fault),
                Action::Deliver { urgency, bytes } => {
                    self.sides[side].delivered.push((self.now_ms, urgency, bytes));
                }
            }
        }
    }

    fn transmit(&mut self, side: usize, bytes: Vec<u8>) {
        assert!(bytes.len() <= LINK_FRAME_BYTES_MAX);
        let Weather { delay_ms, lost, repeated, late_ms_max, cut } = self.weather.clone();
        let end_ms = self.now_ms + self.line.air_ms(bytes.len());
        self.sides[side].speaks_until_ms = end_ms;
        self.at(end_ms, Happening::Sent(side));
        self.sent.push((self.now_ms, side, bytes.clone()));
        // What stands in a cut at any moment of its transmission is lost.
        let in_cut = (self.now_ms..=end_ms).step_by(50).chain([end_ms]).any(cut);
        let copies = 1 + usize::from(self.dice(1_000) < u64::from(repeated));
        if in_cut || self.dice(1_000) < u64::from(lost) {
            self.lost_at_ms.push(self.now_ms);
            return;
        }
        for _ in 0..copies {
            let late_ms = self.dice(late_ms_max + 1);
            let to_ms = end_ms + delay_ms + late_ms;
            let from_ms = self.now_ms + delay_ms + late_ms;
            self.at(to_ms, Happening::Arrived { to: 1 - side, from_ms, bytes: bytes.clone() });
        }
    }

    fn dice(&mut self, sides: u64) -> u64 {
        u64::from_be_bytes(self.luck.array()) % sides
    }

    /// What a side was given of an urgency, in order.
    fn delivered(&self, side: usize, urgency: Urgency) -> Vec<&[u8]> {
        let all = self.sides[side].delivered.iter();
        all.filter(|(_, u, _)| *u == urgency).map(|(_, _, message)| message.as_slice()).collect()
    }

    fn faults(&self, side: usize) -> &BTreeMap<&'static str, u64> {
        &self.sides[side].machine.counters().faults
    }
}

/// A message of this size that says which it is.
fn message(number: usize, bytes: usize) -> Vec<u8> {
    let mut message = vec![number as u8; bytes];
    for (to, from) in message.iter_mut().zip((number as u32).to_be_bytes()) {
        *to = from;
    }
    message
}
