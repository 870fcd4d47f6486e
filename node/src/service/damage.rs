//! Damage: values of the store that are not what was written. What does not need them goes on: it is
//! durable and as good as before. So damage is named where it was met, and by `status` until the
//! daemon ends.

use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::id::RecordId;
use tearline_crdt::record::shelf::Detail;
use tearline_crdt::store::StoreError;
use tearline_mesh::replica::UnreadEntries;

use super::core::Core;
use super::overview::store_failure;
use crate::control::unread;
use crate::exchange::weight;
use crate::failure::Failure;

/// What an answer leaves out.
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// The records, and why.
    pub(super) records: BTreeMap<RecordId, String>,
    /// Entries of which it is not known what they are about.
    pub(super) entries: Vec<unread::UnreadEntries>,
    /// Parts of the index, whose records may be missing.
    pub(super) blocks: usize,
}

impl Unread {
    /// The same, for the answer.
    pub(super) fn shape(self) -> unread::Unread {
        let Self { records, mut entries, blocks } = self;
        let more = records.len().saturating_sub(RECORDS_NAMED_MAX) as u64;
        let more_entries = entries.len().saturating_sub(ENTRIES_NAMED_MAX) as u64;
        entries.truncate(ENTRIES_NAMED_MAX);
        let records = records.into_iter().take(RECORDS_NAMED_MAX);
        let records = records
            .map(|(record, reason)| unread::UnreadRecord { record: record.to_string(), reason });
        let index_parts = blocks as u64;
        unread::Unread { records: records.collect(), more, entries, more_entries, index_parts }
    }
}

impl Core {
    /// The failure of a store's error; damage is remembered.
    pub(super) fn met(&mut self, error: &StoreError) -> Failure {
        if error.is_damage() && self.damage.len() < VALUES_NAMED_MAX {
            self.damage.insert(error.to_string());
        }
        store_failure(error)
    }

    /// A failure that takes one record out of an answer and not the answer away: damage of a value. It is
    /// remembered; another is the answer.
    pub(super) fn leave_out(
        &mut self,
        record: RecordId,
        error: &StoreError,
        unread: &mut Unread,
    ) -> Result<(), Failure> {
        let failure = self.met(error);
        if !matches!(error, StoreError::Damaged { .. }) {
            return Err(failure);
        }
        unread.records.insert(record, failure.what);
        Ok(())
    }

    /// A record that this device may see, if there is one; one that cannot be read is left out.
    pub(super) fn visible_if_whole(
        &mut self,
        record: RecordId,
        unread: &mut Unread,
    ) -> Result<Option<Detail>, Failure> {
        match self.visible_or_not(record) {
            Ok(detail) => Ok(detail),
            Err(error) => self.leave_out(record, &error, unread).map(|()| None),
        }
    }

    /// Those of many records that this device may see, in their order, until they have so many bytes; those
    /// that cannot be read are left out. Says how many records were looked at.
    pub(super) fn visible_of(
        &mut self,
        records: &[RecordId],
        bytes_max: usize,
        unread: &mut Unread,
    ) -> Result<(Vec<Detail>, usize), Failure> {
        let (mut details, mut damaged) = (Vec::with_capacity(records.len()), Vec::new());
        let (mut looked, mut bytes) = (0, 0);
        self.replica.records(|reader| {
            for record in records {
                if bytes >= bytes_max {
                    break;
                }
                looked += 1;
                match reader.browse(*record) {
                    Ok(Some(detail)) => {
                        bytes += weight(&detail.fields);
                        details.push(detail);
                    }
                    Ok(None) => {}
                    Err(error) => damaged.push((*record, error)),
                }
            }
        });
        for (record, error) in damaged {
            self.leave_out(record, &error, unread)?;
        }
        let own = self.replica.device();
        details.retain(|detail| self.replica.right(detail.compartment, &own).is_some());
        Ok((details, looked))
    }

    /// Entries that cannot be read, for the answer; remembered.
    pub(super) fn unread_entries(&mut self, these: &UnreadEntries) -> unread::UnreadEntries {
        let UnreadEntries { log, seqs, error } = these;
        unread::UnreadEntries {
            device: self.device(&log.device),
            compartment: self.compartment_name(&log.compartment),
            class: log.class.name().into(),
            first: seqs.start,
            count: seqs.end.saturating_sub(seqs.start),
            reason: self.met(error).what,
        }
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
/// Most places with unreadable entries that an answer names.
const ENTRIES_NAMED_MAX: usize = 1_000;
