//! Native records as STIX objects: what STIX demands and a record need not say, the names that records have
//! there, and the properties that STIX does not know.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use tearline_crdt::id::RecordId;
use tearline_crdt::record::kind::{Kind, StixCategory};

use super::geojson::bounds;
use super::stix::{Outgoing, is_id, native_type, uuid};

/// The extension that native objects refer to: those of types beyond STIX's, and those of STIX's types with
/// properties beyond them. The id is this project's own, drawn at random.
pub(super) const EXTENSION_ID: &str = "extension-definition--5f6c1c0e-9a1b-4c55-8b5e-3d1f3c0f7f21";
pub(super) const EXTENSION_AUTHOR: &str = "identity--8c1f9d3a-52d6-4f0e-9d3c-7e2b6a4f1c90";

/// When the identities and the definition that this program writes were made.
pub(super) const AT: &str = "2026-01-01T00:00:00.000Z";
/// Who or what was seen where a record does not say: STIX has no sighting of nothing.
pub(super) const UNIDENTIFIED: &str = "identity--2093feae-c524-41bd-943a-e37630ec5de4";

/// The identity that made the extension, and its definition.
pub(super) fn definitions() -> [Value; 2] {
    let at = AT;
    let properties: BTreeSet<&str> = Kind::ALL
        .into_iter()
        .filter(|kind| is_of_stix(*kind))
        .flat_map(|kind| kind.fields().iter().map(move |field| (kind, field.name)))
        .filter(|(kind, name)| !is_stix_property(*kind, name))
        .map(|(_, name)| name)
        .collect();
    [
        identity(EXTENSION_AUTHOR, "Tearline", "system", at),
        json!({
            "type": "extension-definition", "spec_version": "2.1", "id": EXTENSION_ID,
            "created_by_ref": EXTENSION_AUTHOR, "created": at, "modified": at,
            "name": "Tearline records",
            "description": "Objects of border work that STIX has no type for: vehicles, vessels, travel documents, \
                            alerts and others; and properties of border work of objects that it has.",
            "schema": "docs/import.md", "version": "1.1.0",
            "extension_types": ["new-sdo", "new-sco", "toplevel-property-extension"],
            "extension_properties": properties,
        }),
    ]
}

/// An identity that stands for a program or an agency.
pub(super) fn identity(id: &str, name: &str, class: &str, at: &str) -> Value {
    json!({
        "type": "identity", "spec_version": "2.1", "id": id, "created": at, "modified": at, "name": name,
        "identity_class": class,
    })
}

/// A native record as an object: the common properties are filled in, and the extension that says of a type or
/// of properties that they are not STIX's (section 7.3).
pub(super) fn object(record: Outgoing) -> Map<String, Value> {
    let Outgoing { kind, created, modified, .. } = record;
    let id = id(record.record, kind, &record.fields);
    let mut object = record.fields;
    object.insert("type".into(), native_type(kind).into());
    object.insert("spec_version".into(), "2.1".into());
    object.insert("id".into(), id.into());
    if kind.stix_category() != Some(StixCategory::NewObservable) {
        for (name, time) in [("created", created), ("modified", modified)] {
            object.entry(name).or_insert_with(|| time.to_string().into());
        }
    } else {
        // An observable is whoever's sees it.
        object.remove("created_by_ref");
    }
    let class = match kind {
        Kind::Person => Some("individual"),
        Kind::Organisation => Some("organization"),
        _ => None,
    };
    if let Some(class) = class {
        object.entry("identity_class").or_insert_with(|| class.into());
    }
    if kind == Kind::Report {
        object.entry("published").or_insert_with(|| created.to_string().into());
        // A report must refer to something: one that says nothing of others is of whoever made it.
        let author = object.get("created_by_ref").cloned().unwrap_or(EXTENSION_AUTHOR.into());
        object.entry("object_refs").or_insert_with(|| Value::Array(vec![author]));
    }
    if kind == Kind::Sighting {
        object.entry("sighting_of_ref").or_insert_with(|| UNIDENTIFIED.into());
    }
    let placed = ["region", "country", "latitude"].iter().any(|name| object.contains_key(*name));
    if kind == Kind::Location
        && !placed
        && let Some([west, south, east, north]) = object.get("geometry").and_then(bounds)
    {
        // STIX has no location without a place, a country or a region: the middle of its box.
        object.insert("latitude".into(), south.midpoint(north).into());
        object.insert("longitude".into(), west.midpoint(east).into());
    }
    if let Some(extension) = extension(kind, &object) {
        object
            .insert("extensions".into(), json!({ EXTENSION_ID: { "extension_type": extension } }));
    }
    object
}

/// A record's name in STIX. One that another program knows already keeps its own: others refer to it by that.
pub(crate) fn id(record: RecordId, kind: Kind, fields: &Map<String, Value>) -> String {
    let stix_type = native_type(kind);
    let named = fields.get("id").and_then(Value::as_str);
    let known = fields.get("type").and_then(Value::as_str).unwrap_or(stix_type);
    match named.filter(|id| is_id(known, id)) {
        Some(id) => id.to_owned(),
        None => format!("{stix_type}--{}", uuid(record.0)),
    }
}

/// What the extension makes of an object; nothing where it is all STIX's.
pub(super) fn extension(kind: Kind, object: &Map<String, Value>) -> Option<&'static str> {
    match kind.stix_category()? {
        StixCategory::NewDomain => Some("new-sdo"),
        StixCategory::NewObservable => Some("new-sco"),
        StixCategory::Domain | StixCategory::Relationship => {
            let all = object.keys().all(|name| is_stix_property(kind, name));
            (!all).then_some("toplevel-property-extension")
        }
    }
}

fn is_of_stix(kind: Kind) -> bool {
    matches!(kind.stix_category(), Some(StixCategory::Domain | StixCategory::Relationship))
}

fn is_stix_property(kind: Kind, name: &str) -> bool {
    COMMON.contains(&name) || own(kind).contains(&name)
}

/// STIX 2.1, section 3.2.
const COMMON: &[&str] = &[
    "type",
    "spec_version",
    "id",
    "created_by_ref",
    "created",
    "modified",
    "revoked",
    "labels",
    "confidence",
    "lang",
    "external_references",
    "object_marking_refs",
    "granular_markings",
    "extensions",
];

/// The properties that STIX gives to objects of a type (sections 4 and 5).
const fn own(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Person | Kind::Organisation => {
            &["name", "description", "roles", "identity_class", "sectors", "contact_information"]
        }
        Kind::Location => &[
            "name",
            "description",
            "latitude",
            "longitude",
            "precision",
            "region",
            "country",
            "administrative_area",
            "city",
            "street_address",
            "postal_code",
        ],
        Kind::Sighting => &[
            "description",
            "first_seen",
            "last_seen",
            "count",
            "sighting_of_ref",
            "observed_data_refs",
            "where_sighted_refs",
            "summary",
        ],
        Kind::Incident => &["name", "description"],
        Kind::Report => &["name", "description", "report_types", "published", "object_refs"],
        Kind::Note => &["abstract", "content", "authors", "object_refs"],
        Kind::Opinion => &["explanation", "authors", "opinion", "object_refs"],
        Kind::Relationship => &[
            "relationship_type",
            "description",
            "source_ref",
            "target_ref",
            "start_time",
            "stop_time",
        ],
        _ => &[],
    }
}

/// The records that a native record refers to by their own ids.
pub(crate) fn references(fields: &Map<String, Value>) -> BTreeSet<RecordId> {
    let mut found = BTreeSet::new();
    // The values are as they were: nothing is changed by who only looks.
    each_reference(&mut fields.clone(), &mut |text| {
        found.extend(text.parse::<RecordId>());
    });
    found
}

/// What a record refers to, by whatever names: ids of records, and those of STIX.
pub(crate) fn named(fields: &Map<String, Value>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    each_reference(&mut fields.clone(), &mut |text| {
        found.insert(text.clone());
    });
    found
}

/// Writes references as STIX has them. A record that is not to be seen is called by its id and no type.
pub(crate) fn link(fields: &mut Map<String, Value>, names: &BTreeMap<RecordId, String>) {
    each_reference(fields, &mut |text| {
        if let Ok(record) = text.parse::<RecordId>() {
            let unseen = || format!("record--{}", uuid(record.0));
            *text = names.get(&record).cloned().unwrap_or_else(unseen);
        }
    });
}

/// Goes through the texts that refer to something, by the names that STIX gives to such properties.
fn each_reference(fields: &mut Map<String, Value>, visit: &mut dyn FnMut(&mut String)) {
    for (name, value) in fields {
        let refers = name.ends_with("_ref") || name.ends_with("_refs");
        each_text(value, refers, visit);
    }
}

fn each_text(value: &mut Value, refers: bool, visit: &mut dyn FnMut(&mut String)) {
    match value {
        Value::String(text) if refers => visit(text),
        Value::Array(items) => items.iter_mut().for_each(|item| each_text(item, refers, visit)),
        Value::Object(fields) => each_reference(fields, visit),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use tearline_crdt::time::WallTime;

    use super::*;

    fn fields(value: Value) -> Map<String, Value> {
        let Value::Object(fields) = value else { panic!("{value}") };
        fields
    }

    fn outgoing(kind: Kind, value: Value) -> Map<String, Value> {
        let record = RecordId([7; 16]);
        let (created, modified) = (WallTime(1_000), WallTime(2_000));
        object(Outgoing { record, kind, fields: fields(value), created, modified })
    }

    #[test]
    fn references_are_written_as_stix_has_them() {
        let (seen, unseen) = (RecordId([1; 16]), RecordId([2; 16]));
        let mut record = fields(json!({
            "location_ref": seen.to_string(),
            "object_refs": [seen.to_string(), unseen.to_string(), "indicator--x"],
            "items": [{ "item_ref": seen.to_string(), "description": seen.to_string() }],
            "name": seen.to_string(),
        }));
        assert_eq!(references(&record), [seen, unseen].into());
        link(&mut record, &[(seen, "vehicle--1".to_owned())].into());
        let unseen = format!("record--{}", uuid(unseen.0));
        let text = seen.to_string();
        assert_eq!(
            Value::Object(record),
            json!({
                "location_ref": "vehicle--1",
                "object_refs": ["vehicle--1", unseen, "indicator--x"],
                "items": [{ "item_ref": "vehicle--1", "description": text }],
                "name": text,
            })
        );
    }

    #[test]
    fn what_stix_demands_is_there() {
        let report =
            outgoing(Kind::Report, json!({ "name": "R", "created_by_ref": "identity--1" }));
        assert_eq!(report["object_refs"], json!(["identity--1"]));
        assert_eq!(report["published"], report["created"]);
        assert_eq!(report.get("extensions"), None);
        let person = outgoing(Kind::Person, json!({ "name": "Doe" }));
        assert_eq!(person["identity_class"], "individual");
        let extension = |object: &Map<String, Value>| object["extensions"][EXTENSION_ID].clone();
        let incident = outgoing(Kind::Incident, json!({ "name": "I", "persons": 3 }));
        let wanted = json!({ "extension_type": "toplevel-property-extension" });
        assert_eq!(extension(&incident), wanted);
        let vehicle =
            outgoing(Kind::Vehicle, json!({ "plate": "X", "created_by_ref": "identity--1" }));
        assert_eq!(extension(&vehicle), json!({ "extension_type": "new-sco" }));
        assert!(!vehicle.contains_key("created_by_ref") && !vehicle.contains_key("created"));
    }

    #[test]
    fn a_sighting_is_of_something_and_a_location_somewhere() {
        let seen = outgoing(Kind::Sighting, json!({ "description": "A boat without lights" }));
        assert_eq!(seen["sighting_of_ref"], UNIDENTIFIED);
        let known = outgoing(Kind::Sighting, json!({ "sighting_of_ref": "vessel--1" }));
        assert_eq!(known["sighting_of_ref"], "vessel--1");
        let ring = json!([[[14, 13], [15.0, 13.5], [14.5, 12], [14, 13]]]);
        let geometry = json!({ "type": "GeometryCollection", "geometries": [
            { "type": "Polygon", "coordinates": ring }, { "type": "Point", "coordinates": [14, 12] },
        ] });
        let area = outgoing(Kind::Location, json!({ "geometry": geometry }));
        assert_eq!((&area["latitude"], &area["longitude"]), (&json!(12.75), &json!(14.5)));
        let country =
            json!({ "geometry": { "type": "Point", "coordinates": [1, 2] }, "country": "NE" });
        assert_eq!(outgoing(Kind::Location, country).get("latitude"), None);
        let empty = json!({ "geometry": { "type": "MultiPoint", "coordinates": [] } });
        assert_eq!(outgoing(Kind::Location, empty).get("latitude"), None);
    }

    #[test]
    fn the_definition_names_the_properties_that_are_not_of_stix() {
        let [_, definition] = definitions();
        let named = definition["extension_properties"].as_array().cloned().unwrap_or_default();
        assert!(
            named.contains(&json!("persons")) && named.contains(&json!("latitude")),
            "{named:?}"
        );
        assert!(
            !named.contains(&json!("object_refs")) && !named.contains(&json!("country")),
            "{named:?}"
        );
    }
}
