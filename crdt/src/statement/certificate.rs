//! Words of an agency's root: they prove themselves, so anybody may carry them into a log.

use crate::codec::{DecodeError, Reader, Write as _};
use crate::hash::Domain;
use crate::id::{CoalitionId, StatementId};
use crate::keys::{self, DeviceCard, DeviceKeys, RootKey, Signature, Signer};

use super::act::Act;
use super::grant::Reopening;

/// An agency root's word that a device is a desk of the agency: it enrols devices and acts for the
/// agency. It proves itself, so anybody may carry it into the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeskCertificate {
    /// The desk.
    pub desk: DeviceCard,
    /// Which closures do not apply to which incarnation of it.
    pub reopening: Option<Reopening>,
    /// The root that says so.
    pub root: RootKey,
    /// The root's signature over the desk's card.
    pub signature: Signature,
}

impl DeskCertificate {
    /// Certifies a desk.
    #[must_use]
    pub fn sign(root: &Signer, desk: &DeviceKeys, reopening: Option<Reopening>) -> Self {
        Self::of_card(root, desk.card(root.public()), reopening)
    }

    /// Certifies the desk of a card, which its device signed for this root.
    #[must_use]
    pub fn of_card(root: &Signer, desk: DeviceCard, reopening: Option<Reopening>) -> Self {
        let mut certificate = Self { desk, reopening, root: root.public(), signature: [0; 64] };
        certificate.signature = root.sign(Domain::DeskCertificate, &certificate.signed_bytes());
        certificate
    }

    /// Whether root and desk signed it, each for the other.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.desk.sponsor == self.root
            && self.desk.holds()
            && keys::verify(
                &self.root,
                Domain::DeskCertificate,
                &self.signed_bytes(),
                &self.signature,
            )
    }

    /// Whether the root signed these bytes for another use.
    #[must_use]
    pub fn is_of_another_use(&self) -> bool {
        let bytes = self.signed_bytes();
        keys::is_of_another_use(&self.root, Domain::DeskCertificate, &bytes, &self.signature)
    }

    /// Appends `card || reopening || root (32) || signature (64)`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.raw(&self.signed_bytes()).raw(&self.root).raw(&self.signature);
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.desk.encode(&mut out);
        Reopening::encode(self.reopening.as_ref(), &mut out);
        out
    }

    /// Reads what [`DeskCertificate::encode`] wrote. The signature is not checked.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            desk: DeviceCard::decode(reader)?,
            reopening: Reopening::decode(reader)?,
            root: reader.array("root key")?,
            signature: reader.array("root signature")?,
        })
    }
}

/// An act of an agency's root, which is kept offline: it revokes devices of the agency, desks among
/// them, or adopts what they wrote.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RootAct {
    /// The root.
    pub root: RootKey,
    /// What it does.
    pub act: Act,
    /// The root's signature over the coalition's id and the act.
    pub signature: Signature,
}

impl RootAct {
    /// Signs an act; `None` if roots do not do such alone.
    #[must_use]
    pub fn sign(root: &Signer, coalition: &CoalitionId, act: Act) -> Option<Self> {
        if !is_for_roots(&act) {
            return None;
        }
        let signature = root.sign(Domain::RootAct, &signed_bytes(coalition, &act));
        Some(Self { root: root.public(), act, signature })
    }

    /// Whether the root signed it for this coalition.
    #[must_use]
    pub fn holds(&self, coalition: &CoalitionId) -> bool {
        let bytes = signed_bytes(coalition, &self.act);
        keys::verify(&self.root, Domain::RootAct, &bytes, &self.signature)
    }

    /// Whether the root signed these bytes for another use.
    #[must_use]
    pub fn is_of_another_use(&self, coalition: &CoalitionId) -> bool {
        let bytes = signed_bytes(coalition, &self.act);
        keys::is_of_another_use(&self.root, Domain::RootAct, &bytes, &self.signature)
    }

    /// Its name: that of the act, numbered 0.
    #[must_use]
    pub fn id(&self, coalition: &CoalitionId) -> StatementId {
        self.act.id(coalition, 0)
    }

    /// Appends `root (32) || act || signature (64)`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.raw(&self.root).raw(&self.act.encode()).raw(&self.signature);
    }

    /// Reads what [`RootAct::encode`] wrote. The signature is not checked.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let root = reader.array("root key")?;
        let at = reader.at();
        let act = Act::decode(reader)?;
        if !is_for_roots(&act) {
            return reader.invalid(at, "root's act");
        }
        Ok(Self { root, act, signature: reader.array("root signature")? })
    }
}

const fn is_for_roots(act: &Act) -> bool {
    matches!(act, Act::Revoke { .. } | Act::Adopt { .. })
}

fn signed_bytes(coalition: &CoalitionId, act: &Act) -> Vec<u8> {
    let mut out = coalition.0.to_vec();
    out.raw(&act.encode());
    out
}
