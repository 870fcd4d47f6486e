//! STIX 2.1 (OASIS, "STIX Version 2.1", 2021): bundles, arrays of objects and single objects in,
//! bundles out. Every property of an object is kept, whatever it is; an imported object goes out
//! as it came.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use tearline_crdt::attachment::Manifest;
use tearline_crdt::hash::sha256;
use tearline_crdt::id::RecordId;
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::vocabulary::{Tlp, Vocabulary as _};
use tearline_crdt::time::WallTime;

use super::json::read_elements;
use super::number::Positions;
use super::{Draft, Item, Problem, ReadError, Sink, clip, edges, native, unfit};

/// Reads all objects.
pub fn read(reader: impl Read, sink: &mut Sink<'_>) -> Result<(), ReadError> {
    let mut each = |n: usize, value: Result<Value, String>| {
        let place = format!("objects[{n}]");
        sink(match value {
            Ok(value) => item(place, value),
            Err(reason) => Item::Bad(Problem { place, reason }),
        })
    };
    let outline = read_elements(reader, "objects", Positions::Nowhere, &mut each)?;
    if outline.found {
        if let Some(reason) = outline.fault {
            let _ = sink(Item::Bad(Problem { place: "beside the objects".into(), reason }));
        }
        return Ok(());
    }
    let is_bundle = outline.others.get("type").and_then(Value::as_str) == Some("bundle");
    if outline.others.contains_key("type") && !is_bundle {
        let place = "the file's one object".to_owned();
        let _ = sink(match outline.whole() {
            Ok(value) => item(place, value),
            Err(reason) => Item::Bad(Problem { place, reason }),
        });
        return Ok(());
    }
    Err(ReadError::Shape {
        expected: "STIX bundle with objects",
        hint: "expected {\"type\": \"bundle\", \"objects\": [...]}, an array of objects, or one object",
    })
}

/// Reads the objects of a TAXII 2.1 envelope (section 3.7): an object with a list of objects. A bundle is
/// taken as one: some clients send that.
pub fn read_envelope(text: &[u8], sink: &mut Sink<'_>) -> Result<(), ReadError> {
    let shape = ReadError::Shape {
        expected: "TAXII envelope",
        hint: "expected {\"objects\": [...]} with at least one object",
    };
    if !text.trim_ascii_start().starts_with(b"{") {
        return Err(shape);
    }
    let mut each = |n: usize, value: Result<Value, String>| {
        let place = format!("objects[{n}]");
        sink(match value {
            Ok(value) => item(place, value),
            Err(reason) => Item::Bad(Problem { place, reason }),
        })
    };
    let outline = read_elements(text, "objects", Positions::Nowhere, &mut each)?;
    let sound = outline.found
        && outline.fault.is_none()
        && outline.others.get("type").is_none_or(|name| name == "bundle");
    if sound { Ok(()) } else { Err(shape) }
}

fn item(place: String, value: Value) -> Item {
    let bad = |place: String, reason: String| Item::Bad(Problem { place, reason });
    let Value::Object(fields) = value else {
        return bad(place, "it is no JSON object".into());
    };
    let id = fields.get("id").and_then(Value::as_str).unwrap_or_default();
    let place = if id.is_empty() { place } else { format!("{place} ({})", clip(id)) };
    let edge = || edges(&fields).next().map(|edge| format!("`{}` {}", edge.path, edge.reason));
    if let Some(reason) = fault(&fields).or_else(edge).or_else(|| unfit(&fields)) {
        return bad(place, reason);
    }
    let stix_type = fields.get("type").and_then(Value::as_str).unwrap_or_default();
    let kind = Kind::from_stix_type(stix_type, &fields);
    Item::Draft(Draft {
        kind,
        marking: marking(&fields).map(str::to_owned),
        fields,
        place,
        partial: false,
    })
}

/// Whether STIX 2.1 has a type of this name (sections 4 to 7).
#[must_use]
pub fn is_type(name: &str) -> bool {
    TYPES.contains(&name)
}

/// The types of STIX 2.1: domain objects, relationships, cyber-observables, and those about others.
const TYPES: [&str; 42] = [
    "attack-pattern",
    "campaign",
    "course-of-action",
    "grouping",
    "identity",
    "incident",
    "indicator",
    "infrastructure",
    "intrusion-set",
    "location",
    "malware",
    "malware-analysis",
    "note",
    "observed-data",
    "opinion",
    "report",
    "threat-actor",
    "tool",
    "vulnerability",
    "relationship",
    "sighting",
    "artifact",
    "autonomous-system",
    "directory",
    "domain-name",
    "email-addr",
    "email-message",
    "file",
    "ipv4-addr",
    "ipv6-addr",
    "mac-addr",
    "mutex",
    "network-traffic",
    "process",
    "software",
    "url",
    "user-account",
    "windows-registry-key",
    "x509-certificate",
    "extension-definition",
    "language-content",
    "marking-definition",
];

/// What makes an object no STIX object (section 3.2 of the specification: common properties).
fn fault(object: &Map<String, Value>) -> Option<String> {
    let text = |name| object.get(name).and_then(Value::as_str);
    let Some(stix_type) = text("type").filter(|t| !t.is_empty()) else {
        return Some("it has no `type`".into());
    };
    let Some(id) = text("id") else {
        return Some("it has no `id`; STIX objects are named `type--uuid`".into());
    };
    if !is_id(stix_type, id) {
        return Some(format!("its id {:?} is not `{stix_type}--` and a UUID", clip(id)));
    }
    if let Some(version) = object.get("spec_version")
        && !["2.0", "2.1"].iter().any(|known| version == known)
    {
        let version = clip(&version.to_string());
        return Some(format!("its spec_version is {version}; 2.1 and 2.0 are understood"));
    }
    ["created", "modified"].into_iter().find_map(|name| {
        let value = object.get(name)?;
        let time = value.as_str().and_then(WallTime::parse);
        let value = time.is_none().then(|| clip(&value.to_string()))?;
        Some(format!("`{name}` is {value}; write a time as \"2024-05-01T10:00:00.000Z\""))
    })
}

/// Whether a text names an object of a type (section 2.9).
pub(super) fn is_id(stix_type: &str, id: &str) -> bool {
    let uuid = id.strip_prefix(stix_type).and_then(|rest| rest.strip_prefix("--"));
    uuid.is_some_and(is_uuid)
}

/// Whether a text is a UUID (RFC 9562, section 4).
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(n, b)| match n {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// The strictest traffic light of an object's markings, those of single properties (section 7.2.3) among them: a record
/// has one label.
fn marking(object: &Map<String, Value>) -> Option<&'static str> {
    let list = |name: &str| object.get(name).and_then(Value::as_array).into_iter().flatten();
    let granular = list("granular_markings").filter_map(|one| one.get("marking_ref"));
    let refs = list("object_marking_refs").chain(granular);
    let tlp = refs.filter_map(Value::as_str).filter_map(Tlp::from_marking_id).max()?;
    Some(match tlp.word() {
        "CLEAR" => "TLP:CLEAR",
        "GREEN" => "TLP:GREEN",
        "AMBER" => "TLP:AMBER",
        "AMBER+STRICT" => "TLP:AMBER+STRICT",
        _ => "TLP:RED",
    })
}

/// A record to be written.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The record.
    pub record: RecordId,
    /// What it is about.
    pub kind: Kind,
    /// Its properties.
    pub fields: Map<String, Value>,
    /// When it was created, and last changed.
    pub created: WallTime,
    /// When it was last changed.
    pub modified: WallTime,
}

/// Writes a bundle, object by object.
pub struct BundleWriter<W: Write> {
    out: W,
    any: bool,
    extended: bool,
    /// Who may be named, and was not yet: agencies, and who was not identified.
    known: BTreeMap<String, Value>,
}

impl<W: Write> BundleWriter<W> {
    /// Begins a bundle. Its id is drawn from `seed`, 16 bytes of the caller's choice.
    pub fn begin(mut out: W, seed: [u8; 16]) -> io::Result<Self> {
        write!(out, "{{\"type\":\"bundle\",\"id\":\"bundle--{}\",\"objects\":[", uuid(seed))?;
        let unidentified = native::identity(
            native::UNIDENTIFIED,
            "Whoever or whatever was seen",
            "unknown",
            native::AT,
        );
        let known = BTreeMap::from([(native::UNIDENTIFIED.to_owned(), unidentified)]);
        Ok(Self { out, any: false, extended: false, known })
    }

    /// The same, which says who is meant where a record names its author. Each is an id and a name.
    #[must_use]
    pub fn by(mut self, authors: impl IntoIterator<Item = (String, String)>) -> Self {
        let known = authors.into_iter().map(|(id, name)| {
            let identity = native::identity(&id, &name, "organization", native::AT);
            (id, identity)
        });
        self.known.extend(known);
        self
    }

    /// Writes one record, as [`object`] has it. Returns the id that it has there.
    pub fn write(&mut self, record: Outgoing) -> io::Result<String> {
        let native = !is_stix(&record.fields);
        let object = object(record);
        if native && object.contains_key("extensions") && !self.extended {
            self.extended = true;
            for definition in native::definitions() {
                self.put(&definition)?;
            }
        }
        for name in ["created_by_ref", "sighting_of_ref"] {
            let named = object.get(name).and_then(Value::as_str);
            if let Some(identity) = named.and_then(|named| self.known.remove(named)) {
                self.put(&identity)?;
            }
        }
        let id = object.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.put(&Value::Object(object)).map(|()| id)
    }

    /// Writes a file of an object as an artifact (section 6.1), and how it belongs to that.
    pub fn artifact(
        &mut self,
        owner: &str,
        file: &Manifest,
        bytes: &[u8],
        at: WallTime,
    ) -> io::Result<()> {
        let digest: String = file.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        let id = format!("artifact--{}", uuid(half(&file.id.0)));
        let link = uuid(half(&sha256(&[owner.as_bytes(), &file.id.0].concat())));
        self.put(&json!({
            "type": "artifact", "spec_version": "2.1", "id": id, "mime_type": file.media_type,
            "payload_bin": STANDARD.encode(bytes), "hashes": { "SHA-256": digest },
        }))?;
        let at = at.to_string();
        self.put(&json!({
            "type": "relationship", "spec_version": "2.1", "id": format!("relationship--{link}"),
            "created": at, "modified": at, "relationship_type": "related-to",
            "source_ref": owner, "target_ref": id, "description": file.name,
        }))
    }

    /// Ends the bundle.
    pub fn end(mut self) -> io::Result<W> {
        self.out.write_all(b"\n]}\n")?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn put(&mut self, object: &Value) -> io::Result<()> {
        self.out.write_all(if self.any { b",\n" } else { b"\n" })?;
        self.any = true;
        serde_json::to_writer(&mut self.out, object)?;
        Ok(())
    }
}

/// A record as a STIX object. One that came as one goes out as it came; of ours the common properties are
/// filled in, with what else STIX demands and, for types and properties that it does not have, the extension that
/// says so (section 7.3).
#[must_use]
pub fn object(record: Outgoing) -> Map<String, Value> {
    if is_stix(&record.fields) { record.fields } else { native::object(record) }
}

/// The STIX type of a record of ours.
#[must_use]
pub fn native_type(kind: Kind) -> &'static str {
    kind.stix_type().unwrap_or("note")
}

fn half(bytes: &[u8; 32]) -> [u8; 16] {
    let (half, _) = bytes.split_at(16);
    half.try_into().unwrap_or_default()
}

/// The records of ours that may have been given a version 4 UUID as [`uuid`] writes it: six of the 128
/// bits are not the record's.
pub fn records_of_uuid(text: &str) -> Option<impl Iterator<Item = RecordId> + use<>> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    if !is_uuid(text) {
        return None;
    }
    let bytes = u128::from_str_radix(&digits, 16).ok()?.to_be_bytes();
    (uuid(bytes) == text).then(|| {
        (0..64u8).map(move |free| {
            let mut id = bytes;
            id[6] = id[6] & 0x0f | free << 4;
            id[8] = id[8] & 0x3f | free >> 4 << 6;
            RecordId(id)
        })
    })
}

/// Whether a record came as a STIX object.
pub(crate) fn is_stix(fields: &Map<String, Value>) -> bool {
    fault(fields).is_none()
}

/// A version 4 UUID from 16 random bytes (RFC 9562, section 5.4).
#[must_use]
pub fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let mut parts = Vec::new();
    let mut rest = hex.as_str();
    for len in [8, 4, 4, 4, 12] {
        let (part, tail) = rest.split_at(len);
        parts.push(part);
        rest = tail;
    }
    parts.join("-")
}

/// Reads everything into memory: for tests and small files.
pub fn read_all(reader: impl Read) -> Result<Vec<Item>, ReadError> {
    let mut items = Vec::new();
    read(reader, &mut |item| {
        items.push(item);
        ControlFlow::Continue(())
    })?;
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f";

    fn bundle(objects: &str) -> String {
        format!("{{\"type\":\"bundle\",\"id\":\"bundle--x\",\"objects\":[{objects}]}}")
    }

    fn good(extra: &str) -> String {
        format!(
            "{{\"type\":\"indicator\",\"id\":\"{ID}\",\"n\":1,\"f\":1.0,\"x\":[{{\"y\":null}}]{extra}}}"
        )
    }

    #[test]
    fn a_record_is_found_by_the_uuid_that_it_was_given() {
        for n in 0..=u8::MAX {
            let id = [n; 16];
            let mut records = records_of_uuid(&uuid(id)).unwrap();
            assert!(records.any(|record| record == RecordId(id)));
        }
        for other in [
            "",
            "x",
            "8e2e2d2b-17d4-1cbf-938f-98ee46b3cd3f",
            "8E2E2D2B-17D4-4CBF-938F-98EE46B3CD3F",
        ] {
            assert!(records_of_uuid(other).is_none(), "{other}");
        }
    }

    #[test]
    fn the_strictest_marking_counts_also_of_a_single_property() {
        let amber = Tlp::Amber.marking_id();
        let green = Tlp::Green.marking_id();
        let granular = format!(
            "\"granular_markings\":[{{\"marking_ref\":\"{amber}\",\"selectors\":[\"n\"]}},7]"
        );
        for (markings, label) in [
            (format!(",\"object_marking_refs\":[\"{green}\"]"), Some("TLP:GREEN")),
            (format!(",\"object_marking_refs\":[\"{green}\"],{granular}"), Some("TLP:AMBER")),
            (format!(",{granular}"), Some("TLP:AMBER")),
            (String::new(), None),
        ] {
            let items = read_all(bundle(&good(&markings)).as_bytes()).unwrap();
            let [Item::Draft(draft)] = items.as_slice() else { panic!("{items:?}") };
            assert_eq!(draft.marking.as_deref(), label, "{markings}");
        }
    }

    #[test]
    fn a_key_twice_spoils_its_object_alone() {
        let twice = good(",\"n\":2");
        let items = read_all(bundle(&format!("{twice},{}", good(""))).as_bytes()).unwrap();
        let [Item::Bad(problem), Item::Draft(_)] = items.as_slice() else { panic!("{items:?}") };
        assert_eq!(problem.place, "objects[0]");
        assert!(problem.reason.contains("\"n\" occurs twice"), "{}", problem.reason);
    }

    #[test]
    fn a_bad_object_spoils_itself_alone() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        let bad = [
            (deep.as_str(), "recursion"),
            (r#"{"a":1e999}"#, "1e999"),
            (r#"{"a":18446744073709551616}"#, "18446744073709551616"),
            (r#"{"a":0.12345678901234567890123}"#, "0.12345678901234567890123"),
            (r#"{"a":"\ud800"}"#, "hex escape"),
            (r#"{"a":{"b":1,"b":2}}"#, "\"b\" occurs twice"),
        ];
        let mut objects = Vec::new();
        for (object, _) in bad {
            objects.extend([object.to_owned(), good("")]);
        }
        let text = bundle(&objects.join(","));
        for text in [text.clone(), format!("\u{feff}{text}")] {
            let items = read_all(text.as_bytes()).unwrap();
            assert_eq!(items.len(), objects.len());
            for (n, item) in items.iter().enumerate() {
                match item {
                    Item::Draft(_) => assert_eq!(n % 2, 1),
                    Item::PassedOver => panic!("{n}"),
                    Item::Bad(problem) => {
                        let (object, said) = bad[n / 2];
                        assert_eq!(problem.place, format!("objects[{n}]"));
                        assert!(problem.reason.contains(said), "{object}: {}", problem.reason);
                    }
                }
            }
        }
        let beside = r#"{"type":"bundle","x":1e999,"objects":[]}"#;
        let items = read_all(beside.as_bytes()).unwrap();
        assert!(matches!(items.as_slice(), [Item::Bad(_)]), "{items:?}");
        let alone = read_all(good(",\"x\":1e999").as_bytes()).unwrap();
        assert!(matches!(alone.as_slice(), [Item::Bad(_)]), "{alone:?}");
    }

    #[test]
    fn an_object_without_an_end_is_given_up_at_the_bound() {
        let endless = b"{\"objects\":[{\"a\":\"".chain(io::repeat(b'x'));
        let outcome = read(endless, &mut |item| panic!("{item:?}"));
        assert!(matches!(outcome, Err(ReadError::Io(_))), "{outcome:?}");
    }

    #[test]
    fn what_comes_in_goes_out() {
        let items = read_all(bundle(&good("")).as_bytes()).unwrap();
        let [Item::Draft(draft)] = items.as_slice() else { panic!("{items:?}") };
        let mut writer = BundleWriter::begin(Vec::new(), [0; 16]).unwrap();
        writer
            .write(Outgoing {
                record: RecordId([1; 16]),
                kind: draft.kind,
                fields: draft.fields.clone(),
                created: WallTime(0),
                modified: WallTime(0),
            })
            .unwrap();
        let out = writer.end().unwrap();
        let back = read_all(out.as_slice()).unwrap();
        let [Item::Draft(again)] = back.as_slice() else { panic!("{back:?}") };
        assert_eq!(again.fields, draft.fields);
        assert_eq!(again.fields["f"].to_string(), "1.0");
    }

    #[test]
    fn bad_objects_are_named_and_good_ones_go_in() {
        let text = bundle(
            &[
                good(""),
                "7".into(),
                "{\"type\":\"indicator\"}".into(),
                "{\"type\":\"indicator\",\"id\":\"malware--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f\"}"
                    .into(),
                good(",\"created\":\"yesterday\""),
                good(",\"released_from\":\"00\""),
            ]
            .join(","),
        );
        let items = read_all(text.as_bytes()).unwrap();
        let bad: Vec<&str> = items
            .iter()
            .filter_map(|item| match item {
                Item::Bad(problem) => Some(problem.reason.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(bad.len(), 5, "{bad:?}");
        assert!(bad[3].contains("created"), "{bad:?}");
        assert!(bad[4].contains("`released_from` is no property to set"), "{bad:?}");
    }

    #[test]
    fn no_file_panics_and_what_came_before_the_damage_is_kept() {
        let text = bundle(&[good(""), good(",\"modified\":\"2024-01-01T00:00:00Z\"")].join(","));
        for len in 0..text.len() {
            let mut drafts = 0;
            let outcome = read(&text.as_bytes()[..len], &mut |_| {
                drafts += 1;
                ControlFlow::Continue(())
            });
            assert!(outcome.is_err(), "cut at {len}");
            assert!(drafts <= 2);
        }
        for nonsense in ["", "null", "[", "{}", "\u{feff}{}", "[1,2]", "{\"objects\":{}}"] {
            let _ = read_all(nonsense.as_bytes());
        }
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        let items = read_all(deep.as_bytes()).unwrap();
        assert!(matches!(items.as_slice(), [Item::Bad(_)]), "one element, which is no object");
    }

    #[test]
    fn a_bundle_without_objects_is_none() {
        for text in [r#"{"type":"bundle","id":"bundle--x"}"#, r#"{"id":"bundle--x"}"#] {
            let said = read_all(text.as_bytes()).unwrap_err().to_string();
            assert!(said.contains("no STIX bundle with objects"), "{said}");
        }
        assert!(read_all(bundle("").as_bytes()).unwrap().is_empty());
    }

    #[test]
    fn a_single_object_and_an_array_are_read_too() {
        assert_eq!(read_all(good("").as_bytes()).unwrap().len(), 1);
        assert_eq!(read_all(format!("[{}]", good("")).as_bytes()).unwrap().len(), 1);
    }
}
