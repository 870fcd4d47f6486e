//! Lengths of time as people write them, on the command line and in the settings.

/// Reads a length of time: "90m". Between a second and `max_s`, which is whole days.
pub(crate) fn read(text: &str, max_s: u64) -> Result<u64, String> {
    const FORM: &str = "a number and s, m, h or d, as in 24h";
    let unit = text.char_indices().last().map_or(0, |(at, _)| at);
    let (number, unit) = text.split_at(unit);
    let unit_s = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => DAY_S,
        _ => return Err(FORM.into()),
    };
    let number: u64 = number.parse().map_err(|_| FORM)?;
    match number.checked_mul(unit_s) {
        Some(seconds) if (1..=max_s).contains(&seconds) => Ok(seconds),
        _ => Err(format!("between 1s and {}d", max_s / DAY_S)),
    }
}

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
        for bad in ["", "h", "0s", "24", "1.5h", "-1h", "31d", "99999999999999999999d", "5é"] {
            assert!(read(bad, max_s).is_err(), "{bad}");
        }
    }
}
