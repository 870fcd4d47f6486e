//! Gossip in virtual time: so many real machines, joined by links with a latency, in an order that
//! depends on nothing but the seed. A link is in order; what it loses is lost. What a peer is pushed
//! becomes durable a moment later, and is passed on then. Some peers may be hostile ([`Role`]).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use tearline_crdt::entropy::Entropy;
use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::{AgencyNo, DeviceId};
use tearline_crdt::time::MonoTime;
use tearline_mesh::gossip::wire::{Announcement, Beacon, MembershipMessage, TreeMessage};
use tearline_mesh::gossip::{
    GossipFault, Holdings, Membership, Message, News, Roll, Tree, beacon, membership, tree,
};

/// How a peer behaves.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Role {
    #[default]
    Honest,
    /// Takes what it gets and passes nothing on.
    Silent,
    /// Prunes every link over which it is pushed something, and passes nothing on.
    Pruner,
    /// Announces at once, as if it had come over no hop, and never sends.
    Announcer,
    /// Tells everybody of its own agency's devices only, and asks to be everybody's neighbour.
    Poisoner,
    /// Says that it is next to the smallest root there could be, more often than that root, and passes
    /// nothing on.
    Usurper,
}

impl Role {
    pub(crate) const HOSTILE: [Self; 5] =
        [Self::Silent, Self::Pruner, Self::Announcer, Self::Poisoner, Self::Usurper];
}

/// How a broadcast went.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Course {
    pub(crate) sent_at: u64,
    /// Peers that got it, beside its origin.
    pub(crate) reached: usize,
    /// How often it was sent to an honest peer.
    pub(crate) copies: usize,
    /// Most hops that it made to a peer.
    pub(crate) last_hop: u8,
    /// When the last peer got it.
    pub(crate) last_at: u64,
}

pub(crate) struct Peer {
    pub(crate) device: DeviceId,
    pub(crate) role: Role,
    pub(crate) alive: bool,
    pub(crate) membership: Membership,
    pub(crate) tree: Tree,
    pub(crate) faults: Vec<(DeviceId, GossipFault)>,
    held: Held,
    banned: BTreeSet<DeviceId>,
    wakes_at: Option<u64>,
    /// An usurper's last beacon.
    usurped: u64,
}

#[derive(Default)]
struct Held(BTreeMap<LogKey, u64>);

impl Holdings for Held {
    fn next(&self, log: &LogKey) -> u64 {
        self.0.get(log).copied().unwrap_or(0)
    }
}

/// Devices by number; peer n is of agency n modulo their number.
pub(crate) struct Roster {
    pub(crate) devices: Vec<DeviceId>,
    agencies: usize,
}

impl Roster {
    pub(crate) fn new(count: usize, agencies: usize) -> Self {
        Self { devices: (0..count).map(device_of).collect(), agencies }
    }
}

impl Roll for Roster {
    fn agency(&self, device: &DeviceId) -> Option<AgencyNo> {
        let number = number_of(device);
        (self.devices.get(number) == Some(device))
            .then(|| AgencyNo((number % self.agencies) as u16))
    }

    fn agencies(&self) -> usize {
        self.agencies
    }

    fn draw(&self, number: u64) -> Option<DeviceId> {
        self.devices.get((number % self.devices.len() as u64) as usize).copied()
    }
}

/// xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled".
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % n
    }
}

impl Entropy for Draws {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.iter_mut().for_each(|byte| *byte = self.below(256) as u8);
    }
}

#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Happening {
    Message {
        to: usize,
        from: usize,
        bytes: Vec<u8>,
    },
    Pushed {
        to: usize,
        from: usize,
        news: News,
        hops: u8,
    },
    Durable {
        at: usize,
        news: News,
    },
    Lost {
        at: usize,
        other: usize,
    },
    /// What a peer lacks of what another holds, as comparing frontiers finds it.
    Compared {
        at: usize,
        other: usize,
    },
    Join {
        at: usize,
        contact: usize,
    },
    Wake {
        at: usize,
    },
}

pub(crate) struct Network {
    pub(crate) peers: Vec<Peer>,
    pub(crate) roster: Roster,
    pub(crate) now: u64,
    pub(crate) courses: Vec<Course>,
    /// Of a thousand messages so many are lost.
    pub(crate) loss_per_mille: u64,
    /// Of everything that happened.
    pub(crate) digest: u64,
    pub(crate) events: u64,
    pub(crate) draws: Draws,
    queue: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    order: u64,
    seed: u64,
    /// Peers below the first number are cut off from the others.
    cut_at: Option<usize>,
}

pub(crate) const LATENCY_MS: (u64, u64) = (5, 100);
const FLUSH_MS: (u64, u64) = (2, 12);
/// After how long a link is known to be gone.
const GONE_MS: (u64, u64) = (100, 2_000);

impl Network {
    pub(crate) fn new(seed: u64, count: usize, agencies: usize) -> Self {
        let mut draws = Draws::new(seed);
        let roster = Roster::new(count, agencies);
        let peer = |device: &DeviceId| Peer {
            device: *device,
            role: Role::Honest,
            alive: true,
            membership: Membership::new(*device, MonoTime(0), &mut draws),
            tree: Tree::new(*device, MonoTime(0)),
            faults: vec![],
            held: Held::default(),
            banned: BTreeSet::new(),
            wakes_at: None,
            usurped: 0,
        };
        let mut peers: Vec<Peer> = roster.devices.iter().map(peer).collect();
        let hops = tree::everywhere_hops(count);
        peers.iter_mut().for_each(|peer| peer.tree.push_everywhere(hops));
        Self {
            peers,
            roster,
            now: 0,
            courses: vec![],
            loss_per_mille: 0,
            digest: 0xcbf2_9ce4_8422_2325,
            events: 0,
            draws,
            queue: BinaryHeap::new(),
            order: 0,
            seed,
            cut_at: None,
        }
    }

    /// All peers join, one each `every_ms`, each by one that joined before it.
    pub(crate) fn join_all(&mut self, every_ms: u64) {
        for at in 1..self.peers.len() {
            let contact = self.draws.below(at as u64) as usize;
            self.put(at as u64 * every_ms, Happening::Join { at, contact });
        }
        self.run_for(self.peers.len() as u64 * every_ms);
    }

    /// A mesh of so many, joined and mixed for two minutes.
    pub(crate) fn mesh(seed: u64, count: usize, agencies: usize) -> Self {
        let mut network = Self::new(seed, count, agencies);
        network.join_all(20_000_u64.div_ceil(count as u64));
        network.run_for(120_000);
        network
    }

    pub(crate) fn run_for(&mut self, ms: u64) {
        let until = self.now + ms;
        while let Some(Reverse((at, _, _))) = self.queue.peek()
            && *at <= until
        {
            let Some(Reverse((at, _, happening))) = self.queue.pop() else { break };
            self.now = at;
            self.events += 1;
            self.happen(happening);
        }
        self.now = until;
    }

    /// A peer writes something; its number.
    pub(crate) fn broadcast(&mut self, at: usize, spread: tree::Spread) -> usize {
        let number = self.courses.len();
        self.courses.push(Course { sent_at: self.now, last_at: self.now, ..Course::default() });
        let news = news_of(number);
        self.peers[at].held.0.insert(news.log, news.next);
        self.tree(at, tree::Input::Durable { news, spread });
        number
    }

    /// So many broadcasts, a second apart, each of an honest living peer; their numbers.
    pub(crate) fn broadcasts(&mut self, count: usize) -> std::ops::Range<usize> {
        let first = self.courses.len();
        for _ in 0..count {
            let honest: Vec<usize> = self.honest().collect();
            let at = honest[self.draws.below(honest.len() as u64) as usize];
            self.broadcast(at, tree::Spread::Push);
            self.run_for(1_000);
        }
        first..self.courses.len()
    }

    pub(crate) fn honest(&self) -> impl Iterator<Item = usize> {
        let honest = |(_, peer): &(usize, &Peer)| peer.alive && peer.role == Role::Honest;
        self.peers.iter().enumerate().filter(honest).map(|(at, _)| at)
    }

    /// Honest living peers that do not have a broadcast.
    pub(crate) fn missed(&self, number: usize) -> Vec<usize> {
        let news = news_of(number);
        self.honest().filter(|at| self.peers[*at].held.next(&news.log) < news.next).collect()
    }

    pub(crate) fn kill(&mut self, at: usize) {
        self.peers[at].alive = false;
        for other in self.neighbours(at) {
            self.lose(other, at);
        }
    }

    pub(crate) fn neighbours(&self, at: usize) -> Vec<usize> {
        self.peers[at].membership.neighbours().map(|device| number_of(&device)).collect()
    }

    /// Pairs of which one has the other for a neighbour, and not the other way round.
    pub(crate) fn one_sided(&self) -> BTreeSet<(usize, usize)> {
        let living = self.honest().filter(|at| self.peers[*at].alive);
        let pairs = living.flat_map(|at| self.neighbours(at).into_iter().map(move |n| (at, n)));
        pairs.filter(|(at, other)| !self.neighbours(*other).contains(at)).collect()
    }

    /// How many honest living peers can be reached from the first of them.
    pub(crate) fn together(&self) -> usize {
        let honest: BTreeSet<usize> = self.honest().collect();
        let mut reached: BTreeSet<usize> = honest.iter().take(1).copied().collect();
        let mut next: Vec<usize> = reached.iter().copied().collect();
        while let Some(at) = next.pop() {
            for other in self.neighbours(at) {
                if honest.contains(&other) && reached.insert(other) {
                    next.push(other);
                }
            }
        }
        reached.len()
    }

    /// Every peer compares itself with its neighbours.
    pub(crate) fn compare_all(&mut self) {
        let honest: Vec<usize> = self.honest().collect();
        for at in honest {
            for other in self.neighbours(at) {
                self.compare(at, other);
            }
        }
    }

    fn compare(&mut self, at: usize, other: usize) {
        let after = 2 * self.latency(at, other);
        self.put(after, Happening::Compared { at, other });
    }

    /// It starts again, with nothing but what it held.
    pub(crate) fn restart(&mut self, at: usize, contact: usize) {
        let device = self.peers[at].device;
        let peer = &mut self.peers[at];
        peer.alive = true;
        peer.membership = Membership::new(device, MonoTime(self.now), &mut self.draws);
        peer.tree = Tree::new(device, MonoTime(self.now));
        peer.tree.push_everywhere(tree::everywhere_hops(self.roster.devices.len()));
        peer.wakes_at = None;
        self.put(0, Happening::Join { at, contact });
    }

    /// Peers below a number are cut off from the others.
    pub(crate) fn cut(&mut self, number: usize) {
        self.cut_at = Some(number);
        for at in 0..self.peers.len() {
            for other in self.neighbours(at) {
                if self.is_cut(at, other) {
                    self.lose(at, other);
                }
            }
        }
    }

    pub(crate) fn heal(&mut self) {
        self.cut_at = None;
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cut_at.is_some_and(|number| (a < number) != (b < number))
    }

    fn lose(&mut self, at: usize, other: usize) {
        let after = self.between(GONE_MS);
        self.put(after, Happening::Lost { at, other });
    }

    fn between(&mut self, (least, most): (u64, u64)) -> u64 {
        least + self.draws.below(most - least)
    }

    fn put(&mut self, after: u64, happening: Happening) {
        self.order += 1;
        self.queue.push(Reverse((self.now + after, self.order, happening)));
    }

    /// The same both ways, and always.
    fn latency(&self, a: usize, b: usize) -> u64 {
        let pair = (a.min(b) as u64) << 32 | a.max(b) as u64;
        LATENCY_MS.0 + Draws((pair ^ self.seed << 20) | 1 << 63).below(LATENCY_MS.1 - LATENCY_MS.0)
    }

    fn happen(&mut self, happening: Happening) {
        self.note(&happening);
        match happening {
            Happening::Message { to, from, bytes } => self.on_message(to, from, &bytes),
            Happening::Pushed { to, from, news, hops } => self.on_pushed(to, from, news, hops),
            Happening::Durable { at, news } => {
                self.tree(at, tree::Input::Durable { news, spread: tree::Spread::Push });
            }
            Happening::Lost { at, other } => {
                let device = self.peers[other].device;
                self.membership(at, membership::Input::Lost { device });
            }
            Happening::Compared { at, other } => self.on_compared(at, other),
            Happening::Join { at, contact } => {
                let contact = self.peers[contact].device;
                self.membership(at, membership::Input::Join { contact });
            }
            Happening::Wake { at } => {
                if self.peers[at].wakes_at == Some(self.now) {
                    self.peers[at].wakes_at = None;
                    self.membership(at, membership::Input::Tick);
                    self.tree(at, tree::Input::Tick);
                    self.poison(at);
                    self.usurp(at);
                }
            }
        }
    }

    /// FNV-1a of what happens.
    fn note(&mut self, happening: &Happening) {
        let (kind, numbers): (u64, [usize; 2]) = match happening {
            Happening::Message { to, from, bytes } => {
                bytes.iter().for_each(|byte| self.mix(u64::from(*byte)));
                (1, [*to, *from])
            }
            Happening::Pushed { to, from, hops, .. } => (2 + u64::from(*hops), [*to, *from]),
            Happening::Durable { at, .. } => (300, [*at, 0]),
            Happening::Lost { at, other } => (301, [*at, *other]),
            Happening::Compared { at, other } => (304, [*at, *other]),
            Happening::Join { at, contact } => (302, [*at, *contact]),
            Happening::Wake { at } => (303, [*at, 0]),
        };
        self.mix(self.now);
        self.mix(kind);
        numbers.into_iter().for_each(|number| self.mix(number as u64));
    }

    fn mix(&mut self, value: u64) {
        self.digest = (self.digest ^ value).wrapping_mul(0x100_0000_01b3);
    }

    fn on_message(&mut self, to: usize, from: usize, bytes: &[u8]) {
        let device = self.peers[from].device;
        if !self.peers[to].alive || self.peers[to].banned.contains(&device) {
            return;
        }
        match Message::decode(bytes).unwrap() {
            Message::Membership(message) => {
                let answers = matches!(message, MembershipMessage::Shuffle { .. });
                self.membership(to, membership::Input::Message { from: device, message });
                if answers && self.peers[to].role == Role::Poisoner {
                    let contacts = self.own_agency(to);
                    let poison = MembershipMessage::Contacts { contacts };
                    self.say(to, from, &Message::Membership(poison));
                }
            }
            Message::Tree(TreeMessage::Beacon(beacon))
                if self.roster.agency(&beacon.root).is_none() => {}
            Message::Tree(message) => {
                if let (Role::Announcer, TreeMessage::Announce { announcements }) =
                    (self.peers[to].role, &message)
                {
                    announcements.iter().for_each(|known| self.claim(to, known.news));
                }
                self.tree(to, tree::Input::Message { from: device, message });
            }
        }
    }

    fn on_compared(&mut self, at: usize, other: usize) {
        let both = [at, other].map(|peer| &self.peers[peer]);
        if self.is_cut(at, other) || both.iter().any(|p| !p.alive || p.role != Role::Honest) {
            return;
        }
        let theirs = self.peers[other].held.0.clone();
        for (log, next) in theirs {
            if self.peers[at].held.next(&log) < next {
                self.receive(at, News { log, next }, 0);
            }
        }
    }

    /// A peer gets something that it lacked.
    fn receive(&mut self, at: usize, news: News, hops: u8) {
        let peer = &mut self.peers[at];
        peer.held.0.insert(news.log, news.next);
        if peer.role == Role::Honest {
            let course = &mut self.courses[number_of_news(&news)];
            course.reached += 1;
            course.last_hop = course.last_hop.max(hops);
            course.last_at = self.now;
        }
        let after = self.between(FLUSH_MS);
        self.put(after, Happening::Durable { at, news });
    }

    fn on_pushed(&mut self, to: usize, from: usize, news: News, hops: u8) {
        let device = self.peers[from].device;
        let peer = &mut self.peers[to];
        if !peer.alive || peer.banned.contains(&device) {
            return;
        }
        let fresh = peer.held.next(&news.log) < news.next;
        let role = peer.role;
        if role == Role::Honest {
            self.courses[number_of_news(&news)].copies += 1;
        }
        if fresh {
            self.receive(to, news, hops);
        }
        self.tree(to, tree::Input::Came { from: device, news, hops, fresh });
        match role {
            Role::Pruner => self.say(to, from, &Message::Tree(TreeMessage::Prune)),
            Role::Announcer if fresh => self.claim(to, news),
            _ => {}
        }
    }

    /// An announcer claims to hold news over no hop.
    fn claim(&mut self, at: usize, news: News) {
        let announcements = vec![Announcement { news, head: [0; 8], hops: 0, pushed: true }];
        let message = Message::Tree(TreeMessage::Announce { announcements });
        let neighbours: Vec<DeviceId> = self.peers[at].membership.neighbours().collect();
        neighbours.iter().for_each(|to| self.say(at, number_of(to), &message));
    }

    fn own_agency(&self, at: usize) -> Vec<DeviceId> {
        let mut own: Vec<DeviceId> = (at % self.roster.agencies..self.peers.len())
            .step_by(self.roster.agencies)
            .map(device_of)
            .take(membership::CONTACTS_MAX)
            .collect();
        own.sort_unstable();
        own
    }

    /// A poisoner's turn.
    fn poison(&mut self, at: usize) {
        if self.peers[at].role != Role::Poisoner {
            return;
        }
        let mates = self.own_agency(at);
        let neighbours: Vec<DeviceId> = self.peers[at].membership.neighbours().collect();
        for (to, device) in neighbours.iter().zip(&mates) {
            let walk = MembershipMessage::ForwardJoin { device: *device, hops_left: 6 };
            self.say(at, number_of(to), &Message::Membership(walk));
        }
        for _ in 0..4 {
            let to = self.draws.below(self.peers.len() as u64) as usize;
            let ask = MembershipMessage::Neighbour { urgent: true };
            self.say(at, to, &Message::Membership(ask));
        }
    }

    /// An usurper's turn, each half of a period.
    fn usurp(&mut self, at: usize) {
        let seq = 1_000_000 + self.now / (beacon::PERIOD_MS / 2);
        let peer = &mut self.peers[at];
        if peer.role != Role::Usurper || peer.usurped == seq {
            return;
        }
        peer.usurped = seq;
        let message =
            Message::Tree(TreeMessage::Beacon(Beacon { root: device_of(0), seq, hops: 0 }));
        let neighbours: Vec<DeviceId> = peer.membership.neighbours().collect();
        neighbours.iter().for_each(|to| self.say(at, number_of(to), &message));
    }

    fn membership(&mut self, at: usize, input: membership::Input) {
        let peer = &mut self.peers[at];
        if !peer.alive {
            return;
        }
        let now = MonoTime(self.now);
        if let membership::Input::Lost { device } = &input {
            peer.tree.handle(now, tree::Input::Down { device: *device }, &peer.held);
        }
        peer.membership.handle(now, input, &mut self.draws, &self.roster);
        while let Some(output) = self.peers[at].membership.poll_output() {
            let peer = &mut self.peers[at];
            match output {
                membership::Output::Send { to, message } => {
                    self.say(at, number_of(&to), &Message::Membership(message));
                }
                membership::Output::Up { device } => {
                    peer.tree.handle(now, tree::Input::Up { device }, &peer.held);
                    self.compare(at, number_of(&device));
                }
                membership::Output::Down { device } => {
                    peer.tree.handle(now, tree::Input::Down { device }, &peer.held);
                }
                membership::Output::Fault { device, fault } => self.banish(at, device, fault),
            }
        }
        self.drain_tree(at);
    }

    fn tree(&mut self, at: usize, input: tree::Input) {
        let peer = &mut self.peers[at];
        if peer.alive {
            peer.tree.handle(MonoTime(self.now), input, &peer.held);
            self.drain_tree(at);
        }
    }

    fn drain_tree(&mut self, at: usize) {
        while let Some(output) = self.peers[at].tree.poll_output() {
            let honest = self.peers[at].role == Role::Honest;
            match output {
                tree::Output::Push { to, news, hops } if honest => {
                    let to = number_of(&to);
                    if self.leads(at, to) {
                        let after = self.latency(at, to);
                        self.put(after, Happening::Pushed { to, from: at, news, hops });
                    }
                }
                tree::Output::Send { to, message } if honest => {
                    self.say(at, number_of(&to), &Message::Tree(message));
                }
                tree::Output::Fault { device, fault } => self.banish(at, device, fault),
                tree::Output::Push { .. } | tree::Output::Send { .. } => {}
            }
        }
        self.wake(at);
    }

    fn say(&mut self, from: usize, to: usize, message: &Message) {
        if self.leads(from, to) {
            let after = self.latency(from, to);
            self.put(after, Happening::Message { to, from, bytes: message.encode() });
        }
    }

    /// Whether what is sent arrives. Who sends to nobody hears of it.
    fn leads(&mut self, from: usize, to: usize) -> bool {
        let device = self.peers[from].device;
        let gone = !self.peers[to].alive || self.peers[to].banned.contains(&device);
        if gone || self.is_cut(from, to) {
            self.lose(from, to);
            return false;
        }
        self.loss_per_mille == 0 || self.draws.below(1_000) >= self.loss_per_mille
    }

    fn banish(&mut self, at: usize, device: DeviceId, fault: GossipFault) {
        self.peers[at].faults.push((device, fault));
        self.peers[at].banned.insert(device);
        self.lose(number_of(&device), at);
        self.lose(at, number_of(&device));
    }

    fn wake(&mut self, at: usize) {
        let peer = &mut self.peers[at];
        let at_ms = peer.tree.deadline().min(peer.membership.deadline()).0.max(self.now);
        if peer.wakes_at.is_none_or(|wakes| at_ms < wakes) {
            peer.wakes_at = Some(at_ms);
            self.put(at_ms - self.now, Happening::Wake { at });
        }
    }
}

pub(crate) fn device_of(number: usize) -> DeviceId {
    let mut id = [0; 32];
    // Numbers that lie together do not begin alike.
    id[..8].copy_from_slice(&(number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    id[24..].copy_from_slice(&(number as u64).to_be_bytes());
    DeviceId(id)
}

pub(crate) fn number_of(device: &DeviceId) -> usize {
    u64::from_be_bytes(device.0[24..].try_into().unwrap()) as usize
}

fn news_of(number: usize) -> News {
    let mut log = [0; 16];
    // The order of logs is not that of broadcasts.
    log[..8].copy_from_slice(&(number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    log[8..].copy_from_slice(&(number as u64).to_be_bytes());
    News { log: LogKey(log), next: 1 }
}

fn number_of_news(news: &News) -> usize {
    u64::from_be_bytes(news.log.0[8..].try_into().unwrap()) as usize
}
