//! A device that may write so many bytes of records: it stops there, and peers store no more of it.

use serde_json::{Value, json};
use tearline_crdt::document::{Patch, Segment};
use tearline_crdt::entry::run::{Head, NewEntry, VerifiedRun, write_segment};
use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::{AgencyNo, Class, CompartmentId, EpochId, Incarnation, LogId, RecordId};
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::shelf::Draft;
use tearline_crdt::statement::{Audience, Caveats, Right};
use tearline_crdt::time::WallTime;
use tearline_mesh::invitation::Invited;
use tearline_mesh::replica::KeepBy::Arrival;
use tearline_mesh::replica::{
    ActError, QUOTA_FLASH_BYTES, QUOTA_RECEIPTS_BYTES, Quota, REAUTHOR_AFTER_MS, Terms, Word,
};
use tearline_mesh::wire::Frame;
use tearline_mesh::{Input, Link};

use crate::forger::{link_as, log, run_frame, tag};
use crate::world::{World, draft, keys};

/// What the unit may write.
const QUOTA: u64 = 4_000;
/// The seed of its keys.
const UNIT: u8 = 3;

/// A desk, one of another agency, a unit of the first with a quota, and perhaps further ones without; all
/// are in touch with the first.
fn stage(peers: usize) -> (World, CompartmentId) {
    let mut world = World::new(peers);
    let units = world.peers.split_off(2);
    let coalition = world.coalition();
    world.peers.extend(units);
    world.connect(1, 0);
    for peer in 3..peers {
        world.join(coalition, peer, Invited::Device { history: false });
        world.settle();
    }
    let expires = WallTime(world.now().wall.0 + 3_600_000);
    let terms = Terms { right: Right::Write, caveats: limited(QUOTA) };
    let desk = &mut world.peers[0].replica;
    let invitation = desk.enrol(coalition, terms, expires, vec![], "").unwrap().value;
    world.drain(0);
    world.settle();
    let request = world.request(&invitation, 2);
    world.peers[2].replica.join(invitation.inviter, request);
    world.connect(2, 0);
    world.settle();
    let shared = world.open(0, coalition, &[1, 2]);
    world.settle();
    (world, shared)
}

fn limited(bytes: u64) -> Caveats {
    Caveats { quota_bytes: Some(bytes), ..Caveats::default() }
}

/// The desk lets the unit write in the compartment within these limits, too.
fn widen(world: &mut World, shared: CompartmentId, caveats: Caveats) {
    let (now, unit) = (world.now(), keys(UNIT).id());
    let desk = &mut world.peers[0].replica;
    let card = desk.compartment(shared).unwrap().devices()[&unit].card.clone();
    let audience = Audience::Device { agency: AgencyNo(1), card };
    desk.grant(now, shared, audience, Right::Write, caveats, None).unwrap();
    world.drain(0);
    world.settle();
}

/// What a peer knows of the unit's quota.
fn quota(world: &World, peer: usize, shared: CompartmentId) -> Option<Quota> {
    world.peers[peer].replica.quota(shared, &keys(UNIT).id(), Incarnation(1))
}

/// The unit writes records until it may not; those, and why it stopped.
fn write_all(world: &mut World, shared: CompartmentId) -> (Vec<RecordId>, ActError) {
    let mut written = Vec::new();
    loop {
        let now = world.now();
        let unit = &mut world.peers[2].replica;
        match unit.write(now, shared, Class::Routine, vec![draft("boat")]) {
            Ok(done) => written.push(done.value[0].record),
            Err(error) => return (written, error),
        }
        world.drain(2);
        world.settle();
    }
}

#[test]
fn a_device_writes_no_record_past_its_quota_and_answers_for_what_is_said_all_the_same() {
    let (mut world, shared) = stage(3);
    let (written, error) = write_all(&mut world, shared);
    let ActError::Quota { quota: of, left, needed } = error else { panic!("{error}") };
    assert!(written.len() > 2 && of == QUOTA && left < needed, "{error}");
    let used_bytes = QUOTA - left;
    for peer in 0..3 {
        let expected = Quota { bytes: QUOTA, used_bytes, flash_bytes: QUOTA_FLASH_BYTES };
        assert_eq!(quota(&world, peer, shared), Some(expected), "{peer}");
        assert!(written.iter().all(|record| world.show(peer, *record).is_some()), "{peer}");
    }
    // What is destroyed is not given back, and the unit says that it destroyed it.
    let others = world.write(0, shared, Class::Routine, &["car"; 40]);
    world.settle();
    for record in written.iter().chain(&others) {
        let now = world.now();
        let erase = Word::Erase { basis: "Article 17".into() };
        world.peers[0].replica.speak(now, *record, &erase).unwrap();
        world.drain(0);
        world.settle();
    }
    let after = quota(&world, 2, shared).unwrap();
    assert!(after.used_bytes > QUOTA && after.left_bytes() == 0, "{after:?}");
    assert_eq!((quota(&world, 0, shared), quota(&world, 1, shared)), (Some(after), Some(after)));
    assert!(world.digests_equal(0, 1) && world.digests_equal(0, 2));

    // A wider grant lets it go on, and who had stopped it is not asked twice.
    widen(&mut world, shared, limited(after.used_bytes + 2_000));
    let (more, error) = write_all(&mut world, shared);
    assert!(!more.is_empty() && matches!(error, ActError::Quota { .. }), "{error}");
    widen(&mut world, shared, Caveats::default());
    let last = world.write(2, shared, Class::Flash, &["no limit"])[0];
    world.settle();
    assert!(more.into_iter().chain([last]).all(|record| world.show(1, record).is_some()));
    assert_eq!(quota(&world, 1, shared), None);
}

/// At its quota a device still warns, withdraws and erases, and everybody takes that; the reserve has an end.
#[test]
fn a_device_at_its_quota_can_send_a_flash_and_take_away() {
    let (mut world, shared) = stage(3);
    let (written, _) = write_all(&mut world, shared);
    let before = quota(&world, 2, shared).unwrap();
    let warning = world.write(2, shared, Class::Flash, &["gunmen at the ford"])[0];
    world.settle();
    assert!((0..3).all(|peer| world.show(peer, warning).is_some()));
    let after = quota(&world, 2, shared).unwrap();
    assert_eq!(after.used_bytes, before.used_bytes, "it counts for nothing");
    assert!(after.flash_bytes < before.flash_bytes && before.flash_bytes == QUOTA_FLASH_BYTES);
    let now = world.now();
    world.peers[2].replica.speak(now, written[0], &Word::Recall).unwrap();
    world.drain(2);
    world.settle();
    assert!(world.show(1, written[0]).unwrap().state.recalled);
    // All of the reserve arrives, and then no more is written.
    let mut last = warning;
    let error = loop {
        let now = world.now();
        match world.peers[2].replica.write(now, shared, Class::Flash, vec![draft("again")]) {
            Ok(done) => last = done.value[0].record,
            Err(error) => break error,
        }
        world.drain(2);
        world.settle();
    };
    assert!(matches!(error, ActError::Quota { .. }), "{error}");
    assert!((0..2).all(|peer| world.show(peer, last).is_some()));
    let ended = quota(&world, 2, shared).unwrap();
    assert!(ended.flash_bytes < 2_000 && ended.used_bytes <= QUOTA, "{ended:?}");
    for peer in 0..2 {
        assert_eq!(quota(&world, peer, shared), Some(ended));
        assert!(world.peers[peer].replica.faults().is_empty());
    }
    world.crash(0);
    assert_eq!(quota(&world, 0, shared), Some(ended));
}

#[test]
fn a_quota_goes_on_through_a_restart_and_in_a_further_life() {
    let (mut world, shared) = stage(3);
    write_all(&mut world, shared);
    let before = quota(&world, 2, shared);
    world.crash(2);
    assert_eq!(quota(&world, 2, shared), before);
    let life = |n| world.peers[0].replica.quota(shared, &keys(UNIT).id(), Incarnation(n));
    assert_eq!((life(1), life(7)), (before, before));
}

fn edit(world: &mut World, peer: usize, (shared, case): (CompartmentId, RecordId), to: &Value) {
    let mut patch = Patch::default();
    patch.set(vec![Segment::Name("name".into())], to.clone());
    world.act(peer, shared, Class::Routine, vec![Draft::Edit { record: case, patch }]);
    world.settle();
}

#[test]
fn what_is_to_be_said_again_waits_for_a_wider_quota() {
    let (mut world, shared) = stage(4);
    let coalition = world.peers[0].replica.compartment(shared).unwrap().opening().coalition;
    let Draft::New { fields, label, .. } = draft("barge") else { unreachable!() };
    let case = Draft::New { kind: Kind::Case, fields, label };
    let case = world.act(0, shared, Class::Routine, vec![case])[0];
    world.settle();
    world.wait(60_000);
    let since = world.now().wall;
    edit(&mut world, 3, (shared, case), &json!("by the lost one"));
    edit(&mut world, 2, (shared, case), &json!("by the unit"));
    write_all(&mut world, shared);
    let (now, lost) = (world.now(), world.peers[3].replica.device());
    world.peers[0].replica.lost(now, coalition, lost, (since, Arrival)).unwrap();
    world.drain(0);
    world.settle();
    let later = |world: &mut World| {
        world.input(2, Input::Tick);
        world.wait(REAUTHOR_AFTER_MS);
        world.input(2, Input::Tick);
        world.settle();
        world.show(1, case).unwrap().fields["name"].clone()
    };
    assert_eq!(later(&mut world), json!("barge"));
    assert_eq!(later(&mut world), json!("barge"), "there is no room in its quota");
    widen(&mut world, shared, Caveats::default());
    assert_eq!(later(&mut world), json!("by the unit"));
}

/// What the unit writes in a life in which it heeds nothing, in runs of 200,000 bytes.
struct Hostile {
    log: LogId,
    head: Head,
}

impl Hostile {
    fn new(shared: CompartmentId, life: u64) -> Self {
        Self { log: log(shared, Class::Routine, UNIT, life), head: Head::EMPTY }
    }

    fn write(&mut self) -> VerifiedRun {
        let entry = |n| NewEntry {
            epoch: EpochId([7; 32]),
            sealed: vec![n; 60],
            key_box: None,
            payload: Some(vec![n; 50_000]),
        };
        let signer = keys(UNIT);
        let new = [entry(1), entry(2), entry(3), entry(4)];
        let run = write_segment(&self.log, &self.head, signer.signer(), &new).unwrap();
        self.head = *run.to();
        run
    }
}

fn held(world: &World, peer: usize, log: &LogId) -> u64 {
    world.peers[peer].replica.logbook().head(log).next
}

#[test]
fn peers_store_no_more_than_a_quota_of_who_heeds_none_until_it_is_widened() {
    let (mut world, shared) = stage(3);
    let area = tag(&world, 0, UNIT, shared);
    let link = Link(900);
    link_as(&mut world, 0, UNIT, link);
    let (mut first, mut second) = (Hostile::new(shared, 77), Hostile::new(shared, 78));
    let runs: Vec<VerifiedRun> = (0..8).map(|_| first.write()).collect();
    runs.iter().for_each(|run| world.inject(0, link, run_frame(area, run)));
    let most = QUOTA + QUOTA_RECEIPTS_BYTES;
    let fit = runs.iter().scan(0, |sum, run| {
        *sum += run.written();
        Some(*sum)
    });
    let fit = fit.take_while(|sum| *sum <= most).count();
    assert!(fit > 0 && fit < runs.len());
    let stored = 4 * fit as u64;
    assert_eq!((held(&world, 0, &first.log), held(&world, 1, &first.log)), (stored, stored));
    // Another life has no quota of its own, and an authority log has none at all.
    let other = second.write();
    world.inject(0, link, run_frame(area, &other));
    assert_eq!(held(&world, 0, &second.log), 0);
    for peer in 0..2 {
        let replica = &world.peers[peer].replica;
        assert!(replica.faults().is_empty() && world.peers[peer].closed.is_empty(), "{peer}");
        assert_eq!(
            replica.quota(shared, &keys(UNIT).id(), Incarnation(78)).unwrap().left_bytes(),
            0
        );
    }

    world.peers[0].sent.clear();
    widen(&mut world, shared, limited(10_000_000));
    let asks = |log: &LogId| {
        let key = LogKey::of(log);
        let frames = world.peers[0].sent.iter().map(|bytes| Frame::decode(bytes).unwrap());
        let mut asked = frames.filter_map(|frame| match frame {
            Frame::Positions { positions, .. } => Some(positions),
            _ => None,
        });
        asked.any(|leaves| leaves.iter().any(|leaf| leaf.key == key))
    };
    assert!(asks(&first.log) && asks(&second.log), "what was refused is asked for");
    for run in runs[fit..].iter().chain([&other]) {
        world.inject(0, link, run_frame(area, run));
    }
    for peer in 0..2 {
        assert_eq!((held(&world, peer, &first.log), held(&world, peer, &second.log)), (32, 4));
    }
    assert!(world.digests_equal(0, 1));
}
