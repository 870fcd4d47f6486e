//! A first change read off as JSON, without a document.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use super::{Action, Change, Key, Op, OpId, Scalar};

/// The object that a first change makes of an empty document; `None` where it does more than make
/// and set (then a document has to be opened).
#[must_use]
pub fn to_json(change: &Change) -> Option<Map<String, Value>> {
    if change.seq != 1
        || !change.deps.is_empty()
        || change.start_op != 1
        || change.actors.len() != 1
    {
        return None;
    }
    let mut objects: BTreeMap<u64, Object> = BTreeMap::new();
    objects.insert(ROOT, Object::Map(BTreeMap::new()));
    for (op, counter) in change.ops.iter().zip(1u64..) {
        place(&mut objects, op, counter)?;
    }
    match take(&mut objects, ROOT)? {
        Value::Object(fields) => Some(fields),
        _ => None,
    }
}

/// The root map's place: no operation has this counter.
const ROOT: u64 = 0;

enum Object {
    Map(BTreeMap<String, Item>),
    /// In the list's order, each with its counter.
    List(Vec<(u64, Item)>),
}

enum Item {
    Value(Value),
    /// The object that the operation of this counter made.
    Object(u64),
}

fn place(objects: &mut BTreeMap<u64, Object>, op: &Op, counter: u64) -> Option<()> {
    if !op.pred.is_empty() {
        return None;
    }
    let item = match &op.action {
        Action::MakeMap => {
            objects.insert(counter, Object::Map(BTreeMap::new()));
            Item::Object(counter)
        }
        Action::MakeList => {
            objects.insert(counter, Object::List(Vec::new()));
            Item::Object(counter)
        }
        Action::Set(value) => Item::Value(to_value(value)?),
        Action::MakeText | Action::Delete | Action::Increment(_) => return None,
    };
    let object = op.object.map_or(ROOT, |id| id.counter);
    match (objects.get_mut(&object)?, &op.key, op.insert) {
        (Object::Map(fields), Key::Map(name), false) => {
            // Of two values set at once the greater id is shown, and ids ascend.
            fields.insert(name.clone(), item);
        }
        (Object::List(items), Key::Head, true) => items.insert(0, (counter, item)),
        (Object::List(items), Key::Element(OpId { counter: after, .. }), true) => {
            let at = match items.last() {
                Some((last, _)) if last == after => items.len(),
                _ => items.iter().position(|(id, _)| id == after)? + 1,
            };
            items.insert(at, (counter, item));
        }
        _ => return None,
    }
    Some(())
}

fn take(objects: &mut BTreeMap<u64, Object>, id: u64) -> Option<Value> {
    Some(match objects.remove(&id)? {
        Object::Map(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, item)| Some((name, value(objects, item)?)))
                .collect::<Option<_>>()?,
        ),
        Object::List(items) => Value::Array(
            items.into_iter().map(|(_, item)| value(objects, item)).collect::<Option<_>>()?,
        ),
    })
}

fn value(objects: &mut BTreeMap<u64, Object>, item: Item) -> Option<Value> {
    match item {
        Item::Value(value) => Some(value),
        Item::Object(id) => take(objects, id),
    }
}

fn to_value(scalar: &Scalar) -> Option<Value> {
    Some(match scalar {
        Scalar::Null => Value::Null,
        Scalar::Bool(value) => Value::Bool(*value),
        Scalar::Uint(n) => Value::from(*n),
        Scalar::Int(n) => Value::from(*n),
        Scalar::F64(n) => Value::Number(Number::from_f64(*n)?),
        Scalar::Text(text) => Value::String(text.clone()),
        Scalar::Bytes(_) | Scalar::Counter(_) | Scalar::Timestamp(_) => return None,
    })
}
