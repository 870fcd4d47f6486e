//! Strays: authority entries that travel alone.
//!
//! What takes away counts wherever its author said it, also past a fork of his log, where peers take no
//! more of the log ([`crate::authority`]). An authority entry is signed itself, so that it proves what
//! was said at its place to whoever lacks what is before it.

use crate::bounds::{PAYLOAD_BYTES_MAX, STATEMENT_BYTES_MAX};
use crate::codec::{DecodeError, Reader, Write as _};
use crate::entry::NO_EPOCH;
use crate::entry::fork::{Branch, SignedHeader};
use crate::hash::sha256;
use crate::id::{Class, EntryId, LogId};

/// An authority entry with its signature, whole and verified.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stray {
    id: EntryId,
    signed: SignedHeader,
    statement: Vec<u8>,
    payload: Option<Vec<u8>>,
}

impl Stray {
    /// Puts an entry together; `None` if it is not of an authority log, if a part is not the one that its
    /// header names, or if its author did not sign it.
    #[must_use]
    pub fn new(signed: SignedHeader, statement: Vec<u8>, payload: Option<Vec<u8>>) -> Option<Self> {
        let header = &signed.header;
        let of_authority = header.log.class == Class::Authority
            && header.epoch == NO_EPOCH
            && header.key_box.is_none()
            && header.covers.is_none();
        let whole = header.sealed.hash == sha256(&statement)
            && header.sealed.len as usize == statement.len()
            && match (&header.payload, &payload) {
                (None, None) => true,
                (Some(part), Some(payload)) => {
                    part.hash == sha256(payload) && part.len as usize == payload.len()
                }
                _ => false,
            };
        let id = header.id();
        (of_authority && whole && signed.holds()).then_some(Self { id, signed, statement, payload })
    }

    /// The entry's id.
    #[must_use]
    pub const fn id(&self) -> EntryId {
        self.id
    }

    /// The log in which it was said.
    #[must_use]
    pub const fn log(&self) -> &LogId {
        &self.signed.header.log
    }

    /// Its position there.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.signed.header.seq
    }

    /// What proves that its author put it there.
    #[must_use]
    pub fn branch(&self) -> Branch {
        Branch::signed(self.signed.clone())
    }

    /// The statement.
    #[must_use]
    pub fn statement(&self) -> &[u8] {
        &self.statement
    }

    /// What stands beside it.
    #[must_use]
    pub fn payload(&self) -> Option<&[u8]> {
        self.payload.as_deref()
    }

    /// Its bytes: `header (bytes) || signature (64) || statement (bytes) || payload (bytes)`, the last
    /// where the header names one.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.signed.encode(&mut out);
        out.bytes(&self.statement);
        if let Some(payload) = &self.payload {
            out.bytes(payload);
        }
        out
    }

    /// Reads and verifies one; `Ok(None)` if it does not hold.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let mut reader = Reader::new(bytes);
        let signed = SignedHeader::decode(&mut reader)?;
        let statement = reader.bytes(STATEMENT_BYTES_MAX, "statement")?.to_vec();
        let payload = match signed.header.payload {
            Some(_) => Some(reader.bytes(PAYLOAD_BYTES_MAX, "payload")?.to_vec()),
            None => None,
        };
        reader.finish()?;
        Ok(Self::new(signed, statement, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::run::{Head, NewEntry, write_segment};
    use crate::id::{CompartmentId, EpochId, Incarnation};
    use crate::keys::Signer;
    use crate::time::WallTime;

    fn parts(class: Class, payload: Option<Vec<u8>>) -> (SignedHeader, Vec<u8>) {
        let signer = Signer::from_seed(&[3; 32]);
        let device = crate::id::DeviceId(signer.public());
        let log = LogId {
            compartment: CompartmentId([1; 32]),
            class,
            device,
            incarnation: Incarnation(4),
        };
        let epoch = if class == Class::Authority { NO_EPOCH } else { EpochId([9; 32]) };
        let entry = NewEntry { epoch, sealed: vec![5; 40], key_box: None, payload };
        let run = write_segment(&log, &Head::EMPTY, &signer, &[entry]).unwrap();
        let mut logbook = crate::logbook::Logbook::default();
        let mut store = crate::store::memory::MemoryStore::default();
        let mut batch = crate::store::Batch::default();
        logbook.append(&mut batch, &run, WallTime::default()).unwrap();
        crate::store::Store::apply(&mut store, batch).unwrap();
        let entry = logbook.entry(&store, &log, 0).unwrap().unwrap();
        (entry.signed.unwrap(), entry.sealed)
    }

    #[test]
    fn an_entry_holds_with_all_its_parts_and_no_others() {
        for payload in [None, Some(vec![7; 90])] {
            let (signed, statement) = parts(Class::Authority, payload.clone());
            let stray = Stray::new(signed.clone(), statement.clone(), payload.clone()).unwrap();
            let bytes = stray.encode();
            assert_eq!(Stray::decode(&bytes).unwrap(), Some(stray.clone()));
            assert_eq!((stray.id(), stray.seq()), (signed.header.id(), 0));
            for at in 0..bytes.len() {
                assert!(Stray::decode(&bytes[..at]).is_err());
                let mut changed = bytes.clone();
                changed[at] ^= 1;
                assert!(!matches!(Stray::decode(&changed), Ok(Some(_))), "changed at {at}");
            }
            let other = if payload.is_some() { None } else { Some(vec![1]) };
            assert_eq!(Stray::new(signed, statement, other), None);
        }
    }

    #[test]
    fn entries_of_other_classes_do_not_travel_so() {
        let (signed, statement) = parts(Class::Flash, None);
        assert_eq!(Stray::new(signed, statement, None), None);
    }
}
