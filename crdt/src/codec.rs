//! The one binary encoding: fixed-width arrays as they are, numbers as canonical LEB128, byte
//! strings behind their length. One value has one encoding; a reader refuses every other.

use std::fmt;

/// Why bytes are not a well-formed value. No state changed; the same bytes will fail again.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, thiserror::Error)]
pub enum DecodeError {
    /// The input ends before the value does.
    #[error("ends at byte {at}, inside {what}")]
    Truncated {
        /// Offset at which more was expected.
        at: usize,
        /// What was being read.
        what: &'static str,
    },
    /// A length or count above its bound.
    #[error("{what} of {found} at byte {at} is above the limit of {max}")]
    TooLarge {
        /// Offset of the value.
        at: usize,
        /// What was being read.
        what: &'static str,
        /// The value found.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// A value that no encoder writes: an overlong number, an unknown tag, an unsorted set.
    #[error("{what} at byte {at} is not valid")]
    Invalid {
        /// Offset of the value.
        at: usize,
        /// What was being read.
        what: &'static str,
    },
    /// Bytes left over after the value.
    #[error("{count} bytes too many after byte {at}")]
    Trailing {
        /// Offset at which the value ended.
        at: usize,
        /// How many bytes are left.
        count: usize,
    },
}

/// Reads values off a byte slice, in order.
#[derive(Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Offset of the next byte.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.at
    }

    /// Bytes left.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let end = self.at.saturating_add(n);
        let part =
            self.bytes.get(self.at..end).ok_or(DecodeError::Truncated { at: self.at, what })?;
        self.at = end;
        Ok(part)
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let at = self.at;
        self.take(N, what)?.try_into().map_err(|_| DecodeError::Truncated { at, what })
    }

    /// One byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        let [byte] = self.array(what)?;
        Ok(byte)
    }

    /// A canonical unsigned LEB128 number of at most 64 bits.
    pub fn number(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        let start = self.at;
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.u8(what)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    break;
                }
                return Ok(value);
            }
        }
        Err(DecodeError::Invalid { at: start, what })
    }

    /// A number of at most `max`.
    pub fn number_max(&mut self, max: u64, what: &'static str) -> Result<u64, DecodeError> {
        let at = self.at;
        let found = self.number(what)?;
        if found > max { Err(DecodeError::TooLarge { at, what, found, max }) } else { Ok(found) }
    }

    /// A count of things that each take at least one byte of what is left, and at most `max`.
    pub fn count(&mut self, max: usize, what: &'static str) -> Result<usize, DecodeError> {
        let at = self.at;
        let found = self.number_max(max as u64, what)? as usize;
        if found > self.left() { Err(DecodeError::Truncated { at, what }) } else { Ok(found) }
    }

    /// A byte string of at most `max` bytes behind its length.
    pub fn bytes(&mut self, max: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let len = self.number_max(max as u64, what)? as usize;
        self.take(len, what)
    }

    /// A UTF-8 string of at most `max` bytes behind its length.
    pub fn text(&mut self, max: usize, what: &'static str) -> Result<&'a str, DecodeError> {
        let at = self.at;
        std::str::from_utf8(self.bytes(max, what)?).map_err(|_| DecodeError::Invalid { at, what })
    }

    /// A refusal of the value just read at `at`.
    pub fn invalid<T>(&self, at: usize, what: &'static str) -> Result<T, DecodeError> {
        Err(DecodeError::Invalid { at, what })
    }

    /// Ends the reading: anything left is an error.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.left() {
            0 => Ok(()),
            count => Err(DecodeError::Trailing { at: self.at, count }),
        }
    }
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader at {} of {}", self.at, self.bytes.len())
    }
}

/// Appends values to a byte vector, in the encoding that [`Reader`] reads.
pub trait Write {
    /// An unsigned LEB128 number.
    fn number(&mut self, value: u64) -> &mut Self;
    /// A byte string behind its length.
    fn bytes(&mut self, value: &[u8]) -> &mut Self;
    /// Bytes as they are.
    fn raw(&mut self, value: &[u8]) -> &mut Self;
}

impl Write for Vec<u8> {
    fn number(&mut self, mut value: u64) -> &mut Self {
        loop {
            let byte = (value & 0x7f) as u8;
            value >>= 7;
            if value == 0 {
                self.push(byte);
                return self;
            }
            self.push(byte | 0x80);
        }
    }

    fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.number(value.len() as u64).raw(value)
    }

    fn raw(&mut self, value: &[u8]) -> &mut Self {
        self.extend_from_slice(value);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_encoding() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            bytes.number(value);
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.number("n"), Ok(value));
            assert_eq!(reader.finish(), Ok(()));
        }
        for bad in [&[0x80u8, 0x00][..], &[0xff; 10], &[0x80; 11]] {
            assert_eq!(
                Reader::new(bad).number("n"),
                Err(DecodeError::Invalid { at: 0, what: "n" })
            );
        }
    }

    #[test]
    fn lengths_are_checked_before_anything_is_taken() {
        let mut bytes = Vec::new();
        bytes.number(u64::MAX);
        assert!(matches!(
            Reader::new(&bytes).bytes(16, "b"),
            Err(DecodeError::TooLarge { max: 16, .. })
        ));
        assert!(matches!(Reader::new(&[5, 1]).bytes(16, "b"), Err(DecodeError::Truncated { .. })));
        assert!(matches!(Reader::new(&[5, 1]).count(16, "c"), Err(DecodeError::Truncated { .. })));
    }
}
