//! Equal scenario and seed: equal runs, to the byte.

use tearline_simulations::plan::{Changes, Plan};
use tearline_simulations::{library, run};

use crate::small;

#[test]
fn a_seed_gives_the_same_run_twice_and_another_seed_another() {
    let scenario = library::named("chaos").unwrap();
    let outcome = |seed| run(&Plan::of(&scenario, seed, Changes::default()), None).unwrap();
    let (first, again, other) = (outcome(7), outcome(7), outcome(8));
    assert_eq!(first.violation, None);
    assert_eq!(first.trace_hash, again.trace_hash);
    assert_eq!((first.events, &first.marks), (again.events, &again.marks));
    assert_ne!(first.trace_hash, other.trace_hash);
    assert!(first.events > 1_000 && first.marks.len() as u64 == first.events / 1_000);
}

#[test]
fn the_small_mesh_does_all_of_its_work_and_reaches_its_goals() {
    let outcome = run(&small(1), None).unwrap();
    assert_eq!(outcome.violation, None);
    assert!(outcome.is_good(), "{:?}", outcome.goals);
    assert!(outcome.written.records > 15 && outcome.written.edits > 0, "{:?}", outcome.written);
    assert!(outcome.agreed_after.is_some());
    let crossed = |line: &&tearline_simulations::outcome::LineOutcome| line.counts.lost > 0;
    assert!(outcome.lines.iter().any(|line| crossed(&line)), "nothing was lost");
}

/// The plan as a file is the same run, so that what a sweep finds can be kept.
#[test]
fn a_plan_that_was_written_out_runs_as_it_did() {
    let plan = small(3);
    let text = plan.to_toml();
    let scenario = tearline_simulations::Scenario::parse(&text, "plan.toml").unwrap();
    let again = Plan::of(&scenario, 3, Changes::default());
    assert_eq!(run(&plan, None).unwrap().trace_hash, run(&again, None).unwrap().trace_hash);
}
