//! `/metrics`: how the gateway is used, in Prometheus' text format (version 0.0.4). It says nothing of records,
//! which are for those whose pass covers them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::PoisonError;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;

use super::call::Call;
use super::media;
use super::problem::Problem;

/// Requests that were answered, by route and status, and how long that took in all.
#[derive(Debug, Default)]
pub(super) struct Counts {
    requests: BTreeMap<(&'static str, &'static str, u16), Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    requests: u64,
    took: Duration,
}

/// What is counted that no route was found for.
pub(super) const NO_ROUTE: (&str, &str) = ("", "");

impl Counts {
    /// Counts a request. Methods and paths are those of the table, so that there are only so many.
    pub(super) fn count(
        &mut self,
        route: (&'static str, &'static str),
        status: StatusCode,
        took: Duration,
    ) {
        let count = self.requests.entry((route.0, route.1, status.as_u16())).or_default();
        count.requests += 1;
        count.took += took;
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (name, help, in_seconds) in [
            ("tearline_api_requests_total", "Requests that were answered.", false),
            ("tearline_api_seconds_total", "Time that answering them took.", true),
        ] {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
            for ((method, path, status), count) in &self.requests {
                let value =
                    if in_seconds { count.took.as_secs_f64() } else { count.requests as f64 };
                let _ = writeln!(
                    text,
                    "{name}{{method=\"{method}\",path=\"{path}\",status=\"{status}\"}} {value}"
                );
            }
        }
        text
    }
}

/// `GET /metrics`
pub(super) fn text(call: &Call<'_>) -> Result<Response, Problem> {
    let counts = call.state.counts.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(media::reply(StatusCode::OK, media::TEXT, counts.text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_written_as_prometheus_reads_them() {
        let mut counts = Counts::default();
        counts.count(("GET", "/x/{y}"), StatusCode::OK, Duration::from_millis(250));
        counts.count(("GET", "/x/{y}"), StatusCode::OK, Duration::from_millis(250));
        counts.count(NO_ROUTE, StatusCode::UNAUTHORIZED, Duration::ZERO);
        let text = counts.text();
        let line = r#"tearline_api_requests_total{method="GET",path="/x/{y}",status="200"} 2"#;
        assert!(text.lines().any(|one| one == line), "{text}");
        assert!(text.contains(r#"status="401"} 1"#) && text.contains("} 0.5\n"), "{text}");
        assert_eq!(text.lines().filter(|one| one.starts_with("# TYPE ")).count(), 2);
    }
}
