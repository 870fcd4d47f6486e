//! The transport: QUIC (TLS 1.3), and TCP with Noise where QUIC does not get through, over libp2p.
//!
//! It moves whole frames between devices and says who is at the other end; it knows nothing of what
//! they mean. A device's Ed25519 key is its libp2p identity, so the transport's handshake proves
//! it. Each connection carries one substream of the protocol `/tearline/1`, opened by the dialer
//! (`behaviour`); frames on it are bounded and never interleaved (`link`). One task owns the
//! swarm (`driver`); every queue between it, the links and the core is bounded.
//!
//! Anybody can make keys and connect. So what others dial is counted apart from what we dial, a
//! stranger's link lasts only so long as the core may need to find out who that is, and when all
//! places are taken the stranger who has been there longest makes room; a device that was known before
//! is none. Before that, whoever opens connections and shakes no hand has a few for each address, and
//! not for long (`pending`); of those who shake hands and then ask for no link the newest few stay
//! (`lobby`).
//!
//! Who cannot be dialled is reached by circuits over a relay (`circuits`); on request, who is on the same
//! local network is found by multicast DNS.
//!
//! Thin links are apart from libp2p, each with a machine and a task of its own ([`thin`]).

mod behaviour;
mod circuits;
mod dial;
mod driver;
mod link;
mod lobby;
mod pending;
pub mod thin;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use libp2p::identity::{self, PeerId};
pub use libp2p::multiaddr::{Multiaddr, Protocol};
use tearline_crdt::id::DeviceId;
use tokio::sync::mpsc;

pub use self::dial::DialFailure;
use crate::fault::{LinkFault, PeerFault};
use crate::thin::ThinFault;
use crate::urgency::Urgency;
use thin::{MakeMachine, Meter, ThinAddress};

/// One connection, numbered by the driver and never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Link(pub u64);

/// How the transport is set up.
#[derive(Clone, Debug)]
pub struct NetConfig {
    /// Where to listen. Port 0 lets the system choose.
    pub listen: Vec<Multiaddr>,
    /// Largest frame, in bytes.
    pub frame_bytes_max: usize,
    /// Most connections at a time that others dialed; and most that we dialed.
    pub connections_max: u32,
    /// How long a link that another dialed is kept before it is vouched for
    /// ([`NetCommand::Vouch`]).
    pub stranger_max: Duration,
    /// Devices that make room for no stranger, also before they are vouched for. Those for which that
    /// was done are remembered.
    pub known: BTreeSet<DeviceId>,
    /// Whether circuits are carried for those that are known: what a relay does.
    pub carries_circuits: bool,
    /// Where others reach this device beside where it listens: what circuits name.
    pub announce: Vec<Multiaddr>,
    /// Whether devices are looked for on the local network, and answered.
    pub looks_around: bool,
}

/// Most connections of one device: the old one, and the one that replaces it.
const CONNECTIONS_PER_DEVICE_MAX: u32 = 2;
/// Most connections that we dialed and that are still shaking hands.
const CONNECTIONS_PENDING_MAX: u32 = 32;
/// A device that has a standing shows it within seconds, on a slow link within a minute.
const STRANGER_MAX: Duration = Duration::from_secs(60);
/// Above this share of the machine's memory new connections are refused.
const MEMORY_SHARE_MAX: f64 = 0.7;
/// Events that wait for the core; then reading stops.
const EVENTS_MAX: usize = 64;
/// Commands that wait for the driver.
const COMMANDS_MAX: usize = 256;

impl Default for NetConfig {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            frame_bytes_max: 1024 * 1024,
            connections_max: 96,
            stranger_max: STRANGER_MAX,
            known: BTreeSet::new(),
            carries_circuits: false,
            announce: Vec::new(),
            looks_around: false,
        }
    }
}

/// What happened.
#[derive(Debug)]
pub enum NetEvent {
    /// We can be reached here.
    Listening(Multiaddr),
    /// We cannot listen there.
    ListenFailed {
        /// Where.
        address: Multiaddr,
        /// What the system says.
        reason: String,
    },
    /// A device on the local network says that it can be reached here. Nothing is proven by that.
    Found {
        /// The device.
        device: DeviceId,
        /// Where.
        address: Multiaddr,
    },
    /// A link is up.
    LinkUp {
        /// The link.
        link: Link,
        /// The device at its other end, proven by the handshake.
        device: DeviceId,
        /// Whether we dialed.
        dialer: bool,
        /// Whether it is a thin link.
        thin: bool,
        /// Where it is.
        address: String,
    },
    /// A link is down; nothing more comes of it.
    LinkDown {
        /// The link.
        link: Link,
        /// The device.
        device: DeviceId,
        /// Why.
        reason: DownReason,
    },
    /// One whole frame.
    Frame {
        /// Over which link.
        link: Link,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// A frame is under way and not whole yet. Said at intervals, and not while the core is busy.
    Coming {
        /// Over which link.
        link: Link,
    },
    /// The frame last given to `Send` in this lane was handed to the transport: there is room for the
    /// next.
    Sent {
        /// The link.
        link: Link,
        /// The lane.
        urgency: Urgency,
    },
    /// Nobody, or somebody else, answered.
    DialFailed {
        /// Who was expected.
        device: Option<DeviceId>,
        /// Where.
        address: String,
        /// Why not.
        reason: DialFailure,
    },
    /// What carries a thin link is open: the other side is called, or the session goes on.
    ThinOpen {
        /// The device at the other end.
        device: DeviceId,
    },
    /// What carries a thin link does not open, or failed. A session waits for it.
    ThinFailed {
        /// The device at the other end.
        device: DeviceId,
        /// Why.
        reason: String,
        /// When it is tried again; `None` if it never is.
        again: Option<Duration>,
    },
}

/// Why a link went down.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DownReason {
    /// The other side closed it, or went away.
    #[error("closed by the other side")]
    Remote,
    /// We closed it.
    #[error("closed here")]
    Local,
    /// A newer link to the same device took its place.
    #[error("replaced by another link")]
    Replaced,
    /// The other side did what no honest one does.
    #[error("the other side {0}")]
    Broke(LinkFault),
    /// Nothing came for too long, or a frame stopped half-way.
    #[error("nothing came for {0} seconds")]
    Silent(u64),
    /// The other side took nothing for too long.
    #[error("the other side took nothing for {0} seconds")]
    Stalled(u64),
    /// Nobody vouched for the other side in time, or others need the place more.
    #[error("a stranger whose time was up")]
    Stranger,
    /// The other side of a thin link lost the session; a new one begins.
    #[error("the other side began anew")]
    Anew,
    /// The other side of a thin link did what no honest one does.
    #[error("the other side misbehaved on the thin link: {0}")]
    Thin(ThinFault),
}

impl DownReason {
    /// What the other side did wrong, if that is why.
    #[must_use]
    pub const fn fault(&self) -> Option<PeerFault> {
        match self {
            Self::Broke(fault) => Some(PeerFault::Link(*fault)),
            Self::Thin(fault) => Some(PeerFault::Thin(*fault)),
            _ => None,
        }
    }
}

/// What the driver is told to do.
#[derive(Debug)]
pub enum NetCommand {
    /// Connect.
    Dial {
        /// Where.
        address: Multiaddr,
        /// Who must answer.
        expect: Option<DeviceId>,
    },
    /// Keep up a thin link, instead of the one to that device that there is.
    Thin {
        /// Where, and to which device.
        address: ThinAddress,
        /// Makes its machine.
        make: MakeMachine,
        /// Counts what passes over its line.
        meter: Arc<Meter>,
    },
    /// End the thin link to a device.
    NoThin {
        /// The device.
        device: DeviceId,
    },
    /// Send a frame. One at a time, link and urgency: the next after [`NetEvent::Sent`].
    Send {
        /// Over which link.
        link: Link,
        /// In which lane.
        urgency: Urgency,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// The device at the other end has a standing here: its link may stay.
    Vouch {
        /// Which link.
        link: Link,
    },
    /// A device has no standing here any more: it is a stranger from now on. Where circuits are carried, its
    /// connections are closed, so that it keeps none.
    Unvouch {
        /// The device.
        device: DeviceId,
    },
    /// Close a link.
    Close {
        /// Which.
        link: Link,
    },
    /// Hand over what was given to `Send`, close everything and end.
    Shutdown,
}

/// Why the transport does not start.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The device's key is not usable.
    #[error("the device's key is not an Ed25519 seed: {0}")]
    Key(String),
    /// A transport cannot be built.
    #[error("cannot set up the transport: {0}")]
    Transport(String),
}

/// The way to the driver. Dropping it ends the driver.
#[derive(Clone, Debug)]
pub struct NetHandle(mpsc::Sender<NetCommand>);

impl NetHandle {
    /// Gives a command, from outside the runtime. The driver never waits for the core, so this
    /// returns soon.
    pub fn command(&self, command: NetCommand) {
        // A driver that has ended has closed every link; there is nothing left to command.
        let _ = self.0.blocking_send(command);
    }

    /// Gives a command, from inside the runtime.
    pub async fn command_async(&self, command: NetCommand) {
        let _ = self.0.send(command).await;
    }
}

/// Starts the driver on a runtime.
pub fn spawn(
    runtime: &tokio::runtime::Handle,
    seed: [u8; 32],
    config: NetConfig,
) -> Result<(NetHandle, mpsc::Receiver<NetEvent>), NetError> {
    let _guard = runtime.enter();
    let keypair = identity::Keypair::ed25519_from_bytes(seed)
        .map_err(|error| NetError::Key(error.to_string()))?;
    let (commands, command_queue) = mpsc::channel(COMMANDS_MAX);
    let (events, event_queue) = mpsc::channel(EVENTS_MAX);
    let driver = driver::Driver::new(keypair, config, events)?;
    runtime.spawn(driver.run(command_queue));
    Ok((NetHandle(commands), event_queue))
}

/// The libp2p name of a device.
#[must_use]
pub fn peer_id(device: &DeviceId) -> PeerIdText {
    let key = identity::ed25519::PublicKey::try_from_bytes(&device.0).ok();
    PeerIdText(key.map(|key| identity::PublicKey::from(key).to_peer_id()))
}

/// The device of a libp2p name; `None` for a name that is no Ed25519 key.
#[must_use]
pub fn device_of(peer: &PeerId) -> Option<DeviceId> {
    // An Ed25519 peer id is an identity multihash: 0x00, length 36, then the key in protobuf,
    // 0x08 0x01 0x12 0x20 and its 32 bytes (libp2p specification, peer-ids).
    let bytes = peer.to_bytes();
    let key = bytes.strip_prefix(&[0x00, 0x24, 0x08, 0x01, 0x12, 0x20])?;
    Some(DeviceId(key.try_into().ok()?))
}

/// The device and the rest of a multiaddress that ends in `/p2p/PEER`.
#[must_use]
pub fn split_address(text: &str) -> Option<(DeviceId, Multiaddr)> {
    let mut address: Multiaddr = text.parse().ok()?;
    match address.pop()? {
        Protocol::P2p(peer) => Some((device_of(&peer)?, address)),
        _ => None,
    }
}

/// A libp2p name, or a sign that the device's key is no curve point.
#[derive(Clone, Copy, Debug)]
pub struct PeerIdText(Option<PeerId>);

impl fmt::Display for PeerIdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(peer) => peer.fmt(f),
            None => f.write_str("invalid"),
        }
    }
}

impl PeerIdText {
    pub(crate) const fn get(self) -> Option<PeerId> {
        self.0
    }
}
