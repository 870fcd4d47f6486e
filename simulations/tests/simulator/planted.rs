//! Each oracle finds the bug that is planted for it, and nothing without one.

use tearline_simulations::oracle::Oracle;
use tearline_simulations::plan::{Changes, Plan};
use tearline_simulations::scenario::Scenario;
use tearline_simulations::{Sabotage, run};

use crate::{SMALL, small};

/// What is found of seeds 1 to 3 with a bug.
fn found(sabotage: Sabotage) -> Vec<Oracle> {
    let violation = |seed| run(&small(seed), Some(sabotage)).unwrap().violation;
    (1..=3).filter_map(violation).map(|violation| violation.oracle).collect()
}

#[test]
fn nothing_is_found_without_a_bug() {
    for seed in 1..=3 {
        assert_eq!(run(&small(seed), None).unwrap().violation, None);
    }
}

#[test]
fn convergence_finds_a_transport_that_loses_entries() {
    // Where a receiver has asked often enough, it holds against the sender what the transport lost.
    let found = found(Sabotage::LostRuns);
    let expected = |oracle: &Oracle| matches!(oracle, Oracle::Convergence | Oracle::Blame);
    assert!(found.len() == 3 && found.iter().all(expected), "{found:?}");
    assert!(found.contains(&Oracle::Convergence), "{found:?}");
}

#[test]
fn durability_finds_a_disk_that_was_not_asked_to_write() {
    // Where a crash leaves all that was applied, nothing is lost.
    let found = found(Sabotage::EarlyFlush);
    assert!(found.contains(&Oracle::Durability), "{found:?}");
}

#[test]
fn confidentiality_finds_a_compartment_that_was_opened_for_others() {
    assert_eq!(found(Sabotage::WrongAudience), [Oracle::Confidentiality; 3]);
}

#[test]
fn livelock_finds_a_peer_that_repeats_itself() {
    assert_eq!(found(Sabotage::Chatter), [Oracle::Livelock; 3]);
}

#[test]
fn conservation_finds_a_byte_that_is_nowhere() {
    assert_eq!(found(Sabotage::Miscount), [Oracle::Conservation; 3]);
}

#[test]
fn memory_finds_a_disk_that_fills_by_itself() {
    assert_eq!(found(Sabotage::Hoard), [Oracle::Memory; 3]);
}

#[test]
fn blame_finds_a_transport_that_changes_a_bit() {
    assert_eq!(found(Sabotage::FlippedBit), [Oracle::Blame; 3]);
}

/// The small mesh with something more in it.
fn with(more: &str, seed: u64) -> Plan {
    let text = format!("{SMALL}{more}");
    let scenario = Scenario::parse(&text, "small").unwrap();
    Plan::of(&scenario, seed, Changes::default())
}

/// A device in other hands, of which its desk hears after a while.
const SEIZED: &str = r#"
[[fault]]
at = "40 min"
kind = "seized"
posts = ["ne-2"]
lasts = "20 min"
"#;

fn hostile(what: &str) -> String {
    format!(
        "[[post]]\nname = \"other\"\nagency = \"TD\"\nhostile = \"{what}\"\n\
         [[link]]\nfrom = \"other\"\nto = \"td\"\nrate = \"1 Mbit/s\"\n\
         [[link]]\nfrom = \"other\"\nto = \"relay\"\nrate = \"1 Mbit/s\"\n\
         [[work]]\nby = \"other\"\ncompartment = \"both\"\nclass = \"routine\"\nper_day = 100\nsize = \"300 B\"\n"
    )
}

#[test]
fn nothing_is_found_where_posts_are_hostile_seized_or_there_twice() {
    let kinds = ["dropper", "withholder", "replayer", "flooder", "liar", "colluder"];
    let mut all: Vec<(&str, String)> = kinds.iter().map(|kind| (*kind, hostile(kind))).collect();
    all.push(("seized", SEIZED.to_owned()));
    all.push(("cleared", SEIZED.replace("seized", "cleared")));
    let copy = "[[post]]\nname = \"copy\"\nagency = \"NE\"\ncopies = \"ne-2\"\n\
                [[link]]\nfrom = \"copy\"\nto = \"relay\"\nrate = \"1 Mbit/s\"\n\
                [[work]]\nby = \"copy\"\ncompartment = \"both\"\nclass = \"routine\"\nper_day = 100\nsize = \"300 B\"\n";
    all.push(("copy", copy.to_owned()));
    let fault = |kind: &str, by: &str| {
        format!(
            "[[fault]]\nat = \"50 min\"\nkind = \"{kind}\"\nposts = [\"ne-2\"]\nlasts = \"10 min\"\n{by}\n"
        )
    };
    for kind in ["clog", "one-way", "full-disk"] {
        all.push((kind, fault(kind, "")));
    }
    all.push(("clock-jump", fault("clock-jump", "by = \"-3 h\"")));
    all.push(("rolled-back", fault("rolled-back", "by = \"30 min\"")));
    for (name, more) in all {
        for seed in 1..=2 {
            let violation = run(&with(&more, seed), None).unwrap().violation;
            assert_eq!(violation, None, "{name}, seed {seed}");
        }
    }
}

#[test]
fn verdicts_finds_a_peer_that_lets_everything_count() {
    let found = |seed| run(&with(SEIZED, seed), Some(Sabotage::Lenient)).unwrap().violation;
    // Where the desk has all that was written by then, nothing is quarantined.
    let found: Vec<Oracle> = (1..=3).filter_map(found).map(|violation| violation.oracle).collect();
    assert!(
        found.len() >= 2 && found.iter().all(|oracle| *oracle == Oracle::Verdicts),
        "{found:?}"
    );
}

#[test]
fn confidentiality_finds_what_is_shown_to_a_device_whose_standing_has_ended() {
    let found = |seed| run(&with(SEIZED, seed), Some(Sabotage::WrongScreen)).unwrap().violation;
    for violation in (1..=3).map(|seed| found(seed).unwrap()) {
        assert_eq!(violation.oracle, Oracle::Confidentiality);
        assert!(violation.what.contains("no standing any more"), "{violation}");
    }
}

#[test]
fn blame_finds_that_nobody_names_who_sends_noise() {
    let plan = |seed| with(&hostile("flooder"), seed);
    for seed in 1..=3 {
        let violation = run(&plan(seed), Some(Sabotage::DeafDriver)).unwrap().violation.unwrap();
        assert_eq!(violation.oracle, Oracle::Blame);
        assert!(violation.what.contains("nobody holds it"), "{violation}");
    }
}

#[test]
fn metadata_finds_a_relay_that_is_told_the_ids_of_records() {
    assert_eq!(found(Sabotage::Tattle), [Oracle::Metadata; 3]);
}

#[test]
fn confidentiality_finds_keys_on_the_disk_of_a_relay() {
    for seed in 1..=3 {
        let violation = run(&small(seed), Some(Sabotage::KeyLeak)).unwrap().violation.unwrap();
        assert_eq!(violation.oracle, Oracle::Confidentiality);
        assert!(violation.what.contains("secret of an epoch"), "{violation}");
    }
}

/// Much that is routine on a thin link, and then a flash.
const BACKLOG: &str = r#"
name = "backlog"
about = ""
length = "2 h"
tail = "6 h"
settle = "2 h"
agency = [{ country = "NE", name = "A" }]
post = [{ name = "hq", agency = "NE" }, { name = "post", agency = "NE" }]
compartment = [{ name = "all", audience = ["NE"] }]
link = [{ from = "post", to = "hq", rate = "9.6 kbit/s", latency = "600 ms" }]

[[work]]
by = "hq"
compartment = "all"
class = "routine"
size = "2 kB"
bursts = [{ at = "1 min", records = 1200, over = "1 min" }]

[[work]]
by = "hq"
compartment = "all"
class = "flash"
size = "100 B"
bursts = [{ at = "5 min", records = 5, over = "20 min" }]
"#;

#[test]
fn priority_finds_a_driver_that_sends_the_least_urgent_first() {
    let scenario = Scenario::parse(BACKLOG, "backlog").unwrap();
    for seed in 1..=3 {
        let plan = Plan::of(&scenario, seed, Changes::default());
        assert_eq!(run(&plan, None).unwrap().violation, None);
        let violation = run(&plan, Some(Sabotage::Inverted)).unwrap().violation.unwrap();
        assert_eq!(violation.oracle, Oracle::Priority, "{violation}");
    }
}

#[test]
fn haste_finds_frames_that_are_faster_than_their_link() {
    assert_eq!(found(Sabotage::Haste), [Oracle::Haste; 3]);
}
