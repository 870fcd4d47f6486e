//! Our own codec of Automerge's change chunks, so that bytes from a peer are understood, counted
//! and judged before Automerge sees them; and so that a record's first change is written, and read
//! back to JSON, without opening a document.
//!
//! Only plain changes are known here: no compressed chunk, no document, no bundle, no deflated or
//! unknown column, no marks. There is one encoding of a change, the one that Automerge itself
//! writes, and everything else is refused. Operations are counted as their columns are read, each
//! column against the same bound, and no run is expanded beyond it: a valid change of about a
//! hundred bytes can otherwise hold a million operations.
//!
//! Format: automerge.org, "Automerge Binary Document Format", change chunks.

mod build;
mod column;
mod decode;
mod encode;
mod json;
#[cfg(test)]
mod tests;

use crate::codec::DecodeError;

pub(crate) use build::to_scalar as scalar_of;
pub use build::{BuildError, Built, first_change};
pub use decode::decode;
pub use encode::encode;
pub use json::to_json;

/// An Automerge actor id, as Tearline makes them.
pub type ActorId = [u8; 16];

/// An operation's id: its counter, and its actor's place in [`Change::actors`].
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct OpId {
    /// The counter; unique with the actor.
    pub counter: u64,
    /// 0 is the change's own actor.
    pub actor: u32,
}

/// A change.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The hashes of the changes that it follows, ascending.
    pub deps: Vec<[u8; 32]>,
    /// Its actor, then the other actors that its operations refer to, those ascending.
    pub actors: Vec<ActorId>,
    /// Its number among its actor's changes, from 1.
    pub seq: u64,
    /// The counter of its first operation.
    pub start_op: u64,
    /// Its author's clock, as a number.
    pub time: i64,
    /// Its operations.
    pub ops: Vec<Op>,
}

impl Change {
    /// The actor.
    #[must_use]
    pub fn actor(&self) -> ActorId {
        self.actors.first().copied().unwrap_or_default()
    }

    /// The counter of its last operation.
    #[must_use]
    pub fn max_op(&self) -> u64 {
        self.start_op.saturating_add(self.ops.len() as u64).saturating_sub(1)
    }
}

/// An operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    /// The object that it changes; `None` is the root map.
    pub object: Option<OpId>,
    /// Where in it.
    pub key: Key,
    /// Whether it inserts a list element.
    pub insert: bool,
    /// What it does.
    pub action: Action,
    /// The operations that it replaces.
    pub pred: Vec<OpId>,
}

/// A place in an object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Key {
    /// A map's key.
    Map(String),
    /// Before a list's first element.
    Head,
    /// At, or for an insertion after, a list's element.
    Element(OpId),
}

/// What an operation does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Makes a map.
    MakeMap,
    /// Makes a list.
    MakeList,
    /// Makes a text.
    MakeText,
    /// Sets a value.
    Set(Scalar),
    /// Removes what it replaces.
    Delete,
    /// Adds to a counter.
    Increment(Scalar),
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A number without a sign.
    Uint(u64),
    /// A number with a sign.
    Int(i64),
    /// A floating-point number.
    F64(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A counter's start.
    Counter(i64),
    /// A time in ms.
    Timestamp(i64),
}

/// Why bytes are not a change that counts. They will not be one later, or elsewhere.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ChangeError {
    /// Larger than a change may be.
    #[error("a change of {0} bytes is too large")]
    TooLarge(usize),
    /// It does not begin as changes do.
    #[error("it is no Automerge chunk")]
    Magic,
    /// A chunk of another type: a document, a compressed change, a bundle.
    #[error("a chunk of type {0} is no plain change")]
    ChunkType(u8),
    /// The checksum does not match.
    #[error("the checksum does not match")]
    Checksum,
    /// The bytes end too early, or are not of the format.
    #[error("malformed: {0}")]
    Malformed(#[from] DecodeError),
    /// An actor that Tearline does not make.
    #[error("an actor of {0} bytes; actors have 16")]
    Actor(usize),
    /// A message, which nobody writes.
    #[error("it carries a message")]
    Message,
    /// A column that is unknown, deflated, repeated or out of order.
    #[error("column {0} is not allowed")]
    Column(u64),
    /// More operations than a change may have.
    #[error("it has more than {max} operations", max = crate::bounds::CHANGE_OPS_MAX)]
    TooManyOps,
    /// A column with too few, too many, or impossible values.
    #[error("the column of {0} does not fit the operations")]
    Values(&'static str),
    /// Bytes after the columns.
    #[error("it has {0} bytes too many")]
    Trailing(usize),
}

/// What every chunk begins with.
const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
/// The chunk type of a plain change.
const TYPE_CHANGE: u8 = 1;

/// Column numbers: `id << 4 | type`. The type's bit 3 would say "deflated".
mod spec {
    pub(super) const OBJECT_ACTOR: u64 = 1;
    pub(super) const OBJECT_COUNTER: u64 = 2;
    pub(super) const KEY_ACTOR: u64 = 17;
    pub(super) const KEY_COUNTER: u64 = 19;
    pub(super) const KEY_TEXT: u64 = 21;
    pub(super) const INSERT: u64 = 52;
    pub(super) const ACTION: u64 = 66;
    pub(super) const VALUE_META: u64 = 86;
    pub(super) const VALUE_RAW: u64 = 87;
    pub(super) const PRED_COUNT: u64 = 112;
    pub(super) const PRED_ACTOR: u64 = 113;
    pub(super) const PRED_COUNTER: u64 = 115;
    /// All of them, in order.
    pub(super) const ALL: [u64; 12] = [
        OBJECT_ACTOR,
        OBJECT_COUNTER,
        KEY_ACTOR,
        KEY_COUNTER,
        KEY_TEXT,
        INSERT,
        ACTION,
        VALUE_META,
        VALUE_RAW,
        PRED_COUNT,
        PRED_ACTOR,
        PRED_COUNTER,
    ];
}

/// The change's hash, by which others depend on it: SHA-256 of type, length and contents.
#[must_use]
pub fn hash(bytes: &[u8]) -> [u8; 32] {
    crate::hash::sha256(bytes.get(8..).unwrap_or_default())
}
