//! The field's standard vocabularies: the words of TLP, PAP, CISE, STIX, ICD-203, Europol's codes
//! and the rest, each as an enum with its source.
//!
//! A word is written exactly as its source writes it. Its number is the wire form where a format
//! needs one (labels); numbers are given here once and never reused. People may type a word in any
//! case; files and the wire carry it exactly.
//!
//! A property of a record holds a [`Term`]: a word of the vocabulary, or any other text that an
//! import brought, kept as it came. What a *native* record may say is narrower and is checked by
//! [`validate`](super::validate::validate).

mod handling;
mod happening;
mod thing;
mod work;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use handling::*;
pub use happening::*;
pub use thing::*;
pub use work::*;

/// A closed list of words.
pub trait Vocabulary: Copy + Eq + Ord + fmt::Debug + 'static {
    /// What one of its words is, for messages: "a TLP colour".
    const WHAT: &'static str;
    /// All words, in the order of the enum.
    const WORDS: &'static [&'static str];
    /// All values, in the same order.
    const ALL: &'static [Self];

    /// The word as its source writes it.
    fn word(self) -> &'static str;

    /// The wire number.
    fn number(self) -> u8;

    /// The value with this wire number.
    #[must_use]
    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.number() == number)
    }

    /// The value whose word is exactly this.
    #[must_use]
    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.word() == word)
    }
}

/// A text that is no word of the vocabulary.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not {what}; one of: {}", words.join(", "))]
pub struct UnknownWord {
    /// What was expected.
    pub what: &'static str,
    /// The words there are.
    pub words: &'static [&'static str],
}

impl UnknownWord {
    /// The refusal of a text as a word of `V`.
    #[must_use]
    pub const fn of<V: Vocabulary>() -> Self {
        Self { what: V::WHAT, words: V::WORDS }
    }
}

/// What a person typed, in any case, as a word of `V`.
pub fn parse_word<V: Vocabulary>(text: &str) -> Result<V, UnknownWord> {
    V::ALL
        .iter()
        .copied()
        .find(|value| value.word().eq_ignore_ascii_case(text))
        .ok_or(UnknownWord::of::<V>())
}

/// A word of the vocabulary, or another text kept as it came.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Term<V> {
    /// A word of the vocabulary.
    Known(V),
    /// Any other text. [`Term::from`] a text never puts a word of the vocabulary here.
    Other(String),
}

impl<V: Vocabulary> Term<V> {
    /// The word of the vocabulary, if it is one.
    #[must_use]
    pub const fn known(&self) -> Option<V> {
        match self {
            Self::Known(value) => Some(*value),
            Self::Other(_) => None,
        }
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Known(value) => value.word(),
            Self::Other(text) => text,
        }
    }
}

impl<V: Vocabulary> From<V> for Term<V> {
    fn from(value: V) -> Self {
        Self::Known(value)
    }
}

impl<V: Vocabulary> From<&str> for Term<V> {
    fn from(text: &str) -> Self {
        V::from_word(text).map_or_else(|| Self::Other(text.to_owned()), Self::Known)
    }
}

impl<V: Vocabulary> Serialize for Term<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text())
    }
}

impl<'de, V: Vocabulary> Deserialize<'de> for Term<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::from(text.as_str()))
    }
}

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident: $what:literal {
        $($(#[$word_doc:meta])* $variant:ident = $number:literal $word:literal,)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$word_doc])* #[doc = concat!("Written `", $word, "`.")] $variant = $number,)+
        }

        impl $crate::record::vocabulary::Vocabulary for $name {
            const WHAT: &'static str = $what;
            const WORDS: &'static [&'static str] = &[$($word),+];
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            fn number(self) -> u8 {
                self as u8
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad($crate::record::vocabulary::Vocabulary::word(*self))
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::record::vocabulary::UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::record::vocabulary::parse_word(text)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str($crate::record::vocabulary::Vocabulary::word(*self))
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                <Self as $crate::record::vocabulary::Vocabulary>::from_word(&text).ok_or_else(|| {
                    serde::de::Error::custom($crate::record::vocabulary::UnknownWord::of::<Self>())
                })
            }
        }
    };
}
use vocabulary;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn check<V: Vocabulary + Serialize + for<'de> Deserialize<'de> + std::str::FromStr>(
        len: usize,
    ) {
        assert_eq!(V::ALL.len(), len, "{}", V::WHAT);
        let numbers: BTreeSet<_> = V::ALL.iter().map(|v| v.number()).collect();
        let words: BTreeSet<_> = V::WORDS.iter().map(|w| w.to_ascii_lowercase()).collect();
        assert_eq!((numbers.len(), words.len()), (len, len), "{}", V::WHAT);
        for &value in V::ALL {
            assert_eq!(V::from_number(value.number()), Some(value));
            assert_eq!(V::from_word(value.word()), Some(value));
            assert_eq!(parse_word::<V>(&value.word().to_uppercase()), Ok(value));
            let json = serde_json::to_value(value).unwrap();
            assert_eq!(json, value.word());
            assert_eq!(serde_json::from_value::<V>(json).unwrap(), value);
            assert_eq!(Term::<V>::from(value.word()), Term::Known(value));
        }
        assert!(V::from_number(255).is_none());
        assert!(serde_json::from_value::<V>("no such word".into()).is_err());
        let other = Term::<V>::from("no such word");
        assert_eq!((other.known(), other.text()), (None, "no such word"));
    }

    #[test]
    fn every_vocabulary_is_as_long_as_its_source_and_reads_back() {
        check::<Tlp>(5);
        check::<Pap>(4);
        check::<HandlingCode>(4);
        check::<Purpose>(24);
        check::<AdmiraltySource>(7);
        check::<AdmiraltyInformation>(6);
        check::<EuropolSource>(4);
        check::<EuropolInformation>(4);
        check::<DataSubject>(6);
        check::<SpecialCategory>(8);
        check::<Precedence>(5);
        check::<Probability>(7);
        check::<Confidence>(3);
        check::<OpinionValue>(5);
        check::<Region>(29);
        check::<IdentityClass>(6);
        check::<IrregularMigration>(12);
        check::<LawInfringement>(45);
        check::<Anomaly>(12);
        check::<Zone>(14);
        check::<Nature>(6);
        check::<CheckKind>(3);
        check::<ActionToTake>(10);
        check::<AlertState>(7);
        check::<NoticeColour>(9);
        check::<RequestState>(15);
        check::<RequestUrgency>(3);
        check::<RefusalReason>(7);
        check::<TaskState>(6);
        check::<CaseState>(4);
        check::<HitState>(7);
        check::<Sex>(3);
        check::<NameKind>(6);
        check::<DocumentStatus>(8);
        check::<Direction>(3);
        check::<UnitStatus>(5);
    }

    #[test]
    fn a_refusal_names_the_words_there_are() {
        let error = "amber-strict".parse::<Tlp>().unwrap_err().to_string();
        assert_eq!(error, "not a TLP colour; one of: CLEAR, GREEN, AMBER, AMBER+STRICT, RED");
    }
}
