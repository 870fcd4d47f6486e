//! Our codec beside Automerge's own, over random histories and random records.

use automerge::transaction::{CommitOptions, Transactable as _};
use automerge::{ActorId, AutoCommit, Automerge, ObjId, ObjType, ROOT, ReadDoc as _, ScalarValue};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::encode::chunk;
use super::*;
use crate::bounds::{
    CHANGE_BYTES_MAX, CHANGE_OPS_MAX, CHANGE_TIME_MAX, FIELD_NAME_BYTES_MAX, RECORD_DEPTH_MAX,
    RECORD_OPS_MAX,
};
use crate::codec::{DecodeError, Write as _};

/// One thing that one of several writers does.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Put(usize, usize, Scalar),
    Make(usize, usize, u8),
    Delete(usize, usize),
    Increment(usize, usize, i64),
    Splice(usize, usize, usize, String),
    Commit(i64),
    Merge(usize),
}

pub(crate) fn scalars() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        Just(Scalar::Null),
        any::<bool>().prop_map(Scalar::Bool),
        any::<i64>().prop_map(Scalar::Int),
        (-70i64..70).prop_map(Scalar::Int),
        any::<u64>().prop_map(Scalar::Uint),
        (-1.0e9..1.0e9f64).prop_map(Scalar::F64),
        ".{0,12}".prop_map(Scalar::Str),
        "[a-c]{0,3}".prop_map(Scalar::Str),
        proptest::collection::vec(any::<u8>(), 0..9).prop_map(Scalar::Bytes),
        (-9i64..9).prop_map(Scalar::Counter),
        any::<i64>().prop_map(Scalar::Timestamp),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let place = || (0..12usize, 0..5usize);
    prop_oneof![
        6 => (place(), scalars()).prop_map(|((o, p), s)| Step::Put(o, p, s)),
        3 => (place(), 0..3u8).prop_map(|((o, p), kind)| Step::Make(o, p, kind)),
        3 => place().prop_map(|(o, p)| Step::Delete(o, p)),
        2 => (place(), -5..5i64).prop_map(|((o, p), by)| Step::Increment(o, p, by)),
        3 => (place(), 0..4usize, ".{0,5}").prop_map(|((o, p), d, t)| Step::Splice(o, p, d, t)),
        3 => (0..=CHANGE_TIME_MAX).prop_map(Step::Commit),
        2 => (0..3usize).prop_map(Step::Merge),
    ]
}

/// What three writers do, who now and then take over what another has.
pub(crate) fn sessions() -> impl Strategy<Value = Vec<(usize, Step)>> {
    proptest::collection::vec((0..3usize, steps()), 1..60)
}

pub(crate) const ACTORS: [Actor; 3] = [[7; 16], [0xff; 16], [1; 16]];

/// Plays a session; the merged document.
pub(crate) fn play(session: &[(usize, Step)]) -> AutoCommit {
    let mut docs: Vec<AutoCommit> =
        ACTORS.iter().map(|actor| AutoCommit::new().with_actor(ActorId::from(*actor))).collect();
    for (who, step) in session {
        let doc = &mut docs[*who];
        match step {
            Step::Commit(time) => {
                doc.commit_with(CommitOptions::default().with_time(*time));
            }
            Step::Merge(from) if from != who => {
                docs[*from].commit();
                let mut other = docs[*from].clone();
                docs[*who].merge(&mut other).unwrap();
            }
            step => write(doc, step),
        }
    }
    let mut all = docs.remove(0);
    for mut doc in docs {
        all.merge(&mut doc).unwrap();
    }
    all
}

fn write(doc: &mut AutoCommit, step: &Step) {
    let all = objects(doc);
    let pick = |n: &usize| all[n % all.len()].clone();
    let name = |n: &usize| ["a", "b", "name", "länge", "e"][*n];
    match step {
        Step::Put(o, p, scalar) => {
            let (obj, kind) = pick(o);
            let len = doc.length(&obj);
            let value = automerge_scalar(scalar);
            match kind {
                ObjType::List if len == 0 || p % 2 == 0 => {
                    doc.insert(&obj, p % (len + 1), value).unwrap();
                }
                ObjType::List => doc.put(&obj, p % len, value).unwrap(),
                ObjType::Text => {}
                _ => doc.put(&obj, name(p), value).unwrap(),
            }
        }
        Step::Make(o, p, made) => {
            let (obj, kind) = pick(o);
            let made = [ObjType::Map, ObjType::List, ObjType::Text][usize::from(*made)];
            let len = doc.length(&obj);
            match kind {
                ObjType::List => drop(doc.insert_object(&obj, p % (len + 1), made).unwrap()),
                ObjType::Text => {}
                _ => drop(doc.put_object(&obj, name(p), made).unwrap()),
            }
        }
        Step::Delete(o, p) => {
            let (obj, kind) = pick(o);
            let len = doc.length(&obj);
            match kind {
                ObjType::List | ObjType::Text if len == 0 => {}
                ObjType::List | ObjType::Text => doc.delete(&obj, p % len).unwrap(),
                _ if doc.get(&obj, name(p)).unwrap().is_some() => {
                    doc.delete(&obj, name(p)).unwrap();
                }
                _ => {}
            }
        }
        Step::Increment(o, p, by) => {
            let (obj, kind) = pick(o);
            if kind == ObjType::Map {
                // Fails where there is no counter.
                let _ = doc.increment(&obj, name(p), *by);
            }
        }
        Step::Splice(o, p, delete, text) => {
            let (obj, kind) = pick(o);
            let len = doc.length(&obj);
            if kind == ObjType::Text {
                let at = p % (len + 1);
                doc.splice_text(&obj, at, (*delete).min(len - at) as isize, text).unwrap();
            }
        }
        Step::Commit(_) | Step::Merge(_) => {}
    }
}

fn objects(doc: &AutoCommit) -> Vec<(ObjId, ObjType)> {
    let mut all = vec![(ROOT, ObjType::Map)];
    let mut next = 0;
    while let Some((obj, kind)) = all.get(next).cloned() {
        next += 1;
        let children: Vec<_> = match kind {
            ObjType::Map => {
                doc.map_range(&obj, ..).map(|i| (i.value.clone().into_value(), i.id())).collect()
            }
            ObjType::List => {
                doc.list_range(&obj, ..).map(|i| (i.value.clone().into_value(), i.id())).collect()
            }
            _ => vec![],
        };
        for (value, id) in children {
            if let automerge::Value::Object(kind) = value {
                all.push((id, kind));
            }
        }
    }
    all
}

pub(crate) fn automerge_scalar(scalar: &Scalar) -> ScalarValue {
    match scalar {
        Scalar::Null => ScalarValue::Null,
        Scalar::Bool(value) => ScalarValue::Boolean(*value),
        Scalar::Int(n) => ScalarValue::Int(*n),
        Scalar::Uint(n) => ScalarValue::Uint(*n),
        Scalar::F64(n) => ScalarValue::F64(*n),
        Scalar::Str(text) => ScalarValue::Str(text.as_str().into()),
        Scalar::Bytes(bytes) => ScalarValue::Bytes(bytes.clone()),
        Scalar::Counter(n) => ScalarValue::counter(*n),
        Scalar::Timestamp(n) => ScalarValue::Timestamp(*n),
    }
}

/// Automerge's values as JSON, by its own hydration.
pub(crate) fn hydrated(value: &automerge::hydrate::Value) -> Value {
    use automerge::hydrate::Value as H;
    match value {
        H::Scalar(ScalarValue::Null) => Value::Null,
        H::Scalar(ScalarValue::Boolean(b)) => json!(b),
        H::Scalar(ScalarValue::Int(n) | ScalarValue::Timestamp(n)) => json!(n),
        H::Scalar(ScalarValue::Counter(n)) => json!(i64::from(n)),
        H::Scalar(ScalarValue::Uint(n)) => json!(n),
        H::Scalar(ScalarValue::F64(n)) => json!(n),
        H::Scalar(ScalarValue::Str(text)) => json!(text.to_string()),
        H::Scalar(ScalarValue::Bytes(b) | ScalarValue::Unknown { bytes: b, .. }) => {
            Value::String(b.iter().map(|b| format!("{b:02x}")).collect())
        }
        H::Map(map) => map.iter().map(|(k, v)| (k.clone(), hydrated(&v.value))).collect(),
        H::List(list) => list.iter().map(|v| hydrated(&v.value)).collect(),
        H::Text(text) => Value::String(String::from(text)),
    }
}

pub(crate) fn records() -> impl Strategy<Value = Map<String, Value>> {
    proptest::collection::btree_map("[a-z_]{1,6}", values(), 1..9)
        .prop_map(|fields| fields.into_iter().collect())
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-100i64..100).prop_map(Value::from),
        proptest::num::f64::NORMAL.prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map("[a-z]{1,4}", inner, 0..6)
                .prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_automerge_writes_is_read_and_written_alike(session in sessions()) {
        let mut doc = play(&session);
        for change in doc.get_changes(&[]) {
            let bytes = change.raw_bytes();
            let read = decode(bytes).unwrap();
            prop_assert_eq!(&encode(&read)[..], bytes);
            prop_assert!(read.chunk_bytes_min() <= bytes.len());
            prop_assert_eq!(hash(bytes), change.hash().0);
            prop_assert_eq!(read.seq, change.seq());
            prop_assert_eq!(read.start_op, change.start_op().get());
            prop_assert_eq!(read.max_op(), change.max_op());
            prop_assert_eq!(read.time, change.timestamp());
            prop_assert_eq!(&read.actor[..], change.actor_id().to_bytes());
            prop_assert_eq!(read.deps, change.deps().iter().map(|d| d.0).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_we_build_is_what_automerge_has(fields in records(), time in 0..=CHANGE_TIME_MAX) {
        let built = first_change([9; 16], time, &fields).unwrap();
        prop_assert_eq!(built.len(), 1);
        let change = automerge::Change::from_bytes(built[0].bytes().to_vec()).unwrap();
        prop_assert_eq!(change.hash().0, built[0].hash());
        prop_assert_eq!(change.actor_id().to_bytes(), &[9; 16][..]);
        prop_assert_eq!((change.seq(), change.start_op().get()), (1, 1));
        prop_assert_eq!((change.timestamp(), change.deps().len()), (time, 0));

        let mut doc = Automerge::new();
        doc.apply_changes([change]).unwrap();
        let there = doc.get_changes(&[]);
        prop_assert_eq!(there[0].raw_bytes(), built[0].bytes());
        prop_assert_eq!(hydrated(&doc.hydrate(None)), Value::Object(fields.clone()));

        let read = decode(built[0].bytes()).unwrap();
        prop_assert_eq!(&encode(&read), built[0].bytes());
        prop_assert_eq!(to_json(&read), Some(fields));
    }

    #[test]
    fn a_first_change_is_shown_as_automerge_shows_it(session in sessions()) {
        let only: Vec<_> = session
            .into_iter()
            .filter(|(_, step)| !matches!(step, Step::Commit(_) | Step::Merge(_)))
            .map(|(_, step)| (0, step))
            .collect();
        let mut doc = play(&only);
        for change in doc.get_changes(&[]) {
            if let Some(shown) = to_json(&decode(change.raw_bytes()).unwrap()) {
                prop_assert_eq!(Value::Object(shown), hydrated(&doc.document().hydrate(None)));
            }
        }
    }
}

#[test]
fn a_first_change_does_not_depend_on_the_order_of_fields() {
    let (a, b) = (json!({"a": 1, "b": {"c": [1, 2]}}), json!({"b": {"c": [1, 2]}, "a": 1}));
    let build = |value: &Value| first_change([1; 16], 0, value.as_object().unwrap()).unwrap();
    assert_eq!(build(&a), build(&b));
}

#[test]
fn a_long_record_becomes_a_chain_of_changes() {
    let items: Vec<Value> = (0..CHANGE_OPS_MAX * 2 + 5).map(Value::from).collect();
    let fields = json!({"first": "x", "items": items, "more": {"last": ["y", {"z": 1}]}});
    check_chain(fields.as_object().unwrap(), 3);
    // By size: three texts of which no two fit one change.
    let text = "ä".repeat(20_000);
    let fields = json!({"a": text, "b": text, "c": text});
    check_chain(fields.as_object().unwrap(), 3);
}

fn check_chain(fields: &Map<String, Value>, length: usize) {
    let built = first_change([4; 16], 5, fields).unwrap();
    assert_eq!(built.len(), length);
    let mut doc = Automerge::new();
    let mut start_op = 1;
    for (index, part) in built.iter().enumerate() {
        assert!(part.bytes().len() <= CHANGE_BYTES_MAX && part.change.ops.len() <= CHANGE_OPS_MAX);
        assert_eq!((part.change.seq, part.change.start_op), (index as u64 + 1, start_op));
        start_op += part.change.ops.len() as u64;
        let read = decode(part.bytes()).unwrap();
        let last = index.checked_sub(1).map(|last| built[last].hash());
        assert_eq!(read.deps, last.into_iter().collect::<Vec<_>>());
        let change = automerge::Change::from_bytes(part.bytes().to_vec()).unwrap();
        doc.apply_changes([change]).unwrap();
    }
    assert_eq!(hydrated(&doc.hydrate(None)), Value::Object(fields.clone()));
    assert!(to_json(&decode(built[1].bytes()).unwrap()).is_none());
}

fn build(value: Value) -> Result<Vec<Built>, BuildError> {
    first_change([1; 16], 0, value.as_object().unwrap())
}

#[test]
fn a_record_is_built_up_to_each_limit_and_no_further() {
    let list = |n: usize| json!({ "l": vec![Value::Null; n] });
    assert_eq!(build(list(CHANGE_OPS_MAX - 1)).unwrap().len(), 1);
    assert_eq!(build(list(CHANGE_OPS_MAX)).unwrap().len(), 2);
    assert!(build(list(RECORD_OPS_MAX - 1)).is_ok());
    assert_eq!(build(list(RECORD_OPS_MAX)), Err(BuildError::TooManyOps));

    let nested = |depth: usize| (2..depth).fold(json!([]), |inner, _| json!([inner]));
    assert!(build(json!({ "n": nested(RECORD_DEPTH_MAX) })).is_ok());
    assert_eq!(build(json!({ "n": nested(RECORD_DEPTH_MAX + 1) })), Err(BuildError::TooDeep));

    let named = |n: usize| Map::from_iter([("n".repeat(n), json!(1))]);
    assert!(first_change([1; 16], 0, &named(FIELD_NAME_BYTES_MAX)).is_ok());
    let bytes = FIELD_NAME_BYTES_MAX + 1;
    assert_eq!(first_change([1; 16], 0, &named(bytes)), Err(BuildError::NameTooLong { bytes }));
    assert_eq!(first_change([1; 16], 0, &named(0)), Err(BuildError::NoName));
    assert_eq!(build(json!({})), Err(BuildError::Empty));

    let one = Map::from_iter([("a".to_owned(), json!(1))]);
    assert!(first_change([1; 16], CHANGE_TIME_MAX, &one).is_ok());
    for time in [-1, CHANGE_TIME_MAX + 1, i64::MIN, i64::MAX] {
        assert_eq!(first_change([1; 16], time, &one), Err(BuildError::Time { time }));
    }

    let longest = CHANGE_BYTES_MAX - 1_024 - 192;
    let built = build(json!({ "t": "x".repeat(longest) })).unwrap();
    assert_eq!(built.len(), 1);
    assert!(decode(built[0].bytes()).is_ok());
    let bytes = longest + 1;
    let long = json!({ "t": "x".repeat(bytes) });
    assert_eq!(build(long), Err(BuildError::ValueTooLong { bytes }));

    let large = |n: usize| (0..n).map(|n| (format!("f{n}"), json!("x".repeat(64_000)))).collect();
    assert!(build(large(65)).is_ok());
    assert!(matches!(build(large(66)), Err(BuildError::TooLarge { .. })));
}

#[test]
fn what_a_lone_change_cannot_show_is_left_to_automerge() {
    let mut doc = AutoCommit::new();
    doc.put(ROOT, "a", 1).unwrap();
    let lone = decode(doc.get_last_local_change().unwrap().raw_bytes()).unwrap();
    assert_eq!(to_json(&lone), json!({"a": 1}).as_object().cloned());
    let with = |change: &dyn Fn(&mut Change)| {
        let mut changed = lone.clone();
        change(&mut changed);
        to_json(&changed)
    };
    assert_eq!(with(&|c| c.seq = 2), None);
    assert_eq!(with(&|c| c.deps.push([0; 32])), None);
    assert_eq!(with(&|c| c.ops[0].action = Action::Put(Scalar::Counter(1))), None);
    assert_eq!(with(&|c| c.ops[0].action = Action::Put(Scalar::Bytes(vec![1]))), None);
    assert_eq!(with(&|c| c.ops[0].action = Action::Delete), None);
    assert_eq!(with(&|c| c.ops[0].pred.push(OpId { counter: 1, actor: 0 })), None);
    assert_eq!(with(&|c| c.ops.push(c.ops[0].clone())), None, "two values in one field");
}

/// A change of nulls in a list, its runs as long as wanted: what Automerge would write.
pub(crate) fn bomb(nulls: u64) -> Vec<u8> {
    let column = |parts: &[(i64, i64)]| {
        let mut out = Vec::new();
        for (count, value) in parts {
            leb::write_signed(&mut out, *count);
            leb::write_signed(&mut out, *value);
        }
        out
    };
    let n = nulls as i64;
    let mut nothing_first = vec![0, 1];
    nothing_first.extend(column(&[(n, 0)]));
    let mut obj_counter = vec![0, 1];
    obj_counter.extend(column(&[(n, 1)]));
    // The first element stands behind the head, the others behind operations 2, 3, 4...
    let mut key_actor = vec![0, 2];
    key_actor.extend(column(&[(n - 1, 0)]));
    let mut key_counter = vec![0, 1];
    leb::write_signed(&mut key_counter, -2);
    key_counter.extend([0, 2]);
    key_counter.extend(column(&[(n - 2, 1)]));
    let mut key_string = vec![0x7f, 1, b'l'];
    key_string.extend([0]);
    key_string.number(nulls);
    let mut insert = vec![1];
    insert.number(nulls);
    let mut action = vec![0x7f, 2];
    action.extend(column(&[(n, 1)]));
    let all = column(&[(n + 1, 0)]);
    let columns = [
        (spec_of(0), nothing_first),
        (spec_of(1), obj_counter),
        (spec_of(2), key_actor),
        (spec_of(3), key_counter),
        (spec_of(4), key_string),
        (spec_of(5), insert),
        (spec_of(6), action),
        (spec_of(7), all.clone()),
        (spec_of(9), all),
    ];
    with_columns(&columns)
}

fn spec_of(index: usize) -> u32 {
    column::spec::ALL[index]
}

/// A first change of actor 1 with these columns.
fn with_columns(columns: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut data = Vec::new();
    data.number(0).bytes(&[1; 16]).number(1).number(1);
    data.raw(&[0, 0, 0]);
    data.number(columns.len() as u64);
    for (spec, column) in columns {
        data.number(u64::from(*spec)).number(column.len() as u64);
    }
    for (_, column) in columns {
        data.raw(column);
    }
    chunk(&data).0
}

/// A chunk around data that somebody put together by hand.
pub(crate) fn rechunk(data: &[u8]) -> Vec<u8> {
    chunk(data).0
}

/// The columns of a first change of actor 1 at time 0, all of them short.
pub(crate) fn small_columns(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let empty = with_columns(&[]);
    let mut directory = bytes[empty.len() - 1..].to_vec();
    let mut rest = directory.split_off(1);
    let mut columns = Vec::new();
    let mut at = 0;
    for _ in 0..directory[0] {
        // A number above 127 takes two bytes.
        let long = usize::from(rest[at] & 0x80 != 0);
        assert_eq!(long, 0, "columns of marks");
        columns.push((rest[at], usize::from(rest[at + 1])));
        at += 2;
    }
    rest.drain(..at);
    columns.into_iter().map(|(spec, len)| (spec, rest.drain(..len).collect())).collect()
}

/// What [`small_columns`] took apart.
pub(crate) fn with_small_columns(columns: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let columns: Vec<_> =
        columns.iter().map(|(spec, column)| (u32::from(*spec), column.clone())).collect();
    with_columns(&columns)
}

/// The columns of a change with one operation: 1 under "a".
fn one_op() -> Vec<(u32, Vec<u8>)> {
    vec![
        (0x15, vec![0x7f, 1, b'a']),
        (0x34, vec![1]),
        (0x42, vec![0x7f, 1]),
        (0x56, vec![0x7f, 0x14]),
        (0x57, vec![1]),
        (0x70, vec![0x7f, 0]),
    ]
}

fn with_column(spec: u32, bytes: &[u8]) -> Vec<u8> {
    let mut columns = one_op();
    columns.retain(|(known, _)| *known != spec);
    columns.push((spec, bytes.to_vec()));
    columns.sort_by_key(|(spec, _)| *spec);
    with_columns(&columns)
}

#[test]
fn a_change_of_a_hundred_bytes_with_a_million_items_is_counted_and_not_expanded() {
    let small = bomb(1_000);
    let read = decode(&small).unwrap();
    assert_eq!(read.ops.len(), 1_001);
    assert_eq!(encode(&read), small);
    let change = automerge::Change::from_bytes(small).unwrap();
    assert_eq!(change.len(), 1_001);

    let large = bomb(1_000_000);
    assert!(large.len() < 120, "{} bytes", large.len());
    assert_eq!(decode(&large), Err(ChangeError::TooManyOps { ops: 1_000_001 }));
    let huge = bomb(i64::MAX as u64 - 1);
    assert!(matches!(decode(&huge), Err(ChangeError::TooManyOps { .. })));
}

#[test]
fn operations_are_read_up_to_the_limit_and_no_further() {
    let at = CHANGE_OPS_MAX as u64 - 1;
    assert_eq!(decode(&bomb(at)).unwrap().ops.len(), CHANGE_OPS_MAX);
    let ops = at + 2;
    assert_eq!(decode(&bomb(at + 1)), Err(ChangeError::TooManyOps { ops }));
}

#[test]
fn replaced_operations_are_counted_and_not_expanded() {
    // One operation that replaces a million, in a few bytes.
    let mut count = vec![0x7f];
    count.number(1_000_000);
    let mut columns = one_op();
    columns.retain(|(spec, _)| *spec != 0x70);
    let mut run = Vec::new();
    leb::write_signed(&mut run, 1_000_000);
    columns.extend([
        (0x70, count),
        (0x71, [&run[..], &[0]].concat()),
        (0x73, [&run[..], &[1]].concat()),
    ]);
    let preds = 1_000_000;
    assert_eq!(decode(&with_columns(&columns)), Err(ChangeError::TooManyPreds { preds }));
}

#[test]
fn a_chunk_is_read_up_to_the_limit_and_no_further() {
    let change = |len: usize| {
        let op = Op {
            obj: super::ObjId::Root,
            key: Key::Map("t".into()),
            insert: false,
            action: Action::Put(Scalar::Str("x".repeat(len))),
            pred: vec![],
        };
        encode(&Change { seq: 1, start_op: 1, ops: vec![op], ..Change::default() })
    };
    let overhead = change(CHANGE_BYTES_MAX - 1_000).len() - (CHANGE_BYTES_MAX - 1_000);
    let at = change(CHANGE_BYTES_MAX - overhead);
    assert_eq!(at.len(), CHANGE_BYTES_MAX);
    assert!(decode(&at).is_ok());
    let past = change(CHANGE_BYTES_MAX - overhead + 1);
    assert_eq!(decode(&past), Err(ChangeError::TooLong { bytes: CHANGE_BYTES_MAX + 1 }));
}

#[test]
fn the_plain_one_operation_change_is_read() {
    let read = decode(&with_columns(&one_op())).unwrap();
    assert_eq!(read.ops[0].action, Action::Put(Scalar::Int(1)));
    assert_eq!(encode(&read), with_columns(&one_op()));
}

#[test]
fn other_chunks_are_refused_unread() {
    let good = with_columns(&one_op());
    for kind in [0, 2, 3, 4, 255] {
        let mut bytes = good.clone();
        bytes[HASHED_FROM] = kind;
        assert_eq!(decode(&bytes), Err(ChangeError::Kind { kind }));
    }
    let mut doc = AutoCommit::new();
    for n in 0..200 {
        doc.put(ROOT, format!("field {n}"), "text that deflates well").unwrap();
    }
    doc.commit();
    assert_eq!(decode(&doc.save()), Err(ChangeError::Kind { kind: 0 }), "a document");
    let deflated = doc.get_last_local_change().unwrap().bytes().into_owned();
    assert_eq!(decode(&deflated), Err(ChangeError::Kind { kind: 2 }), "a deflated change");
}

#[test]
fn a_deflated_bomb_is_refused_before_anything_is_inflated() {
    // A megabyte of it would inflate to gigabytes. Its kind is read first, and its length before.
    let mut bytes = [&MAGIC[..], &[0; 4], &[2]].concat();
    bytes.bytes(&vec![0; 60_000]);
    assert_eq!(decode(&bytes), Err(ChangeError::Kind { kind: 2 }));
    bytes.resize(CHANGE_BYTES_MAX + 1, 0);
    assert_eq!(decode(&bytes), Err(ChangeError::TooLong { bytes: CHANGE_BYTES_MAX + 1 }));
}

#[test]
fn headers_that_lie_are_refused() {
    let good = with_columns(&one_op());
    let mut magic = good.clone();
    magic[0] ^= 1;
    assert_eq!(decode(&magic), Err(ChangeError::Magic));
    let mut checksum = good.clone();
    checksum[4] ^= 1;
    assert_eq!(decode(&checksum), Err(ChangeError::Checksum));
    let trailing = [&good[..], &[0]].concat();
    assert!(matches!(
        decode(&trailing),
        Err(ChangeError::Malformed(DecodeError::Trailing { count: 1, .. }))
    ));
    for len in 0..good.len() {
        assert!(decode(&good[..len]).is_err(), "{len} bytes of it");
    }
}

#[test]
fn extra_bytes_behind_the_columns_are_refused() {
    let good = with_columns(&one_op());
    let data = [&good[10..], b"author"].concat();
    assert!(matches!(
        decode(&chunk(&data).0),
        Err(ChangeError::Malformed(DecodeError::Trailing { count: 6, .. }))
    ));
}

#[test]
fn deflated_unknown_and_unsorted_columns_are_refused() {
    let deflated = with_column(0x57 | 8, &[1]);
    assert_eq!(decode(&deflated), Err(ChangeError::Deflated { spec: 0x5f }));
    for spec in [0x94, 0xa5, 0x03, 0x61, 0x77] {
        let unknown = ChangeError::UnknownColumn { spec: u64::from(spec) };
        assert_eq!(decode(&with_column(spec, &[1])), Err(unknown));
    }
    let mut swapped = one_op();
    swapped.swap(1, 2);
    assert_eq!(decode(&with_columns(&swapped)), Err(ChangeError::ColumnOrder { spec: 0x34 }));
    let mut twice = one_op();
    twice.insert(1, twice[0].clone());
    assert_eq!(decode(&with_columns(&twice)), Err(ChangeError::ColumnOrder { spec: 0x15 }));
}

#[test]
fn marks_and_tables_and_actions_of_the_future_are_refused() {
    for action in [6, 7, 8, 99] {
        let unknown = ChangeError::UnknownAction { op: 0, action };
        assert_eq!(
            decode(&with_columns(&replaced(0x42, &[0x7f, action as u8], true))),
            Err(unknown)
        );
    }
}

/// The one operation with another action, and a value or none.
fn replaced(spec: u32, bytes: &[u8], null: bool) -> Vec<(u32, Vec<u8>)> {
    let mut columns = one_op();
    for (known, column) in &mut columns {
        if *known == spec {
            *column = bytes.to_vec();
        }
        if null && *known == 0x56 {
            *column = vec![0x7f, 0];
        }
    }
    if null {
        columns.retain(|(known, _)| *known != 0x57);
    }
    columns
}

#[test]
fn objects_deletions_and_increments_have_their_values_and_no_other() {
    for action in [0, 2, 3, 4] {
        assert!(decode(&with_columns(&replaced(0x42, &[0x7f, action], true))).is_ok());
        let impossible = ChangeError::Impossible { op: 0, what: "value" };
        let valued = with_columns(&replaced(0x42, &[0x7f, action], false));
        assert_eq!(decode(&valued), Err(impossible));
    }
    assert!(decode(&with_columns(&replaced(0x42, &[0x7f, 5], false))).is_ok());
    assert!(decode(&with_columns(&replaced(0x42, &[0x7f, 5], true))).is_err());
}

#[test]
fn columns_that_are_short_or_long_or_hollow_are_refused() {
    for (spec, bytes) in [
        (0x15, &[2, 1, b'a'][..]),
        (0x15, &[0x7f, 1, b'a', 0, 1]),
        (0x15, &[0, 0, 0x7f, 1, b'a']),
        (0x15, &[0x7f, 1, 0xff]),
        (0x15, &[0x7f, 9, b'a']),
        (0x15, &[0x81, 0x00, 1, b'a']),
        (0x15, &[0x40]),
        (0x34, &[2]),
        (0x34, &[0, 0, 0]),
        (0x34, &[]),
        (0x42, &[0x7f]),
        (0x42, &[0, 1]),
        (0x56, &[0x7f, 0x24]),
        (0x56, &[0x7f, 0x1f]),
        (0x56, &[0x7f, 0x11]),
        (0x57, &[1, 1]),
        (0x57, &[]),
        (0x70, &[0, 1]),
        (0x70, &[0x7f, 1]),
        (0x01, &[0x7f, 0]),
        (0x02, &[0x7f, 1]),
        (0x11, &[0x7f, 0]),
        (0x13, &[0x7f, 1]),
        (0x73, &[0x7f, 1]),
    ] {
        assert!(decode(&with_column(spec, bytes)).is_err(), "{spec:#x}: {bytes:02x?}");
    }
}

#[test]
fn actors_that_are_short_unsorted_unmentioned_or_unlisted_are_refused() {
    let change = |other_actors: Vec<Actor>, mentions: &[u32]| {
        let pred = mentions.iter().map(|actor| OpId { counter: 1, actor: *actor }).collect();
        let op = Op {
            obj: super::ObjId::Root,
            key: Key::Map("a".into()),
            insert: false,
            action: Action::Delete,
            pred,
        };
        decode(&encode(&Change {
            actor: [5; 16],
            seq: 1,
            start_op: 2,
            other_actors,
            ops: vec![op],
            ..Change::default()
        }))
        .map(|_| ())
    };
    assert_eq!(change(vec![[6; 16], [7; 16]], &[1, 2]), Ok(()));
    let order = |what| Err(ChangeError::Order { what });
    assert_eq!(change(vec![[7; 16], [6; 16]], &[2, 1]), order("other actors"));
    assert_eq!(change(vec![[6; 16], [6; 16]], &[1, 2]), order("other actors"));
    assert_eq!(change(vec![[6; 16]], &[1, 1]), order("replaced operations"));
    assert_eq!(change(vec![[4; 16]], &[0, 1]), order("replaced operations"));
    assert_eq!(change(vec![[4; 16]], &[1, 0]), Ok(()));
    assert_eq!(change(vec![[6; 16]], &[0]), Err(ChangeError::IdleActor { actor: 1 }));
    assert_eq!(change(vec![], &[1]), Err(ChangeError::UnknownActor { op: 0, actor: 1 }));

    let good = with_columns(&one_op());
    let mut data = good[10..].to_vec();
    data.splice(1..18, [3, 1, 1, 1]);
    assert_eq!(decode(&chunk(&data).0), Err(ChangeError::ActorLength { bytes: 3 }));
}

#[test]
fn dependencies_are_sorted_and_few() {
    let change = |deps: Vec<[u8; 32]>| {
        decode(&encode(&Change { seq: 1, start_op: 1, deps, ..Change::default() })).map(|_| ())
    };
    assert_eq!(change((0..32).map(|n| [n; 32]).collect()), Ok(()));
    assert!(matches!(
        change((0..33).map(|n| [n; 32]).collect()),
        Err(ChangeError::Malformed(DecodeError::TooLarge { max: 32, .. }))
    ));
    assert_eq!(change(vec![[2; 32], [1; 32]]), Err(ChangeError::Order { what: "dependencies" }));
    assert_eq!(change(vec![[1; 32], [1; 32]]), Err(ChangeError::Order { what: "dependencies" }));
}
