//! Areas on the map: what is near a place, or within two meridians and two parallels.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::row::place;

/// Latitude and longitude in degrees, north and east positive.
type Degrees = (f64, f64);

/// A part of the Earth's surface.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Area {
    /// Within so many kilometres of a place.
    Around(Degrees, f64),
    /// From west to east and from south to north, as in a `bbox` of GeoJSON (RFC 7946, section 5): one whose
    /// west is greater than its east crosses the antimeridian.
    Box {
        /// The western meridian.
        west: f64,
        /// The southern parallel.
        south: f64,
        /// The eastern meridian.
        east: f64,
        /// The northern parallel.
        north: f64,
    },
}

/// A text that is no area.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "an area is latitude, longitude and distance, as in 13.1,14.5,20km, or west, south, east and north, as in \
     14.0,12.5,15.5,13.8; in degrees, latitude from -90 to 90, longitude from -180 to 180"
)]
pub struct NoArea;

impl Area {
    /// Whether a place is in it.
    #[must_use]
    pub fn holds(&self, at: Degrees) -> bool {
        match *self {
            Self::Around(centre, km) => distance_km(centre, at) <= km,
            Self::Box { west, south, east, north } => {
                let (latitude, longitude) = at;
                let between = if west <= east {
                    (west..=east).contains(&longitude)
                } else {
                    longitude >= west || longitude <= east
                };
                (south..=north).contains(&latitude) && between
            }
        }
    }

    /// Its corners in the south-west and in the north-east. Of one that crosses the antimeridian the eastern
    /// one is beyond it.
    #[must_use]
    pub fn bounds(&self) -> (Degrees, Degrees) {
        match *self {
            Self::Around((latitude, longitude), km) => {
                let high = (km / KM_PER_DEGREE).min(180.0);
                let wide = (high / latitude.to_radians().cos().max(0.01)).min(180.0);
                let (south, north) = ((latitude - high).max(-90.0), (latitude + high).min(90.0));
                ((south, longitude - wide), (north, longitude + wide))
            }
            Self::Box { west, south, east, north } => {
                let east = if west <= east { east } else { east + 360.0 };
                ((south, west), (north, east))
            }
        }
    }

    /// Whether a record is in it: its place, or any position of its line or geometry.
    #[must_use]
    pub fn holds_any_of(&self, fields: &Map<String, Value>) -> bool {
        let position = |longitude: &Value, latitude: &Value| {
            let at = latitude.as_f64().zip(longitude.as_f64());
            at.is_some_and(|at| self.holds(at))
        };
        let points = fields.get("points").and_then(Value::as_array).into_iter().flatten();
        let on_line = |point: &Value| {
            let at = point.get("longitude").zip(point.get("latitude"));
            at.is_some_and(|(longitude, latitude)| position(longitude, latitude))
        };
        let geometry = fields.get("geometry").and_then(|geometry| geometry.get("coordinates"));
        place(fields).is_some_and(|at| self.holds(at))
            || points.into_iter().any(on_line)
            || geometry.is_some_and(|all| any_position(all, NESTING_MAX, &position))
    }

    /// The term of a query that finds what is in it.
    #[must_use]
    pub fn term(&self) -> String {
        match self {
            Self::Around(..) => format!("near:{self}"),
            Self::Box { .. } => format!("within:{self}"),
        }
    }
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Around((latitude, longitude), km) => write!(f, "{latitude},{longitude},{km}km"),
            Self::Box { west, south, east, north } => write!(f, "{west},{south},{east},{north}"),
        }
    }
}

impl FromStr for Area {
    type Err = NoArea;

    fn from_str(text: &str) -> Result<Self, NoArea> {
        let (numbers, is_around) = match text.trim().strip_suffix("km") {
            Some(numbers) => (numbers, true),
            None => (text, false),
        };
        let numbers = numbers.split(',').map(|part| part.trim().parse::<f64>());
        let numbers = numbers.collect::<Result<Vec<f64>, _>>().map_err(|_| NoArea)?;
        let there =
            |latitude: f64, longitude: f64| latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
        match *numbers.as_slice() {
            [latitude, longitude, km]
                if is_around && there(latitude, longitude) && km >= 0.0 && km.is_finite() =>
            {
                Ok(Self::Around((latitude, longitude), km))
            }
            [west, south, east, north]
                if !is_around && there(south, west) && there(north, east) && south <= north =>
            {
                Ok(Self::Box { west, south, east, north })
            }
            _ => Err(NoArea),
        }
    }
}

/// Whether any position of a geometry is one that is looked for.
fn any_position(
    coordinates: &Value,
    nesting: u8,
    is_wanted: &dyn Fn(&Value, &Value) -> bool,
) -> bool {
    match coordinates.as_array().map(Vec::as_slice) {
        Some([longitude @ Value::Number(_), latitude, ..]) => is_wanted(longitude, latitude),
        Some(parts) if nesting > 0 => {
            parts.iter().any(|part| any_position(part, nesting - 1, is_wanted))
        }
        _ => false,
    }
}

/// Length of a degree of latitude on that sphere.
const KM_PER_DEGREE: f64 = 111.195;

/// Great-circle distance by the haversine formula on a sphere of radius 6,371 km.
fn distance_km(a: Degrees, b: Degrees) -> f64 {
    let (latitude_a, latitude_b) = (a.0.to_radians(), b.0.to_radians());
    let (d_lat, d_lon) = ((latitude_b - latitude_a) / 2.0, (b.1 - a.1).to_radians() / 2.0);
    let h = d_lat.sin().powi(2) + latitude_a.cos() * latitude_b.cos() * d_lon.sin().powi(2);
    2.0 * 6_371.0 * h.sqrt().min(1.0).asin()
}

/// How deep positions lie in a MultiPolygon: polygons, rings, positions.
const NESTING_MAX: u8 = 3;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn distance_is_the_great_circle() {
        // Maroua to N'Djamena, about 184 km by map.
        let km = distance_km((10.591, 14.316), (12.107, 15.044));
        assert!((km - 186.0).abs() < 5.0, "{km}");
    }

    #[test]
    fn areas_are_read_and_shown_alike() {
        for text in ["13.1,14.5,20km", "14,12.5,15.5,13.8", "-180,-90,180,90", "170,-20,-170,20"] {
            assert_eq!(text.parse::<Area>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "km",
            "13.1,14.5",
            "13.1,14.5,-1km",
            "13.1,14.5,infkm",
            "1,2,3,4km",
            "91,0,1km",
            "nan,0,1km",
            "0,14,1,13",
            "14,12,200,13",
            "14,12,15,91",
            "1,2,3,4,5",
            "0,nan,1,1",
        ] {
            assert_eq!(bad.parse::<Area>(), Err(NoArea), "{bad}");
        }
    }

    #[test]
    fn a_box_holds_what_lies_between_its_sides() {
        let lake: Area = "14,12.5,15.5,13.8".parse().unwrap();
        assert!(lake.holds((13.0, 14.5)) && lake.holds((12.5, 14.0)));
        assert!(!lake.holds((13.0, 13.9)) && !lake.holds((14.0, 14.5)));
        let pacific: Area = "170,-20,-170,20".parse().unwrap();
        assert!(pacific.holds((0.0, 175.0)) && pacific.holds((0.0, -175.0)));
        assert!(!pacific.holds((0.0, 0.0)));
    }

    #[test]
    fn a_record_is_where_any_of_it_is() {
        let lake: Area = "13.1,14.5,20km".parse().unwrap();
        for (fields, expected) in [
            (json!({ "latitude": 13.1, "longitude": 14.5 }), true),
            (json!({ "location": { "latitude": 13.1, "longitude": 14.6 } }), true),
            (
                json!({ "points": [{ "latitude": 1, "longitude": 2 }, { "latitude": 13.1, "longitude": 14.5 }] }),
                true,
            ),
            (
                json!({ "geometry": { "type": "MultiPolygon", "coordinates": [[[[0, 0], [14.5, 13.1]]]] } }),
                true,
            ),
            (
                json!({ "geometry": { "type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]] } }),
                false,
            ),
            (json!({ "latitude": 20, "longitude": 14.5 }), false),
            (json!({ "name": "nowhere", "points": 7, "geometry": [] }), false),
        ] {
            assert_eq!(lake.holds_any_of(fields.as_object().unwrap()), expected, "{fields}");
        }
    }
}
