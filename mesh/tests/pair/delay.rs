//! The delay between hiding a record and destroying it, by clocks that are wrong; and what many records
//! cost whose day comes at once.

use tearline_crdt::id::{Class, RecordId};
use tearline_mesh::Input;
use tearline_mesh::replica::Word;

use crate::world::World;

const HOUR_MS: u64 = 3_600_000;

const YEAR_MS: i64 = 365 * 24 * HOUR_MS as i64;
/// From when the world begins.
const TO_1970_MS: i64 = -1_700_000_000_000;

/// A peer with a record that was just erased, to be destroyed in 72 hours.
fn erased() -> (World, RecordId) {
    let mut world = World::new(1);
    let coalition = world.coalition_with_delay(72);
    let shared = world.open(0, coalition, &[1]);
    let record = world.write(0, shared, Class::Routine, &["canary"])[0];
    let now = world.now();
    let word = Word::Erase { basis: "Article 17".into() };
    world.peers[0].replica.speak(now, record, &word).unwrap();
    world.drain(0);
    world.settle();
    (world, record)
}

/// Time passes, and the peer notices.
fn pass(world: &mut World, ms: u64) {
    world.wait(ms);
    world.input(0, Input::Tick);
    world.settle();
}

/// What only the clock claims to have passed counts up to a third of the delay, whether it was set once or
/// again and again, while the peer ran or while it was off; and a clock that goes back takes nothing of what ran.
#[test]
fn no_leap_of_a_clock_destroys_before_its_time() {
    for (errors, restarts, hours) in [
        (&[YEAR_MS][..], false, 48),
        (&[YEAR_MS], true, 48),
        (&[TO_1970_MS], false, 72),
        (&[TO_1970_MS], true, 72),
        (&[TO_1970_MS, 0, TO_1970_MS, 0], true, 72),
        (&[-YEAR_MS, 0, -YEAR_MS, 0], false, 72),
        (&[YEAR_MS, 2 * YEAR_MS, 3 * YEAR_MS], false, 48),
        (&[YEAR_MS, 2 * YEAR_MS, 3 * YEAR_MS], true, 48),
    ] {
        let (mut world, record) = erased();
        for error in errors {
            world.clock_error_ms = *error;
            if restarts {
                world.crash(0);
            }
            pass(&mut world, 0);
        }
        for (passes, there) in [((hours - 1) * HOUR_MS, true), (2 * HOUR_MS, false)] {
            pass(&mut world, passes);
            let shown = world.show(0, record).is_some();
            assert_eq!(shown, there, "{errors:?}, restarts: {restarts}, after {passes} ms");
        }
    }
}

/// A peer that ran for most of the delay and starts again with a clock that shows 1970 goes on from there.
#[test]
fn what_was_reckoned_outlasts_a_restart() {
    let (mut world, record) = erased();
    (0..50).for_each(|_| pass(&mut world, HOUR_MS));
    world.clock_error_ms = TO_1970_MS;
    world.crash(0);
    pass(&mut world, 0);
    pass(&mut world, 21 * HOUR_MS);
    assert!(world.show(0, record).is_some());
    pass(&mut world, 2 * HOUR_MS);
    assert!(world.show(0, record).is_none());
}

/// A peer that is off for a week destroys within two thirds of the delay after its start; and one that runs
/// for an hour of each day, on the day that it is due.
#[test]
fn who_is_off_destroys_soon_after_it_starts() {
    let (mut world, record) = erased();
    pass(&mut world, 2 * HOUR_MS);
    world.wait(7 * 24 * HOUR_MS);
    world.crash(0);
    pass(&mut world, 0);
    pass(&mut world, 45 * HOUR_MS);
    assert!(world.show(0, record).is_some(), "2 + 24 + 45 hours");
    pass(&mut world, 2 * HOUR_MS);
    assert!(world.show(0, record).is_none());

    let (mut world, record) = erased();
    for there in [true, true, false] {
        // Each minute is written down.
        (0..60).for_each(|_| pass(&mut world, HOUR_MS / 60));
        world.wait(23 * HOUR_MS);
        world.crash(0);
        pass(&mut world, 0);
        assert_eq!(world.show(0, record).is_some(), there);
    }
}

/// A peer that crashes again and again within the hour gets on, too.
#[test]
fn what_ran_for_a_minute_is_not_forgotten() {
    let (mut world, record) = erased();
    world.clock_error_ms = TO_1970_MS;
    for _ in 0..72 * 60 / 50 + 1 {
        assert!(world.show(0, record).is_some());
        (0..5).for_each(|_| pass(&mut world, HOUR_MS / 6));
        world.crash(0);
        pass(&mut world, 0);
    }
    assert!(world.show(0, record).is_none());
}

/// Many records whose day comes at once are destroyed in one pass over the store.
#[test]
fn what_is_destroyed_at_once_is_forgotten_at_once() {
    const RECORDS: usize = 1_000;
    let mut world = World::new(1);
    let coalition = world.coalition_with_delay(1);
    let shared = world.open(0, coalition, &[1]);
    let records: Vec<RecordId> = (0..RECORDS / 100)
        .flat_map(|_| world.write(0, shared, Class::Routine, &["canary"; 100]))
        .collect();
    for record in &records {
        let now = world.now();
        let word = Word::Erase { basis: "Article 17".into() };
        world.peers[0].replica.speak(now, *record, &word).unwrap();
        world.drain(0);
    }
    world.settle();
    let forgets = |world: &World| world.peers[0].replica.store().forgets();
    let before = forgets(&world);
    world.wait(2 * HOUR_MS);
    world.input(0, Input::Tick);
    world.settle();
    assert!(records.iter().all(|record| world.show(0, *record).is_none()));
    assert_eq!(forgets(&world) - before, 1);
}

/// The delay counts from the word that asks to destroy, whatever was said of the record before it, and over a
/// restart.
#[test]
fn the_delay_counts_from_the_erasure_and_not_from_what_was_said_before() {
    for by_act in [false, true] {
        let mut world = World::new(1);
        let coalition = world.coalition_with_delay(72);
        let shared = world.open(0, coalition, &[1]);
        let record = world.write(0, shared, Class::Routine, &["canary"])[0];
        world.settle();
        let detail = world.show(0, record).unwrap();
        let now = world.now();
        world.peers[0].replica.speak(now, record, &Word::Restrict).unwrap();
        world.drain(0);
        world.settle();
        (0..100).for_each(|_| pass(&mut world, HOUR_MS));
        world.crash(0);
        let (now, replica) = (world.now(), &mut world.peers[0].replica);
        if by_act {
            replica.propose_erasure(now, coalition, &detail, "Article 17").unwrap();
        } else {
            replica.speak(now, record, &Word::Erase { basis: "Article 17".into() }).unwrap();
        }
        world.drain(0);
        world.settle();
        (0..71).for_each(|_| pass(&mut world, HOUR_MS));
        world.crash(0);
        pass(&mut world, 0);
        assert!(world.show(0, record).is_some(), "by an act: {by_act}");
        pass(&mut world, 2 * HOUR_MS);
        assert!(world.show(0, record).is_none(), "by an act: {by_act}");
    }
}
