//! Bundles: posts without any link that carry what they have to each other by hand.

use std::collections::BTreeMap;

use tearline_crdt::entropy::SeededEntropy;
use tearline_crdt::entry::run::{Head as LogHead, write_segment};
use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::{Class, CompartmentId, LogId, RecordId};
use tearline_crdt::record::receipt::{self, Outcome};
use tearline_crdt::time::WallTime;
use tearline_mesh::bundle::{BundleError, Head, Reader, Writer, tag};
use tearline_mesh::invitation::Invited;
use tearline_mesh::replica::KeepBy::Arrival;
use tearline_mesh::replica::{Exchanged, NotRead, Packed, Since, Taken, Word};
use tearline_mesh::wire::Frame;
use tearline_mesh::{Event, Input, Link, PeerFault};

use crate::forger::{log, run_frame, sealed, shared};
use crate::world::{World, keys};

const MIB: u64 = 1024 * 1024;

/// What a peer makes for some others, which takes at most so many bytes.
fn make(
    world: &mut World,
    from: usize,
    to: &[usize],
    since: Since,
    bytes_max: u64,
) -> (Vec<u8>, Packed) {
    make_of(world, from, to, (since, None), bytes_max)
}

/// The same, of what is wanted.
fn make_of(
    world: &mut World,
    from: usize,
    to: &[usize],
    (since, wanted): (Since, Option<&BTreeMap<LogId, u64>>),
    bytes_max: u64,
) -> (Vec<u8>, Packed) {
    world.wait(1_000);
    let made = world.peers[from].replica.time_of_bundle(world.now().wall);
    let own = keys(from as u8 + 1);
    let devices: Vec<_> = to.iter().map(|peer| world.peers[*peer].replica.device()).collect();
    let replica = &mut world.peers[from].replica;
    let agreements: Vec<_> = devices.iter().map(|d| replica.agreement_of(d).unwrap()).collect();
    let mut entropy = SeededEntropy::new(made.0);
    let mut writer =
        Writer::begin(Vec::new(), &own, &agreements, made, bytes_max, &mut entropy).unwrap();
    let name = writer.head().name;
    let mut packing = replica.begin_packing(devices, since, name, wanted).unwrap();
    loop {
        let frames = replica.pack(&mut packing, writer.room()).unwrap();
        if frames.is_empty() {
            break;
        }
        frames.iter().for_each(|frame| writer.frame(frame).unwrap());
    }
    let file = writer.finish().unwrap();
    replica.note_packed(&packing, made).unwrap();
    let packed = replica.packed(&packing);
    world.drain(from);
    world.settle();
    (file, packed)
}

fn head(file: &[u8], by: usize) -> Head {
    *Reader::begin(file, &keys(by as u8 + 1)).unwrap().head()
}

/// What a peer takes from a bundle, and at what its reading ended before the file's end.
fn take(world: &mut World, by: usize, file: &[u8]) -> (Taken, Option<BundleError>) {
    let mut reader = Reader::begin(file, &keys(by as u8 + 1)).unwrap();
    let link = world.peers[by].replica.begin_reading(reader.head()).unwrap();
    let error = loop {
        match reader.frame() {
            Ok(Some(bytes)) => world.input(by, Input::Frame { link, bytes }),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
        if world.peers[by].replica.reading(link).unwrap().fault.is_some() {
            break None;
        }
    };
    let taken = world.peers[by].replica.end_reading(link, error.is_none()).unwrap();
    world.drain(by);
    world.settle();
    (taken, error)
}

/// A bundle of all that there is to say, and what became of it.
fn carry(world: &mut World, from: usize, to: usize) -> Taken {
    let (file, packed) = make(world, from, &[to], Since::Last, 64 * MIB);
    assert_eq!(packed.left, 0);
    let (taken, error) = take(world, to, &file);
    assert!(error.is_none(), "{error:?}");
    taken
}

fn sound(taken: Taken) -> bool {
    let Taken { gap, other_branch, refused, stale, fault, .. } = taken;
    (gap, other_branch, refused, stale, fault) == (0, 0, 0, false, None)
}

fn shown(world: &mut World, by: usize, records: &[RecordId]) -> usize {
    records.iter().filter(|record| world.show(by, **record).is_some()).count()
}

fn write_many(world: &mut World, by: usize, id: CompartmentId, count: usize) -> Vec<RecordId> {
    write_long(world, by, id, count, 10)
}

/// Records of so many bytes and some.
fn write_long(
    world: &mut World,
    by: usize,
    id: CompartmentId,
    count: usize,
    bytes: usize,
) -> Vec<RecordId> {
    let long = "n".repeat(bytes);
    let mut records = Vec::new();
    for n in 0..count {
        records.extend(world.write(by, id, Class::Routine, &[&format!("{n} {long}")]));
        world.settle();
    }
    records
}

#[test]
fn posts_without_a_link_end_with_the_same_and_then_carry_only_receipts() {
    let (mut world, all) = shared(2);
    let ours = write_many(&mut world, 0, all, 20);
    let theirs = write_many(&mut world, 1, all, 10);
    let there = carry(&mut world, 0, 1);
    assert!(sound(there) && there.new >= 20, "{there:?}");
    let back = carry(&mut world, 1, 0);
    assert!(sound(back) && back.new >= 10 && back.held == 0, "theirs alone: {back:?}");
    assert!(world.digests_equal(0, 1));
    assert_eq!(shown(&mut world, 1, &ours), 20);
    assert_eq!(shown(&mut world, 0, &theirs), 10);
    // What follows has nothing to carry but where each is.
    for (from, to) in [(0, 1), (1, 0)] {
        let (file, packed) = make(&mut world, from, &[to], Since::Last, MIB);
        assert_eq!((packed.entries.len(), packed.left), (0, 0));
        assert!(file.len() < 70_000, "{}", file.len());
        assert_eq!(take(&mut world, to, &file).0, Taken::default());
        let made = head(&file, to).made;
        let device = |peer: usize| keys(peer as u8 + 1).id();
        let sent = world.peers[from].replica.exchanged()[&device(to)].sent;
        let received = world.peers[to].replica.exchanged()[&device(from)].received;
        assert_eq!((sent, received), (Some(made), Some(made)));
    }
    // And over a link they find that they are equal.
    world.peers.iter_mut().for_each(|peer| peer.sent.clear());
    world.meet(0, 1);
    let bytes: usize = world.peers.iter().flat_map(|peer| &peer.sent).map(Vec::len).sum();
    assert!(bytes <= 40, "{bytes} bytes");
    assert!(world.peers.iter().all(|peer| peer.replica.faults().is_empty()));
}

#[test]
fn the_later_bundle_is_known_whatever_its_makers_clock_did() {
    let (mut world, all) = shared(2);
    world.clock_error_ms = 1_000_000_000;
    carry(&mut world, 1, 0);
    world.clock_error_ms = -1_000_000_000;
    write_many(&mut world, 0, all, 2);
    carry(&mut world, 0, 1);
    assert!(sound(carry(&mut world, 1, 0)), "it is not taken for an old one");
    assert!(make(&mut world, 0, &[1], Since::Heard, MIB).1.entries.is_empty());
}

#[test]
fn what_is_known_of_a_post_survives_power_cuts() {
    let (mut world, all) = shared(2);
    write_many(&mut world, 0, all, 5);
    carry(&mut world, 0, 1);
    carry(&mut world, 1, 0);
    let before: Vec<_> = world.peers.iter().map(|p| p.replica.exchanged().clone()).collect();
    world.crash(0);
    world.crash(1);
    let after: Vec<_> = world.peers.iter().map(|p| p.replica.exchanged().clone()).collect();
    assert_eq!(before, after);
    let (_, packed) = make(&mut world, 0, &[1], Since::Last, MIB);
    assert!(packed.entries.is_empty(), "{packed:?}");
    let (_, packed) = make(&mut world, 0, &[1], Since::Start, MIB);
    assert!(packed.entries[&Class::Routine] >= 5);
}

#[test]
fn a_compartment_that_its_reader_never_heard_of_comes_with_its_keys_and_records() {
    let mut world = World::new(3);
    let coalition = world.coalition();
    (1..3).for_each(|peer| world.meet(peer, 0));
    let both = world.open(0, coalition, &[1, 2]);
    let records = write_many(&mut world, 0, both, 3);
    let taken = carry(&mut world, 0, 1);
    assert!(sound(taken), "{taken:?}");
    assert_eq!(shown(&mut world, 1, &records), 3);
}

#[test]
fn what_not_all_recipients_may_have_is_left_out_and_named() {
    let mut world = World::new(3);
    let coalition = world.coalition();
    (1..3).for_each(|peer| world.meet(peer, 0));
    let both = world.open(0, coalition, &[1, 2]);
    let all = world.open(0, coalition, &[1, 2, 3]);
    let secret = write_many(&mut world, 0, both, 3);
    let open = write_many(&mut world, 0, all, 2);
    let (file, packed) = make(&mut world, 0, &[1, 2], Since::Last, 64 * MIB);
    assert_eq!(packed.unshared, [both]);
    for by in [1, 2] {
        assert!(sound(take(&mut world, by, &file).0));
        assert_eq!((shown(&mut world, by, &secret), shown(&mut world, by, &open)), (0, 2));
    }
    // Of another's compartment not even its name is in it.
    let name = head(&file, 2).name;
    let mut reader = Reader::begin(&file[..], &keys(3)).unwrap();
    while let Some(frame) = reader.frame().unwrap() {
        assert!(!frame.windows(8).any(|part| part == tag(&name, &both)));
        assert!(!frame.windows(32).any(|part| part == both.0));
    }
    let taken = carry(&mut world, 0, 1);
    assert!(sound(taken));
    assert_eq!(shown(&mut world, 1, &secret), 3);
}

#[test]
fn a_small_bundle_carries_the_most_urgent_first_and_the_next_goes_on() {
    let (mut world, all) = shared(2);
    let routine = write_long(&mut world, 0, all, 70, 4_000);
    let flash = world.write(0, all, Class::Flash, &["flash"]);
    world.settle();
    let mut rounds = 0;
    loop {
        let (file, packed) = make(&mut world, 0, &[1], Since::Last, 70_000);
        let (taken, error) = take(&mut world, 1, &file);
        assert!(error.is_none() && sound(taken) && file.len() <= 70_000, "{taken:?} {error:?}");
        assert_eq!(shown(&mut world, 1, &flash), 1, "in the first");
        rounds += 1;
        let here = shown(&mut world, 1, &routine);
        assert_eq!(packed.left == 0, here == 70);
        if packed.left == 0 {
            break;
        }
    }
    assert!(rounds > 3, "{rounds}");
}

#[test]
fn a_torn_bundle_gives_what_is_before_and_the_whole_one_the_rest() {
    let (mut world, all) = shared(2);
    let records = write_long(&mut world, 0, all, 100, 5_000);
    let (file, _) = make(&mut world, 0, &[1], Since::Last, 64 * MIB);
    let received = |world: &World| {
        let made = world.peers[1].replica.exchanged().values().next().copied();
        made.and_then(|last: Exchanged| last.received)
    };
    let mut before = 0;
    for end in (file.len() * 3 / 10..file.len()).step_by(file.len() / 5) {
        let (taken, error) = take(&mut world, 1, &file[..end]);
        assert!(matches!(error, Some(BundleError::Torn { at }) if at == end as u64));
        assert!(sound(taken), "{taken:?}");
        let here = shown(&mut world, 1, &records);
        assert!(here >= before && here < 100, "{here} after {before}");
        before = here;
        assert_eq!(received(&world), None, "it was not read to its end");
    }
    assert!(before > 20, "{before}");
    let (taken, error) = take(&mut world, 1, &file);
    assert!(sound(taken) && error.is_none());
    assert_eq!(shown(&mut world, 1, &records), 100);
    assert_eq!(received(&world), Some(head(&file, 1).made));
}

#[test]
fn a_replayed_bundle_changes_nothing_and_an_older_one_no_receipt() {
    let (mut world, all) = shared(2);
    write_many(&mut world, 0, all, 3);
    carry(&mut world, 0, 1);
    let (first, _) = make(&mut world, 1, &[0], Since::Last, MIB);
    write_many(&mut world, 0, all, 2);
    carry(&mut world, 0, 1);
    let (second, _) = make(&mut world, 1, &[0], Since::Last, MIB);
    take(&mut world, 0, &second);
    let rest = |world: &mut World| make(world, 0, &[1], Since::Heard, MIB).1;
    assert!(rest(&mut world).entries.is_empty());
    for old in [&second, &first] {
        let (taken, _) = take(&mut world, 0, old);
        assert_eq!((taken.new, taken.stale, taken.fault), (0, true, None));
        assert!(rest(&mut world).entries.is_empty(), "it is still known to be there");
    }
    let device = keys(2).id();
    let received = world.peers[0].replica.exchanged()[&device].received;
    assert_eq!(received, Some(head(&second, 0).made));
}

#[test]
fn bundles_out_of_order_leave_a_gap_that_is_said_and_a_receipt_closes() {
    let (mut world, all) = shared(2);
    let mut records = write_many(&mut world, 0, all, 3);
    let (lost, _) = make(&mut world, 0, &[1], Since::Last, MIB);
    records.extend(write_many(&mut world, 0, all, 4));
    let (late, _) = make(&mut world, 0, &[1], Since::Last, MIB);
    let (taken, _) = take(&mut world, 1, &late);
    assert_eq!((taken.gap, taken.fault), (4, None), "{taken:?}");
    assert_eq!(shown(&mut world, 1, &records), 0);
    // The receipt says that the first never came; then it comes after all.
    let taken = carry(&mut world, 1, 0);
    assert!(sound(taken));
    let (again, packed) = make(&mut world, 0, &[1], Since::Last, MIB);
    assert!(packed.entries[&Class::Routine] >= 7, "{packed:?}");
    take(&mut world, 1, &again);
    assert_eq!(shown(&mut world, 1, &records), 7);
    let (taken, _) = take(&mut world, 1, &lost);
    assert_eq!((taken.new, taken.held > 0), (0, true));
}

#[test]
fn what_came_over_a_link_meanwhile_overlaps_and_is_taken_once() {
    let (mut world, all) = shared(2);
    write_many(&mut world, 0, all, 10);
    let (file, _) = make(&mut world, 0, &[1], Since::Start, MIB);
    world.meet(1, 0);
    let more = write_many(&mut world, 0, all, 6);
    let (longer, _) = make(&mut world, 0, &[1], Since::Start, MIB);
    let (taken, _) = take(&mut world, 1, &file);
    assert!(sound(taken) && taken.new == 0 && taken.held >= 10, "{taken:?}");
    let (taken, _) = take(&mut world, 1, &longer);
    assert!(sound(taken) && taken.new == 6 && taken.held >= 10, "{taken:?}");
    assert_eq!(shown(&mut world, 1, &more), 6);
    assert!(world.digests_equal(0, 1));
}

#[test]
fn posts_with_two_branches_of_a_log_learn_of_the_fork_by_bundles() {
    for (common, ours, clones) in [(0, 5, 5), (3, 5, 2), (3, 2, 5)] {
        let (mut world, all) = shared(4);
        write_many(&mut world, 3, all, common);
        (1..3).for_each(|peer| world.meet(peer, 3));
        let clone = world.clone_of(3);
        for (author, hearer, count) in [(3, 1, ours), (clone, 2, clones)] {
            write_many(&mut world, author, all, count);
            world.meet(hearer, author);
        }
        let forked = world.peers[3].replica.own_log(all, Class::Routine);
        let taken = carry(&mut world, 1, 2);
        assert!(taken.other_branch >= ours as u64 && taken.fault.is_none(), "{taken:?}");
        assert_eq!(world.peers[2].count(|event| *event == Event::Forked(forked)), 1, "at once");
        for _ in 0..3 {
            carry(&mut world, 1, 2);
            carry(&mut world, 2, 1);
        }
        for peer in [1, 2] {
            let state = world.peers[peer].replica.logbook().state(&forked).unwrap();
            assert_eq!(state.proven_at, Some(common as u64), "{common}");
            assert_eq!(world.peers[peer].count(|event| *event == Event::Forked(forked)), 1);
            assert!(world.peers[peer].replica.counted_faults().is_empty());
        }
        assert!(world.digests_equal(1, 2), "{common}");
    }
}

#[test]
fn what_follows_on_another_branch_is_said_to_and_nobody_is_blamed() {
    let (mut world, all) = shared(4);
    let clone = world.clone_of(3);
    write_many(&mut world, clone, all, 9);
    world.meet(2, clone);
    write_many(&mut world, 3, all, 4);
    world.meet(1, 3);
    make(&mut world, 1, &[2], Since::Last, MIB);
    write_many(&mut world, 3, all, 2);
    world.meet(1, 3);
    // It begins where the lost one ended, on a branch that its reader does not hold, before and at its end.
    for _ in 0..2 {
        let (file, packed) = make(&mut world, 1, &[2], Since::Last, MIB);
        assert_eq!(packed.entries.values().sum::<u64>(), 2);
        let (taken, _) = take(&mut world, 2, &file);
        assert_eq!((taken.other_branch, taken.new, taken.fault), (2, 0, None), "{taken:?}");
        write_many(&mut world, 3, all, 2);
        world.meet(1, 3);
    }
    assert!(world.peers[2].replica.faults().is_empty());
}

#[test]
fn an_erasure_goes_there_by_hand_and_its_receipt_comes_back() {
    let (mut world, all) = shared(2);
    let record = write_many(&mut world, 0, all, 1)[0];
    carry(&mut world, 0, 1);
    assert!(world.show(1, record).is_some());
    let now = world.now();
    let word = Word::Erase { basis: "Article 17".into() };
    let said = world.peers[0].replica.speak(now, record, &word).unwrap().value;
    world.drain(0);
    world.settle();
    assert!(sound(carry(&mut world, 0, 1)));
    assert!(world.show(1, record).is_none());
    assert!(sound(carry(&mut world, 1, 0)));
    let answers = receipt::answers(world.peers[0].replica.store(), &said).unwrap();
    assert_eq!(answers[&keys(2).id()].outcome, Outcome::Destroyed);
}

#[test]
fn who_has_no_standing_or_another_key_is_not_read_and_changes_nothing() {
    let (mut world, all) = shared(3);
    write_many(&mut world, 0, all, 2);
    let (file, _) = make(&mut world, 0, &[1], Since::Last, MIB);
    let good = head(&file, 1);
    let replica = &mut world.peers[1].replica;
    let stranger = Head { maker: keys(50).id(), agreement: keys(50).agreement(), ..good };
    assert_eq!(replica.begin_reading(&stranger), Err(NotRead::Stranger));
    let other = Head { agreement: keys(3).agreement(), ..good };
    assert_eq!(replica.begin_reading(&other), Err(NotRead::OtherKey));
    assert!(replica.faults().is_empty() && replica.exchanged().is_empty());
}

#[test]
fn a_post_whose_standing_ended_is_neither_packed_for_nor_read() {
    let mut world = World::new(3);
    let unit = world.peers.pop().unwrap();
    let coalition = world.coalition();
    world.peers.push(unit);
    let link = world.join(coalition, 2, Invited::Device { history: false });
    world.settle();
    world.cut(link);
    let (file, _) = make(&mut world, 2, &[0], Since::Last, MIB);
    let (device, now) = (keys(3).id(), world.now());
    assert!(world.peers[0].replica.agreement_of(&device).is_some());
    let name = head(&file, 0).name;
    let shared = world.open(0, coalition, &[1, 2]);
    let replica = &mut world.peers[0].replica;
    let mut packing = replica.begin_packing(vec![device], Since::Start, name, None).unwrap();
    replica.lost(now, coalition, device, (now.wall, Arrival)).unwrap();
    assert!(replica.pack(&mut packing, MIB).unwrap().is_empty(), "not even what was begun");
    assert_eq!(replica.agreement_of(&device), None);
    assert_eq!(replica.begin_reading(&head(&file, 0)), Err(NotRead::Stranger));
    assert!(replica.compartment(shared).is_some());
}

/// A peer reads what device 1 wrote into a bundle.
fn read_frames(world: &mut World, by: usize, frames: &[Vec<u8>]) -> Taken {
    world.wait(1_000);
    let own = keys(1);
    let to = [keys(by as u8 + 1).agreement()];
    let made = world.now().wall;
    let mut entropy = SeededEntropy::new(3);
    let mut writer = Writer::begin(Vec::new(), &own, &to, made, MIB, &mut entropy).unwrap();
    frames.iter().for_each(|frame| writer.frame(frame).unwrap());
    take(world, by, &writer.finish().unwrap()).0
}

/// What an area is called in the bundle that [`read_frames`] writes next.
fn next_tag(world: &World, by: usize, id: CompartmentId) -> [u8; 8] {
    let own = keys(1);
    let made = WallTime(world.now().wall.0 + 1_000);
    let to = [keys(by as u8 + 1).agreement()];
    let mut entropy = SeededEntropy::new(3);
    let writer = Writer::begin(Vec::new(), &own, &to, made, MIB, &mut entropy).unwrap();
    tag(&writer.head().name, &id)
}

#[test]
fn what_its_maker_did_wrong_is_held_against_it_and_ends_the_reading() {
    let (mut world, all) = shared(2);
    let id = log(all, Class::Priority, 1, 9);
    let run = write_segment(&id, &LogHead::EMPTY, keys(1).signer(), &[sealed(1)]).unwrap();
    let mut run = Frame::decode(&run_frame([0; 8], &run)).unwrap();
    let set_area = |frame: &mut Frame, tag: [u8; 8]| {
        if let Frame::Run { area, .. } = frame {
            *area = tag;
        }
    };
    set_area(&mut run, next_tag(&world, 1, all));
    let good = run.encode();
    let mut bad = run.clone();
    if let Frame::Run { entries, .. } = &mut bad {
        *entries.last_mut().unwrap() ^= 1;
    }
    let mut later = run.clone();
    if let Frame::Run { first, .. } = &mut later {
        *first = 1;
    }
    let after = Frame::After { head: [1; 8] }.encode();
    let key = LogKey([9; 16]);
    let wrong: [(&str, Vec<Vec<u8>>); 7] = [
        ("bad-signature", vec![bad.encode()]),
        ("out-of-turn", vec![Frame::Same.encode()]),
        ("out-of-turn", vec![Frame::Have { area: [1; 8], logs: vec![(key, 1)] }.encode()]),
        ("out-of-turn", vec![later.encode()]),
        ("out-of-turn", vec![after.clone(), good.clone()]),
        ("out-of-turn", vec![after.clone(), after]),
        ("malformed-frame", vec![vec![250]]),
    ];
    for (n, (name, frames)) in wrong.into_iter().enumerate() {
        let bad = read_frames(&mut world, 1, &[frames, vec![good.clone()]].concat());
        assert_eq!(bad.fault.map(|fault: PeerFault| fault.name()), Some(name), "{n}");
        assert_eq!(bad.new, 0, "{n}: nothing after it is read");
        let counted: u64 = world.peers[1].replica.faults()[&keys(1).id()].values().sum();
        assert_eq!(counted, n as u64 + 1);
        assert!(world.peers[1].closed.is_empty(), "there is no link to close");
    }
    set_area(&mut run, next_tag(&world, 1, all));
    let again = read_frames(&mut world, 1, &[run.encode(), run.encode()]);
    assert_eq!((again.new, again.held, again.fault), (1, 1, None));
    assert!(world.peers[1].replica.peers().is_empty(), "a bundle is no peer");
    // What is of bundles alone is out of turn on a link.
    let link = world.connect(0, 1);
    world.settle();
    world.inject(1, link, Frame::After { head: [1; 8] }.encode());
    let fault = world.peers[1].closed.last().unwrap().1;
    assert_eq!(fault, Some(PeerFault::OutOfTurn("after")));
}

#[test]
fn two_readings_at_once_do_not_meet_and_use_no_link_of_the_driver() {
    let (mut world, all) = shared(3);
    let one = write_many(&mut world, 0, all, 3);
    let other = write_many(&mut world, 2, all, 3);
    let (first, _) = make(&mut world, 0, &[1], Since::Last, MIB);
    let (second, _) = make(&mut world, 2, &[1], Since::Last, MIB);
    let (keys, files) = (keys(2), [first, second]);
    let mut readers: Vec<_> =
        files.iter().map(|file| Reader::begin(&file[..], &keys).unwrap()).collect();
    let links: Vec<Link> = readers
        .iter()
        .map(|reader| world.peers[1].replica.begin_reading(reader.head()).unwrap())
        .collect();
    assert!(links[0] != links[1] && links.iter().all(|link| link.0 > u64::MAX / 2));
    let mut left = true;
    while std::mem::take(&mut left) {
        for (reader, link) in readers.iter_mut().zip(&links) {
            if let Some(bytes) = reader.frame().unwrap() {
                world.input(1, Input::Frame { link: *link, bytes });
                left = true;
            }
        }
    }
    for link in links {
        assert!(sound(world.peers[1].replica.end_reading(link, true).unwrap()));
    }
    world.drain(1);
    world.settle();
    assert_eq!((shown(&mut world, 1, &one), shown(&mut world, 1, &other)), (3, 3));
}

/// Of logs of records goes what leads up to what is wanted, flashes go whole, and the next bundle goes on.
#[test]
fn a_bundle_of_what_is_wanted_leaves_the_rest_for_the_next() {
    let mut world = World::new(2);
    let coalition = world.coalition();
    world.meet(1, 0);
    let shared = world.open(0, coalition, &[1, 2]);
    world.meet(1, 0);
    let of = |world: &mut World, class, name| {
        let record = world.write(0, shared, class, &[name])[0];
        world.settle();
        record
    };
    let before = of(&mut world, Class::Routine, "before");
    let wanted = of(&mut world, Class::Routine, "wanted");
    let behind = of(&mut world, Class::Routine, "behind");
    let other = of(&mut world, Class::Immediate, "of no log that is wanted");
    let flash = of(&mut world, Class::Flash, "whatever is wanted");
    // Three that one signature covers: it cannot be cut.
    let together = world.write(0, shared, Class::Priority, &["one", "two", "three"]);
    world.settle();
    let mut end = |record| {
        let entry = world.show(0, record).unwrap().entries[0].clone();
        (entry.log, entry.seq + 1)
    };
    let ends = BTreeMap::from([end(wanted), end(together[0])]);
    let (file, packed) = make_of(&mut world, 0, &[1], (Since::Last, Some(&ends)), MIB);
    assert_eq!((packed.left, packed.entries.get(&Class::Routine)), (0, Some(&2)));
    assert_eq!(packed.entries.get(&Class::Priority), Some(&3));
    let (taken, error) = take(&mut world, 1, &file);
    assert!(error.is_none(), "{error:?}");
    assert_eq!((taken.gap, taken.refused, taken.fault), (0, 0, None));
    for record in [before, wanted, flash].iter().chain(&together) {
        assert!(world.show(1, *record).is_some());
    }
    assert!(world.show(1, behind).is_none() && world.show(1, other).is_none());
    let (file, packed) = make(&mut world, 0, &[1], Since::Last, MIB);
    let counts =
        [Class::Routine, Class::Immediate].map(|class| packed.entries.get(&class).copied());
    assert_eq!((counts, packed.entries.get(&Class::Flash)), ([Some(1), Some(1)], None));
    let (taken, _) = take(&mut world, 1, &file);
    assert_eq!((taken.gap, taken.new), (0, 2));
    assert!(world.show(1, behind).is_some() && world.show(1, other).is_some());
}

/// What is enclosed is for the program around: a replica that is given it blames who sends it.
#[test]
fn an_enclosure_is_no_part_of_the_conversation() {
    let mut world = World::new(2);
    world.coalition();
    world.meet(1, 0);
    let link = world.connect(0, 1);
    world.settle();
    let bytes = Frame::Enclosure { kind: 1, part: vec![0; 9] }.encode();
    world.input(1, Input::Frame { link, bytes });
    let closed: Vec<_> = world.peers[1].closed.iter().map(|(_, fault)| *fault).collect();
    assert_eq!(closed, [Some(PeerFault::OutOfTurn("enclosure"))]);
}
