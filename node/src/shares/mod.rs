//! Recovery shares of an agency's root: any k of n of them rebuild it, and fewer say nothing about
//! it. `field` has the mathematics, `text` the lines that a person writes down.
//!
//! A share names what it is of: the split that it comes from, its index, how many it takes, the
//! root's fingerprint, the agency's name and country; and it ends in a checksum over all of that.
//! None of this tells anything about the secret that the root's public key does not.

mod field;
mod text;

use std::fmt;

use tearline_crdt::bounds::NAME_BYTES_MAX;
use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::hash::sha256;
use tearline_crdt::keys::Signer;
use zeroize::Zeroizing;

use self::field::{Bytes, Polynomials, interpolate};
pub use self::text::TextError;
use crate::failure::{Failure, Kind};
use crate::files::random;
use crate::home::{Agency, check_name};

/// Fewest shares that a split may take to rebuild: with one, each is the secret.
pub const THRESHOLD_MIN: u8 = 2;
/// Most shares of one split: as many people as can be kept in one list.
pub const SHARES_MAX: u8 = 16;

/// The first bytes of a hash of a root's public key, for people to compare.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fingerprint([u8; 8]);

/// One share.
pub struct Share {
    /// Which split it comes from: random.
    set: [u8; 4],
    /// How many it takes.
    pub threshold: u8,
    /// Which it is, from 1.
    pub index: u8,
    /// How many there are.
    pub count: u8,
    /// Of which root.
    pub fingerprint: Fingerprint,
    /// The agency's country.
    pub country: String,
    /// The agency's name.
    pub agency: String,
    value: Bytes,
}

/// Why a text is no share.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ShareError {
    /// Its lines are not in order.
    #[error("{0}")]
    Text(#[from] TextError),
    /// Every line is right by itself, and together they are no share.
    #[error("its lines do not belong together: the checksum of the whole does not match")]
    Checksum,
    /// It is whole, and of another version.
    #[error("it is of version {0}, which this program does not know")]
    Version(u8),
    /// It is whole and makes no sense.
    #[error("it does not decode: {0}")]
    Malformed(#[from] DecodeError),
}

/// Why shares do not rebuild a root. Each is named as the caller named it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum JoinError {
    /// Too few.
    #[error("{have} of {need} shares are here: {} more to go", need - have)]
    TooFew {
        /// How many different ones were given.
        have: usize,
        /// How many it takes; at least two when none was given.
        need: usize,
    },
    /// Of another agency's root, or of another root of this agency.
    #[error("{name} is a share of the root {found}, and {first} of the root {expected}")]
    OtherRoot {
        /// The one that does not fit.
        name: String,
        /// Its root.
        found: Fingerprint,
        /// The first one.
        first: String,
        /// Its root.
        expected: Fingerprint,
    },
    /// Of the same root, split another time: the two sets do not go together.
    #[error("{name} and {first} come from two splits of the same root: take shares of one of them")]
    OtherSplit {
        /// The one that does not fit.
        name: String,
        /// The first one.
        first: String,
    },
    /// The same share twice.
    #[error("{name} and {first} are the same share, number {index}")]
    Duplicate {
        /// The later one.
        name: String,
        /// The earlier one.
        first: String,
        /// Its number.
        index: u8,
    },
    /// A share that is whole and was not made by the split that it names.
    #[error("{name} does not fit the others: it was made by somebody else or changed on purpose")]
    Misfit {
        /// Which.
        name: String,
    },
    /// What came out is not the root that all shares name.
    #[error("these shares do not give the root {0}: one of them was changed on purpose")]
    WrongRoot(Fingerprint),
}

impl JoinError {
    /// The failure of whoever wanted the root.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let kind = match self {
            Self::TooFew { .. } => Kind::Incomplete,
            Self::Misfit { .. } | Self::WrongRoot(_) => Kind::Integrity,
            _ => Kind::Usage,
        };
        Failure::new(kind, self.to_string())
    }
}

impl Fingerprint {
    /// Of an agency's root.
    #[must_use]
    pub fn of(agency: &Agency) -> Self {
        let public = Signer::from_seed(&agency.root_seed).public();
        let [a, b, c, d, e, f, g, h, ..] =
            sha256(&[&b"tearline/1/root-fingerprint\0"[..], &public].concat());
        Self([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<String> = self
            .0
            .chunks(2)
            .map(|pair| pair.iter().map(|b| format!("{b:02x}")).collect())
            .collect();
        f.write_str(&groups.join(" "))
    }
}

/// Splits an agency's root into `count` shares, any `threshold` of which rebuild it.
pub fn split(agency: &Agency, threshold: u8, count: u8) -> Result<Vec<Share>, Failure> {
    if threshold < THRESHOLD_MIN || threshold > count || count > SHARES_MAX {
        return Err(Failure::usage(format!(
            "{threshold} of {count} shares make no sense: a threshold of {THRESHOLD_MIN} at least, \
             and that many to {SHARES_MAX} shares"
        )));
    }
    let mut set = [0; 4];
    random(&mut set)?;
    let mut higher = Vec::with_capacity(usize::from(threshold) - 1);
    for _ in 1..threshold {
        let mut coefficients = Bytes::default();
        random(coefficients.as_mut_slice())?;
        higher.push(coefficients);
    }
    let polynomials = Polynomials { secret: &agency.root_seed, higher: &higher };
    let share = |index| Share {
        set,
        threshold,
        index,
        count,
        fingerprint: Fingerprint::of(agency),
        country: agency.country.clone(),
        agency: agency.name.clone(),
        value: polynomials.at(index),
    };
    Ok((1..=count).map(share).collect())
}

/// Rebuilds an agency's root from named shares. All that are given must fit, also those beyond the
/// threshold.
pub fn join(shares: &[(String, Share)]) -> Result<Agency, JoinError> {
    let few = JoinError::TooFew { have: 0, need: usize::from(THRESHOLD_MIN) };
    let (first_name, first) = shares.first().ok_or(few)?;
    for (at, (name, share)) in shares.iter().enumerate() {
        if share.fingerprint != first.fingerprint {
            return Err(JoinError::OtherRoot {
                name: name.clone(),
                found: share.fingerprint,
                first: first_name.clone(),
                expected: first.fingerprint,
            });
        }
        if share.set != first.set || share.shape() != first.shape() {
            return Err(JoinError::OtherSplit { name: name.clone(), first: first_name.clone() });
        }
        let earlier = shares.iter().take(at).find(|(_, other)| other.index == share.index);
        if let Some((first, other)) = earlier {
            if *other.value != *share.value {
                return Err(JoinError::Misfit { name: name.clone() });
            }
            let (name, first) = (name.clone(), first.clone());
            return Err(JoinError::Duplicate { name, first, index: share.index });
        }
    }
    let need = usize::from(first.threshold);
    if shares.len() < need {
        return Err(JoinError::TooFew { have: shares.len(), need });
    }
    let points: Vec<(u8, &[u8; 32])> =
        shares.iter().take(need).map(|(_, share)| (share.index, &*share.value)).collect();
    for (name, share) in shares.iter().skip(need) {
        if *interpolate(&points, share.index) != *share.value {
            return Err(JoinError::Misfit { name: name.clone() });
        }
    }
    let agency = Agency {
        root_seed: *interpolate(&points, 0),
        name: first.agency.clone(),
        country: first.country.clone(),
    };
    if Fingerprint::of(&agency) != first.fingerprint {
        return Err(JoinError::WrongRoot(first.fingerprint));
    }
    Ok(agency)
}

impl Share {
    /// The share for a person: what it is, and its lines.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let lines = text::encode(&self.encode());
        let Self { threshold, index, count, fingerprint, agency, country, .. } = self;
        let about = format!(
            "Tearline recovery share {index} of {count}. Any {threshold} of them rebuild the root of\n\
             {agency} ({country}), fingerprint {fingerprint}.\n\
             Keep it apart from the others, and show it to nobody.\n\n"
        );
        let mut out = Zeroizing::new(String::with_capacity(about.len() + lines.len()));
        out.push_str(&about);
        out.push_str(&lines);
        out
    }

    /// Reads a share from its lines; what else stands in the text does not matter.
    pub fn from_text(text: &str) -> Result<Self, ShareError> {
        let bytes = text::decode(text)?;
        let mut reader = Reader::new(&bytes);
        let version = reader.u8("version")?;
        if version != VERSION {
            return Err(ShareError::Version(version));
        }
        let share = Self {
            set: reader.array("split")?,
            threshold: number(&mut reader, THRESHOLD_MIN, "threshold")?,
            index: number(&mut reader, 1, "index")?,
            count: number(&mut reader, THRESHOLD_MIN, "count")?,
            fingerprint: Fingerprint(reader.array("fingerprint")?),
            country: reader.text(2, "country")?.to_owned(),
            agency: name(&mut reader)?,
            value: Bytes::new(reader.array("value")?),
        };
        let covered = reader.at();
        let checksum: [u8; CHECKSUM_BYTES] = reader.array("checksum")?;
        let filling = reader.take(reader.left(), "filling")?;
        let covered = bytes.get(..covered).unwrap_or_default();
        if !sha256(covered).starts_with(&checksum) || filling.iter().any(|byte| *byte != 0) {
            return Err(ShareError::Checksum);
        }
        if share.threshold > share.count || share.index > share.count {
            return Err(DecodeError::Invalid { at: 0, what: "number of shares" }.into());
        }
        Ok(share)
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(SHARE_BYTES_MAX));
        out.push(VERSION);
        out.raw(&self.set).raw(&[self.threshold, self.index, self.count]).raw(&self.fingerprint.0);
        out.bytes(self.country.as_bytes()).bytes(self.agency.as_bytes()).raw(&*self.value);
        let checksum = sha256(&out);
        out.extend(checksum.iter().take(CHECKSUM_BYTES));
        out
    }

    /// What all shares of a split have in common, besides their root.
    fn shape(&self) -> (u8, u8, &str, &str) {
        (self.threshold, self.count, &self.country, &self.agency)
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Share({} of {}, {}, hidden)", self.index, self.count, self.fingerprint)
    }
}

fn number(reader: &mut Reader<'_>, min: u8, what: &'static str) -> Result<u8, DecodeError> {
    let at = reader.at();
    match reader.u8(what)? {
        found if (min..=SHARES_MAX).contains(&found) => Ok(found),
        _ => reader.invalid(at, what),
    }
}

fn name(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    let at = reader.at();
    let name = reader.text(NAME_BYTES_MAX, "agency name")?;
    if check_name("", name).is_err() {
        return reader.invalid(at, "agency name");
    }
    Ok(name.to_owned())
}

const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 4;
/// Longest share in bytes: its fixed parts, the longest name, and the lengths before texts.
const SHARE_BYTES_MAX: usize = 1 + 4 + 3 + 8 + 3 + 2 + NAME_BYTES_MAX + 32 + CHECKSUM_BYTES;

#[cfg(test)]
mod tests;
