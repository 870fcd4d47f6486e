//! What an agency's root is asked to sign, and what it signed: text that travels to the machine where
//! the root is kept, and back. That machine needs no home, no daemon and no link.
//!
//! ```text
//! prefix || hexadecimal digits of: version (1) || kind (1) || fields || first 4 bytes of their SHA-256
//!   request 1, an act:   coalition (32) || root (32) || act (bytes) || list of marks (bytes)
//!   request 2, a desk:   card || ML-KEM-768 key (1,184) || reopening
//!   word 1, an act:      coalition (32) || root's act (bytes) || list of marks (bytes)
//!   word 2, a desk:      name (bytes) || country (bytes) || certificate || ML-KEM-768 key (1,184)
//! ```
//! The marks are empty where they stand in the act itself. White space counts nowhere. The checksum is
//! against slips; what a word is worth, its signatures say.

use tearline_crdt::bounds::{NAME_BYTES_MAX, PAYLOAD_BYTES_MAX, STATEMENT_BYTES_MAX};
use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::hash::sha256;
use tearline_crdt::id::CoalitionId;
use tearline_crdt::keys::{DeviceCard, KemKey, RootKey, Signer};
use tearline_crdt::statement::{Act, DeskCertificate, Reopening, RootAct};

use crate::home::Agency;

/// What a root is asked to sign.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RootRequest {
    /// An act in a coalition.
    Act {
        /// Which coalition.
        coalition: CoalitionId,
        /// Which root: that of the agency whose device it is about.
        root: RootKey,
        /// What it does.
        act: Act,
        /// The list of its marks, where they do not stand in it.
        marks: Option<Vec<u8>>,
    },
    /// That a device is a desk of the agency.
    Desk {
        /// The device's card, signed for that root.
        card: DeviceCard,
        /// The key that the card names.
        kem: KemKey,
        /// What ended its standing and is lifted, for which life of it.
        reopening: Option<Reopening>,
    },
}

/// What a root signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RootWord {
    /// An act.
    Act {
        /// In which coalition.
        coalition: CoalitionId,
        /// What it does, signed.
        act: RootAct,
        /// The list of its marks, where they do not stand in it.
        marks: Option<Vec<u8>>,
    },
    /// A desk's certificate.
    Desk {
        /// The agency's name.
        name: String,
        /// Its country.
        country: String,
        /// The certificate.
        certificate: DeskCertificate,
        /// The key that the desk's card names.
        kem: KemKey,
    },
}

/// Why a text is none of these.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OfflineError {
    /// It begins in another way.
    #[error("it does not begin with {0:?}")]
    Prefix(&'static str),
    /// Something in it is no hexadecimal digit.
    #[error("character {at} behind the beginning is no hexadecimal digit")]
    Character {
        /// Where.
        at: usize,
    },
    /// Cut, lengthened or changed.
    #[error("it is damaged or incomplete: its checksum does not match")]
    Checksum,
    /// The checksum holds, and the content makes no sense.
    #[error("it does not decode: {0}")]
    Malformed(#[from] DecodeError),
}

/// Why a root does not sign.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SignError {
    /// A root alone revokes devices of its agency and adopts what they wrote, and nothing more.
    #[error("an agency's root does not do this alone")]
    NotForRoots,
    /// It is about a device of another root's agency, or of one that asks to be a desk under another.
    #[error("this is for another root")]
    OtherRoot(RootKey),
    /// The card is not the device's own word, or names another ML-KEM key.
    #[error("the device did not sign this request")]
    Card,
}

const REQUEST: &str = "tearline-root-request:";
const WORD: &str = "tearline-root-word:";
const VERSION: u8 = 3;
const CHECKSUM_BYTES: usize = 4;
/// Hexadecimal digits of a line.
const LINE_DIGITS: usize = 64;
/// Longest text: a statement and a list of marks, in digits, with line ends.
pub const OFFLINE_TEXT_BYTES_MAX: usize = 3 * (STATEMENT_BYTES_MAX + PAYLOAD_BYTES_MAX);

impl RootRequest {
    /// Has a root sign it.
    pub fn sign(self, agency: &Agency) -> Result<RootWord, SignError> {
        let root = Signer::from_seed(&agency.root_seed);
        match self {
            Self::Act { root: of, .. } if of != root.public() => Err(SignError::OtherRoot(of)),
            Self::Act { coalition, act, marks, .. } => {
                let act = RootAct::sign(&root, &coalition, act).ok_or(SignError::NotForRoots)?;
                Ok(RootWord::Act { coalition, act, marks })
            }
            Self::Desk { card, .. } if card.sponsor != root.public() => {
                Err(SignError::OtherRoot(card.sponsor))
            }
            Self::Desk { card, kem, reopening } => {
                if !card.holds() || !card.matches(&kem) {
                    return Err(SignError::Card);
                }
                let certificate = DeskCertificate::of_card(&root, card, reopening);
                let (name, country) = (agency.name.clone(), agency.country.clone());
                Ok(RootWord::Desk { name, country, certificate, kem })
            }
        }
    }

    /// The text form.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = vec![VERSION];
        match self {
            Self::Act { coalition, root, act, marks } => {
                out.raw(&[1]).raw(&coalition.0).raw(root).bytes(&act.encode());
                out.bytes(marks.as_deref().unwrap_or_default());
            }
            Self::Desk { card, kem, reopening } => {
                out.push(2);
                card.encode(&mut out);
                kem.encode(&mut out);
                Reopening::encode(reopening.as_ref(), &mut out);
            }
        }
        to_text(REQUEST, out)
    }

    /// Reads what [`RootRequest::to_text`] gave.
    pub fn from_text(text: &str) -> Result<Self, OfflineError> {
        let body = from_text(REQUEST, text)?;
        let mut reader = Reader::new(&body);
        let request = match kind(&mut reader)? {
            1 => {
                let coalition = CoalitionId(reader.array("coalition id")?);
                let root = reader.array("root")?;
                let mut act = Reader::new(reader.bytes(STATEMENT_BYTES_MAX, "act")?);
                let decoded = Act::decode(&mut act)?;
                act.finish()?;
                Self::Act { coalition, root, act: decoded, marks: marks(&mut reader)? }
            }
            _ => {
                let card = DeviceCard::decode(&mut reader)?;
                let kem = KemKey::decode(&mut reader)?;
                Self::Desk { card, kem, reopening: Reopening::decode(&mut reader)? }
            }
        };
        reader.finish()?;
        Ok(request)
    }
}

impl RootWord {
    /// The text form.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = vec![VERSION];
        match self {
            Self::Act { coalition, act, marks } => {
                let mut signed = Vec::new();
                act.encode(&mut signed);
                out.raw(&[1]).raw(&coalition.0).bytes(&signed);
                out.bytes(marks.as_deref().unwrap_or_default());
            }
            Self::Desk { name, country, certificate, kem } => {
                out.raw(&[2]).bytes(name.as_bytes()).bytes(country.as_bytes());
                certificate.encode(&mut out);
                kem.encode(&mut out);
            }
        }
        to_text(WORD, out)
    }

    /// Reads what [`RootWord::to_text`] gave. The signatures are not checked.
    pub fn from_text(text: &str) -> Result<Self, OfflineError> {
        let body = from_text(WORD, text)?;
        let mut reader = Reader::new(&body);
        let word = match kind(&mut reader)? {
            1 => {
                let coalition = CoalitionId(reader.array("coalition id")?);
                let mut act = Reader::new(reader.bytes(STATEMENT_BYTES_MAX, "root's act")?);
                let decoded = RootAct::decode(&mut act)?;
                act.finish()?;
                Self::Act { coalition, act: decoded, marks: marks(&mut reader)? }
            }
            _ => Self::Desk {
                name: reader.text(NAME_BYTES_MAX, "agency name")?.to_owned(),
                country: reader.text(2, "country")?.to_owned(),
                certificate: DeskCertificate::decode(&mut reader)?,
                kem: KemKey::decode(&mut reader)?,
            },
        };
        reader.finish()?;
        Ok(word)
    }
}

fn kind(reader: &mut Reader<'_>) -> Result<u8, DecodeError> {
    if reader.u8("version")? != VERSION {
        return reader.invalid(0, "version");
    }
    let at = reader.at();
    match reader.u8("kind")? {
        kind @ (1 | 2) => Ok(kind),
        _ => reader.invalid(at, "kind"),
    }
}

fn marks(reader: &mut Reader<'_>) -> Result<Option<Vec<u8>>, DecodeError> {
    let list = reader.bytes(PAYLOAD_BYTES_MAX, "list of marks")?;
    Ok((!list.is_empty()).then(|| list.to_vec()))
}

fn to_text(prefix: &str, mut body: Vec<u8>) -> String {
    let checksum = sha256(&body);
    body.extend(checksum.iter().take(CHECKSUM_BYTES));
    let mut text = prefix.to_owned();
    for (n, byte) in body.iter().enumerate() {
        if n.is_multiple_of(LINE_DIGITS / 2) {
            text.push('\n');
        }
        for nibble in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(nibble), 16));
        }
    }
    text.push('\n');
    text
}

fn from_text(prefix: &'static str, text: &str) -> Result<Vec<u8>, OfflineError> {
    let digits = text.trim().strip_prefix(prefix).ok_or(OfflineError::Prefix(prefix))?;
    let mut nibbles = Vec::new();
    for (at, c) in digits.char_indices().filter(|(_, c)| !c.is_whitespace()) {
        nibbles.push(c.to_digit(16).ok_or(OfflineError::Character { at })? as u8);
    }
    let mut body: Vec<u8> = nibbles
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, nibble| byte << 4 | nibble))
        .collect();
    let end = body.len().checked_sub(CHECKSUM_BYTES).ok_or(OfflineError::Checksum)?;
    let checksum = body.split_off(end);
    if !nibbles.len().is_multiple_of(2) || !sha256(&body).starts_with(&checksum) {
        return Err(OfflineError::Checksum);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tearline_crdt::id::{DeviceId, Incarnation, StatementId};
    use tearline_crdt::keys::DeviceKeys;
    use tearline_crdt::statement::Marks;

    fn agency() -> Agency {
        Agency::generate("Garde nationale", "NE").unwrap()
    }

    fn desk(root: RootKey) -> RootRequest {
        let keys = DeviceKeys::from_seeds(&[1; 32], &[2; 32]);
        let (card, kem) = (keys.card(root), keys.kem_key().clone());
        let cites = vec![StatementId([7; 32])];
        let reopening = Some(Reopening { incarnation: Incarnation(5), cites });
        RootRequest::Desk { card, kem, reopening }
    }

    fn revocation(root: RootKey) -> RootRequest {
        let act = Act::Revoke { device: DeviceId([3; 32]), keep: Marks::NONE };
        RootRequest::Act { coalition: CoalitionId([4; 32]), root, act, marks: Some(vec![5; 900]) }
    }

    #[test]
    fn requests_and_words_read_back() {
        let agency = agency();
        let root = Signer::from_seed(&agency.root_seed).public();
        for request in [desk(root), revocation(root)] {
            assert_eq!(RootRequest::from_text(&request.to_text()), Ok(request.clone()));
            let word = request.sign(&agency).unwrap();
            let text = word.to_text();
            assert!(text.len() <= OFFLINE_TEXT_BYTES_MAX);
            assert_eq!(RootWord::from_text(&text), Ok(word.clone()));
            assert!(matches!(RootRequest::from_text(&text), Err(OfflineError::Prefix(_))));
            match word {
                RootWord::Act { coalition, act, .. } => assert!(act.holds(&coalition)),
                RootWord::Desk { certificate, .. } => assert!(certificate.holds()),
            }
        }
    }

    #[test]
    fn every_damage_is_noticed() {
        let text = revocation([9; 32]).to_text();
        let digits: Vec<usize> = text
            .char_indices()
            .skip(REQUEST.len())
            .filter(|(_, c)| *c != '\n')
            .map(|(n, _)| n)
            .collect();
        for at in digits {
            assert!(RootRequest::from_text(&text[..at]).is_err(), "cut at {at}");
            let mut changed: Vec<char> = text.chars().collect();
            changed[at] = if changed[at] == '0' { '1' } else { '0' };
            let changed: String = changed.into_iter().collect();
            assert_eq!(RootRequest::from_text(&changed), Err(OfflineError::Checksum), "{at}");
        }
    }

    #[test]
    fn a_root_signs_for_itself_alone_and_no_act_of_the_whole() {
        let agency = agency();
        for request in [desk([9; 32]), revocation([9; 32])] {
            assert_eq!(request.sign(&agency), Err(SignError::OtherRoot([9; 32])));
        }
        let root = Signer::from_seed(&agency.root_seed).public();
        let RootRequest::Desk { card, kem, reopening } = desk(root) else { panic!("a desk's") };
        let card = DeviceCard { agreement: [1; 32], ..card };
        assert_eq!(RootRequest::Desk { card, kem, reopening }.sign(&agency), Err(SignError::Card));
        let act = Act::Hold { genesis: tearline_crdt::id::EntryId([1; 32]) };
        let request = RootRequest::Act { coalition: CoalitionId([4; 32]), root, act, marks: None };
        assert_eq!(request.sign(&agency), Err(SignError::NotForRoots));
    }
}
