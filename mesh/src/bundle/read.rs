//! Reading a bundle: frames, each from chunks that hold, up to the place where the file does not.

use std::io::{self, Read};

use tearline_crdt::hash::{Digest, Domain, sha256};
use tearline_crdt::id::DeviceId;
use tearline_crdt::keys::{self, DeviceKeys};
use tearline_crdt::seal::{self, Key};
use tearline_crdt::time::WallTime;

use super::slot::{self, Payload};
use super::{
    CHUNK_BYTES, CONTENT_BYTES, Chunks, Head, LENGTH_BYTES, MAGIC, SLOT_BYTES, SLOTS, START_BYTES,
    VERSION,
};
use crate::wire::FRAME_BYTES_MAX;

/// Why a bundle is not read, or not further. Offsets are of the file.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It does not begin as one.
    #[error("this is no bundle of Tearline")]
    NoBundle,
    /// It is of a version that this program does not know.
    #[error("this is a bundle of version {0}, which this program does not know")]
    Version(u8),
    /// No slot of it opens. Which of the two it is cannot be told.
    #[error("it is for other devices, or its first {head_bytes} bytes are damaged")]
    NotForThis {
        /// The size of its head.
        head_bytes: u64,
    },
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
    /// A chunk was sealed by somebody who had the file's key, and not signed by its maker.
    #[error("bytes {from} to {to} are not signed by the device that the bundle says made it")]
    Forged {
        /// Where the chunk begins.
        from: u64,
        /// Where it ends.
        to: u64,
    },
    /// What its maker sealed and signed is no row of frames.
    #[error("what its maker put before byte {at} makes no sense")]
    Content {
        /// Where the chunk ends that was read last.
        at: u64,
    },
    /// The last chunk that is there is not the last that was sealed.
    #[error("it is torn off at byte {at}: the rest is missing")]
    Torn {
        /// Where it ends.
        at: u64,
    },
    /// There is something behind the last chunk.
    #[error("something was added to it from byte {at} on")]
    Trailing {
        /// Where it should end.
        at: u64,
    },
    /// The medium refused.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Reads a bundle: [`Reader::begin`], then [`Reader::frame`] until there is none or an error.
pub struct Reader<R> {
    from: R,
    head: Head,
    chunks: Chunks,
    /// Content that holds, and how much of it was given.
    content: Vec<u8>,
    given: usize,
    /// Where the next chunk begins.
    at: u64,
    ended: bool,
}

impl<R> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({:?}, byte {})", self.head, self.at)
    }
}

impl<R: Read> Reader<R> {
    /// Reads the head and opens the slot that is for these keys.
    pub fn begin(mut from: R, keys: &DeviceKeys) -> Result<Self, BundleError> {
        let head = whole_head(&mut from)?;
        let at = head.len() as u64;
        let slots = head.get(START_BYTES..).unwrap_or_default().chunks_exact(SLOT_BYTES);
        let opened = slots.into_iter().find_map(|one| slot::open(keys, one));
        let (agreement, payload) = opened.ok_or(BundleError::NotForThis { head_bytes: at })?;
        let name = sha256(&head);
        let (key, maker, made) = parts(&payload).ok_or(BundleError::NoBundle)?;
        Ok(Self {
            from,
            head: Head { name, maker, agreement, made },
            chunks: Chunks { key, name, number: 0 },
            content: Vec::new(),
            given: 0,
            at,
            ended: false,
        })
    }

    /// What its head says.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// Where the next chunk begins, in the file.
    #[must_use]
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// The next frame; `None` after the last, when the file has ended as it should. After an error
    /// there is nothing more.
    pub fn frame(&mut self) -> Result<Option<Vec<u8>>, BundleError> {
        self.have(LENGTH_BYTES)?;
        let length = self.rest().first_chunk::<LENGTH_BYTES>();
        let length = length.map_or(0, |length| u32::from_be_bytes(*length) as usize);
        if length == 0 {
            return self.end().map(|()| None);
        }
        let content = |at| BundleError::Content { at };
        if length > FRAME_BYTES_MAX || !self.have(LENGTH_BYTES + length)? {
            return Err(content(self.at));
        }
        let frame =
            self.rest().get(LENGTH_BYTES..LENGTH_BYTES + length).unwrap_or_default().to_vec();
        self.given += LENGTH_BYTES + length;
        Ok(Some(frame))
    }

    /// Checks that nothing but zeros follows, up to the end of the file.
    fn end(&mut self) -> Result<(), BundleError> {
        loop {
            if self.rest().iter().any(|byte| *byte != 0) {
                return Err(BundleError::Content { at: self.at });
            }
            self.given = self.content.len();
            if self.ended {
                break;
            }
            self.chunk()?;
        }
        match fill(&mut self.from, &mut [0])? {
            0 => Ok(()),
            _ => Err(BundleError::Trailing { at: self.at }),
        }
    }

    /// Reads on until there are so many bytes of content; false if there are no more.
    fn have(&mut self, bytes: usize) -> Result<bool, BundleError> {
        while self.rest().len() < bytes && !self.ended {
            self.chunk()?;
        }
        Ok(self.rest().len() >= bytes)
    }

    /// Content that was not given yet.
    fn rest(&self) -> &[u8] {
        self.content.get(self.given..).unwrap_or_default()
    }

    fn chunk(&mut self) -> Result<(), BundleError> {
        let mut sealed = vec![0; CHUNK_BYTES];
        let got = fill(&mut self.from, &mut sealed)?;
        let (from, to) = (self.at, self.at + got as u64);
        if got < CHUNK_BYTES {
            return Err(BundleError::Torn { at: to });
        }
        let Chunks { key, name, .. } = &self.chunks;
        let open = |last| seal::open(key, &self.chunks.nonce(last), name, &sealed).ok();
        let opened = [false, true].into_iter().find_map(|last| Some((last, open(last)?)));
        let (last, plain) = opened.ok_or(BundleError::Damaged { from, to })?;
        let (signature, content) =
            plain.split_first_chunk().ok_or(BundleError::Damaged { from, to })?;
        debug_assert_eq!(content.len(), CONTENT_BYTES);
        let signed = self.chunks.signed(last, content);
        if !keys::verify(&self.head.maker.0, Domain::BundleChunk, &signed, signature) {
            return Err(BundleError::Forged { from, to });
        }
        self.content.drain(..self.given);
        self.given = 0;
        self.content.extend_from_slice(content);
        self.chunks.number += 1;
        self.at = to;
        self.ended = last;
        Ok(())
    }
}

/// The head of a bundle, before anything of it is opened.
fn whole_head(from: &mut impl Read) -> Result<Vec<u8>, BundleError> {
    let mut head = vec![0; START_BYTES];
    let got = fill(from, &mut head)?;
    let begun = head.get(..got.min(MAGIC.len())).unwrap_or_default();
    if got < MAGIC.len() || begun != MAGIC {
        // Of what is shorter than that nobody can say what it was.
        return Err(BundleError::NoBundle);
    }
    if got < START_BYTES {
        return Err(BundleError::Torn { at: got as u64 });
    }
    let (version, slots) = match head.get(MAGIC.len()..) {
        Some(&[version, slots]) => (version, usize::from(slots)),
        _ => return Err(BundleError::NoBundle),
    };
    if version != VERSION {
        return Err(BundleError::Version(version));
    }
    if !SLOTS.contains(&slots) {
        return Err(BundleError::NoBundle);
    }
    head.resize(START_BYTES + slots * SLOT_BYTES, 0);
    let got = fill(from, head.get_mut(START_BYTES..).unwrap_or_default())?;
    let at = (START_BYTES + got) as u64;
    if (at as usize) < head.len() {
        return Err(BundleError::Torn { at });
    }
    Ok(head)
}

/// What anybody can tell of a bundle who finds it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Outline {
    /// Its name.
    pub name: Digest,
    /// For how many devices it is, at least and at most.
    pub recipients: (usize, usize),
    /// Where it is torn off, if its length says so. It may be torn where a chunk ends, too.
    pub torn_at: Option<u64>,
}

impl Outline {
    /// Of a file of so many bytes, of which the head is read.
    pub fn read(from: &mut impl Read, bytes: u64) -> Result<Self, BundleError> {
        let head = whole_head(from)?;
        let slots = (head.len() - START_BYTES) / SLOT_BYTES;
        let fewer = SLOTS.into_iter().rev().find(|fewer| *fewer < slots).unwrap_or_default();
        let content = bytes.saturating_sub(head.len() as u64);
        let is_torn = content == 0 || !content.is_multiple_of(CHUNK_BYTES as u64);
        Ok(Self {
            name: sha256(&head),
            recipients: (fewer + 1, slots),
            torn_at: is_torn.then_some(bytes),
        })
    }
}

/// File key, maker and time of a slot's payload.
fn parts(payload: &Payload) -> Option<(Key, DeviceId, WallTime)> {
    let (key, rest) = payload.split_first_chunk::<32>()?;
    let (maker, made) = rest.split_first_chunk::<32>()?;
    let made = WallTime(u64::from_be_bytes(made.try_into().ok()?));
    Some((Key::new(*key), DeviceId(*maker), made))
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
