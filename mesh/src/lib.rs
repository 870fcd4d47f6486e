//! Replication: one state machine, [`Replica`], that knows no clock, socket, disk or thread; and
//! (feature `net`) its libp2p driver.
//!
//! A peer's state is its logs. Two peers that meet compare one digest; where it differs they
//! descend a Merkle trie of what each holds ([`tearline_crdt::frontier`]) and push to each other
//! what the other lacks, most urgent class first. What arrives is verified, stored, *flushed*, and
//! only then acknowledged and passed on. The shipped daemon and the simulator run this same code.

pub mod bundle;
pub mod fault;
pub mod gossip;
pub mod interest;
pub mod invitation;
pub mod memo;
#[cfg(feature = "net")]
pub mod net;
mod noise;
pub mod replica;
pub mod thin;
pub mod urgency;
pub mod wire;

pub use fault::PeerFault;
pub use replica::{Event, Input, Link, Output, Replica};
pub use urgency::Urgency;
