//! What people at this peer marked on the board about a record. A mark is this peer's own and is not shared.

use serde::{Deserialize, Serialize};

/// Longest reason, in bytes.
pub(super) const REASON_BYTES_MAX: usize = 200;

/// The mark of a record.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Mark {
    /// Who acknowledged it.
    pub(super) acknowledged_by: String,
    /// Which state of it, in µs of the index: a later one is open again.
    pub(super) acknowledged_us: u64,
    /// Whose it is.
    pub(super) assigned_to: String,
    /// Until when it is put off, in ms, by whom and why.
    pub(super) snoozed_until_ms: u64,
    pub(super) snoozed_by: String,
    pub(super) reason: String,
}

impl Mark {
    /// The mark of these bytes; none where they are none.
    pub(super) fn decode(bytes: Option<&[u8]>) -> Self {
        bytes.and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default()
    }

    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        (*self != Self::default()).then(|| serde_json::to_vec(self).unwrap_or_default())
    }

    /// Whether it is still to be looked at.
    pub(super) fn is_open(&self, stamp_us: u64, now_ms: u64) -> bool {
        self.acknowledged_us < stamp_us && self.snoozed_until_ms <= now_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_since_is_open_again() {
        let mark = Mark { acknowledged_us: 7, ..Mark::default() };
        assert!(!mark.is_open(7, 0) && mark.is_open(8, 0));
        let mark = Mark { snoozed_until_ms: 5, ..Mark::default() };
        assert!(!mark.is_open(7, 4) && mark.is_open(7, 5));
        assert_eq!(Mark::decode(mark.encode().as_deref()), mark);
        assert_eq!(Mark::default().encode(), None);
        assert_eq!(Mark::decode(Some(b"?")), Mark::default());
    }
}
