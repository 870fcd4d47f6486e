//! Connections of others that are still shaking hands, counted so that one who opens many and says
//! nothing shuts nobody else out.
//!
//! Over TCP an address is proven before the handshake begins, so each may have a few; the whole is
//! bounded, too, and a handshake that takes too long is given up ([`HANDSHAKE_MAX`]). Over QUIC
//! anybody can write any address on a packet: there only the whole is bounded, apart from TCP, so
//! that floods of the one leave the other free.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::PeerId;
use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};

/// How long a handshake may take. Over a line of 2,400 bit/s the four messages of TCP and Noise with
/// their answers take about 6 s.
pub(super) const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Most connections of one address that shake hands over TCP.
const PER_ADDRESS_MAX: usize = 4;
/// Most that do in all, over each of the two.
const PENDING_MAX: usize = 256;

/// Counts the connections that are shaking hands.
#[derive(Debug, Default)]
pub(super) struct Pending {
    tcp: BTreeMap<ConnectionId, Option<IpAddr>>,
    quic: BTreeSet<ConnectionId>,
}

/// Too many connections shake hands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum TooMany {
    #[error("{} connections of this address are shaking hands", PER_ADDRESS_MAX)]
    OfAddress,
    #[error("{} connections are shaking hands", PENDING_MAX)]
    InAll,
}

impl Pending {
    fn begin(&mut self, connection: ConnectionId, from: &Multiaddr) -> Result<(), TooMany> {
        if from.iter().any(|part| matches!(part, Protocol::Udp(_))) {
            if self.quic.len() >= PENDING_MAX {
                return Err(TooMany::InAll);
            }
            self.quic.insert(connection);
            return Ok(());
        }
        let address = source(from);
        if self.tcp.values().filter(|other| **other == address).count() >= PER_ADDRESS_MAX {
            return Err(TooMany::OfAddress);
        }
        if self.tcp.len() >= PENDING_MAX {
            return Err(TooMany::InAll);
        }
        self.tcp.insert(connection, address);
        Ok(())
    }

    fn end(&mut self, connection: ConnectionId) {
        self.tcp.remove(&connection);
        self.quic.remove(&connection);
    }
}

/// Where a connection comes from; of IPv6 the network, which one host has whole.
fn source(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => {
            let network = u128::from(ip) & !u128::from(u64::MAX);
            Some(ip.to_ipv4_mapped().map_or(Ipv6Addr::from(network).into(), IpAddr::from))
        }
        _ => None,
    }
}

impl NetworkBehaviour for Pending {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = std::convert::Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.begin(connection, remote).map_err(ConnectionDenied::new)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _peer: PeerId,
        _local: &Multiaddr,
        _remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.end(connection);
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _connection: ConnectionId,
        _peer: PeerId,
        _address: &Multiaddr,
        _role: Endpoint,
        _port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ListenFailure(failure) = event {
            self.end(failure.connection_id);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _peer: PeerId,
        _connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(
        &mut self,
        _cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(n: usize) -> ConnectionId {
        ConnectionId::new_unchecked(n)
    }

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_share_and_no_more() {
        let mut pending = Pending::default();
        let one = address("/ip4/192.0.2.1/tcp/5000");
        for n in 0..PER_ADDRESS_MAX {
            assert_eq!(pending.begin(connection(n), &one), Ok(()));
        }
        let again = address("/ip4/192.0.2.1/tcp/5001");
        assert_eq!(pending.begin(connection(90), &again), Err(TooMany::OfAddress));
        assert_eq!(pending.begin(connection(91), &address("/ip4/192.0.2.2/tcp/1")), Ok(()));
        pending.end(connection(0));
        assert_eq!(pending.begin(connection(92), &again), Ok(()));
    }

    #[test]
    fn a_host_with_many_ipv6_addresses_is_one() {
        let mut pending = Pending::default();
        for n in 0..PER_ADDRESS_MAX {
            let from = address(&format!("/ip6/2001:db8::{n}/tcp/1"));
            assert_eq!(pending.begin(connection(n), &from), Ok(()));
        }
        let fifth = address("/ip6/2001:db8::ffff/tcp/1");
        assert_eq!(pending.begin(connection(90), &fifth), Err(TooMany::OfAddress));
        let other = address("/ip6/2001:db8:0:1::1/tcp/1");
        assert_eq!(pending.begin(connection(91), &other), Ok(()));
    }

    #[test]
    fn all_together_are_bounded_and_tcp_apart_from_quic() {
        let mut pending = Pending::default();
        for n in 0..PENDING_MAX {
            let tcp = address(&format!("/ip4/10.0.{}.{}/tcp/1", n / 256, n % 256));
            assert_eq!(pending.begin(connection(n), &tcp), Ok(()));
        }
        let late = address("/ip4/192.0.2.1/tcp/1");
        assert_eq!(pending.begin(connection(900), &late), Err(TooMany::InAll));
        let quic = address("/ip4/192.0.2.1/udp/1/quic-v1");
        for n in 0..PENDING_MAX {
            assert_eq!(pending.begin(connection(1_000 + n), &quic), Ok(()));
        }
        assert_eq!(pending.begin(connection(2_000), &quic), Err(TooMany::InAll));
    }
}
