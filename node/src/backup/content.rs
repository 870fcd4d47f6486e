//! What a backup holds, as a sequence of items: first what it is of, then the secrets and the
//! settings, then every key and value of the store, then how many those were.
//!
//! ```text
//! item  = tag (1) || length (number) || body
//! ```
//!
//! The order is fixed and every item but those of the store stands once, the root only where the
//! device holds it. Bounds are checked before anything is allocated; bodies are wiped.

use std::io::{self, Read, Write};

use tearline_crdt::bounds::NAME_BYTES_MAX;
use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::store::{KEY_BYTES_MAX, Space, VALUE_BYTES_MAX};
use tearline_crdt::time::WallTime;
use zeroize::Zeroizing;

/// Largest body of an item: a key and a value of the store with what is around them.
const BODY_BYTES_MAX: usize = KEY_BYTES_MAX + VALUE_BYTES_MAX + 16;

/// What a backup is of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Subject {
    /// When it was made, by this machine's clock.
    pub(super) created: WallTime,
    /// The device's id.
    pub(super) device: [u8; 32],
    /// The device's life whose logs it holds.
    pub(super) incarnation: u64,
    /// What the device calls itself.
    pub(super) name: String,
}

/// One part of a backup.
#[derive(Eq, PartialEq)]
pub(super) enum Item {
    /// What it is of: the first.
    Subject(Subject),
    /// The device's secrets, in the fields of its key file.
    Device(Zeroizing<Vec<u8>>),
    /// The agency's root, in the fields of its key file.
    Root(Zeroizing<Vec<u8>>),
    /// The settings file.
    Config(Zeroizing<Vec<u8>>),
    /// A key and a value of the store.
    Stored {
        /// Which part of the store.
        space: Space,
        /// The key.
        key: Vec<u8>,
        /// The value.
        value: Zeroizing<Vec<u8>>,
    },
    /// How many keys there were: the last.
    End {
        /// The count.
        stored: u64,
    },
}

/// Why the text of a backup makes no sense, although its seal holds.
#[derive(Debug, thiserror::Error)]
pub(super) enum ItemError {
    /// An item does not decode.
    #[error("{0}")]
    Malformed(#[from] DecodeError),
    /// An item is of a kind that this version does not know.
    #[error("it holds an item of kind {0}, which this version does not know")]
    Unknown(u8),
    /// An item is longer than any may be.
    #[error("it holds an item of {found} bytes; the most is {BODY_BYTES_MAX}")]
    TooLarge {
        /// Its length.
        found: u64,
    },
    /// The stream could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Item {
    /// Writes the item.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Subject(subject) => item(out, SUBJECT, &[&subject.encode()]),
            Self::Device(fields) => item(out, DEVICE, &[fields]),
            Self::Root(fields) => item(out, ROOT, &[fields]),
            Self::Config(text) => item(out, CONFIG, &[text]),
            Self::Stored { space, key, value } => stored(out, *space, key, value),
            Self::End { stored } => item(out, END, &[&stored.to_be_bytes()]),
        }
    }

    /// Reads the next item.
    pub(super) fn read(from: &mut impl Read) -> Result<Self, ItemError> {
        let [tag] = array(from)?;
        let bytes = length(from)?;
        let mut body = Zeroizing::new(vec![0; bytes]);
        from.read_exact(&mut body)?;
        let mut reader = Reader::new(&body);
        let item = match tag {
            SUBJECT => Self::Subject(Subject::decode(&mut reader)?),
            DEVICE => Self::Device(rest(&mut reader)?),
            ROOT => Self::Root(rest(&mut reader)?),
            CONFIG => Self::Config(rest(&mut reader)?),
            STORED => {
                let at = reader.at();
                let number = reader.u8("space")?;
                let space = Space::ALL.into_iter().find(|space| *space as u8 == number);
                let Some(space) = space else { return Ok(reader.invalid(at, "space")?) };
                let key = reader.bytes(KEY_BYTES_MAX, "key")?.to_vec();
                Self::Stored { space, key, value: rest(&mut reader)? }
            }
            END => Self::End { stored: u64::from_be_bytes(reader.array("count")?) },
            other => return Err(ItemError::Unknown(other)),
        };
        reader.finish()?;
        Ok(item)
    }
}

/// Writes a key and a value of the store, without a copy of them.
pub(super) fn stored(
    out: &mut impl Write,
    space: Space,
    key: &[u8],
    value: &[u8],
) -> io::Result<()> {
    let mut before = vec![space as u8];
    before.bytes(key);
    item(out, STORED, &[&before, value])
}

impl Subject {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.number(self.created.0)
            .raw(&self.device)
            .raw(&self.incarnation.to_be_bytes())
            .bytes(self.name.as_bytes());
        out
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            created: WallTime(reader.number("time")?),
            device: reader.array("device id")?,
            incarnation: u64::from_be_bytes(reader.array("incarnation")?),
            name: reader.text(NAME_BYTES_MAX, "device name")?.to_owned(),
        })
    }
}

fn item(out: &mut impl Write, tag: u8, parts: &[&[u8]]) -> io::Result<()> {
    let mut before = vec![tag];
    before.number(parts.iter().map(|part| part.len() as u64).sum());
    out.write_all(&before)?;
    parts.iter().try_for_each(|part| out.write_all(part))
}

fn length(from: &mut impl Read) -> Result<usize, ItemError> {
    let mut digits = Vec::new();
    loop {
        digits.extend_from_slice(&array::<1>(from)?);
        let more = digits.last().is_some_and(|byte| byte & 0x80 != 0);
        if !more || digits.len() >= LENGTH_BYTES_MAX {
            break;
        }
    }
    let found = Reader::new(&digits).number("length of an item")?;
    usize::try_from(found)
        .ok()
        .filter(|bytes| *bytes <= BODY_BYTES_MAX)
        .ok_or(ItemError::TooLarge { found })
}

fn array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn rest(reader: &mut Reader<'_>) -> Result<Zeroizing<Vec<u8>>, DecodeError> {
    Ok(Zeroizing::new(reader.take(reader.left(), "body")?.to_vec()))
}

const SUBJECT: u8 = 1;
const DEVICE: u8 = 2;
const ROOT: u8 = 3;
const CONFIG: u8 = 4;
const STORED: u8 = 5;
const END: u8 = 6;
/// Longest encoding of a length.
const LENGTH_BYTES_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(item: &Item) -> Vec<u8> {
        let mut out = Vec::new();
        item.write(&mut out).unwrap();
        out
    }

    #[test]
    fn items_read_back_and_every_cut_is_noticed() {
        let subject = Subject {
            created: WallTime(1_700_000_000_000),
            device: [7; 32],
            incarnation: u64::MAX,
            name: "KILO".into(),
        };
        let body = || Zeroizing::new(vec![1, 2, 3]);
        for item in [
            Item::Subject(subject),
            Item::Device(body()),
            Item::Root(body()),
            Item::Config(body()),
            Item::Stored { space: Space::Secrets, key: vec![9; 3], value: body() },
            Item::End { stored: 7 },
        ] {
            let bytes = written(&item);
            let again = Item::read(&mut &bytes[..]).unwrap();
            assert!(again == item, "tag {}", bytes[0]);
            for end in 0..bytes.len() {
                assert!(Item::read(&mut &bytes[..end]).is_err(), "tag {} cut at {end}", bytes[0]);
            }
        }
    }

    #[test]
    fn the_largest_of_the_store_fits_and_more_is_not_allocated() {
        let (key, value) = (vec![1; KEY_BYTES_MAX], vec![2; VALUE_BYTES_MAX]);
        let mut out = Vec::new();
        stored(&mut out, Space::Entries, &key, &value).unwrap();
        let Item::Stored { value: again, .. } = Item::read(&mut &out[..]).unwrap() else {
            panic!()
        };
        assert_eq!(again.len(), VALUE_BYTES_MAX);
        let mut large = vec![CONFIG];
        large.number(BODY_BYTES_MAX as u64 + 1);
        let error = Item::read(&mut &large[..]).err().unwrap();
        assert!(matches!(error, ItemError::TooLarge { .. }), "{error}");
        let endless = [&[CONFIG][..], &[0xff; 20]].concat();
        assert!(matches!(Item::read(&mut &endless[..]), Err(ItemError::Malformed(_))));
    }

    #[test]
    fn what_no_version_writes_is_refused() {
        assert!(matches!(Item::read(&mut &[99, 0][..]), Err(ItemError::Unknown(99))));
        let space = [STORED, 2, 200, 0];
        assert!(matches!(Item::read(&mut &space[..]), Err(ItemError::Malformed(_))));
        let long = [END, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0];
        assert!(matches!(Item::read(&mut &long[..]), Err(ItemError::Malformed(_))));
    }
}
