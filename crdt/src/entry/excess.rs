//! Excess: one device that began logs in more incarnations than any device may.
//!
//! A device gets a new incarnation when it is restored or rebuilt, so it has a few in its life. Who
//! holds its key can make up any number, and peers that kept the first that they met would never
//! hold the same. A proof of excess is a branch of each of one incarnation more than the limit. Like a
//! fork proof it needs nobody's word.

use crate::bounds::{INCARNATIONS_MAX, STATEMENT_BYTES_MAX};
use crate::codec::{DecodeError, Reader, Write as _};
use crate::hash::sha256;
use crate::id::{CompartmentId, DeviceId};

use super::fork::Branch;

/// How many incarnations a proof shows.
pub const EXCESS_INCARNATIONS: usize = INCARNATIONS_MAX + 1;

/// Branches of logs of one device in one area, each of another incarnation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExcessProof {
    compartment: CompartmentId,
    device: DeviceId,
    branches: Vec<Branch>,
    first: Vec<u8>,
}

impl ExcessProof {
    /// Proves an excess; `None` if the branches are not those of one device in one area, ascending by
    /// incarnation, as many as a proof shows and all signed. `first` is empty or the statement at the
    /// beginning of one of these logs: a desk may be known by nothing else.
    #[must_use]
    pub fn new(branches: Vec<Branch>, first: Vec<u8>) -> Option<Self> {
        let (compartment, device) =
            branches.first().map(|b| (b.log().compartment, b.log().device))?;
        let ascend = branches
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a.log().incarnation < b.log().incarnation));
        let of_one = |b: &Branch| b.log().compartment == compartment && b.log().device == device;
        let begins = || {
            let hash = sha256(&first);
            branches.iter().any(|branch| branch.statement_hash() == Some(hash))
        };
        let sound = branches.len() == EXCESS_INCARNATIONS
            && ascend
            && branches.iter().all(of_one)
            && (first.is_empty() || begins())
            && branches.iter().all(Branch::holds);
        sound.then_some(Self { compartment, device, branches, first })
    }

    /// Where.
    #[must_use]
    pub const fn compartment(&self) -> CompartmentId {
        self.compartment
    }

    /// Whose logs these are.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// The statement at the beginning of one of the logs; empty if the proof goes without.
    #[must_use]
    pub fn first(&self) -> &[u8] {
        &self.first
    }

    /// `branch..., ascending by incarnation || statement (bytes)`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.branches.iter().for_each(|branch| branch.encode(&mut out));
        out.bytes(&self.first);
        out
    }

    /// Reads and proves.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let read = |reader: &mut Reader<'_>| -> Result<_, DecodeError> {
            let branches = (0..EXCESS_INCARNATIONS)
                .map(|_| Branch::decode(reader))
                .collect::<Result<_, _>>()?;
            Ok((branches, reader.bytes(STATEMENT_BYTES_MAX, "statement")?.to_vec()))
        };
        let (branches, first) = read(&mut reader).ok()?;
        reader.finish().ok()?;
        Self::new(branches, first).filter(|proof| proof.encode() == bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::fork::SignedHeader;
    use crate::entry::{Header, NO_EPOCH, Part};
    use crate::hash::Domain;
    use crate::id::{Class, EntryId, Incarnation, LogId};
    use crate::keys::Signer;

    fn branch(device: u8, area: u8, incarnation: u64) -> Branch {
        let signer = Signer::from_seed(&[device; 32]);
        let header = Header {
            log: LogId {
                compartment: CompartmentId([area; 32]),
                class: Class::Authority,
                device: DeviceId(signer.public()),
                incarnation: Incarnation(incarnation),
            },
            seq: 0,
            prev: EntryId([0; 32]),
            epoch: NO_EPOCH,
            sealed: Part { len: 5, hash: sha256(b"first") },
            key_box: None,
            payload: None,
            covers: None,
            covered: false,
        };
        let signature = signer.sign(Domain::Entry, &header.encode());
        Branch::signed(SignedHeader { header, signature })
    }

    fn branches(count: u64) -> Vec<Branch> {
        (0..count).map(|n| branch(1, 1, n)).collect()
    }

    #[test]
    fn one_incarnation_above_the_limit_proves_an_excess_and_the_limit_does_not() {
        let limit = INCARNATIONS_MAX as u64;
        for first in [&b""[..], b"first"] {
            let proof = ExcessProof::new(branches(limit + 1), first.to_vec()).unwrap();
            assert_eq!(ExcessProof::decode(&proof.encode()), Some(proof));
        }
        assert_eq!(ExcessProof::new(branches(limit), vec![]), None);
        assert_eq!(ExcessProof::new(branches(limit + 2), vec![]), None);
        assert_eq!(ExcessProof::new(vec![], vec![]), None);
    }

    #[test]
    fn nothing_else_does() {
        let good = branches(EXCESS_INCARNATIONS as u64);
        let change = |at: usize, by: Branch| {
            let mut changed = good.clone();
            changed[at] = by;
            ExcessProof::new(changed, vec![])
        };
        assert_eq!(change(3, branch(2, 1, 3)), None, "another device");
        assert_eq!(change(3, branch(1, 2, 3)), None, "another area");
        assert_eq!(change(3, branch(1, 1, 2)), None, "one incarnation twice");
        assert_eq!(change(3, branch(1, 1, 9)), None, "not in order");
        assert_eq!(ExcessProof::new(good.clone(), b"other".to_vec()), None);
        let bytes = ExcessProof::new(good, b"first".to_vec()).unwrap().encode();
        for at in (0..bytes.len()).step_by(97) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(ExcessProof::decode(&changed), None, "byte {at}");
            assert_eq!(ExcessProof::decode(&bytes[..at]), None);
        }
    }
}
