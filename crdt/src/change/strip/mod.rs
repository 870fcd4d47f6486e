//! Stripped changes: an Automerge change without what the entry around it says anyway, for links of
//! 2,400 bit/s. Of an alert that says what to do, about which plate, where and since when, a chunk
//! takes 146 bytes and this form 20.
//!
//! Left out are the actor, its sequence number and the time, which follow from the entry's headers,
//! and the dependencies, which are the changes of the entries depended on. What is left is the list of
//! operations. Most stand where the ones before them let expect: in the same object, or in the next
//! that was made; in a list behind the last element. Names come from a static `dictionary`, values
//! are as short as what they say (`value`).
//!
//! ```text
//! stripped  = start (number)                 of a record's first change: left out
//!             count (number), actors (16 each)     if start is odd: the others that it mentions
//!             operation...                   to the end
//! start     = number of the first operation << 1 | other actors
//! operation = 1 + 2 * place of the name (number), value
//!                                            in its place, in the form that is usual for the name
//!           | 2 * (shape + 4 * form) (number), shape..., value, replaced...
//! shape 0   = [name]                         in its place
//! shape 1   = [name]                         the first in the next object
//! shape 2   = [name]                         in its place, replacing operations
//! shape 3   = flags (1), [object], [key]     anywhere
//! name      = 0, text | 1 + place in the dictionary (number)
//! flags     = object | key << 2 | insert << 4 | replaces << 5
//! object    = 0 the same | 1 the record | 2 back (number) | 3 actor (number), counter (number)
//! key       = 0 name | 1 head | 2 back (number) | 3 actor (number), counter (number)
//! replaced  = actor << 1 | more (number), counter (number)
//! ```
//!
//! *Back* counts operations of this change, from the operation itself. The number of the first
//! operation could be derived from the dependencies; it is said, so that a change can be read by its
//! own entry alone: its author says it again when those dependencies do not count.
//!
//! One change has one stripped form: what does not strip to the same bytes again is refused.

mod dictionary;
mod packed;
#[cfg(test)]
mod tests;
mod value;

use crate::bounds::{
    CHANGE_BYTES_MAX, CHANGE_OPS_MAX, CHANGE_PREDS_MAX, FIELD_NAME_BYTES_MAX, RECORD_OPS_MAX,
};
use crate::codec::{DecodeError, Reader, Write as _};

use super::{Action, Actor, Change, Elem, Key, ObjId, Op, OpId, Scalar};
use dictionary::{NAMES, name_index};
use value::Form;

/// What the entry says of the change in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Implied {
    /// Its actor.
    pub actor: Actor,
    /// Its time.
    pub time: i64,
    /// Whether it begins a record: it builds on nothing, and its operations count from 1.
    pub first: bool,
}

/// Why bytes are no stripped change. The same bytes will fail again, anywhere.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, thiserror::Error)]
pub enum StripError {
    /// The bytes are malformed.
    #[error("malformed: {0}")]
    Malformed(#[from] DecodeError),
    /// More than [`CHANGE_OPS_MAX`] operations.
    #[error("more than {CHANGE_OPS_MAX} operations")]
    TooManyOps,
    /// More than [`CHANGE_PREDS_MAX`] replaced operations.
    #[error("more than {CHANGE_PREDS_MAX} replaced operations")]
    TooManyPreds,
    /// Values of more than [`CHANGE_BYTES_MAX`].
    #[error("values of more than {CHANGE_BYTES_MAX} bytes")]
    TooLong,
    /// It is spelled in another way than [`strip`] does.
    #[error("not in the one encoding")]
    NotCanonical,
}

/// The stripped form of a change; none if it is not the change that its entry implies, or does
/// nothing. Its `seq` and `deps` are not looked at.
#[must_use]
pub fn strip(change: &Change, implied: &Implied) -> Option<Vec<u8>> {
    let Change { actor, time, start_op, other_actors, message, ops, .. } = change;
    let is_implied = *actor == implied.actor && *time == implied.time && message.is_none();
    if !is_implied || ops.is_empty() || *start_op > RECORD_OPS_MAX as u64 {
        return None;
    }
    let mut out = Vec::new();
    if !implied.first {
        out.number(start_op << 1 | u64::from(!other_actors.is_empty()));
        if !other_actors.is_empty() {
            out.number(other_actors.len() as u64);
            for actor in other_actors {
                out.raw(actor);
            }
        }
    } else if *start_op != 1 || !other_actors.is_empty() {
        return None;
    }
    let mut trail = Trail::new(*start_op);
    for op in ops {
        trail.write(&mut out, op, *time);
        trail.follow(op);
    }
    Some(out)
}

/// The change that a stripped form stands for, but for its `seq`, which is 1, and its `deps`, which
/// are none. Memory is bounded by [`CHANGE_OPS_MAX`], [`CHANGE_PREDS_MAX`] and [`CHANGE_BYTES_MAX`].
/// Whether the change makes sense is for the gate.
pub fn expand(bytes: &[u8], implied: &Implied) -> Result<Change, StripError> {
    let change = read(bytes, implied)?;
    match strip(&change, implied) {
        Some(same) if same == bytes => Ok(change),
        _ => Err(StripError::NotCanonical),
    }
}

/// As [`expand`], for bytes that [`strip`] just wrote.
pub(crate) fn read(bytes: &[u8], implied: &Implied) -> Result<Change, StripError> {
    let mut reader = Reader::new(bytes);
    let (actor, time) = (implied.actor, implied.time);
    let mut change = Change { actor, time, seq: 1, start_op: 1, ..Change::default() };
    if !implied.first {
        let start = reader.number_max(RECORD_OPS_MAX as u64 * 2 + 1, "start")?;
        change.start_op = start >> 1;
        if start & 1 == 1 {
            let count = reader.count(CHANGE_PREDS_MAX, "other actors")?;
            change.other_actors =
                (0..count).map(|_| reader.array("other actor")).collect::<Result<_, _>>()?;
        }
    }
    let mut trail = Trail::new(change.start_op);
    let (mut preds, mut text) = (0, 0);
    while reader.left() > 0 {
        if change.ops.len() >= CHANGE_OPS_MAX {
            return Err(StripError::TooManyOps);
        }
        let op = trail.read(&mut reader, time)?;
        preds += op.pred.len();
        text += match &op.action {
            Action::Put(Scalar::Str(text)) => text.len(),
            _ => 0,
        };
        if preds > CHANGE_PREDS_MAX {
            return Err(StripError::TooManyPreds);
        }
        if text > CHANGE_BYTES_MAX {
            return Err(StripError::TooLong);
        }
        trail.follow(&op);
        change.ops.push(op);
    }
    Ok(change)
}

/// What the operations so far let expect of the next.
struct Trail {
    start_op: u64,
    /// For each operation: whether it made an object, and whether that is a list or text.
    made: Vec<Option<bool>>,
    here: Spot,
    /// Where to look for the next object: behind the operation that made this one.
    next_from: usize,
    /// Where a value is written before the head that says its form.
    value: Vec<u8>,
}

/// A place where an operation may stand.
#[derive(Clone, Copy)]
struct Spot {
    obj: ObjId,
    /// In a list or text: the element to insert behind.
    behind: Option<Elem>,
}

impl Spot {
    fn fits(&self, op: &Op) -> bool {
        let key_fits = match (self.behind, &op.key) {
            (None, Key::Map(_)) => !op.insert,
            (Some(behind), Key::Seq(elem)) => op.insert && *elem == behind,
            _ => false,
        };
        key_fits && op.obj == self.obj
    }
}

impl Trail {
    const fn new(start_op: u64) -> Self {
        let here = Spot { obj: ObjId::Root, behind: None };
        Self { start_op, made: Vec::new(), here, next_from: 0, value: Vec::new() }
    }

    /// The name of an operation of this change, by its index.
    const fn own(&self, index: usize) -> OpId {
        OpId { counter: self.start_op.saturating_add(index as u64), actor: 0 }
    }

    /// The index of an operation of this change that was before.
    fn index(&self, id: OpId) -> Option<usize> {
        let index = id.counter.checked_sub(self.start_op).filter(|_| id.actor == 0)?;
        usize::try_from(index).ok().filter(|index| *index < self.made.len())
    }

    /// The beginning of the next object that this change made.
    fn next(&self) -> Option<Spot> {
        self.made.iter().enumerate().skip(self.next_from).find_map(|(index, made)| {
            let behind = (*made)?.then_some(Elem::Head);
            Some(Spot { obj: ObjId::Made(self.own(index)), behind })
        })
    }

    /// Goes on behind an operation.
    fn follow(&mut self, op: &Op) {
        let this = self.own(self.made.len());
        match op.obj {
            ObjId::Root => self.next_from = 0,
            ObjId::Made(id) => {
                self.next_from = self.index(id).map_or(self.next_from, |index| index + 1);
            }
        }
        let behind = match &op.key {
            Key::Map(_) => None,
            Key::Seq(_) if op.insert => Some(Elem::Inserted(this)),
            Key::Seq(elem) => Some(*elem),
        };
        self.here = Spot { obj: op.obj, behind };
        self.made.push(match op.action {
            Action::MakeMap => Some(false),
            Action::MakeList | Action::MakeText => Some(true),
            _ => None,
        });
    }

    /// Appends an operation. The object's part stands before the name, the key's in its place.
    fn write(&mut self, out: &mut Vec<u8>, op: &Op, time: i64) {
        self.value.clear();
        let form = value::write(&mut self.value, &op.action, time);
        let in_place = self.here.fits(op);
        let shape = match (in_place, op.pred.is_empty()) {
            (true, true) => SAME,
            (true, false) => REPLACING,
            (false, true) if self.next().is_some_and(|next| next.fits(op)) => NEXT,
            _ => ANYWHERE,
        };
        let name = match &op.key {
            Key::Map(name) => Some((name, name_index(name))),
            Key::Seq(_) => None,
        };
        let usual = |place: &usize| {
            shape == SAME && NAMES.get(*place).is_some_and(|(_, usual)| *usual == form)
        };
        if let Some(place) = name.and_then(|(_, place)| place).filter(usual) {
            out.number(place as u64 * 2 + 1);
        } else {
            out.number((shape + 4 * form as u64) * 2);
            if shape == ANYWHERE {
                self.write_anywhere(out, op);
            }
            match name {
                Some((_, Some(place))) => out.number(place as u64 + 1),
                Some((name, None)) => out.number(0).bytes(name.as_bytes()),
                None => out,
            };
        }
        out.raw(&self.value);
        let last = op.pred.len().saturating_sub(1);
        for (index, OpId { actor, counter }) in op.pred.iter().enumerate() {
            out.number(u64::from(*actor) << 1 | u64::from(index < last)).number(*counter);
        }
    }

    fn read(&self, reader: &mut Reader<'_>, time: i64) -> Result<Op, DecodeError> {
        let at = reader.at();
        let head = reader.number("operation")?;
        let invalid = DecodeError::Invalid { at, what: "operation" };
        if head & 1 == 1 {
            let place = usize::try_from(head >> 1).map_err(|_| invalid)?;
            let (name, form) = *NAMES.get(place).ok_or(invalid)?;
            let action = value::read(reader, form, time)?;
            let key = Key::Map(name.to_owned());
            return Ok(Op { obj: self.here.obj, key, insert: false, action, pred: Vec::new() });
        }
        let (shape, form) = (head >> 1 & 3, Form::from_number(head >> 3).ok_or(invalid)?);
        let (obj, key, insert, replaces) = match shape {
            ANYWHERE => self.read_anywhere(reader)?,
            _ => {
                let next = (shape == NEXT).then(|| self.next().ok_or(invalid)).transpose()?;
                let Spot { obj, behind } = next.unwrap_or(self.here);
                let key = behind.map_or_else(|| read_name(reader), |elem| Ok(Key::Seq(elem)))?;
                (obj, key, behind.is_some(), shape == REPLACING)
            }
        };
        let action = value::read(reader, form, time)?;
        let pred = if replaces { read_preds(reader)? } else { Vec::new() };
        Ok(Op { obj, key, insert, action, pred })
    }

    fn write_anywhere(&self, out: &mut Vec<u8>, op: &Op) {
        let obj = match op.obj {
            obj if obj == self.here.obj => Mention::Same,
            ObjId::Root => Mention::Outermost,
            ObjId::Made(id) => self.mention(id),
        };
        let key = match op.key {
            Key::Map(_) => Mention::Same,
            Key::Seq(Elem::Head) => Mention::Outermost,
            Key::Seq(Elem::Inserted(id)) => self.mention(id),
        };
        let (insert, replaces) = (u8::from(op.insert), u8::from(!op.pred.is_empty()));
        out.push(obj.number() | key.number() << 2 | insert << 4 | replaces << 5);
        obj.write(out);
        key.write(out);
    }

    fn read_anywhere(
        &self,
        reader: &mut Reader<'_>,
    ) -> Result<(ObjId, Key, bool, bool), DecodeError> {
        let at = reader.at();
        let flags = reader.u8("flags")?;
        if flags >= 1 << 6 {
            return reader.invalid(at, "flags");
        }
        let obj = match flags & 3 {
            0 => self.here.obj,
            1 => ObjId::Root,
            mention => ObjId::Made(self.read_mention(reader, mention)?),
        };
        let key = match flags >> 2 & 3 {
            0 => read_name(reader)?,
            1 => Key::Seq(Elem::Head),
            mention => Key::Seq(Elem::Inserted(self.read_mention(reader, mention)?)),
        };
        Ok((obj, key, flags & 1 << 4 != 0, flags & 1 << 5 != 0))
    }

    fn mention(&self, id: OpId) -> Mention {
        match self.index(id) {
            Some(index) => Mention::Back(self.made.len() - index),
            None => Mention::Other(id),
        }
    }

    fn read_mention(&self, reader: &mut Reader<'_>, number: u8) -> Result<OpId, DecodeError> {
        if number == 3 {
            let actor = reader.number_max(u64::from(u32::MAX), "actor")? as u32;
            return Ok(OpId { actor, counter: reader.number("counter")? });
        }
        let at = reader.at();
        let back = reader.number_max(self.made.len() as u64, "operation before")? as usize;
        match self.made.len().checked_sub(back).filter(|_| back > 0) {
            Some(index) => Ok(self.own(index)),
            None => reader.invalid(at, "operation before"),
        }
    }
}

/// How an object or element is named.
#[derive(Clone, Copy)]
enum Mention {
    /// The object that the operation before was in; of keys: a name.
    Same,
    /// The record; of keys: before the first element.
    Outermost,
    /// What an operation of this change made, so many before.
    Back(usize),
    /// What another change's operation made.
    Other(OpId),
}

impl Mention {
    const fn number(&self) -> u8 {
        match self {
            Self::Same => 0,
            Self::Outermost => 1,
            Self::Back(_) => 2,
            Self::Other(_) => 3,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Same | Self::Outermost => {}
            Self::Back(back) => {
                out.number(*back as u64);
            }
            Self::Other(OpId { actor, counter }) => {
                out.number(u64::from(*actor)).number(*counter);
            }
        }
    }
}

fn read_name(reader: &mut Reader<'_>) -> Result<Key, DecodeError> {
    let at = reader.at();
    let name = match reader.number_max(NAMES.len() as u64, "name")?.checked_sub(1) {
        None => Some(reader.text(FIELD_NAME_BYTES_MAX, "name")?),
        Some(place) => NAMES.get(place as usize).map(|(name, _)| *name),
    };
    let name = name.ok_or(DecodeError::Invalid { at, what: "name" })?;
    Ok(Key::Map(name.to_owned()))
}

/// Two bytes each at least, so that there are no more than the payload is long.
fn read_preds(reader: &mut Reader<'_>) -> Result<Vec<OpId>, DecodeError> {
    let mut preds = Vec::new();
    loop {
        let actor = reader.number_max(u64::from(u32::MAX) << 1 | 1, "actor replaced")?;
        let counter = reader.number("counter replaced")?;
        preds.push(OpId { actor: (actor >> 1) as u32, counter });
        if actor & 1 == 0 {
            return Ok(preds);
        }
    }
}

/// Where the operation before lets expect it.
const SAME: u64 = 0;
/// The first in the next object that this change made.
const NEXT: u64 = 1;
/// As [`SAME`], and it replaces operations.
const REPLACING: u64 = 2;
/// Wherever it says.
const ANYWHERE: u64 = 3;
