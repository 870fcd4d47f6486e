//! More compartments than a peer follows.

use tearline_crdt::id::{AgencyNo, Class, CoalitionId};
use tearline_crdt::keys::Signer;
use tearline_crdt::statement::{Opening, Statement};
use tearline_mesh::Input;
use tearline_mesh::wire::{AREAS_MAX, Frame};

use crate::world::{World, keys, root};

/// The opening of a compartment of all three agencies, by a device.
fn opening(coalition: CoalitionId, by: &Signer, n: u16) -> Vec<u8> {
    let audience = (1..=3).map(|no| (AgencyNo(no), root(no as u8).public())).collect();
    let mut nonce = [0; 16];
    nonce[..2].copy_from_slice(&n.to_be_bytes());
    let opening = Opening::sign(by, coalition, audience, nonce);
    Statement::Open(opening).encode()
}

/// A member opens more compartments than are followed. What others open is followed as before, whether it
/// came before the flood or after; and ends no link.
#[test]
fn a_members_flood_of_compartments_leaves_the_others_theirs() {
    let mut world = World::new(3);
    let coalition = world.coalition();
    world.meet(1, 0);
    let early = world.open(2, coalition, &[1, 3]);
    world.meet(2, 0);
    let link = world.connect(1, 0);
    world.settle();
    let flooder = keys(2);
    for n in 0..AREAS_MAX as u16 + 10 {
        let bytes = Frame::Intro { opening: opening(coalition, flooder.signer(), n) }.encode();
        world.input(0, Input::Frame { link, bytes });
    }
    world.settle();
    assert_eq!(world.peers[0].closed, []);
    let unfollowed = world.peers[0].replica.unfollowed();
    assert_eq!(unfollowed.keys().copied().collect::<Vec<_>>(), [keys(2).id()]);
    assert_eq!(unfollowed[&keys(2).id()].compartments, 12);

    let late = world.open(2, coalition, &[1, 3]);
    assert_eq!(early, late, "there is one with that audience");
    let now = world.now();
    let audience = vec![AgencyNo(1), AgencyNo(3)];
    let late = world.peers[2].replica.open_another(now, coalition, audience, "late").unwrap().value;
    world.drain(2);
    let link = world.connect(2, 0);
    world.settle();
    for compartment in [early, late] {
        assert!(world.peers[0].replica.follows(&compartment));
        let record = world.write(2, compartment, Class::Flash, &["x"])[0];
        world.settle();
        assert!(world.show(0, record).is_some());
    }
    assert!(world.digests_equal(0, 2));
    world.cut(link);
    world.crash(0);
    let again = world.peers[0].replica.unfollowed();
    assert_eq!(again[&keys(2).id()].compartments, 13, "after a restart");
}
