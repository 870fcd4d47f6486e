//! What a stranger on the line can do, and what the other device can.

use tearline_crdt::codec::Write as _;

use super::*;
use crate::thin::frame::{Ack, Body, Fragment};
use crate::thin::noise::Keys;

const NEW: Wish = Wish { conversation: NO_CONVERSATION, run: [1; 4], attempt: 0, renew: false };

/// A side that does what it wants with the keys of a real handshake, against side 1.
struct Forger {
    keys: Keys,
    victim: Machine,
}

impl Forger {
    fn new() -> Self {
        let pair = Pair::new(&keys(0), keys(1).id(), keys(1).agreement()).unwrap();
        let mut entropy = SeededEntropy::new(9);
        let opening = pair.open(&mut entropy, NEW).unwrap();
        let mut victim = machine(1, Config::new(FULL, false), 3);
        victim.handle(MonoTime(0), Event::Received { bytes: opening.bytes.clone() });
        let Some(Action::Transmit { bytes }) = victim.poll_action() else { panic!("no answer") };
        victim.handle(MonoTime(0), Event::Sent);
        let keys = pair.finish(opening, NO_CONVERSATION, &bytes).unwrap().keys;
        let mut forger = Self { keys, victim };
        assert_eq!(
            forger.say(&Body { ping: true, ..Body::default() })[0],
            Action::Up { dialer: false }
        );
        forger
    }

    fn say(&mut self, body: &Body) -> Vec<Action> {
        self.say_raw(&body.encode())
    }

    fn say_raw(&mut self, body: &[u8]) -> Vec<Action> {
        let (_, bytes) = self.keys.seal(body).unwrap();
        self.victim.handle(MonoTime(1), Event::Received { bytes });
        let mut actions = Vec::new();
        while let Some(action) = self.victim.poll_action() {
            if matches!(action, Action::Transmit { .. }) {
                self.victim.handle(MonoTime(1), Event::Sent);
            }
            actions.push(action);
        }
        actions
    }

    fn fragment(&mut self, urgency: Urgency, offset: u16, bytes: &[u8]) -> Vec<Action> {
        let fragment = Fragment { urgency, offset, bytes: bytes.to_vec() };
        self.say(&Body { fragments: vec![fragment], ..Body::default() })
    }
}

fn down(actions: &[Action]) -> Option<ThinFault> {
    actions.iter().find_map(|action| match action {
        Action::Down { fault } => *fault,
        _ => None,
    })
}

#[test]
fn each_misdeed_of_the_device_ends_the_session() {
    let of = |misdeed: &dyn Fn(&mut Forger) -> Vec<Action>| down(&misdeed(&mut Forger::new()));
    let ack = |highest| Body { ack: Some(Ack { highest, missing: 0 }), ..Body::default() };
    assert_eq!(of(&|f| f.say(&ack(60))), Some(ThinFault::Acknowledged));
    let pong = Body { pong: Some(9), ..Body::default() };
    assert_eq!(of(&|f| f.say(&pong)), Some(ThinFault::Acknowledged));
    assert!(matches!(of(&|f| f.say_raw(&[0xff])), Some(ThinFault::Malformed(_))));
    let ahead = stream::STREAM_BYTES_MAX as u16;
    assert_eq!(of(&|f| f.fragment(Urgency::Routine, ahead, &[1])), Some(ThinFault::Window));
    assert_eq!(of(&|f| f.fragment(Urgency::Routine, ahead - 1, &[1])), None);
    assert_eq!(of(&|f| f.fragment(Urgency::Routine, 0, &[0])), Some(ThinFault::Message));
    let length = |bytes: usize| {
        let mut out = Vec::new();
        out.number(bytes as u64);
        out
    };
    let above = length(stream::ITEM_BYTES_MAX + 1);
    assert_eq!(of(&|f| f.fragment(Urgency::Routine, 0, &above)), Some(ThinFault::Message));
    let largest = length(stream::ITEM_BYTES_MAX);
    assert_eq!(of(&|f| f.fragment(Urgency::Routine, 0, &largest)), None);
    assert_eq!(of(&|f| f.fragment(Urgency::Routine, 0, &[2, 0, 0])), Some(ThinFault::Message));
}

/// 512 KiB of each stream that never become a message, and pieces beyond a gap: all is held, nothing
/// grows past the bound.
#[test]
fn half_messages_without_end_are_bounded() {
    let mut forger = Forger::new();
    for urgency in Urgency::ALL {
        let head: &[u8] = if urgency == Urgency::Control { &[] } else { &[0, 0] };
        let mut stream = Vec::new();
        stream.number((head.len() + MESSAGE_BYTES_MAX) as u64).raw(head);
        stream.resize(3 + head.len() + MESSAGE_BYTES_MAX - 1, 7);
        for (n, part) in stream.chunks(170).enumerate() {
            let actions = forger.fragment(urgency, (n * 170) as u16, part);
            assert_eq!(down(&actions), None);
            assert!(!actions.iter().any(|action| matches!(action, Action::Deliver { .. })));
        }
        let end = stream.len() as u16;
        let whole = forger.fragment(urgency, end, &[7, 1]);
        assert!(
            matches!(&whole[..], [Action::Deliver { bytes, .. }, ..] if bytes.len() == MESSAGE_BYTES_MAX)
        );
    }
}

#[test]
fn replays_and_garbage_are_dropped_and_counted() {
    let mut world = World::new(FULL, Weather::fair(600), 5);
    world.run_until(20_000);
    world.give(0, Urgency::Routine, message(1, 2_000));
    world.run_until(40_000);
    let recorded: Vec<Vec<u8>> = world.sent.iter().map(|(.., bytes)| bytes.clone()).collect();
    let sent = world.sent.len();
    for bytes in &recorded {
        for side in 0..2 {
            world.event(side, Event::Received { bytes: bytes.clone() });
            for at in [0, 1, 4, 9, bytes.len() - 1] {
                let mut changed = bytes.clone();
                changed[at] ^= 0x40;
                world.event(side, Event::Received { bytes: changed });
            }
            let cut = bytes[..bytes.len() / 2].to_vec();
            world.event(side, Event::Received { bytes: cut });
        }
    }
    world.event(1, Event::Received { bytes: Vec::new() });
    world.event(1, Event::Received { bytes: vec![DATA; LINK_FRAME_BYTES_MAX + 1] });
    world.run_until(400_000);
    assert_eq!(world.sent.len(), sent, "nobody answers");
    assert_eq!(world.delivered(1, Urgency::Routine).len(), 1);
    for side in 0..2 {
        assert!(world.sides[side].downs.is_empty() && world.sides[side].ups.len() == 1);
        let faults = world.faults(side);
        let counted: u64 = faults.values().sum();
        assert!(counted >= 6 * recorded.len() as u64, "{faults:?}");
    }
}

#[test]
fn a_flood_of_handshakes_costs_a_hash_each() {
    let mut victim = machine(1, Config::new(FULL, false), 3);
    let mut luck = SeededEntropy::new(1);
    for _ in 0..2_000 {
        let mut bytes = vec![OPEN; noise::OPEN_BYTES];
        luck.fill(&mut bytes[1..]);
        victim.handle(MonoTime(0), Event::Received { bytes });
    }
    assert_eq!(victim.counters().handshakes_in, 0);
    assert_eq!(victim.counters().faults["thin-handshake"], 2_000);
    assert_eq!(victim.poll_action(), None);

    // With first messages that were recorded, each works once, and only so many at a time.
    let pair = Pair::new(&keys(0), keys(1).id(), keys(1).agreement()).unwrap();
    let recorded: Vec<Vec<u8>> =
        (0..100).map(|n| pair.open(&mut luck, Wish { attempt: n, ..NEW }).unwrap().bytes).collect();
    for bytes in recorded.iter().chain(&recorded) {
        victim.handle(MonoTime(0), Event::Received { bytes: bytes.clone() });
    }
    assert_eq!(victim.counters().handshakes_in, 8);
    assert!(!victim.is_up());
    victim.handle(MonoTime(10_000), Event::Received { bytes: recorded[50].clone() });
    assert_eq!(victim.counters().handshakes_in, 9);
}

/// A recorded first message of the smaller device makes the larger answer, and no more.
#[test]
fn a_recorded_handshake_does_not_displace_a_session() {
    let mut world = World::new(FULL, Weather::fair(600), 5);
    world.run_until(20_000);
    let mut luck = SeededEntropy::new(1);
    let pair = Pair::new(&keys(0), keys(1).id(), keys(1).agreement()).unwrap();
    let recorded = pair.open(&mut luck, NEW).unwrap().bytes;
    world.event(1, Event::Received { bytes: recorded });
    world.give(0, Urgency::Routine, message(1, 2_000));
    world.give(1, Urgency::Routine, message(2, 2_000));
    world.run_until(100_000);
    for side in 0..2 {
        assert_eq!(world.delivered(side, Urgency::Routine).len(), 1);
        assert!(world.sides[side].downs.is_empty());
    }
}
