//! Bytes to change.

use std::collections::BTreeMap;

use crate::bounds::{CHANGE_BYTES_MAX, CHANGE_OPS_MAX, DEPS_MAX};
use crate::codec::{DecodeError, Reader};
use crate::hash::sha256;

use super::column::{booleans, count, deltas, signed, values};
use super::{
    Action, ActorId, Change, ChangeError, Key, MAGIC, Op, OpId, Scalar, TYPE_CHANGE, spec,
};

/// Most actors that one change refers to.
const ACTORS_MAX: usize = 256;
/// Most replaced operations in one change.
const PREDS_MAX: usize = 4 * CHANGE_OPS_MAX;

/// Reads a change. That it is written as Automerge writes it is for the caller to check, by
/// [`super::encode`].
pub fn decode(bytes: &[u8]) -> Result<Change, ChangeError> {
    if bytes.len() > CHANGE_BYTES_MAX {
        return Err(ChangeError::TooLarge(bytes.len()));
    }
    let mut reader = Reader::new(bytes);
    if reader.array("magic")? != MAGIC {
        return Err(ChangeError::Magic);
    }
    let checksum: [u8; 4] = reader.array("checksum")?;
    let chunk_type = reader.u8("chunk type")?;
    if chunk_type != TYPE_CHANGE {
        return Err(ChangeError::ChunkType(chunk_type));
    }
    if !sha256(bytes.get(8..).unwrap_or_default()).starts_with(&checksum) {
        return Err(ChangeError::Checksum);
    }
    let len = reader.number_max(CHANGE_BYTES_MAX as u64, "length")? as usize;
    let contents = reader.take(len, "contents")?;
    match reader.left() {
        0 => contents_of(contents),
        more => Err(ChangeError::Trailing(more)),
    }
}

fn contents_of(bytes: &[u8]) -> Result<Change, ChangeError> {
    let mut reader = Reader::new(bytes);
    let dep_count = reader.count(DEPS_MAX, "dependencies")?;
    let mut deps = Vec::with_capacity(dep_count);
    for _ in 0..dep_count {
        deps.push(reader.array("dependency")?);
    }
    let mut actors = vec![actor(&mut reader)?];
    let seq = reader.number("seq")?;
    let start_op = reader.number("start op")?;
    let time = signed(&mut reader)?;
    if !reader.bytes(CHANGE_BYTES_MAX, "message")?.is_empty() {
        return Err(ChangeError::Message);
    }
    for _ in 0..reader.count(ACTORS_MAX, "other actors")? {
        actors.push(actor(&mut reader)?);
    }
    let columns = columns(&mut reader)?;
    match reader.left() {
        0 => {}
        more => return Err(ChangeError::Trailing(more)),
    }
    let ops = ops(&columns, actors.len())?;
    Ok(Change { deps, actors, seq, start_op, time, ops })
}

fn actor(reader: &mut Reader<'_>) -> Result<ActorId, ChangeError> {
    let bytes = reader.bytes(CHANGE_BYTES_MAX, "actor")?;
    bytes.try_into().map_err(|_| ChangeError::Actor(bytes.len()))
}

type Columns<'a> = BTreeMap<u64, &'a [u8]>;

fn columns<'a>(reader: &mut Reader<'a>) -> Result<Columns<'a>, ChangeError> {
    let count = reader.count(spec::ALL.len(), "columns")?;
    let mut lengths = Vec::with_capacity(count);
    let mut last = None;
    for _ in 0..count {
        let column = reader.number("column")?;
        let len = reader.number_max(CHANGE_BYTES_MAX as u64, "column length")? as usize;
        if !spec::ALL.contains(&column) || last >= Some(column) || len == 0 {
            return Err(ChangeError::Column(column));
        }
        last = Some(column);
        lengths.push((column, len));
    }
    let mut columns = BTreeMap::new();
    for (column, len) in lengths {
        columns.insert(column, reader.take(len, "column")?);
    }
    Ok(columns)
}

fn number(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    reader.number("number")
}

fn text(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    reader.text(CHANGE_BYTES_MAX, "text").map(str::to_owned)
}

fn ops(columns: &Columns<'_>, actors: usize) -> Result<Vec<Op>, ChangeError> {
    let column = |spec| columns.get(&spec).copied().unwrap_or_default();
    let len = count(column(spec::ACTION), CHANGE_OPS_MAX, number)?;
    if len > CHANGE_OPS_MAX {
        return Err(ChangeError::TooManyOps);
    }
    let fit = |what| move || ChangeError::Values(what);
    let numbers = |spec, what| -> Result<Vec<Option<u64>>, ChangeError> {
        values(column(spec), len, number)?.ok_or_else(fit(what))
    };
    let object_actors = numbers(spec::OBJECT_ACTOR, "objects' actors")?;
    let object_counters = numbers(spec::OBJECT_COUNTER, "objects")?;
    let key_actors = numbers(spec::KEY_ACTOR, "keys' actors")?;
    let key_counters = deltas(column(spec::KEY_COUNTER), len)?.ok_or_else(fit("keys' counters"))?;
    let key_texts = values(column(spec::KEY_TEXT), len, text)?.ok_or_else(fit("keys"))?;
    let inserts = booleans(column(spec::INSERT), len)?.ok_or_else(fit("insertions"))?;
    let actions = numbers(spec::ACTION, "actions")?;
    let metas = numbers(spec::VALUE_META, "values")?;
    let mut preds = preds(columns, len, actors)?;
    let mut raw = Reader::new(column(spec::VALUE_RAW));
    let mut ops = Vec::with_capacity(len);
    let row = object_actors.into_iter().zip(object_counters).zip(key_actors).zip(key_counters);
    let row = row.zip(key_texts).zip(inserts).zip(actions).zip(metas);
    for (((((((object_actor, object), key_actor), key), key_text), insert), action), meta) in row {
        let object = match (object, object_actor) {
            (None, None) => None,
            (Some(counter), Some(actor)) => Some(op_id(counter, actor, actors)?),
            _ => return Err(ChangeError::Values("objects")),
        };
        let key = match (key_text, key, key_actor) {
            (Some(text), None, None) => Key::Map(text),
            (None, Some(0), None) => Key::Head,
            (None, Some(counter), Some(actor)) => {
                let counter = u64::try_from(counter).map_err(|_| ChangeError::Values("keys"))?;
                Key::Element(op_id(counter, actor, actors)?)
            }
            _ => return Err(ChangeError::Values("keys")),
        };
        let meta = meta.ok_or(ChangeError::Values("values"))?;
        let value = scalar(meta, &mut raw)?;
        let action = match (action.ok_or(ChangeError::Values("actions"))?, value) {
            (0, Scalar::Null) => Action::MakeMap,
            (1, value) => Action::Set(value),
            (2, Scalar::Null) => Action::MakeList,
            (3, Scalar::Null) => Action::Delete,
            (4, Scalar::Null) => Action::MakeText,
            (5, value @ (Scalar::Int(_) | Scalar::Uint(_))) => Action::Increment(value),
            _ => return Err(ChangeError::Values("actions")),
        };
        let pred = preds.next().unwrap_or_default();
        ops.push(Op { object, key, insert, action, pred });
    }
    match raw.left() {
        0 => Ok(ops),
        _ => Err(ChangeError::Values("raw values")),
    }
}

fn preds(
    columns: &Columns<'_>,
    len: usize,
    actors: usize,
) -> Result<std::vec::IntoIter<Vec<OpId>>, ChangeError> {
    let column = |spec| columns.get(&spec).copied().unwrap_or_default();
    let fit = ChangeError::Values("replaced operations");
    let counts = values(column(spec::PRED_COUNT), len, number)?.ok_or(fit)?;
    let mut total = 0usize;
    for count in &counts {
        let count = usize::try_from(count.ok_or(fit)?).map_err(|_| fit)?;
        total = total.saturating_add(count);
        if total > PREDS_MAX {
            return Err(fit);
        }
    }
    let ids = values(column(spec::PRED_ACTOR), total, number)?.ok_or(fit)?;
    let counters = deltas(column(spec::PRED_COUNTER), total)?.ok_or(fit)?;
    let mut ids = ids.into_iter().zip(counters);
    let mut all = Vec::with_capacity(len);
    for count in counts {
        let mut pred = Vec::new();
        for (actor, counter) in ids.by_ref().take(count.unwrap_or_default() as usize) {
            let counter = counter.and_then(|counter| u64::try_from(counter).ok()).ok_or(fit)?;
            pred.push(op_id(counter, actor.ok_or(fit)?, actors)?);
        }
        all.push(pred);
    }
    Ok(all.into_iter())
}

fn op_id(counter: u64, actor: u64, actors: usize) -> Result<OpId, ChangeError> {
    if counter == 0 || actor >= actors as u64 {
        return Err(ChangeError::Values("operation ids"));
    }
    Ok(OpId { counter, actor: actor as u32 })
}

/// A value: `length << 4 | type`, and its bytes in the raw column.
fn scalar(meta: u64, raw: &mut Reader<'_>) -> Result<Scalar, ChangeError> {
    let len = usize::try_from(meta >> 4).unwrap_or(usize::MAX);
    let bytes = raw.take(len, "value")?;
    let mut reader = Reader::new(bytes);
    let value = match meta & 0x0f {
        0 => Scalar::Null,
        1 => Scalar::Bool(false),
        2 => Scalar::Bool(true),
        3 => Scalar::Uint(reader.number("value")?),
        4 => Scalar::Int(signed(&mut reader)?),
        5 => Scalar::F64(f64::from_le_bytes(reader.array("value")?)),
        6 => {
            let text = reader.take(len, "value")?;
            let text = std::str::from_utf8(text).map_err(|_| ChangeError::Values("texts"))?;
            Scalar::Text(text.to_owned())
        }
        7 => Scalar::Bytes(reader.take(len, "value")?.to_vec()),
        8 => Scalar::Counter(signed(&mut reader)?),
        9 => Scalar::Timestamp(signed(&mut reader)?),
        _ => return Err(ChangeError::Values("values")),
    };
    reader.finish()?;
    Ok(value)
}
