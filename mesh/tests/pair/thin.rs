//! Two replicas over a thin link of 2,400 bit/s, 600 ms and loss: the same replicas, the same frames.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tearline_crdt::entropy::{Entropy as _, SeededEntropy};
use tearline_crdt::id::Class;
use tearline_crdt::store::Store as _;
use tearline_crdt::time::{MonoTime, Now, WallTime};
use tearline_mesh::replica::Position;
use tearline_mesh::thin::{self, Action, Config, Line, Machine};
use tearline_mesh::wire::Frame;
use tearline_mesh::{Input, Link, Output, Urgency};

use crate::world::{World, draft, keys};

const LINE: Line = Line { bits_per_s: 2_400, half_duplex: None };
const DELAY_MS: u64 = 600;
/// Of a thousand link frames.
const LOST: u64 = 50;
/// What a pair in sync says when it meets again.
const IN_SYNC_BYTES_MAX: usize = 40;
/// Bytes of messages in a full link frame: 24 less are the link's own.
const BODY_BYTES: usize = 176;

#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Happening {
    Sent(usize),
    Arrived(usize, Vec<u8>),
}

/// The link, its two machines, and what drives the replicas at its ends.
struct ThinLink {
    machines: [Machine; 2],
    link: Link,
    up: [bool; 2],
    now_ms: u64,
    start: Now,
    queue: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    order: u64,
    luck: SeededEntropy,
    cut: bool,
    lost: u64,
    link_bytes: usize,
    /// The frames given to the link, of each urgency.
    given: Vec<(Urgency, usize)>,
    /// Entries in the runs that were given to the link.
    entries: usize,
}

fn machine(side: usize, dials: bool, seed: u64) -> Machine {
    let [own, peer] = [side, 1 - side].map(|side| keys(side as u8 + 1));
    let entropy = Box::new(SeededEntropy::new(seed));
    let config = Config::new(LINE, dials);
    Machine::new(&own, peer.id(), peer.agreement(), config, entropy).unwrap()
}

impl ThinLink {
    fn new(world: &World) -> Self {
        Self {
            machines: [machine(0, true, 1), machine(1, false, 2)],
            link: Link(1_000),
            up: [false; 2],
            now_ms: 0,
            start: world.now(),
            queue: BinaryHeap::new(),
            order: 0,
            luck: SeededEntropy::new(3),
            cut: false,
            lost: LOST,
            link_bytes: 0,
            given: Vec::new(),
            entries: 0,
        }
    }

    fn now(&self) -> Now {
        Now {
            mono: MonoTime(self.start.mono.0 + self.now_ms),
            wall: WallTime(self.start.wall.0 + self.now_ms),
        }
    }

    fn at(&mut self, ms: u64, happening: Happening) {
        self.order += 1;
        self.queue.push(Reverse((ms, self.order, happening)));
    }

    /// One side starts again: its machine knows nothing, its replica what is on its disk.
    fn restart(&mut self, world: &mut World, side: usize) {
        self.machines[side] = machine(side, side == 0, 9);
        self.up[side] = false;
        self.input(world, side, Input::Down { link: self.link });
        world.crash(side);
        self.tell(world, side, thin::Event::Tick);
    }

    fn run(&mut self, world: &mut World, until_ms: u64, done: impl Fn(&mut World) -> bool) {
        for side in 0..2 {
            self.drain_replica(world, side);
        }
        while !done(world) {
            let happens = self.queue.peek().map(|Reverse((ms, ..))| *ms);
            let start = self.start.mono.0;
            let deadlines = self.machines.iter().filter_map(Machine::deadline);
            let ticks = deadlines.map(|at| at.0.saturating_sub(start).max(self.now_ms)).min();
            let next = [happens, ticks].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= until_ms) else {
                self.now_ms = until_ms;
                return;
            };
            self.now_ms = next;
            if happens != Some(next) {
                self.tell(world, 0, thin::Event::Tick);
                self.tell(world, 1, thin::Event::Tick);
                continue;
            }
            match self.queue.pop().unwrap().0.2 {
                Happening::Sent(side) => self.tell(world, side, thin::Event::Sent),
                Happening::Arrived(side, bytes) => {
                    self.tell(world, side, thin::Event::Received { bytes });
                }
            }
        }
    }

    fn tell(&mut self, world: &mut World, side: usize, event: thin::Event) {
        let now = self.now().mono;
        self.machines[side].handle(now, event);
        self.drain_machine(world, side);
    }

    fn drain_machine(&mut self, world: &mut World, side: usize) {
        while let Some(action) = self.machines[side].poll_action() {
            match action {
                Action::Transmit { bytes } => self.transmit(side, bytes),
                Action::Up { dialer } => {
                    self.up[side] = true;
                    let device = self.machines[side].peer();
                    self.input(
                        world,
                        side,
                        Input::Up { link: self.link, device, dialer, thin: true },
                    );
                }
                Action::Down { fault } => {
                    assert_eq!(fault, None);
                    self.up[side] = false;
                    self.input(world, side, Input::Down { link: self.link });
                }
                Action::Deliver { bytes, .. } => {
                    self.input(world, side, Input::Frame { link: self.link, bytes });
                }
                Action::Room { urgency } => {
                    self.input(world, side, Input::Sent { link: self.link, urgency });
                }
            }
        }
    }

    fn input(&mut self, world: &mut World, side: usize, input: Input) {
        world.peers[side].replica.handle(self.now(), input).unwrap();
        self.drain_replica(world, side);
    }

    fn drain_replica(&mut self, world: &mut World, side: usize) {
        let mut flushed = Vec::new();
        while let Some(output) = world.peers[side].replica.poll_output() {
            match output {
                Output::Send { urgency, bytes, .. } => {
                    if let Ok(Frame::Run { count, .. }) = Frame::decode(&bytes) {
                        self.entries += count;
                    }
                    self.given.push((urgency, bytes.len()));
                    let now = self.now().mono;
                    let sent = self.machines[side].send(now, urgency, &bytes);
                    assert!(sent.is_ok() || !self.up[side], "{sent:?}");
                }
                Output::Close { fault, .. } => panic!("closed: {fault:?}"),
                Output::Flush { barrier } => flushed.push(barrier),
                Output::Vouch { .. } | Output::Unvouch { .. } | Output::Event(_) => {}
            }
        }
        for barrier in flushed {
            world.peers[side].replica.store_mut().flush().unwrap();
            self.input(world, side, Input::Flushed { barrier });
        }
        self.drain_machine(world, side);
    }

    fn transmit(&mut self, side: usize, bytes: Vec<u8>) {
        self.link_bytes += bytes.len();
        let end_ms = self.now_ms + LINE.air_ms(bytes.len());
        self.at(end_ms, Happening::Sent(side));
        let lost = u64::from_be_bytes(self.luck.array()) % 1_000 < self.lost;
        if !self.cut && !lost {
            self.at(end_ms + DELAY_MS, Happening::Arrived(1 - side, bytes));
        }
    }
}

#[test]
fn replicas_sync_over_a_thin_link_through_loss_cuts_and_a_restart() {
    let mut world = World::new(2);
    let coalition = world.coalition();
    world.meet(1, 0);
    let shared = world.open(0, coalition, &[1, 2]);
    world.meet(1, 0);
    let names: Vec<String> = (0..40).map(|n| format!("record {n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut records = Vec::new();
    for part in names.chunks(4) {
        records.extend(world.write(0, shared, Class::Routine, part));
        world.settle();
    }
    records.extend(world.write(1, shared, Class::Flash, &["from the field"]));
    world.settle();
    assert!(!world.digests_equal(0, 1));

    let mut thin = ThinLink::new(&world);
    let held = |world: &mut World| world.peers[1].replica.counts(shared).unwrap().entries;
    let before = held(&mut world);
    thin.run(&mut world, 3_600_000, |world| held(world) > before + 8);
    thin.cut = true;
    let now = thin.now_ms;
    thin.run(&mut world, now + 600_000, |_| false);
    thin.cut = false;
    let now = thin.now_ms;
    thin.run(&mut world, now + 3_600_000, |world| held(world) > before + 20);
    thin.restart(&mut world, 1);
    let now = thin.now_ms;
    thin.run(&mut world, now + 3_600_000, |world| world.digests_equal(0, 1));
    assert!(world.digests_equal(0, 1), "{} of {} entries", held(&mut world), before + 41);
    for record in records {
        assert!(world.show(0, record).is_some() && world.show(1, record).is_some());
    }
    // Who was in sync and meets again, after a cut of an hour, says so and no more.
    let now = thin.now_ms;
    thin.run(&mut world, now + 600_000, |_| false);
    for side in 0..2 {
        thin.machines[side] = machine(side, side == 0, 20 + side as u64);
        thin.up[side] = false;
        thin.input(&mut world, side, Input::Down { link: thin.link });
    }
    thin.queue.clear();
    thin.now_ms += 3_600_000;
    thin.given.clear();
    (0..2).for_each(|side| thin.tell(&mut world, side, thin::Event::Tick));
    let now = thin.now_ms;
    thin.run(&mut world, now + 600_000, |_| false);
    assert!(thin.up == [true, true] && world.digests_equal(0, 1));
    let sync: usize = thin.given.iter().map(|(_, bytes)| bytes).sum();
    assert!(sync <= IN_SYNC_BYTES_MAX, "{sync} bytes: {:?}", thin.given);
    // What was durable was not sent again: at most a window of entries is, after the restart.
    assert!(thin.entries <= 41 + 20, "{} entries were sent", thin.entries);
    assert!(world.peers.iter().all(|peer| peer.closed.is_empty()));
}

/// With 200 routine records queued, a flash is readable within its own frames, the one on the wire and
/// the delay, wherever in the routine it is written.
#[test]
fn a_flash_overtakes_what_the_replica_has_queued() {
    let mut world = World::new(2);
    let coalition = world.coalition();
    world.meet(1, 0);
    let shared = world.open(0, coalition, &[1, 2]);
    world.meet(1, 0);
    let names: Vec<String> = (0..200).map(|n| format!("record {n} of the routine")).collect();
    for part in names.chunks(20) {
        let part: Vec<&str> = part.iter().map(String::as_str).collect();
        world.write(0, shared, Class::Routine, &part);
        world.settle();
    }
    let mut thin = ThinLink::new(&world);
    thin.lost = 0;
    for n in 0..8 {
        let now = thin.now_ms;
        thin.run(&mut world, now + 5_000 + 97 * n, |_| false);
        thin.given.clear();
        // The disk takes no time here: what counts is the line.
        let drafts = vec![draft("stop it")];
        let act = world.peers[0].replica.write(thin.now(), shared, Class::Flash, drafts).unwrap();
        let flash = act.value[0].record;
        thin.drain_replica(&mut world, 0);
        let written = thin.now_ms;
        thin.run(&mut world, written + 60_000, |world| world.show(1, flash).is_some());
        let given = thin.given.iter().filter(|(urgency, _)| *urgency == Urgency::Flash);
        let bytes: usize = given.map(|(_, bytes)| bytes + 8).sum();
        let frames = bytes.div_ceil(BODY_BYTES) + 1;
        let bound = frames as u64 * LINE.air_ms(200) + DELAY_MS;
        let took = thin.now_ms - written;
        assert!(world.show(1, flash).is_some() && took <= bound, "{took} of {bound} ms");
    }
    let held = world.peers[1].replica.counts(shared).unwrap().entries;
    assert!(held < 200, "the routine was still on its way");
}

/// The first goes at once, and then the latest once in five minutes; each fits a frame or two of the link.
#[test]
fn positions_go_over_a_thin_link_the_latest_once_in_five_minutes() {
    let mut world = World::new(2);
    let coalition = world.coalition();
    world.meet(1, 0);
    let shared = world.open(0, coalition, &[1, 2]);
    world.meet(1, 0);
    let mut thin = ThinLink::new(&world);
    thin.lost = 0;
    thin.run(&mut world, 120_000, |_| false);
    assert_eq!(thin.up, [true, true]);
    thin.given.clear();
    let before = thin.link_bytes;
    let mut said = Vec::new();
    for latitude_e7 in 0..11 {
        let at = Position { latitude_e7, longitude_e7: 144_900_000, accuracy_m: 50 };
        let now = thin.now();
        world.peers[0].replica.be_at(now, shared, at, 3_600).unwrap();
        let now = thin.now_ms;
        thin.run(&mut world, now + 60_000, |_| false);
        let there = world.peers[1].replica.presences();
        said.extend(there.iter().map(|presence| presence.position.latitude_e7));
    }
    assert_eq!(said, [0, 0, 0, 0, 0, 5, 5, 5, 5, 5, 10]);
    assert_eq!(thin.given.len(), 3, "{:?}", thin.given);
    assert!(thin.given.iter().all(|(_, bytes)| *bytes <= BODY_BYTES), "{:?}", thin.given);
    // With acknowledgements and signs of life, which is what the line carries for eleven minutes.
    println!("{} bytes on the line", thin.link_bytes - before);
    assert!(world.peers.iter().all(|peer| peer.replica.faults().is_empty()));
}
