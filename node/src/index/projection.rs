//! The index as a projection of the records.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tearline_crdt::id::RecordId;
use tearline_crdt::record::shelf::{Projection, RecordView};
use tearline_crdt::store::{Batch, Store, StoreError};

use super::{Index, Row};

/// The index as what is built from records, shared with those who search it.
#[derive(Clone, Debug, Default)]
pub struct Indexing(pub Arc<Mutex<Index>>);

impl Indexing {
    fn index(&self) -> MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Projection for Indexing {
    fn record(
        &mut self,
        _store: &dyn Store,
        batch: &mut Batch,
        view: &RecordView<'_>,
    ) -> Result<(), StoreError> {
        self.index().put(batch, Row::of(view));
        Ok(())
    }

    /// Its rows are of earlier versions now: a search passes them over, as it does the rows of what
    /// a record was before it changed.
    fn removed(
        &mut self,
        _store: &dyn Store,
        _batch: &mut Batch,
        _record: &RecordId,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn erased(
        &mut self,
        store: &dyn Store,
        batch: &mut Batch,
        record: &RecordId,
    ) -> Result<(), StoreError> {
        self.index().remove(store, batch, record)
    }

    fn finish(&mut self, batch: &mut Batch) {
        self.index().finish(batch);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;
    use tearline_crdt::document::{Patch, Segment};
    use tearline_crdt::entropy::SeededEntropy;
    use tearline_crdt::entry::run::write_segment;
    use tearline_crdt::entry::sealed::LogCipher;
    use tearline_crdt::epoch::EpochKeys;
    use tearline_crdt::id::{
        AgencyNo, Class, CompartmentId, DeviceId, EntryId, EpochId, Incarnation, LogId,
    };
    use tearline_crdt::keys::Signer;
    use tearline_crdt::logbook::Logbook;
    use tearline_crdt::record::kind::Kind;
    use tearline_crdt::record::shelf::{
        self, Desk, Draft, RecordState, Shelf, Standings, Stewardship, Writing,
    };
    use tearline_crdt::store::memory::MemoryStore;
    use tearline_crdt::time::WallTime;

    use super::*;
    use crate::index::Query;

    /// From which position on the one log is quarantined.
    struct Limit(u64);

    impl Stewardship for Limit {
        fn state(&self, _: &LogId, _: &EntryId) -> RecordState {
            RecordState::default()
        }

        fn is_erased(&self, _: &LogId, _: &EntryId) -> bool {
            false
        }
    }

    impl Standings for Limit {
        fn agency(&self, _: &CompartmentId, _: &DeviceId) -> Option<AgencyNo> {
            Some(AgencyNo(1))
        }

        fn limit(&self, _: &LogId) -> u64 {
            self.0
        }

        fn allows(&self, _: &LogId, _: Kind, _: WallTime) -> bool {
            true
        }
    }

    struct Peer {
        store: MemoryStore,
        logbook: Logbook,
        shelf: Shelf,
        keys: BTreeMap<EpochId, EpochKeys>,
        limit: Limit,
        indexing: Indexing,
        signer: Signer,
    }

    impl Peer {
        fn log(&self) -> LogId {
            LogId {
                compartment: CompartmentId([2; 32]),
                class: Class::Routine,
                device: DeviceId(self.signer.public()),
                incarnation: Incarnation(1),
            }
        }

        fn write(&mut self, draft: Draft) -> RecordId {
            let log = self.log();
            let (epoch, keys) = self.keys.first_key_value().unwrap();
            let head = self.logbook.head(&log);
            let mut writing = Writing {
                store: &self.store,
                logbook: &self.logbook,
                keys: &self.keys,
                standings: &self.limit,
                cipher: &LogCipher::new(log, *epoch, keys.clone()),
                closed: &std::collections::BTreeSet::new(),
                next_seq: head.next,
                now: WallTime(1_000),
                entropy: &mut SeededEntropy::new(head.next),
            };
            let prepared = self.shelf.prepare(&mut writing, vec![draft]).unwrap();
            let run = write_segment(&log, &head, &self.signer, &prepared.entries).unwrap();
            let mut batch = Batch::default();
            let no = self.logbook.append(&mut batch, &run, WallTime::default()).unwrap();
            let mut desk = Desk {
                store: &self.store,
                logbook: &self.logbook,
                keys: &self.keys,
                standings: &self.limit,
                projection: &mut self.indexing,
                now: WallTime(9),
            };
            self.shelf.take(&mut desk, &mut batch, no, &run).unwrap();
            self.store.apply(batch).unwrap();
            prepared.written[0].record
        }

        fn limit(&mut self, to: u64) {
            let no = self.logbook.state(&self.log()).unwrap().no;
            let mut batch = Batch::default();
            self.shelf.limit_moved(&mut batch, no, self.limit.0, to);
            self.limit = Limit(to);
            self.store.apply(batch).unwrap();
            while self.shelf.has_moved() {
                let mut batch = Batch::default();
                let mut desk = Desk {
                    store: &self.store,
                    logbook: &self.logbook,
                    keys: &self.keys,
                    standings: &self.limit,
                    projection: &mut self.indexing,
                    now: WallTime(9),
                };
                self.shelf.judge_moved(&mut desk, &mut batch).unwrap();
                self.store.apply(batch).unwrap();
            }
        }

        /// What a search finds, asked as the daemon asks; the newest first.
        fn found(&self, text: &str) -> Vec<String> {
            let query = Query { limit: 10, ..Query::parse(text).unwrap() };
            let current =
                &mut |row: &Row| Ok(shelf::version(&self.store, &row.record)? == Some(row.version));
            let page = self.indexing.index().search(&self.store, &query, current).unwrap();
            page.rows.into_iter().map(|row| row.title).collect()
        }
    }

    #[test]
    fn what_is_quarantined_is_not_found_and_is_again_once_it_counts() {
        let keys = EpochKeys::of(&[4; 32]);
        let mut peer = Peer {
            store: MemoryStore::new(),
            logbook: Logbook::default(),
            shelf: Shelf::default(),
            keys: BTreeMap::from([(EpochId([3; 32]), keys)]),
            limit: Limit(u64::MAX),
            indexing: Indexing::default(),
            signer: Signer::from_seed(&[1; 32]),
        };
        let records: Vec<RecordId> = ["first", "second", "third"]
            .into_iter()
            .map(|name| {
                let fields = json!({ "name": name, "description": "pickup" });
                peer.write(Draft::New {
                    kind: Kind::Vehicle,
                    fields: fields.as_object().unwrap().clone(),
                    label: "TLP:GREEN".parse().unwrap(),
                })
            })
            .collect();
        let mut patch = Patch::default();
        patch.set(vec![Segment::Name("name".into())], json!("changed"));
        peer.write(Draft::Edit { record: records[0], patch });
        assert_eq!(peer.found("pickup"), ["changed", "third", "second"]);
        peer.limit(3);
        assert_eq!(peer.found("pickup"), ["first", "third", "second"]);
        assert!(peer.found("changed").is_empty());
        peer.limit(1);
        assert_eq!(peer.found("pickup"), ["first"]);
        peer.limit(0);
        assert!(peer.found("pickup").is_empty());
        peer.limit(2);
        assert_eq!(peer.found("second"), ["second"]);
        peer.limit(u64::MAX);
        let mut all = peer.found("pickup");
        all.sort_unstable();
        assert_eq!(all, ["changed", "second", "third"]);
    }
}
