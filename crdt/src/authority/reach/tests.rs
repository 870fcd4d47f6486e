//! How much is found before it is given to the devices.

use std::collections::BTreeSet;

use super::{Found, Within, audience, by_issuer};
use crate::authority::fact::Fact;
use crate::authority::tests::support::{World, agency};
use crate::bounds::ROUTES_PER_DEVICE_MAX;

/// How many routes grants to an agency are, before its devices have them.
fn found(grants: u64, devices: u64) -> usize {
    let mut world = World::new();
    world.crowd(devices);
    world.grant_agency(agency(1), grants, false);
    world.judge();
    let facts: Vec<&Fact> = world.compartment.facts.values().collect();
    let coalition = &world.coalition.counting;
    let audience: BTreeSet<_> = audience(coalition, &world.compartment.opening);
    let within = Within::Compartment { coalition, audience: &audience };
    Found::new(&coalition.devices, &by_issuer(&facts), &within, 1).routes()
}

#[test]
fn grants_to_an_agency_are_cut_before_they_are_given_to_its_devices() {
    assert_eq!(found(1, 100), 1);
    assert_eq!(found(ROUTES_PER_DEVICE_MAX as u64, 100), ROUTES_PER_DEVICE_MAX);
    assert_eq!(found(1_000, 100), ROUTES_PER_DEVICE_MAX);
}
