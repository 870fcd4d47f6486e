//! Documents over random histories, under attack, and in use.

use automerge::{Automerge, ReadDoc as _};
use autosurgeon::{Hydrate, Reconcile};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::bounds::{RECORD_ACTORS_MAX, RECORD_DEPTH_MAX, RECORD_OPS_MAX};
use crate::change::tests::{hydrated, play, rechunk, records, sessions};
use crate::change::{Action, Built, Change, Elem, Key, ObjId, Op, OpId, Scalar, first_change};
use crate::gate::tests::both;
use crate::gate::{Expected, admit};

fn through_gate(bytes: &[u8]) -> Result<Admitted, GateFault> {
    let change = crate::change::decode(bytes)?;
    let Change { actor, seq, start_op, deps, .. } = &change;
    admit(bytes, &Expected { actor: *actor, seq: *seq, deps, start_op: *start_op })
}

fn judged(change: &Change) -> Result<Admitted, GateFault> {
    let Change { actor, seq, start_op, deps, .. } = change;
    both(change, &Expected { actor: *actor, seq: *seq, deps, start_op: *start_op })
}

fn through(change: &Change) -> Admitted {
    judged(change).unwrap()
}

fn admitted(built: &Built) -> Admitted {
    through_gate(built.bytes()).unwrap()
}

fn record(value: Value) -> Document {
    let mut document = Document::empty();
    for built in first_change([1; 16], 1, value.as_object().unwrap()).unwrap() {
        document.apply(&admitted(&built)).unwrap();
    }
    document
}

fn path(text: &str) -> Vec<Segment> {
    text.split('.').map(|name| Segment::Name(name.into())).collect()
}

fn set(text: &str, value: Value) -> Patch {
    let mut patch = Patch::default();
    patch.set(path(text), value);
    patch
}

fn shown(document: &Document) -> Value {
    Value::Object(document.to_json())
}

/// Edits and merges the edit.
fn edited(document: &mut Document, actor: Actor, seq: u64, patch: &Patch) -> Admitted {
    let bytes = document.edit(actor, seq, 2, patch).unwrap();
    let admitted = through_gate(&bytes).unwrap();
    document.apply(&admitted).unwrap();
    admitted
}

fn all_of(doc: &mut automerge::AutoCommit) -> Vec<Admitted> {
    doc.get_changes(&[]).iter().map(|c| through_gate(c.raw_bytes()).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_history_that_automerge_made_is_merged_to_what_it_had(session in sessions()) {
        let mut doc = play(&session);
        let changes = all_of(&mut doc);
        let mut single = Document::empty();
        for change in &changes {
            prop_assert_eq!(single.apply(change), Ok(()));
        }
        let mut batch = Document::empty();
        prop_assert_eq!(batch.apply_all(&changes.iter().collect::<Vec<_>>()), Ok(()));
        let there = hydrated(&doc.document().hydrate(None));
        for document in [&single, &batch] {
            prop_assert_eq!(&shown(document), &there);
            let heads: Vec<Digest> = doc.get_heads().iter().map(|head| head.0).collect();
            prop_assert_eq!(document.heads(), heads);
            prop_assert_eq!(document.max_op(), changes.iter().map(Admitted::max_op).max().unwrap_or(0));
            prop_assert_eq!(document.ops(), changes.iter().map(|c| c.change().ops.len()).sum::<usize>());
            prop_assert_eq!(document.bytes(), changes.iter().map(|c| c.bytes().len()).sum::<usize>());
        }
        prop_assert_eq!(single.conflicts(), batch.conflicts());
        for (path, values) in single.conflicts() {
            prop_assert!(values.len() > 1, "{} has one value", path);
        }
    }

    #[test]
    fn the_order_of_arrival_does_not_matter(session in sessions(), keys: [u64; 8]) {
        let mut doc = play(&session);
        let changes = all_of(&mut doc);
        let mut straight = Document::empty();
        straight.apply_all(&changes.iter().collect::<Vec<_>>()).unwrap();
        // Another order in which each change comes after those that it builds on.
        let mut waiting: Vec<_> = changes.iter().collect();
        let mut other = Document::empty();
        for turn in 0.. {
            if waiting.is_empty() {
                break;
            }
            let from = (keys[turn % 8] as usize) % waiting.len();
            waiting.rotate_left(from);
            let next = waiting.iter().position(|change| other.apply(change) == Ok(())).unwrap();
            waiting.remove(next);
        }
        prop_assert_eq!(other.to_json(), straight.to_json());
        prop_assert_eq!(other.conflicts(), straight.conflicts());
        prop_assert_eq!(other.heads(), straight.heads());
    }

    #[test]
    fn an_edit_makes_the_record_what_was_asked_for(before in records(), after in records()) {
        let mut document = record(Value::Object(before.clone()));
        let mut patch = Patch::default();
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            patch.unset(path(name));
        }
        for (name, value) in &after {
            patch.set(path(name), value.clone());
        }
        if before == after {
            return Ok(());
        }
        let max_op = document.max_op();
        let change = edited(&mut document, [5; 16], 1, &patch);
        prop_assert_eq!(change.change().start_op, max_op + 1);
        prop_assert_eq!(document.to_json(), after);
    }

    #[test]
    fn a_forged_change_never_gets_past_the_guard(
        session in sessions(),
        which: prop::sample::Index,
        forgeries in proptest::collection::vec(forgeries(), 1..4),
    ) {
        let mut doc = play(&session);
        let changes = all_of(&mut doc);
        prop_assume!(!changes.is_empty());
        let which = which.index(changes.len());
        let mut forged = changes[which].change().clone();
        for forgery in &forgeries {
            forgery.apply(&mut forged);
        }
        let Ok(forged) = judged(&forged) else { return Ok(()) };
        let mut document = Document::empty();
        for change in &changes[..which] {
            prop_assert_eq!(document.apply(change), Ok(()));
        }
        let before = document.clone();
        match document.apply(&forged) {
            Ok(()) => {}
            // What makes sense by our rules, Automerge takes; and nothing else is tried on it.
            Err(Held::Unsound(_) | Held::MissingDep { .. }) => {
                prop_assert_eq!(document.to_json(), before.to_json());
                prop_assert_eq!(document.heads(), before.heads());
            }
            Err(held) => prop_assert!(false, "{}: {:?}", held, forged.change()),
        }
        // The other changes of the history are judged as if the forged one had not been there,
        // unless they build on its place.
        for change in &changes[which + 1..] {
            let _ = document.apply(change);
        }
        let _ = (document.to_json(), document.conflicts());
    }
}

/// Something else about one operation.
#[derive(Clone, Debug)]
enum Forgery {
    Obj(usize, u64, u32),
    Root(usize),
    Elem(usize, u64, u32),
    Head(usize),
    Name(usize, String),
    Insert(usize),
    Action(usize, Action),
    Pred(usize, u64, u32),
    NoPred(usize),
    Copy(usize),
    Drop(usize),
    Swap(usize, usize),
}

fn forgeries() -> impl Strategy<Value = Forgery> {
    let op = || 0..30usize;
    let actions = prop_oneof![
        Just(Action::MakeMap),
        Just(Action::MakeList),
        Just(Action::MakeText),
        Just(Action::Delete),
        any::<i64>().prop_map(Action::Increment),
        crate::change::tests::scalars().prop_map(Action::Put),
    ];
    prop_oneof![
        (op(), 1..40u64, 0..3u32).prop_map(|(o, c, a)| Forgery::Obj(o, c, a)),
        op().prop_map(Forgery::Root),
        (op(), 1..40u64, 0..3u32).prop_map(|(o, c, a)| Forgery::Elem(o, c, a)),
        op().prop_map(Forgery::Head),
        (op(), "[abe]").prop_map(|(o, n)| Forgery::Name(o, n)),
        op().prop_map(Forgery::Insert),
        (op(), actions).prop_map(|(o, a)| Forgery::Action(o, a)),
        (op(), 1..40u64, 0..3u32).prop_map(|(o, c, a)| Forgery::Pred(o, c, a)),
        op().prop_map(Forgery::NoPred),
        op().prop_map(Forgery::Copy),
        op().prop_map(Forgery::Drop),
        (op(), op()).prop_map(|(a, b)| Forgery::Swap(a, b)),
    ]
}

impl Forgery {
    fn apply(&self, change: &mut Change) {
        let len = change.ops.len();
        if len == 0 {
            return;
        }
        let actors = change.other_actors.len() as u32 + 1;
        let id = |counter: &u64, actor: &u32| OpId { counter: *counter, actor: actor % actors };
        match self {
            Self::Obj(o, c, a) => change.ops[o % len].obj = ObjId::Made(id(c, a)),
            Self::Root(o) => change.ops[o % len].obj = ObjId::Root,
            Self::Elem(o, c, a) => {
                change.ops[o % len].key = Key::Seq(Elem::Inserted(id(c, a)));
            }
            Self::Head(o) => change.ops[o % len].key = Key::Seq(Elem::Head),
            Self::Name(o, name) => change.ops[o % len].key = Key::Map(name.clone()),
            Self::Insert(o) => change.ops[o % len].insert ^= true,
            Self::Action(o, action) => change.ops[o % len].action = action.clone(),
            Self::Pred(o, c, a) => change.ops[o % len].pred = vec![id(c, a)],
            Self::NoPred(o) => change.ops[o % len].pred.clear(),
            Self::Copy(o) => change.ops.push(change.ops[o % len].clone()),
            Self::Drop(o) => drop(change.ops.remove(o % len)),
            Self::Swap(a, b) => change.ops.swap(a % len, b % len),
        }
    }
}

/// A generator of numbers that only this test needs: SplitMix64 (Steele, Lea, Flood 2014).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

#[test]
fn twenty_thousand_mutations_with_their_checksum_put_right_do_no_harm() {
    let seeds: Vec<Vec<u8>> = [
        json!({"name": "Kilo", "count": 3, "seen": true, "at": 1.5, "none": null}),
        json!({"crew": [{"role": "master", "tags": ["a", "b"]}, 2, []], "m": {"n": {"o": 1}}}),
        json!({"l": vec![1; 30], "t": "long text ".repeat(20)}),
    ]
    .iter()
    .map(|value| first_change([1; 16], 3, value.as_object().unwrap()).unwrap()[0].bytes().to_vec())
    .collect();
    let mut numbers = Numbers(7);
    let (mut admitted_count, mut merged) = (0, 0);
    for round in 0..20_000 {
        let seed = &seeds[round % seeds.len()];
        let header = if seed.len() > 137 { 11 } else { 10 };
        let mut data = seed[header..].to_vec();
        for _ in 0..=numbers.below(3) {
            let at = numbers.below(data.len());
            match numbers.below(5) {
                0 => data[at] ^= 1 << numbers.below(8),
                1 => data[at] = numbers.below(256) as u8,
                2 => data.insert(at, numbers.below(256) as u8),
                3 if data.len() > 1 => drop(data.remove(at)),
                _ => data[at] = [0, 1, 0x7f, 0x80, 0xff][numbers.below(5)],
            }
        }
        let bytes = rechunk(&data);
        let Ok(change) = through_gate(&bytes) else { continue };
        admitted_count += 1;
        assert!(change.change().ops.len() <= crate::bounds::CHANGE_OPS_MAX);
        let mut document = Document::empty();
        match document.apply(&change) {
            Ok(()) => {
                merged += 1;
                if let Some(read) = crate::change::to_json(change.change()) {
                    assert_eq!(read, document.to_json());
                }
            }
            Err(Held::Unsound(_) | Held::MissingDep { .. }) => {}
            Err(held) => panic!("{held}: {bytes:02x?}"),
        }
    }
    assert!(admitted_count > 500 && merged > 300, "{admitted_count} admitted, {merged} merged");
}

/// Actor 1's record, and what others build on it.
fn base() -> (Document, Admitted) {
    let fields = json!({"a": 1, "l": [1, 2], "m": {"x": 1}, "n": 1});
    let built = first_change([1; 16], 1, fields.as_object().unwrap()).unwrap();
    let first = admitted(&built[0]);
    let mut document = Document::empty();
    document.apply(&first).unwrap();
    (document, first)
}

fn after(first: &Admitted, actor: Actor, ops: Vec<Op>, other_actors: Vec<Actor>) -> Change {
    let deps = vec![first.hash()];
    let seq = u64::from(actor == first.change().actor) + 1;
    let start_op = first.max_op() + 1;
    Change { actor, seq, start_op, time: 1, deps, other_actors, message: None, ops }
}

fn root(name: &str, action: Action, pred: Vec<OpId>) -> Op {
    Op { obj: ObjId::Root, key: Key::Map(name.into()), insert: false, action, pred }
}

fn put(n: i64) -> Action {
    Action::Put(Scalar::Int(n))
}

const fn theirs(counter: u64) -> OpId {
    OpId { counter, actor: 1 }
}

#[test]
fn what_others_made_is_looked_up_among_what_a_change_builds_on() {
    let (document, first) = base();
    let verdict = |ops| {
        let change = after(&first, [2; 16], ops, vec![[1; 16]]);
        document.clone().apply(&through(&change))
    };
    let unsound = |fault| Err(Held::Unsound(fault));
    assert_eq!(verdict(vec![root("a", put(2), vec![theirs(1)])]), Ok(()));
    let no_pred = unsound(GateFault::NoPred { op: 0 });
    assert_eq!(verdict(vec![root("n", put(2), vec![theirs(1)])]), no_pred);
    let by_nobody = after(
        &first,
        [2; 16],
        vec![root("a", put(2), vec![theirs(1), OpId { counter: 2, actor: 2 }])],
        vec![[1; 16], [9; 16]],
    );
    assert_eq!(document.clone().apply(&through(&by_nobody)), no_pred);
    // What the actor itself would have done later is not even a question for others.
    let later = after(&first, [2; 16], vec![root("a", put(2), vec![theirs(8)])], vec![[1; 16]]);
    assert!(matches!(judged(&later), Err(GateFault::Later { op: 0 })));
    let in_a_number = Op { obj: ObjId::Made(theirs(1)), ..root("x", put(1), vec![]) };
    assert_eq!(verdict(vec![in_a_number]), unsound(GateFault::NoObject { op: 0 }));
    let in_a_list = Op { obj: ObjId::Made(theirs(2)), ..root("x", put(1), vec![]) };
    assert_eq!(verdict(vec![in_a_list]), unsound(GateFault::Unfit { op: 0 }));
    let no_counter = root("a", Action::Increment(1), vec![theirs(1)]);
    assert_eq!(verdict(vec![no_counter]), unsound(GateFault::NoCounter { op: 0 }));
}

#[test]
fn a_concurrent_operation_is_not_one_that_a_change_builds_on() {
    let (mut document, first) = base();
    let aside = through(&after(&first, [2; 16], vec![root("b", put(1), vec![])], vec![]));
    let three = ["c", "d", "e"].map(|name| root(name, put(1), vec![])).to_vec();
    let branch = through(&after(&first, [4; 16], three, vec![]));
    // Mentions what `aside` did, without building on it.
    let id = OpId { counter: first.max_op() + 1, actor: 1 };
    let ops = vec![root("c", put(2), vec![]), root("b", put(2), vec![id])];
    let sly = through(&after(&branch, [3; 16], ops, vec![[2; 16]]));
    document.apply(&branch).unwrap();
    let void = Err(Held::Unsound(GateFault::NoPred { op: 1 }));
    assert_eq!(document.clone().apply(&sly), void, "where the other is not there");
    document.apply(&aside).unwrap();
    assert_eq!(document.apply(&sly), void, "where the other is there");
}

#[test]
fn changes_with_a_wrong_place_in_their_line_are_void() {
    let (document, first) = base();
    let verdict = |edit: &dyn Fn(&mut Change)| {
        let mut change = after(&first, [1; 16], vec![root("b", put(1), vec![])], vec![]);
        edit(&mut change);
        document.clone().apply(&through(&change))
    };
    assert_eq!(verdict(&|_| {}), Ok(()));
    let expected = first.max_op() + 1;
    for found in [1, expected - 1, expected + 1, expected + 9_000] {
        let fault = GateFault::StartOp { found, expected };
        assert_eq!(verdict(&|c| c.start_op = found), Err(Held::Unsound(fault)));
    }
    let seq = GateFault::Seq { found: 3, expected: 2 };
    assert_eq!(verdict(&|c| c.seq = 3), Err(Held::Unsound(seq)));
    let hash = [9; 32];
    assert_eq!(verdict(&|c| c.deps = vec![hash]), Err(Held::MissingDep { hash }));
    let no_deps = |c: &mut Change| c.deps.clear();
    let seq = GateFault::Seq { found: 2, expected: 1 };
    assert_eq!(verdict(&no_deps), Err(Held::Unsound(seq)));
}

#[test]
fn a_second_change_with_the_same_actor_and_seq_is_held_back() {
    let (mut document, first) = base();
    let one = through(&after(&first, [2; 16], vec![root("b", put(1), vec![])], vec![]));
    let two = through(&after(&first, [2; 16], vec![root("b", put(2), vec![])], vec![]));
    document.apply(&one).unwrap();
    let before = shown(&document);
    assert_eq!(document.apply(&two), Err(Held::Forked { seq: 1 }));
    assert_eq!(shown(&document), before);
    assert_eq!(document.apply(&one), Ok(()), "again");
    assert_eq!(document.apply(&first), Ok(()), "again");
    assert_eq!(shown(&document), before);
}

#[test]
fn nesting_is_counted_through_earlier_changes() {
    let deep = |levels: usize| (2..levels).fold(json!({}), |inner, _| json!({ "n": inner }));
    let mut document = record(json!({ "n": deep(RECORD_DEPTH_MAX - 1) }));
    let way = |levels: usize| vec!["n"; levels - 1].join(".");
    let patch = set(&format!("{}.z", way(RECORD_DEPTH_MAX - 1)), json!({"y": 1}));
    edited(&mut document, [2; 16], 1, &patch);
    let patch = set(&format!("{}.z.y", way(RECORD_DEPTH_MAX - 1)), json!({}));
    assert_eq!(document.edit([2; 16], 2, 2, &patch), Err(EditError::TooDeep));

    // By hand: a map in the deepest map.
    let heads = document.heads();
    let start_op = document.max_op() + 1;
    let deepest = OpId { counter: RECORD_DEPTH_MAX as u64 - 1, actor: 0 };
    let op = Op { obj: ObjId::Made(deepest), ..root("q", Action::MakeMap, vec![]) };
    let change = Change {
        actor: [2; 16],
        seq: 2,
        start_op,
        time: 1,
        deps: heads,
        ops: vec![op],
        ..Change::default()
    };
    let outcome = document.apply(&through(&change));
    assert_eq!(outcome, Err(Held::Unsound(GateFault::TooDeep { op: 0 })));
}

#[test]
fn a_record_takes_operations_and_actors_up_to_its_limits() {
    let items = vec![Value::Null; RECORD_OPS_MAX - 3];
    let fields = json!({"l": items, "a": 1});
    let built = first_change([1; 16], 1, fields.as_object().unwrap()).unwrap();
    let changes: Vec<Admitted> = built.iter().map(admitted).collect();
    let mut document = Document::empty();
    document.apply_all(&changes.iter().collect::<Vec<_>>()).unwrap();
    assert_eq!(document.ops(), RECORD_OPS_MAX - 1);
    let last = changes.last().unwrap();
    let one_more = |actor: Actor| after(last, actor, vec![root("b", put(1), vec![])], vec![]);
    assert_eq!(document.apply(&through(&one_more([2; 16]))), Ok(()));
    // Each alone is sound; together they are too many, and that is no verdict.
    assert_eq!(document.apply(&through(&one_more([3; 16]))), Err(Held::Full));
    assert_eq!(
        document.edit([1; 16], built.len() as u64 + 1, 1, &set("c", json!(1))),
        Err(EditError::Void(GateFault::RecordOps { max_op: RECORD_OPS_MAX as u64 + 1 }))
    );
}

#[test]
fn a_record_takes_actors_up_to_the_limit() {
    let (mut document, first) = base();
    let by = |n: u16, deps: Vec<Digest>| {
        let mut actor = [3; 16];
        actor[..2].copy_from_slice(&n.to_be_bytes());
        let mut change = after(&first, actor, vec![root("b", put(1), vec![])], vec![]);
        change.deps = deps;
        change
    };
    let changes: Vec<Admitted> =
        (1..RECORD_ACTORS_MAX as u16).map(|n| through(&by(n, vec![first.hash()]))).collect();
    document.apply_all(&changes.iter().collect::<Vec<_>>()).unwrap();
    let one_more = by(60_000, vec![first.hash()]);
    assert_eq!(document.apply(&through(&one_more)), Err(Held::Full));
}

#[test]
fn a_change_that_automerge_fails_on_is_held_back_and_the_record_stands() {
    let (mut document, first) = base();
    let before = shown(&document);
    // Sound by our rules; and then Automerge does not have what it builds on.
    let second = through(&after(&first, [2; 16], vec![root("b", put(1), vec![])], vec![]));
    document.history.accept(&second).unwrap();
    document.held.insert(second.hash(), Held::Panicked);
    assert_eq!(document.apply(&second), Err(Held::Panicked), "it stays held back");
    let third = through(&after(&second, [3; 16], vec![root("c", put(1), vec![])], vec![]));
    let missing = Held::MissingDep { hash: second.hash() };
    assert_eq!(document.apply(&third), Err(missing));
    assert_eq!(shown(&document), before);
    assert!(!document.is_whole());
    let edit = document.edit([1; 16], 2, 2, &set("a", json!(2)));
    assert_eq!(edit, Err(EditError::HeldBack));
    // What does not build on it is merged all the same.
    let aside = through(&after(&first, [4; 16], vec![root("d", put(1), vec![])], vec![]));
    assert_eq!(document.apply(&aside), Ok(()));
    assert_eq!(document.to_json()["d"], json!(1));
}

#[test]
fn a_panic_in_automerge_does_not_get_out() {
    // Past our own judgement on purpose: objects, places and counters that are none.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let (mut document, first) = base();
        document.automerge = document.merged().unwrap().into_owned();
        (document.unmerged, document.flat) = (Vec::new(), None);
        let mut numbers = Numbers(3);
        for round in 0..=u8::MAX {
            let id = OpId { counter: 1 + numbers.below(7) as u64, actor: 1 };
            let ops = vec![
                Op { obj: ObjId::Made(id), ..root("x", put(1), vec![id]) },
                root("a", Action::Increment(1), vec![id]),
            ];
            let mut actor = [8; 16];
            actor[0] = round;
            let forged = through(&after(&first, actor, ops, vec![[1; 16]]));
            let before = document.to_json();
            if document.merge(&[&forged]).is_err() {
                assert_eq!(document.to_json(), before);
            }
        }
    }));
    assert!(outcome.is_ok());
}

/// Debug builds compare what is read with what Automerge shows, here and in every other test.
#[test]
fn a_plain_history_reads_itself_and_automerge_is_asked_about_any_other() {
    let is_plain = |document: &Document| document.flat.is_some() && document.is_as_merged();
    let (mut plain, _) = base();
    let mut patch = set("n", json!("two"));
    patch.unset(path("l"));
    patch.set(path("new"), json!(null));
    edited(&mut plain, [2; 16], 1, &patch);
    assert!(is_plain(&plain) && plain.unmerged.len() == 2);
    assert_eq!(shown(&plain), json!({"a": 1, "m": {"x": 1}, "n": "two", "new": null}));
    for n in 1..=FLAT_CHANGES_MAX as u64 {
        edited(&mut plain, [2; 16], n + 1, &set("n", json!(n)));
        assert_eq!(is_plain(&plain), n + 2 <= FLAT_CHANGES_MAX as u64);
        assert_eq!(plain.to_json()["n"], json!(n));
    }
    assert!(plain.unmerged.is_empty() && plain.is_whole());

    // Not all that is there is replaced; something deeper changes; two write at once.
    let (document, first) = base();
    let of_own = OpId { counter: 1, actor: 1 };
    for (ops, conflicts) in [
        (vec![root("n", put(2), vec![])], 1),
        (vec![root("m", put(2), vec![of_own]), root("m", put(3), vec![])], 2),
    ] {
        let Ok(change) = judged(&after(&first, [2; 16], ops, vec![[1; 16]])) else { continue };
        let mut document = document.clone();
        if document.apply(&change).is_ok() {
            assert!(document.flat.is_none() && document.conflicts().len() <= conflicts);
            assert!(document.has_conflicts());
        }
    }
    let mut deep = document.clone();
    edited(&mut deep, [2; 16], 1, &set("m.x", json!(2)));
    assert!(deep.flat.is_none() && shown(&deep)["m"]["x"] == json!(2));
    let mut twice = document.clone();
    let one = edited(&mut twice, [2; 16], 1, &set("n", json!(2)));
    let mut other = document;
    let beside = edited(&mut other, [3; 16], 1, &set("n", json!(3)));
    assert!(is_plain(&twice) && is_plain(&other));
    twice.apply(&beside).unwrap();
    other.apply(&one).unwrap();
    assert!(twice.flat.is_none() && twice.has_conflicts());
    assert_eq!((twice.to_json(), twice.conflicts()), (other.to_json(), other.conflicts()));
    assert_eq!(twice.heads(), other.heads());
}

#[test]
fn concurrent_values_stand_side_by_side_until_one_is_chosen() {
    let (mut document, _) = base();
    let mut other = document.clone();
    let a = edited(&mut document, [2; 16], 1, &set("m.x", json!("north")));
    let b = edited(&mut other, [3; 16], 1, &set("m.x", json!("south")));
    document.apply(&b).unwrap();
    other.apply(&a).unwrap();
    assert_eq!(document.conflicts(), other.conflicts());
    let conflicts = document.conflicts();
    let values = &conflicts["m.x"];
    assert_eq!(conflicts.len(), 1);
    let counter = a.max_op();
    let expected = [
        Concurrent { value: json!("north"), actor: [2; 16], counter },
        Concurrent { value: json!("south"), actor: [3; 16], counter },
    ];
    assert_eq!(values[..], expected);
    assert_eq!(document.to_json()["m"]["x"], values.last().unwrap().value, "shown last");

    let resolution = edited(&mut document, [2; 16], 2, &set("m.x", json!("north")));
    assert!(document.conflicts().is_empty());
    assert_eq!(document.to_json()["m"]["x"], json!("north"));
    assert_eq!(resolution.change().ops[0].pred.len(), 2);
    // The value that is shown can be chosen, too.
    edited(&mut other, [3; 16], 2, &set("m.x", json!("south")));
    assert!(other.conflicts().is_empty());
}

#[test]
fn concurrent_objects_are_shown_whole() {
    let (mut document, _) = base();
    let mut other = document.clone();
    edited(&mut document, [2; 16], 1, &set("l.0", json!({"k": [1]})));
    let b = edited(&mut other, [3; 16], 1, &set("l.0", json!("plain")));
    document.apply(&b).unwrap();
    let values: Vec<Value> = document.conflicts()["l.0"].iter().map(|v| v.value.clone()).collect();
    assert_eq!(values, [json!({"k": [1]}), json!("plain")]);
}

#[test]
fn edits_set_and_unset_at_any_place() {
    let mut document = record(json!({"a": 1, "l": [1, {"x": 2}], "m": {"n": {}}}));
    let mut patch = Patch::default();
    patch.unset(path("a"));
    patch.unset(path("not.there"));
    patch.set(path("l.1.x"), json!([true]));
    patch.set(vec![Segment::Name("l".into()), Segment::Index(2)], json!({"new": null}));
    patch.set(path("m.n.o.p"), json!(1.5));
    patch.unset(path("l.0"));
    let change = edited(&mut document, [1; 16], 2, &patch);
    assert_eq!(change.change().seq, 2);
    let expected = json!({"l": [{"x": [true]}, {"new": null}], "m": {"n": {"o": {"p": 1.5}}}});
    assert_eq!(shown(&document), expected);
}

#[test]
fn an_edit_depends_on_the_heads_and_nothing_else() {
    let (mut document, first) = base();
    let theirs = edited(&mut document, [2; 16], 1, &set("a", json!(2)));
    let ours = edited(&mut document, [1; 16], 2, &set("a", json!(3)));
    assert_eq!(theirs.change().deps, [first.hash()]);
    assert_eq!(ours.change().deps, [theirs.hash()]);
    let mut other = Document::empty();
    other.apply_all(&[&first, &theirs, &ours]).unwrap();
    assert_eq!(shown(&other), shown(&document));
    assert_eq!(other.to_json()["a"], json!(3));
}

#[test]
fn edits_that_cannot_be_are_refused_and_change_nothing() {
    let document = record(json!({"a": 1, "l": [1]}));
    let before = shown(&document);
    let edit = |patch: &Patch| document.edit([2; 16], 1, 2, patch).map(|_| ());
    assert_eq!(edit(&set("a.b", json!(1))), Err(EditError::NoPlace));
    assert_eq!(edit(&set("l.2", json!(1))), Err(EditError::NoPlace));
    assert_eq!(edit(&set("l.x", json!(1))), Err(EditError::NoPlace));
    assert_eq!(edit(&set("l.0.x", json!(1))), Err(EditError::NoPlace));
    assert_eq!(edit(&Patch::default()), Err(EditError::NoChange));
    assert_eq!(edit(&set("a", json!(1))), Err(EditError::NoChange));
    let mut nowhere = Patch::default();
    nowhere.set(vec![], json!(1));
    assert_eq!(edit(&nowhere), Err(EditError::NoPlace));
    let due = EditError::Seq { found: 2, expected: 1 };
    assert_eq!(document.edit([2; 16], 2, 2, &set("a", json!(2))), Err(due));
    let due = EditError::Seq { found: 1, expected: 2 };
    assert_eq!(document.edit([1; 16], 1, 2, &set("a", json!(2))), Err(due));
    let time = GateFault::Time { time: -1 };
    let early = document.edit([2; 16], 1, -1, &set("a", json!(2)));
    assert_eq!(early, Err(EditError::Void(time)));
    assert!(matches!(edit(&set("b", json!(vec![0; 2_000]))), Err(EditError::Void(_))));
    assert_eq!(shown(&document), before);
}

#[derive(Debug, Hydrate, PartialEq, Reconcile)]
struct Sighting {
    name: String,
    speed: f64,
    note: autosurgeon::Text,
    tags: Vec<String>,
    at: Place,
    seen: Option<u64>,
}

#[derive(Debug, Hydrate, PartialEq, Reconcile)]
struct Place {
    lat: f64,
    lon: f64,
}

fn sighting() -> Sighting {
    Sighting {
        name: "Kilo".into(),
        speed: 12.5,
        note: "grey hull".into(),
        tags: vec!["boat".into(), "night".into()],
        at: Place { lat: 13.1, lon: 14.5 },
        seen: None,
    }
}

#[test]
fn typed_records_are_written_and_read() {
    let mut document = Document::empty();
    let mut value = sighting();
    let first = document.reconcile([1; 16], 1, 5, &value).unwrap();
    assert_eq!(first, document.reconcile([1; 16], 1, 5, &value).unwrap(), "no chance in it");
    document.apply(&through_gate(&first).unwrap()).unwrap();
    assert_eq!(document.hydrate::<Sighting>().unwrap(), sighting());
    let lone = crate::change::decode(&first).unwrap();
    assert_eq!(crate::change::to_json(&lone), Some(document.to_json()));

    value.speed = 14.0;
    value.tags.push("armed".into());
    value.note.update("grey hull, two outboards");
    let second = document.reconcile([1; 16], 2, 6, &value).unwrap();
    document.apply(&through_gate(&second).unwrap()).unwrap();
    assert_eq!(document.hydrate::<Sighting>().unwrap(), value);
    let value: Sighting = document.hydrate().unwrap();
    assert_eq!(document.reconcile([1; 16], 3, 7, &value), Err(EditError::NoChange));
    assert_eq!(document.to_json()["note"], json!("grey hull, two outboards"));

    // A text is edited where it differs; nothing of it is replaced.
    let change = edited(&mut document, [1; 16], 3, &set("note", json!("grey hull, one outboard")));
    let puts_text = |op: &Op| matches!(op.key, Key::Seq(_));
    assert!(change.change().ops.iter().all(puts_text));
    assert_eq!(document.to_json()["note"], json!("grey hull, one outboard"));
}

#[test]
fn a_record_of_another_shape_is_no_typed_record() {
    let document = record(json!({"name": 5}));
    assert!(matches!(document.hydrate::<Sighting>(), Err(ReadError::Shape(_))));
}

#[test]
fn an_actor_depends_on_log_record_and_run() {
    let of = |log: u8, record: u8, run: u32| actor(&[log; 32], &RecordId([record; 16]), run);
    let all = [of(1, 1, 0), of(2, 1, 0), of(1, 2, 0), of(1, 1, 1), of(1, 1, 256)];
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    let hash = Domain::Actor.hash(&[&[1; 32], &[1; 16], &[0; 4]]);
    assert_eq!(of(1, 1, 0), hash[..16]);
}

#[test]
fn the_document_is_automerges_own() {
    let (document, first) = base();
    let mut doc = Automerge::new();
    let change = automerge::Change::from_bytes(first.bytes().to_vec()).unwrap();
    doc.apply_changes([change]).unwrap();
    assert_eq!(shown(&document), hydrated(&doc.hydrate(None)));
    assert_eq!(doc.stats().num_changes, 1);
}
