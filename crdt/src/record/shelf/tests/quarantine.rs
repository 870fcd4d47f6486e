//! What does not count, what waits for it, and what is said again.

use proptest::prelude::*;

use super::super::moved::MOVED_PER_BATCH;
use super::super::{AsIf, LogId, Quarantine, Shelf};
use super::history::{Act, Change, History, Move, World, deliveries, moves};
use super::peer::{Peer, Picture, Planted, Rule, Said};
use super::*;
use crate::entry::sealed::{EntryKind, REPLACES_MAX};
use crate::store::Batch;

const CLOSED: Verdict = Verdict::Quarantined(Quarantine::Closed);
const ROUTE: Verdict = Verdict::Quarantined(Quarantine::Route);

fn edit(device: u8, change: Change) -> Step {
    step(device, Class::Routine, false, vec![Act::Edit { record: 0, change }])
}

fn new(device: u8) -> Step {
    step(device, Class::Routine, false, vec![Act::New(Kind::Case, 2)])
}

/// Nothing of a device's log counts from a position on.
fn closed(history: &History, device: u8, at: u8) -> Move {
    Move::Limit(World::play(history).log(device, Class::Routine), at)
}

/// The last step's device learns a move and says again what is stuck.
fn reauthor(history: &mut History, device: u8, learns: Move) {
    let mut last = step(device, Class::Routine, false, vec![Act::Reauthor { record: 0 }]);
    last.moves = vec![learns];
    history.push(last);
}

/// Verdicts by kind, as they stand in the logs: in the order of kinds, then of arrival.
fn verdicts(said: &Said) -> Vec<(u8, Verdict)> {
    let mut all: Vec<_> =
        said.entries.values().map(|(_, kind, _, verdict)| (kind.0, verdict.clone())).collect();
    all.sort_by_key(|(kind, verdict)| (*kind, format!("{verdict:?}")));
    all
}

fn fields(picture: &Picture) -> serde_json::Value {
    serde_json::from_str(only(picture).fields()).unwrap()
}

/// In some orders of arrival and of moves on the way.
fn after(history: &History, last: &[Move]) -> Picture {
    let turns = [one_by_one(&[0, 1, 2]), one_by_one(&[2, 1, 0])];
    outcome_after(history, &turns, last, Planted::Nothing).unwrap()
}

#[test]
fn what_builds_on_what_is_quarantined_waits() {
    let history = vec![
        new(0),
        edit(1, Change::Set(0, 1)),
        edit(2, Change::Set(1, 2)),
        edit(0, Change::Set(1, 3)),
    ];
    let close = closed(&history, 1, 0);
    let picture = after(&history, &[close]);
    let materialised = Verdict::Materialised;
    assert_eq!(
        verdicts(only(&picture)),
        [(1, materialised), (2, CLOSED), (2, Verdict::Waiting), (2, Verdict::Waiting)]
    );
    assert_eq!(fields(&picture)["field0"], "first");
    let picture = after(&history, &[]);
    assert!(only(&picture).entries.values().all(|entry| entry.3 == Verdict::Materialised));
}

#[test]
fn a_record_whose_genesis_is_quarantined_is_not_there() {
    let history = vec![new(0), edit(1, Change::Set(0, 1))];
    let rule = Rule { kind: Some(Kind::Person), until: u64::MAX };
    for last in [closed(&history, 0, 0), Move::Rule(0, rule)] {
        let picture = after(&history, &[last]);
        assert!(picture.records.values().all(|(said, row)| said.is_none() && row.is_none()));
    }
    let cases = Rule { kind: Some(Kind::Case), ..rule };
    let picture = after(&history, &[Move::Rule(0, cases)]);
    assert_eq!(only(&picture).entries.len(), 2);
}

/// Who decides on it reads what it would say: up to an entry, beside others or not; and nothing that
/// is shown changes by that.
#[test]
fn what_is_quarantined_can_be_read_apart() {
    let history = vec![
        new(0),
        edit(0, Change::Set(0, 1)),
        edit(1, Change::Set(1, 2)),
        edit(0, Change::Set(0, 3)),
    ];
    let closes = [closed(&history, 0, 0), closed(&history, 1, 0)];
    let world = World::play(&history);
    let [record] = world.records[..] else { panic!("one record") };
    let mut peer = world.deliver(&one_by_one(&[0, 1, 2]), &closes, Planted::Nothing);
    let before = peer.picture();
    assert!(before.records[&record].0.is_none());
    let logs: Vec<LogId> = world.archive.logbook.logs().map(|(log, _)| *log).collect();
    let [log, other] = [0, 1].map(|device| logs[usize::from(world.log(device, Class::Routine))]);
    let mut read = |counts| {
        let detail = peer.as_if(record, counts)?;
        let text = |name: &str| detail.fields.get(name).and_then(|v| v.as_str().map(str::to_owned));
        Some((text("field0"), text("field1")))
    };
    let text = |n| Some(format!("text {n}"));
    let first = Some((Some("first".to_owned()), None));
    assert_eq!(read(AsIf::Upto(log, 0)), first);
    assert_eq!(read(AsIf::Upto(log, 1)), Some((text(1), None)));
    // The last edit builds on another device's, which is quarantined, too.
    assert_eq!(read(AsIf::Upto(log, 2)), Some((text(1), None)));
    assert_eq!(read(AsIf::UptoBesideAll(log, 2)), Some((text(3), text(2))));
    assert_eq!(read(AsIf::UptoBesideAll(log, 0)), first);
    assert_eq!(read(AsIf::All), Some((text(3), text(2))));
    assert_eq!(read(AsIf::Upto(other, 0)), None, "without its genesis there is no record");
    assert_eq!(peer.picture(), before);
}

#[test]
fn a_route_that_ends_takes_what_was_written_later() {
    let history = vec![new(0), edit(0, Change::Set(0, 1)), edit(0, Change::Set(0, 2))];
    // The first step is at 1,001.
    let picture = after(&history, &[Move::Rule(0, Rule { kind: None, until: 1_003 })]);
    let materialised = Verdict::Materialised;
    assert_eq!(
        verdicts(only(&picture)),
        [(1, materialised.clone()), (2, materialised), (2, ROUTE)]
    );
    assert_eq!(fields(&picture)["field0"], "text 1");
}

/// An author whose own change does not count goes on in another run; should it count again, both do.
#[test]
fn an_author_goes_on_beside_what_does_not_count() {
    let mut history = vec![new(0), edit(0, Change::Set(0, 1))];
    let close = closed(&history, 0, 1);
    let mut next = edit(0, Change::Set(1, 2));
    next.moves = vec![close];
    history.push(next);
    let picture = after(&history, &[]);
    assert!(only(&picture).entries.values().all(|entry| entry.3 == Verdict::Materialised));
    assert_eq!(fields(&picture)["field0"], "text 1");
    assert_eq!(fields(&picture)["field1"], "text 2");
}

/// A restriction that was made on top of something quarantined holds all the same.
#[test]
fn a_restriction_does_not_wait() {
    let label = Act::Label { record: 0, label: 3 };
    let history =
        vec![new(0), edit(1, Change::Set(0, 1)), step(0, Class::Routine, false, vec![label])];
    let picture = after(&history, &[closed(&history, 1, 0)]);
    let label = only(&picture).entries.values().find(|entry| entry.1 == EntryKind::LABEL);
    assert_eq!(label.unwrap().3, Verdict::Materialised);
}

#[test]
fn what_waits_is_said_again_without_what_it_waited_for() {
    let mut history = vec![
        new(0),
        edit(1, Change::Set(0, 1)),
        edit(1, Change::List(3)),
        edit(1, Change::Nested(2, 7)),
        edit(0, Change::Set(1, 2)),
        edit(0, Change::Element(1, 99)),
        edit(0, Change::Nested(1, 8)),
    ];
    let close = closed(&history, 1, 0);
    reauthor(&mut history, 0, close.clone());
    let mut world = World::play(&history);
    let record = world.records[0];
    assert_eq!(world.stuck_logs(0, record), []);

    let picture = after(&history, &[close]);
    let shown = fields(&picture);
    let expected = serde_json::json!({
        "field0": "first", "field1": "text 2", "list": [99, 0, 1],
        "map": { "field0": 0.5, "field1": 8 },
    });
    assert_eq!(shown, expected);
    let materialised = Verdict::Materialised;
    let mut all = vec![(1, materialised.clone())];
    all.extend(vec![(2, CLOSED); 3]);
    all.extend(vec![(2, Verdict::Replaced); 3]);
    all.push((5, materialised.clone()));
    assert_eq!(verdicts(only(&picture)), all);

    let adopted = after(&history, &[]);
    let shown = fields(&adopted);
    assert_eq!(shown["field0"], "text 1");
    assert_eq!(shown["field1"], "text 2");
    assert_eq!(shown["map"]["field2"], 7);
    let replaced =
        verdicts(only(&adopted)).into_iter().filter(|(_, verdict)| *verdict == Verdict::Replaced);
    assert_eq!(replaced.count(), 3);
    assert_eq!(verdicts(only(&adopted)).last(), Some(&(5, materialised)));
}

/// What others wrote meanwhile was not seen by the author, and is not replaced.
#[test]
fn what_is_said_again_stays_concurrent() {
    let mut history = vec![new(0), edit(1, Change::Set(0, 1)), edit(0, Change::Set(1, 2))];
    let mut beside = edit(2, Change::Set(1, 5));
    let log = World::play(&history).log(0, Class::Routine);
    beside.pulls = vec![(log, 1)];
    history.push(beside);
    let close = closed(&history, 1, 0);
    reauthor(&mut history, 0, close.clone());
    let picture = after(&history, &[close]);
    let values = only(&picture).conflicts["field1"].iter().map(|value| value.value.clone());
    let mut values: Vec<_> = values.collect();
    values.sort_by_key(ToString::to_string);
    assert_eq!(values, ["text 2", "text 5"]);
}

/// What is stuck is in an earlier run than what the author wrote since, which it does not build on:
/// it is said again in a run of its own, and what comes then builds on both.
#[test]
fn what_is_stuck_is_said_again_beside_what_was_written_since() {
    let mut history = vec![new(0), edit(1, Change::Set(0, 1)), edit(0, Change::Set(1, 2))];
    let close = closed(&history, 1, 0);
    let mut since = edit(0, Change::Set(2, 3));
    since.moves = vec![close.clone()];
    history.push(since);
    reauthor(&mut history, 0, close.clone());
    history.push(edit(0, Change::Set(0, 4)));
    let picture = after(&history, &[close]);
    let materialised = Verdict::Materialised;
    assert_eq!(
        verdicts(only(&picture)),
        [
            (1, materialised.clone()),
            (2, materialised.clone()),
            (2, materialised.clone()),
            (2, CLOSED),
            (2, Verdict::Replaced),
            (5, materialised),
        ]
    );
    assert!(only(&picture).conflicts.is_empty());
    let shown = fields(&picture);
    for (field, text) in [("field0", "text 4"), ("field1", "text 2"), ("field2", "text 3")] {
        assert_eq!(shown[field], text);
    }
}

/// An entry that is replaced stays if somebody built on it who did not say his own again.
#[test]
fn what_others_built_on_is_not_lost() {
    let mut history = vec![
        new(0),
        edit(1, Change::Set(0, 1)),
        edit(0, Change::Set(1, 2)),
        edit(2, Change::Nested(1, 4)),
    ];
    let close = closed(&history, 1, 0);
    reauthor(&mut history, 0, close.clone());
    let picture = after(&history, &[close]);
    assert_eq!(fields(&picture)["field1"], "text 2");
    assert_eq!(fields(&picture)["map"], serde_json::json!({ "field0": 0.5 }));
    let adopted = after(&history, &[]);
    assert!(only(&adopted).entries.values().all(|entry| entry.3 == Verdict::Materialised));
    assert_eq!(fields(&adopted)["map"]["field1"], 4);
}

#[test]
fn what_does_not_fit_one_entry_takes_several() {
    let mut history = vec![new(0), edit(1, Change::Set(0, 1))];
    let count = REPLACES_MAX as u8 + 6;
    history.extend((0..count).map(|n| edit(0, Change::Set(1, n))));
    let close = closed(&history, 1, 0);
    reauthor(&mut history, 0, close.clone());
    let picture = after(&history, std::slice::from_ref(&close));
    let said = only(&picture);
    assert_eq!(fields(&picture)["field1"], format!("text {}", count - 1));
    let of = |verdict: Verdict| said.entries.values().filter(|e| e.3 == verdict).count();
    assert_eq!((of(Verdict::Replaced), of(Verdict::Materialised)), (count.into(), 3));
    // And what was said again is not stuck; what comes after it goes on from there.
    history.push(edit(0, Change::Set(1, 200)));
    history.last_mut().unwrap().moves = vec![close.clone()];
    let picture = after(&history, &[close]);
    assert_eq!(fields(&picture)["field1"], "text 200");
    assert!(only(&picture).conflicts.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    /// The one that is said again, in any order of arrival and whatever counts meanwhile.
    #[test]
    fn replacing_is_the_same_in_every_order(
        edits in prop::collection::vec((0u8..3, 0u8..3, any::<u8>()), 1..8),
        deliveries in prop::collection::vec(deliveries(), 2),
        last in moves(),
    ) {
        let mut history = vec![new(0), edit(1, Change::Set(0, 1))];
        history.extend(edits.into_iter().map(|(device, at, n)| edit(device, Change::Nested(at, n))));
        let close = closed(&history, 1, 0);
        for device in [0, 2] {
            reauthor(&mut history, device, close.clone());
        }
        // Each has said its own once, and what the other said made nothing of it stuck again.
        let mut world = World::play(&history);
        let record = world.records[0];
        prop_assert_eq!(world.stuck_logs(0, record), []);
        prop_assert_eq!(world.stuck_logs(2, record), []);
        world.settle(std::slice::from_ref(&close));
        let outcome = outcome_after(&history, &deliveries, &last, Planted::Nothing);
        prop_assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
    }
}

/// More than one piece of work, and a stop in between.
#[test]
fn what_is_left_to_judge_survives_a_stop() {
    let count = MOVED_PER_BATCH + 200; // 6 times 204
    let begin = |_| step(0, Class::Routine, false, vec![Act::New(Kind::Person, 0); 204]);
    let history: History = (0..count / 204).map(begin).collect();
    let world = World::play(&history);
    let mut peer = world.deliver(&[], &[], Planted::Nothing);
    let log: LogId = *peer.logbook.logs().next().unwrap().0;
    let shown =
        |peer: &mut Peer| peer.picture().records.values().filter(|(_, row)| row.is_some()).count();
    assert_eq!(shown(&mut peer), count);
    peer.limit(&log, 10);
    assert!(peer.judge_moved());
    assert_eq!(shown(&mut peer), count - MOVED_PER_BATCH);
    peer.restart();
    assert!(peer.judge_moved());
    assert!(!peer.judge_moved());
    assert_eq!(shown(&mut peer), 10);
    peer.limit(&log, u64::MAX);
    peer.restart();
    while peer.judge_moved() {}
    assert_eq!(shown(&mut peer), count);
    assert!(!Shelf::load(&peer.store).unwrap().has_moved());
    let mut batch = Batch::default();
    peer.shelf.limit_moved(&mut batch, peer.logbook.state(&log).unwrap().no, 7, 7);
    assert!(batch.is_empty(), "nothing moved");
}
