//! Greetings in turn: what somebody lacks who comes back over several links at once comes over one of them.

use tearline_crdt::id::Class;
use tearline_mesh::{Input, Link};

use crate::forger::shared;
use crate::world::{World, keys};

/// Longer than a greeting waits for another.
const TURN_MS: u64 = 2_500;

#[test]
fn who_comes_back_over_several_links_at_once_gets_what_it_lacks_once() {
    for dials in [true, false] {
        let (mut world, all) = shared(4);
        let names: Vec<String> = (0..40).map(|n| n.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let records = world.write(1, all, Class::Priority, &names);
        world.settle();
        (2..4).for_each(|peer| world.meet(peer, 1));
        let links = (1..4).map(|peer| if dials { (0, peer) } else { (peer, 0) });
        links.for_each(|(dialer, listener)| {
            world.connect(dialer, listener);
        });
        world.settle();
        assert!(records.iter().all(|record| world.show(0, *record).is_some()));
        let carried = world.peers[0].replica.carried();
        assert!(carried.bytes > 1_000 && carried.again_bytes == 0, "{carried:?}, dials: {dials}");
        assert!((1..4).all(|peer| world.digests_equal(0, peer)));
    }
}

/// A link on which the other side is silent: peer 0 said `Open` over it.
fn silent(world: &mut World, seed: u8) {
    let device = keys(seed).id();
    world.input(0, Input::Up { link: Link(9_000), device, dialer: true, thin: false });
}

#[test]
fn a_silent_member_delays_others_for_so_long_and_a_stranger_not_at_all() {
    for (seed, waits) in [(3, true), (60, false)] {
        let (mut world, all) = shared(3);
        silent(&mut world, seed);
        let record = world.write(1, all, Class::Flash, &["waits"])[0];
        world.connect(0, 1);
        world.steps(1_000);
        assert_eq!(world.show(0, record).is_none(), waits);
        world.run_for(TURN_MS);
        assert!(world.show(0, record).is_some());
        assert!(world.peers[0].replica.deadline().is_none(), "nothing waits any more");
    }
}
