//! The names of things. Every id is a fixed number of bytes, shown as lower-case hex.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::codec::{DecodeError, Reader, Write as _};
use crate::hash::{Digest, Domain};

/// A text that is not an id of the wanted kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected {digits} hexadecimal digits")]
pub struct ParseIdError {
    /// How many digits the id has.
    pub digits: usize,
}

/// The order of ids: that of their bytes, eight at a time. Ids are compared in every look-up, and a call
/// for each comparison costs more than that.
#[inline]
fn compare<const N: usize>(one: &[u8; N], other: &[u8; N]) -> Ordering {
    let ((words, rest), (others, other_rest)) = (one.as_chunks(), other.as_chunks());
    for (word, other) in words.iter().zip(others) {
        let order = u64::from_be_bytes(*word).cmp(&u64::from_be_bytes(*other));
        if order.is_ne() {
            return order;
        }
    }
    rest.cmp(other_rest)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
        pub struct $name(pub [u8; $len]);

        impl Ord for $name {
            #[inline]
            fn cmp(&self, other: &Self) -> Ordering {
                compare(&self.0, &other.0)
            }
        }

        impl PartialOrd for $name {
            #[inline]
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl $name {
            /// The first eight hex digits, for people.
            #[must_use]
            pub fn short(&self) -> String {
                self.0.iter().take(4).map(|b| format!("{b:02x}")).collect()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_hex(text).map(Self)
            }
        }
    };
}

id!(
    /// A coalition: the hash of its charter.
    CoalitionId, 32);
id!(
    /// A compartment: the hash of its opening. The coalition's own log has its coalition's id here.
    CompartmentId, 32);
id!(
    /// A device: its Ed25519 public key.
    DeviceId, 32);
id!(
    /// A record: random, so that it says nothing of what it names.
    RecordId, 16);
id!(
    /// An entry: the hash of its signed bytes.
    EntryId, 32);
id!(
    /// An epoch of a compartment's keys: the hash of its statement.
    EpochId, 32);

id!(
    /// An attachment: the hash of the list of its sealed blocks' hashes.
    AttachmentId, 32);
id!(
    /// A statement, for statements that speak of others: the id of its entry, or the hash of an act.
    StatementId, 32);

impl From<EntryId> for StatementId {
    fn from(entry: EntryId) -> Self {
        Self(entry.0)
    }
}

/// An agency: its number in the charter or in the amendment that admitted it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AgencyNo(pub u16);

/// A device's life since init, restore or rebuild: random and fresh each time, so that a restored
/// backup starts new logs and forks none.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Incarnation(pub u64);

/// What a log carries, most urgent first. Each class is a chain of its own, so that a flash never
/// waits for routine traffic.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Class {
    /// Statements of who may do what, and the keys they seal.
    Authority = 0,
    /// Acts on it now.
    Flash = 1,
    /// Acts on it within the hour.
    Immediate = 2,
    /// Acts on it this shift.
    Priority = 3,
    /// Everything else, and all imports.
    Routine = 4,
}

impl Class {
    /// All classes, most urgent first.
    pub const ALL: [Self; 5] =
        [Self::Authority, Self::Flash, Self::Immediate, Self::Priority, Self::Routine];

    /// The class with this number.
    #[must_use]
    pub const fn from_u8(value: u8) -> Option<Self> {
        Some(match value {
            0 => Self::Authority,
            1 => Self::Flash,
            2 => Self::Immediate,
            3 => Self::Priority,
            4 => Self::Routine,
            _ => return None,
        })
    }

    /// Whether every entry of the class carries a signature of its own. In the others one
    /// signature may cover a segment.
    #[must_use]
    pub const fn signs_every_entry(self) -> bool {
        matches!(self, Self::Authority | Self::Flash | Self::Immediate)
    }

    /// The class's name, as people and files write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authority => "authority",
            Self::Flash => "flash",
            Self::Immediate => "immediate",
            Self::Priority => "priority",
            Self::Routine => "routine",
        }
    }
}

/// One log: a hash chain of one device, in one compartment, of one class.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LogId {
    /// Where.
    pub compartment: CompartmentId,
    /// Of what class. Before the device, so that ordered maps keep the urgent first.
    pub class: Class,
    /// Whose.
    pub device: DeviceId,
    /// Which life of the device.
    pub incarnation: Incarnation,
}

/// Bytes of an encoded [`LogId`].
pub const LOG_ID_BYTES: usize = 32 + 1 + 32 + 8;

impl LogId {
    /// `compartment (32) || class (1) || device (32) || incarnation (8, big-endian)`.
    #[must_use]
    pub fn encode(&self) -> [u8; LOG_ID_BYTES] {
        let mut out = Vec::with_capacity(LOG_ID_BYTES);
        out.raw(&self.compartment.0)
            .raw(&[self.class as u8])
            .raw(&self.device.0)
            .raw(&self.incarnation.0.to_be_bytes());
        out.try_into().unwrap_or([0; LOG_ID_BYTES])
    }

    /// Reads what [`LogId::encode`] wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let compartment = CompartmentId(reader.array("compartment id")?);
        let at = reader.at();
        let class = Class::from_u8(reader.u8("class")?)
            .ok_or(DecodeError::Invalid { at, what: "class" })?;
        let device = DeviceId(reader.array("device id")?);
        let incarnation = Incarnation(u64::from_be_bytes(reader.array("incarnation")?));
        Ok(Self { compartment, class, device, incarnation })
    }

    /// The log's hash, by which tries and short forms name it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Domain::Log.hash(&[&self.encode()])
    }
}

fn write_hex<const N: usize>(f: &mut fmt::Formatter<'_>, bytes: [u8; N]) -> fmt::Result {
    let digit = |nibble| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    let digits = bytes.map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    f.write_str(std::str::from_utf8(digits.as_flattened()).unwrap_or_default())
}

fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], ParseIdError> {
    let error = ParseIdError { digits: N * 2 };
    let digits = text.as_bytes();
    if digits.len() != N * 2 {
        return Err(error);
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let text = std::str::from_utf8(pair).map_err(|_| error)?;
        if !pair.iter().all(u8::is_ascii_hexdigit) {
            return Err(error);
        }
        *byte = u8::from_str_radix(text, 16).map_err(|_| error)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_as_they_are_shown() {
        let id = RecordId([0xab; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.short(), "abababab");
        assert!("zz".repeat(16).parse::<RecordId>().is_err());
        assert!("+1".repeat(16).parse::<RecordId>().is_err());
        assert!("ab".parse::<RecordId>().is_err());
    }

    #[test]
    fn ids_are_in_the_order_of_their_bytes() {
        let mut ids = vec![[0; 32]];
        for at in 0..32 {
            for byte in [1, 0x80, 0xff] {
                let mut id = [7; 32];
                id[at] = byte;
                ids.push(id);
            }
        }
        for (one, other) in ids.iter().flat_map(|one| ids.iter().map(move |other| (one, other))) {
            assert_eq!(EntryId(*one).cmp(&EntryId(*other)), one.cmp(other));
        }
        assert!(compare(&[0, 0, 0, 0, 0, 0, 0, 0, 1], &[0, 0, 0, 0, 0, 0, 0, 0, 2]).is_lt());
    }

    #[test]
    fn a_log_id_reads_back() {
        let log = LogId {
            compartment: CompartmentId([1; 32]),
            class: Class::Flash,
            device: DeviceId([2; 32]),
            incarnation: Incarnation(3),
        };
        assert_eq!(LogId::decode(&mut Reader::new(&log.encode())), Ok(log));
    }
}
