//! What people are told: that what they asked for is under way, has ended, or was done before.

use std::io;

use serde_json::{Value, json};

use crate::trust::{DONE, Pair, WAITS, done, pair_with_delay, sighting, text, until};

#[test]
fn an_erasure_says_when_and_why() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { guard, customs } = pair_with_delay(folder.path(), "72")?;
    let record = sighting(&guard, "seen")?;
    let other = sighting(&guard, "other")?;
    until(|| Ok(customs.command(&["record", "show", &other])?.code == DONE))?;
    let basis = ["--basis", "Article 17"];
    let erased = done(guard.command(&[&["record", "erase", &record[..8]][..], &basis].concat())?);
    assert_eq!(erased["record"], record.as_str());
    let due = text(&erased["due"]).to_owned();
    assert!(!due.is_empty(), "{erased}");
    let shown = done(guard.command(&["record", "show", &record])?);
    assert_eq!(shown["flags"], json!(["restricted", "erasure-due"]));
    assert_eq!(shown["erasure_due"], due.as_str());
    let listed = done(guard.command(&["record", "list"])?);
    let rows = listed["records"].as_array().cloned().unwrap_or_default();
    let of = |record: &str| rows.iter().find(|row| row["record"] == record).cloned();
    assert_eq!(of(&record).unwrap_or_default()["erasure_due"], due.as_str());
    assert_eq!(of(&other).unwrap_or_default()["erasure_due"], Value::Null);
    let explained = done(guard.command(&["grant", "explain", text(&erased["statement"])])?);
    assert_eq!(explained["basis"], "Article 17");

    // Founders who are asked to sign an erasure read the basis, too.
    let propose = ["coalition", "propose", "erase", &other, "--basis", "Order 7/2026"];
    let proposed = guard.command(&propose)?;
    assert_eq!(proposed.code, WAITS, "{}", proposed.document);
    let why = json!("on the basis: Order 7/2026");
    let mut known = Value::Null;
    until(|| {
        known = done(customs.command(&["coalition", "proposals"])?)["proposals"][0].take();
        Ok(!known.is_null())
    })?;
    assert!(known["terms"].as_array().is_some_and(|terms| terms.contains(&why)), "{known}");
    done(customs.command(&["coalition", "approve", text(&known["proposal"])])?);
    until(|| {
        let shown = done(guard.command(&["record", "show", &other])?);
        Ok(shown["erasure_due"].is_string())
    })
}
