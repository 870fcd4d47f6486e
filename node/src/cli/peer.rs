//! `join` and `peer`: how devices come to know each other.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::context::Context;
use super::offline;
use super::output::Outcome;
use super::render::{Table, agency, bytes, clean, facts, short, standing, time};
use crate::control::reply::{Invitation, Joined, Peer as Known, PeerState, Peers};
use crate::control::{self, Empty, PeerAdd, PeerInvite, PeerRemove, Request};
use crate::failure::Failure;
use crate::length;

/// Join a coalition, by an invitation from one of its members
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline join tearline-invitation:01ab...
  tearline join - < invitation.txt       so that the invitation shows in no list of processes")]
pub(super) struct Join {
    /// The invitation's text; - reads it from stdin
    invitation: String,
    /// Come in as a desk by this certificate, which `root sign` made for this device, without the
    /// agency's root
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
}

impl Join {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let invitation = if self.invitation == "-" {
            String::from_utf8(context.stdin(INVITATION_BYTES_MAX)?)
                .map_err(|_| Failure::usage("stdin holds no invitation"))?
                .trim()
                .to_owned()
        } else {
            self.invitation
        };
        let certificate = self.certificate.as_deref().map(offline::certificate).transpose()?;
        let request = Request::Join(control::Join { invitation, certificate });
        let answer = context.ask::<Joined>(request)?;
        let joined = &answer.typed;
        let text = facts([
            ("coalition", format!("{} ({})", joined.name, short(&joined.coalition))),
            ("as", agency(&joined.agency)),
            ("by", short(&joined.inviter)),
            ("check", joined.check.clone()),
        ]);
        Ok(Outcome::new(answer.data, text))
    }
}

/// Invite, add, list and remove peers
#[derive(Debug, Subcommand)]
pub(super) enum Peer {
    /// Make an invitation: into the coalition for an agency, or into this agency for a device
    #[command(after_help = "\
Example:
  tearline peer invite --expires 2h
  tearline peer invite --device > kilo.txt

Hand it over where others do not read it: it works once, for whoever comes first.")]
    Invite {
        /// Invite a device of this agency, instead of another agency
        #[arg(long)]
        device: bool,
        /// How long it works: a number and s, m, h or d
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = seconds)]
        expires: u64,
        /// An address to name in it, instead of those that the daemon listens on
        #[arg(long, value_name = "MULTIADDR")]
        address: Vec<String>,
    },
    /// Keep a connection to the peer at an address
    #[command(after_help = "\
Example:
  tearline peer add /ip4/203.0.113.9/udp/4001/quic-v1/p2p/12D3KooW...")]
    Add {
        /// A multiaddress that ends in /p2p/PEER
        address: String,
    },
    /// List the peers and how they are
    #[command(after_help = "\
Example:
  tearline peer list")]
    List,
    /// Forget a peer's addresses and close its connection
    #[command(after_help = "\
Example:
  tearline peer remove 3f9a12bc")]
    Remove {
        /// The peer's device id, or the beginning of it, its name, or one of its addresses
        peer: String,
    },
}

impl Peer {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Invite { .. } => "peer.invite",
            Self::Add { .. } => "peer.add",
            Self::List => "peer.list",
            Self::Remove { .. } => "peer.remove",
        }
    }

    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Invite { device, expires, address } => {
                let request = PeerInvite {
                    device,
                    expires_s: expires,
                    addresses: address,
                    ..PeerInvite::default()
                };
                let answer = context.ask::<Invitation>(Request::PeerInvite(request))?;
                let made = &answer.typed;
                let text = format!("{}\n", clean(&made.invitation));
                let hint = format!("works once, until {}", time(&made.expires));
                Ok(Outcome::new(answer.data, text).hint(hint))
            }
            Self::Add { address } => {
                let answer = context.ask::<Known>(Request::PeerAdd(PeerAdd { address }))?;
                let text = format!("added {}\n", clean(&short(&answer.typed.device)));
                Ok(Outcome::new(answer.data, text))
            }
            Self::List => {
                let answer = context.ask::<Peers>(Request::PeerList(Empty {}))?;
                Ok(Outcome::new(answer.data, table(&answer.typed.peers, answer.typed.known)))
            }
            Self::Remove { peer } => {
                let answer = context.ask::<Known>(Request::PeerRemove(PeerRemove { peer }))?;
                let text = format!("removed {}\n", clean(&short(&answer.typed.device)));
                Ok(Outcome::new(answer.data, text))
            }
        }
    }
}

/// The peers, for people.
pub(super) fn table(peers: &[Known], known: u64) -> String {
    let mut table = Table::new(&[
        "peer", "agency", "standing", "state", "missing", "heard", "sent", "received",
    ]);
    for peer in peers {
        let state = match peer.state {
            PeerState::Live => "live",
            PeerState::CatchingUp => "catching up",
            PeerState::Waiting => "waiting for link",
            PeerState::Blocked => "blocked",
        };
        let state = match &peer.reason {
            Some(reason) => format!("{state}: {reason}"),
            None => state.to_owned(),
        };
        table.row([
            short(&peer.device),
            peer.agency.as_ref().map(agency).unwrap_or_default(),
            standing(&peer.standing),
            state,
            peer.missing.map_or("?".into(), |missing| missing.to_string()),
            peer.last_heard.as_deref().map_or("never".into(), time),
            bytes(peer.sent_bytes),
            bytes(peer.received_bytes),
        ]);
    }
    match known {
        0 => table.text("no peers yet: invite one with `tearline peer invite`"),
        1 => {
            table.text("no links now: 1 other device is in the coalition (`tearline device list`)")
        }
        known => table.text(&format!(
            "no links now: {known} other devices are in the coalition (`tearline device list`)"
        )),
    }
}

/// Reads how long an invitation works.
fn seconds(text: &str) -> Result<u64, String> {
    length::read(text, EXPIRES_S_MAX)
}

/// Longest life of an invitation.
const EXPIRES_S_MAX: u64 = 30 * 86_400;
/// Longest text of an invitation.
const INVITATION_BYTES_MAX: u64 = 16 * 1024;
