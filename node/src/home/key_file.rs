//! The files of secrets: a header line that says what it is, the fields in the binary encoding of
//! `tearline_crdt::codec`, and the SHA-256 of everything before it, so that a cut or damaged file
//! is noticed before a wrong key is used.

use std::fmt;

use tearline_crdt::bounds::NAME_BYTES_MAX;
use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::hash::sha256;
use zeroize::{Zeroize as _, Zeroizing};

use crate::failure::Failure;

/// Longest key file.
pub(super) const FILE_BYTES_MAX: usize = 1024;

/// What makes a device itself.
pub struct Identity {
    /// Seed of its Ed25519 key.
    pub device_seed: [u8; 32],
    /// Seed of its X25519 key.
    pub agreement_seed: [u8; 32],
    /// The key that its store is sealed under.
    pub store_key: [u8; 32],
    /// Which life of the device this is: random, fresh on init, restore and rebuild.
    pub incarnation: u64,
}

/// An agency's root: who the agency is.
pub struct Agency {
    /// Seed of its Ed25519 key.
    pub root_seed: [u8; 32],
    /// Its name.
    pub name: String,
    /// Its country's ISO 3166-1 alpha-2 code, upper case.
    pub country: String,
}

/// Why bytes are no key file.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyFileError {
    /// The header line is another one.
    #[error("this is not the expected kind of key file")]
    Header,
    /// Cut, lengthened or changed.
    #[error("the key file is damaged or incomplete: its checksum does not match")]
    Checksum,
    /// The checksum holds, and what it covers makes no sense.
    #[error("the key file does not decode: {0}")]
    Malformed(#[from] DecodeError),
}

impl Identity {
    /// A new device.
    pub fn generate() -> Result<Self, Failure> {
        let mut incarnation = [0; 8];
        let mut identity = Self {
            device_seed: [0; 32],
            agreement_seed: [0; 32],
            store_key: [0; 32],
            incarnation: 0,
        };
        random(&mut identity.device_seed)?;
        random(&mut identity.agreement_seed)?;
        random(&mut identity.store_key)?;
        random(&mut incarnation)?;
        identity.incarnation = u64::from_be_bytes(incarnation);
        Ok(identity)
    }

    /// The same device in another life: what it writes from here on is in new logs.
    pub fn reincarnate(&mut self) -> Result<(), Failure> {
        let mut incarnation = [0; 8];
        random(&mut incarnation)?;
        self.incarnation = u64::from_be_bytes(incarnation);
        Ok(())
    }

    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        encode(DEVICE_HEADER, |out| {
            out.raw(&self.device_seed)
                .raw(&self.agreement_seed)
                .raw(&self.store_key)
                .raw(&self.incarnation.to_be_bytes());
        })
    }

    /// Reads what [`Identity::encode`] wrote.
    pub fn decode(file: &[u8]) -> Result<Self, KeyFileError> {
        let mut reader = open(DEVICE_HEADER, file)?;
        let identity = Self {
            device_seed: reader.array("device seed")?,
            agreement_seed: reader.array("agreement seed")?,
            store_key: reader.array("store key")?,
            incarnation: u64::from_be_bytes(reader.array("incarnation")?),
        };
        reader.finish()?;
        Ok(identity)
    }
}

impl Agency {
    /// A new agency. Fails when the name or the country's code cannot stand in a charter.
    pub fn generate(name: &str, country: &str) -> Result<Self, Failure> {
        check_name("an agency's name", name)?;
        let country = country.to_ascii_uppercase();
        if country.len() != 2 || !country.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(Failure::usage(format!("{country:?} is not a country's code"))
                .hint("two letters, as in ISO 3166-1: NE"));
        }
        let mut agency = Self { root_seed: [0; 32], name: name.to_owned(), country };
        random(&mut agency.root_seed)?;
        Ok(agency)
    }

    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        encode(AGENCY_HEADER, |out| {
            out.raw(&self.root_seed).bytes(self.name.as_bytes()).bytes(self.country.as_bytes());
        })
    }

    /// Reads what [`Agency::encode`] wrote.
    pub fn decode(file: &[u8]) -> Result<Self, KeyFileError> {
        let mut reader = open(AGENCY_HEADER, file)?;
        let agency = Self {
            root_seed: reader.array("root seed")?,
            name: reader.text(NAME_BYTES_MAX, "agency name")?.to_owned(),
            country: reader.text(2, "country")?.to_owned(),
        };
        reader.finish()?;
        Ok(agency)
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.device_seed.zeroize();
        self.agreement_seed.zeroize();
        self.store_key.zeroize();
    }
}

impl Drop for Agency {
    fn drop(&mut self) {
        self.root_seed.zeroize();
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(hidden)")
    }
}

impl fmt::Debug for Agency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Agency({:?}, {}, hidden)", self.name, self.country)
    }
}

/// Fails when a name is empty, too long, or holds characters that a terminal acts on.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), Failure> {
    let problem = if name.trim().is_empty() {
        "is empty"
    } else if name.len() > NAME_BYTES_MAX {
        "is too long"
    } else if name.chars().any(char::is_control) {
        "holds control characters"
    } else {
        return Ok(());
    };
    Err(Failure::usage(format!("{what} {problem}"))
        .hint(format!("1 to {NAME_BYTES_MAX} bytes of text on one line")))
}

fn encode(header: &[u8], fields: impl FnOnce(&mut Vec<u8>)) -> Zeroizing<Vec<u8>> {
    // Reserved whole, so that no grown copy of the secrets is left behind.
    let mut out = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX));
    out.extend_from_slice(header);
    fields(&mut out);
    let checksum = sha256(&out);
    out.extend_from_slice(&checksum);
    out
}

fn open<'a>(header: &[u8], file: &'a [u8]) -> Result<Reader<'a>, KeyFileError> {
    if !file.starts_with(header) {
        // A prefix of the header is a cut file, not another kind of file.
        let cut = header.starts_with(file);
        return Err(if cut { KeyFileError::Checksum } else { KeyFileError::Header });
    }
    let (covered, checksum) = file.split_last_chunk::<32>().ok_or(KeyFileError::Checksum)?;
    if file.len() > FILE_BYTES_MAX || sha256(covered) != *checksum {
        return Err(KeyFileError::Checksum);
    }
    let body = covered.get(header.len()..).ok_or(KeyFileError::Checksum)?;
    Ok(Reader::new(body))
}

fn random(out: &mut [u8]) -> Result<(), Failure> {
    getrandom::fill(out)
        .map_err(|error| Failure::failed(format!("the system gives no randomness: {error}")))
}

const DEVICE_HEADER: &[u8] = b"tearline device key 1 - secret, for this machine alone\n";
const AGENCY_HEADER: &[u8] = b"tearline agency root 1 - secret, belongs offline\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_files_read_back() {
        let identity = Identity::generate().unwrap();
        let again = Identity::decode(&identity.encode()).unwrap();
        assert_eq!(again.device_seed, identity.device_seed);
        assert_eq!(again.agreement_seed, identity.agreement_seed);
        assert_eq!(again.store_key, identity.store_key);
        assert_eq!(again.incarnation, identity.incarnation);
        assert_ne!(identity.device_seed, identity.agreement_seed);

        let agency = Agency::generate("Garde nationale", "ne").unwrap();
        let again = Agency::decode(&agency.encode()).unwrap();
        assert_eq!(again.root_seed, agency.root_seed);
        assert_eq!((again.name.as_str(), again.country.as_str()), ("Garde nationale", "NE"));
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let file = Agency::generate("A", "NE").unwrap().encode();
        for end in 0..file.len() {
            assert!(Agency::decode(&file[..end]).is_err(), "cut at {end}");
        }
        for at in 0..file.len() {
            let mut changed = file.to_vec();
            changed[at] ^= 1;
            assert!(Agency::decode(&changed).is_err(), "changed at {at}");
        }
        let longer = [&file[..], b"\n"].concat();
        assert_eq!(Agency::decode(&longer).err(), Some(KeyFileError::Checksum));
    }

    #[test]
    fn one_kind_of_key_file_is_not_taken_for_another() {
        let device = Identity::generate().unwrap().encode();
        assert_eq!(Agency::decode(&device).err(), Some(KeyFileError::Header));
    }

    #[test]
    fn names_and_countries_that_no_charter_takes_are_refused() {
        let longest = "n".repeat(NAME_BYTES_MAX);
        assert!(Agency::generate(&longest, "NE").unwrap().encode().len() <= FILE_BYTES_MAX);
        assert!(Agency::generate(&(longest + "n"), "NE").is_err());
        for (name, country) in
            [("", "NE"), (" ", "NE"), ("a\u{1b}[2J", "NE"), ("A", "NER"), ("A", "N1"), ("A", "É")]
        {
            assert!(Agency::generate(name, country).is_err(), "{name:?} {country:?}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let identity = Identity {
            device_seed: [7; 32],
            agreement_seed: [7; 32],
            store_key: [7; 32],
            incarnation: 1,
        };
        assert_eq!(format!("{identity:?}"), "Identity(hidden)");
        let agency = Agency { root_seed: [7; 32], name: "A".into(), country: "NE".into() };
        assert_eq!(format!("{agency:?}"), "Agency(\"A\", NE, hidden)");
    }
}
