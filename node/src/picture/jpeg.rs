//! JPEG (ITU-T T.81, annex B): the segments that a decoder needs.

use super::{Bytes, Malformed, Stripped};

const START: u8 = 0xd8;
const END: u8 = 0xd9;
const SCAN: u8 = 0xda;
const APP1: u8 = 0xe1;
const APP14: u8 = 0xee;
/// What Adobe's segment says of the colours (12 bytes), and nothing after that.
const ADOBE_BYTES: usize = 12;

pub(super) fn strip(bytes: &[u8]) -> Result<Stripped, Malformed> {
    let mut reader = Bytes { bytes, at: 0, format: "JPEG" };
    reader.take(2, "start of image")?;
    let mut kept = Vec::with_capacity(bytes.len());
    let mut orientation = 1;
    let mut scans = 0;
    loop {
        let marker = marker(&mut reader)?;
        if marker == END {
            break;
        }
        if matches!(marker, START | 0x00 | 0x01 | 0xd0..=0xd7) {
            return Err(reader.malformed("a marker out of place"));
        }
        let at = reader.at;
        let length = reader.take(2, "a segment's length")?;
        let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let Some(length) = length.checked_sub(2) else {
            reader.at = at;
            return Err(reader.malformed("a segment's length"));
        };
        let content = reader.take(length, "a segment")?;
        match marker {
            APP1 => orientation = exif_orientation(content).unwrap_or(orientation),
            APP14 if content.starts_with(b"Adobe") => {
                segment(&mut kept, marker, content.get(..ADOBE_BYTES).unwrap_or(content));
            }
            _ if is_needed(marker) => segment(&mut kept, marker, content),
            _ => {}
        }
        if marker == SCAN {
            scans += 1;
            scan(&mut reader, &mut kept);
        }
    }
    if scans == 0 {
        return Err(reader.malformed("no picture"));
    }
    let mut stripped = vec![0xff, START];
    if orientation != 1 {
        segment(&mut stripped, APP1, &exif(orientation));
    }
    stripped.extend(kept);
    stripped.extend([0xff, END]);
    Ok(Stripped { bytes: stripped, orientation })
}

/// Frames (but for those of hierarchies, and of extensions), tables, restarts, lines and scans.
const fn is_needed(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xc7 | 0xc9..=0xcf | 0xda..=0xdd)
}

/// The next marker. Before one there may be bytes that fill.
fn marker(reader: &mut Bytes<'_>) -> Result<u8, Malformed> {
    if reader.byte("a marker")? != 0xff {
        reader.at -= 1;
        return Err(reader.malformed("a marker"));
    }
    loop {
        let byte = reader.byte("a marker")?;
        if byte != 0xff {
            return Ok(byte);
        }
    }
}

fn segment(out: &mut Vec<u8>, marker: u8, content: &[u8]) {
    // It came from a length of two bytes, or is shorter.
    let length = u16::try_from(content.len() + 2).unwrap_or(u16::MAX);
    out.extend([0xff, marker]);
    out.extend(length.to_be_bytes());
    out.extend(content);
}

/// Copies what is encoded of a scan: up to a marker that is no restart.
fn scan(reader: &mut Bytes<'_>, out: &mut Vec<u8>) {
    let rest = reader.bytes.get(reader.at..).unwrap_or_default();
    let is_end = |pair: &[u8]| matches!(pair, [0xff, next] if !matches!(next, 0x00 | 0xd0..=0xd7));
    let length = rest.windows(2).position(is_end).unwrap_or(rest.len());
    out.extend(rest.get(..length).unwrap_or_default());
    reader.at += length;
}

/// Which way is up, of an Exif segment (CIPA DC-008): tag 0x0112 of the first directory.
fn exif_orientation(content: &[u8]) -> Option<u8> {
    let tiff = content.strip_prefix(b"Exif\0\0")?;
    let little = match tiff.get(..2)? {
        b"II" => true,
        b"MM" => false,
        _ => return None,
    };
    let number = |at: usize, bytes: usize| -> Option<usize> {
        let taken = tiff.get(at..at.checked_add(bytes)?)?;
        let add = |sum: usize, byte: &u8| sum << 8 | usize::from(*byte);
        Some(if little { taken.iter().rev().fold(0, add) } else { taken.iter().fold(0, add) })
    };
    let directory = number(4, 4)?;
    let entries = number(directory, 2)?;
    let entry = |n: usize| directory.checked_add(2)?.checked_add(n * 12);
    let at = (0..entries).find_map(|n| entry(n).filter(|at| number(*at, 2) == Some(0x0112)))?;
    let value = number(at.checked_add(8)?, 2)?;
    u8::try_from(value).ok().filter(|value| (1..=8).contains(value))
}

/// An Exif segment that says which way is up, and nothing else.
fn exif(orientation: u8) -> Vec<u8> {
    let mut out = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    out.extend([orientation, 0, 0, 0, 0, 0, 0]);
    out
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A JPEG of 16 by 8, as an encoder makes it.
    pub(in crate::picture) fn sample() -> Vec<u8> {
        let mut out = Vec::new();
        let pixels: Vec<u8> = (0..16 * 8 * 3).map(|n| (n * 7 % 256) as u8).collect();
        image::codecs::jpeg::JpegEncoder::new(&mut out)
            .encode(&pixels, 16, 8, image::ExtendedColorType::Rgb8)
            .unwrap();
        out
    }

    /// The sample with what a telephone adds.
    fn with_metadata(orientation: u8) -> Vec<u8> {
        let sample = sample();
        let mut gps = exif(orientation);
        gps.extend(b"GPS 13.05N 14.49E Canon");
        let mut out = sample[..2].to_vec();
        segment(&mut out, APP1, &gps);
        segment(&mut out, APP1, b"http://ns.adobe.com/xap/1.0/\0<creator>KILO</creator>");
        segment(&mut out, 0xe2, b"ICC_PROFILE\0 of this monitor");
        segment(&mut out, 0xfe, b"a comment by KILO");
        segment(&mut out, APP14, b"Adobe\0\x64\0\0\0\0\x01KILO");
        out.extend(&sample[2..]);
        out.extend(b"a film of KILO after the end");
        out
    }

    #[test]
    fn what_a_camera_says_stays_behind_and_the_picture_is_the_same() {
        let plain = strip(&sample()).unwrap();
        let decode = |bytes: &[u8]| image::load_from_memory(bytes).unwrap().into_rgb8();
        for orientation in [1, 6] {
            let stripped = strip(&with_metadata(orientation)).unwrap();
            assert_eq!(stripped.orientation, orientation);
            let text = String::from_utf8_lossy(&stripped.bytes);
            for word in ["GPS", "KILO", "Canon", "creator", "ICC", "film", "JFIF"] {
                assert!(!text.contains(word), "{word}");
            }
            assert_eq!(decode(&stripped.bytes), decode(&plain.bytes));
            // What is stripped stays as it is.
            assert_eq!(strip(&stripped.bytes).unwrap(), stripped);
        }
        assert_eq!(plain.orientation, 1);
    }

    #[test]
    fn a_torn_picture_is_refused_with_the_place() {
        let sample = sample();
        for end in 0..sample.len() {
            assert!(strip(&sample[..end]).is_err(), "{end} bytes");
        }
        let error = strip(&[0xff, 0xd8, 0xff, 0xe1, 0, 1]).unwrap_err().to_string();
        assert_eq!(error, "it is no whole JPEG: a segment's length, at byte 4");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_stripped_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            at in 0usize..200,
        ) {
            let mut file = with_metadata(6);
            file.splice(at..at, bytes.clone());
            for bytes in [file, [&[0xff, 0xd8, 0xff][..], &bytes].concat()] {
                if let Ok(stripped) = strip(&bytes) {
                    prop_assert_eq!(strip(&stripped.bytes).unwrap(), stripped);
                }
            }
        }
    }
}
