//! Every change comes back as the same bytes, one form stands for one change, limits hold at their
//! bounds, and the dictionary is what it was.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

use super::dictionary::{WORDS, word_index};
use super::*;
use crate::bounds::CHANGE_TIME_MAX;
use crate::change::tests::{play, records, sessions};
use crate::change::{decode, encode, first_change};
use crate::document::{Document, Patch, Segment};
use crate::gate::{Expected, admit};
use crate::hash::sha256;
use crate::record::common::Common;
use crate::record::genesis::{Carried, Genesis, Writers, decode_change, encode_change};
use crate::record::kind::Kind;
use crate::record::label::Label;
use crate::record::schema::{Field, Shape};

const ACTOR: Actor = [7; 16];
/// 2026-05-01T10:01:00.250Z
const TIME: i64 = 1_777_629_660_250;
const FIRST: Implied = Implied { actor: ACTOR, time: TIME, first: true };
const LATER: Implied = Implied { first: false, ..FIRST };

/// Strips and expands; the stripped form.
fn round_trip(change: &Change, implied: &Implied) -> Vec<u8> {
    let stripped = strip(change, implied).unwrap();
    let Change { seq, deps, .. } = change.clone();
    let back = Change { seq, deps, ..expand(&stripped, implied).unwrap() };
    assert_eq!(encode(&back), encode(change));
    stripped
}

fn first(fields: &Value) -> Vec<u8> {
    first_change(ACTOR, TIME, fields.as_object().unwrap()).unwrap().remove(0).bytes().to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_automerge_writes_comes_back(session in sessions()) {
        let mut doc = play(&session);
        for written in doc.get_changes(&[]) {
            let change = decode(written.raw_bytes()).unwrap();
            let (actor, time) = (change.actor, change.time);
            let is_first = change.start_op == 1 && change.other_actors.is_empty();
            for first in [false, is_first] {
                let implied = Implied { actor, time, first };
                match strip(&change, &implied) {
                    Some(_) => drop(round_trip(&change, &implied)),
                    None => prop_assert!(change.ops.is_empty()),
                }
            }
            let other = Implied { actor, time: time + 1, first: false };
            prop_assert_eq!(strip(&change, &other), None);
        }
    }

    #[test]
    fn what_we_build_comes_back(fields in records(), time in 0..=CHANGE_TIME_MAX) {
        let mut is_first = true;
        for built in first_change(ACTOR, time, &fields).unwrap() {
            let change = decode(built.bytes()).unwrap();
            round_trip(&change, &Implied { actor: ACTOR, time, first: is_first });
            is_first = false;
        }
    }

    #[test]
    fn hostile_bytes_are_refused_or_the_one_form(
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
        first: bool,
    ) {
        one_form(&bytes, &Implied { first, ..FIRST });
    }

    #[test]
    fn a_damaged_form_is_refused_or_the_one_form(
        fields in records(),
        at: proptest::sample::Index,
        byte: u8,
        cut: bool,
    ) {
        let change = decode(&first(&Value::Object(fields))).unwrap();
        for implied in [FIRST, LATER] {
            let mut bytes = strip(&change, &implied).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes.truncate(if cut { at } else { bytes.len() });
            one_form(&bytes, &implied);
        }
    }
}

/// What the fuzz function checks, too.
fn one_form(bytes: &[u8], implied: &Implied) {
    let Ok(change) = expand(bytes, implied) else { return };
    assert_eq!(strip(&change, implied).as_deref(), Some(bytes));
    assert!(!change.ops.is_empty() && change.ops.len() <= CHANGE_OPS_MAX);
}

/// A record of every kind, with every property that it can have, comes back from its payload.
#[test]
fn records_of_every_kind_come_back() {
    let mut runner = TestRunner::deterministic();
    for kind in Kind::ALL {
        let fields: Vec<&'static Field> = Common::FIELDS.iter().chain(kind.fields()).collect();
        for _ in 0..24 {
            let mut record = Map::new();
            for field in &fields {
                let value = proptest::option::of(of_shape(&field.shape));
                if let Some(value) = value.new_tree(&mut runner).unwrap().current() {
                    record.insert(field.name.to_owned(), value);
                }
            }
            record.insert("x_other".to_owned(), json!(["x", { "x": [[], {}] }]));
            let chunk = first(&Value::Object(record));
            let change = Carried::of_chunk(&chunk, &FIRST);
            assert!(matches!(change, Carried::Stripped(_)), "{kind} is not stripped");
            let label = Label::unrestricted();
            let genesis = Genesis { kind, writers: Writers::Originator, label, change };
            let payload = genesis.encode();
            assert!(payload.len() < chunk.len(), "{kind}");
            let read = Genesis::decode(&payload).unwrap();
            assert_eq!(read, genesis);
            assert_eq!(encode(&read.change.change(&FIRST).unwrap()), chunk);
        }
    }
}

fn of_shape(shape: &'static Shape) -> BoxedStrategy<Value> {
    let text = |pattern: &'static str| pattern.prop_map(Value::from).boxed();
    match shape {
        Shape::Text => prop_oneof![text(".{1,40}"), text("[A-Z]{2} [0-9]{4} [A-Z]{1,2}")].boxed(),
        Shape::Ruled(_) | Shape::Seen(_) => prop_oneof![
            text("20[0-9]{2}-0[1-9]-1[0-9]T1[0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,3})?Z"),
            text("20[0-9]{2}-0[1-9]-[012X][0-9X]"),
            text("(vehicle|alert|other)--[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
            text("[0-9a-f]{32}"),
            text("\\+[0-9]{6,14}"),
            text("[A-Z]{2,11}"),
            text("[0-9b-z]{6,9}"),
        ]
        .boxed(),
        Shape::Word { words, .. } => proptest::sample::select(*words).prop_map(Value::from).boxed(),
        Shape::Flag => any::<bool>().prop_map(Value::from).boxed(),
        Shape::Count(max) => (0..=*max).prop_map(Value::from).boxed(),
        Shape::Number(min, max) => (*min..*max, 0..8).prop_map(decimals).boxed(),
        Shape::List(shape) => {
            proptest::collection::vec(of_shape(shape), 1..4).prop_map(Value::from).boxed()
        }
        Shape::Group(fields) => {
            let values: Vec<_> = fields.iter().map(|field| of_shape(&field.shape)).collect();
            let names = fields.iter().map(|field| field.name.to_owned());
            let names: Vec<String> = names.collect();
            values
                .prop_map(move |values| Value::Object(names.iter().cloned().zip(values).collect()))
                .boxed()
        }
    }
}

fn decimals((n, decimals): (f64, i32)) -> Value {
    let power = 10f64.powi(decimals);
    Value::from((n * power).round() / power)
}

/// What is written of an alert for a link of 2,400 bit/s. The chunk is seven times as long.
#[test]
fn an_alert_has_these_bytes() {
    let chunk = first(&json!({
        "action_to_take": "seize",
        "place": "s4t2vw1x",
        "plate": "CT 1234 A",
        "valid_from": "2026-05-01T10:00:00Z",
    }));
    let bytes = round_trip(&decode(&chunk).unwrap(), &FIRST);
    assert_eq!(
        bytes,
        [
            13, 6, // action_to_take: seize
            17, 8, 0x75, 0x43, 0xb2, 0x5e, 0x04, 0x4f, // place
            15, 9, 0x0f, 0x9c, 0xad, 0x3d, 0xc1, 0x20, // plate
            19, 0x7f, // valid_from: a minute before
        ]
    );
    assert_eq!((bytes.len(), chunk.len()), (20, 146));
}

/// A later change that does one thing of each shape: 300 operations before it, two of them replaced.
#[test]
fn an_edit_has_these_bytes() {
    let id = |counter, actor| OpId { counter, actor };
    let op = |obj, key, insert, action, pred| Op { obj, key, insert, action, pred };
    let map = |name: &str| Key::Map(name.to_owned());
    let text = |text: &str| Action::Put(Scalar::Str(text.to_owned()));
    let list = ObjId::Made(id(302, 0));
    let change = Change {
        actor: ACTOR,
        seq: 3,
        start_op: 301,
        time: TIME,
        deps: vec![[1; 32]],
        other_actors: vec![[9; 16]],
        message: None,
        ops: vec![
            op(ObjId::Root, map("state"), false, text("resolved"), vec![id(4, 0), id(5, 1)]),
            op(ObjId::Root, map("x"), false, Action::MakeList, vec![]),
            op(list, Key::Seq(Elem::Head), true, Action::Put(Scalar::Null), vec![]),
            op(list, Key::Seq(Elem::Inserted(id(303, 0))), true, text("é"), vec![]),
            op(
                ObjId::Made(id(7, 1)),
                Key::Seq(Elem::Inserted(id(8, 1))),
                false,
                Action::Delete,
                vec![id(8, 1)],
            ),
        ],
    };
    let mut bytes = vec![0xdb, 4, 1]; // 301 << 1 | 1; one actor
    bytes.extend([9; 16]);
    bytes.extend([12, 16, 17, 1, 4, 2, 5]); // (2 + 4 * 1) * 2, state, resolved, 4 and 5 replaced
    bytes.extend([96, 0, 1, b'x']); // (0 + 4 * 12) * 2, a name
    bytes.extend([0x8a, 1]); // (1 + 4 * 17) * 2
    bytes.extend([0, 2, 0xc3, 0xa9]);
    bytes.extend([0xbe, 1, 0b10_1111, 1, 7, 1, 8, 2, 8]); // (3 + 4 * 23) * 2
    assert_eq!(round_trip(&change, &LATER), bytes);
    let payload = encode_change(&Carried::Stripped((&bytes[..]).into()));
    let read = decode_change(&payload).unwrap();
    assert_eq!(read.change(&LATER).unwrap().ops, change.ops);
    let expected = Expected { actor: ACTOR, seq: 3, deps: &[[1; 32]], start_op: 301 };
    assert_eq!(read.admit(&LATER, &expected).unwrap().bytes(), encode(&change));
}

/// Automerge writes the second change of a record: one value instead of another.
#[test]
fn an_edit_is_stripped() {
    let chunk = first(&json!({ "colour": "white", "state": "new" }));
    let expected = Expected { actor: ACTOR, seq: 1, deps: &[], start_op: 1 };
    let mut document = Document::empty();
    let before = admit(&chunk, &expected).unwrap();
    document.apply(&before).unwrap();
    let mut patch = Patch::default();
    patch.set(vec![Segment::Name("state".into())], json!("resolved"));
    let edit = document.edit(ACTOR, 2, TIME, &patch).unwrap();
    let change = Carried::of_chunk(&edit, &LATER);
    let expected = Expected { actor: ACTOR, seq: 2, deps: &[before.hash()], start_op: 3 };
    assert_eq!(change.admit(&LATER, &expected).unwrap().bytes(), edit);
    // Begins at operation 3; (2 + 4 * 1) * 2, state, resolved, in place of operation 2.
    assert_eq!(encode_change(&change), [1, 6, 12, 16, 17, 0, 2]);
}

#[test]
fn another_spelling_of_the_same_change_is_refused() {
    let refused = |bytes: &[u8]| assert_eq!(expand(bytes, &FIRST), Err(StripError::NotCanonical));
    assert!(expand(&[13, 6], &FIRST).is_ok());
    refused(&[]);
    refused(&[0, 7, 5, b's', b'e', b'i', b'z', b'e']); // a word, spelled out
    refused(&[8, 7, 6]); // the usual form, said
    refused(&[
        8, 0, 14, b'a', b'c', b't', b'i', b'o', b'n', b'_', b't', b'o', b'_', b't', b'a', b'k',
        b'e', 6,
    ]);
    refused(&[14, 0b0001, 7, 6]); // the record's own map, where it is expected
    assert!(matches!(expand(&[13], &FIRST), Err(StripError::Malformed(_))));
    assert!(matches!(expand(&[2, 7], &FIRST), Err(StripError::Malformed(_))));
    // No first change mentions others, and a later one lists no others if it has none.
    let lonely = Change { other_actors: vec![[9; 16]], ..expand(&[13, 6], &FIRST).unwrap() };
    assert_eq!(strip(&lonely, &FIRST), None);
    assert_eq!(expand(&[3, 0, 13, 6], &LATER), Err(StripError::NotCanonical));
}

fn puts(count: usize, value: &str, preds: usize) -> Change {
    let op = |n: usize| Op {
        obj: ObjId::Root,
        key: Key::Map(format!("{n}")),
        insert: false,
        action: Action::Put(Scalar::Str(value.to_owned())),
        pred: (0..preds as u64).map(|n| OpId { counter: n + 1, actor: 0 }).collect(),
    };
    let ops = (0..count).map(op).collect();
    Change { actor: ACTOR, time: TIME, seq: 1, start_op: 9_000, ops, ..Change::default() }
}

#[test]
fn limits_hold_at_their_bounds() {
    let expanded = |change: &Change| expand(&strip(change, &LATER).unwrap(), &LATER).map(drop);
    assert_eq!(expanded(&puts(CHANGE_OPS_MAX, "", 0)), Ok(()));
    assert_eq!(expanded(&puts(CHANGE_OPS_MAX + 1, "", 0)), Err(StripError::TooManyOps));

    assert_eq!(expanded(&puts(2, "", CHANGE_PREDS_MAX / 2)), Ok(()));
    assert_eq!(expanded(&puts(2, "", CHANGE_PREDS_MAX / 2 + 1)), Err(StripError::TooManyPreds));

    // The longest word: two bytes become many.
    let word = WORDS.into_iter().max_by_key(|word| word.len()).unwrap();
    let most = CHANGE_BYTES_MAX / word.len();
    assert!(most < CHANGE_OPS_MAX);
    assert_eq!(expanded(&puts(most, word, 0)), Ok(()));
    assert_eq!(expanded(&puts(most + 1, word, 0)), Err(StripError::TooLong));

    let start = |start_op| Change { start_op, ..puts(1, "", 0) };
    assert_eq!(expanded(&start(RECORD_OPS_MAX as u64)), Ok(()));
    assert_eq!(strip(&start(RECORD_OPS_MAX as u64 + 1), &LATER), None);
    let mut bytes = Vec::new();
    bytes.number((RECORD_OPS_MAX as u64 + 1) << 1).raw(&[13, 6]);
    assert!(matches!(expand(&bytes, &LATER), Err(StripError::Malformed(_))));

    let named = |len| Change {
        ops: vec![Op { key: Key::Map("é".repeat(len)), ..puts(1, "", 0).ops.remove(0) }],
        ..puts(1, "", 0)
    };
    assert_eq!(expanded(&named(FIELD_NAME_BYTES_MAX / 2)), Ok(()));
    let too_long = expanded(&named(FIELD_NAME_BYTES_MAX / 2 + 1));
    assert!(matches!(too_long, Err(StripError::Malformed(DecodeError::TooLarge { .. }))));
}

#[test]
fn a_chunk_that_would_not_come_back_travels_plain() {
    let chunk = first(&json!({ "name": "x" }));
    let other = Implied { time: TIME + 1, ..FIRST };
    assert_eq!(Carried::of_chunk(&chunk, &other), Carried::Plain(&chunk));
    assert_eq!(Carried::of_chunk(b"no chunk", &FIRST), Carried::Plain(b"no chunk"));
    let Carried::Stripped(bytes) = Carried::of_chunk(&chunk, &FIRST) else { panic!("it is plain") };
    assert_eq!(*bytes, [1, 1, b'x']);
}

/// The table is part of the format. Another hash is another codec byte.
#[test]
fn the_dictionary_is_frozen() {
    let mut table = Vec::new();
    for (name, form) in NAMES {
        table.bytes(name.as_bytes()).raw(&[form as u8]);
    }
    for word in WORDS {
        table.bytes(word.as_bytes());
    }
    let hash: String = sha256(&table).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, DICTIONARY, "the dictionary of codec 1 must not change");
}

const DICTIONARY: &str = "f29aa0ff5cfd841842d1045ec26162e7e57c5500caf6c34661aab41724e298aa";

#[test]
fn the_dictionary_says_nothing_twice_and_knows_every_kind() {
    for (place, (name, _)) in (0..).zip(NAMES) {
        assert_eq!(name_index(name), Some(place), "{name}");
        assert!(name.len() <= FIELD_NAME_BYTES_MAX);
    }
    for (place, word) in (0..).zip(WORDS) {
        assert_eq!(word_index(word), Some(place), "{word}");
    }
    let groups = [Common::FIELDS].into_iter().chain(Kind::ALL.map(Kind::fields));
    for field in groups.flatten() {
        known(field.name, &field.shape);
    }
}

/// Names and words that came after version 1 are spelled out: they would be listed here.
fn known(name: &str, shape: &Shape) {
    assert!(name_index(name).is_some(), "{name}");
    match shape {
        Shape::Word { words, .. } => {
            let long = words.iter().filter(|word| word.len() > 1);
            long.for_each(|word| assert!(word_index(word).is_some(), "{word}"));
        }
        Shape::List(shape) => known(name, shape),
        Shape::Group(fields) => fields.iter().for_each(|field| known(field.name, &field.shape)),
        _ => {}
    }
}
