//! The binary form of a label: what a genesis and a label statement carry.
//!
//! ```text
//! most restrictive:  0
//! any other:         1 + tlp + 5 * pap (1), and 128 if more follows
//!                    || parts (bits) || those present:
//!                       0 count || grading (1)...        ascending
//!                       1 handling (bits)
//!                       2 purposes (bits)
//!                       3 review (day)
//!                       4 expiry (day)
//!                       5 count || legal basis (text)... ascending
//!                       6 count || caveat (text)...      ascending
//!                       7 categories (bits)
//!                       8 special categories (bits)
//! ```
//!
//! Numbers, texts and counts are those of [`crate::codec`]. A set of words is a number whose bit n
//! stands for the word with the wire number n; of the parts only the purposes can be empty. A grading
//! is `scale << 6 | source << 3 | information`, with scale 0 for Admiralty and 1 for Europol.
//!
//! A first byte, word or bit that this version does not know is an error, never skipped: it may
//! be a restriction. Who has to go on with such a label uses [`Label::decode_or_most_restrictive`].

use std::collections::BTreeSet;

use super::{
    Grading, LABEL_GRADINGS_MAX, LABEL_TEXT_BYTES_MAX, LABEL_TEXTS_MAX, Label, is_label_text,
};
use crate::codec::{DecodeError, Reader, Write as _};
use crate::record::day::Day;
use crate::record::vocabulary::Vocabulary;

const MOST_RESTRICTIVE: u8 = 0;
/// Set in the first byte if there is more than colours.
const MORE: u8 = 1 << 7;
const EUROPOL_BIT: u8 = 1 << 6;

impl Label {
    /// The binary form, at most [`super::LABEL_BYTES_MAX`] bytes. A label that was built by hand
    /// with more texts than there may be is written as the most restrictive one.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        if self.unknown || !self.is_bounded() {
            return vec![MOST_RESTRICTIVE];
        }
        let parts = self.parts();
        let present = (0u32..).zip(&parts).filter(|(_, part)| !part.is_empty());
        let bits = present.fold(0, |bits, (part, _)| bits | 1 << part);
        let more = if bits == 0 { 0 } else { MORE };
        let mut out = vec![(1 + self.tlp.number() + COLOURS * self.pap.number()) | more];
        if bits != 0 {
            out.number(bits);
        }
        parts.iter().for_each(|part| out.extend(part));
        out
    }

    /// The parts beside the colours, in their order; nothing where there is none.
    fn parts(&self) -> [Vec<u8>; 9] {
        let number = |number: Option<u64>| {
            let mut out = Vec::new();
            if let Some(number) = number {
                out.number(number);
            }
            out
        };
        let day = |day: Option<Day>| number(day.map(|day| u64::from(day.number())));
        let mut gradings = number(Some(self.grading.len() as u64).filter(|count| *count > 0));
        gradings.extend(self.grading.iter().map(|grading| grading_byte(*grading)));
        [
            gradings,
            number(some_bits(&self.handling)),
            number(self.purposes.as_ref().map(bits)),
            day(self.review_by),
            day(self.expires),
            write_texts(&self.legal_basis),
            write_texts(&self.caveats),
            number(some_bits(&self.categories)),
            number(some_bits(&self.special_categories)),
        ]
    }

    /// Reads what [`Label::encode`] wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.at();
        let first = reader.u8("label's colours")?;
        let Some(colours) = (first & !MORE).checked_sub(1) else {
            return if first == MOST_RESTRICTIVE {
                Ok(Self::most_restrictive())
            } else {
                reader.invalid(at, "label's colours")
            };
        };
        let invalid = DecodeError::Invalid { at, what: "label's colours" };
        let tlp = Vocabulary::from_number(colours % COLOURS).ok_or(invalid)?;
        let pap = Vocabulary::from_number(colours / COLOURS).ok_or(invalid)?;
        let at = reader.at();
        let parts = if first & MORE != 0 { reader.number("label's parts")? } else { 0 };
        if parts >= 1 << PARTS || (first & MORE != 0 && parts == 0) {
            return reader.invalid(at, "label's parts");
        }
        let has = |part: u32| parts >> part & 1 == 1;
        let mut label = Self { tlp, pap, ..Self::unrestricted() };
        if has(0) {
            label.grading = read_gradings(reader)?;
        }
        if has(1) {
            label.handling = read_some_bits(reader, "handling codes")?;
        }
        if has(2) {
            label.purposes = Some(read_bits(reader, "purposes")?);
        }
        if has(3) {
            label.review_by = Some(read_day(reader, "review date")?);
        }
        if has(4) {
            label.expires = Some(read_day(reader, "expiry date")?);
        }
        if has(5) {
            label.legal_basis = read_texts(reader, "legal basis")?;
        }
        if has(6) {
            label.caveats = read_texts(reader, "caveat")?;
        }
        if has(7) {
            label.categories = read_some_bits(reader, "data-subject categories")?;
        }
        if has(8) {
            label.special_categories = read_some_bits(reader, "special categories")?;
        }
        Ok(label)
    }

    /// The label that these bytes are, all of them; the most restrictive one if they are none,
    /// for instance because a later version wrote them.
    #[must_use]
    pub fn decode_or_most_restrictive(bytes: &[u8]) -> Self {
        let mut reader = Reader::new(bytes);
        Self::decode(&mut reader)
            .and_then(|label| reader.finish().map(|()| label))
            .unwrap_or_else(|_| Self::most_restrictive())
    }
}

fn bits<V: Vocabulary>(set: &BTreeSet<V>) -> u64 {
    set.iter().fold(0, |bits, value| bits | 1 << value.number())
}

/// Those of a set that has any.
fn some_bits<V: Vocabulary>(set: &BTreeSet<V>) -> Option<u64> {
    Some(bits(set)).filter(|bits| *bits != 0)
}

fn read_bits<V: Vocabulary>(
    reader: &mut Reader<'_>,
    what: &'static str,
) -> Result<BTreeSet<V>, DecodeError> {
    let at = reader.at();
    let found = reader.number(what)?;
    let set: BTreeSet<V> =
        V::ALL.iter().copied().filter(|value| found >> value.number() & 1 == 1).collect();
    if bits(&set) == found { Ok(set) } else { reader.invalid(at, what) }
}

fn read_some_bits<V: Vocabulary>(
    reader: &mut Reader<'_>,
    what: &'static str,
) -> Result<BTreeSet<V>, DecodeError> {
    let at = reader.at();
    let set = read_bits(reader, what)?;
    if set.is_empty() { reader.invalid(at, what) } else { Ok(set) }
}

/// A count of things of which there are some.
fn read_count(
    reader: &mut Reader<'_>,
    max: usize,
    what: &'static str,
) -> Result<usize, DecodeError> {
    let at = reader.at();
    match reader.count(max, what)? {
        0 => reader.invalid(at, what),
        count => Ok(count),
    }
}

fn grading_byte(grading: Grading) -> u8 {
    match grading {
        Grading::Admiralty(source, information) => source.number() << 3 | information.number(),
        Grading::Europol(source, information) => {
            EUROPOL_BIT | source.number() << 3 | information.number()
        }
    }
}

fn grading_from(byte: u8) -> Option<Grading> {
    let (source, information) = (byte >> 3 & 7, byte & 7);
    match byte >> 6 {
        0 => Some(Grading::Admiralty(
            Vocabulary::from_number(source)?,
            Vocabulary::from_number(information)?,
        )),
        1 => Some(Grading::Europol(
            Vocabulary::from_number(source)?,
            Vocabulary::from_number(information)?,
        )),
        _ => None,
    }
}

fn read_gradings(reader: &mut Reader<'_>) -> Result<BTreeSet<Grading>, DecodeError> {
    const WHAT: &str = "grading";
    let mut set = BTreeSet::new();
    for _ in 0..read_count(reader, LABEL_GRADINGS_MAX, WHAT)? {
        let at = reader.at();
        let grading =
            grading_from(reader.u8(WHAT)?).ok_or(DecodeError::Invalid { at, what: WHAT })?;
        if set.last().is_some_and(|last| *last >= grading) {
            return reader.invalid(at, WHAT);
        }
        set.insert(grading);
    }
    Ok(set)
}

fn write_texts(texts: &BTreeSet<String>) -> Vec<u8> {
    let mut out = Vec::new();
    if !texts.is_empty() {
        out.number(texts.len() as u64);
    }
    for text in texts {
        out.bytes(text.as_bytes());
    }
    out
}

fn read_texts(
    reader: &mut Reader<'_>,
    what: &'static str,
) -> Result<BTreeSet<String>, DecodeError> {
    let mut set: BTreeSet<String> = BTreeSet::new();
    for _ in 0..read_count(reader, LABEL_TEXTS_MAX, what)? {
        let at = reader.at();
        let text = reader.text(LABEL_TEXT_BYTES_MAX, what)?;
        if !is_label_text(text) || set.last().is_some_and(|last| last.as_str() >= text) {
            return reader.invalid(at, what);
        }
        set.insert(text.to_owned());
    }
    Ok(set)
}

fn read_day(reader: &mut Reader<'_>, what: &'static str) -> Result<Day, DecodeError> {
    let at = reader.at();
    let days = reader.number_max(u64::from(Day::MAX.number()), what)?;
    u32::try_from(days).ok().and_then(Day::from_number).ok_or(DecodeError::Invalid { at, what })
}

/// How many TLP colours there are.
const COLOURS: u8 = 5;
/// How many parts there can be beside the colours.
const PARTS: u32 = 9;
