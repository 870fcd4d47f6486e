//! Device cards: a device's public keys, and whose device it says it is. The large ML-KEM-768 key
//! stands here by its hash, so that a card stays short; whoever seals to the device needs the key
//! itself and checks it against the card.

use super::{
    DeviceKeys, KemKey, Signature, is_of_another_use, is_weak_agreement_key, is_weak_signing_key,
    verify,
};
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

/// Why a card does not hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CardFault {
    /// The signing key is of small order: nothing that it signs holds.
    #[error("the signing key is of small order")]
    WeakSigningKey,
    /// The X25519 key is of small order: everybody could compute its half of a box's key.
    #[error("the X25519 key is of small order")]
    WeakAgreementKey,
    /// The device signed these bytes for another use.
    #[error("the device signed it for another use")]
    OtherUse,
    /// The device did not sign it.
    #[error("the device did not sign it")]
    Signature,
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

    /// Whether the device signed it, and neither of its keys is of small order.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.check().is_ok()
    }

    /// As [`DeviceCard::holds`], and says why not.
    pub fn check(&self) -> Result<(), CardFault> {
        let (key, bytes) = (&self.device.0, self.signed_bytes());
        if !verify(key, Domain::DeviceCard, &bytes, &self.signature) {
            return Err(if is_weak_signing_key(key) {
                CardFault::WeakSigningKey
            } else if is_of_another_use(key, Domain::DeviceCard, &bytes, &self.signature) {
                CardFault::OtherUse
            } else {
                CardFault::Signature
            });
        }
        if is_weak_agreement_key(&self.agreement) {
            return Err(CardFault::WeakAgreementKey);
        }
        Ok(())
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
    fn a_card_with_a_weak_key_does_not_hold_whoever_signed_it() {
        let keys = DeviceKeys::from_seeds(&[1; 32], &[2; 32]);
        let signed = |card: DeviceCard, domain| DeviceCard {
            signature: keys.signer().sign(domain, &card.signed_bytes()),
            ..card
        };
        let card = keys.card([7; 32]);
        assert_eq!(signed(card.clone(), Domain::DeviceCard).check(), Ok(()));
        let elsewhere = signed(card.clone(), Domain::Opening);
        assert_eq!(elsewhere.check(), Err(CardFault::OtherUse));
        let mut one = [0; 32];
        one[0] = 1;
        for weak in [[0; 32], one] {
            let agreeing = DeviceCard { agreement: weak, ..card.clone() };
            let agreeing = signed(agreeing, Domain::DeviceCard);
            assert_eq!(agreeing.check(), Err(CardFault::WeakAgreementKey));
            let signing = DeviceCard { device: DeviceId(weak), ..card.clone() };
            assert_eq!(signing.check(), Err(CardFault::WeakSigningKey));
        }
        let unsigned = DeviceCard { signature: [0; 64], ..card };
        assert_eq!(unsigned.check(), Err(CardFault::Signature));
    }

    #[test]
    fn a_card_matches_the_key_of_its_device_only() {
        let keys = DeviceKeys::from_seeds(&[1; 32], &[2; 32]);
        let card = keys.card([7; 32]);
        assert!(card.matches(keys.kem_key()));
        assert!(!card.matches(DeviceKeys::from_seeds(&[1; 32], &[3; 32]).kem_key()));
    }
}
