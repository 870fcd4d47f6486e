//! Places to go on from in a list: the stamp of the last row that was seen, bound to the list and its filters.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tearline_crdt::hash::sha256;

/// A list and the filters that go with it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct List([u8; HASH_BYTES]);

const HASH_BYTES: usize = 16;

impl List {
    /// The list that these words describe.
    pub(super) fn of(words: &str) -> Self {
        let hash = sha256(words.as_bytes());
        Self(std::array::from_fn(|n| hash.get(n).copied().unwrap_or_default()))
    }

    /// What the next page is asked for with.
    pub(super) fn next(self, last_us: u64) -> String {
        URL_SAFE_NO_PAD.encode([&last_us.to_be_bytes()[..], &self.0].concat())
    }

    /// The stamp of a place in this list; `None` if it is none.
    pub(super) fn stamp(self, text: &str) -> Option<u64> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (stamp, list) = bytes.split_first_chunk::<8>()?;
        (list == self.0).then(|| u64::from_be_bytes(*stamp))
    }
}
