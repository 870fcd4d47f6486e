//! Search and lists: pages of the index, and which records there are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::PoisonError;

use serde_json::Value;

use tearline_crdt::id::RecordId;
use tearline_crdt::record::kind::Kind as RecordKind;
use tearline_crdt::store::{Scan, Space, Store as _, StoreError, scan_past_damage};
use tearline_crdt::time::WallTime;

use super::core::Core;
use super::damage::Unread;
use super::json;
use super::names::is_prefix;
use super::overview::store_failure;
use super::records::{ERASURE_DUE, HELD};
use crate::control::{self, PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX, reply};
use crate::exchange::stix;
use crate::failure::{Failure, Kind};
use crate::index::{Page, Query, Row};

impl Core {
    /// A page of what matches and is current and visible, and what of it cannot be read.
    pub(super) fn find(&mut self, query: &Query) -> Result<(Page, Unread), Failure> {
        let (page, unread) = self.find_where(query, &|_| true)?;
        if query.after.is_none() {
            self.check_types(query, &page)?;
        }
        Ok((page, unread))
    }

    /// The same, of what an asker may see. A row that he may not see changes nothing.
    pub(super) fn find_where(
        &mut self,
        query: &Query,
        may_see: &dyn Fn(&Row) -> bool,
    ) -> Result<(Page, Unread), Failure> {
        let own = self.replica.device();
        let mut damaged = BTreeMap::new();
        let found = {
            let index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
            let replica = &self.replica;
            index.search(replica.store(), query, &mut |row| {
                if !may_see(row) || replica.right(row.compartment, &own).is_none() {
                    return Ok(false);
                }
                match replica.record_version(&row.record) {
                    Ok(current) => Ok(current == Some(row.version)),
                    Err(error @ StoreError::Damaged { .. }) => {
                        damaged.insert(row.record, error);
                        Ok(false)
                    }
                    Err(error) => Err(error),
                }
            })
        };
        let page = found.map_err(|error| self.met(&error))?;
        let mut unread = Unread { blocks: page.blocks_lost, ..Unread::default() };
        for (record, error) in damaged {
            unread.records.insert(record, self.met(&error).what);
        }
        Ok((page, unread))
    }

    /// Fails where a query asks for a type that nobody has heard of. A type that is not of STIX is one
    /// if a record here is of it.
    fn check_types(&self, query: &Query, page: &Page) -> Result<(), Failure> {
        let found = |name: &String| page.rows.iter().any(|row| row.kind_name() == name);
        let mut unknown = query.types.iter().filter(|name| !stix::is_type(name) && !found(name));
        let Some(unknown) = unknown.next() else { return Ok(()) };
        let own = self.replica.device();
        let objects = Query { kinds: [RecordKind::Object as u8].into(), ..Query::default() };
        let mut here: BTreeSet<String> = BTreeSet::new();
        let replica = &self.replica;
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let looked = index.search(replica.store(), &objects, &mut |row| {
            if here.len() < TYPES_MAX
                && replica.right(row.compartment, &own).is_some()
                && replica.record_version(&row.record).is_ok_and(|v| v == Some(row.version))
            {
                here.insert(row.kind_name().to_owned());
            }
            // Nothing is to be found, only looked at.
            Ok(false)
        });
        looked.map_err(|error| store_failure(&error))?;
        if here.contains(unknown) {
            return Ok(());
        }
        let kinds = RecordKind::ALL.map(RecordKind::name).join(", ");
        let types: Vec<String> = here.into_iter().collect();
        Err(Failure::usage(format!(
            "{unknown:?} is no kind of record, and no record is of that type"
        ))
        .hint(match types.as_slice() {
            [] => format!("the kinds are {kinds}"),
            types => format!("the kinds are {kinds}; among objects there are {}", types.join(", ")),
        }))
    }

    /// Up to `most` records that the store has, from one on, and where to go on. Those whose listing
    /// cannot be read are among them.
    pub(super) fn stored_records(
        &self,
        from: RecordId,
        most: usize,
    ) -> Result<(Vec<RecordId>, Option<RecordId>), StoreError> {
        let after = |id: RecordId| {
            let next = u128::from_be_bytes(id.0).checked_add(1)?;
            Some(RecordId(next.to_be_bytes()))
        };
        let (mut ids, mut next) = (Vec::new(), None);
        let store = self.replica.store();
        let scan: &Scan<'_> = &|from, visit| store.scan(Space::Records, &[], from, visit);
        scan_past_damage(scan, &from.0, &mut |key, _| {
            let Ok(id) = key.try_into().map(RecordId) else { return ControlFlow::Continue(()) };
            ids.push(id);
            if ids.len() < most {
                return ControlFlow::Continue(());
            }
            next = after(id);
            ControlFlow::Break(())
        })?;
        Ok((ids, next))
    }

    /// The records whose ids begin so.
    pub(super) fn records_with_prefix(&mut self, prefix: &str) -> Result<Vec<RecordId>, Failure> {
        if prefix.len() < control::ID_PREFIX_DIGITS_MIN {
            return Ok(Vec::new());
        }
        let ids = self.replica.records_from(prefix, PREFIX_HITS_MAX);
        let ids = ids.map_err(|error| self.met(&error))?;
        let mut hits = Vec::new();
        for id in ids.into_iter().filter(|id| is_prefix(prefix, &id.to_string())) {
            // One that cannot be read is there all the same.
            let hidden = matches!(self.visible(id), Err(Failure { kind: Kind::NotFound, .. }));
            // Nor has one to be here whole.
            if !hidden || self.aside_of(id)?.is_some() {
                hits.push(id);
            }
        }
        Ok(hits)
    }

    pub(super) fn search(&mut self, search: &control::Search) -> Result<Value, Failure> {
        let mut query =
            Query::parse(&search.query).map_err(|error| Failure::usage(error.to_string()))?;
        query.limit = limit(search.limit)?;
        query.after = cursor(search.after.as_deref())?;
        self.rows(&query)
    }

    pub(super) fn record_list(&mut self, list: &control::RecordList) -> Result<Value, Failure> {
        let mut query = Query { limit: limit(list.limit)?, ..Query::default() };
        query.after = cursor(list.after.as_deref())?;
        if let Some(kind) = list.kind.as_deref().filter(|kind| !query.add_kind(kind)) {
            let kinds = RecordKind::ALL.map(RecordKind::name).join(", ");
            return Err(Failure::usage(format!("{kind:?} is no kind of record"))
                .hint(format!("the kinds are {kinds}, and the types of imported objects")));
        }
        if let Some(name) = &list.compartment {
            query.compartment = Some(self.named_compartment(name)?);
        }
        self.rows(&query)
    }

    fn rows(&mut self, query: &Query) -> Result<Value, Failure> {
        let (page, unread) = self.find(query)?;
        if page.rows.is_empty() {
            // A device whose standing ended sees nothing, which says nothing of what there is.
            self.stands()?;
        }
        let mut records = Vec::with_capacity(page.rows.len());
        for row in &page.rows {
            records.push(self.row_shape(row));
        }
        let next = page.next.map(|next| next.to_string());
        let (coming, left_aside) = (self.coming(), self.entries_aside());
        json(&reply::Rows { records, next, coming, left_aside, unread: unread.shape() })
    }

    /// A row as it is answered.
    pub(super) fn row_shape(&mut self, row: &Row) -> reply::Row {
        // Few records are hidden: what asks to destroy them is looked up.
        let detail = if row.restricted { self.visible(row.record).ok() } else { None };
        let due = detail.and_then(|detail| self.erasure_due(&detail));
        let mut flags = flags(row);
        flags.extend(due.map(|_| ERASURE_DUE.to_owned()));
        if self.is_held(row) {
            flags.push(HELD.to_owned());
        }
        reply::Row {
            record: row.record.to_string(),
            kind: row.kind_name().into(),
            title: row.title.clone(),
            label: row.label.clone(),
            class: row.class.name().into(),
            compartment: row.compartment.to_string(),
            compartment_name: self.compartment_name(&row.compartment),
            originator: self.agency_ref(Some(row.origin)),
            received: WallTime(row.received_ms).to_string(),
            flags,
            erasure_due: due.map(|due| due.to_string()),
        }
    }
}

/// What a row's record is marked with.
fn flags(row: &Row) -> Vec<String> {
    let marks =
        [("conflict", row.conflicted), ("recalled", row.recalled), ("restricted", row.restricted)];
    marks.into_iter().filter(|(_, set)| *set).map(|(mark, _)| mark.to_owned()).collect()
}

/// Most types of objects that are named to who asks for one that is none.
const TYPES_MAX: usize = 100;
/// Most records looked at for an abbreviated id.
pub(super) const PREFIX_HITS_MAX: usize = 16;

pub(super) fn limit(asked: Option<u32>) -> Result<usize, Failure> {
    match asked.unwrap_or(PAGE_ROWS_DEFAULT) {
        0 => Err(Failure::usage("a page has at least one row")),
        n if n > PAGE_ROWS_MAX => {
            Err(Failure::usage(format!("a page has at most {PAGE_ROWS_MAX} rows")))
        }
        n => Ok(n as usize),
    }
}

fn cursor(text: Option<&str>) -> Result<Option<crate::index::Cursor>, Failure> {
    text.map(|text| {
        text.parse().map_err(|()| {
            Failure::usage(format!("{text:?} is no place in a list"))
                .hint("give `--after` what the page before said was next")
        })
    })
    .transpose()
}
