//! What an evaluator answers, in one form for all of them, so that answers can be compared. Only
//! ordered sets and maps: two answers are equal if they say the same.

use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::id::{
    AgencyNo, CompartmentId, DeviceId, EntryId, EpochId, Incarnation, LogId, StatementId,
};
use tearline_crdt::keys::{DeviceCard, RootKey};
use tearline_crdt::statement::{Caveats, Mark, Right};

/// All answers of one peer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Answers {
    /// The area that is the coalition itself.
    pub(crate) coalition: CompartmentId,
    /// Members in positive reach, with their roots.
    pub(crate) members: BTreeMap<AgencyNo, BTreeSet<RootKey>>,
    /// Members by what counts.
    pub(crate) seats: BTreeMap<AgencyNo, BTreeSet<RootKey>>,
    /// Acts in force.
    pub(crate) acts: BTreeSet<StatementId>,
    /// The coalition and its compartments.
    pub(crate) areas: BTreeMap<CompartmentId, AreaAnswers>,
}

/// The answers for one area.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct AreaAnswers {
    /// Devices with any route.
    pub(crate) devices: BTreeMap<DeviceId, DeviceAnswers>,
    /// Valid closures that apply here.
    pub(crate) closures: BTreeSet<ClosureAnswers>,
    /// For each log held: how many entries count, and why the next does not.
    pub(crate) logs: BTreeMap<LogId, (u64, Option<Reason>)>,
    /// For each forked log of which anything may count: the mark that says which branch is to be held.
    pub(crate) chosen: BTreeMap<LogId, (u64, EntryId)>,
    /// Widening statements that count.
    pub(crate) statements: BTreeSet<EntryId>,
    /// For each record whose originator is known, what holds for a peer of each agency.
    pub(crate) records: BTreeMap<EntryId, BTreeMap<AgencyNo, RecordAnswers>>,
    /// Of the entries that some erasure lists: which a peer of each agency destroys that does not
    /// read the record.
    pub(crate) destroyed: BTreeMap<AgencyNo, BTreeSet<EntryId>>,
    /// The agencies of the devices that wrote the entries of compartments.
    pub(crate) authors: BTreeMap<EntryId, AgencyNo>,
    /// Live devices that may read.
    pub(crate) readers: BTreeSet<DeviceId>,
    /// The epochs of a compartment.
    pub(crate) epochs: BTreeMap<EpochId, EpochAnswers>,
    /// For each device that can open one: the epoch under which it writes.
    pub(crate) current: BTreeMap<DeviceId, EpochId>,
}

/// A device in an area.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct DeviceAnswers {
    /// By what counts.
    pub(crate) agency: Option<AgencyNo>,
    pub(crate) card: Option<DeviceCard>,
    pub(crate) desk: bool,
    /// Its routes: of every incarnation, and those that name one.
    pub(crate) counting: BTreeMap<Option<Incarnation>, BTreeSet<Route>>,
    /// Its incarnations that have no others than those that name them.
    pub(crate) readmitted: BTreeSet<Incarnation>,
    /// The agencies as whose it has positive reach.
    pub(crate) reach: BTreeSet<AgencyNo>,
    pub(crate) live: bool,
}

/// A route (§3).
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Route {
    pub(crate) depth: u8,
    pub(crate) right: Right,
    pub(crate) limits: Caveats,
}

/// A closure (§4).
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct ClosureAnswers {
    pub(crate) id: StatementId,
    pub(crate) devices: BTreeSet<DeviceId>,
    pub(crate) marks: Vec<Mark>,
}

/// The first rule of §6 that an entry fails.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Reason {
    Standing,
    Branch,
    Closure,
}

/// What holds of a record for the peers of one agency (§8).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct RecordAnswers {
    pub(crate) erased: bool,
    pub(crate) restricted: bool,
    pub(crate) recalled: bool,
    pub(crate) held: bool,
}

/// What is known of an epoch (§9).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct EpochAnswers {
    pub(crate) known: bool,
    pub(crate) clean: bool,
    pub(crate) counts: bool,
    pub(crate) retired: bool,
    pub(crate) readers: BTreeSet<DeviceId>,
}
