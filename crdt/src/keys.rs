//! Keys of devices and of agency roots: Ed25519 (RFC 8032, strict verification) to sign, X25519
//! (RFC 7748) to receive epoch secrets.

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize as _, Zeroizing};

use crate::codec::{DecodeError, Reader, Write as _};
use crate::hash::{Digest, Domain};
use crate::id::DeviceId;

/// An Ed25519 signature.
pub type Signature = [u8; 64];

/// A public Ed25519 key of an agency's root.
pub type RootKey = [u8; 32];

/// Checks an Ed25519 signature over `domain || bytes`. Small-order keys, non-canonical points and
/// malleable signatures fail.
#[must_use]
pub fn verify(key: &[u8; 32], domain: Domain, bytes: &[u8], signature: &Signature) -> bool {
    let Ok(key) = VerifyingKey::from_bytes(key) else { return false };
    let signature = ed25519_dalek::Signature::from_bytes(signature);
    key.verify_strict(&domain.message(bytes), &signature).is_ok()
}

/// A signing key: a device's, or an agency root's.
pub struct Signer(SigningKey);

impl Signer {
    /// The key that RFC 8032 derives from 32 random bytes.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Signs `domain || bytes`.
    #[must_use]
    pub fn sign(&self, domain: Domain, bytes: &[u8]) -> Signature {
        self.0.sign(&domain.message(bytes)).to_bytes()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(hidden)")
    }
}

/// A device's secret keys.
pub struct DeviceKeys {
    signer: Signer,
    agreement: StaticSecret,
}

impl DeviceKeys {
    /// The keys of two seeds of 32 random bytes each.
    #[must_use]
    pub fn from_seeds(signing: &[u8; 32], agreement: &[u8; 32]) -> Self {
        Self { signer: Signer::from_seed(signing), agreement: StaticSecret::from(*agreement) }
    }

    /// The device's name: its public signing key.
    #[must_use]
    pub fn id(&self) -> DeviceId {
        DeviceId(self.signer.public())
    }

    /// The signing half.
    #[must_use]
    pub const fn signer(&self) -> &Signer {
        &self.signer
    }

    /// The public half of the agreement key.
    #[must_use]
    pub fn agreement(&self) -> [u8; 32] {
        PublicKey::from(&self.agreement).to_bytes()
    }

    /// What others need to know of the device, and its word that it stands under a sponsor.
    #[must_use]
    pub fn card(&self, sponsor: [u8; 32]) -> DeviceCard {
        let mut card = DeviceCard {
            device: self.id(),
            agreement: self.agreement(),
            kem_hash: None,
            sponsor,
            signature: [0; 64],
        };
        card.signature = self.signer.sign(Domain::DeviceCard, &card.signed_bytes());
        card
    }

    /// The X25519 shared secret with a public key; `None` when the key is of small order.
    #[must_use]
    pub fn agree(&self, public: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        shared_secret(&self.agreement, public)
    }
}

impl fmt::Debug for DeviceKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKeys({}, hidden)", self.id().short())
    }
}

/// The X25519 shared secret of an ephemeral seed with a public key, and the ephemeral public key.
/// `None` when the public key is of small order.
#[must_use]
pub fn encapsulate(seed: &[u8; 32], public: &[u8; 32]) -> Option<([u8; 32], Zeroizing<[u8; 32]>)> {
    let secret = StaticSecret::from(*seed);
    let ephemeral = PublicKey::from(&secret).to_bytes();
    shared_secret(&secret, public).map(|shared| (ephemeral, shared))
}

fn shared_secret(secret: &StaticSecret, public: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
    let shared = secret.diffie_hellman(&PublicKey::from(*public));
    if !shared.was_contributory() {
        return None;
    }
    let mut bytes = shared.to_bytes();
    let out = Zeroizing::new(bytes);
    bytes.zeroize();
    Some(out)
}

/// A device's public keys, and whose device it says it is. Without its word no other agency could be
/// kept from enrolling it as its own.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct DeviceCard {
    /// Ed25519: signs, and names the device.
    pub device: DeviceId,
    /// X25519: receives epoch secrets.
    pub agreement: [u8; 32],
    /// SHA-256 of the device's ML-KEM-768 key, where it has one; whoever seals to it fetches the
    /// key itself.
    pub kem_hash: Option<Digest>,
    /// Under whom it stands: a desk under its agency's root, any other device under the desk that
    /// invited it.
    pub sponsor: [u8; 32],
    /// The device's signature over all the rest.
    pub signature: Signature,
}

impl DeviceCard {
    /// Whether the device signed it.
    #[must_use]
    pub fn holds(&self) -> bool {
        verify(&self.device.0, Domain::DeviceCard, &self.signed_bytes(), &self.signature)
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.raw(&self.device.0).raw(&self.agreement);
        match &self.kem_hash {
            None => out.push(0),
            Some(hash) => {
                out.push(1);
                out.raw(hash);
            }
        }
        out.raw(&self.sponsor);
        out
    }

    /// Appends `device (32) || agreement (32) || 0 | 1, kem hash (32) || sponsor (32) ||
    /// signature (64)`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.raw(&self.signed_bytes()).raw(&self.signature);
    }

    /// Reads what [`DeviceCard::encode`] wrote. The signature is not checked.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let device = DeviceId(reader.array("device id")?);
        let agreement = reader.array("agreement key")?;
        let at = reader.at();
        let kem_hash = match reader.u8("KEM flag")? {
            0 => None,
            1 => Some(reader.array("KEM hash")?),
            _ => return reader.invalid(at, "KEM flag"),
        };
        let sponsor = reader.array("sponsor")?;
        Ok(Self {
            device,
            agreement,
            kem_hash,
            sponsor,
            signature: reader.array("card signature")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_domain_and_bytes_only() {
        let signer = Signer::from_seed(&[7; 32]);
        let signature = signer.sign(Domain::Entry, b"x");
        assert!(verify(&signer.public(), Domain::Entry, b"x", &signature));
        assert!(!verify(&signer.public(), Domain::JoinRequest, b"x", &signature));
        assert!(!verify(&signer.public(), Domain::Entry, b"y", &signature));
    }

    #[test]
    fn a_card_holds_only_as_its_device_signed_it() {
        let keys = DeviceKeys::from_seeds(&[1; 32], &[2; 32]);
        let card = keys.card([7; 32]);
        assert!(card.holds());
        let mut bytes = Vec::new();
        card.encode(&mut bytes);
        assert_eq!(DeviceCard::decode(&mut Reader::new(&bytes)), Ok(card.clone()));
        assert!(!DeviceCard { sponsor: [8; 32], ..card.clone() }.holds());
        assert!(!DeviceCard { agreement: [8; 32], ..card.clone() }.holds());
        assert!(!DeviceCard { kem_hash: Some([8; 32]), ..card.clone() }.holds());
        let other = DeviceKeys::from_seeds(&[3; 32], &[2; 32]);
        assert!(!DeviceCard { device: other.id(), ..card }.holds());
    }

    #[test]
    fn small_order_and_zero_keys_are_refused() {
        let keys = DeviceKeys::from_seeds(&[1; 32], &[2; 32]);
        let mut order_two = [0xff; 32];
        order_two[0] = 0xec;
        order_two[31] = 0x7f;
        for weak in [
            [0; 32],
            {
                let mut one = [0; 32];
                one[0] = 1;
                one
            },
            order_two,
        ] {
            assert!(keys.agree(&weak).is_none());
            assert!(encapsulate(&[3; 32], &weak).is_none());
            assert!(!verify(&weak, Domain::Entry, b"x", &[0; 64]));
        }
    }
}
