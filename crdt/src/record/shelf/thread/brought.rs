//! What was *brought*: what the source of a record, a file that was imported, said of it last. Whoever
//! imports a later version of the file compares it with that, and so sees apart what the file changed and
//! what people did.
//!
//! Nothing is kept for it. A record's genesis and what imports changed later say so by their kind, on every
//! peer alike. Of each property the last of them counts that touched it. The last is the one with the highest
//! operation: whatever builds on a change has higher ones, whichever clocks its authors have.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::entry::sealed::EntryKind;
use crate::hash::Digest;
use crate::id::LogId;

use super::{Slot, Thread};

impl Thread {
    /// What was brought last, property by property, in the logs for which `of` says yes. A property that is
    /// not there was never brought, or was taken away by the last import that touched it.
    pub(crate) fn brought(&self, of: &dyn Fn(&LogId) -> bool) -> Map<String, Value> {
        let brings = |slot: &&Slot| {
            let kind = slot.opened.header.kind;
            matches!(kind, EntryKind::GENESIS | EntryKind::BROUGHT)
                && of(&slot.opened.log)
                && self.is_materialised(slot)
        };
        let changes = self.slots.values().filter(brings).filter_map(|slot| slot.change);
        let mut changes: Vec<(u64, Digest)> =
            changes.map(|change| (change.max_op, change.hash)).collect();
        changes.sort_unstable();
        let mut last = BTreeMap::new();
        for (_, change) in changes {
            let fields = self.document.fields_of(&change);
            last.extend(fields.into_iter().map(|field| (field, change)));
        }
        let mut by_change: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
        for (field, change) in last {
            by_change.entry(change).or_default().push(field);
        }
        let mut brought = Map::new();
        for (change, fields) in by_change {
            let mut after = self.document.after(&change).unwrap_or_default();
            let said = fields.into_iter().filter_map(|field| after.remove_entry(&field));
            brought.extend(said);
        }
        brought
    }
}
