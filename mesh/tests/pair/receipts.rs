//! Receipts: what they may say, and how much it costs to have nothing new to answer.

use std::cell::Cell;
use std::rc::Rc;

use tearline_crdt::charter::{Charter, Member};
use tearline_crdt::document::{Patch, Segment};
use tearline_crdt::entropy::SeededEntropy;
use tearline_crdt::id::{AgencyNo, Class, Incarnation};
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::label::Label;
use tearline_crdt::record::receipt::{self, Outcome};
use tearline_crdt::record::shelf::Draft;
use tearline_crdt::statement::DeskCertificate;
use tearline_crdt::store::memory::MemoryStore;
use tearline_crdt::store::{Batch, Space, Store, StoreError, Visit};
use tearline_crdt::time::{MonoTime, Now, WallTime};
use tearline_mesh::invitation::Invited;
use tearline_mesh::replica::{Setup, Word};
use tearline_mesh::{Output, Replica};

use crate::world::{World, draft, keys, root};

/// A store that counts how often a receipt is looked up in it.
#[derive(Default)]
struct Counting {
    inner: MemoryStore,
    reads: Rc<Cell<usize>>,
}

impl Store for Counting {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.reads.set(self.reads.get() + usize::from(key.starts_with(b"receipt/")));
        self.inner.get(space, key)
    }

    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        from: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.inner.scan(space, prefix, from, visit)
    }

    fn scan_back(
        &self,
        space: Space,
        prefix: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.inner.scan_back(space, prefix, visit)
    }

    fn apply(&mut self, batch: Batch) -> Result<(), StoreError> {
        self.inner.apply(batch)
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.inner.flush()
    }
}

/// How many receipts are looked up for one restriction more, after so many.
fn looked_up_after(restricted: usize) -> usize {
    let reads = Rc::new(Cell::new(0));
    let store = Counting { inner: MemoryStore::default(), reads: Rc::clone(&reads) };
    let setup = Setup {
        keys: keys(1),
        incarnation: Incarnation(1),
        entropy: Box::new(SeededEntropy::new(1)),
        projection: Box::new(()),
    };
    let mut replica = Replica::open(store, setup).unwrap();
    let now = Now { mono: MonoTime(0), wall: WallTime(1_700_000_000_000) };
    let founder = Member {
        no: AgencyNo(1),
        name: "Agency 1".into(),
        country: "NE".into(),
        root: root(1).public(),
    };
    let charter = Charter {
        name: "Drill".into(),
        nonce: [7; 16],
        quorum: 1,
        limits_version: 1,
        erasure_delay_hours: 0,
        default_label: vec![],
        agreement: None,
        founders: vec![founder],
    };
    let settle = |replica: &mut Replica<Counting>| {
        while let Some(output) = replica.poll_output() {
            if let Output::Flush { barrier } = output {
                replica.handle(now, tearline_mesh::Input::Flushed { barrier }).unwrap();
            }
        }
    };
    let desk = DeskCertificate::sign(&root(1), &keys(1), None);
    let coalition = replica.found(now, charter, desk).unwrap().value;
    let home = replica.open_compartment(now, coalition, vec![AgencyNo(1)], "home").unwrap().value;
    settle(&mut replica);
    let drafts = (0..=restricted).map(|n| draft(&n.to_string())).collect();
    let written = replica.write(now, home, Class::Routine, drafts).unwrap().value;
    settle(&mut replica);
    let mut used = 0;
    for one in written {
        let before = reads.get();
        replica.speak(now, one.record, &Word::Restrict).unwrap();
        replica.handle(now, tearline_mesh::Input::Tick).unwrap();
        settle(&mut replica);
        used = reads.get() - before;
    }
    used
}

#[test]
fn what_was_answered_is_not_looked_up_again() {
    let few = looked_up_after(4);
    assert!(few > 0);
    assert_eq!(looked_up_after(64), few);
}

/// Peers 0 to 4 are desks of five agencies, the unit a further device of the first. Its own desk knows
/// nothing of the compartment yet, and nobody else seals it the keys; the fifth carries the word that it
/// came in.
#[test]
fn who_holds_what_it_cannot_read_yet_does_not_say_that_it_destroyed() {
    const UNIT: usize = 5;
    const COURIER: usize = 4;
    let mut world = World::new(UNIT + 1);
    let unit = world.peers.pop().unwrap();
    let coalition = world.coalition();
    world.peers.push(unit);
    for peer in 1..UNIT {
        world.meet(peer, 0);
    }
    let shared = world.open(3, coalition, &[1, 2, 3, 4]);
    world.meet(1, 3);
    let mut fields = serde_json::Map::new();
    fields.insert("name".into(), "canary".into());
    let case = Draft::New { kind: Kind::Case, fields, label: Label::unrestricted() };
    let record = world.act(1, shared, Class::Routine, vec![case])[0];
    world.settle();
    world.meet(2, 1);
    world.meet(3, 1);
    // An entry of the record that who erases it does not hear of, by a device that is away afterwards.
    let mut patch = Patch::default();
    patch.set(vec![Segment::Name("name".into())], "unlisted canary".into());
    world.act(3, shared, Class::Priority, vec![Draft::Edit { record, patch }]);
    world.settle();
    world.meet(2, 3);
    let unlisted = world.peers[3].replica.own_log(shared, Class::Priority);
    let link = world.join(coalition, UNIT, Invited::Device { history: true });
    world.settle();
    world.cut(link);
    world.meet(COURIER, 0);
    world.meet(COURIER, 2);
    world.meet(UNIT, 2);
    let holds = |world: &World| {
        let replica = &world.peers[UNIT].replica;
        let entry = replica.logbook().entry(replica.store(), &unlisted, 0).unwrap();
        entry.is_some_and(|entry| entry.payload.is_some())
    };
    assert!(holds(&world));
    assert!(world.show(UNIT, record).is_none(), "it has no keys");

    let now = world.now();
    let order = Word::Erase { basis: "order 7".into() };
    let erased = world.peers[1].replica.speak(now, record, &order).unwrap().value;
    world.drain(1);
    world.settle();
    world.meet(2, 1);
    world.meet(UNIT, 2);
    let said = |world: &World| {
        let replica = &world.peers[UNIT].replica;
        let answer = receipt::answer(replica.store(), &erased, &replica.device()).unwrap();
        answer.map(|answer| answer.outcome)
    };
    assert!(holds(&world));
    assert_eq!(said(&world), Some(Outcome::Hidden));
    world.crash(UNIT);
    world.input(UNIT, tearline_mesh::Input::Tick);
    assert_eq!(said(&world), Some(Outcome::Hidden), "nor after a restart");
    world.meet(0, 1);
    world.meet(UNIT, 0);
    assert!(!holds(&world), "its keys came");
    assert_eq!(said(&world), Some(Outcome::Destroyed));
}

/// An act names no compartment, so that who holds several hears it in each: it is answered where the record
/// is, once for each thing that was done, however often a peer starts again.
#[test]
fn an_act_on_a_record_is_answered_once_and_its_delay_goes_on() {
    const PEERS: usize = 3;
    const HOUR_MS: u64 = 3_600_000;
    for place in [0, 1] {
        let mut world = World::new(PEERS);
        let coalition = world.coalition_with_delay(72);
        let areas = [1, 2].map(|n| world.open_named(0, coalition, &[1, 2, 3], n));
        let record = world.write(0, areas[place], Class::Routine, &["canary"])[0];
        world.settle();
        let links = [world.connect(1, 0), world.connect(2, 0)];
        world.settle();
        let detail = world.show(0, record).unwrap();
        let now = world.now();
        let founder = &mut world.peers[0].replica;
        let act = founder.propose_erasure(now, coalition, &detail, "order 7").unwrap().value;
        world.drain(0);
        world.settle();
        links.into_iter().for_each(|link| world.cut(link));
        // How much a peer wrote where its receipts stand, in each compartment, and its last answer.
        let wrote = |world: &World, peer: usize| {
            let replica = &world.peers[peer].replica;
            let written =
                |area| replica.logbook().head(&replica.own_log(area, Class::Routine)).next;
            let said = receipt::answer(replica.store(), &act, &replica.device()).unwrap();
            (areas.map(written), said.map(|said| said.outcome))
        };
        let pass = |world: &mut World, ms| {
            world.wait(ms);
            (0..PEERS).for_each(|peer| world.input(peer, tearline_mesh::Input::Tick));
            world.settle();
        };
        let check = |world: &mut World, receipts: u64, outcome| {
            for peer in 0..PEERS {
                // One entry of the peer that wrote the record is the record.
                let mut written = [0, 0];
                written[place] = receipts + u64::from(peer == 0);
                assert_eq!(wrote(world, peer), (written, Some(outcome)));
                assert_eq!(world.show(peer, record).is_some(), outcome == Outcome::Hidden);
                let stone = world.peers[peer].replica.tombstone(&record);
                let erased = (outcome == Outcome::Destroyed).then_some(areas[place]);
                assert_eq!(stone.map(|(area, _)| area), erased);
            }
        };
        check(&mut world, 1, Outcome::Hidden);
        for hours in 1..=75 {
            pass(&mut world, HOUR_MS);
            (0..PEERS).for_each(|peer| world.crash(peer));
            pass(&mut world, 0);
            match hours {
                ..=71 => check(&mut world, 1, Outcome::Hidden),
                72 => {}
                _ => check(&mut world, 2, Outcome::Destroyed),
            }
        }
    }
}
