//! Payloads: what is sealed into an entry about a record. The first byte is the codec: 0 is plain;
//! a codec that this version does not know leaves the entry closed.

use crate::bounds::DEPS_MAX;
use crate::codec::{DecodeError, Reader, Write as _};
use crate::hash::{Digest, Domain};
use crate::id::{EntryId, RecordId};

use super::kind::Kind;
use super::label::{LABEL_BYTES_MAX, Label};

pub(super) const CODEC_PLAIN: u8 = 0;

/// The id of a record: drawn from the log of its genesis and the hash of the key box there, so that
/// nobody else can begin a record of the same id; random, because the box is. The hash stands in
/// the outer header, so that a genesis whose box was destroyed is known for one all the same.
#[must_use]
pub fn record_id(log_digest: &Digest, box_hash: &Digest) -> RecordId {
    let hash = Domain::Record.hash(&[log_digest, box_hash]);
    let mut id = [0; 16];
    id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    RecordId(id)
}

/// Who may change a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Writers {
    /// The devices of the originating agency.
    Originator = 0,
    /// All devices that may write in the compartment.
    Compartment = 1,
}

/// The payload of an entry that begins a record:
/// `codec (1) || kind (1) || writers (1) || label (bytes) || change`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Genesis<'a> {
    /// What the record is about.
    pub kind: Kind,
    /// Who may change it.
    pub writers: Writers,
    /// Its first label.
    pub label: Label,
    /// Its first Automerge change.
    pub change: &'a [u8],
}

impl<'a> Genesis<'a> {
    /// The payload's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![CODEC_PLAIN, self.kind as u8, self.writers as u8];
        out.bytes(&self.label.encode()).raw(self.change);
        out
    }

    /// Reads a payload. A label that this version cannot read is the most restrictive one.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        plain(&mut reader)?;
        let at = reader.at();
        let kind = Kind::from_u8(reader.u8("record kind")?)
            .ok_or(DecodeError::Invalid { at, what: "record kind" })?;
        let at = reader.at();
        let writers = match reader.u8("writers")? {
            0 => Writers::Originator,
            1 => Writers::Compartment,
            _ => return reader.invalid(at, "writers"),
        };
        let label = reader.bytes(LABEL_BYTES_MAX, "label")?;
        let label = Label::decode_or_most_restrictive(label);
        let change = reader.take(reader.left(), "change")?;
        Ok(Self { kind, writers, label, change })
    }
}

/// The payload of an entry that changes a record: `codec (1) || change`.
#[must_use]
pub fn encode_change(change: &[u8]) -> Vec<u8> {
    [&[CODEC_PLAIN], change].concat()
}

/// Reads the payload of a change.
pub fn decode_change(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    let mut reader = Reader::new(bytes);
    plain(&mut reader)?;
    reader.take(reader.left(), "change")
}

/// The payload of a label statement:
/// `codec (1) || label (bytes) || count (number), cited entries (32 each)`. Without citations it
/// adds a restriction; with them it is a release.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LabelStatement {
    /// The label.
    pub label: Label,
    /// The statements that it lifts: ascending.
    pub cites: Vec<EntryId>,
}

impl LabelStatement {
    /// The payload's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![CODEC_PLAIN];
        out.bytes(&self.label.encode()).number(self.cites.len() as u64);
        for entry in &self.cites {
            out.raw(&entry.0);
        }
        out
    }

    /// Reads a payload.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        plain(&mut reader)?;
        let label = reader.bytes(LABEL_BYTES_MAX, "label")?;
        let label = Label::decode_or_most_restrictive(label);
        let at = reader.at();
        let count = reader.count(DEPS_MAX, "cited entries")?;
        let mut cites = Vec::with_capacity(count);
        for _ in 0..count {
            cites.push(EntryId(reader.array("cited entry")?));
        }
        if !cites.windows(2).all(|pair| matches!(pair, [a, b] if a < b)) {
            return reader.invalid(at, "cited entries");
        }
        reader.finish()?;
        Ok(Self { label, cites })
    }
}

pub(super) fn plain(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let at = reader.at();
    if reader.u8("payload codec")? == CODEC_PLAIN {
        Ok(())
    } else {
        reader.invalid(at, "payload codec")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_read_back() {
        let label: Label = "TLP:AMBER".parse().unwrap();
        let genesis = Genesis {
            kind: Kind::Alert,
            writers: Writers::Compartment,
            label: label.clone(),
            change: &[1, 2, 3],
        };
        assert_eq!(Genesis::decode(&genesis.encode()), Ok(genesis.clone()));
        let statement = LabelStatement { label, cites: vec![EntryId([1; 32]), EntryId([2; 32])] };
        let bytes = statement.encode();
        assert_eq!(LabelStatement::decode(&bytes), Ok(statement));
        for len in 0..bytes.len() {
            assert!(LabelStatement::decode(&bytes[..len]).is_err());
        }
        assert_eq!(decode_change(&encode_change(&[9])), Ok(&[9][..]));
        assert!(decode_change(&[7, 9]).is_err());
    }

    #[test]
    fn a_label_of_another_version_is_the_most_restrictive() {
        let mut bytes = vec![0, Kind::Alert as u8, 0];
        bytes.bytes(&[0xff, 0xff]).raw(&[1]);
        assert_eq!(Genesis::decode(&bytes).unwrap().label, Label::most_restrictive());
    }
}
