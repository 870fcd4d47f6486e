//! Passes over the control socket: arguments and answers.

use serde::{Deserialize, Serialize};

use crate::pass::Summary;

/// Arguments of [`Request::PassMint`](super::Request::PassMint).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PassMint {
    /// For whom.
    pub holder: String,
    /// What for: a purpose of the label vocabulary.
    pub purpose: String,
    /// "read" or "write".
    pub right: String,
    /// The compartments.
    pub compartments: Vec<String>,
    /// The kinds; all if empty.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// The most restrictive TLP colour.
    pub label_max: String,
    /// The operations; all that the right allows if empty.
    #[serde(default)]
    pub operations: Vec<String>,
    /// From when on; now if absent.
    #[serde(default)]
    pub not_before: Option<String>,
    /// From when on no more.
    pub not_after: String,
}

/// Arguments of [`Request::PassCheck`](super::Request::PassCheck).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PassCheck {
    /// The pass's text.
    pub token: String,
    /// The operation.
    pub operation: String,
    /// Where.
    pub compartment: String,
    /// With what kind of record.
    pub kind: String,
    /// The TLP colour of its label; absent if that is not known.
    #[serde(default)]
    pub label: Option<String>,
}

/// Arguments of [`Request::PassRevoke`](super::Request::PassRevoke).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PassRevoke {
    /// The pass's id or a prefix of it, or the text of a pass.
    pub pass: String,
}

/// `pass mint`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct PassMinted {
    /// Its terms.
    #[serde(flatten)]
    pub terms: Summary,
    /// The pass itself: a secret.
    pub token: String,
}

/// `pass list`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Passes {
    /// The public half of the device's pass key.
    pub key: String,
    /// The passes, the latest first.
    pub passes: Vec<PassRow>,
}

/// A pass in a list.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct PassRow {
    /// Its terms.
    #[serde(flatten)]
    pub terms: Summary,
    /// The names of its compartments, in the order of their ids.
    pub compartment_names: Vec<String>,
    /// How it is now.
    pub state: PassState,
}

/// How a pass is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PassState {
    /// It can be used, within what the device may do.
    #[default]
    Valid,
    /// Its time is still to come.
    NotYet,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
    /// It ended with a former life of the device.
    FormerLife,
}

/// `pass revoke`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct PassRevoked {
    /// The pass's id.
    pub pass: String,
    /// The block from which on it is revoked: 0 for the pass and all that was narrowed from it.
    pub block: usize,
    /// Whether it was revoked now. False: it was before.
    pub revoked: bool,
}

/// `pass check`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct PassChecked {
    /// Whether the pass allows it, here and now.
    pub allowed: bool,
    /// Why not, as one word for programs.
    pub reason: Option<String>,
    /// Why not, for people.
    pub detail: Option<String>,
}
