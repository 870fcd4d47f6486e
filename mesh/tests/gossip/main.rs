//! Gossip: its machines message by message, and meshes of them in virtual time.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail by panicking"
)]

mod measure;
mod membership;
#[expect(dead_code, reason = "the bench uses more of it")]
mod network;
mod spread;
mod tree;
