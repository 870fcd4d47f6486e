//! A long text under one seal, in chunks: the STREAM construction (Hoang, Reyhanitabar, Rogaway,
//! Vizár: *Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance*, 2015) with
//! AES-256-GCM-SIV.
//!
//! ```text
//! file   = header line || head of the protection || SHA-256 of all before || chunk ...
//! chunk  = 64 KiB of text, the last one 0 bytes to 64 KiB, sealed, with its tag
//! nonce  = number of the chunk (8, big-endian) || 0 0 0 || 1 for the last chunk, else 0
//! bound  = everything before the first chunk
//! ```
//!
//! The number in the nonce makes a chunk fit its place alone, and the mark of the last one shows
//! that nothing is missing behind it. The key is drawn with a fresh salt for each file, so that no
//! nonce repeats, and a chunk of one file fits no other.

use std::io::{self, Read, Write};

use tearline_crdt::codec::Reader;
use tearline_crdt::hash::sha256;
use tearline_crdt::seal::{self, Key, TAG_BYTES};
use zeroize::Zeroizing;

use crate::failure::{Failure, Kind};
use crate::protection::{HEAD_BYTES_MAX, Head, Opener, ProtectionError, Sealing};

/// Bytes of text in every chunk but the last.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;

/// Why a stream cannot be read. Offsets are of the file.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    /// It does not begin as one.
    #[error("this is no backup of Tearline, or of another version")]
    Header,
    /// Its head is none that we accept.
    #[error("{0}")]
    Protection(#[from] ProtectionError),
    /// A chunk is not what was sealed in its place.
    #[error(
        "bytes {from} to {to} are not what was sealed there: the file is damaged, or parts of it \
         were moved or exchanged"
    )]
    Damaged {
        /// Where the chunk begins.
        from: u64,
        /// Where it ends.
        to: u64,
    },
    /// The last chunk that is there is not the last that was sealed.
    #[error("it is cut off at byte {at}: the rest is missing")]
    Truncated {
        /// Where it ends.
        at: u64,
    },
    /// There is something behind the last chunk that was sealed.
    #[error("something was added to it from byte {at} on")]
    Trailing {
        /// Where it should end.
        at: u64,
    },
    /// The medium refused.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl StreamError {
    /// The failure of whoever wanted to read the file.
    pub(super) fn failure(&self, file: &str) -> Failure {
        match self {
            Self::Protection(error) => error.failure(file),
            Self::Io(error) => Failure::failed(format!("{file} cannot be read: {error}")),
            _ => Failure::new(Kind::Integrity, format!("{file}: {self}")),
        }
    }

    /// The error behind one that went through [`io::Error`].
    pub(super) fn from_io(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(inner) => inner,
            Err(outer) => Self::Io(outer),
        }
    }
}

/// Seals what is written to it.
pub(super) struct Sealed<W> {
    out: W,
    chunks: Chunks,
    text: Zeroizing<Vec<u8>>,
}

impl<W: Write> Sealed<W> {
    /// Begins a file.
    pub(super) fn begin(mut out: W, sealing: &Sealing) -> io::Result<Self> {
        let mut head = HEADER.to_vec();
        sealing.head().encode(&mut head);
        head.extend_from_slice(&sha256(&head));
        out.write_all(&head)?;
        let text = Zeroizing::new(Vec::with_capacity(CHUNK_BYTES));
        Ok(Self { out, chunks: Chunks::new(sealing, head), text })
    }

    /// Ends the file. Without this it is cut off.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.chunk(true)?;
        Ok(self.out)
    }

    fn chunk(&mut self, last: bool) -> io::Result<()> {
        let sealed = self.chunks.seal(&self.text, last);
        self.text.clear();
        self.out.write_all(&sealed)
    }
}

impl<W: Write> Write for Sealed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk waits until more comes: only then is it known not to be the last.
        if self.text.len() == CHUNK_BYTES && !bytes.is_empty() {
            self.chunk(false)?;
        }
        let taken = bytes.len().min(CHUNK_BYTES - self.text.len());
        self.text.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens what is read from it. Errors are [`StreamError`]s inside [`io::Error`]s.
pub(super) struct Opened<R> {
    from: R,
    chunks: Chunks,
    text: Zeroizing<Vec<u8>>,
    text_at: usize,
    /// The first byte of the next chunk, when the last one showed that there is one.
    ahead: Option<u8>,
    /// Where the next chunk begins.
    at: u64,
    ended: bool,
}

impl<R: Read> Opened<R> {
    /// Reads a file's head and finds the key. `what` names the file to a person who is asked.
    pub(super) fn begin(mut from: R, opener: &mut Opener, what: &str) -> Result<Self, Failure> {
        let failure = |error: StreamError| error.failure(what);
        let io = |error: io::Error| StreamError::Io(error).failure(what);
        let mut head = vec![0; HEADER.len()];
        let got = fill(&mut from, &mut head).map_err(io)?;
        if got < head.len() || head != HEADER {
            return Err(failure(StreamError::Header));
        }
        // The head tells its own length: read on until it decodes.
        let found = loop {
            more(&mut from, &mut head, 1).map_err(failure)?;
            let mut reader = Reader::new(head.get(HEADER.len()..).unwrap_or_default());
            match Head::decode(&mut reader) {
                Ok(found) => break found,
                Err(ProtectionError::Malformed(_))
                    if head.len() < HEADER.len() + HEAD_BYTES_MAX => {}
                Err(error) => return Err(failure(error.into())),
            }
        };
        // Before the key is looked for, so that damage is not taken for a wrong passphrase.
        let checksum = sha256(&head);
        more(&mut from, &mut head, checksum.len()).map_err(failure)?;
        let at = head.len() as u64;
        if !head.ends_with(&checksum) {
            return Err(failure(StreamError::Damaged { from: 0, to: at }));
        }
        let sealing = opener.open(&found, what)?;
        Ok(Self {
            from,
            chunks: Chunks::new(&sealing, head),
            text: Zeroizing::default(),
            text_at: 0,
            ahead: None,
            at,
            ended: false,
        })
    }

    /// Where the next chunk begins, in the file.
    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    fn next_chunk(&mut self) -> Result<(), StreamError> {
        let mut sealed = vec![0; CHUNK_BYTES + TAG_BYTES + 1];
        let mut got = 0;
        if let (Some(byte), Some(first)) = (self.ahead.take(), sealed.first_mut()) {
            *first = byte;
            got = 1;
        }
        got += fill(&mut self.from, sealed.get_mut(got..).unwrap_or_default())?;
        let last = got <= CHUNK_BYTES + TAG_BYTES;
        if !last {
            self.ahead = sealed.last().copied();
            got -= 1;
        }
        sealed.truncate(got);
        let (from, to) = (self.at, self.at + got as u64);
        if got == 0 {
            return Err(StreamError::Truncated { at: from });
        }
        match self.chunks.open(&sealed, last) {
            Some(text) => self.text = text,
            None if self.chunks.open(&sealed, !last).is_some() => {
                return Err(if last {
                    StreamError::Truncated { at: to }
                } else {
                    StreamError::Trailing { at: to }
                });
            }
            None => return Err(StreamError::Damaged { from, to }),
        }
        self.chunks.number += 1;
        self.text_at = 0;
        self.at = to;
        self.ended = last;
        Ok(())
    }
}

impl<R: Read> Read for Opened<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.text_at == self.text.len() && !self.ended {
            self.next_chunk().map_err(io::Error::other)?;
        }
        let mut left = self.text.get(self.text_at..).unwrap_or_default();
        let taken = left.read(out)?;
        self.text_at += taken;
        Ok(taken)
    }
}

/// The key of a file's chunks, and the number of the next one.
struct Chunks {
    key: Key,
    bound: Vec<u8>,
    number: u64,
}

impl Chunks {
    fn new(sealing: &Sealing, bound: Vec<u8>) -> Self {
        Self { key: sealing.derive(b"tearline/1/backup"), bound, number: 0 }
    }

    fn seal(&mut self, text: &[u8], last: bool) -> Vec<u8> {
        let sealed = seal::seal(&self.key, &self.nonce(last), &self.bound, text);
        self.number += 1;
        sealed
    }

    fn open(&self, sealed: &[u8], last: bool) -> Option<Zeroizing<Vec<u8>>> {
        seal::open(&self.key, &self.nonce(last), &self.bound, sealed).ok().map(Zeroizing::new)
    }

    fn nonce(&self, last: bool) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&self.number.to_be_bytes());
        nonce[11] = u8::from(last);
        nonce
    }
}

/// Reads until `out` is full or nothing is left; returns how much it was.
fn fill(from: &mut impl Read, out: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while let Some(rest) = out.get_mut(got..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(read) => got += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

/// Reads so many bytes more.
fn more(from: &mut impl Read, into: &mut Vec<u8>, bytes: usize) -> Result<(), StreamError> {
    let at = into.len();
    into.resize(at + bytes, 0);
    let got = fill(from, into.get_mut(at..).unwrap_or_default())?;
    if got < bytes { Err(StreamError::Truncated { at: (at + got) as u64 }) } else { Ok(()) }
}

const HEADER: &[u8] = b"tearline backup 1 - sealed\n";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protection::{KeyFile, Secret, Sources};

    const SEALED_BYTES: usize = CHUNK_BYTES + TAG_BYTES;

    struct Case {
        _folder: tempfile::TempDir,
        opener: Opener,
        sealing: Sealing,
    }

    impl Case {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("key");
            let secret = Secret::KeyFile(KeyFile::create(&path).unwrap());
            let sources = Sources { key_file: Some(path), ..Sources::default() };
            let sealing = Sealing::new(&secret).unwrap();
            Self { _folder: folder, opener: Opener::new(sources), sealing }
        }

        fn seal(&self, text: &[u8]) -> Vec<u8> {
            let mut sealed = Sealed::begin(Vec::new(), &self.sealing).unwrap();
            sealed.write_all(text).unwrap();
            sealed.finish().unwrap()
        }

        fn open(&mut self, file: &[u8]) -> Result<Vec<u8>, StreamError> {
            let mut opened = Opened::begin(file, &mut self.opener, "x").unwrap();
            let mut text = Vec::new();
            opened.read_to_end(&mut text).map_err(StreamError::from_io)?;
            Ok(text)
        }
    }

    fn text(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| (at / CHUNK_BYTES) as u8 ^ at as u8).collect()
    }

    #[test]
    fn texts_around_the_bounds_of_chunks_read_back() {
        let mut case = Case::new();
        for bytes in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
            let file = case.seal(&text(bytes));
            let chunks = bytes.div_ceil(CHUNK_BYTES).max(1);
            let head = case.seal(&[]).len() - TAG_BYTES;
            assert_eq!(file.len(), head + bytes + chunks * TAG_BYTES);
            assert_eq!(case.open(&file).unwrap(), text(bytes), "{bytes}");
        }
    }

    #[test]
    fn a_file_that_was_cut_or_lengthened_says_where() {
        let mut case = Case::new();
        let file = case.seal(&text(2 * CHUNK_BYTES + 5));
        let head = case.seal(&[]).len() - TAG_BYTES;
        for (end, expected) in [(head, head), (head + SEALED_BYTES, head + SEALED_BYTES)] {
            let error = case.open(&file[..end]).unwrap_err();
            assert!(
                matches!(error, StreamError::Truncated { at } if at == expected as u64),
                "{error}"
            );
        }
        for end in [head + 1, head + 100, head + SEALED_BYTES + 1, file.len() - 1] {
            let error = case.open(&file[..end]).unwrap_err();
            assert!(matches!(error, StreamError::Damaged { .. }), "{error}");
        }
        let whole = case.seal(&text(CHUNK_BYTES));
        let longer = [&whole[..], b"x"].concat();
        let error = case.open(&longer).unwrap_err();
        assert!(
            matches!(error, StreamError::Trailing { at } if at == whole.len() as u64),
            "{error}"
        );
        for end in 0..head {
            let failure = Opened::begin(&file[..end], &mut case.opener, "x").err().unwrap();
            assert_eq!(failure.kind, Kind::Integrity, "cut at {end}");
        }
    }

    #[test]
    fn chunks_fit_their_own_place_in_their_own_file() {
        let mut case = Case::new();
        let file = case.seal(&text(3 * CHUNK_BYTES));
        let head = case.seal(&[]).len() - TAG_BYTES;
        let chunk = |n: usize| head + n * SEALED_BYTES..head + (n + 1) * SEALED_BYTES;
        let mut swapped = file.clone();
        swapped[chunk(0)].copy_from_slice(&file[chunk(1)]);
        swapped[chunk(1)].copy_from_slice(&file[chunk(0)]);
        let error = case.open(&swapped).unwrap_err();
        let (first, end) = (head as u64, chunk(0).end as u64);
        assert!(matches!(error, StreamError::Damaged { from, to } if from == first && to == end));
        let mut dropped = file.clone();
        dropped.drain(chunk(1));
        assert!(matches!(case.open(&dropped), Err(StreamError::Damaged { .. })));
        let other = Case::new().seal(&text(3 * CHUNK_BYTES));
        let mut exchanged = file;
        exchanged[chunk(1)].copy_from_slice(&other[chunk(1)]);
        assert!(matches!(case.open(&exchanged), Err(StreamError::Damaged { .. })));
    }

    #[test]
    fn a_changed_head_opens_nothing() {
        let mut case = Case::new();
        let file = case.seal(b"text");
        let head = case.seal(&[]).len() - TAG_BYTES;
        for at in 0..head {
            let mut changed = file.clone();
            changed[at] ^= 1;
            let failure = Opened::begin(&changed[..], &mut case.opener, "x").err().unwrap();
            assert_eq!(failure.kind, Kind::Integrity, "byte {at}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_changed_byte_is_noticed_in_its_chunk(
            bytes in 0..2 * CHUNK_BYTES + 9, place in any::<prop::sample::Index>(), bit in 0..8_u8,
        ) {
            let mut case = Case::new();
            let mut file = case.seal(&text(bytes));
            let head = case.seal(&[]).len() - TAG_BYTES;
            let at = head + place.index(file.len() - head);
            file[at] ^= 1 << bit;
            match case.open(&file) {
                Err(StreamError::Damaged { from, to }) => {
                    prop_assert!((from..to).contains(&(at as u64)));
                }
                other => prop_assert!(false, "{:?}", other.map(|text| text.len())),
            }
        }
    }
}
