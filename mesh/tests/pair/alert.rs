//! What an alert costs on a thin link: whole replicas write it, and what they send for it is counted.

use serde_json::{Value, json};
use tearline_crdt::id::{Class, RecordId};
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::shelf::Draft;
use tearline_crdt::record::validate::validate;
use tearline_mesh::wire::Frame;

use crate::world::World;

/// Largest frame of a thin link.
const LINK_FRAME_BYTES: usize = 200;
/// What a thin link puts around what it carries, in each of its frames: a header, and the tag of Noise.
const LINK_OVERHEAD_BYTES: usize = 8 + 16;

/// Action, place, plate and time of an alert, written at 2023-11-14T22:13:20Z.
fn short() -> Value {
    json!({
        "action_to_take": "seize",
        "place": "s4t2vw1x",
        "plate": "CT 1234 AB",
        "valid_from": "2023-11-14T21:55:00Z",
    })
}

/// All that an alert can say.
fn full() -> Value {
    json!({
        "action_to_take": "check",
        "area_refs": ["location--5b1f0d5e-96a5-4b39-9a11-0f54c1a7f7d3"],
        "check_kind": "specific",
        "contact": "Duty officer, +227 20 12 34 56",
        "countries": ["NE", "TD", "NG"],
        "description": "White Hilux pickup, cracked left headlight, tarpaulin over the bed, three men. \
                        Left the ford at 21:40 heading north-east.",
        "name": "Vehicle alert: CT 1234 AB",
        "notice": "orange",
        "place": "s4t2vw1x",
        "plate": "CT 1234 AB",
        "reason": "Weapons seen under the load by two sources.",
        "state": "new",
        "subject_refs": ["vehicle--3f0a6d0e-8a2c-4a51-9d0b-5f2f3f6f1c11"],
        "valid_from": "2023-11-14T21:55:00Z",
        "valid_until": "2023-11-17T22:00:00Z",
        "warnings": ["armed", "may ram checkpoints"],
    })
}

const SHORT_LABEL: &str = "TLP:AMBER";
const FULL_LABEL: &str = "TLP:AMBER+STRICT PAP:AMBER H2 purpose=BorderOperation grade=B2 \
                          review 2024-11-14 basis=\"Directive (EU) 2016/680\"";

fn alert(fields: Value, label: &str) -> Draft {
    let Value::Object(fields) = fields else { panic!("no object") };
    assert_eq!(validate(Kind::Alert, &fields), []);
    Draft::New { kind: Kind::Alert, fields, label: label.parse().unwrap() }
}

/// Two peers in sync. The first has written `before` flashes, so that the second knows its log; now it
/// writes an alert. The frames that it sends for that, and whether the second peer shows it.
fn sent_for(before: usize, draft: Draft, expected: &Value) -> Vec<Vec<u8>> {
    let mut world = World::new(2);
    let coalition = world.coalition();
    world.connect(1, 0);
    let shared = world.open(0, coalition, &[1, 2]);
    world.settle();
    for _ in 0..before {
        world.write(0, shared, Class::Flash, &["known"]);
        world.settle();
    }
    world.peers[0].sent.clear();
    let record: RecordId = world.act(0, shared, Class::Flash, vec![draft])[0];
    world.settle();
    let shown = world.show(1, record).expect("the alert is there");
    assert_eq!(&Value::Object(shown.fields), expected);
    assert_eq!(shown.kind, Kind::Alert);
    world.peers[0].sent.clone()
}

/// Bytes of the one frame that an alert takes above the link.
fn size(frames: &[Vec<u8>]) -> usize {
    let [frame] = frames else { panic!("{} frames", frames.len()) };
    let decoded = Frame::decode(frame).unwrap();
    assert!(matches!(decoded, Frame::Run { count: 1, author: None, .. }), "{decoded:?}");
    frame.len()
}

#[test]
fn a_short_alert_fits_one_frame_of_a_known_log() {
    // At the first position, and where positions take two bytes.
    for (before, at_most) in [(1, 198), (130, 199)] {
        let frames = sent_for(before, alert(short(), SHORT_LABEL), &short());
        let bytes = size(&frames) + LINK_OVERHEAD_BYTES;
        eprintln!("a short alert behind {before} others: {bytes} bytes of {LINK_FRAME_BYTES}");
        assert!(bytes <= LINK_FRAME_BYTES, "{bytes}");
        assert_eq!(bytes, at_most, "what an alert costs has changed");
    }
}

#[test]
fn a_full_alert_fits_three_frames_of_a_known_log() {
    let bytes = size(&sent_for(1, alert(full(), FULL_LABEL), &full()));
    let frames = bytes.div_ceil(LINK_FRAME_BYTES - LINK_OVERHEAD_BYTES);
    eprintln!("a full alert: {bytes} bytes, {frames} frames of {LINK_FRAME_BYTES}");
    assert!(frames <= 3, "{bytes} bytes");
}
