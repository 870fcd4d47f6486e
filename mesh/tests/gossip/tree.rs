//! The tree of one peer, message by message.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::DeviceId;
use tearline_crdt::time::MonoTime;
use tearline_mesh::gossip::beacon::{PERIOD_MS, SETTLE_MS};
use tearline_mesh::gossip::tree::{
    AGAIN_MS, ANNOUNCE_LOGS_MAX, ANNOUNCE_MS, ANNOUNCES_BURST, BROKEN_MAX, EVERYWHERE_HOPS_MAX,
    FAILED_MAX, Input, MUTE_MS, Output, PRUNE_MS, SHAPES_BURST, Spread, WAIT_MS, WAIT_SPREAD_MS,
    everywhere_hops,
};
use tearline_mesh::gossip::wire::{
    ANNOUNCEMENTS_MAX, Announcement, Beacon, TreeMessage as Message,
};
use tearline_mesh::gossip::{GossipFault, Holdings, News, Tree};

#[derive(Default)]
struct Held(BTreeMap<LogKey, u64>);

impl Holdings for Held {
    fn next(&self, log: &LogKey) -> u64 {
        self.0.get(log).copied().unwrap_or(0)
    }
}

/// The tree of device 100, what it holds, and what time it is.
struct Peer {
    tree: Tree,
    held: Held,
    now: u64,
}

impl Peer {
    fn with(neighbours: &[u8]) -> Self {
        let tree = Tree::new(device_of(100), MonoTime(0));
        let mut peer = Self { tree, held: Held::default(), now: 0 };
        for device in neighbours {
            assert_eq!(peer.take(Input::Up { device: device_of(*device) }), []);
        }
        peer
    }

    /// One whose parent is the first of its neighbours; the links to all others are lazy.
    fn rooted(neighbours: &[u8]) -> Self {
        let mut peer = Self::with(neighbours);
        for (at, device) in neighbours.iter().enumerate() {
            peer.hears(*device, beacon(0, 1, 1 + u8::from(at > 0)));
        }
        assert_eq!(peer.waits(SETTLE_MS), [sends(neighbours[0], Message::Graft)]);
        assert_eq!(peer.eager(), neighbours[..1]);
        peer
    }

    /// The next time that something is due, without the beacons.
    fn due(&self) -> Option<u64> {
        Some(self.tree.deadline().0).filter(|at| *at < self.now + PERIOD_MS)
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
    let announcements = of.iter().map(|(news, hops)| Announcement {
        news: *news,
        head: [0; 8],
        hops: *hops,
        pushed: true,
    });
    Message::Announce { announcements: announcements.collect() }
}

fn beacon(root: u8, seq: u64, hops: u8) -> Message {
    Message::Beacon(Beacon { root: device_of(root), seq, hops })
}

fn sends(to: u8, message: Message) -> Output {
    Output::Send { to: device_of(to), message }
}

fn pushes(to: u8, news: News, hops: u8) -> Output {
    Output::Push { to: device_of(to), news, hops }
}

fn asks(to: u8, news: News, held: u64) -> Output {
    sends(to, Message::Ask { news, held, head: [0; 8], repair: true })
}

fn blames(device: u8, fault: GossipFault) -> Output {
    Output::Fault { device: device_of(device), fault }
}

#[test]
fn what_is_written_is_pushed_to_all_and_not_announced() {
    let mut peer = Peer::with(&[1, 2]);
    let news = news(1, 5);
    assert_eq!(peer.keeps(news, Spread::Push), [pushes(1, news, 1), pushes(2, news, 1)]);
    assert_eq!(peer.waits(ANNOUNCE_MS), []);
}

#[test]
fn what_came_is_passed_on_one_hop_further_and_not_back() {
    let mut peer = Peer::with(&[1, 2, 3]);
    let news = news(1, 5);
    assert_eq!(peer.passes_on(2, news, 4), [pushes(1, news, 5), pushes(3, news, 5)]);
}

#[test]
fn before_there_is_a_root_every_link_is_eager_whatever_comes_twice() {
    let mut peer = Peer::with(&[1, 2, 3]);
    peer.passes_on(1, news(1, 1), 2);
    assert_eq!(peer.is_pushed(2, news(1, 1), 9), []);
    assert_eq!(peer.eager(), [1, 2, 3]);
}

#[test]
fn news_go_between_parents_and_children_and_others_are_told() {
    let mut peer = Peer::rooted(&[1, 2, 3, 4]);
    assert_eq!(peer.hears(3, Message::Graft), []);
    assert_eq!((peer.tree.parent(), peer.eager()), (Some(device_of(1)), vec![1, 3]));
    assert_eq!(peer.passes_on(1, news(1, 1), 5), [pushes(3, news(1, 1), 6)]);
    let told = |to, next| sends(to, announce(&[(news(1, next), 6)]));
    assert_eq!(peer.waits(ANNOUNCE_MS), [told(2, 1), told(4, 1)]);
    assert_eq!(peer.passes_on(3, news(1, 2), 5), [pushes(1, news(1, 2), 6)], "up as well");
    assert_eq!(peer.hears(3, Message::Prune), []);
    assert_eq!(peer.eager(), [1]);
    peer.keeps(news(1, 3), Spread::Push);
    let told = [2, 3, 4].map(|to| sends(to, announce(&[(news(1, 3), 1)])));
    assert_eq!(peer.waits(ANNOUNCE_MS), told, "news of a log take the place of older ones");
}

#[test]
fn beacons_are_passed_on_and_choose_the_parent_anew() {
    let mut peer = Peer::rooted(&[1, 2, 3]);
    let tells = |to, seq, hops| sends(to, beacon(0, seq, hops));
    assert_eq!(peer.hears(2, beacon(0, 2, 4)), [tells(1, 2, 5), tells(3, 2, 5)]);
    assert_eq!(peer.hears(3, beacon(0, 2, 1)), [tells(1, 2, 2), tells(2, 2, 2)]);
    assert_eq!(peer.hears(1, beacon(0, 2, 1)), [], "no fewer hops");
    let same = [sends(1, Message::Graft)];
    assert_eq!(peer.waits(SETTLE_MS), same, "the present parent stays");
    peer.hears(1, beacon(0, 3, 2));
    peer.hears(3, beacon(0, 3, 1));
    assert_eq!(peer.waits(SETTLE_MS), [sends(1, Message::Prune), sends(3, Message::Graft)]);
    assert_eq!(peer.eager(), [3]);
}

#[test]
fn a_lost_parents_place_is_taken_by_the_next_nearest() {
    let mut peer = Peer::rooted(&[1, 2, 3]);
    assert_eq!(peer.take(Input::Down { device: device_of(1) }), [sends(2, Message::Graft)]);
    assert_eq!(peer.take(Input::Down { device: device_of(3) }), []);
    assert_eq!(
        (peer.take(Input::Down { device: device_of(2) }), peer.tree.parent()),
        (vec![], None)
    );
}

#[test]
fn who_hears_no_root_tells_all_that_it_is_the_root() {
    let mut peer = Peer::with(&[1, 2]);
    peer.now = peer.tree.deadline().0;
    let tells = |seq| [1, 2].map(|to| sends(to, beacon(100, seq, 0)));
    assert_eq!(peer.take(Input::Tick), tells(1));
    assert_eq!(peer.waits(SETTLE_MS), [], "a root has no parent");
    assert_eq!(peer.waits(PERIOD_MS - SETTLE_MS), tells(2));
    peer.hears(1, Message::Graft);
    assert_eq!(peer.eager(), [1]);
}

#[test]
fn what_an_extra_brings_twice_prunes_it() {
    let mut peer = Peer::rooted(&[1, 2]);
    peer.hears_of(2, news(1, 1), 3);
    assert_eq!(peer.waits(WAIT_MS + WAIT_SPREAD_MS), [asks(2, news(1, 1), 0)]);
    assert_eq!(peer.eager(), [1, 2]);
    peer.passes_on(1, news(1, 1), 3);
    assert_eq!(peer.is_pushed(2, news(1, 1), 4), [sends(2, Message::Prune)]);
    assert_eq!(peer.eager(), [1]);
    assert_eq!(peer.is_pushed(2, news(1, 1), 4), [], "that was under way");
    peer.now += PRUNE_MS;
    assert_eq!(peer.is_pushed(2, news(1, 1), 4), [sends(2, Message::Prune)], "it was not heard");
}

#[test]
fn what_comes_twice_over_the_tree_or_a_shortcut_prunes_nothing() {
    let mut peer = Peer::rooted(&[1, 2, 3]);
    peer.tree.push_everywhere(2);
    peer.hears(3, Message::Graft);
    peer.is_pushed(2, news(1, 1), 1);
    for (from, hops) in [(1, 9), (3, 9), (2, 9)] {
        assert_eq!(peer.is_pushed(from, news(1, 1), hops), [], "{from}");
    }
    assert_eq!(peer.keeps(news(1, 1), Spread::Push), [], "whoever pushed it has it");
    peer.passes_on(1, news(1, 2), 9);
    assert_eq!(peer.is_pushed(2, news(1, 2), 2), [], "a shortcut");
    assert_eq!(peer.is_pushed(2, news(1, 2), 3), [sends(2, Message::Prune)]);
}

#[test]
fn who_asks_is_pushed_to_until_it_prunes() {
    let mut peer = Peer::rooted(&[1, 2]);
    peer.keeps(news(1, 1), Spread::Push);
    peer.waits(ANNOUNCE_MS);
    let asked =
        peer.hears(2, Message::Ask { news: news(1, 1), held: 0, head: [0; 8], repair: true });
    assert_eq!((asked, peer.eager()), (vec![pushes(2, news(1, 1), 1)], vec![1, 2]));
    assert_eq!(peer.hears(2, Message::Prune), []);
    assert_eq!(peer.eager(), [1]);
}

/// The parent, 1, does not bring so many news that 2 announces; 2 brings them when asked. What was sent last.
fn fails(peer: &mut Peer, logs: std::ops::Range<u64>) -> Vec<Output> {
    let mut last = vec![];
    for log in logs {
        peer.hears_of(2, news(log, 1), 3);
        assert_eq!(peer.waits(WAIT_MS + WAIT_SPREAD_MS), [asks(2, news(log, 1), 0)]);
        last = peer.is_pushed(2, news(log, 1), 3);
    }
    last
}

#[test]
fn a_parent_that_brings_nothing_is_none_for_a_while() {
    let mut peer = Peer::rooted(&[1, 2]);
    let most = u64::from(FAILED_MAX);
    assert_eq!(fails(&mut peer, 0..most - 1), []);
    peer.is_pushed(1, news(99, 1), 3);
    assert_eq!(fails(&mut peer, 100..99 + most), [], "it brought something meanwhile");
    let changed = [sends(1, Message::Prune), sends(2, Message::Graft)];
    assert_eq!(fails(&mut peer, 200..201), changed);
    assert_eq!(peer.hears(1, beacon(0, 2, 0)), [], "it is not heard");
    peer.now += MUTE_MS;
    assert_eq!(peer.hears(1, beacon(0, 2, 0)), [sends(2, beacon(0, 2, 1))]);
}

#[test]
fn a_parent_is_not_to_bring_what_is_only_announced() {
    let mut peer = Peer::rooted(&[1, 2]);
    for log in 0..2 * u64::from(FAILED_MAX) {
        let told = Announcement { news: news(log, 1), head: [0; 8], hops: 3, pushed: false };
        let asked = peer.hears(2, Message::Announce { announcements: vec![told] });
        assert_eq!(asked.len(), 1);
        assert_eq!(peer.is_pushed(2, news(log, 1), 3), []);
    }
    assert_eq!((peer.tree.parent(), peer.eager()), (Some(device_of(1)), vec![1]));
}

#[test]
fn who_only_announces_takes_no_parents_place() {
    let mut peer = Peer::rooted(&[1, 2]);
    for log in 0..2 * u64::from(FAILED_MAX) {
        peer.hears_of(2, news(log, 1), 0);
        assert_eq!(peer.waits(WAIT_MS + WAIT_SPREAD_MS), [asks(2, news(log, 1), 0)]);
    }
    assert_eq!(peer.tree.parent(), Some(device_of(1)));
}

#[test]
fn what_is_only_announced_is_asked_for_at_once_and_the_tree_stays() {
    let mut peer = Peer::with(&[1, 2]);
    assert_eq!(peer.keeps(news(1, 1), Spread::Announce), []);
    let [told, _] = peer.waits(ANNOUNCE_MS).try_into().unwrap();
    let Output::Send { message, .. } = told else { panic!("{told:?}") };
    let mut other = Peer::with(&[7]);
    let asked = other.hears(7, message);
    let ask = Message::Ask { news: news(1, 1), held: 0, head: [0; 8], repair: false };
    assert_eq!(asked, [sends(7, ask.clone())]);
    let mut peer = Peer::rooted(&[1, 2]);
    peer.keeps(news(1, 1), Spread::Announce);
    peer.waits(ANNOUNCE_MS);
    assert_eq!(peer.hears(2, ask), [pushes(2, news(1, 1), 1)]);
    assert_eq!(peer.eager(), [1]);
}

#[test]
fn what_never_comes_is_asked_of_each_who_announced_it_once() {
    let mut peer = Peer::rooted(&[1, 2, 3]);
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
    assert_eq!((peer.tree.wanted(), peer.due()), (0, None), "and then forgotten");
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

#[test]
fn near_their_writer_news_are_pushed_over_every_link() {
    let far = EVERYWHERE_HOPS_MAX;
    for (hops, everywhere) in [(far - 1, true), (far, false)] {
        let mut peer = Peer::rooted(&[1, 2]);
        peer.tree.push_everywhere(far);
        assert_eq!(!peer.passes_on(1, news(10, 1), hops).is_empty(), everywhere, "{hops}");
    }
}

#[test]
fn how_far_that_goes_follows_from_the_size_of_the_mesh() {
    let hops = [0, 20, 21, 146, 147, 902, 903, 5_438, 5_439, 100_000].map(everywhere_hops);
    assert_eq!(hops, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
}

#[test]
fn more_questions_than_announcements_are_a_fault() {
    let mut peer = Peer::with(&[1, 2]);
    peer.keeps(news(1, 1), Spread::Announce);
    peer.keeps(news(2, 1), Spread::Announce);
    peer.waits(ANNOUNCE_MS);
    let ask = |log| Message::Ask { news: news(log, 1), held: 0, head: [0; 8], repair: true };
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
    let ask = Message::Ask { news: news(1, 6), held: 0, head: [0; 8], repair: false };
    assert_eq!(peer.hears(1, ask), []);
}

#[test]
fn more_beacons_grafts_and_prunings_than_the_budget_are_a_fault() {
    let mut peer = Peer::with(&[1]);
    for sent in 0..SHAPES_BURST {
        let of = [beacon(0, 1, 9), Message::Graft, Message::Prune][sent as usize % 3].clone();
        assert_eq!(peer.hears(1, of), []);
    }
    let fault = peer.hears(1, Message::Graft);
    assert!(
        matches!(&fault[..], [Output::Fault { fault: GossipFault::Flood { .. }, .. }]),
        "{fault:?}"
    );
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
    let mut peer = Peer::rooted(&[1]);
    for log in 0..2 * ANNOUNCE_LOGS_MAX as u64 {
        peer.keeps(news(log, 1), Spread::Announce);
    }
    let mut announced = 0;
    while let Some(at) = peer.due() {
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
    Grafted(u8),
    Beacon(u8, u8, u64, u8),
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
        device().prop_map(Happens::Grafted),
        (device(), 99..102_u8, 0..9_u64, any::<u8>())
            .prop_map(|(from, root, seq, hops)| Happens::Beacon(from, root, seq, hops)),
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
                head: [0; 8],
                hops,
                pushed,
            });
            peer.hears(from, Message::Announce { announcements: announcements.collect() })
        }
        Happens::Asked(from, log, next, repair) => {
            peer.hears(from, Message::Ask { news: news(log, next), held: 0, head: [0; 8], repair })
        }
        Happens::Pruned(from) => peer.hears(from, Message::Prune),
        Happens::Grafted(from) => peer.hears(from, Message::Graft),
        Happens::Beacon(from, root, seq, hops) => peer.hears(from, beacon(root, seq, hops)),
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
        let mut peer = Peer::with(&[]);
        let mut neighbours: BTreeSet<DeviceId> = BTreeSet::new();
        for happens in course {
            match &happens {
                Happens::Up(device) => { neighbours.insert(device_of(*device)); }
                Happens::Down(device) => { neighbours.remove(&device_of(*device)); }
                _ => {}
            }
            let outputs = carry_out(&mut peer, happens);
            // One for each log and each neighbour, twice; a beacon; a change of parents, twice.
            prop_assert!(outputs.len() <= 2 * 4 * 5 + 5 + 4);
            if let Some(parent) = peer.tree.parent() {
                prop_assert!(neighbours.contains(&parent));
            }
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
            peer.now = peer.now.max(peer.tree.deadline().0);
            peer.take(Input::Tick);
            prop_assert!(peer.tree.deadline().0 > peer.now, "time does not stand still");
        }
        prop_assert_eq!(peer.tree.wanted(), 0);
    }
}
