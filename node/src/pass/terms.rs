//! The terms of a pass: what its first block says.

use tearline_crdt::bounds::NAME_BYTES_MAX;
use tearline_crdt::id::DeviceId;
use tearline_crdt::record::vocabulary::Purpose;

use super::VALID_DAYS_MAX;
use super::scope::{Scope, ScopeError, Second};

/// A pass: 16 random bytes, for people and lists.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct PassId(pub [u8; 16]);

impl std::fmt::Display for PassId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a pass grants, by whom, to whom and for what.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Terms {
    /// Which pass.
    pub id: PassId,
    /// The device that minted it, through which it acts.
    pub device: DeviceId,
    /// For whom, as people call them.
    pub holder: String,
    /// What for.
    pub purpose: Purpose,
    /// When it was minted.
    pub minted: Second,
    /// What it covers.
    pub scope: Scope,
}

/// Why terms are none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TermsError {
    /// What it covers makes no sense.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// The holder's name is empty, too long, or holds control characters.
    #[error("the holder's name is not 1 to {NAME_BYTES_MAX} bytes on one line")]
    Holder,
    /// It would be valid for too long.
    #[error("it would end more than {VALID_DAYS_MAX} days after it was minted")]
    TooLong,
}

impl Terms {
    /// Refuses terms that make no sense or go beyond a bound.
    pub fn check(&self) -> Result<(), TermsError> {
        self.scope.check()?;
        let name = self.holder.trim();
        if name.is_empty()
            || self.holder.len() > NAME_BYTES_MAX
            || self.holder.chars().any(char::is_control)
        {
            return Err(TermsError::Holder);
        }
        let last = self.minted.0.saturating_add(VALID_DAYS_MAX * 86_400);
        if self.scope.not_after.0 > last {
            return Err(TermsError::TooLong);
        }
        Ok(())
    }
}
