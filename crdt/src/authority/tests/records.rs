//! §8: what is said of records.

use super::support::{Part, Whole, World, agency};
use crate::authority::RecordState;
use crate::id::EntryId;
use crate::statement::{Act, Erasure, Marks, Right, Statement};

/// A record that agency 1 began, with an entry of agency 2, in a compartment of three agencies.
fn record() -> (World, EntryId, EntryId) {
    let mut world = World::of(3, 1);
    let genesis = world.write((1, 0));
    let other = world.write((2, 0));
    (world, genesis, other)
}

fn state(world: &World, genesis: EntryId, reader: u8) -> RecordState {
    world.compartment.record_state(&genesis, agency(1), agency(reader))
}

fn erase(genesis: EntryId, others: Vec<EntryId>) -> Statement {
    Statement::Erase(Erasure { genesis, others })
}

/// Whether a peer of agency 3 that does not read the record destroys an entry of this agency.
fn is_gone(world: &World, entry: EntryId, author: u8) -> bool {
    world.compartment.erasures_of(&entry, agency(author), agency(3)).next().is_some()
}

#[test]
fn an_admin_of_the_originator_erases_and_nobody_else() {
    let (mut world, genesis, _) = record();
    world.grant((1, 0), Whole, (1, 4), Right::Write);
    world.say((2, 0), Part, erase(genesis, vec![]));
    world.say((1, 4), Part, erase(genesis, vec![]));
    world.say((0, 1), Part, erase(genesis, vec![]));
    assert_eq!(state(&world, genesis, 2), RecordState::default());
    world.say((1, 0), Part, erase(genesis, vec![]));
    assert!(state(&world, genesis, 2).erased.is_some());
}

#[test]
fn an_erasure_stays_when_its_author_is_closed() {
    let (mut world, genesis, _) = record();
    world.say((1, 0), Part, erase(genesis, vec![]));
    world.act(Act::Retire { agency: agency(1), keep: Marks::NONE });
    assert!(state(&world, genesis, 2).erased.is_some());
}

#[test]
fn erase_beats_adopt() {
    let (mut world, genesis, _) = record();
    world.say((1, 0), Part, erase(genesis, vec![]));
    let log = world.record_log((1, 0));
    let marks = world.marks(log, 1);
    world.act(Act::Adopt { marks });
    assert_eq!(world.counting(log), 1);
    assert!(state(&world, genesis, 2).erased.is_some());
    assert!(is_gone(&world, genesis, 1));
}

#[test]
fn who_does_not_read_destroys_what_the_erasing_agency_wrote() {
    let (mut world, genesis, other) = record();
    world.say((1, 0), Part, erase(genesis, vec![other]));
    assert!(is_gone(&world, genesis, 1));
    assert!(!is_gone(&world, other, 2), "agency 2 wrote it");
    world.say((2, 0), Part, Statement::EraseAlso { genesis, entries: vec![other] });
    assert!(is_gone(&world, other, 2));
}

#[test]
fn an_act_erases_all_that_it_lists() {
    let (mut world, genesis, other) = record();
    world.act(Act::Erase(Erasure { genesis, others: vec![other] }));
    assert!(is_gone(&world, genesis, 1) && is_gone(&world, other, 2));
    assert!(state(&world, genesis, 3).erased.is_some());
}

#[test]
fn what_was_missed_waits_for_an_erasure() {
    let (mut world, genesis, other) = record();
    world.say((2, 0), Part, Statement::EraseAlso { genesis, entries: vec![other] });
    assert!(!is_gone(&world, other, 2));
    world.say((1, 0), Part, erase(genesis, vec![]));
    assert!(is_gone(&world, other, 2));
}

#[test]
fn hold_against_erase() {
    let (mut world, genesis, _) = record();
    let hold = world.say((1, 0), Part, Statement::Hold { genesis });
    world.say((1, 0), Part, erase(genesis, vec![]));
    let held = RecordState { restricted: true, held: true, ..RecordState::default() };
    assert_eq!(state(&world, genesis, 2), held, "it is hidden, and not destroyed");
    assert!(!is_gone(&world, genesis, 1));
    world.say((1, 0), Part, Statement::Lift { lifted: hold.into() });
    assert!(state(&world, genesis, 2).erased.is_some());
    assert!(is_gone(&world, genesis, 1));
}

#[test]
fn a_hold_by_another_agency_binds_its_own_peers() {
    let (mut world, genesis, _) = record();
    world.say((2, 0), Part, Statement::Hold { genesis });
    world.say((1, 0), Part, erase(genesis, vec![]));
    assert_eq!(state(&world, genesis, 2).erased, None);
    for reader in [1, 3] {
        assert!(state(&world, genesis, reader).erased.is_some());
    }
}

#[test]
fn an_agency_lifts_its_own_and_an_act_lifts_all() {
    let (mut world, genesis, _) = record();
    let hold = world.say((2, 0), Part, Statement::Hold { genesis });
    world.say((1, 0), Part, Statement::Lift { lifted: hold.into() });
    assert!(state(&world, genesis, 2).held);
    world.act(Act::Lift { lifted: hold.into() });
    assert!(!state(&world, genesis, 2).held);
}

#[test]
fn a_lift_counts_where_its_place_does() {
    let (mut world, genesis, _) = record();
    let hold = world.say((1, 0), Part, Statement::Hold { genesis });
    world.revoke((1, 0), Part, (1, 0), Marks::NONE);
    world.say((1, 0), Part, Statement::Lift { lifted: hold.into() });
    assert!(state(&world, genesis, 1).held);
}

#[test]
fn a_restriction_hides_until_it_is_lifted() {
    let (mut world, genesis, _) = record();
    world.say((2, 0), Part, Statement::Restrict { genesis });
    assert!(!state(&world, genesis, 2).restricted, "agency 2 is no steward");
    let restrict = world.say((1, 0), Part, Statement::Restrict { genesis });
    assert!(state(&world, genesis, 2).restricted);
    world.say((1, 0), Part, Statement::Lift { lifted: restrict.into() });
    assert!(!state(&world, genesis, 2).restricted);
}

#[test]
fn who_may_write_for_the_originator_recalls() {
    let (mut world, genesis, _) = record();
    world.grant((1, 0), Whole, (1, 4), Right::Write);
    world.say((2, 0), Part, Statement::Recall { genesis });
    assert!(!state(&world, genesis, 2).recalled);
    world.say((1, 4), Part, Statement::Recall { genesis });
    assert!(state(&world, genesis, 2).recalled);
    assert_eq!(state(&world, genesis, 2).erased, None);
}
