//! A hostile peer: a device with real keys and a real connection on which every byte is its own.
//!
//! It is TCP, Noise and one substream of `/tearline/1`, as `docs/protocol/sync.md` has them, without the
//! driver and the replica that an honest peer puts there.

use std::future::poll_fn;
use std::io;

use futures::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt as _, SubstreamBox};
use libp2p::core::transport::{DialOpts, PortUse, Transport as _};
use libp2p::core::upgrade::Version;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::{identity, noise, tcp, yamux};
use tearline_crdt::codec::Write as _;
use tearline_crdt::hash::Domain;
use tearline_crdt::id::{CompartmentId, DeviceId};
use tearline_crdt::keys::{DeviceKeys, Signer};
use tearline_crdt::statement::DeskCertificate;
use tearline_mesh::invitation::{Applicant, Invitation, JoinAnswer, JoinRequest};
use tearline_mesh::wire::{Frame, Tag};
use tokio::task::JoinHandle;

/// How two sides agree on the protocol: multistream-select, said without waiting for the answer.
const NEGOTIATION: &[u8] = b"\x13/multistream/1.0.0\n\x0c/tearline/1\n";
/// The nonce of every session.
const NONCE: [u8; 8] = [5; 8];

/// A desk of an agency of its own.
pub(crate) struct Hostile {
    seed: u8,
    /// Its keys.
    pub(crate) keys: DeviceKeys,
}

/// A connection of it to an honest peer.
pub(crate) struct Wire {
    /// What comes.
    pub(crate) reader: ReadHalf<SubstreamBox>,
    writer: WriteHalf<SubstreamBox>,
    driver: JoinHandle<()>,
    own: DeviceId,
    peer: DeviceId,
}

impl Hostile {
    /// One of as many as there are seeds.
    #[must_use]
    pub(crate) fn new(seed: u8) -> Self {
        Self { seed, keys: DeviceKeys::from_seeds(&[seed; 32], &[seed.wrapping_add(100); 32]) }
    }

    /// Comes into the coalition as an agency of this country.
    ///
    /// # Errors
    /// When it is not let in.
    pub(crate) async fn join(
        &self,
        at: &str,
        invitation: &str,
        country: [u8; 2],
    ) -> io::Result<()> {
        let invitation = Invitation::from_text(invitation).map_err(io::Error::other)?;
        let root = Signer::from_seed(&[self.seed.wrapping_add(200); 32]);
        let request = JoinRequest {
            coalition: invitation.coalition,
            secret: invitation.secret,
            applicant: Applicant::Agency {
                name: format!("Hostile {}", self.seed),
                country,
                desk: DeskCertificate::sign(&root, &self.keys, None),
            },
            kem: self.keys.kem_key().clone(),
        };
        let mut wire = self.dial(at, invitation.inviter).await?;
        wire.say(&Frame::Join { request: request.encode() }).await?;
        loop {
            if let Frame::JoinAnswer { answer } = wire.hear().await? {
                let answer = JoinAnswer::decode(&answer).map_err(io::Error::other)?;
                let is_in = matches!(answer, JoinAnswer::Welcome(_));
                return if is_in { Ok(()) } else { Err(io::Error::other(format!("{answer:?}"))) };
            }
        }
    }

    /// Connects to a peer at its TCP address.
    ///
    /// # Errors
    /// When there is no connection.
    pub(crate) async fn dial(&self, at: &str, peer: DeviceId) -> io::Result<Wire> {
        let keypair =
            identity::Keypair::ed25519_from_bytes([self.seed; 32]).map_err(io::Error::other)?;
        let at: Multiaddr = at.parse().map_err(io::Error::other)?;
        let noise = noise::Config::new(&keypair).map_err(io::Error::other)?;
        let mut transport = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
            .upgrade(Version::V1)
            .authenticate(noise)
            .multiplex(yamux::Config::default())
            .boxed();
        let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
        let dial = transport.dial(at, options).map_err(io::Error::other)?;
        let (_, mut muxer): (_, StreamMuxerBox) = dial.await?;
        let outbound = poll_fn(|cx| muxer.poll_outbound_unpin(cx)).await;
        let (reader, mut writer) = outbound.map_err(io::Error::other)?.split();
        let driver =
            tokio::spawn(async move { while poll_fn(|cx| muxer.poll_unpin(cx)).await.is_ok() {} });
        writer.write_all(NEGOTIATION).await?;
        writer.flush().await?;
        let mut wire = Wire { reader, writer, driver, own: self.keys.id(), peer };
        read_exact(&mut wire.reader, NEGOTIATION.len()).await?;
        Ok(wire)
    }
}

impl Wire {
    /// Says bytes.
    ///
    /// # Errors
    /// When the connection is closed.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes).await?;
        self.writer.flush().await
    }

    /// Says a frame.
    ///
    /// # Errors
    /// When the connection is closed.
    pub(crate) async fn say(&mut self, frame: &Frame) -> io::Result<()> {
        let frame = frame.encode();
        let mut bytes = Vec::new();
        bytes.number(frame.len() as u64);
        bytes.extend(frame);
        self.write(&bytes).await
    }

    /// Waits for a frame.
    ///
    /// # Errors
    /// When the connection is closed, or what comes is no frame.
    pub(crate) async fn hear(&mut self) -> io::Result<Frame> {
        loop {
            let (mut len, mut shift) = (0_usize, 0);
            loop {
                let byte = read_exact(&mut self.reader, 1).await?.pop().unwrap_or_default();
                len |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 || shift > 21 {
                    break;
                }
            }
            if len > 0 {
                let bytes = read_exact(&mut self.reader, len).await?;
                return Frame::decode(&bytes).map_err(io::Error::other);
            }
        }
    }

    /// Greets, as if it held something else of these areas than the peer, until news flow.
    ///
    /// # Errors
    /// When the connection is closed.
    pub(crate) async fn greet(&mut self, areas: &[CompartmentId]) -> io::Result<()> {
        self.say(&Frame::Open { digest: [1; 16], nonce: NONCE }).await?;
        while !matches!(self.hear().await?, Frame::Hello { .. }) {}
        let areas = areas.iter().map(|id| (self.tag(id), [3; 16])).collect();
        self.say(&Frame::Hello { digest: [2; 16], areas }).await
    }

    /// What an area is called on this connection.
    #[must_use]
    pub(crate) fn tag(&self, id: &CompartmentId) -> Tag {
        let hash = Domain::SessionTag.hash(&[&id.0, &NONCE, &self.own.0, &self.peer.0]);
        hash.first_chunk().copied().unwrap_or_default()
    }

    /// Hears whatever comes, until the peer closes the connection.
    pub(crate) async fn hear_out(&mut self) {
        let mut heard = [0; 4_096];
        while matches!(self.reader.read(&mut heard).await, Ok(1..)) {}
    }

    /// Says so many frames while it hears whatever comes, or until the peer closes the connection.
    pub(crate) async fn flood(&mut self, times: usize, mut next: impl FnMut() -> Frame) {
        let (reader, writer) = (&mut self.reader, &mut self.writer);
        let mut heard = [0; 4_096];
        let hears = async { while matches!(reader.read(&mut heard).await, Ok(1..)) {} };
        let says = async {
            for _ in 0..times {
                let frame = next().encode();
                let mut bytes = Vec::new();
                bytes.number(frame.len() as u64);
                bytes.extend(frame);
                if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = hears => {}
            () = says => {}
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

async fn read_exact(reader: &mut (impl AsyncRead + Unpin), len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    reader.read_exact(&mut bytes).await?;
    Ok(bytes)
}
