//! Editing a record: one new change on top of all that is there.

use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::transaction::{CommitOptions, Transactable as _, Transaction};
use automerge::{
    ActorId, AutomergeError, ChangeHash, ObjId, ObjType, Prop, ROOT, ReadDoc as _, ScalarValue,
};
use autosurgeon::Reconcile;
use serde_json::Value;

use crate::bounds::RECORD_DEPTH_MAX;
use crate::change::{Actor, Scalar, decode, encode};
use crate::gate::{Admitted, Expected, GateFault, admit};
use crate::hash::Digest;

use super::{Document, Held};

/// One step from an object to what is in it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Segment {
    /// The field of a map. In a list, a position written as text.
    Name(String),
    /// The element of a list. One past the end appends.
    Index(usize),
}

/// What is to be set and unset, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patch {
    edits: Vec<(Vec<Segment>, Option<Value>)>,
}

impl Patch {
    /// Sets a value, instead of all concurrent ones that are there. Maps missing on the way are
    /// made. A text object is changed where the new text differs; anything else is replaced.
    pub fn set(&mut self, path: Vec<Segment>, value: Value) {
        self.edits.push((path, Some(value)));
    }

    /// Removes a value, if it is there.
    pub fn unset(&mut self, path: Vec<Segment>) {
        self.edits.push((path, None));
    }

    /// Whether it does nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }
}

/// Why there is no edit. The document is as it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EditError {
    /// Two edits of one record in one act, of which the second would build on the first.
    #[error("one change of a record at a time")]
    Repeated,
    /// A path that leads nowhere: through a value that is no map or list, or past a list's end.
    #[error("there is no such place in the record")]
    NoPlace,
    /// Nested deeper than [`RECORD_DEPTH_MAX`].
    #[error("nested deeper than {RECORD_DEPTH_MAX} levels")]
    TooDeep,
    /// All values were already so.
    #[error("nothing would change")]
    NoChange,
    /// The actor's next change has another place in its line.
    #[error("the actor's next change is {expected}, not {found}")]
    Seq {
        /// What was asked for.
        found: u64,
        /// What is due.
        expected: u64,
    },
    /// Changes of the record are held back on this peer, so nothing can build on all of it.
    #[error("changes of the record are held back here")]
    HeldBack,
    /// The value cannot be written as its type asks.
    #[error("the value does not reconcile with the record")]
    Irreconcilable,
    /// The change would be void: it is above a limit, or has a value that records do not take.
    #[error("the change would be void: {0}")]
    Void(GateFault),
    /// The record is full.
    #[error("the record is full")]
    Full,
    /// Automerge failed.
    #[error("Automerge failed on the edit")]
    Failed,
}

impl From<AutomergeError> for EditError {
    fn from(error: AutomergeError) -> Self {
        match error {
            AutomergeError::InvalidIndex(_) | AutomergeError::InvalidOp(_) => Self::NoPlace,
            _ => Self::Failed,
        }
    }
}

impl Document {
    /// The change that a patch makes, by an actor whose `seq`-th it is. The document stays as it
    /// is: the change comes back through the gate like any other.
    pub fn edit(
        &self,
        actor: Actor,
        seq: u64,
        time: i64,
        patch: &Patch,
    ) -> Result<Vec<u8>, EditError> {
        let admitted = self.write_on(None, actor, seq, time, |transaction| {
            patch
                .edits
                .iter()
                .try_for_each(|(path, value)| write_path(transaction, path, value.as_ref()))
        })?;
        Ok(admitted.bytes().to_vec())
    }

    /// The change that makes the record equal to a typed value.
    pub fn reconcile<T: Reconcile>(
        &self,
        actor: Actor,
        seq: u64,
        time: i64,
        value: &T,
    ) -> Result<Vec<u8>, EditError> {
        let admitted = self.write_on(None, actor, seq, time, |transaction| {
            autosurgeon::reconcile(transaction, value).map_err(|_| EditError::Irreconcilable)
        })?;
        Ok(admitted.bytes().to_vec())
    }

    /// Writes on top of some changes and all that they build on; on top of all, if none are given.
    pub(super) fn write_on(
        &self,
        heads: Option<&[Digest]>,
        actor: Actor,
        seq: u64,
        time: i64,
        write: impl FnOnce(&mut Transaction<'_>) -> Result<(), EditError>,
    ) -> Result<Admitted, EditError> {
        if !self.is_whole() {
            return Err(EditError::HeldBack);
        }
        let due = self.history.next_seq(&actor);
        if seq != due {
            return Err(EditError::Seq { found: seq, expected: due });
        }
        let written = catch_unwind(AssertUnwindSafe(|| {
            let merged = self.merged().map_err(|_| EditError::Failed)?;
            let mut copy = match heads {
                None => merged.into_owned(),
                Some(heads) => {
                    let heads: Vec<ChangeHash> = heads.iter().copied().map(ChangeHash).collect();
                    merged.fork_at(&heads)?
                }
            };
            copy.set_actor(ActorId::from(actor));
            let mut transaction = copy.transaction();
            write(&mut transaction)?;
            let (hash, _) = transaction.commit_with(CommitOptions::default().with_time(time));
            let hash = hash.ok_or(EditError::NoChange)?;
            let change = copy.get_change_by_hash(&hash).ok_or(EditError::Failed)?;
            Ok(change.raw_bytes().to_vec())
        }));
        let written = written.unwrap_or(Err(EditError::Failed))?;
        let mut deps = heads.map_or_else(|| self.heads(), <[Digest]>::to_vec);
        deps.sort_unstable();
        let bytes = on_heads(&written, &deps)?;
        self.check(actor, seq, &deps, &bytes)
    }

    /// Whether a change of ours would be let in by every peer.
    fn check(
        &self,
        actor: Actor,
        seq: u64,
        deps: &[Digest],
        bytes: &[u8],
    ) -> Result<Admitted, EditError> {
        let start_op = self.history.max_op_of(deps) + 1;
        let expected = Expected { actor, seq, deps, start_op };
        let admitted = admit(bytes, &expected).map_err(EditError::Void)?;
        match self.history.clone().accept(&admitted) {
            Ok(()) => Ok(admitted),
            Err(Held::Unsound(fault)) => Err(EditError::Void(fault)),
            Err(Held::Full) => Err(EditError::Full),
            Err(_) => Err(EditError::Failed),
        }
    }
}

/// The same change, depending on these heads and nothing else. Automerge adds the actor's own last
/// change even where the heads build on it; our entries do not.
fn on_heads(written: &[u8], heads: &[Digest]) -> Result<Vec<u8>, EditError> {
    let mut change =
        decode(written).map_err(|error| EditError::Void(GateFault::Unreadable(error)))?;
    change.deps = heads.to_vec();
    Ok(encode(&change))
}

fn write_path(
    transaction: &mut Transaction<'_>,
    path: &[Segment],
    value: Option<&Value>,
) -> Result<(), EditError> {
    let (last, way) = path.split_last().ok_or(EditError::NoPlace)?;
    let mut obj = ROOT;
    for segment in way {
        let prop = prop(transaction, &obj, segment)?;
        obj = match (transaction.get(&obj, prop.clone())?, &prop) {
            (Some((automerge::Value::Object(_), id)), _) => id,
            (Some(_), _) | (None, Prop::Seq(_)) => return Err(EditError::NoPlace),
            (None, Prop::Map(_)) if value.is_none() => return Ok(()),
            (None, Prop::Map(_)) => transaction.put_object(&obj, prop, ObjType::Map)?,
        };
    }
    let prop = prop(transaction, &obj, last)?;
    let there = transaction.get_all(&obj, prop.clone())?;
    let Some(value) = value else {
        if !there.is_empty() {
            transaction.delete(&obj, prop)?;
        }
        return Ok(());
    };
    if let ([(automerge::Value::Object(ObjType::Text), text)], Value::String(new)) =
        (there.as_slice(), value)
    {
        let text = text.clone();
        transaction.update_text(&text, new)?;
        return Ok(());
    }
    let depth = path.len();
    match prop {
        Prop::Seq(index) if there.is_empty() => put(transaction, &obj, index, true, depth, value),
        prop => put(transaction, &obj, prop, false, depth, value),
    }
}

fn prop(transaction: &Transaction<'_>, obj: &ObjId, segment: &Segment) -> Result<Prop, EditError> {
    match (transaction.object_type(obj)?, segment) {
        (ObjType::Map, Segment::Name(name)) => Ok(Prop::Map(name.clone())),
        (ObjType::List, Segment::Index(index)) => Ok(Prop::Seq(*index)),
        (ObjType::List, Segment::Name(name)) => {
            name.parse().map(Prop::Seq).map_err(|_| EditError::NoPlace)
        }
        _ => Err(EditError::NoPlace),
    }
}

/// Puts a value, and all that is in it, into the object on level `depth`.
fn put(
    transaction: &mut Transaction<'_>,
    obj: &ObjId,
    prop: impl Into<Prop>,
    insert: bool,
    depth: usize,
    value: &Value,
) -> Result<(), EditError> {
    let prop = prop.into();
    let kind = match value {
        Value::Object(_) => ObjType::Map,
        Value::Array(_) => ObjType::List,
        scalar => {
            let scalar = automerge_scalar(Scalar::of_json(scalar));
            match prop {
                Prop::Seq(index) if insert => transaction.insert(obj, index, scalar)?,
                prop => transaction.put(obj, prop, scalar)?,
            }
            return Ok(());
        }
    };
    if depth >= RECORD_DEPTH_MAX {
        return Err(EditError::TooDeep);
    }
    let made = match prop {
        Prop::Seq(index) if insert => transaction.insert_object(obj, index, kind)?,
        prop => transaction.put_object(obj, prop, kind)?,
    };
    match value {
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            put(transaction, &made, name.as_str(), false, depth + 1, value)
        }),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, value)| put(transaction, &made, index, true, depth + 1, value)),
        _ => Ok(()),
    }
}

pub(super) fn automerge_scalar(scalar: Scalar) -> ScalarValue {
    match scalar {
        Scalar::Null => ScalarValue::Null,
        Scalar::Bool(value) => ScalarValue::Boolean(value),
        Scalar::Int(n) => ScalarValue::Int(n),
        Scalar::Uint(n) => ScalarValue::Uint(n),
        Scalar::F64(n) => ScalarValue::F64(n),
        Scalar::Str(text) => ScalarValue::Str(text.into()),
        Scalar::Bytes(bytes) => ScalarValue::Bytes(bytes),
        Scalar::Counter(n) => ScalarValue::counter(n),
        Scalar::Timestamp(n) => ScalarValue::Timestamp(n),
    }
}
