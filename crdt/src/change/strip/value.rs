//! What an operation does, in its shortest form. The *form* is a number below 32 that stands with the
//! operation; behind it come the bytes that the form asks for.
//!
//! A text of a shape that records are full of (a word, a time, a day, a reference, a plate) is written
//! as what it says, and only if it reads back to the same letters. A number with few decimals is
//! written as its digits.

use crate::bounds::CHANGE_BYTES_MAX;
use crate::codec::{DecodeError, Reader, Write as _};
use crate::id::RecordId;
use crate::record::day::Day;
use crate::time::WallTime;

use super::super::leb::{signed, signed_len, write_signed};
use super::super::{Action, Scalar};
use super::dictionary::{WORDS, word_index};
use super::packed::{self, Alphabet};

/// The form of an action. The number is the wire form; the first sixteen fit the byte of an operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Form {
    /// A text: `text`.
    Str = 0,
    /// A text of the dictionary: `place (number)`.
    Word = 1,
    /// A text in capitals: packed.
    Upper = 2,
    /// A text in small letters: packed.
    Lower = 3,
    /// A time `YYYY-MM-DDTHH:MM:00Z`: minutes since the change's own minute (signed).
    Minutes = 4,
    /// A time `YYYY-MM-DDTHH:MM:SSZ`: seconds since the change's own second (signed).
    Seconds = 5,
    /// A time `YYYY-MM-DDTHH:MM:SS.mmmZ`: milliseconds since the change's (signed).
    Millis = 6,
    /// `type--UUID`, the type a word of the dictionary: `place (number) || UUID (16)`.
    Ref = 7,
    /// 32 hexadecimal digits in small letters: 16 bytes.
    Id = 8,
    /// A signed number: `signed`.
    Int = 9,
    /// A floating-point number with few decimals: `decimals (1) || digits (signed)`.
    Decimal = 10,
    /// An empty map.
    Map = 11,
    /// An empty list.
    List = 12,
    /// True.
    True = 13,
    /// False.
    False = 14,
    /// A day `YYYY-MM-DD` from 1970 on: days since 1970 (number).
    Day = 15,
    /// Any other floating-point number: 8 bytes, little-endian.
    F64 = 16,
    /// Nothing.
    Null = 17,
    /// An unsigned number: `number`.
    Uint = 18,
    /// Bytes: `bytes`.
    Bytes = 19,
    /// A counter: `signed`.
    Counter = 20,
    /// A timestamp of Automerge's: `signed`.
    Timestamp = 21,
    /// An empty text object.
    Text = 22,
    /// A deletion.
    Delete = 23,
    /// An increment: `signed`.
    Increment = 24,
}

impl Form {
    const ALL: [Self; 25] = [
        Self::Str,
        Self::Word,
        Self::Upper,
        Self::Lower,
        Self::Minutes,
        Self::Seconds,
        Self::Millis,
        Self::Ref,
        Self::Id,
        Self::Int,
        Self::Decimal,
        Self::Map,
        Self::List,
        Self::True,
        Self::False,
        Self::Day,
        Self::F64,
        Self::Null,
        Self::Uint,
        Self::Bytes,
        Self::Counter,
        Self::Timestamp,
        Self::Text,
        Self::Delete,
        Self::Increment,
    ];

    pub(super) fn from_number(number: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// Milliseconds in the unit of a time.
    const fn unit_ms(self) -> i64 {
        match self {
            Self::Minutes => 60_000,
            Self::Seconds => 1_000,
            _ => 1,
        }
    }
}

/// Appends an action's bytes. `time` is the change's.
pub(super) fn write(out: &mut Vec<u8>, action: &Action, time: i64) -> Form {
    match action {
        Action::MakeMap => Form::Map,
        Action::MakeList => Form::List,
        Action::MakeText => Form::Text,
        Action::Delete => Form::Delete,
        Action::Increment(by) => write_int(out, *by, Form::Increment),
        Action::Put(Scalar::Null) => Form::Null,
        Action::Put(Scalar::Bool(true)) => Form::True,
        Action::Put(Scalar::Bool(false)) => Form::False,
        Action::Put(Scalar::Int(n)) => write_int(out, *n, Form::Int),
        Action::Put(Scalar::Counter(n)) => write_int(out, *n, Form::Counter),
        Action::Put(Scalar::Timestamp(n)) => write_int(out, *n, Form::Timestamp),
        Action::Put(Scalar::Uint(n)) => {
            out.number(*n);
            Form::Uint
        }
        Action::Put(Scalar::F64(n)) => write_float(out, *n),
        Action::Put(Scalar::Bytes(bytes)) => {
            out.bytes(bytes);
            Form::Bytes
        }
        Action::Put(Scalar::Str(text)) => write_text(out, text, time),
    }
}

/// Reads what [`write`] wrote.
pub(super) fn read(reader: &mut Reader<'_>, form: Form, time: i64) -> Result<Action, DecodeError> {
    let text = |text: String| Ok(Action::Put(Scalar::Str(text)));
    Ok(Action::Put(match form {
        Form::Map => return Ok(Action::MakeMap),
        Form::List => return Ok(Action::MakeList),
        Form::Text => return Ok(Action::MakeText),
        Form::Delete => return Ok(Action::Delete),
        Form::Increment => return Ok(Action::Increment(signed(reader, VALUE)?)),
        Form::Null => Scalar::Null,
        Form::True => Scalar::Bool(true),
        Form::False => Scalar::Bool(false),
        Form::Int => Scalar::Int(signed(reader, VALUE)?),
        Form::Counter => Scalar::Counter(signed(reader, VALUE)?),
        Form::Timestamp => Scalar::Timestamp(signed(reader, VALUE)?),
        Form::Uint => Scalar::Uint(reader.number(VALUE)?),
        Form::F64 => Scalar::F64(f64::from_le_bytes(reader.array(VALUE)?)),
        Form::Decimal => read_decimal(reader)?,
        Form::Bytes => Scalar::Bytes(reader.bytes(CHANGE_BYTES_MAX, VALUE)?.to_vec()),
        Form::Str => return text(reader.text(CHANGE_BYTES_MAX, VALUE)?.to_owned()),
        Form::Word => return text(read_word(reader)?.to_owned()),
        Form::Upper => return text(packed::read(reader, Alphabet::Upper, VALUE)?),
        Form::Lower => return text(packed::read(reader, Alphabet::Lower, VALUE)?),
        Form::Id => return text(RecordId(reader.array(VALUE)?).to_string()),
        Form::Ref => {
            let of = read_word(reader)?;
            return text(format!("{of}--{}", uuid(&RecordId(reader.array(VALUE)?))));
        }
        Form::Day => {
            let at = reader.at();
            let days = reader.number_max(u64::from(Day::MAX.number()), VALUE)? as u32;
            let day = Day::from_number(days).ok_or(DecodeError::Invalid { at, what: VALUE })?;
            return text(day.to_string());
        }
        Form::Minutes | Form::Seconds | Form::Millis => {
            let at = reader.at();
            let since = signed(reader, VALUE)?;
            let shown = moment(form, since, time).and_then(|ms| show(form, ms));
            return text(shown.ok_or(DecodeError::Invalid { at, what: VALUE })?);
        }
    }))
}

fn write_int(out: &mut Vec<u8>, n: i64, form: Form) -> Form {
    write_signed(out, n);
    form
}

fn write_float(out: &mut Vec<u8>, n: f64) -> Form {
    match decimal(n) {
        Some((decimals, digits)) if signed_len(digits) < size_of::<f64>() - 1 => {
            out.push(decimals);
            write_signed(out, digits);
            Form::Decimal
        }
        _ => {
            out.raw(&n.to_le_bytes());
            Form::F64
        }
    }
}

/// The fewest decimals with which a number is exactly the nearest to what they say.
fn decimal(n: f64) -> Option<(u8, i64)> {
    (0u8..).zip(POWERS).find_map(|(decimals, power)| {
        let digits = (n * power).round();
        // Through the whole number: zero has no sign there.
        let whole = digits as i64;
        let exact = digits.abs() < DIGITS_MAX && (whole as f64 / power).to_bits() == n.to_bits();
        exact.then_some((decimals, whole))
    })
}

fn read_decimal(reader: &mut Reader<'_>) -> Result<Scalar, DecodeError> {
    let at = reader.at();
    let decimals = usize::from(reader.u8(VALUE)?);
    let power = POWERS.get(decimals).ok_or(DecodeError::Invalid { at, what: VALUE })?;
    Ok(Scalar::F64(signed(reader, VALUE)? as f64 / power))
}

fn write_text(out: &mut Vec<u8>, text: &str, time: i64) -> Form {
    if let Some(place) = word_index(text) {
        out.number(place as u64);
        return Form::Word;
    }
    if let Some((form, since)) = since(text, time) {
        return write_int(out, since, form);
    }
    if text.len() == DAY_CHARACTERS
        && let Ok(day) = text.parse::<Day>()
    {
        out.number(u64::from(day.number()));
        return Form::Day;
    }
    if let Some((place, id)) = reference(text) {
        out.number(place as u64).raw(&id.0);
        return Form::Ref;
    }
    if let Some(id) = id(text) {
        out.raw(&id.0);
        return Form::Id;
    }
    if packed::write(out, text, Alphabet::Upper) {
        return Form::Upper;
    }
    if packed::write(out, text, Alphabet::Lower) {
        return Form::Lower;
    }
    out.bytes(text.as_bytes());
    Form::Str
}

fn read_word(reader: &mut Reader<'_>) -> Result<&'static str, DecodeError> {
    let at = reader.at();
    let place = reader.number_max(WORDS.len() as u64, VALUE)? as usize;
    WORDS.get(place).copied().ok_or(DecodeError::Invalid { at, what: VALUE })
}

/// The form of a time, and what lies between the change's time and it.
fn since(text: &str, time: i64) -> Option<(Form, i64)> {
    if !matches!(text.len(), SECONDS_CHARACTERS | MILLIS_CHARACTERS) {
        return None;
    }
    let ms = i64::try_from(WallTime::parse(text)?.0).ok()?;
    let form = match text.len() {
        MILLIS_CHARACTERS => Form::Millis,
        _ if ms % Form::Minutes.unit_ms() == 0 => Form::Minutes,
        _ => Form::Seconds,
    };
    let unit = form.unit_ms();
    let since = (ms / unit).checked_sub(time / unit)?;
    (show(form, ms)? == text).then_some((form, since))
}

/// The time that lies so far from the change's.
fn moment(form: Form, since: i64, time: i64) -> Option<i64> {
    let unit = form.unit_ms();
    (time / unit).checked_add(since)?.checked_mul(unit)
}

/// The text of a time from 1970 to 9999.
fn show(form: Form, ms: i64) -> Option<String> {
    let ms = u64::try_from(ms).ok().filter(|ms| *ms <= TIME_MAX)?;
    let mut text = WallTime(ms).to_string();
    if form != Form::Millis {
        text.truncate(SECONDS_CHARACTERS - 1);
        text.push('Z');
    }
    Some(text)
}

fn id(text: &str) -> Option<RecordId> {
    digits(text.bytes().map(Some))
}

fn reference(text: &str) -> Option<(usize, RecordId)> {
    let (of, name) = text.split_at_checked(text.len().checked_sub(UUID_CHARACTERS)?)?;
    let of = of.strip_suffix("--")?;
    let id = digits(name.bytes().enumerate().filter_map(|(at, byte)| match (at, byte) {
        (8 | 13 | 18 | 23, b'-') => None,
        (8 | 13 | 18 | 23, _) => Some(None),
        _ => Some(Some(byte)),
    }))?;
    Some((word_index(of)?, id))
}

/// 32 hexadecimal digits, the letters small.
fn digits(mut text: impl Iterator<Item = Option<u8>>) -> Option<RecordId> {
    let mut digit = || match text.next()?? {
        byte @ b'0'..=b'9' => Some(byte - b'0'),
        byte @ b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut id = RecordId::default();
    for byte in &mut id.0 {
        *byte = digit()? << 4 | digit()?;
    }
    text.next().is_none().then_some(id)
}

/// `8-4-4-4-12` digits.
fn uuid(id: &RecordId) -> String {
    let digits = id.to_string();
    let mut text = String::with_capacity(UUID_CHARACTERS);
    for (at, digit) in digits.char_indices() {
        if matches!(at, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

const VALUE: &str = "value";
/// Powers of ten by the number of decimals: the seventh of a degree is a centimetre.
const POWERS: [f64; 8] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7];
/// Below it a double counts exactly.
const DIGITS_MAX: f64 = 9_007_199_254_740_992.0;
const DAY_CHARACTERS: usize = 10;
const UUID_CHARACTERS: usize = 36;
const SECONDS_CHARACTERS: usize = 20;
const MILLIS_CHARACTERS: usize = 24;
/// 9999-12-31T23:59:59.999Z.
const TIME_MAX: u64 = 253_402_300_799_999;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_777_629_660_250; // 2026-05-01T10:01:00.250Z

    fn check(action: Action, form: Form, bytes: &[u8]) {
        let mut out = Vec::new();
        assert_eq!(write(&mut out, &action, NOW), form, "{action:?}");
        assert_eq!(out, bytes, "{action:?}");
        let mut reader = Reader::new(&out);
        assert_eq!(read(&mut reader, form, NOW), Ok(action));
        assert_eq!(reader.finish(), Ok(()));
    }

    fn text(text: &str, form: Form, bytes: &[u8]) {
        check(Action::Put(Scalar::Str(text.to_owned())), form, bytes);
    }

    #[test]
    fn forms_have_their_numbers() {
        for (number, form) in (0..).zip(Form::ALL) {
            assert_eq!(form as u64, number);
            assert_eq!(Form::from_number(number), Some(form));
        }
        assert_eq!(Form::from_number(Form::ALL.len() as u64), None);
    }

    #[test]
    fn texts_are_written_as_what_they_say() {
        text("seize", Form::Word, &[6]);
        text("2026-05-01T10:00:00Z", Form::Minutes, &[0x7f]);
        text("2026-05-01T11:05:00Z", Form::Minutes, &[0xc0, 0]);
        text("2026-05-01T10:00:58Z", Form::Seconds, &[0x7e]);
        text("2026-05-01T10:01:00.251Z", Form::Millis, &[1]);
        text("1970-01-02", Form::Day, &[1]);
        text(
            "0102030405060708090a0b0c0d0e0f10",
            Form::Id,
            &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
        );
        let place = word_index("vehicle").unwrap() as u8;
        text(
            "vehicle--01020304-0506-0708-090a-0b0c0d0e0f10",
            Form::Ref,
            &[place, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
        );
        text("ABC", Form::Upper, &[3, 0, 42]);
        text("s1g5", Form::Lower, &[4, 0x74, 0xbe, 31]);
        text("Ab", Form::Str, &[2, b'A', b'b']);
        text("", Form::Str, &[0]);
    }

    #[test]
    fn texts_that_would_read_back_otherwise_are_spelled_out() {
        for other in [
            "2026-05-01t10:00:00Z",
            "2026-05-01T10:00:00z",
            "2026-05-01T10:00:0.5Z",
            "2026-05-01T12:00:00+02:00",
            "2016-12-31T23:59:60Z",
            "0102030405060708090A0b0c0d0e0f10",
            "vehicle--01020304-0506-0708-090a-0b0c0d0e0f1G",
            "vehicle--010203040506-0708-090a-0b0c0d0e-0f10",
            "no-such-type--01020304-0506-0708-090a-0b0c0d0e0f10!",
        ] {
            let mut out = Vec::new();
            let action = Action::Put(Scalar::Str(other.to_owned()));
            let form = write(&mut out, &action, NOW);
            assert!(matches!(form, Form::Str | Form::Upper | Form::Lower), "{other}: {form:?}");
            assert_eq!(read(&mut Reader::new(&out), form, NOW), Ok(action));
        }
    }

    #[test]
    fn numbers_with_few_decimals_are_their_digits() {
        let float = |n, form, bytes: &[u8]| check(Action::Put(Scalar::F64(n)), form, bytes);
        float(13.5, Form::Decimal, &[1, 0x87, 1]);
        float(-0.25, Form::Decimal, &[2, 0x67]);
        float(0.0, Form::Decimal, &[0, 0]);
        float(-0.0, Form::F64, &(-0.0f64).to_le_bytes());
        float(0.1 + 0.2, Form::F64, &(0.1f64 + 0.2).to_le_bytes());
        float(f64::MAX, Form::F64, &f64::MAX.to_le_bytes());
        float(1e15, Form::F64, &1e15f64.to_le_bytes());
        let mut out = Vec::new();
        assert_eq!(write(&mut out, &Action::Put(Scalar::F64(f64::NAN)), NOW), Form::F64);
        assert!(read(&mut Reader::new(&[8, 1]), Form::Decimal, NOW).is_err());
    }

    #[test]
    fn times_end_where_their_text_does() {
        let last = "9999-12-31T23:59:59.999Z";
        let mut out = Vec::new();
        let action = Action::Put(Scalar::Str(last.to_owned()));
        assert_eq!(write(&mut out, &action, 0), Form::Millis);
        assert_eq!(read(&mut Reader::new(&out), Form::Millis, 0), Ok(action));
        assert!(read(&mut Reader::new(&out), Form::Millis, 1).is_err());
        for since in [i64::MIN, i64::MAX, -1] {
            let mut out = Vec::new();
            write_signed(&mut out, since);
            for form in [Form::Minutes, Form::Seconds, Form::Millis] {
                assert!(read(&mut Reader::new(&out), form, 0).is_err(), "{form:?} {since}");
            }
        }
    }
}
