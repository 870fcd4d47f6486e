//! What the portal asks of the core, each time for the operator of a session.
//!
//! A request that names a record is carried out only if [`Viewer::may_consult`] lets the operator see it, in
//! the same piece of work; a list has the rows that it lets him see and says nothing of others. What an
//! operator may not see is, to him, not there, and gives the one answer for that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use serde_json::Value;

use tearline_crdt::id::{CompartmentId, RecordId};
use tearline_crdt::store::{Batch, Space, Store as _, StoreError};

use super::core::Core;
use super::export::row_of;
use super::overview::store_failure;
use super::sight::Viewer;
use super::{Answer, Tearline};
use crate::control::{Request, reply};
use crate::failure::{Failure, Kind};
use crate::index::{Area, Cursor, Query, Row};

/// A row as an operator sees it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// What a list shows of it.
    pub(crate) row: reply::Row,
    /// When its present state came, in µs.
    pub(crate) stamp_us: u64,
    /// When what it tells of happened, in ms.
    pub(crate) event_ms: Option<u64>,
    /// Latitude and longitude in degrees.
    pub(crate) place: Option<(f64, f64)>,
    /// What was marked on the board about it.
    pub(crate) mark: Option<Vec<u8>>,
}

/// A page of rows.
#[derive(Clone, Debug)]
pub(crate) struct SeenPage {
    /// The rows, newest first.
    pub(crate) rows: Vec<Seen>,
    /// Where the next page begins.
    pub(crate) next: Option<Cursor>,
    /// How many parts of the index cannot be read.
    pub(crate) lost: usize,
}

/// Most marks on the board of a peer.
pub(crate) const MARKS_MAX: usize = 20_000;
const MARK: &[u8] = b"board/mark/";

impl Tearline {
    /// Does what an operator asks, if he may see what it is about.
    pub(crate) fn call_for(&self, viewer: Viewer, request: Request) -> Result<Value, Failure> {
        use Request as R;
        match request {
            R::RecordShow(named) => {
                self.seen(viewer, named.record, |core, id| core.record_show(&id))
            }
            R::RecordHistory(named) => {
                self.seen(viewer, named.record, |core, id| core.record_history(&id))
            }
            R::RecordReceipts(named) => {
                self.seen(viewer, named.record, |core, id| core.record_receipts(&id))
            }
            R::Why(named) => self.seen(viewer, named.record, |core, id| core.why(&id)),
            R::RecordEdit(mut edit) => self.act(viewer, edit.record.clone(), move |core, id| {
                edit.record = id;
                core.record_edit(edit)
            }),
            R::RecordResolve(mut resolve) => {
                self.act(viewer, resolve.record.clone(), move |core, id| {
                    resolve.record = id;
                    core.record_resolve(&resolve)
                })
            }
            R::RecordSay(say) => {
                self.act(viewer, say.record, move |core, id| core.record_say(&id, &say.said))
            }
            R::RecordLift(named) => {
                self.act(viewer, named.id, move |core, id| core.record_lift(&id))
            }
            R::RecordRelease(mut release) => {
                self.act(viewer, release.record.clone(), move |core, id| {
                    release.record = id;
                    core.record_release(release)
                })
            }
            R::RecordNew(new) => self.answer(move |core| {
                core.stands()?;
                core.record_new(new)
            }),
            _ => Err(Failure::bug("the portal asks what is not for operators")),
        }
    }

    /// Where this device is meant to be now, by the field pack that it took along.
    pub(crate) fn area_now(&self) -> Result<Option<Area>, Failure> {
        self.core.ask(|core| Ok(core.area_now()))
    }

    /// A page of what an operator may see.
    pub(crate) fn find_for(&self, viewer: Viewer, query: Query) -> Result<SeenPage, Failure> {
        self.core.ask(move |core| {
            let (page, unread) = core.find_where(&query, &|row| viewer.may_consult(row))?;
            let mut rows = Vec::with_capacity(page.rows.len());
            for row in &page.rows {
                rows.push(core.seen_row(row)?);
            }
            Ok(SeenPage { rows, next: page.next, lost: unread.blocks })
        })
    }

    /// Marks a record on the board, if the operator may see it; `None` takes its mark away.
    pub(crate) fn mark_for(
        &self,
        viewer: Viewer,
        record: String,
        mark: Option<Vec<u8>>,
    ) -> Result<(), Failure> {
        self.act(viewer, record, move |core, id| {
            let mut batch = Batch::default();
            let key = mark_key(&id);
            match mark {
                Some(mark) => {
                    core.make_room_for_mark(&mut batch)?;
                    batch.put(Space::Meta, key, mark);
                }
                None => batch.remove(Space::Meta, key),
            }
            let ticket = core.replica.put(batch).map_err(|error| store_failure(&error))?;
            Ok((Value::Null, Some(ticket)))
        })
        .map(drop)
    }

    /// What is marked about a record, if the operator may see it.
    pub(crate) fn mark_of(&self, viewer: Viewer, record: &str) -> Result<Option<Vec<u8>>, Failure> {
        let record = record.to_owned();
        self.core.ask(move |core| {
            let id = core.seen_by(viewer, &record)?;
            let mark = core.replica.store().get(Space::Meta, &mark_key(&id));
            mark.map_err(|error| store_failure(&error))
        })
    }

    /// What stands behind references in a compartment, ids of records or of STIX objects: the rows of those
    /// that the operator may see. The others are, to him, names without a record.
    pub(crate) fn named_for(
        &self,
        viewer: Viewer,
        compartment: CompartmentId,
        names: BTreeSet<String>,
    ) -> Result<BTreeMap<String, Seen>, Failure> {
        self.core.ask(move |core| {
            let mut named = BTreeMap::new();
            for name in names {
                let ids: BTreeSet<RecordId> = match super::names::record_id(&name) {
                    Ok(id) => [id].into(),
                    Err(_) => core.records_called(compartment, &name)?,
                };
                for id in ids {
                    let detail = core.visible_or_not(id).map_err(|error| core.met(&error))?;
                    let row = detail.as_ref().map(row_of).filter(|row| viewer.may_consult(row));
                    if let Some(row) = row {
                        named.insert(name, core.seen_row(&row)?);
                        break;
                    }
                }
            }
            Ok(named)
        })
    }

    /// Answers what is asked of the peer itself for an operator, which is written down elsewhere.
    pub(crate) fn answer_unnoted(&self, request: Request) -> Result<Value, Failure> {
        self.carry_out(request, &mut |_| std::ops::ControlFlow::Continue(()))
    }

    /// The stamp of the latest row.
    pub(crate) fn latest_us(&self) -> Result<u64, Failure> {
        self.core.ask(|core| {
            let index = core.index.lock().unwrap_or_else(PoisonError::into_inner);
            let news = index.news();
            let latest = *news.borrow();
            Ok(latest.max(crate::index::now_us()))
        })
    }

    fn seen(
        &self,
        viewer: Viewer,
        record: String,
        work: impl FnOnce(&mut Core, String) -> Result<Value, Failure> + Send + 'static,
    ) -> Result<Value, Failure> {
        self.core.ask(move |core| {
            let id = core.seen_by(viewer, &record)?;
            work(core, id)
        })
    }

    fn act(
        &self,
        viewer: Viewer,
        record: String,
        work: impl FnOnce(&mut Core, String) -> Answer + Send + 'static,
    ) -> Result<Value, Failure> {
        self.answer(move |core| {
            core.stands()?;
            let id = core.seen_by(viewer, &record)?;
            work(core, id)
        })
    }
}

impl Core {
    /// The whole id of a record that an operator may see. It is named in full: the beginning of an id that
    /// fits two would tell of one that he may not see.
    pub(super) fn seen_by(&mut self, viewer: Viewer, text: &str) -> Result<String, Failure> {
        let not_there = || Failure::new(Kind::NotFound, "there is no record that you can see here");
        let id = super::names::record_id(text).map_err(|_| not_there())?;
        let detail = self.visible_or_not(id).map_err(|error| self.met(&error))?;
        let row = detail.as_ref().map(row_of).filter(|row| viewer.may_consult(row));
        row.map(|row| row.record.to_string()).ok_or_else(not_there)
    }

    fn seen_row(&mut self, row: &Row) -> Result<Seen, Failure> {
        let mark = self.replica.store().get(Space::Meta, &mark_key(&row.record.to_string()));
        Ok(Seen {
            stamp_us: row.stamp_us,
            event_ms: row.event_ms,
            place: row.place,
            mark: mark.map_err(|error| store_failure(&error))?,
            row: self.row_shape(row),
        })
    }

    /// Takes the marks of records away that are no more, when there are as many as there may be.
    fn make_room_for_mark(&self, batch: &mut Batch) -> Result<(), Failure> {
        let mut keys = Vec::new();
        let store = self.replica.store();
        let scanned = store.scan(Space::Meta, MARK, &[], &mut |key, _| {
            keys.push(key.to_vec());
            std::ops::ControlFlow::Continue(())
        });
        scanned.map_err(|error| store_failure(&error))?;
        if keys.len() < MARKS_MAX {
            return Ok(());
        }
        let mut left = keys.len();
        for key in keys {
            let id = key.strip_prefix(MARK).and_then(|id| std::str::from_utf8(id).ok());
            let id: Option<RecordId> = id.and_then(|id| super::names::record_id(id).ok());
            let here = |id: RecordId| -> Result<bool, StoreError> {
                Ok(self.replica.record_version(&id)?.is_some())
            };
            if !id.map(here).transpose().map_err(|e| store_failure(&e))?.unwrap_or_default() {
                batch.remove(Space::Meta, key);
                left -= 1;
            }
        }
        if left < MARKS_MAX {
            return Ok(());
        }
        Err(Failure::failed(format!(
            "{MARKS_MAX} records are marked on the board, which is the most"
        ))
        .hint("take marks away that are no more needed"))
    }
}

fn mark_key(record: &str) -> Vec<u8> {
    [MARK, record.as_bytes()].concat()
}

/// A reply in its type.
pub(crate) fn typed<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(|error| Failure::bug(error.to_string()))
}
