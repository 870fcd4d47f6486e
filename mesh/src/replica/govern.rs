//! Acts on standings and records: grant, revoke, adopt, propose, approve, erase and the rest.
//!
//! Each is one statement in this device's authority log. Before it is written it is judged as if it
//! stood there: what would not count is refused with the verdict, and nothing is written.

use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::authority::{
    Cause, Coalition, Compartment, Logs, Place, Proposal, StatementVerdict,
};
use tearline_crdt::bounds::{ERASED_ENTRIES_MAX, MARKS_MAX};
use tearline_crdt::id::{
    AgencyNo, Class, CoalitionId, CompartmentId, DeviceId, EntryId, EpochId, LogId, RecordId,
    StatementId,
};
use tearline_crdt::keys::KemKey;
use tearline_crdt::record::shelf::Detail;
use tearline_crdt::statement::{
    Act, Audience, Caveats, DeskCertificate, Erasure, Mark, Marks, Reopening, Right, RootAct,
    Statement,
};
use tearline_crdt::store::{Store, StoreError};
use tearline_crdt::time::{Now, WallTime};

use super::Replica;
use super::area::Body;
use super::author::{ActError, Done, Statements, Ticket};
use super::basis::other_entries;
use super::held::HeldLogs;
use super::trace::{Cut, KeepBy, Kept};

/// What is said of a record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Word {
    /// Destroy it, with the legal basis.
    Erase {
        /// Why, for the auditors of those who may read the compartment.
        basis: String,
    },
    /// Hide it.
    Restrict,
    /// Keep it, whoever asks to destroy it.
    Hold,
    /// It is not to be relied on.
    Recall,
}

/// What a statement makes of a device's right in an area.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RightChange {
    /// Where.
    pub area: CompartmentId,
    /// Whose.
    pub device: DeviceId,
    /// Its highest right before.
    pub before: Option<Right>,
    /// And after.
    pub after: Option<Right>,
}

/// What came of a lost device.
#[derive(Clone, Debug)]
pub struct Lost {
    /// The statement that ends its standing.
    pub statement: StatementId,
    /// How far each of its logs still counts.
    pub kept: Vec<Kept>,
    /// How many logs keep nothing because one statement cannot name them all: those with the fewest
    /// entries. An adopt can name them.
    pub unnamed: usize,
    /// The epochs that were begun because it could read the ones before.
    pub rotated: Vec<(CompartmentId, EpochId)>,
}

impl<S: Store> Replica<S> {
    /// Proposes an act of the whole, and by that approves it; nothing is said where an equal one is in effect. The
    /// number tells it apart from earlier acts of equal content: of those that are held the next one is taken.
    pub fn propose(
        &mut self,
        now: Now,
        coalition: CoalitionId,
        act: Act,
        marks: Option<Vec<u8>>,
    ) -> Result<Done<StatementId>, ActError> {
        self.stays_by(coalition, &act)?;
        let known = self.coalition(coalition).ok_or(ActError::NoCoalition)?;
        let proposals = known.proposals();
        if let Some(id) = in_effect(known, &proposals, &act) {
            let ticket = self.nothing_to_do()?;
            return Ok(Done { value: id, ticket });
        }
        let fresh = |number: &u64| {
            proposals.get(&act.id(&coalition, *number)).is_none_or(|other| !other.in_force)
        };
        let number = (0..=u64::from(u16::MAX)).find(fresh).ok_or(ActError::Repeated)?;
        let id = act.id(&coalition, number);
        if proposals.get(&id).is_some_and(|known| known.act == act) {
            return self.approve(now, coalition, id);
        }
        let statement = Statement::Propose { number, act };
        let done = self.declare(now, CompartmentId(coalition.0), statement, marks)?;
        Ok(Done { value: id, ticket: done.ticket })
    }

    /// Approves an act that was proposed.
    pub fn approve(
        &mut self,
        now: Now,
        coalition: CoalitionId,
        act: StatementId,
    ) -> Result<Done<StatementId>, ActError> {
        let known = self.coalition(coalition).ok_or(ActError::NoCoalition)?;
        let agency = known.live(&self.device()).filter(|own| own.desk).map(|own| own.agency);
        let proposals = known.proposals();
        let proposal = proposals.get(&act).ok_or(ActError::NoProposal)?;
        // A root is given by approvals that count: one of a desk that has ended since is said again.
        let approved = match proposal.gives_root {
            Some(_) => &proposal.counting,
            None => &proposal.approved,
        };
        if agency.is_some_and(|own| approved.contains(&own)) {
            let ticket = self.nothing_to_do()?;
            return Ok(Done { value: act, ticket });
        }
        self.stays_by(coalition, &proposal.act)?;
        let statement = Statement::Approve { act };
        let done = self.declare(now, CompartmentId(coalition.0), statement, None)?;
        Ok(Done { value: act, ticket: done.ticket })
    }

    /// Refuses an act that replaces the root by which this device is a desk: it would be in force by this
    /// desk's approval, too, and the new root would not be given by it.
    fn stays_by(&self, coalition: CoalitionId, act: &Act) -> Result<(), ActError> {
        let Act::ReplaceRoot { agency, replaced, .. } = act else { return Ok(()) };
        let known = self.coalition(coalition).ok_or(ActError::NoCoalition)?;
        let logs = HeldLogs::new(&self.logbook, &self.store);
        let ends = known.stands_behind(&self.device(), *agency, replaced, &logs);
        logs.outcome()?;
        if ends { Err(ActError::EndsItself) } else { Ok(()) }
    }

    /// Gives rights. In a coalition it makes the device one of the agency that the audience names; in
    /// a compartment it needs such a grant first.
    pub fn grant(
        &mut self,
        now: Now,
        area: CompartmentId,
        audience: Audience,
        right: Right,
        caveats: Caveats,
        reopening: Option<Reopening>,
    ) -> Result<Done<EntryId>, ActError> {
        let kem = match &audience {
            Audience::Device { card, .. } => self.kem_bytes(area, card),
            Audience::Agency(_) => None,
        };
        let grant = Statement::Grant { audience, right, caveats, reopening };
        let done = self.declare(now, area, grant, kem)?;
        self.welcome(now)?;
        Ok(done)
    }

    /// What a grant would change, of the rights of which devices; nothing is written. It is refused if the grant
    /// would be.
    pub fn would_grant(
        &self,
        area: CompartmentId,
        audience: Audience,
        right: Right,
        caveats: Caveats,
        reopening: Option<Reopening>,
    ) -> Result<Vec<RightChange>, ActError> {
        let kem = match &audience {
            Audience::Device { card, .. } => self.kem_bytes(area, card),
            Audience::Agency(_) => None,
        };
        let grant = Statement::Grant { audience, right, caveats, reopening };
        self.would_change(area, &grant, kem.as_deref())
    }

    /// What a revocation would change, of the rights of which devices; nothing is written. It is refused if
    /// the revocation would be.
    pub fn would_revoke(
        &self,
        area: CompartmentId,
        device: DeviceId,
        keep: Vec<Mark>,
    ) -> Result<Vec<RightChange>, ActError> {
        let (keep, payload) = Marks::of(keep).ok_or(ActError::Marks)?;
        self.would_change(area, &Statement::Revoke { device, keep }, payload.as_deref())
    }

    /// Ends a device's standing in a coalition and all its compartments, or in one compartment. Of
    /// its logs that counts which the marks keep.
    pub fn revoke(
        &mut self,
        now: Now,
        area: CompartmentId,
        device: DeviceId,
        keep: Vec<Mark>,
    ) -> Result<Done<StatementId>, ActError> {
        let (keep, payload) = Marks::of(keep).ok_or(ActError::Marks)?;
        let done = self.declare(now, area, Statement::Revoke { device, keep }, payload)?;
        Ok(Done { value: StatementId(done.value.0), ticket: done.ticket })
    }

    /// Lets prefixes of quarantined logs of the own agency count.
    pub fn adopt(
        &mut self,
        now: Now,
        area: CompartmentId,
        marks: Vec<Mark>,
    ) -> Result<Done<StatementId>, ActError> {
        let (marks, payload) = Marks::of(marks).ok_or(ActError::Marks)?;
        let done = self.declare(now, area, Statement::Adopt { marks }, payload)?;
        Ok(Done { value: StatementId(done.value.0), ticket: done.ticket })
    }

    /// Writes down what an agency's root signed: a desk's certificate, with the key that the desk's card
    /// names.
    pub fn certify(
        &mut self,
        now: Now,
        coalition: CoalitionId,
        certificate: DeskCertificate,
        kem: &KemKey,
    ) -> Result<Done<EntryId>, ActError> {
        let area = CompartmentId(coalition.0);
        let kem = certificate.desk.matches(kem).then(|| kem.as_bytes().to_vec());
        self.declare(now, area, Statement::Desk(certificate), kem)
    }

    /// Writes down an act that an agency's root signed.
    pub fn root_act(
        &mut self,
        now: Now,
        coalition: CoalitionId,
        act: RootAct,
        marks: Option<Vec<u8>>,
    ) -> Result<Done<StatementId>, ActError> {
        let id = act.id(&coalition);
        let area = CompartmentId(coalition.0);
        let done = self.declare(now, area, Statement::RootAct(act), marks)?;
        Ok(Done { value: id, ticket: done.ticket })
    }

    /// Says something of a record.
    pub fn speak(
        &mut self,
        now: Now,
        record: RecordId,
        word: &Word,
    ) -> Result<Done<StatementId>, ActError> {
        self.conclude(now)?;
        let detail = self.records(|reader| reader.show(record))?.ok_or(ActError::NoRecord)?;
        self.may_speak(&detail, word)?;
        let genesis = detail.genesis;
        let statements = match word {
            Word::Erase { basis } => self.erasure(now, &detail, basis)?,
            Word::Restrict => vec![(Statement::Restrict { genesis }, None)],
            Word::Hold => vec![(Statement::Hold { genesis }, None)],
            Word::Recall => vec![(Statement::Recall { genesis }, None)],
        };
        self.declare_all(now, detail.compartment, statements)
            .map(|done| Done { value: StatementId(done.value.0), ticket: done.ticket })
    }

    /// Whether this device may say something of a record.
    pub fn may_speak(&self, detail: &Detail, word: &Word) -> Result<(), ActError> {
        let compartment = self.compartment(detail.compartment).ok_or(ActError::NoCompartment)?;
        let own = compartment.live(&self.device());
        let needed = if *word == Word::Recall { Right::Write } else { Right::Admin };
        let own = own.filter(|_| self.own_right(detail.compartment) >= Some(needed));
        let own = own.ok_or(ActError::Denied { needed })?;
        // Anybody's admin may hold a record, for his own agency's peers.
        if own.agency != detail.origin && *word != Word::Hold {
            return Err(ActError::NotOriginator(detail.origin));
        }
        Ok(())
    }

    /// An erasure lists the record's entries, as many as a statement takes; further ones are added by
    /// statements after it. The basis is sealed for those who may read the compartment.
    fn erasure(&mut self, now: Now, detail: &Detail, basis: &str) -> Result<Statements, ActError> {
        let id = detail.compartment;
        let genesis = detail.genesis;
        let others = other_entries(detail);
        let (first, rest) = others.split_at(others.len().min(ERASED_ENTRIES_MAX));
        let erasure = Erasure { genesis, others: first.to_vec() };
        let payload = self.seal_basis(now, id, self.own_log(id, Class::Authority), basis)?;
        let mut statements = vec![(Statement::Erase(erasure), Some(payload))];
        for entries in rest.chunks(ERASED_ENTRIES_MAX) {
            statements.push((Statement::EraseAlso { genesis, entries: entries.to_vec() }, None));
        }
        Ok(statements)
    }

    /// Ends a hold or a restriction.
    pub fn lift(
        &mut self,
        now: Now,
        area: CompartmentId,
        lifted: StatementId,
    ) -> Result<Done<StatementId>, ActError> {
        let done = self.declare(now, area, Statement::Lift { lifted }, None)?;
        Ok(Done { value: StatementId(done.value.0), ticket: done.ticket })
    }

    /// A device is in other hands since a time: ends its standing, keeps what it wrote before, and begins new
    /// epochs where it could read.
    pub fn lost(
        &mut self,
        now: Now,
        coalition: CoalitionId,
        device: DeviceId,
        (since, by): (WallTime, KeepBy),
    ) -> Result<Done<Lost>, ActError> {
        self.conclude(now)?;
        self.coalition(coalition).ok_or(ActError::NoCoalition)?;
        let exposed = self.sealed_to(&device).into_keys().collect::<Vec<_>>();
        let mut kept = self.kept_before(coalition, &device, Some((since, by)))?;
        let unnamed = keep_what_fits(&mut kept);
        let marks = kept.iter().filter_map(Kept::mark).collect();
        let closed = self.revoke(now, CompartmentId(coalition.0), device, marks)?;
        let rotated = self.rotate_all(now, &exposed)?;
        let ticket = self.settled();
        let value = Lost { statement: closed.value, kept, unnamed, rotated };
        Ok(Done { value, ticket })
    }

    /// Begins new epochs where somebody could read who is to read no more.
    pub fn rotate_all(
        &mut self,
        now: Now,
        exposed: &[CompartmentId],
    ) -> Result<Vec<(CompartmentId, EpochId)>, StoreError> {
        let mut rotated = Vec::new();
        for compartment in exposed {
            // Where this device may not write, whoever writes next begins the epoch.
            match self.rotate(now, *compartment) {
                Ok(done) => rotated.push((*compartment, done.value)),
                Err(ActError::Store(error)) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(rotated)
    }

    /// Writes one statement that would count; its entry's id.
    fn declare(
        &mut self,
        now: Now,
        area: CompartmentId,
        statement: Statement,
        payload: Option<Vec<u8>>,
    ) -> Result<Done<EntryId>, ActError> {
        self.conclude(now)?;
        // What its readers would refuse is not written: they would hold it against its author.
        Statement::decode(&statement.encode())?;
        match self.verdict_on(area, &statement, payload.as_deref())? {
            StatementVerdict::Counts | StatementVerdict::Waits { .. } => {}
            verdict => return Err(ActError::WouldNotCount(verdict)),
        }
        self.declare_all(now, area, vec![(statement, payload)])
    }

    /// Writes statements; the first one's entry's id.
    fn declare_all(
        &mut self,
        now: Now,
        area: CompartmentId,
        statements: Statements,
    ) -> Result<Done<EntryId>, ActError> {
        let log = self.own_log(area, Class::Authority);
        let seq = self.logbook.head(&log).next;
        let ticket = self.state(now, area, statements)?;
        let entry = self.logbook.entry(&self.store, &log, seq)?;
        let value = entry.map(|entry| entry.id).ok_or(ActError::Forked)?;
        Ok(Done { value, ticket })
    }

    /// The rights that a statement of this device would change. One that has to wait changes none yet.
    fn would_change(
        &self,
        id: CompartmentId,
        statement: &Statement,
        payload: Option<&[u8]>,
    ) -> Result<Vec<RightChange>, ActError> {
        match self.verdict_on(id, statement, payload)? {
            StatementVerdict::Counts => {}
            StatementVerdict::Waits { .. } => return Ok(Vec::new()),
            verdict => return Err(ActError::WouldNotCount(verdict)),
        }
        let area = self.areas.get(&id).ok_or(ActError::NoCompartment)?;
        let log = self.own_log(id, Class::Authority);
        let place = Place { log, seq: self.logbook.head(&log).next, id: EntryId([0xff; 32]) };
        let held = HeldLogs::new(&self.logbook, &self.store);
        let logs = Supposed { held: &held, place };
        let refused = |_| ActError::WouldNotCount(StatementVerdict::NotAbove);
        let mut changes = Vec::new();
        match &area.body {
            Body::Coalition(now) => {
                let mut then = Coalition::clone(now);
                then.insert(place, statement.clone(), payload).map_err(refused)?;
                then.evaluate(&logs);
                compare(&mut changes, id, now.devices().keys(), then.devices().keys(), |device| {
                    (now.right(device), then.right(device))
                });
                for (below, area) in &self.areas {
                    let Body::Compartment(now) = &area.body else { continue };
                    if now.opening().coalition.0 != id.0 {
                        continue;
                    }
                    let mut after = Compartment::clone(now);
                    after.evaluate(&then, &logs);
                    let both = (now.devices().keys(), after.devices().keys());
                    compare(&mut changes, *below, both.0, both.1, |device| {
                        (now.right(device), after.right(device))
                    });
                }
            }
            Body::Compartment(now) => {
                let mut then = Compartment::clone(now);
                then.insert(place, statement.clone(), payload).map_err(refused)?;
                let above = self.coalition(then.opening().coalition);
                then.evaluate(above.ok_or(ActError::NoCoalition)?, &logs);
                compare(&mut changes, id, now.devices().keys(), then.devices().keys(), |device| {
                    (now.right(device), then.right(device))
                });
            }
        }
        held.outcome()?;
        Ok(changes)
    }

    /// What would become of a statement of this device.
    fn verdict_on(
        &self,
        id: CompartmentId,
        statement: &Statement,
        payload: Option<&[u8]>,
    ) -> Result<StatementVerdict, ActError> {
        let area = self.areas.get(&id).ok_or(ActError::NoCompartment)?;
        let log = self.own_log(id, Class::Authority);
        let place = Place { log, seq: self.logbook.head(&log).next, id: EntryId([0xff; 32]) };
        let held = HeldLogs::new(&self.logbook, &self.store);
        let logs = Supposed { held: &held, place };
        let refused = |_| ActError::WouldNotCount(StatementVerdict::NotAbove);
        let verdict = match &area.body {
            Body::Coalition(coalition) => {
                let mut coalition = Coalition::clone(coalition);
                coalition.insert(place, statement.clone(), payload).map_err(refused)?;
                coalition.evaluate(&logs);
                coalition.verdict(&place.id, &logs)
            }
            Body::Compartment(compartment) => {
                let mut compartment = Compartment::clone(compartment);
                compartment.insert(place, statement.clone(), payload).map_err(refused)?;
                let above = self.coalition(compartment.opening().coalition);
                compartment.evaluate(above.ok_or(ActError::NoCoalition)?, &logs);
                compartment.verdict(&place.id, &|genesis| self.origin(id, genesis), &logs)
            }
        };
        held.outcome()?;
        Ok(verdict.unwrap_or(StatementVerdict::NoStanding))
    }

    /// The ML-KEM key of a card, as the statement that brings its device in again carries it.
    fn kem_bytes(
        &self,
        area: CompartmentId,
        card: &tearline_crdt::keys::DeviceCard,
    ) -> Option<Vec<u8>> {
        let above = self.compartment(area).map(|c| CompartmentId(c.opening().coalition.0));
        let keys = &self.areas.get(&above.unwrap_or(area))?.kem_keys;
        keys.get(&card.kem_hash).map(|key| key.as_bytes().to_vec())
    }

    /// A ticket for an act that was done before, perhaps not durably yet.
    pub(super) fn nothing_to_do(&mut self) -> Result<Ticket, StoreError> {
        let ticket = self.flush_ticket();
        self.settle_outputs()?;
        Ok(ticket)
    }

    /// What became of a statement of an area; `None` if it is not held.
    pub fn verdict(
        &self,
        area: CompartmentId,
        id: &EntryId,
    ) -> Result<Option<StatementVerdict>, StoreError> {
        let logs = HeldLogs::new(&self.logbook, &self.store);
        let verdict = match self.areas.get(&area).map(|area| &area.body) {
            Some(Body::Coalition(coalition)) => coalition.verdict(id, &logs),
            Some(Body::Compartment(compartment)) => {
                compartment.verdict(id, &|genesis| self.origin(area, genesis), &logs)
            }
            None => None,
        };
        logs.outcome().map(|()| verdict)
    }

    /// Why an entry of a compartment's log does not count; `None` if it does.
    pub fn cause(&self, log: &LogId, seq: u64) -> Result<Option<Cause>, StoreError> {
        let Some(compartment) = self.compartment(log.compartment) else { return Ok(None) };
        let logs = HeldLogs::new(&self.logbook, &self.store);
        let cause = compartment.quarantine(log, seq, &logs);
        logs.outcome().map(|()| cause)
    }

    /// Whose a record is of which something was said, by its genesis; `None` if that is not here.
    #[must_use]
    pub fn origin(&self, area: CompartmentId, genesis: &EntryId) -> Option<AgencyNo> {
        let (log, _) = self.areas.get(&area)?.spoken.get(genesis)?.place?;
        self.compartment(area)?.originator(&log)
    }

    /// The agency of this device in a coalition, while its standing is open.
    #[must_use]
    pub fn own_agency(&self, coalition: CoalitionId) -> Option<AgencyNo> {
        self.coalition(coalition)?.live(&self.device()).map(|own| own.agency)
    }
}

/// An act of equal content that is in force and was not undone since.
fn in_effect(
    known: &Coalition,
    proposals: &BTreeMap<StatementId, Proposal>,
    act: &Act,
) -> Option<StatementId> {
    let is_lifted = |id: &StatementId| {
        let lifts = |other: &Act| matches!(other, Act::Lift { lifted } if lifted == id);
        proposals.values().any(|one| one.in_force && lifts(&one.act))
    };
    let lasts = |id: &StatementId| match act {
        Act::Erase(_)
        | Act::Recall { .. }
        | Act::RetireEpoch { .. }
        | Act::Lift { .. }
        | Act::Adopt { .. } => true,
        Act::Restrict { .. } | Act::Hold { .. } => !is_lifted(id),
        Act::Retire { agency, .. } => known.is_retired(*agency),
        Act::Revoke { device, .. } => known.live(device).is_none(),
        Act::Admit { member, .. } => known.member(member.no).is_some(),
        // Its root may wait for signatures that count.
        Act::ReplaceRoot { .. } => false,
    };
    let equal = proposals.iter().filter(|(_, one)| one.in_force && one.act == *act);
    equal.map(|(id, _)| *id).find(lasts)
}

/// Keeps nothing of the logs with the fewest entries, where there are more than one statement can name;
/// how many those are. A device may have begun any number, and its standing must end all the same.
pub fn keep_what_fits(kept: &mut [Kept]) -> usize {
    let mut marked: Vec<&mut Kept> = kept.iter_mut().filter(|one| one.mark().is_some()).collect();
    marked.sort_by_key(|one| std::cmp::Reverse((one.cut.count, one.log)));
    let unnamed = marked.iter_mut().skip(MARKS_MAX);
    unnamed.map(|one| one.cut = Cut::default()).count()
}

/// The logs, with one entry more.
struct Supposed<'a> {
    held: &'a HeldLogs<'a>,
    place: Place,
}

impl Logs for Supposed<'_> {
    fn held(&self, log: &LogId) -> u64 {
        self.held.held(log) + u64::from(*log == self.place.log)
    }

    fn id_at(&self, log: &LogId, seq: u64) -> Option<EntryId> {
        if (*log, seq) == (self.place.log, self.place.seq) {
            return Some(self.place.id);
        }
        self.held.id_at(log, seq)
    }

    fn forked_at(&self, log: &LogId) -> Option<u64> {
        self.held.forked_at(log)
    }

    fn proven_at(&self, log: &LogId) -> Option<u64> {
        self.held.proven_at(log)
    }
}

/// The devices whose right is another.
fn compare<'a>(
    changes: &mut Vec<RightChange>,
    area: CompartmentId,
    now: impl Iterator<Item = &'a DeviceId>,
    then: impl Iterator<Item = &'a DeviceId>,
    rights: impl Fn(&DeviceId) -> (Option<Right>, Option<Right>),
) {
    let devices: BTreeSet<&DeviceId> = now.chain(then).collect();
    changes.extend(devices.into_iter().filter_map(|device| {
        let (before, after) = rights(device);
        (before != after).then_some(RightChange { area, device: *device, before, after })
    }));
}

#[cfg(test)]
mod tests {
    use tearline_crdt::id::Incarnation;

    use super::*;

    #[test]
    fn of_more_logs_than_one_statement_names_the_longest_are_kept() {
        let log = |n: u64| LogId {
            compartment: CompartmentId([1; 32]),
            class: Class::Routine,
            device: DeviceId([2; 32]),
            incarnation: Incarnation(n),
        };
        let kept = |n: u64| Kept::all(log(n), n, Some((EntryId([3; 32]), None)));
        let limit = MARKS_MAX as u64;
        let mut all: Vec<Kept> = (1..=limit).map(kept).collect();
        assert_eq!(keep_what_fits(&mut all), 0);
        assert!(all.iter().all(|one| one.mark().is_some()));
        let mut all: Vec<Kept> = (0..limit + 3).map(kept).collect();
        assert_eq!(keep_what_fits(&mut all), 2, "a log of which nothing is kept needs no mark");
        let marks: Vec<Mark> = all.iter().filter_map(Kept::mark).collect();
        assert_eq!(marks.iter().map(|mark| mark.count).min(), Some(3));
        assert!(Marks::of(marks).is_some());
    }
}
