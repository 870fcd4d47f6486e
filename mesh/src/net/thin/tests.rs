//! Links over what really carries them: datagrams, modems behind TCP, a pseudo-terminal.

use tearline_crdt::entropy::SeededEntropy;
use tearline_crdt::keys::DeviceKeys;
use tokio::net::{TcpListener, UdpSocket};

use super::*;
use crate::thin::{Config, Line};

struct End {
    thin: Thin,
    meter: Arc<Meter>,
    events: mpsc::Receiver<Happened>,
}

impl End {
    async fn next(&mut self) -> Happened {
        timeout(Duration::from_secs(60), self.events.recv()).await.unwrap().unwrap()
    }

    /// The next event that is not of the medium.
    async fn told(&mut self) -> Happened {
        loop {
            match self.next().await {
                Happened::Open | Happened::Failed { .. } => {}
                event => return event,
            }
        }
    }
}

fn keys(side: u8) -> DeviceKeys {
    DeviceKeys::from_seeds(&[side + 1; 32], &[side; 32])
}

fn end(side: u8, address: &str) -> End {
    let peer = keys(1 - side);
    let address = ThinAddress::read(address, |_| Some(peer.id())).unwrap();
    let line: Line = address.line;
    let make = MakeMachine::new(move || {
        let entropy = Box::new(SeededEntropy::new(u64::from(side)));
        Machine::new(
            &keys(side),
            peer.id(),
            peer.agreement(),
            Config::new(line, side == 0),
            entropy,
        )
    });
    let meter = Arc::new(Meter::default());
    let (thin, events, task) = Thin::start(address, make, Arc::clone(&meter));
    tokio::spawn(task);
    End { thin, meter, events }
}

async fn exchange(a: &mut End, b: &mut End) {
    // Who is called by a stranger's frame begins a handshake, too.
    let Happened::Up { dialer } = a.told().await else { panic!("no session") };
    let message = vec![0xc0; 5_000];
    a.thin.send(1, Urgency::Flash, message.clone());
    assert_eq!(b.told().await, Happened::Up { dialer: !dialer });
    assert_eq!(b.told().await, Happened::Frame { bytes: message });
    assert_eq!(a.told().await, Happened::Room { urgency: Urgency::Flash });
}

async fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn frames_cross_by_udp_to_one_that_says_not_where_it_is() {
    let port = free_port().await;
    let mut a = end(0, &format!("udp://127.0.0.1:{port}/b?rate=10000000"));
    let mut b = end(1, &format!("udp://*/a?bind=127.0.0.1:{port}&rate=10000000"));
    // Whoever else sends there changes nothing about where the answers go.
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for n in 0..50u8 {
        stranger.send_to(&vec![n; 1 + usize::from(n) * 5], ("127.0.0.1", port)).await.unwrap();
    }
    exchange(&mut a, &mut b).await;
    for n in 0..50u8 {
        stranger.send_to(&[n; 60], ("127.0.0.1", port)).await.unwrap();
    }
    b.thin.send(1, Urgency::Routine, vec![7; 700]);
    assert_eq!(a.told().await, Happened::Frame { bytes: vec![7; 700] });
    let (at_a, at_b) = (a.meter.read(), b.meter.read());
    assert!(at_a.sent_bytes >= 5_000 && at_a.refused_frames == 0, "{at_a:?}");
    assert!(at_b.received_bytes >= 5_000 && at_b.refused_frames > 0, "{at_b:?}");
}

/// Two modems that hear each other: what comes from one host goes to the other.
async fn air(one: &TcpListener, other: &TcpListener) -> tokio::task::JoinHandle<()> {
    let (one, other) = tokio::join!(one.accept(), other.accept());
    let (mut one, mut other) = (one.unwrap().0, other.unwrap().0);
    tokio::spawn(async move {
        let _ = tokio::io::copy_bidirectional(&mut one, &mut other).await;
    })
}

#[tokio::test]
async fn a_session_outlives_its_modems() {
    let listeners = (
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    );
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let settings = "rate=10000000&duplex=full";
    let mut a = end(0, &format!("kiss://127.0.0.1:{}/b?{settings}", port(&listeners.0)));
    let mut b = end(1, &format!("kiss://127.0.0.1:{}/a?{settings}", port(&listeners.1)));
    let first = air(&listeners.0, &listeners.1).await;
    exchange(&mut a, &mut b).await;
    first.abort();
    assert!(matches!(a.next().await, Happened::Failed { again: Some(_), .. }));
    // Given while there is no modem.
    a.thin.send(1, Urgency::Priority, vec![9; 900]);
    let _second = air(&listeners.0, &listeners.1).await;
    assert_eq!(a.next().await, Happened::Open);
    assert_eq!(b.told().await, Happened::Frame { bytes: vec![9; 900] });
    assert_eq!(a.told().await, Happened::Room { urgency: Urgency::Priority });
}

#[tokio::test]
async fn a_medium_that_does_not_open_says_why() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for address in [
        format!("kiss://127.0.0.1:{port}/b"),
        "kiss:///dev/null/b".to_owned(),
        "kiss:///nowhere/at/all/b".to_owned(),
    ] {
        let mut a = end(0, &address);
        assert!(matches!(a.next().await, Happened::Failed { reason, .. } if !reason.is_empty()));
    }
}

/// A serial line stood in for by a pseudo-terminal, whose other end is the modem.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the modem is not the driver's")]
async fn frames_cross_a_serial_line() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use std::io::{Read as _, Write as _};
    let modem = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&modem).unwrap();
    unlockpt(&modem).unwrap();
    let path = ptsname(&modem, Vec::new()).unwrap().into_string().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut a = end(0, &format!("kiss://{path}/b?rate=10000000&duplex=full"));
    let mut b = end(1, &format!("kiss://127.0.0.1:{port}/a?rate=10000000&duplex=full"));
    let stream = listener.accept().await.unwrap().0.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    let modem = std::fs::File::from(modem);
    let (mut from_air, mut to_air) = (stream.try_clone().unwrap(), stream);
    let (mut to_host, mut from_host) = (modem.try_clone().unwrap(), modem);
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok(count @ 1..) = from_host.read(&mut buffer) {
            if to_air.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
    });
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok(count @ 1..) = from_air.read(&mut buffer) {
            if to_host.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
    });
    exchange(&mut a, &mut b).await;
}

#[test]
fn what_a_medium_needs_of_this_host_is_looked_for() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = |text: &str| ThinAddress::read(text, |_| Some(keys(1).id())).unwrap();
    let port = taken.local_addr().unwrap().port();
    let udp = address(&format!("udp://*/b?bind=127.0.0.1:{port}")).medium;
    assert_eq!(udp.check_here().unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    drop(taken);
    udp.check_here().unwrap();
    // That nobody is there says nothing about this host.
    for text in ["udp://nowhere.invalid:7/b", "kiss://nowhere.invalid:7/b"] {
        address(text).medium.check_here().unwrap();
    }
    for text in ["kiss:///dev/null/b", "kiss:///nowhere/at/all/b"] {
        assert!(address(text).medium.check_here().is_err(), "{text}");
    }
}

#[test]
fn a_port_a_modem_and_a_line_are_for_one_link_each() {
    let medium = |text: &str| ThinAddress::read(text, |_| Some(keys(1).id())).unwrap().medium;
    for (one, other, collide) in [
        ("udp://a:1/b?bind=7", "udp://c:1/b?bind=127.0.0.1:7", true),
        ("udp://a:1/b?bind=7", "udp://a:1/b?bind=8", false),
        ("udp://a:1/b", "udp://a:1/b", false),
        ("kiss://a:8001/b", "kiss://a:8001/b?rate=600", true),
        ("kiss://a:8001/b", "kiss://a:8002/b", false),
        ("kiss:///dev/x/b", "kiss:///dev/x/b?baud=1200", true),
        ("kiss:///dev/x/b", "kiss:///dev/y/b", false),
        ("kiss://a:1/b", "udp://a:1/b", false),
    ] {
        assert_eq!(medium(one).collides(&medium(other)), collide, "{one} {other}");
    }
}
