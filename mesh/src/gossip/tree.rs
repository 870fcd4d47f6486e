//! Broadcast: what goes to which neighbour, after PlumTree.
//!
//! Over *eager* links entries are pushed at once; over *lazy* ones they are announced. Whoever hears an
//! announcement and does not get the run in time asks for it, which makes that link eager: so the tree
//! mends itself. The paper shapes the tree by pruning whatever link brings a second copy. That leaves a
//! tree of the first broadcasts' writers, which is deep for others, and two writers at once break it. Here
//! the tree has a root, and each peer's *parent* is the neighbour nearest to it ([`super::beacon`]): no way
//! from the root is shorter, and broadcasts do not change it. A link is eager between parent and child;
//! where it is an *extra*, made by asking, until it brings a second copy; and while there was no root yet.
//!
//! From one end of such a tree to the other is twice its depth. So within a few hops of their writer
//! news take shortcuts: they are pushed over every link, enter the tree at many places, and nobody is
//! pruned for that.
//!
//! A parent that passes nothing on costs its children the time to ask. What was asked of others after all
//! is counted against it, and after [`FAILED_MAX`] in a row it is no parent for [`MUTE_MS`].
//!
//! What differs from the paper follows from what is broadcast. News are positions of logs ([`News`]), and
//! what a peer holds is where its logs end: so the tree remembers no ids of messages and holds no
//! payloads, it asks [`Holdings`], and news of a log take the place of older ones. Nothing is passed on
//! before it is durable here ([`Input::Durable`]); the parent has verified it by then. Runs that are large
//! or not urgent are not pushed at all ([`Spread::Announce`]): who lacks them asks at once, and the tree
//! is not changed by that. Who was told of n positions may ask n times; all else has a budget.
//!
//! ```text
//! loop {
//!     while let Some(output) = tree.poll_output() { carry it out }
//!     let input = wait for a message, a run, a flush, a neighbour, or the deadline (a Tick);
//!     tree.handle(now, input, holdings);
//! }
//! ```

use std::collections::{BTreeMap, VecDeque};

use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::{Class, DeviceId};
use tearline_crdt::time::MonoTime;

use super::beacon::Beacons;
use super::budget::{Budget, Rate};
use super::membership::ACTIVE_MAX;
use super::wanted::{Due, Wanted};
use super::wire::{ANNOUNCEMENTS_MAX, Announcement, HeadTag, TreeMessage as Message};
use super::{GossipFault, Holdings, News};

/// Announcements wait so long for others.
pub const ANNOUNCE_MS: u64 = 200;
/// How long a run that is pushed may come later than its announcement before it is asked for.
pub const WAIT_MS: u64 = 1_000;
/// How long that becomes at most, while runs come later than that all the same: in a mesh whose machines or
/// lines are busy, who asked sooner would have it twice and keep them busier.
pub const WAIT_MS_MAX: u64 = 4_000;
/// A part of this comes to it, another for each neighbour and log: so that of the peers that a broken link
/// cuts off one asks, and the others get it from that one.
pub const WAIT_SPREAD_MS: u64 = 1_024;
/// How long it is before another is asked for, while all links of the tree work: what is late everywhere is
/// found out by one question.
const PROBE_MS: u64 = 250;
/// How often what that became is shortened by an eighth.
const SHRINK_MS: u64 = 10_000;
/// How long a neighbour that was asked may take before another is.
pub const AGAIN_MS: u64 = 3_000;
/// News are pushed over all links up to this many hops from their writer, in large meshes
/// ([`everywhere_hops`]).
pub const EVERYWHERE_HOPS_MAX: u8 = 4;
/// Arrivals that are remembered: way and hops of the last so many news.
pub const ARRIVALS_MAX: usize = 1_024;
/// Most logs that wait to be announced to one neighbour.
pub const ANNOUNCE_LOGS_MAX: usize = 4_096;
/// After so many questions in a row that a neighbour did not answer it is not asked for this long.
pub const BROKEN_MAX: u32 = 16;
/// See [`BROKEN_MAX`] and [`FAILED_MAX`].
pub const MUTE_MS: u64 = 60_000;
/// After so many news in a row that a parent did not bring, and others did when asked, it is no parent for
/// [`MUTE_MS`].
pub const FAILED_MAX: u32 = 4;
/// A neighbour is pruned once in so long: what is under way to us when we do it comes all the same.
pub const PRUNE_MS: u64 = 1_000;
/// Beacons, grafts and prunings that a neighbour may send at once.
pub const SHAPES_BURST: u32 = 128;
/// What a neighbour may send of these: twice what it passes on of beacons, and twice a pruning each
/// [`PRUNE_MS`].
const SHAPES: Rate = Rate { burst: SHAPES_BURST, every_ms: 250 };
/// Most questions that a neighbour may have in hand.
const CREDIT_MAX: u32 = 65_536;
/// Messages with announcements that a neighbour may send at once.
pub const ANNOUNCES_BURST: u32 = 512;
/// What a neighbour may send. It announces once each [`ANNOUNCE_MS`] at most, or
/// [`ANNOUNCEMENTS_MAX`] logs at a time; what a link held back for 30 s comes at once.
const ANNOUNCES: Rate = Rate { burst: ANNOUNCES_BURST, every_ms: 100 };

/// How news are spread.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Spread {
    /// Pushed along the tree: small and urgent.
    Push,
    /// Announced only.
    Announce,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// There is a new neighbour.
    Up {
        /// The device.
        device: DeviceId,
    },
    /// A device is no neighbour any more.
    Down {
        /// The device.
        device: DeviceId,
    },
    /// A message came from a neighbour.
    Message {
        /// The neighbour.
        from: DeviceId,
        /// The message.
        message: Message,
    },
    /// A verified run was pushed to us or came because we asked.
    Came {
        /// By whom.
        from: DeviceId,
        /// Up to where it goes.
        news: News,
        /// Over how many hops it came.
        hops: u8,
        /// Whether it was new here.
        fresh: bool,
    },
    /// A neighbour said or took something: the link to it works.
    Heard {
        /// The neighbour.
        device: DeviceId,
    },
    /// A log is durable here up to this, be it written here, pushed, or found by comparing.
    Durable {
        /// Up to where.
        news: News,
        /// How it is spread.
        spread: Spread,
    },
    /// The deadline has come.
    Tick,
}

/// What the parent owes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Send the neighbour what it lacks of a log, up to here.
    Push {
        /// To whom.
        to: DeviceId,
        /// The news.
        news: News,
        /// Over how many hops they come to it.
        hops: u8,
    },
    /// Send this.
    Send {
        /// To whom.
        to: DeviceId,
        /// The message.
        message: Message,
    },
    /// The neighbour misbehaved: close the link to it and say [`Input::Down`].
    Fault {
        /// The device.
        device: DeviceId,
        /// What it did.
        fault: GossipFault,
    },
}

/// One peer's part in the tree of a compartment.
#[derive(Debug)]
pub struct Tree {
    neighbours: BTreeMap<DeviceId, Neighbour>,
    beacons: Beacons,
    parent: Option<DeviceId>,
    /// Whether there ever was a root.
    rooted: bool,
    arrivals: Arrivals,
    wanted: Wanted,
    everywhere_hops: u8,
    patience: Patience,
    /// Until when nobody is asked again while the links of the tree work.
    asked_until: Option<MonoTime>,
    next_announce: Option<MonoTime>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Neighbour {
    /// It said that we are its parent.
    child: bool,
    /// The link was made eager by asking.
    extra: bool,
    /// What is to be announced.
    announce: BTreeMap<LogKey, (u64, u8, bool)>,
    /// How often it may ask.
    asks_left: u32,
    announces: Budget,
    shapes: Budget,
    /// When we may prune it again.
    prune_at: MonoTime,
    /// When the link to it was last seen to work, and when something was pushed over it first since then.
    heard: MonoTime,
    pushed: Option<MonoTime>,
    /// Questions in a row that it did not answer.
    broken: u32,
    muted_until: MonoTime,
    /// News in a row that it did not bring as our parent.
    failed: u32,
    no_parent_until: MonoTime,
}

/// How long a run that is pushed may be late.
#[derive(Debug)]
struct Patience {
    ms: u64,
    /// When it may grow again: what was asked for in one moment is one lesson.
    grows_at: MonoTime,
    shrinks_at: MonoTime,
}

/// How news came.
#[derive(Clone, Debug, Default)]
struct Arrival {
    /// From whom; `None` for what was written here, or found by comparing.
    from: Option<DeviceId>,
    hops: u8,
    /// Who announced or pushed them before they were passed on.
    holders: Vec<DeviceId>,
}

/// The last arrivals.
#[derive(Debug, Default)]
struct Arrivals {
    known: BTreeMap<News, Arrival>,
    order: VecDeque<News>,
}

/// Up to how many hops from their writer news are pushed over all links where so many devices have a right:
/// as far as a third of them is reached by that at most, with every neighbour at its most.
#[must_use]
pub fn everywhere_hops(devices: usize) -> u8 {
    let (mut hops, mut ring, mut reached) = (0, ACTIVE_MAX, ACTIVE_MAX);
    while hops < EVERYWHERE_HOPS_MAX && reached <= devices / 3 {
        hops += 1;
        ring *= ACTIVE_MAX - 1;
        reached += ring;
    }
    hops
}

impl Tree {
    /// The tree of a device without neighbours.
    #[must_use]
    pub fn new(me: DeviceId, now: MonoTime) -> Self {
        Self {
            neighbours: BTreeMap::new(),
            beacons: Beacons::new(me, now),
            parent: None,
            rooted: false,
            arrivals: Arrivals::default(),
            wanted: Wanted::default(),
            everywhere_hops: 0,
            patience: Patience::new(now),
            asked_until: None,
            next_announce: None,
            outputs: VecDeque::new(),
        }
    }

    /// From now on news are pushed over all links up to so many hops from their writer.
    pub const fn push_everywhere(&mut self, hops: u8) {
        self.everywhere_hops = hops;
    }

    /// Takes an input.
    pub fn handle(&mut self, now: MonoTime, input: Input, holdings: &dyn Holdings) {
        match input {
            Input::Up { device } => {
                self.neighbours.entry(device).or_insert_with(|| Neighbour::new(now));
                // Who comes anew need not wait for the next beacon.
                if let Some(beacon) = self.beacons.beacon() {
                    self.send(device, Message::Beacon(beacon));
                }
            }
            Input::Down { device } => {
                self.neighbours.remove(&device);
                self.wanted.lost(&device, now);
                self.beacons.lost(&device);
                if self.parent.take_if(|parent| *parent == device).is_some() {
                    self.choose_parent();
                }
            }
            Input::Heard { device } => self.hear(now, &device),
            Input::Message { from, message } => {
                self.hear(now, &from);
                if let Err(fault) = self.on_message(now, from, message, holdings) {
                    self.outputs.push_back(Output::Fault { device: from, fault });
                }
            }
            Input::Came { from, news, hops, fresh } => self.on_came(now, from, news, hops, fresh),
            Input::Durable { news, spread } => self.on_durable(now, news, spread),
            Input::Tick => {}
        }
        if self.beacons.speak(now) {
            self.tell(None);
        }
        if self.beacons.settle(now) {
            self.rooted = true;
            self.choose_parent();
        }
        self.ask_due(now, holdings);
        if self.next_announce.is_some_and(|at| at <= now) {
            self.announce(now);
        }
    }

    /// The next thing that the parent owes.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due.
    #[must_use]
    pub fn deadline(&self) -> MonoTime {
        let due = self.wanted.next_due().into_iter().chain(self.asked_until).max();
        let due = due.filter(|_| self.wanted.next_due().is_some());
        let waiting = self.next_announce.into_iter().chain(due);
        waiting.fold(self.beacons.deadline(), MonoTime::min)
    }

    /// The neighbours that are pushed to, ascending.
    pub fn eager(&self) -> impl Iterator<Item = DeviceId> {
        let all = self.neighbours.iter();
        all.filter(|(device, way)| self.is_eager(device, way)).map(|(device, _)| *device)
    }

    /// The neighbour that leads to the root.
    #[must_use]
    pub const fn parent(&self) -> Option<DeviceId> {
        self.parent
    }

    /// How many logs neighbours announced that have not come.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.wanted.len()
    }

    fn on_message(
        &mut self,
        now: MonoTime,
        from: DeviceId,
        message: Message,
        holdings: &dyn Holdings,
    ) -> Result<(), GossipFault> {
        let Some(neighbour) = self.neighbours.get_mut(&from) else { return Ok(()) };
        match message {
            Message::Announce { announcements } => {
                if !neighbour.announces.take(ANNOUNCES, now) {
                    let Rate { burst, every_ms } = ANNOUNCES;
                    return Err(GossipFault::Flood { burst, every_ms });
                }
                for announced in announcements {
                    self.on_announced(now, from, announced, holdings);
                }
            }
            Message::Ask { news, held, repair, .. } => {
                let left = neighbour.asks_left.checked_sub(1).ok_or(GossipFault::Asked)?;
                neighbour.asks_left = left;
                neighbour.extra |= repair;
                if held < news.next && news.next <= holdings.next(&news.log) {
                    let hops = self.arrivals.hops(&news);
                    self.push(from, news, hops.saturating_add(1));
                }
            }
            Message::Beacon(_) | Message::Graft | Message::Prune
                if !neighbour.shapes.take(SHAPES, now) =>
            {
                let Rate { burst, every_ms } = SHAPES;
                return Err(GossipFault::Flood { burst, every_ms });
            }
            Message::Beacon(beacon) => {
                let heard = neighbour.no_parent_until <= now;
                if heard && self.beacons.heard(now, from, beacon) {
                    self.tell(Some(from));
                }
            }
            Message::Graft => neighbour.child = true,
            Message::Prune => (neighbour.child, neighbour.extra) = (false, false),
        }
        Ok(())
    }

    /// Tells the neighbours how far from the root we are, but for whom we know it of.
    fn tell(&mut self, but: Option<DeviceId>) {
        let Some(beacon) = self.beacons.beacon() else { return };
        let to = self.neighbours.keys().filter(|device| but != Some(**device));
        let message = Message::Beacon(beacon);
        self.outputs.extend(to.map(|to| Output::Send { to: *to, message: message.clone() }));
    }

    /// Takes the nearest neighbour for the parent. It is told each time, because what it heard before may
    /// be lost with a link.
    fn choose_parent(&mut self) {
        let best = self.beacons.best(self.parent);
        if let Some(former) = self.parent.filter(|former| Some(*former) != best) {
            if let Some(neighbour) = self.neighbours.get_mut(&former) {
                neighbour.extra = false;
            }
            self.send(former, Message::Prune);
        }
        self.parent = best;
        if let Some(parent) = best {
            self.send(parent, Message::Graft);
        }
    }

    /// News that the parent did not bring were brought by another who was asked.
    fn parent_failed(&mut self, now: MonoTime) {
        let Some(parent) = self.parent else { return };
        let Some(neighbour) = self.neighbours.get_mut(&parent) else { return };
        neighbour.failed = neighbour.failed.saturating_add(1);
        if neighbour.failed >= FAILED_MAX {
            neighbour.failed = 0;
            neighbour.no_parent_until = now.plus_ms(MUTE_MS);
            self.beacons.lost(&parent);
            self.choose_parent();
        }
    }

    fn is_eager(&self, device: &DeviceId, neighbour: &Neighbour) -> bool {
        !self.rooted || neighbour.extra || neighbour.is_of_the_tree(device, self.parent)
    }

    fn hear(&mut self, now: MonoTime, device: &DeviceId) {
        if let Some(neighbour) = self.neighbours.get_mut(device) {
            neighbour.heard = now;
            neighbour.pushed = None;
        }
    }

    /// Whether a link of the tree may have stopped working: while all of them work what is late comes, and
    /// a link beside them would bring everything twice.
    fn may_be_broken(&mut self, now: MonoTime) -> bool {
        let patience_ms = self.patience.ms(now);
        let silent = |way: &Neighbour| way.heard.plus_ms(patience_ms) <= now;
        let parent = self.parent;
        let mut tree = self.neighbours.iter().filter(|(d, way)| way.is_of_the_tree(d, parent));
        parent.is_none() || tree.any(|(_, way)| silent(way))
    }

    /// Whether another link than this one was made eager in the place of a broken one, and works.
    fn is_mended(&mut self, now: MonoTime, but: &DeviceId) -> bool {
        let patience_ms = self.patience.ms(now);
        let mut others = self.neighbours.iter().filter(|(device, _)| *device != but);
        others.any(|(_, way)| way.extra && way.heard.plus_ms(patience_ms) > now)
    }

    fn on_announced(
        &mut self,
        now: MonoTime,
        from: DeviceId,
        announced: Announcement,
        holdings: &dyn Holdings,
    ) {
        let Some(neighbour) = self.neighbours.get(&from) else { return };
        let news = announced.news;
        if holdings.next(&news.log) < news.next && neighbour.muted_until <= now {
            let wait_ms =
                if announced.pushed { self.patience.ms(now) + spread_ms(&from, &news) } else { 0 };
            self.wanted.announced(from, announced, now.plus_ms(wait_ms));
        }
    }

    fn on_came(&mut self, now: MonoTime, from: DeviceId, news: News, hops: u8, fresh: bool) {
        self.hear(now, &from);
        if let Some(neighbour) = self.neighbours.get_mut(&from) {
            neighbour.failed = 0;
        }
        if !fresh {
            self.on_came_again(now, from, &news, hops);
            return;
        }
        let (holders, answered) = self.wanted.came(&news, now.plus_ms(self.patience.ms(now)));
        self.arrivals.add(news, Arrival { from: Some(from), hops, holders });
        // Whoever was asked is credited, although another may have been faster.
        for device in answered.map(|(device, _)| device).into_iter().chain([from]) {
            if let Some(neighbour) = self.neighbours.get_mut(&device) {
                neighbour.broken = 0;
            }
        }
        if answered.is_some_and(|(device, _)| device != from) {
            self.patience.grow(now);
        }
        let repaired = answered.is_some_and(|(_, announced)| announced.pushed);
        if repaired && self.parent != Some(from) {
            self.parent_failed(now);
        }
    }

    /// A second copy: of the links that brought one, that which is neither of the tree nor a shortcut is lazy
    /// from now on, be it the faster one. Else who once asked beside a parent that was slow gets all twice
    /// for good.
    fn on_came_again(&mut self, now: MonoTime, from: DeviceId, news: &News, hops: u8) {
        let Some(arrival) = self.arrivals.known.get_mut(news) else { return };
        if arrival.from == Some(from) {
            return;
        }
        if !arrival.holders.contains(&from) {
            arrival.holders.push(from);
        }
        let (first, first_hops) = (arrival.from, arrival.hops);
        if !self.rooted {
            return;
        }
        if !self.is_of_the_tree(&from) {
            self.prune(now, from, hops);
        } else if let Some(first) = first.filter(|first| !self.is_of_the_tree(first)) {
            self.patience.grow(now);
            self.prune(now, first, first_hops);
        }
    }

    /// Has a neighbour that brought news over so many hops announce them from now on.
    fn prune(&mut self, now: MonoTime, device: DeviceId, hops: u8) {
        let Some(neighbour) = self.neighbours.get_mut(&device) else { return };
        if hops <= self.everywhere_hops || neighbour.prune_at > now {
            return;
        }
        neighbour.extra = false;
        neighbour.prune_at = now.plus_ms(PRUNE_MS);
        self.send(device, Message::Prune);
    }

    fn is_of_the_tree(&self, device: &DeviceId) -> bool {
        let neighbour = self.neighbours.get(device);
        neighbour.is_some_and(|neighbour| neighbour.is_of_the_tree(device, self.parent))
    }

    fn on_durable(&mut self, now: MonoTime, news: News, spread: Spread) {
        let arrival = self.arrivals.known.get(&news).cloned();
        let arrival = arrival.unwrap_or_else(|| {
            self.arrivals.add(news, Arrival::default());
            Arrival::default()
        });
        let hops = arrival.hops.saturating_add(1);
        let (mut holders, _) = self.wanted.came(&news, now.plus_ms(self.patience.ms(now)));
        holders.extend(&arrival.holders);
        let everywhere = hops <= self.everywhere_hops || !self.rooted;
        let urgent = is_urgent(&news.log);
        let patience_ms = self.patience.ms(now);
        let mut push_to = Vec::new();
        for (device, neighbour) in &mut self.neighbours {
            if arrival.from == Some(*device) {
                continue;
            }
            let pushed = spread == Spread::Push;
            let of_the_tree = neighbour.is_of_the_tree(device, self.parent);
            // Who takes nothing may get it over another link meanwhile.
            let takes = |at: MonoTime| at.plus_ms(patience_ms) > now;
            let takes = urgent || neighbour.pushed.is_none_or(takes);
            let eager = takes && (everywhere || neighbour.extra || of_the_tree);
            if pushed && eager && !holders.contains(device) {
                neighbour.pushed.get_or_insert(now);
                push_to.push(*device);
                continue;
            }
            let waiting = &mut neighbour.announce;
            if waiting.len() < ANNOUNCE_LOGS_MAX || waiting.contains_key(&news.log) {
                waiting.insert(news.log, (news.next, hops, pushed));
                self.next_announce.get_or_insert(now.plus_ms(ANNOUNCE_MS));
            }
        }
        push_to.into_iter().for_each(|device| self.push(device, news, hops));
    }

    fn push(&mut self, to: DeviceId, news: News, hops: u8) {
        if self.neighbours.contains_key(&to) {
            self.outputs.push_back(Output::Push { to, news, hops });
        }
    }

    /// Says what waits to be announced: one message for each neighbour.
    fn announce(&mut self, now: MonoTime) {
        self.next_announce = None;
        for (device, neighbour) in &mut self.neighbours {
            let mut announcements = Vec::new();
            while announcements.len() < ANNOUNCEMENTS_MAX
                && let Some((log, (next, hops, pushed))) = neighbour.announce.pop_first()
            {
                let (news, head) = (News { log, next }, HeadTag::default());
                announcements.push(Announcement { news, head, hops, pushed });
            }
            if announcements.is_empty() {
                continue;
            }
            let asks = announcements.len() as u32;
            neighbour.asks_left = neighbour.asks_left.saturating_add(asks).min(CREDIT_MAX);
            if !neighbour.announce.is_empty() {
                self.next_announce = Some(now.plus_ms(ANNOUNCE_MS));
            }
            let message = Message::Announce { announcements };
            self.outputs.push_back(Output::Send { to: *device, message });
        }
    }

    /// Asks for what was announced and has not come.
    fn ask_due(&mut self, now: MonoTime, holdings: &dyn Holdings) {
        if self.wanted.next_due().is_none_or(|due| due > now) {
            return;
        }
        let works = !self.may_be_broken(now);
        loop {
            if works && self.asked_until.is_some_and(|until| until > now) {
                return;
            }
            self.asked_until = None;
            let rank = |device: &DeviceId, announced: &Announcement| {
                let neighbour = self.neighbours.get(device);
                let broken = neighbour.map_or(u32::MAX, |n| n.broken);
                // Who was asked for all that is missing is asked for the rest, too.
                let other = neighbour.is_none_or(|n| !n.extra);
                (broken, other, announced.hops, *device)
            };
            let due = self.wanted.take_due(now, now.plus_ms(AGAIN_MS), rank);
            let Some(Due { failed, ask }) = due else { return };
            if let Some(neighbour) = failed.and_then(|device| self.neighbours.get_mut(&device)) {
                neighbour.broken = neighbour.broken.saturating_add(1);
                if neighbour.broken >= BROKEN_MAX {
                    neighbour.broken = 0;
                    neighbour.muted_until = now.plus_ms(MUTE_MS);
                }
            }
            let Some((to, Announcement { news, pushed, .. })) = ask else { continue };
            let held = holdings.next(&news.log);
            if held >= news.next {
                self.wanted.came(&news, now.plus_ms(self.patience.ms(now)));
                continue;
            }
            if pushed && works {
                self.asked_until = Some(now.plus_ms(PROBE_MS));
            }
            let repair = pushed && !works && !self.is_mended(now, &to);
            if let Some(neighbour) = self.neighbours.get_mut(&to) {
                neighbour.extra |= repair;
            }
            let head = HeadTag::default();
            self.send(to, Message::Ask { news, held, head, repair });
        }
    }

    fn send(&mut self, to: DeviceId, message: Message) {
        self.outputs.push_back(Output::Send { to, message });
    }
}

/// Whether a log is of class flash or immediate.
fn is_urgent(log: &LogKey) -> bool {
    let class = log.0.first().and_then(|byte| Class::from_u8(byte >> 4));
    class.is_some_and(|class| class <= Class::Immediate)
}

/// What is added for a neighbour and a log.
fn spread_ms(from: &DeviceId, news: &News) -> u64 {
    let drawn =
        from.0.iter().chain(&news.log.0).fold(0, |drawn: u8, byte| drawn.rotate_left(1) ^ byte);
    WAIT_SPREAD_MS / 256 * u64::from(drawn)
}

impl Patience {
    const fn new(now: MonoTime) -> Self {
        Self { ms: WAIT_MS, grows_at: now, shrinks_at: now }
    }

    fn ms(&mut self, now: MonoTime) -> u64 {
        while self.ms > WAIT_MS && self.shrinks_at <= now {
            self.ms = (self.ms - self.ms / 8).max(WAIT_MS);
            self.shrinks_at = self.shrinks_at.plus_ms(SHRINK_MS);
        }
        self.ms
    }

    /// What was asked for came over the tree after all.
    fn grow(&mut self, now: MonoTime) {
        if self.grows_at <= now {
            self.ms = (self.ms(now) * 2).min(WAIT_MS_MAX);
            self.grows_at = now.plus_ms(self.ms);
            self.shrinks_at = now.plus_ms(SHRINK_MS);
        }
    }
}

impl Neighbour {
    fn new(now: MonoTime) -> Self {
        Self {
            child: false,
            extra: false,
            announce: BTreeMap::new(),
            asks_left: 0,
            announces: Budget::full(ANNOUNCES, now),
            shapes: Budget::full(SHAPES, now),
            prune_at: now,
            heard: now,
            pushed: None,
            broken: 0,
            muted_until: now,
            failed: 0,
            no_parent_until: now,
        }
    }

    /// Whether the link is between parent and child.
    fn is_of_the_tree(&self, device: &DeviceId, parent: Option<DeviceId>) -> bool {
        self.child || parent == Some(*device)
    }
}

impl Arrivals {
    fn add(&mut self, news: News, arrival: Arrival) {
        if self.known.insert(news, arrival).is_none() {
            self.order.push_back(news);
        }
        if self.order.len() > ARRIVALS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// How far news came. What is not known any more came from far, so that nobody prefers the way.
    fn hops(&self, news: &News) -> u8 {
        self.known.get(news).map_or(u8::MAX, |arrival| arrival.hops)
    }
}
