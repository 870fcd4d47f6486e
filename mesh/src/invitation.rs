//! Invitations: how an agency or a device comes into a coalition.
//!
//! An invitation is a line of text that travels outside the mesh (on paper, by telephone, by a
//! trusted mail). It names the inviting device, so that the applicant knows whom it talks to, and
//! carries a one-time secret, so that the inviter knows the applicant.

use tearline_crdt::bounds::NAME_BYTES_MAX;
use tearline_crdt::charter::Charter;
use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::hash::sha256;
use tearline_crdt::id::{CoalitionId, DeviceId};
use tearline_crdt::keys::{DeviceCard, KemKey};
use tearline_crdt::statement::DeskCertificate;
use tearline_crdt::time::WallTime;

/// Who may come in by an invitation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Invited {
    /// A new agency with its first desk.
    Agency,
    /// A further device of the inviter's agency.
    Device {
        /// Whether it reads what was there before it, too.
        history: bool,
    },
}

impl Invited {
    /// The number in an invitation: 0 an agency, 1 a device, 2 a device with history.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Agency => 0,
            Self::Device { history: false } => 1,
            Self::Device { history: true } => 2,
        }
    }

    /// Who has this number.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Agency,
            1 => Self::Device { history: false },
            2 => Self::Device { history: true },
            _ => return None,
        })
    }
}

/// An invitation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invitation {
    /// Into which coalition.
    pub coalition: CoalitionId,
    /// By which device.
    pub inviter: DeviceId,
    /// Whom.
    pub invited: Invited,
    /// Until when.
    pub expires: WallTime,
    /// The one-time secret.
    pub secret: [u8; 16],
    /// Where the inviter listens, as multiaddresses.
    pub addresses: Vec<String>,
}

/// What both sides of an enrolment read to each other: eight digits of a hash of the two devices and
/// the secret. Whoever joined with another's invitation shows other digits, but for one chance in a
/// hundred million.
#[must_use]
pub fn check_code(inviter: &DeviceId, applicant: &DeviceId, secret: &[u8; 16]) -> String {
    let parts = [b"tearline/1/check".as_slice(), &inviter.0, &applicant.0, secret];
    let hash = sha256(&parts.concat());
    let number = hash.first_chunk().map_or(0, |first| u64::from_be_bytes(*first)) % 100_000_000;
    format!("{:04} {:04}", number / 10_000, number % 10_000)
}

/// Why a text is not an invitation.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvitationError {
    /// It does not begin as invitations do.
    #[error("an invitation begins with `{PREFIX}`")]
    Prefix,
    /// A character that no invitation has, or an odd number of them.
    #[error("character {at} of the invitation is not a hexadecimal digit; copy it whole")]
    Character {
        /// Position in the text.
        at: usize,
    },
    /// The checksum does not match: mistyped, or cut.
    #[error("the invitation is damaged or incomplete; copy it whole")]
    Checksum,
    /// Made by another version.
    #[error("the invitation does not decode: {0}")]
    Malformed(#[from] DecodeError),
}

/// How every invitation begins.
pub const PREFIX: &str = "tearline-invitation:";
/// Most addresses, and bytes of one address.
const ADDRESSES_MAX: usize = 16;
const ADDRESS_BYTES_MAX: usize = 256;
const CHECKSUM_BYTES: usize = 4;

impl Invitation {
    /// The text form: prefix, then hexadecimal digits of the fields and a checksum.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut bytes = vec![1];
        bytes
            .raw(&self.coalition.0)
            .raw(&self.inviter.0)
            .raw(&[self.invited.code()])
            .number(self.expires.0)
            .raw(&self.secret)
            .number(self.addresses.len() as u64);
        for address in &self.addresses {
            bytes.bytes(address.as_bytes());
        }
        let checksum = sha256(&bytes);
        bytes.extend(checksum.iter().take(CHECKSUM_BYTES));
        let digits: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        format!("{PREFIX}{digits}")
    }

    /// Reads the text form; white space around it and between its digits is allowed.
    pub fn from_text(text: &str) -> Result<Self, InvitationError> {
        let digits = text.trim().strip_prefix(PREFIX).ok_or(InvitationError::Prefix)?;
        let mut nibbles = Vec::new();
        for (at, c) in digits.char_indices().filter(|(_, c)| !c.is_whitespace()) {
            let digit = c.to_digit(16).ok_or(InvitationError::Character { at })?;
            nibbles.push(digit as u8);
        }
        let bytes: Vec<u8> = nibbles
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |byte, nibble| byte << 4 | nibble))
            .collect();
        let body = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or(InvitationError::Checksum)?;
        let (body, checksum) = bytes.split_at(body);
        if !nibbles.len().is_multiple_of(2) || !sha256(body).starts_with(checksum) {
            return Err(InvitationError::Checksum);
        }
        Ok(Self::decode(body)?)
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        if reader.u8("version")? != 1 {
            return reader.invalid(0, "version");
        }
        let coalition = CoalitionId(reader.array("coalition id")?);
        let inviter = DeviceId(reader.array("inviter")?);
        let at = reader.at();
        let Some(invited) = Invited::from_code(reader.u8("invited")?) else {
            return reader.invalid(at, "invited");
        };
        let expires = WallTime(reader.number("expiry")?);
        let secret = reader.array("secret")?;
        let count = reader.count(ADDRESSES_MAX, "addresses")?;
        let mut addresses = Vec::with_capacity(count);
        for _ in 0..count {
            addresses.push(reader.text(ADDRESS_BYTES_MAX, "address")?.to_owned());
        }
        reader.finish()?;
        Ok(Self { coalition, inviter, invited, expires, secret, addresses })
    }
}

/// Who asks to come in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Applicant {
    /// An agency, by its root's certificate for its first desk.
    Agency {
        /// Its name.
        name: String,
        /// Its country.
        country: [u8; 2],
        /// Its desk, certified by its root.
        desk: DeskCertificate,
    },
    /// A device of the inviter's agency.
    Device(DeviceCard),
}

impl Applicant {
    /// The device that asks.
    #[must_use]
    pub const fn card(&self) -> &DeviceCard {
        match self {
            Self::Agency { desk, .. } => &desk.desk,
            Self::Device(card) => card,
        }
    }

    /// What tells it apart from others with the same invitation: the agency's root, if it is one, and
    /// the device.
    #[must_use]
    pub fn id(&self) -> Vec<u8> {
        let device = self.card().device.0;
        match self {
            Self::Agency { desk, .. } => [desk.root, device].concat(),
            Self::Device(_) => device.to_vec(),
        }
    }
}

/// What an applicant sends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JoinRequest {
    /// Into which coalition.
    pub coalition: CoalitionId,
    /// The invitation's secret.
    pub secret: [u8; 16],
    /// Who asks.
    pub applicant: Applicant,
    /// The ML-KEM key that the applicant's card names, for the inviter to publish.
    pub kem: KemKey,
}

impl JoinRequest {
    /// `coalition (32) || secret (16) || 0, name (bytes), country (2), certificate | 1, card || KEM key
    /// (1,184)`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.raw(&self.coalition.0).raw(&self.secret);
        match &self.applicant {
            Applicant::Agency { name, country, desk } => {
                out.raw(&[0]).bytes(name.as_bytes()).raw(country);
                desk.encode(&mut out);
            }
            Applicant::Device(card) => {
                out.push(1);
                card.encode(&mut out);
            }
        }
        self.kem.encode(&mut out);
        out
    }

    /// Reads a request.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let coalition = CoalitionId(reader.array("coalition id")?);
        let secret = reader.array("secret")?;
        let at = reader.at();
        let applicant = match reader.u8("applicant")? {
            0 => {
                let name = reader.text(NAME_BYTES_MAX, "agency name")?.to_owned();
                let at = reader.at();
                let country: [u8; 2] = reader.array("country")?;
                if !country.iter().all(u8::is_ascii_uppercase) {
                    return reader.invalid(at, "country");
                }
                Applicant::Agency { name, country, desk: DeskCertificate::decode(&mut reader)? }
            }
            1 => Applicant::Device(DeviceCard::decode(&mut reader)?),
            _ => return reader.invalid(at, "applicant"),
        };
        let kem = KemKey::decode(&mut reader)?;
        reader.finish()?;
        Ok(Self { coalition, secret, applicant, kem })
    }
}

/// Why an applicant is not let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[repr(u8)]
pub enum Refusal {
    /// No such invitation, or it was used or has expired; the same answer, so that nobody learns
    /// which.
    #[error("the invitation is unknown, used or expired; ask for a new one")]
    Invitation = 1,
    /// The charter asks for more approvals than one.
    #[error("the coalition's quorum has to approve the admission")]
    Quorum = 2,
    /// The inviter may not let this applicant in.
    #[error("the inviting device may not admit this applicant")]
    NotAllowed = 3,
}

/// The answer to a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum JoinAnswer {
    /// Come in: the charter of the coalition.
    Welcome(Charter),
    /// Stay out.
    Refused(Refusal),
}

impl JoinAnswer {
    /// `0 || charter` or `the refusal's number`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Welcome(charter) => [vec![0], charter.encode()].concat(),
            Self::Refused(refusal) => vec![*refusal as u8],
        }
    }

    /// Reads an answer.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let answer = match reader.u8("answer")? {
            0 => Self::Welcome(Charter::decode(&mut reader)?),
            1 => Self::Refused(Refusal::Invitation),
            2 => Self::Refused(Refusal::Quorum),
            3 => Self::Refused(Refusal::NotAllowed),
            _ => return reader.invalid(0, "answer"),
        };
        reader.finish()?;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invitation() -> Invitation {
        Invitation {
            coalition: CoalitionId([1; 32]),
            inviter: DeviceId([2; 32]),
            invited: Invited::Agency,
            expires: WallTime(1_800_000_000_000),
            secret: [3; 16],
            addresses: vec!["/ip4/127.0.0.1/udp/4000/quic-v1".into()],
        }
    }

    #[test]
    fn an_invitation_reads_back_even_when_wrapped() {
        let text = invitation().to_text();
        assert_eq!(Invitation::from_text(&text), Ok(invitation()));
        let (head, tail) = text.split_at(60);
        assert_eq!(Invitation::from_text(&format!("  {head}\n {tail}\n")), Ok(invitation()));
    }

    #[test]
    fn every_damage_is_noticed() {
        let text = invitation().to_text();
        for at in PREFIX.len()..text.len() {
            assert!(Invitation::from_text(&text[..at]).is_err());
            let mut changed: Vec<char> = text.chars().collect();
            changed[at] = if changed[at] == '0' { '1' } else { '0' };
            let changed: String = changed.into_iter().collect();
            assert_eq!(Invitation::from_text(&changed), Err(InvitationError::Checksum));
        }
        assert_eq!(Invitation::from_text("hello"), Err(InvitationError::Prefix));
        let bad = format!("{PREFIX}0g");
        assert_eq!(Invitation::from_text(&bad), Err(InvitationError::Character { at: 1 }));
    }
}
