//! Histories so plain that they read themselves: a record that begins with one change, and then changes one
//! after the other that put values in places of the root, each instead of the one that is there.
//!
//! Nothing in them is concurrent, so that what Automerge would show follows from the operations alone. That
//! is most records that were edited at all. Whatever else a change does, only Automerge can tell.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::change::{self, Action, Change, Key, ObjId, OpId, Scalar};
use crate::gate::{Admitted, Name};
use crate::hash::Digest;

/// Most changes that are read so. Each edit has Automerge merge them first.
pub(super) const FLAT_CHANGES_MAX: usize = 8;

/// What is known of such a history.
#[derive(Clone, Debug, Default)]
pub(super) struct Flat {
    /// The last change; none before the first.
    head: Option<Digest>,
    /// The operation that put what is shown, by field.
    shown: BTreeMap<String, Name>,
}

impl Flat {
    /// The last change.
    pub(super) const fn head(&self) -> Option<Digest> {
        self.head
    }

    /// The history and its fields with one change more; none if that is not so plain.
    pub(super) fn with(
        mut self,
        mut fields: Map<String, Value>,
        admitted: &Admitted,
    ) -> Option<(Self, Map<String, Value>)> {
        let change = admitted.change();
        match self.head {
            None => {
                fields = change::to_json(change)?;
                for (op, this) in change.ops.iter().zip(names(change)) {
                    if let (ObjId::Root, Key::Map(field)) = (op.obj, &op.key) {
                        self.shown.insert(field.clone(), this);
                    }
                }
            }
            Some(head) if change.deps == [head] => self.follow(&mut fields, change)?,
            Some(_) => return None,
        }
        self.head = Some(admitted.hash());
        Some((self, fields))
    }

    fn follow(&mut self, fields: &mut Map<String, Value>, change: &Change) -> Option<()> {
        for (op, this) in change.ops.iter().zip(names(change)) {
            let (ObjId::Root, Key::Map(field)) = (op.obj, &op.key) else { return None };
            let named = |id: &OpId| Some((id.counter, change.actor_of(*id)?));
            let replaces_all = match (op.pred.as_slice(), self.shown.get(field)) {
                ([], None) => true,
                ([id], Some(shown)) => named(id) == Some(*shown),
                _ => false,
            };
            match &op.action {
                _ if !replaces_all => return None,
                Action::Put(Scalar::Bytes(_) | Scalar::Counter(_)) => return None,
                Action::Put(scalar) => {
                    fields.insert(field.clone(), scalar.to_json());
                    self.shown.insert(field.clone(), this);
                }
                Action::Delete => {
                    fields.remove(field);
                    self.shown.remove(field);
                }
                _ => return None,
            }
        }
        Some(())
    }
}

/// The names of a change's operations.
fn names(change: &Change) -> impl Iterator<Item = Name> + '_ {
    (change.start_op..).map(|counter| (counter, change.actor))
}
