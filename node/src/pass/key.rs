//! The key that a device signs its passes with: derived from the device's seed, and not the key
//! that signs its logs. What Biscuit signs has no domain tag of ours in front, and its holder
//! chooses part of it; a key of its own keeps that apart from every entry and statement.
//!
//! The incarnation goes in too. The list of revoked passes lies in the store, and a store that is
//! lost is rebuilt under a new incarnation: every pass of the old one is then dead, instead of
//! every revoked one alive again.

use std::fmt;

use biscuit_auth::error::Format;
use biscuit_auth::{Algorithm, KeyPair, PrivateKey, PublicKey};
use tearline_crdt::seal::{Key, derive};

/// Signs passes, and recognises them.
#[derive(Clone)]
pub struct PassKey(Key);

impl PassKey {
    /// The pass key of a device in one incarnation: HKDF-SHA-256 over the seed of its Ed25519 key.
    #[must_use]
    pub fn derive(device_seed: &[u8; 32], incarnation: u64) -> Self {
        Self(derive(device_seed, &[], &[INFO, &incarnation.to_be_bytes()]))
    }

    /// The public half. Only this device needs it; it is shown so that a person can compare.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        tearline_crdt::keys::Signer::from_seed(&self.0).public()
    }

    pub(super) fn pair(&self) -> Result<KeyPair, Format> {
        key_pair(&self.0)
    }

    pub(super) fn verifier(&self) -> Result<PublicKey, Format> {
        self.pair().map(|pair| pair.public())
    }
}

impl fmt::Debug for PassKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PassKey(hidden)")
    }
}

/// The Ed25519 key of 32 random bytes, as Biscuit holds it. It refuses no array of this length.
pub(super) fn key_pair(seed: &[u8; 32]) -> Result<KeyPair, Format> {
    Ok(KeyPair::from(&PrivateKey::from_bytes(seed, Algorithm::Ed25519)?))
}

const INFO: &[u8] = b"tearline/1/pass/ed25519";

#[cfg(test)]
mod tests {
    use super::*;
    use tearline_crdt::keys::DeviceKeys;

    #[test]
    fn a_pass_key_is_no_other_key_of_the_device_and_dies_with_its_incarnation() {
        let key = PassKey::derive(&[1; 32], 7);
        assert_eq!(key.public(), PassKey::derive(&[1; 32], 7).public());
        assert_ne!(key.public(), PassKey::derive(&[1; 32], 8).public());
        assert_ne!(key.public(), PassKey::derive(&[2; 32], 7).public());
        assert_ne!(key.public(), DeviceKeys::from_seeds(&[1; 32], &[9; 32]).id().0);
        assert_eq!(key.verifier().unwrap().to_bytes(), key.public(), "two libraries, one key");
        assert_eq!(format!("{key:?}"), "PassKey(hidden)");
    }
}
