//! Load: 20 peers write 50 records a second, while one at a time loses power and another is parted from
//! all. What comes twice is counted by the link that it came over, so that a test that fails says why.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::{Class, CompartmentId};
use tearline_mesh::replica::Way;
use tearline_mesh::wire::Frame;

use crate::forger::shared;
use crate::world::{Peer, World};

const SIZE: usize = 20;
/// Each peer dials those so far behind it in the ring.
const STEPS: [usize; 2] = [1, 6];
/// How often a record is written, in all.
const PACE_MS: u64 = 20;
/// Who loses power and who is parted in one round, how long it is, and when those who dial who lost power
/// do so again.
const ROUNDS: [[usize; 2]; 4] = [[3, 16], [0, 9], [12, 5], [18, 1]];
const ROUND_MS: u64 = 4_000;
const DIALLED_MS: u64 = 3_000;
/// A whole of which the others take their share.
const CLASSES: [Class; 8] = [
    Class::Routine,
    Class::Routine,
    Class::Priority,
    Class::Routine,
    Class::Routine,
    Class::Priority,
    Class::Immediate,
    Class::Flash,
];

/// What a load is like.
struct Load {
    /// How long a flush takes, at least and at most.
    flush_ms: [u64; 2],
    seconds: u64,
    /// Whether peers lose power and are parted.
    faults: bool,
}

/// What came to all peers.
#[derive(Debug, Default)]
struct Came {
    bytes: u64,
    /// Of these what was there, as the replicas count it.
    again: u64,
    /// Runs that were there, whole or in part, by what the link is to the tree and whether they were pushed.
    why: BTreeMap<(&'static str, &'static str), usize>,
}

impl Came {
    /// How much of it was there, of a thousand bytes.
    fn again_per_mille(&self) -> u64 {
        self.again * 1_000 / self.bytes.max(1)
    }

    fn sees(&mut self, peers: &[Peer], [from, to]: [usize; 2], all: CompartmentId, frame: &Frame) {
        let Frame::Run { key, first, hops, .. } = frame else { return };
        let mut logs = peers[to].replica.logbook().logs_of(all);
        let log = logs.find(|(log, _)| LogKey::of(log) == *key);
        if log.is_none_or(|(_, state)| *first >= state.head.next) {
            return;
        }
        let way = |a: usize, b: usize| {
            peers[a].replica.ways(&peers[b].replica.device()).get(&all).copied()
        };
        let link = match (way(from, to), way(to, from)) {
            (Some(Way::Parent), _) | (_, Some(Way::Parent)) => "parent and child",
            (Some(Way::Eager), _) => "asked",
            (Some(Way::Lazy), _) => "lazy",
            (None, _) => "no neighbours",
        };
        let how = if hops.is_some() { "pushed" } else { "compared" };
        *self.why.entry((link, how)).or_default() += 1;
    }
}

impl Load {
    /// Writes, and waits until all hold the same.
    fn run(&self) -> Came {
        let (mut world, all) = shared(SIZE);
        (0..SIZE).for_each(|peer| dial(&mut world, peer));
        world.run_for(20_000);
        let [least, most] = self.flush_ms;
        (world.flush_ms, world.flush_spread_ms) = (least, most - least);
        let came = Rc::new(RefCell::new(Came::default()));
        let seen = Rc::clone(&came);
        world.watch = Some(Box::new(move |peers, ends, frame| {
            seen.borrow_mut().sees(peers, ends, all, frame);
        }));
        let mut counted = [[0; 2]; SIZE];
        (0..SIZE).for_each(|peer| counted[peer] = carried(&world, peer));
        let count = |world: &World, peer: usize, counted: &mut [[u64; 2]; SIZE]| {
            let now = carried(world, peer);
            came.borrow_mut().bytes += now[0] - counted[peer][0];
            came.borrow_mut().again += now[1] - counted[peer][1];
            counted[peer] = now;
        };
        let (mut off, mut records) = (None, Vec::new());
        for n in 0..self.seconds * 1_000 / PACE_MS {
            let at = n * PACE_MS;
            let [killed, parted] = ROUNDS[(at / ROUND_MS) as usize % ROUNDS.len()];
            match at % ROUND_MS {
                _ if !self.faults => {}
                0 => {
                    world.part(parted, true);
                    count(&world, killed, &mut counted);
                    counted[killed] = [0; 2];
                    world.crash(killed);
                    off = Some(killed);
                }
                at if at == ROUND_MS / 2 => {
                    world.part(parted, false);
                    off = None;
                    dial(&mut world, killed);
                }
                DIALLED_MS => {
                    for step in STEPS {
                        world.connect((killed + SIZE - step) % SIZE, killed);
                    }
                }
                _ => {}
            }
            let by = (n * 7) as usize % SIZE;
            if off != Some(by) {
                let class = CLASSES[(n / 3) as usize % CLASSES.len()];
                records.extend(world.write(by, all, class, &[&format!("{n}")]));
            }
            world.run_for(PACE_MS);
        }
        let agree = |world: &World| (1..SIZE).all(|peer| world.digests_equal(0, peer));
        let agreed = (0..120).any(|_| {
            world.run_for(500);
            agree(&world)
        });
        assert!(agreed, "all hold the same in the end");
        (0..SIZE).for_each(|peer| count(&world, peer, &mut counted));
        for peer in [0, SIZE / 2] {
            assert!(records.iter().all(|record| world.show(peer, *record).is_some()));
        }
        world.watch = None;
        came.take()
    }
}

fn dial(world: &mut World, peer: usize) {
    for step in STEPS {
        world.connect(peer, (peer + step) % SIZE);
    }
}

fn carried(world: &World, peer: usize) -> [u64; 2] {
    let carried = world.peers[peer].replica.carried();
    [carried.bytes, carried.again_bytes]
}

#[test]
fn of_a_load_with_kills_and_partitions_hardly_anything_comes_twice() {
    let came = Load { flush_ms: [2, 2], seconds: 8, faults: true }.run();
    assert!(came.again_per_mille() <= 50, "{} of 1000 {came:?}", came.again_per_mille());
}

/// A flush takes longer than news between two neighbours, and what is late is not asked for at once.
#[test]
fn of_a_load_on_slow_disks_hardly_anything_comes_twice() {
    let came = Load { flush_ms: [150, 450], seconds: 8, faults: false }.run();
    assert!(came.again_per_mille() <= 50, "{} of 1000 {came:?}", came.again_per_mille());
}
