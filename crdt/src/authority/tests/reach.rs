//! §3 and §7: who can do what.

use super::support::{
    LIFE, Part, Who, Whole, World, agency, card, delegating, device, member, root_key,
};
use crate::authority::{Standing, StatementVerdict, Uncovered};
use crate::bounds::{ROUTE_DEPTH_MAX, ROUTES_PER_DEVICE_MAX};
use crate::id::Class;
use crate::statement::{Act, Audience, Caveats, Marks, Right, Statement};

/// Whether a device writes logs of a class in its first life.
fn writes(standing: &Standing, class: Class) -> bool {
    standing.routes_in(LIFE).any(|route| route.writes(class))
}

#[test]
fn a_desk_is_one_by_a_root_of_a_member() {
    let mut world = World::new();
    assert_eq!(world.right((1, 0)), Some(Right::Admin));
    world.certify(9, (1, 1));
    assert_eq!(world.right((1, 1)), None);
    // Whoever carries the certificate in.
    let certificate = super::support::keys((1, 2), |keys| {
        crate::statement::DeskCertificate::sign(&super::support::root(1), keys, None)
    });
    world.say((0, 7), Whole, Statement::Desk(certificate));
    assert_eq!(world.right((1, 2)), Some(Right::Admin));
}

#[test]
fn a_grant_counts_when_its_issuers_does_in_whatever_order_they_came() {
    let mut world = World::new();
    let early = world.grant((1, 4), Whole, (1, 5), Right::Write);
    assert_eq!(world.verdict(early), StatementVerdict::NoStanding);
    world.grant((1, 0), Whole, (1, 4), Right::Admit);
    assert_eq!(world.verdict(early), StatementVerdict::Counts);
    assert_eq!(world.right((1, 5)), Some(Right::Write));
}

#[test]
fn a_widened_grant_gives_nothing() {
    let mut world = World::new();
    let own = Caveats { classes: Some(0b1_0000), ..delegating() };
    world.grant_with((1, 0), Whole, (1, 4), Right::Admit, own);
    let wider = Caveats { classes: Some(0b1_1000), ..Caveats::default() };
    let grant = world.grant_with((1, 4), Whole, (1, 5), Right::Write, wider);
    assert_eq!(world.verdict(grant), StatementVerdict::Uncovered(Uncovered::Widened));
    let more = world.grant((1, 4), Whole, (1, 5), Right::Admin);
    assert_eq!(world.verdict(more), StatementVerdict::Uncovered(Uncovered::Widened));
    assert_eq!(world.right((1, 5)), None);
    // One that states no limit has its issuer's.
    world.grant((1, 4), Whole, (1, 5), Right::Write);
    let standing = world.compartment.live(&device((1, 5))).unwrap();
    assert!(
        writes(standing, Class::from_u8(4).unwrap())
            && !writes(standing, Class::from_u8(3).unwrap())
    );
}

#[test]
fn rights_are_united_over_routes() {
    let mut world = World::new();
    for classes in [1 << Class::Flash as u8, 1 << Class::Routine as u8] {
        let caveats = Caveats { classes: Some(classes), ..Caveats::default() };
        world.grant_with((1, 0), Whole, (1, 4), Right::Write, caveats);
    }
    let standing = world.compartment.live(&device((1, 4))).unwrap();
    assert!(writes(standing, Class::Flash) && writes(standing, Class::Routine));
    assert!(!writes(standing, Class::Priority));
}

#[test]
fn a_chain_of_64_grants_ends_where_routes_do() {
    let mut world = World::new();
    let mut by: Who = (1, 0);
    for n in 1..=64 {
        world.grant(by, Whole, (1, n), Right::Admit);
        by = (1, n);
    }
    let reached = (1..=64).filter(|n| world.right((1, *n)).is_some()).count();
    assert_eq!(reached, usize::from(ROUTE_DEPTH_MAX) - 1);
    let last = &world.coalition.devices()[&device((1, ROUTE_DEPTH_MAX - 1))];
    assert_eq!(last.routes[0].depth, ROUTE_DEPTH_MAX);
}

#[test]
fn the_smallest_routes_of_a_device_are_kept() {
    let mut world = World::new();
    for n in 0..=ROUTES_PER_DEVICE_MAX as u64 {
        let caveats = Caveats { not_before_ms: Some(n), ..Caveats::default() };
        world.grant_with((1, 0), Whole, (1, 4), Right::Write, caveats);
    }
    let routes = &world.coalition.devices()[&device((1, 4))].routes;
    assert_eq!(routes.len(), ROUTES_PER_DEVICE_MAX);
    assert!(routes.is_sorted());
    let latest = routes.iter().filter_map(|route| route.caveats.not_before_ms).max();
    assert_eq!(latest, Some(ROUTES_PER_DEVICE_MAX as u64 - 1));
}

#[test]
fn no_agency_claims_the_device_of_another() {
    let mut world = World::new();
    // Its card says whose it is, and issuer and sponsor must be of the agency that is named.
    world.grant((1, 0), Whole, (2, 4), Right::Write);
    let audience = Audience::Device { agency: agency(1), card: card((2, 4), (2, 0)) };
    let (right, caveats) = (Right::Write, Caveats::default());
    let claim = Statement::Grant { audience, right, caveats, reopening: None };
    world.say((1, 0), Whole, claim);
    assert_eq!(world.right((2, 4)), None);
    world.grant((2, 0), Whole, (2, 4), Right::Write);
    assert_eq!(world.coalition.devices()[&device((2, 4))].agency, agency(2));
}

#[test]
fn of_several_cards_the_smallest_counts() {
    let mut world = World::new();
    world.certify(1, (1, 1));
    let cards = [card((1, 4), (1, 0)), card((1, 4), (1, 1))];
    for card in cards.clone() {
        let audience = Audience::Device { agency: agency(1), card };
        let (right, caveats) = (Right::Write, Caveats::default());
        world.say((1, 0), Whole, Statement::Grant { audience, right, caveats, reopening: None });
    }
    let standing = &world.coalition.devices()[&device((1, 4))];
    assert_eq!(standing.card, cards.into_iter().min().unwrap());
}

#[test]
fn of_two_admissions_to_one_number_the_smaller_root_has_it() {
    let mut world = World::new();
    let mut roots = [root_key(7), root_key(8)];
    for n in [7, 8] {
        world.act(Act::Admit { member: member(7, n), cites: Vec::new() });
    }
    roots.sort_unstable();
    assert_eq!(world.coalition.member(agency(7)).unwrap().root, roots[0]);
    world.act(Act::Admit { member: member(1, 8), cites: Vec::new() });
    assert_eq!(world.coalition.member(agency(1)).unwrap().root, root_key(1));
}

#[test]
fn a_compartment_is_for_its_audience_and_others_only_relay() {
    let mut world = World::new();
    world.act(Act::Admit { member: member(7, 7), cites: Vec::new() });
    world.certify(7, (7, 0));
    world.grant((7, 0), Whole, (7, 4), Right::Admin);
    assert_eq!(world.right_here((7, 4)), None);
    world.grant((1, 0), Part, (7, 4), Right::Admin);
    assert_eq!(world.right_here((7, 4)), Some(Right::Relay));
    // And a relay opens nothing.
    assert!(!world.compartment.is_reader(&device((7, 4))));
    assert!(world.compartment.is_reader(&device((2, 0))));
}

/// Peers that hear of one admission before the other give its audience to one of the two at most.
#[test]
fn nobody_inherits_an_audience_by_taking_a_number() {
    let meant = root_key(7);
    let mut world = World::new();
    let id = world.coalition.id();
    let opening = super::support::keys((1, 0), |keys| {
        let audience = vec![(agency(1), root_key(1)), (agency(7), meant)];
        crate::statement::Opening::sign(keys.signer(), id, audience, [3; 16])
    });
    world.compartment = crate::authority::Compartment::new(opening);
    world.act(Act::Admit { member: member(7, 8), cites: Vec::new() });
    world.certify(8, (7, 0));
    assert_eq!(world.right((7, 0)), Some(Right::Admin));
    assert_eq!(world.right_here((7, 0)), None);
    assert!(!world.compartment.audience().contains(&agency(7)));
}

#[test]
fn a_grant_to_an_agency_is_one_to_each_of_its_devices() {
    let mut world = World::new();
    world.act(Act::Admit { member: member(7, 7), cites: Vec::new() });
    world.certify(7, (7, 0));
    world.grant((7, 0), Whole, (7, 4), Right::Read);
    let (audience, right) = (Audience::Agency(agency(7)), Right::Relay);
    let caveats = Caveats::default();
    world.say((2, 0), Part, Statement::Grant { audience, right, caveats, reopening: None });
    assert_eq!(world.right_here((7, 4)), Some(Right::Relay));
    assert_eq!(world.right_here((7, 0)), Some(Right::Relay));
    // Also to those that come later.
    world.grant((7, 0), Whole, (7, 5), Right::Read);
    assert_eq!(world.right_here((7, 5)), Some(Right::Relay));
}

#[test]
fn a_second_card_takes_no_device_from_those_above_it() {
    let mut world = World::new();
    world.grant((2, 0), Whole, (2, 4), Right::Admit);
    let revoked = world.grant((2, 4), Whole, (2, 5), Right::Write);
    assert_eq!(world.verdict(revoked), StatementVerdict::Counts);
    world.revoke((2, 4), Whole, (2, 5), Marks::NONE);
    // Under a desk of the smaller agency, in a log that nobody vouches for.
    let audience = Audience::Device { agency: agency(1), card: card((2, 4), (1, 0)) };
    let (right, caveats) = (Right::Write, Caveats::default());
    world.say((0, 3), Whole, Statement::Grant { audience, right, caveats, reopening: None });
    assert_eq!(world.right((2, 4)), Some(Right::Admit));
    assert_eq!(world.right((2, 5)), None);
    world.revoke((2, 0), Whole, (2, 4), Marks::NONE);
    assert_eq!(world.right((2, 4)), None);
}

#[test]
fn positive_reach_ends_at_a_fork() {
    let mut world = World::new();
    world.grant((1, 0), Whole, (1, 4), Right::Admit);
    world.grant((1, 4), Whole, (1, 5), Right::Write);
    let log = world.log((1, 4), Whole, Class::Authority);
    assert!(world.coalition.admits(&device((1, 5)), None));
    world.fork(log, 0);
    assert!(!world.coalition.admits(&device((1, 5)), None));
    assert_eq!(world.right((1, 5)), None);
}

#[test]
fn a_quota_is_the_widest_of_the_routes_that_let_a_device_write() {
    let mut world = World::new();
    let unit = (1, 4);
    let quota = |world: &World| world.compartment.quota(&device(unit), LIFE);
    let limited = |bytes: u64| Caveats { quota_bytes: Some(bytes), ..Caveats::default() };
    world.grant_with((1, 0), Whole, unit, Right::Write, limited(100));
    assert_eq!(quota(&world), Some(100));
    world.grant_with((2, 0), Part, unit, Right::Write, limited(300));
    world.grant_with((1, 0), Part, unit, Right::Write, limited(200));
    assert_eq!(quota(&world), Some(300));
    world.grant_with((1, 0), Part, unit, Right::Read, Caveats::default());
    assert_eq!(quota(&world), Some(300), "who only reads writes nothing by that");
    world.grant_with((1, 0), Part, unit, Right::Write, Caveats::default());
    assert_eq!(quota(&world), None);
    assert_eq!(world.compartment.quota(&device((1, 0)), LIFE), None, "a desk has none");
    assert_eq!(world.compartment.quota(&device((3, 9)), LIFE), None, "a stranger writes nothing");
}
