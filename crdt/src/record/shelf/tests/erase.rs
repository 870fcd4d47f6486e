//! Erasing: whatever the order of arrival, nothing that an erased record held is left, nothing else
//! is touched, and the chain is as it was.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::*;
use super::history::{Act, Change, Delivery, Step, World, deliveries, histories};
use super::peer::{COMPARTMENT, Peer, Picture, Planted, divergence};
use super::step;
use crate::entry::run::{NewEntry, write_segment};
use crate::id::{EntryId, Incarnation, StatementId};
use crate::keys::Signer;
use crate::logbook::StoredEntry;
use crate::logbook::find::Search;
use crate::record::receipt::{self, Answer, Outcome, Receipt, Receipts};

const STATEMENT: StatementId = StatementId([7; 32]);

/// All entries of a peer, and the record of those that it can open.
fn entries(peer: &Peer) -> BTreeMap<(LogId, u64), (StoredEntry, Option<RecordId>)> {
    let mut all = BTreeMap::new();
    for (log, state) in peer.logbook.logs() {
        for seq in 0..state.head.next {
            let entry = peer.logbook.entry(&peer.store, log, seq).unwrap().unwrap();
            let header = peer.keys.get(&entry.epoch).and_then(|keys| {
                let cipher = LogCipher::new(*log, entry.epoch, keys.clone());
                cipher.open_header(seq, &entry.sealed, entry.box_hash.as_ref()).ok()
            });
            all.insert((*log, seq), (entry, header.map(|header| header.record)));
        }
    }
    all
}

/// The picture without a record.
fn others(peer: &mut Peer, erased: RecordId) -> Picture {
    let mut picture = peer.picture();
    picture.records.remove(&erased);
    picture
}

/// What a peer must be like once a record is erased; `whole` has all entries as they were written.
fn check(
    peer: &mut Peer,
    whole: &BTreeMap<(LogId, u64), (StoredEntry, Option<RecordId>)>,
    erased: RecordId,
) {
    assert!(!peer.shelf.has_erasures(&peer.logbook));
    for (place, (before, record)) in whole {
        let after = peer.logbook.entry(&peer.store, &place.0, place.1).unwrap().unwrap();
        let mut expected = before.clone();
        if *record == Some(erased) {
            expected.detached = before.payload.is_some() || before.key_box.is_some();
            (expected.payload, expected.key_box) = (None, None);
        }
        assert_eq!(after, expected, "{place:?}");
    }
    assert!(peer.show(erased).is_none());
    assert!(!peer.shows(&erased));
    let stone = *peer.shelf.tombstone(&erased).unwrap();
    assert_eq!(stone.statement, STATEMENT);
    peer.restart();
    assert_eq!(peer.shelf.tombstone(&erased), Some(&stone));
    assert_eq!(peer.genesis_of(erased), Some(stone.genesis));
}

fn play(history: &[Step], which: u8) -> Option<(World, RecordId, EntryId)> {
    let mut world = World::play(history);
    let record = *world.records.get(usize::from(which) % world.records.len().max(1))?;
    let genesis = world.archive.genesis_of(record)?;
    assert_eq!(world.archive.show(record)?.genesis, genesis);
    Some((world, record, genesis))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_erased_record_leaves_nothing_but_its_place(
        history in histories(),
        delivery in deliveries(),
        which in any::<u8>(),
        named in prop::collection::vec(any::<bool>(), 64),
    ) {
        let Some((mut world, record, genesis)) = play(&history, which) else { return Ok(()) };
        let whole = entries(&world.archive);
        let kept = others(&mut world.archive, record);

        // One learns of it before anything arrives, by an erasure that names some of the entries.
        let of_record = whole.values().filter(|(_, of)| *of == Some(record));
        let named = of_record.zip(&named).filter(|(_, named)| **named).map(|((e, _), _)| e.id);
        world.roll.erased = named.chain([genesis]).collect();
        world.roll.states.insert(genesis, RecordState {
            erased: Some(STATEMENT),
            ..RecordState::default()
        });
        let before = world.deliver(&delivery, &[], Planted::Nothing);
        // One that has everything, and one that has everything and is interrupted.
        let after = std::mem::replace(&mut world.archive, Peer::new(&world.roll, Planted::Nothing));
        let mut interrupted = Peer::new(&after.roll, Planted::Nothing);
        interrupted.open_epochs();
        for log in whole.keys().map(|(log, _)| *log).collect::<BTreeSet<_>>() {
            while interrupted.pull(&after, &log, 64).is_some() {}
        }
        let mut pictures = vec![("all that was".to_owned(), kept)];
        for (name, mut peer) in
            [("before", before), ("after", after), ("interrupted", interrupted)]
        {
            if name != "before" {
                prop_assert!(peer.erase(record, genesis, STATEMENT));
                prop_assert!(!peer.erase(record, genesis, STATEMENT));
                prop_assert!(peer.show(record).is_none() && !peer.shows(&record), "at once");
            }
            if name == "interrupted" {
                peer.restart();
                prop_assert!(peer.shelf.has_erasures(&peer.logbook));
            }
            peer.destroy();
            check(&mut peer, &whole, record);
            pictures.push((name.to_owned(), others(&mut peer, record)));
        }
        prop_assert_eq!(divergence(&pictures), None);
    }

    /// A relay opens nothing. It is told ids.
    #[test]
    fn a_relay_destroys_what_is_named(
        history in histories(),
        named in prop::collection::vec(any::<bool>(), 64),
    ) {
        let world = World::play(&history);
        let whole = entries(&world.archive);
        let mut relay = Peer::new(&world.roll, Planted::Nothing);
        relay.keys.clear();
        for log in whole.keys().map(|(log, _)| *log).collect::<BTreeSet<_>>() {
            while relay.pull(&world.archive, &log, 64).is_some() {}
        }
        let chosen = whole.values().zip(&named).filter(|(_, named)| **named);
        let ids: BTreeSet<EntryId> = chosen.map(|((entry, _), _)| entry.id).collect();
        let mut search = Search::new(ids.clone());
        while !search.is_over() {
            let found = search.go_on(&relay.store, &relay.logbook, &COMPARTMENT, 2).unwrap();
            let mut batch = Batch::default();
            relay.shelf.erase_entries(&relay.logbook, &mut batch, found.into_values());
            relay.store.apply(batch).unwrap();
        }
        relay.destroy();
        for ((log, seq), (before, _)) in &whole {
            let after = relay.logbook.entry(&relay.store, log, *seq).unwrap().unwrap();
            prop_assert_eq!(after.payload.is_none(), ids.contains(&before.id));
            prop_assert_eq!(after.id, before.id);
        }
        // Whoever reads takes what the relay forwards, and says of the rest what he would have.
        let mut reader = Peer::new(&world.roll, Planted::Nothing);
        reader.open_epochs();
        for log in whole.keys().map(|(log, _)| *log).collect::<BTreeSet<_>>() {
            while reader.pull(&relay, &log, 64).is_some() {}
            prop_assert_eq!(reader.logbook.head(&log), world.archive.logbook.head(&log));
        }
    }
}

/// A log that says more of a record than a listing takes: the rest is looked for, a part in each
/// batch, and goes on where it was interrupted.
#[test]
fn what_is_not_listed_is_found() {
    let forge = Act::Forge { record: 0, kind: 5, on: None, label: 1 };
    let mut history = vec![step(0, Class::Routine, false, vec![Act::New(Kind::Case, 0)])];
    let steps = (ENTRIES_PER_LOG_MAX + 600) / 200;
    history.extend((0..steps).map(|_| step(1, Class::Routine, false, vec![forge.clone(); 200])));
    history.push(step(1, Class::Routine, false, vec![Act::New(Kind::Case, 1)]));
    let (mut world, record, genesis) = play(&history, 0).unwrap();
    let whole = entries(&world.archive);
    let peer = &mut world.archive;
    assert!(peer.erase(record, genesis, STATEMENT));
    let mut batches = 0;
    while peer.shelf.has_erasures(&peer.logbook) {
        peer.destroy_some();
        peer.restart();
        batches += 1;
    }
    assert!(batches > ENTRIES_PER_LOG_MAX / erase::DETACHED_PER_BATCH_MAX);
    check(peer, &whole, record);
    assert_eq!(peer.records().len(), 2);
}

/// The last batch asks the store to forget, and none before it.
#[test]
fn the_last_batch_forgets() {
    let edit = |n| Act::Edit { record: 0, change: Change::Set(0, n) };
    let mut history = vec![step(0, Class::Routine, false, vec![Act::New(Kind::Case, 0)])];
    history.extend((0..3).map(|n| step(n, Class::Routine, false, vec![edit(n)])));
    let (mut world, record, genesis) = play(&history, 0).unwrap();
    assert!(world.archive.erase(record, genesis, STATEMENT));
    let mut forgets = Vec::new();
    while world.archive.shelf.has_erasures(&world.archive.logbook) {
        forgets.push(world.archive.destroy_some());
    }
    assert_eq!(forgets, [false, false, true], "three logs");
}

/// Somebody puts an entry into his own log that is to begin another's record, and has it erased: it begins
/// a record of its own, and is destroyed; the other's is not.
#[test]
fn a_false_genesis_erases_nothing_of_others() {
    let forge = Act::Forge { record: 0, kind: 1, on: None, label: 1 };
    let history = [
        step(0, Class::Routine, false, vec![Act::New(Kind::Case, 0)]),
        step(1, Class::Routine, false, vec![forge]),
    ];
    let (mut world, record, genesis) = play(&history, 0).unwrap();
    let fields = world.archive.show(record).unwrap().fields;
    let (forged, _) = entries(&world.archive)
        .into_values()
        .find(|(entry, of)| of.is_some_and(|of| of != record) && entry.id != genesis)
        .unwrap();
    world
        .roll
        .states
        .insert(forged.id, RecordState { erased: Some(STATEMENT), ..RecordState::default() });
    world.roll.erased.insert(forged.id);
    for turns in [&[0u8, 1][..], &[1, 0]] {
        let delivery: Vec<Delivery> = super::one_by_one(turns);
        let mut peer = world.deliver(&delivery, &[], Planted::Nothing);
        assert!(peer.shelf.tombstone(&record).is_none());
        assert_eq!(peer.show(record).unwrap().fields, fields);
        let after = entries(&peer).into_values().find(|(entry, _)| entry.id == forged.id);
        assert!(after.is_some_and(|(entry, _)| entry.payload.is_none() && entry.key_box.is_none()));
    }
}

#[test]
fn a_restricted_record_shows_no_content_until_that_is_lifted() {
    let edit = |n| vec![Act::Edit { record: 0, change: Change::Set(0, n) }];
    let history = [
        step(0, Class::Routine, false, vec![Act::New(Kind::Case, 1)]),
        step(1, Class::Routine, false, edit(1)),
    ];
    let (mut world, record, genesis) = play(&history, 0).unwrap();
    let open = world.archive.show(record).unwrap();
    assert!(!open.fields.is_empty() && open.state == RecordState::default());
    let row = world.archive.row(&record);
    let restricted = RecordState { restricted: true, recalled: true, erased: None };

    // Known before anything came, with and without an edit behind the genesis.
    world.roll.states.insert(genesis, restricted);
    let mut early = world.deliver(&[], &[], Planted::Nothing);
    // Stated when all of it was there.
    world.archive.roll.states.insert(genesis, restricted);
    world.archive.restate(record);
    for peer in [&mut world.archive, &mut early] {
        let hidden = peer.show(record).unwrap();
        assert_eq!((hidden.state, hidden.label.clone()), (restricted, open.label.clone()));
        assert_eq!((hidden.origin, hidden.kind), (open.origin, open.kind));
        assert!(hidden.fields.is_empty() && hidden.conflicts.is_empty());
        assert!(hidden.entries.iter().all(|entry| entry.fields.is_empty()));
        let row = peer.row(&record);
        assert!(row.restricted && row.recalled && !row.conflicted && row.fields() == "{}");

        peer.roll.states.insert(genesis, RecordState { recalled: true, ..RecordState::default() });
        peer.restate(record);
        let lifted = peer.show(record).unwrap();
        assert_eq!(lifted.fields, open.fields);
        assert!(lifted.state.recalled && peer.row(&record).recalled);
    }
    let after = world.archive.row(&record);
    assert_eq!(after.fields(), row.fields());
    assert!(after.version == row.version + 2);
}

/// Clear entries are taken from devices that open nothing, by peers that open nothing.
#[test]
fn receipts_are_kept_by_statement_and_device() {
    let signer = Signer::from_seed(&[42; 32]);
    let log = LogId {
        compartment: COMPARTMENT,
        class: Class::Routine,
        device: DeviceId(signer.public()),
        incarnation: Incarnation(1),
    };
    let list: Vec<Receipt> = (1..=70u8)
        .map(|n| Receipt { statement: StatementId([n; 32]), outcome: Outcome::Destroyed })
        .collect();
    let mut entries = Receipts::entries(WallTime(5), list.clone());
    // A clear entry of a kind to come is kept, and says nothing.
    let unknown = NewEntry { sealed: vec![200, 1, 2], ..entries[0].clone() };
    entries.push(unknown);
    let run = write_segment(&log, &crate::entry::run::Head::EMPTY, &signer, &entries).unwrap();
    for keys in [true, false] {
        let mut peer = Peer::new(&World::play(&[]).roll, Planted::Nothing);
        if !keys {
            peer.keys.clear();
        }
        assert!(peer.take(&run));
        for receipt in &list {
            let answers = receipt::answers(&peer.store, &receipt.statement).unwrap();
            let answer = Answer { outcome: receipt.outcome, wall: WallTime(5) };
            assert_eq!(answers, BTreeMap::from([(log.device, answer)]));
        }
        let other = receipt::answers(&peer.store, &StatementId([99; 32])).unwrap();
        assert!(other.is_empty());
        assert_eq!(peer.store.keys(Space::Waiting), 0);
        let mut next = Peer::new(&peer.roll, Planted::Nothing);
        assert!(next.pull(&peer, &log, 9).is_some());
    }
}
