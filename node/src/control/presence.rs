//! Presence over the control socket: where this device is, and where others say that they are.

use serde::{Deserialize, Serialize};

use super::reply::AgencyRef;

/// Arguments of [`Request::PresenceSay`](super::Request::PresenceSay).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PresenceSay {
    /// In which compartment.
    pub compartment: String,
    /// Degrees, north positive.
    pub latitude: f64,
    /// Degrees, east positive.
    pub longitude: f64,
    /// How far off it may be, in m.
    pub accuracy_m: u16,
    /// For how long it holds; 0 takes back what was said.
    pub lasts_s: u64,
}

/// `presence list`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Presences {
    /// The devices that say where they are.
    pub presences: Vec<Presence>,
}

/// Where a device says that it is.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Presence {
    /// Its device id.
    pub device: String,
    /// What it is called; null if that is not known here.
    pub name: Option<String>,
    /// Its agency.
    pub agency: AgencyRef,
    /// The compartment in which it says so.
    pub compartment: String,
    /// That compartment's name.
    pub compartment_name: String,
    /// Degrees, north positive.
    pub latitude: f64,
    /// Degrees, east positive.
    pub longitude: f64,
    /// How far off it may be, in m.
    pub accuracy_m: u16,
    /// When it said so, by its clock.
    pub said: String,
    /// Until when that holds, by its clock.
    pub until: String,
}
