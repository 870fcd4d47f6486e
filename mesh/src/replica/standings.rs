//! Standings: what the statements say of devices, logs and records, as the shelf asks it.

use std::collections::BTreeMap;

use tearline_crdt::id::{AgencyNo, CompartmentId, DeviceId, EntryId, LogId};
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::shelf::{self, Desk, RecordState, Shelf, Stewardship};
use tearline_crdt::store::Store;
use tearline_crdt::time::{Now, WallTime};

use super::Replica;
use super::area::{Area, Body};
use super::reckoning::{HOUR_MS, Reckoned};
use super::words::Heard;

/// The answers as they were last drawn, for a device at a time.
pub(super) struct Standings<'a> {
    areas: &'a BTreeMap<CompartmentId, Area>,
    heard: &'a BTreeMap<EntryId, Heard>,
    /// The device of this peer: whose holds bind it.
    own: DeviceId,
    /// Now, for the delay between hiding and destroying.
    pub(super) now: Reckoned,
}

impl<S: Store> Replica<S> {
    /// The answers as they stand now.
    pub(super) fn standings(&self) -> Standings<'_> {
        Standings::new(&self.areas, &self.heard, self.keys.id(), self.reckoning.now())
    }

    /// Has the shelf work, with all that it needs of the replica before it.
    pub(super) fn at_desk<T>(
        &mut self,
        now: Now,
        work: impl FnOnce(&mut Shelf, &mut Desk<'_>) -> T,
    ) -> T {
        let standings =
            Standings::new(&self.areas, &self.heard, self.keys.id(), self.reckoning.now());
        let mut desk = Desk {
            store: &self.store,
            logbook: &self.logbook,
            keys: &self.epoch_keys,
            standings: &standings,
            projection: &mut *self.projection,
            now: now.wall,
        };
        work(&mut self.shelf, &mut desk)
    }
}

impl<'a> Standings<'a> {
    /// The answers of these areas for a device at a time.
    pub(super) const fn new(
        areas: &'a BTreeMap<CompartmentId, Area>,
        heard: &'a BTreeMap<EntryId, Heard>,
        own: DeviceId,
        now: Reckoned,
    ) -> Self {
        Self { areas, heard, own, now }
    }

    /// A compartment's area and the agency of this peer in it.
    fn area(&self, id: &CompartmentId) -> Option<(&Area, AgencyNo)> {
        let area = self.areas.get(id)?;
        let own = self.agency_in(area, &self.own).unwrap_or_default();
        Some((area, own))
    }

    fn agency_in(&self, area: &Area, device: &DeviceId) -> Option<AgencyNo> {
        let Body::Compartment(compartment) = &area.body else { return None };
        compartment.devices().get(device).map(|standing| standing.agency)
    }

    /// How long a coalition hides before it destroys, in ms.
    fn delay_ms(&self, area: &Area) -> u64 {
        let Body::Compartment(compartment) = &area.body else { return 0 };
        let coalition = CompartmentId(compartment.opening().coalition.0);
        match self.areas.get(&coalition).map(|area| &area.body) {
            Some(Body::Coalition(coalition)) => {
                u64::from(coalition.charter().erasure_delay_hours) * HOUR_MS
            }
            _ => 0,
        }
    }

    /// When what was said of a record is to be carried out; `None` where nobody asked to destroy it.
    pub(super) fn due(&self, log: &LogId, genesis: &EntryId) -> Option<Reckoned> {
        let (area, own) = self.area(&log.compartment)?;
        let Body::Compartment(compartment) = &area.body else { return None };
        let origin = compartment.originator(log)?;
        compartment.record_state(genesis, origin, own).erased?;
        let stewards = [None, Some(origin)].into_iter();
        let heard = stewards.filter_map(|by| self.heard.get(genesis)?.erased.get(&by)).min();
        Some(heard.map_or(self.now, |at| *at).plus_ms(self.delay_ms(area)))
    }

    /// When an entry that erasures list is to be destroyed; `None` where none does in effect.
    pub(super) fn entry_due(&self, log: &LogId, entry: &EntryId) -> Option<Reckoned> {
        let (area, own) = self.area(&log.compartment)?;
        let Body::Compartment(compartment) = &area.body else { return None };
        let author = compartment.originator(log)?;
        let erasures = compartment.erasures_of(entry, author, own);
        let first = erasures.map(|(genesis, by)| self.erased(&genesis, by)).min()?;
        Some(first.plus_ms(self.delay_ms(area)))
    }

    /// When this peer heard that a record is to be destroyed: on the word of who lists entries of it, or if
    /// that one only adds to what others said, on theirs.
    fn erased(&self, genesis: &EntryId, by: Option<AgencyNo>) -> Reckoned {
        let heard = self.heard.get(genesis).map(|heard| &heard.erased);
        let of = |erased: &BTreeMap<Option<AgencyNo>, Reckoned>| {
            erased.get(&by).or_else(|| erased.values().min()).copied()
        };
        heard.and_then(of).unwrap_or(self.now)
    }
}

impl Stewardship for Standings<'_> {
    fn state(&self, log: &LogId, genesis: &EntryId) -> RecordState {
        let Some((area, own)) = self.area(&log.compartment) else { return RecordState::default() };
        let Body::Compartment(compartment) = &area.body else { return RecordState::default() };
        let Some(origin) = compartment.originator(log) else { return RecordState::default() };
        let said = compartment.record_state(genesis, origin, own);
        let due = said.erased.is_some() && self.due(log, genesis).is_some_and(|at| at <= self.now);
        RecordState {
            restricted: said.restricted || said.erased.is_some(),
            recalled: said.recalled,
            erased: said.erased.filter(|_| due),
        }
    }

    fn is_erased(&self, log: &LogId, entry: &EntryId) -> bool {
        self.entry_due(log, entry).is_some_and(|due| due <= self.now)
    }
}

impl shelf::Standings for Standings<'_> {
    fn agency(&self, compartment: &CompartmentId, device: &DeviceId) -> Option<AgencyNo> {
        self.agency_in(self.areas.get(compartment)?, device)
    }

    fn limit(&self, log: &LogId) -> u64 {
        let area = self.areas.get(&log.compartment);
        area.and_then(|area| area.drawn.get(log)).map_or(u64::MAX, |drawn| drawn.limit)
    }

    fn allows(&self, log: &LogId, kind: Kind, wall: WallTime) -> bool {
        let Some(Area { body: Body::Compartment(compartment), .. }) =
            self.areas.get(&log.compartment)
        else {
            return false;
        };
        let standing = compartment.devices().get(&log.device);
        standing.is_some_and(|standing| {
            let mut routes = standing.routes_in(log.incarnation);
            routes.any(|route| route.allows(log.class, kind as u8, wall))
        })
    }
}
