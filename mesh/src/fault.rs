//! What a peer does wrong. Each is counted against the device that did it; none is an error of ours
//! and none panics. `docs/protocol/sync.md` says which misdeed is counted under which name, and against
//! whom: who sent what anybody can check, or who wrote what only its author can have made.

use tearline_crdt::authority::StatementFault;
use tearline_crdt::codec::DecodeError;
use tearline_crdt::entry::run::RunFault;
use tearline_crdt::seal::BoxError;

use crate::gossip::GossipFault;
use crate::thin::ThinFault;

/// A misdeed of the peer at the other end of a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PeerFault {
    /// A frame that does not decode.
    #[error("sent a malformed frame: {0}")]
    Malformed(#[from] DecodeError),
    /// A frame above the limit.
    #[error("sent a frame of {bytes} bytes; the limit is {max}")]
    Oversize {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A frame that its place in the conversation does not allow.
    #[error("sent a {0} frame out of turn")]
    OutOfTurn(&'static str),
    /// A run whose chain or signatures do not hold.
    #[error("sent a run that does not verify: {0}")]
    Run(#[from] RunFault),
    /// Entries without their payloads or key boxes that nobody had erased.
    #[error("sent entries that it had stripped of their content")]
    Stripped,
    /// A run of a log whose key is not that of the log it names.
    #[error("named a log by another log's key")]
    LogKey,
    /// Entries that do not lead to the one that it was asked for.
    #[error("sent another branch of a log than it was asked for")]
    OtherBranch,
    /// A fork proof that proves none.
    #[error("sent a fork proof that proves nothing")]
    ForkProof,
    /// An authority entry that does not travel alone, or does not hold.
    #[error("sent an authority entry alone that does not hold so")]
    Stray,
    /// An introduction to a compartment that is not what it claims, or not for us.
    #[error("introduced a compartment that is not for us")]
    Introduction,
    /// Whereabouts that their device did not sign.
    #[error("whereabouts that their device did not sign")]
    Whereabouts,
    /// A part of an attachment that is not what its id says.
    #[error("a part of an attachment that is not what its id says")]
    Attachment,
    /// A payload that is not what its entry names.
    #[error("a payload that is not what its entry names")]
    Payload,
    /// A position that its device did not sign.
    #[error("a position that its device did not sign")]
    Presence,
    /// Acknowledged entries that it was never sent.
    #[error("acknowledged entries that it was not sent")]
    Acknowledged,
    /// A request to join that does not match an invitation.
    #[error("asked to join without a valid invitation")]
    Join,
    /// Wrote a statement that is wrong by itself.
    #[error("wrote {0}")]
    Statement(StatementFault),
    /// Sealed a box for us that does not hold what its epoch says.
    #[error("sealed {0}")]
    Box(BoxFault),
    /// What no honest neighbour in the tree of a compartment does.
    #[error("as a neighbour in gossip it {0}")]
    Gossip(#[from] GossipFault),
    /// More frames of one kind than an honest peer sends.
    #[error("repeats itself without end")]
    Endless,
    /// Said that it has entries, and gave none of them however often it was asked.
    #[error("announced entries and did not give them")]
    Withheld,
    /// Made a link and did not begin to converse.
    #[error("made a link and said nothing on it")]
    NoGreeting,
    /// Broke the rules below the frames.
    #[error(transparent)]
    Link(#[from] LinkFault),
    /// Broke those of a thin link.
    #[error("on the thin link it {0}")]
    Thin(#[from] ThinFault),
}

/// What a transport sees that no honest peer does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LinkFault {
    /// A length above the limit.
    #[error("announced a frame of {0} bytes")]
    Oversize(u64),
    /// A length that is none.
    #[error("sent a malformed frame length")]
    Length,
    /// A frame that is not whole when the slowest line would have carried it.
    #[error("did not finish a frame in {0} seconds")]
    Trickle(u64),
    /// Signs of life more often than they are due.
    #[error("sent signs of life without end")]
    Babble,
}

/// What is wrong with a box that names us. That it does not open tells nothing of why: it may have been
/// sealed to another device, for another epoch, or be noise.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BoxFault {
    /// Its ephemeral key is of small order.
    #[error("a box with a key of small order")]
    WeakKey,
    /// It does not open with our keys under its epoch.
    #[error("a box that does not open")]
    Closed,
    /// It opens, and holds another secret than its epoch's statement says.
    #[error("a box with another secret than its epoch's")]
    OtherSecret,
}

impl BoxFault {
    /// The fault of a box that did not open; `None` where that is not its maker's.
    #[must_use]
    pub const fn of(error: &BoxError) -> Option<Self> {
        match error {
            BoxError::WeakKey => Some(Self::WeakKey),
            // A later version knows the suite.
            BoxError::UnknownSuite(_) => None,
            BoxError::OtherKemKey
            | BoxError::InvalidKemKey(_)
            | BoxError::OtherDevice
            | BoxError::Encapsulation { .. }
            | BoxError::Broken => Some(Self::Closed),
        }
    }
}

impl PeerFault {
    /// A stable name, for counters and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed-frame",
            Self::Oversize { .. } => "oversize-frame",
            Self::OutOfTurn(_) => "out-of-turn",
            Self::Run(RunFault::Signature { .. }) => "bad-signature",
            Self::Run(RunFault::Boxes) => "bad-key-boxes",
            Self::Run(_) => "bad-run",
            Self::Stripped => "stripped-run",
            Self::LogKey => "bad-log-key",
            Self::OtherBranch => "other-branch",
            Self::ForkProof => "bad-fork-proof",
            Self::Stray => "bad-stray",
            Self::Introduction => "bad-introduction",
            Self::Whereabouts => "bad-whereabouts",
            Self::Attachment => "bad-attachment",
            Self::Payload => "bad-payload",
            Self::Presence => "bad-presence",
            Self::Acknowledged => "false-acknowledgement",
            Self::Join => "bad-join",
            Self::Statement(fault) => fault.name(),
            Self::Box(BoxFault::WeakKey) => "weak-box-key",
            Self::Box(BoxFault::Closed) => "bad-box",
            Self::Box(BoxFault::OtherSecret) => "false-box",
            Self::Gossip(fault) => fault.name(),
            Self::Endless => "endless",
            Self::Withheld => "withheld",
            Self::NoGreeting => "no-greeting",
            Self::Link(LinkFault::Oversize(_)) => "oversize-frame",
            Self::Link(LinkFault::Length) => "bad-frame-length",
            Self::Link(LinkFault::Trickle(_)) => "trickle",
            Self::Link(LinkFault::Babble) => "babble",
            Self::Thin(fault) => fault.name(),
        }
    }
}
