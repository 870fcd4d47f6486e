//! Device cards: a device's public keys, and whose device it says it is. The large ML-KEM-768 key
//! stands here by its hash, so that a card stays short; whoever seals to the device needs the key
//! itself and checks it against the card.

use super::{DeviceKeys, KemKey, Signature, verify};
use crate::codec::{DecodeError, Reader, Write as _};
use crate::hash::{Digest, Domain};
use crate::id::DeviceId;

/// A device's public keys, and whose device it says it is. Without its word no other agency could be
/// kept from enrolling it as its own.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct DeviceCard {
    /// Ed25519: signs, and names the device.
    pub device: DeviceId,
    /// X25519: receives epoch secrets, together with the ML-KEM-768 key.
    pub agreement: [u8; 32],
    /// The hash of the device's ML-KEM-768 key ([`KemKey::hash`]).
    pub kem_hash: Digest,
    /// Under whom it stands: a desk under its agency's root, any other device under the desk that
    /// invited it.
    pub sponsor: [u8; 32],
    /// The device's signature over all the rest.
    pub signature: Signature,
}

impl DeviceCard {
    /// The card of a device under a sponsor, signed by the device.
    pub(super) fn sign(keys: &DeviceKeys, sponsor: [u8; 32]) -> Self {
        let mut card = Self {
            device: keys.id(),
            agreement: keys.agreement(),
            kem_hash: keys.kem_key().hash(),
            sponsor,
            signature: [0; 64],
        };
        card.signature = keys.signer().sign(Domain::DeviceCard, &card.signed_bytes());
        card
    }

    /// Whether the device signed it.
    #[must_use]
    pub fn holds(&self) -> bool {
        verify(&self.device.0, Domain::DeviceCard, &self.signed_bytes(), &self.signature)
    }

    /// Whether this is the ML-KEM-768 key that the card names.
    #[must_use]
    pub fn matches(&self, kem: &KemKey) -> bool {
        kem.hash() == self.kem_hash
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.raw(&self.device.0).raw(&self.agreement).raw(&self.kem_hash).raw(&self.sponsor);
        out
    }

    /// Appends `device (32) || agreement (32) || KEM hash (32) || sponsor (32) || signature (64)`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.raw(&self.signed_bytes()).raw(&self.signature);
    }

    /// Reads what [`DeviceCard::encode`] wrote. The signature is not checked.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            device: DeviceId(reader.array("device id")?),
            agreement: reader.array("agreement key")?,
            kem_hash: reader.array("KEM hash")?,
            sponsor: reader.array("sponsor")?,
            signature: reader.array("card signature")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_holds_only_as_its_device_signed_it() {
        let keys = DeviceKeys::from_seeds(&[1; 32], &[2; 32]);
        let card = keys.card([7; 32]);
        assert!(card.holds());
        let mut bytes = Vec::new();
        card.encode(&mut bytes);
        assert_eq!(bytes.len(), 192);
        assert_eq!(DeviceCard::decode(&mut Reader::new(&bytes)), Ok(card.clone()));
        assert!(!DeviceCard { sponsor: [8; 32], ..card.clone() }.holds());
        assert!(!DeviceCard { agreement: [8; 32], ..card.clone() }.holds());
        assert!(!DeviceCard { kem_hash: [8; 32], ..card.clone() }.holds());
        let other = DeviceKeys::from_seeds(&[3; 32], &[2; 32]);
        assert!(!DeviceCard { device: other.id(), ..card }.holds());
    }

    #[test]
    fn a_card_matches_the_key_of_its_device_only() {
        let keys = DeviceKeys::from_seeds(&[1; 32], &[2; 32]);
        let card = keys.card([7; 32]);
        assert!(card.matches(keys.kem_key()));
        assert!(!card.matches(DeviceKeys::from_seeds(&[1; 32], &[3; 32]).kem_key()));
    }
}
