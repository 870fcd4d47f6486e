//! Authority statements: the clear cores of entries of class authority. Each is a fact that its
//! author signed; what follows from all of them together is for [`crate::authority`] to say.
//!
//! A statement begins with its kind's number. A kind that this version does not know is kept and
//! relayed, and decides nothing.

use crate::bounds::{
    AGENCIES_MAX, FORMAT_VERSION, INCARNATIONS_PER_GRANT_MAX, STATEMENT_BYTES_MAX,
};
use crate::charter::{Charter, Member};
use crate::codec::{DecodeError, Reader, Write as _};
use crate::hash::{Digest, Domain};
use crate::id::{AgencyNo, CoalitionId, CompartmentId, DeviceId, EpochId};
use crate::keys::{self, DeviceCard, DeviceKeys, RootKey, Signature, Signer};

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
    fn from_u8(value: u8) -> Option<Self> {
        Some(match value {
            1 => Self::Relay,
            2 => Self::Read,
            3 => Self::Write,
            4 => Self::Admit,
            5 => Self::Admin,
            _ => return None,
        })
    }
}

/// What narrows a grant. `None` means "no such limit".
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Caveats {
    /// Record kinds, by number, ascending.
    pub kinds: Option<Vec<u8>>,
    /// Bit n set: class n allowed.
    pub classes: Option<u8>,
    /// Wall time in ms before which entries are quarantined.
    pub not_before_ms: Option<u64>,
    /// Wall time in ms from which entries are quarantined.
    pub not_after_ms: Option<u64>,
    /// Bytes that each peer stores of the audience; flow control, never a verdict.
    pub quota_bytes: Option<u64>,
    /// How many incarnations of a device count.
    pub incarnations: Option<u8>,
    /// Whether the audience may grant on.
    pub may_delegate: bool,
}

/// To whom a grant goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Audience {
    /// A device of an agency.
    Device {
        /// Whose device it is.
        agency: AgencyNo,
        /// Its public keys.
        card: DeviceCard,
    },
    /// All devices of an agency.
    Agency(AgencyNo),
}

/// An agency root's word that a device is a desk of the agency: it enrols devices and acts for the
/// agency. It proves itself, so anybody may carry it into the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeskCertificate {
    /// The desk.
    pub desk: DeviceCard,
    /// The root that says so.
    pub root: RootKey,
    /// The root's signature over the desk's card.
    pub signature: Signature,
}

impl DeskCertificate {
    /// Certifies a desk.
    #[must_use]
    pub fn sign(root: &Signer, desk: &DeviceKeys) -> Self {
        let desk = desk.card(root.public());
        let mut bytes = Vec::new();
        desk.encode(&mut bytes);
        let signature = root.sign(Domain::DeskCertificate, &bytes);
        Self { desk, root: root.public(), signature }
    }

    /// Whether root and desk signed it, each for the other.
    #[must_use]
    pub fn holds(&self) -> bool {
        if self.desk.sponsor != self.root || !self.desk.holds() {
            return false;
        }
        let mut bytes = Vec::new();
        self.desk.encode(&mut bytes);
        keys::verify(&self.root, Domain::DeskCertificate, &bytes, &self.signature)
    }

    /// Appends `card || root (32) || signature (64)`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.desk.encode(out);
        out.raw(&self.root).raw(&self.signature);
    }

    /// Reads what [`DeskCertificate::encode`] wrote. The signature is not checked.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            desk: DeviceCard::decode(reader)?,
            root: reader.array("root key")?,
            signature: reader.array("root signature")?,
        })
    }
}

/// A founder's agreement to an act of the whole.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Approval {
    /// The desk that approves, for its agency.
    pub desk: DeviceId,
    /// Its signature over the coalition's id and the act.
    pub signature: Signature,
}

/// The opening of a compartment. The hash of all but its signature is the compartment's id.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Opening {
    /// The coalition whose agencies it is for.
    pub coalition: CoalitionId,
    /// The agencies that may read, each by its number and its root, in order of number: whoever
    /// took a number over is not meant. An empty audience means nobody.
    pub audience: Vec<(AgencyNo, RootKey)>,
    /// Random.
    pub nonce: [u8; 16],
    /// Who opened it.
    pub opener: DeviceId,
    /// The opener's signature, so that an opening proves itself before its log has come.
    pub signature: Signature,
}

impl Opening {
    /// Opens a compartment.
    #[must_use]
    pub fn sign(
        opener: &Signer,
        coalition: CoalitionId,
        audience: Vec<(AgencyNo, RootKey)>,
        nonce: [u8; 16],
    ) -> Self {
        let device = DeviceId(opener.public());
        let mut opening = Self { coalition, audience, nonce, opener: device, signature: [0; 64] };
        opening.signature = opener.sign(Domain::Opening, &opening.signed_bytes());
        opening
    }

    /// Whether the opener signed it.
    #[must_use]
    pub fn holds(&self) -> bool {
        keys::verify(&self.opener.0, Domain::Opening, &self.signed_bytes(), &self.signature)
    }

    /// The compartment's id.
    #[must_use]
    pub fn id(&self) -> CompartmentId {
        CompartmentId(Domain::Compartment.hash(&[&self.signed_bytes()]))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.raw(&self.signed_bytes()).raw(&self.signature);
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.raw(&[FORMAT_VERSION]).raw(&self.coalition.0).number(self.audience.len() as u64);
        for (agency, root) in &self.audience {
            out.number(u64::from(agency.0)).raw(root);
        }
        out.raw(&self.nonce).raw(&self.opener.0);
        out
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.at();
        if reader.u8("opening version")? != FORMAT_VERSION {
            return reader.invalid(at, "opening version");
        }
        let coalition = CoalitionId(reader.array("coalition id")?);
        let at = reader.at();
        let count = reader.count(AGENCIES_MAX, "audience")?;
        let mut audience = Vec::with_capacity(count);
        for _ in 0..count {
            audience.push((agency(reader)?, reader.array("agency root")?));
        }
        if !audience.windows(2).all(|pair| matches!(pair, [a, b] if a.0 < b.0)) {
            return reader.invalid(at, "audience");
        }
        let nonce = reader.array("nonce")?;
        let opener = DeviceId(reader.array("opener")?);
        let signature = reader.array("opener's signature")?;
        Ok(Self { coalition, audience, nonce, opener, signature })
    }
}

/// A new epoch of a compartment's keys. The boxes travel in the entry's payload.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EpochStatement {
    /// The epochs that it follows: ascending.
    pub parents: Vec<EpochId>,
    /// One more than the deepest parent's; 1 without parents.
    pub depth: u64,
    /// Commitment to the secret.
    pub commitment: Digest,
    /// Digest of the authority frontier under which the readers were chosen.
    pub frontier: Digest,
    /// Merkle root of the boxes, so that one box can be fetched and proven alone.
    pub boxes_root: Digest,
}

/// Most parents of one epoch.
const PARENTS_MAX: usize = 32;

impl EpochStatement {
    /// The canonical bytes, from which the epoch's id is drawn.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.number(self.parents.len() as u64);
        for parent in &self.parents {
            out.raw(&parent.0);
        }
        out.number(self.depth).raw(&self.commitment).raw(&self.frontier).raw(&self.boxes_root);
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
            frontier: reader.array("frontier")?,
            boxes_root: reader.array("boxes root")?,
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
    },
    /// 4: an agency joins, by quorum of the founders.
    Admit {
        /// The agency.
        member: Member,
        /// The founders' approvals.
        approvals: Vec<Approval>,
    },
    /// 5: a compartment begins. First entry of the opener's log in it.
    Open(Opening),
    /// 6: a new epoch.
    Epoch(EpochStatement),
    /// 7: more boxes for an epoch; they travel in the entry's payload.
    Reseal {
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
            Self::Grant { audience, right, caveats } => {
                out.number(3);
                encode_audience(audience, &mut out);
                out.push(*right as u8);
                encode_caveats(caveats, &mut out);
            }
            Self::Admit { member, approvals } => {
                out.number(4);
                member.encode(&mut out);
                out.number(approvals.len() as u64);
                for approval in approvals {
                    out.raw(&approval.desk.0).raw(&approval.signature);
                }
            }
            Self::Open(opening) => {
                out.number(5);
                opening.encode(&mut out);
            }
            Self::Epoch(epoch) => {
                out.number(6).raw(&epoch.encode());
            }
            Self::Reseal { epoch, boxes_root } => {
                out.number(7).raw(&epoch.0).raw(boxes_root);
            }
            Self::Describe { epoch } => {
                out.number(8).raw(&epoch.0);
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
                audience: decode_audience(&mut reader)?,
                right: decode_right(&mut reader)?,
                caveats: decode_caveats(&mut reader)?,
            },
            4 => decode_admit(&mut reader)?,
            5 => Self::Open(Opening::decode(&mut reader)?),
            6 => Self::Epoch(EpochStatement::decode(&mut reader)?),
            7 => Self::Reseal {
                epoch: EpochId(reader.array("epoch id")?),
                boxes_root: reader.array("boxes root")?,
            },
            8 => Self::Describe { epoch: EpochId(reader.array("epoch id")?) },
            kind => {
                let bytes = reader.take(reader.left(), "statement")?.to_vec();
                Self::Unknown { kind, bytes }
            }
        };
        reader.finish()?;
        Ok(statement)
    }

    /// What a founder's desk signs to approve an admission.
    #[must_use]
    pub fn admission_bytes(coalition: &CoalitionId, member: &Member) -> Vec<u8> {
        let mut out = coalition.0.to_vec();
        member.encode(&mut out);
        out
    }
}

fn agency(reader: &mut Reader<'_>) -> Result<AgencyNo, DecodeError> {
    Ok(AgencyNo(reader.number_max(u64::from(u16::MAX), "agency number")? as u16))
}

fn encode_audience(audience: &Audience, out: &mut Vec<u8>) {
    match audience {
        Audience::Device { agency, card } => {
            out.raw(&[0]).number(u64::from(agency.0));
            card.encode(out);
        }
        Audience::Agency(agency) => {
            out.raw(&[1]).number(u64::from(agency.0));
        }
    }
}

fn decode_audience(reader: &mut Reader<'_>) -> Result<Audience, DecodeError> {
    let at = reader.at();
    Ok(match reader.u8("audience kind")? {
        0 => Audience::Device { agency: agency(reader)?, card: DeviceCard::decode(reader)? },
        1 => Audience::Agency(agency(reader)?),
        _ => return reader.invalid(at, "audience kind"),
    })
}

fn decode_right(reader: &mut Reader<'_>) -> Result<Right, DecodeError> {
    let at = reader.at();
    Right::from_u8(reader.u8("right")?).ok_or(DecodeError::Invalid { at, what: "right" })
}

/// `flags (1) || the present values in the order of their flags`.
fn encode_caveats(caveats: &Caveats, out: &mut Vec<u8>) {
    let Caveats { kinds, classes, not_before_ms, not_after_ms, quota_bytes, incarnations, .. } =
        caveats;
    let flags = u8::from(kinds.is_some())
        | u8::from(classes.is_some()) << 1
        | u8::from(not_before_ms.is_some()) << 2
        | u8::from(not_after_ms.is_some()) << 3
        | u8::from(quota_bytes.is_some()) << 4
        | u8::from(incarnations.is_some()) << 5
        | u8::from(caveats.may_delegate) << 6;
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
    if let Some(incarnations) = incarnations {
        out.push(*incarnations);
    }
}

fn decode_caveats(reader: &mut Reader<'_>) -> Result<Caveats, DecodeError> {
    let at = reader.at();
    let flags = reader.u8("caveat flags")?;
    if flags & 0x80 != 0 {
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
    let at = reader.at();
    let incarnations = has(5).then(|| reader.u8("incarnations")).transpose()?;
    if incarnations.is_some_and(|n| usize::from(n) > INCARNATIONS_PER_GRANT_MAX) {
        return reader.invalid(at, "incarnations");
    }
    Ok(Caveats {
        kinds,
        classes,
        not_before_ms,
        not_after_ms,
        quota_bytes,
        incarnations,
        may_delegate: has(6),
    })
}

fn decode_admit(reader: &mut Reader<'_>) -> Result<Statement, DecodeError> {
    let member = Member::decode(reader)?;
    let at = reader.at();
    let count = reader.count(AGENCIES_MAX, "approvals")?;
    let mut approvals = Vec::with_capacity(count);
    for _ in 0..count {
        approvals.push(Approval {
            desk: DeviceId(reader.array("approving desk")?),
            signature: reader.array("approval")?,
        });
    }
    if !approvals.windows(2).all(|pair| matches!(pair, [a, b] if a.desk < b.desk)) {
        return reader.invalid(at, "approvals");
    }
    Ok(Statement::Admit { member, approvals })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(n: u8) -> DeviceKeys {
        DeviceKeys::from_seeds(&[n; 32], &[n + 100; 32])
    }

    fn card(n: u8) -> DeviceCard {
        keys(n).card([9; 32])
    }

    fn opening() -> Opening {
        let audience = vec![(AgencyNo(1), [1; 32]), (AgencyNo(2), [2; 32])];
        Opening::sign(keys(1).signer(), CoalitionId([1; 32]), audience, [2; 16])
    }

    #[test]
    fn an_opening_holds_only_as_its_opener_signed_it() {
        assert!(opening().holds());
        assert!(!Opening { audience: vec![(AgencyNo(1), [1; 32])], ..opening() }.holds());
        assert!(!Opening { opener: card(2).device, ..opening() }.holds());
        assert!(!Opening { nonce: [3; 16], ..opening() }.holds());
        assert_eq!(Opening { signature: [0; 64], ..opening() }.id(), opening().id());
    }

    fn samples() -> Vec<Statement> {
        let root = Signer::from_seed(&[9; 32]);
        let member = Member {
            no: AgencyNo(2),
            name: "Customs".into(),
            country: "TD".into(),
            root: root.public(),
        };
        let charter = Charter {
            name: "Drill".into(),
            nonce: [1; 16],
            quorum: 1,
            limits_version: 1,
            erasure_delay_hours: 0,
            default_label: vec![1, 2],
            agreement: Some([3; 32]),
            founders: vec![member.clone()],
        };
        vec![
            Statement::Found(charter),
            Statement::Desk(DeskCertificate::sign(&root, &keys(1))),
            Statement::Grant {
                audience: Audience::Device { agency: AgencyNo(2), card: card(2) },
                right: Right::Write,
                caveats: Caveats {
                    kinds: Some(vec![1, 2]),
                    classes: Some(0b11111),
                    not_before_ms: Some(1),
                    not_after_ms: Some(2),
                    quota_bytes: Some(3),
                    incarnations: Some(4),
                    may_delegate: true,
                },
            },
            Statement::Grant {
                audience: Audience::Agency(AgencyNo(7)),
                right: Right::Relay,
                caveats: Caveats::default(),
            },
            Statement::Admit {
                member,
                approvals: vec![Approval { desk: card(1).device, signature: [8; 64] }],
            },
            Statement::Open(opening()),
            Statement::Epoch(EpochStatement {
                parents: vec![EpochId([1; 32]), EpochId([2; 32])],
                depth: 2,
                commitment: [3; 32],
                frontier: [4; 32],
                boxes_root: [5; 32],
            }),
            Statement::Reseal { epoch: EpochId([1; 32]), boxes_root: [2; 32] },
            Statement::Describe { epoch: EpochId([3; 32]) },
            Statement::Unknown { kind: 99, bytes: vec![1, 2, 3] },
        ]
    }

    #[test]
    fn statements_read_back() {
        for statement in samples() {
            assert_eq!(Statement::decode(&statement.encode()), Ok(statement));
        }
    }

    #[test]
    fn no_truncation_of_a_known_kind_is_a_statement() {
        for statement in samples().into_iter().filter(|s| !matches!(s, Statement::Unknown { .. })) {
            let bytes = statement.encode();
            for len in 0..bytes.len() {
                assert!(Statement::decode(&bytes[..len]).is_err(), "{statement:?} cut at {len}");
            }
        }
    }

    #[test]
    fn a_desk_certificate_holds_only_as_signed() {
        let certificate = DeskCertificate::sign(&Signer::from_seed(&[9; 32]), &keys(1));
        assert!(certificate.holds());
        assert!(!DeskCertificate { desk: card(2), ..certificate.clone() }.holds());
        let other = Signer::from_seed(&[8; 32]);
        let claimed = DeskCertificate::sign(&other, &keys(1));
        assert!(!DeskCertificate { root: [0; 32], ..certificate.clone() }.holds());
        // Another root certifies a desk that stands under this one.
        let mut bytes = Vec::new();
        certificate.desk.encode(&mut bytes);
        let signature = other.sign(Domain::DeskCertificate, &bytes);
        assert!(!DeskCertificate { signature, desk: certificate.desk, ..claimed }.holds());
    }
}
