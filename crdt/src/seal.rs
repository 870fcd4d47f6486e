//! Sealing: AES-256-GCM-SIV (RFC 8452) for bytes, HKDF-SHA-256 (RFC 5869) for keys, and boxes that
//! carry an epoch's secret to one device ([`SecretBox`]).
//!
//! GCM-SIV because a rolled-back disk or a cloned machine may seal twice under one nonce: that must
//! cost no more than showing that two plaintexts are equal.

mod secret_box;

use aes_gcm_siv::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

pub use secret_box::{BOX_BYTES, BoxEntropy, BoxError, SecretBox};

/// Bytes that sealing adds.
pub const TAG_BYTES: usize = 16;

/// Secret bytes, wiped when dropped.
pub type Secret<const N: usize> = Zeroizing<[u8; N]>;

/// A symmetric key, wiped when dropped.
pub type Key = Secret<32>;

/// Sealed bytes do not match their key, nonce and associated data.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the seal does not match")]
pub struct BrokenSeal;

/// Seals `plain` under `key` and `nonce`, bound to `associated`.
#[must_use]
pub fn seal(key: &[u8; 32], nonce: &[u8; 12], associated: &[u8], plain: &[u8]) -> Vec<u8> {
    let cipher = Aes256GcmSiv::new(key.into());
    let payload = Payload { msg: plain, aad: associated };
    // The cipher refuses only inputs of 64 GiB and more; our bounds are far below.
    cipher.encrypt(&Nonce::from(*nonce), payload).unwrap_or_default()
}

/// Opens what [`seal`] sealed.
pub fn open(
    key: &[u8; 32],
    nonce: &[u8; 12],
    associated: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, BrokenSeal> {
    let cipher = Aes256GcmSiv::new(key.into());
    let payload = Payload { msg: sealed, aad: associated };
    cipher.decrypt(&Nonce::from(*nonce), payload).map_err(|_| BrokenSeal)
}

/// HKDF-SHA-256 to `N` bytes. The parts of `info` must be of fixed length, but for the last.
#[must_use]
pub fn derive<const N: usize>(secret: &[u8], salt: &[u8], info: &[&[u8]]) -> Zeroizing<[u8; N]> {
    const { assert!(N <= 255 * 32, "HKDF's limit") };
    let mut out = Zeroizing::new([0; N]);
    let expanded =
        Hkdf::<Sha256>::new(Some(salt), secret).expand_multi_info(info, out.as_mut_slice());
    debug_assert!(expanded.is_ok(), "the length is within HKDF's limit");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8452, appendix C.2 (AEAD_AES_256_GCM_SIV), the vector of 8 bytes of plaintext.
    #[test]
    fn the_cipher_is_rfc_8452() {
        let mut key = [0; 32];
        key[0] = 1;
        let mut nonce = [0; 12];
        nonce[0] = 3;
        let sealed = seal(&key, &nonce, &[], &[1, 0, 0, 0, 0, 0, 0, 0]);
        let hex: String = sealed.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28");
    }
}
