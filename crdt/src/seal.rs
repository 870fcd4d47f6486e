//! Sealing: AES-256-GCM-SIV (RFC 8452) for bytes, HKDF-SHA-256 (RFC 5869) for keys, and boxes that
//! carry an epoch's secret to one device.
//!
//! GCM-SIV because a rolled-back disk or a cloned machine may seal twice under one nonce: that must
//! cost no more than showing that two plaintexts are equal.

use aes_gcm_siv::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::codec::{DecodeError, Reader, Write as _};
use crate::hash::{Digest, Domain};
use crate::id::DeviceId;
use crate::keys::{self, DeviceCard, DeviceKeys};

/// Bytes that sealing adds.
pub const TAG_BYTES: usize = 16;

/// A symmetric key, wiped when dropped.
pub type Key = Zeroizing<[u8; 32]>;

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

/// HKDF-SHA-256 to 32 bytes.
#[must_use]
pub fn derive(secret: &[u8], salt: &[u8], info: &[&[u8]]) -> Key {
    let mut out = Key::default();
    let expanded =
        Hkdf::<Sha256>::new(Some(salt), secret).expand_multi_info(info, out.as_mut_slice());
    debug_assert!(expanded.is_ok(), "32 bytes are within HKDF's limit");
    out
}

/// How a box is sealed. A new suite is a new number, not a new format.
const SUITE_X25519: u8 = 1;
/// Most bytes that a suite's encapsulation takes: X25519 and ML-KEM-768 together need 1,120.
const ENCAPSULATION_BYTES_MAX: usize = 2_048;

/// An epoch's secret sealed to one device.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SecretBox {
    /// For whom.
    pub device: DeviceId,
    /// The suite's number; a reader that does not know it leaves the box closed.
    pub suite: u8,
    /// What the device needs to find the key.
    pub encapsulation: Vec<u8>,
    /// The sealed secret.
    pub sealed: [u8; 32 + TAG_BYTES],
}

/// Why a box cannot be made or opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BoxError {
    /// The public key is of small order: everybody could compute the secret.
    #[error("the key is of small order")]
    WeakKey,
    /// The box is for another device.
    #[error("the box is for another device")]
    OtherDevice,
    /// The suite is newer than this program.
    #[error("the box is of suite {0}, which this version does not know")]
    UnknownSuite(u8),
    /// The seal does not match.
    #[error("the box does not open")]
    Broken,
}

impl SecretBox {
    /// Seals `secret` to a device. `context` binds it to its epoch; `seed` is 32 fresh random bytes.
    pub fn seal(
        to: &DeviceCard,
        context: &[u8],
        secret: &[u8; 32],
        seed: &[u8; 32],
    ) -> Result<Self, BoxError> {
        let (ephemeral, shared) =
            keys::encapsulate(seed, &to.agreement).ok_or(BoxError::WeakKey)?;
        let key = box_key(&shared, &ephemeral, &to.agreement, context);
        let sealed = seal(&key, &[0; 12], &to.device.0, secret);
        let sealed = sealed.try_into().map_err(|_| BoxError::Broken)?;
        Ok(Self {
            device: to.device,
            suite: SUITE_X25519,
            encapsulation: ephemeral.to_vec(),
            sealed,
        })
    }

    /// Opens the box with the device's keys.
    pub fn open(&self, keys: &DeviceKeys, context: &[u8]) -> Result<Key, BoxError> {
        if self.device != keys.id() {
            return Err(BoxError::OtherDevice);
        }
        if self.suite != SUITE_X25519 {
            return Err(BoxError::UnknownSuite(self.suite));
        }
        let ephemeral: [u8; 32] =
            self.encapsulation.as_slice().try_into().map_err(|_| BoxError::Broken)?;
        let shared = keys.agree(&ephemeral).ok_or(BoxError::WeakKey)?;
        let key = box_key(&shared, &ephemeral, &keys.agreement(), context);
        let plain = Zeroizing::new(
            open(&key, &[0; 12], &self.device.0, &self.sealed).map_err(|_| BoxError::Broken)?,
        );
        let bytes: [u8; 32] = plain.as_slice().try_into().map_err(|_| BoxError::Broken)?;
        Ok(Key::new(bytes))
    }

    /// Appends `device (32) || suite (1) || encapsulation (bytes) || sealed (48)`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.raw(&self.device.0).raw(&[self.suite]).bytes(&self.encapsulation).raw(&self.sealed);
    }

    /// Reads what [`SecretBox::encode`] wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            device: DeviceId(reader.array("box device")?),
            suite: reader.u8("box suite")?,
            encapsulation: reader.bytes(ENCAPSULATION_BYTES_MAX, "encapsulation")?.to_vec(),
            sealed: reader.array("sealed secret")?,
        })
    }

    /// The box's leaf in its epoch's Merkle tree.
    #[must_use]
    pub fn leaf(&self) -> Digest {
        let mut bytes = Vec::new();
        self.encode(&mut bytes);
        Domain::SegmentLeaf.hash(&[&bytes])
    }
}

fn box_key(shared: &[u8; 32], ephemeral: &[u8; 32], public: &[u8; 32], context: &[u8]) -> Key {
    derive(shared, &[], &[b"tearline/1/box/x25519", ephemeral, public, context])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(n: u8) -> DeviceKeys {
        DeviceKeys::from_seeds(&[n; 32], &[n + 100; 32])
    }

    #[test]
    fn a_box_opens_for_its_device_in_its_context_only() {
        let sealed =
            SecretBox::seal(&device(1).card([0; 32]), b"epoch", &[9; 32], &[5; 32]).unwrap();
        assert_eq!(*sealed.open(&device(1), b"epoch").unwrap(), [9; 32]);
        assert_eq!(sealed.open(&device(1), b"other"), Err(BoxError::Broken));
        assert_eq!(sealed.open(&device(2), b"epoch"), Err(BoxError::OtherDevice));
        let swapped = SecretBox { device: device(2).id(), ..sealed.clone() };
        assert_eq!(swapped.open(&device(2), b"epoch"), Err(BoxError::Broken));
        let newer = SecretBox { suite: 2, ..sealed.clone() };
        assert_eq!(newer.open(&device(1), b"epoch"), Err(BoxError::UnknownSuite(2)));
        let short = SecretBox { encapsulation: vec![1; 31], ..sealed.clone() };
        assert_eq!(short.open(&device(1), b"epoch"), Err(BoxError::Broken));
        let mut bytes = Vec::new();
        sealed.encode(&mut bytes);
        assert_eq!(SecretBox::decode(&mut Reader::new(&bytes)), Ok(sealed));
    }

    #[test]
    fn a_weak_key_gets_no_box() {
        let weak = DeviceCard { agreement: [0; 32], ..device(1).card([0; 32]) };
        assert_eq!(SecretBox::seal(&weak, b"e", &[9; 32], &[5; 32]), Err(BoxError::WeakKey));
    }

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
