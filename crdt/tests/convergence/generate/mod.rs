//! Draws histories. What an author writes is mostly sensible and sometimes hostile or foolish, so
//! that every rule of the document has something to decide; `coverage.rs` measures that.
//!
//! A history is drawn move by move ([`moves`]) by authors who know all logs, since only the set
//! matters in the end: a keep can be exact because its author sees the logs as they are then, and
//! what is written later lies beyond it.

mod acts;
mod grants;
mod logs;
mod moves;
mod records;
mod scenes;

use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::charter::Charter;
use tearline_crdt::id::{
    AgencyNo, CoalitionId, CompartmentId, DeviceId, EntryId, EpochId, Incarnation, LogId,
    StatementId,
};
use tearline_crdt::statement::{Opening, Statement};

use crate::cast;
use crate::rng::Rng;
use crate::world::{History, Log};

/// Most agencies of a coalition here, founders among them.
const AGENCIES: u8 = 6;

/// A device of the cast.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
struct Actor {
    agency: u8,
    n: u8,
}

impl Actor {
    fn id(self) -> DeviceId {
        cast::device(self.agency, self.n)
    }

    const fn is_desk(self) -> bool {
        self.n < cast::DESKS
    }
}

/// A closure that somebody may cite.
#[derive(Clone, Debug)]
struct Closing {
    id: StatementId,
    devices: Vec<Actor>,
}

/// An epoch that somebody may follow.
#[derive(Clone, Copy, Debug)]
struct EpochAt {
    area: CompartmentId,
    id: EpochId,
    depth: u64,
}

/// A history in the making.
struct Draft {
    rng: Rng,
    charter: Charter,
    founders: u8,
    coalition: CoalitionId,
    openings: Vec<Opening>,
    logs: BTreeMap<LogId, Log>,
    /// The incarnations of each device, the latest last.
    lives: BTreeMap<DeviceId, Vec<Incarnation>>,
    /// Agencies that are in, or were proposed.
    agencies: Vec<u8>,
    /// Devices that somebody granted something.
    enrolled: BTreeSet<Actor>,
    closings: Vec<Closing>,
    epochs: Vec<EpochAt>,
    /// Genesis, other entries, and where.
    records: Vec<(CompartmentId, EntryId, Vec<EntryId>)>,
    /// Holds and restrictions that somebody may lift.
    liftable: Vec<StatementId>,
    written: usize,
}

/// The history of a seed.
pub(crate) fn history(seed: u64) -> History {
    let mut draft = Draft::new(seed);
    draft.beginning();
    let size = draft.rng.within(20, 110);
    while draft.written < size {
        draft.one_move();
    }
    draft.finish(seed)
}

impl Draft {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let founders = rng.within(1, 4) as u8;
        let quorum = rng.within(1, usize::from(founders)) as u16;
        let charter = Charter {
            name: "Drill".into(),
            nonce: [1; 16],
            quorum,
            limits_version: 1,
            erasure_delay_hours: 0,
            default_label: Vec::new(),
            agreement: None,
            founders: (1..=founders).map(|no| cast::member(no, no)).collect(),
        };
        Self {
            rng,
            coalition: charter.id(),
            charter,
            founders,
            openings: Vec::new(),
            logs: BTreeMap::new(),
            lives: BTreeMap::new(),
            agencies: (1..=founders).collect(),
            enrolled: BTreeSet::new(),
            closings: Vec::new(),
            epochs: Vec::new(),
            records: Vec::new(),
            liftable: Vec::new(),
            written: 0,
        }
    }

    fn finish(self, seed: u64) -> History {
        History {
            seed,
            charter: self.charter,
            openings: self.openings,
            logs: self.logs.into_values().collect(),
            records: self.records.iter().map(|(_, genesis, _)| *genesis).collect(),
        }
    }

    /// The coalition's own area.
    const fn whole(&self) -> CompartmentId {
        CompartmentId(self.coalition.0)
    }

    /// A compartment.
    fn compartment(&mut self) -> CompartmentId {
        let ids: Vec<CompartmentId> = self.openings.iter().map(Opening::id).collect();
        self.rng.pick(&ids)
    }

    /// The coalition or a compartment.
    fn area(&mut self) -> CompartmentId {
        if self.rng.chance(50) { self.whole() } else { self.compartment() }
    }

    /// An agency that has to do with the coalition.
    fn agency(&mut self) -> u8 {
        let agencies = self.agencies.clone();
        self.rng.pick(&agencies)
    }

    /// A desk of an agency.
    fn desk_of(&mut self, agency: u8) -> Actor {
        let n = if self.rng.chance(75) { 0 } else { 1 };
        Actor { agency, n }
    }

    fn desk(&mut self) -> Actor {
        let agency = self.agency();
        self.desk_of(agency)
    }

    /// A device that is no desk; mostly one that was granted something.
    fn unit(&mut self) -> Actor {
        let units: Vec<Actor> = self.enrolled.iter().copied().filter(|a| !a.is_desk()).collect();
        if !units.is_empty() && self.rng.chance(90) {
            return self.rng.pick(&units);
        }
        let agency = self.agency();
        Actor { agency, n: self.rng.within(2, usize::from(cast::DEVICES) - 1) as u8 }
    }

    /// A device of an agency that is no desk.
    fn unit_of(&mut self, agency: u8) -> Actor {
        let units: Vec<Actor> = self.enrolled.iter().copied().collect();
        let units: Vec<Actor> =
            units.into_iter().filter(|a| !a.is_desk() && a.agency == agency).collect();
        if units.is_empty() { Actor { agency, n: 2 } } else { self.rng.pick(&units) }
    }

    /// Anybody: desks, devices, now and then a stranger.
    fn anybody(&mut self) -> Actor {
        match self.rng.below(20) {
            0 => Actor { agency: 0, n: self.rng.below(2) as u8 },
            1..=9 => self.desk(),
            _ => self.unit(),
        }
    }

    /// The beginning of a coalition: founders' desks, a few devices, compartments and epochs.
    fn beginning(&mut self) {
        for agency in 1..=self.founders {
            for n in 0..if self.rng.chance(50) { 2 } else { 1 } {
                let desk = Actor { agency, n };
                self.enrolled.insert(desk);
                let certificate = cast::certificate(agency, agency, n);
                self.say(desk, self.whole(), Statement::Desk(certificate));
            }
            for n in 2..2 + self.rng.within(1, 2) as u8 {
                self.enrol(Actor { agency, n });
            }
        }
        for nonce in 0..self.rng.within(1, 3) as u8 {
            self.open(nonce);
        }
    }

    /// A compartment for some of the founders, with a first epoch.
    fn open(&mut self, nonce: u8) {
        let mut audience: Vec<u8> = (1..=self.founders).filter(|_| self.rng.chance(70)).collect();
        if audience.is_empty() {
            audience.push(1);
        }
        // An agency that is not in yet, or never will be.
        if self.rng.chance(30) {
            audience.push(self.founders + 1);
        }
        let opener = Actor { agency: audience[0], n: 0 };
        let audience =
            audience.iter().map(|no| (AgencyNo(u16::from(*no)), cast::root(*no))).collect();
        let opening = cast::opening((opener.agency, opener.n), self.coalition, audience, nonce);
        let area = opening.id();
        self.openings.push(opening.clone());
        self.say(opener, area, Statement::Open(opening));
        self.epoch_in(area, opener);
        self.write_record(opener, area);
    }
}
