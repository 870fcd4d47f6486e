//! The rules of identifiers: lengths, alphabets and check digits. A check digit catches a misread
//! or mistyped character; it proves nothing about the thing.
//!
//! Every rule takes the text as it is kept and answers with the reason to refuse it and what to do.

use super::day::Day;
use crate::time::WallTime;

/// IMO ship number (IMO Resolution A.1117(30)): seven digits, the last is the sum of the others
/// weighted 7 to 2, modulo 10.
pub fn imo(text: &str) -> Result<(), String> {
    let digits = digits(text, 7..=7, "an IMO number has seven digits, such as 9074729")?;
    let sum: u32 = digits.iter().zip((2..=7).rev()).map(|(digit, weight)| digit * weight).sum();
    check_digit(sum % 10, digits.last().copied(), "IMO number")
}

/// Maritime mobile service identity (ITU-R M.585): nine digits, no check digit. A ship's begins with the
/// three digits of its state, which begin with 2 to 7; other stations have digits before that.
pub fn mmsi(text: &str) -> Result<(), String> {
    digits(text, 9..=9, "an MMSI has nine digits")?;
    let state = ["111", "00", "97", "98", "99", "0", "8"]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))
        .unwrap_or(text);
    // Distress beacons (97) have the digits of their maker where others have those of a state.
    require(
        text.starts_with("97") || state.starts_with(|digit| ('2'..='7').contains(&digit)),
        "an MMSI has the three digits of a state, the first from 2 to 7: first, or after 0, 00, 111, 8, 98 or 99",
    )
}

/// Aircraft address (ICAO Annex 10): 24 bits as six hexadecimal digits.
pub fn icao24(text: &str) -> Result<(), String> {
    require(
        text.len() == 6 && text.bytes().all(|b| b.is_ascii_hexdigit()),
        "an aircraft address has six hexadecimal digits, such as 4ca2d6",
    )
}

/// Vehicle identification number (ISO 3779): 17 characters without I, O and Q. Position 9 is a check digit
/// where the first is 1 to 5 (North America, 49 CFR 565.15) or L (China, GB 16735): the sum of the
/// characters' values by their weights, modulo 11, where X is 10.
pub fn vin(text: &str) -> Result<(), String> {
    let allowed =
        |b: u8| (b.is_ascii_uppercase() || b.is_ascii_digit()) && !matches!(b, b'I' | b'O' | b'Q');
    require(
        text.len() == 17 && text.bytes().all(allowed),
        "a VIN has 17 capital letters and digits, never I, O or Q; read 1 and 0 instead",
    )?;
    if !text.starts_with(|maker| matches!(maker, '1'..='5' | 'L')) {
        return Ok(());
    }
    let value = |byte: u8| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        b'A'..=b'I' => u32::from(byte - b'A') + 1,
        b'J'..=b'R' => u32::from(byte - b'J') + 1,
        _ => u32::from(byte - b'S') + 2,
    };
    let weights = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let sum: u32 = text.bytes().zip(weights).map(|(byte, weight)| value(byte) * weight).sum();
    let expected = match sum % 11 {
        10 => 'X',
        digit => char::from_digit(digit, 10).unwrap_or_default(),
    };
    if text.chars().nth(8) == Some(expected) { Ok(()) } else { Err(misread(expected, "VIN")) }
}

/// Container number (ISO 6346): three letters of the owner, U, J or Z, six digits, and the check
/// digit: letters count 10 to 38 without the multiples of 11, weights are powers of two, modulo 11.
pub fn iso_6346(text: &str) -> Result<(), String> {
    const FORM: &str = "a container number has four letters, the last of them U, J or Z, and \
                        seven digits, such as CSQU3054383";
    let bytes = text.as_bytes();
    let (letters, numerals) = bytes.split_at_checked(4).ok_or(FORM)?;
    require(
        bytes.len() == 11
            && letters.iter().all(u8::is_ascii_uppercase)
            && matches!(letters.last(), Some(b'U' | b'J' | b'Z'))
            && numerals.iter().all(u8::is_ascii_digit),
        FORM,
    )?;
    let value = |byte: u8| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        b'A' => 10,
        _ => {
            let from_b = u32::from(byte - b'B');
            12 + from_b + from_b / 10
        }
    };
    let sum: u32 = bytes.iter().take(10).zip(0..).map(|(&b, power)| value(b) << power).sum();
    check_digit(sum % 11 % 10, bytes.last().map(|&b| value(b)), "container number")
}

/// Telephone number (ITU-T E.164): `+`, then at most 15 digits, the first not 0.
pub fn e164(text: &str) -> Result<(), String> {
    let rest = text.strip_prefix('+').unwrap_or_default();
    require(
        (4..=15).contains(&rest.len())
            && rest.bytes().all(|b| b.is_ascii_digit())
            && !rest.starts_with('0'),
        "a telephone number is + and 4 to 15 digits with the country code, such as +22720123456",
    )
}

/// Equipment identity of a phone (3GPP TS 23.003): 15 digits, the last by the Luhn rule.
pub fn imei(text: &str) -> Result<(), String> {
    let digits = digits(text, 15..=15, "an IMEI has fifteen digits")?;
    let sum: u32 = digits
        .iter()
        .take(14)
        .enumerate()
        .map(|(i, &digit)| if i % 2 == 1 { digit * 2 / 10 + digit * 2 % 10 } else { digit })
        .sum();
    check_digit((10 - sum % 10) % 10, digits.last().copied(), "IMEI")
}

/// Subscriber identity (ITU-T E.212): 14 or 15 digits.
pub fn imsi(text: &str) -> Result<(), String> {
    digits(text, 14..=15, "an IMSI has 14 or 15 digits").map(|_| ())
}

/// Country (ISO 3166-1 alpha-2), as STIX writes it.
pub fn country(text: &str) -> Result<(), String> {
    require(
        text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase()),
        "a country is two capital letters (ISO 3166-1 alpha-2), such as NE",
    )
}

/// State as documents and plates write it: up to three letters (ICAO Doc 9303 part 3, with UTO,
/// XXA and the like; distinguishing signs of vehicles in traffic).
pub fn state(text: &str) -> Result<(), String> {
    require(
        (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase()),
        "a state is one to three capital letters as documents or plates write it, such as NER, NE \
         or D",
    )
}

/// Port or place (UN/LOCODE): country, then three letters or digits from 2 to 9.
pub fn un_locode(text: &str) -> Result<(), String> {
    let place = |b: u8| b.is_ascii_uppercase() || (b'2'..=b'9').contains(&b);
    let (land, rest) = text.split_at_checked(2).unwrap_or_default();
    require(
        country(land).is_ok() && rest.len() == 3 && rest.bytes().all(place),
        "a UN/LOCODE has a country and three letters or digits, such as NGLOS",
    )
}

/// Cell of the geohash (G. Niemeyer, 2008): 1 to 12 characters of its base 32; eight are a cell of 38
/// by 19 metres at the equator.
pub fn geohash(text: &str) -> Result<(), String> {
    let digit = |b: u8| b.is_ascii_digit() || b.is_ascii_lowercase() && !b"ailo".contains(&b);
    require(
        (1..=12).contains(&text.len()) && text.bytes().all(digit),
        "a geohash has one to twelve digits and small letters without a, i, l and o, such as s4t2vw1x",
    )
}

/// Script (ISO 15924).
pub fn script(text: &str) -> Result<(), String> {
    let lower = |rest: &[u8]| rest.iter().all(u8::is_ascii_lowercase);
    require(
        matches!(text.as_bytes(), [first, rest @ ..] if first.is_ascii_uppercase()
            && rest.len() == 3 && lower(rest)),
        "a script is four letters (ISO 15924), such as Latn or Arab",
    )
}

/// A time as STIX 2.1 §3.2 writes it: RFC 3339 in UTC.
pub fn time(text: &str) -> Result<(), String> {
    let day = text.get(..10).is_some_and(|day| day.parse::<Day>().is_ok());
    require(
        day && text.as_bytes().get(10) == Some(&b'T')
            && text.ends_with('Z')
            && WallTime::parse(text).is_some(),
        "a time is written in UTC as 2026-05-01T10:00:00Z, not before 1970",
    )
}

/// A date of which parts may be unknown (EDTF level 1, ISO 8601-2): `1980`, `1980-05`,
/// `1980-05-17`, `19XX`, `1980-XX-XX`, and `~` or `?` at the end for approximate or uncertain.
pub fn partial_date(text: &str) -> Result<(), String> {
    const FORM: &str = "a date is YYYY, YYYY-MM or YYYY-MM-DD; write X for each unknown digit, and \
                        ~ or ? after an uncertain date";
    let date = text.strip_suffix(['~', '?']).unwrap_or(text);
    let mut parts = date.split('-');
    let year = parts.next().unwrap_or_default();
    let known = year.bytes().take_while(u8::is_ascii_digit).count();
    require(year.len() == 4 && known >= 2 && year.bytes().skip(known).all(|b| b == b'X'), FORM)?;
    let month = part(parts.next(), 12).ok_or(FORM)?;
    let longest = match (month, year.parse::<u32>()) {
        (Some(4 | 6 | 9 | 11), _) => 30,
        (Some(2), Ok(year)) if year % 4 != 0 || (year % 100 == 0 && year % 400 != 0) => 28,
        (Some(2), _) => 29,
        _ => 31,
    };
    let day =
        part(parts.next(), longest).ok_or("no such day in that month; read the date again")?;
    require(parts.next().is_none() && (day.is_none() || month.is_some()), FORM)
}

/// A STIX identifier (STIX 2.1 §2.9: type, two hyphens, UUID), or a record's id of 32 digits.
pub fn reference(text: &str) -> Result<(), String> {
    const FORM: &str = "a reference is a STIX identifier (type--UUID) or the 32 hexadecimal digits \
                        of a record's id";
    let hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let Some((stix_type, uuid)) = text.split_once("--") else {
        return require(text.len() == 32 && hex(text), FORM);
    };
    let named = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    require(
        (1..=250).contains(&stix_type.len())
            && stix_type.bytes().all(named)
            && uuid.split('-').map(str::len).eq([8, 4, 4, 4, 12])
            && uuid.split('-').all(hex),
        FORM,
    )
}

/// A type of relationship (STIX 2.1 §5.1.1): lower-case words with hyphens, beginning with a
/// letter.
pub fn relationship_type(text: &str) -> Result<(), String> {
    require(
        text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.len() <= 250
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
        "a relationship type has small letters, digits and hyphens only, such as travels-with",
    )
}

/// The two digits of a month or day, or `XX` (`Some(None)`), or nothing (`Some(None)` as well).
fn part(text: Option<&str>, max: u32) -> Option<Option<u32>> {
    match text {
        None | Some("XX") => Some(None),
        Some(text) if text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit()) => {
            text.parse().ok().filter(|number| (1..=max).contains(number)).map(Some)
        }
        Some(_) => None,
    }
}

fn digits(
    text: &str,
    len: std::ops::RangeInclusive<usize>,
    form: &str,
) -> Result<Vec<u32>, String> {
    let fits = len.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if fits {
        Ok(text.bytes().map(|b| u32::from(b - b'0')).collect())
    } else {
        Err(form.to_owned())
    }
}

pub(super) fn check_digit(expected: u32, found: Option<u32>, what: &str) -> Result<(), String> {
    if found == Some(expected) {
        return Ok(());
    }
    Err(misread(expected, what))
}

fn misread(expected: impl std::fmt::Display, what: &str) -> String {
    format!("the check digit of this {what} should be {expected}; read all of it again")
}

pub(super) fn require(holds: bool, form: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(form.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rule: fn(&str) -> Result<(), String>, good: &[&str], bad: &[&str]) {
        for text in good {
            assert_eq!(rule(text), Ok(()), "{text}");
        }
        for text in bad.iter().chain(&["", "é", "\u{661}\u{662}\u{663}", "-", "--", "+"]) {
            assert!(rule(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ships_and_aircraft() {
        table(imo, &["9074729"], &["9074728", "907472", "90747290", "IMO9074729"]);
        table(
            mmsi,
            &["636092297", "003669999", "111232500", "970123456", "982441234", "992351000"],
            &["63609229", "6360922970", "63609229a", "123456789", "000000000"],
        );
        table(icao24, &["4ca2d6", "4CA2D6"], &["4ca2d", "4ca2d6f", "4ca2dg"]);
    }

    #[test]
    fn vehicles_and_containers() {
        table(
            vin,
            &["1M8GDM9AXKP042788", "11111111111111111", "WVWZZZ1JZXW000001", "5GZCZ43D13S812715"],
            &["1M8GDM9AXKP04278", "1M8GDM9AXKPO42788", "1M8GDM9A1KP042788", "LFV3A23C0D3000001"],
        );
        table(
            iso_6346,
            &["CSQU3054383", "BICU1234565", "BICU1234550"],
            &["CSQU3054384", "CSQX3054383", "csqu3054383", "CSQU305438", "CSQU30543833"],
        );
    }

    #[test]
    fn phones() {
        table(e164, &["+22720123456", "+1234", "+123456789012345"], &["22720", "+0123", "+123"]);
        table(e164, &[], &["+1234567890123456", "+227 20"]);
        table(imei, &["490154203237518"], &["490154203237517", "49015420323751"]);
        table(imsi, &["614021234567890"], &["6140212345678", "6140212345678901"]);
    }

    #[test]
    fn places_and_scripts() {
        table(country, &["NE"], &["ne", "NER"]);
        table(state, &["D", "NE", "UTO"], &["NERA", "n"]);
        table(un_locode, &["NGLOS", "NE2AB"], &["NGLO", "NG1OS", "nglos"]);
        table(geohash, &["s", "s4t2vw1x", "0123456789bz"], &["", "s4a", "S4", "s4t2vw1xs4t2v"]);
        table(script, &["Latn", "Arab"], &["latn", "LATN", "Lat"]);
    }

    #[test]
    fn times_and_dates() {
        table(
            time,
            &["2026-05-01T10:00:00Z", "2026-05-01T10:00:00.123Z"],
            &[
                "2026-05-01",
                "2026-02-30T10:00:00Z",
                "2026-05-01T10:00:00+01:00",
                "2026-05-01 10:00",
            ],
        );
        table(
            partial_date,
            &["1980", "1980-05", "1980-05-17", "19XX", "1980-XX-XX", "1980-05-XX", "1980~"],
            &["80", "1980-13", "1981-02-29", "1980-04-31", "X980", "1X80", "1980-XX-17", "1-2-3-4"],
        );
        table(partial_date, &["1980-02-29", "198X?", "2000-02-29"], &["1900-02-29", "1980-5"]);
    }

    #[test]
    fn references() {
        table(
            reference,
            &[
                "vehicle--4f1d2a6e-0c3b-4e55-9b1a-0d6c5b4a3f21",
                "travel-document--4f1d2a6e-0c3b-4e55-9b1a-0d6c5b4a3f21",
                "0123456789abcdef0123456789abcdef",
            ],
            &["vehicle--4f1d2a6e", "--4f1d2a6e-0c3b-4e55-9b1a-0d6c5b4a3f21", "0123456789ABCDEF"],
        );
        table(relationship_type, &["travels-with"], &["Travels", "travels with"]);
    }
}
