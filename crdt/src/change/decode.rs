//! Reading a change chunk from somebody we do not trust.
//!
//! Sizes come first: the chunk's length, then the number of operations and of replaced operations,
//! counted on the runs. Only then are rows read, one for each operation, and every column must end
//! with them. What is read here may still be spelled in more than one way; the gate compares it
//! with what [`super::encode`] writes.

use crate::bounds::{CHANGE_BYTES_MAX, CHANGE_OPS_MAX, CHANGE_PREDS_MAX, DEPS_MAX};
use crate::codec::{DecodeError, Reader};
use crate::hash::{Digest, sha256};

use super::column::{Deltas, Flags, Runs, spec};
use super::leb;
use super::{
    Action, Actor, CHECKSUM_BYTES, Change, Elem, HASHED_FROM, KIND_CHANGE, Key, MAGIC, ObjId, Op,
    OpId, Scalar,
};

/// Why bytes are not a change that we read. The same bytes will fail again, anywhere.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, thiserror::Error)]
pub enum ChangeError {
    /// More than [`CHANGE_BYTES_MAX`].
    #[error("a change of {bytes} bytes is above the limit of {CHANGE_BYTES_MAX}")]
    TooLong {
        /// Length of the chunk.
        bytes: usize,
    },
    /// More than [`CHANGE_OPS_MAX`] operations.
    #[error("a change of {ops} operations is above the limit of {CHANGE_OPS_MAX}")]
    TooManyOps {
        /// Operations that its runs add up to.
        ops: u64,
    },
    /// More than [`CHANGE_PREDS_MAX`] replaced operations.
    #[error("a change that replaces {preds} operations is above the limit of {CHANGE_PREDS_MAX}")]
    TooManyPreds {
        /// Replaced operations that its runs add up to.
        preds: u64,
    },
    /// The bytes are malformed. Offsets are counted from the start of the part being read.
    #[error("malformed: {0}")]
    Malformed(#[from] DecodeError),
    /// Not a chunk of Automerge's.
    #[error("not an Automerge chunk")]
    Magic,
    /// A chunk of another kind: a document, a deflated change, a bundle.
    #[error("a chunk of kind {kind} is no plain change")]
    Kind {
        /// The kind's number.
        kind: u8,
    },
    /// The checksum is not that of the data.
    #[error("the checksum is wrong")]
    Checksum,
    /// A deflated column.
    #[error("column {spec:#x} is deflated")]
    Deflated {
        /// The column's number.
        spec: u32,
    },
    /// A column that a plain change does not have, or whose content we do not take: marks.
    #[error("column {spec:#x} is unknown")]
    UnknownColumn {
        /// The column's number.
        spec: u64,
    },
    /// Columns that are not in ascending order, each once.
    #[error("column {spec:#x} is out of order")]
    ColumnOrder {
        /// The column's number.
        spec: u32,
    },
    /// Dependencies, actors or replaced operations that are not in ascending order, each once.
    #[error("{what} are not in ascending order")]
    Order {
        /// Which of them.
        what: &'static str,
    },
    /// An actor's name that is not 16 bytes long.
    #[error("an actor of {bytes} bytes")]
    ActorLength {
        /// Its length.
        bytes: u64,
    },
    /// An operation mentions an actor that the change does not list.
    #[error("operation {op} mentions actor {actor}, who is not listed")]
    UnknownActor {
        /// The operation's index.
        op: usize,
        /// The actor's index.
        actor: u64,
    },
    /// An actor is listed whom no operation mentions.
    #[error("actor {actor} is listed and not mentioned")]
    IdleActor {
        /// The actor's index.
        actor: usize,
    },
    /// An action that we do not take: a table, a mark, one of the future.
    #[error("operation {op} has the unknown action {action}")]
    UnknownAction {
        /// The operation's index.
        op: usize,
        /// The action's number.
        action: u64,
    },
    /// An operation's object, key or value is not a possible one.
    #[error("operation {op} has an impossible {what}")]
    Impossible {
        /// The operation's index.
        op: usize,
        /// Which part.
        what: &'static str,
    },
}

/// Reads a plain change chunk. Memory is bounded by [`CHANGE_OPS_MAX`], [`CHANGE_PREDS_MAX`] and
/// the chunk's own length.
pub fn decode(bytes: &[u8]) -> Result<Change, ChangeError> {
    decode_hashed(bytes).map(|(change, _)| change)
}

/// Reads a change and its hash.
pub(crate) fn decode_hashed(bytes: &[u8]) -> Result<(Change, Digest), ChangeError> {
    if bytes.len() > CHANGE_BYTES_MAX {
        return Err(ChangeError::TooLong { bytes: bytes.len() });
    }
    let mut reader = Reader::new(bytes);
    if reader.array("magic")? != MAGIC {
        return Err(ChangeError::Magic);
    }
    let checksum: [u8; CHECKSUM_BYTES] = reader.array("checksum")?;
    let kind = reader.u8("kind")?;
    if kind != KIND_CHANGE {
        return Err(ChangeError::Kind { kind });
    }
    let data = reader.bytes(CHANGE_BYTES_MAX, "chunk")?;
    reader.finish()?;
    let hash = sha256(bytes.get(HASHED_FROM..).unwrap_or_default());
    if !hash.starts_with(&checksum) {
        return Err(ChangeError::Checksum);
    }
    let change = read(data)?;
    check(&change)?;
    Ok((change, hash))
}

/// What a change must be beside what its chunk can say at all: bounds, order, and that it mentions
/// the actors that it lists and no others.
pub(crate) fn check(change: &Change) -> Result<(), ChangeError> {
    ascending(&change.deps, "dependencies")?;
    ascending(&change.other_actors, "other actors")?;
    let preds = change.ops.iter().map(|op| op.pred.len()).sum::<usize>() as u64;
    if change.deps.len() > DEPS_MAX {
        let (found, max) = (change.deps.len() as u64, DEPS_MAX as u64);
        return Err(DecodeError::TooLarge { at: 0, what: "dependencies", found, max }.into());
    }
    if change.ops.len() > CHANGE_OPS_MAX {
        return Err(ChangeError::TooManyOps { ops: change.ops.len() as u64 });
    }
    if preds > CHANGE_PREDS_MAX as u64 {
        return Err(ChangeError::TooManyPreds { preds });
    }
    let mut mentioned = vec![false; change.other_actors.len()];
    for (index, op) in change.ops.iter().enumerate() {
        let obj = match op.obj {
            ObjId::Root => None,
            ObjId::Made(id) => Some(id),
        };
        let key = match op.key {
            Key::Seq(Elem::Inserted(id)) => Some(id),
            Key::Seq(Elem::Head) | Key::Map(_) => None,
        };
        for id in obj.into_iter().chain(key).chain(op.pred.iter().copied()) {
            if let Some(other) = id.actor.checked_sub(1) {
                let unknown = ChangeError::UnknownActor { op: index, actor: id.actor.into() };
                *mentioned.get_mut(other as usize).ok_or(unknown)? = true;
            }
            if id.counter == 0 {
                return Err(ChangeError::Impossible { op: index, what: "counter" });
            }
        }
        let name = |id: &OpId| (id.counter, change.actor_of(*id));
        if !op.pred.is_sorted_by(|a, b| name(a) < name(b)) {
            return Err(ChangeError::Order { what: "replaced operations" });
        }
    }
    match mentioned.iter().position(|mentioned| !mentioned) {
        Some(idle) => Err(ChangeError::IdleActor { actor: idle + 1 }),
        None => Ok(()),
    }
}

fn read(data: &[u8]) -> Result<Change, ChangeError> {
    let mut reader = Reader::new(data);
    let deps = (0..reader.count(DEPS_MAX, "dependencies")?)
        .map(|_| reader.array("dependency"))
        .collect::<Result<Vec<Digest>, _>>()?;
    let actor = read_actor(&mut reader)?;
    let seq = positive(&mut reader, "seq")?;
    let start_op = positive(&mut reader, "start op")?;
    let time = leb::signed(&mut reader, "time")?;
    let message = reader.text(CHANGE_BYTES_MAX, "message")?;
    let other_actors = (0..reader.count(CHANGE_BYTES_MAX, "other actors")?)
        .map(|_| read_actor(&mut reader))
        .collect::<Result<Vec<Actor>, _>>()?;
    let columns = Columns::read(&mut reader)?;
    reader.finish()?;
    let message = (!message.is_empty()).then(|| message.to_owned());
    let change = Change { actor, seq, start_op, time, deps, other_actors, message, ops: vec![] };
    Rows::read(&columns, change)
}

fn positive(reader: &mut Reader<'_>, what: &'static str) -> Result<u64, DecodeError> {
    let at = reader.at();
    match reader.number(what)? {
        0 => reader.invalid(at, what),
        number => Ok(number),
    }
}

fn read_actor(reader: &mut Reader<'_>) -> Result<Actor, ChangeError> {
    let bytes = reader.number("actor")?;
    if bytes != size_of::<Actor>() as u64 {
        return Err(ChangeError::ActorLength { bytes });
    }
    Ok(reader.array("actor")?)
}

fn ascending<T: Ord>(items: &[T], what: &'static str) -> Result<(), ChangeError> {
    if items.is_sorted_by(|a, b| a < b) { Ok(()) } else { Err(ChangeError::Order { what }) }
}

/// The bytes of each column, in the order of [`spec::ALL`]; empty where it is left out.
struct Columns<'a>([&'a [u8]; 12]);

impl<'a> Columns<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, ChangeError> {
        let count = reader.number("columns")?;
        let mut lengths = [0; 12];
        let mut last = None;
        for _ in 0..count {
            let number = reader.number("column")?;
            let len = reader.number_max(CHANGE_BYTES_MAX as u64, "column")?;
            let unknown = ChangeError::UnknownColumn { spec: number };
            let spec = u32::try_from(number).map_err(|_| unknown)?;
            if spec & spec::DEFLATED != 0 {
                return Err(ChangeError::Deflated { spec });
            }
            let index = spec::ALL.iter().position(|known| *known == spec).ok_or(unknown)?;
            if last.replace(index).is_some_and(|last| last >= index) {
                return Err(ChangeError::ColumnOrder { spec });
            }
            if let Some(slot) = lengths.get_mut(index) {
                *slot = len as usize;
            }
        }
        let mut columns = [&[][..]; 12];
        for (column, len) in columns.iter_mut().zip(lengths) {
            *column = reader.take(len, "column")?;
        }
        Ok(Self(columns))
    }
}

/// All columns but that of the values, read row by row.
struct Rows<'a> {
    obj_actor: Runs<'a, u64>,
    obj_counter: Runs<'a, u64>,
    key_actor: Runs<'a, u64>,
    key_counter: Deltas<'a>,
    key_string: Runs<'a, &'a str>,
    insert: Flags<'a>,
    action: Runs<'a, u64>,
    value_meta: Runs<'a, u64>,
    value: Reader<'a>,
    pred_count: Runs<'a, u64>,
    pred_actor: Runs<'a, u64>,
    pred_counter: Deltas<'a>,
}

impl<'a> Rows<'a> {
    fn read(columns: &Columns<'a>, mut change: Change) -> Result<Change, ChangeError> {
        let Columns([obj_actor, obj_counter, key_actor, key_counter, rest @ ..]) = columns;
        let [key_string, insert, action, value_meta, value, pred_count, rest @ ..] = rest;
        let [pred_actor, pred_counter] = rest;
        let mut rows = Self {
            obj_actor: Runs::new(obj_actor, "object's actor"),
            obj_counter: Runs::new(obj_counter, "object's counter"),
            key_actor: Runs::new(key_actor, "key's actor"),
            key_counter: Deltas::new(key_counter, "key's counter"),
            key_string: Runs::new(key_string, "key's name"),
            insert: Flags::new(insert, "insert flag"),
            action: Runs::new(action, "action"),
            value_meta: Runs::new(value_meta, "value's type"),
            value: Reader::new(value),
            pred_count: Runs::new(pred_count, "number replaced"),
            pred_actor: Runs::new(pred_actor, "actor replaced"),
            pred_counter: Deltas::new(pred_counter, "counter replaced"),
        };
        let ops = rows.count()?;
        change.ops.reserve_exact(ops);
        for _ in 0..ops {
            let op = rows.op(change.ops.len())?;
            change.ops.push(op);
        }
        rows.finish()?;
        Ok(change)
    }

    /// The number of operations, once it and that of the replaced ones are known to be bearable.
    fn count(&self) -> Result<usize, ChangeError> {
        let (ops, _) = self.action.clone().measure(|_| 0)?;
        if ops > CHANGE_OPS_MAX as u64 {
            return Err(ChangeError::TooManyOps { ops });
        }
        let (_, preds) = self.pred_count.clone().measure(|count| count)?;
        if preds > CHANGE_PREDS_MAX as u64 {
            return Err(ChangeError::TooManyPreds { preds });
        }
        Ok(ops as usize)
    }

    fn op(&mut self, index: usize) -> Result<Op, ChangeError> {
        let impossible = |what| ChangeError::Impossible { op: index, what };
        let obj = match (self.obj_actor.next()?, self.obj_counter.next()?) {
            (None, None) => ObjId::Root,
            (Some(actor), Some(counter)) => ObjId::Made(id(index, actor, counter)?),
            _ => return Err(impossible("object")),
        };
        let key = match (self.key_actor.next()?, self.key_counter.next()?, self.key_string.next()?)
        {
            (None, None, Some(name)) => Key::Map(name.to_owned()),
            (None, Some(0), None) => Key::Seq(Elem::Head),
            (Some(actor), Some(counter), None) => {
                Key::Seq(Elem::Inserted(id(index, actor, counter)?))
            }
            _ => return Err(impossible("key")),
        };
        let insert = self.insert.next()?;
        let action = self.action.some()?;
        let meta = self.value_meta.some()?;
        let value = self.value(meta)?.ok_or_else(|| impossible("value"))?;
        let action = match (action, value) {
            (0, Scalar::Null) => Action::MakeMap,
            (1, value) => Action::Put(value),
            (2, Scalar::Null) => Action::MakeList,
            (3, Scalar::Null) => Action::Delete,
            (4, Scalar::Null) => Action::MakeText,
            (5, Scalar::Int(by)) => Action::Increment(by),
            (0..=5, _) => return Err(impossible("value")),
            (action, _) => return Err(ChangeError::UnknownAction { op: index, action }),
        };
        let pred = self.preds(index)?;
        Ok(Op { obj, key, insert, action, pred })
    }

    fn preds(&mut self, op: usize) -> Result<Vec<OpId>, ChangeError> {
        let count = self.pred_count.some()?;
        (0..count).map(|_| id(op, self.pred_actor.some()?, self.pred_counter.some()?)).collect()
    }

    /// The value of a type and length; none if the type is unknown or the length is not its own.
    fn value(&mut self, meta: u64) -> Result<Option<Scalar>, ChangeError> {
        let len = usize::try_from(meta >> 4).unwrap_or(usize::MAX);
        let bytes = self.value.take(len, "value")?;
        let mut reader = Reader::new(bytes);
        let value = match meta & 0x0f {
            0 => Scalar::Null,
            1 => Scalar::Bool(false),
            2 => Scalar::Bool(true),
            3 => Scalar::Uint(reader.number("value")?),
            4 => Scalar::Int(leb::signed(&mut reader, "value")?),
            5 => Scalar::F64(f64::from_le_bytes(reader.array("value")?)),
            6 => Scalar::Str(reader.take_text(len)?.to_owned()),
            7 => Scalar::Bytes(reader.take(len, "value")?.to_vec()),
            8 => Scalar::Counter(leb::signed(&mut reader, "value")?),
            9 => Scalar::Timestamp(leb::signed(&mut reader, "value")?),
            _ => return Ok(None),
        };
        Ok((reader.left() == 0).then_some(value))
    }

    fn finish(self) -> Result<(), ChangeError> {
        self.obj_actor.finish()?;
        self.obj_counter.finish()?;
        self.key_actor.finish()?;
        self.key_counter.finish()?;
        self.key_string.finish()?;
        self.insert.finish()?;
        self.action.finish()?;
        self.value_meta.finish()?;
        self.value.finish()?;
        self.pred_count.finish()?;
        self.pred_actor.finish()?;
        self.pred_counter.finish()?;
        Ok(())
    }
}

fn id(op: usize, actor: u64, counter: u64) -> Result<OpId, ChangeError> {
    let unknown = ChangeError::UnknownActor { op, actor };
    Ok(OpId { counter, actor: u32::try_from(actor).map_err(|_| unknown)? })
}

trait TakeText<'a> {
    fn take_text(&mut self, len: usize) -> Result<&'a str, DecodeError>;
}

impl<'a> TakeText<'a> for Reader<'a> {
    /// UTF-8 whose length is known from elsewhere.
    fn take_text(&mut self, len: usize) -> Result<&'a str, DecodeError> {
        let at = self.at();
        let bytes = self.take(len, "value")?;
        std::str::from_utf8(bytes).map_err(|_| DecodeError::Invalid { at, what: "value" })
    }
}
