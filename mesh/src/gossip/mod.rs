//! Gossip: passing news on at once to a few neighbours, so that they reach a whole compartment in a
//! few hops and about once. `docs/protocol/gossip.md` describes it; it is speed, and
//! [`crate::replica`]'s comparison of frontiers is the guarantee.
//!
//! Two state machines that know nothing of each other:
//! - [`membership`] decides who the neighbours are: HyParView (Leitão, Pereira, Rodrigues: "HyParView:
//!   a membership protocol for reliable gossip-based broadcast", DSN 2007);
//! - [`tree`] decides what goes to which of them: PlumTree (the same authors: "Epidemic broadcast
//!   trees", SRDS 2007), with a tree that has a root ([`beacon`]).
//!
//! Their parent maps between them, owns the links and the entries, and answers what they ask: who has
//! a right in the compartment ([`Roll`]) and what is held here ([`Holdings`]). Time and randomness are
//! arguments. Each has `handle(now, input, ..)`, `poll_output()` and `deadline()`; outputs are drained
//! after each input, and [`Tick`](membership::Input::Tick) is due at the deadline.

pub mod beacon;
mod budget;
pub mod membership;
pub mod tree;
mod views;
mod wanted;
pub mod wire;

use tearline_crdt::entropy::Entropy;
use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::{AgencyNo, DeviceId};

pub use membership::Membership;
pub use tree::Tree;
pub use wire::{HeadTag, Message};

/// Who has a right in the compartment, as the authority logs say.
pub trait Roll {
    /// The agency of a device that has a right here.
    fn agency(&self, device: &DeviceId) -> Option<AgencyNo>;

    /// How many agencies the compartment is for.
    fn agencies(&self) -> usize;

    /// A device with a right here, found by a number drawn at random: first an agency, then one of its
    /// devices, so that many devices make no agency likelier.
    fn draw(&self, number: u64) -> Option<DeviceId>;
}

/// What is held here, durable or not.
pub trait Holdings {
    /// Seq of the next entry of a log.
    fn next(&self, log: &LogKey) -> u64;
}

/// News: a log goes up to here.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct News {
    /// The log.
    pub log: LogKey,
    /// Seq after its last entry.
    pub next: u64,
}

/// What a neighbour does that no honest one does. The parent blames it and closes the link.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum GossipFault {
    /// More messages than its budget.
    #[error("sends more gossip than {burst} messages and one each {every_ms} ms")]
    Flood {
        /// The budget's burst.
        burst: u32,
        /// How often it is given one more.
        every_ms: u64,
    },
    /// It asked more often than it was told of news.
    #[error("asked for entries of which it was not told")]
    Asked,
}

impl GossipFault {
    /// A stable name, for counters and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Flood { .. } => "gossip-flood",
            Self::Asked => "gossip-asked",
        }
    }
}

/// A number below `n`, or 0 where `n` is. The bias of 64 bits modulo a small number does not matter.
fn below(entropy: &mut dyn Entropy, n: u64) -> u64 {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    u64::from_be_bytes(bytes).checked_rem(n).unwrap_or(0)
}
