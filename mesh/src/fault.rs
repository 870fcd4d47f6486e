//! What a peer does wrong. Each is counted against the device that did it; none is an error of ours
//! and none panics.

use tearline_crdt::authority::StatementFault;
use tearline_crdt::codec::DecodeError;
use tearline_crdt::entry::run::RunFault;

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
    /// A fork proof that proves none.
    #[error("sent a fork proof that proves nothing")]
    ForkProof,
    /// An authority entry that does not travel alone, or does not hold.
    #[error("sent an authority entry alone that does not hold so")]
    Stray,
    /// An introduction to a compartment that is not what it claims, or not for us.
    #[error("introduced a compartment that is not for us")]
    Introduction,
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
    #[error("sealed a box that does not open")]
    Box,
    /// More frames of one kind than an honest peer sends.
    #[error("repeats itself without end")]
    Endless,
}

impl PeerFault {
    /// A stable name, for counters and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed-frame",
            Self::Oversize { .. } => "oversize-frame",
            Self::OutOfTurn(_) => "out-of-turn",
            Self::Run(_) => "bad-run",
            Self::Stripped => "stripped-run",
            Self::LogKey => "bad-log-key",
            Self::ForkProof => "bad-fork-proof",
            Self::Stray => "bad-stray",
            Self::Introduction => "bad-introduction",
            Self::Acknowledged => "false-acknowledgement",
            Self::Join => "bad-join",
            Self::Statement(fault) => fault.name(),
            Self::Box => "bad-box",
            Self::Endless => "endless",
        }
    }
}
