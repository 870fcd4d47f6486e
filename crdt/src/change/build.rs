//! A record's first changes, written directly: a JSON object becomes operations on an empty
//! document. Automerge's own transaction takes some 140 us for a dozen fields; this takes a few.

use serde_json::{Map, Value};

use crate::bounds::{
    CHANGE_BYTES_MAX, CHANGE_OPS_MAX, RECORD_BYTES_MAX, RECORD_DEPTH_MAX, RECORD_OPS_MAX,
};

use super::{Action, ActorId, Change, Key, Op, OpId, Scalar, encode, hash};

/// A written change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Built {
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Why an object does not become a record. Nothing was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BuildError {
    /// No properties.
    #[error("it has no properties")]
    Empty,
    /// Nested too deep.
    #[error("it is nested deeper than {RECORD_DEPTH_MAX} levels")]
    TooDeep,
    /// Too many values.
    #[error("it has more than {RECORD_OPS_MAX} values")]
    TooManyValues,
    /// One text too long for a change.
    #[error("a text of {0} bytes is too long; attach it as a file")]
    TextTooLong(usize),
    /// Too many bytes in all.
    #[error("it has more than {RECORD_BYTES_MAX} bytes")]
    TooLarge,
    /// A number that JSON can write and nothing can hold.
    #[error("a number is out of range")]
    Number,
}

/// Bytes of one text, and of the texts of one change, that leave room for the rest of it.
const TEXT_BYTES_MAX: usize = CHANGE_BYTES_MAX - 4 * 1024;
const CHANGE_TEXT_BYTES: usize = CHANGE_BYTES_MAX - 16 * 1024;
/// What an operation takes besides its key and its text, at most.
const OP_BYTES: usize = 32;

/// Writes an object as the first changes of an actor: one, unless it is large.
pub fn first_change(
    actor: ActorId,
    time: i64,
    fields: &Map<String, Value>,
) -> Result<Vec<Built>, BuildError> {
    if fields.is_empty() {
        return Err(BuildError::Empty);
    }
    let mut builder =
        Builder { actor, time, ops: vec![], bytes: 0, next: 1, built: vec![], dep: None, total: 0 };
    builder.map(None, fields, 1)?;
    builder.close();
    Ok(builder.built)
}

struct Builder {
    actor: ActorId,
    time: i64,
    /// Operations of the change being built, and about how many bytes they take.
    ops: Vec<Op>,
    bytes: usize,
    /// The next operation's counter.
    next: u64,
    built: Vec<Built>,
    dep: Option<[u8; 32]>,
    total: usize,
}

impl Builder {
    fn map(
        &mut self,
        object: Option<OpId>,
        fields: &Map<String, Value>,
        depth: usize,
    ) -> Result<(), BuildError> {
        fields.iter().try_for_each(|(name, value)| {
            self.value(object, Key::Map(name.clone()), false, value, depth).map(|_| ())
        })
    }

    fn list(&mut self, object: OpId, items: &[Value], depth: usize) -> Result<(), BuildError> {
        let mut key = Key::Head;
        for item in items {
            let id = self.value(Some(object), key, true, item, depth)?;
            key = Key::Element(id);
        }
        Ok(())
    }

    fn value(
        &mut self,
        object: Option<OpId>,
        key: Key,
        insert: bool,
        value: &Value,
        depth: usize,
    ) -> Result<OpId, BuildError> {
        if depth > RECORD_DEPTH_MAX {
            return Err(BuildError::TooDeep);
        }
        match value {
            Value::Object(fields) => {
                let id = self.push(object, key, insert, Action::MakeMap)?;
                self.map(Some(id), fields, depth + 1)?;
                Ok(id)
            }
            Value::Array(items) => {
                let id = self.push(object, key, insert, Action::MakeList)?;
                self.list(id, items, depth + 1)?;
                Ok(id)
            }
            scalar => self.push(object, key, insert, Action::Set(to_scalar(scalar)?)),
        }
    }

    fn push(
        &mut self,
        object: Option<OpId>,
        key: Key,
        insert: bool,
        action: Action,
    ) -> Result<OpId, BuildError> {
        let key_bytes = if let Key::Map(text) = &key { text.len() } else { 0 };
        let text_bytes = if let Action::Set(Scalar::Text(text)) = &action { text.len() } else { 0 };
        if key_bytes + text_bytes > TEXT_BYTES_MAX {
            return Err(BuildError::TextTooLong(key_bytes + text_bytes));
        }
        if self.next > RECORD_OPS_MAX as u64 {
            return Err(BuildError::TooManyValues);
        }
        let size = key_bytes + text_bytes + OP_BYTES;
        self.total += size;
        if self.total > RECORD_BYTES_MAX {
            return Err(BuildError::TooLarge);
        }
        let full = self.ops.len() >= CHANGE_OPS_MAX
            || self.bytes + size > CHANGE_TEXT_BYTES && !self.ops.is_empty();
        if full {
            self.close();
        }
        self.bytes += size;
        self.ops.push(Op { object, key, insert, action, pred: vec![] });
        let id = OpId { counter: self.next, actor: 0 };
        self.next += 1;
        Ok(id)
    }

    fn close(&mut self) {
        let ops = std::mem::take(&mut self.ops);
        self.bytes = 0;
        let change = Change {
            deps: self.dep.into_iter().collect(),
            actors: vec![self.actor],
            seq: self.built.len() as u64 + 1,
            start_op: self.next - ops.len() as u64,
            time: self.time,
            ops,
        };
        let bytes = encode(&change);
        self.dep = Some(hash(&bytes));
        self.built.push(Built { bytes });
    }
}

pub(crate) fn to_scalar(value: &Value) -> Result<Scalar, BuildError> {
    Ok(match value {
        Value::Bool(value) => Scalar::Bool(*value),
        Value::String(text) => Scalar::Text(text.clone()),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(n), _, _) => Scalar::Int(n),
            (None, Some(n), _) => Scalar::Uint(n),
            (None, None, Some(n)) if n.is_finite() => Scalar::F64(n),
            _ => return Err(BuildError::Number),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => Scalar::Null,
    })
}
