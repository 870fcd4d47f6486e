//! Reading records: one at a time, with all that explains them.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::document::Conflicts;
use crate::entry::sealed::EntryKind;
use crate::epoch::EpochKeys;
use crate::id::{AgencyNo, CompartmentId, DeviceId, EntryId, EpochId, LogId, RecordId};
use crate::logbook::Logbook;
use crate::store::{Store, StoreError};
use crate::time::WallTime;

use super::super::kind::Kind;
use super::super::label::Label;
use super::open::{Recall, Source};
use super::thread::Thread;
use super::{Listing, RecordState, Shelf, Standings, Stewardship};

pub use super::thread::{Quarantine, Verdict};

/// A record in full.
#[derive(Clone, Debug)]
pub struct Detail {
    /// The record.
    pub record: RecordId,
    /// Rises with every change of what the record says here.
    pub version: u64,
    /// Where it is.
    pub compartment: CompartmentId,
    /// What it is about.
    pub kind: Kind,
    /// The agency whose device began it.
    pub origin: AgencyNo,
    /// The device that began it.
    pub device: DeviceId,
    /// The label that holds.
    pub label: Label,
    /// Its genesis.
    pub genesis: EntryId,
    /// How it stands. A restricted record has no fields and no conflicts here.
    pub state: RecordState,
    /// Its properties. Where values are concurrent, one of them; all are in `conflicts`.
    pub fields: Map<String, Value>,
    /// Concurrent values, by path.
    pub conflicts: Conflicts,
    /// The releases that it names, also where its fields are hidden. One is its release if it says so,
    /// too.
    pub releases: Vec<RecordId>,
    /// The record that it says it was released from, when it began.
    pub released_from: Option<RecordId>,
    /// When its author says it began.
    pub created: WallTime,
    /// When the first entry of it that opened came to this peer.
    pub arrived: WallTime,
    /// Its entries.
    pub entries: Vec<EntryView>,
}

/// One entry of a record.
#[derive(Clone, Debug)]
pub struct EntryView {
    /// Its id.
    pub id: EntryId,
    /// Its log.
    pub log: LogId,
    /// Its position.
    pub seq: u64,
    /// What it does.
    pub kind: EntryKind,
    /// Its author's clock.
    pub wall: WallTime,
    /// The fields that it touches, if it is a change.
    pub fields: Vec<String>,
    /// What became of it.
    pub verdict: Verdict,
}

/// Answers about records.
#[expect(missing_debug_implementations, reason = "holds trait objects of its caller")]
pub struct Reader<'a> {
    shelf: &'a mut Shelf,
    pub(super) store: &'a dyn Store,
    pub(super) logbook: &'a Logbook,
    pub(super) keys: &'a BTreeMap<EpochId, EpochKeys>,
    standings: &'a dyn Standings,
    /// What was read last: nothing changes while this reads.
    pub(super) recall: RefCell<Recall>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        shelf: &'a mut Shelf,
        store: &'a dyn Store,
        logbook: &'a Logbook,
        keys: &'a BTreeMap<EpochId, EpochKeys>,
        standings: &'a dyn Standings,
    ) -> Self {
        Self { shelf, store, logbook, keys, standings, recall: RefCell::default() }
    }

    /// A record in full; `None` where there is none that can be read.
    pub fn show(&mut self, record: RecordId) -> Result<Option<Detail>, StoreError> {
        if self.shelf.erased.contains_key(&record) {
            return Ok(None);
        }
        let Some(listing) = Listing::load(self.store, &record)? else { return Ok(None) };
        let standings = self.standings;
        let Some(thread) = self.thread(record)? else { return Ok(None) };
        Ok(detail(thread, &listing, standings))
    }

    /// A record in full, as [`Reader::show`] has it, of which nothing is kept. Who goes through many pushes
    /// none out that others use, and those whose entries lie side by side are read together.
    pub fn browse(&self, record: RecordId) -> Result<Option<Detail>, StoreError> {
        if self.shelf.erased.contains_key(&record) {
            return Ok(None);
        }
        let Some(listing) = Listing::load(self.store, &record)? else { return Ok(None) };
        if let Some(thread) = self.shelf.threads.peek(&record) {
            return Ok(detail(thread, &listing, self.standings));
        }
        let thread = self.build(record, &listing, self.standings)?;
        Ok(detail(&thread, &listing, self.standings))
    }

    /// What an agency's devices *brought* last, property by property: what a record's genesis and the entries
    /// of kind [`EntryKind::BROUGHT`] of them that count say, whatever was edited since. Known also of a
    /// record whose content is hidden: nothing of it may be shown.
    pub fn brought(
        &mut self,
        record: RecordId,
        by: AgencyNo,
    ) -> Result<Map<String, Value>, StoreError> {
        let standings = self.standings;
        let Some(thread) = self.thread(record)? else { return Ok(Map::new()) };
        let of = |log: &LogId| standings.agency(&log.compartment, &log.device) == Some(by);
        Ok(thread.brought(&of))
    }

    /// A record as it would be if quarantined entries of it counted: what somebody decides on who may
    /// adopt them. `None` where even then there is none that can be read. Nothing may be built from
    /// the answer: what it says does not count.
    pub fn as_if(&self, record: RecordId, counts: AsIf) -> Result<Option<Detail>, StoreError> {
        if self.shelf.erased.contains_key(&record) {
            return Ok(None);
        }
        let Some(listing) = Listing::load(self.store, &record)? else { return Ok(None) };
        let standings = Supposed { standings: self.standings, counts };
        let thread = self.build(record, &listing, &standings)?;
        Ok(detail(&thread, &listing, &standings))
    }

    /// A record's thread, if the record is here.
    pub(super) fn thread(&mut self, record: RecordId) -> Result<Option<&Thread>, StoreError> {
        self.load(record)?;
        Ok(self.shelf.threads.thread(&record))
    }

    /// Brings a record's thread into the cache, if the record is here.
    pub(super) fn load(&mut self, record: RecordId) -> Result<(), StoreError> {
        if self.shelf.threads.contains(&record) {
            return Ok(());
        }
        let Some(listing) = Listing::load(self.store, &record)? else { return Ok(()) };
        let thread = self.build(record, &listing, self.standings)?;
        self.shelf.threads.keep(record, thread);
        Ok(())
    }

    fn build(
        &self,
        record: RecordId,
        listing: &Listing,
        standings: &dyn Standings,
    ) -> Result<Thread, StoreError> {
        let (store, logbook, keys) = (self.store, self.logbook, self.keys);
        let source = Source { store, logbook, keys, run: None, recall: Some(&self.recall) };
        let counts = |log: &LogId, seq| standings.limit(log) > seq;
        let mut thread = source.thread(record, listing.places.iter().copied(), &counts)?;
        thread.evaluate(standings, &mut |opened| source.payload(opened))?;
        Ok(thread)
    }
}

/// What a thread says in full; `None` where nothing of it counts.
fn detail(thread: &Thread, listing: &Listing, standings: &dyn Standings) -> Option<Detail> {
    let summary = thread.summary(standings)?;
    let hidden = summary.state.hides();
    let entries = thread
        .entries()
        .map(|(opened, verdict)| EntryView {
            id: opened.id,
            log: opened.log,
            seq: opened.place.seq,
            kind: opened.header.kind,
            wall: opened.header.wall,
            fields: if hidden { vec![] } else { thread.fields(&opened.place) },
            verdict,
        })
        .collect();
    Some(Detail {
        record: thread.record(),
        version: listing.version,
        compartment: summary.compartment,
        kind: summary.kind,
        origin: summary.origin,
        device: summary.device,
        label: summary.label,
        fields: summary.fields,
        genesis: summary.genesis,
        state: summary.state,
        conflicts: if hidden { Conflicts::new() } else { thread.document().conflicts() },
        releases: summary.releases,
        released_from: summary.released_from,
        created: summary.created,
        arrived: listing.arrived,
        entries,
    })
}

/// Which quarantined entries of a record are taken to count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AsIf {
    /// All.
    All,
    /// Those of one log up to and with a position: what an adoption of that entry makes count.
    Upto(LogId, u64),
    /// Those, and all of other logs.
    UptoBesideAll(LogId, u64),
}

/// Standings, but for what is taken to count.
struct Supposed<'a> {
    standings: &'a dyn Standings,
    counts: AsIf,
}

impl Stewardship for Supposed<'_> {
    fn state(&self, log: &LogId, genesis: &EntryId) -> RecordState {
        self.standings.state(log, genesis)
    }

    fn is_erased(&self, log: &LogId, entry: &EntryId) -> bool {
        self.standings.is_erased(log, entry)
    }
}

impl Standings for Supposed<'_> {
    fn agency(&self, compartment: &CompartmentId, device: &DeviceId) -> Option<AgencyNo> {
        self.standings.agency(compartment, device)
    }

    fn limit(&self, log: &LogId) -> u64 {
        match self.counts {
            AsIf::Upto(of, seq) | AsIf::UptoBesideAll(of, seq) if of == *log => {
                seq.saturating_add(1)
            }
            AsIf::Upto(..) => self.standings.limit(log),
            AsIf::All | AsIf::UptoBesideAll(..) => u64::MAX,
        }
    }

    fn allows(&self, log: &LogId, kind: Kind, wall: WallTime) -> bool {
        match self.counts {
            AsIf::Upto(of, _) if of != *log => self.standings.allows(log, kind, wall),
            _ => true,
        }
    }
}
