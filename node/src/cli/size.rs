//! Sizes as people write them on the command line.

/// Reads a size: "64MiB".
pub(super) fn read(text: &str) -> Result<u64, String> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let unit_bytes: u64 = match unit {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("a number and KiB, MiB or GiB, as in 64MiB".into()),
    };
    let number: u64 = number.parse().map_err(|_| "a number and KiB, MiB or GiB, as in 64MiB")?;
    number.checked_mul(unit_bytes).ok_or_else(|| "smaller than that".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_nothing_else() {
        let cases = [("64MiB", 64 << 20), ("1KiB", 1 << 10), ("2GiB", 2 << 30), ("0KiB", 0)];
        cases.iter().for_each(|(text, expected)| assert_eq!(read(text), Ok(*expected), "{text}"));
        for bad in ["", "64", "MiB", "64MB", "64 MiB", "-1MiB", "1.5GiB", "99999999999999GiB"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
