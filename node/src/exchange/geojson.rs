//! GeoJSON (RFC 7946): features become locations and routes, and records with a place features.

use std::io::{self, Read, Write};

use serde_json::{Map, Value, json};

use tearline_crdt::record::kind::Kind;

use super::{Draft, Item, Problem, ReadError, Sink, read_elements, unfit};

/// Reads a FeatureCollection, a Feature, an array of features, or a bare geometry.
pub fn read(reader: impl Read, sink: &mut Sink<'_>) -> Result<(), ReadError> {
    let mut each = |n: usize, value: Result<Value, String>| {
        let place = format!("features[{n}]");
        sink(match value {
            Ok(value) => item(place, value),
            Err(reason) => Item::Bad(Problem { place, reason }),
        })
    };
    let (found, others) = read_elements(reader, "features", &mut each)?;
    if found {
        return Ok(());
    }
    if others.contains_key("type") {
        let _ = sink(item("the file's one feature".into(), Value::Object(others)));
        return Ok(());
    }
    Err(ReadError::Shape {
        expected: "GeoJSON document",
        hint: "expected a FeatureCollection, a Feature or a geometry",
    })
}

fn item(place: String, value: Value) -> Item {
    match draft(&value) {
        Ok((kind, fields)) => match unfit(&fields) {
            Some(reason) => Item::Bad(Problem { place, reason }),
            None => Item::Draft(Draft { kind, fields, tlp: None, place }),
        },
        Err(reason) => Item::Bad(Problem { place, reason }),
    }
}

fn draft(value: &Value) -> Result<(Kind, Map<String, Value>), String> {
    let object = value.as_object().ok_or("it is no JSON object")?;
    let (geometry, properties) = if object.get("type").and_then(Value::as_str) == Some("Feature") {
        (object.get("geometry").unwrap_or(&Value::Null), object.get("properties"))
    } else {
        (value, None)
    };
    let mut fields = match properties {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(properties)) => properties.clone(),
        Some(_) => return Err("its `properties` are no JSON object".into()),
    };
    if let Some(id) = object.get("id") {
        fields.entry("feature_id").or_insert_with(|| id.clone());
    }
    let shape = geometry.get("type").and_then(Value::as_str).ok_or("it has no geometry")?;
    let coordinates = geometry.get("coordinates").unwrap_or(&Value::Null);
    check(coordinates, 8)?;
    let kind = match shape {
        "Point" => {
            let (longitude, latitude) = position(coordinates)?;
            fields.insert("latitude".into(), latitude);
            fields.insert("longitude".into(), longitude);
            Kind::Location
        }
        "LineString" => {
            let points: Result<Vec<Value>, String> = coordinates
                .as_array()
                .ok_or("its coordinates are no list")?
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
            fields.insert("geometry".into(), geometry.clone());
            Kind::Location
        }
        other => return Err(format!("its geometry is a {other:?}, which is not supported")),
    };
    Ok((kind, fields))
}

fn position(value: &Value) -> Result<(Value, Value), String> {
    match value.as_array().map(Vec::as_slice) {
        Some([longitude, latitude, ..]) if longitude.is_number() && latitude.is_number() => {
            Ok((longitude.clone(), latitude.clone()))
        }
        _ => Err("a position is [longitude, latitude]".into()),
    }
}

/// Whether all positions lie on the globe, longitude first.
fn check(value: &Value, depth: usize) -> Result<(), String> {
    let items = value.as_array().ok_or("its coordinates are no list")?;
    if depth == 0 {
        return Err("its coordinates are nested too deep".into());
    }
    match items.as_slice() {
        [Value::Number(longitude), Value::Number(latitude), ..] => {
            let (x, y) =
                (longitude.as_f64().unwrap_or(f64::MAX), latitude.as_f64().unwrap_or(f64::MAX));
            if x.abs() > 180.0 || y.abs() > 90.0 {
                return Err(format!(
                    "[{x}, {y}] is not on the globe; the order is longitude, latitude"
                ));
            }
            Ok(())
        }
        items => items.iter().try_for_each(|item| check(item, depth - 1)),
    }
}

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
        mut properties: Map<String, Value>,
    ) -> io::Result<()> {
        let geometry = match (properties.remove("geometry"), place) {
            (Some(geometry), _) => geometry,
            (None, Some((latitude, longitude))) => {
                json!({ "type": "Point", "coordinates": [longitude, latitude] })
            }
            (None, None) => match line(&properties) {
                Some(geometry) => geometry,
                None => return Ok(()),
            },
        };
        self.out.write_all(if self.count == 0 { b"\n" } else { b",\n" })?;
        self.count += 1;
        let feature = json!({
            "type": "Feature", "id": id, "geometry": geometry, "properties": properties,
        });
        Ok(serde_json::to_writer(&mut self.out, &feature)?)
    }

    /// Ends the collection; how many features it has.
    pub fn end(mut self) -> io::Result<u64> {
        self.out.write_all(b"\n]}\n")?;
        self.out.flush()?;
        Ok(self.count)
    }
}

fn line(properties: &Map<String, Value>) -> Option<Value> {
    let points = properties.get("points")?.as_array()?;
    let coordinates: Option<Vec<Value>> = points
        .iter()
        .map(|point| Some(json!([point.get("longitude")?, point.get("latitude")?])))
        .collect();
    Some(json!({ "type": "LineString", "coordinates": coordinates? }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;

    fn all(text: &str) -> Result<Vec<Item>, ReadError> {
        let mut items = Vec::new();
        read(text.as_bytes(), &mut |item| {
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
            {"type":"Feature","geometry":null,"properties":{}}
        ]}"#;
        let items = all(text).unwrap();
        let Item::Draft(post) = &items[0] else { panic!("{items:?}") };
        assert_eq!((post.kind, &post.fields["latitude"]), (Kind::Location, &json!(13.1)));
        let Item::Draft(route) = &items[1] else { panic!("{items:?}") };
        assert_eq!(
            (route.kind, route.fields["points"][1]["longitude"].as_f64()),
            (Kind::Route, Some(15.0))
        );
        assert!(matches!((&items[2], &items[3]), (Item::Bad(_), Item::Bad(_))));
        assert!(all("{}").is_err() && all("[").is_err());
    }
}
