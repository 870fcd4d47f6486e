//! Convergence: whatever devices write, and in whatever order, stretches and repetitions it
//! arrives, every peer that has all of it says the same of every entry and every record, and says
//! the same again when it starts anew on its store.
//!
//! A [`History`] is drawn, acted out by devices that each know a part of the whole, and delivered
//! to three fresh peers; [`divergence`] is the judge. That the judge can find something is tested,
//! too: peers with a planted fault are told apart.

mod erase;
mod history;
mod limits;
mod peer;
mod quarantine;
mod rebase;
mod waiting;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::cache::THREADS_MAX;
use super::thread::{Fault, Verdict};
use crate::entry::sealed::EntryKind;
use crate::gate::GateFault;
use crate::id::Class;
use crate::record::kind::Kind;
use history::{Act, Change, Delivery, History, Move, Step, Then, World};
use history::{deliveries, histories, moves};
use peer::{Picture, Planted, Said, divergence};

/// What all peers say, if they agree; else where they do not. The first is the one that saw
/// everything as it was written; the others are fresh and get it as `deliveries` say. Each is asked
/// as it is and again when it was started anew on its store.
fn outcome(
    history: &History,
    deliveries: &[Vec<Delivery>],
    planted: Planted,
) -> Result<Picture, String> {
    outcome_after(history, deliveries, &[], planted)
}

/// The same, where in the end some of it does not count. The last peer knew that before anything
/// came.
fn outcome_after(
    history: &History,
    deliveries: &[Vec<Delivery>],
    last: &[Move],
    planted: Planted,
) -> Result<Picture, String> {
    let mut world = World::play(history);
    world.settle(last);
    let mut pictures = Vec::new();
    let mut fresh: Vec<_> = deliveries.iter().map(|d| world.deliver(d, last, planted)).collect();
    fresh.push(world.deliver_at_once(last));
    for (n, peer) in std::iter::once(&mut world.archive).chain(&mut fresh).enumerate() {
        pictures.push((format!("peer {n}"), peer.picture()));
        peer.restart();
        pictures.push((format!("peer {n}, started anew"), peer.picture()));
    }
    match divergence(&pictures) {
        None => Ok(pictures.swap_remove(0).1),
        Some(found) => Err(found),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_order_of_arrival_comes_to_the_same(
        mut history in histories(),
        deliveries in prop::collection::vec(deliveries(), 3),
        last in moves(),
        slow in prop::collection::vec(prop_oneof![3 => Just(0), 1 => 0u64..20], 24),
    ) {
        history.iter_mut().zip(slow).for_each(|(step, slow)| step.slow = slow);
        let outcome = outcome_after(&history, &deliveries, &last, Planted::Nothing);
        prop_assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
    }
}

/// A writes, B edits, A edits again without having changed the record in between: the change of B,
/// not A's own last one, is what the third builds on.
#[test]
fn an_author_edits_what_another_edited_after_him() {
    let [one, two] = [&[0u8, 1][..], &[1, 0]].map(one_by_one);
    for class in [Class::Routine, Class::Flash] {
        let history = back_and_forth(class);
        for turns in [[one.clone(), two.clone()], [one_by_one(&[0]), one_by_one(&[1])]] {
            let picture = outcome(&history, &turns, Planted::Nothing).unwrap();
            let said = only(&picture);
            assert!(said.entries.values().all(|entry| entry.3 == Verdict::Materialised));
            assert_eq!((said.entries.len(), said.conflicts.len()), (5, 0));
            let first: serde_json::Value = serde_json::from_str(said.fields()).unwrap();
            assert_eq!(first["field0"], "text 4");
        }
    }
}

#[test]
fn concurrent_edits_are_kept_side_by_side_and_one_that_knows_both_settles_them() {
    let edit = |n| vec![Act::Edit { record: 0, change: Change::Set(0, n) }];
    let mut history = vec![
        step(0, Class::Routine, false, vec![Act::New(Kind::Case, 1)]),
        step(1, Class::Routine, true, edit(1)),
        step(0, Class::Routine, false, edit(2)),
    ];
    history[2].pulls.clear();
    let turns = [one_by_one(&[0, 1]), one_by_one(&[1, 0]), vec![]];
    let conflicted = outcome(&history, &turns, Planted::Nothing).unwrap();
    let values = &only(&conflicted).conflicts["field0"];
    assert_eq!(values.len(), 2);
    history.push(step(2, Class::Routine, false, edit(3)));
    let settled = outcome(&history, &turns, Planted::Nothing).unwrap();
    assert!(only(&settled).conflicts.is_empty());
    assert_eq!(only(&settled).entries.len(), 4);
}

/// What was brought is told from what was edited, by the order of the changes and not by clocks; what
/// another agency says was brought is its affair.
#[test]
fn what_was_brought_last_stays_known_whatever_is_edited() {
    let edit = |n| Act::Edit { record: 0, change: Change::Set(0, n) };
    let bring = |n| Act::Bring { record: 0, change: Change::Set(0, n) };
    let unset = Act::Bring { record: 0, change: Change::Unset(0) };
    let mut history = vec![step(0, Class::Routine, false, vec![Act::New(Kind::Case, 1)])];
    for (device, slow, act, field0, brought) in [
        (2, 0, edit(1), Some("text 1"), Some("first")),
        (2, 0, bring(2), Some("text 2"), Some("text 2")),
        (0, 0, edit(3), Some("text 3"), Some("text 2")),
        // Its clock is far behind, and it builds on all of that.
        (0, 50, bring(4), Some("text 4"), Some("text 4")),
        (1, 0, bring(5), Some("text 5"), Some("text 4")),
        (2, 0, unset, None, None),
        (0, 0, edit(6), Some("text 6"), None),
    ] {
        history.push(Step { slow, ..step(device, Class::Routine, false, vec![act]) });
        let turns = [one_by_one(&[0, 1, 2]), one_by_one(&[2, 1, 0]), vec![]];
        let picture = outcome(&history, &turns, Planted::Nothing).unwrap();
        let said = only(&picture);
        let fields: serde_json::Value = serde_json::from_str(said.fields()).unwrap();
        let shown =
            (fields["field0"].as_str(), said.brought.get("field0").and_then(|v| v.as_str()));
        assert_eq!(shown, (field0, brought), "after {} entries", history.len());
        assert_eq!(said.brought["map"], serde_json::json!({ "field0": 0.5 }));
    }
}

/// An author's clock may go back; the dates in his log do not, whichever records they are of.
#[test]
fn nothing_is_dated_before_what_precedes_it_in_its_log() {
    let edit = |n| Act::Edit { record: 0, change: Change::Set(0, n) };
    let mut history = vec![step(0, Class::Routine, false, vec![Act::New(Kind::Case, 0)])];
    let label = Act::Label { record: 0, label: 1 };
    for (device, act) in [(0, edit(1)), (0, edit(2)), (0, label), (1, edit(3)), (0, edit(4))] {
        let mut step = step(device, Class::Routine, false, vec![act]);
        step.slow = if history.len() > 1 { 100 } else { 0 };
        history.push(step);
    }
    let mut world = World::play(&history);
    let record = world.records[0];
    let entries = world.archive.show(record).unwrap().entries;
    // By log, the one that was first here first.
    let walls: Vec<u64> = entries.iter().map(|entry| entry.wall.0).collect();
    assert_eq!(walls, [1_001, 1_002, 1_002, 1_002, 1_002, 905]);
    let mut new = step(0, Class::Routine, false, vec![Act::New(Kind::Case, 1)]);
    new.slow = 100;
    history.push(new);
    let mut world = World::play(&history);
    let record = world.records[1];
    assert_eq!(world.archive.show(record).unwrap().entries[0].wall.0, 1_002);
}

/// The second place of a device's line is taken by the entry that is first in its log, also where
/// the other was there, open and ready before.
#[test]
fn a_log_is_judged_in_its_order() {
    let edit = |n| Act::Edit { record: 0, change: Change::Set(0, n) };
    for late in [false, true] {
        let mut forked = step(1, Class::Routine, late, vec![edit(2)]);
        forked.stale = Some((0, Change::Set(0, 3)));
        let history = vec![
            step(0, Class::Routine, false, vec![Act::New(Kind::Case, 0)]),
            step(1, Class::Routine, false, vec![Act::Comment { record: 0 }]),
            step(0, Class::Routine, false, vec![edit(1)]),
            forked,
        ];
        let turns = [one_by_one(&[0]), one_by_one(&[1]), one_by_one(&[0, 1]), one_by_one(&[1, 0])];
        let picture = outcome(&history, &turns, Planted::Nothing).unwrap();
        let case = picture.records.values().filter_map(|(said, _)| said.as_ref());
        let case = case.max_by_key(|said| said.entries.len()).unwrap();
        let void = |verdict: &Verdict| match verdict {
            Verdict::Void(Fault::Gate(GateFault::Seq { .. })) => true,
            other => {
                assert_eq!(other, &Verdict::Materialised);
                false
            }
        };
        let void = case.entries.iter().filter(|(_, entry)| void(&entry.3));
        assert_eq!(void.map(|((_, seq), _)| *seq).collect::<Vec<_>>(), [2]);
    }
}

/// An entry that does not count is no reason to call a record urgent, whenever it arrives.
#[test]
fn only_what_counts_makes_a_record_urgent() {
    let mut history = vec![
        step(0, Class::Routine, false, vec![Act::New(Kind::Person, 0)]),
        step(
            1,
            Class::Immediate,
            false,
            vec![Act::Intrude { record: 0, change: Change::Set(0, 1) }],
        ),
    ];
    let turns = [one_by_one(&[0, 1]), one_by_one(&[1, 0])];
    let picture = outcome(&history, &turns, Planted::Nothing).unwrap();
    let verdicts: Vec<_> = only(&picture).entries.values().map(|entry| &entry.3).collect();
    assert_eq!(verdicts, [&Verdict::Void(Fault::Writer), &Verdict::Materialised]);
    assert_eq!(picture.class(), Class::Routine);
    let change = Change::Set(0, 2);
    history.push(step(2, Class::Immediate, false, vec![Act::Edit { record: 0, change }]));
    let picture = outcome(&history, &turns, Planted::Nothing).unwrap();
    assert_eq!(picture.class(), Class::Immediate);
}

/// A flash would wait for what comes after it: no author writes one that builds on anything else, and
/// where somebody does it is void on every peer, whichever came first. One on flashes counts.
#[test]
fn a_flash_builds_on_flashes_alone() {
    let edit =
        |class| step(0, class, false, vec![Act::Edit { record: 0, change: Change::Set(0, 1) }]);
    for (begun, entries) in [(Class::Routine, 1), (Class::Flash, 2)] {
        let new = step(0, begun, false, vec![Act::New(Kind::Person, 0)]);
        let history = [new, edit(Class::Flash)];
        let world = World::play(&history);
        let written: u64 = world.archive.logbook.logs().map(|(_, state)| state.head.next).sum();
        assert_eq!(written, entries, "{begun:?}");
    }
    for (begun, verdict) in
        [(Class::Routine, Verdict::Void(Fault::Flash)), (Class::Flash, Verdict::Materialised)]
    {
        let history = [step(0, begun, false, vec![Act::New(Kind::Person, 0)])];
        let mut world = World::play(&history);
        let record = world.records[0];
        world.hasten(2, record);
        for order in [&[0, 1][..], &[1, 0]] {
            let mut peer = world.deliver(&one_by_one(order), &[], Planted::Nothing);
            peer.open_epochs();
            let entries = peer.show(record).unwrap().entries;
            let label = entries.iter().find(|entry| entry.kind == EntryKind::LABEL).unwrap();
            assert_eq!(label.verdict, verdict, "{begun:?}");
        }
    }
}

/// More records in one run than the cache of threads holds, and more than one run for each.
#[test]
fn what_the_cache_lets_go_is_read_again() {
    let new = |_| Act::New(Kind::Case, 0);
    let mut history = vec![
        step(0, Class::Routine, false, (0..200).map(new).collect()),
        step(0, Class::Routine, false, (0..100).map(new).collect()),
    ];
    for (device, set) in [(1, 1), (0, 2)] {
        let edit = |record| Act::Edit { record, change: Change::Set(0, set) };
        let records = (0..THREADS_MAX + 40).map(|record| record as u16);
        let edits: Vec<Act> = records.map(edit).collect();
        for edits in edits.chunks(150) {
            history.push(step(device, Class::Routine, false, edits.to_vec()));
        }
    }
    let picture = outcome(&history, &[vec![], one_by_one(&[1, 0])], Planted::Nothing).unwrap();
    let entries = picture.records.values().flat_map(|(said, _)| &said.as_ref().unwrap().entries);
    assert_eq!(entries.filter(|(_, e)| e.3 == Verdict::Materialised).count(), 300 + 2 * 296);
}

/// The judge finds what it is there for.
#[test]
fn a_peer_with_a_planted_fault_is_told_apart() {
    let history = back_and_forth(Class::Routine);
    let late = |planted| outcome(&history, &[one_by_one(&[0]), one_by_one(&[1])], planted);
    assert!(late(Planted::Nothing).is_ok());
    let found = late(Planted::DropsWhatWaits).unwrap_err();
    assert!(found.contains("at peer 0"), "{found}");

    let sealed: Vec<Step> =
        history.iter().map(|step| Step { late: true, ..step.clone() }).collect();
    assert!(outcome(&sealed, &[vec![]], Planted::Nothing).is_ok());
    assert!(outcome(&sealed, &[vec![]], Planted::LeavesClosed).is_err());

    for planted in [Planted::DropsWhatWaits, Planted::LeavesClosed, Planted::LeavesMoved] {
        let found = samples(48)
            .filter(|(history, turns, last)| outcome_after(history, turns, last, planted).is_err());
        assert!(found.count() > 5, "{planted:?}");
    }
}

/// What is drawn holds every verdict, conflicts and releases, so that the property says something.
#[test]
fn drawn_histories_hold_all_that_can_befall_a_record() {
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for (history, _, last) in samples(400) {
        let mut note = |what: String| *seen.entry(what).or_default() += 1;
        let picture = outcome_after(&history, &[], &last, Planted::Nothing).unwrap();
        for (said, row) in picture.records.values() {
            assert_eq!(said.is_some(), row.is_some());
            let Some(said) = said else {
                note("nothing counts".to_owned());
                continue;
            };
            if !said.conflicts.is_empty() {
                note("conflict".to_owned());
            }
            let logs: std::collections::BTreeSet<_> = said.entries.keys().map(|at| at.0).collect();
            note(format!("record of {} logs", logs.len()));
            said.entries.values().for_each(|(_, kind, _, verdict)| {
                note(format!("{kind:?} {verdict:?}"));
            });
        }
    }
    for what in [
        "conflict",
        "nothing counts",
        "record of 3 logs",
        "EntryKind(1) Materialised",
        "EntryKind(2) Materialised",
        "EntryKind(3) Materialised",
        "EntryKind(2) Waiting",
        "EntryKind(2) Quarantined(Closed)",
        "EntryKind(2) Quarantined(Route)",
        "EntryKind(3) Quarantined(Route)",
        "EntryKind(2) Void(Gate(Stripped(NotCanonical)))",
        "EntryKind(4) Void(Payload)",
        "EntryKind(2) Void(Writer)",
        "EntryKind(2) Void(Dependency)",
        "EntryKind(5) Void(Gate(Unreadable(Magic)))",
        "EntryKind(3) Void(Writer)",
        "EntryKind(2) Replaced",
        "EntryKind(5) Materialised",
        "EntryKind(7) Materialised",
        "EntryKind(7) Waiting",
        "EntryKind(7) Void(Writer)",
        "EntryKind(8) Unknown",
    ] {
        assert!(seen.contains_key(what), "no {what} in {seen:#?}");
    }
}

fn samples(count: usize) -> impl Iterator<Item = (History, Vec<Vec<Delivery>>, Vec<Move>)> {
    let mut runner = TestRunner::deterministic();
    let drawn = (histories(), prop::collection::vec(deliveries(), 1), moves());
    (0..count).map(move |_| drawn.new_tree(&mut runner).unwrap().current())
}

/// A device that knows all writes.
fn step(device: u8, class: Class, late: bool, acts: Vec<Act>) -> Step {
    let pulls = (0..8).map(|log| (log, 255)).collect();
    Step { device, class, late, stale: None, pulls, moves: vec![], slow: 0, acts }
}

/// Five entries, in turns by devices of two agencies.
fn back_and_forth(class: Class) -> History {
    let mut history = vec![step(0, class, false, vec![Act::New(Kind::Case, 2)])];
    for n in 1..5 {
        let change = Change::Set(0, n);
        history.push(step(n % 2, class, false, vec![Act::Edit { record: 0, change }]));
    }
    history
}

/// One segment of each of these logs in turn.
fn one_by_one(logs: &[u8]) -> Vec<Delivery> {
    let delivery = |log: &u8| Delivery { log: *log, entries: 1, then: Then::Again };
    logs.iter().cycle().take(logs.len() * 3).map(delivery).collect()
}

fn only(picture: &Picture) -> &Said {
    assert_eq!(picture.records.len(), 1);
    picture.records.values().next().unwrap().0.as_ref().unwrap()
}

/// Of one log only so many entries about a record are listed: the first, however they arrived.
#[test]
fn a_log_has_a_share_of_a_record() {
    use super::{ENTRIES_PER_LOG_MAX, Listed, Listing, Place};
    use crate::logbook::LogNo;
    let max = ENTRIES_PER_LOG_MAX as u64;
    let place = |no, seq| Place { no: LogNo(no), seq };
    let sorted = |listing: &Listing| {
        let mut places = listing.places.clone();
        places.sort_unstable();
        places
    };
    let mut forwards = Listing::default();
    (0..max).for_each(|seq| assert_eq!(forwards.note(place(1, seq)), Listed::There));
    assert_eq!(forwards.note(place(1, max)), Listed::Beyond);
    assert_eq!(forwards.note(place(1, 5)), Listed::There);
    assert_eq!(forwards.note(place(2, max)), Listed::There);
    let mut backwards = Listing::default();
    backwards.note(place(2, max));
    (1..=max).rev().for_each(|seq| assert_eq!(backwards.note(place(1, seq)), Listed::There));
    assert_eq!(backwards.note(place(1, 0)), Listed::InsteadOfLast);
    assert_eq!(sorted(&backwards), sorted(&forwards));
    assert_eq!(Listing::decode(&forwards.encode()).unwrap(), forwards);
}

/// A long line of changes by two, and then from a cold cache.
#[test]
fn a_record_of_many_changes_is_read_in_one_walk() {
    let mut history = vec![step(0, Class::Routine, false, vec![Act::New(Kind::Case, 2)])];
    for n in 1..600u16 {
        let change = Change::Set(0, (n % 250) as u8);
        history.push(step(
            (n / 7 % 2) as u8,
            Class::Routine,
            false,
            vec![Act::Edit { record: 0, change }],
        ));
    }
    let picture = outcome(&history, &[vec![]], Planted::Nothing).unwrap();
    let said = only(&picture);
    assert!(said.entries.values().all(|entry| entry.3 == Verdict::Materialised));
    assert_eq!(said.entries.len(), 600);
}
