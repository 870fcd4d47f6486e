//! The record that an object of a file is already: one that it became before, or one that was written here and comes
//! back from where it was sent.

use serde_json::{Map, Value};

use tearline_crdt::id::{CompartmentId, RecordId};
use tearline_crdt::record::shelf::Detail;
use tearline_crdt::store::StoreError;
use tearline_crdt::time::WallTime;

use super::core::Core;
use crate::exchange::{native, stix};

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
}

/// Whether a STIX object is what others get of a record that was written here, by its id.
pub(super) fn is_native_as(detail: &Detail, object: &Map<String, Value>) -> bool {
    let name = object.get("id").and_then(Value::as_str);
    stix::is_stix(object)
        && !stix::is_stix(&detail.fields)
        && name == Some(&native::id(detail.record, detail.kind, &detail.fields))
}

/// What is said of one that was changed elsewhere.
pub(super) const WRITTEN_HERE: &str = "it is a later version of a record that this agency wrote, whose alone its versions are; change it \
                            here, or say what differs in a note or an opinion on it";
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
