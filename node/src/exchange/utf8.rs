//! Texts that are no UTF-8: where they stop being it. A parser says where the object ended, or nothing.

use std::io::{self, Read};

/// A byte that is of no UTF-8 text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "not UTF-8 at line {line}, byte {byte} of it (0x{value:02x}); save the file as UTF-8 and try \
     again"
)]
pub struct NotUtf8 {
    /// Line, from 1.
    pub line: usize,
    /// Byte of the line, from 1.
    pub byte: usize,
    /// The byte.
    pub value: u8,
}

/// A file that is given out as far as it is UTF-8; then comes [`NotUtf8`] as an error.
pub(super) struct Utf8<R> {
    file: R,
    /// The beginning of a character whose rest is not read yet.
    begun: Vec<u8>,
    /// Lines, and bytes of the last one, before that.
    lines: usize,
    bytes: usize,
    fault: Option<NotUtf8>,
}

impl<R: Read> Utf8<R> {
    pub(super) const fn new(file: R) -> Self {
        Self { file, begun: Vec::new(), lines: 0, bytes: 0, fault: None }
    }

    /// Goes on over bytes that were read; how many of them are in order.
    fn check(&mut self, read: &[u8]) -> usize {
        let mut rest = read;
        while !self.begun.is_empty() {
            let Some((next, after)) = rest.split_first() else { return read.len() };
            self.begun.push(*next);
            match std::str::from_utf8(&self.begun) {
                Ok(_) => {
                    let whole = std::mem::take(&mut self.begun);
                    self.pass(&whole);
                }
                Err(error) if error.error_len().is_none() => {}
                Err(_) => {
                    self.begun.pop();
                    self.blame();
                    return 0;
                }
            }
            rest = after;
        }
        let Err(error) = std::str::from_utf8(rest) else {
            self.pass(rest);
            return read.len();
        };
        let (good, bad) = rest.split_at(error.valid_up_to());
        self.pass(good);
        self.begun = bad.to_vec();
        if error.error_len().is_none() {
            return read.len();
        }
        self.blame();
        read.len() - bad.len()
    }

    fn pass(&mut self, text: &[u8]) {
        match text.iter().rposition(|byte| *byte == b'\n') {
            Some(last) => {
                self.lines += text.iter().filter(|byte| **byte == b'\n').count();
                self.bytes = text.len() - last - 1;
            }
            None => self.bytes += text.len(),
        }
    }

    /// The character that was begun is none.
    fn blame(&mut self) {
        let value = self.begun.first().copied().unwrap_or_default();
        self.fault = Some(NotUtf8 { line: self.lines + 1, byte: self.bytes + 1, value });
    }
}

impl<R: Read> Read for Utf8<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.fault.is_none() {
            let count = self.file.read(buffer)?;
            let good = self.check(buffer.get(..count).unwrap_or_default());
            if count == 0 && !buffer.is_empty() && !self.begun.is_empty() {
                self.blame();
            }
            if good > 0 || self.fault.is_none() {
                return Ok(good);
            }
        }
        self.fault.map_or(Ok(0), |fault| Err(io::Error::new(io::ErrorKind::InvalidData, fault)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, or all at once.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(self.1);
            (&mut self.0).take(count as u64).read(&mut buffer[..count])
        }
    }

    #[test]
    fn the_first_byte_that_is_none_is_named_however_the_file_is_read() {
        let texts = [
            (b"".as_slice(), None),
            (b"a\nb\xc3\xa9\xf0\x9f\x98\x80\n", None),
            (b"a\nb\xe9c\n", Some((2, 2, 0xe9))),
            (b"\xff\xfea\0", Some((1, 1, 0xff))),
            (b"\xc3\xa9\n\n\xc3\xa9\x80", Some((3, 3, 0x80))),
            (b"ab\xf0\x9f", Some((1, 3, 0xf0))),
            (b"ab\xf0\x9fc", Some((1, 3, 0xf0))),
            (b"\xed\xa0\x80", Some((1, 1, 0xed))),
        ];
        for (text, expected) in texts {
            for step in [1, 2, 3, 64] {
                let mut given = Vec::new();
                let outcome = Utf8::new(Slow(text, step)).read_to_end(&mut given);
                let fault = outcome.err().map(|error| {
                    let fault = error.get_ref().unwrap().downcast_ref::<NotUtf8>().unwrap();
                    (fault.line, fault.byte, fault.value)
                });
                assert_eq!(fault, expected, "{text:?} by {step}");
                assert!(text.starts_with(&given) && (fault.is_some() || given == text));
            }
        }
    }
}
