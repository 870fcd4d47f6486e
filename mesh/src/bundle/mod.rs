//! Bundles: a file that carries what one post has for some others, on whatever is carried by hand.
//! `docs/protocol/bundle.md` describes it to the byte.
//!
//! ```text
//! file      = head || chunk (65,536) ...
//! head      = magic (16) || version (1) || number of slots (1) || slot (168) ...
//! slot      = Noise X message to one recipient, payload: file key (32), maker (32), made at (8)
//! chunk     = AES-256-GCM-SIV of: signature (64) || content (65,456)
//! content   = frames, each behind its length (4), then zeros to the end of the last chunk
//! ```
//! Whoever finds the file learns that it is a bundle, the number of its slots and of its chunks, and
//! both are rounded up. Each recipient opens one slot, which proves who made it to this recipient
//! alone, and gets the file key. As all recipients have that key, the maker signs each chunk besides:
//! one of them cannot give another something else in the maker's name. A chunk fits its own place in
//! its own file. What is behind a place where the file is torn or damaged is not used; what is before
//! it is as good as ever.
//!
//! [`Writer`] and [`Reader`] know nothing of what the frames say; that is
//! [`Replica`](crate::Replica)'s, which packs them and takes them as from a link.

mod read;
mod slot;
#[cfg(test)]
mod tests;
mod write;

use tearline_crdt::hash::{Digest, Domain};
use tearline_crdt::id::{CompartmentId, DeviceId};
use tearline_crdt::seal::{Key, TAG_BYTES};
use tearline_crdt::time::WallTime;

pub use read::{BundleError, Outline, Reader};
pub use slot::SLOT_BYTES;
pub use write::{WriteError, Writer};

use crate::wire::Tag;

/// What a bundle begins with, and its version.
const MAGIC: &[u8; 16] = b"tearline bundle\n";
const VERSION: u8 = 1;
/// Magic, version and number of slots.
const START_BYTES: usize = MAGIC.len() + 2;
/// Numbers of slots that there may be: with others, how many recipients there are would show.
const SLOTS: [usize; 5] = [4, 8, 16, 32, RECIPIENTS_MAX];
/// Most devices that one bundle is for.
pub const RECIPIENTS_MAX: usize = 64;
/// A chunk in the file, what is sealed in it, and the frames' part of that.
pub const CHUNK_BYTES: usize = 64 * 1024;
const PLAIN_BYTES: usize = CHUNK_BYTES - TAG_BYTES;
const SIGNATURE_BYTES: usize = 64;
const CONTENT_BYTES: usize = PLAIN_BYTES - SIGNATURE_BYTES;
/// The length in front of each frame.
const LENGTH_BYTES: usize = 4;

/// What the head of a bundle says to whom it is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Head {
    /// The bundle's name: SHA-256 of all before the first chunk.
    pub name: Digest,
    /// Who made it. The chunks are signed by this device; that the agreement key is this device's, its
    /// card has to say.
    pub maker: DeviceId,
    /// The agreement key that sealed the slot.
    pub agreement: [u8; 32],
    /// When it was made, by the maker's clock.
    pub made: WallTime,
}

/// What an area is called in a bundle: who does not know the area learns nothing from it.
#[must_use]
pub fn tag(name: &Digest, area: &CompartmentId) -> Tag {
    let hash = Domain::BundleArea.hash(&[&area.0, name]);
    let mut tag = Tag::default();
    tag.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    tag
}

/// The seal of the chunks of one file.
struct Chunks {
    key: Key,
    name: Digest,
    /// Number of the next one.
    number: u64,
}

impl Chunks {
    /// `number (8, big-endian) || 0 0 0 || 1 in the last chunk, else 0`. The key is of one file, so
    /// that no nonce repeats.
    fn nonce(&self, last: bool) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&self.number.to_be_bytes());
        nonce[11] = u8::from(last);
        nonce
    }

    /// What the maker signs of a chunk.
    fn signed(&self, last: bool, content: &[u8]) -> Vec<u8> {
        [&self.name[..], &self.nonce(last), content].concat()
    }
}

/// How many chunks a file has whose content takes so many: above 16, so that the rounded number has
/// no more than four significant bits, at most an eighth more.
fn padded(chunks: u64) -> u64 {
    chunks.next_multiple_of(step(chunks))
}

/// The largest such number that is not above another.
fn padded_below(chunks: u64) -> u64 {
    chunks - chunks % step(chunks)
}

fn step(chunks: u64) -> u64 {
    1 << chunks.max(1).ilog2().saturating_sub(3)
}
