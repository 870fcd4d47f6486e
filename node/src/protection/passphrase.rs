//! A passphrase: bytes that a person chose, wiped when dropped. It comes from a terminal or from a
//! file, never from the command line, where every user of the machine could read it.

use std::fmt;
use std::path::Path;

use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::files::read_named_secret;

/// Longest passphrase.
pub(super) const PASSPHRASE_BYTES_MAX: usize = 1024;
/// Shortest passphrase that a file is sealed under. Opening takes any, so that a wrong one is told.
pub const PASSPHRASE_CHARS_MIN: usize = 12;

/// A passphrase.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// These bytes, to be wiped when dropped.
    #[must_use]
    pub fn new(bytes: impl Into<Zeroizing<Vec<u8>>>) -> Self {
        Self(bytes.into())
    }

    /// The one line that a file holds, without its end.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let named = |what: &str| Failure::failed(format!("{} {what}", path.display()));
        // A line end may be two bytes.
        let mut bytes = read_named_secret(path, PASSPHRASE_BYTES_MAX + 2)?;
        let end = line_end(&bytes).unwrap_or(bytes.len());
        let rest = bytes.get(end..).unwrap_or_default();
        if !matches!(rest, [] | [b'\n'] | [b'\r', b'\n']) {
            return Err(named("holds more than one line").hint("a passphrase is one line of text"));
        }
        bytes.truncate(end);
        if bytes.is_empty() {
            return Err(named("holds no passphrase"));
        }
        if bytes.len() > PASSPHRASE_BYTES_MAX {
            return Err(named(&format!("holds more than {PASSPHRASE_BYTES_MAX} bytes")));
        }
        Ok(Self(bytes))
    }

    /// Fails when it is too short to seal anything under.
    pub fn check_strength(&self) -> Result<(), Failure> {
        // Bytes that begin a character of UTF-8, without making a copy.
        let chars = self.0.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        if chars < PASSPHRASE_CHARS_MIN {
            return Err(Failure::usage(format!(
                "the passphrase has {chars} characters; it takes {PASSPHRASE_CHARS_MIN} at least"
            ))
            .hint("six words drawn at random are easier to keep than letters and digits"));
        }
        Ok(())
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(hidden)")
    }
}

fn line_end(bytes: &[u8]) -> Option<usize> {
    let at = bytes.iter().position(|byte| *byte == b'\n')?;
    let carriage = at.checked_sub(1).filter(|before| bytes.get(*before) == Some(&b'\r'));
    Some(carriage.unwrap_or(at))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn read(content: &[u8]) -> Result<Vec<u8>, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        Passphrase::read(&path).map(|read| read.bytes().to_vec())
    }

    #[test]
    fn a_file_holds_one_line() {
        for good in [&b"a b \xc3\xa9"[..], b"a b \xc3\xa9\n", b"a b \xc3\xa9\r\n"] {
            assert_eq!(read(good).unwrap(), b"a b \xc3\xa9");
        }
        assert_eq!(read(b"a\r").unwrap(), b"a\r", "a carriage return alone ends no line");
        for bad in [&b""[..], b"\n", b"\r\n", b"a\nb", b"a\n\n", b"a\r\r\n\n"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_longest_is_taken_and_one_more_is_not() {
        let mut longest = vec![b'x'; PASSPHRASE_BYTES_MAX];
        assert_eq!(read(&longest).unwrap().len(), PASSPHRASE_BYTES_MAX);
        assert_eq!(read(&[&longest[..], b"\r\n"].concat()).unwrap().len(), PASSPHRASE_BYTES_MAX);
        longest.push(b'x');
        assert!(read(&longest).is_err());
        assert!(read(&[&longest[..], b"\n"].concat()).is_err());
    }

    #[test]
    fn characters_are_counted_not_bytes() {
        let check = |text: &str| Passphrase::new(text.as_bytes().to_vec()).check_strength();
        assert!(check(&"é".repeat(PASSPHRASE_CHARS_MIN)).is_ok());
        assert!(check(&"é".repeat(PASSPHRASE_CHARS_MIN - 1)).is_err());
    }
}
