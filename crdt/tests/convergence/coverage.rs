//! The generator is worth what its histories decide: each rule must decide something in a minimum
//! share of them. A rule decides something where taking it out changes an answer.

use crate::bug::Bug;
use crate::generate;
use crate::histories;
use crate::naive::evaluate;
use crate::world::Choice;

#[test]
fn every_rule_decides_something() {
    let total = histories();
    let mut decided = vec![0u64; Bug::ALL.len()];
    let mut size = 0;
    for seed in 0..total {
        let history = generate::history(seed);
        size += history.size();
        let held = history.held(&Choice::new());
        let right = evaluate(&held, None);
        for (n, bug) in Bug::ALL.iter().enumerate() {
            decided[n] += u64::from(evaluate(&held, Some(*bug)) != right);
        }
    }
    println!("{total} histories, {} statements on average", size as u64 / total);
    for (bug, count) in Bug::ALL.iter().zip(&decided) {
        println!("{:5.1} %  {bug:?}", *count as f64 * 100.0 / total as f64);
    }
    for (bug, count) in Bug::ALL.iter().zip(&decided) {
        assert!(count * 100 >= total, "{bug:?} decides in {count} of {total} histories");
    }
}
