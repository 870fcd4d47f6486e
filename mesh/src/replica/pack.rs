//! Bundles made: what goes into one, and in which order.
//!
//! What goes in is what would go over a link to its recipients, by the same checks: of the areas in which
//! all of them have a right, what any of them lacks, as far as is known. It goes in the order of a link:
//! first where this device is, which is its receipt; then statements with the proofs and keys that
//! entries need, a coalition's own first; then the classes, most urgent first, the logs of a class in
//! turns and each from its oldest entry on. Where there is no room for the next piece the bundle ends: so
//! what is left out is the least urgent and the newest, and the next bundle goes on there.
//!
//! Of less than that a bundle is made by naming how far logs are wanted. As a log goes in one piece, all
//! that comes before a wanted entry goes with it. Flashes go whole, whatever is named.

use std::collections::{BTreeMap, VecDeque};

use tearline_crdt::frontier::{Leaf, Prefix, forked_tag};
use tearline_crdt::hash::Digest;
use tearline_crdt::id::{Class, CompartmentId, DeviceId, EntryId, LogId};
use tearline_crdt::logbook::LogNo;
use tearline_crdt::statement::Statement;
use tearline_crdt::store::{Batch, Space, Store, StoreError};
use tearline_crdt::time::WallTime;

use super::area::Body;
use super::bundle::{Exchanged, Known, known_key};
use super::lag::{LagKey, lag_key};
use super::repair::unless_damaged;
use super::sync::{Outgoing, RUN_BYTES};
use super::{Replica, Ticket};
use crate::bundle::tag;
use crate::wire::{Frame, POSITIONS_MAX};

/// From where on a bundle carries what its recipients lack.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Since {
    /// From what was last packed for them or heard of them, whichever is later.
    Last,
    /// From what was last heard of them, in a bundle or over a link: what was packed since may be lost.
    Heard,
    /// From the beginning.
    Start,
}

/// A bundle that is being made.
#[derive(Debug)]
pub struct Packing {
    to: Vec<DeviceId>,
    since: Since,
    name: Digest,
    /// What goes before records.
    first: VecDeque<Piece>,
    /// Logs of records, by class, in turns.
    records: BTreeMap<u8, VecDeque<LagKey>>,
    /// Where each log goes on.
    next: BTreeMap<LagKey, u64>,
    /// Where each ends of which not all is wanted.
    ends: BTreeMap<LagKey, u64>,
    report: Packed,
}

/// What has gone into a bundle, in entries.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Packed {
    /// By class.
    pub entries: BTreeMap<Class, u64>,
    /// Left for the next.
    pub left: u64,
    /// Compartments in which some of the recipients have a right, but not all.
    pub unshared: Vec<CompartmentId>,
}

#[derive(Clone, Copy, Debug)]
enum Piece {
    /// Positions of an area: where this device is in its logs.
    Positions(CompartmentId),
    /// The opening of a compartment.
    Intro(CompartmentId),
    /// What is here of a log.
    Log(LagKey),
    /// What is here at positions of a log of which a recipient holds another branch, up to this one.
    Evidence(LogId, u64),
    /// The proof of a log's fork.
    Fork(LogId),
    /// The proof that a device has too many incarnations.
    Excess(CompartmentId, DeviceId),
    /// An authority entry that travels alone.
    Stray(CompartmentId, EntryId),
}

/// Where a recipient is in a log.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// It has all before this.
    At(u64),
    /// It has another branch up to this.
    Differs(u64),
}

impl<S: Store> Replica<S> {
    /// When a bundle is made that is made now: later than all that were, whatever the clock did since. By that
    /// its readers know it for the later one.
    #[must_use]
    pub fn time_of_bundle(&self, now: WallTime) -> WallTime {
        let sent = self.exchanged.values().filter_map(|last| last.sent);
        sent.map(|last| WallTime(last.0.saturating_add(1))).fold(now, WallTime::max)
    }

    /// Begins to pack a bundle of a name ([`crate::bundle::Head::name`]) for devices: all that they lack, or
    /// of logs of records only what comes before the positions that are named, and all flashes.
    pub fn begin_packing(
        &self,
        to: Vec<DeviceId>,
        since: Since,
        name: Digest,
        wanted: Option<&BTreeMap<LogId, u64>>,
    ) -> Result<Packing, StoreError> {
        let shared = |id: &CompartmentId| to.iter().all(|device| self.right(*id, device).is_some());
        let some = |id: &CompartmentId| to.iter().any(|device| self.right(*id, device).is_some());
        let is_coalition = |id: &CompartmentId| self.compartment(*id).is_none();
        let mut areas: Vec<CompartmentId> = self.areas.keys().copied().filter(shared).collect();
        areas.sort_by_key(|id| !is_coalition(id));
        let mut first: VecDeque<Piece> = areas.iter().copied().map(Piece::Positions).collect();
        let mut records: BTreeMap<u8, VecDeque<LagKey>> = BTreeMap::new();
        let (mut next, mut ends) = (BTreeMap::new(), BTreeMap::new());
        let places = Places::of(self, &to, since)?;
        for id in &areas {
            if !is_coalition(id) {
                first.push_back(Piece::Intro(*id));
            }
            let Some(area) = self.areas.get(id) else { continue };
            let mut proofs = Vec::new();
            for (key, log) in area.logs.iter().filter(|(key, _)| area.frontier.is_named(key)) {
                let lag = lag_key(*id, *key);
                let mut from = area.frontier.head(key).next;
                for place in places.in_log(self, &lag, log)? {
                    match place {
                        Place::At(at) => from = from.min(at),
                        Place::Differs(at) => proofs.push(Piece::Evidence(**log, at)),
                    }
                }
                let whole = matches!(log.class, Class::Authority | Class::Flash);
                if let Some(wanted) = wanted.filter(|_| !whole) {
                    ends.insert(lag, wanted.get(log).copied().unwrap_or_default());
                }
                next.insert(lag, from);
                if area.frontier.is_forked(key) {
                    proofs.push(Piece::Fork(**log));
                }
                if log.class == Class::Authority {
                    first.push_back(Piece::Log(lag));
                } else {
                    records.entry(lag.0).or_default().push_back(lag);
                }
            }
            first.extend(proofs);
            first.extend(self.logbook.excesses(*id).map(|device| Piece::Excess(*id, *device)));
            first.extend(self.named_strays(*id).into_keys().map(|stray| Piece::Stray(*id, stray)));
        }
        let unshared = self.areas.keys().filter(|id| some(id) && !shared(id)).copied().collect();
        let report = Packed { unshared, ..Packed::default() };
        Ok(Packing { to, since, name, first, records, next, ends, report })
    }

    /// The next frames of a bundle in which frames of so many bytes still fit, a length of 4 before each
    /// counted; none when all is in it or the next does not fit.
    pub fn pack(&self, packing: &mut Packing, room: u64) -> Result<Vec<Vec<u8>>, StoreError> {
        loop {
            let class = packing.records.first_entry();
            let (piece, class) = match (packing.first.front(), class) {
                (Some(piece), _) => (*piece, None),
                (None, Some(entry)) => match entry.get().front() {
                    Some(log) => (Piece::Log(*log), Some(*entry.key())),
                    None => {
                        entry.remove();
                        continue;
                    }
                },
                (None, None) => return Ok(Vec::new()),
            };
            let (frames, end) = self.frames_of(packing, piece, room)?;
            let bytes: u64 = frames.iter().map(|frame| frame.len() as u64 + 4).sum();
            if bytes > room {
                return Ok(Vec::new());
            }
            packing.advance(piece, class, end);
            if !frames.is_empty() {
                return Ok(frames);
            }
        }
    }

    /// What has gone in, and what is left.
    #[must_use]
    pub fn packed(&self, packing: &Packing) -> Packed {
        let ends = packing.next.iter().map(|(lag, next)| {
            let (_, id, key) = lag;
            let area = self.areas.get(id);
            area.map_or(0, |area| {
                let end = packing.end_of(lag).min(area.frontier.head(key).next);
                end.saturating_sub(*next)
            })
        });
        Packed { left: ends.sum(), ..packing.report.clone() }
    }

    /// Notes that a bundle, made at this time, is where its bearer takes it from.
    pub fn note_packed(&mut self, packing: &Packing, made: WallTime) -> Result<Ticket, StoreError> {
        for device in &packing.to {
            let mut batch = Batch::default();
            let one = std::slice::from_ref(device);
            let places = Places::of(self, one, packing.since)?;
            let known = self.known_of(device)?;
            for (lag, next) in &packing.next {
                let log = self.areas.get(&lag.1).and_then(|area| area.logs.get(&lag.2));
                let state = log.and_then(|log| Some((log, self.logbook.state(log)?)));
                let Some((log, state)) = state else { continue };
                let at = match places.in_log(self, lag, log)?.as_slice() {
                    [Place::At(at)] => *at,
                    _ => continue,
                };
                let before = known.get(&state.no).copied().unwrap_or_default();
                let after = Known { packed: Some(at.max(*next)), ..before };
                if after != before {
                    batch.put(Space::Meta, known_key(device, state.no), after.encode());
                }
            }
            let last = self.exchanged.get(device).copied().unwrap_or_default();
            self.note_exchanged(&mut batch, *device, Exchanged { sent: Some(made), ..last });
            self.apply(batch)?;
        }
        self.put(Batch::default())
    }

    /// A piece as frames, and for a log where it goes on then.
    fn frames_of(
        &self,
        packing: &Packing,
        piece: Piece,
        room: u64,
    ) -> Result<(Vec<Vec<u8>>, u64), StoreError> {
        let id = match piece {
            Piece::Positions(id)
            | Piece::Intro(id)
            | Piece::Excess(id, _)
            | Piece::Stray(id, _) => id,
            Piece::Log((_, id, _)) => id,
            Piece::Evidence(log, _) | Piece::Fork(log) => log.compartment,
        };
        // A right may have ended since packing began.
        let shared = packing.to.iter().all(|device| self.right(id, device).is_some());
        let Some(area) = self.areas.get(&id).filter(|_| shared) else { return Ok((Vec::new(), 0)) };
        let name = tag(&packing.name, &id);
        let frames = match piece {
            Piece::Log(lag) => return self.frames_of_log(packing, lag, room),
            Piece::Positions(_) => {
                let root = Prefix::default();
                let all = area.frontier.below(&root);
                let logs = all.filter(|(key, _)| area.logs.contains_key(*key));
                let leaves: Vec<Leaf> = logs.map(|(key, _)| area.frontier.leaf(key)).collect();
                let parts = leaves.chunks(POSITIONS_MAX);
                parts
                    .map(|part| Frame::Positions { area: name, positions: part.to_vec() })
                    .collect()
            }
            Piece::Intro(_) => match &area.body {
                Body::Compartment(compartment) => {
                    let opening = Statement::Open(compartment.opening().clone()).encode();
                    vec![Frame::Intro { opening }]
                }
                Body::Coalition(_) => Vec::new(),
            },
            Piece::Evidence(log, next) => match next.checked_sub(1) {
                Some(last) => vec![self.evidence(name, &log, 0, last)?],
                None => Vec::new(),
            },
            Piece::Fork(log) => {
                let proof = self.logbook.proof(&self.store, &log)?;
                proof.map(|proof| Frame::Fork { area: name, proof }).into_iter().collect()
            }
            Piece::Excess(_, device) => {
                let proof = self.logbook.excess_proof(&self.store, &id, &device)?;
                proof.map(|proof| Frame::Fork { area: name, proof }).into_iter().collect()
            }
            Piece::Stray(_, stray) => {
                let stray = self.kept_stray(&id, &stray)?;
                stray.map(|stray| Frame::Stray { area: name, stray }).into_iter().collect()
            }
        };
        Ok((frames.iter().map(Frame::encode).collect(), 0))
    }

    fn frames_of_log(
        &self,
        packing: &Packing,
        lag: LagKey,
        room: u64,
    ) -> Result<(Vec<Vec<u8>>, u64), StoreError> {
        let (_, id, key) = lag;
        let from = packing.next.get(&lag).copied().unwrap_or_default();
        let log = self.areas.get(&id).and_then(|area| area.logs.get(&key));
        // Key boxes and the frame's own fields come on top: halves fill the rest of the room.
        let bytes_max = usize::try_from(room / 2).map_or(RUN_BYTES, |half| half.min(RUN_BYTES));
        let (area, end) = (tag(&packing.name, &id), packing.end_of(&lag));
        if from >= end {
            return Ok((Vec::new(), 0));
        }
        // What is damaged is packed by others.
        let run = unless_damaged(self.run_within(area, id, key, from..end, bytes_max))?;
        let run = match run {
            // One signature covers what is wanted and what follows it.
            None => unless_damaged(self.run_from(area, id, key, from, 0))?,
            run => run,
        };
        let (Some(log), Some(Outgoing { frame, end, .. })) = (log, run) else {
            return Ok((Vec::new(), 0));
        };
        let mut frames = Vec::with_capacity(2);
        if from > 0 {
            let head = self.tag_at(log, from)?.unwrap_or_default();
            frames.push(Frame::After { head }.encode());
        }
        frames.push(frame.encode());
        Ok((frames, end))
    }
}

impl Packing {
    /// Up to where a log is wanted.
    fn end_of(&self, lag: &LagKey) -> u64 {
        self.ends.get(lag).copied().unwrap_or(u64::MAX)
    }

    /// A piece is in; of a log that goes on, the next comes when the others of its class had theirs.
    fn advance(&mut self, piece: Piece, class: Option<u8>, end: u64) {
        match class {
            None => self.first.pop_front().map(|_| ()),
            Some(class) => {
                self.records.get_mut(&class).and_then(|logs| logs.pop_front()).map(|_| ())
            }
        };
        let Piece::Log(lag) = piece else { return };
        let Some(next) = self.next.get_mut(&lag).filter(|next| end > **next) else { return };
        let entries = end - std::mem::replace(next, end);
        if let Some(known) = Class::from_u8(lag.0) {
            *self.report.entries.entry(known).or_default() += entries;
        }
        match class {
            // Statements go in order: a log's before those that follow from them.
            None => self.first.push_front(piece),
            Some(class) => self.records.entry(class).or_default().push_back(lag),
        }
    }
}

/// Where recipients are.
struct Places {
    since: Since,
    known: Vec<(DeviceId, BTreeMap<LogNo, Known>)>,
}

impl Places {
    fn of<S: Store>(
        replica: &Replica<S>,
        to: &[DeviceId],
        since: Since,
    ) -> Result<Self, StoreError> {
        let known = to.iter().map(|device| Ok((*device, replica.known_of(device)?)));
        Ok(Self { since, known: known.collect::<Result<_, StoreError>>()? })
    }

    /// Where each is in a log.
    fn in_log<S: Store>(
        &self,
        replica: &Replica<S>,
        lag: &LagKey,
        log: &LogId,
    ) -> Result<Vec<Place>, StoreError> {
        let no = replica.logbook.state(log).map(|state| state.no);
        let mut places = Vec::with_capacity(self.known.len());
        for (device, known) in &self.known {
            let known = no.and_then(|no| known.get(&no)).copied().unwrap_or_default();
            let heard = match self.since {
                Since::Start => Place::At(0),
                Since::Last | Since::Heard => replica.heard_at(device, lag, log, &known)?,
            };
            places.push(match (heard, known.packed) {
                (Place::At(at), Some(packed)) if self.since == Since::Last => {
                    Place::At(at.max(packed))
                }
                (heard, _) => heard,
            });
        }
        Ok(places)
    }
}

impl<S: Store> Replica<S> {
    /// Where a device is in a log, by what it said by hand or over a link since the start.
    fn heard_at(
        &self,
        device: &DeviceId,
        lag: &LagKey,
        log: &LogId,
        known: &Known,
    ) -> Result<Place, StoreError> {
        let own = self.logbook.head(log).next;
        let in_sync = self.memories.get(device).filter(|memory| memory.digest.is_some());
        let in_sync = in_sync.map(|memory| memory.moved.get(lag).copied().unwrap_or(own));
        let said = match self.tag_at(log, known.said)? {
            // It is ahead.
            None => Place::At(own),
            Some(tag) if [tag, forked_tag(tag)].contains(&known.head) => Place::At(known.said),
            // Nothing was heard of it.
            Some(_) if known.said == 0 => Place::At(0),
            Some(_) => Place::Differs(known.said),
        };
        Ok(match (said, in_sync) {
            (Place::At(said), Some(in_sync)) => Place::At(said.max(in_sync)),
            (Place::Differs(_), Some(in_sync)) => Place::At(in_sync),
            (said, None) => said,
        })
    }
}
