//! What a change costs: built, read and shown by our codec, and by Automerge beside it, in the same
//! run. A sighting of 14 flat fields. Prints nanoseconds per call, the median of rounds.
//!
//! `cargo bench -p tearline-crdt --bench change`

use std::hint::black_box;

use automerge::transaction::{CommitOptions, Transactable as _};
use automerge::{ActorId, AutoCommit, Automerge, ROOT};
use serde_json::{Map, Value, json};
use tearline_crdt::change::strip::{Implied, expand, strip};
use tearline_crdt::change::{decode, encode, first_change, hash, to_json};
use tearline_crdt::document::{Document, Patch, Segment};
use tearline_crdt::gate::{Admitted, Expected, admit};

const ACTOR: [u8; 16] = [0x5a; 16];
const TIME_MS: i64 = 1_714_557_600_000;

fn sighting() -> Map<String, Value> {
    let fields = json!({
        "what": "vehicle--3f0a6d0e-8a2c-4a51-9d0b-5f2f3f6f1c11",
        "summary": "White pickup, two passengers, no plates, heading north-east",
        "where_name": "Checkpoint Kilo, 4 km south of the ford",
        "lat": 13.083_31,
        "lon": 14.461_92,
        "accuracy_m": 25,
        "first_seen": "2024-05-01T10:00:00.000Z",
        "last_seen": "2024-05-01T10:04:30.000Z",
        "count": 1,
        "confidence": 70,
        "direction_deg": 42.5,
        "speed_kmh": 60,
        "observer": "patrol K-2",
        "armed": false,
    });
    fields.as_object().cloned().unwrap_or_default()
}

fn by_automerge(fields: &Map<String, Value>) -> Vec<u8> {
    let mut doc = AutoCommit::new().with_actor(ActorId::from(ACTOR));
    for (name, value) in fields {
        let put = match value {
            Value::Bool(value) => doc.put(ROOT, name, *value),
            Value::String(text) => doc.put(ROOT, name, text.as_str()),
            Value::Number(n) if n.is_i64() => doc.put(ROOT, name, n.as_i64().unwrap_or(0)),
            Value::Number(n) => doc.put(ROOT, name, n.as_f64().unwrap_or(0.0)),
            _ => Ok(()),
        };
        put.expect("a field is put");
    }
    doc.commit_with(CommitOptions::default().with_time(TIME_MS));
    doc.get_last_local_change().expect("a change").raw_bytes().to_vec()
}

fn into_automerge(bytes: &[u8]) -> Automerge {
    let change = automerge::Change::from_bytes(bytes.to_vec()).expect("a change");
    let mut doc = Automerge::new();
    doc.apply_changes([change]).expect("it applies");
    doc
}

fn admitted(bytes: &[u8]) -> Admitted {
    let expected = Expected { actor: ACTOR, seq: 1, deps: &[], start_op: 1 };
    admit(bytes, &expected).expect("it is admitted")
}

fn document(change: &Admitted) -> Document {
    let mut document = Document::empty();
    document.apply(change).expect("it is merged");
    document
}

const ROUNDS: usize = 15;
const CALLS: usize = 2_000;

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn measure<T>(what: &str, mut call: impl FnMut() -> T) {
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = std::time::Instant::now();
        for _ in 0..CALLS {
            black_box(call());
        }
        rounds.push(start.elapsed().as_nanos() / CALLS as u128);
    }
    rounds.sort_unstable();
    println!("{:>9} ns  {what}", rounds.get(ROUNDS / 2).copied().unwrap_or(0));
}

fn main() {
    let fields = sighting();
    let build = || first_change(ACTOR, TIME_MS, &fields).expect("it is built").remove(0);
    let ours = build().bytes().to_vec();
    let theirs = by_automerge(&fields);
    assert_eq!(ours, theirs, "both build the same bytes");
    let read = decode(&ours).expect("it is read");
    assert_eq!(to_json(&read).as_ref(), Some(&fields));
    println!("sighting: {} fields, change of {} bytes", fields.len(), ours.len());

    println!("ours");
    measure("first_change: the operations", build);
    measure("first_change: and the chunk", || build().bytes().len());
    measure("decode", || decode(&ours));
    measure("encode", || encode(&read));
    measure("hash", || hash(&ours));
    measure("admit: decode, canonical check, rules", || admitted(&ours));
    let implied = Implied { actor: ACTOR, time: TIME_MS, first: true };
    let stripped = strip(&read, &implied).expect("it is stripped");
    println!("stripped: {} bytes", stripped.len());
    measure("strip", || strip(&read, &implied));
    measure("expand", || expand(&stripped, &implied));
    measure("to_json", || to_json(&read));
    let change = admitted(&ours);
    measure("Document::apply to an empty document", || document(&change));
    let record = document(&change);
    let mut patch = Patch::default();
    patch.set(vec![Segment::Name("count".into())], json!(2));
    measure("Document::edit of one field", || record.edit(ACTOR, 2, TIME_MS, &patch));

    println!("Automerge");
    measure("new document, put, commit, take the change", || by_automerge(&fields));
    measure("parse the change", || automerge::Change::from_bytes(ours.clone()));
    measure("parse and apply to an empty document", || into_automerge(&ours));
    let doc = into_automerge(&ours);
    measure("hydrate", || doc.hydrate(None));
    let saved = doc.save();
    measure("load a saved document", || Automerge::load(&saved));
}
