//! Replicas in virtual time: real replicas on stores in memory, joined by links with a latency.
//! One event at a time, in an order that depends on nothing but the script.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use tearline_crdt::charter::{Charter, Member};
use tearline_crdt::entropy::SeededEntropy;
use tearline_crdt::id::{
    AgencyNo, Class, CoalitionId, CompartmentId, DeviceId, Incarnation, RecordId,
};
use tearline_crdt::keys::{DeviceKeys, Signer};
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::label::Label;
use tearline_crdt::record::shelf::{Detail, Draft};
use tearline_crdt::statement::DeskCertificate;
use tearline_crdt::store::Store as _;
use tearline_crdt::store::memory::MemoryStore;
use tearline_crdt::time::{MonoTime, Now, WallTime};
use tearline_mesh::invitation::{Applicant, Invitation, Invited, JoinRequest};
use tearline_mesh::replica::{PeerState, Setup};
use tearline_mesh::wire::Frame;
use tearline_mesh::{Event, Input, Link, Output, PeerFault, Replica, Urgency};

pub(crate) const LATENCY_MS: u64 = 20;
/// Longer than anything is held back, or waits for its turn.
const SETTLE_MS: u64 = 20_000;

#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Happening {
    Frame { to: usize, link: Link, bytes: Vec<u8> },
    Sent { to: usize, link: Link, urgency: Urgency },
    Flushed { to: usize, barrier: u64 },
}

pub(crate) struct Peer {
    pub(crate) replica: Replica<MemoryStore>,
    pub(crate) events: Vec<Event>,
    pub(crate) closed: Vec<(Link, Option<PeerFault>)>,
    pub(crate) vouched: Vec<Link>,
    pub(crate) unvouched: Vec<DeviceId>,
    /// Frames handed to the transport, for counting.
    pub(crate) sent: Vec<Vec<u8>>,
    seed: u8,
    incarnation: u64,
}

pub(crate) struct World {
    pub(crate) peers: Vec<Peer>,
    /// Link -> its two ends.
    links: BTreeMap<Link, (usize, usize)>,
    queue: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    now_ms: u64,
    /// By how much every wall clock is wrong.
    pub(crate) clock_error_ms: i64,
    /// How long a flush takes.
    pub(crate) flush_ms: u64,
    order: u64,
    next_link: u64,
    /// How much longer than that it may take.
    pub(crate) flush_spread_ms: u64,
    /// Links that carry nothing now, and what waits there.
    parted: BTreeMap<Link, Vec<(usize, Vec<u8>)>>,
    /// What links carry in a second, in bytes each way; the others carry everything at once.
    pub(crate) rates: BTreeMap<Link, u64>,
    /// From when on a line carries more of a peer, in microseconds.
    free_us: BTreeMap<(Link, usize), u64>,
    /// Which frames of a peer, over which link, are lost on the way.
    pub(crate) loses: Option<Loses>,
    /// Looks at what comes to a peer, before it does.
    pub(crate) watch: Option<Watch>,
}

/// Looks at a frame that comes to one of the peers over a link, and who sent it.
type Watch = Box<dyn FnMut(&[Peer], [usize; 2], &Frame)>;

/// Looks at a frame that a peer sends over a link; whether it is lost.
type Loses = Box<dyn FnMut(usize, Link, &Frame) -> bool>;

pub(crate) fn keys(seed: u8) -> DeviceKeys {
    DeviceKeys::from_seeds(&[seed; 32], &[seed + 100; 32])
}

pub(crate) fn root(seed: u8) -> Signer {
    Signer::from_seed(&[seed + 200; 32])
}

impl World {
    pub(crate) fn new(count: usize) -> Self {
        let peers = (0..count).map(|n| Peer::new(n as u8 + 1)).collect();
        Self {
            peers,
            links: BTreeMap::new(),
            queue: BinaryHeap::new(),
            now_ms: 1_700_000_000_000,
            clock_error_ms: 0,
            flush_ms: 2,
            order: 0,
            next_link: 0,
            flush_spread_ms: 0,
            parted: BTreeMap::new(),
            rates: BTreeMap::new(),
            free_us: BTreeMap::new(),
            loses: None,
            watch: None,
        }
    }

    /// Time passes.
    pub(crate) fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
    }

    pub(crate) fn now(&self) -> Now {
        let wall = self.now_ms.saturating_add_signed(self.clock_error_ms);
        Now { mono: MonoTime(self.now_ms), wall: WallTime(wall) }
    }

    fn at(&mut self, after_ms: u64, happening: Happening) {
        self.order += 1;
        self.queue.push(Reverse((self.now_ms + after_ms, self.order, happening)));
    }

    /// Connects two peers; the first dials.
    pub(crate) fn connect(&mut self, dialer: usize, listener: usize) -> Link {
        self.next_link += 1;
        let link = Link(self.next_link);
        self.links.insert(link, (dialer, listener));
        let (a, b) = (self.peers[dialer].replica.device(), self.peers[listener].replica.device());
        self.input(listener, Input::Up { link, device: a, dialer: false, thin: false });
        self.input(dialer, Input::Up { link, device: b, dialer: true, thin: false });
        link
    }

    pub(crate) fn cut(&mut self, link: Link) {
        if let Some((a, b)) = self.links.remove(&link) {
            self.input(a, Input::Down { link });
            self.input(b, Input::Down { link });
        }
    }

    /// From now on the links of a peer carry nothing, and nobody is told; or they carry again, and what
    /// was sent meanwhile comes.
    pub(crate) fn part(&mut self, peer: usize, is: bool) {
        let own = self.links.iter().filter(|(_, ends)| ends.0 == peer || ends.1 == peer);
        let own: Vec<Link> = own.map(|(link, _)| *link).collect();
        for link in own {
            if is {
                self.parted.entry(link).or_default();
                continue;
            }
            for (to, bytes) in self.parted.remove(&link).unwrap_or_default() {
                self.at(LATENCY_MS, Happening::Frame { to, link, bytes });
            }
        }
    }

    /// Two peers meet until neither has anything to say; the first dials.
    pub(crate) fn meet(&mut self, dialer: usize, listener: usize) {
        let link = self.connect(dialer, listener);
        self.settle();
        self.cut(link);
    }

    pub(crate) fn input(&mut self, peer: usize, input: Input) {
        let now = self.now();
        self.peers[peer].replica.handle(now, input).unwrap();
        self.drain(peer);
    }

    pub(crate) fn drain(&mut self, peer: usize) {
        while let Some(output) = self.peers[peer].replica.poll_output() {
            match output {
                Output::Send { link, urgency, bytes } => {
                    self.peers[peer].sent.push(bytes.clone());
                    let takes_ms = self.line_takes_ms(peer, link, bytes.len());
                    self.at(takes_ms.max(1), Happening::Sent { to: peer, link, urgency });
                    let lost = self
                        .loses
                        .as_mut()
                        .is_some_and(|loses| loses(peer, link, &Frame::decode(&bytes).unwrap()));
                    if let Some((a, b)) = self.links.get(&link).copied().filter(|_| !lost) {
                        let to = if a == peer { b } else { a };
                        self.at(takes_ms + LATENCY_MS, Happening::Frame { to, link, bytes });
                    }
                }
                Output::Close { link, fault } => {
                    self.peers[peer].closed.push((link, fault));
                    self.cut(link);
                }
                Output::Vouch { link } => self.peers[peer].vouched.push(link),
                Output::Unvouch { device } => self.peers[peer].unvouched.push(device),
                Output::Flush { barrier } => {
                    // As good as drawn, and the same each time.
                    let drawn = self.order.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
                    let takes_ms = self.flush_ms + drawn % (self.flush_spread_ms + 1);
                    self.at(takes_ms, Happening::Flushed { to: peer, barrier: barrier.0 });
                }
                Output::Event(event) => self.peers[peer].events.push(event),
            }
        }
    }

    /// How long it is until a frame has left a peer: what went before it leaves first.
    fn line_takes_ms(&mut self, peer: usize, link: Link, bytes: usize) -> u64 {
        let Some(rate) = self.rates.get(&link) else { return 0 };
        let now_us = self.now_ms * 1_000;
        let free_us = self.free_us.entry((link, peer)).or_default();
        *free_us = now_us.max(*free_us) + bytes as u64 * 1_000_000 / rate;
        (*free_us - now_us).div_ceil(1_000)
    }

    /// Runs until nothing is left to happen. Fails if that takes unreasonably long.
    pub(crate) fn settle(&mut self) {
        let until = self.now_ms + SETTLE_MS;
        for _ in 0..2_000_000 {
            if !self.step() && (self.now_ms > until || !self.waits_for_a_deadline()) {
                return;
            }
        }
        panic!("the peers never fall silent");
    }

    /// Lets the time pass in which greetings have their turn, and what is held back for gossip comes; false if
    /// nothing waits for that.
    fn waits_for_a_deadline(&mut self) -> bool {
        let links = &self.links;
        let waits = |state: &PeerState| {
            links.contains_key(&state.link) && (state.entries_behind > 0 || !state.live)
        };
        let is_due = |peer: &Peer| {
            peer.replica.deadline().is_some() && peer.replica.peers().iter().any(waits)
        };
        let due = self.peers.iter().any(is_due);
        if due {
            self.run_for(100);
        }
        due
    }

    /// Lets everything happen that does in so long, deadlines too.
    pub(crate) fn run_for(&mut self, ms: u64) {
        let until = self.now_ms + ms;
        loop {
            let waiting = self.queue.peek().map(|Reverse((at, ..))| *at);
            let deadlines = self.peers.iter().enumerate();
            let deadlines = deadlines.filter_map(|(n, p)| Some((p.replica.deadline()?.0, n)));
            match deadlines.min().filter(|(at, _)| *at <= until) {
                Some((at, peer)) if waiting.is_none_or(|waiting| at < waiting) => {
                    self.now_ms = self.now_ms.max(at);
                    self.input(peer, Input::Tick);
                }
                _ if waiting.is_some_and(|waiting| waiting <= until) => {
                    self.step();
                }
                _ => break,
            }
        }
        self.now_ms = until;
    }

    /// Lets the next thing happen; false if there is none.
    pub(crate) fn step(&mut self) -> bool {
        let Some(Reverse((at, _, happening))) = self.queue.pop() else { return false };
        self.now_ms = self.now_ms.max(at);
        match happening {
            Happening::Frame { to, link, bytes } => {
                let Some((a, b)) = self.links.get(&link).copied() else { return true };
                if let Some(waiting) = self.parted.get_mut(&link) {
                    waiting.push((to, bytes));
                    return true;
                }
                if let Some(watch) = &mut self.watch {
                    let from = if a == to { b } else { a };
                    watch(&self.peers, [from, to], &Frame::decode(&bytes).unwrap());
                }
                self.input(to, Input::Frame { link, bytes });
            }
            Happening::Sent { to, link, urgency } => self.input(to, Input::Sent { link, urgency }),
            Happening::Flushed { to, barrier } => {
                self.peers[to].replica.store_mut().flush().unwrap();
                let barrier = tearline_mesh::replica::Barrier(barrier);
                self.input(to, Input::Flushed { barrier });
            }
        }
        true
    }

    /// Lets so many things happen; false if nothing was left to.
    pub(crate) fn steps(&mut self, count: usize) -> bool {
        (0..count).all(|_| self.step())
    }

    /// Changes the frames that are under way where `change` says so.
    pub(crate) fn deliver_changed(&mut self, mut change: impl FnMut(&mut Frame) -> bool) {
        let mut queue = std::mem::take(&mut self.queue).into_vec();
        // What is written is sent once it is flushed.
        while !queue.iter().any(|Reverse((_, _, h))| matches!(h, Happening::Frame { .. })) {
            self.queue = queue.into();
            assert!(self.step(), "no frame is ever sent");
            queue = std::mem::take(&mut self.queue).into_vec();
        }
        for Reverse((_, _, happening)) in &mut queue {
            if let Happening::Frame { bytes, .. } = happening {
                let mut frame = Frame::decode(bytes).unwrap();
                if change(&mut frame) {
                    *bytes = frame.encode();
                }
            }
        }
        self.queue = queue.into();
    }

    /// Opens a compartment of its own, however many have the audience already.
    pub(crate) fn open_named(
        &mut self,
        peer: usize,
        coalition: CoalitionId,
        audience: &[u16],
        n: u16,
    ) -> CompartmentId {
        let now = self.now();
        let audience = audience.iter().map(|no| AgencyNo(*no)).collect();
        let name = format!("compartment {n}");
        let replica = &mut self.peers[peer].replica;
        let act = replica.open_another(now, coalition, audience, &name).unwrap();
        self.drain(peer);
        self.settle();
        act.value
    }

    /// The link between two peers.
    pub(crate) fn link(&self, a: usize, b: usize) -> Link {
        let is_it = |(_, ends): &(&Link, &(usize, usize))| **ends == (a, b) || **ends == (b, a);
        *self.links.iter().find(is_it).unwrap().0
    }

    /// Hands a frame to a peer as if it came over a link.
    pub(crate) fn inject(&mut self, to: usize, link: Link, bytes: Vec<u8>) {
        self.input(to, Input::Frame { link, bytes });
        self.settle();
    }

    /// Peer 0 founds a coalition; all others join it by invitation, as agencies of their own.
    pub(crate) fn coalition(&mut self) -> CoalitionId {
        self.coalition_with_delay(0)
    }

    /// Such a coalition, which hides for so many hours before it destroys.
    pub(crate) fn coalition_with_delay(&mut self, erasure_delay_hours: u32) -> CoalitionId {
        let founder = Member {
            no: AgencyNo(1),
            name: "Agency 1".into(),
            country: "NE".into(),
            root: root(1).public(),
        };
        let charter = Charter {
            name: "Drill".into(),
            nonce: [7; 16],
            quorum: 1,
            limits_version: 1,
            erasure_delay_hours,
            default_label: vec![],
            agreement: None,
            founders: vec![founder],
        };
        let now = self.now();
        let certificate = DeskCertificate::sign(&root(1), &keys(1), None);
        let act = self.peers[0].replica.found(now, charter, certificate).unwrap();
        self.drain(0);
        self.settle();
        for peer in 1..self.peers.len() {
            let link = self.join(act.value, peer, Invited::Agency);
            self.settle();
            self.cut(link);
        }
        act.value
    }

    /// Peer 0 invites a peer, which dials and asks.
    pub(crate) fn join(&mut self, coalition: CoalitionId, peer: usize, invited: Invited) -> Link {
        let invitation = self.invite(coalition, invited);
        let request = self.request(&invitation, peer);
        self.peers[peer].replica.join(invitation.inviter, request);
        self.connect(peer, 0)
    }

    pub(crate) fn invite(&mut self, coalition: CoalitionId, invited: Invited) -> Invitation {
        let expires = WallTime(self.now_ms + 3_600_000);
        let act = self.peers[0].replica.invite(coalition, invited, expires, vec![], "").unwrap();
        self.drain(0);
        self.settle();
        act.value
    }

    pub(crate) fn request(&self, invitation: &Invitation, peer: usize) -> JoinRequest {
        let seed = peer as u8 + 1;
        let applicant = match invitation.invited {
            Invited::Agency => Applicant::Agency {
                name: format!("Agency {seed}"),
                country: *b"TD",
                desk: DeskCertificate::sign(&root(seed), &keys(seed), None),
            },
            Invited::Device { .. } => Applicant::Device(keys(seed).card(invitation.inviter.0)),
        };
        JoinRequest {
            coalition: invitation.coalition,
            secret: invitation.secret,
            applicant,
            kem: keys(seed).kem_key().clone(),
        }
    }

    pub(crate) fn open(
        &mut self,
        peer: usize,
        coalition: CoalitionId,
        audience: &[u16],
    ) -> CompartmentId {
        let now = self.now();
        let audience = audience.iter().map(|no| AgencyNo(*no)).collect();
        let act =
            self.peers[peer].replica.open_compartment(now, coalition, audience, "shared").unwrap();
        self.drain(peer);
        self.settle();
        act.value
    }

    pub(crate) fn write(
        &mut self,
        peer: usize,
        compartment: CompartmentId,
        class: Class,
        names: &[&str],
    ) -> Vec<RecordId> {
        let drafts = names.iter().map(|name| draft(name)).collect();
        self.act(peer, compartment, class, drafts)
    }

    pub(crate) fn act(
        &mut self,
        peer: usize,
        compartment: CompartmentId,
        class: Class,
        drafts: Vec<Draft>,
    ) -> Vec<RecordId> {
        let now = self.now();
        let act = self.peers[peer].replica.write(now, compartment, class, drafts).unwrap();
        self.drain(peer);
        act.value.into_iter().map(|written| written.record).collect()
    }

    pub(crate) fn show(&mut self, peer: usize, record: RecordId) -> Option<Detail> {
        self.peers[peer].replica.records(|reader| reader.show(record)).unwrap()
    }

    pub(crate) fn digests_equal(&self, a: usize, b: usize) -> bool {
        let (one, other) = (&self.peers[a].replica, &self.peers[b].replica);
        one.pair_digest(&other.device()) == other.pair_digest(&one.device())
    }

    /// A second machine with a copy of a peer's disk and keys; its number.
    pub(crate) fn clone_of(&mut self, peer: usize) -> usize {
        let Peer { replica: original, seed, incarnation, .. } = &self.peers[peer];
        let setup = Setup {
            keys: keys(*seed),
            incarnation: Incarnation(*incarnation),
            entropy: Box::new(SeededEntropy::new(77)),
            projection: Box::new(()),
        };
        let replica = Replica::open(original.store().clone(), setup).unwrap();
        let (seed, incarnation) = (*seed, *incarnation);
        self.peers.push(Peer {
            replica,
            events: vec![],
            closed: vec![],
            vouched: vec![],
            unvouched: vec![],
            sent: vec![],
            seed,
            incarnation,
        });
        self.peers.len() - 1
    }

    /// The peer loses power: what was not flushed is gone. It starts again.
    pub(crate) fn crash(&mut self, peer: usize) {
        self.crash_keeping(peer, 0);
    }

    /// The same, in a new life of its device.
    pub(crate) fn begin_anew(&mut self, peer: usize) {
        self.peers[peer].incarnation += 1;
        self.crash(peer);
    }

    /// The same, and so many batches that were not flushed are on its disk.
    pub(crate) fn crash_keeping(&mut self, peer: usize, batches: usize) {
        let links: Vec<Link> = self
            .links
            .iter()
            .filter(|(_, (a, b))| *a == peer || *b == peer)
            .map(|(link, _)| *link)
            .collect();
        for link in links {
            let (a, b) = self.links.remove(&link).unwrap();
            self.input(if a == peer { b } else { a }, Input::Down { link });
        }
        self.queue.retain(|Reverse((_, _, happening))| match happening {
            Happening::Frame { to, .. }
            | Happening::Sent { to, .. }
            | Happening::Flushed { to, .. } => *to != peer,
        });
        let old = &mut self.peers[peer];
        let mut store = std::mem::take(old.replica.store_mut());
        store.crash_keeping(batches);
        old.replica = replica(store, old.seed, old.incarnation);
        self.drain(peer);
    }
}

impl Peer {
    fn new(seed: u8) -> Self {
        Self {
            replica: replica(MemoryStore::default(), seed, 1),
            events: vec![],
            closed: vec![],
            vouched: vec![],
            unvouched: vec![],
            sent: vec![],
            seed,
            incarnation: 1,
        }
    }

    pub(crate) fn count(&self, is: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| is(event)).count()
    }

    pub(crate) fn fault_of(&self, device: DeviceId) -> Option<PeerFault> {
        self.events.iter().find_map(|event| match event {
            Event::Fault { device: by, fault } if *by == device => Some(*fault),
            _ => None,
        })
    }
}

fn replica(store: MemoryStore, seed: u8, incarnation: u64) -> Replica<MemoryStore> {
    let setup = Setup {
        keys: keys(seed),
        incarnation: Incarnation(incarnation),
        entropy: Box::new(SeededEntropy::new(u64::from(seed) + incarnation * 1_000)),
        projection: Box::new(()),
    };
    Replica::open(store, setup).unwrap()
}

pub(crate) fn draft(name: &str) -> Draft {
    let mut fields = serde_json::Map::new();
    fields.insert("name".into(), name.into());
    fields.insert("count".into(), 3.into());
    let label: Label = "TLP:AMBER".parse().unwrap();
    Draft::New { kind: Kind::Sighting, fields, label }
}

/// Bytes of all frames but runs.
pub(crate) fn protocol_bytes(frames: &[Vec<u8>]) -> usize {
    frames
        .iter()
        .map(|bytes| match Frame::decode(bytes).unwrap() {
            Frame::Run { entries, boxes, .. } => bytes.len() - entries.len() - boxes.len(),
            _ => bytes.len(),
        })
        .sum()
}
