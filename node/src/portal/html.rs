//! Answers: pages, and what is answered instead of them, with the headers that a browser is held by.

use askama::Template;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::session::Token;
use crate::failure::{Failure, Kind};
use crate::operators::Refusal;
use crate::serve::status;

/// Nothing but what comes from here (and the thumbnails, which stand in the page), no script in a page, and no frame of anybody else's.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' data:; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// Why a page is not shown.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) status: StatusCode,
    /// What happened, where that may be said.
    pub(super) detail: String,
    pub(super) hint: String,
    /// Whether it is the mesh that refuses, and not the operator's role.
    pub(super) by_mesh: bool,
}

impl Trouble {
    pub(super) fn new(status: StatusCode) -> Self {
        Self { status, detail: String::new(), hint: String::new(), by_mesh: false }
    }

    /// What was sent makes no sense: why.
    pub(super) fn bad(detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..Self::new(StatusCode::BAD_REQUEST) }
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND)
    }
}

impl From<StatusCode> for Trouble {
    fn from(status: StatusCode) -> Self {
        Self::new(status)
    }
}

impl From<Failure> for Trouble {
    /// What is no fault of the operator's is for the log.
    fn from(failure: Failure) -> Self {
        let status = match failure.kind {
            Kind::NotFound => return Self::not_found(),
            // Of what was tried and did not work the page says why.
            Kind::Failed | Kind::Incomplete => StatusCode::CONFLICT,
            kind => status(kind),
        };
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::warn!(%failure, "a page could not be made");
            return Self::new(status);
        }
        let by_mesh = failure.kind == Kind::Denied;
        Self { status, detail: failure.what, hint: failure.hint.unwrap_or_default(), by_mesh }
    }
}

impl From<crate::audit::AuditError> for Trouble {
    fn from(error: crate::audit::AuditError) -> Self {
        let failure = Failure::from(error);
        let hint = failure.hint.unwrap_or_default();
        Self { detail: failure.what, hint, ..Self::new(StatusCode::SERVICE_UNAVAILABLE) }
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Failed(failure) => failure.into(),
            refusal => Self { detail: refusal.to_string(), ..Self::new(StatusCode::FORBIDDEN) },
        }
    }
}

/// A page.
pub(super) fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => answer(status, "text/html; charset=utf-8", Body::from(text)),
        Err(error) => {
            tracing::error!(%error, "a page could not be made");
            plain(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// An answer without a page, to who is not let in at all.
pub(super) fn plain(status: StatusCode) -> Response {
    let text = format!("{status}\n");
    answer(status, "text/plain; charset=utf-8", Body::from(text))
}

/// Sends the browser to another of our pages.
pub(super) fn redirect(path: &str) -> Response {
    let mut response = answer(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", Body::empty());
    let target = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(header::LOCATION, target);
    response
}

/// What does not change while the daemon runs: a browser may keep it.
pub(super) fn asset(kind: &'static str, bytes: &'static [u8]) -> Response {
    let mut response = answer(StatusCode::OK, kind, Body::from(bytes));
    let kept = HeaderValue::from_static("private, max-age=31536000, immutable");
    response.headers_mut().insert(header::CACHE_CONTROL, kept);
    response
}

/// A file to keep, never to show: whatever is in it, a browser runs nothing of it.
pub(super) fn download(name: &str, bytes: Vec<u8>) -> Response {
    let mut response = answer(StatusCode::OK, "application/octet-stream", Body::from(bytes));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let ascii: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    let full: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    // RFC 6266, with the name in UTF-8 for who reads that.
    let text = format!(
        "attachment; filename=\"{ascii}\"; filename*=UTF-8''{}",
        full.replace('+', "%20").replace('*', "%2A")
    );
    let sandbox = HeaderValue::from_static("default-src 'none'; sandbox");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, sandbox);
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

/// A stream of events.
pub(super) fn stream(body: Body) -> Response {
    answer(StatusCode::OK, "text/event-stream; charset=utf-8", body)
}

/// Gives the browser its cookie, until it ends.
pub(super) fn set_cookie(response: &mut Response, name: &str, token: &Token) {
    put_cookie(response, &format!("{name}={}; Path=/; HttpOnly; SameSite=Strict", token.text()));
}

pub(super) fn drop_cookie(response: &mut Response, name: &str) {
    put_cookie(response, &format!("{name}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"));
}

fn put_cookie(response: &mut Response, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

fn answer(status: StatusCode, kind: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // With "no-referrer" browsers would say of our own forms that they come from nowhere.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
