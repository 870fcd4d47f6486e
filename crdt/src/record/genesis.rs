//! Payloads: what is sealed into an entry about a record. The first byte is the codec: 0 is plain, 1
//! says that the change in it is stripped ([`crate::change::strip`]); a codec that this version does
//! not know leaves the entry closed.

use std::borrow::Cow;

use crate::bounds::DEPS_MAX;
use crate::change::strip::{Implied, expand, read, strip};
use crate::change::{Built, Change, decode, encode};
use crate::codec::{DecodeError, Reader, Write as _};
use crate::gate::{self, Admitted, Expected, GateFault};
use crate::hash::{Digest, Domain};
use crate::id::{EntryId, RecordId};

use super::kind::Kind;
use super::label::{LABEL_BYTES_MAX, Label};

pub(super) const CODEC_PLAIN: u8 = 0;
const CODEC_STRIPPED: u8 = 1;

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

/// A change as a payload carries it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Carried<'a> {
    /// Codec 0: the chunk.
    Plain(&'a [u8]),
    /// Codec 1: what the entry does not say.
    Stripped(Cow<'a, [u8]>),
}

impl<'a> Carried<'a> {
    /// The shortest form of a change that was built: stripped, if that is shorter and reads back the
    /// same.
    #[must_use]
    pub fn of(built: &'a Built, implied: &Implied) -> Self {
        match stripped(&built.change, implied) {
            Some(bytes) if bytes.len() < built.change.chunk_bytes_min() => {
                Self::Stripped(bytes.into())
            }
            Some(bytes) if bytes.len() < built.bytes().len() => Self::Stripped(bytes.into()),
            _ => Self::Plain(built.bytes()),
        }
    }

    /// The shortest form of a chunk.
    #[must_use]
    pub fn of_chunk(chunk: &'a [u8], implied: &Implied) -> Self {
        match decode(chunk) {
            Ok(change) if encode(&change) == chunk => match stripped(&change, implied) {
                Some(bytes) if bytes.len() < chunk.len() => Self::Stripped(bytes.into()),
                _ => Self::Plain(chunk),
            },
            _ => Self::Plain(chunk),
        }
    }

    /// Through the gate, as the change that the entry's headers announce.
    pub fn admit(&self, implied: &Implied, expected: &Expected<'_>) -> Result<Admitted, GateFault> {
        let Self::Stripped(bytes) = self else { return gate::admit(self.bytes(), expected) };
        let mut deps = expected.deps.to_vec();
        deps.sort_unstable();
        gate::admit_change(Change { seq: expected.seq, deps, ..expand(bytes, implied)? }, expected)
    }

    /// What the change does, where it need not be known what it builds on: `seq` and `deps` are those
    /// of a plain one and nothing else. None if it cannot be read.
    #[must_use]
    pub fn change(&self, implied: &Implied) -> Option<Change> {
        match self {
            Self::Plain(chunk) => decode(chunk).ok(),
            Self::Stripped(bytes) => expand(bytes, implied).ok(),
        }
    }

    /// Whether there is no change.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::Plain([]))
    }

    const fn codec(&self) -> u8 {
        match self {
            Self::Plain(_) => CODEC_PLAIN,
            Self::Stripped(_) => CODEC_STRIPPED,
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Plain(chunk) => chunk,
            Self::Stripped(bytes) => bytes,
        }
    }

    /// All that is left of a payload.
    fn read(codec: u8, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let bytes = reader.take(reader.left(), "change")?;
        Ok(if codec == CODEC_PLAIN { Self::Plain(bytes) } else { Self::Stripped(bytes.into()) })
    }
}

/// The stripped form of a change, if it reads back the same.
fn stripped(change: &Change, implied: &Implied) -> Option<Vec<u8>> {
    let bytes = strip(change, implied)?;
    let back = read(&bytes, implied).ok()?;
    (back.start_op == change.start_op
        && back.other_actors == change.other_actors
        && back.ops == change.ops)
        .then_some(bytes)
}

/// The payload of an entry that begins a record:
/// `codec (1) || kind << 1 | writers (1) || label (bytes) || change`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Genesis<'a> {
    /// What the record is about.
    pub kind: Kind,
    /// Who may change it.
    pub writers: Writers,
    /// Its first label.
    pub label: Label,
    /// Its first Automerge change.
    pub change: Carried<'a>,
}

impl<'a> Genesis<'a> {
    /// The payload's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.change.codec(), (self.kind as u8) << 1 | self.writers as u8];
        out.bytes(&self.label.encode()).raw(self.change.bytes());
        out
    }

    /// Reads a payload. A label that this version cannot read is the most restrictive one.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let codec = read_codec(&mut reader, CODEC_STRIPPED)?;
        let at = reader.at();
        let kind_and_writers = reader.u8("record kind")?;
        let kind = Kind::from_u8(kind_and_writers >> 1)
            .ok_or(DecodeError::Invalid { at, what: "record kind" })?;
        let writers = match kind_and_writers & 1 {
            0 => Writers::Originator,
            _ => Writers::Compartment,
        };
        let label = reader.bytes(LABEL_BYTES_MAX, "label")?;
        let label = Label::decode_or_most_restrictive(label);
        Ok(Self { kind, writers, label, change: Carried::read(codec, &mut reader)? })
    }
}

/// The payload of an entry that changes a record: `codec (1) || change`.
#[must_use]
pub fn encode_change(change: &Carried<'_>) -> Vec<u8> {
    [&[change.codec()], change.bytes()].concat()
}

/// Reads the payload of a change.
pub fn decode_change(bytes: &[u8]) -> Result<Carried<'_>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let codec = read_codec(&mut reader, CODEC_STRIPPED)?;
    Carried::read(codec, &mut reader)
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

/// The codec of what knows no other.
pub(super) fn plain(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    read_codec(reader, CODEC_PLAIN).map(drop)
}

/// The codec, up to the last that such a payload may have.
fn read_codec(reader: &mut Reader<'_>, last: u8) -> Result<u8, DecodeError> {
    let at = reader.at();
    let codec = reader.u8("payload codec")?;
    if codec <= last { Ok(codec) } else { reader.invalid(at, "payload codec") }
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
            change: Carried::Plain(&[1, 2, 3]),
        };
        assert_eq!(Genesis::decode(&genesis.encode()), Ok(genesis.clone()));
        let stripped = Genesis { change: Carried::Stripped(Cow::Owned(vec![4])), ..genesis };
        assert_eq!(Genesis::decode(&stripped.encode()), Ok(stripped.clone()));
        let statement = LabelStatement { label, cites: vec![EntryId([1; 32]), EntryId([2; 32])] };
        let bytes = statement.encode();
        assert_eq!(LabelStatement::decode(&bytes), Ok(statement));
        for len in 0..bytes.len() {
            assert!(LabelStatement::decode(&bytes[..len]).is_err());
        }
        for change in [Carried::Plain(&[9]), Carried::Stripped(Cow::Owned(vec![9]))] {
            assert_eq!(decode_change(&encode_change(&change)), Ok(change.clone()));
            assert!(!change.is_none());
        }
        assert_eq!(decode_change(&[0]).map(|change| change.is_none()), Ok(true));
        assert_eq!(decode_change(&[1]).map(|change| change.is_none()), Ok(false));
        assert!(decode_change(&[2, 9]).is_err());
        assert!(LabelStatement::decode(&[&[1], &bytes[1..]].concat()).is_err());
    }

    #[test]
    fn a_label_of_another_version_is_the_most_restrictive() {
        let mut bytes = vec![0, (Kind::Alert as u8) << 1];
        bytes.bytes(&[0xff, 0xff]).raw(&[1]);
        assert_eq!(Genesis::decode(&bytes).unwrap().label, Label::most_restrictive());
    }
}
