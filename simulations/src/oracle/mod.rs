//! The oracles: what must hold in every run, one file each.
//!
//! Each looks at the world from outside, at what a replica shows, stores and sends, and never at what it
//! thinks. What an oracle finds ends the run; a test plants a bug for each and sees it found.

pub mod blame;
pub mod confidentiality;
pub mod conservation;
pub mod convergence;
pub mod durability;
pub mod haste;
pub mod livelock;
pub mod memory;
pub mod metadata;
pub mod priority;
pub mod verdicts;

use std::fmt;

use crate::agenda::Nanos;
use crate::quantity::short;

/// An oracle.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Oracle {
    /// Readers of a compartment come to hold the same.
    Convergence,
    /// What was acknowledged is there.
    Durability,
    /// Nothing is read, stored in the clear or sent in the clear where it may not be.
    Confidentiality,
    /// Peers fall silent.
    Livelock,
    /// What was sent arrived, was lost, or is under way.
    Conservation,
    /// A store and a link hold what they must, and not much more.
    Memory,
    /// No honest peer is held to have misbehaved, and hostile ones are where it can be known.
    Blame,
    /// What does not count does not count at any honest reader.
    Verdicts,
    /// Nothing arrives before the contacts allow.
    Haste,
    /// Whoever may not read learns what is declared and no more.
    Metadata,
    /// What is routine waits for a flash.
    Priority,
}

impl Oracle {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Convergence => "convergence",
            Self::Durability => "durability",
            Self::Confidentiality => "confidentiality",
            Self::Livelock => "livelock",
            Self::Conservation => "conservation",
            Self::Memory => "memory",
            Self::Blame => "blame",
            Self::Verdicts => "verdicts",
            Self::Haste => "haste",
            Self::Metadata => "metadata",
            Self::Priority => "priority",
        }
    }
}

/// What an oracle found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// Which oracle.
    pub oracle: Oracle,
    /// When.
    pub at: Nanos,
    /// What.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} after {}: {}", self.oracle.name(), short(self.at), self.what)
    }
}

/// What is wrong, in words.
pub(crate) struct Found(pub(crate) String);

impl Found {
    pub(crate) fn plain(what: &str) -> Self {
        Self(what.to_owned())
    }
}
