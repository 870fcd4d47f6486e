//! Gossip, driven: which links carry a compartment's tree, and what is held back on them.
//!
//! [`crate::gossip`] decides what goes to which neighbour at once; this owns links, entries and the
//! guarantee. A link takes part in the tree of a compartment where both ends have a right and that they
//! compare ([`Session::started`]), unless it is thin. Who has two such links or more asks those at their other ends to
//! be its neighbours, who is asked accepts. So two peers that have nobody else say nothing of gossip, and
//! to who says nothing of it everything is pushed, as if there were none.
//!
//! News become what every peer lacks ([`super::lag`]), as ever. What is new is that the lag of a
//! neighbour to which the tree does not push is *held back*: the neighbour is to get it over another link.
//! It is settled when the neighbour announces the same position and head, is sent when it asks, and
//! when it says nothing for [`HELD_MS`]. So there is one account of what a peer has, what came by gossip does
//! not come again by comparing, and a tree that lies or is silent costs time and never an entry.
//!
//! Authority logs go over every link at once: nobody who shapes a tree delays a revocation.
//!
//! Memory: there are at most [`TREES_MAX`] trees. What one neighbour may make a tree remember is bounded in
//! [`crate::gossip`] (about 100 KB), what a session remembers by [`AHEAD_MAX`] and [`AGAIN_MAX`].

use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::frontier::{Leaf, LogKey};
use tearline_crdt::id::{CompartmentId, DeviceId};
use tearline_crdt::logbook::Logbook;
use tearline_crdt::store::{Store, StoreError};
use tearline_crdt::time::{MonoTime, Now};

use super::area::{Area, Body};
use super::ingest::Incoming;
use super::lag::{LagKey, lag_key};
use super::session::{Phase, Session};
use super::sync::Outcome;
use super::{Link, Replica};
use crate::fault::PeerFault;
use crate::gossip::tree::{self, Spread, everywhere_hops};
use crate::gossip::wire::{Announcement, MembershipMessage, TreeMessage};
use crate::gossip::{GossipFault, HeadTag, Holdings, Message, News, Tree};
use crate::wire::{Frame, Tag};

/// Most compartments that have a tree here; what is new in further ones goes over every link. A hostile
/// neighbour in all of them makes them remember 6.4 MB.
const TREES_MAX: usize = 64;
/// Most compartments of which it is looked whether a link may carry their trees: the first by id.
const CARRIES_MAX: usize = 4 * TREES_MAX;
/// Runs up to this size are pushed along the tree; longer ones are announced, and fetched by who lacks them.
const PUSHED_BYTES_MAX: usize = 16 * 1024;
/// What is held back is sent after this time, if the neighbour has neither announced it nor asked for it:
/// longer than an announcement takes with all questions that it can cause (200 ms, 2 s, 3 s, again 3 s).
const HELD_MS: u64 = 15_000;
/// What is held back is looked through so often at most.
const SWEEP_MS: u64 = 1_000;
/// Most logs of which a session remembers that the peer announced more than is here.
const AHEAD_MAX: usize = 1_024;
/// Most logs of which a session remembers that the peer sent what was here.
const AGAIN_MAX: usize = 1_024;
/// What a peer is charged for gossip in vain, and for a run that it has sent before when it was here
/// already, or continues another branch: 3,000 of these are without end.
pub(super) const IN_VAIN: usize = 16;

/// The trees, and the links that may take part in them.
#[derive(Debug, Default)]
pub(super) struct Gossip {
    trees: BTreeMap<CompartmentId, Grown>,
    links: BTreeMap<Link, Part>,
    /// When what is held back is looked through next.
    next_sweep: Option<MonoTime>,
    carried: Carried,
}

/// A tree, and the links to the neighbours in it.
#[derive(Debug)]
struct Grown {
    tree: Tree,
    neighbours: BTreeMap<DeviceId, Link>,
}

/// Of which compartments a link may carry the trees.
#[derive(Debug)]
struct Part {
    device: DeviceId,
    /// How the session was when that was last looked at.
    seen: Seen,
    areas: BTreeMap<CompartmentId, Stage>,
}

/// Whether news flow over a link that is not thin, and how many areas are compared.
type Seen = (bool, usize);

/// How far two peers are with being neighbours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// They may be.
    Open,
    /// We asked.
    Asked,
    /// They are.
    Neighbours,
}

/// What a neighbour said and sent, in one session.
#[derive(Debug, Default)]
pub(super) struct Gossiped {
    /// Logs that it announced to go further than here, and up to where.
    ahead: BTreeMap<LagKey, (u64, HeadTag)>,
    /// Logs of which it sent what was here, and up to where.
    again: BTreeMap<LagKey, u64>,
}

/// What runs brought since the start, in bytes of entries and key boxes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Carried {
    /// All that came.
    pub bytes: u64,
    /// Of these what was here already.
    pub again_bytes: u64,
}

/// What a neighbour is in the tree of a compartment.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Way {
    /// It leads to the root: news are pushed both ways.
    Parent,
    /// News are pushed to it.
    Eager,
    /// News are announced to it.
    Lazy,
}

/// What is held of a compartment.
struct Held<'a> {
    area: &'a Area,
    logbook: &'a Logbook,
}

impl Holdings for Held<'_> {
    fn next(&self, log: &LogKey) -> u64 {
        self.area.logs.get(log).map_or(0, |log| self.logbook.head(log).next)
    }
}

impl Session {
    fn seen(&self) -> Seen {
        let carries = self.phase == Phase::Live && !self.thin;
        if carries { (true, self.started.len()) } else { (false, 0) }
    }

    /// What is held back of an area goes now.
    fn let_go_all(&mut self, id: CompartmentId) {
        self.lag
            .iter_mut()
            .filter(|(key, _)| key.1 == id)
            .for_each(|(_, lag)| lag.held_until = None);
    }
}

impl Gossip {
    /// Whether a link may carry the tree of a compartment.
    fn may(&self, link: Link, id: CompartmentId) -> bool {
        self.links.get(&link).is_some_and(|part| part.areas.contains_key(&id))
    }

    /// Whether the tree of a compartment goes over this link.
    fn goes_over(&self, link: Link, id: CompartmentId) -> bool {
        let device = self.links.get(&link).map(|part| part.device);
        let way = device.and_then(|device| self.trees.get(&id)?.neighbours.get(&device));
        way == Some(&link)
    }

    fn set_stage(&mut self, link: Link, id: CompartmentId, stage: Stage) {
        if let Some(part) = self.links.get_mut(&link) {
            part.areas.insert(id, stage);
        }
    }
}

impl<S: Store> Replica<S> {
    /// When [`super::Input::Tick`] is due next, if not before; `None` where only the minute counts.
    #[must_use]
    pub fn deadline(&self) -> Option<MonoTime> {
        let trees = self.gossip.trees.values().map(|grown| grown.tree.deadline());
        let timed = [
            self.gossip.next_sweep,
            self.next_turn(),
            self.next_share(),
            self.next_overdue(),
            self.next_card(),
            self.next_fetch(),
            self.next_presence(),
            self.next_ask_for_gaps(),
            self.next_aside(),
        ];
        trees.chain(timed.into_iter().flatten()).min()
    }

    /// What runs brought since the start.
    #[must_use]
    pub const fn carried(&self) -> Carried {
        self.gossip.carried
    }

    /// In which compartments a device is a neighbour, and what it is in their trees.
    #[must_use]
    pub fn ways(&self, device: &DeviceId) -> BTreeMap<CompartmentId, Way> {
        let trees = self.gossip.trees.iter();
        let near = trees.filter(|(_, grown)| grown.neighbours.contains_key(device));
        let way = |grown: &Grown| {
            if grown.tree.parent() == Some(*device) {
                Way::Parent
            } else if grown.tree.eager().any(|eager| eager == *device) {
                Way::Eager
            } else {
                Way::Lazy
            }
        };
        near.map(|(id, grown)| (*id, way(grown))).collect()
    }

    /// Does what is due, and follows what became of the links since the last input.
    pub(super) fn tend_trees(&mut self, standings_changed: bool) -> Result<(), StoreError> {
        self.let_go_overdue();
        let is_due = |grown: &Grown| grown.tree.deadline() <= self.clock;
        let trees = self.gossip.trees.iter().filter(|(_, grown)| is_due(grown));
        let due: Vec<CompartmentId> = trees.map(|(id, _)| *id).collect();
        due.into_iter().try_for_each(|id| self.tell_tree(id, tree::Input::Tick))?;
        let is_gone = |link: &&Link| {
            self.gossip.links.contains_key(link) && !self.sessions.contains_key(link)
        };
        let gone: Vec<Link> = self.sessions.touched().iter().filter(is_gone).copied().collect();
        gone.into_iter().try_for_each(|link| self.look_at(link))?;
        let known = |link: &Link| self.gossip.links.get(link).map_or((false, 0), |part| part.seen);
        let moved = |link: &&Link| {
            let seen = self.sessions.get(link).map(Session::seen);
            seen.is_some_and(|seen| standings_changed || seen != known(link))
        };
        let moved: Vec<Link> = self.sessions.touched().iter().filter(moved).copied().collect();
        moved.into_iter().try_for_each(|link| self.look_at(link))
    }

    /// Looks of which compartments a link may carry the trees, and follows what changed.
    fn look_at(&mut self, link: Link) -> Result<(), StoreError> {
        let seen = self.sessions.get(&link).map_or((false, 0), Session::seen);
        let may = self.may_carry(link);
        let before = self.gossip.links.remove(&link);
        let lost = before.iter().flat_map(|part| part.areas.keys()).filter(|id| !may.contains(*id));
        for id in lost {
            self.leave(link, *id)?;
        }
        let Some(device) = self.sessions.get(&link).map(|session| session.device) else {
            return Ok(());
        };
        let known = before.map(|part| part.areas).unwrap_or_default();
        let stage = |id: &CompartmentId| known.get(id).copied();
        let areas = may.iter().map(|id| (*id, stage(id).unwrap_or(Stage::Open))).collect();
        self.gossip.links.insert(link, Part { device, seen, areas });
        let fresh = may.iter().filter(|id| stage(id).is_none());
        fresh.for_each(|id| self.ask_neighbours(*id));
        Ok(())
    }

    /// The compartments whose trees a link may carry.
    fn may_carry(&self, link: Link) -> BTreeSet<CompartmentId> {
        let Some(session) = self.sessions.get(&link).filter(|s| s.seen().0) else {
            return BTreeSet::new();
        };
        let may = |id: &&CompartmentId| {
            let is_compartment =
                self.areas.get(*id).map(|area| matches!(area.body, Body::Compartment(_)));
            is_compartment == Some(true) && self.right(**id, &session.device).is_some()
        };
        session.started.iter().filter(may).take(CARRIES_MAX).copied().collect()
    }

    /// Asks all who may be neighbours in a compartment to be so, if there are two of them or more.
    fn ask_neighbours(&mut self, id: CompartmentId) {
        let trees = &self.gossip.trees;
        if trees.len() >= TREES_MAX && !trees.contains_key(&id) {
            return;
        }
        let parts = self.gossip.links.iter().filter(|(_, part)| part.areas.contains_key(&id));
        let devices: BTreeSet<DeviceId> = parts.clone().map(|(_, part)| part.device).collect();
        if devices.len() < 2 {
            return;
        }
        let is_open = |part: &Part| part.areas.get(&id) == Some(&Stage::Open);
        let open: Vec<Link> =
            parts.filter(|(_, part)| is_open(part)).map(|(link, _)| *link).collect();
        for link in open {
            self.gossip.set_stage(link, id, Stage::Asked);
            self.say_gossip(link, id, Message::Membership(MembershipMessage::Join));
        }
    }

    /// Takes a link into the tree of a compartment; whether it is there.
    fn take_part(&mut self, link: Link, id: CompartmentId) -> Result<bool, StoreError> {
        let trees = &mut self.gossip.trees;
        let Some(device) = self.gossip.links.get(&link).map(|part| part.device) else {
            return Ok(false);
        };
        if trees.len() >= TREES_MAX && !trees.contains_key(&id) {
            return Ok(false);
        }
        let (own, clock) = (self.keys.id(), self.clock);
        let fresh = || Grown { tree: Tree::new(own, clock), neighbours: BTreeMap::new() };
        let grown = trees.entry(id).or_insert_with(fresh);
        if let Some(Area { body: Body::Compartment(compartment), .. }) = self.areas.get(&id) {
            grown.tree.push_everywhere(everywhere_hops(compartment.devices().len()));
        }
        let old = grown.neighbours.insert(device, link);
        self.gossip.set_stage(link, id, Stage::Neighbours);
        if old == Some(link) {
            return Ok(true);
        }
        if old.is_some() {
            self.tell_tree(id, tree::Input::Down { device })?;
        }
        self.tell_tree(id, tree::Input::Up { device })?;
        Ok(true)
    }

    /// A link does not carry the tree of a compartment any more.
    fn leave(&mut self, link: Link, id: CompartmentId) -> Result<(), StoreError> {
        if let Some(session) = self.sessions.get_mut(&link) {
            session.let_go_all(id);
        }
        let Some(grown) = self.gossip.trees.get_mut(&id) else { return Ok(()) };
        let device =
            grown.neighbours.iter().find(|(_, way)| **way == link).map(|(device, _)| *device);
        let Some(device) = device else { return Ok(()) };
        grown.neighbours.remove(&device);
        if grown.neighbours.is_empty() {
            self.gossip.trees.remove(&id);
            return Ok(());
        }
        self.tell_tree(id, tree::Input::Down { device })
    }

    /// What a peer says of the tree of a compartment.
    pub(super) fn on_gossip(&mut self, link: Link, tag: Tag, message: Message) -> Outcome {
        let Some(session) = self.sessions.get(&link) else { return Ok(Ok(())) };
        let (device, id) = (session.device, session.names.get(&tag).copied());
        let Some(id) = id.filter(|id| self.gossip.may(link, *id)) else {
            // Where it has no right, or says so before we know of it, it is told nothing.
            return Ok(self.charge(link, IN_VAIN));
        };
        let stage = self.gossip.links.get(&link).and_then(|part| part.areas.get(&id)).copied();
        match message {
            Message::Membership(MembershipMessage::Join) => {
                // Also of two who asked each other: to one of them the other may not have listened yet.
                if self.take_part(link, id)? {
                    self.say_gossip(link, id, Message::Membership(MembershipMessage::Accept));
                }
                let again = stage == Some(Stage::Neighbours);
                Ok(if again { self.charge(link, IN_VAIN) } else { Ok(()) })
            }
            Message::Membership(MembershipMessage::Accept) if stage == Some(Stage::Asked) => {
                self.take_part(link, id)?;
                Ok(Ok(()))
            }
            Message::Membership(_) => Ok(self.charge(link, IN_VAIN)),
            Message::Tree(message) => {
                // It takes us for a neighbour: its answer crossed ours, or was lost here.
                let near = self.gossip.goes_over(link, id) || self.take_part(link, id)?;
                if near {
                    self.on_tree_message(link, device, id, message)
                } else {
                    Ok(self.charge(link, IN_VAIN))
                }
            }
        }
    }

    fn on_tree_message(
        &mut self,
        link: Link,
        device: DeviceId,
        id: CompartmentId,
        message: TreeMessage,
    ) -> Outcome {
        if let TreeMessage::Beacon(beacon) = &message
            && self.right(id, &beacon.root).is_none()
        {
            return Ok(self.charge(link, IN_VAIN));
        }
        let (mut asked, mut announced) = (None, Vec::new());
        match &message {
            TreeMessage::Ask { news, held, head, .. } => {
                asked = Some((link, Leaf { key: news.log, next: *held, head: *head }));
            }
            TreeMessage::Announce { announcements } => announced.clone_from(announcements),
            _ => {}
        }
        self.tell(id, tree::Input::Message { from: device, message });
        self.do_as_told(id, asked)?;
        for announcement in announced {
            if let Err(fault) = self.hear_announced(link, id, &announcement)? {
                return Ok(Err(fault));
            }
        }
        Ok(Ok(()))
    }

    /// A neighbour took what was sent to it.
    pub(super) fn hear(&mut self, link: Link, id: CompartmentId) {
        if let Some(device) = self.sessions.get(&link).map(|session| session.device) {
            self.tell(id, tree::Input::Heard { device });
        }
    }

    /// A neighbour says how far a log goes with it, durably.
    fn hear_announced(
        &mut self,
        link: Link,
        id: CompartmentId,
        announced: &Announcement,
    ) -> Outcome {
        let News { log: key, next } = announced.news;
        let Some(area) = self.areas.get(&id) else { return Ok(Ok(())) };
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(Ok(())) };
        // Logs with a proven fork are compared alone.
        if area.frontier.is_forked(&key) {
            return Ok(Ok(()));
        }
        if area.frontier.head(&key).next >= next {
            return self.hear_holding(link, id, key, (next, announced.head));
        }
        // It has what is here, and more: whether of the same branch is seen when that comes, or is asked for.
        let own = area.frontier.head(&key).next;
        session.arrived(&lag_key(id, key), own, own);
        let ahead = &mut session.gossiped.ahead;
        if ahead.len() < AHEAD_MAX || ahead.contains_key(&lag_key(id, key)) {
            ahead.insert(lag_key(id, key), (next, announced.head));
        }
        Ok(Ok(()))
    }

    /// A neighbour holds a log up to a position that is durable here, or another branch of it.
    fn hear_holding(
        &mut self,
        link: Link,
        id: CompartmentId,
        key: LogKey,
        (next, head): (u64, HeadTag),
    ) -> Outcome {
        let Some(area) = self.areas.get(&id) else { return Ok(Ok(())) };
        let Some(log) = area.logs.get(&key).map(|log| **log) else { return Ok(Ok(())) };
        let own = area.frontier.head(&key).next;
        let lag_key = lag_key(id, key);
        let lags =
            self.sessions.get(&link).is_some_and(|session| session.lag.contains_key(&lag_key));
        // What settles nothing and makes us read is asked in vain.
        if !lags
            && next != own
            && let Err(fault) = self.charge(link, 1)
        {
            return Ok(Err(fault));
        }
        let Some(tag) = self.tag_at(&log, next)? else { return Ok(Ok(())) };
        if tag != head {
            self.dispute(link, &log, next)?;
            return Ok(Ok(()));
        }
        let Some(session) = self.sessions.get_mut(&link).filter(|_| lags) else {
            return Ok(Ok(()));
        };
        session.arrived(&lag_key, next, own);
        // It follows: what is left it gets as it got this.
        if let Some(until) = session.lag.get_mut(&lag_key).and_then(|lag| lag.held_until.as_mut()) {
            *until = self.clock.plus_ms(HELD_MS);
        }
        self.mark_in_sync(link);
        Ok(Ok(()))
    }

    /// Takes a run, and tells the tree of it if it was pushed along.
    pub(super) fn on_gossiped(
        &mut self,
        now: Now,
        link: Link,
        tag: Tag,
        run: Incoming,
        hops: Option<u8>,
    ) -> Outcome {
        let bytes = (run.entries.len() + run.boxes.len()) as u64;
        let (key, first) = (run.key, run.first);
        let next = first.saturating_add(run.count as u64);
        let id = self.sessions.get(&link).and_then(|session| session.names.get(&tag)).copied();
        let before = id.map_or(0, |id| self.held(id, &key));
        let again = id.map_or(0, |id| self.bytes_held(id, &run, before));
        let outcome = self.on_run(now, link, tag, run)?;
        self.gossip.carried.bytes = self.gossip.carried.bytes.saturating_add(bytes);
        let Some(id) = id.filter(|_| outcome.is_ok()) else { return Ok(outcome) };
        let fresh = self.held(id, &key) > before;
        let carried = &mut self.gossip.carried.again_bytes;
        *carried = carried.saturating_add(again);
        if next <= before {
            if let Err(fault) = self.charge_replay(link, lag_key(id, key), next) {
                return Ok(Err(fault));
            }
            // It holds that much, whatever of it was to go to it.
            let own = self.areas.get(&id).map_or(next, |area| area.frontier.head(&key).next);
            if let Some(session) = self.sessions.get_mut(&link) {
                session.arrived(&lag_key(id, key), next, own);
            }
        }
        let device = self.sessions.get(&link).map(|session| session.device);
        if let (Some(from), Some(hops)) = (device, hops)
            && (fresh || next <= before)
            && self.gossip.goes_over(link, id)
        {
            let news = News { log: key, next };
            self.tell_tree(id, tree::Input::Came { from, news, hops, fresh })?;
        }
        Ok(Ok(()))
    }

    /// A run came whole that was here. Once that is nobody's fault: others were faster. Who goes on
    /// sending it is charged.
    fn charge_replay(&mut self, link: Link, key: LagKey, next: u64) -> Result<(), PeerFault> {
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(()) };
        let again = &mut session.gossiped.again;
        if again.get(&key).is_some_and(|known| *known >= next) {
            return self.charge(link, IN_VAIN);
        }
        if again.len() >= AGAIN_MAX && !again.contains_key(&key) {
            again.pop_first();
        }
        again.insert(key, next);
        Ok(())
    }

    /// How many bytes of a run are of entries before a position.
    fn bytes_held(&self, id: CompartmentId, run: &Incoming, next: u64) -> u64 {
        let held = next.checked_sub(run.first).and_then(|held| usize::try_from(held).ok());
        let log = self.areas.get(&id).and_then(|area| area.logs.get(&run.key));
        let (Some(held @ 1..), Some(log)) = (held, log) else { return 0 };
        let rest = run.unverified(**log).without_first(held);
        let left = rest.map_or(0, |rest| rest.entries.len() + rest.boxes.len());
        (run.entries.len() + run.boxes.len()).saturating_sub(left) as u64
    }

    fn held(&self, id: CompartmentId, key: &LogKey) -> u64 {
        self.areas.get(&id).map_or(0, |area| Held { area, logbook: &self.logbook }.next(key))
    }

    /// A log is durable here up to a position, and everybody's lag of it noted: what the tree does not
    /// push is held back.
    pub(super) fn spread(
        &mut self,
        id: CompartmentId,
        key: LogKey,
        from: u64,
        next: u64,
        bytes: usize,
    ) -> Result<(), StoreError> {
        let Some(grown) = self.gossip.trees.get(&id).filter(|_| !key.is_of_authority()) else {
            return Ok(());
        };
        let links: Vec<Link> = grown.neighbours.values().copied().collect();
        let until = self.clock.plus_ms(HELD_MS);
        let lag_key = lag_key(id, key);
        for link in &links {
            let Some(session) = self.sessions.get_mut(link) else { continue };
            // What is older and still to be sent goes on, and this with it.
            let lag = session.lag.get_mut(&lag_key).filter(|lag| lag.sent >= from);
            if let Some(lag) = lag {
                lag.held_until.get_or_insert(until);
            }
            if let Some(said) =
                session.gossiped.ahead.get(&lag_key).copied().filter(|s| s.0 <= next)
            {
                session.gossiped.ahead.remove(&lag_key);
                if let Err(fault) = self.hear_holding(*link, id, key, said)? {
                    self.blame(*link, fault);
                }
            }
        }
        self.gossip.next_sweep.get_or_insert(until);
        let spread = if bytes > PUSHED_BYTES_MAX { Spread::Announce } else { Spread::Push };
        self.tell_tree(id, tree::Input::Durable { news: News { log: key, next }, spread })
    }

    /// Sends what was held back for too long.
    fn let_go_overdue(&mut self) {
        if self.gossip.next_sweep.is_none_or(|at| at > self.clock) {
            return;
        }
        let mut next: Option<MonoTime> = None;
        let clock = self.clock;
        self.sessions.change(
            |session| session.lag.values().any(|lag| lag.held_until.is_some()),
            |_, session| {
                for lag in session.lag.values_mut() {
                    lag.held_until.take_if(|until| *until <= clock);
                    next = next.into_iter().chain(lag.held_until).min();
                }
            },
        );
        self.gossip.next_sweep = next.map(|next| next.max(self.clock.plus_ms(SWEEP_MS)));
    }

    fn tell_tree(&mut self, id: CompartmentId, input: tree::Input) -> Result<(), StoreError> {
        self.tell(id, input);
        self.do_as_told(id, None)
    }

    fn tell(&mut self, id: CompartmentId, input: tree::Input) {
        let grown = self.gossip.trees.get_mut(&id);
        if let (Some(grown), Some(area)) = (grown, self.areas.get(&id)) {
            grown.tree.handle(self.clock, input, &Held { area, logbook: &self.logbook });
        }
    }

    /// Carries out what a tree decided. `asked` is who has just asked for something, and where it is.
    fn do_as_told(
        &mut self,
        id: CompartmentId,
        asked: Option<(Link, Leaf)>,
    ) -> Result<(), StoreError> {
        while let Some(grown) = self.gossip.trees.get_mut(&id)
            && let Some(output) = grown.tree.poll_output()
        {
            let (tree::Output::Push { to: device, .. }
            | tree::Output::Send { to: device, .. }
            | tree::Output::Fault { device, .. }) = &output;
            let Some(link) = grown.neighbours.get(device).copied() else { continue };
            if self.right(id, device).is_none() {
                continue;
            }
            match output {
                tree::Output::Push { news, hops, .. } => {
                    let asked = asked.filter(|(by, leaf)| *by == link && leaf.key == news.log);
                    self.push(link, id, (news, hops), asked.map(|(_, leaf)| leaf))?;
                }
                tree::Output::Send { message, .. } => self.say_of_tree(link, id, message)?,
                tree::Output::Fault { fault, .. } => self.on_tree_fault(link, fault),
            }
        }
        Ok(())
    }

    /// A neighbour is to get what it lacks of a log now: from where it says that it is, or from where it
    /// is as far as we know.
    fn push(
        &mut self,
        link: Link,
        id: CompartmentId,
        (news, hops): (News, u8),
        asked: Option<Leaf>,
    ) -> Result<(), StoreError> {
        if let Some(leaf) = asked {
            let mut positions = Vec::new();
            self.compare_log(link, id, leaf, &mut positions)?;
            let tag = self.tag_of(link, &id);
            self.say_positions(link, tag, positions);
        }
        let session = self.sessions.get_mut(&link);
        if let Some(lag) = session.and_then(|session| session.lag.get_mut(&lag_key(id, news.log))) {
            lag.held_until = None;
            lag.hops = Some(hops.max(1));
        }
        Ok(())
    }

    /// Says what a tree has to say, with the heads beside the positions.
    fn say_of_tree(
        &mut self,
        link: Link,
        id: CompartmentId,
        mut message: TreeMessage,
    ) -> Result<(), StoreError> {
        let Some(area) = self.areas.get(&id) else { return Ok(()) };
        match &mut message {
            TreeMessage::Announce { announcements } => {
                let mut said = Vec::new();
                for mut announced in announcements.drain(..) {
                    let News { log: key, next } = announced.news;
                    let log = area.logs.get(&key).filter(|_| !area.frontier.is_forked(&key));
                    let Some(log) = log else { continue };
                    if let Some(head) = self.tag_at(log, next)? {
                        announced.head = head;
                        said.push(announced);
                    }
                }
                if said.is_empty() {
                    return Ok(());
                }
                *announcements = said;
            }
            TreeMessage::Ask { news, held, head, .. } => {
                if area.frontier.is_forked(&news.log) {
                    return Ok(());
                }
                // What is not durable yet is not said to be held.
                Leaf { next: *held, head: *head, .. } = area.frontier.leaf(&news.log);
            }
            _ => {}
        }
        self.say_gossip(link, id, Message::Tree(message));
        Ok(())
    }

    fn say_gossip(&mut self, link: Link, id: CompartmentId, message: Message) {
        let area = self.tag_of(link, &id);
        self.say(link, Frame::Gossip { area, message });
    }

    /// What a neighbour did that no honest one does. That it asks for what it was not told may be a
    /// matter of a link that was lost: it is charged.
    fn on_tree_fault(&mut self, link: Link, fault: GossipFault) {
        let fault = match fault {
            GossipFault::Flood { .. } => Err(PeerFault::Gossip(fault)),
            GossipFault::Asked => self.charge(link, IN_VAIN),
        };
        if let Err(fault) = fault {
            self.blame(link, fault);
        }
    }
}
