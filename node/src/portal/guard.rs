//! Who may be answered at all. Loopback is no boundary: any page that a browser on this machine shows can
//! send requests here. So a request must name this portal in `Host`, exactly (DNS rebinding); one that a page
//! of another origin made is refused, as it says itself (Fetch Metadata,
//! <https://www.w3.org/TR/fetch-metadata/>); and one that changes something must say where it comes from.

use std::net::SocketAddr;

use axum::http::header::{HOST, HeaderName, ORIGIN};
use axum::http::{HeaderMap, Method, StatusCode, Uri};

/// What a request must agree with.
#[derive(Debug)]
pub(super) struct Guard {
    /// The names that this portal is reached by, with the port.
    names: Vec<String>,
}

impl Guard {
    /// `own` is a name below `localhost` that is this peer's alone. Browsers send a cookie to all ports of
    /// a host: under its own name no other program of the machine gets it.
    pub(super) fn new(address: SocketAddr, own: &str) -> Self {
        let port = address.port();
        Self {
            names: vec![
                format!("{own}.localhost:{port}"),
                address.to_string(),
                format!("localhost:{port}"),
            ],
        }
    }

    /// The link to it.
    pub(super) fn link(&self) -> String {
        self.names.first().map_or_else(String::new, |name| format!("http://{name}/"))
    }

    /// Refuses what was not sent to us, or was sent by a page of somebody else's.
    pub(super) fn check(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(), StatusCode> {
        let ours = |name: &str| self.names.iter().any(|known| known.eq_ignore_ascii_case(name));
        let host = single(headers, &HOST)?;
        let named = uri.authority().map(|authority| authority.as_str());
        if !host.is_some_and(ours) || !named.is_none_or(ours) {
            return Err(StatusCode::MISDIRECTED_REQUEST);
        }
        let origin = single(headers, &ORIGIN)?;
        // The page and the form of it are of one name: of another of ours it is another origin.
        let same = |origin: &str| origin.strip_prefix("http://") == host;
        if !origin.is_none_or(same) {
            return Err(StatusCode::FORBIDDEN);
        }
        let site = single(headers, &HeaderName::from_static("sec-fetch-site"))?;
        if !site.is_none_or(|site| matches!(site, "same-origin" | "none")) {
            return Err(StatusCode::FORBIDDEN);
        }
        let reads = matches!(*method, Method::GET | Method::HEAD);
        if !reads && origin.is_none() && site != Some("same-origin") {
            return Err(StatusCode::FORBIDDEN);
        }
        Ok(())
    }
}

/// A header that is there once, if it is there.
pub(super) fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, StatusCode> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| StatusCode::BAD_REQUEST),
        (Some(_), Some(_)) => Err(StatusCode::BAD_REQUEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_answered() {
        let guard = Guard::new("127.0.0.1:8080".parse().unwrap(), "tearline-ab");
        assert_eq!(guard.link(), "http://tearline-ab.localhost:8080/");
        let own = ("host", "tearline-ab.localhost:8080");
        let from = ("origin", "http://tearline-ab.localhost:8080");
        type Row<'a> = (Method, &'a [(&'static str, &'static str)], u16);
        let rows: &[Row<'_>] = &[
            (Method::GET, &[own], 200),
            (Method::GET, &[("host", "LOCALHOST:8080")], 200),
            (Method::GET, &[("host", "127.0.0.1:8080"), ("sec-fetch-site", "none")], 200),
            (Method::GET, &[own, ("sec-fetch-site", "same-origin")], 200),
            (Method::GET, &[], 421),
            (Method::GET, &[("host", "127.0.0.1")], 421),
            (Method::GET, &[("host", "127.0.0.1:8081")], 421),
            (Method::GET, &[("host", "other.localhost:8080")], 421),
            (Method::GET, &[("host", "evil.example:8080")], 421),
            (Method::GET, &[own, own], 400),
            (Method::GET, &[own, ("sec-fetch-site", "cross-site")], 403),
            (Method::GET, &[own, ("sec-fetch-site", "same-site")], 403),
            (Method::GET, &[own, ("origin", "http://evil.example")], 403),
            (Method::POST, &[own, from], 200),
            (Method::POST, &[own, ("sec-fetch-site", "same-origin")], 200),
            (Method::POST, &[own], 403),
            (Method::POST, &[own, ("sec-fetch-site", "none")], 403),
            (Method::POST, &[own, ("origin", "null")], 403),
            (Method::POST, &[own, ("origin", "https://tearline-ab.localhost:8080")], 403),
            (Method::POST, &[own, ("origin", "http://localhost:8080")], 403),
            (Method::POST, &[own, ("origin", "http://127.0.0.1:9090")], 403),
        ];
        for (method, headers, status) in rows {
            let mut map = HeaderMap::new();
            for (name, value) in *headers {
                map.append(*name, value.parse().unwrap());
            }
            let answer = guard.check(method, &Uri::from_static("/"), &map);
            assert_eq!(answer.err().map_or(200, |s| s.as_u16()), *status, "{method} {headers:?}");
        }
        let map = HeaderMap::from_iter([(HOST, "localhost:8080".parse().unwrap())]);
        let other = Uri::from_static("http://evil.example/");
        assert!(guard.check(&Method::GET, &other, &map).is_err());
    }
}
