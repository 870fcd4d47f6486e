//! A blind relay keeps house: it holds what it cannot read for others, and not for ever.
//!
//! It takes entries as every peer does: signatures, chains and standings are checked, and no key is
//! needed for that. What it holds is bounded by a *quota* of bytes, and by a *retention*, the time for
//! which entries stay. When either is over, the beginnings of logs go: of the least urgent class that is
//! held first, and in it what came first. Statements, and the keys that they carry, never go. Nor does
//! what this device may read, or wrote.
//!
//! So that this can be told from the store, arrivals are written down by the hour: *class, hour, log* ->
//! how far the log went, and how many bytes came. Hours are those of the reckoned time, which no wall
//! clock can put ahead by more than its allowance.
//!
//! The frontier says the same as before: how far a log was followed, so that a digest still says whether
//! two peers know of the same entries, and nothing is sent here twice. A peer that lacks what has gone
//! hears [`Frame::Gone`] in the place of entries: it does not wait for them here, does not call itself
//! in sync with this relay, and asks again once it has them from another. What comes of a log afterwards
//! is not sent to it in vain.
//!
//! A run for which there is no room is declined while all that is held is more urgent than it.

use std::collections::BTreeMap;

use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::entry::run::VerifiedRun;
use tearline_crdt::epoch::KEY_BOX_BYTES;
use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::{Class, CoalitionId, CompartmentId, DeviceId, LogId};
use tearline_crdt::logbook::LogNo;
use tearline_crdt::statement::Right;
use tearline_crdt::store::{Batch, Space, Store, StoreError, damaged};

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
    held_bytes: u64,
    evicted_bytes: u64,
    /// Runs were declined for want of room.
    declined: bool,
    /// The hour in which it was last looked for what is past its time.
    looked: Option<u32>,
}

/// What arrived of a log within an hour.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Arrived {
    /// The least urgent class is 0.
    rank: u8,
    hour: u32,
    no: LogNo,
    /// The position after the last entry.
    end: u64,
    bytes: u64,
}

impl<S: Store> Replica<S> {
    /// From now on keeps house as a blind relay. What is here already counts as if it came now.
    pub fn relay(&mut self, terms: RelayTerms) -> Result<(), StoreError> {
        let mut held_bytes = 0;
        let mut ends: BTreeMap<LogNo, u64> = BTreeMap::new();
        for row in self.arrived(ARRIVED, usize::MAX)? {
            held_bytes += row.bytes;
            let end = ends.entry(row.no).or_default();
            *end = row.end.max(*end);
        }
        let mut batch = Batch::default();
        let hour = self.hour();
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
                Arrived { rank: rank(log.class), hour, no, end, bytes }.write(&mut batch);
                held_bytes += bytes;
            }
        }
        self.apply(batch)?;
        self.relay =
            Some(Relay { terms, held_bytes, evicted_bytes: 0, declined: false, looked: None });
        Ok(())
    }

    /// How the relay's house is kept; `None` of a peer that is none.
    #[must_use]
    pub fn relay_state(&self) -> Option<RelayState> {
        let relay = self.relay.as_ref()?;
        Some(RelayState {
            terms: relay.terms,
            held_bytes: relay.held_bytes,
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
    pub(super) fn relay_takes(&mut self, run: &Incoming) -> Result<bool, StoreError> {
        let Some(relay) = self.relay.as_ref().filter(|_| !run.key.is_of_authority()) else {
            return Ok(true);
        };
        let bytes = (run.entries.len() + run.boxes.len()) as u64;
        if relay.held_bytes.saturating_add(bytes) <= relay.terms.quota_bytes {
            return Ok(true);
        }
        let class = run.key.0.first().and_then(|byte| Class::from_u8(byte >> 4));
        let first = self.arrived(ARRIVED, 1)?.first().copied();
        let takes = class.zip(first).is_some_and(|(class, first)| first.rank <= rank(class));
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
        let log = run.log();
        if self.relay.is_none() || !self.may_go(log) {
            return Ok(());
        }
        let boxes = run.entries().iter().filter(|entry| entry.key_box.is_some()).count();
        let bytes = (run.bytes().len() + boxes * KEY_BOX_BYTES) as u64;
        let (rank, hour, end) = (rank(log.class), self.hour(), run.to().next);
        let key = Arrived { rank, hour, no, end, bytes }.key();
        let before = match self.store.get(Space::Meta, &key)? {
            Some(value) => Arrived::read(&key, &value)?.bytes,
            None => 0,
        };
        Arrived { rank, hour, no, end, bytes: before.saturating_add(bytes) }.write(batch);
        if let Some(relay) = &mut self.relay {
            relay.held_bytes = relay.held_bytes.saturating_add(bytes);
        }
        Ok(())
    }

    /// Whether entries of a log may go: not those of statements, of this device, or that it may read.
    fn may_go(&self, log: &LogId) -> bool {
        log.class != Class::Authority
            && log.device != self.device()
            && self.own_right(log.compartment).is_none_or(|right| right == Right::Relay)
    }

    /// Whether more is held than may be.
    pub(super) fn is_over_quota(&self) -> bool {
        self.relay.as_ref().is_some_and(|relay| relay.held_bytes > relay.terms.quota_bytes)
    }

    /// Lets go of what is over the quota or past its time, as much as one input may.
    pub(super) fn evict_due(&mut self) -> Result<(), StoreError> {
        if self.relay.is_none() || self.room == Room::Nothing {
            return Ok(());
        }
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
        let hour = self.hour();
        let Some(relay) = &self.relay else { return Ok(None) };
        let over = relay.held_bytes.saturating_sub(relay.terms.quota_bytes);
        if relay.looked != Some(hour) {
            let kept_hours = relay.terms.retention_ms.div_ceil(HOUR_MS);
            for class in [Class::Routine, Class::Priority, Class::Immediate, Class::Flash] {
                let first = self.arrived(&prefix_of(rank(class)), 1)?.first().copied();
                let past = first
                    .filter(|row| u64::from(row.hour).saturating_add(kept_hours) < u64::from(hour));
                if let Some(row) = past {
                    return Ok(Some((row, u64::MAX)));
                }
            }
            if let Some(relay) = &mut self.relay {
                relay.looked = Some(hour);
            }
        }
        if over == 0 {
            return Ok(None);
        }
        Ok(self.arrived(ARRIVED, 1)?.first().map(|row| (*row, over)))
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
            relay.held_bytes = relay.held_bytes.saturating_sub(gone);
            relay.evicted_bytes = relay.evicted_bytes.saturating_add(gone);
        }
        self.apply(batch)
    }

    /// The rows under a prefix, in order: so many at most.
    fn arrived(&self, prefix: &[u8], most: usize) -> Result<Vec<Arrived>, StoreError> {
        let mut rows = Vec::new();
        let mut outcome = Ok(());
        self.store.scan(Space::Meta, prefix, &[], &mut |key, value| {
            match Arrived::read(key, value) {
                Ok(row) => rows.push(row),
                Err(error) => outcome = Err(error),
            }
            if outcome.is_ok() && rows.len() < most {
                std::ops::ControlFlow::Continue(())
            } else {
                std::ops::ControlFlow::Break(())
            }
        })?;
        outcome.map(|()| rows)
    }

    fn hour(&self) -> u32 {
        u32::try_from(self.reckoning.now().0 / HOUR_MS).unwrap_or(u32::MAX)
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
        for (link, session) in &mut self.sessions {
            if session.gone.get(&lag_key).is_some_and(|begins| *begins <= next) {
                session.gone.remove(&lag_key);
                links.push(*link);
            }
        }
        links.into_iter().for_each(|link| self.say_position(link, id, key));
    }
}

impl Arrived {
    fn key(&self) -> Vec<u8> {
        let mut key = prefix_of(self.rank);
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
            let rank = reader.u8("rank")?;
            let hour = u32::from_be_bytes(reader.array("hour")?);
            let no = LogNo(u32::from_be_bytes(reader.array("log number")?));
            reader.finish()?;
            let mut reader = Reader::new(value);
            let (end, bytes) = (reader.number("end")?, reader.number("bytes")?);
            reader.finish()?;
            Ok(Self { rank, hour, no, end, bytes })
        };
        read().map_err(|_| damaged(Space::Meta, key))
    }
}

/// The less urgent a class is, the sooner it goes.
const fn rank(class: Class) -> u8 {
    u8::MAX - class as u8
}

fn prefix_of(rank: u8) -> Vec<u8> {
    [ARRIVED, &[rank]].concat()
}

/// Before what arrived, in [`Space::Meta`].
const ARRIVED: &[u8] = b"arrived/";
const HOUR_MS: u64 = 3_600_000;
/// What it costs to let go of a part of a log.
const EVICTION_WORK: usize = 8 * 1024;
/// Most logs of which it is remembered in a session that the peer let go of their beginnings: about as
/// many as there may be in the areas that two peers share, and each was charged for.
const GONE_MAX: usize = 65_536;
