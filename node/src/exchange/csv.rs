//! Tables: CSV (RFC 4180) through a mapping file, and out again.
//!
//! The mapping file is TOML: which kind a row is, and which column feeds which property.
//! `docs/import.md` explains it with an example.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

use serde::Deserialize;
use serde_json::{Map, Value};

use tearline_crdt::record::edge;
use tearline_crdt::record::kind::Kind;
use tearline_crdt::time::WallTime;

use super::number::is_exact;
use super::quotes::{Watch, Watched};
use super::{
    Bounded, Draft, Item, OBJECT_TEXT_BYTES_MAX, Problem, ReadError, Sink, clip, faults, unfit,
    without_mark,
};

/// How rows become records.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// The kind of every row.
    pub kind: String,
    /// The separator; a comma if absent.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// Property (path with dots) to its source.
    pub fields: BTreeMap<String, Source>,
}

const fn comma() -> char {
    ','
}

/// Where a property comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Source {
    /// The text of a column.
    Column(String),
    /// A column, with its type.
    Typed(Typed),
    /// The same value for every row.
    Constant(Constant),
}

/// A column, with the type of its text.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Typed {
    /// The column.
    pub column: String,
    /// Its type.
    #[serde(rename = "type", default)]
    pub kind: ColumnType,
    /// Whether a row without it is no record.
    #[serde(default)]
    pub required: bool,
}

/// The same value for every row.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// The value.
    pub value: toml::Value,
}

/// What the text of a column stands for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// Itself.
    #[default]
    Text,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// true, false, yes, no, 1, 0.
    Bool,
    /// A time: RFC 3339, or a date.
    Time,
    /// Texts separated by semicolons.
    List,
}

impl Mapping {
    /// Reads a mapping file.
    pub fn parse(text: &str) -> Result<Self, ReadError> {
        let mapping: Self =
            toml::from_str(text).map_err(|error| ReadError::Mapping(error.to_string()))?;
        mapping.kind()?;
        if !mapping.delimiter.is_ascii() {
            return Err(ReadError::Mapping("the delimiter must be an ASCII character".into()));
        }
        if mapping.fields.is_empty() {
            return Err(ReadError::Mapping("[fields] names no property".into()));
        }
        for (property, source) in &mapping.fields {
            mapping.check(property, source)?;
        }
        Ok(mapping)
    }

    /// A property must be the table's to fill, and have one place, and a constant must be a value that JSON
    /// has.
    fn check(&self, property: &str, source: &Source) -> Result<(), ReadError> {
        let head = property.split('.').next().unwrap_or_default();
        if let Some((_, instead)) = OURS.iter().find(|(name, _)| *name == head) {
            return Err(ReadError::Mapping(format!(
                "{property:?} cannot be filled from a table: Tearline writes it on export; {instead}"
            )));
        }
        if edge::is_reserved(head) {
            return Err(ReadError::Mapping(format!(
                "{property:?} cannot be filled from a table: `tearline record release` writes it"
            )));
        }
        let mut above = property;
        while let Some((group, _)) = above.rsplit_once('.') {
            if self.fields.contains_key(group) {
                return Err(ReadError::Mapping(format!(
                    "{property:?} is a part of {group:?}, which has a value of its own: name one of them"
                )));
            }
            above = group;
        }
        match source {
            Source::Constant(Constant { value }) if !is_json(value) => {
                Err(ReadError::Mapping(format!(
                    "the value of {property} is {value}, which JSON does not have: write it as a text"
                )))
            }
            _ => Ok(()),
        }
    }

    /// What a property of a row comes from, to be named beside the property.
    fn origin(&self, path: &str) -> Option<String> {
        let is_of = |property: &String| {
            let below = |of: &str, path: &str| {
                path.strip_prefix(of)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            };
            below(property, path) || below(path, property)
        };
        let (_, source) = self.fields.iter().find(|(property, _)| is_of(property))?;
        Some(match source {
            Source::Column(column) | Source::Typed(Typed { column, .. }) => {
                format!("the column {column:?}")
            }
            Source::Constant(_) => "the value in the mapping file".into(),
        })
    }

    fn kind(&self) -> Result<Kind, ReadError> {
        self.kind
            .parse()
            .map_err(|_| ReadError::Mapping(format!("kind = {:?} is no kind of record", self.kind)))
    }
}

/// Properties that an export writes for records that did not come as STIX objects, and what to do instead of
/// filling them.
const OURS: [(&str, &str); 6] = [
    ("type", "`kind` at the top of the mapping file says it"),
    ("spec_version", "leave it out"),
    ("id", "name a property of your own, as in `source_id`"),
    (
        "created",
        "name when it happened (`first_seen`, `time`), or a property of your own, as in `source_created`",
    ),
    ("modified", "name a property of your own, as in `source_modified`"),
    ("extensions", "name a property of your own, as in `source_extensions`"),
];

/// Whether JSON has such a value: it has no times and no numbers without end.
fn is_json(value: &toml::Value) -> bool {
    match value {
        toml::Value::Datetime(_) => false,
        toml::Value::Float(number) => number.is_finite(),
        toml::Value::Array(values) => values.iter().all(is_json),
        toml::Value::Table(values) => values.values().all(is_json),
        _ => true,
    }
}

/// Most columns of a table that are named where one is missing.
const COLUMNS_NAMED_MAX: usize = 20;

/// Reads all rows. They are numbered as a spreadsheet does it: the header is row 1.
pub fn read(file: impl Read, mapping: &Mapping, sink: &mut Sink<'_>) -> Result<(), ReadError> {
    let kind = mapping.kind()?;
    let left = Cell::new(OBJECT_TEXT_BYTES_MAX);
    let (delimiter, watch) = (mapping.delimiter as u8, Watch::default());
    let file = Watched { file: without_mark(file)?, delimiter, watch: &watch };
    let mut table =
        csv::ReaderBuilder::new().delimiter(delimiter).from_reader(Bounded { file, left: &left });
    let header = table.byte_headers().cloned();
    if let Some(error) = open_quote(1, &watch, &header) {
        return Err(error);
    }
    let columns = columns(&header.map_err(unreadable)?, mapping)?;
    watch.next_row();
    let mut record = csv::ByteRecord::new();
    for number in 2_u64.. {
        left.set(OBJECT_TEXT_BYTES_MAX);
        let read = table.read_byte_record(&mut record);
        if let Some(error) = open_quote(number, &watch, &read) {
            return Err(error);
        }
        if matches!(read, Ok(false)) {
            break;
        }
        let place = format!("row {number}, line {}", watch.next_row());
        let item = match read {
            Ok(_) => row(kind, mapping, &columns, &record, place),
            Err(error) => match error.kind() {
                csv::ErrorKind::UnequalLengths { expected_len, len, .. } => Item::Bad(Problem {
                    place,
                    reason: format!("it has {len} cells, and the header has {expected_len}"),
                }),
                _ => return Err(unreadable(error)),
            },
        };
        if sink(item).is_break() {
            break;
        }
    }
    Ok(())
}

/// The quote that was open where the parser came to the end of the file, or gave up.
fn open_quote<T>(row: u64, watch: &Watch, read: &csv::Result<T>) -> Option<ReadError> {
    if let Some(line) = watch.open_at_end() {
        let unread = match watch.lines().saturating_sub(line) {
            0 => "that row was not read".into(),
            lines => format!("that row and the {lines} lines after line {line} were not read"),
        };
        return Some(ReadError::OpenQuote { row, line, unread });
    }
    let line = watch.open().filter(|_| read.as_ref().is_err_and(csv::Error::is_io_error))?;
    let unread = format!(
        "that row and all after it were not read, and {OBJECT_TEXT_BYTES_MAX} bytes of it have no \
         other quote"
    );
    Some(ReadError::OpenQuote { row, line, unread })
}

fn unreadable(error: csv::Error) -> ReadError {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.into(),
        kind => ReadError::Csv(format!("{kind:?}")),
    }
}

/// Column name to its number, for the columns that the mapping names.
fn columns(
    header: &csv::ByteRecord,
    mapping: &Mapping,
) -> Result<BTreeMap<String, usize>, ReadError> {
    let mut names = BTreeMap::new();
    let mut doubled = BTreeSet::new();
    for (n, name) in header.iter().enumerate() {
        let name = String::from_utf8_lossy(name).trim().to_owned();
        if names.insert(name.clone(), n).is_some() {
            doubled.insert(name);
        }
    }
    let mut wanted = BTreeMap::new();
    for (property, source) in &mapping.fields {
        let column = match source {
            Source::Column(column) | Source::Typed(Typed { column, .. }) => column,
            Source::Constant(_) => continue,
        };
        let Some(n) = names.get(column) else {
            if let Some(name) = header.iter().find(|name| std::str::from_utf8(name).is_err()) {
                return Err(ReadError::Columns(format!(
                    "{property} asks for the column {column:?}; the header is not UTF-8, at {:?}: save \
                     the table as UTF-8",
                    String::from_utf8_lossy(name)
                )));
            }
            let first: Vec<String> =
                names.keys().take(COLUMNS_NAMED_MAX).map(|name| clip(name)).collect();
            let more = match names.len().saturating_sub(COLUMNS_NAMED_MAX) {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            return Err(ReadError::Columns(format!(
                "{property} asks for the column {column:?}; the table has {}{more}",
                first.join(", ")
            )));
        };
        if doubled.contains(column) {
            return Err(ReadError::Columns(format!(
                "{property} asks for the column {column:?}, of which the table has several; rename \
                 all but one"
            )));
        }
        wanted.insert(column.clone(), *n);
    }
    Ok(wanted)
}

fn row(
    kind: Kind,
    mapping: &Mapping,
    columns: &BTreeMap<String, usize>,
    record: &csv::ByteRecord,
    place: String,
) -> Item {
    let mut fields = Map::new();
    for (property, source) in &mapping.fields {
        let value = match source {
            Source::Constant(Constant { value }) => serde_json::to_value(value).ok(),
            Source::Column(column) => match cell(columns, record, column) {
                Ok(text) => text.map(|text| Value::String(text.into())),
                Err(reason) => return Item::Bad(Problem { place, reason }),
            },
            Source::Typed(Typed { column, kind, required }) => {
                let read = cell(columns, record, column).and_then(|text| match text {
                    Some(text) => typed(*kind, column, text, is_place(property)).map(Some),
                    None if *required => Err(format!("the column {column:?} is empty")),
                    None => Ok(None),
                });
                match read {
                    Ok(value) => value,
                    Err(reason) => return Item::Bad(Problem { place, reason }),
                }
            }
        };
        if let Some(value) = value {
            put(&mut fields, property, value);
        }
    }
    match unfit(&fields).or_else(|| off_globe(&fields)).or_else(|| unsound(kind, mapping, &fields))
    {
        Some(reason) => Item::Bad(Problem { place, reason }),
        None => Item::Draft(Draft { kind, fields, marking: None, place, partial: false }),
    }
}

/// Why a row is no record of its kind, each reason with the column.
fn unsound(kind: Kind, mapping: &Mapping, fields: &Map<String, Value>) -> Option<String> {
    let faults = faults(kind, fields);
    let each =
        faults.iter().map(|fault| match (fault.path.as_str(), mapping.origin(&fault.path)) {
            ("", _) => fault.reason.clone(),
            (path, Some(origin)) => format!("{origin} ({path}) {}", fault.reason),
            (path, None) => format!("{path} {}", fault.reason),
        });
    (!faults.is_empty()).then(|| each.collect::<Vec<_>>().join("; "))
}

/// Whether a property is a latitude or a longitude.
fn is_place(property: &str) -> bool {
    let name = property.rsplit('.').next();
    matches!(name, Some("latitude" | "longitude"))
}

/// Why a latitude or longitude in a row is none.
fn off_globe(fields: &Map<String, Value>) -> Option<String> {
    fields.iter().find_map(|(name, value)| {
        let most = match (name.as_str(), value) {
            (_, Value::Object(inner)) => return off_globe(inner),
            ("latitude", _) => 90.0,
            ("longitude", _) => 180.0,
            _ => return None,
        };
        if value.is_string() {
            return Some(format!("its {name} is a text; give its column `type = \"float\"`"));
        }
        let degrees = value.as_f64();
        (!degrees.is_some_and(|degrees| degrees.abs() <= most))
            .then(|| format!("its {name} is {value}; write degrees from -{most} to {most}"))
    })
}

/// A cell's text; `None` if it is empty.
fn cell<'r>(
    columns: &BTreeMap<String, usize>,
    record: &'r csv::ByteRecord,
    column: &str,
) -> Result<Option<&'r str>, String> {
    let bytes = columns.get(column).and_then(|n| record.get(*n)).unwrap_or_default();
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let value = bytes.get(at).copied().unwrap_or_default();
        format!(
            "the column {column:?} is not UTF-8 from its byte {} on (0x{value:02x}); save the table as UTF-8",
            at + 1
        )
    })?;
    let text = text.trim();
    if text.contains('\0') {
        return Err(format!("the column {column:?} contains a NUL character"));
    }
    Ok((!text.is_empty()).then_some(text))
}

/// A number: what is written as a whole one stays one.
fn read_number(text: &str) -> Option<serde_json::Number> {
    let plain = text.strip_prefix('+').unwrap_or(text);
    let whole = serde_json::from_str::<serde_json::Number>(plain).ok();
    whole.or_else(|| plain.parse().ok().and_then(serde_json::Number::from_f64))
}

/// What the text of a column stands for. A double holds a `place` on the globe to less than a hair's
/// breadth, so that may be rounded.
fn typed(kind: ColumnType, column: &str, text: &str, is_place: bool) -> Result<Value, String> {
    let no = |what: &str| format!("the column {column:?} is {text:?}, which is no {what}");
    Ok(match kind {
        ColumnType::Text => Value::String(text.into()),
        ColumnType::Int => text.parse::<i64>().map_err(|_| no("whole number"))?.into(),
        ColumnType::Float => {
            let number = read_number(text).ok_or_else(|| no("number"))?;
            if !is_place && !is_exact(text.trim_start_matches('+')) {
                return Err(format!(
                    "the column {column:?} is {text:?}, which cannot be kept as it is as a number; give \
                     the column `type = \"text\"`"
                ));
            }
            Value::Number(number)
        }
        ColumnType::Bool => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => true.into(),
            "false" | "no" | "0" => false.into(),
            _ => return Err(no("yes or no")),
        },
        ColumnType::Time => {
            WallTime::parse(text).ok_or_else(|| no("time like 2024-05-01T10:00:00Z"))?;
            Value::String(text.into())
        }
        ColumnType::List => {
            text.split(';').map(str::trim).filter(|part| !part.is_empty()).collect()
        }
    })
}

fn put(fields: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            fields.insert(path.into(), value);
        }
        Some((head, rest)) => {
            let inner = fields.entry(head).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// Writes a table, row by row.
pub struct TableWriter<'a, W: Write> {
    table: csv::Writer<W>,
    columns: &'a [&'a str],
}

impl<'a, W: Write> TableWriter<'a, W> {
    /// Begins a table with one column for each of `columns`, in their order.
    pub fn begin(out: W, columns: &'a [&'a str]) -> Result<Self, csv::Error> {
        let mut table = csv::Writer::from_writer(out);
        table.write_record(columns)?;
        Ok(Self { table, columns })
    }

    /// Writes a row: what is there for the columns.
    pub fn write(&mut self, row: &[(&str, String)]) -> Result<(), csv::Error> {
        let cells = self.columns.iter().map(|column| {
            let value = row.iter().find(|(name, _)| name == column);
            value.map(|(_, value)| defused(value)).unwrap_or_default()
        });
        self.table.write_record(cells)
    }

    /// Ends the table.
    pub fn end(mut self) -> Result<(), csv::Error> {
        Ok(self.table.flush()?)
    }
}

/// A cell that no spreadsheet takes for a formula (OWASP, "CSV Injection").
fn defused(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;

    const MAPPING: &str = r#"
        kind = "sighting"
        [fields]
        description = "Remark"
        "where.latitude" = { column = "Lat", type = "float" }
        count = { column = "N", type = "int", required = true }
        source = { value = "patrol" }
    "#;

    fn all(text: &[u8]) -> Vec<Item> {
        let mut items = Vec::new();
        read(text, &Mapping::parse(MAPPING).unwrap(), &mut |item| {
            items.push(item);
            ControlFlow::Continue(())
        })
        .unwrap();
        items
    }

    #[test]
    fn rows_become_records_and_bad_ones_are_named() {
        let items = all(
            b"\xef\xbb\xbfRemark,Lat,N\r\n\"a, b\",13.5,2\r\nc,x,1\r\nd,1.0,\r\ne\r\n\xff,1,1\r\n",
        );
        let Item::Draft(draft) = &items[0] else { panic!("{items:?}") };
        assert_eq!(draft.fields["description"], "a, b");
        assert_eq!(draft.fields["where"]["latitude"], 13.5);
        assert_eq!(draft.fields["source"], "patrol");
        assert!(items[1..].iter().all(|item| matches!(item, Item::Bad(_))), "{items:?}");
        assert_eq!(items.len(), 5);
        let Item::Bad(problem) = &items[1] else { panic!() };
        assert_eq!(problem.place, "row 3, line 3");
    }

    #[test]
    fn a_mapping_that_does_not_fit_is_explained() {
        assert!(Mapping::parse("kind = \"ufo\"\n[fields]\na = \"A\"").is_err());
        assert!(Mapping::parse("kind = \"sighting\"\ncolour = 1\n[fields]").is_err());
        for fields in [
            "a = { column = \"A\", requird = true }",
            "a = { column = \"A\", value = 7 }",
            "a = { value = 2024-01-01 }",
            "a = { value = [1.0, nan] }",
            "a = { value = { b = inf } }",
            "a = \"A\"\n\"a.b\" = \"B\"",
            "\"a.b.c\" = \"A\"\na = \"B\"",
        ] {
            let mapping = format!("kind = \"sighting\"\n[fields]\n{fields}");
            assert!(Mapping::parse(&mapping).is_err(), "{fields}");
        }
        let parts =
            "kind = \"sighting\"\n[fields]\n\"a.b\" = \"A\"\n\"a.c\" = { value = [1, true] }";
        assert!(Mapping::parse(parts).is_ok());
        let mapping = Mapping::parse(MAPPING).unwrap();
        let outcome = read(&b"A,B\n1,2\n"[..], &mapping, &mut |_| ControlFlow::Continue(()));
        assert!(outcome.unwrap_err().to_string().contains("the table has A, B"));
    }

    #[test]
    fn what_people_may_not_write_no_row_may_say() {
        let mapping = Mapping::parse(
            "kind = \"sighting\"\n[fields]\ndescription = \"Remark\"\n\
             count = { column = \"N\", type = \"int\" }\n\
             observer_ref = \"By\"\nlatitude = { column = \"Lat\", type = \"float\" }\n\
             longitude = { column = \"Lon\", type = \"float\" }\nconfidence = { value = 70 }",
        )
        .unwrap();
        let table = "Remark,N,By,Lat,Lon\n\"a\nb\",2,,13.5,14\n,1,,,\nc,-1,KILO,1,2\nd,,,1,\n";
        let mut items = Vec::new();
        read(table.as_bytes(), &mapping, &mut |item| {
            items.push(item);
            ControlFlow::Continue(())
        })
        .unwrap();
        let [Item::Draft(_), Item::Bad(nothing), Item::Bad(wrong), Item::Bad(half)] =
            items.as_slice()
        else {
            panic!("{items:?}")
        };
        assert_eq!(nothing.place, "row 3, line 4");
        assert!(nothing.reason.contains("a sighting needs"), "{}", nothing.reason);
        assert_eq!(wrong.place, "row 4, line 5");
        for said in
            ["the column \"N\" (count) must be a whole number", "the column \"By\" (observer_ref) "]
        {
            assert!(wrong.reason.contains(said), "{}", wrong.reason);
        }
        assert!(half.reason.contains("longitude"), "{}", half.reason);
        let constant =
            MAPPING.replace("\"patrol\" }", "\"patrol\" }\nconfidence = { value = 101 }");
        let mut items = Vec::new();
        read(&b"Remark,Lat,N\na,1,1\n"[..], &Mapping::parse(&constant).unwrap(), &mut |item| {
            items.push(item);
            ControlFlow::Continue(())
        })
        .unwrap();
        let [Item::Bad(of_all)] = items.as_slice() else { panic!("{items:?}") };
        assert!(
            of_all.reason.contains("the value in the mapping file (confidence)"),
            "{}",
            of_all.reason
        );
    }

    #[test]
    fn what_an_export_writes_is_not_for_tables_to_fill() {
        for (name, instead) in OURS {
            for property in [name.to_owned(), format!("\"{name}.x\"")] {
                for source in ["\"A\"", "{ column = \"A\" }", "{ value = \"a\" }"] {
                    let text = format!("kind = \"sighting\"\n[fields]\n{property} = {source}");
                    let said = Mapping::parse(&text).unwrap_err().to_string();
                    assert!(said.contains(name) && said.contains(instead), "{text}: {said}");
                }
            }
        }
        let edges = [edge::RELEASED_FROM.to_owned(), format!("released_to_{}", "0".repeat(32))];
        for property in edges {
            let text = format!("kind = \"sighting\"\n[fields]\n{property} = \"A\"");
            assert!(Mapping::parse(&text).unwrap_err().to_string().contains("record release"));
        }
    }

    #[test]
    fn places_off_the_globe_and_columns_of_one_name_are_refused() {
        let items = all(b"Remark,Lat,N\na,90,1\nb,90.5,1\nc,-91,1\n");
        let bad: Vec<_> = items.iter().filter(|item| matches!(item, Item::Bad(_))).collect();
        assert_eq!(bad.len(), 2, "{items:?}");
        let mapping = Mapping::parse(MAPPING).unwrap();
        let twice =
            read(&b"Remark,Lat,N,Lat\n1,2,3,4\n"[..], &mapping, &mut |_| ControlFlow::Continue(()));
        assert!(twice.unwrap_err().to_string().contains("\"Lat\", of which the table has several"));
        // What the mapping does not ask for may be there twice.
        let beside = read(&b"Remark,Lat,N,x,x\n1,2,3,4,5\n"[..], &mapping, &mut |_| {
            ControlFlow::Continue(())
        });
        assert!(beside.is_ok());
    }

    #[test]
    fn numbers_come_out_as_they_went_in_or_are_refused() {
        let mapping = "kind = \"sighting\"\n[fields]\ndescription = { value = \"x\" }\nspeed = { column = \"V\", type = \"float\" }\n\
                       \"where.latitude\" = { column = \"Lat\", type = \"float\" }";
        let mapping = Mapping::parse(mapping).unwrap();
        let long = "0.1234567890123456789012";
        for (text, kept) in [
            ("5", Some("5")),
            ("9007199254740993", Some("9007199254740993")),
            ("-12.50", Some("-12.5")),
            ("+1.5", Some("1.5")),
            (".5", Some("0.5")),
            ("1e3", Some("1000.0")),
            (long, None),
            ("9007199254740993.0", None),
            ("18446744073709551616", None),
            ("1e999", None),
            ("NaN", None),
            ("1,5", None),
        ] {
            let table = format!("V,Lat\n\"{text}\",{long}\n");
            let mut found = None;
            read(table.as_bytes(), &mapping, &mut |item| {
                found = Some(item);
                ControlFlow::Continue(())
            })
            .unwrap();
            let speed = match found.unwrap() {
                Item::Draft(draft) => Some(draft.fields["speed"].to_string()),
                _ => None,
            };
            assert_eq!(speed.as_deref(), kept, "{text}");
        }
    }

    #[test]
    fn a_row_that_is_no_utf_8_is_named_to_the_byte_and_the_others_go_in() {
        let items = all(b"Remark,Lat,N\na,1,1\n\"b\nb\",1,1\ncaf\xe9,1,1\nd,1,1\n");
        let bad = |item: &&Item| matches!(item, Item::Bad(_));
        let [Item::Bad(problem)] = *items.iter().filter(bad).collect::<Vec<_>>() else {
            panic!("{items:?}")
        };
        assert_eq!((items.len(), problem.place.as_str()), (4, "row 4, line 5"));
        assert!(problem.reason.contains("from its byte 4 on (0xe9)"), "{}", problem.reason);
        let mapping = Mapping::parse(MAPPING).unwrap();
        let header = read(&b"R\xe9mark,Lat,N\n"[..], &mapping, &mut |_| ControlFlow::Continue(()));
        assert!(header.unwrap_err().to_string().contains("the header is not UTF-8"));
    }

    #[test]
    fn a_cell_without_an_end_is_given_up_at_the_bound() {
        let endless = b"Remark,Lat,N\n\"".chain(std::io::repeat(b'x'));
        let mapping = Mapping::parse(MAPPING).unwrap();
        let outcome = read(endless, &mapping, &mut |item| panic!("{item:?}"));
        let said = outcome.unwrap_err().to_string();
        assert!(
            said.contains("row 2, at line 2, does not close: that row and all after it"),
            "{said}"
        );
    }

    #[test]
    fn formulas_are_defused() {
        let mut out = Vec::new();
        let mut table = TableWriter::begin(&mut out, &["a", "b"]).unwrap();
        table.write(&[("b", "x".to_owned()), ("a", "=1+1".to_owned())]).unwrap();
        table.end().unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a,b\n'=1+1,x\n");
    }
}
