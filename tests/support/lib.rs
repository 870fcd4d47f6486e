//! What the test binaries share.

pub mod daemon;
pub mod fuzz;
