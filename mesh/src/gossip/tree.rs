//! Broadcast: what goes to which neighbour, after PlumTree.
//!
//! Over *eager* links entries are pushed at once; over *lazy* ones they are announced. Every link begins
//! eager. Whoever gets something a second time prunes the link it came over, so that after the first
//! broadcasts the eager links are a spanning tree and each peer gets each run about once. Whoever hears
//! an announcement and does not get the run in time asks for it, which makes that link eager: so the
//! tree mends itself. A copy, or an announcement, that made fewer hops than the way in the tree takes
//! that way's place (the paper's section 3.8, with a threshold).
//!
//! Two broadcasts at once from different writers can prune two links of one circle, and so break the tree;
//! mending it makes new circles. So only news that *lead* change the tree, those of the log with the
//! smallest key of late, and the swaps of one broadcast go together: everybody's way leads to a peer with
//! fewer hops. All other news use the links that leave for shortcuts: within a few hops of their writer they
//! are pushed over every link, so that they enter the tree at many places, and nobody is pruned for that.
//!
//! What differs from the paper follows from what is broadcast. News are positions of logs ([`News`]), and
//! what a peer holds is where its logs end: so the tree remembers no ids of messages and holds no
//! payloads, it asks [`Holdings`], and news of a log take the place of older ones. Nothing is passed on
//! before it is durable here ([`Input::Durable`]); the parent has verified it by then. Runs that are large
//! or not urgent are not pushed at all ([`Spread::Announce`]): who lacks them asks at once, and the tree
//! is not changed by that. What an honest neighbour may do is counted exactly: who was told of n
//! positions may ask n times, and who was pushed n runs may prune n times.
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
use tearline_crdt::id::DeviceId;
use tearline_crdt::time::MonoTime;

use super::budget::{Budget, Rate};
use super::membership::ACTIVE_MAX;
use super::wanted::{Due, Wanted};
use super::wire::{ANNOUNCEMENTS_MAX, Announcement, TreeMessage as Message};
use super::{GossipFault, Holdings, News};

/// Announcements wait so long for others.
pub const ANNOUNCE_MS: u64 = 200;
/// How long a run that is pushed may come later than its announcement before it is asked for.
pub const WAIT_MS: u64 = 1_000;
/// A part of this comes to it, another for each neighbour and log: so that of the peers that a broken link
/// cuts off one asks, and the others get it from that one.
pub const WAIT_SPREAD_MS: u64 = 1_024;
/// How long a neighbour that was asked may take before another is.
pub const AGAIN_MS: u64 = 3_000;
/// By how many hops a way that was announced must be shorter to take the place of another (the paper's
/// threshold); of two ways over which a run came, one hop decides.
pub const SHORTER_HOPS: u8 = 2;
/// A log leads if none of the last so many news is of a log with a smaller key. About one in so many does,
/// and redundant links last so long.
pub const LEADS_AMONG: usize = 8;
/// News that do not lead are pushed over all links up to this many hops from their writer, in large
/// meshes ([`everywhere_hops`]).
pub const EVERYWHERE_HOPS_MAX: u8 = 3;
/// Arrivals that are remembered: way and hops of the last so many news.
pub const ARRIVALS_MAX: usize = 1_024;
/// Most logs that wait to be announced to one neighbour.
pub const ANNOUNCE_LOGS_MAX: usize = 4_096;
/// After so many questions in a row that a neighbour did not answer it is not asked for this long.
pub const BROKEN_MAX: u32 = 16;
/// See [`BROKEN_MAX`].
pub const MUTE_MS: u64 = 60_000;
/// Most questions and prunings that a neighbour may have in hand.
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

/// One peer's part in the trees of a compartment.
#[derive(Debug, Default)]
pub struct Tree {
    neighbours: BTreeMap<DeviceId, Neighbour>,
    arrivals: Arrivals,
    wanted: Wanted,
    everywhere_hops: u8,
    next_announce: Option<MonoTime>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Neighbour {
    eager: bool,
    /// What is to be announced.
    announce: BTreeMap<LogKey, (u64, u8, bool)>,
    /// How often it may ask and prune.
    asks_left: u32,
    prunes_left: u32,
    /// How often it pushed something for which it was not pruned.
    pushes_left: u32,
    announces: Budget,
    /// Questions in a row that it did not answer.
    broken: u32,
    muted_until: MonoTime,
}

/// How news came.
#[derive(Clone, Debug, Default)]
struct Arrival {
    /// From whom; `None` for what was written here, or found by comparing.
    from: Option<DeviceId>,
    hops: u8,
    /// Who announced them before they came.
    holders: Vec<DeviceId>,
    /// To whom they were pushed.
    pushed_to: Vec<DeviceId>,
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
    /// From now on news are pushed over all links up to so many hops from their writer.
    pub const fn push_everywhere(&mut self, hops: u8) {
        self.everywhere_hops = hops;
    }

    /// Takes an input.
    pub fn handle(&mut self, now: MonoTime, input: Input, holdings: &dyn Holdings) {
        match input {
            Input::Up { device } => {
                self.neighbours.entry(device).or_insert_with(|| Neighbour::new(now));
            }
            Input::Down { device } => {
                self.neighbours.remove(&device);
                self.wanted.lost(&device, now);
            }
            Input::Message { from, message } => {
                if let Err(fault) = self.on_message(now, from, message, holdings) {
                    self.outputs.push_back(Output::Fault { device: from, fault });
                }
            }
            Input::Came { from, news, hops, fresh } => self.on_came(now, from, news, hops, fresh),
            Input::Durable { news, spread } => self.on_durable(now, news, spread),
            Input::Tick => {}
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

    /// When [`Input::Tick`] is due; `None` when nothing waits.
    #[must_use]
    pub fn deadline(&self) -> Option<MonoTime> {
        self.next_announce.into_iter().chain(self.wanted.next_due()).min()
    }

    /// The neighbours that are pushed to, ascending.
    pub fn eager(&self) -> impl Iterator<Item = DeviceId> {
        self.neighbours.iter().filter(|(_, neighbour)| neighbour.eager).map(|(device, _)| *device)
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
            Message::Ask { news, held, repair } => {
                let left = neighbour.asks_left.checked_sub(1).ok_or(GossipFault::Asked)?;
                neighbour.asks_left = left;
                neighbour.eager |= repair;
                if held < news.next && news.next <= holdings.next(&news.log) {
                    let hops = self.arrivals.hops(&news);
                    self.push(from, news, hops.saturating_add(1));
                }
            }
            Message::Prune => {
                let left = neighbour.prunes_left.checked_sub(1).ok_or(GossipFault::Pruned)?;
                neighbour.prunes_left = left;
                neighbour.eager = false;
            }
        }
        Ok(())
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
        let held = holdings.next(&news.log);
        if held < news.next {
            if neighbour.muted_until <= now {
                let wait_ms = if announced.pushed { waits_ms(&from, &news) } else { 0 };
                self.wanted.announced(from, announced, now.plus_ms(wait_ms));
            }
            return;
        }
        let Some(arrival) = self.arrivals.known.get(&news) else { return };
        let shorter = announced.hops.saturating_add(SHORTER_HOPS) <= arrival.hops;
        if !shorter || !announced.pushed || neighbour.eager || !self.arrivals.leads(&news) {
            return;
        }
        let Some(longer) = arrival.from.filter(|way| *way != from && self.may_prune(way)) else {
            return;
        };
        self.arrivals.came_by(&news, from, announced.hops);
        if let Some(neighbour) = self.neighbours.get_mut(&from) {
            neighbour.eager = true;
        }
        self.send(from, Message::Ask { news, held, repair: true });
        self.prune(longer);
    }

    /// Whether a link is eager and the neighbour takes it that we make it lazy.
    fn may_prune(&self, device: &DeviceId) -> bool {
        self.neighbours.get(device).is_some_and(|way| way.eager && way.pushes_left > 0)
    }

    /// Makes a link lazy.
    fn prune(&mut self, device: DeviceId) {
        let Some(neighbour) = self.neighbours.get_mut(&device) else { return };
        let Some(left) = neighbour.pushes_left.checked_sub(1) else { return };
        neighbour.pushes_left = left;
        neighbour.eager = false;
        self.send(device, Message::Prune);
    }

    fn on_came(&mut self, now: MonoTime, from: DeviceId, news: News, hops: u8, fresh: bool) {
        if let Some(neighbour) = self.neighbours.get_mut(&from) {
            neighbour.pushes_left = neighbour.pushes_left.saturating_add(1).min(CREDIT_MAX);
        }
        if fresh {
            let (holders, answered) = self.wanted.came(&news, now.plus_ms(WAIT_MS));
            let arrival = Arrival { from: Some(from), hops, holders, pushed_to: Vec::new() };
            self.arrivals.add(news, arrival);
            // Whoever was asked is credited, although another may have been faster.
            for device in answered.into_iter().chain([from]) {
                if let Some(neighbour) = self.neighbours.get_mut(&device) {
                    neighbour.broken = 0;
                }
            }
            return;
        }
        let Some(first) = self.arrivals.known.get(&news).filter(|_| self.arrivals.leads(&news))
        else {
            return;
        };
        if first.from == Some(from) {
            return;
        }
        if first.pushed_to.contains(&from) && first.hops.saturating_add(2) < hops {
            // What we pushed to it crossed this. Both know that ours is the shorter way: it prunes its
            // other one, or us.
            return;
        }
        let longer = first.from.filter(|way| hops < first.hops && self.may_prune(way));
        if longer.is_some() {
            self.arrivals.came_by(&news, from, hops);
        }
        self.prune(longer.unwrap_or(from));
    }

    fn on_durable(&mut self, now: MonoTime, news: News, spread: Spread) {
        let arrival = self.arrivals.known.get(&news).cloned();
        let arrival = arrival.unwrap_or_else(|| {
            self.arrivals.add(news, Arrival::default());
            Arrival::default()
        });
        let hops = arrival.hops.saturating_add(1);
        let (mut holders, _) = self.wanted.came(&news, now.plus_ms(WAIT_MS));
        holders.extend(&arrival.holders);
        let everywhere = hops <= self.everywhere_hops && !self.arrivals.leads(&news);
        let mut push_to = Vec::new();
        for (device, neighbour) in &mut self.neighbours {
            if arrival.from == Some(*device) {
                continue;
            }
            let pushed = spread == Spread::Push;
            if pushed && (neighbour.eager || everywhere) && !holders.contains(device) {
                push_to.push(*device);
                continue;
            }
            let waiting = &mut neighbour.announce;
            if waiting.len() < ANNOUNCE_LOGS_MAX || waiting.contains_key(&news.log) {
                waiting.insert(news.log, (news.next, hops, pushed));
                self.next_announce.get_or_insert(now.plus_ms(ANNOUNCE_MS));
            }
        }
        if let Some(arrival) = self.arrivals.known.get_mut(&news) {
            arrival.pushed_to.clone_from(&push_to);
        }
        push_to.into_iter().for_each(|device| self.push(device, news, hops));
    }

    fn push(&mut self, to: DeviceId, news: News, hops: u8) {
        if let Some(neighbour) = self.neighbours.get_mut(&to) {
            neighbour.prunes_left = neighbour.prunes_left.saturating_add(1).min(CREDIT_MAX);
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
                announcements.push(Announcement { news: News { log, next }, hops, pushed });
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
        loop {
            let rank = |device: &DeviceId, announced: &Announcement| {
                let broken = self.neighbours.get(device).map_or(u32::MAX, |n| n.broken);
                (broken, announced.hops, *device)
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
                self.wanted.came(&news, now.plus_ms(WAIT_MS));
                continue;
            }
            if let Some(neighbour) = self.neighbours.get_mut(&to) {
                neighbour.eager |= pushed;
            }
            self.send(to, Message::Ask { news, held, repair: pushed });
        }
    }

    fn send(&mut self, to: DeviceId, message: Message) {
        self.outputs.push_back(Output::Send { to, message });
    }
}

/// How long a run may come later than its announcement.
fn waits_ms(from: &DeviceId, news: &News) -> u64 {
    let drawn =
        from.0.iter().chain(&news.log.0).fold(0, |drawn: u8, byte| drawn.rotate_left(1) ^ byte);
    WAIT_MS + WAIT_SPREAD_MS / 256 * u64::from(drawn)
}

impl Neighbour {
    fn new(now: MonoTime) -> Self {
        Self {
            eager: true,
            announce: BTreeMap::new(),
            asks_left: 0,
            prunes_left: 0,
            pushes_left: 0,
            announces: Budget::full(ANNOUNCES, now),
            broken: 0,
            muted_until: now,
        }
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

    /// Whether news are of a log that leads: the smallest key among the last few. Peers that hear the same
    /// news find the same one without a word.
    fn leads(&self, news: &News) -> bool {
        !self.order.iter().rev().take(LEADS_AMONG).any(|other| other.log < news.log)
    }

    /// News came by a shorter way.
    fn came_by(&mut self, news: &News, from: DeviceId, hops: u8) {
        if let Some(arrival) = self.known.get_mut(news) {
            (arrival.from, arrival.hops) = (Some(from), hops);
        }
    }

    /// How far news came. What is not known any more came from far, so that nobody prefers the way.
    fn hops(&self, news: &News) -> u8 {
        self.known.get(news).map_or(u8::MAX, |arrival| arrival.hops)
    }
}
