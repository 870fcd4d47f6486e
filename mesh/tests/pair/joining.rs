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
