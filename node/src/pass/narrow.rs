//! Narrowing: whoever holds a pass appends a block of checks to it. No key of the device is needed,
//! and no daemon: the token itself carries the secret that its next block is signed with, and the
//! narrower token carries another in its place.

use biscuit_auth::{BlockBuilder, UnverifiedBiscuit, error};

use super::key::key_pair;
use super::read::{PassFault, UnverifiedPass};
use super::scope::{Narrowing, ScopeError};
use super::vocabulary;

/// Why a pass was not narrowed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NarrowError {
    /// The narrowing limits nothing, leaves nothing, or names too much.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// The narrower pass would have too many blocks or bytes.
    #[error(transparent)]
    Unreadable(#[from] PassFault),
    /// Biscuit failed to append the block.
    #[error("the block cannot be appended: {0}")]
    Append(#[from] error::Token),
}

/// Narrows a pass. `seed` is 32 fresh random bytes: whoever knows them can undo the next narrowing.
pub fn narrow(
    pass: &UnverifiedPass,
    narrowing: &Narrowing,
    seed: &[u8; 32],
) -> Result<UnverifiedPass, NarrowError> {
    narrowing.check()?;
    let mut block = BlockBuilder::new();
    for check in vocabulary::checks(narrowing) {
        block = block.check(check)?;
    }
    let next = key_pair(seed).map_err(error::Token::from)?;
    let token = UnverifiedBiscuit::from(pass.bytes())?.append_with_keypair(&next, block)?;
    Ok(UnverifiedPass::decode(token.to_vec()?)?)
}
