//! Fork proofs: two entries of one position of one log, both signed by its author. A proof needs
//! nobody's word: the device's key is its name. Where signatures cover segments, a proof is two
//! signed headers and two short Merkle paths.

use crate::bounds::SEGMENT_ENTRIES_MAX;
use crate::codec::{DecodeError, Reader, Write as _};
use crate::entry::{Header, merkle_climb, merkle_path};
use crate::hash::{Digest, Domain};
use crate::id::{Class, EntryId, LogId};
use crate::keys::{self, Signature};

/// A header and its signature, not yet checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedHeader {
    /// The header.
    pub header: Header,
    /// The device's signature over it.
    pub signature: Signature,
}

impl SignedHeader {
    /// Whether the log's device signed it, and it does not say of itself that it is not signed.
    #[must_use]
    pub fn holds(&self) -> bool {
        let bytes = self.header.encode();
        !self.header.covered
            && keys::verify(&self.header.log.device.0, Domain::Entry, &bytes, &self.signature)
    }

    /// Appends `header (bytes) || signature (64)`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.bytes(&self.header.encode()).raw(&self.signature);
    }

    /// Reads what [`SignedHeader::encode`] wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let bytes = reader.bytes(HEADER_BYTES_MAX, "header")?;
        let mut inner = Reader::new(bytes);
        let header = Header::decode(&mut inner)?;
        inner.finish()?;
        Ok(Self { header, signature: reader.array("signature")? })
    }
}

/// Longest full header.
const HEADER_BYTES_MAX: usize = 512;

/// What its author signed of one position of a log: the header there, or, where a later signature
/// covers the position, that signed header with the entry's id and the Merkle path from it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Branch {
    signed: SignedHeader,
    covered: Option<Covered>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Covered {
    /// How many positions before the signed header.
    back: u8,
    id: EntryId,
    path: Vec<Digest>,
}

/// Longest Merkle path in a segment.
const PATH_MAX: usize = SEGMENT_ENTRIES_MAX.ilog2() as usize;

impl Branch {
    /// The position of a signed entry.
    #[must_use]
    pub const fn signed(header: SignedHeader) -> Self {
        Self { signed: header, covered: None }
    }

    /// A position that the signature of a later header covers. `ids` are those of all the entries
    /// that it covers, oldest first, and `index` says which of them is meant.
    #[must_use]
    pub fn covered(header: SignedHeader, ids: &[EntryId], index: usize) -> Option<Self> {
        let back = u8::try_from(ids.len().checked_sub(index)?).ok()?;
        let path = merkle_path(ids.iter().map(|id| id.0), index);
        let covered = Covered { back, id: *ids.get(index)?, path };
        Some(Self { signed: header, covered: Some(covered) })
    }

    /// The log.
    #[must_use]
    pub const fn log(&self) -> &LogId {
        &self.signed.header.log
    }

    /// The position; `None` if it is before the log's beginning.
    #[must_use]
    pub fn seq(&self) -> Option<u64> {
        let back = self.covered.as_ref().map_or(0, |covered| u64::from(covered.back));
        self.signed.header.seq.checked_sub(back)
    }

    /// The entry at the position.
    #[must_use]
    pub fn id(&self) -> EntryId {
        self.covered.as_ref().map_or_else(|| self.signed.header.id(), |covered| covered.id)
    }

    /// The hash of the statement there, if the position is the beginning of an authority log.
    #[must_use]
    pub(super) fn statement_hash(&self) -> Option<Digest> {
        let SignedHeader { header, .. } = &self.signed;
        let begins = self.covered.is_none() && header.seq == 0;
        (begins && header.log.class == Class::Authority).then_some(header.sealed.hash)
    }

    /// Whether the log's device signed it.
    #[must_use]
    pub fn holds(&self) -> bool {
        let leads = self.covered.as_ref().is_none_or(|covered| {
            self.signed.header.covers.is_some_and(|covers| {
                let count = usize::from(covers.count);
                let index = count.checked_sub(usize::from(covered.back));
                index.and_then(|i| merkle_climb(&covered.id.0, i, count, &covered.path))
                    == Some(covers.root)
            })
        });
        leads && self.signed.holds()
    }

    /// Appends `signed header || positions back (1) || id (32)? || path length (number)?,
    /// digest (32)...`; the last two unless it is 0 positions back.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.signed.encode(out);
        let Some(covered) = &self.covered else {
            out.push(0);
            return;
        };
        out.raw(&[covered.back]).raw(&covered.id.0).number(covered.path.len() as u64);
        for digest in &covered.path {
            out.raw(digest);
        }
    }

    /// Reads what [`Branch::encode`] wrote. Nothing is checked.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let signed = SignedHeader::decode(reader)?;
        let back = reader.u8("positions back")?;
        if back == 0 {
            return Ok(Self::signed(signed));
        }
        let id = EntryId(reader.array("covered id")?);
        let count = reader.count(PATH_MAX, "path")?;
        let path = (0..count).map(|_| reader.array("path")).collect::<Result<_, _>>()?;
        Ok(Self { signed, covered: Some(Covered { back, id, path }) })
    }
}

/// Two branches of one log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ForkProof {
    first: Branch,
    second: Branch,
    seq: u64,
}

/// Why two branches prove no fork.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoFork {
    /// They are of different logs or positions, or have the same entry there.
    #[error("these are not two entries of one position")]
    NotOnePosition,
    /// A signature does not hold, or does not cover the position.
    #[error("a signature does not hold")]
    Signature,
}

impl ForkProof {
    /// Proves a fork, or says why it is none. The order of the branches does not matter.
    pub fn new(one: Branch, other: Branch) -> Result<Self, NoFork> {
        let (a, b) = (one.id(), other.id());
        let seq =
            one.seq().filter(|seq| other.seq() == Some(*seq)).ok_or(NoFork::NotOnePosition)?;
        if one.log() != other.log() || a == b {
            return Err(NoFork::NotOnePosition);
        }
        if !one.holds() || !other.holds() {
            return Err(NoFork::Signature);
        }
        let (first, second) = if a < b { (one, other) } else { (other, one) };
        Ok(Self { first, second, seq })
    }

    /// The forked log.
    #[must_use]
    pub const fn log(&self) -> &LogId {
        self.first.log()
    }

    /// The first position that is not common to both branches, as far as this proof shows.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The branch with the smaller id.
    #[must_use]
    pub const fn branch(&self) -> &Branch {
        &self.first
    }

    /// `first || second`, in ascending order of id.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.first.encode(&mut out);
        self.second.encode(&mut out);
        out
    }

    /// Reads and proves.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let first = Branch::decode(&mut reader).ok()?;
        let second = Branch::decode(&mut reader).ok()?;
        reader.finish().ok()?;
        let proof = Self::new(first, second).ok()?;
        (proof.encode() == bytes).then_some(proof)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Covers, NO_EPOCH, Part, merkle_root};
    use crate::id::{CompartmentId, DeviceId, Incarnation};
    use crate::keys::Signer;

    fn header(seq: u64, content: u8, covers: Option<Covers>) -> SignedHeader {
        let signer = Signer::from_seed(&[1; 32]);
        let header = Header {
            log: LogId {
                compartment: CompartmentId([1; 32]),
                class: Class::Routine,
                device: DeviceId(signer.public()),
                incarnation: Incarnation(1),
            },
            seq,
            prev: EntryId([0; 32]),
            epoch: NO_EPOCH,
            sealed: Part { len: 1, hash: [content; 32] },
            key_box: None,
            payload: None,
            covers,
            covered: false,
        };
        let signature = signer.sign(Domain::Entry, &header.encode());
        SignedHeader { header, signature }
    }

    fn signed(seq: u64, content: u8) -> Branch {
        Branch::signed(header(seq, content, None))
    }

    /// The branch of position 3 under a signature at `at` that covers all before it.
    fn covered(at: u8, content: u8) -> Branch {
        let ids: Vec<EntryId> = (0..at).map(|n| EntryId([n ^ content; 32])).collect();
        let root = merkle_root(ids.iter().map(|id| id.0));
        let signed = header(u64::from(at), content, Some(Covers { count: at, root }));
        Branch::covered(signed, &ids, 3).unwrap()
    }

    #[test]
    fn two_entries_of_one_position_prove_a_fork_in_either_order() {
        let branches = [signed(3, 1), signed(3, 2), covered(5, 0x40), covered(200, 0x80)];
        for (n, one) in branches.iter().enumerate() {
            for other in &branches[..n] {
                let proof = ForkProof::new(one.clone(), other.clone()).unwrap();
                assert_eq!(ForkProof::new(other.clone(), one.clone()), Ok(proof.clone()));
                assert_eq!(ForkProof::decode(&proof.encode()), Some(proof.clone()));
                assert_eq!(proof.seq(), 3);
            }
        }
    }

    #[test]
    fn nothing_else_does() {
        let same = Err(NoFork::NotOnePosition);
        assert_eq!(ForkProof::new(signed(3, 1), signed(3, 1)), same);
        assert_eq!(ForkProof::new(signed(3, 1), signed(4, 2)), same);
        // One entry under two signatures: the second continues the first.
        assert_eq!(ForkProof::new(covered(5, 0x40), covered(200, 0x40)), same);
        let mut forged = signed(3, 2);
        forged.signed.signature[0] ^= 1;
        assert_eq!(ForkProof::new(signed(3, 1), forged), Err(NoFork::Signature));
        let mut before = covered(5, 0x40);
        before.covered.as_mut().unwrap().back = 9;
        assert_eq!(ForkProof::new(signed(3, 1), before), same);
        let bytes = ForkProof::new(signed(3, 1), covered(200, 2)).unwrap().encode();
        for len in 0..bytes.len() {
            assert_eq!(ForkProof::decode(&bytes[..len]), None);
        }
    }

    #[test]
    fn a_signed_header_that_says_it_is_not_signed_proves_nothing() {
        let signer = Signer::from_seed(&[1; 32]);
        let Branch { signed: SignedHeader { header, .. }, .. } = signed(3, 2);
        let header = Header { covered: true, ..header };
        let signature = signer.sign(Domain::Entry, &header.encode());
        let odd = Branch::signed(SignedHeader { header, signature });
        assert_eq!(ForkProof::new(signed(3, 1), odd), Err(NoFork::Signature));
    }

    #[test]
    fn a_path_that_does_not_lead_to_the_signed_root_proves_nothing() {
        let good = covered(200, 0x40);
        assert!(good.holds());
        let break_it = |change: &dyn Fn(&mut Covered)| {
            let mut branch = good.clone();
            change(branch.covered.as_mut().unwrap());
            assert!(!branch.holds(), "{branch:?}");
        };
        break_it(&|covered| covered.id.0[0] ^= 1);
        break_it(&|covered| covered.back -= 1);
        break_it(&|covered| covered.back = 201);
        break_it(&|covered| covered.path[2][5] ^= 1);
        break_it(&|covered| covered.path.truncate(3));
        let mut uncovered = good.clone();
        uncovered.signed = header(200, 0x40, None);
        assert!(!uncovered.holds());
    }
}
