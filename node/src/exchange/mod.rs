//! Other people's formats: what is read from files and written to them. Pure: no store, no network.
//!
//! A reader goes through a file object by object, so that memory does not grow with the file, and
//! hands out a [`Draft`] for each good one and a [`Problem`] for each bad one.

pub mod csv;
pub mod geojson;
pub mod stix;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::Path;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use tearline_crdt::bounds::RECORD_DEPTH_MAX;
use tearline_crdt::record::kind::Kind;

use crate::failure::Failure;

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

/// Opens a file to be read to its end. A pipe or a device is refused: it may never end, and opening
/// it may wait for ever.
pub fn open(path: &Path) -> Result<File, Failure> {
    let shown = path.display();
    let failed = |error: &io::Error| Failure::io(format!("cannot read {shown}"), error);
    let kind = fs::metadata(path).map_err(|error| failed(&error))?.file_type();
    if kind.is_dir() {
        return Err(Failure::usage(format!("{shown} is a folder; name files")));
    }
    if !kind.is_file() {
        return Err(Failure::usage(format!("{shown} is not a regular file"))
            .hint("write what it gives to a file first"));
    }
    File::open(path).map_err(|error| failed(&error))
}

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
    Io(#[from] io::Error),
    /// It is no table.
    #[error("not valid CSV: {0}")]
    Csv(String),
}

impl From<serde_json::Error> for ReadError {
    fn from(error: serde_json::Error) -> Self {
        if error.is_io() {
            return Self::Io(error.into());
        }
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

/// What one object may take of a file, as text with its blanks: what is in memory at once has a
/// bound, whatever the file.
const OBJECT_TEXT_BYTES_MAX: usize = 4 * OBJECT_BYTES_MAX;

/// A file that is given out as long as no object takes more than [`OBJECT_TEXT_BYTES_MAX`]; `left`
/// is set anew for each.
struct Bounded<'a, R> {
    file: R,
    left: &'a Cell<usize>,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left.get() == 0 {
            return Err(io::Error::other(format!(
                "one object or row has over {OBJECT_TEXT_BYTES_MAX} bytes of text; \
                 a quote or bracket may be missing before it"
            )));
        }
        let count = self.file.read(buffer)?;
        self.left.set(self.left.get().saturating_sub(count));
        Ok(count)
    }
}

/// Takes each element of the array, or the reason why it is none.
type Each<'a> = dyn FnMut(usize, Result<Value, String>) -> ControlFlow<()> + 'a;

/// Reads a JSON document whose objects lie in the array `key`. Returns whether there is one, and
/// the document's other keys.
fn read_elements(
    file: impl Read,
    key: &'static str,
    each: &mut Each<'_>,
) -> Result<(bool, Map<String, Value>), ReadError> {
    let left = Cell::new(OBJECT_TEXT_BYTES_MAX);
    let file = io::BufReader::new(Bounded { file, left: &left });
    let mut de = serde_json::Deserializer::from_reader(file);
    let mut walk = Walk { each, left: &left, found: false, stopped: false, others: Map::new() };
    let outcome = Document { key, walk: &mut walk }.deserialize(&mut de).and_then(|()| de.end());
    match outcome {
        Err(error) if !walk.stopped => Err(error.into()),
        _ => Ok((walk.found, walk.others)),
    }
}

/// Where a reading stands.
struct Walk<'a> {
    each: &'a mut Each<'a>,
    left: &'a Cell<usize>,
    found: bool,
    stopped: bool,
    others: Map<String, Value>,
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
            if key == self.key && !self.walk.found {
                map.next_value_seed(Elements(self.walk))?;
                continue;
            }
            let twice = Cell::new(None);
            let value = map.next_value_seed(Strict(&twice))?;
            let known = key == self.key || self.walk.others.contains_key(&key);
            if let Some(key) = twice.take().or_else(|| known.then(|| key.clone())) {
                return Err(A::Error::custom(said_twice(&key)));
            }
            self.walk.others.insert(key, value);
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
        walk.found = true;
        for n in 0.. {
            let twice = Cell::new(None);
            let Some(value) = seq.next_element_seed(Strict(&twice))? else { break };
            walk.left.set(OBJECT_TEXT_BYTES_MAX);
            let element = twice.take().map_or(Ok(value), |key| Err(said_twice(&key)));
            if (walk.each)(n, element).is_break() {
                walk.stopped = true;
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

fn said_twice(key: &str) -> String {
    let key: String = key.chars().filter(|c| !c.is_control()).take(80).collect();
    format!("the key {key:?} occurs twice in one object, and nobody knows which counts; remove one")
}

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
