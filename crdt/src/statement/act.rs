//! Acts of the whole: what a quorum of the founders does together. One founder's desk proposes an
//! act, others approve it by its hash; each is an entry in its own authority log, so that the
//! signatures gather over whatever links there are.

use crate::bounds::{CITES_MAX, ERASED_ENTRIES_MAX, ROOTS_REPLACED_MAX};
use crate::charter::Member;
use crate::codec::{DecodeError, Reader, Write as _};
use crate::hash::Domain;
use crate::id::{AgencyNo, CoalitionId, DeviceId, EntryId, EpochId, StatementId};
use crate::keys::RootKey;

use super::Marks;

/// An act.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Act {
    /// 1: an agency joins, or comes back after the retirements that are cited.
    Admit {
        /// The agency.
        member: Member,
        /// Acts' closures of its devices that its root and desks may lift after this: ascending.
        cites: Vec<StatementId>,
    },
    /// 2: an agency leaves.
    Retire {
        /// Which.
        agency: AgencyNo,
        /// What of its devices' logs still counts.
        keep: Marks,
    },
    /// 3: roots of an agency are lost or stolen; another takes their place.
    ReplaceRoot {
        /// Whose.
        agency: AgencyNo,
        /// The new root.
        root: RootKey,
        /// Those that it replaces: ascending.
        replaced: Vec<RootKey>,
        /// What still counts of the logs of devices that those alone stand behind.
        keep: Marks,
    },
    /// 4: a device's standing ends.
    Revoke {
        /// The device.
        device: DeviceId,
        /// What of its logs still counts.
        keep: Marks,
    },
    /// 5: these prefixes count.
    Adopt {
        /// The prefixes.
        marks: Marks,
    },
    /// 6: a record is destroyed.
    Erase(Erasure),
    /// 7: a record's content is hidden.
    Restrict {
        /// The record's genesis.
        genesis: EntryId,
    },
    /// 8: a record is not destroyed while this holds.
    Hold {
        /// The record's genesis.
        genesis: EntryId,
    },
    /// 9: a hold or restriction ends.
    Lift {
        /// Which.
        lifted: StatementId,
    },
    /// 10: a record is not to be relied on.
    Recall {
        /// The record's genesis.
        genesis: EntryId,
    },
    /// 11: an epoch's payload secret is destroyed.
    RetireEpoch {
        /// The epoch.
        epoch: EpochId,
    },
}

/// What an erasure names: the record by its genesis, and its other entries, so that relays obey it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Erasure {
    /// The record's genesis.
    pub genesis: EntryId,
    /// Its other entries: ascending.
    pub others: Vec<EntryId>,
}

impl Act {
    /// The act's name: the hash of the coalition's id, the act's number and its bytes.
    #[must_use]
    pub fn id(&self, coalition: &CoalitionId, number: u64) -> StatementId {
        StatementId(Domain::Act.hash(&[&coalition.0, &number.to_be_bytes(), &self.encode()]))
    }

    /// Whether it takes away: then approvals count at every place.
    #[must_use]
    pub const fn is_narrowing(&self) -> bool {
        match self {
            Self::Admit { .. } | Self::Adopt { .. } | Self::Lift { .. } => false,
            Self::Retire { .. }
            | Self::ReplaceRoot { .. }
            | Self::Revoke { .. }
            | Self::Erase(_)
            | Self::Restrict { .. }
            | Self::Hold { .. }
            | Self::Recall { .. }
            | Self::RetireEpoch { .. } => true,
        }
    }

    /// The act's marks, where it has any.
    #[must_use]
    pub const fn marks(&self) -> Option<&Marks> {
        match self {
            Self::Retire { keep: marks, .. }
            | Self::ReplaceRoot { keep: marks, .. }
            | Self::Revoke { keep: marks, .. }
            | Self::Adopt { marks } => Some(marks),
            _ => None,
        }
    }

    /// The canonical bytes: `kind (1) || fields`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Admit { member, cites } => {
                out.push(1);
                member.encode(&mut out);
                out.number(cites.len() as u64);
                cites.iter().for_each(|cited| {
                    out.raw(&cited.0);
                });
            }
            Self::Retire { agency, keep } => {
                out.raw(&[2]).number(u64::from(agency.0));
                keep.encode(&mut out);
            }
            Self::ReplaceRoot { agency, root, replaced, keep } => {
                out.raw(&[3]).number(u64::from(agency.0)).raw(root);
                out.number(replaced.len() as u64);
                for root in replaced {
                    out.raw(root);
                }
                keep.encode(&mut out);
            }
            Self::Revoke { device, keep } => {
                out.raw(&[4]).raw(&device.0);
                keep.encode(&mut out);
            }
            Self::Adopt { marks } => {
                out.push(5);
                marks.encode(&mut out);
            }
            Self::Erase(erasure) => {
                out.push(6);
                erasure.encode(&mut out);
            }
            Self::Restrict { genesis } => {
                out.raw(&[7]).raw(&genesis.0);
            }
            Self::Hold { genesis } => {
                out.raw(&[8]).raw(&genesis.0);
            }
            Self::Lift { lifted } => {
                out.raw(&[9]).raw(&lifted.0);
            }
            Self::Recall { genesis } => {
                out.raw(&[10]).raw(&genesis.0);
            }
            Self::RetireEpoch { epoch } => {
                out.raw(&[11]).raw(&epoch.0);
            }
        }
        out
    }

    /// Reads what [`Act::encode`] wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.at();
        Ok(match reader.u8("act kind")? {
            1 => Self::Admit {
                member: Member::decode(reader)?,
                cites: super::decode_cites(reader, CITES_MAX)?,
            },
            2 => Self::Retire { agency: super::agency(reader)?, keep: Marks::decode(reader)? },
            3 => Self::ReplaceRoot {
                agency: super::agency(reader)?,
                root: reader.array("new root")?,
                replaced: super::decode_ids(reader, ROOTS_REPLACED_MAX, "replaced roots")?,
                keep: Marks::decode(reader)?,
            },
            4 => Self::Revoke {
                device: DeviceId(reader.array("revoked device")?),
                keep: Marks::decode(reader)?,
            },
            5 => Self::Adopt { marks: Marks::decode(reader)? },
            6 => Self::Erase(Erasure::decode(reader)?),
            7 => Self::Restrict { genesis: EntryId(reader.array("genesis")?) },
            8 => Self::Hold { genesis: EntryId(reader.array("genesis")?) },
            9 => Self::Lift { lifted: StatementId(reader.array("lifted statement")?) },
            10 => Self::Recall { genesis: EntryId(reader.array("genesis")?) },
            11 => Self::RetireEpoch { epoch: EpochId(reader.array("epoch")?) },
            _ => return reader.invalid(at, "act kind"),
        })
    }
}

impl Erasure {
    /// All entries that it lists.
    pub fn entries(&self) -> impl Iterator<Item = &EntryId> {
        self.others.iter().chain([&self.genesis])
    }

    /// Appends `genesis (32) || count (number), entries (32 each)`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.raw(&self.genesis.0);
        super::encode_entries(&self.others, out);
    }

    /// Reads what [`Erasure::encode`] wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            genesis: EntryId(reader.array("genesis")?),
            others: super::decode_entries(reader, ERASED_ENTRIES_MAX)?,
        })
    }
}
