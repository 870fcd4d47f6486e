//! The gate: what of a peer's bytes may reach Automerge.
//!
//! By now the bytes are signed, chained and opened; whoever wrote them is known. The gate asks what
//! they *mean*: they must be one plain change, written in the one way that Automerge writes it, by
//! the actor, with the number, the dependencies and the first operation that the entry's header
//! implies, and every operation must refer only to what can exist. The verdict is a pure function of
//! the bytes and of what is expected: a change that does not pass is void everywhere.

use crate::change::{self, Action, ActorId, Change, ChangeError, Key, OpId, encode};

/// What the entry's header implies of its change.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The actor.
    pub actor: ActorId,
    /// Its number among the actor's changes, from 1.
    pub seq: u64,
    /// The hashes of the changes that it follows, ascending.
    pub deps: &'a [[u8; 32]],
    /// One more than the highest operation that it follows.
    pub start_op: u64,
}

/// Why a change is void.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum GateFault {
    /// It is no change, or too large a one.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// It is not written as Automerge writes it.
    #[error("the change is not in its canonical form")]
    NotCanonical,
    /// It is by another actor than its entry's header implies.
    #[error("the change is by another actor")]
    Actor,
    /// It has another number: a repetition, or a gap.
    #[error("the change has number {found}, not {expected}")]
    Seq {
        /// What it has.
        found: u64,
        /// What it should have.
        expected: u64,
    },
    /// It follows other changes than its entry's header says.
    #[error("the change follows other changes than its entry says")]
    Deps,
    /// Its operations are numbered from another start: far ahead, or over others.
    #[error("the change begins at operation {found}, not {expected}")]
    StartOp {
        /// What it has.
        found: u64,
        /// What it should have.
        expected: u64,
    },
    /// It has no operations.
    #[error("the change does nothing")]
    Empty,
    /// An operation refers to one that cannot exist before it.
    #[error("operation {0} refers to what cannot exist")]
    Reference(u64),
    /// An operation that no writer makes: an insertion by name, a deletion of nothing.
    #[error("operation {0} makes no sense")]
    Nonsense(u64),
}

/// A change that passed the gate. Only [`admit`] makes one.
#[derive(Clone, Debug)]
pub struct Admitted {
    change: Change,
    bytes: Vec<u8>,
    hash: [u8; 32],
}

impl Admitted {
    /// The change.
    #[must_use]
    pub const fn change(&self) -> &Change {
        &self.change
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The counter of its last operation.
    #[must_use]
    pub fn max_op(&self) -> u64 {
        self.change.max_op()
    }

    /// Its hash, by which later changes depend on it.
    #[must_use]
    pub const fn hash(&self) -> [u8; 32] {
        self.hash
    }
}

/// Admits a change, or says why it is void.
pub fn admit(bytes: &[u8], expected: &Expected<'_>) -> Result<Admitted, GateFault> {
    let change = change::decode(bytes)?;
    if change.actor() != expected.actor {
        return Err(GateFault::Actor);
    }
    if change.seq != expected.seq {
        return Err(GateFault::Seq { found: change.seq, expected: expected.seq });
    }
    if change.deps != expected.deps {
        return Err(GateFault::Deps);
    }
    if change.start_op != expected.start_op {
        return Err(GateFault::StartOp { found: change.start_op, expected: expected.start_op });
    }
    if change.ops.is_empty() {
        return Err(GateFault::Empty);
    }
    check_ops(&change)?;
    if encode(&change) != bytes {
        return Err(GateFault::NotCanonical);
    }
    Ok(Admitted { hash: change::hash(bytes), bytes: bytes.to_vec(), change })
}

fn check_ops(change: &Change) -> Result<(), GateFault> {
    for (op, counter) in change.ops.iter().zip(change.start_op..) {
        let earlier = |id: &OpId| id.counter < counter;
        let element = if let Key::Element(id) = &op.key { Some(id) } else { None };
        let known = op.object.as_ref().into_iter().chain(element).chain(&op.pred).all(earlier);
        if !known {
            return Err(GateFault::Reference(counter));
        }
        // An object made in this change was made by an operation that makes one.
        if let Some(id) = op.object.filter(|id| id.actor == 0 && id.counter >= change.start_op) {
            let maker = change.ops.get((id.counter - change.start_op) as usize);
            let makes = maker.is_some_and(|op| {
                matches!(op.action, Action::MakeMap | Action::MakeList | Action::MakeText)
            });
            if !makes {
                return Err(GateFault::Reference(counter));
            }
        }
        let removes = matches!(op.action, Action::Delete | Action::Increment(_));
        let sense = match &op.key {
            Key::Map(_) => !op.insert && (!removes || !op.pred.is_empty()),
            Key::Head => op.insert && op.object.is_some() && op.pred.is_empty() && !removes,
            Key::Element(_) if op.insert => op.object.is_some() && op.pred.is_empty() && !removes,
            Key::Element(_) => op.object.is_some() && !op.pred.is_empty(),
        };
        let ascending = op
            .pred
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a.counter <= b.counter && a != b));
        if !sense || !ascending {
            return Err(GateFault::Nonsense(counter));
        }
    }
    Ok(())
}
