//! Cursor on Target (MITRE MTR 060017, 2006; the event schema 2.0), as TAK shows it: where something was, on a grid
//! that is coarser than what is known.

use std::fmt::Write as _;

use serde_json::Value;
use tearline_crdt::record::vocabulary::{Tlp, Vocabulary as _};
use tearline_crdt::time::WallTime;

use crate::exchange::cot::METHOD;

/// How positions go out, and until when they are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Picture {
    /// The side of a cell, in metres: what is in it is shown in its middle.
    pub(crate) grid_m: u32,
    /// For how long it is shown, in ms.
    pub(crate) stale_ms: u64,
    /// Now.
    pub(crate) now: WallTime,
}

/// A STIX object of ours as an event, if it has a place on the globe.
pub(crate) fn event(object: &Value, picture: Picture) -> Option<String> {
    let number = |name: &str| object.get(name).and_then(Value::as_f64);
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    let (latitude, longitude) = (number("latitude")?, number("longitude")?);
    if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
        return None;
    }
    let (latitude, longitude) = coarse(latitude, longitude, picture.grid_m);
    let told = TIMES.iter().find_map(|name| text(name).and_then(WallTime::parse));
    let start = told.unwrap_or(picture.now).min(picture.now);
    let stale = WallTime(picture.now.0.saturating_add(picture.stale_ms));
    let stix_type = text("type").unwrap_or_default();
    let name = NAMES.iter().find_map(|name| text(name)).unwrap_or(stix_type);
    let refs = object.get("object_marking_refs").and_then(Value::as_array).into_iter().flatten();
    let tlp = refs.filter_map(Value::as_str).filter_map(Tlp::from_marking_id).max();
    // Half of a cell's diagonal.
    let error_m = f64::from(picture.grid_m) * std::f64::consts::FRAC_1_SQRT_2;
    let mut xml = String::new();
    let _ = write!(
        xml,
        "<event version=\"2.0\" uid=\"{}\" type=\"{}\" how=\"h-e\" time=\"{}\" start=\"{start}\" stale=\"{stale}\">\
         <point lat=\"{latitude:.5}\" lon=\"{longitude:.5}\" hae=\"9999999.0\" ce=\"{error_m:.0}\" le=\"9999999.0\"/>\
         <detail><contact callsign=\"{}\"/><remarks>TLP:{}</remarks></detail></event>",
        plain(text("id")?),
        atom(stix_type),
        picture.now,
        plain(name),
        tlp.map_or("RED", |tlp| tlp.word()),
    );
    Some(xml)
}

/// Whether a record came from a map: it does not go back to one.
pub(crate) fn came_from_a_map(object: &Value) -> bool {
    object.get("method").and_then(Value::as_str) == Some(METHOD)
}

/// When something was, the first that is said.
const TIMES: [&str; 5] = ["last_seen", "first_seen", "time", "modified", "created"];
/// What something is called, the first that is said.
const NAMES: [&str; 6] =
    ["name", "call_sign", "plate", "registration", "container_number", "description"];
/// Longest text of an event, in letters: an event fits a datagram.
const TEXT_CHARS_MAX: usize = 100;

/// What the type of an object is on a map. Whose side somebody is on is not for a map to say: unknown.
fn atom(stix_type: &str) -> &'static str {
    match stix_type {
        "vessel" => "a-u-S",
        "aircraft" => "a-u-A",
        "vehicle" => "a-u-G-E-V",
        "identity" => "a-u-G",
        "unit" => "a-f-G-U",
        _ => "b-m-p-s-m",
    }
}

/// The middle of the cell that a place is in.
fn coarse(latitude: f64, longitude: f64, grid_m: u32) -> (f64, f64) {
    let middle = |value: f64, side: f64| ((value / side).floor() + 0.5) * side;
    let side = f64::from(grid_m) / METRES_PER_DEGREE;
    let latitude = middle(latitude, side).clamp(-90.0, 90.0);
    let side = side / latitude.to_radians().cos().max(0.01);
    (latitude, middle(longitude, side).clamp(-180.0, 180.0))
}

/// Of latitude, on the mean sphere of the earth (6,371 km).
const METRES_PER_DEGREE: f64 = 111_195.0;

/// A text as it may stand in XML: without what controls, and bounded.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX) {
        match c {
            '&' => plain.push_str("&amp;"),
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            '"' => plain.push_str("&quot;"),
            '\'' => plain.push_str("&apos;"),
            '\u{fffe}' | '\u{ffff}' => {}
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PICTURE: Picture =
        Picture { grid_m: 1_000, stale_ms: 3_600_000, now: WallTime(1_767_312_000_000) };

    #[test]
    fn an_event_says_where_and_until_when_and_no_closer_than_its_grid() {
        let object = json!({
            "type": "vessel", "id": "vessel--1", "name": "A \"B\" <&>\u{7}", "latitude": 13.12345,
            "longitude": 14.54321, "last_seen": "2026-01-01T23:00:00Z",
            "object_marking_refs": [Tlp::Green.marking_id()],
        });
        let xml = event(&object, PICTURE).unwrap();
        for part in [
            "uid=\"vessel--1\" type=\"a-u-S\"",
            "time=\"2026-01-02T00:00:00.000Z\" start=\"2026-01-01T23:00:00.000Z\" stale=\"2026-01-02T01:00:00.000Z\"",
            "ce=\"707\"",
            "callsign=\"A &quot;B&quot; &lt;&amp;&gt;\"",
            "<remarks>TLP:GREEN</remarks>",
        ] {
            assert!(xml.contains(part), "{part}: {xml}");
        }
        assert!(!xml.contains("13.12345") && xml.len() < 1_400);
        let long = json!({ "type": "x", "id": "x--1", "name": "\"".repeat(9_999), "latitude": 1, "longitude": 1 });
        assert!(event(&long, PICTURE).unwrap().len() < 1_400);
        for nowhere in [
            json!({ "type": "vessel", "id": "vessel--1" }),
            json!({ "type": "vessel", "id": "vessel--1", "latitude": 91, "longitude": 0 }),
            json!({ "type": "vessel", "latitude": 9, "longitude": 0 }),
        ] {
            assert!(event(&nowhere, PICTURE).is_none(), "{nowhere}");
        }
    }

    #[test]
    fn places_of_one_cell_are_one_place_near_all_of_them() {
        let mut seen = std::collections::BTreeSet::new();
        for n in 0..200 {
            let (latitude, longitude) = (13.0 + f64::from(n) * 1e-4, -14.0 - f64::from(n) * 1e-4);
            let (lat, lon) = coarse(latitude, longitude, 1_000);
            let north_m = (lat - latitude) * METRES_PER_DEGREE;
            let east_m = (lon - longitude) * METRES_PER_DEGREE * lat.to_radians().cos();
            assert!(north_m.abs() <= 501.0 && east_m.abs() <= 501.0, "{latitude} {longitude}");
            seen.insert((lat.to_bits(), lon.to_bits()));
        }
        assert!(seen.len() < 10, "{}", seen.len());
        for (latitude, longitude) in [(90.0, 180.0), (-90.0, -180.0), (0.0, 0.0)] {
            let (lat, lon) = coarse(latitude, longitude, 100_000);
            assert!(lat.abs() <= 90.0 && lon.abs() <= 180.0, "{lat} {lon}");
        }
    }
}
