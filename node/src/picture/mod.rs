//! Pictures, before they are attached: what a camera or a program says beside the picture is taken out, and a
//! thumbnail is made.
//!
//! Of a JPEG or PNG those parts are copied that a decoder needs, by a list; whatever else there is, known or
//! not, stays behind: where and when it was taken, with what, by whom, earlier versions, a film. Which way is
//! up is said anew. Nothing is decoded and encoded again, so the picture is the same.

mod jpeg;
mod png;
mod thumbnail;

pub use thumbnail::thumbnail;

/// A kind of picture that is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// JPEG (ITU-T T.81).
    Jpeg,
    /// PNG (ISO/IEC 15948).
    Png,
}

impl Format {
    /// The format of a file, by its first bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
            Some(Self::Jpeg)
        } else if bytes.starts_with(png::SIGNATURE) {
            Some(Self::Png)
        } else {
            None
        }
    }

    /// Its media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }

    /// The same picture without anything that is not the picture.
    pub fn strip(self, bytes: &[u8]) -> Result<Stripped, Malformed> {
        match self {
            Self::Jpeg => jpeg::strip(bytes),
            Self::Png => png::strip(bytes),
        }
    }
}

/// A picture without what else its file said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stripped {
    /// The file.
    pub bytes: Vec<u8>,
    /// Which way is up, as Exif counts it: 1 to 8, and 1 is as it is stored.
    pub orientation: u8,
}

/// A file that begins as a picture and is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("it is no whole {format}: {what}, at byte {at}")]
pub struct Malformed {
    format: &'static str,
    what: &'static str,
    at: usize,
}

/// Bytes that are read one after the other.
struct Bytes<'a> {
    bytes: &'a [u8],
    at: usize,
    format: &'static str,
}

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(count);
        let Some(taken) = end.and_then(|end| self.bytes.get(self.at..end)) else {
            return Err(self.malformed(what));
        };
        self.at += count;
        Ok(taken)
    }

    fn byte(&mut self, what: &'static str) -> Result<u8, Malformed> {
        Ok(self.take(1, what)?.first().copied().unwrap_or_default())
    }

    const fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { format: self.format, what, at: self.at }
    }
}
