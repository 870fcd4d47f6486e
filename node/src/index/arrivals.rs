//! The index in order of arrival, oldest first: what a collection or a feed is paged through by.
//!
//! Each row has a stamp of its own, and rows are only ever appended. A reader that remembers the stamp
//! of the last row it saw goes on after it, whatever came or went meanwhile: what changed has a new row
//! with a later stamp, and is met again. Stamps rise from block to block, so that the place is found by
//! bisection, and a page costs the same at any depth.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::{SystemTime, UNIX_EPOCH};

use tearline_crdt::id::RecordId;
use tearline_crdt::store::{Space, Store, StoreError};

use super::block::Summary;
use super::{Admit, Block, Index, Query, Row, read_block};

/// Most blocks looked at in one call: bounds how long others wait for the store.
const BLOCKS_PER_CALL_MAX: usize = 64;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What the rows must match. Its limit and its place are not used.
    pub query: Query,
    /// Only these records.
    pub records: Option<BTreeSet<RecordId>>,
    /// Most rows.
    pub rows_max: usize,
    /// Place where on.
    pub place: Place,
}

/// A place in the order of arrival.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// Rows with later stamps than this.
    pub after_us: u64,
    /// The block to begin with, where a call before this one said so.
    block: Option<u64>,
}

impl Place {
    /// After a stamp.
    #[must_use]
    pub const fn after(after_us: u64) -> Self {
        Self { after_us, block: None }
    }
}

/// Rows in order of arrival.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arrivals {
    /// The rows, the earliest first.
    pub rows: Vec<Row>,
    /// Where to go on; `None` at the end.
    pub next: Option<Place>,
    /// Blocks that cannot be read: their rows are missing here.
    pub blocks_lost: usize,
}

impl Index {
    /// The earliest rows after a place that match and that `admit` lets through. There may be more also
    /// when there are fewer than asked for; `next` says so.
    pub fn arrivals(
        &self,
        store: &dyn Store,
        asked: &Asked,
        admit: &mut Admit<'_>,
    ) -> Result<Arrivals, StoreError> {
        let after_us = asked.place.after_us;
        let first = match asked.place.block {
            Some(block) => block,
            None => self.seek(store, after_us)?,
        };
        let mut found = Arrivals::default();
        for (block, looked) in (first..=self.last).zip(0..) {
            if looked >= BLOCKS_PER_CALL_MAX {
                found.next = Some(Place { after_us, block: Some(block) });
                break;
            }
            let summary = summary(store, block)?;
            if summary.is_some_and(|summary| !may_have(&summary, asked)) {
                continue;
            }
            let rows = match read_block(store, &block.to_be_bytes())? {
                Block::Rows(rows) => rows,
                Block::None => continue,
                Block::Lost => {
                    found.blocks_lost += 1;
                    continue;
                }
            };
            for row in rows {
                let stamp_us = row.stamp_us;
                if stamp_us <= after_us || !asked.wants(&row) || !admit(&row)? {
                    continue;
                }
                found.rows.push(row);
                if found.rows.len() >= asked.rows_max {
                    found.next = Some(Place { after_us: stamp_us, block: Some(block) });
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    /// The first block that may have rows with later stamps.
    fn seek(&self, store: &dyn Store, after_us: u64) -> Result<u64, StoreError> {
        let (mut low, mut high) = (0, self.last);
        while low < high {
            let middle = low.midpoint(high);
            let mut known = None;
            // A block of which all rows are gone, or whose summary is, says nothing: the next does.
            for block in middle..high {
                if let Some(last_us) = summary(store, block)?.and_then(|s| s.last_stamp()) {
                    known = Some((block, last_us));
                    break;
                }
            }
            match known {
                Some((block, last_us)) if last_us <= after_us => low = block + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }
}

impl Asked {
    fn wants(&self, row: &Row) -> bool {
        self.records.as_ref().is_none_or(|records| records.contains(&row.record))
            && self.query.matches(row)
    }
}

fn may_have(summary: &Summary, asked: &Asked) -> bool {
    let records = asked.records.as_ref();
    summary.last_stamp().is_some_and(|last_us| last_us > asked.place.after_us)
        && summary.may_match(&asked.query)
        && records.is_none_or(|records| records.iter().any(|one| summary.may_hold_record(one)))
}

/// The summary of a block; `None` where there is none that can be read.
fn summary(store: &dyn Store, block: u64) -> Result<Option<Summary>, StoreError> {
    match store.get(Space::Summaries, &block.to_be_bytes()) {
        Ok(value) => Ok(value.and_then(|value| Summary::decode(&value).ok())),
        Err(StoreError::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The greatest stamp that is in the store; 0 if none can be found.
pub(super) fn last_stamp(store: &dyn Store) -> u64 {
    let mut last = 0;
    // What ends the scan early is met again by who reads there; the clock says the rest.
    let _ = store.scan_back(Space::Summaries, &[], &mut |_, value| match Summary::decode(value)
        .ok()
        .and_then(|summary| summary.last_stamp())
    {
        Some(stamp_us) => {
            last = stamp_us;
            ControlFlow::Break(())
        }
        None => ControlFlow::Continue(()),
    });
    last
}

/// The clock, in µs.
pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tearline_crdt::store::Batch;
    use tearline_crdt::store::memory::MemoryStore;

    use super::*;

    fn put(index: &mut Index, store: &mut MemoryStore, n: u16, hidden: bool) {
        let mut record = [0; 16];
        record[..2].copy_from_slice(&n.to_be_bytes());
        let row = Row { record: RecordId(record), recalled: hidden, ..Row::default() };
        let mut batch = Batch::default();
        index.put(&mut batch, row);
        index.finish(&mut batch);
        store.apply(batch).unwrap();
    }

    /// Pages to the end, with something done between two pages.
    fn walk(
        index: &mut Index,
        store: &mut MemoryStore,
        rows_max: usize,
        between: &mut dyn FnMut(&mut Index, &mut MemoryStore),
    ) -> Vec<Row> {
        let (mut rows, mut after_us) = (Vec::new(), 0);
        loop {
            let mut place = Place::after(after_us);
            let mut page = Vec::new();
            loop {
                let query = Query::default();
                let left = rows_max - page.len();
                let asked = Asked { query, records: None, rows_max: left, place };
                let found = index.arrivals(store, &asked, &mut |row| Ok(!row.recalled)).unwrap();
                page.extend(found.rows);
                match found.next {
                    Some(next) if page.len() < rows_max => place = next,
                    _ => break,
                }
            }
            let Some(last) = page.last() else { return rows };
            after_us = last.stamp_us;
            rows.extend(page);
            between(index, store);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn pages_have_every_row_once_in_order_whatever_comes_and_goes(
            rows in prop::collection::vec(any::<bool>(), 1..400),
            rows_max in 1usize..50,
            later in 0u16..40,
            gone in 0u16..400,
            reopen in any::<bool>(),
        ) {
            let (mut index, mut store) = (Index::default(), MemoryStore::default());
            for (n, hidden) in rows.iter().enumerate() {
                put(&mut index, &mut store, n as u16, *hidden);
            }
            let mut left = later;
            let mut erased = None;
            let found = walk(&mut index, &mut store, rows_max, &mut |index, store| {
                if reopen {
                    *index = Index::open(store).unwrap();
                }
                if left > 0 {
                    left -= 1;
                    put(index, store, 1_000 + left, false);
                }
                if erased.is_none() {
                    let record = RecordId(std::array::from_fn(|n| {
                        gone.to_be_bytes().get(n).copied().unwrap_or_default()
                    }));
                    let mut batch = Batch::default();
                    index.remove(store, &mut batch, &record).unwrap();
                    index.finish(&mut batch);
                    store.apply(batch).unwrap();
                    erased = Some(record);
                }
            });
            prop_assert!(found.is_sorted_by(|a, b| a.stamp_us < b.stamp_us));
            prop_assert!(found.iter().all(|row| !row.recalled));
            let there: BTreeSet<RecordId> = found.iter().map(|row| row.record).collect();
            for (n, _) in rows.iter().enumerate().filter(|(_, hidden)| !**hidden) {
                let mut id = [0; 16];
                id[..2].copy_from_slice(&(n as u16).to_be_bytes());
                prop_assert!(there.contains(&RecordId(id)) || erased == Some(RecordId(id)));
            }
            prop_assert_eq!(there.len(), found.len());
        }
    }

    #[test]
    fn stamps_rise_over_a_restart() {
        let (mut index, mut store) = (Index::default(), MemoryStore::default());
        put(&mut index, &mut store, 1, false);
        index.stamp_us += 1_000_000_000;
        put(&mut index, &mut store, 2, false);
        index = Index::open(&store).unwrap();
        put(&mut index, &mut store, 3, false);
        let found = walk(&mut index, &mut store, 10, &mut |_, _| {});
        assert!(found.is_sorted_by(|a, b| a.stamp_us < b.stamp_us));
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn few_records_are_found_among_many() {
        let (mut index, mut store) = (Index::default(), MemoryStore::default());
        (0..500).for_each(|n| put(&mut index, &mut store, n, false));
        let wanted = RecordId(std::array::from_fn(|n| if n == 1 { 77 } else { 0 }));
        let asked = Asked {
            query: Query::default(),
            records: Some([wanted].into()),
            rows_max: 10,
            place: Place::after(0),
        };
        let found = index.arrivals(&store, &asked, &mut |_| Ok(true)).unwrap();
        assert_eq!(found.rows.iter().map(|row| row.record).collect::<Vec<_>>(), [wanted]);
        assert_eq!(found.next, None);
    }
}
