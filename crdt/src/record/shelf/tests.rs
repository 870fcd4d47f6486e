//! Whatever the order in which entries arrive, every peer that has them all says the same of them.
//!
//! Authors of two agencies write and exchange parts of their logs; then fresh peers get all logs in
//! other orders, cut elsewhere, some stretches twice. One author lies about whose device it is, so
//! that entries without a right to be written are among them.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;

use super::*;
use crate::document::{Patch, Segment};
use crate::entropy::SeededEntropy;
use crate::entry::run::write_segment;
use crate::id::{EntryId, Incarnation};
use crate::keys::Signer;
use crate::store::memory::MemoryStore;

const COMPARTMENT: CompartmentId = CompartmentId([1; 32]);
const EPOCH: EpochId = EpochId([2; 32]);
/// The author that takes all devices for its own agency's.
const LIAR: usize = 3;
const AUTHORS: usize = 4;

fn signer(author: usize) -> Signer {
    Signer::from_seed(&[10 + author as u8; 32])
}

fn log(author: usize) -> LogId {
    let device = DeviceId(signer(author).public());
    let class = if author == 1 { Class::Priority } else { Class::Routine };
    LogId { compartment: COMPARTMENT, class, device, incarnation: Incarnation(1) }
}

/// Authors 0 and 1 are of agency 1, the others of agency 2.
struct Agencies {
    lie: bool,
}

impl Standings for Agencies {
    fn agency(&self, _: &CompartmentId, device: &DeviceId) -> Option<AgencyNo> {
        let author = (0..AUTHORS).find(|author| log(*author).device == *device)?;
        Some(AgencyNo(if self.lie || author < 2 { 1 } else { 2 }))
    }
}

/// A planted fault: whose device it is, is known once the next author's log has arrived.
struct OnArrival(Vec<DeviceId>);

impl Standings for OnArrival {
    fn agency(&self, compartment: &CompartmentId, device: &DeviceId) -> Option<AgencyNo> {
        let known = self.0.contains(device);
        Agencies { lie: false }.agency(compartment, device).filter(|_| known)
    }
}

/// What was last shown of each record.
#[derive(Default)]
struct Shown(BTreeMap<RecordId, (Value, bool)>);

impl Projection for Shown {
    fn record(
        &mut self,
        _: &dyn Store,
        _: &mut Batch,
        view: &RecordView<'_>,
    ) -> Result<(), StoreError> {
        let shown =
            json!([view.fields, view.label, view.class.name(), view.origin.0, view.created.0]);
        self.0.insert(view.record, (shown, view.conflicted));
        Ok(())
    }

    fn finish(&mut self, _: &mut Batch) {}
}

struct Peer {
    store: MemoryStore,
    logbook: Logbook,
    shelf: Shelf,
    keys: BTreeMap<EpochId, EpochKeys>,
    shown: Shown,
}

impl Peer {
    fn new() -> Self {
        Self {
            store: MemoryStore::new(),
            logbook: Logbook::default(),
            shelf: Shelf::default(),
            keys: BTreeMap::from([(EPOCH, EpochKeys::of(&[3; 32]))]),
            shown: Shown::default(),
        }
    }

    fn write(&mut self, author: usize, clock: u64, draft: Draft) -> Option<RecordId> {
        let log = log(author);
        let standings = Agencies { lie: author == LIAR };
        let head = self.logbook.head(&log);
        let cipher = LogCipher::new(log, EPOCH, self.keys[&EPOCH].clone());
        let mut writing = Writing {
            store: &self.store,
            logbook: &self.logbook,
            keys: &self.keys,
            standings: &standings,
            cipher: &cipher,
            next_seq: head.next,
            now: WallTime(1_767_225_600_000 + clock),
            entropy: &mut SeededEntropy::new(clock * 8 + author as u64),
        };
        let prepared = self.shelf.prepare(&mut writing, vec![draft]).ok()?;
        if prepared.entries.is_empty() {
            return None;
        }
        let run = write_segment(&log, &head, &signer(author), &prepared.entries).unwrap();
        self.take(&run, &standings);
        Some(prepared.written[0].record)
    }

    fn take(&mut self, run: &VerifiedRun, standings: &dyn Standings) {
        let mut batch = Batch::default();
        let Some(no) = self.logbook.append(&mut batch, run) else { return };
        let mut desk = Desk {
            store: &self.store,
            logbook: &self.logbook,
            keys: &self.keys,
            standings,
            projection: &mut self.shown,
            now: WallTime(0),
        };
        self.shelf.take(&mut desk, &mut batch, no, run).unwrap();
        self.store.apply(batch).unwrap();
    }

    /// Takes the next entries of a log from another peer.
    fn pull(
        &mut self,
        from: &Self,
        author: usize,
        bytes: usize,
        standings: &dyn Standings,
    ) -> bool {
        let head = self.logbook.head(&log(author));
        let span = head.next..u64::MAX;
        let stretch = from.logbook.read(&from.store, &log(author), span, bytes).unwrap();
        let Some(stretch) = stretch else { return false };
        let run = stretch.run(log(author)).verify(&head).unwrap();
        self.take(&run, standings);
        self.take(&run, standings);
        true
    }

    /// One of the records that are here.
    fn pick(&self, records: &[RecordId], which: Index) -> Option<RecordId> {
        let here = |id: &&RecordId| Listing::load(&self.store, id).unwrap().is_some();
        let held: Vec<&RecordId> = records.iter().filter(here).collect();
        (!held.is_empty()).then(|| **which.get(&held))
    }

    /// All that this peer says of its records.
    fn says(&mut self, standings: &dyn Standings) -> BTreeMap<RecordId, Said> {
        let mut ids = Vec::new();
        self.store
            .scan(Space::Records, &[], &[], &mut |key, _| {
                ids.push(RecordId(key.try_into().unwrap()));
                ControlFlow::Continue(())
            })
            .unwrap();
        let mut said = BTreeMap::new();
        for id in ids {
            let mut reader = self.shelf.reader(&self.store, &self.logbook, &self.keys, standings);
            let Some(detail) = reader.show(id).unwrap() else { continue };
            let conflicts = format!("{:?}", detail.conflicts);
            let text = json!([detail.fields, detail.label, detail.origin.0, detail.created.0]);
            let verdicts = detail.entries.into_iter().map(|e| (e.id, (e.fields, e.verdict)));
            said.insert(id, Said { text, conflicts, verdicts: verdicts.collect() });
        }
        said
    }
}

#[derive(Debug, PartialEq)]
struct Said {
    text: Value,
    conflicts: String,
    verdicts: BTreeMap<EntryId, (Vec<String>, Verdict)>,
}

#[derive(Clone, Debug)]
enum Step {
    New { author: usize, note: bool },
    Edit { author: usize, record: Index, field: u8, value: i64, unset: bool },
    Label { author: usize, record: Index, marking: u8, release: Option<Index> },
    Pull { to: usize, from: usize, bytes: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let author = 0..AUTHORS;
    prop_oneof![
        2 => (author.clone(), any::<bool>()).prop_map(|(author, note)| Step::New { author, note }),
        6 => (author.clone(), any::<Index>(), 0..3_u8, any::<i64>(), any::<bool>()).prop_map(
            |(author, record, field, value, unset)| Step::Edit { author, record, field, value, unset }
        ),
        2 => (author.clone(), any::<Index>(), 0..3_u8, any::<Option<Index>>()).prop_map(
            |(author, record, marking, release)| Step::Label { author, record, marking, release }
        ),
        6 => (author.clone(), author, 1..20_000_usize)
            .prop_map(|(to, from, bytes)| Step::Pull { to, from, bytes }),
    ]
}

/// Authors with the logs that the steps lead to.
fn history(steps: &[Step]) -> Vec<Peer> {
    let mut peers: Vec<Peer> = (0..AUTHORS).map(|_| Peer::new()).collect();
    let (mut records, mut statements) = (Vec::new(), Vec::new());
    for (clock, step) in (0..).zip(steps) {
        match step {
            Step::New { author, note } => {
                let draft = Draft::New {
                    kind: if *note { Kind::Note } else { Kind::Sighting },
                    fields: json!({"f0": clock, "text": "on the road"})
                        .as_object()
                        .unwrap()
                        .clone(),
                    label: "TLP:GREEN".parse().unwrap(),
                };
                records.extend(peers[*author].write(*author, clock, draft));
            }
            Step::Edit { author, record, field, value, unset } => {
                let Some(record) = peers[*author].pick(&records, *record) else { continue };
                let mut patch = Patch::default();
                let path = vec![Segment::Name(format!("f{field}"))];
                if *unset {
                    patch.unset(path);
                } else {
                    patch.set(path, json!(value));
                }
                peers[*author].write(*author, clock, Draft::Edit { record, patch });
            }
            Step::Label { author, record, marking, release } => {
                let Some(record) = peers[*author].pick(&records, *record) else { continue };
                let marking = ["TLP:GREEN", "TLP:AMBER", "TLP:RED"][usize::from(*marking)];
                let cites = release.filter(|_| !statements.is_empty());
                let cites = cites.map(|at| *at.get(&statements)).into_iter().collect();
                let draft = Draft::Label { record, label: marking.parse().unwrap(), cites };
                if peers[*author].write(*author, clock, draft).is_some() {
                    statements.push(peers[*author].logbook.head(&log(*author)).id);
                }
            }
            Step::Pull { to, from, bytes } if to != from => {
                let standings = Agencies { lie: *to == LIAR };
                let [to, from] = peers.get_disjoint_mut([*to, *from]).unwrap();
                for author in 0..AUTHORS {
                    to.pull(from, author, *bytes, &standings);
                }
            }
            _ => {}
        }
    }
    peers
}

/// A peer that gets every author's own log, in the order and the pieces that were drawn.
fn deliver(authors: &[Peer], order: &[(usize, usize)], on_arrival: bool) -> Peer {
    let mut peer = Peer::new();
    let mut standings = OnArrival(Vec::new());
    let fair = Agencies { lie: false };
    let rest = (0..AUTHORS).map(|author| (author, usize::MAX));
    for (author, bytes) in order.iter().copied().chain(rest) {
        standings.0.push(log((author + AUTHORS - 1) % AUTHORS).device);
        let standings: &dyn Standings = if on_arrival { &standings } else { &fair };
        let whole = bytes == usize::MAX;
        while peer.pull(&authors[author], author, bytes.min(100_000), standings) && whole {}
    }
    peer
}

fn orders() -> impl Strategy<Value = Vec<Vec<(usize, usize)>>> {
    let order = prop::collection::vec((0..AUTHORS, 1..3_000_usize), 0..40);
    prop::collection::vec(order, 3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_order_of_arrival_comes_to_the_same(
        steps in prop::collection::vec(step(), 1..120),
        orders in orders(),
    ) {
        let authors = history(&steps);
        let fair = Agencies { lie: false };
        let mut first = deliver(&authors, &[], false);
        let expected = first.says(&fair);
        for order in &orders {
            let mut peer = deliver(&authors, order, false);
            prop_assert_eq!(&peer.says(&fair), &expected);
            prop_assert_eq!(&peer.shown.0, &first.shown.0);
            // What came entry by entry is what all of it together says.
            peer.shelf = Shelf::default();
            prop_assert_eq!(&peer.says(&fair), &expected);
        }
    }
}

fn edit(record: RecordId, field: &str, value: i64) -> Draft {
    let mut patch = Patch::default();
    patch.set(vec![Segment::Name(field.into())], json!(value));
    Draft::Edit { record, patch }
}

#[test]
fn edits_in_turn_by_two_devices_arrive_in_any_order() {
    let mut authors: Vec<Peer> = (0..AUTHORS).map(|_| Peer::new()).collect();
    let fair = Agencies { lie: false };
    let fields = json!({"f0": 0}).as_object().unwrap().clone();
    let label: Label = "TLP:GREEN".parse().unwrap();
    let draft = Draft::New { kind: Kind::Sighting, fields, label };
    let record = authors[0].write(0, 1, draft).unwrap();
    for (n, (writer, other)) in [(0, 1), (1, 0), (0, 1)].into_iter().enumerate() {
        let value = n as i64 + 10;
        authors[writer].write(writer, 10 + n as u64, edit(record, "f0", value)).unwrap();
        let [writing, reading] = authors.get_disjoint_mut([writer, other]).unwrap();
        while reading.pull(writing, writer, 1, &fair) {}
    }
    for order in [[0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]] {
        let order: Vec<_> = order.iter().map(|author| (*author, 1)).collect();
        let mut peer = deliver(&authors, &order, false);
        let said = &peer.says(&fair)[&record];
        assert_eq!(said.text[0], json!({"f0": 12}), "{order:?}");
        assert!(said.verdicts.values().all(|(_, v)| *v == Verdict::Materialised), "{order:?}");
    }
}

/// The oracle finds a peer that judges by what it knew when an entry came.
#[test]
fn a_verdict_that_depends_on_arrival_is_caught() {
    let mut authors: Vec<Peer> = (0..AUTHORS).map(|_| Peer::new()).collect();
    let fields = json!({"f0": 0}).as_object().unwrap().clone();
    let label: Label = "TLP:GREEN".parse().unwrap();
    let draft = Draft::New { kind: Kind::Sighting, fields, label };
    let record = authors[0].write(0, 1, draft).unwrap();
    let [first, second] = authors.get_disjoint_mut([0, 1]).unwrap();
    second.pull(first, 0, 1, &Agencies { lie: false });
    authors[1].write(1, 2, edit(record, "f0", 5)).unwrap();
    let fair = Agencies { lie: false };
    let says = |order: [usize; 3], faulty| {
        let order = order.map(|author| (author, 1));
        deliver(&authors, &order, faulty).says(&fair)
    };
    assert_eq!(says([0, 1, 2], false), says([2, 0, 1], false));
    assert_ne!(says([0, 1, 2], true), says([2, 0, 1], true));
}
