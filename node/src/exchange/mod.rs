//! Other people's formats: what is read from files and written to them. Pure: no store, no network.
//!
//! A reader goes through a file object by object, so that memory does not grow with the file, and
//! hands out a [`Draft`] for each good one and a [`Problem`] for each bad one.

pub mod ais;
pub mod cot;
pub mod csv;
pub mod geojson;
mod json;
pub mod misp;
pub(crate) mod native;
mod number;
mod quotes;
pub mod stix;
#[cfg(test)]
mod tests;
mod utf8;

use std::cell::Cell;
use std::io::{self, Read};
use std::ops::ControlFlow;

use serde_json::{Map, Value};

use tearline_crdt::bounds::RECORD_DEPTH_MAX;
use tearline_crdt::record::edge;
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::validate::{self, validate};

pub use json::read_object;
pub use utf8::NotUtf8;

/// An object that can become a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// What it is about.
    pub kind: Kind,
    /// Its properties, all of them.
    pub fields: Map<String, Value>,
    /// The label found in it: "TLP:AMBER".
    pub marking: Option<String>,
    /// Where it stands: `objects[17] (indicator--8e2e...)`.
    pub place: String,
    /// Whether its source has more to say of it than this: then what it does not say is not gone.
    pub partial: bool,
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
    /// A good one that says nothing for a record.
    PassedOver,
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
    /// It is JSON with something that cannot be kept.
    #[error("{0}")]
    Value(String),
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
    /// The mapping file and the table do not fit each other.
    #[error("the table and the mapping file do not fit: {0}")]
    Columns(String),
    /// It is text in another encoding, or no text.
    #[error(transparent)]
    NotUtf8(NotUtf8),
    /// A quote of a table does not close, so that what follows is no rows.
    #[error("the quote that opens in row {row}, at line {line}, does not close: {unread}")]
    OpenQuote {
        /// The row, of which the header is row 1.
        row: u64,
        /// The line, from 1.
        line: u64,
        /// What was not read because of it.
        unread: String,
    },
    /// The system cannot read it.
    #[error("cannot read it: {0}")]
    Io(io::Error),
    /// It is no table.
    #[error("not valid CSV: {0}")]
    Csv(String),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(fault) => Self::NotUtf8(*fault),
            None => Self::Io(error),
        }
    }
}

impl From<serde_json::Error> for ReadError {
    fn from(error: serde_json::Error) -> Self {
        if error.is_io() {
            return io::Error::from(error).into();
        }
        let what = error.to_string();
        let what = what.split(" at line ").next().unwrap_or_default().to_owned();
        Self::Json { line: error.line(), column: error.column(), what }
    }
}

/// The beginning of a text of a file, to be quoted in a report.
fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(CLIPPED_CHARS_MAX).collect()
}

/// Longest such beginning.
const CLIPPED_CHARS_MAX: usize = 80;

/// Largest object, as JSON text.
const OBJECT_BYTES_MAX: usize = 1024 * 1024;

/// Why an object is no record, in general; `None` if it may be one.
fn unfit(object: &Map<String, Value>) -> Option<String> {
    let size = Size::of_all(object.iter());
    if size.depth > RECORD_DEPTH_MAX {
        return Some(format!("it is nested deeper than {RECORD_DEPTH_MAX} levels; flatten it"));
    }
    if size.bytes_max <= OBJECT_BYTES_MAX {
        return None;
    }
    let bytes = serde_json::to_vec(object).map_or(usize::MAX, |text| text.len());
    (bytes > OBJECT_BYTES_MAX).then(|| {
        format!(
            "it has {bytes} bytes; the limit is {OBJECT_BYTES_MAX}: split it, or keep the rest where it is and \
             refer to it"
        )
    })
}

/// What keeps properties from being a record of ours: the same for what people write and for rows and
/// features. STIX objects are kept as they come, but for edges.
#[must_use]
pub fn faults(kind: Kind, fields: &Map<String, Value>) -> Vec<validate::Problem> {
    edges(fields).chain(validate(kind, fields)).collect()
}

/// The properties that say which record is a release of which. No file says that.
fn edges(fields: &Map<String, Value>) -> impl Iterator<Item = validate::Problem> {
    fields.keys().filter(|name| edge::is_reserved(name)).map(|name| validate::Problem {
        path: name.clone(),
        reason: "is no property to set: `tearline record release` writes it".into(),
    })
}

/// How large an object is, without writing it.
struct Size {
    /// Levels of nesting.
    depth: usize,
    /// Bytes that its text has at most.
    bytes_max: usize,
}

impl Size {
    fn of_all<'a>(items: impl Iterator<Item = (&'a String, &'a Value)>) -> Self {
        items.fold(Self { depth: 1, bytes_max: 2 }, |all, (name, value)| {
            all.with(&Self::of(value), text_bytes_max(name) + 2)
        })
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::Array(items) => items
                .iter()
                .fold(Self { depth: 1, bytes_max: 2 }, |all, item| all.with(&Self::of(item), 1)),
            Value::Object(fields) => Self::of_all(fields.iter()),
            Value::String(text) => Self { depth: 0, bytes_max: text_bytes_max(text) },
            // The longest numbers are floating-point: -2.2250738585072014e-308.
            Value::Number(_) | Value::Bool(_) | Value::Null => Self { depth: 0, bytes_max: 24 },
        }
    }

    fn with(self, inner: &Self, bytes: usize) -> Self {
        Self {
            depth: self.depth.max(inner.depth + 1),
            bytes_max: self.bytes_max.saturating_add(inner.bytes_max).saturating_add(bytes),
        }
    }
}

/// About how many bytes properties have as JSON: their texts, and a little for each value.
pub(crate) fn weight(fields: &Map<String, Value>) -> usize {
    fields.iter().map(|(name, value)| name.len() + value_weight(value)).sum()
}

fn value_weight(value: &Value) -> usize {
    VALUE_BYTES
        + match value {
            Value::Array(items) => items.iter().map(value_weight).sum(),
            Value::Object(fields) => weight(fields),
            Value::String(text) => text.len(),
            Value::Number(_) | Value::Bool(_) | Value::Null => 0,
        }
}

/// What a value takes beside its text.
const VALUE_BYTES: usize = 8;

/// What a text takes in JSON at most: a character of one byte becomes six where it is escaped.
fn text_bytes_max(text: &str) -> usize {
    text.len().saturating_mul(6).saturating_add(2)
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

/// A file without the byte order mark that it may begin with.
fn without_mark(mut file: impl Read) -> io::Result<impl Read> {
    let mut head = Vec::with_capacity(BYTE_ORDER_MARK.len());
    (&mut file).take(BYTE_ORDER_MARK.len() as u64).read_to_end(&mut head)?;
    if head == BYTE_ORDER_MARK {
        head.clear();
    }
    Ok(io::Cursor::new(head).chain(file))
}

/// U+FEFF in UTF-8: some programs begin every text with it.
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];
