//! Entries: what logs are made of.
//!
//! An entry has four parts. The *outer header* is all that a blind relay sees and checks: where the
//! entry stands in which log, and hashes of the rest. The *sealed header* says which record it is
//! about and what it depends on. The *key box* and the *payload* can be detached and destroyed
//! while the header, and with it the chain, stays verifiable.
//!
//! There are two encodings. The *full form* of a header ([`Header::encode`]) is what is hashed and
//! signed. The *short form* ([`run`]) leaves out what the reader of a log can derive (log, seq,
//! previous hash, hashes of parts that are present); it is what disks hold and wires carry.
//! `docs/protocol/entry.md` describes both to the byte.

pub mod excess;
pub mod fork;
pub mod run;
pub mod sealed;
pub mod stray;

use crate::bounds::{
    FORMAT_VERSION, PAYLOAD_BYTES_MAX, SEALED_HEADER_BYTES_MAX, SEGMENT_ENTRIES_MAX,
};
use crate::codec::{DecodeError, Reader, Write as _};
use crate::hash::{Digest, Domain};
use crate::id::{EntryId, EpochId, LogId};

/// Ed25519, SHA-256, AES-256-GCM-SIV, HKDF-SHA-256. Another choice is another number.
pub const SUITE: u8 = 1;

/// The epoch named by entries of class authority: none.
pub const NO_EPOCH: EpochId = EpochId([0; 32]);

/// A commitment to a part that may be absent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Part {
    /// Bytes of the part.
    pub len: u32,
    /// SHA-256 of the part.
    pub hash: Digest,
}

/// What one signature covers besides its own entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Covers {
    /// How many unsigned entries directly before it.
    pub count: u8,
    /// Merkle root of their ids, oldest first.
    pub root: Digest,
}

/// The outer header, in full.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Header {
    /// The log.
    pub log: LogId,
    /// Position in the log, from 0.
    pub seq: u64,
    /// Id of the entry before it; zero at position 0.
    pub prev: EntryId,
    /// The epoch whose keys seal it; [`NO_EPOCH`] in authority logs.
    pub epoch: EpochId,
    /// The sealed header; in authority logs the statement, in clear.
    pub sealed: Part,
    /// The key box, where the entry carries one.
    pub key_box: Option<Digest>,
    /// The payload, where it has one.
    pub payload: Option<Part>,
    /// The unsigned entries before it that its signature covers.
    pub covers: Option<Covers>,
    /// Whether it is not signed itself, but covered by the signature of a later entry. It is part of
    /// what is hashed, so that the same entries cannot be signed in two ways: peers that hold one
    /// each would find that the other's end is no place where a log can be continued.
    pub covered: bool,
}

impl Header {
    /// The bytes that are hashed for the id and signed:
    /// `version (1) || suite (1) || log (73) || seq (number) || prev (32) || epoch (32) ||
    /// sealed length (number), hash (32) || flags (1) || box hash (32)? ||
    /// payload length (number), hash (32)? || covered count (1), root (32)?`.
    /// Flags: 1 a key box, 2 a payload, 4 covers, 8 not signed itself.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(320);
        out.raw(&[FORMAT_VERSION, SUITE])
            .raw(&self.log.encode())
            .number(self.seq)
            .raw(&self.prev.0)
            .raw(&self.epoch.0)
            .number(u64::from(self.sealed.len))
            .raw(&self.sealed.hash);
        let flags = u8::from(self.key_box.is_some())
            | u8::from(self.payload.is_some()) << 1
            | u8::from(self.covers.is_some()) << 2
            | u8::from(self.covered) << 3;
        out.push(flags);
        if let Some(hash) = &self.key_box {
            out.raw(hash);
        }
        if let Some(part) = &self.payload {
            out.number(u64::from(part.len)).raw(&part.hash);
        }
        if let Some(covers) = &self.covers {
            out.raw(&[covers.count]).raw(&covers.root);
        }
        out
    }

    /// Reads what [`Header::encode`] wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.at();
        if reader.array("version and suite")? != [FORMAT_VERSION, SUITE] {
            return reader.invalid(at, "version and suite");
        }
        let log = LogId::decode(reader)?;
        let seq = reader.number("seq")?;
        let prev = EntryId(reader.array("previous id")?);
        let epoch = EpochId(reader.array("epoch id")?);
        let sealed = decode_part(reader, SEALED_MAX, "sealed header")?;
        let at = reader.at();
        let flags = reader.u8("header flags")?;
        let covered = flags & 8 != 0;
        if flags > 15 || covered && flags & 4 != 0 {
            return reader.invalid(at, "header flags");
        }
        let key_box = (flags & 1 != 0).then(|| reader.array("box hash")).transpose()?;
        let payload = (flags & 2 != 0)
            .then(|| decode_part(reader, PAYLOAD_BYTES_MAX, "payload"))
            .transpose()?;
        let covers = (flags & 4 != 0)
            .then(|| {
                let at = reader.at();
                let count = reader.u8("covered entries")?;
                if count == 0 || usize::from(count) >= SEGMENT_ENTRIES_MAX {
                    return reader.invalid(at, "covered entries");
                }
                Ok(Covers { count, root: reader.array("covered root")? })
            })
            .transpose()?;
        Ok(Self { log, seq, prev, epoch, sealed, key_box, payload, covers, covered })
    }

    /// The entry's id.
    #[must_use]
    pub fn id(&self) -> EntryId {
        EntryId(Domain::Entry.hash(&[&self.encode()]))
    }
}

/// Longest sealed header or statement.
pub(crate) const SEALED_MAX: usize = if SEALED_HEADER_BYTES_MAX > crate::bounds::STATEMENT_BYTES_MAX
{
    SEALED_HEADER_BYTES_MAX
} else {
    crate::bounds::STATEMENT_BYTES_MAX
};

fn decode_part(
    reader: &mut Reader<'_>,
    max: usize,
    what: &'static str,
) -> Result<Part, DecodeError> {
    let len = reader.number_max(max as u64, what)? as u32;
    Ok(Part { len, hash: reader.array(what)? })
}

/// The Merkle root of hashes, such as entry ids: leaves and nodes are hashed under tags of their own; an odd node
/// moves up unchanged.
#[must_use]
pub fn merkle_root(leaves: impl IntoIterator<Item = Digest>) -> Digest {
    let mut level = merkle_leaves(leaves);
    while level.len() > 1 {
        level = merkle_level(&level);
    }
    level.first().copied().unwrap_or([0; 32])
}

/// The nodes beside the way from a leaf up to the root, lowest first.
#[must_use]
pub fn merkle_path(leaves: impl IntoIterator<Item = Digest>, mut index: usize) -> Vec<Digest> {
    let mut level = merkle_leaves(leaves);
    let mut path = Vec::new();
    while level.len() > 1 {
        path.extend(level.get(index ^ 1).copied());
        level = merkle_level(&level);
        index /= 2;
    }
    path
}

/// The root that a leaf, its place among `count` and a path lead to; `None` if the path is longer or
/// shorter than the way.
#[must_use]
pub fn merkle_climb(
    leaf: &Digest,
    mut index: usize,
    mut count: usize,
    path: &[Digest],
) -> Option<Digest> {
    if index >= count {
        return None;
    }
    let mut node = Domain::SegmentLeaf.hash(&[leaf]);
    let mut path = path.iter();
    while count > 1 {
        if index ^ 1 < count {
            let beside = path.next()?;
            let (left, right) =
                if index.is_multiple_of(2) { (&node, beside) } else { (beside, &node) };
            node = Domain::SegmentNode.hash(&[left, right]);
        }
        index /= 2;
        count = count.div_ceil(2);
    }
    path.next().is_none().then_some(node)
}

fn merkle_leaves(leaves: impl IntoIterator<Item = Digest>) -> Vec<Digest> {
    leaves.into_iter().map(|leaf| Domain::SegmentLeaf.hash(&[&leaf])).collect()
}

fn merkle_level(level: &[Digest]) -> Vec<Digest> {
    let pair = |pair: &[Digest]| match pair {
        [left, right] => Domain::SegmentNode.hash(&[left, right]),
        [only] => *only,
        _ => [0; 32],
    };
    level.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Class, CompartmentId, DeviceId, Incarnation};

    pub(crate) fn header() -> Header {
        Header {
            log: LogId {
                compartment: CompartmentId([1; 32]),
                class: Class::Routine,
                device: DeviceId([2; 32]),
                incarnation: Incarnation(3),
            },
            seq: 300,
            prev: EntryId([4; 32]),
            epoch: EpochId([5; 32]),
            sealed: Part { len: 42, hash: [6; 32] },
            key_box: Some([7; 32]),
            payload: Some(Part { len: 1_000, hash: [8; 32] }),
            covers: Some(Covers { count: 255, root: [9; 32] }),
            covered: false,
        }
    }

    #[test]
    fn headers_read_back_and_no_truncation_does() {
        let full = header();
        for header in [
            Header { key_box: None, ..full.clone() },
            Header { payload: None, ..full.clone() },
            Header { covers: None, ..full.clone() },
            Header { covers: None, covered: true, ..full.clone() },
            full,
        ] {
            let bytes = header.encode();
            assert_eq!(Header::decode(&mut Reader::new(&bytes)), Ok(header));
            for len in 0..bytes.len() {
                assert!(Header::decode(&mut Reader::new(&bytes[..len])).is_err());
            }
        }
    }

    #[test]
    fn what_is_not_signed_covers_nothing() {
        let both = Header { covered: true, ..header() };
        assert!(Header::decode(&mut Reader::new(&both.encode())).is_err());
    }

    #[test]
    fn every_field_is_in_the_id() {
        let base = header();
        let mut ids = std::collections::BTreeSet::from([base.id()]);
        let part = Part { len: 1, hash: [0; 32] };
        let log = LogId { incarnation: Incarnation(9), ..base.log };
        for other in [
            Header { log, ..base.clone() },
            Header { seq: 1, ..base.clone() },
            Header { prev: EntryId([0; 32]), ..base.clone() },
            Header { epoch: NO_EPOCH, ..base.clone() },
            Header { sealed: part, ..base.clone() },
            Header { key_box: None, ..base.clone() },
            Header { payload: Some(part), ..base.clone() },
            Header { payload: None, ..base.clone() },
            Header { covers: None, ..base.clone() },
            Header { covers: None, covered: true, ..base.clone() },
        ] {
            assert!(ids.insert(other.id()), "{other:?}");
        }
    }

    #[test]
    fn a_path_leads_from_its_own_leaf_and_place_alone_to_the_root() {
        for count in 1..=17_usize {
            let leaves: Vec<Digest> = (0..count).map(|n| [n as u8; 32]).collect();
            let root = merkle_root(leaves.clone());
            for index in 0..count {
                let path = merkle_path(leaves.clone(), index);
                let climb = |leaf, index, count, path: &[Digest]| {
                    merkle_climb(leaf, index, count, path) == Some(root)
                };
                assert!(climb(&leaves[index], index, count, &path), "{index} of {count}");
                assert!(!climb(&[99; 32], index, count, &path));
                let elsewhere = (0..count + 2).filter(|other| *other != index);
                for other in elsewhere {
                    assert!(!climb(&leaves[index], other, count, &path), "{other} of {count}");
                }
                assert!(!climb(&leaves[index], index, count, &[&path[..], &[[0; 32]]].concat()));
                assert!(path.is_empty() || !climb(&leaves[index], index, count, &path[1..]));
            }
        }
    }

    #[test]
    fn merkle_roots_depend_on_count_order_and_content() {
        let leaf = |n: u8| [n; 32];
        let mut roots = std::collections::BTreeSet::new();
        for leaves in [vec![], vec![1], vec![1, 2], vec![2, 1], vec![1, 2, 3], vec![1, 2, 3, 3]] {
            assert!(roots.insert(merkle_root(leaves.into_iter().map(leaf))));
        }
    }
}
