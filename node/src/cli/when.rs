//! Times as people type them: a length of time, or a point in time.

use std::time::{SystemTime, UNIX_EPOCH};

use tearline_crdt::time::WallTime;

use crate::length::{DAY_S, read as length};

/// A point in time, or so long from now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum When {
    /// Then.
    At(WallTime),
    /// In so many seconds.
    In(u64),
}

impl When {
    /// Reads "90m", or an RFC 3339 time or date.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some(time) = WallTime::parse(text) {
            return Ok(Self::At(time));
        }
        length(text, LENGTH_S_MAX)
            .map(Self::In)
            .map_err(|why| format!("{why}; or a time, as in 2026-03-01T12:00:00Z"))
    }

    /// The point in time, from `now`.
    pub(super) const fn after(self, now: WallTime) -> WallTime {
        match self {
            Self::At(time) => time,
            Self::In(seconds) => WallTime(now.0.saturating_add(seconds.saturating_mul(1_000))),
        }
    }
}

/// Reads a time in the past: an RFC 3339 time or date; a time of day in UTC, the last one that is
/// over; or so long ago.
pub(super) fn since(text: &str) -> Result<String, String> {
    past(text, now()).map(|at| at.to_string())
}

/// By what it is told what a device wrote before a time.
pub(super) const KEEP_BY: [&str; 2] = ["arrival", "own-dates"];

fn past(text: &str, now: WallTime) -> Result<WallTime, String> {
    if let Some(time) = WallTime::parse(text) {
        return match time <= now {
            true => Ok(time),
            false => Err(format!("that is to come: this machine's clock shows {now}")),
        };
    }
    let day_ms = DAY_S * 1_000;
    if let Some((hours, minutes)) = text.split_once(':')
        && let (Ok(hours), Ok(minutes)) = (hours.parse::<u64>(), minutes.parse::<u64>())
        && hours < 24
        && minutes < 60
    {
        let today = now.0 - now.0 % day_ms + (hours * 60 + minutes) * 60_000;
        return Ok(WallTime(if today > now.0 { today.saturating_sub(day_ms) } else { today }));
    }
    length(text, LENGTH_S_MAX)
        .map(|seconds| WallTime(now.0.saturating_sub(seconds * 1_000)))
        .map_err(|why| format!("{why}; or a time, as in 01:40 or 2026-03-01T12:00:00Z"))
}

/// This machine's clock.
pub(super) fn now() -> WallTime {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
    WallTime(u64::try_from(elapsed).unwrap_or(u64::MAX))
}

/// Longest length of time that is taken where no shorter bound holds: ten years.
const LENGTH_S_MAX: u64 = 3_650 * DAY_S;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_the_past_are_read() {
        let now = WallTime::parse("2026-03-01T12:00:00Z").unwrap();
        for (text, expected) in [
            ("01:40", "2026-03-01T01:40:00.000Z"),
            ("23:59", "2026-02-28T23:59:00.000Z"),
            ("2h", "2026-03-01T10:00:00.000Z"),
            ("2026-02-01T00:00:00Z", "2026-02-01T00:00:00.000Z"),
        ] {
            assert_eq!(past(text, now).unwrap().to_string(), expected, "{text}");
        }
        for bad in ["", "24:00", "1:60", "yesterday", "-2h", "2026-03-01T12:00:00.001Z"] {
            assert!(past(bad, now).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_is_a_length_or_a_point() {
        let now = WallTime(1_000);
        assert_eq!(When::parse("2h").map(|when| when.after(now)), Ok(WallTime(7_201_000)));
        assert_eq!(When::parse("1970-01-02").map(|w| w.after(now)), Ok(WallTime(86_400_000)));
        let longest = LENGTH_S_MAX / DAY_S;
        assert!(When::parse(&format!("{longest}d")).is_ok());
        assert!(When::parse(&format!("{}d", longest + 1)).is_err());
        assert!(When::parse("soon").is_err());
    }
}
