//! Every fault by name, and attacks.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::bounds::{CHANGE_BYTES_MAX, CHANGE_OPS_MAX, DEPS_MAX};
use crate::change::tests::{bomb, play, sessions};
use crate::change::{Built, first_change};

const ACTOR: Actor = [1; 16];

fn first(expected: Expected<'_>) -> Expected<'_> {
    Expected { actor: ACTOR, seq: 1, start_op: 1, ..expected }
}

fn alone() -> Expected<'static> {
    first(Expected { actor: ACTOR, seq: 1, deps: &[], start_op: 1 })
}

fn honest() -> Built {
    let fields = json!({"name": "Kilo", "crew": [{"role": "master"}, 2], "count": 3});
    first_change(ACTOR, 7, fields.as_object().unwrap()).unwrap().remove(0)
}

fn change() -> Change {
    crate::change::decode(honest().bytes()).unwrap()
}

/// The verdict on a change: the same, whether it is read from its chunk or from anything else.
pub(crate) fn both(change: &Change, expected: &Expected<'_>) -> Result<Admitted, GateFault> {
    let read = admit(&encode(change), expected);
    let made = admit_change(change.clone(), expected);
    match (&read, &made) {
        (Ok(read), Ok(made)) => {
            assert_eq!((read.hash(), read.bytes()), (made.hash(), made.bytes()));
            assert_eq!(read.change(), made.change());
        }
        (Err(_), Err(_)) => {}
        _ => panic!("from its chunk {read:?}, else {made:?}"),
    }
    read
}

/// The verdict on the honest change with something else about it.
fn verdict(edit: impl FnOnce(&mut Change)) -> Result<(), GateFault> {
    let mut change = change();
    edit(&mut change);
    both(&change, &alone()).map(|_| ())
}

fn op(obj: ObjId, key: Key, action: Action) -> Op {
    Op { obj, key, insert: false, action, pred: vec![] }
}

fn field(name: &str, action: Action) -> Op {
    op(ObjId::Root, Key::Map(name.into()), action)
}

fn own(counter: u64) -> OpId {
    OpId { counter, actor: 0 }
}

/// The verdict on a first change of these operations.
fn judged(ops: Vec<Op>) -> Result<(), GateFault> {
    let change = Change { actor: ACTOR, seq: 1, start_op: 1, ops, ..Change::default() };
    both(&change, &alone()).map(|_| ())
}

fn insert(list: u64, behind: Elem, action: Action) -> Op {
    Op { insert: true, ..op(ObjId::Made(own(list)), Key::Seq(behind), action) }
}

fn put(n: i64) -> Action {
    Action::Put(Scalar::Int(n))
}

fn text(s: &str) -> Action {
    Action::Put(Scalar::Str(s.into()))
}

/// A change that comes from something else than a chunk is held to what chunks are held to.
#[test]
fn what_no_chunk_may_say_nothing_else_may() {
    let deps = [[3; 32]];
    let expected = Expected { seq: 2, deps: &deps, start_op: 9, ..alone() };
    let id = |counter, actor| OpId { counter, actor };
    let put = |pred| Op { pred, ..field("name", put(1)) };
    let base = Change { seq: 2, start_op: 9, deps: deps.to_vec(), ..change() };
    let others = |other_actors, pred| Change { other_actors, ops: vec![put(pred)], ..base.clone() };
    let good = others(vec![[5; 16], [6; 16]], vec![id(3, 1), id(3, 2)]);
    assert!(both(&good, &expected).is_ok());
    for bad in [
        others(vec![[6; 16], [5; 16]], vec![id(3, 2), id(3, 1)]),
        others(vec![[5; 16], [5; 16]], vec![id(3, 1), id(4, 2)]),
        others(vec![[5; 16], [6; 16]], vec![id(3, 1)]),
        others(vec![[5; 16]], vec![id(3, 1), id(3, 2)]),
        others(vec![[5; 16]], vec![id(4, 1), id(3, 1)]),
        others(vec![[5; 16]], vec![id(3, 1), id(3, 1)]),
        others(vec![[5; 16]], vec![id(0, 1)]),
    ] {
        assert!(both(&bad, &expected).is_err(), "{bad:?}");
    }
    let many: Vec<[u8; 32]> = (0..=DEPS_MAX as u8).map(|n| [n; 32]).collect();
    for (deps, fits) in [(&many[1..], true), (&many[..], false)] {
        let expected = Expected { deps, ..expected };
        let change = Change { deps: deps.to_vec(), ..good.clone() };
        assert_eq!(both(&change, &expected).is_ok(), fits);
    }
    let long = |len| vec![field("name", text(&"x".repeat(len)))];
    let overhead = encode(&Change { ops: long(60_000), ..base.clone() }).len() - 60_000;
    for (over, fits) in [(0, true), (1, false)] {
        let change = Change { ops: long(CHANGE_BYTES_MAX - overhead + over), ..base.clone() };
        assert_eq!(both(&change, &expected).is_ok(), fits);
    }
}

#[test]
fn an_honest_change_is_admitted_as_it_is() {
    let built = honest();
    let admitted = admit(built.bytes(), &alone()).unwrap();
    assert_eq!(admitted.bytes(), built.bytes());
    assert_eq!(admitted.hash(), built.hash());
    assert_eq!(admitted.max_op(), built.change.ops.len() as u64);
    assert_eq!(*admitted.change(), change());
}

#[test]
fn a_change_must_be_the_one_that_the_headers_announce() {
    assert_eq!(verdict(|c| c.actor = [2; 16]), Err(GateFault::Actor));
    assert_eq!(verdict(|c| c.seq = 2), Err(GateFault::Seq { found: 2, expected: 1 }));
    assert_eq!(verdict(|c| c.deps = vec![[3; 32]]), Err(GateFault::Deps));
    for found in [2, 1_000_000, u64::from(u32::MAX), u64::MAX] {
        let fault = GateFault::StartOp { found, expected: 1 };
        assert_eq!(verdict(|c| c.start_op = found), Err(fault), "a start far ahead");
    }
}

#[test]
fn a_start_that_overlaps_earlier_operations_is_void() {
    let mut later = change();
    later.seq = 2;
    later.deps = vec![[3; 32]];
    later.start_op = 4;
    let expected = Expected { seq: 2, deps: &[[3; 32]], start_op: 9, ..alone() };
    let fault = GateFault::StartOp { found: 4, expected: 9 };
    assert_eq!(both(&later, &expected).map(|_| ()), Err(fault));
}

#[test]
fn dependencies_may_be_announced_in_any_order_but_must_be_all() {
    let deps: Vec<Digest> = (0..DEPS_MAX as u8).map(|n| [n; 32]).collect();
    let mut later = change();
    later.deps.clone_from(&deps);
    let bytes = encode(&later);
    let reversed: Vec<Digest> = deps.iter().rev().copied().collect();
    for announced in [&deps, &reversed] {
        let outcome = admit(&bytes, &Expected { deps: announced, ..alone() });
        // Its own operations 1.. stand; what it builds on is not known here.
        assert!(outcome.is_ok(), "{outcome:?}");
    }
    for announced in [&deps[1..], &[deps.clone(), vec![[99; 32]]].concat(), &[]] {
        let outcome = admit(&bytes, &Expected { deps: announced, ..alone() });
        assert_eq!(outcome.map(|_| ()), Err(GateFault::Deps));
    }
}

#[test]
fn empty_changes_messages_and_impossible_times_are_void() {
    assert_eq!(verdict(|c| c.ops.clear()), Err(GateFault::Empty));
    assert_eq!(verdict(|c| c.message = Some("x".into())), Err(GateFault::Message));
    assert_eq!(verdict(|c| c.time = 0), Ok(()));
    assert_eq!(verdict(|c| c.time = CHANGE_TIME_MAX), Ok(()));
    for time in [-1, CHANGE_TIME_MAX + 1, i64::MIN, i64::MAX] {
        assert_eq!(verdict(|c| c.time = time), Err(GateFault::Time { time }));
    }
}

#[test]
fn a_record_is_let_in_up_to_its_last_operation() {
    let deps = &[[3; 32]][..];
    let verdict = |start_op: u64| {
        let ops = vec![field("a", put(1))];
        let deps = deps.to_vec();
        let change = Change { actor: ACTOR, seq: 2, start_op, deps, ops, ..Change::default() };
        let expected = Expected { actor: ACTOR, seq: 2, deps: &[[3; 32]], start_op };
        both(&change, &expected).map(|_| ())
    };
    let last = RECORD_OPS_MAX as u64;
    assert_eq!(verdict(last), Ok(()));
    assert_eq!(verdict(last + 1), Err(GateFault::RecordOps { max_op: last + 1 }));
    assert_eq!(verdict(u64::MAX), Err(GateFault::RecordOps { max_op: u64::MAX - 1 }));
}

#[test]
fn a_million_items_in_a_hundred_bytes_are_void() {
    let fault = ChangeError::TooManyOps { ops: 1_000_001 };
    let outcome = admit(&bomb(1_000_000), &alone()).map(|_| ());
    assert_eq!(outcome, Err(GateFault::Unreadable(fault)));
    assert!(admit(&bomb(CHANGE_OPS_MAX as u64 - 1), &alone()).is_ok());
}

#[test]
fn another_spelling_of_the_same_change_is_void() {
    // `spelled` says what stands in the canonical bytes, and how else it can be said.
    let spellings: [(&[u8], &[u8]); 5] = [
        // Three different actions as a run of one and two others.
        (&[0x42, 4, 0x7d, 1, 2, 0], &[0x42, 6, 1, 1, 0x7e, 2, 0]),
        (&[0x42, 4, 0x7d, 1, 2, 0], &[0x42, 6, 0x7f, 1, 0x7e, 2, 0]),
        // Flags with a hollow count inside.
        (&[0x34, 1, 3], &[0x34, 3, 1, 0, 2]),
        // A run in two halves.
        (&[0x70, 2, 3, 0], &[0x70, 4, 1, 0, 2, 0]),
        // A column that says nothing.
        (&[0x15, 7, 0x7d], &[0x11, 2, 0, 3, 0x15, 7, 0x7d]),
    ];
    let ops = vec![field("a", put(1)), field("b", Action::MakeList), field("c", Action::MakeMap)];
    let change = Change { actor: ACTOR, seq: 1, start_op: 1, ops, ..Change::default() };
    let good = encode(&change);
    assert!(admit(&good, &alone()).is_ok());
    for (known, other) in spellings {
        let bytes = respell(&good, known, other);
        assert_eq!(crate::change::decode(&bytes), Ok(change.clone()), "{other:02x?}");
        assert_eq!(admit(&bytes, &alone()).map(|_| ()), Err(GateFault::NotCanonical));
    }
}

/// Rewrites the column directory entry and the column itself: `[spec, len, bytes..]`.
fn respell(good: &[u8], known: &[u8], other: &[u8]) -> Vec<u8> {
    let mut columns = columns_of(good);
    let (spec, bytes) = (known[0], &known[2..]);
    let index = columns.iter().position(|(s, b)| *s == spec && b.starts_with(bytes)).unwrap();
    let mut new = Vec::new();
    let mut rest = other;
    while let [spec, len, tail @ ..] = rest {
        let whole = usize::from(*len).min(tail.len());
        let mut column = tail[..whole].to_vec();
        if bytes.len() < columns[index].1.len() && *spec == known[0] {
            column.extend_from_slice(&columns[index].1[bytes.len()..]);
        }
        new.push((*spec, column));
        rest = &tail[whole..];
    }
    columns.splice(index..=index, new);
    columns.retain(|(_, column)| !column.is_empty());
    crate::change::tests::with_small_columns(&columns)
}

fn columns_of(good: &[u8]) -> Vec<(u8, Vec<u8>)> {
    crate::change::tests::small_columns(good)
}

#[test]
fn overlong_numbers_are_void() {
    let good = honest().bytes().to_vec();
    // The seq, behind magic, checksum, kind, length, deps and actor: 1 as two bytes.
    let at = good.windows(17).position(|w| w == [&[16][..], &[1; 16]].concat()).unwrap() + 17;
    assert_eq!(good[at], 1);
    let mut data = good[10..].to_vec();
    let from = at - 10;
    data.splice(from..=from, [0x81, 0x00]);
    let bytes = crate::change::tests::rechunk(&data);
    assert!(matches!(
        admit(&bytes, &alone()),
        Err(GateFault::Unreadable(ChangeError::Malformed(_)))
    ));
}

#[test]
fn names_and_numbers_are_sane() {
    let name = |n: usize| judged(vec![field(&"n".repeat(n), put(1))]);
    assert_eq!(name(1), Ok(()));
    assert_eq!(name(FIELD_NAME_BYTES_MAX), Ok(()));
    assert_eq!(name(0), Err(GateFault::NoName { op: 0 }));
    // A longer one is not even read.
    assert!(matches!(name(FIELD_NAME_BYTES_MAX + 1), Err(GateFault::Unreadable(_))));
    for n in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let ops = vec![field("a", put(1)), field("n", Action::Put(Scalar::F64(n)))];
        assert_eq!(judged(ops), Err(GateFault::NotFinite { op: 1 }));
    }
}

#[test]
fn objects_exist_before_what_is_in_them() {
    let inside = |obj: u64| op(ObjId::Made(own(obj)), Key::Map("x".into()), put(1));
    assert_eq!(judged(vec![field("m", Action::MakeMap), inside(1)]), Ok(()));
    let not_an_object = vec![field("m", put(1)), inside(1)];
    assert_eq!(judged(not_an_object), Err(GateFault::NoObject { op: 1 }));
    assert_eq!(judged(vec![inside(1)]), Err(GateFault::Later { op: 0 }), "itself");
    let later = vec![inside(2), field("m", Action::MakeMap)];
    assert_eq!(judged(later), Err(GateFault::Later { op: 0 }));
}

#[test]
fn another_actors_operations_are_unknown_to_a_first_change() {
    let foreign = OpId { counter: 1, actor: 1 };
    let ops = vec![field("a", put(1)), op(ObjId::Made(foreign), Key::Map("x".into()), put(1))];
    let other_actors = vec![[9; 16]];
    let change =
        Change { actor: ACTOR, seq: 1, start_op: 1, other_actors, ops, ..Change::default() };
    let outcome = both(&change, &alone()).map(|_| ());
    assert_eq!(outcome, Err(GateFault::NoObject { op: 1 }));
}

#[test]
fn places_fit_their_objects() {
    let list = || field("l", Action::MakeList);
    let map = || field("m", Action::MakeMap);
    let words = || field("t", Action::MakeText);
    let unfit = Err(GateFault::Unfit { op: 1 });
    assert_eq!(judged(vec![list(), insert(1, Elem::Head, put(1))]), Ok(()));
    assert_eq!(judged(vec![map(), insert(1, Elem::Head, put(1))]), unfit);
    let named = op(ObjId::Made(own(1)), Key::Map("x".into()), put(1));
    assert_eq!(judged(vec![list(), named]), unfit);
    assert_eq!(judged(vec![words(), insert(1, Elem::Head, text("a"))]), Ok(()));
    assert_eq!(judged(vec![words(), insert(1, Elem::Head, text(""))]), unfit);
    assert_eq!(judged(vec![words(), insert(1, Elem::Head, put(1))]), unfit);
    assert_eq!(judged(vec![words(), insert(1, Elem::Head, Action::MakeMap)]), unfit);
    let root = Op { insert: true, ..op(ObjId::Root, Key::Seq(Elem::Head), put(1)) };
    assert_eq!(judged(vec![list(), root]), unfit);
}

#[test]
fn elements_are_in_the_list_that_they_are_said_to_be_in() {
    let list = |name: &str| field(name, Action::MakeList);
    let ok = vec![
        list("l"),
        insert(1, Elem::Head, put(1)),
        insert(1, Elem::Inserted(own(2)), put(2)),
        Op {
            pred: vec![own(2)],
            ..op(ObjId::Made(own(1)), Key::Seq(Elem::Inserted(own(2))), put(3))
        },
    ];
    assert_eq!(judged(ok), Ok(()));
    let other = vec![
        list("l"),
        list("m"),
        insert(1, Elem::Head, put(1)),
        insert(2, Elem::Inserted(own(3)), put(2)),
    ];
    assert_eq!(judged(other), Err(GateFault::NoElement { op: 3 }));
    let no_element = vec![list("l"), insert(1, Elem::Inserted(own(1)), put(1))];
    assert_eq!(judged(no_element), Err(GateFault::NoElement { op: 1 }));
    let at_head = vec![list("l"), op(ObjId::Made(own(1)), Key::Seq(Elem::Head), put(1))];
    assert_eq!(judged(at_head), Err(GateFault::NoElement { op: 1 }));
}

#[test]
fn insertions_only_insert() {
    let fault = Err(GateFault::Insertion { op: 2 });
    let with =
        |op: Op| judged(vec![field("l", Action::MakeList), insert(1, Elem::Head, put(1)), op]);
    assert_eq!(with(Op { pred: vec![own(2)], ..insert(1, Elem::Head, put(2)) }), fault);
    assert_eq!(with(insert(1, Elem::Head, Action::Delete)), fault);
    assert_eq!(with(insert(1, Elem::Head, Action::Increment(1))), fault);
    assert_eq!(with(Op { insert: true, ..field("x", put(1)) }), fault);
}

#[test]
fn only_values_of_the_same_place_are_replaced() {
    let replaces = |name: &str, action: Action, pred: u64| {
        let replaced = Op { pred: vec![own(pred)], ..field(name, action) };
        judged(vec![
            field("a", put(1)),
            field("b", Action::Put(Scalar::Counter(1))),
            Op { pred: vec![own(1)], ..field("a", Action::Delete) },
            replaced,
        ])
    };
    assert_eq!(replaces("a", put(2), 1), Ok(()));
    assert_eq!(replaces("b", put(2), 1), Err(GateFault::NoPred { op: 3 }));
    assert_eq!(replaces("a", put(2), 3), Err(GateFault::NoPred { op: 3 }), "a deletion");
    assert_eq!(replaces("a", put(2), 4), Err(GateFault::Later { op: 3 }), "itself");
    assert_eq!(replaces("b", Action::Increment(1), 2), Ok(()));
    assert_eq!(replaces("a", Action::Increment(1), 1), Err(GateFault::NoCounter { op: 3 }));
}

#[test]
fn deletions_and_increments_name_what_they_mean() {
    let nothing = vec![field("a", put(1)), field("a", Action::Delete)];
    assert_eq!(judged(nothing), Err(GateFault::DeletesNothing { op: 1 }));
    let no_counter = vec![field("a", put(1)), field("a", Action::Increment(1))];
    assert_eq!(judged(no_counter), Err(GateFault::NoCounter { op: 1 }));
}

#[test]
fn nesting_is_let_in_up_to_the_limit_and_no_further() {
    let nested = |levels: usize| {
        let mut ops = vec![field("n", Action::MakeMap)];
        for n in 1..levels as u64 - 1 {
            let key = Key::Map("n".into());
            ops.push(op(ObjId::Made(own(n)), key, Action::MakeMap));
        }
        judged(ops)
    };
    assert_eq!(nested(RECORD_DEPTH_MAX), Ok(()));
    let op = RECORD_DEPTH_MAX - 1;
    assert_eq!(nested(RECORD_DEPTH_MAX + 1), Err(GateFault::TooDeep { op }));
    assert_eq!(nested(CHANGE_OPS_MAX), Err(GateFault::TooDeep { op }));
}

#[test]
fn a_fault_says_what_is_wrong() {
    assert_eq!(
        GateFault::StartOp { found: 9, expected: 4 }.to_string(),
        "operations from 9 where 4 is due"
    );
    assert!(GateFault::Actor < GateFault::Deps);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_change_that_automerge_makes_is_admitted(session in sessions()) {
        let mut doc = play(&session);
        for change in doc.get_changes(&[]) {
            let deps: Vec<Digest> = change.deps().iter().map(|dep| dep.0).collect();
            let expected = Expected {
                actor: change.actor_id().to_bytes().try_into().unwrap(),
                seq: change.seq(),
                deps: &deps,
                start_op: change.start_op().get(),
            };
            let admitted = admit(change.raw_bytes(), &expected);
            prop_assert!(admitted.is_ok(), "{:?}", admitted);
            let admitted = admitted.unwrap();
            prop_assert_eq!(admitted.bytes(), change.raw_bytes());
        }
    }
}
