//! Gossip in virtual time: reach and copies.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail by panicking"
)]

#[expect(dead_code, reason = "roles, failures and partitions have no test yet")]
mod network;
mod spread;
