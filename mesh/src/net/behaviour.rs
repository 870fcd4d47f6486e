//! One substream a connection: the dialer asks for it, the listener takes the first that comes.
//! Both hand it to the driver and have nothing more to do.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
    NetworkBehaviour, Stream, StreamProtocol, SubstreamProtocol, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{PeerId, connection_limits, dcutr, identify, mdns, memory_connection_limits, relay};

use super::circuits::ForMembers;
use super::pending::Pending;

/// The protocol's name; another version is another name.
pub(super) const PROTOCOL: StreamProtocol = StreamProtocol::new("/tearline/1");

/// All behaviours of the swarm.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) pending: Pending,
    pub(super) limits: connection_limits::Behaviour,
    pub(super) memory: memory_connection_limits::Behaviour,
    pub(super) frames: Frames,
    /// Tells others at which address they are seen: what DCUtR needs.
    pub(super) seen: identify::Behaviour,
    pub(super) by_circuit: relay::client::Behaviour,
    pub(super) circuits: Toggle<ForMembers<relay::Behaviour>>,
    pub(super) directly: dcutr::Behaviour,
    pub(super) around: Toggle<mdns::tokio::Behaviour>,
}

/// Hands out one substream for each connection.
#[derive(Debug, Default)]
pub(super) struct Frames {
    opened: VecDeque<Opened>,
}

/// A connection's substream is open, or cannot be.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) peer: PeerId,
    pub(super) connection: ConnectionId,
    pub(super) dialer: bool,
    pub(super) address: Multiaddr,
    /// `None`: the other side does not speak the protocol.
    pub(super) stream: Option<Stream>,
}

impl NetworkBehaviour for Frames {
    type ConnectionHandler = Handler;
    type ToSwarm = Opened;

    fn handle_established_inbound_connection(
        &mut self,
        _connection: ConnectionId,
        _peer: PeerId,
        _local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(false, remote.clone()))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _connection: ConnectionId,
        _peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        // Where both dial at once to meet half-way, one of them is the listener. Over TCP that makes one
        // connection, over QUIC two: in each of those who dials is the client, and the other end listens.
        let is_quic = address.iter().any(|part| matches!(part, Protocol::QuicV1));
        let dials = role.is_dialer() || is_quic && port_use == PortUse::Reuse;
        Ok(Handler::new(dials, address.clone()))
    }

    fn on_swarm_event(&mut self, _event: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        let HandlerOut { dialer, address, stream } = event;
        self.opened.push_back(Opened { peer, connection, dialer, address, stream });
    }

    fn poll(
        &mut self,
        _cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        match self.opened.pop_front() {
            Some(opened) => Poll::Ready(ToSwarm::GenerateEvent(opened)),
            None => Poll::Pending,
        }
    }
}

/// One connection's part.
#[derive(Debug)]
pub(super) struct Handler {
    dialer: bool,
    address: Multiaddr,
    asked: bool,
    taken: bool,
    out: Option<Option<Stream>>,
}

/// What a handler tells.
#[derive(Debug)]
pub(super) struct HandlerOut {
    dialer: bool,
    address: Multiaddr,
    stream: Option<Stream>,
}

impl Handler {
    const fn new(dialer: bool, address: Multiaddr) -> Self {
        Self { dialer, address, asked: false, taken: false, out: None }
    }

    fn take(&mut self, stream: Option<Stream>) {
        if !self.taken {
            self.taken = true;
            self.out = Some(stream);
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = std::convert::Infallible;
    type ToBehaviour = HandlerOut;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ())
    }

    fn connection_keep_alive(&self) -> bool {
        // The driver closes connections; a listener waits for the dialer's substream, bounded by
        // the swarm's idle timeout until it comes.
        self.dialer || self.taken
    }

    fn poll(
        &mut self,
        _cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Self::ToBehaviour>> {
        if self.dialer && !self.asked {
            self.asked = true;
            let protocol = SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ());
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        match self.out.take() {
            Some(stream) => Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(HandlerOut {
                dialer: self.dialer,
                address: self.address.clone(),
                stream,
            })),
            None => Poll::Pending,
        }
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        match event {}
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol, ..
            }) if !self.dialer => self.take(Some(protocol)),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol, ..
            }) => self.take(Some(protocol)),
            ConnectionEvent::DialUpgradeError(_) => self.take(None),
            _ => {}
        }
    }
}
