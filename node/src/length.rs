//! Lengths of time as people write them, on the command line and in the settings.

/// Reads a length of time: "90m". Between a second and `max_s`, which is whole days.
pub(crate) fn read(text: &str, max_s: u64) -> Result<u64, String> {
    const FORM: &str = "a number and s, m, h or d, as in 24h";
    let unit = text.char_indices().last().map_or(0, |(at, _)| at);
    let (number, unit) = text.split_at(unit);
    let (_, unit_s) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(FORM)?;
    let number: u64 = number.parse().map_err(|_| FORM)?;
    match number.checked_mul(*unit_s) {
        Some(seconds) if (1..=max_s).contains(&seconds) => Ok(seconds),
        _ => Err(format!("between 1s and {}d", max_s / DAY_S)),
    }
}

/// A length of time, exactly, in the largest unit that it is a whole number of.
pub(crate) fn text(seconds: u64) -> String {
    let whole = |(_, unit): &&(&str, u64)| seconds > 0 && seconds.is_multiple_of(*unit);
    let (name, unit) = UNITS.iter().find(whole).unwrap_or(&("s", 1));
    format!("{}{name}", seconds / unit)
}

/// The units, the largest first.
const UNITS: [(&str, u64); 4] = [("d", DAY_S), ("h", 3_600), ("m", 60), ("s", 1)];
/// Seconds of a day.
pub(crate) const DAY_S: u64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_and_bounded() {
        let max_s = 30 * DAY_S;
        for (text, expected) in [("1s", 1), ("90m", 5_400), ("24h", DAY_S), ("30d", max_s)] {
            assert_eq!(read(text, max_s), Ok(expected), "{text}");
        }
        for (seconds, expected) in [(14 * DAY_S, "14d"), (5_400, "90m"), (7_200, "2h"), (61, "61s")]
        {
            assert_eq!(text(seconds), expected);
        }
        for bad in ["", "h", "0s", "24", "1.5h", "-1h", "31d", "99999999999999999999d", "5é"] {
            assert!(read(bad, max_s).is_err(), "{bad}");
        }
    }
}
