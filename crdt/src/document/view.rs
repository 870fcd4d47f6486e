//! What a document shows.

use std::collections::BTreeMap;

use automerge::{Automerge, AutomergeError, ObjId, ObjType, Prop, ROOT, ReadDoc, ScalarValue};
use serde_json::{Map, Value};

use crate::change::{Actor, Scalar};

/// By the path of a field (names and positions, joined by dots): its concurrent values, the one
/// that is shown last.
pub type Conflicts = BTreeMap<String, Vec<Concurrent>>;

/// One of several concurrent values.
#[derive(Clone, Debug, PartialEq)]
pub struct Concurrent {
    /// The value.
    pub value: Value,
    /// Who put it there.
    pub actor: Actor,
    /// The counter of the operation that did.
    pub counter: u64,
}

/// Fields and conflicts, read once after each merge.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) fields: Map<String, Value>,
    pub(super) conflicts: Conflicts,
}

impl View {
    pub(super) fn of(doc: &Automerge) -> Result<Self, AutomergeError> {
        let mut conflicts = Conflicts::new();
        let mut path = Vec::new();
        let fields = map(doc, &ROOT, &mut path, &mut Some(&mut conflicts))?;
        Ok(Self { fields, conflicts })
    }
}

/// Where conflicts are noted, if they are.
type Notes<'a> = Option<&'a mut Conflicts>;

fn map(
    doc: &Automerge,
    obj: &ObjId,
    path: &mut Vec<String>,
    notes: &mut Notes<'_>,
) -> Result<Map<String, Value>, AutomergeError> {
    let mut fields = Map::new();
    for item in doc.map_range(obj, ..) {
        let name = item.key.to_string();
        path.push(name.clone());
        let shown = value(doc, &item.value.clone().into_value(), &item.id(), path, notes)?;
        if item.conflict {
            note(doc, obj, Prop::Map(name.clone()), path, notes)?;
        }
        path.pop();
        fields.insert(name, shown);
    }
    Ok(fields)
}

fn list(
    doc: &Automerge,
    obj: &ObjId,
    path: &mut Vec<String>,
    notes: &mut Notes<'_>,
) -> Result<Vec<Value>, AutomergeError> {
    let mut items = Vec::new();
    for item in doc.list_range(obj, ..) {
        path.push(item.index.to_string());
        let shown = value(doc, &item.value.clone().into_value(), &item.id(), path, notes)?;
        if item.conflict {
            note(doc, obj, Prop::Seq(item.index), path, notes)?;
        }
        path.pop();
        items.push(shown);
    }
    Ok(items)
}

fn value(
    doc: &Automerge,
    value: &automerge::Value<'_>,
    id: &ObjId,
    path: &mut Vec<String>,
    notes: &mut Notes<'_>,
) -> Result<Value, AutomergeError> {
    match value {
        automerge::Value::Object(ObjType::Map | ObjType::Table) => {
            map(doc, id, path, notes).map(Value::Object)
        }
        automerge::Value::Object(ObjType::List) => list(doc, id, path, notes).map(Value::Array),
        automerge::Value::Object(ObjType::Text) => doc.text(id).map(Value::String),
        automerge::Value::Scalar(scalar) => Ok(scalar_of(scalar).to_json()),
    }
}

fn note(
    doc: &Automerge,
    obj: &ObjId,
    prop: Prop,
    path: &mut Vec<String>,
    notes: &mut Notes<'_>,
) -> Result<(), AutomergeError> {
    let Some(notes) = notes else { return Ok(()) };
    let mut all = Vec::new();
    for (each, id) in doc.get_all(obj, prop)? {
        let shown = value(doc, &each, &id, path, &mut None)?;
        let ObjId::Id(counter, actor, _) = id else { continue };
        let actor = actor.to_bytes().try_into().unwrap_or_default();
        all.push(Concurrent { value: shown, actor, counter });
    }
    notes.insert(path.join("."), all);
    Ok(())
}

fn scalar_of(scalar: &ScalarValue) -> Scalar {
    match scalar {
        ScalarValue::Null => Scalar::Null,
        ScalarValue::Boolean(value) => Scalar::Bool(*value),
        ScalarValue::Int(n) => Scalar::Int(*n),
        ScalarValue::Uint(n) => Scalar::Uint(*n),
        ScalarValue::F64(n) => Scalar::F64(*n),
        ScalarValue::Str(text) => Scalar::Str(text.to_string()),
        ScalarValue::Bytes(bytes) => Scalar::Bytes(bytes.clone()),
        ScalarValue::Counter(counter) => Scalar::Counter(i64::from(counter)),
        ScalarValue::Timestamp(n) => Scalar::Timestamp(*n),
        ScalarValue::Unknown { bytes, .. } => Scalar::Bytes(bytes.clone()),
    }
}
