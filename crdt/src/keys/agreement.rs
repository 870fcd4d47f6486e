//! X25519 key pairs (RFC 7748): a device's own, and ephemeral ones.

use std::fmt;

use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

use super::SharedSecret;

/// An X25519 key pair. The secret half is wiped when dropped.
#[derive(Clone)]
pub struct AgreementKey {
    secret: StaticSecret,
    public: [u8; 32],
}

impl AgreementKey {
    /// The pair of a scalar of 32 random bytes.
    #[must_use]
    pub fn from_scalar(scalar: &[u8; 32]) -> Self {
        let secret = StaticSecret::from(*scalar);
        Self { public: PublicKey::from(&secret).to_bytes(), secret }
    }

    /// The secret scalar, for a library that keeps the pair itself.
    #[must_use]
    pub fn scalar(&self) -> SharedSecret {
        Zeroizing::new(self.secret.to_bytes())
    }

    /// The public key.
    #[must_use]
    pub const fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The shared secret with a public key; `None` when that key is of small order.
    #[must_use]
    pub fn agree(&self, public: &[u8; 32]) -> Option<SharedSecret> {
        let shared = self.secret.diffie_hellman(&PublicKey::from(*public));
        if !shared.was_contributory() {
            return None;
        }
        let mut bytes = shared.to_bytes();
        let out = Zeroizing::new(bytes);
        bytes.zeroize();
        Some(out)
    }
}

/// [`StaticSecret`] wipes itself; the other half is public.
impl ZeroizeOnDrop for AgreementKey {}

impl fmt::Debug for AgreementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgreementKey(hidden)")
    }
}
