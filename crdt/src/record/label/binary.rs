//! The binary form of a label: what a genesis and a label statement carry.
//!
//! ```text
//! most restrictive:  0
//! any other:         1 || tlp (1) || pap (1) || handling (bits) || purposes (0, or 1 + bits)
//!                    || count || grading (1)...       ascending
//!                    || count || legal basis (text)... ascending
//!                    || categories (bits) || special categories (bits)
//!                    || review (0, or 1 + day) || expiry (0, or 1 + day)
//!                    || count || caveat (text)...      ascending
//! ```
//!
//! Numbers, texts and counts are those of [`crate::codec`]. A set of words is a number whose bit n
//! stands for the word with the wire number n. A grading is `scale << 6 | source << 3 |
//! information`, with scale 0 for Admiralty and 1 for Europol.
//!
//! A format byte, word or bit that this version does not know is an error, never skipped: it may
//! be a restriction. Who has to go on with such a label uses [`Label::decode_or_most_restrictive`].

use std::collections::BTreeSet;

use super::{
    Grading, LABEL_GRADINGS_MAX, LABEL_TEXT_BYTES_MAX, LABEL_TEXTS_MAX, Label, is_label_text,
};
use crate::codec::{DecodeError, Reader, Write as _};
use crate::record::day::Day;
use crate::record::vocabulary::Vocabulary;

const MOST_RESTRICTIVE: u8 = 0;
const FORMAT: u8 = 1;
const EUROPOL_BIT: u8 = 1 << 6;

impl Label {
    /// The binary form, at most [`super::LABEL_BYTES_MAX`] bytes. A label that was built by hand
    /// with more texts than there may be is written as the most restrictive one.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        if self.unknown || !self.is_bounded() {
            return vec![MOST_RESTRICTIVE];
        }
        let mut out = Vec::new();
        out.raw(&[FORMAT, self.tlp.number(), self.pap.number()]).number(bits(&self.handling));
        out.number(self.purposes.as_ref().map_or(0, |purposes| (bits(purposes) << 1) | 1));
        out.number(self.grading.len() as u64);
        for grading in &self.grading {
            out.raw(&[grading_byte(*grading)]);
        }
        write_texts(&mut out, &self.legal_basis);
        out.number(bits(&self.categories)).number(bits(&self.special_categories));
        for day in [self.review_by, self.expires] {
            out.number(day.map_or(0, |day| u64::from(day.number()) + 1));
        }
        write_texts(&mut out, &self.caveats);
        out
    }

    /// Reads what [`Label::encode`] wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.at();
        match reader.u8("label format")? {
            MOST_RESTRICTIVE => return Ok(Self::most_restrictive()),
            FORMAT => {}
            _ => return reader.invalid(at, "label format"),
        }
        Ok(Self {
            unknown: false,
            tlp: read_word(reader, "TLP colour")?,
            pap: read_word(reader, "PAP colour")?,
            handling: read_bits(reader, 0, "handling codes")?,
            purposes: read_purposes(reader)?,
            grading: read_gradings(reader)?,
            legal_basis: read_texts(reader, "legal basis")?,
            categories: read_bits(reader, 0, "data-subject categories")?,
            special_categories: read_bits(reader, 0, "special categories")?,
            review_by: read_day(reader, "review date")?,
            expires: read_day(reader, "expiry date")?,
            caveats: read_texts(reader, "caveat")?,
        })
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

/// A set of words, above `flags` bits that are not words.
fn read_bits<V: Vocabulary>(
    reader: &mut Reader<'_>,
    flags: u32,
    what: &'static str,
) -> Result<BTreeSet<V>, DecodeError> {
    let at = reader.at();
    let found = reader.number(what)? >> flags;
    let set: BTreeSet<V> =
        V::ALL.iter().copied().filter(|value| found >> value.number() & 1 == 1).collect();
    if bits(&set) == found { Ok(set) } else { reader.invalid(at, what) }
}

fn read_purposes<V: Vocabulary>(
    reader: &mut Reader<'_>,
) -> Result<Option<BTreeSet<V>>, DecodeError> {
    let at = reader.at();
    let found = reader.clone().number("purposes")?;
    let set = read_bits(reader, 1, "purposes")?;
    match (found, found & 1) {
        (0, _) => Ok(None),
        (_, 1) => Ok(Some(set)),
        _ => reader.invalid(at, "purposes"),
    }
}

fn read_word<V: Vocabulary>(reader: &mut Reader<'_>, what: &'static str) -> Result<V, DecodeError> {
    let at = reader.at();
    V::from_number(reader.u8(what)?).ok_or(DecodeError::Invalid { at, what })
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
    for _ in 0..reader.count(LABEL_GRADINGS_MAX, WHAT)? {
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

fn write_texts(out: &mut Vec<u8>, texts: &BTreeSet<String>) {
    out.number(texts.len() as u64);
    for text in texts {
        out.bytes(text.as_bytes());
    }
}

fn read_texts(
    reader: &mut Reader<'_>,
    what: &'static str,
) -> Result<BTreeSet<String>, DecodeError> {
    let mut set: BTreeSet<String> = BTreeSet::new();
    for _ in 0..reader.count(LABEL_TEXTS_MAX, what)? {
        let at = reader.at();
        let text = reader.text(LABEL_TEXT_BYTES_MAX, what)?;
        if !is_label_text(text) || set.last().is_some_and(|last| last.as_str() >= text) {
            return reader.invalid(at, what);
        }
        set.insert(text.to_owned());
    }
    Ok(set)
}

fn read_day(reader: &mut Reader<'_>, what: &'static str) -> Result<Option<Day>, DecodeError> {
    let at = reader.at();
    match reader.number_max(u64::from(Day::MAX.number()) + 1, what)?.checked_sub(1) {
        None => Ok(None),
        Some(days) => u32::try_from(days)
            .ok()
            .and_then(Day::from_number)
            .map(Some)
            .ok_or(DecodeError::Invalid { at, what }),
    }
}
