//! Keys of devices and of agency roots: Ed25519 (RFC 8032, strict verification) to sign; X25519
//! (RFC 7748) and ML-KEM-768 (FIPS 203), both together, to receive epoch secrets.
//!
//! A device has two seeds: one to sign, one to receive. From the second HKDF draws the X25519 scalar
//! and the seed of the ML-KEM key, each under an info string of its own, as X-Wing
//! (draft-connolly-cfrg-xwing-kem) expands one seed into both. The seed itself is neither: whoever
//! computes the scalar from the public key, as a quantum computer could, must not hold what the other
//! key comes from.

mod agreement;
mod card;
mod kem;

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::hash::Domain;
use crate::id::DeviceId;
use crate::seal;

pub use agreement::AgreementKey;
pub use card::{CardFault, DeviceCard};
use kem::KemSecret;
pub use kem::{InvalidKemKey, KEM_CIPHERTEXT_BYTES, KEM_KEY_BYTES, KemCiphertext, KemKey};

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

/// Whether a signature that does not hold was made for another use: a signed statement was carried to
/// where it says something else.
#[must_use]
pub fn is_of_another_use(
    key: &[u8; 32],
    domain: Domain,
    bytes: &[u8],
    signature: &Signature,
) -> bool {
    let mut others = Domain::SIGNED.into_iter().filter(|other| *other != domain);
    others.any(|other| verify(key, other, bytes, signature))
}

/// Whether an Ed25519 key is of small order, zeros among them. No signature holds under it.
#[must_use]
pub fn is_weak_signing_key(key: &[u8; 32]) -> bool {
    VerifyingKey::from_bytes(key).is_ok_and(|key| key.is_weak())
}

/// Whether an X25519 key is of small order, zeros among them: then every scalar agrees with it on
/// zeros (RFC 7748, section 6.1), as a scalar is a multiple of 8. So any one tells.
#[must_use]
pub fn is_weak_agreement_key(key: &[u8; 32]) -> bool {
    AgreementKey::from_scalar(&[1; 32]).agree(key).is_none()
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

/// A secret that two sides share, wiped when dropped.
pub type SharedSecret = Zeroizing<[u8; 32]>;

/// A device's secret keys.
pub struct DeviceKeys {
    signer: Signer,
    agreement: AgreementKey,
    kem: KemSecret,
    kem_key: KemKey,
}

impl DeviceKeys {
    /// The keys of two seeds of 32 random bytes each: one to sign, one to receive.
    #[must_use]
    pub fn from_seeds(signing: &[u8; 32], receiving: &[u8; 32]) -> Self {
        let scalar = seal::derive(receiving, &[], &[b"tearline/1/device/x25519"]);
        let seed = seal::derive(receiving, &[], &[b"tearline/1/device/ml-kem-768"]);
        let kem = KemSecret::from_seed(&seed);
        Self {
            signer: Signer::from_seed(signing),
            agreement: AgreementKey::from_scalar(&scalar),
            kem_key: kem.public(),
            kem,
        }
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

    /// The public X25519 key.
    #[must_use]
    pub const fn agreement(&self) -> [u8; 32] {
        *self.agreement.public()
    }

    /// The X25519 key pair.
    #[must_use]
    pub const fn agreement_key(&self) -> &AgreementKey {
        &self.agreement
    }

    /// The public ML-KEM-768 key.
    #[must_use]
    pub const fn kem_key(&self) -> &KemKey {
        &self.kem_key
    }

    /// What others need to know of the device, and its word that it stands under a sponsor.
    #[must_use]
    pub fn card(&self, sponsor: [u8; 32]) -> DeviceCard {
        DeviceCard::sign(self, sponsor)
    }

    /// The X25519 shared secret with a public key; `None` when the key is of small order.
    #[must_use]
    pub fn agree(&self, public: &[u8; 32]) -> Option<SharedSecret> {
        self.agreement.agree(public)
    }

    /// The ML-KEM-768 shared secret of a ciphertext. One that was not made for this key gives a
    /// secret that nobody else knows (FIPS 203, implicit rejection).
    #[must_use]
    pub fn decapsulate(&self, ciphertext: &KemCiphertext) -> SharedSecret {
        self.kem.decapsulate(ciphertext)
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
pub fn ephemeral_agree(seed: &[u8; 32], public: &[u8; 32]) -> Option<([u8; 32], SharedSecret)> {
    let pair = AgreementKey::from_scalar(seed);
    pair.agree(public).map(|shared| (*pair.public(), shared))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_domain_and_bytes_only() {
        let signer = Signer::from_seed(&[7; 32]);
        let signature = signer.sign(Domain::Entry, b"x");
        assert!(verify(&signer.public(), Domain::Entry, b"x", &signature));
        assert!(!verify(&signer.public(), Domain::Opening, b"x", &signature));
        assert!(!verify(&signer.public(), Domain::Entry, b"y", &signature));
    }

    /// Were the seed itself the X25519 scalar, whoever finds the scalar would have the ML-KEM key.
    #[test]
    fn neither_receiving_key_is_the_seed_of_the_other() {
        let seed = [2; 32];
        let keys = DeviceKeys::from_seeds(&[1; 32], &seed);
        assert_ne!(keys.agreement(), *AgreementKey::from_scalar(&seed).public());
        let scalar = keys.agreement.scalar();
        let from_scalar = DeviceKeys::from_seeds(&[1; 32], &scalar);
        assert!(from_scalar.kem_key() != keys.kem_key());
        // The same seed gives the same keys, another seed others.
        let again = DeviceKeys::from_seeds(&[9; 32], &seed);
        assert_eq!((again.agreement(), again.kem_key()), (keys.agreement(), keys.kem_key()));
        let other = DeviceKeys::from_seeds(&[1; 32], &[3; 32]);
        assert!(other.agreement() != keys.agreement() && other.kem_key() != keys.kem_key());
    }

    /// Holds at compile time: a key type that is not wiped has no such implementation.
    #[test]
    fn secrets_are_wiped_when_they_are_dropped() {
        const fn is_wiped<T: zeroize::ZeroizeOnDrop>(_: &T) {}
        let keys = DeviceKeys::from_seeds(&[1; 32], &[2; 32]);
        let DeviceKeys { signer: Signer(signing), agreement, kem, .. } = &keys;
        is_wiped(signing);
        is_wiped(agreement);
        is_wiped(kem.inner());
        is_wiped(&keys.agree(&keys.agreement()).unwrap());
        is_wiped(&seal::Key::default());
    }

    /// Zeros are a point of order 4, 1 is the identity, and -1 has order 2.
    fn weak_signing_keys() -> [[u8; 32]; 3] {
        let (mut one, mut minus_one) = ([0; 32], [0xff; 32]);
        one[0] = 1;
        minus_one[0] = 0xec;
        minus_one[31] = 0x7f;
        [[0; 32], one, minus_one]
    }

    #[test]
    fn a_signature_made_for_another_use_is_told_from_one_that_is_none() {
        let signer = Signer::from_seed(&[7; 32]);
        let key = signer.public();
        let signature = signer.sign(Domain::Entry, b"x");
        assert!(is_of_another_use(&key, Domain::DeviceCard, b"x", &signature));
        assert!(!is_of_another_use(&key, Domain::Entry, b"x", &signature));
        assert!(!is_of_another_use(&key, Domain::DeviceCard, b"y", &signature));
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
            assert!(ephemeral_agree(&[3; 32], &weak).is_none());
            assert!(!verify(&weak, Domain::Entry, b"x", &[0; 64]));
            assert!(is_weak_agreement_key(&weak));
        }
        for weak in weak_signing_keys() {
            assert!(is_weak_signing_key(&weak));
            assert!(!verify(&weak, Domain::Entry, b"x", &[0; 64]));
        }
        assert!(!is_weak_agreement_key(&keys.agreement()) && !is_weak_signing_key(&keys.id().0));
    }
}
