//! The short form of a label, as people read and type it:
//!
//! ```text
//! TLP:AMBER+STRICT PAP:GREEN H2 purpose=BorderOperation,SAR review 2027-01-01
//! ```
//!
//! Words stand in any order, apart by blanks, in any case. `TLP:` is required; without `PAP:` it is
//! PAP:CLEAR, without `purpose=` every purpose. `purpose=none` allows no use. What may occur more
//! than once: `H0`..`H3`, `grade=B2`, `grade=4x4:A1`, `subject=suspect,victim`, `special=health`,
//! `basis="..."`, `caveat="..."`. Dates: `review YYYY-MM-DD`, `expires YYYY-MM-DD`, with a blank or
//! `=`. In double quotes a backslash takes the next character as it is. `UNKNOWN` alone is the
//! most restrictive label.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::{
    LABEL_GRADINGS_MAX, LABEL_TEXT_BYTES_MAX, LABEL_TEXTS_MAX, Label, ParseGradingError,
    is_label_text,
};
use crate::record::day::{Day, ParseDayError};
use crate::record::vocabulary::{HandlingCode, Pap, Tlp, UnknownWord, Vocabulary, parse_word};

const UNKNOWN: &str = "UNKNOWN";
const NO_PURPOSE: &str = "none";

/// Why a text is no label. Nothing was changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParseLabelError {
    /// No TLP colour.
    #[error("a label needs a TLP colour, such as TLP:AMBER")]
    NoTlp,
    /// A part that may occur once occurs twice.
    #[error("{part} is given twice; give it once")]
    Twice {
        /// The part.
        part: &'static str,
    },
    /// A part that no label has.
    #[error(
        "\"{found}\" is no part of a label; parts are TLP:, PAP:, H0 to H3, purpose=, grade=, \
         subject=, special=, basis=, caveat=, review, expires"
    )]
    UnknownPart {
        /// What was found.
        found: String,
    },
    /// A word that the part's vocabulary lacks.
    #[error("\"{found}\": {cause}")]
    UnknownWord {
        /// What was found.
        found: String,
        /// What the vocabulary says.
        cause: UnknownWord,
    },
    /// Not a grading.
    #[error("\"{found}\": {}", ParseGradingError)]
    Grading {
        /// What was found.
        found: String,
    },
    /// Not a day.
    #[error("\"{found}\": {}", ParseDayError)]
    Day {
        /// What was found.
        found: String,
    },
    /// A legal basis or caveat that is empty, too long or holds control characters.
    #[error(
        "\"{found}\": a legal basis or caveat has 1 to {LABEL_TEXT_BYTES_MAX} bytes, no control \
         or direction characters, and no blank at its ends"
    )]
    Text {
        /// What was found.
        found: String,
    },
    /// Too many of one part.
    #[error("a label has at most {max} of {part}")]
    TooMany {
        /// The part.
        part: &'static str,
        /// How many there may be.
        max: usize,
    },
    /// A double quote that nothing closes.
    #[error("a double quote is not closed")]
    OpenQuote,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.unknown {
            return f.write_str(UNKNOWN);
        }
        write!(f, "TLP:{}", self.tlp)?;
        if self.pap != Pap::Clear {
            write!(f, " PAP:{}", self.pap)?;
        }
        for code in &self.handling {
            write!(f, " {code}")?;
        }
        if let Some(purposes) = &self.purposes {
            let listed = if purposes.is_empty() { NO_PURPOSE.to_owned() } else { list(purposes) };
            write!(f, " purpose={listed}")?;
        }
        for grading in &self.grading {
            write!(f, " grade={grading}")?;
        }
        if !self.categories.is_empty() {
            write!(f, " subject={}", list(&self.categories))?;
        }
        if !self.special_categories.is_empty() {
            write!(f, " special={}", list(&self.special_categories))?;
        }
        for text in &self.legal_basis {
            write!(f, " basis={}", Quoted(text))?;
        }
        for text in &self.caveats {
            write!(f, " caveat={}", Quoted(text))?;
        }
        if let Some(day) = self.review_by {
            write!(f, " review {day}")?;
        }
        if let Some(day) = self.expires {
            write!(f, " expires {day}")?;
        }
        Ok(())
    }
}

impl FromStr for Label {
    type Err = ParseLabelError;

    fn from_str(text: &str) -> Result<Self, ParseLabelError> {
        let parts = split(text)?;
        if let [only] = parts.as_slice()
            && only.eq_ignore_ascii_case(UNKNOWN)
        {
            return Ok(Self::most_restrictive());
        }
        let mut label = Self::unrestricted();
        let (mut tlp, mut pap) = (None, None);
        let mut parts = parts.into_iter();
        while let Some(part) = parts.next() {
            let (name, value) = match part.find([':', '=']) {
                Some(at) => (&part[..=at], &part[at + 1..]),
                None => (part.as_str(), ""),
            };
            match name.to_ascii_lowercase().as_str() {
                "tlp:" => once(&mut tlp, word::<Tlp>(value)?, "TLP")?,
                "pap:" => once(&mut pap, word::<Pap>(value)?, "PAP")?,
                "purpose=" => once(&mut label.purposes, purposes(value)?, "purpose")?,
                "grade=" => {
                    let grading = value.parse().map_err(|ParseGradingError| {
                        ParseLabelError::Grading { found: value.to_owned() }
                    })?;
                    add(&mut label.grading, grading, LABEL_GRADINGS_MAX, "gradings")?;
                }
                "subject=" => label.categories.append(&mut words(value)?),
                "special=" => label.special_categories.append(&mut words(value)?),
                "basis=" => {
                    add(&mut label.legal_basis, free_text(value)?, LABEL_TEXTS_MAX, "legal bases")?;
                }
                "caveat=" => {
                    add(&mut label.caveats, free_text(value)?, LABEL_TEXTS_MAX, "caveats")?;
                }
                "review=" => once(&mut label.review_by, day(value)?, "review")?,
                "expires=" => once(&mut label.expires, day(value)?, "expires")?,
                "review" => {
                    let value = parts.next().unwrap_or_default();
                    once(&mut label.review_by, day(&value)?, "review")?;
                }
                "expires" => {
                    let value = parts.next().unwrap_or_default();
                    once(&mut label.expires, day(&value)?, "expires")?;
                }
                _ => match parse_word::<HandlingCode>(&part) {
                    Ok(code) => {
                        label.handling.insert(code);
                    }
                    Err(_) => return Err(ParseLabelError::UnknownPart { found: part }),
                },
            }
        }
        label.tlp = tlp.ok_or(ParseLabelError::NoTlp)?;
        label.pap = pap.unwrap_or(Pap::Clear);
        Ok(label)
    }
}

/// Splits at blanks outside double quotes, and takes the quotes away.
fn split(text: &str) -> Result<Vec<String>, ParseLabelError> {
    let mut parts = Vec::new();
    let mut part: Option<String> = None;
    let mut quoted = false;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                quoted = !quoted;
                part.get_or_insert_default();
            }
            '\\' if quoted => {
                let next = chars.next().ok_or(ParseLabelError::OpenQuote)?;
                part.get_or_insert_default().push(next);
            }
            c if c.is_whitespace() && !quoted => parts.extend(part.take()),
            c => part.get_or_insert_default().push(c),
        }
    }
    if quoted {
        return Err(ParseLabelError::OpenQuote);
    }
    parts.extend(part);
    Ok(parts)
}

fn word<V: Vocabulary>(found: &str) -> Result<V, ParseLabelError> {
    parse_word(found)
        .map_err(|cause| ParseLabelError::UnknownWord { found: found.to_owned(), cause })
}

fn words<V: Vocabulary>(list: &str) -> Result<BTreeSet<V>, ParseLabelError> {
    list.split(',').map(word).collect()
}

fn purposes<V: Vocabulary>(list: &str) -> Result<BTreeSet<V>, ParseLabelError> {
    if list.eq_ignore_ascii_case(NO_PURPOSE) { Ok(BTreeSet::new()) } else { words(list) }
}

fn day(found: &str) -> Result<Day, ParseLabelError> {
    found.parse().map_err(|ParseDayError| ParseLabelError::Day { found: found.to_owned() })
}

fn free_text(found: &str) -> Result<String, ParseLabelError> {
    let found = found.to_owned();
    if is_label_text(&found) { Ok(found) } else { Err(ParseLabelError::Text { found }) }
}

fn once<T>(slot: &mut Option<T>, value: T, part: &'static str) -> Result<(), ParseLabelError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(ParseLabelError::Twice { part }),
    }
}

fn add<T: Ord>(
    set: &mut BTreeSet<T>,
    value: T,
    max: usize,
    part: &'static str,
) -> Result<(), ParseLabelError> {
    set.insert(value);
    if set.len() > max { Err(ParseLabelError::TooMany { part, max }) } else { Ok(()) }
}

fn list<V: Vocabulary>(set: &BTreeSet<V>) -> String {
    set.iter().map(|value| value.word()).collect::<Vec<_>>().join(",")
}

/// A text in double quotes, with backslashes before quotes and backslashes.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            if matches!(c, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        f.write_str("\"")
    }
}
