//! The codec against Automerge itself, and against those who would misuse it.

use automerge::transaction::Transactable as _;
use automerge::{AutoCommit, Automerge, ROOT};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::bounds::{CHANGE_BYTES_MAX, CHANGE_OPS_MAX, RECORD_DEPTH_MAX};
use crate::codec::Write as _;
use crate::document::{Document, Patch, Segment};
use crate::gate::{Expected, GateFault, admit};

const ACTOR: ActorId = [7; 16];

fn expected() -> Expected<'static> {
    Expected { actor: ACTOR, seq: 1, deps: &[], start_op: 1 }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        other => panic!("{other}"),
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(Value::from),
        "[a-zé ]{0,12}".prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::btree_map("[a-c]{1,3}", inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn json_object() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map("[a-e]{1,4}", json_value(), 1..8)
        .prop_map(|fields| fields.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_built_is_what_automerge_would_keep(fields in json_object()) {
        let built = first_change(ACTOR, 1_700_000_000, &fields).unwrap();
        let mut document = Automerge::new();
        for change in &built {
            let change = automerge::Change::from_bytes(change.bytes.clone()).unwrap();
            prop_assert_eq!(change.actor_id().to_bytes(), ACTOR);
            document.apply_changes([change]).unwrap();
        }
        let kept = document.get_changes(&[]);
        prop_assert_eq!(kept.len(), built.len());
        for (kept, built) in kept.iter().zip(&built) {
            prop_assert_eq!(kept.raw_bytes(), built.bytes.as_slice());
            prop_assert_eq!(kept.hash().0, hash(&built.bytes));
        }
        let admitted = admit(&built[0].bytes, &expected()).unwrap();
        prop_assert_eq!(to_json(admitted.change()).unwrap(), fields.clone());
        let mut document = Document::empty();
        document.apply(&admitted).unwrap();
        prop_assert_eq!(document.to_json(), fields);
    }

    #[test]
    fn what_automerge_writes_reads_and_writes_back(
        steps in prop::collection::vec((0u8..9, 0usize..4, any::<i64>()), 1..60),
        merge_at in 0usize..60,
    ) {
        let mut document = AutoCommit::new().with_actor(automerge::ActorId::from(ACTOR));
        let list = document.put_object(ROOT, "list", automerge::ObjType::List).unwrap();
        let map = document.put_object(ROOT, "map", automerge::ObjType::Map).unwrap();
        document.put(ROOT, "n", automerge::ScalarValue::counter(1)).unwrap();
        document.commit();
        let mut other = document.fork().with_actor(automerge::ActorId::from([3; 16]));
        for (n, (step, at, value)) in steps.iter().enumerate() {
            let key = ["a", "b", "c", "d"][*at];
            let doc = if step % 2 == 0 { &mut document } else { &mut other };
            let len = automerge::ReadDoc::length(doc, &list);
            match step {
                0 | 1 => doc.put(ROOT, key, *value).unwrap(),
                2 | 3 => doc.put(&map, key, "text").unwrap(),
                4 | 5 => doc.insert(&list, (*at).min(len), *value).unwrap(),
                6 if len > 0 => doc.delete(&list, (*at).min(len - 1)).unwrap(),
                7 => { let _ = doc.delete(&map, key); }
                _ => doc.increment(ROOT, "n", 1).unwrap(),
            }
            if *value % 3 == 0 {
                doc.commit();
            }
            if n == merge_at {
                document.merge(&mut other).unwrap();
            }
        }
        document.merge(&mut other).unwrap();
        for change in document.get_changes(&[]) {
            let bytes = change.raw_bytes();
            let decoded = decode(bytes).unwrap();
            prop_assert_eq!(encode(&decoded), bytes);
            prop_assert_eq!(hash(bytes), change.hash().0);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(decode(&bytes).is_err());
        prop_assert!(decode(&chunk(TYPE_CHANGE, &bytes)).is_err() || bytes.len() > 20);
    }
}

/// A chunk with a right checksum around any contents.
fn chunk(chunk_type: u8, contents: &[u8]) -> Vec<u8> {
    let mut tail = vec![chunk_type];
    tail.bytes(contents);
    let mut out = MAGIC.to_vec();
    out.extend(&crate::hash::sha256(&tail)[..4]);
    out.extend(tail);
    out
}

/// A first change of these columns.
fn with_columns(columns: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut contents = Vec::new();
    contents.number(0).bytes(&ACTOR).number(1).number(1).number(0).number(0).number(0);
    contents.number(columns.len() as u64);
    for (spec, bytes) in columns {
        contents.number(*spec).number(bytes.len() as u64);
    }
    for (_, bytes) in columns {
        contents.raw(bytes);
    }
    chunk(TYPE_CHANGE, &contents)
}

#[test]
fn the_change_of_a_hundred_bytes_and_a_million_operations_is_refused_at_once() {
    let mut million = Vec::new();
    column::put_signed(&mut million, 1_000_000);
    let run = |value: u8| [million.clone(), vec![value]].concat();
    let mut insert = Vec::new();
    insert.number(0).number(1_000_000);
    let bomb = with_columns(&[
        (spec::INSERT, insert),
        (spec::ACTION, run(1)),
        (spec::VALUE_META, run(0)),
        (spec::PRED_COUNT, run(0)),
    ]);
    assert!(bomb.len() < 120);
    assert_eq!(decode(&bomb), Err(ChangeError::TooManyOps));
}

#[test]
fn other_chunks_and_deflated_columns_are_refused() {
    for chunk_type in [0, 2, 3, 4, 255] {
        assert_eq!(decode(&chunk(chunk_type, &[0; 30])), Err(ChangeError::ChunkType(chunk_type)));
    }
    let deflated = with_columns(&[(spec::ACTION | 8, vec![1, 1])]);
    assert_eq!(decode(&deflated), Err(ChangeError::Column(spec::ACTION | 8)));
    let marks = with_columns(&[(148, vec![1])]);
    assert_eq!(decode(&marks), Err(ChangeError::Column(148)));
    let twice = with_columns(&[(spec::ACTION, vec![1, 1]), (spec::ACTION, vec![1, 1])]);
    assert_eq!(decode(&twice), Err(ChangeError::Column(spec::ACTION)));
}

fn first(fields: Value) -> Vec<u8> {
    first_change(ACTOR, 0, &object(fields)).unwrap().remove(0).bytes
}

#[test]
fn the_gate_asks_for_what_the_header_implies() {
    let bytes = first(json!({ "a": 1 }));
    assert!(admit(&bytes, &expected()).is_ok());
    let with = |expected: Expected<'_>| admit(&bytes, &expected).unwrap_err();
    assert_eq!(with(Expected { actor: [8; 16], ..expected() }), GateFault::Actor);
    assert_eq!(with(Expected { seq: 2, ..expected() }), GateFault::Seq { found: 1, expected: 2 });
    assert_eq!(with(Expected { deps: &[[1; 32]], ..expected() }), GateFault::Deps);
    let start = GateFault::StartOp { found: 1, expected: 9 };
    assert_eq!(with(Expected { start_op: 9, ..expected() }), start);
}

#[test]
fn the_start_op_attack_is_void() {
    let mut change = decode(&first(json!({ "a": 1 }))).unwrap();
    change.start_op = u64::MAX - 1;
    let fault = admit(&encode(&change), &expected()).unwrap_err();
    assert_eq!(fault, GateFault::StartOp { found: u64::MAX - 1, expected: 1 });
}

#[test]
fn a_second_change_of_one_actor_and_number_is_void() {
    // Automerge itself would keep whichever came first, and replicas would differ for good.
    let (one, two) = (first(json!({ "a": 1 })), first(json!({ "a": 2 })));
    let admitted = admit(&one, &expected()).unwrap();
    let mut document = Document::empty();
    document.apply(&admitted).unwrap();
    let deps = [admitted.hash()];
    let after = Expected { actor: ACTOR, seq: 2, deps: &deps, start_op: 2 };
    assert_eq!(admit(&two, &after).unwrap_err(), GateFault::Seq { found: 1, expected: 2 });
}

#[test]
fn operations_refer_only_to_what_can_exist() {
    let base = decode(&first(json!({ "a": { "b": 1 } }))).unwrap();
    let with = |edit: &dyn Fn(&mut Change)| {
        let mut change = base.clone();
        edit(&mut change);
        admit(&encode(&change), &expected()).unwrap_err()
    };
    let later = OpId { counter: 2, actor: 0 };
    assert_eq!(with(&|c| c.ops[1].object = Some(later)), GateFault::Reference(2));
    assert_eq!(with(&|c| c.ops[0].action = Action::Set(Scalar::Null)), GateFault::Reference(2));
    assert_eq!(with(&|c| c.ops[1].pred = vec![later]), GateFault::Reference(2));
    assert_eq!(with(&|c| c.ops[1].insert = true), GateFault::Nonsense(2));
    assert_eq!(with(&|c| c.ops[1].action = Action::Delete), GateFault::Nonsense(2));
    assert_eq!(with(&|c| c.ops[1].key = Key::Head), GateFault::Nonsense(2));
    assert_eq!(with(&|c| c.ops.clear()), GateFault::Empty);
}

#[test]
fn another_way_to_write_the_same_change_is_void() {
    // Two actions written as literals, not as a run.
    let bytes = with_columns(&[
        (spec::KEY_TEXT, vec![0x7e, 1, b'a', 1, b'b']),
        (spec::INSERT, vec![2]),
        (spec::ACTION, vec![0x7e, 1, 1]),
        (spec::VALUE_META, vec![2, 0]),
        (spec::PRED_COUNT, vec![2, 0]),
    ]);
    assert!(decode(&bytes).is_ok());
    assert_eq!(admit(&bytes, &expected()).unwrap_err(), GateFault::NotCanonical);
}

#[test]
fn operations_are_counted_at_the_bound_and_one_past_it() {
    let fields = |n: usize| (0..n).map(|n| (format!("{n:04}"), Value::Null)).collect::<Map<_, _>>();
    let at = first_change(ACTOR, 0, &fields(CHANGE_OPS_MAX)).unwrap();
    assert_eq!(at.len(), 1);
    assert!(admit(&at[0].bytes, &expected()).is_ok());
    let past = first_change(ACTOR, 0, &fields(CHANGE_OPS_MAX + 1)).unwrap();
    assert_eq!(past.len(), 2);
    let mut joined = decode(&at[0].bytes).unwrap();
    joined.ops.extend(decode(&past[1].bytes).unwrap().ops);
    assert_eq!(decode(&encode(&joined)), Err(ChangeError::TooManyOps));
}

#[test]
fn large_records_are_split_and_come_together_again() {
    let items: Vec<Value> = (0..3_000)
        .map(|n| json!({ "id": format!("object--{n}"), "text": "x".repeat(40) }))
        .collect();
    let fields = object(json!({ "items": items, "name": "large" }));
    let built = first_change(ACTOR, 0, &fields).unwrap();
    assert!(built.len() > 1);
    let mut document = Document::empty();
    let (mut deps, mut start_op) = (vec![], 1);
    for (change, seq) in built.iter().zip(1..) {
        assert!(change.bytes.len() <= CHANGE_BYTES_MAX);
        let admitted =
            admit(&change.bytes, &Expected { actor: ACTOR, seq, deps: &deps, start_op }).unwrap();
        document.apply(&admitted).unwrap();
        (deps, start_op) = (vec![admitted.hash()], admitted.max_op() + 1);
    }
    assert_eq!(document.to_json(), fields);
}

#[test]
fn what_is_too_large_for_a_record_is_refused_with_its_reason() {
    let build = |fields: Value| first_change(ACTOR, 0, &object(fields)).unwrap_err();
    assert!(matches!(build(json!({ "a": "x".repeat(70_000) })), BuildError::TextTooLong(70_001)));
    assert_eq!(build(json!({})), BuildError::Empty);
    let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!({ "a": inner }));
    assert!(first_change(ACTOR, 0, &object(nested(RECORD_DEPTH_MAX))).is_ok());
    assert_eq!(build(nested(RECORD_DEPTH_MAX + 1)), BuildError::TooDeep);
    let many: Vec<u8> = vec![0; 20_001];
    assert_eq!(build(json!({ "a": many })), BuildError::TooManyValues);
}

#[test]
fn edits_come_back_through_the_gate_and_concurrent_values_are_kept() {
    let admitted = admit(&first(json!({ "a": 1, "m": { "x": 1 } })), &expected()).unwrap();
    let mut document = Document::empty();
    document.apply(&admitted).unwrap();
    let name = |name: &str| vec![Segment::Name(name.into())];
    let mut changes = Vec::new();
    for (actor, value) in [([1; 16], "one"), ([2; 16], "two")] {
        let mut patch = Patch::default();
        patch.set(name("a"), json!(value));
        patch.set(
            vec![Segment::Name("m".into()), Segment::Name(value.into())],
            json!([1, { "y": 2 }]),
        );
        patch.unset(name("nothing"));
        changes.push((actor, document.edit(actor, 1, 5, &patch).unwrap()));
    }
    let (deps, start_op) = ([admitted.hash()], admitted.max_op() + 1);
    for (actor, bytes) in &changes {
        let expected = Expected { actor: *actor, seq: 1, deps: &deps, start_op };
        document.apply(&admit(bytes, &expected).unwrap()).unwrap();
    }
    let conflicts = document.conflicts();
    let values: Vec<&Value> = conflicts["a"].iter().map(|c| &c.value).collect();
    assert_eq!(values.len(), 2);
    assert_eq!(values[0], &document.to_json()["a"]);
    assert_eq!(document.to_json()["m"]["one"], json!([1, { "y": 2 }]));
    assert_eq!(
        document.edit([4; 16], 1, 0, &Patch::default()),
        Err(crate::document::EditError::Empty)
    );
}

#[test]
fn mutations_with_a_right_checksum_never_get_a_panic_past_the_document() {
    let seeds = [
        first(json!({ "a": [1, 2, { "b": "c" }], "d": 1.5, "e": null })),
        first(json!({ "name": "x", "list": ["a", "b", "c"] })),
    ];
    let mut state = 1u64;
    let mut random = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let (mut admitted, mut tried) = (0, 0);
    for round in 0..4_000 {
        let seed = &seeds[round % seeds.len()];
        let mut tail = seed[8..].to_vec();
        for _ in 0..1 + random() % 3 {
            let at = 2 + random() % (tail.len() - 2);
            tail[at] = match random() % 3 {
                0 => random() as u8,
                1 => tail[at].wrapping_add(1),
                _ => tail[at] ^ 1 << (random() % 8),
            };
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend(&crate::hash::sha256(&tail)[..4]);
        bytes.extend(tail);
        tried += 1;
        if let Ok(change) = admit(&bytes, &expected()) {
            admitted += 1;
            let mut document = Document::empty();
            if document.apply(&change).is_ok() {
                let _ = (document.to_json(), document.conflicts());
            }
        }
    }
    assert!(admitted > 0 && admitted < tried, "{admitted} of {tried}");
}
