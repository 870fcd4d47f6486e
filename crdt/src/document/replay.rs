//! Saying again: what an author's changes did that do not count, because they build on others that
//! do not, done anew on top of what counted of all that they build on.
//!
//! The changes are gone through operation by operation. What an operation names is translated: an
//! object or element that is in the document is itself; one that an earlier operation of the replay
//! made is what it made; one that stems from a change that does not count is made here if something
//! is to be put into it. So the author's own values come back, and of others' values only the maps
//! and lists that hold them. What is concurrent stays concurrent: the new change builds on nothing
//! that the old ones did not build on.

use std::collections::{BTreeMap, BTreeSet};

use automerge::transaction::{Transactable as _, Transaction};
use automerge::{ActorId, Cursor, ObjType, Prop, ROOT, ReadDoc as _, ScalarValue, Value};

use crate::bounds::RECORD_DEPTH_MAX;
use crate::change::{Action, Actor, Change, Elem, Key, ObjId, Op, OpId, Scalar};
use crate::gate::{Admitted, Name};
use crate::hash::Digest;

use super::edit::{EditError, automerge_scalar};
use super::{Document, Held};

/// What is known while changes are said again.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// Changes that do not count, by actor, each ascending by its operations.
    outside: BTreeMap<Actor, Vec<Change>>,
    /// Operations that their own author replaced elsewhere: not to be said again.
    overwritten: BTreeSet<Name>,
    /// What operations outside the document made, as it is here.
    made: BTreeMap<Name, automerge::ObjId>,
    elements: BTreeMap<Name, Cursor>,
}

impl Replay {
    /// Something that others may build on, although it does not count.
    pub(crate) fn know(&mut self, change: Change) {
        let line = self.outside.entry(change.actor).or_default();
        let at = line.partition_point(|known| known.start_op < change.start_op);
        line.insert(at, change);
    }

    /// What this change replaces is not said again.
    pub(crate) fn overwrite(&mut self, change: &Change) {
        let preds = change.ops.iter().flat_map(|op| &op.pred);
        self.overwritten.extend(preds.filter_map(|id| name(change, *id)));
    }
}

impl Document {
    /// Says changes again, as the `seq`-th of an actor, on top of the changes `heads`. Returns the
    /// new change, after which it can go on with others; none if nothing would change.
    pub(crate) fn replay(
        &mut self,
        replay: &mut Replay,
        changes: &[&Change],
        heads: &[Digest],
        (actor, seq, time): (Actor, u64, i64),
    ) -> Result<Option<Admitted>, EditError> {
        let write = |transaction: &mut Transaction<'_>| {
            changes.iter().try_for_each(|change| replay.change(transaction, change))
        };
        match self.write_on(Some(heads), actor, seq, time, write) {
            Ok(admitted) => {
                self.apply(&admitted).map_err(|held| match held {
                    Held::Full => EditError::Full,
                    _ => EditError::Failed,
                })?;
                Ok(Some(admitted))
            }
            Err(EditError::NoChange) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A place in an object.
enum Place {
    Field(String),
    /// Where an element is.
    Element(usize),
    /// Where one is to be inserted, and what it is known by.
    New(usize, Name),
}

impl Replay {
    fn change(&mut self, to: &mut Transaction<'_>, change: &Change) -> Result<(), EditError> {
        for (index, op) in change.ops.iter().enumerate() {
            let this = (change.start_op.saturating_add(index as u64), change.actor);
            if self.overwritten.contains(&this) {
                continue;
            }
            let Some(obj) = self.object(to, change, op.obj, RECORD_DEPTH_MAX)? else { continue };
            match self.place(to, change, op, this, &obj) {
                Some(place) => self.act(to, &obj, place, &op.action, this)?,
                None => continue,
            }
        }
        Ok(())
    }

    /// The object that an operation works on. If a change outside made it, it is made here, or one
    /// of its type that is in its place is taken. None if nobody knows it.
    fn object(
        &mut self,
        to: &mut Transaction<'_>,
        change: &Change,
        obj: ObjId,
        depth: usize,
    ) -> Result<Option<automerge::ObjId>, EditError> {
        let ObjId::Made(id) = obj else { return Ok(Some(ROOT)) };
        let Some(known) = name(change, id) else { return Ok(None) };
        if let Some(made) = self.made.get(&known) {
            return Ok(Some(made.clone()));
        }
        let there = automerge::ObjId::Id(known.0, ActorId::from(known.1), 0);
        if to.object_type(&there).is_ok() {
            return Ok(Some(there));
        }
        let Some((change, op)) = self.find(known).filter(|_| depth > 0) else { return Ok(None) };
        let Some(made) = object_type(&op.action) else { return Ok(None) };
        let Some(parent) = self.object(to, &change, op.obj, depth - 1)? else { return Ok(None) };
        let Some(place) = self.place(to, &change, &op, known, &parent) else { return Ok(None) };
        let prop = match &place {
            Place::Field(field) => Some(Prop::Map(field.clone())),
            Place::Element(index) => Some(Prop::Seq(*index)),
            Place::New(..) => None,
        };
        let here = prop.map(|prop| to.get(&parent, prop)).transpose()?.flatten();
        if let Some((Value::Object(kind), id)) = here
            && kind == made
        {
            self.made.insert(known, id);
        } else {
            self.act(to, &parent, place, &op.action, known)?;
        }
        Ok(self.made.get(&known).cloned())
    }

    /// The place that an operation works at. None if there is none and none is needed.
    fn place(
        &self,
        to: &Transaction<'_>,
        change: &Change,
        op: &Op,
        this: Name,
        obj: &automerge::ObjId,
    ) -> Option<Place> {
        let elem = match &op.key {
            Key::Map(field) => return Some(Place::Field(field.clone())),
            Key::Seq(elem) => *elem,
        };
        if op.insert {
            return Some(Place::New(self.behind(to, change, elem, obj), this));
        }
        let Elem::Inserted(id) = elem else { return None };
        let element = name(change, id)?;
        if let Some(index) = self.visible(to, element, obj) {
            return Some(Place::Element(index));
        }
        // It is gone, or was never here. The author's value is not to be lost with it.
        op.action.puts_value().then(|| Place::New(self.behind(to, change, elem, obj), element))
    }

    /// Where an element is now.
    fn visible(
        &self,
        to: &Transaction<'_>,
        element: Name,
        obj: &automerge::ObjId,
    ) -> Option<usize> {
        let cursor = self.cursor(element)?;
        let index = to.get_cursor_position(obj, &cursor, None).ok()?;
        (to.get_cursor(obj, index, None).ok()? == cursor).then_some(index)
    }

    /// The position behind an element; behind the nearest before it that is known here, if it is
    /// not.
    fn behind(
        &self,
        to: &Transaction<'_>,
        change: &Change,
        elem: Elem,
        obj: &automerge::ObjId,
    ) -> usize {
        let mut element = match elem {
            Elem::Head => return 0,
            Elem::Inserted(id) => name(change, id),
        };
        while let Some(known) = element {
            if let Some(index) = self.visible(to, known, obj) {
                return index + 1;
            }
            let gone = self.cursor(known).map(|at| to.get_cursor_position(obj, &at, None));
            if let Some(Ok(index)) = gone {
                return index;
            }
            element = match self.find(known) {
                Some((change, Op { key: Key::Seq(Elem::Inserted(id)), .. })) => {
                    // What an insertion stands behind is older; other bytes say nothing.
                    name(&change, id).filter(|before| before.0 < known.0)
                }
                Some(_) => return 0,
                None => None,
            };
        }
        to.length(obj)
    }

    fn cursor(&self, element: Name) -> Option<Cursor> {
        let known = self.elements.get(&element).cloned();
        known.or_else(|| {
            let text = format!("{}@{}", element.0, ActorId::from(element.1).to_hex_string());
            Cursor::try_from(text).ok()
        })
    }

    /// An operation of a change outside.
    fn find(&self, (counter, actor): Name) -> Option<(Change, Op)> {
        let line = self.outside.get(&actor)?;
        let next = line.partition_point(|change| change.start_op <= counter);
        let change = line.get(next.checked_sub(1)?)?;
        let op = change.own_op(OpId { counter, actor: 0 })?;
        // The operations are not needed again, what they mention is.
        Some((Change { ops: Vec::new(), ..change.clone() }, op.clone()))
    }

    fn act(
        &mut self,
        to: &mut Transaction<'_>,
        obj: &automerge::ObjId,
        place: Place,
        action: &Action,
        this: Name,
    ) -> Result<(), EditError> {
        let (prop, insert) = match place {
            Place::Field(field) => (Prop::Map(field), None),
            Place::Element(index) => (Prop::Seq(index), None),
            Place::New(index, element) => (Prop::Seq(index), Some((index, element))),
        };
        let text = to.object_type(obj)? == ObjType::Text;
        match (action, insert) {
            (Action::Put(Scalar::Str(string)), Some((index, _))) if text => {
                to.splice_text(obj, index, 0, string)?;
            }
            (Action::Put(scalar), Some((index, _))) => {
                to.insert(obj, index, automerge_scalar(scalar.clone()))?;
            }
            (Action::Put(scalar), None) => {
                to.put(obj, prop, automerge_scalar(scalar.clone()))?;
            }
            (Action::Delete, _) => {
                if !to.get_all(obj, prop.clone())?.is_empty() {
                    to.delete(obj, prop)?;
                }
            }
            (Action::Increment(by), _) => match to.get(obj, prop.clone())? {
                Some((Value::Scalar(scalar), _)) if matches!(*scalar, ScalarValue::Counter(_)) => {
                    to.increment(obj, prop, *by)?;
                }
                _ => to.put(obj, prop, ScalarValue::counter(*by))?,
            },
            (Action::MakeMap | Action::MakeList | Action::MakeText, insert) => {
                let kind = object_type(action).unwrap_or(ObjType::Map);
                let made = match insert {
                    Some((index, _)) => to.insert_object(obj, index, kind)?,
                    None => to.put_object(obj, prop, kind)?,
                };
                self.made.insert(this, made);
            }
        }
        if let Some((index, element)) = insert {
            self.elements.insert(element, to.get_cursor(obj, index, None)?);
        }
        Ok(())
    }
}

const fn object_type(action: &Action) -> Option<ObjType> {
    match action {
        Action::MakeMap => Some(ObjType::Map),
        Action::MakeList => Some(ObjType::List),
        Action::MakeText => Some(ObjType::Text),
        _ => None,
    }
}

fn name(change: &Change, id: OpId) -> Option<Name> {
    Some((id.counter, change.actor_of(id)?))
}
