//! Gossip in virtual time: reach and copies.

#[expect(dead_code, reason = "roles, failures and partitions have no test yet")]
mod network;
mod spread;
