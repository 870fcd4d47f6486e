//! Other people's formats: what is read from files and written to them. Pure: no store, no network.
//!
//! A reader goes through a file object by object, so that memory does not grow with the file, and
//! hands out a [`Draft`] for each good one and a [`Problem`] for each bad one.

pub mod csv;
pub mod geojson;
pub mod stix;

use std::fmt;
use std::io::Read;
use std::ops::ControlFlow;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use tearline_crdt::bounds::RECORD_DEPTH_MAX;
use tearline_crdt::record::kind::Kind;

/// An object that can become a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// What it is about.
    pub kind: Kind,
    /// Its properties, all of them.
    pub fields: Map<String, Value>,
    /// The marking found in it: "TLP:AMBER".
    pub tlp: Option<&'static str>,
    /// Where it stands: `objects[17] (indicator--8e2e...)`.
    pub place: String,
}

/// An object that cannot.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// Where it stands.
    pub place: String,
    /// Why not, and what to do.
    pub reason: String,
}

/// What a reader hands out.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A good object.
    Draft(Draft),
    /// A bad one.
    Bad(Problem),
}

/// Takes items until it breaks.
pub type Sink<'a> = dyn FnMut(Item) -> ControlFlow<()> + 'a;

/// A file that cannot be read on. What came before it was handed out.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not JSON, or ends too early.
    #[error("not valid JSON at line {line}, column {column}: {what}")]
    Json {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What the parser says.
        what: String,
    },
    /// It is JSON, but of another shape.
    #[error("this is no {expected}: {hint}")]
    Shape {
        /// What it should be.
        expected: &'static str,
        /// What to look at.
        hint: &'static str,
    },
    /// The mapping file makes no sense.
    #[error("the mapping file: {0}")]
    Mapping(String),
    /// The system cannot read it.
    #[error("cannot read it: {0}")]
    Io(#[from] std::io::Error),
    /// It is no table.
    #[error("not valid CSV: {0}")]
    Csv(String),
}

impl From<serde_json::Error> for ReadError {
    fn from(error: serde_json::Error) -> Self {
        let what = error.to_string();
        let what = what.split(" at line ").next().unwrap_or_default().to_owned();
        Self::Json { line: error.line(), column: error.column(), what }
    }
}

/// Largest object, as JSON text.
const OBJECT_BYTES_MAX: usize = 1024 * 1024;

/// Why an object is no record, in general; `None` if it may be one.
fn unfit(object: &Map<String, Value>) -> Option<String> {
    if depth(object) > RECORD_DEPTH_MAX {
        return Some(format!("it is nested deeper than {RECORD_DEPTH_MAX} levels; flatten it"));
    }
    let bytes = serde_json::to_vec(object).map_or(usize::MAX, |text| text.len());
    (bytes > OBJECT_BYTES_MAX).then(|| {
        format!("it has {bytes} bytes; the limit is {OBJECT_BYTES_MAX}: split it or attach a file")
    })
}

fn depth(object: &Map<String, Value>) -> usize {
    fn of(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(of).max().unwrap_or(0),
            Value::Object(fields) => 1 + fields.values().map(of).max().unwrap_or(0),
            _ => 0,
        }
    }
    1 + object.values().map(of).max().unwrap_or(0)
}

/// Goes through the array under `key` of the top-level object, element by element; all other keys
/// are given to `other`. Also takes a top-level array, and a single object (given to `one`).
struct Elements<'a> {
    key: &'static str,
    each: &'a mut dyn FnMut(usize, Value) -> ControlFlow<()>,
    found: &'a mut bool,
    others: &'a mut Map<String, Value>,
}

/// Said to the parser to stop it; recognised by the caller.
const STOPPED: &str = "stopped by the reader";

impl<'de> DeserializeSeed<'de> for Elements<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, de: D) -> Result<(), D::Error> {
        de.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == self.key {
                *self.found = true;
                map.next_value_seed(Items { each: self.each })?;
            } else {
                let value = map.next_value()?;
                if self.others.insert(key.clone(), value).is_some() {
                    return Err(serde::de::Error::custom(format!("the key {key:?} occurs twice")));
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        *self.found = true;
        Items { each: self.each }.visit_seq(seq)
    }
}

struct Items<'a> {
    each: &'a mut dyn FnMut(usize, Value) -> ControlFlow<()>,
}

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, de: D) -> Result<(), D::Error> {
        de.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut n = 0;
        while let Some(value) = seq.next_element::<Strict>()? {
            if (self.each)(n, value.0).is_break() {
                return Err(serde::de::Error::custom(STOPPED));
            }
            n += 1;
        }
        Ok(())
    }
}

/// A JSON value in which no object has a key twice: which of two values counts is anybody's guess.
struct Strict(Value);

impl<'de> serde::Deserialize<'de> for Strict {
    fn deserialize<D: serde::Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        de.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
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
        while let Some(Strict(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some((key, Strict(value))) = map.next_entry::<String, Strict>()? {
            if fields.insert(key.clone(), value).is_some() {
                return Err(serde::de::Error::custom(format!("the key {key:?} occurs twice")));
            }
        }
        Ok(Value::Object(fields))
    }
}

/// Reads a JSON document whose objects lie in the array `key`. Returns the document's other keys.
fn read_elements(
    reader: impl Read,
    key: &'static str,
    each: &mut dyn FnMut(usize, Value) -> ControlFlow<()>,
) -> Result<(bool, Map<String, Value>), ReadError> {
    let mut found = false;
    let mut others = Map::new();
    let mut de = serde_json::Deserializer::from_reader(std::io::BufReader::new(reader));
    let seed = Elements { key, each, found: &mut found, others: &mut others };
    let outcome = seed.deserialize(&mut de).and_then(|()| de.end());
    match outcome {
        Ok(()) => Ok((found, others)),
        Err(error) if error.to_string().contains(STOPPED) => Ok((true, others)),
        Err(error) => Err(error.into()),
    }
}
