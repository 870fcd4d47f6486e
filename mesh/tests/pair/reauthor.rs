//! What built on a lost device's work is said again by its own device, without being asked.

use serde_json::{Value, json};
use tearline_crdt::document::{Patch, Segment};
use tearline_crdt::entry::sealed::EntryKind;
use tearline_crdt::id::{Class, CoalitionId, CompartmentId, RecordId};
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::shelf::{Draft, Verdict};
use tearline_crdt::statement::Mark;
use tearline_crdt::time::WallTime;
use tearline_mesh::invitation::Invited;
use tearline_mesh::replica::KeepBy::Arrival;
use tearline_mesh::replica::REAUTHOR_AFTER_MS;
use tearline_mesh::{Input, Link};

use crate::world::{World, draft};

/// A case of peer 0 that the unit of its agency (peer 2) changed, and then a desk of another agency
/// (peer 1), who had seen that. All are in touch.
struct Stage {
    world: World,
    coalition: CoalitionId,
    shared: CompartmentId,
    case: RecordId,
    /// When the unit was lost.
    since: WallTime,
    /// Between peers 1 and 0.
    link: Link,
}

fn stage() -> Stage {
    let mut world = World::new(3);
    let unit = world.peers.pop().unwrap();
    let coalition = world.coalition();
    world.peers.push(unit);
    let link = world.connect(1, 0);
    world.join(coalition, 2, Invited::Device { history: false });
    world.settle();
    let shared = world.open(0, coalition, &[1, 2]);
    world.settle();
    let Draft::New { fields, label, .. } = draft("barge") else { unreachable!() };
    let case = Draft::New { kind: Kind::Case, fields, label };
    let case = world.act(0, shared, Class::Routine, vec![case])[0];
    world.settle();
    world.wait(60_000);
    let since = world.now().wall;
    let mut stage = Stage { world, coalition, shared, case, since, link };
    stage.edit(2, "name", json!("unit"));
    stage.edit(1, "count", json!(7));
    stage
}

impl Stage {
    fn edit(&mut self, peer: usize, field: &str, value: Value) {
        let mut patch = Patch::default();
        patch.set(vec![Segment::Name(field.into())], value);
        let draft = Draft::Edit { record: self.case, patch };
        self.world.act(peer, self.shared, Class::Routine, vec![draft]);
        self.world.settle();
    }

    /// The opener's desk learns that the unit is in other hands.
    fn lose_the_unit(&mut self) {
        let unit = self.world.peers[2].replica.device();
        let now = self.world.now();
        self.world.peers[0].replica.lost(now, self.coalition, unit, (self.since, Arrival)).unwrap();
        self.world.drain(0);
        self.world.settle();
    }

    fn tick(&mut self, peer: usize) {
        self.world.input(peer, Input::Tick);
        self.world.settle();
    }

    /// Name and count of the case at a peer.
    fn shown(&mut self, peer: usize) -> (Value, Value) {
        let fields = self.world.show(peer, self.case).unwrap().fields;
        (fields["name"].clone(), fields["count"].clone())
    }

    fn verdicts(&mut self, peer: usize) -> Vec<(EntryKind, Verdict)> {
        let entries = self.world.show(peer, self.case).unwrap().entries;
        let mut all: Vec<_> = entries.into_iter().map(|e| (e.kind, e.verdict)).collect();
        all.sort_by_key(|(kind, verdict)| (kind.0, format!("{verdict:?}")));
        all
    }

    fn said_again(&mut self, peer: usize) -> usize {
        self.verdicts(peer).iter().filter(|(kind, _)| *kind == EntryKind::REAUTHOR).count()
    }
}

#[test]
fn what_built_on_a_lost_device_is_said_again() {
    let mut stage = stage();
    assert_eq!(stage.shown(0), (json!("unit"), json!(7)));
    stage.lose_the_unit();
    for peer in 0..2 {
        assert_eq!(stage.shown(peer), (json!("barge"), json!(3)), "{peer}");
    }
    // Not before the delay is over, and by its own device alone.
    stage.tick(1);
    stage.world.wait(REAUTHOR_AFTER_MS - 60_000);
    stage.tick(1);
    assert_eq!(stage.said_again(1), 0);
    stage.world.cut(stage.link);
    stage.world.wait(60_000);
    stage.tick(0);
    stage.tick(2);
    assert_eq!(stage.said_again(0), 0);
    stage.link = stage.world.connect(1, 0);
    stage.world.settle();
    stage.tick(1);
    for peer in 0..2 {
        assert_eq!(stage.shown(peer), (json!("barge"), json!(7)), "{peer}");
        assert_eq!(stage.said_again(peer), 1, "{peer}");
        assert!(stage.world.show(peer, stage.case).unwrap().conflicts.is_empty());
    }
    // Once, however often it looks.
    for _ in 0..3 {
        stage.world.wait(REAUTHOR_AFTER_MS);
        (0..3).for_each(|peer| stage.tick(peer));
    }
    assert_eq!((stage.said_again(0), stage.said_again(1)), (1, 1));
}

#[test]
fn what_is_adopted_in_time_is_not_said_again_and_later_not_shown_twice() {
    for late in [false, true] {
        let mut stage = stage();
        stage.lose_the_unit();
        stage.tick(1);
        if late {
            stage.world.wait(REAUTHOR_AFTER_MS);
            stage.tick(1);
            assert_eq!(stage.shown(0), (json!("barge"), json!(7)));
        }
        let held = stage.world.peers[0].replica.quarantined(10).unwrap().0;
        let mark = Mark { log: held[0].log.digest(), count: held[0].seq + 1, head: held[0].id };
        let now = stage.world.now();
        stage.world.peers[0].replica.adopt(now, stage.shared, vec![mark]).unwrap();
        stage.world.drain(0);
        stage.world.settle();
        stage.world.wait(2 * REAUTHOR_AFTER_MS);
        stage.tick(1);
        for peer in 0..2 {
            assert_eq!(stage.shown(peer), (json!("unit"), json!(7)), "{peer}, late: {late}");
            assert_eq!(stage.said_again(peer), usize::from(late));
            let replaced = stage.verdicts(peer).contains(&(EntryKind::CHANGE, Verdict::Replaced));
            assert_eq!(replaced, late);
            assert!(stage.world.show(peer, stage.case).unwrap().conflicts.is_empty());
        }
    }
}

#[test]
fn what_waits_is_noted_through_a_restart() {
    let mut stage = stage();
    stage.lose_the_unit();
    stage.world.crash(1);
    stage.link = stage.world.connect(1, 0);
    stage.world.settle();
    stage.tick(1);
    // What was waited before counts up to the end of a step.
    stage.world.wait(REAUTHOR_AFTER_MS - 120_000);
    stage.tick(1);
    assert_eq!(stage.said_again(1), 0);
    stage.world.wait(60_000);
    stage.tick(1);
    assert_eq!(stage.shown(0), (json!("barge"), json!(7)));
    assert_eq!(stage.said_again(0), 1);
}

/// A unit in the field: it runs for seconds or minutes, and is off for hours.
#[test]
fn who_is_started_again_and_again_says_it_again_all_the_same() {
    for (runs_ms, lives_min) in [(5_000, 9), (180_000, 3)] {
        let mut stage = stage();
        stage.lose_the_unit();
        let mut lives = 0;
        while stage.said_again(1) == 0 {
            lives += 1;
            assert!(lives <= 11, "it waits for ever, {runs_ms} ms at a time");
            stage.world.crash(1);
            stage.world.wait(5 * 3_600_000);
            stage.link = stage.world.connect(1, 0);
            stage.world.settle();
            stage.tick(1);
            for _ in 0..runs_ms / 5_000 {
                stage.world.wait(5_000);
                stage.tick(1);
            }
        }
        assert!(lives >= lives_min, "what it was off for was counted: {lives} lives");
        for peer in 0..2 {
            assert_eq!(stage.shown(peer), (json!("barge"), json!(7)), "{peer}");
            assert_eq!(stage.said_again(peer), 1, "{peer}");
        }
        // And of what waits the next time it waits from the beginning.
        let log = stage.world.peers[1].replica.own_log(stage.shared, Class::Routine);
        let next = stage.world.peers[1].replica.logbook().head(&log).next;
        stage.world.crash(1);
        stage.tick(1);
        assert_eq!(stage.world.peers[1].replica.logbook().head(&log).next, next);
    }
}

#[test]
fn who_was_away_for_days_says_it_again_when_it_hears() {
    let mut stage = stage();
    stage.world.cut(stage.link);
    // Meanwhile it goes on, on top of what it does not know to be forged.
    stage.edit(1, "description", json!("seen at the pier"));
    stage.lose_the_unit();
    stage.world.wait(9 * 86_400_000);
    stage.tick(1);
    stage.link = stage.world.connect(1, 0);
    stage.world.settle();
    assert_eq!(stage.shown(1), (json!("barge"), json!(3)));
    stage.world.wait(REAUTHOR_AFTER_MS);
    stage.tick(1);
    for peer in 0..2 {
        assert_eq!(stage.shown(peer), (json!("barge"), json!(7)), "{peer}");
        let fields = stage.world.show(peer, stage.case).unwrap().fields;
        assert_eq!(fields["description"], "seen at the pier");
    }
}

/// The lost device builds on its own; what else it wrote is not made to count by writing it anew.
#[test]
fn a_lost_device_says_nothing_again() {
    let mut stage = stage();
    // Its work on top of another's, which is closed too.
    stage.edit(2, "description", json!("forged"));
    stage.lose_the_unit();
    // What the desk says again is not looked for here.
    stage.world.cut(stage.link);
    stage.world.peers[2].replica.reauthor_after(0);
    for _ in 0..3 {
        stage.world.wait(2 * REAUTHOR_AFTER_MS);
        stage.tick(2);
    }
    assert_eq!(stage.said_again(0), 0);
    let log = stage.world.peers[2].replica.own_log(stage.shared, Class::Routine);
    assert_eq!(stage.world.peers[2].replica.logbook().head(&log).next, 2);
}

/// Two that built on each other, on top of what is quarantined: each says its own again, and then
/// neither has anything to say.
#[test]
fn a_chain_of_authors_says_all_again_and_ends() {
    let mut stage = stage();
    stage.edit(0, "city", json!("Bol"));
    stage.edit(1, "country", json!("TD"));
    stage.edit(0, "description", json!("moored"));
    stage.lose_the_unit();
    for _ in 0..6 {
        stage.world.wait(REAUTHOR_AFTER_MS);
        (0..2).for_each(|peer| stage.tick(peer));
    }
    let heads = |stage: &Stage| -> Vec<u64> {
        let of = |peer: usize| {
            let replica = &stage.world.peers[peer].replica;
            replica.logbook().head(&replica.own_log(stage.shared, Class::Routine)).next
        };
        vec![of(0), of(1)]
    };
    let before = heads(&stage);
    for peer in 0..2 {
        let detail = stage.world.show(peer, stage.case).unwrap();
        let fields = json!({
            "name": "barge", "count": 7, "city": "Bol", "country": "TD", "description": "moored",
        });
        assert_eq!(Value::Object(detail.fields), fields, "{peer}");
        assert!(detail.conflicts.is_empty());
        assert!(detail.entries.iter().all(|entry| entry.verdict != Verdict::Waiting));
    }
    for _ in 0..6 {
        stage.world.wait(REAUTHOR_AFTER_MS);
        (0..2).for_each(|peer| stage.tick(peer));
    }
    assert_eq!(heads(&stage), before);
}
