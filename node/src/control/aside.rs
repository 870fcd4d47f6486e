//! Interest over the control socket: what is wanted whole of a peer, and what stays with peers because of it.

use serde::{Deserialize, Serialize};

/// Arguments of [`Request::PeerInterest`](super::Request::PeerInterest).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PeerInterest {
    /// The peer: device id, prefix or name; or one of its addresses.
    pub peer: String,
    /// What to want whole of it from now on: what any of these says, or everything if there are none. If absent
    /// nothing is changed.
    #[serde(default)]
    pub wants: Option<Vec<String>>,
}

/// `peer interest`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Interest {
    /// The peer's device id.
    pub device: String,
    /// What it is called; null if that is not known here.
    pub name: Option<String>,
    /// What is wanted whole of it; null for everything.
    pub wants: Option<String>,
    /// What it wants whole of this device, while it is linked; null for everything.
    pub wanted: Option<String>,
    /// Whether it is a blind relay, which goes by class and time alone.
    pub relay: bool,
    /// Entries that it left out and that are not here yet.
    pub left_aside: u64,
}

/// What is not here yet of a record: an item of [`Asides`]; the answer of `record fetch` without a file.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Aside {
    /// The record's id.
    pub record: String,
    /// Its compartment.
    pub compartment: String,
    /// The compartment's name.
    pub compartment_name: String,
    /// How many of its entries are not here.
    pub entries: u64,
    /// With whom they stay.
    pub with: Vec<With>,
}

/// Entries that stay with a peer.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct With {
    /// Its device id.
    pub device: String,
    /// What it is called; null if that is not known here.
    pub name: Option<String>,
    /// How many.
    pub entries: u64,
}

/// `record list --aside`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Asides {
    /// The records, up to the limit.
    pub records: Vec<Aside>,
    /// How many entries are not here, of all records.
    pub entries: u64,
}
