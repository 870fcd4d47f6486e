//! A record's first change, straight from its fields.
//!
//! The fields are walked object by object, outermost first, names in ascending order: all of one
//! object's operations stand together, which is what the columns' runs are good at. A record too
//! large for one change becomes a chain of them.

use std::cell::OnceCell;
use std::collections::VecDeque;

use serde_json::{Map, Value};

use crate::bounds::{
    CHANGE_BYTES_MAX, CHANGE_OPS_MAX, CHANGE_TIME_MAX, FIELD_NAME_BYTES_MAX, RECORD_BYTES_MAX,
    RECORD_DEPTH_MAX, RECORD_OPS_MAX,
};
use crate::hash::Digest;

use super::encode::encode_hashed;
use super::{Action, Actor, Change, Elem, Key, ObjId, Op, OpId, Scalar};

/// A change, ready to be sealed. Its chunk is written when it is asked for: most changes are sealed in a
/// form that needs none.
#[derive(Clone, Debug)]
pub struct Built {
    /// What it does.
    pub change: Change,
    chunk: OnceCell<(Vec<u8>, Digest)>,
}

impl PartialEq for Built {
    fn eq(&self, other: &Self) -> bool {
        self.change == other.change
    }
}

impl Built {
    /// The chunk.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.chunk().0
    }

    /// Its hash.
    #[must_use]
    pub fn hash(&self) -> Digest {
        self.chunk().1
    }

    fn chunk(&self) -> &(Vec<u8>, Digest) {
        self.chunk.get_or_init(|| encode_hashed(&self.change))
    }
}

/// Why fields are no record.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BuildError {
    /// A time before 1970 or above [`CHANGE_TIME_MAX`].
    #[error("a time of {time}")]
    Time {
        /// The time.
        time: i64,
    },
    /// There is not one field.
    #[error("a record needs a field at least")]
    Empty,
    /// A field without a name.
    #[error("a field has no name")]
    NoName,
    /// A field's name above [`FIELD_NAME_BYTES_MAX`].
    #[error("a field's name of {bytes} bytes is above the limit of {FIELD_NAME_BYTES_MAX}")]
    NameTooLong {
        /// Length of the name.
        bytes: usize,
    },
    /// A text that does not fit one change.
    #[error(
        "a text of {bytes} bytes is above the limit of {VALUE_BYTES_MAX}; split it, or refer to where it is"
    )]
    ValueTooLong {
        /// Length of the text.
        bytes: usize,
    },
    /// Nesting below [`RECORD_DEPTH_MAX`] levels.
    #[error("fields are nested deeper than {RECORD_DEPTH_MAX} levels")]
    TooDeep,
    /// More than [`RECORD_OPS_MAX`] values.
    #[error("a record of more than {RECORD_OPS_MAX} values")]
    TooManyOps,
    /// More than [`RECORD_BYTES_MAX`] bytes of changes.
    #[error("a record of {bytes} bytes is above the limit of {RECORD_BYTES_MAX}")]
    TooLarge {
        /// Bytes of its changes.
        bytes: usize,
    },
}

/// Longest text in a record: what is left of a change beside its own header.
const VALUE_BYTES_MAX: usize = CHANGE_BYTES_MAX - CHANGE_OVERHEAD_BYTES - 1_024;

/// The changes that make a record of these fields: one, unless it is above the limits of one; then
/// each depends on the one before it. Texts become plain strings, replaced as a whole.
pub fn first_change(
    actor: Actor,
    time: i64,
    fields: &Map<String, Value>,
) -> Result<Vec<Built>, BuildError> {
    if !(0..=CHANGE_TIME_MAX).contains(&time) {
        return Err(BuildError::Time { time });
    }
    let mut walk = Walk::default();
    walk.objects(fields)?;
    if walk.ops.is_empty() {
        return Err(BuildError::Empty);
    }
    let built = split(actor, time, walk.ops);
    // One alone is within the limit of a change, which is less.
    let bytes = if built.len() == 1 { 0 } else { built.iter().map(|b| b.bytes().len()).sum() };
    if bytes > RECORD_BYTES_MAX { Err(BuildError::TooLarge { bytes }) } else { Ok(built) }
}

/// An object whose operations are still to be made.
enum Object<'a> {
    Map(&'a Map<String, Value>),
    List(&'a [Value]),
}

#[derive(Default)]
struct Walk<'a> {
    ops: Vec<Op>,
    waiting: VecDeque<(OpId, usize, Object<'a>)>,
}

impl<'a> Walk<'a> {
    fn objects(&mut self, fields: &'a Map<String, Value>) -> Result<(), BuildError> {
        self.ops.reserve(fields.len().min(RECORD_OPS_MAX));
        self.map(ObjId::Root, 1, fields)?;
        while let Some((id, depth, object)) = self.waiting.pop_front() {
            match object {
                Object::Map(fields) => self.map(ObjId::Made(id), depth, fields)?,
                Object::List(items) => self.list(ObjId::Made(id), depth, items)?,
            }
        }
        Ok(())
    }

    fn map(
        &mut self,
        obj: ObjId,
        depth: usize,
        fields: &'a Map<String, Value>,
    ) -> Result<(), BuildError> {
        if fields.keys().is_sorted() {
            return fields.iter().try_for_each(|(name, value)| self.field(obj, depth, name, value));
        }
        // Somebody built serde_json to keep the order of insertion.
        let mut sorted: Vec<_> = fields.iter().collect();
        sorted.sort_unstable_by_key(|(name, _)| *name);
        sorted.into_iter().try_for_each(|(name, value)| self.field(obj, depth, name, value))
    }

    fn field(
        &mut self,
        obj: ObjId,
        depth: usize,
        name: &str,
        value: &'a Value,
    ) -> Result<(), BuildError> {
        match name.len() {
            0 => return Err(BuildError::NoName),
            bytes if bytes > FIELD_NAME_BYTES_MAX => return Err(BuildError::NameTooLong { bytes }),
            _ => {}
        }
        self.push(obj, Key::Map(name.to_owned()), false, depth, value).map(|_| ())
    }

    fn list(&mut self, obj: ObjId, depth: usize, items: &'a [Value]) -> Result<(), BuildError> {
        let mut elem = Elem::Head;
        for item in items {
            elem = Elem::Inserted(self.push(obj, Key::Seq(elem), true, depth, item)?);
        }
        Ok(())
    }

    fn push(
        &mut self,
        obj: ObjId,
        key: Key,
        insert: bool,
        depth: usize,
        value: &'a Value,
    ) -> Result<OpId, BuildError> {
        if self.ops.len() >= RECORD_OPS_MAX {
            return Err(BuildError::TooManyOps);
        }
        let id = OpId { counter: self.ops.len() as u64 + 1, actor: 0 };
        let action = match value {
            Value::Object(fields) => self.nested(id, depth, Object::Map(fields))?,
            Value::Array(items) => self.nested(id, depth, Object::List(items))?,
            Value::String(text) if text.len() > VALUE_BYTES_MAX => {
                return Err(BuildError::ValueTooLong { bytes: text.len() });
            }
            scalar => Action::Put(Scalar::of_json(scalar)),
        };
        self.ops.push(Op { obj, key, insert, action, pred: Vec::new() });
        Ok(id)
    }

    fn nested(&mut self, id: OpId, depth: usize, object: Object<'a>) -> Result<Action, BuildError> {
        if depth >= RECORD_DEPTH_MAX {
            return Err(BuildError::TooDeep);
        }
        let action = match object {
            Object::Map(_) => Action::MakeMap,
            Object::List(_) => Action::MakeList,
        };
        self.waiting.push_back((id, depth + 1, object));
        Ok(action)
    }
}

/// Cuts operations into changes that are within the limits, by what they take at most.
fn split(actor: Actor, time: i64, ops: Vec<Op>) -> Vec<Built> {
    let mut built: Vec<Built> = Vec::with_capacity(1);
    let mut start_op = 1;
    let mut part = Vec::new();
    let mut bytes = CHANGE_OVERHEAD_BYTES;
    let mut finish = |ops: Vec<Op>| {
        let deps = built.last().map(Built::hash).into_iter().collect();
        let (seq, count) = (built.len() as u64 + 1, ops.len());
        let change = Change { actor, seq, start_op, time, deps, ops, ..Change::default() };
        built.push(Built { change, chunk: OnceCell::new() });
        start_op += count as u64;
    };
    if ops.len() <= CHANGE_OPS_MAX
        && ops.iter().map(op_bytes_max).sum::<usize>() + bytes <= CHANGE_BYTES_MAX
    {
        finish(ops);
        return built;
    }
    for op in ops {
        let more = op_bytes_max(&op);
        if part.len() == CHANGE_OPS_MAX || bytes + more > CHANGE_BYTES_MAX {
            finish(std::mem::take(&mut part));
            bytes = CHANGE_OVERHEAD_BYTES;
        }
        bytes += more;
        part.push(op);
    }
    finish(part);
    built
}

/// A change without operations: its header, one dependency, and the numbers and lengths of all
/// columns (12 times 1 + 3 bytes).
const CHANGE_OVERHEAD_BYTES: usize = 192;

/// What an operation takes at most, beside its name and value: ten columns of numbers, each up to
/// 3 bytes of number (a counter is at most [`RECORD_OPS_MAX`]) and 2 of run.
const OP_BYTES_MAX: usize = 10 * 5;

fn op_bytes_max(op: &Op) -> usize {
    let name = match &op.key {
        Key::Map(name) => name.len() + 2,
        Key::Seq(_) => 0,
    };
    let value = match &op.action {
        Action::Put(Scalar::Str(text)) => text.len(),
        Action::Put(_) => 10,
        _ => 0,
    };
    OP_BYTES_MAX + name + value
}
