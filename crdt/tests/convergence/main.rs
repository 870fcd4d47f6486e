//! Convergence: peers that hold the same sets reach the same verdicts, and reach those that
//! `docs/protocol/authority.md` says.
//!
//! [`generate`] draws histories of a coalition with Byzantine authors in it. [`naive`] is a second
//! evaluator, written from the document alone: slow, and meant to be read beside it. [`deliver`]
//! gives a history to several replicas in different orders and compares their answers with each
//! other's and with the naive one's. What fails is shrunk and printed.
//!
//! 200 histories by default; `TEARLINE_HISTORIES=10000 cargo test -p tearline-crdt --test
//! convergence` tries more.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what is drawn is there; a failure is told with its history"
)]

mod answers;
mod bug;
mod cast;
mod coverage;
mod deliver;
mod generate;
mod labels;
mod naive;
mod planted;
mod properties;
mod real;
mod rng;
mod shrink;
mod world;

/// How many histories to try.
pub(crate) fn histories() -> u64 {
    let wanted = std::env::var("TEARLINE_HISTORIES").ok().and_then(|n| n.parse().ok());
    wanted.unwrap_or(HISTORIES_DEFAULT)
}

/// Histories that are tried when nobody asks for more.
const HISTORIES_DEFAULT: u64 = 200;
