//! Times with six digits after the second, as TAXII has them (TAXII 2.1, section 1.6.5, timestamps).

use tearline_crdt::time::WallTime;

/// RFC 3339 in UTC, to the µs.
pub(crate) fn text(us: u64) -> String {
    let ms = WallTime(us / 1_000).to_string();
    format!("{}{:03}Z", ms.trim_end_matches('Z'), us % 1_000)
}

/// Reads an RFC 3339 time, to the µs; what is finer is left out.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let ms = WallTime::parse(text)?.0;
    let digits = text.split_once('.').map_or("", |(_, fraction)| fraction).bytes();
    let finer = digits.take_while(u8::is_ascii_digit).chain([b'0'; 6]).skip(3).take(3);
    let us = finer.fold(0, |us, digit| us * 10 + u64::from(digit - b'0'));
    ms.checked_mul(1_000)?.checked_add(us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_back() {
        for us in [0, 1, 999_999, 1_700_000_000_123_456] {
            assert_eq!(parse(&text(us)), Some(us));
        }
        assert_eq!(text(1_123_456), "1970-01-01T00:00:01.123456Z");
    }

    #[test]
    fn a_time_may_be_written_otherwise() {
        for (text, us) in [
            ("1970-01-01T00:00:01Z", Some(1_000_000)),
            ("1970-01-01T00:00:01.5Z", Some(1_500_000)),
            ("1970-01-01T00:00:01.0004Z", Some(1_000_400)),
            ("1970-01-01T01:00:01.123456789+01:00", Some(1_123_456)),
            ("1970-01-01", Some(0)),
            ("yesterday", None),
            ("1970-01-01T00:00:01.Z", None),
        ] {
            assert_eq!(parse(text), us, "{text}");
        }
    }
}
