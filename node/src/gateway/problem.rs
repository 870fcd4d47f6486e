//! What is answered instead of what was asked for: RFC 9457, "Problem Details for HTTP APIs", with the
//! members of TAXII's error message (TAXII 2.1, section 3.6.1) beside them. Clients of TAXII get it in
//! TAXII's media type.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::json;

use super::media;
use super::routes::Area;
use crate::failure::{Failure, Kind};
use crate::serve::status;

/// Why a request was not carried out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
}

impl Problem {
    /// A problem. The detail is for people; it says nothing that the asker may not know.
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }

    /// Not there, or not to be seen: one answer for both.
    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is no such thing that this pass may see")
    }

    /// A value that makes no sense.
    pub(super) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// The answer.
    pub(super) fn into_response(self, area: Area) -> Response {
        let status = self.status;
        let title = status.canonical_reason().unwrap_or("problem");
        let body = json!({
            "type": "about:blank",
            "title": title,
            "status": status.as_u16(),
            "detail": self.detail,
            "description": self.detail,
            "http_status": status.as_u16().to_string(),
        });
        let content_type = match area {
            Area::Taxii => media::TAXII,
            Area::Other => media::PROBLEM,
        };
        let mut response = media::reply(status, content_type, body.to_string());
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            let schemes =
                HeaderValue::from_static(r#"Basic realm="tearline", Bearer realm="tearline""#);
            headers.insert(header::WWW_AUTHENTICATE, schemes);
        }
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<Failure> for Problem {
    /// What is no fault of the asker's is for the operator's log.
    fn from(failure: Failure) -> Self {
        if failure.kind == Kind::NotFound {
            return Self::not_found();
        }
        let status = status(failure.kind);
        if status.is_server_error() {
            tracing::warn!(%failure, "a request to the gateway failed");
            return Self::new(status, "the daemon could not do it; its log says why");
        }
        Self::new(status, failure.what)
    }
}
