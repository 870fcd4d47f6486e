//! PNG (ISO/IEC 15948): the chunks that a decoder needs.

use super::{Bytes, Malformed, Stripped};

/// How every PNG begins.
pub(super) const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// The chunks that are kept: the critical ones, and transparency.
const NEEDED: [&[u8]; 5] = [b"IHDR", b"PLTE", b"tRNS", b"IDAT", END];
const END: &[u8] = b"IEND";

pub(super) fn strip(bytes: &[u8]) -> Result<Stripped, Malformed> {
    let mut reader = Bytes { bytes, at: 0, format: "PNG" };
    let mut kept = reader.take(SIGNATURE.len(), "its signature")?.to_vec();
    let mut has_picture = false;
    loop {
        let begin = reader.at;
        let length = reader.take(4, "a chunk's length")?;
        let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let name = reader.take(4, "a chunk's name")?;
        reader.take(length, "a chunk")?;
        reader.take(4, "a chunk's sum")?;
        // A small first letter is of a chunk that a decoder may pass over.
        let is_critical = name.first().is_some_and(u8::is_ascii_uppercase);
        if NEEDED.contains(&name) {
            kept.extend(bytes.get(begin..reader.at).unwrap_or_default());
            has_picture |= name == b"IDAT";
        } else if is_critical {
            reader.at = begin;
            return Err(reader.malformed("a critical chunk that is not known"));
        }
        if name == END {
            break;
        }
    }
    if !has_picture {
        return Err(reader.malformed("no picture"));
    }
    Ok(Stripped { bytes: kept, orientation: 1 })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A PNG of 16 by 8, as an encoder makes it.
    pub(in crate::picture) fn sample() -> Vec<u8> {
        let pixels = (0..16 * 8 * 3).map(|n| (n * 7 % 256) as u8).collect();
        let picture = image::RgbImage::from_raw(16, 8, pixels).unwrap();
        let mut out = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut out, image::ImageFormat::Png).unwrap();
        out.into_inner()
    }

    fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&length[..], name, content, &[0; 4]].concat()
    }

    /// The sample with chunks behind its header, and more after its end.
    fn with(chunks: &[Vec<u8>]) -> Vec<u8> {
        let mut out = sample();
        let header = SIGNATURE.len() + 25;
        out.splice(header..header, chunks.concat());
        out.extend(b"KILO after the end");
        out
    }

    #[test]
    fn what_a_program_says_stays_behind_and_the_picture_is_the_same() {
        let said = with(&[
            chunk(b"eXIf", b"GPS 13.05N 14.49E"),
            chunk(b"tEXt", b"Author\0KILO"),
            chunk(b"tIME", &[0; 7]),
            chunk(b"zzZz", b"KILO"),
        ]);
        assert_eq!(strip(&said).unwrap().bytes, sample());
        assert_eq!(strip(&sample()).unwrap().bytes, sample());
    }

    #[test]
    fn torn_pictures_and_unknown_critical_chunks_are_refused() {
        let sample = sample();
        for end in 0..sample.len() {
            assert!(strip(&sample[..end]).is_err(), "{end} bytes");
        }
        let error = strip(&with(&[chunk(b"KILO", b"")])).unwrap_err().to_string();
        assert!(error.ends_with("a critical chunk that is not known, at byte 33"), "{error}");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_stripped_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            at in 0usize..80,
        ) {
            let mut file = sample();
            file.splice(at..at, bytes);
            if let Ok(stripped) = strip(&file) {
                prop_assert_eq!(strip(&stripped.bytes).unwrap(), stripped);
            }
        }
    }
}
