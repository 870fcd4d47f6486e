//! Numbers that would not come out as they went in. A JSON number is kept as a 64-bit integer or as
//! an IEEE 754 double; what is neither would be rounded without a word.

/// Which numbers are positions on the globe, which are measurements and may be rounded: a double
/// holds them to less than a hair's breadth.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Positions {
    /// None.
    Nowhere,
    /// Those below a key `coordinates` (RFC 7946, section 3.1).
    InCoordinates,
    /// All.
    Everywhere,
}

impl Positions {
    /// Which are, in the value of a key.
    pub(super) fn below(self, key: &str) -> Self {
        if self == Self::InCoordinates && key == COORDINATES { Self::Everywhere } else { self }
    }
}

/// The first number in a JSON text that cannot be kept exactly.
pub(super) fn inexact(text: &str, positions: Positions) -> Option<&str> {
    if positions == Positions::Everywhere {
        return None;
    }
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut depth = 0_usize;
    // The depth at which the list of positions lies that is being read.
    let mut exempt: Option<usize> = None;
    let mut awaited = false;
    while let Some(byte) = bytes.get(at) {
        let begun = at;
        at += 1;
        match byte {
            b'"' => {
                at = string_end(bytes, at);
                let word = text.get(begun + 1..at.saturating_sub(1));
                awaited = positions == Positions::InCoordinates && word == Some(COORDINATES);
                continue;
            }
            b':' | b' ' | b'\t' | b'\r' | b'\n' => continue,
            b'[' | b'{' => {
                if awaited && *byte == b'[' && exempt.is_none() {
                    exempt = Some(depth);
                }
                depth += 1;
            }
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                exempt = exempt.filter(|at| depth > *at);
            }
            b'-' | b'0'..=b'9' => {
                let is_part = |b: &u8| matches!(b, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                at += bytes
                    .get(at..)
                    .map_or(0, |rest| rest.iter().take_while(|b| is_part(b)).count());
                let number = text.get(begun..at).unwrap_or_default();
                if exempt.is_none() && !is_exact(number) {
                    return Some(number);
                }
            }
            _ => {}
        }
        awaited = false;
    }
    None
}

/// Where a string ends that began before `at`: behind its closing quote.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Whether a number comes out as it went in, but for how it is written.
pub(super) fn is_exact(number: &str) -> bool {
    if !number.contains(['.', 'e', 'E']) {
        // "-0" is the one whole number that only a double can hold.
        return number == "-0" || number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok();
    }
    let Ok(double) = number.parse::<f64>() else { return false };
    double.is_finite() && Decimal::of(number) == Decimal::of(&format!("{double:e}"))
}

/// What a number's digits say, however they are written: `0.digits * 10^exponent`.
#[derive(Debug, Eq, PartialEq)]
struct Decimal {
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    /// `None` if the exponent is beyond all numbers.
    fn of(number: &str) -> Option<Self> {
        let number = number.trim_start_matches('-');
        let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let leading = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..leading);
        digits.truncate(digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1));
        if digits.is_empty() {
            return Some(Self { digits, exponent: 0 });
        }
        let point = i64::try_from(whole.len()).ok()?.checked_sub(i64::try_from(leading).ok()?)?;
        let exponent = exponent.parse::<i64>().ok()?.checked_add(point)?;
        Some(Self { digits, exponent })
    }
}

/// The key of positions.
const COORDINATES: &str = "coordinates";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_would_be_rounded_is_refused() {
        for kept in [
            "0",
            "-0",
            "-0.0",
            "1.0",
            "1.50",
            "0.1",
            "1e3",
            "1E+3",
            "1.5e300",
            "5e-324",
            "14.566666666666666",
            "18446744073709551615",
            "-9223372036854775808",
            "100000000000000000000.0",
        ] {
            assert!(is_exact(kept), "{kept}");
        }
        for rounded in [
            "18446744073709551616",
            "-9223372036854775809",
            "0.10000000000000000001",
            "1e999",
            "1e-999",
            "14.5666666666666661234",
            "9007199254740993.0",
            "1e99999999999999999999",
        ] {
            assert!(!is_exact(rounded), "{rounded}");
        }
    }

    #[test]
    fn numbers_are_found_wherever_they_stand_and_texts_are_none() {
        let long = "0.12345678901234567890123";
        let texts = [
            (format!("{{\"a\":[1,{long}]}}"), true),
            (format!("{{\"a\":\"{long}\"}}"), false),
            (format!("{{\"{long}\":1}}"), false),
            (format!("{{\"a\":\"\\\"\",\"b\":{long}}}"), true),
            (format!("{{\"coordinates\":[[{long}]],\"b\":1}}"), true),
            (long.to_owned(), true),
            ("-".to_owned(), true),
        ];
        for (text, found) in &texts {
            assert_eq!(inexact(text, Positions::Nowhere).is_some(), *found, "{text}");
        }
    }

    #[test]
    fn positions_may_be_rounded_and_nothing_beside_them() {
        let long = "0.12345678901234567890123";
        let texts = [
            (format!("{{\"coordinates\" : [[{long},1],[2,{long}]],\"b\":1}}"), false),
            (format!("{{\"coordinates\":[[1,2],[3,4]],\"b\":{long}}}"), true),
            (format!("{{\"a\":\"coordinates\",\"b\":[{long}]}}"), true),
            (format!("{{\"coordinates\":{{\"a\":{long}}}}}"), true),
        ];
        for (text, found) in &texts {
            assert_eq!(inexact(text, Positions::InCoordinates).is_some(), *found, "{text}");
        }
        assert_eq!(inexact(long, Positions::InCoordinates.below("coordinates")), None);
    }
}
