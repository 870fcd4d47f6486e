//! The generator is worth what its histories decide: each rule must decide something in a minimum
//! share of them. A rule decides something where taking it out changes an answer.

use crate::bug::Bug;
use crate::generate;
use crate::naive::evaluate;
use crate::world::Choice;
use crate::{HISTORIES_DEFAULT, histories};

/// One in so many histories, at least, that each rule must decide.
const HISTORIES_PER_DECISION_MAX: u64 = 100;

#[test]
fn every_rule_decides_something() {
    // Fewer than by default cannot show it.
    let total = histories().max(HISTORIES_DEFAULT);
    let wanted = total.div_ceil(HISTORIES_PER_DECISION_MAX);
    let mut undecided: Vec<(Bug, u64)> = Bug::ALL.iter().map(|bug| (*bug, 0)).collect();
    for seed in 0..total {
        let held = generate::history(seed).held(&Choice::new());
        let right = evaluate(&held, None);
        for (bug, count) in &mut undecided {
            *count += u64::from(evaluate(&held, Some(*bug)) != right);
        }
        // Those that have decided often enough cost no more time.
        undecided.retain(|(_, count)| *count < wanted);
    }
    assert!(undecided.is_empty(), "decide in fewer than {wanted} of {total}: {undecided:?}");
}
