//! Histories: everything that was ever written in one coalition, forks and all, and what a peer
//! holds of it.
//!
//! A log is a set of chains from its first entry on; an honest author's has one, a Byzantine
//! author's several that share their beginnings. An entry of class authority carries a statement;
//! of any other entry only its place matters here. `docs/protocol/authority.md` §1 has the words.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use tearline_crdt::charter::Charter;
use tearline_crdt::hash::sha256;
use tearline_crdt::id::{CoalitionId, CompartmentId, DeviceId, EntryId, LogId};
use tearline_crdt::statement::{Opening, Statement};

/// An entry of a log.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) id: EntryId,
    /// In logs of class authority.
    pub(crate) statement: Option<Statement>,
    /// The marks of a wide statement.
    pub(crate) payload: Option<Vec<u8>>,
    /// The devices for which a seal has boxes.
    pub(crate) boxes: BTreeSet<DeviceId>,
}

/// One log, with all its branches.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) id: LogId,
    /// Whole chains; those of one log differ from some position on.
    pub(crate) branches: Vec<Vec<Rc<Item>>>,
}

/// All that was written.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) seed: u64,
    pub(crate) charter: Charter,
    pub(crate) openings: Vec<Opening>,
    pub(crate) logs: Vec<Log>,
    /// Geneses of records.
    pub(crate) records: BTreeSet<EntryId>,
}

/// A statement at its place.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) log: LogId,
    pub(crate) seq: u64,
    pub(crate) item: Rc<Item>,
}

/// What a peer holds (§1).
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) charter: Charter,
    pub(crate) openings: Vec<Opening>,
    pub(crate) records: BTreeSet<EntryId>,
    /// All statements: those of the branches held, and loose ones.
    pub(crate) statements: BTreeMap<EntryId, Placed>,
    /// One chain of each log.
    pub(crate) branches: BTreeMap<LogId, Vec<EntryId>>,
    /// The lowest proven fork of each log that has one.
    pub(crate) forks: BTreeMap<LogId, u64>,
}

/// Which branch of each forked log a peer holds, by its place in [`Log::branches`].
pub(crate) type Choice = BTreeMap<LogId, usize>;

impl Item {
    /// The statement, where there is one.
    pub(crate) fn statement(&self) -> &Statement {
        const NOTHING: &Statement = &Statement::Unknown { kind: 99, bytes: Vec::new() };
        self.statement.as_ref().unwrap_or(NOTHING)
    }
}

impl Log {
    /// The lowest position at which two branches differ.
    pub(crate) fn fork(&self) -> Option<u64> {
        let pairs = self.branches.iter().enumerate().flat_map(|(n, one)| {
            self.branches.iter().skip(n + 1).filter_map(move |other| {
                let both = one.iter().zip(other.iter());
                both.enumerate().find(|(_, (a, b))| a.id != b.id).map(|(seq, _)| seq as u64)
            })
        });
        pairs.min()
    }

    /// The branch that has this entry at this position.
    pub(crate) fn branch_with(&self, seq: u64, id: EntryId) -> Option<usize> {
        let seq = usize::try_from(seq).ok()?;
        self.branches.iter().position(|branch| branch.get(seq).is_some_and(|item| item.id == id))
    }
}

impl History {
    /// The coalition.
    pub(crate) fn coalition(&self) -> CoalitionId {
        self.charter.id()
    }

    /// The area that is the coalition itself.
    pub(crate) fn coalition_area(&self) -> CompartmentId {
        CompartmentId(self.coalition().0)
    }

    /// What a peer holds that has received everything: of each log the branch chosen (the first by
    /// default), and of the others their narrowing statements.
    pub(crate) fn held(&self, choice: &Choice) -> Held {
        let mut held = Held {
            charter: self.charter.clone(),
            openings: self.openings.clone(),
            records: self.records.clone(),
            statements: BTreeMap::new(),
            branches: BTreeMap::new(),
            forks: BTreeMap::new(),
        };
        for log in &self.logs {
            let chosen = choice.get(&log.id).copied().unwrap_or(0);
            for (n, branch) in log.branches.iter().enumerate() {
                for (seq, item) in branch.iter().enumerate() {
                    let Some(statement) = &item.statement else { continue };
                    if n == chosen || travels_loose(statement) {
                        held.insert(&log.id, seq as u64, item);
                    }
                }
            }
            let ids: Vec<_> = log.branches[chosen].iter().map(|item| item.id).collect();
            if !ids.is_empty() {
                held.branches.insert(log.id, ids);
            }
            if let Some(fork) = log.fork() {
                held.forks.insert(log.id, fork);
            }
        }
        held
    }
}

impl Held {
    /// An empty peer of a coalition.
    pub(crate) fn nothing(history: &History) -> Self {
        let none = History { logs: Vec::new(), ..history.clone() };
        none.held(&Choice::new())
    }

    /// Adds a statement.
    pub(crate) fn insert(&mut self, log: &LogId, seq: u64, item: &Rc<Item>) {
        self.statements.insert(item.id, Placed { log: *log, seq, item: Rc::clone(item) });
    }

    /// `fork(L)` of §1.
    pub(crate) fn fork(&self, log: &LogId) -> u64 {
        self.forks.get(log).copied().unwrap_or(u64::MAX)
    }

    /// The entry held at a position.
    pub(crate) fn at(&self, log: &LogId, seq: u64) -> Option<EntryId> {
        self.branches.get(log)?.get(usize::try_from(seq).ok()?).copied()
    }

    /// How many entries of a log are held.
    pub(crate) fn len(&self, log: &LogId) -> u64 {
        self.branches.get(log).map_or(0, |branch| branch.len() as u64)
    }
}

/// Whether a statement reaches peers that hold another branch of its log: what takes away, and what
/// needs nobody's log to be believed.
pub(crate) fn travels_loose(statement: &Statement) -> bool {
    let by_itself =
        matches!(statement, Statement::Desk(_) | Statement::RootAct(_) | Statement::Propose { .. });
    by_itself || statement.is_narrowing()
}

/// The id of an entry that only this level knows: unique by log, position and branch.
pub(crate) fn entry_id(log: &LogId, seq: u64, branch: usize) -> EntryId {
    let mut bytes = log.encode().to_vec();
    bytes.extend(seq.to_be_bytes());
    bytes.extend((branch as u64).to_be_bytes());
    EntryId(sha256(&bytes))
}
