//! What of a record is released, and whether it tells more than it was meant to: fields are picked, places and
//! times made coarser, and what is left is looked through for what was held back. Nothing here knows a store
//! or an audience; `service::release` asks it for the command line and the portal alike.

mod leaks;

use serde_json::{Map, Number, Value};
use tearline_crdt::time::WallTime;

pub use self::leaks::{Leak, LeakKind, leaks};

/// The field in which the names of a record's files are shown. Files are not released.
pub const FILES: &str = "attachments";

/// Coarsest place, in kilometres.
pub const COARSE_KM_MAX: u32 = 500;
/// Kilometres of a degree of latitude, and of longitude at the equator.
const DEGREE_KM: f64 = 111.32;
/// Closest to a pole that a place counts as, so that a step of longitude stays finite.
const COSINE_MIN: f64 = 0.02;

/// How coarse times are released.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CoarseTime {
    /// To the hour.
    Hour,
    /// To the day.
    Day,
    /// To the month.
    Month,
}

impl CoarseTime {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// A time that is so coarse.
    #[must_use]
    pub fn of(self, time: WallTime) -> WallTime {
        match self {
            Self::Hour => WallTime(time.0 / HOUR_MS * HOUR_MS),
            Self::Day => WallTime(time.0 / DAY_MS * DAY_MS),
            Self::Month => {
                let text = time.to_string();
                let month = text.get(..7).and_then(|month| WallTime::parse(&format!("{month}-01")));
                month.unwrap_or(WallTime(time.0 / DAY_MS * DAY_MS))
            }
        }
    }
}

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// How coarse a release is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Coarse {
    /// The side of the squares that places are given as, in kilometres.
    pub place_km: Option<u32>,
    /// How times are given.
    pub time: Option<CoarseTime>,
}

impl Coarse {
    /// Makes what fields say as coarse as that.
    pub fn apply(&self, fields: &mut Map<String, Value>) {
        if let Some(km) = self.place_km {
            place(fields, f64::from(km.clamp(1, COARSE_KM_MAX)));
        }
        for value in fields.values_mut() {
            self.apply_to(value);
        }
    }

    fn apply_to(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => self.apply(fields),
            Value::Array(values) => values.iter_mut().for_each(|value| self.apply_to(value)),
            Value::String(text) => {
                let read = || WallTime::parse(text).filter(|_| text.len() > DATE_BYTES);
                if let Some((coarse, time)) = self.time.zip(read()) {
                    *text = coarse.of(time).to_string();
                }
            }
            _ => {}
        }
    }
}

/// Bytes of a bare date, which is no coarser for being one.
const DATE_BYTES: usize = 10;

/// Puts the place of these fields into the middle of its square. The squares lie fast: who sees many releases of
/// one place learns no more than from one.
fn place(fields: &mut Map<String, Value>, km: f64) {
    let number = |name| fields.get(name).and_then(Value::as_f64);
    let precision = number("precision");
    if let Some((latitude, longitude)) = number("latitude").zip(number("longitude")) {
        let (north, east) = square(latitude, longitude, km);
        fields.insert("latitude".into(), north);
        fields.insert("longitude".into(), east);
    }
    // Of a GeoJSON geometry (RFC 7946): the box round it is as exact as it is.
    fields.remove("bbox");
    if let Some(positions) = fields.get_mut("coordinates") {
        coordinates(positions, km);
    }
    // Half of a square's diagonal, in metres.
    let radius = (km * 1_000.0 * std::f64::consts::FRAC_1_SQRT_2).round();
    if precision.is_some_and(|known| known < radius)
        && let Some(radius) = Number::from_f64(radius)
    {
        fields.insert("precision".into(), radius.into());
    }
    // Of an alert, a geohash: five characters are 5 km, each further one is a fifth or so of it.
    let letters = match km {
        ..5.0 => 5,
        5.0..40.0 => 4,
        40.0..160.0 => 3,
        _ => 2,
    };
    if let Some(Value::String(hash)) = fields.get_mut("place")
        && hash.is_ascii()
    {
        hash.truncate(letters);
    }
}

/// The middle of the square that a place lies in.
fn square(latitude: f64, longitude: f64, km: f64) -> (Value, Value) {
    let step = km / DEGREE_KM;
    let north = middle(latitude, step).clamp(-90.0, 90.0);
    let step = (step / north.to_radians().cos().max(COSINE_MIN)).min(360.0);
    let east = middle(longitude, step).clamp(-180.0, 180.0);
    let rounded = |value: f64| Number::from_f64((value * 10_000.0).round() / 10_000.0);
    let value = |value: f64| rounded(value).map_or(Value::Null, Value::Number);
    (value(north), value(east))
}

/// Puts the positions of a geometry, longitude first, into the middles of their squares. Heights go.
fn coordinates(positions: &mut Value, km: f64) {
    let Value::Array(items) = positions else { return };
    let at = |n: usize| items.get(n).and_then(Value::as_f64);
    match at(0).zip(at(1)) {
        Some((longitude, latitude)) => {
            let (north, east) = square(latitude, longitude, km);
            *items = vec![east, north];
        }
        None => items.iter_mut().for_each(|item| coordinates(item, km)),
    }
}

fn middle(value: f64, step: f64) -> f64 {
    ((value / step).floor() + 0.5) * step
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn coarse(place_km: Option<u32>, time: Option<CoarseTime>, fields: Value) -> Value {
        let Value::Object(mut fields) = fields else { return Value::Null };
        Coarse { place_km, time }.apply(&mut fields);
        fields.into()
    }

    #[test]
    fn places_of_a_square_are_released_as_one() {
        let at = |latitude: f64, longitude: f64| {
            let fields = json!({ "latitude": latitude, "longitude": longitude, "precision": 5.0 });
            coarse(Some(10), None, fields)
        };
        let one = at(13.3123, 14.1034);
        assert_eq!(one, at(13.3201, 14.1101), "{one}");
        assert_ne!(one, at(13.6, 14.1));
        assert_eq!(one["precision"], 7_071.0);
        for (latitude, longitude) in [(90.0, 180.0), (-90.0, -180.0), (0.0, 0.0), (89.9, 179.9)] {
            let released = at(latitude, longitude);
            let off = |name: &str, limit: f64| released[name].as_f64().unwrap().abs() <= limit;
            assert!(off("latitude", 90.0) && off("longitude", 180.0), "{released}");
        }
        let route = json!({ "points": [{ "latitude": 13.3123, "longitude": 14.1034 }] });
        let route = coarse(Some(10), None, route);
        assert_eq!(route["points"][0]["latitude"], one["latitude"]);
        assert_eq!(coarse(Some(50), None, json!({ "place": "s1z0ab" }))["place"], "s1z");
        let ring = json!([[[14.1034, 13.3123, 281.5], [14.1101, 13.3201]]]);
        let area = json!({ "geometry": { "type": "Polygon", "coordinates": ring,
                                         "bbox": [14.1034, 13.3123, 14.1101, 13.3201] } });
        let at = json!([one["longitude"], one["latitude"]]);
        let geometry = coarse(Some(10), None, area)["geometry"].clone();
        assert_eq!(geometry, json!({ "type": "Polygon", "coordinates": [[at, at]] }));
    }

    #[test]
    fn times_are_released_as_coarse_as_asked() {
        let at = |time| {
            coarse(None, Some(time), json!({ "time": "2026-03-14T15:09:26.5Z" }))["time"].clone()
        };
        assert_eq!(at(CoarseTime::Hour), "2026-03-14T15:00:00.000Z");
        assert_eq!(at(CoarseTime::Day), "2026-03-14T00:00:00.000Z");
        assert_eq!(at(CoarseTime::Month), "2026-03-01T00:00:00.000Z");
        let others = json!({ "date_of_birth": "1980-05-01", "name": "12", "count": 4 });
        assert_eq!(coarse(None, Some(CoarseTime::Month), others.clone()), others);
    }
}
