//! What is wrong with a scenario is said with its line and what to do, and nothing runs.

use tearline_simulations::scenario::Scenario;

use crate::SMALL;

/// The message about the small scenario with one thing changed, which must name the line of `at`.
fn message(from: &str, to: &str, at: &str) -> String {
    let text = SMALL.replacen(from, to, 1);
    assert_ne!(text, SMALL, "{from:?} is not in it");
    let error = Scenario::parse(&text, "small.toml").unwrap_err().to_string();
    let line = 1 + text.lines().position(|line| line.contains(at)).unwrap();
    assert!(error.starts_with(&format!("small.toml:{line}: ")), "line {line}: {error}");
    error
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    for (from, to, at, says) in [
        ("half_duplex = true", "half_duplx = true", "half_duplx", "unknown field `half_duplx`"),
        ("\"300 ms\"", "\"300\"", "\"300\"", "not a number with a unit"),
        ("\"64 kbit/s\"", "\"64 kB/s\"", "64 kB/s", "bit/s, kbit/s, Mbit/s"),
        ("agency = \"TD\"", "agency = \"TG\"", "agency = \"TG\"", "NE, TD"),
        ("from = \"ne\"\nto = \"relay\"", "from = \"ne\"\nto = \"rely\"", "rely", "ne, td, relay"),
        ("audience = [\"NE\"]", "audience = []", "audience = []", "nobody"),
        ("by = \"td\"", "by = \"relay\"", "by = \"relay\"", "a relay writes nothing"),
        ("compartment = \"both\"", "compartment = \"bath\"", "\"bath\"", "no [[compartment]]"),
        ("class = \"flash\"", "class = \"urgent\"", "urgent", "flash, immediate, priority"),
        (
            "by = \"td\"\ncompartment = \"both\"",
            "by = \"td\"\ncompartment = \"own\"",
            "by = \"td\"",
            "not for the agency",
        ),
        ("lasts = \"10 min\"", "", "every = ", "say how long"),
        (
            "lasts = \"10 min\"",
            "lasts = \"10 min\"\nmean_gap = \"1 h\"",
            "to = \"relay\"",
            "mean_contact",
        ),
        ("flash p95 < 30 min", "flash p95 > 30 min", "p95 > 30", "is no goal"),
        ("kind = \"crash\"", "kind = \"cras\"", "\"cras\"", "unknown variant"),
        ("kind = \"crash\"", "kind = \"rolled-back\"", "posts = [\"ne\"]", "by how much"),
        (
            "kind = \"crash\"",
            "kind = \"seized\"",
            "posts = [\"ne\"]",
            "told when a device is seized",
        ),
        ("kind = \"crash\"", "kind = \"crash\"\nby = \"1 h\"", "by = \"1 h\"", "alone"),
        ("relay = true", "relay = true\nhostile = \"rude\"", "rude", "unknown variant"),
        ("relay = true", "relay = true\ncopies = \"td\"", "copies", "a relay if the other is one"),
        ("relay = true", "relay = true\ncopies = \"ne\"", "copies", "one post copies one other"),
        ("every = \"20 min\"\nlasts = \"10 min\"", "range = \"5 km\"", "range", "ne is nowhere"),
        ("relay = true", "relay = true\nat = [95, 0]", "at = [95", "degrees"),
        (
            "relay = true",
            "relay = true\nat = [0, 0]\nmoves = { kind = \"route\" }",
            "moves",
            "not both",
        ),
        ("relay = true", "relay = true\nmoves = { kind = \"route\" }", "moves", "two places"),
        (
            "relay = true",
            "relay = true\nmoves = { kind = \"levy\", area = [[0, 0], [1, 1]] }",
            "moves",
            "shortest step",
        ),
        (
            "relay = true",
            "relay = true\nmoves = { kind = \"timetable\", calls = [[\"2 h\", 0, 0], [\"1 h\", 0, 0]] }",
            "moves",
            "one after the other",
        ),
        ("posts = [\"ne\"]", "posts = [\"ne-3\"]", "ne-3", "no [[post]]"),
        ("length = \"2 h\"", "length = \"2000 h\"", "name = \"small\"", "ten weeks"),
        ("name = \"small\"", "name = \"Small Mesh\"", "Small Mesh", "lower-case"),
        ("name = \"td\"", "name = \"ne\"", "name = \"ne\"", "a name of its own"),
    ] {
        // Of two equal lines the second is at fault: looked for by what is only there.
        if says == "a name of its own" {
            let text = SMALL.replacen(from, to, 1);
            let error = Scenario::parse(&text, "x").unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            continue;
        }
        if says == "mean_contact" {
            let text = SMALL.replacen(from, to, 1);
            let error = Scenario::parse(&text, "x").unwrap_err().to_string();
            assert!(error.contains("not two of them"), "{error}");
            continue;
        }
        let error = message(from, to, at);
        assert!(error.contains(says), "{says:?}: {error}");
    }
}
