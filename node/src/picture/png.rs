//! PNG (ISO/IEC 15948): the chunks that a decoder needs, each as long as it needs it.
//!
//! The pixels are one zlib stream (RFC 1950), cut into `IDAT` chunks. It is read through, so that what stands
//! behind its end is left out. A stream that has other than the pixels which the header promises is refused: what a
//! decoder passes over cannot be cut out of it without making it anew.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::{Bytes, Malformed, Stripped};

/// How every PNG begins.
pub(super) const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// The chunks that are kept before the pixels: the critical ones, and transparency; and their longest content.
const NEEDED: [(&[u8], usize); 3] = [(HEADER, 13), (b"PLTE", 3 * 256), (b"tRNS", 256)];
const HEADER: &[u8] = b"IHDR";
const PIXELS: &[u8] = b"IDAT";
const END: &[u8] = b"IEND";
/// Bytes of pixels at a time.
const INFLATED_BYTES: usize = 64 * 1024;

pub(super) fn strip(bytes: &[u8]) -> Result<Stripped, Malformed> {
    let mut reader = Bytes { bytes, at: 0, format: "PNG" };
    let mut kept = reader.take(SIGNATURE.len(), "its signature")?.to_vec();
    let mut needed = NEEDED.to_vec();
    let mut pixels = Vec::new();
    let mut promised = None;
    loop {
        let begin = reader.at;
        let length = reader.take(4, "a chunk's length")?;
        let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let name = reader.take(4, "a chunk's name")?;
        let content = reader.take(length, "a chunk")?;
        reader.take(4, "a chunk's sum")?;
        // A small first letter is of a chunk that a decoder may pass over.
        let is_critical = name.first().is_some_and(u8::is_ascii_uppercase);
        if name == END {
            break;
        }
        if name == PIXELS {
            pixels.extend_from_slice(content);
        } else if let Some(at) = needed.iter().position(|(one, _)| *one == name) {
            let (_, most) = needed.remove(at);
            if content.len() > most || !pixels.is_empty() {
                reader.at = begin;
                return Err(reader.malformed("a chunk that is too long or out of place"));
            }
            if name == HEADER {
                promised = raw_bytes(content);
            }
            chunk(&mut kept, name, content);
        } else if is_critical {
            reader.at = begin;
            return Err(reader.malformed("a critical chunk that is not known"));
        }
    }
    let Some(promised) = promised.filter(|_| !pixels.is_empty()) else {
        return Err(reader.malformed("no picture"));
    };
    let Some(end) = stream_bytes(&pixels, promised) else {
        return Err(reader.malformed("other pixels than it promises"));
    };
    chunk(&mut kept, PIXELS, pixels.get(..end).unwrap_or_default());
    chunk(&mut kept, END, &[]);
    Ok(Stripped { bytes: kept, orientation: 1 })
}

/// A chunk, with its length and its sum.
fn chunk(kept: &mut Vec<u8>, name: &[u8], content: &[u8]) {
    let mut sum = Crc::new();
    sum.update(name);
    sum.update(content);
    kept.extend((content.len() as u32).to_be_bytes());
    kept.extend_from_slice(name);
    kept.extend_from_slice(content);
    kept.extend(sum.sum().to_be_bytes());
}

/// How many bytes the pixels have that a header promises, each line behind its filter: all at once, or in the
/// seven passes of Adam7.
fn raw_bytes(header: &[u8]) -> Option<u64> {
    let [w0, w1, w2, w3, h0, h1, h2, h3, depth, colour, _, _, passes] = *header else {
        return None;
    };
    let (width, height) =
        (u32::from_be_bytes([w0, w1, w2, w3]), u32::from_be_bytes([h0, h1, h2, h3]));
    let channels = match colour {
        0 | 3 => 1,
        4 => 2,
        2 => 3,
        6 => 4,
        _ => return None,
    };
    let bits = u64::from(depth) * channels;
    let part = |(x, dx): (u32, u32), (y, dy): (u32, u32)| {
        let columns = u64::from(width.saturating_sub(x).div_ceil(dx));
        let rows = u64::from(height.saturating_sub(y).div_ceil(dy));
        if columns == 0 { Some(0) } else { rows.checked_mul(1 + (columns * bits).div_ceil(8)) }
    };
    match passes {
        0 => part((0, 1), (0, 1)),
        1 => ADAM7.iter().try_fold(0u64, |sum, (x, y)| sum.checked_add(part(*x, *y)?)),
        _ => None,
    }
}

/// Where each pass begins, and its steps: in columns, and in rows.
const ADAM7: [((u32, u32), (u32, u32)); 7] = [
    ((0, 8), (0, 8)),
    ((4, 8), (0, 8)),
    ((0, 4), (4, 8)),
    ((2, 4), (0, 4)),
    ((0, 2), (2, 4)),
    ((1, 2), (0, 2)),
    ((0, 1), (1, 2)),
];

/// Where a zlib stream ends that gives so many bytes; `None` if it gives others, or does not end.
fn stream_bytes(stream: &[u8], promised: u64) -> Option<usize> {
    let mut inflater = Decompress::new(true);
    let mut inflated = vec![0; INFLATED_BYTES];
    loop {
        let (read, given) = (inflater.total_in(), inflater.total_out());
        let rest = stream.get(usize::try_from(read).ok()?..)?;
        let status = inflater.decompress(rest, &mut inflated, FlushDecompress::None).ok()?;
        let stands = (read, given) == (inflater.total_in(), inflater.total_out());
        match status {
            _ if inflater.total_out() > promised => return None,
            Status::StreamEnd if inflater.total_out() == promised => {
                return usize::try_from(inflater.total_in()).ok();
            }
            Status::Ok if !stands => {}
            _ => return None,
        }
    }
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
        let mut out = Vec::new();
        super::chunk(&mut out, name, content);
        out
    }

    /// The sample with its pixels changed.
    fn with_pixels(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let sample = sample();
        let at = sample.windows(4).position(|name| name == PIXELS).unwrap();
        let length = u32::from_be_bytes(sample[at - 4..at].try_into().unwrap()) as usize;
        let mut pixels = sample[at + 4..at + 4 + length].to_vec();
        change(&mut pixels);
        [&sample[..at - 4], &chunk(b"IDAT", &pixels), &chunk(b"IEND", b"")].concat()
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
    fn what_stands_behind_the_pixels_in_their_stream_stays_behind() {
        let said = with_pixels(|pixels| pixels.extend(b"GPS 13.05N 14.49E"));
        assert_eq!(strip(&said).unwrap().bytes, sample());
        // Cut into chunks, it is one again.
        let cut = with_pixels(|_| {});
        assert_eq!(cut, sample());
        let (torn, bent) = (with_pixels(|p| p.truncate(20)), with_pixels(|p| p[9] ^= 0x55));
        for bad in [torn, bent] {
            let error = strip(&bad).unwrap_err().to_string();
            assert!(error.contains("other pixels than it promises"), "{error}");
        }
        // A header that promises fewer lines than there are hides the others.
        let mut short = sample();
        short[SIGNATURE.len() + 15] = 7;
        assert!(strip(&short).is_err());
        let long = with(&[chunk(b"PLTE", &[0; 769])]);
        assert!(strip(&long).unwrap_err().to_string().contains("too long or out of place"));
    }

    #[test]
    fn pixels_have_the_length_that_their_header_promises() {
        let header = |width: u32, height: u32, rest: [u8; 5]| {
            raw_bytes(&[&width.to_be_bytes()[..], &height.to_be_bytes(), &rest].concat())
        };
        assert_eq!(header(16, 8, [8, 2, 0, 0, 0]), Some(8 * 49));
        assert_eq!(header(9, 2, [1, 0, 0, 0, 0]), Some(2 * 3));
        // 8 by 8 in Adam7: 1, 1, 2, 4, 8, 16 and 32 pixels in 1, 1, 1, 2, 2, 4 and 4 lines.
        assert_eq!(header(8, 8, [8, 0, 0, 0, 1]), Some(64 + 15));
        assert_eq!(header(1, 1, [8, 6, 0, 0, 1]), Some(5));
        assert_eq!(header(1, 1, [8, 7, 0, 0, 0]), None);
        assert!(header(u32::MAX, u32::MAX, [16, 6, 0, 0, 0]).is_none_or(|bytes| bytes > 1 << 60));
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
