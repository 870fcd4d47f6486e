//! Signed LEB128 numbers, in the one encoding that Automerge writes: the shortest.

use crate::codec::{DecodeError, Reader};

/// Reads a signed number.
pub(super) fn signed(reader: &mut Reader<'_>, what: &'static str) -> Result<i64, DecodeError> {
    let start = reader.at();
    let mut value = 0i64;
    let mut previous = 0u8;
    for shift in (0..70).step_by(7) {
        let byte = reader.u8(what)?;
        value |= i64::from(byte & 0x7f) << shift;
        if byte & 0x80 != 0 {
            previous = byte;
            continue;
        }
        let spelled_out = shift > 0
            && (byte == 0x00 && previous & 0x40 == 0 || byte == 0x7f && previous & 0x40 != 0);
        // Only the sign is left for a tenth byte.
        let too_large = shift == 63 && byte != 0x00 && byte != 0x7f;
        if spelled_out || too_large {
            break;
        }
        if shift < 63 && byte & 0x40 != 0 {
            value |= -1 << (shift + 7);
        }
        return Ok(value);
    }
    reader.invalid(start, what)
}

/// Writes a signed number.
pub(super) fn write_signed(out: &mut Vec<u8>, mut value: i64) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        let done = value == 0 && byte & 0x40 == 0 || value == -1 && byte & 0x40 != 0;
        if done {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

/// How many bytes [`write_signed`] writes.
pub(super) const fn signed_len(value: i64) -> usize {
    let magnitude = if value < 0 { !value } else { value };
    (64 - magnitude.leading_zeros() as usize) / 7 + 1
}

/// How many bytes an unsigned number takes.
pub(super) const fn unsigned_len(value: u64) -> usize {
    let bits = 64 - value.leading_zeros() as usize;
    if bits == 0 { 1 } else { bits.div_ceil(7) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::Write as _;

    proptest! {
        #[test]
        fn signed_numbers_have_one_encoding(value: i64, shift in 0u32..64) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            write_signed(&mut bytes, value);
            prop_assert_eq!(bytes.len(), signed_len(value));
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(signed(&mut reader, "n"), Ok(value));
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn the_length_of_an_unsigned_number_is_known(value: u64, shift in 0u32..64) {
            let mut bytes = Vec::new();
            bytes.number(value >> shift);
            prop_assert_eq!(bytes.len(), unsigned_len(value >> shift));
        }
    }

    #[test]
    fn spelled_out_and_oversized_numbers_are_refused() {
        for bad in [
            &[0x80u8, 0x00][..],
            &[0xff, 0x7f],
            &[0xc0, 0x80, 0x00],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
            &[0xff; 11],
        ] {
            assert!(signed(&mut Reader::new(bad), "n").is_err(), "{bad:02x?}");
        }
        assert_eq!(signed(&mut Reader::new(&[0xc0, 0x00]), "n"), Ok(64));
        for edge in [i64::MIN, i64::MAX, -64, 63, -65, 64] {
            let mut bytes = Vec::new();
            write_signed(&mut bytes, edge);
            assert_eq!(signed(&mut Reader::new(&bytes), "n"), Ok(edge));
        }
    }
}
