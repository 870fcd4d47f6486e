//! How broadcasts spread, and how a mesh holds together.

use tearline_mesh::gossip::tree::Spread;

use crate::measure::{COPIES_PERCENT_MAX, Measured, WARM_UP, settled};
use crate::network::{Network, Role};

/// Everybody got everything, within the bounds, and no honest peer blamed another.
fn check(network: &Network, broadcasts: std::ops::Range<usize>) -> Measured {
    let measured = Measured::of(network, broadcasts);
    assert!(measured.is_within_bounds(), "{measured:?}");
    assert_eq!(faults(network), 0);
    measured
}

/// How many honest peers were blamed by honest ones.
fn faults(network: &Network) -> usize {
    let honest: Vec<_> = network.honest().map(|at| network.peers[at].device).collect();
    let blamed = network.honest().flat_map(|at| &network.peers[at].faults);
    blamed.filter(|(device, _)| honest.contains(device)).count()
}

#[test]
fn a_thousand_peers_get_each_broadcast_about_once_over_few_hops() {
    let mut network = Network::mesh(1, 1_000, 5);
    let measured = settled(&mut network);
    check(&network, measured);
}

#[test]
fn the_same_seed_gives_the_same_course() {
    let course = |seed| {
        let mut network = Network::mesh(seed, 60, 5);
        network.broadcasts(10);
        (network.digest, network.events)
    };
    assert_eq!(course(7), course(7));
    assert_ne!(course(7), course(8));
}

#[test]
fn few_peers_of_few_agencies_are_a_mesh_too() {
    for (peers, agencies) in [(2, 1), (2, 2), (3, 2), (7, 1), (8, 3), (9, 2), (20, 3)] {
        let mut network = Network::mesh(1, peers, agencies);
        assert_eq!(network.together(), peers, "{agencies} agencies");
        let measured = settled(&mut network);
        check(&network, measured);
    }
}

#[test]
fn what_is_only_announced_comes_once() {
    let mut network = Network::mesh(1, 200, 5);
    network.broadcasts(WARM_UP);
    let number = network.broadcast(3, Spread::Announce);
    network.run_for(30_000);
    let measured = Measured::of(&network, number..number + 1);
    assert_eq!((measured.missed, measured.deliveries), (0, 199));
}

#[test]
fn neighbours_are_so_both_ways_once_what_is_under_way_has_come() {
    let mut network = Network::mesh(3, 300, 5);
    for at in 0..60 {
        network.kill(at * 5);
    }
    network.run_for(30_000);
    let before = network.one_sided();
    network.run_for(5_000);
    let after = network.one_sided();
    assert_eq!(before.intersection(&after).count(), 0);
    assert_eq!(network.together(), 240);
}

#[test]
fn neighbours_are_so_both_ways_again_when_messages_were_lost() {
    let mut network = Network::mesh(3, 200, 5);
    network.loss_per_mille = 300;
    for at in 0..60 {
        network.kill(at * 3);
    }
    network.run_for(20_000);
    assert!(!network.one_sided().is_empty(), "nothing that matters was lost");
    network.loss_per_mille = 0;
    // Each link carries a shuffle now and then.
    network.run_for(600_000);
    let before = network.one_sided();
    network.run_for(5_000);
    let after = network.one_sided();
    assert_eq!(before.intersection(&after).count(), 0);
}

#[test]
fn a_third_of_the_peers_killed_at_once_cost_nobody_else_anything() {
    let mut network = Network::mesh(4, 300, 5);
    network.broadcasts(WARM_UP);
    for at in 0..100 {
        network.kill(at * 3);
    }
    let measured = network.broadcasts(20);
    network.run_for(30_000);
    assert_eq!(Measured::of(&network, measured).missed, 0);
    assert_eq!((network.together(), faults(&network)), (200, 0));
}

#[test]
fn halves_that_were_cut_apart_find_each_other_again() {
    let mut network = Network::mesh(5, 200, 5);
    network.broadcasts(WARM_UP);
    network.cut(80);
    let apart = network.broadcasts(20);
    network.run_for(60_000);
    assert_ne!(Measured::of(&network, apart.clone()).missed, 0, "they were not apart");
    network.heal();
    network.run_for(900_000);
    assert_eq!(Measured::of(&network, apart).missed, 0);
    assert_eq!(network.together(), 200);
    let measured = settled(&mut network);
    check(&network, measured);
}

#[test]
fn a_peer_that_starts_again_comes_in_again() {
    let mut network = Network::mesh(6, 100, 5);
    network.broadcasts(20);
    network.kill(50);
    let missed = network.broadcasts(5);
    network.restart(50, 3);
    network.run_for(30_000);
    assert_eq!(Measured::of(&network, missed).missed, 0);
    assert_eq!((network.together(), faults(&network)), (100, 0));
}

/// All of one of five agencies.
fn hostile(role: Role) -> Network {
    let mut network = Network::new(9, 300, 5);
    for at in (4..300).step_by(5) {
        network.peers[at].role = role;
    }
    network.join_all(60);
    network.run_for(120_000);
    network.broadcasts(WARM_UP);
    network
}

#[test]
fn an_agency_of_hostile_peers_keeps_nothing_from_the_others() {
    for role in Role::HOSTILE {
        let mut network = hostile(role);
        let measured = network.broadcasts(20);
        network.run_for(60_000);
        let measured = Measured::of(&network, measured);
        assert_eq!((measured.missed, faults(&network)), (0, 0), "{role:?}: {measured:?}");
        // Poisoners make neighbours give way without end, and every new link brings copies.
        let copies_percent_max = if role == Role::Poisoner { 350 } else { COPIES_PERCENT_MAX };
        assert!(measured.copies_percent() <= copies_percent_max, "{role:?}: {measured:?}");
        assert_eq!(network.together(), 240, "{role:?}");
        // A place above an agency's share of 2 is lent while nobody else wants it.
        let of_them = |at| network.neighbours(at).into_iter().filter(|n| n % 5 == 4).count();
        let sum: usize = network.honest().map(of_them).sum();
        assert!(sum <= 2 * 240, "{role:?}: {sum}");
    }
}
