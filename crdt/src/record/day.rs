//! A calendar day, for review and expiry dates. A day names no time zone and reads no clock: who
//! asks whether it has passed brings today's date.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::WallTime;

/// A day, as the number of days since 1970-01-01, at most [`Day::MAX`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Day(u32);

/// A text that is not a day of the calendar between 1970 and 9999.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a day; write it as YYYY-MM-DD, between 1970-01-01 and 9999-12-31")]
pub struct ParseDayError;

const MS_PER_DAY: u64 = 86_400_000;

impl Day {
    /// 9999-12-31.
    pub const MAX: Self = Self(2_932_896);

    /// The day with this number of days since 1970-01-01.
    #[must_use]
    pub const fn from_number(days: u32) -> Option<Self> {
        if days <= Self::MAX.0 { Some(Self(days)) } else { None }
    }

    /// Days since 1970-01-01.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The day, in UTC, that a time falls on; [`Day::MAX`] for any later time.
    #[must_use]
    pub fn of(time: WallTime) -> Self {
        u32::try_from(time.0 / MS_PER_DAY).map_or(Self::MAX, |days| Self(days).min(Self::MAX))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = WallTime(u64::from(self.0) * MS_PER_DAY).to_string();
        f.write_str(time.split('T').next().unwrap_or_default())
    }
}

impl FromStr for Day {
    type Err = ParseDayError;

    fn from_str(text: &str) -> Result<Self, ParseDayError> {
        let time = WallTime::parse(text).ok_or(ParseDayError)?;
        let day = Self::of(time);
        // Also refuses what is no bare date, and days that the calendar lacks.
        if day.to_string() == text { Ok(day) } else { Err(ParseDayError) }
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_read_back_and_others_are_refused() {
        for text in ["1970-01-01", "2024-02-29", "2027-01-01", "9999-12-31"] {
            assert_eq!(text.parse::<Day>().unwrap().to_string(), text);
        }
        assert_eq!("9999-12-31".parse(), Ok(Day::MAX));
        for bad in
            ["", "2023-02-29", "2027-1-1", "1969-12-31", "2027-01-01T00:00:00Z", "10000-01-01"]
        {
            assert_eq!(bad.parse::<Day>(), Err(ParseDayError), "{bad}");
        }
        assert_eq!(Day::from_number(Day::MAX.number()), Some(Day::MAX));
        assert_eq!(Day::from_number(Day::MAX.number() + 1), None);
        assert_eq!(Day::of(WallTime(u64::MAX)), Day::MAX);
    }
}
