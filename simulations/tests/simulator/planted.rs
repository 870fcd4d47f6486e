//! Each oracle finds the bug that is planted for it, and nothing without one.

use tearline_simulations::oracle::Oracle;
use tearline_simulations::{Sabotage, run};

use crate::small;

/// What is found of seeds 1 to 3 with a bug.
fn found(sabotage: Sabotage) -> Vec<Oracle> {
    let violation = |seed| run(&small(seed), Some(sabotage)).unwrap().violation;
    (1..=3).filter_map(violation).map(|violation| violation.oracle).collect()
}

#[test]
fn nothing_is_found_without_a_bug() {
    for seed in 1..=3 {
        assert_eq!(run(&small(seed), None).unwrap().violation, None);
    }
}

#[test]
fn convergence_finds_a_transport_that_loses_entries() {
    // Where a receiver has asked often enough, it holds against the sender what the transport lost.
    let found = found(Sabotage::LostRuns);
    let expected = |oracle: &Oracle| matches!(oracle, Oracle::Convergence | Oracle::Blame);
    assert!(found.len() == 3 && found.iter().all(expected), "{found:?}");
    assert!(found.contains(&Oracle::Convergence), "{found:?}");
}

#[test]
fn durability_finds_a_disk_that_was_not_asked_to_write() {
    // Where a crash leaves all that was applied, nothing is lost.
    let found = found(Sabotage::EarlyFlush);
    assert!(found.contains(&Oracle::Durability), "{found:?}");
}

#[test]
fn confidentiality_finds_a_compartment_that_was_opened_for_others() {
    assert_eq!(found(Sabotage::WrongAudience), [Oracle::Confidentiality; 3]);
}

#[test]
fn livelock_finds_a_peer_that_repeats_itself() {
    assert_eq!(found(Sabotage::Chatter), [Oracle::Livelock; 3]);
}

#[test]
fn conservation_finds_a_byte_that_is_nowhere() {
    assert_eq!(found(Sabotage::Miscount), [Oracle::Conservation; 3]);
}

#[test]
fn memory_finds_a_disk_that_fills_by_itself() {
    assert_eq!(found(Sabotage::Hoard), [Oracle::Memory; 3]);
}

#[test]
fn blame_finds_a_transport_that_changes_a_bit() {
    assert_eq!(found(Sabotage::FlippedBit), [Oracle::Blame; 3]);
}

#[test]
fn haste_finds_frames_that_are_faster_than_their_link() {
    assert_eq!(found(Sabotage::Haste), [Oracle::Haste; 3]);
}
