//! The files of a home's secrets: a header line that says what it is; how it is protected; the
//! fields in the binary encoding of `tearline_crdt::codec`, in clear or sealed; and the SHA-256 of
//! everything before it, so that a cut or damaged file is told from a wrong passphrase.

use std::fmt;
use std::path::Path;

use tearline_crdt::bounds::NAME_BYTES_MAX;
use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::hash::sha256;
use zeroize::{Zeroize as _, Zeroizing};

use crate::failure::{Failure, Kind};
use crate::files::{random, read_secret};
use crate::protection::{Head, Method, Opener, Protection, ProtectionError};

/// Longest key file.
const FILE_BYTES_MAX: usize = 1024;

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
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
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
    /// The checksum holds, and how it is protected makes no sense.
    #[error("{0}")]
    Protection(#[from] ProtectionError),
}

/// What is kept in a key file.
pub(crate) trait Kept: Sized {
    /// Its first line.
    const HEADER: &[u8];
    /// What to do when it is damaged.
    const WAY_BACK: &str;

    /// Appends its fields.
    fn write_fields(&self, out: &mut Vec<u8>);

    /// Reads its fields.
    fn read_fields(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Its fields alone, as a backup holds them.
    fn fields(&self) -> Zeroizing<Vec<u8>> {
        // Reserved whole, so that no grown copy of the secrets is left behind.
        let mut fields = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX));
        self.write_fields(&mut fields);
        fields
    }

    /// Reads what [`Kept::fields`] gave.
    fn from_fields(fields: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(fields);
        let kept = Self::read_fields(&mut reader)?;
        reader.finish()?;
        Ok(kept)
    }

    /// The file's bytes.
    fn encode(&self, protection: &Protection) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let mut out = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX));
        out.raw(Self::HEADER);
        match protection {
            Protection::Clear => {
                out.push(CLEAR);
                self.write_fields(&mut out);
            }
            Protection::Sealed(sealing) => {
                out.push(SEALED);
                sealing.head().encode(&mut out);
                let sealed = sealing.seal(&out, &self.fields())?;
                out.raw(&sealed);
            }
        }
        let checksum = sha256(&out);
        out.raw(&checksum);
        Ok(out)
    }

    /// What a file holds, and how it is protected; nothing if there is no file.
    fn read(path: &Path, opener: &mut Opener) -> Result<Option<(Self, Protection)>, Failure> {
        let Some(file) = read_secret(path, FILE_BYTES_MAX)? else { return Ok(None) };
        let damaged = |error: KeyFileError| Self::damaged(path, &error);
        let (protection, fields) = match Parts::of(Self::HEADER, &file).map_err(damaged)? {
            Parts::Clear { fields } => (Protection::Clear, Zeroizing::new(fields.to_vec())),
            Parts::Sealed { head, before, sealed } => {
                let sealing = opener.open(&head, &path.display().to_string())?;
                let fields = sealing.open(before, sealed).map_err(|e| damaged(e.into()))?;
                (Protection::Sealed(sealing), fields)
            }
        };
        let kept = Self::from_fields(&fields).map_err(|error| damaged(error.into()))?;
        Ok(Some((kept, protection)))
    }

    /// What it takes to open a file: nothing when it is in clear. `None` if there is no file.
    fn method(path: &Path) -> Result<Option<Option<Method>>, Failure> {
        let Some(file) = read_secret(path, FILE_BYTES_MAX)? else { return Ok(None) };
        match Parts::of(Self::HEADER, &file).map_err(|error| Self::damaged(path, &error))? {
            Parts::Clear { .. } => Ok(Some(None)),
            Parts::Sealed { head, .. } => Ok(Some(Some(head.method))),
        }
    }

    /// The failure of whoever opens a damaged file.
    fn damaged(path: &Path, error: &KeyFileError) -> Failure {
        Failure::new(Kind::Integrity, format!("{}: {error}", path.display())).hint(Self::WAY_BACK)
    }
}

/// A file, taken apart.
enum Parts<'a> {
    Clear { fields: &'a [u8] },
    Sealed { head: Head, before: &'a [u8], sealed: &'a [u8] },
}

impl<'a> Parts<'a> {
    fn of(header: &[u8], file: &'a [u8]) -> Result<Self, KeyFileError> {
        if !file.starts_with(header) {
            // A prefix of the header is a cut file, not another kind of file.
            let cut = header.starts_with(file);
            return Err(if cut { KeyFileError::Checksum } else { KeyFileError::Header });
        }
        let (covered, checksum) = file.split_last_chunk::<32>().ok_or(KeyFileError::Checksum)?;
        if file.len() > FILE_BYTES_MAX || sha256(covered) != *checksum {
            return Err(KeyFileError::Checksum);
        }
        let mut reader = Reader::new(covered);
        reader.take(header.len(), "header")?;
        let at = reader.at();
        match reader.u8("protection")? {
            CLEAR => Ok(Self::Clear { fields: reader.take(reader.left(), "fields")? }),
            SEALED => {
                let head = Head::decode(&mut reader)?;
                let (before, sealed) = covered.split_at(reader.at());
                Ok(Self::Sealed { head, before, sealed })
            }
            _ => Ok(reader.invalid(at, "protection")?),
        }
    }
}

impl Kept for Identity {
    const HEADER: &[u8] = b"tearline device key 2 - secret, for this machine alone\n";
    const WAY_BACK: &str = "put a copy of this very file back, or restore a backup of this device: \
        `tearline backup restore`. If there is neither, its keys are lost: make another home, have it \
        enrolled, and say `tearline device lost` of this one";

    fn write_fields(&self, out: &mut Vec<u8>) {
        out.raw(&self.device_seed)
            .raw(&self.agreement_seed)
            .raw(&self.store_key)
            .raw(&self.incarnation.to_be_bytes());
    }

    fn read_fields(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            device_seed: reader.array("device seed")?,
            agreement_seed: reader.array("agreement seed")?,
            store_key: reader.array("store key")?,
            incarnation: u64::from_be_bytes(reader.array("incarnation")?),
        })
    }
}

impl Kept for Agency {
    const HEADER: &[u8] = b"tearline agency root 2 - secret, belongs offline\n";
    const WAY_BACK: &str = "put a copy of this very file back, or move it away and rebuild the root from \
        its recovery shares: `tearline root join`; or restore a backup of this device: \
        `tearline backup restore`";

    fn write_fields(&self, out: &mut Vec<u8>) {
        out.raw(&self.root_seed).bytes(self.name.as_bytes()).bytes(self.country.as_bytes());
    }

    fn read_fields(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            root_seed: reader.array("root seed")?,
            name: reader.text(NAME_BYTES_MAX, "agency name")?.to_owned(),
            country: reader.text(2, "country")?.to_owned(),
        })
    }
}

impl Identity {
    /// A new device.
    pub fn generate() -> Result<Self, Failure> {
        let mut identity = Self {
            device_seed: [0; 32],
            agreement_seed: [0; 32],
            store_key: [0; 32],
            incarnation: 0,
        };
        random(&mut identity.device_seed)?;
        random(&mut identity.agreement_seed)?;
        identity.renew_store_key()?;
        identity.reincarnate()?;
        Ok(identity)
    }

    /// The same device with another key for a store that is to be made.
    pub(crate) fn renew_store_key(&mut self) -> Result<(), Failure> {
        random(&mut self.store_key)
    }

    /// The same device in another life: what it writes from here on is in new logs.
    pub fn reincarnate(&mut self) -> Result<(), Failure> {
        let mut incarnation = [0; 8];
        random(&mut incarnation)?;
        self.incarnation = u64::from_be_bytes(incarnation);
        Ok(())
    }
}

impl Agency {
    /// A new agency. Fails when the name or the country's code cannot stand in a charter.
    pub fn generate(name: &str, country: &str) -> Result<Self, Failure> {
        check_name("an agency's name", name)?;
        let country = crate::country::read(country)?;
        let mut agency = Self { root_seed: [0; 32], name: name.to_owned(), country };
        random(&mut agency.root_seed)?;
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

/// Fails when a name is empty, too long, begins or ends with a space, or holds characters that a terminal acts
/// on.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), Failure> {
    let problem = if name.trim().is_empty() {
        "is empty"
    } else if name.len() > NAME_BYTES_MAX {
        "is too long"
    } else if name.chars().any(char::is_control) {
        "holds control characters"
    } else if name.trim() != name {
        "begins or ends with a space"
    } else {
        return Ok(());
    };
    Err(Failure::usage(format!("{what} {problem}"))
        .hint(format!("1 to {NAME_BYTES_MAX} bytes of text on one line")))
}

const CLEAR: u8 = 0;
const SEALED: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::write_atomically;
    use crate::protection::{KeyFile, Sealing, Secret, Sources};

    struct Case {
        folder: tempfile::TempDir,
        opener: Opener,
        protections: [Protection; 2],
    }

    impl Case {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let stick = folder.path().join("stick");
            let secret = Secret::KeyFile(KeyFile::create(&stick).unwrap());
            let sources = Sources { key_file: Some(stick), ..Sources::default() };
            let sealed = Protection::Sealed(Sealing::new(&secret).unwrap());
            let protections = [Protection::Clear, sealed];
            Self { folder, opener: Opener::new(sources), protections }
        }

        fn read<T: Kept>(&mut self, file: &[u8]) -> Result<T, Failure> {
            let path = self.folder.path().join("file");
            write_atomically(&path, file)?;
            T::read(&path, &mut self.opener).map(|found| found.unwrap().0)
        }
    }

    #[test]
    fn key_files_read_back_in_clear_and_sealed() {
        let mut case = Case::new();
        let identity = Identity::generate().unwrap();
        assert_ne!(identity.device_seed, identity.agreement_seed);
        let agency = Agency::generate("Garde nationale", "ne").unwrap();
        for number in 0..case.protections.len() {
            let file = identity.encode(&case.protections[number]).unwrap();
            let again: Identity = case.read(&file).unwrap();
            assert_eq!(again.device_seed, identity.device_seed);
            assert_eq!(again.agreement_seed, identity.agreement_seed);
            assert_eq!(again.store_key, identity.store_key);
            assert_eq!(again.incarnation, identity.incarnation);
            let file = agency.encode(&case.protections[number]).unwrap();
            let again: Agency = case.read(&file).unwrap();
            assert_eq!(again.root_seed, agency.root_seed);
            assert_eq!((again.name.as_str(), again.country.as_str()), ("Garde nationale", "NE"));
        }
    }

    #[test]
    fn a_sealed_file_holds_none_of_what_it_seals() {
        let case = Case::new();
        let identity = Identity::generate().unwrap();
        let holds = |file: &[u8], seed: &[u8; 32]| file.windows(8).any(|part| part == &seed[..8]);
        let [clear, sealed] = case.protections.each_ref().map(|p| identity.encode(p).unwrap());
        for seed in [&identity.device_seed, &identity.agreement_seed, &identity.store_key] {
            assert!(holds(&clear, seed), "the search works");
            assert!(!holds(&sealed, seed));
        }
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let mut case = Case::new();
        let agency = Agency::generate("A", "NE").unwrap();
        for number in 0..case.protections.len() {
            let file = agency.encode(&case.protections[number]).unwrap();
            for end in 0..file.len() {
                let failure = case.read::<Agency>(&file[..end]).unwrap_err();
                assert_eq!(failure.kind, Kind::Integrity, "cut at {end}");
            }
            for at in 0..file.len() {
                let mut changed = file.to_vec();
                changed[at] ^= 1;
                let failure = case.read::<Agency>(&changed).unwrap_err();
                assert_eq!(failure.kind, Kind::Integrity, "changed at {at}");
            }
            assert!(case.read::<Agency>(&[&file[..], b"\n"].concat()).is_err());
        }
    }

    #[test]
    fn one_who_mends_the_checksum_gains_nothing() {
        let mut case = Case::new();
        let agency = Agency::generate("A", "NE").unwrap();
        let file = agency.encode(&case.protections[1]).unwrap();
        for at in Agency::HEADER.len()..file.len() - 32 {
            let mut changed = file.to_vec();
            changed[at] ^= 1;
            let checksum = sha256(&changed[..file.len() - 32]);
            changed.truncate(file.len() - 32);
            changed.extend_from_slice(&checksum);
            assert!(case.read::<Agency>(&changed).is_err(), "changed at {at}");
        }
    }

    #[test]
    fn one_kind_of_key_file_is_not_taken_for_another() {
        let mut case = Case::new();
        let device = Identity::generate().unwrap().encode(&Protection::Clear).unwrap();
        let failure = case.read::<Agency>(&device).unwrap_err();
        assert!(failure.what.ends_with(&KeyFileError::Header.to_string()), "{failure}");
    }

    #[test]
    fn names_and_countries_that_no_charter_takes_are_refused() {
        let case = Case::new();
        let longest = "n".repeat(NAME_BYTES_MAX);
        let agency = Agency::generate(&longest, "NE").unwrap();
        assert!(agency.encode(&case.protections[1]).unwrap().len() <= FILE_BYTES_MAX);
        assert!(Agency::generate(&(longest + "n"), "NE").is_err());
        for (name, country) in
            [("", "NE"), (" ", "NE"), ("a\u{1b}[2J", "NE"), ("A", "NER"), ("A", "N1"), ("A", "YA")]
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
