//! Erasing a record on the real store, with the real index: once it is flushed, no file holds the
//! record's key box, its payload or its words, sealed or not.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};
use tearline_crdt::entropy::SeededEntropy;
use tearline_crdt::entry::run::{UnverifiedRun, write_segment};
use tearline_crdt::entry::sealed::LogCipher;
use tearline_crdt::epoch::EpochKeys;
use tearline_crdt::id::{
    AgencyNo, Class, CompartmentId, DeviceId, EntryId, EpochId, Incarnation, LogId, RecordId,
    StatementId,
};
use tearline_crdt::keys::Signer;
use tearline_crdt::logbook::Logbook;
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::label::Label;
use tearline_crdt::record::shelf::{
    Desk, Draft, RecordState, Shelf, Standings, Stewardship, Writing, genesis_of,
};
use tearline_crdt::time::WallTime;

use super::super::values::Fault;
use super::forget::assert_only_live_bytes;
use super::*;
use crate::index::{Index, Indexing, Query};

const COMPARTMENT: CompartmentId = CompartmentId([2; 32]);
const EPOCH: EpochId = EpochId([3; 32]);

/// All devices are of one agency; no statement but the one that is tested.
struct Alone;

impl Stewardship for Alone {
    fn state(&self, _: &LogId, _: &EntryId) -> RecordState {
        RecordState::default()
    }

    fn is_erased(&self, _: &LogId, _: &EntryId) -> bool {
        false
    }
}

impl Standings for Alone {
    fn agency(&self, _: &CompartmentId, _: &DeviceId) -> Option<AgencyNo> {
        Some(AgencyNo(1))
    }

    fn limit(&self, _: &LogId) -> u64 {
        u64::MAX
    }

    fn allows(&self, _: &LogId, _: Kind, _: WallTime) -> bool {
        true
    }
}

/// Payload and key box of an entry.
type Content = (Option<Vec<u8>>, Option<[u8; 16]>);

/// A peer with one log.
struct Peer {
    store: SledStore,
    logbook: Logbook,
    shelf: Shelf,
    index: Indexing,
    keys: BTreeMap<EpochId, EpochKeys>,
    signer: Signer,
    entropy: SeededEntropy,
}

impl Peer {
    fn open(store: SledStore) -> Self {
        Self {
            logbook: Logbook::load(&store).unwrap(),
            shelf: Shelf::load(&store).unwrap(),
            index: Indexing(Arc::new(Mutex::new(Index::open(&store).unwrap()))),
            keys: BTreeMap::from([(EPOCH, EpochKeys::of(&[9; 32]))]),
            signer: Signer::from_seed(&[1; 32]),
            entropy: SeededEntropy::new(5),
            store,
        }
    }

    fn log(&self) -> LogId {
        LogId {
            compartment: COMPARTMENT,
            class: Class::Routine,
            device: DeviceId(self.signer.public()),
            incarnation: Incarnation(1),
        }
    }

    fn desk(&mut self) -> Desk<'_> {
        Desk {
            store: &self.store,
            logbook: &self.logbook,
            keys: &self.keys,
            standings: &Alone,
            projection: &mut self.index,
            now: WallTime(9),
        }
    }

    /// Writes a draft; what is stored of it is flushed.
    fn write(&mut self, drafts: Vec<Draft>) -> Vec<RecordId> {
        let log = self.log();
        let head = self.logbook.head(&log);
        let cipher = LogCipher::new(log, EPOCH, self.keys[&EPOCH].clone());
        let mut writing = Writing {
            store: &self.store,
            logbook: &self.logbook,
            keys: &self.keys,
            standings: &Alone,
            cipher: &cipher,
            closed: &BTreeSet::new(),
            next_seq: head.next,
            now: WallTime(8),
            entropy: &mut self.entropy,
        };
        let prepared = self.shelf.prepare(&mut writing, drafts).map_err(|(_, e)| e).unwrap();
        let run = write_segment(&log, &head, &self.signer, &prepared.entries).unwrap();
        let mut batch = Batch::default();
        let no = self.logbook.append(&mut batch, &run, WallTime::default()).unwrap();
        let mut shelf = std::mem::take(&mut self.shelf);
        shelf.take(&mut self.desk(), &mut batch, no, &run).unwrap();
        self.shelf = shelf;
        self.store.apply(batch).unwrap();
        self.store.flush().unwrap();
        prepared.written.iter().map(|written| written.record).collect()
    }

    /// Erases a record and flushes once; the error that the store had.
    fn erase(&mut self, record: RecordId) -> Result<(), StoreError> {
        let mut shelf = std::mem::take(&mut self.shelf);
        let genesis = genesis_of(&self.desk(), &record).unwrap().unwrap();
        let mut batch = Batch::default();
        let statement = StatementId([6; 32]);
        shelf.erase(&mut self.desk(), &mut batch, record, genesis, statement).unwrap();
        self.store.apply(batch)?;
        let outcome = self.destroy(&mut shelf);
        self.shelf = shelf;
        outcome
    }

    fn destroy(&mut self, shelf: &mut Shelf) -> Result<(), StoreError> {
        while shelf.has_erasures(&self.logbook) {
            let mut batch = Batch::default();
            shelf.erase_more(&mut self.desk(), &mut batch).unwrap();
            self.store.apply(batch)?;
        }
        self.store.flush()
    }

    /// Payload and key box of the entries at these positions.
    fn content(&self, seqs: &BTreeSet<u64>) -> Vec<Content> {
        let entry =
            |seq: &u64| self.logbook.entry(&self.store, &self.log(), *seq).unwrap().unwrap();
        seqs.iter().map(entry).map(|entry| (entry.payload, entry.key_box)).collect()
    }

    fn finds(&self, word: &str) -> usize {
        let index = self.index.0.lock().unwrap();
        let query = Query::parse(word).unwrap();
        index.search(&self.store, &query, &mut |_| Ok(true)).unwrap().rows.len()
    }
}

fn fields(words: &str) -> Map<String, Value> {
    let Value::Object(fields) = json!({ "name": words, "id": format!("case--{words}") }) else {
        unreachable!()
    };
    fields
}

fn new(words: &str) -> Draft {
    Draft::New { kind: Kind::Case, fields: fields(words), label: Label::most_restrictive() }
}

fn edit(record: RecordId, words: &str) -> Draft {
    let mut patch = tearline_crdt::document::Patch::default();
    let field = tearline_crdt::document::Segment::Name("name".into());
    patch.set(vec![field], Value::String(words.into()));
    Draft::Edit { record, patch }
}

/// Two records in one log, entries in turns, each flushed: the first is edited twice.
fn sample(dir: &Path, limits: Limits) -> (Peer, RecordId, BTreeSet<u64>, BTreeSet<u64>) {
    let store = SledStore::open_with(dir, &StoreKey::new(KEY), limits).unwrap();
    let mut peer = Peer::open(store);
    let [erased, kept] = peer.write(vec![new("zebu"), new("antelope")])[..] else { panic!() };
    peer.write(vec![edit(erased, "zebu gone north")]);
    peer.write(vec![edit(kept, "antelope gone south")]);
    peer.write(vec![edit(erased, "zebu found")]);
    let all: BTreeSet<u64> = (0..peer.logbook.head(&peer.log()).next).collect();
    let others = BTreeSet::from([1, 3]);
    let of_erased = all.difference(&others).copied().collect();
    (peer, erased, of_erased, others)
}

/// All values of all spaces.
fn whole(store: &SledStore) -> Vec<Vec<u8>> {
    contents(store).unwrap().into_values().collect()
}

fn holds(values: &[Vec<u8>], needle: &[u8]) -> bool {
    values.iter().any(|value| value.windows(needle.len()).any(|at| at == needle))
}

#[test]
fn no_file_holds_what_an_erased_record_held() {
    for limits in [SMALL, Limits::default()] {
        let dir = tempfile::tempdir().unwrap();
        let (mut peer, record, of_erased, others) = sample(dir.path(), limits);
        let before = peer.content(&of_erased);
        let (boxes, payloads): (Vec<_>, Vec<_>) = (
            before.iter().filter_map(|(_, key_box)| *key_box).collect(),
            before.iter().filter_map(|(payload, _)| payload.clone()).collect(),
        );
        assert!(boxes.len() == 1 && payloads.len() == 3);
        assert!(boxes.iter().all(|key_box| holds(&whole(&peer.store), key_box)));
        assert!(holds(&whole(&peer.store), b"zebu") && peer.finds("zebu") > 0);
        // The sealed bytes by which the medium holds the box.
        let chunk = |peer: &Peer| {
            let mut keys = Vec::new();
            let mut visit = |key: &[u8], _: &[u8]| {
                keys.push(key.to_vec());
                ControlFlow::Continue(())
            };
            peer.store.scan(Space::Boxes, &[], &[], &mut visit).unwrap();
            keys.into_iter().next().unwrap()
        };
        let sealed = raw_bytes(&peer.store, Space::Boxes, &chunk(&peer));
        assert!(medium_holds(dir.path(), &sealed));
        let kept = peer.content(&others);

        peer.erase(record).unwrap();
        assert!(!medium_holds(dir.path(), &sealed));
        assert!(peer.content(&of_erased).iter().all(|part| *part == (None, None)));
        assert_eq!(peer.content(&others), kept);
        assert!(peer.finds("zebu") == 0 && peer.finds("antelope") == 1);
        // Nothing that the store's key opens has it: neither what is in use, nor anything else,
        // because there is nothing else.
        assert_only_live_bytes(&peer.store);
        let values = whole(&peer.store);
        assert!(!boxes.iter().any(|key_box| holds(&values, key_box)));
        assert!(!payloads.iter().any(|payload| holds(&values, payload)));
        for word in [&b"zebu"[..], b"case--z"] {
            assert!(!holds(&values, word));
        }
        assert!(holds(&values, b"antelope"));

        // The chain is whole, here and after a reopening.
        drop(peer);
        let peer =
            Peer::open(SledStore::open_with(dir.path(), &StoreKey::new(KEY), limits).unwrap());
        let log = peer.log();
        let stretch = peer.logbook.read(&peer.store, &log, 0..99, usize::MAX).unwrap().unwrap();
        let run: UnverifiedRun<'_> = stretch.run(log);
        let head = tearline_crdt::entry::run::Head::EMPTY;
        assert_eq!(*run.verify(&head).unwrap().to(), peer.logbook.head(&log));
        assert!(peer.shelf.tombstone(&record).is_some() && !peer.shelf.has_erasures(&peer.logbook));
        assert!(peer.finds("zebu") == 0 && peer.finds("antelope") == 1);
    }
}

/// Every call to the values file fails once while a record is erased, and a power cut takes what was
/// not synced. If it was acknowledged, the box is gone; if not, the peer finds the work when it
/// starts anew, or the record as it was.
#[test]
fn an_interrupted_erasure_is_finished() {
    let (mut acknowledged, mut whole_again, mut finished) = (0, 0, 0);
    for calls_left in 0..60 {
        let dir = tempfile::tempdir().unwrap();
        let copies = tempfile::tempdir().unwrap();
        let (path, synced_copy) = (dir.path().join("values"), copies.path().join("values"));
        let (mut peer, record, of_erased, others) = sample(dir.path(), SMALL);
        let (before, kept) = (peer.content(&of_erased), peer.content(&others));
        fs::copy(&path, &synced_copy).unwrap();
        peer.store.shared.writer.lock().unwrap().values.fault =
            Some(Fault { calls_left, path: path.clone(), synced_copy: synced_copy.clone() });
        let done = peer.erase(record).is_ok();
        drop(peer);
        fs::copy(&synced_copy, &path).unwrap();
        let mut peer = Peer::open(open(dir.path()));
        assert_eq!(peer.content(&others), kept);
        if peer.shelf.tombstone(&record).is_none() {
            assert!(!done);
            assert_eq!(peer.content(&of_erased), before);
            whole_again += 1;
            continue;
        }
        acknowledged += u32::from(done);
        finished += u32::from(!done);
        let mut shelf = std::mem::take(&mut peer.shelf);
        assert!(!(done && shelf.has_erasures(&peer.logbook)));
        peer.destroy(&mut shelf).unwrap();
        assert!(peer.content(&of_erased).iter().all(|part| *part == (None, None)));
        let values = whole(&peer.store);
        let key_box = before[0].1.unwrap();
        assert!(!holds(&values, &key_box) && !holds(&values, b"zebu"));
        assert_only_live_bytes(&peer.store);
    }
    assert!(
        acknowledged > 0 && whole_again > 0 && finished > 0,
        "{acknowledged} {whole_again} {finished}"
    );
}

/// A retired epoch's secret leaves the medium with the value that held it.
#[test]
fn a_retired_epochs_secret_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let mut keys = EpochKeys::of(&[0x5a; 32]);
    let mut batch = Batch::default();
    keys.store(&mut batch, EPOCH);
    store.apply(batch).unwrap();
    store.flush().unwrap();
    let sealed = raw_bytes(&store, Space::Secrets, &EPOCH.0);
    assert!(medium_holds(dir.path(), &sealed) && holds(&whole(&store), &[0x5a; 32]));
    let mut batch = Batch::default();
    keys.retire();
    keys.store(&mut batch, EPOCH);
    store.apply(batch).unwrap();
    store.flush().unwrap();
    assert!(!medium_holds(dir.path(), &sealed) && !holds(&whole(&store), &[0x5a; 32]));
    drop(store);
    let kept = open(dir.path()).get(Space::Secrets, &EPOCH.0).unwrap().unwrap();
    assert!(EpochKeys::from_bytes(&kept).unwrap().secret().is_none());
}
