//! Presence: where this device is, and where others say that they are.

use serde_json::Value;

use tearline_crdt::id::CompartmentId;
use tearline_crdt::time::WallTime;
use tearline_mesh::replica::{LASTS_S_MAX, Position};

use super::core::Core;
use super::json;
use super::records::act_failure;
use crate::control::presence::{Presence, PresenceSay, Presences};
use crate::failure::Failure;

impl Core {
    /// Says where this device is.
    pub(super) fn presence_say(&mut self, say: &PresenceSay) -> Result<Value, Failure> {
        let id = self.named_compartment(&say.compartment)?;
        let is_there = say.latitude.abs() <= 90.0 && say.longitude.abs() <= 180.0;
        if !is_there || say.lasts_s > LASTS_S_MAX {
            return Err(Failure::usage(
                "there is no such place, or it holds for longer than a day",
            ));
        }
        let position = Position {
            latitude_e7: (say.latitude * DEGREE).round() as i32,
            longitude_e7: (say.longitude * DEGREE).round() as i32,
            accuracy_m: say.accuracy_m,
        };
        let now = self.now();
        self.replica.be_at(now, id, position, say.lasts_s).map_err(act_failure)?;
        self.carry_out();
        self.presences()
    }

    /// Where devices say that they are.
    pub(super) fn presences(&self) -> Result<Value, Failure> {
        let presences = self.presence_shapes().into_iter().map(|(_, one)| one).collect();
        json(&Presences { presences })
    }

    /// The same, each with its compartment.
    pub(super) fn presence_shapes(&self) -> Vec<(CompartmentId, Presence)> {
        let shown = |said: tearline_mesh::replica::Presence| {
            let shape = Presence {
                device: said.device.to_string(),
                name: self.name_of(&said.device),
                agency: self.agency_ref(self.agency_of(&said.device)),
                compartment: said.compartment.to_string(),
                compartment_name: self.compartment_name(&said.compartment),
                latitude: f64::from(said.position.latitude_e7) / DEGREE,
                longitude: f64::from(said.position.longitude_e7) / DEGREE,
                accuracy_m: said.position.accuracy_m,
                said: said.written.to_string(),
                until: WallTime(said.written.0.saturating_add(said.lasts_ms)).to_string(),
            };
            (said.compartment, shape)
        };
        self.replica.presences().into_iter().map(shown).collect()
    }
}

/// Positions are held in parts of a degree.
const DEGREE: f64 = 1e7;
