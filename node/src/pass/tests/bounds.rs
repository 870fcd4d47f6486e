//! Every bound, at it and one past it.

use super::*;

#[test]
fn a_token_has_a_largest_size() {
    let largest = UnverifiedPass::decode(vec![0; TOKEN_BYTES_MAX]).unwrap_err();
    assert_eq!(largest, PassFault::Malformed, "read, and found to be nothing");
    let larger = UnverifiedPass::decode(vec![0; TOKEN_BYTES_MAX + 1]).unwrap_err();
    assert_eq!(larger, PassFault::TooLarge);
    let digits = TOKEN_BYTES_MAX.div_ceil(3) * 4;
    let text = format!("{TEXT_PREFIX}{}", "A".repeat(digits + 1));
    assert_eq!(UnverifiedPass::parse(&text).unwrap_err(), PassFault::TooLarge);
}

#[test]
fn a_token_has_most_blocks() {
    let step = Narrowing { label_max: Some(Tlp::Amber), ..Narrowing::default() };
    let mut pass = minted();
    for _ in 1..BLOCKS_MAX {
        pass = narrowed(&pass, &step);
    }
    assert_eq!(verdict(&pass, &request()), PassVerdict::Allowed);
    let found = BLOCKS_MAX + 1;
    let refused = narrow(&pass, &step, &[4; 32]).unwrap_err();
    assert_eq!(refused, NarrowError::Unreadable(PassFault::TooManyBlocks { found }));
    let mut token = odd_first(|same| same);
    for _ in 1..found {
        let block = BlockBuilder::new().code("check if label($x), $x <= 2").unwrap();
        token = token.append_with_keypair(&next_key(), block).unwrap();
    }
    assert_eq!(decoded(&token).unwrap_err(), PassFault::TooManyBlocks { found });
}

#[test]
fn the_largest_pass_that_can_be_minted_and_narrowed_fits() {
    let many = |from: u8| {
        (0..COMPARTMENTS_MAX as u8).map(|n| CompartmentId([from + n; 32])).collect::<BTreeSet<_>>()
    };
    let mut wide = terms();
    wide.holder = "h".repeat(tearline_crdt::bounds::NAME_BYTES_MAX);
    wide.scope.compartments = many(1);
    wide.scope.kinds = Kind::ALL.into();
    wide.scope.operations = Operation::ALL.into();
    let held = wide.scope.compartments.iter().map(|id| (*id, Right::Write)).collect();
    let mut pass = mint(&key(), &wide, &held, &[2; 32]).unwrap();
    for _ in 1..BLOCKS_MAX {
        let everything = Narrowing {
            right: Some(PassRight::Write),
            compartments: Some(many(1)),
            kinds: Some(Kind::ALL.into()),
            label_max: Some(Tlp::Red),
            operations: Some(Operation::ALL.into()),
            not_before: Some(MINTED),
            not_after: Some(wide.scope.not_after),
        };
        // With the widest narrowings not all blocks fit; then it says so.
        match narrow(&pass, &everything, &[4; 32]) {
            Ok(narrower) => pass = narrower,
            Err(error) => {
                assert_eq!(error, NarrowError::Unreadable(PassFault::TooLarge));
                break;
            }
        }
    }
    assert!(pass.blocks().len() > 3, "{}", pass.blocks().len());
    let request = Request { compartment: CompartmentId([1; 32]), ..request() };
    assert_eq!(verdict(&pass, &request), PassVerdict::Allowed);
}

#[test]
fn terms_have_bounds() {
    let after = |with: fn(&mut Terms)| {
        let mut terms = terms();
        with(&mut terms);
        terms.check()
    };
    let scope = |error| Err(TermsError::Scope(error));
    let name = "n".repeat(tearline_crdt::bounds::NAME_BYTES_MAX);
    let mut longest = terms();
    longest.holder.clone_from(&name);
    assert_eq!(longest.check(), Ok(()));
    longest.holder = name + "n";
    assert_eq!(longest.check(), Err(TermsError::Holder));
    assert_eq!(after(|t| t.holder = " ".into()), Err(TermsError::Holder));
    assert_eq!(after(|t| t.holder = "a\u{1b}[2J".into()), Err(TermsError::Holder));
    let last = MINTED.0 + VALID_DAYS_MAX * DAY_S;
    let mut until = terms();
    until.scope.not_after = Second(last);
    assert_eq!(until.check(), Ok(()));
    until.scope.not_after = Second(last + 1);
    assert_eq!(until.check(), Err(TermsError::TooLong));
    assert_eq!(after(|t| t.scope.not_after = t.scope.not_before), scope(ScopeError::Backwards));
    assert_eq!(after(|t| t.scope.kinds.clear()), scope(ScopeError::Nothing("kind")));
    assert_eq!(after(|t| t.scope.operations.clear()), scope(ScopeError::Nothing("operation")));
    assert_eq!(after(|t| t.scope.compartments.clear()), scope(ScopeError::Nothing("compartment")));
    assert_eq!(
        after(|t| t.scope.right = PassRight::Read),
        scope(ScopeError::Operation(Operation::Write))
    );
    let mut many = terms();
    many.scope.compartments = (0..COMPARTMENTS_MAX as u8).map(|n| CompartmentId([n; 32])).collect();
    assert_eq!(many.check(), Ok(()));
    many.scope.compartments.insert(ELSEWHERE);
    let found = COMPARTMENTS_MAX + 1;
    assert_eq!(many.check(), scope(ScopeError::Compartments { found }));
}

#[test]
fn a_narrowing_has_bounds() {
    let nothing = |what| Err(ScopeError::Nothing(what));
    let empty = Narrowing::default();
    assert_eq!(empty.check(), nothing("limit"));
    let kinds = Narrowing { kinds: Some(BTreeSet::new()), ..Narrowing::default() };
    assert_eq!(kinds.check(), nothing("kind"));
    let places = Narrowing { compartments: Some(BTreeSet::new()), ..Narrowing::default() };
    assert_eq!(places.check(), nothing("compartment"));
    let operations = Narrowing { operations: Some(BTreeSet::new()), ..Narrowing::default() };
    assert_eq!(operations.check(), nothing("operation"));
}
