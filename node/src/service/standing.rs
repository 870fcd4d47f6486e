//! Whether the standing of a device or an agency holds, since when it does not, and by which statements.
//!
//! Statements have no time of their own, so that none can be dated back. What is told is when this peer
//! learnt of it, by its own clock: it notes that beside the store's other notes, and forgets it if the
//! standing is given back.

use std::collections::BTreeSet;

use tearline_crdt::authority::Coalition;
use tearline_crdt::id::{AgencyNo, DeviceId, StatementId};
use tearline_crdt::statement::Act;
use tearline_crdt::store::{Batch, Space, Store as _, StoreError};
use tearline_crdt::time::WallTime;

use super::core::Core;
use crate::control::reply;

/// What a standing was ended by.
enum End {
    Device(DeviceId),
    Agency(AgencyNo),
}

impl Core {
    /// Notes which standings have ended since this was called last, and which were given back.
    pub(super) fn note_standings(&mut self) -> Result<(), StoreError> {
        let Ok(coalition) = self.coalition() else { return Ok(()) };
        let devices = coalition.devices().keys().copied();
        let devices = devices.map(|device| (End::Device(device), has_ended(coalition, &device)));
        let agencies = coalition.seats().keys().copied();
        let agencies = agencies.map(|no| (End::Agency(no), coalition.is_retired(no)));
        let mut batch = Batch::default();
        let now = self.now().wall;
        for (whose, ended) in devices.chain(agencies) {
            let key = whose.key();
            let noted = self.replica.store().get(Space::Meta, &key)?.is_some();
            match (ended, noted) {
                (true, false) => batch.put(Space::Meta, key, now.0.to_be_bytes()),
                (false, true) => batch.remove(Space::Meta, key),
                (true, true) | (false, false) => {}
            }
        }
        if !batch.is_empty() {
            self.replica.put(batch)?;
        }
        Ok(())
    }

    /// How the standing of a device is.
    pub(super) fn standing_of(&self, device: &DeviceId) -> reply::Standing {
        let Ok(coalition) = self.coalition() else { return unknown() };
        let Some(standing) = coalition.devices().get(device) else { return unknown() };
        if !has_ended(coalition, device) {
            return live();
        }
        let retired = coalition.is_retired(standing.agency);
        let by: BTreeSet<StatementId> = coalition.closures_of(device).map(|one| one.id).collect();
        reply::Standing {
            state: if retired { RETIRED } else { ENDED }.into(),
            since: self.noted(&End::Device(*device)),
            by: by.iter().map(ToString::to_string).collect(),
        }
    }

    /// How the standing of an agency is.
    pub(super) fn standing_of_agency(&self, no: AgencyNo) -> reply::Standing {
        let Ok(coalition) = self.coalition() else { return unknown() };
        if !coalition.is_retired(no) {
            return if coalition.seats().contains_key(&no) { live() } else { unknown() };
        }
        let retires = |act: &Act| matches!(act, Act::Retire { agency, .. } if *agency == no);
        let acts = coalition.proposals().into_iter();
        let acts = acts.filter(|(_, act)| act.in_force && retires(&act.act));
        reply::Standing {
            state: RETIRED.into(),
            since: self.noted(&End::Agency(no)),
            by: acts.map(|(id, _)| id.to_string()).collect(),
        }
    }

    fn noted(&self, whose: &End) -> Option<String> {
        let bytes = self.replica.store().get(Space::Meta, &whose.key()).ok()??;
        let ms = <[u8; 8]>::try_from(bytes).ok().map(u64::from_be_bytes)?;
        Some(WallTime(ms).to_string())
    }
}

impl End {
    fn key(&self) -> Vec<u8> {
        match self {
            Self::Device(device) => [b"ended/device/".as_slice(), &device.0].concat(),
            Self::Agency(no) => [b"ended/agency/".as_slice(), &no.0.to_be_bytes()].concat(),
        }
    }
}

fn has_ended(coalition: &Coalition, device: &DeviceId) -> bool {
    coalition.live(device).is_none()
}

const RETIRED: &str = "retired";
const ENDED: &str = "ended";

fn live() -> reply::Standing {
    reply::Standing { state: "live".into(), ..Default::default() }
}

fn unknown() -> reply::Standing {
    reply::Standing { state: "unknown".into(), ..Default::default() }
}
