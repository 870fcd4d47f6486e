//! Circuits: how two peers reach each other of which neither can be dialled, and what of that is open to
//! whom (circuit relay v2 and DCUtR, in the libp2p specification).
//!
//! A peer that cannot be dialled listens at `RELAY/p2p-circuit`: it keeps a reservation with the relay,
//! and whoever dials that address comes by way of the relay. The relay carries sealed bytes: the two
//! shake hands with each other. When they are linked so, they try to open a direct connection, and the
//! link goes over to that.
//!
//! A relay carries circuits for devices that it knows to have a standing, and for nobody else: to others it
//! does not speak that protocol. Of one whose standing ends the connections are closed, and with them end its
//! reservation and the circuits from and to it.

use std::collections::BTreeSet;
use std::task::{Context, Poll};
use std::time::Duration;

use either::Either;
use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{PeerId, relay};

/// Most devices that keep a reservation with a relay.
const RESERVATIONS_MAX: usize = 256;
/// Most circuits at a time, in all and of one device.
const CIRCUITS_MAX: usize = 64;
const CIRCUITS_PER_DEVICE_MAX: usize = 4;
/// How long a circuit lasts, and what it carries. Links that end so are dialled again, and every transfer
/// goes on where it stopped.
const CIRCUIT_MAX: Duration = Duration::from_secs(30 * 60);
const CIRCUIT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A behaviour that is there for members alone.
pub(super) struct ForMembers<B> {
    inner: B,
    members: BTreeSet<PeerId>,
}

impl ForMembers<relay::Behaviour> {
    /// Carries circuits for members.
    pub(super) fn circuits(own: PeerId, members: BTreeSet<PeerId>) -> Self {
        let config = relay::Config {
            max_reservations: RESERVATIONS_MAX,
            max_circuits: CIRCUITS_MAX,
            max_circuits_per_peer: CIRCUITS_PER_DEVICE_MAX,
            max_circuit_duration: CIRCUIT_MAX,
            max_circuit_bytes: CIRCUIT_BYTES_MAX,
            ..relay::Config::default()
        };
        let mut inner = relay::Behaviour::new(own, config);
        inner.set_status(Some(relay::Status::Enable));
        Self { inner, members }
    }
}

impl<B> ForMembers<B> {
    /// A device is a member from its next connection on.
    pub(super) fn admit(&mut self, peer: PeerId) {
        self.members.insert(peer);
    }

    /// A device is none from its next connection on. Says whether it was one.
    pub(super) fn expel(&mut self, peer: &PeerId) -> bool {
        self.members.remove(peer)
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for ForMembers<B> {
    type ConnectionHandler = Either<THandler<B>, dummy::ConnectionHandler>;
    type ToSwarm = B::ToSwarm;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.members.contains(&peer) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        self.inner
            .handle_established_inbound_connection(connection, peer, local, remote)
            .map(Either::Left)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.members.contains(&peer) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        self.inner
            .handle_established_outbound_connection(connection, peer, address, role, port_use)
            .map(Either::Left)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            Either::Left(event) => self.inner.on_connection_handler_event(peer, connection, event),
            Either::Right(never) => match never {},
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.inner.poll(cx).map(|event| event.map_in(Either::Left))
    }
}
