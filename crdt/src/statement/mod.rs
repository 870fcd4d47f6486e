//! Authority statements: the clear cores of entries of class authority. Each is a fact that its
//! author signed; what follows from all of them together is for [`crate::authority`] to say.
//!
//! A statement begins with its kind's number. A kind that this version does not know is kept and
//! relayed, and decides nothing. `docs/protocol/statements.md` has the bytes,
//! `docs/protocol/authority.md` the rules.

mod act;
mod certificate;
mod grant;
mod mark;
mod opening;

pub use act::{Act, Erasure};
pub use certificate::{DeskCertificate, RootAct};
pub use grant::{Audience, Caveats, Reopening, Right};
pub use mark::{MARKS_INLINE_MAX, Mark, Marks};
pub use opening::Opening;

use crate::bounds::{ERASED_ENTRIES_MAX, STATEMENT_BYTES_MAX};
use crate::charter::Charter;
use crate::codec::{DecodeError, Reader, Write as _};
use crate::hash::Digest;
use crate::id::{AgencyNo, CompartmentId, DeviceId, EntryId, EpochId, StatementId};

/// A new epoch of a compartment's keys. Its boxes travel in seals.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EpochStatement {
    /// The epochs that it follows: ascending.
    pub parents: Vec<EpochId>,
    /// One more than the deepest parent's; 1 without parents.
    pub depth: u64,
    /// Commitment to the secret.
    pub commitment: Digest,
}

/// Most parents of one epoch.
pub const PARENTS_MAX: usize = 32;

impl EpochStatement {
    /// The canonical bytes, from which the epoch's id is drawn.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.number(self.parents.len() as u64);
        for parent in &self.parents {
            out.raw(&parent.0);
        }
        out.number(self.depth).raw(&self.commitment);
        out
    }

    /// The epoch's id.
    #[must_use]
    pub fn id(&self, compartment: &CompartmentId) -> EpochId {
        crate::epoch::epoch_id(&compartment.0, &self.encode())
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.at();
        let count = reader.count(PARENTS_MAX, "parent epochs")?;
        let mut parents = Vec::with_capacity(count);
        for _ in 0..count {
            parents.push(EpochId(reader.array("parent epoch")?));
        }
        if !parents.windows(2).all(|pair| matches!(pair, [a, b] if a < b)) {
            return reader.invalid(at, "parent epochs");
        }
        Ok(Self {
            parents,
            depth: reader.number("depth")?,
            commitment: reader.array("commitment")?,
        })
    }
}

/// A statement.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Statement {
    /// 1: the coalition begins.
    Found(Charter),
    /// 2: a desk, by its agency's root.
    Desk(DeskCertificate),
    /// 3: rights for a device or an agency, in the log's compartment or coalition.
    Grant {
        /// For whom.
        audience: Audience,
        /// The highest right.
        right: Right,
        /// Its limits.
        caveats: Caveats,
        /// Which closures it lifts, for which incarnation.
        reopening: Option<Reopening>,
    },
    /// 4: an act of the whole, proposed and by that approved.
    Propose {
        /// Tells acts of equal content apart, such as a second hold.
        number: u64,
        /// The act.
        act: Act,
    },
    /// 5: a compartment begins. First entry of the opener's log in it.
    Open(Opening),
    /// 6: a new epoch.
    Epoch(EpochStatement),
    /// 7: boxes of an epoch; they travel in the entry's payload.
    Seal {
        /// The epoch.
        epoch: EpochId,
        /// Merkle root of the boxes.
        boxes_root: Digest,
    },
    /// 8: what the compartment is called. The name travels in the entry's payload, sealed under
    /// the epoch, so that relays do not learn it.
    Describe {
        /// The epoch.
        epoch: EpochId,
    },
    /// 9: an act of the whole, approved.
    Approve {
        /// The act.
        act: StatementId,
    },
    /// 10: a device's standing ends.
    Revoke {
        /// The device.
        device: DeviceId,
        /// What of its logs still counts.
        keep: Marks,
    },
    /// 11: an act of an agency's root.
    RootAct(RootAct),
    /// 12: these prefixes count.
    Adopt {
        /// The prefixes.
        marks: Marks,
    },
    /// 13: a record is destroyed. Its legal basis travels in the payload, sealed.
    Erase(Erasure),
    /// 14: further entries of an erased record.
    EraseAlso {
        /// The record's genesis.
        genesis: EntryId,
        /// The entries: ascending.
        entries: Vec<EntryId>,
    },
    /// 15: a record's content is hidden while a request is examined.
    Restrict {
        /// The record's genesis.
        genesis: EntryId,
    },
    /// 16: a record is not destroyed while this holds.
    Hold {
        /// The record's genesis.
        genesis: EntryId,
    },
    /// 17: a hold or restriction ends.
    Lift {
        /// Which.
        lifted: StatementId,
    },
    /// 18: a record is not to be relied on.
    Recall {
        /// The record's genesis.
        genesis: EntryId,
    },
    /// A kind that this version does not know.
    Unknown {
        /// Its number.
        kind: u64,
        /// Its bytes after the number.
        bytes: Vec<u8>,
    },
}

impl Statement {
    /// The canonical bytes: `kind (number) || fields`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Found(charter) => {
                out.number(1).raw(&charter.encode());
            }
            Self::Desk(certificate) => {
                out.number(2);
                certificate.encode(&mut out);
            }
            Self::Grant { audience, right, caveats, reopening } => {
                out.number(3);
                audience.encode(&mut out);
                out.push(*right as u8);
                caveats.encode(&mut out);
                Reopening::encode(reopening.as_ref(), &mut out);
            }
            Self::Propose { number, act } => {
                out.number(4).number(*number).raw(&act.encode());
            }
            Self::Open(opening) => {
                out.number(5);
                opening.encode(&mut out);
            }
            Self::Epoch(epoch) => {
                out.number(6).raw(&epoch.encode());
            }
            Self::Seal { epoch, boxes_root } => {
                out.number(7).raw(&epoch.0).raw(boxes_root);
            }
            Self::Describe { epoch } => {
                out.number(8).raw(&epoch.0);
            }
            Self::Approve { act } => {
                out.number(9).raw(&act.0);
            }
            Self::Revoke { device, keep } => {
                out.number(10).raw(&device.0);
                keep.encode(&mut out);
            }
            Self::RootAct(act) => {
                out.number(11);
                act.encode(&mut out);
            }
            Self::Adopt { marks } => {
                out.number(12);
                marks.encode(&mut out);
            }
            Self::Erase(erasure) => {
                out.number(13);
                erasure.encode(&mut out);
            }
            Self::EraseAlso { genesis, entries } => {
                out.number(14).raw(&genesis.0);
                encode_entries(entries, &mut out);
            }
            Self::Restrict { genesis } => {
                out.number(15).raw(&genesis.0);
            }
            Self::Hold { genesis } => {
                out.number(16).raw(&genesis.0);
            }
            Self::Lift { lifted } => {
                out.number(17).raw(&lifted.0);
            }
            Self::Recall { genesis } => {
                out.number(18).raw(&genesis.0);
            }
            Self::Unknown { kind, bytes } => {
                out.number(*kind).raw(bytes);
            }
        }
        out
    }

    /// Reads a statement. Unknown kinds are kept; malformed known ones are refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > STATEMENT_BYTES_MAX {
            return Err(DecodeError::TooLarge {
                at: 0,
                what: "statement",
                found: bytes.len() as u64,
                max: STATEMENT_BYTES_MAX as u64,
            });
        }
        let mut reader = Reader::new(bytes);
        let statement = match reader.number("statement kind")? {
            1 => Self::Found(Charter::decode(&mut reader)?),
            2 => Self::Desk(DeskCertificate::decode(&mut reader)?),
            3 => Self::Grant {
                audience: Audience::decode(&mut reader)?,
                right: decode_right(&mut reader)?,
                caveats: Caveats::decode(&mut reader)?,
                reopening: Reopening::decode(&mut reader)?,
            },
            4 => Self::Propose {
                number: reader.number("act's number")?,
                act: Act::decode(&mut reader)?,
            },
            5 => Self::Open(Opening::decode(&mut reader)?),
            6 => Self::Epoch(EpochStatement::decode(&mut reader)?),
            7 => Self::Seal {
                epoch: EpochId(reader.array("epoch id")?),
                boxes_root: reader.array("boxes root")?,
            },
            8 => Self::Describe { epoch: EpochId(reader.array("epoch id")?) },
            9 => Self::Approve { act: StatementId(reader.array("approved act")?) },
            10 => Self::Revoke {
                device: DeviceId(reader.array("revoked device")?),
                keep: Marks::decode(&mut reader)?,
            },
            11 => Self::RootAct(RootAct::decode(&mut reader)?),
            12 => Self::Adopt { marks: Marks::decode(&mut reader)? },
            13 => Self::Erase(Erasure::decode(&mut reader)?),
            14 => Self::EraseAlso {
                genesis: EntryId(reader.array("genesis")?),
                entries: decode_entries(&mut reader, ERASED_ENTRIES_MAX)?,
            },
            15 => Self::Restrict { genesis: EntryId(reader.array("genesis")?) },
            16 => Self::Hold { genesis: EntryId(reader.array("genesis")?) },
            17 => Self::Lift { lifted: StatementId(reader.array("lifted statement")?) },
            18 => Self::Recall { genesis: EntryId(reader.array("genesis")?) },
            kind => {
                let bytes = reader.take(reader.left(), "statement")?.to_vec();
                Self::Unknown { kind, bytes }
            }
        };
        reader.finish()?;
        Ok(statement)
    }

    /// Whether it takes away, and so counts at every place.
    #[must_use]
    pub const fn is_narrowing(&self) -> bool {
        match self {
            Self::Revoke { .. }
            | Self::Erase(_)
            | Self::EraseAlso { .. }
            | Self::Restrict { .. }
            | Self::Hold { .. }
            | Self::Recall { .. }
            | Self::RootAct(RootAct { act: Act::Revoke { .. }, .. })
            // An approval is needed wherever it is: the act that it names may take away.
            | Self::Approve { .. } => true,
            Self::Propose { act, .. } => act.is_narrowing(),
            Self::Found(_)
            | Self::Desk(_)
            | Self::Grant { .. }
            | Self::Open(_)
            | Self::Epoch(_)
            | Self::Seal { .. }
            | Self::Describe { .. }
            | Self::RootAct(_)
            | Self::Adopt { .. }
            | Self::Lift { .. }
            | Self::Unknown { .. } => false,
        }
    }
}

fn agency(reader: &mut Reader<'_>) -> Result<AgencyNo, DecodeError> {
    Ok(AgencyNo(reader.number_max(u64::from(u16::MAX), "agency number")? as u16))
}

fn decode_right(reader: &mut Reader<'_>) -> Result<Right, DecodeError> {
    let at = reader.at();
    Right::from_u8(reader.u8("right")?).ok_or(DecodeError::Invalid { at, what: "right" })
}

fn encode_entries(entries: &[EntryId], out: &mut Vec<u8>) {
    out.number(entries.len() as u64);
    for entry in entries {
        out.raw(&entry.0);
    }
}

fn decode_entries(reader: &mut Reader<'_>, max: usize) -> Result<Vec<EntryId>, DecodeError> {
    let ids = decode_ids(reader, max, "entries")?;
    Ok(ids.into_iter().map(EntryId).collect())
}

fn decode_cites(reader: &mut Reader<'_>, max: usize) -> Result<Vec<StatementId>, DecodeError> {
    let ids = decode_ids(reader, max, "cited statements")?;
    Ok(ids.into_iter().map(StatementId).collect())
}

/// `count (number), ids (32 each)`, ascending.
fn decode_ids(
    reader: &mut Reader<'_>,
    max: usize,
    what: &'static str,
) -> Result<Vec<[u8; 32]>, DecodeError> {
    let at = reader.at();
    let count = reader.count(max, what)?;
    let mut ids = Vec::with_capacity(count);
    for _ in 0..count {
        ids.push(reader.array(what)?);
    }
    if !ids.windows(2).all(|pair| matches!(pair, [a, b] if a < b)) {
        return reader.invalid(at, what);
    }
    Ok(ids)
}

#[cfg(test)]
mod tests;
