//! Arguments of requests about records.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Arguments of [`Request::RecordNew`](super::Request::RecordNew).
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RecordNew {
    /// The kind's name: "vehicle".
    pub kind: String,
    /// Where to.
    #[serde(default)]
    pub compartment: Option<String>,
    /// To whom: agencies, instead of `compartment`.
    #[serde(default)]
    pub rel: Vec<String>,
    /// flash, immediate, priority or routine (the default).
    #[serde(default)]
    pub class: Option<String>,
    /// The label, in the text form of labels: "TLP:AMBER". The coalition's default if absent.
    #[serde(default)]
    pub label: Option<String>,
    /// The fields, as the file had them.
    #[serde(default)]
    pub fields: Map<String, Value>,
    /// Fields as text, by path ("plate", `points[0].name`). The kind's schema says what type the text stands for; a list or group
    /// field takes JSON, and a list field takes a plain text as its only item; a field that the
    /// schema does not know is kept as text.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// The machine-readable zone of a travel document, as it was typed or scanned: fills what neither `fields` nor
    /// `set` says.
    #[serde(default)]
    pub mrz: Option<String>,
}

/// Arguments of [`Request::RecordShow`](super::Request::RecordShow).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RecordShow {
    /// Which.
    pub record: String,
}

/// Arguments of [`Request::RecordList`](super::Request::RecordList).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RecordList {
    /// Only of this compartment.
    #[serde(default)]
    pub compartment: Option<String>,
    /// Only of this kind.
    #[serde(default)]
    pub kind: Option<String>,
    /// Most rows; [`PAGE_ROWS_DEFAULT`](super::PAGE_ROWS_DEFAULT) if absent, [`PAGE_ROWS_MAX`](super::PAGE_ROWS_MAX) at most.
    #[serde(default)]
    pub limit: Option<u32>,
    /// Where the last page ended: its [`Rows::next`](super::reply::Rows::next).
    #[serde(default)]
    pub after: Option<String>,
}

/// Arguments of [`Request::RecordEdit`](super::Request::RecordEdit).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RecordEdit {
    /// Which.
    pub record: String,
    /// Fields to set, as in [`RecordNew::set`].
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// Fields to remove, by path.
    #[serde(default)]
    pub unset: Vec<String>,
    /// The change's class; routine if absent.
    #[serde(default)]
    pub class: Option<String>,
}

/// Arguments of [`Request::RecordHistory`](super::Request::RecordHistory).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RecordHistory {
    /// Which.
    pub record: String,
}

/// Arguments of [`Request::RecordResolve`](super::Request::RecordResolve).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RecordResolve {
    /// Which.
    pub record: String,
    /// The field, by path.
    pub field: String,
    /// The number of the value to take: [`Concurrent::no`](super::reply::Concurrent::no).
    pub take: u32,
}
