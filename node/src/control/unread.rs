//! What an answer leaves out because the store is damaged, the rest of it being whole; and how `doctor`
//! names all that is damaged.

use serde::{Deserialize, Serialize};

use super::reply::{Check, CheckStatus};
use super::trust::Device;
use crate::store::{Checked, VALUES_DAMAGED_FIX};

/// What is missing.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Unread {
    /// Records that cannot be read.
    pub records: Vec<UnreadRecord>,
    /// How many there are beside those.
    pub more: u64,
    /// Entries that cannot be read, of which it is not known what they are about.
    pub entries: Vec<UnreadEntries>,
    /// In how many places there are such entries beside those.
    pub more_entries: u64,
    /// Parts of the index that cannot be read; their records are not in the list, and in an export are.
    pub index_parts: u64,
}

/// A record that cannot be read.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct UnreadRecord {
    /// Its id.
    pub record: String,
    /// What is wrong.
    pub reason: String,
}

/// Entries of a log that follow each other and cannot be read.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct UnreadEntries {
    /// The log's device.
    pub device: Device,
    /// Its compartment.
    pub compartment: String,
    /// Its class.
    pub class: String,
    /// The position of the first.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// What is wrong.
    pub reason: String,
}

/// What reading a store through came to: one check of the whole, and one for each damaged value, of the
/// first so many.
pub(crate) fn checks(checked: &Checked) -> Vec<Check> {
    let (values, count) = (checked.values, checked.damaged());
    if count == 0 {
        return vec![Check {
            name: "store".into(),
            status: CheckStatus::Pass,
            message: format!("{values} values, each as it was written"),
            fix: None,
        }];
    }
    let more = match count.saturating_sub(NAMED_MAX as u64) {
        0 => String::new(),
        more => format!(", of which {more} are not named here"),
    };
    let whole = Check {
        name: "store".into(),
        status: CheckStatus::Damaged,
        message: format!("{count} of {} values are damaged{more}", values + count),
        fix: Some(VALUES_DAMAGED_FIX.into()),
    };
    let named = checked.damaged.iter().take(NAMED_MAX).map(|error| Check {
        name: "value".into(),
        status: CheckStatus::Damaged,
        message: error.to_string(),
        fix: None,
    });
    [whole].into_iter().chain(named).collect()
}

/// Most damaged values that `doctor` names.
const NAMED_MAX: usize = 100;
