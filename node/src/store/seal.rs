//! The seal on everything that the store keeps: AES-256-GCM-SIV (RFC 8452) under the store key.
//!
//! The associated data names what the bytes are (a kind and a name: the key of a value, the number
//! of a page), so that sealed bytes cannot be moved to another place unnoticed. The tag is also the
//! checksum: nothing is read without it.
//!
//! Nonces are 12 random bytes, kept beside the *reference* to the sealed bytes and not with them.
//! So a reference fits only the very bytes that were written with it: when a disk loses a write
//! and older bytes of the same key still stand in that place, they do not unseal. Should two
//! nonces ever be equal, or a cloned machine repeat its randomness, GCM-SIV gives away no more
//! than whether two texts were equal.

use std::fmt;

use aes_gcm_siv::aead::AeadInOut as _;
use aes_gcm_siv::{Aes256GcmSiv, KeyInit as _, Tag};
use zeroize::Zeroize as _;

use super::Failure;

/// The key under which a store's values are sealed.
#[derive(Clone)]
pub struct StoreKey([u8; 32]);

impl StoreKey {
    /// A key of 32 uniformly distributed bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl Drop for StoreKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey(..)")
    }
}

/// Bytes of a nonce.
pub(super) const NONCE_BYTES: usize = 12;
/// Bytes of a tag, which follows the sealed text.
pub(super) const TAG_BYTES: usize = 16;

/// A nonce; random, so that it also names the sealed bytes.
pub(super) type Nonce = [u8; NONCE_BYTES];

/// What sealed bytes are. Part of their associated data.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Kind {
    /// One value of the store, in the values file.
    Value = b'v',
    /// A page of keys, in the values file.
    Page = b'p',
    /// What a flush changed, in the values file.
    Delta = b'd',
    /// A value of the index.
    Index = b'i',
}

/// Seals and unseals under one store key.
pub(super) struct Sealer {
    cipher: Aes256GcmSiv,
}

impl Sealer {
    /// A sealer. The key's own copy is wiped when dropped, and so is the cipher's.
    pub(super) fn new(key: &StoreKey) -> Self {
        Self { cipher: Aes256GcmSiv::new(&key.0.into()) }
    }

    /// Seals under a fresh nonce.
    pub(super) fn seal(
        &self,
        kind: Kind,
        name: &[u8],
        mut text: Vec<u8>,
    ) -> Result<(Nonce, Vec<u8>), Failure> {
        let mut nonce = Nonce::default();
        getrandom::fill(&mut nonce).map_err(|cause| Failure::medium("drawing a nonce", cause))?;
        let tag = self
            .cipher
            .encrypt_inout_detached(&nonce.into(), &associated(kind, name), (&mut *text).into())
            .map_err(|cause| Failure::medium("sealing", cause))?;
        text.extend_from_slice(&tag);
        Ok((nonce, text))
    }

    /// The text, if these bytes were sealed as this kind, name and nonce.
    pub(super) fn unseal(
        &self,
        kind: Kind,
        name: &[u8],
        nonce: &Nonce,
        mut sealed: Vec<u8>,
    ) -> Option<Vec<u8>> {
        let text_bytes = sealed.len().checked_sub(TAG_BYTES)?;
        let tag: [u8; TAG_BYTES] = sealed.split_off(text_bytes).try_into().ok()?;
        let opened = self.cipher.decrypt_inout_detached(
            &(*nonce).into(),
            &associated(kind, name),
            (&mut *sealed).into(),
            &Tag::from(tag),
        );
        if opened.is_err() {
            sealed.zeroize();
            return None;
        }
        Some(sealed)
    }

    /// Seals with the nonce in front, for values whose reference is their key alone.
    pub(super) fn seal_whole(
        &self,
        name: &[u8],
        text: Vec<u8>,
    ) -> Result<(Nonce, Vec<u8>), Failure> {
        let (nonce, sealed) = self.seal(Kind::Index, name, text)?;
        Ok((nonce, [&nonce[..], &sealed].concat()))
    }

    /// Opens what [`Sealer::seal_whole`] made.
    pub(super) fn unseal_whole(&self, name: &[u8], sealed: &[u8]) -> Option<(Nonce, Vec<u8>)> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let text = self.unseal(Kind::Index, name, nonce, sealed.to_vec())?;
        Some((*nonce, text))
    }
}

fn associated(kind: Kind, name: &[u8]) -> Vec<u8> {
    [b"tearline/store/1\0", &[kind as u8][..], name].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_what_was_sealed_for_this_place() {
        let sealer = Sealer::new(&StoreKey::new([1; 32]));
        let (nonce, sealed) = sealer.seal(Kind::Value, b"key", b"text".to_vec()).unwrap();
        assert_eq!(sealed.len(), 4 + TAG_BYTES);
        let open = |kind, name: &[u8], nonce: &Nonce, sealed: &[u8]| {
            sealer.unseal(kind, name, nonce, sealed.to_vec())
        };
        assert_eq!(open(Kind::Value, b"key", &nonce, &sealed), Some(b"text".to_vec()));
        assert_eq!(open(Kind::Page, b"key", &nonce, &sealed), None);
        assert_eq!(open(Kind::Value, b"kez", &nonce, &sealed), None);
        assert_eq!(open(Kind::Value, b"key", &[0; 12], &sealed), None);
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert_eq!(open(Kind::Value, b"key", &nonce, &bad), None, "byte {at}");
        }
        for short in 0..sealed.len() {
            assert_eq!(open(Kind::Value, b"key", &nonce, &sealed[..short]), None);
        }
        let other = Sealer::new(&StoreKey::new([2; 32]));
        assert_eq!(other.unseal(Kind::Value, b"key", &nonce, sealed), None);
    }

    #[test]
    fn a_nonce_in_front_is_checked_too() {
        let sealer = Sealer::new(&StoreKey::new([1; 32]));
        let (nonce, mut sealed) = sealer.seal_whole(b"k", Vec::new()).unwrap();
        assert_eq!(sealer.unseal_whole(b"k", &sealed), Some((nonce, Vec::new())));
        sealed[3] ^= 0x80;
        assert_eq!(sealer.unseal_whole(b"k", &sealed), None);
        assert_eq!(sealer.unseal_whole(b"k", &sealed[..27]), None);
        assert_eq!(sealer.unseal_whole(b"k", &[]), None);
    }

    #[test]
    fn a_key_does_not_show() {
        assert_eq!(format!("{:?}", StoreKey::new([7; 32])), "StoreKey(..)");
    }
}
