//! Damage: values of the store that are not what was written. What does not need them goes on: it is
//! durable and as good as before. So damage is named where it was met, and by `status` until the
//! daemon ends.

use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::id::RecordId;
use tearline_crdt::store::StoreError;

use super::core::Core;
use super::overview::store_failure;
use crate::control::reply;
use crate::failure::Failure;

/// What an answer leaves out.
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// The records, and why.
    pub(super) records: BTreeMap<RecordId, String>,
    /// Parts of the index, whose records may be missing.
    pub(super) blocks: usize,
}

impl Unread {
    /// The same, for the answer.
    pub(super) fn shape(self) -> reply::Unread {
        let more = self.records.len().saturating_sub(RECORDS_NAMED_MAX) as u64;
        let records = self.records.into_iter().take(RECORDS_NAMED_MAX);
        let records = records
            .map(|(record, reason)| reply::UnreadRecord { record: record.to_string(), reason });
        reply::Unread { records: records.collect(), more, index_parts: self.blocks as u64 }
    }
}

impl Core {
    /// The failure of a store's error; damage is remembered.
    pub(super) fn met(&mut self, error: &StoreError) -> Failure {
        if matches!(error, StoreError::Damaged { .. }) && self.damage.len() < VALUES_NAMED_MAX {
            self.damage.insert(error.to_string());
        }
        store_failure(error)
    }

    /// What damage was met since the daemon started.
    pub(super) fn damage_met(&self) -> Option<String> {
        let first = self.damage.first()?;
        Some(match self.damage.len() {
            1 => first.clone(),
            VALUES_NAMED_MAX.. => format!("{first}, and at least {} more", VALUES_NAMED_MAX - 1),
            several => format!("{first}, and {} more", several - 1),
        })
    }
}

/// Values that are remembered as damaged.
pub(super) type Damage = BTreeSet<String>;

/// Most of them.
const VALUES_NAMED_MAX: usize = 1_000;
/// Most records that an answer names as unreadable; of further ones it says how many.
const RECORDS_NAMED_MAX: usize = 10_000;
