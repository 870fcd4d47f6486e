//! How secrets are protected at rest: in clear, under a passphrase, or under a key file.
//!
//! A passphrase is stretched by Argon2id (RFC 9106); a key file holds 32 random bytes that need no
//! stretching. From either, HKDF-SHA-256 (RFC 5869) draws the key that seals (AES-256-GCM-SIV,
//! RFC 8452) and a *check*, which is kept in the file's head. The check tells a wrong passphrase
//! from a damaged file, and commits to the key, which the cipher by itself does not. Both are drawn
//! with the whole head as context, and the head is bounded before it is believed: one who changes
//! it gets another key, and can make us neither stretch too little nor allocate too much.

mod key_file;
mod opener;
mod passphrase;
mod stretch;
mod terminal;

use std::fmt;

use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::seal::{self, Key};
use zeroize::Zeroizing;

pub use self::key_file::KeyFile;
pub use self::opener::{KEY_FILE_VARIABLE, NewSources, Opener, PASSPHRASE_FILE_VARIABLE, Sources};
pub use self::passphrase::{PASSPHRASE_CHARS_MIN, Passphrase};
pub use self::stretch::Stretch;
use crate::failure::{Failure, Kind};
use crate::files::random;

/// How secrets in a file are protected, with what it takes to write the file again.
#[derive(Debug)]
pub enum Protection {
    /// By the file's permissions alone.
    Clear,
    /// Sealed.
    Sealed(Sealing),
}

/// What must be given to open a sealed file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Method {
    /// A passphrase, stretched as this says.
    Passphrase(Stretch),
    /// A key file.
    KeyFile,
}

/// What was given.
#[derive(Debug)]
pub enum Secret {
    /// A passphrase.
    Passphrase(Passphrase),
    /// The content of a key file.
    KeyFile(KeyFile),
}

/// The beginning of sealed bytes: how to come from the secret to the key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Head {
    /// What must be given.
    pub method: Method,
    salt: [u8; 16],
    check: [u8; 32],
}

/// A key to seal and open with, and the head that finds it again.
pub struct Sealing {
    head: Head,
    key: Key,
}

/// Why sealed bytes do not open. Nothing was changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProtectionError {
    /// The passphrase is another one.
    #[error("the passphrase is not the one that it was sealed under")]
    WrongPassphrase,
    /// The key file is another one.
    #[error("the key file is not the one that it was sealed under")]
    WrongKeyFile,
    /// A number in the head is below what we accept: somebody may want to guess cheaply.
    #[error("its head asks for {what} of {found}, below the least of {min}: it was tampered with")]
    Weak {
        /// Which number.
        what: &'static str,
        /// What is asked for.
        found: u64,
        /// The least.
        min: u64,
    },
    /// A number in the head is above what we are ready to spend.
    #[error("its head asks for {what} of {found}, above the most of {max}: it was tampered with")]
    Excessive {
        /// Which number.
        what: &'static str,
        /// What is asked for.
        found: u64,
        /// The most.
        max: u64,
    },
    /// The head is none.
    #[error("its head does not decode: {0}")]
    Malformed(#[from] DecodeError),
    /// The secret is right, and the sealed bytes are not what was sealed.
    #[error("its seal does not match: it is damaged or was tampered with")]
    Broken,
    /// The machine has too little memory to stretch the passphrase.
    #[error("there is no memory of {mib} MiB to stretch the passphrase in")]
    NoMemory {
        /// How much it takes.
        mib: u32,
    },
}

impl ProtectionError {
    /// The failure of whoever wanted to open `what`.
    #[must_use]
    pub fn failure(&self, what: &str) -> Failure {
        let kind = match self {
            Self::WrongPassphrase | Self::WrongKeyFile => Kind::Denied,
            Self::NoMemory { .. } => Kind::Failed,
            _ => Kind::Integrity,
        };
        Failure::new(kind, format!("{what}: {self}"))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passphrase(stretch) => write!(f, "sealed under a passphrase ({stretch})"),
            Self::KeyFile => f.write_str("sealed under a key file"),
        }
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clear => f.write_str("in clear, readable by their owner alone"),
            Self::Sealed(sealing) => sealing.head.method.fmt(f),
        }
    }
}

impl Protection {
    /// Protection under a secret; in clear without one.
    pub fn under(secret: Option<&Secret>) -> Result<Self, Failure> {
        secret.map_or(Ok(Self::Clear), |secret| Sealing::new(secret).map(Self::Sealed))
    }
}

impl Head {
    /// The head at the beginning of sealed bytes. Its numbers are within their bounds.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, ProtectionError> {
        let at = reader.at();
        let method = match reader.u8("method of protection")? {
            METHOD_PASSPHRASE => Method::Passphrase(Stretch::decode(reader)?),
            METHOD_KEY_FILE => Method::KeyFile,
            _ => return Ok(reader.invalid(at, "method of protection")?),
        };
        Ok(Self { method, salt: reader.array("salt")?, check: reader.array("key check")? })
    }

    /// Appends `1 || stretch` or `2`, then `salt (16) || check (32)`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.raw(&self.context()).raw(&self.check);
    }

    /// All that the key is drawn with, besides the secret.
    fn context(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match &self.method {
            Method::Passphrase(stretch) => {
                out.push(METHOD_PASSPHRASE);
                stretch.encode(&mut out);
            }
            Method::KeyFile => out.push(METHOD_KEY_FILE),
        }
        out.raw(&self.salt);
        out
    }

    /// The key and its check, from the right kind of secret.
    fn draw(&self, secret: &Secret) -> Result<(Key, Key), ProtectionError> {
        let stretched = match (&self.method, secret) {
            (Method::Passphrase(stretch), Secret::Passphrase(passphrase)) => {
                stretch.apply(passphrase, &self.salt)?
            }
            (Method::KeyFile, Secret::KeyFile(key)) => Key::new(*key.bytes()),
            (Method::Passphrase(_), Secret::KeyFile(_)) => {
                return Err(ProtectionError::WrongPassphrase);
            }
            (Method::KeyFile, Secret::Passphrase(_)) => return Err(ProtectionError::WrongKeyFile),
        };
        let context = self.context();
        let draw = |info: &[u8]| seal::derive(stretched.as_slice(), &self.salt, &[info, &context]);
        Ok((draw(b"tearline/1/protection/key\0"), draw(b"tearline/1/protection/check\0")))
    }
}

impl Sealing {
    /// A fresh key under a secret: a new salt, and a passphrase stretched as is recommended today.
    pub fn new(secret: &Secret) -> Result<Self, Failure> {
        let method = match secret {
            Secret::Passphrase(_) => Method::Passphrase(Stretch::RECOMMENDED),
            Secret::KeyFile(_) => Method::KeyFile,
        };
        Self::with(method, secret)
    }

    fn with(method: Method, secret: &Secret) -> Result<Self, Failure> {
        let mut head = Head { method, salt: [0; 16], check: [0; 32] };
        random(&mut head.salt)?;
        let (key, check) = head.draw(secret).map_err(|error| error.failure("cannot seal"))?;
        head.check = *check;
        Ok(Self { head, key })
    }

    /// The key that sealed what this head stands before.
    pub fn find(head: &Head, secret: &Secret) -> Result<Self, ProtectionError> {
        let (key, check) = head.draw(secret)?;
        if *check != head.check {
            return Err(match secret {
                Secret::Passphrase(_) => ProtectionError::WrongPassphrase,
                Secret::KeyFile(_) => ProtectionError::WrongKeyFile,
            });
        }
        Ok(Self { head: *head, key })
    }

    /// How to find the key again.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// Seals `plain`, bound to what it is: `nonce (12) || sealed text || tag (16)`.
    pub fn seal(&self, what: &[u8], plain: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut nonce = [0; NONCE_BYTES];
        random(&mut nonce)?;
        Ok([&nonce[..], &seal::seal(&self.key, &nonce, what, plain)].concat())
    }

    /// Opens what [`Sealing::seal`] made.
    pub fn open(&self, what: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, ProtectionError> {
        let (nonce, sealed) =
            sealed.split_first_chunk::<NONCE_BYTES>().ok_or(ProtectionError::Broken)?;
        seal::open(&self.key, nonce, what, sealed)
            .map(Zeroizing::new)
            .map_err(|_| ProtectionError::Broken)
    }

    /// A key of its own for one purpose.
    #[must_use]
    pub fn derive(&self, purpose: &[u8]) -> Key {
        seal::derive(self.key.as_slice(), &[], &[purpose])
    }
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealing({:?}, hidden)", self.head.method)
    }
}

/// Longest head, in bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 64;

const METHOD_PASSPHRASE: u8 = 1;
const METHOD_KEY_FILE: u8 = 2;
const NONCE_BYTES: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Secret {
        Secret::Passphrase(Passphrase::new(text.as_bytes().to_vec()))
    }

    /// As little stretching as is accepted, for tests that are not about it.
    fn quick(secret: &Secret) -> Sealing {
        let method = match secret {
            Secret::Passphrase(_) => Method::Passphrase(Stretch::LEAST),
            Secret::KeyFile(_) => Method::KeyFile,
        };
        Sealing::with(method, secret).unwrap()
    }

    fn decoded(bytes: &[u8]) -> Result<Head, ProtectionError> {
        let mut reader = Reader::new(bytes);
        let head = Head::decode(&mut reader)?;
        reader.finish()?;
        Ok(head)
    }

    #[test]
    fn only_the_secret_that_sealed_opens() {
        let (right, wrong) = (passphrase("correct horse"), passphrase("correct hors"));
        let (key, other_key) =
            (Secret::KeyFile(KeyFile::new([1; 32])), Secret::KeyFile(KeyFile::new([2; 32])));
        let under_passphrase = quick(&right);
        let head = under_passphrase.head();
        let sealed = under_passphrase.seal(b"what", b"plain").unwrap();
        let found = Sealing::find(head, &right).unwrap();
        assert_eq!(found.open(b"what", &sealed).unwrap().as_slice(), b"plain");
        assert_eq!(found.open(b"else", &sealed).unwrap_err(), ProtectionError::Broken);
        let refused = Sealing::find(head, &wrong).unwrap_err();
        assert_eq!(refused, ProtectionError::WrongPassphrase);
        assert_eq!(refused.failure("x").kind, Kind::Denied);
        assert_eq!(Sealing::find(head, &key).unwrap_err(), ProtectionError::WrongPassphrase);
        let under_key = quick(&key);
        assert!(Sealing::find(under_key.head(), &key).is_ok());
        for secret in [&other_key, &right] {
            let refused = Sealing::find(under_key.head(), secret).unwrap_err();
            assert_eq!(refused, ProtectionError::WrongKeyFile);
        }
    }

    #[test]
    fn the_longest_head_is_within_its_bound() {
        let head =
            Head { method: Method::Passphrase(Stretch::MOST), salt: [0; 16], check: [0; 32] };
        let mut bytes = Vec::new();
        head.encode(&mut bytes);
        assert!(bytes.len() <= HEAD_BYTES_MAX);
    }

    #[test]
    fn two_seals_under_one_secret_share_nothing() {
        let secret = Secret::KeyFile(KeyFile::new([1; 32]));
        let (first, second) = (quick(&secret), quick(&secret));
        assert_ne!(first.head(), second.head());
        assert_ne!(first.key, second.key);
        assert_ne!(first.seal(b"", b"x").unwrap(), first.seal(b"", b"x").unwrap());
        assert_ne!(first.derive(b"a"), first.derive(b"b"));
    }

    #[test]
    fn a_changed_head_or_text_is_refused() {
        let secret = passphrase("correct horse");
        let sealing = quick(&secret);
        let mut head = Vec::new();
        sealing.head().encode(&mut head);
        assert_eq!(decoded(&head), Ok(*sealing.head()));
        for at in 0..head.len() {
            let mut changed = head.clone();
            changed[at] ^= 1;
            let refused = decoded(&changed).and_then(|head| Sealing::find(&head, &secret));
            assert!(refused.is_err(), "byte {at}");
        }
        for short in 0..head.len() {
            assert!(decoded(&head[..short]).is_err());
        }
        let sealed = sealing.seal(b"what", b"plain").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(sealing.open(b"what", &changed), Err(ProtectionError::Broken));
            assert_eq!(sealing.open(b"what", &sealed[..at]), Err(ProtectionError::Broken));
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let secret = passphrase("correct horse");
        let shown = format!("{secret:?} {:?}", Protection::Sealed(quick(&secret)));
        assert!(!shown.contains("horse") && shown.contains("hidden"), "{shown}");
    }
}
