//! A device in other hands: what it dated before counts only as far as it had come.

use std::io;

use serde_json::{Value, json};
use tearline_tests::daemon::Daemon;

use crate::trust::{DONE, NOT_FOUND, Pair, USAGE, done, enrolled, pair, sighting, text, until};

#[test]
fn what_a_thief_dates_back_waits_and_what_came_late_is_adopted() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { mut guard, mut customs } = pair(folder.path())?;
    let kilo = enrolled(folder.path(), &guard, "KILO", &[])?;
    let shows = |peer: &Daemon, record: &str| {
        Ok::<bool, io::Error>(peer.command(&["record", "show", record])?.code == DONE)
    };
    let genuine = sighting(&kilo, "genuine")?;
    until(|| Ok(shows(&guard, &genuine)? && shows(&customs, &genuine)?))?;
    // Out of reach it writes on. Somebody takes it, and what he writes is dated as if it were the owner's.
    guard.kill()?;
    customs.kill()?;
    let late = sighting(&kilo, "late")?;
    let forged = sighting(&kilo, "dated back")?;
    let after = sighting(&kilo, "after")?;
    let history = done(kilo.command(&["record", "history", &after])?);
    let since = text(&history["entries"][0]["at"]).to_owned();
    guard.start()?;
    customs.start()?;
    until(|| Ok(shows(&guard, &after)? && shows(&customs, &after)?))?;

    let lose = ["device", "lost", "KILO", "--since", &since];
    let routine = |lost: &Value| {
        let logs = lost["kept"].as_array().cloned().unwrap_or_default();
        let log = logs.into_iter().find(|log| log["class"] == "routine").unwrap_or_default();
        [&log["held"], &log["kept"], &log["by_arrival"]["entries"], &log["by_dates"]["entries"]]
            .map(|count| count.as_u64().unwrap_or_default())
    };
    let rehearsed = done(guard.command(&[&lose[..], &["--dry-run"]].concat())?);
    assert_eq!((text(&rehearsed["by"]), routine(&rehearsed)), ("arrival", [4, 1, 1, 3]));
    let by_dates = [&lose[..], &["--dry-run", "--by", "own-dates"]].concat();
    let rehearsed = done(guard.command(&by_dates)?);
    assert_eq!((text(&rehearsed["by"]), routine(&rehearsed)), ("own-dates", [4, 3, 1, 3]));
    assert_eq!(guard.command(&[&lose[..], &["--by", "hearsay"]].concat())?.code, USAGE);

    done(guard.command(&lose)?);
    let gone = |record: &str| {
        let code =
            |peer: &Daemon| Ok::<i32, io::Error>(peer.command(&["record", "show", record])?.code);
        until(|| Ok([code(&guard)?, code(&customs)?] == [NOT_FOUND; 2]))
    };
    [&late, &forged, &after].into_iter().try_for_each(|record| gone(record))?;
    assert!(shows(&guard, &genuine)? && shows(&customs, &genuine)?);
    // It is not widened by saying it again; it is adopted, as far as somebody knows it to be honest.
    let again = done(guard.command(&[&lose[..], &["--by", "own-dates"]].concat())?);
    assert_eq!(again["already"], true, "{again}");
    let held = done(guard.command(&["inbox"])?)["entries"].take();
    let of_late =
        held.as_array().and_then(|all| all.iter().find(|one| one["record"] == json!(late)));
    let entry = of_late.map(|one| text(&one["entry"]).to_owned()).unwrap_or_default();
    done(guard.command(&["grant", "adopt", &entry])?);
    until(|| Ok(shows(&guard, &late)? && shows(&customs, &late)?))?;
    gone(&forged)?;

    // What is said of a record afterwards it never answers: it is named, and nobody waits for it.
    done(guard.command(&["record", "recall", &genuine])?);
    let mut receipts = Value::Null;
    until(|| {
        let answered = guard.command(&["record", "receipts", &genuine])?;
        receipts = answered.document;
        Ok(answered.code == DONE)
    })?;
    let answers = receipts["statements"][0]["answers"].as_array().cloned().unwrap_or_default();
    let kilo = answers.iter().find(|one| one["device"]["name"] == "KILO").cloned();
    let kilo = kilo.unwrap_or_default();
    assert_eq!([&kilo["ended"], &kilo["outcome"]], [&json!(true), &Value::Null], "{receipts}");
    assert_eq!((answers.len(), &receipts["statements"][0]["open"]), (3, &json!(0)));
    Ok(())
}
