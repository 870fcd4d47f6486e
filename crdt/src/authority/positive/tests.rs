//! How much is carried before it is given to the devices.

use crate::authority::fact::Fact;
use crate::authority::tests::support::{World, agency};

/// How many grants remain, and how many steps they come to at the first depth.
fn carried(grants: u64, devices: u64, equal: bool) -> (usize, usize) {
    let mut world = World::new();
    world.crowd(devices);
    world.grant_agency(agency(1), grants, equal);
    world.judge();
    let facts: Vec<&Fact> = world.compartment.facts.values().collect();
    let above = &world.coalition.positive.devices;
    let gifts = above.gifts(&[agency(1)].into(), &facts);
    (gifts.len(), above.carried(&gifts, 1).len())
}

#[test]
fn grants_to_an_agency_are_few_before_they_are_given_to_its_devices() {
    assert_eq!(carried(1, 100, true), (1, 1));
    // Positive reach knows no limits, so these are equal, too.
    assert_eq!(carried(1_000, 100, false), (1, 1));
}
