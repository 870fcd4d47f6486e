//! Media types (RFC 9110, sections 8.3 and 12.5.1) and answers of them.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

/// TAXII 2.1, section 1.6.8.
pub(super) const TAXII: &str = "application/taxii+json;version=2.1";
/// STIX 2.1, of which a collection's objects are.
pub(super) const STIX: &str = "application/stix+json;version=2.1";

/// RFC 9457.
pub(super) const PROBLEM: &str = "application/problem+json";
/// RFC 7946.
pub(super) const GEOJSON: &str = "application/geo+json";
/// RFC 8259.
pub(super) const JSON: &str = "application/json";
/// HTML Living Standard, section 9.2.
pub(super) const EVENTS: &str = "text/event-stream";
/// Prometheus' text format.
pub(super) const TEXT: &str = "text/plain; version=0.0.4";

/// An answer.
pub(super) fn reply(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // What one pass sees is for its holder, and no page of a browser is made of it.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    response
}

/// Whether who asks takes an answer of TAXII 2.1. Who does not say, takes what there is.
pub(super) fn takes_taxii(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter().peekable();
    if accepted.peek().is_none() {
        return true;
    }
    accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(Media::parse)
        .any(|media| {
            media.is_wanted()
                && match media.name.as_str() {
                    "*/*" | "application/*" => true,
                    "application/taxii+json" => media.version().is_none_or(|v| v == "2.1"),
                    _ => false,
                }
        })
}

/// Whether what is sent is TAXII 2.1, and says so.
pub(super) fn is_taxii(headers: &HeaderMap) -> bool {
    sent(headers).is_some_and(|m| m.name == "application/taxii+json" && m.version() == Some("2.1"))
}

/// Whether what is sent is JSON, and says so.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    sent(headers).is_some_and(|media| media.name == JSON)
}

/// What is sent, if it is one thing.
fn sent(headers: &HeaderMap) -> Option<Media> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(one), None) = (types.next(), types.next()) else { return None };
    one.to_str().ok().and_then(Media::parse)
}

/// A media type or range.
struct Media {
    name: String,
    parameters: Vec<(String, String)>,
}

impl Media {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next()?.to_ascii_lowercase();
        let mut parameters = Vec::new();
        for part in parts {
            let (key, value) = part.split_once('=')?;
            let value = value.trim().trim_matches('"').to_owned();
            parameters.push((key.trim().to_ascii_lowercase(), value));
        }
        Some(Self { name, parameters })
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    fn version(&self) -> Option<&str> {
        self.parameter("version")
    }

    /// Not with a quality of nothing.
    fn is_wanted(&self) -> bool {
        self.parameter("q").and_then(|q| q.parse::<f64>().ok()).is_none_or(|q| q > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_is_accepted() {
        for (values, good) in [
            (&[][..], true),
            (&["application/taxii+json;version=2.1"], true),
            (&["application/taxii+json; version=\"2.1\""], true),
            (&["application/taxii+json"], true),
            (&["text/html, application/taxii+json;version=2.1;q=0.5"], true),
            (&["text/html", "*/*"], true),
            (&["application/taxii+json;version=2.0"], false),
            (&["application/vnd.oasis.taxii+json"], false),
            (&["application/json"], false),
            (&["*/*;q=0"], false),
            (&["application/taxii+json;version"], false),
            (&[""], false),
        ] {
            assert_eq!(takes_taxii(&headers(header::ACCEPT, values)), good, "{values:?}");
        }
    }

    #[test]
    fn what_is_sent() {
        for (values, good) in [
            (&["application/taxii+json;version=2.1"][..], true),
            (&["application/taxii+json; version=2.1; charset=utf-8"], true),
            (&["application/taxii+json"], false),
            (&["application/stix+json;version=2.1"], false),
            (&["application/json"], false),
            (&["application/taxii+json;version=2.1", "application/taxii+json;version=2.1"], false),
            (&[], false),
        ] {
            assert_eq!(is_taxii(&headers(header::CONTENT_TYPE, values)), good, "{values:?}");
        }
    }
}
