//! The daemon's inside: one thread that owns the replica and its store, and does everything that
//! touches them, in turn.
//!
//! Frames come from the network by one bounded channel, questions and acts of the operator by
//! another. A second thread flushes the store, one flush at a time, while the core goes on; what
//! the core writes meanwhile is the next flush's. An act is answered when the flush that covers it
//! is done.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tearline_crdt::authority::Coalition;
use tearline_crdt::id::DeviceId;
use tearline_crdt::store::{Batch, Store, StoreError};
use tearline_crdt::time::{MonoTime, Now, WallTime};
use tearline_mesh::net::{NetCommand, NetEvent, NetHandle};
use tearline_mesh::replica::{Barrier, Room, Ticket};
use tearline_mesh::{Event, Input, Link, Output, Replica};

use super::damage::Damage;
use super::dialer::Dialer;
use super::patrol::Patrol;
use super::penalty::Penalties;
use super::ports;
use super::room::{Gauge, LOOK_AGAIN_MS};
use super::thin::ThinLinks;
use crate::failure::{Failure, Kind};
use crate::index::Index;
use crate::store::{Flusher, SledStore};

/// A piece of work for the core's thread.
type Job = Box<dyn FnOnce(&mut Core) + Send>;

/// What the core's thread waits for.
enum Message {
    Net(NetEvent),
    Job(Job),
    Flushed(Barrier, Result<(), StoreError>),
    Stop,
}

/// Messages that wait for the core's thread.
const QUEUE_MESSAGES_MAX: usize = 64;
/// Devices whose last word is remembered before those without a link or an address are forgotten.
const HEARD_MAX: usize = 4_096;
/// Events of the replica that are kept for `status`.
const RECENT_EVENTS_MAX: usize = 256;

/// The replica with its surroundings, on its own thread.
pub struct Core {
    /// The replica.
    pub replica: Replica<SledStore>,
    /// What this device calls itself.
    pub name: String,
    /// The search index.
    pub index: Arc<Mutex<Index>>,
    /// Where we listen.
    pub addresses: Vec<String>,
    /// Where others reach this device, where the operator says so.
    pub announce: Vec<String>,
    /// Where we cannot, and why.
    pub deaf: Vec<(String, String)>,
    /// Where other programs are served over HTTP, if they are.
    pub(super) api: Option<String>,
    /// Where it serves its portal, if it does.
    pub(super) portal: Option<SocketAddr>,
    /// When the daemon started.
    pub started: WallTime,
    /// Whom to dial, and when.
    pub(super) dialer: Dialer,
    /// Who gets no link for a while.
    pub(super) penalties: Penalties,
    /// The thin links that the transport keeps up.
    pub(super) thin: ThinLinks,
    /// How much room there is on the disk.
    pub(super) gauge: Gauge,
    /// When each device was last heard.
    pub last_heard: BTreeMap<DeviceId, WallTime>,
    /// The latest news.
    pub recent: VecDeque<Event>,
    net: NetHandle,
    links: BTreeMap<Link, Linked>,
    waiting: BTreeMap<Ticket, Waiter>,
    /// The latest barrier that no flush covers yet.
    due: Option<Barrier>,
    /// The barrier of the flush that is under way.
    flushing: Option<Barrier>,
    flushes: SyncSender<Barrier>,
    clock: Clock,
    /// Why nothing more is taken or sent, when the store failed.
    broken: Option<Failure>,
    /// What damage was met.
    pub(super) damage: Damage,
    /// Reads the store through.
    pub(super) patrol: Patrol,
    join: Option<JoinWaiter>,
    /// Whether standings may have changed since that was noted last.
    standings_moved: bool,
}

/// A link that is up.
#[derive(Clone, Debug)]
pub(super) struct Linked {
    device: DeviceId,
    pub(super) thin: bool,
    /// What carries it, for people.
    pub(super) by: &'static str,
    /// Where its other end is.
    pub(super) address: String,
    /// Whether this device dialled.
    pub(super) dialled: bool,
}

/// What carries a link, by the address of its other end: behind a circuit that is a device and no machine.
fn carrier(address: &str) -> &'static str {
    match address {
        circuit if circuit.contains("/p2p-circuit") => "circuit",
        quic if quic.contains("/quic") => "quic",
        tcp if tcp.contains("/tcp/") => "tcp",
        _ => "circuit",
    }
}

/// Told that an act is durable, or why it is not known to be.
type Waiter = Box<dyn FnOnce(Result<(), Failure>) + Send>;

/// Told what became of a request to join.
type JoinWaiter = Box<dyn FnMut(&Event, &mut Replica<SledStore>) -> bool + Send>;

/// The daemon's clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Both readings.
    #[must_use]
    pub fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
        Now {
            mono: MonoTime(u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)),
            wall: WallTime(u64::try_from(wall).unwrap_or(u64::MAX)),
        }
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Core({:?})", self.replica)
    }
}

/// The way to the core's thread. Cheap to clone.
#[derive(Clone)]
pub struct CoreHandle(SyncSender<Message>);

impl std::fmt::Debug for CoreHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CoreHandle")
    }
}

/// An answer that is under way.
#[derive(Debug)]
pub struct Pending<T>(Receiver<Result<T, Failure>>);

impl<T> Pending<T> {
    /// Waits for the answer.
    pub fn wait(self) -> Result<T, Failure> {
        self.0.recv().map_err(|_| gone())?
    }
}

/// The daemon is stopping, or its store failed.
fn gone() -> Failure {
    Failure::new(Kind::Unreachable, "the daemon is stopping")
        .hint("see the daemon's log; start it again with `tearline run`")
}

impl CoreHandle {
    /// Runs a question on the core's thread and waits for its answer.
    pub fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Core) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.begin(question)?.wait()
    }

    /// As [`CoreHandle::ask`], of a core whose store may have failed.
    pub fn ask_even_if_broken<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Core) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.hand_over(question)?.wait()
    }

    /// Hands a question to the core's thread, which answers it while the caller does other things.
    pub fn begin<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Core) -> Result<T, Failure> + Send + 'static,
    ) -> Result<Pending<T>, Failure> {
        self.hand_over(|core| core.check().and_then(|()| question(core)))
    }

    fn hand_over<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Core) -> Result<T, Failure> + Send + 'static,
    ) -> Result<Pending<T>, Failure> {
        let (answer, answers) = sync_channel(1);
        let job = Box::new(move |core: &mut Core| {
            let _ = answer.send(question(core));
        });
        self.0.send(Message::Job(job)).map_err(|_| gone())?;
        Ok(Pending(answers))
    }

    /// Runs an act on the core's thread and waits until what it wrote is durable.
    pub fn act<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Core) -> Result<(T, Ticket), Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (answer, answers) = sync_channel(1);
        let checked = |core: &Core| core.check().and_then(|()| core.check_room());
        let job = Box::new(move |core: &mut Core| match checked(core).and_then(|()| act(core)) {
            Ok((value, ticket)) => {
                let answer = answer.clone();
                core.waiting.insert(
                    ticket,
                    Box::new(move |durable| {
                        let _ = answer.send(durable.map(|()| value));
                    }),
                );
            }
            Err(failure) => {
                let _ = answer.send(Err(failure));
            }
        });
        self.0.send(Message::Job(job)).map_err(|_| gone())?;
        answers.recv().map_err(|_| gone())?
    }

    /// Hands a network event to the core; blocks while its queue is full.
    pub fn net(&self, event: NetEvent) -> bool {
        self.0.send(Message::Net(event)).is_ok()
    }

    /// Asks the thread to end.
    pub fn stop(&self) {
        let _ = self.0.send(Message::Stop);
    }
}

/// The core's queue, before its thread runs.
#[derive(Debug)]
pub struct Queue(Receiver<Message>);

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message")
    }
}

/// A handle and the queue behind it.
#[must_use]
pub fn channel() -> (CoreHandle, Queue) {
    let (sender, receiver) = sync_channel(QUEUE_MESSAGES_MAX);
    (CoreHandle(sender), Queue(receiver))
}

impl Core {
    /// A core around an opened replica, with its flushing thread, which reports to `handle`.
    pub fn new(
        replica: Replica<SledStore>,
        index: Arc<Mutex<Index>>,
        net: NetHandle,
        dialer: Dialer,
        thin: ThinLinks,
        gauge: Gauge,
        handle: CoreHandle,
    ) -> io::Result<Self> {
        let clock = Clock::start();
        let flusher = replica.store().flusher();
        let (flushes, barriers) = sync_channel(1);
        let checker = replica.store().checker();
        let patrol = Patrol::begin(replica.store(), checker, handle.clone())?;
        std::thread::Builder::new()
            .name("flush".into())
            .spawn(move || flush_on_demand(&flusher, &barriers, &handle))?;
        Ok(Self {
            replica,
            name: String::new(),
            index,
            addresses: Vec::new(),
            announce: Vec::new(),
            deaf: Vec::new(),
            api: None,
            portal: None,
            started: clock.now().wall,
            dialer,
            penalties: Penalties::default(),
            thin,
            gauge,
            last_heard: BTreeMap::new(),
            recent: VecDeque::new(),
            net,
            links: BTreeMap::new(),
            waiting: BTreeMap::new(),
            due: None,
            flushing: None,
            flushes,
            clock,
            broken: None,
            damage: Damage::new(),
            patrol,
            join: None,
            standings_moved: true,
        })
    }

    /// The core of a device that others reach at these addresses.
    #[must_use]
    pub fn reached_at(mut self, announce: Vec<String>) -> Self {
        self.announce = announce;
        self
    }

    /// The core of a device that calls itself so.
    #[must_use]
    pub fn called(mut self, name: String) -> Self {
        self.name = name;
        self
    }

    /// The core of a device that serves other programs, and people, there.
    #[must_use]
    pub fn serving(mut self, api: Option<String>, portal: Option<SocketAddr>) -> Self {
        (self.api, self.portal) = (api, portal);
        self
    }

    /// Both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// What they are read from.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// Whether another device has a standing in the coalition.
    pub(super) fn is_member(&self, device: &DeviceId) -> bool {
        let live = |known: &Coalition| known.live(device).is_some();
        *device != self.replica.device() && self.coalition().is_ok_and(live)
    }

    /// Whether a device has a link.
    #[must_use]
    pub fn linked(&self, device: &DeviceId) -> bool {
        self.links.values().any(|linked| linked.device == *device)
    }

    /// Whether a device has a link other than a thin one.
    #[must_use]
    pub fn is_connected(&self, device: &DeviceId) -> bool {
        self.links.values().any(|linked| linked.device == *device && !linked.thin)
    }

    /// The link to a device, the faster one if there are two.
    pub(super) fn link_to(&self, device: &DeviceId) -> Option<&Linked> {
        let links = self.links.values().filter(|linked| linked.device == *device);
        links.min_by_key(|linked| linked.thin)
    }

    /// The devices that have a link, one for each link.
    pub(super) fn linked_devices(&self) -> impl Iterator<Item = &DeviceId> {
        self.links.values().map(|linked| &linked.device)
    }

    /// How many devices have a link.
    #[must_use]
    pub fn links(&self) -> usize {
        self.links.values().map(|linked| linked.device).collect::<BTreeSet<_>>().len()
    }

    /// Closes all links to a device but the thin one, which ends when it is no longer wanted.
    pub fn disconnect(&mut self, device: &DeviceId) {
        let links: Vec<Link> = self
            .links
            .iter()
            .filter(|(_, linked)| linked.device == *device && !linked.thin)
            .map(|(link, _)| *link)
            .collect();
        for link in links {
            self.command(NetCommand::Close { link: tearline_mesh::net::Link(link.0) });
        }
    }

    /// Tells the transport to do something.
    pub fn command(&self, command: NetCommand) {
        self.net.command(command);
    }

    /// Calls `waiter` with every event until it returns true, or until another takes its place.
    pub fn on_event(&mut self, waiter: JoinWaiter) {
        self.join = Some(waiter);
    }

    /// Why nothing more is taken or sent, when the store failed.
    #[must_use]
    pub const fn broken(&self) -> Option<&Failure> {
        self.broken.as_ref()
    }

    fn check(&self) -> Result<(), Failure> {
        self.broken.as_ref().map_or(Ok(()), |why| Err(refused(why)))
    }

    /// Runs until told to stop.
    pub fn run(mut self, queue: &Queue) {
        loop {
            self.carry_out();
            self.dial_due();
            self.flush_if_due();
            let wait = self.dialer.wait(self.clock.now().mono).unwrap_or(IDLE_WAIT);
            let full = self.replica.room() < Room::Everything;
            let now = self.clock.now().mono;
            let due = self.replica.deadline().map(|at| at.0.saturating_sub(now.0));
            let due = [due, self.penalties.next_end(now).map(|at| at.0.saturating_sub(now.0))];
            let wait =
                due.into_iter().flatten().map(Duration::from_millis).fold(wait, Duration::min);
            let wait = if full { wait.min(Duration::from_millis(LOOK_AGAIN_MS)) } else { wait };
            let message = queue.0.recv_timeout(wait);
            if matches!(message, Ok(Message::Job(_))) {
                self.gauge.expire();
            }
            if let Some(room) = self.measure_room() {
                self.input(Input::Room { room });
                self.carry_out();
            }
            match message {
                Ok(Message::Net(event)) => self.on_net(event),
                Ok(Message::Job(job)) => job(&mut self),
                Ok(Message::Flushed(barrier, outcome)) => self.on_flushed(barrier, outcome),
                Err(RecvTimeoutError::Timeout) => {
                    self.input(Input::Tick);
                    self.tend_thin_links();
                }
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if let Some(barrier) = self.due.take().or(self.flushing) {
            let outcome = self.replica.store_mut().flush();
            self.on_flushed(barrier, outcome);
        }
        self.carry_out();
        self.command(NetCommand::Shutdown);
    }

    fn flush_if_due(&mut self) {
        if self.flushing.is_some() {
            return;
        }
        if self.due.is_none() {
            return;
        }
        if !self.flush_fits() {
            self.answer_undone();
            return;
        }
        let Some(barrier) = self.due.take() else { return };
        // The channel has room for one, and none is under way.
        match self.flushes.try_send(barrier) {
            Ok(()) => self.flushing = Some(barrier),
            Err(_) => self.break_down(failed("its thread for flushing has ended")),
        }
    }

    /// Tells who waits for a flush that it has to wait for room.
    fn answer_undone(&mut self) {
        for (_, answer) in std::mem::take(&mut self.waiting) {
            answer(Err(self.not_durable()));
        }
    }

    fn on_flushed(&mut self, barrier: Barrier, outcome: Result<(), StoreError>) {
        self.flushing = None;
        match outcome {
            Ok(()) => self.input(Input::Flushed { barrier }),
            Err(error) => self.break_down_by(&error),
        }
    }

    fn on_net(&mut self, event: NetEvent) {
        match event {
            NetEvent::Listening(address) => {
                tracing::info!(%address, "listening");
                let address = address.to_string();
                self.deaf.retain(|(deaf, _)| *deaf != address);
                self.addresses.retain(|known| *known != address);
                self.addresses.push(address);
                if self.check_room().is_err() {
                    return;
                }
                let mut batch = Batch::default();
                ports::remember(&mut batch, &self.addresses);
                if let Err(error) =
                    self.replica.put(batch).map(|_| ()).and_then(|()| self.announce())
                {
                    self.break_down_by(&error);
                }
            }
            NetEvent::ListenFailed { address, reason } => {
                tracing::error!(%address, %reason, "cannot listen");
                let address = address.to_string();
                self.addresses.retain(|known| *known != address);
                self.deaf.retain(|(deaf, _)| *deaf != address);
                self.deaf.push((address, reason));
            }
            NetEvent::Found { device, address } => {
                if self.is_member(&device) {
                    self.dialer.found(device, &address.to_string(), self.is_connected(&device));
                }
            }
            NetEvent::LinkUp { link, device, dialer, thin, .. }
                if !self.dialer.wants(&device, dialer && !thin) || self.is_penalised(&device) =>
            {
                self.command(NetCommand::Close { link });
            }
            NetEvent::LinkUp { link, device, dialer, thin, address } => {
                let link = Link(link.0);
                let by = if thin { self.thin.medium(&device) } else { None };
                let by = by.unwrap_or_else(|| carrier(&address));
                tracing::info!(device = %device.short(), dialer, by, "link up");
                self.links.insert(link, Linked { device, thin, by, address, dialled: dialer });
                if !thin {
                    self.dialer.connected(&device);
                }
                self.heard(device);
                self.input(Input::Up { link, device, dialer, thin });
                self.tend_thin_links();
                self.dial_members();
            }
            NetEvent::LinkDown { link, device, reason } => {
                let Some(linked) = self.links.remove(&Link(link.0)) else { return };
                tracing::info!(device = %device.short(), by = linked.by, %reason, "link down");
                // Of two links that were made at once, one is closed: the peer is still there.
                if !linked.thin && !self.is_connected(&device) {
                    let now = self.clock.now().mono;
                    self.dialer.disconnected(&device, now, reason.to_string());
                }
                let link = Link(link.0);
                match reason.fault() {
                    Some(fault) => {
                        tracing::warn!(device = %device.short(), %fault, "a peer misbehaved");
                        self.penalise(device);
                        self.input(Input::Broke { link, fault });
                    }
                    None => self.input(Input::Down { link }),
                }
                self.tend_thin_links();
            }
            NetEvent::Frame { link, bytes } => {
                let link = Link(link.0);
                if let Some(device) = self.links.get(&link).map(|linked| linked.device) {
                    self.heard(device);
                    self.dialer.heard(&device);
                }
                self.input(Input::Frame { link, bytes });
            }
            NetEvent::Coming { link } => self.input(Input::Coming { link: Link(link.0) }),
            NetEvent::Sent { link, urgency } => {
                self.input(Input::Sent { link: Link(link.0), urgency });
            }
            NetEvent::DialFailed { device, address, reason } => {
                let now = self.clock.now().mono;
                tracing::debug!(%address, %reason, "dial failed");
                self.dialer.failed(device.as_ref(), &address, now, reason.to_string());
            }
            NetEvent::ThinOpen { device } => self.thin.opened(&device),
            NetEvent::ThinFailed { device, reason, again } => {
                tracing::debug!(device = %device.short(), %reason, "a thin link's line failed");
                let again = again.and_then(|wait| u64::try_from(wait.as_millis()).ok());
                let again = again.map(|wait_ms| self.clock.now().mono.plus_ms(wait_ms));
                self.thin.failed(&device, reason, again);
            }
        }
    }

    /// Who misbehaved on a link gets none for a while.
    fn penalise(&mut self, device: DeviceId) {
        if self.replica.is_of_a_coalition(&device) || self.dialer.targets().contains_key(&device) {
            let until = self.penalties.blame(device, self.clock.now().mono);
            self.dialer.bar(&device, until);
        }
    }

    /// Whether a device gets no link now.
    pub(super) fn is_penalised(&self, device: &DeviceId) -> bool {
        self.penalties.until(device, self.clock.now().mono).is_some()
    }

    /// Notes when a device was heard; of strangers, of whom there may be many, only while linked.
    fn heard(&mut self, device: DeviceId) {
        if self.last_heard.len() >= HEARD_MAX {
            let (links, dialer) = (&self.links, &self.dialer);
            self.last_heard.retain(|device, _| {
                links.values().any(|linked| linked.device == *device)
                    || dialer.targets().contains_key(device)
            });
        }
        self.last_heard.insert(device, self.clock.now().wall);
    }

    pub(super) fn input(&mut self, input: Input) {
        if self.broken.is_some() {
            return;
        }
        let now = self.clock.now();
        if let Err(error) = self.replica.handle(now, input) {
            self.break_down_by(&error);
        }
    }

    fn break_down_by(&mut self, error: &StoreError) {
        let why = if error.is_damage() { self.met(error) } else { failed(error) };
        self.break_down(why);
    }

    fn break_down(&mut self, why: Failure) {
        tracing::error!(error = %why, "the store failed; nothing more is taken or sent");
        for (_, answer) in std::mem::take(&mut self.waiting) {
            answer(Err(refused(&why)));
        }
        self.broken = Some(why);
        self.command(NetCommand::Shutdown);
    }

    pub(super) fn carry_out(&mut self) {
        self.carry_out_once();
        if std::mem::take(&mut self.standings_moved) && self.broken.is_none() {
            if let Err(error) = self.note_standings() {
                self.break_down_by(&error);
            }
            self.tend_thin_links();
            self.carry_out_once();
        }
    }

    fn carry_out_once(&mut self) {
        while let Some(output) = self.replica.poll_output() {
            match output {
                Output::Send { link, urgency, bytes } => {
                    let link = tearline_mesh::net::Link(link.0);
                    self.command(NetCommand::Send { link, urgency, bytes });
                }
                Output::Close { link, fault } => {
                    let device = self.links.get(&link).map(|linked| linked.device);
                    if let (Some(fault), Some(device)) = (fault, device) {
                        tracing::warn!(device = %device.short(), %fault, "a peer misbehaved");
                        self.penalise(device);
                    }
                    let link = tearline_mesh::net::Link(link.0);
                    self.command(NetCommand::Close { link });
                }
                Output::Vouch { link } => {
                    let link = tearline_mesh::net::Link(link.0);
                    self.command(NetCommand::Vouch { link });
                }
                Output::Unvouch { device } => self.command(NetCommand::Unvouch { device }),
                Output::Flush { barrier } => self.due = Some(barrier),
                Output::Event(event) => self.on_event_out(event),
            }
        }
    }

    fn on_event_out(&mut self, event: Event) {
        if let Event::Durable(ticket) = &event {
            if let Some(answer) = self.waiting.remove(ticket) {
                answer(Ok(()));
            }
            return;
        }
        if let Event::JoinRefused { inviter, refusal } = &event {
            // Who asked may not wait for it any more.
            tracing::warn!(inviter = %inviter.short(), %refusal, "the inviter refused");
        }
        tracing::debug!(?event, "replica");
        self.standings_moved |= matches!(event, Event::StandingsChanged(_) | Event::Joined(_));
        if let Event::Unreadable { log, entries } = &event {
            tracing::warn!(device = %log.device.short(), class = log.class.name(), entries,
                "entries of a log cannot be read; peers are asked for them");
        }
        if let Event::Repaired(log) = &event {
            tracing::info!(device = %log.device.short(), class = log.class.name(),
                "entries that could not be read were fetched again");
            self.forget_mended();
        }
        if matches!(event, Event::Fetched(_)) && !self.damage.is_empty() {
            self.forget_mended();
        }
        if let Event::Whereabouts(device) = &event {
            self.dial_where_said(*device);
        }
        if let Some(mut waiter) = self.join.take()
            && !waiter(&event, &mut self.replica)
        {
            self.join = Some(waiter);
        }
        if matches!(event, Event::Received { .. }) {
            return;
        }
        self.recent.push_back(event);
        if self.recent.len() > RECENT_EVENTS_MAX {
            self.recent.pop_front();
        }
    }

    fn dial_due(&mut self) {
        if self.broken.is_some() {
            return;
        }
        let now = self.clock.now().mono;
        for (device, address) in self.dialer.due(now) {
            if let Ok(address) = address.parse() {
                self.command(NetCommand::Dial { address, expect: Some(device) });
            }
        }
    }
}

/// Why a store failed that is not damaged.
fn failed(why: impl std::fmt::Display) -> Failure {
    Failure::failed(why.to_string())
        .hint("free disk space or repair the disk, then start the daemon again")
}

/// What a command is told whose daemon takes nothing more.
fn refused(why: &Failure) -> Failure {
    Failure { what: format!("the store failed: {}", why.what), ..why.clone() }
}

/// The flushing thread: it ends with the core.
fn flush_on_demand(flusher: &Flusher, barriers: &Receiver<Barrier>, core: &CoreHandle) {
    while let Ok(barrier) = barriers.recv() {
        let outcome = catch_unwind(AssertUnwindSafe(|| flusher.flush())).unwrap_or_else(|_| {
            let cause = "the flush panicked; see the log".into();
            Err(StoreError::Medium { during: "flushing", cause })
        });
        if core.0.send(Message::Flushed(barrier, outcome)).is_err() {
            return;
        }
    }
}

/// How long the thread sleeps when nothing is due.
const IDLE_WAIT: Duration = Duration::from_secs(60);
