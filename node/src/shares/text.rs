//! A share as lines that a person can write down and type: Crockford's base 32 (no I, L, O or U;
//! case does not matter, and I, L and O are read as the digits they look like) in groups of four.
//!
//! ```text
//! 1: 0M3K-4Q7R-9ABC-DEFG  H2JK
//! 2: ...
//! ```
//!
//! A line carries 10 bytes in its first four groups, and in its last 20 bits of SHA-256 over its
//! number and bytes. So a mistyped character is found in its line, and so are lines that were
//! exchanged. Lines that begin with anything but a number and a colon are for people and ignored.

use std::fmt::Write as _;

use tearline_crdt::hash::sha256;
use zeroize::Zeroizing;

/// Bytes that a line carries.
const LINE_BYTES: usize = 10;
/// Most lines of a share.
const LINES_MAX: usize = 32;

/// Why lines do not make a share. Line numbers are those written before the colon.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TextError {
    /// No line begins with a number and a colon.
    #[error("there are no lines of a share in it: they begin with a number and a colon")]
    Empty,
    /// A number is missing, comes twice or is out of turn.
    #[error("line {expected} is missing: what comes in its place is line {found}")]
    Order {
        /// The number that is due.
        expected: usize,
        /// The number that is there.
        found: usize,
    },
    /// More lines than a share has.
    #[error("it has more than {LINES_MAX} lines")]
    TooLong,
    /// A character that is none of the alphabet's.
    #[error("line {line} holds {character:?}, which is not used in shares")]
    Character {
        /// Which line.
        line: usize,
        /// What was found.
        character: char,
    },
    /// Too few or too many characters.
    #[error("line {line} has {found} characters; it takes 20")]
    Length {
        /// Which line.
        line: usize,
        /// How many were found, dashes and spaces not counted.
        found: usize,
    },
    /// The last group does not fit the others.
    #[error("line {line} does not fit its last group: a character in it is wrong")]
    Check {
        /// Which line.
        line: usize,
    },
}

/// Bytes as lines. The last line is filled up with zeros.
pub(super) fn encode(bytes: &[u8]) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(32 * bytes.len().div_ceil(LINE_BYTES)));
    for (number, part) in (1..).zip(bytes.chunks(LINE_BYTES)) {
        let mut carried = Zeroizing::new([0; LINE_BYTES]);
        for (into, byte) in carried.iter_mut().zip(part) {
            *into = *byte;
        }
        let mut line = carried.iter().fold(0_u128, |all, byte| all << 8 | u128::from(*byte));
        line = line << CHECK_BITS | u128::from(check(number, &carried));
        let _ = write!(out, "{number}: ");
        for digit in 0..DIGITS {
            let value = (line >> (5 * (DIGITS - 1 - digit))) as usize & 31;
            out.push(ALPHABET.get(value).copied().map_or('0', char::from));
            out.push_str(match digit {
                15 => "  ",
                3 | 7 | 11 => "-",
                19 => "\n",
                _ => "",
            });
        }
    }
    out
}

/// What lines carry, with what the last one was filled up with.
pub(super) fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, TextError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(LINES_MAX * LINE_BYTES));
    let mut expected = 1;
    for line in text.lines() {
        let Some((number, digits)) = line.trim_start().split_once(':') else { continue };
        let Ok(found) = number.parse::<usize>() else { continue };
        if found != expected {
            return Err(TextError::Order { expected, found });
        }
        if expected > LINES_MAX {
            return Err(TextError::TooLong);
        }
        bytes.extend_from_slice(&*decode_line(found, digits)?);
        expected += 1;
    }
    if bytes.is_empty() { Err(TextError::Empty) } else { Ok(bytes) }
}

fn decode_line(line: usize, text: &str) -> Result<Zeroizing<[u8; LINE_BYTES]>, TextError> {
    let (mut all, mut found) = (Zeroizing::new(0_u128), 0);
    for character in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
        let digit = digit(character).ok_or(TextError::Character { line, character })?;
        found += 1;
        if found <= DIGITS {
            *all = *all << 5 | u128::from(digit);
        }
    }
    if found != DIGITS {
        return Err(TextError::Length { line, found });
    }
    let mut bytes = Zeroizing::new([0; LINE_BYTES]);
    for (place, byte) in bytes.iter_mut().rev().enumerate() {
        *byte = (*all >> (CHECK_BITS + 8 * place)) as u8;
    }
    if u128::from(check(line, &bytes)) != *all & ((1 << CHECK_BITS) - 1) {
        return Err(TextError::Check { line });
    }
    Ok(bytes)
}

/// 20 bits over a line's number and bytes.
fn check(line: usize, bytes: &[u8; LINE_BYTES]) -> u32 {
    let mut hashed = Zeroizing::new(b"tearline/1/share-line\0".to_vec());
    hashed.reserve_exact(8 + LINE_BYTES);
    hashed.extend_from_slice(&(line as u64).to_be_bytes());
    hashed.extend_from_slice(bytes);
    let [a, b, c, ..] = sha256(&hashed);
    u32::from_be_bytes([0, a, b, c]) >> (24 - CHECK_BITS)
}

fn digit(character: char) -> Option<u8> {
    let upper = match character.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let place = ALPHABET.iter().position(|letter| char::from(*letter) == upper)?;
    u8::try_from(place).ok()
}

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const DIGITS: usize = 20;
const CHECK_BITS: usize = 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_read_back_however_they_are_typed() {
        let bytes: Vec<u8> = (1..=25).collect();
        let text = encode(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0].len(), "1: 0000-0000-0000-0000  0000".len());
        let padded = [&bytes[..], &[0; 5]].concat();
        assert_eq!(*decode(&text).unwrap(), padded);
        let typed = format!(
            "Share of X\n\n{}\n",
            text.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l")
        )
        .replace("l: ", "1: ");
        assert_eq!(*decode(&typed).unwrap(), padded, "{typed}");
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        let text = encode(&[7; 30]).to_string();
        let lines: Vec<&str> = text.lines().collect();
        let join = |lines: &[&str]| decode(&lines.join("\n"));
        assert_eq!(decode("nothing\n"), Err(TextError::Empty));
        let missing = TextError::Order { expected: 2, found: 3 };
        assert_eq!(join(&[lines[0], lines[2]]), Err(missing));
        let twice = TextError::Order { expected: 2, found: 1 };
        assert_eq!(join(&[lines[0], lines[0]]), Err(twice));
        let renumbered = lines[1].replace("2:", "3:");
        assert_eq!(join(&[lines[0], lines[1], &renumbered]), Err(TextError::Check { line: 3 }));
        let short = lines[0].strip_suffix(|_: char| true).unwrap();
        assert_eq!(join(&[short]), Err(TextError::Length { line: 1, found: 19 }));
        let long = format!("{}0", lines[0]);
        assert_eq!(join(&[&long]), Err(TextError::Length { line: 1, found: 21 }));
        let strange = format!("{short}!");
        assert_eq!(join(&[&strange]), Err(TextError::Character { line: 1, character: '!' }));
        let most = encode(&[1; LINES_MAX * LINE_BYTES]);
        assert!(decode(&most).is_ok());
        assert_eq!(decode(&encode(&[1; LINES_MAX * LINE_BYTES + 1])), Err(TextError::TooLong));
    }

    proptest! {
        #[test]
        fn any_one_wrong_character_is_found(
            bytes in prop::collection::vec(any::<u8>(), 1..60),
            place in any::<prop::sample::Index>(), other in 0..32_usize,
        ) {
            let text = encode(&bytes).to_string();
            let letters: Vec<usize> = text
                .char_indices()
                .filter(|(at, c)| {
                    let before_colon = text[*at..].chars().take(3).any(|next| next == ':');
                    c.is_ascii_alphanumeric() && !before_colon
                })
                .map(|(at, _)| at)
                .collect();
            let at = letters[place.index(letters.len())];
            let mut changed = text.clone().into_bytes();
            changed[at] = ALPHABET[other];
            let changed = String::from_utf8(changed).unwrap();
            prop_assume!(changed != text);
            let line = text[..at].lines().count();
            prop_assert_eq!(decode(&changed), Err(TextError::Check { line }));
        }
    }
}
