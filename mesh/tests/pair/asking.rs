//! What is asked beyond what is brought, and what is sent in vain, is charged; answers are free.

use tearline_crdt::entry::run::{Head, NewEntry, write_segment};
use tearline_crdt::frontier::{Leaf, LogKey, head_tag};
use tearline_crdt::id::{Class, CompartmentId};
use tearline_crdt::logbook::Logbook;
use tearline_crdt::store::memory::MemoryStore;
use tearline_crdt::store::{Batch, Store as _};
use tearline_crdt::time::WallTime;
use tearline_mesh::wire::{Frame, POSITIONS_MAX, Tag};
use tearline_mesh::{Input, Link, PeerFault};

use crate::forger::{link_as, log, run_frame, sealed, shared, tag};
use crate::world::{World, keys};

/// Who asks, as the second device, and over which link.
const SEED: u8 = 2;
const LINK: Link = Link(901);

/// What a session may ask for beyond what it brings: 50,000, and 4 for each log.
fn budget(world: &World) -> usize {
    let areas = world.peers[0].replica.areas().values();
    50_000 + 4 * areas.map(|area| area.frontier.len()).sum::<usize>()
}

/// Says positions in logs that nobody has, so many in all.
fn ask(world: &mut World, area: Tag, count: usize) {
    let leaf =
        |n: usize| Leaf { key: LogKey(((n as u128) << 64).to_be_bytes()), next: 1, head: [7; 8] };
    let logs: Vec<usize> = (1..=count).collect();
    for part in logs.chunks(POSITIONS_MAX) {
        let positions = part.iter().map(|n| leaf(*n)).collect();
        let bytes = Frame::Positions { area, positions }.encode();
        world.input(0, Input::Frame { link: LINK, bytes });
    }
}

fn fault(world: &World) -> Option<PeerFault> {
    world.peers[0].fault_of(keys(SEED).id())
}

fn linked() -> (World, CompartmentId, Tag) {
    let (mut world, all) = shared(3);
    link_as(&mut world, 0, SEED, LINK);
    let area = tag(&world, 0, SEED, all);
    (world, all, area)
}

#[test]
fn a_peer_asks_up_to_the_bound_and_not_beyond_it() {
    let (mut world, _, area) = linked();
    let most = budget(&world);
    ask(&mut world, area, most);
    assert_eq!(fault(&world), None);
    ask(&mut world, area, 1);
    assert_eq!(fault(&world), Some(PeerFault::Endless));
}

#[test]
fn a_position_that_answers_a_run_costs_nothing() {
    let (mut world, all, area) = linked();
    let own = world.peers[0].replica.own_log(all, Class::Flash);
    world.write(0, all, Class::Flash, &["first"]);
    world.settle();
    let most = budget(&world);
    ask(&mut world, area, most);
    // What it is sent it has from others: it answers each time by where it is.
    for n in 1..50 {
        let head = world.peers[0].replica.logbook().head(&own);
        assert_eq!(head.next, n);
        let positions = vec![Leaf { key: LogKey::of(&own), next: n, head: head_tag(&head.id) }];
        world.inject(0, LINK, Frame::Positions { area, positions }.encode());
        world.write(0, all, Class::Flash, &["more"]);
        world.settle();
    }
    assert_eq!(fault(&world), None);
    ask(&mut world, area, 1);
    assert_eq!(fault(&world), Some(PeerFault::Endless));
}

#[test]
fn runs_in_vain_are_charged_by_what_was_verified_until_they_are_asked_for() {
    // By a stranger, who is noted once; and without contents, which somebody may have erased.
    for (seed, charged) in [(77, [3, 1, 1, 1].as_slice()), (SEED, &[3, 3])] {
        let (mut world, all, area) = linked();
        let log = log(all, Class::Flash, seed, 9);
        let entries: Vec<NewEntry> = (0..3).map(sealed).collect();
        let run = write_segment(&log, &Head::EMPTY, keys(seed).signer(), &entries).unwrap();
        let stripped = run.detached(|_| true).unwrap().unwrap();
        let frame = run_frame(area, if seed == SEED { &stripped } else { &run });
        let most = budget(&world);
        ask(&mut world, area, most - charged.iter().sum::<usize>());
        for round in 0..2 {
            for n in 0..charged.len() {
                world.inject(0, LINK, frame.clone());
                assert_eq!(fault(&world), None, "device {seed}, {round}, {n}");
            }
            if round == 0 {
                // Statements come: it is asked again, if there is something that may be taken now.
                let now = world.now();
                world.peers[0].replica.rotate(now, all).unwrap();
                world.drain(0);
                world.settle();
                if seed != SEED {
                    ask(&mut world, area, 2);
                }
            }
        }
        assert!(world.peers[0].replica.logbook().state(&log).is_none());
        world.inject(0, LINK, frame);
        assert_eq!(fault(&world), Some(PeerFault::Endless), "device {seed}");
    }
}

#[test]
fn evidence_that_is_no_news_is_charged_by_what_its_answer_takes() {
    let (mut world, all, area) = linked();
    let log = log(all, Class::Flash, 3, 9);
    let (mut logbook, mut store) = (Logbook::default(), MemoryStore::default());
    let mut head = Head::EMPTY;
    link_as(&mut world, 0, 3, Link(900));
    let theirs = tag(&world, 0, 3, all);
    for n in 0..6 {
        let here = write_segment(&log, &head, keys(3).signer(), &[sealed(n)]).unwrap();
        let there = if n == 5 { &[sealed(99)] } else { &[sealed(n)] };
        let there = write_segment(&log, &head, keys(3).signer(), there).unwrap();
        head = *here.to();
        world.inject(0, Link(900), run_frame(theirs, &here));
        let mut batch = Batch::default();
        logbook.append(&mut batch, &there, WallTime::default()).unwrap();
        store.apply(batch).unwrap();
    }
    let mut branches = Vec::new();
    logbook.branch(&store, &log, 5).unwrap().unwrap().encode(&mut branches);
    let most = budget(&world);
    // News for one position that is looked up; later 2 times 4 for each of 12 that are proven.
    ask(&mut world, area, most - 1 - 2 * 97);
    for _ in 0..3 {
        let branches = branches.clone();
        world.inject(0, LINK, Frame::Evidence { area, branches }.encode());
        assert_eq!(fault(&world), None);
    }
    assert_eq!(world.peers[0].replica.logbook().state(&log).unwrap().proven_at, Some(5));
    world.inject(0, LINK, Frame::Evidence { area, branches }.encode());
    assert_eq!(fault(&world), Some(PeerFault::Endless));
}
