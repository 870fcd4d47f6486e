//! How things stand with the devices that have a link, for people.

use tearline_crdt::id::{CoalitionId, DeviceId};
use tearline_crdt::store::Store;

use super::session::Phase;
use super::{Link, Replica};

/// How things stand with a device, for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerState {
    /// The device.
    pub device: DeviceId,
    /// The link.
    pub link: Link,
    /// Whether we dialed.
    pub dialer: bool,
    /// Whether news flow.
    pub live: bool,
    /// Whether all that is shared is known to be equal.
    pub in_sync: bool,
    /// Whether both have named a coalition's own log. A member that names none to this device knows of
    /// no right of it, or of none any more.
    pub in_coalition: bool,
    /// Whether something that they brought was refused, and is to be asked for again.
    pub refused: bool,
    /// Entries that they lack, as far as known.
    pub entries_behind: u64,
    /// Logs of which they let go of a beginning that we lack: it has to come from another.
    pub gone: u64,
    /// Bytes received in frames.
    pub bytes_in: u64,
    /// Bytes sent in frames.
    pub bytes_out: u64,
}

impl<S: Store> Replica<S> {
    /// The devices with a link, and how things stand with them.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerState> {
        self.sessions
            .iter()
            .filter(|(_, session)| session.is_heard())
            .map(|(link, session)| PeerState {
                device: session.device,
                link: *link,
                dialer: session.dialer,
                live: session.phase == Phase::Live,
                in_sync: session.is_in_sync()
                    && session.declined.is_empty()
                    && session.refused.is_empty()
                    && session.gone.is_empty(),
                gone: session.gone.len() as u64,
                in_coalition: session
                    .shared
                    .iter()
                    .any(|id| self.coalition(CoalitionId(id.0)).is_some()),
                refused: !session.refused.is_empty(),
                entries_behind: session
                    .lag
                    .iter()
                    .map(|((_, area, key), lag)| {
                        self.areas
                            .get(area)
                            .map_or(0, |a| a.frontier.head(key).next.saturating_sub(lag.acked))
                    })
                    .sum(),
                bytes_in: session.bytes_in,
                bytes_out: session.bytes_out,
            })
            .collect()
    }
}
