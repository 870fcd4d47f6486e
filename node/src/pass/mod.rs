//! Passes: what a person or a program at the edge (the HTTP API, a TAXII client, a script) shows in
//! order to act through a device, within that device's own rights.
//!
//! A pass is a Biscuit token (<https://doc.biscuitsec.org>, format 3): a chain of blocks in which
//! each block is signed by a key that the block before it names. The first block is signed by the
//! *pass key* of the device that minted it and holds the [`Terms`]: facts that say what is granted,
//! to whom, and until when. Whoever holds a pass can append a [`Narrowing`] without asking anybody:
//! a block of checks that a request must also pass. Nothing that is appended can take a check away
//! or add a fact that counts, so a pass can only ever get narrower.
//!
//! ```text
//! text -> UnverifiedPass::parse -> UnverifiedPass::verify -> Pass -> check -> PassVerdict
//!                   |  shape and size, no key needed    ^ the chain of signatures
//!                   +-> narrow, inspect
//! ```
//!
//! **One vocabulary.** Blocks hold Datalog, and Biscuit's evaluator bounds neither the facts that a
//! token brings nor the joins of one query (its limits are looked at between rounds of rules). So a
//! token is read as Datalog only if every block is, word for word, one of the forms in the module
//! `vocabulary`: no rule, no regular expression, no scope, no fact after the first block. The run
//! limits stand behind that as a second fence, and hitting one is a denial.
//!
//! **Where passes end.** A pass is checked by the daemon that minted it and by no other, against
//! what the device may do at that moment. It never decides what enters a log.

mod check;
mod key;
mod mint;
mod narrow;
mod read;
pub mod register;
mod scope;
mod summary;
mod terms;
mod vocabulary;

pub use self::check::{Denial, PassVerdict, Request, RunBound, RunBounds, Standing, check};
pub use self::key::PassKey;
pub use self::mint::{MintError, mint};
pub use self::narrow::{NarrowError, narrow};
pub use self::read::{BlockId, Pass, PassFault, TEXT_PREFIX, UnverifiedPass};
pub use self::scope::{
    Limit, Narrowing, NoSuchWord, Operation, PassRight, Scope, ScopeError, Second,
};
pub use self::summary::{NarrowingSummary, ScopeSummary, Summary};
pub use self::terms::{PassId, Terms, TermsError};

/// Largest token, decoded: what is parsed before a signature can be checked.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Most blocks of a token, the first included: signatures to check, one after the other.
pub const BLOCKS_MAX: usize = 6;
/// Most facts that evaluation may know, those of the token and of the request together.
pub const FACTS_MAX: usize = 200;
/// Most rounds of evaluation.
pub const ITERATIONS_MAX: u64 = 50;
/// Longest evaluation, in milliseconds. Some 300 times what it takes; a busy machine may still
/// exceed it, and then denies.
pub const RUN_MS_MAX: u64 = 20;
/// Longest time from minting to expiry, in days.
pub const VALID_DAYS_MAX: u64 = 90;
/// Most compartments that a pass or a narrowing names.
pub const COMPARTMENTS_MAX: usize = 32;

#[cfg(test)]
mod tests;
