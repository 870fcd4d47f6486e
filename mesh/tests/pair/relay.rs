//! A blind relay: what it forwards, what it lets go of, and what peers are told of that.

use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::{AgencyNo, Class, CoalitionId, CompartmentId, DeviceId, RecordId};
use tearline_crdt::statement::{Audience, Caveats, Right};
use tearline_crdt::store::{Space, Store as _};
use tearline_crdt::time::WallTime;
use tearline_mesh::replica::{PeerState, RelayTerms, Terms};
use tearline_mesh::wire::Frame;

use crate::world::{World, protocol_bytes};

const RELAY: usize = 2;
const HOUR_MS: u64 = 3_600_000;
/// What is sent when two peers meet that are in sync.
const IN_SYNC_BYTES_MAX: usize = 40;

const WIDE: RelayTerms = RelayTerms { quota_bytes: u64::MAX, retention_ms: 30 * 24 * HOUR_MS };

/// Two agencies in a compartment, and a device of the first that may relay.
fn relayed(terms: RelayTerms) -> (World, CompartmentId) {
    let mut world = World::new(3);
    let coalition = founded(&mut world);
    enrol(&mut world, coalition, 0, RELAY);
    let shared = world.open(0, coalition, &[1, 2]);
    keep_house(&mut world, terms);
    for _ in 0..2 {
        world.meet(0, RELAY);
        world.meet(1, RELAY);
    }
    assert!(world.peers[RELAY].replica.only_relays());
    (world, shared)
}

fn keep_house(world: &mut World, terms: RelayTerms) {
    let wall = world.now().wall;
    world.peers[RELAY].replica.relay(wall, terms).unwrap();
}

/// A desk takes a device in that may relay.
fn enrol(world: &mut World, coalition: CoalitionId, desk: usize, device: usize) {
    let expires = WallTime(world.now().wall.0 + HOUR_MS);
    let grant = Terms { right: Right::Relay, caveats: Caveats::default() };
    let act = world.peers[desk].replica.enrol(coalition, grant, expires, vec![], "").unwrap();
    world.drain(desk);
    world.settle();
    let request = world.request(&act.value, device);
    world.peers[device].replica.join(act.value.inviter, request);
    world.meet(device, desk);
}

/// Peers 0 and 1 are agencies of a coalition.
fn founded(world: &mut World) -> CoalitionId {
    let others = world.peers.split_off(2);
    let coalition = world.coalition();
    world.peers.extend(others);
    world.meet(1, 0);
    coalition
}

fn write(world: &mut World, id: CompartmentId, class: Class, count: usize) -> Vec<RecordId> {
    write_by(world, 0, id, class, count)
}

fn write_by(
    world: &mut World,
    peer: usize,
    id: CompartmentId,
    class: Class,
    count: usize,
) -> Vec<RecordId> {
    let mut records = Vec::new();
    for n in 0..count {
        let name = format!("{n} {}", "long ".repeat(200));
        records.extend(world.write(peer, id, class, &[&name]));
        world.settle();
    }
    records
}

fn state(world: &World, peer: usize, of: usize) -> PeerState {
    let device = world.peers[of].replica.device();
    let peers = world.peers[peer].replica.peers();
    peers.into_iter().find(|state| state.device == device).unwrap()
}

fn begins(world: &World, id: CompartmentId, class: Class, author: DeviceId) -> (u64, u64) {
    let logs = world.peers[RELAY].replica.logbook().logs_of(id);
    let mut of = logs.filter(|(log, _)| (log.class, log.device) == (class, author));
    of.next().map_or((0, 0), |(_, state)| (state.begins.next, state.head.next))
}

fn shown(world: &mut World, peer: usize, records: &[RecordId]) -> usize {
    records.iter().filter(|record| world.show(peer, **record).is_some()).count()
}

/// Over the link by which it joined, too, whoever dialled that.
#[test]
fn a_relay_that_just_joined_is_in_sync() {
    for dialer in [0, RELAY] {
        a_relay_that_just_joined_by_a_link_is_in_sync(dialer);
    }
}

fn a_relay_that_just_joined_by_a_link_is_in_sync(dialer: usize) {
    let mut world = World::new(3);
    let coalition = founded(&mut world);
    world.open(0, coalition, &[1, 2]);
    keep_house(&mut world, WIDE);
    let expires = WallTime(world.now().wall.0 + HOUR_MS);
    let grant = Terms { right: Right::Relay, caveats: Caveats::default() };
    let act = world.peers[0].replica.enrol(coalition, grant, expires, vec![], "").unwrap();
    world.drain(0);
    world.settle();
    let request = world.request(&act.value, RELAY);
    world.peers[RELAY].replica.join(act.value.inviter, request);
    world.connect(dialer, RELAY - dialer);
    world.settle();
    for (peer, of) in [(RELAY, 0), (0, RELAY)] {
        let state = state(&world, peer, of);
        assert!(state.live && state.in_sync, "{peer}: {state:?}");
    }
    world.connect(1, RELAY);
    world.settle();
    for (peer, of) in [(RELAY, 1), (1, RELAY)] {
        let state = state(&world, peer, of);
        assert!(state.live && state.in_sync, "{peer}: {state:?}");
    }
}

#[test]
fn peers_that_never_meet_share_records_through_a_relay_that_reads_none() {
    let (mut world, shared) = relayed(WIDE);
    let records = write(&mut world, shared, Class::Routine, 5);
    world.meet(0, RELAY);
    world.meet(1, RELAY);
    assert_eq!(shown(&mut world, 1, &records), 5);
    assert_eq!(shown(&mut world, RELAY, &records), 0);
    let relay = &world.peers[RELAY].replica;
    let mut keys = 0;
    let count = &mut |_: &[u8], _: &[u8]| {
        keys += 1;
        std::ops::ControlFlow::Continue(())
    };
    relay.store().scan(Space::Secrets, &[], &[], count).unwrap();
    assert_eq!(keys, 0, "a relay has no epoch's keys");
    assert_eq!(relay.relay_state().unwrap().evicted_bytes, 0);
    // What is in sync stays so, through the relay, for 40 bytes.
    for peer in [0, 1] {
        for (dialer, listener) in [(peer, RELAY), (RELAY, peer)] {
            world.meet(dialer, listener);
            world.peers.iter_mut().for_each(|peer| peer.sent.clear());
            world.meet(dialer, listener);
            let sent: usize = world.peers.iter().map(|peer| protocol_bytes(&peer.sent)).sum();
            assert!(sent <= IN_SYNC_BYTES_MAX, "{sent}");
        }
    }
}

#[test]
fn a_relay_of_another_agency_serves_a_compartment_that_names_it() {
    let mut world = World::new(4);
    let device = world.peers.pop().unwrap();
    let coalition = world.coalition();
    world.peers.push(device);
    (1..3).for_each(|peer| world.meet(peer, 0));
    enrol(&mut world, coalition, 2, 3);
    for _ in 0..2 {
        (1..4).for_each(|peer| world.meet(peer, 0));
    }
    let shared = world.open(0, coalition, &[1, 2]);
    // All devices of that agency may relay it now; those that may do more are not told of it.
    let (now, to) = (world.now(), Audience::Agency(AgencyNo(3)));
    let replica = &mut world.peers[0].replica;
    replica.grant(now, shared, to, Right::Relay, Caveats::default(), None).unwrap();
    world.drain(0);
    world.settle();
    (1..4).for_each(|peer| world.meet(peer, 0));
    let records = write(&mut world, shared, Class::Priority, 2);
    world.meet(0, 3);
    world.meet(1, 3);
    world.meet(2, 3);
    assert!(world.peers.iter().all(|peer| peer.replica.faults().is_empty()));
    assert_eq!((shown(&mut world, 1, &records), shown(&mut world, 3, &records)), (2, 0));
    assert!(world.peers[2].replica.compartment(shared).is_none());
    assert!(world.peers[3].replica.compartment(shared).is_some());
}

#[test]
fn over_its_quota_a_relay_lets_go_of_the_least_urgent_and_oldest_and_says_so() {
    let quota_bytes = 24 * 1024;
    let (mut world, shared) = relayed(RelayTerms { quota_bytes, ..WIDE });
    let author = world.peers[0].replica.device();
    let flash = write(&mut world, shared, Class::Flash, 3);
    let routine = write(&mut world, shared, Class::Routine, 40);
    let link = world.connect(0, RELAY);
    world.settle();
    assert!(state(&world, 0, RELAY).in_sync, "the writer lacks nothing");
    world.cut(link);
    let house = world.peers[RELAY].replica.relay_state().unwrap();
    assert!(house.held_bytes <= quota_bytes && house.evicted_bytes > 0, "{house:?}");
    let (first, end) = begins(&world, shared, Class::Routine, author);
    assert!(0 < first && first < end, "{first} of {end}");
    assert_eq!(begins(&world, shared, Class::Flash, author), (0, 3));

    // Who lacks the beginning gets what is whole, and knows what is missing.
    world.peers[RELAY].sent.clear();
    let link = world.connect(1, RELAY);
    world.settle();
    assert_eq!((shown(&mut world, 1, &flash), shown(&mut world, 1, &routine)), (3, 0));
    let theirs = state(&world, 1, RELAY);
    assert!(theirs.live && !theirs.in_sync && theirs.gone == 1, "{theirs:?}");
    assert!(!state(&world, RELAY, 1).in_sync);
    let key = LogKey::of(&world.peers[0].replica.own_log(shared, Class::Routine));
    let of_routine = |bytes: &Vec<u8>| {
        let frame = Frame::decode(bytes).unwrap();
        matches!(frame, Frame::Run { key: of, .. } if of == key)
    };
    // What comes of it is not sent there in vain.
    let late = write(&mut world, shared, Class::Routine, 1);
    world.connect(0, RELAY);
    world.settle();
    assert!(!world.peers[RELAY].sent.iter().any(of_routine));
    // It comes from whoever has it, and then the relay has no more to say.
    world.meet(1, 0);
    world.settle();
    assert_eq!(shown(&mut world, 1, &routine) + shown(&mut world, 1, &late), 41);
    let theirs = state(&world, 1, RELAY);
    assert!(theirs.in_sync, "{theirs:?}");
    world.cut(link);
    assert!(world.digests_equal(1, RELAY));
    assert!(world.peers.iter().all(|peer| peer.replica.faults().is_empty()));
}

#[test]
fn who_has_the_beginning_gets_the_rest() {
    let (mut world, shared) = relayed(RelayTerms { quota_bytes: 12 * 1024, ..WIDE });
    let early = write(&mut world, shared, Class::Routine, 10);
    world.meet(0, RELAY);
    world.meet(1, RELAY);
    let late = write(&mut world, shared, Class::Routine, 10);
    world.meet(0, RELAY);
    let author = world.peers[0].replica.device();
    let (begin, house) =
        (begins(&world, shared, Class::Routine, author), world.peers[RELAY].replica.relay_state());
    assert!(begin.0 > 0, "{begin:?} {house:?}");
    world.crash(RELAY);
    world.meet(1, RELAY);
    assert_eq!(shown(&mut world, 1, &early) + shown(&mut world, 1, &late), 20);
    assert!(world.digests_equal(1, RELAY));
}

#[test]
fn what_is_past_its_time_goes_and_statements_stay() {
    let (mut world, shared) = relayed(RelayTerms { retention_ms: 48 * HOUR_MS, ..WIDE });
    let author = world.peers[0].replica.device();
    write(&mut world, shared, Class::Flash, 2);
    world.meet(0, RELAY);
    world.wait(40 * HOUR_MS);
    write(&mut world, shared, Class::Routine, 2);
    world.meet(0, RELAY);
    world.wait(20 * HOUR_MS);
    world.input(RELAY, tearline_mesh::Input::Tick);
    world.settle();
    assert_eq!(begins(&world, shared, Class::Flash, author), (2, 2));
    assert_eq!(begins(&world, shared, Class::Routine, author), (0, 2));
    let (first, end) = begins(&world, shared, Class::Authority, author);
    assert!(first == 0 && end > 0);
    // A start later nothing else is counted, and the rest goes in its time.
    let held = world.peers[RELAY].replica.relay_state().unwrap().held_bytes;
    world.crash(RELAY);
    keep_house(&mut world, WIDE);
    assert_eq!(world.peers[RELAY].replica.relay_state().unwrap().held_bytes, held);
}

#[test]
fn while_all_that_is_held_is_more_urgent_the_less_urgent_waits_with_its_sender() {
    let quota_bytes = 11 * 1024;
    let (mut world, shared) = relayed(RelayTerms { quota_bytes, retention_ms: HOUR_MS });
    let author = world.peers[0].replica.device();
    write(&mut world, shared, Class::Flash, 9);
    world.meet(0, RELAY);
    write(&mut world, shared, Class::Routine, 9);
    let link = world.connect(0, RELAY);
    world.settle();
    let house = world.peers[RELAY].replica.relay_state().unwrap();
    assert!(house.is_full && house.held_bytes <= quota_bytes, "{house:?}");
    let (first, end) = begins(&world, shared, Class::Routine, author);
    assert!(end < 9 && first <= end);
    assert!(!state(&world, 0, RELAY).in_sync);
    // When the urgent ones are past their time, it is asked for.
    world.wait(3 * HOUR_MS);
    world.input(RELAY, tearline_mesh::Input::Tick);
    world.settle();
    assert_eq!(begins(&world, shared, Class::Routine, author).1, 9);
    world.cut(link);
    assert!(world.peers.iter().all(|peer| peer.replica.faults().is_empty()));
}

#[test]
fn what_was_here_before_a_peer_became_a_relay_is_counted() {
    let (mut world, shared) = relayed(WIDE);
    let author = world.peers[0].replica.device();
    write(&mut world, shared, Class::Routine, 20);
    world.meet(0, RELAY);
    let held = world.peers[RELAY].replica.relay_state().unwrap().held_bytes;
    world.crash(RELAY);
    let terms = RelayTerms { quota_bytes: held / 2, ..WIDE };
    keep_house(&mut world, terms);
    assert_eq!(world.peers[RELAY].replica.relay_state().unwrap().held_bytes, held);
    world.input(RELAY, tearline_mesh::Input::Tick);
    world.settle();
    assert!(world.peers[RELAY].replica.relay_state().unwrap().held_bytes <= held / 2);
    assert!(begins(&world, shared, Class::Routine, author).0 > 0);
}

#[test]
fn what_passes_while_a_relay_is_off_counts_too() {
    let terms = RelayTerms { retention_ms: 48 * HOUR_MS, ..WIDE };
    let (mut world, shared) = relayed(terms);
    let author = world.peers[0].replica.device();
    write(&mut world, shared, Class::Routine, 2);
    world.meet(0, RELAY);
    // Off for longer than half the retention, once and again: a clock that is ahead empties nothing at once.
    for expected in [0, 0, 2] {
        world.wait(60 * HOUR_MS);
        world.crash(RELAY);
        keep_house(&mut world, terms);
        world.input(RELAY, tearline_mesh::Input::Tick);
        world.settle();
        assert_eq!(begins(&world, shared, Class::Routine, author).0, expected);
    }
}

#[test]
fn an_agency_that_floods_a_relay_pushes_out_nothing_of_anothers_part() {
    let quota_bytes = 24 * 1024;
    let (mut world, shared) = relayed(RelayTerms { quota_bytes, ..WIDE });
    let modest = world.peers[1].replica.device();
    let flooder = world.peers[0].replica.device();
    let records = write_by(&mut world, 1, shared, Class::Routine, 3);
    world.meet(1, RELAY);
    // More urgent, later, and more than there is room for.
    write(&mut world, shared, Class::Flash, 40);
    world.meet(0, RELAY);
    let house = world.peers[RELAY].replica.relay_state().unwrap();
    assert!(house.held_bytes <= quota_bytes && house.evicted_bytes > 0, "{house:?}");
    assert_eq!(begins(&world, shared, Class::Routine, modest), (0, 3));
    let (first, end) = begins(&world, shared, Class::Flash, flooder);
    assert!(0 < first && first < end, "{first} of {end}");
    world.meet(0, RELAY);
    assert_eq!(shown(&mut world, 0, &records), 3);
    // Within its part it comes in however urgent all is that is held.
    write_by(&mut world, 1, shared, Class::Routine, 3);
    world.meet(1, RELAY);
    assert_eq!(begins(&world, shared, Class::Routine, modest), (0, 6));
}

/// A relay cannot see what an entry is about: it leaves out by class and time, and nobody else tells it more by what it
/// is not sent.
#[test]
fn a_relay_leaves_out_by_class_and_time_alone_and_learns_nothing_by_what_it_lacks() {
    let (mut world, shared) = relayed(WIDE);
    let device = |world: &World, peer: usize| world.peers[peer].replica.device();
    let wants = |world: &mut World, peer: usize, of: usize, text: &str| {
        let of = device(world, of);
        let interest = Some(text.parse().unwrap());
        world.peers[peer].replica.set_interest(of, interest).unwrap();
        world.drain(peer);
        world.settle();
    };
    let aside = |world: &World, peer: usize| {
        world.peers[peer].replica.left_aside(&|_| true).values().sum::<u64>()
    };
    wants(&mut world, RELAY, 0, "kind=case");
    wants(&mut world, 1, RELAY, "kind=case,class>=priority");
    world.connect(1, RELAY);
    world.settle();
    let told = world.peers[RELAY].replica.interest_of(&device(&world, 1)).unwrap().to_string();
    assert_eq!(told, "class>=priority", "what is wanted is not for it to know");
    let link = world.link(1, RELAY);
    world.cut(link);
    let priority = write(&mut world, shared, Class::Priority, 1);
    let old = write(&mut world, shared, Class::Routine, 2);
    world.meet(0, RELAY);
    assert_eq!(aside(&world, RELAY), 0, "no kind is judged of what it cannot open");
    world.meet(1, RELAY);
    assert!(world.show(1, priority[0]).is_some() && world.show(1, old[0]).is_none());
    assert_eq!(aside(&world, 1), 2);
    world.wait(HOUR_MS);
    let since = world.now().wall;
    let new = write(&mut world, shared, Class::Routine, 1);
    world.meet(0, RELAY);
    wants(&mut world, 1, RELAY, &format!("since={since}"));
    world.meet(1, RELAY);
    assert!(world.show(1, new[0]).is_some());
    assert_eq!(aside(&world, 1), 2);
    // Whoever can open them has them, too.
    world.meet(1, 0);
    assert_eq!(aside(&world, 1), 0);
    assert!(old.iter().all(|record| world.show(1, *record).is_some()));
    for peer in &world.peers {
        assert!(peer.replica.faults().is_empty());
    }
}
