//! Grants: rights, what narrows them, and whom they go to.

use crate::bounds::CITES_MAX;
use crate::codec::{DecodeError, Reader, Write as _};
use crate::id::{AgencyNo, Incarnation, StatementId};
use crate::keys::DeviceCard;

/// What a grant allows. Each includes those before it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Right {
    /// Store and forward what it cannot read.
    Relay = 1,
    /// Hold the keys.
    Read = 2,
    /// Write entries.
    Write = 3,
    /// Grant to others, within one's own.
    Admit = 4,
    /// Revoke, rotate, and act for the agency.
    Admin = 5,
}

impl Right {
    /// All rights, the least first.
    pub const ALL: [Self; 5] = [Self::Relay, Self::Read, Self::Write, Self::Admit, Self::Admin];

    /// The right with this number.
    #[must_use]
    pub const fn from_u8(value: u8) -> Option<Self> {
        Some(match value {
            1 => Self::Relay,
            2 => Self::Read,
            3 => Self::Write,
            4 => Self::Admit,
            5 => Self::Admin,
            _ => return None,
        })
    }

    /// The right's name, as people and files write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Read => "read",
            Self::Write => "write",
            Self::Admit => "admit",
            Self::Admin => "admin",
        }
    }
}

/// What narrows a grant. `None` means "no limit of its own".
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Caveats {
    /// Record kinds, by number, ascending.
    pub kinds: Option<Vec<u8>>,
    /// Bit n set: class n allowed.
    pub classes: Option<u8>,
    /// Wall time in ms since 1970 before which entries are quarantined.
    pub not_before_ms: Option<u64>,
    /// Wall time in ms since 1970 from which entries are quarantined.
    pub not_after_ms: Option<u64>,
    /// Bytes that each peer stores of the audience; flow control, never a verdict.
    pub quota_bytes: Option<u64>,
    /// Whether the audience may grant on.
    pub may_delegate: bool,
    /// Whether the audience is sealed the epochs that were there before it, too. Without it a device
    /// reads from its own beginning on.
    pub history: bool,
}

/// To whom a grant goes.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Audience {
    /// A device of an agency.
    Device {
        /// Whose device it is.
        agency: AgencyNo,
        /// Its public keys.
        card: DeviceCard,
    },
    /// All devices of an agency; in a compartment.
    Agency(AgencyNo),
}

/// What opens a closed standing again, for one fresh incarnation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reopening {
    /// The incarnation to whose logs the cited closures do not apply.
    pub incarnation: Incarnation,
    /// The closures: ascending, at least one.
    pub cites: Vec<StatementId>,
}

impl Audience {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Device { agency, card } => {
                out.raw(&[0]).number(u64::from(agency.0));
                card.encode(out);
            }
            Self::Agency(agency) => {
                out.raw(&[1]).number(u64::from(agency.0));
            }
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.at();
        Ok(match reader.u8("audience kind")? {
            0 => Self::Device { agency: super::agency(reader)?, card: DeviceCard::decode(reader)? },
            1 => Self::Agency(super::agency(reader)?),
            _ => return reader.invalid(at, "audience kind"),
        })
    }
}

impl Reopening {
    /// Appends `count (number)`, and unless it is 0 the cited ids (32 each) and the incarnation (8,
    /// big-endian).
    pub fn encode(reopening: Option<&Self>, out: &mut Vec<u8>) {
        let Some(Self { incarnation, cites }) = reopening else {
            out.number(0);
            return;
        };
        out.number(cites.len() as u64);
        for cited in cites {
            out.raw(&cited.0);
        }
        out.raw(&incarnation.0.to_be_bytes());
    }

    /// Reads what [`Reopening::encode`] wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        let cites = super::decode_cites(reader, CITES_MAX)?;
        if cites.is_empty() {
            return Ok(None);
        }
        let incarnation = Incarnation(u64::from_be_bytes(reader.array("incarnation")?));
        Ok(Some(Self { incarnation, cites }))
    }
}

impl Caveats {
    /// Appends `flags (1) || the present values in the order of their flags`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let Self { kinds, classes, not_before_ms, not_after_ms, quota_bytes, .. } = self;
        let flags = u8::from(kinds.is_some())
            | u8::from(classes.is_some()) << 1
            | u8::from(not_before_ms.is_some()) << 2
            | u8::from(not_after_ms.is_some()) << 3
            | u8::from(quota_bytes.is_some()) << 4
            | u8::from(self.may_delegate) << 6
            | u8::from(self.history) << 7;
        out.push(flags);
        if let Some(kinds) = kinds {
            out.bytes(kinds);
        }
        if let Some(classes) = classes {
            out.push(*classes);
        }
        for value in [not_before_ms, not_after_ms, quota_bytes].into_iter().flatten() {
            out.number(*value);
        }
    }

    /// Reads what [`Caveats::encode`] wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.at();
        let flags = reader.u8("caveat flags")?;
        if flags & 1 << 5 != 0 {
            return reader.invalid(at, "caveat flags");
        }
        let has = |bit: u8| flags & (1 << bit) != 0;
        let at = reader.at();
        let kinds = has(0).then(|| reader.bytes(256, "kinds").map(<[u8]>::to_vec)).transpose()?;
        if kinds.iter().any(|k| !k.windows(2).all(|pair| matches!(pair, [a, b] if a < b))) {
            return reader.invalid(at, "kinds");
        }
        let classes = has(1).then(|| reader.u8("classes")).transpose()?;
        let not_before_ms = has(2).then(|| reader.number("not before")).transpose()?;
        let not_after_ms = has(3).then(|| reader.number("not after")).transpose()?;
        let quota_bytes = has(4).then(|| reader.number("quota")).transpose()?;
        Ok(Self {
            kinds,
            classes,
            not_before_ms,
            not_after_ms,
            quota_bytes,
            may_delegate: has(6),
            history: has(7),
        })
    }
}
