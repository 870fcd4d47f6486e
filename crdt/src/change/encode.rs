//! Change to bytes, as Automerge writes them.

use crate::codec::Write as _;
use crate::hash::sha256;

use super::column::{put_booleans, put_deltas, put_signed, put_values};
use super::{Action, Change, Key, MAGIC, Op, Scalar, TYPE_CHANGE, spec};

/// Writes a change.
#[must_use]
pub fn encode(change: &Change) -> Vec<u8> {
    let mut contents = Vec::with_capacity(64 + change.ops.len() * 24);
    contents.number(change.deps.len() as u64);
    for dep in &change.deps {
        contents.raw(dep);
    }
    let (own, others) = change.actors.split_at(change.actors.len().min(1));
    contents.bytes(own.first().map(<[u8; 16]>::as_slice).unwrap_or_default());
    contents.number(change.seq).number(change.start_op);
    put_signed(&mut contents, change.time);
    contents.number(0).number(others.len() as u64);
    for actor in others {
        contents.bytes(actor);
    }
    let columns: Vec<(u64, Vec<u8>)> =
        columns(&change.ops).into_iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
    contents.number(columns.len() as u64);
    for (column, bytes) in &columns {
        contents.number(*column).number(bytes.len() as u64);
    }
    for (_, bytes) in &columns {
        contents.raw(bytes);
    }
    let mut tail = vec![TYPE_CHANGE];
    tail.bytes(&contents);
    let checksum = sha256(&tail);
    let mut out = MAGIC.to_vec();
    out.extend(checksum.iter().take(4));
    out.raw(&tail);
    out
}

fn columns(ops: &[Op]) -> [(u64, Vec<u8>); 12] {
    let number = |out: &mut Vec<u8>, value: &u64| {
        out.number(*value);
    };
    let column = |of: &dyn Fn(&Op) -> Option<u64>| {
        let values: Vec<Option<u64>> = ops.iter().map(of).collect();
        put_values(&values, number)
    };
    let element = |op: &Op| match &op.key {
        Key::Element(id) => Some(*id),
        Key::Map(_) | Key::Head => None,
    };
    let key_counters: Vec<Option<i64>> = ops
        .iter()
        .map(|op| match &op.key {
            Key::Map(_) => None,
            Key::Head => Some(0),
            Key::Element(id) => Some(id.counter as i64),
        })
        .collect();
    let key_texts: Vec<Option<&str>> = ops
        .iter()
        .map(|op| match &op.key {
            Key::Map(text) => Some(text.as_str()),
            Key::Head | Key::Element(_) => None,
        })
        .collect();
    let mut raw = Vec::new();
    let metas: Vec<Option<u64>> = ops.iter().map(|op| Some(put_scalar(op, &mut raw))).collect();
    let preds = || ops.iter().flat_map(|op| &op.pred);
    let pred_actors: Vec<Option<u64>> = preds().map(|id| Some(u64::from(id.actor))).collect();
    let pred_counters: Vec<Option<i64>> = preds().map(|id| Some(id.counter as i64)).collect();
    [
        (spec::OBJECT_ACTOR, column(&|op| op.object.map(|id| u64::from(id.actor)))),
        (spec::OBJECT_COUNTER, column(&|op| op.object.map(|id| id.counter))),
        (spec::KEY_ACTOR, column(&|op| element(op).map(|id| u64::from(id.actor)))),
        (spec::KEY_COUNTER, put_deltas(&key_counters)),
        (
            spec::KEY_TEXT,
            put_values(&key_texts, |out, text| {
                out.bytes(text.as_bytes());
            }),
        ),
        (spec::INSERT, put_booleans(ops.iter().map(|op| op.insert))),
        (spec::ACTION, column(&|op| Some(action(op)))),
        (spec::VALUE_META, put_values(&metas, number)),
        (spec::VALUE_RAW, raw),
        (spec::PRED_COUNT, column(&|op| Some(op.pred.len() as u64))),
        (spec::PRED_ACTOR, put_values(&pred_actors, number)),
        (spec::PRED_COUNTER, put_deltas(&pred_counters)),
    ]
}

const fn action(op: &Op) -> u64 {
    match op.action {
        Action::MakeMap => 0,
        Action::Set(_) => 1,
        Action::MakeList => 2,
        Action::Delete => 3,
        Action::MakeText => 4,
        Action::Increment(_) => 5,
    }
}

/// Appends a value's bytes; returns its `length << 4 | type`.
fn put_scalar(op: &Op, raw: &mut Vec<u8>) -> u64 {
    let (Action::Set(value) | Action::Increment(value)) = &op.action else { return 0 };
    let start = raw.len();
    let tag = match value {
        Scalar::Null => 0,
        Scalar::Bool(false) => 1,
        Scalar::Bool(true) => 2,
        Scalar::Uint(n) => {
            raw.number(*n);
            3
        }
        Scalar::Int(n) => {
            put_signed(raw, *n);
            4
        }
        Scalar::F64(n) => {
            raw.raw(&n.to_le_bytes());
            5
        }
        Scalar::Text(text) => {
            raw.raw(text.as_bytes());
            6
        }
        Scalar::Bytes(bytes) => {
            raw.raw(bytes);
            7
        }
        Scalar::Counter(n) => {
            put_signed(raw, *n);
            8
        }
        Scalar::Timestamp(n) => {
            put_signed(raw, *n);
            9
        }
    };
    ((raw.len() - start) as u64) << 4 | tag
}
