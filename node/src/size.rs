//! Sizes as people write them, on the command line, and as they are written for them.

/// Reads a size in bytes: "20MiB".
pub(crate) fn read(text: &str) -> Result<u64, String> {
    const FORM: &str = "a number and B, KiB, MiB or GiB, as in 20MiB";
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let unit = UNITS.iter().find(|(name, _)| *name == unit).ok_or(FORM)?;
    let number: u64 = number.parse().map_err(|_| FORM)?;
    number.checked_mul(unit.1).ok_or_else(|| "smaller than that".into())
}

/// A size, exactly, in the largest unit that it is a whole number of.
pub(crate) fn text(bytes: u64) -> String {
    let whole = |(_, unit): &&(&str, u64)| bytes > 0 && bytes.is_multiple_of(*unit);
    let (name, unit) = UNITS.iter().find(whole).unwrap_or(&("B", 1));
    format!("{}{name}", bytes / unit)
}

/// A size, to a tenth, in the largest unit that it reaches.
pub(crate) fn near(bytes: u64) -> String {
    match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) if *unit > 1 => format!("{:.1}{name}", bytes as f64 / *unit as f64),
        _ => text(bytes),
    }
}

/// The units, the largest first.
const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written_alike() {
        for (text, bytes) in
            [("0B", 0), ("512B", 512), ("64KiB", 64 << 10), ("20MiB", 20 << 20), ("2GiB", 2 << 30)]
        {
            assert_eq!(read(text), Ok(bytes), "{text}");
            assert_eq!(super::text(bytes), text);
        }
        assert_eq!(text(1_000_000), "1000000B");
        for (bytes, expected) in [
            (0, "0B"),
            (1_023, "1023B"),
            (1_536, "1.5KiB"),
            (1 << 20, "1.0MiB"),
            (5 << 29, "2.5GiB"),
        ] {
            assert_eq!(near(bytes), expected);
        }
        assert_eq!(read("1024KiB").map(text), Ok("1MiB".into()));
        for bad in ["", "64", "MiB", "64MB", "64 MiB", "-1MiB", "1.5GiB", "99999999999999GiB", "5é"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
