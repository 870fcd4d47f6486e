//! What was *brought*: what the source of a record, a file that was imported, said of it last. Whoever
//! imports a later version of the file compares it with that, and so sees apart what the file changed and
//! what people did.
//!
//! Nothing is kept for it. A record's genesis and what imports changed later say so by their kind, on every
//! peer alike. What they do is done again by itself, as if nobody had edited in between: one after
//! another, by the highest operation of each, because whatever builds on a change has higher ones, whichever
//! clocks its authors have. That is one walk over their operations, however many changes there are.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::change::{Action, Change, Elem, Key, ObjId, OpId, Scalar};
use crate::entry::sealed::EntryKind;
use crate::gate::Name;
use crate::hash::Digest;
use crate::id::LogId;

use super::{Slot, Thread};

impl Thread {
    /// What was brought last, property by property, in the logs for which `of` says yes. A property that is
    /// not there was never brought, or was taken away by the last import that touched it.
    pub(crate) fn brought(&self, of: &dyn Fn(&LogId) -> bool) -> Map<String, Value> {
        let brings = |slot: &&Slot| {
            let kind = slot.opened.header.kind;
            matches!(kind, EntryKind::GENESIS | EntryKind::BROUGHT)
                && of(&slot.opened.log)
                && self.is_materialised(slot)
        };
        let changes = self.slots.values().filter(brings).filter_map(|slot| slot.change);
        let mut changes: Vec<(u64, Digest)> =
            changes.map(|change| (change.max_op, change.hash)).collect();
        changes.sort_unstable();
        let mut source = Source::default();
        for (_, change) in changes {
            self.document.change(&change).into_iter().for_each(|change| source.take(change));
        }
        source.fields()
    }
}

/// What the changes taken so far make of a record.
#[derive(Default)]
struct Source {
    root: BTreeMap<String, Name>,
    /// What each operation put. What is not here, somebody else put.
    values: BTreeMap<Name, Made>,
}

enum Made {
    Scalar(Value),
    Map(BTreeMap<String, Name>),
    List(Row),
    Text(Row),
}

/// The elements of a list, named by the operations that inserted them.
#[derive(Default)]
struct Row {
    /// What follows an element; what is first follows none.
    next: BTreeMap<Option<Name>, Name>,
    /// What was put there last; none where it was deleted.
    values: BTreeMap<Name, Option<Name>>,
}

impl Source {
    fn take(&mut self, change: &Change) {
        for (counter, op) in (change.start_op..).zip(&change.ops) {
            let name = |id: OpId| Some((id.counter, change.actor_of(id)?));
            let own = (counter, change.actor);
            let made = match &op.action {
                Action::Put(scalar) => Some(Made::Scalar(Scalar::to_json(scalar))),
                Action::MakeMap => Some(Made::Map(BTreeMap::new())),
                Action::MakeList => Some(Made::List(Row::default())),
                Action::MakeText => Some(Made::Text(Row::default())),
                Action::Delete => None,
                Action::Increment(_) => continue,
            };
            let put = made.is_some();
            let object = match op.obj {
                ObjId::Root => None,
                ObjId::Made(id) => match name(id).and_then(|id| self.values.get_mut(&id)) {
                    Some(object) => Some(object),
                    None => continue,
                },
            };
            match (object, &op.key) {
                (None, Key::Map(field)) => set(&mut self.root, field, put.then_some(own)),
                (Some(Made::Map(fields)), Key::Map(field)) => {
                    set(fields, field, put.then_some(own));
                }
                (Some(Made::List(row) | Made::Text(row)), Key::Seq(elem)) => {
                    let at = match elem {
                        Elem::Head => None,
                        Elem::Inserted(id) => name(*id),
                    };
                    if op.insert { row.insert(at, own) } else { row.set(at, put.then_some(own)) }
                }
                _ => continue,
            }
            self.values.extend(made.map(|made| (own, made)));
        }
    }

    fn fields(&self) -> Map<String, Value> {
        self.map(&self.root)
    }

    fn map(&self, fields: &BTreeMap<String, Name>) -> Map<String, Value> {
        fields.iter().map(|(field, value)| (field.clone(), self.value(value))).collect()
    }

    /// The gate bounds how deep this goes.
    fn value(&self, name: &Name) -> Value {
        let values =
            |row: &Row| -> Vec<Value> { row.values().map(|name| self.value(name)).collect() };
        match self.values.get(name) {
            None => Value::Null,
            Some(Made::Scalar(value)) => value.clone(),
            Some(Made::Map(fields)) => self.map(fields).into(),
            Some(Made::List(row)) => values(row).into(),
            Some(Made::Text(row)) => {
                let parts = values(row);
                Value::String(parts.iter().filter_map(Value::as_str).collect())
            }
        }
    }
}

impl Row {
    /// Inserts behind an element that is there, or at the head.
    fn insert(&mut self, at: Option<Name>, name: Name) {
        if at.is_some_and(|at| !self.values.contains_key(&at)) {
            return;
        }
        if let Some(after) = self.next.insert(at, name) {
            self.next.insert(Some(name), after);
        }
        self.values.insert(name, Some(name));
    }

    fn set(&mut self, at: Option<Name>, value: Option<Name>) {
        if let Some(put) = at.and_then(|at| self.values.get_mut(&at)) {
            *put = value;
        }
    }

    /// What is there, in order.
    fn values(&self) -> impl Iterator<Item = &Name> {
        let next = |name: Option<Name>| self.next.get(&name);
        let names = std::iter::successors(next(None), move |name| next(Some(**name)));
        names.filter_map(|name| self.values.get(name)?.as_ref())
    }
}

fn set(fields: &mut BTreeMap<String, Name>, field: &str, value: Option<Name>) {
    match value {
        Some(value) => fields.insert(field.to_owned(), value),
        None => fields.remove(field),
    };
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::change::first_change;

    fn made_of<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Value {
        let mut source = Source::default();
        changes.into_iter().for_each(|change| source.take(change));
        source.fields().into()
    }

    #[test]
    fn what_a_source_says_at_once_is_what_it_brought() {
        let long: Vec<Value> = (0..2_000).map(|n| json!({ "n": n, "of": [n, null] })).collect();
        for (fields, changes) in [
            (json!({ "a": 1, "b": { "c": [true, ["x", {}], []] }, "d": -0.5 }), 1..2),
            (json!({ "points": long, "name": "a track" }), 2..100),
        ] {
            let built = first_change([1; 16], 0, fields.as_object().unwrap()).unwrap();
            assert!(changes.contains(&built.len()), "{}", built.len());
            assert_eq!(made_of(built.iter().map(|built| &built.change)), fields);
        }
    }

    /// Elements go where they were put, behind deleted ones too; what somebody else made is not touched.
    #[test]
    fn operations_do_again_what_they_did() {
        use crate::change::Op;
        let list = json!({ "list": [1, 2, 3] });
        let built = first_change([1; 16], 0, list.as_object().unwrap()).unwrap();
        let id = |counter| OpId { counter, actor: 1 };
        let op = |obj, key, insert, action| Op { obj, key, insert, action, pred: vec![] };
        let (list, put) = (ObjId::Made(id(1)), |n| Action::Put(Scalar::Int(n)));
        let at = |counter| Key::Seq(Elem::Inserted(id(counter)));
        let ops = vec![
            op(list, at(2), false, Action::Delete),
            op(list, at(2), true, put(9)),
            op(list, at(3), false, put(8)),
            op(list, Key::Seq(Elem::Head), true, put(7)),
            op(list, at(77), true, put(6)),
            op(ObjId::Made(id(50)), Key::Map("a".into()), false, put(5)),
            op(ObjId::Root, Key::Map("new".into()), false, Action::MakeMap),
            op(ObjId::Root, Key::Map("gone".into()), false, Action::Delete),
        ];
        let (actor, other_actors) = ([2; 16], vec![[1; 16]]);
        let later = Change { actor, other_actors, seq: 1, start_op: 5, ops, ..Change::default() };
        let all = [&built[0].change, &later];
        assert_eq!(made_of(all), json!({ "list": [7, 9, 8, 3], "new": {} }));
    }
}
