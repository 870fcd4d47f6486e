//! Time as plain numbers. Nothing here reads a clock; drivers do, and pass the reading in.

use std::fmt;

/// Milliseconds on a clock that only runs forward; its zero means nothing. For timers.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MonoTime(pub u64);

impl MonoTime {
    /// This time plus `ms` milliseconds, saturating.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z, as some clock claims. Shown to people and used to sort
/// lists; it decides nothing that replicas must agree on.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct WallTime(pub u64);

/// Both readings of "now", taken together by the driver.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Now {
    /// The driver's monotonic clock.
    pub mono: MonoTime,
    /// The driver's wall clock.
    pub wall: WallTime,
}

impl fmt::Display for WallTime {
    /// RFC 3339 in UTC with milliseconds. Civil-from-days after Howard Hinnant,
    /// "chrono-Compatible Low-Level Date Algorithms".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0 / 86_400_000, self.0 % 86_400_000);
        let z = days + 719_468;
        let era = z / 146_097;
        let doe = z % 146_097;
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + u64::from(month <= 2);
        let (h, m, s, milli) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000);
        if year > 9_999 {
            write!(f, "{}", year / 10_000)?;
        }
        // Times are shown and read by the million; the formatter takes ten times as long.
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let parts =
            [(3, year % 10_000), (6, month), (9, day), (12, h), (15, m), (18, s), (22, milli)];
        for (last, mut value) in parts {
            for digit in text.iter_mut().take(last + 1).rev() {
                if value == 0 {
                    break;
                }
                *digit += (value % 10) as u8;
                value /= 10;
            }
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl WallTime {
    /// Reads an RFC 3339 time (`2024-05-01T10:00:00Z`, a fraction and a numeric offset allowed)
    /// or a bare date. `None` when it is neither, or before 1970. A leap second, which can only be
    /// 23:59:60 UTC, is the second after it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let number = |from: usize, to: usize| -> Option<i64> {
            let part = bytes.get(from..to)?;
            if !part.iter().all(u8::is_ascii_digit) {
                return None;
            }
            std::str::from_utf8(part).ok()?.parse().ok()
        };
        let at = |i: usize, any: &[u8]| bytes.get(i).is_some_and(|b| any.contains(b));
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        if !at(4, b"-") || !at(7, b"-") || !(1..=days_in_month(year, month)).contains(&day) {
            return None;
        }
        let days = days_from_civil(year, month, day);
        if bytes.len() == 10 {
            return u64::try_from(days * 86_400_000).ok().map(Self);
        }
        if !at(10, b"Tt ") || !at(13, b":") || !at(16, b":") {
            return None;
        }
        let (h, m, s) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        if h > 23 || m > 59 || s > 60 {
            return None;
        }
        let mut i = 19;
        let mut milli = 0;
        if at(i, b".") {
            i += 1;
            let start = i;
            while bytes.get(i).is_some_and(u8::is_ascii_digit) {
                if i - start < 3 {
                    milli += i64::from(bytes.get(i)? - b'0') * [100, 10, 1].get(i - start)?;
                }
                i += 1;
            }
            if i == start {
                return None;
            }
        }
        let offset_min = if at(i, b"Zz") && bytes.len() == i + 1 {
            0
        } else if at(i, b"+-") && at(i + 3, b":") && bytes.len() == i + 6 {
            let sign = if at(i, b"-") { -1 } else { 1 };
            let (hours, minutes) = (number(i + 1, i + 3)?, number(i + 4, i + 6)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            sign * (hours * 60 + minutes)
        } else {
            return None;
        };
        let utc_min = (h * 60 + m - offset_min).rem_euclid(24 * 60);
        if s == 60 && utc_min != 24 * 60 - 1 {
            return None;
        }
        let seconds = days * 86_400 + h * 3_600 + m * 60 + s - offset_min * 60;
        u64::try_from(seconds * 1_000 + milli).ok().map(Self)
    }
}

/// In the Gregorian calendar; 0 for a month that there is not.
const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    }
}

/// Days from 1970-01-01 to a civil date (same source as `Display`).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y - era * 400;
    let mp = (month + 9) % 12;
    let doy = (153 * mp + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_back_as_it_was_shown() {
        for ms in [0, 951_782_400_000, 1_709_164_800_123, 4_102_444_799_999] {
            let shown = WallTime(ms).to_string();
            assert_eq!(WallTime::parse(&shown), Some(WallTime(ms)), "{shown}");
        }
        assert_eq!(WallTime(951_782_400_000).to_string(), "2000-02-29T00:00:00.000Z");
    }

    #[test]
    fn offsets_and_dates_are_understood_and_nonsense_is_not() {
        assert_eq!(WallTime::parse("1970-01-01T02:00:00+02:00"), Some(WallTime(0)));
        assert_eq!(WallTime::parse("1970-01-02"), Some(WallTime(86_400_000)));
        assert_eq!(WallTime::parse("1970-01-01T00:00:00-23:59"), Some(WallTime(86_340_000)));
        for good in ["2024-02-29", "2000-02-29", "2024-12-31T23:59:59.999Z", "2024-04-30"] {
            assert!(WallTime::parse(good).is_some(), "{good}");
        }
        let leap = WallTime::parse("2016-12-31T23:59:60Z");
        assert_eq!(leap, WallTime::parse("2017-01-01T00:00:00Z"));
        assert_eq!(leap, WallTime::parse("2017-01-01T01:59:60+02:00"));
        for bad in [
            "",
            "1969-12-31",
            "2024-13-01",
            "2024-01-01T25:00:00Z",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00.Z",
            "é024-01-01",
            "2024-00-01",
            "2024-02-30",
            "2023-02-29",
            "2100-02-29",
            "2024-04-31",
            "2024-01-32",
            "2024-01-00",
            "2024-01-01T00:60:00Z",
            "2024-01-01T00:00:61Z",
            "2024-01-01T00:00:60Z",
            "2024-01-01T00:00:00+24:00",
            "2024-01-01T00:00:00+00:60",
            "1970-01-01T00:00:00+00:01",
        ] {
            assert_eq!(WallTime::parse(bad), None, "{bad}");
        }
    }
}
