//! The changes of a record, and which of them each one builds on.
//!
//! An actor's changes form a line: each builds on the one before. So "all that a change builds on"
//! is one number for each actor, its *clock*: how many of the actor's changes are among them. What
//! a change says of other operations is judged beside exactly those, not beside whatever else
//! happens to be here; so every peer judges alike.

use std::collections::{BTreeMap, BTreeSet};

use crate::bounds::{RECORD_ACTORS_MAX, RECORD_BYTES_MAX, RECORD_OPS_MAX};
use crate::change::{Actor, Change, Key, ObjId, Op, OpId};
use crate::gate::{Admitted, Found, GateFault, Located, Name, Past, sensible};
use crate::hash::Digest;

use super::Held;

/// For each actor, by its number in the history, how many of its changes. May be shorter than the
/// list of actors; what is not there is 0.
type Clock = Vec<u32>;

#[derive(Clone, Debug, Default)]
pub(super) struct History {
    nodes: BTreeMap<Digest, Node>,
    lines: BTreeMap<Actor, Line>,
    ops: usize,
    bytes: usize,
    max_op: u64,
}

/// A change, as others build on it.
#[derive(Clone, Debug)]
struct Node {
    /// What it builds on, and itself.
    clock: Clock,
    max_op: u64,
    /// Whose it is, and its index in the line.
    place: (Actor, usize),
}

/// The changes of one actor.
#[derive(Clone, Debug, Default)]
struct Line {
    number: usize,
    changes: Vec<Change>,
    /// Bytes of the changes up to and including each.
    bytes: Vec<usize>,
}

impl Line {
    /// The last change that begins at or before an operation.
    fn at(&self, counter: u64) -> Option<&Change> {
        let next = self.changes.partition_point(|change| change.start_op <= counter);
        self.changes.get(next.checked_sub(1)?)
    }
}

impl History {
    pub(super) fn contains(&self, hash: &Digest) -> bool {
        self.nodes.contains_key(hash)
    }

    pub(super) const fn ops(&self) -> usize {
        self.ops
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// At most what the clocks of all changes take.
    pub(super) fn clock_bytes(&self) -> usize {
        self.nodes.len() * self.lines.len() * size_of::<u32>()
    }

    pub(super) const fn max_op(&self) -> u64 {
        self.max_op
    }

    /// The highest operation of some changes, all else that they build on being lower.
    pub(super) fn max_op_of(&self, changes: &[Digest]) -> u64 {
        let nodes = changes.iter().filter_map(|hash| self.nodes.get(hash));
        nodes.map(|node| node.max_op).max().unwrap_or(0)
    }

    /// The place in its line that an actor's next change has.
    pub(super) fn next_seq(&self, actor: &Actor) -> u64 {
        self.lines.get(actor).map_or(0, |line| line.changes.len() as u64) + 1
    }

    /// A change.
    pub(super) fn change(&self, hash: &Digest) -> Option<&Change> {
        let (actor, index) = self.nodes.get(hash)?.place;
        self.lines.get(&actor)?.changes.get(index)
    }

    /// The fields of the record that a change touches, itself or in what lies below them.
    pub(super) fn fields(&self, hash: &Digest) -> BTreeSet<&str> {
        let change = self.change(hash);
        let ops = change.iter().flat_map(|change| change.ops.iter().map(move |op| (*change, op)));
        ops.filter_map(|(change, op)| self.field(change, op)).collect()
    }

    /// The field that an operation's object lies in. Goes up through ever earlier operations.
    fn field<'a>(&'a self, mut change: &'a Change, mut op: &'a Op) -> Option<&'a str> {
        while let ObjId::Made(id) = op.obj {
            let actor = change.actor_of(id)?;
            change = self.lines.get(&actor)?.at(id.counter)?;
            op = change.own_op(OpId { counter: id.counter, actor: 0 })?;
        }
        match &op.key {
            Key::Map(name) => Some(name),
            Key::Seq(_) => None,
        }
    }

    /// Judges a change beside those that it builds on, and keeps it if it is sound.
    pub(super) fn accept(&mut self, admitted: &Admitted) -> Result<(), Held> {
        let mut clock = self.judge(admitted)?;
        let change = admitted.change();
        let next = self.next_seq(&change.actor);
        if change.seq != next {
            return Err(Held::Forked { seq: change.seq });
        }
        let ops = self.ops + change.ops.len();
        let bytes = self.bytes + admitted.bytes().len();
        let number = self.lines.len();
        let actors = number + usize::from(next == 1);
        if ops > RECORD_OPS_MAX || bytes > RECORD_BYTES_MAX || actors > RECORD_ACTORS_MAX {
            return Err(Held::Full);
        }
        let line =
            self.lines.entry(change.actor).or_insert_with(|| Line { number, ..Line::default() });
        let so_far = line.bytes.last().copied().unwrap_or(0);
        line.bytes.push(so_far + admitted.bytes().len());
        let place = (change.actor, line.changes.len());
        line.changes.push(change.clone());
        if clock.len() <= line.number {
            clock.resize(line.number + 1, 0);
        }
        if let Some(own) = clock.get_mut(line.number) {
            *own += 1;
        }
        self.nodes.insert(admitted.hash(), Node { clock, max_op: change.max_op(), place });
        self.ops = ops;
        self.bytes = bytes;
        self.max_op = self.max_op.max(change.max_op());
        Ok(())
    }

    /// Judges a change beside those that it builds on; returns the clock of those.
    pub(super) fn judge(&self, admitted: &Admitted) -> Result<Clock, Held> {
        let change = admitted.change();
        let (clock, max_op) = self.join(&change.deps)?;
        let past = Behind { history: self, clock: &clock };
        let void = |fault| Err(Held::Unsound(fault));
        let seq = past.count(&change.actor) as u64 + 1;
        if change.seq != seq {
            return void(GateFault::Seq { found: change.seq, expected: seq });
        }
        if change.start_op != max_op + 1 {
            return void(GateFault::StartOp { found: change.start_op, expected: max_op + 1 });
        }
        let actors = clock.iter().filter(|count| **count > 0).count() + usize::from(seq == 1);
        if actors > RECORD_ACTORS_MAX {
            return void(GateFault::RecordActors { actors });
        }
        let bytes = past.bytes() + admitted.bytes().len();
        if bytes > RECORD_BYTES_MAX {
            return void(GateFault::RecordBytes { bytes });
        }
        sensible(change, &past).map_err(Held::Unsound)?;
        Ok(clock)
    }

    /// The clock and the highest operation of changes and all that they build on.
    fn join(&self, deps: &[Digest]) -> Result<(Clock, u64), Held> {
        let mut clock = Clock::new();
        let mut max_op = 0;
        for hash in deps {
            let node = self.nodes.get(hash).ok_or(Held::MissingDep { hash: *hash })?;
            if clock.len() < node.clock.len() {
                clock.resize(node.clock.len(), 0);
            }
            for (count, other) in clock.iter_mut().zip(&node.clock) {
                *count = (*count).max(*other);
            }
            max_op = max_op.max(node.max_op);
        }
        Ok((clock, max_op))
    }
}

/// The part of a history that a change builds on.
struct Behind<'a> {
    history: &'a History,
    clock: &'a Clock,
}

impl Behind<'_> {
    fn count(&self, actor: &Actor) -> usize {
        let number = self.history.lines.get(actor).map(|line| line.number);
        number.and_then(|number| self.clock.get(number)).map_or(0, |count| *count as usize)
    }

    fn bytes(&self) -> usize {
        let of = |(actor, line): (&Actor, &Line)| {
            self.count(actor).checked_sub(1).and_then(|last| line.bytes.get(last).copied())
        };
        self.history.lines.iter().filter_map(of).sum()
    }
}

impl Past for Behind<'_> {
    fn find(&self, _: &Change, (counter, actor): Name) -> Found<'_> {
        let count = self.count(&actor);
        let located = self.history.lines.get(&actor).and_then(|line| {
            let line = line.changes.get(..count)?;
            let next = line.partition_point(|change| change.start_op <= counter);
            let change = line.get(next.checked_sub(1)?)?;
            let id = OpId { counter, actor: 0 };
            change.own_op(id).map(|op| Located { change, op, id })
        });
        located.map_or(Found::Missing, Found::Op)
    }
}
