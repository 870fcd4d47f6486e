//! Branches that a keep or an adopt names: whoever lacks the chosen one fetches it, and all show the same.

use std::collections::BTreeMap;

use tearline_crdt::document::{Patch, Segment};
use tearline_crdt::entry::run::Head;
use tearline_crdt::frontier::{Leaf, LogKey, head_tag};
use tearline_crdt::id::{Class, CompartmentId, EntryId, LogId, RecordId};
use tearline_crdt::record::receipt::{self, Outcome};
use tearline_crdt::record::shelf::Draft;
use tearline_crdt::statement::{Act, Mark, Marks};
use tearline_crdt::store::Space;
use tearline_mesh::replica::Word;
use tearline_mesh::wire::Frame;
use tearline_mesh::{Input, Link, PeerFault};

use crate::forger::{link_as, shared, tag};
use crate::world::{World, keys};

/// Peer 3 and its clone write on from what they have in common; peer 1 hears the one, peer 2 the other.
/// Nobody knows yet that the log is forked.
struct Forked {
    world: World,
    all: CompartmentId,
    log: LogId,
    /// What is in the log before the fork, in the one branch, and in the other.
    records: [Vec<RecordId>; 3],
}

/// The peer that holds each branch.
const HOLDS: [usize; 2] = [1, 2];

fn edit(record: RecordId, text: &str) -> Draft {
    let mut patch = Patch::default();
    patch.set(vec![Segment::Name("name".into())], text.into());
    Draft::Edit { record, patch }
}

fn forked(lengths: [usize; 2]) -> Forked {
    let (mut world, all) = shared(4);
    let common = world.write(3, all, Class::Routine, &["common", "beside it"]);
    world.settle();
    let clone = world.clone_of(3);
    let mut records = vec![common.clone()];
    for (author, hearer, count) in [(3, 1, lengths[0]), (clone, 2, lengths[1])] {
        let mut written = Vec::new();
        for n in 0..2 * count {
            let name = format!("{author}/{n}");
            // So that one place is of one record here, and of another there.
            if (n % 2 == 0) == (author == 3) {
                written.extend(world.write(author, all, Class::Routine, &[&name]));
            } else {
                let text = format!("edited by {name}");
                world.act(author, all, Class::Routine, vec![edit(common[0], &text)]);
            }
            world.settle();
        }
        world.meet(hearer, author);
        records.push(written);
    }
    let log = world.peers[3].replica.own_log(all, Class::Routine);
    Forked { world, all, log, records: records.try_into().unwrap() }
}

/// All that a peer shows.
fn shown(forked: &mut Forked, peer: usize) -> BTreeMap<RecordId, (String, usize)> {
    let all: Vec<RecordId> = forked.records.iter().flatten().copied().collect();
    let world = &mut forked.world;
    let show = |record| Some((record, world.show(peer, record)?));
    let details = all.into_iter().filter_map(show);
    let say = |(record, detail): (RecordId, tearline_crdt::record::shelf::Detail)| {
        let fields = serde_json::to_string(&detail.fields).unwrap();
        (record, (fields, detail.entries.len()))
    };
    details.map(say).collect()
}

/// The bytes of all entries of the log that a peer follows.
fn bytes(world: &World, peer: usize, log: &LogId) -> Vec<u8> {
    let replica = &world.peers[peer].replica;
    let read = replica.logbook().read(replica.store(), log, 0..u64::MAX, 1 << 20).unwrap();
    read.unwrap().entries
}

fn last(world: &World, peer: usize, log: &LogId) -> Mark {
    let head = world.peers[peer].replica.logbook().head(log);
    Mark { log: log.digest(), count: head.next, head: head.id }
}

/// The desk of the forker's agency lets a branch count.
fn adopt(forked: &mut Forked, mark: Mark) {
    let world = &mut forked.world;
    let now = world.now();
    world.peers[3].replica.adopt(now, forked.all, vec![mark]).unwrap();
    world.drain(3);
    world.settle();
}

fn no_faults(world: &World) {
    for peer in &world.peers {
        assert!(peer.replica.counted_faults().is_empty(), "{:?}", peer.replica.faults());
    }
}

/// Peers 1 and 2 show what the branch of this peer says, byte for byte, and hold the same.
fn all_follow(forked: &mut Forked, holder: usize) {
    let branch = HOLDS.iter().position(|peer| *peer == holder).unwrap();
    let (one, other) = (shown(forked, 1), shown(forked, 2));
    assert_eq!(one, other);
    let [common, ours, theirs] = &forked.records;
    let (named, not) = if branch == 0 { (ours, theirs) } else { (theirs, ours) };
    assert!(common.iter().chain(named).all(|record| one.contains_key(record)));
    assert!(not.iter().all(|record| !one.contains_key(record)));
    let author = if branch == 0 { "edited by 3/" } else { "edited by 4/" };
    assert!(one[&common[0]].0.contains(author), "{}", one[&common[0]].0);
    assert_eq!(bytes(&forked.world, 1, &forked.log), bytes(&forked.world, 2, &forked.log));
    assert!(forked.world.digests_equal(1, 2));
    let [one, other] =
        [1, 2].map(|peer| forked.world.peers[peer].replica.counts(forked.all).unwrap());
    assert_eq!((one.entries, one.records.shown), (other.entries, other.records.shown));
    assert_eq!(one.records.shown, (common.len() + named.len()) as u64);
}

#[test]
fn a_branch_that_is_adopted_is_fetched_by_who_holds_the_other() {
    for lengths in [[1, 1], [3, 9], [40, 2]] {
        for holder in HOLDS {
            for statement_first in [false, true] {
                let mut forked = forked(lengths);
                let mark = last(&forked.world, holder, &forked.log);
                if statement_first {
                    adopt(&mut forked, mark);
                    forked.world.meet(0, 3);
                    for peer in HOLDS {
                        forked.world.meet(peer, 0);
                    }
                } else {
                    forked.world.meet(1, 2);
                    adopt(&mut forked, mark);
                    forked.world.meet(0, 3);
                    forked.world.meet(holder, 0);
                }
                for _ in 0..3 {
                    forked.world.meet(1, 2);
                }
                all_follow(&mut forked, holder);
                no_faults(&forked.world);
                let peer = 3 - holder;
                let before = bytes(&forked.world, peer, &forked.log);
                for peer in HOLDS {
                    forked.world.crash(peer);
                }
                all_follow(&mut forked, holder);
                assert_eq!(bytes(&forked.world, peer, &forked.log), before);
                forked.world.peers.iter_mut().for_each(|peer| peer.sent.clear());
                forked.world.meet(1, 2);
                let sent: usize =
                    forked.world.peers.iter().flat_map(|p| &p.sent).map(Vec::len).sum();
                assert!(sent <= 40, "{sent} bytes in sync");
                // Who knows neither gets it, too.
                for _ in 0..2 {
                    forked.world.meet(0, 1);
                }
                assert_eq!(bytes(&forked.world, 0, &forked.log), before);
                assert!(forked.world.digests_equal(0, 1) && forked.world.digests_equal(0, 2));
                no_faults(&forked.world);
            }
        }
    }
}

#[test]
fn peers_that_are_linked_while_it_is_chosen_come_to_show_the_same() {
    let mut forked = forked([4, 6]);
    for (dialer, listener) in [(1, 2), (0, 1), (0, 2), (0, 3)] {
        forked.world.connect(dialer, listener);
    }
    forked.world.settle();
    let [ours, theirs] = HOLDS.map(|peer| last(&forked.world, peer, &forked.log));
    adopt(&mut forked, ours);
    all_follow(&mut forked, 1);
    forked.world.peers.iter_mut().for_each(|peer| peer.sent.clear());
    let second = forked.records[2].clone();
    adopt(&mut forked, theirs);
    // Two that contradict each other: nothing counts beyond the fork, anywhere.
    let (one, other) = (shown(&mut forked, 1), shown(&mut forked, 2));
    assert_eq!(one, other);
    assert_eq!(one.len(), 2, "what is before the fork counts");
    // The greater is followed. Who has it aside from before turns back to it and asks nobody.
    for peer in [0, 1, 2, 3] {
        assert_eq!(last(&forked.world, peer, &forked.log), theirs, "peer {peer}");
        let sent = &forked.world.peers[peer].sent;
        let asks = |bytes: &&Vec<u8>| matches!(Frame::decode(bytes), Ok(Frame::Ask { .. }));
        assert_eq!(sent.iter().filter(asks).count() > 0, peer != 2, "peer {peer}");
    }
    assert!(second.iter().all(|record| forked.world.show(2, *record).is_none()));
    for (one, other) in [(0, 1), (0, 2), (0, 3), (1, 2)] {
        assert!(forked.world.digests_equal(one, other));
    }
    no_faults(&forked.world);
}

#[test]
fn a_branch_that_nobody_reachable_holds_is_waited_for_in_silence() {
    let mut forked = forked([3, 5]);
    let mark = last(&forked.world, 2, &forked.log);
    forked.world.meet(1, 2);
    adopt(&mut forked, mark);
    forked.world.meet(0, 3);
    for _ in 0..3 {
        forked.world.meet(1, 0);
    }
    let before = shown(&mut forked, 1);
    assert_eq!(before.len(), 2, "what is before the fork counts");
    assert!(forked.world.digests_equal(0, 1));
    forked.world.peers.iter_mut().for_each(|peer| peer.sent.clear());
    forked.world.meet(1, 0);
    let sent: usize = forked.world.peers.iter().flat_map(|peer| &peer.sent).map(Vec::len).sum();
    assert!(sent <= 40, "{sent} bytes");
    forked.world.crash(1);
    forked.world.meet(1, 0);
    assert_eq!(shown(&mut forked, 1), before);
    // It arrives, and goes on from peer to peer.
    for _ in 0..2 {
        forked.world.meet(0, 2);
    }
    for _ in 0..2 {
        forked.world.meet(1, 0);
    }
    all_follow(&mut forked, 2);
    no_faults(&forked.world);
}

/// What the device with this seed says to a peer on a link of its own, answered once.
fn lie(forked: &mut Forked, to: usize, link: Link, answer: impl Fn(&Frame) -> Option<Frame>) {
    let (all, log) = (forked.all, forked.log);
    let world = &mut forked.world;
    let mark = last(world, 2, &log);
    link_as(world, to, 3, link);
    let area = tag(world, to, 3, all);
    let key = LogKey::of_branch(&log);
    let leaf = Leaf { key, next: mark.count, head: head_tag(&mark.head) };
    world.peers[to].sent.clear();
    world.inject(to, link, Frame::Positions { area, positions: vec![leaf] }.encode());
    for urgency in tearline_mesh::Urgency::ALL {
        world.input(to, Input::Sent { link, urgency });
    }
    world.settle();
    let sent: Vec<Frame> =
        world.peers[to].sent.iter().map(|bytes| Frame::decode(bytes).unwrap()).collect();
    let asked = sent.iter().find(|frame| matches!(frame, Frame::Ask { .. })).expect("it asks");
    if let Some(answer) = answer(asked) {
        world.inject(to, link, answer.encode());
    }
}

/// The last piece of the branch that a peer follows, however it is asked for.
fn piece(world: &World, from: usize, log: &LogId, asked: &Frame) -> Frame {
    let Frame::Ask { area, key, .. } = asked else { panic!("an ask") };
    let replica = &world.peers[from].replica;
    let head = replica.logbook().head(log);
    let piece = replica
        .logbook()
        .piece(replica.store(), log, (head.next - 1..head.next, head.id), 1)
        .unwrap()
        .unwrap();
    Frame::Piece {
        area: *area,
        key: *key,
        knows: None,
        from: piece.from,
        count: piece.stretch.count,
        entries: piece.stretch.entries,
        boxes: piece.stretch.boxes,
    }
}

#[test]
fn who_answers_with_another_branch_is_blamed_and_nothing_changes() {
    for broken in 0..4 {
        let mut forked = forked([3, 3]);
        let mark = last(&forked.world, 2, &forked.log);
        forked.world.meet(1, 2);
        adopt(&mut forked, mark);
        forked.world.meet(0, 3);
        forked.world.meet(1, 0);
        let before = forked.world.peers[1].replica.store().keys(Space::Entries);
        let mut frames = BTreeMap::new();
        for from in HOLDS {
            let (key, area) = (LogKey([0; 16]), [0; 8]);
            let asked = Frame::Ask { area, key, first: 0, end: 0, head: EntryId([0; 32]) };
            frames.insert(from, piece(&forked.world, from, &forked.log, &asked));
        }
        let answer = |asked: &Frame| {
            let Frame::Ask { area: tag, key: named, .. } = asked else { panic!("an ask") };
            let mut answer = frames[&if broken == 0 { 1 } else { 2 }].clone();
            let Frame::Piece { area, key, from, entries, .. } = &mut answer else { panic!() };
            (*area, *key) = (*tag, *named);
            match broken {
                1 => from.id = EntryId([9; 32]),
                2 => *entries.last_mut().unwrap() ^= 1,
                3 => *from = Head::EMPTY,
                _ => {}
            }
            Some(answer)
        };
        lie(&mut forked, 1, Link(900), answer);
        let fault = forked.world.peers[1].fault_of(keys(3).id());
        match broken {
            0 => assert_eq!(fault, Some(PeerFault::OtherBranch)),
            _ => assert!(matches!(fault, Some(PeerFault::Run(_))), "{broken}: {fault:?}"),
        }
        assert_eq!(forked.world.peers[1].replica.store().keys(Space::Entries), before);
        forked.world.meet(1, 2);
        forked.world.meet(1, 2);
        all_follow(&mut forked, 2);
    }
    // Who sends what nobody asked for, too.
    let mut forked = forked([1, 1]);
    link_as(&mut forked.world, 1, 3, Link(900));
    let area = tag(&forked.world, 1, 3, forked.all);
    let key = LogKey::of_branch(&forked.log);
    let asked = Frame::Ask { area, key, first: 0, end: 0, head: EntryId([0; 32]) };
    let unasked = piece(&forked.world, 2, &forked.log, &asked);
    forked.world.inject(1, Link(900), unasked.encode());
    let fault = forked.world.peers[1].fault_of(keys(3).id());
    assert_eq!(fault, Some(PeerFault::OutOfTurn("piece")));
}

#[test]
fn who_says_it_has_the_branch_and_is_silent_keeps_nobody_from_it() {
    let mut forked = forked([3, 5]);
    let mark = last(&forked.world, 2, &forked.log);
    forked.world.meet(1, 2);
    adopt(&mut forked, mark);
    forked.world.meet(0, 3);
    forked.world.meet(1, 0);
    lie(&mut forked, 1, Link(900), |_| None);
    forked.world.meet(1, 2);
    forked.world.meet(1, 2);
    all_follow(&mut forked, 2);
    no_faults(&forked.world);
}

#[test]
fn a_turn_that_is_cut_short_at_any_step_is_finished() {
    for steps in (0..).step_by(3) {
        let mut forked = forked([6, 4]);
        let mark = last(&forked.world, 2, &forked.log);
        forked.world.meet(1, 2);
        adopt(&mut forked, mark);
        forked.world.meet(0, 3);
        forked.world.meet(2, 0);
        forked.world.connect(1, 2);
        let more = forked.world.steps(steps);
        forked.world.crash(1);
        for _ in 0..3 {
            forked.world.meet(1, 2);
        }
        all_follow(&mut forked, 2);
        no_faults(&forked.world);
        if !more {
            assert!(steps > 20, "{steps}");
            return;
        }
    }
}

#[test]
fn what_is_erased_is_destroyed_in_the_branch_that_is_kept_aside_too() {
    let mut forked = forked([2, 3]);
    let log = forked.log;
    let [first, mark] = HOLDS.map(|peer| last(&forked.world, peer, &log));
    forked.world.meet(1, 2);
    adopt(&mut forked, mark);
    forked.world.meet(0, 3);
    for peer in [2, 1] {
        forked.world.meet(peer, 0);
    }
    forked.world.meet(1, 2);
    all_follow(&mut forked, 2);
    // Peer 1 has the branch that came first aside, with an edit of this record in it.
    let record = forked.records[0][0];
    let detached = |world: &World| {
        let replica = &world.peers[1].replica;
        let wants = (0..first.count, first.head);
        let piece =
            replica.logbook().piece(replica.store(), &log, wants, 1 << 20).unwrap().unwrap();
        let run = piece.stretch.run(log).verify(&piece.from).unwrap();
        let gone = run.entries().iter().filter(|entry| entry.detached);
        gone.map(|entry| entry.seq).collect::<Vec<_>>()
    };
    assert!(detached(&forked.world).is_empty());
    let mut shown_before = shown(&mut forked, 1);
    shown_before.remove(&record);
    let now = forked.world.now();
    let word = Word::Erase { basis: "Article 17".into() };
    forked.world.peers[3].replica.speak(now, record, &word).unwrap();
    forked.world.drain(3);
    forked.world.settle();
    forked.world.meet(0, 3);
    forked.world.meet(1, 0);
    assert!(forked.world.show(1, record).is_none());
    // Its genesis, which all branches share, and its edits in this branch.
    assert_eq!(detached(&forked.world), [0, 3, 5]);
    let second = bytes(&forked.world, 1, &log);
    forked.world.crash(1);
    assert_eq!(detached(&forked.world), [0, 3, 5]);
    assert_eq!(bytes(&forked.world, 1, &log), second);
    // What has the places of these edits in the branch that is followed is there.
    let others = shown(&mut forked, 1);
    assert_eq!(others, shown_before);
}

/// A record that begins in the branch which is kept aside is not shown. It is held all the same, and nobody
/// is told that it is not.
#[test]
fn receipts_speak_of_what_is_kept_aside_too() {
    for heard_before in [true, false] {
        let mut forked = forked([3, 3]);
        let log = forked.log;
        let [first, mark] = HOLDS.map(|peer| last(&forked.world, peer, &log));
        let [hidden, destroyed, kept] = forked.records[1][..] else { panic!("three records") };
        let now = forked.world.now();
        let erase = Word::Erase { basis: "Article 17".into() };
        let said = [(hidden, Word::Restrict), (destroyed, erase)].map(|(record, word)| {
            let said = forked.world.peers[3].replica.speak(now, record, &word).unwrap().value;
            forked.world.drain(3);
            said
        });
        let answers = |world: &World| {
            let replica = &world.peers[1].replica;
            let answer = |said| receipt::answer(replica.store(), said, &replica.device()).unwrap();
            said.each_ref().map(|said| answer(said).map(|answer| answer.outcome))
        };
        let expected = [Some(Outcome::Hidden), Some(Outcome::Destroyed)];
        if heard_before {
            forked.world.meet(1, 3);
            assert_eq!(answers(&forked.world), expected);
        }
        forked.world.meet(1, 2);
        adopt(&mut forked, mark);
        forked.world.meet(0, 3);
        for _ in 0..2 {
            forked.world.meet(1, 0);
            forked.world.meet(1, 2);
        }
        assert_eq!(last(&forked.world, 1, &log), mark, "it turned");
        assert!([hidden, destroyed, kept].iter().all(|r| forked.world.show(1, *r).is_none()));
        assert_eq!(answers(&forked.world), expected, "heard before: {heard_before}");
        // And so it is: of the one all is gone, of the others nothing.
        let replica = &forked.world.peers[1].replica;
        let wants = (0..first.count, first.head);
        let piece = replica.logbook().piece(replica.store(), &log, wants, 1 << 20);
        let piece = piece.unwrap().unwrap();
        let run = piece.stretch.run(log).verify(&piece.from).unwrap();
        let gone: Vec<u64> = run.entries().iter().filter(|e| e.detached).map(|e| e.seq).collect();
        assert_eq!(gone, [4]);
        forked.world.crash(1);
        forked.world.meet(1, 0);
        assert_eq!(answers(&forked.world), expected);
        no_faults(&forked.world);
    }
}

#[test]
fn where_nothing_is_chosen_any_more_each_follows_what_came_to_it_first() {
    let mut forked = forked([3, 5]);
    for (dialer, listener) in [(1, 2), (0, 1), (0, 2), (0, 3)] {
        forked.world.connect(dialer, listener);
    }
    forked.world.settle();
    let log = forked.log;
    let [first, second] = HOLDS.map(|peer| last(&forked.world, peer, &log));
    adopt(&mut forked, second);
    all_follow(&mut forked, 2);
    assert_eq!(last(&forked.world, 1, &log), second);
    let opening = forked.world.peers[0].replica.compartment(forked.all).unwrap().opening();
    let coalition = opening.coalition;
    let act = Act::Revoke { device: keys(4).id(), keep: Marks::NONE };
    let now = forked.world.now();
    forked.world.peers[0].replica.propose(now, coalition, act, None).unwrap();
    forked.world.drain(0);
    forked.world.settle();
    assert_eq!(last(&forked.world, 1, &log), first);
    assert_eq!(last(&forked.world, 2, &log), second);
    assert!(forked.world.digests_equal(1, 2));
    // It is there to be read by whoever chooses again.
    let read = |world: &World, mark: &Mark| {
        let found = world.peers[1].replica.quarantined(99).unwrap().0;
        found.into_iter().any(|one| one.id == mark.head && one.header.is_some())
    };
    assert!(read(&forked.world, &first) && !read(&forked.world, &second));
    no_faults(&forked.world);
}
