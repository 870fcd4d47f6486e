//! Connections of others that shook hands and have no link yet, bounded so that one who opens many and
//! asks for nothing shuts nobody else out.
//!
//! A link begins within a round trip or two of the handshake. Past the bound the connection that has
//! been here longest goes, of devices that are not known if there are such.

use std::collections::BTreeMap;

use libp2p::swarm::ConnectionId;

/// Most connections that wait for their link.
pub(super) const LOBBY_MAX: usize = 32;

/// The connections that wait for their link, by when they came, and whether each is of a device that is
/// known.
#[derive(Debug, Default)]
pub(super) struct Lobby(BTreeMap<ConnectionId, bool>);

impl Lobby {
    /// One more waits. Returns the one that has to go for it.
    pub(super) fn enter(&mut self, connection: ConnectionId, known: bool) -> Option<ConnectionId> {
        self.0.insert(connection, known);
        if self.0.len() <= LOBBY_MAX {
            return None;
        }
        let stranger = self.0.iter().find(|(_, known)| !**known);
        let oldest = *stranger.or_else(|| self.0.first_key_value())?.0;
        self.0.remove(&oldest);
        Some(oldest)
    }

    /// One has its link, or is gone.
    pub(super) fn leave(&mut self, connection: ConnectionId) {
        self.0.remove(&connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_bound_the_oldest_that_is_not_known_goes() {
        let connection = ConnectionId::new_unchecked;
        let mut lobby = Lobby::default();
        for n in 0..LOBBY_MAX {
            assert_eq!(lobby.enter(connection(n), n < 2), None);
        }
        assert_eq!(lobby.enter(connection(100), false), Some(connection(2)));
        lobby.leave(connection(3));
        assert_eq!(lobby.enter(connection(101), true), None);
        assert_eq!(lobby.enter(connection(102), true), Some(connection(4)));
        for n in 0..LOBBY_MAX {
            lobby.enter(connection(200 + n), true);
        }
        assert_eq!(lobby.enter(connection(300), true), Some(connection(200)));
    }
}
