//! The gate: what stands between a peer's bytes and Automerge.
//!
//! Automerge trusts its input: a deflated chunk of 64 KiB inflates to 200 MiB, a valid change of 104 bytes
//! makes a million list items, and a change that mentions what does not exist makes it panic. So
//! bytes from a peer are read by our own codec ([`crate::change`]), must be spelled as Automerge
//! itself would, must be exactly the change that the entry's headers announce, and every operation
//! must make sense. What fails is *void*: it counts nowhere, on no peer, ever. The verdict is
//! therefore a pure function of the bytes and the headers; no clock, quota or panic has a say.
//!
//! [`admit`] judges a change by itself. What it says of operations that other changes made can be
//! judged only beside those; [`crate::document::Document::apply`] does, by the same rules.

use crate::bounds::{
    CHANGE_BYTES_MAX, CHANGE_TIME_MAX, FIELD_NAME_BYTES_MAX, RECORD_DEPTH_MAX, RECORD_OPS_MAX,
};
use crate::change::strip::StripError;
use crate::change::{
    Action, Actor, Change, ChangeError, Elem, Key, ObjId, Op, OpId, Scalar, check, decode_hashed,
    encode, encode_hashed,
};
use crate::hash::Digest;

/// What the entry's headers say that the change must be.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The actor of the entry's log, record and run.
    pub actor: Actor,
    /// 1 + the number of the actor's changes before it.
    pub seq: u64,
    /// Hashes of the changes in the entries that it depends on, in any order.
    pub deps: &'a [Digest],
    /// 1 + the highest operation of those changes.
    pub start_op: u64,
}

/// A change that has passed the gate. Only [`admit`] makes it.
#[derive(Clone, Debug)]
pub struct Admitted {
    change: Change,
    hash: Digest,
    bytes: Vec<u8>,
}

impl Admitted {
    /// What was read.
    #[must_use]
    pub const fn change(&self) -> &Change {
        &self.change
    }

    /// Automerge's name of the change.
    #[must_use]
    pub const fn hash(&self) -> Digest {
        self.hash
    }

    /// The chunk.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The counter of its last operation.
    #[must_use]
    pub const fn max_op(&self) -> u64 {
        self.change.max_op()
    }
}

/// Why a change is void. `op` is an operation's index in the change.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, thiserror::Error)]
pub enum GateFault {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(#[from] ChangeError),
    /// It is stripped, and stands for no change.
    #[error("stripped: {0}")]
    Stripped(#[from] StripError),
    /// It is spelled in another way than Automerge would.
    #[error("not in the one encoding")]
    NotCanonical,
    /// Another actor's.
    #[error("the actor is not that of the log, record and run")]
    Actor,
    /// Another place in the actor's line.
    #[error("seq {found} where {expected} is due")]
    Seq {
        /// What the change says.
        found: u64,
        /// What the headers imply.
        expected: u64,
    },
    /// It builds on other changes than the entry does.
    #[error("the dependencies are not those of the entry")]
    Deps,
    /// Its operations are numbered otherwise than 1 + the highest that it builds on.
    #[error("operations from {found} where {expected} is due")]
    StartOp {
        /// What the change says.
        found: u64,
        /// What the headers imply.
        expected: u64,
    },
    /// It does nothing.
    #[error("no operations")]
    Empty,
    /// It carries a remark.
    #[error("a message")]
    Message,
    /// Its time is before 1970 or above [`CHANGE_TIME_MAX`].
    #[error("a time of {time}")]
    Time {
        /// What the change says.
        time: i64,
    },
    /// The record would have more than [`RECORD_OPS_MAX`] operations.
    #[error("operation {max_op} is above the limit of {RECORD_OPS_MAX}")]
    RecordOps {
        /// The counter of its last operation.
        max_op: u64,
    },
    /// The change and what it builds on are more than a record may have in bytes.
    #[error("a record of {bytes} bytes")]
    RecordBytes {
        /// How many.
        bytes: usize,
    },
    /// The change and what it builds on have more than a record's number of actors.
    #[error("a record of {actors} actors")]
    RecordActors {
        /// How many.
        actors: usize,
    },
    /// A field without a name.
    #[error("operation {op}: a field without a name")]
    NoName {
        /// Index.
        op: usize,
    },
    /// A field's name above [`FIELD_NAME_BYTES_MAX`].
    #[error("operation {op}: a name of {bytes} bytes")]
    NameTooLong {
        /// Index.
        op: usize,
        /// Length of the name.
        bytes: usize,
    },
    /// A number that is none.
    #[error("operation {op}: a number that is not finite")]
    NotFinite {
        /// Index.
        op: usize,
    },
    /// It mentions an operation that is not before it.
    #[error("operation {op} mentions a later one")]
    Later {
        /// Index.
        op: usize,
    },
    /// Its object does not exist, or is no map, list or text.
    #[error("operation {op}: no such object")]
    NoObject {
        /// Index.
        op: usize,
    },
    /// A name in a list, a position in a map, or anything but strings in a text.
    #[error("operation {op} does not fit its object")]
    Unfit {
        /// Index.
        op: usize,
    },
    /// The element that it stands at or behind does not exist in its object.
    #[error("operation {op}: no such element")]
    NoElement {
        /// Index.
        op: usize,
    },
    /// An insertion that replaces, deletes or increments.
    #[error("operation {op}: an impossible insertion")]
    Insertion {
        /// Index.
        op: usize,
    },
    /// What it replaces is not a value of its place.
    #[error("operation {op} replaces what is not in its place")]
    NoPred {
        /// Index.
        op: usize,
    },
    /// It deletes nothing.
    #[error("operation {op} deletes nothing")]
    DeletesNothing {
        /// Index.
        op: usize,
    },
    /// It increments no counter.
    #[error("operation {op} increments no counter")]
    NoCounter {
        /// Index.
        op: usize,
    },
    /// It nests deeper than [`RECORD_DEPTH_MAX`].
    #[error("operation {op} nests deeper than {RECORD_DEPTH_MAX} levels")]
    TooDeep {
        /// Index.
        op: usize,
    },
}

/// Reads a change and judges it by itself.
pub fn admit(bytes: &[u8], expected: &Expected<'_>) -> Result<Admitted, GateFault> {
    let (change, hash) = decode_hashed(bytes)?;
    if encode(&change) != bytes {
        return Err(GateFault::NotCanonical);
    }
    judge(&change, expected)?;
    Ok(Admitted { change, hash, bytes: bytes.to_vec() })
}

/// As [`admit`] of its chunk, for a change that was read from something else than one.
pub(crate) fn admit_change(change: Change, expected: &Expected<'_>) -> Result<Admitted, GateFault> {
    check(&change)?;
    let (bytes, hash) = encode_hashed(&change);
    if bytes.len() > CHANGE_BYTES_MAX {
        return Err(ChangeError::TooLong { bytes: bytes.len() }.into());
    }
    judge(&change, expected)?;
    Ok(Admitted { change, hash, bytes })
}

/// Whether a change by itself is what the headers announce and makes sense.
fn judge(change: &Change, expected: &Expected<'_>) -> Result<(), GateFault> {
    announced(change, expected)?;
    if change.ops.is_empty() {
        return Err(GateFault::Empty);
    }
    if change.message.is_some() {
        return Err(GateFault::Message);
    }
    if !(0..=CHANGE_TIME_MAX).contains(&change.time) {
        return Err(GateFault::Time { time: change.time });
    }
    if change.max_op() > RECORD_OPS_MAX as u64 {
        return Err(GateFault::RecordOps { max_op: change.max_op() });
    }
    sensible(change, &ByItself)
}

/// Whether the change is the one that the headers announce.
fn announced(change: &Change, expected: &Expected<'_>) -> Result<(), GateFault> {
    if change.actor != expected.actor {
        return Err(GateFault::Actor);
    }
    if change.seq != expected.seq {
        return Err(GateFault::Seq { found: change.seq, expected: expected.seq });
    }
    let mut deps = expected.deps.to_vec();
    deps.sort_unstable();
    if change.deps != deps {
        return Err(GateFault::Deps);
    }
    if change.start_op != expected.start_op {
        return Err(GateFault::StartOp { found: change.start_op, expected: expected.start_op });
    }
    Ok(())
}

/// An operation of some change.
#[derive(Clone, Copy)]
pub(crate) struct Located<'a> {
    pub(crate) change: &'a Change,
    pub(crate) op: &'a Op,
    pub(crate) id: OpId,
}

impl<'a> Located<'a> {
    fn name(&self, id: OpId) -> Option<Name> {
        Some((id.counter, self.change.actor_of(id)?))
    }

    fn obj(&self) -> Option<Option<Name>> {
        match self.op.obj {
            ObjId::Root => Some(None),
            ObjId::Made(id) => self.name(id).map(Some),
        }
    }

    /// The place that its value is in.
    fn place(&self) -> Option<Place<'a>> {
        match &self.op.key {
            Key::Map(name) => Some(Place::Field(name)),
            Key::Seq(_) if self.op.insert => self.name(self.id).map(Place::Element),
            Key::Seq(Elem::Inserted(id)) => self.name(*id).map(Place::Element),
            Key::Seq(Elem::Head) => None,
        }
    }
}

/// An operation's name anywhere: its counter and actor.
pub(crate) type Name = (u64, Actor);

#[derive(Eq, PartialEq)]
enum Place<'a> {
    Field(&'a str),
    Element(Name),
}

/// What is known of operations in earlier changes.
pub(crate) enum Found<'a> {
    /// This is it.
    Op(Located<'a>),
    /// There is none of that name among what the change builds on.
    Missing,
    /// Not known here; somebody else will judge it.
    Unknown,
}

/// The changes that one builds on.
pub(crate) trait Past {
    fn find(&self, change: &Change, name: Name) -> Found<'_>;
}

/// A change that builds on nothing finds nothing; of any other, no more is known here.
struct ByItself;

impl Past for ByItself {
    fn find(&self, change: &Change, (counter, actor): Name) -> Found<'_> {
        let own = actor == change.actor;
        if change.deps.is_empty() || counter >= change.start_op || own && change.seq == 1 {
            return Found::Missing;
        }
        Found::Unknown
    }
}

/// Whether every operation makes sense beside those before it.
pub(crate) fn sensible(change: &Change, past: &dyn Past) -> Result<(), GateFault> {
    for (index, op) in change.ops.iter().enumerate() {
        let id = OpId { counter: change.start_op + index as u64, actor: 0 };
        let sense = Sense { past, index, this: Located { change, op, id } };
        sense.check()?;
    }
    Ok(())
}

/// One operation being judged.
struct Sense<'a> {
    past: &'a dyn Past,
    index: usize,
    this: Located<'a>,
}

impl<'a> Sense<'a> {
    fn check(&self) -> Result<(), GateFault> {
        let op = self.index;
        self.values()?;
        let kind = self.object()?;
        let fits = match (&self.this.op.key, kind) {
            (Key::Map(_), Some(Action::MakeMap)) => true,
            (Key::Seq(_), Some(Action::MakeList)) => true,
            (Key::Seq(_), Some(Action::MakeText)) => match &self.this.op.action {
                Action::Put(Scalar::Str(text)) => !text.is_empty(),
                action => *action == Action::Delete,
            },
            (_, None) => true,
            _ => false,
        };
        if !fits {
            return Err(GateFault::Unfit { op });
        }
        self.element()?;
        self.preds()?;
        if self.this.op.action.makes_object() && self.depth(&self.this)? > RECORD_DEPTH_MAX {
            return Err(GateFault::TooDeep { op });
        }
        Ok(())
    }

    fn values(&self) -> Result<(), GateFault> {
        let op = self.index;
        if let Key::Map(name) = &self.this.op.key {
            match name.len() {
                0 => return Err(GateFault::NoName { op }),
                bytes if bytes > FIELD_NAME_BYTES_MAX => {
                    return Err(GateFault::NameTooLong { op, bytes });
                }
                _ => {}
            }
        }
        match self.this.op.action {
            Action::Put(Scalar::F64(n)) if !n.is_finite() => Err(GateFault::NotFinite { op }),
            _ => Ok(()),
        }
    }

    /// The action that made its object; none if it is not known.
    fn object(&self) -> Result<Option<&Action>, GateFault> {
        let ObjId::Made(id) = self.this.op.obj else { return Ok(Some(&Action::MakeMap)) };
        let fault = GateFault::NoObject { op: self.index };
        match self.find(&self.this, id)? {
            Found::Op(maker) if maker.op.action.makes_object() => Ok(Some(&maker.op.action)),
            Found::Unknown => Ok(None),
            Found::Op(_) | Found::Missing => Err(fault),
        }
    }

    /// The element at which, or behind which, it stands.
    fn element(&self) -> Result<(), GateFault> {
        let op = self.index;
        let Located { op: Op { key, insert, action, pred, .. }, .. } = self.this;
        let Key::Seq(elem) = key else {
            return if *insert { Err(GateFault::Insertion { op }) } else { Ok(()) };
        };
        if *insert && (!pred.is_empty() || !action.puts_value()) {
            return Err(GateFault::Insertion { op });
        }
        let fault = GateFault::NoElement { op };
        let Elem::Inserted(id) = elem else {
            return if *insert { Ok(()) } else { Err(fault) };
        };
        match self.find(&self.this, *id)? {
            Found::Op(found) if found.op.insert && found.obj() == self.this.obj() => Ok(()),
            Found::Unknown => Ok(()),
            Found::Op(_) | Found::Missing => Err(fault),
        }
    }

    /// The values that it replaces.
    fn preds(&self) -> Result<(), GateFault> {
        let op = self.index;
        let Op { action, pred, .. } = self.this.op;
        let mut counters = 0;
        for id in pred {
            match self.find(&self.this, *id)? {
                Found::Op(found)
                    if found.op.action.puts_value()
                        && found.obj() == self.this.obj()
                        && found.place() == self.this.place() =>
                {
                    counters +=
                        usize::from(matches!(found.op.action, Action::Put(Scalar::Counter(_))));
                }
                Found::Unknown => counters += 1,
                Found::Op(_) | Found::Missing => return Err(GateFault::NoPred { op }),
            }
        }
        match action {
            Action::Delete if pred.is_empty() => Err(GateFault::DeletesNothing { op }),
            Action::Increment(_) if counters == 0 => Err(GateFault::NoCounter { op }),
            _ => Ok(()),
        }
    }

    /// On which level the object is that an operation makes; as far as the makers are known.
    fn depth(&self, maker: &Located<'a>) -> Result<usize, GateFault> {
        let mut depth = 2;
        let mut at = *maker;
        while let ObjId::Made(id) = at.op.obj {
            match self.find(&at, id)? {
                // Each maker is before what it holds, so this ends; but no later than here.
                Found::Op(found) if depth <= RECORD_DEPTH_MAX => at = found,
                _ => break,
            }
            depth += 1;
        }
        Ok(depth)
    }

    /// The operation that one mentions: of this change, or of those that it builds on.
    fn find(&self, from: &Located<'a>, id: OpId) -> Result<Found<'a>, GateFault> {
        let Some(name) = from.name(id) else { return Ok(Found::Missing) };
        let change = self.this.change;
        if name.0 >= self.this.id.counter {
            return Err(GateFault::Later { op: self.index });
        }
        if name.1 != change.actor || name.0 < change.start_op {
            return Ok(self.past.find(change, name));
        }
        let id = OpId { counter: name.0, actor: 0 };
        Ok(change.own_op(id).map_or(Found::Missing, |op| Found::Op(Located { change, op, id })))
    }
}

#[cfg(test)]
pub(crate) mod tests;
