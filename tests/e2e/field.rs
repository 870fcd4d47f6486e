//! A unit that goes off the grid with a field pack and comes back, on the shipped binary.

use std::fs;
use std::io;

use serde_json::{Value, json};
use tearline_tests::daemon::{Daemon, Outcome};

use crate::trust::{
    DENIED, DONE, NOT_FOUND, Pair, USAGE, done, enrolled, pair, path, sighting, text, until,
};

const INCOMPLETE: i32 = 7;
const AREA: &str = "13.1,14.5,50km";

/// Writes a record of a kind with some fields in the compartment `all`.
fn write(daemon: &Daemon, kind: &str, class: &str, fields: &[&str]) -> io::Result<String> {
    let mut arguments =
        vec!["record", "new", "--kind", kind, "--compartment", "all", "--class", class];
    fields.iter().for_each(|field| arguments.extend(["--set", field]));
    Ok(text(&done(daemon.command(&arguments)?)["record"]).to_owned())
}

fn entries(document: &Value) -> u64 {
    let counts = document.as_object().into_iter().flat_map(|counts| counts.values());
    counts.filter_map(Value::as_u64).sum()
}

#[test]
fn a_unit_takes_a_field_pack_along_and_comes_back() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { guard, customs } = pair(folder.path())?;
    let mut kilo = enrolled(folder.path(), &guard, "KILO", &["--until", "2d"])?;
    let id = |daemon: &Daemon| -> io::Result<String> {
        Ok(text(&done(daemon.command(&["id"])?)["device"]).to_owned())
    };
    let (desk, unit) = (id(&guard)?, id(&kilo)?);
    // Nothing comes to the unit but by hand.
    for peer in done(kilo.command(&["peer", "list"])?)["peers"].as_array().into_iter().flatten() {
        done(kilo.command(&["peer", "pause", text(&peer["device"])])?);
    }
    until(|| {
        let peers = done(kilo.command(&["peer", "list"])?);
        Ok(peers["peers"].as_array().into_iter().flatten().all(|peer| peer["by"].is_null()))
    })?;

    let here = ["latitude=13.2", "longitude=14.5"];
    let there = ["latitude=6.5", "longitude=3.4"];
    let post = write(&guard, "location", "routine", &[&here[..], &["name=Post 4"]].concat())?;
    let note = ["content=locked at night", &format!("object_refs=[\"{post}\"]")];
    let note = write(&guard, "note", "priority", &note)?;
    let flash = write(&guard, "vehicle", "flash", &["plate=KN 77 B"])?;
    let alert =
        write(&customs, "alert", "immediate", &["action_to_take=seize", "plate=CT 1234 A"])?;
    let far = write(&guard, "location", "routine", &[&there[..], &["name=Lagos"]].concat())?;
    until(|| Ok(guard.command(&["record", "show", &alert])?.code == DONE))?;

    let stick = path(folder.path(), "kilo.field");
    let pack = |area: &str, days: &str, to: &str| {
        let what = ["field", "pack", "--device", to, "--area", area, "--days", days, "-o", &stick];
        guard.command(&what)
    };
    for (area, to, code) in
        [("nowhere", "KILO", USAGE), (AREA, "nobody", NOT_FOUND), (AREA, desk.as_str(), USAGE)]
    {
        let refused = pack(area, "1", to)?;
        assert_eq!(refused.code, code, "{}", refused.document);
    }
    assert!(fs::metadata(&stick).is_err(), "what failed leaves nothing");

    // Its right to write ends on the way.
    let short = pack(AREA, "4", "KILO")?;
    assert_eq!(short.code, INCOMPLETE, "{}", short.document);
    let ends = &short.document["ends"][0];
    assert_eq!((&ends["what"], &ends["compartment"]), (&json!("write"), &json!("all")), "{ends}");
    assert!(text(&ends["hint"]).contains("grant issue --device KILO --right write"), "{ends}");
    let made = done(pack(AREA, "1", "KILO")?);
    let counts = ["in_area", "urgent", "linked", "features"].map(|name| made[name].as_u64());
    assert_eq!(counts, [Some(1), Some(2), Some(1), Some(1)], "{made}");
    assert_eq!((&made["ends"], &made["bundle"]["left"]), (&json!([]), &json!(0)), "{made}");
    let whole = fs::read(&stick)?;
    for known in ["Post 4", AREA, "FeatureCollection", unit.as_str()] {
        assert!(!whole.windows(known.len()).any(|part| part == known.as_bytes()), "{known}");
    }

    let found = done(kilo.command(&["field", "inspect", &stick])?);
    assert_eq!(found["enclosed"]["order"]["area"], AREA, "{found}");
    assert_eq!((&found["maker"]["device"], &found["refused"]), (&json!(desk), &Value::Null));
    assert_eq!(done(kilo.command(&["field", "show"])?)["order"], Value::Null, "only looked at");
    let map = path(folder.path(), "area.geojson");
    let taken = done(kilo.command(&["field", "unpack", &stick, "--map", &map])?);
    assert!(taken["problem"].is_null() && taken["enclosed"]["passed_over"].is_null(), "{taken}");
    for record in [&post, &note, &flash, &alert] {
        until(|| Ok(kilo.command(&["record", "show", record])?.code == DONE))?;
    }
    // What is neither there, nor urgent, nor before anything that is, stays behind.
    assert_eq!(kilo.command(&["record", "show", &far])?.code, NOT_FOUND);
    let map: Value = serde_json::from_slice(&fs::read(&map)?)?;
    let features = map["features"].as_array().cloned().unwrap_or_default();
    assert_eq!((features.len(), &features[0]["id"]), (1, &json!(post)), "{map}");
    assert_eq!(features[0]["geometry"]["coordinates"], json!([14.5, 13.2]));
    let shown =
        |unit: &Daemon| -> io::Result<Value> { Ok(done(unit.command(&["field", "show"])?)) };
    let order = shown(&kilo)?;
    assert_eq!((&order["in_force"], &order["order"]["area"]), (&json!(true), &json!(AREA)));
    kilo.kill()?;
    kilo.start()?;
    assert_eq!(shown(&kilo)?, order, "it is kept");

    // Out there it writes, and its bundle brings that back, and the receipt.
    let seen = sighting(&kilo, "three trucks at the ford")?;
    let back = path(folder.path(), "back.bundle");
    done(kilo.command(&["bundle", "export", "--to", &desk, "--since", "last", "--out", &back])?);
    let returned = done(guard.command(&["bundle", "import", &back])?);
    assert!(returned["new"].as_u64() >= Some(1) && returned["enclosed"].is_null(), "{returned}");
    until(|| Ok(guard.command(&["record", "show", &seen])?.code == DONE))?;
    let again = done(pack(AREA, "1", "KILO")?);
    assert_eq!(
        (entries(&again["bundle"]["entries"]), &again["in_area"]),
        (0, &json!(1)),
        "{again}"
    );

    // Others cannot open it, and a device whose standing ended gets none.
    let refused: Outcome = customs.command(&["field", "unpack", &stick])?;
    assert!(text(&refused.document["what"]).contains("it is for other devices"));
    done(guard.command(&["device", "lost", "KILO", "--since", "1h"])?);
    let refused = pack(AREA, "1", &unit)?;
    assert_eq!(refused.code, DENIED, "{}", refused.document);
    Ok(())
}
