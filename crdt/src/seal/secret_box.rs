//! Boxes: an epoch's secret sealed to one device, so that it stays closed as long as one of X25519
//! and ML-KEM-768 holds. Boxes lie in logs for years; whoever records them today must not be able to
//! open them with tomorrow's quantum computer, nor today if the younger scheme turns out to be weak.
//!
//! Both schemes give a shared secret. The box's key is
//! `HKDF-SHA-256(ML-KEM secret || X25519 secret, info)`, and `info` binds all that went over the wire
//! and for whom it was meant: label, ephemeral key, the device's X25519 key, the ML-KEM ciphertext,
//! the hash of the device's ML-KEM key, and the context.
//!
//! - Two secrets of fixed length concatenated, with the ciphertexts, under a key derivation that is
//!   modelled as a random oracle: secure against chosen ciphertexts if either scheme is (Giacon,
//!   Heuer, Poettering, *KEM Combiners*, PKC 2018).
//! - X-Wing (draft-connolly-cfrg-xwing-kem) takes the same two schemes with SHA3-256 and leaves the
//!   ML-KEM ciphertext and key out, which rests on how ML-KEM is built. Here both are in, so that
//!   nothing rests on that; its rule that X25519's ephemeral and static keys are bound is kept,
//!   because X25519 by itself binds neither.
//! - ML-KEM's secret comes first: NIST SP 800-56C rev. 2 §2 admits a secret of another scheme after
//!   that of the approved one. HKDF is that document's extraction and expansion (§5).

use zeroize::Zeroizing;

use super::{Key, TAG_BYTES, derive, open, seal};
use crate::codec::{DecodeError, Reader, Write as _};
use crate::hash::{Digest, Domain};
use crate::id::DeviceId;
use crate::keys::{
    self, DeviceCard, DeviceKeys, InvalidKemKey, KEM_CIPHERTEXT_BYTES, KemCiphertext, KemKey,
};

/// X25519 with ML-KEM-768, HKDF-SHA-256, AES-256-GCM-SIV.
const SUITE: u8 = 1;
const LABEL: &[u8] = b"tearline/1/box/x25519-ml-kem-768";
/// Bytes of this suite's encapsulation: ephemeral X25519 key, ML-KEM-768 ciphertext.
const ENCAPSULATION_BYTES: usize = 32 + KEM_CIPHERTEXT_BYTES;
/// Most bytes that a suite's encapsulation takes. ML-KEM-1024's ciphertext has 1,568.
const ENCAPSULATION_BYTES_MAX: usize = 2_048;
/// Bytes of a box of this suite; the length of its encapsulation takes two.
pub const BOX_BYTES: usize = 32 + 1 + 2 + ENCAPSULATION_BYTES + 32 + TAG_BYTES;

/// The random bytes of one box, half for each scheme, wiped when dropped.
pub type BoxEntropy = Zeroizing<[u8; 64]>;

/// An epoch's secret sealed to one device.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SecretBox {
    /// For whom.
    pub device: DeviceId,
    /// The suite's number; a reader that does not know it leaves the box closed.
    pub suite: u8,
    /// What the device needs to find the key. In suite 1 `ephemeral X25519 key (32) || ML-KEM-768
    /// ciphertext (1,088)`.
    pub encapsulation: Vec<u8>,
    /// The sealed secret.
    pub sealed: [u8; 32 + TAG_BYTES],
}

/// Why a box cannot be made or opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BoxError {
    /// The X25519 key is of small order: everybody could compute its half of the secret.
    #[error("the X25519 key is of small order")]
    WeakKey,
    /// The ML-KEM key is not the one that the device's card names.
    #[error("the ML-KEM key is not the one that the device's card names")]
    OtherKemKey,
    /// The ML-KEM key is none (FIPS 203 §7.2). Its device signed a card with its hash all the same.
    #[error(transparent)]
    InvalidKemKey(#[from] InvalidKemKey),
    /// The box is for another device.
    #[error("the box is for another device")]
    OtherDevice,
    /// The suite is newer than this program.
    #[error("the box is of suite {0}, which this version does not know")]
    UnknownSuite(u8),
    /// The encapsulation has not the length of its suite.
    #[error("the encapsulation has {bytes} bytes instead of {ENCAPSULATION_BYTES}")]
    Encapsulation {
        /// Its length.
        bytes: usize,
    },
    /// The seal does not match.
    #[error("the box does not open")]
    Broken,
}

impl SecretBox {
    /// Seals `secret` to a device, of which `kem` is the key that its card names. `context` binds the
    /// box to its epoch. `entropy` is 64 fresh random bytes: half for each scheme.
    pub fn seal(
        to: &DeviceCard,
        kem: &KemKey,
        context: &[u8],
        secret: &[u8; 32],
        entropy: &[u8; 64],
    ) -> Result<Self, BoxError> {
        if !to.matches(kem) {
            return Err(BoxError::OtherKemKey);
        }
        let [for_agreement, for_kem] = halves(entropy);
        let (ephemeral, agreed) =
            keys::ephemeral_agree(&for_agreement, &to.agreement).ok_or(BoxError::WeakKey)?;
        let (ciphertext, encapsulated) = kem.encapsulate(&for_kem)?;
        let key = Transcript {
            ephemeral: &ephemeral,
            agreement: &to.agreement,
            ciphertext: &ciphertext,
            kem_hash: &to.kem_hash,
            context,
        }
        .key(&encapsulated, &agreed);
        let sealed = seal(&key, &[0; 12], &to.device.0, secret);
        Ok(Self {
            device: to.device,
            suite: SUITE,
            encapsulation: [ephemeral.as_slice(), &ciphertext].concat(),
            sealed: sealed.try_into().map_err(|_| BoxError::Broken)?,
        })
    }

    /// Whether a box can be sealed to a device: `kem` is the key that its card names, and neither of
    /// its keys is one that [`SecretBox::seal`] refuses.
    #[must_use]
    pub fn can_be_for(to: &DeviceCard, kem: &KemKey) -> bool {
        Self::seal(to, kem, &[], &[0; 32], &[0; 64]).is_ok()
    }

    /// Opens the box with the device's keys.
    pub fn open(&self, keys: &DeviceKeys, context: &[u8]) -> Result<Key, BoxError> {
        if self.device != keys.id() {
            return Err(BoxError::OtherDevice);
        }
        if self.suite != SUITE {
            return Err(BoxError::UnknownSuite(self.suite));
        }
        let (ephemeral, ciphertext) = self.parts()?;
        let agreed = keys.agree(&ephemeral).ok_or(BoxError::WeakKey)?;
        let encapsulated = keys.decapsulate(&ciphertext);
        let key = Transcript {
            ephemeral: &ephemeral,
            agreement: &keys.agreement(),
            ciphertext: &ciphertext,
            kem_hash: &keys.kem_key().hash(),
            context,
        }
        .key(&encapsulated, &agreed);
        let plain = Zeroizing::new(
            open(&key, &[0; 12], &self.device.0, &self.sealed).map_err(|_| BoxError::Broken)?,
        );
        let bytes: [u8; 32] = plain.as_slice().try_into().map_err(|_| BoxError::Broken)?;
        Ok(Key::new(bytes))
    }

    /// The ephemeral key and the ciphertext.
    fn parts(&self) -> Result<([u8; 32], KemCiphertext), BoxError> {
        let wrong = BoxError::Encapsulation { bytes: self.encapsulation.len() };
        let (ephemeral, ciphertext) = self.encapsulation.split_first_chunk::<32>().ok_or(wrong)?;
        Ok((*ephemeral, ciphertext.try_into().map_err(|_| wrong)?))
    }

    /// Appends `device (32) || suite (1) || encapsulation (bytes) || sealed (48)`. The length before
    /// the encapsulation is there for readers of other suites: they pass the box over and read on.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.raw(&self.device.0).raw(&[self.suite]).bytes(&self.encapsulation).raw(&self.sealed);
    }

    /// Reads what [`SecretBox::encode`] wrote. A box of this suite has this suite's length.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let device = DeviceId(reader.array("box device")?);
        let suite = reader.u8("box suite")?;
        let at = reader.at();
        let encapsulation = reader.bytes(ENCAPSULATION_BYTES_MAX, "encapsulation")?.to_vec();
        if suite == SUITE && encapsulation.len() != ENCAPSULATION_BYTES {
            return reader.invalid(at, "encapsulation");
        }
        Ok(Self { device, suite, encapsulation, sealed: reader.array("sealed secret")? })
    }

    /// The box's hash, of which its epoch's Merkle tree is made.
    #[must_use]
    pub fn leaf(&self) -> Digest {
        let mut bytes = Vec::new();
        self.encode(&mut bytes);
        Domain::EpochBox.hash(&[&bytes])
    }
}

/// What went over the wire, and for whom: all that a box's key is bound to.
struct Transcript<'a> {
    ephemeral: &'a [u8; 32],
    agreement: &'a [u8; 32],
    ciphertext: &'a KemCiphertext,
    kem_hash: &'a Digest,
    context: &'a [u8],
}

impl Transcript<'_> {
    /// The box's key from the secrets of ML-KEM and of X25519.
    fn key(&self, encapsulated: &[u8; 32], agreed: &[u8; 32]) -> Key {
        let mut secrets = Zeroizing::new([0; 64]);
        let (first, second) = secrets.split_at_mut(32);
        first.copy_from_slice(encapsulated);
        second.copy_from_slice(agreed);
        self.derive(&*secrets)
    }

    fn derive(&self, secrets: &[u8]) -> Key {
        let Self { ephemeral, agreement, ciphertext, kem_hash, context } = self;
        derive(secrets, &[], &[LABEL, *ephemeral, *agreement, *ciphertext, *kem_hash, context])
    }
}

/// Two independent seeds of one string of random bytes.
fn halves(entropy: &[u8; 64]) -> [Key; 2] {
    let mut halves = [Key::default(), Key::default()];
    for (half, bytes) in halves.iter_mut().zip(entropy.chunks_exact(32)) {
        half.copy_from_slice(bytes);
    }
    halves
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 32] = [9; 32];

    fn device(n: u8) -> DeviceKeys {
        DeviceKeys::from_seeds(&[n; 32], &[n + 100; 32])
    }

    fn entropy(n: u8) -> [u8; 64] {
        std::array::from_fn(|at| n.wrapping_add(at as u8))
    }

    fn sealed_to(keys: &DeviceKeys, seed: u8) -> SecretBox {
        let card = keys.card([0; 32]);
        SecretBox::seal(&card, keys.kem_key(), b"epoch", &SECRET, &entropy(seed)).unwrap()
    }

    /// The encapsulation's ephemeral key of one box with the ciphertext of another.
    fn spliced(ephemeral: &SecretBox, ciphertext: &SecretBox) -> Vec<u8> {
        [&ephemeral.encapsulation[..32], &ciphertext.encapsulation[32..]].concat()
    }

    #[test]
    fn a_box_opens_for_its_device_in_its_context_only() {
        let sealed = sealed_to(&device(1), 5);
        assert_eq!(*sealed.open(&device(1), b"epoch").unwrap(), SECRET);
        assert_eq!(sealed.open(&device(1), b"other"), Err(BoxError::Broken));
        assert_eq!(sealed.open(&device(2), b"epoch"), Err(BoxError::OtherDevice));
        let renamed = SecretBox { device: device(2).id(), ..sealed.clone() };
        assert_eq!(renamed.open(&device(2), b"epoch"), Err(BoxError::Broken));
        for suite in [0, 2, 255] {
            let other = SecretBox { suite, ..sealed.clone() };
            assert_eq!(other.open(&device(1), b"epoch"), Err(BoxError::UnknownSuite(suite)));
        }
    }

    #[test]
    fn no_part_of_a_box_is_exchanged_for_that_of_another() {
        let (keys, one, two) = (device(1), sealed_to(&device(1), 5), sealed_to(&device(1), 6));
        for encapsulation in [spliced(&one, &two), spliced(&two, &one), two.encapsulation.clone()] {
            let swapped = SecretBox { encapsulation, ..one.clone() };
            assert_eq!(swapped.open(&keys, b"epoch"), Err(BoxError::Broken));
        }
        for at in [0, 31, 32, 32 + 960, ENCAPSULATION_BYTES - 1] {
            let mut changed = one.clone();
            changed.encapsulation[at] ^= 1;
            assert_eq!(changed.open(&keys, b"epoch"), Err(BoxError::Broken), "byte {at}");
        }
        for at in [0, 31, 32, 47] {
            let mut changed = one.clone();
            changed.sealed[at] ^= 1;
            assert_eq!(changed.open(&keys, b"epoch"), Err(BoxError::Broken), "byte {at}");
        }
    }

    #[test]
    fn a_small_order_ephemeral_key_is_refused() {
        let mut sealed = sealed_to(&device(1), 5);
        sealed.encapsulation[..32].fill(0);
        assert_eq!(sealed.open(&device(1), b"epoch"), Err(BoxError::WeakKey));
    }

    #[test]
    fn nothing_is_sealed_to_a_weak_wrong_or_invalid_key() {
        let keys = device(1);
        let card = keys.card([0; 32]);
        let seal = |card: &DeviceCard, kem: &KemKey| {
            SecretBox::seal(card, kem, b"epoch", &SECRET, &entropy(5))
        };
        let weak = DeviceCard { agreement: [0; 32], ..card.clone() };
        assert_eq!(seal(&weak, keys.kem_key()), Err(BoxError::WeakKey));
        assert!(!SecretBox::can_be_for(&weak, keys.kem_key()));
        assert_eq!(seal(&card, device(2).kem_key()), Err(BoxError::OtherKemKey));
        // A device may name a key of which all coefficients are 4,095.
        let overflowing = KemKey::from_bytes(&[0xff; keys::KEM_KEY_BYTES]).unwrap();
        let named = DeviceCard { kem_hash: overflowing.hash(), ..card };
        assert_eq!(seal(&named, &overflowing), Err(BoxError::InvalidKemKey(InvalidKemKey)));
        assert!(!SecretBox::can_be_for(&named, &overflowing));
        assert!(SecretBox::can_be_for(&keys.card([0; 32]), keys.kem_key()));
    }

    /// Who broke one of the schemes knows its secret and all that is public.
    #[test]
    fn one_of_the_two_secrets_opens_nothing() {
        let keys = device(1);
        let sealed = sealed_to(&keys, 5);
        let (ephemeral, ciphertext) = sealed.parts().unwrap();
        let transcript = Transcript {
            ephemeral: &ephemeral,
            agreement: &keys.agreement(),
            ciphertext: &ciphertext,
            kem_hash: &keys.kem_key().hash(),
            context: b"epoch",
        };
        let opens = |key: Key| open(&key, &[0; 12], &sealed.device.0, &sealed.sealed).is_ok();
        let agreed = keys.agree(&ephemeral).unwrap();
        let encapsulated = keys.decapsulate(&ciphertext);
        assert!(opens(transcript.key(&encapsulated, &agreed)));
        assert!(!opens(transcript.key(&agreed, &encapsulated)));
        let stranger = device(2);
        for guess in [[0; 32], *stranger.decapsulate(&ciphertext), *agreed] {
            assert!(!opens(transcript.key(&guess, &agreed)), "X25519 alone");
        }
        for guess in [[0; 32], *stranger.agree(&ephemeral).unwrap(), *encapsulated] {
            assert!(!opens(transcript.key(&encapsulated, &guess)), "ML-KEM alone");
        }
        assert!(!opens(transcript.derive(&*agreed)) && !opens(transcript.derive(&*encapsulated)));
    }

    #[test]
    fn every_part_of_the_transcript_counts() {
        let (one, other) = ([1; 32], [2; 32]);
        let (ciphertext, changed) = ([3; KEM_CIPHERTEXT_BYTES], [4; KEM_CIPHERTEXT_BYTES]);
        let base = || Transcript {
            ephemeral: &one,
            agreement: &one,
            ciphertext: &ciphertext,
            kem_hash: &one,
            context: b"epoch",
        };
        let key = |transcript: Transcript<'_>| transcript.key(&[5; 32], &[6; 32]);
        assert_eq!(key(base()), key(base()));
        for transcript in [
            Transcript { ephemeral: &other, ..base() },
            Transcript { agreement: &other, ..base() },
            Transcript { ciphertext: &changed, ..base() },
            Transcript { kem_hash: &other, ..base() },
            Transcript { context: b"other", ..base() },
        ] {
            assert_ne!(key(transcript), key(base()));
        }
    }

    #[test]
    fn the_two_schemes_draw_on_different_halves_of_the_entropy() {
        let base = sealed_to(&device(1), 5);
        for at in [0, 31, 32, 63] {
            let mut entropy = entropy(5);
            entropy[at] ^= 8; // not one of the bits that X25519 sets by itself
            let card = device(1).card([0; 32]);
            let kem = device(1);
            let other = SecretBox::seal(&card, kem.kem_key(), b"epoch", &SECRET, &entropy).unwrap();
            let same = |range: std::ops::Range<usize>| {
                base.encapsulation[range.clone()] == other.encapsulation[range]
            };
            assert_eq!(same(0..32), at >= 32, "ephemeral key, byte {at}");
            assert_eq!(same(32..ENCAPSULATION_BYTES), at < 32, "ciphertext, byte {at}");
        }
    }

    #[test]
    fn a_box_reads_back_and_no_truncation_does() {
        let sealed = sealed_to(&device(1), 5);
        let mut bytes = Vec::new();
        sealed.encode(&mut bytes);
        assert_eq!(bytes.len(), BOX_BYTES);
        assert_eq!(SecretBox::decode(&mut Reader::new(&bytes)), Ok(sealed));
        for len in 0..bytes.len() {
            assert!(SecretBox::decode(&mut Reader::new(&bytes[..len])).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn an_encapsulation_has_its_suites_length_and_other_suites_are_passed_over() {
        let sealed = sealed_to(&device(1), 5);
        for bytes in [0, 31, 32, ENCAPSULATION_BYTES - 1, ENCAPSULATION_BYTES + 1] {
            let wrong = SecretBox { encapsulation: vec![1; bytes], ..sealed.clone() };
            let found = wrong.open(&device(1), b"epoch");
            assert_eq!(found, Err(BoxError::Encapsulation { bytes }));
            let mut encoded = Vec::new();
            wrong.encode(&mut encoded);
            assert!(SecretBox::decode(&mut Reader::new(&encoded)).is_err(), "{bytes}");
        }
        for (bytes, readable) in [(0, true), (2_048, true), (2_049, false)] {
            let other = SecretBox { suite: 2, encapsulation: vec![1; bytes], ..sealed.clone() };
            let mut encoded = Vec::new();
            other.encode(&mut encoded);
            sealed.encode(&mut encoded);
            let mut reader = Reader::new(&encoded);
            assert_eq!(SecretBox::decode(&mut reader).is_ok(), readable, "{bytes}");
            if readable {
                assert_eq!(SecretBox::decode(&mut reader).as_ref(), Ok(&sealed));
            }
        }
    }
}
