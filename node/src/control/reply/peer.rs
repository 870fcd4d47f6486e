//! Peers and how they are.

use serde::{Deserialize, Serialize};

use super::{AgencyRef, Standing};

shape!(
/// A peer: an item of `status` and `peer list`; the answer of `peer add`, `remove`, `pause` and
/// `resume`.
Peer {
    /// Its device id.
    device: String,
    /// What it is called; null if that is not known here.
    name: Option<String>,
    /// Its agency; null until it is known.
    agency: Option<AgencyRef>,
    /// Whether its standing holds.
    standing: Standing,
    /// Whether it is a blind relay: it may relay in the coalition, and do nothing else.
    relay: bool,
    /// Where it is dialled. Empty for one that dials us.
    addresses: Vec<String>,
    /// Its thin link; null if none is set.
    thin: Option<ThinLink>,
    /// How it is now.
    state: PeerState,
    /// What carries the link to it: "quic", "tcp", or "circuit" over a relay; of a thin link "udp", "kiss" or "serial"; null while
    /// there is none.
    by: Option<String>,
    /// Where the other end of that link is; null while there is none.
    from: Option<String>,
    /// Whether that link is one that it dialled.
    dialled_us: bool,
    /// Why it is so, where that says something: "refused: nothing listens there".
    reason: Option<String>,
    /// When it is tried again, in ms from now; null if that is not known, or never.
    again_ms: Option<u64>,
    /// When it was last heard; null if never.
    last_heard: Option<String>,
    /// Entries that it said it has and that are not here; null until it is known.
    missing: Option<u64>,
    /// Entries that it lacks, linked or not; null if nothing is known of it since the daemon started.
    lacks: Option<u64>,
    /// Since when the oldest flash that it lacks is here; null if it lacks none that came since the daemon
    /// started.
    flash_since: Option<String>,
    /// Logs of which it has not, or cannot read, what this device lacks: that has to come from another.
    gone: u64,
    /// What is wanted whole of it; null for everything.
    interest: Option<String>,
    /// Entries that it left out and that are not here yet.
    left_aside: u64,
    /// Bytes of frames sent to it over the link that is up; 0 while there is none.
    sent_bytes: u64,
    /// Bytes of frames received from it over the link that is up; 0 while there is none.
    received_bytes: u64,
    /// The compartments in whose gossip it is a neighbour, by id. None while one of the two has no other
    /// peer there.
    gossip: Vec<Neighbour>,
    /// When the last bundle was made for it here; null if none was.
    bundle_made: Option<String>,
    /// When it made the latest of its bundles that were read here to the end, by its clock; null if none was.
    bundle_read: Option<String>,
});

shape!(
/// A neighbour in the gossip of a compartment.
Neighbour {
    /// The compartment.
    compartment: String,
    /// Its name.
    name: String,
    /// What it is in the tree: "parent" (it leads to the root, and what is new goes both ways at once),
    /// "eager" (what is new is sent to it at once) or "lazy" (it is told of it).
    way: String,
});

shape!(
/// A thin link: it is up only while the peer has no other link.
ThinLink {
    /// Where, as it is written down.
    address: String,
    /// Bytes of link frames sent since the daemon started: what took air time.
    sent_bytes: u64,
    /// Bytes of link frames received from the peer since then.
    received_bytes: u64,
    /// Bytes of content that came more than once.
    repeated_bytes: u64,
    /// Link frames that came and were not taken: of others, damaged, or repeated by the line.
    refused_frames: u64,
});

/// How a peer is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerState {
    /// Connected, and nothing is missing on either side.
    Live,
    /// Connected, entries are still to come or to go.
    CatchingUp,
    /// Connected, and its standing has ended: it is told by what, and nothing else is exchanged.
    Ended,
    /// Not connected; dialled again by and by.
    #[default]
    Waiting,
    /// Heard since the daemon started, and not for an hour, while something is to go to it or it has no link;
    /// or it dialled this device, has no link now, and is not dialled from here.
    Stale,
    /// It misbehaved and gets no link until its time is over or `peer resume`; or nothing is taken from
    /// it, because the disk is full.
    Blocked,
    /// No link to it is wanted until `peer resume`.
    Paused,
}

shape!(
/// `peer list`.
Peers {
    /// The peers: who is linked, dialled, exchanges bundles, or misbehaved.
    peers: Vec<Peer>,
    /// Other members that were heard since the daemon started: they dialled this device, and are off now.
    heard: Vec<Peer>,
    /// How many other devices have a standing in the coalition, linked or not.
    known: u64,
});
