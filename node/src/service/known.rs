//! The record that an object of a file is already: one that it became before, or one that was written here and comes
//! back from where it was sent.

use serde_json::{Map, Value};

use tearline_crdt::hash::sha256;
use tearline_crdt::id::{CompartmentId, RecordId};
use tearline_crdt::record::label::Label;
use tearline_crdt::record::shelf::Detail;
use tearline_crdt::store::StoreError;
use tearline_crdt::time::WallTime;

use super::core::Core;
use crate::exchange::{native, stix};
use crate::failure::Failure;

/// A record that an object became before.
pub(super) struct Known {
    pub(super) detail: Detail,
    /// What the last import of it said, property by property.
    pub(super) brought: Map<String, Value>,
}

impl Core {
    /// Our agency's record of a compartment that an object with this external id became before. What
    /// others call their records is their affair: it neither keeps ours out nor changes theirs.
    pub(super) fn known(
        &mut self,
        id: CompartmentId,
        name: Option<&str>,
    ) -> Result<Option<Known>, StoreError> {
        let own = self.agency_of(&self.replica.device());
        let (Some(name), Some(own)) = (name, own) else { return Ok(None) };
        let store = self.replica.store();
        let Some(record) = crate::index::external(store, &id, own, name)? else { return Ok(None) };
        let Some(detail) = self.visible_or_not(record)? else { return Ok(None) };
        if detail.origin != own {
            return Ok(None);
        }
        let brought = self.replica.records(|reader| reader.brought(record, own))?;
        Ok(Some(Known { detail, brought }))
    }

    /// The record of our agency that has this id in STIX since it was written here: an object that went out and
    /// comes back. A guest knows of those of the compartment alone.
    pub(super) fn written_here(
        &mut self,
        id: CompartmentId,
        name: Option<&str>,
        is_guest: bool,
    ) -> Result<Option<Detail>, StoreError> {
        let own = self.agency_of(&self.replica.device());
        let uuid = name.and_then(|name| name.split_once("--")).map_or("", |(_, uuid)| uuid);
        let Some(first) = stix::records_of_uuid(uuid).and_then(|mut all| all.next()) else {
            return Ok(None);
        };
        // They differ in bits that come late: others are hardly ever between them.
        for record in self.stored_records(first, RECORDS_LOOKED_AT_MAX)?.0 {
            if stix::uuid(record.0) != uuid {
                continue;
            }
            let Some(detail) = self.visible_or_not(record)? else { continue };
            if Some(detail.origin) == own && (!is_guest || detail.compartment == id) {
                return Ok(Some(detail));
            }
        }
        Ok(None)
    }

    /// The label of a note that tells of a record: at least as strict as the record's. Of one that is hidden nothing is
    /// told, and why.
    pub(super) fn label_of_dissent(
        &self,
        of: &Detail,
        named: Option<&Label>,
    ) -> Result<Result<Label, String>, Failure> {
        if of.state.hides() {
            let news = ["a version by another producer".to_owned()];
            return Ok(Err(hidden_record(of.record, self.erasure_due(of), &news)));
        }
        let named = named.cloned().map_or_else(|| self.label_or_default(None), Ok)?;
        Ok(Ok(of.label.join(&named)))
    }

    /// Whether an object says that somebody else made it.
    pub(super) fn is_of_others(&self, object: &Map<String, Value>) -> bool {
        let by = object.get("created_by_ref").and_then(Value::as_str);
        let own = self.own_identity().map(|(id, _)| id);
        by.is_some() && by != own.as_deref()
    }
}

/// What another says of an object whose versions are not his: a note on it, with his words and under his name (STIX 2.1,
/// section 4.12). It follows from the object alone, so that the same version is the same note.
pub(super) fn dissent(
    compartment: &CompartmentId,
    object: &Map<String, Value>,
) -> Map<String, Value> {
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    let (id, by) = (text("id").unwrap_or_default(), text("created_by_ref"));
    let at = text("modified").or_else(|| text("created")).unwrap_or("1970-01-01T00:00:00.000Z");
    let told = format!("tearline dissent 1\n{compartment}\n{id}\n{}\n{at}", by.unwrap_or_default());
    let digest = sha256(told.as_bytes());
    let uuid = stix::uuid(std::array::from_fn(|n| digest.get(n).copied().unwrap_or_default()));
    let said = object.iter().filter(|(name, _)| !OF_EVERY_OBJECT.contains(&name.as_str()));
    let said: Map<String, Value> =
        said.map(|(name, value)| (name.clone(), value.clone())).collect();
    let markings = object.get("object_marking_refs").cloned();
    let note = [
        ("type", Some("note".into())),
        ("spec_version", Some("2.1".into())),
        ("id", Some(format!("note--{uuid}").into())),
        ("created_by_ref", by.map(Value::from)),
        ("created", Some(at.into())),
        ("modified", Some(at.into())),
        ("object_marking_refs", markings),
        ("abstract", Some("Says otherwise than its producer".into())),
        ("content", Some(Value::Object(said).to_string().into())),
        ("object_refs", Some(vec![id].into())),
    ];
    note.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// What of an object is not what it says.
const OF_EVERY_OBJECT: [&str; 8] = [
    "type",
    "spec_version",
    "id",
    "created_by_ref",
    "created",
    "modified",
    "object_marking_refs",
    "granular_markings",
];

/// Whether a STIX object is what others get of a record that was written here, by its id.
pub(super) fn is_native_as(detail: &Detail, object: &Map<String, Value>) -> bool {
    let name = object.get("id").and_then(Value::as_str);
    stix::is_stix(object)
        && !stix::is_stix(&detail.fields)
        && name == Some(&native::id(detail.record, detail.kind, &detail.fields))
}

/// What is said of one that was changed elsewhere.
pub(super) const WRITTEN_HERE: &str = "it is a later version of a record that this agency wrote; change that here, \
                                       or say what differs in a note on it";
/// Records that are looked at for one id.
const RECORDS_LOOKED_AT_MAX: usize = 4;

/// Why what is new in an object is not taken into a record whose content is hidden, and what to do.
pub(super) fn hidden_record(record: RecordId, due: Option<WallTime>, news: &[String]) -> String {
    let news = news.join(", ");
    match due {
        Some(due) => format!(
            "its record {record} is erased, and destroyed from {due} on: what the file says otherwise now ({news}) \
             is not taken"
        ),
        None => format!(
            "its record {record} is restricted, and the file says otherwise now: {news}; end the restriction \
             (`tearline record lift {record}`) and import the file again"
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn another_producer_s_version_is_a_note_the_same_each_time() {
        let object = |by: &str, name: &str| {
            let id = "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f";
            json!({
                "type": "indicator", "spec_version": "2.1", "id": id, "created_by_ref": by, "name": name,
                "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-02T00:00:00.000Z",
            })
        };
        let note = |by: &str, name: &str| {
            let object = object(by, name);
            dissent(&CompartmentId([1; 32]), object.as_object().unwrap())
        };
        let one = note("identity--a", "Otherwise");
        assert!(stix::is_stix(&one), "{one:?}");
        assert_eq!(one["content"], "{\"name\":\"Otherwise\"}");
        assert_eq!(one["object_refs"], json!(["indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f"]));
        assert_eq!(
            (&one["created_by_ref"], one.get("object_marking_refs")),
            (&json!("identity--a"), None)
        );
        assert_eq!(one["id"], note("identity--a", "x")["id"]);
        assert_ne!(one["id"], note("identity--b", "Otherwise")["id"]);
    }
}
