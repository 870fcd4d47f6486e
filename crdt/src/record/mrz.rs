//! The machine-readable zone of travel documents (ICAO Doc 9303, parts 3 to 7): its formats and
//! check digits.
//!
//! A check digit is the sum of the characters' values (0 to 9, A = 10 to Z = 35, `<` = 0) weighted
//! 7, 3, 1 in turn, modulo 10 (part 3, §4.9).

use super::identifier::{check_digit, require};

/// The check digit of a part of a zone; `None` if a character is no part of one.
#[must_use]
pub fn check_digit_of(part: &[u8]) -> Option<u32> {
    let sum = part.iter().zip([7, 3, 1].into_iter().cycle()).try_fold(0, |sum, (&byte, weight)| {
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            b'A'..=b'Z' => byte - b'A' + 10,
            b'<' => 0,
            _ => return None,
        };
        Some(sum + u32::from(value) * weight)
    });
    sum.map(|sum| sum % 10)
}

/// Checks a zone: lines, length, alphabet and every check digit of its format (TD1, TD2, TD3, and
/// visas MRV-A and MRV-B).
pub fn check(lines: &[&str]) -> Result<(), String> {
    const FORM: &str = "a machine-readable zone has 3 lines of 30, or 2 lines of 36 or 44 \
                        characters";
    let alphabet =
        |line: &&str| line.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'Z' | b'<'));
    require(
        lines.iter().all(alphabet),
        "a machine-readable zone holds capital letters, digits and < only",
    )?;
    match lines {
        [first, second, _] if lines.iter().all(|line| line.len() == 30) => {
            check_card(first.as_bytes(), second.as_bytes())
        }
        [first, second] if first.len() == second.len() && matches!(first.len(), 36 | 44) => {
            check_book(second.as_bytes(), first.starts_with('V'))
        }
        _ => Err(FORM.to_owned()),
    }
}

/// TD1 (part 5): three lines of 30.
fn check_card(first: &[u8], second: &[u8]) -> Result<(), String> {
    number(first, 5, 15..30)?;
    digit(second, 0..6, 6, "date of birth")?;
    digit(second, 8..14, 14, "date of expiry")?;
    let composite =
        [span(first, 5..30), span(second, 0..7), span(second, 8..15), span(second, 18..29)]
            .concat();
    matches_digit(&composite, second.get(29), "whole zone")
}

/// TD2 (part 6), TD3 (part 4) and visas (part 7): two lines; what counts is in the second.
fn check_book(line: &[u8], visa: bool) -> Result<(), String> {
    let last = line.len() - 1;
    let passport = last == 43;
    if passport || visa {
        digit(line, 0..9, 9, "document number")?;
    } else {
        number(line, 0, 28..35)?;
    }
    digit(line, 13..19, 19, "date of birth")?;
    digit(line, 21..27, 27, "date of expiry")?;
    if visa {
        return Ok(());
    }
    // The personal number's digit may be a filler when there is no personal number.
    let empty = span(line, 28..42).iter().all(|&b| b == b'<') && line.get(42) == Some(&b'<');
    if passport && !empty {
        digit(line, 28..42, 42, "personal number")?;
    }
    let composite = [span(line, 0..10), span(line, 13..20), span(line, 21..last)].concat();
    matches_digit(&composite, line.get(last), "whole zone")
}

/// A document number of nine characters and its digit; a longer one has a filler in the digit's
/// place and goes on, digit last, in the optional data up to the first filler (part 5, note j).
fn number(line: &[u8], at: usize, optional: std::ops::Range<usize>) -> Result<(), String> {
    const WHAT: &str = "document number";
    let start = span(line, at..at + 9);
    let rest = span(line, optional).split(|&b| b == b'<').next().unwrap_or_default();
    match (line.get(at + 9), rest.split_last()) {
        (Some(b'<'), Some((last, rest))) => {
            matches_digit(&[start, rest].concat(), Some(last), WHAT)
        }
        (digit, _) => matches_digit(start, digit, WHAT),
    }
}

fn digit(line: &[u8], part: std::ops::Range<usize>, at: usize, what: &str) -> Result<(), String> {
    matches_digit(span(line, part), line.get(at), what)
}

fn matches_digit(part: &[u8], digit: Option<&u8>, what: &str) -> Result<(), String> {
    let expected = check_digit_of(part).unwrap_or_default();
    let found = digit.filter(|b| b.is_ascii_digit()).map(|b| u32::from(b - b'0'));
    check_digit(expected, found, what)
}

fn span(line: &[u8], range: std::ops::Range<usize>) -> &[u8] {
    line.get(range).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Specimens of ICAO Doc 9303, parts 4 to 7.
    const PASSPORT: [&str; 2] = [
        "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<",
        "L898902C36UTO7408122F1204159ZE184226B<<<<<10",
    ];
    const CARD: [&str; 3] = [
        "I<UTOD231458907<<<<<<<<<<<<<<<",
        "7408122F1204159UTO<<<<<<<<<<<6",
        "ERIKSSON<<ANNA<MARIA<<<<<<<<<<",
    ];
    const TWO: [&str; 2] =
        ["I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<", "D231458907UTO7408122F1204159<<<<<<<6"];
    const VISA_A: [&str; 2] = [
        "V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<",
        "L8988901C4XXX4009078F96121096ZE184226B<<<<<<",
    ];
    const VISA_B: [&str; 2] =
        ["V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<", "L8988901C4XXX4009078F9612109<<<<<<<<"];

    #[test]
    fn check_digits_of_the_standard() {
        for (part, digit) in [
            ("520727", 3),
            ("AB2134<<<", 5),
            ("HA672242<658022549601086<<<<<<<<<<<<<<0", 8),
            ("L898902C3", 6),
            ("ZE184226B<<<<<", 1),
        ] {
            assert_eq!(check_digit_of(part.as_bytes()), Some(digit), "{part}");
        }
        assert_eq!(check_digit_of(b"a"), None);
    }

    #[test]
    fn specimens_pass_and_any_changed_digit_fails() {
        let specimens: [&[&str]; 5] = [&PASSPORT, &CARD, &TWO, &VISA_A, &VISA_B];
        for lines in specimens {
            assert_eq!(check(lines), Ok(()), "{lines:?}");
        }
        // The birth date, in the line that holds it.
        for (lines, line, at) in
            [(&specimens[0], 1, 13), (&specimens[1], 1, 0), (&specimens[2], 1, 13)]
        {
            let mut changed: Vec<String> = lines.iter().map(|l| (*l).to_owned()).collect();
            changed[line].replace_range(at..=at, "8");
            let changed: Vec<&str> = changed.iter().map(String::as_str).collect();
            assert_eq!(
                check(&changed),
                Err("the check digit of this date of birth should be 9; read all of it again"
                    .to_owned()),
            );
        }
    }

    #[test]
    fn a_long_number_goes_on_in_the_optional_data() {
        // D23145890 + 734, digit 9: the specimen of part 5, note j.
        let lines = [
            "I<UTOD23145890<7349<<<<<<<<<<<",
            "3407127M9507122UTO<<<<<<<<<<<2",
            "STEVENSON<<PETER<JOHN<<<<<<<<<",
        ];
        assert_eq!(check(&lines), Ok(()));
        let wrong = [lines[0].replace("7349", "7359"), lines[1].into(), lines[2].into()];
        assert!(check(&wrong.each_ref().map(String::as_str)).is_err());
    }

    #[test]
    fn other_shapes_are_refused() {
        for bad in [
            &[][..],
            &[""],
            &[PASSPORT[0]],
            &[PASSPORT[0], TWO[1]],
            &["é", "é"],
            &[CARD[0], CARD[1], CARD[2], CARD[2]],
            &[CARD[0], CARD[1]],
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
