//! The world: carries a plan out, one event after the other.
//!
//! ```text
//! loop {
//!     the earliest of: a peer's tick, flush or start; a link's contact or frame; the script; the oracles
//!     an input to a replica, and what it owes afterwards
//! }
//! ```
//! First comes the plan, with its work, contacts and faults. Then nothing fails any more and every link is
//! up; all that read a compartment must come to hold the same within the time that the scenario says, and
//! fall silent. The first thing that an oracle finds ends the run.
#![expect(
    clippy::indexing_slicing,
    reason = "posts, lines and records are numbered by the run, whose numbers are its own"
)]

mod hostile;
mod links;
mod script;
mod standing;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tearline_crdt::id::{CoalitionId, CompartmentId, DeviceId, RecordId};
use tearline_crdt::store::StoreError;
use tearline_crdt::time::{MonoTime, Now, WallTime};
use tearline_mesh::memo::Memo;
use tearline_mesh::{Event, Input, Link, Output, PeerFault};

use crate::agenda::{Agenda, NEVER, Nanos, Who};
use crate::books::Books;
use crate::draws::Draws;
use crate::founding::{self, Founded, LINKS_OF_FOUNDING};
use crate::line::Line;
use crate::oracle::{self, Found, Oracle, Violation};
use crate::outcome::Outcome;
use crate::peer::Peer;
use crate::plan::Plan;
use crate::quantity::{MINUTE, SECOND};
use crate::trace::Trace;
use hostile::Hostiles;
use script::Scripted;
pub(crate) use script::text_of;

/// A bug that is planted, to see that an oracle finds it. None is in what ships: each is in the simulator,
/// as a driver, a disk, a transport or a peer that does what it must not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sabotage {
    /// The transport loses entries and says that they arrived.
    LostRuns,
    /// The driver says that the disk has what it was never asked to write.
    EarlyFlush,
    /// A desk opens every compartment for all agencies.
    WrongAudience,
    /// A peer says again and again what it holds.
    Chatter,
    /// The books of links forget what a cut lost.
    Miscount,
    /// A disk fills by itself.
    Hoard,
    /// The transport changes a bit.
    FlippedBit,
    /// Frames arrive before light would.
    Haste,
    /// A peer lets everything count.
    Lenient,
    /// A driver does not hear of what others do wrong.
    DeafDriver,
    /// A driver shows what it writes to devices whose standing has ended, too.
    WrongScreen,
    /// A relay is told the id of every record.
    Tattle,
    /// A relay is given a reader's keys.
    KeyLeak,
    /// A driver sends the least urgent first.
    Inverted,
}

/// Why a run could not be carried out. That is never a finding about the mesh.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A store failed that is in memory.
    #[error("a store failed: {0}")]
    Store(#[from] StoreError),
    /// A replica refused what founding a coalition asks of it.
    #[error("the coalition could not be founded: {0}")]
    Act(String),
    /// The same, before a replica was asked.
    #[error("the coalition could not be founded: {0}")]
    Founding(&'static str),
}

/// Carries a plan out. Peers share what is found by verifying, opening and drawing answers: each result is
/// a function of its inputs alone, and what happens is what [`run_in_full`] does.
pub fn run(plan: &Plan, sabotage: Option<Sabotage>) -> Result<Outcome, RunError> {
    run_with(plan, sabotage, &Memo::remembering())
}

/// Carries a plan out, every peer verifying and opening everything itself.
pub fn run_in_full(plan: &Plan) -> Result<Outcome, RunError> {
    run_with(plan, None, &Memo::default())
}

fn run_with(plan: &Plan, sabotage: Option<Sabotage>, memo: &Memo) -> Result<Outcome, RunError> {
    let mut world = World::new(plan.clone(), sabotage, memo)?;
    world.go()?;
    Ok(Outcome::of(world))
}

/// A moment of the run as a peer's clocks show it.
pub(crate) const fn moment(now: Nanos, clock_error: i64) -> Now {
    let ms = BEGINS_MS + now / 1_000_000;
    Now { mono: MonoTime(ms), wall: WallTime(ms.saturating_add_signed(clock_error / 1_000_000)) }
}

/// When a peer's running clock shows this.
pub(crate) const fn at_clock(at: MonoTime) -> Nanos {
    at.0.saturating_sub(BEGINS_MS).saturating_mul(1_000_000)
}

/// When runs begin: some day, and no clock reads zero.
const BEGINS_MS: u64 = 1_700_000_000_000;
/// How often a peer is told that time passes.
const TICK: Nanos = MINUTE;
/// How long a disk takes to flush.
const FLUSH: (Nanos, Nanos) = (2 * SECOND / 1_000, 12 * SECOND / 1_000);
/// How often it is looked whether all hold the same, once they should.
const LOOK: Nanos = MINUTE / 2;
/// How long they are watched after that: they must have nothing to say.
const QUIET: Nanos = 10 * MINUTE;

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) sabotage: Option<Sabotage>,
    pub(crate) now: Nanos,
    agenda: Agenda,
    pub(crate) peers: Vec<Peer>,
    pub(crate) lines: Vec<Line>,
    /// The lines at each post.
    pub(crate) lines_of: Vec<Vec<u32>>,
    /// The line of each connection of the run.
    line_of: Vec<u32>,
    pub(crate) coalition: CoalitionId,
    pub(crate) compartments: Vec<CompartmentId>,
    pub(crate) numbers: BTreeMap<CompartmentId, u32>,
    pub(crate) books: Books,
    /// Records of each post and compartment that it can change.
    own: BTreeMap<(u32, u32), Vec<RecordId>>,
    script: VecDeque<(Nanos, Scripted)>,
    /// Partitions that are on.
    cuts: BTreeSet<u32>,
    /// Clogs that are on.
    clogs: BTreeSet<u32>,
    pub(crate) hostiles: Hostiles,
    pub(crate) taints: oracle::metadata::Taints,
    /// Of each post, whether it does as it should.
    pub(crate) honest: Vec<bool>,
    /// Posts of whose later records it is not known whether they will count.
    unsure: BTreeSet<u32>,
    /// Posts whose standing was ended by their desk.
    ended_standings: BTreeSet<u32>,
    /// Writes that a post could not carry out.
    pub(crate) not_written: u64,
    /// When all held the same.
    pub(crate) agreed: Option<Nanos>,
    pub(crate) ended: bool,
    pub(crate) violation: Option<Violation>,
    pub(crate) trace: Trace,
    draws: Draws,
}

impl World {
    fn new(plan: Plan, sabotage: Option<Sabotage>, memo: &Memo) -> Result<Self, RunError> {
        let Founded { peers, coalition, compartments } = founding::found(&plan, sabotage, memo)?;
        let mut lines_of = vec![Vec::new(); plan.posts.len()];
        let mut lines = Vec::new();
        for (number, line) in plan.lines.iter().enumerate() {
            line.between.iter().for_each(|post| lines_of[*post as usize].push(number as u32));
            let mut line = line.clone();
            if sabotage == Some(Sabotage::Haste) {
                (line.rate, line.latency, line.jitter) = (1_000_000_000_000, 0, 0);
            }
            let mut line = Line::new(line, Draws::of(plan.seed, "line", number as u64));
            line.inverted = sabotage == Some(Sabotage::Inverted);
            lines.push(line);
        }
        let numbers = compartments.iter().zip(0..).map(|(id, number)| (*id, number)).collect();
        let mut world = Self {
            script: script::of(&plan),
            draws: Draws::of(plan.seed, "disks", 0),
            sabotage,
            now: 0,
            agenda: Agenda::default(),
            peers,
            lines,
            lines_of,
            line_of: Vec::new(),
            coalition,
            compartments,
            numbers,
            books: Books::default(),
            own: BTreeMap::new(),
            cuts: BTreeSet::new(),
            clogs: BTreeSet::new(),
            hostiles: Hostiles::of(&plan),
            taints: oracle::metadata::Taints::default(),
            honest: (0..plan.posts.len() as u32).map(|post| plan.is_honest(post)).collect(),
            unsure: BTreeSet::new(),
            ended_standings: BTreeSet::new(),
            not_written: 0,
            agreed: None,
            ended: false,
            violation: None,
            trace: Trace::default(),
            plan,
        };
        oracle::metadata::note_secrets(&mut world);
        world.trace.note(0, 0, 0, world.plan.to_toml().as_bytes());
        for peer in 0..world.peers.len() as u32 {
            world.first_tick(peer);
        }
        world.plant(0);
        for line in 0..world.lines.len() as u32 {
            world.refresh(line)?;
        }
        if let Some((at, _)) = world.script.front() {
            world.agenda.put(*at, Who::Script);
        }
        Ok(world)
    }

    fn go(&mut self) -> Result<(), RunError> {
        while !self.ended {
            let Some((at, who)) = self.agenda.pop(NEVER) else { break };
            self.now = at;
            match who {
                Who::Peer(peer) => self.on_peer(peer)?,
                Who::Line(line) => self.on_line(line)?,
                Who::Script => self.on_script()?,
                Who::Oracles => self.on_oracles()?,
            }
        }
        Ok(())
    }

    fn on_peer(&mut self, number: u32) -> Result<(), RunError> {
        let now = self.now;
        let peer = &mut self.peers[number as usize];
        if peer.due != now {
            return Ok(());
        }
        peer.due = NEVER;
        if std::mem::take(&mut peer.fell) {
            self.refresh_of(number)?;
        }
        let peer = &mut self.peers[number as usize];
        if peer.starts_at <= now && peer.full_until > now {
            // It would not start on a full disk.
            peer.starts_at = peer.full_until;
        }
        if peer.starts_at <= now {
            peer.fill_disk(false);
            peer.start()?;
            self.plant(number);
            self.trace.note(now, b's', number, &[]);
            self.first_tick(number);
            self.drain(number)?;
            self.refresh_of(number)?;
        }
        while let Some((_, barrier)) =
            self.peers[number as usize].flushes.pop_front_if(|(at, _)| *at <= now)
        {
            self.flushed(number)?;
            if self.peers[number as usize].replica.is_none() {
                break;
            }
            self.trace.note(now, b'f', number, &barrier.0.to_be_bytes());
            self.input(number, Input::Flushed { barrier })?;
        }
        let peer = &mut self.peers[number as usize];
        let ticks = peer.next_tick <= now;
        if ticks {
            peer.next_tick = now + TICK;
        }
        if ticks || peer.deadline() <= now {
            peer.told = now;
            self.input(number, Input::Tick)?;
        }
        if ticks {
            self.hoard(number)?;
            let found = oracle::memory::check(self, number).filter(|_| self.is_honest(number));
            self.judge(Oracle::Memory, found);
        }
        self.schedule(number);
        Ok(())
    }

    /// The disk has everything that was applied until now.
    fn flushed(&mut self, number: u32) -> Result<(), RunError> {
        let now = self.now;
        let early = self.sabotage == Some(Sabotage::EarlyFlush);
        let peer = &mut self.peers[number as usize];
        if let Some(replica) = peer.replica.as_mut().filter(|_| !early) {
            use tearline_crdt::store::Store as _;
            if let Err(error) = replica.store_mut().flush() {
                return self.fall(number, error);
            }
        }
        let peer = &mut self.peers[number as usize];
        for record in std::mem::take(&mut peer.unflushed) {
            self.books.arrived(number, &record, now);
        }
        Ok(())
    }

    fn first_tick(&mut self, number: u32) {
        // Peers do not tick together.
        self.peers[number as usize].next_tick = self.now + self.draws.between(1, TICK);
        self.schedule(number);
    }

    fn schedule(&mut self, number: u32) {
        let peer = &mut self.peers[number as usize];
        let next = peer.next();
        self.agenda.put_earlier(&mut peer.due, next, Who::Peer(number));
    }

    /// An input to a peer that is up, and all that follows from it here.
    pub(crate) fn input(&mut self, number: u32, input: Input) -> Result<(), RunError> {
        let peer = &mut self.peers[number as usize];
        let now = moment(self.now, peer.clock);
        let Some(replica) = peer.replica.as_mut() else { return Ok(()) };
        if let Err(error) = replica.handle(now, input) {
            return self.fall(number, error);
        }
        self.drain(number)
    }

    /// A store failed. Where its disk is full the peer ends, as the daemon does, and starts when there is room;
    /// elsewhere stores do not fail.
    fn fall(&mut self, number: u32, error: StoreError) -> Result<(), RunError> {
        let now = self.now;
        let peer = &mut self.peers[number as usize];
        if peer.full_until <= now {
            return Err(RunError::Store(error));
        }
        self.trace.note(now, b'd', number, &[]);
        peer.crash(&mut Draws::of(self.plan.seed, "full disk", now));
        peer.starts_at = peer.full_until;
        // Its links are told in a moment: this may be amid one of them.
        peer.fell = true;
        (peer.next_tick, peer.due) = (now + 1, NEVER);
        self.schedule(number);
        Ok(())
    }

    /// Carries out what a peer owes.
    fn drain(&mut self, number: u32) -> Result<(), RunError> {
        let mut closed = Vec::new();
        let mut given = BTreeSet::new();
        loop {
            let peer = &mut self.peers[number as usize];
            let Some(output) = peer.replica.as_mut().and_then(|r| r.poll_output()) else { break };
            match output {
                Output::Send { link, urgency, bytes } => {
                    if let Some(line) = self.line_with(link) {
                        let found = oracle::confidentiality::in_the_clear(self, &bytes);
                        self.judge(Oracle::Confidentiality, found);
                        let end = self.lines[line as usize].end_of(number);
                        let taken = self.lines[line as usize].give(end, urgency, bytes);
                        let found =
                            (!taken).then_some("a replica gave a frame before the last was sent");
                        self.judge(Oracle::Memory, found.map(Found::plain));
                        given.insert(line);
                    }
                }
                Output::Close { link, fault } => {
                    let line = self.line_with(link);
                    if let (Some(line), Some(fault)) = (line, fault) {
                        let line = &self.lines[line as usize];
                        let other = line.plan.between[1 - line.end_of(number)];
                        let device = self.peers[other as usize].device;
                        self.blamed(number, &device, fault);
                    }
                    closed.extend(line);
                }
                Output::Flush { barrier } => {
                    let takes = self.draws.between(FLUSH.0, FLUSH.1);
                    let last = peer.flushes.back().map_or(0, |(at, _)| *at);
                    peer.flushes.push_back(((self.now + takes).max(last), barrier));
                }
                Output::Vouch { .. } | Output::Unvouch { .. } => {}
                Output::Event(event) => self.on_event(number, event),
            }
        }
        for seen in self.peers[number as usize].seen() {
            let found = oracle::confidentiality::shown(self, number, &seen);
            self.judge(Oracle::Confidentiality, found);
            self.peers[number as usize].unflushed.push(seen.record);
        }
        self.schedule(number);
        for line in given {
            self.lines[line as usize].send(self.now);
            self.reschedule(line);
        }
        for line in closed {
            self.hang_up(line, number)?;
        }
        Ok(())
    }

    fn on_event(&mut self, number: u32, event: Event) {
        let peer = &mut self.peers[number as usize];
        match event {
            Event::Durable(ticket) => {
                peer.news += 1;
                let records = peer.tickets.remove(&ticket).unwrap_or_default();
                records.into_iter().for_each(|record| self.books.acknowledge(record, self.now));
            }
            Event::Joined(_) => {
                peer.news += 1;
                peer.homeless = false;
            }
            Event::Received { .. }
            | Event::Opened(_)
            | Event::StandingsChanged(_)
            | Event::Whereabouts(_) => {
                peer.news += 1;
            }
            Event::Fault { device, fault } => self.blamed(number, &device, fault),
            Event::Forked(log) => {
                peer.news += 1;
                let found = oracle::blame::forked(self, &log);
                self.judge(Oracle::Blame, found);
            }
            // A simulated store does not rot.
            Event::InSync(_)
            | Event::JoinRefused { .. }
            | Event::Fetched(_)
            | Event::Filled { .. }
            | Event::Unreadable { .. }
            | Event::Repaired(_) => {}
        }
    }

    /// A peer holds a fault against a device.
    fn blamed(&mut self, number: u32, device: &DeviceId, fault: PeerFault) {
        if self.sabotage == Some(Sabotage::DeafDriver) {
            return;
        }
        let found = oracle::blame::check(self, number, device, fault);
        self.judge(Oracle::Blame, found);
        let posts = self.peers.iter().filter(|peer| peer.device == *device);
        self.hostiles.named.extend(posts.map(|peer| peer.number));
    }

    /// Whether a post does as it should.
    pub(crate) fn is_honest(&self, post: u32) -> bool {
        self.honest.get(post as usize) == Some(&true)
    }

    /// Whether a device is there twice.
    pub(crate) fn is_copied(&self, post: u32) -> bool {
        let device = self.peers.get(post as usize).map(|peer| peer.device);
        self.peers.iter().filter(|peer| Some(peer.device) == device).count() > 1
    }

    /// A planted bug: a peer that lets everything count.
    fn plant(&mut self, number: u32) {
        if self.sabotage == Some(Sabotage::Lenient)
            && number == 0
            && let Some(replica) = self.peers[0].replica.as_mut()
        {
            replica.quarantine_nothing();
        }
    }

    /// Notes what an oracle found, if nothing was found before; that ends the run.
    pub(crate) fn judge(&mut self, oracle: Oracle, found: Option<Found>) {
        if let (Some(found), None) = (found, &self.violation) {
            self.violation = Some(Violation { oracle, at: self.now, what: found.0 });
            self.ended = true;
        }
    }

    /// Looks whether all hold the same; once they do, they are watched for a while.
    fn on_oracles(&mut self) -> Result<(), RunError> {
        if let Some(agreed) = self.agreed {
            if self.now >= agreed + QUIET {
                self.last_look();
                return Ok(());
            }
        } else {
            match self.differing() {
                None => self.agreed = Some(self.now),
                Some((oracle, found))
                    if self.now >= self.plan.horizon().saturating_add(self.plan.settle) =>
                {
                    self.judge(oracle, Some(found));
                }
                Some(_) => {}
            }
        }
        self.agenda.put(self.now + LOOK, Who::Oracles);
        Ok(())
    }

    /// In what the peers differ that should hold and show the same.
    fn differing(&self) -> Option<(Oracle, Found)> {
        let held = oracle::convergence::differing(self).map(|found| (Oracle::Convergence, found));
        held.or_else(|| Some((Oracle::Verdicts, oracle::verdicts::differing(self)?)))
    }

    fn last_look(&mut self) {
        if let Some((oracle, found)) = self.differing() {
            self.judge(oracle, Some(found));
        }
        let found = oracle::durability::missing(self);
        self.judge(Oracle::Durability, found);
        let found = oracle::confidentiality::on_disks(self);
        self.judge(Oracle::Confidentiality, found);
        oracle::metadata::note_secrets(self);
        if let Some((oracle, found)) = oracle::metadata::on_disks(self) {
            self.judge(oracle, Some(found));
        }
        for line in 0..self.lines.len() {
            let found = oracle::conservation::check(&self.lines[line]);
            self.judge(Oracle::Conservation, found);
        }
        let found = oracle::blame::unnamed(self);
        self.judge(Oracle::Blame, found);
        let found = oracle::haste::check(self);
        self.judge(Oracle::Haste, found);
        self.ended = true;
    }

    /// A planted bug: a disk that fills by itself.
    fn hoard(&mut self, number: u32) -> Result<(), RunError> {
        use tearline_crdt::store::{Batch, Space, Store as _};
        if self.sabotage == Some(Sabotage::Hoard)
            && let Some(replica) = self.peers[number as usize].replica.as_mut()
        {
            let mut batch = Batch::default();
            batch.put(Space::Peers, self.now.to_be_bytes(), vec![0; 100_000]);
            replica.store_mut().apply(batch)?;
        }
        Ok(())
    }

    /// A planted bug: relays are told what only readers may know.
    pub(crate) fn tell_relays(&mut self, by: u32, record: &RecordId) -> Result<(), RunError> {
        use tearline_crdt::store::{Batch, Space, Store as _};
        let mut told = match self.sabotage {
            Some(Sabotage::Tattle) => record.0.to_vec(),
            Some(Sabotage::KeyLeak) => Vec::new(),
            _ => return Ok(()),
        };
        if told.is_empty() {
            self.peers[by as usize].store().scan(Space::Secrets, &[], &[], &mut |_, kept| {
                told.extend_from_slice(kept);
                std::ops::ControlFlow::Continue(())
            })?;
        }
        for number in 0..self.peers.len() {
            let peer = &mut self.peers[number];
            if let Some(replica) = peer.replica.as_mut().filter(|_| self.plan.posts[number].relay) {
                let mut batch = Batch::default();
                batch.put(Space::Peers, b"told".to_vec(), told.clone());
                replica.store_mut().apply(batch)?;
            }
        }
        Ok(())
    }

    /// The line of a connection that is up.
    fn line_with(&self, link: Link) -> Option<u32> {
        let line = *self.line_of.get(link.0.checked_sub(LINKS_OF_FOUNDING)? as usize)?;
        (self.lines[line as usize].link == Some(link)).then_some(line)
    }
}
