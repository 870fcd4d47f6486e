//! The description of all routes as OpenAPI 3.1, made from the table that the router is made from.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::media;
use super::problem::Problem;
use super::routes::{Area, ROUTES, Route};

/// `GET /api/openapi.json`
pub(super) fn document(call: &Call<'_>) -> Result<Response, Problem> {
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(methods) = methods.as_object_mut() {
            methods.insert(route.method.to_ascii_lowercase(), operation(route));
        }
    }
    let whole = json!({
        "openapi": "3.1.0",
        "info": { "title": "Tearline", "version": env!("CARGO_PKG_VERSION") },
        "servers": [{ "url": call.state.guard.base() }],
        "security": [{ "password": [] }, { "bearer": [] }],
        "components": {
            "securitySchemes": {
                "password": { "type": "http", "scheme": "basic" },
                "bearer": { "type": "http", "scheme": "bearer" },
            },
            "schemas": { "Problem": problem() },
        },
        "paths": paths,
    });
    Ok(media::reply(StatusCode::OK, media::JSON, whole.to_string()))
}

fn operation(route: &Route) -> Value {
    let mut parameters: Vec<Value> = places(route.path)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    let query = route.parameters.iter();
    parameters.extend(query.map(|name| {
        let schema = if *name == "limit" {
            json!({ "type": "integer", "minimum": 1 })
        } else {
            json!({ "type": "string" })
        };
        json!({ "name": name, "in": "query", "schema": schema })
    }));
    let good =
        if route.method == "POST" && Area::of(route.path) == Area::Taxii { "202" } else { "200" };
    let content = |media_type: &str, schema: Value| {
        let mut content = Map::new();
        content.insert(media_type.to_owned(), json!({ "schema": schema }));
        Value::Object(content)
    };
    let problem_type = match Area::of(route.path) {
        Area::Taxii => media::TAXII,
        Area::Other => media::PROBLEM,
    };
    let refused = content(problem_type, json!({ "$ref": "#/components/schemas/Problem" }));
    let mut responses = Map::new();
    let answered =
        if matches!(route.answers, media::TEXT | media::EVENTS) { "string" } else { "object" };
    let answer = content(route.answers, json!({ "type": answered }));
    responses.insert(good.into(), json!({ "description": route.summary, "content": answer }));
    responses.insert("default".into(), json!({ "description": "why not", "content": refused }));
    let mut whole =
        json!({ "summary": route.summary, "parameters": parameters, "responses": responses });
    if let (Some(taken), Some(members)) = (&route.body, whole.as_object_mut()) {
        let body = content(taken.media_type, json!({ "type": "object" }));
        members.insert("requestBody".into(), json!({ "required": true, "content": body }));
    }
    whole
}

/// The names in braces.
fn places(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
}

fn problem() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
        },
    })
}
