//! Whatever a holder appends, the set of allowed requests only shrinks; and the evaluator allows
//! exactly what the scope, read as plain sets and intervals, says.

use proptest::collection::{btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn compartments() -> impl Strategy<Value = BTreeSet<CompartmentId>> {
    btree_set(select(vec![SHORE, DESERT, ELSEWHERE]), 1..=3)
}

fn kinds() -> impl Strategy<Value = BTreeSet<Kind>> {
    btree_set(select(vec![Kind::Object, Kind::Sighting, Kind::Vehicle, Kind::Alert]), 1..=4)
}

fn operations() -> impl Strategy<Value = BTreeSet<Operation>> {
    btree_set(select(Operation::ALL.to_vec()), 1..=5)
}

fn label() -> impl Strategy<Value = Tlp> {
    select(vec![Tlp::Clear, Tlp::Green, Tlp::Amber, Tlp::AmberStrict, Tlp::Red])
}

/// Times around those of the terms.
fn second() -> impl Strategy<Value = Second> {
    (0..40 * DAY_S).prop_map(|after| Second(MINTED.0 + after))
}

fn narrowing() -> impl Strategy<Value = Narrowing> {
    let right = of(select(PassRight::ALL.to_vec()));
    let sets = (of(compartments()), of(kinds()), of(operations()));
    (right, sets, of(label()), of(second()), of(second())).prop_map(
        |(right, (compartments, kinds, operations), label_max, not_before, not_after)| Narrowing {
            right,
            compartments,
            kinds,
            label_max,
            operations,
            not_before,
            not_after,
        },
    )
}

fn any_request() -> impl Strategy<Value = Request> {
    let operation = select(Operation::ALL.to_vec());
    let compartment = select(vec![SHORE, DESERT, ELSEWHERE]);
    let kind = select(vec![Kind::Object, Kind::Sighting, Kind::Vehicle, Kind::Alert]);
    (operation, compartment, kind, of(label()), second(), 0..1_000u64).prop_map(
        |(operation, compartment, kind, label, now, ms)| Request {
            operation,
            compartment,
            kind,
            label,
            now: WallTime(now.time().0 + ms),
        },
    )
}

/// What a scope covers, in plain sets and intervals.
fn covers(scope: &Scope, request: &Request) -> bool {
    let now = Second::of(request.now);
    request.operation.needs() <= scope.right
        && scope.compartments.contains(&request.compartment)
        && scope.kinds.contains(&request.kind)
        && request.label.is_some_and(|label| label <= scope.label_max)
        && scope.operations.contains(&request.operation)
        && (scope.not_before..scope.not_after).contains(&now)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn narrowing_never_allows_more(
        steps in vec(narrowing().prop_filter("it limits", |n| n.check().is_ok()), 0..BLOCKS_MAX),
        requests in vec(any_request(), 1..12),
    ) {
        let mut pass = minted();
        let mut before: Vec<bool> =
            requests.iter().map(|r| verdict(&pass, r) == PassVerdict::Allowed).collect();
        for step in &steps {
            pass = narrow(&pass, step, &[4; 32]).unwrap();
            let scope = pass.scope();
            let now: Vec<bool> =
                requests.iter().map(|r| verdict(&pass, r) == PassVerdict::Allowed).collect();
            for ((was, is), request) in before.iter().zip(&now).zip(&requests) {
                prop_assert!(*was || !is, "{request:?} was denied before {step:?}");
                prop_assert_eq!(*is, covers(&scope, request), "{:?} {:?}", request, scope);
            }
            before = now;
        }
        let said = verified(&pass).said().clone();
        prop_assert_eq!(said.narrowings(), steps.as_slice());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in vec(any::<u8>(), 0..600)) {
        prop_assert!(UnverifiedPass::decode(bytes).is_err());
    }

    /// Bytes that were signed by whoever holds the pass, so that every parser sees them.
    #[test]
    fn no_signed_block_makes_the_reader_panic(
        at in 0..400usize,
        with in vec(any::<u8>(), 0..8),
        take in 0..8usize,
    ) {
        let block = BlockBuilder::new()
            .code("check if kind($x), {13, 17}.contains($x); check if label($y), $y <= 1;")
            .unwrap();
        let token = odd_first(|same| same).append_with_keypair(&next_key(), block).unwrap();
        let mut data = token.container().to_proto().blocks[0].block.clone();
        let at = at.min(data.len());
        let to = (at + take).min(data.len());
        data.splice(at..to, with);
        let changed = odd_first(|same| same)
            .container()
            .append_serialized(&key_pair(&[4; 32]).unwrap(), data, None)
            .unwrap();
        if let Ok(pass) = UnverifiedPass::decode(changed.to_vec().unwrap()) {
            let pass = pass.verify(&key()).unwrap();
            let verdict =
                check(&pass, &request(), &here(Right::Admin), &BTreeSet::new(), &patient());
            prop_assert_eq!(verdict == PassVerdict::Allowed, covers(&pass.said().scope(), &request()));
        }
    }
}
