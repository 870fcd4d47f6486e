//! The tree of one peer, message by message.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::DeviceId;
use tearline_crdt::time::MonoTime;
use tearline_mesh::gossip::tree::{
    AGAIN_MS, ANNOUNCE_LOGS_MAX, ANNOUNCE_MS, ANNOUNCES_BURST, BROKEN_MAX, EVERYWHERE_HOPS_MAX,
    Input, LEADS_AMONG, MUTE_MS, Output, SHORTER_HOPS, Spread, WAIT_MS, WAIT_SPREAD_MS,
    everywhere_hops,
};
use tearline_mesh::gossip::wire::{ANNOUNCEMENTS_MAX, Announcement, TreeMessage as Message};
use tearline_mesh::gossip::{GossipFault, Holdings, News, Tree};

#[derive(Default)]
struct Held(BTreeMap<LogKey, u64>);

impl Holdings for Held {
    fn next(&self, log: &LogKey) -> u64 {
        self.0.get(log).copied().unwrap_or(0)
    }
}

/// A tree, what its peer holds, and what time it is.
#[derive(Default)]
struct Peer {
    tree: Tree,
    held: Held,
    now: u64,
}

impl Peer {
    fn with(neighbours: &[u8]) -> Self {
        let mut peer = Self::default();
        for device in neighbours {
            assert_eq!(peer.take(Input::Up { device: device_of(*device) }), []);
        }
        peer
    }

    fn take(&mut self, input: Input) -> Vec<Output> {
        self.tree.handle(MonoTime(self.now), input, &self.held);
        std::iter::from_fn(|| self.tree.poll_output()).collect()
    }

    fn hears(&mut self, from: u8, message: Message) -> Vec<Output> {
        self.take(Input::Message { from: device_of(from), message })
    }

    fn hears_of(&mut self, from: u8, news: News, hops: u8) -> Vec<Output> {
        self.hears(from, announce(&[(news, hops)]))
    }

    /// Somebody pushes something; what follows before it is durable.
    fn is_pushed(&mut self, from: u8, news: News, hops: u8) -> Vec<Output> {
        let fresh = self.held.next(&news.log) < news.next;
        if fresh {
            self.held.0.insert(news.log, news.next);
        }
        self.take(Input::Came { from: device_of(from), news, hops, fresh })
    }

    /// It becomes durable, or is written here.
    fn keeps(&mut self, news: News, spread: Spread) -> Vec<Output> {
        let next = self.held.next(&news.log).max(news.next);
        self.held.0.insert(news.log, next);
        self.take(Input::Durable { news, spread })
    }

    /// Gets something from a neighbour over so many hops, and passes it on.
    fn passes_on(&mut self, from: u8, news: News, hops: u8) -> Vec<Output> {
        assert_eq!(self.is_pushed(from, news, hops), [], "nothing before it is durable");
        self.keeps(news, Spread::Push)
    }

    fn waits(&mut self, ms: u64) -> Vec<Output> {
        self.now += ms;
        self.take(Input::Tick)
    }

    fn eager(&self) -> Vec<u8> {
        self.tree.eager().map(|device| device.0[0]).collect()
    }
}

fn device_of(byte: u8) -> DeviceId {
    DeviceId([byte; 32])
}

fn news(log: u64, next: u64) -> News {
    let mut key = [0; 16];
    key[8..].copy_from_slice(&log.to_be_bytes());
    News { log: LogKey(key), next }
}

fn announce(of: &[(News, u8)]) -> Message {
    let announcements =
        of.iter().map(|(news, hops)| Announcement { news: *news, hops: *hops, pushed: true });
    Message::Announce { announcements: announcements.collect() }
}

fn sends(to: u8, message: Message) -> Output {
    Output::Send { to: device_of(to), message }
}

fn pushes(to: u8, news: News, hops: u8) -> Output {
    Output::Push { to: device_of(to), news, hops }
}

fn asks(to: u8, news: News, held: u64) -> Output {
    sends(to, Message::Ask { news, held, repair: true })
}

fn blames(device: u8, fault: GossipFault) -> Output {
    Output::Fault { device: device_of(device), fault }
}

#[test]
fn what_is_written_is_pushed_to_all_and_not_announced() {
    let mut peer = Peer::with(&[1, 2]);
    let news = news(1, 5);
    assert_eq!(peer.keeps(news, Spread::Push), [pushes(1, news, 1), pushes(2, news, 1)]);
    assert_eq!((peer.tree.deadline(), peer.waits(ANNOUNCE_MS)), (None, vec![]));
}

#[test]
fn what_came_is_passed_on_one_hop_further_and_not_back() {
    let mut peer = Peer::with(&[1, 2, 3]);
    let news = news(1, 5);
    assert_eq!(peer.passes_on(2, news, 4), [pushes(1, news, 5), pushes(3, news, 5)]);
}

#[test]
fn who_pushes_it_a_second_time_is_pruned_and_told_of_it_from_then_on() {
    let mut peer = Peer::with(&[1, 2, 3]);
    peer.passes_on(1, news(1, 1), 2);
    assert_eq!(peer.is_pushed(2, news(1, 1), 2), [sends(2, Message::Prune)]);
    assert_eq!(peer.eager(), [1, 3]);
    assert_eq!(peer.passes_on(1, news(1, 2), 2), [pushes(3, news(1, 2), 3)]);
    let told = sends(2, announce(&[(news(1, 2), 3)]));
    assert_eq!(peer.waits(ANNOUNCE_MS), [told], "news of a log take the place of older ones");
}

#[test]
fn of_two_ways_the_longer_one_is_pruned() {
    for (hops, pruned, left) in [(5, 1, 2), (6, 2, 1)] {
        let mut peer = Peer::with(&[1, 2]);
        peer.is_pushed(1, news(1, 1), 6);
        assert_eq!(peer.is_pushed(2, news(1, 1), hops), [sends(pruned, Message::Prune)]);
        assert_eq!(peer.eager(), [left]);
    }
}

#[test]
fn a_copy_that_crosses_ours_is_left_to_whom_has_the_longer_way() {
    for (hops, answer) in [(5, vec![]), (4, vec![sends(2, Message::Prune)])] {
        let mut peer = Peer::with(&[1, 2]);
        assert_eq!(peer.passes_on(1, news(1, 1), 2), [pushes(2, news(1, 1), 3)]);
        assert_eq!(peer.is_pushed(2, news(1, 1), hops), answer, "{hops}");
    }
}

#[test]
fn a_neighbour_that_prunes_is_announced_to_until_it_asks() {
    let mut peer = Peer::with(&[1, 2]);
    peer.keeps(news(1, 1), Spread::Push);
    assert_eq!(peer.hears(1, Message::Prune), []);
    assert_eq!(peer.keeps(news(1, 2), Spread::Push), [pushes(2, news(1, 2), 1)]);
    assert_eq!(peer.waits(ANNOUNCE_MS), [sends(1, announce(&[(news(1, 2), 1)]))]);
    let asked = peer.hears(1, Message::Ask { news: news(1, 2), held: 1, repair: true });
    assert_eq!(asked, [pushes(1, news(1, 2), 1)]);
    assert_eq!(peer.eager(), [1, 2]);
}

#[test]
fn what_is_announced_and_not_pushed_in_time_is_asked_for_and_the_link_is_eager() {
    let mut peer = Peer::with(&[1, 2]);
    peer.passes_on(1, news(1, 1), 1);
    peer.is_pushed(2, news(1, 1), 1);
    assert_eq!(peer.eager(), [1]);
    assert_eq!(peer.hears_of(2, news(1, 2), 3), []);
    assert_eq!(peer.waits(WAIT_MS - 1), []);
    assert_eq!(peer.waits(1 + WAIT_SPREAD_MS), [asks(2, news(1, 2), 1)]);
    assert_eq!(peer.eager(), [1, 2]);
}

#[test]
fn what_is_only_announced_is_asked_for_at_once_and_the_tree_stays() {
    let mut peer = Peer::with(&[1, 2]);
    assert_eq!(peer.keeps(news(1, 1), Spread::Announce), []);
    let [told, _] = peer.waits(ANNOUNCE_MS).try_into().unwrap();
    let Output::Send { message, .. } = told else { panic!("{told:?}") };
    let mut other = Peer::with(&[7]);
    let asked = other.hears(7, message);
    let ask = Message::Ask { news: news(1, 1), held: 0, repair: false };
    assert_eq!(asked, [sends(7, ask.clone())]);
    peer.keeps(news(2, 1), Spread::Push);
    assert_eq!(peer.hears(1, Message::Prune), []);
    assert_eq!(peer.hears(1, ask), [pushes(1, news(1, 1), 1)]);
    assert_eq!(peer.eager(), [2]);
}

#[test]
fn what_never_comes_is_asked_of_each_who_announced_it_once() {
    let mut peer = Peer::with(&[1, 2, 3]);
    peer.hears_of(1, news(1, 9), 5);
    peer.hears_of(2, news(1, 9), 3);
    assert_eq!(
        peer.waits(WAIT_MS + WAIT_SPREAD_MS),
        [asks(2, news(1, 9), 0)],
        "the fewest hops first"
    );
    assert_eq!(peer.waits(AGAIN_MS - 1), []);
    assert_eq!(peer.waits(1), [asks(1, news(1, 9), 0)]);
    assert_eq!(peer.waits(AGAIN_MS), []);
    assert_eq!((peer.tree.wanted(), peer.tree.deadline()), (0, None), "and then forgotten");
}

#[test]
fn who_announces_what_it_does_not_bring_is_not_listened_to_for_a_while() {
    let mut peer = Peer::with(&[1]);
    for log in 0..u64::from(BROKEN_MAX) {
        peer.hears_of(1, news(log, 1), 1);
    }
    assert_eq!(peer.waits(WAIT_MS + WAIT_SPREAD_MS).len(), BROKEN_MAX as usize);
    peer.hears_of(1, news(100, 1), 1);
    assert_eq!(peer.tree.wanted(), BROKEN_MAX as usize + 1, "it may still bring them");
    peer.waits(AGAIN_MS);
    let muted_at = peer.now;
    peer.waits(WAIT_MS + AGAIN_MS);
    peer.hears_of(1, news(101, 1), 1);
    assert_eq!((peer.tree.wanted(), peer.waits(WAIT_MS + WAIT_SPREAD_MS)), (0, vec![]));
    peer.now = muted_at + MUTE_MS;
    peer.hears_of(1, news(101, 1), 1);
    assert_eq!(peer.waits(WAIT_MS + WAIT_SPREAD_MS), [asks(1, news(101, 1), 0)]);
}

#[test]
fn a_liar_is_asked_after_whoever_brings_what_it_announces() {
    let mut peer = Peer::with(&[1, 2]);
    peer.hears_of(1, news(1, 1), 0);
    peer.waits(WAIT_MS + WAIT_SPREAD_MS);
    peer.waits(AGAIN_MS);
    peer.hears_of(1, news(2, 1), 0);
    peer.hears_of(2, news(2, 1), 9);
    assert_eq!(peer.waits(WAIT_MS + WAIT_SPREAD_MS), [asks(2, news(2, 1), 0)]);
}

#[test]
fn what_came_meanwhile_is_not_asked_for() {
    let mut peer = Peer::with(&[1, 2]);
    peer.hears_of(1, news(1, 1), 5);
    let passed_on = peer.passes_on(2, news(1, 1), 1);
    assert_eq!(passed_on, [], "whoever announced it has it");
    assert_eq!(peer.tree.wanted(), 0);
    peer.hears_of(1, news(2, 1), 5);
    peer.held.0.insert(news(2, 1).log, 1);
    assert_eq!(peer.waits(WAIT_MS + WAIT_SPREAD_MS).len(), 1, "its announcement");
    assert_eq!(peer.tree.wanted(), 0);
}

#[test]
fn a_lost_neighbours_place_is_taken_by_the_next_at_once() {
    let mut peer = Peer::with(&[1, 2]);
    peer.hears_of(1, news(1, 1), 1);
    peer.hears_of(2, news(1, 1), 2);
    assert_eq!(peer.waits(WAIT_MS + WAIT_SPREAD_MS), [asks(1, news(1, 1), 0)]);
    assert_eq!(peer.take(Input::Down { device: device_of(1) }), [asks(2, news(1, 1), 0)]);
    assert_eq!(peer.take(Input::Down { device: device_of(2) }), []);
    assert_eq!(peer.tree.wanted(), 0);
}

/// One whose second neighbour is lazy.
fn lazy_second() -> Peer {
    let mut peer = Peer::with(&[1, 2]);
    peer.passes_on(1, news(9, 1), 1);
    peer.is_pushed(2, news(9, 1), 1);
    assert_eq!(peer.eager(), [1]);
    peer
}

#[test]
fn a_way_that_is_shorter_by_the_threshold_takes_the_place_of_the_other() {
    for (hops, swaps) in [(3 + SHORTER_HOPS, true), (2 + SHORTER_HOPS, false)] {
        let mut peer = lazy_second();
        peer.passes_on(1, news(9, 2), hops);
        let outputs = peer.hears_of(2, news(9, 2), 3);
        let swapped = [asks(2, news(9, 2), 2), sends(1, Message::Prune)];
        assert_eq!(outputs, if swaps { &swapped[..] } else { &[] });
        assert_eq!(peer.eager(), [if swaps { 2 } else { 1 }]);
    }
}

#[test]
fn nobody_prunes_more_than_was_pushed_to_him() {
    let mut peer = lazy_second();
    peer.passes_on(1, news(9, 2), 40);
    assert_eq!(peer.hears_of(2, news(9, 2), 4).len(), 2);
    assert_eq!(peer.hears_of(1, news(9, 2), 1), [], "2 has pushed nothing since it was pruned");
    assert_eq!(peer.eager(), [2]);
}

#[test]
fn only_news_that_lead_change_the_tree() {
    let mut peer = lazy_second();
    peer.passes_on(1, news(10, 1), 40);
    assert_eq!(peer.is_pushed(2, news(10, 1), 3), []);
    assert_eq!(peer.hears_of(2, news(10, 1), 3), []);
    for next in 2..LEADS_AMONG as u64 {
        peer.passes_on(1, news(10, next), 40);
        assert_eq!(peer.hears_of(2, news(10, next), 3), [], "the other is one of the last {next}");
    }
    peer.passes_on(1, news(10, 99), 40);
    assert_eq!(peer.hears_of(2, news(10, 99), 3).len(), 2);
}

#[test]
fn near_their_writer_news_that_do_not_lead_are_pushed_over_every_link() {
    let far = EVERYWHERE_HOPS_MAX;
    for (hops, everywhere) in [(far - 1, true), (far, false)] {
        let mut peer = lazy_second();
        peer.tree.push_everywhere(far);
        assert_eq!(!peer.passes_on(1, news(10, 1), hops).is_empty(), everywhere, "{hops}");
        assert!(peer.passes_on(1, news(8, 1), hops).is_empty(), "it leads");
    }
}

#[test]
fn how_far_that_goes_follows_from_the_size_of_the_mesh() {
    let hops = [0, 20, 21, 146, 147, 902, 903, 100_000].map(everywhere_hops);
    assert_eq!(hops, [0, 0, 1, 1, 2, 2, 3, 3]);
}

#[test]
fn more_questions_than_announcements_are_a_fault() {
    let mut peer = Peer::with(&[1, 2]);
    peer.keeps(news(1, 1), Spread::Announce);
    peer.keeps(news(2, 1), Spread::Announce);
    peer.waits(ANNOUNCE_MS);
    let ask = |log| Message::Ask { news: news(log, 1), held: 0, repair: true };
    for log in [1, 2] {
        assert_eq!(peer.hears(1, ask(log)), [pushes(1, news(log, 1), 1)]);
    }
    assert_eq!(peer.hears(1, ask(1)), [blames(1, GossipFault::Asked)]);
    assert_eq!(peer.hears(2, ask(1)), [pushes(2, news(1, 1), 1)], "others are not concerned");
}

#[test]
fn what_is_not_held_is_not_sent_whoever_asks() {
    let mut peer = Peer::with(&[1]);
    peer.keeps(news(1, 5), Spread::Announce);
    peer.waits(ANNOUNCE_MS);
    let ask = Message::Ask { news: news(1, 6), held: 0, repair: false };
    assert_eq!(peer.hears(1, ask), []);
}

#[test]
fn more_prunings_than_pushes_are_a_fault() {
    let mut peer = Peer::with(&[1, 2]);
    assert_eq!(peer.hears(2, Message::Prune), [blames(2, GossipFault::Pruned)]);
    peer.keeps(news(1, 1), Spread::Push);
    assert_eq!(peer.hears(1, Message::Prune), []);
    assert_eq!(peer.hears(1, Message::Prune), [blames(1, GossipFault::Pruned)]);
}

#[test]
fn more_announcements_than_the_budget_are_a_fault() {
    let mut peer = Peer::with(&[1]);
    for _ in 0..ANNOUNCES_BURST {
        assert_eq!(peer.hears(1, announce(&[])), []);
    }
    let fault = peer.hears(1, announce(&[]));
    assert!(
        matches!(&fault[..], [Output::Fault { fault: GossipFault::Flood { .. }, .. }]),
        "{fault:?}"
    );
}

#[test]
fn who_is_no_neighbour_is_not_heard() {
    let mut peer = Peer::with(&[1]);
    assert_eq!(peer.hears_of(9, news(1, 1), 1), []);
    assert_eq!(peer.hears(9, Message::Prune), []);
    assert_eq!((peer.tree.wanted(), peer.eager()), (0, vec![1]));
}

#[test]
fn what_waits_to_be_announced_is_bounded_and_goes_in_parts() {
    let mut peer = Peer::with(&[1]);
    for log in 0..2 * ANNOUNCE_LOGS_MAX as u64 {
        peer.keeps(news(log, 1), Spread::Announce);
    }
    let mut announced = 0;
    while let Some(MonoTime(at)) = peer.tree.deadline() {
        peer.now = at;
        let told = peer.take(Input::Tick);
        let [Output::Send { message: Message::Announce { announcements }, .. }] = &told[..] else {
            panic!("{told:?}")
        };
        assert!(announcements.len() <= ANNOUNCEMENTS_MAX);
        announced += announcements.len();
    }
    assert_eq!(announced, ANNOUNCE_LOGS_MAX);
}

#[derive(Clone, Debug)]
enum Happens {
    Up(u8),
    Down(u8),
    Announced(u8, Vec<(u64, u64, u8, bool)>),
    Asked(u8, u64, u64, bool),
    Pruned(u8),
    Came(u8, u64, u64, u8),
    Durable(u64, u64, bool),
    Waits(u64),
}

fn happens() -> impl Strategy<Value = Happens> {
    let (device, log, next) = (|| 1..6_u8, || 0..4_u64, || 1..6_u64);
    let announced = prop::collection::vec((log(), next(), any::<u8>(), any::<bool>()), 0..4);
    prop_oneof![
        device().prop_map(Happens::Up),
        device().prop_map(Happens::Down),
        (device(), announced).prop_map(|(from, of)| Happens::Announced(from, of)),
        (device(), log(), next(), any::<bool>())
            .prop_map(|(from, log, next, repair)| Happens::Asked(from, log, next, repair)),
        device().prop_map(Happens::Pruned),
        (device(), log(), next(), any::<u8>())
            .prop_map(|(from, log, next, hops)| Happens::Came(from, log, next, hops)),
        (log(), next(), any::<bool>())
            .prop_map(|(log, next, push)| Happens::Durable(log, next, push)),
        (0..2 * AGAIN_MS).prop_map(Happens::Waits),
    ]
}

fn carry_out(peer: &mut Peer, happens: Happens) -> Vec<Output> {
    match happens {
        Happens::Up(device) => peer.take(Input::Up { device: device_of(device) }),
        Happens::Down(device) => peer.take(Input::Down { device: device_of(device) }),
        Happens::Announced(from, of) => {
            let announcements = of.into_iter().map(|(log, next, hops, pushed)| Announcement {
                news: news(log, next),
                hops,
                pushed,
            });
            peer.hears(from, Message::Announce { announcements: announcements.collect() })
        }
        Happens::Asked(from, log, next, repair) => {
            peer.hears(from, Message::Ask { news: news(log, next), held: 0, repair })
        }
        Happens::Pruned(from) => peer.hears(from, Message::Prune),
        Happens::Came(from, log, next, hops) => peer.is_pushed(from, news(log, next), hops),
        Happens::Durable(log, next, push) => {
            peer.keeps(news(log, next), if push { Spread::Push } else { Spread::Announce })
        }
        Happens::Waits(ms) => peer.waits(ms),
    }
}

proptest! {
    /// Whatever comes in whatever order: only neighbours are spoken to, only what is held is sent, and
    /// time alone makes nothing happen without end.
    #[test]
    fn no_input_breaks_a_tree(course in prop::collection::vec(happens(), 0..120)) {
        let mut peer = Peer::default();
        let mut neighbours: BTreeSet<DeviceId> = BTreeSet::new();
        for happens in course {
            match &happens {
                Happens::Up(device) => { neighbours.insert(device_of(*device)); }
                Happens::Down(device) => { neighbours.remove(&device_of(*device)); }
                _ => {}
            }
            let outputs = carry_out(&mut peer, happens);
            // One for each log and each neighbour, twice.
            prop_assert!(outputs.len() <= 2 * 4 * 5);
            for output in outputs {
                match output {
                    Output::Push { to, news, .. } => {
                        prop_assert!(neighbours.contains(&to));
                        prop_assert!(news.next <= peer.held.next(&news.log));
                    }
                    Output::Send { to, .. } => prop_assert!(neighbours.contains(&to)),
                    Output::Fault { device, .. } => {
                        prop_assert!(neighbours.contains(&device));
                    }
                }
            }
            prop_assert!(peer.tree.wanted() <= 4);
        }
        for _ in 0..200 {
            let Some(MonoTime(at)) = peer.tree.deadline() else { break };
            peer.now = peer.now.max(at);
            peer.take(Input::Tick);
        }
        prop_assert_eq!((peer.tree.deadline(), peer.tree.wanted()), (None, 0));
    }
}
