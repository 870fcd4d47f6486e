//! Who may be answered at all. A browser on this machine can be made to send requests here by any page
//! that it shows; so a request is refused that names another host (DNS rebinding), that comes from
//! another origin, or that says of itself that another site made it (Fetch Metadata,
//! <https://www.w3.org/TR/fetch-metadata/>). Then a pass is asked for, on every path alike, so that
//! without one nobody learns which paths there are.

use std::net::SocketAddr;

use axum::http::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN};
use axum::http::{HeaderMap, StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::problem::Problem;
use super::{Options, Url};
use crate::pass::TOKEN_BYTES_MAX;

/// What a request must agree with.
#[derive(Debug)]
pub(super) struct Guard {
    /// Where we are reached, first the one that links begin with.
    urls: Vec<Url>,
}

impl Guard {
    pub(super) fn new(options: &Options, address: SocketAddr) -> Self {
        let here = |authority: String| Url { scheme: options.scheme(), authority };
        let mut urls: Vec<Url> = options.url.clone().into_iter().collect();
        urls.push(here(address.to_string()));
        if address.ip().is_loopback() {
            urls.push(here(format!("localhost:{}", address.port())));
        }
        Self { urls }
    }

    /// Refuses what was not sent to us, or was sent by a page of somebody else's.
    pub(super) fn check_origin(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let host = single(headers, HOST)?;
        let named = uri.authority().map(|authority| authority.as_str());
        let ours =
            |name: &str| self.urls.iter().any(|url| url.authority.eq_ignore_ascii_case(name));
        if !host.is_some_and(ours) || !named.is_none_or(ours) {
            return Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "this gateway is not reached by that name; its operator can add one: --api-url",
            ));
        }
        if let Some(origin) = single(headers, ORIGIN)? {
            let ours = |url: &Url| format!("{}://{}", url.scheme, url.authority);
            if !self.urls.iter().any(|url| ours(url).eq_ignore_ascii_case(origin)) {
                return Err(Problem::new(StatusCode::FORBIDDEN, "a page of another origin asks"));
            }
        }
        let site = single(headers, HeaderName::from_static("sec-fetch-site"))?;
        if !site.is_none_or(|site| matches!(site, "same-origin" | "none")) {
            return Err(Problem::new(StatusCode::FORBIDDEN, "a page of another site asks"));
        }
        Ok(())
    }

    /// What absolute links begin with.
    pub(super) fn base(&self) -> String {
        let url = self.urls.first();
        url.map_or_else(String::new, |url| format!("{}://{}", url.scheme, url.authority))
    }
}

/// The token that a request shows: as Bearer (RFC 6750), or as the password of Basic (RFC 7617) under
/// whatever user name.
pub(super) fn token(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = single(headers, AUTHORIZATION)? else { return Ok(None) };
    if value.len() > TOKEN_TEXT_MAX {
        return Ok(None);
    }
    let Some((scheme, rest)) = value.split_once(' ') else { return Ok(None) };
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Some(rest.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(None);
    }
    let pair = STANDARD.decode(rest).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(pair.and_then(|pair| pair.split_once(':').map(|(_, password)| password.to_owned())))
}

/// A header that is there once, if it is there. Of two, one client and another would take another.
fn single(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(&name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value
            .to_str()
            .map(Some)
            .map_err(|_| Problem::bad(format!("the header {name} is no plain text"))),
        (Some(_), Some(_)) => Err(Problem::bad(format!("the header {name} is there twice"))),
    }
}

/// Longest text with a token in it: base64 of base64, and a user's name.
const TOKEN_TEXT_MAX: usize = 2 * TOKEN_BYTES_MAX + 1_024;

#[cfg(test)]
mod tests {
    use axum::http::request::Parts;
    use axum::http::{HeaderValue, Request};

    use super::*;

    fn parts(uri: &str, headers: &[(&'static str, &'static str)]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_static(value));
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn who_is_answered() {
        let options =
            Options::new("127.0.0.1:8100", Some("https://taxii.example.org"), None, false).unwrap();
        let guard = Guard::new(&options, "127.0.0.1:8100".parse().unwrap());
        let here = ("host", "127.0.0.1:8100");
        for (uri, headers, good) in [
            ("/", &[here][..], true),
            ("/", &[("host", "localhost:8100")], true),
            ("/", &[("host", "TAXII.example.org")], true),
            ("/", &[("host", "evil.example")], false),
            ("/", &[("host", "127.0.0.1")], false),
            ("/", &[("host", "localhost:8100.evil.example")], false),
            ("/", &[], false),
            ("/", &[here, here], false),
            ("http://evil.example/", &[here], false),
            ("/", &[here, ("origin", "http://127.0.0.1:8100")], true),
            ("/", &[here, ("origin", "https://taxii.example.org")], true),
            ("/", &[here, ("origin", "http://taxii.example.org")], false),
            ("/", &[here, ("origin", "null")], false),
            ("/", &[here, ("sec-fetch-site", "same-origin")], true),
            ("/", &[here, ("sec-fetch-site", "none")], true),
            ("/", &[here, ("sec-fetch-site", "same-site")], false),
            ("/", &[here, ("sec-fetch-site", "cross-site")], false),
        ] {
            let parts = parts(uri, headers);
            let outcome = guard.check_origin(&parts.uri, &parts.headers);
            assert_eq!(outcome.is_ok(), good, "{uri} {headers:?}: {outcome:?}");
        }
    }

    #[test]
    fn what_token_is_shown() {
        for (value, shown) in [
            ("Bearer tearline-pass_x", Some("tearline-pass_x")),
            ("bearer  y", Some("y")),
            // me:p:q
            ("Basic bWU6cDpx", Some("p:q")),
            // :p
            ("basic OnA=", Some("p")),
            ("Basic bWU=", None),
            ("Basic !", None),
            ("Digest x", None),
            ("Bearer", None),
        ] {
            let parts = parts("/", &[("authorization", value)]);
            assert_eq!(token(&parts.headers).unwrap().as_deref(), shown, "{value}");
        }
        assert!(
            token(&parts("/", &[("authorization", "a b"), ("authorization", "c d")]).headers)
                .is_err()
        );
    }
}
