//! Coming in by an invitation where others have to agree.

use tearline_crdt::charter::{Charter, Member};
use tearline_crdt::id::{AgencyNo, Class, CoalitionId};
use tearline_crdt::statement::DeskCertificate;
use tearline_mesh::invitation::{Invited, Refusal};
use tearline_mesh::{Event, PeerFault};

use crate::world::{World, keys, root};

/// Peer 0, a desk of one of two founders who have to agree on everything.
fn founded(count: usize) -> (World, CoalitionId) {
    let mut world = World::new(count);
    let founder = |no: u8| Member {
        no: AgencyNo(no.into()),
        name: format!("Agency {no}"),
        country: "NE".into(),
        root: root(no).public(),
    };
    let charter = Charter {
        name: "Drill".into(),
        nonce: [7; 16],
        quorum: 2,
        limits_version: 1,
        erasure_delay_hours: 0,
        default_label: vec![],
        agreement: None,
        founders: vec![founder(1), founder(2)],
    };
    let now = world.now();
    let desk = DeskCertificate::sign(&root(1), &keys(1), None);
    let coalition = world.peers[0].replica.found(now, charter, desk).unwrap().value;
    world.drain(0);
    world.settle();
    (world, coalition)
}

#[test]
fn an_invitation_serves_one_applicant_however_often_it_asks() {
    let (mut world, coalition) = founded(4);
    let invitation = world.invite(coalition, Invited::Agency);
    let ask = |world: &mut World, peer: usize| {
        let request = world.request(&invitation, peer);
        world.peers[peer].replica.join(invitation.inviter, request);
        world.meet(peer, 0);
        let refused = world.peers[peer].events.iter().rev().find_map(|event| match event {
            Event::JoinRefused { refusal, .. } => Some(*refusal),
            _ => None,
        });
        refused.unwrap()
    };
    let proposed =
        |world: &World| world.peers[0].replica.coalition(coalition).unwrap().proposals().len();
    assert_eq!(ask(&mut world, 2), Refusal::Quorum);
    assert_eq!(proposed(&world), 1);
    for round in 0..2 {
        assert_eq!(ask(&mut world, 3), Refusal::Invitation, "another agency, {round}");
        assert_eq!(proposed(&world), 1);
        assert_eq!(world.peers[0].fault_of(keys(4).id()), Some(PeerFault::Join));
        assert_eq!(ask(&mut world, 2), Refusal::Quorum, "the first again, {round}");
        assert_eq!(proposed(&world), 1);
        assert_eq!(world.peers[0].fault_of(keys(3).id()), None);
        // It is remembered.
        world.crash(0);
        world.peers[0].events.clear();
    }
}

/// Over the link by which it asked, or another one after a start, and however long the others take.
#[test]
fn who_waits_for_a_quorum_comes_in_by_itself_when_it_agreed() {
    for restarted in [false, true] {
        let (mut world, coalition) = founded(3);
        let link = world.join(coalition, 1, Invited::Agency);
        world.settle();
        world.cut(link);
        world.join(coalition, 2, Invited::Agency);
        world.settle();
        let asks = |world: &World| -> Vec<bool> {
            world.peers[2].replica.asks_in().map(|(_, _, waits)| waits).collect()
        };
        assert_eq!(asks(&world), [true]);
        let refused = |event: &Event| matches!(event, Event::JoinRefused { .. });
        assert_eq!(world.peers[2].count(refused), 1);
        if restarted {
            world.crash(2);
            assert_eq!(asks(&world), [true], "it is remembered");
        }
        world.wait(48 * 3_600_000);
        world.meet(1, 0);
        let now = world.now();
        let signs = &mut world.peers[1].replica;
        let proposal = *signs.coalition(coalition).unwrap().proposals().keys().next().unwrap();
        signs.approve(now, coalition, proposal).unwrap();
        world.drain(1);
        world.meet(1, 0);
        if restarted {
            world.connect(2, 0);
            world.settle();
        }
        assert_eq!(world.peers[2].count(|event| matches!(event, Event::Joined(_))), 1);
        assert_eq!(world.peers[2].count(refused), 1, "it is told once");
        assert!(asks(&world).is_empty());
        let joined = world.peers[2].replica.coalition(coalition).unwrap();
        assert!(joined.live(&keys(3).id()).is_some());
        world.crash(2);
        assert!(asks(&world).is_empty(), "nothing is left to ask for");
    }
}

/// Of two that dial each other at once one link stays, and it may be the inviter's.
#[test]
fn who_is_dialled_by_its_inviter_asks_over_that_link() {
    for answer_is_lost in [false, true] {
        let mut alone = World::new(1);
        let coalition = alone.coalition();
        let mut world = World::new(2);
        world.peers[0] = alone.peers.remove(0);
        let invitation = world.invite(coalition, Invited::Agency);
        let request = world.request(&invitation, 1);
        world.peers[1].replica.join(invitation.inviter, request);
        if answer_is_lost {
            let link = world.connect(1, 0);
            let is_in = |world: &World| {
                let known = world.peers[0].replica.coalition(coalition).unwrap();
                known.devices().contains_key(&keys(2).id())
            };
            while !is_in(&world) {
                assert!(world.step());
            }
            world.cut(link);
        }
        world.connect(0, 1);
        world.settle();
        assert!(world.peers.iter().all(|peer| peer.closed.is_empty()));
        assert_eq!(world.peers[1].count(|event| matches!(event, Event::Joined(_))), 1);
        for peer in 0..2 {
            let [state] = &world.peers[peer].replica.peers()[..] else { panic!("one link") };
            assert!(state.live && state.in_sync, "{peer}: {state:?}");
        }
        assert!(world.digests_equal(0, 1));
    }
}

/// Both dialled, or one of them over two addresses: the answer comes over both.
#[test]
fn an_answer_that_comes_over_two_links_is_one_answer() {
    let mut alone = World::new(1);
    let coalition = alone.coalition();
    let mut world = World::new(2);
    world.peers[0] = alone.peers.remove(0);
    let invitation = world.invite(coalition, Invited::Agency);
    let request = world.request(&invitation, 1);
    world.peers[1].replica.join(invitation.inviter, request);
    world.connect(1, 0);
    world.connect(1, 0);
    world.settle();
    assert_eq!(world.peers[1].closed, []);
    assert_eq!(world.peers[0].closed, []);
    assert_eq!(world.peers[1].count(|event| matches!(event, Event::Joined(_))), 1);
    let shared = world.open(0, coalition, &[1, 2]);
    let record = world.write(0, shared, Class::Routine, &["over two links"])[0];
    world.settle();
    assert!(world.show(1, record).is_some() && world.digests_equal(0, 1));
}
