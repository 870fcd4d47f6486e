//! Acts of the local operator: founding, opening, writing. Each stores its entries and returns a
//! [`Ticket`]; [`super::Event::Durable`] with that ticket is the acknowledgement.

use std::collections::BTreeSet;

use tearline_crdt::authority::StatementVerdict;
use tearline_crdt::bounds::{NAME_BYTES_MAX, SEGMENT_BYTES_MAX, SEGMENT_ENTRIES_MAX};
use tearline_crdt::charter::Charter;
use tearline_crdt::codec::DecodeError;
use tearline_crdt::entropy::Entropy;
use tearline_crdt::entry::NO_EPOCH;
use tearline_crdt::entry::run::{NewEntry, WriteFault, write_segment};
use tearline_crdt::entry::sealed::LogCipher;
use tearline_crdt::id::{AgencyNo, Class, CoalitionId, CompartmentId, LogId};
use tearline_crdt::record::shelf::{Begun, Draft, DraftError, Written};
use tearline_crdt::statement::{DeskCertificate, Opening, Right, Statement};
use tearline_crdt::store::{Batch, Store, StoreError};
use tearline_crdt::time::Now;

use super::area::{Body, coalition_body};
use super::ingest::Origin;
use super::{NotTaken, Replica, Room};

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
    #[error("this device lacks the right to {} here", needed.name())]
    Denied {
        /// The right it would need.
        needed: Right,
    },
    /// The audience names agencies that the coalition does not have, or none at all.
    #[error("agency {0:?} is not in the coalition")]
    NoAgency(AgencyNo),
    /// The agency has opened as many compartments as are followed of it.
    #[error(
        "peers follow {} coalitions and compartments, and no more of this agency's",
        crate::wire::AREAS_MAX
    )]
    Compartments,
    /// The compartment is not among those that this peer follows: nobody would get what is written.
    #[error("this compartment is not among the {} that peers follow", crate::wire::AREAS_MAX)]
    NotFollowed,
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
    /// What this device writes there does not count any more: the next entry of its log would be
    /// quarantined.
    #[error("what this device writes here does not count: it was closed in this life")]
    Closed,
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
    /// It replaces the root by which this device is a desk.
    #[error(
        "it ends the standing of this very desk, and with that this desk's approval would not count"
    )]
    EndsItself,
    /// More logs than one statement can name.
    #[error("more than {} logs", tearline_crdt::bounds::MARKS_MAX)]
    Marks,
    /// No such record, or not for this device: the same answer.
    #[error("no such record")]
    NoRecord,
    /// Only the agency that began the record, or an act of the whole, may do this.
    #[error("the record is of agency {} and not of this one", .0.0)]
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
    /// This device has written as many bytes of records here as its grants allow, or nearly.
    #[error(
        "this device's grants let it write {quota} bytes of records here: {left} are left, and this takes up to \
         {needed}"
    )]
    Quota {
        /// What they allow, in bytes.
        quota: u64,
        /// What is left of that.
        left: u64,
        /// What was to be written.
        needed: u64,
    },
    /// The disk is nearly full.
    #[error("the disk is nearly full: nothing was written")]
    NoRoom,
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
        self.state_beside(now, id, statements, Batch::default())
    }

    /// The same, in one batch with other writes: neither is done without the other.
    pub(super) fn state_beside(
        &mut self,
        now: Now,
        id: CompartmentId,
        statements: Statements,
        beside: Batch,
    ) -> Result<Ticket, ActError> {
        self.needs_followed(&id)?;
        let entries: Vec<NewEntry> = statements
            .into_iter()
            .map(|(statement, payload)| NewEntry {
                epoch: NO_EPOCH,
                sealed: statement.encode(),
                key_box: None,
                payload,
            })
            .collect();
        let log = self.own_log(id, Class::Authority);
        let ticket = self.append_beside(now, log, &entries, &Begun::default(), beside)?;
        self.settle_outputs()?;
        Ok(ticket)
    }

    /// Appends entries to one of this device's logs, in which these records begin.
    pub(super) fn append_own(
        &mut self,
        now: Now,
        log: LogId,
        entries: &[NewEntry],
        begun: &Begun,
    ) -> Result<Ticket, ActError> {
        self.append_beside(now, log, entries, begun, Batch::default())
    }

    fn append_beside(
        &mut self,
        now: Now,
        log: LogId,
        entries: &[NewEntry],
        begun: &Begun,
        mut beside: Batch,
    ) -> Result<Ticket, ActError> {
        self.needs(Room::Statements)?;
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
            self.memo.note_begun(&run, begun);
            let ticket = rest.is_empty().then_some(ticket);
            let origin = Origin::Own { ticket, begun };
            self.take(now, &run, origin, std::mem::take(&mut beside))??;
        }
        self.conclude(now)?;
        Ok(ticket)
    }

    /// Founds a coalition, with this device as a desk of one of the founders.
    pub fn found(
        &mut self,
        now: Now,
        charter: Charter,
        desk: DeskCertificate,
    ) -> Result<Done<CoalitionId>, ActError> {
        self.needs(Room::Statements)?;
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
        self.conclude(now)?;
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
        if coalition.right_in(&self.device(), self.incarnation) < Some(Right::Write) {
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
        self.needs(Room::Statements)?;
        self.wall = now.wall;
        let nonce = random(&mut *self.entropy);
        let coalition = self.coalition(coalition_id).ok_or(ActError::NoCoalition)?;
        let root = |no: AgencyNo| coalition.member(no).map(|member| (no, member.root));
        let audience = audience.into_iter().filter_map(root).collect();
        let opening = Opening::sign(self.keys.signer(), coalition_id, audience, nonce);
        if !self.would_follow(&opening) || !self.take_opening(opening.clone())? {
            return Err(ActError::Compartments);
        }
        let id = opening.id();
        let mut statements = vec![(Statement::Open(opening), None)];
        self.begin_epoch(id, name, &mut statements)?;
        let ticket = self.state(now, id, statements)?;
        Ok(Done { value: id, ticket })
    }

    /// The compartment of a coalition with exactly this audience that is followed and whose keys are here.
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
                c.opening().coalition == coalition && numbers.eq(audience) && self.follows(&c.id())
            })
            .find(|c| c.current_epoch(|epoch| self.can_open(epoch)).is_some())
            .map(|compartment| compartment.id())
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
        self.needs(Room::Everything)?;
        self.conclude(now)?;
        let log = self.own_log(id, class);
        self.compartment(id).ok_or(ActError::NoCompartment)?;
        self.needs_followed(&id)?;
        if class == Class::Authority || !self.may_write(id, class) {
            return Err(ActError::Denied { needed: Right::Write });
        }
        let state = self.logbook.state(&log);
        if state.is_some_and(|state| state.forked_at.is_some()) {
            return Err(ActError::Forked);
        }
        let next = state.map_or(0, |state| state.head.next);
        if self.draw(&log)?.is_some_and(|drawn| drawn.limit <= next) {
            return Err(ActError::Closed);
        }
        let epoch = self.epoch_to_write(now, id)?;
        let builds_on = |draft: &Draft| !matches!(draft, Draft::New { .. } | Draft::Begun(_));
        let closed = match self.compartment(id).filter(|_| drafts.iter().any(builds_on)) {
            Some(compartment) => compartment.closed_beside(&epoch),
            None => BTreeSet::new(),
        };
        let keys = self.epoch_keys.get(&epoch).cloned().ok_or(ActError::NoKeys)?;
        let cipher = LogCipher::new(log, epoch, keys);
        let head = self.logbook.head(&log);
        let standings =
            super::Standings::new(&self.areas, &self.heard, self.keys.id(), self.reckoning.now());
        let mut desk = tearline_crdt::record::shelf::Writing {
            store: &self.store,
            logbook: &self.logbook,
            keys: &self.epoch_keys,
            standings: &standings,
            cipher: &cipher,
            closed: &closed,
            next_seq: head.next,
            now: now.wall,
            entropy: &mut *self.entropy,
        };
        let prepared = self
            .shelf
            .prepare(&mut desk, drafts)
            .map_err(|(index, error)| ActError::Draft { index, error })?;
        self.needs_quota(id, log.class, &prepared.entries)?;
        let ticket = self.append_own(now, log, &prepared.entries, &prepared.begun)?;
        if prepared.entries.is_empty() {
            self.outputs.push_back(super::Output::Event(super::Event::Durable(ticket)));
        }
        self.settle_outputs()?;
        Ok(Done { value: prepared.written, ticket })
    }
}

/// Statements with their payloads.
pub(super) type Statements = Vec<(Statement, Option<Vec<u8>>)>;

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
pub(super) const ENTRY_OVERHEAD_BYTES: usize = 1 + 32 + 3 + 4 + 33 + 64;

/// Random bytes from a source behind a pointer.
pub(super) fn random<const N: usize>(entropy: &mut dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}
