//! GeoJSON (RFC 7946): features become locations and routes, and records with a place features.

use std::io::{self, Read, Write};

use serde_json::{Map, Number, Value, json};

use tearline_crdt::record::kind::Kind;

use super::json::read_elements;
use super::number::Positions;
use super::{Draft, Item, Problem, ReadError, Sink, faults, unfit};

/// Reads a FeatureCollection, a Feature, an array of features, or a bare geometry. `source` is the
/// file's name: the ids of features are told apart by it, because most programs number them anew in
/// every file.
pub fn read(reader: impl Read, source: &str, sink: &mut Sink<'_>) -> Result<(), ReadError> {
    let mut each = |n: usize, value: Result<Value, String>| {
        let place = format!("features[{n}]");
        sink(match value {
            Ok(value) => item(source, place, value),
            Err(reason) => Item::Bad(Problem { place, reason }),
        })
    };
    let outline = read_elements(reader, "features", Positions::InCoordinates, &mut each)?;
    if outline.found {
        if let Some(reason) = outline.fault {
            let _ = sink(Item::Bad(Problem { place: "beside the features".into(), reason }));
        }
        return Ok(());
    }
    if outline.others.contains_key("type") {
        let place = "the file's one feature".to_owned();
        let _ = sink(match outline.whole() {
            Ok(value) => item(source, place, value),
            Err(reason) => Item::Bad(Problem { place, reason }),
        });
        return Ok(());
    }
    Err(ReadError::Shape {
        expected: "GeoJSON document",
        hint: "expected a FeatureCollection, a Feature or a geometry",
    })
}

fn item(source: &str, place: String, value: Value) -> Item {
    match draft(source, &value) {
        Ok((kind, fields)) => match unfit(&fields).or_else(|| unsound(kind, &fields)) {
            Some(reason) => Item::Bad(Problem { place, reason }),
            None => Item::Draft(Draft { kind, fields, marking: None, place, partial: false }),
        },
        Err(reason) => Item::Bad(Problem { place, reason }),
    }
}

/// Why properties are no record of their kind, each with its place in the feature.
fn unsound(kind: Kind, fields: &Map<String, Value>) -> Option<String> {
    let faults = faults(kind, fields);
    let each = faults.iter().map(|fault| match fault.path.as_str() {
        "" => fault.reason.clone(),
        path => format!("properties.{path} {}", fault.reason),
    });
    (!faults.is_empty()).then(|| each.collect::<Vec<_>>().join("; "))
}

fn draft(source: &str, value: &Value) -> Result<(Kind, Map<String, Value>), String> {
    let object = value.as_object().ok_or("it is no JSON object")?;
    let (geometry, properties) = if object.get("type").and_then(Value::as_str) == Some("Feature") {
        (object.get("geometry").ok_or("it has no `geometry`")?, object.get("properties"))
    } else {
        (value, None)
    };
    let mut fields = match properties {
        None | Some(Value::Null) => Map::new(),
        // Most programs write what a feature lacks as null.
        Some(Value::Object(properties)) => properties
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        Some(_) => return Err("its `properties` are no JSON object".into()),
    };
    if let Some(id) = object.get("id").filter(|id| !id.is_null()) {
        if !id.is_string() && !id.is_number() {
            return Err("its `id` is neither a text nor a number".into());
        }
        fields.entry(FEATURE_ID).or_insert_with(|| id.clone());
        fields.entry(FEATURE_SOURCE).or_insert_with(|| source.into());
    }
    if geometry.is_null() {
        // Unlocated (RFC 7946, section 3.2).
        return Ok((Kind::Location, fields));
    }
    let shape = geometry.get("type").and_then(Value::as_str).ok_or("its geometry has no `type`")?;
    let coordinates = geometry.get("coordinates").unwrap_or(&Value::Null);
    let kind = match shape {
        "Point" => {
            let (longitude, latitude) = position(coordinates)?;
            fields.insert("latitude".into(), latitude);
            fields.insert("longitude".into(), longitude);
            Kind::Location
        }
        "LineString" => {
            let points: Result<Vec<Value>, String> = line_string(coordinates)?
                .iter()
                .map(|point| {
                    let (longitude, latitude) = position(point)?;
                    Ok(json!({ "latitude": latitude, "longitude": longitude }))
                })
                .collect();
            fields.insert("points".into(), Value::Array(points?));
            Kind::Route
        }
        "MultiPoint" | "MultiLineString" | "Polygon" | "MultiPolygon" => {
            match shape {
                "MultiPoint" => each(coordinates, |point| position(point).map(drop))?,
                "MultiLineString" => each(coordinates, |line| line_string(line).map(drop))?,
                "Polygon" => polygon(coordinates)?,
                _ => each(coordinates, polygon)?,
            }
            fields.insert("geometry".into(), geometry.clone());
            Kind::Location
        }
        other => return Err(format!("its geometry is a {other:?}, which is not supported")),
    };
    Ok((kind, fields))
}

/// Longitude and latitude, on the globe.
fn position(value: &Value) -> Result<(Value, Value), String> {
    match list(value)? {
        [Value::Number(longitude), Value::Number(latitude), ..] => {
            let on_globe = |number: &Number, most: f64| {
                number.as_f64().is_some_and(|degrees| degrees.abs() <= most)
            };
            if !on_globe(longitude, 180.0) || !on_globe(latitude, 90.0) {
                return Err(format!(
                    "[{longitude}, {latitude}] is not on the globe; the order is longitude, latitude"
                ));
            }
            Ok((longitude.clone().into(), latitude.clone().into()))
        }
        _ => Err("a position is [longitude, latitude]".into()),
    }
}

/// Two positions at least.
fn line_string(value: &Value) -> Result<&[Value], String> {
    let points = list(value)?;
    if points.len() < 2 {
        return Err("a line has two positions at least".into());
    }
    each(value, |point| position(point).map(drop))?;
    Ok(points)
}

/// Closed rings (RFC 7946, section 3.1.6).
fn polygon(value: &Value) -> Result<(), String> {
    if list(value)?.is_empty() {
        return Err("a polygon has one ring at least".into());
    }
    each(value, |ring| {
        let points = list(ring)?;
        if points.len() < RING_POSITIONS_MIN || points.first() != points.last() {
            return Err(format!(
                "a ring of a polygon has {RING_POSITIONS_MIN} positions at least, of which the last \
                 is the first again"
            ));
        }
        each(ring, |point| position(point).map(drop))
    })
}

fn each(value: &Value, check: impl FnMut(&Value) -> Result<(), String>) -> Result<(), String> {
    list(value)?.iter().try_for_each(check)
}

fn list(value: &Value) -> Result<&[Value], String> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| "its coordinates are no list".into())
}

/// The properties that hold a feature's id, and the name of the file that it counts in.
pub const FEATURE_ID: &str = "feature_id";
/// See [`FEATURE_ID`].
pub const FEATURE_SOURCE: &str = "feature_source";
/// A triangle, with its first position once more.
const RING_POSITIONS_MIN: usize = 4;

/// Writes located records as a FeatureCollection, feature by feature.
pub struct CollectionWriter<W: Write> {
    out: W,
    count: u64,
}

impl<W: Write> CollectionWriter<W> {
    /// Begins a collection.
    pub fn begin(mut out: W) -> io::Result<Self> {
        out.write_all(b"{\"type\":\"FeatureCollection\",\"features\":[")?;
        Ok(Self { out, count: 0 })
    }

    /// Writes a record, if it has a place or a line.
    pub fn write(
        &mut self,
        id: &str,
        place: Option<(f64, f64)>,
        properties: Map<String, Value>,
    ) -> io::Result<()> {
        let Some(feature) = feature(id, place, properties) else { return Ok(()) };
        self.out.write_all(if self.count == 0 { b"\n" } else { b",\n" })?;
        self.count += 1;
        Ok(serde_json::to_writer(&mut self.out, &feature)?)
    }

    /// Ends the collection; how many features it has.
    pub fn end(mut self) -> io::Result<u64> {
        self.out.write_all(b"\n]}\n")?;
        self.out.flush()?;
        Ok(self.count)
    }
}

/// A record as a feature, if it has a geometry, a place or a line.
#[must_use]
pub fn feature(
    id: &str,
    place: Option<(f64, f64)>,
    mut properties: Map<String, Value>,
) -> Option<Value> {
    let geometry = match (properties.remove("geometry"), place) {
        (Some(geometry), _) => geometry,
        (None, Some((latitude, longitude))) => {
            json!({ "type": "Point", "coordinates": [longitude, latitude] })
        }
        (None, None) => line(&properties)?,
    };
    Some(json!({ "type": "Feature", "id": id, "geometry": geometry, "properties": properties }))
}

fn line(properties: &Map<String, Value>) -> Option<Value> {
    let points = properties.get("points")?.as_array()?;
    let coordinates: Option<Vec<Value>> = points
        .iter()
        .map(|point| Some(json!([point.get("longitude")?, point.get("latitude")?])))
        .collect();
    Some(json!({ "type": "LineString", "coordinates": coordinates? }))
}

/// The box round a geometry's positions: west, south, east, north.
pub(crate) fn bounds(geometry: &Value) -> Option<[f64; 4]> {
    let mut all: Option<[f64; 4]> = None;
    positions(geometry, GEOMETRY_DEPTH_MAX, &mut |longitude, latitude| {
        let [west, south, east, north] = all.unwrap_or([longitude, latitude, longitude, latitude]);
        all = Some([
            west.min(longitude),
            south.min(latitude),
            east.max(longitude),
            north.max(latitude),
        ]);
    });
    all
}

fn positions(value: &Value, depth: usize, take: &mut dyn FnMut(f64, f64)) {
    if depth == 0 {
        return;
    }
    if let Some(inner) = value.get("geometries").or_else(|| value.get("coordinates")) {
        return positions(inner, depth - 1, take);
    }
    let Some(items) = value.as_array() else { return };
    match (items.first().and_then(Value::as_f64), items.get(1).and_then(Value::as_f64)) {
        (Some(longitude), Some(latitude)) => take(longitude, latitude),
        _ => items.iter().for_each(|item| positions(item, depth - 1, take)),
    }
}

/// Deepest nesting of a geometry: collections of areas.
const GEOMETRY_DEPTH_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;

    fn all(text: &str) -> Result<Vec<Item>, ReadError> {
        let mut items = Vec::new();
        read(text.as_bytes(), "posts.geojson", &mut |item| {
            items.push(item);
            ControlFlow::Continue(())
        })?;
        Ok(items)
    }

    #[test]
    fn features_become_records() {
        let text = r#"{"type":"FeatureCollection","features":[
            {"type":"Feature","id":"p","geometry":{"type":"Point","coordinates":[14.5,13.1]},"properties":{"name":"Post"}},
            {"type":"Feature","geometry":{"type":"LineString","coordinates":[[14,13],[15,13.5]]},"properties":null},
            {"type":"Feature","geometry":{"type":"Point","coordinates":[13.1,114.5]},"properties":{}},
            {"type":"Feature","geometry":null,"properties":{}},
            {"type":"Feature","id":null,"geometry":null,"properties":{"country":"TD","name":null}},
            {"type":"Feature","properties":{"country":"TD"}},
            {"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]},"properties":{"confidence":101,"type":"post"}}
        ]}"#;
        let items = all(text).unwrap();
        let Item::Draft(post) = &items[0] else { panic!("{items:?}") };
        assert_eq!((post.kind, &post.fields["latitude"]), (Kind::Location, &json!(13.1)));
        assert_eq!(
            (&post.fields[FEATURE_ID], &post.fields[FEATURE_SOURCE]),
            (&json!("p"), &json!("posts.geojson"))
        );
        let Item::Draft(route) = &items[1] else { panic!("{items:?}") };
        assert_eq!(
            (route.kind, route.fields["points"][1]["longitude"].as_f64()),
            (Kind::Route, Some(15.0))
        );
        assert!(matches!((&items[2], &items[3]), (Item::Bad(_), Item::Bad(_))));
        // Unlocated (RFC 7946, section 3.2), and in a country at least.
        let Item::Draft(somewhere) = &items[4] else { panic!("{items:?}") };
        assert_eq!((somewhere.kind, somewhere.fields.len()), (Kind::Location, 1));
        let Item::Bad(none) = &items[5] else { panic!("{items:?}") };
        assert_eq!(none.reason, "it has no `geometry`");
        let Item::Bad(unsound) = &items[6] else { panic!("{items:?}") };
        for said in ["properties.confidence must be", "properties.type must be location"] {
            assert!(unsound.reason.contains(said), "{}", unsound.reason);
        }
        assert!(all("{}").is_err() && all("[").is_err());
    }

    #[test]
    fn shapes_are_what_they_are_called() {
        let ring = "[[14,13],[15,13],[15,14],[14,13]]";
        let shapes = [
            ("Polygon", format!("[{ring}]"), true),
            ("Polygon", "[]".into(), false),
            ("Polygon", "[[[14,13],[15,13],[14,13]]]".into(), false),
            ("Polygon", "[[[14,13],[15,13],[15,14],[14,14]]]".into(), false),
            ("Polygon", ring.into(), false),
            ("MultiPolygon", format!("[[{ring}],[{ring}]]"), true),
            ("MultiPolygon", format!("[{ring}]"), false),
            ("MultiPolygon", format!("[[{ring},[[1,2],[3,4],[1,2]]]]"), false),
            ("LineString", "[[14,13],[15,13]]".into(), true),
            ("LineString", "[[14,13]]".into(), false),
            ("LineString", "[[14,13],[15]]".into(), false),
            ("MultiLineString", "[[[14,13],[15,13]]]".into(), true),
            ("MultiLineString", "[[14,13],[15,13]]".into(), false),
            ("MultiPoint", "[[14,13],[15,13]]".into(), true),
            ("MultiPoint", "[14,13]".into(), false),
            ("Point", "[180,90]".into(), true),
            ("Point", "[14.566666666666666421234,13]".into(), true),
            ("Point", "[180.1,0]".into(), false),
            ("Point", "[0,-90.1]".into(), false),
            ("Point", "[\"14\",13]".into(), false),
        ];
        for (shape, coordinates, sound) in shapes {
            let text = format!("{{\"type\":\"{shape}\",\"coordinates\":{coordinates}}}");
            let items = all(&text).unwrap();
            assert_eq!(matches!(items.as_slice(), [Item::Draft(_)]), sound, "{text}: {items:?}");
        }
    }
}
