//! Fork proofs: two different signed headers of one position of one log. Each proves itself to
//! anybody who knows the device's key, which is its name.

use crate::codec::{DecodeError, Reader, Write as _};
use crate::entry::Header;
use crate::hash::Domain;
use crate::id::LogId;
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
    /// Whether the log's device signed it.
    #[must_use]
    pub fn holds(&self) -> bool {
        let bytes = self.header.encode();
        keys::verify(&self.header.log.device.0, Domain::Entry, &bytes, &self.signature)
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

/// Two branches of one log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ForkProof {
    first: SignedHeader,
    second: SignedHeader,
}

/// Why two headers prove no fork.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoFork {
    /// They are of different logs or positions, or they are the same header.
    #[error("the headers are not two of one position")]
    NotOnePosition,
    /// One of the signatures does not hold.
    #[error("a signature does not hold")]
    Signature,
}

impl ForkProof {
    /// Proves a fork, or says why it is none. The order of the headers does not matter.
    pub fn new(one: SignedHeader, other: SignedHeader) -> Result<Self, NoFork> {
        let (a, b) = (one.header.id(), other.header.id());
        if one.header.log != other.header.log || one.header.seq != other.header.seq || a == b {
            return Err(NoFork::NotOnePosition);
        }
        if !one.holds() || !other.holds() {
            return Err(NoFork::Signature);
        }
        let (first, second) = if a < b { (one, other) } else { (other, one) };
        Ok(Self { first, second })
    }

    /// The forked log.
    #[must_use]
    pub const fn log(&self) -> &LogId {
        &self.first.header.log
    }

    /// The first position that is not common to both branches, as far as this proof shows: the
    /// position of the two headers.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.first.header.seq
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
        let first = SignedHeader::decode(&mut reader).ok()?;
        let second = SignedHeader::decode(&mut reader).ok()?;
        reader.finish().ok()?;
        let proof = Self::new(first, second).ok()?;
        (proof.encode() == bytes).then_some(proof)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{NO_EPOCH, Part};
    use crate::id::{Class, CompartmentId, DeviceId, EntryId, Incarnation};
    use crate::keys::Signer;

    fn signed(seq: u64, content: u8) -> SignedHeader {
        let signer = Signer::from_seed(&[1; 32]);
        let header = Header {
            log: LogId {
                compartment: CompartmentId([1; 32]),
                class: Class::Flash,
                device: DeviceId(signer.public()),
                incarnation: Incarnation(1),
            },
            seq,
            prev: EntryId([0; 32]),
            epoch: NO_EPOCH,
            sealed: Part { len: 1, hash: [content; 32] },
            key_box: None,
            payload: None,
            covers: None,
        };
        let signature = signer.sign(Domain::Entry, &header.encode());
        SignedHeader { header, signature }
    }

    #[test]
    fn two_headers_of_one_position_prove_a_fork_in_either_order() {
        let one = ForkProof::new(signed(3, 1), signed(3, 2)).unwrap();
        let other = ForkProof::new(signed(3, 2), signed(3, 1)).unwrap();
        assert_eq!(one, other);
        assert_eq!(ForkProof::decode(&one.encode()), Some(one.clone()));
        assert_eq!(one.seq(), 3);
    }

    #[test]
    fn nothing_else_does() {
        assert_eq!(ForkProof::new(signed(3, 1), signed(3, 1)), Err(NoFork::NotOnePosition));
        assert_eq!(ForkProof::new(signed(3, 1), signed(4, 2)), Err(NoFork::NotOnePosition));
        let mut forged = signed(3, 2);
        forged.signature[0] ^= 1;
        assert_eq!(ForkProof::new(signed(3, 1), forged), Err(NoFork::Signature));
        let bytes = ForkProof::new(signed(3, 1), signed(3, 2)).unwrap().encode();
        for len in 0..bytes.len() {
            assert_eq!(ForkProof::decode(&bytes[..len]), None);
        }
    }
}
