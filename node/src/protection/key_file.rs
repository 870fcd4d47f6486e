//! A key file: 32 random bytes in a file of their own, to be kept on a medium apart from what they
//! open. Behind a line that says what it is, in hexadecimal digits, so that it can be copied like
//! any other text.

use std::fmt;
use std::io::{self, Write as _};
use std::path::Path;

use tearline_crdt::seal::Key;
use zeroize::Zeroizing;

use crate::failure::{Failure, Kind};
use crate::files::{new_private_file, random, read_named_secret};

/// The content of a key file.
pub struct KeyFile(Key);

impl KeyFile {
    /// This key.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Key::new(bytes))
    }

    /// Makes a key file for its owner alone; nothing is overwritten.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        let mut key = Self(Key::default());
        random(key.0.as_mut_slice())?;
        new_private_file(path)
            .and_then(|mut file| {
                file.write_all(HEADER)?;
                file.write_all(&key.digits())?;
                file.write_all(b"\n")?;
                file.sync_all()
            })
            .map_err(|e| Failure::io(format_args!("cannot make {}", path.display()), &e))?;
        Ok(key)
    }

    /// The key in a file, which is made if it is not there.
    pub fn read_or_create(path: &Path) -> Result<Self, Failure> {
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path),
            _ => Self::read(path),
        }
    }

    /// The key in a file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let file = read_named_secret(path, FILE_BYTES_MAX)?;
        Self::decode(&file).ok_or_else(|| {
            Failure::new(Kind::Integrity, format!("{} is no key file", path.display()))
                .hint("a key file is made with --new-key-file; this one is cut or another file")
        })
    }

    /// The key itself.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn digits(&self) -> Zeroizing<Vec<u8>> {
        let mut digits = Zeroizing::new(Vec::with_capacity(DIGITS));
        for byte in self.0.iter() {
            digits.push(digit(byte >> 4));
            digits.push(digit(byte & 15));
        }
        digits
    }

    fn decode(file: &[u8]) -> Option<Self> {
        let digits = file.strip_prefix(HEADER)?.trim_ascii_end();
        let mut key = Self(Key::default());
        if digits.len() != DIGITS {
            return None;
        }
        for (byte, pair) in key.0.iter_mut().zip(digits.chunks_exact(2)) {
            for digit in pair {
                let value = char::from(*digit).to_digit(16)?;
                *byte = *byte << 4 | u8::try_from(value).ok()?;
            }
        }
        Some(key)
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyFile(hidden)")
    }
}

const fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

const HEADER: &[u8] = b"tearline key file 1 - secret, keep it apart from what it opens\n";
const DIGITS: usize = 64;
const FILE_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_key_file_is_made_once_for_its_owner_and_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let made = KeyFile::create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(KeyFile::read(&path).unwrap().bytes(), made.bytes());
        assert_eq!(KeyFile::read_or_create(&path).unwrap().bytes(), made.bytes());
        assert!(KeyFile::create(&path).is_err());
        let other = KeyFile::read_or_create(&folder.path().join("other")).unwrap();
        assert_ne!(other.bytes(), made.bytes());
    }

    #[test]
    fn what_is_no_key_file_is_refused() {
        let good = [HEADER, &KeyFile::new([0x5a; 32]).digits()[..], b"\n"].concat();
        assert_eq!(KeyFile::decode(&good).unwrap().bytes(), &[0x5a; 32]);
        let upper = [HEADER, &good[HEADER.len()..].to_ascii_uppercase()[..]].concat();
        assert_eq!(KeyFile::decode(&upper).unwrap().bytes(), &[0x5a; 32]);
        for end in 0..good.len() - 1 {
            assert!(KeyFile::decode(&good[..end]).is_none(), "cut at {end}");
        }
        assert!(KeyFile::decode(&[&good[..], b"0"].concat()).is_none());
        assert!(KeyFile::decode(&[HEADER, &[b'g'; DIGITS]].concat()).is_none());
    }
}
