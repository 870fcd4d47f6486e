//! What the holder of a pass and an operator at the portal may see and do. Every list, count, page, manifest,
//! write and error of the gateway and of the portal asks here and nowhere else; what a pass does not cover is,
//! to its holder, not there.
//!
//! A record is seen if this device may read its compartment now, if the row shows its present state, if
//! its content is not hidden (restricted, erased), if its label allows the purpose that the pass was minted
//! for, and if the pass allows the operation for its compartment, kind and colour. A label that is not known is
//! above every colour.
//!
//! A verdict that could not be reached, because the machine is too busy for the check's time limit, is an
//! error of the whole request and never "not there": a page must not be short of what its reader may see.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tearline_crdt::id::{AgencyNo, CompartmentId, RecordId};
use tearline_crdt::record::kind::Kind as RecordKind;
use tearline_crdt::record::label::Label;
use tearline_crdt::record::shelf::Detail;
use tearline_crdt::record::vocabulary::{Purpose, Tlp, Vocabulary as _};
use tearline_crdt::store::StoreError;

use super::core::Core;
use super::export::row_of;
use super::overview::store_failure;
use crate::failure::{Failure, Kind};
use crate::index::{Arrivals, Asked, Row};
use crate::pass::{
    Denial, Operation, Pass, PassFault, PassId, PassKey, PassVerdict, Request, Second,
    UnverifiedPass, register,
};

/// Whoever holds a pass, for the time of one request. Verdicts are kept that long.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    pass: Arc<Pass>,
    verdicts: Arc<Mutex<BTreeMap<Question, bool>>>,
}

/// An operator at the portal: for what he works, and up to which colour he is shown records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Viewer {
    /// What the records are used for.
    pub(crate) purpose: Purpose,
    /// The highest colour.
    pub(crate) label_max: Tlp,
    /// Whether he is shown that there is something whose content is hidden: who restricts can lift.
    pub(crate) withholds: bool,
}

impl Viewer {
    /// Whether an operator may see the record of a row, on a device that may read its compartment.
    pub(crate) fn may_consult(&self, row: &Row) -> bool {
        (self.withholds || !row.restricted)
            && may_be_used(row, self.purpose)
            && colour(row.tlp).is_some_and(|tlp| tlp <= self.label_max)
    }
}

/// For whom records are looked at.
#[derive(Clone, Debug)]
pub(crate) enum Reader {
    /// For the holder of a pass, who does this with them.
    Guest(Guest, Operation),
    /// For whoever is outside of the mesh.
    Outside(Outside),
}

/// What may go out to somebody outside of the mesh.
#[derive(Clone, Debug)]
pub(crate) struct Outside {
    /// For what, and up to which colour.
    pub(crate) viewer: Viewer,
    /// Whose records alone, if it is not everybody's.
    pub(crate) origin: Option<AgencyNo>,
    /// What a walk came by, for the one who walks.
    pub(crate) met: Arc<Mutex<Met>>,
}

/// What a walk came by beside what it shows.
#[derive(Debug, Default)]
pub(crate) struct Met {
    /// The stamp of the last row.
    pub(crate) last_us: u64,
    /// The stamps of those that the ceiling or the purpose holds back: a walk may come by a row twice.
    pub(crate) withheld: BTreeSet<u64>,
}

impl Outside {
    /// Comes by a row. Whether it is of those that may go out at all.
    fn meets(&self, row: &Row) -> bool {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.last_us = met.last_us.max(row.stamp_us);
        self.origin.is_none_or(|origin| origin == row.origin)
    }

    fn withholds(&self, row: &Row) {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.withheld.insert(row.stamp_us);
    }
}

impl Viewer {
    /// Whether an operator may be told of a record with this label, where nothing else of it is at hand. One
    /// whose label is not known is above every colour.
    pub(crate) fn may_see_label(&self, label: &str) -> bool {
        let known = label.parse().ok().filter(|label: &Label| !label.unknown);
        known.is_some_and(|label| label.allows(self.purpose) && label.tlp <= self.label_max)
    }
}

/// What a verdict is about.
type Question = (Operation, CompartmentId, RecordKind, Option<Tlp>);

/// A compartment as a guest sees it.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    /// Which.
    pub(crate) id: CompartmentId,
    /// What it is called here.
    pub(crate) name: String,
    /// Whether records may be taken out of it.
    pub(crate) readable: bool,
    /// Whether records may be brought into it.
    pub(crate) writable: bool,
}

impl Guest {
    /// The holder of a pass that this device minted.
    pub(super) fn of(token: &str, key: &PassKey) -> Result<Self, PassFault> {
        let pass = UnverifiedPass::parse(token)?.verify(key)?;
        Ok(Self { pass: Arc::new(pass), verdicts: Arc::default() })
    }

    /// The same, of whom nothing is known yet.
    pub(super) fn again(&self) -> Self {
        Self { pass: Arc::clone(&self.pass), verdicts: Arc::default() }
    }

    /// Which pass it is; narrower ones have the same.
    pub(crate) fn pass_id(&self) -> PassId {
        self.pass.said().terms().id
    }

    /// Whether the pass is for an operation at all, wherever and with whatever.
    pub(crate) fn covers(&self, operation: Operation) -> bool {
        self.pass.said().scope().operations.contains(&operation)
    }

    /// Its holder, who does this with records.
    pub(crate) fn to(&self, operation: Operation) -> Reader {
        Reader::Guest(self.clone(), operation)
    }

    /// The last block's name: which pass it is, narrowed as it is.
    pub(crate) fn block(&self) -> [u8; 64] {
        self.pass.said().blocks().last().map_or([0; 64], |block| block.0)
    }
}

impl Core {
    /// Whether a pass holds at all now: not before its time, not after it, and no part of it revoked.
    pub(super) fn holds(&self, guest: &Guest) -> Result<bool, Failure> {
        let said = guest.pass.said();
        let revoked = register::revoked_of(self.replica.store(), said.blocks());
        let revoked = revoked.map_err(|error| store_failure(&error))?;
        let (scope, now) = (said.scope(), Second::of(self.now().wall));
        Ok(revoked.is_empty() && scope.not_before <= now && now < scope.not_after)
    }

    /// Whether a pass allows an operation with one kind of record of one colour somewhere.
    pub(super) fn allows(
        &self,
        guest: &Guest,
        operation: Operation,
        compartment: CompartmentId,
        kind: RecordKind,
        label: Option<Tlp>,
    ) -> Result<bool, Failure> {
        let question = (operation, compartment, kind, label);
        let mut verdicts = guest.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(verdict) = verdicts.get(&question) {
            return Ok(*verdict);
        }
        let now = self.now().wall;
        let request = Request { operation, compartment, kind, label, now };
        let mut verdict = self.pass_verdict(&guest.pass, &request);
        for _ in 1..TRIES_MAX {
            let Ok(PassVerdict::Denied(Denial::Bound(_) | Denial::Evaluation)) = verdict else {
                break;
            };
            verdict = self.pass_verdict(&guest.pass, &request);
        }
        let allowed = match verdict.map_err(|error| store_failure(&error))? {
            PassVerdict::Allowed => true,
            PassVerdict::Denied(Denial::Bound(_) | Denial::Evaluation) => {
                return Err(Failure::new(
                    Kind::Unreachable,
                    "the pass could not be checked in time",
                )
                .hint("the machine is busy; try again"));
            }
            PassVerdict::Denied(_) => false,
        };
        verdicts.insert(question, allowed);
        Ok(allowed)
    }

    /// Whether a guest may do something with the record of a row.
    pub(super) fn sees(
        &self,
        guest: &Guest,
        operation: Operation,
        row: &Row,
    ) -> Result<bool, Failure> {
        let purpose = guest.pass.said().terms().purpose;
        let here = !row.restricted
            && may_be_used(row, purpose)
            && self.replica.right(row.compartment, &self.replica.device()).is_some();
        Ok(here && self.allows(guest, operation, row.compartment, row.kind, colour(row.tlp))?)
    }

    /// Whether a reader may be shown the record of a row.
    fn shows(&self, reader: &Reader, row: &Row) -> Result<bool, Failure> {
        match reader {
            Reader::Guest(guest, operation) => self.sees(guest, *operation, row),
            Reader::Outside(Outside { viewer, .. }) => Ok(viewer.may_consult(row)
                && self.replica.right(row.compartment, &self.replica.device()).is_some()),
        }
    }

    /// The rows that a reader may be shown, in order of arrival.
    pub(super) fn seen_arrivals(
        &mut self,
        reader: &Reader,
        asked: &Asked,
    ) -> Result<Arrivals, Failure> {
        let index = Arc::clone(&self.index);
        let index = index.lock().unwrap_or_else(PoisonError::into_inner);
        let mut trouble = None;
        let mut damaged = None;
        let found = index.arrivals(self.replica.store(), asked, &mut |row| {
            self.admit(reader, row, &mut trouble, &mut damaged)
        });
        drop(index);
        self.after_search(found, trouble, damaged)
    }

    fn admit(
        &self,
        reader: &Reader,
        row: &Row,
        trouble: &mut Option<Failure>,
        damaged: &mut Option<StoreError>,
    ) -> Result<bool, StoreError> {
        let outside = match reader {
            Reader::Outside(outside) => Some(outside),
            Reader::Guest(..) => None,
        };
        if trouble.is_some() || outside.is_some_and(|outside| !outside.meets(row)) {
            return Ok(false);
        }
        match self.replica.record_version(&row.record) {
            Ok(Some(version)) if version == row.version => {}
            Ok(_) => return Ok(false),
            Err(error @ StoreError::Damaged { .. }) => {
                *damaged = Some(error);
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        let shown = self.shows(reader, row).unwrap_or_else(|failure| {
            *trouble = Some(failure);
            false
        });
        if let Some(outside) = outside.filter(|_| !shown && !row.restricted) {
            outside.withholds(row);
        }
        Ok(shown)
    }

    /// Damage that was met is remembered, for the operator: the guest is not told what he cannot see.
    fn after_search(
        &mut self,
        found: Result<Arrivals, StoreError>,
        trouble: Option<Failure>,
        damaged: Option<StoreError>,
    ) -> Result<Arrivals, Failure> {
        if let Some(error) = damaged {
            let _ = self.met(&error);
        }
        let found = found.map_err(|error| self.met(&error))?;
        trouble.map_or(Ok(found), Err)
    }

    /// A record, if a reader may be shown it.
    pub(super) fn seen_record(
        &mut self,
        reader: &Reader,
        id: RecordId,
    ) -> Result<Option<(Row, Detail)>, Failure> {
        let detail = self.visible_or_not(id).map_err(|error| self.met(&error))?;
        let Some(detail) = detail else { return Ok(None) };
        let row = row_of(&detail);
        Ok(self.shows(reader, &row)?.then_some((row, detail)))
    }

    /// The compartments that a guest may take something out of or bring something into, and which.
    pub(super) fn seen_rooms(
        &self,
        guest: &Guest,
        out: Operation,
        into: Operation,
    ) -> Result<Vec<Room>, Failure> {
        let scope = guest.pass.said().scope();
        let mut rooms = Vec::new();
        for (compartment, name) in self.compartments() {
            let id = compartment.id();
            // The least that the pass covers there, if it covers anything.
            let Some(kind) = scope.kinds.first().filter(|_| scope.compartments.contains(&id))
            else {
                continue;
            };
            let may = |operation| self.allows(guest, operation, id, *kind, Some(Tlp::Clear));
            let (readable, writable) = (may(out)?, may(into)?);
            if readable || writable {
                rooms.push(Room { id, name, readable, writable });
            }
        }
        Ok(rooms)
    }
}

/// Whether the record of a row may be used for a purpose: its label is known and allows it.
fn may_be_used(row: &Row, purpose: Purpose) -> bool {
    row.label.parse().is_ok_and(|label: Label| label.allows(purpose))
}

/// A row's colour; `None` if its label is not known.
fn colour(rank: u8) -> Option<Tlp> {
    Tlp::ALL.iter().copied().find(|tlp| *tlp as u8 == rank)
}

/// How often a check is begun that its time limit may end.
const TRIES_MAX: u32 = 3;
