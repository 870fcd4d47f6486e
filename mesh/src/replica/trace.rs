//! Tracing a device: what it wrote and until when, what it could read, what of it is quarantined, and
//! who has heard that its standing ended.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};

use tearline_crdt::authority::{Author, Cause};
use tearline_crdt::entry::NO_EPOCH;
use tearline_crdt::entry::sealed::{EntryKind, LogCipher, SealedHeader};
use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::{
    Class, CoalitionId, CompartmentId, DeviceId, EntryId, EpochId, LogId, RecordId,
};
use tearline_crdt::logbook::StoredEntry;
use tearline_crdt::logbook::find::Search;
use tearline_crdt::record::receipt::Receipts;
use tearline_crdt::record::shelf::{self, Tombstone};
use tearline_crdt::statement::{Mark, Right};
use tearline_crdt::store::{Store, StoreError};
use tearline_crdt::time::{Now, WallTime};

use super::Replica;
use super::area::Body;
use super::held::HeldLogs;
use super::lag::lag_key;

/// Most chunks of a compartment's logs that a search for a record passes over: what lies behind is not found.
const CHUNKS_SEARCHED_MAX: usize = 1 << 20;

/// By what it is told which entries of a device were written before a time.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum KeepBy {
    /// By what this peer held then. Who has the device's keys can write nothing into that; what its owner
    /// wrote and had not sent here by then is not in it.
    #[default]
    Arrival,
    /// By what each entry says of itself. Who has the keys says what he likes.
    OwnDates,
}

/// A place up to which a log can be kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Cut {
    /// How many entries lie before it.
    pub count: u64,
    /// The last of them, and its author's time where that can be read.
    pub last: Option<(EntryId, Option<WallTime>)>,
    /// The author's time of the first behind it.
    pub next: Option<WallTime>,
}

/// How far a log is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Kept {
    /// The log.
    pub log: LogId,
    /// How many entries are held.
    pub held: u64,
    /// Up to where they count.
    pub cut: Cut,
    /// Up to where they came here before the time.
    pub by_arrival: Cut,
    /// Up to where they are dated before the time, each not before the one that precedes it.
    pub by_dates: Cut,
}

impl Kept {
    /// The mark that keeps it; `None` if nothing is kept.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        let Cut { count, last, .. } = self.cut;
        let (head, _) = last?;
        (count > 0).then(|| Mark { log: self.log.digest(), count, head })
    }

    /// All that is held of a log.
    #[must_use]
    pub fn all(log: LogId, held: u64, last: Option<(EntryId, Option<WallTime>)>) -> Self {
        let cut = Cut { count: held, last, next: None };
        Self { log, held, cut, by_arrival: cut, by_dates: cut }
    }
}

/// A cut that goes along a log up to what is not kept.
#[derive(Default)]
struct Walk {
    cut: Cut,
    over: bool,
}

impl Walk {
    /// Passes entries: where they end, the id of the one that can be read, and its author's time.
    fn pass(&mut self, keeps: bool, entry: (u64, Option<EntryId>, Option<WallTime>)) {
        let (end, id, wall) = entry;
        if self.over {
            return;
        }
        if !keeps {
            (self.over, self.cut.next) = (true, wall);
        } else if let Some(id) = id {
            (self.cut.count, self.cut.last) = (end, Some((id, wall)));
        }
    }
}

/// What a device could read of a compartment.
#[derive(Debug)]
pub struct Exposure {
    /// The compartment.
    pub compartment: CompartmentId,
    /// The epochs of which it was sealed a box.
    pub epochs: Vec<EpochId>,
    /// The records with entries in one of these epochs.
    pub records: BTreeSet<RecordId>,
    /// Entries whose records are not known, because they cannot be read.
    pub unread: Vec<UnreadEntries>,
}

/// Entries of a log that cannot be read, because a value of the store is damaged.
#[derive(Debug)]
pub struct UnreadEntries {
    /// The log.
    pub log: LogId,
    /// Their positions.
    pub seqs: Range<u64>,
    /// What is damaged.
    pub error: StoreError,
}

/// An entry that does not count.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct QuarantinedEntry {
    /// Its log.
    pub log: LogId,
    /// Its position.
    pub seq: u64,
    /// Its id.
    pub id: EntryId,
    /// Why.
    pub cause: Cause,
    /// What it does, which record, and its author's time, where the header opens.
    pub header: Option<(EntryKind, RecordId, WallTime)>,
}

impl<S: Store> Replica<S> {
    /// How far each log of a device was written before a time; as far as it is held, without a time.
    ///
    /// A log tells its own dates, and those do not fall: no device dates an entry before the one that
    /// precedes it. So where they fall, or reach the time, they are not followed any further. Statements have no
    /// dates, and what cannot be read has none either: of a log that begins with such nothing was written
    /// before any. When an entry came here the log does not tell, and nobody but this peer can say. What is
    /// damaged here, and what lies behind it, is kept by neither.
    pub fn kept_before(
        &self,
        coalition: CoalitionId,
        device: &DeviceId,
        since: Option<(WallTime, KeepBy)>,
    ) -> Result<Vec<Kept>, StoreError> {
        let mut kept = Vec::new();
        for log in self.logs_by(coalition, device) {
            let held = self.logbook.head(&log).next;
            let arrived = match since {
                Some((since, _)) => self.logbook.held_before(&self.store, &log, since)?,
                None => held,
            };
            let (mut by_arrival, mut by_dates) = (Walk::default(), Walk::default());
            let mut latest = WallTime::default();
            let mut ciphers = BTreeMap::new();
            self.logbook.entries_past_damage(&self.store, &log, 0, &mut |seqs, entry| {
                let entry = entry.ok();
                let wall = entry
                    .as_ref()
                    .and_then(|entry| self.wall_of(&mut ciphers, &log, seqs.start, entry));
                let follows = |since| wall.is_some_and(|wall| latest <= wall && wall < since);
                let dated = since.is_none_or(|(since, _)| follows(since));
                latest = wall.unwrap_or_default().max(latest);
                let entry = (seqs.end, entry.map(|entry| entry.id), wall);
                by_arrival.pass(seqs.end <= arrived, entry);
                by_dates.pass(dated, entry);
                if by_arrival.over && by_dates.over {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
            let (by_arrival, by_dates) = (by_arrival.cut, by_dates.cut);
            let cut = match since {
                Some((_, KeepBy::OwnDates)) => by_dates,
                Some((_, KeepBy::Arrival)) | None => by_arrival,
            };
            kept.push(Kept { log, held, cut, by_arrival, by_dates });
        }
        Ok(kept)
    }

    /// Whether to end a device's standing again, and to keep no more than this of its logs, would change
    /// nothing: it has ended, nothing else of them counts, and where the device could read there are
    /// keys that it has not.
    pub fn is_lost(
        &self,
        coalition: CoalitionId,
        device: &DeviceId,
        kept: &[Kept],
    ) -> Result<bool, StoreError> {
        let written_under = |id: &CompartmentId| {
            let compartment = self.compartment(*id);
            compartment.is_some_and(|c| c.current_epoch(|epoch| self.can_open(epoch)).is_some())
        };
        let may_write = |id: &&CompartmentId| self.own_right(**id) >= Some(Right::Write);
        if !self.sealed_to(device).keys().filter(may_write).all(written_under) {
            return Ok(false);
        }
        self.is_ended(CompartmentId(coalition.0), device, kept, self.word(coalition))
    }

    /// Whether to end a device's standing in an area again on this one's word, and to keep no more than this of its
    /// logs, would change nothing.
    pub fn is_ended(
        &self,
        area: CompartmentId,
        device: &DeviceId,
        kept: &[Kept],
        by: Author,
    ) -> Result<bool, StoreError> {
        let ended = match self.areas.get(&area).map(|area| &area.body) {
            Some(Body::Coalition(known)) => {
                known.live(device).is_none() && known.devices().contains_key(device)
            }
            Some(Body::Compartment(known)) => {
                known.live(device).is_none() && known.devices().contains_key(device)
            }
            None => false,
        };
        if !ended {
            return Ok(false);
        }
        for one in kept {
            if self.counting(&one.log)?.min(one.held) > self.would_count(one, by) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// On whose word this device, as a desk, ends a standing in a coalition.
    #[must_use]
    pub fn word(&self, coalition: CoalitionId) -> Author {
        Author::Desk(self.own_agency(coalition).unwrap_or_default())
    }

    /// How many entries of a log count at most if this one ends its author's standing and keeps so much: what
    /// was adopted over that one's word still counts.
    fn would_count(&self, kept: &Kept, by: Author) -> u64 {
        let adopted = match self.areas.get(&kept.log.compartment).map(|area| &area.body) {
            Some(Body::Coalition(known)) => known.adopted_over(&kept.log, by),
            Some(Body::Compartment(known)) => known.adopted_over(&kept.log, by),
            None => 0,
        };
        kept.cut.count.max(adopted)
    }

    /// How many entries of a log count, from its first.
    fn counting(&self, log: &LogId) -> Result<u64, StoreError> {
        let logs = HeldLogs::new(&self.logbook, &self.store);
        let limit = match self.areas.get(&log.compartment).map(|area| &area.body) {
            Some(Body::Coalition(coalition)) => coalition.limit(log, &logs).next,
            Some(Body::Compartment(compartment)) => compartment.limit(log, &logs).next,
            None => 0,
        };
        logs.outcome().map(|()| limit)
    }

    /// Moves what is kept of logs to what of them counts then: an earlier end may have kept less, and what was
    /// adopted counts all the same.
    pub fn move_to_counting(&self, kept: &mut [Kept], by: Author) -> Result<(), StoreError> {
        for one in kept {
            let counts = self.counting(&one.log)?.min(self.would_count(one, by)).min(one.held);
            if counts == one.cut.count {
                continue;
            }
            let mut ciphers = BTreeMap::new();
            let mut at = |seq: u64| -> Result<_, StoreError> {
                let entry = self.logbook.entry(&self.store, &one.log, seq)?;
                let wall = |entry| self.wall_of(&mut ciphers, &one.log, seq, entry);
                Ok(entry.as_ref().map(|entry| entry.id).zip(Some(entry.as_ref().and_then(wall))))
            };
            one.cut.next = at(counts)?.and_then(|(_, wall)| wall);
            one.cut.last = match counts.checked_sub(1) {
                Some(last) => at(last)?,
                None => None,
            };
            one.cut.count = counts;
        }
        Ok(())
    }

    /// The latest date in the logs that this life of this device goes on with: nothing that it writes there is
    /// dated before.
    pub fn own_dates_reach(&self) -> Result<WallTime, StoreError> {
        let own = |log: &&LogId| log.device == self.device() && log.incarnation == self.incarnation;
        let mut latest = WallTime::default();
        for log in self.logbook.logs().map(|(log, _)| log).filter(own) {
            let wall = shelf::last_wall(&self.store, &self.logbook, &self.epoch_keys, log)?;
            latest = wall.unwrap_or_default().max(latest);
        }
        Ok(latest)
    }

    /// A device's logs in a coalition and its compartments.
    fn logs_by(&self, coalition: CoalitionId, device: &DeviceId) -> Vec<LogId> {
        let of = |id: &CompartmentId| {
            id.0 == coalition.0
                || self.compartment(*id).is_some_and(|c| c.opening().coalition == coalition)
        };
        let areas = self.areas.iter().filter(|(id, _)| of(id));
        let logs = areas.flat_map(|(_, area)| area.logs.values());
        logs.filter(|log| log.device == *device).map(|log| **log).collect()
    }

    fn wall_of(
        &self,
        ciphers: &mut BTreeMap<EpochId, LogCipher>,
        log: &LogId,
        seq: u64,
        entry: &StoredEntry,
    ) -> Option<WallTime> {
        if log.class == Class::Authority {
            return None;
        }
        if entry.epoch == NO_EPOCH {
            return Receipts::decode(&entry.sealed).ok().map(|receipts| receipts.wall);
        }
        self.header_of(ciphers, log, seq, entry).map(|header| header.wall)
    }

    fn header_of(
        &self,
        ciphers: &mut BTreeMap<EpochId, LogCipher>,
        log: &LogId,
        seq: u64,
        entry: &StoredEntry,
    ) -> Option<SealedHeader> {
        let keys = self.epoch_keys.get(&entry.epoch)?;
        let cipher = ciphers
            .entry(entry.epoch)
            .or_insert_with(|| LogCipher::new(*log, entry.epoch, keys.clone()));
        cipher.open_header(seq, &entry.sealed, entry.box_hash.as_ref()).ok()
    }

    /// The compartments and epochs of which a device was sealed a secret, as far as is held here. To whom a
    /// retired epoch was sealed may not be known any more: it is named.
    #[must_use]
    pub fn sealed_to(&self, device: &DeviceId) -> BTreeMap<CompartmentId, Vec<EpochId>> {
        let mut sealed = BTreeMap::new();
        for (id, area) in &self.areas {
            let Body::Compartment(compartment) = &area.body else { continue };
            let boxed = |epoch: &&EpochId| compartment.may_be_boxed(epoch, device);
            let epochs: Vec<EpochId> = compartment.epochs().keys().filter(boxed).copied().collect();
            if !epochs.is_empty() {
                sealed.insert(*id, epochs);
            }
        }
        sealed
    }

    /// What a device could read, of what is held here: what was sealed to it, and the records in that.
    pub fn exposure(&self, device: &DeviceId) -> Result<Vec<Exposure>, StoreError> {
        let mut exposed = Vec::new();
        for (id, epochs) in self.sealed_to(device) {
            let Some(area) = self.areas.get(&id) else { continue };
            let (mut records, mut unread) = (BTreeSet::new(), Vec::new());
            for log in area.logs.values().filter(|log| log.class != Class::Authority) {
                let mut ciphers = BTreeMap::new();
                self.logbook.entries_past_damage(&self.store, log, 0, &mut |seqs, entry| {
                    match entry {
                        Ok(entry) if epochs.contains(&entry.epoch) => {
                            let header = self.header_of(&mut ciphers, log, seqs.start, &entry);
                            records.extend(header.map(|header| header.record));
                        }
                        Ok(_) => {}
                        Err(error) => unread.push(UnreadEntries { log: **log, seqs, error }),
                    }
                    ControlFlow::Continue(())
                })?;
            }
            exposed.push(Exposure { compartment: id, epochs, records, unread });
        }
        Ok(exposed)
    }

    /// Entries of others and of our own that do not count, but receipts, in compartments that this device may read;
    /// up to a number. And those that cannot be read, which may be among them.
    pub fn quarantined(
        &self,
        most: usize,
    ) -> Result<(Vec<QuarantinedEntry>, Vec<UnreadEntries>), StoreError> {
        let (mut found, mut unread) = (Vec::new(), Vec::new());
        let own = self.device();
        let logs = HeldLogs::new(&self.logbook, &self.store);
        for area in self.areas.values() {
            let Body::Compartment(compartment) = &area.body else { continue };
            if !compartment.is_reader(&own) {
                continue;
            }
            for log in area.logs.values() {
                let limit = compartment.limit(log, &logs);
                let (Some(cause), true) = (limit.cause, found.len() < most) else { continue };
                let mut ciphers = BTreeMap::new();
                let visit = &mut |seqs: Range<u64>, entry: Result<StoredEntry, StoreError>| {
                    let seq = seqs.start;
                    match entry {
                        // A receipt is nobody's work: it is in clear, and whether it counts decides nothing.
                        Ok(entry) if entry.epoch == NO_EPOCH && log.class != Class::Authority => {}
                        Ok(entry) => {
                            let id = entry.id;
                            let header = self.header_of(&mut ciphers, log, seq, &entry);
                            let header = header.map(|one| (one.kind, one.record, one.wall));
                            found.push(QuarantinedEntry { log: **log, seq, id, cause, header });
                        }
                        Err(error) => unread.push(UnreadEntries { log: **log, seqs, error }),
                    }
                    if found.len() < most {
                        ControlFlow::Continue(())
                    } else {
                        ControlFlow::Break(())
                    }
                };
                self.logbook.entries_past_damage(&self.store, log, limit.next, visit)?;
            }
        }
        logs.outcome()?;
        Ok((found, unread))
    }

    /// Why an entry would not count either if it were adopted on this one's word; `None` if it would.
    pub fn if_adopted(
        &self,
        found: &QuarantinedEntry,
        by: Author,
    ) -> Result<Option<Cause>, StoreError> {
        let QuarantinedEntry { log, seq, id, cause, .. } = found;
        let Some(compartment) = self.compartment(log.compartment) else {
            return Ok(Some(*cause));
        };
        let mark = Mark { log: log.digest(), count: seq.saturating_add(1), head: *id };
        let logs = HeldLogs::new(&self.logbook, &self.store);
        let limit = compartment.if_adopted(log, (by, &mark), &logs);
        logs.outcome()?;
        Ok(limit.cause.filter(|_| *seq >= limit.next))
    }

    /// Where the entries of a record are that are listed here, whether or not it can be shown.
    pub fn places_of(&self, record: &RecordId) -> Result<Vec<(LogId, u64)>, StoreError> {
        shelf::places_of(&self.store, &self.logbook, record)
    }

    /// The records that begin with these entries, as far as they are found here and this device may read them.
    /// What is damaged is not found.
    pub fn begun_with(
        &mut self,
        now: Now,
        geneses: BTreeSet<EntryId>,
    ) -> Result<BTreeMap<EntryId, RecordId>, StoreError> {
        let own = self.device();
        let read = |(_, area): &(_, &super::Area)| match &area.body {
            Body::Compartment(compartment) => compartment.is_reader(&own),
            Body::Coalition(_) => false,
        };
        let read: Vec<CompartmentId> = self.areas.iter().filter(read).map(|(id, _)| *id).collect();
        let (mut begun, mut left) = (BTreeMap::new(), geneses);
        for id in read {
            if left.is_empty() {
                break;
            }
            let mut search = Search::new(left.clone());
            let places = search.go_on(&self.store, &self.logbook, &id, CHUNKS_SEARCHED_MAX);
            let places = match places {
                Err(StoreError::Damaged { .. }) => continue,
                places => places?,
            };
            for (entry, (log, seq)) in places {
                left.remove(&entry);
                match self.at_desk(now, |_, desk| shelf::record_at(desk, &log, seq)) {
                    Ok(record) => begun.extend(record.map(|record| (entry, record))),
                    Err(StoreError::Damaged { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(begun)
    }

    /// When a record that is hidden because it is erased will be destroyed here; `None` if nobody may
    /// have it destroyed.
    #[must_use]
    pub fn destroyed_from(&self, log: &LogId, genesis: &EntryId) -> Option<WallTime> {
        let due = self.standings().due(log, genesis)?;
        Some(self.reckoning.shown(due))
    }

    /// What is kept of an erased record; `None` if it is not erased here.
    #[must_use]
    pub fn tombstone(&self, record: &RecordId) -> Option<(CompartmentId, Tombstone)> {
        let stone = *self.shelf.tombstone(record)?;
        // An act is heard in each compartment; the record began in one.
        let place = |area: &super::Area| area.spoken.get(&stone.genesis)?.place;
        let began = |area: &&super::Area| place(area).is_some();
        self.areas.values().find(began).map(|area| (area.id, stone))
    }

    /// The devices of an area, without this one, of which it is known that they hold a log up to a
    /// position, and those of which it is not.
    #[must_use]
    pub fn heard(&self, log: &LogId, seq: u64) -> (Vec<DeviceId>, Vec<DeviceId>) {
        let own = self.device();
        let devices: Vec<DeviceId> = match self.areas.get(&log.compartment).map(|area| &area.body) {
            Some(Body::Coalition(coalition)) => coalition.devices().keys().copied().collect(),
            Some(Body::Compartment(compartment)) => compartment.devices().keys().copied().collect(),
            None => Vec::new(),
        };
        let live = |device: &DeviceId| self.right(log.compartment, device).is_some();
        devices
            .into_iter()
            .filter(|device| *device != own && live(device))
            .partition(|device| self.has(device, log, seq))
    }

    fn has(&self, device: &DeviceId, log: &LogId, seq: u64) -> bool {
        let key = lag_key(log.compartment, LogKey::of(log));
        let durable = self.areas.get(&log.compartment).map(|a| a.frontier.head(&key.2).next);
        if durable.is_none_or(|next| next <= seq) {
            return false;
        }
        let mut sessions = self.sessions.values();
        let connected = sessions.find(|session| session.device == *device && session.is_heard());
        if let Some(session) = connected
            && session.started.contains(&log.compartment)
        {
            let declined = session.declined.contains(&key);
            return !declined && session.is_in_sync()
                || session.lag.get(&key).is_some_and(|lag| lag.acked > seq);
        }
        let memory = self.memories.get(device).filter(|memory| memory.digest.is_some());
        memory.is_some_and(|memory| memory.moved.get(&key).is_none_or(|next| *next > seq))
    }
}
