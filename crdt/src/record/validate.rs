//! Whether a native record says what its kind may say. Imports are not held to this: they are kept
//! as they came, and shown with whatever problems they have.
//!
//! The shapes come from the kind's [`Field`]s; the rules between properties are here. A property
//! that the kind does not know is left alone.

use std::fmt;

use serde_json::{Map, Value};

use super::common::Common;
use super::kind::Kind;
use super::mrz;
use super::schema::{Field, Shape};
use super::writing::bare;

/// Most problems of one record that are reported.
pub const PROBLEMS_MAX: usize = 64;

/// Something in a record that cannot be right, for whoever can put it right.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Problem {
    /// Where: `names[0].script`. Empty for the record as a whole.
    pub path: String,
    /// What is wrong and what to do.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.reason),
            path => write!(f, "{path}: {}", self.reason),
        }
    }
}

/// Everything that is wrong with a native record, up to [`PROBLEMS_MAX`]; nothing if it is sound.
#[must_use]
pub fn validate(kind: Kind, record: &Map<String, Value>) -> Vec<Problem> {
    let mut found = Problems::default();
    found.group(Common::FIELDS, record, "");
    found.group(kind.fields(), record, "");
    for &name in kind.required() {
        if record.get(name).is_none_or(Value::is_null) {
            found.add(name, "is missing, and the record says nothing without it");
        }
    }
    found.identity(kind, record);
    found.position(record, "");
    for (name, earlier, later) in ORDERED {
        found.order(record, name, earlier, later);
    }
    match kind {
        Kind::Location => found.location(record),
        Kind::Route => found.route(record),
        Kind::Person => found.person(record),
        Kind::Sighting => found.sighting(record),
        Kind::Alert => found.alert(record),
        Kind::Request => found.request(record),
        _ => {}
    }
    found.found
}

/// What of a record, native or not, is probably misread: numbers of things whose form or check digit is
/// wrong. Whoever saw them so must be able to say so; up to [`PROBLEMS_MAX`].
#[must_use]
pub fn doubts(kind: Kind, record: &Map<String, Value>) -> Vec<Problem> {
    let mut found = Problems::default();
    let fields = Common::FIELDS.iter().chain(kind.fields());
    for field in fields.filter(|field| field.shape.is_seen()) {
        found.field(field, record, "");
    }
    if kind == Kind::TravelDocument {
        found.travel_document(record);
    }
    found.doubts
}

/// What, and two times of which the second must not be before the first.
const ORDERED: [(&str, &str, &str); 6] = [
    ("the record was modified", "created", "modified"),
    ("it was last seen", "first_seen", "last_seen"),
    ("it ended", "start_time", "stop_time"),
    ("it lapses", "valid_from", "valid_until"),
    ("it is due", "start_time", "due"),
    ("it was closed", "opened", "closed"),
];

#[derive(Default)]
struct Problems {
    found: Vec<Problem>,
    doubts: Vec<Problem>,
}

impl Problems {
    fn add(&mut self, path: impl Into<String>, reason: impl Into<String>) {
        if self.found.len() < PROBLEMS_MAX {
            self.found.push(Problem { path: path.into(), reason: reason.into() });
        }
    }

    fn doubt(&mut self, path: impl Into<String>, reason: impl Into<String>) {
        if self.doubts.len() < PROBLEMS_MAX {
            self.doubts.push(Problem { path: path.into(), reason: reason.into() });
        }
    }

    fn group(&mut self, fields: &[Field], map: &Map<String, Value>, prefix: &str) {
        for field in fields {
            self.field(field, map, prefix);
        }
    }

    fn field(&mut self, field: &Field, map: &Map<String, Value>, prefix: &str) {
        if let Some(value) = map.get(field.name) {
            self.value(&field.shape, value, &format!("{prefix}{}", field.name));
        }
    }

    fn value(&mut self, shape: &Shape, value: &Value, path: &str) {
        match (shape, value) {
            (_, Value::Null) => self.add(path, "is null; leave the property out instead"),
            (Shape::Text, Value::String(text)) => {
                if text.trim().is_empty() {
                    self.add(path, "is empty; leave the property out instead");
                }
            }
            (Shape::Ruled(rule), Value::String(text)) => {
                if let Err(reason) = rule(text) {
                    self.add(path, reason);
                }
            }
            (Shape::Seen(rule), Value::String(text)) => {
                if text.trim().is_empty() {
                    self.add(path, "is empty; leave the property out instead");
                } else if let Err(reason) = rule(&bare(text).to_uppercase()) {
                    self.doubt(path, reason);
                }
            }
            (Shape::Word { what, words }, Value::String(text)) => {
                if !words.contains(&text.as_str()) {
                    self.add(path, format!("is not {what}; use one of: {}", words.join(", ")));
                }
            }
            (Shape::Flag, Value::Bool(_)) => {}
            (Shape::Count(max), Value::Number(number)) => {
                if number.as_u64().is_none_or(|number| number > *max) {
                    self.add(path, format!("must be a whole number from 0 to {max}"));
                }
            }
            (Shape::Number(min, max), Value::Number(number)) => {
                if number.as_f64().is_none_or(|number| !(*min..=*max).contains(&number)) {
                    self.add(path, format!("must be a number from {min} to {max}"));
                }
            }
            (Shape::List(_), Value::Array(items)) if items.is_empty() => {
                self.add(path, "is an empty list; leave the property out instead");
            }
            (Shape::List(shape), Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    if self.found.len() >= PROBLEMS_MAX {
                        return;
                    }
                    self.value(shape, item, &format!("{path}[{index}]"));
                }
            }
            (Shape::Group(fields), Value::Object(map)) => {
                self.group(fields, map, &format!("{path}."));
            }
            (shape, _) => self.add(path, format!("must be {}", form(shape))),
        }
    }

    /// `type` and `id` follow from the kind.
    fn identity(&mut self, kind: Kind, record: &Map<String, Value>) {
        let Some(expected) = kind.stix_type() else { return };
        if text(record, "type").is_some_and(|found| found != expected) {
            self.add("type", format!("must be {expected} for a record of kind {kind}"));
        }
        let prefix = |id: &str| id.split_once("--").is_some_and(|(found, _)| found != expected);
        if text(record, "id").is_some_and(prefix) {
            self.add("id", format!("must begin with {expected}-- for a record of kind {kind}"));
        }
        if text(record, "spec_version").is_some_and(|found| found != "2.1") {
            self.add("spec_version", "must be 2.1");
        }
    }

    /// Latitude and longitude come together, and a precision only with them (STIX 2.1 §4.9.1).
    fn position(&mut self, map: &Map<String, Value>, prefix: &str) {
        let there = |name: &str| map.contains_key(name);
        match (there("latitude"), there("longitude")) {
            (true, false) => {
                self.add(format!("{prefix}longitude"), "is missing: give both or none");
            }
            (false, true) => self.add(format!("{prefix}latitude"), "is missing: give both or none"),
            (false, false) if there("precision") => {
                self.add(format!("{prefix}precision"), "needs latitude and longitude beside it");
            }
            _ => {}
        }
    }

    fn order(&mut self, record: &Map<String, Value>, what: &str, earlier: &str, later: &str) {
        let time = |name| text(record, name).and_then(crate::time::WallTime::parse);
        if let (Some(first), Some(second)) = (time(earlier), time(later))
            && second < first
        {
            self.add(later, format!("says that {what} before {earlier}; correct one of the two"));
        }
    }

    fn location(&mut self, record: &Map<String, Value>) {
        // An area or a group of points: as GeoJSON has it.
        let shaped = record.get("geometry").is_some_and(Value::is_object);
        let placed =
            ["region", "country", "latitude"].iter().any(|name| record.contains_key(*name));
        if !shaped && !placed {
            self.add("", "a location needs a region, a country, or latitude and longitude");
        }
    }

    fn route(&mut self, record: &Map<String, Value>) {
        let points = record.get("points").and_then(Value::as_array).into_iter().flatten();
        for (index, point) in points.enumerate() {
            let Some(point) = point.as_object() else { continue };
            let prefix = format!("points[{index}].");
            self.position(point, &prefix);
            if !["latitude", "name", "location_ref"].iter().any(|name| point.contains_key(*name)) {
                self.add(
                    format!("points[{index}]"),
                    "a point needs latitude and longitude, a name, or a location",
                );
            }
        }
    }

    fn person(&mut self, record: &Map<String, Value>) {
        if text(record, "identity_class").is_some_and(|class| class != "individual") {
            self.add("identity_class", "must be individual for a person");
        }
    }

    fn travel_document(&mut self, record: &Map<String, Value>) {
        let Some(lines) = record.get("mrz_lines").and_then(Value::as_array) else { return };
        let lines: Option<Vec<&str>> = lines.iter().map(Value::as_str).collect();
        if let Some(Err(reason)) = lines.map(|lines| mrz::check(&lines)) {
            self.doubt("mrz_lines", reason);
        }
    }

    fn sighting(&mut self, record: &Map<String, Value>) {
        if !["sighting_of_ref", "description"].iter().any(|name| record.contains_key(*name)) {
            self.add("", "a sighting needs sighting_of_ref, or a description of what was seen");
        }
    }

    fn alert(&mut self, record: &Map<String, Value>) {
        if !["subject_refs", "plate", "description"].iter().any(|name| record.contains_key(*name)) {
            self.add(
                "",
                "an alert needs subject_refs, a plate, or a description of whom to look for",
            );
        }
        let is_check = text(record, "action_to_take") == Some("check");
        match (is_check, record.contains_key("check_kind")) {
            (true, false) => {
                self.add("check_kind", "is missing: say discreet, inquiry or specific");
            }
            (false, true) if record.contains_key("action_to_take") => {
                self.add("check_kind", "goes with action_to_take check only; leave it out");
            }
            _ => {}
        }
    }

    fn request(&mut self, record: &Map<String, Value>) {
        let refused = text(record, "state") == Some("refused");
        match (refused, record.contains_key("refusal")) {
            (true, false) => self.add("refusal", "is missing: say why the request was refused"),
            (false, true) => self.add("refusal", "goes with state refused only; leave it out"),
            _ => {}
        }
    }
}

fn text<'r>(record: &'r Map<String, Value>, name: &str) -> Option<&'r str> {
    record.get(name).and_then(Value::as_str)
}

const fn form(shape: &Shape) -> &'static str {
    match shape {
        Shape::Text | Shape::Ruled(_) | Shape::Seen(_) | Shape::Word { .. } => "a text in quotes",
        Shape::Flag => "true or false",
        Shape::Count(_) => "a whole number, without quotes",
        Shape::Number(..) => "a number, without quotes",
        Shape::List(_) => "a list",
        Shape::Group(_) => "a group of properties",
    }
}
