//! Bundles on the shipped binary: two posts whose link is cut exchange what they have on a stick, both
//! ways, whatever happens to the stick on its way.

use std::fs;
use std::io;

use serde_json::json;
use tearline_tests::daemon::{self, Daemon, Outcome};

use crate::trust::{DONE, NOT_FOUND, Pair, USAGE, done, pair, path, sighting, text, until};

const FAILED: i32 = 1;
const INCOMPLETE: i32 = 7;

/// What a damaged stick gave: an exit code, and why no more, which says a place.
fn is_partly(outcome: &Outcome, problem: &str) {
    assert_eq!(outcome.code, INCOMPLETE, "{}", outcome.document);
    let told = text(&outcome.document["problem"]);
    assert!(told.contains(problem) && told.contains("byte"), "{told}");
}

#[test]
fn two_posts_without_a_link_exchange_records_on_a_stick() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { guard, mut customs } = pair(folder.path())?;
    let device = |outcome: Outcome| text(&done(outcome)["device"]).to_owned();
    let (own, theirs) = (device(guard.command(&["id"])?), device(customs.command(&["id"])?));
    done(guard.command(&["peer", "pause", &theirs])?);
    until(|| Ok(done(guard.command(&["peer", "list"])?)["peers"][0]["by"].is_null()))?;
    let there: Vec<String> =
        (0..3).map(|n| sighting(&guard, &format!("there {n}"))).collect::<io::Result<_>>()?;
    let back = sighting(&customs, "back")?;
    assert_eq!(customs.command(&["record", "show", &there[0]])?.code, NOT_FOUND);

    let stick = path(folder.path(), "stick");
    for (to, code) in [("nobody", NOT_FOUND), (own.as_str(), USAGE)] {
        let refused = guard.command(&["bundle", "export", "--to", to, "--out", &stick])?;
        assert_eq!(refused.code, code, "{}", refused.document);
    }
    assert!(fs::metadata(&stick).is_err(), "what failed leaves nothing");
    let export = ["bundle", "export", "--to", &theirs, "--out", &stick];
    let made = done(guard.command(&export)?);
    assert_eq!((&made["left"], made["entries"]["routine"].as_u64() >= Some(3)), (&json!(0), true));
    assert_eq!(made["to"][0]["device"], theirs.as_str());

    // Its maker cannot open it, and nobody finds anything in it.
    assert_eq!(guard.command(&["bundle", "inspect", &stick])?.code, FAILED);
    let whole = fs::read(&stick)?;
    for known in ["there 0", "Border", theirs.as_str(), "all"] {
        assert!(!whole.windows(known.len()).any(|part| part == known.as_bytes()), "{known}");
    }
    // Who has no home learns what any finder does.
    let nowhere = folder.path().join("nowhere");
    let outside = daemon::command(&nowhere, &["bundle", "inspect", &stick])?;
    assert_eq!((outside.code, &outside.document["recipients"]), (INCOMPLETE, &json!([1, 4])));
    assert_eq!(
        (&outside.document["bundle"], &outside.document["made"]),
        (&made["bundle"], &json!(""))
    );
    assert!(outside.document["problem"].is_null(), "{}", outside.document);
    let found = done(customs.command(&["bundle", "inspect", &stick])?);
    assert_eq!(found["maker"]["device"], own.as_str());
    assert_eq!((&found["entries"], &found["bundle"]), (&made["entries"], &made["bundle"]));
    assert!(found["compartments"].to_string().contains("\"all\""), "{found}");
    assert_eq!(customs.command(&["record", "show", &there[0]])?.code, NOT_FOUND, "only looked at");

    // Torn at many places, and with flipped bits: refused with the place, and nothing else happens.
    let broken = path(folder.path(), "broken");
    for end in [0, 10, 17, 18, 400, whole.len() / 2, whole.len() - 1] {
        fs::write(&broken, &whole[..end])?;
        let torn = customs.command(&["bundle", "import", &broken])?;
        if end < 18 + 4 * 168 {
            assert_eq!(torn.code, FAILED, "{end}: {}", torn.document);
        } else {
            is_partly(&torn, &format!("torn off at byte {end}"));
        }
    }
    for at in [3, 16, 17, 700, whole.len() - 5] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&broken, &bytes)?;
        let flipped = customs.command(&["bundle", "import", &broken])?;
        if at < 18 + 4 * 168 {
            assert_eq!(flipped.code, FAILED, "{at}: {}", flipped.document);
        } else {
            is_partly(&flipped, "are not what was sealed there");
        }
    }
    assert_eq!(customs.command(&["record", "show", &there[0]])?.code, NOT_FOUND);

    let taken = done(customs.command(&["bundle", "import", &stick])?);
    assert!(taken["new"].as_u64() >= Some(3) && taken["problem"].is_null(), "{taken}");
    for record in &there {
        until(|| Ok(customs.command(&["record", "show", record])?.code == DONE))?;
    }
    // A power cut loses nothing of it; the same stick again brings nothing.
    customs.kill()?;
    customs.start()?;
    let again = done(customs.command(&["bundle", "import", &stick])?);
    assert_eq!((&again["new"], &again["stale"]), (&json!(0), &json!(true)), "{again}");
    assert_eq!(customs.command(&["record", "show", &there[2]])?.code, DONE);

    // The stick goes back: what customs wrote, and what has arrived.
    done(customs.command(&["bundle", "export", "--to", &own, "--out", &stick])?);
    let returned = done(guard.command(&["bundle", "import", &stick])?);
    assert!(returned["new"].as_u64() >= Some(1), "{returned}");
    until(|| Ok(guard.command(&["record", "show", &back])?.code == DONE))?;
    let empty = done(guard.command(&export)?);
    assert_eq!((&empty["entries"], &empty["left"]), (&json!({}), &json!(0)), "{empty}");
    let peers = done(guard.command(&["peer", "list"])?);
    assert_eq!(peers["peers"][0]["bundle_made"], empty["made"]);
    assert!(peers["peers"][0]["bundle_read"].is_string());

    // For another post it is closed.
    let mut other = Daemon::init(folder.path(), "Other", "CM")?;
    other.start()?;
    let refused = other.command(&["bundle", "import", &stick])?;
    assert_eq!(refused.code, FAILED, "{}", refused.document);
    assert!(text(&refused.document["what"]).contains("it is for other devices"));
    Ok(())
}
