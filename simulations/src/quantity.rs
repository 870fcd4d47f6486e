//! Lengths of time, rates and sizes, as people write them: `15 min`, `64 kbit/s`, `2 kB`.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use crate::agenda::Nanos;

/// Nanoseconds in a millisecond.
pub const MILLISECOND: Nanos = 1_000_000;
/// Nanoseconds in a second.
pub const SECOND: Nanos = 1_000_000_000;
/// Nanoseconds in a minute.
pub const MINUTE: Nanos = 60 * SECOND;
/// Nanoseconds in an hour.
pub const HOUR: Nanos = 60 * MINUTE;

/// Longest length of time: ten years, so that no sum of a few overflows.
const LENGTH_MAX: f64 = 3_650.0 * 24.0 * HOUR as f64;

/// A length of time.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Length(pub Nanos);

/// Bits in a second.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate(pub u64);

/// Bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Size(pub u64);

/// A length of time that may lie before.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Offset(pub i64);

/// Kilometres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distance(pub f64);

/// Kilometres in a nanosecond.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed(pub f64);

const LENGTHS: [(&str, f64); 6] = [
    ("ms", 1e6),
    ("s", SECOND as f64),
    ("min", MINUTE as f64),
    ("h", HOUR as f64),
    ("d", 24.0 * HOUR as f64),
    ("ns", 1.0),
];
const RATES: [(&str, f64); 3] = [("bit/s", 1.0), ("kbit/s", 1e3), ("Mbit/s", 1e6)];
const SIZES: [(&str, f64); 3] = [("B", 1.0), ("kB", 1e3), ("MB", 1e6)];
const DISTANCES: [(&str, f64); 3] = [("km", 1.0), ("m", 1e-3), ("nmi", KM_PER_NAUTICAL_MILE)];
const SPEEDS: [(&str, f64); 3] = [
    ("km/h", 1.0 / HOUR as f64),
    ("m/s", 1e-3 / SECOND as f64),
    ("kn", KM_PER_NAUTICAL_MILE / HOUR as f64),
];
const KM_PER_NAUTICAL_MILE: f64 = 1.852;
/// Longest way: once round the earth.
const DISTANCE_KM_MAX: f64 = 40_000.0;
/// What aircraft stay below, in km/h.
const SPEED_MAX: f64 = 3_000.0;

impl Length {
    /// Reads `15 min`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value = parse(text, &LENGTHS)?;
        if value > LENGTH_MAX {
            return Err(format!("{text:?} is longer than ten years"));
        }
        Ok(Self(value as Nanos))
    }
}

impl Offset {
    fn parse(text: &str) -> Result<Self, String> {
        let (sign, length) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest.trim()));
        Ok(Self(sign * Length::parse(length)?.0 as i64))
    }
}

impl Rate {
    /// Reads `64 kbit/s`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value = parse(text, &RATES)?;
        if !(1.0..=1e12).contains(&value) {
            return Err(format!("{text:?} is no rate of a link: from 1 bit/s to 1,000,000 Mbit/s"));
        }
        Ok(Self(value as u64))
    }
}

impl Size {
    fn parse(text: &str) -> Result<Self, String> {
        let value = parse(text, &SIZES)?;
        if value > 32_000.0 {
            return Err(format!("{text:?} is more than a record takes here: at most 32 kB"));
        }
        Ok(Self(value as u64))
    }
}

impl Distance {
    fn parse(text: &str) -> Result<Self, String> {
        let km = parse(text, &DISTANCES)?;
        if km <= 0.0 || km > DISTANCE_KM_MAX {
            return Err(format!("{text:?} is no distance here: above 0 and at most 40000 km"));
        }
        Ok(Self(km))
    }
}

impl Speed {
    fn parse(text: &str) -> Result<Self, String> {
        let speed = parse(text, &SPEEDS)?;
        if speed <= 0.0 || speed * HOUR as f64 > SPEED_MAX {
            return Err(format!("{text:?} is no speed here: above 0 and at most 3000 km/h"));
        }
        Ok(Self(speed))
    }
}

/// A number and its unit.
fn parse(text: &str, units: &[(&str, f64)]) -> Result<f64, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (text.get(..split).unwrap_or(""), text.get(split..).unwrap_or("").trim());
    let factor = units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    match (number.parse::<f64>(), factor) {
        (Ok(number), Some(factor)) => Ok(number * factor),
        _ => {
            let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
            Err(format!("{text:?} is not a number with a unit: {}", names.join(", ")))
        }
    }
}

macro_rules! read_from_text {
    ($($type:ident)*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
            }
        }
    )*};
}
read_from_text!(Length Rate Size Offset Distance Speed);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}", Length(self.0.unsigned_abs()))
    }
}

impl fmt::Display for Length {
    /// In the largest unit that leaves no fraction, so that it reads back as it was.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("h", HOUR), ("min", MINUTE), ("s", SECOND), ("ms", 1_000_000), ("ns", 1)];
        let (name, unit) =
            units.into_iter().find(|(_, unit)| self.0.is_multiple_of(*unit)).unwrap_or(("ns", 1));
        write!(f, "{} {name}", self.0 / unit)
    }
}

impl fmt::Display for Rate {
    /// In the largest unit that leaves at least 1.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0 as f64;
        let units = RATES.iter().rev().find(|(_, unit)| bits >= *unit);
        let (name, unit) = units.copied().unwrap_or(("bit/s", 1.0));
        write!(f, "{} {name}", bits / unit)
    }
}

/// A length of time for people: three digits, in a unit that fits.
#[must_use]
pub fn short(nanos: Nanos) -> String {
    let value = nanos as f64;
    let (name, unit) = match nanos {
        0..SECOND => ("ms", 1e6),
        SECOND..MINUTE => ("s", SECOND as f64),
        MINUTE..HOUR => ("min", MINUTE as f64),
        _ => ("h", HOUR as f64),
    };
    let value = value / unit;
    let digits = if value >= 100.0 { 0 } else { usize::from(value < 10.0) + 1 };
    format!("{value:.digits$} {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_with_their_units() {
        assert_eq!(Length::parse("15 min"), Ok(Length(15 * MINUTE)));
        assert_eq!(Length::parse("1.5h"), Ok(Length(90 * MINUTE)));
        assert_eq!(Rate::parse("2.4 kbit/s"), Ok(Rate(2_400)));
        assert_eq!(Size::parse("300 B"), Ok(Size(300)));
        assert_eq!(Offset::parse("-3 h"), Ok(Offset(-3 * HOUR as i64)));
        for bad in ["", "15", "min", "15 parsecs", "1.2.3 s", "-1 s", "4000 d"] {
            assert!(Length::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Rate(9_600).to_string(), "9.6 kbit/s");
        assert_eq!(Distance::parse("500 m"), Ok(Distance(0.5)));
        let speed = Speed::parse("36 km/h").map(|speed| (speed.0 * SECOND as f64 * 1e5).round());
        assert_eq!(speed, Ok(1_000.0), "ten metres a second");
        assert!(Distance::parse("0 km").is_err() && Speed::parse("4000 km/h").is_err());
        assert!(Rate::parse("0 bit/s").is_err() && Size::parse("1 MB").is_err());
    }

    #[test]
    fn a_length_reads_back_as_it_was_shown() {
        for nanos in [0, 1, 1_500_000, 90 * SECOND, 36 * HOUR, HOUR + 1] {
            assert_eq!(Length::parse(&Length(nanos).to_string()), Ok(Length(nanos)));
        }
        assert_eq!(short(90 * MINUTE), "1.50 h");
        assert_eq!(short(600_000_000), "600 ms");
    }
}
