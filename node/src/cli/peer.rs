//! `join` and `peer`: how devices come to know each other.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::context::Context;
use super::offline;
use super::output::Outcome;
use super::render::{Table, agency, bytes, clean, facts, short, standing, time};
use crate::control::aside::{Interest, PeerInterest};
use crate::control::reply::{Invitation, Joined, Neighbour, Peer as Known, PeerState, Peers};
use crate::control::{self, Empty, PeerAdd, PeerInvite, PeerNamed, Request};
use crate::failure::Failure;
use crate::length;

/// Join a coalition, by an invitation from one of its members
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline join tearline-invitation:01ab...
  tearline join - < invitation.txt       so that the invitation shows in no list of processes

Exit code 7: the inviter has not answered yet, and the daemon goes on asking.")]
pub(super) struct Join {
    /// The invitation's text; - reads it from stdin
    invitation: String,
    /// Come in as a desk by this certificate, which `root sign` made for this device, without the
    /// agency's root
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// How long to wait for the inviter: a number and s, m, h or d; the daemon goes on asking afterwards
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = wait)]
    wait: u32,
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
        let wait_s = Some(self.wait);
        let request = Request::Join(control::Join { invitation, certificate, wait_s });
        let answer = context.ask::<Joined>(request)?;
        let joined = &answer.typed;
        let mut rows = vec![
            ("coalition", format!("{} ({})", joined.name, short(&joined.coalition))),
            ("as", agency(&joined.agency)),
            ("by", short(&joined.inviter)),
        ];
        rows.extend(joined.check.clone().map(|check| ("check", check)));
        let text = facts(rows);
        let outcome = Outcome::new(answer.data, text);
        Ok(if joined.already {
            outcome.hint("this device was in already; the invitation was not used")
        } else {
            outcome
        })
    }
}

/// Invite, add, list, pause and remove peers
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
    /// Keep a connection to the peer at an address, or a thin link while there is no connection
    #[command(after_help = "\
Example:
  tearline peer add /ip4/203.0.113.9/udp/4001/quic-v1/p2p/12D3KooW...
  tearline peer add 'udp://203.0.113.9:7300/KILO?bind=7300&rate=2400'
  tearline peer add 'kiss://127.0.0.1:8001/KILO?rate=800'
  tearline peer add 'kiss:///dev/ttyUSB0/KILO?baud=9600&rate=800'

A thin link is by datagrams (udp://) or over a KISS modem behind TCP or on a serial line (kiss://), to
a device of the coalition, by its name or id. `rate` is what the line carries, in bit/s (2400); a modem
takes turns unless `duplex=full` is said. Set it at both ends. A peer has one: another replaces it.")]
    Add {
        /// A multiaddress that ends in /p2p/PEER, or udp://HOST:PORT/DEVICE, or kiss://WHERE/DEVICE
        address: String,
        /// What to want whole of it, as in `peer interest`; several are taken together
        #[arg(long, value_name = "INTEREST")]
        interest: Vec<String>,
    },
    /// Say what to want whole of a peer; of everything else come the headers, and the rest stays there
    #[command(after_help = "\
Example:
  tearline peer interest POST 'kind=alert|sighting,area=14.0,12.0,15.5,13.0' 'class>=priority'
  tearline peer interest POST 'since=2026-11-01'
  tearline peer interest POST --everything
  tearline peer interest POST            what is wanted of it, and what it wants of this device

Each INTEREST takes what meets all of it: kind=KIND|KIND, area=WEST,SOUTH,EAST,NORTH in degrees, class>=CLASS,
since=TIME. What one of them takes is wanted. Flashes, statements and labels always come; so do payloads of up to 64
bytes, and what the peer cannot judge. A blind relay goes by class and time alone. What stays is counted in every list, comes from other
peers that are linked without an interest, or by `record fetch`, and is sent when more is wanted.")]
    Interest {
        /// The peer's device id, or the beginning of it, its name, or one of its addresses
        peer: String,
        /// What to want, in place of what was wanted before
        #[arg(value_name = "INTEREST")]
        wants: Vec<String>,
        /// Want everything again
        #[arg(long, conflicts_with = "wants")]
        everything: bool,
    },
    /// List the peers and how they are
    #[command(after_help = "\
Example:
  tearline peer list")]
    List,
    /// Forget a peer's addresses, close its links and dial it no more; of an address, forget that one alone
    #[command(after_help = "\
Example:
  tearline peer remove 3f9a12bc
  tearline peer remove 'udp://203.0.113.9:7300/KILO?bind=7300&rate=2400'")]
    Remove {
        /// The peer's device id, or the beginning of it, its name, or one of its addresses
        peer: String,
    },
    /// Close a peer's links, and make and take none until `peer resume`, also after a restart
    #[command(after_help = "\
Example:
  tearline peer pause KILO       its thin link sends nothing, not even an answer")]
    Pause {
        /// The peer's device id, or the beginning of it, its name, or one of its addresses
        peer: String,
    },
    /// Make and take links to a peer again
    #[command(after_help = "\
Example:
  tearline peer resume KILO")]
    Resume {
        /// The peer's device id, or the beginning of it, its name, or one of its addresses
        peer: String,
    },
}

impl Peer {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Invite { .. } => "peer.invite",
            Self::Add { .. } => "peer.add",
            Self::Interest { .. } => "peer.interest",
            Self::List => "peer.list",
            Self::Remove { .. } => "peer.remove",
            Self::Pause { .. } => "peer.pause",
            Self::Resume { .. } => "peer.resume",
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
            Self::Add { address, interest } => {
                changed(context, Request::PeerAdd(PeerAdd { address, interest }), "added")
            }
            Self::Interest { peer, wants, everything } => {
                let wants = (everything || !wants.is_empty()).then_some(wants);
                interest(context, PeerInterest { peer, wants })
            }
            Self::List => {
                let answer = context.ask::<Peers>(Request::PeerList(Empty {}))?;
                let Peers { peers, heard, known } = &answer.typed;
                let mut text = table(peers, *known);
                if !heard.is_empty() {
                    text += &format!("\nother peers that were heard\n{}", table(heard, *known));
                }
                Ok(Outcome::new(answer.data, text))
            }
            Self::Remove { peer } => {
                changed(context, Request::PeerRemove(PeerNamed { peer }), "removed")
            }
            Self::Pause { peer } => {
                changed(context, Request::PeerPause(PeerNamed { peer }), "paused")
            }
            Self::Resume { peer } => {
                changed(context, Request::PeerResume(PeerNamed { peer }), "resumed")
            }
        }
    }
}

/// Asks for a change of one peer, and says that it was done.
fn changed(context: &Context, request: Request, done: &str) -> Result<Outcome, Failure> {
    let answer = context.ask::<Known>(request)?;
    let text = format!("{done} {}\n", clean(&short(&answer.typed.device)));
    Ok(Outcome::new(answer.data, text))
}

/// What is wanted of a peer, and by it.
fn interest(context: &Context, ask: PeerInterest) -> Result<Outcome, Failure> {
    let answer = context.ask::<Interest>(Request::PeerInterest(ask))?;
    let known = &answer.typed;
    let all = || "everything".to_owned();
    let id = short(&known.device);
    let text = facts([
        ("peer", known.name.as_ref().map_or(id.clone(), |name| format!("{} ({id})", clean(name)))),
        ("wanted of it", known.wants.clone().unwrap_or_else(all)),
        ("it wants", known.wanted.clone().unwrap_or_else(all)),
        ("left aside", known.left_aside.to_string()),
    ]);
    let outcome = Outcome::new(answer.data, text);
    Ok(if known.relay && known.wants.is_some() {
        outcome
            .hint("it is a blind relay: it goes by class and time alone, and sends the rest whole")
    } else {
        outcome
    })
}

/// The peers, for people.
pub(super) fn table(peers: &[Known], known: u64) -> String {
    let mut headings = vec![
        "peer", "agency", "standing", "by", "state", "missing", "lacks", "heard", "sent",
        "received",
    ];
    let by_hand = peers.iter().any(|p| p.bundle_made.is_some() || p.bundle_read.is_some());
    if by_hand {
        headings.extend(["last bundle out", "in"]);
    }
    let gossips = peers.iter().any(|peer| !peer.gossip.is_empty());
    if gossips {
        headings.push("gossip");
    }
    let mut table = Table::new(&headings);
    for peer in peers {
        let state = state(peer);
        // On a thin link what counts is what took air time.
        let thin = peer
            .thin
            .as_ref()
            .filter(|_| !matches!(peer.by.as_deref(), Some("quic" | "tcp" | "circuit")));
        let (sent, received) = thin.map_or((peer.sent_bytes, peer.received_bytes), |thin| {
            (thin.sent_bytes, thin.received_bytes)
        });
        let mut row = vec![
            called(peer),
            peer.agency.as_ref().map(agency).unwrap_or_default(),
            if peer.relay {
                format!("{}, relay", standing(&peer.standing))
            } else {
                standing(&peer.standing)
            },
            by(peer),
            state,
            peer.missing.map_or("?".into(), |missing| missing.to_string()),
            peer.lacks.map_or("?".into(), |lacks| lacks.to_string()),
            peer.last_heard.as_deref().map_or("never".into(), time),
            bytes(sent),
            bytes(received),
        ];
        if by_hand {
            let made_at =
                |time: &Option<String>| time.as_deref().map_or("never".into(), super::render::time);
            row.extend([&peer.bundle_made, &peer.bundle_read].map(made_at));
        }
        if gossips {
            row.push(gossip(&peer.gossip));
        }
        table.row(row);
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

/// A peer's name and the beginning of its id.
fn called(peer: &Known) -> String {
    let id = short(&peer.device);
    peer.name.as_ref().map_or(id.clone(), |name| format!("{name} ({id})"))
}

/// What carries its link; of one that is dialled nowhere from here, that it dials, and from where.
fn by(peer: &Known) -> String {
    let by = peer.by.clone().unwrap_or_default();
    match &peer.from {
        Some(from) if peer.dialled_us && peer.addresses.is_empty() => {
            format!("{by}, they dial us from {}", clean(from))
        }
        _ => by,
    }
}

/// How a peer is: a word, what is left or since when, why, when it is dialled again, and what presses.
fn state(peer: &Known) -> String {
    let left = peer.missing.unwrap_or_default() + peer.lacks.unwrap_or_default();
    let state = match peer.state {
        PeerState::Live if peer.left_aside > 0 => {
            format!("live ({} left aside by interest)", peer.left_aside)
        }
        PeerState::Live => "live".into(),
        PeerState::CatchingUp if left > 0 => format!("catching up ({left} left)"),
        PeerState::CatchingUp => "catching up".into(),
        PeerState::Ended => "told of its end".into(),
        PeerState::Waiting => "waiting for link".into(),
        PeerState::Stale => {
            format!("stale since {}", peer.last_heard.as_deref().map_or("?".into(), time))
        }
        PeerState::Blocked => "blocked".into(),
        PeerState::Paused => "paused".into(),
    };
    let again = peer.again_ms.map(|ms| format!("again in {} s", ms.div_ceil(1_000)));
    let flash = peer.flash_since.as_deref().map(|at| format!("a flash waits since {}", time(at)));
    let why: Vec<String> = [peer.reason.clone(), again, flash].into_iter().flatten().collect();
    match peer.state {
        _ if why.is_empty() => state,
        PeerState::Blocked => format!("{state} ({})", why.join(", ")),
        _ => format!("{state}: {}", why.join(", ")),
    }
}

/// In whose gossip a peer is a neighbour, and how.
fn gossip(with: &[Neighbour]) -> String {
    let shown = with.iter().take(GOSSIP_SHOWN_MAX);
    let mut text: Vec<String> = shown.map(|n| format!("{} {}", clean(&n.name), n.way)).collect();
    if let Some(more) = with.len().checked_sub(GOSSIP_SHOWN_MAX).filter(|more| *more > 0) {
        text.push(format!("{more} more"));
    }
    text.join(", ")
}

/// Compartments that are named in a row.
const GOSSIP_SHOWN_MAX: usize = 3;

/// Reads how long an invitation works.
fn seconds(text: &str) -> Result<u64, String> {
    length::read(text, EXPIRES_S_MAX)
}

/// Reads how long a join waits.
fn wait(text: &str) -> Result<u32, String> {
    length::read(text, WAIT_S_MAX).map(|seconds| seconds as u32)
}

/// Longest time that a join waits.
const WAIT_S_MAX: u64 = length::DAY_S;
/// Longest life of an invitation.
const EXPIRES_S_MAX: u64 = 30 * 86_400;
/// Longest text of an invitation.
const INVITATION_BYTES_MAX: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_state_says_what_is_left_why_and_when_next() {
        let peer = |state| Known { state, missing: Some(2), lacks: Some(3), ..Known::default() };
        let since = Some("2026-03-01T01:40:00Z".to_owned());
        let reason = Some("refused: nothing listens there".to_owned());
        let waits = Known { reason, again_ms: Some(3_200), ..peer(PeerState::Waiting) };
        let presses = Known { flash_since: since.clone(), ..peer(PeerState::CatchingUp) };
        let stale = Known { last_heard: since.clone(), ..peer(PeerState::Stale) };
        let at = time(since.as_deref().unwrap_or_default());
        for (peer, expected) in [
            (peer(PeerState::Live), "live".to_owned()),
            (
                Known { left_aside: 3, ..peer(PeerState::Live) },
                "live (3 left aside by interest)".into(),
            ),
            (peer(PeerState::CatchingUp), "catching up (5 left)".into()),
            (presses, format!("catching up (5 left): a flash waits since {at}")),
            (waits, "waiting for link: refused: nothing listens there, again in 4 s".into()),
            (stale, format!("stale since {at}")),
        ] {
            assert_eq!(state(&peer), expected);
        }
    }
}
