//! Epochs: the secrets of a compartment. An epoch's secret is random; two keys are drawn from it
//! once, so that the secret and the key to payloads can be destroyed while the key to the auditable
//! skeleton (sealed headers) stays.

use zeroize::Zeroizing;

use crate::bounds::PAYLOAD_BYTES_MAX;
use crate::codec::{DecodeError, Reader, Write as _};
use crate::hash::{Digest, Domain};
use crate::id::{DeviceId, EpochId, LogId};
use crate::seal::{self, BOX_BYTES, Key, SecretBox};
use crate::store::{Batch, Space};

/// Bytes of a key box: the salt of one record's key.
pub const KEY_BOX_BYTES: usize = 16;

/// The salt from which, with the epoch's payload secret, one record's key is drawn. Without it the
/// record's payloads stay closed for good.
pub type KeyBox = [u8; KEY_BOX_BYTES];

/// What a device keeps of an epoch that it could open.
#[derive(Clone)]
pub struct EpochKeys {
    /// Opens sealed headers. Outlives erasure and the epoch's retirement.
    metadata: Key,
    /// The epoch's secret and the key that opens payloads, until the epoch is retired.
    live: Option<(Key, Key)>,
}

impl std::fmt::Debug for EpochKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "EpochKeys(hidden, payloads {})",
            if self.live.is_some() { "open" } else { "retired" }
        )
    }
}

impl EpochKeys {
    /// The keys of an epoch's secret.
    #[must_use]
    pub fn of(secret: &[u8; 32]) -> Self {
        Self {
            metadata: seal::derive(secret, &[], &[b"tearline/1/metadata"]),
            live: Some((Key::new(*secret), seal::derive(secret, &[], &[b"tearline/1/payload"]))),
        }
    }

    /// What the epoch's statement says of its secret.
    #[must_use]
    pub fn commitment(secret: &[u8; 32]) -> Digest {
        Domain::EpochCommit.hash(&[secret])
    }

    /// The secret, to be sealed to one more reader; `None` after the epoch's retirement.
    #[must_use]
    pub fn secret(&self) -> Option<&[u8; 32]> {
        self.live.as_ref().map(|(secret, _)| &**secret)
    }

    /// Destroys the secret and the key to payloads, here in memory. What is left opens sealed headers
    /// and nothing more. Durable with [`EpochKeys::store`]; the boxes that carried the secret to this
    /// device lie in authority logs, and are to be detached there, too.
    pub fn retire(&mut self) {
        self.live = None;
    }

    /// Keeps the keys in the store, in the space of which replaced values are overwritten.
    pub fn store(&self, batch: &mut Batch, id: EpochId) {
        batch.put(Space::Secrets, id.0, self.to_bytes().to_vec());
    }

    /// The key of one log's sealed headers.
    #[must_use]
    pub fn header_key(&self, log: &LogId) -> Key {
        seal::derive(&*self.metadata, &[], &[b"tearline/1/header", &log.encode()])
    }

    /// The key of where one device says that it is; `None` after the epoch's retirement.
    #[must_use]
    pub fn presence_key(&self, device: &DeviceId) -> Option<Key> {
        let (secret, _) = self.live.as_ref()?;
        Some(seal::derive(&**secret, &[], &[b"tearline/1/presence-key", &device.0]))
    }

    /// The key of one record's payloads in one log; `None` after the epoch's retirement.
    #[must_use]
    pub fn record_key(&self, log: &LogId, salt: &KeyBox) -> Option<Key> {
        let (_, payload) = self.live.as_ref()?;
        Some(seal::derive(&**payload, salt, &[b"tearline/1/record", &log.encode()]))
    }

    /// What the store keeps, under its own seal: `metadata key (32) || secret (32)`, or the first
    /// alone after retirement.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(self.metadata.to_vec());
        if let Some((secret, _)) = &self.live {
            out.extend_from_slice(&**secret);
        }
        out
    }

    /// Reads what [`EpochKeys::to_bytes`] wrote.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let metadata = Key::new(bytes.get(..32)?.try_into().ok()?);
        match bytes.get(32..)? {
            [] => Some(Self { metadata, live: None }),
            rest => {
                let keys = Self::of(&Key::new(rest.try_into().ok()?));
                (*keys.metadata == *metadata).then_some(keys)
            }
        }
    }
}

/// What a box of an epoch is bound to: the compartment and the epoch's commitment.
#[must_use]
pub fn box_context(compartment: &[u8; 32], commitment: &Digest) -> Vec<u8> {
    [compartment.as_slice(), commitment].concat()
}

/// The epoch's id: the hash of its statement.
#[must_use]
pub fn epoch_id(compartment: &[u8; 32], statement: &[u8]) -> EpochId {
    EpochId(Domain::Epoch.hash(&[compartment, statement]))
}

/// Most boxes in one payload: behind their count they fill it.
pub const BOXES_MAX: usize = (PAYLOAD_BYTES_MAX - 1) / BOX_BYTES;
const _: () = assert!(BOXES_MAX < 128, "the count of boxes takes one byte");

/// The payload of a seal: `count (number) || boxes`.
#[must_use]
pub fn encode_boxes(boxes: &[SecretBox]) -> Vec<u8> {
    let mut out = Vec::new();
    out.number(boxes.len() as u64);
    boxes.iter().for_each(|sealed| sealed.encode(&mut out));
    out
}

/// Reads what [`encode_boxes`] wrote.
pub fn decode_boxes(bytes: &[u8]) -> Result<Vec<SecretBox>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let count = reader.count(BOXES_MAX, "boxes")?;
    let mut boxes = Vec::with_capacity(count);
    for _ in 0..count {
        boxes.push(SecretBox::decode(&mut reader)?);
    }
    reader.finish()?;
    Ok(boxes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::sealed::{EntryKind, LogCipher, OpenFault, SealedHeader};
    use crate::id::{Class, CompartmentId, DeviceId, Incarnation, RecordId};
    use crate::time::WallTime;

    #[test]
    fn keys_differ_by_log_and_salt_and_survive_the_store() {
        let log = |device| LogId {
            compartment: CompartmentId([1; 32]),
            class: Class::Routine,
            device: DeviceId([device; 32]),
            incarnation: Incarnation(1),
        };
        let keys = EpochKeys::of(&[3; 32]);
        assert_ne!(*keys.header_key(&log(1)), *keys.header_key(&log(2)));
        let key = |l, salt| keys.record_key(&log(l), &[salt; 16]).unwrap();
        assert_ne!(*key(1, 1), *key(1, 2));
        assert_ne!(*key(1, 1), *key(2, 1));
        let back = EpochKeys::from_bytes(&keys.to_bytes()).unwrap();
        assert_eq!(*back.header_key(&log(1)), *keys.header_key(&log(1)));
        assert!(EpochKeys::from_bytes(&[0; 40]).is_none());
    }

    #[test]
    fn a_retired_epoch_opens_headers_and_no_payloads() {
        let log = LogId {
            compartment: CompartmentId([1; 32]),
            class: Class::Routine,
            device: DeviceId([2; 32]),
            incarnation: Incarnation(1),
        };
        let id = EpochId([4; 32]);
        let mut keys = EpochKeys::of(&[3; 32]);
        let header = SealedHeader {
            kind: EntryKind::CHANGE,
            record: RecordId([5; 16]),
            wall: WallTime(6),
            run: 0,
            box_seq: Some(1),
            own_deps: vec![],
            deps: vec![],
            replaces: vec![],
        };
        let live = LogCipher::new(log, id, keys.clone());
        let sealed = live.seal_header(2, &header);
        let payload = live.seal_payload(2, (&header, &[7; 32]), &[8; 16], b"text").unwrap();
        assert!(live.open_payload(2, (&header, &[7; 32]), &[8; 16], &payload).is_ok());
        keys.retire();
        for keys in [keys.clone(), EpochKeys::from_bytes(&keys.to_bytes()).unwrap()] {
            assert!(keys.secret().is_none());
            let retired = LogCipher::new(log, id, keys);
            assert_eq!(retired.open_header(2, &sealed, None), Ok(header.clone()));
            let fault = retired.open_payload(2, (&header, &[7; 32]), &[8; 16], &payload);
            assert_eq!(fault, Err(OpenFault::Retired));
            assert!(retired.seal_payload(3, (&header, &[7; 32]), &[8; 16], b"text").is_none());
        }
    }
}
