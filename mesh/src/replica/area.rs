//! Areas: what is synced as one. A coalition's own log is an area; so is each compartment.

use std::collections::BTreeMap;

use tearline_crdt::authority::{Coalition, Compartment};
use tearline_crdt::bounds::NAME_BYTES_MAX;
use tearline_crdt::charter::Charter;
use tearline_crdt::codec::{DecodeError, Reader};
use tearline_crdt::entry::merkle_root;
use tearline_crdt::entry::sealed::LogCipher;
use tearline_crdt::epoch::{EpochKeys, box_context};
use tearline_crdt::frontier::{Frontier, LogKey};
use tearline_crdt::hash::Digest;
use tearline_crdt::id::{Class, CompartmentId, DeviceId, EntryId, EpochId, LogId};
use tearline_crdt::seal::SecretBox;
use tearline_crdt::statement::{EpochStatement, Opening, Right, Statement};
use tearline_crdt::store::{Batch, Space, Store, StoreError};

use super::{Event, Output, Replica};

/// What an area is.
#[derive(Clone, Debug)]
pub enum Body {
    /// A coalition's own log.
    Coalition(Coalition),
    /// A compartment.
    Compartment(Compartment),
}

/// An area that this peer holds.
#[derive(Debug)]
pub struct Area {
    /// Its id; a coalition's is the coalition's id.
    pub id: CompartmentId,
    /// What it is.
    pub body: Body,
    /// What its readers call it, once that could be opened.
    pub name: Option<String>,
    /// What is durable here, and so advertised.
    pub frontier: Frontier,
    /// The logs, by the key under which frontiers name them.
    pub(super) logs: BTreeMap<LogKey, LogId>,
    /// Epochs that wait for a parent, by the parent.
    orphans: BTreeMap<EpochId, Vec<EpochStatement>>,
    /// Where boxes are of epochs that we cannot open: the entries of the authority logs that carry
    /// them. One may come before the statement of its epoch.
    closed: BTreeMap<EpochId, Vec<(LogId, u64)>>,
}

/// An authority entry as it matters here.
pub(super) struct Fact<'a> {
    pub(super) id: EntryId,
    pub(super) seq: u64,
    pub(super) log: LogId,
    pub(super) statement: &'a [u8],
    pub(super) payload: Option<&'a [u8]>,
}

/// Most boxes in one payload.
const BOXES_MAX: usize = 2_048;

impl<S: Store> Replica<S> {
    /// Reads the areas and replays their authority logs: coalitions first, because compartments
    /// are judged by them.
    pub(super) fn load_areas(&mut self) -> Result<(), StoreError> {
        let mut bodies = Vec::new();
        let mut bad = None;
        self.store.scan(Space::Meta, AREA_PREFIX, &[], &mut |key, value| {
            match decode_body(value) {
                Ok(body) => bodies.push(body),
                Err(_) => bad = Some(tearline_crdt::store::damaged(Space::Meta, key)),
            }
            std::ops::ControlFlow::Continue(())
        })?;
        if let Some(error) = bad {
            return Err(error);
        }
        bodies.sort_by_key(|body| matches!(body, Body::Compartment(_)));
        self.replaying = true;
        for body in bodies {
            let id = self.adopt_body(body);
            self.replay(id)?;
        }
        self.replaying = false;
        Ok(())
    }

    fn adopt_body(&mut self, body: Body) -> CompartmentId {
        let id = match &body {
            Body::Coalition(coalition) => coalition.compartment(),
            Body::Compartment(compartment) => compartment.id(),
        };
        let mut area = Area {
            id,
            body,
            name: None,
            frontier: Frontier::default(),
            logs: BTreeMap::new(),
            orphans: BTreeMap::new(),
            closed: BTreeMap::new(),
        };
        for (log, state) in self.logbook.logs_of(id) {
            let key = LogKey::of(log);
            area.logs.insert(key, *log);
            area.frontier.set(key, state.head);
            if state.forked_at.is_some() {
                area.frontier.set_forked(key);
            }
        }
        self.areas.insert(id, area);
        id
    }

    fn replay(&mut self, id: CompartmentId) -> Result<(), StoreError> {
        let logs: Vec<(LogId, u64)> = self
            .logbook
            .logs_of(id)
            .filter(|(log, _)| log.class == Class::Authority)
            .map(|(log, state)| (*log, state.head.next))
            .collect();
        let mut batch = Batch::default();
        for (log, next) in logs {
            for seq in 0..next {
                let Some(entry) = self.logbook.entry(&self.store, &log, seq)? else { continue };
                self.take_fact(
                    &mut batch,
                    &Fact {
                        id: entry.id,
                        seq,
                        log,
                        statement: &entry.sealed,
                        payload: entry.payload.as_deref(),
                    },
                );
            }
        }
        if let Some(Area { body: Body::Coalition(coalition), .. }) = self.areas.get_mut(&id) {
            coalition.evaluate();
        }
        self.outputs.clear();
        self.apply(batch)
    }

    /// Creates an area, durably with the batch. The remembered states of peers no longer speak of
    /// all that is shared, so they are forgotten.
    pub(super) fn create_area(&mut self, batch: &mut Batch, body: Body) -> CompartmentId {
        let value = match &body {
            Body::Coalition(coalition) => Statement::Found(coalition.charter().clone()).encode(),
            Body::Compartment(compartment) => {
                Statement::Open(compartment.opening().clone()).encode()
            }
        };
        let opened = matches!(body, Body::Compartment(_));
        let id = self.adopt_body(body);
        batch.put(Space::Meta, area_key(&id), value);
        self.forget_digests();
        if opened {
            self.outputs.push_back(Output::Event(Event::Opened(id)));
        }
        id
    }

    /// What a device may do in an area; `None` where it may not know of it.
    #[must_use]
    pub fn right(&self, id: CompartmentId, device: &DeviceId) -> Option<Right> {
        match &self.areas.get(&id)?.body {
            Body::Coalition(coalition) => coalition.devices().get(device).map(|s| s.right),
            Body::Compartment(compartment) => {
                compartment.right(self.coalition(compartment.opening().coalition)?, device)
            }
        }
    }

    /// Whether a log's entries are worth storing here. `first` is the statement of the log's first
    /// entry, when that is what is at hand.
    pub(super) fn admits(&self, log: &LogId, first: Option<&Statement>) -> bool {
        let Some(area) = self.areas.get(&log.compartment) else { return false };
        match &area.body {
            Body::Coalition(coalition) => {
                log.class == Class::Authority && coalition.admits(&log.device, first)
            }
            Body::Compartment(compartment) => self
                .coalition(compartment.opening().coalition)
                .is_some_and(|coalition| compartment.may_write(coalition, &log.device, log.class)),
        }
    }

    /// Draws the consequences of an authority entry. Malformed and unknown statements have none.
    pub(super) fn take_fact(&mut self, batch: &mut Batch, fact: &Fact<'_>) {
        let Ok(statement) = Statement::decode(fact.statement) else { return };
        let Some(area) = self.areas.get_mut(&fact.log.compartment) else { return };
        match (&mut area.body, statement) {
            (Body::Coalition(coalition), statement) => {
                let id = coalition.id();
                if self.replaying {
                    coalition.remember(fact.id, fact.log.device, statement);
                } else if coalition.insert(fact.id, fact.log.device, statement) {
                    self.forget_digests();
                    self.standings_changed = true;
                    self.outputs.push_back(Output::Event(Event::StandingsChanged(id)));
                }
            }
            (Body::Compartment(_), Statement::Epoch(epoch)) => {
                self.take_epoch(batch, fact, epoch);
            }
            (Body::Compartment(_), Statement::Reseal { epoch, boxes_root }) => {
                self.take_boxes(batch, fact, epoch, &boxes_root);
            }
            (Body::Compartment(_), Statement::Describe { epoch }) => {
                let name = self.open_name(fact, epoch);
                if let Some(area) = self.areas.get_mut(&fact.log.compartment) {
                    area.name = name.or(area.name.take());
                }
            }
            (Body::Compartment(_), _) => {}
        }
    }

    fn open_name(&self, fact: &Fact<'_>, epoch: EpochId) -> Option<String> {
        let keys = self.epoch_keys.get(&epoch)?;
        let cipher = LogCipher::new(fact.log, epoch, keys.clone());
        let name = String::from_utf8(cipher.open_rest(fact.seq, fact.payload?).ok()?).ok()?;
        (name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control)).then_some(name)
    }

    fn take_epoch(&mut self, batch: &mut Batch, fact: &Fact<'_>, epoch: EpochStatement) {
        let id = epoch.id(&fact.log.compartment);
        let root = epoch.boxes_root;
        let Some(area) = self.areas.get_mut(&fact.log.compartment) else { return };
        let Body::Compartment(compartment) = &mut area.body else { return };
        // Whoever waited for this one follows, and whoever waited for those.
        let (mut ready, mut known) = (vec![epoch], Vec::new());
        while let Some(epoch) = ready.pop() {
            let missing = epoch.parents.iter().find(|p| !compartment.epochs().contains_key(*p));
            if let Some(parent) = missing.copied() {
                area.orphans.entry(parent).or_default().push(epoch);
                continue;
            }
            if let Ok(id) = compartment.insert_epoch(epoch) {
                known.push(id);
                ready.extend(area.orphans.remove(&id).unwrap_or_default());
            }
        }
        // This one's boxes are at hand; in the store they are not yet.
        self.take_boxes(batch, fact, id, &root);
        for id in known {
            self.reopen_boxes(batch, fact.log.compartment, id);
        }
    }

    /// Tries the boxes that came before the statement of their epoch.
    fn reopen_boxes(&mut self, batch: &mut Batch, area: CompartmentId, epoch: EpochId) {
        let Some(area) = self.areas.get_mut(&area) else { return };
        for (log, seq) in area.closed.remove(&epoch).unwrap_or_default() {
            let Ok(Some(entry)) = self.logbook.entry(&self.store, &log, seq) else { continue };
            let root = match Statement::decode(&entry.sealed) {
                Ok(Statement::Reseal { boxes_root, .. }) => boxes_root,
                Ok(Statement::Epoch(epoch)) => epoch.boxes_root,
                _ => continue,
            };
            let payload = entry.payload.as_deref();
            let fact = Fact { id: entry.id, seq, log, statement: &entry.sealed, payload };
            self.take_boxes(batch, &fact, epoch, &root);
        }
    }

    /// Opens our own box among those of an epoch, if it is there and keeps its word.
    fn take_boxes(&mut self, batch: &mut Batch, fact: &Fact<'_>, id: EpochId, root: &Digest) {
        let Some(Ok(boxes)) = fact.payload.map(decode_boxes) else { return };
        if merkle_root(boxes.iter().map(SecretBox::leaf)) != *root {
            return;
        }
        let answerable = boxes.iter().filter(|sealed| self.answers_for(&fact.log, &sealed.device));
        let boxed: Vec<_> = answerable.map(|sealed| (id, sealed.device)).collect();
        self.boxed.extend(boxed);
        if self.epoch_keys.contains_key(&id) {
            return;
        }
        let Some(commitment) = self
            .compartment(fact.log.compartment)
            .and_then(|c| c.epochs().get(&id))
            .map(|epoch| epoch.commitment)
        else {
            if let Some(area) = self.areas.get_mut(&fact.log.compartment) {
                area.closed.entry(id).or_default().push((fact.log, fact.seq));
            }
            return;
        };
        let own = self.keys.id();
        let context = box_context(&fact.log.compartment.0, &commitment);
        let secret = boxes
            .iter()
            .filter(|sealed| sealed.device == own)
            .filter_map(|sealed| sealed.open(&self.keys, &context).ok())
            .find(|secret| EpochKeys::commitment(secret) == commitment);
        if let Some(secret) = secret {
            self.hold_epoch(batch, id, EpochKeys::of(&secret));
        }
    }

    /// Whether boxes for a device in this log need not be sealed again by those who would: its
    /// author opened the compartment, or is of the same agency. A box that others sealed may hold
    /// nothing.
    fn answers_for(&self, log: &LogId, device: &DeviceId) -> bool {
        let Some(compartment) = self.compartment(log.compartment) else { return false };
        let opening = compartment.opening();
        let Some(coalition) = self.coalition(opening.coalition) else { return false };
        let agency = |device| coalition.devices().get(device).map(|standing| standing.agency);
        let own = agency(&log.device);
        opening.opener == log.device || own.is_some() && own == agency(device)
    }

    /// Keeps an epoch's keys.
    pub(super) fn hold_epoch(&mut self, batch: &mut Batch, id: EpochId, keys: EpochKeys) {
        keys.store(batch, id);
        self.epoch_keys.insert(id, keys);
        self.shelf.epoch_opened(id);
    }
}

const AREA_PREFIX: &[u8] = b"area/";

fn area_key(id: &CompartmentId) -> Vec<u8> {
    [AREA_PREFIX, &id.0].concat()
}

fn decode_body(value: &[u8]) -> Result<Body, DecodeError> {
    match Statement::decode(value)? {
        Statement::Found(charter) => Ok(Body::Coalition(Coalition::new(charter))),
        Statement::Open(opening) => Ok(Body::Compartment(Compartment::new(opening))),
        _ => Err(DecodeError::Invalid { at: 0, what: "area" }),
    }
}

/// A coalition's body from its charter.
pub(super) fn coalition_body(charter: Charter) -> Body {
    Body::Coalition(Coalition::new(charter))
}

/// A compartment's body from its opening.
pub(super) fn compartment_body(opening: Opening) -> Body {
    Body::Compartment(Compartment::new(opening))
}

/// The payload of an epoch or reseal: `count (number) || boxes`.
pub(super) fn encode_boxes(boxes: &[SecretBox]) -> Vec<u8> {
    use tearline_crdt::codec::Write as _;
    let mut out = Vec::new();
    out.number(boxes.len() as u64);
    boxes.iter().for_each(|sealed| sealed.encode(&mut out));
    out
}

fn decode_boxes(bytes: &[u8]) -> Result<Vec<SecretBox>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let count = reader.count(BOXES_MAX, "boxes")?;
    let mut boxes = Vec::with_capacity(count);
    for _ in 0..count {
        boxes.push(SecretBox::decode(&mut reader)?);
    }
    reader.finish()?;
    Ok(boxes)
}
