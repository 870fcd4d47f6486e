//! Texts of few characters, three of them in two bytes: plates and numbers in capitals, cells of the
//! geohash and codes in small letters. An alphabet has 40 characters, and 40³ = 64,000 < 2¹⁶.

use crate::bounds::CHANGE_BYTES_MAX;
use crate::codec::{DecodeError, Reader, Write as _};

/// An alphabet of 40 characters: letters, digits, and four more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Alphabet {
    /// Capitals, digits, space and `-+/`.
    Upper,
    /// Small letters, digits, space and `-._`.
    Lower,
}

impl Alphabet {
    const fn characters(self) -> &'static [u8; SIZE as usize] {
        match self {
            Self::Upper => b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -+/",
            Self::Lower => b"abcdefghijklmnopqrstuvwxyz0123456789 -._",
        }
    }

    fn digit(self, byte: u8) -> Option<u16> {
        let letter = match self {
            Self::Upper => byte.wrapping_sub(b'A'),
            Self::Lower => byte.wrapping_sub(b'a'),
        };
        match byte {
            _ if letter < 26 => Some(u16::from(letter)),
            b'0'..=b'9' => Some(26 + u16::from(byte - b'0')),
            _ => (36..SIZE)
                .zip(self.characters().iter().skip(36))
                .find_map(|(digit, known)| (*known == byte).then_some(digit)),
        }
    }

    fn character(self, digit: u16) -> Option<char> {
        self.characters().get(usize::from(digit)).map(|byte| char::from(*byte))
    }
}

/// `characters (number)`, then two bytes for each three, big-endian, the first the most significant;
/// two for a rest of two, one for a rest of one. False, and nothing is written, if the text has other
/// characters or is not shorter for it.
pub(super) fn write(out: &mut Vec<u8>, text: &str, alphabet: Alphabet) -> bool {
    if text.len() < CHARACTERS_MIN {
        return false;
    }
    let start = out.len();
    out.number(text.len() as u64);
    for group in text.as_bytes().chunks(3) {
        let digits = group.iter().map(|byte| alphabet.digit(*byte));
        let value = digits
            .rev()
            .enumerate()
            .try_fold(0, |value, (power, digit)| Some(value + digit? * SIZE.pow(power as u32)));
        match (value, group.len()) {
            (Some(value), 1) => out.push(value as u8),
            (Some(value), _) => out.extend(value.to_be_bytes()),
            (None, _) => {
                out.truncate(start);
                return false;
            }
        }
    }
    true
}

/// Reads what [`write`] wrote.
pub(super) fn read(
    reader: &mut Reader<'_>,
    alphabet: Alphabet,
    what: &'static str,
) -> Result<String, DecodeError> {
    let at = reader.at();
    let characters = reader.number_max(CHANGE_BYTES_MAX as u64, what)? as usize;
    let bytes = reader.take(characters / 3 * 2 + characters % 3, what)?;
    let mut text = String::with_capacity(characters);
    for (group, packed) in bytes.chunks(2).enumerate() {
        let value = packed.iter().fold(0, |value, byte| value << 8 | u16::from(*byte));
        let length = (characters - group * 3).min(3) as u32;
        for power in (0..length).rev() {
            let digit = value / SIZE.pow(power);
            // Above the first power only the first digit can be too large.
            let digit = if power + 1 == length { digit } else { digit % SIZE };
            let character = alphabet.character(digit);
            text.push(character.ok_or(DecodeError::Invalid { at, what })?);
        }
    }
    Ok(text)
}

const SIZE: u16 = 40;
/// Shorter ones gain nothing.
const CHARACTERS_MIN: usize = 3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_alphabets_have_forty_characters_once() {
        for alphabet in [Alphabet::Upper, Alphabet::Lower] {
            for (digit, byte) in (0..).zip(alphabet.characters()) {
                assert_eq!(alphabet.digit(*byte), Some(digit));
            }
            assert_eq!(alphabet.digit(b'!'), None);
            assert_eq!(alphabet.digit(0x80), None);
        }
        assert_eq!(Alphabet::Upper.digit(b'a'), None);
        assert_eq!(Alphabet::Lower.digit(b'A'), None);
    }

    #[test]
    fn a_plate_has_these_bytes() {
        let mut out = Vec::new();
        assert!(write(&mut out, "CT 1234 A", Alphabet::Upper));
        assert_eq!(out, [9, 0x0f, 0x9c, 0xad, 0x3d, 0xc1, 0x20]);
        for other in ["ct 1234 a", "CT", "CT 1234 Ä", ""] {
            assert!(!write(&mut out, other, Alphabet::Upper), "{other}");
        }
        assert_eq!(out.len(), 7, "what does not fit leaves nothing behind");
        // 64,000 is no group of three, 1,600 none of two, 40 none of one.
        for bad in [&[3, 0xfa, 0x00][..], &[5, 0, 0, 0x06, 0x40], &[4, 0, 0, 40], &[3, 0]] {
            assert!(read(&mut Reader::new(bad), Alphabet::Upper, "text").is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn packed_texts_read_back(upper in "[A-Z0-9 +/-]{3,20}", lower in "[a-z0-9 ._-]{3,20}") {
            for (text, alphabet) in [(upper, Alphabet::Upper), (lower, Alphabet::Lower)] {
                let mut out = Vec::new();
                prop_assert!(write(&mut out, &text, alphabet));
                prop_assert!(out.len() <= text.len());
                let mut reader = Reader::new(&out);
                prop_assert_eq!(read(&mut reader, alphabet, "text"), Ok(text));
                prop_assert_eq!(reader.finish(), Ok(()));
            }
        }
    }
}
