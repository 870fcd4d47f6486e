//! What is left aside: entries of records whose payload stays with another peer
//! ([`crate::logbook::holes`]).
//!
//! Such an entry is listed with its record, and waits; so do those that build on it. Nothing that is shown is
//! false for it: a record without its genesis is not shown, and one that lacks a label is not, either, since
//! that may restrict it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::entry::sealed::EntryKind;
use crate::id::{CompartmentId, DeviceId, RecordId};
use crate::logbook::LogNo;
use crate::store::{Batch, StoreError};

use super::begun::Content;
use super::hurt;
use super::open::Source;
use super::thread::{Place, Thread};
use super::{Desk, Kind, Listing, Reader, Shelf, Verdict, Work};

/// What decides whether somebody wants a record: what it began as, and where it was and is.
#[derive(Clone, Debug, PartialEq)]
pub struct Gist {
    /// What it is about.
    pub kind: Kind,
    /// The places in it, each latitude and longitude in degrees.
    pub places: Vec<(f64, f64)>,
}

/// What is left aside of a record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Aside {
    /// The record.
    pub record: RecordId,
    /// Where it is.
    pub compartment: CompartmentId,
    /// How many of its entries stay with each of these devices.
    pub with: BTreeMap<DeviceId, u64>,
}

/// Most entries of a record among which its genesis is looked for. It is the first of its log.
const GENESIS_WITHIN: usize = 64;
/// Most places of a record that are looked at, and how deep in it.
const PLACES_MAX: usize = 64;
const PLACES_DEPTH_MAX: usize = 4;

impl Shelf {
    /// Payloads of entries that were listed without them are here: their records are judged again. To be
    /// called behind the batch that put them there.
    pub fn filled(
        &mut self,
        desk: &mut Desk<'_>,
        batch: &mut Batch,
        no: LogNo,
        seqs: &BTreeSet<u64>,
    ) -> Result<(), StoreError> {
        let Some(log) = desk.logbook.log(no).copied() else { return Ok(()) };
        let mut work = Work::new(desk, batch, log, no, None);
        for seq in seqs {
            let header = work.source().header(Place { no, seq: *seq });
            if let Some(header) = header.or_else(hurt::unless_damaged)? {
                drop(self.threads.take(&header.record));
            }
            work.take_stored(self, *seq)?;
        }
        work.finish(self).map(|_| ())
    }
}

impl Thread {
    /// Whether a label statement is listed that is not here: it may restrict the record.
    pub(super) fn lacks_label(&self) -> bool {
        self.entries().any(|(opened, verdict)| {
            opened.header.kind == EntryKind::LABEL
                && verdict == Verdict::Waiting
                && opened.payload.is_none()
                && !self.is_stored(&opened.place)
        })
    }
}

impl Reader<'_> {
    /// What decides whether somebody wants a record; `None` where its genesis is not here, or cannot be read.
    pub fn gist(&self, record: RecordId) -> Result<Option<Gist>, StoreError> {
        let Some(listing) = Listing::load(self.store, &record)? else { return Ok(None) };
        let mut genesis = None;
        for place in listing.places.iter().take(GENESIS_WITHIN) {
            let opened = self.source().open(*place)?;
            genesis = opened.filter(|opened| opened.header.kind == EntryKind::GENESIS);
            if genesis.is_some() {
                break;
            }
        }
        let Some(genesis) = genesis else { return Ok(None) };
        let mut places = Vec::new();
        let content = Content::read(&genesis, &genesis.log.digest());
        let mut kind = content.as_ref().map(|content| content.kind);
        if let Some(content) = &content {
            find_places(&content.fields, 0, &mut places);
        }
        if (content.is_none() || listing.places.len() > 1)
            && let Some(detail) = self.browse(record)?
        {
            kind = Some(detail.kind);
            find_places(&detail.fields, 0, &mut places);
        }
        Ok(kind.map(|kind| Gist { kind, places }))
    }

    /// What is left aside of a record; `None` if nothing is.
    pub fn aside(&self, record: RecordId) -> Result<Option<Aside>, StoreError> {
        let Some(listing) = Listing::load(self.store, &record)? else { return Ok(None) };
        let mut aside = None;
        for Place { no, seq } in listing.places {
            let Some(log) = self.logbook.log(no) else { continue };
            let Some(with) = self.logbook.hole(log, seq) else { continue };
            let compartment = log.compartment;
            let all =
                aside.get_or_insert_with(|| Aside { record, compartment, with: BTreeMap::new() });
            *all.with.entry(with).or_default() += 1;
        }
        Ok(aside)
    }

    /// The records of which something is left aside, and whose keys are here: so many at most, those that
    /// came first.
    pub fn all_aside(
        &self,
        most: usize,
        may: &dyn Fn(&CompartmentId) -> bool,
    ) -> Result<Vec<Aside>, StoreError> {
        let (mut seen, mut all) = (BTreeSet::new(), Vec::new());
        for hole in self.logbook.holes().filter(|hole| may(&hole.log.compartment)) {
            for seq in hole.span {
                if all.len() >= most {
                    return Ok(all);
                }
                let place = Place { no: hole.no, seq };
                let header = self.source().header(place).or_else(hurt::unless_damaged)?;
                let Some(record) = header.map(|header| header.record) else { continue };
                if seen.insert(record) {
                    all.extend(self.aside(record)?);
                }
            }
        }
        Ok(all)
    }

    const fn source(&self) -> Source<'_> {
        let (store, logbook, keys) = (self.store, self.logbook, self.keys);
        Source { store, logbook, keys, run: None, recall: Some(&self.recall) }
    }
}

/// The places in a map, and in what it holds.
fn find_places(fields: &Map<String, Value>, depth: usize, places: &mut Vec<(f64, f64)>) {
    let degrees = |name: &str| fields.get(name).and_then(Value::as_f64);
    if let (Some(latitude), Some(longitude)) = (degrees("latitude"), degrees("longitude"))
        && places.len() < PLACES_MAX
    {
        places.push((latitude, longitude));
    }
    if depth >= PLACES_DEPTH_MAX {
        return;
    }
    for value in fields.values() {
        let within = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        within
            .iter()
            .filter_map(Value::as_object)
            .for_each(|map| find_places(map, depth + 1, places));
    }
}
