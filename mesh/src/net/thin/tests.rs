//! Links over what really carries them: datagrams, modems behind TCP, a pseudo-terminal.

use tearline_crdt::entropy::SeededEntropy;
use tearline_crdt::keys::DeviceKeys;
use tokio::net::{TcpListener, UdpSocket};

use super::*;
use crate::thin::{Config, Line};

struct End {
    thin: Thin,
    events: mpsc::Receiver<Happened>,
}

impl End {
    async fn next(&mut self) -> Happened {
        timeout(Duration::from_secs(60), self.events.recv()).await.unwrap().unwrap()
    }

    /// The next event that is no failure of the medium.
    async fn told(&mut self) -> Happened {
        loop {
            match self.next().await {
                Happened::Failed { .. } => {}
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
    let (thin, events, task) = Thin::start(address, make);
    tokio::spawn(task);
    End { thin, events }
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
    assert!(matches!(a.next().await, Happened::Failed { .. }));
    // Given while there is no modem.
    a.thin.send(1, Urgency::Priority, vec![9; 900]);
    let _second = air(&listeners.0, &listeners.1).await;
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
        assert!(matches!(a.next().await, Happened::Failed { reason } if !reason.is_empty()));
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
