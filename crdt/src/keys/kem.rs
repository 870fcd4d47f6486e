//! ML-KEM-768 (FIPS 203): the half of sealing that a quantum computer does not undo. The arithmetic
//! is the `ml-kem` crate's; this file fixes what goes in and out as bytes.
//!
//! All entropy is an argument: 64 bytes `d || z` make a key pair (FIPS 203 §6.1), 32 bytes `m` an
//! encapsulation (§6.2).

use std::fmt;

use ml_kem::{B32, Decapsulate as _, KeyExport as _, Seed};
use ml_kem::{DecapsulationKey768, EncapsulationKey768};
use zeroize::{Zeroize as _, Zeroizing};

use super::SharedSecret;
use crate::codec::{DecodeError, Reader, Write as _};
use crate::hash::{Digest, Domain};

/// Bytes of an encapsulation key: `384 * 3 + 32`.
pub const KEM_KEY_BYTES: usize = 1_184;
/// Bytes of a ciphertext: `32 * (10 * 3 + 4)`.
pub const KEM_CIPHERTEXT_BYTES: usize = 1_088;
/// Bytes of the seed of a key pair.
const KEM_SEED_BYTES: usize = 64;

/// An ML-KEM-768 ciphertext.
pub type KemCiphertext = [u8; KEM_CIPHERTEXT_BYTES];

/// The key has a coefficient that is not below q = 3,329: no key generation gives it, and FIPS 203
/// §7.2 forbids to encapsulate to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the ML-KEM key has a coefficient above the modulus")]
pub struct InvalidKemKey;

/// A device's public ML-KEM-768 key as it travels. Its coefficients are checked when it is used.
#[derive(Clone, Eq, PartialEq)]
pub struct KemKey(Box<[u8; KEM_KEY_BYTES]>);

impl KemKey {
    /// What a device's card says of the key.
    #[must_use]
    pub fn hash(&self) -> Digest {
        Domain::KemKey.hash(&[self.0.as_slice()])
    }

    /// The key's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; KEM_KEY_BYTES] {
        &self.0
    }

    /// Appends the 1,184 bytes of the key.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.raw(self.0.as_slice());
    }

    /// Reads what [`KemKey::encode`] wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(Box::new(reader.array("KEM key")?)))
    }

    /// Reads a key that is all there is, as in a payload.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let key = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(key)
    }

    /// A secret for the key's device and the ciphertext that carries it. `entropy` is 32 fresh
    /// random bytes.
    pub fn encapsulate(
        &self,
        entropy: &[u8; 32],
    ) -> Result<(KemCiphertext, SharedSecret), InvalidKemKey> {
        let key = EncapsulationKey768::new(&(*self.0).into()).map_err(|_| InvalidKemKey)?;
        let mut message = B32::from(*entropy);
        let (ciphertext, mut shared) = key.encapsulate_deterministic(&message);
        message.zeroize();
        let secret = Zeroizing::new(shared.into());
        shared.zeroize();
        Ok((ciphertext.into(), secret))
    }
}

impl fmt::Debug for KemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KemKey(")?;
        self.hash().iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// A device's secret ML-KEM-768 key, wiped when dropped.
pub(super) struct KemSecret(DecapsulationKey768);

impl KemSecret {
    /// The key pair of a seed `d || z`.
    pub(super) fn from_seed(seed: &[u8; KEM_SEED_BYTES]) -> Self {
        let mut bytes = Seed::from(*seed);
        let key = DecapsulationKey768::from_seed(bytes);
        bytes.zeroize();
        Self(key)
    }

    #[cfg(test)]
    pub(super) const fn inner(&self) -> &DecapsulationKey768 {
        &self.0
    }

    /// The public half.
    pub(super) fn public(&self) -> KemKey {
        KemKey(Box::new(self.0.encapsulation_key().to_bytes().into()))
    }

    /// The secret that a ciphertext carries.
    pub(super) fn decapsulate(&self, ciphertext: &KemCiphertext) -> SharedSecret {
        let mut shared = self.0.decapsulate(&(*ciphertext).into());
        let secret = Zeroizing::new(shared.into());
        shared.zeroize();
        secret
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A published value of ML-KEM-768. `chain-*` are of Wycheproof's `mlkem_768_keygen_seed_test`
    /// (tcId 1), `mlkem_768_encaps_test` (tcId 14) and `mlkem_768_test` (tcId 2), which belong
    /// together; `rejected-*` of `mlkem_768_test` (tcId 1); `acvp-*` of NIST's ACVP for FIPS 203:
    /// keyGen tcId 26 and encapDecap tcId 26.
    fn published<const N: usize>(name: &str) -> [u8; N] {
        let digits = include_str!("../../tests/vectors/ml-kem-768.txt")
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .unwrap();
        let bytes = digits
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
        bytes.collect::<Vec<u8>>().try_into().unwrap()
    }

    #[test]
    fn keys_are_generated_as_in_fips_203() {
        for of in ["chain", "acvp"] {
            let secret = KemSecret::from_seed(&published(&format!("{of}-seed")));
            assert_eq!(*secret.public().as_bytes(), published(&format!("{of}-key")), "{of}");
        }
    }

    #[test]
    fn secrets_are_encapsulated_as_in_fips_203() {
        for (key, of) in [("chain-key", "chain"), ("acvp-encapsulation-key", "acvp-encapsulation")]
        {
            let key = KemKey::from_bytes(&published::<KEM_KEY_BYTES>(key)).unwrap();
            let made = key.encapsulate(&published(&format!("{of}-entropy"))).unwrap();
            let expected = (
                published(&format!("{of}-ciphertext")),
                Zeroizing::new(published(&format!("{of}-shared"))),
            );
            assert_eq!(made, expected, "{of}");
        }
    }

    /// The second ciphertext differs from a true one after a zero byte: FIPS 203 answers it by the
    /// secret of implicit rejection.
    #[test]
    fn secrets_are_decapsulated_as_in_fips_203() {
        for of in ["chain", "rejected"] {
            let secret = KemSecret::from_seed(&published(&format!("{of}-seed")));
            let shared = secret.decapsulate(&published(&format!("{of}-ciphertext")));
            assert_eq!(*shared, published(&format!("{of}-shared")), "{of}");
        }
    }

    /// The first coefficient of the key set to a value of 12 bits.
    fn with_first_coefficient(key: &KemKey, value: u16) -> KemKey {
        let mut bytes = *key.as_bytes();
        bytes[0] = value as u8;
        bytes[1] = bytes[1] & 0xf0 | (value >> 8) as u8;
        KemKey::from_bytes(&bytes).unwrap()
    }

    #[test]
    fn a_coefficient_at_the_modulus_is_refused_and_one_below_is_not() {
        let key = KemSecret::from_seed(&[1; 64]).public();
        assert!(with_first_coefficient(&key, 3_328).encapsulate(&[2; 32]).is_ok());
        for value in [3_329, 3_330, 4_095] {
            let overflowing = with_first_coefficient(&key, value);
            assert_eq!(overflowing.encapsulate(&[2; 32]), Err(InvalidKemKey), "{value}");
        }
    }

    #[test]
    fn a_key_has_its_length_and_no_other() {
        let key = KemSecret::from_seed(&[1; 64]).public();
        let mut bytes = Vec::new();
        key.encode(&mut bytes);
        assert_eq!(bytes.len(), KEM_KEY_BYTES);
        assert_eq!(KemKey::from_bytes(&bytes), Ok(key));
        assert!(KemKey::from_bytes(&bytes[..KEM_KEY_BYTES - 1]).is_err());
        bytes.push(0);
        assert!(KemKey::from_bytes(&bytes).is_err());
    }
}
