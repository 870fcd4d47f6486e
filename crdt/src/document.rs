//! Documents: Automerge, kept behind the gate.
//!
//! A change is applied to a copy, with panics caught; a copy that fails is dropped, the document
//! stays as it was, and the change is *held back* here: an alarm of this peer, never a verdict.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{
    ActorId, Automerge, Change as Applied, ChangeHash, ObjId, ObjType, ROOT, ReadDoc, ScalarValue,
    Value as Held_,
};
use serde_json::{Map, Number, Value};

use crate::bounds::RECORD_DEPTH_MAX;
use crate::change::{self, BuildError};
use crate::gate::{self, Admitted, Expected, GateFault};
use crate::hash::{Digest, Domain};
use crate::id::RecordId;

/// The actor of a device's run of changes to a record in a log.
#[must_use]
pub fn actor(log: &Digest, record: &RecordId, run: u32) -> change::ActorId {
    let hash = Domain::Actor.hash(&[log, &record.0, &run.to_be_bytes()]);
    let mut actor = [0; 16];
    actor.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    actor
}

/// Concurrent values, by path (names joined by dots). Of each path the value that is shown first.
pub type Conflicts = BTreeMap<String, Vec<Concurrent>>;

/// One of several values of a property.
#[derive(Clone, Debug, PartialEq)]
pub struct Concurrent {
    /// The value.
    pub value: Value,
    /// Who set it.
    pub actor: change::ActorId,
}

/// A step of a path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Segment {
    /// A map's key.
    Name(String),
}

/// What an edit changes: properties to set or remove, by path.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patch {
    steps: Vec<(Vec<Segment>, Option<Value>)>,
}

impl Patch {
    /// Sets a property; maps on the way to it are made.
    pub fn set(&mut self, path: Vec<Segment>, value: Value) {
        self.steps.push((path, Some(value)));
    }

    /// Removes a property.
    pub fn unset(&mut self, path: Vec<Segment>) {
        self.steps.push((path, None));
    }
}

/// Why an edit is not made. Nothing changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EditError {
    /// Two changes of one record in one act.
    #[error("a record takes one change at a time")]
    Repeated,
    /// It changes nothing.
    #[error("the edit changes nothing")]
    Empty,
    /// A path leads through something that is no group of properties.
    #[error("the path leads through something that is no group of properties")]
    NotAMap,
    /// A value cannot be held.
    #[error(transparent)]
    Value(#[from] BuildError),
    /// The change would be too large, or otherwise void.
    #[error("the edit would not count: {0}")]
    Refused(GateFault),
    /// Automerge failed.
    #[error("the edit could not be made")]
    Failed,
}

/// Automerge failed on a change that passed the gate: to be reported, and looked into.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Held;

/// A record's document.
#[derive(Clone, Debug)]
pub struct Document(Automerge);

/// Most values that are walked for JSON or conflicts; a record holds fewer operations.
const VALUES_MAX: usize = 2 * crate::bounds::RECORD_OPS_MAX;

impl Document {
    /// An empty document.
    #[must_use]
    pub fn empty() -> Self {
        Self(Automerge::new())
    }

    /// Applies a change that passed the gate.
    pub fn apply(&mut self, admitted: &Admitted) -> Result<(), Held> {
        let mut copy = self.0.clone();
        let bytes = admitted.bytes().to_vec();
        let hash = ChangeHash(admitted.hash());
        let applied = catch_unwind(AssertUnwindSafe(move || {
            let change = Applied::from_bytes(bytes).ok()?;
            copy.apply_changes([change]).ok()?;
            copy.get_change_by_hash(&hash)?;
            // Reading walks all of it: what panics later would panic here.
            let _ = json(&copy);
            Some(copy)
        }));
        match applied {
            Ok(Some(copy)) => {
                self.0 = copy;
                Ok(())
            }
            _ => Err(Held),
        }
    }

    /// The record's properties.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        json(&self.0)
    }

    /// The properties with several values at once.
    #[must_use]
    pub fn conflicts(&self) -> Conflicts {
        let mut out = Conflicts::new();
        let mut left = VALUES_MAX;
        conflicts(&self.0, &ROOT, "", RECORD_DEPTH_MAX, &mut left, &mut out);
        out
    }

    /// Reads a typed view of the record.
    pub fn hydrate<T: autosurgeon::Hydrate>(&self) -> Result<T, autosurgeon::HydrateError> {
        autosurgeon::hydrate(&self.0)
    }

    /// Makes one change of a patch, on top of all changes. The change is not applied here: it comes
    /// back through the gate, as everybody's.
    pub fn edit(
        &self,
        actor: change::ActorId,
        seq: u64,
        time: i64,
        patch: &Patch,
    ) -> Result<Vec<u8>, EditError> {
        self.transact(actor, seq, time, |transaction| {
            for (path, value) in &patch.steps {
                put_path(transaction, path, value.as_ref())?;
            }
            Ok(())
        })
    }

    /// Makes one change of a typed view.
    pub fn reconcile<T: autosurgeon::Reconcile>(
        &self,
        actor: change::ActorId,
        seq: u64,
        time: i64,
        view: &T,
    ) -> Result<Vec<u8>, EditError> {
        self.transact(actor, seq, time, |transaction| {
            autosurgeon::reconcile(transaction, view).map_err(|_| EditError::Failed)
        })
    }

    fn transact(
        &self,
        actor: change::ActorId,
        seq: u64,
        time: i64,
        act: impl FnOnce(&mut automerge::transaction::Transaction<'_>) -> Result<(), EditError>,
    ) -> Result<Vec<u8>, EditError> {
        let mut copy = self.0.clone();
        let heads = copy.get_heads();
        let start_op = copy.get_changes(&[]).iter().map(Applied::max_op).max().unwrap_or(0) + 1;
        let made = catch_unwind(AssertUnwindSafe(move || {
            copy.set_actor(ActorId::from(actor));
            let mut transaction = copy.transaction();
            if let Err(error) = act(&mut transaction) {
                transaction.rollback();
                return Err(error);
            }
            let hash = transaction.commit_with(CommitOptions::default().with_time(time)).0;
            let hash = hash.ok_or(EditError::Empty)?;
            let change = copy.get_change_by_hash(&hash).ok_or(EditError::Failed)?;
            Ok(change.raw_bytes().to_vec())
        }));
        let bytes = made.map_err(|_| EditError::Failed)??;
        let mut deps: Vec<[u8; 32]> = heads.iter().map(|hash| hash.0).collect();
        deps.sort_unstable();
        let expected = Expected { actor, seq, deps: &deps, start_op };
        gate::admit(&bytes, &expected).map_err(EditError::Refused)?;
        Ok(bytes)
    }
}

fn put_path(
    transaction: &mut impl Transactable,
    path: &[Segment],
    value: Option<&Value>,
) -> Result<(), EditError> {
    let failed = |_| EditError::Failed;
    let Some((Segment::Name(last), parents)) = path.split_last() else {
        return Err(EditError::Empty);
    };
    let mut object = ROOT;
    for Segment::Name(name) in parents {
        object = match transaction.get(&object, name.as_str()).map_err(failed)? {
            Some((Held_::Object(ObjType::Map), id)) => id,
            Some(_) => return Err(EditError::NotAMap),
            None if value.is_none() => return Ok(()),
            None => transaction.put_object(&object, name.as_str(), ObjType::Map).map_err(failed)?,
        };
    }
    match value {
        None => {
            if transaction.get(&object, last.as_str()).map_err(failed)?.is_some() {
                transaction.delete(&object, last.as_str()).map_err(failed)?;
            }
            Ok(())
        }
        Some(value) => put(transaction, &object, last, value, RECORD_DEPTH_MAX),
    }
}

fn put(
    transaction: &mut impl Transactable,
    object: &ObjId,
    name: &str,
    value: &Value,
    depth: usize,
) -> Result<(), EditError> {
    let failed = |_| EditError::Failed;
    let deeper = depth.checked_sub(1).ok_or(EditError::Value(BuildError::TooDeep))?;
    match value {
        Value::Object(fields) => {
            let id = transaction.put_object(object, name, ObjType::Map).map_err(failed)?;
            fields.iter().try_for_each(|(name, value)| put(transaction, &id, name, value, deeper))
        }
        Value::Array(items) => {
            let id = transaction.put_object(object, name, ObjType::List).map_err(failed)?;
            insert_all(transaction, &id, items, deeper)
        }
        scalar => transaction.put(object, name, to_scalar(scalar)?).map_err(failed),
    }
}

fn insert_all(
    transaction: &mut impl Transactable,
    list: &ObjId,
    items: &[Value],
    depth: usize,
) -> Result<(), EditError> {
    let failed = |_| EditError::Failed;
    let deeper = depth.checked_sub(1).ok_or(EditError::Value(BuildError::TooDeep))?;
    for (n, item) in items.iter().enumerate() {
        match item {
            Value::Object(fields) => {
                let id = transaction.insert_object(list, n, ObjType::Map).map_err(failed)?;
                fields
                    .iter()
                    .try_for_each(|(name, value)| put(transaction, &id, name, value, deeper))?;
            }
            Value::Array(inner) => {
                let id = transaction.insert_object(list, n, ObjType::List).map_err(failed)?;
                insert_all(transaction, &id, inner, deeper)?;
            }
            scalar => transaction.insert(list, n, to_scalar(scalar)?).map_err(failed)?,
        }
    }
    Ok(())
}

fn to_scalar(value: &Value) -> Result<ScalarValue, EditError> {
    use crate::change::Scalar;
    Ok(match change::scalar_of(value)? {
        Scalar::Bool(value) => ScalarValue::Boolean(value),
        Scalar::Text(text) => ScalarValue::Str(text.into()),
        Scalar::Int(n) => ScalarValue::Int(n),
        Scalar::Uint(n) => ScalarValue::Uint(n),
        Scalar::F64(n) => ScalarValue::F64(n),
        _ => ScalarValue::Null,
    })
}

fn json(document: &Automerge) -> Map<String, Value> {
    let mut left = VALUES_MAX;
    match object(document, &ROOT, RECORD_OBJECTS_DEPTH, &mut left) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// A hostile change can nest as deep as it has operations; the walk stops where records do, with
/// room for what an edit adds.
const RECORD_OBJECTS_DEPTH: usize = 4 * RECORD_DEPTH_MAX;

fn object(document: &Automerge, id: &ObjId, depth: usize, left: &mut usize) -> Value {
    let Some(deeper) = depth.checked_sub(1) else { return Value::Null };
    let mut item = |value: Held_<'_>, id: ObjId| {
        if *left == 0 {
            return Value::Null;
        }
        *left -= 1;
        match value {
            Held_::Object(_) => object(document, &id, deeper, left),
            Held_::Scalar(value) => scalar(&value),
        }
    };
    match document.object_type(id) {
        Ok(ObjType::Map | ObjType::Table) => Value::Object(
            document
                .keys(id)
                .filter_map(|name| {
                    let (value, id) = document.get(id, name.as_str()).ok()??;
                    let value = item(value, id);
                    Some((name, value))
                })
                .collect(),
        ),
        Ok(ObjType::List) => Value::Array(
            (0..document.length(id))
                .filter_map(|n| document.get(id, n).ok()?)
                .map(|(value, id)| item(value, id))
                .collect(),
        ),
        Ok(ObjType::Text) => document.text(id).map_or(Value::Null, Value::String),
        Err(_) => Value::Null,
    }
}

fn scalar(value: &ScalarValue) -> Value {
    match value {
        ScalarValue::Boolean(value) => Value::Bool(*value),
        ScalarValue::Int(n) | ScalarValue::Timestamp(n) => Value::from(*n),
        ScalarValue::Uint(n) => Value::from(*n),
        ScalarValue::F64(n) => Number::from_f64(*n).map_or(Value::Null, Value::Number),
        ScalarValue::Str(text) => Value::String(text.to_string()),
        ScalarValue::Counter(counter) => Value::from(i64::from(counter)),
        ScalarValue::Bytes(bytes) => {
            Value::String(bytes.iter().map(|b| format!("{b:02x}")).collect())
        }
        ScalarValue::Null | ScalarValue::Unknown { .. } => Value::Null,
    }
}

fn conflicts(
    document: &Automerge,
    map: &ObjId,
    path: &str,
    depth: usize,
    left: &mut usize,
    out: &mut Conflicts,
) {
    let Some(deeper) = depth.checked_sub(1) else { return };
    for name in document.keys(map) {
        let Ok(all) = document.get_all(map, name.as_str()) else { continue };
        let path = if path.is_empty() { name } else { format!("{path}.{name}") };
        if all.len() > 1 {
            // Automerge lists them by rising id and shows the last.
            let values = all.iter().rev().map(|(value, id)| Concurrent {
                value: match value {
                    Held_::Object(_) => object(document, id, RECORD_DEPTH_MAX, left),
                    Held_::Scalar(value) => scalar(value),
                },
                actor: author(id),
            });
            out.insert(path.clone(), values.collect());
        }
        if let Some((Held_::Object(ObjType::Map), id)) = all.last() {
            conflicts(document, id, &path, deeper, left, out);
        }
    }
}

fn author(id: &ObjId) -> change::ActorId {
    match id {
        ObjId::Id(_, actor, _) => actor.to_bytes().try_into().unwrap_or_default(),
        ObjId::Root => change::ActorId::default(),
    }
}
