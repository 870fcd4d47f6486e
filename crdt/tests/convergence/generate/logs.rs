//! Writing to logs, honestly and not, and naming what they hold.

use std::collections::BTreeSet;
use std::rc::Rc;

use tearline_crdt::codec::Write as _;
use tearline_crdt::hash::sha256;
use tearline_crdt::id::{Class, CompartmentId, DeviceId, EntryId, Incarnation, LogId};
use tearline_crdt::statement::{Mark, Marks, Statement};

use super::{Actor, Draft};
use crate::world::{Item, Log, entry_id};

impl Draft {
    /// Writes a statement to the author's authority log in the area.
    pub(super) fn say(&mut self, author: Actor, area: CompartmentId, what: Statement) -> EntryId {
        self.say_with(author, area, what, None, BTreeSet::new())
    }

    /// The same with a payload or with boxes.
    pub(super) fn say_with(
        &mut self,
        author: Actor,
        area: CompartmentId,
        statement: Statement,
        payload: Option<Vec<u8>>,
        boxes: BTreeSet<DeviceId>,
    ) -> EntryId {
        self.written += 1;
        let log = self.log(author, area, Class::Authority);
        self.append(log, |id| Item { id, statement: Some(statement), payload, boxes })
    }

    /// Writes an entry that says nothing here.
    pub(super) fn write(&mut self, author: Actor, area: CompartmentId) -> EntryId {
        let class = if self.rng.chance(50) { Class::Routine } else { Class::Flash };
        let log = self.log(author, area, class);
        self.append(log, |id| Item { id, statement: None, payload: None, boxes: BTreeSet::new() })
    }

    /// The log to which the author writes: mostly of its latest life.
    fn log(&mut self, author: Actor, compartment: CompartmentId, class: Class) -> LogId {
        let device = author.id();
        let lives = self.lives.entry(device).or_insert_with(|| vec![Incarnation(100)]).clone();
        let latest = lives.last().copied().unwrap_or_default();
        let incarnation = if self.rng.chance(85) { latest } else { self.rng.pick(&lives) };
        LogId { compartment, class, device, incarnation }
    }

    /// A new life of a device. Honest ones are random; a thief's may be less than all before.
    pub(super) fn new_life(&mut self, author: Actor) -> Incarnation {
        let incarnation = Incarnation(self.rng.below(1_000) as u64);
        self.lives.entry(author.id()).or_insert_with(|| vec![Incarnation(100)]).push(incarnation);
        incarnation
    }

    fn append(&mut self, id: LogId, item: impl FnOnce(EntryId) -> Item) -> EntryId {
        let log = self.logs.entry(id).or_insert_with(|| Log { id, branches: vec![Vec::new()] });
        let branch = if self.rng.chance(50) { 0 } else { self.rng.below(log.branches.len()) };
        let branch_items = &mut log.branches[branch];
        let entry = entry_id(&id, branch_items.len() as u64, branch);
        branch_items.push(Rc::new(item(entry)));
        entry
    }

    /// Forks a log: another branch begins somewhere in it.
    pub(super) fn fork(&mut self) {
        let logs: Vec<LogId> = self.logs.keys().copied().collect();
        let authority = self.rng.chance(60);
        let logs: Vec<LogId> =
            logs.into_iter().filter(|log| (log.class == Class::Authority) == authority).collect();
        let Some(id) = self.rng.one(&logs).copied() else { return };
        self.fork_log(id);
    }

    /// Forks this log near its end.
    pub(super) fn fork_log(&mut self, id: LogId) {
        let Some(log) = self.logs.get_mut(&id) else { return };
        if log.branches.len() > 2 {
            return;
        }
        let from = self.rng.below(log.branches.len());
        let len = log.branches[from].len();
        let at = len.saturating_sub(self.rng.within(0, 3));
        let shared = log.branches[from][..at].to_vec();
        log.branches.push(shared);
        // Both go on, so that there is a fork.
        let n = log.branches.len() - 1;
        let class = id.class;
        for branch in [n, from] {
            let items = &mut log.branches[branch];
            if branch == n || items.len() == at {
                let entry = entry_id(&id, items.len() as u64, branch);
                let statement = Statement::Unknown { kind: 99, bytes: Vec::new() };
                items.push(Rc::new(Item {
                    id: entry,
                    statement: (class == Class::Authority).then_some(statement),
                    payload: None,
                    boxes: BTreeSet::new(),
                }));
            }
        }
    }

    /// The logs of a device.
    pub(super) fn logs_of(&self, device: DeviceId) -> Vec<LogId> {
        self.logs.keys().filter(|log| log.device == device).copied().collect()
    }

    /// Marks of the logs of some devices: of some nothing, of most all that is there, of others less,
    /// more, another branch, or what never was.
    pub(super) fn marks(&mut self, of: &[Actor]) -> Vec<Mark> {
        let careful = self.rng.chance(60);
        let mut marks = Vec::new();
        let logs: Vec<LogId> = of.iter().flat_map(|actor| self.logs_of(actor.id())).collect();
        for log in logs {
            let Some(branches) = self.logs.get(&log).map(|log| log.branches.clone()) else {
                continue;
            };
            let branch = branches.get(self.rng.below(branches.len()));
            let Some(branch) = branch.filter(|branch| !branch.is_empty()) else { continue };
            let all = branch.len();
            let exact = |count: usize| Mark {
                log: log.digest(),
                count: count as u64,
                head: branch[count - 1].id,
            };
            let garbage = EntryId([0xee; 32]);
            let mark = match if careful { 9 } else { self.rng.below(16) } {
                0..=2 => continue,
                3..=5 => exact(self.rng.within(1, all)),
                6 => Mark { head: garbage, ..exact(self.rng.within(1, all)) },
                7 => Mark { count: all as u64 + 3, head: garbage, ..exact(all) },
                8 => Mark { count: all as u64 + 1, head: garbage, ..exact(all) },
                _ => exact(all),
            };
            marks.push(mark);
        }
        marks
    }

    /// A mark of one of a log's branches, near its end.
    pub(super) fn branch_mark(&mut self, log: LogId) -> Option<Mark> {
        let branches = self.logs.get(&log)?.branches.clone();
        let branch = self.rng.one(&branches)?;
        let (len, less) = (branch.len(), self.rng.below(2));
        let count = len.saturating_sub(less).max(1);
        Some(Mark { log: log.digest(), count: count as u64, head: branch.get(count - 1)?.id })
    }

    /// Marks of all that there is of the first branches of some devices' logs.
    pub(super) fn exact_marks(&self, of: &[Actor]) -> Vec<Mark> {
        let logs = of.iter().flat_map(|actor| self.logs_of(actor.id()));
        let marks = logs.filter_map(|log| {
            let branch = self.logs.get(&log)?.branches.first()?;
            let (count, head) = (branch.len() as u64, branch.last()?.id);
            Some(Mark { log: log.digest(), count, head })
        });
        let mut marks: Vec<Mark> = marks.collect();
        marks.sort_unstable();
        marks
    }

    /// Marks as a statement has them: in it, or in its payload, which may be missing or another.
    pub(super) fn state(&mut self, mut marks: Vec<Mark>) -> (Marks, Option<Vec<u8>>) {
        marks.sort_unstable();
        marks.dedup_by_key(|mark| mark.log);
        if self.rng.chance(90) {
            return (Marks::Inline(marks), None);
        }
        let mut body = Vec::new();
        body.number(marks.len() as u64);
        for mark in &marks {
            body.raw(&mark.log).number(mark.count).raw(&mark.head.0);
        }
        let wide = Marks::Wide(sha256(&body));
        match self.rng.below(6) {
            0 => (wide, None),
            1 => (wide, Some(b"other".to_vec())),
            _ => (wide, Some(body)),
        }
    }
}
