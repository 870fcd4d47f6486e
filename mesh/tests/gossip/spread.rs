//! How broadcasts spread.

use crate::network::Network;

/// Copies of a broadcast for each peer that gets it, in hundredths.
const COPIES_PERCENT_MAX: usize = 150;

#[test]
fn a_thousand_peers_get_each_broadcast_about_once() {
    let mut network = Network::mesh(1, 1_000, 5);
    network.broadcasts(30);
    let measured = network.broadcasts(20);
    network.run_for(10_000);
    for number in 0..measured.end {
        assert_eq!(network.missed(number), Vec::<usize>::new());
    }
    for number in measured {
        let course = network.courses[number];
        assert!(course.copies * 100 <= COPIES_PERCENT_MAX * course.reached, "{course:?}");
    }
}
