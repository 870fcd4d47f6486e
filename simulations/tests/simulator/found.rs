//! Runs that broke, made small. Each has the seed with which it broke.

use tearline_simulations::plan::{Changes, Plan};
use tearline_simulations::run;
use tearline_simulations::scenario::Scenario;

fn holds(text: &str, seed: u64) {
    let scenario = Scenario::parse(text, "found").unwrap();
    let plan = Plan::of(&scenario, seed, Changes::default());
    assert_eq!(run(&plan, None).unwrap().violation, None);
}

#[test]
fn what_is_on_the_disk_of_a_dropper_alone_is_gone() {
    holds(include_str!("found/dropper-alone.toml"), 121);
}

/// A device is there twice. Who holds one branch pushes its next entry to who holds as much of the other, and
/// the signature over a previous hash that is derived there does not hold.
#[test]
fn who_pushes_a_branch_to_who_holds_the_other_is_not_blamed() {
    holds(include_str!("found/other-branch.toml"), 101);
}
