//! The fence behind the vocabulary: bounds on a run, each of which denies. Most of these tokens
//! never get as far as the evaluator, so it is called directly.

use super::*;

fn bombed(token: &Biscuit, bounds: RunBounds) -> Result<(), Stop> {
    evaluate(token, &request(), &here(Right::Admin), &bounds)
}

fn bound(which: RunBound) -> Result<(), Stop> {
    Err(Stop::Denial(Denial::Bound(which)))
}

/// A first block with so many facts that are not in the vocabulary.
fn with_facts(count: usize) -> Biscuit {
    odd_first(|mut builder| {
        for n in 0..count {
            builder = builder.fact(format!("n({n})").as_str()).unwrap();
        }
        builder
    })
}

/// Facts of the terms and of the request.
const ORDINARY_FACTS: usize = 12 + 8;

#[test]
fn a_bomb_of_facts_is_refused_unread_and_denied_if_run() {
    let terms = ORDINARY_FACTS - 8;
    let most = decoded(&with_facts(FACTS_MAX - terms)).unwrap_err();
    assert!(matches!(most, PassFault::Vocabulary { block: 0, .. }), "{most:?}");
    let found = FACTS_MAX + 1;
    let more = decoded(&with_facts(found - terms)).unwrap_err();
    assert_eq!(more, PassFault::TooManyFacts { found });
    assert_eq!(bombed(&with_facts(FACTS_MAX - ORDINARY_FACTS), patient()), Ok(()));
    assert_eq!(
        bombed(&with_facts(FACTS_MAX - ORDINARY_FACTS + 1), patient()),
        bound(RunBound::Facts)
    );
    let multiplying = odd_block("n(1); n(2); m($x, $y) <- n($x), n($y);");
    assert_eq!(
        decoded(&multiplying).unwrap_err(),
        PassFault::Vocabulary { block: 1, what: "a rule" }
    );
}

#[test]
fn a_bomb_of_rounds_is_refused_unread_and_denied_if_run() {
    // One fact more in each round: a chain of rules, longer than the rounds that are granted.
    let rounds = ITERATIONS_MAX as usize + 1;
    let chain: String = (0..rounds).map(|n| format!("s{}($x) <- s{n}($x);", n + 1)).collect();
    let chain = odd_block(&format!("s0(1); {chain}"));
    assert_eq!(decoded(&chain).unwrap_err(), PassFault::Vocabulary { block: 1, what: "a rule" });
    assert_eq!(bombed(&chain, patient()), bound(RunBound::Iterations));
    let short: String = (0..rounds - 2).map(|n| format!("s{}($x) <- s{n}($x);", n + 1)).collect();
    assert_eq!(bombed(&odd_block(&format!("s0(1); {short}")), patient()), Ok(()));
}

#[test]
fn running_out_of_time_is_a_denial() {
    let none = RunBounds { run_max: Duration::ZERO, ..RunBounds::default() };
    let pass = verified(&minted());
    let verdict = check(&pass, &request(), &here(Right::Admin), &BTreeSet::new(), &none);
    assert_eq!(verdict, PassVerdict::Denied(Denial::Bound(RunBound::Time)));
    let none = RunBounds { iterations_max: 0, ..patient() };
    assert_eq!(bombed(&odd_first(|same| same), none), Ok(()), "no rule, no round");
    let none = RunBounds { facts_max: 0, ..patient() };
    let verdict = check(&pass, &request(), &here(Right::Admin), &BTreeSet::new(), &none);
    assert_eq!(verdict, PassVerdict::Denied(Denial::Bound(RunBound::Facts)));
}

#[test]
fn the_shipped_bounds_are_the_stated_ones() {
    let bounds = RunBounds::default();
    assert_eq!(bounds.facts_max, 200);
    assert_eq!(bounds.iterations_max, 50);
    assert_eq!(bounds.run_max, Duration::from_millis(20));
}
