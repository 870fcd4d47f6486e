//! What hostile statements cost: each product of two numbers that their authors choose is tried, and
//! steps are counted, not time.

use super::crowd::member;
use super::support::{World, agency};
use crate::bounds::ROUTES_PER_DEVICE_MAX;

#[test]
fn grants_to_an_agency_cost_what_there_are_of_them_and_of_its_devices() {
    for equal in [true, false] {
        let mut world = World::new();
        world.crowd(1_000);
        world.to_agency(agency(1), 10_000, equal);
        world.judge();
        for n in 0..1_000 {
            let standing = world.compartment.live(&member(n)).unwrap();
            // The one that the coalition's grant gives, and those of the compartment.
            let given = if equal { 1 } else { ROUTES_PER_DEVICE_MAX };
            assert_eq!(standing.routes.len(), given);
        }
    }
}
