//! §8: what is said of records.

use super::support::{Part, Whole, World, agency};
use crate::authority::{Asked, RecordState, StatementVerdict};
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

#[test]
fn a_word_counts_if_it_is_a_stewards() {
    let (mut world, genesis, _) = record();
    world.grant((1, 0), Whole, (1, 4), Right::Write);
    let words = |genesis| {
        [
            (Statement::Restrict { genesis }, Some(Asked::Restrict)),
            (erase(genesis, vec![]), Some(Asked::Erase)),
            (Statement::Recall { genesis }, Some(Asked::Recall)),
            (Statement::Hold { genesis }, None),
        ]
    };
    let asked = |world: &World| -> Vec<_> {
        world.compartment.asked_of(&genesis, Some(agency(1))).map(|(_, asked)| asked).collect()
    };
    for (word, asks) in words(genesis) {
        let stranger = world.say((0, 1), Part, word.clone());
        assert_eq!(world.verdict(stranger), StatementVerdict::NoStanding);
        let other = world.say((2, 0), Part, word.clone());
        let binds_its_own = asks.is_none();
        let not = StatementVerdict::NotAbove;
        let verdict = if binds_its_own { StatementVerdict::Counts } else { not };
        assert_eq!(world.verdict(other), verdict);
        let writer = world.say((1, 4), Part, word.clone());
        let recalls = asks == Some(Asked::Recall);
        let verdict = if recalls { StatementVerdict::Counts } else { StatementVerdict::NoStanding };
        assert_eq!(world.verdict(writer), verdict);
    }
    assert_eq!(asked(&world), [Asked::Recall], "nobody else was a steward");
    for (word, _) in words(genesis) {
        let own = world.say((1, 0), Part, word);
        assert_eq!(world.verdict(own), StatementVerdict::Counts);
    }
    let all = [Asked::Erase, Asked::Restrict, Asked::Recall, Asked::Recall];
    assert_eq!(asked(&world), all);
    let elsewhere = world.say((1, 0), Part, Statement::Restrict { genesis: EntryId([9; 32]) });
    assert_eq!(world.verdict(elsewhere), StatementVerdict::NoRecord);
}

#[test]
fn what_readers_destroyed_with_a_record_is_erased_for_all() {
    let (mut world, genesis, other) = record();
    let mine = |asked: &EntryId| (*asked == genesis).then_some(agency(1));
    let gone = |world: &World, known: bool| {
        let origin = |asked: &EntryId| mine(asked).filter(|_| known);
        world.compartment.is_erased_anywhere(&other, agency(2), &origin)
    };
    // An admin of agency 3 lists what is not his.
    world.say((3, 0), Part, erase(genesis, vec![other]));
    assert!(!gone(&world, true) && !gone(&world, false));
    world.say((1, 0), Part, erase(genesis, vec![other]));
    assert!(gone(&world, true), "who read the record destroyed all of it");
    assert!(!gone(&world, false), "whose it is, is not known");
}
