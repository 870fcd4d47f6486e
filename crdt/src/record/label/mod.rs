//! How a record may be handled. A label is a set of restrictions, and two labels on one record
//! *join*: whoever follows the join follows both. Labels never overwrite one another, so that a
//! concurrent change can only tighten; what loosens is a release, signed by the originator, that
//! cites the statements it lifts.
//!
//! Join is associative, commutative and idempotent (a semilattice: Shapiro et al., "Conflict-free
//! Replicated Data Types", 2011, §2.3), so every replica that holds the same statements shows the
//! same label. Part by part: the more restrictive colour; the union of handling codes, caveats,
//! gradings, legal bases and categories; the purposes that both allow; the earlier date. The top
//! is [`Label::most_restrictive`]: what holds while a record's label is not known.
//!
//! `grading`, `legal_basis` and the categories do not restrict by themselves; they are joined by
//! union because each says something true that a reader needs, and nothing may drop it.

mod binary;
mod text;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use text::ParseLabelError;

use super::day::Day;
use super::vocabulary::{
    AdmiraltyInformation, AdmiraltySource, DataSubject, EuropolInformation, EuropolSource,
    HandlingCode, Pap, Purpose, SpecialCategory, Tlp, Vocabulary as _, parse_word,
};
use crate::id::EntryId;

/// Most legal bases, and most caveats, of one label. A join that would have more is
/// [`Label::most_restrictive`]: a restriction must never be dropped for want of room.
pub const LABEL_TEXTS_MAX: usize = 16;
/// Longest legal basis or caveat, in UTF-8 bytes.
pub const LABEL_TEXT_BYTES_MAX: usize = 80;
/// Most gradings of one label.
pub const LABEL_GRADINGS_MAX: usize = 16;
/// Longest binary label: 2 lists of 16 texts of 81 bytes, 17 bytes of gradings, 6 bytes of colours,
/// parts, codes and list lengths, 4 of purposes, 3 of categories and 8 of dates.
pub const LABEL_BYTES_MAX: usize = 2 * LABEL_TEXTS_MAX * (LABEL_TEXT_BYTES_MAX + 1) + 38;

/// How a record may be handled, by whom it may be seen and for what it may be used.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Label {
    /// The label is not known. Then the other fields are those of [`Label::most_restrictive`].
    #[serde(skip_serializing_if = "is_false")]
    pub unknown: bool,
    /// With whom it may be shared.
    pub tlp: Tlp,
    /// What may be done with it.
    pub pap: Pap,
    /// Europol handling codes.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub handling: BTreeSet<HandlingCode>,
    /// What it may be used for. `None`: anything lawful. The empty set: nothing, by nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purposes: Option<BTreeSet<Purpose>>,
    /// How source and information were graded, by everybody who graded them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub grading: BTreeSet<Grading>,
    /// The instruments under which it is processed, such as `Directive (EU) 2016/680 art. 8`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub legal_basis: BTreeSet<String>,
    /// Whom the data are about.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub categories: BTreeSet<DataSubject>,
    /// Which special categories of data it holds.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub special_categories: BTreeSet<SpecialCategory>,
    /// The day by which somebody must decide whether to keep it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review_by: Option<Day>,
    /// The first day on which it may no longer be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Day>,
    /// Other restrictions in words, such as `REL NE TD` or what an H3 means.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub caveats: BTreeSet<String>,
}

impl Label {
    /// No restriction at all: the identity of [`Label::join`], and the start of a struct literal.
    /// There is no `Default`, so that nothing becomes unrestricted by omission.
    #[must_use]
    pub const fn unrestricted() -> Self {
        Self {
            unknown: false,
            tlp: Tlp::Clear,
            pap: Pap::Clear,
            handling: BTreeSet::new(),
            purposes: None,
            grading: BTreeSet::new(),
            legal_basis: BTreeSet::new(),
            categories: BTreeSet::new(),
            special_categories: BTreeSet::new(),
            review_by: None,
            expires: None,
            caveats: BTreeSet::new(),
        }
    }

    /// The label of what has no known label: named recipients only, no use, every handling code.
    /// It absorbs every other in a join. It has no dates: not knowing a label erases nothing.
    #[must_use]
    pub fn most_restrictive() -> Self {
        Self {
            unknown: true,
            tlp: Tlp::Red,
            pap: Pap::Red,
            handling: HandlingCode::ALL.iter().copied().collect(),
            purposes: Some(BTreeSet::new()),
            ..Self::unrestricted()
        }
    }

    /// The label that is as restrictive as both.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        if self.unknown || other.unknown {
            return Self::most_restrictive();
        }
        let joined = Self {
            unknown: false,
            tlp: self.tlp.max(other.tlp),
            pap: self.pap.max(other.pap),
            handling: &self.handling | &other.handling,
            purposes: match (&self.purposes, &other.purposes) {
                (Some(a), Some(b)) => Some(a & b),
                (some, None) | (None, some) => some.clone(),
            },
            grading: &self.grading | &other.grading,
            legal_basis: &self.legal_basis | &other.legal_basis,
            categories: &self.categories | &other.categories,
            special_categories: &self.special_categories | &other.special_categories,
            review_by: earlier(self.review_by, other.review_by),
            expires: earlier(self.expires, other.expires),
            caveats: &self.caveats | &other.caveats,
        };
        if joined.is_bounded() { joined } else { Self::most_restrictive() }
    }

    /// Whether whoever follows this label also follows `other`.
    #[must_use]
    pub fn is_at_least(&self, other: &Self) -> bool {
        self.join(other) == *self
    }

    /// Whether the label allows a use for this purpose.
    #[must_use]
    pub fn allows(&self, purpose: Purpose) -> bool {
        self.purposes.as_ref().is_none_or(|purposes| purposes.contains(&purpose))
    }

    /// Whether the record may no longer be kept on this day.
    #[must_use]
    pub fn is_expired(&self, today: Day) -> bool {
        self.expires.is_some_and(|day| day <= today)
    }

    /// Whether a review is due on this day.
    #[must_use]
    pub fn is_review_due(&self, today: Day) -> bool {
        self.review_by.is_some_and(|day| day <= today)
    }

    fn is_bounded(&self) -> bool {
        let text_fits = |text: &String| is_label_text(text);
        self.grading.len() <= LABEL_GRADINGS_MAX
            && self.legal_basis.len() <= LABEL_TEXTS_MAX
            && self.caveats.len() <= LABEL_TEXTS_MAX
            && self.legal_basis.iter().all(text_fits)
            && self.caveats.iter().all(text_fits)
    }
}

/// A release by the originator: the statements that it lifts, and the label that replaces them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Release {
    /// The entry that carries it, so that a later release can cite it in turn.
    pub entry: EntryId,
    /// The statements, among them earlier releases, that no longer count.
    pub cites: BTreeSet<EntryId>,
    /// The label that holds in their stead.
    pub label: Label,
}

/// The label that holds for a record: the join of all statements but those that a release cites,
/// and of the releases that no other release cites. [`Label::most_restrictive`] if none is left.
///
/// `statements` are the genesis label and all label statements, by the entry that carries them. A
/// record whose genesis is not there yet has none: its other statements say too little.
/// The caller has checked that each release was signed by the originator; the order is irrelevant.
/// As long as one statement counts, another can only tighten; only a release loosens.
#[must_use]
pub fn effective<'a>(
    statements: impl IntoIterator<Item = (EntryId, &'a Label)>,
    releases: &'a [Release],
) -> Label {
    let cited: BTreeSet<EntryId> =
        releases.iter().flat_map(|release| release.cites.iter().copied()).collect();
    statements
        .into_iter()
        .chain(releases.iter().map(|release| (release.entry, &release.label)))
        .filter(|(entry, _)| !cited.contains(entry))
        .map(|(_, label)| label.clone())
        .reduce(|a, b| a.join(&b))
        .unwrap_or_else(Label::most_restrictive)
}

/// One grading of a source and of what it said, on one of two scales.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Grading {
    /// The Admiralty scale, written `B2`.
    Admiralty(AdmiraltySource, AdmiraltyInformation),
    /// Europol's 4x4, written `4x4:B2`.
    Europol(EuropolSource, EuropolInformation),
}

/// A text that is no grading.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a grading; write A1 to G6 (Admiralty) or 4x4:A1 to 4x4:X4 (Europol)")]
pub struct ParseGradingError;

impl fmt::Display for Grading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admiralty(source, information) => write!(f, "{source}{information}"),
            Self::Europol(source, information) => write!(f, "4x4:{source}{information}"),
        }
    }
}

impl FromStr for Grading {
    type Err = ParseGradingError;

    fn from_str(text: &str) -> Result<Self, ParseGradingError> {
        let (europol, code) = match text.strip_prefix("4x4:") {
            Some(code) => (true, code),
            None => (false, text),
        };
        let (source, information) = code.split_at_checked(1).ok_or(ParseGradingError)?;
        let grading = if europol {
            (parse_word(source).ok())
                .zip(parse_word(information).ok())
                .map(|(source, information)| Self::Europol(source, information))
        } else {
            (parse_word(source).ok())
                .zip(parse_word(information).ok())
                .map(|(source, information)| Self::Admiralty(source, information))
        };
        grading.ok_or(ParseGradingError)
    }
}

impl Serialize for Grading {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Grading {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The JSON form as it is read. A missing colour or an unknown field is refused: what is not
/// understood may be a restriction.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelJson {
    #[serde(default)]
    unknown: bool,
    tlp: Tlp,
    pap: Pap,
    #[serde(default)]
    handling: BTreeSet<HandlingCode>,
    #[serde(default)]
    purposes: Option<BTreeSet<Purpose>>,
    #[serde(default)]
    grading: BTreeSet<Grading>,
    #[serde(default)]
    legal_basis: BTreeSet<String>,
    #[serde(default)]
    categories: BTreeSet<DataSubject>,
    #[serde(default)]
    special_categories: BTreeSet<SpecialCategory>,
    #[serde(default)]
    review_by: Option<Day>,
    #[serde(default)]
    expires: Option<Day>,
    #[serde(default)]
    caveats: BTreeSet<String>,
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = LabelJson::deserialize(deserializer)?;
        if json.unknown {
            return Ok(Self::most_restrictive());
        }
        let label = Self {
            unknown: false,
            tlp: json.tlp,
            pap: json.pap,
            handling: json.handling,
            purposes: json.purposes,
            grading: json.grading,
            legal_basis: json.legal_basis,
            categories: json.categories,
            special_categories: json.special_categories,
            review_by: json.review_by,
            expires: json.expires,
            caveats: json.caveats,
        };
        if label.is_bounded() {
            Ok(label)
        } else {
            Err(serde::de::Error::custom(format_args!(
                "a label has at most {LABEL_GRADINGS_MAX} gradings, {LABEL_TEXTS_MAX} legal bases \
                 and {LABEL_TEXTS_MAX} caveats, each of 1 to {LABEL_TEXT_BYTES_MAX} bytes without \
                 control characters"
            )))
        }
    }
}

/// Whether a text may be a legal basis or a caveat. Characters that turn the direction of the text
/// around them (Unicode UAX #9 §2) are refused: a label must read the same everywhere.
fn is_label_text(text: &str) -> bool {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !text.is_empty()
        && text.len() <= LABEL_TEXT_BYTES_MAX
        && text.trim() == text
        && !text.chars().any(|c| c.is_control() || turns(c))
}

fn earlier(a: Option<Day>, b: Option<Day>) -> Option<Day> {
    a.into_iter().chain(b).min()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

#[cfg(test)]
mod tests;
