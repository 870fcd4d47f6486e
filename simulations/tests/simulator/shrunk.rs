//! A run that breaks becomes a small scenario that breaks the same way.

use tearline_simulations::oracle::Oracle;
use tearline_simulations::plan::{Changes, Plan};
use tearline_simulations::scenario::Scenario;
use tearline_simulations::shrink::shrink;
use tearline_simulations::sweep::Broke;
use tearline_simulations::{Sabotage, run};

use crate::small;

#[test]
fn a_lost_acknowledgement_shrinks_to_a_write_and_a_crash() {
    let sabotage = Some(Sabotage::EarlyFlush);
    let is_lost = |seed: &u64| {
        let violation = run(&small(*seed), sabotage).unwrap().violation;
        violation.is_some_and(|violation| violation.oracle == Oracle::Durability)
    };
    let seed = (1..10).find(is_lost).expect("a seed that loses something");
    let shrunk = shrink(&small(seed), 150, sabotage).unwrap();
    let plan = &shrunk.plan;
    assert!(matches!(&shrunk.broke, Broke::Violated(v) if v.oracle == Oracle::Durability));
    assert!(plan.posts.len() <= 2 && plan.faults.len() == 1, "{}", plan.to_toml());
    assert!(plan.writes.len() <= 3, "{}", plan.to_toml());
    // It is a scenario of its own, and breaks as one.
    let scenario = Scenario::parse(&plan.to_toml(), "shrunk.toml").unwrap();
    let again = Plan::of(&scenario, seed, Changes::default());
    let violation = run(&again, sabotage).unwrap().violation.unwrap();
    assert_eq!(violation.oracle, Oracle::Durability);
    assert_eq!(run(&again, None).unwrap().violation, None, "without the bug nothing breaks");
}

#[test]
fn what_does_not_break_is_not_shrunk() {
    assert!(shrink(&small(1), 10, None).is_none());
}
