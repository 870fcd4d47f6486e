//! Peers that came late: they lack the keys of the first epoch, and read on by what rebases disclose.

use proptest::prelude::*;

use super::super::open::REBASES_PER_LOG_MAX;
use super::super::{Quarantine, RecordState};
use super::history::{Act, Change, Delivery, History, Move, Rewrite, Step, World};
use super::history::{deliveries, histories, moves};
use super::peer::{Peer, Picture, Said, divergence};
use super::*;
use crate::bounds::CHANGE_OPS_MAX;
use crate::entry::sealed::EntryKind;
use crate::id::{EntryId, RecordId, StatementId};
use crate::seal::Key;

fn new(device: u8) -> Step {
    step(device, Class::Routine, false, vec![Act::New(Kind::Case, 2)])
}

fn edit(device: u8, late: bool, change: Change) -> Step {
    step(device, Class::Routine, late, vec![Act::Edit { record: 0, change }])
}

/// A record of two devices under the first epoch, and an edit by a third under the second.
fn old_record() -> History {
    vec![
        new(0),
        edit(1, false, Change::Set(0, 1)),
        step(0, Class::Immediate, false, vec![Act::Edit { record: 0, change: Change::Set(1, 2) }]),
        step(0, Class::Routine, false, vec![Act::Label { record: 0, label: 2 }]),
        edit(2, true, Change::Set(2, 3)),
    ]
}

/// What newcomers say in these orders of arrival, and started anew. They agree.
fn newcomers(world: &World, turns: &[Vec<Delivery>], last: &[Move]) -> Picture {
    let mut pictures = Vec::new();
    for (n, deliveries) in turns.iter().enumerate() {
        let mut peer = world.deliver_to_newcomer(deliveries, last);
        pictures.push((format!("newcomer {n}"), peer.picture()));
        peer.restart();
        pictures.push((format!("newcomer {n}, started anew"), peer.picture()));
    }
    assert_eq!(divergence(&pictures), None);
    pictures.swap_remove(0).1
}

fn orders() -> [Vec<Delivery>; 4] {
    [&[0, 1, 2, 3][..], &[3, 2, 1, 0], &[2, 3, 0, 1], &[3, 0, 2]].map(one_by_one)
}

fn said(picture: &Picture, record: RecordId) -> &Said {
    picture.records[&record].0.as_ref().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn newcomers_agree_and_come_to_what_all_say_when_they_are_given_history(
        history in histories(),
        deliveries in prop::collection::vec(deliveries(), 3),
        last in moves(),
    ) {
        let mut world = World::play_before(&history, true);
        world.settle(&last);
        let mut pictures = Vec::new();
        let mut whole = vec![("archive".to_owned(), world.archive.picture())];
        for (n, deliveries) in deliveries.iter().enumerate() {
            let mut peer = world.deliver_to_newcomer(deliveries, &last);
            if peer.keys.len() == 1 {
                pictures.push((format!("newcomer {n}"), peer.picture()));
                peer.restart();
                pictures.push((format!("newcomer {n}, started anew"), peer.picture()));
            }
            peer.open_epochs();
            whole.push((format!("newcomer {n}, with history"), peer.picture()));
        }
        prop_assert_eq!(divergence(&pictures), None);
        prop_assert_eq!(divergence(&whole), None);
    }
}

#[test]
fn an_edited_record_is_read_whole_with_who_wrote_what() {
    let mut world = World::play_before(&old_record(), true);
    let record = world.records[0];
    let whole = world.archive.picture();
    let picture = newcomers(&world, &orders(), &[]);
    assert_eq!(said(&picture, record), said(&whole, record), "as who has all keys");
    let entries = &said(&picture, record).entries;
    assert!(entries.values().all(|entry| entry.3 == Verdict::Materialised), "{entries:?}");
    let kinds: Vec<u8> = entries.values().map(|entry| entry.1.0).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == EntryKind::REBASE.0).count(), 1);
    assert_eq!(entries.len(), 6);
}

#[test]
fn a_record_that_nobody_edits_stays_closed() {
    let mut history = old_record();
    history.push(step(1, Class::Routine, false, vec![Act::New(Kind::Case, 1)]));
    let world = World::play_before(&history, true);
    let picture = newcomers(&world, &orders(), &[]);
    assert_eq!(picture.records.len(), 1);
    assert_eq!((world.records.len(), picture.records.contains_key(&world.records[0])), (2, true));
}

#[test]
fn what_all_can_open_is_not_disclosed_again() {
    let mut history = old_record();
    history.push(edit(0, true, Change::Set(0, 7)));
    history.push(step(1, Class::Routine, true, vec![Act::Label { record: 0, label: 3 }]));
    let rebases = |history: &[Step]| {
        let mut world = World::play_before(history, true);
        let record = world.records[0];
        let entries = world.archive.show(record).unwrap().entries;
        entries.iter().filter(|entry| entry.kind == EntryKind::REBASE).count()
    };
    assert_eq!(rebases(&history), 1);
    // Another entry under the first epoch has to be.
    history.insert(6, edit(3, false, Change::Set(1, 8)));
    assert_eq!(rebases(&history), 2);
    let world = World::play_before(&history, true);
    let picture = newcomers(&world, &orders(), &[]);
    let entries = &said(&picture, world.records[0]).entries;
    assert!(entries.values().all(|entry| entry.3 == Verdict::Materialised), "{entries:?}");
}

#[test]
fn a_quarantined_rebase_discloses_nothing() {
    let history = old_record();
    let world = World::play_before(&history, true);
    let record = world.records[0];
    let log = world.log(2, Class::Routine);
    let picture = newcomers(&world, &orders(), &[Move::Limit(log, 0)]);
    assert_eq!(picture.records[&record], (None, None));
    // Only what came after it does not count.
    let picture = newcomers(&world, &orders(), &[Move::Limit(log, 1)]);
    assert_eq!(said(&picture, record).entries.values().filter(|e| is_closed(&e.3)).count(), 1);
    // It counts again.
    newcomers(&world, &orders(), &[Move::Limit(log, 0), Move::NoLimit(log)]);
    // What it discloses is quarantined.
    let log = world.log(1, Class::Routine);
    let picture = newcomers(&world, &orders(), &[Move::Limit(log, 0)]);
    let entries = &said(&picture, record).entries;
    let verdicts = |is: fn(&Verdict) -> bool| entries.values().filter(|e| is(&e.3)).count();
    assert_eq!((verdicts(is_closed), verdicts(|v| *v == Verdict::Waiting)), (1, 2));
}

fn is_closed(verdict: &Verdict) -> bool {
    *verdict == Verdict::Quarantined(Quarantine::Closed)
}

#[test]
fn many_entries_take_several_rebases() {
    let mut history = vec![new(0)];
    for n in 0..30u8 {
        let device = n % 2;
        let labels = (0..20).map(|n| Act::Label { record: 0, label: n % 4 });
        history.extend(labels.map(|act| step(device, Class::Routine, false, vec![act])));
    }
    history.push(edit(2, true, Change::Set(0, 1)));
    let mut world = World::play_before(&history, true);
    let record = world.records[0];
    let entries = world.archive.show(record).unwrap().entries;
    assert_eq!(entries.iter().filter(|entry| entry.kind == EntryKind::REBASE).count(), 2);
    let picture = newcomers(&world, &[vec![], one_by_one(&[2, 0])], &[]);
    let whole = world.archive.picture();
    assert_eq!(said(&picture, record).fields(), said(&whole, record).fields());
    let entries = |picture: &Picture| said(picture, record).entries.clone();
    assert_eq!(entries(&picture).len(), entries(&whole).len());
    assert!(said(&picture, record) == said(&whole, record));
}

/// Records that one run discloses are built anew up to the bound of a pass, and the others later, also
/// after a restart.
#[test]
fn what_a_run_discloses_is_judged_up_to_a_bound_of_work_and_the_rest_later() {
    const LARGE: usize = 5;
    const FILLS: usize = 9;
    let of_all = |device: u8, late: bool, act: &dyn Fn(u16) -> Act| {
        step(device, Class::Routine, late, (0..LARGE as u16).map(act).collect())
    };
    let mut history = vec![of_all(0, false, &|n| Act::New(Kind::Case, n as u8))];
    for fill in 0..FILLS {
        let fills = Change::Fill((CHANGE_OPS_MAX - 1 - fill) as u16);
        history.push(of_all(0, false, &|record| Act::Edit { record, change: fills.clone() }));
    }
    let edits = |record| Act::Edit { record, change: Change::Set(0, 7) };
    history.push(of_all(2, true, &edits));
    let world = World::play_before(&history, true);
    let mut peer = Peer::newcomer(&world.roll);
    let mut logs: Vec<_> = world.archive.logbook.logs().map(|(log, _)| *log).collect();
    // What is disclosed comes first; it is longer than what discloses it.
    logs.sort_by_key(|log| std::cmp::Reverse(world.archive.logbook.head(log).next));
    for log in &logs {
        while peer.pull(&world.archive, log, 256).is_some() {}
    }
    let shown = |peer: &Peer| peer.rows();
    assert!((1..LARGE).contains(&shown(&peer)), "{} of {LARGE}", shown(&peer));
    peer.restart();
    while peer.judge_later() {}
    assert_eq!(shown(&peer), LARGE);
    let mut other = world.deliver_to_newcomer(&[], &[]);
    let pictures = [("in pieces", peer.picture()), ("in another order", other.picture())];
    assert_eq!(divergence(&pictures.map(|(name, picture)| (name.to_owned(), picture))), None);
}

#[test]
fn a_lie_changes_nothing_for_who_has_the_keys_and_opens_nothing_else() {
    let honest = World::play_before(&old_record(), true);
    let record = honest.records[0];
    let before = newcomers(&honest, &orders(), &[]);
    let lies: [(&str, &Rewrite); 8] = [
        ("another key", &|all| all.iter_mut().for_each(|d| d.key = Key::new([7; 32]))),
        ("another place", &|all| all.iter_mut().for_each(|d| d.entries[0].0 += 1)),
        ("a log that is not there", &|all| all[0].log.incarnation.0 += 1),
        ("another run", &|all| each(all, |header| header.run += 1)),
        ("a change that is a label", &|all| each(all, |header| header.kind = EntryKind::LABEL)),
        ("another time", &|all| each(all, |header| header.wall.0 += 1)),
        ("another dependency", &|all| each(all, |header| header.deps.push(EntryId([7; 32])))),
        ("a rebase", &|all| each(all, |header| header.kind = EntryKind::REBASE)),
    ];
    for (lie, rewrite) in lies {
        let mut history = old_record();
        history.truncate(4);
        let mut world = World::play_before(&history, true);
        let whole = said(&world.archive.picture(), record).fields().to_owned();
        world.lie(3, record, rewrite);
        assert_eq!(said(&world.archive.picture(), record).fields(), whole, "{lie}");
        newcomers(&world, &orders(), &[]);
        // An honest one beside it tells the truth, whichever comes first.
        world.act(&edit(2, true, Change::Set(2, 3)));
        let picture = newcomers(&world, &orders(), &[]);
        let heads = |picture: &Picture| said(picture, record).fields().to_owned();
        assert_eq!(heads(&picture), heads(&before), "{lie}");
    }
}

fn each(
    all: &mut [crate::record::rebase::Disclosure],
    change: fn(&mut super::super::SealedHeader),
) {
    all.iter_mut().flat_map(|one| &mut one.entries).for_each(|(_, header)| change(header));
}

#[test]
fn of_one_log_only_so_many_rebases_disclose() {
    let mut history = old_record();
    history.truncate(4);
    let mut world = World::play_before(&history, true);
    let record = world.records[0];
    for _ in 0..REBASES_PER_LOG_MAX {
        world.lie(3, record, &|all| {
            all.iter_mut().for_each(|one| one.key = Key::new([7; 32]));
        });
    }
    let picture = newcomers(&world, &[vec![]], &[]);
    assert!(picture.records[&record].0.is_none());
    world.lie(3, record, &|_| {});
    let picture = newcomers(&world, &[vec![]], &[]);
    assert!(picture.records[&record].0.is_none(), "one too many in that log");
    world.lie(2, record, &|_| {});
    let picture = newcomers(&world, &[vec![]], &[]);
    assert!(picture.records[&record].0.is_some());
}

#[test]
fn an_erased_record_is_destroyed_where_it_was_disclosed() {
    let world = World::play_before(&old_record(), true);
    let record = world.records[0];
    for order in orders() {
        let mut peer = world.deliver_to_newcomer(&order, &[]);
        let genesis = peer.show(record).unwrap().genesis;
        assert!(peer.erase(record, genesis, StatementId([5; 32])));
        assert!(!peer.shows(&record));
        peer.destroy();
        peer.restart();
        assert!(peer.show(record).is_none());
        assert_eq!(payloads(&peer), 0);
    }
}

#[test]
fn a_record_that_was_erased_before_it_was_disclosed_is_destroyed_at_once() {
    let mut world = World::play_before(&old_record(), true);
    let record = world.records[0];
    let genesis = world.archive.show(record).unwrap().genesis;
    let state = RecordState { erased: Some(StatementId([5; 32])), ..RecordState::default() };
    world.roll.states.insert(genesis, state);
    world.roll.erased.insert(genesis);
    for order in orders() {
        let mut peer = world.deliver_to_newcomer(&order, &[]);
        peer.destroy();
        assert!(peer.show(record).is_none() && !peer.shows(&record));
    }
}

/// How many entries have their payload.
fn payloads(peer: &Peer) -> usize {
    let mut held = 0;
    for (log, _) in peer.logbook.logs() {
        peer.logbook
            .entries(&peer.store, log, 0, &mut |_, entry| {
                held += usize::from(entry.payload.is_some());
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
    }
    held
}
