//! OGC API - Features, Part 1: Core (OGC 17-069r4), for geographic information systems: a collection for
//! each compartment that the pass lets its holder read, and in it the records that have a place, a line or
//! an area, as GeoJSON in WGS 84. What is recalled, restricted or erased is not in it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};
use tearline_crdt::id::RecordId;
use tearline_crdt::record::kind::Kind;
use tearline_crdt::time::WallTime;

use super::call::{Call, Query as Parameters};
use super::media;
use super::place::List;
use super::problem::Problem;
use super::rooms::{collection_id, readable_room, rooms};
use crate::exchange::geojson;
use crate::index::{Query, Row};
use crate::pass::Operation;
use crate::service::edge::{Room, Walk, Walked, properties};

/// `GET /ogc/`: the landing page (section 7.2).
pub(super) fn landing(call: &Call<'_>) -> Result<Response, Problem> {
    call.query.only(&[])?;
    Ok(answer(&json!({
        "title": "Tearline",
        "description": "Located records that this pass may see",
        "links": [
            link(call, "self", media::JSON, "/ogc/"),
            link(call, "service-desc", media::JSON, "/api/openapi.json"),
            link(call, "conformance", media::JSON, "/ogc/conformance"),
            link(call, "data", media::JSON, "/ogc/collections"),
        ],
    })))
}

/// `GET /ogc/conformance` (section 7.4).
pub(super) fn conformance(call: &Call<'_>) -> Result<Response, Problem> {
    call.query.only(&[])?;
    Ok(answer(&json!({
        "conformsTo": [
            "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
            "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
        ],
    })))
}

/// `GET /ogc/collections` (section 7.13).
pub(super) fn collections(call: &Call<'_>) -> Result<Response, Problem> {
    call.query.only(&[])?;
    let rooms = rooms(call)?;
    let readable = rooms.iter().filter(|room| room.readable);
    let collections: Vec<Value> = readable.map(|room| shape(call, room)).collect();
    let links = [link(call, "self", media::JSON, "/ogc/collections")];
    Ok(answer(&json!({ "links": links, "collections": collections })))
}

/// `GET /ogc/collections/{collection}` (section 7.14).
pub(super) fn collection(call: &Call<'_>) -> Result<Response, Problem> {
    call.query.only(&[])?;
    Ok(answer(&shape(call, &readable_room(call)?)))
}

/// `GET .../items` (section 7.15).
pub(super) fn items(call: &Call<'_>) -> Result<Response, Problem> {
    call.query.only(&["limit", "bbox", "datetime", "next"])?;
    let (room, asked) = (readable_room(call)?, Asked::of(call)?);
    let Walked { kept, more } = asked.walk(call, &room)?;
    let path = format!("/ogc/collections/{}/items", collection_id(&room));
    let mut links =
        vec![link(call, "self", media::GEOJSON, &format!("{path}?{}", asked.query_text(None)))];
    if let (true, Some((last_us, _))) = (more, kept.last()) {
        let query = asked.query_text(Some(&asked.list.next(*last_us)));
        links.push(link(call, "next", media::GEOJSON, &format!("{path}?{query}")));
    }
    let features: Vec<Value> = kept.into_iter().map(|(_, feature)| feature).collect();
    let whole = json!({
        "type": "FeatureCollection",
        "numberReturned": features.len(),
        "features": features,
        "links": links,
    });
    Ok(linked(media::GEOJSON, &whole))
}

/// `GET .../items/{feature}` (section 7.16).
pub(super) fn item(call: &Call<'_>) -> Result<Response, Problem> {
    call.query.only(&[])?;
    let room = readable_room(call)?;
    let record: RecordId = call.place("feature").parse().map_err(|_| Problem::not_found())?;
    let seen = call.edge().record(&call.guest, Operation::Export, record)?;
    let seen = seen.filter(|(row, _)| row.compartment == room.id && !row.recalled);
    let feature = seen.and_then(|(row, detail)| feature(&row, properties(detail)));
    let mut feature = feature.ok_or_else(Problem::not_found)?;
    let path = format!("/ogc/collections/{}", collection_id(&room));
    if let Some(members) = feature.as_object_mut() {
        let links = json!([
            link(call, "self", media::GEOJSON, &format!("{path}/items/{record}")),
            link(call, "collection", media::JSON, &path),
        ]);
        members.insert("links".into(), links);
    }
    Ok(linked(media::GEOJSON, &feature))
}

fn shape(call: &Call<'_>, room: &Room) -> Value {
    let id = collection_id(room);
    let path = format!("/ogc/collections/{id}");
    json!({
        "id": id,
        "title": room.name,
        "itemType": "feature",
        "crs": ["http://www.opengis.net/def/crs/OGC/1.3/CRS84"],
        "links": [
            link(call, "self", media::JSON, &path),
            link(call, "items", media::GEOJSON, &format!("{path}/items")),
        ],
    })
}

fn link(call: &Call<'_>, rel: &str, media_type: &str, path: &str) -> Value {
    json!({ "rel": rel, "type": media_type, "href": format!("{}{path}", call.state.guard.base()) })
}

fn answer(whole: &Value) -> Response {
    linked(media::JSON, whole)
}

/// An answer whose links stand in its head, too (RFC 8288): a client need not read the body to go on.
fn linked(media_type: &'static str, whole: &Value) -> Response {
    let mut response = media::reply(StatusCode::OK, media_type, whole.to_string());
    for link in whole.get("links").and_then(Value::as_array).into_iter().flatten() {
        let of = |name: &str| link.get(name).and_then(Value::as_str).unwrap_or_default();
        let text = format!("<{}>; rel=\"{}\"; type=\"{}\"", of("href"), of("rel"), of("type"));
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().append(header::LINK, value);
        }
    }
    response
}

/// A record as a feature, if it has a geometry.
fn feature(row: &Row, properties: serde_json::Map<String, Value>) -> Option<Value> {
    geojson::feature(&row.record.to_string(), row.place, properties)
}

/// What of a collection is asked for.
#[derive(Clone, Debug)]
struct Asked {
    limit: usize,
    area: Option<Area>,
    from_ms: Option<u64>,
    to_ms: Option<u64>,
    after_us: u64,
    list: List,
    /// The filters as they were written.
    filters: Vec<(&'static str, String)>,
}

/// Between two longitudes and two latitudes; over the antimeridian where the first is the greater.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Area {
    west: f64,
    south: f64,
    east: f64,
    north: f64,
}

impl Asked {
    fn of(call: &Call<'_>) -> Result<Self, Problem> {
        Self::parse(&call.query, call.place("collection"))
    }

    fn parse(query: &Parameters, collection: &str) -> Result<Self, Problem> {
        let (bbox, datetime) = (query.one("bbox")?, query.one("datetime")?);
        let area = bbox.map(Area::parse).transpose()?;
        let (from_ms, to_ms) = datetime.map_or(Ok((None, None)), interval)?;
        let list = List::of(&format!("ogc\n{collection}\n{bbox:?}\n{datetime:?}"));
        let place = query.one("next")?.map(|text| {
            list.stamp(text).ok_or_else(|| {
                Problem::bad(
                    "next is no place in this list: it goes with the filters of the page before",
                )
            })
        });
        let filters = [("bbox", bbox), ("datetime", datetime)];
        Ok(Self {
            limit: query.limit(PAGE_DEFAULT, PAGE_MAX)?,
            area,
            from_ms,
            to_ms,
            after_us: place.transpose()?.unwrap_or(0),
            list,
            filters: filters
                .into_iter()
                .filter_map(|(name, text)| Some((name, text?.to_owned())))
                .collect(),
        })
    }

    fn walk(&self, call: &Call<'_>, room: &Room) -> Result<Walked<Value>, Problem> {
        let walk = Walk {
            query: Query {
                compartment: Some(room.id),
                event_from: self.from_ms,
                event_to: self.to_ms,
                ..Query::default()
            },
            records: None,
            after_us: self.after_us,
            limit: self.limit,
            recalled: false,
            located: true,
            as_stix: false,
        };
        let within = |geometry: &Value| self.area.is_none_or(|area| area.meets(geometry));
        let walked =
            call.edge().walk(&call.guest.to(Operation::Export), &walk, &mut |row, detail| {
                feature(&row, properties(detail))
                    .filter(|one| within(one.get("geometry").unwrap_or(&Value::Null)))
            });
        Ok(walked?)
    }

    fn query_text(&self, next: Option<&str>) -> String {
        let mut text = form_urlencoded::Serializer::new(String::new());
        text.append_pair("limit", &self.limit.to_string());
        text.extend_pairs(&self.filters);
        text.extend_pairs(next.map(|next| ("next", next)));
        text.finish()
    }
}

impl Area {
    /// Four numbers, or six with heights, which are left out (section 7.15.3).
    fn parse(text: &str) -> Result<Self, Problem> {
        let wrong =
            || Problem::bad(format!("bbox is {text:?}; write west,south,east,north in degrees"));
        let numbers: Result<Vec<f64>, _> =
            text.split(',').map(|part| part.trim().parse()).collect();
        let area = match *numbers.map_err(|_| wrong())?.as_slice() {
            [west, south, east, north] | [west, south, _, east, north, _] => {
                Self { west, south, east, north }
            }
            _ => return Err(wrong()),
        };
        let sound = area.west.abs() <= 180.0
            && area.east.abs() <= 180.0
            && (-90.0..=90.0).contains(&area.south)
            && (area.south..=90.0).contains(&area.north);
        if sound { Ok(area) } else { Err(wrong()) }
    }

    /// Whether a geometry's own box meets it.
    fn meets(self, geometry: &Value) -> bool {
        let Some([west, south, east, north]) = geojson::bounds(geometry) else { return false };
        let own = Self { west, south, east, north };
        let longitudes = if self.west <= self.east {
            own.west <= self.east && own.east >= self.west
        } else {
            own.east >= self.west || own.west <= self.east
        };
        longitudes && own.south <= self.north && own.north >= self.south
    }
}

/// A time, or two with a slash between, of which one may be open (section 7.15.4).
fn interval(text: &str) -> Result<(Option<u64>, Option<u64>), Problem> {
    let wrong =
        || Problem::bad(format!("datetime is {text:?}; write a time, FROM/TO, FROM/.. or ../TO"));
    let time = |part: &str| WallTime::parse(part).map(|time| time.0).ok_or_else(wrong);
    let end = |part: &str| if matches!(part, "" | "..") { Ok(None) } else { time(part).map(Some) };
    let (from, to) = match text.split_once('/') {
        None => {
            let at = time(text)?;
            (Some(at), Some(at))
        }
        Some((from, to)) => (end(from)?, end(to)?),
    };
    if from.is_some_and(|from| to.is_some_and(|to| to < from)) {
        Err(wrong())
    } else {
        Ok((from, to))
    }
}

/// Whether a record may have a geometry, by its row: a place, or one of the kinds whose line or area stands
/// in their properties.
pub(crate) const fn may_be_located(row: &Row) -> bool {
    row.place.is_some() || matches!(row.kind, Kind::Location | Kind::Route)
}

/// Features of a page, if the request does not say, and at most.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_meets_what_it_touches() {
        let point = |longitude: f64, latitude: f64| json!({ "type": "Point", "coordinates": [longitude, latitude] });
        let line = json!({ "type": "LineString", "coordinates": [[0.0, 0.0], [20.0, 20.0]] });
        let many = json!({ "type": "GeometryCollection", "geometries": [point(1.0, 1.0), line] });
        for (bbox, geometry, meets) in [
            ("10,10,20,20", point(15.0, 12.0), true),
            ("10,10,20,20", point(10.0, 20.0), true),
            ("10,10,20,20", point(9.9, 12.0), false),
            ("10,10,0,20,20,99", point(15.0, 12.0), true),
            ("170,-10,-170,10", point(179.0, 0.0), true),
            ("170,-10,-170,10", point(-179.0, 0.0), true),
            ("170,-10,-170,10", point(0.0, 0.0), false),
            ("15,15,16,16", line.clone(), true),
            ("21,0,22,5", line.clone(), false),
            ("15,15,16,16", many, true),
            ("-180,-90,180,90", json!(null), false),
            ("-180,-90,180,90", json!({ "coordinates": "x" }), false),
        ] {
            assert_eq!(Area::parse(bbox).unwrap().meets(&geometry), meets, "{bbox} {geometry}");
        }
        for wrong in
            ["", "1,2,3", "1,2,3,4,5", "1,2,3,x", "0,10,0,5", "0,0,0,91", "-181,0,0,0", "nan,0,0,0"]
        {
            assert!(Area::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_is_an_instant_or_an_interval() {
        let second = "1970-01-01T00:00:01Z";
        for (text, span) in [
            (second.to_owned(), Some((Some(1_000), Some(1_000)))),
            (format!("{second}/.."), Some((Some(1_000), None))),
            (format!("../{second}"), Some((None, Some(1_000)))),
            (format!("{second}/1970-01-02"), Some((Some(1_000), Some(86_400_000)))),
            (format!("1970-01-02/{second}"), None),
            ("now".into(), None),
            (String::new(), None),
        ] {
            assert_eq!(interval(&text).ok(), span, "{text}");
        }
    }
}
