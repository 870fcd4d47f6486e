//! What a device may read that comes late: from its own beginning on, or all that was there.

use std::collections::BTreeSet;

use serde_json::json;
use tearline_crdt::document::{Patch, Segment};
use tearline_crdt::entry::sealed::EntryKind;
use tearline_crdt::id::{Class, CoalitionId, CompartmentId, EpochId, RecordId};
use tearline_crdt::record::shelf::{Draft, Verdict};
use tearline_mesh::invitation::Invited;
use tearline_mesh::replica::Word;

use crate::world::World;

/// Peers 0, 1 and 2 are desks of agencies 1, 2 and 3; the unit will be a further device of agency 1.
/// Nobody is connected.
fn stage() -> (World, CoalitionId) {
    let mut world = World::new(UNIT + 1);
    let unit = world.peers.pop().unwrap();
    let coalition = world.coalition();
    world.peers.push(unit);
    world.meet(1, 0);
    (world, coalition)
}

const UNIT: usize = 3;

/// The unit comes in.
fn enrol(world: &mut World, coalition: CoalitionId, history: bool) {
    let link = world.join(coalition, UNIT, Invited::Device { history });
    world.settle();
    world.cut(link);
}

fn epochs(world: &World, shared: CompartmentId) -> BTreeSet<EpochId> {
    world.peers[0].replica.compartment(shared).unwrap().epochs().keys().copied().collect()
}

#[test]
fn a_device_reads_from_now_on_unless_it_was_given_history() {
    for history in [false, true] {
        let (mut world, coalition) = stage();
        let shared = world.open(0, coalition, &[1, 2]);
        let before = world.write(0, shared, Class::Routine, &["before"])[0];
        world.settle();
        world.meet(1, 0);
        enrol(&mut world, coalition, history);
        let begun = epochs(&world, shared).len();
        assert_eq!(begun, if history { 1 } else { 2 }, "an epoch is issued with its grant");
        world.connect(1, 0);
        world.connect(UNIT, 0);
        world.settle();
        let after = world.write(1, shared, Class::Routine, &["after"])[0];
        world.settle();
        let own = world.write(UNIT, shared, Class::Flash, &["from the field"])[0];
        world.settle();
        assert_eq!(epochs(&world, shared).len(), begun, "which suffices");
        for _ in 0..2 {
            assert_eq!(world.show(UNIT, before).is_some(), history);
            assert!(world.show(UNIT, after).is_some());
            for peer in 0..2 {
                assert!(world.show(peer, own).is_some() && world.show(peer, before).is_some());
            }
            assert_eq!(world.peers[UNIT].replica.areas()[&shared].name.as_deref(), Some("shared"));
            world.crash(UNIT);
        }
    }
}

#[test]
fn whoever_writes_begins_an_epoch_for_whom_the_current_one_is_closed_to() {
    let (mut world, coalition) = stage();
    enrol(&mut world, coalition, false);
    // The opener hears of the unit from a third agency, and meets the unit before its desk.
    let shared = world.open(1, coalition, &[1, 2]);
    let before = world.write(1, shared, Class::Routine, &["before"])[0];
    world.settle();
    world.meet(2, 0);
    world.meet(2, 1);
    world.connect(UNIT, 1);
    world.settle();
    let after = world.write(1, shared, Class::Routine, &["after"])[0];
    world.settle();
    let further = world.write(1, shared, Class::Routine, &["further"])[0];
    world.settle();
    assert!(world.show(UNIT, before).is_none());
    assert!(world.show(UNIT, after).is_some() && world.show(UNIT, further).is_some());
    world.meet(1, 0);
    assert_eq!(epochs(&world, shared).len(), 2);
}

#[test]
fn a_device_writes_where_nobody_has_heard_of_it() {
    let (mut world, coalition) = stage();
    enrol(&mut world, coalition, false);
    let shared = world.open(1, coalition, &[1, 2]);
    let before = world.write(1, shared, Class::Routine, &["before"])[0];
    world.settle();
    world.meet(1, 0);
    world.meet(UNIT, 0);
    let own = world.write(UNIT, shared, Class::Flash, &["from the field"])[0];
    world.settle();
    world.meet(UNIT, 0);
    world.meet(1, 0);
    assert!(world.show(UNIT, before).is_none());
    let after = [0, 1].map(|peer| world.write(peer, shared, Class::Routine, &["after"])[0]);
    world.meet(1, 0);
    world.meet(UNIT, 0);
    world.meet(1, 0);
    assert!([0, 1, UNIT].iter().all(|peer| world.show(*peer, own).is_some()));
    assert!(after.iter().all(|record| world.show(UNIT, *record).is_some()));
    assert_eq!(epochs(&world, shared).len(), 2, "its own, for all");
}

#[test]
fn epochs_that_were_begun_at_once_meet_in_one_that_all_read() {
    let (mut world, coalition) = stage();
    let shared = world.open(0, coalition, &[1, 2]);
    world.meet(1, 0);
    enrol(&mut world, coalition, false);
    // Agency 2 has not heard of it.
    let now = world.now();
    world.peers[1].replica.rotate(now, shared).unwrap();
    let unaware = world.write(1, shared, Class::Routine, &["unaware"])[0];
    world.settle();
    world.meet(1, 0);
    world.meet(UNIT, 0);
    world.meet(1, 0);
    let aware = [0, 1, UNIT].map(|peer| world.write(peer, shared, Class::Routine, &["aware"])[0]);
    for _ in 0..2 {
        world.meet(1, 0);
        world.meet(UNIT, 0);
    }
    let epochs = epochs(&world, shared);
    assert!((3..=4).contains(&epochs.len()), "{epochs:?}");
    for peer in [0, 1, UNIT] {
        assert!(aware.iter().all(|record| world.show(peer, *record).is_some()), "{peer}");
        assert_eq!(world.show(peer, unaware).is_some(), peer != UNIT, "{peer}");
    }
}

fn edit(record: RecordId, name: &str) -> Vec<Draft> {
    let mut patch = Patch::default();
    patch.set(vec![Segment::Name("name".to_owned())], json!(name));
    vec![Draft::Edit { record, patch }]
}

/// How many entries of each kind a peer shows of a record; all count.
fn kinds(world: &mut World, peer: usize, record: RecordId) -> [usize; 5] {
    let detail = world.show(peer, record).unwrap();
    assert!(detail.entries.iter().all(|entry| entry.verdict == Verdict::Materialised));
    [1, 2, 3, 4, 5]
        .map(|kind| detail.entries.iter().filter(|entry| entry.kind == EntryKind(kind)).count())
}

#[test]
fn rebase_for_newcomers() {
    let (mut world, coalition) = stage();
    let shared = world.open(0, coalition, &[1, 2]);
    let [old, other] = world.write(0, shared, Class::Routine, &["old", "other"])[..] else {
        panic!("two records")
    };
    world.settle();
    world.act(0, shared, Class::Priority, edit(old, "changed"));
    world.settle();
    world.meet(1, 0);
    enrol(&mut world, coalition, false);
    world.connect(UNIT, 0);
    world.connect(1, 0);
    world.settle();
    assert!(world.show(UNIT, old).is_none() && world.show(UNIT, other).is_none());

    // Its agency changes one of them: it reads that one whole, with who wrote what.
    world.act(0, shared, Class::Immediate, edit(old, "changed again"));
    world.settle();
    for _ in 0..2 {
        let [ours, theirs] = [0, UNIT].map(|peer| world.show(peer, old).unwrap());
        assert_eq!(theirs.fields["name"], "changed again");
        assert_eq!((&ours.fields, &ours.label), (&theirs.fields, &theirs.label));
        assert_eq!((ours.genesis, ours.device), (theirs.genesis, theirs.device));
        let told = |entries: &[tearline_crdt::record::shelf::EntryView]| {
            entries.iter().map(|e| (e.id, e.log, e.wall, e.fields.clone())).collect::<BTreeSet<_>>()
        };
        assert_eq!(told(&ours.entries), told(&theirs.entries));
        assert_eq!(kinds(&mut world, UNIT, old), [1, 2, 0, 1, 0]);
        assert!(world.show(UNIT, other).is_none());
        world.crash(UNIT);
    }

    // It writes on, and nobody has to say anything again.
    world.connect(UNIT, 0);
    world.settle();
    world.act(UNIT, shared, Class::Routine, edit(old, "from the field"));
    world.settle();
    for peer in [0, 1, UNIT] {
        assert_eq!(world.show(peer, old).unwrap().fields["name"], "from the field");
        assert_eq!(kinds(&mut world, peer, old), [1, 3, 0, 1, 0]);
    }

    // What is erased is gone where it was disclosed, too.
    let now = world.now();
    let replica = &mut world.peers[0].replica;
    replica.speak(now, old, &Word::Erase { basis: "Article 17".into() }).unwrap();
    world.drain(0);
    world.settle();
    world.input(UNIT, tearline_mesh::Input::Tick);
    world.settle();
    for _ in 0..2 {
        assert!(world.show(UNIT, old).is_none());
        world.crash(UNIT);
    }
    let replica = &world.peers[UNIT].replica;
    for (log, state) in replica.logbook().logs().filter(|(log, _)| log.class != Class::Authority) {
        for seq in 0..state.head.next {
            let entry = replica.logbook().entry(replica.store(), log, seq).unwrap().unwrap();
            let other = log.class == Class::Routine && log.device != replica.device() && seq == 1;
            assert_eq!(entry.payload.is_some(), other, "{log:?} {seq}");
        }
    }
}
