//! Who may do what, and what counts: the answers that follow from all statements of a coalition and
//! its compartments.
//!
//! Statements are a set that only grows. Every answer is a pure function of that set and of the
//! branches that are held of logs: the order in which they came decides nothing. Statements that
//! take away are judged by *positive* reach, which ignores all taking away; statements that give
//! count only at places that count. So nobody undoes a revocation by losing or forking his log, and
//! the evaluation has no cycle. The rules, by number, are in `docs/protocol/authority.md`; an
//! evaluator written from that page alone is compared with this one in `tests/convergence`.
//!
//! [`Coalition`] and [`Compartment`] take statements by `insert`, which checks what can be checked
//! of one alone, and draw their answers in `evaluate`, to be called once after a batch.

mod adopting;
mod closure;
mod compartment;
mod ending;
mod fact;
mod fault;
mod gathered;
mod history;
mod positive;
mod reach;
mod readmitted;
mod refusal;
mod route;
mod steward;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::charter::{Charter, Member};
use crate::id::{
    AgencyNo, CoalitionId, CompartmentId, DeviceId, EntryId, EpochId, Incarnation, LogId,
    StatementId,
};
use crate::keys::RootKey;
use crate::statement::{Act, Audience, Mark, Right, Statement};

pub use adopting::Adoption;
pub use closure::{Author, Cause, Closure, Limit};
pub use compartment::{Compartment, EpochState, Unclean};
pub use fact::{Logs, Place};
pub use fault::StatementFault;
pub use reach::{Life, Seat, Standing};
pub use refusal::Refusal;
pub use route::{Route, Uncovered};
pub use steward::{Asked, RecordState};

use closure::{Limits, closures, closures_by_acts};
use fact::{Fact, Remembered};
use gathered::Gathered;
use positive::{Devices, Positive};
use reach::{Reach, Source, Voters, named};
use readmitted::Readmitted;

/// What became of a statement, for those who ask why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StatementVerdict {
    /// It counts.
    Counts,
    /// Its place is quarantined.
    Quarantined(Cause),
    /// Its issuer has no standing that lets it say this.
    NoStanding,
    /// A grant that no route of its issuer covers.
    Uncovered(Uncovered),
    /// An act that waits for approvals.
    Waits {
        /// Founders whose desks approved.
        approved: usize,
        /// Founders that are needed.
        needed: usize,
    },
    /// A grant for a device that is not of its issuer's agency, or whose card no desk of it sponsors.
    OtherAgency,
    /// It names a device that its issuer is not above, or a record of which it is no steward.
    NotAbove,
    /// It is about a record whose beginning is not held, so that nobody knows whose it is.
    NoRecord,
    /// It restricted a record until it was lifted.
    Lifted,
    /// It counts, and nobody writes under the epoch that it makes or seals.
    Unclean(Unclean),
    /// A grant that names an incarnation, by who is no desk.
    NoDesk,
}

impl fmt::Display for StatementVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counts => f.write_str("it counts"),
            Self::Quarantined(cause) => write!(f, "it is quarantined: {cause}"),
            Self::NoStanding => f.write_str("its issuer has no standing to say it"),
            Self::Uncovered(Uncovered::MayNotGrant) => {
                f.write_str("its issuer may not grant, or not grant on")
            }
            Self::Uncovered(Uncovered::TooDeep) => {
                f.write_str("its issuer's right has passed through as many hands as it may")
            }
            Self::Uncovered(Uncovered::Widened) => f.write_str("it gives more than its issuer has"),
            Self::Waits { approved, needed } => write!(f, "{approved} of {needed} signed"),
            Self::OtherAgency => f.write_str("it is for a device of another agency"),
            Self::NotAbove => f.write_str("its issuer is not above what it is about"),
            Self::NoRecord => f.write_str("the record that it is about is not here"),
            Self::Lifted => f.write_str("it counted until it was lifted"),
            Self::Unclean(why) => write!(f, "nobody writes under its epoch: {why}"),
            Self::NoDesk => f.write_str("it names a life of a device, which only desks do"),
        }
    }
}

/// A coalition, as its statements make it.
#[derive(Clone, Debug)]
pub struct Coalition {
    id: CoalitionId,
    charter: Charter,
    facts: BTreeMap<EntryId, Fact>,
    positive: Positive,
    readmitted: Readmitted,
    counting: Reach,
    closures: Vec<Arc<Closure>>,
    limits: Limits,
    counted: BTreeSet<EntryId>,
}

impl Coalition {
    /// A coalition with no more than its charter.
    #[must_use]
    pub fn new(charter: Charter) -> Self {
        let mut coalition = Self {
            id: charter.id(),
            charter,
            facts: BTreeMap::new(),
            positive: Positive::default(),
            readmitted: Readmitted::default(),
            counting: Reach::default(),
            closures: Vec::new(),
            limits: Limits::default(),
            counted: BTreeSet::new(),
        };
        coalition.evaluate(&NoLogs);
        coalition
    }

    /// The coalition's id.
    #[must_use]
    pub const fn id(&self) -> CoalitionId {
        self.id
    }

    /// The name under which the coalition's own log is kept and synced.
    #[must_use]
    pub const fn compartment(&self) -> CompartmentId {
        CompartmentId(self.id.0)
    }

    /// The charter.
    #[must_use]
    pub const fn charter(&self) -> &Charter {
        &self.charter
    }

    /// The agencies that belong to it, by number; retired ones, too, whose records remain.
    #[must_use]
    pub const fn seats(&self) -> &BTreeMap<AgencyNo, Seat> {
        &self.counting.seats
    }

    /// The agencies, by number.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.counting.seats.values().map(|seat| &seat.member)
    }

    /// An agency.
    #[must_use]
    pub fn member(&self, no: AgencyNo) -> Option<&Member> {
        self.counting.seats.get(&no).map(|seat| &seat.member)
    }

    /// Whether an act in force has retired an agency, and no admission since brought it back.
    #[must_use]
    pub fn is_retired(&self, agency: AgencyNo) -> bool {
        let cited: BTreeSet<StatementId> = self
            .counting
            .acts
            .values()
            .filter_map(|held| match &held.act {
                Act::Admit { member, cites } if member.no == agency => Some(cites),
                _ => None,
            })
            .flatten()
            .copied()
            .collect();
        self.counting.acts.iter().any(|(id, held)| {
            matches!(held.act, Act::Retire { agency: retired, .. } if retired == agency)
                && !cited.contains(id)
        })
    }

    /// The devices that have a standing by what counts; closed ones, too.
    #[must_use]
    pub const fn devices(&self) -> &BTreeMap<DeviceId, Standing> {
        &self.counting.devices
    }

    /// The standing of a device whose standing was not ended.
    #[must_use]
    pub fn live(&self, device: &DeviceId) -> Option<&Standing> {
        self.counting.devices.get(device).filter(|_| self.limits.is_live(device))
    }

    /// The highest right that a live device has in an incarnation for which no closure is active.
    #[must_use]
    pub fn right(&self, device: &DeviceId) -> Option<Right> {
        let standing = self.counting.devices.get(device)?;
        self.limits.open(device, standing).map(|route| route.right).max()
    }

    /// The highest right that a device has in one incarnation, if no closure is active for that.
    #[must_use]
    pub fn right_in(&self, device: &DeviceId, life: Incarnation) -> Option<Right> {
        let standing = self.counting.devices.get(device);
        standing.filter(|_| self.limits.is_open(&(*device, life)))?.right_in(life)
    }

    /// The closures of a device.
    pub fn closures_of(&self, device: &DeviceId) -> impl Iterator<Item = &Closure> {
        self.limits.closures_of(device)
    }

    /// Those of them that no citation lifts for one life of it.
    pub fn active_in(
        &self,
        device: &DeviceId,
        life: Incarnation,
    ) -> impl Iterator<Item = &Closure> {
        self.limits.active_in(device, life)
    }

    /// All closures.
    #[must_use]
    pub fn closures(&self) -> &[Arc<Closure>] {
        &self.closures
    }

    /// Whether a citation on this one's word lifts a closure, by what counts.
    #[must_use]
    pub fn may_lift(&self, by: Author, closure: &Closure) -> bool {
        let cited = |no| self.counting.permitted(no).contains(&closure.id);
        by.overrides(closure.author)
            || closure.author == Author::Whole && by.agency().is_some_and(cited)
    }

    /// Whether a device would lose its standing if these roots of an agency were replaced; what it says
    /// after that was drawn up would not count then, its approval of the act among it.
    #[must_use]
    pub fn stands_behind(
        &self,
        device: &DeviceId,
        agency: AgencyNo,
        roots: &[RootKey],
        logs: &dyn Logs,
    ) -> bool {
        let facts: Vec<&Fact> = self.facts.values().collect();
        orphans(&facts, &self.positive, (agency, roots), logs).contains(device)
    }

    /// The number for an agency that a founder lets in: above all that are taken, and of those the
    /// founder's own, so that two founders who do not hear of each other give no number twice. `None` if
    /// none is left.
    #[must_use]
    pub fn next_agency(&self, founder: AgencyNo) -> Option<AgencyNo> {
        let founders = &self.charter.founders;
        let place = founders.iter().position(|member| member.no == founder).unwrap_or(0);
        let last = self.positive.roots.keys().next_back().map_or(0, |no| no.0);
        let own = |no: &u16| usize::from(*no) % founders.len().max(1) == place;
        (last.checked_add(1)?..=u16::MAX).find(own).map(AgencyNo)
    }

    /// Adds a statement. Returns whether it is new and may have consequences, which
    /// [`Coalition::evaluate`] draws. Its signatures are checked here, once.
    pub fn insert(
        &mut self,
        place: Place,
        statement: Statement,
        payload: Option<&[u8]>,
    ) -> Result<bool, StatementFault> {
        match &statement {
            Statement::Desk(certificate) => fault::of_certificate(certificate)?,
            Statement::Grant { audience: Audience::Device { card, .. }, .. } => card.check()?,
            Statement::RootAct(act) => fault::of_root_act(act, &self.id)?,
            Statement::Open(_)
            | Statement::Epoch(_)
            | Statement::Seal { .. }
            | Statement::Describe { .. }
            | Statement::Erase(_)
            | Statement::EraseAlso { .. }
            | Statement::Restrict { .. }
            | Statement::Hold { .. }
            | Statement::Lift { .. }
            | Statement::Recall { .. } => return Err(StatementFault::Misplaced),
            Statement::Found(_) | Statement::Unknown { .. } => return Ok(false),
            _ => {}
        }
        Ok(Fact::new(place, statement, payload).join(&mut self.facts))
    }

    /// Draws all answers anew. Returns whether any changed.
    pub fn evaluate(&mut self, logs: &dyn Logs) -> bool {
        let logs = &Remembered::new(logs);
        Fact::find(&mut self.facts, logs);
        let facts: Vec<&Fact> = self.facts.values().collect();
        let source = Source { id: self.id, charter: &self.charter, facts: &facts };
        let positive = Positive::new(&source, &|fact| is_before_fork(fact, logs));
        let early: Vec<&Fact> =
            facts.iter().copied().filter(|fact| is_before_fork(fact, logs)).collect();
        let readmitted = Readmitted::new(&early, &positive.devices, &positive);
        let orphans = |agency, replaced: &[_]| orphans(&facts, &positive, (agency, replaced), logs);
        let mut closures = closures(&facts, &positive.devices, &positive, &self.id);
        closures.extend(closures_by_acts(&positive, &orphans));
        let mut limits = Limits::new(closures.iter().cloned(), None);
        let proven = facts.iter().filter(|fact| is_self_proving(&fact.statement));
        let mut counted: BTreeSet<EntryId> = proven.map(|fact| fact.place.id).collect();
        let mut before = Reach::default();
        let counting = loop {
            let drawn = (&positive, &readmitted);
            let counting = Reach::next_round(&source, drawn, &before, &|fact| {
                counted.contains(&fact.place.id)
            });
            let own = (&counting, &readmitted);
            limits.count(Gathered::new(&facts, &counted, &counting, own, &self.id));
            let mut more = BTreeSet::new();
            let area = Scope { reach: &counting, limits: &limits, logs, coalition: true };
            let mut places: BTreeMap<LogId, Limit> = BTreeMap::new();
            for fact in &facts {
                if !counted.contains(&fact.place.id) && area.counts(fact, &mut places) {
                    more.insert(fact.place.id);
                }
            }
            if more.is_empty() && counting.acts == before.acts {
                break counting;
            }
            counted.extend(more);
            before = counting;
        };
        let changed = positive != self.positive
            || readmitted != self.readmitted
            || counting != self.counting
            || closures != self.closures
            || counted != self.counted;
        self.positive = positive;
        self.readmitted = readmitted;
        self.counting = counting;
        self.closures = closures;
        self.limits = limits;
        self.counted = counted;
        changed
    }

    /// How far a log of the coalition counts.
    #[must_use]
    pub fn limit(&self, log: &LogId, logs: &dyn Logs) -> Limit {
        let logs = Remembered::new(logs);
        self.limits.of(log, self.counting.devices.get(&log.device), &logs, true, None)
    }

    /// Entries of a log of the coalition below this position an adoption lets count, whatever `closer` ends.
    #[must_use]
    pub fn adopted_over(&self, log: &LogId, closer: Author) -> u64 {
        self.limits.adopted_over(log, self.counting.devices.get(&log.device), closer)
    }

    /// Whether entries of a device's coalition log are worth storing: whether it could ever count. A
    /// desk that the set does not know yet introduces itself by the certificate in its first entry.
    #[must_use]
    pub fn admits(&self, device: &DeviceId, first: Option<&Statement>) -> bool {
        if self.positive.devices.contains(device) {
            return true;
        }
        matches!(first, Some(Statement::Desk(certificate))
            if certificate.desk.device == *device
                && self.positive.agencies_of(&certificate.root).next().is_some()
                && certificate.holds())
    }

    /// Whether a device has no reach here, by all that is held.
    #[must_use]
    pub fn is_stranger(&self, device: &DeviceId) -> bool {
        !self.positive.devices.contains(device)
    }

    /// The acts that are proposed, with the founders who approved each, by what counts for it, and
    /// whether it is in force.
    #[must_use]
    pub fn proposals(&self) -> BTreeMap<StatementId, Proposal> {
        let facts: Vec<&Fact> = self.facts.values().collect();
        let source = Source { id: self.id, charter: &self.charter, facts: &facts };
        let widely = Voters::new(&source, &self.counting.acts);
        let ever = Voters::new(&source, &self.positive.acts);
        let mut proposals: BTreeMap<StatementId, Proposal> = BTreeMap::new();
        for fact in self.facts.values() {
            if let Statement::Propose { number, act } = &fact.statement {
                let id = act.id(&self.id, *number);
                let proposal = proposals.entry(id).or_insert_with(|| {
                    let held = self.counting.acts.get(&id);
                    let counting = widely.approved(&id, &|f| self.counted.contains(&f.place.id));
                    let every = || ever.approved(&id, &|_| true);
                    let approved = if act.is_narrowing() { every() } else { counting.clone() };
                    let gives = matches!(act, Act::ReplaceRoot { .. });
                    Proposal {
                        act: act.clone(),
                        proposers: BTreeSet::new(),
                        marks: Vec::new(),
                        approved,
                        in_force: held.is_some(),
                        gives_root: gives.then(|| held.is_some_and(|held| held.widely)),
                        counting,
                    }
                });
                proposal.proposers.insert(fact.issuer());
                if proposal.marks.is_empty() {
                    proposal.marks.extend(fact.marks.iter());
                }
            }
        }
        proposals
    }

    /// Whether an act in force has retired an epoch.
    #[must_use]
    pub fn is_epoch_retired(&self, epoch: &EpochId) -> bool {
        let mut acts = self.counting.acts.values();
        acts.any(|held| matches!(&held.act, Act::RetireEpoch { epoch: of } if of == epoch))
    }

    /// The statements that are held, by entry id.
    pub fn statements(&self) -> impl Iterator<Item = (&Place, &Statement)> {
        self.facts.values().map(|fact| (&fact.place, &fact.statement))
    }

    /// What became of a statement of the coalition's logs; `None` if it is not held.
    #[must_use]
    pub fn verdict(&self, id: &EntryId, logs: &dyn Logs) -> Option<StatementVerdict> {
        let fact = self.facts.get(id)?;
        let scope = Scope { reach: &self.counting, limits: &self.limits, logs, coalition: true };
        let act = match &fact.statement {
            Statement::Propose { number, act } => Some(act.id(&self.id, *number)),
            Statement::Approve { act } => Some(*act),
            _ => None,
        };
        if let Some(act) = act {
            let proposals = self.proposals();
            return Some(match proposals.get(&act) {
                Some(proposal) if proposal.in_force => StatementVerdict::Counts,
                proposal => StatementVerdict::Waits {
                    approved: proposal.map_or(0, |proposal| proposal.approved.len()),
                    needed: usize::from(self.charter.quorum),
                },
            });
        }
        if fact.statement.is_narrowing() {
            let counts = match &fact.statement {
                // Any root can sign the same act: it has one name, and counts by who may do it.
                Statement::RootAct(root) => self.closures.iter().any(|closure| {
                    closure.id == root.id(&self.id)
                        && self
                            .positive
                            .agencies_of(&root.root)
                            .any(|agency| closure.author == Author::Root(agency))
                }),
                _ => self.closures.iter().any(|closure| closure.id == fact.id()),
            };
            return Some(if counts {
                StatementVerdict::Counts
            } else {
                StatementVerdict::NotAbove
            });
        }
        match scope.verdict(fact, self.counted.contains(id)) {
            StatementVerdict::Counts if self.is_for_another_agency(fact) => {
                Some(StatementVerdict::OtherAgency)
            }
            verdict => Some(verdict),
        }
    }

    /// Whether a grant reaches nobody: its device is not of its issuer's agency, or no desk of that
    /// sponsors it.
    fn is_for_another_agency(&self, fact: &Fact) -> bool {
        let Statement::Grant { audience: Audience::Device { agency, card }, .. } = &fact.statement
        else {
            return false;
        };
        let devices = &self.counting.devices;
        let own = devices.get(&fact.issuer()).is_some_and(|by| by.agency == *agency);
        let sponsor = devices.get(&DeviceId(card.sponsor));
        !own || !sponsor.is_some_and(|desk| desk.desk && desk.agency == *agency)
    }
}

/// An act that a founder proposed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proposal {
    /// The act.
    pub act: Act,
    /// The devices that said it first or again; any device may.
    pub proposers: BTreeSet<DeviceId>,
    /// What it keeps or adopts, if the list of it is here.
    pub marks: Vec<Mark>,
    /// The founders whose desks approved.
    pub approved: BTreeSet<AgencyNo>,
    /// Those whose approvals are at places that count.
    pub counting: BTreeSet<AgencyNo>,
    /// Whether they are enough.
    pub in_force: bool,
    /// Of an act that replaces roots, whether it gives the new one: it takes the others by all approvals,
    /// and gives that one by those which count.
    pub gives_root: Option<bool>,
}

/// What judges the widening statements of an area.
struct Scope<'a> {
    reach: &'a Reach,
    limits: &'a Limits,
    logs: &'a dyn Logs,
    coalition: bool,
}

impl Scope<'_> {
    /// Whether a statement counts by what counts already.
    fn counts(&self, fact: &Fact, places: &mut BTreeMap<LogId, Limit>) -> bool {
        if is_self_proving(&fact.statement) {
            return true;
        }
        let log = fact.place.log;
        let standing = self.reach.devices.get(&log.device);
        let limit = *places
            .entry(log)
            .or_insert_with(|| self.limits.of(&log, standing, self.logs, self.coalition, None));
        Self::stands(fact, limit) && Self::may_say(fact, standing).is_ok()
    }

    /// Whether a place counts: it is below the limit of the branch that is held, and of no other.
    const fn stands(fact: &Fact, limit: Limit) -> bool {
        fact.held && fact.place.seq < limit.next
    }

    fn may_say(fact: &Fact, standing: Option<&Standing>) -> Result<(), StatementVerdict> {
        let standing = standing.ok_or(StatementVerdict::NoStanding)?;
        let life = fact.place.log.incarnation;
        match &fact.statement {
            Statement::Grant { audience, reopening, .. }
                if !standing.desk && named(audience, reopening.as_ref()).is_some() =>
            {
                Err(StatementVerdict::NoDesk)
            }
            Statement::Grant { right, caveats, .. } => {
                let routes = standing.routes_in(life).map(|route| route.grant(*right, caveats));
                let refusals: Result<Vec<Uncovered>, ()> =
                    routes.map(|route| route.err().ok_or(())).collect();
                match refusals {
                    Err(()) => Ok(()),
                    Ok(refusals) => Err(refusals
                        .into_iter()
                        .max()
                        .map_or(StatementVerdict::NoStanding, StatementVerdict::Uncovered)),
                }
            }
            Statement::Adopt { .. } if !standing.desk => Err(StatementVerdict::NoStanding),
            Statement::Epoch(_) | Statement::Seal { .. } | Statement::Describe { .. }
                if standing.right_in(life) < Some(Right::Write) =>
            {
                Err(StatementVerdict::NoStanding)
            }
            _ => Ok(()),
        }
    }

    fn verdict(&self, fact: &Fact, counted: bool) -> StatementVerdict {
        if counted {
            return StatementVerdict::Counts;
        }
        let standing = self.reach.devices.get(&fact.issuer());
        let limit = self.limits.of(&fact.place.log, standing, self.logs, self.coalition, None);
        match limit.cause {
            Some(Cause::Standing) => StatementVerdict::NoStanding,
            Some(cause) if !Self::stands(fact, limit) => StatementVerdict::Quarantined(cause),
            _ => Self::may_say(fact, standing).err().unwrap_or(StatementVerdict::NotAbove),
        }
    }
}

/// Whether a statement counts by who signed it, whoever wrote it down.
const fn is_self_proving(statement: &Statement) -> bool {
    matches!(statement, Statement::Desk(_) | Statement::RootAct(_))
}

/// Whether a statement decides positive reach: it stands before any fork of its log, since what peers
/// hold beyond one may differ, or proves itself.
fn is_before_fork(fact: &Fact, logs: &dyn Logs) -> bool {
    is_self_proving(&fact.statement)
        || logs.forked_at(&fact.place.log).is_none_or(|fork| fact.place.seq < fork)
}

/// The devices of an agency that would have no route as its if these roots had certified nothing.
fn orphans(
    facts: &[&Fact],
    positive: &Positive,
    (agency, roots): (AgencyNo, &[RootKey]),
    logs: &dyn Logs,
) -> BTreeSet<DeviceId> {
    let stays = |fact: &&&Fact| match &fact.statement {
        Statement::Desk(certificate) => !roots.contains(&certificate.root),
        _ => is_before_fork(fact, logs),
    };
    let remaining: Vec<&Fact> = facts.iter().filter(stays).copied().collect();
    let left = Devices::coalition(&positive.roots, &remaining);
    let mut devices = positive.devices.of_agency(agency);
    devices.retain(|device| left.of(device, agency).is_none());
    devices
}

/// Nothing is held yet.
struct NoLogs;

impl Logs for NoLogs {
    fn held(&self, _log: &LogId) -> u64 {
        0
    }

    fn id_at(&self, _log: &LogId, _seq: u64) -> Option<EntryId> {
        None
    }

    fn forked_at(&self, _log: &LogId) -> Option<u64> {
        None
    }

    fn proven_at(&self, _log: &LogId) -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests;
