//! Passes: what one allows, and a denial for each way to forge or widen one.

mod bounds;
mod forge;
mod limits;
mod narrower;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use biscuit_auth::builder::{BiscuitBuilder, BlockBuilder};
use biscuit_auth::datalog::SymbolTable;
use biscuit_auth::{Biscuit, KeyPair};
use tearline_crdt::id::{CompartmentId, DeviceId};
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::vocabulary::{Purpose, Tlp};
use tearline_crdt::statement::Right;
use tearline_crdt::time::WallTime;

use super::check::{Stop, evaluate};
use super::key::key_pair;
use super::*;

const DAY_S: u64 = 86_400;
pub(super) const MINTED: Second = Second(1_800_000_000);
const DEVICE: DeviceId = DeviceId([3; 32]);
const SHORE: CompartmentId = CompartmentId([0xa1; 32]);
const DESERT: CompartmentId = CompartmentId([0xa2; 32]);
const ELSEWHERE: CompartmentId = CompartmentId([0xa3; 32]);

fn key() -> PassKey {
    PassKey::derive(&[1; 32], 7)
}

/// Terms that leave something out of everything that can be left out.
fn terms() -> Terms {
    Terms {
        id: PassId([9; 16]),
        device: DEVICE,
        holder: "TAXII client".to_owned(),
        purpose: Purpose::BorderMonitoring,
        minted: MINTED,
        scope: Scope {
            right: PassRight::Write,
            compartments: BTreeSet::from([SHORE, DESERT]),
            kinds: BTreeSet::from([Kind::Sighting, Kind::Vehicle, Kind::Alert]),
            label_max: Tlp::Amber,
            operations: BTreeSet::from([Operation::Read, Operation::Search, Operation::Write]),
            not_before: Second(MINTED.0 + 10),
            not_after: Second(MINTED.0 + 30 * DAY_S),
        },
    }
}

fn held(right: Right) -> BTreeMap<CompartmentId, Right> {
    BTreeMap::from([(SHORE, right), (DESERT, right)])
}

pub(super) fn minted() -> UnverifiedPass {
    mint(&key(), &terms(), &held(Right::Admin), &[2; 32]).unwrap()
}

fn narrowed(pass: &UnverifiedPass, narrowing: &Narrowing) -> UnverifiedPass {
    narrow(pass, narrowing, &[4; 32]).unwrap()
}

fn verified(pass: &UnverifiedPass) -> Pass {
    UnverifiedPass::parse(&pass.to_text()).unwrap().verify(&key()).unwrap()
}

/// A request that [`terms`] cover.
fn request() -> Request {
    Request {
        operation: Operation::Write,
        compartment: SHORE,
        kind: Kind::Sighting,
        label: Some(Tlp::Green),
        now: Second(MINTED.0 + DAY_S).time(),
    }
}

fn here(right: Right) -> Standing {
    Standing { device: DEVICE, right: Some(right) }
}

/// No bound that a busy machine could reach.
fn patient() -> RunBounds {
    RunBounds { run_max: Duration::from_secs(3_600), ..RunBounds::default() }
}

fn verdict(pass: &UnverifiedPass, request: &Request) -> PassVerdict {
    check(&verified(pass), request, &here(Right::Admin), &BTreeSet::new(), &patient())
}

fn denied(block: usize, limit: Limit) -> PassVerdict {
    PassVerdict::Denied(Denial::Outside { block, limit })
}

/// A token whose first block holds the facts of [`terms`] and what `more` adds.
fn odd_first(more: impl FnOnce(BiscuitBuilder) -> BiscuitBuilder) -> Biscuit {
    let mut builder = Biscuit::builder();
    for fact in vocabulary::facts(&terms()) {
        builder = builder.fact(fact).unwrap();
    }
    let next = key_pair(&[2; 32]).unwrap();
    more(builder).build_with_key_pair(&key().pair().unwrap(), SymbolTable::new(), &next).unwrap()
}

/// A good pass with a block of this Datalog appended.
fn odd_block(code: &str) -> Biscuit {
    let block = BlockBuilder::new().code(code).unwrap();
    odd_first(|same| same).append_with_keypair(&next_key(), block).unwrap()
}

fn next_key() -> KeyPair {
    key_pair(&[4; 32]).unwrap()
}

fn decoded(token: &Biscuit) -> Result<UnverifiedPass, PassFault> {
    UnverifiedPass::decode(token.to_vec().unwrap())
}

#[test]
fn a_pass_says_what_it_was_minted_with() {
    let pass = minted();
    let again = UnverifiedPass::parse(&pass.to_text()).unwrap();
    assert_eq!((again.terms(), again.narrowings()), (&terms(), &[][..]));
    assert_eq!(again.scope(), terms().scope);
    assert_eq!(decoded(&odd_first(|same| same)).unwrap().to_text(), pass.to_text());
    assert!(pass.to_text().len() < 1_024, "it fits a header line: {}", pass.to_text().len());
    assert!(!format!("{:?}", verified(&pass)).contains(&pass.to_text()), "it is a secret");
}

#[test]
fn a_narrowing_reads_back_and_is_seen_in_the_scope() {
    let narrowing = Narrowing {
        right: Some(PassRight::Read),
        compartments: Some(BTreeSet::from([DESERT, ELSEWHERE])),
        kinds: Some(BTreeSet::from([Kind::Alert, Kind::Person])),
        label_max: Some(Tlp::Red),
        operations: Some(BTreeSet::from([Operation::Read, Operation::Write])),
        not_before: Some(MINTED),
        not_after: Some(Second(MINTED.0 + DAY_S)),
    };
    let pass = narrowed(&minted(), &narrowing);
    let again = verified(&pass).said().clone();
    assert_eq!(again.narrowings(), &[narrowing]);
    let left = Scope {
        right: PassRight::Read,
        compartments: BTreeSet::from([DESERT]),
        kinds: BTreeSet::from([Kind::Alert]),
        label_max: Tlp::Amber,
        operations: BTreeSet::from([Operation::Read]),
        not_before: Second(MINTED.0 + 10),
        not_after: Second(MINTED.0 + DAY_S),
    };
    assert_eq!(again.scope(), left);
    assert_eq!(again.terms(), &terms());
    assert_eq!(again.blocks().len(), 2);
    assert_eq!(again.blocks().first(), minted().blocks().first());
}

#[test]
fn what_lies_within_is_allowed() {
    assert_eq!(verdict(&minted(), &request()), PassVerdict::Allowed);
    for operation in [Operation::Read, Operation::Search] {
        let request = Request { operation, compartment: DESERT, ..request() };
        assert_eq!(verdict(&minted(), &request), PassVerdict::Allowed);
    }
}

#[test]
fn each_limit_of_the_terms_denies_beyond_its_edge_and_not_at_it() {
    let scope = terms().scope;
    let first = Request { now: scope.not_before.time(), ..request() };
    let early = Request { now: WallTime(scope.not_before.time().0 - 1), ..request() };
    let last = Request { now: WallTime(scope.not_after.time().0 - 1), ..request() };
    let late = Request { now: scope.not_after.time(), ..request() };
    let ceiling = Request { label: Some(Tlp::Amber), ..request() };
    for allowed in [first, last, ceiling] {
        assert_eq!(verdict(&minted(), &allowed), PassVerdict::Allowed, "{allowed:?}");
    }
    for (outside, limit) in [
        (early, Limit::NotBefore),
        (late, Limit::NotAfter),
        (Request { compartment: ELSEWHERE, ..request() }, Limit::Compartment),
        (Request { kind: Kind::Person, ..request() }, Limit::Kind),
        (Request { label: Some(Tlp::AmberStrict), ..request() }, Limit::Label),
        (Request { label: None, ..request() }, Limit::Label),
        (Request { operation: Operation::Export, ..request() }, Limit::Operation),
        (Request { operation: Operation::Import, ..request() }, Limit::Operation),
    ] {
        assert_eq!(verdict(&minted(), &outside), denied(0, limit), "{outside:?}");
    }
    let mut reading = terms();
    reading.scope.right = PassRight::Read;
    reading.scope.operations = BTreeSet::from([Operation::Read]);
    let reading = mint(&key(), &reading, &held(Right::Read), &[2; 32]).unwrap();
    assert_eq!(verdict(&reading, &request()), denied(0, Limit::Right));
}

#[test]
fn each_limit_of_a_narrowing_denies_by_its_name_and_block() {
    let limits = [
        Narrowing { not_before: Some(Second(MINTED.0 + 2 * DAY_S)), ..Narrowing::default() },
        Narrowing { not_after: Some(Second(MINTED.0 + DAY_S)), ..Narrowing::default() },
        Narrowing { right: Some(PassRight::Read), ..Narrowing::default() },
        Narrowing { compartments: Some(BTreeSet::from([DESERT])), ..Narrowing::default() },
        Narrowing { kinds: Some(BTreeSet::from([Kind::Alert])), ..Narrowing::default() },
        Narrowing { label_max: Some(Tlp::Clear), ..Narrowing::default() },
        Narrowing { operations: Some(BTreeSet::from([Operation::Read])), ..Narrowing::default() },
    ];
    let wide = Narrowing { label_max: Some(Tlp::Red), ..Narrowing::default() };
    for (narrowing, limit) in limits.iter().zip(Limit::ALL) {
        assert_eq!(narrowing.limits().collect::<Vec<_>>(), [limit]);
        let once = narrowed(&minted(), narrowing);
        assert_eq!(verdict(&once, &request()), denied(1, limit));
        let second = narrowed(&narrowed(&minted(), &wide), narrowing);
        assert_eq!(verdict(&second, &request()), denied(2, limit));
    }
    assert_eq!(verdict(&narrowed(&minted(), &wide), &request()), PassVerdict::Allowed);
}

#[test]
fn a_pass_is_never_wider_than_the_device_is_now() {
    let pass = verified(&minted());
    let read = Request { operation: Operation::Read, ..request() };
    let now = |right, request: &Request| {
        let standing = Standing { device: DEVICE, right };
        check(&pass, request, &standing, &BTreeSet::new(), &patient())
    };
    let lost = PassVerdict::Denied(Denial::Standing);
    for right in [None, Some(Right::Relay), Some(Right::Read)] {
        assert_eq!(now(right, &request()), lost, "{right:?}");
    }
    for right in [None, Some(Right::Relay)] {
        assert_eq!(now(right, &read), lost, "{right:?}");
    }
    assert_eq!(now(Some(Right::Read), &read), PassVerdict::Allowed);
    for right in [Right::Write, Right::Admit, Right::Admin] {
        assert_eq!(now(Some(right), &request()), PassVerdict::Allowed, "{right:?}");
    }
}

#[test]
fn a_revoked_block_takes_down_what_was_narrowed_from_it_and_nothing_else() {
    let parent = minted();
    let kinds = Narrowing { kinds: Some(BTreeSet::from([Kind::Sighting])), ..Narrowing::default() };
    let child = narrowed(&parent, &kinds);
    let grandchild = narrow(&child, &kinds, &[5; 32]).unwrap();
    let sibling = narrow(&parent, &kinds, &[6; 32]).unwrap();
    let with_revoked = |pass: &UnverifiedPass, block: BlockId| {
        let revoked = BTreeSet::from([block]);
        check(&verified(pass), &request(), &here(Right::Admin), &revoked, &patient())
    };
    let last = |pass: &UnverifiedPass| *pass.blocks().last().unwrap();
    let revoked = |block| PassVerdict::Denied(Denial::Revoked { block });
    for pass in [&parent, &child, &grandchild, &sibling] {
        assert_eq!(with_revoked(pass, last(&parent)), revoked(0), "the pass itself");
    }
    assert_eq!(with_revoked(&child, last(&child)), revoked(1));
    assert_eq!(with_revoked(&grandchild, last(&child)), revoked(1), "a revoked parent");
    assert_eq!(with_revoked(&parent, last(&child)), PassVerdict::Allowed);
    assert_eq!(with_revoked(&sibling, last(&child)), PassVerdict::Allowed);
}

#[test]
fn nothing_is_minted_above_what_the_device_may_do() {
    let above = |compartment| Err(MintError::Above { compartment, wanted: PassRight::Write });
    let try_with =
        |held: &BTreeMap<CompartmentId, Right>| mint(&key(), &terms(), held, &[2; 32]).map(|_| ());
    assert_eq!(try_with(&held(Right::Write)), Ok(()));
    assert_eq!(try_with(&held(Right::Read)), above(SHORE));
    assert_eq!(try_with(&BTreeMap::new()), above(SHORE));
    let one = BTreeMap::from([(SHORE, Right::Admin), (DESERT, Right::Read)]);
    assert_eq!(try_with(&one), above(DESERT));
}
