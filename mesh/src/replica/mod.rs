//! The replica: one peer's whole replication as a state machine.
//!
//! Its methods are of four kinds:
//! - *inputs*: [`Replica::handle`], what the driver saw;
//! - *outputs*: [`Replica::poll_output`], what the driver owes, to be drained to `None` after every
//!   input and every act;
//! - *acts* of the local operator: [`Replica::found`], [`Replica::open_compartment`],
//!   [`Replica::write`], [`Replica::invite`], [`Replica::join`];
//! - *questions*: everything that takes `&self`.
//!
//! ```text
//! loop {
//!     while let Some(output) = replica.poll_output() { carry it out }
//!     let input = wait for a frame, a link that came or went, a frame handed over, a flush done, or
//!         the deadline (a Tick);
//!     replica.handle(now, input)?;
//! }
//! ```
//! Storage is synchronous and in the replica's hands; *durability* is the driver's: it answers
//! [`Output::Flush`] by flushing the store and saying so. Nothing is acknowledged, announced or
//! sent before the flush that covers it.

mod area;
mod asking;
mod author;
mod basis;
mod branch;
mod bundle;
mod counts;
mod ending;
mod epochs;
mod excess;
pub(crate) mod fetch;
mod fork;
mod gossip;
mod govern;
mod greeting;
mod held;
mod ingest;
mod insync;
mod interest;
mod intro;
mod join;
mod lag;
mod names;
mod offer;
mod owing;
mod pack;
mod peers;
pub(crate) mod presence;
mod quota;
mod reauthor;
mod reckoning;
mod refusal;
mod refusals;
mod relay;
mod repair;
mod retired;
mod room;
mod schedule;
mod session;
mod sessions;
mod shares;
mod standings;
mod stray;
mod stripped;
mod sync;
mod table;
mod told;
mod trace;
mod vouch;
pub(crate) mod whereabouts;
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;

use tearline_crdt::authority::{Coalition, Compartment};
use tearline_crdt::entropy::Entropy;
use tearline_crdt::epoch::EpochKeys;
use tearline_crdt::id::{
    CoalitionId, CompartmentId, DeviceId, EntryId, EpochId, Incarnation, LogId, RecordId,
};
use tearline_crdt::keys::DeviceKeys;
use tearline_crdt::logbook::Logbook;
use tearline_crdt::record::shelf::{Projection, Reader, Shelf};
use tearline_crdt::store::{Batch, Scan, Space, Store, StoreError, scan_past_damage};
use tearline_crdt::time::{MonoTime, Now, WallTime};

use crate::fault::PeerFault;
use crate::memo::Memo;
use crate::urgency::Urgency;
pub use area::{Area, Body};
pub use author::{ActError, Done, Ticket};
pub use bundle::{Exchanged, NotRead, Taken};
pub use counts::Counts;
pub use gossip::{Carried, Way};
pub use govern::{Lost, RightChange, Word, keep_what_fits};
pub use ingest::NotTaken;
pub use join::Terms;
pub use pack::{Packed, Packing, Since};
pub use peers::{Lacks, PeerState};
pub use presence::{LASTS_S_MAX, Position, Presence};
pub use quota::{QUOTA_FLASH_BYTES, QUOTA_RECEIPTS_BYTES, Quota};
pub use reauthor::REAUTHOR_AFTER_MS;
pub use refusals::{Misdeeds, STRANGERS_MAX};
pub use relay::{RelayState, RelayTerms};
pub use repair::Unreadable;
pub use room::Room;
pub use schedule::EpochAge;
pub use trace::{Cut, Exposure, KeepBy, Kept, QuarantinedEntry, UnreadEntries};

pub use fetch::{Fetched, FileError};
use reckoning::{Reckoned, Reckoning};
use session::PeerMemory;
use sessions::Sessions;
use standings::Standings;
use table::Table;
pub use table::Unfollowed;
pub use told::Told;
pub use whereabouts::Whereabouts;

/// One connection to a device, numbered by the driver and never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Link(pub u64);

/// A flush that the replica waits for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Barrier(pub u64);

/// What the driver saw.
#[derive(Clone, Debug)]
pub enum Input {
    /// A link is up; the transport has proven the device at its other end.
    Up {
        /// The link.
        link: Link,
        /// The device.
        device: DeviceId,
        /// Whether we dialed.
        dialer: bool,
        /// Whether it is a thin link, over which nothing goes but what the peer lacks.
        thin: bool,
    },
    /// A link is down.
    Down {
        /// The link.
        link: Link,
    },
    /// A frame came.
    Frame {
        /// Over which link.
        link: Link,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// A frame is coming over a link and is not whole yet.
    Coming {
        /// The link.
        link: Link,
    },
    /// A link is down because the transport saw the peer break its rules.
    Broke {
        /// The link.
        link: Link,
        /// How.
        fault: PeerFault,
    },
    /// The last frame for a lane of a link was handed to the transport; there is room for the next.
    Sent {
        /// The link.
        link: Link,
        /// The lane.
        urgency: Urgency,
    },
    /// Time passed. To be said at [`Replica::deadline`], and about once a minute: records are destroyed
    /// when their delay is over, and epochs are followed by others.
    Tick,
    /// There is as much room on the disk now. To be said when that has changed, and before a write
    /// can fail for want of it.
    Room {
        /// How much.
        room: Room,
    },
    /// The store was flushed after the [`Output::Flush`] with this barrier.
    Flushed {
        /// The barrier.
        barrier: Barrier,
    },
}

/// What the driver owes.
#[derive(Clone, Debug)]
pub enum Output {
    /// Hand this frame to the transport, the most urgent first, then say [`Input::Sent`]. At most one
    /// of each urgency is out on a link.
    Send {
        /// Over which link.
        link: Link,
        /// In which lane.
        urgency: Urgency,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// The device at the other end has a standing in a coalition of ours, which it had not when the
    /// link came up, as far as the driver knows. Links without it should not be kept for long.
    Vouch {
        /// Over which link.
        link: Link,
    },
    /// A device has no standing in a coalition of ours any more: what [`Output::Vouch`] said of its links
    /// holds no more.
    Unvouch {
        /// The device.
        device: DeviceId,
    },
    /// Close this link; then [`Input::Down`] need not be said.
    Close {
        /// The link.
        link: Link,
        /// What the peer did wrong, if that is why.
        fault: Option<PeerFault>,
    },
    /// Flush the store (several may be answered by one flush), then say [`Input::Flushed`].
    Flush {
        /// The barrier.
        barrier: Barrier,
    },
    /// Something that the operator or the application may want to know.
    Event(Event),
}

/// News for the application.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A local act is durable.
    Durable(Ticket),
    /// Entries of others became durable here.
    Received {
        /// In which log.
        log: LogId,
        /// How many entries.
        entries: u64,
    },
    /// Everything that we both should hold is equal with this device, as far as we know.
    InSync(DeviceId),
    /// A device misbehaved on a link.
    Fault {
        /// Who.
        device: DeviceId,
        /// What.
        fault: PeerFault,
    },
    /// A log was proven to be forked by its author.
    Forked(LogId),
    /// Entries of a log cannot be read, because a value of the store is damaged.
    Unreadable {
        /// The log.
        log: LogId,
        /// How many entries.
        entries: u64,
    },
    /// Entries of a log that could not be read were fetched again.
    Repaired(LogId),
    /// Payloads of a log that stayed with other peers are here.
    Filled {
        /// The log.
        log: LogId,
        /// How many.
        entries: u64,
    },
    /// We came into a coalition.
    Joined(CoalitionId),
    /// Our request to join was refused, or waits for a quorum.
    JoinRefused {
        /// By whom.
        inviter: DeviceId,
        /// Why.
        refusal: crate::invitation::Refusal,
    },
    /// A member says where it can be reached.
    Whereabouts(DeviceId),
    /// A file of a record that was wanted is here.
    Fetched(RecordId),
    /// A compartment was opened here, by us or by another.
    Opened(CompartmentId),
    /// The device came into or out of a coalition, or its standing changed.
    StandingsChanged(CoalitionId),
}

/// One peer's replication. See the module's documentation for how to drive it.
pub struct Replica<S> {
    store: S,
    keys: DeviceKeys,
    incarnation: Incarnation,
    entropy: Box<dyn Entropy + Send>,
    projection: Box<dyn Projection + Send>,
    logbook: Logbook,
    shelf: Shelf,
    areas: BTreeMap<CompartmentId, Area>,
    epoch_keys: BTreeMap<EpochId, EpochKeys>,
    /// Since when the epochs' keys are held.
    ages: BTreeMap<EpochId, schedule::Age>,
    /// How long an epoch is written under, in ms.
    rotate_after_ms: Option<u64>,
    /// When epochs are next looked at.
    next_look: Option<MonoTime>,
    reauthoring: reauthor::Reauthoring,
    sessions: Sessions,
    memories: BTreeMap<DeviceId, PeerMemory>,
    gossip: gossip::Gossip,
    /// Bundles that are being read, as links.
    readings: BTreeMap<Link, bundle::Reading>,
    readings_begun: u64,
    exchanged: BTreeMap<DeviceId, Exchanged>,
    joining: join::Joining,
    faults: Misdeeds,
    /// Logs that were declined because their authors had no standing.
    strangers: BTreeSet<LogId>,
    tickets: Vec<(Barrier, Ticket)>,
    arrivals: Vec<(Barrier, ingest::Arrival)>,
    forks: Vec<(Barrier, LogId)>,
    /// Chosen branches that are here, of which that is not durable yet.
    branches: Vec<(Barrier, LogId)>,
    /// Devices with too many incarnations, and where, of which that is not durable yet.
    excesses: Vec<(Barrier, CompartmentId, DeviceId)>,
    strays: Vec<stray::NewStray>,
    /// Areas in which other logs are named than before.
    renamed: BTreeSet<CompartmentId>,
    /// Areas whose statements changed since their answers were drawn.
    stale: BTreeSet<CompartmentId>,
    /// How often answers were drawn since the start.
    drawn: u64,
    /// Compartments in which words about records may not have been carried out.
    said: BTreeSet<CompartmentId>,
    /// Those where receipts are open because entries wait for keys.
    awaiting: BTreeSet<CompartmentId>,
    /// What became of the words about records.
    heard: BTreeMap<EntryId, words::Heard>,
    /// When the next record is to be destroyed.
    next_due: Option<Reckoned>,
    /// The time that delays count.
    reckoning: Reckoning,
    /// Which compartments are followed.
    table: Table,
    /// Whether records whose day has come are still to be hidden: then nothing is destroyed yet.
    hiding: bool,
    /// Who brings what several peers have.
    shares: shares::Shares,
    /// How long who claims entries may give none, in ms.
    withheld_after_ms: u64,
    /// Whether words are being carried out.
    obeying: bool,
    /// The work that the input at hand, or acts since the last, caused beside their own.
    spent: usize,
    /// How much room there is on the disk.
    room: Room,
    directory: whereabouts::Directory,
    fetches: fetch::Fetches,
    presences: presence::Presences,
    /// Since when the latest flashes are here.
    flashes: peers::Flashes,
    /// How a relay keeps house.
    relay: Option<relay::Relay>,
    /// What cannot be read of logs.
    repairs: repair::Repairs,
    /// What is wanted whole, and of whom.
    interests: interest::Interests,
    /// Whether nothing is quarantined, for an exercise.
    lenient: bool,
    /// What other replicas of this process found.
    memo: Memo,
    /// Areas whose answers another replica drew, of which the rest is still to be drawn here.
    foretold: BTreeSet<CompartmentId>,
    /// Whether somebody may lack boxes that this device seals.
    seals_wanted: bool,
    /// Whether statements are read from the store: what follows is drawn from all of them at once.
    replaying: bool,
    /// Standings changed since links were last vouched for.
    standings_changed: bool,
    /// The devices that had a standing when that was looked at last.
    vouched_for: BTreeSet<DeviceId>,
    next_barrier: u64,
    flush_wanted: bool,
    flushes_out: u64,
    next_ticket: u64,
    /// The driver's monotonic clock at the last input.
    clock: MonoTime,
    /// The driver's wall clock at the last input or act.
    wall: WallTime,
    outputs: VecDeque<Output>,
}

impl<S> std::fmt::Debug for Replica<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Replica({}, {} areas, {} sessions)",
            self.keys.id().short(),
            self.areas.len(),
            self.sessions.len()
        )
    }
}

/// What a replica is opened with.
pub struct Setup {
    /// The device's keys.
    pub keys: DeviceKeys,
    /// The device's life.
    pub incarnation: Incarnation,
    /// Randomness for keys and nonces.
    pub entropy: Box<dyn Entropy + Send>,
    /// What is built from records as they change, in the same batch.
    pub projection: Box<dyn Projection + Send>,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Setup({:?}, {:?})", self.keys, self.incarnation)
    }
}

impl<S: Store> Replica<S> {
    /// Opens a replica on a store: reads the logs' states and replays the authority logs. The cost
    /// grows with logs and statements, not with entries.
    pub fn open(store: S, setup: Setup) -> Result<Self, StoreError> {
        Self::open_with(store, setup, Memo::default())
    }

    /// The same with what other replicas of this process found. It changes nothing but what work is done.
    pub fn open_with(store: S, setup: Setup, memo: Memo) -> Result<Self, StoreError> {
        let logbook = Logbook::load(&store)?;
        let shelf = Shelf::load(&store)?;
        let Setup { keys, incarnation, entropy, projection } = setup;
        let mut replica = Self {
            store,
            keys,
            incarnation,
            entropy,
            projection,
            logbook,
            shelf,
            areas: BTreeMap::new(),
            epoch_keys: BTreeMap::new(),
            ages: BTreeMap::new(),
            rotate_after_ms: None,
            next_look: None,
            reauthoring: reauthor::Reauthoring::default(),
            sessions: Sessions::default(),
            memories: BTreeMap::new(),
            gossip: gossip::Gossip::default(),
            readings: BTreeMap::new(),
            readings_begun: 0,
            exchanged: BTreeMap::new(),
            joining: join::Joining::default(),
            faults: BTreeMap::new(),
            strangers: BTreeSet::new(),
            tickets: Vec::new(),
            arrivals: Vec::new(),
            forks: Vec::new(),
            branches: Vec::new(),
            excesses: Vec::new(),
            strays: Vec::new(),
            renamed: BTreeSet::new(),
            stale: BTreeSet::new(),
            drawn: 0,
            said: BTreeSet::new(),
            awaiting: BTreeSet::new(),
            heard: BTreeMap::new(),
            next_due: None,
            reckoning: Reckoning::default(),
            table: Table::default(),
            hiding: false,
            shares: shares::Shares::default(),
            withheld_after_ms: owing::WITHHELD_AFTER_MS,
            obeying: false,
            spent: 0,
            room: Room::default(),
            directory: whereabouts::Directory::default(),
            fetches: fetch::Fetches::default(),
            presences: presence::Presences::default(),
            flashes: peers::Flashes::default(),
            relay: None,
            repairs: repair::Repairs::default(),
            interests: interest::Interests::default(),
            lenient: false,
            memo,
            foretold: BTreeSet::new(),
            seals_wanted: false,
            replaying: false,
            standings_changed: false,
            vouched_for: BTreeSet::new(),
            next_barrier: 0,
            flush_wanted: false,
            flushes_out: 0,
            next_ticket: 0,
            clock: MonoTime::default(),
            wall: WallTime::default(),
            outputs: VecDeque::new(),
        };
        replica.shelf.note_stuck_of(&replica.store, replica.keys.id())?;
        replica.load_epoch_keys()?;
        replica.load_ages()?;
        replica.load_reckoning()?;
        replica.load_reauthoring()?;
        replica.load_words()?;
        replica.load_areas()?;
        replica.load_exchanged()?;
        replica.load_excesses()?;
        replica.load_whereabouts()?;
        replica.load_joining()?;
        replica.load_interests()?;
        Ok(replica)
    }

    /// Takes an input. An error is our own store's: the driver must stop and open the store again;
    /// no input of a peer causes one.
    pub fn handle(&mut self, now: Now, input: Input) -> Result<(), StoreError> {
        self.clock = now.mono;
        self.wall = now.wall;
        self.reckon(now);
        self.spent = 0;
        if !matches!(input, Input::Frame { .. } | Input::Sent { .. } | Input::Coming { .. }) {
            self.conclude(now)?;
        }
        if self.room > Room::Nothing && self.stale.is_empty() {
            self.go_on(now)?;
        }
        match input {
            Input::Up { link, device, dialer, thin } => self.on_up(link, device, dialer, thin),
            Input::Down { link } => self.on_down(link),
            Input::Coming { link } => {
                if let Some(session) = self.sessions.get_mut(&link) {
                    session.owing.moves(self.clock);
                }
            }
            Input::Broke { link, fault } => {
                if let Some(session) = self.sessions.get(&link) {
                    self.count(session.device, fault);
                }
                self.on_down(link);
            }
            Input::Frame { link, bytes } => self.on_frame(now, link, &bytes)?,
            Input::Sent { link, urgency } => {
                if let Some(session) = self.sessions.get_mut(&link) {
                    session.busy.clear(urgency);
                }
            }
            Input::Flushed { barrier } => {
                self.on_flushed(barrier)?;
                self.judge_later(now)?;
            }
            Input::Room { room } => self.on_room(now, room)?,
            Input::Tick => self.judge_later(now)?,
        }

        // What is done here of itself is done by what was drawn.
        if self.room > Room::Nothing && self.stale.is_empty() {
            self.obey(now)?;
            self.evict_due()?;
            self.tend_whereabouts()?;
            self.note_reckoned_if_due()?;
            self.seal_missing(now)?;
            self.rotate_due(now)?;
            self.reauthor_due(now)?;
            self.admit_waiting(now)?;
        }
        self.spent = 0;
        self.tend_fetches();
        self.tend_presences();
        self.settle_outputs()
    }

    /// The next thing the driver owes; `None` when there is nothing until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Fills every idle link with its most urgent frame and asks for the flush that is due.
    fn settle_outputs(&mut self) -> Result<(), StoreError> {
        // The flush is the occasion to go on with what is left.
        if (self.flush_wanted || self.has_left()) && self.flushes_out == 0 {
            self.ask_flush();
        }
        let standings_changed = std::mem::take(&mut self.standings_changed);
        if standings_changed {
            self.sessions.touch_all();
            let links: Vec<Link> = self.sessions.keys().copied().collect();
            links.into_iter().for_each(|link| self.vouch(link));
        }
        self.give_turns();
        self.dun();
        self.tend_shares();
        self.ask_for_gaps()?;
        self.tend_asides()?;
        self.tend_trees(standings_changed)?;
        let touched = self.sessions.take_touched();
        touched.iter().try_for_each(|link| self.pump(*link))?;
        self.sessions.settle(touched);
        Ok(())
    }

    fn ask_flush(&mut self) {
        self.flush_wanted = false;
        self.flushes_out += 1;
        let barrier = Barrier(self.next_barrier);
        self.next_barrier += 1;
        self.outputs.push_back(Output::Flush { barrier });
    }

    /// Applies a batch and asks for a flush.
    fn apply(&mut self, batch: Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.flush_wanted = true;
        self.store.apply(batch)
    }

    /// Counts a fault and closes the link.
    fn blame(&mut self, link: Link, fault: PeerFault) {
        let Some(session) = self.sessions.remove(&link) else { return };
        self.note_bundle_fault(link, fault);
        self.count(session.device, fault);
        if session.is_heard() {
            self.outputs.push_back(Output::Close { link, fault: Some(fault) });
        }
    }

    /// Counts a fault.
    fn count(&mut self, device: DeviceId, fault: PeerFault) {
        self.note_fault(device, fault.name());
        self.outputs.push_back(Output::Event(Event::Fault { device, fault }));
    }

    fn load_epoch_keys(&mut self) -> Result<(), StoreError> {
        let mut bad = None;
        let keys = &mut self.epoch_keys;
        self.store.scan(Space::Secrets, &[], &[], &mut |key, value| match (
            <[u8; 32]>::try_from(key),
            EpochKeys::from_bytes(value),
        ) {
            (Ok(id), Some(epoch)) => {
                keys.insert(EpochId(id), epoch);
                ControlFlow::Continue(())
            }
            _ => {
                bad = Some(tearline_crdt::store::damaged(Space::Secrets, key));
                ControlFlow::Break(())
            }
        })?;
        // Whatever waited for one of them when the process ended is opened with the first input.
        self.epoch_keys.keys().for_each(|epoch| self.shelf.epoch_opened(*epoch));
        bad.map_or(Ok(()), Err)
    }

    /// From now on lets every log count whole. An exercise shows with it that its checks can fail; no
    /// peer that is one may do this.
    pub fn quarantine_nothing(&mut self) {
        self.lenient = true;
    }

    /// This device.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.keys.id()
    }

    /// The store, to flush it and to read from it.
    pub const fn store_mut(&mut self) -> &mut S {
        &mut self.store
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// All logs.
    #[must_use]
    pub const fn logbook(&self) -> &Logbook {
        &self.logbook
    }

    /// How often what follows from statements was drawn since the start: once for all that came between
    /// two flushes, unless something had to be judged by them.
    #[must_use]
    pub const fn times_drawn(&self) -> u64 {
        self.drawn
    }

    /// All coalitions and compartments, by id.
    #[must_use]
    pub const fn areas(&self) -> &BTreeMap<CompartmentId, Area> {
        &self.areas
    }

    /// A coalition.
    #[must_use]
    pub fn coalition(&self, id: CoalitionId) -> Option<&Coalition> {
        match &self.areas.get(&CompartmentId(id.0))?.body {
            Body::Coalition(coalition) => Some(coalition),
            Body::Compartment(_) => None,
        }
    }

    /// A compartment.
    #[must_use]
    pub fn compartment(&self, id: CompartmentId) -> Option<&Compartment> {
        match &self.areas.get(&id)?.body {
            Body::Compartment(compartment) => Some(compartment),
            Body::Coalition(_) => None,
        }
    }

    /// Whether we hold an epoch's keys.
    #[must_use]
    pub fn can_open(&self, epoch: &EpochId) -> bool {
        self.epoch_keys.contains_key(epoch)
    }

    /// Asks for a flush of what was applied and names it.
    fn flush_ticket(&mut self) -> Ticket {
        let ticket = self.ticket();
        self.tickets.push((Barrier(self.next_barrier), ticket));
        self.flush_wanted = true;
        ticket
    }

    /// Applies writes of the caller's own to the store, in its own spaces.
    pub fn put(&mut self, batch: Batch) -> Result<Ticket, StoreError> {
        self.apply(batch)?;
        let ticket = self.flush_ticket();
        self.settle_outputs()?;
        Ok(ticket)
    }

    /// Names the moment at which everything done so far is durable.
    pub fn settled(&mut self) -> Ticket {
        let ticket = self.flush_ticket();
        if self.flushes_out == 0 {
            self.ask_flush();
        }
        ticket
    }

    /// A record's version here; `None` where there is no such record.
    pub fn record_version(&self, record: &RecordId) -> Result<Option<u64>, StoreError> {
        tearline_crdt::record::shelf::version(&self.store, record)
    }

    /// Up to `most` records whose ids begin with these hexadecimal digits, also those whose listing is
    /// damaged, and those of which nothing is left.
    pub fn records_from(&self, digits: &str, most: usize) -> Result<Vec<RecordId>, StoreError> {
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Ok(Vec::new());
        }
        let even = digits.get(..digits.len() & !1).unwrap_or_default();
        let prefix: Option<Vec<u8>> = (0..even.len() / 2)
            .map(|n| u8::from_str_radix(even.get(n * 2..n * 2 + 2)?, 16).ok())
            .collect();
        let Some(prefix) = prefix else { return Ok(Vec::new()) };
        let mut found = BTreeSet::new();
        for space in [Space::Records, Space::Erased] {
            let scan: &Scan<'_> = &|from, visit| self.store.scan(space, &prefix, from, visit);
            scan_past_damage(scan, &[], &mut |key, _| {
                if let Ok(id) = <[u8; 16]>::try_from(key) {
                    let id = RecordId(id);
                    if id.to_string().starts_with(&digits.to_ascii_lowercase()) {
                        found.insert(id);
                    }
                }
                if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        Ok(found.into_iter().collect())
    }

    /// Runs a question about records, with the store and the documents' cache.
    pub fn records<T>(&mut self, ask: impl FnOnce(&mut Reader<'_>) -> T) -> T {
        let standings =
            Standings::new(&self.areas, &self.heard, self.keys.id(), self.reckoning.now());
        let mut reader =
            self.shelf.reader(&self.store, &self.logbook, &self.epoch_keys, &standings);
        ask(&mut reader)
    }
}
