//! MISP (the MISP core format, draft-dulaunoy-misp-core-format): an event becomes a report, its attributes
//! and objects records of what they tell of. What they say beyond a record's own properties stays beside
//! them, whole, under `x_misp`: nothing is lost, and `x_misp` of all records of an event are the event.
//!
//! How far an event may go is said by its distribution, which names communities that Tearline cannot look
//! into. So it is read as the narrowest that it can mean, tags may only narrow it, and what is not known
//! goes nowhere. A part is never under a weaker label than its event.

pub(crate) mod feed;

use std::io::Read;
use std::ops::ControlFlow;

use serde_json::{Map, Value, json};

use tearline_crdt::record::kind::Kind;
use tearline_crdt::time::WallTime;

use super::json::read_value;
use super::stix::is_id;
use super::{Draft, Item, Problem, ReadError, Sink, clip, faults, unfit};

/// Longest file: it is read whole, because nothing in an event says where its parts begin.
const FILE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Reads a file: an event, alone or under `Event`, an array of such, or such an array under `response`.
pub fn read(reader: impl Read, sink: &mut Sink<'_>) -> Result<(), ReadError> {
    let events = match read_value(reader, FILE_BYTES_MAX)? {
        Value::Array(events) => events,
        Value::Object(mut whole) => match whole.remove("response") {
            Some(Value::Array(events)) => events,
            Some(other) => vec![other],
            None => vec![Value::Object(whole)],
        },
        _ => Vec::new(),
    };
    let events: Option<Vec<Map<String, Value>>> = events.into_iter().map(event_of).collect();
    let Some(events) = events.filter(|events| !events.is_empty()) else {
        return Err(ReadError::Shape {
            expected: "MISP event",
            hint: "expected {\"Event\": {...}} with `info`, `uuid` and `Attribute` or `Object`",
        });
    };
    for (n, event) in events.into_iter().enumerate() {
        if each_part(n, event, sink).is_break() {
            break;
        }
    }
    Ok(())
}

/// The event that a value is or holds.
fn event_of(value: Value) -> Option<Map<String, Value>> {
    let Value::Object(mut whole) = value else { return None };
    let event = match whole.remove("Event") {
        Some(Value::Object(event)) => event,
        Some(_) => return None,
        None => whole,
    };
    event.contains_key("info").then_some(event)
}

fn each_part(n: usize, mut event: Map<String, Value>, sink: &mut Sink<'_>) -> ControlFlow<()> {
    let uuid = text(&event, "uuid").unwrap_or_default().to_lowercase();
    let place = format!("events[{n}] ({})", clip(&uuid));
    let report = format!("report--{uuid}");
    if !is_id("report", &report) {
        return sink(bad(place, "it has no `uuid`"));
    }
    let lists = [("Attribute", "x-misp-attribute"), ("Object", "x-misp-object")];
    let mut parts: Vec<(String, &str, Value)> = Vec::new();
    for (list, stix_type) in lists {
        match event.remove(list) {
            None => {}
            Some(Value::Array(items)) => parts.extend(
                items
                    .into_iter()
                    .enumerate()
                    .map(|(n, part)| (format!("{list}[{n}]"), stix_type, part)),
            ),
            Some(_) => return sink(bad(place, format!("its `{list}` is no list"))),
        }
    }
    let label = Handling::of(&event);
    let mut refs = Vec::new();
    for (at, stix_type, part) in parts {
        let place = format!("events[{n}].{at}");
        let item = match part {
            Value::Object(part) => self::part(place, stix_type, part, &report, label),
            _ => bad(place, "it is no JSON object"),
        };
        if let Item::Draft(draft) = &item {
            refs.extend(draft.fields.get("id").cloned());
        }
        sink(item)?;
    }
    let modified = stamp(&event, "timestamp");
    let day = text(&event, "date").and_then(WallTime::parse).or(modified);
    let created = day.map(|day| modified.map_or(day, |modified| day.min(modified)));
    let published = stamp(&event, "publish_timestamp").filter(|time| time.0 > 0).or(created);
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.into(), value);
    put("type", "report".into());
    put("spec_version", "2.1".into());
    put("id", report.into());
    put("name", text(&event, "info").unwrap_or_default().into());
    for (name, time) in [("created", created), ("modified", modified), ("published", published)] {
        if let Some(time) = time {
            put(name, time.to_string().into());
        }
    }
    put("object_refs", refs.into());
    put(WHOLE, Value::Object(event));
    sink(draft(place, Kind::Report, fields, label))
}

/// The property with what a part said, whole.
const WHOLE: &str = "x_misp";

/// An attribute or object as a record: of a kind of ours if there is one for it.
fn part(
    place: String,
    stix_type: &str,
    part: Map<String, Value>,
    event: &str,
    label: Handling,
) -> Item {
    let uuid = text(&part, "uuid").unwrap_or_default().to_lowercase();
    let place = if uuid.is_empty() { place } else { format!("{place} ({})", clip(&uuid)) };
    if !is_id(stix_type, &format!("{stix_type}--{uuid}")) {
        return bad(place, "it has no `uuid`");
    }
    // What an object's attributes say of their handling counts for the object.
    let inner = part.get("Attribute").and_then(Value::as_array).into_iter().flatten();
    let inner = inner.map(|one| one.as_object().map_or(Handling::STRICTEST, Handling::of_part));
    let label = inner.fold(label.join(Handling::of_part(&part)), Handling::join);
    let modified = stamp(&part, "timestamp").map(|time| time.to_string());
    let (kind, mut fields) = match native(&part) {
        Some((kind, mut fields)) => {
            let stix_type = kind.stix_type().unwrap_or_default();
            fields.insert("id".into(), format!("{stix_type}--{uuid}").into());
            (kind, fields)
        }
        None => {
            let mut fields = Map::new();
            fields.insert("type".into(), stix_type.into());
            fields.insert("spec_version".into(), "2.1".into());
            fields.insert("id".into(), format!("{stix_type}--{uuid}").into());
            let name = if part.contains_key("value") { "value" } else { "name" };
            if let Some(said) = text(&part, name).filter(|said| !said.is_empty()) {
                fields.insert(name.into(), said.into());
            }
            if let Some(modified) = &modified {
                fields.insert("created".into(), modified.clone().into());
            }
            (Kind::Object, fields)
        }
    };
    if let Some(modified) = modified {
        fields.insert("modified".into(), modified.into());
    }
    if part.get("deleted") == Some(&Value::Bool(true)) {
        fields.insert("revoked".into(), true.into());
    }
    fields.insert("event_ref".into(), event.into());
    fields.insert(WHOLE.into(), Value::Object(part));
    draft(place, kind, fields, label)
}

fn draft(place: String, kind: Kind, fields: Map<String, Value>, label: Handling) -> Item {
    match unfit(&fields) {
        Some(reason) => Item::Bad(Problem { place, reason }),
        None => {
            let marking = Some(label.to_string());
            Item::Draft(Draft { kind, fields, marking, place, partial: false })
        }
    }
}

fn bad(place: String, reason: impl Into<String>) -> Item {
    Item::Bad(Problem { place, reason: reason.into() })
}

/// The record of ours that a part is, with all of its properties that are sound.
fn native(part: &Map<String, Value>) -> Option<(Kind, Map<String, Value>)> {
    let value = text(part, "value").unwrap_or_default();
    let (kind, mut fields) = match (text(part, "type"), text(part, "name")) {
        (Some("phone-number"), _) => {
            let number: String =
                value.chars().filter(|c| *c == '+' || c.is_ascii_digit()).collect();
            (Kind::Phone, json!({ "number": number }))
        }
        (Some("passport-number"), _) => {
            (Kind::TravelDocument, json!({ "document_type": "P", "number": value }))
        }
        (None, Some("person")) => (Kind::Person, person(part)),
        (None, Some("vehicle")) => {
            let of = |relation| said(part, relation);
            let fields = json!({
                "plate": of("license-plate-number"), "vin": of("vin"), "make": of("make"),
                "model": of("model"), "colour": of("exterior-color"), "vehicle_class": of("type"),
                "description": of("description"),
            });
            (Kind::Vehicle, fields)
        }
        (None, Some("geolocation")) => {
            let degrees = |relation| said(part, relation).and_then(|text| text.parse::<f64>().ok());
            let of = |relation| said(part, relation);
            let fields = json!({
                "latitude": degrees("latitude"), "longitude": degrees("longitude"),
                "precision": degrees("accuracy-radius"), "country": of("countrycode"),
                "city": of("city"), "street_address": of("address"), "postal_code": of("zipcode"),
                "description": of("text"),
            });
            (Kind::Location, fields)
        }
        _ => return None,
    };
    let fields = fields.as_object_mut()?;
    fields.retain(|_, value| !value.is_null() && value != "");
    // What cannot be a property of ours stays where it came from.
    for fault in faults(kind, fields) {
        fields.remove(fault.path.split(['.', '[']).next().unwrap_or_default());
    }
    let told = faults(kind, fields).is_empty() && !fields.is_empty();
    told.then(|| (kind, std::mem::take(fields)))
}

fn person(part: &Map<String, Value>) -> Value {
    let of = |relation| said(part, relation);
    let (given, family) = (of("first-name"), of("last-name"));
    let joined = [given, family].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let full = of("full-name").map(str::to_owned).or(Some(joined).filter(|name| !name.is_empty()));
    let mut name = Map::new();
    let full = full.as_deref();
    for (property, value) in [("full", full), ("given", given), ("family", family)] {
        name.extend(value.map(|value| (property.to_owned(), Value::from(value))));
    }
    let alias = of("alias").map(|alias| json!({ "full": alias, "kind": "aka-low" }));
    let names: Vec<Value> = Some(Value::Object(name))
        .filter(|name| name != &json!({}))
        .into_iter()
        .chain(alias)
        .collect();
    let born = of("date-of-birth").and_then(|day| day.get(..10));
    let sex = match of("gender") {
        Some("Male") => Some("M"),
        Some("Female") => Some("F"),
        _ => None,
    };
    json!({
        "identity_class": "individual", "names": (!names.is_empty()).then_some(names),
        "name": full, "date_of_birth": born, "place_of_birth": of("place-of-birth"), "sex": sex,
    })
}

/// What the first attribute of an object in a relation to it says.
fn said<'a>(object: &'a Map<String, Value>, relation: &str) -> Option<&'a str> {
    let attributes = object.get("Attribute")?.as_array()?;
    let mut attributes = attributes.iter().filter_map(Value::as_object);
    let found = attributes.find(|one| text(one, "object_relation") == Some(relation))?;
    text(found, "value").map(str::trim).filter(|value| !value.is_empty())
}

fn text<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    map.get(name).and_then(Value::as_str)
}

/// A time in seconds since 1970, as a number or its digits.
fn stamp(map: &Map<String, Value>, name: &str) -> Option<WallTime> {
    let value = map.get(name)?;
    let seconds = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    (seconds <= SECONDS_MAX).then_some(WallTime(seconds * 1_000))
}

/// The end of the year 9999.
const SECONDS_MAX: u64 = 253_402_300_799;

/// How an event or a part may be handled: ranks of [`TLP`] and [`PAP`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Handling {
    tlp: usize,
    pap: Option<usize>,
}

/// Traffic lights, the strictest last.
const TLP: [&str; 5] = ["CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"];
/// Permissible actions, the strictest last.
const PAP: [&str; 4] = ["CLEAR", "GREEN", "AMBER", "RED"];

impl Handling {
    const STRICTEST: Self = Self { tlp: TLP.len() - 1, pap: None };

    /// Of an event.
    fn of(event: &Map<String, Value>) -> Self {
        let tlp = match distribution(event).as_deref() {
            Some("3") => 1,
            Some("2") => 2,
            Some("1") => 3,
            // The own organisation, a sharing group, what no version knows, or nothing.
            _ => TLP.len() - 1,
        };
        Self { tlp, pap: None }.join(Self::of_tags(event))
    }

    /// Of a part by itself, which may inherit.
    fn of_part(part: &Map<String, Value>) -> Self {
        match distribution(part).as_deref() {
            None | Some("5") => Self::of_tags(part),
            Some(_) => Self::of(part),
        }
    }

    fn of_tags(map: &Map<String, Value>) -> Self {
        let tags = map.get("Tag").and_then(Value::as_array).into_iter().flatten();
        let names = tags.filter_map(|tag| tag.get("name").and_then(Value::as_str));
        let mut found = Self { tlp: 0, pap: None };
        for name in names {
            let name = name.trim().to_uppercase().replace("WHITE", "CLEAR");
            let rank = |word: &str, words: &[&str]| {
                words.iter().position(|known| *known == word).unwrap_or(words.len() - 1)
            };
            if let Some(word) = name.strip_prefix("TLP:") {
                found = found.join(Self { tlp: rank(word, &TLP), pap: None });
            } else if let Some(word) = name.strip_prefix("PAP:") {
                found = found.join(Self { tlp: 0, pap: Some(rank(word, &PAP)) });
            }
        }
        found
    }

    fn join(self, other: Self) -> Self {
        Self { tlp: self.tlp.max(other.tlp), pap: self.pap.max(other.pap) }
    }
}

impl std::fmt::Display for Handling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TLP:{}", TLP.get(self.tlp).unwrap_or(&"RED"))?;
        self.pap.map_or(Ok(()), |pap| write!(f, " PAP:{}", PAP.get(pap).unwrap_or(&"RED")))
    }
}

/// What a map says of its distribution, a number or its digits.
fn distribution(map: &Map<String, Value>) -> Option<String> {
    Some(match map.get("distribution")? {
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;
    use tearline_crdt::record::label::Label;

    fn all(text: &[u8]) -> Result<Vec<Item>, ReadError> {
        let mut items = Vec::new();
        read(text, &mut |item| {
            items.push(item);
            ControlFlow::Continue(())
        })?;
        Ok(items)
    }

    fn drafts(items: Vec<Item>) -> Vec<Draft> {
        items
            .into_iter()
            .map(|item| match item {
                Item::Draft(draft) => draft,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    /// The event that records came from.
    fn together(drafts: &[Draft]) -> Value {
        let mut event = json!({});
        let (mut attributes, mut objects) = (Vec::new(), Vec::new());
        for draft in drafts {
            let whole = draft.fields[WHOLE].clone();
            match draft.kind {
                Kind::Report => event = whole,
                _ if whole.get("template_uuid").is_some() => objects.push(whole),
                _ => attributes.push(whole),
            }
        }
        for (name, parts) in [("Attribute", attributes), ("Object", objects)] {
            if !parts.is_empty() {
                event[name] = Value::Array(parts);
            }
        }
        event
    }

    fn sample() -> Value {
        let part = |n: u8, more: Value| {
            let uuid = format!("57c4448a-fb04-457d-87e7-4127950d21{n:02x}");
            let mut part = json!({ "uuid": uuid, "timestamp": "1472480394", "distribution": "5" });
            part.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            part
        };
        let inner = |n, relation: &str, value: &str| {
            part(n, json!({ "type": "text", "object_relation": relation, "value": value }))
        };
        json!({ "Event": {
            "info": "Pickups at the ford", "uuid": "57c4445b-c548-4654-af0b-4be3950d210f",
            "date": "2016-08-29", "timestamp": "1472541011", "publish_timestamp": "1472548231",
            "distribution": "3", "Tag": [{ "name": "tlp:green" }], "threat_level_id": "3",
            "Attribute": [
                part(1, json!({ "type": "phone-number", "value": "+227 20 12 34 56" })),
                part(2, json!({ "type": "phone-number", "value": "unknown", "deleted": true })),
                part(3, json!({ "type": "passport-number", "value": "L898902C3", "Tag": [{ "name": "PAP:AMBER" }] })),
                part(4, json!({ "type": "md5", "value": "0749bae92ca336a02c83d126e04ec628", "distribution": 0 })),
            ],
            "Object": [
                part(5, json!({ "name": "vehicle", "template_uuid": "t", "Attribute": [
                    inner(6, "license-plate-number", "CT 1234 A"), inner(7, "vin", "seen badly"),
                ] })),
                part(8, json!({ "name": "person", "template_uuid": "t", "Attribute": [
                    inner(9, "last-name", "Example"), inner(10, "first-name", "Ada"),
                    inner(11, "date-of-birth", "once"),
                ] })),
                part(12, json!({ "name": "geolocation", "template_uuid": "t", "Attribute": [
                    inner(13, "latitude", "13.1"), inner(14, "longitude", "14.5"),
                    inner(15, "text", "ford"),
                ] })),
                part(16, json!({ "name": "geolocation", "template_uuid": "t", "Attribute": [
                    inner(17, "latitude", "north"),
                ] })),
                part(18, json!({ "name": "file", "template_uuid": "t", "Attribute": [
                    part(19, json!({ "Tag": [{ "name": "tlp:amber" }] })),
                ] })),
            ],
        } })
    }

    #[test]
    fn an_event_becomes_records_and_nothing_of_it_is_lost() {
        let sample = sample();
        let drafts = drafts(all(sample.to_string().as_bytes()).unwrap());
        let summary: Vec<(Kind, &str)> =
            drafts.iter().map(|draft| (draft.kind, draft.marking.as_deref().unwrap())).collect();
        assert_eq!(
            summary,
            [
                (Kind::Phone, "TLP:GREEN"),
                (Kind::Object, "TLP:GREEN"),
                (Kind::TravelDocument, "TLP:GREEN PAP:AMBER"),
                (Kind::Object, "TLP:RED"),
                (Kind::Vehicle, "TLP:GREEN"),
                (Kind::Person, "TLP:GREEN"),
                (Kind::Location, "TLP:GREEN"),
                (Kind::Object, "TLP:GREEN"),
                (Kind::Object, "TLP:AMBER"),
                (Kind::Report, "TLP:GREEN"),
            ]
        );
        assert_eq!(together(&drafts), sample["Event"]);
        assert_eq!(drafts[0].fields["number"], "+22720123456");
        assert_eq!(drafts[1].fields["revoked"], true);
        assert_eq!(drafts[4].fields["plate"], "CT 1234 A");
        assert_eq!(drafts[5].fields["names"][0]["full"], "Ada Example");
        assert!(!drafts[5].fields.contains_key("date_of_birth"));
        assert_eq!(drafts[6].fields["latitude"], 13.1);
        let report = &drafts[9].fields;
        assert_eq!(report["name"], "Pickups at the ford");
        assert_eq!(report["modified"], "2016-08-30T07:10:11.000Z");
        let refs = report["object_refs"].as_array().unwrap();
        assert_eq!(refs.len(), 9);
        for (draft, id) in drafts.iter().zip(refs) {
            assert_eq!((&draft.fields["id"], &draft.fields["event_ref"]), (id, &report["id"]));
            if draft.kind != Kind::Object {
                assert_eq!(faults(draft.kind, &draft.fields), [], "{draft:?}");
            }
        }
    }

    #[test]
    fn handling_is_the_narrowest_that_can_be_meant() {
        let event = |distribution: Value, tag: &str| {
            let event = json!({ "info": "x", "uuid": "57c4445b-c548-4654-af0b-4be3950d210f",
                "distribution": distribution, "Tag": [{ "name": tag }] });
            let drafts = drafts(all(event.to_string().as_bytes()).unwrap());
            let marking = drafts[0].marking.clone().unwrap();
            assert_eq!(marking.parse::<Label>().unwrap().to_string(), marking);
            marking
        };
        for (distribution, tag, label) in [
            (json!("0"), "tlp:white", "TLP:RED"),
            (json!(1), "", "TLP:AMBER+STRICT"),
            (json!("2"), "tlp:clear", "TLP:AMBER"),
            (json!("3"), "tlp:white", "TLP:GREEN"),
            (json!("4"), "", "TLP:RED"),
            (json!("5"), "", "TLP:RED"),
            (json!("6"), "", "TLP:RED"),
            (json!(null), "", "TLP:RED"),
            (json!([3]), "", "TLP:RED"),
            (json!("3"), "TLP:Amber", "TLP:AMBER"),
            (json!("3"), "tlp:amber+strict", "TLP:AMBER+STRICT"),
            (json!("3"), "tlp:ex:chr", "TLP:RED"),
            (json!("3"), "PAP:RED", "TLP:GREEN PAP:RED"),
            (json!("3"), "PAP:whatever", "TLP:GREEN PAP:RED"),
        ] {
            assert_eq!(event(distribution.clone(), tag), label, "{distribution} {tag}");
        }
    }

    #[test]
    fn what_has_no_name_is_named_and_the_rest_goes_in() {
        let mut sample = sample();
        sample["Event"]["Attribute"][0]["uuid"] = json!("none");
        sample["Event"]["Object"][0] = json!(7);
        let items =
            all(json!({ "response": [sample.clone(), sample] }).to_string().as_bytes()).unwrap();
        let bad: Vec<&str> = items
            .iter()
            .filter_map(|item| match item {
                Item::Bad(problem) => Some(problem.place.as_str()),
                _ => None,
            })
            .collect();
        let expected = [
            "events[0].Attribute[0] (none)",
            "events[0].Object[0]",
            "events[1].Attribute[0] (none)",
            "events[1].Object[0]",
        ];
        assert_eq!(bad, expected);
        assert_eq!(items.len(), 20);
        for none in
            ["[]", "{}", "7", "{\"Event\":7}", "{\"type\":\"bundle\"}", "[{\"info\":1},7]", ""]
        {
            assert!(all(none.as_bytes()).is_err(), "{none}");
        }
    }

    #[test]
    fn events_of_others_go_in_whole() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/misp");
        let Ok(files) = std::fs::read_dir(&folder) else {
            eprintln!("SKIPPED: no {}", folder.display());
            return;
        };
        let mut count = 0;
        for file in files {
            let text = std::fs::read(file.unwrap().path()).unwrap();
            let value: Value = serde_json::from_slice(&text).unwrap();
            let mut event = value.get("Event").unwrap_or(&value).clone();
            for list in ["Attribute", "Object"] {
                if event.get(list) == Some(&json!([])) {
                    event.as_object_mut().unwrap().remove(list);
                }
            }
            assert_eq!(together(&drafts(all(&text).unwrap())), event);
            count += 1;
        }
        assert!(count >= 4, "{count}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn no_event_makes_the_reader_panic(at in any::<proptest::sample::Index>(), with in "[\"\\[\\]{},:0-9a-z é]{0,12}") {
            let mut text = sample().to_string();
            let at = at.index(text.len());
            if text.is_char_boundary(at) {
                text.insert_str(at, &with);
            }
            let _ = all(text.as_bytes());
        }
    }
}
