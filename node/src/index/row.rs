//! Rows: what is known of a record without opening it.

use serde_json::{Map, Value};

use tearline_crdt::attachment::is_attachment;
use tearline_crdt::bounds::RECORD_DEPTH_MAX;
use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::id::{AgencyNo, Class, CompartmentId, DeviceId, RecordId};
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::shelf::RecordView;
use tearline_crdt::record::writing::bare;
use tearline_crdt::time::WallTime;

use super::text::fold;
use crate::exchange::geojson::{FEATURE_ID, FEATURE_SOURCE};

/// Longest title, label and text of a row, in bytes; longer ones are cut.
const TITLE_BYTES_MAX: usize = 160;
const LABEL_BYTES_MAX: usize = 512;
const TEXT_BYTES_MAX: usize = 16 * 1024;
/// What most have less of.
const TEXT_BYTES_TYPICAL: usize = 512;

/// A record in the index.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The record.
    pub record: RecordId,
    /// The record's version that this row shows.
    pub version: u64,
    /// Where it is.
    pub compartment: CompartmentId,
    /// What it is about.
    pub kind: Kind,
    /// The most urgent class of its entries.
    pub class: Class,
    /// Whose it is.
    pub origin: AgencyNo,
    /// Which device began it.
    pub device: DeviceId,
    /// Its colour: 0 clear, 1 green, 2 amber, 3 amber+strict, 4 red, 5 unknown.
    pub tlp: u8,
    /// Its label, in the text form.
    pub label: String,
    /// When what it tells of happened, in ms; of a record that does not say, when it began.
    pub event_ms: Option<u64>,
    /// When its author says it was written, in ms.
    pub created_ms: u64,
    /// When it came here first, in ms.
    pub received_ms: u64,
    /// When this state of it came into the index, in µs: no two rows have the same, and later ones have
    /// greater ones, whatever the clock does.
    pub stamp_us: u64,
    /// Whether a field has concurrent values.
    pub conflicted: bool,
    /// Whether its content is hidden: then it has no title, text or place of its own.
    pub restricted: bool,
    /// Whether it is not to be relied on.
    pub recalled: bool,
    /// Latitude and longitude in degrees.
    pub place: Option<(f64, f64)>,
    /// Its id in another system: a STIX id.
    pub external_id: Option<String>,
    /// What it is in one line.
    pub title: String,
    /// Its words.
    pub text: String,
}

impl Default for Row {
    fn default() -> Self {
        Self {
            record: RecordId::default(),
            version: 0,
            compartment: CompartmentId::default(),
            kind: Kind::Object,
            class: Class::Routine,
            origin: AgencyNo::default(),
            device: DeviceId::default(),
            tlp: 5,
            label: String::new(),
            event_ms: None,
            created_ms: 0,
            received_ms: 0,
            stamp_us: 0,
            conflicted: false,
            restricted: false,
            recalled: false,
            place: None,
            external_id: None,
            title: String::new(),
            text: String::new(),
        }
    }
}

/// Flags of a stored row.
const PLACED: u8 = 1;
const CONFLICTED: u8 = 2;
const RESTRICTED: u8 = 4;
const RECALLED: u8 = 8;

/// Properties that make a title, best first.
const TITLES: [&str; 14] = [
    "name",
    "title",
    "plate",
    "registration",
    "number",
    "value",
    "summary",
    "subject",
    "abstract",
    "pattern",
    "relationship_type",
    "opinion",
    "description",
    "content",
];
/// Properties that say when it happened, best first.
const EVENTS: [&str; 12] = [
    "first_seen",
    "first_observed",
    "occurred_at",
    "start_time",
    "valid_from",
    "published",
    "crossed_at",
    "seized_at",
    "time",
    "when",
    "modified",
    "created",
];

impl Row {
    /// The row of a record as it is now.
    #[must_use]
    pub fn of(view: &RecordView<'_>) -> Self {
        let described = Self::describe(view.kind, view.fields);
        Self {
            record: view.record,
            version: view.version,
            compartment: view.compartment,
            class: view.class,
            origin: view.origin,
            device: view.device,
            tlp: if view.label.unknown { 5 } else { view.label.tlp as u8 },
            label: view.label.to_string(),
            event_ms: described.event_ms.or(Some(view.created.0)),
            created_ms: view.created.0,
            received_ms: view.arrived.0,
            conflicted: view.conflicted,
            restricted: view.restricted,
            recalled: view.recalled,
            ..described
        }
        .bounded()
    }

    /// Draws title, text, time, place and external id from a record's properties.
    #[must_use]
    pub fn describe(kind: Kind, fields: &Map<String, Value>) -> Self {
        let text_of = |name: &&str| fields.get(*name).and_then(Value::as_str);
        let title = TITLES.iter().find_map(text_of).filter(|title| !title.is_empty());
        let title = title.map_or_else(|| kind.name().to_owned(), |title| title.replace('\n', " "));
        let mut text = String::with_capacity(TEXT_BYTES_TYPICAL);
        for (name, value) in fields {
            // Of a file its name is looked for, and neither its key nor its thumbnail.
            let file = is_attachment(name).then(|| value.get("name").unwrap_or(&Value::Null));
            gather(name, file.unwrap_or(value), RECORD_DEPTH_MAX, &mut text);
        }
        Self {
            kind,
            title: cut(title, TITLE_BYTES_MAX),
            text: cut(text, TEXT_BYTES_MAX),
            event_ms: EVENTS
                .iter()
                .filter_map(text_of)
                .find_map(WallTime::parse)
                .map(|time| time.0),
            place: place(fields),
            external_id: external_id(fields),
            ..Self::default()
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.raw(&self.record.0)
            .number(self.version)
            .raw(&self.compartment.0)
            .raw(&[self.kind as u8, self.class as u8, self.tlp])
            .number(u64::from(self.origin.0))
            .raw(&self.device.0)
            .bytes(self.label.as_bytes())
            .number(self.event_ms.map_or(0, |ms| ms.saturating_add(1)))
            .number(self.created_ms)
            .number(self.received_ms)
            .number(self.stamp_us);
        let flags = [
            (PLACED, self.place.is_some()),
            (CONFLICTED, self.conflicted),
            (RESTRICTED, self.restricted),
            (RECALLED, self.recalled),
        ];
        out.push(flags.iter().map(|(flag, set)| if *set { *flag } else { 0 }).sum());
        if let Some((latitude, longitude)) = self.place {
            out.raw(&latitude.to_be_bytes()).raw(&longitude.to_be_bytes());
        }
        out.bytes(self.external_id.as_deref().unwrap_or_default().as_bytes())
            .bytes(self.title.as_bytes())
            .bytes(self.text.as_bytes());
    }

    pub(super) fn encoded_len(&self) -> usize {
        188 + self.label.len()
            + self.title.len()
            + self.text.len()
            + self.external_id.as_ref().map_or(0, String::len)
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let record = RecordId(reader.array("record")?);
        let version = reader.number("version")?;
        let compartment = CompartmentId(reader.array("compartment")?);
        let at = reader.at();
        let invalid = DecodeError::Invalid { at, what: "row" };
        let kind = Kind::from_u8(reader.u8("kind")?).ok_or(invalid)?;
        let class = Class::from_u8(reader.u8("class")?).ok_or(invalid)?;
        let tlp = reader.u8("tlp")?;
        let origin = AgencyNo(reader.number_max(u64::from(u16::MAX), "agency")? as u16);
        let device = DeviceId(reader.array("device")?);
        let label = reader.text(LABEL_BYTES_MAX, "label")?.to_owned();
        let event_ms = reader.number("event")?.checked_sub(1);
        let created_ms = reader.number("created")?;
        let received_ms = reader.number("received")?;
        let stamp_us = reader.number("stamp")?;
        let flags = reader.u8("flags")?;
        let place = if flags & PLACED == 0 {
            None
        } else {
            let latitude = f64::from_be_bytes(reader.array("latitude")?);
            Some((latitude, f64::from_be_bytes(reader.array("longitude")?)))
        };
        let external_id = reader.text(1_024, "external id")?;
        let external_id = (!external_id.is_empty()).then(|| external_id.to_owned());
        let title = reader.text(TITLE_BYTES_MAX, "title")?.to_owned();
        let text = reader.text(TEXT_BYTES_MAX, "text")?.to_owned();
        Ok(Self {
            record,
            version,
            compartment,
            kind,
            class,
            origin,
            device,
            tlp,
            label,
            event_ms,
            created_ms,
            received_ms,
            stamp_us,
            conflicted: flags & CONFLICTED != 0,
            restricted: flags & RESTRICTED != 0,
            recalled: flags & RECALLED != 0,
            place,
            external_id,
            title,
            text,
        })
    }

    /// What it is about, in a word. An object of a type that is no kind has that type in its id
    /// (STIX 2.1, section 2.9).
    #[must_use]
    pub fn kind_name(&self) -> &str {
        let id = self.external_id.as_deref().filter(|_| self.kind == Kind::Object);
        id.and_then(|id| id.split_once("--")).map_or(self.kind.name(), |(stix_type, _)| stix_type)
    }

    /// Cuts what would not read back.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.label = cut(self.label, LABEL_BYTES_MAX);
        self.external_id = self.external_id.filter(|id| id.len() <= 1_024);
        self
    }
}

/// What a record is called where it came from: its STIX id, or a feature's id in its file.
#[must_use]
pub fn external_id(fields: &Map<String, Value>) -> Option<String> {
    if let Some(id) = fields.get("id").and_then(Value::as_str) {
        return Some(id.to_owned());
    }
    let source = fields.get(FEATURE_SOURCE)?.as_str()?;
    let id = fields.get(FEATURE_ID)?;
    Some(format!("{source}#{id}"))
}

/// Adds the texts of a value, with identifiers also in their bare form ("NE 1234-AB": "ne1234ab").
fn gather(name: &str, value: &Value, depth: usize, out: &mut String) {
    if out.len() > TEXT_BYTES_MAX || depth == 0 {
        return;
    }
    match value {
        Value::String(text) => {
            out.push_str(text);
            out.push(' ');
            if is_identifier(name) {
                out.push_str(&bare(&fold(text)));
                out.push(' ');
            }
        }
        Value::Number(number) => {
            out.push_str(&number.to_string());
            out.push(' ');
        }
        Value::Array(items) => items.iter().for_each(|item| gather(name, item, depth - 1, out)),
        Value::Object(fields) => {
            fields.iter().for_each(|(name, item)| gather(name, item, depth - 1, out));
        }
        Value::Bool(_) | Value::Null => {}
    }
}

/// Whether a name has one of the words in it that identifiers are called by.
fn is_identifier(name: &str) -> bool {
    let words = |first| -> &[&str] {
        match first {
            b'c' => &["call_sign", "code"],
            b'i' => &["imo", "imei", "imsi", "icao24"],
            b'm' => &["mmsi"],
            b'n' => &["number"],
            b'p' => &["plate"],
            b'r' => &["registration"],
            b's' => &["serial", "seals"],
            b'v' => &["vin"],
            _ => &[],
        }
    };
    name.bytes().enumerate().any(|(at, first)| {
        words(first).iter().any(|word| name.get(at..).is_some_and(|rest| rest.starts_with(word)))
    })
}

pub(super) fn place(fields: &Map<String, Value>) -> Option<(f64, f64)> {
    let of = |map: &Map<String, Value>| {
        let at = |name| map.get(name).and_then(Value::as_f64);
        let (latitude, longitude) = (at("latitude")?, at("longitude")?);
        let valid = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
        valid.then_some((latitude, longitude))
    };
    of(fields).or_else(|| {
        ["position", "where", "location", "place"]
            .iter()
            .find_map(|name| of(fields.get(*name)?.as_object()?))
    })
}

fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        let end = (0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tearline_crdt::record::label::Label;

    use super::*;

    fn fields(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn a_kind_is_named_and_an_object_by_its_type() {
        let id = "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f";
        for (kind, value, name) in [
            (Kind::Object, json!({ "id": id }), "indicator"),
            (Kind::Object, json!({}), "object"),
            (Kind::Sighting, json!({ "id": "x--y" }), "sighting"),
        ] {
            assert_eq!(Row::describe(kind, &fields(&value)).kind_name(), name);
        }
    }

    #[test]
    fn a_time_that_cannot_be_read_leaves_room_for_the_next() {
        let event = |value: Value| Row::describe(Kind::Object, &fields(&value)).event_ms;
        let (noon, modified) = ("1970-01-01T00:00:01Z", "1970-01-01T00:00:02Z");
        assert_eq!(event(json!({ "modified": modified, "time": noon })), Some(1_000));
        assert_eq!(event(json!({ "modified": modified, "time": "noon" })), Some(2_000));
        assert_eq!(event(json!({ "plate": "NE 1" })), None);
    }

    #[test]
    fn a_record_that_does_not_say_when_happened_when_it_began() {
        let (label, hidden) = (Label::most_restrictive(), Map::new());
        let view = |fields| RecordView {
            record: RecordId::default(),
            version: 1,
            compartment: CompartmentId::default(),
            kind: Kind::Vehicle,
            class: Class::Routine,
            origin: AgencyNo::default(),
            device: DeviceId::default(),
            label: &label,
            fields,
            conflicted: false,
            restricted: false,
            recalled: false,
            created: WallTime(7),
            arrived: WallTime(9),
        };
        assert_eq!(Row::of(&view(&hidden)).event_ms, Some(7));
        let said = fields(&json!({ "time": "1970-01-01T00:00:01Z" }));
        assert_eq!(Row::of(&view(&said)).event_ms, Some(1_000));
    }

    #[test]
    fn a_feature_is_known_by_its_id_and_its_file() {
        let of = |id: Value| {
            external_id(&fields(&json!({ "feature_source": "a.geojson", "feature_id": id })))
        };
        assert_ne!(of(json!(7)), of(json!("7")));
        assert_eq!(of(json!(7)).as_deref(), Some("a.geojson#7"));
        assert_eq!(external_id(&fields(&json!({ "feature_id": 7 }))), None);
    }
}
