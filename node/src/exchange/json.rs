//! JSON documents, object by object. Each element of the array is taken as text first, of which only
//! the outline is looked at; so one that is no JSON value, or none that can be kept, spoils itself
//! alone.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read};
use std::ops::ControlFlow;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::number::{Positions, inexact};
use super::utf8::Utf8;
use super::{Bounded, OBJECT_TEXT_BYTES_MAX, ReadError, without_mark};

/// Takes each element of the array, or the reason why it is none.
pub(super) type Each<'a> = dyn FnMut(usize, Result<Value, String>) -> ControlFlow<()> + 'a;

/// A document but for its array.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// Whether it has the array.
    pub(super) found: bool,
    /// Its other keys.
    pub(super) others: Map<String, Value>,
    /// What is wrong with one of them.
    pub(super) fault: Option<String>,
}

impl Outline {
    /// The document as an object of its own, or why it is none.
    pub(super) fn whole(self) -> Result<Value, String> {
        self.fault.map_or(Ok(Value::Object(self.others)), Err)
    }
}

/// Reads a JSON document whose objects lie in the array `key`.
pub(super) fn read_elements(
    file: impl Read,
    key: &'static str,
    positions: Positions,
    each: &mut Each<'_>,
) -> Result<Outline, ReadError> {
    let left = Cell::new(OBJECT_TEXT_BYTES_MAX);
    let file = io::BufReader::new(Bounded { file: Utf8::new(without_mark(file)?), left: &left });
    let mut de = serde_json::Deserializer::from_reader(file);
    let mut walk =
        Walk { each, positions, left: &left, outline: Outline::default(), stopped: false };
    let outcome = Document { key, walk: &mut walk }.deserialize(&mut de).and_then(|()| de.end());
    match outcome {
        Err(error) if !walk.stopped => Err(error.into()),
        _ => Ok(walk.outline),
    }
}

/// Where a reading stands.
struct Walk<'a> {
    each: &'a mut Each<'a>,
    positions: Positions,
    left: &'a Cell<usize>,
    outline: Outline,
    stopped: bool,
}

/// The document: an object with the array under `key`, or the array itself.
struct Document<'w, 'a> {
    key: &'static str,
    walk: &'w mut Walk<'a>,
}

impl<'de> DeserializeSeed<'de> for Document<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<(), D::Error> {
        de.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == self.key {
                if self.walk.outline.found {
                    return Err(A::Error::custom(said_twice(&key)));
                }
                map.next_value_seed(Elements(self.walk))?;
                continue;
            }
            let raw = map.next_value::<Box<RawValue>>()?;
            let read = if self.walk.outline.others.contains_key(&key) {
                Err(said_twice(&key))
            } else {
                value(raw.get(), self.walk.positions.below(&key))
                    .map_err(|why| format!("{}: {why}", shown(&key)))
            };
            let outline = &mut self.walk.outline;
            match read {
                Ok(value) => {
                    outline.others.insert(key, value);
                }
                Err(reason) => {
                    outline.fault.get_or_insert(reason);
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        Elements(self.walk).visit_seq(seq)
    }
}

/// The array.
struct Elements<'w, 'a>(&'w mut Walk<'a>);

impl<'de> DeserializeSeed<'de> for Elements<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<(), D::Error> {
        de.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self(walk) = self;
        walk.outline.found = true;
        for n in 0.. {
            let Some(raw) = seq.next_element::<Box<RawValue>>()? else { break };
            walk.left.set(OBJECT_TEXT_BYTES_MAX);
            if (walk.each)(n, value(raw.get(), walk.positions)).is_break() {
                walk.stopped = true;
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

/// Reads a file that is one JSON object, as strictly as the objects of an import.
pub fn read_object(file: impl Read) -> Result<Map<String, Value>, ReadError> {
    match read_value(file, usize::MAX)? {
        Value::Object(fields) => Ok(fields),
        _ => Err(ReadError::Shape { expected: "JSON object", hint: OBJECT_HINT }),
    }
}

/// Reads a file of one JSON value, of so many bytes at most, as strictly.
pub(super) fn read_value(file: impl Read, bytes_max: usize) -> Result<Value, ReadError> {
    let mut text = String::new();
    let mut file = Utf8::new(without_mark(file)?).take((bytes_max as u64).saturating_add(1));
    file.read_to_string(&mut text)?;
    if text.len() > bytes_max {
        return Err(ReadError::Value(format!("it has over {bytes_max} bytes; split it")));
    }
    strict(&text, Positions::Nowhere).map_err(|why| match why {
        Unkept::NoJson(error) => error.into(),
        Unkept::Value(reason) => ReadError::Value(reason),
    })
}

/// What an object of a record's fields looks like.
const OBJECT_HINT: &str =
    "expected the fields of one record: {\"plate\": \"XK-204\", \"colour\": \"white\"}";

/// The value that a text stands for, or why it cannot be kept as it is. Where in the text is not said: it
/// is a part of a file.
fn value(text: &str, positions: Positions) -> Result<Value, String> {
    strict(text, positions).map_err(|why| match why {
        Unkept::Value(reason) => reason,
        Unkept::NoJson(error) => {
            let what = error.to_string();
            let what = what.split(" at line ").next().unwrap_or_default();
            format!("it is no JSON value that can be kept: {what}")
        }
    })
}

/// Why a text is no value that can be kept.
enum Unkept {
    /// It is no JSON.
    NoJson(serde_json::Error),
    /// It would be another value.
    Value(String),
}

fn strict(text: &str, positions: Positions) -> Result<Value, Unkept> {
    if let Some(number) = inexact(text, positions) {
        return Err(Unkept::Value(format!(
            "the number {} cannot be kept as it is; write it as a text, in quotes",
            shown(number)
        )));
    }
    let twice = Cell::new(None);
    let mut de = serde_json::Deserializer::from_str(text);
    let value = Strict(&twice).deserialize(&mut de).map_err(Unkept::NoJson)?;
    de.end().map_err(Unkept::NoJson)?;
    twice.take().map_or(Ok(value), |key| Err(Unkept::Value(said_twice(&key))))
}

fn said_twice(key: &str) -> String {
    let key = shown(key);
    format!("the key {key:?} occurs twice in one object, and nobody knows which counts; remove one")
}

/// The beginning of a text, to be named.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect()
}

/// Longest part of a text that is named.
const SHOWN_CHARS_MAX: usize = 80;

/// A JSON value, noting a key that an object has twice: parsers differ in which of the two counts.
struct Strict<'a>(&'a Cell<Option<String>>);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Value, D::Error> {
        de.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number without a value"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Strict(self.0))? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(Strict(self.0))?;
            if fields.contains_key(&key) {
                self.0.set(Some(key));
            } else {
                fields.insert(key, value);
            }
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_its_own_is_read_as_strictly_as_those_of_an_import() {
        let read = |text: &[u8]| read_object(text).map_err(|error| error.to_string());
        let sound =
            read("\u{feff} {\"a\": 1.0, \"b\": [18446744073709551615]}\n".as_bytes()).unwrap();
        assert_eq!(
            serde_json::to_string(&sound).unwrap(),
            r#"{"a":1.0,"b":[18446744073709551615]}"#
        );
        for (text, said) in [
            (&br#"{"a":1,"a":2}"#[..], "\"a\" occurs twice"),
            (br#"{"a":{"b":1,"b":1}}"#, "\"b\" occurs twice"),
            (br#"{"a":18446744073709551616}"#, "18446744073709551616 cannot be kept"),
            (br#"{"a":0.12345678901234567890123}"#, "cannot be kept"),
            (b"{\"a\":\n1,}", "line 2, column 3"),
            (b"{} {}", "line 1, column 4"),
            (b"[1]", "no JSON object"),
            (b"", "not valid JSON"),
            (b"{\"a\":\"caf\xe9\"}", "not UTF-8 at line 1, byte 10"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said), "{}: {error}", String::from_utf8_lossy(text));
        }
    }
}
