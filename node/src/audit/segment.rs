//! A segment: sealed entries, one after the other.
//!
//! `length (4) || nonce (12) || seal(hash before it (32) || JSON)`. The entry's number is part of what is
//! sealed to, so that no frame opens in another place.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use tearline_crdt::hash::Digest;
use tearline_crdt::seal::{self, TAG_BYTES};

use super::{Entry, Link, chained, hex};
use crate::failure::Failure;
use crate::files::{new_private_file, random, regular, sync_parent};

/// Largest frame: an entry with [`RECORDS_MAX`](super::RECORDS_MAX) records, whose texts escape to six
/// times their length at most.
pub(super) const FRAME_BYTES_MAX: usize = 256 * 1024;
const NONCE_BYTES: usize = 12;
const LENGTH_BYTES: usize = 4;

/// A segment that is written to.
#[derive(Debug)]
pub(super) struct Segment {
    file: File,
    pub(super) bytes: u64,
}

impl Segment {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = match new_private_file(path) {
            // A frame of it was half written.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Self::reopen(path, 0);
            }
            made => made?,
        };
        sync_parent(path)?;
        Ok(Self { file, bytes: 0 })
    }

    /// Opens one again, without what was half written behind its whole frames.
    pub(super) fn reopen(path: &Path, whole_bytes: u64) -> io::Result<Self> {
        let file = regular(OpenOptions::new().append(true), path)?;
        file.set_len(whole_bytes)?;
        Ok(Self { file, bytes: whole_bytes })
    }

    pub(super) fn append(&mut self, frame: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(frame).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Not to stand before the next, should there be one.
            let _ = self.file.set_len(self.bytes);
            return Err(error);
        }
        self.bytes += frame.len() as u64;
        Ok(())
    }
}

/// What a segment holds.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Its entries, in order, with their hashes.
    pub(super) links: Vec<(Link, Digest)>,
    /// Bytes up to the end of the last of them.
    pub(super) whole_bytes: u64,
    /// Why there is more behind them that cannot be read.
    pub(super) broken: Option<&'static str>,
}

pub(super) fn frame(
    key: &[u8; 32],
    seq: u64,
    previous: &Digest,
    text: &[u8],
) -> Result<Vec<u8>, Failure> {
    let mut nonce = [0; NONCE_BYTES];
    random(&mut nonce)?;
    let plain = [&previous[..], text].concat();
    let sealed = seal::seal(key, &nonce, &associated(seq), &plain);
    let length = u32::try_from(NONCE_BYTES + sealed.len()).unwrap_or(u32::MAX);
    Ok([&length.to_be_bytes()[..], &nonce, &sealed].concat())
}

/// Reads a segment from its first entry on, up to where it cannot be read.
pub(super) fn read(key: &[u8; 32], first: u64, bytes: &[u8]) -> Found {
    let mut found = Found::default();
    let (mut rest, mut seq) = (bytes, first);
    while !rest.is_empty() {
        let Some((frame, behind)) = split(rest) else {
            found.broken = Some("its end is torn");
            break;
        };
        let Some((link, hash)) = link(key, seq, frame) else {
            found.broken = Some("an entry does not open");
            break;
        };
        found.links.push((link, hash));
        found.whole_bytes += (rest.len() - behind.len()) as u64;
        (rest, seq) = (behind, seq.saturating_add(1));
    }
    found
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    if length > FRAME_BYTES_MAX {
        return None;
    }
    rest.split_at_checked(length)
}

fn link(key: &[u8; 32], seq: u64, frame: &[u8]) -> Option<(Link, Digest)> {
    let (nonce, sealed) = frame.split_first_chunk::<NONCE_BYTES>()?;
    if sealed.len() < TAG_BYTES {
        return None;
    }
    let plain = seal::open(key, nonce, &associated(seq), sealed).ok()?;
    let (previous, text) = plain.split_first_chunk()?;
    let entry: Entry = serde_json::from_slice(text).ok()?;
    let hash = chained(previous, text);
    Some((Link { entry, previous: hex(previous), hash: hex(&hash) }, hash))
}

fn associated(seq: u64) -> Vec<u8> {
    [b"tearline/1/audit-entry".as_slice(), &seq.to_be_bytes()].concat()
}
