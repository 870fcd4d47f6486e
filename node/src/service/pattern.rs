//! Search by a STIX pattern: which records that this device may see were observed as it says.
//!
//! An observation is an *observed-data* object with the objects that it refers to, or a record by itself that
//! none refers to: a vehicle, a sighting, an imported address. What the pattern asks of single observations is
//! asked record by record, in pieces between other commands; only the answers are kept.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use tearline_crdt::id::{AgencyNo, CompartmentId, RecordId};
use tearline_crdt::record::pattern::{Objects, Pattern, Seen};
use tearline_crdt::record::shelf::Detail;
use tearline_crdt::time::WallTime;

use super::core::{Core, CoreHandle};
use super::damage::Unread;
use super::json;
use super::names::record_id;
use super::overview::store_failure;
use crate::control::{self, PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX, Progress, Report, reply};
use crate::failure::Failure;
use crate::index::{Query, Row};

/// Records looked at in one act.
const RECORDS_PER_ACT: usize = 100;
/// Most objects of one observation.
const OBJECTS_MAX: usize = 500;
/// Most observations that satisfy a part of a pattern: each is a row in memory.
const OBSERVATIONS_MAX: usize = 10_000;

/// Finds what a pattern asks for among what matches the query, the newest first.
pub(super) fn search(
    core: &CoreHandle,
    search: &control::Search,
    pattern: &str,
    progress: &mut Report<'_>,
) -> Result<Value, Failure> {
    let pattern = Pattern::parse(pattern)
        .map_err(|fault| Failure::usage(format!("this is no STIX pattern: {fault}")))?;
    if let Some(fault) = pattern.obstacle() {
        return Err(Failure::usage(format!("this pattern cannot be searched for here: {fault}")));
    }
    let most = match search.limit.unwrap_or(PAGE_ROWS_DEFAULT) {
        n if (1..=PAGE_ROWS_MAX).contains(&n) => n as usize,
        _ => return Err(Failure::usage(format!("a page has 1 to {PAGE_ROWS_MAX} rows"))),
    };
    let after = search.after.as_deref().map(record_id).transpose()?;
    let mut query =
        Query::parse(&search.query).map_err(|error| Failure::usage(error.to_string()))?;
    query.limit = RECORDS_PER_ACT;
    let found = look(core, &Arc::new(pattern), query, progress)?;
    let mut rows = found.rows.into_iter().peekable();
    if let Some(after) = after {
        rows.by_ref().find(|row| row.record == after);
    }
    let page: Vec<Row> = rows.by_ref().take(most).collect();
    let next = page.last().filter(|_| rows.peek().is_some()).map(|row| row.record.to_string());
    let unread = found.unread.shape();
    core.ask(move |core| {
        let records = page.iter().map(|row| core.row_shape(row)).collect();
        let (coming, left_aside) = (core.coming(), core.entries_aside());
        json(&reply::Rows { records, next, coming, left_aside, unread })
    })
}

/// What was found.
struct Found {
    rows: Vec<Row>,
    unread: Unread,
}

fn look(
    core: &CoreHandle,
    pattern: &Arc<Pattern>,
    mut query: Query,
    progress: &mut Report<'_>,
) -> Result<Found, Failure> {
    let (mut observed, mut parts) = (Vec::new(), BTreeSet::new());
    let mut unread = Unread::default();
    let mut done = 0;
    loop {
        let (asked, wanted) = (query.clone(), Arc::clone(pattern));
        let act = core.ask(move |core| core.observe(&asked, &wanted))?;
        done += act.looked_at;
        observed.extend(act.observed);
        parts.extend(act.parts);
        unread.records.extend(act.unread.records);
        unread.blocks += act.unread.blocks;
        if observed.len() > OBSERVATIONS_MAX {
            return Err(Failure::usage(format!(
                "over {OBSERVATIONS_MAX} records satisfy a part of the pattern"
            ))
            .hint("narrow the search with words or terms, such as since:2026-05-01"));
        }
        let note = "comparing".into();
        if progress(Progress { done, total: None, unit: "records".into(), note }).is_break() {
            return Err(Failure::failed("the search was interrupted"));
        }
        match act.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    observed.retain(|one: &Observed| !parts.contains(&one.row.record));
    let (rows, seen): (Vec<Row>, Vec<Seen>) =
        observed.into_iter().map(|one| (one.row, one.seen)).unzip();
    let places = pattern.find(&seen).map_err(|error| {
        Failure::usage(error.to_string()).hint("narrow the search, or ask for less at once")
    })?;
    let rows = rows.into_iter().enumerate();
    let rows = rows.filter(|(place, _)| places.contains(place)).map(|(_, row)| row).collect();
    Ok(Found { rows, unread })
}

/// A record that satisfies a part of a pattern.
struct Observed {
    row: Row,
    seen: Seen,
}

/// What one act came to.
#[derive(Default)]
struct Act {
    observed: Vec<Observed>,
    /// Records that observations refer to: they are none by themselves.
    parts: Vec<RecordId>,
    looked_at: u64,
    next: Option<crate::index::Cursor>,
    unread: Unread,
}

impl Core {
    fn observe(&mut self, query: &Query, pattern: &Pattern) -> Result<Act, Failure> {
        let types = pattern.types();
        let (page, unread) = self.find(query)?;
        let looked_at = page.rows.len() as u64;
        let mut act = Act { unread, looked_at, next: page.next, ..Act::default() };
        for row in page.rows {
            let detail = self.visible_if_whole(row.record, &mut act.unread)?;
            let Some(detail) = detail.filter(|detail| !detail.state.hides()) else { continue };
            let stix_type = stix_type(&detail).to_owned();
            let collected = stix_type == OBSERVED_DATA;
            if !collected && !types.contains(stix_type.as_str()) {
                continue;
            }
            let mut objects = Objects::default();
            if collected {
                act.parts.extend(self.collect(&detail, &mut objects)?);
            } else {
                self.add_with_references(&detail, &mut objects)?;
            }
            let shown = pattern.shown(&objects);
            if shown.contains(&true) {
                act.observed.extend(observed(row, &detail.fields, shown));
            }
        }
        Ok(act)
    }

    /// The objects of an observed-data: those in it, and those that it refers to. Returns the records of these.
    fn collect(&mut self, detail: &Detail, to: &mut Objects) -> Result<Vec<RecordId>, Failure> {
        let within = detail.fields.get("objects").and_then(Value::as_object).into_iter().flatten();
        for (key, object) in within.take(OBJECTS_MAX) {
            if let Some(object) = object.as_object() {
                let of = object.get("type").and_then(Value::as_str).unwrap_or_default();
                to.add(key.clone(), of, object.clone());
            }
        }
        let refs = detail.fields.get("object_refs").and_then(Value::as_array).into_iter().flatten();
        let mut records = Vec::new();
        for name in refs.filter_map(Value::as_str).take(OBJECTS_MAX) {
            if let Some(part) = self.referred(detail.compartment, detail.origin, name)? {
                records.push(part.record);
                self.add_with_references(&part, to)?;
            }
        }
        Ok(records)
    }

    /// Adds a record as an object, and what it refers to, and so on.
    fn add_with_references(&mut self, detail: &Detail, to: &mut Objects) -> Result<(), Failure> {
        let id = detail.fields.get("id").and_then(Value::as_str).map(str::to_owned);
        let id = id.unwrap_or_else(|| detail.record.to_string());
        let mut names = BTreeSet::from([id.clone()]);
        let mut waiting = vec![(id, detail.clone())];
        while let Some((name, detail)) = waiting.pop() {
            for reference in references(&detail.fields) {
                if names.len() >= OBJECTS_MAX || !names.insert(reference.to_owned()) {
                    continue;
                }
                let found = self.referred(detail.compartment, detail.origin, reference)?;
                waiting.extend(found.map(|found| (reference.to_owned(), found)));
            }
            to.add(name, stix_type(&detail), detail.fields.clone());
        }
        Ok(())
    }

    /// The record that a reference of another names, if it may be seen and read.
    fn referred(
        &mut self,
        compartment: CompartmentId,
        origin: AgencyNo,
        name: &str,
    ) -> Result<Option<Detail>, Failure> {
        let record = match record_id(name) {
            Ok(record) => Some(record),
            Err(_) => crate::index::external(self.replica.store(), &compartment, origin, name)
                .map_err(|error| store_failure(&error))?,
        };
        let Some(record) = record else { return Ok(None) };
        let detail = self.visible_if_whole(record, &mut Unread::default())?;
        Ok(detail.filter(|detail| !detail.state.hides()))
    }
}

/// The type of an object of observations (STIX 2.1, section 4.14).
const OBSERVED_DATA: &str = "observed-data";

fn stix_type(detail: &Detail) -> &str {
    let own = detail.fields.get("type").and_then(Value::as_str);
    own.or_else(|| detail.kind.stix_type()).unwrap_or_default()
}

/// What the properties of an object refer to, by the names that STIX gives them.
fn references(fields: &Map<String, Value>) -> impl Iterator<Item = &str> {
    fields.iter().filter(|(name, _)| name.ends_with("_ref") || name.ends_with("_refs")).flat_map(
        |(_, value)| match value {
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
            Value::String(one) => vec![one.as_str()],
            _ => Vec::new(),
        },
    )
}

/// When a record was observed, and how often; `None` if it says that it was not.
fn observed(row: Row, fields: &Map<String, Value>, shown: Vec<bool>) -> Option<Observed> {
    let time = |name: &str| fields.get(name).and_then(Value::as_str).and_then(WallTime::parse);
    let from = WallTime(row.event_ms.unwrap_or(row.created_ms));
    let to = ["last_observed", "last_seen"].into_iter().find_map(time);
    let count =
        ["number_observed", "count"].into_iter().find_map(|name| fields.get(name)?.as_u64());
    let count = count.unwrap_or(1);
    let seen = Seen { from, to: to.map_or(from, |to| to.max(from)), count, shown };
    (count > 0).then_some(Observed { row, seen })
}
