//! Files of generated STIX sightings, about 300 bytes each.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

/// How many records the variable `TEARLINE_BENCH_RECORDS` asks for.
pub(crate) fn count(default: u64) -> u64 {
    let asked = std::env::var("TEARLINE_BENCH_RECORDS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(default).max(1)
}

/// A word that only the sighting of this number holds.
pub(crate) fn word(n: u64) -> String {
    format!("k{n}")
}

/// Writes a bundle of so many sightings. Returns how many bytes an object takes on average.
pub(crate) fn write(file: &Path, count: u64) -> io::Result<u64> {
    let mut out = BufWriter::new(File::create(file)?);
    out.write_all(b"{\"type\":\"bundle\",\"id\":\"bundle--00000000-0000-4000-8000-000000000000\",\"objects\":[\n")?;
    for n in 0..count {
        let comma = if n == 0 { "" } else { ",\n" };
        let (id, of) = (uuid(n), uuid(n % 977 + (1 << 40)));
        let (hour, minute, second) = (n / 3_600 % 24, n / 60 % 60, n % 60);
        let day = 1 + n / 86_400 % 28;
        let time = format!("2026-01-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z");
        let what = WHATS.get((n % WHATS.len() as u64) as usize).copied().unwrap_or_default();
        write!(
            out,
            "{comma}{{\"type\":\"sighting\",\"id\":\"sighting--{id}\",\"created\":\"{time}\",\
             \"modified\":\"{time}\",\"first_seen\":\"{time}\",\"count\":{},\
             \"sighting_of_ref\":\"indicator--{of}\",\"summary\":\"{what} near post {} {}\"}}",
            1 + n % 5,
            n % 41,
            word(n),
        )?;
    }
    out.write_all(b"\n]}\n")?;
    let bytes = out.into_inner()?.metadata()?.len();
    Ok(bytes / count)
}

const WHATS: [&str; 5] = [
    "White pickup without plates",
    "Two motorcycles, four riders",
    "Fishing boat without lights",
    "Lorry with covered load",
    "Camel train with jerrycans",
];

/// A version 4 UUID that differs from number to number.
fn uuid(n: u64) -> String {
    let mixed = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (a, b) = (mixed >> 32, mixed >> 16 & 0xffff);
    format!("{a:08x}-{b:04x}-4{:03x}-8{:03x}-{n:012x}", mixed & 0xfff, mixed >> 52)
}
