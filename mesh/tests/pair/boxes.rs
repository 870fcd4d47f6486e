//! Who is sealed an epoch's secret: the readers whose ML-KEM keys came with the statements that
//! brought them in, however many there are.

use std::collections::BTreeSet;

use tearline_crdt::codec::{Reader, Write as _};
use tearline_crdt::hash::sha256;
use tearline_crdt::id::{Class, CoalitionId, CompartmentId, DeviceId};
use tearline_crdt::seal::SecretBox;
use tearline_crdt::statement::Statement;
use tearline_crdt::time::WallTime;
use tearline_mesh::invitation::{Applicant, Invited, JoinRequest, Refusal};
use tearline_mesh::wire::Frame;
use tearline_mesh::{Event, Input, Link, PeerFault};

use crate::world::{World, keys};

/// A world of which only the first peer is in the coalition.
fn founded(count: usize) -> (World, CoalitionId) {
    let mut world = World::new(count);
    let mut alone = World::new(1);
    let coalition = alone.coalition();
    world.peers[0] = alone.peers.remove(0);
    (world, coalition)
}

/// The devices of the boxes in each payload of a peer's own authority log in a compartment.
fn boxes_written(world: &World, peer: usize, id: CompartmentId) -> Vec<Vec<DeviceId>> {
    let replica = &world.peers[peer].replica;
    let log = replica.own_log(id, Class::Authority);
    let entries = (0..replica.logbook().head(&log).next)
        .filter_map(|seq| replica.logbook().entry(replica.store(), &log, seq).unwrap());
    let sealing = entries.filter(|entry| {
        let statement = Statement::decode(&entry.sealed).unwrap();
        matches!(statement, Statement::Seal { .. })
    });
    let devices = sealing.map(|entry| {
        let payload = entry.payload.unwrap();
        let mut reader = Reader::new(&payload);
        let count = reader.number("boxes").unwrap();
        let devices = (0..count).map(|_| SecretBox::decode(&mut reader).unwrap().device).collect();
        reader.finish().unwrap();
        devices
    });
    devices.collect()
}

#[test]
fn who_brings_another_key_than_its_card_names_is_not_let_in() {
    for invited in [Invited::Agency, Invited::Device { history: false }] {
        let (mut world, coalition) = founded(2);
        let invitation = world.invite(coalition, invited);
        let request = world.request(&invitation, 1);
        let other = JoinRequest { kem: keys(9).kem_key().clone(), ..request.clone() };
        for (request, joins) in [(other, 0), (request, 1)] {
            world.peers[1].replica.join(invitation.inviter, request);
            let link = world.connect(1, 0);
            world.settle();
            world.cut(link);
            let joined = world.peers[1].count(|e| matches!(e, Event::Joined(_)));
            assert_eq!(joined, joins, "{invited:?}");
        }
        let refused = world.peers[1].count(
            |e| matches!(e, Event::JoinRefused { refusal, .. } if *refusal == Refusal::NotAllowed),
        );
        assert_eq!(refused, 1, "{invited:?}");
    }
}

#[test]
fn the_keys_of_devices_are_known_again_after_a_restart() {
    let mut world = World::new(2);
    let coalition = world.coalition();
    world.crash(0);
    let shared = world.open(0, coalition, &[1, 2]);
    assert_eq!(boxes_written(&world, 0, shared).concat(), [keys(1).id(), keys(2).id()]);
    world.connect(1, 0);
    world.settle();
    let record = world.write(0, shared, Class::Routine, &["after the restart"]);
    world.settle();
    assert!(world.show(1, record[0]).is_some());
}

/// Entries in short form of an authority log, without the payloads that this says.
fn without_payloads(entries: &[u8], mut gone: impl FnMut(&Statement) -> bool) -> Vec<u8> {
    const SIGNED: u8 = 1;
    const PAYLOAD: u8 = 8;
    const PAYLOAD_GONE: u8 = 16;
    let mut reader = Reader::new(entries);
    let mut out = Vec::new();
    while reader.left() > 0 {
        let flags = reader.u8("flags").unwrap();
        let statement = reader.bytes(entries.len(), "statement").unwrap();
        assert_eq!(flags & !PAYLOAD, SIGNED);
        let payload = (flags & PAYLOAD != 0).then(|| reader.bytes(entries.len(), "p").unwrap());
        match payload.filter(|_| gone(&Statement::decode(statement).unwrap())) {
            Some(payload) => {
                out.raw(&[SIGNED | PAYLOAD_GONE]).bytes(statement);
                out.number(payload.len() as u64).raw(&sha256(payload));
            }
            None => {
                out.raw(&[flags]).bytes(statement);
                payload.into_iter().for_each(|payload| {
                    out.bytes(payload);
                });
            }
        }
        out.raw(reader.take(64, "signature").unwrap());
    }
    out
}

#[test]
fn who_takes_a_devices_key_from_its_grant_is_blamed_and_it_comes_from_another() {
    let mut world = World::new(3);
    let late = world.peers.pop().unwrap();
    let coalition = world.coalition();
    world.peers.push(late);
    // A device of agency 2 is let in by its desk; on the way to agency 1 its key is taken out.
    let expires = WallTime(world.now().wall.0 + 3_600_000);
    let act = world.peers[1]
        .replica
        .invite(coalition, Invited::Device { history: false }, expires, vec![], "")
        .unwrap();
    world.drain(1);
    world.settle();
    let request = world.request(&act.value, 2);
    world.peers[2].replica.join(act.value.inviter, request);
    let link = world.connect(2, 1);
    world.settle();
    world.cut(link);
    let mut taken = 0;
    world.connect(1, 0);
    while taken == 0 {
        world.deliver_changed(|frame| match frame {
            Frame::Run { entries, .. } => {
                *entries = without_payloads(entries, |statement| {
                    taken += usize::from(matches!(statement, Statement::Grant { .. }));
                    matches!(statement, Statement::Grant { .. })
                });
                true
            }
            _ => false,
        });
        assert!(world.step());
    }
    world.settle();
    assert_eq!(taken, 1);
    let devices = |world: &World, peer: usize| {
        world.peers[peer].replica.coalition(coalition).unwrap().devices().len()
    };
    assert_eq!((devices(&world, 0), devices(&world, 1)), (2, 3), "nothing of it was taken");
    let sender = world.peers[1].replica.device();
    assert_eq!(world.peers[0].fault_of(sender), Some(PeerFault::Stripped));
    world.connect(1, 0);
    world.settle();
    assert_eq!(devices(&world, 0), 3);
    let shared = world.open(0, coalition, &[1, 2]);
    let record = world.write(0, shared, Class::Routine, &["for all"]);
    world.settle();
    let written = boxes_written(&world, 0, shared).concat();
    assert_eq!(
        written.into_iter().collect::<BTreeSet<_>>(),
        [1, 2, 3].map(|n| keys(n).id()).into()
    );
    world.connect(2, 1);
    world.settle();
    assert!(world.show(2, record[0]).is_some());
}

#[test]
fn more_readers_than_one_payload_takes_all_get_their_box() {
    const PER_PAYLOAD: usize = 57;
    for count in [PER_PAYLOAD, PER_PAYLOAD + 1, 2 * PER_PAYLOAD + 1] {
        let (mut world, coalition) = founded(1);
        // Devices without a peer of their own: the first is the founder's.
        let seeds = 2..=count as u8;
        for seed in seeds.clone() {
            let invitation = world.invite(coalition, Invited::Device { history: false });
            let device = keys(seed);
            let request = JoinRequest {
                coalition,
                secret: invitation.secret,
                applicant: Applicant::Device(device.card(invitation.inviter.0)),
                kem: device.kem_key().clone(),
            };
            let link = Link(1_000 + u64::from(seed));
            world.input(0, Input::Up { link, device: device.id(), dialer: false, thin: false });
            world.inject(0, link, Frame::Join { request: request.encode() }.encode());
            world.input(0, Input::Down { link });
        }
        let all = world.open(0, coalition, &[1]);
        let written = boxes_written(&world, 0, all);
        let sizes: Vec<usize> = written.iter().map(Vec::len).collect();
        let expected: Vec<usize> =
            (0..count).step_by(PER_PAYLOAD).map(|at| PER_PAYLOAD.min(count - at)).collect();
        assert_eq!(sizes, expected);
        assert_eq!(written[0][0], keys(1).id(), "the opener's own comes first");
        let devices: BTreeSet<DeviceId> = written.concat().into_iter().collect();
        assert_eq!(devices.len(), count);
        assert!(seeds.into_iter().all(|seed| devices.contains(&keys(seed).id())));
        assert!(world.peers[0].replica.areas()[&all].name.is_some());
    }
}

/// Peers 0, 1 and 2 are desks of three agencies, peer 3 a further device of the first. The second
/// opened a compartment of all, and the third began a new epoch of it.
fn rotated() -> (World, CompartmentId) {
    let mut world = World::new(4);
    let unit = world.peers.pop().unwrap();
    let coalition = world.coalition();
    world.peers.push(unit);
    let link = world.join(coalition, 3, Invited::Device { history: true });
    world.settle();
    world.cut(link);
    world.meet(1, 0);
    world.meet(2, 0);
    let all = world.open(1, coalition, &[1, 2, 3]);
    world.meet(0, 1);
    world.meet(2, 1);
    let now = world.now();
    world.peers[2].replica.rotate(now, all).unwrap();
    world.drain(2);
    world.settle();
    (world, all)
}

#[test]
fn what_a_desk_of_another_agency_sealed_to_a_device_its_own_desk_seals_again() {
    let (mut world, all) = rotated();
    let unit = keys(4).id();
    assert!(boxes_written(&world, 2, all).concat().contains(&unit));
    world.meet(0, 2);
    assert_eq!(boxes_written(&world, 0, all).concat(), [unit], "of its own agency, and once");
    let record = world.write(0, all, Class::Routine, &["under the new epoch"])[0];
    world.settle();
    assert_eq!(boxes_written(&world, 0, all).concat(), [unit], "others have a box");
    world.meet(3, 0);
    assert!(world.show(3, record).is_some());
}

#[test]
fn nothing_is_sealed_again_after_a_restart() {
    let (mut world, all) = rotated();
    for (dialer, listener) in [(0, 2), (1, 2), (0, 1), (0, 2), (1, 2)] {
        world.meet(dialer, listener);
    }
    let written = |world: &World| [0, 1, 2].map(|peer| boxes_written(world, peer, all));
    let before = written(&world);
    for peer in 0..3 {
        world.crash(peer);
        world.meet(peer, (peer + 1) % 3);
        let coalition = world.peers[peer].replica.compartment(all).unwrap().opening().coalition;
        world.open_named(peer, coalition, &[1, 2, 3], peer as u16);
        world.write(peer, all, Class::Routine, &["after"]);
        world.settle();
        world.meet(peer, (peer + 1) % 3);
    }
    assert_eq!(written(&world), before);
}
