//! Columns: how Automerge writes one field of all operations together.
//!
//! Three shapes. *Runs*: `n v` says n times v; `-n v1..vn` says n different values; `0 n` says n
//! times nothing. *Deltas*: runs of the differences between neighbours. *Flags*: how many false,
//! how many true, and so on in turn. A column that says nothing at all is left out.
//!
//! Readers here are pulled row by row and never expand a run, so a column costs what its bytes do.

use crate::bounds::FIELD_NAME_BYTES_MAX;
use crate::codec::{DecodeError, Reader, Write as _};

use super::leb;

/// Numbers of the columns of a change: `id << 4 | type`. The fourth bit would say "deflated".
pub(super) mod spec {
    pub(in super::super) const OBJ_ACTOR: u32 = 0x01;
    pub(in super::super) const OBJ_COUNTER: u32 = 0x02;
    pub(in super::super) const KEY_ACTOR: u32 = 0x11;
    pub(in super::super) const KEY_COUNTER: u32 = 0x13;
    pub(in super::super) const KEY_STRING: u32 = 0x15;
    pub(in super::super) const INSERT: u32 = 0x34;
    pub(in super::super) const ACTION: u32 = 0x42;
    pub(in super::super) const VALUE_META: u32 = 0x56;
    pub(in super::super) const VALUE: u32 = 0x57;
    pub(in super::super) const PRED_COUNT: u32 = 0x70;
    pub(in super::super) const PRED_ACTOR: u32 = 0x71;
    pub(in super::super) const PRED_COUNTER: u32 = 0x73;
    /// Set in the number of a column that is deflated.
    pub(in super::super) const DEFLATED: u32 = 0x08;
    /// All of them, in the order in which they are written.
    pub(in super::super) const ALL: [u32; 12] = [
        OBJ_ACTOR,
        OBJ_COUNTER,
        KEY_ACTOR,
        KEY_COUNTER,
        KEY_STRING,
        INSERT,
        ACTION,
        VALUE_META,
        VALUE,
        PRED_COUNT,
        PRED_ACTOR,
        PRED_COUNTER,
    ];
}

/// A value that runs are made of.
pub(super) trait Item<'a>: Copy + PartialEq {
    fn read(reader: &mut Reader<'a>, what: &'static str) -> Result<Self, DecodeError>;
    fn write(self, out: &mut Vec<u8>);
}

impl<'a> Item<'a> for u64 {
    fn read(reader: &mut Reader<'a>, what: &'static str) -> Result<Self, DecodeError> {
        reader.number(what)
    }

    fn write(self, out: &mut Vec<u8>) {
        out.number(self);
    }
}

impl<'a> Item<'a> for i64 {
    fn read(reader: &mut Reader<'a>, what: &'static str) -> Result<Self, DecodeError> {
        leb::signed(reader, what)
    }

    fn write(self, out: &mut Vec<u8>) {
        leb::write_signed(out, self);
    }
}

impl<'a> Item<'a> for &'a str {
    fn read(reader: &mut Reader<'a>, what: &'static str) -> Result<Self, DecodeError> {
        reader.text(FIELD_NAME_BYTES_MAX, what)
    }

    fn write(self, out: &mut Vec<u8>) {
        out.bytes(self.as_bytes());
    }
}

/// What is left of the run being read.
#[derive(Clone, Copy)]
enum Run<T> {
    Same(T),
    Different,
    Nothing,
}

/// Reads runs, row by row. A column that was left out reads as nothing, for ever.
#[derive(Clone)]
pub(super) struct Runs<'a, T> {
    reader: Reader<'a>,
    what: &'static str,
    absent: bool,
    run: Run<T>,
    left: u64,
}

impl<'a, T: Item<'a>> Runs<'a, T> {
    pub(super) fn new(column: &'a [u8], what: &'static str) -> Self {
        let reader = Reader::new(column);
        Self { reader, what, absent: column.is_empty(), run: Run::Nothing, left: 0 }
    }

    /// The next row.
    pub(super) fn next(&mut self) -> Result<Option<T>, DecodeError> {
        if self.absent {
            return Ok(None);
        }
        if self.left == 0 {
            self.begin_run()?;
        }
        self.left -= 1;
        match self.run {
            Run::Same(value) => Ok(Some(value)),
            Run::Different => T::read(&mut self.reader, self.what).map(Some),
            Run::Nothing => Ok(None),
        }
    }

    /// The next row, which must have a value.
    pub(super) fn some(&mut self) -> Result<T, DecodeError> {
        let at = self.reader.at();
        self.next()?.ok_or(DecodeError::Invalid { at, what: self.what })
    }

    /// Ends the reading: no row may be left.
    pub(super) fn finish(self) -> Result<(), DecodeError> {
        if self.left > 0 {
            return self.reader.invalid(self.reader.at(), self.what);
        }
        self.reader.finish()
    }

    /// How many rows the column has, and the sum of `weigh` over them, both saturating. Costs what
    /// its bytes do, however long its runs say they are.
    pub(super) fn measure(mut self, weigh: impl Fn(T) -> u64) -> Result<(u64, u64), DecodeError> {
        let (mut rows, mut weight) = (0u64, 0u64);
        while self.reader.left() > 0 {
            self.begin_run()?;
            rows = rows.saturating_add(self.left);
            match self.run {
                Run::Same(value) => {
                    weight = weight.saturating_add(weigh(value).saturating_mul(self.left));
                }
                Run::Different => {
                    for _ in 0..self.left {
                        weight =
                            weight.saturating_add(weigh(T::read(&mut self.reader, self.what)?));
                    }
                }
                Run::Nothing => {}
            }
        }
        Ok((rows, weight))
    }

    fn begin_run(&mut self) -> Result<(), DecodeError> {
        let at = self.reader.at();
        let count = leb::signed(&mut self.reader, self.what)?;
        self.left = count.unsigned_abs();
        self.run = match count {
            1.. => Run::Same(T::read(&mut self.reader, self.what)?),
            0 => {
                self.left = self.reader.number(self.what)?;
                Run::Nothing
            }
            // Each of the different values takes a byte at least.
            _ if self.left > self.reader.left() as u64 => {
                return Err(DecodeError::Truncated { at, what: self.what });
            }
            _ => Run::Different,
        };
        if self.left == 0 { self.reader.invalid(at, self.what) } else { Ok(()) }
    }
}

/// Reads a column of differences.
#[derive(Clone)]
pub(super) struct Deltas<'a> {
    runs: Runs<'a, i64>,
    last: i64,
}

impl<'a> Deltas<'a> {
    pub(super) fn new(column: &'a [u8], what: &'static str) -> Self {
        Self { runs: Runs::new(column, what), last: 0 }
    }

    /// The next row: a counter, so never negative.
    pub(super) fn next(&mut self) -> Result<Option<u64>, DecodeError> {
        let at = self.runs.reader.at();
        let Some(delta) = self.runs.next()? else { return Ok(None) };
        let invalid = DecodeError::Invalid { at, what: self.runs.what };
        self.last = self.last.checked_add(delta).ok_or(invalid)?;
        u64::try_from(self.last).map(Some).map_err(|_| invalid)
    }

    /// The next row, which must have a value.
    pub(super) fn some(&mut self) -> Result<u64, DecodeError> {
        let at = self.runs.reader.at();
        self.next()?.ok_or(DecodeError::Invalid { at, what: self.runs.what })
    }

    pub(super) fn finish(self) -> Result<(), DecodeError> {
        self.runs.finish()
    }
}

/// Reads a column of flags.
pub(super) struct Flags<'a> {
    reader: Reader<'a>,
    what: &'static str,
    value: bool,
    left: u64,
}

impl<'a> Flags<'a> {
    pub(super) fn new(column: &'a [u8], what: &'static str) -> Self {
        Self { reader: Reader::new(column), what, value: true, left: 0 }
    }

    /// The next row.
    pub(super) fn next(&mut self) -> Result<bool, DecodeError> {
        while self.left == 0 {
            // Only the first count may be 0, and encoding again would show any other; but each
            // turn takes a byte, so the loop ends in any case.
            self.left = self.reader.number(self.what)?;
            self.value = !self.value;
        }
        self.left -= 1;
        Ok(self.value)
    }

    pub(super) fn finish(self) -> Result<(), DecodeError> {
        if self.left > 0 {
            return self.reader.invalid(self.reader.at(), self.what);
        }
        self.reader.finish()
    }
}

/// Writes runs.
pub(super) struct RunWriter<T> {
    out: Vec<u8>,
    current: Option<T>,
    count: u64,
    different: Vec<u8>,
    different_count: i64,
    any: bool,
}

impl<T> Default for RunWriter<T> {
    fn default() -> Self {
        Self {
            out: Vec::new(),
            current: None,
            count: 0,
            different: Vec::new(),
            different_count: 0,
            any: false,
        }
    }
}

impl<'a, T: Item<'a>> RunWriter<T> {
    /// The next row.
    pub(super) fn push(&mut self, value: Option<T>) {
        self.any |= value.is_some();
        if self.count > 0 && self.current == value {
            self.count += 1;
            return;
        }
        self.end_run();
        self.current = value;
        self.count = 1;
    }

    /// The column. One in which no row has a value is empty.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if !self.any {
            return Vec::new();
        }
        self.end_run();
        self.end_different();
        self.out
    }

    fn end_run(&mut self) {
        match (self.current, self.count) {
            (_, 0) => {}
            (Some(value), 1) => {
                value.write(&mut self.different);
                self.different_count += 1;
            }
            (Some(value), count) => {
                self.end_different();
                leb::write_signed(&mut self.out, i64::try_from(count).unwrap_or(i64::MAX));
                value.write(&mut self.out);
            }
            (None, count) => {
                self.end_different();
                self.out.number(0).number(count);
            }
        }
    }

    fn end_different(&mut self) {
        if self.different_count > 0 {
            leb::write_signed(&mut self.out, -self.different_count);
            self.out.append(&mut self.different);
            self.different_count = 0;
        }
    }
}

/// Writes a column of differences.
#[derive(Default)]
pub(super) struct DeltaWriter {
    runs: RunWriter<i64>,
    last: i64,
}

impl DeltaWriter {
    /// The next row.
    pub(super) fn push(&mut self, value: Option<u64>) {
        let value = value.map(|value| i64::try_from(value).unwrap_or(i64::MAX));
        self.runs.push(value.map(|value| value.saturating_sub(self.last)));
        self.last = value.unwrap_or(self.last);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.runs.finish()
    }
}

/// Writes a column of flags.
#[derive(Default)]
pub(super) struct FlagWriter {
    out: Vec<u8>,
    value: bool,
    count: u64,
}

impl FlagWriter {
    /// The next row.
    pub(super) fn push(&mut self, value: bool) {
        if value == self.value {
            self.count += 1;
        } else {
            self.out.number(self.count);
            self.value = value;
            self.count = 1;
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.out.number(self.count);
        }
        self.out
    }
}
