//! Marks: how far logs count. A mark names a log by its hash, so that a statement that all members
//! of a coalition read says nothing of the compartments that its logs are in.

use crate::bounds::MARKS_MAX;
use crate::codec::{DecodeError, Reader, Write as _};
use crate::hash::{Digest, sha256};
use crate::id::EntryId;

/// A prefix of a log: its first entries, up to one that is named by its hash.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Mark {
    /// The log's digest ([`crate::id::LogId::digest`]).
    pub log: Digest,
    /// How many entries, at least one.
    pub count: u64,
    /// The id of the last of them.
    pub head: EntryId,
}

/// The marks of a revocation or an adoption, one for each log, ascending. Few stand in the statement;
/// many travel in its payload, and the statement holds their hash.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Marks {
    /// In the statement.
    Inline(Vec<Mark>),
    /// In the payload, whose SHA-256 this is.
    Wide(Digest),
}

/// Most marks that stand in the statement itself.
pub const MARKS_INLINE_MAX: usize = 200;

impl Marks {
    /// No log counts at all.
    pub const NONE: Self = Self::Inline(Vec::new());

    /// Marks in order, and the payload that carries them where they are many. `None` if they are
    /// more than [`MARKS_MAX`].
    #[must_use]
    pub fn of(mut marks: Vec<Mark>) -> Option<(Self, Option<Vec<u8>>)> {
        marks.sort_unstable();
        marks.dedup_by_key(|mark| mark.log);
        if marks.len() > MARKS_MAX {
            return None;
        }
        if marks.len() <= MARKS_INLINE_MAX {
            return Some((Self::Inline(marks), None));
        }
        let mut body = Vec::new();
        encode_list(&marks, &mut body);
        Some((Self::Wide(sha256(&body)), Some(body)))
    }

    /// The marks, given the statement's payload. A wide list whose payload is missing or another
    /// has none: what is not named is not kept.
    #[must_use]
    pub fn resolve(&self, payload: Option<&[u8]>) -> Vec<Mark> {
        match self {
            Self::Inline(marks) => marks.clone(),
            Self::Wide(hash) => {
                let Some(body) = payload.filter(|body| sha256(body) == *hash) else {
                    return Vec::new();
                };
                let mut reader = Reader::new(body);
                let marks = decode_list(&mut reader, MARKS_MAX);
                marks.ok().filter(|_| reader.left() == 0).unwrap_or_default()
            }
        }
    }

    /// Appends `0 || count (number), marks`, or `1 || SHA-256 of the list (32)`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Inline(marks) => {
                out.push(0);
                encode_list(marks, out);
            }
            Self::Wide(hash) => {
                out.push(1);
                out.raw(hash);
            }
        }
    }

    /// Reads what [`Marks::encode`] wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.at();
        Ok(match reader.u8("marks' form")? {
            0 => Self::Inline(decode_list(reader, MARKS_INLINE_MAX)?),
            1 => Self::Wide(reader.array("marks' hash")?),
            _ => return reader.invalid(at, "marks' form"),
        })
    }
}

/// `count (number)`, then `log (32) || count (number) || head (32)` each.
fn encode_list(marks: &[Mark], out: &mut Vec<u8>) {
    out.number(marks.len() as u64);
    for mark in marks {
        out.raw(&mark.log).number(mark.count).raw(&mark.head.0);
    }
}

fn decode_list(reader: &mut Reader<'_>, max: usize) -> Result<Vec<Mark>, DecodeError> {
    let at = reader.at();
    let count = reader.count(max, "marks")?;
    let mut marks: Vec<Mark> = Vec::with_capacity(count);
    for _ in 0..count {
        marks.push(Mark {
            log: reader.array("marked log")?,
            count: reader.number("marked entries")?,
            head: EntryId(reader.array("marked head")?),
        });
    }
    let ascending = marks.windows(2).all(|pair| matches!(pair, [a, b] if a.log < b.log));
    if !ascending || marks.iter().any(|mark| mark.count == 0) {
        return reader.invalid(at, "marks");
    }
    Ok(marks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(n: u16) -> Mark {
        let mut log = [0; 32];
        log[..2].copy_from_slice(&n.to_be_bytes());
        Mark { log, count: u64::from(n) + 1, head: EntryId([7; 32]) }
    }

    fn marks(count: u16) -> Vec<Mark> {
        (0..count).map(mark).collect()
    }

    #[test]
    fn few_marks_stand_in_the_statement_and_many_in_its_payload() {
        let (inline, none) = Marks::of(marks(MARKS_INLINE_MAX as u16)).unwrap();
        assert!(none.is_none());
        assert_eq!(inline.resolve(None).len(), MARKS_INLINE_MAX);
        let (wide, body) = Marks::of(marks(MARKS_INLINE_MAX as u16 + 1)).unwrap();
        assert!(matches!(wide, Marks::Wide(_)));
        assert_eq!(wide.resolve(body.as_deref()), marks(MARKS_INLINE_MAX as u16 + 1));
        assert!(wide.resolve(None).is_empty());
        assert!(wide.resolve(Some(b"other")).is_empty());
        let most = marks(MARKS_MAX as u16);
        assert!(
            Marks::of(most.clone()).unwrap().1.unwrap().len() <= crate::bounds::PAYLOAD_BYTES_MAX
        );
        assert!(Marks::of([most, vec![mark(60_000)]].concat()).is_none());
    }

    #[test]
    fn marks_read_back_and_disorder_repetition_and_empty_prefixes_do_not() {
        let read = |marks: Vec<Mark>| {
            let mut bytes = Vec::new();
            Marks::Inline(marks).encode(&mut bytes);
            Marks::decode(&mut Reader::new(&bytes))
        };
        assert_eq!(read(marks(3)), Ok(Marks::Inline(marks(3))));
        assert!(read(vec![mark(1), mark(0)]).is_err());
        assert!(read(vec![mark(1), mark(1)]).is_err());
        assert!(read(vec![Mark { count: 0, ..mark(1) }]).is_err());
        assert!(read(marks(MARKS_INLINE_MAX as u16 + 1)).is_err());
    }
}
