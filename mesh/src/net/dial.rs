//! Why nobody was reached, in our words: the transport's own are for who wrote it.

use std::fmt;

use libp2p::swarm::DialError;

use super::device_of;
use tearline_crdt::id::DeviceId;

/// Why a dial came to nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DialFailure {
    /// Nothing listens there.
    #[error("refused: nothing listens there")]
    Refused,
    /// No way leads there.
    #[error("unreachable: no way leads there")]
    Unreachable,
    /// Nobody answered in time.
    #[error("timed out")]
    TimedOut,
    /// The name in the address is not known.
    #[error("no such name")]
    Name,
    /// The connection was ended before it was of use.
    #[error("closed by the other side")]
    Closed,
    /// Another device answered.
    #[error("wrong identity: {} answers there", Answered(*.0))]
    Identity(Option<DeviceId>),
    /// This very device answered.
    #[error("wrong identity: this device itself answers there")]
    Itself,
    /// Who answered does not speak the protocol.
    #[error("it does not speak this protocol")]
    Protocol,
    /// An address of a kind that is not dialled.
    #[error("no address that can be dialled")]
    Address,
    /// There are as many connections as there may be.
    #[error("too many connections")]
    Full,
    /// A dial or link to that device is under way already.
    #[error("linked or being dialled already")]
    Already,
    /// The relay that the address leads over does not reach the device now.
    #[error("the relay does not reach it now")]
    Circuit,
    /// Who is there shakes no hand that is understood.
    #[error("no connection came about")]
    Handshake,
}

/// Who answered.
struct Answered(Option<DeviceId>);

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(device) => write!(f, "device {}", device.short()),
            None => f.write_str("another device"),
        }
    }
}

impl From<&DialError> for DialFailure {
    fn from(error: &DialError) -> Self {
        match error {
            DialError::LocalPeerId { .. } => Self::Itself,
            DialError::NoAddresses => Self::Address,
            DialError::DialPeerConditionFalse(_) => Self::Already,
            DialError::Aborted => Self::Closed,
            DialError::WrongPeerId { obtained, .. } => Self::Identity(device_of(obtained)),
            DialError::Denied { .. } => Self::Full,
            DialError::Transport(errors) => {
                errors.last().map_or(Self::Address, |(_, error)| Self::told(&said(error)))
            }
        }
    }
}

impl DialFailure {
    /// What the texts of a transport's errors mean. They have no other form in common: the system's own
    /// error lies behind several that only hand it on.
    fn told(text: &str) -> Self {
        let text = text.to_lowercase();
        let means = MEANINGS.iter().find(|(part, _)| text.contains(part));
        means.map_or(Self::Handshake, |(_, meaning)| *meaning)
    }
}

/// Parts of what systems and transports say, and what they mean.
const MEANINGS: [(&str, DialFailure); 15] = [
    ("reservation for destination", DialFailure::Circuit),
    ("connect to destination", DialFailure::Circuit),
    ("refused", DialFailure::Refused),
    ("unreachable", DialFailure::Unreachable),
    ("no route to host", DialFailure::Unreachable),
    ("host is down", DialFailure::Unreachable),
    ("cannot assign requested address", DialFailure::Unreachable),
    ("timed out", DialFailure::TimedOut),
    ("timeout", DialFailure::TimedOut),
    ("dns", DialFailure::Name),
    ("not supported", DialFailure::Address),
    ("reset", DialFailure::Closed),
    ("broken pipe", DialFailure::Closed),
    ("end of file", DialFailure::Closed),
    ("closed", DialFailure::Closed),
];

/// What an error says, and those behind it: libp2p's outermost often says nothing.
pub(super) fn said(error: &dyn std::error::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    for error in std::iter::successors(Some(error), |error| error.source()) {
        let text = error.to_string();
        if !texts.iter().any(|said| said.contains(&text)) {
            texts.push(text);
        }
    }
    texts.retain(|text| !text.is_empty());
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::core::transport::TransportError;
    use libp2p::{Multiaddr, PeerId};
    use std::io;

    #[test]
    fn what_failed_is_said_in_our_words() {
        let address = Multiaddr::empty();
        let os = |errno| io::Error::from_raw_os_error(errno);
        let behind = |error: io::Error| io::Error::other(error);
        for (error, expected) in [
            (behind(os(111)), DialFailure::Refused),
            (behind(os(101)), DialFailure::Unreachable),
            (os(113), DialFailure::Unreachable),
            (behind(behind(os(110))), DialFailure::TimedOut),
            (os(104), DialFailure::Closed),
            (io::Error::other("Handshake with the remote timed out."), DialFailure::TimedOut),
            (io::Error::other("Timeout has been reached"), DialFailure::TimedOut),
            (io::Error::other("Relay has no reservation for destination."), DialFailure::Circuit),
            (io::Error::other("something else"), DialFailure::Handshake),
        ] {
            let text = error.to_string();
            let error = DialError::Transport(vec![(address.clone(), TransportError::Other(error))]);
            assert_eq!(DialFailure::from(&error), expected, "{text}");
        }
        let other = TransportError::MultiaddrNotSupported(address.clone());
        let error = DialError::Transport(vec![(address.clone(), other)]);
        assert_eq!(DialFailure::from(&error), DialFailure::Address);
        let obtained = PeerId::random();
        let error = DialError::WrongPeerId { obtained, address };
        assert_eq!(
            DialFailure::from(&error).to_string(),
            "wrong identity: another device answers there"
        );
    }
}
