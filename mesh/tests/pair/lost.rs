//! A device in other hands: which of its entries still count, when its dates are chosen by who has its keys, when
//! its clock was wrong, and when its honest work comes late.

use std::sync::Arc;

use tearline_crdt::entropy::SeededEntropy;
use tearline_crdt::id::{Class, CoalitionId, CompartmentId, DeviceId, LogId, RecordId};
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::shelf::{Beginning, Draft};
use tearline_crdt::statement::Mark;
use tearline_crdt::store::{Batch, Space, Store as _};
use tearline_crdt::time::WallTime;
use tearline_mesh::invitation::Invited;
use tearline_mesh::replica::{KeepBy, Kept};

use crate::world::{World, draft};

const MINUTE_MS: i64 = 60_000;
const YEAR_MS: i64 = 365 * 24 * 60 * MINUTE_MS;

/// Peer 0 is a desk, peer 1 one of another agency, peer 2 a unit of the first. All share a compartment, and only
/// the desks are linked.
struct Stage {
    world: World,
    coalition: CoalitionId,
    shared: CompartmentId,
    unit: DeviceId,
    log: LogId,
}

fn stage() -> Stage {
    let mut world = World::new(3);
    let unit = world.peers.pop().unwrap();
    let coalition = world.coalition();
    world.peers.push(unit);
    let link = world.join(coalition, 2, Invited::Device { history: false });
    world.settle();
    world.cut(link);
    let shared = world.open(0, coalition, &[1, 2]);
    world.meet(2, 0);
    world.connect(1, 0);
    world.settle();
    let replica = &world.peers[2].replica;
    let (unit, log) = (replica.device(), replica.own_log(shared, Class::Routine));
    Stage { world, coalition, shared, unit, log }
}

impl Stage {
    /// The unit writes by a clock that is wrong by so much.
    fn writes(&mut self, name: &str, error_ms: i64) -> RecordId {
        self.world.clock_error_ms = error_ms;
        let record = self.world.write(2, self.shared, Class::Routine, &[name])[0];
        self.world.clock_error_ms = 0;
        self.world.settle();
        record
    }

    fn minute(&mut self) {
        self.world.wait(MINUTE_MS as u64);
    }

    fn kept(&self, since: WallTime, by: KeepBy) -> Kept {
        let replica = &self.world.peers[0].replica;
        let kept = replica.kept_before(self.coalition, &self.unit, Some((since, by))).unwrap();
        kept.into_iter().find(|kept| kept.log == self.log).unwrap()
    }

    fn lost(&mut self, since: WallTime, by: KeepBy) {
        let now = self.world.now();
        let replica = &mut self.world.peers[0].replica;
        replica.lost(now, self.coalition, self.unit, (since, by)).unwrap();
        self.world.drain(0);
        self.world.settle();
    }

    /// Which of these both desks show.
    fn shown<const N: usize>(&mut self, records: [RecordId; N]) -> [bool; N] {
        records.map(|record| {
            let shown = self.world.show(0, record).is_some();
            assert_eq!(self.world.show(1, record).is_some(), shown, "they agree");
            shown
        })
    }
}

#[test]
fn a_thief_who_dates_back_gains_nothing_and_what_came_late_is_adopted() {
    for by in [KeepBy::Arrival, KeepBy::OwnDates] {
        let mut stage = stage();
        let genuine = stage.writes("genuine", 0);
        stage.world.meet(2, 0);
        stage.minute();
        let late = stage.writes("late", 0);
        stage.minute();
        let since = stage.world.now().wall;
        stage.minute();
        let forged = stage.writes("forged", -3 * MINUTE_MS / 2);
        stage.world.meet(2, 0);
        assert_eq!(stage.shown([genuine, late, forged]), [true; 3]);
        // What came when outlasts a restart.
        stage.world.crash(0);
        stage.world.connect(1, 0);
        stage.world.settle();
        let kept = stage.kept(since, by);
        assert_eq!([kept.held, kept.by_arrival.count, kept.by_dates.count], [3, 1, 3]);
        stage.lost(since, by);
        if by == KeepBy::OwnDates {
            assert_eq!(stage.shown([genuine, late, forged]), [true; 3], "it was asked for");
            continue;
        }
        assert_eq!(stage.shown([genuine, late, forged]), [true, false, false]);
        let held = stage.world.peers[0].replica.quarantined(10).unwrap().0;
        let of = |record| held.iter().find(|one| one.header.unwrap().1 == record).unwrap();
        let (one, log) = (of(late), stage.log.digest());
        assert_eq!(of(forged).seq, one.seq + 1);
        let mark = Mark { log, count: one.seq + 1, head: one.id };
        let now = stage.world.now();
        stage.world.peers[0].replica.adopt(now, stage.shared, vec![mark]).unwrap();
        stage.world.drain(0);
        stage.world.settle();
        assert_eq!(stage.shown([genuine, late, forged]), [true, true, false]);
    }
}

#[test]
fn a_clock_that_was_ahead_costs_an_honest_device_nothing_that_had_come() {
    let mut stage = stage();
    let before = stage.writes("before", 0);
    let ahead = stage.writes("ahead", YEAR_MS);
    let after = stage.writes("after", 0);
    stage.world.meet(2, 0);
    stage.minute();
    let since = stage.world.now().wall;
    stage.minute();
    let forged = stage.writes("forged", 0);
    stage.world.meet(2, 0);
    let kept = stage.kept(since, KeepBy::Arrival);
    assert_eq!([kept.by_arrival.count, kept.by_dates.count], [3, 1]);
    stage.lost(since, KeepBy::Arrival);
    assert_eq!(stage.shown([before, ahead, after, forged]), [true, true, true, false]);
}

/// What its desk granted, opened and sealed was said before, too, if it had come.
#[test]
fn statements_that_had_come_are_kept_by_arrival_and_none_by_dates() {
    let mut stage = stage();
    let home = stage.world.open(2, stage.coalition, &[1]);
    stage.world.meet(2, 0);
    stage.minute();
    let since = stage.world.now().wall;
    stage.minute();
    stage.world.open_named(2, stage.coalition, &[1, 2], 1);
    stage.world.meet(2, 0);
    let replica = &stage.world.peers[0].replica;
    let kept = |by| {
        let kept = replica.kept_before(stage.coalition, &stage.unit, Some((since, by))).unwrap();
        let logs = kept.into_iter().filter(|kept| kept.log.class == Class::Authority);
        let whole = logs.map(|kept| (kept.log.compartment == home, kept.cut.count == kept.held));
        whole.collect::<std::collections::BTreeMap<_, _>>()
    };
    assert_eq!(kept(KeepBy::Arrival), [(false, false), (true, true)].into());
    assert_eq!(kept(KeepBy::OwnDates), [(false, false), (true, false)].into());
}

/// Its clock goes back, what it imports was built before: its dates do not fall.
#[test]
fn an_authors_dates_never_fall() {
    let mut stage = stage();
    let digest = stage.log.digest();
    let build = |stage: &Stage, seed| {
        let Draft::New { kind: Kind::Sighting, fields, label } = draft("built") else {
            panic!("a draft is a new sighting")
        };
        let (wall, entropy) = (stage.world.now().wall, &mut SeededEntropy::new(seed));
        let built = Beginning::build(&digest, Kind::Sighting, fields, label, wall, entropy);
        Draft::Begun(Arc::new(built.unwrap()))
    };
    let built = build(&stage, 1);
    stage.minute();
    stage.writes("one", 0);
    stage.writes("two", -MINUTE_MS / 2);
    let mixed = vec![built, build(&stage, 2), draft("new"), build(&stage, 3)];
    stage.world.act(2, stage.shared, Class::Routine, mixed);
    stage.writes("three", 2 * MINUTE_MS);
    stage.writes("four", 0);
    stage.world.meet(2, 0);
    // Its answers stand in the same log.
    let recalled = stage.world.write(0, stage.shared, Class::Routine, &["recalled"])[0];
    let now = stage.world.now();
    let word = tearline_mesh::replica::Word::Recall;
    stage.world.peers[0].replica.speak(now, recalled, &word).unwrap();
    stage.world.drain(0);
    stage.world.meet(2, 0);
    stage.world.meet(2, 0);
    let kept = stage.kept(WallTime(u64::MAX), KeepBy::OwnDates);
    assert!(kept.held >= 9, "eight records, and its answer");
    assert_eq!(kept.by_dates.count, kept.held);
}

/// Dates that fall are nobody's honest work: the first that does ends what is kept by dates.
#[test]
fn where_dates_fall_they_are_not_followed_any_further() {
    let mut stage = stage();
    stage.writes("genuine", 0);
    stage.world.meet(2, 0);
    // Another program than ours: it does not see what its last entry was.
    let replica = &mut stage.world.peers[2].replica;
    let no = replica.logbook().state(&stage.log).unwrap().no;
    let mut rotten = Batch::default();
    rotten.put(Space::Entries, [&no.0.to_be_bytes()[..], &[0; 8]].concat(), b"rotten".to_vec());
    replica.store_mut().apply(rotten).unwrap();
    stage.writes("dated back", -MINUTE_MS);
    stage.writes("and on", 0);
    stage.world.meet(2, 0);
    let kept = stage.kept(WallTime(u64::MAX), KeepBy::OwnDates);
    assert_eq!([kept.held, kept.by_dates.count, kept.by_arrival.count], [3, 1, 3]);
}

/// What was left aside is judged, when it comes, as if it had always been here.
#[test]
fn what_was_left_aside_of_a_lost_device_counts_as_it_does_elsewhere() {
    let mut stage = stage();
    let desk = stage.world.peers[0].replica.device();
    let wants = |stage: &mut Stage, interest| {
        stage.world.peers[1].replica.set_interest(desk, interest).unwrap();
        stage.world.drain(1);
        stage.world.settle();
    };
    wants(&mut stage, Some("kind=alert".parse().unwrap()));
    let long = |name: &str| format!("{name} {}", "and more ".repeat(30));
    let before = stage.writes(&long("before"), 0);
    stage.world.meet(2, 0);
    stage.minute();
    let since = stage.world.now().wall;
    stage.minute();
    let after = stage.writes(&long("after"), 0);
    stage.world.meet(2, 0);
    let aside = |stage: &Stage| stage.world.peers[1].replica.left_aside(&|_| true);
    assert_eq!(aside(&stage).get(&desk), Some(&2));
    stage.lost(since, KeepBy::Arrival);
    assert!(stage.world.digests_equal(0, 1));
    wants(&mut stage, None);
    assert!(aside(&stage).is_empty());
    for peer in [0, 1] {
        assert!(stage.world.show(peer, before).is_some(), "peer {peer}");
        assert!(stage.world.show(peer, after).is_none(), "peer {peer}");
    }
}
