//! Patterns against what was observed, and texts that are none.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn objects(all: &[Value]) -> Objects {
    let mut objects = Objects::default();
    for one in all {
        let text = |name: &str| one[name].as_str().unwrap();
        objects.add(text("id"), text("type"), one.as_object().unwrap().clone());
    }
    objects
}

/// What each of these observations shows, one a minute.
fn seen(pattern: &Pattern, observed: &[Vec<Value>]) -> Vec<Seen> {
    let one = |(n, objects): (u64, &Vec<Value>)| Seen {
        from: WallTime(n * 60_000),
        to: WallTime(n * 60_000),
        count: 1,
        shown: pattern.shown(&self::objects(objects)),
    };
    (0..).zip(observed).map(one).collect()
}

fn found(pattern: &str, observed: &[Vec<Value>]) -> Vec<usize> {
    let pattern = Pattern::parse(pattern).unwrap();
    assert_eq!(pattern.obstacle(), None);
    pattern.find(&seen(&pattern, observed)).unwrap().into_iter().collect()
}

#[test]
fn a_property_is_compared_as_the_pattern_says() {
    let car = vec![
        json!({ "id": "v", "type": "vehicle", "plate": "CT 1234 A", "seats": 5, "mass": 1_200.5, "stolen": true,
            "marks": ["dent", "rust"], "keeper_ref": "p", "seen": "2026-05-01T10:00:00.000Z",
            "magic_hex": "FFD8", "data_bin": "aGk=", "extensions": { "a-b": { "c": [{ "d": 1 }, { "d": 2 }] } } }),
        json!({ "id": "p", "type": "identity", "name": "Ada", "address": "198.51.100.7" }),
    ];
    for (test, expected) in [
        ("vehicle:plate = 'CT 1234 A'", true),
        ("vehicle:plate == 'CT 1234 B'", false),
        ("vehicle:plate != 'CT 1234 B'", true),
        ("vehicle:plate <> 'CT 1234 A'", false),
        ("vehicle:plate NOT = 'CT 1234 A'", false),
        ("vehicle:plate > 'CT'", true),
        ("vehicle:seats = 5.0 AND vehicle:seats >= 5 AND vehicle:seats < 6", true),
        ("vehicle:seats = '5'", false),
        ("vehicle:seats != '5'", true),
        ("vehicle:mass <= 1200", false),
        ("vehicle:stolen = true", true),
        ("vehicle:seats IN (1, 5)", true),
        ("vehicle:seats NOT IN (1, 5)", false),
        ("vehicle:plate IN ()", false),
        ("vehicle:plate LIKE 'CT%_ A'", true),
        ("vehicle:plate LIKE 'CT'", false),
        ("vehicle:plate LIKE '%'", true),
        ("vehicle:plate NOT LIKE '_T%B'", true),
        ("vehicle:plate MATCHES '^[A-Z]{2} \\\\d+ A$'", true),
        ("vehicle:plate NOT MATCHES '34'", false),
        ("vehicle:marks[*] = 'rust'", true),
        ("vehicle:marks[0] = 'rust'", false),
        ("vehicle:marks[-1] = 'rust'", true),
        ("vehicle:marks[9] = 'rust'", false),
        ("vehicle:extensions.'a-b'.c[*].d = 2", true),
        ("vehicle:keeper_ref.name = 'Ada'", true),
        ("vehicle:keeper_ref.type = 'identity'", true),
        ("vehicle:keeper_ref.name.x = 'Ada'", false),
        ("vehicle:seen >= t'2026-05-01T10:00:00Z'", true),
        ("vehicle:magic_hex = h'ffd8'", true),
        ("vehicle:data_bin = b'aGk='", true),
        ("vehicle:data_bin MATCHES '^hi$'", true),
        ("EXISTS vehicle:marks[*]", true),
        ("NOT EXISTS vehicle:vin", true),
        ("NOT EXISTS vehicle:plate", false),
        ("identity:address ISSUBSET '198.51.100.0/24'", true),
        ("identity:address ISSUBSET '198.51.101.0/24'", false),
        ("identity:address ISSUPERSET '198.51.100.7/32'", true),
        ("identity:address ISSUBSET '0.0.0.0/0'", true),
        ("identity:address ISSUBSET '::/0'", false),
        // Of one object.
        ("vehicle:seats = 5 AND identity:name = 'Ada'", false),
        ("vehicle:seats = 4 OR identity:name = 'Ada'", true),
        ("vehicle:seats = 4 AND vehicle:seats = 5 OR vehicle:stolen = true", true),
        ("vehicle:seats = 4 AND (vehicle:seats = 5 OR vehicle:stolen = true)", false),
    ] {
        let expected: &[usize] = if expected { &[0] } else { &[] };
        assert_eq!(found(&format!("[{test}]"), std::slice::from_ref(&car)), expected, "{test}");
    }
}

#[test]
fn observations_belong_together_as_the_pattern_says() {
    let plate = |plate: &str| vec![json!({ "id": "v", "type": "vehicle", "plate": plate })];
    let observed = ["A", "B", "A", "C", "A"].map(plate);
    let (a, b, c) = ("[vehicle:plate = 'A']", "[vehicle:plate = 'B']", "[vehicle:plate = 'C']");
    for (pattern, expected) in [
        (a.to_owned(), &[0, 2, 4][..]),
        (format!("{a} AND {b}"), &[0, 1, 2, 4]),
        (format!("{a} OR {b}"), &[0, 1, 2, 4]),
        (format!("{b} AND {b}"), &[]),
        (format!("{b} FOLLOWEDBY {c}"), &[1, 3]),
        (format!("{c} FOLLOWEDBY {b}"), &[]),
        (format!("{b} FOLLOWEDBY {a} FOLLOWEDBY {c}"), &[1, 2, 3]),
        (format!("({b} AND {c}) WITHIN 120 SECONDS"), &[1, 3]),
        (format!("({b} AND {c}) WITHIN 119.9 SECONDS"), &[]),
        (format!("{a} REPEATS 3 TIMES"), &[0, 2, 4]),
        (format!("{a} REPEATS 4 TIMES"), &[]),
        (format!("{a} REPEATS 2 TIMES WITHIN 120 SECONDS"), &[0, 2, 4]),
        (format!("{a} REPEATS 3 TIMES WITHIN 120 SECONDS"), &[]),
        (format!("{a} START t'1970-01-01T00:01:00Z' STOP t'1970-01-01T00:04:00Z'"), &[2]),
        // AND binds closer than OR, and both than FOLLOWEDBY.
        (format!("{a} AND {a} AND {a} AND {a} OR {c}"), &[3]),
        (format!("{c} FOLLOWEDBY {a} OR {b}"), &[3, 4]),
    ] {
        assert_eq!(found(&pattern, &observed), expected, "{pattern}");
    }
    // One that counts for several is as many.
    let pattern = Pattern::parse(&format!("{b} REPEATS 3 TIMES")).unwrap();
    let mut seen = seen(&pattern, &observed);
    assert!(pattern.find(&seen).unwrap().is_empty());
    seen[1].count = u64::MAX;
    assert_eq!(pattern.find(&seen), Ok([1].into()));
}

#[test]
fn what_would_never_end_is_given_up() {
    let shown = vec![true; 4];
    let seen: Vec<Seen> = (0..1_000)
        .map(|n| Seen { from: WallTime(n), to: WallTime(n), count: 1, shown: shown.clone() })
        .collect();
    let block = "[a:b = 1]";
    let many = Pattern::parse(&[block; 4].join(" AND ")).unwrap();
    assert_eq!(many.find(&seen), Err(TooMany));
    let two = Pattern::parse(&[block; 2].join(" AND ")).unwrap();
    assert!(two.find(&seen[..200]).is_ok());
}

#[test]
fn a_fault_says_where_and_what() {
    for (text, at, said) in [
        ("", 1, "begins with `[`"),
        ("a:b = 1", 1, "begins with `[`"),
        ("[a:b = 1", 9, "`]` is missing"),
        ("[a:b]", 5, "an operator is missing"),
        ("[a:b = ]", 8, "a value is missing"),
        ("[a:b > true]", 6, "no order"),
        ("[a:b = 1]]", 10, "nothing can follow"),
        ("[é:b = 1]", 2, "nothing begins with"),
        ("[a:b-c = 1]", 4, "a property's name"),
        ("[a:b = 'x]", 8, "no closing quote"),
        ("[a:b = 'x\\n']", 8, "no closing quote"),
        ("[a:b = t'2026-13-01T00:00:00Z']", 8, "a time is"),
        ("[a:b = h'0']", 8, "pairs of hexadecimal"),
        ("[a:b = b'a']", 8, "base 64"),
        ("[a:b = 99999999999999999999]", 8, "too large"),
        ("[a:b = 01]", 8, "begins with 0"),
        ("[a:b MATCHES 5]", 14, "takes a text"),
        ("[a:b = 1] WITHIN 5", 19, "`SECONDS` is missing"),
        ("[a:b = 1] WITHIN -5 SECONDS", 11, "more than 0"),
        ("[a:b = 1] REPEATS 0 TIMES", 11, "1 to 10000"),
        (
            "[a:b = 1] START t'2026-05-02T00:00:00Z' STOP t'2026-05-01T00:00:00Z'",
            11,
            "first before",
        ),
        ("[a:AND = 1]", 4, "a property's name"),
        ("[a:b[1.5] = 1]", 6, "whole number"),
        ("[a:b = 1 /* ]", 10, "remark has no end"),
        ("[a:b = 1] and [a:c = 1]", 11, "nothing can follow"),
    ] {
        let fault = Pattern::parse(text).unwrap_err();
        assert_eq!(fault.at, at, "{text}: {fault}");
        assert!(fault.what.contains(said), "{text}: {fault}");
    }
    let deep = format!("{}a:b = 1{}", "[".to_owned() + &"(".repeat(100), ")".repeat(100) + "]");
    assert!(Pattern::parse(&deep).unwrap_err().what.contains("nested deeper"));
    let long = format!("[{}]", ["a:b = 1"; 1_025].join(" OR "));
    assert!(Pattern::parse(&long).unwrap_err().what.contains("over 1024 comparisons"));
    assert!(Pattern::parse(&" ".repeat(PATTERN_BYTES_MAX + 1)).is_err());
}

#[test]
fn a_sound_pattern_may_be_beyond_what_is_searched_for() {
    let pattern = Pattern::parse("[a:b = 1 OR a:b MATCHES '(?=x)']").unwrap();
    let fault = pattern.obstacle().unwrap();
    assert_eq!((fault.at, fault.what.as_str()), (25, "looking around is not supported"));
    assert!(Pattern::parse("[a:b ISSUBSET 'x']").unwrap().obstacle().is_some());
    assert_eq!(pattern.types(), ["a"].into());
}

#[test]
fn patterns_of_others_are_read() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data/stix/pattern-spec-examples.txt");
    let Ok(text) = std::fs::read_to_string(&file) else {
        eprintln!("SKIPPED: no {}", file.display());
        return;
    };
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    assert!(lines.len() > 20);
    for line in lines {
        assert_eq!(Pattern::parse(line).map(|pattern| pattern.obstacle()), Ok(None), "{line}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_makes_a_pattern_panic(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "[", "]", "(", ")", "a:b", "=", "'x'", "1", " AND ", " OR ", " NOT ", " FOLLOWEDBY ", " WITHIN 5 SECONDS",
                " REPEATS 2 TIMES", ".c", "[*]", " LIKE ", " MATCHES ", " IN ", ",", "t'2026-05-01T00:00:00Z'", "é", "'", "\\",
                " EXISTS ", "h'", "-", "/*",
            ]),
            0..24,
        ),
    ) {
        if let Ok(pattern) = Pattern::parse(&words.concat()) {
            let observed = vec![vec![json!({ "id": "1", "type": "a", "b": "x", "c": [1] })]; 3];
            let _ = pattern.find(&seen(&pattern, &observed));
        }
    }
}
