//! The machine-readable zone of travel documents (ICAO Doc 9303, parts 3 to 7): its formats, fields and
//! check digits.
//!
//! A check digit is the sum of the characters' values (0 to 9, A = 10 to Z = 35, `<` = 0) weighted
//! 7, 3, 1 in turn, modulo 10 (part 3, §4.9). A zone whose digits fail was misread or altered; it is
//! read all the same, and says which fail.

use std::ops::Range;

use serde_json::{Map, Value, json};

use super::day::Day;
use super::identifier::{check_digit, partial_date, require, state};

/// Longest text that is read as a zone, in bytes: three lines with room for blanks and line ends.
pub const ZONE_TEXT_BYTES_MAX: usize = 1_024;

const FORM: &str = "a machine-readable zone has 3 lines of 30, or 2 lines of 36 or 44 characters";

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
/// visas MRV-A and MRV-B). All digits that fail are named.
pub fn check(lines: &[&str]) -> Result<(), String> {
    let zone = Zone::of(lines)?;
    let failed: Vec<String> = zone.failed().collect();
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

/// A zone of a known format.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Zone {
    lines: Vec<String>,
    layout: &'static Layout,
}

/// Where a field stands: its line, and the characters from and to.
type Place = (usize, Range<usize>);

/// Where the fields of a format stand.
#[derive(Debug, Eq, PartialEq)]
struct Layout {
    names: Place,
    number: Place,
    nationality: Place,
    birth: Place,
    sex: Place,
    expiry: Place,
    optional: Place,
    /// Whether a number of over nine characters goes on in the optional data.
    long_number: bool,
    /// Whether the optional data has a digit, which may be a filler when there is none.
    personal: bool,
    /// What the composite digit covers, in order; the digit is the last of the second line.
    composite: &'static [Place],
}

/// TD1 (part 5): three lines of 30.
const CARD: Layout = Layout {
    names: (2, 0..30),
    number: (0, 5..14),
    nationality: (1, 15..18),
    birth: (1, 0..6),
    sex: (1, 7..8),
    expiry: (1, 8..14),
    optional: (0, 15..30),
    long_number: true,
    personal: false,
    composite: &[(0, 5..30), (1, 0..7), (1, 8..15), (1, 18..29)],
};

/// TD2 (part 6): two lines of 36.
const SMALL: Layout = Layout {
    names: (0, 5..36),
    optional: (1, 28..35),
    long_number: true,
    personal: false,
    composite: &[(1, 0..10), (1, 13..20), (1, 21..35)],
    ..BOOK
};

/// TD3 (part 4): two lines of 44.
const BOOK: Layout = Layout {
    names: (0, 5..44),
    number: (1, 0..9),
    nationality: (1, 10..13),
    birth: (1, 13..19),
    sex: (1, 20..21),
    expiry: (1, 21..27),
    optional: (1, 28..42),
    long_number: false,
    personal: true,
    composite: &[(1, 0..10), (1, 13..20), (1, 21..43)],
};

/// MRV-A and MRV-B (part 7): two lines of 44 or 36, without a composite digit.
const LARGE_VISA: Layout =
    Layout { optional: (1, 28..44), personal: false, composite: &[], ..BOOK };
const SMALL_VISA: Layout = Layout { names: (0, 5..36), optional: (1, 28..36), ..LARGE_VISA };

impl Zone {
    /// Reads a zone as scanners and people give it: small letters, blanks between the characters or for
    /// fillers, quotation marks that were read for fillers, fillers missing at the end of a line, all
    /// lines in one.
    pub fn read(text: &str) -> Result<Self, String> {
        require(text.len() <= ZONE_TEXT_BYTES_MAX, FORM)?;
        let mut lines: Vec<String> = text.lines().map(scanned).filter(|l| !l.is_empty()).collect();
        if let [line] = lines.as_slice() {
            let width = match line.len() {
                90 => 30,
                72 => 36,
                88 => 44,
                _ => return Err(FORM.to_owned()),
            };
            lines = line
                .as_bytes()
                .chunks(width)
                .map(|part| String::from_utf8_lossy(part).into_owned())
                .collect();
        }
        let width = lines.iter().map(String::len).max().unwrap_or_default();
        if WIDTHS.contains(&width) {
            for line in &mut lines {
                line.extend(std::iter::repeat_n('<', width.saturating_sub(line.len())));
            }
        }
        Self::of(&lines.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// A zone of these lines, as the document has them.
    fn of(lines: &[&str]) -> Result<Self, String> {
        let alphabet =
            |line: &&str| line.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'Z' | b'<'));
        require(
            lines.iter().all(alphabet),
            "a machine-readable zone holds capital letters, digits and < only",
        )?;
        let visa = lines.first().is_some_and(|line| line.starts_with('V'));
        let widths: Vec<usize> = lines.iter().map(|line| line.len()).collect();
        let layout = match widths.as_slice() {
            [30, 30, 30] => &CARD,
            [36, 36] if visa => &SMALL_VISA,
            [36, 36] => &SMALL,
            [44, 44] if visa => &LARGE_VISA,
            [44, 44] => &BOOK,
            _ => return Err(FORM.to_owned()),
        };
        Ok(Self { lines: lines.iter().map(|line| (*line).to_owned()).collect(), layout })
    }

    /// Its lines.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// What is wrong, for each check digit that fails.
    pub fn failed(&self) -> impl Iterator<Item = String> {
        let Layout { birth, expiry, optional, .. } = self.layout;
        let number = self.number();
        let mut digits = vec![
            (number.covered, number.digit, "document number"),
            (self.part(birth).into(), self.after(birth), "date of birth"),
            (self.part(expiry).into(), self.after(expiry), "date of expiry"),
        ];
        if self.layout.personal {
            let (part, digit) = (self.part(optional), self.after(optional));
            let empty = part.bytes().all(|b| b == b'<') && digit == Some(b'<');
            if !empty {
                digits.push((part.into(), digit, "personal number"));
            }
        }
        if !self.layout.composite.is_empty() {
            let covered = self.layout.composite.iter().map(|place| self.part(place)).collect();
            let last = self.lines.get(1).and_then(|line| line.bytes().next_back());
            digits.push((covered, last, "whole zone"));
        }
        digits.into_iter().filter_map(|(part, digit, what)| {
            let expected = check_digit_of(part.as_bytes()).unwrap_or_default();
            let found = digit.filter(u8::is_ascii_digit).map(|b| u32::from(b - b'0'));
            check_digit(expected, found, what).err()
        })
    }

    /// What it says, as properties of a travel document, and what of it cannot be read. Years have two
    /// digits: a birth is the last one that is not after `today`, an expiry within 50 years of it.
    #[must_use]
    pub fn properties(&self, today: Day) -> (Map<String, Value>, Vec<String>) {
        let Layout { names, nationality, birth, sex, expiry, .. } = self.layout;
        let mut found = Map::new();
        let mut unread = Vec::new();
        found.insert("mrz_lines".into(), json!(self.lines));
        let mut put = |name: &str, what: &str, text: String, fits: bool, value: Value| {
            if fits {
                found.insert(name.into(), value);
            } else if !text.chars().all(|c| c == '<') {
                unread.push(format!("the {what} {text:?} cannot be read; read the document again"));
            }
        };
        let code = self.part(&(0, 0..2));
        let kind = bare(code);
        put("document_type", "type", code.into(), !kind.is_empty(), json!(kind));
        for (name, what, place, many) in [
            ("issuing_state", "issuing state", &(0, 2..5), false),
            ("nationalities", "nationality", nationality, true),
        ] {
            let text = bare(self.part(place));
            let value = if many { json!([text]) } else { json!(text) };
            put(name, what, self.part(place).into(), state(&text).is_ok(), value);
        }
        let number = bare(&self.number().text);
        put("number", "number", number.clone(), !number.is_empty(), json!(number));
        let born = date(self.part(birth), |year| year <= today_year(today));
        let ends = date(self.part(expiry), |year| year < today_year(today) + 50);
        for (name, what, place, date) in [
            ("date_of_birth", "date of birth", birth, born),
            ("expiry", "date of expiry", expiry, ends),
        ] {
            put(name, what, self.part(place).into(), date.is_some(), json!(date));
        }
        let letter = match self.part(sex) {
            "<" => "X",
            letter => letter,
        };
        let known = matches!(letter, "M" | "F" | "X");
        put("sex", "sex", self.part(sex).into(), known, json!(letter));
        let name = self.part(names);
        let (family, given) = name.split_once("<<").unwrap_or((name, ""));
        let (family, given) = (bare(family), bare(given));
        let full = format!("{family} {given}").trim().to_owned();
        let parts = [("full", full.clone()), ("family", family), ("given", given)];
        let parts = parts.into_iter().filter(|(_, part)| !part.is_empty());
        let mut parts: Map<_, _> = parts.map(|(n, part)| (n.to_owned(), json!(part))).collect();
        parts.insert("script".into(), json!("Latn"));
        put("names", "name", name.into(), !full.is_empty(), json!([parts]));
        (found, unread)
    }

    /// The document's number. One of over nine characters has a filler in the digit's place and goes on,
    /// digit last, in the optional data up to the first filler (part 5, note j).
    fn number(&self) -> Number {
        let Layout { number, optional, long_number, .. } = self.layout;
        let (start, digit) = (self.part(number), self.after(number));
        let rest = self.part(optional).split('<').next().unwrap_or_default();
        match rest.split_at_checked(rest.len().saturating_sub(1)) {
            Some((more, last)) if *long_number && digit == Some(b'<') && !last.is_empty() => {
                let covered = format!("{start}{more}");
                Number { text: covered.clone(), covered, digit: last.bytes().next() }
            }
            _ => Number { text: start.into(), covered: start.into(), digit },
        }
    }

    fn part(&self, (line, range): &Place) -> &str {
        self.lines.get(*line).and_then(|line| line.get(range.clone())).unwrap_or_default()
    }

    /// The character after a field: its check digit.
    fn after(&self, (line, range): &Place) -> Option<u8> {
        self.lines.get(*line).and_then(|line| line.as_bytes().get(range.end).copied())
    }
}

/// Lengths of lines.
const WIDTHS: [usize; 3] = [30, 36, 44];

/// A number, what its digit covers, and the digit.
struct Number {
    text: String,
    covered: String,
    digit: Option<u8>,
}

/// A line of a scan: capitals, and fillers for what is read in their place.
fn scanned(line: &str) -> String {
    let filler = |c: char| match c {
        '\u{ab}' => "<<".to_owned(),
        '\u{2039}' | '\u{3008}' | '\u{ff1c}' => "<".to_owned(),
        c => c.to_ascii_uppercase().to_string(),
    };
    let line: String = line.trim().chars().map(filler).collect();
    let close: String = line.split_whitespace().collect();
    // Where the length fits with the blanks, they were fillers.
    if WIDTHS.contains(&line.len()) && !WIDTHS.contains(&close.len()) {
        return line.chars().map(|c| if c.is_whitespace() { '<' } else { c }).collect();
    }
    close
}

/// A field without its fillers; what stands between words is a blank.
fn bare(part: &str) -> String {
    part.split('<').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn today_year(today: Day) -> u32 {
    today.to_string().get(..4).and_then(|year| year.parse().ok()).unwrap_or_default()
}

/// The date that six characters stand for, as EDTF; in this century if its year may be.
fn date(part: &str, this_century: impl Fn(u32) -> bool) -> Option<String> {
    let pair = |from: usize| part.get(from..from + 2).map(|pair| pair.replace('<', "X"));
    let (year, month, day) = (pair(0)?, pair(2)?, pair(4)?);
    let number: u32 = year.replace('X', "0").parse().ok()?;
    let century = if this_century(2_000 + number) { "20" } else { "19" };
    let date = format!("{century}{year}-{month}-{day}");
    partial_date(&date).is_ok().then_some(date)
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
    /// A nationality that is not stated.
    const VISITOR: &str = "XXX";
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
            let said = check(&changed).unwrap_err();
            let first = "the check digit of this date of birth should be 9; read all of it again";
            assert!(said.starts_with(first), "{said}");
            assert!(said.contains("of this whole zone"), "{said}");
        }
    }

    fn today() -> Day {
        "2026-05-01".parse().unwrap()
    }

    #[test]
    fn a_zone_says_what_the_document_says() {
        let specimens: [&[&str]; 5] = [&PASSPORT, &CARD, &TWO, &VISA_A, &VISA_B];
        let expected = [
            ("P", "L898902C3", "UTO", "1974-08-12", "2012-04-15"),
            ("I", "D23145890", "UTO", "1974-08-12", "2012-04-15"),
            ("I", "D23145890", "UTO", "1974-08-12", "2012-04-15"),
            ("V", "L8988901C", VISITOR, "1940-09-07", "1996-12-10"),
            ("V", "L8988901C", VISITOR, "1940-09-07", "1996-12-10"),
        ];
        for (lines, (kind, number, nationality, birth, expiry)) in specimens.iter().zip(expected) {
            let zone = Zone::read(&lines.join("\n")).unwrap();
            let (found, unread) = zone.properties(today());
            assert_eq!(unread, [""; 0], "{lines:?}");
            let expected = json!({
                "mrz_lines": lines, "document_type": kind, "issuing_state": "UTO", "number": number,
                "nationalities": [nationality], "date_of_birth": birth, "expiry": expiry, "sex": "F",
                "names": [{ "full": "ERIKSSON ANNA MARIA", "family": "ERIKSSON",
                    "given": "ANNA MARIA", "script": "Latn" }],
            });
            assert_eq!(Value::Object(found), expected);
        }
    }

    #[test]
    fn a_scan_is_read_whatever_stands_for_fillers() {
        let zone = Zone::read(&PASSPORT.join("\n")).unwrap();
        let scans = [
            PASSPORT.concat(),
            format!("  {}\r\n\n{}  ", PASSPORT[0].to_lowercase(), PASSPORT[1]),
            format!("{}\n{}", PASSPORT[0].replace("<<", "\u{ab}"), PASSPORT[1]),
            format!("{}\n{}", PASSPORT[0].trim_end_matches('<'), PASSPORT[1]),
            format!("{}\n{}", PASSPORT[0], PASSPORT[1].replace('<', " ")),
            PASSPORT.map(|line| line.replace("O", "O ")).join("\n"),
        ];
        for scan in scans {
            assert_eq!(Zone::read(&scan).as_ref(), Ok(&zone), "{scan}");
        }
        let misread = PASSPORT.join("\n").replace("UTO7408122F", "UT07A0X122Q");
        let (found, unread) = Zone::read(&misread).unwrap().properties(today());
        assert_eq!(found["number"], "L898902C3");
        for field in ["nationalities", "date_of_birth", "sex"] {
            assert!(!found.contains_key(field), "{field}");
        }
        assert_eq!(unread.len(), 3, "{unread:?}");
        for text in ["", "\n", "ABC", &"<".repeat(2_000), &"é".repeat(44), &"<".repeat(89)] {
            assert!(Zone::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn years_of_two_digits_are_those_that_can_be() {
        let read = |birth: &str, expiry: &str| {
            let line = format!("L898902C36UTO{birth}2F{expiry}9ZE184226B<<<<<10");
            let (found, _) =
                Zone::read(&format!("{}\n{line}", PASSPORT[0])).unwrap().properties(today());
            [found["date_of_birth"].clone(), found["expiry"].clone()]
        };
        assert_eq!(read("260101", "750101"), ["2026-01-01", "2075-01-01"]);
        assert_eq!(read("270101", "760101"), ["1927-01-01", "1976-01-01"]);
        assert_eq!(read("80<<<<", "8005<<"), ["1980-XX-XX", "1980-05-XX"]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_a_reading_panic(text in "[A-Z0-9< \n\u{ab}é]{0,140}", day in 0_u32..3_000_000) {
            if let Ok(zone) = Zone::read(&text) {
                let _ = zone.failed().count();
                let _ = zone.properties(Day::from_number(day).unwrap_or(Day::MAX));
            }
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
