//! What is wrong with a statement by itself: whoever reads its bytes can tell, whatever else he holds.

use crate::id::CoalitionId;
use crate::keys::{CardFault, is_weak_signing_key};
use crate::statement::{DeskCertificate, RootAct};

/// What is wrong with a statement by itself. It is kept in its log and decides nothing; the fault is
/// its issuer's.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, thiserror::Error)]
pub enum StatementFault {
    /// A certificate that its root or its desk did not sign.
    #[error("a desk certificate that does not hold")]
    Certificate,
    /// A card that its device did not sign.
    #[error("a device card that does not hold")]
    Card,
    /// A root's act that the root did not sign for this coalition.
    #[error("a root's act that does not hold")]
    RootAct,
    /// A card or certificate with a signing key of small order.
    #[error("a signing key of small order")]
    WeakSigningKey,
    /// A card with an X25519 key of small order.
    #[error("an X25519 key of small order")]
    WeakAgreementKey,
    /// A card, certificate or root's act whose signature was made for another use.
    #[error("a signature that was made for another use")]
    OtherUse,
    /// Boxes that are missing, truncated or malformed.
    #[error("boxes that are missing or malformed")]
    Boxes,
    /// Boxes that are not those that the statement names.
    #[error("other boxes than the statement names")]
    OtherBoxes,
    /// An epoch whose depth is not one more than its deepest parent's.
    #[error("an epoch whose depth does not follow from its parents")]
    Depth,
    /// A statement of another kind of log.
    #[error("a statement that has no place in this log")]
    Misplaced,
}

impl StatementFault {
    /// A stable name, for counters and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Certificate => "bad-certificate",
            Self::Card => "bad-card",
            Self::RootAct => "bad-root-act",
            Self::WeakSigningKey => "weak-signing-key",
            Self::WeakAgreementKey => "weak-agreement-key",
            Self::OtherUse => "wrong-domain",
            Self::Boxes => "malformed-boxes",
            Self::OtherBoxes => "other-boxes",
            Self::Depth => "bad-epoch-depth",
            Self::Misplaced => "misplaced-statement",
        }
    }
}

impl From<CardFault> for StatementFault {
    fn from(fault: CardFault) -> Self {
        match fault {
            CardFault::WeakSigningKey => Self::WeakSigningKey,
            CardFault::WeakAgreementKey => Self::WeakAgreementKey,
            CardFault::OtherUse => Self::OtherUse,
            CardFault::Signature => Self::Card,
        }
    }
}

pub(super) fn of_certificate(certificate: &DeskCertificate) -> Result<(), StatementFault> {
    if certificate.holds() {
        return Ok(());
    }
    match certificate.desk.check() {
        Err(CardFault::Signature) => Err(StatementFault::Certificate),
        Err(fault) => Err(fault.into()),
        Ok(()) if is_weak_signing_key(&certificate.root) => Err(StatementFault::WeakSigningKey),
        Ok(()) if certificate.is_of_another_use() => Err(StatementFault::OtherUse),
        Ok(()) => Err(StatementFault::Certificate),
    }
}

pub(super) fn of_root_act(act: &RootAct, coalition: &CoalitionId) -> Result<(), StatementFault> {
    if act.holds(coalition) {
        Ok(())
    } else if is_weak_signing_key(&act.root) {
        Err(StatementFault::WeakSigningKey)
    } else if act.is_of_another_use(coalition) {
        Err(StatementFault::OtherUse)
    } else {
        Err(StatementFault::RootAct)
    }
}
