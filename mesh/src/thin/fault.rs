//! What comes over a thin link and is not right.

use tearline_crdt::codec::DecodeError;

/// What came and was not right. The first kind anybody can do: it is dropped and counted. The second
/// only the other device can do: it ends the session.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ThinFault {
    /// Of no size or kind that there is.
    #[error("a link frame of no known form")]
    Form,
    /// A handshake message that the other device did not make, or not for this handshake.
    #[error("a handshake message that does not hold")]
    Handshake,
    /// A frame that came before.
    #[error("a link frame that came before")]
    Repeated,
    /// A frame that is not sealed under our keys.
    #[error("a link frame that does not open")]
    Sealed,
    /// More handshakes than are answered.
    #[error("more handshakes than are answered")]
    Busy,
    /// A frame whose content is malformed.
    #[error("sent a malformed link frame: {0}")]
    Malformed(#[from] DecodeError),
    /// Acknowledged what was not sent.
    #[error("acknowledged a link frame that was not sent")]
    Acknowledged,
    /// Sent further ahead than it may.
    #[error("sent further ahead than it may")]
    Window,
    /// Announced an empty message or one above the limit.
    #[error("announced a message of a size that is not allowed")]
    Message,
}

impl ThinFault {
    /// A stable name, for counters and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Form => "thin-form",
            Self::Handshake => "thin-handshake",
            Self::Repeated => "thin-repeated",
            Self::Sealed => "thin-sealed",
            Self::Busy => "thin-busy",
            Self::Malformed(_) => "thin-malformed",
            Self::Acknowledged => "thin-acknowledged",
            Self::Window => "thin-window",
            Self::Message => "thin-message",
        }
    }

    /// Whether only the other device, which has the keys, can do it.
    pub(super) const fn is_of_the_device(&self) -> bool {
        matches!(self, Self::Malformed(_) | Self::Acknowledged | Self::Window | Self::Message)
    }
}
