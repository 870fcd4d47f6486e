//! Coordinates as people write them: decimal degrees, degrees and minutes, degrees, minutes and seconds, and
//! MGRS (NGA.STND.0037, the grid of military maps), all WGS 84.

/// Latitude and longitude in degrees.
pub(super) type Place = (f64, f64);

/// Longest text that is read.
const TEXT_BYTES_MAX: usize = 100;

/// Reads a place in any common notation: `13.31, 14.10`; `13°18'36"N 14°06'E`; `N13 18.6 E014 06.0`;
/// `33P VQ 12345 67890`.
pub(crate) fn read(text: &str) -> Option<Place> {
    let text = text.trim();
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    mgrs(text).or_else(|| degrees(text)).filter(|(latitude, longitude)| {
        (-90.0..=90.0).contains(latitude) && (-180.0..=180.0).contains(longitude)
    })
}

/// A place as it is shown: five decimals, which is a metre.
pub(crate) fn show((latitude, longitude): Place) -> String {
    let ns = if latitude < 0.0 { 'S' } else { 'N' };
    let ew = if longitude < 0.0 { 'W' } else { 'E' };
    format!("{:.5}°{ns} {:.5}°{ew}", latitude.abs(), longitude.abs())
}

/// One of the two numbers of a place: up to three parts, with a hemisphere before or behind.
#[derive(Default)]
struct Half {
    parts: Vec<f64>,
    negative: bool,
    letter: Option<char>,
}

impl Half {
    fn value(&self) -> Option<f64> {
        let (degrees, rest) = self.parts.split_first()?;
        let mut value = *degrees;
        let mut unit = 60.0;
        for part in rest {
            if !(0.0..60.0).contains(part) {
                return None;
            }
            value += part / unit;
            unit *= 60.0;
        }
        let south_or_west = matches!(self.letter, Some('S' | 'W'));
        // A sign and a letter at once say nothing certain.
        if self.negative && self.letter.is_some() {
            return None;
        }
        Some(if self.negative || south_or_west { -value } else { value })
    }
}

enum Token {
    Number { value: f64, negative: bool },
    Letter(char),
    Comma,
}

fn degrees(text: &str) -> Option<Place> {
    let tokens = tokens(text)?;
    let numbers = tokens.iter().filter(|token| matches!(token, Token::Number { .. })).count();
    let letters: Vec<char> = tokens
        .iter()
        .filter_map(|token| if let Token::Letter(letter) = token { Some(*letter) } else { None })
        .collect();
    let comma = tokens.iter().position(|token| matches!(token, Token::Comma));
    if !(2..=6).contains(&numbers) || !matches!(letters.len(), 0 | 2) {
        return None;
    }
    let leading = matches!(tokens.first(), Some(Token::Letter(_)));
    let (mut first, mut second) = (Half::default(), Half::default());
    let (mut seen, mut letters_seen) = (0, 0);
    for (at, token) in tokens.iter().enumerate() {
        let in_first = match (letters.len(), comma) {
            (2, _) => letters_seen == usize::from(leading),
            (_, Some(comma)) => at < comma,
            _ => seen < numbers / 2,
        };
        let half = if in_first { &mut first } else { &mut second };
        match token {
            Token::Number { value, negative } => {
                if *negative && !half.parts.is_empty() {
                    return None;
                }
                half.negative |= negative;
                half.parts.push(*value);
                seen += 1;
            }
            Token::Letter(letter) => {
                letters_seen += 1;
                let of_first = if leading { letters_seen == 1 } else { in_first };
                let half = if of_first { &mut first } else { &mut second };
                half.letter = Some(*letter);
            }
            Token::Comma => {}
        }
    }
    if first.parts.len() > 3 || second.parts.len() > 3 {
        return None;
    }
    let (one, two) = (first.value()?, second.value()?);
    match (first.letter, second.letter) {
        (None, None) | (Some('N' | 'S'), Some('E' | 'W')) => Some((one, two)),
        (Some('E' | 'W'), Some('N' | 'S')) => Some((two, one)),
        _ => None,
    }
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let width = c.len_utf8();
        match c {
            '0'..='9' => {
                let end =
                    rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
                let (number, behind) = rest.split_at(end);
                tokens.push(Token::Number { value: number.parse().ok()?, negative: false });
                rest = behind;
                continue;
            }
            '-' | '−' if begins_with_digit(rest.get(width..)) => {
                let digits = rest.get(width..)?;
                let end =
                    digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
                let (number, behind) = digits.split_at(end);
                tokens.push(Token::Number { value: number.parse().ok()?, negative: true });
                rest = behind;
                continue;
            }
            'N' | 'S' | 'E' | 'W' | 'n' | 's' | 'e' | 'w' => {
                tokens.push(Token::Letter(c.to_ascii_uppercase()));
            }
            ',' | ';' | '/' => tokens.push(Token::Comma),
            '+' | '°' | 'º' | '\'' | '"' | '′' | '″' | '’' | '”' | ':' => {}
            c if c.is_whitespace() => {}
            _ => return None,
        }
        rest = rest.get(width..)?;
    }
    Some(tokens)
}

fn begins_with_digit(text: Option<&str>) -> bool {
    text.is_some_and(|text| text.starts_with(|c: char| c.is_ascii_digit()))
}

/// MGRS: zone and band, 100 km square, and as many digits east as north.
fn mgrs(text: &str) -> Option<Place> {
    let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let plain = plain.to_ascii_uppercase();
    let digits = plain.find(|c: char| !c.is_ascii_digit()).filter(|n| matches!(n, 1 | 2))?;
    let (zone, rest) = plain.split_at(digits);
    let zone: u32 = zone.parse().ok().filter(|zone| (1..=60).contains(zone))?;
    let mut letters = rest.chars();
    let (band, column, row) = (letters.next()?, letters.next()?, letters.next()?);
    let numbers = letters.as_str();
    if numbers.len() > 10 || numbers.len() % 2 != 0 || !numbers.bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let (east, north) = numbers.split_at(numbers.len() / 2);
    let unit = 10_f64.powi(5 - i32::try_from(east.len()).ok()?);
    let metres = |text: &str| text.parse::<f64>().unwrap_or_default() * unit + unit / 2.0;
    const BANDS: &str = "CDEFGHJKLMNPQRSTUVWX";
    const ROWS: &str = "ABCDEFGHJKLMNPQRSTUV";
    let columns = ["ABCDEFGH", "JKLMNPQR", "STUVWXYZ"];
    let columns = columns.get(usize::try_from((zone - 1) % 3).ok()?)?;
    let easting = (columns.find(column)? as f64 + 1.0) * 100_000.0 + metres(east);
    let shift = if zone.is_multiple_of(2) { 5 } else { 0 };
    let row = (ROWS.find(row)? + 20 - shift) % 20;
    let band_at = BANDS.find(band)? as f64;
    let south = band_at * 8.0 - 80.0;
    let mut northing = row as f64 * 100_000.0 + metres(north);
    let false_northing = if south < 0.0 { 10_000_000.0 } else { 0.0 };
    // Rows repeat every 2,000 km: the first that lies in the band.
    for _ in 0..5 {
        let (latitude, longitude) = utm(zone, easting, northing - false_northing)?;
        if latitude >= south - 0.5 && latitude <= south + 12.5 {
            return Some((latitude, longitude));
        }
        northing += 2_000_000.0;
    }
    None
}

/// Transverse Mercator back to degrees (Snyder, "Map Projections: A Working Manual", USGS 1395, equations
/// 8-17 to 8-25), good to centimetres within a zone.
fn utm(zone: u32, easting: f64, northing: f64) -> Option<Place> {
    const A: f64 = 6_378_137.0;
    const E2: f64 = 0.006_694_379_990_14;
    const SCALE: f64 = 0.9996;
    let e1 = (1.0 - (1.0 - E2).sqrt()) / (1.0 + (1.0 - E2).sqrt());
    let second = E2 / (1.0 - E2);
    let mu = northing
        / SCALE
        / (A * (1.0 - E2 / 4.0 - 3.0 * E2 * E2 / 64.0 - 5.0 * E2 * E2 * E2 / 256.0));
    let foot = mu
        + (3.0 * e1 / 2.0 - 27.0 * e1.powi(3) / 32.0) * (2.0 * mu).sin()
        + (21.0 * e1 * e1 / 16.0 - 55.0 * e1.powi(4) / 32.0) * (4.0 * mu).sin()
        + 151.0 * e1.powi(3) / 96.0 * (6.0 * mu).sin()
        + 1097.0 * e1.powi(4) / 512.0 * (8.0 * mu).sin();
    let (sin, cos, tan) = (foot.sin(), foot.cos(), foot.tan());
    let c = second * cos * cos;
    let t = tan * tan;
    let n = A / (1.0 - E2 * sin * sin).sqrt();
    let r = A * (1.0 - E2) / (1.0 - E2 * sin * sin).powf(1.5);
    let d = (easting - 500_000.0) / (n * SCALE);
    let latitude = foot
        - n * tan / r
            * (d * d / 2.0
                - (5.0 + 3.0 * t + 10.0 * c - 4.0 * c * c - 9.0 * second) * d.powi(4) / 24.0
                + (61.0 + 90.0 * t + 298.0 * c + 45.0 * t * t - 252.0 * second - 3.0 * c * c)
                    * d.powi(6)
                    / 720.0);
    let longitude = (d - (1.0 + 2.0 * t + c) * d.powi(3) / 6.0
        + (5.0 - 2.0 * c + 28.0 * t - 3.0 * c * c + 8.0 * second + 24.0 * t * t) * d.powi(5)
            / 120.0)
        / cos;
    let middle = f64::from(zone) * 6.0 - 183.0;
    let place = (latitude.to_degrees(), middle + longitude.to_degrees());
    (place.0.is_finite() && place.1.is_finite()).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_in_common_notations() {
        for text in [
            "13.31, 14.1",
            "13.31 14.1",
            "13.31N 14.1E",
            "14.1 E, 13.31 N",
            "N13.31 E14.1",
            "13°18'36\"N 14°06'00\"E",
            "13° 18′ 36″ N, 14° 6′ E",
            "N13 18.6 E014 06.0",
            "13 18 36 14 06 00",
            "13:18:36N 14:06:00E",
            "+13.31/+14.1",
        ] {
            let (latitude, longitude) = read(text).unwrap_or((0.0, 0.0));
            assert!(
                (latitude - 13.31).abs() < 1e-9 && (longitude - 14.1).abs() < 1e-9,
                "{text}: {latitude} {longitude}"
            );
        }
        assert_eq!(read("-33.5, -70.25"), Some((-33.5, -70.25)));
        assert_eq!(read("33.5S 70.25W"), Some((-33.5, -70.25)));
        assert_eq!(show((-33.5, -70.25)), "33.50000°S 70.25000°W");
    }

    /// The examples of NGA.STND.0037 and of common converters, to the middle of their squares.
    #[test]
    fn the_military_grid_is_read() {
        for (text, latitude, longitude) in [
            // The Jefferson Pier in Washington; Honolulu; Sydney.
            ("18SUJ2337106519", 38.8898, -77.0365),
            ("4Q FJ 12345 67890", 21.4098, -157.9160),
            ("56H LH 34900 52288", -33.8568, 151.2153),
        ] {
            let (lat, lon) = read(text).unwrap_or((0.0, 0.0));
            assert!((lat - latitude).abs() < 2e-3, "{text}: {lat} {lon}");
            assert!((lon - longitude).abs() < 2e-3, "{text}: {lat} {lon}");
        }
    }

    #[test]
    fn what_is_no_place_is_none() {
        for text in [
            "",
            "13.31",
            "91, 0",
            "0, 181",
            "13 61 0 N 14 0 0 E",
            "-13.31 S, 14 E",
            "13N 14N",
            "13.31.2, 14",
            "north of the lake",
            "61A AA",
            "33IVQ1234567890",
            "18SUJ123",
            "1 2 3 4 5 6 7",
            "12-13, 14",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
        assert_eq!(read(&"1 ".repeat(100)), None);
    }
}
