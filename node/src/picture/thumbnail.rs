//! Thumbnails: a picture small enough to travel with its record.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::codecs::jpeg::JpegEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageFormat, ImageReader, Limits};
use tearline_crdt::attachment::THUMBNAIL_BYTES_MAX;

use super::{Format, Stripped};

/// Widest and highest picture of which one is made, in pixels.
const SIDE_MAX: u32 = 16_384;
/// Most memory that decoding one may take.
const DECODED_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// What is tried until it fits: the longer side, in pixels, and the quality.
const TRIES: [(u32, u8); 6] = [(128, 40), (96, 40), (80, 35), (64, 35), (48, 30), (32, 25)];

/// A JPEG of at most [`THUMBNAIL_BYTES_MAX`] bytes of a picture; `None` if it cannot be decoded within bounds.
#[must_use]
pub fn thumbnail(format: Format, picture: &Stripped) -> Option<Vec<u8>> {
    // A decoder's fault costs the thumbnail and nothing else.
    catch_unwind(AssertUnwindSafe(|| shrink(format, picture))).ok().flatten()
}

fn shrink(format: Format, picture: &Stripped) -> Option<Vec<u8>> {
    let format = match format {
        Format::Jpeg => ImageFormat::Jpeg,
        Format::Png => ImageFormat::Png,
    };
    let mut reader = ImageReader::with_format(Cursor::new(&picture.bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(DECODED_BYTES_MAX);
    reader.limits(limits);
    let mut whole = reader.decode().ok()?.thumbnail(256, 256);
    whole.apply_orientation(Orientation::from_exif(picture.orientation)?);
    TRIES.iter().find_map(|(side, quality)| {
        let small = DynamicImage::ImageRgb8(whole.thumbnail(*side, *side).into_rgb8());
        let mut out = Vec::new();
        small.write_with_encoder(JpegEncoder::new_with_quality(&mut out, *quality)).ok()?;
        let out = Format::Jpeg.strip(&out).ok()?.bytes;
        (out.len() <= THUMBNAIL_BYTES_MAX).then_some(out)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::{jpeg, png};

    #[test]
    fn a_thumbnail_is_small_and_the_right_way_up() {
        let noise: Vec<u8> =
            (0..900u32 * 600 * 3).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut large = Vec::new();
        JpegEncoder::new(&mut large)
            .encode(&noise, 900, 600, image::ExtendedColorType::Rgb8)
            .unwrap();
        for (bytes, format, orientation) in [
            (large, Format::Jpeg, 6),
            (jpeg::tests::sample(), Format::Jpeg, 1),
            (png::tests::sample(), Format::Png, 1),
        ] {
            let picture = Stripped { orientation, ..format.strip(&bytes).unwrap() };
            let small = thumbnail(format, &picture).unwrap();
            assert!(small.len() <= THUMBNAIL_BYTES_MAX, "{}", small.len());
            let shown = image::load_from_memory(&small).unwrap();
            assert_eq!(shown.height() > shown.width(), orientation == 6);
        }
    }

    #[test]
    fn what_is_no_picture_or_too_large_has_none() {
        let bytes = png::tests::sample();
        let mut wide = bytes.clone();
        wide[16..20].copy_from_slice(&(SIDE_MAX + 1).to_be_bytes());
        for bytes in [wide, bytes[..bytes.len() / 2].to_vec(), Vec::new()] {
            assert_eq!(thumbnail(Format::Png, &Stripped { bytes, orientation: 1 }), None);
        }
    }
}
