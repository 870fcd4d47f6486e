//! Writing a bundle. What goes in is bounded beforehand, and the rest of the last chunks is zeros.

use std::io::{self, Write};

use tearline_crdt::entropy::Entropy;
use tearline_crdt::hash::{Domain, sha256};
use tearline_crdt::keys::DeviceKeys;
use tearline_crdt::seal::{self, Key};
use tearline_crdt::time::WallTime;

use super::slot::{self, PAYLOAD_BYTES, Payload};
use super::{
    CHUNK_BYTES, CONTENT_BYTES, Chunks, Head, LENGTH_BYTES, MAGIC, PLAIN_BYTES, RECIPIENTS_MAX,
    SLOT_BYTES, SLOTS, START_BYTES, VERSION, padded, padded_below,
};

/// Why a bundle cannot be written. All but `Io` are said before anything is written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It is for nobody, or for too many.
    #[error("a bundle is for 1 to {RECIPIENTS_MAX} devices, and not for {0}")]
    Recipients(usize),
    /// A recipient's agreement key is of small order: anybody could open what is sealed to it.
    #[error("the agreement key of recipient {index} is of small order")]
    WeakKey {
        /// Which, from 0.
        index: usize,
    },
    /// It may not even be as large as an empty one.
    #[error("a bundle for so many takes at least {bytes_min} bytes")]
    TooSmall {
        /// The size of an empty one.
        bytes_min: u64,
    },
    /// The medium refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes a bundle: [`Writer::begin`], [`Writer::frame`] each, [`Writer::finish`].
pub struct Writer<'k, W> {
    out: W,
    keys: &'k DeviceKeys,
    head: Head,
    chunks: Chunks,
    content: Vec<u8>,
    /// Bytes of frames and lengths that may still go in.
    room: u64,
}

impl<W> std::fmt::Debug for Writer<'_, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writer({:?}, chunk {})", self.head, self.chunks.number)
    }
}

impl<'k, W: Write> Writer<'k, W> {
    /// Begins a bundle of at most `bytes_max` bytes for the devices with these agreement keys.
    pub fn begin(
        mut out: W,
        keys: &'k DeviceKeys,
        to: &[[u8; 32]],
        made: WallTime,
        bytes_max: u64,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, WriteError> {
        let slots = SLOTS.into_iter().find(|slots| !to.is_empty() && to.len() <= *slots);
        let slots = slots.ok_or(WriteError::Recipients(to.len()))?;
        let head_bytes = (START_BYTES + slots * SLOT_BYTES) as u64;
        let chunks_max = bytes_max.saturating_sub(head_bytes) / CHUNK_BYTES as u64;
        if chunks_max == 0 {
            return Err(WriteError::TooSmall { bytes_min: head_bytes + CHUNK_BYTES as u64 });
        }
        let mut key = Key::default();
        entropy.fill(key.as_mut_slice());
        let mut payload = Payload::new([0; PAYLOAD_BYTES]);
        let maker = keys.id();
        let parts = key.iter().chain(&maker.0).copied().chain(made.0.to_be_bytes());
        payload.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        let mut sealed = Vec::with_capacity(slots);
        for (index, key) in to.iter().enumerate() {
            let slot = slot::seal(keys, key, &payload, entropy);
            sealed.push(slot.ok_or(WriteError::WeakKey { index })?);
        }
        let empty = Payload::new([0; PAYLOAD_BYTES]);
        while sealed.len() < slots {
            // To a device that there is not.
            let mut seeds = [Key::default(), Key::default()];
            seeds.iter_mut().for_each(|seed| entropy.fill(seed.as_mut_slice()));
            let [signing, receiving] = &seeds;
            let nobody = DeviceKeys::from_seeds(signing, receiving);
            let slot = slot::seal(&nobody, &nobody.agreement(), &empty, entropy);
            sealed.push(slot.ok_or(WriteError::WeakKey { index: sealed.len() })?);
        }
        // Each begins with a random key: so sorted, their order tells nothing.
        sealed.sort_unstable();
        let head = [&MAGIC[..], &[VERSION, slots as u8], &sealed.concat()].concat();
        out.write_all(&head)?;
        let name = sha256(&head);
        Ok(Self {
            out,
            keys,
            head: Head { name, maker, agreement: keys.agreement(), made },
            chunks: Chunks { key, name, number: 0 },
            content: Vec::with_capacity(CONTENT_BYTES),
            room: padded_below(chunks_max) * CONTENT_BYTES as u64,
        })
    }

    /// What its head says.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// The longest frame that still fits, in bytes.
    #[must_use]
    pub const fn room(&self) -> u64 {
        self.room.saturating_sub(LENGTH_BYTES as u64)
    }

    /// Writes a frame that fits [`Writer::room`] and is not empty.
    pub fn frame(&mut self, frame: &[u8]) -> io::Result<()> {
        debug_assert!(!frame.is_empty() && frame.len() as u64 <= self.room());
        self.room = self.room().saturating_sub(frame.len() as u64);
        self.write(&(frame.len() as u32).to_be_bytes())?;
        self.write(frame)
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            // A full chunk waits until more comes: only then is it known not to be the last.
            if self.content.len() == CONTENT_BYTES {
                self.chunk(false)?;
            }
            let fits = bytes.len().min(CONTENT_BYTES - self.content.len());
            let (taken, rest) = bytes.split_at(fits);
            self.content.extend_from_slice(taken);
            bytes = rest;
        }
        Ok(())
    }

    /// Ends the file. Without this it is torn.
    pub fn finish(mut self) -> io::Result<W> {
        let chunks = padded(self.chunks.number + 1);
        while self.chunks.number + 1 < chunks {
            self.chunk(false)?;
        }
        self.chunk(true)?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// Writes what there is, with zeros behind it, as a chunk.
    fn chunk(&mut self, last: bool) -> io::Result<()> {
        self.content.resize(CONTENT_BYTES, 0);
        let signed = self.chunks.signed(last, &self.content);
        let signature = self.keys.signer().sign(Domain::BundleChunk, &signed);
        let mut plain = Vec::with_capacity(PLAIN_BYTES);
        plain.extend_from_slice(&signature);
        plain.append(&mut self.content);
        let Chunks { key, name, .. } = &self.chunks;
        let sealed = seal::seal(key, &self.chunks.nonce(last), name, &plain);
        self.chunks.number += 1;
        self.out.write_all(&sealed)
    }
}
