//! A blind relay keeps house: it holds what it cannot read for others, and not for ever.
//!
//! It takes entries as every peer does: signatures, chains and standings are checked, and no key is
//! needed for that. What it holds is bounded by a *quota* of bytes, and by a *retention*, the time for
//! which entries stay. When either is over, the beginnings of logs go: of the least urgent class that is
//! held first, and in it what came first; but for want of room not what is within the part of the quota that
//! its author keeps ([`shares`]). Statements, and the keys that they carry, never go. Nor does what this
//! device may read, or wrote.
//!
//! So that this can be told from the store, arrivals are written down by the hour: *device, class, hour,
//! log* -> how far the log went, and how many bytes came. Hours are those of a time of its own ([`clock`]).
//!
//! The frontier says the same as before: how far a log was followed, so that a digest still says whether
//! two peers know of the same entries, and nothing is sent here twice. A peer that lacks what has gone
//! hears [`Frame::Gone`] in the place of entries: it does not wait for them here, does not call itself
//! in sync with this relay, and asks again once it has them from another. What comes of a log afterwards
//! is not sent to it in vain.
//!
//! A run for which there is no room is declined while all that may go is more urgent than it.

mod clock;
mod shares;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use tearline_crdt::authority::Coalition;
use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::entry::run::VerifiedRun;
use tearline_crdt::epoch::KEY_BOX_BYTES;
use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::{Class, CoalitionId, CompartmentId, DeviceId, LogId};
use tearline_crdt::logbook::LogNo;
use tearline_crdt::statement::Right;
use tearline_crdt::store::{Batch, Space, Store, StoreError, damaged};
use tearline_crdt::time::WallTime;

use self::clock::{Clock, HOUR_MS};
use self::shares::{Agency, Shares};
use super::ingest::{Incoming, WORK_PER_INPUT_MAX};
use super::lag::lag_key;
use super::sync::Outcome;
use super::{Link, Replica, Room};
use crate::fault::PeerFault;
use crate::wire::{Frame, Tag};

/// What a relay holds at most.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RelayTerms {
    /// Bytes of entries and their key boxes. What the store takes for them on the disk is somewhat more.
    pub quota_bytes: u64,
    /// For how long an entry stays, in ms.
    pub retention_ms: u64,
}

/// How a relay's house is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RelayState {
    /// What was asked for.
    pub terms: RelayTerms,
    /// Bytes held of entries that may go.
    pub held_bytes: u64,
    /// Bytes that went since the start.
    pub evicted_bytes: u64,
    /// Whether runs are declined because all that is held is more urgent.
    pub is_full: bool,
}

/// A relay.
#[derive(Debug)]
pub(super) struct Relay {
    terms: RelayTerms,
    clock: Clock,
    shares: Shares,
    evicted_bytes: u64,
    /// Runs were declined for want of room.
    declined: bool,
    /// The hour in which it was last looked for what is past its time.
    looked: Option<u32>,
    /// The devices of which that is still to be done.
    to_look: Vec<DeviceId>,
}

/// What arrived of a log within an hour.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Arrived {
    /// Who wrote it.
    device: DeviceId,
    /// The least urgent class is 0.
    rank: u8,
    hour: u32,
    no: LogNo,
    /// The position after the last entry.
    end: u64,
    bytes: u64,
}

impl<S: Store> Replica<S> {
    /// From now on keeps house as a blind relay, by a wall clock that shows this. What is here already and was
    /// not written down counts as if it came now.
    pub fn relay(&mut self, wall: WallTime, terms: RelayTerms) -> Result<(), StoreError> {
        let mut clock = Clock::start(&self.store, wall, terms.retention_ms)?;
        let mut shares = Shares::default();
        let mut ends: BTreeMap<LogNo, u64> = BTreeMap::new();
        self.each_arrived(ARRIVED, &mut |row| {
            shares.add(row, row.bytes);
            let end = ends.entry(row.no).or_default();
            *end = row.end.max(*end);
            ControlFlow::Continue(())
        })?;
        let mut batch = Batch::default();
        clock.write_if_due(&mut batch);
        let hour = clock.hour();
        let logs: Vec<(LogId, LogNo, u64, u64)> = self
            .logbook
            .logs()
            .filter(|(log, _)| log.class != Class::Authority && log.device != self.device())
            .map(|(log, state)| (*log, state.no, state.begins.next, state.head.next))
            .collect();
        for (log, no, begins, end) in logs {
            let from = ends.get(&no).copied().unwrap_or_default().max(begins);
            if from < end {
                let bytes = self.logbook.stored_bytes(&self.store, &log, from)?;
                let row =
                    Arrived { device: log.device, rank: rank(log.class), hour, no, end, bytes };
                row.write(&mut batch);
                shares.add(row, bytes);
            }
        }
        self.apply(batch)?;
        self.relay = Some(Relay {
            terms,
            clock,
            shares,
            evicted_bytes: 0,
            declined: false,
            looked: None,
            to_look: Vec::new(),
        });
        Ok(())
    }

    /// How the relay's house is kept; `None` of a peer that is none.
    #[must_use]
    pub fn relay_state(&self) -> Option<RelayState> {
        let relay = self.relay.as_ref()?;
        Some(RelayState {
            terms: relay.terms,
            held_bytes: relay.shares.bytes(),
            evicted_bytes: relay.evicted_bytes,
            is_full: relay.declined,
        })
    }

    /// Whether this device is no more than a relay in all that it knows of, and is one in something.
    #[must_use]
    pub fn only_relays(&self) -> bool {
        let rights: Vec<Right> = self.areas.keys().filter_map(|id| self.own_right(*id)).collect();
        !rights.is_empty() && rights.iter().all(|right| *right == Right::Relay)
    }

    /// Whether this device may read anything.
    #[must_use]
    pub fn may_read(&self) -> bool {
        self.areas.keys().filter_map(|id| self.own_right(*id)).any(|right| right > Right::Relay)
    }

    /// Whether a device may relay in a coalition, and do nothing else: then it is told also of
    /// compartments that are not for its agency.
    pub(super) fn only_relays_in(&self, id: CoalitionId, device: &DeviceId) -> bool {
        self.coalition(id).and_then(|known| known.right(device)) == Some(Right::Relay)
    }

    /// Whether a relay has room for a run, or makes some.
    pub(super) fn relay_takes(&mut self, log: &LogId, run: &Incoming) -> Result<bool, StoreError> {
        let Some(relay) = self.relay.as_ref().filter(|_| log.class != Class::Authority) else {
            return Ok(true);
        };
        let bytes = (run.entries.len() + run.boxes.len()) as u64;
        if relay.shares.bytes().saturating_add(bytes) <= relay.terms.quota_bytes {
            return Ok(true);
        }
        let over =
            relay.shares.over(relay.terms.quota_bytes, Some((log.device, bytes)), |device| {
                self.agency_of(device)
            });
        // What is within its author's part comes in; what makes room for it is found when it is here.
        let takes = !over.contains(&log.device)
            || self.first_of(&over)?.is_some_and(|first| first.rank <= rank(log.class));
        if let Some(relay) = self.relay.as_mut().filter(|_| !takes) {
            relay.declined = true;
        }
        Ok(takes)
    }

    /// Writes down that a run arrived.
    pub(super) fn note_arrived(
        &mut self,
        batch: &mut Batch,
        run: &VerifiedRun,
        no: LogNo,
    ) -> Result<(), StoreError> {
        let boxes = run.entries().iter().filter(|entry| entry.key_box.is_some()).count();
        let bytes = (run.bytes().len() + boxes * KEY_BOX_BYTES) as u64;
        self.note_bytes(batch, run.log(), (no, run.to().next), bytes)
    }

    /// Writes down that so many bytes of a log arrived, of entries before a position.
    pub(super) fn note_bytes(
        &mut self,
        batch: &mut Batch,
        log: &LogId,
        (no, end): (LogNo, u64),
        bytes: u64,
    ) -> Result<(), StoreError> {
        let Some(relay) = self.relay.as_ref().filter(|_| self.may_go(log)) else {
            return Ok(());
        };
        let (rank, hour) = (rank(log.class), relay.clock.hour());
        let row = Arrived { device: log.device, rank, hour, no, end, bytes };
        let key = row.key();
        let before = self.store.get(Space::Meta, &key)?;
        let before = before.map(|value| Arrived::read(&key, &value)).transpose()?;
        let held = before.map_or(0, |before| before.bytes);
        let end = before.map_or(end, |before| before.end.max(end));
        Arrived { bytes: held.saturating_add(bytes), end, ..row }.write(batch);
        if let Some(relay) = &mut self.relay {
            relay.shares.add(row, bytes);
        }
        Ok(())
    }

    /// The agency of a device, in the first coalition that knows it.
    fn agency_of(&self, device: &DeviceId) -> Agency {
        let in_one = |known: &Coalition| Some((known.id(), known.devices().get(device)?.agency));
        self.coalitions().find_map(in_one)
    }

    /// What goes first of what these devices wrote.
    fn first_of(&mut self, devices: &[DeviceId]) -> Result<Option<Arrived>, StoreError> {
        let mut first: Option<Arrived> = None;
        for device in devices {
            let share = |relay: &mut Option<Relay>| relay.as_mut()?.shares.share_mut(device)?.first;
            let own = match share(&mut self.relay) {
                Some(row) => Some(row),
                None => self.first_under(&prefix_of(device))?,
            };
            let kept = self.relay.as_mut().and_then(|relay| relay.shares.share_mut(device));
            if let Some(kept) = kept {
                kept.first = own;
            }
            first = first.into_iter().chain(own).min_by_key(|row| (row.rank, row.hour, row.no));
        }
        Ok(first)
    }

    /// Whether entries of a log may go: not those of statements, of this device, or that it may read.
    fn may_go(&self, log: &LogId) -> bool {
        log.class != Class::Authority
            && log.device != self.device()
            && self.own_right(log.compartment).is_none_or(|right| right == Right::Relay)
    }

    /// Whether more is held than may be.
    pub(super) fn is_over_quota(&self) -> bool {
        self.relay.as_ref().is_some_and(|relay| relay.shares.bytes() > relay.terms.quota_bytes)
    }

    /// Lets go of what is over the quota or past its time, as much as one input may.
    pub(super) fn evict_due(&mut self) -> Result<(), StoreError> {
        let Some(relay) = self.relay.as_mut().filter(|_| self.room > Room::Nothing) else {
            return Ok(());
        };
        relay.clock.run(self.clock, self.wall);
        let mut batch = Batch::default();
        relay.clock.write_if_due(&mut batch);
        self.apply(batch)?;
        let mut went = false;
        while self.spent < WORK_PER_INPUT_MAX {
            let Some((row, wanted)) = self.next_to_go()? else { break };
            self.spent += EVICTION_WORK;
            self.let_go(row, wanted)?;
            went = true;
        }
        let relay = self.relay.as_mut();
        if went && relay.is_some_and(|relay| std::mem::take(&mut relay.declined)) {
            self.ask_again()?;
        }
        Ok(())
    }

    /// What goes next, and how much of it has to.
    fn next_to_go(&mut self) -> Result<Option<(Arrived, u64)>, StoreError> {
        if let Some(past) = self.next_past_its_time()? {
            return Ok(Some((past, u64::MAX)));
        }
        let Some(relay) = &self.relay else { return Ok(None) };
        let excess = relay.shares.bytes().saturating_sub(relay.terms.quota_bytes);
        if excess == 0 {
            return Ok(None);
        }
        let quota_bytes = relay.terms.quota_bytes;
        let over = relay.shares.over(quota_bytes, None, |device| self.agency_of(device));
        Ok(self.first_of(&over)?.map(|row| (row, excess)))
    }

    /// Something that is past its time. It is looked for once an hour, device by device.
    fn next_past_its_time(&mut self) -> Result<Option<Arrived>, StoreError> {
        let Some(relay) = &mut self.relay else { return Ok(None) };
        let hour = relay.clock.hour();
        let kept_hours = relay.terms.retention_ms.div_ceil(HOUR_MS);
        if relay.looked != Some(hour) {
            relay.looked = Some(hour);
            relay.to_look = relay.shares.devices().copied().collect();
        }
        let is_past =
            |row: &Arrived| u64::from(row.hour).saturating_add(kept_hours) < u64::from(hour);
        loop {
            let device = self.relay.as_ref().and_then(|relay| relay.to_look.last().copied());
            let Some(device) = device else { return Ok(None) };
            for class in [Class::Routine, Class::Priority, Class::Immediate, Class::Flash] {
                let prefix = [&prefix_of(&device)[..], &[rank(class)]].concat();
                if let Some(past) = self.first_under(&prefix)?.filter(is_past) {
                    return Ok(Some(past));
                }
            }
            if let Some(relay) = &mut self.relay {
                relay.to_look.pop();
            }
        }
    }

    /// Lets a part of what arrived in an hour go.
    fn let_go(&mut self, row: Arrived, wanted: u64) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        let log = self.logbook.log(row.no).copied();
        let mut left = 0;
        if let Some(log) = log.filter(|log| self.may_go(log)) {
            let shared = self.logbook.state(&log).map_or(0, |state| state.shared.next);
            if shared < row.end {
                // What lies beyond a fork cannot go alone.
                if self.logbook.begin_anew(&mut batch, &log) {
                    self.advertise(&log, tearline_crdt::entry::run::Head::EMPTY);
                }
            } else {
                let upto = (row.end, wanted);
                let evicted = self.logbook.evict(&self.store, &mut batch, &log, upto);
                match evicted {
                    Ok(evicted) if !evicted.is_over => {
                        left = row.bytes.saturating_sub(evicted.bytes);
                    }
                    // What is damaged stays; it is not counted any more.
                    Ok(_) | Err(StoreError::Damaged { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        if left > 0 {
            Arrived { bytes: left, ..row }.write(&mut batch);
        } else {
            batch.remove(Space::Meta, row.key());
        }
        if let Some(relay) = &mut self.relay {
            let gone = row.bytes.saturating_sub(left);
            relay.shares.remove(&row.device, gone);
            relay.evicted_bytes = relay.evicted_bytes.saturating_add(gone);
        }
        self.apply(batch)
    }

    /// The rows under a prefix, in order.
    fn each_arrived(
        &self,
        prefix: &[u8],
        visit: &mut dyn FnMut(Arrived) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut outcome = Ok(());
        self.store.scan(
            Space::Meta,
            prefix,
            &[],
            &mut |key, value| match Arrived::read(key, value) {
                Ok(row) => visit(row),
                Err(error) => {
                    outcome = Err(error);
                    ControlFlow::Break(())
                }
            },
        )?;
        outcome
    }

    /// The first row under a prefix.
    fn first_under(&self, prefix: &[u8]) -> Result<Option<Arrived>, StoreError> {
        let mut first = None;
        self.each_arrived(prefix, &mut |row| {
            first = Some(row);
            ControlFlow::Break(())
        })?;
        Ok(first)
    }

    /// If the beginning of a log is gone that the peer lacks: tells it where the log begins here.
    pub(super) fn lacks_what_is_gone(&mut self, link: Link, log: &LogId, theirs: u64) -> bool {
        let begins = self.logbook.begins(log).next;
        if theirs >= begins {
            return false;
        }
        self.say_gone(link, log, begins);
        true
    }

    /// Tells a peer from where on entries of a log are here that it lacks; it gets none of them before it has
    /// those in between from another.
    pub(super) fn say_gone(&mut self, link: Link, log: &LogId, from: u64) {
        let (id, key) = (log.compartment, LogKey::of(log));
        let lag_key = lag_key(id, key);
        let Some(session) = self.sessions.get_mut(&link) else { return };
        session.drop_lag(&lag_key);
        session.declined.insert(lag_key);
        let area = self.tag_of(link, &id);
        self.say(link, Frame::Gone { area, logs: vec![(key, from)] });
    }

    /// The peer does not hold what comes before these positions of logs any more.
    pub(super) fn on_gone(&mut self, link: Link, tag: Tag, logs: &[(LogKey, u64)]) -> Outcome {
        if let Err(fault) = self.charge(link, logs.len().max(1)) {
            return Ok(Err(fault));
        }
        let Some(id) = self.area_of(link, tag) else { return Ok(Ok(())) };
        for (key, begins) in logs {
            let own = self.areas.get(&id).map_or(0, |area| area.frontier.head(key).next);
            let lag_key = lag_key(id, *key);
            let Some(session) = self.sessions.get_mut(&link) else { break };
            session.open.wanted.remove(&lag_key);
            self.note_not_there(link, &lag_key);
            let Some(session) = self.sessions.get_mut(&link) else { break };
            if own >= *begins {
                // It came meanwhile.
                self.say_position(link, id, *key);
            } else if session.gone.len() < GONE_MAX || session.gone.contains_key(&lag_key) {
                session.gone.insert(lag_key, *begins);
            } else {
                return Ok(Err(PeerFault::Endless));
            }
        }
        Ok(Ok(()))
    }

    /// A log is durable here up to a position: peers that hold what follows are asked for that.
    pub(super) fn ask_behind_gone(&mut self, id: CompartmentId, key: LogKey, next: u64) {
        let lag_key = lag_key(id, key);
        let mut links: Vec<Link> = Vec::new();
        let follows = |begins: &u64| *begins <= next;
        self.sessions.change(
            |session| session.gone.get(&lag_key).is_some_and(follows),
            |link, session| {
                session.gone.remove(&lag_key);
                links.push(*link);
            },
        );
        links.into_iter().for_each(|link| self.say_position(link, id, key));
    }
}

impl Arrived {
    fn key(&self) -> Vec<u8> {
        let mut key = prefix_of(&self.device);
        key.push(self.rank);
        key.extend(self.hour.to_be_bytes());
        key.extend(self.no.0.to_be_bytes());
        key
    }

    fn write(&self, batch: &mut Batch) {
        let mut value = Vec::new();
        value.number(self.end).number(self.bytes);
        batch.put(Space::Meta, self.key(), value);
    }

    fn read(key: &[u8], value: &[u8]) -> Result<Self, StoreError> {
        let read = || -> Result<Self, DecodeError> {
            let mut reader = Reader::new(key.get(ARRIVED.len()..).unwrap_or_default());
            let device = DeviceId(reader.array("device")?);
            let rank = reader.u8("rank")?;
            let hour = u32::from_be_bytes(reader.array("hour")?);
            let no = LogNo(u32::from_be_bytes(reader.array("log number")?));
            reader.finish()?;
            let mut reader = Reader::new(value);
            let (end, bytes) = (reader.number("end")?, reader.number("bytes")?);
            reader.finish()?;
            Ok(Self { device, rank, hour, no, end, bytes })
        };
        read().map_err(|_| damaged(Space::Meta, key))
    }
}

/// The less urgent a class is, the sooner it goes.
const fn rank(class: Class) -> u8 {
    u8::MAX - class as u8
}

fn prefix_of(device: &DeviceId) -> Vec<u8> {
    [ARRIVED, &device.0].concat()
}

/// Before what arrived, in [`Space::Meta`].
const ARRIVED: &[u8] = b"arrived/";
/// What it costs to let go of a part of a log.
const EVICTION_WORK: usize = 8 * 1024;
/// Most logs of which it is remembered in a session that the peer let go of their beginnings: about as
/// many as there may be in the areas that two peers share, and each was charged for.
const GONE_MAX: usize = 65_536;
