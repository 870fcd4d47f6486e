//! Automerge changes, read and written by our own hands.
//!
//! A change is what one writer did to one record in one go: a list of operations ("put 3 under
//! `count` of the root map"), the names of the changes it builds on, and who made it. Automerge
//! stores it as a *change chunk*: a short header and, behind it, the operations column by column,
//! each column run-length encoded. [`decode`] and [`encode`] read and write exactly that, byte for
//! byte as Automerge does, so that
//!
//! - no byte from a peer reaches Automerge before it has been understood here, where sizes are
//!   checked before anything is allocated and a run is counted, not expanded;
//! - a record that is one change ([`first_change`], [`to_json`]), and most are, is written and
//!   shown without opening an Automerge document at all.
//!
//! The format: <https://automerge.org/automerge-binary-format-spec/>, "Change chunks". We read a part of
//! it: plain chunks, actors of 16 bytes, no marks, no tables, no extra bytes.

mod build;
mod column;
mod decode;
mod encode;
mod json;
mod leb;
pub mod strip;
#[cfg(test)]
pub(crate) mod tests;

pub use build::{BuildError, Built, first_change};
pub use decode::{ChangeError, decode};
pub(crate) use decode::{check, decode_hashed};
pub use encode::encode;
pub(crate) use encode::encode_hashed;
pub use json::to_json;

use crate::hash::{Digest, sha256};

/// Who makes a change: 16 bytes, from log, record and run.
pub type Actor = [u8; 16];

/// What one writer did to a record in one go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// Who made it.
    pub actor: Actor,
    /// Which of the actor's changes it is; the first is 1.
    pub seq: u64,
    /// The counter of its first operation; the others follow without gaps.
    pub start_op: u64,
    /// The author's wall time. Automerge means seconds and we milliseconds; it decides nothing.
    pub time: i64,
    /// Hashes of the changes it builds on, ascending.
    pub deps: Vec<Digest>,
    /// The other actors that its operations mention, ascending.
    pub other_actors: Vec<Actor>,
    /// A remark. Automerge has it; the gate does not let it through.
    pub message: Option<String>,
    /// What was done, in order.
    pub ops: Vec<Op>,
}

impl Change {
    /// The counter of its last operation; of the one before its first, if it has none.
    #[must_use]
    pub const fn max_op(&self) -> u64 {
        self.start_op.saturating_add(self.ops.len() as u64).saturating_sub(1)
    }

    /// The actor behind an index.
    #[must_use]
    pub fn actor_of(&self, id: OpId) -> Option<Actor> {
        match id.actor.checked_sub(1) {
            None => Some(self.actor),
            Some(other) => self.other_actors.get(other as usize).copied(),
        }
    }

    /// The operation with this id, if it is one of this change's.
    #[must_use]
    pub fn own_op(&self, id: OpId) -> Option<&Op> {
        let index = id.counter.checked_sub(self.start_op).filter(|_| id.actor == 0)?;
        self.ops.get(usize::try_from(index).ok()?)
    }
}

/// An operation's name: a counter, and the actor who made it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct OpId {
    /// Greater than that of every operation that the actor had seen.
    pub counter: u64,
    /// 0 for the change's own actor, n for the n-th of its other actors.
    pub actor: u32,
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    /// The map, list or text it changes.
    pub obj: ObjId,
    /// The place in it.
    pub key: Key,
    /// Whether it makes a new place behind `key`, in a list or text.
    pub insert: bool,
    /// What it does there.
    pub action: Action,
    /// The operations whose values it replaces, ascending by counter, then actor.
    pub pred: Vec<OpId>,
}

/// What an operation changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ObjId {
    /// The record's root map.
    Root,
    /// The object that this operation made.
    Made(OpId),
}

/// A place in an object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Key {
    /// A name in a map.
    Map(String),
    /// A place in a list or text.
    Seq(Elem),
}

/// A place in a list or text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Elem {
    /// Before the first element.
    Head,
    /// The element that this operation inserted.
    Inserted(OpId),
}

/// What an operation does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Puts an empty map.
    MakeMap,
    /// Puts an empty list.
    MakeList,
    /// Puts an empty text.
    MakeText,
    /// Puts a value.
    Put(Scalar),
    /// Removes the values that it names.
    Delete,
    /// Adds to the counters that it names.
    Increment(i64),
}

impl Action {
    /// Whether it makes a map, list or text.
    #[must_use]
    pub const fn makes_object(&self) -> bool {
        matches!(self, Self::MakeMap | Self::MakeList | Self::MakeText)
    }

    /// Whether it leaves a value in its place.
    #[must_use]
    pub const fn puts_value(&self) -> bool {
        !matches!(self, Self::Delete | Self::Increment(_))
    }
}

/// A value that is no map, list or text.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A floating-point number.
    F64(f64),
    /// A string that is replaced as a whole.
    Str(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A number that concurrent increments add up in.
    Counter(i64),
    /// Milliseconds since 1970.
    Timestamp(i64),
}

/// The name that Automerge gives a change: the SHA-256 of its chunk behind the checksum. Of bytes
/// that are no chunk it is a hash like any other.
#[must_use]
pub fn hash(bytes: &[u8]) -> Digest {
    sha256(bytes.get(HASHED_FROM..).unwrap_or_default())
}

/// Every chunk begins with it.
const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
/// First bytes of the chunk's hash, behind the magic.
const CHECKSUM_BYTES: usize = 4;
/// What the hash covers begins here: the chunk's kind, length and data.
const HASHED_FROM: usize = MAGIC.len() + CHECKSUM_BYTES;
/// The kind of a plain change chunk. 0 is a document, 2 a deflated change, 3 a bundle.
const KIND_CHANGE: u8 = 1;
