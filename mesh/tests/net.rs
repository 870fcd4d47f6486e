//! The transport on loopback: real libp2p, real sockets. Every wait ends with an event; a test that
//! waits too long fails.
#![cfg(feature = "net")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::time::Duration;

use tearline_crdt::id::DeviceId;
use tearline_crdt::keys::Signer;
use tearline_mesh::Urgency;
use tearline_mesh::fault::LinkFault;
use tearline_mesh::net::{
    self, DialFailure, DownReason, Link, NetCommand, NetConfig, NetEvent, NetHandle,
};
use tokio::runtime::Handle;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

const TEST_TIME_MAX: Duration = Duration::from_secs(60);
const FRAME_MAX: usize = 64 * 1024;

struct Node {
    device: DeviceId,
    handle: NetHandle,
    events: Receiver<NetEvent>,
    address: String,
}

impl Node {
    async fn start(seed: u8, listen: &str) -> Self {
        Self::start_with(seed, listen, NetConfig::default()).await
    }

    async fn start_with(seed: u8, listen: &str, config: NetConfig) -> Self {
        let listen = vec![listen.parse().unwrap()];
        let config = NetConfig { listen, frame_bytes_max: FRAME_MAX, ..config };
        let (handle, mut events) = net::spawn(&Handle::current(), [seed; 32], config).unwrap();
        let address = match events.recv().await.unwrap() {
            NetEvent::Listening(address) => address.to_string(),
            other => panic!("{other:?}"),
        };
        let device = DeviceId(Signer::from_seed(&[seed; 32]).public());
        Self { device, handle, events, address }
    }

    async fn dial(&self, to: &Self, expect: DeviceId) {
        let address = to.address.parse().unwrap();
        self.handle.command_async(NetCommand::Dial { address, expect: Some(expect) }).await;
    }

    async fn up(&mut self) -> (Link, DeviceId, bool) {
        loop {
            match self.next().await {
                NetEvent::LinkUp { link, device, dialer, .. } => return (link, device, dialer),
                NetEvent::LinkDown { .. } | NetEvent::Listening(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn next(&mut self) -> NetEvent {
        self.events.recv().await.expect("the driver runs")
    }

    async fn down(&mut self) -> DownReason {
        self.down_of().await.1
    }

    async fn down_of(&mut self) -> (Link, DownReason) {
        loop {
            if let NetEvent::LinkDown { link, reason, .. } = self.next().await {
                return (link, reason);
            }
        }
    }

    async fn send(&self, link: Link, bytes: Vec<u8>) {
        self.handle
            .command_async(NetCommand::Send { link, urgency: Urgency::Routine, bytes })
            .await;
    }
}

const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
const TCP: &str = "/ip4/127.0.0.1/tcp/0";

async fn connected(listen: &str) -> (Node, Node, Link, Link) {
    let (mut a, mut b) = (Node::start(1, listen).await, Node::start(2, listen).await);
    a.dial(&b, b.device).await;
    let (at_a, b_device, a_dialed) = a.up().await;
    let (at_b, a_device, b_dialed) = b.up().await;
    assert_eq!((b_device, a_device), (b.device, a.device));
    assert!(a_dialed && !b_dialed);
    (a, b, at_a, at_b)
}

fn run(test: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { timeout(TEST_TIME_MAX, test).await.expect("the test hangs") });
    runtime.shutdown_background();
}

#[test]
fn frames_of_all_sizes_arrive_whole_and_in_order_over_both_transports() {
    run(async {
        for listen in [QUIC, TCP] {
            let (mut a, mut b, at_a, _) = connected(listen).await;
            let sizes = [1, 127, 128, 5_000, FRAME_MAX];
            let total = 500;
            let sending = async {
                for n in 0..total {
                    a.send(at_a, vec![n as u8; sizes[n % sizes.len()]]).await;
                    assert!(matches!(a.next().await, NetEvent::Sent { .. }));
                }
            };
            let receiving = async {
                for n in 0..total {
                    match b.next().await {
                        NetEvent::Frame { bytes, .. } => {
                            assert_eq!(bytes, vec![n as u8; sizes[n % sizes.len()]]);
                        }
                        other => panic!("{other:?}"),
                    }
                }
            };
            tokio::join!(sending, receiving);
        }
    });
}

#[test]
fn a_frame_above_the_limit_closes_the_link_and_blames_the_sender() {
    run(async {
        let (a, mut b, at_a, _) = connected(QUIC).await;
        a.send(at_a, vec![0; FRAME_MAX + 1]).await;
        assert_eq!(b.down().await, DownReason::Broke(LinkFault::Oversize(FRAME_MAX as u64 + 1)));
    });
}

#[test]
fn somebody_else_at_the_address_is_no_link() {
    run(async {
        let (mut a, b) = (Node::start(1, QUIC).await, Node::start(2, QUIC).await);
        let stranger = DeviceId(Signer::from_seed(&[9; 32]).public());
        a.dial(&b, stranger).await;
        match a.next().await {
            NetEvent::DialFailed { device, .. } => assert_eq!(device, Some(stranger)),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn two_that_dial_each_other_end_with_one_link() {
    run(async {
        let (mut a, mut b) = (Node::start(1, QUIC).await, Node::start(2, QUIC).await);
        tokio::join!(a.dial(&b, b.device), b.dial(&a, a.device));
        // Both settle on one link: a frame goes through it, both ways. Whoever dials after the
        // other's link is up hears that its own attempt was needless.
        let (mut got_a, mut got_b) = (false, false);
        while !(got_a && got_b) {
            tokio::select! {
                event = a.next() => match event {
                    NetEvent::Frame { .. } => got_a = true,
                    NetEvent::LinkUp { link, .. } => a.send(link, vec![1]).await,
                    _ => {}
                },
                event = b.next() => match event {
                    NetEvent::Frame { .. } => got_b = true,
                    NetEvent::LinkUp { link, .. } => b.send(link, vec![2]).await,
                    _ => {}
                },
            }
        }
    });
}

#[test]
fn a_side_that_goes_away_is_noticed() {
    run(async {
        for listen in [QUIC, TCP] {
            let (a, mut b, ..) = connected(listen).await;
            a.handle.command_async(NetCommand::Shutdown).await;
            assert_eq!(b.down().await, DownReason::Remote);
        }
    });
}

#[test]
fn connections_are_limited_at_the_bound_and_strangers_make_room() {
    run(async {
        let config = NetConfig { connections_max: 2, ..NetConfig::default() };
        let mut hub = Node::start_with(1, QUIC, config).await;
        let mut guests = Vec::new();
        for seed in 2..4 {
            let mut guest = Node::start(seed, QUIC).await;
            guest.dial(&hub, hub.device).await;
            guest.up().await;
            guests.push((hub.up().await.0, guest));
        }
        // The first is vouched for; so the second is the stranger who was there longest.
        hub.handle.command_async(NetCommand::Vouch { link: guests[0].0 }).await;
        let mut third = Node::start(4, QUIC).await;
        third.dial(&hub, hub.device).await;
        third.up().await;
        let (mut came, mut went) = (None, None);
        while came.is_none() || went.is_none() {
            match hub.next().await {
                NetEvent::LinkUp { link, device, .. } => came = Some((link, device)),
                NetEvent::LinkDown { link, reason, .. } => went = Some((link, reason)),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(went, Some((guests[1].0, DownReason::Stranger)));
        let (link, device) = came.unwrap();
        assert_eq!(device, third.device);
        // When all are vouched for there is no room.
        hub.handle.command_async(NetCommand::Vouch { link }).await;
        let mut late = Node::start(5, QUIC).await;
        late.dial(&hub, hub.device).await;
        loop {
            match late.next().await {
                NetEvent::DialFailed { .. } | NetEvent::LinkDown { .. } => break,
                NetEvent::LinkUp { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        // What others hold is no hindrance to dialing oneself.
        hub.dial(&late, late.device).await;
        assert_eq!(hub.up().await.1, late.device);
    });
}

/// Devices that shake hands and ask for no link.
async fn crowd(hub: &Node, count: usize) -> Vec<libp2p::Swarm<libp2p::swarm::dummy::Behaviour>> {
    use futures::StreamExt as _;
    let mut crowd = Vec::new();
    for _ in 0..count {
        let mut swarm = libp2p::SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_quic()
            .with_behaviour(|_| libp2p::swarm::dummy::Behaviour)
            .unwrap()
            .with_swarm_config(|config| config.with_idle_connection_timeout(TEST_TIME_MAX))
            .build();
        swarm.dial(hub.address.parse::<net::Multiaddr>().unwrap()).unwrap();
        loop {
            match swarm.select_next_some().await {
                libp2p::swarm::SwarmEvent::ConnectionEstablished { .. } => break,
                libp2p::swarm::SwarmEvent::OutgoingConnectionError { error, .. } => {
                    panic!("{error}");
                }
                _ => {}
            }
        }
        crowd.push(swarm);
    }
    crowd
}

#[test]
fn connections_that_ask_for_no_link_shut_nobody_else_out() {
    run(async {
        let config = NetConfig { connections_max: 2, ..NetConfig::default() };
        let mut hub = Node::start_with(1, QUIC, config).await;
        let crowd = crowd(&hub, 80).await;
        let mut guest = Node::start(2, QUIC).await;
        guest.dial(&hub, hub.device).await;
        let (link, device, _) = hub.up().await;
        assert_eq!(device, guest.device);
        hub.send(link, vec![7]).await;
        loop {
            match guest.next().await {
                NetEvent::Frame { bytes, .. } => break assert_eq!(bytes, [7]),
                NetEvent::LinkUp { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        drop(crowd);
    });
}

#[test]
fn a_device_that_is_known_makes_room_for_no_stranger() {
    run(async {
        let friend = Node::start(2, QUIC).await;
        let known = BTreeSet::from([friend.device]);
        let config = NetConfig { connections_max: 2, known, ..NetConfig::default() };
        let mut hub = Node::start_with(1, QUIC, config).await;
        friend.dial(&hub, hub.device).await;
        assert_eq!(hub.up().await.1, friend.device);
        // Nobody has vouched for it when strangers come in numbers.
        let mut strangers = Vec::new();
        let mut last = None;
        for seed in 3..8 {
            let stranger = Node::start(seed, QUIC).await;
            stranger.dial(&hub, hub.device).await;
            let (mut came, mut went) = (None, last);
            while came.is_none() || went.is_some() {
                match hub.next().await {
                    NetEvent::LinkUp { link, device, .. } => {
                        assert_eq!(device, stranger.device);
                        came = Some(link);
                    }
                    NetEvent::LinkDown { link, .. } => {
                        assert_eq!(Some(link), went.take());
                    }
                    other => panic!("{other:?}"),
                }
            }
            last = came;
            strangers.push(stranger);
        }
    });
}

/// On Linux every address of 127.0.0.0/8 is this machine.
#[cfg(target_os = "linux")]
#[test]
fn sockets_that_say_nothing_shut_nobody_else_out() {
    run(async {
        let mut hub = Node::start(1, TCP).await;
        let port = hub.address.rsplit('/').next().unwrap();
        let to: std::net::SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
        let mut idle = Vec::new();
        for n in 0..80u8 {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(([127, 0, 1, n / 2], 0).into()).unwrap();
            idle.push(socket.connect(to).await.unwrap());
        }
        let guest = Node::start(2, TCP).await;
        guest.dial(&hub, hub.device).await;
        assert_eq!(hub.up().await.1, guest.device);
    });
}

#[test]
fn a_dial_needs_nothing_of_the_port_listened_on() {
    run(async {
        let (hub, mut guest) = (Node::start(1, TCP).await, Node::start(2, TCP).await);
        let port: u16 = guest.address.rsplit('/').next().unwrap().parse().unwrap();
        let _another = std::net::TcpListener::bind(("127.0.1.1", port)).unwrap();
        guest.dial(&hub, hub.device).await;
        assert_eq!(guest.up().await.1, hub.device);
    });
}

#[test]
fn a_stranger_for_whom_nobody_vouches_is_let_go() {
    run(async {
        let stranger_max = Duration::from_millis(400);
        let config = NetConfig { stranger_max, ..NetConfig::default() };
        let mut hub = Node::start_with(1, TCP, config).await;
        let (mut friend, mut stranger) = (Node::start(2, TCP).await, Node::start(3, TCP).await);
        friend.dial(&hub, hub.device).await;
        friend.up().await;
        let (vouched, ..) = hub.up().await;
        hub.handle.command_async(NetCommand::Vouch { link: vouched }).await;
        stranger.dial(&hub, hub.device).await;
        let (link, device, _) = hub.up().await;
        assert_eq!(device, stranger.device);
        assert_eq!(hub.down_of().await, (link, DownReason::Stranger));
        stranger.up().await;
        assert_eq!(stranger.down().await, DownReason::Remote);
        // The friend's link carries on.
        hub.send(vouched, vec![7]).await;
        assert!(matches!(friend.next().await, NetEvent::Frame { bytes, .. } if bytes == [7]));
    });
}

#[test]
fn devices_and_peer_ids_name_each_other() {
    let device = DeviceId(Signer::from_seed(&[5; 32]).public());
    let text = format!("/ip4/127.0.0.1/tcp/4001/p2p/{}", net::peer_id(&device));
    let (back, address) = net::split_address(&text).unwrap();
    assert_eq!((back, address.to_string()), (device, "/ip4/127.0.0.1/tcp/4001".to_owned()));
    assert!(net::split_address("/ip4/127.0.0.1/tcp/4001").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_can_listen_the_system_says_why() {
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let addresses = [
        format!("/ip4/127.0.0.1/tcp/{}", tcp.local_addr().unwrap().port()),
        format!("/ip4/127.0.0.1/udp/{}/quic-v1", udp.local_addr().unwrap().port()),
    ];
    for taken in addresses {
        let config = NetConfig { listen: vec![taken.parse().unwrap()], ..NetConfig::default() };
        let (_handle, mut events) = net::spawn(&Handle::current(), [9; 32], config).unwrap();
        let Some(NetEvent::ListenFailed { address, reason }) = events.recv().await else {
            panic!("it listens on {taken}");
        };
        assert_eq!(address.to_string(), taken);
        assert!(reason.contains("in use"), "{reason:?}");
    }
}

fn device(seed: u8) -> DeviceId {
    DeviceId(Signer::from_seed(&[seed; 32]).public())
}

/// The address over a relay of whoever listens there.
fn over(relay: &Node) -> String {
    format!("{}/p2p/{}/p2p-circuit", relay.address, net::peer_id(&relay.device))
}

#[test]
fn who_listens_over_a_relay_that_knows_it_is_reached_there() {
    run(async {
        for listen in [QUIC, TCP] {
            let known = [device(2), device(3)].into_iter().collect();
            let config = NetConfig { carries_circuits: true, known, ..NetConfig::default() };
            let relay = Node::start_with(1, listen, config).await;
            let listens = vec![over(&relay).parse().unwrap()];
            let config = NetConfig { listen: listens, ..NetConfig::default() };
            let (_hidden, mut events) = net::spawn(&Handle::current(), [2; 32], config).unwrap();
            let reserved = async {
                loop {
                    match events.recv().await.unwrap() {
                        NetEvent::Listening(address) => return address,
                        NetEvent::ListenFailed { reason, .. } => panic!("{reason}"),
                        _ => {}
                    }
                }
            };
            let address = reserved.await;
            assert!(address.to_string().contains("p2p-circuit"), "{address}");
            let mut caller = Node::start(3, listen).await;
            let expect = Some(device(2));
            caller.handle.command_async(NetCommand::Dial { address, expect }).await;
            // The link may go over to a direct one meanwhile.
            let calling = async {
                loop {
                    match caller.next().await {
                        NetEvent::LinkUp { link, device: who, .. } if who == device(2) => {
                            caller.send(link, b"over a relay".to_vec()).await;
                        }
                        NetEvent::DialFailed { reason, .. } => panic!("{reason}"),
                        _ => {}
                    }
                }
            };
            let hearing = async {
                loop {
                    if let NetEvent::Frame { bytes, .. } = events.recv().await.unwrap() {
                        return bytes;
                    }
                }
            };
            tokio::select! {
                () = calling => {}
                heard = hearing => assert_eq!(heard, b"over a relay"),
            }
        }
    });
}

#[test]
fn a_relay_has_no_reservation_for_strangers() {
    run(async {
        let config = NetConfig { carries_circuits: true, ..NetConfig::default() };
        let relay = Node::start_with(1, QUIC, config).await;
        let config =
            NetConfig { listen: vec![over(&relay).parse().unwrap()], ..NetConfig::default() };
        let (_stranger, mut events) = net::spawn(&Handle::current(), [2; 32], config).unwrap();
        loop {
            match events.recv().await.unwrap() {
                NetEvent::Listening(address) => panic!("{address}"),
                NetEvent::ListenFailed { .. } => return,
                _ => {}
            }
        }
    });
}

#[test]
fn whose_standing_ends_keeps_no_reservation_with_a_relay() {
    run(async {
        let known = [device(2), device(3)].into_iter().collect();
        let config = NetConfig { carries_circuits: true, known, ..NetConfig::default() };
        let relay = Node::start_with(1, QUIC, config).await;
        let listen = vec![over(&relay).parse().unwrap()];
        let config = NetConfig { listen, ..NetConfig::default() };
        let (_ended, mut events) = net::spawn(&Handle::current(), [2; 32], config).unwrap();
        let address = loop {
            match events.recv().await.unwrap() {
                NetEvent::Listening(address) => break address,
                NetEvent::ListenFailed { reason, .. } => panic!("{reason}"),
                _ => {}
            }
        };
        relay.handle.command_async(NetCommand::Unvouch { device: device(2) }).await;
        while !matches!(events.recv().await.unwrap(), NetEvent::ListenFailed { .. }) {}
        let mut caller = Node::start(3, QUIC).await;
        let expect = Some(device(2));
        caller.handle.command_async(NetCommand::Dial { address, expect }).await;
        loop {
            match caller.next().await {
                NetEvent::DialFailed { reason, .. } => {
                    assert_eq!(reason, DialFailure::Circuit);
                    return;
                }
                NetEvent::LinkUp { device: who, .. } => assert_ne!(who, device(2)),
                _ => {}
            }
        }
    });
}

#[test]
fn why_nobody_was_reached_is_said_in_our_words() {
    run(async {
        let (mut caller, other) = (Node::start(1, TCP).await, Node::start(2, TCP).await);
        let nowhere = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            format!("/ip4/127.0.0.1/tcp/{}", listener.local_addr().unwrap().port())
        };
        let other_answers = DialFailure::Identity(Some(device(2)));
        for (address, expected) in
            [(nowhere, DialFailure::Refused), (other.address.clone(), other_answers)]
        {
            let (address, expect) = (address.parse().unwrap(), Some(device(3)));
            caller.handle.command_async(NetCommand::Dial { address, expect }).await;
            match caller.next().await {
                NetEvent::DialFailed { reason, .. } => assert_eq!(reason, expected),
                other => panic!("{other:?}"),
            }
        }
    });
}
