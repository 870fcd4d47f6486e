//! Acts on standings and records, on replicas that meet.

use tearline_crdt::authority::Cause;
use tearline_crdt::bounds::{MARKS_MAX, NAME_BYTES_MAX};
use tearline_crdt::charter::Member;
use tearline_crdt::document::{Patch, Segment};
use tearline_crdt::id::{AgencyNo, Class, CoalitionId, CompartmentId, EpochId, LogId};
use tearline_crdt::record::receipt::{self, Outcome};
use tearline_crdt::record::shelf::Draft;
use tearline_crdt::statement::{
    Act, Audience, Caveats, DeskCertificate, Erasure, Marks, Right, RootAct, Statement,
};
use tearline_crdt::store::{Batch, Space, Store as _};
use tearline_crdt::time::{Now, WallTime};
use tearline_mesh::invitation::{Applicant, Invited, JoinRequest};
use tearline_mesh::replica::KeepBy::{self, Arrival};
use tearline_mesh::replica::{ActError, Word, keep_what_fits};
use tearline_mesh::{Input, Link};

use crate::forger::{link_as, runs, tag};
use crate::world::{World, draft, keys, root};

/// Peers 0 and 1 are desks of agencies 1 and 2; peer 2 is a further device of agency 1. All are
/// connected to peer 0, and all but the opener's are readers of one compartment.
struct Stage {
    world: World,
    coalition: CoalitionId,
    shared: CompartmentId,
}

fn stage() -> Stage {
    let mut world = World::new(3);
    let unit = world.peers.pop().unwrap();
    let coalition = world.coalition();
    world.peers.push(unit);
    world.connect(1, 0);
    world.join(coalition, 2, Invited::Device { history: false });
    world.settle();
    let shared = world.open(0, coalition, &[1, 2]);
    world.settle();
    Stage { world, coalition, shared }
}

fn area(coalition: CoalitionId) -> CompartmentId {
    CompartmentId(coalition.0)
}

/// Puts something else in the place of a chunk: the one of a log that ends with this entry.
fn rot(world: &mut World, peer: usize, log: &LogId, last: u64) {
    let replica = &mut world.peers[peer].replica;
    let no = replica.logbook().state(log).unwrap().no;
    let key = [&no.0.to_be_bytes()[..], &last.to_be_bytes()].concat();
    assert!(replica.store().get(Space::Entries, &key).unwrap().is_some(), "there is no such chunk");
    let mut rotten = Batch::default();
    rotten.put(Space::Entries, key, b"rotten".to_vec());
    replica.store_mut().apply(rotten).unwrap();
}

/// Who lacks what is damaged here gets all else, and asks others for it.
#[test]
fn what_is_damaged_is_not_sent_and_ends_nothing() {
    let Stage { mut world, shared, .. } = stage();
    (1..9).for_each(|n| world.cut(Link(n)));
    let priority = world.write(2, shared, Class::Priority, &["priority"])[0];
    let routine = world.write(2, shared, Class::Routine, &["routine"])[0];
    world.meet(0, 2);
    let log = world.peers[2].replica.own_log(shared, Class::Routine);
    rot(&mut world, 0, &log, 0);
    world.meet(1, 0);
    assert!(world.show(1, priority).is_some() && world.show(1, routine).is_none());
    world.meet(1, 2);
    assert!(world.show(1, routine).is_some());
    // Nor does a peer end it that is no further than the damage, of which its position would tell.
    let more = world.write(2, shared, Class::Routine, &["more"])[0];
    world.settle();
    world.meet(0, 2);
    // It was fetched again from there; and rots again.
    rot(&mut world, 0, &log, 0);
    // What was known of the other's positions is not any more.
    [0, 1].into_iter().for_each(|peer| world.crash(peer));
    world.meet(1, 0);
    let other = world.write(0, shared, Class::Flash, &["other"])[0];
    world.settle();
    world.meet(1, 0);
    // With what the other holds the damage is gone, and the rest is given.
    assert_eq!((world.show(1, other).is_some(), world.show(1, more).is_some()), (true, true));
    world.meet(1, 2);
    assert!(world.show(1, more).is_some());
}

/// A value of the store that rotted takes the entries in it, and no more: neither the act that ends a
/// device nor the list of what it could read.
#[test]
fn a_damaged_value_is_named_in_the_traces_of_a_lost_device() {
    let Stage { mut world, coalition, shared } = stage();
    // Each comes by itself, and so lies in a chunk of its own.
    let records = ["one", "two", "three"].map(|name| {
        let record = world.write(2, shared, Class::Routine, &[name])[0];
        world.settle();
        record
    });
    let unit = world.peers[2].replica.device();
    let log = world.peers[2].replica.own_log(shared, Class::Routine);
    rot(&mut world, 0, &log, 1);
    let replica = &world.peers[0].replica;
    // Up to there it counts if a time is named, and all of it without one.
    let kept = |since: Option<WallTime>| {
        let since = since.map(|since| (since, Arrival));
        let kept = replica.kept_before(coalition, &unit, since).unwrap();
        kept.into_iter().find(|kept| kept.log == log).unwrap().cut.count
    };
    assert_eq!((kept(Some(WallTime(u64::MAX))), kept(None)), (1, 3));
    let now = world.now();
    let lost =
        world.peers[0].replica.lost(now, coalition, unit, (now.wall, Arrival)).unwrap().value;
    assert_eq!(lost.kept.iter().find(|kept| kept.log == log).unwrap().cut.count, 1);
    let replica = &world.peers[0].replica;
    let exposed = replica.exposure(&unit).unwrap();
    let exposed = exposed.iter().find(|exposed| exposed.compartment == shared).unwrap();
    assert!(exposed.records.contains(&records[0]) && exposed.records.contains(&records[2]));
    assert!(!exposed.records.contains(&records[1]));
    let [unread] = &exposed.unread[..] else { panic!("{:?}", exposed.unread) };
    assert_eq!((unread.log, unread.seqs.clone()), (log, 1..2));
    let (quarantined, unread) = replica.quarantined(10).unwrap();
    let of: Vec<_> = quarantined.iter().map(|one| (one.log, one.seq)).collect();
    assert_eq!(of, [(log, 2)]);
    assert!(unread.len() == 1 && unread[0].seqs == (1..2), "{unread:?}");
    // What cannot be judged is shown no more, and the peer goes on.
    world.drain(0);
    let counts = world.peers[0].replica.counts(shared).unwrap();
    assert_eq!(counts.records.shown, 1, "{:?}", counts.records);
    assert!(world.show(0, records[0]).is_some() && world.show(0, records[2]).is_none());
    let after = world.write(1, shared, Class::Routine, &["after"])[0];
    world.settle();
    assert!(world.show(0, after).is_some());
}

/// A record whose own listing rotted takes neither what comes of it nor what is said of it from the peer.
#[test]
fn a_record_whose_listing_is_damaged_stops_nothing() {
    let Stage { mut world, coalition, shared } = stage();
    let record = world.write(2, shared, Class::Routine, &["canary"])[0];
    world.settle();
    let mut rotten = Batch::default();
    rotten.put(Space::Records, record.0, b"rotten".to_vec());
    world.peers[0].replica.store_mut().apply(rotten).unwrap();
    let mut patch = Patch::default();
    patch.set(vec![Segment::Name("name".into())], "changed canary".into());
    world.act(2, shared, Class::Routine, vec![Draft::Edit { record, patch }]);
    let after = world.write(2, shared, Class::Routine, &["after"])[0];
    world.settle();
    assert!(world.show(0, after).is_some() && world.show(1, after).is_some());
    let log = world.peers[2].replica.own_log(shared, Class::Routine);
    let holds = |world: &World, peer: usize, seq| {
        let replica = &world.peers[peer].replica;
        let entry = replica.logbook().entry(replica.store(), &log, seq).unwrap().unwrap();
        entry.payload.is_some()
    };
    assert!(holds(&world, 0, 1) && holds(&world, 1, 1));
    assert!(world.peers[0].replica.records(|reader| reader.show(record)).is_err(), "it is named");
    // Its entries are destroyed by the list of them, and that all of it is the peer does not say.
    let detail = world.show(1, record).unwrap();
    let mut others: Vec<_> = detail.entries.iter().map(|entry| entry.id).collect();
    others.retain(|id| *id != detail.genesis);
    others.sort_unstable();
    let erasure = Erasure { genesis: detail.genesis, others };
    let now = world.now();
    let founder = &mut world.peers[0].replica;
    let act = founder.propose(now, coalition, Act::Erase(erasure), None).unwrap().value;
    world.drain(0);
    world.settle();
    for (peer, outcome) in [(0, Outcome::Hidden), (1, Outcome::Destroyed)] {
        assert!(!holds(&world, peer, 0) && !holds(&world, peer, 1), "{peer}");
        let replica = &world.peers[peer].replica;
        let said = receipt::answer(replica.store(), &act, &replica.device()).unwrap();
        assert_eq!(said.map(|said| said.outcome), Some(outcome), "{peer}");
    }
    world.input(0, Input::Tick);
    world.settle();
    assert!(world.show(0, after).is_some());
}

#[test]
fn a_lost_device_is_quarantined_alike_and_reads_nothing_new() {
    let Stage { mut world, coalition, shared } = stage();
    let genuine = world.write(2, shared, Class::Routine, &["genuine"])[0];
    world.settle();
    world.wait(60_000);
    let since = world.now().wall;
    let forged = world.write(2, shared, Class::Routine, &["forged"])[0];
    world.settle();
    assert!(world.show(1, forged).is_some());
    // It answers what is said of a record: that is nobody's work, and waits for no decision.
    let recalled = world.write(1, shared, Class::Routine, &["recalled"])[0];
    world.settle();
    let now = world.now();
    world.peers[1].replica.speak(now, recalled, &Word::Recall).unwrap();
    world.drain(1);
    world.settle();
    let unit = world.peers[2].replica.device();
    let now = world.now();
    let lost = world.peers[0].replica.lost(now, coalition, unit, (since, Arrival)).unwrap().value;
    world.drain(0);
    world.settle();
    // What it could read: the record of the compartment, and its epoch.
    let exposed = world.peers[0].replica.exposure(&unit).unwrap();
    let exposed = exposed.iter().find(|exposed| exposed.compartment == shared).unwrap();
    assert!(exposed.records.contains(&genuine) && exposed.records.contains(&forged));
    assert_eq!(exposed.epochs.len(), 1);
    let kept = lost.kept.iter().find(|kept| kept.log.class == Class::Routine).unwrap();
    assert_eq!((kept.held, kept.cut.count), (3, 1));
    // Quarantined alike, the genuine one kept.
    for peer in 0..2 {
        // The transport is to treat it as a stranger.
        assert_eq!(world.peers[peer].unvouched, [unit]);
        assert!(world.show(peer, genuine).is_some(), "{peer}");
        assert!(world.show(peer, forged).is_none(), "{peer}");
        let quarantined = world.peers[peer].replica.quarantined(10).unwrap().0;
        assert_eq!(quarantined.len(), 1);
        assert_eq!(quarantined[0].cause, Cause::Closed(lost.statement));
        assert_eq!(quarantined[0].header.unwrap().1, forged);
    }
    // What is written now it cannot open, even if somebody brings it.
    let next = world.write(1, shared, Class::Routine, &["after"])[0];
    world.settle();
    assert!(world.show(0, next).is_some());
    assert!(world.show(2, next).is_none());
    let epoch = world.peers[1].replica.compartment(shared).unwrap().current_epoch(|_| true);
    let epoch = epoch.unwrap();
    assert!(world.peers[0].replica.can_open(&epoch));
    assert!(!world.peers[2].replica.can_open(&epoch));
    // What it writes, should it not have heard, is quarantined.
    let now = world.now();
    let more = vec![draft("more")];
    match world.peers[2].replica.write(now, shared, Class::Routine, more) {
        Err(ActError::Denied { .. }) => {}
        Err(error) => panic!("{error}"),
        Ok(done) => {
            world.drain(2);
            world.settle();
            assert!(world.show(0, done.value[0].record).is_none());
        }
    }
}

/// Of a device with more logs than one statement names the longest count, at all peers and after a restart.
#[test]
fn a_device_with_more_logs_than_a_statement_names_is_lost_alike() {
    const LIVES: usize = 57;
    const CLASSES: [Class; 4] = [Class::Flash, Class::Immediate, Class::Priority, Class::Routine];
    let Stage { mut world, coalition, shared } = stage();
    let mut areas = vec![shared];
    areas.extend((1..4).map(|n| world.open_named(0, coalition, &[1, 2], n)));
    world.settle();
    for life in 0..LIVES {
        for area in &areas {
            for class in CLASSES {
                world.write(2, *area, class, if life == 0 { &["one", "two"] } else { &["one"] });
            }
        }
        world.settle();
        world.begin_anew(2);
    }
    world.meet(2, 0);
    world.meet(1, 0);
    let unit = world.peers[2].replica.device();
    let now = world.now();
    let since = WallTime(now.wall.0 + 1);
    let lost = world.peers[0].replica.lost(now, coalition, unit, (since, Arrival)).unwrap().value;
    world.drain(0);
    world.settle();
    world.meet(1, 0);
    world.crash(0);
    assert_eq!(lost.unnamed, LIVES * areas.len() * CLASSES.len() - MARKS_MAX);
    for peer in 0..2 {
        let (quarantined, unread) = world.peers[peer].replica.quarantined(usize::MAX).unwrap();
        assert_eq!((quarantined.len(), unread.len()), (lost.unnamed, 0), "{peer}");
        // None of them is of the life in which it wrote more.
        assert!(quarantined.iter().all(|one| one.seq == 0 && one.log.incarnation.0 > 1));
    }
    let replica = &world.peers[0].replica;
    let mut again = replica.kept_before(coalition, &unit, Some((since, Arrival))).unwrap();
    assert_eq!(keep_what_fits(&mut again), lost.unnamed);
    assert!(replica.is_lost(coalition, &unit, &again).unwrap());
}

#[test]
fn what_was_quarantined_wrongly_is_adopted_by_its_agency_alone() {
    let Stage { mut world, coalition, shared } = stage();
    let record = world.write(2, shared, Class::Routine, &["honest"])[0];
    world.settle();
    let unit = world.peers[2].replica.device();
    let now = world.now();
    let lost =
        world.peers[0].replica.lost(now, coalition, unit, (WallTime(0), Arrival)).unwrap().value;
    world.drain(0);
    world.settle();
    assert!(world.show(1, record).is_none());
    let held = world.peers[1].replica.quarantined(10).unwrap().0;
    let mark = tearline_crdt::statement::Mark {
        log: held[0].log.digest(),
        count: held[0].seq + 1,
        head: held[0].id,
    };
    // Another agency's desk may say so, and nothing comes of it.
    let now = world.now();
    let _ = world.peers[1].replica.adopt(now, shared, vec![mark]);
    world.drain(1);
    world.settle();
    assert!(world.show(0, record).is_none() && world.show(1, record).is_none());
    let now = world.now();
    world.peers[0].replica.adopt(now, shared, vec![mark]).unwrap();
    world.drain(0);
    world.settle();
    assert!(world.show(0, record).is_some() && world.show(1, record).is_some());
    // To end it again would change nothing: what was adopted counts whatever this agency ends.
    let replica = &world.peers[0].replica;
    let mut kept = replica.kept_before(coalition, &unit, Some((WallTime(0), Arrival))).unwrap();
    assert!(replica.is_lost(coalition, &unit, &kept).unwrap());
    replica.move_to_counting(&mut kept, replica.word(coalition)).unwrap();
    let adopted = kept.iter().find(|kept| kept.log == held[0].log).unwrap();
    assert_eq!(adopted.mark(), Some(mark));
    assert_eq!(lost.kept.iter().map(|kept| kept.cut.count).sum::<u64>(), 0);
}

#[test]
fn an_erasure_is_obeyed_and_answered_and_a_hold_stops_it() {
    let Stage { mut world, coalition: _, shared } = stage();
    let record = world.write(0, shared, Class::Routine, &["canary"])[0];
    let held = world.write(0, shared, Class::Routine, &["held"])[0];
    world.settle();
    let now = world.now();
    // The hold of another agency binds that agency's peers.
    world.peers[1].replica.speak(now, held, &Word::Hold).unwrap();
    world.drain(1);
    world.settle();
    let basis = Word::Erase { basis: "Article 17".into() };
    let denied = world.peers[1].replica.speak(now, record, &basis);
    assert!(matches!(denied, Err(ActError::NotOriginator(AgencyNo(1)))));
    let erased = world.peers[0].replica.speak(now, record, &basis).unwrap().value;
    let stopped = world.peers[0].replica.speak(now, held, &basis).unwrap().value;
    world.drain(0);
    world.settle();
    for peer in 0..3 {
        assert!(world.show(peer, record).is_none(), "{peer}");
    }
    let answers = receipt::answers(world.peers[0].replica.store(), &erased).unwrap();
    assert_eq!(answers.len(), 3, "{answers:?}");
    assert!(answers.values().all(|answer| answer.outcome == Outcome::Destroyed));
    assert!(world.show(0, held).is_none());
    let shown = world.show(1, held).unwrap();
    assert!(shown.state.restricted && shown.fields.is_empty());
    let answers = receipt::answers(world.peers[0].replica.store(), &stopped).unwrap();
    let of = |peer: usize| answers[&world.peers[peer].replica.device()].outcome;
    assert_eq!(of(0), Outcome::Destroyed);
    assert!(matches!(of(1), Outcome::Refused(_)));
}

#[test]
fn what_was_destroyed_is_answered_so_whoever_holds_it_afterwards_and_whatever_the_clock_says() {
    let Stage { mut world, coalition, shared } = stage();
    let record = world.write(0, shared, Class::Routine, &["canary"])[0];
    world.settle();
    let genesis = world.show(0, record).unwrap().genesis;
    // One peer's clock was ahead when it hid the record.
    let now = world.now();
    let ahead = Now { wall: WallTime(now.wall.0 + 1_000_000), ..now };
    let restricted = world.peers[0].replica.speak(ahead, record, &Word::Restrict).unwrap().value;
    world.peers[0].replica.handle(ahead, Input::Tick).unwrap();
    world.drain(0);
    world.settle();
    let basis = Word::Erase { basis: "Article 17".into() };
    let now = world.now();
    let erased = world.peers[0].replica.speak(now, record, &basis).unwrap().value;
    world.drain(0);
    world.settle();
    let log = world.peers[0].replica.own_log(shared, Class::Routine);
    let written = world.peers[0].replica.logbook().head(&log).next;
    // By the founders: it binds all.
    let now = world.now();
    world.peers[0].replica.propose(now, coalition, Act::Hold { genesis }, None).unwrap();
    world.drain(0);
    world.settle();
    for peer in 0..3 {
        for (statement, outcome) in [(erased, Outcome::Destroyed), (restricted, Outcome::Hidden)] {
            let answers = receipt::answers(world.peers[peer].replica.store(), &statement).unwrap();
            assert_eq!(answers.len(), 3);
            assert!(answers.values().all(|said| said.outcome == outcome), "{peer}: {answers:?}");
        }
    }
    // Nothing is answered again and again.
    for _ in 0..3 {
        let now = world.now();
        world.peers[0].replica.handle(now, Input::Tick).unwrap();
        world.write(1, shared, Class::Routine, &["more"]);
        world.settle();
    }
    assert_eq!(world.peers[0].replica.logbook().head(&log).next, written);
}

/// Its content is hidden at once. Until the coalition's delay has passed a hold could still save it.
#[test]
fn an_erasure_hides_at_once_and_destroys_after_the_delay() {
    const HOUR_MS: u64 = 3_600_000;
    let mut world = World::new(2);
    let coalition = world.coalition_with_delay(72);
    let shared = world.open(0, coalition, &[1, 2]);
    let record = world.write(0, shared, Class::Routine, &["canary"])[0];
    world.settle();
    world.meet(1, 0);
    let now = world.now();
    world.peers[0].replica.speak(now, record, &Word::Erase { basis: "Article 17".into() }).unwrap();
    world.drain(0);
    world.settle();
    world.meet(1, 0);
    let log = world.peers[0].replica.own_log(shared, Class::Routine);
    let is_there = |world: &World, peer: usize| {
        let replica = &world.peers[peer].replica;
        replica.logbook().entry(replica.store(), &log, 0).unwrap().unwrap().payload.is_some()
    };
    for (passes, there) in [(71 * HOUR_MS, true), (2 * HOUR_MS, false)] {
        world.wait(passes);
        for peer in 0..2 {
            world.input(peer, Input::Tick);
            world.settle();
            let content = world.show(peer, record).map(|shown| shown.fields.is_empty());
            assert_eq!(content, there.then_some(true), "peer {peer}");
            assert_eq!(is_there(&world, peer), there, "peer {peer}");
        }
    }
}

#[test]
fn a_recall_marks_and_a_restriction_hides_until_it_is_lifted() {
    let Stage { mut world, coalition: _, shared } = stage();
    let record = world.write(0, shared, Class::Routine, &["doubtful"])[0];
    world.settle();
    let now = world.now();
    world.peers[0].replica.speak(now, record, &Word::Recall).unwrap();
    let restricted = world.peers[0].replica.speak(now, record, &Word::Restrict).unwrap().value;
    world.drain(0);
    world.settle();
    let shown = world.show(1, record).unwrap();
    assert!(shown.state.recalled && shown.state.restricted && shown.fields.is_empty());
    let now = world.now();
    world.peers[0].replica.lift(now, shared, restricted).unwrap();
    world.drain(0);
    world.settle();
    let shown = world.show(1, record).unwrap();
    assert!(shown.state.recalled && !shown.state.restricted && !shown.fields.is_empty());
}

#[test]
fn a_grant_that_would_widen_is_refused_before_it_is_written() {
    let Stage { mut world, coalition, .. } = stage();
    let card = keys(9).card(world.peers[2].replica.device().0);
    let audience = Audience::Device { agency: AgencyNo(1), card };
    let now = world.now();
    let before = world.peers[2].replica.logbook().logs().count();
    let refused = world.peers[2].replica.grant(
        now,
        area(coalition),
        audience,
        Right::Write,
        Caveats::default(),
        None,
    );
    assert!(matches!(refused, Err(ActError::WouldNotCount(_))), "{refused:?}");
    assert_eq!(world.peers[2].replica.logbook().logs().count(), before);
}

#[test]
fn what_was_sealed_under_a_retired_epoch_opens_no_more() {
    let Stage { mut world, coalition, shared } = stage();
    let old = world.write(0, shared, Class::Routine, &["old"])[0];
    world.settle();
    let epoch = world.peers[0].replica.compartment(shared).unwrap().current_epoch(|_| true);
    let act = Act::RetireEpoch { epoch: epoch.unwrap() };
    let now = world.now();
    world.peers[0].replica.propose(now, coalition, act, None).unwrap();
    world.drain(0);
    world.settle();
    let new = world.write(1, shared, Class::Routine, &["new"])[0];
    world.settle();
    for peer in 0..3 {
        assert!(world.show(peer, old).is_none(), "{peer}");
        assert!(world.show(peer, new).is_some(), "{peer}");
    }
    // Not even after a restart, which reads the statements again.
    world.crash(1);
    assert!(world.show(1, old).is_none() && world.show(1, new).is_some());

    // The boxes of its secret are gone, here and there, and nobody is blamed for sending none.
    world.peers.push(World::new(4).peers.pop().unwrap());
    world.connect(1, 0);
    world.join(coalition, 3, Invited::Device { history: true });
    world.settle();
    for peer in 0..4 {
        let (retired, live) = seals(&world, peer, shared, epoch.unwrap());
        assert!(!retired.is_empty() && retired.iter().all(|whole| !whole), "{peer}: {retired:?}");
        assert!(!live.is_empty() && live.iter().all(|whole| *whole), "{peer}: {live:?}");
        assert!(world.peers[peer].replica.faults().is_empty(), "{peer}");
        assert!(world.show(peer, new).is_some() && world.show(peer, old).is_none(), "{peer}");
        assert_eq!(world.peers[peer].replica.counts(shared).unwrap().waiting, 0, "{peer}");
    }
    assert!(world.digests_equal(0, 3));
}

/// When a record came here is not told anew by what happens to it later: its contents are said again for
/// who comes late, an epoch is retired, the peer starts again.
#[test]
fn a_record_came_when_it_came_whatever_is_said_again_or_retired() {
    let Stage { mut world, coalition, shared } = stage();
    let said_again = world.write(0, shared, Class::Routine, &["said again"])[0];
    world.settle();
    let came = |world: &mut World, record| -> Vec<Option<u64>> {
        (0..3).map(|peer| world.show(peer, record).map(|detail| detail.arrived.0)).collect()
    };
    let first = came(&mut world, said_again);
    assert!(first.iter().all(Option::is_some));
    world.wait(3_600_000);
    let replica = &mut world.peers[0].replica;
    let old = replica.compartment(shared).unwrap().current_epoch(|_| true).unwrap();
    let now = world.now();
    world.peers[0].replica.rotate(now, shared).unwrap();
    world.drain(0);
    world.settle();
    let kept = world.write(0, shared, Class::Routine, &["kept"])[0];
    world.settle();
    let second = came(&mut world, kept);
    assert!(second.iter().zip(&first).all(|(second, first)| second > first));
    world.wait(3_600_000);

    // Under the new epoch the first is said again whole, for a device that comes.
    world.peers.push(World::new(4).peers.pop().unwrap());
    world.connect(1, 0);
    world.join(coalition, 3, Invited::Device { history: false });
    world.settle();
    for record in [said_again, kept] {
        let mut patch = Patch::default();
        patch.set(vec![Segment::Name("name".into())], "changed".into());
        world.act(0, shared, Class::Routine, vec![Draft::Edit { record, patch }]);
        world.settle();
    }
    let late = world.show(3, said_again).unwrap().arrived;
    assert!(Some(late.0) > second[0], "it is new there");
    assert_eq!(came(&mut world, said_again), first);
    assert_eq!(came(&mut world, kept), second);

    world.wait(3_600_000);
    let now = world.now();
    world.peers[0].replica.propose(now, coalition, Act::RetireEpoch { epoch: old }, None).unwrap();
    world.drain(0);
    world.settle();
    for restarts in [false, true] {
        if restarts {
            (0..4).for_each(|peer| world.crash(peer));
        }
        assert_eq!(came(&mut world, said_again), [None; 3], "it was written under the old epoch");
        assert_eq!(came(&mut world, kept), second, "restarted: {restarts}");
        let shown = world.show(3, said_again).map(|detail| detail.arrived);
        assert!(shown.is_none_or(|arrived| arrived == late), "{shown:?}");
    }
}

/// Whether each seal of an epoch that a peer holds has its boxes; and each of all other epochs.
fn seals(world: &World, peer: usize, id: CompartmentId, of: EpochId) -> (Vec<bool>, Vec<bool>) {
    let replica = &world.peers[peer].replica;
    let (mut these, mut others) = (Vec::new(), Vec::new());
    for (log, state) in replica.logbook().logs_of(id) {
        for seq in (0..state.head.next).filter(|_| log.class == Class::Authority) {
            let entry = replica.logbook().entry(replica.store(), log, seq).unwrap().unwrap();
            if let Ok(Statement::Seal { epoch, .. }) = Statement::decode(&entry.sealed) {
                let list = if epoch == of { &mut these } else { &mut others };
                list.push(entry.payload.is_some());
            }
        }
    }
    (these, others)
}

#[test]
fn a_new_desk_reads_and_writes_where_the_opener_was_revoked_by_its_root() {
    let mut world = World::new(3);
    let second = world.peers.pop().unwrap();
    let coalition = world.coalition();
    world.peers.push(second);
    let link = world.connect(1, 0);
    world.settle();
    let shared = world.open(0, coalition, &[1, 2]);
    let before = world.write(0, shared, Class::Routine, &["before"])[0];
    world.settle();
    world.cut(link);
    // Only the root can end its desk; the other agency's peer writes down what it signed.
    let device = world.peers[0].replica.device();
    let now = world.now();
    let kept = world.peers[1].replica.kept_before(coalition, &device, None).unwrap();
    let marks = kept.iter().filter_map(|kept| kept.mark()).collect();
    let (keep, _) = Marks::of(marks).unwrap();
    let act = Act::Revoke { device, keep };
    let foreign = RootAct::sign(&root(2), &coalition, act.clone()).unwrap();
    let refused = world.peers[1].replica.root_act(now, coalition, foreign, None);
    assert!(matches!(refused, Err(ActError::WouldNotCount(_))), "{refused:?}");
    let act = RootAct::sign(&root(1), &coalition, act).unwrap();
    let exposed: Vec<_> = world.peers[1].replica.sealed_to(&device).into_keys().collect();
    world.peers[1].replica.root_act(now, coalition, act, None).unwrap();
    let rotated = world.peers[1].replica.rotate_all(now, &exposed).unwrap();
    assert_eq!(rotated.len(), 1);
    world.drain(1);
    world.settle();
    // The new desk comes in through that peer.
    let expires = WallTime(now.wall.0 + 3_600_000);
    let invited = Invited::Agency;
    let invitation =
        world.peers[1].replica.invite(coalition, invited, expires, vec![], "").unwrap().value;
    world.drain(1);
    let request = JoinRequest {
        coalition,
        secret: invitation.secret,
        applicant: Applicant::Agency {
            name: "Agency 1".into(),
            country: *b"NE",
            desk: DeskCertificate::sign(&root(1), &keys(3), None),
        },
        kem: keys(3).kem_key().clone(),
    };
    world.peers[2].replica.join(invitation.inviter, request);
    world.connect(2, 1);
    world.settle();
    assert!(world.show(2, before).is_some());
    let own = world.write(2, shared, Class::Routine, &["own"])[0];
    let theirs = world.write(1, shared, Class::Routine, &["theirs"])[0];
    world.settle();
    assert!(world.show(1, own).is_some() && world.show(2, theirs).is_some());
    // What the revoked desk opens from then on reaches nobody who has heard.
    world.connect(0, 1);
    world.settle();
    assert!(world.show(0, theirs).is_none());
}

#[test]
fn what_its_readers_would_refuse_is_not_written() {
    let Stage { mut world, coalition, .. } = stage();
    let log = world.peers[0].replica.own_log(area(coalition), Class::Authority);
    let before = world.peers[0].replica.logbook().head(&log);
    let member = Member {
        no: AgencyNo(7),
        name: "x".repeat(NAME_BYTES_MAX + 1),
        country: "CM".into(),
        root: [7; 32],
    };
    let now = world.now();
    let act = Act::Admit { member, cites: Vec::new() };
    let refused = world.peers[0].replica.propose(now, coalition, act, None);
    assert!(matches!(refused, Err(ActError::Unreadable(_))), "{refused:?}");
    assert_eq!(world.peers[0].replica.logbook().head(&log), before);
}

#[test]
fn what_a_lost_device_opened_reaches_whoever_comes_later() {
    let mut world = World::new(4);
    let late = world.peers.split_off(2);
    let coalition = world.coalition();
    world.peers.extend(late);
    world.connect(1, 0);
    let link = world.join(coalition, 2, Invited::Device { history: true });
    world.settle();
    let opened = world.open(2, coalition, &[1, 2]);
    let record = world.write(0, opened, Class::Routine, &["kept"])[0];
    world.settle();
    world.cut(link);
    let opener = world.peers[2].replica.device();
    let now = world.now();
    let since = WallTime(u64::MAX);
    world.peers[0].replica.lost(now, coalition, opener, (since, KeepBy::OwnDates)).unwrap();
    world.drain(0);
    world.settle();
    assert!(world.peers[0].replica.coalition(coalition).unwrap().live(&opener).is_none());
    world.join(coalition, 3, Invited::Device { history: true });
    world.settle();
    assert!(world.peers[3].replica.compartment(opened).is_some());
    assert!(world.show(3, record).is_some());
    assert!(world.digests_equal(0, 3));
}

#[test]
fn entries_that_an_erasure_lists_are_destroyed_when_the_delay_is_over_without_the_genesis() {
    let mut world = World::new(2);
    let coalition = world.coalition_with_delay(72);
    world.meet(1, 0);
    let all = world.open(0, coalition, &[1, 2]);
    world.meet(1, 0);
    let record = world.write(0, all, Class::Routine, &["r"])[0];
    world.settle();
    let mut patch = Patch::default();
    patch.set(vec![Segment::Name("count".into())], 9.into());
    world.act(0, all, Class::Priority, vec![Draft::Edit { record, patch }]);
    world.settle();
    let now = world.now();
    let order = Word::Erase { basis: "order 7".into() };
    world.peers[0].replica.speak(now, record, &order).unwrap();
    world.drain(0);
    world.settle();
    let changes = world.peers[0].replica.own_log(all, Class::Priority);
    let statements = world.peers[0].replica.own_log(all, Class::Authority);
    for first_heard in [changes, statements] {
        // Peer 1 hears the statement first, or the entry that it lists, and nothing of the genesis.
        let clone = world.clone_of(1);
        let second = if first_heard == changes { statements } else { changes };
        let link = Link(900);
        link_as(&mut world, clone, 1, link);
        let area = tag(&world, clone, 1, all);
        for log in [first_heard, second] {
            let frames = runs(&world, 0, clone, &log, area);
            frames.into_iter().for_each(|frame| world.inject(clone, link, frame));
        }
        let whole = |world: &World| {
            let replica = &world.peers[clone].replica;
            let entry = replica.logbook().entry(replica.store(), &changes, 0).unwrap();
            entry.unwrap().payload.is_some()
        };
        assert!(whole(&world), "hidden, and not yet destroyed");
        world.wait(71 * 3_600_000);
        world.input(clone, Input::Tick);
        assert!(whole(&world));
        world.wait(2 * 3_600_000);
        world.input(clone, Input::Tick);
        assert!(!whole(&world));
    }
}
