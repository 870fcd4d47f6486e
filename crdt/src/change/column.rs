//! Columns: run-length, delta and boolean encodings, read up to a bound and written in the one form
//! that Automerge writes. A run of two or more is a run, everything else is literal; a column of
//! nothing but nulls is empty.

use crate::codec::{DecodeError, Reader, Write as _};

/// What a column's reader says.
pub(super) type Read<T> = Result<T, DecodeError>;

/// A signed LEB128 number.
pub(super) fn signed(reader: &mut Reader<'_>) -> Read<i64> {
    let at = reader.at();
    let mut value = 0i64;
    let mut shift = 0;
    loop {
        let byte = reader.u8("number")?;
        if shift > 63 || shift == 63 && byte != 0 && byte != 0x7f {
            return reader.invalid(at, "number");
        }
        value |= i64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            if shift < 64 && byte & 0x40 != 0 {
                value |= -1 << shift;
            }
            return Ok(value);
        }
    }
}

/// Appends a signed LEB128 number.
pub(super) fn put_signed(out: &mut Vec<u8>, mut value: i64) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 && byte & 0x40 == 0 || value == -1 && byte & 0x40 != 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

/// How many values a run-length column holds, counted without expanding a run; at most `max` + 1.
pub(super) fn count<T>(
    bytes: &[u8],
    max: usize,
    value: impl Fn(&mut Reader<'_>) -> Read<T>,
) -> Read<usize> {
    let mut reader = Reader::new(bytes);
    let mut total = 0usize;
    while reader.left() > 0 && total <= max {
        let run = signed(&mut reader)?;
        let len = if run == 0 { reader.number("null run")? } else { run.unsigned_abs() };
        total = total.saturating_add(usize::try_from(len).unwrap_or(usize::MAX));
        let literals = match run {
            1.. => 1,
            0 => 0,
            _ => len.min(max as u64 + 1),
        };
        for _ in 0..literals {
            value(&mut reader)?;
        }
    }
    Ok(total)
}

/// Exactly `len` values of a run-length column; `None` if it holds more or fewer. An empty column
/// is all nulls.
pub(super) fn values<T: Clone>(
    bytes: &[u8],
    len: usize,
    value: impl Fn(&mut Reader<'_>) -> Read<T>,
) -> Read<Option<Vec<Option<T>>>> {
    if bytes.is_empty() {
        return Ok(Some(vec![None; len]));
    }
    let mut reader = Reader::new(bytes);
    let mut out: Vec<Option<T>> = Vec::with_capacity(len);
    while reader.left() > 0 {
        let run = signed(&mut reader)?;
        let count = if run == 0 { reader.number("null run")? } else { run.unsigned_abs() };
        let room = (len - out.len()) as u64;
        if count > room || count == 0 {
            return Ok(None);
        }
        match run {
            1.. => {
                let value = value(&mut reader)?;
                out.extend((0..count).map(|_| Some(value.clone())));
            }
            0 => out.extend((0..count).map(|_| None)),
            _ => {
                for _ in 0..count {
                    out.push(Some(value(&mut reader)?));
                }
            }
        }
    }
    Ok((out.len() == len).then_some(out))
}

/// As [`values`], of a column that holds differences.
pub(super) fn deltas(bytes: &[u8], len: usize) -> Read<Option<Vec<Option<i64>>>> {
    let Some(mut all) = values(bytes, len, signed)? else { return Ok(None) };
    let mut sum = 0i64;
    for value in all.iter_mut().flatten() {
        let Some(next) = sum.checked_add(*value) else { return Ok(None) };
        sum = next;
        *value = sum;
    }
    Ok(Some(all))
}

/// Exactly `len` booleans: lengths of alternating runs, false first.
pub(super) fn booleans(bytes: &[u8], len: usize) -> Read<Option<Vec<bool>>> {
    let mut reader = Reader::new(bytes);
    let mut out = Vec::with_capacity(len);
    let mut value = false;
    while reader.left() > 0 {
        let run = reader.number("boolean run")?;
        if run > (len - out.len()) as u64 {
            return Ok(None);
        }
        out.extend((0..run).map(|_| value));
        value = !value;
    }
    Ok((out.len() == len).then_some(out))
}

/// Writes a run-length column.
pub(super) fn put_values<T: PartialEq>(
    values: &[Option<T>],
    mut put: impl FnMut(&mut Vec<u8>, &T),
) -> Vec<u8> {
    let mut out = Vec::new();
    if values.iter().all(Option::is_none) {
        return out;
    }
    let mut rest = values;
    while let Some(first) = rest.first() {
        let same = rest.iter().take_while(|value| *value == first).count();
        match first {
            None => {
                put_signed(&mut out, 0);
                out.number(same as u64);
                rest = rest.get(same..).unwrap_or_default();
            }
            Some(value) if same > 1 => {
                put_signed(&mut out, same as i64);
                put(&mut out, value);
                rest = rest.get(same..).unwrap_or_default();
            }
            Some(_) => {
                let literal = literals(rest);
                put_signed(&mut out, -(literal as i64));
                let (part, tail) = rest.split_at(literal);
                part.iter().flatten().for_each(|value| put(&mut out, value));
                rest = tail;
            }
        }
    }
    out
}

/// How many of the first values stand alone: neither null nor equal to the next.
fn literals<T: PartialEq>(values: &[Option<T>]) -> usize {
    let alone = |n: usize| {
        let value = values.get(n);
        value.is_some_and(Option::is_some) && value != values.get(n + 1)
    };
    (0..values.len()).take_while(|n| alone(*n)).count()
}

/// Writes a column of differences.
pub(super) fn put_deltas(values: &[Option<i64>]) -> Vec<u8> {
    let mut last = 0i64;
    let deltas: Vec<Option<i64>> = values
        .iter()
        .map(|value| {
            value.map(|value| {
                let delta = value.wrapping_sub(last);
                last = value;
                delta
            })
        })
        .collect();
    put_values(&deltas, |out, value| put_signed(out, *value))
}

/// Writes a column of booleans.
pub(super) fn put_booleans(values: impl Iterator<Item = bool>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut current = false;
    let mut run = 0u64;
    for value in values {
        if value != current {
            out.number(run);
            (current, run) = (value, 0);
        }
        run += 1;
    }
    if run > 0 {
        out.number(run);
    }
    out
}
