//! What a pass says, in words: what lists show, documents carry and the register keeps.

use serde::{Deserialize, Serialize};
use tearline_crdt::record::vocabulary::Vocabulary as _;

use super::scope::{Narrowing, Scope};
use super::terms::Terms;

/// A pass's terms. Ids are hex, times RFC 3339.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Summary {
    /// The pass's id.
    pub pass: String,
    /// The device that minted it.
    pub device: String,
    /// For whom.
    pub holder: String,
    /// What for.
    pub purpose: String,
    /// When it was minted.
    pub minted: String,
    /// What it covers.
    #[serde(flatten)]
    pub scope: ScopeSummary,
}

/// What is covered.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ScopeSummary {
    /// "read" or "write".
    pub right: String,
    /// The compartments' ids.
    pub compartments: Vec<String>,
    /// The kinds' names.
    pub kinds: Vec<String>,
    /// The most restrictive TLP colour.
    pub label_max: String,
    /// The operations' names.
    pub operations: Vec<String>,
    /// From when on.
    pub not_before: String,
    /// From when on no more.
    pub not_after: String,
}

/// One narrowing: as [`ScopeSummary`], with what it limits alone.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct NarrowingSummary {
    /// At most this right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub right: Option<String>,
    /// Only these compartments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compartments: Option<Vec<String>>,
    /// Only these kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Vec<String>>,
    /// At most this colour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_max: Option<String>,
    /// Only these operations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operations: Option<Vec<String>>,
    /// Not before this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// Not from this on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
}

impl From<&Terms> for Summary {
    fn from(terms: &Terms) -> Self {
        Self {
            pass: terms.id.to_string(),
            device: terms.device.to_string(),
            holder: terms.holder.clone(),
            purpose: terms.purpose.word().to_owned(),
            minted: terms.minted.to_string(),
            scope: (&terms.scope).into(),
        }
    }
}

impl From<&Scope> for ScopeSummary {
    fn from(scope: &Scope) -> Self {
        Self {
            right: scope.right.name().to_owned(),
            compartments: texts(&scope.compartments, ToString::to_string),
            kinds: texts(&scope.kinds, |kind| kind.name().to_owned()),
            label_max: scope.label_max.word().to_owned(),
            operations: texts(&scope.operations, |operation| operation.name().to_owned()),
            not_before: scope.not_before.to_string(),
            not_after: scope.not_after.to_string(),
        }
    }
}

impl From<&Narrowing> for NarrowingSummary {
    fn from(narrowing: &Narrowing) -> Self {
        let Narrowing { compartments, kinds, operations, .. } = narrowing;
        Self {
            right: narrowing.right.map(|right| right.name().to_owned()),
            compartments: compartments.as_ref().map(|set| texts(set, ToString::to_string)),
            kinds: kinds.as_ref().map(|set| texts(set, |kind| kind.name().to_owned())),
            label_max: narrowing.label_max.map(|label| label.word().to_owned()),
            operations: operations
                .as_ref()
                .map(|set| texts(set, |operation| operation.name().to_owned())),
            not_before: narrowing.not_before.map(|from| from.to_string()),
            not_after: narrowing.not_after.map(|to| to.to_string()),
        }
    }
}

fn texts<'a, T: 'a>(
    items: impl IntoIterator<Item = &'a T>,
    text: impl Fn(&'a T) -> String,
) -> Vec<String> {
    items.into_iter().map(text).collect()
}
