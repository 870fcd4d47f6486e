//! A record that is one change, shown without Automerge.

use serde_json::{Map, Number, Value};

use super::{Action, Change, Elem, Key, ObjId, Op, Scalar};

impl Scalar {
    /// A JSON value that is neither object nor array; those are null here.
    #[must_use]
    pub fn of_json(value: &Value) -> Self {
        match value {
            Value::Bool(value) => Self::Bool(*value),
            Value::String(text) => Self::Str(text.clone()),
            Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(n), _, _) => Self::Int(n),
                (None, Some(n), _) => Self::Uint(n),
                (None, None, Some(n)) => Self::F64(n),
                (None, None, None) => Self::Null,
            },
            Value::Null | Value::Array(_) | Value::Object(_) => Self::Null,
        }
    }

    /// The JSON value. Bytes are shown as lower-case hex, a time as its number of milliseconds, a
    /// counter as its number; what JSON cannot say (an infinity) is null.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(n) | Self::Counter(n) | Self::Timestamp(n) => Value::from(*n),
            Self::Uint(n) => Value::from(*n),
            Self::F64(n) => Number::from_f64(*n).map_or(Value::Null, Value::Number),
            Self::Str(text) => Value::String(text.clone()),
            Self::Bytes(bytes) => {
                Value::String(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
            }
        }
    }
}

/// The fields that a record has after its first change and no other: what Automerge would show.
/// None if the change is no first one, or does more than put values in their places, once each, in
/// order; then only Automerge can tell. The change must have passed the gate.
#[must_use]
pub fn to_json(change: &Change) -> Option<Map<String, Value>> {
    if change.seq != 1 || change.start_op != 1 || !change.deps.is_empty() {
        return None;
    }
    let mut objects: Vec<Object> = change.ops.iter().map(Object::made_by).collect();
    let mut root = Map::new();
    appended_only(change)?;
    // Whatever an operation mentions was made before it, so from the last to the first every
    // object is complete when its own operation is met.
    for (index, op) in change.ops.iter().enumerate().rev() {
        let value = match (&op.action, objects.pop()?) {
            (Action::Put(Scalar::Bytes(_) | Scalar::Counter(_)), _) => return None,
            (Action::Put(scalar), _) => scalar.to_json(),
            (_, object) => object.into_value()?,
        };
        if !op.pred.is_empty() {
            return None;
        }
        match (op.obj, &op.key) {
            (ObjId::Root, Key::Map(name)) => put(&mut root, name, value)?,
            (ObjId::Made(id), key) if id.actor == 0 => {
                let maker = usize::try_from(id.counter.checked_sub(1)?).ok()?;
                match (objects.get_mut(maker).filter(|_| maker < index)?, key, value) {
                    (Object::Map(fields), Key::Map(name), value) => put(fields, name, value)?,
                    (Object::List(items), Key::Seq(_), value) => items.push(value),
                    (Object::Text(parts), Key::Seq(_), Value::String(part)) => parts.push(part),
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
    Some(root)
}

/// What an operation makes, being filled from its end.
enum Object {
    None,
    Map(Map<String, Value>),
    List(Vec<Value>),
    Text(Vec<String>),
}

impl Object {
    fn made_by(op: &Op) -> Self {
        match op.action {
            Action::MakeMap => Self::Map(Map::new()),
            Action::MakeList => Self::List(Vec::new()),
            Action::MakeText => Self::Text(Vec::new()),
            _ => Self::None,
        }
    }

    fn into_value(self) -> Option<Value> {
        match self {
            Self::None => None,
            Self::Map(fields) => Some(Value::Object(fields)),
            Self::List(mut items) => {
                items.reverse();
                Some(Value::Array(items))
            }
            Self::Text(mut parts) => {
                parts.reverse();
                Some(Value::String(parts.concat()))
            }
        }
    }
}

/// Two values in one place are a conflict.
fn put(fields: &mut Map<String, Value>, name: &str, value: Value) -> Option<()> {
    if fields.insert(name.to_owned(), value).is_some() { None } else { Some(()) }
}

/// Whether every element is inserted behind the one that was inserted before it, so that their
/// order in the list is that of the operations.
fn appended_only(change: &Change) -> Option<()> {
    let mut last: Vec<u64> = vec![0; change.ops.len()];
    for (index, op) in change.ops.iter().enumerate() {
        let Key::Seq(elem) = op.key else { continue };
        let ObjId::Made(list) = op.obj else { return None };
        let list = last.get_mut(usize::try_from(list.counter.checked_sub(1)?).ok()?)?;
        let behind = match elem {
            Elem::Head => 0,
            Elem::Inserted(id) if id.actor == 0 => id.counter,
            Elem::Inserted(_) => return None,
        };
        if !op.insert || behind != *list {
            return None;
        }
        *list = index as u64 + 1;
    }
    Some(())
}
