//! Damaged files of every format: problems or an error, never a panic, and never more objects than
//! a file of its length can have.

use std::ops::ControlFlow;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;

use std::path::Path;

use super::csv::Mapping;
use super::{Item, ReadError, Size, csv, geojson, stix};
use crate::files::open_named;

const MAPPING: &str = r#"
    kind = "sighting"
    [fields]
    description = "Remark"
    "where.latitude" = { column = "Lat", type = "float" }
    count = { column = "N", type = "int", required = true }
    first_seen = { column = "Seen", type = "time" }
    labels = { column = "Tags", type = "list" }
    armed = { column = "Armed", type = "bool" }
    source = { value = "patrol" }
"#;

/// Shortest text of an object or row, with its separator.
const ITEM_BYTES_MIN: usize = 2;

const SEEDS: [&str; 6] = [
    r#"{"type":"bundle","id":"bundle--1","objects":[{"type":"indicator","spec_version":"2.1","id":"indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f","created":"2024-05-01T10:00:00.000Z","modified":"2024-05-01T10:00:00.000Z","x":[{"y":null},1.5e300,-0.0]},7,{"type":"x"}]}"#,
    r#"{"type":"sighting","id":"sighting--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f"}"#,
    r#"{"type":"FeatureCollection","features":[{"type":"Feature","id":"p","geometry":{"type":"Point","coordinates":[14.5,13.1]},"properties":{"name":"Post"}},{"type":"Feature","geometry":{"type":"LineString","coordinates":[[14,13],[15,13.5]]},"properties":null}]}"#,
    r#"{"type":"MultiPolygon","coordinates":[[[[1,2],[3,4],[5,6],[1,2]]]]}"#,
    "Remark,Lat,N,Seen,Tags,Armed\n\"a, \"\"b\"\"\",13.5,2,2024-05-01,x;y,yes\n,,1,,,\n",
    "N;Remark\r\n1;\u{feff}\r\n",
];

#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Cut(Index),
    Repeat(Index, Index, u8),
    Insert(Index, &'static str),
}

fn damage() -> impl Strategy<Value = Damage> {
    let words = ["[[[[", "{\"", "\\u0000", "\"\"", "1e999", ",,", "\n", "\0", "null", "\u{202e}"];
    prop_oneof![
        (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), any::<Index>(), 1..40_u8).prop_map(|(a, b, n)| Damage::Repeat(a, b, n)),
        (any::<Index>(), proptest::sample::select(words.to_vec()))
            .prop_map(|(at, word)| Damage::Insert(at, word)),
    ]
}

fn damaged(mut file: Vec<u8>, all: &[Damage]) -> Vec<u8> {
    for damage in all {
        let place = |index: &Index| index.index(file.len() + 1);
        match damage {
            Damage::Flip(at, bit) => {
                let at = place(at);
                if let Some(byte) = file.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
            Damage::Cut(at) => {
                let at = place(at);
                file.truncate(at);
            }
            Damage::Repeat(a, b, times) => {
                let (a, b) = (place(a).min(place(b)), place(a).max(place(b)));
                let part = file[a..b].repeat(usize::from(*times));
                file.splice(b..b, part);
            }
            Damage::Insert(at, word) => {
                let at = place(at);
                file.splice(at..at, word.bytes());
            }
        }
    }
    file
}

proptest! {
    #[test]
    fn no_object_has_more_bytes_than_it_may_have(name in "\\PC{0,8}", text in any::<String>(), n in any::<f64>()) {
        let object = json!({ name: [text, n, u64::MAX, i64::MIN, true, null, { "a": {} }] });
        let object = object.as_object().unwrap();
        let size = Size::of_all(object.iter());
        prop_assert!(serde_json::to_vec(object).unwrap().len() <= size.bytes_max);
        prop_assert_eq!(size.depth, 4);
    }

    #[test]
    fn no_damage_makes_a_reader_panic(
        seed in 0..SEEDS.len(),
        all in proptest::collection::vec(damage(), 0..6),
    ) {
        let file = damaged(SEEDS[seed].into(), &all);
        let mapping = Mapping::parse(MAPPING).unwrap();
        let most = file.len() / ITEM_BYTES_MIN + 1;
        for format in 0..3 {
            let mut count = 0;
            let mut sink = |item: Item| {
                if let Item::Bad(problem) = item {
                    assert!(!problem.place.is_empty() && !problem.reason.is_empty());
                }
                count += 1;
                ControlFlow::Continue(())
            };
            let outcome: Result<(), ReadError> = match format {
                0 => stix::read(file.as_slice(), &mut sink),
                1 => geojson::read(file.as_slice(), "x.geojson", &mut sink),
                _ => csv::read(file.as_slice(), &mapping, &mut sink),
            };
            if let Err(error) = outcome {
                prop_assert!(!error.to_string().is_empty());
            }
            prop_assert!(count <= most, "{count} items of {} bytes", file.len());
        }
    }
}

#[test]
fn what_may_never_end_is_not_opened() {
    for path in ["/dev/zero", "/dev/null", "/"] {
        assert!(open_named(Path::new(path)).is_err(), "{path}");
    }
    assert!(open_named(&Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).is_ok());
}

#[test]
fn a_file_in_another_encoding_ends_with_the_place_where_that_shows() {
    let object =
        r#"{"type":"indicator","id":"indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f","name":"#;
    let stix =
        [b"[\n", object.as_bytes(), b"\"a\"},\n", object.as_bytes(), b"\"caf\xe9\"}]"].concat();
    let feature =
        r#"{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]},"properties":"#;
    let geojson = [
        b"{\"type\":\"FeatureCollection\",\"features\":[\n".as_slice(),
        feature.as_bytes(),
        b"{\"n\":\"a\"}},\n",
        feature.as_bytes(),
        b"{\"n\":\"\xe9\"}}]}",
    ]
    .concat();
    let mut good = 0;
    let mut count = |item| {
        good += usize::from(matches!(item, Item::Draft(_)));
        ControlFlow::Continue(())
    };
    let outcomes = [
        (stix::read(&stix[..], &mut count), object.len() + 5),
        (geojson::read(&geojson[..], "f", &mut count), feature.len() + 7),
    ];
    for (outcome, byte) in outcomes {
        let error = outcome.unwrap_err();
        let ReadError::NotUtf8(fault) = &error else { panic!("{error}") };
        assert_eq!((fault.line, fault.byte, fault.value), (3, byte, 0xe9));
        assert!(error.to_string().contains("save the file as UTF-8"), "{error}");
    }
    assert_eq!(good, 2, "what came before it was handed out");
}
