//! A feed of MISP (MISP, "Feeds": a folder that any web server can hand out): each event in a file of its own,
//! `manifest.json` with what there is, and `hashes.csv` with the MD5 of each value, by which others look up whether an
//! event has it.
//!
//! An event that came from MISP goes out as it came, with the parts that may. Any other record is an event of its own.
//! How far an event or a part may go follows from its label, and is never further than that: what its distribution and
//! its tags say stays if that is as strict as the label, else the label's word takes its place.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use md5::{Digest as _, Md5};
use serde_json::{Map, Value, json};

use tearline_crdt::hash::sha256;
use tearline_crdt::id::RecordId;
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::label::Label;
use tearline_crdt::record::vocabulary::{Pap, Tlp, Vocabulary as _};
use tearline_crdt::time::WallTime;

use super::super::stix::{is_uuid, uuid};
use super::super::{Draft, Item};
use super::{Handling, TLP, WHOLE, distribution, part, text};

/// A record that goes out.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// Which.
    pub(crate) record: RecordId,
    /// What it is about.
    pub(crate) kind: Kind,
    /// What a list calls it.
    pub(crate) title: String,
    /// Its properties.
    pub(crate) fields: Map<String, Value>,
    /// How it may be handled.
    pub(crate) label: Label,
    /// When it was created.
    pub(crate) created: WallTime,
    /// When it was last changed.
    pub(crate) modified: WallTime,
}

/// Writes a feed into a folder, event by event.
pub(crate) struct FeedWriter {
    folder: PathBuf,
    author: Value,
    manifest: BTreeMap<String, Value>,
    hashes: BufWriter<File>,
    bytes: u64,
}

impl FeedWriter {
    /// Begins a feed in an empty folder. `author` is the id and name of the agency whose records these are.
    pub(crate) fn begin(folder: &Path, author: Option<&(String, String)>) -> io::Result<Self> {
        let author = author.map_or(
            Value::Null,
            |(id, name)| json!({ "uuid": id.trim_start_matches("identity--"), "name": name }),
        );
        let hashes = BufWriter::new(create(&folder.join("hashes.csv"))?);
        let folder = folder.to_owned();
        Ok(Self { folder, author, manifest: BTreeMap::new(), hashes, bytes: 0 })
    }

    /// Writes an event that came from MISP, with its parts in their order.
    pub(crate) fn event(&mut self, mut report: Told, parts: Vec<Told>) -> io::Result<()> {
        let mut event = object(report.fields.remove(WHOLE));
        if let Some(name) = report.fields.remove("name") {
            event.insert("info".into(), name);
        }
        restrict(&mut event, &report.label);
        let handling = Handling::of(&event);
        for told in parts {
            let one = again(told, handling);
            let list = if one.contains_key("type") { "Attribute" } else { "Object" };
            if let Value::Array(all) = event.entry(list).or_insert_with(|| json!([])) {
                all.push(Value::Object(one));
            }
        }
        let id = text(&event, "uuid").unwrap_or_default().to_lowercase();
        self.write(id, &report, event)
    }

    /// Writes a record as an event of its own.
    pub(crate) fn alone(&mut self, record: Told) -> io::Result<()> {
        let id = uuid(record.record.0);
        let seconds = (record.modified.0 / 1_000).to_string();
        let day: String = record.created.to_string().chars().take("2026-01-01".len()).collect();
        let mut event = object(Some(json!({
            "uuid": id, "info": format!("{}: {}", record.kind.name(), record.title), "date": day,
            "timestamp": seconds, "publish_timestamp": seconds, "published": true,
            "analysis": "0", "threat_level_id": "4", "distribution": "3", "Orgc": self.author,
        })));
        restrict(&mut event, &record.label);
        let Described { whole, values } = Described::of(&record, &seconds);
        if let Some(whole) = whole {
            event.insert("Object".into(), json!([whole]));
        }
        if !values.is_empty() {
            event.insert("Attribute".into(), values.into());
        }
        self.write(id, &record, event)
    }

    /// Ends the feed. Gives the number of its bytes.
    pub(crate) fn end(mut self) -> io::Result<u64> {
        self.hashes.flush()?;
        self.bytes += self.hashes.get_ref().metadata()?.len();
        let manifest = serde_json::to_vec(&self.manifest)?;
        self.put("manifest.json", &manifest)?;
        Ok(self.bytes)
    }

    fn write(&mut self, id: String, told: &Told, event: Map<String, Value>) -> io::Result<()> {
        // Of two agencies' events of one name the second has its record's; so has one whose name is none.
        let good = is_uuid(&id) && !self.manifest.contains_key(&id);
        let (id, event) = if good { (id, event) } else { renamed(event, told.record) };
        for value in values(&event) {
            writeln!(self.hashes, "{},{id}", hex(&Md5::digest(value.as_bytes())))?;
        }
        let mut known = Map::new();
        // Whose it is and when it changed a manifest says, also of an event that does not.
        known.insert("Orgc".into(), self.author.clone());
        known.insert("timestamp".into(), (told.modified.0 / 1_000).to_string().into());
        for name in ["Orgc", "Tag", "info", "date", "analysis", "threat_level_id", "timestamp"] {
            known.extend(event.get(name).map(|value| (name.to_owned(), value.clone())));
        }
        self.put(&format!("{id}.json"), &serde_json::to_vec(&json!({ "Event": event }))?)?;
        self.manifest.insert(id, Value::Object(known));
        Ok(())
    }

    fn put(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        create(&self.folder.join(name))?.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn renamed(mut event: Map<String, Value>, record: RecordId) -> (String, Map<String, Value>) {
    let id = uuid(record.0);
    event.insert("uuid".into(), id.clone().into());
    (id, event)
}

fn object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// A part as it came; of one that was edited here, as it is.
fn again(mut told: Told, event: Handling) -> Map<String, Value> {
    let came = object(told.fields.get(WHOLE).cloned());
    let reference = text(&told.fields, "event_ref").unwrap_or_default().to_owned();
    let stix_type = if came.contains_key("type") { "x-misp-attribute" } else { "x-misp-object" };
    let item = part(String::new(), stix_type, came.clone(), &reference, event);
    let same = matches!(&item, Item::Draft(Draft { fields, .. }) if *fields == told.fields);
    let mut one = came;
    if !same {
        told.fields.remove(WHOLE);
        let seconds = text(&one, "timestamp").unwrap_or_default().to_owned();
        let Described { whole, values } = Described::of(&told, &seconds);
        let new = if one.contains_key("type") { values.into_iter().next() } else { whole };
        for (name, value) in object(new) {
            if matches!(name.as_str(), "type" | "category" | "value" | "name" | "Attribute") {
                one.insert(name, value);
            }
        }
    }
    // What the event and its own distribution and tags say, as they are read.
    let own = event.join(Handling::of_part(&one));
    if !covers(own, &told.label) {
        narrow(&mut one, &told.label);
    }
    one
}

/// Sees to it that an event goes no further than its label lets it.
fn restrict(event: &mut Map<String, Value>, label: &Label) {
    if !covers(Handling::of(event), label) {
        narrow(event, label);
    }
}

fn covers(said: Handling, label: &Label) -> bool {
    said.tlp >= rank(label) && said.pap.unwrap_or(0) >= label.pap as usize
}

fn rank(label: &Label) -> usize {
    if label.unknown { TLP.len() - 1 } else { label.tlp as usize }
}

/// Gives an event or a part the distribution and the tags of a label.
fn narrow(map: &mut Map<String, Value>, label: &Label) {
    let widest = match rank(label) {
        0 | 1 => "3",
        2 => "1",
        _ => "0",
    };
    // A sharing group stays one, and what reaches less far stays so.
    let is_narrower = match distribution(map).as_deref() {
        Some("4") => true,
        Some(said @ ("0" | "1" | "2" | "3")) => said <= widest,
        _ => false,
    };
    if !is_narrower {
        map.insert("distribution".into(), widest.into());
    }
    let tlp = Tlp::ALL.get(rank(label)).map_or("RED", |tlp| tlp.word()).to_lowercase();
    let mut wanted = vec![format!("tlp:{tlp}")];
    if label.pap > Pap::Clear {
        wanted.push(format!("PAP:{}", label.pap.word()));
    }
    let Value::Array(tags) = map.entry("Tag").or_insert_with(|| json!([])) else { return };
    let known = |name: &String| {
        tags.iter().any(|tag| {
            tag.get("name").and_then(Value::as_str).is_some_and(|n| n.eq_ignore_ascii_case(name))
        })
    };
    wanted.retain(|name| !known(name));
    tags.extend(wanted.into_iter().map(|name| json!({ "name": name })));
}

/// A record of ours in MISP's words: an object, if MISP has a template for it, and attributes for all else.
struct Described {
    whole: Option<Value>,
    values: Vec<Value>,
}

impl Described {
    fn of(told: &Told, seconds: &str) -> Self {
        let mut values = Vec::new();
        let mut inner = Vec::new();
        let template = template(told.kind);
        for (name, value) in &told.fields {
            if UNSAID.contains(&name.as_str()) {
                continue;
            }
            let said = match value {
                Value::String(text) => text.clone(),
                Value::Null => continue,
                other => other.to_string(),
            };
            if said.trim().is_empty() {
                continue;
            }
            let hash = sha256(format!("misp\n{}\n{name}", told.record).as_bytes());
            let id = uuid(std::array::from_fn(|n| hash.get(n).copied().unwrap_or_default()));
            let kind = match (told.kind, name.as_str()) {
                (Kind::Phone, "number") => "phone-number",
                (Kind::TravelDocument, "number") => "passport-number",
                _ => "text",
            };
            let mut one = json!({
                "uuid": id, "type": kind, "category": category(kind), "value": said, "to_ids": false,
                "timestamp": seconds, "distribution": "5", "comment": name,
            });
            let relation = template.and_then(|template| template.relation(name));
            match (relation, one.as_object_mut()) {
                (Some((relation, kind)), Some(members)) => {
                    members.insert("object_relation".into(), relation.into());
                    members.insert("type".into(), kind.into());
                    members.insert("category".into(), category(kind).into());
                    inner.push(one);
                }
                // What names the thing comes first.
                _ if kind == "text" => values.push(one),
                _ => values.insert(0, one),
            }
        }
        let whole = template.filter(|_| !inner.is_empty()).map(|template| {
            json!({
                "uuid": uuid(told.record.0), "name": template.name, "meta-category": "misc",
                "template_uuid": template.uuid, "template_version": template.version,
                "timestamp": seconds, "distribution": "5", "Attribute": inner,
            })
        });
        Self { whole, values }
    }
}

/// The category that MISP has for a type of attribute where none is said.
fn category(kind: &str) -> &'static str {
    if matches!(kind, "text" | "float") { "Other" } else { "Person" }
}

/// Properties that say nothing of the thing, or that an event says in its own way.
const UNSAID: [&str; 8] = [
    "type",
    "spec_version",
    "created",
    "modified",
    "created_by_ref",
    "object_marking_refs",
    "extensions",
    "event_ref",
];

/// A template of MISP's for objects.
#[derive(Clone, Copy)]
struct Template {
    name: &'static str,
    uuid: &'static str,
    version: &'static str,
    /// A property of ours, the relation that it has there, and the type of the attribute.
    relations: &'static [(&'static str, &'static str, &'static str)],
}

impl Template {
    fn relation(self, property: &str) -> Option<(&'static str, &'static str)> {
        let found = self.relations.iter().find(|(known, ..)| *known == property);
        found.map(|(_, relation, kind)| (*relation, *kind))
    }
}

/// <https://github.com/MISP/misp-objects>: `vehicle`, `person` and `geolocation`.
fn template(kind: Kind) -> Option<Template> {
    match kind {
        Kind::Vehicle => Some(Template {
            name: "vehicle",
            uuid: "683c076c-f695-4ff2-8efa-e98a418049f4",
            version: "5",
            relations: &[
                ("plate", "license-plate-number", "text"),
                ("vin", "vin", "text"),
                ("make", "make", "text"),
                ("model", "model", "text"),
                ("colour", "exterior-color", "text"),
                ("vehicle_class", "type", "text"),
                ("description", "description", "text"),
            ],
        }),
        Kind::Person => Some(Template {
            name: "person",
            uuid: "a15b0477-e9d1-4b9c-9546-abe78a4f4248",
            version: "21",
            relations: &[
                ("name", "full-name", "full-name"),
                ("date_of_birth", "date-of-birth", "date-of-birth"),
                ("place_of_birth", "place-of-birth", "place-of-birth"),
                ("description", "text", "text"),
            ],
        }),
        Kind::Location => Some(Template {
            name: "geolocation",
            uuid: "cd6f2238-ba55-4888-82c4-104e6e1acf21",
            version: "8",
            relations: &[
                ("latitude", "latitude", "float"),
                ("longitude", "longitude", "float"),
                ("precision", "accuracy-radius", "float"),
                ("country", "countrycode", "text"),
                ("city", "city", "text"),
                ("street_address", "address", "text"),
                ("postal_code", "zipcode", "text"),
                ("description", "text", "text"),
            ],
        }),
        _ => None,
    }
}

/// The values of an event's attributes; of a type of two values each.
fn values(event: &Map<String, Value>) -> Vec<&str> {
    let mut attributes: Vec<&Value> = Vec::new();
    attributes.extend(event.get("Attribute").and_then(Value::as_array).into_iter().flatten());
    for object in event.get("Object").and_then(Value::as_array).into_iter().flatten() {
        attributes.extend(object.get("Attribute").and_then(Value::as_array).into_iter().flatten());
    }
    let mut found = Vec::new();
    for one in attributes {
        let of = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default();
        let (kind, value) = (of("type"), of("value"));
        if kind.contains('|') || kind == "malware-sample" {
            found.extend(value.split('|'));
        } else {
            found.push(value);
        }
    }
    found
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::ops::ControlFlow;

    use super::super::read;
    use super::*;

    fn told(draft: Draft, n: u8) -> Told {
        Told {
            record: RecordId([n; 16]),
            kind: draft.kind,
            title: "a title".into(),
            label: draft.marking.unwrap().parse().unwrap(),
            fields: draft.fields,
            created: WallTime(0),
            modified: WallTime(1_000),
        }
    }

    /// What records of an event are as a feed's event.
    fn fed(report: Told, parts: Vec<Told>) -> Value {
        let folder = tempfile::tempdir().unwrap();
        let mut feed = FeedWriter::begin(folder.path(), None).unwrap();
        feed.event(report, parts).unwrap();
        feed.end().unwrap();
        let read = |name: &str| -> Value {
            serde_json::from_slice(&fs::read(folder.path().join(name)).unwrap()).unwrap()
        };
        let manifest = read("manifest.json");
        let id = manifest.as_object().unwrap().keys().next().unwrap();
        let hashes = fs::read_to_string(folder.path().join("hashes.csv")).unwrap();
        assert!(hashes.lines().all(|line| line.len() == 32 + 1 + 36 && line.ends_with(id)));
        read(&format!("{id}.json"))["Event"].clone()
    }

    fn taken(event: &Value) -> (Told, Vec<Told>) {
        let mut all = Vec::new();
        read(event.to_string().as_bytes(), &mut |item| {
            if let Item::Draft(draft) = item {
                all.push(told(draft, all.len() as u8));
            }
            ControlFlow::Continue(())
        })
        .unwrap();
        let report = all.pop().unwrap();
        (report, all)
    }

    #[test]
    fn events_of_others_go_out_as_they_came() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/misp");
        let Ok(files) = fs::read_dir(&folder) else {
            eprintln!("SKIPPED: no {}", folder.display());
            return;
        };
        let mut count = 0;
        for file in files {
            let value: Value =
                serde_json::from_slice(&fs::read(file.unwrap().path()).unwrap()).unwrap();
            let mut event = value.get("Event").unwrap_or(&value).clone();
            // A list without items is left out.
            for list in ["Attribute", "Object"] {
                if event.get(list) == Some(&json!([])) {
                    event.as_object_mut().unwrap().remove(list);
                }
            }
            let (report, parts) = taken(&event);
            assert_eq!(fed(report, parts), event);
            count += 1;
        }
        assert!(count >= 4, "{count}");
    }

    fn event(distribution: &str, tags: &[&str]) -> Value {
        let tags: Vec<Value> = tags.iter().map(|name| json!({ "name": name })).collect();
        json!({
            "info": "x", "uuid": "57c4445b-c548-4654-af0b-4be3950d210f", "timestamp": "1",
            "distribution": distribution, "Tag": tags, "Attribute": [{
                "uuid": "57c4448a-fb04-457d-87e7-4127950d2101", "type": "phone-number",
                "category": "Person", "value": "+227 20 12 34 56", "timestamp": "1",
                "distribution": "5",
            }],
        })
    }

    #[test]
    fn nothing_goes_further_than_its_label_lets_it() {
        for (came, tags, label, goes, tag) in [
            ("3", &[][..], "TLP:CLEAR", "3", None),
            ("3", &[], "TLP:GREEN", "3", None),
            ("3", &[], "TLP:AMBER", "1", Some("tlp:amber")),
            ("3", &["tlp:amber"], "TLP:AMBER", "3", None),
            ("2", &[], "TLP:AMBER", "2", None),
            ("2", &[], "TLP:AMBER+STRICT", "0", Some("tlp:amber+strict")),
            ("1", &[], "TLP:RED", "0", Some("tlp:red")),
            ("4", &[], "TLP:RED", "4", None),
            ("9", &[], "TLP:RED", "9", None),
            ("3", &[], "TLP:GREEN PAP:RED", "3", Some("PAP:RED")),
        ] {
            let (mut report, mut parts) = taken(&event(came, tags));
            report.label = label.parse().unwrap();
            for part in &mut parts {
                part.label = report.label.clone();
            }
            let fed = fed(report, parts);
            assert_eq!(fed["distribution"], goes, "{came} {tags:?} {label}: {fed}");
            let is = fed["Tag"].as_array().unwrap().last().map(|tag| tag["name"].as_str().unwrap());
            assert_eq!(is, tag.or(tags.last().copied()), "{came} {tags:?} {label}");
            // Read again, it is under a label as strict.
            let (again, _) = taken(&fed);
            let wanted: Label = label.parse().unwrap();
            assert!(again.label.tlp >= wanted.tlp && again.label.pap >= wanted.pap, "{fed}");
        }
        // A part alone may be stricter.
        let (report, mut parts) = taken(&event("3", &[]));
        parts[0].label = "TLP:RED".parse().unwrap();
        let fed = fed(report, parts);
        assert_eq!(
            (&fed["distribution"], &fed["Attribute"][0]["distribution"]),
            (&json!("3"), &json!("0"))
        );
    }

    #[test]
    fn what_was_edited_here_goes_out_as_it_is() {
        let (report, mut parts) = taken(&event("3", &[]));
        parts[0].fields.insert("number".into(), "+22720999999".into());
        let fed = fed(report, parts);
        let one = &fed["Attribute"][0];
        assert_eq!(
            (&one["value"], &one["uuid"]),
            (&json!("+22720999999"), &json!("57c4448a-fb04-457d-87e7-4127950d2101"))
        );
    }

    #[test]
    fn a_record_of_ours_is_an_event_that_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let author =
            ("identity--8c1f9d3a-52d6-4f0e-9d3c-7e2b6a4f1c90".to_owned(), "Guard".to_owned());
        let mut feed = FeedWriter::begin(folder.path(), Some(&author)).unwrap();
        let fields = json!({ "plate": "NE 1", "make": "Toyota", "seats": 5 });
        for n in [1, 1, 2] {
            feed.alone(Told {
                record: RecordId([n; 16]),
                kind: Kind::Vehicle,
                title: "NE 1".into(),
                fields: object(Some(fields.clone())),
                label: "TLP:GREEN".parse().unwrap(),
                created: WallTime(0),
                modified: WallTime(1_000),
            })
            .unwrap_or_else(|error| assert_eq!(error.kind(), io::ErrorKind::AlreadyExists));
        }
        feed.end().unwrap();
        let id = uuid([2; 16]);
        let text = fs::read(folder.path().join(format!("{id}.json"))).unwrap();
        let whole: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(whole["Event"]["Orgc"]["uuid"], "8c1f9d3a-52d6-4f0e-9d3c-7e2b6a4f1c90");
        let (_, parts) = taken(&whole);
        let vehicle = parts.iter().find(|part| part.kind == Kind::Vehicle).unwrap();
        assert_eq!(
            (&vehicle.fields["plate"], &vehicle.fields["make"]),
            (&json!("NE 1"), &json!("Toyota"))
        );
        assert!(parts.iter().any(|part| part.fields[WHOLE]["comment"] == "seats"));
    }
}
