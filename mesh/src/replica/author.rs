//! Acts of the local operator: founding, opening, writing. Each stores its entries and returns a
//! [`Ticket`]; [`super::Event::Durable`] with that ticket is the acknowledgement.

use std::collections::BTreeSet;

use tearline_crdt::authority::{Compartment, StatementVerdict};
use tearline_crdt::bounds::{NAME_BYTES_MAX, SEGMENT_BYTES_MAX, SEGMENT_ENTRIES_MAX};
use tearline_crdt::charter::Charter;
use tearline_crdt::codec::DecodeError;
use tearline_crdt::entropy::Entropy;
use tearline_crdt::entry::run::{NewEntry, WriteFault, write_segment};
use tearline_crdt::entry::sealed::LogCipher;
use tearline_crdt::entry::{NO_EPOCH, merkle_root};
use tearline_crdt::epoch::{BOXES_MAX, EpochKeys, box_context, encode_boxes};
use tearline_crdt::id::{AgencyNo, Class, CoalitionId, CompartmentId, EpochId, LogId};
use tearline_crdt::keys::{DeviceCard, KemKey};
use tearline_crdt::record::shelf::{Draft, DraftError, Written};
use tearline_crdt::seal::{BoxEntropy, Key, SecretBox};
use tearline_crdt::statement::{
    DeskCertificate, EpochStatement, Opening, PARENTS_MAX, Right, Statement,
};
use tearline_crdt::store::{Batch, Store, StoreError};
use tearline_crdt::time::Now;

use super::area::{Body, coalition_body, compartment_body};
use super::{NotTaken, Replica};

/// Names a local act until it is durable.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ticket(pub u64);

/// Why an act was not done. Nothing was stored, except where the store itself failed.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// No such coalition here.
    #[error("this device is in no such coalition")]
    NoCoalition,
    /// No such compartment, or not for this device: the same answer.
    #[error("no such compartment")]
    NoCompartment,
    /// The device may not do this here.
    #[error("this device lacks the right `{needed:?}` here")]
    Denied {
        /// The right it would need.
        needed: Right,
    },
    /// The audience names agencies that the coalition does not have, or none at all.
    #[error("agency {0:?} is not in the coalition")]
    NoAgency(AgencyNo),
    /// This peer holds as many compartments as it may.
    #[error(
        "this peer holds {} coalitions and compartments, which is the limit",
        crate::wire::AREAS_MAX
    )]
    Compartments,
    /// An empty audience means nobody.
    #[error("the audience is empty")]
    EmptyAudience,
    /// A name that is too long or has control characters.
    #[error("a name has at most 128 bytes and no control characters")]
    Name,
    /// No epoch of the compartment can be opened by this device yet.
    #[error("the compartment's keys have not arrived yet")]
    NoKeys,
    /// A draft is not a record.
    #[error("draft {index}: {error}")]
    Draft {
        /// Which of the drafts, from 0.
        index: usize,
        /// What is wrong with it.
        error: DraftError,
    },
    /// Too much for one signature.
    #[error(transparent)]
    Write(#[from] WriteFault),
    /// The charter makes no sense.
    #[error("a charter needs founders and a quorum that they can reach")]
    Charter,
    /// The statement would not count where it would stand.
    #[error("it would not count: {0}")]
    WouldNotCount(StatementVerdict),
    /// Something in it is longer than it may be, or out of its form.
    #[error("the statement would not be understood: {0}")]
    Unreadable(#[from] DecodeError),
    /// No such proposal, or not for this device.
    #[error("no such proposal")]
    NoProposal,
    /// The same was proposed and done as often as can be told apart.
    #[error("the same was done too often")]
    Repeated,
    /// More logs than one statement can name.
    #[error("more than {} logs", tearline_crdt::bounds::MARKS_MAX)]
    Marks,
    /// No such record, or not for this device: the same answer.
    #[error("no such record")]
    NoRecord,
    /// Only the agency that began the record, or an act of the whole, may do this.
    #[error("the record is agency {}'s", .0.0)]
    NotOriginator(AgencyNo),
    /// An erasure without a legal basis, or with one that is too long.
    #[error("an erasure names its legal basis, in at most 2,048 bytes")]
    Basis,
    /// This device's log is forked: another copy of its keys writes, too.
    #[error("this device's log is forked: its keys are in use elsewhere")]
    Forked,
    /// What was written was not stored.
    #[error("it was not stored: {0}")]
    NotTaken(#[from] NotTaken),
    /// The store failed; it must be opened again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an act came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Done<T> {
    /// Its result, valid once the ticket is durable.
    pub value: T,
    /// Its name until then.
    pub ticket: Ticket,
}

impl<S: Store> Replica<S> {
    pub(super) fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    /// This device's log of a class in an area.
    #[must_use]
    pub fn own_log(&self, compartment: CompartmentId, class: Class) -> LogId {
        LogId { compartment, class, device: self.device(), incarnation: self.incarnation }
    }

    /// Writes statements to this device's authority log in an area.
    pub(super) fn state(
        &mut self,
        now: Now,
        id: CompartmentId,
        statements: Statements,
    ) -> Result<Ticket, ActError> {
        let entries: Vec<NewEntry> = statements
            .into_iter()
            .map(|(statement, payload)| NewEntry {
                epoch: NO_EPOCH,
                sealed: statement.encode(),
                key_box: None,
                payload,
            })
            .collect();
        let ticket = self.append_own(now, self.own_log(id, Class::Authority), &entries)?;
        self.settle_outputs()?;
        Ok(ticket)
    }

    /// Appends entries to one of this device's logs.
    pub(super) fn append_own(
        &mut self,
        now: Now,
        log: LogId,
        entries: &[NewEntry],
    ) -> Result<Ticket, ActError> {
        let forked = self.logbook.state(&log).is_some_and(|state| state.forked_at.is_some());
        if forked || self.logbook.has_excess(log.compartment, log.device) {
            return Err(ActError::Forked);
        }
        let ticket = self.ticket();
        let mut rest = entries;
        while !rest.is_empty() {
            let (run, tail) = rest.split_at(segment_len(rest));
            rest = tail;
            let head = self.logbook.head(&log);
            let run = write_segment(&log, &head, self.keys.signer(), run)?;
            self.take(now, &run, None, rest.is_empty().then_some(ticket))??;
        }
        Ok(ticket)
    }

    /// Founds a coalition, with this device as a desk of one of the founders.
    pub fn found(
        &mut self,
        now: Now,
        charter: Charter,
        desk: DeskCertificate,
    ) -> Result<Done<CoalitionId>, ActError> {
        let sound = Charter::decode(&mut tearline_crdt::codec::Reader::new(&charter.encode()));
        if sound.is_err() || !charter.founders.iter().any(|founder| founder.root == desk.root) {
            return Err(ActError::Charter);
        }
        let id = charter.id();
        let mut batch = Batch::default();
        let area = self.create_area(&mut batch, coalition_body(charter.clone()));
        self.apply(batch)?;
        let kem = self.keys.kem_key();
        let kem = desk.desk.matches(kem).then(|| kem.as_bytes().to_vec());
        let statements = vec![(Statement::Desk(desk), kem), (Statement::Found(charter), None)];
        let ticket = self.state(now, area, statements)?;
        Ok(Done { value: id, ticket })
    }

    /// Opens a compartment with an audience and a name for its readers, or finds the one that has
    /// exactly it and whose keys are here (of several the one with the smallest id).
    pub fn open_compartment(
        &mut self,
        now: Now,
        coalition_id: CoalitionId,
        mut audience: Vec<AgencyNo>,
        name: &str,
    ) -> Result<Done<CompartmentId>, ActError> {
        audience.sort_unstable();
        audience.dedup();
        let coalition = self.coalition(coalition_id).ok_or(ActError::NoCoalition)?;
        if audience.is_empty() {
            return Err(ActError::EmptyAudience);
        }
        if name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(ActError::Name);
        }
        if let Some(no) = audience.iter().find(|no| coalition.member(**no).is_none()) {
            return Err(ActError::NoAgency(*no));
        }
        let standing = coalition.live(&self.device());
        if standing.is_none_or(|s| s.right() < Right::Write) {
            return Err(ActError::Denied { needed: Right::Write });
        }
        if let Some(value) = self.compartment_for(coalition_id, &audience) {
            let ticket = self.nothing_to_do()?;
            return Ok(Done { value, ticket });
        }
        self.open_another(now, coalition_id, audience, name)
    }

    /// Opens a compartment even where there is one with its audience. The audience is in order and
    /// of the coalition.
    pub fn open_another(
        &mut self,
        now: Now,
        coalition_id: CoalitionId,
        audience: Vec<AgencyNo>,
        name: &str,
    ) -> Result<Done<CompartmentId>, ActError> {
        if self.areas.len() >= crate::wire::AREAS_MAX {
            return Err(ActError::Compartments);
        }
        let nonce = random(&mut *self.entropy);
        let coalition = self.coalition(coalition_id).ok_or(ActError::NoCoalition)?;
        let root = |no: AgencyNo| coalition.member(no).map(|member| (no, member.root));
        let audience = audience.into_iter().filter_map(root).collect();
        let opening = Opening::sign(self.keys.signer(), coalition_id, audience, nonce);
        let mut batch = Batch::default();
        let id = self.create_area(&mut batch, compartment_body(opening.clone()));
        self.apply(batch)?;
        self.redraw()?;
        let (epoch, made) = self.new_epoch(id)?;
        let mut statements = vec![(Statement::Open(opening), None)];
        statements.extend(made);
        let keys = self.epoch_keys.get(&epoch).cloned().ok_or(ActError::NoKeys)?;
        let log = self.own_log(id, Class::Authority);
        let seq = self.logbook.head(&log).next + statements.len() as u64;
        let sealed = LogCipher::new(log, epoch, keys).seal_rest(seq, name.as_bytes());
        statements.push((Statement::Describe { epoch }, Some(sealed)));
        let ticket = self.state(now, id, statements)?;
        Ok(Done { value: id, ticket })
    }

    /// The compartment of a coalition with exactly this audience, whose keys are here.
    #[must_use]
    pub fn compartment_for(
        &self,
        coalition: CoalitionId,
        audience: &[AgencyNo],
    ) -> Option<CompartmentId> {
        self.areas
            .values()
            .filter_map(|area| match &area.body {
                Body::Compartment(compartment) => Some(compartment),
                Body::Coalition(_) => None,
            })
            .filter(|c| {
                let numbers = c.opening().audience.iter().map(|(no, _)| no);
                c.opening().coalition == coalition && numbers.eq(audience)
            })
            .find(|c| c.current_epoch(|epoch| self.can_open(epoch)).is_some())
            .map(Compartment::id)
    }

    /// A new epoch of a compartment, following the heads of those that are known, and seals of it to
    /// all readers whose keys are known. Its secret is kept here.
    fn new_epoch(&mut self, id: CompartmentId) -> Result<(EpochId, Statements), ActError> {
        let compartment = self.compartment(id).ok_or(ActError::NoCompartment)?;
        let epochs = compartment.epochs();
        let followed: BTreeSet<EpochId> =
            epochs.values().flat_map(|epoch| epoch.statement.parents.iter().copied()).collect();
        let mut heads: Vec<(u64, EpochId)> = epochs
            .iter()
            .filter(|(epoch, _)| !followed.contains(*epoch))
            .map(|(epoch, state)| (state.statement.depth, *epoch))
            .collect();
        heads.sort_unstable_by(|a, b| b.cmp(a));
        heads.truncate(PARENTS_MAX);
        let deepest = heads.first().map_or(0, |(depth, _)| *depth);
        let mut parents: Vec<EpochId> = heads.into_iter().map(|(_, epoch)| epoch).collect();
        parents.sort_unstable();
        let secret = Key::new(random(&mut *self.entropy));
        let commitment = EpochKeys::commitment(&secret);
        let statement = EpochStatement { parents, depth: deepest.saturating_add(1), commitment };
        let epoch = statement.id(&id);
        let mut cards = compartment_readers(self.compartment(id));
        // Its maker's own box is in the first statement: who holds that can go on after a restart.
        cards.sort_unstable_by_key(|card| card.device != self.device());
        let mut batch = Batch::default();
        self.hold_epoch(&mut batch, epoch, EpochKeys::of(&secret));
        self.apply(batch)?;
        let mut statements = vec![(Statement::Epoch(statement), None)];
        statements.extend(self.seals(id, epoch, &secret, &cards));
        Ok((epoch, statements))
    }

    /// A device's ML-KEM key, once the statement that brought the device in brought it, too.
    fn kem_key(&self, coalition: CoalitionId, card: &DeviceCard) -> Option<&KemKey> {
        self.areas.get(&CompartmentId(coalition.0))?.kem_keys.get(&card.kem_hash)
    }

    /// Seals a secret to devices, as many in one statement as its payload takes. One whose ML-KEM
    /// key is not known has to wait; one with a weak or invalid key gets no box: the fault is its
    /// own.
    fn seals(
        &mut self,
        id: CompartmentId,
        epoch: EpochId,
        secret: &[u8; 32],
        cards: &[DeviceCard],
    ) -> Statements {
        let Some(compartment) = self.compartment(id) else { return Vec::new() };
        let coalition = compartment.opening().coalition;
        let context = box_context(&id.0, &EpochKeys::commitment(secret));
        let mut statements = Vec::new();
        for cards in cards.chunks(BOXES_MAX) {
            let mut boxes = Vec::new();
            for card in cards {
                let entropy = BoxEntropy::new(random(&mut *self.entropy));
                let Some(kem) = self.kem_key(coalition, card) else { continue };
                boxes.extend(SecretBox::seal(card, kem, &context, secret, &entropy));
            }
            if boxes.is_empty() {
                continue;
            }
            let boxes_root = merkle_root(boxes.iter().map(SecretBox::leaf));
            let payload = encode_boxes(&boxes);
            statements.push((Statement::Seal { epoch, boxes_root }, Some(payload)));
        }
        statements
    }

    /// Seals the epochs that we hold to devices that may read and have no box that they can rely on.
    /// The compartment's opener does it for all, a desk for the devices of its own agency. A bounded
    /// number of statements is written at a time.
    pub(super) fn seal_missing(&mut self, now: Now) -> Result<(), StoreError> {
        if !std::mem::take(&mut self.seals_wanted) {
            return Ok(());
        }
        let own = self.device();
        let ids: Vec<CompartmentId> = self
            .areas
            .iter()
            .filter(|(_, area)| matches!(area.body, Body::Compartment(_)))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let Some(compartment) = self.compartment(id) else { continue };
            let opener = compartment.opening().opener == own;
            let Some(standing) = compartment.live(&own) else { continue };
            let (desk, agency) = (standing.desk, standing.agency);
            if standing.right() < Right::Write {
                continue;
            }
            let wanted = compartment.readers().filter(|(device, other)| {
                **device != own && (opener || desk && other.agency == agency)
            });
            let wanted: Vec<DeviceCard> = wanted.map(|(_, other)| other.card.clone()).collect();
            let epochs: Vec<EpochId> = compartment.epochs().keys().copied().collect();
            let mut statements = Vec::new();
            for epoch in epochs {
                statements.extend(self.seals_for(id, epoch, &wanted));
                if statements.len() >= SEALS_PER_INPUT_MAX {
                    self.seals_wanted = true;
                    break;
                }
            }
            if statements.is_empty() {
                continue;
            }
            match self.state(now, id, statements) {
                Err(ActError::Store(error)) => return Err(error),
                _ if self.seals_wanted => return Ok(()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Seals of an epoch for those of some devices that have no box of it that they can rely on.
    fn seals_for(
        &mut self,
        id: CompartmentId,
        epoch: EpochId,
        wanted: &[DeviceCard],
    ) -> Statements {
        let coalition = self.compartment(id).map(|c| c.opening().coalition);
        let Some(coalition) = coalition else { return Vec::new() };
        let missing: Vec<DeviceCard> = wanted
            .iter()
            .filter(|card| !self.has_sure_box(id, epoch, card.device))
            .filter(|card| self.kem_key(coalition, card).is_some())
            .cloned()
            .collect();
        if missing.is_empty() {
            return Vec::new();
        }
        let Some(keys) = self.epoch_keys.get(&epoch).cloned() else { return Vec::new() };
        let Some(secret) = keys.secret() else { return Vec::new() };
        self.seals(id, epoch, secret, &missing)
    }

    /// The epoch to write under. Where none of those that count is for live readers alone, a new one
    /// is made; whoever may read and was left out by its maker is sealed to first.
    fn epoch_to_write(&mut self, now: Now, id: CompartmentId) -> Result<EpochId, ActError> {
        let compartment = self.compartment(id).ok_or(ActError::NoCompartment)?;
        let Some(epoch) = compartment.current_epoch(|epoch| self.can_open(epoch)) else {
            // Somebody made one that we shall be able to open.
            if compartment.current_epoch(|_| true).is_some() {
                return Err(ActError::NoKeys);
            }
            return Ok(self.rotate(now, id)?.value);
        };
        let own = self.device();
        let cards = compartment_readers(self.compartment(id));
        let left_out =
            |card: &DeviceCard| card.device != own && !self.has_box(id, epoch, card.device);
        let others: Vec<DeviceCard> = cards.into_iter().filter(left_out).collect();
        let statements = self.seals_for(id, epoch, &others);
        if !statements.is_empty() {
            self.state(now, id, statements)?;
        }
        Ok(epoch)
    }

    /// Begins a new epoch of a compartment, for all that may read it now.
    pub fn rotate(&mut self, now: Now, id: CompartmentId) -> Result<Done<EpochId>, ActError> {
        self.compartment(id).ok_or(ActError::NoCompartment)?;
        if self.right(id, &self.device()).is_none_or(|right| right < Right::Write) {
            return Err(ActError::Denied { needed: Right::Write });
        }
        let (value, statements) = self.new_epoch(id)?;
        let ticket = self.state(now, id, statements)?;
        Ok(Done { value, ticket })
    }

    /// Writes records and changes to this device's log of a class in a compartment. One signature
    /// covers up to 256 of them, where the class allows it. All or nothing is written.
    pub fn write(
        &mut self,
        now: Now,
        id: CompartmentId,
        class: Class,
        drafts: Vec<Draft>,
    ) -> Result<Done<Vec<Written>>, ActError> {
        let log = self.own_log(id, class);
        let compartment = self.compartment(id).ok_or(ActError::NoCompartment)?;
        let own = self.device();
        if class == Class::Authority || !compartment.live(&own).is_some_and(|s| s.writes(class)) {
            return Err(ActError::Denied { needed: Right::Write });
        }
        let epoch = self.epoch_to_write(now, id)?;
        let keys = self.epoch_keys.get(&epoch).cloned().ok_or(ActError::NoKeys)?;
        let cipher = LogCipher::new(log, epoch, keys);
        let head = self.logbook.head(&log);
        let standings = super::Standings { areas: &self.areas, own: self.keys.id(), now: now.wall };
        let mut desk = tearline_crdt::record::shelf::Writing {
            store: &self.store,
            logbook: &self.logbook,
            keys: &self.epoch_keys,
            standings: &standings,
            cipher: &cipher,
            next_seq: head.next,
            now: now.wall,
            entropy: &mut *self.entropy,
        };
        let prepared = self
            .shelf
            .prepare(&mut desk, drafts)
            .map_err(|(index, error)| ActError::Draft { index, error })?;
        let ticket = self.append_own(now, log, &prepared.entries)?;
        if prepared.entries.is_empty() {
            self.outputs.push_back(super::Output::Event(super::Event::Durable(ticket)));
        }
        self.settle_outputs()?;
        Ok(Done { value: prepared.written, ticket })
    }
}

/// Statements with their payloads.
pub(super) type Statements = Vec<(Statement, Option<Vec<u8>>)>;

/// Most seals that are written for one input: each is up to a payload long.
const SEALS_PER_INPUT_MAX: usize = 16;

fn compartment_readers(compartment: Option<&Compartment>) -> Vec<DeviceCard> {
    let readers = compartment.into_iter().flat_map(Compartment::readers);
    readers.map(|(_, standing)| standing.card.clone()).collect()
}

/// How many of the first entries fit one segment, at least one.
fn segment_len(entries: &[NewEntry]) -> usize {
    let mut bytes = 0;
    let fits = entries.iter().take(SEGMENT_ENTRIES_MAX).take_while(|entry| {
        let payload = entry.payload.as_ref().map_or(0, Vec::len);
        bytes += entry.sealed.len() + payload + ENTRY_OVERHEAD_BYTES;
        bytes <= SEGMENT_BYTES_MAX
    });
    fits.count().max(1)
}

/// Most bytes that the short form adds to an entry's parts: flags, epoch, lengths, coverage,
/// signature.
const ENTRY_OVERHEAD_BYTES: usize = 1 + 32 + 3 + 4 + 33 + 64;

/// Random bytes from a source behind a pointer.
pub(super) fn random<const N: usize>(entropy: &mut dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}
