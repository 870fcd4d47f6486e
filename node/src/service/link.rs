//! The names that records have in STIX, of those that native records refer to, and of their agencies.

use std::collections::BTreeMap;

use tearline_crdt::hash::sha256;
use tearline_crdt::id::{AgencyNo, RecordId};
use tearline_crdt::record::shelf::Detail;

use super::core::Core;
use super::damage::Unread;
use super::sight::Reader;
use crate::exchange::{native, stix};
use crate::failure::Failure;

impl Core {
    /// Writes the references of native records as STIX has them, and says whose each record is. A record that
    /// the reader, or without one this device, may not see has no type there.
    pub(super) fn link<'d>(
        &mut self,
        reader: Option<&Reader>,
        details: impl Iterator<Item = &'d mut Detail>,
    ) -> Result<(), Failure> {
        let mut names: BTreeMap<RecordId, String> = BTreeMap::new();
        let mut left = LOOKED_UP_MAX;
        for detail in details.filter(|detail| !stix::is_stix(&detail.fields)) {
            for record in native::references(&detail.fields) {
                if names.contains_key(&record) || left == 0 {
                    continue;
                }
                left -= 1;
                let found = match reader {
                    Some(reader) => self.seen_record(reader, record)?.map(|(_, detail)| detail),
                    None => self.visible_if_whole(record, &mut Unread::default())?,
                };
                let shown = found.filter(|found| !found.state.hides());
                names.extend(shown.map(|one| (record, native::id(record, one.kind, &one.fields))));
            }
            native::link(&mut detail.fields, &names);
            if let Some(author) = self.agency_identity(detail.origin) {
                detail.fields.entry("created_by_ref").or_insert_with(|| author.into());
            }
        }
        Ok(())
    }

    /// The ids and names of the agencies, as authors.
    pub(super) fn agency_identities(&self) -> Vec<(String, String)> {
        let Ok(coalition) = self.coalition() else { return Vec::new() };
        let named = coalition.members().map(|member| (member.no, member.name.clone()));
        named.filter_map(|(no, name)| Some((self.agency_identity(no)?, name))).collect()
    }

    /// What this device's agency is called as an author, and its name.
    pub(super) fn own_identity(&self) -> Option<(String, String)> {
        let own = self.agency_of(&self.replica.device())?;
        let coalition = self.coalition().ok()?;
        let name = coalition.members().find(|member| member.no == own)?.name.clone();
        Some((self.agency_identity(own)?, name))
    }

    /// What an agency is called as an author: the same at every peer of the coalition, whose id is random.
    fn agency_identity(&self, agency: AgencyNo) -> Option<String> {
        let coalition = self.coalition().ok()?.id();
        let hash = sha256(format!("tearline agency {coalition} {}", agency.0).as_bytes());
        let bytes = std::array::from_fn(|n| hash.get(n).copied().unwrap_or_default());
        Some(format!("identity--{}", stix::uuid(bytes)))
    }
}

/// Most records that are looked up for one piece of work; others have no type.
const LOOKED_UP_MAX: usize = 1_000;
