//! Operators and the audit log over the control socket.

use serde::{Deserialize, Serialize};

use crate::audit::{Link, Verified};
use crate::operators::Operator;

/// Arguments of `operator add`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorAdd {
    /// Name.
    pub name: String,
    /// Role.
    pub role: String,
    /// The highest colour that is shown to him; RED if absent.
    #[serde(default)]
    pub label_max: Option<String>,
}

/// Arguments of `operator role`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorRole {
    /// Whose.
    pub name: String,
    /// The role; as it is, if absent.
    #[serde(default)]
    pub role: Option<String>,
    /// The highest colour that is shown to him; as it is, if absent.
    #[serde(default)]
    pub label_max: Option<String>,
}

/// An operator. Arguments of `operator reset` and `operator remove`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorNamed {
    /// Name.
    pub name: String,
}

/// Arguments of `audit show`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditShow {
    /// Only of this event.
    pub event: Option<String>,
    /// Only of this operator.
    pub operator: Option<String>,
    /// Only about this record, named in full.
    pub record: Option<String>,
    /// Most entries.
    pub limit: Option<u32>,
    /// Those before this one.
    pub before: Option<u64>,
}

/// Arguments of `audit export`: a page of it, oldest first.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRead {
    /// The first entry.
    pub from: u64,
}

/// `operator list`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Operators {
    /// By name.
    pub operators: Vec<Operator>,
}

/// `operator add` and `operator reset`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct OperatorCode {
    /// The operator.
    pub operator: Operator,
    /// The one-time code with which he sets his passphrase, within a day.
    pub code: String,
    /// Whether this ended the code that the daemon showed at its start, with which the first operator would have
    /// made himself an administrator.
    pub ended_first: bool,
}

/// `audit show` and a page of `audit export`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct AuditPage {
    /// The entries.
    pub entries: Vec<Link>,
    /// Where the next page begins; null after the last.
    pub next: Option<u64>,
}

/// `audit verify`.
pub type AuditVerified = Verified;
