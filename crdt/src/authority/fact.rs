//! Facts: statements as they are held, each at its place, and what is asked of logs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::hash::Digest;
use crate::id::{DeviceId, EntryId, LogId, StatementId};
use crate::statement::{Act, Mark, Statement};

use super::is_self_proving;

/// Where a statement stands.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// The log; its device is the issuer.
    pub log: LogId,
    /// The position.
    pub seq: u64,
    /// The entry.
    pub id: EntryId,
}

/// What is held of logs, as far as verdicts ask. A replica answers from its logbook.
pub trait Logs {
    /// How many entries of a log are held.
    fn held(&self, log: &LogId) -> u64;
    /// The id of the entry at a position of the branch that is held.
    fn id_at(&self, log: &LogId, seq: u64) -> Option<EntryId>;
    /// From where on entries do not count because the log is proven to be forked: where the segment
    /// begins that holds the lowest proven position, as far as that is held.
    fn forked_at(&self, log: &LogId) -> Option<u64>;
    /// The lowest position that is proven to be forked.
    fn proven_at(&self, log: &LogId) -> Option<u64>;
}

/// Logs that are asked once for each position.
pub(super) struct Remembered<'a> {
    logs: &'a dyn Logs,
    known: RefCell<BTreeMap<LogId, BTreeMap<u64, Option<EntryId>>>>,
}

impl<'a> Remembered<'a> {
    pub(super) const fn new(logs: &'a dyn Logs) -> Self {
        Self { logs, known: RefCell::new(BTreeMap::new()) }
    }
}

impl Logs for Remembered<'_> {
    fn held(&self, log: &LogId) -> u64 {
        self.logs.held(log)
    }

    fn id_at(&self, log: &LogId, seq: u64) -> Option<EntryId> {
        if seq >= self.logs.held(log) {
            return None;
        }
        let mut known = self.known.borrow_mut();
        let known = known.entry(*log).or_default().entry(seq);
        *known.or_insert_with(|| self.logs.id_at(log, seq))
    }

    fn forked_at(&self, log: &LogId) -> Option<u64> {
        self.logs.forked_at(log)
    }

    fn proven_at(&self, log: &LogId) -> Option<u64> {
        self.logs.proven_at(log)
    }
}

/// A statement that is held.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Fact {
    pub(super) place: Place,
    pub(super) statement: Statement,
    /// Its marks, from wherever they travelled.
    pub(super) marks: MarkSet,
    /// Whether it is on the branch that is held. Once it is, it stays while its place counts: that ends
    /// where a fork is, and what is held before a fork is on every branch.
    pub(super) held: bool,
}

impl Fact {
    pub(super) fn new(place: Place, statement: Statement, payload: Option<&[u8]>) -> Self {
        let marks = marks_of(&statement, payload);
        Self { place, statement, marks, held: false }
    }

    /// Joins the facts that are held. Returns whether that tells anything new: a fact may have come
    /// before the list of its marks.
    pub(super) fn join(self, held: &mut BTreeMap<EntryId, Self>) -> bool {
        match held.entry(self.place.id) {
            Entry::Vacant(vacant) => {
                vacant.insert(self);
                true
            }
            Entry::Occupied(mut occupied) => {
                let richer = occupied.get().marks.is_empty() && !self.marks.is_empty();
                if richer {
                    occupied.get_mut().marks = self.marks;
                }
                richer
            }
        }
    }

    /// Asks the logs for those whose place matters and that were not on the branch that is held.
    pub(super) fn find(facts: &mut BTreeMap<EntryId, Self>, logs: &dyn Logs) {
        for fact in facts.values_mut().filter(|fact| !fact.held && fact.needs_place()) {
            let Place { log, seq, id } = &fact.place;
            fact.held = *seq < logs.held(log) && logs.id_at(log, *seq) == Some(*id);
        }
    }

    /// Whether its place may matter. An approval's does where the act gives.
    const fn needs_place(&self) -> bool {
        matches!(self.statement, Statement::Propose { .. } | Statement::Approve { .. })
            || !self.statement.is_narrowing() && !is_self_proving(&self.statement)
    }

    pub(super) const fn issuer(&self) -> DeviceId {
        self.place.log.device
    }

    pub(super) const fn id(&self) -> StatementId {
        StatementId(self.place.id.0)
    }
}

/// Marks by the log's digest.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct MarkSet(BTreeMap<Digest, (u64, EntryId)>);

impl MarkSet {
    pub(super) fn new(marks: Vec<Mark>) -> Self {
        Self(marks.into_iter().map(|mark| (mark.log, (mark.count, mark.head))).collect())
    }

    pub(super) fn get(&self, log: &Digest) -> Option<(u64, EntryId)> {
        self.0.get(log).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Mark> + '_ {
        self.0.iter().map(|(log, (count, head))| Mark { log: *log, count: *count, head: *head })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The marks that a statement names. Of a list that is missing, or another than it names, there are
/// none.
fn marks_of(statement: &Statement, payload: Option<&[u8]>) -> MarkSet {
    let marks = match statement {
        Statement::Revoke { keep: marks, .. } | Statement::Adopt { marks } => Some(marks),
        Statement::RootAct(root) => root.act.marks(),
        Statement::Propose { act, .. } => Act::marks(act),
        _ => None,
    };
    MarkSet::new(marks.map(|marks| marks.resolve(payload)).unwrap_or_default())
}
