//! The search index: what was written last is found first, and nothing is rebuilt at start.
//!
//! Rows, one for each state of a record, are appended in order of arrival to *blocks*. Beside each
//! block lies a *summary*: which kinds, labels and classes it holds, from when to when, and a Bloom
//! filter of its words (Bloom, "Space/time trade-offs in hash coding with allowable errors", 1970).
//! A query reads summaries, newest first, and only the blocks that may match. What is resident is
//! the last block.
//!
//! A record that changes gets a new row; the old one stays where it is and is passed over, because
//! its version is no longer the record's. A record that is erased loses all its rows.

mod area;
mod arrivals;
mod block;
mod projection;
mod query;
mod row;
mod text;

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use tearline_crdt::hash::Domain;
use tearline_crdt::id::{AgencyNo, CompartmentId, RecordId};
use tearline_crdt::store::{Batch, Space, Store, StoreError, damaged};
use tokio::sync::watch;

pub use area::{Area, NoArea};
pub(crate) use arrivals::now_us;
pub use arrivals::{Arrivals, Asked, Place};
use block::{BLOCK_BYTES, BLOCK_ROWS_MAX, Summary, decode_block, encode_block};
pub use projection::Indexing;
pub use query::{Cursor, Page, ParseQueryError, Query};
pub use row::{Row, external_id};
pub(crate) use text::fold;

/// The index of a store.
#[derive(Debug, Default)]
pub struct Index {
    /// The number of the block being filled.
    last: u64,
    /// The stamp of the latest row.
    stamp_us: u64,
    rows: Vec<Row>,
    bytes: usize,
    dirty: bool,
    /// Told the latest stamp when rows are written.
    news: watch::Sender<u64>,
}

/// What a search asks its caller: whether a row is the record's current state, and whether the
/// asker may see it.
pub type Admit<'a> = dyn FnMut(&Row) -> Result<bool, StoreError> + 'a;

impl Index {
    /// Opens the index: reads the last block. One that cannot be read is left as it is, and the next is
    /// begun.
    pub fn open(store: &dyn Store) -> Result<Self, StoreError> {
        let mut index = Self::default();
        let mut outcome = Ok(());
        let scanned = store.scan_back(Space::Rows, &[], &mut |key, value| {
            outcome = number(key).map(|last| match decode_block(value) {
                Ok(rows) => {
                    index.last = last;
                    index.bytes = value.len();
                    index.rows = rows;
                }
                Err(_) => index.last = last.saturating_add(1),
            });
            ControlFlow::Break(())
        });
        index.stamp_us = arrivals::last_stamp(store);
        match scanned {
            Err(StoreError::Damaged { space: Space::Rows, key }) => {
                index.last = number(&key)?.saturating_add(1);
            }
            scanned => scanned?,
        }
        outcome.map(|()| index)
    }

    /// Appends a row. It is in the batch after [`Index::finish`], or when its block is full.
    pub fn put(&mut self, batch: &mut Batch, mut row: Row) {
        self.stamp_us = now_us().max(self.stamp_us.saturating_add(1));
        row.stamp_us = self.stamp_us;
        let size = row.encoded_len();
        if self.rows.len() >= BLOCK_ROWS_MAX
            || self.bytes + size > BLOCK_BYTES && !self.rows.is_empty()
        {
            self.finish(batch);
            self.last += 1;
            self.rows.clear();
            self.bytes = 0;
        }
        self.bytes += size;
        Self::note_external(batch, &row);
        self.rows.push(row);
        self.dirty = true;
    }

    /// Takes all rows of a record out, of every version of it, and what was noted of it. They are in
    /// the batch after [`Index::finish`]. The rows are those in the store: a batch in which rows of
    /// this record were put before is not seen.
    pub fn remove(
        &mut self,
        store: &dyn Store,
        batch: &mut Batch,
        record: &RecordId,
    ) -> Result<(), StoreError> {
        let mut blocks = Vec::new();
        let scanned = store.scan(Space::Summaries, &[], &[], &mut |key, value| {
            // Without a summary it may hold anything.
            if Summary::decode(value).map_or(true, |summary| summary.may_hold_record(record)) {
                blocks.push(key.to_vec());
            }
            ControlFlow::Continue(())
        });
        match scanned {
            Err(StoreError::Damaged { .. }) => {
                blocks = (0..=self.last).map(|number| number.to_be_bytes().to_vec()).collect();
            }
            scanned => scanned?,
        }
        let last = self.last.to_be_bytes();
        for key in blocks.into_iter().filter(|key| key.as_slice() != last) {
            let rows = match read_block(store, &key)? {
                Block::Rows(rows) => rows,
                Block::None => continue,
                Block::Lost => {
                    // What nobody can read may hold the record, and goes with it.
                    batch.remove(Space::Rows, key.clone());
                    batch.remove(Space::Summaries, key);
                    continue;
                }
            };
            let Some(kept) = without(store, batch, rows, record)? else { continue };
            batch.put(Space::Rows, key.clone(), encode_block(&kept));
            batch.put(Space::Summaries, key, Summary::of(&kept).encode());
        }
        let rows = std::mem::take(&mut self.rows);
        match without(store, batch, rows.clone(), record)? {
            Some(kept) => {
                self.bytes = kept.iter().map(Row::encoded_len).sum();
                self.rows = kept;
                self.dirty = true;
            }
            None => self.rows = rows,
        }
        Ok(())
    }

    /// Notes under which external id a record can be found.
    fn note_external(batch: &mut Batch, row: &Row) {
        if let Some(id) = &row.external_id {
            let key = external_key(&row.compartment, row.origin, id);
            batch.put(Space::External, key, row.record.0);
        }
    }

    /// Changes whenever rows are written: to the stamp of the latest.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Writes the block being filled.
    pub fn finish(&mut self, batch: &mut Batch) {
        if !self.dirty {
            return;
        }
        self.dirty = false;
        self.news.send_replace(self.stamp_us);
        let key = self.last.to_be_bytes();
        batch.put(Space::Rows, key, encode_block(&self.rows));
        batch.put(Space::Summaries, key, Summary::of(&self.rows).encode());
    }

    /// The newest rows that match, that `admit` lets through, after a cursor. A row that is not
    /// admitted influences nothing: no count, no place, no page. A block that cannot be read is passed
    /// over and counted.
    pub fn search(
        &self,
        store: &dyn Store,
        query: &Query,
        admit: &mut Admit<'_>,
    ) -> Result<Page, StoreError> {
        let mut search = Search { query, seen: BTreeSet::new(), page: Page::default() };
        let mut below = self.last.saturating_add(1);
        let mut outcome = Ok(ControlFlow::Continue(()));
        let scanned = store.scan_back(Space::Summaries, &[], &mut |key, value| {
            outcome = number(key).and_then(|number| {
                below = number;
                search.visit(store, number, Summary::decode(value).ok(), admit)
            });
            outcome.as_ref().map_or(ControlFlow::Break(()), |flow| *flow)
        });
        let mut flow = outcome?;
        match scanned {
            // The scan ends at a summary that cannot be read: what is below is asked for one by one.
            Err(StoreError::Damaged { .. }) => {
                while flow.is_continue() && below > 0 {
                    below -= 1;
                    flow = search.visit_below(store, below, admit)?;
                }
            }
            scanned => scanned?,
        }
        Ok(search.page)
    }
}

/// A search under way.
struct Search<'a> {
    query: &'a Query,
    seen: BTreeSet<RecordId>,
    page: Page,
}

impl Search<'_> {
    fn visit_below(
        &mut self,
        store: &dyn Store,
        number: u64,
        admit: &mut Admit<'_>,
    ) -> Result<ControlFlow<()>, StoreError> {
        match store.get(Space::Summaries, &number.to_be_bytes()) {
            Ok(None) => Ok(ControlFlow::Continue(())),
            Ok(Some(value)) => self.visit(store, number, Summary::decode(&value).ok(), admit),
            Err(StoreError::Damaged { .. }) => self.visit(store, number, None, admit),
            Err(error) => Err(error),
        }
    }

    /// Goes through a block, newest row first. Without a summary it may hold anything.
    fn visit(
        &mut self,
        store: &dyn Store,
        number: u64,
        summary: Option<Summary>,
        admit: &mut Admit<'_>,
    ) -> Result<ControlFlow<()>, StoreError> {
        let Self { query, seen, page } = self;
        if query.after.is_some_and(|cursor| number > cursor.block)
            || summary.is_some_and(|summary| !summary.may_match(query))
        {
            return Ok(ControlFlow::Continue(()));
        }
        page.blocks_read += 1;
        let Block::Rows(rows) = read_block(store, &number.to_be_bytes())? else {
            page.blocks_lost += 1;
            return Ok(ControlFlow::Continue(()));
        };
        for (slot, row) in rows.into_iter().enumerate().rev() {
            let at = Cursor { block: number, slot: slot as u32 };
            if query.after.is_some_and(|cursor| at >= cursor) || !query.matches(&row) {
                continue;
            }
            if seen.contains(&row.record) || !admit(&row)? {
                continue;
            }
            if page.rows.len() >= query.limit {
                page.next = page.last;
                return Ok(ControlFlow::Break(()));
            }
            seen.insert(row.record);
            page.last = Some(at);
            page.rows.push(row);
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// A block of rows, as it is found.
enum Block {
    Rows(Vec<Row>),
    /// There is none.
    None,
    /// It cannot be read.
    Lost,
}

fn read_block(store: &dyn Store, key: &[u8]) -> Result<Block, StoreError> {
    Ok(match store.get(Space::Rows, key) {
        Ok(None) => Block::None,
        Ok(Some(bytes)) => decode_block(&bytes).map_or(Block::Lost, Block::Rows),
        Err(StoreError::Damaged { .. }) => Block::Lost,
        Err(error) => return Err(error),
    })
}

/// The number of a block, of its key.
fn number(key: &[u8]) -> Result<u64, StoreError> {
    let number = <[u8; 8]>::try_from(key).map_err(|_| damaged(Space::Summaries, key))?;
    Ok(u64::from_be_bytes(number))
}

/// Rows without those of a record, whose external ids are forgotten; `None` if it has none.
fn without(
    store: &dyn Store,
    batch: &mut Batch,
    rows: Vec<Row>,
    record: &RecordId,
) -> Result<Option<Vec<Row>>, StoreError> {
    let (gone, kept): (Vec<Row>, Vec<Row>) =
        rows.into_iter().partition(|row| row.record == *record);
    for row in &gone {
        let Some(id) = &row.external_id else { continue };
        // Another record may have it by now.
        if external(store, &row.compartment, row.origin, id)?.as_ref() == Some(record) {
            batch.remove(Space::External, external_key(&row.compartment, row.origin, id));
        }
    }
    Ok((!gone.is_empty()).then_some(kept))
}

/// An agency's record of a compartment with an external id. Each agency has its own: what one calls
/// something binds no other.
pub fn external(
    store: &dyn Store,
    compartment: &CompartmentId,
    origin: AgencyNo,
    id: &str,
) -> Result<Option<RecordId>, StoreError> {
    let key = external_key(compartment, origin, id);
    let Some(value) = store.get(Space::External, &key)? else { return Ok(None) };
    let id: [u8; 16] = value.try_into().map_err(|_| damaged(Space::External, &key))?;
    Ok(Some(RecordId(id)))
}

/// Hashed with the compartment's id, which outsiders do not know, so that the key gives no name
/// away.
fn external_key(compartment: &CompartmentId, origin: AgencyNo, id: &str) -> Vec<u8> {
    let digest = Domain::Index.hash(&[&compartment.0, &origin.0.to_be_bytes(), id.as_bytes()]);
    digest.iter().take(16).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use tearline_crdt::record::kind::Kind;
    use tearline_crdt::store::Visit;
    use tearline_crdt::store::memory::MemoryStore;

    fn row(n: u8, version: u64, words: &str, event_ms: u64) -> Row {
        let kind = if n.is_multiple_of(2) { Kind::Vehicle } else { Kind::Alert };
        Row {
            record: RecordId([n; 16]),
            version,
            kind,
            tlp: n % 5,
            event_ms: Some(event_ms),
            received_ms: 1_000 + version,
            place: Some((f64::from(n % 80), 10.0)),
            title: format!("record {n}"),
            text: words.into(),
            ..Row::default()
        }
    }

    /// A store of which some values are damaged.
    #[derive(Default)]
    struct Rotten {
        sound: MemoryStore,
        rotten: BTreeSet<(Space, Vec<u8>)>,
    }

    impl Store for Rotten {
        fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            if self.rotten.contains(&(space, key.to_vec())) {
                return Err(damaged(space, key));
            }
            self.sound.get(space, key)
        }

        fn scan(
            &self,
            space: Space,
            prefix: &[u8],
            from: &[u8],
            visit: &mut Visit<'_>,
        ) -> Result<(), StoreError> {
            let mut met = None;
            self.sound.scan(space, prefix, from, &mut |key, value| {
                if self.rotten.contains(&(space, key.to_vec())) {
                    met = Some(damaged(space, key));
                    return ControlFlow::Break(());
                }
                visit(key, value)
            })?;
            met.map_or(Ok(()), Err)
        }

        fn scan_back(
            &self,
            space: Space,
            prefix: &[u8],
            visit: &mut Visit<'_>,
        ) -> Result<(), StoreError> {
            let mut met = None;
            self.sound.scan_back(space, prefix, &mut |key, value| {
                if self.rotten.contains(&(space, key.to_vec())) {
                    met = Some(damaged(space, key));
                    return ControlFlow::Break(());
                }
                visit(key, value)
            })?;
            met.map_or(Ok(()), Err)
        }

        fn apply(&mut self, batch: Batch) -> Result<(), StoreError> {
            self.sound.apply(batch)
        }

        fn flush(&mut self) -> Result<(), StoreError> {
            self.sound.flush()
        }
    }

    const WORDS: [&str; 6] = ["truck", "Diffa", "NE 1234-AB", "café", "tunnel", "passport"];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_search_finds_what_a_plain_scan_finds_page_by_page(
            writes in prop::collection::vec((0u8..60, 0usize..6, 0usize..6, 0u64..1_000), 1..300),
            text in prop::option::of(0usize..6),
            kind in prop::bool::ANY,
            since in prop::option::of(0u64..1_000),
            limit in 1usize..20,
            hidden in 0u8..60,
        ) {
            let mut store = MemoryStore::default();
            let mut index = Index::default();
            let mut current: BTreeMap<RecordId, Row> = BTreeMap::new();
            for (version, (n, a, b, event)) in writes.iter().enumerate() {
                let words = format!("{} {}", WORDS[*a], WORDS[*b]);
                let row = row(*n, version as u64, &words, *event);
                current.insert(row.record, row.clone());
                let mut batch = Batch::default();
                index.put(&mut batch, row);
                index.finish(&mut batch);
                store.apply(batch).unwrap();
                if version % 37 == 0 {
                    index = Index::open(&store).unwrap();
                }
            }
            let mut query = Query { limit, ..Query::default() };
            if let Some(word) = text {
                query = Query::parse(WORDS[word]).unwrap();
                query.limit = limit;
            }
            if kind {
                query.kinds.insert(Kind::Alert as u8);
            }
            query.event_from = since;
            let visible = |row: &Row| row.record != RecordId([hidden; 16]);
            let mut expected: Vec<Row> = current
                .values()
                .filter(|row| query.matches(row) && visible(row))
                .cloned()
                .collect();
            expected.sort_by_key(|row| std::cmp::Reverse(row.version));
            let mut found = Vec::new();
            loop {
                let page = index
                    .search(&store, &query, &mut |row| {
                        Ok(visible(row) && current[&row.record].version == row.version)
                    })
                    .unwrap();
                prop_assert!(page.rows.len() <= limit);
                // The stamp is the index's own.
                found.extend(page.rows.into_iter().map(|row| Row { stamp_us: 0, ..row }));
                match page.next {
                    Some(next) => query.after = Some(next),
                    None => break,
                }
            }
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn what_cannot_be_read_hides_no_more_than_itself(
            writes in 1u8..250,
            lost in prop::collection::btree_set((any::<bool>(), 0u64..4), 0..4),
            limit in 1usize..20,
        ) {
            let mut store = Rotten::default();
            let mut index = Index::default();
            let mut blocks: BTreeMap<u64, Vec<RecordId>> = BTreeMap::new();
            for n in 0..writes {
                let row = row(n, u64::from(n), "pickup", 5);
                let record = row.record;
                let mut batch = Batch::default();
                index.put(&mut batch, row);
                index.finish(&mut batch);
                store.sound.apply(batch).unwrap();
                blocks.entry(index.last).or_default().push(record);
            }
            for (rows, block) in lost {
                let space = if rows { Space::Rows } else { Space::Summaries };
                store.rotten.insert((space, block.to_be_bytes().to_vec()));
            }
            let rotten = |block: &u64| {
                store.rotten.contains(&(Space::Rows, block.to_be_bytes().to_vec()))
            };
            let whole = blocks.iter().filter(|(block, _)| !rotten(block));
            let mut expected: Vec<RecordId> =
                whole.flat_map(|(_, records)| records).copied().collect();
            expected.reverse();
            prop_assert_eq!(Index::open(&store).unwrap().last, index.last + u64::from(rotten(&index.last)));
            let mut batch = Batch::default();
            index.remove(&store, &mut batch, &RecordId([255; 16])).unwrap();
            let lost: Vec<u64> = batch
                .writes
                .iter()
                .filter(|(space, _, value)| *space == Space::Rows && value.is_none())
                .map(|(_, key, _)| number(key).unwrap())
                .collect();
            prop_assert!(lost.iter().all(rotten), "more was destroyed than what is lost: {:?}", lost);
            let mut query = Query { limit, ..Query::default() };
            let (mut found, mut lost) = (Vec::new(), 0);
            loop {
                let page = index.search(&store, &query, &mut |_| Ok(true)).unwrap();
                found.extend(page.rows.iter().map(|row| row.record));
                lost += page.blocks_lost;
                match page.next {
                    Some(next) => query.after = Some(next),
                    None => break,
                }
            }
            prop_assert_eq!(found, expected);
            prop_assert_eq!(lost > 0, blocks.keys().any(rotten));
        }

        #[test]
        fn a_removed_record_is_in_no_block_and_all_others_are(
            writes in prop::collection::vec((0u8..40, 0usize..6, 0usize..6), 1..300),
            gone in 0u8..40,
            reopen in any::<bool>(),
        ) {
            let mut store = MemoryStore::default();
            let mut index = Index::default();
            let mut expected = Vec::new();
            for (version, (n, a, b)) in writes.iter().enumerate() {
                let words = format!("{} {}", WORDS[*a], WORDS[*b]);
                let mut row = row(*n, version as u64, &words, 5);
                row.external_id = Some(format!("id {}", n % 20));
                if *n != gone {
                    expected.push(row.clone());
                }
                let mut batch = Batch::default();
                index.put(&mut batch, row);
                index.finish(&mut batch);
                store.apply(batch).unwrap();
            }
            let holder = |store: &MemoryStore| {
                let id = format!("id {}", gone % 20);
                external(store, &CompartmentId::default(), AgencyNo::default(), &id).unwrap()
            };
            let before = holder(&store);
            if reopen {
                index = Index::open(&store).unwrap();
            }
            let record = RecordId([gone; 16]);
            let mut batch = Batch::default();
            index.remove(&store, &mut batch, &record).unwrap();
            index.finish(&mut batch);
            store.apply(batch).unwrap();
            prop_assert_eq!(holder(&store), before.filter(|holder| *holder != record));

            let mut kept = Vec::new();
            store.scan(Space::Rows, &[], &[], &mut |key, value| {
                let rows = decode_block(value).unwrap();
                let summary = store.get(Space::Summaries, key).unwrap().unwrap();
                assert_eq!(summary, Summary::of(&rows).encode());
                kept.extend(rows.into_iter().map(|row| Row { stamp_us: 0, ..row }));
                ControlFlow::Continue(())
            }).unwrap();
            prop_assert_eq!(&kept, &expected);
            prop_assert_eq!(Index::open(&store).unwrap().rows, index.rows.clone());
            let again = row(gone, 1_000, "back", 5);
            let mut batch = Batch::default();
            index.put(&mut batch, again.clone());
            index.finish(&mut batch);
            store.apply(batch).unwrap();
            let page = index.search(&store, &Query::default(), &mut |_| Ok(true)).unwrap();
            let first = page.rows.into_iter().next().map(|row| Row { stamp_us: 0, ..row });
            prop_assert_eq!(first, Some(again));
        }

        #[test]
        fn damaged_blocks_are_errors(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_block(&bytes);
            let _ = Summary::decode(&bytes);
        }
    }
}
