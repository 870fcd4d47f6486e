//! The one task that owns the swarm: dials, listens, and starts a task for every link.
//!
//! It never waits for the core: what the core does not take yet is queued here, bounded, and while
//! the queue is full the swarm is not polled. Commands are always taken.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use libp2p::core::transport::ListenerId;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, connection_limits, memory_connection_limits};
use libp2p::{dcutr, identify, identity, mdns, noise, tcp, yamux};
use tearline_crdt::id::DeviceId;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::behaviour::{Behaviour, BehaviourEvent, Frames, Opened, PROTOCOL};
use super::circuits::ForMembers;
use super::dial::{DialFailure, said};
use super::lobby::{LOBBY_MAX, Lobby};
use super::pending::{HANDSHAKE_MAX, Pending};
use super::thin::{Happened, MakeMachine, Meter, Thin, ThinAddress};
use super::{
    CONNECTIONS_PENDING_MAX, CONNECTIONS_PER_DEVICE_MAX, DownReason, Link, MEMORY_SHARE_MAX,
    NetCommand, NetConfig, NetError, NetEvent, device_of, link, peer_id,
};
use crate::urgency::Urgency;

/// A link that is up.
struct Up {
    device: DeviceId,
    connection: ConnectionId,
    dialer: bool,
    /// Whether no relay carries it.
    direct: bool,
    since: Instant,
    /// Whether it is with a device that we chose or that has a standing.
    vouched: bool,
    frames: mpsc::Sender<(Urgency, Vec<u8>)>,
    /// Why it is being closed from here.
    closing: Option<DownReason>,
}

pub(super) struct Driver {
    swarm: Swarm<Behaviour>,
    config: NetConfig,
    events: mpsc::Sender<NetEvent>,
    waiting: VecDeque<NetEvent>,
    links: BTreeMap<Link, Up>,
    carried: JoinSet<(Link, DownReason)>,
    dialing: BTreeMap<ConnectionId, (Option<DeviceId>, Multiaddr)>,
    lobby: Lobby,
    /// Where to listen by way of a relay, and the reservation, while there is one.
    reserved: BTreeMap<Multiaddr, Reserved>,
    /// Links that begin when the core has taken the events that wait.
    held: Vec<tokio::sync::oneshot::Sender<()>>,
    next_link: u64,
    thin: BTreeMap<DeviceId, ThinUp>,
    next_thin: u64,
    thin_events: mpsc::Receiver<(u64, DeviceId, Happened)>,
    to_thin_events: mpsc::Sender<(u64, DeviceId, Happened)>,
    thin_tasks: JoinSet<()>,
}

/// A thin link that is kept up.
struct ThinUp {
    /// Numbers its task: what an earlier one still says is not heard.
    number: u64,
    thin: Thin,
    address: String,
    /// How many sessions began.
    sessions: u64,
    /// The link that the session is.
    link: Option<Link>,
}

/// A listener by way of a relay.
#[derive(Default)]
struct Reserved {
    listener: Option<ListenerId>,
    /// Why there was none when that was said last.
    failed: Option<String>,
}

/// Devices of one answer that are looked at.
const FOUND_MAX: usize = 64;
/// How often what others see of us is asked again.
const SEEN_EVERY: Duration = Duration::from_secs(3_600);
/// Events that wait here before the swarm is no longer polled.
const WAITING_MAX: usize = 256;
/// Events of thin links that wait beside these.
const THIN_EVENTS_MAX: usize = 16;
/// Two devices that dial each other at once do so within this time.
const CROSSING: Duration = Duration::from_secs(2);
/// Connections above the limit that may be up until it is known whose place they take, and while others
/// are being closed.
const CONNECTIONS_SPARE: u32 = 2 * LOBBY_MAX as u32;
/// Most devices that are known, 32 bytes each.
const KNOWN_MAX: usize = 65_536;
/// How long a connection may be without our substream.
const IDLE: Duration = Duration::from_secs(10);
/// How long shutdown waits for frames on their way.
const SHUTDOWN_MAX: Duration = Duration::from_secs(2);
/// How long closing the connections may take.
const CLOSE_MAX: Duration = Duration::from_millis(500);
/// Windows of a QUIC connection and of a stream; per connection this much may be buffered.
const QUIC_CONNECTION_BYTES: u32 = 8 * 1024 * 1024;
const QUIC_STREAM_BYTES: u32 = 4 * 1024 * 1024;
/// Substreams of one connection: ours, what each side sees of the other, a reservation, and circuits over a
/// relay; and room for as many that are being negotiated.
const STREAMS_MAX: u32 = 16;

impl Driver {
    pub(super) fn new(
        keypair: identity::Keypair,
        config: NetConfig,
        events: mpsc::Sender<NetEvent>,
    ) -> Result<Self, NetError> {
        let (to_thin_events, thin_events) = mpsc::channel(THIN_EVENTS_MAX);
        let mut driver = Self {
            swarm: swarm(keypair, &config)?,
            config,
            events,
            waiting: VecDeque::new(),
            links: BTreeMap::new(),
            carried: JoinSet::new(),
            dialing: BTreeMap::new(),
            lobby: Lobby::default(),
            reserved: BTreeMap::new(),
            held: Vec::new(),
            next_link: 0,
            thin: BTreeMap::new(),
            next_thin: 0,
            thin_events,
            to_thin_events,
            thin_tasks: JoinSet::new(),
        };
        for address in driver.config.announce.clone() {
            driver.swarm.add_external_address(address);
        }
        for address in driver.config.listen.clone() {
            if is_circuit(&address) {
                driver.reserved.insert(address, Reserved::default());
                continue;
            }
            if let Err(error) = driver.swarm.listen_on(address.clone()) {
                let reason = said(&error);
                driver.waiting.push_back(NetEvent::ListenFailed { address, reason });
            }
        }
        driver.reserve();
        Ok(driver)
    }

    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<NetCommand>) {
        let events = self.events.clone();
        let mut rounds =
            tokio::time::interval((self.config.stranger_max / 8).max(Duration::from_millis(1)));
        loop {
            let full = self.waiting.len() >= WAITING_MAX;
            tokio::select! {
                command = commands.recv() => match command {
                    Some(NetCommand::Shutdown) | None => break,
                    Some(command) => self.on_command(command),
                },
                permit = events.reserve(), if !self.waiting.is_empty() => match permit {
                    Ok(permit) => {
                        if let Some(event) = self.waiting.pop_front() {
                            permit.send(event);
                        }
                        self.start_held();
                    }
                    Err(_) => break,
                },
                Some(ended) = self.carried.join_next() => {
                    if let Ok((link, reason)) = ended {
                        self.on_ended(link, reason);
                    }
                }
                Some((number, device, event)) = self.thin_events.recv(), if !full => {
                    self.on_thin(number, device, event);
                }
                Some(_) = self.thin_tasks.join_next() => {}
                _ = rounds.tick() => {
                    self.close_old_strangers();
                    self.reserve();
                }
                event = self.swarm.select_next_some(), if !full => self.on_swarm(event),
            }
        }
        self.shut_down().await;
    }

    /// Lets every link hand over its last frame, then closes them all, so that the other side does not wait
    /// for who is gone.
    async fn shut_down(mut self) {
        self.links.clear();
        self.thin.clear();
        let all = async { while self.carried.join_next().await.is_some() {} };
        let swarm = async {
            loop {
                self.swarm.select_next_some().await;
            }
        };
        tokio::select! {
            _ = tokio::time::timeout(SHUTDOWN_MAX, all) => {}
            () = swarm => {}
        }
        let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let closed = async {
            while self.swarm.connected_peers().next().is_some() {
                self.swarm.select_next_some().await;
            }
        };
        let _ = tokio::time::timeout(CLOSE_MAX, closed).await;
    }

    fn on_command(&mut self, command: NetCommand) {
        match command {
            NetCommand::Dial { address, expect } => self.dial(address, expect),
            NetCommand::Send { link, urgency, bytes } => {
                let thin = self.thin.values().find(|up| up.link == Some(link));
                if let Some(up) = thin {
                    up.thin.send(up.sessions, urgency, bytes);
                } else if let Some(up) = self.links.get(&link) {
                    // The core sends one frame at a time and lane, and the channel has room for all.
                    if up.frames.try_send((urgency, bytes)).is_err() {
                        tracing::warn!(?link, "a frame was sent before there was room for it");
                    }
                }
            }
            NetCommand::Vouch { link } => {
                if let Some(up) = self.links.get_mut(&link) {
                    up.vouched = true;
                    let circuits = self.swarm.behaviour_mut().circuits.as_mut();
                    if let (Some(circuits), Some(peer)) = (circuits, peer_id(&up.device).get()) {
                        circuits.admit(peer);
                    }
                    if self.config.known.len() < KNOWN_MAX {
                        self.config.known.insert(up.device);
                    }
                }
            }
            NetCommand::Unvouch { device } => self.unvouch(&device),
            NetCommand::Thin { address, make, meter } => self.start_thin(address, make, meter),
            NetCommand::NoThin { device } => {
                if let Some(up) = self.thin.remove(&device) {
                    self.thin_down(device, up.link, DownReason::Replaced);
                }
            }
            NetCommand::Close { link } => {
                let thin = self.thin.iter_mut().find(|(_, up)| up.link == Some(link));
                let Some((device, up)) = thin else { return self.close(link, DownReason::Local) };
                up.thin.close();
                let (device, link) = (*device, up.link.take());
                self.thin_down(device, link, DownReason::Local);
            }
            NetCommand::Shutdown => {}
        }
    }

    /// A device is a stranger from now on; what circuits it has end with its connections.
    fn unvouch(&mut self, device: &DeviceId) {
        self.config.known.remove(device);
        let links = self.links.iter_mut().filter(|(_, up)| up.device == *device);
        let links: Vec<Link> = links
            .map(|(link, up)| {
                up.vouched = up.dialer;
                *link
            })
            .collect();
        let Some(peer) = peer_id(device).get() else { return };
        let circuits = self.swarm.behaviour_mut().circuits.as_mut();
        if circuits.is_some_and(|circuits| circuits.expel(&peer)) {
            links.into_iter().for_each(|link| self.close(link, DownReason::Local));
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    fn start_thin(&mut self, address: ThinAddress, make: MakeMachine, meter: Arc<Meter>) {
        let device = address.device;
        self.next_thin += 1;
        let (number, text) = (self.next_thin, address.to_string());
        let (thin, mut events, task) = Thin::start(address, make, meter);
        let all = self.to_thin_events.clone();
        self.thin_tasks.spawn(async move {
            let forward = async {
                while let Some(event) = events.recv().await {
                    if all.send((number, device, event)).await.is_err() {
                        return;
                    }
                }
            };
            tokio::join!(task, forward);
        });
        let up = ThinUp { number, thin, address: text, sessions: 0, link: None };
        let link = self.thin.insert(device, up).and_then(|old| old.link);
        self.thin_down(device, link, DownReason::Replaced);
    }

    fn on_thin(&mut self, number: u64, device: DeviceId, event: Happened) {
        let Some(up) = self.thin.get_mut(&device).filter(|up| up.number == number) else { return };
        let event = match event {
            Happened::Up { dialer } => {
                up.sessions += 1;
                self.next_link += 1;
                let link = Link(self.next_link);
                let old = up.link.replace(link);
                let address = up.address.clone();
                self.thin_down(device, old, DownReason::Anew);
                NetEvent::LinkUp { link, device, dialer, thin: true, address }
            }
            Happened::Down { fault } => {
                let link = up.link.take();
                let reason = fault.map_or(DownReason::Anew, DownReason::Thin);
                return self.thin_down(device, link, reason);
            }
            Happened::Frame { bytes } => {
                let Some(link) = up.link else { return };
                NetEvent::Frame { link, bytes }
            }
            Happened::Room { urgency } => {
                let Some(link) = up.link else { return };
                NetEvent::Sent { link, urgency }
            }
            Happened::Open => NetEvent::ThinOpen { device },
            Happened::Failed { reason, again } => NetEvent::ThinFailed { device, reason, again },
        };
        self.waiting.push_back(event);
    }

    fn thin_down(&mut self, device: DeviceId, link: Option<Link>, reason: DownReason) {
        if let Some(link) = link {
            self.waiting.push_back(NetEvent::LinkDown { link, device, reason });
        }
    }

    /// Over QUIC one socket serves all. Over TCP every dial has a port of its own: a socket that
    /// dials from the port listened on must have it at every address of the machine, which fails
    /// where any other program has it at one.
    fn dial(&mut self, address: Multiaddr, expect: Option<DeviceId>) {
        let own_port = address.iter().any(|part| matches!(part, Protocol::Tcp(_)));
        let options = match expect.and_then(|device| peer_id(&device).get()) {
            Some(peer) => {
                let options = DialOpts::peer_id(peer)
                    .addresses(vec![address.clone()])
                    .condition(PeerCondition::DisconnectedAndNotDialing);
                if own_port { options.allocate_new_port().build() } else { options.build() }
            }
            None => {
                let options = DialOpts::unknown_peer_id().address(address.clone());
                if own_port { options.allocate_new_port().build() } else { options.build() }
            }
        };
        let connection = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => {
                self.dialing.insert(connection, (expect, address));
            }
            Err(error) => {
                self.waiting.push_back(NetEvent::DialFailed {
                    device: expect,
                    address: address.to_string(),
                    reason: undialled(&error),
                });
            }
        }
    }

    fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::NewListenAddr { address, .. } => {
                if self.config.carries_circuits && !is_circuit(&address) {
                    self.swarm.add_external_address(address.clone());
                }
                self.waiting.push_back(NetEvent::Listening(address));
            }
            SwarmEvent::ListenerClosed { listener_id, addresses, reason } => {
                self.lost_reservation(listener_id, reason.as_ref().err());
                let Err(error) = reason else { return };
                for address in addresses.into_iter().filter(|address| !is_circuit(address)) {
                    let reason = said(&error);
                    self.waiting.push_back(NetEvent::ListenFailed { address, reason });
                }
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                if let Some((device, address)) = self.dialing.remove(&connection_id) {
                    let (address, reason) = (address.to_string(), undialled(&error));
                    self.waiting.push_back(NetEvent::DialFailed { device, address, reason });
                }
            }
            SwarmEvent::ConnectionEstablished { connection_id, peer_id, endpoint, .. }
                if endpoint.is_listener() =>
            {
                let known = device_of(&peer_id).is_some_and(|d| self.config.known.contains(&d));
                if let Some(oldest) = self.lobby.enter(connection_id, known) {
                    self.swarm.close_connection(oldest);
                }
            }
            SwarmEvent::ConnectionClosed { connection_id, .. } => {
                self.lobby.leave(connection_id);
                if let Some((device, address)) = self.dialing.remove(&connection_id) {
                    let reason = DialFailure::Closed;
                    let address = address.to_string();
                    self.waiting.push_back(NetEvent::DialFailed { device, address, reason });
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Frames(opened)) => self.on_opened(opened),
            SwarmEvent::Behaviour(BehaviourEvent::Around(mdns::Event::Discovered(found))) => {
                let found = found.into_iter().take(FOUND_MAX);
                let found = found.filter_map(|(peer, address)| Some((device_of(&peer)?, address)));
                for (device, address) in found {
                    self.waiting.push_back(NetEvent::Found { device, address });
                }
            }
            _ => {}
        }
    }

    /// Asks relays for the reservations that are lacking.
    fn reserve(&mut self) {
        let lacking: Vec<Multiaddr> = self
            .reserved
            .iter()
            .filter(|(_, reserved)| reserved.listener.is_none())
            .map(|(address, _)| address.clone())
            .collect();
        for address in lacking {
            let listener = self.swarm.listen_on(address.clone());
            match (listener, self.reserved.get_mut(&address)) {
                (Ok(listener), Some(reserved)) => reserved.listener = Some(listener),
                (Err(error), _) => self.not_reserved(&address, said(&error)),
                (Ok(_), None) => {}
            }
        }
    }

    fn lost_reservation(&mut self, listener: ListenerId, error: Option<&std::io::Error>) {
        let lost = self.reserved.iter_mut().find(|(_, r)| r.listener == Some(listener));
        let Some((address, reserved)) = lost else { return };
        reserved.listener = None;
        let address = address.clone();
        let reason = error.map_or_else(|| "the relay closed it".into(), |error| said(error));
        self.not_reserved(&address, reason);
    }

    /// Says why there is no reservation, unless that was the last that was said of it.
    fn not_reserved(&mut self, address: &Multiaddr, reason: String) {
        let Some(reserved) = self.reserved.get_mut(address) else { return };
        if reserved.failed.as_ref() != Some(&reason) {
            reserved.failed = Some(reason.clone());
            self.waiting.push_back(NetEvent::ListenFailed { address: address.clone(), reason });
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the driver is where clocks are read")]
    fn on_opened(&mut self, opened: Opened) {
        let Opened { peer, connection, dialer, address, stream } = opened;
        let dialed = self.dialing.remove(&connection);
        self.lobby.leave(connection);
        let (Some(device), Some(stream)) = (device_of(&peer), stream) else {
            self.swarm.close_connection(connection);
            if let Some((device, address)) = dialed {
                let reason = DialFailure::Protocol;
                let address = address.to_string();
                self.waiting.push_back(NetEvent::DialFailed { device, address, reason });
            }
            return;
        };
        let direct = is_direct(&address);
        if let Some(loser) = self.rival(&device, dialer, direct) {
            match loser {
                Some(link) => self.close(link, DownReason::Replaced),
                None => {
                    self.swarm.close_connection(connection);
                    return;
                }
            }
        }
        if !dialer && !self.make_room() {
            self.swarm.close_connection(connection);
            return;
        }
        self.next_link += 1;
        let link = Link(self.next_link);
        let (frames, queue) = mpsc::channel(Urgency::ALL.len());
        let max = self.config.frame_bytes_max;
        let events = self.events.clone();
        let (start, started) = tokio::sync::oneshot::channel::<()>();
        self.carried.spawn(async move {
            // Frames must not overtake the news of their link.
            if started.await.is_err() {
                return (link, DownReason::Local);
            }
            (link, link::carry(link, stream, queue, events, max).await)
        });
        self.links.insert(
            link,
            Up {
                device,
                connection,
                dialer,
                direct,
                since: Instant::now(),
                vouched: dialer,
                frames,
                closing: None,
            },
        );
        let (thin, address) = (false, address.to_string());
        self.waiting.push_back(NetEvent::LinkUp { link, device, dialer, thin, address });
        self.release(start);
    }

    /// Lets a link's task begin once the news of the link is with the core.
    fn release(&mut self, start: tokio::sync::oneshot::Sender<()>) {
        let events = self.events.clone();
        while let Some(event) = self.waiting.pop_front() {
            if let Err(mpsc::error::TrySendError::Full(event)) = events.try_send(event) {
                self.waiting.push_front(event);
                break;
            }
        }
        self.held.push(start);
        self.start_held();
    }

    /// Lets the links begin whose news are with the core.
    fn start_held(&mut self) {
        if self.waiting.is_empty() {
            for start in self.held.drain(..) {
                let _ = start.send(());
            }
        }
    }

    /// Which of two links to one device must go: `Some(Some(old))`, `Some(None)` for the new one.
    /// A direct one wins over one that a relay carries. Else the newer wins, because the older may be dead;
    /// but of two that crossed, both sides keep the one that the smaller device dialed.
    fn rival(&self, device: &DeviceId, dialer: bool, direct: bool) -> Option<Option<Link>> {
        let (link, old) =
            self.links.iter().find(|(_, up)| up.device == *device && up.closing.is_none())?;
        if direct && !old.direct {
            return Some(Some(*link));
        }
        let crossed = old.dialer != dialer && old.since.elapsed() < CROSSING;
        let own = device_of(self.swarm.local_peer_id())?;
        let smaller_dialed = if own < *device { dialer } else { !dialer };
        if crossed && !smaller_dialed { Some(None) } else { Some(Some(*link)) }
    }

    /// Makes room for one more link that another dialed, if need be by closing the stranger's that
    /// has been up longest. False if all are known or vouched for.
    fn make_room(&mut self) -> bool {
        let open = || self.links.iter().filter(|(_, up)| !up.dialer && up.closing.is_none());
        if open().count() < self.config.connections_max as usize {
            return true;
        }
        // Links are numbered as they come up.
        let known = &self.config.known;
        let stranger = |up: &Up| !up.vouched && !known.contains(&up.device);
        let oldest = open().find(|(_, up)| stranger(up)).map(|(link, _)| *link);
        if let Some(link) = oldest {
            self.close(link, DownReason::Stranger);
        }
        oldest.is_some()
    }

    fn close_old_strangers(&mut self) {
        let max = self.config.stranger_max;
        let old = |up: &Up| !up.vouched && up.closing.is_none() && up.since.elapsed() >= max;
        let links: Vec<Link> =
            self.links.iter().filter(|(_, up)| old(up)).map(|(link, _)| *link).collect();
        for link in links {
            self.close(link, DownReason::Stranger);
        }
    }

    fn close(&mut self, link: Link, reason: DownReason) {
        if let Some(up) = self.links.get_mut(&link) {
            up.closing = Some(reason);
            let connection = up.connection;
            self.swarm.close_connection(connection);
        }
    }

    fn on_ended(&mut self, link: Link, reason: DownReason) {
        let Some(up) = self.links.remove(&link) else { return };
        self.swarm.close_connection(up.connection);
        let reason = up.closing.unwrap_or(reason);
        self.waiting.push_back(NetEvent::LinkDown { link, device: up.device, reason });
    }
}

/// Why a dial failed; the transport's own words are for the log.
fn undialled(error: &DialError) -> DialFailure {
    tracing::debug!(error = %said(error), "not dialled");
    error.into()
}

/// Whether an address is of a machine: behind a circuit there is a device alone.
fn is_direct(address: &Multiaddr) -> bool {
    let of_machine = |part| matches!(part, Protocol::Tcp(_) | Protocol::Udp(_));
    !is_circuit(address) && address.iter().any(of_machine)
}

/// Whether an address leads over a relay.
fn is_circuit(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

fn swarm(keypair: identity::Keypair, config: &NetConfig) -> Result<Swarm<Behaviour>, NetError> {
    let failed = |error: &dyn std::fmt::Display| NetError::Transport(error.to_string());
    let own = keypair.public().to_peer_id();
    let members = config.known.iter().filter_map(|device| peer_id(device).get()).collect();
    let around = config
        .looks_around
        .then(|| mdns::tokio::Behaviour::new(mdns::Config::default(), own))
        .transpose()
        .map_err(|error| failed(&error))?;
    let limits = connection_limits::ConnectionLimits::default()
        .with_max_pending_outgoing(Some(CONNECTIONS_PENDING_MAX))
        .with_max_established_incoming(Some(config.connections_max + CONNECTIONS_SPARE))
        .with_max_established_outgoing(Some(config.connections_max))
        .with_max_established_per_peer(Some(CONNECTIONS_PER_DEVICE_MAX));
    let swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, || {
            let mut yamux = yamux::Config::default();
            yamux.set_max_num_streams(STREAMS_MAX as usize);
            yamux
        })
        .map_err(|error| failed(&error))?
        .with_quic_config(|mut quic| {
            quic.max_connection_data = QUIC_CONNECTION_BYTES;
            quic.max_stream_data = QUIC_STREAM_BYTES;
            quic.max_concurrent_stream_limit = STREAMS_MAX;
            quic
        })
        .with_relay_client(noise::Config::new, || {
            let mut yamux = yamux::Config::default();
            yamux.set_max_num_streams(STREAMS_MAX as usize);
            yamux
        })
        .map_err(|error| failed(&error))?
        .with_behaviour(|keypair, by_circuit| Behaviour {
            pending: Pending::default(),
            limits: connection_limits::Behaviour::new(limits),
            memory: memory_connection_limits::Behaviour::with_max_percentage(MEMORY_SHARE_MAX),
            frames: Frames::default(),
            seen: identify::Behaviour::new(
                identify::Config::new(PROTOCOL.to_string(), keypair.public())
                    .with_agent_version("tearline".into())
                    .with_hide_listen_addrs(true)
                    .with_interval(SEEN_EVERY),
            ),
            by_circuit,
            circuits: config.carries_circuits.then(|| ForMembers::circuits(own, members)).into(),
            directly: dcutr::Behaviour::new(own),
            around: around.into(),
        })
        .map_err(|error| failed(&error))?
        .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(IDLE))
        .with_connection_timeout(HANDSHAKE_MAX)
        .build();
    Ok(swarm)
}
