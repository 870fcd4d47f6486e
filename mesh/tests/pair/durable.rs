//! Nothing is acknowledged or answered before the flush that covers it.

use tearline_crdt::entry::run::{Head, write_segment};
use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::{AgencyNo, Class, CompartmentId, LogId};
use tearline_crdt::statement::{Act, Mark, Marks};
use tearline_crdt::store::{Batch, Space, Store as _};
use tearline_mesh::invitation::Invited;
use tearline_mesh::replica::{ActError, NotTaken};
use tearline_mesh::wire::Frame;
use tearline_mesh::{Event, Input, Link, Output};

use crate::forger::{link_as, log, run_frame, sealed, shared, tag};
use crate::world::{World, draft, keys};

/// The positions that a peer said of a log.
fn positions(world: &World, peer: usize, key: LogKey) -> Vec<u64> {
    let frames = world.peers[peer].sent.iter().map(|bytes| Frame::decode(bytes).unwrap());
    frames
        .filter_map(|frame| match frame {
            Frame::Positions { positions, .. } => Some(positions),
            _ => None,
        })
        .flatten()
        .filter(|leaf| leaf.key == key)
        .map(|leaf| leaf.next)
        .collect()
}

#[test]
fn a_position_is_said_when_it_is_durable() {
    let (mut world, all) = shared(3);
    let log = log(all, Class::Routine, 3, 9);
    let run = write_segment(&log, &Head::EMPTY, keys(3).signer(), &[sealed(1)]).unwrap();
    link_as(&mut world, 0, 3, Link(900));
    link_as(&mut world, 0, 2, Link(901));
    let areas = [tag(&world, 0, 3, all), tag(&world, 0, 2, all)];
    world.peers[0].sent.clear();
    for (link, area) in [Link(900), Link(901)].into_iter().zip(areas) {
        world.input(0, Input::Frame { link, bytes: run_frame(area, &run) });
    }
    assert!(positions(&world, 0, LogKey::of(&log)).is_empty(), "nothing was flushed");
    world.settle();
    assert_eq!(positions(&world, 0, LogKey::of(&log)), [1]);
}

#[test]
fn an_applicant_is_answered_when_its_own_admission_is_durable() {
    let mut world = World::new(2);
    let coalition = {
        let mut alone = World::new(1);
        let coalition = alone.coalition();
        world.peers[0] = alone.peers.remove(0);
        coalition
    };
    let own = world.open(0, coalition, &[1]);
    let invitation = world.invite(coalition, Invited::Agency);
    let request = world.request(&invitation, 1);
    let link = Link(900);
    world.input(0, Input::Up { link, device: keys(2).id(), dialer: false, thin: false });
    world.settle();
    let now = world.now();
    let replica = &mut world.peers[0].replica;
    // A flush of something earlier is under way when the request comes.
    replica.write(now, own, Class::Routine, vec![draft("x")]).unwrap();
    let flushes = |replica: &mut tearline_mesh::Replica<_>| {
        let (mut barriers, mut answered) = (Vec::new(), false);
        while let Some(output) = replica.poll_output() {
            match output {
                Output::Flush { barrier } => barriers.push(barrier),
                Output::Send { bytes, .. } => {
                    let frame = Frame::decode(&bytes).unwrap();
                    answered |= matches!(frame, Frame::JoinAnswer { .. });
                }
                _ => {}
            }
        }
        (barriers, answered)
    };
    let (early, _) = flushes(replica);
    replica.store_mut().flush().unwrap();
    let bytes = Frame::Join { request: request.encode() }.encode();
    replica.handle(now, Input::Frame { link, bytes }).unwrap();
    let (_, answered) = flushes(replica);
    assert!(!answered);
    replica.handle(now, Input::Flushed { barrier: early[0] }).unwrap();
    let (later, answered) = flushes(replica);
    assert!(!answered, "that flush does not cover the admission");
    replica.store_mut().flush().unwrap();
    replica.handle(now, Input::Flushed { barrier: later[0] }).unwrap();
    assert!(flushes(replica).1);
    world.crash(0);
    assert_eq!(world.peers[0].replica.coalition(coalition).unwrap().members().count(), 2);
}

/// Leaves a peer's store without a number for one more log.
fn fill_numbers(world: &mut World, peer: usize, all: CompartmentId) {
    let mut state = log(all, Class::Priority, 51, 1).encode().to_vec();
    // No entries, nothing written, no fork.
    state.extend([0; 1 + 32 + 32 + 1 + 1]);
    let mut batch = Batch::default();
    batch.put(Space::Logs, u32::MAX.to_be_bytes(), state);
    let store = world.peers[peer].replica.store_mut();
    store.apply(batch).unwrap();
    store.flush().unwrap();
    world.crash(peer);
}

#[test]
fn an_act_that_cannot_be_stored_fails_at_once_and_nobody_is_blamed_for_what_finds_no_room() {
    let (mut world, all) = shared(2);
    world.write(0, all, Class::Routine, &["one"]);
    world.settle();
    fill_numbers(&mut world, 0, all);
    let now = world.now();
    let replica = &mut world.peers[0].replica;
    let refused = replica.write(now, all, Class::Flash, vec![draft("two")]);
    assert!(matches!(refused, Err(ActError::NotTaken(NotTaken::Full))), "{refused:?}");
    // What is there goes on, both ways.
    let here = world.write(0, all, Class::Routine, &["three"])[0];
    let there = world.write(1, all, Class::Flash, &["four"])[0];
    world.settle();
    world.connect(1, 0);
    world.settle();
    assert!(world.show(1, here).is_some());
    assert!(world.show(0, there).is_none());
    assert!(world.peers.iter().all(|peer| peer.replica.faults().is_empty()));
    assert!(world.peers[1].replica.peers().iter().all(|peer| peer.entries_behind == 0));
}

#[test]
fn whoever_was_welcomed_is_admitted_whenever_the_inviter_loses_power() {
    let (mut welcomed, mut not) = (0, 0);
    for invited in [Invited::Agency, Invited::Device { history: true }] {
        for steps in 0..24 {
            let mut world = World::new(2);
            let coalition = {
                let mut alone = World::new(1);
                let coalition = alone.coalition();
                world.peers[0] = alone.peers.remove(0);
                coalition
            };
            let own = world.open(0, coalition, &[1]);
            let invitation = world.invite(coalition, invited);
            let request = world.request(&invitation, 1);
            // A flush of something else is under way when the request comes.
            world.write(0, own, Class::Routine, &["x"]);
            world.peers[1].replica.join(invitation.inviter, request);
            world.connect(1, 0);
            world.steps(steps);
            world.crash(0);
            let joined = world.peers[1].count(|event| matches!(event, Event::Joined(_)));
            let applicant = keys(2).id();
            let admitted = |world: &World| {
                let coalition = world.peers[0].replica.coalition(coalition).unwrap();
                coalition.devices().contains_key(&applicant)
            };
            assert!(joined == 0 || admitted(&world), "{invited:?}, after {steps}");
            if joined == 0 {
                not += 1;
            } else {
                welcomed += 1;
            }
            // It asks again if it heard nothing, and comes in by the same invitation.
            world.connect(1, 0);
            world.settle();
            assert!(admitted(&world), "{invited:?}, after {steps}");
            assert!(world.peers[1].replica.coalition(coalition).is_some());
            assert!(world.digests_equal(0, 1), "{invited:?}, after {steps}");
        }
    }
    assert!(welcomed > 0 && not > 0, "power went before and after the welcome");
}

#[test]
fn what_is_found_done_is_acknowledged_when_it_is_durable() {
    let mut world = World::new(1);
    let coalition = world.coalition();
    let now = world.now();
    let replica = &mut world.peers[0].replica;
    let audience = || vec![AgencyNo(1)];
    let first = replica.open_compartment(now, coalition, audience(), "own").unwrap();
    let again = replica.open_compartment(now, coalition, audience(), "own").unwrap();
    assert_eq!(first.value, again.value);
    let mut early = Vec::new();
    while let Some(output) = replica.poll_output() {
        early.push(output);
    }
    let durable = |output: &Output| matches!(output, Output::Event(Event::Durable(_)));
    assert!(!early.iter().any(durable));
    let barrier = early.iter().find_map(|output| match output {
        Output::Flush { barrier } => Some(*barrier),
        _ => None,
    });
    replica.store_mut().flush().unwrap();
    replica.handle(now, Input::Flushed { barrier: barrier.unwrap() }).unwrap();
    world.drain(0);
    world.settle();
    for done in [first, again] {
        let ticket = done.ticket;
        assert_eq!(world.peers[0].count(|event| *event == Event::Durable(ticket)), 1);
    }
}

/// A revocation and then what the revoked device wrote, from somebody who heard it before, come while a flush takes long. Whatever of it a
/// power cut leaves, nothing of what came after is there, or shown, without the revocation.
#[test]
fn what_comes_behind_a_revocation_that_is_not_durable_is_judged_by_it() {
    for kept in 0.. {
        let (mut world, all) = shared(3);
        let before = world.write(2, all, Class::Routine, &["before"])[0];
        world.settle();
        world.meet(1, 2);
        let log = world.peers[2].replica.own_log(all, Class::Routine);
        let head = world.peers[1].replica.logbook().head(&log);
        let after = world.write(2, all, Class::Routine, &["after"])[0];
        world.settle();
        world.meet(0, 2);
        let mark = Mark { log: log.digest(), count: head.next, head: head.id };
        let (keep, marks) = Marks::of(vec![mark]).unwrap();
        let coalition = world.peers[0].replica.compartment(all).unwrap().opening().coalition;
        let (now, act) = (world.now(), Act::Revoke { device: keys(3).id(), keep });
        world.peers[0].replica.propose(now, coalition, act, marks).unwrap();
        world.drain(0);
        world.settle();

        let said = LogId { compartment: CompartmentId(coalition.0), ..log };
        let said = LogId { class: Class::Authority, device: keys(1).id(), ..said };
        let held = |world: &World, log: &LogId| world.peers[1].replica.logbook().head(log).next;
        let revoked = world.peers[0].replica.logbook().head(&said).next;
        world.flush_ms = 600_000;
        world.connect(1, 0);
        while held(&world, &said) < revoked {
            assert!(world.step());
        }
        while held(&world, &log) == head.next {
            assert!(world.step());
        }
        let waiting = world.peers[1].replica.store().batches_unflushed();
        assert!(waiting >= 2, "{waiting}");
        assert!(world.show(1, after).is_none() && world.show(1, before).is_some());
        if kept > waiting {
            return;
        }
        world.flush_ms = 2;
        world.crash_keeping(1, kept);
        assert!(held(&world, &log) == head.next || held(&world, &said) == revoked, "{kept}");
        assert!(held(&world, &log) == head.next || world.show(1, after).is_none(), "{kept}");
        world.settle();
        world.meet(1, 0);
        world.meet(1, 0);
        assert!(held(&world, &log) > head.next, "it is stored");
        assert!(world.show(1, after).is_none() && world.show(1, before).is_some(), "{kept}");
    }
}
