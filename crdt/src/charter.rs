//! The charter: what a coalition is. Its hash is the coalition's id, so nobody can change it; what
//! changes later (members, roots) changes by quorum statements.

use std::collections::BTreeSet;

use crate::bounds::{AGENCIES_MAX, FORMAT_VERSION, NAME_BYTES_MAX};
use crate::codec::{DecodeError, Reader, Write as _};
use crate::hash::{Digest, Domain};
use crate::id::{AgencyNo, CoalitionId};
use crate::keys::RootKey;

/// An agency of a coalition.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Member {
    /// Its number, unique in the coalition for good.
    pub no: AgencyNo,
    /// Its name.
    pub name: String,
    /// ISO 3166-1 alpha-2 code of its country, upper case.
    pub country: String,
    /// Its root's public key, kept offline. It certifies the agency's desks.
    pub root: RootKey,
}

impl Member {
    /// Appends `no (number) || name (bytes) || country (2) || root (32)`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.number(u64::from(self.no.0))
            .bytes(self.name.as_bytes())
            .raw(self.country.as_bytes())
            .raw(&self.root);
    }

    /// Reads what [`Member::encode`] wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let no = AgencyNo(reader.number_max(u64::from(u16::MAX), "agency number")? as u16);
        let name = reader.text(NAME_BYTES_MAX, "agency name")?.to_owned();
        let at = reader.at();
        let country: [u8; 2] = reader.array("country")?;
        if !country.iter().all(u8::is_ascii_uppercase) {
            return reader.invalid(at, "country");
        }
        let country = country.iter().map(|b| char::from(*b)).collect();
        Ok(Self { no, name, country, root: reader.array("root key")? })
    }
}

/// The founding document of a coalition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Charter {
    /// The coalition's name.
    pub name: String,
    /// Random, so that two coalitions of one name and membership differ.
    pub nonce: [u8; 16],
    /// How many founders an act of the whole needs.
    pub quorum: u16,
    /// Which version of the limits that void a change is in force.
    pub limits_version: u16,
    /// Hours between an erasure's statement and the destruction of what it names.
    pub erasure_delay_hours: u32,
    /// The label of a record that names none, encoded.
    pub default_label: Vec<u8>,
    /// Hash of the sharing agreement, where there is one.
    pub agreement: Option<Digest>,
    /// The founding agencies, by number.
    pub founders: Vec<Member>,
}

/// Longest encoded default label.
const LABEL_BYTES_MAX: usize = 4 * 1024;

impl Charter {
    /// The coalition's id.
    #[must_use]
    pub fn id(&self) -> CoalitionId {
        CoalitionId(Domain::Charter.hash(&[&self.encode()]))
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT_VERSION];
        out.bytes(self.name.as_bytes())
            .raw(&self.nonce)
            .number(u64::from(self.quorum))
            .number(u64::from(self.limits_version))
            .number(u64::from(self.erasure_delay_hours))
            .bytes(&self.default_label);
        match &self.agreement {
            None => out.push(0),
            Some(hash) => {
                out.push(1);
                out.raw(hash);
            }
        }
        out.number(self.founders.len() as u64);
        self.founders.iter().for_each(|member| member.encode(&mut out));
        out
    }

    /// Reads a charter and checks its sense: founders in ascending order of number, with distinct
    /// roots, and a quorum that they can reach.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.at();
        if reader.u8("charter version")? != FORMAT_VERSION {
            return reader.invalid(at, "charter version");
        }
        let name = reader.text(NAME_BYTES_MAX, "coalition name")?.to_owned();
        let nonce = reader.array("nonce")?;
        let quorum_at = reader.at();
        let quorum = reader.number_max(AGENCIES_MAX as u64, "quorum")? as u16;
        let limits_version = reader.number_max(u64::from(u16::MAX), "limits version")? as u16;
        let erasure_delay_hours = reader.number_max(u64::from(u32::MAX), "erasure delay")? as u32;
        let default_label = reader.bytes(LABEL_BYTES_MAX, "default label")?.to_vec();
        let at = reader.at();
        let agreement = match reader.u8("agreement flag")? {
            0 => None,
            1 => Some(reader.array("agreement")?),
            _ => return reader.invalid(at, "agreement flag"),
        };
        let at = reader.at();
        let count = reader.count(AGENCIES_MAX, "founders")?;
        let mut founders: Vec<Member> = Vec::with_capacity(count);
        for _ in 0..count {
            founders.push(Member::decode(reader)?);
        }
        let ascending = founders.windows(2).all(|pair| matches!(pair, [a, b] if a.no < b.no));
        let roots: BTreeSet<_> = founders.iter().map(|member| member.root).collect();
        if !ascending || roots.len() != founders.len() {
            return reader.invalid(at, "founders");
        }
        if quorum == 0 || usize::from(quorum) > founders.len() {
            return reader.invalid(quorum_at, "quorum");
        }
        Ok(Self {
            name,
            nonce,
            quorum,
            limits_version,
            erasure_delay_hours,
            default_label,
            agreement,
            founders,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charter(quorum: u16, roots: &[u8]) -> Charter {
        Charter {
            name: "Drill".into(),
            nonce: [4; 16],
            quorum,
            limits_version: 1,
            erasure_delay_hours: 72,
            default_label: vec![],
            agreement: None,
            founders: roots
                .iter()
                .zip(1..)
                .map(|(root, no)| Member {
                    no: AgencyNo(no),
                    name: format!("Agency {no}"),
                    country: "NE".into(),
                    root: [*root; 32],
                })
                .collect(),
        }
    }

    fn read(charter: &Charter) -> Result<Charter, DecodeError> {
        Charter::decode(&mut Reader::new(&charter.encode()))
    }

    #[test]
    fn a_charter_reads_back_and_its_id_is_its_hash() {
        let drill = charter(2, &[1, 2, 3]);
        assert_eq!(read(&drill), Ok(drill.clone()));
        assert_ne!(drill.id(), Charter { nonce: [5; 16], ..drill.clone() }.id());
    }

    #[test]
    fn a_charter_without_sense_is_refused() {
        assert!(read(&charter(0, &[1])).is_err());
        assert!(read(&charter(2, &[1])).is_err());
        assert!(read(&charter(1, &[1, 1])).is_err());
        let mut unordered = charter(1, &[1, 2]);
        unordered.founders.reverse();
        assert!(read(&unordered).is_err());
        let mut foreign = charter(1, &[1]);
        foreign.founders[0].country = "ne".into();
        assert!(read(&foreign).is_err());
    }
}
