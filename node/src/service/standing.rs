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
use crate::failure::Failure;

/// What a standing was ended by.
enum End {
    Device(DeviceId),
    Agency(AgencyNo),
}

impl Core {
    /// Notes which standings have ended since this was called last, and which were given back. Links to
    /// devices that have ended are closed: when they come again, they are named nothing, and know.
    pub(super) fn note_standings(&mut self) -> Result<(), StoreError> {
        let Ok(coalition) = self.coalition() else { return Ok(()) };
        let devices = coalition.devices().keys().copied();
        let devices = devices.map(|device| (End::Device(device), has_ended(coalition, &device)));
        let agencies = coalition.seats().keys().copied();
        let agencies = agencies.map(|no| (End::Agency(no), coalition.is_retired(no)));
        let mut batch = Batch::default();
        let mut fresh = Vec::new();
        let now = self.now().wall;
        for (whose, ended) in devices.chain(agencies) {
            let key = whose.key();
            let noted = self.replica.store().get(Space::Meta, &key)?.is_some();
            match (ended, noted) {
                (true, false) => {
                    batch.put(Space::Meta, key, now.0.to_be_bytes());
                    if let End::Device(device) = whose {
                        fresh.push(device);
                    }
                }
                (false, true) => batch.remove(Space::Meta, key),
                (true, true) | (false, false) => {}
            }
        }
        if !batch.is_empty() {
            self.replica.put(batch)?;
        }
        fresh.iter().for_each(|device| self.disconnect(device));
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

    /// What ended this device's own standing; `None` while it holds, and before it has one.
    pub(super) fn own_end(&self) -> Option<reply::Ended> {
        let coalition = self.coalition().ok()?;
        let own = self.replica.device();
        if !has_ended(coalition, &own) {
            return self.refused_by_all(coalition);
        }
        let reply::Standing { state, since, .. } = self.standing_of(&own);
        let closures: BTreeSet<StatementId> =
            coalition.closures_of(&own).map(|one| one.id).collect();
        let is_desk = coalition.devices().get(&own).is_some_and(|standing| standing.desk);
        let fix = match (state.as_str(), is_desk) {
            (RETIRED, _) => {
                "the founders can admit the agency again: `tearline coalition amend admit`"
            }
            (_, true) => {
                "the agency goes on with a desk on another device: `tearline root draft desk` there"
            }
            (_, false) => {
                "a desk of the agency can readmit it in a new life: `tearline doctor --new-life` here, \
                 then `tearline grant issue --readmit` there"
            }
        };
        let by = closures.into_iter().flat_map(|id| self.decided(id)).collect();
        Some(reply::Ended { state, since, by, fix: fix.into() })
    }

    /// An ended device is told why by whom it meets. Until it could follow that, what it can notice is that
    /// no member that it is linked to names the coalition to it.
    fn refused_by_all(&self, coalition: &Coalition) -> Option<reply::Ended> {
        let peers = self.replica.peers().into_iter();
        let mut members =
            peers.filter(|peer| peer.live && coalition.live(&peer.device).is_some()).peekable();
        members.peek()?;
        members.all(|peer| !peer.in_coalition).then(|| reply::Ended {
            state: REFUSED.into(),
            since: None,
            by: Vec::new(),
            fix: "ask a desk of the agency: `tearline device list` there says whether it has ended"
                .into(),
        })
    }

    /// Refuses what a device asks or writes whose own standing is known to have ended.
    pub(super) fn stands(&self) -> Result<(), Failure> {
        let end = self.own_end().filter(|end| end.state != REFUSED);
        end.map_or(Ok(()), |end| Err(Failure::denied(end.to_string()).hint(end.fix)))
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
pub(super) const REFUSED: &str = "refused";

fn live() -> reply::Standing {
    reply::Standing { state: "live".into(), ..Default::default() }
}

fn unknown() -> reply::Standing {
    reply::Standing { state: "unknown".into(), ..Default::default() }
}
