//! A key file: 32 random bytes in a file of their own, to be kept on a medium apart from what they
//! open. Behind a line that says what it is, in hexadecimal digits, so that it can be copied like
//! any other text; and behind them the beginning of their hash, so that a file that rotted is told from
//! the key file of something else.

use std::fmt;
use std::io::{self, Write as _};
use std::path::Path;

use tearline_crdt::hash::sha256;
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
            Failure::new(Kind::Integrity, format!("{} is no whole key file", path.display())).hint(
                "a key file is made with --new-key-file; this one is another file, or was cut or \
                 changed: put a copy of it back. Without it nothing opens that is sealed under it",
            )
        })
    }

    /// The key itself.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn digits(&self) -> Zeroizing<Vec<u8>> {
        let mut digits = Zeroizing::new(Vec::with_capacity(DIGITS));
        for byte in self.0.iter().chain(&self.check()) {
            digits.push(digit(byte >> 4));
            digits.push(digit(byte & 15));
        }
        digits
    }

    fn check(&self) -> [u8; CHECK_BYTES] {
        let hash = Zeroizing::new([HEADER, self.0.as_slice()].concat());
        sha256(&hash).first_chunk().copied().unwrap_or_default()
    }

    fn decode(file: &[u8]) -> Option<Self> {
        let digits = file.strip_prefix(HEADER)?.trim_ascii_end();
        let mut key = Self(Key::default());
        let mut check = [0; CHECK_BYTES];
        if digits.len() != DIGITS {
            return None;
        }
        for (byte, pair) in key.0.iter_mut().chain(&mut check).zip(digits.chunks_exact(2)) {
            for digit in pair {
                let value = char::from(*digit).to_digit(16)?;
                *byte = *byte << 4 | u8::try_from(value).ok()?;
            }
        }
        (key.check() == check).then_some(key)
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

const HEADER: &[u8] = b"tearline key file 2 - secret, keep it apart from what it opens\n";
/// Bytes of the hash of the header and the key: a file that rotted passes once in 2^64 times.
const CHECK_BYTES: usize = 8;
const DIGITS: usize = 2 * (32 + CHECK_BYTES);
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
        for (at, bit) in (0..good.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut rotten = good.clone();
            rotten[at] ^= 1 << bit;
            // What is not noticed is no harm: the case of a digit, or white space at the end.
            let read = KeyFile::decode(&rotten);
            assert!(read.is_none_or(|key| key.bytes() == &[0x5a; 32]), "bit {bit} of byte {at}");
        }
        let other = [HEADER, &KeyFile::new([0x5b; 32]).digits()[..DIGITS - 2]].concat();
        assert!(KeyFile::decode(&[&other[..], b"00"].concat()).is_none());
        assert!(KeyFile::decode(&[HEADER, &[b'g'; DIGITS]].concat()).is_none());
    }
}
