//! Minting: the device states the terms and signs them with its pass key.

use std::collections::BTreeMap;

use biscuit_auth::datalog::SymbolTable;
use biscuit_auth::{Biscuit, error};
use tearline_crdt::id::CompartmentId;
use tearline_crdt::statement::Right;

use super::key::{PassKey, key_pair};
use super::read::{PassFault, UnverifiedPass};
use super::terms::{Terms, TermsError};
use super::vocabulary;

/// Why no pass was minted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MintError {
    /// The terms make no sense or go beyond a bound.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// The device may itself not do that there.
    #[error("this device holds no right to {} in compartment {compartment}", .wanted.name())]
    Above {
        /// Where.
        compartment: CompartmentId,
        /// What the pass would carry.
        wanted: super::PassRight,
    },
    /// The token would be larger than any reader takes.
    #[error(transparent)]
    Unreadable(#[from] PassFault),
    /// Biscuit failed to build it.
    #[error("the token cannot be built: {0}")]
    Build(#[from] error::Token),
}

/// Mints a pass. `standing` is what the device may do in each compartment now; `seed` is 32 fresh
/// random bytes, for the key that the first narrowing is signed with.
pub fn mint(
    key: &PassKey,
    terms: &Terms,
    standing: &BTreeMap<CompartmentId, Right>,
    seed: &[u8; 32],
) -> Result<UnverifiedPass, MintError> {
    terms.check()?;
    let wanted = terms.scope.right;
    for compartment in &terms.scope.compartments {
        if standing.get(compartment).is_none_or(|held| *held < wanted.right()) {
            return Err(MintError::Above { compartment: *compartment, wanted });
        }
    }
    let mut builder = Biscuit::builder();
    for fact in vocabulary::facts(terms) {
        builder = builder.fact(fact)?;
    }
    let next = key_pair(seed).map_err(error::Token::from)?;
    let root = key.pair().map_err(error::Token::from)?;
    let token = builder.build_with_key_pair(&root, SymbolTable::new(), &next)?;
    Ok(UnverifiedPass::decode(token.to_vec()?)?)
}
